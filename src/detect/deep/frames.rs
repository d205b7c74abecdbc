//! Cuts rows into the windows that a network reads.
//!
//! Owns: clipping, gap channels, what is hidden in training. Does not own: the network.

use crate::series::Window;

use crate::math::random::Random;

/// Largest input and training target. A wilder value says nothing more about the other features.
pub(super) const NEAR: f32 = 10.0;

/// Largest value that an error is computed from, so that a huge value scores above a big one.
pub(super) const FAR: f32 = 50.0;

/// Newest rows of a window: those that a score is computed from.
pub(super) const TAIL: usize = 3;

/// Share of features, and of rows, that are hidden from the network in a window to train on, which
/// it must rebuild all the same; and the share of windows that start late.
///
/// This is what makes it learn how features hang together instead of passing each one through,
/// and what teaches it to read windows with gaps.
const HIDDEN_FEATURES: f32 = 0.1;
const HIDDEN_ROWS: f32 = 0.05;
const LATE_STARTS: f32 = 0.1;

/// The rows of a history, of the features that were ever observed.
pub(super) struct Frames {
    /// Row-major `[rows, features]`, NaN is a gap.
    values: Vec<f32>,
    rows: usize,
    features: usize,
    /// Rows of a window.
    length: usize,
}

/// Windows as a network trains on them: `input` is `[batch, time, 2 × features]`, the others are
/// `[batch, time, features]`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    /// Values, 0 where there is none, then 1 for every gap.
    pub input: Vec<f32>,
    /// What should come out.
    pub target: Vec<f32>,
    /// How much each cell of the target counts; 0 for a gap.
    pub weight: Vec<f32>,
}

impl Frames {
    /// The columns `live` of `window` in units of their `reach`, read through windows of `length` rows.
    pub(super) fn new(window: &Window, live: &[usize], reach: &[f32], length: usize) -> Frames {
        Frames::since(window, 0, live, reach, length)
    }

    /// The same, from row `from` on.
    pub(super) fn since(
        window: &Window,
        from: usize,
        live: &[usize],
        reach: &[f32],
        length: usize,
    ) -> Frames {
        let rows = window.grid.len - from;
        let cell =
            |row: &[f64], (&f, reach): (&usize, &f32)| (row[f] as f32 / reach).clamp(-FAR, FAR);
        let mut values = Vec::with_capacity(rows * live.len());
        for row in (from..window.grid.len).map(|i| window.row(i)) {
            values.extend(live.iter().zip(reach).map(|cells| cell(row, cells)));
        }
        Frames { values, rows, features: live.len(), length }
    }

    /// The features at row `i`.
    pub(super) fn row(&self, i: usize) -> &[f32] {
        &self.values[i * self.features..(i + 1) * self.features]
    }

    /// Rows with at least one value.
    pub(super) fn observed_rows(&self) -> usize {
        (0..self.rows).filter(|&i| self.seen(i)).count()
    }

    fn seen(&self, i: usize) -> bool {
        self.row(i).iter().any(|v| !v.is_nan())
    }

    /// Last rows of the whole windows of which at least half the cells are observed, in order.
    pub(super) fn trainable(&self) -> Vec<usize> {
        let cells = |i: usize| self.row(i).iter().filter(|v| !v.is_nan()).count();
        let counts: Vec<usize> = (0..self.rows).map(cells).collect();
        let enough = |end: &usize| {
            let observed: usize = counts[end + 1 - self.length..=*end].iter().sum();
            2 * observed >= self.length * self.features && counts[*end] > 0
        };
        (self.length.saturating_sub(1)..self.rows).filter(enough).collect()
    }

    /// The rows among `first..` that can be scored: they hold a value, and at least half the rows
    /// of their window do. Rows before the first one count as gaps.
    pub(super) fn scorable(&self, first: usize) -> Vec<usize> {
        let seen: Vec<bool> = (0..self.rows).map(|i| self.seen(i)).collect();
        let enough = |end: &usize| {
            let from = (end + 1).saturating_sub(self.length);
            let have = seen[from..=*end].iter().filter(|&&s| s).count();
            seen[*end] && 2 * have >= self.length
        };
        (first..self.rows).filter(enough).collect()
    }

    /// The rows of the window that ends at row `end`, oldest first; `None` before the first row.
    fn window(&self, end: usize) -> impl ExactSizeIterator<Item = Option<&[f32]>> {
        let length = self.length;
        (0..length).map(move |i| (end + 1 + i).checked_sub(length).map(|row| self.row(row)))
    }

    /// What a network reads of the window that ends at `end`: `out` becomes
    /// `[time, 2 × features]`.
    pub(super) fn input(&self, end: usize, out: &mut Vec<f32>) {
        out.clear();
        self.push_window(end, out);
    }

    fn push_window(&self, end: usize, out: &mut Vec<f32>) {
        for row in self.window(end) {
            push_input(row, self.features, |_| false, out);
        }
    }

    /// Windows to train on, with some of each hidden.
    pub(super) fn batch(&self, ends: &[usize], random: &mut Random) -> Batch {
        let mut out = Batch::default();
        for &end in ends {
            push_partly_hidden(self.window(end), self.features, random, &mut out);
        }
        out
    }

    /// Windows to judge a network by: only the newest rows count, as in a score.
    pub(super) fn judged(&self, ends: &[usize]) -> Batch {
        let mut out = Batch::default();
        for &end in ends {
            self.push_window(end, &mut out.input);
            for (i, row) in self.window(end).enumerate() {
                let weight = if i + TAIL >= self.length { 1.0 } else { 0.0 };
                push_target(row, self.features, weight, &mut out);
            }
        }
        out
    }
}

/// Appends one row as a network reads it: values, 0 where there is none, then 1 for every gap.
pub(super) fn push_input(
    row: Option<&[f32]>,
    features: usize,
    hidden: impl Fn(usize) -> bool,
    out: &mut Vec<f32>,
) {
    let start = out.len();
    out.resize(start + 2 * features, 0.0);
    let (values, gaps) = out[start..].split_at_mut(features);
    let Some(row) = row else { return gaps.fill(1.0) };
    for (f, ((to, gap), &value)) in values.iter_mut().zip(gaps).zip(row).enumerate() {
        let unseen = value.is_nan() || hidden(f);
        *to = if unseen { 0.0 } else { value.clamp(-NEAR, NEAR) };
        *gap = f32::from(u8::from(unseen));
    }
}

/// Appends one row as it should come out, each value counting for `weight`.
pub(super) fn push_target(row: Option<&[f32]>, features: usize, weight: f32, out: &mut Batch) {
    let start = out.target.len();
    out.target.resize(start + features, 0.0);
    out.weight.resize(start + features, 0.0);
    let cells = out.target[start..].iter_mut().zip(&mut out.weight[start..]);
    for ((to, counts), &value) in cells.zip(row.unwrap_or_default()) {
        let gap = value.is_nan();
        *to = if gap { 0.0 } else { value.clamp(-NEAR, NEAR) };
        *counts = if gap { 0.0 } else { weight };
    }
}

/// Appends the rows of one window, oldest first, with some of it hidden; all of it should come out.
pub(super) fn push_partly_hidden<'a>(
    rows: impl ExactSizeIterator<Item = Option<&'a [f32]>>,
    features: usize,
    random: &mut Random,
    out: &mut Batch,
) {
    let hidden: Vec<bool> = (0..features).map(|_| random.unit_f32() < HIDDEN_FEATURES).collect();
    let late = random.unit_f32() < LATE_STARTS;
    let start = if late { random.below(rows.len() / 2 + 1) } else { 0 };
    for (i, row) in rows.enumerate() {
        let hide = i < start || random.unit_f32() < HIDDEN_ROWS;
        push_input(row, features, |f| hide || hidden[f], &mut out.input);
        push_target(row, features, 1.0, out);
    }
}

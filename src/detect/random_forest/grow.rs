//! One regression tree on a bootstrap sample (Breiman: Random forests, 2001).
//!
//! Owns: the sample, the choice of splits. Does not own: bins, the sum of trees (`forest`).
//!
//! As scikit-learn's: a split lessens the squared error most, over columns drawn anew at each node in
//! random order. The order settles ties: small nodes have many, and one column must not always win.
//! A row drawn twice counts once towards the smallest leaf and twice towards its mean.
//!
//! A node moves its rows together, so that all reading is in order, and adds up one whole number
//! per row and column: sum, weight and count in one word. What is added exactly is the same on every
//! machine.

use crate::math::random::Random;

use super::bins::BINS;
use super::bins::Bins;
use super::bins::COLUMNS;
use super::bins::Row;
use super::tree::Node;

/// How trees are grown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Plan {
    /// Rows drawn for each tree; at most [`MAX_DRAWS`].
    pub(super) draws: usize,
    /// Fewest different rows of a leaf.
    pub(super) min_leaf: i64,
    /// Columns looked at for a split.
    pub(super) look_at: usize,
}

/// Weight and count have 16 bits each, and so has the number of a node.
pub(super) const MAX_DRAWS: usize = 32_767;

/// Rows of one tree: their bins, and sum, weight and count as one word.
#[derive(Clone, Copy, Default)]
struct Bagged {
    bins: Row,
    word: i64,
}

const WEIGHT: u32 = 16;
const SUM: u32 = 32;

/// Sum, weight and count of a word.
#[inline(always)]
fn unpack(word: i64) -> (i64, i64, i64) {
    (word >> SUM, (word >> WEIGHT) & 0xFFFF, word & 0xFFFF)
}

/// Targets as whole numbers.
pub(super) struct Targets {
    words: Vec<i64>,
    centre: f64,
    unit: f64,
}

impl Targets {
    /// As fine as sums of `draws` of them leave room for.
    pub(super) fn of(targets: &[f64], draws: usize) -> Targets {
        let n = targets.len().max(1) as f64;
        let centre = targets.iter().map(|t| t / n).sum::<f64>();
        let most = targets.iter().map(|t| (t - centre).abs()).fold(0.0, f64::max);
        let room = f64::from(i32::MAX) / (draws.max(1) as f64 + 1.0);
        let unit = if most > 0.0 { most / room } else { 1.0 };
        let word = |t: &f64| ((((t - centre) / unit) as i64) << SUM) + (1 << WEIGHT);
        Targets { words: targets.iter().map(word).collect(), centre, unit }
    }

    fn mean(&self, word: i64) -> f32 {
        let (sum, weight, _) = unpack(word);
        (self.centre + self.unit * sum as f64 / weight.max(1) as f64) as f32
    }
}

/// A place to split at: bins of `column` from `bin` on go right.
#[derive(Clone, Copy, Default)]
struct Split {
    gain: f64,
    column: u8,
    bin: u8,
    left: i64,
}

/// Grows trees one after the other, in the same memory.
pub(super) struct Grower<'a> {
    plan: Plan,
    rows: &'a [Row],
    targets: &'a Targets,
    columns: Vec<u8>,
    counts: Vec<u16>,
    bag: Vec<Bagged>,
    aside: Vec<Bagged>,
    todo: Vec<Todo>,
}

/// A node to be: its rows, their sum, and the node that it is the right child of.
struct Todo {
    from: usize,
    to: usize,
    word: i64,
    parent: Option<usize>,
}

impl<'a> Grower<'a> {
    /// For rows of these bins and targets.
    pub(super) fn new(
        plan: Plan,
        bins: &Bins,
        rows: &'a [Row],
        targets: &'a Targets,
    ) -> Grower<'a> {
        let aside = vec![Bagged::default(); rows.len()];
        let (counts, bag) = (vec![0; rows.len()], Vec::with_capacity(rows.len()));
        let columns = bins.varying();
        Grower { plan, rows, targets, columns, counts, bag, aside, todo: Vec::new() }
    }

    /// Appends the nodes and the leaves of one tree; nodes and leaves are numbered from its first.
    pub(super) fn tree(
        &mut self,
        random: &mut Random,
        nodes: &mut Vec<Node>,
        leaves: &mut Vec<f32>,
    ) {
        let (first_node, first_leaf) = (nodes.len(), leaves.len());
        let word = self.draw(random);
        self.todo.push(Todo { from: 0, to: self.bag.len(), word, parent: None });
        while let Some(Todo { from, to, word, parent }) = self.todo.pop() {
            let me = nodes.len();
            if let Some(parent) = parent {
                nodes[parent].next = (me - first_node) as u16;
            }
            if let Some(split) = self.split(from, to, word, random) {
                let middle = from + self.part(from, to, split);
                nodes.push(Node { column: split.column, bin: split.bin, next: 0 });
                let (left, right) = (split.left, word - split.left);
                self.todo.push(Todo { from: middle, to, word: right, parent: Some(me) });
                self.todo.push(Todo { from, to: middle, word: left, parent: None });
            } else {
                let next = (leaves.len() - first_leaf) as u16;
                nodes.push(Node { column: 0, bin: 0, next });
                leaves.push(self.targets.mean(word));
            }
        }
    }

    /// Whether the last tree has not seen this row.
    pub(super) fn unseen(&self, row: u32) -> bool {
        self.counts[row as usize] == 0
    }

    /// Draws the sample, with replacement.
    fn draw(&mut self, random: &mut Random) -> i64 {
        self.counts.fill(0);
        for _ in 0..self.plan.draws {
            self.counts[random.below(self.rows.len())] += 1;
        }
        self.bag.clear();
        let mut total = 0;
        for (i, &count) in self.counts.iter().enumerate() {
            if count > 0 {
                let word = self.targets.words[i] * i64::from(count) + 1;
                self.bag.push(Bagged { bins: self.rows[i], word });
                total += word;
            }
        }
        total
    }

    /// The best split of the rows `from..to`; none where they are too few, or all alike.
    fn split(&mut self, from: usize, to: usize, word: i64, random: &mut Random) -> Option<Split> {
        if (word & 0xFFFF) < 2 * self.plan.min_leaf {
            return None;
        }
        let rows = &self.bag[from..to];
        let mut best = Split::default();
        let (mut drawn, mut alike) = (0, true);
        // A column of one value costs a look, but somebody has to be found who tells rows apart.
        while drawn < self.columns.len() && (drawn < self.plan.look_at || alike) {
            let more = self.plan.look_at.saturating_sub(drawn).clamp(1, 4);
            let more = more.min(self.columns.len() - drawn);
            for k in drawn..drawn + more {
                let other = k + random.below(self.columns.len() - k);
                self.columns.swap(k, other);
            }
            let columns = &self.columns[drawn..drawn + more];
            alike &= match *columns {
                [a, b, c, d] => consider([a, b, c, d], rows, word, self.plan.min_leaf, &mut best),
                [a, b, c] => consider([a, b, c], rows, word, self.plan.min_leaf, &mut best),
                [a, b] => consider([a, b], rows, word, self.plan.min_leaf, &mut best),
                _ => consider([columns[0]], rows, word, self.plan.min_leaf, &mut best),
            };
            drawn += more;
        }
        (best.gain > 0.0).then_some(best)
    }

    /// Moves the rows that go left to the front, in their order; how many do.
    fn part(&mut self, from: usize, to: usize, split: Split) -> usize {
        let rows = &mut self.bag[from..to];
        let aside = &mut self.aside[..rows.len()];
        let (mut n_left, mut n_right) = (0, 0);
        for i in 0..rows.len() {
            let row = rows[i];
            // Both are written and one is kept: a branch would be guessed wrong half of the time.
            rows[n_left] = row;
            aside[n_right] = row;
            let right = usize::from(row.bins[usize::from(split.column) % COLUMNS] >= split.bin);
            n_left += 1 - right;
            n_right += right;
        }
        rows[n_left..].copy_from_slice(&aside[..n_right]);
        n_left
    }
}

/// Looks for a better split by these columns; whether the rows are alike in all of them.
#[inline(always)]
fn consider<const N: usize>(
    columns: [u8; N],
    rows: &[Bagged],
    total: i64,
    min_leaf: i64,
    best: &mut Split,
) -> bool {
    let mut sums = [[0i64; BINS]; N];
    let mut filled = [0u64; N];
    // Column by column a row of the same bin would wait for the one before; together they do not.
    for row in rows {
        for k in 0..N {
            let bin = usize::from(row.bins[usize::from(columns[k]) % COLUMNS]) % BINS;
            sums[k][bin] += row.word;
            filled[k] |= 1 << bin;
        }
    }
    let mut alike = true;
    for k in 0..N {
        alike &= filled[k].count_ones() < 2;
        scan(columns[k], &sums[k], filled[k], total, min_leaf, best);
    }
    alike
}

/// The best place of one column: with d = s·w_left − s_left·w over all the rows, the squared error
/// falls by d²/(w²·w_left·w_right)·w.
#[inline(always)]
fn scan(column: u8, sums: &[i64; BINS], filled: u64, total: i64, min_leaf: i64, best: &mut Split) {
    let (sum, weight, count) = unpack(total);
    let (mut left, mut rest) = (0i64, filled);
    while rest & (rest.wrapping_sub(1)) != 0 {
        let bin = rest.trailing_zeros();
        rest &= rest - 1;
        left += sums[bin as usize];
        let (left_sum, left_weight, left_count) = unpack(left);
        if left_count < min_leaf {
            continue;
        }
        if count - left_count < min_leaf {
            return;
        }
        let d = (sum * left_weight - left_sum * weight) as f64;
        let gain = d * d / (left_weight * (weight - left_weight)) as f64;
        if gain > best.gain {
            // Half-way to the next bin that has rows.
            let bin = (bin + rest.trailing_zeros()).div_ceil(2) as u8;
            *best = Split { gain, column, bin, left };
        }
    }
}

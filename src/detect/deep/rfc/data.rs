//! What the networks learn from, and which of it they may not see.
//!
//! Owns: examples, the parts that they are split into. Does not own: how a window is read (`windows`), classes (`verdict`).

use crate::verdict::Class;

/// A window whose class is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Example<'a> {
    /// `[rows, features]`, row-major, newest row last; NaN is a gap. Windows of one history may overlap,
    /// so this borrows from it.
    pub window: &'a [f32],
    /// When the newest row was, counted in rows from anywhere: the row's number in the history, or its unix
    /// time divided by the step. It says which windows overlap, and what is older than what.
    pub end: i64,
    /// What it is known to be.
    pub class: Class,
}

impl<'a> Example<'a> {
    /// All windows of `rows` rows that fit in a history `[n, features]`, each of the class that `class` gives
    /// for the number of its newest row.
    pub fn sliding(
        history: &'a [f32],
        rows: usize,
        features: usize,
        class: impl Fn(usize) -> Class,
    ) -> Vec<Example<'a>> {
        let n = history.len().checked_div(features).unwrap_or(0);
        let example = |end: usize| Example {
            window: &history[(end + 1 - rows) * features..(end + 1) * features],
            end: end as i64,
            class: class(end),
        };
        (rows.saturating_sub(1)..n).filter(|end| end + 1 >= rows).map(example).collect()
    }
}

/// Places in the examples, each part in order of time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Parts {
    /// The weights are fitted to these.
    pub(super) training: Vec<usize>,
    /// Training ends when these get no better.
    pub(super) validation: Vec<usize>,
    /// Looked at once, at the end.
    pub(super) test: Vec<usize>,
}

/// Where time is divided: the newest `end` that is trained on, and the newest that is held out to stop by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::detect::deep) struct Cuts([i64; 2]);

impl Cuts {
    /// So that the oldest 70 % of these ends are trained on, and the next 15 % held out. `None` where there are
    /// too few for that.
    pub(in crate::detect::deep) fn of(mut ends: Vec<i64>) -> Option<Cuts> {
        ends.sort_unstable();
        let last = |percent: usize| ends.get((ends.len() * percent / 100).checked_sub(1)?);
        Some(Cuts([*last(70)?, *last(85)?]))
    }

    /// Which of the three parts a window of `rows` rows is in that ends there; none if it ends less than a window
    /// after the part before, so that no row of a window is in two parts.
    pub(in crate::detect::deep) fn part(self, end: i64, rows: usize) -> Option<usize> {
        let Cuts([training, validation]) = self;
        let begins_after = |last: i64| end.saturating_sub(rows as i64) >= last;
        match end {
            _ if end <= training => Some(0),
            _ if end <= validation => begins_after(training).then_some(1),
            _ => begins_after(validation).then_some(2),
        }
    }
}

/// The oldest 70 % of `usable`, the next 15 % and the last 15 %, or as divided by `cuts`. What [`Cuts::part`] puts
/// nowhere is left out. No two parts share a row as far as each window is a stretch of rows that ends at its `end`;
/// who makes windows up of rows of other times has to see to it.
pub(super) fn split(
    data: &[Example<'_>],
    usable: &[usize],
    rows: usize,
    cuts: Option<Cuts>,
) -> Parts {
    let mut order = usable.to_vec();
    order.sort_by_key(|&i| data[i].end);
    let cuts = cuts.or_else(|| Cuts::of(order.iter().map(|&i| data[i].end).collect()));
    let of = |part: usize| -> Vec<usize> {
        let within = |i: &usize| cuts.and_then(|cuts| cuts.part(data[*i].end, rows)) == Some(part);
        order.iter().copied().filter(within).collect()
    };
    Parts { training: of(0), validation: of(1), test: of(2) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_in_order_of_time_and_share_no_row() {
        let history = vec![0.0; 200];
        let mut data = Example::sliding(&history, 8, 1, |_| Class::Normal);
        data.reverse();
        assert_eq!((data.len(), data[0].end, data[0].window.len()), (193, 199, 8));
        let usable: Vec<usize> = (0..data.len()).collect();
        let parts = split(&data, &usable, 8, None);
        let ends = |part: &[usize]| -> Vec<i64> { part.iter().map(|&i| data[i].end).collect() };
        let [a, b, c] = [&parts.training, &parts.validation, &parts.test].map(|p| ends(p));
        assert_eq!((a.len(), b.len(), c.len()), (135, 29 - 7, 29 - 7));
        assert!(a.is_sorted() && b.is_sorted() && c.is_sorted());
        // The first row of a window that ends at 149 is 142.
        assert_eq!((a[134], b[0], b[21], c[0]), (141, 149, 170, 178));
    }

    #[test]
    fn windows_of_one_end_are_in_one_part() {
        let cuts = Cuts::of([vec![5; 14], vec![20; 3], vec![40; 3]].concat()).unwrap();
        assert_eq!([5, 6, 9, 20].map(|end| cuts.part(end, 4)), [Some(0), None, Some(1), Some(1)]);
        assert_eq!([23, 24].map(|end| cuts.part(end, 4)), [None, Some(2)]);
        assert_eq!((Cuts::of(vec![1]), Cuts::of(Vec::new())), (None, None));
    }

    #[test]
    fn no_history_is_no_windows() {
        assert!(Example::sliding(&[], 4, 2, |_| Class::Normal).is_empty());
        assert!(Example::sliding(&[1.0; 6], 4, 2, |_| Class::Normal).is_empty());
        assert!(Example::sliding(&[1.0; 6], 4, 0, |_| Class::Normal).is_empty());
        assert_eq!(split(&[], &[], 4, None), Parts::default());
        assert_eq!((Class::anomaly("x").kind(), Class::Normal.kind()), (Some("x"), None));
    }
}

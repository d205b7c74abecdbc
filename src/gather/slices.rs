//! A grid in slices, each small enough for a sidecar's memory and for the source's patience.
//!
//! Owns: how much is asked for at once. Does not own: asking (`gather`).

use crate::series::Grid;
use crate::watch::Watch;

/// Numbers that the answers to all queries may hold together: some 15 MB while they are decoded, and
/// Prometheus gives each well within a second.
const CELLS: usize = 300_000;

/// Entities that are reckoned with while none is found.
const MANY: usize = 8_192;

/// A grid in slices, to be asked for one after the other, each small enough for a sidecar's memory.
///
/// While nothing is found nobody knows how many entities there are: slices begin small and double, so
/// that two empty weeks are a dozen queries and not a thousand. The cuts are between two points, so
/// that no bucket is torn.
pub struct Slices {
    due: Grid,
    n_queries: usize,
    point_s: i64,
    cells: usize,
    /// Reckoned with.
    n_entities: usize,
    /// Known, or found so far.
    n_found: usize,
    newest_first: bool,
}

impl Slices {
    /// The slices of `grid`, oldest first, where `n_known` entities are known; 0 if none is.
    pub fn new(watch: &Watch, grid: Grid, n_known: usize) -> Slices {
        let n_entities = if n_known > 0 { n_known } else { MANY };
        let (n_queries, point_s) = (super::queries(watch).len(), watch.point_s());
        let (cells, newest_first) = (CELLS, false);
        Slices { due: grid, n_queries, point_s, cells, n_entities, n_found: n_known, newest_first }
    }

    /// The same from the other end.
    #[must_use]
    pub fn newest_first(self) -> Slices {
        Slices { newest_first: true, ..self }
    }

    /// What was not taken yet.
    pub fn due(&self) -> Grid {
        self.due
    }

    /// Whether everything was taken.
    pub fn is_done(&self) -> bool {
        self.due.len == 0
    }

    /// The next slice of what is due.
    pub fn take(&mut self) -> Grid {
        let due = self.due;
        let n_rows = self.cells / (self.n_entities * self.n_queries).max(1);
        let cut_s = self.cut_s(n_rows as i64 * due.step_s);
        let n_before = ((cut_s - due.start_s) / due.step_s) as usize;
        let before = Grid { len: n_before, ..due };
        let after = Grid { start_s: due.time(n_before), len: due.len - n_before, ..due };
        let (slice, rest) = if self.newest_first { (after, before) } else { (before, after) };
        self.due = rest;
        slice
    }

    /// The beginning of a point, some `span_s` from the end that is taken from; at least a point away.
    fn cut_s(&self, span_s: i64) -> i64 {
        let (due, point_s) = (self.due, self.point_s);
        let (start_s, end_s) = (due.start_s, due.end_s());
        if self.newest_first {
            let last_s = (end_s - 1).div_euclid(point_s) * point_s;
            let earliest_s = (end_s - span_s + point_s - 1).div_euclid(point_s) * point_s;
            earliest_s.min(last_s).max(start_s)
        } else {
            let second_s = (start_s.div_euclid(point_s) + 1) * point_s;
            let latest_s = (start_s + span_s).div_euclid(point_s) * point_s;
            latest_s.max(second_s).min(end_s)
        }
    }

    /// Says how many entities the slice held. The next one is at most four times as long: who looks
    /// for where something began need not read all that was before.
    pub fn found(&mut self, n_entities: usize) {
        self.n_found = self.n_found.max(n_entities);
        let by = if self.n_found > 0 { 4 } else { 2 };
        self.n_entities = (self.n_entities / by).max(self.n_found).max(1);
    }

    /// Puts back a slice that the source did not manage in time, to be asked for in halves. Returns
    /// whether that makes sense: not for a slice of a point, and not without end.
    pub fn halve(&mut self, slice: Grid) -> bool {
        let can = self.cells > CELLS / 8 && slice.len as i64 * slice.step_s > self.point_s;
        if can {
            self.cells /= 2;
            let start_s = if self.newest_first { self.due.start_s } else { slice.start_s };
            self.due = Grid { start_s, len: slice.len + self.due.len, ..slice };
        }
        can
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::gather::tests::ports;

    proptest! {
        #[test]
        fn slices_cover_the_grid_once_and_tear_no_bucket(
            start in 0_i64..20, len in 0_usize..20_000, n_known in 0_usize..100_000,
            late in proptest::collection::vec(0_usize..4, 1..20), newest_first in any::<bool>(),
        ) {
            let watch = ports();
            let grid = Grid { start_s: start * 300, step_s: 300, len };
            let mut slices = Slices { newest_first, ..Slices::new(&watch, grid, n_known) };
            let (mut covered, mut i) = (Grid { len: 0, ..grid }, 0);
            if newest_first {
                covered.start_s = grid.end_s();
            }
            while !slices.is_done() {
                let slice = slices.take();
                prop_assert!(slice.len > 0);
                prop_assert!(slice.len <= 6 || slice.len * 2 * n_known <= CELLS);
                let cut_s = if newest_first { slice.start_s } else { slice.end_s() };
                prop_assert!(slices.is_done() || cut_s % 1_800 == 0);
                i += 1;
                // Every fourth or so is too much for the source.
                if late[i % late.len()] == 0 && slices.halve(slice) {
                    continue;
                }
                if newest_first {
                    prop_assert_eq!(slice.end_s(), covered.start_s);
                    covered.start_s = slice.start_s;
                } else {
                    prop_assert_eq!(slice.start_s, covered.end_s());
                }
                covered.len += slice.len;
            }
            prop_assert_eq!(covered, grid);
        }
    }

    #[test]
    fn an_unknown_crowd_is_met_in_a_small_slice_and_an_empty_past_in_few() {
        let watch = ports();
        let grid = Grid { start_s: 0, step_s: 300, len: 8 * 2_016 };
        let mut slices = Slices::new(&watch, grid, 0);
        assert!(slices.take().len * 2 * 1_000 <= CELLS / 4);
        let mut n_slices = 1;
        while !slices.is_done() {
            slices.found(0);
            slices.take();
            n_slices += 1;
        }
        assert!(n_slices <= 16, "{n_slices}");
        let mut slices = Slices::new(&watch, grid, 0);
        let lengths = [0; 4].map(|_| {
            let len = slices.take().len;
            slices.found(1_000);
            len
        });
        assert_eq!(lengths, [18, 72, 150, 150]);
    }
}

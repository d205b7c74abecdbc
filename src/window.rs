//! The FIFO of the CoreDNS RFC: the newest rows of one entity, aligned to the step.
//!
//! Owns: cutting, aligning, forgetting. A row that nobody delivered is a gap.
//! Does not own: guessing gaps (`preprocess`) or asking for samples (`source`).

use crate::series::Grid;
use crate::series::Window;

/// The newest `capacity` rows of an entity's features.
#[derive(Debug, Clone)]
pub struct Fifo {
    window: Window,
    capacity: usize,
}

impl Fifo {
    /// An empty FIFO whose next row is at `start_s`.
    pub fn new(capacity: usize, n_features: usize, start_s: i64, step_s: i64) -> Fifo {
        let window = Window::gaps(Grid { start_s, step_s, len: 0 }, n_features);
        Fifo { window, capacity }
    }

    /// Appends gaps up to `end_s` (exclusive) and forgets rows beyond the capacity.
    pub fn advance(&mut self, end_s: i64) {
        let missing = (end_s - self.window.grid.end_s()) / self.window.grid.step_s;
        let missing = missing.max(0) as usize;
        if missing >= self.capacity {
            let grid = self.window.grid;
            let start_s = end_s - self.capacity as i64 * grid.step_s;
            let grid = Grid { start_s, len: self.capacity, ..grid };
            self.window = Window::gaps(grid, self.window.n_features);
            return;
        }
        let n_features = self.window.n_features;
        // The oldest go first, so that the rows held never need more room than the capacity.
        let surplus = (self.window.grid.len + missing).saturating_sub(self.capacity);
        if surplus > 0 {
            self.window.values.drain(..surplus * n_features);
            self.window.grid.start_s = self.window.grid.time(surplus);
        }
        self.window.grid.len = self.window.grid.len + missing - surplus;
        self.window.values.reserve_exact(self.capacity * n_features - self.window.values.len());
        self.window.values.resize(self.window.grid.len * n_features, f64::NAN);
    }

    /// Makes room for more rows, before those held; the new ones are gaps.
    pub fn grow(&mut self, capacity: usize) {
        let grid = self.window.grid;
        let mut grown = Fifo::new(capacity, self.window.n_features, grid.start_s, grid.step_s);
        let start_s = grid.end_s() - capacity as i64 * grid.step_s;
        grown.window.grid.start_s = start_s;
        grown.advance(grid.end_s());
        for row in 0..grid.len {
            for feature in 0..self.window.n_features {
                grown.set(grid.time(row), feature, self.window.row(row)[feature]);
            }
        }
        *self = grown;
    }

    /// Writes one sample; one outside of the rows held is ignored.
    pub fn set(&mut self, time_s: i64, feature: usize, value: f64) {
        if let Some(row) = self.window.grid.index(time_s) {
            self.window.row_mut(row)[feature] = value;
        }
    }

    /// The rows held.
    pub fn window(&self) -> &Window {
        &self.window
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn forgets_the_oldest_and_marks_gaps() {
        let mut fifo = Fifo::new(3, 2, 100, 10);
        fifo.advance(120);
        fifo.set(100, 0, 1.0);
        fifo.set(110, 1, 2.0);
        fifo.advance(140);
        assert_eq!(fifo.window().grid, Grid { start_s: 110, step_s: 10, len: 3 });
        assert_eq!(fifo.window().row(0)[1], 2.0);
        assert!(fifo.window().row(0)[0].is_nan() && fifo.window().row(2)[1].is_nan());
        fifo.set(100, 0, 9.0);
        fifo.advance(1_000);
        assert_eq!(fifo.window().grid.end_s(), 1_000);
        assert!(fifo.window().values.iter().all(|v| v.is_nan()));
    }

    proptest! {
        #[test]
        fn one_long_advance_is_many_short_ones(steps in prop::collection::vec(0i64..9, 0..20)) {
            let (mut often, mut once) = (Fifo::new(5, 1, 0, 10), Fifo::new(5, 1, 0, 10));
            let mut end_s = 0;
            for step in steps {
                end_s += step * 10;
                often.advance(end_s);
            }
            once.advance(end_s);
            prop_assert_eq!(often.window().grid, once.window().grid);
        }
    }
}

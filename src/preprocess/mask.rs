//! Taking out what no line can carry.

use serde::Deserialize;
use serde::Serialize;

use crate::math::stats;
use crate::series::Window;

/// Values above so many times the median of training are measuring errors, as of a counter that
/// started again: they become gaps. Where the line's speed is known, `checks.limit` is better.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mask {
    /// Above this many medians.
    pub medians: f64,
}

impl Mask {
    /// What would take out half of all rows, or nothing.
    pub(super) fn problem(self) -> Option<String> {
        let usable = self.medians > 1.0 && self.medians.is_finite();
        (!usable).then(|| format!("{} medians, wanted a number above 1", self.medians))
    }

    /// The limit of each feature; none where there is no median above zero to be a multiple of.
    pub(super) fn fit(self, train: &Window) -> Vec<Option<f64>> {
        let limit = |feature| {
            let values = train.column(feature).into_iter().filter(|v| v.is_finite());
            let sorted = stats::sorted(values);
            let median = if sorted.is_empty() { 0.0 } else { stats::quantile(&sorted, 0.5) };
            let limit = self.medians * median;
            (limit > 0.0 && limit.is_finite()).then_some(limit)
        };
        (0..train.n_features).map(limit).collect()
    }

    pub(super) fn apply(mut raw: Window, limits: &[Option<f64>]) -> Window {
        for i in 0..raw.grid.len {
            for (value, limit) in raw.row_mut(i).iter_mut().zip(limits) {
                if limit.is_some_and(|limit| *value > limit) {
                    *value = f64::NAN;
                }
            }
        }
        raw
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Grid;

    #[test]
    fn what_is_many_times_the_usual_is_a_gap() {
        let grid = Grid { start_s: 0, step_s: 300, len: 5 };
        let raw = |values: &[f64]| Window::single(grid, values.to_vec());
        let train = raw(&[1.0, 3.0, 2.0, f64::NAN, f64::INFINITY]);
        let limits = Mask { medians: 200.0 }.fit(&train);
        assert_eq!(limits, [Some(400.0)]);
        let out = Mask::apply(raw(&[400.0, 401.0, 0.0, -5.0, f64::INFINITY]), &limits);
        let gaps: Vec<bool> = out.values.iter().map(|v| v.is_nan()).collect();
        assert_eq!(gaps, [false, true, false, false, true]);
        for silent in [[0.0; 5], [f64::NAN; 5], [-1.0; 5], [1e308; 5]] {
            assert_eq!(Mask { medians: 200.0 }.fit(&raw(&silent)), [None]);
        }
    }

    #[test]
    fn what_takes_out_everything_or_nothing_is_a_problem() {
        for medians in [1.0, 0.0, -3.0, f64::NAN, f64::INFINITY] {
            assert!(Mask { medians }.problem().is_some(), "{medians}");
        }
        assert_eq!(Mask { medians: 200.0 }.problem(), None);
    }
}

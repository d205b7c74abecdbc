//! The steps that a watch may choose and order, and what has to be said of their order.

use serde::Deserialize;
use serde::Serialize;

use crate::preprocess::Despike;
use crate::preprocess::Fill;
use crate::preprocess::Hampel;
use crate::preprocess::Mask;
use crate::preprocess::resample;
use crate::series::Grid;

/// One step, from rows to rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// What stands in a gap.
    Fill(Fill),
    /// Values above a multiple of the median of training become gaps.
    Mask(Mask),
    /// Spikes by their z-score become gaps.
    Despike(Despike),
    /// Short bursts become the local median.
    Hampel(Hampel),
    /// Rows become sums over buckets of so many seconds.
    Bucket(i64),
    /// Each feature's transform.
    Transform,
    /// Each feature's scaler, fitted on training rows.
    Scale,
}

/// How far a row may look ahead: to the end of its bucket, since nothing is said of it before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Horizon {
    /// Of a bucket step that is yet to come.
    pub(super) bucket_s: Option<i64>,
}

impl Horizon {
    /// The last row that is known when row `i` is judged: its own, or its bucket's last.
    pub(super) fn last(self, grid: Grid, i: usize) -> usize {
        let Some(bucket_s) = self.bucket_s else { return i };
        let rows = resample::rows(grid.step_s, bucket_s);
        let ahead = rows - 1 - grid.time(i).div_euclid(grid.step_s).rem_euclid(rows);
        (i + ahead as usize).min(grid.len.saturating_sub(1))
    }
}

impl Step {
    /// Rows before its own, of those that the step is given, that a row may depend on.
    pub(super) fn n_rows_before(self) -> usize {
        match self {
            Step::Fill(fill) => fill.n_rows_before(),
            Step::Despike(despike) => despike.window.saturating_sub(1),
            Step::Hampel(hampel) => hampel.n_rows_before(),
            Step::Mask(_) | Step::Bucket(_) | Step::Transform | Step::Scale => 0,
        }
    }

    /// What is wrong with its settings.
    fn problem(self) -> Option<String> {
        match self {
            Step::Fill(fill) => fill.problem(),
            Step::Mask(mask) => mask.problem(),
            Step::Despike(despike) => despike.problem(),
            Step::Hampel(hampel) => hampel.problem(),
            Step::Bucket(bucket_s) if bucket_s <= 0 => Some("must be longer than zero".into()),
            Step::Bucket(_) | Step::Transform | Step::Scale => None,
        }
    }

    /// Its name in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Step::Fill(_) => "fill",
            Step::Mask(_) => "mask",
            Step::Despike(_) | Step::Hampel(_) => "despike",
            Step::Bucket(_) => "bucket",
            Step::Transform => "transform",
            Step::Scale => "scale",
        }
    }

    /// Whether a second one of its kind has no meaning.
    fn only_once(self) -> bool {
        matches!(self, Step::Mask(_) | Step::Bucket(_) | Step::Transform | Step::Scale)
    }

    /// Whether it wants the numbers as they were measured.
    fn wants_measured(self) -> bool {
        matches!(self, Step::Mask(_) | Step::Hampel(_) | Step::Bucket(_))
    }
}

/// Everything that is wrong with a list of steps: which step, and what.
pub fn problems(steps: &[Step]) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (i, step) in steps.iter().enumerate() {
        let (before, after) = (&steps[..i], &steps[i + 1..]);
        let had = |name: &str| before.iter().any(|step| step.name() == name);
        let what = step.problem().or_else(|| {
            if step.only_once() && had(step.name()) {
                Some("given twice; wanted once".to_string())
            } else if had("scale") {
                Some("after scale, which is the last of the steps".to_string())
            } else if had("transform") && step.wants_measured() {
                Some("after transform; wanted before it, on numbers as they were measured".into())
            } else if matches!(step, Step::Fill(Fill::Interpolate(_)))
                && !after.iter().any(|step| step.name() == "bucket")
            {
                Some(
                    "without a bucket after it: when a row is judged, the value after its gap is \
                     yet to come; wanted previous, or a bucket"
                        .into(),
                )
            } else {
                None
            }
        });
        found.extend(what.map(|what| (i, what)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_has_to_make_sense() {
        let hampel = Step::Hampel(Hampel { window: 25, threshold: 4.0, run: 3 });
        let (bucket, mask) = (Step::Bucket(1800), Step::Mask(Mask { medians: 200.0 }));
        let line = Step::Fill(Fill::Interpolate(3));
        assert_eq!(problems(&[line, mask, hampel, bucket, Step::Transform, Step::Scale]), []);
        assert_eq!(problems(&[bucket, mask, hampel, hampel]), []);
        let which =
            |steps: &[Step]| problems(steps).into_iter().map(|(i, _)| i).collect::<Vec<_>>();
        assert_eq!(which(&[bucket, bucket, Step::Scale, Step::Scale, hampel]), [1, 3, 4]);
        assert_eq!(which(&[Step::Transform, bucket, mask, hampel]), [1, 2, 3]);
        assert_eq!(which(&[bucket, line]), [1]);
        assert_eq!(which(&[Step::Bucket(0), Step::Fill(Fill::Previous(0))]), [0, 1]);
    }

    #[test]
    fn one_sees_to_the_end_of_the_bucket() {
        let grid = Grid { start_s: 900, step_s: 300, len: 12 };
        let last = |bucket_s| [0, 2, 3, 8, 9, 11].map(|i| Horizon { bucket_s }.last(grid, i));
        assert_eq!(last(Some(1800)), [2, 2, 8, 8, 11, 11]);
        assert_eq!(last(None), [0, 2, 3, 8, 9, 11]);
        assert_eq!(last(Some(300)), last(None));
    }
}

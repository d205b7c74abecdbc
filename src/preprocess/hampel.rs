//! Taking short bursts out by Hampel's identifier on the logarithm.
//!
//! Source: Hampel, "The influence curve and its role in robust estimation", JASA 69 (1974); the moving
//! form is Pearson, "Outliers in process modeling and identification", IEEE TCST 10 (2002). A median
//! and a median deviation are not moved by the outlier they judge, unlike the mean of a z-score.

use serde::Deserialize;
use serde::Serialize;

use crate::math::stats::SIGMA_PER_MAD;
use crate::preprocess::steps::Horizon;
use crate::series::Window;

/// Rows whose logarithm is further than `threshold` × 1.4826 MAD from the median of the last `window`
/// rows, its own included, become that median, where no more than `run` of them are in a row: what
/// lasts longer is what one looks for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hampel {
    /// Rows.
    pub window: usize,
    /// Standard deviations of Gaussian noise.
    pub threshold: f64,
    /// The longest run that is taken out, in rows. How long a run is can be seen up to the end of its
    /// bucket; without buckets only the run so far counts.
    pub run: usize,
}

impl Hampel {
    /// Why these settings can never take out what they say; nothing if they can.
    pub fn problem(&self) -> Option<String> {
        let Hampel { window, threshold, run } = *self;
        if !(threshold > 0.0 && threshold <= 1000.0) {
            return Some(format!("a threshold of {threshold}, wanted above 0 and at most 1000"));
        }
        if run == 0 {
            return Some("runs of no row are taken out; wanted at least one row".into());
        }
        let enough = run.saturating_mul(2).saturating_add(1);
        (window < enough).then(|| {
            format!(
                "of a window of {window} rows a run of {run} is the half, which a median does not \
                 see past; wanted at least {enough} rows"
            )
        })
    }

    /// Rows before its own that a row may depend on: the window of the first row of its run.
    pub(super) fn n_rows_before(&self) -> usize {
        self.window.saturating_add(self.run).saturating_sub(1)
    }

    pub(super) fn apply(&self, mut raw: Window, horizon: Horizon) -> Window {
        for feature in 0..raw.n_features {
            let logs: Vec<f64> = raw.column(feature).into_iter().map(log).collect();
            let medians = self.outliers(&logs);
            for i in 0..logs.len() {
                let Some(median) = medians[i] else { continue };
                if self.is_short(&medians, i, horizon.last(raw.grid, i)) {
                    raw.row_mut(i)[feature] = median.exp_m1();
                }
            }
        }
        raw
    }

    /// Of each row that is an outlier, the median of its window.
    fn outliers(&self, logs: &[f64]) -> Vec<Option<f64>> {
        let mut buffer = Vec::new();
        let outlier =
            |i: usize| self.outlier(&logs[(i + 1).saturating_sub(self.window)..=i], &mut buffer);
        (0..logs.len()).map(outlier).collect()
    }

    fn outlier(&self, logs: &[f64], buffer: &mut Vec<f64>) -> Option<f64> {
        let value = *logs.last().filter(|v| !v.is_nan())?;
        buffer.clear();
        buffer.extend(logs.iter().filter(|v| !v.is_nan()));
        // A few values are no neighbourhood.
        if buffer.len() < 3 || buffer.len() < self.window.div_ceil(2) {
            return None;
        }
        let median = median(buffer);
        buffer.iter_mut().for_each(|v| *v = (*v - median).abs());
        let spread = SIGMA_PER_MAD * self::median(buffer);
        // Where most rows are the same, as on a port that is mostly silent, each other one is news.
        (spread > 0.0 && (value - median).abs() > self.threshold * spread).then_some(median)
    }

    /// Whether the run of outliers around row `i`, seen up to row `last`, is short enough.
    fn is_short(&self, outliers: &[Option<f64>], i: usize, last: usize) -> bool {
        let back = outliers[..i].iter().rev().take(self.run).take_while(|o| o.is_some()).count();
        let ahead =
            outliers[i + 1..=last].iter().take(self.run).take_while(|o| o.is_some()).count();
        back + 1 + ahead <= self.run
    }
}

/// The logarithm of traffic; what is below zero counts as zero, and what is not finite is a gap.
fn log(value: f64) -> f64 {
    if value.is_finite() { value.max(0.0).ln_1p() } else { f64::NAN }
}

/// The middle one, or the mean of the middle two; reorders them. There is at least one.
fn median(values: &mut [f64]) -> f64 {
    let middle = values.len() / 2;
    let odd = values.len() % 2 == 1;
    let (below, upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    match odd {
        true => *upper,
        false => (below.iter().copied().fold(f64::NEG_INFINITY, f64::max) + *upper) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Grid;

    const HAMPEL: Hampel = Hampel { window: 25, threshold: 4.0, run: 3 };

    fn base(i: usize) -> f64 {
        100.0 + (i * 37 % 11) as f64
    }

    /// The rows that differ after it.
    fn changed(spikes: std::ops::Range<usize>, bucket_s: Option<i64>) -> Vec<usize> {
        let value = |i| if spikes.contains(&i) { 9000.0 } else { base(i) };
        let values: Vec<f64> = (0..96).map(value).collect();
        let grid = Grid { start_s: 0, step_s: 300, len: 96 };
        let out = HAMPEL.apply(Window::single(grid, values.clone()), Horizon { bucket_s });
        let changed: Vec<usize> = (0..96).filter(|&i| out.values[i] != values[i]).collect();
        assert!(changed.iter().all(|&i| (99.0..112.0).contains(&out.values[i])));
        changed
    }

    #[test]
    fn short_bursts_become_the_median_and_events_stay() {
        assert_eq!(changed(40..41, Some(1800)), [40]);
        assert_eq!(changed(42..45, Some(1800)), [42, 43, 44]);
        assert_eq!(changed(42..46, Some(1800)), [0; 0], "four rows are no burst");
        assert_eq!(changed(42..70, Some(1800)), [0; 0]);
        // At the end of its bucket nobody knows whether it goes on.
        assert_eq!(changed(46..70, Some(1800)), [46, 47]);
        assert_eq!(changed(42..70, None), [42, 43, 44], "without buckets only the past is known");
    }

    #[test]
    fn what_can_never_fire_is_refused() {
        assert_eq!(HAMPEL.problem(), None);
        let text = Hampel { window: 6, ..HAMPEL }.problem().unwrap();
        assert!(text.ends_with("wanted at least 7 rows"), "{text}");
        assert_eq!(Hampel { window: 7, ..HAMPEL }.problem(), None);
        for threshold in [0.0, -1.0, f64::NAN, 2000.0] {
            assert!(Hampel { threshold, ..HAMPEL }.problem().is_some());
        }
        assert!(Hampel { run: 0, ..HAMPEL }.problem().is_some());
        assert!(Hampel { run: usize::MAX, ..HAMPEL }.problem().is_some());
    }

    #[test]
    fn medians_of_even_and_odd() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(&mut [4.0]), 4.0);
    }
}

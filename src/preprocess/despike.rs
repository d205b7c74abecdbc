//! Taking single spikes out by their z-score in a moving window.

use serde::Deserialize;
use serde::Serialize;

use crate::series::Window;

/// A row further than `threshold` sample standard deviations from the mean of the last `window`
/// rows, its own included, becomes a gap.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Despike {
    /// Rows, before buckets are made.
    pub window: usize,
    /// Standard deviations.
    pub threshold: f64,
}

/// The largest z-score of any of `n` values, by Samuelson's inequality for the sample standard
/// deviation: (n−1)/√n.
fn largest_z(n: usize) -> f64 {
    (n as f64 - 1.0) / (n as f64).sqrt()
}

impl Despike {
    /// Why these settings can never take anything out; nothing if they can.
    pub fn problem(&self) -> Option<String> {
        let Despike { window, threshold } = *self;
        if !(threshold > 0.0 && threshold <= 1000.0) {
            return Some(format!("a threshold of {threshold}, wanted above 0 and at most 1000"));
        }
        if window >= 2 && largest_z(window) > threshold {
            return None;
        }
        // (n−1)/√n > z is a quadratic in √n.
        let root = (threshold + (threshold * threshold + 4.0).sqrt()) / 2.0;
        let mut enough = (root * root).floor().max(2.0) as usize;
        while largest_z(enough) <= threshold {
            enough += 1;
        }
        Some(format!(
            "in a window of {window} rows no z-score exceeds (n−1)/√n = {:.3}, so a threshold of \
             {threshold} takes nothing out; wanted at least {enough} rows",
            if window == 0 { 0.0 } else { largest_z(window) }
        ))
    }

    /// The rows with spikes as gaps. Causal: later rows change nothing.
    pub(super) fn apply(&self, raw: &Window) -> Window {
        let mut out = raw.clone();
        for feature in 0..raw.n_features {
            let values = raw.column(feature);
            for i in 0..values.len() {
                let from = (i + 1).saturating_sub(self.window);
                if self.is_spike(&values[from..=i]) {
                    out.row_mut(i)[feature] = f64::NAN;
                }
            }
        }
        out
    }

    /// Whether the last value is one.
    fn is_spike(&self, values: &[f64]) -> bool {
        let valid = || values.iter().copied().filter(|v| v.is_finite());
        let n = valid().count() as f64;
        let (Some(&last), true) = (values.last(), n >= 2.0) else {
            return false;
        };
        let mean = valid().sum::<f64>() / n;
        let deviation = (valid().map(|v| (v - mean) * (v - mean)).sum::<f64>() / (n - 1.0)).sqrt();
        deviation > 0.0 && (last - mean).abs() > self.threshold * deviation
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Grid;

    #[test]
    fn what_can_never_fire_is_refused() {
        let problem = |window, threshold| Despike { window, threshold }.problem();
        let text = problem(4, 2.0).unwrap();
        assert!(text.contains("(n−1)/√n = 1.500") && text.ends_with("at least 6 rows"), "{text}");
        assert_eq!((problem(6, 2.0), problem(24, 2.0)), (None, None));
        assert!(problem(5, 2.0).is_some() && problem(0, 2.0).is_some());
        assert!(problem(24, f64::NAN).is_some() && problem(24, -1.0).is_some());
        assert!(problem(9, 1000.0).unwrap().contains("1000002"));
    }

    #[test]
    fn a_spike_becomes_a_gap() {
        let mut values = [1.0, 2.0].repeat(20);
        values[30] = 500.0;
        values[10] = f64::NAN;
        let raw = Window::single(Grid { start_s: 0, step_s: 300, len: 40 }, values);
        let out = Despike { window: 24, threshold: 2.0 }.apply(&raw);
        let gaps: Vec<usize> = (0..40).filter(|&i| out.values[i].is_nan()).collect();
        assert_eq!(gaps, [10, 30]);
    }
}

//! Locally linear smoothing with tricube weights (loess) of evenly spaced values.
//!
//! Owns: one smoothing pass, with or without weights per value, and its value at one place.
//! Source: Cleveland, Cleveland, McRae, Terpenning, "STL: A Seasonal-Trend Decomposition Procedure
//! Based on Loess", Journal of Official Statistics 6 (1990). Values have no gaps here.

use std::ops::Range;

/// A loess of `span` neighbours, with its weights for places that have them on both sides.
#[derive(Debug, Clone)]
pub struct Loess {
    span: usize,
    /// Tricube weights by distance from the middle of a full window.
    table: Vec<f64>,
}

impl Loess {
    /// A smoother of `span` neighbours: odd, at least 3.
    pub fn new(span: usize) -> Loess {
        let half = span / 2;
        let table = (0..=half).map(|distance| tricube(distance as f64, half as f64)).collect();
        Loess { span, table }
    }

    /// Smooths `values` into `out`, of the same length. `weights` are those of the values.
    pub fn smooth(&self, values: &[f64], weights: Option<&[f64]>, out: &mut [f64]) {
        let n = values.len();
        if n < 2 {
            out.copy_from_slice(values);
            return;
        }
        let total = self.table[0] + 2.0 * self.table[1..].iter().sum::<f64>();
        let half = self.span / 2;
        for at in 0..n {
            let inside = at >= half && at + half < n && self.span < n;
            let smoothed = match weights {
                None if inside => Some(self.middle(&values[at - half..=at + half]) / total),
                _ => {
                    let from = at.saturating_sub(half).min(n.saturating_sub(self.span));
                    let window = from..(from + self.span).min(n);
                    self.at(values, weights, at as f64, window)
                }
            };
            out[at] = smoothed.unwrap_or(values[at]);
        }
    }

    /// The smoothed value at `place` (in rows, may lie outside) from the values of `window`; none
    /// where no value has weight.
    pub fn at(
        &self,
        values: &[f64],
        weights: Option<&[f64]>,
        place: f64,
        window: Range<usize>,
    ) -> Option<f64> {
        let n = values.len();
        let mut reach = (place - window.start as f64).max(window.end as f64 - 1.0 - place);
        if self.span > n {
            reach += ((self.span - n) / 2) as f64;
        }
        let tabled = reach == (self.table.len() - 1) as f64;
        let weight = |row: usize| {
            let distance = (row as f64 - place).abs();
            let near =
                if tabled { self.table[distance as usize] } else { tricube(distance, reach) };
            weights.map_or(near, |w| near * w[row])
        };
        let (mut sum, mut first) = (0.0, 0.0);
        for row in window.clone() {
            let w = weight(row);
            sum += w;
            first += w * (row as f64 - place);
        }
        if sum <= 0.0 {
            return None;
        }
        let mean = first / sum;
        let (mut level, mut second, mut cross) = (0.0, 0.0, 0.0);
        for row in window {
            let (w, offset) = (weight(row), row as f64 - place - mean);
            level += w * values[row];
            second += w * offset * offset;
            cross += w * offset * values[row];
        }
        let spread = second / sum;
        let slope = if spread.sqrt() > 0.001 * (n - 1) as f64 { cross / sum / spread } else { 0.0 };
        Some(level / sum - slope * mean)
    }

    /// Sum of tricube weights times values, in the middle of a full window of equal weights: the
    /// linear term falls out by symmetry.
    fn middle(&self, window: &[f64]) -> f64 {
        let half = self.table.len() - 1;
        let (left, right) = (&window[..half], &window[half + 1..]);
        let pairs = left.iter().rev().zip(right).zip(&self.table[1..]);
        self.table[0] * window[half] + pairs.map(|((l, r), w)| w * (l + r)).sum::<f64>()
    }
}

/// (1 − (distance/reach)³)³, flat very near the middle and zero very near the end.
fn tricube(distance: f64, reach: f64) -> f64 {
    if distance > 0.999 * reach {
        0.0
    } else if distance <= 0.001 * reach {
        1.0
    } else {
        let part = distance / reach;
        (1.0 - part * part * part).powi(3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_a_line() {
        let values: Vec<f64> = (0..40).map(|i| 3.0 - 0.5 * f64::from(i)).collect();
        let weights: Vec<f64> = (0..40).map(|i| f64::from(i % 3)).collect();
        for (span, weights) in [(7, None), (7, Some(&weights[..])), (99, None)] {
            let mut out = vec![0.0; 40];
            Loess::new(span).smooth(&values, weights, &mut out);
            assert!(out.iter().zip(&values).all(|(a, b)| (a - b).abs() < 1e-12), "{span}");
        }
    }

    #[test]
    fn without_any_weight_values_stay() {
        let mut out = vec![0.0; 9];
        let values: Vec<f64> = (0..9).map(|i| f64::from(i * i)).collect();
        Loess::new(3).smooth(&values, Some(&[0.0; 9]), &mut out);
        assert_eq!(out, values);
    }
}

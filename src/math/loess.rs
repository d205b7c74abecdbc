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
    /// Tricube weights over a full window, and their sum.
    table: Vec<f64>,
    total: f64,
}

impl Loess {
    /// A smoother of `span` neighbours: odd, at least 3.
    pub fn new(span: usize) -> Loess {
        let half = span / 2;
        let weight = |row: usize| tricube(row.abs_diff(half) as f64, half as f64);
        let table: Vec<f64> = (0..2 * half + 1).map(weight).collect();
        Loess { span, total: table.iter().sum(), table }
    }

    /// Smooths `values` into `out`, of the same length. `weights` are those of the values.
    pub fn smooth(&self, values: &[f64], weights: Option<&[f64]>, out: &mut [f64]) {
        let n = values.len();
        if n < 2 {
            out.copy_from_slice(values);
            return;
        }
        let half = self.span / 2;
        for at in 0..n {
            let inside = at >= half && at + half < n && self.span < n;
            let smoothed = if inside {
                let window = at - half..=at + half;
                self.middle(&values[window.clone()], weights.map(|w| &w[window]), n)
            } else {
                let from = at.saturating_sub(half).min(n.saturating_sub(self.span));
                let window = from..(from + self.span).min(n);
                self.at(values, weights, at as f64, window)
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
        let mut moments = Moments::default();
        for row in window {
            let near = tricube((row as f64 - place).abs(), reach);
            let weight = weights.map_or(near, |w| near * w[row]);
            moments.add(weight, row as f64 - place, values[row]);
        }
        moments.line_at_zero(n)
    }

    /// The smoothed value in the middle of a full window of a series of `n`.
    fn middle(&self, window: &[f64], weights: Option<&[f64]>, n: usize) -> Option<f64> {
        let Some(weights) = weights else {
            // The linear term falls out by symmetry.
            return Some(dot(&self.table, window) / self.total);
        };
        // Independent sums, since each addition has to wait for the one before it.
        let mut lanes = [Moments::default(); LANES];
        let mut offset = -((self.span / 2) as f64);
        for first in (0..window.len()).step_by(LANES) {
            let last = (first + LANES).min(window.len());
            for (row, lane) in (first..last).zip(&mut lanes) {
                lane.add(self.table[row] * weights[row], offset, window[row]);
                offset += 1.0;
            }
        }
        let sum = lanes.into_iter().fold(Moments::default(), Moments::plus);
        sum.line_at_zero(n)
    }
}

/// Scalar product in independent sums.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut lanes = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    let rest = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f64>();
    lanes.iter().sum::<f64>() + rest
}

/// Sums that are kept side by side.
const LANES: usize = 4;

/// Weighted moments of offsets from a place, and of the values there.
#[derive(Debug, Clone, Copy, Default)]
struct Moments {
    sum: f64,
    first: f64,
    second: f64,
    level: f64,
    cross: f64,
}

impl Moments {
    fn add(&mut self, weight: f64, offset: f64, value: f64) {
        let (w_offset, w_value) = (weight * offset, weight * value);
        self.sum += weight;
        self.first += w_offset;
        self.second += w_offset * offset;
        self.level += w_value;
        self.cross += w_value * offset;
    }

    fn plus(self, other: Moments) -> Moments {
        Moments {
            sum: self.sum + other.sum,
            first: self.first + other.first,
            second: self.second + other.second,
            level: self.level + other.level,
            cross: self.cross + other.cross,
        }
    }

    /// The fitted line at offset zero; level where the offsets hardly differ against `n` rows.
    fn line_at_zero(&self, n: usize) -> Option<f64> {
        if self.sum <= 0.0 {
            return None;
        }
        let (mean, level) = (self.first / self.sum, self.level / self.sum);
        let spread = self.second / self.sum - mean * mean;
        let enough = spread.sqrt() > 0.001 * (n - 1) as f64;
        let slope = if enough { (self.cross / self.sum - mean * level) / spread } else { 0.0 };
        Some(level - slope * mean)
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

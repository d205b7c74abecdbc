//! Locally linear smoothing with tricube weights (loess) of evenly spaced values.
//!
//! Owns: one smoothing pass, with a weight per value, and its line at one place.
//! Source: Cleveland, Cleveland, McRae, Terpenning, "STL: A Seasonal-Trend Decomposition Procedure
//! Based on Loess", Journal of Official Statistics 6 (1990). Values have no gaps here: one is a value
//! of weight zero.
//!
//! A smoothed value is a sum over its neighbours, Σ (a + b·offset)·near·weight·value, whose a and b
//! depend on weights alone: they are worked out once for all values that are smoothed under them.

mod moments;

use std::ops::Range;

use moments::Tricube;

/// Below this part of the weight of a window, sums by powers have lost too many digits.
const FAR: f64 = 1e-3;

/// A loess of `span` neighbours.
#[derive(Debug, Clone)]
pub struct Loess {
    span: usize,
    window: Tricube,
    moments: Vec<[f64; 2]>,
}

/// Weights of values, and what a [`Loess`] makes of them.
#[derive(Debug, Clone)]
pub struct Trusted {
    weights: Vec<f64>,
    lines: Vec<Line>,
    /// Rows that have to be summed one neighbour after the other.
    plainly: Vec<usize>,
    /// All are the same, so that the slope of a whole window falls out by symmetry.
    even: bool,
}

/// The factors of Σ w·value and Σ w·offset·value in the value of the fitted line at offset zero.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    /// Of the values' weighted sum.
    pub level: f64,
    /// Of their weighted sum times the offset.
    pub slope: f64,
}

impl Line {
    /// Of no values.
    const NONE: Line = Line { level: f64::NAN, slope: 0.0 };

    /// The line through values of these weighted moments of their offsets: Σ w, Σ w·d and Σ w·d². It
    /// is level where offsets hardly differ against `n` rows, and NaN without any weight.
    #[inline(always)]
    pub fn of(sum: f64, first: f64, second: f64, n: usize) -> Line {
        if sum <= 0.0 {
            return Line::NONE;
        }
        let part = 1.0 / sum;
        let mean = first * part;
        let spread = second * part - mean * mean;
        let least = 0.001 * (n - 1) as f64;
        let slope = if spread > least * least { -mean / spread } else { 0.0 };
        Line { level: (1.0 - slope * mean) * part, slope: slope * part }
    }
}

impl Loess {
    /// A smoother of `span` neighbours: odd, at least 3.
    pub fn new(span: usize) -> Loess {
        Loess { span, window: Tricube::new(span / 2), moments: Vec::new() }
    }

    /// Works out what the weights of values ask for.
    pub fn trust(&mut self, weights: Vec<f64>) -> Trusted {
        let n = weights.len();
        if self.span >= n {
            let plainly = (0..n).collect();
            return Trusted { weights, lines: Vec::new(), plainly, even: false };
        }
        let mut moments = vec![[0.0; 3]; n];
        let even = weights.iter().all(|w| *w == weights[0]);
        self.window.moments(weights.iter().copied(), false, &mut moments);
        let heaviest = weights.iter().fold(0.0, |a: f64, w| a.max(*w));
        let least = FAR * heaviest * self.span as f64;
        let far = |[sum, first, second]: &[f64; 3]| {
            *sum < least || second * sum - first * first < FAR * second * sum
        };
        let plainly = (0..n).filter(|&row| far(&moments[row])).collect();
        let line = |[sum, first, second]: [f64; 3]| Line::of(sum, first, second, n);
        let mut lines: Vec<Line> = moments.into_iter().map(line).collect();
        if even {
            let half = self.span / 2;
            lines[half..n - half].iter_mut().for_each(|line| line.slope = 0.0);
        }
        Trusted { weights, lines, plainly, even }
    }

    /// Smooths `values` into `out`, both as long as `trusted`; NaN where no neighbour has weight.
    pub fn smooth(&mut self, values: &[f64], trusted: &Trusted, out: &mut [f64]) {
        let n = values.len();
        let Trusted { weights, lines, plainly, even } = trusted;
        if self.span < n {
            self.moments.resize(n, [0.0; 2]);
            let weighted = values.iter().zip(weights).map(|(v, w)| v * w);
            self.window.moments(weighted, *even, &mut self.moments);
            for ((out, line), [level, cross]) in out.iter_mut().zip(lines).zip(&self.moments) {
                *out = line.level * level + line.slope * cross;
            }
        }
        let half = self.span / 2;
        for &row in plainly {
            let from = row.saturating_sub(half).min(n.saturating_sub(self.span));
            let window = from..(from + self.span).min(n);
            out[row] = self.at(values, weights, row as f64, window);
        }
    }

    /// The smoothed value at `place`, in rows, from the values of `window`; NaN where none has weight.
    fn at(&self, values: &[f64], weights: &[f64], place: f64, window: Range<usize>) -> f64 {
        let reach = reach(self.span, values.len(), place, &window);
        let (mut sums, mut level, mut cross) = ([0.0; 3], 0.0, 0.0);
        for row in window {
            let offset = row as f64 - place;
            let weight = tricube(offset.abs(), reach) * weights[row];
            sums[0] += weight;
            sums[1] += weight * offset;
            sums[2] += weight * offset * offset;
            level += weight * values[row];
            cross += weight * offset * values[row];
        }
        let line = Line::of(sums[0], sums[1], sums[2], values.len());
        line.level * level + line.slope * cross
    }
}

/// How far the weights of a window reach around a place: a span longer than the series reaches on.
pub fn reach(span: usize, n: usize, place: f64, window: &Range<usize>) -> f64 {
    let inside = (place - window.start as f64).max(window.end as f64 - 1.0 - place);
    inside + (span.saturating_sub(n) / 2) as f64
}

/// (1 − (distance/reach)³)³, flat very near the middle and zero very near the end.
pub fn tricube(distance: f64, reach: f64) -> f64 {
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
        for (span, weights) in [(7, vec![1.0; 40]), (7, weights), (99, vec![1.0; 40])] {
            let mut out = vec![0.0; 40];
            let mut loess = Loess::new(span);
            let trusted = loess.trust(weights);
            loess.smooth(&values, &trusted, &mut out);
            assert!(out.iter().zip(&values).all(|(a, b)| (a - b).abs() < 1e-12), "{span}");
        }
    }

    #[test]
    fn without_any_weight_nothing_is_known() {
        let mut out = vec![0.0; 9];
        let mut loess = Loess::new(3);
        let trusted = loess.trust(vec![0.0; 9]);
        loess.smooth(&[5.0; 9], &trusted, &mut out);
        assert!(out.iter().all(|v| v.is_nan()));
    }

    #[test]
    fn weight_far_off_counts_for_what_it_is() {
        let values: Vec<f64> = (0..400).map(|i| (f64::from(i) * 0.1).sin()).collect();
        let weights: Vec<f64> = (0..400).map(|i| f64::from(u8::from(i % 97 < 2))).collect();
        let mut loess = Loess::new(101);
        let (mut fast, mut plain) = (vec![0.0; 400], vec![0.0; 400]);
        let mut trusted = loess.trust(weights);
        loess.smooth(&values, &trusted, &mut fast);
        trusted.plainly = (0..400).collect();
        loess.smooth(&values, &trusted, &mut plain);
        for (row, (a, b)) in fast.iter().zip(&plain).enumerate() {
            assert!((a - b).abs() < 1e-9, "{row}: {a} {b}");
        }
    }
}

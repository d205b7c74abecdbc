//! How the networks read windows.
//!
//! Owns: each feature's centre and scale, which windows are too empty. Does not own: gap channels, clipping
//! and what is hidden in training (`frames`), which are those of the detector.

use crate::detect::RestoreError;
use crate::detect::Tensor;
use crate::detect::Tensors;
use crate::detect::deep::frames::Batch;
use crate::detect::deep::frames::FAR;
use crate::detect::deep::frames::TAIL;
use crate::detect::deep::frames::push_input;
use crate::detect::deep::frames::push_partly_hidden;
use crate::detect::deep::frames::push_target;
use crate::detect::deep::train::thin;
use crate::math::random::Random;
use crate::math::stats;

/// Windows that centres and scales are learnt from, at most.
const MOST_MEASURED: usize = 512;

/// Width of the middle 90 % of a normal distribution, in standard deviations.
const SIGMAS: f64 = 3.29;

/// What brings each feature near a mean of 0 and a spread of 1.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scaler {
    centres: Vec<f32>,
    scales: Vec<f32>,
}

impl Scaler {
    /// From the cells of these windows: the median, and the spread of the middle 90 %, for a feature that is
    /// nearly always the same its standard deviation, and 1 for one that always is.
    pub(super) fn of(windows: &[&[f32]], features: usize) -> Scaler {
        let places: Vec<usize> = (0..windows.len()).collect();
        let places = thin(&places, MOST_MEASURED);
        let one = |f: usize| {
            let cells = places.iter().flat_map(|&i| windows[i].iter().skip(f).step_by(features));
            let sorted = stats::sorted(cells.map(|&v| f64::from(v)).filter(|v| v.is_finite()));
            let centre = stats::median(sorted.iter().copied());
            let middle = (stats::quantile(&sorted, 0.95) - stats::quantile(&sorted, 0.05)) / SIGMAS;
            let squares: f64 = sorted.iter().map(|v| (v - centre) * (v - centre)).sum();
            let spread = if middle > 0.0 { middle } else { (squares / sorted.len() as f64).sqrt() };
            let usable = |v: f32| v.is_normal() && v > 0.0;
            let scale = Some(spread as f32).filter(|&v| usable(v)).unwrap_or(1.0);
            (if centre.is_nan() { 0.0 } else { centre as f32 }, scale)
        };
        let (centres, scales) = (0..features).map(one).unzip();
        Scaler { centres, scales }
    }

    /// The window in scaled units, row-major.
    fn scaled(&self, window: &[f32]) -> Vec<f32> {
        let row = |row: &[f32]| -> Vec<f32> {
            let own = self.centres.iter().zip(&self.scales);
            row.iter().zip(own).map(|(v, (c, s))| ((v - c) / s).clamp(-FAR, FAR)).collect()
        };
        window.chunks(self.centres.len()).flat_map(row).collect()
    }

    /// What a network reads: `[batch, rows, 2 × features]`.
    pub(super) fn inputs(&self, windows: &[&[f32]]) -> Vec<f32> {
        let features = self.centres.len();
        let mut out = Vec::new();
        for window in windows {
            for row in self.scaled(window).chunks(features) {
                push_input(Some(row), features, |_| false, &mut out);
            }
        }
        out
    }

    /// Windows to train on: with some of each hidden, all of which should come out.
    pub(super) fn hidden(&self, windows: &[&[f32]], random: &mut Random) -> Batch {
        let features = self.centres.len();
        let mut out = Batch::default();
        for window in windows {
            let window = self.scaled(window);
            push_partly_hidden(window.chunks(features).map(Some), features, random, &mut out);
        }
        out
    }

    /// Windows to judge an autoencoder by: all of each is shown, and all of it should come out.
    pub(super) fn shown(&self, windows: &[&[f32]]) -> Batch {
        let features = self.centres.len();
        let mut out = Batch { input: self.inputs(windows), ..Batch::default() };
        for window in windows {
            for row in self.scaled(window).chunks(features) {
                push_target(Some(row), features, 1.0, &mut out);
            }
        }
        out
    }

    /// Root mean square over the newest rows of what each feature is off from `rebuilt`, a whole window in
    /// scaled units; NaN where those rows are gaps.
    pub(super) fn errors(&self, window: &[f32], rebuilt: &[f32]) -> Vec<f32> {
        let features = self.centres.len();
        let scaled = self.scaled(window);
        let from = scaled.len().saturating_sub(TAIL * features);
        let error = |f: usize| {
            let pairs = scaled[from..].iter().zip(&rebuilt[from..]).skip(f).step_by(features);
            let squares = pairs.filter(|(v, _)| !v.is_nan()).map(|(v, r)| (v - r) * (v - r));
            let (sum, n) = squares.fold((0.0, 0.0), |(sum, n), square| (sum + square, n + 1.0));
            (sum / n).sqrt()
        };
        (0..features).map(error).collect()
    }

    pub(super) fn save(&self, out: &mut Vec<Tensor>) {
        out.push(Tensor::flat("scaler.centre", self.centres.clone()));
        out.push(Tensor::flat("scaler.scale", self.scales.clone()));
    }

    pub(super) fn restore(tensors: &mut Tensors, features: usize) -> Result<Scaler, RestoreError> {
        let centres = tensors.take("scaler.centre", &[features])?;
        let scales: Vec<f32> = tensors.take("scaler.scale", &[features])?;
        match scales.iter().all(|&s| s > 0.0) {
            true => Ok(Scaler { centres, scales }),
            false => Err(RestoreError("a scale is not above 0".to_string())),
        }
    }
}

/// Whether at least half the cells hold a number, and one of the newest row's does: only then is there
/// anything to judge.
pub(super) fn readable(window: &[f32], features: usize) -> bool {
    let seen = |cells: &[f32]| cells.iter().filter(|v| !v.is_nan()).count();
    let newest = &window[window.len().saturating_sub(features)..];
    2 * seen(window) >= window.len() && seen(newest) > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_of_any_unit_come_near_one() {
        let mut random = Random::new(1);
        let window: Vec<f32> = (0..1000)
            .flat_map(|i| {
                let u = random.unit_f32();
                [1e9 + 1e7 * u, u * 1e-6, f32::from(i % 50 == 0), 7.0, f32::NAN]
            })
            .collect();
        let scaler = Scaler::of(&[&window], 5);
        let scaled = scaler.scaled(&window);
        for f in 0..3 {
            let column: Vec<f32> = scaled.iter().skip(f).step_by(5).copied().collect();
            let most = column.iter().fold(0.0f32, |m, v| m.max(v.abs()));
            assert!((0.5..10.0).contains(&most), "{f}: {most}");
        }
        assert_eq!(scaled[3], 0.0);
        assert!(scaled[4].is_nan());
        let wild = [f32::INFINITY, f32::NEG_INFINITY, 1e38, 8.0, 1.0];
        assert_eq!(scaler.scaled(&wild), [FAR, -FAR, FAR, 1.0, 1.0]);
    }

    #[test]
    fn an_empty_window_is_not_readable() {
        let gap = f32::NAN;
        assert!(readable(&[1.0, gap, 1.0, gap], 2));
        assert!(!readable(&[1.0, 1.0, gap, gap], 2));
        assert!(!readable(&[gap, gap, gap, 1.0], 2));
    }
}

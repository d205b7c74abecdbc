//! What is measured on normal windows once an autoencoder is trained.
//!
//! Owns: usual errors, the space of latent vectors. Does not own: the threshold's choice (`threshold`).

use super::Measure;
use super::Reconstruction;
use super::Threshold;
use crate::detect::RestoreError;
use crate::detect::Tensor;
use crate::detect::Tensors;
use crate::detect::deep::rfc::groups::distance;
use crate::math::whitening::Whitening;

/// A feature's mean square error is at least so much usually: that of a twentieth of its spread.
const SMALLEST_USUAL: f32 = 0.05 * 0.05;

/// Errors vary by at least so much, in units of a feature's spread: one that was dead flat in training is not
/// infinitely conspicuous.
const SMALLEST_DEVIATION: f32 = 0.01;

/// What the network made of one window.
#[derive(Clone)]
pub(super) struct Seen {
    pub(super) errors: Vec<f32>,
    pub(super) latent: Vec<f32>,
}

/// Measured on normal windows after training.
#[derive(Debug, Clone)]
pub(super) struct Learnt {
    /// Of normal latent vectors.
    pub(super) whitening: Whitening,
    pub(super) threshold: Threshold,
    error_means: Vec<f32>,
    error_deviations: Vec<f32>,
}

impl Learnt {
    /// From normal windows, of which there is at least one; none where what was seen is no numbers.
    pub(super) fn of(seen: &[&Seen]) -> Option<Learnt> {
        let (errors, latent) = seen.first().map(|s| (s.errors.len(), s.latent.len()))?;
        let column = |f: usize| mean_and_deviation(seen.iter().map(|s| s.errors[f]));
        let (error_means, error_deviations) = (0..errors).map(column).unzip();
        let latents: Vec<f64> = seen.iter().flat_map(|s| wide(&s.latent)).collect();
        let exact = Whitening::of(&latents, latent)?;
        // As a file holds it, so that what comes from there says the same.
        let kept = |values| wide(&narrow(values));
        let whitening = Whitening::from_lower(kept(exact.mean()), kept(exact.lower()))?;
        let threshold = Threshold { by: Measure::Error, value: 0.0 };
        let mut learnt = Learnt { whitening, threshold, error_means, error_deviations };
        let largest = seen.iter().map(|s| learnt.error(&s.errors)).fold(0.0, f32::max);
        learnt.threshold.value = largest.next_up();
        let mut numbers = learnt.error_means.iter().chain(&learnt.error_deviations);
        let finite = largest.is_finite() && numbers.all(|v| v.is_finite());
        finite.then_some(learnt)
    }

    /// See [`Reconstruction::error`].
    fn error(&self, errors: &[f32]) -> f32 {
        let usual = self.error_means.iter().zip(&self.error_deviations);
        let relative = errors.iter().zip(usual).filter(|(e, _)| !e.is_nan());
        let squares = relative.map(|(e, (m, d))| e * e / (m * m + d * d).max(SMALLEST_USUAL));
        let (sum, n) = squares.fold((0.0, 0.0), |(sum, n), square| (sum + square, n + 1.0));
        (sum / n).sqrt()
    }

    /// What is to be said of a window.
    pub(super) fn judge(&self, Seen { errors, latent }: Seen) -> Reconstruction {
        let white = self.whitening.apply(&wide(&latent));
        let square = white.iter().map(|v| v * v).sum::<f64>() / white.len() as f64;
        let mut seen = Reconstruction {
            error: self.error(&errors),
            latent_distance: distance(&latent, &narrow(self.whitening.mean())),
            latent_deviation: square.sqrt() as f32,
            errors,
            latent,
            anomalous: false,
        };
        seen.anomalous = seen.measure(self.threshold.by) >= self.threshold.value;
        seen
    }

    /// How many standard deviations each feature's error lies above its mean over normal windows; 0 for a gap.
    pub(super) fn standardised(&self, errors: &[f32]) -> Vec<f32> {
        let own = self.error_means.iter().zip(&self.error_deviations);
        let one = |(e, (m, d)): (&f32, (&f32, &f32))| {
            if e.is_nan() { 0.0 } else { (e - m) / d.max(SMALLEST_DEVIATION) }
        };
        errors.iter().zip(own).map(one).collect()
    }

    pub(super) fn save(&self, out: &mut Vec<Tensor>) {
        let latent = self.whitening.mean().len();
        let factor = Tensor::flat("latent.factor", narrow(self.whitening.lower()));
        out.push(Tensor::flat("latent.mean", narrow(self.whitening.mean())));
        out.push(Tensor { shape: vec![latent, latent], ..factor });
        out.push(Tensor::flat("error.mean", self.error_means.clone()));
        out.push(Tensor::flat("error.deviation", self.error_deviations.clone()));
    }

    pub(super) fn restore(
        threshold: Threshold,
        features: usize,
        latent: usize,
        tensors: &mut Tensors,
    ) -> Result<Learnt, RestoreError> {
        let mean: Vec<f32> = tensors.take("latent.mean", &[latent])?;
        let factor: Vec<f32> = tensors.take("latent.factor", &[latent, latent])?;
        let whitening = Whitening::from_lower(wide(&mean), wide(&factor));
        let no_factor = || RestoreError("tensor \"latent.factor\" is not a factor".to_string());
        if !threshold.value.is_finite() {
            return Err(RestoreError("the threshold is not a number".to_string()));
        }
        Ok(Learnt {
            whitening: whitening.ok_or_else(no_factor)?,
            threshold,
            error_means: tensors.take("error.mean", &[features])?,
            error_deviations: tensors.take("error.deviation", &[features])?,
        })
    }
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&v| v as f32).collect()
}

/// Mean and standard deviation without gaps; 0 of none.
fn mean_and_deviation(values: impl Iterator<Item = f32>) -> (f32, f32) {
    let values: Vec<f64> = values.filter(|v| !v.is_nan()).map(f64::from).collect();
    let n = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / n;
    let square = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n;
    (mean as f32, square.sqrt() as f32)
}

//! Which of a network's numbers is the raw score.
//!
//! Owns: the three measures, the choice by labelled incidents. Does not own: what the network makes of a row.

use super::Autoencoder;
use crate::detect::Episode;
use crate::detect::FitContext;
use crate::detect::FitError;
use crate::detect::deep::frames::Frames;
use crate::detect::deep::net::Shape;
use crate::detect::deep::train::thin;
use crate::detect::linear;
use crate::math::whitening::Whitening;

/// Features whose errors make up a raw score: the largest ones, so that one exploding feature
/// among fifty is not diluted, and many mild ones still add up.
const WORST: usize = 5;

/// Held-out normal windows that measures are compared on, at most.
const MOST_NORMAL: usize = 1024;

/// Incidents without which nothing is chosen by them: one that comes again may look a little different.
const ENOUGH: usize = 5;
/// Windows, one after the other, without which held-out normal rows are too few to compare measures on.
const SOLID: usize = 4;
/// Another measure than the error has to leave so small a part of its normal windows above the incidents.
const CLEARLY: f64 = 0.5;

/// What the raw score is.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::detect::deep) enum Measure {
    /// Of the reconstruction errors of all features.
    Error,
    /// Euclidean distance of the latent vector to the mean of normal ones, as the `CoreDNS` RFC has it; 1 is as
    /// far as usual.
    Distance,
    /// The same in standard deviations along the axes of the normal ones (Mahalanobis 1936), a root mean square.
    Deviation(Whitening),
}

impl Measure {
    /// The name in a file.
    pub(in crate::detect::deep) fn name(&self) -> &'static str {
        match self {
            Measure::Error => "error",
            Measure::Distance => "distance",
            Measure::Deviation(_) => "deviation",
        }
    }

    /// The raw score of a row; NaN where it has none.
    pub(super) fn of(&self, model: &Autoencoder, errors: &[f32], latent: &[f32]) -> f64 {
        match self {
            Measure::Error => together(errors),
            Measure::Distance => f64::from(model.latent_square(latent).sqrt() / model.latent_scale),
            Measure::Deviation(whitening) => {
                let latent: Vec<f64> = latent.iter().copied().map(f64::from).collect();
                let white = whitening.apply(&latent);
                (white.iter().map(|v| v * v).sum::<f64>() / white.len() as f64).sqrt()
            }
        }
    }
}

/// The measure by which labelled incidents stand out most among normal windows that were not learnt from, which
/// end at `held_out`; the reconstruction error where there are few, and where none is clearly better.
///
/// `latents` are the latent vectors of the windows of training, of which the first `learnt` were learnt from. By those
/// alone measures are compared: axes that were fitted to the very windows they are tried on flatter them, and incidents,
/// which they never saw, stand out for that alone.
///
/// The RFC lays the threshold at the lowest incident, and so one incident that shows in no measure would decide
/// for all: here each incident counts, by the share of normal windows that lie above its peak.
pub(super) fn choose(
    model: &Autoencoder,
    (latents, learnt): (&[f32], usize),
    (frames, held_out): (&Frames, &[usize]),
    context: &FitContext<'_>,
) -> Result<Measure, FitError> {
    let incidents: Vec<&Episode> =
        context.episodes.iter().filter(|episode| episode.class.is_anomaly()).collect();
    let Shape { latent, window, .. } = model.net.shape();
    let wide: Vec<f64> = latents.iter().copied().map(f64::from).collect();
    let measures = |wide: &[f64]| {
        let mut measures = vec![Measure::Error, Measure::Distance];
        measures.extend(Whitening::of(wide, latent).map(Measure::Deviation));
        measures
    };
    let named = |name: Option<&str>| {
        let mut all = measures(&wide);
        let same = all.iter().position(|measure| Some(measure.name()) == name);
        all.swap_remove(same.unwrap_or(0))
    };
    if let Some(like) = context.like {
        return Ok(named(like.meta.get("measure").and_then(|name| name.as_str())));
    }
    // A window that begins among those learnt from is half known.
    let held_out = held_out.get(window..).unwrap_or_default();
    if incidents.len() < ENOUGH || held_out.len() < SOLID * window {
        return Ok(Measure::Error);
    }
    let measures = measures(&wide[..learnt * latent]);
    let normal = readings(model, &measures, frames, &thin(held_out, MOST_NORMAL));
    let mut peaks = vec![Vec::new(); measures.len()];
    for episode in incidents {
        if !(context.keep_going)() {
            return Err(FitError::Stopped);
        }
        let rows = &episode.rows;
        if rows.n_features != model.n_features {
            continue;
        }
        let frames = Frames::new(rows, &model.live, &model.reach, window);
        let ends = frames.scorable(rows.grid.at_or_after(episode.from_s));
        let inside = readings(model, &measures, &frames, &ends);
        for (peaks, inside) in peaks.iter_mut().zip(&inside) {
            peaks.push(inside.iter().copied().fold(0.0, f64::max));
        }
    }
    Ok(named(best(&normal, &peaks).map(|best| measures[best].name())))
}

/// The place of the measure by which the smallest share of normal readings lies above the incidents' peaks, where
/// that is clearly smaller than by the first.
fn best(normal: &[Vec<f64>], peaks: &[Vec<f64>]) -> Option<usize> {
    let above = |(normal, peaks): (&Vec<f64>, &Vec<f64>)| {
        let higher = |peak: &f64| normal.iter().filter(|value| *value >= peak).count();
        peaks.iter().map(higher).sum::<usize>() as f64 / normal.len() as f64
    };
    let above: Vec<f64> = normal.iter().zip(peaks).map(above).collect();
    let best = (0..above.len()).min_by(|a, b| above[*a].total_cmp(&above[*b]));
    best.filter(|&best| above[best] < CLEARLY * above[0])
}

/// One number of the features' errors, of which 1 is usual: a mean of the largest, beyond what is mild of their
/// logarithms, as of the linear detectors. NaN if there are none.
///
/// A feature that was flat in a short training, and then was not, would else be all there is, and the threshold lie
/// above all that others can say. (VUS-PR of four servers, as a root mean square .14 .19 .52 .54, so .15 .21 .53 .64.)
pub(super) fn together(errors: &[f32]) -> f64 {
    let mut strange: Vec<f64> =
        errors.iter().filter(|e| !e.is_nan()).map(|&e| strangeness(e)).collect();
    strange.sort_unstable_by(|a, b| b.total_cmp(a));
    linear::together(strange.iter().take(WORST).copied())
}

/// How strange a feature is with such an error.
pub(super) fn strangeness(error: f32) -> f64 {
    linear::strangeness(f64::from(error) * f64::from(error))
}

/// What each measure makes of the rows.
fn readings(
    model: &Autoencoder,
    measures: &[Measure],
    frames: &Frames,
    ends: &[usize],
) -> Vec<Vec<f64>> {
    let mut room = model.room();
    let mut readings = vec![Vec::with_capacity(ends.len()); measures.len()];
    for &end in ends {
        let judged = model.judge(frames, end, &mut room);
        for (readings, measure) in readings.iter_mut().zip(measures) {
            readings.push(measure.of(model, &judged.errors, judged.latent));
        }
    }
    readings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_measure_has_to_be_clearly_better() {
        let normal: Vec<f64> = (0..100).map(f64::from).collect();
        let normal = [normal.clone(), normal.clone(), normal];
        let by = |peaks: [[f64; 2]; 3]| best(&normal, &peaks.map(|own| own.to_vec()));
        assert_eq!(by([[90.0, 90.0], [94.0, 94.0], [10.0, 99.0]]), None);
        assert_eq!(by([[90.0, 90.0], [96.0, 96.0], [10.0, 999.0]]), Some(1));
        assert_eq!(by([[90.0, 90.0], [96.0, 96.0], [99.0, 99.0]]), Some(2));
        assert_eq!(by([[500.0, 500.0], [96.0, 96.0], [500.0, 500.0]]), None);
    }
}

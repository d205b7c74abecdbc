//! Which of a network's numbers is the raw score.
//!
//! Owns: the three measures, the choice by labelled incidents. Does not own: what the network makes of a row.

use super::Autoencoder;
use super::worst;
use crate::detect::Episode;
use crate::detect::FitContext;
use crate::detect::FitError;
use crate::detect::deep::frames::Frames;
use crate::detect::deep::net::Shape;
use crate::detect::deep::train::thin;
use crate::math::whitening::Whitening;

/// Held-out normal windows that measures are compared on, at most.
const MOST_NORMAL: usize = 1024;

/// What the raw score is.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::detect::deep) enum Measure {
    /// Root mean square of the largest reconstruction errors.
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
            Measure::Error => worst(errors),
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
/// end at `held_out`; the reconstruction error where there are none, and where it is as good as another.
///
/// The RFC lays the threshold at the lowest incident, and so one incident that shows in no measure would decide
/// for all: here each incident counts, by the share of normal windows that lie above its peak.
pub(super) fn choose(
    model: &Autoencoder,
    latents: &[f32],
    (frames, held_out): (&Frames, &[usize]),
    context: &FitContext<'_>,
) -> Result<Measure, FitError> {
    let incidents: Vec<&Episode> =
        context.episodes.iter().filter(|episode| episode.class.is_anomaly()).collect();
    let Shape { latent, window, .. } = model.net.shape();
    let wide: Vec<f64> = latents.iter().copied().map(f64::from).collect();
    let mut measures = vec![Measure::Error, Measure::Distance];
    measures.extend(Whitening::of(&wide, latent).map(Measure::Deviation));
    if let Some(like) = context.like {
        let name = like.meta.get("measure").and_then(|name| name.as_str());
        let same = measures.iter().position(|measure| Some(measure.name()) == name);
        return Ok(measures.swap_remove(same.unwrap_or(0)));
    }
    if incidents.is_empty() || held_out.is_empty() {
        return Ok(Measure::Error);
    }
    let normal = readings(model, &measures, frames, &thin(held_out, MOST_NORMAL));
    let mut above = vec![0.0; measures.len()];
    for episode in incidents {
        if !(context.keep_going)() {
            return Err(FitError::Stopped);
        }
        let rows = &episode.rows;
        if rows.n_features != model.n_features {
            continue;
        }
        let frames = Frames::new(rows, &model.live, window);
        let first = (0..rows.grid.len).find(|&i| rows.grid.time(i) >= episode.from_s);
        let ends = frames.scorable(first.unwrap_or(rows.grid.len));
        let inside = readings(model, &measures, &frames, &ends);
        for (m, above) in above.iter_mut().enumerate() {
            let peak = inside[m].iter().copied().fold(0.0, f64::max);
            let higher = normal[m].iter().filter(|value| **value >= peak).count();
            *above += higher as f64 / normal[m].len() as f64;
        }
    }
    let best = (0..measures.len()).min_by(|a, b| above[*a].total_cmp(&above[*b]));
    Ok(measures.swap_remove(best.unwrap_or(0)))
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

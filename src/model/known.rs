//! Where the threshold of a supervised detector may lie, by the incidents that it was shown.

use crate::detect;
use crate::detect::Episode;
use crate::math::stats;
use crate::score::Calibration;
use crate::score::Scale;

/// The scale, lowered to halfway between the highest of held-out normal rows and what a known incident reaches usually,
/// or to where the detector itself draws the line, if that is lower; but not below those normal rows, and only if
/// that is lower than the page budget asks for.
///
/// Between what it knows to be normal and what it knows to be an incident, such a detector has nothing to say: its
/// numbers are bounded, by a margin or by how sure it can be. A tail that is extrapolated from the normal ones of a
/// short history lies beyond all that it ever says. With a history of weeks the budget's threshold is the lower one.
pub(super) fn lowered(
    scale: Scale,
    calibration: &Calibration,
    fitted: &dyn detect::Model,
    episodes: &[Episode],
    held_out: &[f64],
) -> Scale {
    let peak = |episode: &Episode| {
        let first = episode.rows.grid.at_or_after(episode.from_s);
        let scores = fitted.score(&episode.rows, first);
        scores.iter().map(|raw| raw.value).fold(f64::NAN, f64::max)
    };
    let incidents = episodes.iter().filter(|episode| episode.class.is_anomaly());
    let usual = stats::median(incidents.map(peak).filter(|peak| !peak.is_nan()));
    let normal = held_out.iter().copied().fold(f64::NAN, f64::max);
    match usual > normal {
        true => {
            let halfway = 0.5 * (usual + normal);
            let line = fitted.boundary().map_or(halfway, |line| line.min(halfway).max(normal));
            scale.lowered_to(calibration.surprise(line))
        }
        false => scale,
    }
}

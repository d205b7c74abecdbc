//! What people may want to know of a model, as JSON.
//!
//! Owns: what it was made of, and the card's form. Does not own: the card beside an exported file (`app::models`).

use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;
use serde_json::json;

use super::Model;
use crate::detect::Look;

/// What a model was made of, and how it judged what it had not seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Origin {
    /// The first point that was learnt from, in unix seconds.
    pub(super) from_s: i64,
    /// The end of the last one.
    pub(super) to_s: i64,
    /// Points between them without data: masked incidents, and what was missing.
    pub(super) n_gaps: usize,
    /// Incidents that were shown to it as such.
    pub(super) n_incidents: usize,
    pub(super) seed: u64,
    /// The version that made it.
    pub(super) portent: String,
    /// Points that were scored by fits that had not seen them.
    pub(super) n_held_out: usize,
    /// How many of these are above the threshold.
    pub(super) n_above: usize,
    /// None in files of an older Portent, and of what is no network or is trained once more on everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) losses: Option<Losses>,
    /// Whether its network learnt elsewhere, and only what is usual here.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) pretrained: bool,
}

/// The losses of a network when it was best on what was held out to stop by: that one is kept.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Losses {
    /// Steps made, a minibatch each.
    pub(super) steps: usize,
    /// Mean of the newest of them.
    pub(super) training: f32,
    pub(super) held_out: f32,
}

impl Losses {
    /// Of the better of two looks; one that is no number is none.
    pub(super) fn better(known: Option<Losses>, look: &Look) -> Option<Losses> {
        let Look { step: steps, loss: training, held_out } = *look;
        let finite = training.is_finite() && held_out.is_finite();
        match known {
            Some(known) if !finite || known.held_out <= held_out => Some(known),
            _ => finite.then_some(Losses { steps, training, held_out }),
        }
    }
}

impl Model {
    /// What people may want to know of it, as JSON: everything but the numbers of the fit.
    pub fn card(&self) -> Value {
        let head = &self.head;
        let mut card = json!({
            "fingerprint": head.fingerprint,
            "detector": head.detector,
            "features": head.features,
            "preprocess": head.preprocess,
            "step_s": head.step_s,
            "n_rows": head.n_rows,
            "calibration_blocks": head.calibration.n_blocks(),
            "threshold_surprise": head.scale.threshold,
        });
        if let (Some(origin), Value::Object(card)) = (&head.origin, &mut card) {
            card.insert("origin".to_owned(), json!(origin));
        }
        card
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_older_portent_wrote_is_read_and_written_as_it_was() {
        let old = json!({
            "from_s": 0, "to_s": 60, "n_gaps": 0, "n_incidents": 0, "seed": 7, "portent": "0.1.0",
            "n_held_out": 5, "n_above": 0,
        });
        let origin: Origin = serde_json::from_value(old.clone()).unwrap();
        assert_eq!((origin.losses, origin.pretrained, json!(origin)), (None, false, old));
    }

    #[test]
    fn the_losses_are_those_of_the_best_look() {
        let look = |(step, held_out)| Look { step, loss: 0.1, held_out };
        let of = |looks: &[(usize, f32)]| {
            let best = looks.iter().fold(None, |best, known| Losses::better(best, &look(*known)));
            best.map(|losses: Losses| losses.steps)
        };
        assert_eq!(of(&[(10, 3.0), (20, 1.0), (30, 1.0), (40, 2.0), (50, f32::NAN)]), Some(20));
        assert_eq!(of(&[(10, f32::NAN), (20, f32::INFINITY)]), None);
        assert_eq!(of(&[(10, f32::NAN), (20, 2.0)]), Some(20));
    }
}

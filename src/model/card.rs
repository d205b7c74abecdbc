//! What people may want to know of a model, as JSON.
//!
//! Owns: what it was made of, and the card's form. Does not own: the card beside an exported file (`app::models`).

use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;
use serde_json::json;

use super::Model;

/// What a model was made of, and how it judged what it had not seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

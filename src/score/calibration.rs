//! What was learnt about one member: the surprise of a raw score, and back.
//!
//! Owns: the two look-ups that scoring needs. Does not own: counting blocks (`calibrator`), so that a
//! model in use carries a curve of some fifty numbers and no histogram.

use serde::Deserialize;
use serde::Serialize;

use crate::score::tail::Tail;

/// −ln of predicted pages per week at a raw score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    pub(super) blocks_per_week: f64,
    /// Added to every raw score.
    pub(super) offset: f64,
    /// Weight of the blocks learnt from; old ones count less.
    pub(super) weight: f64,
    pub(super) tail: Option<Tail>,
}

impl Calibration {
    /// −ln of the pages per week predicted with the threshold at this raw score.
    ///
    /// At least [`Calibration::floor`]; NaN for NaN, and before [`Calibration::ready`].
    pub fn surprise(&self, raw: f64) -> f64 {
        match &self.tail {
            Some(tail) if !raw.is_nan() => tail.surprise(raw + self.offset).max(self.floor()),
            _ => f64::NAN,
        }
    }

    /// The smallest raw score with at least this surprise, for bands; may extrapolate the tail.
    /// NaN for NaN, and before [`Calibration::ready`].
    pub fn raw_at(&self, surprise: f64) -> f64 {
        match &self.tail {
            Some(_) if surprise <= self.floor() => 0.0,
            Some(tail) if !surprise.is_nan() => (tail.raw_at(surprise) - self.offset).max(0.0),
            _ => f64::NAN,
        }
    }

    /// Weight of the blocks learnt from; old ones count less.
    pub fn n_blocks(&self) -> f64 {
        self.weight
    }

    /// Whether enough blocks were seen to say anything.
    pub fn ready(&self) -> bool {
        self.tail.is_some()
    }

    /// −ln(blocks per week): the least surprise there is.
    pub fn floor(&self) -> f64 {
        -self.blocks_per_week.ln()
    }
}

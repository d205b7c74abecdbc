//! From a detector's raw score to a score on which 1 means "worth a page".
//!
//! Owns: calibration against a page budget, the exported score, the combination of members, the
//! streak. Does not own: raw scores (`detect`) or who is told (`export`).

mod calibration;
mod calibrator;
mod scale;
mod streak;
mod tail;
mod witnesses;

pub use calibration::Calibration;
pub use calibrator::Calibrator;
pub use calibrator::default_block_s;
pub use scale::Scale;
pub use scale::combine;
pub use streak::Streak;
pub use witnesses::Witnesses;

/// The threshold of every score: what lies above it is anomalous, it itself is not.
pub const THRESHOLD: f64 = 1.0;

#[cfg(test)]
mod tests;

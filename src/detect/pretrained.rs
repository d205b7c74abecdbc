//! Networks that learnt from rows of other places.
//!
//! Owns: what is handed to a fit. Does not own: which there are (`shipped`), or what a network makes of them (`deep`).

use super::FitContext;
use super::Parts;

/// A network that learnt elsewhere. What it reads is scaled by the rows of each place, so that only the scales, and
/// what is usual, have to be learnt anew.
#[derive(Debug, Clone, PartialEq)]
pub struct Pretrained {
    /// Whose parts these are, as [`super::Config::name`] has it.
    pub detector: &'static str,
    /// As [`super::Model::parts`] has them.
    pub parts: Parts,
    /// The raw score from which on it called something anomalous where it learnt.
    pub line: f64,
}

impl<'a> FitContext<'a> {
    /// Such a network of a detector's.
    pub(crate) fn pretrained_of(&self, detector: &str) -> Option<&'a Pretrained> {
        self.pretrained.iter().find(|known| known.detector == detector)
    }
}

//! What supervised detectors learn from, and what they say beside a score.
//!
//! Owns: the words. Does not own: who labelled what (`train`), or how it is learnt (`deep`).

use crate::series::Window;
use crate::verdict::Class;

/// Rows of which it is known what they are.
#[derive(Debug, Clone, PartialEq)]
pub struct Episode {
    /// The rows, and those before them that a window looks back at, as far as they are known; the last row is
    /// the episode's last.
    pub rows: Window,
    /// When the first row begins that is spoken of, in unix seconds.
    pub from_s: i64,
    /// What was going on.
    pub class: Class,
}

/// What a supervised detector makes of one row, beside its score.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Opinion {
    /// The probability of each kind of anomaly, `unknown` among them, most probable first. What is missing to 1 is
    /// the probability that all is well.
    pub classes: Vec<(String, f64)>,
    /// The labelled incidents that it is most like, nearest first.
    pub similar: Vec<Similar>,
}

/// A labelled incident: "looks like …".
#[derive(Debug, Clone, PartialEq)]
pub struct Similar {
    /// When it began, in unix seconds.
    pub from_s: i64,
    /// What it was, if anybody said so.
    pub kind: Option<String>,
    /// Euclidean distance of the embeddings; windows of different classes are kept as far apart as the detector's
    /// `margin` says.
    pub distance: f64,
}

pub use crate::verdict::UNKNOWN;

//! What is said of an interval: by a person (a label) or by us (an anomaly).
//!
//! Owns: the words. Does not own: where they are kept (`store`) or how they are read (`labels`).

use serde::{Deserialize, Serialize};

use crate::series::Entity;

/// A half-open stretch of time, `from_s..to_s`, in unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interval {
    /// First second.
    pub from_s: i64,
    /// One past the last second.
    pub to_s: i64,
}

impl Interval {
    /// Whether a time lies in it.
    pub fn contains(&self, time_s: i64) -> bool {
        self.from_s <= time_s && time_s < self.to_s
    }
}

/// What a person says of an interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Something was wrong.
    Anomaly,
    /// All was well.
    Normal,
}

impl Verdict {
    /// Both, in the order in which they are listed to users.
    pub const ALL: [Verdict; 2] = [Verdict::Anomaly, Verdict::Normal];

    /// The word in commands, API and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Anomaly => "anomaly",
            Verdict::Normal => "normal",
        }
    }
}

/// A person's verdict on an interval of an entity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// The watch it is about.
    pub watch: String,
    /// The entity it is about.
    pub entity: Entity,
    /// When.
    pub interval: Interval,
    /// What.
    pub verdict: Verdict,
    /// The kind of anomaly, such as `upstream_slow`; only with [`Verdict::Anomaly`].
    pub class: Option<String>,
    /// Who said so: the basic-auth user or the login name.
    pub author: Option<String>,
    /// Free text.
    pub note: Option<String>,
    /// Where it was said: `cli`, `api`, …
    pub source: String,
    /// When it was said, in unix seconds.
    pub created_s: i64,
}

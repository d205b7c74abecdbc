//! What is said of an interval: by a person (a label) or by us (an anomaly).
//!
//! Owns: the words. Does not own: where they are kept (`store`) or how they are read (`labels`).

use std::fmt;

use jiff::Timestamp;
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

    /// The time that is in both.
    pub fn overlap(&self, other: Interval) -> Option<Interval> {
        let (from_s, to_s) = (self.from_s.max(other.from_s), self.to_s.min(other.to_s));
        (from_s < to_s).then_some(Interval { from_s, to_s })
    }

    /// What is left of it without `other`: at most one part before and one after.
    pub fn without(&self, other: Interval) -> impl Iterator<Item = Interval> {
        let before = Interval { to_s: self.to_s.min(other.from_s), ..*self };
        let after = Interval { from_s: self.from_s.max(other.to_s), ..*self };
        [before, after].into_iter().filter(|part| part.from_s < part.to_s)
    }

    /// What is left of it without any of `others`.
    pub fn without_all<'a>(&self, others: impl IntoIterator<Item = &'a Interval>) -> Vec<Interval> {
        others.into_iter().fold(vec![*self], |parts, other| {
            parts.iter().flat_map(|part| part.without(*other)).collect()
        })
    }
}

impl fmt::Display for Interval {
    /// `2026-11-22T10:00:00Z..2026-11-22T10:05:00Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", rfc3339(self.from_s), rfc3339(self.to_s))
    }
}

/// Unix seconds for people; seconds stay where no calendar reaches.
pub fn rfc3339(time_s: i64) -> String {
    Timestamp::from_second(time_s).map_or_else(|_| time_s.to_string(), |time| time.to_string())
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

/// What rows are known to be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// As it should be.
    Normal,
    /// Not as it should be; of this kind, where the kind is known.
    Anomaly(Option<String>),
}

/// What is said of a kind that nobody knows: of what is like nothing that was learnt. No label may have it.
pub const UNKNOWN: &str = "unknown";

impl Class {
    /// An anomaly of a known kind.
    pub fn anomaly(kind: &str) -> Class {
        Class::Anomaly(Some(kind.to_string()))
    }

    /// Whether it is an anomaly of any kind.
    pub fn is_anomaly(&self) -> bool {
        *self != Class::Normal
    }

    /// The kind of an anomaly, where it is known.
    pub fn kind(&self) -> Option<&str> {
        match self {
            Class::Anomaly(Some(kind)) => Some(kind),
            _ => None,
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

/// A person takes a label back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withdrawal {
    /// Who said so: the basic-auth user or the login name.
    pub author: Option<String>,
    /// Why.
    pub note: Option<String>,
    /// Where it was said: `cli`, `api`, …
    pub source: String,
    /// When it was said, in unix seconds.
    pub created_s: i64,
}

impl Label {
    /// Names it to people: `label 12 (anomaly 2026-11-22T10:00:00Z..2026-11-22T10:05:00Z, by ann)`.
    pub fn named(&self, id: i64) -> String {
        let who = match &self.author {
            Some(author) => format!("by {}", author.escape_debug()),
            None => format!("via {}", self.source),
        };
        format!("label {id} ({} {}, {who})", self.verdict.as_str(), self.interval)
    }

    /// The time of which the two say the opposite.
    pub fn contradicts(&self, other: &Label) -> Option<Interval> {
        let same = self.watch == other.watch && self.entity == other.entity;
        let opposite = same && self.verdict != other.verdict;
        self.interval.overlap(other.interval).filter(|_| opposite)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_an_interval() {
        let whole = Interval { from_s: 10, to_s: 20 };
        let left = |from_s, to_s| {
            let parts = whole.without(Interval { from_s, to_s });
            parts.map(|part| (part.from_s, part.to_s)).collect::<Vec<_>>()
        };
        assert_eq!(left(13, 15), [(10, 13), (15, 20)]);
        assert_eq!(left(0, 15), [(15, 20)]);
        assert_eq!(left(15, 30), [(10, 15)]);
        assert_eq!(left(10, 20), []);
        assert_eq!(whole.overlap(Interval { from_s: 20, to_s: 30 }), None, "they only touch");
        let inside = Interval { from_s: 15, to_s: 20 };
        assert_eq!(whole.overlap(Interval { from_s: 15, to_s: 30 }), Some(inside));
    }

    #[test]
    fn people_read_who_said_what_and_when() {
        let label = Label {
            watch: "coredns".into(),
            entity: Entity::default(),
            interval: Interval { from_s: 1_767_323_045, to_s: 1_767_323_345 },
            verdict: Verdict::Anomaly,
            class: None,
            author: Some("ann".into()),
            note: None,
            source: "cli".into(),
            created_s: 0,
        };
        let wanted = "label 12 (anomaly 2026-01-02T03:04:05Z..2026-01-02T03:09:05Z, by ann)";
        assert_eq!(label.named(12), wanted);
        let unsigned = Label { author: None, ..label.clone() };
        assert!(unsigned.named(12).ends_with("Z, via cli)"), "{}", unsigned.named(12));
        assert_eq!(label.contradicts(&unsigned), None);
        let normal = Label { verdict: Verdict::Normal, ..label.clone() };
        assert_eq!(label.contradicts(&normal), Some(label.interval));
        let elsewhere = Label { watch: "ports".into(), ..normal };
        assert_eq!(label.contradicts(&elsewhere), None);
    }
}

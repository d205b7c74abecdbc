//! What a data set holds, counted as its rows go by.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::Serialize;

use super::known::Known;
use super::known::Marks;
use crate::verdict::Verdict;
use crate::weak::State;

/// The values of a column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Numbers {
    pub(super) known: u64,
    min: f64,
    max: f64,
    sum: f64,
    /// What rounding took from the sum, as Neumaier keeps it: a year of bytes is large beside one row.
    rest: f64,
}

impl Default for Numbers {
    fn default() -> Numbers {
        Numbers { known: 0, min: f64::INFINITY, max: f64::NEG_INFINITY, sum: 0.0, rest: 0.0 }
    }
}

impl Numbers {
    /// NaN is a gap.
    pub(super) fn add(&mut self, value: f64) {
        if value.is_nan() {
            return;
        }
        self.known += 1;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        let sum = self.sum + value;
        let lost = if self.sum.abs() >= value.abs() {
            self.sum - sum + value
        } else {
            value - sum + self.sum
        };
        self.rest += lost;
        self.sum = sum;
    }

    /// Least, mean and most; `None` where nothing is known.
    pub(super) fn range(&self) -> Option<[f64; 3]> {
        let mean = (self.sum + self.rest) / self.known as f64;
        (self.known > 0).then_some([self.min, mean, self.max])
    }
}

/// Who says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Who {
    Rules,
    People,
    Injected,
}

/// What is said.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Saying {
    pub(super) who: Who,
    /// firing or pending, anomaly or normal.
    pub(super) what: String,
    pub(super) class: Option<String>,
    pub(super) strength: Option<String>,
}

/// How much of it, of all entities together.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Amount {
    /// Intervals as they were said.
    pub(super) intervals: u64,
    /// Rows of that time for which it is the last word.
    pub(super) rows: u64,
}

/// What is said, and how much of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Sayings(pub(super) BTreeMap<Saying, Amount>);

impl Sayings {
    fn of(
        &mut self,
        who: Who,
        what: &str,
        class: Option<&str>,
        strength: Option<&str>,
    ) -> &mut Amount {
        let (class, strength) = (class.map(String::from), strength.map(String::from));
        self.0.entry(Saying { who, what: what.to_string(), class, strength }).or_default()
    }

    /// A row.
    pub(super) fn add_row(&mut self, known: &Known, time_s: i64) {
        let Marks { weak_class, weak_state, verdict, class, .. } = known.at(time_s);
        if let Some(state) = weak_state {
            self.of(Who::Rules, state.as_str(), weak_class, None).rows += 1;
        }
        if let Some(verdict) = verdict {
            self.of(Who::People, verdict.as_str(), class, None).rows += 1;
        }
        if let Some(fault) = known.fault(time_s) {
            let (class, strength) = (fault.injected.as_deref(), fault.strength.as_deref());
            self.of(Who::Injected, fault.verdict.as_str(), class, strength).rows += 1;
        }
    }

    /// An entity's intervals.
    pub(super) fn add_intervals(&mut self, known: &Known) {
        for (_, class) in &known.weak.incidents {
            self.of(Who::Rules, State::Firing.as_str(), class.as_deref(), None).intervals += 1;
        }
        for _ in &known.weak.ambiguous {
            self.of(Who::Rules, State::Pending.as_str(), None, None).intervals += 1;
        }
        for (_, verdict, class) in &known.people {
            self.of(Who::People, verdict.as_str(), class.as_deref(), None).intervals += 1;
        }
        for fault in &known.injected {
            let (class, strength) = (fault.injected.as_deref(), fault.strength.as_deref());
            let what: Verdict = fault.verdict;
            self.of(Who::Injected, what.as_str(), class, strength).intervals += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_of_large_and_small_is_right() {
        let mut numbers = Numbers::default();
        for value in [1e16, 1.0, f64::NAN, 1.0, -1e16, 2.0] {
            numbers.add(value);
        }
        assert_eq!((numbers.known, numbers.range()), (5, Some([-1e16, 0.8, 1e16])));
        assert_eq!(Numbers::default().range(), None);
    }
}

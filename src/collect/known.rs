//! What is said of each row: by rules, by people, by who injected faults.
//!
//! Owns: which word counts where there are several. Does not own: where they come from.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::Serialize;

use super::asked::Fault;
use crate::series::Entity;
use crate::verdict::Interval;
use crate::verdict::Verdict;
use crate::weak::Said;
use crate::weak::Spoken;
use crate::weak::State;
use crate::weak::WeakLabel;

/// A person's word.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Word {
    pub(super) entity: Entity,
    pub(super) interval: Interval,
    pub(super) verdict: Verdict,
    pub(super) class: Option<String>,
}

/// All words, of all entities.
pub(super) struct Words<'a> {
    pub(super) rules: &'a [WeakLabel],
    /// The entity labels of the watch.
    pub(super) names: &'a [String],
    /// In the order of saying.
    pub(super) people: &'a [Word],
    pub(super) injected: &'a [Fault],
}

/// What is known of an entity in an interval.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Known {
    pub(super) weak: Said,
    pub(super) people: Vec<(Interval, Verdict, Option<String>)>,
    pub(super) injected: Vec<Fault>,
}

/// The words that hold for a row; each is a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Marks<'a> {
    pub(super) weak_class: Option<&'a str>,
    pub(super) weak_state: Option<State>,
    pub(super) verdict: Option<Verdict>,
    pub(super) class: Option<&'a str>,
    pub(super) injected_class: Option<&'a str>,
    pub(super) injected_strength: Option<&'a str>,
}

impl Words<'_> {
    /// Of each of these entities, what is said of the interval and cut to it.
    pub(super) fn of<'e>(
        &self,
        entities: impl Iterator<Item = &'e Entity>,
        interval: Interval,
    ) -> BTreeMap<Entity, Known> {
        let overlap = |of: Interval| of.overlap(interval);
        let rules: Vec<WeakLabel> =
            self.rules.iter().filter(|l| overlap(l.interval).is_some()).cloned().collect();
        let spoken = Spoken::new(&rules, self.names);
        let injected = self.injected.iter().filter_map(|fault| {
            let interval = overlap(fault.interval)?;
            Some(Fault { interval, ..fault.clone() })
        });
        let injected: Vec<Fault> = injected.collect();
        let mut people: BTreeMap<&Entity, Vec<_>> = BTreeMap::new();
        for word in self.people {
            if let Some(interval) = overlap(word.interval) {
                let own = people.entry(&word.entity).or_default();
                own.push((interval, word.verdict, word.class.clone()));
            }
        }
        let of = |entity: &Entity| {
            let said = spoken.of(entity);
            let incidents = said.incidents.into_iter();
            let weak = Said {
                incidents: incidents.filter_map(|(i, c)| Some((overlap(i)?, c))).collect(),
                ambiguous: said.ambiguous.into_iter().filter_map(overlap).collect(),
            };
            let people = people.get(entity).cloned().unwrap_or_default();
            (entity.clone(), Known { weak, people, injected: injected.clone() })
        };
        entities.map(of).collect()
    }
}

impl Known {
    /// What holds at a row's time. Of two people, and of two faults, the later one counts.
    pub(super) fn at(&self, time_s: i64) -> Marks<'_> {
        let mut marks = Marks::default();
        let incidents = &self.weak.incidents;
        // In order of time, and none overlap.
        let place = incidents.partition_point(|(interval, _)| interval.to_s <= time_s);
        let ambiguous = &self.weak.ambiguous;
        let open = ambiguous.partition_point(|interval| interval.to_s <= time_s);
        if let Some((_, class)) = incidents.get(place).filter(|(i, _)| i.contains(time_s)) {
            (marks.weak_class, marks.weak_state) = (class.as_deref(), Some(State::Firing));
        } else if ambiguous.get(open).is_some_and(|interval| interval.contains(time_s)) {
            marks.weak_state = Some(State::Pending);
        }
        let mut people = self.people.iter().rev();
        if let Some((_, verdict, class)) = people.find(|(i, ..)| i.contains(time_s)) {
            (marks.verdict, marks.class) = (Some(*verdict), class.as_deref());
        }
        if let Some(fault) = self.fault(time_s) {
            marks.injected_class = fault.injected.as_deref();
            marks.injected_strength = fault.strength.as_deref();
        }
        marks
    }

    /// What was done to the servers at that time.
    pub(super) fn fault(&self, time_s: i64) -> Option<&Fault> {
        self.injected.iter().rev().find(|fault| fault.interval.contains(time_s))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(from_s: i64, to_s: i64) -> Interval {
        Interval { from_s, to_s }
    }

    #[test]
    fn a_row_has_the_words_of_its_time() {
        let (dns, web) = (Entity::new([("job", "dns")]), Entity::new([("job", "web")]));
        let weak = |state, from_s, to_s| WeakLabel {
            file: String::new(),
            group: String::new(),
            alert: "Slow".into(),
            class: Some("slow".into()),
            labels: dns.clone(),
            state,
            interval: interval(from_s, to_s),
            active_s: 10,
        };
        let rules = [weak(State::Pending, 10, 20), weak(State::Firing, 20, 50)];
        let word = |verdict, class: Option<&str>, from_s, to_s| Word {
            entity: dns.clone(),
            interval: interval(from_s, to_s),
            verdict,
            class: class.map(String::from),
        };
        let people =
            [word(Verdict::Anomaly, Some("loop"), 0, 40), word(Verdict::Normal, None, 30, 60)];
        let injected = [Fault {
            interval: interval(15, 25),
            injected: Some("delay".into()),
            strength: Some("0.5".into()),
            verdict: Verdict::Anomaly,
            class: Some("delay".into()),
        }];
        let names = ["job".to_string()];
        let words = Words { rules: &rules, names: &names, people: &people, injected: &injected };
        let of = words.of([&dns, &web].into_iter(), interval(0, 45));
        let none = Marks::default();
        let loops = Marks { verdict: Some(Verdict::Anomaly), class: Some("loop"), ..none };
        assert_eq!(of[&dns].at(5), loops);
        let delay = Marks { injected_class: Some("delay"), injected_strength: Some("0.5"), ..none };
        let pending = Marks { weak_state: Some(State::Pending), ..delay };
        assert_eq!(
            of[&dns].at(15),
            Marks { verdict: loops.verdict, class: loops.class, ..pending }
        );
        let firing = Marks { weak_state: Some(State::Firing), weak_class: Some("slow"), ..none };
        assert_eq!(of[&dns].at(35), Marks { verdict: Some(Verdict::Normal), ..firing });
        assert_eq!((of[&dns].at(45), of[&web].at(15), of[&web].at(5)), (none, delay, none));
    }
}

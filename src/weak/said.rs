//! What rules say of one entity, in one voice.
//!
//! Owns: which rule has the word where several fire. Does not own: when each fires (`states`).

use std::collections::BTreeMap;

use super::State;
use super::WeakLabel;
use crate::series::Entity;
use crate::verdict::Interval;

/// What rules say of an entity.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Said {
    /// When something was wrong, and of which class; in order of time, none overlap. Parts of one class that touch
    /// are one.
    pub incidents: Vec<(Interval, Option<String>)>,
    /// When a rule was pending and none fired: nobody knows. In order of time, none overlap.
    pub ambiguous: Vec<Interval>,
}

/// Weak labels by what they speak of.
pub struct Spoken<'a> {
    /// Each with its place among the rules' labels.
    labels: BTreeMap<Entity, Vec<(usize, &'a WeakLabel)>>,
}

impl<'a> Spoken<'a> {
    /// Labels of a watch with the entity labels `names`, in the order of the rules.
    pub fn new(labels: &'a [WeakLabel], names: &[String]) -> Spoken<'a> {
        let mut spoken = Spoken { labels: BTreeMap::new() };
        for label in labels.iter().enumerate() {
            spoken.labels.entry(label.1.entity(names)).or_default().push(label);
        }
        spoken
    }

    /// What rules say of an entity. Where rules of several classes fire, the one has the word whose expression was
    /// true first; of those that began together the first one.
    pub fn of(&self, entity: &Entity) -> Said {
        let concern = |of: &Entity| of.pairs().all(|(name, value)| entity.get(name) == Some(value));
        let own = self.labels.iter().filter(|(of, _)| concern(of)).flat_map(|(_, own)| own);
        let mut own: Vec<(usize, &WeakLabel)> = own.copied().collect();
        own.sort_by_key(|(place, label)| (label.active_s, *place));
        let of = |state: State| own.iter().map(|(_, l)| *l).filter(move |l| l.state == state);
        let mut said = Said::default();
        let mut taken = Taken::default();
        for label in of(State::Firing) {
            let parts = taken.take(label.interval).into_iter();
            said.incidents.extend(parts.map(|part| (part, label.class.clone())));
        }
        for label in of(State::Pending) {
            said.ambiguous.extend(taken.take(label.interval));
        }
        said.incidents.sort_by_key(|(interval, _)| interval.from_s);
        said.incidents.dedup_by(|next, before| {
            let one = before.1 == next.1 && before.0.to_s == next.0.from_s;
            if one {
                before.0.to_s = next.0.to_s;
            }
            one
        });
        said.ambiguous.sort_by_key(|interval| interval.from_s);
        said
    }
}

/// Time that somebody spoke of: ends by beginnings, none overlap.
#[derive(Default)]
struct Taken(BTreeMap<i64, i64>);

impl Taken {
    /// What of an interval nobody spoke of yet; from now on somebody did.
    fn take(&mut self, Interval { from_s, to_s }: Interval) -> Vec<Interval> {
        let before = self.0.range(..=from_s).next_back().map_or(from_s, |(_, end_s)| *end_s);
        let mut from_s = from_s.max(before);
        let mut free = Vec::new();
        for (&begin_s, &end_s) in self.0.range(from_s..to_s.max(from_s)) {
            if from_s < begin_s {
                free.push(Interval { from_s, to_s: begin_s });
            }
            from_s = end_s;
        }
        if from_s < to_s {
            free.push(Interval { from_s, to_s });
        }
        self.0.extend(free.iter().map(|part| (part.from_s, part.to_s)));
        free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(class: &str, state: State, active_s: i64, from_s: i64, to_s: i64) -> WeakLabel {
        WeakLabel {
            file: "r.yml".into(),
            group: "g".into(),
            alert: class.into(),
            class: Some(class.into()),
            labels: Entity::new([("job", "dns")]),
            state,
            interval: Interval { from_s, to_s },
            active_s,
        }
    }

    fn shown(labels: &[WeakLabel]) -> String {
        let said = Spoken::new(labels, &["job".into()]).of(&Entity::new([("job", "dns")]));
        let incidents = said.incidents.iter().map(|(Interval { from_s, to_s }, class)| {
            format!("{} {from_s}-{to_s}", class.as_deref().unwrap_or("-"))
        });
        let ambiguous =
            said.ambiguous.iter().map(|Interval { from_s, to_s }| format!("? {from_s}-{to_s}"));
        incidents.chain(ambiguous).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn the_first_has_the_word_and_what_is_pending_is_ambiguous() {
        let (firing, pending) = (State::Firing, State::Pending);
        let cause = label("upstream", firing, 100, 160, 400);
        let effect = label("servfail", firing, 130, 190, 500);
        let before = label("upstream", pending, 100, 100, 160);
        let late = label("servfail", pending, 130, 130, 190);
        let all = [effect.clone(), late, cause.clone(), before];
        assert_eq!(shown(&all), "upstream 160-400, servfail 400-500, ? 100-160");
        let again = label("upstream", firing, 100, 400, 450);
        assert_eq!(shown(&[cause.clone(), again]), "upstream 160-450");
        let elsewhere = WeakLabel { labels: Entity::new([("job", "other")]), ..cause };
        assert_eq!(shown(&[elsewhere]), "");
    }

    #[test]
    fn each_second_is_taken_once() {
        let mut taken = Taken::default();
        let mut take = |from_s, to_s| {
            let parts = taken.take(Interval { from_s, to_s }).into_iter();
            parts.map(|part| (part.from_s, part.to_s)).collect::<Vec<_>>()
        };
        assert_eq!(take(10, 20), [(10, 20)]);
        assert_eq!(take(30, 40), [(30, 40)]);
        assert_eq!(take(5, 45), [(5, 10), (20, 30), (40, 45)]);
        assert_eq!((take(5, 45), take(44, 46), take(7, 7)), (vec![], vec![(45, 46)], vec![]));
    }
}

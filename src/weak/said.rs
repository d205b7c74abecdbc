//! What rules say of one entity, in one voice.
//!
//! Owns: which rule has the word where several fire. Does not own: when each fires (`states`).

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

/// What rules say of an entity, of a watch with the entity labels `names`. Where rules of several classes fire, the
/// one has the word whose expression was true first; of those that began together the first one.
pub fn said(labels: &[WeakLabel], names: &[String], entity: &Entity) -> Said {
    let mut own: Vec<&WeakLabel> =
        labels.iter().filter(|label| label.concerns(names, entity)).collect();
    // Stable: the order of the rules stays.
    own.sort_by_key(|label| label.active_s);
    let mut said = Said::default();
    let mut taken: Vec<Interval> = Vec::new();
    for label in own.iter().filter(|label| label.state == State::Firing) {
        for part in label.interval.without_all(&taken) {
            said.incidents.push((part, label.class.clone()));
            taken.push(part);
        }
    }
    for label in own.iter().filter(|label| label.state == State::Pending) {
        for part in label.interval.without_all(&taken) {
            said.ambiguous.push(part);
            taken.push(part);
        }
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
        let said = said(labels, &["job".into()], &Entity::new([("job", "dns")]));
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
}

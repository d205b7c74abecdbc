//! Who has left: its models go out of use, and much later out of the store.
//!
//! A store would grow for ever with the names of pods otherwise. Nothing that a person gave goes with
//! them: labels and their rows stay.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::series::Entity;
use crate::store::ModelRow;
use crate::store::ModelState;
use crate::store::Store;
use crate::store::StoreError;
use crate::watch::Watch;

/// Retires models of entities that are neither in history nor were trained within its length, and
/// forgets models that have been out of use for as long again.
///
/// `seen`: every entity with a sample in all of history. A thing that is merely down was trained
/// while it was up, so it stays, also where Prometheus has lost what it knew.
pub(super) fn retire(
    store: &Store,
    watch: &Watch,
    seen: &BTreeSet<Entity>,
    now_s: i64,
) -> Result<(), StoreError> {
    let name = watch.name.as_str();
    let leaving = Leaving::of(&store.models(Some(name))?, seen, watch.train.history_s, now_s);
    if !leaving.retired.is_empty() {
        let models = store.retire_models(name, &leaving.retired)?;
        let entities = leaving.retired.len();
        tracing::info!(watch = name, entities, models, "models of what has left go out of use");
    }
    if !leaving.forgotten.is_empty() {
        let versions = store.forget_models(name, &leaving.forgotten)?;
        let entities = leaving.forgotten.len();
        // What people brought or put in use stays, training after training.
        if versions > 0 {
            tracing::info!(
                watch = name,
                entities,
                versions,
                "models of what has left are forgotten"
            );
        }
    }
    Ok(())
}

#[derive(Debug, Default, PartialEq)]
struct Leaving {
    retired: Vec<Entity>,
    forgotten: Vec<Entity>,
}

impl Leaving {
    fn of(models: &[ModelRow], seen: &BTreeSet<Entity>, history_s: i64, now_s: i64) -> Leaving {
        // Also a version that was turned down says that its entity was there, and who puts one in use knows
        // of the entity, though the version may be old.
        let mut newest: BTreeMap<&Entity, (i64, bool)> = BTreeMap::new();
        for ModelRow { key, trained_s, state, word, .. } in models {
            let (newest_s, in_use) = newest.entry(&key.entity).or_insert((i64::MIN, false));
            let spoken_s = word.as_ref().map_or(*trained_s, |word| word.created_s);
            *newest_s = (*newest_s).max(*trained_s).max(spoken_s);
            *in_use |= *state == ModelState::Promoted;
        }
        let mut leaving = Leaving::default();
        // A model of no entity is one that all share.
        let left = newest
            .into_iter()
            .filter(|(entity, _)| entity.pairs().next().is_some() && !seen.contains(*entity));
        for (entity, (newest_s, in_use)) in left {
            match newest_s {
                _ if newest_s >= now_s - history_s => {}
                _ if in_use => leaving.retired.push(entity.clone()),
                _ if newest_s < now_s - 2 * history_s => leaving.forgotten.push(entity.clone()),
                _ => {}
            }
        }
        leaving
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::calendar::DAY_S;
    use crate::store::Deed;
    use crate::store::ModelKey;
    use crate::store::ModelWord;

    fn port(name: &str) -> Entity {
        Entity::new([("port", name)])
    }

    fn row(entity: Entity, trained_day: i64, state: ModelState) -> ModelRow {
        let (watch, detector) = ("ports".into(), "stl".into());
        let key = ModelKey { watch, entity, feature: Some("in".into()), detector };
        let (sha256, trained_s) = (String::new(), trained_day * DAY_S);
        let (fingerprint, n_rows, word) = (None, None, None);
        ModelRow { key, version: 1, state, sha256, trained_s, fingerprint, n_rows, word }
    }

    #[test]
    fn an_old_version_that_a_person_puts_in_use_before_its_entity_comes_stays() {
        let word = |day: i64| ModelWord {
            deed: Deed::Promote,
            before: None,
            hold_until_s: None,
            author: None,
            note: None,
            created_s: day * DAY_S,
        };
        let of = |name: &str, day: i64| {
            let word = Some(word(day));
            ModelRow { word, ..row(port(name), 0, ModelState::Promoted) }
        };
        let models = [of("of today", 99), of("of long ago", 40)];
        let leaving = Leaving::of(&models, &BTreeSet::new(), 14 * DAY_S, 100 * DAY_S);
        assert_eq!(leaving.retired, [port("of long ago")]);
    }

    #[test]
    fn what_is_down_stays_and_what_has_left_goes_step_by_step() {
        let rejected = || ModelState::Rejected { reason: String::new() };
        let models = [
            row(port("here"), 0, ModelState::Promoted),
            row(port("down"), 93, ModelState::Promoted),
            row(port("judged"), 0, ModelState::Promoted),
            row(port("judged"), 93, rejected()),
            row(port("left"), 80, ModelState::Promoted),
            row(port("long ago, in use"), 0, ModelState::Promoted),
            row(port("out of use"), 80, ModelState::Retired),
            row(port("long ago"), 0, ModelState::Retired),
            row(Entity::default(), 0, ModelState::Promoted),
        ];
        let seen = BTreeSet::from([port("here")]);
        let leaving = Leaving::of(&models, &seen, 14 * DAY_S, 100 * DAY_S);
        assert_eq!(leaving.retired, [port("left"), port("long ago, in use")]);
        assert_eq!(leaving.forgotten, [port("long ago")]);
    }
}

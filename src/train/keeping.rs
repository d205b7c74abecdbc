//! What becomes of models that were trained: kept, in use if they are better and nobody minds.
//!
//! Owns: which of them a person's word keeps out. Does not own: whether they are better (`gate`), or what is said
//! of models (`store`).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::Decision;
use super::Ended;
use super::Members;
use super::TrainError;
use super::Trainer;
use super::fit::Trained;
use super::history::with_store;
use crate::model::Model;
use crate::model::sha256;
use crate::series::Entity;
use crate::store::Holds;
use crate::store::ModelKey;
use crate::store::ModelRow;
use crate::store::ModelState;
use crate::store::NewModel;
use crate::watch::Watch;

/// What a person wants left alone of one entity.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// By key: whether it is in use, and who wants it until when, in words.
    of: BTreeMap<ModelKey, (bool, String)>,
    newest_word: i64,
}

/// What is held of all entities.
pub(super) struct AllHeld {
    by_entity: BTreeMap<Entity, BTreeMap<ModelKey, (bool, String)>>,
    newest_word: i64,
}

impl AllHeld {
    pub(super) fn remove(&mut self, entity: &Entity) -> Held {
        let of = self.by_entity.remove(entity).unwrap_or_default();
        Held { of, newest_word: self.newest_word }
    }
}

impl Held {
    /// What is held of a watch; a version of other settings than the watch's is no longer.
    pub(super) fn of(watch: &Watch, holds: Holds) -> AllHeld {
        let settings = watch.fingerprints();
        let mut by_entity: BTreeMap<Entity, BTreeMap<_, _>> = BTreeMap::new();
        for (key, hold) in holds.of {
            let expected = settings.get(&(key.feature.clone(), key.detector.clone()));
            if expected.is_some() && expected == hold.fingerprint.as_ref() {
                let said = (hold.in_use(), format!("{}: {hold}", key.detector));
                by_entity.entry(key.entity.clone()).or_default().insert(key, said);
            }
        }
        AllHeld { by_entity, newest_word: holds.newest_word }
    }

    pub(super) fn has(&self, key: &ModelKey) -> bool {
        self.of.contains_key(key)
    }

    /// A version that cannot be read scores nothing, whoever put it in use: of an older program, or damaged.
    pub(super) fn forget_unreadable(&mut self, in_use: &Members) {
        self.of.retain(|key, (needed, _)| !*needed || in_use.contains_key(key));
    }

    fn why(&self, key: &ModelKey) -> String {
        self.of.get(key).map(|(_, why)| why.clone()).unwrap_or_default()
    }
}

impl Trainer {
    /// Takes these of the models in use out of use, and says why.
    pub(super) async fn put_out_of_use(
        &self,
        watch: &Watch,
        entity: &Entity,
        in_use: &mut Vec<ModelRow>,
        keys: Vec<ModelKey>,
        why: &str,
    ) -> Result<(), TrainError> {
        let out: Vec<(ModelKey, i64)> = in_use
            .extract_if(.., |row| keys.contains(&row.key))
            .map(|r| (r.key, r.version))
            .collect();
        if out.is_empty() {
            return Ok(());
        }
        for (ModelKey { detector, feature, .. }, version) in &out {
            tracing::info!(watch = watch.name, %entity, detector, feature, version, why, "out of use, kept");
        }
        with_store(&self.store, watch, move |store, _| store.retire_versions(&out)).await
    }

    /// Keeps what was trained: what was judged all at once, since half a set of new models is a set that nobody
    /// judged; and what is held aside, so that a person may look at it and put it in use.
    pub(super) async fn keep(
        &self,
        watch: &Watch,
        trained: Trained,
        held: Arc<Held>,
        now_s: i64,
    ) -> Result<Ended, TrainError> {
        let Trained { members, decision, labelled, aside } = trained;
        if members.is_empty() && aside.is_empty() {
            return Ok(Ended::Waiting(decision.reason()));
        }
        let own = self.board.own();
        let reasons: Vec<String> = aside.keys().map(|key| held.why(key)).collect();
        let all_held = members.is_empty();
        let (state, result) = match decision == Decision::Promote {
            true => (ModelState::Promoted, "promoted"),
            false => (ModelState::Rejected { reason: decision.reason() }, "rejected"),
        };
        let kept = with_store(&self.store, watch, move |store, _| {
            let aside = aside.into_iter().map(|(key, model)| {
                let reason = held.why(&key);
                (stored(key, &model, None, now_s), ModelState::Rejected { reason })
            });
            let judged = members.into_iter();
            let judged = judged
                .map(|(key, model)| (stored(key, &model, labelled.as_ref(), now_s), state.clone()));
            let models: Vec<(NewModel, ModelState)> = judged.chain(aside).collect();
            store.add_models_unless_spoken(&models, held.newest_word)
        })
        .await?;
        if !kept {
            let why = "other versions were put in use meanwhile; judged again beside those";
            return Ok(Ended::Failed(why.to_string()));
        }
        own.promotion(&watch.name, if all_held { "held" } else { result });
        let held = reasons.join("; ");
        let ended = match decision {
            _ if all_held => return Ok(Ended::Rejected(held)),
            Decision::Promote => Ended::Promoted,
            Decision::Reject(reason) => Ended::Rejected(reason),
        };
        Ok(if held.is_empty() { ended } else { Ended::Beside(Box::new(ended), held) })
    }
}

fn stored(key: ModelKey, model: &Model, labelled: Option<&Value>, now_s: i64) -> NewModel {
    let bytes = model.to_bytes();
    let (sha256, mut card) = (sha256(&bytes), model.card());
    if let Some(labelled) = labelled {
        card["labelled"] = labelled.clone();
    }
    NewModel { key, card, bytes, sha256, trained_s: now_s }
}

//! What the store knows that a pipeline does not: models put in use since the last look.
//!
//! Owns: reading them whole, which takes a while and so leaves the async threads.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::Loaded;
use crate::detect::RestoreError;
use crate::model;
use crate::model::Model;
use crate::store::ModelKey;
use crate::store::ModelRow;
use crate::store::SavedStreak;
use crate::store::Store;
use crate::store::StoreError;

/// News of one watch.
pub(super) struct News {
    /// Of every model in use.
    pub(super) keys: BTreeSet<ModelKey>,
    /// Those that were not read before.
    pub(super) models: Vec<Fetched>,
    /// Those of the run before this one; only at first.
    pub(super) streaks: Vec<SavedStreak>,
}

/// A model as it was found.
pub(super) struct Fetched {
    pub(super) key: ModelKey,
    pub(super) version: i64,
    /// What the person said who put it in use, where that is how it got there.
    pub(super) word: Option<String>,
    /// The model, or why it is of no use.
    pub(super) loaded: Result<Loaded, Unusable>,
}

/// Why a stored model is of no use.
pub(super) enum Unusable {
    /// Its bytes are not those that were stored.
    Damaged(RestoreError),
    /// They are, and this program does not understand them: one before or after it made the model.
    OfAnotherVersion(RestoreError),
}

impl News {
    pub(super) fn read(
        store: &Store,
        watch: &str,
        known: &BTreeMap<ModelKey, i64>,
        first: bool,
    ) -> Result<News, StoreError> {
        let rows = store.models_in_use(Some(watch))?;
        let keys = rows.iter().map(|row| row.key.clone()).collect();
        let mut models = Vec::new();
        for row in rows.into_iter().filter(|row| known.get(&row.key) != Some(&row.version)) {
            // A model may be gone since the list was made; the next pass has another list.
            if let Some(stored) = store.model(&row.key, row.version)? {
                models.push(fetched(row, &stored.bytes));
            }
        }
        let streaks = if first { store.streaks(watch)? } else { Vec::new() };
        Ok(News { keys, models, streaks })
    }
}

fn fetched(row: ModelRow, bytes: &[u8]) -> Fetched {
    let ModelRow { key, version, sha256, trained_s, word, .. } = row;
    let word = word.map(|word| word.describe());
    let unusable = |error| match model::sha256(bytes) == sha256 {
        true => Unusable::OfAnotherVersion(error),
        false => Unusable::Damaged(error),
    };
    let read = Model::from_stored(bytes, &sha256).map_err(unusable);
    let loaded = |model| Loaded {
        key: key.clone(),
        version,
        sha256: sha256.clone(),
        trained_s,
        model: Arc::new(model),
    };
    Fetched { loaded: read.map(loaded), version, word, key }
}

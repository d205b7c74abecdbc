//! Versions of models: one promoted per key, the others waiting, turned down or retired.
//!
//! Owns: version numbers and which version is in use.
//! Does not own: what the bytes mean or whether they match their SHA-256 (`model`), or who may be
//! promoted (`train`).

use std::fmt;

use rusqlite::Connection;
use rusqlite::OptionalExtension;
use rusqlite::Row;
use rusqlite::params;
use rusqlite::types::ValueRef;
use serde::Serialize;

use super::Store;
use super::StoreError;
use super::entity_text;
use super::json_column;
use super::json_text;
use super::unreadable;
use super::words::ModelWord;
use super::words::SAID;
use super::words::word_of;
use crate::series::Entity;

/// What a model is trained for; versions count per key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct ModelKey {
    /// The watch's name.
    pub watch: String,
    /// The entity; of no labels for a model that all entities of the watch share.
    pub entity: Entity,
    /// The feature of a single detector; `None` for a joint one.
    pub feature: Option<String>,
    /// The detector's name.
    pub detector: String,
}

impl fmt::Display for ModelKey {
    /// `watch/detector/feature{entity}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.watch, self.detector)?;
        if let Some(feature) = &self.feature {
            write!(f, "/{feature}")?;
        }
        write!(f, "{{{}}}", self.entity)
    }
}

/// A model to keep.
#[derive(Debug, Clone, PartialEq)]
pub struct NewModel {
    /// What it was trained for.
    pub key: ModelKey,
    /// Its card: what people want to know of it.
    pub card: serde_json::Value,
    /// The model itself.
    pub bytes: Vec<u8>,
    /// SHA-256 of `bytes`, in hex.
    pub sha256: String,
    /// When it was trained, in unix seconds.
    pub trained_s: i64,
}

/// A kept model, whole.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredModel {
    /// What it was trained for.
    pub key: ModelKey,
    /// Counts from 1 per key.
    pub version: i64,
    /// SHA-256 of `bytes` as it was stored; compare it before the bytes are used.
    pub sha256: String,
    /// When it was trained, in unix seconds.
    pub trained_s: i64,
    /// Its card.
    pub card: serde_json::Value,
    /// The model itself.
    pub bytes: Vec<u8>,
}

/// Where a version stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum ModelState {
    /// In use; at most one per key.
    Promoted,
    /// Trained, not yet judged.
    Candidate,
    /// Judged and not taken.
    Rejected {
        /// Why.
        reason: String,
    },
    /// Was in use before.
    Retired,
}

impl ModelState {
    /// The word for people.
    pub fn as_str(&self) -> &'static str {
        match self {
            ModelState::Promoted => "promoted",
            ModelState::Candidate => "candidate",
            ModelState::Rejected { .. } => "rejected",
            ModelState::Retired => "retired",
        }
    }
}

/// A kept model without its bytes: a line of `portent models list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelRow {
    /// What it was trained for.
    pub key: ModelKey,
    /// Counts from 1 per key.
    pub version: i64,
    /// Where it stands.
    #[serde(flatten)]
    pub state: ModelState,
    /// SHA-256 of its bytes.
    pub sha256: String,
    /// When it was trained, in unix seconds.
    pub trained_s: i64,
    /// The settings that it was made with, as its card names them.
    pub fingerprint: Option<String>,
    /// Points with data that it learnt from, as its card says.
    pub n_rows: Option<i64>,
    /// Of the version in use: the word of the person who put it there, where that is how it got there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub word: Option<ModelWord>,
}

/// Narrows a selection of versions to those that no person brought or put in use.
pub(super) const NOBODY_SPOKE: &str = "NOT EXISTS (
  SELECT 1 FROM model_word AS word
  WHERE word.key_id = model.key_id AND word.version = model.version)";

const WHOLE: &str = "
SELECT watch, entity, feature, detector, version, sha256, trained_s, card, bytes
FROM model JOIN model_key ON id = key_id";

impl Store {
    /// Keeps models that were trained and judged together, all or none, and returns their versions:
    /// each one more than its key's last, also if that one was pruned. With
    /// [`ModelState::Promoted`] they are in use from then on, and those before them are retired.
    ///
    /// A write waits for the disk once, so a thousand models in one call take about as long as a few
    /// in several.
    ///
    /// # Errors
    /// The write failed; then no version was used.
    pub fn add_models(
        &self,
        models: &[NewModel],
        state: &ModelState,
    ) -> Result<Vec<i64>, StoreError> {
        self.write("store models", |transaction| {
            models.iter().map(|model| insert(transaction, model, state)).collect()
        })
    }

    /// Takes versions that are in use out of use, all or none; they are kept. One that is not in use any more
    /// stays as it is.
    ///
    /// # Errors
    /// The write failed; then all are as they were.
    pub fn retire_versions(&self, versions: &[(ModelKey, i64)]) -> Result<(), StoreError> {
        let sql = "
            UPDATE model SET state = 'retired'
            WHERE key_id = ?1 AND version = ?2 AND state = 'promoted'";
        self.write("retire models", |transaction| {
            versions.iter().try_for_each(|(key, version)| match key_id(transaction, key)? {
                Some(id) => transaction.prepare_cached(sql)?.execute([id, *version]).map(drop),
                None => Ok(()),
            })
        })
    }

    /// One version, whole.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn model(&self, key: &ModelKey, version: i64) -> Result<Option<StoredModel>, StoreError> {
        let sql = format!("{WHOLE} WHERE key_id = ?1 AND version = ?2");
        self.read("read a model", |connection| match key_id(connection, key)? {
            Some(id) => connection.query_row(&sql, params![id, version], whole).optional(),
            None => Ok(None),
        })
    }

    /// Every version of one watch or of all, by key and then from old to new.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn models(&self, watch: Option<&str>) -> Result<Vec<ModelRow>, StoreError> {
        self.list(watch, "")
    }

    /// As [`Store::models`], those in use only: at most one of each key.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn models_in_use(&self, watch: Option<&str>) -> Result<Vec<ModelRow>, StoreError> {
        self.list(watch, "AND state = 'promoted'")
    }

    fn list(&self, watch: Option<&str>, and: &str) -> Result<Vec<ModelRow>, StoreError> {
        let sql = format!(
            "SELECT watch, entity, feature, detector, model.version, state, reason, sha256, trained_s,
               CASE WHEN json_valid(card) THEN json_extract(card, '$.fingerprint') END,
               CASE WHEN json_valid(card) THEN json_extract(card, '$.n_rows') END,
               {SAID}
             FROM model JOIN model_key ON model_key.id = model.key_id
             LEFT JOIN model_word AS word ON state = 'promoted' AND word.version = model.version
               AND word.id = (SELECT max(id) FROM model_word AS last
                 WHERE last.key_id = model.key_id AND deed <> 'import')
             WHERE (?1 IS NULL OR watch = ?1) {and}
             ORDER BY watch, entity, feature, detector, model.version"
        );
        self.read("read models", |connection| {
            connection.prepare_cached(&sql)?.query_map([watch], listed)?.collect()
        })
    }

    /// Removes a watch's versions but, of each key, the promoted one, the newest `keep_n`, and those that a
    /// person brought or put in use; returns how many.
    ///
    /// # Errors
    /// The write failed; then none was removed.
    pub fn prune_models(&self, watch: &str, keep_n: usize) -> Result<usize, StoreError> {
        let sql = format!(
            "DELETE FROM model
            WHERE key_id IN (SELECT id FROM model_key WHERE watch = ?1) AND state <> 'promoted'
              AND {NOBODY_SPOKE} AND ?2 <= (
                SELECT count(*) FROM model AS newer
                WHERE newer.key_id = model.key_id AND newer.version > model.version)"
        );
        self.write("prune models", |transaction| transaction.execute(&sql, params![watch, keep_n]))
    }
}

pub(super) fn insert(
    connection: &Connection,
    model: &NewModel,
    state: &ModelState,
) -> rusqlite::Result<i64> {
    let next = "
        INSERT INTO model_key (watch, entity, feature, detector, last_version)
        VALUES (?1, ?2, ?3, ?4, 1)
        ON CONFLICT DO UPDATE SET last_version = last_version + 1 RETURNING id, last_version";
    let insert = "
        INSERT INTO model (key_id, version, state, reason, sha256, trained_s, card, bytes)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let NewModel { key, card, bytes, sha256, trained_s } = model;
    let feature = key.feature.as_deref().unwrap_or("");
    let (key_id, version): (i64, i64) = connection
        .prepare_cached(next)?
        .query_row(params![key.watch, entity_text(&key.entity)?, feature, key.detector], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    let reason = match state {
        ModelState::Rejected { reason } => Some(reason),
        _ => None,
    };
    let card = json_text(card)?;
    if *state == ModelState::Promoted {
        retire(connection, key_id)?;
    }
    connection.prepare_cached(insert)?.execute(params![
        key_id,
        version,
        state.as_str(),
        reason,
        sha256,
        trained_s,
        card,
        bytes
    ])?;
    Ok(version)
}

/// Takes what is in use out of use: of a key, at most one version is promoted at any moment.
fn retire(connection: &Connection, key_id: i64) -> rusqlite::Result<()> {
    let sql = "UPDATE model SET state = 'retired' WHERE key_id = ?1 AND state = 'promoted'";
    connection.prepare_cached(sql)?.execute([key_id]).map(drop)
}

pub(super) fn key_id(connection: &Connection, key: &ModelKey) -> rusqlite::Result<Option<i64>> {
    let sql = "
        SELECT id FROM model_key
        WHERE watch = ?1 AND entity = ?2 AND feature = ?3 AND detector = ?4";
    let feature = key.feature.as_deref().unwrap_or("");
    connection
        .prepare_cached(sql)?
        .query_row(params![key.watch, entity_text(&key.entity)?, feature, key.detector], |row| {
            row.get(0)
        })
        .optional()
}

/// The key in columns 0 to 3.
pub(super) fn key_of(row: &Row<'_>) -> rusqlite::Result<ModelKey> {
    let feature: String = row.get(2)?;
    Ok(ModelKey {
        watch: row.get(0)?,
        entity: json_column(row, 1)?,
        feature: (!feature.is_empty()).then_some(feature),
        detector: row.get(3)?,
    })
}

fn whole(row: &Row<'_>) -> rusqlite::Result<StoredModel> {
    Ok(StoredModel {
        key: key_of(row)?,
        version: row.get(4)?,
        sha256: row.get(5)?,
        trained_s: row.get(6)?,
        card: json_column(row, 7)?,
        bytes: row.get(8)?,
    })
}

fn listed(row: &Row<'_>) -> rusqlite::Result<ModelRow> {
    let state = match row.get_ref(5)?.as_str()? {
        "promoted" => ModelState::Promoted,
        "candidate" => ModelState::Candidate,
        "rejected" => {
            ModelState::Rejected { reason: row.get::<_, Option<String>>(6)?.unwrap_or_default() }
        }
        "retired" => ModelState::Retired,
        other => return Err(unreadable(5, format!("model state {other:?}"))),
    };
    Ok(ModelRow {
        key: key_of(row)?,
        version: row.get(4)?,
        state,
        sha256: row.get(7)?,
        trained_s: row.get(8)?,
        fingerprint: row.get(9)?,
        n_rows: row.get(10)?,
        word: match row.get_ref(11)? {
            ValueRef::Null => None,
            _ => Some(word_of(row, 11)?),
        },
    })
}

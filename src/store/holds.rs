//! What trainings leave alone, since a person said so.
//!
//! Owns: which words hold, until when, and that no training overtakes one that is said meanwhile.
//! Does not own: the words (`words`), or what a training makes of the models beside those (`train`).

use std::collections::BTreeMap;

use rusqlite::Connection;
use rusqlite::Row;
use rusqlite::params;

use super::Store;
use super::StoreError;
use super::entity_text;
use super::models::ModelKey;
use super::models::ModelState;
use super::models::NewModel;
use super::models::insert;
use super::models::key_of;
use super::words::Deed;
use super::words::ModelWord;
use super::words::SAID;
use super::words::word_of;
use crate::verdict::rfc3339;

/// A version that a person put in use or took out of use, and wants left so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// The version that the word is about.
    pub version: i64,
    /// The settings that it was made with: a model of others is no successor of it, so nothing is held then.
    pub fingerprint: Option<String>,
    /// The word.
    pub word: ModelWord,
}

impl Hold {
    /// Whether the version is in use; else it was taken out of use, and none of its key shall be.
    pub fn in_use(&self) -> bool {
        self.word.deed != Deed::Retire
    }
}

impl std::fmt::Display for Hold {
    /// `version 1 was put back in use by ann (quiet nights), and is held until 2026-11-30T10:00:00Z`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Hold { version, word, .. } = self;
        let until = rfc3339(word.hold_until_s.unwrap_or(0));
        let said = word.describe();
        match self.in_use() {
            true => write!(f, "version {version} was {said}, and is held until {until}"),
            false => {
                write!(f, "version {version} was {said}, and none is put in use until {until}")
            }
        }
    }
}

/// What is held of a watch at a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holds {
    /// By key.
    pub of: BTreeMap<ModelKey, Hold>,
    /// The newest word that was known then; see [`Store::add_models_unless_spoken`].
    pub newest_word: i64,
}

impl Store {
    /// What people want left alone of a watch at `now_s`, in unix seconds.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn holds(&self, watch: &str, now_s: i64) -> Result<Holds, StoreError> {
        let sql = format!(
            "SELECT watch, entity, feature, detector, model.version,
               CASE WHEN json_valid(card) THEN json_extract(card, '$.fingerprint') END, {SAID}
             FROM model_word AS word
             JOIN model ON model.key_id = word.key_id AND model.version = word.version
             JOIN model_key ON model_key.id = word.key_id
             WHERE watch = ?1 AND hold_until_s > ?2
               AND word.id = (SELECT max(id) FROM model_word AS last
                 WHERE last.key_id = word.key_id AND deed <> 'import')
               AND (state = 'promoted' OR (deed = 'rollback' AND before = word.version
                 AND NOT EXISTS (SELECT 1 FROM model AS other
                   WHERE other.key_id = word.key_id AND other.state = 'promoted')))"
        );
        let held = |row: &Row<'_>| {
            let (version, fingerprint) = (row.get(4)?, row.get(5)?);
            Ok((key_of(row)?, Hold { version, fingerprint, word: word_of(row, 6)? }))
        };
        self.read("read what is held", |connection| {
            let newest = "SELECT coalesce(max(id), 0) FROM model_word";
            let newest_word = connection.query_row(newest, [], |row| row.get(0))?;
            let mut select = connection.prepare_cached(&sql)?;
            let of = select.query_map(params![watch, now_s], held)?;
            Ok(Holds { of: of.collect::<rusqlite::Result<_>>()?, newest_word })
        })
    }

    /// As [`Store::add_models`], each with a state of its own, all of one entity that was trained; but where a
    /// person has put a version of that entity in use or out of use since the word `newest_word`, none is kept: they
    /// were judged beside others than those in use. Returns whether they were kept.
    ///
    /// # Errors
    /// As [`Store::add_models`].
    pub fn add_models_unless_spoken(
        &self,
        models: &[(NewModel, ModelState)],
        newest_word: i64,
    ) -> Result<bool, StoreError> {
        self.write("store models", |transaction| {
            for (model, _) in models {
                if spoken(transaction, &model.key, newest_word)? {
                    return Ok(false);
                }
            }
            for (model, state) in models {
                insert(transaction, model, state)?;
            }
            Ok(true)
        })
    }
}

/// Whether somebody spoke of a model of the key's entity after that word.
fn spoken(connection: &Connection, key: &ModelKey, after: i64) -> rusqlite::Result<bool> {
    let sql = "
        SELECT EXISTS (
          SELECT 1 FROM model_word AS word JOIN model_key ON model_key.id = word.key_id
          WHERE word.id > ?1 AND deed <> 'import' AND watch = ?2 AND entity = ?3)";
    connection
        .prepare_cached(sql)?
        .query_row(params![after, key.watch, entity_text(&key.entity)?], |row| row.get(0))
}

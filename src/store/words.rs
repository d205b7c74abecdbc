//! What people did with models: brought one, put one in use, took one back.
//!
//! Owns: those words, which are never changed or removed, nor are the versions that they are about; and
//! how long trainings leave a version alone that a person put in use.
//! Does not own: which version is worth it (who speaks), or what a training makes (`train`).

use rusqlite::Connection;
use rusqlite::OptionalExtension;
use rusqlite::Row;
use rusqlite::params;
use serde::Serialize;

use super::Store;
use super::StoreError;
use super::models::ModelKey;
use super::models::ModelState;
use super::models::NewModel;
use super::models::insert;
use super::models::key_id;
use super::unreadable;

/// What a person did with a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    /// Brought it from a file.
    Import,
    /// Put it in use.
    Promote,
    /// Put it in use instead of one that was worse.
    Rollback,
    /// Took it out of use, with none before it to go back to. In the store a rollback from a version to itself.
    Retire,
}

impl Deed {
    /// The word in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Deed::Import => "import",
            Deed::Promote => "promote",
            Deed::Rollback | Deed::Retire => "rollback",
        }
    }
}

/// A person's word on a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelWord {
    /// What was done.
    pub deed: Deed,
    /// The version that was in use before, where there was one.
    pub before: Option<i64>,
    /// Until then, in unix seconds, no training puts another version in use.
    pub hold_until_s: Option<i64>,
    /// Who did it.
    pub author: Option<String>,
    /// Why.
    pub note: Option<String>,
    /// When it was said, in unix seconds.
    pub created_s: i64,
}

impl ModelWord {
    /// The same word of another deed.
    fn of(&self, deed: Deed) -> ModelWord {
        ModelWord { deed, ..self.clone() }
    }

    /// `put in use by ann (quiet nights)`.
    pub fn describe(&self) -> String {
        let deed = match self.deed {
            Deed::Import => "imported",
            Deed::Promote => "put in use",
            Deed::Rollback => "put back in use",
            Deed::Retire => "taken out of use",
        };
        // Free text, which may hold what a terminal obeys.
        let text = |before: &str, text: &Option<String>, after: &str| {
            let shown = text.as_ref().map(|text| format!("{before}{}{after}", text.escape_debug()));
            shown.unwrap_or_default()
        };
        let (by, why) = (text(" by ", &self.author, ""), text(" (", &self.note, ")"));
        format!("{deed}{by}{why}")
    }
}

/// One version in use instead of another, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Of which model.
    pub key: ModelKey,
    /// The version that is in use now; `None` where there is none.
    pub from: Option<i64>,
    /// The version that is to be; `None`: none of this key.
    pub to: Option<i64>,
}

impl Store {
    /// Keeps models that a person brought, all or none, and returns the version of each and whether it is
    /// new: the same bytes of the same key are kept once. None of them is in use by that, and no pruning
    /// removes them.
    ///
    /// # Errors
    /// The write failed; then none was kept.
    pub fn import_models(
        &self,
        models: &[NewModel],
        word: &ModelWord,
    ) -> Result<Vec<(i64, bool)>, StoreError> {
        self.write("import models", |transaction| {
            let import = |model: &NewModel| {
                let known = same(transaction, model)?;
                let version = match known {
                    Some(version) => version,
                    None => insert(transaction, model, &ModelState::Candidate)?,
                };
                say(transaction, &model.key, version, None, word)?;
                Ok((version, known.is_none()))
            };
            models.iter().map(import).collect()
        })
    }

    /// Puts versions in use, all or none, as a person says, or none of a key. With [`Deed::Rollback`] those that
    /// were in use are rejected from then on, else they are retired; a version that is in use already gets the word.
    ///
    /// # Errors
    /// There is no such version, another one was put in use since the caller looked, or the write failed;
    /// then all are as they were.
    pub fn put_in_use(&self, changes: &[Change], word: &ModelWord) -> Result<(), StoreError> {
        const ACTION: &str = "put models in use";
        let problem = self.write(ACTION, |transaction| {
            for change in changes {
                if let Some(problem) = change_problem(transaction, change)? {
                    return Ok(Some(problem));
                }
            }
            for change in changes {
                put(transaction, change, word)?;
            }
            Ok(None)
        })?;
        problem.map_or(Ok(()), |problem| Err(self.invalid(ACTION, problem)))
    }

    /// The version to go back to from the one in use: where a person promoted that one, the one that it
    /// took the place of, else the newest that was in use and is older. The first of the pair is in use; where
    /// none is, there is nothing to go back from.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn version_before(&self, key: &ModelKey) -> Result<(Option<i64>, Option<i64>), StoreError> {
        let promoted_over = "
            SELECT word.before FROM model_word AS word
            JOIN model ON model.key_id = word.key_id AND model.version = word.before
            WHERE word.id = (SELECT max(id) FROM model_word WHERE key_id = ?1 AND deed <> 'import')
              AND word.version = ?2 AND deed = 'promote'";
        let older = "
            SELECT max(version) FROM model
            WHERE key_id = ?1 AND state = 'retired' AND version < ?2";
        self.read("read models", |connection| {
            let Some(id) = key_id(connection, key)? else { return Ok((None, None)) };
            let Some(current) = promoted(connection, id)? else { return Ok((None, None)) };
            let before: Option<i64> =
                connection.query_row(promoted_over, [id, current], |row| row.get(0)).optional()?;
            let before = match before {
                Some(before) => Some(before),
                None => connection.query_row(older, [id, current], |row| row.get(0))?,
            };
            Ok((Some(current), before))
        })
    }

    /// What was ever said of one version, in that order.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn model_words(&self, key: &ModelKey, version: i64) -> Result<Vec<ModelWord>, StoreError> {
        let sql = format!(
            "SELECT {SAID} FROM model_word AS word
             WHERE key_id = ?1 AND version = ?2 ORDER BY id"
        );
        self.read("read what was said of models", |connection| {
            let Some(id) = key_id(connection, key)? else { return Ok(Vec::new()) };
            let word = |row: &Row<'_>| word_of(row, 0);
            connection.prepare_cached(&sql)?.query_map([id, version], word)?.collect()
        })
    }

    /// The watches of whose models somebody put one in use after the word of this id, and the id of the
    /// newest word there is.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn watches_changed_since(&self, id: i64) -> Result<(i64, Vec<String>), StoreError> {
        let newest = "SELECT coalesce(max(id), 0) FROM model_word";
        let watches = "
            SELECT DISTINCT watch FROM model_word AS word JOIN model_key ON model_key.id = key_id
            WHERE word.id > ?1 AND word.id <= ?2 AND deed <> 'import' ORDER BY watch";
        self.read("read what was said of models", |connection| {
            let newest: i64 = connection.query_row(newest, [], |row| row.get(0))?;
            let mut select = connection.prepare_cached(watches)?;
            let watches = select.query_map([id, newest], |row| row.get(0))?;
            Ok((newest, watches.collect::<rusqlite::Result<_>>()?))
        })
    }
}

/// The version of the same bytes, where there is one.
fn same(connection: &Connection, model: &NewModel) -> rusqlite::Result<Option<i64>> {
    let sql = "SELECT max(version) FROM model WHERE key_id = ?1 AND sha256 = ?2";
    match key_id(connection, &model.key)? {
        Some(id) => connection.query_row(sql, params![id, model.sha256], |row| row.get(0)),
        None => Ok(None),
    }
}

fn promoted(connection: &Connection, key_id: i64) -> rusqlite::Result<Option<i64>> {
    let sql = "SELECT version FROM model WHERE key_id = ?1 AND state = 'promoted'";
    connection.query_row(sql, [key_id], |row| row.get(0)).optional()
}

/// Why a change cannot be made.
fn change_problem(connection: &Connection, change: &Change) -> rusqlite::Result<Option<String>> {
    let Change { key, from, to } = change;
    let exists = "SELECT EXISTS (SELECT 1 FROM model WHERE key_id = ?1 AND version = ?2)";
    let Some(id) = key_id(connection, key)? else { return Ok(Some(format!("no model {key}"))) };
    if let Some(to) = to
        && !connection.query_row(exists, [id, *to], |row| row.get(0))?
    {
        return Ok(Some(format!("there is no version {to} of {key}")));
    }
    let in_use = promoted(connection, id)?;
    Ok((in_use != *from).then(|| {
        let version = in_use.map_or("none".to_string(), |version| format!("version {version}"));
        format!("{version} of {key} is in use by now; look again")
    }))
}

fn put(connection: &Connection, change: &Change, word: &ModelWord) -> rusqlite::Result<()> {
    let Change { key, from, to } = change;
    let Some(id) = key_id(connection, key)? else { return Ok(()) };
    let update = "UPDATE model SET state = ?3, reason = ?4 WHERE key_id = ?1 AND version = ?2";
    let mut update = connection.prepare_cached(update)?;
    let other = from.filter(|from| Some(*from) != *to);
    if let Some(from) = other {
        let (state, reason) = match (word.deed, to) {
            (_, None) => {
                let reason = format!("it was {}", word.of(Deed::Retire).describe());
                (ModelState::Rejected { reason: reason.clone() }, Some(reason))
            }
            (Deed::Rollback, Some(to)) => {
                let reason = format!("version {to} was {} instead", word.describe());
                (ModelState::Rejected { reason: reason.clone() }, Some(reason))
            }
            _ => (ModelState::Retired, None),
        };
        update.execute(params![id, from, state.as_str(), reason])?;
    }
    match (to, other) {
        (Some(to), _) => {
            update.execute(params![id, to, ModelState::Promoted.as_str(), None::<&str>])?;
            say(connection, key, *to, other, word)
        }
        // The word of a version that was in use and is not: see `SAID`.
        (None, Some(from)) => say(connection, key, from, other, &word.of(Deed::Retire)),
        (None, None) => Ok(()),
    }
}

fn say(
    connection: &Connection,
    key: &ModelKey,
    version: i64,
    before: Option<i64>,
    word: &ModelWord,
) -> rusqlite::Result<()> {
    let ModelWord { deed, hold_until_s, author, note, created_s, .. } = word;
    let sql = "
        INSERT INTO model_word (key_id, version, deed, before, hold_until_s, author, note, created_s)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let id = key_id(connection, key)?;
    let deed = deed.as_str();
    connection
        .prepare_cached(sql)?
        .execute(params![id, version, deed, before, hold_until_s, author, note, created_s])
        .map(drop)
}

/// The six columns of a word, of the table `model_word AS word`.
pub(super) const SAID: &str = "
  CASE WHEN deed = 'rollback' AND before = word.version THEN 'retire' ELSE deed END,
  before, hold_until_s, author, note, created_s";

/// The word in six columns from `first` on.
pub(super) fn word_of(row: &Row<'_>, first: usize) -> rusqlite::Result<ModelWord> {
    let deed = match row.get_ref(first)?.as_str()? {
        "import" => Deed::Import,
        "promote" => Deed::Promote,
        "rollback" => Deed::Rollback,
        "retire" => Deed::Retire,
        other => return Err(unreadable(first, format!("deed {other:?}"))),
    };
    Ok(ModelWord {
        deed,
        before: row.get(first + 1)?,
        hold_until_s: row.get(first + 2)?,
        author: row.get(first + 3)?,
        note: row.get(first + 4)?,
        created_s: row.get(first + 5)?,
    })
}

#[cfg(test)]
mod tests;

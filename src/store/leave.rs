//! Models of entities that have left: out of use first, then out of the store.
//!
//! Owns: the two writes. Does not own: who has left (`train`). What a person said of an entity stays.

use rusqlite::Transaction;
use rusqlite::params;

use super::Store;
use super::StoreError;
use super::entity_text;
use super::models::NOBODY_SPOKE;
use crate::series::Entity;

/// The keys of an entity's models.
const KEYS: &str = "SELECT id FROM model_key WHERE watch = ?1 AND entity = ?2";

impl Store {
    /// Takes all models of these entities out of use, in one transaction; they are kept. Returns how
    /// many were in use.
    ///
    /// # Errors
    /// The write failed; then all are as they were.
    pub fn retire_models(&self, watch: &str, entities: &[Entity]) -> Result<usize, StoreError> {
        let retire = format!(
            "UPDATE model SET state = 'retired' WHERE state = 'promoted' AND key_id IN ({KEYS})"
        );
        self.write("retire models", |transaction| {
            entities
                .iter()
                .try_fold(0, |n, entity| Ok(n + run(transaction, &retire, watch, entity)?))
        })
    }

    /// Removes all models of these entities but those that a person brought or put in use, in one
    /// transaction. Returns how many versions were removed.
    ///
    /// # Errors
    /// The write failed; then none was removed.
    pub fn forget_models(&self, watch: &str, entities: &[Entity]) -> Result<usize, StoreError> {
        let versions = format!("DELETE FROM model WHERE key_id IN ({KEYS}) AND {NOBODY_SPOKE}");
        let keys = "
            DELETE FROM model_key WHERE watch = ?1 AND entity = ?2
              AND id NOT IN (SELECT key_id FROM model_word)";
        self.write("forget models", |transaction| {
            entities.iter().try_fold(0, |n, entity| {
                let removed = run(transaction, &versions, watch, entity)?;
                run(transaction, keys, watch, entity)?;
                Ok(n + removed)
            })
        })
    }
}

fn run(
    transaction: &Transaction<'_>,
    sql: &str,
    watch: &str,
    entity: &Entity,
) -> rusqlite::Result<usize> {
    transaction.prepare_cached(sql)?.execute(params![watch, entity_text(entity)?])
}

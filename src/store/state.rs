//! What scoring and training remember: streaks, our own anomalies, requests to train.
//!
//! Owns: their tables. Does not own: how a streak counts (`score`) or when training runs.

use rusqlite::Connection;
use rusqlite::OptionalExtension;
use rusqlite::Row;
use rusqlite::params;

use super::Store;
use super::StoreError;
use super::entity_text;
use super::json_column;
use crate::series::Entity;
use crate::verdict::Interval;

/// Streaks last scored longer ago than this before the newest one are forgotten with the next
/// save: their entities are gone.
const FORGET_AFTER_S: i64 = 31 * 86_400;

/// A streak as it stood after a pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedStreak {
    /// Whose.
    pub entity: Entity,
    /// The feature of a single detector; `None` for all features.
    pub feature: Option<String>,
    /// The detector's name, or `combined`.
    pub detector: String,
    /// Consecutive points above 1.
    pub points: u32,
    /// The time of the last scored point, in unix seconds.
    pub last_scored_s: i64,
}

/// Somebody wants a watch trained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrainingRequest {
    /// For [`Store::finish_training_request`].
    pub id: i64,
    /// The watch's name.
    pub watch: String,
    /// Why, for logs and cards.
    pub reason: String,
}

impl Store {
    /// Saves the streaks of a watch in one transaction; those not in `streaks` stay as they are.
    ///
    /// # Errors
    /// The write failed; then none was saved.
    pub fn save_streaks(&self, watch: &str, streaks: &[SavedStreak]) -> Result<(), StoreError> {
        let Some(newest_s) = streaks.iter().map(|streak| streak.last_scored_s).max() else {
            return Ok(());
        };
        let forget = "DELETE FROM streak WHERE watch = ?1 AND last_scored_s < ?2";
        self.write("save streaks", |transaction| {
            let mut save = transaction.prepare_cached(
                "INSERT INTO streak (watch, entity, feature, detector, points, last_scored_s)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT DO UPDATE SET points = ?5, last_scored_s = ?6",
            )?;
            for streak in streaks {
                let feature = streak.feature.as_deref().unwrap_or("");
                let entity = entity_text(&streak.entity)?;
                let (points, last_s) = (streak.points, streak.last_scored_s);
                save.execute(params![watch, entity, feature, streak.detector, points, last_s])?;
            }
            drop(save);
            transaction.execute(forget, params![watch, newest_s.saturating_sub(FORGET_AFTER_S)])?;
            Ok(())
        })
    }

    /// The saved streaks of a watch.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn streaks(&self, watch: &str) -> Result<Vec<SavedStreak>, StoreError> {
        let sql = "
            SELECT entity, feature, detector, points, last_scored_s FROM streak WHERE watch = ?1
            ORDER BY entity, feature, detector";
        self.read("read streaks", |connection| {
            connection.prepare_cached(sql)?.query_map([watch], streak_of)?.collect()
        })
    }

    /// Notes anomalies that are going on, in one transaction: each opens one, or continues the one of
    /// its entity that reaches there.
    ///
    /// # Errors
    /// The write failed; then none was noted.
    pub fn record_anomalies(
        &self,
        watch: &str,
        anomalies: &[(Entity, Interval)],
    ) -> Result<(), StoreError> {
        self.write("record anomalies", |transaction| {
            for (entity, interval) in anomalies {
                let id = opened(transaction, watch, entity, interval.from_s)?;
                extended(transaction, id, interval.to_s)?;
            }
            Ok(())
        })
    }

    /// Our own anomalies of a watch that end after `since_s`, oldest first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn anomalies(
        &self,
        watch: &str,
        since_s: i64,
    ) -> Result<Vec<(Entity, Interval)>, StoreError> {
        let sql = "
            SELECT entity, from_s, to_s FROM anomaly WHERE watch = ?1 AND to_s > ?2 AND to_s > from_s
            ORDER BY from_s, id";
        self.read("read anomalies", |connection| {
            let anomaly = |row: &Row<'_>| {
                Ok((json_column(row, 0)?, Interval { from_s: row.get(1)?, to_s: row.get(2)? }))
            };
            connection.prepare_cached(sql)?.query_map(params![watch, since_s], anomaly)?.collect()
        })
    }

    /// Asks whichever process trains this store's models to train a watch soon.
    ///
    /// # Errors
    /// The write failed.
    pub fn request_training(&self, watch: &str, reason: &str) -> Result<(), StoreError> {
        let sql = "INSERT INTO training_request (watch, reason) VALUES (?1, ?2)";
        self.write("request a training", |transaction| transaction.execute(sql, [watch, reason]))?;
        Ok(())
    }

    /// The requests whose trainings have not ended yet, oldest first; ids count up.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn training_requests(&self) -> Result<Vec<TrainingRequest>, StoreError> {
        let sql = "SELECT id, watch, reason FROM training_request ORDER BY id";
        self.read("read training requests", |connection| {
            let request = |row: &Row<'_>| {
                Ok(TrainingRequest { id: row.get(0)?, watch: row.get(1)?, reason: row.get(2)? })
            };
            connection.prepare_cached(sql)?.query_map([], request)?.collect()
        })
    }

    /// Forgets a request whose training has ended, whatever came of it.
    ///
    /// # Errors
    /// The write failed.
    pub fn finish_training_request(&self, id: i64) -> Result<(), StoreError> {
        let sql = "DELETE FROM training_request WHERE id = ?1";
        self.write("finish a training request", |transaction| transaction.execute(sql, [id]))?;
        Ok(())
    }
}

/// The anomaly of this entity that reaches `from_s`, or a new one.
fn opened(
    connection: &Connection,
    watch: &str,
    entity: &Entity,
    from_s: i64,
) -> rusqlite::Result<i64> {
    let entity = entity_text(entity)?;
    if let Some(id) = reaching(connection, watch, &entity, from_s)? {
        return Ok(id);
    }
    let sql = "INSERT INTO anomaly (watch, entity, from_s, to_s) VALUES (?1, ?2, ?3, ?3)";
    connection.prepare_cached(sql)?.insert(params![watch, entity, from_s])
}

/// How many anomalies have this id; its end is `to_s` now, if that is later.
fn extended(connection: &Connection, id: i64, to_s: i64) -> rusqlite::Result<usize> {
    let sql = "UPDATE anomaly SET to_s = max(to_s, ?2) WHERE id = ?1";
    connection.prepare_cached(sql)?.execute([id, to_s])
}

/// The newest anomaly of this entity that holds `time_s` or ends there.
fn reaching(
    connection: &Connection,
    watch: &str,
    entity: &str,
    time_s: i64,
) -> rusqlite::Result<Option<i64>> {
    let sql = "
        SELECT id FROM anomaly
        WHERE watch = ?1 AND entity = ?2 AND from_s <= ?3 AND to_s >= ?3
        ORDER BY from_s DESC LIMIT 1";
    connection
        .prepare_cached(sql)?
        .query_row(params![watch, entity, time_s], |r| r.get(0))
        .optional()
}

fn streak_of(row: &Row<'_>) -> rusqlite::Result<SavedStreak> {
    let feature: String = row.get(1)?;
    Ok(SavedStreak {
        entity: json_column(row, 0)?,
        feature: (!feature.is_empty()).then_some(feature),
        detector: row.get(2)?,
        points: row.get(3)?,
        last_scored_s: row.get(4)?,
    })
}

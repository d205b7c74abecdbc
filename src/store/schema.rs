//! The tables, and how an older file becomes a newer one.
//!
//! Owns: the steps between schema versions. A step that has been released is never edited; a
//! change of the tables is one more step at the end.
//! Does not own: the queries.

use std::path::Path;

use rusqlite::Connection;
use rusqlite::TransactionBehavior;
use rusqlite::config::DbConfig;

use super::StoreError;

/// Marks the file as ours: "Port" in ASCII.
const APPLICATION_ID: i64 = 0x506f_7274;

/// Step `i` leads from `user_version` `i` to `i + 1`.
const STEPS: &[&str] = &[FIRST, SECOND, THIRD];

const FIRST: &str = "
-- What people said, in the order in which they said it. Never changed, never removed.
CREATE TABLE label (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  watch TEXT NOT NULL,
  entity TEXT NOT NULL,
  from_s INTEGER NOT NULL,
  to_s INTEGER NOT NULL CHECK (to_s > from_s),
  verdict TEXT NOT NULL CHECK (verdict IN ('anomaly', 'normal')),
  class TEXT CHECK (class IS NULL OR verdict = 'anomaly'),
  author TEXT,
  note TEXT,
  source TEXT NOT NULL,
  created_s INTEGER NOT NULL
) STRICT;
CREATE INDEX label_about ON label (watch, entity, from_s, to_s, id);
CREATE TRIGGER label_stays_said BEFORE UPDATE ON label
  BEGIN SELECT RAISE(ABORT, 'labels are append-only'); END;
CREATE TRIGGER label_stays BEFORE DELETE ON label
  BEGIN SELECT RAISE(ABORT, 'labels are append-only'); END;

-- The feature rows of a label, since Prometheus forgets them: f64, little-endian, row-major.
CREATE TABLE label_rows (
  label_id INTEGER PRIMARY KEY REFERENCES label (id),
  features TEXT NOT NULL,
  start_s INTEGER NOT NULL,
  step_s INTEGER NOT NULL,
  n_rows INTEGER NOT NULL,
  sample_values BLOB NOT NULL
) STRICT;

-- One row per model that is trained again and again; versions are never used twice.
CREATE TABLE model_key (
  id INTEGER PRIMARY KEY,
  watch TEXT NOT NULL,
  entity TEXT NOT NULL,
  feature TEXT NOT NULL, -- empty: the model sees all features
  detector TEXT NOT NULL,
  last_version INTEGER NOT NULL,
  UNIQUE (watch, entity, feature, detector)
) STRICT;
CREATE TABLE model (
  key_id INTEGER NOT NULL REFERENCES model_key (id),
  version INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('candidate', 'promoted', 'rejected', 'retired')),
  reason TEXT,
  sha256 TEXT NOT NULL,
  trained_s INTEGER NOT NULL,
  card TEXT NOT NULL,
  bytes BLOB NOT NULL,
  PRIMARY KEY (key_id, version)
) STRICT;
CREATE UNIQUE INDEX model_promoted ON model (key_id) WHERE state = 'promoted';

CREATE TABLE streak (
  watch TEXT NOT NULL,
  entity TEXT NOT NULL,
  feature TEXT NOT NULL, -- empty: all features
  detector TEXT NOT NULL,
  points INTEGER NOT NULL,
  last_scored_s INTEGER NOT NULL,
  PRIMARY KEY (watch, entity, feature, detector)
) STRICT, WITHOUT ROWID;

-- Our own confirmed anomalies, which training leaves out.
CREATE TABLE anomaly (
  id INTEGER PRIMARY KEY,
  watch TEXT NOT NULL,
  entity TEXT NOT NULL,
  from_s INTEGER NOT NULL,
  to_s INTEGER NOT NULL CHECK (to_s >= from_s)
) STRICT;
CREATE INDEX anomaly_about ON anomaly (watch, entity, from_s);

CREATE TABLE training_request (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  watch TEXT NOT NULL,
  reason TEXT NOT NULL
) STRICT;
";

const SECOND: &str = "
-- Which labels people took back, and why. Said like a label: never changed, never removed.
CREATE TABLE label_withdrawal (
  label_id INTEGER PRIMARY KEY REFERENCES label (id),
  author TEXT,
  note TEXT,
  source TEXT NOT NULL,
  created_s INTEGER NOT NULL
) STRICT;
CREATE TRIGGER label_withdrawal_stays_said BEFORE UPDATE ON label_withdrawal
  BEGIN SELECT RAISE(ABORT, 'labels are append-only'); END;
CREATE TRIGGER label_withdrawal_stays BEFORE DELETE ON label_withdrawal
  BEGIN SELECT RAISE(ABORT, 'labels are append-only'); END;
";

const THIRD: &str = "
-- Which versions people brought or put in use, and why. Never changed, never removed, nor are those versions.
CREATE TABLE model_word (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  key_id INTEGER NOT NULL REFERENCES model_key (id),
  version INTEGER NOT NULL,
  deed TEXT NOT NULL CHECK (deed IN ('import', 'promote', 'rollback')),
  before INTEGER, -- the version that was in use
  hold_until_s INTEGER, -- until then no training puts another one in use
  author TEXT,
  note TEXT,
  created_s INTEGER NOT NULL
) STRICT;
CREATE INDEX model_word_about ON model_word (key_id, id);
CREATE TRIGGER model_word_stays_said BEFORE UPDATE ON model_word
  BEGIN SELECT RAISE(ABORT, 'what people said of models is append-only'); END;
CREATE TRIGGER model_word_stays BEFORE DELETE ON model_word
  BEGIN SELECT RAISE(ABORT, 'what people said of models is append-only'); END;
CREATE TRIGGER model_of_a_person_stays BEFORE DELETE ON model
  WHEN EXISTS (SELECT 1 FROM model_word WHERE key_id = OLD.key_id AND version = OLD.version)
  BEGIN SELECT RAISE(ABORT, 'a model that a person brought or put in use stays'); END;
";

/// Refuses a file that is newer or not ours, before anything is written to it.
pub(super) fn refuse_unknown(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let (found, ours) = inspect(connection).map_err(|error| StoreError::opening(path, &error))?;
    if !ours {
        return Err(StoreError::Foreign { path: path.to_path_buf() });
    }
    let known = STEPS.len() as i64;
    if found > known {
        return Err(StoreError::NewerSchema { path: path.to_path_buf(), found, known });
    }
    Ok(())
}

/// The schema version, and whether the file is empty or ours.
fn inspect(connection: &Connection) -> rusqlite::Result<(i64, bool)> {
    connection.busy_timeout(super::BUSY_TIMEOUT)?;
    // Closing must not move what another program has written to the write-ahead log.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    // One view of the file for the three questions: another process may be making it just now.
    let view = connection.unchecked_transaction()?;
    let number = |sql: &str| view.query_row(sql, [], |row| row.get::<_, i64>(0));
    let id = number("PRAGMA application_id")?;
    let n_tables = number("SELECT count(*) FROM sqlite_schema")?;
    let empty = id == 0 && n_tables == 0;
    Ok((number("PRAGMA user_version")?, empty || id == APPLICATION_ID))
}

/// Takes the steps that the file has not seen, all or none.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    steps(connection).map_err(|error| StoreError::opening(path, &error))
}

fn steps(connection: &mut Connection) -> rusqlite::Result<()> {
    let version = |c: &Connection| c.query_row("PRAGMA user_version", [], |row| row.get(0));
    let known = STEPS.len();
    if version(connection)? == known as i64 {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Read again: another process may have taken the steps while this one waited for the lock.
    let from: i64 = version(&transaction)?;
    for step in STEPS.iter().skip(usize::try_from(from).unwrap_or(known)) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", known.max(from as usize) as i64)?;
    transaction.commit()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::FILE_NAME;
    use crate::store::Store;
    use crate::verdict::Withdrawal;

    /// As the first release made it and left it.
    fn of_schema_1(path: &Path) {
        let file = Connection::open(path).unwrap();
        file.execute_batch(FIRST).unwrap();
        file.execute_batch(
            "PRAGMA application_id = 0x506f7274; PRAGMA user_version = 1;
             INSERT INTO label VALUES
               (7, 'w', '{\"job\":\"a\"}', 30, 90, 'anomaly', 'slow', 'ann', 'why', 'cli', 99);
             INSERT INTO label_rows VALUES (7, '[\"rate\"]', 30, 30, 1, x'000000000000f03f');
             INSERT INTO model_key VALUES (1, 'w', '{\"job\":\"a\"}', '', 'stl', 3);
             INSERT INTO model VALUES (1, 3, 'promoted', NULL, 'ab', 50, '{}', x'01');
             INSERT INTO streak VALUES ('w', '{\"job\":\"a\"}', '', 'combined', 2, 60);
             INSERT INTO anomaly VALUES (1, 'w', '{\"job\":\"a\"}', 10, 20);
             INSERT INTO training_request VALUES (4, 'w', 'label');",
        )
        .unwrap();
    }

    #[test]
    fn a_file_of_schema_1_keeps_everything_and_learns_to_withdraw() {
        let dir = tempfile::tempdir().unwrap();
        of_schema_1(&dir.path().join(FILE_NAME));
        let store = Store::open(dir.path()).unwrap();
        let [stored] = &store.labels(None).unwrap()[..] else { panic!("one label") };
        assert_eq!((stored.id, stored.has_rows, &stored.withdrawn), (7, true, &None));
        assert_eq!(stored.label.author.as_deref(), Some("ann"));
        assert_eq!(store.label_rows(7).unwrap().unwrap().window.values, [1.0]);
        assert_eq!(store.models_in_use(None).unwrap()[0].version, 3);
        assert_eq!(store.streaks("w").unwrap()[0].points, 2);
        assert_eq!(store.anomalies("w", 0).unwrap().len(), 1);
        assert_eq!(store.training_requests().unwrap()[0].id, 4);

        let withdrawal =
            Withdrawal { author: None, note: None, source: "cli".into(), created_s: 100 };
        store.withdraw_label(7, &withdrawal).unwrap();
        drop(store);
        let store = Store::open(dir.path()).unwrap();
        assert!(store.labels(None).unwrap().is_empty(), "a step is taken once");
        assert_eq!(store.label_log(None).unwrap()[0].withdrawn, Some(withdrawal));
    }
}

//! What has to outlive the process: labels, models, streaks, anomalies, requests to train.
//!
//! Owns: one SQLite file and its tables. What a person gave is never changed or removed, and every
//! call that returned `Ok` is on disk.
//! Does not own: what a model's bytes mean (`model`), or when anything is read or written.
//!
//! Calls block; on an async thread they belong in `spawn_blocking`. The sidecar and the command
//! line may hold the same file open at once.

mod holds;
mod labels;
mod leave;
mod lock;
mod models;
mod schema;
mod state;
mod words;

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::ErrorCode;
use rusqlite::OpenFlags;
use rusqlite::Transaction;
use rusqlite::TransactionBehavior;
use rusqlite::config::DbConfig;

use crate::series::Entity;

pub use holds::Hold;
pub use holds::Holds;
pub use labels::LabelRows;
pub use labels::StoredLabel;
pub use lock::LOCK_NAME;
pub use lock::Lock;
pub use models::ModelKey;
pub use models::ModelRow;
pub use models::ModelState;
pub use models::NewModel;
pub use models::StoredModel;
pub use state::SavedStreak;
pub use state::TrainingRequest;
pub use words::Change;
pub use words::Deed;
pub use words::ModelWord;

/// The file in the store's directory.
pub const FILE_NAME: &str = "portent.db";

/// How long a call waits for another process's write before it gives up.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// An open store. Clones share one connection.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    connection: Mutex<Connection>,
    path: PathBuf,
}

/// Why the store did not do what was asked. After any of these it is as it was before the call.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory or the file cannot be opened or made.
    #[error("cannot open the store {path}: {problem}; wanted a directory that can be written")]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        problem: String,
    },
    /// A newer Portent wrote it; it was not touched.
    #[error(
        "store {path} has schema {found}, written by a newer Portent; this one knows up to {known} \
         and leaves it untouched; wanted the newer Portent, or another store path"
    )]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// Its `user_version`.
        found: i64,
        /// The newest that is known here.
        known: i64,
    },
    /// The file is something else; it was not touched.
    #[error("{path} is not a store of Portent; wanted such a store, or no file there")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// No space is left.
    #[error("store {path}: cannot {action}: the disk is full; nothing was written, all is kept")]
    Full {
        /// The file.
        path: PathBuf,
        /// What was being done.
        action: &'static str,
    },
    /// Another process held the lock for too long.
    #[error("store {path}: cannot {action}: another process has been writing for 10 s; try again")]
    Busy {
        /// The file.
        path: PathBuf,
        /// What was being done.
        action: &'static str,
    },
    /// The file may not be written.
    #[error("store {path}: cannot {action}: it is read-only; wanted a writable volume")]
    ReadOnly {
        /// The file.
        path: PathBuf,
        /// What was being done.
        action: &'static str,
    },
    /// Bytes on disk are not what was written.
    #[error("store {path}: cannot {action}: damaged: {problem}")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What was being done.
        action: &'static str,
        /// What does not hold.
        problem: String,
    },
    /// There is no such thing in the store.
    #[error("store {path}: cannot {action}: there is no {wanted}")]
    NotFound {
        /// The file.
        path: PathBuf,
        /// What was being done.
        action: &'static str,
        /// What was looked for.
        wanted: String,
    },
    /// The caller's values contradict each other.
    #[error("store {path}: cannot {action}: {problem}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What was being done.
        action: &'static str,
        /// What does not fit.
        problem: String,
    },
    /// Anything else that SQLite reports.
    #[error("store {path}: cannot {action}: {problem}")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What was being done.
        action: &'static str,
        /// What SQLite said.
        problem: String,
    },
}

impl Store {
    /// Opens the store in `dir`, making both where they are missing, and brings it to this schema.
    ///
    /// # Errors
    /// The directory cannot be written, or the file is foreign or newer (then left untouched).
    pub fn open(dir: &Path) -> Result<Store, StoreError> {
        let path = dir.join(FILE_NAME);
        let fail = |problem: String| StoreError::Open { path: path.clone(), problem };
        std::fs::create_dir_all(dir).map_err(|error| fail(error.to_string()))?;
        let connection = Connection::open(&path).map_err(|error| fail(error.to_string()))?;
        Store::set_up(connection, path.clone())
    }

    /// Opens the store in `dir` to look at it, also where nothing can be written: on a volume that is
    /// mounted read-only, in somebody else's folder.
    ///
    /// # Errors
    /// As [`Store::open`]; and the file is older than this schema where it cannot be written.
    pub fn open_to_read(dir: &Path) -> Result<Store, StoreError> {
        let error = match Store::open(dir) {
            Err(error @ StoreError::Open { .. }) => error,
            opened => return opened,
        };
        let path = dir.join(FILE_NAME);
        let log = dir.join(format!("{FILE_NAME}-wal"));
        // SQLite reads a write-ahead log only beside its index, which it would have to write. Where
        // there is no log, nobody has the file open, and it can be taken as it is.
        let unchanging = !log.metadata().is_ok_and(|log| log.len() > 0);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        let uri = uri(&path, unchanging);
        let connection = Connection::open_with_flags(uri, flags).map_err(|_| error)?;
        schema::refuse_unknown(&connection, &path)?;
        Store::of(connection, path)
    }

    /// A store that ends with the process.
    ///
    /// # Errors
    /// No memory is left.
    pub fn in_memory() -> Result<Store, StoreError> {
        let path = PathBuf::from(":memory:");
        let fail = |error| StoreError::of(&path, "open", &error);
        Store::set_up(Connection::open_in_memory().map_err(fail)?, path.clone())
    }

    /// The store's file.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    fn set_up(connection: Connection, path: PathBuf) -> Result<Store, StoreError> {
        schema::refuse_unknown(&connection, &path)?;
        prepare(&connection).map_err(|error| StoreError::opening(&path, &error))?;
        Store::of(connection, path)
    }

    fn of(mut connection: Connection, path: PathBuf) -> Result<Store, StoreError> {
        schema::migrate(&mut connection, &path)?;
        let inner = Inner { connection: Mutex::new(connection), path };
        Ok(Store { inner: Arc::new(inner) })
    }

    /// Runs `work` on the connection; `action` completes "cannot …" in the error.
    fn read<T>(
        &self,
        action: &'static str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        // A panic elsewhere cannot leave half a write behind: its transaction was rolled back.
        let connection = self.inner.connection.lock().unwrap_or_else(PoisonError::into_inner);
        work(&connection).map_err(|error| StoreError::of(&self.inner.path, action, &error))
    }

    /// Runs `work` in one transaction: all of it is on disk when this returns `Ok`, or none.
    fn write<T>(
        &self,
        action: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let mut connection = self.inner.connection.lock().unwrap_or_else(PoisonError::into_inner);
        // Immediate: a transaction that reads first and writes later could not wait for its turn.
        connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .and_then(|transaction| {
                let done = work(&transaction)?;
                transaction.commit()?;
                Ok(done)
            })
            .map_err(|error| StoreError::of(&self.inner.path, action, &error))
    }

    fn not_found(&self, action: &'static str, wanted: String) -> StoreError {
        StoreError::NotFound { path: self.inner.path.clone(), action, wanted }
    }

    fn invalid(&self, action: &'static str, problem: String) -> StoreError {
        StoreError::Invalid { path: self.inner.path.clone(), action, problem }
    }
}

/// A path in SQLite's own way of writing it, which has room for `immutable`.
fn uri(path: &Path, unchanging: bool) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let path = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    format!("file:{path}{}", if unchanging { "?immutable=1" } else { "" })
}

/// Settings of a connection; the journal mode is written to the file, the others are not.
fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // Readers and one writer at once, and a commit survives the loss of power.
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(())
}

impl StoreError {
    fn of(path: &Path, action: &'static str, error: &rusqlite::Error) -> StoreError {
        let (path, problem) = (path.to_path_buf(), error.to_string());
        match error {
            rusqlite::Error::SqliteFailure(failure, _) => match failure.code {
                ErrorCode::DiskFull => StoreError::Full { path, action },
                ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
                    StoreError::Busy { path, action }
                }
                ErrorCode::ReadOnly => StoreError::ReadOnly { path, action },
                ErrorCode::NotADatabase => StoreError::Foreign { path },
                ErrorCode::DatabaseCorrupt => StoreError::Corrupt { path, action, problem },
                _ => StoreError::Sqlite { path, action, problem },
            },
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..) => {
                StoreError::Corrupt { path, action, problem }
            }
            _ => StoreError::Sqlite { path, action, problem },
        }
    }

    /// As [`StoreError::of`], while opening: what cannot be written then cannot be opened.
    fn opening(path: &Path, error: &rusqlite::Error) -> StoreError {
        match StoreError::of(path, "open", error) {
            StoreError::Sqlite { path, problem, .. } => StoreError::Open { path, problem },
            StoreError::ReadOnly { path, .. } => {
                StoreError::Open { path, problem: "it is read-only".to_string() }
            }
            other => other,
        }
    }
}

/// An entity as a column: sorted JSON, which keeps every value as it is.
fn entity_text(entity: &Entity) -> rusqlite::Result<String> {
    json_text(entity)
}

fn json_text(value: &impl serde::Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))
}

/// A JSON column.
fn json_column<T: serde::de::DeserializeOwned>(
    row: &rusqlite::Row<'_>,
    column: usize,
) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    serde_json::from_str(text).map_err(|error| unreadable(column, error))
}

/// A column that holds what was never written there.
fn unreadable(
    column: usize,
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> rusqlite::Error {
    let kind = rusqlite::types::Type::Text;
    rusqlite::Error::FromSqlConversionFailure(column, kind, error.into())
}

#[cfg(test)]
impl Store {
    /// Makes every write of a model of this entity fail, as a full disk would.
    pub(crate) fn refuse_models_of(&self, entity: &Entity) {
        let sql = format!(
            "CREATE TRIGGER refused BEFORE INSERT ON model WHEN NEW.key_id IN
               (SELECT id FROM model_key WHERE entity = '{}')
             BEGIN SELECT RAISE(ABORT, 'refused'); END",
            entity_text(entity).unwrap()
        );
        self.read("refuse", |connection| connection.execute_batch(&sql)).unwrap();
    }

    /// Ends [`Store::refuse_models_of`].
    pub(crate) fn refuse_no_models(&self) {
        self.read("allow", |connection| connection.execute_batch("DROP TRIGGER refused")).unwrap();
    }
}

#[cfg(test)]
mod tests;

//! One sidecar for one store.
//!
//! Owns: the file that says so. Does not own: how long one waits for it, or who needs it: commands
//! work beside a sidecar, SQLite sees to that.

use std::fs::File;
use std::fs::TryLockError;
use std::path::Path;

use super::StoreError;

/// The file beside the store that its sidecar holds.
pub const LOCK_NAME: &str = "portent.lock";

/// The sole right to serve a store. The system takes it back when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _held: File,
}

impl Lock {
    /// Takes the store in `dir`, making the folder where it is missing; `None` while another has it.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn take(dir: &Path) -> Result<Option<Lock>, StoreError> {
        let path = dir.join(LOCK_NAME);
        let opened = std::fs::create_dir_all(dir)
            .and_then(|()| File::options().write(true).create(true).truncate(false).open(&path));
        let held = opened
            .map_err(|error| StoreError::Open { path: path.clone(), problem: error.to_string() })?;
        match held.try_lock() {
            Err(TryLockError::WouldBlock) => return Ok(None),
            // Some network file systems know no locks: the sidecar must not fail for that.
            Err(TryLockError::Error(error)) => {
                tracing::warn!(path = %path.display(), %error, "store not locked");
            }
            Ok(()) => {}
        }
        Ok(Some(Lock { _held: held }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("new");
        let first = Lock::take(&dir).unwrap();
        assert!(first.is_some());
        assert!(Lock::take(&dir).unwrap().is_none());
        drop(first);
        assert!(Lock::take(&dir).unwrap().is_some());
    }
}

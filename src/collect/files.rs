//! Files that are whole or not there.
//!
//! Owns: the name that a file has before it is whole, when it is synced, whose turn a folder is.
//! Does not own: what is in a file.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::fs::File;
use std::fs::TryLockError;
use std::io;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;

use sha2::Digest;
use sha2::Sha256;

use super::CollectError;
use crate::series::Entity;

/// What the name of a file begins and ends with until it is whole.
const UNFINISHED: (&str, &str) = (".", ".tmp");

/// The longest text that becomes a part of a file's name, in characters.
const LONGEST: usize = 120;

/// Nobody else writes into the folder while this lives.
pub(super) fn turn(folder: &Path) -> Result<File, CollectError> {
    let handle = File::open(folder).map_err(|error| CollectError::file(folder, error))?;
    match handle.try_lock() {
        Ok(()) => Ok(handle),
        Err(TryLockError::WouldBlock) => Err(CollectError::Refused(format!(
            "{}: another run writes there; wanted to be the only one",
            folder.display()
        ))),
        Err(TryLockError::Error(error)) => Err(CollectError::file(folder, error)),
    }
}

/// Takes away what a run left that was killed.
pub(super) fn remove_unfinished(folder: &Path) -> Result<(), CollectError> {
    for name in names(folder)? {
        if name.starts_with(UNFINISHED.0) && name.ends_with(UNFINISHED.1) {
            let path = folder.join(name);
            fs::remove_file(&path).map_err(|error| CollectError::file(&path, error))?;
        }
    }
    Ok(())
}

/// The names in a folder, sorted.
pub(super) fn names(folder: &Path) -> Result<Vec<String>, CollectError> {
    let wrong = |error| CollectError::file(folder, error);
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(wrong)? {
        names.extend(entry.map_err(wrong)?.file_name().into_string().ok());
    }
    names.sort_unstable();
    Ok(names)
}

/// Where a file is until it is whole.
pub(super) fn unfinished(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{}{name}{}", UNFINISHED.0, UNFINISHED.1))
}

/// Writes a file; what is not written whole is taken away.
pub(super) fn write(
    folder: &Path,
    name: &str,
    fill: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<(), CollectError> {
    let path = unfinished(folder, name);
    let filled = File::create(&path).and_then(|mut file| fill(&mut file));
    let named = filled.and_then(|()| keep(folder, &path, name));
    named.map_err(|error| {
        let _ = fs::remove_file(&path);
        CollectError::file(&folder.join(name), error)
    })
}

/// Gives a file that is whole its name.
pub(super) fn keep(folder: &Path, unfinished: &Path, name: &str) -> io::Result<()> {
    File::open(unfinished)?.sync_all()?;
    fs::rename(unfinished, folder.join(name))?;
    File::open(folder)?.sync_all()
}

/// The bytes of a file, and their SHA-256 in hexadecimal digits.
pub(super) fn sha256(path: &Path) -> Result<(u64, String), CollectError> {
    let wrong = |error| CollectError::file(path, error);
    let mut file = File::open(path).map_err(wrong)?;
    let (mut digest, mut n_bytes, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 16]);
    loop {
        let n = file.read(&mut buffer).map_err(wrong)?;
        if n == 0 {
            return Ok((n_bytes, hex(&digest.finalize())));
        }
        n_bytes += n as u64;
        digest.update(&buffer[..n]);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A text as a part of a file's name.
pub(super) fn plain(text: &str) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    let plain: String = text.chars().take(LONGEST).map(keep).collect();
    match plain.strip_prefix('.') {
        Some(rest) => format!("_{rest}"),
        None => plain,
    }
}

/// The begin of the names of each entity's files: its values. Where two would have the same, or one that the other's
/// labels have, also on a disk that knows no capitals, a part of the entity's digest follows.
pub(super) fn stems<'a>(entities: impl Iterator<Item = &'a Entity>) -> BTreeMap<Entity, String> {
    let values = |entity: &Entity| {
        let values: Vec<&str> = entity.pairs().map(|(_, value)| value).collect();
        if values.is_empty() { "all".to_string() } else { plain(&values.join("-")) }
    };
    let stems: BTreeMap<Entity, String> = entities.map(|e| (e.clone(), values(e))).collect();
    let mut of: BTreeMap<String, usize> = BTreeMap::new();
    for stem in stems.values() {
        *of.entry(stem.to_lowercase()).or_default() += 1;
    }
    let known: BTreeSet<String> = of.keys().cloned().collect();
    let unique = |(entity, stem): (Entity, String)| {
        let lower = stem.to_lowercase();
        let labels_of = lower.strip_suffix(LABELS).is_some_and(|stem| known.contains(stem));
        let long = stem.len() >= LONGEST;
        if of.get(&lower).is_some_and(|n| *n > 1) || labels_of || long {
            let digest = hex(&Sha256::digest(entity.to_string()));
            return (entity, format!("{stem}-{}", &digest[..8]));
        }
        (entity, stem)
    };
    stems.into_iter().map(unique).collect()
}

/// What the name of a file of labels ends with.
pub(super) const LABELS: &str = "-labels";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_entity_has_files_of_its_own() {
        let texts = [
            "job=dns",
            "job=dns-labels",
            "job=a/b",
            "job=a_b",
            "job=A_B",
            "job=../x",
            "",
            "a=x,b=y",
        ];
        let entities: Vec<Entity> = texts.iter().map(|text| text.parse().unwrap()).collect();
        let stems = stems(entities.iter());
        let of = |text: &str| stems[&text.parse::<Entity>().unwrap()].as_str();
        assert_eq!((of("job=dns"), of(""), of("a=x,b=y")), ("dns", "all", "x-y"));
        assert_eq!(of("job=../x"), "_._x");
        assert!(of("job=dns-labels").starts_with("dns-labels-"));
        assert!(of("job=a/b").starts_with("a_b-") && of("job=A_B").starts_with("A_B-"));
        let distinct: BTreeSet<&String> = stems.values().collect();
        assert_eq!(distinct.len(), texts.len());
    }

    #[test]
    fn what_cannot_be_written_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let error = write(folder.path(), "a", |_| Err(io::Error::other("full"))).unwrap_err();
        assert!(error.to_string().ends_with("/a: full"), "{error}");
        assert_eq!(names(folder.path()).unwrap(), Vec::<String>::new());
        fs::write(unfinished(folder.path(), "b"), "half").unwrap();
        remove_unfinished(folder.path()).unwrap();
        write(folder.path(), "b", |file| io::Write::write_all(file, b"abc")).unwrap();
        assert_eq!(names(folder.path()).unwrap(), ["b"]);
        let (n, sha256) = sha256(&folder.path().join("b")).unwrap();
        assert_eq!((n, &sha256[..8]), (3, "ba7816bf"));
        let turn = turn(folder.path()).unwrap();
        assert!(super::turn(folder.path()).is_err(), "one at a time");
        drop(turn);
    }
}

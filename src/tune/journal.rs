//! What a search has found so far, kept where a power cut finds it.
//!
//! Owns: the file, a line each training, and that only one search writes it. Does not own: what follows.
//!
//! The first line says what was searched in. A line is appended and synced; one that was cut off is
//! removed when the file is opened again.

use std::fs::File;
use std::fs::TryLockError;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;
use serde_json::Map;
use serde_json::Value;

use super::TuneError;
use crate::detect;

/// The file in a search's folder.
pub const FILE_NAME: &str = "search.jsonl";

/// One training that has ended: a line of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// The detector's name.
    pub detector: String,
    /// Which of its trials, from 0.
    pub trial: usize,
    /// Which of the trial's trainings, from 0.
    pub rung: usize,
    /// What the trial is about, with a whole training's steps.
    pub settings: detect::Config,
    /// On the validation part; `None` where there is nothing to measure.
    pub vus_pr: Option<f64>,
    /// Pages for nothing there; `None` where there is nothing to measure.
    pub false_pages_per_week: Option<f64>,
    /// Incidents found there.
    pub found: usize,
    /// Incidents there.
    pub incidents: usize,
    /// Why nothing was learnt.
    pub error: Option<String>,
    /// Step, training loss and held-out loss, as often as they were looked at.
    pub looks: Vec<(usize, f32, f32)>,
    /// Seconds to learn and to score.
    pub seconds: f64,
    /// Seconds of the search up to the end of this training, pauses left out.
    pub spent_s: f64,
    /// When it ended, in unix seconds.
    pub ended_s: f64,
}

impl Training {
    fn is(&self, detector: &str, trial: usize, rung: usize) -> bool {
        (self.detector.as_str(), self.trial, self.rung) == (detector, trial, rung)
    }
}

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    search: Map<String, Value>,
}

/// The trainings of a search, on disk.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    trainings: Vec<Training>,
}

impl Journal {
    /// Opens that of a folder, or begins one. What is searched in is `search`, by name.
    ///
    /// # Errors
    /// The folder cannot be written, another search runs there, it was of something else, or a line is
    /// not as it must be.
    pub fn open(folder: &Path, search: &Map<String, Value>) -> Result<Journal, TuneError> {
        let path = folder.join(FILE_NAME);
        let io = |error| TuneError::Io { path: path.clone(), error };
        std::fs::create_dir_all(folder).map_err(io)?;
        let mut options = File::options();
        let options = options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(io)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => return Err(TuneError::Busy(folder.to_path_buf())),
            // Some network file systems know no locks.
            Err(TryLockError::Error(error)) => {
                tracing::warn!(path = %path.display(), %error, "not locked");
            }
            Ok(()) => {}
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        file.set_len(whole as u64).map_err(io)?;
        file.seek(SeekFrom::End(0)).map_err(io)?;
        let trainings = read(&path, &bytes[..whole], search)?;
        let mut journal = Journal { path, file, trainings };
        if whole == 0 {
            journal.append(&Head { search: search.clone() })?;
        }
        Ok(journal)
    }

    /// What has been found, in the order in which it was.
    pub fn trainings(&self) -> &[Training] {
        &self.trainings
    }

    /// The training of this detector, trial and rung.
    pub fn get(&self, detector: &str, trial: usize, rung: usize) -> Option<&Training> {
        self.trainings.iter().find(|training| training.is(detector, trial, rung))
    }

    /// Seconds that the search has taken, as far as it came to something.
    pub fn spent_s(&self) -> f64 {
        self.trainings.iter().map(|training| training.spent_s).fold(0.0, f64::max)
    }

    /// Keeps a training. Once this returns, no power cut takes it away.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn add(&mut self, training: Training) -> Result<(), TuneError> {
        self.append(&training)?;
        self.trainings.push(training);
        Ok(())
    }

    fn append(&mut self, line: &impl Serialize) -> Result<(), TuneError> {
        let io = |error| TuneError::Io { path: self.path.clone(), error };
        let mut text = serde_json::to_string(line).map_err(|error| io(error.into()))?;
        text.push('\n');
        self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_data()).map_err(io)
    }
}

fn read(
    path: &Path,
    bytes: &[u8],
    search: &Map<String, Value>,
) -> Result<Vec<Training>, TuneError> {
    let wrong = |line: usize, error: serde_json::Error| {
        let problem = format!("line {}: {error}", line + 1);
        TuneError::Unreadable { path: path.to_path_buf(), problem }
    };
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n').enumerate();
    let Some((_, head)) = lines.next() else { return Ok(Vec::new()) };
    let head: Head = serde_json::from_slice(head).map_err(|error| wrong(0, error))?;
    if let Some(difference) = difference(&head.search, search) {
        return Err(TuneError::Different { path: path.to_path_buf(), difference });
    }
    lines.map(|(i, line)| serde_json::from_slice(line).map_err(|error| wrong(i, error))).collect()
}

/// What differs in two sets of values, in words.
pub(super) fn difference(there: &Map<String, Value>, asked: &Map<String, Value>) -> Option<String> {
    let said = |value: Option<&Value>| value.map_or("nothing".to_string(), Value::to_string);
    let names = there.keys().chain(asked.keys().filter(|name| !there.contains_key(*name)));
    let differences = names.filter(|name| there.get(*name) != asked.get(*name)).map(|name| {
        format!("{name} is {} there, {} asked", said(there.get(name)), said(asked.get(name)))
    });
    let all: Vec<String> = differences.collect();
    (!all.is_empty()).then(|| all.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn search(seed: u64) -> Map<String, Value> {
        json!({"seed": seed, "rows": "ab"}).as_object().cloned().unwrap()
    }

    fn training(trial: usize) -> Training {
        Training {
            detector: "pca".into(),
            trial,
            rung: 0,
            settings: detect::Config::named("pca").unwrap(),
            vus_pr: Some(0.1 + trial as f64 / 3.0),
            false_pages_per_week: None,
            found: 1,
            incidents: 2,
            error: None,
            looks: vec![(1, 0.1, f32::MIN_POSITIVE)],
            seconds: 1.5,
            spent_s: 10.0 - trial as f64,
            ended_s: 1.7e9,
        }
    }

    #[test]
    fn what_was_added_is_there_again_and_what_was_cut_off_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a").join(FILE_NAME);
        let open = || Journal::open(path.parent().unwrap(), &search(1));
        let mut journal = open().unwrap();
        let busy = open().unwrap_err().to_string();
        assert!(busy.ends_with("another search is running there"), "{busy}");
        (0..2).for_each(|trial| journal.add(training(trial)).unwrap());
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        let ends: Vec<usize> =
            (0..whole.len()).filter(|&i| whole[i] == b'\n').map(|i| i + 1).collect();
        for cut in 0..=whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let journal = open().unwrap();
            let n = ends.iter().filter(|end| **end <= cut).count().saturating_sub(1);
            let wanted: Vec<Training> = (0..n).map(training).collect();
            assert_eq!(journal.trainings(), wanted, "{cut} of {} bytes", whole.len());
            drop(journal);
            let kept = std::fs::read(&path).unwrap();
            assert_eq!(kept, whole[..ends[n]], "whole lines, the first among them");
        }
        let journal = open().unwrap();
        assert_eq!((journal.spent_s(), journal.get("pca", 1, 0)), (10.0, Some(&training(1))));
        assert_eq!((journal.get("pca", 1, 1), journal.get("var", 1, 0)), (None, None));
    }

    #[test]
    fn another_search_is_refused_by_what_differs() {
        let folder = tempfile::tempdir().unwrap();
        drop(Journal::open(folder.path(), &search(1)).unwrap());
        let error = Journal::open(folder.path(), &search(2)).unwrap_err().to_string();
        assert!(error.contains("search.jsonl: seed is 1 there, 2 asked"), "{error}");
        let path = folder.path().join(FILE_NAME);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.extend(b"{}\n");
        std::fs::write(&path, bytes).unwrap();
        let error = Journal::open(folder.path(), &search(1)).unwrap_err().to_string();
        assert!(error.contains("line 2: missing field `detector`"), "{error}");
    }
}

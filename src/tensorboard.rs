//! Event files that TensorBoard shows: loss curves, and the settings of each trial of a search.
//!
//! Owns: the format. Does not own: what is told (`app`).
//!
//! A file is records (`record`) of `Event` messages (`message`), as TensorFlow's summary writers make
//! them. A folder with such files is a run; TensorBoard reads all folders below its `--logdir`, in each
//! the files in the order of their names. A file is written whole, so that there is none that ends amid
//! a record, and never changed: what comes later is a file of its own, which TensorBoard then finds.

mod message;
mod record;
mod wire;

use std::io::Write;
use std::path::Path;

/// Something told about a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// When, in unix seconds.
    pub wall_s: f64,
    /// How far the run was, such as the steps of a training.
    pub step: i64,
    /// What.
    pub what: What,
}

/// What is told.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// A number that is followed over the steps.
    Scalar {
        /// Its name; what stands before a `/` groups them.
        tag: String,
        /// Its value.
        value: f32,
    },
    /// What is searched; the run is that of the log folder itself.
    Experiment(Experiment),
    /// The run is a trial, and began.
    SessionStart(Session),
    /// The trial is over.
    SessionEnd {
        /// Whether it came to a result.
        success: bool,
    },
}

/// A search for settings: the columns of the `HParams` view.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Experiment {
    /// What it is for.
    pub description: String,
    /// The settings that are varied.
    pub hparams: Vec<(String, Domain)>,
    /// Tags of scalars of each trial's run that say how good it is, and what they are called.
    pub metrics: Vec<(String, String)>,
}

/// What a setting may be.
#[derive(Debug, Clone, PartialEq)]
pub enum Domain {
    /// Numbers from the one to the other.
    Interval(f64, f64),
    /// One of these numbers.
    Numbers(Vec<f64>),
    /// One of these texts.
    Texts(Vec<String>),
}

/// A trial.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Session {
    /// Its name; trials of the same name are shown as one.
    pub group: String,
    /// Its settings.
    pub hparams: Vec<(String, Hparam)>,
}

/// The value of a setting.
#[derive(Debug, Clone, PartialEq)]
pub enum Hparam {
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
}

/// A file of these events; the first record says the version of the format.
pub fn encode(events: &[Event]) -> Vec<u8> {
    let wall_s = events.first().map_or(0.0, |event| event.wall_s);
    let mut file = Vec::new();
    record::append(&mut file, &message::version(wall_s));
    for event in events {
        record::append(&mut file, &message::event(event));
    }
    file
}

/// What TensorBoard knows event files by; files of a run are read in the order of what follows.
const PREFIX: &str = "events.out.tfevents.";

/// Writes the file of this name, such as `0-losses`, of the run `folder`, which is made where it is
/// missing. It is whole or not there; one that is there is replaced.
///
/// # Errors
/// The folder or the file cannot be written.
pub fn write(folder: &Path, name: &str, events: &[Event]) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    // What is not yet whole must not have a name that TensorBoard reads.
    let mut file = tempfile::Builder::new().prefix(".unfinished").tempfile_in(folder)?;
    file.write_all(&encode(events))?;
    file.as_file().sync_data()?;
    file.persist(folder.join(format!("{PREFIX}{name}")))?;
    Ok(())
}

/// Whether the run `folder` has a file of this name.
pub fn exists(folder: &Path, name: &str) -> bool {
    folder.join(format!("{PREFIX}{name}")).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_whole_and_begins_with_its_version() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("a/b");
        let scalar = |step| Event {
            wall_s: 1.5,
            step,
            what: What::Scalar { tag: "loss".into(), value: 0.25 },
        };
        assert!(!exists(&run, "0"));
        write(&run, "0", &[scalar(1), scalar(2)]).unwrap();
        assert!(exists(&run, "0"));
        let names: Vec<_> =
            std::fs::read_dir(&run).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["events.out.tfevents.0"]);
        let bytes = std::fs::read(run.join("events.out.tfevents.0")).unwrap();
        assert_eq!(bytes, encode(&[scalar(1), scalar(2)]));
        let version = &bytes[12..12 + bytes[0] as usize];
        assert!(version.ends_with(b"brain.Event:2"), "{version:?}");
    }
}

//! A search as TensorBoard shows it.
//!
//! Owns: which run, tag and column is what. Every file follows from what is in the journal, so that one
//! that is missing, as after a power cut, is written when the search goes on.

use std::path::Path;
use std::path::PathBuf;

use super::TuneError;
use super::journal::Training;
use super::plan;
use crate::detect;
use crate::detect::Look;
use crate::detect::space::Values;
use crate::tensorboard;
use crate::tensorboard::Domain;
use crate::tensorboard::Event;
use crate::tensorboard::Experiment;
use crate::tensorboard::Hparam;
use crate::tensorboard::Session;
use crate::tensorboard::What;

/// The folder that TensorBoard reads, in that of a search.
pub const FOLDER: &str = "tensorboard";

/// Tags of what a trial is judged by, and their names.
const METRICS: [(&str, &str); 2] =
    [("validation/vus_pr", "VUS-PR"), ("validation/false_pages_per_week", "false pages/week")];

/// The loss curves of a training, `wall_s` being when it ended.
pub fn losses(looks: &[Look], wall_s: f64) -> Vec<Event> {
    let scalar = |tag: &str, look: &Look, value| Event {
        wall_s,
        step: look.step as i64,
        what: What::Scalar { tag: tag.to_string(), value },
    };
    let training = looks.iter().map(|look| scalar("loss/training", look, look.loss));
    training.chain(looks.iter().map(|look| scalar("loss/held_out", look, look.held_out))).collect()
}

/// The event files of a search.
pub(super) struct Board {
    folder: PathBuf,
}

impl Board {
    pub(super) fn new(folder: &Path) -> Board {
        Board { folder: folder.join(FOLDER) }
    }

    /// What is searched for: the columns of the `HParams` view.
    pub(super) fn begin(&self, detectors: &[detect::Config], wall_s: f64) -> Result<(), TuneError> {
        let mut hparams: Vec<(String, Domain)> = Vec::new();
        let names: Vec<String> = detectors.iter().map(|config| config.name().into()).collect();
        hparams.push(("detector".into(), Domain::Texts(names)));
        for (name, values) in detectors.iter().flat_map(detect::Config::knobs) {
            // Where two detectors have a setting of the same name, the table of the first is shown.
            if hparams.iter().all(|(known, _)| known != name) {
                let domain = match values {
                    Values::OneOf(values) => Domain::Numbers(values.to_vec()),
                    Values::Log(from, to) => Domain::Interval(from, to),
                };
                hparams.push((name.to_string(), domain));
            }
        }
        let experiment = Experiment {
            description: "Successive halving by VUS-PR on the validation part".to_string(),
            hparams,
            metrics: METRICS.map(|(tag, name)| (tag.into(), name.into())).to_vec(),
        };
        let event = Event { wall_s, step: 0, what: What::Experiment(experiment) };
        self.write(&self.folder, &names_joined(detectors), &[event])
    }

    /// A training that has ended.
    pub(super) fn training(&self, training: &Training) -> Result<(), TuneError> {
        let run = self.run(training);
        let wall_s = training.ended_s;
        let mut events = Vec::new();
        if training.rung == 0 {
            let began = What::SessionStart(session(training));
            events.push(Event { wall_s: wall_s - training.seconds, step: 0, what: began });
        }
        let metrics = [training.vus_pr, training.false_pages_per_week];
        for ((tag, _), value) in METRICS.iter().zip(metrics) {
            let what = value.map(|v| What::Scalar { tag: (*tag).into(), value: v as f32 });
            // Trainings of other lengths stop early at other steps: what grows is the share.
            let step = (100.0 * plan::share(training.rung)).round() as i64;
            events.extend(what.map(|what| Event { wall_s, step, what }));
        }
        self.write(&run, &training.rung.to_string(), &events)?;
        if training.looks.is_empty() {
            return Ok(());
        }
        let look = |&(step, loss, held_out): &_| Look { step, loss, held_out };
        let looks: Vec<Look> = training.looks.iter().map(look).collect();
        let curves = losses(&looks, wall_s);
        self.write(&run.join(format!("training-{}", training.rung + 1)), "losses", &curves)
    }

    /// The trial whose last training this is, is over.
    pub(super) fn end(&self, training: &Training) -> Result<(), TuneError> {
        let what = What::SessionEnd { success: training.vus_pr.is_some() };
        let event = Event { wall_s: training.ended_s, step: 0, what };
        // After all its trainings.
        self.write(&self.run(training), "end", &[event])
    }

    fn run(&self, training: &Training) -> PathBuf {
        self.folder.join(&training.detector).join(format!("trial-{:03}", training.trial))
    }

    fn write(&self, run: &Path, name: &str, events: &[Event]) -> Result<(), TuneError> {
        if events.is_empty() || tensorboard::exists(run, name) {
            return Ok(());
        }
        let io = |error| TuneError::Io { path: run.to_path_buf(), error };
        tensorboard::write(run, name, events).map_err(io)
    }
}

/// A search that is joined by other detectors has other columns.
fn names_joined(detectors: &[detect::Config]) -> String {
    let names: Vec<&str> = detectors.iter().map(detect::Config::name).collect();
    format!("experiment-{}", names.join("-"))
}

fn session(training: &Training) -> Session {
    let number = |(name, value): (&str, f64)| (name.to_string(), Hparam::Number(value));
    let mut hparams = vec![("detector".to_string(), Hparam::Text(training.detector.clone()))];
    hparams.extend(training.settings.knob_values().into_iter().map(number));
    Session { group: format!("{} {}", training.detector, training.trial), hparams }
}

//! A search for a detector's settings: random ones, of which the better are trained longer.
//!
//! Owns: which settings are tried, for how long, and what is remembered of it. Does not own: how a
//! detector is judged (`evaluate`), or what its settings may be (`detect::space`).
//!
//! Successive halving (Jamieson, Talwalkar: Non-stochastic best arm identification and hyperparameter
//! optimization, AISTATS 2016) with the steps of a training as what is spent, in rounds of nine trials,
//! each a bracket of Hyperband (Li et al. 2018) with η = 3: all nine are trained for a ninth of their
//! steps, the best three for a third, the best one for all. Rounds follow each other as long as there is
//! time, so that a search can end at any moment and go on later.
//!
//! What a training comes to depends on its settings and the seed alone, and is looked up where the journal
//! knows it. So a search that was cut off ends as if it had not been, and one that asks for more goes on.

mod board;
mod journal;
pub mod plan;

use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::resume_unwind;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Instant;
use std::time::SystemTime;

use serde_json::Map;
use serde_json::Value;

use crate::detect;
use crate::detect::FitError;
use crate::detect::Look;
use crate::detect::Stage;
use crate::evaluate::Validated;
use crate::train::Progress;

use board::Board;

pub use board::FOLDER as TENSORBOARD_FOLDER;
pub use board::losses;
pub use journal::FILE_NAME;
pub use journal::Journal;
pub use journal::Training;

/// What is searched, and how long.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    /// Whose settings; each begins with those that it has here.
    pub detectors: Vec<detect::Config>,
    /// Trials per detector at most; no limit where there is a budget.
    pub trials: Option<usize>,
    /// No training begins once the search has taken so many seconds.
    pub budget_s: Option<f64>,
    /// Draws the settings, and trains.
    pub seed: u64,
    /// Trainings at once.
    pub threads: usize,
}

/// Why a search ended without a result.
#[derive(Debug, thiserror::Error)]
pub enum TuneError {
    /// A file of the search.
    #[error("{}: {error}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// Another process has the folder.
    #[error("{}: another search is running there", .0.display())]
    Busy(PathBuf),
    /// The journal is not as it must be.
    #[error("{}: {problem}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// What was found there was found in something else, or with other settings.
    #[error("{}: {difference}; wanted the same, or another folder", path.display())]
    Different {
        /// The file.
        path: PathBuf,
        /// What differs.
        difference: String,
    },
}

/// Who hears how far a training is.
pub type Hear<'a> = dyn Fn(Stage) + Sync + 'a;

/// How settings are judged: trains with them, from this seed, and says how far it is.
pub type Judge<'a> =
    dyn Fn(&detect::Config, u64, &Hear<'_>) -> Result<Validated, FitError> + Sync + 'a;

/// Searches, or goes on searching, in `folder`, and returns whether all trials came to their end, which
/// with a budget they need not.
///
/// # Errors
/// A file cannot be written, or a training in the journal was of other settings.
pub fn run(
    search: &Search,
    folder: &Path,
    journal: &mut Journal,
    judge: &Judge<'_>,
    listener: &mut (dyn FnMut(Progress) + Send),
) -> Result<bool, TuneError> {
    let board = Board::new(folder);
    board.begin(&search.detectors, now_s())?;
    for training in journal.trainings() {
        board.training(training)?;
    }
    let hunt = Hunt {
        search,
        judge,
        board,
        started: Instant::now(),
        spent_before_s: journal.spent_s(),
        path: folder.join(FILE_NAME),
        state: Mutex::new(State {
            journal,
            listener,
            progress: Progress::default(),
            under_way: BTreeMap::new(),
        }),
    };
    if search.trials.is_some() {
        hunt.state().progress.total = rounds(search).map(|(t, _)| plan::most_ninths(&t)).sum();
    }
    for (trials, base) in rounds(search) {
        if !hunt.round(base, &trials)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Each trial's longest training so far, the best first: those of all steps, by VUS-PR.
pub fn ranked<'a>(journal: &'a Journal, search: &Search) -> Vec<&'a Training> {
    let place = |training: &Training| {
        search.detectors.iter().position(|config| config.name() == training.detector)
    };
    let mut last: Vec<&Training> = Vec::new();
    for training in journal.trainings().iter().filter(|training| {
        place(training).is_some() && search.trials.is_none_or(|trials| training.trial < trials)
    }) {
        let same = |known: &&mut &Training| {
            (&known.detector, known.trial) == (&training.detector, training.trial)
        };
        match last.iter_mut().find(same) {
            Some(known) if known.rung < training.rung => *known = training,
            Some(_) => {}
            None => last.push(training),
        }
    }
    let score = |training: &Training| training.vus_pr.unwrap_or(f64::NEG_INFINITY);
    last.sort_by(|a, b| {
        let better = b.rung.cmp(&a.rung).then(score(b).total_cmp(&score(a)));
        better.then(place(a).cmp(&place(b))).then(a.trial.cmp(&b.trial))
    });
    last
}

/// A search that runs.
struct Hunt<'a> {
    search: &'a Search,
    judge: &'a Judge<'a>,
    board: Board,
    started: Instant,
    spent_before_s: f64,
    path: PathBuf,
    state: Mutex<State<'a>>,
}

/// What its threads share.
struct State<'a> {
    journal: &'a mut Journal,
    listener: &'a mut (dyn FnMut(Progress) + Send),
    /// In ninths of whole trainings where trials are counted, else in seconds.
    progress: Progress,
    /// Of the trials that are being trained; all are of one rung.
    under_way: BTreeMap<usize, Stage>,
}

impl<'a> Hunt<'a> {
    /// Trains the trials of a round, rung by rung. Whether all of them came to their end.
    fn round(&self, base: &detect::Config, trials: &Range<usize>) -> Result<bool, TuneError> {
        let mut going: Vec<usize> = trials.clone().collect();
        for rung in 0..plan::RUNGS {
            self.fewer(plan::most(trials, rung) - going.len(), rung);
            if !self.rung(base, &going, rung)? {
                return Ok(false);
            }
            let state = self.state();
            let training = |trial| state.journal.get(base.name(), trial, rung);
            let score = |trial| training(trial)?.vus_pr;
            let kept = match rung + 1 {
                plan::RUNGS => Vec::new(),
                _ => plan::promoted(trials.len(), rung, &going, score),
            };
            let out = going.iter().filter(|trial| !kept.contains(trial));
            out.filter_map(|&trial| training(trial)).try_for_each(|last| self.board.end(last))?;
            going = kept;
        }
        Ok(true)
    }

    /// Trains those of a rung that the journal does not know. Whether all of them were.
    fn rung(&self, base: &detect::Config, going: &[usize], rung: usize) -> Result<bool, TuneError> {
        let mut jobs = Vec::new();
        for &trial in going {
            let settings = plan::settings(base, self.search.seed, trial);
            match self.state().journal.get(base.name(), trial, rung) {
                None => jobs.push(Job { trial, rung, settings }),
                Some(known) => self.same(&known.settings, &settings)?,
            }
        }
        self.fewer(going.len() - jobs.len(), rung);
        let next = AtomicUsize::new(0);
        let work = || {
            while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                if self.over() {
                    return Ok(false);
                }
                self.train(job)?;
            }
            Ok(true)
        };
        let results: Vec<Result<bool, TuneError>> = std::thread::scope(|scope| {
            let threads = self.search.threads.clamp(1, jobs.len().max(1));
            let handles: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            handles.into_iter().map(|h| h.join().unwrap_or_else(|p| resume_unwind(p))).collect()
        });
        results.into_iter().try_fold(true, |all, done| Ok(all & done?))
    }

    fn train(&self, job: &Job) -> Result<(), TuneError> {
        let Job { trial, rung, ref settings } = *job;
        let shortened = settings.clone().shortened(plan::share(rung));
        let began = Instant::now();
        // Who finds another one telling has nothing to wait for: there will be more to tell.
        let hear = |stage| {
            if let Ok(mut state) = self.state.try_lock() {
                state.under_way.insert(trial, stage);
                self.tell(&mut state, rung);
            }
        };
        let judged = (self.judge)(&shortened, self.search.seed, &hear);
        let quality = judged.as_ref().ok().map(|validated| &validated.quality);
        let known = |value: f64| value.is_finite().then_some(value);
        let look = |look: &Look| (look.step, look.loss, look.held_out);
        let finite = |look: &&Look| look.loss.is_finite() && look.held_out.is_finite();
        let looks = judged.as_ref().map(|validated| &validated.looks[..]).unwrap_or_default();
        let training = Training {
            detector: settings.name().to_string(),
            trial,
            rung,
            settings: settings.clone(),
            vus_pr: quality.and_then(|quality| known(quality.vus_pr)),
            false_pages_per_week: quality.and_then(|quality| known(quality.false_pages_per_week())),
            found: quality.map_or(0, |quality| quality.n_found),
            incidents: quality.map_or(0, |quality| quality.n_incidents),
            error: judged.as_ref().err().map(FitError::to_string),
            looks: looks.iter().filter(finite).map(look).collect(),
            seconds: began.elapsed().as_secs_f64(),
            spent_s: self.spent_s(),
            ended_s: now_s(),
        };
        let mut state = self.state();
        state.journal.add(training.clone())?;
        state.progress.done += plan::ninths(rung);
        state.under_way.remove(&trial);
        self.tell(&mut state, rung);
        self.board.training(&training)
    }

    /// Whether a training in the journal was of these settings, which those who changed them since learn.
    fn same(&self, there: &detect::Config, asked: &detect::Config) -> Result<(), TuneError> {
        let map = |config| match serde_json::to_value(config) {
            Ok(Value::Object(map)) => map,
            _ => Map::new(),
        };
        // A configuration is its settings below its name.
        let inside = |config| map(config).into_iter().next().map(|(_, settings)| settings);
        let [there, asked] = [there, asked].map(|config| match inside(config) {
            Some(Value::Object(settings)) => settings,
            _ => Map::new(),
        });
        match journal::difference(&there, &asked) {
            Some(difference) => Err(TuneError::Different { path: self.path.clone(), difference }),
            None => Ok(()),
        }
    }

    /// So many trainings of this rung need not be.
    fn fewer(&self, n: usize, rung: usize) {
        let progress = &mut self.state().progress;
        progress.total = progress.total.saturating_sub(n * plan::ninths(rung));
    }

    /// How far it is: in ninths of whole trainings where trials are counted, else in seconds.
    fn tell(&self, state: &mut State<'_>, rung: usize) {
        let elapsed = self.started.elapsed();
        let loss = state.under_way.values().next().map(|stage| stage.loss);
        let shares: f64 = state.under_way.values().map(|stage| stage.share).sum();
        let under_way = shares * plan::ninths(rung) as f64;
        let progress = match (self.search.trials, self.search.budget_s) {
            (None, Some(budget_s)) => {
                let left_s = (budget_s - self.spent_before_s).max(0.0) as usize;
                let done = (elapsed.as_secs() as usize).min(left_s);
                Progress { done, total: left_s, under_way: 0.0, loss, elapsed }
            }
            _ => Progress { under_way, loss, elapsed, ..state.progress },
        };
        (state.listener)(progress);
    }

    fn state(&self) -> MutexGuard<'_, State<'a>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spent_s(&self) -> f64 {
        self.spent_before_s + self.started.elapsed().as_secs_f64()
    }

    /// By what the journal says, not by the clock: what is over is over for who asks again, too.
    fn over(&self) -> bool {
        let spent_s = self.state().journal.spent_s();
        self.search.budget_s.is_some_and(|budget_s| spent_s >= budget_s)
    }
}

/// One training to come.
struct Job {
    trial: usize,
    rung: usize,
    /// With a whole training's steps.
    settings: detect::Config,
}

/// The rounds of a search, each of every detector.
fn rounds(search: &Search) -> impl Iterator<Item = (Range<usize>, &detect::Config)> {
    let rounds = (0..).map(|round| plan::round(round, search.trials));
    rounds
        .take_while(|trials| !trials.is_empty())
        .flat_map(|trials| search.detectors.iter().map(move |base| (trials.clone(), base)))
}

fn now_s() -> f64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_secs_f64())
}

#[cfg(test)]
mod tests;

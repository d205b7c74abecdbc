//! The tasks of the watches: one that scores and one that trains for each; what a reload replaces.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::now_s;
use super::training;
use super::training::Asked;
use crate::pipeline::Pipeline;
use crate::schedule;
use crate::train::Trainer;
use crate::watch::Watch;

/// The running watches. Dropping it stops them.
pub(super) struct Watching {
    trainer: Trainer,
    watches: Arc<Mutex<BTreeMap<String, Running>>>,
    tasks: JoinSet<()>,
}

/// A running watch, as others see it.
#[derive(Clone)]
pub(super) struct Running {
    pub(super) watch: Watch,
    pub(super) asked: Arc<Asked>,
}

/// The running watches by name, for whoever has to find one.
#[derive(Clone)]
pub(super) struct Register(Arc<Mutex<BTreeMap<String, Running>>>);

impl Register {
    pub(super) fn get(&self, name: &str) -> Option<Running> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }
}

impl Watching {
    pub(super) fn new(trainer: Trainer) -> Watching {
        Watching { trainer, watches: Arc::default(), tasks: JoinSet::new() }
    }

    pub(super) fn register(&self) -> Register {
        Register(Arc::clone(&self.watches))
    }

    /// Starts to score and to train a watch.
    pub(super) fn start(&mut self, watch: Watch) {
        let Trainer { source, store, board, workers } = self.trainer.clone();
        let pipeline = Pipeline::new(watch.clone(), source, store, board, workers);
        let (asked, promoted) = (Arc::new(Asked::default()), Arc::new(Notify::new()));
        let running = Running { watch: watch.clone(), asked: Arc::clone(&asked) };
        let name = watch.name.clone();
        self.watches.lock().unwrap_or_else(PoisonError::into_inner).insert(name, running);
        let scoring = score(pipeline, watch.clone(), self.trainer.clone(), Arc::clone(&promoted));
        self.tasks.spawn(scoring);
        self.tasks.spawn(training::run(self.trainer.clone(), watch, asked, promoted));
    }
}

/// Scores one watch whenever it is due. Never returns.
async fn score(pipeline: Pipeline, watch: Watch, trainer: Trainer, promoted: Arc<Notify>) {
    let pipeline = tokio::sync::Mutex::new((pipeline, true));
    let pass = || async {
        let started = Instant::now();
        let mut guard = pipeline.lock().await;
        let (pipeline, well) = &mut *guard;
        let summary = pipeline.pass(now_s()).await;
        let own = trainer.board.own();
        own.pass(&watch.name, started.elapsed().as_secs_f64());
        match &summary {
            Ok(summary) if *well => tracing::debug!(watch = watch.name, ?summary, "pass"),
            Ok(_) => tracing::info!(watch = watch.name, "passes succeed again"),
            Err(error) => {
                own.pass_failed(&watch.name, error.reason());
                // Once per outage; the counters tell how often.
                match *well {
                    true => tracing::warn!(%error, "pass failed"),
                    false => tracing::debug!(%error, "pass failed"),
                }
            }
        }
        *well = summary.is_ok();
        trainer.board.expire(now_s());
    };
    // The first pass does not wait for the clock: the FIFOs are filled from history at boot.
    pass().await;
    let on_time = schedule::every(watch.score_every_s, Duration::ZERO, |_| pass());
    // Nor does the first one with a new model: half an hour without a score is long for a port.
    let with_new_models = async {
        loop {
            promoted.notified().await;
            pass().await;
        }
    };
    tokio::join!(on_time, with_new_models);
}

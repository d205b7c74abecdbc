//! The tasks of the watches: one that scores and one that trains for each; what a reload replaces.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use tokio::sync::Notify;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::now_s;
use super::training;
use super::training::Asked;
use crate::pipeline::Pipeline;
use crate::schedule;
use crate::series::Entity;
use crate::source::Source;
use crate::store::TrainingRequest;
use crate::train::Trainer;
use crate::watch::Watch;

/// The running watches. Dropping it stops them.
pub(super) struct Watching {
    /// Of the passes; the trainer's is a patient one.
    source: Arc<dyn Source>,
    trainer: Trainer,
    watches: Arc<Mutex<BTreeMap<String, Running>>>,
    tasks: JoinSet<()>,
    /// The newest request for a training of a watch that does not run, to say so once.
    newest_undelivered: i64,
}

/// A running watch, as others see it.
#[derive(Clone)]
pub(super) struct Running {
    pub(super) watch: Watch,
    pub(super) asked: Arc<Asked>,
    /// Told of new models, so that scoring does not wait until it is due.
    pub(super) promoted: Arc<Notify>,
}

/// The running watches by name, for whoever has to find one.
#[derive(Clone)]
pub(super) struct Register(Arc<Mutex<BTreeMap<String, Running>>>);

impl Register {
    pub(super) fn get(&self, name: &str) -> Option<Running> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    pub(super) fn watches(&self) -> Vec<Watch> {
        let running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        running.values().map(|running| running.watch.clone()).collect()
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }
}

impl Watching {
    pub(super) fn new(source: Arc<dyn Source>, trainer: Trainer) -> Watching {
        let (watches, tasks) = (Arc::default(), JoinSet::new());
        Watching { source, trainer, watches, tasks, newest_undelivered: 0 }
    }

    pub(super) fn register(&self) -> Register {
        Register(Arc::clone(&self.watches))
    }

    /// Starts to score and to train a watch.
    pub(super) fn start(&mut self, watch: Watch) {
        let Trainer { store, board, workers, .. } = self.trainer.clone();
        let pipeline =
            Pipeline::new(watch.clone(), Arc::clone(&self.source), store, board, workers);
        let (asked, promoted) = (Arc::new(Asked::default()), Arc::new(Notify::new()));
        let (of, asking, telling) = (watch.clone(), Arc::clone(&asked), Arc::clone(&promoted));
        let running = Running { watch: of, asked: asking, promoted: telling };
        let name = watch.name.clone();
        self.watches.lock().unwrap_or_else(PoisonError::into_inner).insert(name, running);
        let (lacks, lacking) = watch::channel(BTreeSet::new());
        let news = News { promoted: Arc::clone(&promoted), lacks };
        self.tasks.spawn(score(pipeline, watch.clone(), self.trainer.clone(), news));
        self.tasks.spawn(training::run(self.trainer.clone(), watch, asked, lacking, promoted));
    }

    /// Hands the store's requests to the watches that they are for, as often as they are there: each
    /// watch hears of each once. Those for a watch that does not run, or not yet, stay in the store.
    pub(super) fn deliver(&mut self, requests: Vec<TrainingRequest>) {
        let register = self.register();
        for TrainingRequest { id, watch, .. } in requests {
            match register.get(&watch) {
                Some(running) => running.asked.ask(id),
                None if id > self.newest_undelivered => {
                    self.newest_undelivered = id;
                    tracing::warn!(watch, "a training is asked for, but no such watch runs yet");
                }
                None => {}
            }
        }
    }

    /// People put other models of these watches in use: a pass takes them up now.
    pub(super) fn take_over(&self, changed: &[String]) {
        let register = self.register();
        for watch in changed {
            match register.get(watch) {
                Some(running) => running.promoted.notify_one(),
                None => tracing::warn!(watch, "models were put in use, but no such watch runs"),
            }
        }
    }
}

/// What the two tasks of a watch tell each other.
struct News {
    /// To scoring: there are new models.
    promoted: Arc<Notify>,
    /// To training: who lives and has no model.
    lacks: watch::Sender<BTreeSet<Entity>>,
}

/// The pause after a pass that failed or found nobody, in seconds; it doubles up to the period. Half an hour
/// is long for a port, and a connection that broke is back in seconds.
const AFTER_FAILURE_S: u64 = 5;

/// Scores one watch whenever it is due. Never returns.
async fn score(pipeline: Pipeline, watch: Watch, trainer: Trainer, news: News) {
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
        // What was found a moment ago may have no row yet, and a bucket is long to wait for one.
        let somebody = summary.as_ref().is_ok_and(|summary| summary.n_entities > 0);
        if let Ok(summary) = summary {
            let lacks = summary.without_model;
            news.lacks.send_if_modified(|known| {
                let modified = *known != lacks;
                *known = lacks;
                modified
            });
        }
        somebody
    };
    let persistent = || until_done(watch.score_every_s, pass);
    // The first pass does not wait for the clock: the FIFOs are filled from history at boot.
    persistent().await;
    let on_time = schedule::every(watch.score_every_s, Duration::ZERO, |_| persistent());
    // Nor does the first one with a new model: half an hour without a score is long for a port.
    let with_new_models = async {
        loop {
            news.promoted.notified().await;
            pass().await;
        }
    };
    tokio::join!(on_time, with_new_models);
}

/// Runs `pass` until it says that it is done, with longer and longer pauses; after `every_s` the next one is due.
async fn until_done<F: Future<Output = bool>>(every_s: i64, pass: impl Fn() -> F) {
    let began = Instant::now();
    let mut n_failures = 0;
    while !pass().await
        && let Some(pause) = pause(every_s, n_failures, began.elapsed())
    {
        tokio::time::sleep(pause).await;
        n_failures += 1;
    }
}

/// The pause after a failure with so many before it; `None` where the next period has begun by then.
fn pause(every_s: i64, n_failures: u32, elapsed: Duration) -> Option<Duration> {
    let pause = Duration::from_secs(AFTER_FAILURE_S) * 2_u32.saturating_pow(n_failures);
    (elapsed + pause < Duration::from_secs(every_s.unsigned_abs())).then_some(pause)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::path::Path;

    use super::*;
    use crate::config;
    use crate::export::Board;
    use crate::store::Store;
    use crate::workers::Workers;

    /// Seconds into a period at which passes run that take no time and fail.
    fn passes(every_s: i64) -> Vec<u64> {
        let mut times = vec![0];
        let now = |times: &[u64]| Duration::from_secs(times[times.len() - 1]);
        while let Some(pause) = pause(every_s, times.len() as u32 - 1, now(&times)) {
            times.push((now(&times) + pause).as_secs());
        }
        times
    }

    #[test]
    fn a_failed_pass_is_tried_again_soon() {
        assert_eq!(passes(1_800), [0, 5, 15, 35, 75, 155, 315, 635, 1275]);
        assert_eq!(passes(30), [0, 5, 15]);
        assert_eq!(passes(5), [0], "the next one is due");
    }

    #[tokio::test]
    async fn a_pass_that_succeeds_is_the_last() {
        let n = std::cell::Cell::new(0);
        until_done(i64::MAX, || async {
            n.set(n.get() + 1);
            true
        })
        .await;
        assert_eq!(n.get(), 1);
    }

    const STEP_S: i64 = 60;

    /// What a configuration with one watch, of a file that may come later, brings to life.
    fn of_file(file: &Path, store: &Store) -> (Watching, Watch) {
        let text = format!(
            "source: {{csv: {{file: '{}'}}}}\nwatches: [{{name: w, queries: {{x: x}}, \
             step: {STEP_S}s, detectors: [seasonal_median], \
             train: {{every: 1d, history: 3h, min_history: 1h}}}}]",
            file.display()
        );
        let config = config::parse("test", &text).unwrap();
        let source = config.source.unwrap().open().unwrap();
        let (store, board, workers) = (store.clone(), Board::new(), Workers::new(2));
        let trainer = Trainer { source: Arc::clone(&source), store, board, workers };
        (Watching::new(source, trainer), config.watches.unwrap().remove(0))
    }

    /// As the sidecar does every two seconds.
    fn look(watching: &mut Watching, store: &Store) -> usize {
        let requests = store.training_requests().unwrap();
        let n = requests.len();
        watching.deliver(requests);
        n
    }

    #[tokio::test]
    async fn a_request_waits_for_its_watch_and_survives_a_reload() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.csv");
        let store = Store::in_memory().unwrap();
        store.request_training("w", "label").unwrap();
        let (mut watching, watch) = of_file(&file, &store);
        assert_eq!(look(&mut watching, &store), 1, "before discovery has found its watch");
        watching.start(watch.clone());
        assert_eq!(look(&mut watching, &store), 1, "and the source has nothing yet");
        // A reload, while the request is with the training.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let mut rows = String::from("t,x\n");
        let newest_s = now_s() / STEP_S * STEP_S;
        for (i, time_s) in (newest_s - 7_200..=newest_s).step_by(STEP_S as usize).enumerate() {
            writeln!(rows, "{time_s},{}", i * i % 17).unwrap();
        }
        std::fs::write(&file, rows).unwrap();
        let (mut watching, watch) = of_file(&file, &store);
        watching.start(watch);
        let until_done = async {
            while look(&mut watching, &store) > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), until_done).await.unwrap();
        assert_eq!(store.models_in_use(Some("w")).unwrap().len(), 1, "trained for it");
    }
}

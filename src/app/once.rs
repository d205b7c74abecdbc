//! One training of every watch, then the end.
//!
//! It needs no sidecar and stands beside one: both meet in the store alone.

use std::time::Duration;
use std::time::Instant;

use super::Error;
use super::Inputs;
use super::bar::Bar;
use super::cores;
use super::counted::counted;
use super::finding;
use super::now_s;
use super::offline::columns;
use super::say;
use crate::export::Board;
use crate::math::duration::format_duration;
use crate::schedule;
use crate::store::Store;
use crate::store::StoreError;
use crate::train::Outcome;
use crate::train::TrainError;
use crate::train::Trainer;
use crate::train::Which;
use crate::watch::Watch;
use crate::workers::Workers;

/// Trains every watch once, one after the other, and prints what came of it.
///
/// # Errors
/// The configuration, the source or the store cannot be used, or a watch failed.
pub async fn train(inputs: Inputs, progress: bool) -> Result<(), Error> {
    let config = inputs.load()?;
    let board = Board::new();
    let source = counted(inputs.source(&config)?, &board);
    let mut terminations = schedule::Terminations::new()?;
    let watches = tokio::select! {
        watches = finding::at_once(&source, inputs.candidates(&config)?) => watches?,
        signal = terminations.next() => return Err(signal.into()),
    };
    if watches.is_empty() {
        return Err(format!("{}: nothing there that a preset watches", source.describe()).into());
    }
    let store = Store::open(inputs.store_folder(&config))?;
    let workers = Workers::new(cores());
    let trainer = Trainer { source, store, board, workers };
    let trained = tokio::select! {
        trained = train_all(&trainer, &watches, progress) => trained,
        // As the first process of a container it would not end otherwise.
        signal = terminations.next() => {
            trainer.workers.stop();
            return Err(format!("{signal}; what was trained before is kept").into());
        }
    };
    say(&table(&trained))?;
    match trained.iter().filter(|trained| trained.failed()).count() {
        0 => Ok(()),
        failed => Err(format!("{failed} of {} watches failed", trained.len()).into()),
    }
}

/// What came of a watch.
struct Trained<'a> {
    watch: &'a Watch,
    outcome: Result<Outcome, TrainError>,
    took: Duration,
}

impl Trained<'_> {
    fn failed(&self) -> bool {
        self.outcome.as_ref().map_or(true, |outcome| !outcome.failed.is_empty())
    }
}

async fn train_all<'a>(
    trainer: &Trainer,
    watches: &'a [Watch],
    progress: bool,
) -> Vec<Trained<'a>> {
    let mut all = Vec::new();
    for watch in watches {
        let started = Instant::now();
        let asked = requests(&trainer.store, watch).await;
        let outcome = if progress {
            let bar = Bar::start(&watch.name, "entities");
            let mut listener = bar.listener();
            let which = Which::All;
            let outcome = trainer.train_before(&mut listener, watch, &which, now_s()).await;
            bar.end().await;
            outcome
        } else {
            trainer.train(watch, &Which::All, now_s()).await
        };
        let trained = Trained { watch, outcome, took: started.elapsed() };
        let learnt = trained.outcome.as_ref().is_ok_and(|outcome| outcome.again_s.is_none());
        if learnt && !trained.failed() {
            answer(&trainer.store, asked).await;
        }
        all.push(trained);
    }
    all
}

/// The store's requests for a training of this watch, which this one answers.
async fn requests(store: &Store, watch: &Watch) -> Vec<i64> {
    let (store, name) = (store.clone(), watch.name.clone());
    let read = move || {
        let requests = store.training_requests()?.into_iter();
        Ok::<_, StoreError>(requests.filter(|r| r.watch == name).map(|r| r.id).collect())
    };
    // Unread, they stay where they are.
    tokio::task::spawn_blocking(read).await.ok().and_then(Result::ok).unwrap_or_default()
}

async fn answer(store: &Store, requests: Vec<i64>) {
    let store = store.clone();
    let finish = move || requests.iter().try_for_each(|id| store.finish_training_request(*id));
    if let Ok(Err(error)) = tokio::task::spawn_blocking(finish).await {
        tracing::warn!(%error, "a finished request for a training stays in the store");
    }
}

/// A line per watch; then one for each entity whose new models are not in use.
fn table(trained: &[Trained<'_>]) -> String {
    let head = ["WATCH", "ENTITIES", "PROMOTED", "REJECTED", "WAITING", "FAILED", "TIME"];
    let mut watches = vec![head.map(String::from)];
    let mut others = vec![["WATCH", "ENTITY", "RESULT", "REASON"].map(String::from)];
    for Trained { watch, outcome, took } in trained {
        let name = &watch.name;
        let took = format_duration(took.as_secs_f64().ceil() as i64);
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(error) => {
                let none = ["-", "-", "-", "-", "all"].map(String::from);
                let [a, b, c, d, e] = none;
                watches.push([name.clone(), a, b, c, d, e, took]);
                others.push([name.clone(), "-".into(), "failed".into(), error.to_string()]);
                continue;
            }
        };
        let (rejected, waiting, held) = (&outcome.rejected, &outcome.waiting, &outcome.held);
        let failed = &outcome.failed;
        let numbers =
            [outcome.seen.len(), outcome.n_promoted, rejected.len(), waiting.len(), failed.len()];
        let [a, b, c, d, e] = numbers.map(|n| n.to_string());
        watches.push([name.clone(), a, b, c, d, e, took]);
        let results =
            [("rejected", rejected), ("held", held), ("waiting", waiting), ("failed", failed)];
        for (result, who) in results {
            others.extend(who.iter().map(|(entity, reason)| {
                [name.clone(), entity.to_string(), result.into(), reason.clone()]
            }));
        }
    }
    let mut text = columns(&watches);
    if others.len() > 1 {
        text.push('\n');
        text.push_str(&columns(&others));
    }
    text
}

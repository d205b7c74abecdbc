//! When a watch is trained: at once where nothing is known, then as history grows, then every
//! `train.every`, and whenever a label asks.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::sync::Notify;

use super::now_s;
use crate::store::Store;
use crate::train::Outcome;
use crate::train::TrainError;
use crate::train::Trainer;
use crate::watch::Watch;

/// After a failure the source is given this long.
const AFTER_FAILURE_S: i64 = 60;

/// Somebody asked for a training.
#[derive(Debug, Default)]
pub(super) struct Asked {
    notify: Notify,
    /// The store's requests, which are kept there until a training has seen them.
    requests: Mutex<Vec<i64>>,
}

impl Asked {
    /// Asks for a training that answers this request of the store's.
    pub(super) fn ask(&self, request: i64) {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        self.notify.notify_one();
    }

    fn take(&self) -> Vec<i64> {
        std::mem::take(&mut *self.requests.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Trains one watch whenever it is due, and says so to `promoted`. Never returns.
pub(super) async fn run(trainer: Trainer, watch: Watch, asked: Arc<Asked>, promoted: Arc<Notify>) {
    let mut due_s = first_due_s(&trainer.store, &watch).await;
    let mut waiting = false;
    measure(&trainer, &watch).await;
    loop {
        let wait = Duration::from_secs((due_s - now_s()).max(0) as u64);
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = asked.notify.notified() => {}
        }
        let requests = asked.take();
        let trained = trainer.train(&watch, now_s()).await;
        tell(&watch, &trained, &mut waiting);
        match &trained {
            Ok(outcome) => {
                finish(&trainer.store, requests).await;
                if outcome.n_promoted > 0 {
                    promoted.notify_one();
                }
            }
            // The label waits for the training after this one.
            Err(_) => {
                asked.requests.lock().unwrap_or_else(PoisonError::into_inner).extend(requests);
            }
        }
        measure(&trainer, &watch).await;
        due_s = now_s() + pause_s(&watch, &trained);
    }
}

/// Shows what the versions in use make of the labels. It needs the store alone, so a restart does not
/// have to wait for a training, nor does a failed one make the labels unseen.
async fn measure(trainer: &Trainer, watch: &Watch) {
    if let Err(error) = trainer.measure(watch).await {
        tracing::warn!(watch = watch.name, %error, "labelled intervals not measured");
    }
}

async fn finish(store: &Store, requests: Vec<i64>) {
    let store = store.clone();
    let finish = move || requests.iter().try_for_each(|id| store.finish_training_request(*id));
    if let Ok(Err(error)) = tokio::task::spawn_blocking(finish).await {
        tracing::warn!(%error, "a finished request for a training stays in the store");
    }
}

/// What was trained before a restart need not be trained again for it; what the settings ask for since
/// then has to be.
async fn first_due_s(store: &Store, watch: &Watch) -> i64 {
    let (store, name) = (store.clone(), watch.name.clone());
    let read = tokio::task::spawn_blocking(move || store.promoted(Some(&name))).await;
    let stored = read.ok().and_then(Result::ok).unwrap_or_default();
    let fits = |member: &(Option<String>, String), fingerprint: &str| {
        stored.iter().any(|model| {
            let (key, known) = (&model.key, model.card.get("fingerprint"));
            (&key.feature, &key.detector) == (&member.0, &member.1)
                && known.and_then(|known| known.as_str()) == Some(fingerprint)
        })
    };
    if !watch.fingerprints().iter().all(|(member, fingerprint)| fits(member, fingerprint)) {
        return 0;
    }
    let newest = stored.iter().map(|model| model.trained_s).max();
    newest.map_or(0, |trained_s| trained_s + watch.train.every_s)
}

/// A model of three minutes is worth replacing after three more, one of two weeks is not: while there
/// is less history than wanted, it has to double.
fn pause_s(watch: &Watch, trained: &Result<Outcome, TrainError>) -> i64 {
    let every_s = watch.train.every_s;
    let retry_s = (watch.train.min_history_s / 12).max(watch.step_s).max(5);
    match trained {
        Err(_) => AFTER_FAILURE_S.min(every_s),
        Ok(outcome) if outcome.n_promoted + outcome.rejected.len() == 0 => retry_s.min(every_s),
        Ok(outcome) if outcome.span_s * 10 < watch.train.history_s * 9 => {
            let newcomers_s = if outcome.waiting.is_empty() { every_s } else { retry_s * 6 };
            outcome.span_s.max(60).min(newcomers_s).min(every_s)
        }
        Ok(_) => every_s,
    }
}

/// `waiting`: whether it was said already that there is too little history.
fn tell(watch: &Watch, trained: &Result<Outcome, TrainError>, waiting: &mut bool) {
    let watch = watch.name.as_str();
    match trained {
        Err(error) => tracing::warn!(watch, %error, "training failed"),
        Ok(outcome) => {
            for (entity, reason) in &outcome.rejected {
                tracing::warn!(watch, %entity, reason, "trained, kept unpromoted");
            }
            let (promoted, rejected) = (outcome.n_promoted, outcome.rejected.len());
            let n_waiting = outcome.waiting.len();
            if promoted + rejected > 0 {
                tracing::info!(watch, promoted, rejected, waiting = n_waiting, "training done");
            } else if let Some((entity, reason)) = outcome.waiting.first().filter(|_| !*waiting) {
                tracing::info!(watch, %entity, reason, entities = n_waiting, "waiting for history");
            }
            *waiting = n_waiting > 0;
        }
    }
}

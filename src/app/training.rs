//! When a watch is trained: at once where nothing is known, then as history grows, then every
//! `train.every`, and whenever a label asks.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::now_s;
use crate::store::ModelState;
use crate::store::Store;
use crate::train::Outcome;
use crate::train::TrainError;
use crate::train::Trainer;
use crate::watch::Watch;

/// After a failure the source is given this long.
const AFTER_FAILURE_S: i64 = 60;

/// Trains one watch whenever it is due. Never returns.
pub(super) async fn run(trainer: Trainer, watch: Watch, asked: Arc<Notify>) {
    let mut due_s = first_due_s(&trainer.store, &watch).await;
    let mut waiting = false;
    loop {
        let wait = Duration::from_secs((due_s - now_s()).max(0) as u64);
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = asked.notified() => {}
        }
        let trained = trainer.train(&watch, now_s()).await;
        tell(&watch, &trained, &mut waiting);
        due_s = now_s() + pause_s(&watch, &trained);
    }
}

/// What was trained before a restart need not be trained again for it.
async fn first_due_s(store: &Store, watch: &Watch) -> i64 {
    let (store, name) = (store.clone(), watch.name.clone());
    let read = tokio::task::spawn_blocking(move || store.models(Some(&name))).await;
    let newest = read.ok().and_then(Result::ok).and_then(|rows| {
        let promoted = rows.iter().filter(|row| row.state == ModelState::Promoted);
        promoted.map(|row| row.trained_s).max()
    });
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

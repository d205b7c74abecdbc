//! The training of a watch: at once where nothing is known, then as history grows, then every
//! `train.every`, whenever a label asks, and for whom a pass finds without a model.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::watch::Receiver;

use super::due::Due;
use super::now_s;
use crate::detect;
use crate::series::Entity;
use crate::store::ModelKey;
use crate::store::ModelRow;
use crate::store::ModelState;
use crate::store::Store;
use crate::store::StoreError;
use crate::train::Outcome;
use crate::train::TrainError;
use crate::train::Trainer;
use crate::verdict::Verdict;
use crate::watch::Watch;

/// The clock may be set forward, and a machine sleep: what is due is looked at again after so long.
const LONGEST_WAIT_S: i64 = 30;

/// Somebody asked for a training.
#[derive(Debug, Default)]
pub(super) struct Asked {
    notify: Notify,
    requests: Mutex<Requests>,
}

/// The store's requests, which are kept there until a training has seen them.
#[derive(Debug, Default)]
struct Requests {
    /// The newest that was heard; ids count up.
    newest: i64,
    /// Heard, and not taken yet.
    due: Vec<i64>,
}

impl Asked {
    /// Asks for a training that answers this request of the store's; one that was heard is not heard
    /// again.
    pub(super) fn ask(&self, request: i64) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if request > requests.newest {
            requests.newest = request;
            requests.due.push(request);
            self.notify.notify_one();
        }
    }

    fn take(&self) -> Vec<i64> {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut requests.due)
    }
}

/// Trains one watch whenever it is due, and says so to `promoted`. `lacking`: who was seen without a
/// model by the newest pass. Never returns.
pub(super) async fn run(
    trainer: Trainer,
    watch: Watch,
    asked: Arc<Asked>,
    mut lacking: Receiver<BTreeSet<Entity>>,
    promoted: Arc<Notify>,
) {
    let mut due = first_due(&trainer.store, &watch).await;
    let (mut known, mut requests) = (Known::default(), Vec::new());
    measure(&trainer, &watch).await;
    loop {
        due.notice_clock(now_s());
        let wait = Duration::from_secs((due.next_s() - now_s()).clamp(0, LONGEST_WAIT_S) as u64);
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = asked.notify.notified() => {}
            Ok(()) = lacking.changed() => {
                due.lacking(lacking.borrow_and_update().clone(), now_s());
                continue;
            }
        }
        let asked = asked.take();
        if !asked.is_empty() {
            due.ask(now_s());
            requests.extend(asked);
        }
        // Woken for a request that the training before took along.
        if due.next_s() > now_s() {
            continue;
        }
        let which = due.which(now_s());
        let trained = trainer.train(&watch, &which, now_s()).await;
        tell(&watch, &trained, &mut known);
        match &trained {
            Ok(outcome) => {
                if outcome.n_promoted > 0 {
                    promoted.notify_one();
                }
                let lacking = lacking.borrow_and_update().clone();
                due.trained(&which, outcome, lacking, now_s());
                if due.is_settled() {
                    finish(&trainer.store, std::mem::take(&mut requests)).await;
                }
            }
            // The label waits for the training after this one.
            Err(_) => due.failed(&which, now_s()),
        }
        measure(&trainer, &watch).await;
    }
}

/// Shows what the versions in use make of the labels. It needs the store alone, so a restart does not
/// have to wait for a training, nor does a failed one make the labels unseen.
async fn measure(trainer: &Trainer, watch: &Watch) {
    match trainer.measure(watch).await {
        Ok(()) | Err(TrainError::Stopped) => {}
        Err(error) => {
            tracing::warn!(watch = watch.name, %error, "labelled intervals not measured");
        }
    }
}

async fn finish(store: &Store, requests: Vec<i64>) {
    let store = store.clone();
    let finish = move || requests.iter().try_for_each(|id| store.finish_training_request(*id));
    if let Ok(Err(error)) = tokio::task::spawn_blocking(finish).await {
        tracing::warn!(%error, "a finished request for a training stays in the store");
    }
}

/// What was trained before a restart need not be trained again for it, also where it is not in use; what the
/// settings ask for since then has to be.
async fn first_due(store: &Store, watch: &Watch) -> Due {
    let (store, name) = (store.clone(), watch.name.clone());
    let read = move || {
        let labels = store.labels(Some(&name))?;
        let told = labels.iter().any(|stored| stored.label.verdict == Verdict::Anomaly);
        Ok::<_, StoreError>((store.models(Some(&name))?, told))
    };
    let read = tokio::task::spawn_blocking(read).await;
    let (mut stored, told) = read.ok().and_then(Result::ok).unwrap_or_default();
    // Brought by a person and never in use: nobody trained it here.
    stored.retain(|row| row.state != ModelState::Candidate);
    // The newest of each model, since an older one of these settings may be of before they were changed twice.
    let newest: BTreeMap<&ModelKey, &ModelRow> = stored.iter().map(|row| (&row.key, row)).collect();
    let in_use = || stored.iter().filter(|row| row.state == ModelState::Promoted);
    // Who learns from incidents has no model while there are none: that is nothing to train all for again.
    let idle = |detector: &String| {
        let mut of = watch.detectors.iter().filter(|known| known.name() == detector);
        !told && of.any(detect::Config::supervised)
    };
    let fits = |(feature, detector): &(Option<String>, String), fingerprint: &String| {
        let own = |row: &&ModelRow| (&row.key.feature, &row.key.detector) == (feature, detector);
        let made = |row: &ModelRow| row.fingerprint.as_ref() == Some(fingerprint);
        in_use().filter(own).any(made)
            || newest.values().copied().filter(own).any(made)
            || idle(detector) && in_use().find(own).is_none()
    };
    if !watch.fingerprints().iter().all(|(member, fingerprint)| fits(member, fingerprint)) {
        return Due::new(watch, 0);
    }
    // Who has left has none in use.
    let living: BTreeSet<&Entity> = in_use().map(|row| &row.key.entity).collect();
    let mut trained: BTreeMap<Entity, (i64, Option<i64>)> = BTreeMap::new();
    for row in stored.iter().filter(|row| living.contains(&row.key.entity)) {
        let known = (row.trained_s, row.n_rows);
        let newest = trained.entry(row.key.entity.clone()).or_insert(known);
        *newest = known.max(*newest);
    }
    Due::after_restart(watch, trained)
}

/// What was said already.
#[derive(Default)]
struct Known {
    /// That there is too little history.
    waiting: bool,
    /// Whose labels are not learnt since they do not live.
    absent: BTreeSet<Entity>,
}

fn tell(watch: &Watch, trained: &Result<Outcome, TrainError>, known: &mut Known) {
    let watch = watch.name.as_str();
    let outcome = match trained {
        Ok(outcome) => outcome,
        Err(error) => return tracing::warn!(watch, %error, "training failed"),
    };
    for (entity, reason) in &outcome.rejected {
        tracing::warn!(watch, %entity, reason, "trained, kept unpromoted");
    }
    for (entity, reason) in &outcome.held {
        tracing::info!(watch, %entity, reason, "trained, but for what is held");
    }
    if let Some((entity, error)) = outcome.failed.first() {
        let entities = outcome.failed.len();
        tracing::warn!(watch, %entity, error, entities, "training failed for some");
    }
    for entity in outcome.absent.difference(&known.absent) {
        tracing::info!(watch, %entity, "labels not learnt: it has no samples of late");
    }
    known.absent.extend(outcome.absent.iter().cloned());
    let (promoted, rejected) = (outcome.n_promoted, outcome.rejected.len());
    let n_waiting = outcome.waiting.len();
    if promoted + rejected > 0 {
        tracing::info!(watch, promoted, rejected, waiting = n_waiting, "training done");
    } else if let Some((entity, reason)) = outcome.waiting.first().filter(|_| !known.waiting) {
        tracing::info!(watch, %entity, reason, entities = n_waiting, "waiting for history");
    }
    known.waiting = n_waiting > 0;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "deep")]
    #[tokio::test]
    async fn a_restart_trains_nothing_again_for_want_of_incidents() {
        use crate::config::Preset;
        use crate::store::ModelKey;
        use crate::store::ModelState;
        use crate::store::NewModel;
        let watch = Preset::named("coredns").and_then(|preset| preset.watch()).unwrap();
        let (store, trained_s) = (Store::in_memory().unwrap(), 1_800_000_000);
        let add = |detector: &str, fingerprint: &str| {
            let (watch, entity) = (watch.name.clone(), Entity::new([("job", "dns")]));
            let key = ModelKey { watch, entity, feature: None, detector: detector.into() };
            let card = serde_json::json!({"fingerprint": fingerprint});
            let (bytes, sha256) = (Vec::new(), String::new());
            let model = NewModel { key, card, bytes, sha256, trained_s };
            store.add_models(&[model], &ModelState::Promoted).unwrap();
        };
        let next_s = async || first_due(&store, &watch).await.next_s();
        let fingerprints = watch.fingerprints();
        let fingerprint = |detector: &str| fingerprints[&(None, detector.to_string())].as_str();
        assert_eq!(next_s().await, 0);
        add("autoencoder", fingerprint("autoencoder"));
        assert_eq!(next_s().await, trained_s + watch.train.every_s);
        add("siamese", "of other settings");
        assert_eq!(next_s().await, 0);
        add("siamese", fingerprint("siamese"));
        assert_eq!(next_s().await, trained_s + watch.train.every_s);
    }

    fn watch_of(text: &str) -> Watch {
        use crate::config;
        config::parse("test", text).unwrap().watches.unwrap().remove(0)
    }

    #[tokio::test]
    async fn a_restart_trains_nothing_again_for_a_version_that_a_person_prefers() {
        use crate::store::Change;
        use crate::store::Deed;
        use crate::store::ModelWord;
        use crate::store::NewModel;
        let text = "watches: [{name: w, queries: {x: x}, step: 30s, detectors: [seasonal_median, stl], \
                    train: {every: 1d, history: 2w}}]";
        let watch = watch_of(text);
        let store = Store::in_memory().unwrap();
        let key = |detector: &str| {
            let (entity, detector) = (Entity::default(), detector.to_string());
            ModelKey { watch: "w".into(), entity, feature: Some("x".into()), detector }
        };
        let add = |detector: &str, trained_s: i64, state: &ModelState, settings: &str| {
            let member = (Some("x".to_string()), detector.to_string());
            let fingerprint = format!("{}{settings}", watch.fingerprints()[&member]);
            let card = serde_json::json!({ "fingerprint": fingerprint });
            let (bytes, sha256) = (Vec::new(), String::new());
            let model = NewModel { key: key(detector), card, bytes, sha256, trained_s };
            store.add_models(&[model], state).unwrap();
        };
        let (both, day_s) = (["seasonal_median", "stl"], 86_400);
        for (trained_s, detector) in
            [(100, both[0]), (100, both[1]), (200, both[0]), (200, both[1])]
        {
            add(detector, trained_s, &ModelState::Promoted, "");
        }
        let next_s = async || first_due(&store, &watch).await.next_s();
        assert_eq!(next_s().await, 200 + day_s);
        // One goes back, the other out of use; then a training that their holds keep out.
        let (author, note, before) = (None, None, None);
        let word = ModelWord {
            deed: Deed::Rollback,
            before,
            hold_until_s: Some(900),
            author,
            note,
            created_s: 250,
        };
        let back = [
            Change { key: key(both[0]), from: Some(2), to: Some(1) },
            Change { key: key(both[1]), from: Some(2), to: None },
        ];
        store.put_in_use(&back, &word).unwrap();
        assert_eq!(next_s().await, 200 + day_s, "it was trained then, in use or not");
        let rejected = ModelState::Rejected { reason: "held".into() };
        add(both[0], 300, &rejected, "");
        assert_eq!(next_s().await, 300 + day_s);
        // Settings that were changed, and changed back.
        add(both[1], 400, &ModelState::Promoted, " of others");
        assert_eq!(next_s().await, 0);
    }

    #[test]
    fn a_request_is_heard_once_however_often_it_is_delivered() {
        let asked = Asked::default();
        [3, 5, 3, 5].into_iter().for_each(|id| asked.ask(id));
        assert_eq!(asked.take(), [3, 5]);
        [3, 5, 6].into_iter().for_each(|id| asked.ask(id));
        assert_eq!(asked.take(), [6]);
    }
}

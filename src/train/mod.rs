//! One training of one watch: history in, models in the store, the better ones promoted.
//!
//! Owns: which rows are learnt from, what counts as better.
//! Does not own: when (`schedule`), how a model is made (`model`), which model scores (`pipeline`).

mod fit;
mod gate;
mod history;
mod jury;
mod keeping;
mod leaving;
mod lessons;
mod progress;
mod quality;
mod reading;
mod recipes;
mod succession;
mod told;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use tokio::task::JoinSet;

use crate::detect::Episode;
use crate::export::Board;
use crate::gather::GatherError;
use crate::model::Model;
use crate::series::Entity;
use crate::series::Window;
use crate::source::Source;
use crate::store::ModelKey;
use crate::store::ModelRow;
use crate::store::Store;
use crate::store::StoreError;
use crate::watch::Watch;
use crate::workers::Priority;
use crate::workers::Unfinished;
use crate::workers::Workers;

use fit::Lessons;
use fit::Trained;
use fit::fit_entity;
use history::Past;
use history::with_store;
use keeping::Held;
use progress::Share;
use progress::UnderWay;
use reading::Reading;
use succession::Champions;
use told::Told;

pub use gate::Decision;
pub use progress::Listener;
pub use progress::Progress;
pub use recipes::recipe;

/// Versions kept per model, besides the promoted one.
const KEEP_VERSIONS: usize = 5;

/// What every training needs.
#[derive(Clone)]
pub struct Trainer {
    /// Where history comes from; in a sidecar, a [`patient`](crate::source::patient) one.
    pub source: Arc<dyn Source>,
    /// Where models go.
    pub store: Store,
    /// Where counts go.
    pub board: Board,
    /// Where the arithmetic runs.
    pub workers: Workers,
}

/// Whom a training is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// Everyone who lives; models of those who have left go out of use.
    All,
    /// These, as far as they live; of history only what is theirs is read.
    Only(BTreeSet<Entity>),
}

impl Which {
    fn wants(&self, entity: &Entity) -> bool {
        match self {
            Which::All => true,
            Which::Only(entities) => entities.contains(entity),
        }
    }
}

/// What a training did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    /// Entities whose models were promoted.
    pub n_promoted: usize,
    /// Entities whose models were kept unpromoted, with why.
    pub rejected: Vec<(Entity, String)>,
    /// Entities of which some models stay as a person wants, with who and until when; the others were promoted or
    /// rejected all the same. Where all of them stay, the entity is among the rejected.
    pub held: Vec<(Entity, String)>,
    /// Entities that have too little history yet, with why.
    pub waiting: Vec<(Entity, String)>,
    /// Entities that want another attempt, with why: a defect, a store that could not be written, a
    /// label whose rows could not be read.
    pub failed: Vec<(Entity, String)>,
    /// Whose labels cannot be learnt, since they do not live.
    pub absent: BTreeSet<Entity>,
    /// Who was found alive, with the stretch of data that there is to learn from, in seconds.
    pub seen: BTreeMap<Entity, i64>,
    /// When there is more to learn of a label that speaks of now, in unix seconds.
    pub again_s: Option<i64>,
}

/// Why nobody was trained.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The source did not answer.
    #[error("history cannot be read: {0}")]
    Source(#[from] GatherError),
    /// The store cannot be read or written.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// A defect in the arithmetic.
    #[error("training panicked")]
    Panicked,
    /// The program is ending.
    #[error("stopped")]
    Stopped,
}

impl From<Unfinished> for TrainError {
    fn from(unfinished: Unfinished) -> TrainError {
        match unfinished {
            Unfinished::Panicked(_) => TrainError::Panicked,
            Unfinished::Stopped => TrainError::Stopped,
        }
    }
}

/// The models of one entity.
pub(crate) type Members = BTreeMap<ModelKey, Model>;

impl Trainer {
    /// Trains the entities of a watch that have enough history at `now_s`. What goes wrong with one of
    /// them is no matter of the others; where the source refused a feature's query for all of history,
    /// it has gone wrong for whom models are in use that may know the feature.
    ///
    /// # Errors
    /// Source or store failed for all; models in use are untouched.
    pub async fn train(
        &self,
        watch: &Watch,
        which: &Which,
        now_s: i64,
    ) -> Result<Outcome, TrainError> {
        self.train_before(&mut progress::Log::of(&watch.name), watch, which, now_s).await
    }

    /// As [`Trainer::train`], before the eyes of somebody: who says so instead of the log.
    ///
    /// # Errors
    /// As [`Trainer::train`].
    pub async fn train_before(
        &self,
        listener: &mut dyn Listener,
        watch: &Watch,
        which: &Which,
        now_s: i64,
    ) -> Result<Outcome, TrainError> {
        let started = Instant::now();
        let own = self.board.own();
        let mut told = |progress: Progress| {
            own.training_progress(&watch.name, progress.ratio(), progress.left());
            listener.tell(progress);
        };
        told(Progress::default());
        let outcome = self.try_train(&mut told, watch, which, now_s).await;
        if outcome.is_err() {
            own.training_progress(&watch.name, f64::NAN, None);
        }
        let result = match &outcome {
            Err(_) => "failed",
            Ok(outcome) if !outcome.failed.is_empty() => "failed",
            Ok(outcome) if outcome.n_promoted + outcome.rejected.len() == 0 => "waiting",
            Ok(_) => "trained",
        };
        own.training(&watch.name, result, started.elapsed().as_secs_f64());
        outcome
    }

    async fn try_train(
        &self,
        listener: &mut dyn Listener,
        watch: &Watch,
        which: &Which,
        now_s: i64,
    ) -> Result<Outcome, TrainError> {
        let past = history::read(&self.source, &self.store, watch, now_s, which).await?;
        let Past { reading, masked, mut told, mut weak, again_s, unread } = past;
        let Reading { windows, seen, refused } = reading;
        let mut outcome = Outcome { again_s, failed: unread, ..Outcome::default() };
        let absent = told.keys().filter(|entity| which.wants(entity));
        outcome.absent = absent.filter(|entity| !windows.contains_key(entity)).cloned().collect();
        // Before what is in use: of a word that comes between the two, keeping hears.
        let holds = with_store(&self.store, watch, move |store, name| store.holds(name, now_s));
        let mut holds = keeping::Held::of(watch, holds.await?);
        let mut in_use = self.in_use(watch).await?;
        let shared = Arc::new((self.clone(), watch.clone(), refused));
        let mut so_far = UnderWay::new(listener, windows.len());
        let mut windows = windows.into_iter();
        let mut running = JoinSet::new();
        loop {
            // No more than can compute: each holds its history in memory.
            while running.len() < self.workers.slots()
                && let Some((entity, rows)) = windows.next()
            {
                let span_s = history::span_s(&rows);
                outcome.seen.insert(entity.clone(), span_s);
                let without_s = masked.get(&entity).copied().unwrap_or(0);
                if let Some(ended) = too_young(span_s, without_s, watch.train.min_history_s) {
                    outcome.note(entity, ended);
                    so_far.done(None);
                    continue;
                }
                let subject = Subject {
                    rows,
                    told: told.remove(&entity).unwrap_or_default(),
                    weak: weak.remove(&entity).unwrap_or_default(),
                    in_use: in_use.remove(&entity).unwrap_or_default(),
                    held: holds.remove(&entity),
                };
                let (shared, share) = (Arc::clone(&shared), so_far.begin(&entity));
                running.spawn(async move {
                    let (trainer, watch, refused) = &*shared;
                    let ended =
                        trainer.succeed(watch, &entity, subject, refused, now_s, share).await;
                    (entity, ended)
                });
            }
            let Some(ended) = so_far.next(&mut running).await else { break };
            let ended = ended.map_err(history::lost)?;
            so_far.done(Some(&ended.0));
            match ended {
                (_, Err(TrainError::Stopped)) => return Err(TrainError::Stopped),
                (entity, Err(error)) => outcome.note(entity, Ended::Failed(error.to_string())),
                (entity, Ok(ended)) => outcome.note(entity, ended),
            }
        }
        outcome.sort();
        if let Some(seen) = seen {
            self.retire(watch, seen, now_s).await?;
        }
        self.prune(watch).await?;
        so_far.tell();
        Ok(outcome)
    }

    /// Trains one entity, and puts its models in use if they are better.
    async fn succeed(
        &self,
        watch: &Watch,
        entity: &Entity,
        subject: Subject,
        refused: &[GatherError],
        now_s: i64,
        share: Arc<Share>,
    ) -> Result<Ended, TrainError> {
        let Subject { rows, told, weak, mut in_use, mut held } = subject;
        let left = lessons::left(watch, &in_use);
        self.put_out_of_use(
            watch,
            entity,
            &mut in_use,
            left,
            "the watch has no such detector or feature",
        )
        .await?;
        let mut baseless = lessons::baseless(watch, &in_use, &told, &weak);
        baseless.retain(|key| !held.has(key));
        if !baseless.is_empty() {
            // Who learnt elsewhere knows incidents that nobody here has to remember.
            let known = self.champions(watch, in_use.clone()).await?;
            let elsewhere = |key: &ModelKey| known.get(key).is_some_and(Model::is_pretrained);
            baseless.retain(|key| !elsewhere(key));
        }
        self.put_out_of_use(watch, entity, &mut in_use, baseless, "no incident is known any more")
            .await?;
        let protected = succession::is_protected(watch, &in_use, &told, now_s);
        let members = self.champions(watch, in_use).await?;
        held.forget_unreadable(&members);
        let held = Arc::new(held);
        let champions = Champions { members, protected, held: Arc::clone(&held) };
        // A model on some of its features is better than none, not better than one on all.
        let known = |error: &&GatherError| champions.members.values().any(|m| m.reads(&error.name));
        if let Some(refused) = refused.iter().find(known) {
            return Ok(Ended::Failed(format!("history cannot be read: {refused}")));
        }
        let lessons = Lessons { rows, told, weak };
        let trained = self.train_entity(watch, entity, lessons, champions, share).await?;
        self.keep(watch, trained, held, now_s).await
    }

    async fn train_entity(
        &self,
        watch: &Watch,
        entity: &Entity,
        lessons: Lessons,
        champions: Champions,
        share: Arc<Share>,
    ) -> Result<Trained, TrainError> {
        let (watch, entity) = (watch.clone(), entity.clone());
        let fitting = self.workers.run(Priority::Training, move |turn| {
            fit_entity(&watch, &entity, &lessons, &champions, turn, &share)
        });
        fitting.await?
    }

    /// The models in use, by entity. Read once: a list of all for each entity would grow with its square.
    async fn in_use(&self, watch: &Watch) -> Result<BTreeMap<Entity, Vec<ModelRow>>, TrainError> {
        let rows =
            with_store(&self.store, watch, |store, name| store.models_in_use(Some(name))).await?;
        let mut by_entity: BTreeMap<Entity, Vec<ModelRow>> = BTreeMap::new();
        for row in rows {
            by_entity.entry(row.key.entity.clone()).or_default().push(row);
        }
        Ok(by_entity)
    }

    /// The models in use, without those of other settings: those judge something else and are no
    /// measure of the new ones.
    async fn champions(&self, watch: &Watch, rows: Vec<ModelRow>) -> Result<Members, TrainError> {
        let fingerprints = watch.fingerprints();
        with_store(&self.store, watch, move |store, _| {
            let mut members = Members::new();
            for row in rows {
                let stored = store.model(&row.key, row.version)?;
                // A champion that cannot be read cannot be beaten either: the challenger takes over.
                let read = stored.map(|stored| Model::from_stored(&stored.bytes, &stored.sha256));
                if let Some(Ok(model)) = read {
                    members.insert(row.key, model);
                }
            }
            members.retain(|key, model| {
                let expected = fingerprints.get(&(key.feature.clone(), key.detector.clone()));
                expected.is_some_and(|expected| expected == model.fingerprint())
            });
            Ok(members)
        })
        .await
    }

    /// Models of those who have left go out of use.
    async fn retire(
        &self,
        watch: &Watch,
        seen: BTreeSet<Entity>,
        now_s: i64,
    ) -> Result<(), TrainError> {
        let settings = watch.clone();
        let retire = move |store: &Store, _: &str| leaving::retire(store, &settings, &seen, now_s);
        with_store(&self.store, watch, retire).await
    }

    /// Forgets versions that nobody will put back.
    async fn prune(&self, watch: &Watch) -> Result<(), TrainError> {
        let prune = |store: &Store, name: &str| store.prune_models(name, KEEP_VERSIONS).map(drop);
        with_store(&self.store, watch, prune).await
    }
}

/// How the training of one entity ended; the words say why.
enum Ended {
    Promoted,
    /// As `Promoted` or `Rejected`, and some models stay as a person wants.
    Beside(Box<Ended>, String),
    Rejected(String),
    Waiting(String),
    Failed(String),
}

impl Outcome {
    fn note(&mut self, entity: Entity, ended: Ended) {
        match ended {
            Ended::Promoted => self.n_promoted += 1,
            Ended::Beside(ended, held) => {
                self.held.push((entity.clone(), held));
                self.note(entity, *ended);
            }
            Ended::Rejected(why) => self.rejected.push((entity, why)),
            Ended::Waiting(why) => self.waiting.push((entity, why)),
            Ended::Failed(why) => self.failed.push((entity, why)),
        }
    }

    /// Entities end in any order, and are told of in theirs.
    fn sort(&mut self) {
        for list in [&mut self.rejected, &mut self.held, &mut self.waiting, &mut self.failed] {
            list.sort();
        }
    }
}

/// Why nothing is learnt from so little history: the stretch of data that there is, and that which labels
/// call anomalies.
fn too_young(span_s: i64, without_s: i64, wanted_s: i64) -> Option<Ended> {
    if span_s >= wanted_s {
        return None;
    }
    let whole_s = span_s + without_s;
    Some(match whole_s < wanted_s {
        true => Ended::Waiting(format!("{span_s} s of history, wanted {wanted_s} s")),
        // Waiting is no help against a label with a wrong day in it.
        false => Ended::Failed(format!(
            "what labels call anomalies leaves {span_s} s of its {whole_s} s of history, \
             wanted {wanted_s} s: see `portent labels list`"
        )),
    })
}

/// What an entity is trained on, and what it has.
struct Subject {
    rows: Window,
    told: Vec<Told>,
    weak: Vec<Episode>,
    in_use: Vec<ModelRow>,
    held: Held,
}

#[cfg(test)]
mod tests;

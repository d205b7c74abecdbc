//! ★ The main flow: one pass over one watch.
//!
//! ask for the rows that are new → append them to each entity's FIFO → score the new points off the
//! async threads → hold the streaks → publish, and remember what a restart must not lose.
//!
//! Owns: the order of the stages and what is kept between passes.
//! Does not own: when a pass is due (`schedule`), how a model came to be (`train`).

mod complaints;
mod found;
mod input;
mod judge;
mod news;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::detect::RestoreError;
use crate::export::Board;
use crate::gather;
use crate::gather::Problem;
use crate::model::Model;
use crate::series::Entity;
use crate::series::Grid;
use crate::source::Source;
use crate::source::SourceError;
use crate::store::ModelKey;
use crate::store::SavedStreak;
use crate::store::Store;
use crate::store::StoreError;
use crate::watch::Watch;
use crate::window::Fifo;
use crate::workers::Priority;
use crate::workers::Workers;

use complaints::Changed;
use complaints::Complaints;
use judge::Judged;
use judge::Tracked;
use news::Fetched;
use news::News;
use news::Unusable;

pub use found::Alike;
pub use found::Findings;
pub use found::Found;
pub use found::Missing;
pub use found::Opined;
pub use found::Probable;

/// What every pass needs.
pub struct Pipeline {
    watch: Watch,
    source: Arc<dyn Source>,
    store: Store,
    board: Board,
    workers: Workers,
    /// Of each model that the settings ask for.
    fingerprints: BTreeMap<(Option<String>, String), String>,
    state: State,
}

/// What is kept between two passes.
#[derive(Default)]
struct State {
    /// One step after the newest row asked for.
    end_s: Option<i64>,
    /// Rows held per entity.
    capacity: usize,
    entities: BTreeMap<Entity, Tracked>,
    /// What is wrong with whose newest rows.
    problems: BTreeSet<(Entity, Problem)>,
    /// Queries that no retry can save.
    refused: Complaints,
    /// Whether the store was read since the start.
    store_read: bool,
    /// Versions read from the store, also those that were refused: each is read once.
    read: BTreeMap<ModelKey, i64>,
    /// The models in use.
    models: BTreeMap<Entity, Vec<Loaded>>,
    /// Streaks of the run before this one, until their entity is seen.
    restored: BTreeMap<Entity, Vec<SavedStreak>>,
}

/// A model in use.
#[derive(Clone)]
struct Loaded {
    key: ModelKey,
    version: i64,
    sha256: String,
    trained_s: i64,
    model: Arc<Model>,
}

/// Why a pass failed; what was published before is left to expire, unless it says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    /// The source did not answer.
    #[error("watch {watch:?}: {error}")]
    Source {
        /// The watch.
        watch: String,
        /// What went wrong.
        error: gather::GatherError,
    },
    /// The store cannot be read.
    #[error("watch {watch:?}: {error}")]
    Store {
        /// The watch.
        watch: String,
        /// What went wrong.
        error: StoreError,
    },
    /// The store cannot be written. Scores are published all the same.
    #[error("watch {watch:?}: scores are shown, a restart would lose their streaks: {error}")]
    Unsaved {
        /// The watch.
        watch: String,
        /// What went wrong.
        error: StoreError,
    },
    /// A defect in the arithmetic; the next pass starts from fresh rows.
    #[error("watch {watch:?}: scoring panicked")]
    Panicked {
        /// The watch.
        watch: String,
    },
}

impl PassError {
    /// The value of the `reason` label; a closed set.
    pub fn reason(&self) -> &'static str {
        match self {
            PassError::Source { error, .. } => error.error.reason(),
            PassError::Store { .. } | PassError::Unsaved { .. } => "store",
            PassError::Panicked { .. } => "panic",
        }
    }
}

/// What a pass did, for the log and the schedule of training.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    /// Entities seen.
    pub n_entities: usize,
    /// Entities that are there, and of which some samples have no model to judge them.
    pub without_model: BTreeSet<Entity>,
    /// Points scored above 1, combined.
    pub n_above: usize,
}

/// Points that a restart or an outage may have left behind and that a pass still catches up on.
const CATCH_UP_POINTS: usize = 60;

impl Pipeline {
    /// A pipeline that has not seen anything yet. Its first pass fills the FIFOs from history.
    pub fn new(
        watch: Watch,
        source: Arc<dyn Source>,
        store: Store,
        board: Board,
        workers: Workers,
    ) -> Pipeline {
        let fingerprints = watch.fingerprints();
        Pipeline { watch, source, store, board, workers, fingerprints, state: State::default() }
    }

    /// One pass: what is strange about this watch at `now_s`.
    ///
    /// # Errors
    /// Nothing could be judged, or what was judged and published could not be saved; the next pass
    /// tries that again.
    pub async fn pass(&mut self, now_s: i64) -> Result<Summary, PassError> {
        let judged = self.judge(now_s).await?;
        self.persist(&judged).await?;
        Ok(self.summary(&judged))
    }

    /// One pass, and all that it found: for who asks once.
    ///
    /// # Errors
    /// As [`Pipeline::pass`].
    pub async fn find(&mut self, now_s: i64) -> Result<Findings, PassError> {
        let judged = self.judge(now_s).await?;
        self.persist(&judged).await?;
        Ok(Findings::of(&self.watch, &self.state, judged.iter()))
    }

    /// Everything of a pass but what the store must know of it.
    async fn judge(&mut self, now_s: i64) -> Result<BTreeMap<Entity, Judged>, PassError> {
        self.notice_clock(now_s);
        if let Err(error) = self.refresh_models().await {
            // Nobody has a model yet: all would be told as lacking one, and their streaks were lost.
            if !self.state.store_read {
                return Err(error);
            }
            // What is in memory scores as well as what is in the store.
            tracing::warn!(%error, "models not read again");
        }
        self.catch_up(now_s).await?;
        let mut state = std::mem::take(&mut self.state);
        let (watch, board) = (self.watch.clone(), self.board.clone());
        let judging = self.workers.run(Priority::Scoring, move |_| {
            // Arithmetic on whole windows would starve the web server, so it leaves the async threads.
            let judged = judge::all(&watch, &mut state.entities, &state.models);
            publish(&watch, &board, &state, &judged, now_s);
            (state, judged)
        });
        let panicked = |_| PassError::Panicked { watch: self.watch.name.clone() };
        let (state, judged) = judging.await.map_err(panicked)?;
        self.state = state;
        Ok(judged)
    }

    /// A clock that was set back by more than a point: rows of a time to come would hide the new ones,
    /// and old scores would be renewed until it has caught up. What the store knows stays.
    fn notice_clock(&mut self, now_s: i64) {
        let latest_s = gather::known_s(&self.watch, now_s) + self.watch.point_s();
        if let Some(end_s) = self.state.end_s.filter(|end_s| *end_s > latest_s) {
            let (watch, back_s) = (self.watch.name.as_str(), end_s - latest_s);
            tracing::warn!(watch, back_s, "the clock was set back: reading history again");
            self.state = State::default();
            self.board.publish(watch, Vec::new(), now_s);
        }
    }

    /// Asks for what is new, oldest first. Between two steps that is nothing: then nobody knows whether
    /// the source is up, and what was wrong with the newest rows still is.
    async fn catch_up(&mut self, now_s: i64) -> Result<(), PassError> {
        let patience = self.patience();
        let due = self.due(now_s);
        // At first the models tell how many entities there are: a restart asks for all at once.
        let n_known = self.state.entities.len().max(self.state.models.len());
        let mut slices = gather::Slices::new(&self.watch, due, n_known);
        while !slices.is_done() {
            let grid = slices.take();
            let asking = gather::rows(&self.source, &self.watch, grid);
            let rows = tokio::time::timeout(patience, asking).await;
            let rows = self.tell(rows.unwrap_or_else(|_| Err(self.too_late(patience))))?;
            slices.found(rows.windows.len());
            self.remember(&rows, grid);
            self.state.problems = rows.problems;
        }
        self.part(now_s);
        Ok(())
    }

    /// The rows that are new; at first, after an outage, and for a larger window, the rows that a
    /// score needs.
    fn due(&mut self, now_s: i64) -> Grid {
        let step_s = self.watch.step_s;
        let end_s = gather::known_s(&self.watch, now_s);
        let per_point = self.watch.rows_per_point();
        let models = self.state.models.values().flatten().map(|loaded| loaded.model.n_raw_rows());
        let capacity = models.max().unwrap_or(0) + (CATCH_UP_POINTS + 2) * per_point;
        if capacity > self.state.capacity {
            self.state.capacity = capacity;
            // The rows before those that are held are needed too: everything is asked for again.
            self.state.end_s = None;
            let grown = |tracked: &mut Tracked| tracked.fifo.grow(capacity);
            self.state.entities.values_mut().for_each(grown);
        }
        let oldest_s = end_s - self.state.capacity as i64 * step_s;
        let start_s = self.state.end_s.map_or(oldest_s, |known_s| known_s.max(oldest_s));
        Grid::covering(start_s.min(end_s), end_s, step_s)
    }

    /// A pass that outlasts its period helps nobody; the first one fills the FIFOs and may take longer.
    fn patience(&self) -> Duration {
        let period_s =
            self.watch.score_every_s.max(if self.state.end_s.is_some() { 5 } else { 60 });
        Duration::from_secs(period_s.unsigned_abs())
    }

    fn too_late(&self, patience: Duration) -> gather::GatherError {
        let (source, after_s) = (self.source.describe(), patience.as_secs());
        let error =
            SourceError::Timeout(format!("{source}: no answer to a pass within {after_s} s"));
        // None of its queries came to an end that could have been counted.
        self.board.own().query_failed(error.reason());
        gather::GatherError { name: "pass".into(), error }
    }

    fn tell(
        &mut self,
        rows: Result<gather::Rows, gather::GatherError>,
    ) -> Result<gather::Rows, PassError> {
        let own = self.board.own();
        let answers = |error: &gather::GatherError| {
            matches!(error.error, SourceError::BadQuery(_) | SourceError::NativeHistogram(_))
        };
        own.source_up(rows.as_ref().map_or_else(answers, |_| true));
        match rows {
            Ok(rows) => {
                self.complain(&rows.failed);
                Ok(rows)
            }
            Err(error) => Err(PassError::Source { watch: self.watch.name.clone(), error }),
        }
    }

    /// Once per change: a query that is refused is refused in each pass; the counters tell how often.
    fn complain(&mut self, failed: &[(String, SourceError)]) {
        let failing = failed.iter().map(|(query, error)| (query.clone(), error.reason()));
        let Changed { begun, over } = self.state.refused.now(failing.collect());
        let watch = self.watch.name.as_str();
        for (query, error) in failed.iter().filter(|(query, _)| begun.contains(query)) {
            tracing::warn!(watch, query, %error, "query failed");
        }
        for query in over {
            tracing::info!(watch, query, "query succeeds again");
        }
    }

    /// Appends the new rows to the FIFOs; an entity without any gets gaps.
    fn remember(&mut self, rows: &gather::Rows, grid: Grid) {
        let State { capacity, entities, restored, .. } = &mut self.state;
        for (entity, window) in &rows.windows {
            let tracked = entities.entry(entity.clone()).or_insert_with(|| {
                let n_features = self.watch.features.len();
                let fifo = Fifo::new(*capacity, n_features, grid.start_s, grid.step_s);
                Tracked::new(fifo, restored.remove(entity).unwrap_or_default())
            });
            tracked.append(window);
        }
        entities.values_mut().for_each(|tracked| tracked.fifo.advance(grid.end_s()));
        self.state.end_s = Some(grid.end_s());
    }

    /// Parts with entities that left; only once all is read, since in the oldest slice everybody was
    /// seen long ago.
    fn part(&mut self, now_s: i64) {
        let entities = &mut self.state.entities;
        let (silent_s, forget_s) = (judge::silent_s(&self.watch), judge::forget_s(&self.watch));
        entities.retain(|_, tracked| tracked.unseen_s(now_s) <= forget_s);
        let anyone = entities.values().any(|tracked| tracked.unseen_s(now_s) <= silent_s);
        for tracked in entities.values_mut() {
            // Where others go on, one that was replaced is no news any more; where all are gone, it is.
            tracked.silent = anyone && tracked.unseen_s(now_s) > silent_s;
        }
    }

    /// Loads what training promoted since the last pass.
    async fn refresh_models(&mut self) -> Result<(), PassError> {
        let (store, name) = (self.store.clone(), self.watch.name.clone());
        let known = self.state.read.clone();
        let first = !self.state.store_read;
        let news = tokio::task::spawn_blocking(move || News::read(&store, &name, &known, first));
        let watch = self.watch.name.clone();
        let news = news.await.map_err(|_| PassError::Panicked { watch: watch.clone() })?;
        let news = news.map_err(|error| PassError::Store { watch, error })?;
        for row in news.streaks {
            self.state.restored.entry(row.entity.clone()).or_default().push(row);
        }
        self.state.store_read = true;
        self.state.read.retain(|key, _| news.keys.contains(key));
        for models in self.state.models.values_mut() {
            models.retain(|loaded| news.keys.contains(&loaded.key));
        }
        self.state.models.retain(|_, models| !models.is_empty());
        let strange: Vec<RestoreError> =
            news.models.into_iter().filter_map(|fetched| self.take_model(fetched)).collect();
        // Once for all of them, as after an upgrade.
        if let Some(error) = strange.first() {
            let (watch, models) = (&self.watch.name, strange.len());
            let what = "made by another version of Portent, not used: trained anew";
            tracing::warn!(watch, models, %error, "{what}");
        }
        Ok(())
    }

    /// Takes a model into use where it may be; why not, where another version of this program made it.
    fn take_model(&mut self, fetched: Fetched) -> Option<RestoreError> {
        let Fetched { key, version, word, loaded } = fetched;
        self.state.read.insert(key.clone(), version);
        let (watch, entity) = (&self.watch.name, &key.entity);
        let loaded = match loaded {
            Ok(loaded) => loaded,
            Err(Unusable::OfAnotherVersion(error)) => return Some(error),
            Err(Unusable::Damaged(error)) => {
                tracing::error!(watch, %entity, version, %error, "stored model refused");
                return None;
            }
        };
        let member = (key.feature.clone(), key.detector.clone());
        if self.fingerprints.get(&member).map(String::as_str) != Some(loaded.model.fingerprint()) {
            tracing::debug!(watch, %entity, version, "a model of other settings, not used");
            if let Some(word) = word {
                tracing::warn!(model = %key, version, word, "made with other settings, not used");
            }
            return None;
        }
        if let Some(word) = word {
            tracing::info!(model = %key, version, word, "taken up");
        }
        let models = self.state.models.entry(key.entity.clone()).or_default();
        models.retain(|loaded| loaded.key != key);
        models.push(loaded);
        models.sort_by(|a, b| a.key.cmp(&b.key));
        None
    }

    /// Streaks and anomalies outlive a `kill -9`.
    async fn persist(&mut self, judged: &BTreeMap<Entity, Judged>) -> Result<(), PassError> {
        let unsaved = judge::unsaved_streaks(&self.state.entities);
        let anomalies = judge::anomalies(&self.watch, judged);
        if unsaved.is_empty() && anomalies.is_empty() {
            return Ok(());
        }
        let (store, watch) = (self.store.clone(), self.watch.name.clone());
        let name = watch.clone();
        let saving = tokio::task::spawn_blocking(move || {
            store.save_streaks(&name, &unsaved)?;
            store.record_anomalies(&name, &anomalies)?;
            Ok(unsaved)
        });
        let saved = saving.await.map_err(|_| PassError::Panicked { watch: watch.clone() })?;
        let saved = saved.map_err(|error| PassError::Unsaved { watch, error })?;
        judge::note_saved(&mut self.state.entities, saved);
        Ok(())
    }

    fn summary(&self, judged: &BTreeMap<Entity, Judged>) -> Summary {
        Summary {
            n_entities: self.state.entities.len(),
            without_model: judged
                .iter()
                .filter(|(_, judged)| judged.lacks_model)
                .map(|(entity, _)| entity.clone())
                .collect(),
            n_above: judged.values().map(Judged::n_above).sum(),
        }
    }
}

/// Shows what was found, until the pass after the next is late.
fn publish(
    watch: &Watch,
    board: &Board,
    state: &State,
    judged: &BTreeMap<Entity, Judged>,
    now_s: i64,
) {
    let nobody = Entity::default();
    let verdicts = judged.iter().flat_map(|(entity, j)| judge::samples(watch, entity, j));
    let given = state.problems.iter().map(|(entity, problem)| (entity, None, *problem));
    let found = judged.iter().flat_map(|(entity, j)| j.problems(entity));
    // A watch whose queries find nothing has nobody of whom it could be said.
    let nothing = state.entities.is_empty().then_some((&nobody, None, Problem::Absent));
    let refused = || state.refused.names();
    // What is missing for that reason, entity by entity, is that reason's doing.
    let own = |feature: &Option<&str>| !feature.is_some_and(|f| refused().any(|name| name == f));
    let found = found.filter(|(_, feature, _)| own(feature));
    let refused = refused().map(|name| (&nobody, Some(name), Problem::QueryRefused));
    let problems: BTreeSet<_> = given.chain(found).chain(nothing).chain(refused).collect();
    let problems = problems.into_iter().map(judge::problem_sample);
    // One late pass is forgiven; a second one means that nobody knows.
    let fresh_until_s = now_s + watch.score_every_s * 3 / 2 + 2;
    board.publish(&watch.name, verdicts.chain(problems).collect(), fresh_until_s);
    let known = state.models.iter().filter(|(entity, _)| state.entities.contains_key(*entity));
    let facts: Vec<_> = known.flat_map(|(_, models)| models).map(judge::fact).collect();
    board.publish_models(&watch.name, &facts);
}

//! What a configuration will cost on this source, before it runs.
//!
//! Owns: which part is measured, and how the rest is reckoned from it. Trained are a few entities of each watch,
//! into a store that ends with the command; read and judged are all.
//! Does not own: the table (`table`), training (`train`) or a pass (`pipeline`).

mod table;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use serde::Serialize;

use super::Error;
use super::Inputs;
use super::cores;
use super::counted::counted;
use super::finding;
use super::now_s;
use super::say;
use crate::detect;
use crate::export::Board;
use crate::gather;
use crate::pipeline::Findings;
use crate::pipeline::Pipeline;
use crate::schedule;
use crate::series::Entity;
use crate::series::Grid;
use crate::series::Window;
use crate::source::Source;
use crate::store::ModelRow;
use crate::store::Store;
use crate::store::StoreError;
use crate::train::Outcome;
use crate::train::Progress;
use crate::train::Trainer;
use crate::train::Which;
use crate::verdict::Interval;
use crate::verdict::Label;
use crate::verdict::Verdict;
use crate::watch::Watch;
use crate::workers::Workers;

/// Entities of a watch that are trained: what a model costs differs little from entity to entity.
const MEASURED: usize = 3;

/// Points back to which an entity is looked for.
const LOOK_BACK_POINTS: i64 = 10;

/// Points of the incident that is supposed, where detectors learn from incidents.
const SUPPOSED_POINTS: i64 = 20;

/// What one watch costs.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
struct WatchPlan {
    watch: String,
    /// With a sample of late.
    entities: usize,
    /// Features of entities with a sample of late.
    series: usize,
    /// Entities whose training was measured; the numbers from here on are reckoned from theirs.
    measured: usize,
    /// Models in use once all are trained; `None` where no training came to its end.
    models: Option<usize>,
    /// Reading all of history, measured.
    read_seconds: f64,
    /// One training of all, with what was read.
    training_seconds: Option<f64>,
    /// Between two trainings, in seconds.
    training_every_seconds: i64,
    /// One pass over all, measured; entities without a model are only read.
    pass_seconds: f64,
    /// Between two passes, in seconds.
    pass_every_seconds: i64,
    /// Of all models, in the store and in memory.
    model_bytes: Option<u64>,
    /// Of all history, while a training of all runs.
    history_bytes: u64,
    /// Series of results, models included.
    exported_series: Option<usize>,
    /// Detectors that have no model before an incident is known: measured as if one were.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    with_incidents: Vec<String>,
    /// Such detectors that had too little history all the same, or could not be trained.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_reckoned: Vec<String>,
    /// Why entities that were to be measured were not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<String>,
}

/// What all of them cost together.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
struct Plan {
    watches: Vec<WatchPlan>,
    /// Trainings that run side by side.
    threads: usize,
    /// Series about Portent itself.
    own_series: usize,
    /// The most memory of this process, which held what was measured.
    measured_bytes: Option<u64>,
    /// With the models and the history of those who were not measured.
    peak_bytes: Option<u64>,
}

/// Measures and reckons what the configuration costs on its source, and prints it.
///
/// # Errors
/// The configuration or the source cannot be used.
pub async fn plan(inputs: Inputs, as_json: bool) -> Result<(), Error> {
    let config = inputs.load()?;
    let board = Board::new();
    let source = counted(inputs.source(&config)?, &board);
    let mut terminations = schedule::Terminations::new()?;
    let workers = Workers::new(cores());
    let store = Store::in_memory()?;
    let trainer = Trainer { source, store, board, workers };
    let candidates = inputs.candidates(&config)?;
    let planning = async {
        let watches = finding::at_once(&trainer.source, candidates).await?;
        if watches.is_empty() {
            let source = trainer.source.describe();
            return Err(format!("{source}: nothing there that a preset watches").into());
        }
        of_all(&trainer, watches).await
    };
    let plan = tokio::select! {
        plan = planning => plan?,
        signal = terminations.next() => {
            trainer.workers.stop();
            return Err(signal.into());
        }
    };
    say(&match as_json {
        true => format!("{}\n", serde_json::to_string_pretty(&plan)?),
        false => table::table(&plan),
    })
}

async fn of_all(trainer: &Trainer, watches: Vec<Watch>) -> Result<Plan, Error> {
    let mut plan = Plan { threads: trainer.workers.slots(), ..Plan::default() };
    // Held to the end: a sidecar has all of them at once.
    let mut pipelines = Vec::new();
    for watch in watches {
        tracing::info!(watch = watch.name, "measuring");
        let (of_watch, pipeline) = of_one(trainer, &watch).await?;
        plan.watches.push(of_watch);
        pipelines.push(pipeline);
    }
    plan.own_series = trainer.board.n_own_series();
    plan.measured_bytes = most_memory();
    plan.peak_bytes = plan.measured_bytes.map(|bytes| bytes + plan.not_measured_bytes());
    drop(pipelines);
    Ok(plan)
}

impl Plan {
    /// Of models and history of those who were not measured. All watches may well train at once.
    fn not_measured_bytes(&self) -> u64 {
        let of = |watch: &WatchPlan| {
            let others = watch.entities.saturating_sub(watch.measured) as u64;
            let bytes = watch.history_bytes + watch.model_bytes.unwrap_or(0);
            bytes / watch.entities.max(1) as u64 * others
        };
        self.watches.iter().map(of).sum()
    }
}

async fn of_one(trainer: &Trainer, watch: &Watch) -> Result<(WatchPlan, Pipeline), Error> {
    let found = entities(&trainer.source, watch).await?;
    let sample = sample(&found);
    suppose(&trainer.store, watch, &sample).await?;
    let (outcome, read, fitted) = train(trainer, watch, &sample).await?;
    let models = in_use(&trainer.store, watch).await?;
    let Trainer { source, store, board, workers } = trainer.clone();
    let mut pipeline = Pipeline::new(watch.clone(), source, store, board, workers);
    let started = Instant::now();
    let findings = pipeline.find(now_s()).await?;
    let pass_seconds = started.elapsed().as_secs_f64();
    let (with_incidents, not_reckoned) = supervised(watch, &models);
    let plan = WatchPlan {
        watch: watch.name.clone(),
        with_incidents,
        not_reckoned,
        entities: found.len(),
        series: found.values().sum(),
        read_seconds: read.as_secs_f64(),
        training_every_seconds: watch.train.every_s,
        pass_seconds,
        pass_every_seconds: watch.score_every_s,
        history_bytes: history_bytes(watch, found.len()),
        problems: problems(&outcome),
        ..WatchPlan::default()
    };
    Ok((reckoned(plan, &models, &findings, fitted, trainer.workers.slots()), pipeline))
}

/// From those who have models to all.
fn reckoned(
    plan: WatchPlan,
    models: &[(ModelRow, usize)],
    findings: &Findings,
    fitted: Duration,
    slots: usize,
) -> WatchPlan {
    let trained: BTreeSet<&Entity> = models.iter().map(|(row, _)| &row.key.entity).collect();
    let measured = trained.len();
    if measured == 0 {
        return plan;
    }
    let scale = plan.entities.max(measured) as f64 / measured as f64;
    let times = |n: usize| (n as f64 * scale).round() as usize;
    // A few at once on several threads take as long as one; many take their turns.
    let rounds = |n: usize| n.div_ceil(slots.max(1)) as f64;
    let fit_seconds = fitted.as_secs_f64() * rounds(plan.entities.max(measured)) / rounds(measured);
    let n_bytes: usize = models.iter().map(|(_, n_bytes)| n_bytes).sum();
    let n_series: usize = trained.iter().filter_map(|entity| findings.n_series.get(entity)).sum();
    WatchPlan {
        measured,
        models: Some(times(models.len())),
        training_seconds: Some(plan.read_seconds + fit_seconds),
        model_bytes: Some(times(n_bytes) as u64),
        // Three tell of each model.
        exported_series: Some(times(n_series + 3 * models.len())),
        ..plan
    }
}

/// Who has samples of late, and of how many features.
async fn entities(
    source: &Arc<dyn Source>,
    watch: &Watch,
) -> Result<BTreeMap<Entity, usize>, Error> {
    let end_s = gather::known_s(watch, now_s());
    let grid = Grid::covering(end_s - LOOK_BACK_POINTS * watch.point_s(), end_s, watch.step_s);
    let rows = gather::rows(source, watch, grid).await?;
    let n_features = |window: &Window| {
        let has = |feature: usize| window.column(feature).iter().any(|value| !value.is_nan());
        (0..window.n_features).filter(|&feature| has(feature)).count()
    };
    Ok(rows.windows.iter().map(|(entity, window)| (entity.clone(), n_features(window))).collect())
}

/// A few, from all parts of the list: neighbours in it are alike.
fn sample(found: &BTreeMap<Entity, usize>) -> BTreeSet<Entity> {
    let n = found.len().min(MEASURED);
    let at = |i: usize| i * found.len().saturating_sub(1) / n.saturating_sub(1).max(1);
    (0..n).filter_map(|i| found.keys().nth(at(i))).cloned().collect()
}

/// Where a watch has detectors that learn from incidents, a label for each of the sample: without one they cost
/// nothing, and from the first one on, in each training. The store ends with the command.
async fn suppose(store: &Store, watch: &Watch, sample: &BTreeSet<Entity>) -> Result<(), Error> {
    if !watch.detectors.iter().any(detect::Config::supervised) {
        return Ok(());
    }
    let (point_s, now_s) = (watch.point_s(), now_s());
    let end_s = gather::known_s(watch, now_s) - LOOK_BACK_POINTS * point_s;
    let label = |entity: &Entity| Label {
        watch: watch.name.clone(),
        entity: entity.clone(),
        interval: Interval { from_s: end_s - SUPPOSED_POINTS * point_s, to_s: end_s },
        verdict: Verdict::Anomaly,
        class: None,
        author: None,
        note: None,
        source: "plan".into(),
        created_s: now_s,
    };
    let (store, labels) = (store.clone(), sample.iter().map(label).collect::<Vec<_>>());
    let add = move || labels.iter().try_for_each(|label| store.add_label(label, None).map(drop));
    Ok(tokio::task::spawn_blocking(add).await??)
}

/// The detectors that learn from incidents: those that have models now, and those that have not.
fn supervised(watch: &Watch, models: &[(ModelRow, usize)]) -> (Vec<String>, Vec<String>) {
    let all = watch.detectors.iter().filter(|detector| detector.supervised());
    let has = |name: &String| models.iter().any(|(row, _)| row.key.detector == *name);
    all.map(|detector| detector.name().to_string()).partition(has)
}

/// Trains a sample; how long reading all of history took, and how long the models.
async fn train(
    trainer: &Trainer,
    watch: &Watch,
    sample: &BTreeSet<Entity>,
) -> Result<(Outcome, Duration, Duration), Error> {
    let (started, mut fitted) = (Instant::now(), Duration::ZERO);
    let mut listener = |progress: Progress| fitted = fitted.max(progress.elapsed);
    let which = Which::Only(sample.clone());
    let outcome = trainer.train_before(&mut listener, watch, &which, now_s()).await?;
    Ok((outcome, started.elapsed().saturating_sub(fitted), fitted))
}

/// The models that came of it, each with its bytes.
async fn in_use(store: &Store, watch: &Watch) -> Result<Vec<(ModelRow, usize)>, Error> {
    let (store, name) = (store.clone(), watch.name.clone());
    let read = move || {
        let rows = store.models_in_use(Some(&name))?;
        let with_bytes = |row: ModelRow| {
            let stored = store.model(&row.key, row.version)?;
            Ok((row, stored.map_or(0, |stored| stored.bytes.len())))
        };
        rows.into_iter().map(with_bytes).collect::<Result<Vec<_>, StoreError>>()
    };
    Ok(tokio::task::spawn_blocking(read).await??)
}

/// What a training of so many entities holds: their rows, in buckets where the watch has them early.
fn history_bytes(watch: &Watch, n_entities: usize) -> u64 {
    let row_s = watch.early_bucket_s().unwrap_or(watch.step_s).max(1);
    let n_rows = (watch.train.history_s / row_s).max(0) as u64;
    n_rows * (watch.features.len() * size_of::<f64>() * n_entities) as u64
}

fn problems(outcome: &Outcome) -> Vec<String> {
    let all = [&outcome.waiting, &outcome.failed, &outcome.rejected];
    let said = |(entity, why): &(Entity, String)| format!("{entity}: {why}");
    all.into_iter().flatten().map(said).collect()
}

/// The most memory that this process ever had, in bytes; `None` where the system does not tell.
fn most_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_from_all_parts() {
        let found = |n: usize| -> BTreeMap<Entity, usize> {
            (0..n).map(|i| (Entity::new([("port", format!("{i:02}"))]), 1)).collect()
        };
        let names = |n: usize| -> Vec<String> {
            sample(&found(n)).iter().map(ToString::to_string).collect()
        };
        assert_eq!(names(0), Vec::<String>::new());
        assert_eq!(names(1), ["port=00"]);
        assert_eq!(names(2), ["port=00", "port=01"]);
        assert_eq!(names(50), ["port=00", "port=24", "port=49"]);
    }

    #[test]
    fn memory_is_told_in_bytes() {
        let bytes = most_memory().unwrap();
        assert!((1 << 20..1 << 40).contains(&bytes), "{bytes}");
    }
}

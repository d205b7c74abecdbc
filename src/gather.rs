//! A watch's rows, asked for and cleaned: queries in, one window per entity out.
//!
//! Owns: which series belongs to which entity, what is masked as a measuring error, what was missing; what rules
//! of Prometheus say of these rows.
//! Does not own: how a query is sent (`source`), what happens to the rows (`pipeline`, `train`).

mod history;
mod labelled;
mod reachable;
mod slices;
mod weak;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::task::JoinSet;

use crate::series::Entity;
use crate::series::Grid;
use crate::series::Window;
use crate::source::Answer;
use crate::source::Source;
use crate::source::SourceError;
use crate::verdict::Interval;
use crate::watch::Watch;

pub use history::History;
pub use history::history;
pub use labelled::Labelled;
pub use labelled::label_context;
pub use labelled::label_rows;
pub use reachable::lint;
pub use slices::Slices;
pub use weak::Weak;
pub use weak::weak_labels;

/// Why an entity's rows cannot be trusted, or cannot be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Problem {
    /// The scrape target does not answer.
    TargetDown,
    /// Samples are there, but not all that the newest point's score is made of; or scrapes are missing from
    /// the window that rates are of.
    Gap,
    /// A counter started again; the rows around it are masked.
    CounterReset,
    /// A value was above what the line can carry; it is masked.
    AboveLineRate,
    /// The entity (or its feature) was there before, and has no sample in the newest point.
    Absent,
    /// The backend said that its answer lacks data.
    Partial,
    /// Two series claim to be the same feature of the same entity.
    Duplicate,
    /// The source refuses the query; no retry can save it.
    QueryRefused,
    /// There is no model yet.
    NoModel,
    /// The model has not seen enough to know its threshold.
    Uncalibrated,
}

impl Problem {
    /// The value of the `reason` label; a closed set.
    pub fn reason(self) -> &'static str {
        match self {
            Problem::TargetDown => "target_down",
            Problem::Gap => "gap",
            Problem::CounterReset => "counter_reset",
            Problem::AboveLineRate => "above_line_rate",
            Problem::Absent => "absent",
            Problem::Partial => "partial",
            Problem::Duplicate => "duplicate",
            Problem::QueryRefused => "query_refused",
            Problem::NoModel => "no_model",
            Problem::Uncalibrated => "uncalibrated",
        }
    }
}

/// What a watch's queries gave.
#[derive(Debug, Default)]
pub struct Rows {
    /// Each entity's features on the grid; masked cells are gaps.
    pub windows: BTreeMap<Entity, Window>,
    /// What is wrong with whose newest rows: those of a point, or of a pass where that is longer.
    pub problems: BTreeSet<(Entity, Problem)>,
    /// Queries that no retry can save, with why; their features are gaps.
    pub failed: Vec<(String, SourceError)>,
    /// Whether the backend said of any answer that it lacks data; also series may be missing then.
    pub partial: bool,
}

/// A query that may work when asked again.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {error}")]
pub struct GatherError {
    /// The feature or check.
    pub name: String,
    /// What went wrong.
    pub error: SourceError,
}

impl GatherError {
    /// Whether the source took too long, and may manage a smaller question.
    pub fn timed_out(&self) -> bool {
        matches!(self.error, SourceError::Timeout(_))
    }
}

/// One step after the newest row that the source knows at `now_s`.
pub fn known_s(watch: &Watch, now_s: i64) -> i64 {
    (now_s - watch.lag_s).div_euclid(watch.step_s) * watch.step_s + watch.step_s
}

/// The interval, widened to whole points: nobody labels to the bucket.
pub fn whole_points(watch: &Watch, interval: Interval) -> Interval {
    let point_s = watch.point_s();
    let from_s = interval.from_s.div_euclid(point_s) * point_s;
    let to_s = (interval.to_s + point_s - 1).div_euclid(point_s) * point_s;
    Interval { from_s, to_s }
}

/// What an answer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Feature(usize),
    Up,
    Limit,
    Restarted,
    MissedScrapes,
}

/// Asks for a watch's rows on `grid`.
///
/// # Errors
/// A query failed that may work later: half of an answer is not scored as whole. Or none is understood.
pub async fn rows(
    source: &Arc<dyn Source>,
    watch: &Watch,
    grid: Grid,
) -> Result<Rows, GatherError> {
    let mut asked = JoinSet::new();
    let mut n_queries = 0;
    for (role, name, query) in queries(watch) {
        let (source, query) = (Arc::clone(source), query.to_string());
        let name = name.to_string();
        n_queries += 1;
        asked.spawn(async move { (role, name, source.range(&query, grid).await) });
    }
    let mut rows = Rows::default();
    let mut answers = Vec::new();
    while let Some(answered) = asked.join_next().await {
        // A task that panicked is a defect of a source; its feature is a gap, the rest goes on.
        let Ok((role, name, answer)) = answered else { continue };
        match answer {
            Ok(answer) => answers.push((role, answer)),
            // Only what is wrong with one query costs one feature; a login page is no empty answer.
            Err(error) if error.is_final() => rows.failed.push((name, error)),
            Err(error) => return Err(GatherError { name, error }),
        }
    }
    // When no query is understood, silence would look like a watch without entities.
    if rows.failed.len() == n_queries
        && let Some((name, error)) = rows.failed.pop()
    {
        return Err(GatherError { name, error });
    }
    for (role, answer) in &answers {
        if let Role::Feature(feature) = role {
            place(&mut rows, watch, grid, *feature, answer);
        }
    }
    for (role, answer) in &answers {
        clean(&mut rows, watch, grid, *role, answer);
    }
    Ok(rows)
}

fn queries(watch: &Watch) -> Vec<(Role, &str, &str)> {
    let features = watch.features.iter().enumerate();
    let features = features.map(|(i, f)| (Role::Feature(i), f.name.as_str(), f.query.as_str()));
    let checks = [
        (Role::Up, "checks.up", &watch.checks.up),
        (Role::Limit, "checks.limit", &watch.checks.limit),
        (Role::Restarted, "checks.restarted", &watch.checks.restarted),
        (Role::MissedScrapes, "checks.missed_scrapes", &watch.checks.missed_scrapes),
    ];
    let checks = checks.into_iter().filter_map(|(r, n, q)| q.as_deref().map(|q| (r, n, q)));
    features.chain(checks).collect()
}

/// The entity that a series belongs to: its values of the watch's entity labels.
fn entity_of(watch: &Watch, labels: &Entity) -> Entity {
    let pair = |name: &String| labels.get(name).map(|value| (name.clone(), value.to_string()));
    Entity::new(watch.entity.iter().filter_map(pair))
}

fn place(rows: &mut Rows, watch: &Watch, grid: Grid, feature: usize, answer: &Answer) {
    let mut seen = BTreeSet::new();
    rows.partial |= answer.partial.is_some();
    for series in &answer.series {
        let entity = entity_of(watch, &series.labels);
        if !seen.insert(entity.clone()) {
            rows.problems.insert((entity, Problem::Duplicate));
            continue;
        }
        if answer.partial.is_some() {
            rows.problems.insert((entity.clone(), Problem::Partial));
        }
        let n_features = watch.features.len();
        let window = rows.windows.entry(entity).or_insert_with(|| Window::gaps(grid, n_features));
        for &(time_s, value) in &series.samples {
            if let Some(row) = grid.index(time_s) {
                // Partial data is not scored as whole: a sum over half of the replicas is a wrong sum.
                let value = if answer.partial.is_some() { f64::NAN } else { value };
                window.row_mut(row)[feature] = value;
            }
        }
    }
}

fn clean(rows: &mut Rows, watch: &Watch, grid: Grid, role: Role, answer: &Answer) {
    let judged = answer.series.iter().map(|series| entity_of(watch, &series.labels));
    let judged: Vec<Entity> = judged.collect();
    let by: BTreeSet<&str> = judged.iter().flat_map(Entity::pairs).map(|(name, _)| name).collect();
    for (judged, series) in judged.iter().zip(&answer.series) {
        let n_labels = judged.pairs().count();
        // Where other series of the answer have a label more, this one's is empty: a port without a
        // name is not its device. Nor is it where features know a port without a name.
        let one = n_labels == watch.entity.len()
            || n_labels < by.len()
            || rows.windows.contains_key(judged);
        if one && role == Role::Up && is_down(grid, &series.samples) {
            // Also where no sample of it is left: that is when somebody wants to know.
            rows.problems.insert((judged.clone(), Problem::TargetDown));
        }
        for (entity, window) in concerned(&mut rows.windows, judged, one) {
            let found = clean_one(window, watch, role, &series.samples);
            rows.problems.extend(found.into_iter().map(|problem| (entity.clone(), problem)));
        }
    }
}

/// The entities that a check's series speaks of: exactly this one, or each port of a whole device.
fn concerned<'a>(
    windows: &'a mut BTreeMap<Entity, Window>,
    judged: &Entity,
    one: bool,
) -> Vec<(&'a Entity, &'a mut Window)> {
    // A thousand ports with a series each are looked up, not searched a million times.
    if one {
        return windows.range_mut(judged..=judged).collect();
    }
    let holds = |entity: &Entity| judged.pairs().all(|(k, v)| entity.get(k) == Some(v));
    windows.iter_mut().filter(|(entity, _)| holds(entity)).collect()
}

/// Whether the newest row says that the target does not answer.
fn is_down(grid: Grid, up: &[(i64, f64)]) -> bool {
    up.iter().any(|&(time_s, value)| value < 1.0 && grid.index(time_s) == grid.len.checked_sub(1))
}

fn clean_one(
    window: &mut Window,
    watch: &Watch,
    role: Role,
    samples: &[(i64, f64)],
) -> Vec<Problem> {
    let grid = window.grid;
    // All of history is cleaned at once after a restart; a reset of yesterday is no news.
    let news_s = grid.end_s() - watch.point_s().max(watch.score_every_s);
    let mut found = Vec::new();
    for &(time_s, value) in samples {
        let Some(row) = grid.index(time_s) else { continue };
        let newest = row + 1 == grid.len;
        let problem = match role {
            Role::Up if newest && value < 1.0 => Some(Problem::TargetDown),
            Role::Limit => mask(window.row_mut(row), |v| v > value, Problem::AboveLineRate),
            Role::Restarted if value > 0.0 => {
                mask(window.row_mut(row), |v| !v.is_nan(), Problem::CounterReset)
            }
            Role::MissedScrapes if value > 0.0 => {
                mask(window.row_mut(row), |v| !v.is_nan(), Problem::Gap)
            }
            _ => None,
        };
        found.extend(problem.filter(|_| time_s >= news_s));
    }
    found
}

fn mask(row: &mut [f64], wrong: impl Fn(f64) -> bool, problem: Problem) -> Option<Problem> {
    let mut found = None;
    for value in row.iter_mut().filter(|value| wrong(**value)) {
        *value = f64::NAN;
        found = Some(problem);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preprocess;
    use crate::source::AnswerSeries;
    use crate::watch::Checks;
    use crate::watch::Feature;
    use crate::watch::Training;

    pub(super) fn ports() -> Watch {
        let scale = preprocess::FeatureConfig::default();
        let feature = |name: &str| Feature { name: name.into(), query: name.into(), scale };
        Watch {
            name: "ports".into(),
            entity: vec!["instance".into(), "ifName".into()],
            features: vec![feature("in"), feature("out")],
            checks: Checks::default(),
            step_s: 300,
            lag_s: 0,
            bucket_s: Some(1_800),
            despike: None,
            steps: Vec::new(),
            calendar: Default::default(),
            detectors: Vec::new(),
            weak_labels: Vec::new(),
            consecutive: 4,
            pages_per_week: 1.0,
            train: Training { every_s: 86_400, history_s: 86_400, min_history_s: 3_600 },
            score_every_s: 300,
        }
    }

    /// Which of the ports named a check masks that says 0 of all that is named in `labels`.
    fn masked<const N: usize>(names: [&str; N], labels: &[&str]) -> [bool; N] {
        let grid = Grid { start_s: 0, step_s: 300, len: 2 };
        let port = |text: &str| text.parse::<Entity>().unwrap();
        let mut rows = Rows::default();
        for name in names {
            let window = Window { values: vec![1.0; 4], ..Window::gaps(grid, 2) };
            rows.windows.insert(port(name), window);
        }
        let series = |l: &&str| AnswerSeries { labels: port(l), samples: vec![(300, 0.0)] };
        let answer = Answer { series: labels.iter().map(series).collect(), ..Answer::default() };
        clean(&mut rows, &ports(), grid, Role::Limit, &answer);
        let masked = names.map(|name| rows.windows[&port(name)].row(1)[0].is_nan());
        assert_eq!(rows.problems.len(), masked.iter().filter(|masked| **masked).count());
        assert!(rows.windows.values().all(|window| window.row(0) == [1.0, 1.0]));
        masked
    }

    #[test]
    fn a_check_speaks_of_a_port_or_of_a_whole_device() {
        let ports = ["instance=a,ifName=1", "instance=a,ifName=2", "instance=b,ifName=1"];
        assert_eq!(masked(ports, &["instance=a,ifName=2"]), [false, true, false]);
        assert_eq!(masked(ports, &["instance=a,job=snmp"]), [true, true, false]);
        assert_eq!(masked(ports, &["instance=c,ifName=1"]), [false, false, false]);
    }

    #[test]
    fn a_check_of_a_port_without_a_name_is_not_one_of_its_device() {
        let named = ["instance=a,ifName=1", "instance=a,ifName=2"];
        let all = [named[0], named[1], "instance=a"];
        assert_eq!(masked(all, &["instance=a"]), [false, false, true], "features know it");
        assert_eq!(masked(named, &["instance=a", "instance=b,ifName=1"]), [false, false]);
        assert_eq!(masked(all, &["instance=a", named[1]]), [false, true, true]);
    }

    #[test]
    fn all_of_history_is_cleaned_and_only_the_newest_point_is_told_of() {
        let grid = Grid { start_s: 0, step_s: 300, len: 12 };
        let told = |time_s: i64| {
            let entity: Entity = "instance=a,ifName=1".parse().unwrap();
            let window = Window { values: vec![1.0; 24], ..Window::gaps(grid, 2) };
            let mut rows = Rows { windows: [(entity.clone(), window)].into(), ..Rows::default() };
            let series = AnswerSeries { labels: entity.clone(), samples: vec![(time_s, 1.0)] };
            let answer = Answer { series: vec![series], ..Answer::default() };
            clean(&mut rows, &ports(), grid, Role::Restarted, &answer);
            assert!(rows.windows[&entity].row(grid.index(time_s).unwrap())[0].is_nan());
            rows.problems.len()
        };
        assert_eq!((told(1_500), told(1_800), told(3_300)), (0, 1, 1));
    }

    #[test]
    fn a_target_that_is_down_is_told_without_its_samples() {
        let watch = ports();
        let grid = Grid { start_s: 0, step_s: 300, len: 2 };
        let told = |labels: &str, time_s: i64, up: f64| {
            let mut rows = Rows::default();
            let samples = vec![(time_s, up)];
            let series = AnswerSeries { labels: labels.parse().unwrap(), samples };
            let answer = Answer { series: vec![series], ..Answer::default() };
            clean(&mut rows, &watch, grid, Role::Up, &answer);
            rows.problems.len()
        };
        assert_eq!(told("instance=a,ifName=1", 300, 0.0), 1);
        assert_eq!(told("instance=a,ifName=1", 300, 1.0), 0);
        assert_eq!(told("instance=a,ifName=1", 0, 0.0), 0, "it was");
        assert_eq!(told("instance=a", 300, 0.0), 0, "nobody knows whom that concerns");
    }
}

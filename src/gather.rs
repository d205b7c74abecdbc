//! A watch's rows, asked for and cleaned: queries in, one window per entity out.
//!
//! Owns: which series belongs to which entity, what is masked as a measuring error, what was missing.
//! Does not own: how a query is sent (`source`), what happens to the rows (`pipeline`, `train`).

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::task::JoinSet;

use crate::detect;
use crate::series::Entity;
use crate::series::Grid;
use crate::series::Window;
use crate::source::Answer;
use crate::source::Source;
use crate::source::SourceError;
use crate::store::LabelRows;
use crate::verdict::Interval;
use crate::verdict::Label;
use crate::watch::Watch;

/// Why an entity's rows cannot be trusted, or cannot be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Problem {
    /// The scrape target does not answer.
    TargetDown,
    /// Samples are there, but not all that the newest point's score is made of.
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
    /// What is wrong with whose rows.
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

    /// Whether the source will say the same to the same question.
    pub fn is_final(&self) -> bool {
        use SourceError as E;
        matches!(self.error, E::BadQuery(_) | E::NativeHistogram(_) | E::TooManyPoints(_))
    }
}

/// Numbers that the answers to all queries may hold together: some 15 MB while they are decoded, and
/// Prometheus gives each well within a second.
const CELLS: usize = 300_000;

/// Entities that are reckoned with while none is found.
const MANY: usize = 8_192;

/// A grid in slices, to be asked for one after the other, each small enough for a sidecar's memory.
///
/// While nothing is found nobody knows how many entities there are: slices begin small and double, so
/// that two empty weeks are a dozen queries and not a thousand. The cuts are between two points, so
/// that no bucket is torn.
pub struct Slices {
    due: Grid,
    n_queries: usize,
    point_s: i64,
    cells: usize,
    /// Reckoned with.
    n_entities: usize,
    /// Known, or found so far.
    n_found: usize,
    newest_first: bool,
}

impl Slices {
    /// The slices of `grid`, oldest first, where `n_known` entities are known; 0 if none is.
    pub fn new(watch: &Watch, grid: Grid, n_known: usize) -> Slices {
        let n_entities = if n_known > 0 { n_known } else { MANY };
        let (n_queries, point_s) = (queries(watch).len(), watch.point_s());
        let (cells, newest_first) = (CELLS, false);
        Slices { due: grid, n_queries, point_s, cells, n_entities, n_found: n_known, newest_first }
    }

    /// The same from the other end.
    #[must_use]
    pub fn newest_first(self) -> Slices {
        Slices { newest_first: true, ..self }
    }

    /// What was not taken yet.
    pub fn due(&self) -> Grid {
        self.due
    }

    /// Whether everything was taken.
    pub fn is_done(&self) -> bool {
        self.due.len == 0
    }

    /// The next slice of what is due.
    pub fn take(&mut self) -> Grid {
        let due = self.due;
        let n_rows = self.cells / (self.n_entities * self.n_queries).max(1);
        let cut_s = self.cut_s(n_rows as i64 * due.step_s);
        let n_before = ((cut_s - due.start_s) / due.step_s) as usize;
        let before = Grid { len: n_before, ..due };
        let after = Grid { start_s: due.time(n_before), len: due.len - n_before, ..due };
        let (slice, rest) = if self.newest_first { (after, before) } else { (before, after) };
        self.due = rest;
        slice
    }

    /// The beginning of a point, some `span_s` from the end that is taken from; at least a point away.
    fn cut_s(&self, span_s: i64) -> i64 {
        let (due, point_s) = (self.due, self.point_s);
        let (start_s, end_s) = (due.start_s, due.end_s());
        if self.newest_first {
            let last_s = (end_s - 1).div_euclid(point_s) * point_s;
            let earliest_s = (end_s - span_s + point_s - 1).div_euclid(point_s) * point_s;
            earliest_s.min(last_s).max(start_s)
        } else {
            let second_s = (start_s.div_euclid(point_s) + 1) * point_s;
            let latest_s = (start_s + span_s).div_euclid(point_s) * point_s;
            latest_s.max(second_s).min(end_s)
        }
    }

    /// Says how many entities the slice held. The next one is at most four times as long: who looks
    /// for where something began need not read all that was before.
    pub fn found(&mut self, n_entities: usize) {
        self.n_found = self.n_found.max(n_entities);
        let by = if self.n_found > 0 { 4 } else { 2 };
        self.n_entities = (self.n_entities / by).max(self.n_found).max(1);
    }

    /// Puts back a slice that the source did not manage in time, to be asked for in halves. Returns
    /// whether that makes sense: not for a slice of a point, and not without end.
    pub fn halve(&mut self, slice: Grid) -> bool {
        let can = self.cells > CELLS / 8 && slice.len as i64 * slice.step_s > self.point_s;
        if can {
            self.cells /= 2;
            let start_s = if self.newest_first { self.due.start_s } else { slice.start_s };
            self.due = Grid { start_s, len: slice.len + self.due.len, ..slice };
        }
        can
    }
}

/// Points before a label's interval that are kept with it, for detectors that look back.
const LABEL_CONTEXT_POINTS: i64 = 64;

/// The feature rows that a label speaks of, with those before it; `None` where the source has none.
///
/// # Errors
/// The source did not answer.
pub async fn label_rows(
    source: &Arc<dyn Source>,
    watch: &Watch,
    label: &Label,
) -> Result<Option<LabelRows>, GatherError> {
    let longest = watch.detectors.iter().map(detect::Config::min_rows).max().unwrap_or(0) as i64;
    let context = LABEL_CONTEXT_POINTS.max(longest);
    let Interval { from_s, to_s } = whole_points(watch, label.interval);
    let grid = Grid::covering(from_s - context * watch.point_s(), to_s, watch.step_s);
    let mut window = Window::gaps(grid, watch.features.len());
    let (mut slices, mut found) = (Slices::new(watch, grid, 0), false);
    while !slices.is_done() {
        let slice = slices.take();
        let mut part = rows(source, watch, slice).await?.windows;
        slices.found(part.len());
        if let (Some(part), Some(row)) = (part.remove(&label.entity), grid.index(slice.start_s)) {
            let at = row * window.n_features;
            window.values[at..at + part.values.len()].copy_from_slice(&part.values);
            found = true;
        }
    }
    let features = watch.features.iter().map(|f| f.name.clone()).collect();
    Ok(found.then_some(LabelRows { features, window }))
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
            Err(
                error @ (SourceError::BadQuery(_)
                | SourceError::NativeHistogram(_)
                | SourceError::TooManyPoints(_)),
            ) => rows.failed.push((name, error)),
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
    for series in &answer.series {
        let judged = entity_of(watch, &series.labels);
        let down = role == Role::Up && is_down(grid, &series.samples);
        if down && is_whole(watch, &judged) {
            // Also where no sample of it is left: that is when somebody wants to know.
            rows.problems.insert((judged.clone(), Problem::TargetDown));
        }
        for (entity, window) in concerned(&mut rows.windows, watch, &judged) {
            let found = clean_one(window, grid, role, &series.samples);
            rows.problems.extend(found.into_iter().map(|problem| (entity.clone(), problem)));
        }
    }
}

/// The entities that a check's series speaks of: one, or each port of a whole device.
fn concerned<'a>(
    windows: &'a mut BTreeMap<Entity, Window>,
    watch: &Watch,
    judged: &Entity,
) -> Vec<(&'a Entity, &'a mut Window)> {
    // A thousand ports with a series each are looked up, not searched a million times.
    if is_whole(watch, judged) {
        return windows.range_mut(judged..=judged).collect();
    }
    let holds = |entity: &Entity| judged.pairs().all(|(k, v)| entity.get(k) == Some(v));
    windows.iter_mut().filter(|(entity, _)| holds(entity)).collect()
}

/// Whether it names one entity of the watch, and not a part of a name that several share.
fn is_whole(watch: &Watch, entity: &Entity) -> bool {
    entity.pairs().count() == watch.entity.len()
}

/// Whether the newest row says that the target does not answer.
fn is_down(grid: Grid, up: &[(i64, f64)]) -> bool {
    up.iter().any(|&(time_s, value)| value < 1.0 && grid.index(time_s) == grid.len.checked_sub(1))
}

fn clean_one(window: &mut Window, grid: Grid, role: Role, samples: &[(i64, f64)]) -> Vec<Problem> {
    let mut found = Vec::new();
    for &(time_s, value) in samples {
        let Some(row) = grid.index(time_s) else { continue };
        let newest = row + 1 == grid.len;
        found.extend(match role {
            Role::Up if newest && value < 1.0 => Some(Problem::TargetDown),
            Role::Limit => mask(window.row_mut(row), |v| v > value, Problem::AboveLineRate),
            Role::Restarted if value > 0.0 => {
                mask(window.row_mut(row), |v| !v.is_nan(), Problem::CounterReset)
            }
            _ => None,
        });
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
    use proptest::prelude::*;

    use super::*;
    use crate::preprocess;
    use crate::source::AnswerSeries;
    use crate::watch::Checks;
    use crate::watch::Feature;
    use crate::watch::Training;

    fn ports() -> Watch {
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
            detectors: Vec::new(),
            consecutive: 4,
            pages_per_week: 1.0,
            train: Training { every_s: 86_400, history_s: 86_400, min_history_s: 3_600 },
            score_every_s: 300,
        }
    }

    proptest! {
        #[test]
        fn slices_cover_the_grid_once_and_tear_no_bucket(
            start in 0_i64..20, len in 0_usize..20_000, n_known in 0_usize..100_000,
            late in proptest::collection::vec(0_usize..4, 1..20), newest_first in any::<bool>(),
        ) {
            let watch = ports();
            let grid = Grid { start_s: start * 300, step_s: 300, len };
            let mut slices = Slices { newest_first, ..Slices::new(&watch, grid, n_known) };
            let (mut covered, mut i) = (Grid { len: 0, ..grid }, 0);
            if newest_first {
                covered.start_s = grid.end_s();
            }
            while !slices.is_done() {
                let slice = slices.take();
                prop_assert!(slice.len > 0);
                prop_assert!(slice.len <= 6 || slice.len * 2 * n_known <= CELLS);
                let cut_s = if newest_first { slice.start_s } else { slice.end_s() };
                prop_assert!(slices.is_done() || cut_s % 1_800 == 0);
                i += 1;
                // Every fourth or so is too much for the source.
                if late[i % late.len()] == 0 && slices.halve(slice) {
                    continue;
                }
                if newest_first {
                    prop_assert_eq!(slice.end_s(), covered.start_s);
                    covered.start_s = slice.start_s;
                } else {
                    prop_assert_eq!(slice.start_s, covered.end_s());
                }
                covered.len += slice.len;
            }
            prop_assert_eq!(covered, grid);
        }
    }

    #[test]
    fn an_unknown_crowd_is_met_in_a_small_slice_and_an_empty_past_in_few() {
        let watch = ports();
        let grid = Grid { start_s: 0, step_s: 300, len: 8 * 2_016 };
        let mut slices = Slices::new(&watch, grid, 0);
        assert!(slices.take().len * 2 * 1_000 <= CELLS / 4);
        let mut n_slices = 1;
        while !slices.is_done() {
            slices.found(0);
            slices.take();
            n_slices += 1;
        }
        assert!(n_slices <= 16, "{n_slices}");
        let mut slices = Slices::new(&watch, grid, 0);
        let lengths = [0; 4].map(|_| {
            let len = slices.take().len;
            slices.found(1_000);
            len
        });
        assert_eq!(lengths, [18, 72, 150, 150]);
    }

    #[test]
    fn a_check_speaks_of_a_port_or_of_a_whole_device() {
        let watch = ports();
        let grid = Grid { start_s: 0, step_s: 300, len: 2 };
        let port = |text: &str| text.parse::<Entity>().unwrap();
        let names = ["instance=a,ifName=1", "instance=a,ifName=2", "instance=b,ifName=1"];
        let check = |labels: &str| {
            let mut rows = Rows::default();
            for name in names {
                let window = Window { values: vec![1.0; 4], ..Window::gaps(grid, 2) };
                rows.windows.insert(port(name), window);
            }
            let series = AnswerSeries { labels: port(labels), samples: vec![(300, 0.0)] };
            let answer = Answer { series: vec![series], ..Answer::default() };
            clean(&mut rows, &watch, grid, Role::Limit, &answer);
            let masked: Vec<bool> = names.map(|n| rows.windows[&port(n)].row(1)[0].is_nan()).into();
            assert_eq!(rows.problems.len(), masked.iter().filter(|masked| **masked).count());
            assert!(rows.windows.values().all(|window| window.row(0) == [1.0, 1.0]));
            masked
        };
        assert_eq!(check("instance=a,ifName=2"), [false, true, false]);
        assert_eq!(check("instance=a,job=snmp"), [true, true, false]);
        assert_eq!(check("instance=c,ifName=1"), [false, false, false]);
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

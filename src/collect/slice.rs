//! The rows of a part: a stretch of time that is small enough to hold.
//!
//! Owns: where a part begins and ends. Does not own: how much is asked for at once (`gather`).
//!
//! Nobody knows beforehand how many entities a stretch has. It is halved until its rows fit, and where it ends
//! then depends on the rows alone: not on how the source was asked, nor on which run did it.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::task::JoinSet;

use crate::gather;
use crate::gather::GatherError;
use crate::gather::Rows;
use crate::gather::Slices;
use crate::series::Entity;
use crate::series::Grid;
use crate::series::Window;
use crate::source::Source;
use crate::verdict::Interval;
use crate::watch::Watch;

/// Steps of a part, unless it is halved: a day of 30-s rows.
const STEPS: i64 = 2_880;

/// Numbers that a part may hold, of all entities: 16 MB.
const CELLS: usize = 2_000_000;

/// What is known of a stretch of time.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Slice {
    /// Its steps.
    pub(super) grid: Grid,
    /// Of each entity with a sample in it, all its steps; NaN is a gap.
    pub(super) windows: BTreeMap<Entity, Window>,
    /// Queries that the source refuses, with why.
    pub(super) failed: BTreeMap<String, String>,
    /// Whether the source said that its answers lack data.
    pub(super) partial: bool,
}

impl Slice {
    /// When it is of.
    pub(super) fn interval(&self) -> Interval {
        Interval { from_s: self.grid.start_s, to_s: self.grid.end_s() }
    }
}

/// Seconds of a part that is not halved: whole points.
fn span_s(watch: &Watch) -> i64 {
    let point_s = watch.point_s().max(watch.step_s);
    let wanted_s = STEPS * watch.step_s;
    (wanted_s / point_s).max(1) * point_s
}

/// The next part of what is due, unless it is halved. Parts end where the clock is a multiple of their length, so
/// those of a day end with the day.
pub(super) fn next(watch: &Watch, due: Grid) -> Grid {
    let span_s = span_s(watch);
    let end_s = (due.start_s.div_euclid(span_s) + 1) * span_s;
    Grid { len: due.at_or_after(end_s), ..due }
}

/// How many parts are due, if none is halved.
pub(super) fn count(watch: &Watch, due: Grid) -> usize {
    let span_s = span_s(watch);
    let place = |time_s: i64| time_s.div_euclid(span_s);
    match due.len {
        0 => 0,
        len => (place(due.time(len - 1)) - place(due.start_s) + 1) as usize,
    }
}

/// Reads a part; `n_known` are the entities of the part before it, 0 where nobody knows. `listener` hears of the
/// share that was read.
///
/// # Errors
/// A query failed that may work later.
pub(super) async fn read(
    source: &Arc<dyn Source>,
    watch: &Watch,
    part: Grid,
    n_known: usize,
    listener: &mut (dyn FnMut(f64) + Send),
) -> Result<Slice, GatherError> {
    let mut kept = Kept::new(watch, part, CELLS);
    let n_known = match n_known {
        0 => expected(source, watch, part).await,
        known => Some(known),
    };
    if n_known == Some(0) {
        return Ok(kept.slice);
    }
    let mut slices = Slices::new(watch, part, n_known.unwrap_or(0));
    while !slices.is_done() && slices.due().start_s < kept.slice.grid.end_s() {
        let asked = slices.take();
        let rows = match gather::rows(source, watch, asked).await {
            Err(error) if error.timed_out() && slices.halve(asked) => continue,
            rows => rows?,
        };
        slices.found(rows.windows.len());
        kept.add(rows);
        let end_s = kept.slice.grid.end_s();
        let read_s = asked.end_s().min(end_s) - part.start_s;
        listener(read_s as f64 / (part.end_s() - part.start_s).max(1) as f64);
    }
    Ok(kept.slice)
}

/// The most entities at a time, by a count of each query: an answer as small for ten thousand entities as for one.
/// Zero is none for sure; `None` where the source does not count.
async fn expected(source: &Arc<dyn Source>, watch: &Watch, part: Grid) -> Option<usize> {
    let mut asked = JoinSet::new();
    for feature in &watch.features {
        let (source, query) = (Arc::clone(source), format!("count({})", feature.query));
        asked.spawn(async move { source.range(&query, part).await });
    }
    let mut most = 0.0_f64;
    while let Some(answered) = asked.join_next().await {
        let answer = answered.ok()?.ok().filter(|answer| answer.partial.is_none())?;
        let counts = answer.series.iter().flat_map(|series| &series.samples);
        most = counts.fold(most, |most, (_, count)| most.max(*count));
    }
    Some(most as usize)
}

/// A part on its way.
struct Kept<'a> {
    watch: &'a Watch,
    most_cells: usize,
    slice: Slice,
}

impl Kept<'_> {
    fn new(watch: &Watch, grid: Grid, most_cells: usize) -> Kept<'_> {
        let (windows, failed) = (BTreeMap::new(), BTreeMap::new());
        Kept { watch, most_cells, slice: Slice { grid, windows, failed, partial: false } }
    }

    fn add(&mut self, rows: Rows) {
        let grid = self.slice.grid;
        self.slice.partial |= rows.partial;
        for (name, error) in rows.failed {
            self.slice.failed.entry(name).or_insert_with(|| error.to_string());
        }
        for (entity, rows) in rows.windows {
            let within = |i: &usize| grid.index(rows.grid.time(*i)).is_some() && rows.has_data(*i);
            if !(0..rows.grid.len).any(|i| within(&i)) {
                continue;
            }
            let gaps = || Window::gaps(grid, rows.n_features);
            let window = self.slice.windows.entry(entity).or_insert_with(gaps);
            for i in 0..rows.grid.len {
                if let Some(row) = grid.index(rows.grid.time(i)) {
                    window.row_mut(row).copy_from_slice(rows.row(i));
                }
            }
        }
        while self.cells() > self.most_cells && self.halve() {}
    }

    fn cells(&self) -> usize {
        self.slice.windows.len() * self.slice.grid.len * self.watch.features.len()
    }

    /// Gives up the later half, and who is only there. Returns whether there was more than a point.
    fn halve(&mut self) -> bool {
        let (grid, point_s) = (self.slice.grid, self.watch.point_s());
        let half_s = grid.len as i64 * grid.step_s / 2;
        let cut_s = (grid.start_s + half_s).div_euclid(point_s) * point_s;
        let len = grid.at_or_after(cut_s);
        if len == 0 || len == grid.len {
            return false;
        }
        self.slice.grid = Grid { len, ..grid };
        self.slice.windows.retain(|_, window| {
            *window = window.slice(0, len);
            window.extent().is_some()
        });
        true
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::preprocess;
    use crate::watch::Checks;
    use crate::watch::Feature;
    use crate::watch::Training;

    pub(in crate::collect) fn watch(step_s: i64, bucket_s: Option<i64>) -> Watch {
        let scale = preprocess::FeatureConfig::default();
        let feature = |name: &str| Feature { name: name.into(), query: name.into(), scale };
        Watch {
            name: "ports".into(),
            entity: vec!["port".into()],
            features: vec![feature("in"), feature("out")],
            checks: Checks::default(),
            step_s,
            lag_s: 0,
            bucket_s,
            despike: None,
            steps: Vec::new(),
            calendar: Default::default(),
            detectors: Vec::new(),
            weak_labels: Vec::new(),
            consecutive: 1,
            pages_per_week: 1.0,
            train: Training { every_s: 86_400, history_s: 86_400, min_history_s: 3_600 },
            score_every_s: 60,
        }
    }

    #[test]
    fn parts_cover_the_time_once_and_end_with_the_day() {
        for (step_s, bucket_s, span) in
            [(30, None, 86_400), (300, Some(1_800), 864_000), (7, Some(49), 20_139)]
        {
            let watch = watch(step_s, bucket_s);
            assert_eq!(span_s(&watch), span);
            let whole = Grid::covering(1_790_000_123, 1_790_000_123 + 40 * 86_400, step_s);
            let (mut due, mut n) = (whole, 0);
            while due.len > 0 {
                assert_eq!(count(&watch, due) + n, count(&watch, whole));
                let part = next(&watch, due);
                assert!(part.len as i64 * step_s <= span && part.len > 0);
                assert!(part.end_s() % span < step_s || part.end_s() == whole.end_s());
                due = super::super::after(whole, part.end_s());
                assert_eq!(
                    part.len + due.len,
                    whole.at_or_after(i64::MAX) - whole.at_or_after(part.start_s)
                );
                n += 1;
            }
            assert_eq!(n, count(&watch, whole));
        }
    }

    /// Rows of `slice`, of ports that each have samples in a time of their own.
    fn rows(slice: Grid, ports: &[(String, Interval)]) -> Rows {
        let mut rows = Rows::default();
        for (port, has) in ports {
            let mut window = Window::gaps(slice, 2);
            for i in (0..slice.len).filter(|i| has.contains(slice.time(*i))) {
                window.row_mut(i).copy_from_slice(&[slice.time(i) as f64, f64::NAN]);
            }
            if window.extent().is_some() {
                rows.windows.insert(Entity::new([("port", port)]), window);
            }
        }
        rows
    }

    /// Reads a part in slices of `len` steps.
    fn read(
        watch: &Watch,
        part: Grid,
        len: usize,
        ports: &[(String, Interval)],
        cells: usize,
    ) -> Slice {
        let mut kept = Kept::new(watch, part, cells);
        let mut due = part;
        while due.len > 0 && due.start_s < kept.slice.grid.end_s() {
            let slice = Grid { len: len.min(due.len), ..due };
            kept.add(rows(slice, ports));
            due = super::super::after(part, slice.end_s());
            let most = cells.max(kept.slice.windows.len() * 2 * 6);
            assert!(kept.cells() <= most, "{}", kept.cells());
        }
        kept.slice
    }

    /// Gaps are equal, too.
    fn bits(slice: &Slice) -> (Grid, Vec<(&Entity, Vec<u64>)>) {
        let of = |window: &Window| window.values.iter().map(|value| value.to_bits()).collect();
        (slice.grid, slice.windows.iter().map(|(entity, window)| (entity, of(window))).collect())
    }

    #[test]
    fn a_year_of_any_number_of_ports_is_held_in_parts_that_depend_on_the_rows_alone() {
        let watch = watch(300, Some(1_800));
        let whole = Grid { start_s: 1_764_000_000, step_s: 300, len: 365 * 288 };
        let all = Interval { from_s: whole.start_s, to_s: whole.end_s() };
        // A hundred ports for a month in summer, and one that is always there.
        let summer = Interval { from_s: whole.time(50_000), to_s: whole.time(50_000 + 30 * 288) };
        let mut ports: Vec<_> = (0..100).map(|i| (format!("s{i}"), summer)).collect();
        ports.push(("always".to_string(), all));
        let cells = 100_000;
        let (mut due, mut n_rows, mut ends) = (whole, 0, Vec::new());
        while due.len > 0 {
            let part = next(&watch, due);
            let slice = read(&watch, part, 100, &ports, cells);
            let other = read(&watch, part, 777, &ports, cells);
            assert!(bits(&slice) == bits(&other), "in other slices: {part:?}");
            assert!(slice.windows.len() * slice.grid.len * 2 <= cells);
            assert!(slice.grid.end_s() % 1_800 == 0 || slice.grid.end_s() == whole.end_s());
            let of = |window: &Window| (0..window.grid.len).filter(|i| window.has_data(*i)).count();
            n_rows += slice.windows.values().map(of).sum::<usize>();
            ends.push(slice.grid.end_s());
            due = super::super::after(whole, slice.grid.end_s());
        }
        assert_eq!(n_rows, whole.len + 100 * 30 * 288, "no row is lost, none is twice");
        assert!((40..80).contains(&ends.len()), "{}", ends.len());
    }

    #[test]
    fn a_point_is_never_halved() {
        let watch = watch(300, Some(1_800));
        let part = Grid { start_s: 3_600, step_s: 300, len: 2_880 };
        let all = Interval { from_s: 0, to_s: i64::MAX };
        let ports: Vec<_> = (0..50).map(|i| (i.to_string(), all)).collect();
        let slice = read(&watch, part, 6, &ports, 10);
        assert_eq!((slice.grid.len, slice.windows.len()), (6, 50));
    }
}

//! Rows of history, newest first: who lives is known before anything is kept, so what has left costs
//! no memory, and a newcomer's reading ends where the newcomer begins.
//!
//! Owns: the order of the slices, whose rows are kept. Does not own: what is masked (`history`).

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::Which;
use crate::gather;
use crate::gather::GatherError;
use crate::gather::Rows;
use crate::gather::Slices;
use crate::preprocess::buckets;
use crate::series::Entity;
use crate::series::Grid;
use crate::series::Window;
use crate::source::Source;
use crate::source::SourceError;
use crate::watch::Watch;

/// Points without data, at least, after which an entity has left; and as long as that in any case.
const LIVE_POINTS: i64 = 10;
const LIVE_S: i64 = 3_600;

/// After a day without a sample of theirs, the beginning of a few entities is found.
const QUIET_S: i64 = 86_400;

/// What history holds.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// Rows of those who live and were asked for, in buckets where the watch has them.
    pub(super) windows: BTreeMap<Entity, Window>,
    /// Everyone with a sample, also who has left; `None` where that is not known for sure.
    pub(super) seen: Option<BTreeSet<Entity>>,
    /// The features that the source refused in every slice.
    pub(super) refused: Vec<GatherError>,
}

/// Reads in slices, each of which is in buckets before the next is asked for: two months of a
/// thousand ports are too much for a sidecar otherwise.
pub(super) async fn read(
    source: &Arc<dyn Source>,
    watch: &Watch,
    grid: Grid,
    which: &Which,
) -> Result<Reading, GatherError> {
    let mut reader = Reader::new(watch, grid, which);
    let mut slices = Slices::new(watch, grid, 0).newest_first();
    while !slices.is_done() && !reader.enough(slices.due().end_s()) {
        let slice = slices.take();
        let rows = match gather::rows(source, watch, slice).await {
            // A busy source answers a smaller question, and a training is not in a hurry.
            Err(error) if error.timed_out() && slices.halve(slice) => continue,
            rows => rows?,
        };
        slices.found(rows.windows.len());
        reader.add(rows);
    }
    Ok(reader.finish(slices.is_done()))
}

/// A reading on its way.
struct Reader<'a> {
    watch: &'a Watch,
    which: &'a Which,
    /// The rows that are kept.
    whole: Grid,
    /// Who has a sample from here on lives.
    alive_s: i64,
    /// The oldest sample of those who are kept.
    oldest_s: i64,
    end_s: i64,
    windows: BTreeMap<Entity, Window>,
    seen: BTreeSet<Entity>,
    n_slices: usize,
    /// In how many slices a query was refused, and why at last.
    failed: BTreeMap<String, (usize, SourceError)>,
    partial: bool,
}

impl<'a> Reader<'a> {
    fn new(watch: &'a Watch, grid: Grid, which: &'a Which) -> Reader<'a> {
        let whole = keep(watch, Window::gaps(grid, 0)).grid;
        let end_s = grid.end_s();
        let live_s = (LIVE_POINTS * whole.step_s).max(LIVE_S);
        Reader {
            watch,
            which,
            whole,
            alive_s: end_s - live_s,
            oldest_s: end_s,
            end_s,
            windows: BTreeMap::new(),
            seen: BTreeSet::new(),
            n_slices: 0,
            failed: BTreeMap::new(),
            partial: false,
        }
    }

    /// Whether nothing before `from_s` is of use.
    fn enough(&self, from_s: i64) -> bool {
        let nobody = from_s <= self.alive_s && self.windows.is_empty();
        let few = matches!(self.which, Which::Only(_)) && !self.windows.is_empty();
        nobody || few && self.oldest_s - from_s >= QUIET_S
    }

    fn add(&mut self, rows: Rows) {
        self.n_slices += 1;
        self.partial |= rows.partial;
        for (name, error) in rows.failed {
            let (n, why) = self.failed.entry(name).or_insert((0, error.clone()));
            (*n, *why) = (*n + 1, error);
        }
        for (entity, part) in rows.windows {
            self.seen.insert(entity.clone());
            let Some((first, last)) = part.extent() else { continue };
            let lives = part.grid.time(last) >= self.alive_s && self.which.wants(&entity);
            if lives || self.windows.contains_key(&entity) {
                self.oldest_s = self.oldest_s.min(part.grid.time(first));
                self.put(entity, &keep(self.watch, part));
            }
        }
    }

    fn put(&mut self, entity: Entity, part: &Window) {
        let gaps = || Window::gaps(self.whole, self.watch.features.len());
        let window = self.windows.entry(entity).or_insert_with(gaps);
        if let Some(row) = self.whole.index(part.grid.start_s) {
            let at = row * window.n_features;
            window.values[at..at + part.values.len()].copy_from_slice(&part.values);
        }
    }

    fn finish(mut self, to_the_end: bool) -> Reading {
        let watch = self.watch.name.as_str();
        for (query, (slices, error)) in &self.failed {
            let of = self.n_slices;
            tracing::warn!(watch, query, slices, of, %error, "history without a query's answers");
        }
        // A server that has just begun, or that knows only a part, is no witness against anybody.
        let wanted_s = QUIET_S.min(self.watch.train.history_s / 2);
        let witness = to_the_end && self.failed.is_empty() && !self.partial;
        let witness = witness && self.end_s - self.oldest_s >= wanted_s;
        let refused = self.watch.features.iter().filter_map(|feature| {
            let (n, error) = self.failed.remove(&feature.name)?;
            let name = feature.name.clone();
            (n == self.n_slices).then_some(GatherError { name, error })
        });
        let refused = refused.collect();
        Reading { windows: self.windows, seen: witness.then_some(self.seen), refused }
    }
}

/// Only buckets are learnt from, unless a step looks at the rows inside.
fn keep(watch: &Watch, rows: Window) -> Window {
    watch.early_bucket_s().map_or_else(|| rows.clone(), |bucket_s| buckets(&rows, bucket_s))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::preprocess;
    use crate::source::Answer;
    use crate::source::AnswerSeries;
    use crate::source::BoxFuture;
    use crate::watch::Checks;
    use crate::watch::Feature;
    use crate::watch::Training;

    /// Three ports whose rows count up from the epoch; every seventh is missing.
    struct Counting;

    const PORTS: [&str; 3] = ["a", "b", "c"];

    impl Source for Counting {
        fn range<'a>(
            &'a self,
            _: &'a str,
            grid: Grid,
        ) -> BoxFuture<'a, Result<Answer, SourceError>> {
            let rows = (0..grid.len).map(|i| grid.time(i)).filter(|t| t / grid.step_s % 7 > 0);
            let samples: Vec<(i64, f64)> = rows.map(|t| (t, (t / grid.step_s) as f64)).collect();
            let series = PORTS.map(|port| AnswerSeries {
                labels: Entity::new([("port", port)]),
                samples: samples.clone(),
            });
            Box::pin(async { Ok(Answer { series: series.into(), ..Answer::default() }) })
        }

        fn instant<'a>(
            &'a self,
            query: &'a str,
            at: i64,
        ) -> BoxFuture<'a, Result<Answer, SourceError>> {
            self.range(query, Grid { start_s: at, step_s: 1, len: 1 })
        }

        fn describe(&self) -> String {
            "counting".into()
        }
    }

    pub(in crate::train) fn watch() -> Watch {
        let scale = preprocess::FeatureConfig::default();
        Watch {
            name: "ports".into(),
            entity: vec!["port".into()],
            features: vec![Feature { name: "in".into(), query: "in".into(), scale }],
            checks: Checks::default(),
            step_s: 10,
            lag_s: 0,
            bucket_s: Some(60),
            despike: None,
            steps: Vec::new(),
            calendar: Default::default(),
            detectors: Vec::new(),
            weak_labels: Vec::new(),
            consecutive: 4,
            pages_per_week: 1.0,
            train: Training { every_s: 86_400, history_s: 86_400, min_history_s: 3_600 },
            score_every_s: 60,
        }
    }

    #[tokio::test]
    async fn slices_in_buckets_are_what_the_whole_would_be() {
        let source: Arc<dyn Source> = Arc::new(Counting);
        // Neither end is a bucket's, and the first slice ends long before the grid does.
        let grid = Grid::covering(86_430, 2 * 86_400 + 20, 10);
        let plain = Watch { bucket_s: None, ..watch() };
        for watch in [watch(), plain] {
            let read = read(&source, &watch, grid, &Which::All).await.unwrap();
            let all = PORTS.map(|port| Entity::new([("port", port)]));
            assert_eq!(read.seen, Some(all.into()));
            let read = read.windows;
            let raw = gather::rows(&source, &watch, grid).await.unwrap().windows;
            assert_eq!(read.len(), PORTS.len());
            for (entity, window) in raw {
                let wanted = keep(&watch, window);
                assert_eq!(read[&entity].grid, wanted.grid);
                let same =
                    |(a, b): (&f64, &f64)| a.total_cmp(b).is_eq() || a.is_nan() && b.is_nan();
                assert!(read[&entity].values.iter().zip(&wanted.values).all(same), "{entity}");
            }
        }
    }
}

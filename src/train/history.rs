//! What is learnt from: history without known incidents, and what people said of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Told;
use super::TrainError;
use crate::gather;
use crate::preprocess::buckets;
use crate::series::Entity;
use crate::series::Grid;
use crate::series::Window;
use crate::source::Source;
use crate::store::Store;
use crate::store::StoreError;
use crate::store::StoredLabel;
use crate::verdict::Interval;
use crate::verdict::Verdict;
use crate::watch::Watch;

/// Points around an incident that belong to it: rates still see it, and nobody labels to the second.
const MARGIN_POINTS: i64 = 2;

/// An anomaly of our own that lasts longer is how things are now: masked for ever, it would page for
/// ever. What a person calls an anomaly stays one, however long.
const NEW_NORMAL_S: i64 = 86_400;

/// Everything that a training reads.
pub(super) struct Past {
    /// Each entity's rows, in buckets where the watch has them; known incidents are gaps.
    pub(super) windows: BTreeMap<Entity, Window>,
    /// What people said of whom.
    pub(super) told: BTreeMap<Entity, Vec<Told>>,
}

/// Reads history up to `now_s`, masks known incidents, and completes labels that have no rows yet.
pub(super) async fn read(
    source: &Arc<dyn Source>,
    store: &Store,
    watch: &Watch,
    now_s: i64,
) -> Result<Past, TrainError> {
    let end_s = (now_s - watch.lag_s).div_euclid(watch.step_s) * watch.step_s + watch.step_s;
    let start_s = end_s - watch.train.history_s;
    complete_labels(source, store, watch).await?;
    let (known, told) = known(store, watch, start_s).await?;
    let windows = rows(source, watch, &known, Grid::covering(start_s, end_s, watch.step_s)).await?;
    Ok(Past { windows, told })
}

/// Reads in slices, each of which is in buckets before the next is asked for: two months of a
/// thousand ports are too much for a sidecar otherwise.
async fn rows(
    source: &Arc<dyn Source>,
    watch: &Watch,
    known: &Known,
    grid: Grid,
) -> Result<BTreeMap<Entity, Window>, TrainError> {
    let whole = kept_grid(watch, grid);
    let mut windows: BTreeMap<Entity, Window> = BTreeMap::new();
    let mut due = grid;
    while due.len > 0 {
        let (slice, after) = gather::slice(watch, due, windows.len());
        for (entity, mut part) in gather::rows(source, watch, slice).await?.windows {
            known.mask(watch, &entity, &mut part);
            let part = keep(watch, part);
            let gaps = || Window::gaps(whole, watch.features.len());
            let window = windows.entry(entity).or_insert_with(gaps);
            if let Some(row) = whole.index(part.grid.start_s) {
                let at = row * window.n_features;
                window.values[at..at + part.values.len()].copy_from_slice(&part.values);
            }
        }
        due = after;
    }
    Ok(windows)
}

/// Outliers are judged among their raw neighbours; else only buckets are learnt from.
fn early_bucket_s(watch: &Watch) -> Option<i64> {
    watch.bucket_s.filter(|_| watch.despike.is_none())
}

fn keep(watch: &Watch, rows: Window) -> Window {
    early_bucket_s(watch).map_or_else(|| rows.clone(), |bucket_s| buckets(&rows, bucket_s))
}

fn kept_grid(watch: &Watch, grid: Grid) -> Grid {
    keep(watch, Window::gaps(grid, 0)).grid
}

/// Seconds from the first row with data to the last.
pub(super) fn span_s(window: &Window) -> i64 {
    let has_data = |i: &usize| window.row(*i).iter().any(|v| !v.is_nan());
    let first = (0..window.grid.len).find(has_data);
    let last = (0..window.grid.len).rev().find(has_data);
    match (first, last) {
        (Some(first), Some(last)) => (last - first + 1) as i64 * window.grid.step_s,
        _ => 0,
    }
}

/// Turns an incident into gaps; what a person called normal stays.
fn mask(window: &mut Window, incident: Interval, normal: &[Interval]) {
    for row in 0..window.grid.len {
        let time_s = window.grid.time(row);
        if incident.contains(time_s) && !normal.iter().any(|i| i.contains(time_s)) {
            window.row_mut(row).fill(f64::NAN);
        }
    }
}

/// Fetches the rows of labels that were given while the source could not be asked.
async fn complete_labels(
    source: &Arc<dyn Source>,
    store: &Store,
    watch: &Watch,
) -> Result<(), TrainError> {
    let labels = with_store(store, watch, |store, name| store.labels(Some(name))).await?;
    for StoredLabel { id, label, .. } in labels.into_iter().filter(|label| !label.has_rows) {
        match gather::label_rows(source, watch, &label).await {
            Ok(Some(rows)) => {
                with_store(store, watch, move |store, _| store.set_label_rows(id, &rows)).await?;
            }
            // Out of the source's retention: the label is kept, it only cannot be learnt from.
            Ok(None) => tracing::warn!(watch = watch.name, id, "no samples in a label's interval"),
            Err(error) => tracing::warn!(watch = watch.name, id, %error, "label without rows"),
        }
    }
    Ok(())
}

#[derive(Default)]
struct Known {
    incidents: BTreeMap<Entity, Vec<Interval>>,
    normal: BTreeMap<Entity, Vec<Interval>>,
}

impl Known {
    /// Turns an entity's incidents into gaps; what a person called normal stays.
    fn mask(&self, watch: &Watch, entity: &Entity, window: &mut Window) {
        let margin_s = MARGIN_POINTS * watch.point_s();
        let normal = self.normal.get(entity).map(Vec::as_slice).unwrap_or_default();
        for Interval { from_s, to_s } in self.incidents.get(entity).into_iter().flatten() {
            let wide = Interval { from_s: from_s - margin_s, to_s: to_s + margin_s };
            mask(window, wide, normal);
        }
    }
}

async fn known(
    store: &Store,
    watch: &Watch,
    since_s: i64,
) -> Result<(Known, BTreeMap<Entity, Vec<Told>>), TrainError> {
    with_store(store, watch, move |store, name| {
        let mut known = Known::default();
        let passing = |i: &Interval| i.to_s - i.from_s <= NEW_NORMAL_S;
        let own = store.anomalies(name, since_s)?.into_iter();
        for (entity, interval) in own.filter(|(_, interval)| passing(interval)) {
            known.incidents.entry(entity).or_default().push(interval);
        }
        let mut told: BTreeMap<Entity, Vec<Told>> = BTreeMap::new();
        for StoredLabel { id, label, .. } in store.labels(Some(name))? {
            let to = match label.verdict {
                Verdict::Anomaly => &mut known.incidents,
                Verdict::Normal => &mut known.normal,
            };
            to.entry(label.entity.clone()).or_default().push(label.interval);
            if let Some(rows) = store.label_rows(id)? {
                told.entry(label.entity.clone()).or_default().push(Told { label, rows });
            }
        }
        Ok((known, told))
    })
    .await
}

/// Runs a piece of store work off the async threads.
async fn with_store<T: Send + 'static>(
    store: &Store,
    watch: &Watch,
    work: impl FnOnce(&Store, &str) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, TrainError> {
    let (store, name) = (store.clone(), watch.name.clone());
    let done = tokio::task::spawn_blocking(move || work(&store, &name));
    Ok(done.await.map_err(|_| TrainError::Panicked)??)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preprocess;
    use crate::source::Answer;
    use crate::source::AnswerSeries;
    use crate::source::BoxFuture;
    use crate::source::SourceError;
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

    fn watch() -> Watch {
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
            detectors: Vec::new(),
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
        let incident = Interval { from_s: 100_000, to_s: 100_500 };
        let mut known = Known::default();
        known.incidents.insert(Entity::new([("port", "b")]), vec![incident]);
        let plain = Watch { bucket_s: None, ..watch() };
        for watch in [watch(), plain] {
            let read = rows(&source, &watch, &known, grid).await.unwrap();
            let raw = gather::rows(&source, &watch, grid).await.unwrap().windows;
            assert_eq!(read.len(), PORTS.len());
            for (entity, mut window) in raw {
                known.mask(&watch, &entity, &mut window);
                let wanted = keep(&watch, window);
                assert_eq!(read[&entity].grid, wanted.grid);
                let same =
                    |(a, b): (&f64, &f64)| a.total_cmp(b).is_eq() || a.is_nan() && b.is_nan();
                assert!(read[&entity].values.iter().zip(&wanted.values).all(same), "{entity}");
            }
        }
    }

    #[test]
    fn outliers_are_looked_for_before_buckets() {
        let despike = Some(preprocess::Despike { window: 30, threshold: 3.0 });
        assert_eq!(early_bucket_s(&Watch { despike, ..watch() }), None);
        assert_eq!(early_bucket_s(&watch()), Some(60));
    }
}

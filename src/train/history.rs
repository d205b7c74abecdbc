//! What is learnt from: history without known incidents, and what people said of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Told;
use super::TrainError;
use crate::gather;
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

/// Rows asked for at a time: bounds what one answer holds in memory.
const CHUNK_ROWS: i64 = 2_880;

/// Points around an incident that belong to it: rates still see it, and nobody labels to the second.
const MARGIN_POINTS: i64 = 2;

/// Everything that a training reads.
pub(super) struct Past {
    /// Each entity's rows; known incidents are gaps.
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
    let mut windows = rows(source, watch, start_s, end_s).await?;
    complete_labels(source, store, watch).await?;
    let (known, told) = known(store, watch, start_s).await?;
    for (entity, window) in &mut windows {
        let margin_s = MARGIN_POINTS * watch.point_s();
        let mine = known.incidents.iter().filter(|(e, _)| e == entity).map(|(_, i)| *i);
        let fine: Vec<Interval> =
            known.normal.iter().filter(|(e, _)| e == entity).map(|(_, i)| *i).collect();
        for incident in mine {
            let wide =
                Interval { from_s: incident.from_s - margin_s, to_s: incident.to_s + margin_s };
            mask(window, wide, &fine);
        }
    }
    Ok(Past { windows, told })
}

async fn rows(
    source: &Arc<dyn Source>,
    watch: &Watch,
    start_s: i64,
    end_s: i64,
) -> Result<BTreeMap<Entity, Window>, TrainError> {
    let whole = Grid::covering(start_s, end_s, watch.step_s);
    let mut windows: BTreeMap<Entity, Window> = BTreeMap::new();
    let mut from_s = whole.start_s;
    while from_s < end_s {
        let to_s = end_s.min(from_s + CHUNK_ROWS * watch.step_s);
        let grid = Grid::covering(from_s, to_s, watch.step_s);
        let chunk = gather::rows(source, watch, grid).await?;
        for (entity, part) in chunk.windows {
            let gaps = || Window::gaps(whole, watch.features.len());
            let window = windows.entry(entity).or_insert_with(gaps);
            let at = whole.index(part.grid.start_s).unwrap_or(0) * window.n_features;
            window.values[at..at + part.values.len()].copy_from_slice(&part.values);
        }
        from_s = to_s;
    }
    Ok(windows)
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
    incidents: Vec<(Entity, Interval)>,
    normal: Vec<(Entity, Interval)>,
}

async fn known(
    store: &Store,
    watch: &Watch,
    since_s: i64,
) -> Result<(Known, BTreeMap<Entity, Vec<Told>>), TrainError> {
    with_store(store, watch, move |store, name| {
        let incidents = store.anomalies(name, since_s)?;
        let mut known = Known { incidents, ..Known::default() };
        let mut told: BTreeMap<Entity, Vec<Told>> = BTreeMap::new();
        for StoredLabel { id, label, .. } in store.labels(Some(name))? {
            let to = match label.verdict {
                Verdict::Anomaly => &mut known.incidents,
                Verdict::Normal => &mut known.normal,
            };
            to.push((label.entity.clone(), label.interval));
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

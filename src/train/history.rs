//! What is learnt from: history without known incidents, and what people said of it.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::task::JoinError;

use super::Told;
use super::TrainError;
use super::Which;
use super::lessons;
use super::reading;
use super::reading::Reading;
use super::told;
use super::told::Heard;
use crate::detect;
use crate::detect::Episode;
use crate::gather;
use crate::gather::Labelled;
use crate::gather::Weak;
use crate::series::Entity;
use crate::series::Grid;
use crate::series::Window;
use crate::source::Source;
use crate::store::LabelRows;
use crate::store::Store;
use crate::store::StoreError;
use crate::store::StoredLabel;
use crate::verdict::Interval;
use crate::verdict::Verdict;
use crate::watch::Watch;
use crate::weak;
use crate::weak::Said;
use crate::weak::Spoken;
use crate::weak::WeakLabel;

/// Points around an incident that belong to it: rates still see it, and nobody labels to the second.
const MARGIN_POINTS: i64 = 2;

/// An anomaly of our own that lasts longer is how things are now: masked for ever, it would page for
/// ever. What a person calls an anomaly stays one, however long.
const NEW_NORMAL_S: i64 = 86_400;

/// Whether an anomaly of our own is kept from the training. One that is long beside all that was known
/// before it is not: a model of one night calls the first day anomalous, and has to learn it.
fn is_incident(own: &Interval, first_s: i64) -> bool {
    let (lasted_s, known_s) = (own.to_s - own.from_s, own.from_s - first_s);
    lasted_s <= NEW_NORMAL_S && lasted_s * 4 <= known_s
}

/// Everything that a training reads.
#[derive(Default)]
pub(super) struct Past {
    /// What history holds; in its rows, known incidents are gaps.
    pub(super) reading: Reading,
    /// What people said of whom.
    pub(super) told: BTreeMap<Entity, Vec<Told>>,
    /// When the rows of a label that has none yet are whole, in unix seconds.
    pub(super) again_s: Option<i64>,
    /// Whose labels' rows could not be read this time, with why.
    pub(super) unread: Vec<(Entity, String)>,
    /// What rules say of whom.
    pub(super) weak: BTreeMap<Entity, Vec<Episode>>,
    /// By how many seconds labels shorten whose history.
    pub(super) masked: BTreeMap<Entity, i64>,
}

/// Reads history up to `now_s`, masks known incidents, and completes labels that have no rows yet.
pub(super) async fn read(
    source: &Arc<dyn Source>,
    store: &Store,
    watch: &Watch,
    now_s: i64,
    which: &Which,
) -> Result<Past, TrainError> {
    let end_s = gather::known_s(watch, now_s);
    let start_s = end_s - watch.train.history_s;
    let (again_s, unread) = complete_labels(source, store, watch, now_s).await?;
    let (known, told) = known(store, watch, start_s).await?;
    let grid = Grid::covering(start_s, end_s, watch.step_s);
    let reading = reading::read(source, watch, grid, which).await?;
    let rules = rules(source, store, watch, &reading).await?;
    let (watch, past) = (watch.clone(), Past { reading, told, again_s, unread, ..Past::default() });
    let listened = move || listened(&watch, past, &known, &rules);
    tokio::task::spawn_blocking(listened).await.map_err(lost)
}

/// History without what people and rules call an incident, which takes its time where there are many.
fn listened(watch: &Watch, mut past: Past, known: &Known, rules: &[WeakLabel]) -> Past {
    let rules = Spoken::new(rules, &watch.entity);
    let wanted = watch.detectors.iter().any(detect::Config::reads_episodes);
    for (entity, window) in &mut past.reading.windows {
        let said = known.overrule(entity, rules.of(entity));
        if wanted {
            past.weak.insert(entity.clone(), lessons::of_rules(watch, window, &said));
        }
        past.masked.insert(entity.clone(), known.mask(watch, entity, window, &said));
    }
    past
}

/// What the watch's rules say of the time of which rows are known.
///
/// # Errors
/// A rule cannot be asked now, and there are models that can go on: what it calls an incident would be learnt
/// as normal. Before the first model, that is better than none.
async fn rules(
    source: &Arc<dyn Source>,
    store: &Store,
    watch: &Watch,
    reading: &Reading,
) -> Result<Vec<WeakLabel>, TrainError> {
    let name = watch.name.as_str();
    let extents = reading.windows.values().filter_map(|rows| {
        rows.extent().map(|(first, last)| (rows.grid.time(first), rows.grid.time(last + 1)))
    });
    let whole = extents.reduce(|(from_s, to_s), (a, b)| (from_s.min(a), to_s.max(b)));
    let Some((from_s, to_s)) = whole.filter(|_| !watch.weak_labels.is_empty()) else {
        return Ok(Vec::new());
    };
    let interval = Interval { from_s, to_s };
    let Weak { labels, failed, unread } =
        gather::weak_labels(source, &watch.weak_labels, interval).await?;
    for (rule, error) in failed {
        tracing::warn!(watch = name, rule, %error, "a rule that labels nothing");
    }
    for error in unread {
        let in_use = |store: &Store, name: &str| store.models_in_use(Some(name));
        if !with_store(store, watch, in_use).await?.is_empty() {
            return Err(error.into());
        }
        tracing::warn!(watch = name, %error, "a rule that labels nothing this time");
    }
    let news = weak::news(labels, interval);
    for (rule, what) in news.left_out() {
        tracing::warn!(watch = name, rule, "{what}");
    }
    Ok(news.labels)
}

/// Seconds from the first row with data to the last.
pub(super) fn span_s(window: &Window) -> i64 {
    window.extent().map_or(0, |(first, last)| (last - first + 1) as i64 * window.grid.step_s)
}

/// Turns an incident into gaps; what a person called normal stays.
fn mask(window: &mut Window, incident: Interval, normal: &[Interval]) {
    let grid = window.grid;
    for row in grid.at_or_after(incident.from_s)..grid.at_or_after(incident.to_s) {
        if !normal.iter().any(|i| i.contains(grid.time(row))) {
            window.row_mut(row).fill(f64::NAN);
        }
    }
}

/// Fetches the rows of labels that were given while the source could not be asked, and anew those that
/// are of another step than the watch has now or, as far back as training looks, lack a feature. Says when the first of those is over that speak of now,
/// and whose rows it may have another time.
async fn complete_labels(
    source: &Arc<dyn Source>,
    store: &Store,
    watch: &Watch,
    now_s: i64,
) -> Result<(Option<i64>, Vec<(Entity, String)>), TrainError> {
    let settings = watch.clone();
    let (wanting, n_known) = with_store(store, watch, move |store, name| {
        let in_use = store.models_in_use(Some(name))?;
        let known: BTreeSet<Entity> = in_use.into_iter().map(|row| row.key.entity).collect();
        Ok((wanting_rows(store, &settings, now_s)?, known.len()))
    })
    .await?;
    let (mut without, mut unread, mut again_s) = (Vec::new(), Vec::new(), None::<i64>);
    for Wanting { stored: StoredLabel { id, label, has_rows, .. }, of_step } in wanting {
        match gather::label_rows(source, watch, &label, now_s, n_known).await {
            // Another time, with the feature that is refused now: what is kept may have it.
            Ok(Labelled::Rows(rows))
                if has_rows && !of_step && rows.features.len() < watch.features.len() => {}
            Ok(Labelled::Rows(rows)) => {
                let set = move |store: &Store, _: &str| store.set_label_rows(id, &rows);
                if !with_store(store, watch, set).await? {
                    let (watch, label) = (&watch.name, label.named(id));
                    tracing::warn!(watch, label, "not learnt from: more is known at another step");
                }
            }
            Ok(Labelled::Unfinished(at_s)) => {
                again_s = Some(again_s.map_or(at_s, |again_s| again_s.min(at_s)));
            }
            Ok(Labelled::Nothing) if of_step => {}
            // Out of the source's retention: the label is kept, it only cannot be learnt from.
            Ok(Labelled::Nothing) if has_rows => {
                let (watch, label) = (&watch.name, label.named(id));
                tracing::warn!(watch, label, "not learnt from: its rows are of another step");
            }
            Ok(Labelled::Nothing) => without.push(id),
            Err(error) if error.error.is_final() => {
                tracing::warn!(watch = watch.name, id, %error, "label without rows");
            }
            Err(error) => unread.push((label.entity, format!("rows of label {id}: {error}"))),
        }
    }
    if !without.is_empty() {
        let watch = watch.name.as_str();
        tracing::warn!(watch, labels = ?without, "not learnt from: no samples in their intervals");
    }
    Ok((again_s, unread))
}

/// A label without rows that a model of the watch can be shown.
struct Wanting {
    stored: StoredLabel,
    /// There are rows of the watch's step, without one of its features or too few before them.
    of_step: bool,
}

/// The labels that want rows. A feature that is missing, and what detectors look back at that were named
/// since, is asked for as long as training looks back, and not for ever.
fn wanting_rows(store: &Store, watch: &Watch, now_s: i64) -> Result<Vec<Wanting>, StoreError> {
    let mut wanting = Vec::new();
    let context_s = gather::label_context(watch) as i64 * watch.step_s;
    for stored in store.labels(Some(&watch.name))? {
        let rows = if stored.has_rows { rows_of(store, watch, stored.id)? } else { None };
        let has = |name| rows.as_ref().is_some_and(|rows| rows.features.contains(name));
        let since_s = rows.as_ref().map_or(i64::MAX, |rows| rows.window.grid.start_s);
        let wanted_s = gather::whole_points(watch, stored.label.interval).from_s - context_s;
        let whole = watch.features.iter().all(|feature| has(&feature.name)) && since_s <= wanted_s;
        let old = stored.label.interval.from_s < now_s - watch.train.history_s;
        if !(whole || old && rows.is_some()) {
            wanting.push(Wanting { stored, of_step: rows.is_some() });
        }
    }
    Ok(wanting)
}

/// A label's rows, if they are of the step that the watch has now; others cannot be judged as if.
fn rows_of(store: &Store, watch: &Watch, id: i64) -> Result<Option<LabelRows>, StoreError> {
    Ok(store.label_rows(id)?.filter(|rows| rows.window.grid.step_s == watch.step_s))
}

#[derive(Default)]
struct Known {
    /// What we found ourselves.
    own: BTreeMap<Entity, Vec<Interval>>,
    /// What people called an anomaly.
    anomalies: BTreeMap<Entity, Vec<Interval>>,
    /// What people called normal.
    normal: BTreeMap<Entity, Vec<Interval>>,
}

impl Known {
    /// What rules say, where no person says anything.
    fn overrule(&self, entity: &Entity, said: Said) -> Said {
        let of =
            |told: &BTreeMap<Entity, Vec<Interval>>| told.get(entity).cloned().unwrap_or_default();
        let people: Vec<Interval> =
            of(&self.normal).into_iter().chain(of(&self.anomalies)).collect();
        let rest = |interval: Interval| interval.without_all(&people).into_iter();
        let incidents = said.incidents.into_iter();
        let left = |(interval, class): (Interval, Option<String>)| {
            rest(interval).map(move |part| (part, class.clone()))
        };
        let incidents = incidents.flat_map(left).collect();
        let ambiguous = said.ambiguous.into_iter().flat_map(rest).collect();
        Said { incidents, ambiguous }
    }

    /// Turns an entity's incidents into gaps; what a person called normal stays. By how many seconds
    /// labels shorten what is left is returned.
    fn mask(&self, watch: &Watch, entity: &Entity, window: &mut Window, said: &Said) -> i64 {
        let first_s = window.extent().map_or(i64::MAX, |(first, _)| window.grid.time(first));
        let own = self.own.get(entity).map(Vec::as_slice).unwrap_or_default();
        let own = own.iter().filter(|interval| is_incident(interval, first_s));
        self.mask_each(watch, entity, window, own);
        let rules = said.incidents.iter().map(|(interval, _)| interval).chain(&said.ambiguous);
        self.mask_each(watch, entity, window, rules);
        let before_s = span_s(window);
        let told = self.anomalies.get(entity).map(Vec::as_slice).unwrap_or_default();
        self.mask_each(watch, entity, window, told.iter());
        before_s - span_s(window)
    }

    fn mask_each<'a>(
        &self,
        watch: &Watch,
        entity: &Entity,
        window: &mut Window,
        incidents: impl Iterator<Item = &'a Interval>,
    ) {
        let margin_s = MARGIN_POINTS * watch.point_s();
        let normal = self.normal.get(entity).map(Vec::as_slice).unwrap_or_default();
        for Interval { from_s, to_s } in incidents {
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
    let settings = watch.clone();
    with_store(store, watch, move |store, name| {
        let mut known = Known::default();
        for (entity, interval) in store.anomalies(name, since_s)? {
            known.own.entry(entity).or_default().push(interval);
        }
        let heard = told::hear(store.labels(Some(name))?);
        for (entity, labels) in &heard {
            for Heard { label, parts, .. } in labels {
                let to = match label.verdict {
                    Verdict::Anomaly => &mut known.anomalies,
                    Verdict::Normal => &mut known.normal,
                };
                to.entry(entity.clone()).or_default().extend(parts);
            }
        }
        Ok((known, with_rows(store, &settings, heard)?))
    })
    .await
}

/// What people said of a watch's entities, with its rows.
pub(super) async fn told(
    store: &Store,
    watch: &Watch,
) -> Result<BTreeMap<Entity, Vec<Told>>, TrainError> {
    let settings = watch.clone();
    with_store(store, watch, move |store, name| {
        with_rows(store, &settings, told::hear(store.labels(Some(name))?))
    })
    .await
}

/// Those labels whose rows are kept and of the watch's step, with them.
fn with_rows(
    store: &Store,
    watch: &Watch,
    heard: BTreeMap<Entity, Vec<Heard>>,
) -> Result<BTreeMap<Entity, Vec<Told>>, StoreError> {
    let mut told: BTreeMap<Entity, Vec<Told>> = BTreeMap::new();
    for (entity, labels) in heard {
        let points = told::points(watch, &labels);
        for (heard, points) in labels.into_iter().zip(points) {
            if let Some(rows) = rows_of(store, watch, heard.id)? {
                told.entry(entity.clone()).or_default().push(Told { heard, rows, points });
            }
        }
    }
    Ok(told)
}

/// Runs a piece of store work off the async threads.
pub(super) async fn with_store<T: Send + 'static>(
    store: &Store,
    watch: &Watch,
    work: impl FnOnce(&Store, &str) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, TrainError> {
    let (store, name) = (store.clone(), watch.name.clone());
    let done = tokio::task::spawn_blocking(move || work(&store, &name));
    Ok(done.await.map_err(lost)??)
}

/// Why a task came to nothing: the runtime cancels what is left when the program ends.
pub(super) fn lost(error: JoinError) -> TrainError {
    if error.is_cancelled() { TrainError::Stopped } else { TrainError::Panicked }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::reading::tests::watch;

    #[test]
    fn incidents_are_masked_but_not_what_became_normal() {
        let entity = Entity::new([("port", "b")]);
        let plain = Watch { bucket_s: None, ..watch() };
        let grid = Grid { start_s: 0, step_s: 10, len: 60_000 };
        let whole = Window::single(grid, vec![1.0; grid.len]);
        let gaps = |known: &Known| {
            let mut window = whole.clone();
            known.mask(&plain, &entity, &mut window, &Said::default());
            window.values.iter().filter(|v| v.is_nan()).count()
        };
        let own = |from_s, to_s| Known {
            own: BTreeMap::from([(entity.clone(), vec![Interval { from_s, to_s }])]),
            ..Known::default()
        };
        let told = |known: Known, from_s, to_s| Known {
            anomalies: BTreeMap::from([(entity.clone(), vec![Interval { from_s, to_s }])]),
            ..known
        };
        assert_eq!(
            gaps(&own(100_000, 100_500)),
            50 + 4,
            "an incident, and two points on either side"
        );
        assert_eq!(gaps(&own(400_000, 500_000)), 0, "longer than a day: how things are now");
        assert_eq!(gaps(&own(1_000, 3_000)), 0, "all that was known before it was 1,000 s");
        assert_eq!(gaps(&told(Known::default(), 400_000, 500_000)), 10_000 + 4, "people decide");
        let mut fine = own(100_000, 100_500);
        let normal = Interval { from_s: 99_000, to_s: 101_000 };
        fine.normal.insert(entity.clone(), vec![normal]);
        assert_eq!(gaps(&fine), 0, "a person said that it was normal");
    }
}

//! What supervised detectors learn from: rows of which people or rules said what they are; and which models have
//! nothing to go on from any more.
//!
//! Owns: which rows those are. Does not own: who has the word (`told`, `weak`), what is kept from the others
//! (`history`).

use super::history::span_s;
use super::told::Told;
use crate::detect;
use crate::detect::Episode;
use crate::gather;
use crate::math::calendar::DAY_S;
use crate::series::Window;
use crate::store::LabelRows;
use crate::store::ModelKey;
use crate::store::ModelRow;
use crate::verdict::Class;
use crate::verdict::Interval;
use crate::verdict::Verdict;
use crate::watch::Watch;
use crate::weak::Said;

/// The episodes of people's labels, columns as the watch's features.
pub(super) fn of_people(watch: &Watch, told: &[Told]) -> Vec<Episode> {
    let mut episodes = Vec::new();
    for Told { heard, rows: LabelRows { features, window }, points } in told {
        let column = |name: &str| features.iter().position(|known| known == name);
        let columns: Vec<Option<usize>> =
            watch.features.iter().map(|feature| column(&feature.name)).collect();
        let rows = window.select_known(&columns);
        let class = match heard.label.verdict {
            Verdict::Normal => Class::Normal,
            Verdict::Anomaly => Class::Anomaly(heard.label.class.clone()),
        };
        episodes.extend(points.iter().filter_map(|points| cut(&rows, *points, 0, &class)));
    }
    episodes
}

/// The episodes of weak labels in `history`, in which they are not gaps yet.
pub(super) fn of_rules(watch: &Watch, history: &Window, said: &Said) -> Vec<Episode> {
    let before =
        gather::label_context(watch) * watch.step_s as usize / history.grid.step_s as usize;
    let incidents = said.incidents.iter();
    let episode = |(interval, class): &(Interval, Option<String>)| {
        let points = gather::whole_points(watch, *interval);
        cut(history, points, before, &Class::Anomaly(class.clone()))
    };
    incidents.filter_map(episode).collect()
}

/// Whether those who learn from incidents may learn: after a day of history, or half of all that is learnt from where
/// that is less. Who has seen less of what is normal takes the rest of the day for an incident, and nobody misses them
/// as long as others judge.
pub(super) fn may_begin(watch: &Watch, rows: &Window) -> bool {
    let alone = watch.detectors.iter().all(detect::Config::supervised);
    alone || span_s(rows) >= DAY_S.min(watch.train.history_s / 2)
}

/// Models in use that learnt from incidents none of which is known any more: they are out of history, or were taken
/// back.
pub(super) fn baseless(
    watch: &Watch,
    in_use: &[ModelRow],
    told: &[Told],
    weak: &[Episode],
) -> Vec<ModelKey> {
    let supervised = |row: &&ModelRow| {
        let mut of = watch.detectors.iter().filter(|known| known.name() == row.key.detector);
        of.any(detect::Config::supervised)
    };
    let learnt: Vec<ModelKey> =
        in_use.iter().filter(supervised).map(|row| row.key.clone()).collect();
    let is_known = |episodes: &[Episode]| episodes.iter().any(|episode| episode.class.is_anomaly());
    match learnt.is_empty() || is_known(weak) || is_known(&of_people(watch, told)) {
        true => Vec::new(),
        false => learnt,
    }
}

/// Models in use of detectors or features that the watch has no more: nothing scores by them.
pub(super) fn left(watch: &Watch, in_use: &[ModelRow]) -> Vec<ModelKey> {
    let known = watch.fingerprints();
    let member = |key: &ModelKey| (key.feature.clone(), key.detector.clone());
    let keys = in_use.iter().map(|row| &row.key);
    keys.filter(|key| !known.contains_key(&member(key))).cloned().collect()
}

/// The rows of an interval, and those before it: `before` of them, or all there are where that is 0.
fn cut(rows: &Window, points: Interval, before: usize, class: &Class) -> Option<Episode> {
    let grid = rows.grid;
    let (first, end) = (grid.at_or_after(points.from_s), grid.at_or_after(points.to_s));
    let from = if before == 0 { 0 } else { first.saturating_sub(before) };
    let observed = (first..end).any(|i| rows.has_data(i));
    observed.then(|| Episode {
        rows: rows.slice(from, end),
        from_s: points.from_s,
        class: class.clone(),
    })
}

#[cfg(test)]
#[cfg(feature = "deep")]
mod tests {
    use super::*;
    use crate::series::Grid;
    use crate::train::reading::tests::watch;
    use crate::watch::Training;

    #[test]
    fn incidents_are_learnt_after_a_day_unless_nobody_else_judges() {
        let of = |names: &[&str], history_s: i64| {
            let detectors = names.iter().filter_map(|name| detect::Config::named(name)).collect();
            let train = Training { history_s, ..watch().train };
            Watch { detectors, train, ..watch() }
        };
        let rows = |hours: usize| {
            let grid = Grid { start_s: 0, step_s: 60, len: 60 * hours };
            Window::single(grid, vec![1.0; grid.len])
        };
        let both = of(&["autoencoder", "siamese"], 14 * DAY_S);
        assert!(!may_begin(&both, &rows(23)) && may_begin(&both, &rows(24)));
        let brief = of(&["autoencoder", "siamese"], DAY_S / 6);
        assert!(!may_begin(&brief, &rows(1)) && may_begin(&brief, &rows(2)));
        assert!(may_begin(&of(&["siamese"], 14 * DAY_S), &rows(1)));
    }
}

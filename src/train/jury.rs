//! What models that judge together make of rows.
//!
//! Owns: who judges together, and their scores. Does not own: what follows from it (`gate`, `quality`).

use std::collections::BTreeMap;

use super::Members;
use super::Told;
use crate::model::Model;
use crate::score::Streak;
use crate::score::combine;
use crate::series::Window;
use crate::store::ModelKey;
use crate::watch::Watch;

/// Models that judge together.
pub(super) struct Jury<'a> {
    members: BTreeMap<&'a ModelKey, &'a Model>,
    /// Asked between two pieces of scoring; after it said no, what is judged is of no use.
    keep_going: &'a dyn Fn() -> bool,
}

impl<'a> Jury<'a> {
    pub(super) fn of(members: &'a Members, keep_going: &'a dyn Fn() -> bool) -> Jury<'a> {
        Jury { members: members.iter().collect(), keep_going }
    }

    /// As they would be in use: challengers, and the champions that none of them replaces.
    pub(super) fn mixed(
        champions: &'a Members,
        challengers: &'a Members,
        keep_going: &'a dyn Fn() -> bool,
    ) -> Jury<'a> {
        Jury { members: champions.iter().chain(challengers).collect(), keep_going }
    }

    /// The scores of the points that a label speaks for, by time.
    pub(super) fn inside(&self, told: &Told) -> BTreeMap<i64, f64> {
        let mut scores = self.scores(&told.rows.features, &told.rows.window);
        scores.retain(|time_s, _| told.speaks_for(*time_s));
        scores
    }

    /// Anomalies that would have been reported on rows without a known incident.
    pub(super) fn false_alarms(&self, watch: &Watch, rows: &Window) -> usize {
        let names: Vec<String> = watch.features.iter().map(|f| f.name.clone()).collect();
        let mut streak = Streak::default();
        let mut alarms = 0;
        for score in self.scores(&names, rows).into_values() {
            let before = streak.anomaly(watch.consecutive);
            streak.advance(score);
            alarms += usize::from(!before && streak.anomaly(watch.consecutive));
        }
        alarms
    }

    /// The highest combined score of any feature, by time.
    fn scores(&self, names: &[String], rows: &Window) -> BTreeMap<i64, f64> {
        let mut by_feature: BTreeMap<_, BTreeMap<i64, Vec<f64>>> = BTreeMap::new();
        for (key, model) in &self.members {
            let feature = by_feature.entry(key.feature.clone()).or_default();
            let rows = model.columns(names.iter().map(String::as_str), rows);
            let points = model.score_while(&rows, i64::MIN, self.keep_going);
            for point in points.unwrap_or_default() {
                feature.entry(point.time_s).or_default().push(point.score);
            }
        }
        let mut highest = BTreeMap::new();
        for (time_s, members) in by_feature.into_values().flatten() {
            let score = combine(&members);
            let known = highest.entry(time_s).or_insert(f64::NAN);
            *known = f64::max(*known, score);
        }
        highest
    }
}

//! What models that judge together make of rows.
//!
//! Owns: who judges together, and their scores. Does not own: what follows from it (`gate`, `quality`).

use std::collections::BTreeMap;

use super::Members;
use super::Told;
use crate::math::calendar::DAY_S;
use crate::model::Model;
use crate::score::Streak;
use crate::score::Witnesses;
use crate::series::Window;
use crate::store::ModelKey;
use crate::verdict::Interval;
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
        let mut scores = self.scores(&told.rows.features, &told.rows.window, told.first_s());
        scores.retain(|time_s, _| told.speaks_for(*time_s));
        scores
    }

    /// The anomalies that would have been reported on the last day of history, rows without a known incident; each
    /// from its first point above the threshold to the end of its last.
    pub(super) fn false_alarms(&self, watch: &Watch, history: &Window) -> Vec<Interval> {
        let names: Vec<String> = watch.features.iter().map(|f| f.name.clone()).collect();
        let (rows, from_s) = self.last_day(history);
        let mut streak = Streak::default();
        let (mut alarms, mut begun_s): (Vec<Interval>, i64) = (Vec::new(), from_s);
        for (time_s, score) in self.scores(&names, &rows, from_s) {
            let before = streak;
            streak.advance(score);
            if streak.points == 1 && before.points == 0 {
                begun_s = time_s;
            }
            let reported = streak.anomaly(watch.consecutive);
            let to_s = time_s + watch.point_s();
            match alarms.last_mut() {
                // A gap holds a streak and is no part of it.
                _ if !reported || score.is_nan() => {}
                Some(last) if before.anomaly(watch.consecutive) => last.to_s = to_s,
                _ => alarms.push(Interval { from_s: begun_s, to_s }),
            }
        }
        alarms
    }

    /// The last day of history behind what is looked back at from it, and when the day begins.
    fn last_day(&self, history: &Window) -> (Window, i64) {
        let grid = history.grid;
        let day = ((DAY_S / grid.step_s).max(1) as usize).min(grid.len);
        let back = self.members.values().map(|model| model.n_raw_rows()).max().unwrap_or(0);
        let rows = history.slice(grid.len.saturating_sub(day + back), grid.len);
        (rows, grid.time(grid.len - day))
    }

    /// The highest combined score of any feature, by time, of the points from `from_s` on.
    fn scores(&self, names: &[String], rows: &Window, from_s: i64) -> BTreeMap<i64, f64> {
        let mut by_feature: BTreeMap<_, BTreeMap<i64, Witnesses>> = BTreeMap::new();
        for (key, model) in &self.members {
            let feature = by_feature.entry(key.feature.clone()).or_default();
            let rows = model.columns(names.iter().map(String::as_str), rows);
            let points = model.score_while(&rows, from_s, self.keep_going);
            for point in points.unwrap_or_default() {
                let heard = feature.entry(point.time_s).or_default();
                heard.hear(point.score, model.names_classes());
            }
        }
        let mut highest = BTreeMap::new();
        for (time_s, members) in by_feature.into_values().flatten() {
            let score = members.score();
            let known = highest.entry(time_s).or_insert(f64::NAN);
            *known = f64::max(*known, score);
        }
        highest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect;
    use crate::detect::FitContext;
    use crate::gather;
    use crate::model::Recipe;
    use crate::preprocess;
    use crate::series::Entity;
    use crate::series::Grid;
    use crate::watch::Checks;
    use crate::watch::Feature;
    use crate::watch::Training;

    /// A port in half-hours of 5 min, and what it has to keep before a label.
    fn watch() -> Watch {
        let scale = preprocess::FeatureConfig::default();
        let named = |name: &&str| detect::Config::named(name).filter(|d| !d.joint());
        Watch {
            name: "w".into(),
            entity: Vec::new(),
            features: vec![Feature { name: "x".into(), query: String::new(), scale }],
            checks: Checks::default(),
            step_s: 300,
            lag_s: 0,
            bucket_s: Some(1_800),
            despike: Some(preprocess::Despike { window: 24, threshold: 3.0 }),
            steps: Vec::new(),
            calendar: Default::default(),
            detectors: detect::Config::NAMES.iter().filter_map(named).collect(),
            weak_labels: Vec::new(),
            consecutive: 4,
            pages_per_week: 1.0,
            train: Training { every_s: DAY_S, history_s: 56 * DAY_S, min_history_s: 2 * DAY_S },
            score_every_s: 1_800,
        }
    }

    fn members(watch: &Watch, history: &Window) -> Members {
        let member = |detector: &detect::Config| {
            let recipe = Recipe {
                features: vec!["x".into()],
                detector: detector.clone(),
                preprocess: watch.preprocess(&[0]),
                step_s: watch.step_s,
                block_s: watch.block_s(),
                pages_per_week: 1.0,
                fingerprint: String::new(),
            };
            let model = Model::train(&recipe, history, &FitContext::new(0, &|| true)).unwrap();
            let (entity, feature) = (Entity::default(), Some("x".to_string()));
            let detector = detector.name().to_string();
            (ModelKey { watch: "w".into(), entity, feature, detector }, model)
        };
        watch.detectors.iter().map(member).collect()
    }

    #[test]
    fn the_last_day_and_a_label_are_judged_as_in_all_of_history() {
        let watch = watch();
        let value = |i: usize| {
            let turn = i as f64 / 288.0 * std::f64::consts::TAU;
            100.0 + 50.0 * turn.sin() + (i * 7919 % 101) as f64 / 5.0
        };
        let grid = Grid { start_s: 1_699_833_600, step_s: 300, len: 24 * 288 };
        let history = Window::single(grid, (0..grid.len).map(value).collect());
        let members = members(&watch, &history);
        let jury = Jury::of(&members, &|| true);
        let names = ["x".to_string()];
        let (rows, from_s) = jury.last_day(&history);
        let day = jury.scores(&names, &rows, from_s);
        assert_eq!((rows.grid.len < grid.len, day.len()), (true, 48));
        assert_eq!(day, jury.scores(&names, &history, from_s));
        assert!(day.values().all(|score| !score.is_nan()));

        // What is kept for a label is enough for each of them, and not much more than that.
        let context = gather::label_context(&watch);
        let longest = members.values().map(|model| model.n_raw_rows() - 6).max().unwrap();
        assert!((longest..longest + 6).contains(&context), "{context} for {longest}");
        for (key, model) in &members {
            let kept = rows.slice(rows.grid.len - 288 - context, rows.grid.len);
            let raw = |rows: &Window| {
                let points = model.score(rows, from_s);
                points.iter().map(|point| point.raw.to_bits()).collect::<Vec<_>>()
            };
            assert_eq!(raw(&kept), raw(&history), "{}", key.detector);
        }
    }
}

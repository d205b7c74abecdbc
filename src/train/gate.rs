//! Is the challenger better? Labels move its threshold, then it must earn its promotion.
//!
//! The threshold follows the CoreDNS RFC: the lowest norm among known anomalies.

use std::collections::BTreeMap;

use super::Members;
use super::Told;
use crate::model::Model;
use crate::score::Streak;
use crate::score::combine;
use crate::series::Window;
use crate::verdict::Verdict;
use crate::watch::Watch;

/// Whether a challenger takes over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It takes over.
    Promote,
    /// It is kept unpromoted, for this reason.
    Reject(String),
}

impl Decision {
    /// Why not; empty where there is no why.
    pub fn reason(&self) -> String {
        match self {
            Decision::Promote => String::new(),
            Decision::Reject(reason) => reason.clone(),
        }
    }
}

const DAY_S: i64 = 86_400;

/// Where in an incident's surprises the threshold is laid: at its middle, so that it is found as soon
/// when it comes again; nearer to its peak where the middle would page on ordinary days.
const QUANTILES: [f64; 4] = [0.5, 0.75, 0.9, 1.0];

/// Moves the challenger's thresholds as the labels say and decides.
pub(super) fn decide(
    watch: &Watch,
    history: &Window,
    told: &[Told],
    champions: &Members,
    challengers: &mut Members,
) -> Decision {
    let last_day = last_day(history);
    let allowed = match champions.is_empty() {
        true => None,
        false => Some(false_alarms(watch, champions, &last_day)),
    };
    let pristine: BTreeMap<_, f64> =
        challengers.iter().map(|(key, model)| (key.clone(), model.threshold())).collect();
    let mut decision = Decision::Promote;
    for quantile in QUANTILES {
        for (key, model) in challengers.iter_mut() {
            model.reset_threshold(pristine[key]);
        }
        move_thresholds(watch, told, challengers, quantile);
        decision = judge(watch, &last_day, told, challengers, allowed);
        if decision == Decision::Promote {
            return decision;
        }
    }
    // Without a champion the choice is between an imperfect judge and none.
    if champions.is_empty() { Decision::Promote } else { decision }
}

fn judge(
    watch: &Watch,
    last_day: &Window,
    told: &[Told],
    challengers: &Members,
    allowed: Option<usize>,
) -> Decision {
    for Told { label, rows } in told {
        let features = &rows.features;
        let scores = scores(challengers, features, &rows.window);
        let inside = scores.iter().filter(|(time_s, _)| label.interval.contains(**time_s));
        let highest = inside.map(|(_, score)| *score).fold(f64::NAN, f64::max);
        let span = format!("{}..{}", label.interval.from_s, label.interval.to_s);
        match label.verdict {
            Verdict::Anomaly if highest <= 1.0 => {
                return Decision::Reject(format!(
                    "the labelled anomaly {span} scores {highest:.2}, wanted above 1"
                ));
            }
            Verdict::Normal if highest > 1.0 => {
                return Decision::Reject(format!(
                    "the interval {span}, labelled normal, scores {highest:.2}, wanted at most 1"
                ));
            }
            _ => {}
        }
    }
    let alarms = false_alarms(watch, challengers, last_day);
    match allowed.filter(|allowed| alarms > *allowed) {
        Some(allowed) => Decision::Reject(format!(
            "{alarms} false alarms on the last normal day, {allowed} with the promoted version"
        )),
        None => Decision::Promote,
    }
}

/// Lowers the thresholds of the members that see a labelled anomaly best, and raises those of members
/// that see one where a person saw none.
fn move_thresholds(watch: &Watch, told: &[Told], challengers: &mut Members, quantile: f64) {
    let mut lowest: BTreeMap<_, f64> = BTreeMap::new();
    let mut highest: BTreeMap<_, f64> = BTreeMap::new();
    for Told { label, rows } in told {
        let levels: BTreeMap<_, f64> = challengers
            .iter()
            .filter_map(|(key, model)| {
                let surprises = surprises(watch, model, rows, label.interval);
                let at = if label.verdict == Verdict::Normal { 1.0 } else { quantile };
                Some((key.clone(), level(surprises, at)?))
            })
            .collect();
        let best = levels.iter().max_by(|a, b| a.1.total_cmp(b.1));
        let best = best.map(|(key, _)| key.feature.clone());
        for (key, surprise) in levels {
            match label.verdict {
                Verdict::Anomaly if Some(&key.feature) == best.as_ref() => {
                    let known = lowest.entry(key).or_insert(surprise);
                    *known = known.min(surprise);
                }
                Verdict::Anomaly => {}
                Verdict::Normal => {
                    let known = highest.entry(key).or_insert(surprise);
                    *known = known.max(surprise);
                }
            }
        }
    }
    for (key, model) in challengers {
        model.move_threshold(lowest.get(key).copied(), highest.get(key).copied());
    }
}

fn surprises(
    watch: &Watch,
    model: &Model,
    rows: &crate::store::LabelRows,
    interval: crate::verdict::Interval,
) -> Vec<f64> {
    let points = model.score(&columns(model, &rows.features, &rows.window), interval.from_s);
    let inside = points.iter().filter(|p| p.time_s < interval.to_s + watch.point_s());
    inside.map(|p| p.surprise).filter(|s| s.is_finite()).collect()
}

fn level(mut surprises: Vec<f64>, quantile: f64) -> Option<f64> {
    surprises.sort_by(f64::total_cmp);
    let last = surprises.len().checked_sub(1)?;
    surprises.get((last as f64 * quantile).round() as usize).copied()
}

/// The columns that a model wants, by name; one that the rows lack is a gap.
fn columns(model: &Model, names: &[String], rows: &Window) -> Window {
    let index = |name: &String| names.iter().position(|known| known == name);
    let wanted: Vec<Option<usize>> = model.features().iter().map(index).collect();
    rows.select_known(&wanted)
}

/// The highest combined score of any feature, by time.
fn scores(members: &Members, names: &[String], rows: &Window) -> BTreeMap<i64, f64> {
    let mut by_feature: BTreeMap<_, BTreeMap<i64, Vec<f64>>> = BTreeMap::new();
    for (key, model) in members {
        let feature = by_feature.entry(key.feature.clone()).or_default();
        for point in model.score(&columns(model, names, rows), i64::MIN) {
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

/// Anomalies that a set of models would have reported on rows without a known incident.
fn false_alarms(watch: &Watch, members: &Members, rows: &Window) -> usize {
    let names: Vec<String> = watch.features.iter().map(|f| f.name.clone()).collect();
    let mut streak = Streak::default();
    let mut alarms = 0;
    for score in scores(members, &names, rows).into_values() {
        let before = streak.anomaly(watch.consecutive);
        streak.advance(score);
        alarms += usize::from(!before && streak.anomaly(watch.consecutive));
    }
    alarms
}

fn last_day(history: &Window) -> Window {
    let rows = (DAY_S / history.grid.step_s).max(1) as usize;
    history.slice(history.grid.len.saturating_sub(rows), history.grid.len)
}

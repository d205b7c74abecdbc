//! Is the challenger better? Labels move its threshold, then it must earn its promotion.
//!
//! The threshold follows the CoreDNS RFC: the lowest norm among known anomalies.

use std::collections::BTreeMap;

use super::Members;
use super::Told;
use super::jury::Jury;
use crate::model::Model;
use crate::series::Window;
use crate::store::LabelRows;
use crate::store::ModelKey;
use crate::verdict::Interval;
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

/// Most labels, or alarms, that a reason names; who has seen to those learns of the others.
const NAMED: usize = 5;

/// Where in an incident's surprises the threshold is laid: at its middle, so that it is found as soon
/// when it comes again; nearer to its peak where the middle would page on ordinary days.
const QUANTILES: [f64; 4] = [0.5, 0.75, 0.9, 1.0];

/// Moves the challenger's thresholds as the labels say and decides. Judged is what would be in use:
/// with the challengers, champions that none of them replaces, such as a version that a person holds: what that one
/// finds is found, what it calls false counts on both sides, and its threshold stays where it is. `keep_going` is asked between two pieces
/// of scoring; what is decided after it said no is of no use.
pub(super) fn decide_while(
    watch: &Watch,
    history: &Window,
    told: &[Told],
    in_use: &Members,
    challengers: &mut Members,
    keep_going: &dyn Fn() -> bool,
) -> Decision {
    let champions = in_use;
    let uncalibrated = |members: &Members| members.values().any(|model| !model.calibrated());
    if uncalibrated(challengers) && !champions.is_empty() && !uncalibrated(champions) {
        // Its scores would be absent where the champion's are not.
        return Decision::Reject("too few rows without an incident to know its threshold".into());
    }
    // A champion without a threshold calls nothing false: that is no measure for one who has.
    let silent = |(key, model): (&_, &Model)| {
        !model.calibrated() && challengers.get(key).is_some_and(Model::calibrated)
    };
    let none = Members::new();
    let champions = if champions.iter().any(silent) { &none } else { champions };
    // Without a champion: what it would cost before any label moved it.
    let measure = match champions.is_empty() {
        true => Jury::mixed(in_use, challengers, keep_going),
        false => Jury::of(champions, keep_going),
    };
    let allowed = measure.false_alarms(watch, history);
    let pristine: BTreeMap<_, f64> =
        challengers.iter().map(|(key, model)| (key.clone(), model.threshold())).collect();
    let mut decision = Decision::Promote;
    for quantile in QUANTILES {
        for (key, model) in challengers.iter_mut() {
            model.reset_threshold(pristine[key]);
        }
        move_thresholds(told, in_use, challengers, quantile, keep_going);
        let jury = Jury::mixed(in_use, challengers, keep_going);
        decision = judge(watch, history, told, &jury, Some(&allowed));
        if decision == Decision::Promote {
            return decision;
        }
    }
    if champions.is_empty() {
        // The choice is between an imperfect judge and none; then at least one that labels did not bend.
        for (key, model) in challengers.iter_mut() {
            model.reset_threshold(pristine[key]);
        }
        return Decision::Promote;
    }
    decision
}

fn judge(
    watch: &Watch,
    history: &Window,
    told: &[Told],
    jury: &Jury<'_>,
    allowed: Option<&[Interval]>,
) -> Decision {
    let mut missed: Vec<String> = told.iter().filter_map(|told| missed(jury, told)).collect();
    let more = missed.len().saturating_sub(NAMED);
    missed.truncate(NAMED);
    if more > 0 {
        missed.push(format!("and {more} more"));
    }
    if !missed.is_empty() {
        return Decision::Reject(missed.join("; "));
    }
    let alarms = jury.false_alarms(watch, history);
    match allowed.filter(|allowed| alarms.len() > allowed.len()) {
        Some(allowed) => Decision::Reject(too_many(&alarms, allowed)),
        None => Decision::Promote,
    }
}

/// How many false alarms there are, and when those are that the promoted version does not have: who was right to
/// raise them needs to be told.
fn too_many(alarms: &[Interval], allowed: &[Interval]) -> String {
    let known = |alarm: &&Interval| allowed.iter().any(|other| other.overlap(**alarm).is_some());
    let (known, mut added): (Vec<_>, Vec<_>) = alarms.iter().partition(known);
    if added.is_empty() {
        // One long alarm in many pieces.
        added = known;
    }
    let more = added.len().saturating_sub(NAMED);
    let mut named: Vec<String> = added.into_iter().take(NAMED).map(Interval::to_string).collect();
    if more > 0 {
        named.push(format!("and {more} more"));
    }
    format!(
        "{} false alarms on the last normal day, {} with the promoted version: {}; they count as false only because \
         nobody labelled them: where one was an incident, say so with `portent labels add --from … --to … --verdict \
         anomaly`, and the next training counts it as found",
        alarms.len(),
        allowed.len(),
        named.join(", ")
    )
}

/// How a label is not met, and which others of its entity say the opposite.
fn missed(jury: &Jury<'_>, told: &Told) -> Option<String> {
    let highest = jury.inside(told).into_values().fold(f64::NAN, f64::max);
    let label = &told.heard.label;
    let wanted = match label.verdict {
        Verdict::Anomaly if highest <= 1.0 => "above 1",
        Verdict::Normal if highest > 1.0 => "at most 1",
        _ => return None,
    };
    let mut problem =
        format!("{}: scores {highest:.2}, wanted {wanted}", label.named(told.heard.id));
    for later in &told.heard.overruled_by {
        problem += &format!(", judged without what {later} contradicts");
    }
    for earlier in &told.heard.overrules {
        problem += &format!(", where it contradicts {earlier}");
    }
    Some(problem)
}

/// Lowers the thresholds of the members that see a labelled anomaly best, and raises those of members
/// that see one where a person saw none. Of those in use that stay none is moved, though one may see it best. Who
/// learnt elsewhere was not shown what is labelled here: unless it sees that best, its threshold would fall to what is
/// nothing to it.
fn move_thresholds(
    told: &[Told],
    in_use: &Members,
    challengers: &mut Members,
    quantile: f64,
    keep_going: &dyn Fn() -> bool,
) {
    let mut lowest: BTreeMap<_, f64> = BTreeMap::new();
    let mut highest: BTreeMap<_, f64> = BTreeMap::new();
    for told in told {
        let verdict = told.heard.label.verdict;
        let stay = in_use.iter().filter(|(key, _)| !challengers.contains_key(*key));
        let levels: BTreeMap<_, f64> = challengers
            .iter()
            .chain(stay)
            .filter_map(|(key, model)| {
                let at = if verdict == Verdict::Normal { 1.0 } else { quantile };
                Some((key.clone(), level(surprises(model, told, keep_going), at)?))
            })
            .collect();
        let best = levels.iter().max_by(|a, b| a.1.total_cmp(b.1));
        let best = best.map(|(key, _)| key.clone());
        let sees = |key: &ModelKey| {
            let pretrained = challengers.get(key).is_some_and(Model::is_pretrained);
            best.as_ref()
                .is_some_and(|best| key == best || key.feature == best.feature && !pretrained)
        };
        for (key, surprise) in levels {
            match verdict {
                Verdict::Anomaly if sees(&key) => {
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

fn surprises(model: &Model, told: &Told, keep_going: &dyn Fn() -> bool) -> Vec<f64> {
    let LabelRows { features, window } = &told.rows;
    let rows = model.columns(features.iter().map(String::as_str), window);
    let points = model.score_while(&rows, told.first_s(), keep_going).unwrap_or_default();
    let inside = points.iter().filter(|point| told.speaks_for(point.time_s));
    inside.map(|point| point.surprise).filter(|surprise| surprise.is_finite()).collect()
}

fn level(mut surprises: Vec<f64>, quantile: f64) -> Option<f64> {
    surprises.sort_by(f64::total_cmp);
    let last = surprises.len().checked_sub(1)?;
    surprises.get((last as f64 * quantile).round() as usize).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect;
    use crate::detect::FitContext;
    use crate::model::Recipe;
    use crate::preprocess;
    use crate::series::Entity;
    use crate::series::Grid;
    use crate::train::told::Heard;
    use crate::verdict::Label;
    use crate::watch::Checks;
    use crate::watch::Feature;
    use crate::watch::Training;

    fn decide(
        watch: &Watch,
        history: &Window,
        told: &[Told],
        champions: &Members,
        challengers: &mut Members,
    ) -> Decision {
        decide_while(watch, history, told, champions, challengers, &|| true)
    }

    fn jury(members: &Members) -> Jury<'_> {
        Jury::of(members, &|| true)
    }

    const STEP_S: i64 = 60;
    const ROWS: usize = 4 * 1440;

    fn watch() -> Watch {
        let scale = preprocess::FeatureConfig::default();
        let feature = Feature { name: "x".into(), query: String::new(), scale };
        Watch {
            name: "w".into(),
            entity: Vec::new(),
            features: vec![feature],
            checks: Checks::default(),
            step_s: STEP_S,
            lag_s: 0,
            bucket_s: None,
            despike: None,
            steps: Vec::new(),
            calendar: Default::default(),
            detectors: detect::Config::named("seasonal_median").into_iter().collect(),
            weak_labels: Vec::new(),
            consecutive: 3,
            pages_per_week: 1.0,
            train: Training { every_s: 86_400, history_s: 4 * 86_400, min_history_s: 3_600 },
            score_every_s: STEP_S,
        }
    }

    /// Noise of standard deviation 1 (a sum of uniforms), with `shift` on the rows `at`.
    fn rows(seed: u64, n: usize, at: std::ops::Range<usize>, shift: f64) -> Window {
        let mut state = seed;
        let mut uniform = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f64 / (1_u64 << 24) as f64 - 0.5
        };
        let mut value = |i: usize| {
            let noise: f64 = (0..12).map(|_| uniform()).sum();
            10.0 + noise + if at.contains(&i) { shift } else { 0.0 }
        };
        let grid = Grid { start_s: 0, step_s: STEP_S, len: n };
        Window::single(grid, (0..n).map(&mut value).collect())
    }

    fn members(history: &Window) -> Members {
        of_feature("x", history)
    }

    fn of_feature(name: &str, history: &Window) -> Members {
        let watch = watch();
        let recipe = Recipe {
            features: vec![name.into()],
            detector: watch.detectors[0].clone(),
            preprocess: watch.preprocess(&[0]),
            step_s: STEP_S,
            block_s: watch.block_s(),
            pages_per_week: 1.0,
            fingerprint: String::new(),
        };
        let context = FitContext::new(0, &|| true);
        let model = Model::train(&recipe, history, &context).unwrap();
        let (entity, feature) = (Entity::default(), Some(name.to_string()));
        let key =
            ModelKey { watch: "w".into(), entity, feature, detector: "seasonal_median".into() };
        Members::from([(key, model)])
    }

    fn told(verdict: Verdict, shift: f64) -> Told {
        let id = if verdict == Verdict::Anomaly { 12 } else { 15 };
        let interval = Interval { from_s: 60 * STEP_S, to_s: 80 * STEP_S };
        let label = Label {
            watch: "w".into(),
            entity: Entity::default(),
            interval,
            verdict,
            class: None,
            author: Some("ann".into()),
            note: None,
            source: "api".into(),
            created_s: 0,
        };
        let window = rows(99, 80, 60..80, shift);
        let parts = vec![interval];
        let (overruled_by, overrules) = (Vec::new(), Vec::new());
        let heard = Heard { id, label, parts, overruled_by, overrules };
        let rows = LabelRows { features: vec!["x".into()], window };
        Told { heard, rows, points: vec![interval] }
    }

    fn highest(members: &Members, told: &Told) -> f64 {
        jury(members).inside(told).into_values().fold(f64::NAN, f64::max)
    }

    #[test]
    fn a_labelled_anomaly_lowers_the_threshold_and_is_found_then() {
        let history = rows(1, ROWS, 0..0, 0.0);
        let (champions, mut challengers) = (members(&history), members(&history));
        let slight = told(Verdict::Anomaly, 2.5);
        assert!(
            highest(&champions, &slight) < 1.0,
            "the test wants a fault that is missed at first"
        );
        let decision = decide(&watch(), &history, &[slight], &champions, &mut challengers);
        assert_eq!(decision, Decision::Promote);
        let again = told(Verdict::Anomaly, 2.5);
        assert!(highest(&challengers, &again) > 1.0);
    }

    #[test]
    fn a_champion_without_a_threshold_is_no_measure() {
        let eventful = rows(1, ROWS, ROWS - 600..ROWS - 560, 9.0);
        let (young, mut challengers) =
            (members(&eventful.slice(0, 100)), members(&rows(1, ROWS, 0..0, 0.0)));
        assert!(young.values().all(|model| !model.calibrated()));
        assert!(!jury(&challengers).false_alarms(&watch(), &eventful).is_empty());
        let decision = decide(&watch(), &eventful, &[], &young, &mut challengers);
        assert_eq!(decision, Decision::Promote);
    }

    #[test]
    fn an_anomaly_that_looks_like_every_day_is_not_learnt() {
        let history = rows(1, ROWS, 0..0, 0.0);
        let (champions, mut challengers) = (members(&history), members(&history));
        let nothing = told(Verdict::Anomaly, 0.0);
        let watch = Watch { consecutive: 1, ..watch() };
        let decision = decide(&watch, &history, &[nothing], &champions, &mut challengers);
        let Decision::Reject(reason) = decision else { panic!("promoted") };
        // Either it is still not found, or ordinary days would be found as well.
        assert!(reason.contains("wanted above 1") || reason.contains("false alarms"), "{reason}");
    }

    #[test]
    fn what_a_person_calls_normal_raises_the_threshold() {
        let history = rows(1, ROWS, 0..0, 0.0);
        let (champions, mut challengers) = (members(&history), members(&history));
        let known = told(Verdict::Normal, 20.0);
        assert!(highest(&champions, &known) > 1.0);
        let decision = decide(&watch(), &history, &[known], &champions, &mut challengers);
        assert_eq!(decision, Decision::Promote);
        assert!(highest(&challengers, &told(Verdict::Normal, 20.0)) <= 1.0);
    }

    #[test]
    fn a_champion_that_nobody_replaces_is_judged_with_the_challengers() {
        let history = rows(1, ROWS, 0..0, 0.0);
        let mut champions = members(&history);
        let (key, stays) = members(&history).pop_first().unwrap();
        champions.insert(ModelKey { detector: "stl".into(), ..key }, stays);
        let mut challengers = members(&history);
        // They would raise their thresholds; the one that stays in use would page again.
        let known = told(Verdict::Normal, 20.0);
        let decision = decide(&watch(), &history, &[known], &champions, &mut challengers);
        assert!(matches!(&decision, Decision::Reject(why) if why.contains("wanted at most 1")));
        assert_eq!(challengers.len(), 1, "and it is not made a challenger");
    }

    #[test]
    fn a_day_is_scored_in_pieces() {
        let history = rows(1, ROWS, 0..0, 0.0);
        let members = members(&history);
        let asked = std::cell::Cell::new(0);
        let keep_going = || {
            asked.set(asked.get() + 1);
            asked.get() < 3
        };
        Jury::of(&members, &keep_going).false_alarms(&watch(), &history);
        assert_eq!(asked.get(), 3, "and ends when it is told to");
    }

    #[test]
    fn a_reason_names_the_labels_that_are_not_met() {
        let history = rows(1, ROWS, 0..0, 0.0);
        let (champions, mut challengers) = (members(&history), members(&history));
        let labels = [told(Verdict::Normal, 20.0), told(Verdict::Anomaly, 6.0)];
        let decision = decide(&watch(), &history, &labels, &champions, &mut challengers);
        let Decision::Reject(reason) = decision else { panic!("promoted") };
        let named = "label 15 (normal 1970-01-01T01:00:00Z..1970-01-01T01:20:00Z, by ann): scores ";
        assert!(reason.starts_with(named) && reason.ends_with(", wanted at most 1"), "{reason}");

        let nothing = |points| Told { points, ..told(Verdict::Anomaly, -3.0) };
        let whole = Interval { from_s: 60 * STEP_S, to_s: 80 * STEP_S };
        let many: Vec<Told> = (0..7).map(|_| nothing(vec![whole])).collect();
        let judged = |told: &[Told]| judge(&watch(), &history, told, &jury(&champions), None);
        let Decision::Reject(reason) = judged(&many) else { panic!("promoted") };
        assert!(reason.contains("label 12 (anomaly "), "{reason}");
        assert!(reason.ends_with("wanted above 1; and 2 more"), "{reason}");
    }

    #[test]
    fn only_points_that_a_label_still_speaks_for_count() {
        let history = rows(1, ROWS, 0..0, 0.0);
        let champions = members(&history);
        let judged = |told: &Told| {
            let told = std::slice::from_ref(told);
            judge(&watch(), &history, told, &jury(&champions), None)
        };
        // 60..80 is far from normal; the label keeps what came before.
        let mut told = told(Verdict::Normal, 20.0);
        assert_ne!(judged(&told), Decision::Promote);
        told.points = vec![Interval { from_s: 30 * STEP_S, to_s: 60 * STEP_S }];
        assert_eq!(judged(&told), Decision::Promote);
        told.points = vec![Interval { from_s: 30 * STEP_S, to_s: 61 * STEP_S }];
        told.heard.overruled_by.push("label 16 (anomaly)".into());
        told.heard.overrules.push("label 3 (anomaly)".into());
        let Decision::Reject(reason) = judged(&told) else { panic!("promoted") };
        let wanted = "wanted at most 1, judged without what label 16 (anomaly) contradicts, \
            where it contradicts label 3 (anomaly)";
        assert!(reason.ends_with(wanted), "{reason}");
    }

    #[test]
    fn an_incident_that_a_held_version_sees_best_bends_no_other() {
        let history = rows(1, ROWS, 0..0, 0.0);
        let (held, mut others) = (of_feature("x", &history), of_feature("y", &history));
        let Told { heard, rows: LabelRows { window, .. }, points } = told(Verdict::Anomaly, 20.0);
        let quiet = rows(7, window.grid.len, 0..0, 0.0);
        let values = window.values.iter().zip(&quiet.values).flat_map(|(x, y)| [*x, *y]).collect();
        let window = Window { grid: window.grid, n_features: 2, values };
        let rows = LabelRows { features: vec!["x".into(), "y".into()], window };
        let told = [Told { heard, rows, points }];
        let threshold = |members: &Members| members.values().next().map(Model::threshold);
        let before = threshold(&others);
        move_thresholds(&told, &held, &mut others, 0.5, &|| true);
        assert_eq!(threshold(&others), before);
        move_thresholds(&told, &Members::new(), &mut others, 0.5, &|| true);
        assert!(threshold(&others) < before, "as if nobody else saw it");
    }
}

//! From an entry of `watches` to a watch: the preset's values below it, defaults below those.

use std::collections::BTreeMap;

use super::calendar;
use super::load::Found;
use super::placeholders::Placeholders;
use super::presets::Preset;
use super::raw::ChecksSection;
use super::raw::Detectors;
use super::raw::Query;
use super::raw::Seconds;
use super::raw::WatchSection;
use super::steps;
use super::steps::Steps;
use super::weak_labels;
use crate::detect;
use crate::math::calendar::Calendar;
use crate::math::calendar::DAY_S;
use crate::math::duration::format_duration;
use crate::model;
use crate::preprocess;
use crate::watch::Checks;
use crate::watch::Feature;
use crate::watch::Training;
use crate::watch::Watch;

/// The value of the entry, else of its preset.
macro_rules! pick {
    ($section:ident, $base:ident, $($field:ident).+) => {
        $section.$($field).+.clone().or_else(|| $base.$($field).+.clone())
    };
}

/// All watches; what is wrong with them goes to `found`.
pub(super) fn resolve(
    sections: &[Option<WatchSection>],
    usual: &Calendar,
    found: &mut Vec<Found>,
) -> Vec<Watch> {
    if sections.is_empty() {
        let what = "empty; wanted at least one, or no `watches` at all to watch what is there";
        found.push(("watches".into(), what.into()));
    }
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    let mut watches = Vec::new();
    for (i, section) in sections.iter().enumerate() {
        let Some(section) = section else { continue };
        let at = format!("watches[{i}]");
        let mut watch = one(section, &at, found);
        watch.calendar =
            calendar::resolve(&section.calendar, usual, &format!("{at}.calendar"), found);
        if let Some(first) = names.get(&watch.name).filter(|_| !watch.name.is_empty()) {
            let what = format!("{:?} is already the name of watches[{first}]", watch.name);
            found.push((format!("{at}.name"), what));
        }
        names.entry(watch.name.clone()).or_insert(i);
        watches.push(watch);
    }
    watches
}

/// The watch of a preset with nothing changed.
pub(super) fn of_preset(name: &str, native_histograms: bool) -> Option<Watch> {
    let section = WatchSection {
        name: Some(name.to_string()),
        preset: Some(name.to_string()),
        native_histograms: Some(native_histograms),
        ..WatchSection::default()
    };
    let mut found = Vec::new();
    let watch = one(&section, "", &mut found);
    found.is_empty().then_some(watch)
}

/// A query of a preset, with its placeholders filled in.
pub(super) fn filled(section: &WatchSection, query: &str) -> String {
    Placeholders::of(section, &WatchSection::default()).fill(query)
}

fn one(section: &WatchSection, at: &str, found: &mut Vec<Found>) -> Watch {
    let Some(base) = preset(section, at, found) else {
        // What an unknown preset would have given is not worth complaining about, too.
        return build(section, &WatchSection::default(), at, &mut Vec::new());
    };
    let watch = build(section, &base, at, found);
    check(&watch, at, found);
    watch
}

/// What lies below the entry; `None` where it names a preset that does not exist.
fn preset(section: &WatchSection, at: &str, found: &mut Vec<Found>) -> Option<WatchSection> {
    let Some(name) = &section.preset else { return Some(WatchSection::default()) };
    if let Some(preset) = Preset::read(name, section.native_histograms.unwrap_or(true)) {
        return Some(preset.section);
    }
    let known = Preset::names().join(", ");
    found.push((
        format!("{at}.preset"),
        format!("no preset is named {name:?}; wanted one of {known}"),
    ));
    None
}

fn build(section: &WatchSection, base: &WatchSection, at: &str, found: &mut Vec<Found>) -> Watch {
    let seconds = |value: Option<Seconds>| value.map(|s| s.0);
    let fill = Placeholders::of(section, base);
    let step_s = fill.step_s;
    let preprocess = steps::resolve(section, base, step_s, at, found);
    let bucket_s = preprocess.bucket_s;
    let point_s = bucket_s.unwrap_or(step_s).max(1);
    let window = pick!(section, base, window).unwrap_or(32);
    let entity = pick!(section, base, entity).unwrap_or_default();
    let checks = checks(section, base, &fill);
    fill.problems(section, at, found);
    let rules = pick!(section, base, weak_labels).unwrap_or_default();
    let weak_labels = weak_labels::resolve(&rules, &section.folder, at, found);
    let every_s = seconds(pick!(section, base, score.every));
    let history_s = seconds(pick!(section, base, train.history))
        .unwrap_or(if bucket_s.is_some() { 56 } else { 14 } * DAY_S);
    // One bucket is lost where history begins or ends within it.
    let usual_s = match bucket_s {
        Some(_) if history_s > point_s => (96 * point_s).min(history_s - point_s),
        _ => 96 * point_s,
    };
    let min_history_s = seconds(pick!(section, base, train.min_history));
    let consecutive = pick!(section, base, consecutive);
    let features = features(section, base, &fill, &preprocess);
    let usual = automatic(bucket_s, features.len());
    Watch {
        name: section.name.clone().unwrap_or_default(),
        features,
        entity,
        checks,
        step_s,
        lag_s: seconds(pick!(section, base, lag)).unwrap_or(step_s.min(30)),
        bucket_s,
        despike: preprocess.despike,
        steps: preprocess.steps,
        calendar: Calendar::default(),
        detectors: detectors([&section.detectors, &base.detectors], usual, window, at, found),
        weak_labels,
        consecutive: consecutive.unwrap_or(if bucket_s.is_some() { 4 } else { 3 }),
        pages_per_week: pick!(section, base, page_budget).map_or(1.0, |budget| budget.0),
        train: Training {
            every_s: seconds(pick!(section, base, train.every)).unwrap_or(DAY_S),
            history_s,
            min_history_s: min_history_s.unwrap_or(usual_s),
        },
        score_every_s: every_s.unwrap_or(point_s),
    }
}

/// An entry's own, over its preset's: each by itself, and an empty one is none.
fn checks(section: &WatchSection, base: &WatchSection, fill: &Placeholders) -> Checks {
    let (own, base) = (section.checks.as_ref(), base.checks.as_ref());
    let query = |of: fn(&ChecksSection) -> &Option<String>| {
        let said = own.and_then(|own| of(own).as_ref()).or(base.and_then(|base| of(base).as_ref()));
        said.map(|query| fill.fill(query)).filter(|query| !query.is_empty())
    };
    Checks {
        up: query(|checks| &checks.up),
        limit: query(|checks| &checks.limit),
        restarted: query(|checks| &checks.restarted),
        missed_scrapes: query(|checks| &checks.missed_scrapes),
    }
}

fn features(
    section: &WatchSection,
    base: &WatchSection,
    fill: &Placeholders,
    steps: &Steps,
) -> Vec<Feature> {
    let queries = pick!(section, base, queries).unwrap_or_default();
    let feature = |(name, query): (String, Query)| {
        // Traffic is multiplicative: an hour twice as busy is one step up, at 3 a.m. as at noon.
        let usual = match steps.bucket_s {
            Some(_) => preprocess::Transform::Log1p,
            None => preprocess::Transform::Identity,
        };
        let transform = query.transform.or(steps.transform).unwrap_or(usual);
        let scaler = query.scale.or(steps.scaler).unwrap_or_default();
        let floor = query.floor.unwrap_or(0.0);
        let scale = preprocess::FeatureConfig { transform, floor, scaler };
        Feature { name, query: fill.fill(&query.query), scale }
    };
    queries.into_iter().map(feature).collect()
}

/// Where an entry leaves them to us, they are those that its preset lists, else what measures best.
fn detectors(
    [own, preset]: [&Option<Detectors>; 2],
    usual: Vec<detect::Config>,
    window: usize,
    at: &str,
    found: &mut Vec<Found>,
) -> Vec<detect::Config> {
    let mut list = match (own, preset) {
        (Some(Detectors::List(list)), _) | (_, Some(Detectors::List(list))) => list.clone(),
        _ => usual,
    };
    if list.is_empty() {
        let what = format!("empty; wanted some of {}", detect::Config::NAMES.join(", "));
        found.push((format!("{at}.detectors"), what));
    }
    let twice = (1..list.len()).find(|&i| list[..i].iter().any(|d| d.name() == list[i].name()));
    if let Some(i) = twice {
        found.push((format!("{at}.detectors[{i}]"), format!("{:?} given twice", list[i].name())));
    }
    for (i, detector) in list.iter_mut().enumerate() {
        detector.set_window(window);
        // A network's problem is its window.
        let field = if detector.joint() { "window".into() } else { format!("detectors[{i}]") };
        found.extend(detector.problem().map(|what| (format!("{at}.{field}"), what)));
    }
    list
}

/// The set that measures best for this kind of watch: of several features, VUS-PR .68 and .65 on two sets of servers,
/// where the autoencoder has .41 and .31.
fn automatic(bucket_s: Option<i64>, n_features: usize) -> Vec<detect::Config> {
    let names: &[&str] = match bucket_s {
        Some(_) => &["seasonal_median", "stl"],
        None if n_features > 1 => &["var"],
        None if cfg!(feature = "deep") => &["autoencoder"],
        None => &["seasonal_median"],
    };
    names.iter().filter_map(|name| detect::Config::named(name)).collect()
}

/// Two years: rows are held in memory while they are learnt from.
const MAX_HISTORY_S: i64 = 731 * DAY_S;

/// One for every minute: a threshold that low means nothing.
const MAX_PAGES_PER_WEEK: f64 = 10_080.0;

fn is_label_name(name: &str) -> bool {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.starts_with(first)
        && name.chars().all(|c| first(c) || c.is_ascii_digit())
        && !name.starts_with("__")
}

const WANTED_NAME: &str = "wanted a name of 1 to 100 characters, no spaces or control characters";

/// Whether a name can be said on a command line and shown in a table.
fn is_name(name: &str) -> bool {
    let odd = |c: char| c.is_whitespace() || c.is_control();
    (1..=100).contains(&name.chars().count()) && !name.contains(odd)
}

/// Names become labels, and parts of a model's name.
fn check_names(watch: &Watch, at: &str, found: &mut Vec<Found>) {
    let mut problem = |field: &str, what: String| found.push((format!("{at}.{field}"), what));
    if watch.name.is_empty() {
        problem("name", "missing; wanted a name, it becomes the label `watch`".into());
    } else if !is_name(&watch.name) {
        problem("name", format!("{WANTED_NAME}; it becomes the label `watch`"));
    }
    for feature in watch.features.iter().filter(|feature| !is_name(&feature.name)) {
        let at = format!("queries.{}", feature.name);
        problem(&at, format!("{WANTED_NAME}; it becomes the label `feature`"));
    }
}

/// The short form; a bucket among steps was looked at there.
fn check_bucket(watch: &Watch, at: &str, found: &mut Vec<Found>) {
    let Some(bucket_s) = watch.bucket_s.filter(|_| watch.steps.is_empty()) else { return };
    let what = match (bucket_s > 0, watch.step_s > 0 && bucket_s % watch.step_s != 0) {
        (false, _) => "must be longer than zero".to_string(),
        (true, true) => {
            format!("must be a whole number of steps ({})", format_duration(watch.step_s))
        }
        (true, false) => return,
    };
    found.push((format!("{at}.bucket"), what));
}

/// What the values say together.
fn check(watch: &Watch, at: &str, found: &mut Vec<Found>) {
    check_names(watch, at, found);
    check_bucket(watch, at, found);
    let mut problem = |field: &str, what: String| found.push((format!("{at}.{field}"), what));
    if watch.features.is_empty() {
        problem("queries", "none; wanted a preset or at least one named query".into());
    }
    let durations = [
        ("step", watch.step_s),
        ("score.every", watch.score_every_s),
        ("train.every", watch.train.every_s),
    ];
    for (field, value) in durations {
        if value <= 0 {
            problem(field, "must be longer than zero".into());
        }
    }
    if watch.step_s <= 0 {
        return;
    }
    for name in watch.entity.iter().filter(|name| !is_label_name(name)) {
        problem("entity", format!("{name:?} is not a label name"));
    }
    for (i, name) in watch.entity.iter().enumerate() {
        if watch.entity[..i].contains(name) {
            problem(&format!("entity[{i}]"), format!("{name:?} given twice"));
        }
    }
    if let Some(feature) = watch.features.iter().find(|f| f.query.trim().is_empty()) {
        problem(&format!("queries.{}", feature.name), "empty; wanted PromQL".into());
    }
    if watch.pages_per_week > MAX_PAGES_PER_WEEK {
        problem("page_budget", format!("must be at most {MAX_PAGES_PER_WEEK} per 1w"));
    }
    for (field, value) in
        [("train.history", watch.train.history_s), ("train.every", watch.train.every_s)]
    {
        if value > MAX_HISTORY_S {
            problem(field, format!("must be at most {}", format_duration(MAX_HISTORY_S)));
        }
    }
    if watch.consecutive == 0 {
        problem("consecutive", "must be at least 1".into());
    }
    for (i, what) in regressor_problems(watch) {
        problem(&format!("detectors[{i}].regressors"), what);
    }
    for (field, what) in history_problems(watch) {
        problem(field, what);
    }
}

/// What is wrong with the features that detectors read beside the one that they judge, by detector.
fn regressor_problems(watch: &Watch) -> Vec<(usize, String)> {
    let names: Vec<&str> = watch.features.iter().map(|feature| feature.name.as_str()).collect();
    let mut problems = Vec::new();
    for (i, detector) in watch.detectors.iter().enumerate() {
        let wanted = detector.regressors();
        for (k, name) in wanted.iter().enumerate() {
            if !names.contains(&name.as_str()) {
                let known = names.join(", ");
                problems.push((i, format!("no query is named {name:?}; wanted some of {known}")));
            } else if names.len() == 1 {
                let what = format!("{name:?} is the only query, and no regressor of itself");
                problems.push((i, what));
            } else if wanted[..k].contains(name) {
                problems.push((i, format!("{name:?} given twice")));
            }
        }
    }
    problems
}

/// What is wrong with how much is learnt from.
fn history_problems(watch: &Watch) -> Vec<(&'static str, String)> {
    let Training { history_s, min_history_s, .. } = watch.train;
    let history = format_duration(history_s);
    let mut problems = Vec::new();
    let point_s = watch.point_s();
    if point_s <= 0 || history_s <= 0 {
        return problems; // which is said elsewhere
    }
    // Of buckets only whole ones are learnt from: one is lost where history begins or ends within it.
    let whole_s = if watch.bucket_s.is_some() { history_s - point_s } else { history_s };
    let needed = |d: &detect::Config| (model::min_history_s(d, point_s), d.joint(), d.name());
    let sound = watch.detectors.iter().filter(|detector| detector.problem().is_none());
    if let Some((needed_s, joint, name)) = sound.map(needed).max()
        && needed_s > whole_s
    {
        // A network needs it for its window.
        let field = if joint { "window" } else { "train.history" };
        let needed = format_duration(needed_s);
        let what = format!("{name} needs {needed} of rows, longer than train.history ({history})");
        problems.push((field, what));
    }
    if min_history_s > whole_s {
        let what = match watch.bucket_s {
            Some(_) => format!("must be a bucket shorter than train.history ({history}), or more"),
            None => format!("must not be longer than train.history ({history})"),
        };
        problems.push(("train.min_history", what));
    }
    problems
}

#[cfg(test)]
mod tests {
    use crate::config::parse;

    #[test]
    fn who_names_no_detector_has_what_measures_best() {
        let of = |entry: &str| {
            let config = parse("portent.yml", &format!("watches: [{{name: a, {entry}}}]")).unwrap();
            let watch = config.watches.iter().flatten().next().unwrap().clone();
            watch.detectors.iter().map(|detector| detector.name()).collect::<Vec<_>>()
        };
        assert_eq!(of("queries: {a: up, b: up}"), ["var"]);
        assert_eq!(of("queries: {a: up, b: up}, bucket: 30m"), ["seasonal_median", "stl"]);
        #[cfg(feature = "deep")]
        assert_eq!(of("queries: {a: up}"), ["autoencoder"]);
        #[cfg(feature = "deep")]
        assert_eq!(
            of("preset: coredns, detectors: auto"),
            ["autoencoder", "siamese", "classifier"]
        );
    }
}

//! Causal replay of a file: what would have been scored, had Portent been there.
//!
//! Owns: when the replay trains again, how members become one score per row.
//! Does not own: how a model is made (`model`) or how a file is read (`source`).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::detect;
use crate::detect::Episode;
use crate::detect::FitContext;
use crate::detect::FitError;
use crate::math::calendar::Calendar;
use crate::math::calendar::DAY_S;
use crate::model::Band;
use crate::model::Model;
use crate::model::Recipe;
use crate::preprocess;
use crate::preprocess::Transform;
use crate::score;
use crate::score::Streak;
use crate::score::THRESHOLD;
use crate::score::Witnesses;
use crate::series::Window;
use crate::watch::Training;

/// How a file is replayed.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Rows that are learnt from before the first score.
    pub train_rows: usize,
    /// Detectors; empty means those that suit the file.
    pub detectors: Vec<detect::Config>,
    /// The coarser step of traffic, also where `preprocess` says it.
    pub bucket_s: Option<i64>,
    /// The page budget.
    pub pages_per_week: f64,
    /// A watch's preprocessing, with an entry of `features` per column, instead of what suits the file.
    pub preprocess: Option<preprocess::Config>,
    /// Local time and holidays of whoever makes the traffic.
    pub calendar: Calendar,
    /// Labelled stretches of the rows, all columns, for supervised detectors; nothing after the first
    /// `train_rows`.
    pub episodes: Vec<Episode>,
    /// When it trains again, and how far back it learns from. By default from all rows, daily for two weeks, then less
    /// and less often; a joint detector only once.
    pub train: Option<Training>,
}

impl Settings {
    /// A file by itself: everything as suits it.
    pub fn new(train_rows: usize) -> Settings {
        Settings {
            train_rows,
            detectors: Vec::new(),
            bucket_s: None,
            pages_per_week: 1.0,
            preprocess: None,
            calendar: Calendar::default(),
            episodes: Vec::new(),
            train: None,
        }
    }

    /// Rows until models are made again, `n` rows after the first score. By time alone: where a file
    /// ends says nothing of when somebody who was there would have trained.
    fn pause(&self, n: usize, step_s: i64) -> usize {
        let rows = |s: i64| (s / step_s).max(1) as usize;
        let known_s = (self.train_rows + n) as i64 * step_s;
        let watched = self.train.map(|train| rows(train.pause_s(known_s)));
        watched.unwrap_or_else(|| rows(DAY_S).max(n / DAILY))
    }
}

/// One row of the output.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The input row's time.
    pub time_s: i64,
    /// ≥ 0 and finite, 1 is the threshold; 0 where nothing is known, as at a gap.
    pub score: f64,
    /// The first single detector's forecast and band, for files of one column.
    pub band: Option<Band>,
    /// Points in a row above 1.
    pub streak: u32,
    /// The most probable class of a row above 1, by detectors that learnt classes.
    pub class: Option<String>,
    /// How strange each column of a row above 1 is, below 0 where it is lower than it should be; by the first
    /// detector by which anomalies are told apart.
    pub deviations: Option<Vec<f64>>,
}

/// Models are made again daily so many times, then each time when as large a part of the replay is new.
const DAILY: usize = 14;

/// Replays `rows`: one output row per input row after the first `train_rows`, each computed from
/// rows up to its own.
///
/// # Errors
/// The first `train_rows` do not suffice for any detector.
pub fn run(names: &[String], rows: &Window, settings: &Settings) -> Result<Vec<Row>, FitError> {
    run_in(names, rows, settings, &FitContext::new(0, &|| true))
}

/// As [`run`], with the seed, the observer and the end of `context`; the calendar is that of `settings`.
///
/// # Errors
/// As [`run`], and `keep_going` said no before there was a first model.
pub fn run_in(
    names: &[String],
    rows: &Window,
    settings: &Settings,
    context: &FitContext<'_>,
) -> Result<Vec<Row>, FitError> {
    let (n, step_s) = (rows.grid.len, rows.grid.step_s);
    let first = settings.train_rows.min(n);
    let most = settings.train.map_or(n, |train| (train.history_s / step_s).max(1) as usize);
    let mut output = Vec::with_capacity(n - first);
    let (mut streak, mut last_s) = (Streak::default(), i64::MIN);
    let (mut from, mut models) = (first, Vec::new());
    let members = members(names, settings);
    let again = settings.train.is_some() || members.iter().all(|(detector, _)| !detector.joint());
    while from < n {
        let to = if again { n.min(from + settings.pause(from - first, step_s)) } else { n };
        let known = rows.slice(from.saturating_sub(most), from);
        match train(names, &known, &members, settings, context) {
            Ok(trained) => models = trained,
            Err(error) if models.is_empty() => return Err(error),
            // As in a sidecar: where nothing can be learnt any more, what was learnt stays in use.
            Err(_) => {}
        }
        let mut scored = score_stretch(&models, rows, from, to);
        for i in from..to {
            let Scored { time_s, score, band, class, deviations } =
                scored.remove(&i).unwrap_or_default();
            // A bucket is one point, however many rows it is shown on.
            if time_s != last_s {
                streak.advance(score);
                last_s = time_s;
            }
            // However strange a row is, what reads the file reads numbers.
            let score = if score.is_nan() { 0.0 } else { score.min(f64::MAX) };
            let (time_s, streak) = (rows.grid.time(i), streak.points);
            output.push(Row { time_s, score, band, streak, class, deviations });
        }
        from = to;
    }
    Ok(output)
}

/// What members make of one point.
#[derive(Debug, Clone, PartialEq)]
struct Scored {
    time_s: i64,
    score: f64,
    band: Option<Band>,
    class: Option<String>,
    deviations: Option<Vec<f64>>,
}

impl Default for Scored {
    fn default() -> Scored {
        Scored { time_s: i64::MIN, score: f64::NAN, band: None, class: None, deviations: None }
    }
}

/// Members' scores and the first band, by time.
type ByTime = BTreeMap<i64, (Witnesses, Option<Band>)>;

/// A detector and the columns that it reads; one that is not joint judges the first.
type Member = (detect::Config, Vec<usize>);

fn members(names: &[String], settings: &Settings) -> Vec<Member> {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let usual: &[&str] = match names.len() {
        1 => &["seasonal_median", "stl"],
        _ => &["var"],
    };
    let usual = || usual.iter().filter_map(|name| detect::Config::named(name)).collect();
    let detectors =
        if settings.detectors.is_empty() { usual() } else { settings.detectors.clone() };
    let columns = |detector: &detect::Config| match detector.joint() {
        true => vec![(0..names.len()).collect()],
        false => (0..names.len()).map(|own| detector.columns(own, &names)).collect::<Vec<_>>(),
    };
    let of = |d: detect::Config| columns(&d).into_iter().map(move |c| (d.clone(), c));
    detectors.into_iter().flat_map(of).collect()
}

/// A model, with the columns that it reads.
struct Trained {
    columns: Vec<usize>,
    /// How many of them, the first, it judges.
    n_judged: usize,
    model: Model,
}

impl Trained {
    fn judged(&self) -> &[usize] {
        &self.columns[..self.n_judged]
    }
}

fn train(
    names: &[String],
    history: &Window,
    members: &[Member],
    settings: &Settings,
    context: &FitContext<'_>,
) -> Result<Vec<Trained>, FitError> {
    let mut models = Vec::new();
    let mut refused = FitError::TooFewRows { have: history.grid.len, want: 1 };
    for (detector, columns) in members {
        let known = history.select(columns);
        let preprocess = match &settings.preprocess {
            Some(config) => {
                let feature = |c: &usize| config.features.get(*c).copied().unwrap_or_default();
                preprocess::Config {
                    features: columns.iter().map(feature).collect(),
                    ..config.clone()
                }
            }
            None => suitable(&known, settings.bucket_s),
        };
        let recipe = Recipe {
            features: columns.iter().map(|&c| names[c].clone()).collect(),
            detector: detector.clone(),
            preprocess,
            step_s: history.grid.step_s,
            block_s: score::default_block_s(settings.bucket_s.unwrap_or(history.grid.step_s)),
            pages_per_week: settings.pages_per_week,
            fingerprint: String::new(),
        };
        let episode = |e: &Episode| Episode { rows: e.rows.select(columns), ..e.clone() };
        let episodes = settings.episodes.iter().filter(|_| detector.joint()).map(episode);
        let context = FitContext {
            calendar: &settings.calendar,
            episodes: &episodes.collect::<Vec<_>>(),
            ..*context
        };
        match Model::train(&recipe, &known, &context) {
            Ok(model) => {
                let n_judged = if detector.joint() { columns.len() } else { 1 };
                models.push(Trained { columns: columns.clone(), n_judged, model });
            }
            Err(error) => refused = error,
        }
    }
    if models.is_empty() { Err(refused) } else { Ok(models) }
}

/// Traffic is multiplicative; a gauge that may be negative, or sits far from zero, is not.
fn suitable(known: &Window, bucket_s: Option<i64>) -> preprocess::Config {
    let transform = |c: usize| {
        let mut values = known.column(c);
        values.retain(|v| v.is_finite());
        values.sort_by(f64::total_cmp);
        let at = |q: f64| values.get((values.len() as f64 * q) as usize).copied().unwrap_or(0.0);
        let spread = at(0.01) > 0.0 && (at(0.99) > 3.0 * at(0.5) || at(0.5) > 3.0 * at(0.01));
        if spread { Transform::Log1p } else { Transform::Identity }
    };
    let feature =
        |c: usize| preprocess::FeatureConfig { transform: transform(c), ..Default::default() };
    let features = (0..known.n_features).map(feature).collect();
    preprocess::Config { bucket_s, features, ..Default::default() }
}

/// Combined scores of the rows `from..to`, by row.
fn score_stretch(
    models: &[Trained],
    rows: &Window,
    from: usize,
    to: usize,
) -> BTreeMap<usize, Scored> {
    let longest = models.iter().map(|trained| trained.model.n_raw_rows()).max().unwrap_or(1);
    let seen = rows.slice(from.saturating_sub(2 * longest), to);
    let mut by_feature: BTreeMap<&[usize], ByTime> = BTreeMap::new();
    let mut deviations: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
    for trained in models {
        let scored = by_feature.entry(trained.judged()).or_default();
        let Trained { columns, model, .. } = trained;
        let seen = seen.select(columns);
        for point in model.score(&seen, i64::MIN) {
            let time_s = point.time_s + model.delay_s();
            let above = point.score > THRESHOLD && model.deviates();
            let above = above.then(|| newest(model, &seen, time_s)).flatten();
            if let Some(own) = above.and_then(|rows| model.deviations(&rows)) {
                deviations.entry(time_s).or_insert(own);
            }
            let (scores, band) = scored.entry(time_s).or_default();
            scores.hear(point.score, model.names_classes());
            *band = band.or(point.band);
        }
    }
    let mut highest: BTreeMap<i64, (f64, Option<Band>)> = BTreeMap::new();
    for (time_s, (scores, band)) in by_feature.into_values().flatten() {
        let known =
            highest.entry(time_s).or_insert((f64::NAN, band.filter(|_| models[0].n_judged == 1)));
        known.0 = known.0.max(scores.score());
    }
    let point_of = |i: &usize| highest.range(..=rows.grid.time(*i)).next_back();
    let fresh = |i: &usize, time_s: i64| rows.grid.time(*i) - time_s < models[0].model.point_s();
    let row = |i: usize| {
        let (time_s, (score, band)) = point_of(&i).filter(|(t, _)| fresh(&i, **t))?;
        let class = (*score > THRESHOLD).then(|| class_of(models, &seen, *time_s)).flatten();
        let deviations = deviations.get(time_s).filter(|_| *score > THRESHOLD).cloned();
        Some((i, Scored { time_s: *time_s, score: *score, band: *band, class, deviations }))
    };
    (from..to).filter_map(row).collect()
}

/// The rows that the point of a time was scored from.
fn newest(model: &Model, seen: &Window, time_s: i64) -> Option<Window> {
    let end = seen.grid.index(time_s)? + 1;
    Some(seen.slice(end.saturating_sub(model.n_raw_rows()), end))
}

/// What models that learnt classes call the point of a time: the most probable of all.
fn class_of(models: &[Trained], seen: &Window, time_s: i64) -> Option<String> {
    let naming = models.iter().filter(|trained| trained.model.names_classes());
    let opinion = |Trained { columns, model, .. }: &Trained| {
        let rows = newest(model, &seen.select(columns), time_s)?;
        model.opinion(&rows)?.classes.into_iter().next()
    };
    let of_each = naming.filter_map(opinion);
    of_each.max_by(|a, b| a.1.total_cmp(&b.1)).map(|(class, _)| class)
}

/// The output file: `t,score`, and what the detectors give beside it. A band that is beyond numbers,
/// as of sums near the largest, is left empty.
pub fn to_csv(rows: &[Row]) -> String {
    let banded = rows.iter().any(|row| row.band.is_some());
    let mut text = String::from(if banded {
        "t,score,expected,lower,upper,streak\n"
    } else {
        "t,score,streak\n"
    });
    for row in rows {
        let _ = write!(text, "{},{:.6}", row.time_s, row.score);
        let known =
            |band: &Band| [band.expected, band.lower, band.upper].iter().all(|v| v.is_finite());
        match row.band.filter(known) {
            Some(band) => {
                let _ = write!(text, ",{:.6},{:.6},{:.6}", band.expected, band.lower, band.upper);
            }
            None if banded => text.push_str(",,,"),
            None => {}
        }
        let _ = writeln!(text, ",{}", row.streak);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Grid;

    const DAY: usize = 24;

    /// Hours with a daily rhythm, noise, gaps, and a level that changes on the way.
    fn hours(days: usize) -> Window {
        let value = |i: usize| match i % 89 {
            17 => f64::NAN,
            _ => {
                let turn = i as f64 / DAY as f64 * std::f64::consts::TAU;
                let level = if i > 30 * DAY { 130.0 } else { 100.0 };
                level + 40.0 * turn.sin() + (i * 7919 % 101) as f64 / 5.0
            }
        };
        let grid = Grid { start_s: 1_699_833_600, step_s: 3_600, len: days * DAY };
        Window::single(grid, (0..grid.len).map(value).collect())
    }

    fn replay(rows: &Window, settings: &Settings) -> Vec<Row> {
        run(&["x".to_string()], rows, settings).unwrap()
    }

    fn trained(every_s: i64, history_s: i64) -> Training {
        Training { every_s, history_s, min_history_s: 0 }
    }

    #[test]
    fn where_a_file_ends_changes_no_score_before() {
        let rows = hours(60);
        let plain = Settings::new(10 * DAY);
        let watched = Settings {
            bucket_s: Some(7_200),
            train: Some(trained(5 * DAY_S / 2, 15 * DAY_S)),
            ..plain.clone()
        };
        for settings in [plain, watched] {
            let whole = replay(&rows, &settings);
            assert!(whole.iter().filter(|row| row.score > 0.0).count() > 20 * DAY);
            for n in [10 * DAY + 2, 11 * DAY, 43 * DAY + 8, 60 * DAY - 2] {
                let part = replay(&rows.slice(0, n), &settings);
                assert_eq!(to_csv(&part), to_csv(&whole[..part.len()]), "{n} rows");
                assert_eq!(part.len(), n - 10 * DAY);
            }
        }
    }

    #[test]
    fn trainings_are_daily_at_first_and_of_a_year_not_too_many() {
        let trainings = |settings: &Settings, days: usize| {
            let (mut n, mut at) = (0, 0);
            while at < days * DAY {
                (n, at) = (n + 1, at + settings.pause(at, 3_600));
            }
            n
        };
        let plain = Settings::new(0);
        assert_eq!([7, 14, 365].map(|days| trainings(&plain, days)), [7, 14, 62]);
        let train = Some(trained(DAY_S, 14 * DAY_S));
        let watched = Settings { train, train_rows: 14 * DAY, ..plain };
        assert_eq!(trainings(&watched, 365), 365);
        // As a sidecar: what is young has to double.
        let young = Settings { train_rows: 2, ..watched };
        assert_eq!(trainings(&young, 1), 4);
    }

    #[test]
    fn what_is_longer_ago_than_history_is_forgotten() {
        let rows = hours(60);
        let detectors = detect::Config::seasonal(DAY_S);
        let long = Some(trained(DAY_S, 90 * DAY_S));
        let settings = Settings { detectors, train: long, ..Settings::new(10 * DAY) };
        let short = Settings { train: Some(trained(DAY_S, 14 * DAY_S)), ..settings.clone() };
        let late = rows.slice(20 * DAY, rows.grid.len);
        let (all, forgotten) = (replay(&rows, &settings), replay(&rows, &short));
        let same = replay(&late, &Settings { train_rows: 14 * DAY, ..short });
        let of = |scored: &[Row], day: usize| to_csv(&scored[day * DAY..(day + 1) * DAY]);
        assert_eq!(of(&forgotten, 24), of(&same, 0));
        assert_ne!(of(&forgotten, 24), of(&all, 24));
    }

    /// Four weeks of half hours: requests with a rhythm of the day, the errors that follow from them, and
    /// errors of their own one morning, and both at once another.
    fn requests_and_errors() -> Window {
        let n = 48 * 28;
        let noise = |i: usize, k: usize| ((i * 7919 + i * i * 31 * k) % 101) as f64 / 101.0;
        let row = |i: usize| {
            let rhythm = (i as f64 / 48.0 * std::f64::consts::TAU).sin();
            let burst = if (1224..1230).contains(&i) { 6.0 } else { 0.0 };
            let requests = 20.0 + 3.0 * rhythm + 4.0 * noise(i, 1) + burst;
            let own = if (1300..1306).contains(&i) { 4.0 } else { 0.0 };
            [0.8 * requests + 0.3 * noise(i, 3) + own, requests]
        };
        let grid = Grid { start_s: 1_700_438_400, step_s: 1800, len: n };
        Window { grid, n_features: 2, values: (0..n).flat_map(row).collect() }
    }

    #[test]
    fn what_a_feature_owes_to_another_is_no_anomaly_of_its_own() {
        let rows = requests_and_errors();
        let names = ["errors", "requests"].map(String::from);
        let highest = |text: &str, columns: &[usize]| {
            let detector = serde_json::from_str(text).unwrap();
            let settings = Settings { detectors: vec![detector], ..Settings::new(48 * 21) };
            let names: Vec<String> = columns.iter().map(|&c| names[c].clone()).collect();
            let scored = run(&names, &rows.select(columns), &settings).unwrap();
            let first = 48 * 21;
            let highest = |range: std::ops::Range<usize>| {
                scored[range.start - first..range.end - first]
                    .iter()
                    .map(|row| row.score)
                    .fold(0.0, f64::max)
            };
            (highest(1224..1230), highest(1300..1306))
        };
        let alone = highest(r#"{"sarimax": {}}"#, &[0]);
        assert!(alone.0 > 1.0, "a burst that nothing explains: {alone:?}");
        let regressed = r#"{"sarimax": {"regressors": ["requests"]}}"#;
        // Of a single file's column the name says nothing; of both, requests are judged, too.
        assert!(highest(regressed, &[0]).0 > 1.0);
        let both = highest(regressed, &[0, 1]);
        assert!(both.0 > 1.0 && both.1 > 1.0, "{both:?}");
        let detectors = vec![serde_json::from_str(regressed).unwrap()];
        let settings = Settings { detectors, ..Settings::new(48 * 21) };
        let members = members(&names, &settings);
        assert_eq!(members.iter().map(|m| m.1.clone()).collect::<Vec<_>>(), [vec![0, 1], vec![1]]);
        let errors = &members[..1];
        let context = FitContext::new(0, &|| true);
        let known = rows.slice(0, 48 * 21);
        let models = train(&names, &known, errors, &settings, &context).unwrap();
        let scored = score_stretch(&models, &rows, 48 * 21, rows.grid.len);
        let of =
            |range: std::ops::Range<usize>| range.map(|i| scored[&i].score).fold(0.0, f64::max);
        assert!(of(1224..1230) < 1.0, "requests explain it: {}", of(1224..1230));
        assert!(of(1300..1306) > 1.0, "they do not: {}", of(1300..1306));
        assert!(scored.values().all(|scored| scored.band.is_some()));
    }
}

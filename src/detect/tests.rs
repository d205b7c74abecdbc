//! The contract: what every detector has to keep. A new one is held to it by its name in the list.

mod damage;
mod hostile;

use crate::detect::Config;
use crate::detect::Episode;
use crate::detect::FitContext;
use crate::detect::FitError;
use crate::detect::Model;
use crate::detect::Raw;
use crate::model;
use crate::model::Recipe;
use crate::preprocess;
use crate::series::Grid;
use crate::series::Window;
use crate::verdict::Class;

const STEP_S: i64 = 1800;
const DAY: usize = 48;
/// A Monday's midnight.
const START_S: i64 = 1_700_438_400;

/// Every detector, the forecasters for a season of a day, and of differences.
fn every() -> Vec<Config> {
    let named = Config::NAMES.iter().filter_map(|name| Config::named(name));
    let differences = [
        serde_json::json!({"sarimax": {"order": [1, 1, 1]}}),
        serde_json::json!({"sarimax": {"order": [1, 0, 1], "seasonal": [0, 1, 1]}}),
    ];
    let differences = differences.map(|config| serde_json::from_value(config).unwrap());
    named.chain(Config::seasonal(86_400)).chain(differences).map(brief).collect()
}

/// A network learns for long; nothing here asks how well.
fn brief(mut config: Config) -> Config {
    config.set_window(8);
    let mut settings = serde_json::to_value(&config).unwrap();
    for (setting, few) in [("max_epochs", 2), ("max_steps", 20)] {
        if let Some(value) = settings.pointer_mut(&format!("/{}/{setting}", config.name())) {
            *value = few.into();
        }
    }
    serde_json::from_value(settings).unwrap()
}

/// Those of one column, whose scores are the same however they are asked for.
fn singles() -> Vec<Config> {
    every().into_iter().filter(|config| !config.joint()).collect()
}

fn fit(config: &Config, train: &Window) -> Result<Box<dyn Model>, FitError> {
    let episodes = [episode()];
    config.fit(train, &FitContext { episodes: &episodes, ..FitContext::new(1, &|| true) })
}

/// What those learn from that learn from incidents: an hour of a level that was never there.
fn episode() -> Episode {
    let mut rows = traffic_of(2 * DAY);
    rows.values[2 * DAY - 4..].fill(12.0);
    let from_s = rows.grid.time(2 * DAY - 4);
    Episode { rows, from_s, class: Class::anomaly("surge") }
}

fn window(values: Vec<f64>) -> Window {
    Window::single(Grid { start_s: START_S, step_s: STEP_S, len: values.len() }, values)
}

/// Six weeks with a rhythm of day and week and noise; a spike and a dip now and then, a gap too.
fn traffic() -> Window {
    traffic_of(6 * 7 * DAY)
}

fn traffic_of(n: usize) -> Window {
    let value = |i: usize| {
        let turn = (i % DAY) as f64 / DAY as f64 * std::f64::consts::TAU;
        let week = if i / DAY % 7 < 5 { 1.0 } else { 0.4 };
        let noise = ((i * 7919 + i * i * 31) % 101) as f64 / 101.0 - 0.5;
        let fault = if i % 311 == 200 { 6.0 } else { 0.0 };
        week * turn.sin() + 0.4 * noise + fault - if (i / 6) % 90 == 70 { 3.0 } else { 0.0 }
    };
    let gap = |i: usize| i % 97 == 13 || (700..709).contains(&i);
    window((0..n).map(|i| if gap(i) { f64::NAN } else { value(i) }).collect())
}

/// Rows that are learnt from and all rows, few enough for a network where it is one.
fn learnt(config: &Config) -> (Window, Window) {
    let all = if config.joint() { traffic_of(400) } else { traffic() };
    (all.slice(0, all.grid.len * 4 / 5), all)
}

/// Bits, with one NaN for all.
type Bits = (u64, Option<(u64, u64)>);

fn bits(raws: &[Raw]) -> Vec<Bits> {
    let one = |value: f64| if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() };
    let bits = |raw: &Raw| (one(raw.value), raw.forecast.map(|f| (one(f.expected), one(f.scale))));
    raws.iter().map(bits).collect()
}

/// The rows whose scores differ.
fn differing(a: &[Raw], b: &[Raw]) -> Vec<usize> {
    assert_eq!(a.len(), b.len());
    let (a, b) = (bits(a), bits(b));
    (0..a.len()).filter(|&i| a[i] != b[i]).collect()
}

/// Scores of all rows, each from its own look-back.
fn one_by_one(model: &dyn Model, all: &Window, rows: impl Iterator<Item = usize>) -> Vec<Raw> {
    let score = |i: usize| {
        let seen = all.slice(i.saturating_sub(model.lookback()), i + 1);
        let scored = model.score(&seen, seen.grid.len - 1);
        assert_eq!(scored.len(), 1);
        scored[0]
    };
    rows.map(score).collect()
}

#[test]
fn scores_survive_parts_and_the_same_rows_make_the_same_model() {
    for config in every() {
        let (train, all) = learnt(&config);
        let model = fit(&config, &train).unwrap();
        let restored = config.restore(model.parts()).unwrap();
        assert_eq!(restored.parts(), model.parts(), "{config:?}");
        assert_eq!(restored.lookback(), model.lookback(), "{config:?}");
        let differ = differing(&model.score(&all, 0), &restored.score(&all, 0));
        assert_eq!(differ, [0; 0], "{config:?}");
        assert_eq!(fit(&config, &train).unwrap().parts(), model.parts(), "{config:?}");
    }
}

/// What is kept for a label before there is a model has to suffice for it.
#[test]
fn no_model_looks_back_further_than_its_settings_say() {
    for config in every() {
        let (train, _) = learnt(&config);
        let model = fit(&config, &train).unwrap();
        let history_s = train.grid.len as i64 * STEP_S;
        let most = config.most_lookback(STEP_S, history_s);
        // Half of history again: a model may have learnt from less than there is.
        let longer = config.most_lookback(STEP_S, history_s * 3 / 2);
        let back = model.lookback();
        assert!(back <= most && most <= longer, "{config:?}: {back} {most} {longer}");
        assert!(most <= back + 8, "{config:?}: {most} for {back}");
    }
}

#[test]
fn scores_survive_a_file() {
    for config in every() {
        let (train, all) = learnt(&config);
        let recipe = Recipe {
            features: vec!["in".into()],
            detector: config.clone(),
            preprocess: preprocess::Config::default(),
            step_s: STEP_S,
            block_s: STEP_S,
            pages_per_week: 1.0,
            fingerprint: "f".into(),
        };
        let episodes = [episode()];
        let context = FitContext { episodes: &episodes, ..FitContext::new(1, &|| true) };
        let trained = model::Model::train(&recipe, &train, &context).unwrap();
        let bytes = trained.to_bytes();
        let restored = model::Model::from_bytes(&bytes).unwrap();
        let scores = |model: &model::Model| {
            let points = model.score(&all, 0);
            points.iter().map(|p| [p.raw, p.score].map(f64::to_bits)).collect::<Vec<_>>()
        };
        assert_eq!(scores(&restored), scores(&trained), "{config:?}");
        assert_eq!(restored.to_bytes(), bytes, "{config:?}");
    }
}

/// The anomalies of a rhythm that was learnt are found: who says 0 to everything keeps all else here.
#[test]
fn a_level_that_was_never_there_is_stranger_than_most() {
    for config in singles() {
        let (train, mut all) = learnt(&config);
        let strange = train.grid.len + 50..train.grid.len + 54;
        all.values[strange.clone()].fill(12.0);
        let model = fit(&config, &train).unwrap();
        let scores: Vec<f64> = model.score(&all, 0).iter().map(|raw| raw.value).collect();
        let highest = scores[strange].iter().fold(0.0, |a: f64, b| a.max(*b));
        let known = scores.iter().filter(|v| !v.is_nan());
        let share = known.clone().filter(|v| **v <= highest).count() as f64 / known.count() as f64;
        assert!(share > 0.97, "{config:?}: above {share} of the rows");
    }
}

#[test]
fn numbers_with_a_full_look_back_have_a_score_and_gaps_have_none() {
    for config in every() {
        let (train, all) = learnt(&config);
        let model = fit(&config, &train).unwrap();
        let scores = model.score(&all, 0);
        assert_eq!(scores.len(), all.grid.len, "{config:?}");
        for (i, raw) in scores.iter().enumerate() {
            // Gaps are in every look-back here. With less before it a row may have a score, too.
            let (known, gap) = (!raw.value.is_nan(), all.values[i].is_nan());
            assert!(known || gap || i < model.lookback(), "{config:?}: row {i}");
            assert!(!(known && gap), "{config:?}: row {i}");
            assert!(raw.value.is_nan() || (raw.value >= 0.0 && raw.value.is_finite()));
            assert!(raw.forecast.is_none_or(|f| !raw.value.is_finite() || f.scale > 0.0));
        }
        assert!(model.score(&all, all.grid.len).is_empty());
    }
}

#[test]
fn bands_hold_what_was_expected_and_what_leaves_them_scores_more() {
    for config in singles() {
        let (train, all) = learnt(&config);
        let model = fit(&config, &train).unwrap();
        let scores = model.score(&all, 0);
        for (i, (raw, y)) in scores.iter().zip(&all.values).enumerate() {
            let Some(forecast) = raw.forecast else { continue };
            assert_eq!(forecast.judge(forecast.expected).value, 0.0, "{config:?}: row {i}");
            for limit in [0.5, 2.0, 8.0] {
                let (lower, upper) = forecast.band(limit);
                let inside = (lower..=upper).contains(y);
                assert!(
                    lower < forecast.expected && forecast.expected < upper,
                    "{config:?}: row {i}"
                );
                // Within what rounding allows.
                let (near, known) = (1e-6 * limit, !raw.value.is_nan());
                assert!(!known || inside || raw.value > limit - near, "{config:?}: row {i}");
                assert!(!known || !inside || raw.value < limit + near, "{config:?}: row {i}");
            }
        }
    }
}

#[test]
fn the_newest_point_alone_scores_as_in_a_batch() {
    for config in singles() {
        let (train, all) = learnt(&config);
        let model = fit(&config, &train).unwrap();
        let whole = model.score(&all, 0);
        let n = all.grid.len;
        // Most rows after the last gaps and faults, and all phases of a day.
        let rows: Vec<usize> = (0..n).step_by(29).chain(n - 2 * DAY..n).collect();
        let alone = one_by_one(model.as_ref(), &all, rows.iter().copied());
        let batch: Vec<Raw> = rows.iter().map(|&i| whole[i]).collect();
        let differ: Vec<usize> = differing(&alone, &batch).into_iter().map(|k| rows[k]).collect();
        assert_eq!(differ, [0; 0], "{config:?}");
        // Nor does it matter how much more is there, or from where the scores are wanted.
        for from in [n / 3, n - 5] {
            assert_eq!(differing(&model.score(&all, from), &whole[from..]), [0; 0], "{config:?}");
        }
    }
}

#[test]
fn later_rows_change_no_score() {
    for config in every() {
        let (train, mut all) = learnt(&config);
        let model = fit(&config, &train).unwrap();
        let whole = model.score(&all, 0);
        let cut = train.grid.len + 31;
        let early = model.score(&all.slice(0, cut), 0);
        all.values[cut..].iter_mut().for_each(|v| *v = 50.0 - 9.0 * *v);
        let other = model.score(&all, 0);
        if config.joint() {
            // A network's sums run in blocks: equal but for the last digits.
            let near = |a: &Raw, b: &Raw| {
                a.value.is_nan() && b.value.is_nan() || (a.value - b.value).abs() < 1e-3
            };
            assert!(early.iter().zip(&whole).all(|(a, b)| near(a, b)), "{config:?}");
            assert!(other[..cut].iter().zip(&whole).all(|(a, b)| near(a, b)), "{config:?}");
        } else {
            assert_eq!(differing(&early, &whole[..cut]), [0; 0], "{config:?}");
            assert_eq!(differing(&other[..cut], &whole[..cut]), [0; 0], "{config:?}");
        }
    }
}

#[test]
fn a_gap_costs_its_own_score_only() {
    for config in every() {
        let (train, all) = learnt(&config);
        let model = fit(&config, &train).unwrap();
        let whole = model.score(&all, 0);
        let n = all.grid.len;
        // A network is blind where its whole window is a gap.
        let long = if config.joint() { 3 } else { 10 };
        for gap in [n - 40..n - 39, n - 60..n - 60 + long] {
            let mut gappy = all.clone();
            gappy.values[gap.clone()].fill(f64::NAN);
            for (i, raw) in model.score(&gappy, 0).iter().enumerate() {
                let unknown = gap.contains(&i) || whole[i].value.is_nan();
                assert_eq!(raw.value.is_nan(), unknown, "{config:?}: row {i}, gap {gap:?}");
            }
        }
    }
}

#[test]
fn a_fit_ends_when_it_is_told_to() {
    for config in every() {
        let (train, _) = learnt(&config);
        let asked = std::sync::atomic::AtomicUsize::new(0);
        let keep_going = || {
            asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            false
        };
        let episodes = [episode()];
        let context = FitContext { episodes: &episodes, ..FitContext::new(1, &keep_going) };
        match config.fit(&train, &context) {
            Err(error) => assert_eq!(error, FitError::Stopped, "{config:?}"),
            // Too short to be asked.
            Ok(_) => assert_eq!(asked.into_inner(), 0, "{config:?}"),
        }
    }
}

#[test]
fn yesterdays_numbers_are_a_place_to_start_from_whatever_they_are() {
    for config in every() {
        let (train, all) = learnt(&config);
        let parts = fit(&config, &train).unwrap().parts();
        let others = every().into_iter().filter(|other| other.name() != config.name());
        let foreign = others.take(1).map(|other| fit(&other, &learnt(&other).0).unwrap().parts());
        for previous in foreign.chain([parts]) {
            let episodes = [episode()];
            let go = FitContext::new(1, &|| true);
            let context = FitContext { previous: Some(&previous), episodes: &episodes, ..go };
            let model = config.fit(&train, &context).unwrap();
            let restored = config.restore(model.parts()).unwrap();
            let differ = differing(&model.score(&all, 0), &restored.score(&all, 0));
            assert_eq!(differ, [0; 0], "{config:?}");
        }
    }
}

#[test]
fn the_list_is_whole() {
    for name in Config::NAMES {
        let config = Config::named(name).unwrap();
        assert_eq!(config.name(), *name);
        assert_eq!(config.problem(), None, "{name}");
        let text = serde_json::to_value(&config).unwrap();
        assert_eq!(serde_json::from_value::<Config>(text).unwrap(), config);
        let defaults = serde_json::json!({*name: {}});
        assert_eq!(serde_json::from_value::<Config>(defaults).unwrap(), config);
        let unknown = serde_json::json!({*name: {"no_such_setting": 1}});
        assert!(serde_json::from_value::<Config>(unknown).is_err(), "{name}");
    }
    assert!(Config::named("oracle").is_none());
}

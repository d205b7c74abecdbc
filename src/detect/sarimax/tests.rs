//! What the detector has to keep.

mod quiet;

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use super::*;
use crate::detect;
use crate::math::calendar::Calendar;
use crate::math::dice::normal;
use crate::math::random::Random;
use crate::series::Grid;

/// Each point by itself.
fn named() -> detect::Config {
    detect::Config::Sarimax(Config { mean_of: Some(1), ..Config::default() })
}

fn fit_of(train: &Window) -> Result<Box<dyn Model>, FitError> {
    named().fit(train, &FitContext::new(1, &|| true))
}

fn window(step_s: i64, values: Vec<f64>) -> Window {
    let start_s = 1_700_006_400; // a midnight
    Window::single(Grid { start_s, step_s, len: values.len() }, values)
}

/// A daily wave with noise that is remembered.
fn wave(step_s: i64, n: usize) -> Vec<f64> {
    let day = |i: usize| (i as f64 * step_s as f64 / 86_400.0) * std::f64::consts::TAU;
    let noise = |i: usize| ((i * 7919 + i * i * 31) % 101) as f64 / 101.0 - 0.5;
    let mut memory = 0.0;
    let value = |i: usize| {
        memory = 0.8 * memory + 0.3 * noise(i);
        day(i).sin() + memory
    };
    (0..n).map(value).collect()
}

fn bits(raws: &[crate::detect::Raw]) -> Vec<(u64, u64)> {
    let pair = |raw: &crate::detect::Raw| {
        (raw.value.to_bits(), raw.forecast.map_or(0.0, |f| f.expected).to_bits())
    };
    raws.iter().map(pair).collect()
}

#[test]
fn a_row_alone_scores_as_among_all() {
    let mut all = window(1800, wave(1800, 48 * 30));
    for i in [700, 701, 702, 900, 1300] {
        all.values[i] = f64::NAN;
    }
    (1000..1060).for_each(|i| all.values[i] += 4.0);
    let seasonal: detect::Config =
        serde_json::from_str(r#"{"sarimax": {"seasonal": [1, 0, 1], "daily": 0}}"#).unwrap();
    for config in [named(), seasonal] {
        let train = all.slice(0, 48 * 20);
        let model = config.fit(&train, &FitContext::new(1, &|| true)).unwrap();
        let whole = model.score(&all, 0);
        let lookback = model.lookback();
        for i in (lookback..all.grid.len).step_by(7) {
            let alone = model.score(&all.slice(i - lookback, i + 1), lookback);
            assert_eq!(bits(&alone), bits(&whole[i..=i]), "{i}");
        }
        let restored = config.restore(model.parts()).unwrap();
        assert_eq!(bits(&restored.score(&all, 0)), bits(&whole));
        assert_eq!(model.parts(), restored.parts());
        let size: usize = model.parts().tensors.iter().map(|t| 8 * t.numbers.len()).sum();
        assert!(size + model.parts().meta.to_string().len() < 4_000);
    }
}

#[test]
fn a_lasting_shift_stays_strange() {
    let mut all = window(1800, wave(1800, 48 * 30));
    (48 * 28..48 * 28 + 12).for_each(|i| all.values[i] += 2.0);
    let model = fit_of(&all.slice(0, 48 * 28)).unwrap();
    let raws = model.score(&all, 48 * 28);
    let (during, after) = raws.split_at(12);
    assert!(during.iter().all(|raw| raw.value > 3.0), "{during:?}");
    assert!(after.iter().all(|raw| raw.value < 3.5), "{after:?}");
    for (raw, y) in raws.iter().zip(&all.values[48 * 28..]) {
        let forecast = raw.forecast.unwrap();
        assert_eq!(forecast.judge(*y), *raw);
    }
}

/// Its likelihood has a second valley, of a short memory around a level that is left behind.
#[test]
fn a_trend_goes_on() {
    for seed in 0..24 {
        let mut random = Random::new(seed);
        let phase = random.unit();
        let mut memory = 0.0;
        let value = |t: usize| {
            let days = t as f64 / 48.0;
            let turns = |n: f64| std::f64::consts::TAU * n * (days + phase);
            memory = 0.8 * memory + 0.3 * normal(&mut random);
            turns(1.0).sin() + 0.5 * turns(2.0).sin() + 0.1 * days + memory
        };
        let all = window(1800, (0..48 * 30).map(value).collect());
        let model = fit_of(&all.slice(0, 48 * 28)).unwrap();
        let raws = model.score(&all, 48 * 28);
        let off = raws.iter().zip(&all.values[48 * 28..]);
        let off = off.map(|(raw, y)| (raw.forecast.unwrap().expected - y).abs()).sum::<f64>();
        assert!(off / 96.0 < 1.2, "{seed}: {}", off / 96.0);
    }
}

#[test]
fn strange_rows_in_training_are_not_learnt() {
    let clean = window(1800, wave(1800, 48 * 30));
    let mut spoilt = clean.clone();
    (0..12).for_each(|k| spoilt.values[48 * (3 + 2 * k) + 20] += 60.0);
    let (a, b) = (fit_of(&clean).unwrap(), fit_of(&spoilt).unwrap());
    for (a, b) in a.score(&clean, 200).iter().zip(b.score(&clean, 200)) {
        let (a, b) = (a.forecast.unwrap(), b.forecast.unwrap());
        assert!((a.expected - b.expected).abs() < 0.15, "{a:?} {b:?}");
    }
}

#[test]
fn hostile_rows_are_scored_or_refused() {
    let hostile = [0.0, 1e18, -1e18, 5e-324, 1e300, -1e300, f64::NAN, f64::INFINITY];
    let trainings = [
        vec![],
        vec![f64::NAN; 800],
        vec![7.0; 800],
        vec![1e18; 800],
        vec![5e-324; 800],
        vec![1.0; 5],
        hostile.repeat(100),
        [vec![1.0], vec![f64::NAN; 798], vec![2.0]].concat(),
        (0..800).map(|i| f64::from(i % 48)).collect(),
        (0..800).map(|i| (f64::from(i) * std::f64::consts::TAU / 48.0).sin()).collect(),
    ];
    let probe = window(1800, hostile.to_vec());
    for training in &trainings {
        let Ok(model) = fit_of(&window(1800, training.clone())) else {
            continue;
        };
        for (raw, value) in model.score(&probe, 0).iter().zip(hostile) {
            assert_eq!(raw.value.is_nan(), value.is_nan(), "{training:?}");
            assert!(value.is_nan() || (raw.value.is_finite() && raw.value >= 0.0));
        }
    }
    let short = fit_of(&window(1800, wave(1800, 90)));
    assert_eq!(short.err(), Some(FitError::TooFewRows { have: 90, want: 96 }));
}

#[test]
fn yesterdays_numbers_lead_to_the_same_optimum() {
    let all = window(1800, wave(1800, 48 * 30));
    let cold = fit_of(&all).unwrap();
    let yesterday = fit_of(&all.slice(0, 48 * 29)).unwrap().parts();
    let mut context = FitContext::new(1, &|| true);
    context.previous = Some(&yesterday);
    let warm = named().fit(&all, &context).unwrap();
    for (a, b) in cold.score(&all, 0).iter().zip(warm.score(&all, 0)) {
        assert!((a.forecast.unwrap().expected - b.forecast.unwrap().expected).abs() < 1e-3);
    }
    let mut foreign = yesterday.clone();
    foreign.tensors[0] = crate::detect::Tensor::flat("parameters", vec![5.0f64; 3]);
    context.previous = Some(&foreign);
    assert!(named().fit(&all, &context).is_ok());
    context.keep_going = &|| false;
    assert_eq!(named().fit(&all, &context).err(), Some(FitError::Stopped));
}

/// One of nine orders begins where it ended yesterday.
#[test]
fn a_search_for_orders_begins_with_yesterdays_numbers() {
    let all = window(1800, wave(1800, 48 * 20));
    let part = all.slice(0, 48 * 19);
    for mean_of in [1, 4] {
        let text = format!(r#"{{"sarimax": {{"order": "auto", "mean_of": {mean_of}}}}}"#);
        let auto: detect::Config = serde_json::from_str(&text).unwrap();
        let yesterday = auto.fit(&part, &FitContext::new(1, &|| true)).unwrap().parts();
        let rounds = |previous| {
            let asked = AtomicUsize::new(0);
            let count = || asked.fetch_add(1, Ordering::Relaxed) < usize::MAX;
            let mut context = FitContext::new(1, &count);
            context.previous = previous;
            let model = auto.fit(&all, &context).unwrap();
            (model, asked.load(Ordering::Relaxed))
        };
        let ((cold, cold_rounds), (warm, warm_rounds)) = (rounds(None), rounds(Some(&yesterday)));
        assert_eq!(
            [cold.parts().meta, warm.parts().meta],
            [yesterday.meta.clone(), yesterday.meta]
        );
        for (a, b) in cold.score(&all, 0).iter().zip(warm.score(&all, 0)) {
            assert!((a.forecast.unwrap().expected - b.forecast.unwrap().expected).abs() < 1e-3);
        }
        assert!(warm_rounds < cold_rounds, "{warm_rounds} for {cold_rounds}");
    }
}

#[test]
fn orders_are_searched_for_and_settings_refused() {
    let config = |text: &str| serde_json::from_str::<detect::Config>(text).unwrap();
    let auto = config(r#"{"sarimax": {"order": "auto", "mean_of": 1}}"#);
    let model =
        auto.fit(&window(1800, wave(1800, 48 * 20)), &FitContext::new(1, &|| true)).unwrap();
    let found = model.parts().meta["order"].clone();
    assert!((1..3).contains(&found["p"].as_u64().unwrap()), "{found}");
    assert_eq!(auto.problem(), None);
    assert_eq!(
        config(r#"{"sarimax": {"order": [2, 2, 1], "seasonal": [1, 1, 1]}}"#).problem(),
        None
    );
    for bad in [
        r#"{"order": [9, 0, 1]}"#,
        r#"{"order": [1, 3, 1]}"#,
        r#"{"seasonal": [0, 2, 1]}"#,
        r#"{"horizon_s": 0}"#,
        r#"{"daily": 1000}"#,
    ] {
        assert!(config(&format!(r#"{{"sarimax": {bad}}}"#)).problem().is_some(), "{bad}");
    }
    assert!(serde_json::from_str::<detect::Config>(r#"{"sarimax": {"season": 7}}"#).is_err());
}

/// A wave that follows another series beside the clock; the second column is that series.
fn driven(n: usize) -> Window {
    let own = wave(1800, n);
    let other = |i: usize| ((i * 31 + i / 7 * i / 7 * 17) % 97) as f64 / 10.0;
    let values = (0..n).flat_map(|i| [own[i] + 0.5 * other(i), 100.0 + 7.0 * other(i)]).collect();
    Window { n_features: 2, values, ..window(1800, vec![0.0; n]) }
}

fn with_regressor(text: &str) -> detect::Config {
    let text = format!(r#"{{"sarimax": {{"mean_of": 1, "regressors": ["other"]{text}}}}}"#);
    serde_json::from_str(&text).unwrap()
}

#[test]
fn what_another_feature_explains_is_expected() {
    let mut all = driven(48 * 30);
    let train = all.slice(0, 48 * 28);
    let at = 48 * 29;
    all.row_mut(at)[0] += 3.0;
    all.row_mut(at)[1] += 42.0;
    all.row_mut(at + 9)[0] += 3.0;
    for more in ["", r#", "order": [1, 1, 1]"#, r#", "seasonal": [0, 1, 1]"#] {
        let config = with_regressor(more);
        let model = config.fit(&train, &FitContext::new(1, &|| true)).unwrap();
        assert!(model.reads(0) && model.reads(1) && !model.reads(2));
        let raws = model.score(&all, 0);
        assert!(raws[at].value < 3.0, "{more}: {:?}", raws[at]);
        assert!(raws[at + 9].value > 6.0, "{more}: {:?}", raws[at + 9]);
        let restored = config.restore(model.parts()).unwrap();
        assert_eq!(bits(&restored.score(&all, 0)), bits(&raws));
        assert_eq!(restored.parts(), model.parts());
    }
}

#[test]
fn a_regressor_that_is_missing_costs_certainty_and_no_score() {
    let mut all = driven(48 * 30);
    let n = all.grid.len;
    let gap = n - 40..n - 30;
    gap.clone().for_each(|i| all.row_mut(i)[1] = f64::NAN);
    let config = with_regressor("");
    let model = config.fit(&all.slice(0, 48 * 28), &FitContext::new(1, &|| true)).unwrap();
    let raws = model.score(&all, 0);
    let scale = |i: usize| raws[i].forecast.unwrap().scale;
    assert!(raws[n - 96..].iter().all(|raw| raw.value < 5.0));
    assert!(gap.clone().all(|i| scale(i) > 1.5 * scale(i - 48)));
    assert!((n - 30..n).all(|i| scale(i) < 1.1 * scale(i - 48)));
    // As a row alone, too.
    for i in (n - 48..n).step_by(5) {
        let alone = model.score(&all.slice(i - model.lookback(), i + 1), model.lookback());
        assert_eq!(bits(&alone), bits(&raws[i..=i]), "{i}");
    }
    // Nor is a row of which part is missing learnt from.
    let mut spoilt = all.slice(0, 48 * 28);
    for i in (100..1100).step_by(50) {
        spoilt.row_mut(i).copy_from_slice(&[-20.0, f64::NAN]);
    }
    let other = config.fit(&spoilt, &FitContext::new(1, &|| true)).unwrap();
    for (a, b) in raws[n - 48..].iter().zip(other.score(&all, n - 48)) {
        let (a, b) = (a.forecast.unwrap().expected, b.forecast.unwrap().expected);
        assert!((a - b).abs() < 0.2, "{a} {b}");
    }
}

#[test]
fn a_regressor_that_says_nothing_is_not_read() {
    let all = driven(48 * 30);
    let plain = named().fit(&all.select(&[0]), &FitContext::new(1, &|| true)).unwrap();
    let expected = |model: &dyn Model, rows: &Window| {
        let raws = model.score(rows, 0);
        raws.iter().map(|raw| raw.forecast.unwrap().expected.to_bits()).collect::<Vec<_>>()
    };
    let hostile = [f64::NAN, 7.0, f64::INFINITY, 1e300, 5e-324];
    for value in hostile {
        let mut spoilt = all.clone();
        (0..all.grid.len).for_each(|i| spoilt.row_mut(i)[1] = value);
        let model = with_regressor("").fit(&spoilt, &FitContext::new(1, &|| true)).unwrap();
        assert!(!model.reads(1), "{value}");
        assert_eq!(expected(model.as_ref(), &all), expected(plain.as_ref(), &all.select(&[0])));
    }
    // One that is read may say what it likes later.
    let model = with_regressor("").fit(&all, &FitContext::new(1, &|| true)).unwrap();
    let mut probe = all.clone();
    (0..all.grid.len).for_each(|i| probe.row_mut(i)[1] = [1e300, -1e18, f64::NEG_INFINITY][i % 3]);
    assert!(model.score(&probe, 0).iter().all(|raw| raw.value.is_finite()));
}

#[test]
fn foreign_parts_of_regressors_are_refused() {
    let all = driven(48 * 20);
    let parts = with_regressor("").fit(&all, &FitContext::new(1, &|| true)).unwrap().parts();
    let spoilt = |spoil: &dyn Fn(&mut Parts)| {
        let mut parts = parts.clone();
        spoil(&mut parts);
        named().restore(parts).is_err()
    };
    assert!(!spoilt(&|_| {}));
    assert!(spoilt(&|parts| parts.meta["others"] = 2.into()));
    assert!(spoilt(&|parts| parts.meta["others"] = 0.into()));
    assert!(spoilt(&|parts| parts.meta["others"] = (1u64 << 62).into()));
    let negative = crate::detect::Tensor::flat("scales", vec![-1.0]);
    assert!(spoilt(&|parts| *parts.tensors.last_mut().unwrap() = negative.clone()));
}

fn of_differences(text: &str) -> detect::Config {
    serde_json::from_str(&format!(r#"{{"sarimax": {{"mean_of": 1, {text}}}}}"#)).unwrap()
}

#[test]
fn differences_follow_a_level_that_moved_for_good() {
    let mut all = window(1800, wave(1800, 48 * 30));
    let train = all.slice(0, 48 * 20);
    (48 * 22..48 * 30).for_each(|i| all.values[i] += 30.0);
    let off = |config: &detect::Config, day: usize| {
        let model = config.fit(&train, &FitContext::new(1, &|| true)).unwrap();
        let raws = model.score(&all.slice(0, 48 * (day + 1)), 48 * day);
        let off = raws.iter().zip(&all.values[48 * day..]);
        off.map(|(raw, y)| (raw.forecast.unwrap().expected - y).abs()).fold(0.0, f64::max)
    };
    for differences in [
        r#""order": [1, 1, 1]"#,
        r#""order": [1, 0, 1], "seasonal": [0, 1, 1]"#,
        r#""order": [0, 1, 1], "seasonal": [0, 1, 1]"#,
    ] {
        let config = of_differences(differences);
        assert!(off(&config, 21) < 2.0, "{differences}: as before");
        assert!(
            off(&config, 22) > 25.0,
            "{differences}: the day after is forecast from the day before"
        );
        assert!(off(&config, 27) < 2.5, "{differences}: {}", off(&config, 27));
    }
    assert!(off(&named(), 27) > 25.0);
}

#[test]
fn where_nothing_is_seen_differences_expect_what_training_saw_and_say_that_they_do_not_know() {
    let all = window(1800, wave(1800, 48 * 30));
    let lofty = Window::single(all.grid, all.values.iter().map(|y| 700.0 + 3.0 * y).collect());
    for differences in [
        r#""order": [1, 1, 1]"#,
        r#""order": [1, 2, 1]"#,
        r#""order": [1, 0, 1], "seasonal": [0, 1, 1]"#,
    ] {
        let config = of_differences(differences);
        let model = config.fit(&lofty, &FitContext::new(1, &|| true)).unwrap();
        let mut gappy = lofty.clone();
        let n = gappy.grid.len;
        gappy.values[..n - 1].fill(f64::NAN);
        let (usual, blind) = (model.score(&lofty, n - 1)[0], model.score(&gappy, n - 1)[0]);
        let (usual, blind) = (usual.forecast.unwrap(), blind.forecast.unwrap());
        assert!((blind.expected - 700.0).abs() < 9.0, "{differences}: {blind:?}");
        assert!(blind.scale > 2.0 * usual.scale, "{differences}: {blind:?} {usual:?}");
    }
}

/// A gap's far end says what its differences were in sum: white noise is forecast by its mean.
#[test]
fn gaps_cost_differences_nothing_but_themselves() {
    let noise = |i: usize| ((i * 7919 + i * i * 31) % 101) as f64 / 101.0 - 0.5;
    let missing = |i: usize| (i * 104_729 + i * i * 7) % 10 < 3;
    let value = |i: usize| if missing(i) { f64::NAN } else { 5.0 + noise(i) };
    let all = window(3600, (0..24 * 44).map(value).collect());
    assert!(all.values.iter().filter(|y| y.is_nan()).count() > 24 * 44 / 4);
    for differences in [r#""order": [0, 1, 1]"#, r#""order": [1, 1, 1]"#] {
        let config = of_differences(differences);
        let model = config.fit(&all.slice(0, 24 * 42), &FitContext::new(1, &|| true)).unwrap();
        for raw in model.score(&all, 24 * 42) {
            let expected = raw.forecast.unwrap().expected;
            assert!((expected - 5.0).abs() < 0.2, "{differences}: {expected}");
        }
    }
}

#[test]
fn a_scale_is_wider_where_gaps_made_the_forecast_less_certain() {
    let all = window(1800, wave(1800, 48 * 30));
    let config = of_differences(r#""order": [0, 1, 0], "horizon_s": 7200"#);
    let model = config.fit(&all, &FitContext::new(1, &|| true)).unwrap();
    let n = all.grid.len;
    let scales = |rows: &Window| {
        let raws = model.score(rows, n - 48);
        raws.iter().map(|raw| raw.forecast.unwrap().scale).collect::<Vec<f64>>()
    };
    let usual = scales(&all);
    let mut gappy = all.clone();
    gappy.values[n - 40..n - 20].fill(f64::NAN);
    for (k, (wider, usual)) in scales(&gappy).into_iter().zip(usual).enumerate() {
        // The gap is rows 8..28 of these; a forecast knows what was seen four rows before.
        match k {
            // Of a random walk four rows ahead, each row that is missing is one row more.
            12..=31 => {
                let wanted = ((k - 7) as f64 / 4.0).sqrt();
                assert!((wider / usual - wanted).abs() < 1e-9, "{k}: {wider} {usual}");
            }
            _ => assert_eq!(wider, usual, "{k}"),
        }
    }
}

#[test]
fn foreign_parts_are_refused() {
    let parts = fit_of(&window(1800, wave(1800, 48 * 20))).unwrap().parts();
    let spoilt = |spoil: &dyn Fn(&mut Parts)| {
        let mut parts = parts.clone();
        spoil(&mut parts);
        named().restore(parts)
    };
    assert!(spoilt(&|_| {}).is_ok());
    assert!(spoilt(&|parts| parts.meta["horizon"] = 0.into()).is_err());
    assert!(spoilt(&|parts| parts.meta["horizon"] = (1u64 << 50).into()).is_err());
    assert!(spoilt(&|parts| parts.meta["order"]["season"] = (1u64 << 62).into()).is_err());
    assert!(spoilt(&|parts| parts.meta["order"]["p"] = (1u64 << 62).into()).is_err());
    assert!(spoilt(&|parts| parts.meta["order"]["d"] = 3.into()).is_err());
    assert!(spoilt(&|parts| parts.meta["order"]["d"] = 1.into()).is_err(), "no spread");
    assert!(spoilt(&|parts| parts.meta["order"]["seasonal_d"] = 2.into()).is_err());
    assert!(spoilt(&|parts| parts.meta["regressors"]["daily"] = (1u64 << 62).into()).is_err());
    assert!(spoilt(&|parts| parts.meta["step_s"] = 0.into()).is_err());
    assert!(spoilt(&|parts| parts.meta["detector"] = "stl".into()).is_err());
    assert!(
        spoilt(&|parts| {
            parts.tensors.pop();
        })
        .is_err()
    );
    let unstable = crate::detect::Tensor::flat("parameters", vec![1.5, 0.2, 0.0]);
    assert!(spoilt(&|parts| parts.tensors[0] = unstable.clone()).is_err());
}

#[test]
fn the_day_is_the_local_one() {
    let calendar: Calendar =
        serde_json::from_str(r#"{"time_zone": "Europe/Rome", "holidays": []}"#).unwrap();
    // Eight weeks around the end of summer time: noon stays noon.
    let grid = Grid { start_s: 1_696_118_400, step_s: 1800, len: 48 * 56 };
    let second = |i: usize| calendar.second_of_week(grid.time(i)) % DAY_S;
    let rows = (0..grid.len).map(|i| f64::from(second(i) / 3600 >= 9 && second(i) / 3600 < 17));
    let all = Window::single(grid, rows.collect());
    let mut context = FitContext::new(1, &|| true);
    context.calendar = &calendar;
    let local = named().fit(&all, &context).unwrap();
    let utc = fit_of(&all).unwrap();
    let off = |model: &dyn Model| {
        let raws = model.score(&all, 48 * 49);
        let off = raws.iter().zip(&all.values[48 * 49..]);
        off.map(|(raw, y)| (raw.forecast.unwrap().expected - y).powi(2)).sum::<f64>()
    };
    // In UTC the edges of the day are an hour off from then on, which its memory mends in part.
    assert!(off(local.as_ref()) < 0.7 * off(utc.as_ref()));
}

//! What both detectors on residuals have to keep.

use crate::detect::Config;
use crate::detect::FitContext;
use crate::detect::FitError;
use crate::detect::Model;
use crate::detect::Numbers;
use crate::detect::residuals::Residuals;
use crate::math::calendar::Calendar;
use crate::series::Grid;
use crate::series::Window;

const DETECTORS: [&str; 2] = ["isolation_forest", "one_class_svm"];

fn fit(detector: &str, train: &Window) -> Result<Box<dyn Model>, FitError> {
    Config::named(detector).unwrap().fit(train, &FitContext::new(1, &|| true))
}

fn window(step_s: i64, values: Vec<f64>) -> Window {
    let start_s = 1_700_006_400; // a midnight
    Window::single(Grid { start_s, step_s, len: values.len() }, values)
}

/// A daily wave with a little noise.
fn wave(step_s: i64, n: usize) -> Vec<f64> {
    let day = |i: usize| (i as f64 * step_s as f64 / 86_400.0) * std::f64::consts::TAU;
    let noise = |i: usize| ((i * 7919 + i * i * 31) % 101) as f64 / 101.0 - 0.5;
    (0..n).map(|i| day(i).sin() + 0.3 * noise(i)).collect()
}

fn values(model: &dyn Model, window: &Window, first: usize) -> Vec<f64> {
    model.score(window, first).iter().map(|raw| raw.value).collect()
}

#[test]
fn a_spike_ranks_first_at_every_step() {
    for (step_s, days) in [(60, 3), (300, 15), (1800, 56), (3600, 3)] {
        let n = days * 86_400 / step_s as usize;
        for detector in DETECTORS {
            let mut all = wave(step_s, n + 48);
            all[n / 2] = 300.0; // one in training must not hide the next
            all[n + 20] += 3.0;
            let all = window(step_s, all);
            let model = fit(detector, &all.slice(0, n)).unwrap();
            let raws = values(model.as_ref(), &all, n);
            let best = (0..48).max_by(|&a, &b| raws[a].total_cmp(&raws[b]));
            assert_eq!(best, Some(20), "{detector} at {step_s} s: {raws:?}");
            let usual = raws[..20].iter().chain(&raws[24..]).fold(0.0, |a: f64, b| a.max(*b));
            assert!(raws[20] > 2.0 * usual, "{detector} at {step_s} s: {} {usual}", raws[20]);
        }
    }
}

#[test]
fn beyond_what_was_learnt_farther_is_stranger() {
    let all = window(1800, wave(1800, 48 * 15));
    for detector in DETECTORS {
        let model = fit(detector, &all).unwrap();
        let raw = |y: f64| values(model.as_ref(), &window(1800, vec![y]), 0)[0];
        let raws: Vec<f64> = [3.0, 10.0, 100.0, 1e4, 1e8].map(raw).to_vec();
        assert!(raws.is_sorted_by(|a, b| a < b), "{detector}: {raws:?}");
    }
}

#[test]
fn newest_rows_score_as_the_whole_does_and_a_gap_costs_its_own_score_only() {
    let mut all = window(1800, wave(1800, 48 * 15));
    for detector in DETECTORS {
        let model = fit(detector, &all).unwrap();
        let lookback = model.lookback();
        for gap in [None, Some(650)] {
            let kept = gap.map(|at| std::mem::replace(&mut all.values[at], f64::NAN));
            let whole = values(model.as_ref(), &all, 0);
            for (i, score) in whole.iter().enumerate().skip(lookback) {
                let newest = values(model.as_ref(), &all.slice(i - lookback, i + 1), lookback);
                assert_eq!(newest.len(), 1);
                assert_eq!(newest[0].to_bits(), score.to_bits(), "{detector} {i}");
                assert_eq!(score.is_nan(), gap == Some(i), "{detector} {i}");
            }
            gap.zip(kept).into_iter().for_each(|(at, y)| all.values[at] = y);
        }
        assert!(values(model.as_ref(), &all, all.grid.len).is_empty());
    }
}

#[test]
fn gaps_in_training_are_skipped() {
    let mut train = wave(1800, 48 * 21);
    for i in (0..train.len()).filter(|i| (i / 30) % 4 == 1 || (500..700).contains(i)) {
        train[i] = f64::NAN;
    }
    let all = window(1800, wave(1800, 48 * 22));
    let (residuals, learnt) =
        Residuals::fit(&window(1800, train), None, &FitContext::new(1, &|| true)).unwrap();
    assert!(learnt.len() > 100, "{}", learnt.len());
    let features = residuals.features(&all, 48 * 21);
    assert!(features.iter().flatten().all(|f| f.abs() < 8.0), "{features:?}");
}

#[test]
fn hostile_training_is_a_model_or_an_error() {
    let hostile = [0.0, 1e18, -1e18, 5e-324, 1e300, -1e300, f64::NAN, f64::INFINITY];
    let trainings = [
        vec![],
        vec![f64::NAN; 800],
        vec![7.0; 800],
        vec![-7.0; 800],
        vec![1e18; 800],
        vec![5e-324; 800],
        vec![1.0; 5],
        hostile.repeat(100),
        [vec![1.0], vec![f64::NAN; 798], vec![2.0]].concat(),
        (0..800).map(|i| if i % 7 == 0 { 1e300 } else { -1e300 }).collect(),
    ];
    let probe = window(1800, hostile.to_vec());
    for detector in DETECTORS {
        for training in &trainings {
            let Ok(model) = fit(detector, &window(1800, training.clone())) else {
                continue;
            };
            for (raw, value) in model.score(&probe, 0).iter().zip(hostile) {
                assert_eq!(raw.value.is_nan(), value.is_nan(), "{detector} {training:?}");
                assert!(value.is_nan() || (raw.value.is_finite() && raw.value >= 0.0));
            }
            let restored = Config::named(detector).unwrap().restore(model.parts());
            assert!(restored.is_ok(), "{detector}: {:?}", restored.err());
        }
    }
}

#[test]
fn a_constant_that_changes_is_strange() {
    for detector in DETECTORS {
        let model = fit(detector, &window(1800, vec![7.0; 48 * 20])).unwrap();
        let raws = values(model.as_ref(), &window(1800, vec![7.0, 7.0, 9.0]), 0);
        assert!(raws[2] > 2.0 * raws[1] && raws[1] < 2.0, "{detector}: {raws:?}");
    }
}

#[test]
fn little_history_is_said_so() {
    let few = window(300, vec![1.0; 7]);
    for detector in DETECTORS {
        let error = fit(detector, &few).err();
        assert_eq!(error, Some(FitError::TooFewRows { have: 7, want: 8 }));
        assert!(fit(detector, &window(300, wave(300, 288))).is_ok());
        let stopped = FitContext::new(1, &|| false);
        let all = window(1800, wave(1800, 48 * 15));
        let error = Config::named(detector).unwrap().fit(&all, &stopped).err();
        assert_eq!(error, Some(FitError::Stopped));
    }
}

#[test]
fn restored_scores_are_the_same_and_so_are_those_of_the_same_seed() {
    let all = window(1800, wave(1800, 48 * 20));
    for detector in DETECTORS {
        let config = Config::named(detector).unwrap();
        let model = fit(detector, &all.slice(0, 48 * 18)).unwrap();
        let restored = config.restore(model.parts()).unwrap();
        assert_eq!(model.score(&all, 0), restored.score(&all, 0));
        assert_eq!(model.parts(), restored.parts());
        assert_eq!(fit(detector, &all.slice(0, 48 * 18)).unwrap().parts(), model.parts());
        let mut bytes = Vec::new();
        model.parts().tensors.iter().for_each(|tensor| tensor.numbers.write(&mut bytes));
        assert!(bytes.len() <= 500_000, "{detector}: {} bytes", bytes.len());
    }
}

#[test]
fn foreign_parts_are_refused() {
    let train = window(1800, wave(1800, 48 * 15));
    let [forest, machine] = DETECTORS.map(|detector| Config::named(detector).unwrap());
    let parts = fit("isolation_forest", &train).unwrap().parts();
    assert!(machine.restore(parts.clone()).is_err());
    for (config, detector) in [(&forest, DETECTORS[0]), (&machine, DETECTORS[1])] {
        let parts = fit(detector, &train).unwrap().parts();
        for (i, tensor) in parts.tensors.iter().enumerate() {
            let mut missing = parts.clone();
            missing.tensors.remove(i);
            assert!(config.restore(missing).is_err(), "without {}", tensor.name);
            let mut wrong = parts.clone();
            wrong.tensors[i].numbers = match &tensor.numbers {
                Numbers::F32(values) => Numbers::F32(vec![f32::NAN; values.len()]),
                Numbers::F64(values) => Numbers::F64(vec![f64::INFINITY; values.len()]),
                other => Numbers::U8(vec![255; other.len()]),
            };
            assert!(config.restore(wrong).is_err(), "{} of nonsense", tensor.name);
        }
        for (path, value) in [("season_s", 0), ("slot_s", -1), ("season_s", i64::MAX)] {
            let mut wrong = parts.clone();
            wrong.meta["clock"]["slots"][path] = value.into();
            assert!(config.restore(wrong).is_err(), "{path} {value}");
        }
        assert!(config.restore(parts).is_ok());
    }
}

#[test]
fn nonsense_settings_are_refused() {
    let config = |text: &str| serde_json::from_str::<Config>(text);
    for (text, problem) in [
        (r#"{"isolation_forest":{"trees":0}}"#, "trees"),
        (r#"{"one_class_svm":{"nu":0}}"#, "nu"),
        (r#"{"one_class_svm":{"nu":1.5}}"#, "nu"),
        (r#"{"one_class_svm":{"rows":1}}"#, "rows"),
    ] {
        assert!(config(text).unwrap().problem().unwrap().starts_with(problem), "{text}");
    }
    assert!(config(r#"{"one_class_svm":{"gamma":1}}"#).is_err());
    assert!(DETECTORS.iter().all(|name| Config::named(name).unwrap().problem().is_none()));
}

#[test]
fn a_given_season_is_used() {
    let text = r#"{"isolation_forest":{"season_s":3600}}"#;
    let config: Config = serde_json::from_str(text).unwrap();
    let hourly: Vec<f64> = (0..1200).map(|i| if i % 60 < 10 { 5.0 } else { 0.0 }).collect();
    let model = config.fit(&window(60, hourly.clone()), &FitContext::new(1, &|| true)).unwrap();
    assert_eq!(model.parts().meta["clock"]["slots"]["season_s"], 3600);
}

#[test]
fn slots_are_of_local_time_across_a_change_of_clocks() {
    // A day of Rome, which begins an hour earlier after 31 March 2024.
    let rome = Calendar::new("Europe/Rome", Default::default()).unwrap();
    let start_s = 1_709_510_400; // 4 March 2024
    let grid = Grid { start_s, step_s: 1800, len: 48 * 60 };
    let noise = wave(1800, grid.len);
    let value = |i: usize| {
        let turn = rome.local_s(grid.time(i)) as f64 / 86_400.0 * std::f64::consts::TAU;
        5.0 * turn.sin() + noise[i] - (i as f64 / 48.0 * std::f64::consts::TAU).sin()
    };
    let all = Window::single(grid, (0..grid.len).map(value).collect());
    let utc = FitContext::new(1, &|| true);
    let context = FitContext { calendar: &rome, ..FitContext::new(1, &|| true) };
    for detector in DETECTORS {
        let config = Config::named(detector).unwrap();
        let highest = |context: &FitContext<'_>| {
            let model = config.fit(&all.slice(0, 48 * 26), context).unwrap();
            let restored = config.restore(model.parts()).unwrap();
            values(restored.as_ref(), &all, 48 * 40).into_iter().fold(0.0, f64::max)
        };
        let (right, wrong) = (highest(&context), highest(&utc));
        assert!(wrong > 4.0 * right, "{detector}: {right}, {wrong} where nobody said so");
    }
}

#[test]
fn a_holiday_is_like_a_sunday_and_no_other_day_learns_from_it() {
    // Offices: busy from 8 to 18 on weekdays, but for two Wednesdays.
    let holidays = ["2024-03-20", "2024-04-10"].map(|day| day.parse().unwrap());
    let calendar = Calendar::default().with_holidays(holidays.into());
    let start_s = 1_708_905_600; // Monday, 26 February 2024
    let grid = Grid { start_s, step_s: 1800, len: 48 * 49 };
    let noise = wave(1800, grid.len);
    let busy = |i: usize| {
        let weekday = i / 48 % 7 < 5 && !calendar.is_holiday(grid.time(i));
        f64::from(u8::from(weekday && (16..36).contains(&(i % 48)))) * 5.0
    };
    let all = Window::single(grid, (0..grid.len).map(|i| busy(i) + 0.3 * noise[i]).collect());
    let plain = FitContext::new(1, &|| true);
    let context = FitContext { calendar: &calendar, ..FitContext::new(1, &|| true) };
    // Learnt to the end of March; 10 April is judged, and the Wednesday before it.
    let (learnt, holiday, usual) = (48 * 35, 48 * 44, 48 * 37);
    for detector in DETECTORS {
        let config = Config::named(detector).unwrap();
        let highest = |context: &FitContext<'_>, day: usize| {
            let model = config.fit(&all.slice(0, learnt), context).unwrap();
            let rows = all.slice(day - 3, day + 48);
            values(model.as_ref(), &rows, 3).into_iter().fold(0.0, f64::max)
        };
        let (known, unknown) = (highest(&context, holiday), highest(&plain, holiday));
        let day = highest(&context, usual);
        assert!(unknown > 4.0 * known, "{detector}: {known}, {unknown} where nobody said so");
        assert!(known < 2.0 * day.max(1.0), "{detector}: {known}, a usual day {day}");
    }
}

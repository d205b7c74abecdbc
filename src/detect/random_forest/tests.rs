//! scikit-learn's errors, what a lag may and may not carry, other steps, other clocks.

use std::collections::BTreeSet;

use crate::detect::Config;
use crate::detect::FitContext;
use crate::detect::FitError;
use crate::detect::Model;
use crate::detect::Tensor;
use crate::math::calendar::Calendar;
use crate::math::random::Random;
use crate::series::Grid;
use crate::series::Window;

use super::*;

const ROWS: &str = include_str!("../../../tests/data/reference/random_forest.csv");
const ERRORS: &str = include_str!("../../../tests/data/reference/random_forest_rmse.csv");
/// A Monday's midnight.
const START_S: i64 = 1_700_438_400;
const DAY: usize = 48;

fn lines(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().skip(1).map(|line| line.split(',').collect())
}

/// Mean and standard deviation.
fn moments(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (mean, (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt())
}

/// Errors on the reference rows, by seed.
fn own_errors(config: &super::Config, seeds: u64) -> Vec<f64> {
    let rows: Vec<Vec<f64>> =
        lines(ROWS).map(|line| line.iter().map(|v| v.parse().unwrap()).collect()).collect();
    let (learnt, asked): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row[0] == 1.0);
    let columns: Vec<Vec<f64>> =
        (1..5).map(|c| learnt.iter().map(|row| row[c]).collect()).collect();
    let bins = Bins::of(&columns);
    let binned =
        |rows: &[Vec<f64>]| rows.iter().map(|row| bins.row(&row[1..5])).collect::<Vec<_>>();
    let targets: Vec<f64> = learnt.iter().map(|row| row[5]).collect();
    let plan = (config.trees, config.plan(learnt.len(), 4));
    let error = |seed| {
        let forest = Forest::fit(&binned(&learnt), &targets, &bins, plan, seed, &|| true);
        let forecast = forest.unwrap().0.predict(&binned(&asked));
        let square = |(row, y): (&Vec<f64>, f64)| (row[5] - y).powi(2);
        (asked.iter().zip(forecast).map(square).sum::<f64>() / asked.len() as f64).sqrt()
    };
    (1..=seeds).map(error).collect()
}

#[test]
fn errors_are_those_of_scikit_learns_seeds() {
    // One row a leaf is more than 64 bins tell apart: there the error is a little larger.
    for (settings, trees, min_samples_leaf, max_features, spreads) in [
        ("100/5/0.5", 100, 5, 0.5, 1.0),
        ("20/20/0.25", 20, 20, 0.25, 1.0),
        ("100/1/1", 100, 1, 1.0, 2.0),
    ] {
        let of = |line: &Vec<&str>| line[0] == settings;
        let theirs: Vec<f64> =
            lines(ERRORS).filter(of).map(|line| line[2].parse().unwrap()).collect();
        assert_eq!(theirs.len(), 12);
        let config = super::Config { trees, min_samples_leaf, max_features, ..Default::default() };
        let (own, own_spread) = moments(&own_errors(&config, 12));
        let (reference, spread) = moments(&theirs);
        // Means of 12 seeds, within what one seed is from the next.
        let said = format!("{settings}: {own:.4} ± {own_spread:.4}, {reference:.4} ± {spread:.4}");
        assert!((own - reference).abs() < spreads * spread, "{said}");
        assert!(own_spread < 2.0 * spread && spread < 2.0 * own_spread, "{said}");
    }
}

/// Each point by itself.
fn config() -> Config {
    Config::RandomForest(super::Config { mean_of: Some(1), ..Default::default() })
}

fn fit(train: &Window) -> Result<Box<dyn Model>, FitError> {
    config().fit(train, &FitContext::new(1, &|| true))
}

/// Days and weekends with noise.
fn traffic(step_s: i64, days: usize) -> Window {
    let mut random = Random::new(5);
    let len = days * 86_400 / step_s as usize;
    let value = |i: usize| {
        let day = i as f64 * step_s as f64 / 86_400.0;
        let work = if day as usize % 7 < 5 { 1.0 } else { 0.3 };
        work * (day * std::f64::consts::TAU).sin() + 0.4 * (random.unit() - 0.5)
    };
    Window::single(Grid { start_s: START_S, step_s, len }, (0..len).map(value).collect())
}

/// How far off forecasts are of the rows from `first` on.
fn error(model: &dyn Model, window: &Window, first: usize) -> f64 {
    let raws = model.score(window, first);
    let off = raws.iter().zip(&window.values[first..]);
    let square = |(raw, y): (&Raw, &f64)| (raw.forecast.unwrap().expected - y).powi(2);
    (off.map(square).sum::<f64>() / raws.len() as f64).sqrt()
}

#[test]
fn every_step_is_forecast_from_a_look_back_that_is_not_long() {
    let steps =
        [(30, 3, 3_010), (60, 16, 1_530), (300, 30, 2_050), (1800, 56, 338), (7200, 60, 85)];
    for (step_s, days, longest) in steps {
        let all = traffic(step_s, days);
        let day = 86_400 / step_s as usize;
        let model = fit(&all.slice(0, all.grid.len - day)).unwrap();
        assert!((1..=longest).contains(&model.lookback()), "{step_s} s: {}", model.lookback());
        // The noise alone is 0.115.
        let error = error(model.as_ref(), &all, all.grid.len - day);
        assert!(error < 0.2, "{step_s} s: {error}");
    }
    let seconds = fit(&traffic(10, 2)).unwrap();
    assert_eq!(seconds.lookback(), 0);
}

#[test]
fn an_outage_yesterday_is_no_anomaly_today() {
    let all = traffic(1800, 57);
    let today = 56 * DAY;
    let model = fit(&all.slice(0, today)).unwrap();
    let mut odd = all.clone();
    odd.values[today - DAY..today].fill(-30.0);
    let mut gone = all.clone();
    gone.values[today - DAY..today].fill(f64::NAN);
    let usual = model.score(&gone, today);
    assert_eq!(model.score(&odd, today), usual);
    assert!(usual.iter().all(|raw| raw.value < 6.0), "{usual:?}");
    assert!(model.score(&odd, today - DAY)[..DAY].iter().all(|raw| raw.value > 50.0));
}

#[test]
fn what_is_odd_in_training_is_not_learnt() {
    let all = traffic(1800, 57);
    let mut odd = all.slice(0, 56 * DAY);
    for day in [20, 27, 40] {
        odd.values[day * DAY + 10..day * DAY + 20].fill(25.0);
    }
    let model = fit(&odd).unwrap();
    let error = error(model.as_ref(), &all, 56 * DAY);
    assert!(error < 0.16, "{error}");
}

#[test]
fn holidays_are_learnt() {
    let mut all = traffic(1800, 70);
    let holidays = [17, 24, 31, 38, 45, 67].map(|day| {
        all.values[day * DAY..(day + 1) * DAY].iter_mut().for_each(|v| *v = 0.2 * *v - 2.0);
        jiff::Timestamp::from_second(START_S + day as i64 * 86_400).unwrap()
    });
    let dates = holidays.map(|at| at.to_zoned(jiff::tz::TimeZone::UTC).date());
    let known = Calendar::new("UTC", BTreeSet::from(dates)).unwrap();
    let error_with = |calendar: &Calendar| {
        let context = FitContext { calendar, ..FitContext::new(1, &|| true) };
        let model = config().fit(&all.slice(0, 60 * DAY), &context).unwrap();
        let restored = config().restore(model.parts()).unwrap();
        assert_eq!(restored.parts(), model.parts());
        error(restored.as_ref(), &all.slice(0, 68 * DAY), 67 * DAY)
    };
    let (with, without) = (error_with(&known), error_with(&Calendar::default()));
    assert!(with < 0.5 * without, "{with}, {without}");
}

#[test]
fn noon_stays_noon_when_the_clock_is_set() {
    let rome = Calendar::new("Europe/Rome", BTreeSet::new()).unwrap();
    let start_s = 1_706_482_800; // a Monday's midnight in Rome, two months before the clock is set
    let grid = Grid { start_s, step_s: 1800, len: 80 * DAY };
    let value =
        |i: usize| f64::from(u8::from(rome.local_s(grid.time(i)).rem_euclid(86_400) >= 43_200));
    let all = Window::single(grid, (0..grid.len).map(value).collect());
    let context = FitContext { calendar: &rome, ..FitContext::new(1, &|| true) };
    let model = config().fit(&all.slice(0, 55 * DAY), &context).unwrap();
    let raws = model.score(&all, 55 * DAY);
    assert!(raws.iter().all(|raw| raw.value < 1.0), "a step of 1 is 20 scales");
    for i in (60 * DAY..75 * DAY).step_by(7) {
        let seen = all.slice(i - model.lookback(), i + 1);
        assert_eq!(model.score(&seen, model.lookback())[0], raws[i - 55 * DAY]);
    }
}

#[test]
fn a_model_stays_small_and_is_the_same_for_the_same_seed() {
    let size = |days: usize| {
        let parts = fit(&traffic(1800, days)).unwrap().parts();
        let mut bytes = Vec::new();
        parts.tensors.iter().for_each(|tensor| tensor.numbers.write(&mut bytes));
        bytes.len()
    };
    let (months, years) = (size(109), size(800));
    assert!(months < 350_000 && years < 524_288, "{months} {years}");
    let train = traffic(1800, 30);
    assert_eq!(fit(&train).unwrap().parts(), fit(&train).unwrap().parts());
    let other = config().fit(&train, &FitContext::new(2, &|| true)).unwrap();
    assert_ne!(other.parts(), fit(&train).unwrap().parts());
}

#[test]
fn foreign_and_damaged_parts_are_refused() {
    let parts = fit(&traffic(1800, 20)).unwrap().parts();
    let at = |name: &str| parts.tensors.iter().position(|t| t.name == name).unwrap();
    let n = parts.tensors[at("columns")].numbers.len();
    for tensor in [
        Tensor::flat("columns", vec![0u8; n]),
        Tensor::flat("columns", vec![u8::MAX; n]),
        Tensor::flat("columns", vec![7u8; n]),
        Tensor::flat("columns", Vec::<u8>::new()),
        Tensor::flat("splits", vec![0u8; n / 2]),
        Tensor::flat("splits", vec![64u8; n / 2]),
        Tensor::flat("leaves", vec![0.0f32; 3]),
        Tensor::flat("scale", vec![0.0f32; 24]),
        Tensor::flat("edge_counts", vec![200u8; 6]),
        Tensor::flat("centre", vec![0.0f32; 5]),
    ] {
        let mut broken = parts.clone();
        let name = tensor.name.clone();
        broken.tensors[at(&name)] = tensor;
        assert!(config().restore(broken).is_err(), "{name}");
    }
    for (key, value) in [("slot_s", 7), ("slot_s", -1800), ("season_s", 0), ("step_s", 0)] {
        let mut broken = parts.clone();
        broken.meta["times"][key] = value.into();
        assert!(config().restore(broken).is_err(), "{key}");
    }
    assert!(config().restore(parts).is_ok());
}

#[test]
fn settings_without_sense_are_refused() {
    let problem = |text: &str| serde_json::from_str::<super::Config>(text).unwrap().problem();
    assert_eq!(problem("{}"), None);
    for bad in [
        r#"{"trees": 0}"#,
        r#"{"max_features": 0}"#,
        r#"{"max_features": 1.5}"#,
        r#"{"min_samples_leaf": 0}"#,
        r#"{"max_samples": 40000}"#,
    ] {
        assert!(problem(bad).unwrap().starts_with("random_forest wants "), "{bad}");
    }
    assert!(serde_json::from_str::<super::Config>(r#"{"depth": 3}"#).is_err());
}

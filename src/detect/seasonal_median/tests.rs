//! What both forecasting detectors have to keep.

use crate::detect::Config;
use crate::detect::FitContext;
use crate::detect::FitError;
use crate::detect::Model;
use crate::detect::Tensor;
use crate::math::calendar::Calendar;
use crate::series::Grid;
use crate::series::Window;

const DETECTORS: [&str; 2] = ["seasonal_median", "stl"];

fn fit(detector: &str, train: &Window) -> Result<Box<dyn Model>, FitError> {
    let context = FitContext::new(1, &|| true);
    Config::named(detector).unwrap().fit(train, &context)
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
            let mean_of = (model.lookback() + 1) as f64;
            assert!(raws[20] * mean_of > 8.0, "{detector} at {step_s} s: {}", raws[20]);
        }
    }
}

#[test]
fn the_forecast_explains_the_raw_score() {
    let all = window(1800, wave(1800, 48 * 15));
    for detector in DETECTORS {
        let model = fit(detector, &all).unwrap();
        for (i, raw) in model.score(&all, 0).into_iter().enumerate() {
            let forecast = raw.forecast.unwrap();
            assert_eq!(forecast.judge(all.values[i]), raw);
            assert!((forecast.expected - all.values[i]).abs() < 1.0, "{detector}");
        }
    }
}

#[test]
fn a_gap_costs_its_own_score_only() {
    let mut all = window(1800, wave(1800, 48 * 15));
    for detector in DETECTORS {
        let model = fit(detector, &all).unwrap();
        let whole = values(model.as_ref(), &all, 600);
        let kept = std::mem::replace(&mut all.values[650], f64::NAN);
        let gappy = values(model.as_ref(), &all, 600);
        all.values[650] = kept;
        assert!(gappy[50].is_nan());
        let far = |i: usize| i < 50 || i > 50 + model.lookback();
        assert!((0..whole.len()).all(|i| i == 50 || gappy[i].is_finite()));
        assert!((0..whole.len()).all(|i| !far(i) || whole[i] == gappy[i]));
        // Causal: what comes later changes nothing.
        assert_eq!(values(model.as_ref(), &all.slice(0, 640), 600), whole[..40]);
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
    for detector in DETECTORS {
        let model = fit(detector, &window(1800, train.clone())).unwrap();
        for raw in model.score(&all, 48 * 21) {
            let forecast = raw.forecast.unwrap();
            assert!(raw.value < 8.0 && forecast.expected.abs() < 1.5, "{detector}: {raw:?}");
        }
    }
}

#[test]
fn hostile_training_is_a_model_or_an_error() {
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
        }
    }
}

#[test]
fn little_history_is_said_so() {
    let day = window(300, wave(300, 288));
    assert!(matches!(fit("stl", &day), Err(FitError::TooFewRows { have: 288, want: 576 })));
    assert!(fit("seasonal_median", &day).is_ok());
    let few = window(300, vec![1.0; 7]);
    assert_eq!(fit("seasonal_median", &few).err(), Some(FitError::TooFewRows { have: 7, want: 8 }));
}

#[test]
fn restored_scores_are_the_same() {
    let all = window(1800, wave(1800, 48 * 20));
    for detector in DETECTORS {
        let config = Config::named(detector).unwrap();
        let model = fit(detector, &all.slice(0, 48 * 18)).unwrap();
        let restored = config.restore(model.parts()).unwrap();
        assert_eq!(model.score(&all, 0), restored.score(&all, 0));
        assert_eq!(model.parts(), restored.parts());
    }
}

#[test]
fn foreign_parts_are_refused() {
    let parts = fit("stl", &window(1800, wave(1800, 48 * 15))).unwrap().parts();
    let medians = Config::named("seasonal_median").unwrap();
    assert!(medians.restore(parts.clone()).is_err());
    let stl = Config::named("stl").unwrap();
    let mut broken = vec![Default::default(); 4];
    broken[0] = parts.clone();
    broken[0].tensors.pop();
    broken[1] = parts.clone();
    broken[1].tensors[1] = Tensor::flat("scale", vec![f32::NAN; 336]);
    broken[2] = parts.clone();
    broken[2].meta["slots"]["season_s"] = 0.into();
    assert!(broken.into_iter().all(|parts| stl.restore(parts).is_err()));
    assert!(stl.restore(parts).is_ok());
}

#[test]
fn a_given_season_is_used() {
    let config: Config = serde_json::from_str(r#"{"seasonal_median":{"season_s":3600}}"#).unwrap();
    let context = FitContext::new(1, &|| true);
    let hourly = (0..600).map(|i| if i % 60 < 10 { 5.0 } else { 0.0 }).collect();
    let train = window(60, hourly);
    let model = config.fit(&train, &context).unwrap();
    let centre = |i: usize| model.score(&train, i)[0].forecast.unwrap().expected;
    assert_eq!((centre(3), centre(30)), (5.0, 0.0));
    assert!(serde_json::from_str::<Config>(r#"{"stl":{"period":7}}"#).is_err());
}

#[test]
fn newest_rows_score_as_all_do() {
    let mut all = window(1800, wave(1800, 48 * 20));
    for i in [700, 701, 720, 810] {
        all.values[i] = f64::NAN;
    }
    all.values[730] = 1e18;
    for detector in DETECTORS {
        let model = fit(detector, &all.slice(0, 48 * 14)).unwrap();
        let back = model.lookback();
        let whole = model.score(&all, 0);
        assert_eq!(back, 3, "half-hours are buckets");
        for (i, whole) in whole.iter().enumerate().skip(back) {
            let alone = model.score(&all.slice(i - back, i + 1), back)[0];
            assert_eq!(alone.value.to_bits(), whole.value.to_bits(), "{detector} {i}");
        }
    }
}

#[test]
fn what_lasts_adds_up_and_one_wild_point_is_soon_forgotten() {
    let quiet = window(1800, wave(1800, 48 * 20));
    let mut shifted = quiet.clone();
    (800..804).for_each(|i| shifted.values[i] += 0.5);
    let mut wild = quiet.clone();
    wild.values[800] = 1e18;
    for detector in DETECTORS {
        let model = fit(detector, &quiet.slice(0, 48 * 14)).unwrap();
        let raw = |rows: &Window| values(model.as_ref(), rows, 800);
        let (shifted, wild) = (raw(&shifted), raw(&wild));
        assert!(shifted[3] > 2.0 * shifted[0], "{detector}: {:?}", &shifted[..4]);
        assert!(wild[0] > 1e6 && wild[1] < 5.0, "{detector}: {:?}", &wild[..4]);
        assert_eq!(wild[4], raw(&quiet)[4]);
        let expected = |at| model.score(&quiet, at)[0].forecast.unwrap().expected;
        assert!((expected(801) - quiet.values[801]).abs() < 0.5);
    }
}

#[test]
fn slots_are_of_local_time_across_a_change_of_clocks() {
    // Noon of Rome, which is an hour earlier after 31 March 2024.
    let rome = Calendar::new("Europe/Rome", Default::default()).unwrap();
    let start_s = 1_709_510_400; // 4 March 2024
    let local = |i: usize| rome.local_s(start_s + 1800 * i as i64).rem_euclid(86_400) / 1800;
    let values: Vec<f64> =
        (0..48 * 60).map(|i| f64::from(u8::from(local(i) == 24)) * 5.0).collect();
    let all = Window::single(Grid { start_s, step_s: 1800, len: values.len() }, values);
    let context = FitContext { calendar: &rome, ..FitContext::new(1, &|| true) };
    for detector in DETECTORS {
        let config = Config::named(detector).unwrap();
        let model = config.fit(&all.slice(0, 48 * 26), &context).unwrap();
        let restored = config.restore(model.parts()).unwrap();
        for (i, raw) in restored.score(&all, 48 * 40).iter().enumerate() {
            assert!(raw.value < 3.0, "{detector}: {i} {raw:?}");
        }
    }
}

#[test]
fn models_of_before_clocks_were_said_are_of_utc_and_of_one_point() {
    let all = window(1800, wave(1800, 48 * 15));
    for detector in DETECTORS {
        let config = Config::named(detector).unwrap();
        let mut parts = fit(detector, &all).unwrap().parts();
        for wrong in [0, 1, usize::MAX] {
            parts.meta["mean_of"] = wrong.into();
            assert!(config.restore(parts.clone()).is_err());
        }
        parts.meta = parts.meta["of"].take();
        parts.meta.as_object_mut().unwrap().remove("calendar");
        assert_eq!(config.restore(parts).unwrap().lookback(), 0);
    }
}

#[test]
fn two_seasons_make_one_forecast() {
    let text = r#"{"stl":{"seasons_s":[86400,604800],"robust":false}}"#;
    let config: Config = serde_json::from_str(text).unwrap();
    assert_eq!(config.problem(), None);
    let weekly = |i: usize| f64::from(u8::from(i / 48 % 7 == 2)); // one day is higher
    let values = wave(1800, 48 * 40);
    let values = values.iter().enumerate().map(|(i, v)| v + weekly(i)).collect();
    let all = window(1800, values);
    let model = config.fit(&all.slice(0, 48 * 33), &FitContext::new(1, &|| true)).unwrap();
    for raw in model.score(&all, 48 * 33) {
        assert!(raw.value < 5.0, "{raw:?}");
    }
    for wrong in ["[86400,86400]", "[0]", "[-5]", "[86400,100000]", "[1,2,4,8,16]"] {
        let text = format!(r#"{{"stl":{{"seasons_s":{wrong}}}}}"#);
        assert!(serde_json::from_str::<Config>(&text).unwrap().problem().is_some(), "{wrong}");
    }
    for wrong in [r#""mean_of":0"#, r#""span":4"#, r#""season_s":5,"seasons_s":[5]"#] {
        let text = format!(r#"{{"stl":{{{wrong}}}}}"#);
        assert!(serde_json::from_str::<Config>(&text).unwrap().problem().is_some(), "{wrong}");
    }
    assert!(serde_json::from_str::<Config>(r#"{"stl":{"season_s":null,"robust":true}}"#).is_ok());
}

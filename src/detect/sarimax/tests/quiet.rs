//! Rows of which nearly all are the same.

use super::*;
use crate::detect::Tensor;

/// `n` rows of `base`, and `base + more` where `busy` says so.
fn quiet(n: usize, [base, more]: [f64; 2], busy: impl Fn(usize) -> bool) -> Window {
    let value = |i: usize| if busy(i) { base + more } else { base };
    let start_s = 1_672_617_600; // a Monday's midnight
    Window::single(Grid { start_s, step_s: 1_800, len: n }, (0..n).map(value).collect())
}

/// Ports where next to nothing happens: the likelihood has its maximum on the wall that the parameters are kept within.
/// The search has to end there, and what it found has to be known again; these did not.
#[test]
fn a_quiet_port_is_fitted_and_its_model_known_again() {
    let nightly = |i: usize| i % 48 == 4;
    let blips = |i: usize| [475, 729, 782, 788].contains(&i);
    let bursts = |i: usize| [70, 1_291].iter().any(|&from| (from..from + 4).contains(&i));
    let ramp = (0..624).map(|i| 2.366645195713182 + 0.49495624246417197 * f64::from(i) / 624.0);
    let series = [
        quiet(240, [4.744772587865851, 14.109282324131284], nightly),
        quiet(192, [0.637910799112566, 7.4323267628766265], nightly),
        quiet(1_344, [1.698968071822623, 15.42915469621581], blips),
        quiet(2_544, [4.402076865178628, 2.004483406958782], bursts),
        Window::single(Grid { len: 624, ..quiet(1, [0.0; 2], blips).grid }, ramp.collect()),
    ];
    let seasonal = r#"{"sarimax": {"order": [1, 0, 1], "seasonal": [1, 0, 1]}}"#;
    let seasonal: detect::Config = serde_json::from_str(seasonal).unwrap();
    for config in [detect::Config::Sarimax(Config::default()), seasonal] {
        for train in &series {
            let model = config.fit(train, &FitContext::new(0, &|| true)).unwrap();
            let restored = config.restore(model.parts()).unwrap();
            let scored = model.score(train, 0);
            assert_eq!(bits(&restored.score(train, 0)), bits(&scored));
            // Rows are believed: where they are the same, that is what comes next.
            let usual = train.values[0];
            let last = scored.iter().zip(&train.values).skip(train.grid.len - 20);
            for (raw, _) in last.filter(|(_, y)| **y == usual) {
                let expected = raw.forecast.unwrap().expected;
                assert!((expected - usual).abs() < 0.01 * usual, "{expected}, usually {usual}");
            }
        }
    }
}

/// Noise of standard deviation 1, about, the same each time.
fn noise(i: usize) -> f64 {
    let hash = |i: usize| (i.wrapping_mul(2_654_435_761) >> 7) % 1_009;
    let sum: usize = (0..4).map(|k| hash(4 * i + k + 1)).sum();
    (sum as f64 / 1_009.0 - 2.0) / (4.0f64 / 12.0).sqrt()
}

/// The middle of some errors, without their signs.
fn typical(errors: impl Iterator<Item = f64>) -> f64 {
    crate::math::stats::median(errors.map(f64::abs))
}

/// A job each hour, in buckets of half an hour: only the first rows are news, so the innovations' variance is next to
/// nothing, and by it the first rows of a stretch were never believed, nor those after them.
#[test]
fn a_job_that_does_not_come_is_seen() {
    for (n, share) in [(1_344, 0.0), (1_344, 1e-3), (2_688, 1e-4), (2_688, 1e-3)] {
        let value = |i: usize| f64::from(u8::from(i.is_multiple_of(2))) + share * noise(i);
        let mut all: Vec<f64> = (0..n + 96).map(value).collect();
        let grid = quiet(n, [0.0; 2], |_| false).grid;
        let train = Window::single(grid, all[..n].to_vec());
        let model = fit_of(&train).unwrap();
        // From here on the job does not run.
        all[n + 48..].iter_mut().for_each(|y| *y = share);
        let scored = model.score(&Window::single(Grid { len: n + 96, ..grid }, all), n);
        let raw = |i: usize| scored[i].value;
        let usual = typical((0..48).map(raw));
        let missed = typical((48..96).step_by(2).map(raw));
        assert!(missed > 5.0 && missed > 10.0 * usual, "{n} {share}: {missed}, usually {usual}");
    }
}

/// A clean day on a trend: the best parameters are beyond what rounding leaves of them. Drawn back one by one, they forecast
/// values that never were.
#[test]
fn a_trend_with_a_clean_day_is_forecast() {
    let config = r#"{"sarimax": {"order": [1, 0, 1], "seasonal": [1, 0, 1], "daily": 0, "weekly": 0, "mean_of": 1}}"#;
    let config: detect::Config = serde_json::from_str(config).unwrap();
    let n = 1_344;
    for day in 0..6 {
        let value = |i: usize| {
            let at = i + 48 * day;
            let turns = std::f64::consts::TAU * at as f64 / 48.0;
            3.0 + turns.sin() + at as f64 / 1_344.0 + 0.1 * noise(at)
        };
        let all: Vec<f64> = (0..n + 48).map(value).collect();
        let grid = quiet(n, [0.0; 2], |_| false).grid;
        let train = Window::single(grid, all[..n].to_vec());
        let model = config.fit(&train, &FitContext::new(0, &|| true)).unwrap();
        let whole = Window::single(Grid { len: n + 48, ..grid }, all.clone());
        let scored = model.score(&whole, n);
        let off = scored.iter().zip(&all[n..]).map(|(raw, y)| y - raw.forecast.unwrap().expected);
        let off = typical(off);
        assert!(off < 0.25, "day {day}: off by {off}");
    }
}

/// What a previous model left behind may be of another version, or damaged: it is a place to begin, and no more.
#[test]
fn a_start_beyond_the_wall_is_none() {
    let train = quiet(1_344, [1.0, 2.0], |i| i % 48 < 9);
    let config = r#"{"sarimax": {"order": [1, 0, 1], "seasonal": [1, 0, 1]}}"#;
    let config: detect::Config = serde_json::from_str(config).unwrap();
    let mut parts = config.fit(&train, &FitContext::new(0, &|| true)).unwrap().parts();
    for tensor in parts.tensors.iter_mut().filter(|tensor| tensor.name == "parameters") {
        *tensor = Tensor::flat("parameters", vec![1.0 - 1e-11, -1.0 + 1e-12, 1.0 - 1e-13, 0.3]);
    }
    let context = FitContext { previous: Some(&parts), ..FitContext::new(0, &|| true) };
    let model = config.fit(&train, &context).unwrap();
    let scored = model.score(&train, 0);
    let last = scored.iter().zip(&train.values).skip(train.grid.len - 96);
    let off = typical(last.map(|(raw, y)| y - raw.forecast.unwrap().expected));
    assert!(off < 0.1, "off by {off}");
}

//! Rows of which nearly all are the same.

use super::*;

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

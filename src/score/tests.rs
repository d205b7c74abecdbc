//! Calibration against its reference and under hostile input.

use proptest::prelude::*;

use crate::score::Calibration;
use crate::score::Calibrator;
use crate::score::Scale;
use crate::score::default_block_s;

/// Raw scores, cycled to `n`.
fn observe(calibrator: &mut Calibrator, raws: &[f64], n: usize) {
    raws.iter().cycle().take(n).for_each(|&raw| calibrator.observe(raw));
}

/// Largest difference from the surprises of `tests/data/reference/make_calibration.py`.
fn difference(fixture: &str, mut calibrator: Calibrator) -> f64 {
    let mut worst = 0f64;
    let mut looked_up = 0;
    for line in fixture.lines().skip(1) {
        let (raw, wanted) = line.split_once(',').unwrap();
        let (raw, wanted): (f64, f64) = (raw.parse().unwrap(), wanted.parse().unwrap());
        let surprise = calibrator.calibration().surprise(raw);
        if surprise.is_nan() {
            assert!(
                (wanted - calibrator.calibration().floor()).abs() < 1e-9,
                "no surprise where there is one"
            );
        } else {
            worst = worst.max((surprise - wanted).abs());
            looked_up += 1;
        }
        calibrator.observe(raw);
    }
    assert!(looked_up > 1000, "only {looked_up} rows compared");
    worst
}

#[test]
fn agrees_with_the_reference() {
    let lognormal = include_str!("../../tests/data/reference/calibration_lognormal_60s.csv");
    let heavy = include_str!("../../tests/data/reference/calibration_heavy_300s.csv");
    let gaussian = include_str!("../../tests/data/reference/calibration_gaussian_1s.csv");
    let counts = include_str!("../../tests/data/reference/calibration_counts_900s.csv");
    assert!(difference(lognormal, Calibrator::every(60, 1800, 360)) < 1e-9);
    assert!(difference(heavy, Calibrator::every(300, 1800, 72)) < 1e-9);
    assert!(difference(gaussian, Calibrator::every(1, 10, 60)) < 1e-9);
    assert!(difference(counts, Calibrator::every(900, 1800, 24).for_counts(1.0)) < 1e-9);
}

#[test]
fn blocks_are_multiples_of_the_step_and_grow_with_it() {
    let steps = [1, 2, 5, 10, 14, 15, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 86_400];
    let blocks = steps.map(default_block_s);
    assert!(blocks.windows(2).all(|w| w[0] <= w[1]), "{blocks:?}");
    assert!(steps.iter().zip(blocks).all(|(step, block)| block % step == 0));
    assert!(7 * default_block_s(1) <= 90, "not calibrated on half of three minutes");
    assert_eq!((default_block_s(15), default_block_s(60)), (1800, 1800));
}

#[test]
fn nothing_is_said_before_seven_blocks_and_at_once_after() {
    let mut calibrator = Calibrator::new(60, 1800);
    observe(&mut calibrator, &[1.0, 2.0], 7 * 30 - 1);
    assert!(!calibrator.calibration().ready() && calibrator.calibration().surprise(1.0).is_nan());
    assert!(calibrator.calibration().raw_at(0.0).is_nan());
    calibrator.observe(1.0);
    assert!(calibrator.calibration().ready() && calibrator.calibration().surprise(1.0).is_finite());
    assert!(
        calibrator.calibration().surprise(f64::NAN).is_nan()
            && calibrator.calibration().raw_at(f64::NAN).is_nan()
    );
}

#[test]
fn gaps_move_the_clock_only() {
    let mut calibrator = Calibrator::new(60, 1800);
    observe(&mut calibrator, &[1.0, 3.0, 0.5], 600);
    let before = calibrator.clone();
    observe(&mut calibrator, &[f64::NAN], 600);
    assert_eq!(calibrator.calibration().n_blocks(), before.calibration().n_blocks());
    assert_eq!(calibrator.calibration().surprise(4.0), before.calibration().surprise(4.0));
}

/// Exponential noise: −ln of uniform numbers from the top bits of a Weyl sequence, hashed.
fn exponential(seed: u64, n: usize) -> Vec<f64> {
    let hash = |i: u64| {
        let x = (i ^ (i >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((x ^ (x >> 29)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 11) as f64 / (1u64 << 53) as f64
    };
    let at = |i: u64| (seed << 32 | i).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (0..n as u64).map(|i| -hash(at(i)).max(1e-15).ln()).collect()
}

#[test]
fn a_small_change_of_a_constant_is_no_great_surprise_with_an_offset() {
    let calibrated = |mut calibrator: Calibrator| {
        observe(&mut calibrator, &[0.0], 2000);
        calibrator
    };
    let plain = calibrated(Calibrator::new(60, 1800));
    let counts = calibrated(Calibrator::new(60, 1800).for_counts(1.0));
    assert!(counts.calibration().surprise(0.3) < 0.0 && plain.calibration().surprise(0.3) > 3.0);
    assert!(counts.calibration().surprise(99.0) > 0.0);
    assert!((counts.calibration().surprise(counts.calibration().raw_at(2.0)) - 2.0).abs() < 1e-9);
}

#[test]
fn less_history_asks_for_more() {
    let budget_at = |days: usize| {
        let raws = |seed: u64| {
            let mut calibrator = Calibrator::new(60, 1800);
            observe(&mut calibrator, &exponential(seed, days * 1440), days * 1440);
            calibrator.calibration().raw_at(0.0)
        };
        let mut raws: Vec<f64> = (1..=15).map(raws).collect();
        raws.sort_by(f64::total_cmp);
        raws[7]
    };
    let thresholds = [1, 7, 56].map(budget_at);
    let exact = (10_080f64).ln();
    assert!(thresholds[0] > thresholds[2] && thresholds[1] > exact, "{thresholds:?} {exact}");
    assert!((thresholds[2] - exact).abs() < 2.0, "{thresholds:?} {exact}");
}

/// Pages a week in ten weeks of exponential noise after eight, over twenty series of 5 minutes.
fn pages_of_noise(pages_per_week: f64) -> f64 {
    let (learn, all) = (8 * 2016, 18 * 2016);
    let of_series = |seed: u64| {
        let mut calibrator = Calibrator::new(300, 1800);
        let scale = Scale::new(calibrator.calibration().floor(), pages_per_week);
        let mut pages = std::collections::BTreeSet::new();
        for (i, raw) in exponential(seed, all).into_iter().enumerate() {
            if i >= learn && scale.score(calibrator.calibration().surprise(raw)) > 1.0 {
                pages.insert(i / 6);
            }
            calibrator.observe(raw);
        }
        pages.len()
    };
    (100..120).map(of_series).sum::<usize>() as f64 / 200.0
}

#[test]
fn the_budget_is_kept_on_noise() {
    let pages = [1.0, 0.1].map(pages_of_noise);
    assert!(pages[0] > 0.3 && pages[0] < 2.0 && pages[1] < 0.2, "{pages:?}");
}

#[test]
fn what_was_learnt_survives_being_stored_and_is_small() {
    let mut calibrator = Calibrator::new(300, 1800);
    observe(&mut calibrator, &exponential(3, 5000), 5000);
    let learnt = calibrator.calibration();
    let text = serde_json::to_string(learnt).unwrap();
    let restored: Calibration = serde_json::from_str(&text).unwrap();
    assert_eq!(&restored, learnt);
    assert!(text.len() < 2000, "{} bytes", text.len());
}

#[test]
fn a_broken_store_is_an_error() {
    let mut calibrator = Calibrator::new(300, 1800);
    observe(&mut calibrator, &[1.0, 2.0, 4.0], 5000);
    let text = serde_json::to_string(calibrator.calibration()).unwrap();
    let start = text.find("\"curve\":[").unwrap() + 9;
    let end = start + text[start..].find(']').unwrap();
    let curves = ["[]".to_string(), "[2.0,1.0]".into(), format!("[{}0.0]", "0.0,".repeat(400))];
    for curve in curves {
        let broken = format!("{}{curve}{}", &text[..start], &text[end + 1..]);
        assert!(serde_json::from_str::<Calibration>(&broken).is_err(), "{broken}");
    }
    for (good, bad) in [("\"first\":", "\"first\":9"), ("weight", "wait")] {
        assert!(text.contains(good));
        assert!(serde_json::from_str::<Calibration>(&text.replace(good, bad)).is_err(), "{bad}");
    }
}

/// What may come out of a detector, and what should not.
fn raw() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => 0.0..10.0,
        1 => prop::sample::select(vec![0.0, 1e-300, 1e300, f64::INFINITY, f64::NAN, -1.0, 5e-324]),
        1 => (-10.0..20.0).prop_map(f64::exp),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn surprise_never_decreases_in_the_raw_score(
        raws in prop::collection::vec(raw(), 1..40),
        step_s in prop::sample::select(vec![1, 60, 300, 1800, 86_400]),
        rows in 300usize..4000,
    ) {
        let mut calibrator = Calibrator::new(step_s, default_block_s(step_s));
        observe(&mut calibrator, &raws, rows);
        prop_assume!(calibrator.calibration().ready());
        let mut last = calibrator.calibration().floor();
        for level in -200..900 {
            let surprise = calibrator.calibration().surprise((f64::from(level) * 0.03).exp());
            prop_assert!(surprise.is_finite() && surprise >= last, "{surprise} after {last}");
            last = surprise;
        }
        for hostile in [0.0, -1.0, 1e-300, 1e300, f64::INFINITY] {
            prop_assert!(calibrator.calibration().surprise(hostile).is_finite());
        }
    }

    #[test]
    fn raw_at_is_the_inverse_of_surprise(
        raws in prop::collection::vec(0.0..10.0, 5..40),
        surprise in -12.0..40.0,
    ) {
        let mut calibrator = Calibrator::new(60, 1800);
        observe(&mut calibrator, &raws, 5000);
        let raw = calibrator.calibration().raw_at(surprise);
        prop_assert!(raw.is_finite() && raw >= 0.0);
        if raw < 3e6 {
            prop_assert!(calibrator.calibration().surprise(raw) >= surprise - 1e-9);
            if raw > 0.0 {
                prop_assert!(calibrator.calibration().surprise(raw * (1.0 - 1e-6)) <= surprise);
            }
        }
    }
}

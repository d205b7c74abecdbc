//! The fault lab's short scenario: what is injected shows in the features that it should show in, and only there.

use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;

use portent::config;
use portent::source::csv;
use portent::verdict::Verdict;

use crate::fault_lab;
use crate::fault_lab::experiment;
use crate::fault_lab::record::Recording;
use crate::lab::Lab;
use crate::lab::repository;

/// The short scenario on real servers, recorded once for all tests that ask for it.
pub(crate) fn short() -> &'static Recording {
    static RECORDED: OnceLock<Recording> = OnceLock::new();
    RECORDED.get_or_init(|| {
        let file = repository().join(SHORT);
        let scenario = config::load_scenario(&file).unwrap();
        fault_lab::run(&scenario, &AtomicBool::new(false)).unwrap()
    })
}

/// Its file.
pub(crate) const SHORT: &str = "tests/lab/scenarios/short.yml";

/// The mean of a feature's known values from `from_s` to `to_s` after the first row.
fn mean(recording: &Recording, feature: &str, from_s: i64, to_s: i64) -> f64 {
    let scenario = &recording.scenario;
    let rows = |second: i64| (second / scenario.step_s) as usize;
    let column = recording.column(0, feature);
    let known: Vec<f64> = column[rows(from_s)..rows(to_s)]
        .iter()
        .copied()
        .filter(|value| value.is_finite())
        .collect();
    assert!(!known.is_empty(), "{feature}: nothing known from {from_s}s to {to_s}s");
    known.iter().sum::<f64>() / known.len() as f64
}

#[test]
fn each_fault_moves_its_features_and_benign_changes_are_no_errors() {
    let lab = Lab::new("faults");
    let recording = short();
    let scenario = &recording.scenario;
    assert_eq!(recording.problems, [""; 0]);
    assert_eq!(recording.rows.len(), 1, "one job");
    let usual = |feature: &str| mean(recording, feature, 0, 14);
    // Over the second half of an injection, when its rates see little else.
    let during = |class: &str, feature: &str| {
        let injection = scenario.injections.iter().find(|injection| injection.class.name == class);
        let injection = injection.unwrap();
        let value = mean(recording, feature, injection.at_s + 4, injection.end_s() + 2);
        lab.step(&format!("{class}: {feature} {:.3} → {value:.3}", usual(feature)));
        value
    };
    assert!(usual("bad_share_robust") < 0.01 && usual("qps") > 60.0);

    assert!(during("upstream_servfail", "fwd_servfail_share") > 0.4);
    assert!(during("upstream_servfail", "rcode_share_servfail") > 0.05);
    assert!(during("upstream_slow", "fwd_latency_mean_ms") > 10.0 * usual("fwd_latency_mean_ms"));
    assert!(during("upstream_slow", "latency_gt_0_256") > 0.05);
    assert!(during("upstream_slow", "bad_share_robust") < 0.02);
    assert!(during("random_subdomain", "fwd_qps") > 2.0 * usual("fwd_qps"));
    let hits = usual("cache_hit_ratio");
    assert!(during("random_subdomain", "cache_hit_ratio") < 0.75 * hits);
    let missing = usual("rcode_share_nxdomain");
    assert!(during("random_subdomain", "rcode_share_nxdomain") > missing + 0.2);
    assert!(during("truncation", "tcp_share") > 0.02 && usual("tcp_share") < 0.005);
    assert!(during("query_flood", "qps") > 2.5 * usual("qps"));
    assert!(during("benign_load_doubling", "qps") > 1.4 * usual("qps"));
    for benign in ["benign_reload", "benign_load_doubling"] {
        for fault in ["bad_share_robust", "latency_gt_0_256", "fwd_hc_failures_rate"] {
            assert!(during(benign, fault) < 0.02, "{benign}: {fault}");
        }
    }
    // What is written is read back as `portent evaluate` reads it.
    let files = recording.write(&lab.folder("out")).unwrap();
    let rows = csv::read(&files[0]).unwrap();
    assert_eq!((rows.step_s, rows.t.len(), rows.t[0]), (2, 80, recording.start_s));
    assert_eq!(rows.columns.len(), recording.features.len());
    let told = csv::read_verdicts(&files[1], &rows).unwrap();
    let verdicts: Vec<Verdict> = told.iter().map(|told| told.verdict).collect();
    let (anomaly, normal) = (Verdict::Anomaly, Verdict::Normal);
    assert_eq!(verdicts, [anomaly, anomaly, anomaly, anomaly, anomaly, normal, normal]);
    assert_eq!(told[0].class.as_deref(), Some("upstream_servfail"));
    assert_eq!(told[0].interval.from_s, recording.start_s + 14);

    // The same thrice is an experiment: rows and labels move together, and no two recordings touch.
    let joined = experiment::join(&[0, 0, 0].map(|i: usize| files[i].clone())).unwrap();
    assert_eq!(joined.train_rows, 80);
    let all = csv::read(&lab.write("joined.csv", &joined.rows)).unwrap();
    assert_eq!((all.rows.len(), all.t.len(), all.t[0]), (240, 320, recording.start_s));
    let moved = csv::read_verdicts(&lab.write("joined-labels.csv", &joined.labels), &all).unwrap();
    assert_eq!(moved.len(), 21);
    for (i, told) in told.iter().enumerate() {
        let again = &moved[14 + i];
        assert_eq!((again.verdict, &again.class), (told.verdict, &told.class));
        assert_eq!(again.interval.from_s - told.interval.from_s, 2 * 120 * 2);
        assert_eq!(again.interval.to_s - told.interval.to_s, 2 * 120 * 2);
    }
    for ((_, column), (_, once)) in all.columns.iter().zip(&rows.columns) {
        let same = |a: f64, b: f64| a == b || a.is_nan() && b.is_nan();
        assert!(once.iter().zip(&column[240..]).all(|(a, b)| same(*a, *b)));
        assert!(column[80..120].iter().all(|value| value.is_nan()));
    }
}

#[test]
fn every_scenario_of_the_repository_is_sound() {
    let folder = repository().join("tests/lab/scenarios");
    let files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(files.len() > 4, "{files:?}");
    files.iter().for_each(|file| drop(config::load_scenario(file).unwrap()));
}

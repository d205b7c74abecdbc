//! The fault lab's short scenario: what is injected shows in the features that it should show in, and only there.

use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;

use portent::config;
use portent::scenario::Scenario;
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
fn the_scenarios_of_the_repository_are_a_data_set() {
    let folder = repository().join("tests/lab/scenarios");
    let of = |part: &str| -> Vec<Scenario> {
        let files = std::fs::read_dir(folder.join(part)).unwrap().map(|file| file.unwrap().path());
        let mut files: Vec<_> = files.filter(|path| path.is_file()).collect();
        files.sort();
        files.iter().map(|file| config::load_scenario(file).unwrap()).collect()
    };
    assert_eq!(of("").len(), 2, "the short ones of the test run");
    let parts = ["train", "validation", "test"].map(of);
    let all: Vec<&Scenario> = parts.iter().flatten().collect();
    let names: BTreeSet<&str> = all.iter().map(|scenario| scenario.name.as_str()).collect();
    assert_eq!(names.len(), all.len(), "recordings lie in one folder");
    let faults = |scenarios: &[Scenario]| -> Vec<&'static str> {
        let all = scenarios.iter().flat_map(|scenario| &scenario.injections);
        all.filter(|one| !one.class.is_benign()).map(|one| one.class.name).collect()
    };
    let [train, validation, test] = [&parts[0], &parts[1], &parts[2]].map(|part| faults(part));
    assert!(train.len() + validation.len() + test.len() >= 200);
    let classes: BTreeSet<&str> = train.iter().copied().collect();
    assert!(classes.len() >= 20, "{classes:?}");
    let known = |class: &&str| classes.contains(class);
    assert!(test.iter().chain(&validation).all(known), "what is judged can be learnt");
    // A row stands for one of 30 s.
    let hours = |scenario: &&Scenario| scenario.duration_s / scenario.step_s * 30 / 3600;
    assert!(all.iter().map(hours).sum::<i64>() >= 40);
    let versions = |part: &[Scenario]| -> BTreeSet<String> {
        part.iter().map(|scenario| scenario.coredns.clone()).collect()
    };
    assert!(!versions(&parts[2]).is_subset(&versions(&parts[0])), "a version never trained on");
}

/// A scenario of a minute and its recording, on servers of its own.
fn recorded(name: &str, more: &str) -> Recording {
    let text = format!(
        "duration: 64s\nseed: 3\nwarm_up: 12s\n\
         load: {{qps: 80, day: 5m, swing: 0.1, tcp: 0, mix: {{internal: 60, external: 30, ptr: 5, srv: 5}}}}\n{more}\n"
    );
    let scenario = config::parse_scenario(name, &text).unwrap();
    let recording = fault_lab::run(&scenario, &AtomicBool::new(false)).unwrap();
    assert_eq!(recording.problems, [""; 0], "{name}");
    recording
}

#[test]
fn every_generation_of_metrics_shows_the_same_faults() {
    let _turn = Lab::heavy("generations");
    let injections = "injections:\n\
        \x20 - {at: 16s, for: 14s, class: upstream_servfail, strength: 0.8}\n\
        \x20 - {at: 42s, for: 14s, class: random_subdomain, strength: 1}";
    let generations = [
        ("v1.6.9", "coredns: 1.6.9"),
        ("v1.8.0", "coredns: 1.8.0"),
        ("native", "native_histograms: true"),
    ];
    let recordings: Vec<Recording> = std::thread::scope(|scope| {
        let run =
            |(name, more)| scope.spawn(move || recorded(name, &format!("{more}\n{injections}")));
        let runs: Vec<_> = generations.map(run).into_iter().collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    for recording in &recordings {
        let name = &recording.scenario.name;
        let usual = |feature| mean(recording, feature, 0, 16);
        // The oldest has no counter of its connections to upstream servers; all else is there.
        for (i, feature) in recording.features.iter().enumerate() {
            let column = recording.rows[0].window.column(i);
            let known = column.iter().filter(|value| value.is_finite()).count();
            let wanted = if name == "v1.6.9" && feature == "fwd_conn_miss_share" { 0 } else { 28 };
            assert!(known >= wanted, "{name}: {feature}: {known} of 32 rows");
        }
        assert!(usual("bad_share_robust") < 0.01 && usual("qps") > 50.0, "{name}");
        assert!(mean(recording, "fwd_servfail_share", 20, 32) > 0.4, "{name}");
        assert!(mean(recording, "rcode_share_servfail", 20, 32) > 0.05, "{name}");
        assert!(mean(recording, "fwd_qps", 46, 58) > 2.0 * usual("fwd_qps"), "{name}");
        assert!(mean(recording, "rcode_share_nxdomain", 46, 58) > 0.2, "{name}");
    }
}

#[test]
fn the_kubernetes_plugin_answers_from_a_real_api_and_counts_when_it_is_gone() {
    let _turn = Lab::heavy("kubernetes");
    let recording = recorded(
        "kubernetes",
        "kubernetes: true\ninjections:\n\
         \x20 - {at: 16s, for: 10s, class: benign_rollout}\n\
         \x20 - {at: 32s, for: 20s, class: apiserver_down}",
    );
    let errors = |from_s, to_s| mean(&recording, "k8s_api_errors_per_minute", from_s, to_s);
    assert!(errors(0, 30) < 1.0 && errors(40, 52) > 2.0, "{} {}", errors(0, 30), errors(40, 52));
    // Names are answered all the same, from what was known.
    for (from_s, to_s) in [(0, 16), (18, 28), (36, 52)] {
        assert!(mean(&recording, "rcode_share_noerror", from_s, to_s) > 0.95, "{from_s}s");
        assert!(mean(&recording, "qps", from_s, to_s) > 50.0, "{from_s}s");
    }
}

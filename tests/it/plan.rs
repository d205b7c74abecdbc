//! `portent plan` on a real Prometheus, held against what then happens.

use std::fmt::Write as _;
use std::process::Command;

use serde_json::Value;

use crate::lab::Lab;
use crate::lab::exposition::Metrics;
use crate::lab::now_s;
use crate::lab::prometheus;
use crate::lab::prometheus::Prometheus;

const BINARY: &str = env!("CARGO_BIN_EXE_portent");
const STEP_S: i64 = 30;
const PORTS: usize = 12;

/// Four hours of ports, in and out.
fn history() -> String {
    let end_s = now_s() / STEP_S * STEP_S;
    let mut text = String::from("# TYPE port_bytes gauge\n");
    for direction in ["in", "out"] {
        for port in 0..PORTS {
            for time_s in (end_s - 4 * 3_600..=end_s).step_by(STEP_S as usize) {
                let value = 1_000 + (time_s * 7_919 + time_s / 7 * 31 + port as i64) % 101;
                let labels = format!("direction=\"{direction}\",ifName=\"port{port:02}\"");
                writeln!(text, "port_bytes{{{labels}}} {value} {time_s}").unwrap();
            }
        }
    }
    text + "# EOF\n"
}

fn done(args: &[&str]) -> String {
    let output = Command::new(BINARY).args(args).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn what_is_planned_is_what_happens() {
    let lab = Lab::new("plan");
    let told = prometheus::Config { history: Some(history()), ..prometheus::Config::default() };
    let prometheus = Prometheus::start(&lab, &told);
    let query =
        |direction: &str| format!("'sum by (ifName) (port_bytes{{direction=\"{direction}\"}})'");
    let text = format!(
        "source: {{prometheus: {{url: '{}'}}}}\nstore: {{path: store}}\nwatches:\n  - name: ports\n    \
         entity: [ifName]\n    step: {STEP_S}s\n    lag: 0s\n    detectors: [seasonal_median, pca]\n    \
         queries: {{in: {}, out: {}}}\n    train: {{history: 4h, min_history: 1h}}\n  \
         - name: nobody\n    queries: {{x: no_such_metric}}\n    detectors: [seasonal_median]\n",
        prometheus.url(),
        query("in"),
        query("out")
    );
    let config = format!("--config.file={}", lab.write("portent.yml", text).display());
    let plan: Value = serde_json::from_str(&done(&["plan", &config, "--format=json"])).unwrap();
    assert!(!lab.path("store").exists(), "a plan leaves nothing behind");
    let (ports, nobody) = (&plan["watches"][0], &plan["watches"][1]);
    assert_eq!((&ports["watch"], &ports["measured"]), (&"ports".into(), &3.into()), "{ports}");
    assert_eq!((&nobody["entities"], &nobody["models"]), (&0.into(), &Value::Null), "{nobody}");
    let planned = |name: &str| ports[name].as_u64().unwrap_or_else(|| panic!("{name}: {ports}"));
    assert_eq!((planned("entities"), planned("series")), (PORTS as u64, 2 * PORTS as u64));
    let training = ports["training_seconds"].as_f64().unwrap();
    assert!(training > 0.0 && training < 120.0, "{ports}");
    assert!(plan["peak_bytes"].as_u64() >= plan["measured_bytes"].as_u64(), "{plan}");

    let table = done(&["plan", &config]);
    assert!(table.contains("ports: 3 of 12 entities were trained, the others reckoned"), "{table}");

    let store = format!("--store.path={}", lab.path("store").display());
    Command::new(BINARY).args(["train", &config]).output().unwrap();
    let promoted = done(&["models", "list", &store]).matches("promoted").count() as u64;
    assert_eq!(promoted, planned("models"));
    let metrics =
        Command::new(BINARY).args(["score", &config, "--format=prometheus"]).output().unwrap();
    let metrics = Metrics::parse(&String::from_utf8(metrics.stdout).unwrap());
    let names = [
        "portent_anomaly_score",
        "portent_anomaly",
        "portent_anomaly_streak_points",
        "portent_observed",
        "portent_expected",
        "portent_expected_lower",
        "portent_expected_upper",
        "portent_score_timestamp_seconds",
        "portent_feature_contribution_ratio",
        "portent_model_info",
        "portent_model_trained_timestamp_seconds",
        "portent_model_history_seconds",
    ];
    let exported: usize =
        names.iter().map(|name| metrics.all(name, &[("watch", "ports")]).len()).sum();
    assert_eq!(exported as u64, planned("exported_series"));
}

/// Who learns from incidents is planned for before the first is known.
#[cfg(feature = "deep")]
#[test]
fn a_network_that_waits_for_an_incident_is_reckoned() {
    let lab = Lab::new("plan_incidents");
    let mut rows = String::from("t,x,y\n");
    let newest_s = now_s() / 60 * 60;
    for time_s in (newest_s - 26 * 3_600..=newest_s).step_by(60) {
        writeln!(rows, "{time_s},{},{}", time_s * 7_919 % 101, time_s / 60 * 31 % 97).unwrap();
    }
    lab.write("x.csv", rows);
    let config = {
        let text = "source: {csv: {file: x.csv}}\nwatches:\n  - name: w\n    queries: {x: x, y: y}\n    step: 60s\n    \
             lag: 0s\n    detectors: [pca, {siamese: {window: 8, max_steps: 30}}]\n    \
             train: {history: 1w, min_history: 1h}\n";
        format!("--config.file={}", lab.write("portent.yml", text).display())
    };
    let plan: Value = serde_json::from_str(&done(&["plan", &config, "--format=json"])).unwrap();
    let plan = &plan["watches"][0];
    assert_eq!(
        (&plan["models"], &plan["with_incidents"][0]),
        (&2.into(), &"siamese".into()),
        "{plan}"
    );
    assert_eq!(plan["problems"], Value::Null);
    let table = done(&["plan", &config]);
    assert!(table.contains("w: with siamese, which comes once an incident is known"), "{table}");
}

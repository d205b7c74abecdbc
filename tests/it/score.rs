//! `portent score`: one pass over a real Prometheus, then the end.

use std::fmt::Write as _;
use std::process::Command;
use std::process::Output;

use serde_json::Value;

use crate::lab::Lab;
use crate::lab::exposition::Metrics;
use crate::lab::free_port;
use crate::lab::now_s;
use crate::lab::portent::Portent;
use crate::lab::prometheus;
use crate::lab::prometheus::Prometheus;

const BINARY: &str = env!("CARGO_BIN_EXE_portent");
const STEP_S: i64 = 30;

/// Four hours of two ports up to now; in the last five minutes the second one carries nine times as much.
fn history() -> String {
    let end_s = now_s() / STEP_S * STEP_S;
    let mut text = String::from("# TYPE port_bytes gauge\n");
    for port in 0..2 {
        for time_s in (end_s - 4 * 3_600..=end_s).step_by(STEP_S as usize) {
            let noise = (time_s * 7_919 + time_s / 7 * 31) % 101;
            let surge = if port == 1 && time_s > end_s - 300 { 8_000 } else { 0 };
            let value = 1_000 + noise + surge;
            writeln!(text, "port_bytes{{ifName=\"port{port}\"}} {value} {time_s}").unwrap();
        }
    }
    text + "# EOF\n"
}

fn portent(verb: &str, config: &str, more: &[&str]) -> Output {
    Command::new(BINARY).args([verb, config]).args(more).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What it prints where it succeeds.
fn done(verb: &str, config: &str, more: &[&str]) -> String {
    let output = portent(verb, config, more);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// A Prometheus with that history.
fn server(lab: &Lab) -> (Prometheus, String) {
    let told = prometheus::Config { history: Some(history()), ..prometheus::Config::default() };
    let prometheus = Prometheus::start(lab, &told);
    let url = prometheus.url();
    (prometheus, url)
}

fn config(lab: &Lab, url: &str, name: &str, more: &str) -> String {
    let text = format!(
        "source: {{prometheus: {{url: '{url}'}}}}\nstore: {{path: store}}\nwatches:\n  - name: ports\n    \
         entity: [ifName]\n    step: {STEP_S}s\n    lag: 0s\n    detectors: [seasonal_median]\n    \
         queries: {{out: 'sum by (ifName) (port_bytes)'}}\n    consecutive: 3\n    \
         train: {{history: 4h, min_history: 1h}}\n{more}"
    );
    format!("--config.file={}", lab.write(name, text).display())
}

/// The combined score of a port.
fn score(json: &Value, port: &str) -> Value {
    let scores = json["scores"].as_array().unwrap();
    let is = |s: &&Value| s["detector"] == "combined" && s["entity"]["ifName"] == port;
    scores.iter().find(is).unwrap_or_else(|| panic!("{port}: {json}")).clone()
}

#[test]
fn one_pass_says_what_is_strange_and_ends() {
    let lab = Lab::new("score");
    let (_prometheus, url) = server(&lab);
    let ports = config(&lab, &url, "portent.yml", "");
    // Nobody knows what is usual yet.
    let output = portent("score", &ports, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
    let said = text(&output.stderr);
    assert!(said.contains("watch \"ports\": nobody has a score: no_model"), "{said}");
    assert!(text(&output.stdout).contains("no_model"), "{}", text(&output.stdout));
    done("train", &ports, &[]);

    let json: Value = serde_json::from_str(&done("score", &ports, &["--format=json"])).unwrap();
    let (calm, strange) = (score(&json, "port0"), score(&json, "port1"));
    assert!(calm["score"].as_f64() < Some(1.0) && strange["score"].as_f64() > Some(1.0), "{json}");
    assert_eq!((&json["above"], &json["failed"]), (&1.into(), &Value::Array(vec![])));
    assert!((now_s() - strange["time_s"].as_i64().unwrap()) <= 2 * STEP_S, "{strange}");
    // The streak goes on where the last Job left it, as far as there are new points.
    let table = done("score", &ports, &[]);
    assert!(
        table.lines().any(|line| line.contains("port1") && line.contains("combined")),
        "{table}"
    );
    let scrape = done("score", &ports, &["--format=prometheus"]);
    let metrics = Metrics::parse(&scrape);
    let scores =
        metrics.all("portent_anomaly_score", &[("ifName", "port1"), ("detector", "combined")]);
    assert!(scores.len() == 1 && scores[0].value > 1.0, "{scrape}");
    let streak = metrics.all("portent_anomaly_streak_points", &[("ifName", "port1")]);
    assert!(streak.iter().all(|sample| sample.value >= 1.0), "{scrape}");
}

#[test]
fn what_fails_is_told_and_a_sidecar_is_left_alone() {
    let lab = Lab::new("score_fails");
    let (prometheus, url) = server(&lab);
    let ports = config(&lab, &url, "portent.yml", "");
    done("train", &ports, &[]);
    // One watch that fails is an error, and what was found elsewhere is printed.
    let broken = "  - name: broken\n    queries: {x: 'sum by (job) (port_bytes{'}\n    \
                  detectors: [seasonal_median]\n";
    let output = portent("score", &config(&lab, &url, "broken.yml", broken), &["--format=json"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("broken"), "{}", text(&output.stderr));
    let json: Value = serde_json::from_str(&text(&output.stdout)).unwrap();
    assert!(score(&json, "port1")["score"].as_f64() > Some(1.0));

    // Beside a sidecar it would write streaks that the sidecar knows better.
    let sidecar = Portent::serve(&lab, "portent", free_port(), &[&ports]);
    let output = portent("score", &ports, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("its scores are on its /metrics"),
        "{}",
        text(&output.stderr)
    );
    sidecar.terminate(&lab);
    drop(prometheus);
    let output = portent("score", &ports, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
}

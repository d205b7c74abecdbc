//! `portent train`: one training of every watch of a real Prometheus, then the end.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::process::Output;

use crate::lab::Lab;
use crate::lab::now_s;
use crate::lab::prometheus;
use crate::lab::prometheus::Prometheus;

const BINARY: &str = env!("CARGO_BIN_EXE_portent");
const STEP_S: i64 = 30;
const PORTS: usize = 3;

/// Four hours of some ports; of the last one, only the newest ten minutes.
fn history() -> String {
    let end_s = now_s() / STEP_S * STEP_S;
    let mut text = String::from("# TYPE port_bytes gauge\n");
    for port in 0..PORTS {
        let begin_s = end_s - if port + 1 < PORTS { 4 * 3_600 } else { 600 };
        for time_s in (begin_s..=end_s).step_by(STEP_S as usize) {
            let noise = (time_s * 7_919 + time_s / 7 * 31) % 101;
            writeln!(text, "port_bytes{{ifName=\"port{port}\"}} {} {time_s}", 1_000 + noise)
                .unwrap();
        }
    }
    text + "# EOF\n"
}

fn configuration(lab: &Lab, url: &str, more: &str) -> String {
    let store = lab.path("store").display().to_string();
    format!(
        "source: {{prometheus: {{url: '{url}'}}}}\nstore: {{path: '{store}'}}\nwatches:
  - name: ports
    entity: [ifName]
    step: {STEP_S}s
    lag: 0s
    detectors: [seasonal_median]
    queries: {{out: 'sum by (ifName) (port_bytes)'}}
    train: {{history: 4h, min_history: 1h}}
{more}"
    )
}

fn train(config: &Path, flags: &[&str]) -> Output {
    let config = format!("--config.file={}", config.display());
    Command::new(BINARY).args(["train", &config]).args(flags).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The table without the padding.
fn cells(output: &Output) -> Vec<Vec<String>> {
    let line = |line: &str| line.split_whitespace().map(String::from).collect();
    text(&output.stdout).lines().map(line).collect()
}

#[test]
fn every_watch_is_trained_once_and_a_failed_one_is_told() {
    let lab = Lab::new("train");
    let told = prometheus::Config { history: Some(history()), ..prometheus::Config::default() };
    let prometheus = Prometheus::start(&lab, &told);
    let file = lab.write("portent.yml", configuration(&lab, &prometheus.url(), ""));
    // Twice: the second one starts from what the first one stored.
    for flags in [&["--progress"][..], &[]] {
        let output = train(&file, flags);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{said}");
        let cells = cells(&output);
        assert_eq!(cells[0][..3], ["WATCH", "ENTITIES", "PROMOTED"].map(String::from));
        assert_eq!(cells[1][..3], ["ports", "3", "2"].map(String::from), "{said}");
        assert_eq!(cells[4][..3], ["ports", "ifName=port2", "waiting"].map(String::from));
        assert_eq!(said.contains("ports: 3 of 3 entities in "), !flags.is_empty(), "{said}");
    }
    let store = format!("--store.path={}", lab.path("store").display());
    let listed = Command::new(BINARY).args(["models", "list", &store]).output().unwrap();
    assert_eq!(text(&listed.stdout).matches("promoted").count(), 2, "{}", text(&listed.stdout));

    let broken = "  - name: broken\n    queries: {x: 'sum by (job) (port_bytes{'}\n    \
                  detectors: [seasonal_median]\n";
    let config = lab.write("portent.yml", configuration(&lab, &prometheus.url(), broken));
    let output = train(&config, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
    let said = text(&output.stderr);
    assert!(said.contains("error: 1 of 2 watches failed"), "{said}");
    let table = text(&output.stdout);
    assert!(table.contains("history cannot be read"), "{table}");
    assert_eq!(cells(&output)[1][..3], ["ports", "3", "2"].map(String::from), "{said}");
}

#[test]
fn without_a_source_or_a_watch_there_is_nothing_to_train() {
    let lab = Lab::new("train_nothing");
    let store = format!("--store.path={}", lab.path("store").display());
    let output = Command::new(BINARY).args(["train", &store]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("no source; wanted --prometheus.url=URL"));

    let prometheus = Prometheus::start(&lab, &prometheus::Config::default());
    let url = format!("--prometheus.url={}", prometheus.url());
    let output = Command::new(BINARY).args(["train", &store, &url]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains("nothing there that a preset watches"), "{said}");
}

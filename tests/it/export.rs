//! What we export, read by Prometheus' own tools.

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;
use std::time::Duration;

use portent::export::Board;
use portent::export::Format;
use portent::export::Labels;
use portent::export::Metric;
use portent::export::ModelFact;
use portent::export::Quality;
use portent::export::Sample;
use portent::series::Entity;
use portent::verdict::Verdict;

/// A board on which every metric is shown.
fn full_board(entity: &Entity) -> Board {
    let board = Board::new();
    for watch in ["coredns", "ports"] {
        let own = [("feature", "in"), ("detector", "stl"), ("class", "slow"), ("reason", "gap")];
        let labels = Labels::new(&own, entity);
        let samples = Metric::ALL.map(|metric| Sample::new(metric, &labels, 1.5));
        let results = samples.into_iter().filter(|sample| sample.metric < Metric::ModelInfo);
        board.publish(watch, results.collect(), i64::MAX);
        let model = ModelFact {
            entity: entity.clone(),
            feature: None,
            detector: "autoencoder".to_string(),
            version: 2,
            sha256: "00ff".to_string(),
            trained_s: 1_795_370_400,
            history_s: 86_400,
        };
        board.publish_models(watch, &[model]);
        let own = board.own();
        own.pass(watch, 0.25);
        own.pass_failed(watch, "timeout");
        own.training(watch, "promoted", 12.5);
        own.training_progress(watch, 0.25, Some(Duration::from_secs(90)));
        own.promotion(watch, "promoted");
        own.quality(watch, Quality { precision: 0.5, recall: 0.5, detection_delay_s: 90.0 });
    }
    board.own().query();
    board.own().query_failed("timeout");
    board.own().source_up(true);
    board.own().reload(true, 1_795_370_400);
    board.own().labels(&[(Verdict::Anomaly, "cli".to_string(), 3)]);
    board
}

fn promtool(arguments: &[&str], dir: &Path, input: &[u8]) -> Output {
    let mut child = Command::new("promtool")
        .args(arguments)
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is installed (Debian package prometheus)");
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

#[test]
fn promtool_has_nothing_to_say() {
    let dir = tempfile::tempdir().unwrap();
    let entity = Entity::new([("job", "a\n\"b\\"), ("instance", "é"), ("le", "1")]);
    let body = full_board(&entity).scrape(Format::Text, false).into_bytes();
    let checked = promtool(&["check", "metrics"], dir.path(), &body);
    assert_eq!(said(&checked), "");
    assert!(checked.status.success());
}

/// Every series of the board as Prometheus' OpenMetrics reader understood it.
#[test]
fn prometheus_reads_openmetrics_back() {
    let dir = tempfile::tempdir().unwrap();
    let entity =
        Entity::new([("job", "a\"b\\"), ("ifName", "Gi1/0,5 {x}=\r\0\t\u{7f}"), ("é", "é")]);
    let body = full_board(&entity).scrape(Format::OpenMetrics, false).into_bytes();
    // Backfilling wants times, which an exporter must not give.
    let text: String = String::from_utf8(body)
        .unwrap()
        .split_inclusive('\n')
        .map(|line| match line.strip_suffix('\n') {
            Some(sample) if !sample.starts_with('#') => format!("{sample} 1795370400\n"),
            _ => line.to_string(),
        })
        .collect();
    std::fs::write(dir.path().join("text"), &text).unwrap();
    let create = ["tsdb", "create-blocks-from", "openmetrics", "text", "data"];
    let created = promtool(&create, dir.path(), b"");
    assert!(created.status.success(), "{}", said(&created));
    // What a running server would have made.
    std::fs::create_dir(dir.path().join("data/wal")).unwrap();
    let dumped = said(&promtool(&["tsdb", "dump", "data"], dir.path(), b""));
    let n_samples = text.lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(dumped.lines().count(), n_samples, "{dumped}");
    assert!(dumped.contains(r#"ifName="Gi1/0,5 {x}=\r\x00\t\x7f""#), "{dumped}");
    assert!(dumped.contains(r#"__name__="portent_passes_total", watch="ports""#), "{dumped}");
}

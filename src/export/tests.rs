use std::io::Read;

use super::*;
use crate::verdict::Verdict;
use expect_test::expect;

fn samples(job: &str, score: f64) -> Vec<Sample> {
    let entity = Entity::new([("job", job), ("watch", "night\n\"\\")]);
    let own = [("feature", "in"), ("detector", "stl")];
    let labels = Labels::new(&own, &entity);
    let class = Labels::new(&[("class", "upstream_slow")], &entity);
    vec![
        Sample::new(Metric::ClassProbability, &class, 0.25),
        Sample::new(Metric::Expected, &labels, f64::NAN),
        Sample::new(Metric::ScoreTimestamp, &labels, 1_795_370_400.0),
        Sample::new(Metric::AnomalyScore, &labels, score),
        Sample::new(Metric::AnomalyScore, &labels, 99.0),
    ]
}

/// The exposition without its HELP lines and build information.
fn shown(board: &Board, format: Format) -> String {
    let text = String::from_utf8(board.scrape(format, false).into_bytes()).unwrap();
    let lines = text.lines().filter(|l| !l.starts_with("# HELP") && !l.contains("build_info"));
    lines.map(|line| format!("{line}\n")).collect()
}

fn unzipped(scrape: Scrape) -> String {
    assert!(scrape.gzip);
    let bytes = scrape.into_bytes();
    let mut text = String::new();
    flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap();
    text
}

#[test]
fn two_watches_share_a_family() {
    let board = Board::new();
    board.publish("ports", samples("b", 0.5), 100);
    board.publish("coredns", samples("a", 2.0), 100);
    expect![[r##"
        # TYPE portent_anomaly_score gauge
        portent_anomaly_score{watch="coredns",feature="in",detector="stl",job="a",exported_watch="night\n\"\\"} 2
        portent_anomaly_score{watch="ports",feature="in",detector="stl",job="b",exported_watch="night\n\"\\"} 0.5
        # TYPE portent_score_timestamp_seconds gauge
        portent_score_timestamp_seconds{watch="coredns",feature="in",detector="stl",job="a",exported_watch="night\n\"\\"} 1795370400
        portent_score_timestamp_seconds{watch="ports",feature="in",detector="stl",job="b",exported_watch="night\n\"\\"} 1795370400
        # TYPE portent_anomaly_class_probability gauge
        portent_anomaly_class_probability{watch="coredns",class="upstream_slow",job="a",exported_watch="night\n\"\\"} 0.25
        portent_anomaly_class_probability{watch="ports",class="upstream_slow",job="b",exported_watch="night\n\"\\"} 0.25
        # EOF
    "##]]
    .assert_eq(&shown(&board, Format::OpenMetrics));
}

#[test]
fn results_that_are_not_renewed_disappear() {
    let board = Board::new();
    let score = |value| {
        vec![Sample::new(Metric::AnomalyScore, &Labels::new(&[], &Entity::default()), value)]
    };
    board.publish("ports", score(1.0), 100);
    board.publish("coredns", score(2.0), 200);
    board.publish("ports", score(3.0), 150);
    board.expire(150);
    let both = "# TYPE portent_anomaly_score gauge\nportent_anomaly_score{watch=\"coredns\"} 2\n\
                portent_anomaly_score{watch=\"ports\"} 3\n";
    assert_eq!(shown(&board, Format::Text), both);
    board.expire(151);
    assert!(!shown(&board, Format::Text).contains("ports"));
    board.expire(201);
    assert_eq!(shown(&board, Format::Text), "");
    board.publish("ports", score(3.0), 300);
    board.publish("ports", Vec::new(), 300);
    assert_eq!(shown(&board, Format::Text), "", "nothing published is nothing shown");
}

#[test]
fn models_stay_and_a_forgotten_watch_goes() {
    let board = Board::new();
    let model = ModelFact {
        entity: Entity::new([("ifName", "Gi1"), ("version", "15.2")]),
        feature: Some("in".to_string()),
        detector: "stl".to_string(),
        version: 3,
        sha256: "ab12".to_string(),
        trained_s: 1_795_370_400,
        history_s: 7_200,
    };
    board.publish_models("ports", &[model]);
    board.own().pass("ports", 0.5);
    board.own().pass("ports2", 0.25);
    board.expire(i64::MAX - 1);
    expect![[r#"
        # TYPE portent_model_info gauge
        portent_model_info{watch="ports",feature="in",detector="stl",version="3",sha256="ab12",ifName="Gi1",exported_version="15.2"} 1
        # TYPE portent_model_trained_timestamp_seconds gauge
        portent_model_trained_timestamp_seconds{watch="ports",feature="in",detector="stl",ifName="Gi1",exported_version="15.2"} 1795370400
        # TYPE portent_model_history_seconds gauge
        portent_model_history_seconds{watch="ports",feature="in",detector="stl",ifName="Gi1",exported_version="15.2"} 7200
        # TYPE portent_pass_duration_seconds summary
        portent_pass_duration_seconds_sum{watch="ports"} 0.5
        portent_pass_duration_seconds_count{watch="ports"} 1
        portent_pass_duration_seconds_sum{watch="ports2"} 0.25
        portent_pass_duration_seconds_count{watch="ports2"} 1
        # TYPE portent_passes_total counter
        portent_passes_total{watch="ports"} 1
        portent_passes_total{watch="ports2"} 1
    "#]]
    .assert_eq(&shown(&board, Format::Text));
    board.forget("ports");
    assert!(!shown(&board, Format::Text).contains("\"ports\""));
    assert!(shown(&board, Format::Text).contains("\"ports2\""));
}

#[test]
fn ourselves() {
    let board = Board::new();
    let own = board.own();
    own.query();
    own.query();
    own.query_failed("timeout");
    own.source_up(false);
    own.reload(true, 1_795_370_400);
    own.reload(false, 1_795_370_500);
    own.pass_failed("ports", "source");
    own.training("ports", "promoted", 12.5);
    own.promotion("ports", "promoted");
    own.labels(&[(Verdict::Normal, "cli".to_string(), 9)]);
    own.labels(&[(Verdict::Anomaly, "api".to_string(), 2)]);
    own.quality("ports", Quality { precision: 0.5, recall: f64::NAN, detection_delay_s: 90.0 });
    let text = String::from_utf8(board.scrape(Format::OpenMetrics, false).into_bytes()).unwrap();
    expect![[r##"
        # HELP portent_build_info Version of this program; always 1.
        # TYPE portent_build_info gauge
        portent_build_info{version="0.1.0"} 1
        # HELP portent_config_last_reload_successful 1 if the last attempt to read the configuration was successful, else 0.
        # TYPE portent_config_last_reload_successful gauge
        portent_config_last_reload_successful 0
        # HELP portent_config_last_reload_success_timestamp_seconds Unix time of the last successful read of the configuration, in seconds.
        # TYPE portent_config_last_reload_success_timestamp_seconds gauge
        portent_config_last_reload_success_timestamp_seconds 1795370400
        # HELP portent_source_up 1 if the last query to the source was answered, else 0. Renewed by each pass, not by the scrape.
        # TYPE portent_source_up gauge
        portent_source_up 0
        # HELP portent_source_queries Number of queries to the source, for passes, trainings, labels and discovery. One that is split or retried is one.
        # TYPE portent_source_queries counter
        portent_source_queries_total 2
        # HELP portent_source_query_failures Number of queries to the source that failed, by reason.
        # TYPE portent_source_query_failures counter
        portent_source_query_failures_total{reason="timeout"} 1
        # HELP portent_pass_failures Number of passes of scoring that failed, by reason.
        # TYPE portent_pass_failures counter
        portent_pass_failures_total{watch="ports",reason="source"} 1
        # HELP portent_trainings Number of trainings that ended, by result.
        # TYPE portent_trainings counter
        portent_trainings_total{watch="ports",result="promoted"} 1
        # HELP portent_training_duration_seconds Time that trainings took, in seconds.
        # TYPE portent_training_duration_seconds summary
        portent_training_duration_seconds_sum{watch="ports"} 12.5
        portent_training_duration_seconds_count{watch="ports"} 1
        # HELP portent_labels Number of intervals that people have labelled, by verdict and by where it was said.
        # TYPE portent_labels gauge
        portent_labels{verdict="anomaly",source="api"} 2
        # HELP portent_promotions Number of trained models that were judged, by result.
        # TYPE portent_promotions counter
        portent_promotions_total{watch="ports",result="promoted"} 1
        # HELP portent_labelled_precision_ratio Labelled anomalies in which the version in use scores above 1, divided by those and the intervals labelled normal in which it does, 0 to 1. Renewed by each training, not by the scrape.
        # TYPE portent_labelled_precision_ratio gauge
        portent_labelled_precision_ratio{watch="ports"} 0.5
        # HELP portent_labelled_detection_delay_seconds Mean time from the start of a labelled anomaly to the end of its first point that scores above 1, in seconds. Renewed by each training, not by the scrape.
        # TYPE portent_labelled_detection_delay_seconds gauge
        portent_labelled_detection_delay_seconds{watch="ports"} 90
        # EOF
    "##]]
    .assert_eq(&text);
}

#[test]
fn how_far_a_training_is() {
    let board = Board::new();
    let own = board.own();
    own.training_progress("ports", 0.25, Some(std::time::Duration::from_secs(90)));
    own.training_progress("coredns", 0.0, None);
    own.training_progress("failed", f64::NAN, None);
    expect![[r#"
        # TYPE portent_training_progress_ratio gauge
        portent_training_progress_ratio{watch="coredns"} 0
        portent_training_progress_ratio{watch="ports"} 0.25
        # TYPE portent_training_remaining_seconds gauge
        portent_training_remaining_seconds{watch="ports"} 90
    "#]]
    .assert_eq(&shown(&board, Format::Text));
}

#[test]
fn compressed_says_the_same() {
    let board = Board::new();
    board.publish("ports", samples("b", 0.5), 100);
    board.publish("coredns", samples("a", 2.0), 100);
    for format in [Format::Text, Format::OpenMetrics] {
        let plain = String::from_utf8(board.scrape(format, false).into_bytes()).unwrap();
        assert_eq!(unzipped(board.scrape(format, true)), plain);
        assert_eq!(board.scrape(format, true).content_type, format.content_type());
    }
}

#[test]
fn many_publish_while_many_scrape() {
    let board = Board::new();
    std::thread::scope(|scope| {
        for watch in ["a", "b", "c"] {
            let board = board.clone();
            scope.spawn(move || {
                for i in 0..50 {
                    board.publish(watch, samples(watch, f64::from(i)), 100);
                    board.expire(100);
                }
            });
        }
        for _ in 0..50 {
            let text = unzipped(board.scrape(Format::Text, true));
            let families =
                text.lines().filter(|line| line.starts_with("# TYPE portent_anomaly_score "));
            assert!(families.count() <= 1);
        }
    });
    assert_eq!(shown(&board, Format::Text).matches(" 49\n").count(), 3);
}

#[test]
fn help_reads_the_same_in_both_formats() {
    for metric in Metric::ALL {
        assert!(!metric.help().contains(['\\', '"', '\n']), "{metric:?}");
    }
}

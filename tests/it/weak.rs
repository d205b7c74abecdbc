//! Weak labels: the intervals of Prometheus' own evaluation, and rules that can never fire on a real server.

#![allow(clippy::unwrap_used, reason = "a test")]

mod states;

use std::path::Path;
use std::process::Command;
use std::process::Output;

use serde_json::Value;

use crate::lab::Lab;
use crate::lab::dns::CoreDns;
use crate::lab::dns::Faults;
use crate::lab::dns::Load;
use crate::lab::dns::Upstream;
use crate::lab::now_s;
use crate::lab::process::go_tool;
use crate::lab::prometheus;
use crate::lab::prometheus::Prometheus;
use crate::lab::repository;

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_portent")).arg("rules").args(args).output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What lint says, without the file's name.
fn lint(file: &Path, url: Option<&str>) -> (i32, Vec<String>) {
    let file = file.display().to_string();
    let output = match url {
        Some(url) => run(&["lint", &file, "--prometheus.url", url]),
        None => run(&["lint", &file]),
    };
    eprintln!("{}", err(&output));
    let lines = out(&output).lines().map(|line| line.replace(&format!("{file}:"), "")).collect();
    (output.status.code().unwrap(), lines)
}

const RULES: &str = "\
groups:
- name: g
  rules:
  - {alert: Fine, expr: 'rate(old_total[5m]) > 0 or rate(new_total[5m]) > 0'}
  - {alert: NoMetric, expr: 'sum(rate(gone_total[5m])) / sum(rate(new_total[5m])) > 0.1'}
  - {alert: NoUpstream, expr: 'gone_total > 5 or old_total > 5'}
  - {alert: Absent, expr: 'absent(gone_total)'}
  - {alert: Slow, expr: 'histogram_quantile(0.95, sum by (le) (rate(t_bucket[5m]))) > 10', for: 5m}
  - {alert: SlowEnough, expr: 'histogram_quantile(0.95, sum by (le) (rate(t_bucket[5m]))) > 2'}
  - {alert: Bucket, expr: '1 - rate(t_bucket{le=\"4\"}[5m]) / rate(t_count[5m]) > 0.1'}
  - {alert: Negative, expr: 'rate(new_total[5m]) < 0'}
  - {alert: Refused, expr: 'sum(new_total) by'}
  - {alert: LastDay, expr: 'yesterday > 1'}
";

#[test]
fn lint_finds_each_kind() {
    let lab = Lab::new("weak_lint");
    let now_s = now_s();
    let mut history = String::new();
    for (name, value) in [
        ("new_total", 1),
        ("t_bucket{le=\"0.5\"}", 1),
        ("t_bucket{le=\"2.5\"}", 2),
        ("t_bucket{le=\"+Inf\"}", 3),
        ("t_count", 3),
    ] {
        for i in 0..60 {
            history += &format!("{name} {} {}\n", value * i, now_s - 60 * (59 - i));
        }
    }
    history += &format!("yesterday 1 {}\n# EOF\n", now_s - 86_400);
    let prometheus = Prometheus::start(
        &lab,
        &prometheus::Config { history: Some(history), ..Default::default() },
    );
    let file = lab.write("rules.yml", RULES);

    let (code, found) = lint(&file, Some(&prometheus.url()));
    let wanted = [
        "5: group g: alert NoMetric: the server has no series of gone_total",
        "6: group g: alert NoUpstream: the server has no series of gone_total, old_total",
        "7: group g: alert Absent: it holds for most of the time since ",
        "8: group g: alert Slow: `histogram_quantile(0.95, sum by (le) (rate(t_bucket[5m]))) > 10` is \
         never true: at most 2.5 on the left, 10 on the right, by the last finite bucket of t_bucket",
        "10: group g: alert Bucket: t_bucket has no bucket le=\"4\"; its last finite one is 2.5",
        "11: group g: alert Negative: `rate(new_total[5m]) < 0` is never true: at least 0 on the left, \
         0 on the right",
        "12: group g: alert Refused: the server refuses the expression: ",
    ];
    assert_eq!((code, found.len()), (1, wanted.len()), "{found:#?}");
    for (found, wanted) in found.iter().zip(wanted) {
        assert!(found.starts_with(wanted), "{found}, wanted {wanted}");
    }
    assert!(found[6].contains("parse error"), "{}", found[6]);

    let (code, by_text) = lint(&file, None);
    assert_eq!((code, &by_text[..]), (1, &found[5..6]), "without a server, by the text alone");

    let nobody = run(&["lint", file.to_str().unwrap(), "--prometheus.url", "http://127.0.0.1:1"]);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(err(&nobody).contains("http://127.0.0.1:1"), "{}", err(&nobody));
}

/// Three hours, in most of which one thing is wrong; and a class that is none.
#[test]
fn lint_tells_what_holds_most_of_the_time_and_what_names_no_kind() {
    let lab = Lab::new("weak_usual");
    let start_s = now_s() / 60 * 60 - 180 * 60;
    let mut history = String::new();
    for (name, from, to) in [("up", 0, 180), ("often", 40, 160), ("seldom", 60, 80)] {
        for minute in 0..180 {
            let value = i64::from((from..to).contains(&minute));
            history += &format!("{name}{{job=\"dns\"}} {value} {}\n", start_s + 60 * minute);
        }
    }
    let history = Some(history + "# EOF\n");
    let server = Prometheus::start(&lab, &prometheus::Config { history, ..Default::default() });
    let rules = "groups:\n- name: g\n  rules:\n  - {alert: Watchdog, expr: vector(1)}\n  \
                 - {alert: Often, expr: often > 0}\n  - {alert: Seldom, expr: seldom > 0}\n  \
                 - {alert: Odd, expr: seldom > 0, labels: {anomaly_class: unknown}}\n  \
                 - {alert: Kind, expr: seldom > 0, labels: {anomaly_class: '{{ $labels.job }}'}}\n";
    let file = lab.write("rules.yml", rules);
    let (code, found) = lint(&file, Some(&server.url()));
    let since = portent::verdict::rfc3339((start_s + 299) / 300 * 300);
    let usual =
        format!("it holds for most of the time since {since}, or a day on end: it labels nothing");
    let odd = "labels.anomaly_class: \"unknown\" is what networks call a kind that they never learnt, \
               so the alert labels nothing; wanted another class, or none";
    let wanted = [
        format!("4: group g: alert Watchdog: {usual}"),
        format!("5: group g: alert Often: {usual}"),
        format!("7: group g: alert Odd: {odd}"),
    ];
    assert_eq!((code, &found[..]), (1, &wanted[..]));
    let from = start_s.to_string();
    let eval =
        run(&["eval", file.to_str().unwrap(), "--from", &from, "--prometheus.url", &server.url()]);
    assert!(err(&eval).contains(&format!("group g: alert Odd: {odd}")), "{}", err(&eval));
    let table = out(&eval);
    let kind = table.lines().find(|line| line.ends_with("  Kind")).unwrap();
    assert!(kind.starts_with("dns  "), "{kind}");
    assert!(!table.contains("unknown"), "{table}");
}

#[test]
fn names_in_rules_are_refused_where_prometheus_refuses_them() {
    let lab = Lab::new("weak_refused");
    let file = |name: &str, rule: &str| {
        lab.write(name, format!("groups:\n- name: g\n  rules:\n  - {{expr: up, {rule}}}\n"))
    };
    let refused = [
        "alert: A, labels: {'': x}",
        "alert: A, labels: {__name__: x}",
        "alert: A, annotations: {'': x}",
        "record: a, labels: {'': x}",
        "record: a, labels: {__name__: x}",
        "record: 'up{}'",
        "record: ''",
    ];
    let config = lab.write("refused.yml", "rule_files: [bad.yml]\n");
    for rule in refused {
        assert_eq!(lint(&file("bad.yml", rule), None).0, 1, "{rule}");
        let server = Command::new("timeout")
            .arg("30")
            .arg(go_tool("prometheus-3"))
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", lab.folder("refused").display()))
            .arg("--web.listen-address=127.0.0.1:0")
            .output()
            .unwrap();
        // `timeout` would say 124.
        let ended = matches!(server.status.code(), Some(1 | 2));
        assert!(ended && err(&server).contains("bad.yml"), "{rule}: {}", err(&server));
    }
}

/// Names that a real Prometheus 3 takes, and labels as it fills them in.
#[test]
fn names_in_rules_are_those_that_prometheus_takes() {
    let lab = Lab::new("weak_names");
    let names = r#"{"my.team": net, größe: x, ' ': x, 9a: x, 5: x, "a\nb": x, 'a!b,c=d"': x}"#;
    let start_s = (now_s() - 3_600) / 60 * 60;
    let value = |minute: i64| format!("bad{{job=\"dns\"}} 1 {}\n", start_s + 60 * minute);
    let history = Some((10..20).map(value).collect::<String>() + "# EOF\n");
    let class = "'{{ index $labels \"kind.of\" }}-{{ $labels.job }}'";
    let kind = |series: &str| format!("label_replace({series}, \"kind.of\", \"slow\", \"\", \"\")");
    let rules = format!(
        "groups:\n- name: g\n  labels: {{group.wide: y}}\n  rules:\n  \
         - {{alert: Bad, expr: '{}', labels: {{my.team: net, anomaly_class: {class}}}}}\n  \
         - {{alert: Now, expr: '{}', labels: {{my.team: net, anomaly_class: {class}}}}}\n  \
         - {{alert: Names, expr: up == 5, labels: {names}, annotations: {{__name__: x, a.b: x}}}}\n  \
         - {{record: 'my.record, 1', expr: up, labels: {names}}}\n",
        kind("bad"),
        kind("vector(1)"),
    );
    let file = lab.write("good.yml", rules);
    let server = Prometheus::start(
        &lab,
        &prometheus::Config {
            history,
            rules: vec![file.clone()],
            native_histograms: true,
            ..Default::default()
        },
    );
    let (code, found) = lint(&file, None);
    assert_eq!((code, &found[..]), (0, &["3 alerts: nothing found".to_string()][..]));

    server.until(&lab, "ALERTS{alertname=\"Now\"}", 30);
    let (alert, _) = server.query("ALERTS{alertname=\"Now\"}").remove(0);
    let of = |name: &str| alert.get(name).map(String::as_str);
    let wanted =
        [("anomaly_class", "slow-"), ("my.team", "net"), ("group.wide", "y"), ("kind.of", "slow")];
    for (name, value) in wanted {
        assert_eq!(of(name), Some(value), "{alert:?}");
    }
    let from = start_s.to_string();
    let args = ["eval", file.to_str().unwrap(), "--prometheus.url", &server.url(), "--format=json"];
    let times = ["--from", &from, "--to=-10m", "--entity=kind.of,my.team"];
    let output = run(&[&args[..], &times].concat());
    let json: Value = serde_json::from_str(&out(&output)).unwrap();
    let bad = json.as_array().unwrap().iter().find(|label| label["alert"] == "Bad").unwrap();
    assert_eq!(bad["class"], "slow-dns", "{json}");
    assert_eq!(bad["entity"], serde_json::json!({"kind.of": "slow", "my.team": "net"}), "{json}");
}

#[test]
fn files_that_cannot_be_read_show_beside_what_is_found() {
    let lab = Lab::new("weak_files");
    let bad = lab.write("bad.yml", "groups:\n- name: a\n  rules: [{alert: A, expr: a, fro: 5m}]\n");
    let dead = lab.write("dead.yml", "groups:\n- {name: a, rules: [{alert: A, expr: 1 > 2}]}\n");
    let output = run(&["lint", bad.to_str().unwrap(), dead.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let text = out(&output);
    assert!(text.contains("bad.yml:3: groups[0].rules[0].fro: unknown field"), "{text}");
    assert!(text.contains("dead.yml:2: group a: alert A: `1 > 2` is never true: 1 on"), "{text}");
    assert!(
        err(&output)
            .contains("1 of 1 alerts can never fire as they are, or label nothing; 1 of the files")
    );
    let eval =
        run(&["eval", bad.to_str().unwrap(), "--from", "-1h", "--prometheus.url", "http://x"]);
    assert!(err(&eval).contains("bad.yml:3: groups[0].rules[0].fro: unknown field"));
}

#[test]
fn eval_prints_a_table_and_json() {
    let lab = Lab::new("weak_eval");
    let start_s = (now_s() - 7200) / 60 * 60;
    let mut history = String::new();
    for (to, at) in [("a", 10..20), ("b", 15..18)] {
        for i in 0..60 {
            let value = i32::from(at.contains(&i));
            history += &format!(
                "bad{{job=\"dns\",to=\"{to}\"}} {value} {}\n",
                start_s + 60 * i64::from(i)
            );
        }
    }
    history += "# EOF\n";
    let history = Some(history);
    let server = Prometheus::start(&lab, &prometheus::Config { history, ..Default::default() });
    let rules = "groups:\n- name: g\n  rules:\n  - alert: Bad\n    expr: bad > 0\n    for: 3m\n    \
                 labels: {severity: warning, anomaly_class: upstream_slow}\n  - {alert: Odd, expr: sum( }\n";
    let file = lab.write("rules.yml", rules);
    let (from, to, url) = (start_s.to_string(), (start_s + 3600).to_string(), server.url());
    let args = ["eval", file.to_str().unwrap(), "--prometheus.url", &url];
    let times = ["--from", &from, "--to", &to];
    let time = |minute: i64| portent::verdict::rfc3339(start_s + 60 * minute);

    let output = run(&[&args[..], &times].concat());
    let table = out(&output);
    let row = |to: &str, from: i64, until: i64, state: &str| {
        let (from, until) = (time(from), time(until));
        format!("upstream_slow  job=dns,to={to}  {from}  {until}  {state:7}  Bad")
    };
    let wanted =
        [row("a", 10, 13, "pending"), row("a", 13, 20, "firing"), row("b", 15, 18, "pending")];
    let rows: Vec<&str> = table.lines().collect();
    let heads: Vec<&str> = rows[0].split_whitespace().collect();
    assert_eq!(heads, ["CLASS", "ENTITY", "FROM", "TO", "STATE", "ALERT"]);
    assert_eq!(rows[1..], wanted);
    // One that the server refuses does not hide the others, but is not passed over either.
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("group g: alert Odd: "), "{}", err(&output));

    let more = ["--format", "json", "--entity", "job,instance"];
    let json: Value =
        serde_json::from_str(&out(&run(&[&args[..], &times, &more].concat()))).unwrap();
    let firing = &json[1];
    let wanted = serde_json::json!({
        "class": "upstream_slow", "entity": {"job": "dns"}, "state": "firing",
        "from": time(13), "to": time(20), "active_since": time(10),
        "alert": "Bad", "group": "g", "file": file.display().to_string(),
    });
    assert_eq!(*firing, wanted);
}

/// Objects as they come out of Helm, with their neighbours.
#[test]
fn the_rules_of_the_chart_are_read() {
    let lab = Lab::new("weak_chart");
    let chart = repository().join("helm");
    let args = ["template", "demo", chart.to_str().unwrap()];
    let more = ["--set", "prometheus.url=http://p:9090", "--set", "prometheusRule.enabled=true"];
    // Not what it says of links in the chart.
    let rendered = Command::new(go_tool("helm")).args(args).args(more).output().unwrap().stdout;
    let (code, found) = lint(&lab.write("chart.yml", rendered), None);
    let alerts = std::fs::read_to_string(repository().join("rules/alerts.yml")).unwrap();
    let n_alerts = alerts.matches("- alert: ").count();
    assert_eq!((code, found), (0, vec![format!("{n_alerts} alerts: nothing found")]));
}

/// The shipped rules, where CoreDNS forwards but knows nothing of Kubernetes.
#[test]
fn the_shipped_rules_can_fire_on_a_real_coredns() {
    let lab = Lab::heavy("weak_coredns");
    let file = repository().join("rules/coredns-weak.yml");
    assert_eq!(lint(&file, None), (0, vec!["18 alerts: nothing found".to_string()]));

    let upstream = Upstream::start();
    let coredns = CoreDns::start(&lab, &upstream);
    let _load = Load::usual(&lab, &coredns, 50);
    let scrapes = vec![prometheus::scrape("coredns", coredns.metrics)];
    let server = Prometheus::start(&lab, &prometheus::Config { scrapes, ..Default::default() });
    // Failed health checks are counted from the first one on.
    upstream.set(Faults { drop: 1.0, ..Faults::NONE });
    server.until(&lab, "sum(coredns_proxy_healthcheck_failures_total) > 0", 30);
    upstream.set(Faults::NONE);
    server.until(&lab, "sum(rate(coredns_proxy_request_duration_seconds_count[3s])) > 0", 30);

    let (code, found) = lint(&file, Some(&server.url()));
    let wanted = "alert CoreDNSProgrammingLagHigh: the server has no series of \
                  coredns_kubernetes_dns_programming_duration_seconds_bucket";
    assert_eq!((code, found.len()), (1, 1), "{found:#?}");
    assert!(found[0].ends_with(wanted), "{}", found[0]);

    let args = ["--from", "-2m", "--prometheus.url", &server.url()];
    let output = run(&[&["eval", file.to_str().unwrap()][..], &args].concat());
    assert!(output.status.success(), "{}", err(&output));
    assert!(out(&output).starts_with("CLASS"), "{}", out(&output));
}

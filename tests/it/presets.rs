//! The shipped queries, against real parsers and real servers.

mod scrapes;

use serde_json::Value;
use serde_json::json;

use portent::config::Preset;
use portent::watch::Checks;
use portent::watch::Watch;

use crate::lab::Lab;
use crate::lab::dns::CoreDns;
use crate::lab::dns::Load;
use crate::lab::dns::Upstream;
use crate::lab::ports::Node;
use crate::lab::ports::Snmp;
use crate::lab::process::debian;
use crate::lab::process::run;
use crate::lab::prometheus;
use crate::lab::prometheus::Prometheus;
use crate::lab::secs;

#[test]
fn promtool_parses_every_query() {
    let lab = Lab::new("presets_parse");
    let group = |name: &&str| {
        let rules: Vec<Value> = queries(name)
            .into_iter()
            .map(|(feature, query)| json!({"record": format!("preset:{feature}"), "expr": query}))
            .collect();
        json!({"name": name, "rules": rules})
    };
    let groups: Vec<Value> = Preset::names().iter().map(group).collect();
    let file = lab.write("rules.yml", json!({ "groups": groups }).to_string());
    run(&debian("promtool", "prometheus"), ["check".into(), "rules".into(), file.into_os_string()]);
}

/// Three jobs in 12 minutes at one sample per 30 s: CoreDNS with today's names, CoreDNS with the names
/// before 1.7, and something that is no DNS server. Then the first two stop.
#[test]
fn old_and_new_names_mean_the_same_and_a_stopped_target_is_a_gap() {
    let lab = Lab::new("presets_names");
    let servers: Vec<Value> =
        NEW.iter().chain(OLD).chain(OTHER).map(|(s, v)| input(s, v)).collect();
    let expect = |name: &str, unit: f64, value: f64| {
        let expr = format!("round({}, {unit})", query("coredns", name));
        let both = ["old", "new"].map(|job| json!({"labels": labels(job), "value": value}));
        [json!({"expr": &expr, "eval_time": "10m", "exp_samples": both}), absent(&expr, "18m")]
    };
    let tests: Vec<Value> = [
        expect("qps", 1.0, 8.0),
        expect("qtype_share_aaaa", 0.125, 0.25),
        expect("tcp_share", 0.125, 0.25),
        expect("rcode_share_servfail", 0.125, 0.25),
        expect("rcode_share_refused", 0.125, 0.0),
        expect("bad_share_robust", 0.125, 0.25),
        expect("servfail_not_from_upstream_share", 0.0625, 0.125),
        expect("latency_mean_ms", 1.0, 16.0),
        expect("latency_gt_0_032", 0.125, 0.125),
        expect("cache_hit_ratio", 0.125, 0.5),
        expect("fwd_qps", 1.0, 4.0),
        expect("fwd_servfail_share", 0.125, 0.25),
        expect("fwd_latency_mean_ms", 1.0, 32.0),
        expect("fwd_hc_failures_rate", 1.0, 0.0),
        expect("cpu_millicores", 1.0, 50.0),
        expect("replicas", 1.0, 1.0),
    ]
    .concat();
    let file = json!({
        "rule_files": [], "evaluation_interval": "30s",
        "tests": [{"interval": "30s", "input_series": servers, "promql_expr_test": tests}],
    });
    let file = lab.write("names.yml", file.to_string());
    run(&debian("promtool", "prometheus"), ["test".into(), "rules".into(), file.into_os_string()]);
}

#[test]
fn a_port_is_checked_by_its_device() {
    let lab = Lab::new("presets_checks");
    let port = r#"{job="snmp",instance="switch",ifIndex="7",ifName="Gi1/0/7"}"#;
    let device = r#"{job="snmp",instance="switch"}"#;
    let servers = [
        input(&format!("ifHCInOctets{port}"), "0+600x20 _x40"),
        input(&format!("ifHighSpeed{port}"), "1000x20 _x40"),
        input(&format!("ifCounterDiscontinuityTime{port}"), "0x20 _x40"),
        input(&format!("sysUpTime{device}"), "9000+6000x10 100+6000x9 _x40"),
        input(&format!("up{device}"), "1x20 0x40"),
    ];
    let checks = Preset::named("snmp_ports").unwrap().watch().unwrap().checks;
    let labels = r#"{instance="switch", ifName="Gi1/0/7"}"#;
    let is = |query: &Option<String>, time: &str, value: f64| {
        let samples = [json!({"labels": labels, "value": value})];
        json!({"expr": query.as_ref().unwrap(), "eval_time": time, "exp_samples": samples})
    };
    let tests = [
        is(&checks.up, "20m", 1.0),
        is(&checks.up, "40m", 0.0),
        // 1 Gb/s for five minutes.
        is(&checks.limit, "20m", 125e6 * 300.0),
        is(&checks.restarted, "9m", 0.0),
        is(&checks.restarted, "13m", 1.0),
    ];
    let file = json!({
        "rule_files": [], "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": servers, "promql_expr_test": tests}],
    });
    let file = lab.write("checks.yml", file.to_string());
    run(&debian("promtool", "prometheus"), ["test".into(), "rules".into(), file.into_os_string()]);
}

#[test]
fn coredns_is_found_under_any_job_and_gives_every_feature() {
    let lab = Lab::heavy("presets_coredns");
    let upstream = Upstream::start();
    let coredns = CoreDns::start(&lab, &upstream);
    let _load = Load::usual(&lab, &coredns, 100);
    let scrapes = vec![prometheus::scrape("our-names", coredns.metrics)];
    let prometheus = Prometheus::start(&lab, &prometheus::Config { scrapes, ..Default::default() });
    prometheus.until(&lab, "sum(rate(coredns_cache_hits_total[3s])) > 10", 30);
    for name in ["coredns", "coredns_replicas"] {
        lab.until(&format!("{name} has every feature"), secs(20), || {
            let missing = missing(&prometheus, name);
            if !missing.is_empty() {
                lab.step(&format!("no data yet: {missing:?}"));
            }
            missing.is_empty().then_some(())
        });
        let entities = prometheus.query(&query(name, "qps"));
        assert_eq!(entities.len(), 1, "{entities:?}");
        assert_eq!(entities[0].0["job"], "our-names");
    }
    for name in ["snmp_ports", "node_ports"] {
        let found = prometheus.query(&Preset::named(name).unwrap().present);
        assert_eq!(found, [], "{name}");
    }
}

#[test]
fn ports_are_found_and_their_check_says_up() {
    let lab = Lab::heavy("presets_ports");
    let (snmp, node) = (Snmp::start(&lab), Node::start(&lab));
    let scrapes = vec![
        prometheus::scrape_snmp(snmp.exporter, snmp.agent),
        prometheus::scrape("machines", node.port),
    ];
    let prometheus = Prometheus::start(&lab, &prometheus::Config { scrapes, ..Default::default() });
    for name in ["snmp_ports", "node_ports"] {
        lab.until(&format!("{name} has data"), secs(30), || {
            missing(&prometheus, name).is_empty().then_some(())
        });
        let (into, up) =
            (prometheus.query(&query(name, "in")), prometheus.query(&query(name, "up")));
        let port = |(labels, _): &prometheus::Element| labels.clone();
        assert_eq!(
            into.iter().map(port).collect::<Vec<_>>(),
            up.iter().map(port).collect::<Vec<_>>()
        );
        assert!(up.iter().all(|(_, value)| *value == 1.0), "{up:?}");
        assert!(into.iter().all(|(labels, _)| labels.len() == 2), "{into:?}");
    }
    assert_eq!(prometheus.query(&Preset::named("coredns").unwrap().present), []);
}

/// What a preset needs to score and now has no series, or only NaN.
fn missing(prometheus: &Prometheus, preset: &str) -> Vec<String> {
    let empty = |query: &str| !prometheus.query(query).iter().any(|(_, value)| value.is_finite());
    let asked = queries(preset).into_iter().filter(|(name, _)| !CHECKS.contains(&name.as_str()));
    asked.filter(|(_, query)| empty(query)).map(|(name, _)| name).collect()
}

/// Absent where the device does not know.
const CHECKS: [&str; 4] = ["up", "limit", "restarted", "missed_scrapes"];

/// Everything that a preset asks, by name.
fn queries(preset: &str) -> Vec<(String, String)> {
    let found = Preset::named(preset).unwrap();
    // One for queries of one's own asks nothing.
    let Some(Watch { features, checks, .. }) = found.watch() else { return Vec::new() };
    let Checks { up, limit, restarted, missed_scrapes } = checks;
    let checks = CHECKS.into_iter().zip([up, limit, restarted, missed_scrapes]);
    let checks = checks.filter_map(|(name, query)| Some((name.to_string(), query?)));
    let present = [("present".to_string(), found.present)];
    features.into_iter().map(|f| (f.name, f.query)).chain(checks).chain(present).collect()
}

fn query(preset: &str, name: &str) -> String {
    queries(preset).into_iter().find(|(known, _)| known == name).unwrap().1
}

fn labels(job: &str) -> String {
    format!("{{job=\"{job}\"}}")
}

/// An input series of promtool; `$old` and `$new` are the labels of a target.
fn input(series: &str, values: &str) -> Value {
    let series = series.replace("$new", r#"job="new",instance="n:9153""#);
    let series = series.replace("$old", r#"job="old",instance="o:9153""#);
    json!({"series": series, "values": values})
}

fn absent(expr: &str, time: &str) -> Value {
    json!({"expr": expr, "eval_time": time, "exp_samples": []})
}

/// 8 queries/s, a quarter SERVFAIL; half from the cache; 4/s forwarded, of which 1/s is SERVFAIL.
const NEW: &[(&str, &str)] = &[
    ("coredns_build_info{$new}", "1x24 stale"),
    ("up{$new}", "1x24 0x24"),
    (r#"coredns_dns_requests_total{$new,type="A",proto="udp"}"#, "0+180x24 stale"),
    (r#"coredns_dns_requests_total{$new,type="AAAA",proto="tcp"}"#, "0+60x24 stale"),
    (r#"coredns_dns_responses_total{$new,rcode="NOERROR"}"#, "0+180x24 stale"),
    (r#"coredns_dns_responses_total{$new,rcode="SERVFAIL"}"#, "0+60x24 stale"),
    (r#"coredns_dns_request_duration_seconds_bucket{$new,le="0.032"}"#, "0+210x24 stale"),
    ("coredns_dns_request_duration_seconds_count{$new}", "0+240x24 stale"),
    ("coredns_dns_request_duration_seconds_sum{$new}", "0+3.84x24 stale"),
    (r#"coredns_cache_hits_total{$new,type="success"}"#, "0+120x24 stale"),
    ("coredns_cache_requests_total{$new}", "0+240x24 stale"),
    ("coredns_cache_misses_total{$new}", "0+120x24 stale"),
    (
        r#"coredns_proxy_request_duration_seconds_count{$new,proxy_name="forward",rcode="NOERROR"}"#,
        "0+90x24 stale",
    ),
    (
        r#"coredns_proxy_request_duration_seconds_count{$new,proxy_name="forward",rcode="SERVFAIL"}"#,
        "0+30x24 stale",
    ),
    (
        r#"coredns_proxy_request_duration_seconds_sum{$new,proxy_name="forward",rcode="NOERROR"}"#,
        "0+3.84x24 stale",
    ),
    ("process_cpu_seconds_total{$new}", "0+1.5x24 stale"),
];

/// The same before 1.7: no lookups of the cache, response codes of upstream apart from their times.
const OLD: &[(&str, &str)] = &[
    ("coredns_build_info{$old}", "1x24 stale"),
    ("up{$old}", "1x24 0x24"),
    (r#"coredns_dns_request_count_total{$old,proto="udp"}"#, "0+180x24 stale"),
    (r#"coredns_dns_request_count_total{$old,proto="tcp"}"#, "0+60x24 stale"),
    (r#"coredns_dns_request_type_count_total{$old,type="A"}"#, "0+180x24 stale"),
    (r#"coredns_dns_request_type_count_total{$old,type="AAAA"}"#, "0+60x24 stale"),
    (r#"coredns_dns_response_rcode_count_total{$old,rcode="NOERROR"}"#, "0+180x24 stale"),
    (r#"coredns_dns_response_rcode_count_total{$old,rcode="SERVFAIL"}"#, "0+60x24 stale"),
    (r#"coredns_dns_request_duration_seconds_bucket{$old,le="0.032"}"#, "0+210x24 stale"),
    ("coredns_dns_request_duration_seconds_count{$old}", "0+240x24 stale"),
    ("coredns_dns_request_duration_seconds_sum{$old}", "0+3.84x24 stale"),
    (r#"coredns_cache_hits_total{$old,type="success"}"#, "0+120x24 stale"),
    ("coredns_cache_misses_total{$old}", "0+120x24 stale"),
    (r#"coredns_forward_request_duration_seconds_count{$old,to="u"}"#, "0+120x24 stale"),
    (r#"coredns_forward_request_duration_seconds_sum{$old,to="u"}"#, "0+3.84x24 stale"),
    (
        r#"coredns_forward_response_rcode_count_total{$old,to="u",rcode="SERVFAIL"}"#,
        "0+30x24 stale",
    ),
    ("process_cpu_seconds_total{$old}", "0+1.5x24 stale"),
];

/// A neighbour that has a process too.
const OTHER: &[(&str, &str)] = &[
    (r#"up{job="web",instance="w:80"}"#, "1x48"),
    (r#"process_cpu_seconds_total{job="web",instance="w:80"}"#, "0+9x48"),
];

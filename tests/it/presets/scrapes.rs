//! Scrapes that are missing, as after Prometheus was away: where rates are gaps.

use std::fmt::Write as _;

use serde_json::Value;
use serde_json::json;

use super::input;
use super::query;
use crate::lab::Lab;
use crate::lab::now_s;
use crate::lab::process::debian;
use crate::lab::process::run;
use crate::lab::prometheus::Config;
use crate::lab::prometheus::Prometheus;

/// Targets that miss scrapes, four of which are in a window: one, three, and twenty-four as while Prometheus is away;
/// one that is scraped half as often, one that says that it stops, and an outage longer than one looks back.
fn gappy() -> [String; 6] {
    [
        "0+60x60 _x1 3720+60x200".into(),
        "0+60x60 _x3 3840+60x200".into(),
        "0+60x60 _x24 5100+60x200".into(),
        "0 _ ".repeat(130),
        "0+60x60 stale _x9 0+60x200".into(),
        "0+60x60 _x150 9000+60x100".into(),
    ]
}

/// By number of scrape, whose rates are gaps: until a window is known, and until it is full again.
const GAPS: [(usize, &[usize]); 12] = [
    (3, &[0, 1, 2, 3, 4, 5]),
    (4, &[]),
    (35, &[]),
    (61, &[]),
    (62, &[1, 2, 4, 5]),
    (65, &[1, 2, 4, 5]),
    (70, &[2, 4, 5]),
    (72, &[2, 4, 5]),
    (76, &[2, 5]),
    (90, &[5]),
    (215, &[5]),
    (216, &[]),
];

#[test]
fn a_rate_is_a_gap_where_its_window_is_not_full() {
    let lab = Lab::new("presets_missed");
    let ports = "ifHCInOctets{job='j',instance='#',ifName='1'}";
    let targets = gappy();
    let coredns = "coredns_dns_requests_total{job='j',instance='#',type='A',proto='udp'}";
    let replicas =
        missed("coredns_replicas", 30, coredns, "{job='j',instance='#'}", &targets, &GAPS);
    let ports = missed("snmp_ports", 75, ports, "{instance='#',ifName='1'}", &targets, &GAPS);
    // Of a service, one target that was scraped is enough.
    let none =
        GAPS.map(|(n, missed)| (n, if missed.len() == targets.len() { &[0][..] } else { &[] }));
    let service = missed("coredns", 30, coredns, "{job='j'}", &targets, &none);
    let away =
        missed("coredns", 30, coredns, "{job='j'}", &targets[2..3], &[(60, &[]), (67, &[0])]);
    let tests = [replicas, ports, service, away, restarted()];
    let file = json!({"rule_files": [], "evaluation_interval": "15s", "tests": tests});
    let file = lab.write("missed.yml", file.to_string());
    run(&debian("promtool", "prometheus"), ["test".into(), "rules".into(), file.into_os_string()]);
}

/// A CoreDNS that nobody asks for an address over UDP any more, since it was started again, is scraped all the same.
fn restarted() -> Value {
    let query = query("coredns", "missed_scrapes");
    let whole =
        |n: usize| json!({"expr": query, "eval_time": format!("{}s", n * 30), "exp_samples": []});
    let asked = r#"coredns_dns_requests_total{job="j",instance="0",type="A",proto="udp"}"#;
    let servers = [
        input(r#"coredns_build_info{job="j",instance="0"}"#, "1x200"),
        input(asked, "0+60x60 stale _x60 0+60x60"),
    ];
    let times: Vec<Value> = [30, 62, 66, 90, 122, 126].into_iter().map(whole).collect();
    json!({"interval": "30s", "input_series": servers, "promql_expr_test": times})
}

/// A test of promtool: whose rates are gaps after so many scrapes. `#` in `series` and `entity` is the target's number.
fn missed(
    preset: &str,
    scrape_s: usize,
    series: &str,
    entity: &str,
    values: &[String],
    gaps: &[(usize, &[usize])],
) -> Value {
    let of = |text: &str, i: usize| text.replace('\'', "\"").replace('#', &i.to_string());
    let query = query(preset, "missed_scrapes");
    let at = |(n, missed): &(usize, &[usize])| {
        let samples = missed.iter().map(|&i| json!({"labels": of(entity, i), "value": 1}));
        let samples: Vec<Value> = samples.collect();
        json!({"expr": query, "eval_time": format!("{}s", n * scrape_s), "exp_samples": samples})
    };
    let servers = values.iter().enumerate().map(|(i, values)| input(&of(series, i), values));
    json!({
        "interval": format!("{scrape_s}s"),
        "input_series": servers.collect::<Vec<_>>(),
        "promql_expr_test": gaps.iter().map(at).collect::<Vec<_>>(),
    })
}

/// The history of three replicas of a job, each with a phase of its own, that are not scraped in `outages`, from and to.
fn replicas(history: &mut String, job: &str, scrape_s: f64, from_s: f64, outages: &[(f64, f64)]) {
    for replica in 0..3 {
        let mut at_s = from_s + scrape_s * f64::from(replica) / 3.1;
        while at_s < from_s + 8.0 * 3_600.0 {
            let away = outages.iter().any(|(from, to)| (*from..*to).contains(&(at_s - from_s)));
            if !away {
                let count = 10.0 * (at_s - from_s);
                let labels =
                    format!("job=\"{job}\",instance=\"{replica}\",type=\"A\",proto=\"udp\"");
                writeln!(history, "coredns_dns_requests_total{{{labels}}} {count} {at_s:.3}")
                    .unwrap();
            }
            at_s += scrape_s;
        }
    }
}

/// Of steady traffic, whatever Prometheus missed: what is not a gap is not much too low, and not much is a gap.
#[test]
fn an_outage_of_prometheus_is_no_lack_of_traffic() {
    let lab = Lab::new("presets_outages");
    // Whole minutes and whole steps of the queries below: every run sees the same phases.
    let end_s = now_s() / 420 * 420;
    let from_s = (end_s - 8 * 3_600) as f64;
    // Of 20 s to an hour and more, at all phases of the scrapes.
    let mut outages = Vec::new();
    let mut at_s = 3_000.0;
    for (i, length_s) in
        [20.0, 33.0, 48.0, 66.0, 90.0, 130.0, 200.0, 610.0, 4_000.0].into_iter().enumerate()
    {
        outages.push((at_s + 7.3 * i as f64, at_s + 7.3 * i as f64 + length_s));
        at_s += 1_500.0 + length_s;
    }
    let mut history = "# TYPE coredns_dns_requests counter\n".to_string();
    let scrapes_s = [5.0, 10.0, 15.0, 30.0, 60.0];
    for scrape_s in scrapes_s {
        replicas(&mut history, &format!("every-{scrape_s}-s"), scrape_s, from_s, &outages);
    }
    history.push_str("# EOF\n");
    let prometheus =
        Prometheus::start(&lab, &Config { history: Some(history), ..Default::default() });
    // Of three replicas the last is back up to a scrape later than the first.
    for (name, truth, least) in [("coredns_replicas", 10.0, 0.8), ("coredns", 30.0, 0.6)] {
        let (qps, missed) = (query(name, "qps"), query(name, "missed_scrapes"));
        let kept = format!("(({qps}) unless ({missed}))");
        let low = prometheus.query(&format!("min_over_time({kept}[7h30m:7s] @ {end_s}) / {truth}"));
        assert!(low.len() >= scrapes_s.len() && low.iter().all(|(_, v)| *v > least), "{low:?}");
        let all = format!("count_over_time(({qps})[7h30m:7s] @ {end_s})");
        let share =
            prometheus.query(&format!("count_over_time({kept}[7h30m:7s] @ {end_s}) / {all}"));
        assert!(share.iter().all(|(_, share)| *share > 0.92), "{share:?}");
    }
    prometheus.stop(&lab);
}

//! The lab shows what it is asked to show, before anybody judges it.

use std::time::Duration;

use crate::lab::Lab;
use crate::lab::alertmanager::Alertmanager;
use crate::lab::alertmanager::Webhook;
use crate::lab::dns::CoreDns;
use crate::lab::dns::Faults;
use crate::lab::dns::Load;
use crate::lab::dns::Upstream;
use crate::lab::now_s;
use crate::lab::ports::Node;
use crate::lab::ports::Snmp;
use crate::lab::prometheus;
use crate::lab::prometheus::Prometheus;
use crate::lab::secs;

const SERVFAIL: &str = "sum(rate(coredns_dns_responses_total{rcode='SERVFAIL'}[3s]))";
const NXDOMAIN: &str = "sum(rate(coredns_dns_responses_total{rcode='NXDOMAIN'}[3s]))";
const SERVED: &str = "sum(rate(coredns_dns_responses_total[3s]))";
const P99: &str = "histogram_quantile(0.99, \
                   sum by (le) (rate(coredns_dns_request_duration_seconds_bucket[3s])))";
const BROKEN: &str = "sum(rate(coredns_forward_healthcheck_broken_total[3s]))";

#[test]
fn each_fault_of_the_upstream_shows_in_prometheus() {
    let lab = Lab::heavy("lab_dns");
    let upstream = Upstream::start();
    let coredns = CoreDns::start(&lab, &upstream);
    let _load = Load::usual(&lab, &coredns, 200);
    let scrapes = vec![prometheus::scrape("coredns", coredns.metrics)];
    let prometheus = Prometheus::start(&lab, &prometheus::Config { scrapes, ..Default::default() });
    prometheus.until(&lab, &format!("{SERVED} > 150"), 20);
    prometheus.until(&lab, &format!("{P99} < 0.05"), 20);

    upstream.set(Faults { servfail: 0.5, ..Faults::NONE });
    prometheus.until(&lab, &format!("{SERVFAIL} > 20"), 10);
    upstream.set(Faults::NONE);
    prometheus.until(&lab, &format!("{SERVFAIL} == 0"), 20);

    upstream.set(Faults { delay: Duration::from_millis(150), ..Faults::NONE });
    prometheus.until(&lab, &format!("{P99} > 0.12"), 10);
    upstream.set(Faults { drop: 1.0, ..Faults::NONE });
    prometheus.until(&lab, &format!("{BROKEN} > 0"), 15);
    upstream.set(Faults::NONE);
    prometheus.until(&lab, &format!("{P99} < 0.05"), 20);

    let _flood = Load::flood(&lab, &coredns, 300);
    prometheus.until(&lab, &format!("{NXDOMAIN} > 150"), 10);
}

#[test]
fn a_firing_rule_reaches_the_webhook_and_resolves() {
    let lab = Lab::new("lab_alerts");
    let webhook = Webhook::start();
    let alertmanager = Alertmanager::start(&lab, &webhook);
    let rule = format!(
        "groups:\n  - name: lab\n    rules:\n      - alert: SoonOver\n        \
         expr: vector(time()) < {}\n        annotations: {{summary: 'value {{{{ $value }}}}'}}\n",
        now_s() + 12
    );
    let config = prometheus::Config {
        rules: vec![lab.write("rules.yml", rule)],
        alertmanager: Some(alertmanager.port),
        ..Default::default()
    };
    let _prometheus = Prometheus::start(&lab, &config);
    let firing = lab.until("it fires", secs(20), || webhook.find(0, "SoonOver", "firing"));
    assert_eq!(firing.labels["alertname"], "SoonOver");
    assert!(firing.annotations["summary"].as_str().unwrap().starts_with("value 1"));
    lab.until("it resolves", secs(30), || webhook.find(0, "SoonOver", "resolved"));
}

#[test]
fn ports_are_counted_live_and_in_backfilled_history() {
    let lab = Lab::new("lab_ports");
    let (snmp, node) = (Snmp::start(&lab), Node::start(&lab));
    let begin = now_s() - 86_400;
    let sample = |i: i64| {
        let labels = "{job=\"snmp\",instance=\"192.0.2.1\",ifName=\"ge-0/0/1\"}";
        format!("ifHCInOctets{labels} {} {}\n", i * 1000, begin + i * 300)
    };
    let samples: String = (0..280).map(sample).collect();
    let config = prometheus::Config {
        scrapes: vec![
            prometheus::scrape("node", node.port),
            prometheus::scrape_snmp(snmp.exporter, snmp.agent),
        ],
        history: Some(format!("# TYPE ifHCInOctets unknown\n{samples}# EOF\n")),
        ..Default::default()
    };
    let prometheus = Prometheus::start(&lab, &config);
    prometheus.until(&lab, "rate(ifHCInOctets{ifName='lo'}[5s]) > 0", 20);
    prometheus.until(&lab, "rate(node_network_receive_bytes_total{device='lo'}[5s]) > 0", 20);
    assert_eq!(prometheus.value("round(increase(ifHCInOctets[10m] offset 2h))"), Some(2000.0));
}

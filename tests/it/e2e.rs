//! The main job on real servers: CoreDNS and ports → Prometheus → Portent → Prometheus → Alertmanager → a person's
//! webhook, and back through a label into a better model.
//!
//! One story in one test, since its dearest part, three minutes of normal traffic, is needed once.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::lab::Lab;
use crate::lab::alertmanager::Alertmanager;
use crate::lab::alertmanager::Delivery;
use crate::lab::alertmanager::Webhook;
use crate::lab::dns::CoreDns;
use crate::lab::dns::Faults;
use crate::lab::dns::Load;
use crate::lab::dns::Upstream;
use crate::lab::free_port;
use crate::lab::http;
use crate::lab::now_s;
use crate::lab::portent::COMBINED;
use crate::lab::portent::Portent;
use crate::lab::portent::portent;
use crate::lab::ports::Node;
use crate::lab::ports::Snmp;
use crate::lab::prometheus;
use crate::lab::prometheus::Prometheus;
use crate::lab::repository;
use crate::lab::secs;

#[test]
fn three_users_on_real_servers() {
    let mut scene = Scene::start("e2e");
    scene.without_a_configuration_it_finds_coredns_and_ports();
    scene.learns_what_is_normal();
    scene.ports_have_scores_and_bands();

    let servfail = Faults { servfail: 0.5, ..Faults::NONE };
    scene.finds("SERVFAIL 50 %", servfail, &format!("{} > 10", rate_of("SERVFAIL")));
    let drop = Faults { drop: 1.0, ..Faults::NONE };
    scene.finds("drop 100 %", drop, "sum(rate(coredns_dns_responses_total[3s])) < 240");
    scene.finds_a_flood_and_remembers_it_over_a_kill();
    scene.survives_without_prometheus();
    scene.learns_a_slight_fault_from_a_label();
    scene.portent.terminate(&scene.lab);
}

/// Everything that runs. `lab` is last, so that it is dropped after what it started.
struct Scene {
    portent: Portent,
    prometheus: Prometheus,
    _alertmanager: Alertmanager,
    webhook: Webhook,
    _load: Load,
    coredns: CoreDns,
    upstream: Upstream,
    _ports: (Snmp, Node),
    config: PathBuf,
    /// When there were faults that it found, from and to.
    found: Vec<(i64, i64)>,
    lab: Lab,
}

impl Scene {
    fn start(test: &str) -> Scene {
        let lab = Lab::heavy(test);
        let upstream = Upstream::start();
        let coredns = CoreDns::start(&lab, &upstream);
        let load = Load::usual(&lab, &coredns, 300);
        let ports = (Snmp::start(&lab), Node::start(&lab));
        let webhook = Webhook::start();
        let alertmanager = Alertmanager::start(&lab, &webhook);
        let port = free_port();
        let config = prometheus::Config {
            scrapes: vec![
                prometheus::scrape("coredns", coredns.metrics),
                prometheus::scrape_snmp(ports.0.exporter, ports.0.agent),
                prometheus::scrape("node", ports.1.port),
                prometheus::scrape_portent(port),
            ],
            rules: vec![shipped_rules(&lab)],
            alertmanager: Some(alertmanager.port),
            history: Some(three_weeks_of_a_port(ports.0.agent)),
            ..Default::default()
        };
        let prometheus = Prometheus::start(&lab, &config);
        let config = lab.write("portent.yml", configuration(&lab, &prometheus.url()));
        portent(&["check", "--config.file", path(&config)]);
        let argument = format!("--config.file={}", config.display());
        let portent = Portent::serve(&lab, "portent", port, &[&argument]);
        Scene {
            portent,
            prometheus,
            _alertmanager: alertmanager,
            webhook,
            _load: load,
            coredns,
            upstream,
            _ports: ports,
            config,
            found: Vec::new(),
            lab,
        }
    }

    /// `portent serve --prometheus.url=URL` and nothing else.
    fn without_a_configuration_it_finds_coredns_and_ports(&self) {
        self.prometheus.until(&self.lab, "count(coredns_build_info) > 0", 30);
        self.prometheus.until(&self.lab, "count(ifHCInOctets{ifName='lo'}) > 0", 30);
        let url = format!("--prometheus.url={}", self.prometheus.url());
        let store = format!("--store.path={}", self.lab.folder("store_bare").display());
        let bare = Portent::serve(&self.lab, "portent_bare", free_port(), &[&url, &store]);
        self.lab.until("CoreDNS and ports found without a configuration", secs(60), || {
            let metrics = bare.metrics();
            let passes = metrics.all("portent_passes_total", &[]);
            let watches = |part| passes.iter().any(|sample| sample.labels["watch"].contains(part));
            (watches("coredns") && watches("ports")).then_some(())
        });
        bare.terminate(&self.lab);
    }

    /// Three minutes of history are enough, and what follows is as normal as they were.
    fn learns_what_is_normal(&self) {
        self.lab.until("the first score of CoreDNS", secs(360), || self.portent.score("coredns"));
        let model = self.model();
        self.lab.step(&format!("model {model:?}"));
        let since = self.webhook.count();
        self.lab.holds("normal traffic raises no alert", secs(30), || {
            self.anomaly(since, "firing").is_none()
        });
        self.calm();
    }

    /// Both directions of the port with history have a score by each detector, and a band by those that forecast.
    fn ports_have_scores_and_bands(&self) {
        let forecasters = ["seasonal_median", "stl", "sarimax", "random_forest"];
        let outliers = ["isolation_forest", "one_class_svm", "combined"];
        let what = "scores by six detectors for both directions of a port";
        self.lab.until_ok(what, secs(180), || {
            let metrics = self.portent.metrics();
            for direction in ["in", "out"] {
                let value = |metric: &str, detector: &str| {
                    let port = [("watch", "ports"), ("feature", direction), ("ifName", "lo")];
                    let value =
                        metrics.value(metric, &[&port[..], &[("detector", detector)]].concat());
                    value.ok_or_else(|| format!("no {metric} of {direction} by {detector}"))
                };
                for detector in forecasters.iter().chain(&outliers) {
                    let score = value("portent_anomaly_score", detector)?;
                    let well = score >= 0.0;
                    well.then_some(()).ok_or_else(|| format!("{detector} scores {score}"))?;
                }
                for detector in forecasters {
                    let lower = value("portent_expected_lower", detector)?;
                    let expected = value("portent_expected", detector)?;
                    let upper = value("portent_expected_upper", detector)?;
                    let well = lower <= expected && expected <= upper;
                    let wrong = || format!("{detector}: {lower} ≤ {expected} ≤ {upper}");
                    well.then_some(()).ok_or_else(wrong)?;
                }
            }
            Ok::<(), String>(())
        });
    }

    /// A fault raises the score within three passes of being visible, reaches the webhook, and both end with it.
    fn finds(&mut self, name: &str, faults: Faults, visible: &str) {
        let (since, from_s) = (self.webhook.count(), now_s());
        self.lab.step(name);
        self.upstream.set(faults);
        self.is_found(since, visible);
        self.upstream.set(Faults::NONE);
        self.is_over(since);
        self.found.push((from_s, now_s()));
    }

    /// As [`Scene::finds`], for names that nobody asked before; and Portent is killed in the middle of it.
    fn finds_a_flood_and_remembers_it_over_a_kill(&mut self) {
        let (since, from_s) = (self.webhook.count(), now_s());
        self.lab.step("a flood of random names");
        let flood = Load::flood(&self.lab, &self.coredns, 400);
        self.is_found(since, &format!("{} > 100", rate_of("NXDOMAIN")));

        let (model, streak) = (self.model(), self.streak().unwrap());
        self.portent.kill_and_start_again(&self.lab);
        let after = self.lab.until("a streak after kill -9", secs(30), || self.streak());
        assert!(after >= streak, "the streak was {streak} and is {after} after kill -9");
        assert_eq!(self.model(), model, "the model after kill -9");
        drop(flood);
        self.is_over(since);
        self.found.push((from_s, now_s()));
    }

    /// Without its source it says so and shows no score; with it, it goes on, and was never restarted.
    fn survives_without_prometheus(&mut self) {
        let since = self.webhook.count();
        self.prometheus.stop(&self.lab);
        self.lab.until("the scores have gone and portent_source_up is 0", secs(60), || {
            let metrics = self.portent.metrics();
            let gone = metrics.all("portent_anomaly_score", &[("watch", "coredns")]).is_empty();
            (gone && metrics.value("portent_source_up", &[]) == Some(0.0)).then_some(())
        });
        self.lab.holds("no score without Prometheus", secs(54), || {
            self.portent.score("coredns").is_none()
        });
        self.prometheus.start_again(&self.lab);
        let restarted_s = now_s() as f64;
        self.lab.until("a score of what came after", secs(60), || {
            let metrics = self.portent.metrics();
            let time_s = metrics.value("portent_score_timestamp_seconds", &[("watch", "coredns")]);
            time_s.filter(|time_s| *time_s > restarted_s)
        });
        assert_eq!(self.portent.metrics().value("portent_source_up", &[]), Some(1.0));
        self.calm();
        // What Prometheus missed is a gap, and no anomaly of CoreDNS.
        self.lab.holds("the outage of Prometheus alone raises no alert", secs(20), || {
            self.anomaly(since, "firing").is_none()
        });
    }

    /// What the model missed is labelled, trained on, promoted, and found when it comes again. So is what it found:
    /// faults that nobody confirmed are normal to the gate, and to find them a false alarm.
    /// What one label was too little for, a second one is enough for: noise is in both, the fault as well.
    fn learns_a_slight_fault_from_a_label(&mut self) {
        let (faults, from_s, to_s) = self.a_fault_that_is_missed();
        let before = self.model();
        // The missed one first: whichever training comes after it knows of it.
        self.label("upstream_slow", from_s, to_s);
        self.found.iter().for_each(|&(from_s, to_s)| self.label("outage", from_s, to_s));
        self.a_new_version_after(before);
        let config = ["--config.file", path(&self.config)];
        let labels = portent(&[&["labels", "list"], &config[..]].concat());
        assert!(labels.contains("upstream_slow"), "{labels}");
        let models = portent(&[&["models", "list"], &config[..]].concat());
        self.lab.step(&format!("portent models list:\n{models}"));

        let since = self.webhook.count();
        if !self.is_found_now(faults) {
            let (before, to_s) = (self.model(), now_s());
            self.upstream.set(Faults::NONE);
            self.label("upstream_slow", to_s - 25, to_s);
            self.a_new_version_after(before);
            assert!(self.is_found_now(faults), "after two labels");
        }
        self.lab.until("and arrives", secs(60), || self.anomaly(since, "firing"));
        self.upstream.set(Faults::NONE);
        self.is_over(since);
    }

    fn a_new_version_after(&self, before: Option<(String, String)>) {
        self.lab.until("a new version is promoted", secs(400), || {
            Some(()).filter(|()| self.model().is_some_and(|model| Some(model) != before))
        });
    }

    /// Whether the labelled fault is found within half a minute of its coming back.
    fn is_found_now(&self, faults: Faults) -> bool {
        self.calm();
        self.upstream.set(faults);
        let found = (0..75).any(|_| {
            thread::sleep(Duration::from_millis(400));
            self.portent.score("coredns").is_some_and(|score| score > 1.0)
        });
        self.lab
            .step(&format!("the same slight fault: {}", if found { "found" } else { "missed" }));
        found
    }

    fn label(&self, class: &str, from_s: i64, to_s: i64) {
        let label = json!({
            "watch": "coredns", "entity": {"job": "coredns"}, "verdict": "anomaly", "class": class,
            "from": rfc3339(from_s), "to": rfc3339(to_s),
        });
        let answer = http::post_json(&self.portent.url("/api/v1/labels"), &label).unwrap();
        assert!((200..300).contains(&answer.status), "{}: {}", answer.status, answer.body);
    }

    /// The largest of a few delays that the model does not find, and the interval when it was there. A smaller one
    /// would be told from normal traffic only at the cost of false alarms, which the gate refuses.
    fn a_fault_that_is_missed(&mut self) -> (Faults, i64, i64) {
        for delay in [60, 40, 30, 22, 16, 12, 8, 6, 4] {
            let delay = Duration::from_millis(delay);
            let faults = Faults { delay: Faults::NONE.delay + delay, ..Faults::NONE };
            self.upstream.set(faults);
            let from_s = now_s();
            let mut n_scores = 0;
            let missed = (0..75).all(|_| {
                thread::sleep(Duration::from_millis(400));
                let score = self.portent.score("coredns");
                n_scores += usize::from(score.is_some());
                score.is_none_or(|score| score < 1.0)
            });
            let missed = missed && n_scores > 40;
            let to_s = now_s();
            self.upstream.set(Faults::NONE);
            self.lab.step(&format!("{delay:?} more: {}", if missed { "missed" } else { "found" }));
            self.calm();
            if missed {
                return (faults, from_s, to_s);
            }
            self.found.push((from_s, now_s()));
        }
        panic!("the first model missed nothing, so there is nothing to label");
    }

    fn is_found(&self, since: usize, visible: &str) {
        self.prometheus.until(&self.lab, visible, 20);
        let passes = self.portent.passes("coredns");
        self.lab.until("the score is above 1", secs(30), || {
            self.portent.score("coredns").filter(|score| *score > 1.0)
        });
        let passes = self.portent.passes("coredns") - passes;
        assert!(passes <= 3.0, "{passes} passes until the score was above 1");
        let delivery = self.lab.until("it arrives", secs(60), || self.anomaly(since, "firing"));
        self.lab.step(&format!("{delivery:#?}"));
    }

    fn is_over(&self, since: usize) {
        self.calm();
        self.lab.until("it resolves", secs(90), || self.anomaly(since, "resolved"));
    }

    /// Waits until CoreDNS scores below 1.
    fn calm(&self) {
        self.lab.until("the score is below 1", secs(90), || {
            self.portent.score("coredns").filter(|score| *score < 1.0)
        });
    }

    fn anomaly(&self, since: usize, status: &str) -> Option<Delivery> {
        let found = self.webhook.find_where(since, |delivery| {
            delivery.name == "PortentAnomaly"
                && delivery.status == status
                && delivery.labels["watch"] == "coredns"
        });
        found.inspect(|delivery| assert_eq!(delivery.labels["job"], "coredns"))
    }

    fn streak(&self) -> Option<f64> {
        let labels = [("watch", "coredns"), COMBINED];
        self.portent.metrics().value("portent_anomaly_streak_points", &labels)
    }

    /// Version and hash of the model in use.
    fn model(&self) -> Option<(String, String)> {
        let metrics = self.portent.metrics();
        let info = metrics.all("portent_model_info", &[("watch", "coredns")]);
        let labels = &info.first()?.labels;
        Some((labels["version"].clone(), labels["sha256"].clone()))
    }
}

fn rate_of(rcode: &str) -> String {
    format!("sum(rate(coredns_dns_responses_total{{rcode='{rcode}'}}[3s]))")
}

/// The alerts that ship, with seconds where they wait for minutes.
fn shipped_rules(lab: &Lab) -> PathBuf {
    let shipped = fs::read_to_string(repository().join("rules/alerts.yml")).unwrap();
    let sooner = |line: &str| match line.split_once("for: ") {
        Some((before, _)) if before.trim().is_empty() => format!("{before}for: 5s\n"),
        Some((before, _)) if before.trim() == "keep_firing_" => format!("{before}for: 3s\n"),
        _ => format!("{line}\n"),
    };
    lab.write("alerts.yml", shipped.lines().map(sooner).collect::<String>())
}

fn configuration(lab: &Lab, url: &str) -> String {
    let store = lab.folder("store");
    format!(
        "source: {{prometheus: {{url: '{url}'}}}}
watches:
  - name: coredns
    preset: coredns
    step: 1s
    detectors: [autoencoder]
    page_budget: 1 per 8w
    consecutive: 2
    score: {{every: 2s}}
    train: {{every: 1h, history: 10m, min_history: 3m}}
  - name: ports
    preset: snmp_ports
    step: 5m
    bucket: 30m
    detectors: [seasonal_median, stl, sarimax, random_forest, isolation_forest, one_class_svm]
    score: {{every: 5s}}
    train: {{every: 1h, history: 21d, min_history: 2d}}
store: {{path: {}}}
web: {{labels_api: true}}
",
        store.display()
    )
}

/// History for the lab's own `lo`, as snmp_exporter names it: three weeks with days and nights, a sample every two minutes.
fn three_weeks_of_a_port(agent: u16) -> String {
    const DAY_S: i64 = 86_400;
    let end_s = now_s() - 60;
    let mut text = String::new();
    for (name, base) in [("ifHCInOctets", 40_000.0), ("ifHCOutOctets", 15_000.0)] {
        writeln!(text, "# TYPE {name} unknown").unwrap();
        let mut octets = 0.0;
        for time_s in (end_s - 22 * DAY_S..end_s).step_by(120) {
            let turn = (time_s % DAY_S) as f64 / DAY_S as f64 * std::f64::consts::TAU;
            // A little noise that needs no dice.
            let noise = (time_s as f64 * 0.7).sin() * 0.1;
            octets += 120.0 * base * (1.5 - turn.cos() + noise);
            let labels = format!("job=\"snmp\",instance=\"127.0.0.1:{agent}\",ifName=\"lo\"");
            writeln!(text, "{name}{{{labels}}} {octets:.0} {time_s}").unwrap();
        }
    }
    text + "# EOF\n"
}

fn rfc3339(time_s: i64) -> String {
    jiff::Timestamp::from_second(time_s).unwrap().to_string()
}

fn path(file: &std::path::Path) -> &str {
    file.to_str().unwrap()
}

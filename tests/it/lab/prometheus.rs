//! A real Prometheus: scrapes every second, loads rules, answers queries, can be stopped and backfilled.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a lab that cannot start says where")]

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;

use serde_json::Value;

use crate::lab::Lab;
use crate::lab::free_port;
use crate::lab::http;
use crate::lab::process::Process;
use crate::lab::process::debian;
use crate::lab::process::go_tool;
use crate::lab::process::run;
use crate::lab::secs;

/// What one Prometheus is told.
#[derive(Default)]
pub(crate) struct Config {
    /// Entries of `scrape_configs`, one of [`scrape`], [`scrape_portent`], [`scrape_snmp`] each.
    pub(crate) scrapes: Vec<String>,
    pub(crate) rules: Vec<PathBuf>,
    /// The port of an Alertmanager on loopback.
    pub(crate) alertmanager: Option<u16>,
    /// OpenMetrics text that becomes history before the start.
    pub(crate) history: Option<String>,
    /// Seconds between two scrapes, and two evaluations; 1 where nothing is said.
    pub(crate) interval_s: Option<i64>,
    /// Prometheus 3, and no `_bucket` series where a target has native ones.
    pub(crate) native_histograms: bool,
}

/// A running Prometheus; its port stays the same over [`Prometheus::stop`] and [`Prometheus::start_again`].
pub(crate) struct Prometheus {
    port: u16,
    program: PathBuf,
    args: Vec<String>,
    process: Process,
}

/// One answer to an instant query.
pub(crate) type Element = (BTreeMap<String, String>, f64);

impl Prometheus {
    /// Writes the configuration, the history, and starts.
    pub(crate) fn start(lab: &Lab, config: &Config) -> Prometheus {
        let port = free_port();
        let data = lab.folder("prometheus");
        if let Some(history) = &config.history {
            backfill(lab, history, &data);
        }
        let file = lab.write("prometheus.yml", yaml(config));
        // Debian's promtool does not know all that a newer server does.
        if !config.native_histograms {
            let words = ["check".as_ref(), "config".as_ref(), file.as_os_str()];
            run(&debian("promtool", "prometheus"), words);
        }
        let args = vec![
            format!("--config.file={}", file.display()),
            format!("--storage.tsdb.path={}", data.display()),
            "--storage.tsdb.retention.time=10y".to_owned(),
            format!("--web.listen-address=127.0.0.1:{port}"),
            // Alertmanager is known only seconds after the start: an alert that fired by then is sent again.
            "--rules.alert.resend-delay=1s".to_owned(),
        ];
        let program = program(config.native_histograms);
        let process = launch(lab, &program, &args, port);
        Prometheus { port, program, args, process }
    }

    /// Ends it cleanly and leaves its data.
    pub(crate) fn stop(&self, lab: &Lab) {
        self.process.terminate(lab, secs(30));
    }

    /// Starts it on the same port with the same data.
    pub(crate) fn start_again(&mut self, lab: &Lab) {
        self.process = launch(lab, &self.program, &self.args, self.port);
    }

    /// Where others find it.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// An instant query, now.
    pub(crate) fn query(&self, promql: &str) -> Vec<Element> {
        let url = format!("{}/api/v1/query?query={}", self.url(), http::encode(promql));
        let answer = http::get(&url).unwrap();
        assert_eq!(answer.status, 200, "{promql}: {}", answer.body);
        let answer: Value = serde_json::from_str(&answer.body).unwrap();
        let result = answer["data"]["result"].as_array().unwrap();
        result.iter().map(element).collect()
    }

    /// The first value of an instant query.
    pub(crate) fn value(&self, promql: &str) -> Option<f64> {
        self.query(promql).first().map(|(_, value)| *value)
    }

    /// Waits until a query with a comparison, such as `up == 1`, has an answer.
    pub(crate) fn until(&self, lab: &Lab, promql: &str, limit_s: u64) -> f64 {
        lab.until(promql, secs(limit_s), || self.value(promql))
    }
}

/// A job with one target on loopback.
pub(crate) fn scrape(job: &str, port: u16) -> String {
    format!("  - {{job_name: {job}, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}\n")
}

/// The job of Portent itself. `honor_labels`, since its series carry the labels of what they judge.
pub(crate) fn scrape_portent(port: u16) -> String {
    format!(
        "  - job_name: portent\n    honor_labels: true\n    \
         static_configs: [{{targets: ['127.0.0.1:{port}']}}]\n"
    )
}

/// An agent that is asked through snmp_exporter, as its documentation says.
pub(crate) fn scrape_snmp(exporter: u16, agent: u16) -> String {
    format!(
        "  - job_name: snmp\n    metrics_path: /snmp\n    params: {{module: [if_mib]}}\n    \
         static_configs: [{{targets: ['127.0.0.1:{agent}']}}]\n    relabel_configs:\n      \
         - {{source_labels: [__address__], target_label: __param_target}}\n      \
         - {{source_labels: [__param_target], target_label: instance}}\n      \
         - {{target_label: __address__, replacement: '127.0.0.1:{exporter}'}}\n"
    )
}

fn yaml(config: &Config) -> String {
    let rules: Vec<String> =
        config.rules.iter().map(|file| format!("{}", file.display())).collect();
    let alertmanager = config.alertmanager.map(|port| {
        format!("alerting:\n  alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]\n")
    });
    let every = format!("{}s", config.interval_s.unwrap_or(1));
    let native = if config.native_histograms { ", scrape_native_histograms: true" } else { "" };
    format!(
        "global: {{scrape_interval: {every}, scrape_timeout: 1s, evaluation_interval: {every}{native}}}\n\
         rule_files: {rules:?}\n{}scrape_configs:\n{}",
        alertmanager.unwrap_or_default(),
        config.scrapes.concat()
    )
}

/// Turns OpenMetrics text with timestamps in seconds into blocks, before the server starts.
fn backfill(lab: &Lab, history: &str, data: &Path) {
    let file = lab.write("history.om", history);
    let words = ["tsdb", "create-blocks-from", "openmetrics"].map(Path::new);
    let args = words.into_iter().chain([file.as_path(), data]);
    run(&debian("promtool", "prometheus"), args);
}

/// Debian's, or the first of those that know native histograms without a flag.
pub(crate) fn program(native_histograms: bool) -> PathBuf {
    if native_histograms { go_tool("prometheus-3") } else { debian("prometheus", "prometheus") }
}

fn launch(lab: &Lab, program: &Path, args: &[String], port: u16) -> Process {
    let process = Process::start(lab, "prometheus", program, args);
    process.ready(lab, &format!("http://127.0.0.1:{port}/-/ready"), secs(30));
    process
}

fn element(value: &Value) -> Element {
    let labels = value["metric"].as_object().unwrap().iter();
    let labels = labels.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()));
    let number = value["value"][1].as_str().unwrap();
    let number = number.replace("Inf", "inf").parse().unwrap();
    (labels.collect(), number)
}

//! Portent itself, as an operator would run it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a lab that cannot start says where")]

use std::path::Path;

use crate::lab::Lab;
use crate::lab::exposition::Metrics;
use crate::lab::http;
use crate::lab::process::Process;
use crate::lab::process::run;
use crate::lab::secs;

/// The binary that this test run built.
const BINARY: &str = env!("CARGO_BIN_EXE_portent");

/// A running `portent serve`.
pub(crate) struct Portent {
    port: u16,
    args: Vec<String>,
    process: Process,
}

impl Portent {
    /// Starts it on a port that Prometheus knows already, with the arguments after `serve`.
    pub(crate) fn serve(lab: &Lab, name: &str, port: u16, args: &[&str]) -> Portent {
        let mut all = vec!["serve".to_owned(), format!("--web.listen-address=127.0.0.1:{port}")];
        all.extend(args.iter().map(|argument| (*argument).to_owned()));
        Portent { port, process: launch(lab, name, &all, port), args: all }
    }

    /// Starts the demo.
    pub(crate) fn demo(lab: &Lab, port: u16) -> Portent {
        let all = vec!["demo".to_owned(), format!("--web.listen-address=127.0.0.1:{port}")];
        Portent { port, process: launch(lab, "portent", &all, port), args: all }
    }

    /// `kill -9`, then a new process with the same arguments.
    pub(crate) fn kill_and_start_again(&mut self, lab: &Lab) {
        self.process.kill();
        self.process = launch(lab, "portent", &self.args, self.port);
    }

    /// Asks it to end, which it does within five seconds and with 0.
    pub(crate) fn terminate(&self, lab: &Lab) {
        let status = self.process.terminate(lab, secs(5));
        assert!(status.success(), "portent ended with {status}");
    }

    /// What a scrape sees now.
    pub(crate) fn metrics(&self) -> Metrics {
        self.process.assert_running();
        let answer = http::get(&self.url("/metrics")).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
        Metrics::parse(&answer.body)
    }

    /// The highest combined score of a watch; `None` where there is none.
    pub(crate) fn score(&self, watch: &str) -> Option<f64> {
        let metrics = self.metrics();
        let scores = metrics.all("portent_anomaly_score", &[("watch", watch), COMBINED]);
        scores.iter().map(|sample| sample.value).reduce(f64::max)
    }

    /// How many passes of a watch have ended.
    pub(crate) fn passes(&self, watch: &str) -> f64 {
        self.metrics().sum("portent_passes_total", &[("watch", watch)])
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

/// The detector to page on.
pub(crate) const COMBINED: (&str, &str) = ("detector", "combined");

/// Runs another command of the same binary and returns what it printed.
pub(crate) fn portent(args: &[&str]) -> String {
    run(Path::new(BINARY), args)
}

fn launch(lab: &Lab, name: &str, args: &[String], port: u16) -> Process {
    let process = Process::start(lab, name, Path::new(BINARY), args);
    process.ready(lab, &format!("http://127.0.0.1:{port}/-/ready"), secs(20));
    process
}

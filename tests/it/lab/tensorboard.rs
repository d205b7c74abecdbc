//! A real TensorBoard, asked as its page asks it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a lab that cannot start says where")]

use std::path::Path;

use serde_json::Value;
use serde_json::json;

use crate::lab::Lab;
use crate::lab::free_port;
use crate::lab::http;
use crate::lab::process::Process;
use crate::lab::repository;
use crate::lab::secs;

/// A running TensorBoard.
pub(crate) struct TensorBoard {
    port: u16,
    _process: Process,
}

impl TensorBoard {
    /// Starts one on a folder of runs.
    pub(crate) fn start(lab: &Lab, folder: &Path) -> TensorBoard {
        let program = repository().join("tests/tools/bin/tensorboard");
        assert!(program.is_file(), "{} is not installed: run `make install`", program.display());
        let port = free_port();
        let args = [
            format!("--logdir={}", folder.display()),
            format!("--port={port}"),
            "--host=127.0.0.1".to_owned(),
            "--reload_interval=1".to_owned(),
        ];
        let process = Process::start(lab, "tensorboard", &program, args);
        process.ready(lab, &format!("http://127.0.0.1:{port}/data/runs"), secs(60));
        TensorBoard { port, _process: process }
    }

    /// The names of all runs.
    pub(crate) fn runs(&self) -> Vec<String> {
        let runs = self.get("runs");
        let name = |run: &Value| run.as_str().unwrap().to_owned();
        runs.as_array().unwrap().iter().map(name).collect()
    }

    /// Step and value of each point of a scalar.
    pub(crate) fn scalars(&self, run: &str, tag: &str) -> Vec<(i64, f64)> {
        let [run, tag] = [run, tag].map(http::encode);
        let points = self.get(&format!("plugin/scalars/scalars?run={run}&tag={tag}"));
        let point = |p: &Value| (p[1].as_f64().unwrap() as i64, p[2].as_f64().unwrap());
        points.as_array().unwrap().iter().map(point).collect()
    }

    /// The columns of the view of settings.
    pub(crate) fn experiment(&self) -> Value {
        self.post("experiment", &json!({ "experimentName": "" }))
    }

    /// The rows of the view of settings.
    pub(crate) fn trials(&self) -> Vec<Value> {
        let statuses = ["UNKNOWN", "SUCCESS", "FAILURE", "RUNNING"].map(|s| format!("STATUS_{s}"));
        let asked = json!({
            "experimentName": "", "allowedStatuses": statuses, "colParams": [],
            "startIndex": 0, "sliceSize": 1000,
        });
        let found = self.post("session_groups", &asked);
        found["sessionGroups"].as_array().cloned().unwrap_or_default()
    }

    fn get(&self, path: &str) -> Value {
        let answer = http::get(&format!("http://127.0.0.1:{}/data/{path}", self.port)).unwrap();
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        serde_json::from_str(&answer.body).unwrap()
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let url = format!("http://127.0.0.1:{}/data/plugin/hparams/{path}", self.port);
        let answer = http::post_json(&url, body).unwrap();
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        serde_json::from_str(&answer.body).unwrap()
    }
}

//! The fault lab: real CoreDNS under load, in front of resolvers that fail on demand, scraped by a real Prometheus.
//!
//! ```text
//!  scenario ─► stage ──► load ──► CoreDNS (1–3) ──► upstreams
//!                │          (names)    │ kill, freeze,      ▲ faults
//!                └─────────────────────┴─ reload ───────────┘
//!                        Prometheus ─► record ─► NAME.csv, NAME-labels.csv, NAME.json ─► experiment
//! ```
//!
//! Owns: one scenario from its file to its rows. Does not own: processes and ports (`lab`), queries and rows
//! (Portent's own), several scenarios at once (`main`).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a lab that cannot start says where")]

mod cluster;
pub(crate) mod experiment;
pub(crate) mod judge;
pub(crate) mod lessons;
mod load;
mod names;
pub(crate) mod pretrain;
pub(crate) mod record;
mod replica;
pub(crate) mod rotation;
pub(crate) mod simulated;
mod stage;
mod upstream;
mod wire;

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use portent::scenario::Scenario;
use serde_json::json;

use crate::lab::Lab;
use crate::lab::http;
use crate::lab::process::go_tool;
use crate::lab::process::run as output_of;
use crate::lab::prometheus;
use crate::lab::prometheus::Prometheus;

use cluster::Cluster;
use load::Load;
use record::Recording;
use replica::Build;
use replica::Replica;
use stage::Service;
use stage::Stage;
use upstream::Upstream;

/// How often the course is looked at: a fifth of the period in which a process lacks CPU.
const TICK: Duration = Duration::from_millis(20);

/// The folder of a run's servers, which goes with it.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs a scenario to its end, or until `stop`, on the caller's thread, with which its servers end.
///
/// # Errors
/// It was stopped, or its history cannot be read.
pub(crate) fn run(scenario: &Scenario, stop: &AtomicBool) -> Result<Recording, String> {
    let made = Lab::new(&format!("fault_lab_{}_{}", scenario.name, std::process::id()));
    // Dropped in the other order: the lab says why it failed while its folder is there.
    let _folder = Folder(made.path(""));
    let lab = made;
    inside(scenario, stop, &lab)
}

fn inside(scenario: &Scenario, stop: &AtomicBool, lab: &Lab) -> Result<Recording, String> {
    let (mut service, prometheus) = start(scenario, lab);
    let step_s = scenario.step_s;
    let start_s = ((now_s() + scenario.warm_up_s as f64) / step_s as f64).ceil() as i64 * step_s;
    // Until the last row's samples are in.
    let end_s = start_s + scenario.duration_s + 2 * scenario.scrape_interval_s;
    let mut stage = Stage::new(scenario);
    while now_s() < end_s as f64 {
        if stop.load(Ordering::Relaxed) {
            return Err("stopped".to_owned());
        }
        stage.advance(lab, &mut service, now_s() - start_s as f64);
        service.replicas.iter().for_each(Replica::assert_running);
        service.cluster.iter().for_each(|cluster| cluster.plane.assert_running());
        thread::sleep(TICK);
    }
    let seen = service.load.seen();
    let said = |replica: &Replica| {
        let answer = http::get(&format!("http://127.0.0.1:{}/metrics", replica.metrics));
        // One that is down says nothing.
        answer.ok().map(|answer| answer.body)
    };
    let scrapes = service.replicas.iter().filter_map(said).collect();
    let upstream_asked = service.upstreams.iter().flatten().map(Upstream::asked).sum();
    drop(service);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let asked = runtime.block_on(record::history(scenario, &prometheus.url(), start_s));
    let (features, rows, problems) = asked?;
    let scenario = scenario.clone();
    Ok(Recording { scenario, start_s, features, rows, scrapes, seen, upstream_asked, problems })
}

fn start(scenario: &Scenario, lab: &Lab) -> (Service, Prometheus) {
    let Scenario { replicas, upstreams, seed, max_concurrent, .. } = scenario;
    let cluster = scenario.kubernetes.then(|| Cluster::start(lab));
    let build = Build {
        program: coredns(scenario),
        max_concurrent: *max_concurrent,
        kubeconfig: cluster.as_ref().map(|cluster| cluster.plane.kubeconfig().to_owned()),
    };
    let server = |i: usize| Upstream::start(seed.wrapping_mul(1_009).wrapping_add(i as u64));
    let of_replica = |i: usize| (0..*upstreams).map(|j| server(i * upstreams + j)).collect();
    let upstreams: Vec<Vec<Upstream>> = (0..*replicas).map(of_replica).collect();
    let ports = upstreams.iter().map(|servers| servers.iter().map(|server| server.port).collect());
    let replica = |(i, ports)| Replica::start(lab, i, ports, build.clone());
    let replicas: Vec<Replica> = ports.enumerate().map(replica).collect();
    let targets: Vec<String> = replicas
        .iter()
        .enumerate()
        .map(|(i, replica)| {
            let port = replica.metrics;
            format!("{{targets: ['127.0.0.1:{port}'], labels: {{instance: coredns-{i}}}}}")
        })
        .collect();
    let job = format!("  - {{job_name: coredns, static_configs: [{}]}}\n", targets.join(", "));
    let interval_s = Some(scenario.scrape_interval_s);
    let native_histograms = scenario.native_histograms;
    let config = prometheus::Config {
        scrapes: vec![job],
        interval_s,
        native_histograms,
        ..Default::default()
    };
    let prometheus = Prometheus::start(lab, &config);
    let load = Load::start(replicas.iter().map(Replica::address).collect(), *seed);
    (Service { replicas, upstreams, load, cluster }, prometheus)
}

fn now_s() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

/// The program of a scenario's version.
fn coredns(scenario: &Scenario) -> PathBuf {
    match scenario.coredns.as_str() {
        // That of all tests.
        "1.15.0" => go_tool("coredns"),
        older => go_tool(&format!("coredns-{older}")),
    }
}

/// What the servers call themselves.
fn versions(scenario: &Scenario) -> serde_json::Value {
    let first_line = |program: PathBuf, flag: &str| {
        let text = output_of(&program, [flag]);
        text.lines().next().unwrap_or_default().to_owned()
    };
    json!({
        "coredns": first_line(coredns(scenario), "-version"),
        "prometheus": first_line(prometheus::program(scenario.native_histograms), "--version"),
        "portent": env!("CARGO_PKG_VERSION"),
    })
}

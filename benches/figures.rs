//! Measures what the README states: sizes, memory, CPU, how long a scrape waits.
//!
//! Prints one Markdown table. Nothing is compared with a stored number: a machine that does more
//! besides gives others. Memory and CPU are the kernel's own, from `/proc`.
//!
//! The thousand ports live in a real Prometheus, six rows a bucket as with 5 min and 30 min, but on a
//! faster clock: a row every 20 s and a day of four hours. So passes can be waited for.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what cannot be measured says why")]
#![allow(clippy::print_stdout, reason = "a table is what this is for")]

#[allow(dead_code, unused_imports, reason = "the tests use the rest")]
#[path = "../tests/it/lab/mod.rs"]
mod lab;

use std::fmt::Write as _;
use std::fs;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use lab::Lab;
use lab::exposition::Metrics;
use lab::free_port;
use lab::http;
use lab::now_s;
use lab::process;
use lab::process::Process;
use lab::prometheus;
use lab::prometheus::Prometheus;
use lab::secs;
use serde_json::json;

const BINARY: &str = env!("CARGO_BIN_EXE_portent");

/// As in the image: with more arenas, what one thread frees another cannot use.
const ENVIRONMENT: [(&str, &str); 1] = [("MALLOC_ARENA_MAX", "1")];

const SWITCHES: usize = 40;
const PORTS_PER_SWITCH: usize = 25;
const PORTS: usize = SWITCHES * PORTS_PER_SWITCH;
const FEATURES: usize = 2;

const STEP_S: i64 = 20;
const DAY_S: i64 = 14_400;
const HISTORY_S: i64 = 3 * DAY_S;
/// Rows that lie in the future when the history is made, so that passes find new ones.
const AHEAD_S: i64 = 3_600;

/// Passes whose CPU is taken together: those of a bucket.
const PASSES: u64 = 6;

/// Scrapes of each encoding.
const SCRAPES: usize = 500;

fn main() {
    let lab = Lab::heavy("figures");
    let mut table = Table::default();
    sizes(&lab, &mut table);
    demo(&lab, &mut table);
    a_thousand_ports(&lab, &mut table);
    println!("\n{}", table.markdown());
}

/// The rows of the README's table.
#[derive(Default)]
struct Table(Vec<[String; 4]>);

impl Table {
    fn row(&mut self, figure: &str, measured: impl Into<String>, aim: &str, how: &str) {
        let row = [figure.into(), measured.into(), aim.into(), how.into()];
        eprintln!("        {}: {}", row[0], row[1]);
        self.0.push(row);
    }

    fn markdown(&self) -> String {
        let mut text = "| Figure | Measured | Aim | How |\n|---|---|---|---|\n".to_owned();
        for [figure, measured, aim, how] in &self.0 {
            writeln!(text, "| {figure} | {measured} | {aim} | {how} |").unwrap();
        }
        text
    }
}

fn sizes(lab: &Lab, table: &mut Table) {
    let mib = |path: &Path| megabytes(fs::metadata(path).unwrap().len() as f64);
    table.row("Binary", mib(Path::new(BINARY)), "", "`ls -l target/*/release/portent`");
    let copy = lab.path("portent");
    fs::copy(BINARY, &copy).unwrap();
    process::run(&process::debian("strip", "binutils"), [Path::new("-s"), &copy]);
    table.row("Binary, stripped", mib(&copy), "< 30 MB", "`strip -s` of a copy");
}

fn demo(lab: &Lab, table: &mut Table) {
    let started = Instant::now();
    let server = Server::start(lab, "demo", &["demo"]);
    let score = server.until(lab, "the demo's first score of coredns", |metrics| {
        !metrics.all("portent_anomaly_score", &[("watch", "coredns")]).is_empty()
    });
    let seconds = (score - started).as_secs_f64();
    table.row("Start to first score, demo", format!("{seconds:.1} s"), "", "`portent demo`");
    let usage = server.usage();
    table.row("RSS, demo", megabytes(usage.rss), "< 80 MB", "VmRSS at the first score");
    thread::sleep(secs(10));
    let peak = megabytes(server.usage().peak);
    table.row("RSS, demo, peak", peak, "", "VmHWM 10 s later");
}

fn a_thousand_ports(lab: &Lab, table: &mut Table) {
    let history = history(now_s());
    lab.step(&format!("history of {PORTS} ports: {} MB of text", history.len() / 1_000_000));
    let config = prometheus::Config { history: Some(history), ..prometheus::Config::default() };
    let prometheus = Prometheus::start(lab, &config);
    let file = lab.write("portent.yml", configuration(lab, &prometheus.url()));
    let argument = format!("--config.file={}", file.display());
    let started = Instant::now();
    let server = Server::start(lab, "portent", &["serve", &argument]);
    let trained = server.until(lab, "the first training", |m| trainings(m) >= 1.0);
    let rows = HISTORY_S / STEP_S;
    let seconds = (trained - started).as_secs_f64();
    let usage = server.usage();
    table.row(
        "First training of 1,000 ports",
        format!("{seconds:.1} s, {:.1} s of CPU", usage.cpu_s),
        "",
        &format!("2 directions, 2 detectors, {rows} rows each; from start"),
    );
    let scored = server.until(lab, "the first score", |m| scores(m) > 0);
    let seconds = (scored - started).as_secs_f64();
    table.row(
        "Start to first score, 1,000 ports",
        format!("{seconds:.1} s"),
        "",
        "no model before",
    );
    passes(lab, table, &server);
    scrapes(lab, table, &server);
    let usage = server.usage();
    table.row("RSS, 1,000 ports, trained again", megabytes(usage.rss), "", "VmRSS");
    table.row("RSS, 1,000 ports, peak", megabytes(usage.peak), "", "VmHWM after trainings");
}

/// CPU and memory while nothing is trained.
fn passes(lab: &Lab, table: &mut Table, server: &Server) {
    let all = |m: &Metrics| m.sum("portent_pass_duration_seconds_count", &[]);
    let first = all(&server.metrics()) + 1.0;
    server.until(lab, "a pass with models", |m| all(m) >= first);
    let (before, usage) = (server.metrics(), server.usage());
    // Without scrapes, which cost more than a pass.
    thread::sleep(secs(PASSES * STEP_S as u64));
    let (after, later) = (server.metrics(), server.usage());
    let n = all(&after) - all(&before);
    let spent = |m: &Metrics| m.sum("portent_pass_duration_seconds_sum", &[]);
    let wall_ms = (spent(&after) - spent(&before)) / n * 1e3;
    let cpu_ms = (later.cpu_s - usage.cpu_s) / n * 1e3;
    let how = format!("/proc/PID/stat over {n} passes, a bucket every sixth");
    table.row("RSS, 1,000 ports", megabytes(later.rss), "< 80 MB", "VmRSS after these passes");
    table.row("CPU of a pass over 1,000 ports", format!("{cpu_ms:.0} ms"), "", &how);
    let each = format!("{:.0} µs", cpu_ms * 1e3 / (PORTS * FEATURES) as f64);
    table.row("CPU of a pass per series", each, "", "the same by 2,000");
    let how = "portent_pass_duration_seconds, with the queries";
    table.row("Duration of a pass over 1,000 ports", format!("{wall_ms:.0} ms"), "", how);
}

/// How long a scrape takes while a training runs.
fn scrapes(lab: &Lab, table: &mut Table, server: &Server) {
    let mut connection = Connection::open(server.port);
    let mut plain = Vec::new();
    let mut gzip = Vec::new();
    let (mut n_series, mut n_trainings) = (0, 0);
    while plain.len() < SCRAPES {
        let done = trainings(&server.metrics());
        server.ask_for_training(n_trainings);
        n_trainings += 1;
        loop {
            let (took, body) = connection.scrape(false);
            plain.push(took);
            gzip.push(connection.scrape(true).0);
            let text = String::from_utf8(body).unwrap();
            n_series = text.lines().filter(|line| !line.starts_with('#')).count();
            if trainings(&only(&text, "portent_trainings_total")) > done {
                break;
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
    lab.step(&format!("{} scrapes of each during {n_trainings} trainings", plain.len()));
    for (name, times) in [("plain", &mut plain), ("gzip", &mut gzip)] {
        times.sort();
        let at = |q: f64| times[(q * (times.len() - 1) as f64) as usize].as_secs_f64() * 1e3;
        let measured =
            format!("p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms", at(0.5), at(0.99), at(1.0));
        let figure = format!("Scrape of {n_series} series while a training runs, {name}");
        let how = format!("{} scrapes over one connection", times.len());
        table.row(&figure, measured, "p99 < 20 ms", &how);
    }
}

/// The lines of one metric.
fn only(text: &str, name: &str) -> Metrics {
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with(name)).collect();
    Metrics::parse(&lines.join("\n"))
}

fn trainings(metrics: &Metrics) -> f64 {
    metrics.sum("portent_trainings_total", &[("result", "trained")])
}

fn scores(metrics: &Metrics) -> usize {
    metrics.all("portent_anomaly_score", &[]).len()
}

/// A running Portent and what the kernel says of it.
struct Server {
    port: u16,
    _process: Process,
    pid: String,
}

/// Bytes and seconds.
struct Usage {
    rss: f64,
    peak: f64,
    cpu_s: f64,
}

impl Server {
    fn start(lab: &Lab, name: &str, args: &[&str]) -> Server {
        let port = free_port();
        let listen = format!("--web.listen-address=127.0.0.1:{port}");
        let args = args.iter().copied().chain([listen.as_str()]);
        let variables = ENVIRONMENT.map(|(key, value)| (key, Path::new(value)));
        let process = Process::start_with_env(lab, name, Path::new(BINARY), args, &variables);
        process.ready(lab, &format!("http://127.0.0.1:{port}/-/ready"), secs(20));
        Server { port, _process: process, pid: pid_with(&listen) }
    }

    fn metrics(&self) -> Metrics {
        let answer = http::get(&format!("http://127.0.0.1:{}/metrics", self.port)).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
        Metrics::parse(&answer.body)
    }

    /// When `check` held for the first time, within a second: to ask more often would be measured too.
    fn until(&self, lab: &Lab, what: &str, check: impl Fn(&Metrics) -> bool) -> Instant {
        lab.until(what, secs(600), || {
            let held = check(&self.metrics()).then(Instant::now);
            thread::sleep(Duration::from_millis(if held.is_some() { 0 } else { 800 }));
            held
        })
    }

    fn usage(&self) -> Usage {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap();
        let bytes = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
            line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() * 1024.0
        };
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap();
        // After the name, which may hold spaces: utime and stime in hundredths of a second.
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        let ticks = |at: usize| fields[at].parse::<f64>().unwrap();
        let cpu_s = (ticks(11) + ticks(12)) / 100.0;
        Usage { rss: bytes("VmRSS:"), peak: bytes("VmHWM:"), cpu_s }
    }

    fn ask_for_training(&self, n: i64) {
        let to_s = now_s() - 3_600 - n * 600;
        let label = json!({
            "watch": "ports", "entity": "ifName=port00,instance=switch00", "verdict": "normal",
            "from": (to_s - 300).to_string(), "to": to_s.to_string(),
        });
        let url = format!("http://127.0.0.1:{}/api/v1/labels", self.port);
        let answer = http::post_json(&url, &label).unwrap();
        assert!(answer.status < 300, "{}: {}", answer.status, answer.body);
    }
}

/// The process that was started with this argument.
fn pid_with(argument: &str) -> String {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().into_string().ok());
    let has = |pid: &String| {
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        arguments.split(|byte| *byte == 0).any(|part| part == argument.as_bytes())
    };
    pids.find(has).unwrap()
}

/// A connection that stays open, as Prometheus keeps its own.
struct Connection(BufReader<TcpStream>);

impl Connection {
    fn open(port: u16) -> Connection {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(secs(20))).unwrap();
        Connection(BufReader::new(stream))
    }

    /// From the request's first byte to the answer's last, and the body.
    fn scrape(&mut self, gzip: bool) -> (Duration, Vec<u8>) {
        let encoding = if gzip { "gzip" } else { "identity" };
        let request = format!(
            "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept-Encoding: {encoding}\r\n\r\n"
        );
        let started = Instant::now();
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
        let mut length = 0;
        for (i, line) in self.0.by_ref().lines().map(Result::unwrap).enumerate() {
            assert!(i > 0 || line.ends_with("200 OK"), "{line}");
            let header = line.split_once(": ").unwrap_or_default();
            if header.0.eq_ignore_ascii_case("content-length") {
                length = header.1.parse().unwrap();
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        (started.elapsed(), body)
    }
}

fn configuration(lab: &Lab, prometheus: &str) -> String {
    let store = lab.path("store").display().to_string();
    let by = "by (instance, ifName)";
    format!(
        "source: {{prometheus: {{url: '{prometheus}'}}}}
store: {{path: '{store}'}}
web: {{labels_api: true}}
watches:
  - name: ports
    entity: [instance, ifName]
    step: {STEP_S}s
    lag: 0s
    bucket: {}s
    detectors: [seasonal_median: {{season_s: {DAY_S}}}, stl: {{season_s: {DAY_S}}}]
    queries:
      in: {{query: 'sum {by} (port_in_bytes)', transform: log1p, floor: 0.1}}
      out: {{query: 'sum {by} (port_out_bytes)', transform: log1p, floor: 0.1}}
    checks:
      up: 'min {by} (0 * port_in_bytes + 1)'
      limit: 'max {by} (0 * port_in_bytes + 1e12)'
      restarted: 'max {by} (0 * port_in_bytes)'
    train: {{history: {HISTORY_S}s, min_history: {DAY_S}s}}
    score: {{every: {STEP_S}s}}
",
        6 * STEP_S
    )
}

/// OpenMetrics text: every port's bytes per row, with a day's rhythm and some noise.
fn history(now_s: i64) -> String {
    let end_s = (now_s + AHEAD_S) / STEP_S * STEP_S;
    let begin_s = (now_s - HISTORY_S) / STEP_S * STEP_S - 60 * STEP_S;
    let mut text = String::new();
    let mut dice = 1_u64;
    for (name, base) in [("port_in_bytes", 4e8), ("port_out_bytes", 1e8)] {
        writeln!(text, "# TYPE {name} gauge").unwrap();
        for port in 0..PORTS {
            let (switch, port) = (port / PORTS_PER_SWITCH, port % PORTS_PER_SWITCH);
            let labels = format!("ifName=\"port{port:02}\",instance=\"switch{switch:02}\"");
            for time_s in (begin_s..end_s).step_by(STEP_S as usize) {
                let turn = (time_s % DAY_S) as f64 / DAY_S as f64 * std::f64::consts::TAU;
                dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let noise = 0.2 * ((dice >> 40) as f64 / (1_u64 << 24) as f64 - 0.5);
                let bytes = base * (1.0 + switch as f64) * (1.5 - turn.cos() + noise);
                writeln!(text, "{name}{{{labels}}} {bytes:.0} {time_s}").unwrap();
            }
        }
    }
    text + "# EOF\n"
}

fn megabytes(bytes: f64) -> String {
    format!("{:.1} MB", bytes / 1e6)
}

//! What `portent serve` does while its source gives no answer, or its store none.

use std::io::Read;
use std::io::Write;
use std::net::TcpListener;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::thread;

use portent::series::Entity;
use portent::store::ModelKey;
use portent::store::ModelState;
use portent::store::NewModel;
use portent::store::Store;

use crate::lab::Lab;
use crate::lab::free_port;
use crate::lab::http;
use crate::lab::portent::Portent;
use crate::lab::process::Process;
use crate::lab::secs;

const PROBE: &str = "histogram_count(vector(1))";

/// A server as Prometheus was before 2.40: it refuses native histograms. It finds nothing but what it
/// is told to have.
#[derive(Clone, Default)]
struct Old {
    asked: Arc<Mutex<Vec<String>>>,
    /// Part of the query that has an answer.
    has: Arc<Mutex<Option<&'static str>>>,
}

impl Old {
    fn start(port: u16) -> Old {
        let old = Old::default();
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let server = old.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let server = server.clone();
                thread::spawn(move || server.answer(stream.unwrap()));
            }
        });
        old
    }

    fn answer(&self, mut stream: TcpStream) {
        let request = read(&mut stream);
        let query = request.replace('+', " ");
        let query = ["%28", "%29"].iter().zip(["(", ")"]).fold(query, |q, (a, b)| q.replace(a, b));
        let has = self.has.lock().unwrap().is_some_and(|part| query.contains(part));
        let time_s =
            query.split("time=").nth(1).map_or("0", |rest| rest.split(['&', '.']).next().unwrap());
        let success = |kind: &str, result: &str| {
            let data = format!(r#"{{"resultType":"{kind}","result":[{result}]}}"#);
            (200, format!(r#"{{"status":"success","data":{data}}}"#))
        };
        let (status, body) = match query.contains("histogram_") {
            true => (422, r#"{"status":"error","errorType":"bad_data","error":"what?"}"#.into()),
            _ if query.contains("query_range") => success("matrix", ""),
            _ if has => success("vector", &format!(r#"{{"metric":{{}},"value":[{time_s},"1"]}}"#)),
            _ => success("vector", ""),
        };
        self.asked.lock().unwrap().push(query);
        let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n", body.len());
        let head = format!("{head}Content-Type: application/json\r\nConnection: close\r\n\r\n");
        let _ = stream.write_all(format!("{head}{body}").as_bytes());
    }

    /// Requests that hold this.
    fn asked(&self, part: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|request| request.contains(part)).count()
    }
}

/// A request with its body.
fn read(stream: &mut TcpStream) -> String {
    let (mut text, mut buffer) = (String::new(), [0; 4096]);
    loop {
        let lower = text.to_lowercase();
        let length = lower.split("content-length: ").nth(1).and_then(|t| t.split("\r\n").next());
        let length = length.map_or(0, |length| length.parse::<usize>().unwrap());
        let n = match lower.find("\r\n\r\n") {
            Some(head) if text.len() >= head + 4 + length => return text,
            _ => stream.read(&mut buffer).unwrap_or(0),
        };
        if n == 0 {
            return text;
        }
        text += &String::from_utf8_lossy(&buffer[..n]);
    }
}

fn source(port: u16) -> String {
    format!("source: {{prometheus: {{url: 'http://127.0.0.1:{port}', timeout: 2s}}}}\n")
}

/// A configuration and its flag.
fn config(lab: &Lab, text: &str) -> String {
    let text = format!("{text}store: {{path: '{}'}}\n", lab.path("store").display());
    format!("--config.file={}", lab.write("portent.yml", text).display())
}

/// Whether the landing page tells of a watch.
fn watches(portent: &Portent, name: &str) -> bool {
    http::get(&portent.url("/")).unwrap().body.contains(&format!("Watch {name}"))
}

#[test]
fn what_a_server_knows_is_asked_until_it_answers() {
    let lab = Lab::new("serve_native");
    let port = free_port();
    let watches_of = "watches:\n  - {name: dns, preset: coredns}\n  \
        - {name: own, queries: {a: up}, entity: [job], step: 30s}\n";
    let flag = config(&lab, &(source(port) + watches_of));
    let portent = Portent::serve(&lab, "portent", free_port(), &[&flag]);
    let up = || portent.metrics().value("portent_source_up", &[]);
    lab.until("the outage shows", secs(20), || (up() == Some(0.0)).then_some(()));
    assert!(watches(&portent, "own"), "any server takes its queries");
    assert!(!watches(&portent, "dns"), "nobody knows yet what this server takes");

    let old = Old::start(port);
    lab.until("it answers", secs(30), || (portent.passes("dns") > 0.0).then_some(()));
    assert!(old.asked("coredns_dns_request") > 0);
    // Rules ask for quantiles of classic ones, as soon as somebody trains.
    let native = old.asked("histogram_") - old.asked("histogram_quantile");
    assert_eq!(native, old.asked(PROBE), "no query of the watch is refused");
    portent.terminate(&lab);
}

#[test]
fn a_preset_with_models_is_watched_though_its_data_are_gone() {
    let lab = Lab::new("serve_models");
    let store = Store::open(&lab.path("store")).unwrap();
    let model = NewModel {
        key: ModelKey {
            watch: "coredns".into(),
            entity: Entity::new([("job", "coredns")]),
            feature: None,
            detector: "autoencoder".into(),
        },
        card: serde_json::Value::Null,
        bytes: vec![1],
        sha256: String::new(),
        trained_s: 1,
    };
    store.add_models(&[model], &ModelState::Promoted).unwrap();
    let port = free_port();
    let _old = Old::start(port);
    let flag = config(&lab, &source(port));
    let portent = Portent::serve(&lab, "portent", free_port(), &[&flag]);
    let passes = |name: &'static str| {
        lab.until(name, secs(20), || (portent.passes(name) > 0.0).then_some(()))
    };
    passes("coredns");
    assert!(!watches(&portent, "snmp_ports"), "that was never there");
}

#[test]
fn what_was_found_is_watched_after_a_reload() {
    let lab = Lab::new("serve_found");
    let port = free_port();
    let old = Old::start(port);
    *old.has.lock().unwrap() = Some("ifHC");
    let flag = config(&lab, &source(port));
    let args = [&flag, "--web.enable-lifecycle"];
    let portent = Portent::serve(&lab, "portent", free_port(), &args);
    lab.until("it is found", secs(20), || watches(&portent, "snmp_ports").then_some(()));
    *old.has.lock().unwrap() = None;
    let reloaded = http::send("POST", &portent.url("/-/reload"), &[], "").unwrap();
    assert_eq!(reloaded.status, 200);
    assert!(watches(&portent, "snmp_ports"));
}

/// `serve`, once it answers, as a process that can be sent signals.
fn serve(lab: &Lab, flag: &str) -> (Process, String) {
    let url = format!("http://127.0.0.1:{}", free_port());
    let listen = format!("--web.listen-address={}", url.trim_start_matches("http://"));
    let binary = Path::new(env!("CARGO_BIN_EXE_portent"));
    let process = Process::start(lab, "portent", binary, ["serve", flag, &listen]);
    process.ready(lab, &format!("{url}/-/healthy"), secs(20));
    (process, url)
}

#[test]
fn a_source_that_hangs_holds_up_neither_reload_nor_end() {
    let lab = Lab::new("serve_hangs");
    // Connections are taken in by the kernel, and nobody reads from them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let source = source(silent.local_addr().unwrap().port()).replace("2s", "60s");
    let flag = config(&lab, &(source + "watches: [{name: dns, preset: coredns}]\n"));
    let (process, _) = serve(&lab, &flag);
    process.signal("HUP");
    thread::sleep(secs(1) / 5);
    assert!(process.terminate(&lab, secs(3)).success());
}

#[test]
fn a_store_that_others_write_to_does_not_hold_up_the_end() {
    let lab = Lab::new("serve_store_held");
    let flag = config(&lab, &(source(free_port()) + "web: {labels_api: true}\n"));
    let (process, url) = serve(&lab, &flag);
    let other = rusqlite::Connection::open(lab.path("store/portent.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let asked = thread::spawn(move || {
        http::send("DELETE", &format!("{url}/api/v1/labels/1"), &[], "{}")
            .map(|answer| answer.status)
    });
    thread::sleep(secs(1));
    assert!(!asked.is_finished(), "it waits for the store");
    assert!(process.terminate(&lab, secs(3)).success());
}

//! A real Alertmanager, and the webhook that it calls.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a lab that cannot start says where")]

use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::lab::Lab;
use crate::lab::free_port;
use crate::lab::process::Process;
use crate::lab::process::debian;
use crate::lab::secs;

/// Alertmanager with one route, to the webhook.
pub(crate) struct Alertmanager {
    pub(crate) port: u16,
    _process: Process,
}

impl Alertmanager {
    pub(crate) fn start(lab: &Lab, webhook: &Webhook) -> Alertmanager {
        let port = free_port();
        let config = format!(
            "route: {{receiver: hook, group_by: [alertname], group_wait: 0s, group_interval: 1s, \
             repeat_interval: 1h}}\n\
             receivers:\n  - name: hook\n    webhook_configs: \
             [{{url: 'http://127.0.0.1:{}/', send_resolved: true}}]\n",
            webhook.port
        );
        let file = lab.write("alertmanager.yml", config);
        let args = [
            format!("--config.file={}", file.display()),
            format!("--storage.path={}", lab.folder("alertmanager").display()),
            format!("--web.listen-address=127.0.0.1:{port}"),
            // No gossip, so no second port.
            "--cluster.listen-address=".to_owned(),
        ];
        let program = debian("prometheus-alertmanager", "prometheus-alertmanager");
        let process = Process::start(lab, "alertmanager", &program, args);
        process.ready(lab, &format!("http://127.0.0.1:{port}/-/ready"), secs(20));
        Alertmanager { port, _process: process }
    }
}

/// One alert of one call.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) name: String,
    /// `firing` or `resolved`
    pub(crate) status: String,
    pub(crate) labels: Value,
    pub(crate) annotations: Value,
}

/// A web server of the test's own that remembers every alert it is sent.
pub(crate) struct Webhook {
    pub(crate) port: u16,
    deliveries: Arc<Mutex<Vec<Delivery>>>,
    end: Arc<AtomicBool>,
}

impl Webhook {
    pub(crate) fn start() -> Webhook {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let webhook = Webhook { port, deliveries: Arc::default(), end: Arc::default() };
        let (deliveries, end) = (Arc::clone(&webhook.deliveries), Arc::clone(&webhook.end));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if end.load(Ordering::Relaxed) {
                    break;
                }
                // A call that is no alert shows as a missing delivery.
                let _ = receive(&stream, &deliveries);
            }
        });
        webhook
    }

    /// How many alerts have come so far: what came later is what a step caused.
    pub(crate) fn count(&self) -> usize {
        self.deliveries.lock().unwrap().len()
    }

    /// The first alert of this name and status after the first `since` ones.
    pub(crate) fn find(&self, since: usize, name: &str, status: &str) -> Option<Delivery> {
        self.find_where(since, |delivery| delivery.name == name && delivery.status == status)
    }

    /// The first such alert after the first `since` ones.
    pub(crate) fn find_where(
        &self,
        since: usize,
        wanted: impl Fn(&Delivery) -> bool,
    ) -> Option<Delivery> {
        let deliveries = self.deliveries.lock().unwrap();
        deliveries.iter().skip(since).find(|delivery| wanted(delivery)).cloned()
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn receive(stream: &TcpStream, deliveries: &Mutex<Vec<Delivery>>) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let body: Value = serde_json::from_slice(&body)?;
    for alert in body["alerts"].as_array().into_iter().flatten() {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        deliveries.lock().unwrap().push(Delivery {
            name: text(&alert["labels"]["alertname"]),
            status: text(&alert["status"]),
            labels: alert["labels"].clone(),
            annotations: alert["annotations"].clone(),
        });
    }
    // Closed after each call, so that one thread is enough.
    let mut stream = stream;
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

//! An HTTP server that says what a real Prometheus cannot be made to say.

use std::io::Read;
use std::io::Write;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

/// An HTTP server that gives each request the next of `answers` (the last one for ever) after
/// `delay`, and remembers what was asked.
pub(super) struct Fake {
    pub(super) url: String,
    requests: Arc<Mutex<Vec<String>>>,
    pub(super) most_at_once: Arc<AtomicUsize>,
}

impl Fake {
    pub(super) fn start(answers: &[(u16, &str)], delay: Duration) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/prefix/", listener.local_addr().unwrap());
        let fake = Fake { url, requests: Arc::default(), most_at_once: Arc::default() };
        let (requests, most) = (Arc::clone(&fake.requests), Arc::clone(&fake.most_at_once));
        let now = Arc::new(AtomicUsize::new(0));
        let answers: Vec<(u16, String)> =
            answers.iter().map(|(status, body)| (*status, body.to_string())).collect();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let (now, most) = (Arc::clone(&now), Arc::clone(&most));
                let (requests, answers) = (Arc::clone(&requests), answers.clone());
                thread::spawn(move || {
                    let request = read_request(&mut stream);
                    let at = {
                        let mut requests = requests.lock().unwrap();
                        requests.push(request);
                        requests.len().min(answers.len()) - 1
                    };
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    thread::sleep(delay);
                    now.fetch_sub(1, Ordering::SeqCst);
                    let (status, body) = &answers[at];
                    let head = format!("HTTP/1.1 {status} X\r\nLocation: http://127.0.0.1:1/\r\n");
                    let length = format!("Content-Length: {}\r\n", body.len());
                    let all = format!("{head}{length}Connection: close\r\n\r\n{body}");
                    let _ = stream.write_all(all.as_bytes());
                });
            }
        });
        fake
    }

    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// A request with its body.
fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        let length = text
            .split("content-length: ")
            .nth(1)
            .map_or(0, |rest| rest.split("\r\n").next().unwrap().parse::<usize>().unwrap());
        if text.find("\r\n\r\n").is_some_and(|head| bytes.len() >= head + 4 + length) {
            return String::from_utf8(bytes).unwrap();
        }
        let n = stream.read(&mut buffer).unwrap_or(0);
        if n == 0 {
            return String::from_utf8_lossy(&bytes).to_string();
        }
        bytes.extend_from_slice(&buffer[..n]);
    }
}

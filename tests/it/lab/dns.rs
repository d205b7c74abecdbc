//! CoreDNS between a load and an upstream resolver that fails on demand.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a lab that cannot start says where")]

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use crate::lab::Lab;
use crate::lab::free_port;
use crate::lab::process::Process;
use crate::lab::process::debian;
use crate::lab::process::go_tool;
use crate::lab::secs;

/// What the upstream does wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Faults {
    /// Share of the queries that are answered SERVFAIL.
    pub(crate) servfail: f64,
    /// Share of the queries that are not answered.
    pub(crate) drop: f64,
    /// Every answer comes this much later, …
    pub(crate) delay: Duration,
    /// … and by a random time up to this.
    pub(crate) jitter: Duration,
}

impl Faults {
    /// A resolver on a good day.
    pub(crate) const NONE: Faults = Faults {
        servfail: 0.0,
        drop: 0.0,
        delay: Duration::from_millis(2),
        jitter: Duration::from_millis(6),
    };
}

/// A resolver on UDP: `nx…` does not exist, every other name is 127.0.0.1.
///
/// Its TTLs, 4 to 12 seconds by name, keep CoreDNS asking: a cache that holds everything would hide the faults.
pub(crate) struct Upstream {
    pub(crate) port: u16,
    faults: Arc<Mutex<Faults>>,
    end: Arc<AtomicBool>,
}

impl Upstream {
    pub(crate) fn start() -> Upstream {
        let port = free_port();
        let socket = Arc::new(UdpSocket::bind(("127.0.0.1", port)).unwrap());
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let upstream =
            Upstream { port, faults: Arc::new(Mutex::new(Faults::NONE)), end: Arc::default() };
        let (later, due) = mpsc::channel();
        let sender = Arc::clone(&socket);
        thread::spawn(move || send_when_due(&sender, &due));
        let (faults, end) = (Arc::clone(&upstream.faults), Arc::clone(&upstream.end));
        thread::spawn(move || receive(&socket, &faults, &end, &later));
        upstream
    }

    /// From now on it fails like this.
    pub(crate) fn set(&self, faults: Faults) {
        *self.faults.lock().unwrap() = faults;
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
    }
}

type Pending = (Instant, Vec<u8>, SocketAddr);

/// Reads queries and decides each one's answer and time.
fn receive(
    socket: &UdpSocket,
    faults: &Mutex<Faults>,
    end: &AtomicBool,
    later: &mpsc::Sender<Pending>,
) {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let mut wander = Wander { delay: Duration::ZERO, since: Instant::now() };
    let mut buffer = [0; 2048];
    while !end.load(Ordering::Relaxed) {
        let Ok((length, client)) = socket.recv_from(&mut buffer) else { continue };
        let faults = *faults.lock().unwrap();
        if random.share() < faults.drop {
            continue;
        }
        let Some(answer) = answer(&buffer[..length], random.share() < faults.servfail) else {
            continue;
        };
        wander.advance(&mut random);
        let delay = faults.delay + wander.delay + faults.jitter.mul_f64(random.share());
        if later.send((Instant::now() + delay, answer, client)).is_err() {
            return;
        }
    }
}

/// The way to a resolver far off, whose time drifts: a random walk between 0 and 8 ms, a step a second.
struct Wander {
    delay: Duration,
    since: Instant,
}

impl Wander {
    fn advance(&mut self, random: &mut Random) {
        if self.since.elapsed() >= secs(1) {
            let step_ms = 4.0 * (random.share() - 0.5);
            let delay_ms = self.delay.as_secs_f64() * 1e3 + step_ms;
            *self = Wander {
                delay: Duration::from_secs_f64(delay_ms.clamp(0.0, 8.0) / 1e3),
                since: Instant::now(),
            };
        }
    }
}

/// Sends each answer at its time. Ends when nobody can hand over more.
fn send_when_due(socket: &UdpSocket, due: &mpsc::Receiver<Pending>) {
    let mut pending: BinaryHeap<Reverse<Pending>> = BinaryHeap::new();
    loop {
        let now = Instant::now();
        while pending.peek().is_some_and(|Reverse(first)| first.0 <= now) {
            let Some(Reverse((_, answer, client))) = pending.pop() else { break };
            let _ = socket.send_to(&answer, client);
        }
        let idle = pending.peek().map_or(secs(1), |Reverse(first)| first.0 - now);
        match due.recv_timeout(idle) {
            Ok(next) => pending.push(Reverse(next)),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// The answer to a query of one question; `None` where it is none (RFC 1035, section 4.1).
fn answer(query: &[u8], servfail: bool) -> Option<Vec<u8>> {
    const SERVFAIL: u16 = 2;
    const NXDOMAIN: u16 = 3;
    const A: &[u8] = &[0, 1];

    let mut end = 12;
    while *query.get(end)? != 0 {
        end += 1 + usize::from(query[end]);
    }
    let question = query.get(12..end + 5)?;
    let asks_a = &question[question.len() - 4..question.len() - 2] == A;
    let missing = question.get(1..3) == Some(b"nx");

    let (code, answers) = match (servfail, missing, asks_a) {
        (true, ..) => (SERVFAIL, 0),
        (_, true, _) => (NXDOMAIN, 0),
        (.., asks_a) => (0, u16::from(asks_a)),
    };
    let mut reply = query[..2].to_vec();
    // A response, recursion desired and available.
    for word in [0x8180 | code, 1, answers, 0, 0] {
        reply.extend(word.to_be_bytes());
    }
    reply.extend(question);
    if answers == 1 {
        let ttl = 4 + question.iter().map(|byte| u32::from(*byte)).sum::<u32>() % 9;
        reply.extend([0xC0, 12, 0, 1, 0, 1]); // the question's name, A, IN
        reply.extend(ttl.to_be_bytes());
        reply.extend([0, 4, 127, 0, 0, 1]);
    }
    Some(reply)
}

/// Marsaglia's xorshift64: a test's dice need no more.
struct Random(u64);

impl Random {
    /// Uniform in 0 … 1.
    fn share(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// A real CoreDNS that forwards to the upstream.
pub(crate) struct CoreDns {
    pub(crate) port: u16,
    pub(crate) metrics: u16,
    _process: Process,
}

impl CoreDns {
    pub(crate) fn start(lab: &Lab, upstream: &Upstream) -> CoreDns {
        let (port, metrics, health) = (free_port(), free_port(), free_port());
        let corefile = format!(
            ".:{port} {{\n    bind 127.0.0.1\n    errors\n    health 127.0.0.1:{health}\n    \
             prometheus 127.0.0.1:{metrics}\n    cache 30\n    \
             forward . 127.0.0.1:{} {{\n        max_concurrent 1000\n    }}\n}}\n",
            upstream.port
        );
        let file = lab.write("Corefile", corefile);
        let args = ["-conf".as_ref(), file.as_os_str()];
        let process = Process::start(lab, "coredns", &go_tool("coredns"), args);
        process.ready(lab, &format!("http://127.0.0.1:{metrics}/metrics"), secs(20));
        CoreDns { port, metrics, _process: process }
    }
}

/// dnsperf, asking at a steady rate until dropped.
pub(crate) struct Load {
    _process: Process,
}

impl Load {
    /// A cluster's usual questions: a few hundred names, some asked more often, a few that do not exist.
    pub(crate) fn usual(lab: &Lab, coredns: &CoreDns, queries_per_second: u32) -> Load {
        let names = (0..400).map(|i| match i % 20 {
            0 => format!("nx-{}.example.org A", i % 60),
            1..5 => format!("popular-{}.svc.cluster.example A", i % 16),
            5 => format!("service-{i}.svc.cluster.example AAAA"),
            _ => format!("service-{i}.svc.cluster.example A"),
        });
        Load::start(lab, "load", coredns, names.collect(), queries_per_second)
    }

    /// Names that nobody asked before and that do not exist.
    pub(crate) fn flood(lab: &Lab, coredns: &CoreDns, queries_per_second: u32) -> Load {
        let mut random = Random(now_seed());
        let names = (0..60_000).map(|_| format!("nx{:013.0}.example.org A", random.share() * 1e13));
        Load::start(lab, "flood", coredns, names.collect(), queries_per_second)
    }

    fn start(lab: &Lab, name: &str, coredns: &CoreDns, lines: Vec<String>, rate: u32) -> Load {
        let file = lab.write(&format!("{name}.txt"), lines.join("\n") + "\n");
        let mut args: Vec<String> =
            "-s 127.0.0.1 -l 36000 -c 4 -q 500".split(' ').map(str::to_owned).collect();
        args.extend(["-p".to_owned(), coredns.port.to_string()]);
        args.extend(["-Q".to_owned(), rate.to_string()]);
        args.extend(["-d".to_owned(), file.display().to_string()]);
        let program = debian("dnsperf", "dnsperf");
        let process = Process::start(lab, name, &program, args);
        thread::sleep(Duration::from_millis(200));
        process.assert_running();
        Load { _process: process }
    }
}

/// Another flood has other names, else the cache would know them.
fn now_seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    now.as_nanos() as u64 | 1
}

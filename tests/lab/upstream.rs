//! The resolvers behind CoreDNS, which fail on demand, over UDP and TCP.
//!
//! Owns: answers, their delay, what is lost. Does not own: when something fails (`scenario`).

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use portent::math::dice;
use portent::math::random::Random;
use portent::scenario::world::Faults;

use super::wire;
use super::wire::Reply;
use super::wire::rcode;
use crate::lab::free_port;

/// How often threads look whether the lab is over.
const LOOK: Duration = Duration::from_millis(200);

/// One resolver: every name exists but those that begin with `nx`.
pub(crate) struct Upstream {
    pub(crate) port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    faults: Mutex<Faults>,
    random: Mutex<Random>,
    /// What a resolver's network adds: drifts between 0 and 6 ms.
    wander: Mutex<(Instant, f64)>,
    bucket: Mutex<(Instant, f64)>,
    end: AtomicBool,
    asked: AtomicU64,
}

impl Upstream {
    pub(crate) fn start(seed: u64) -> Upstream {
        let port = free_port();
        let shared = Arc::new(Shared {
            faults: Mutex::new(Faults::NONE),
            random: Mutex::new(Random::new(seed)),
            wander: Mutex::new((Instant::now(), 2.0)),
            bucket: Mutex::new((Instant::now(), 0.0)),
            end: AtomicBool::new(false),
            asked: AtomicU64::new(0),
        });
        let socket = Arc::new(UdpSocket::bind(("127.0.0.1", port)).unwrap());
        socket.set_read_timeout(Some(LOOK)).unwrap();
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let (later, due) = mpsc::channel();
        let (sender, of_udp, of_tcp) = (Arc::clone(&socket), shared.clone(), shared.clone());
        thread::spawn(move || send_when_due(&sender, &due));
        thread::spawn(move || answer_udp(&socket, &of_udp, &later));
        thread::spawn(move || answer_tcp(&listener, &of_tcp));
        Upstream { port, shared }
    }

    /// From now on it fails like this.
    pub(crate) fn set(&self, faults: Faults) {
        *self.shared.faults.lock().unwrap_or_else(PoisonError::into_inner) = faults;
    }

    /// How many queries came, health checks among them.
    pub(crate) fn asked(&self) -> u64 {
        self.shared.asked.load(Ordering::Relaxed)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.shared.end.store(true, Ordering::Relaxed);
        // Wakes the thread that waits for a connection.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Shared {
    fn over(&self) -> bool {
        self.end.load(Ordering::Relaxed)
    }

    /// The answer to a query and its delay; `None` where there is none.
    fn decide(&self, query: &[u8], tcp: bool) -> Option<(Vec<u8>, Duration)> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let faults = *self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        if random.unit() < faults.drop || !self.within(faults.limit_qps) {
            return None;
        }
        let question = wire::question(query)?;
        let missing = question.get(1..3) == Some(b"nx");
        let code = random.unit();
        let (servfail, nxdomain) = (faults.servfail, faults.servfail + faults.nxdomain);
        let rcode = match code {
            _ if code < servfail => rcode::SERVFAIL,
            _ if code < nxdomain => rcode::NXDOMAIN,
            _ if code < nxdomain + faults.refused => rcode::REFUSED,
            _ if missing => rcode::NXDOMAIN,
            _ => rcode::NOERROR,
        };
        // 5 to 20 seconds by name: a cache that holds everything would hide every fault.
        let of_name = 5 + question.iter().map(|byte| u32::from(*byte)).sum::<u32>() % 16;
        let ttl_s = if random.unit() < faults.uncached { 0 } else { of_name };
        let truncated = !tcp && random.unit() < faults.truncate;
        let answer = wire::reply(query, Reply { rcode, truncated, ttl_s, long: tcp })?;
        let usual_ms = self.drift_ms(&mut random) + dice::log_normal(&mut random, 4.0, 0.6);
        let delay_ms = usual_ms + faults.delay_ms * (0.7 + 0.6 * random.unit());
        Some((answer, Duration::from_secs_f64(delay_ms / 1e3)))
    }

    fn drift_ms(&self, random: &mut Random) -> f64 {
        let mut wander = self.wander.lock().unwrap_or_else(PoisonError::into_inner);
        if wander.0.elapsed() >= Duration::from_secs(1) {
            *wander = (Instant::now(), (wander.1 + 2.0 * (random.unit() - 0.5)).clamp(0.0, 6.0));
        }
        wander.1
    }

    /// Takes a token of a bucket that holds those of half a second.
    fn within(&self, limit_qps: Option<f64>) -> bool {
        let Some(qps) = limit_qps else { return true };
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let tokens = bucket.1 + qps * (now - bucket.0).as_secs_f64();
        let tokens = tokens.min((qps / 2.0).max(1.0));
        let taken = tokens >= 1.0;
        *bucket = (now, if taken { tokens - 1.0 } else { tokens });
        taken
    }
}

type Pending = (Instant, Vec<u8>, SocketAddr);

fn answer_udp(socket: &UdpSocket, shared: &Shared, later: &mpsc::Sender<Pending>) {
    let mut buffer = [0; 4096];
    while !shared.over() {
        let Ok((length, client)) = socket.recv_from(&mut buffer) else { continue };
        let Some((answer, delay)) = shared.decide(&buffer[..length], false) else { continue };
        if later.send((Instant::now() + delay, answer, client)).is_err() {
            return;
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
        let idle = pending.peek().map_or(Duration::from_secs(1), |Reverse(first)| first.0 - now);
        match due.recv_timeout(idle) {
            Ok(next) => pending.push(Reverse(next)),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn answer_tcp(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming().map_while(Result::ok) {
        if shared.over() {
            return;
        }
        let shared = Arc::clone(shared);
        thread::spawn(move || converse(stream, &shared));
    }
}

/// One connection: messages with their length before them (RFC 1035, section 4.2.2).
fn converse(mut stream: TcpStream, shared: &Shared) {
    // CoreDNS closes a connection that it did not use for ten seconds; this is for one that is left.
    let _ = stream.set_read_timeout(Some(Duration::from_secs(15)));
    let _ = stream.set_nodelay(true);
    while !shared.over() {
        let mut length = [0; 2];
        if stream.read_exact(&mut length).is_err() {
            return;
        }
        let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
        if stream.read_exact(&mut query).is_err() {
            return;
        }
        // One after the other: CoreDNS gives a connection one query at a time.
        let Some((answer, delay)) = shared.decide(&query, true) else { continue };
        thread::sleep(delay);
        let length = (answer.len() as u16).to_be_bytes();
        if stream.write_all(&[&length[..], &answer].concat()).is_err() {
            return;
        }
    }
}

//! Clients that ask as much as they are told, whether they are answered or not.
//!
//! Owns: when the next question is asked, of whom, over what; what came back. An answer that was cut short
//! is asked for again over TCP. Does not own: which questions there are (`names`), or how many a second (`scenario`).

use std::collections::BTreeMap;
use std::io;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;
use std::time::Instant;

use portent::math::dice;
use portent::math::random::Random;
use portent::scenario::world::Stream;

use super::names;
use super::wire;

/// How often threads look whether demand has changed, or the lab is over.
const LOOK: Duration = Duration::from_millis(50);
/// Clients over TCP, and how many of their questions may wait: more are lost, as in a client's own queue.
const TCP_CLIENTS: usize = 12;
const TCP_QUEUE: usize = 500;
const TCP_PATIENCE: Duration = Duration::from_secs(5);

/// What is asked now, and each replica's share of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Demand {
    pub(crate) streams: Vec<Stream>,
    pub(crate) shares: Vec<f64>,
}

/// What clients saw.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub(crate) struct Seen {
    pub(crate) asked: u64,
    /// By response code; of TCP, too.
    pub(crate) answered: BTreeMap<u16, u64>,
    pub(crate) truncated: u64,
    pub(crate) over_tcp: u64,
    /// Over TCP without an answer.
    pub(crate) tcp_failed: u64,
}

/// The clients, until dropped.
pub(crate) struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    demand: Mutex<Demand>,
    seen: Mutex<Seen>,
    end: AtomicBool,
}

type Asked = (SocketAddr, Vec<u8>);

impl Load {
    /// Clients of these replicas; they ask nothing yet.
    pub(crate) fn start(replicas: Vec<SocketAddr>, seed: u64) -> Load {
        let shared = Arc::new(Shared {
            demand: Mutex::default(),
            seen: Mutex::default(),
            end: AtomicBool::new(false),
        });
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
        socket.set_read_timeout(Some(LOOK)).unwrap();
        let (over_tcp, due) = mpsc::sync_channel::<Asked>(TCP_QUEUE);
        let due = Arc::new(Mutex::new(due));
        let mut threads = Vec::new();
        for _ in 0..TCP_CLIENTS {
            let (shared, due) = (Arc::clone(&shared), Arc::clone(&due));
            threads.push(thread::spawn(move || tcp_client(&shared, &due)));
        }
        let (inside, answers, again) = (shared.clone(), Arc::clone(&socket), over_tcp.clone());
        threads.push(thread::spawn(move || receive(&inside, &answers, &again)));
        let inside = Arc::clone(&shared);
        let asker = Asker { replicas, socket, over_tcp, random: Random::new(seed), id: 0 };
        threads.push(thread::spawn(move || asker.ask(&inside)));
        Load { shared, threads }
    }

    /// From now on this is asked.
    pub(crate) fn set(&self, demand: Demand) {
        *lock(&self.shared.demand) = demand;
    }

    /// What was seen so far.
    pub(crate) fn seen(&self) -> Seen {
        lock(&self.shared.seen).clone()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.end.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn over(&self) -> bool {
        self.end.load(Ordering::Relaxed)
    }
}

struct Asker {
    replicas: Vec<SocketAddr>,
    socket: Arc<UdpSocket>,
    over_tcp: mpsc::SyncSender<Asked>,
    random: Random,
    id: u16,
}

impl Asker {
    /// An open loop: the next question is due a random time after the last one was due, not after it was answered.
    fn ask(mut self, shared: &Shared) {
        let mut due = Instant::now();
        while !shared.over() {
            let demand = lock(&shared.demand).clone();
            let qps: f64 = demand.streams.iter().map(|stream| stream.qps).sum();
            let now = Instant::now();
            let until = now + LOOK;
            let nobody = demand.shares.iter().all(|share| *share <= 0.0);
            // Arrivals have no memory: what is not due yet is drawn anew, for the demand may be another. After a
            // long time without a turn on a core the questions of a second are made up for, not more.
            if due > now || now - due > Duration::from_secs(1) {
                due = now + self.pause(qps);
            }
            let mut asked = 0;
            while due < until && !nobody {
                thread::sleep(due.saturating_duration_since(Instant::now()));
                self.one(&demand);
                asked += 1;
                due += self.pause(qps);
            }
            thread::sleep(until.saturating_duration_since(Instant::now()));
            lock(&shared.seen).asked += asked;
        }
    }

    fn pause(&mut self, qps: f64) -> Duration {
        Duration::from_secs_f64(dice::exponential(&mut self.random) / qps.max(1e-3))
    }

    fn one(&mut self, demand: &Demand) {
        let random = &mut self.random;
        let rates = demand.streams.iter().map(|stream| stream.qps);
        let stream = &demand.streams[dice::weighted(random, rates)];
        let kind = dice::weighted(random, stream.mix.iter().map(|(_, weight)| *weight));
        let Some((kind, _)) = stream.mix.get(kind) else { return };
        let (name, rtype, edns) = names::question(*kind, random);
        let replica = dice::weighted(random, demand.shares.iter().copied());
        let Some(replica) = self.replicas.get(replica) else { return };
        self.id = self.id.wrapping_add(1);
        let query = wire::query(self.id, &name, rtype, edns);
        if random.unit() < stream.tcp {
            let _ = self.over_tcp.try_send((*replica, query));
        } else {
            // A replica that is gone refuses; that is its own business.
            let _ = self.socket.send_to(&query, replica);
        }
    }
}

fn receive(shared: &Shared, socket: &UdpSocket, over_tcp: &mpsc::SyncSender<Asked>) {
    let mut buffer = [0; 4096];
    while !shared.over() {
        let Ok((length, replica)) = socket.recv_from(&mut buffer) else { continue };
        let message = &buffer[..length];
        let Some((rcode, truncated)) = wire::outcome(message) else { continue };
        let mut seen = lock(&shared.seen);
        if truncated {
            seen.truncated += 1;
            let id = u16::from_be_bytes([message[0], message[1]]);
            if let Some(again) = wire::asked_again(message, id) {
                let _ = over_tcp.try_send((replica, again));
            }
        } else {
            *seen.answered.entry(rcode).or_default() += 1;
        }
    }
}

fn tcp_client(shared: &Shared, due: &Mutex<mpsc::Receiver<Asked>>) {
    while !shared.over() {
        let next = lock(due).recv_timeout(LOOK);
        let Ok((replica, query)) = next else { continue };
        let answer = over_tcp(replica, &query);
        let mut seen = lock(&shared.seen);
        seen.over_tcp += 1;
        match answer.ok().and_then(|answer| wire::outcome(&answer)) {
            Some((rcode, _)) => *seen.answered.entry(rcode).or_default() += 1,
            None => seen.tcp_failed += 1,
        }
    }
}

fn over_tcp(replica: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&replica, TCP_PATIENCE)?;
    stream.set_read_timeout(Some(TCP_PATIENCE))?;
    stream.set_nodelay(true)?;
    stream.write_all(&[&(query.len() as u16).to_be_bytes()[..], query].concat())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

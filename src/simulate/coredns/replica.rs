//! One CoreDNS: questions come, the cache answers most, zones and upstream servers the rest.
//!
//! Owns: what happens when within a process, and its beginning and end. Does not own: what a plugin decides (`cache`,
//! `forward`), what is counted under which name (`metrics`), how many ask (`scenario`).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::super::families::Say;
use super::cache::Cache;
use super::cache::Side;
use super::forward;
use super::forward::Attempts;
use super::forward::Next;
use super::forward::Proxy;
use super::metrics::Metrics;
use super::metrics::Proto;
use super::metrics::Rcode;
use super::metrics::Told;
use super::names::Names;
use super::names::Question;
use super::names::Usual;
use super::process::Process;
use super::upstream::Reply;
use super::upstream::Upstream;
use crate::math::dice;
use crate::math::random::Random;
use crate::scenario::world::Faults;
use crate::scenario::world::Running;
use crate::scenario::world::Stream;
use crate::scenario::world::Wanted;

/// A place among a service's pods, with or without a process.
#[derive(Debug)]
pub(super) struct Replica {
    /// Its number.
    i: usize,
    random: Random,
    upstreams: Vec<Upstream>,
    max_concurrent: usize,
    server: Option<Server>,
}

/// A piece of time in which nothing changes but what CoreDNS does itself. Times are microseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tick<'a> {
    pub(super) from_us: i64,
    pub(super) to_us: i64,
    pub(super) wanted: Wanted,
    pub(super) streams: &'a [Stream],
    /// This replica's share of the streams.
    pub(super) share: f64,
    pub(super) faults: &'a [Faults],
}

/// A process that serves.
#[derive(Debug)]
struct Server {
    process: Process,
    metrics: Metrics,
    cache: Cache,
    proxies: Vec<Proxy>,
    due: BinaryHeap<Reverse<(i64, u64, Event)>>,
    n_due: u64,
    flights: Vec<Flight>,
    free: Vec<usize>,
    /// Questions that wait for an upstream server.
    under_way: usize,
    /// What came while it had no CPU: in the socket's buffer.
    waiting: Vec<(Question, Proto)>,
}

/// Something that happens later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A client asks again, over TCP.
    Ask(usize),
    Answered(usize),
    TimedOut(usize),
    Check(usize),
    Checked(usize, bool),
    Health,
    HealthDone(i64),
}

/// A question that is under way.
#[derive(Debug, Clone)]
struct Flight {
    question: Question,
    proto: Proto,
    start_us: i64,
    asked_us: i64,
    attempts: Attempts,
    proxy: usize,
    reply: Option<Reply>,
}

/// CoreDNS asks itself so often whether it is well, and has so much patience.
const HEALTH_EVERY_US: i64 = 1_000_000;
const HEALTH_TIMEOUT_US: i64 = 3_000_000;
/// A failure is kept for so long.
const FAILURE_US: i64 = 5_000_000;
/// A client that got a short answer asks again so soon.
const AGAIN_US: i64 = 400;

impl Replica {
    /// One without a process.
    pub(super) fn new(i: usize, seed: u64, upstreams: usize, max_concurrent: u32) -> Replica {
        let upstreams = (0..upstreams).map(|_| Upstream::new()).collect();
        let max_concurrent = max_concurrent as usize;
        Replica { i, random: Random::new(seed), upstreams, max_concurrent, server: None }
    }

    /// Lives through a piece of time.
    pub(super) fn live(&mut self, names: &Names, tick: &Tick) {
        for (upstream, faults) in self.upstreams.iter_mut().zip(tick.faults) {
            upstream.faults = *faults;
        }
        if tick.wanted.running != Running::Yes {
            self.server = None;
            return;
        }
        if self.server.is_none() {
            self.server = Some(Server::start(tick.from_us, self.i, names, self.upstreams.len()));
        }
        if let Some(server) = &mut self.server {
            let Replica { random, upstreams, max_concurrent, .. } = self;
            let outside = Outside { names, upstreams, random, max_concurrent: *max_concurrent };
            server.live(outside, tick);
        }
    }

    /// Reads its Corefile again: caches and connections are new.
    pub(super) fn reload(&mut self, names: &Names) {
        if let Some(server) = &mut self.server {
            server.cache = Cache::new(names.len());
            server.proxies = server.proxies.iter().map(|_| Proxy::default()).collect();
            server.process.reloaded();
        }
    }

    /// A scrape at this time, of a history that begins at `origin_s`; `false` where nobody answers.
    pub(super) fn say(&mut self, now_us: i64, origin_s: i64, say: &mut Say) -> bool {
        let answers = |server: &&mut Server| server.process.is_ready(now_us);
        let Some(server) = self.server.as_mut().filter(answers) else { return false };
        let idle: usize = server.proxies.iter().map(|proxy| proxy.n_idle(now_us)).sum();
        let entries = server.cache.entries().iter().sum();
        let (open, random) = (server.under_way, &mut self.random);
        let vitals = server.process.vitals(origin_s, open, idle, entries, random);
        server.metrics.say(vitals, say);
        true
    }
}

/// What a process needs that outlives it.
struct Outside<'a> {
    names: &'a Names,
    upstreams: &'a mut [Upstream],
    random: &'a mut Random,
    max_concurrent: usize,
}

impl Server {
    fn start(now_us: i64, replica: usize, names: &Names, upstreams: usize) -> Server {
        let process = Process::start(now_us);
        let mut server = Server {
            metrics: Metrics::new(replica, upstreams),
            cache: Cache::new(names.len()),
            proxies: (0..upstreams).map(|_| Proxy::default()).collect(),
            due: BinaryHeap::new(),
            n_due: 0,
            flights: Vec::new(),
            free: Vec::new(),
            under_way: 0,
            waiting: Vec::new(),
            process,
        };
        server.later(server.process.ready_us + HEALTH_EVERY_US, Event::Health);
        server
    }

    fn later(&mut self, at_us: i64, event: Event) {
        self.n_due += 1;
        self.due.push(Reverse((at_us, self.n_due, event)));
    }

    fn live(&mut self, mut outside: Outside, tick: &Tick) {
        let Tick { from_us, to_us, wanted, .. } = *tick;
        self.process.lived(to_us - from_us, wanted.frozen);
        if !wanted.frozen {
            // What waited for a core happens now.
            self.until(from_us, from_us, &mut outside);
            for (question, proto) in std::mem::take(&mut self.waiting) {
                self.asked(from_us, &question, proto, &mut outside);
            }
        }
        let qps: f64 = tick.streams.iter().map(|stream| stream.qps).sum::<f64>() * tick.share;
        let mut now_us = from_us as f64;
        // Arrivals have no memory: what is not due in this piece of time is drawn anew in the next.
        loop {
            now_us += 1e6 * dice::exponential(outside.random) / qps.max(1e-9);
            if now_us >= to_us as f64 {
                break;
            }
            let (question, proto) = drawn(tick.streams, &mut outside);
            let at_us = now_us as i64;
            if wanted.frozen {
                self.waiting.push((question, proto));
            } else if self.process.is_ready(at_us) {
                self.until(at_us, from_us, &mut outside);
                self.asked(at_us, &question, proto, &mut outside);
            }
        }
        if !wanted.frozen {
            self.until(to_us, from_us, &mut outside);
        }
    }

    /// Everything that is due by then; what was due before `from_us` had to wait until that.
    fn until(&mut self, to_us: i64, from_us: i64, outside: &mut Outside) {
        while let Some(Reverse((at_us, _, event))) =
            self.due.peek().copied().filter(|next| next.0.0 <= to_us)
        {
            self.due.pop();
            self.happens(at_us.max(from_us), event, outside);
        }
    }

    fn happens(&mut self, now_us: i64, event: Event, outside: &mut Outside) {
        match event {
            Event::Ask(i) => {
                let Flight { question, proto, .. } = self.flights[i];
                self.free.push(i);
                self.asked(now_us, &question, proto, outside);
            }
            Event::Answered(i) => self.answered(now_us, i, outside),
            Event::TimedOut(i) => {
                let proxy = self.flights[i].proxy;
                if !self.proxies[proxy].checking {
                    self.proxies[proxy].checking = true;
                    self.check(now_us, proxy, outside);
                }
                match self.flights[i].attempts.failed(self.proxies.len()) {
                    true => self.attempt(now_us, i, outside),
                    false => self.failed(now_us, i, outside),
                }
            }
            Event::Check(proxy) => self.check(now_us, proxy, outside),
            Event::Checked(proxy, answered) => {
                self.proxies[proxy].checked(answered);
                if !answered {
                    self.metrics.proxies[proxy].check_failures += 1;
                    self.later(now_us + forward::CHECK_PAUSE_US, Event::Check(proxy));
                }
            }
            Event::Health => {
                let after_us = self.process.health_us(outside.random);
                self.later(now_us + after_us, Event::HealthDone(now_us));
                self.later(now_us + HEALTH_EVERY_US, Event::Health);
            }
            Event::HealthDone(since_us) => {
                let took_us = now_us - since_us;
                self.metrics.health_failures += u64::from(took_us > HEALTH_TIMEOUT_US);
                self.metrics.health.observe(took_us as f64 / 1e6);
            }
        }
    }

    fn check(&mut self, now_us: i64, proxy: usize, outside: &mut Outside) {
        let reply = outside.upstreams[proxy].ask(now_us, None, false, outside.random);
        match reply.map(|reply| reply.after_us).filter(|us| *us <= forward::CHECK_TIMEOUT_US) {
            Some(us) => self.later(now_us + us, Event::Checked(proxy, true)),
            None => {
                self.later(now_us + forward::CHECK_TIMEOUT_US, Event::Checked(proxy, false));
            }
        }
    }

    /// A question came.
    fn asked(&mut self, now_us: i64, question: &Question, proto: Proto, outside: &mut Outside) {
        self.metrics.cache_requests += 1;
        self.process.asked(proto);
        let own_us = self.process.answer_us(outside.random);
        if let Some((side, kept)) = self.cache.get(now_us, question.place) {
            self.metrics.cache_hit(side);
            let told = Told { rcode: kept.rcode, bytes: kept.bytes, seconds: own_us / 1e6 };
            self.metrics.answered(question, proto, told);
            return;
        }
        self.metrics.cache_misses += 1;
        if !question.forwarded {
            return self.in_own_zone(now_us, question, proto, own_us, outside.random);
        }
        if self.under_way >= outside.max_concurrent {
            self.metrics.rejects += 1;
            let told = Told { rcode: Rcode::Refused, bytes: 0, seconds: own_us / 1e6 };
            return self.metrics.answered(question, proto, told);
        }
        self.under_way += 1;
        self.process.forwarded();
        let attempts = Attempts::new(now_us, self.proxies.len(), outside.random);
        let start_us = now_us - own_us as i64;
        let i = self.flight(Flight {
            question: *question,
            proto,
            start_us,
            asked_us: now_us,
            attempts,
            proxy: 0,
            reply: None,
        });
        self.attempt(now_us, i, outside);
    }

    fn flight(&mut self, flight: Flight) -> usize {
        match self.free.pop() {
            Some(i) => {
                self.flights[i] = flight;
                i
            }
            None => {
                self.flights.push(flight);
                self.flights.len() - 1
            }
        }
    }

    /// CoreDNS has the zone itself.
    fn in_own_zone(
        &mut self,
        now_us: i64,
        question: &Question,
        proto: Proto,
        own_us: f64,
        random: &mut Random,
    ) {
        let missing = question.usual == Usual::Missing;
        let rcode = if missing { Rcode::Nxdomain } else { Rcode::Noerror };
        let denies = question.usual != Usual::Records;
        let side = if denies { Side::Denial } else { Side::Success };
        self.keep(now_us, question, side, rcode, i64::from(question.ttl_s) * 1_000_000, random);
        let told = Told { rcode, bytes: question.answer_bytes, seconds: own_us / 1e6 };
        self.metrics.answered(question, proto, told);
    }

    fn keep(
        &mut self,
        now_us: i64,
        question: &Question,
        side: Side,
        rcode: Rcode,
        for_us: i64,
        random: &mut Random,
    ) {
        let answer = (rcode, answer_bytes(question, rcode));
        if self.cache.add(side, question.place, answer, now_us + for_us, random) {
            self.metrics.evicted(side);
        }
        self.metrics.cache_entries = Some(self.cache.entries());
    }

    /// Asks the next upstream server.
    fn attempt(&mut self, now_us: i64, i: usize, outside: &mut Outside) {
        let flight = &mut self.flights[i];
        let next = flight.attempts.next(now_us, &self.proxies, outside.random);
        let Next::Ask { proxy, broken } = next else { return self.failed(now_us, i, outside) };
        self.metrics.broken += u64::from(broken);
        let cached = self.proxies[proxy].connect(now_us, flight.proto);
        self.metrics.proxies[proxy].connected(flight.proto, cached);
        let (question, tcp) = (flight.question, flight.proto == Proto::Tcp);
        let reply = outside.upstreams[proxy].ask(now_us, Some(&question), tcp, outside.random);
        let reply = reply.filter(|reply| reply.after_us <= forward::READ_TIMEOUT_US);
        (flight.proxy, flight.asked_us, flight.reply) = (proxy, now_us, reply);
        match reply {
            Some(reply) => self.later(now_us + reply.after_us, Event::Answered(i)),
            None => self.later(now_us + forward::READ_TIMEOUT_US, Event::TimedOut(i)),
        }
    }

    /// An upstream server answered.
    fn answered(&mut self, now_us: i64, i: usize, outside: &mut Outside) {
        let Flight { question, proto, start_us, asked_us, proxy, reply, .. } =
            self.flights[i].clone();
        self.free.push(i);
        self.under_way -= 1;
        let Some(reply) = reply else { return };
        self.proxies[proxy].give_back(now_us, proto);
        self.metrics.proxies[proxy].answered(reply.rcode, (now_us - asked_us) as f64 / 1e6);
        let mut bytes = answer_bytes(&question, reply.rcode);
        if reply.truncated {
            bytes = question.bare_bytes;
            let (question, proto) = (without_edns(question), Proto::Tcp);
            let again = Flight { question, proto, ..self.flights[i].clone() };
            let again = self.flight(again);
            self.later(now_us + AGAIN_US, Event::Ask(again));
        } else {
            let ttl_us = if reply.kept { i64::from(question.ttl_s) * 1_000_000 } else { 0 };
            let (side, for_us) = match (reply.rcode, question.usual) {
                (Rcode::Servfail, _) => (Side::Denial, FAILURE_US),
                (Rcode::Refused, _) => (Side::Denial, 0),
                (Rcode::Noerror, Usual::Records) => (Side::Success, ttl_us),
                _ => (Side::Denial, ttl_us),
            };
            if for_us > 0 {
                self.keep(now_us, &question, side, reply.rcode, for_us, outside.random);
            }
        }
        let seconds = (now_us - start_us) as f64 / 1e6;
        self.metrics.answered(&question, proto, Told { rcode: reply.rcode, bytes, seconds });
    }

    /// No upstream server answered: the server says so, and the cache remembers it.
    fn failed(&mut self, now_us: i64, i: usize, outside: &mut Outside) {
        let Flight { question, proto, start_us, .. } = self.flights[i].clone();
        self.free.push(i);
        self.under_way -= 1;
        let (side, rcode) = (Side::Denial, Rcode::Servfail);
        self.keep(now_us, &question, side, rcode, FAILURE_US, outside.random);
        let seconds = (now_us - start_us) as f64 / 1e6;
        self.metrics.answered(&question, proto, Told { rcode, bytes: 0, seconds });
    }
}

/// How long an answer with this code is.
fn answer_bytes(question: &Question, rcode: Rcode) -> u16 {
    match (rcode, question.usual) {
        (Rcode::Servfail | Rcode::Refused, _) => question.bare_bytes,
        (Rcode::Nxdomain, Usual::Records) => question.denied_bytes,
        _ => question.answer_bytes,
    }
}

/// As a client asks over TCP, where every answer fits.
fn without_edns(question: Question) -> Question {
    Question { asked_bytes: question.bare_bytes, ..question }
}

/// One of the questions that are asked.
fn drawn(streams: &[Stream], outside: &mut Outside) -> (Question, Proto) {
    let random = &mut *outside.random;
    let stream = &streams[dice::weighted(random, streams.iter().map(|stream| stream.qps))];
    let kind = dice::weighted(random, stream.mix.iter().map(|(_, weight)| *weight));
    let question = outside.names.draw(stream.mix[kind].0, random);
    let proto = if random.unit() < stream.tcp { Proto::Tcp } else { Proto::Udp };
    (question, proto)
}

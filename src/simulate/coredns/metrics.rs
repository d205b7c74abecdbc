//! What a CoreDNS 1.15 tells of itself: names, labels and buckets as its own, and children that begin with their first event.
//!
//! Owns: the contract. Does not own: what is counted when (`replica`), nor a scrape's text (`exposition`).

use super::super::families::Family;
use super::super::families::Histogram;
use super::super::families::Say;
use super::super::families::Type;
use super::cache::Side;
use super::names;

/// Response codes that are counted, in the order of their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rcode {
    Noerror,
    Nxdomain,
    Refused,
    Servfail,
}

impl Rcode {
    const ALL: [&str; 4] = ["NOERROR", "NXDOMAIN", "REFUSED", "SERVFAIL"];
}

/// How a question came, in the order of the names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proto {
    Tcp,
    Udp,
}

impl Proto {
    const ALL: [&str; 2] = ["tcp", "udp"];
}

/// The server block of the stock Corefile.
const SERVER: (&str, &str) = ("server", "dns://:53");
const VIEW: (&str, &str) = ("view", "");
const ZONE: (&str, &str) = ("zone", ".");
const ZONES: (&str, &str) = ("zones", ".");
const PROXY: (&str, &str) = ("proxy_name", "forward");
/// Since 1.14 the first plugin that has something to say of an answer is the one that is named.
const WRITER: (&str, &str) = ("plugin", "errors");
const NOBODY: (&str, &str) = ("plugin", "");
const PLUGINS: [&str; 5] = ["cache", "errors", "file", "forward", "prometheus"];

/// `plugin.TimeBuckets` of CoreDNS: 0.25 ms, doubled fifteen times.
pub(super) const SECONDS: &[(f64, &str)] = &[
    (0.00025, "0.00025"),
    (0.0005, "0.0005"),
    (0.001, "0.001"),
    (0.002, "0.002"),
    (0.004, "0.004"),
    (0.008, "0.008"),
    (0.016, "0.016"),
    (0.032, "0.032"),
    (0.064, "0.064"),
    (0.128, "0.128"),
    (0.256, "0.256"),
    (0.512, "0.512"),
    (1.024, "1.024"),
    (2.048, "2.048"),
    (4.096, "4.096"),
    (8.192, "8.192"),
];
/// `plugin.SlimTimeBuckets`.
const SLIM_SECONDS: &[(f64, &str)] =
    &[(0.00025, "0.00025"), (0.0025, "0.0025"), (0.025, "0.025"), (0.25, "0.25"), (2.5, "2.5")];
/// Of plugin/metrics/vars.
const BYTES: &[(f64, &str)] = &[
    (0.0, "0"),
    (100.0, "100"),
    (200.0, "200"),
    (300.0, "300"),
    (400.0, "400"),
    (511.0, "511"),
    (1023.0, "1023"),
    (2047.0, "2047"),
    (4095.0, "4095"),
    (8291.0, "8291"),
    (16_000.0, "16000"),
    (32_000.0, "32000"),
    (48_000.0, "48000"),
    (64_000.0, "64000"),
];

const fn counter(name: &'static str, help: &'static str) -> Family {
    Family { name, kind: Type::Counter, help }
}

const fn gauge(name: &'static str, help: &'static str) -> Family {
    Family { name, kind: Type::Gauge, help }
}

const fn histogram(name: &'static str, help: &'static str) -> Family {
    Family { name, kind: Type::Histogram, help }
}

static BUILD_INFO: Family = gauge(
    "coredns_build_info",
    "A metric with a constant '1' value labeled by version, revision, and goversion from which CoreDNS was built.",
);
static CACHE_ENTRIES: Family =
    gauge("coredns_cache_entries", "The number of elements in the cache.");
static CACHE_EVICTIONS: Family =
    counter("coredns_cache_evictions_total", "The count of cache evictions.");
static CACHE_HITS: Family = counter("coredns_cache_hits_total", "The count of cache hits.");
static CACHE_MISSES: Family = counter(
    "coredns_cache_misses_total",
    "The count of cache misses. Deprecated, derive misses from cache hits/requests counters.",
);
static CACHE_REQUESTS: Family =
    counter("coredns_cache_requests_total", "The count of cache requests.");
static DURATION: Family = histogram(
    "coredns_dns_request_duration_seconds",
    "Histogram of the time (in seconds) each request took per zone.",
);
static REQUEST_BYTES: Family = histogram(
    "coredns_dns_request_size_bytes",
    "Size of the EDNS0 UDP buffer in bytes (64K for TCP) per zone and protocol.",
);
static REQUESTS: Family = counter(
    "coredns_dns_requests_total",
    "Counter of DNS requests made per zone, protocol and family.",
);
static RESPONSE_BYTES: Family =
    histogram("coredns_dns_response_size_bytes", "Size of the returned response in bytes.");
static RESPONSES: Family =
    counter("coredns_dns_responses_total", "Counter of response status codes.");
static BROKEN: Family = counter(
    "coredns_forward_healthcheck_broken_total",
    "Counter of the number of complete failures of the healthchecks.",
);
static REJECTS: Family = counter(
    "coredns_forward_max_concurrent_rejects_total",
    "Counter of the number of queries rejected because the concurrent queries were at maximum.",
);
static HEALTH: Family = histogram(
    "coredns_health_request_duration_seconds",
    "Histogram of the time (in seconds) each request took.",
);
static HEALTH_FAILURES: Family = counter(
    "coredns_health_request_failures_total",
    "The number of times the health check failed.",
);
static HOSTS_RELOAD: Family = gauge(
    "coredns_hosts_reload_timestamp_seconds",
    "The timestamp of the last reload of hosts file.",
);
static LOCALHOST: Family = counter(
    "coredns_local_localhost_requests_total",
    "Counter of special localhost subdomain requests.",
);
static PANICS: Family =
    counter("coredns_panics_total", "A metrics that counts the number of panics.");
static PLUGIN_ENABLED: Family = gauge(
    "coredns_plugin_enabled",
    "A metric that indicates whether a plugin is enabled on per server and zone basis.",
);
static CONN_HITS: Family = counter(
    "coredns_proxy_conn_cache_hits_total",
    "Counter of connection cache hits per upstream and protocol.",
);
static CONN_MISSES: Family = counter(
    "coredns_proxy_conn_cache_misses_total",
    "Counter of connection cache misses per upstream and protocol.",
);
static CHECK_FAILURES: Family = counter(
    "coredns_proxy_healthcheck_failures_total",
    "Counter of the number of failed healthchecks.",
);
static PROXY_DURATION: Family =
    histogram("coredns_proxy_request_duration_seconds", "Histogram of the time each request took.");
static RELOAD_FAILED: Family =
    counter("coredns_reload_failed_total", "Counter of the number of failed reload attempts.");
static GOROUTINES: Family = gauge("go_goroutines", "Number of goroutines that currently exist.");
static GO_INFO: Family = gauge("go_info", "Information about the Go environment.");
static CPU: Family =
    counter("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.");
static MAX_FDS: Family = gauge("process_max_fds", "Maximum number of open file descriptors.");
static OPEN_FDS: Family = gauge("process_open_fds", "Number of open file descriptors.");
static RSS: Family = gauge("process_resident_memory_bytes", "Resident memory size in bytes.");
static STARTED: Family =
    gauge("process_start_time_seconds", "Start time of the process since unix epoch in seconds.");

/// Everything that a process counts.
#[derive(Debug, Clone)]
pub(super) struct Metrics {
    requests: [[u64; names::Type::ALL.len()]; 2],
    duration: Histogram,
    request_bytes: [Histogram; 2],
    response_bytes: [Histogram; 2],
    /// By code; by a plugin, and by the server itself.
    responses: [[u64; Rcode::ALL.len()]; 2],
    pub(super) cache_requests: u64,
    pub(super) cache_misses: u64,
    cache_hits: [u64; 2],
    cache_evictions: [u64; 2],
    /// By side, once something was kept.
    pub(super) cache_entries: Option<[usize; 2]>,
    pub(super) broken: u64,
    pub(super) rejects: u64,
    pub(super) health: Histogram,
    pub(super) health_failures: u64,
    pub(super) proxies: Vec<ProxyMetrics>,
}

/// What is counted for one upstream server.
#[derive(Debug, Clone)]
pub(super) struct ProxyMetrics {
    to: String,
    duration: [Histogram; Rcode::ALL.len()],
    conn_hits: [u64; 2],
    conn_misses: [u64; 2],
    pub(super) check_failures: u64,
}

/// What the process says of itself at a scrape.
#[derive(Debug, Clone, Copy)]
pub(super) struct Vitals {
    pub(super) goroutines: f64,
    pub(super) cpu_s: f64,
    pub(super) open_fds: f64,
    pub(super) rss_bytes: f64,
    /// In unix seconds.
    pub(super) started_s: f64,
}

/// An answer, as the metrics plugin sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told {
    pub(super) rcode: Rcode,
    /// 0 where no plugin wrote it.
    pub(super) bytes: u16,
    pub(super) seconds: f64,
}

impl Metrics {
    /// Those of a new process of this replica with so many upstream servers: each has its own, as in the fault lab.
    pub(super) fn new(replica: usize, upstreams: usize) -> Metrics {
        let bytes = || [Histogram::new(BYTES), Histogram::new(BYTES)];
        let proxy = |i| ProxyMetrics {
            to: format!("10.0.{replica}.{}:53", i + 2),
            duration: [(); 4].map(|()| Histogram::new(SECONDS)),
            conn_hits: [0; 2],
            conn_misses: [0; 2],
            check_failures: 0,
        };
        Metrics {
            requests: [[0; 6]; 2],
            duration: Histogram::new(SECONDS),
            request_bytes: bytes(),
            response_bytes: bytes(),
            responses: [[0; 4]; 2],
            cache_requests: 0,
            cache_misses: 0,
            cache_hits: [0; 2],
            cache_evictions: [0; 2],
            cache_entries: None,
            broken: 0,
            rejects: 0,
            health: Histogram::new(SLIM_SECONDS),
            health_failures: 0,
            proxies: (0..upstreams).map(proxy).collect(),
        }
    }

    /// A question and its answer.
    pub(super) fn answered(&mut self, question: &names::Question, proto: Proto, told: Told) {
        let by = proto as usize;
        self.requests[by][question.rtype as usize] += 1;
        self.duration.observe(told.seconds);
        self.request_bytes[by].observe(f64::from(question.asked_bytes));
        self.response_bytes[by].observe(f64::from(told.bytes));
        self.responses[usize::from(told.bytes == 0)][told.rcode as usize] += 1;
    }

    pub(super) fn cache_hit(&mut self, side: Side) {
        self.cache_hits[side as usize] += 1;
    }

    pub(super) fn evicted(&mut self, side: Side) {
        self.cache_evictions[side as usize] += 1;
    }

    /// Every sample, in the order of a scrape.
    pub(super) fn say(&self, vitals: Vitals, say: &mut Say) {
        let info = [("goversion", "go1.26.8"), ("revision", ""), ("version", "1.15.0")];
        say(&BUILD_INFO, "", &info, 1.0);
        self.say_cache(say);
        self.say_requests(say);
        say(&BROKEN, "", &[], self.broken as f64);
        say(&REJECTS, "", &[], self.rejects as f64);
        self.health.say(say, &HEALTH, &[]);
        say(&HEALTH_FAILURES, "", &[], self.health_failures as f64);
        say(&HOSTS_RELOAD, "", &[], 0.0);
        say(&LOCALHOST, "", &[], 0.0);
        say(&PANICS, "", &[], 0.0);
        for name in PLUGINS {
            say(&PLUGIN_ENABLED, "", &[("name", name), SERVER, VIEW, ZONE], 1.0);
        }
        self.say_proxies(say);
        say(&RELOAD_FAILED, "", &[], 0.0);
        say(&GOROUTINES, "", &[], vitals.goroutines);
        say(&GO_INFO, "", &[("version", "go1.26.8")], 1.0);
        // The kernel counts in hundredths.
        say(&CPU, "", &[], (vitals.cpu_s * 100.0).floor() / 100.0);
        say(&MAX_FDS, "", &[], 1_048_576.0);
        say(&OPEN_FDS, "", &[], vitals.open_fds);
        say(&RSS, "", &[], vitals.rss_bytes);
        say(&STARTED, "", &[], vitals.started_s);
    }

    fn say_cache(&self, say: &mut Say) {
        let sides = |counts: [u64; 2]| Side::ALL.into_iter().zip(counts);
        let some = |counts| sides(counts).filter(|(_, count)| *count > 0);
        for (side, count) in sides(self.cache_entries.unwrap_or_default().map(|n| n as u64)) {
            if self.cache_entries.is_some() {
                say(&CACHE_ENTRIES, "", &[SERVER, ("type", side), VIEW, ZONES], count as f64);
            }
        }
        for (side, count) in some(self.cache_evictions) {
            say(&CACHE_EVICTIONS, "", &[SERVER, ("type", side), VIEW, ZONES], count as f64);
        }
        for (side, count) in some(self.cache_hits) {
            say(&CACHE_HITS, "", &[SERVER, ("type", side), VIEW, ZONES], count as f64);
        }
        let all = [(&CACHE_MISSES, self.cache_misses), (&CACHE_REQUESTS, self.cache_requests)];
        for (family, count) in all.into_iter().filter(|(_, count)| *count > 0) {
            say(family, "", &[SERVER, VIEW, ZONES], count as f64);
        }
    }

    fn say_requests(&self, say: &mut Say) {
        self.duration.say(say, &DURATION, &[SERVER, VIEW, ZONE]);
        for (proto, bytes) in Proto::ALL.iter().zip(&self.request_bytes) {
            bytes.say(say, &REQUEST_BYTES, &[("proto", proto), SERVER, VIEW, ZONE]);
        }
        for (proto, counts) in Proto::ALL.iter().zip(&self.requests) {
            for (name, count) in born(&names::Type::ALL, counts) {
                let proto = ("proto", *proto);
                let labels = [("family", "1"), proto, SERVER, ("type", name), VIEW, ZONE];
                say(&REQUESTS, "", &labels, count);
            }
        }
        for (proto, bytes) in Proto::ALL.iter().zip(&self.response_bytes) {
            bytes.say(say, &RESPONSE_BYTES, &[("proto", proto), SERVER, VIEW, ZONE]);
        }
        for (plugin, counts) in [WRITER, NOBODY].into_iter().zip(&self.responses) {
            for (rcode, count) in born(&Rcode::ALL, counts) {
                say(&RESPONSES, "", &[plugin, ("rcode", rcode), SERVER, VIEW, ZONE], count);
            }
        }
    }

    fn say_proxies(&self, say: &mut Say) {
        for proxy in &self.proxies {
            proxy.say_conns(say, &CONN_HITS, &proxy.conn_hits);
        }
        for proxy in &self.proxies {
            proxy.say_conns(say, &CONN_MISSES, &proxy.conn_misses);
        }
        for proxy in self.proxies.iter().filter(|proxy| proxy.check_failures > 0) {
            let labels = [PROXY, ("to", &*proxy.to)];
            say(&CHECK_FAILURES, "", &labels, proxy.check_failures as f64);
        }
        for proxy in &self.proxies {
            for (rcode, duration) in Rcode::ALL.iter().zip(&proxy.duration) {
                let labels = [PROXY, ("rcode", *rcode), ("to", &*proxy.to)];
                duration.say(say, &PROXY_DURATION, &labels);
            }
        }
    }
}

impl ProxyMetrics {
    /// An answer of the server.
    pub(super) fn answered(&mut self, rcode: Rcode, seconds: f64) {
        self.duration[rcode as usize].observe(seconds);
    }

    /// A connection was taken: one that was there, or a new one.
    pub(super) fn connected(&mut self, proto: Proto, cached: bool) {
        let counts = if cached { &mut self.conn_hits } else { &mut self.conn_misses };
        counts[proto as usize] += 1;
    }

    fn say_conns(&self, say: &mut Say, family: &'static Family, counts: &[u64; 2]) {
        for (proto, count) in born(&Proto::ALL, counts) {
            say(family, "", &[("proto", proto), PROXY, ("to", &self.to)], count);
        }
    }
}

/// Names and counts of what has happened at least once.
fn born<'a>(names: &'a [&str], counts: &'a [u64]) -> impl Iterator<Item = (&'a str, f64)> {
    let all = names.iter().zip(counts).filter(|(_, count)| **count > 0);
    all.map(|(name, count)| (*name, *count as f64))
}

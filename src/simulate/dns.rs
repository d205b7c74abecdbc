//! CoreDNS: queries come, the cache answers most, upstream servers the rest.
//!
//! Owns: that the features of one moment agree with each other: all come from one small model.
//! Does not own: the expressions that would read them from a real server (the `coredns` preset).

use super::COREDNS;
use super::Cluster;
use super::faults::Kind;
use super::noise::noise;

/// The simulated features of the `coredns` preset, in its units.
pub(super) const FEATURES: [&str; 23] = [
    "qps",
    "qtype_share_aaaa",
    "req_size_mean",
    "rcode_share_noerror",
    "rcode_share_nxdomain",
    "rcode_share_servfail",
    "rcode_share_refused",
    "bad_share_robust",
    "servfail_not_from_upstream_share",
    "latency_mean_ms",
    "latency_gt_0_032",
    "latency_gt_0_256",
    "latency_gt_1_024",
    "latency_gt_4_096",
    "cache_hit_ratio",
    "cache_denial_hit_share",
    "fwd_qps",
    "fwd_servfail_share",
    "fwd_latency_mean_ms",
    "fwd_latency_gt_0_256",
    "fwd_hc_failures_rate",
    "cpu_millicores",
    "goroutines_max",
];

/// CoreDNS gives up on a query after this long.
const DEADLINE_MS: f64 = 5000.0;

/// What drives CoreDNS at one moment. Rates are per second.
struct Moment {
    /// Queries of well-behaved clients.
    usual: f64,
    /// Queries for random names.
    flood: f64,
    /// Queries for names in search domains.
    ndots: f64,
    /// Share of the usual queries that the cache answers.
    hit: f64,
    /// Share of the usual queries for names that do not exist.
    missing: f64,
    /// Share of forwarded queries that nobody answers.
    unanswered: f64,
    /// Share of upstream answers that are SERVFAIL.
    servfail: f64,
    /// Usual time of an upstream answer, and what a fault adds to it.
    upstream_ms: f64,
    delay_ms: f64,
}

impl Moment {
    fn at(cluster: &Cluster, t_s: i64) -> Moment {
        let noise = |n: u64| noise(key(cluster, n), t_s);
        let rhythm = cluster.rhythm(t_s);
        let mut moment = Moment {
            usual: 420.0 * (0.5 * rhythm + 0.04 * noise(0)).exp(),
            flood: 0.0,
            ndots: 0.0,
            hit: 0.87 + 0.02 * rhythm + 0.006 * noise(1),
            missing: 0.12 + 0.01 * noise(2),
            unanswered: 0.0,
            servfail: (0.002 + 0.001 * noise(3)).max(0.0),
            upstream_ms: 9.0 * (0.05 * rhythm + 0.08 * noise(4)).exp(),
            delay_ms: 0.0,
        };
        if let Some((fault, felt)) = cluster.felt(COREDNS, t_s) {
            let strength = fault.strength * felt;
            match fault.kind {
                Kind::UpstreamServfail => moment.servfail += strength,
                Kind::UpstreamTimeout => moment.unanswered = strength,
                Kind::UpstreamSlow => moment.delay_ms = strength,
                Kind::RandomSubdomain => moment.flood = strength * moment.usual,
                Kind::NxdomainNdots => moment.ndots = strength * moment.usual,
                Kind::CacheCollapse => moment.hit *= 1.0 - strength,
                Kind::PortOutage | Kind::PortSurge => {}
            }
        }
        moment
    }

    /// Share of upstream answers later than `ms`: log-logistic, as resolvers' tails are.
    fn later_than(&self, ms: f64) -> f64 {
        let rest = ms - self.delay_ms;
        if rest <= 0.0 { 1.0 } else { 1.0 / (1.0 + (rest / (0.8 * self.upstream_ms)).powf(2.5)) }
    }
}

fn key(cluster: &Cluster, n: u64) -> u64 {
    cluster.seed.wrapping_mul(0x2545_f491).wrapping_add(100 + 16 * n)
}

/// The features at one moment, in the order of [`FEATURES`].
pub(super) fn row(cluster: &Cluster, t_s: i64) -> [f64; FEATURES.len()] {
    let noise = |n: u64| noise(key(cluster, n), t_s);
    let now = Moment::at(cluster, t_s);
    let total = now.usual + now.flood + now.ndots;
    let denial_hits = now.usual * now.hit * (0.1 + 0.008 * noise(5)) + 0.97 * now.ndots;
    let hits = now.usual * now.hit * 0.9 + denial_hits;
    let misses = (total - hits).max(0.0);
    let answered = misses * (1.0 - now.unanswered);
    let from_upstream = answered * now.servfail;
    // The cache repeats a SERVFAIL for up to 5 s.
    let servfails = (1.5 * from_upstream + misses * now.unanswered).min(0.95 * total);
    let servfail = servfails / total;
    let refused = (0.0004 + 0.0002 * noise(6)).max(0.0);
    let nxdomain =
        (1.0 - servfail - refused) * (now.usual * now.missing + now.flood + now.ndots) / total;
    let timed_out = |ms: f64| if ms < 4000.0 { 1.0 } else { 0.8 } * misses * now.unanswered;
    let later = |ms: f64| (answered * now.later_than(ms) + timed_out(ms)) / total;
    let upstream_ms = now.upstream_ms + now.delay_ms;
    let waited_ms = answered * upstream_ms + misses * now.unanswered * DEADLINE_MS;
    let waiting = waited_ms / 1000.0;
    let size = 38.0 * (1.0 + 0.01 * noise(7));
    [
        total,
        (0.31 + 0.01 * noise(8)) * now.usual / total + 0.5 * now.ndots / total,
        (size * now.usual + (size + 24.0) * now.flood + (size + 14.0) * now.ndots) / total,
        1.0 - servfail - refused - nxdomain,
        nxdomain,
        servfail,
        refused,
        servfail + refused,
        (servfails - from_upstream) / total,
        0.25 * (1.0 + 0.05 * noise(9)) + waited_ms / total,
        later(32.0),
        later(256.0),
        later(1024.0),
        later(4096.0),
        hits / total,
        denial_hits / hits,
        answered,
        now.servfail.min(1.0),
        upstream_ms,
        now.later_than(256.0),
        4.0 * now.unanswered * (1.0 + 0.1 * noise(10)).max(0.0),
        (6.0 + 0.18 * total + 0.25 * misses) * (1.0 + 0.04 * noise(11)),
        (42.0 + waiting + 1.5 * noise(12)).round(),
    ]
}

//! What can be done to a DNS service: faults, and changes that are none.
//!
//! Owns: the names of all classes, and what each does at a strength. Does not own: when (`scenario`), nor the
//! processes that it is done to (`course`).

use serde::Serialize;
use serde::Serializer;

use super::Injection;
use super::Scenario;
use super::world::Faults;
use super::world::Kind;
use super::world::Stream;
use super::world::World;

/// One class.
#[derive(Debug)]
pub struct Class {
    /// As in labels; what begins with `benign_` is normal.
    pub name: &'static str,
    /// Seconds that its effects outlive it: questions that are still under way, answers that are still cached.
    pub settles_s: i64,
    /// Whether it is about one replica of several.
    pub of_replica: bool,
    /// Whether it is about a Kubernetes API.
    pub of_kubernetes: bool,
    effect: Effect,
}

/// What changes while an injection lasts.
#[derive(Debug, Clone, Copy)]
enum Effect {
    Upstream(fn(&mut Faults, f64)),
    /// The first upstream server of each replica alone.
    OneUpstream(fn(&mut Faults, f64)),
    /// The upstream servers of one replica alone.
    UpstreamOfOne(fn(&mut Faults, f64)),
    /// More questions of one mix, as a share of the usual ones.
    More(&'static [(Kind, f64)], fn(f64) -> f64),
    /// The usual questions, so many times.
    Times(fn(f64) -> f64),
    Tcp,
    Overload,
    /// What clients ask of one replica, so many times.
    Skew(fn(f64) -> f64),
    Process(Act),
}

/// What is done to processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// One is gone as long as the injection lasts.
    Down,
    /// One is killed and comes back, again and again.
    Crashloop,
    /// All lack CPU.
    Throttle,
    /// One after the other ends cleanly and comes back.
    RollingRestart,
    /// All read their Corefile again.
    Reload,
    /// All get a zone more, and clients that ask for it.
    NewZone,
    /// One forwards to itself.
    Loop,
    /// The Kubernetes API is gone.
    ApiDown,
    /// Pods of the cluster's deployments are replaced.
    RollOut,
}

// There is one of each name.
impl PartialEq for Class {
    fn eq(&self, other: &Class) -> bool {
        self.name == other.name
    }
}

impl Serialize for Class {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name)
    }
}

const fn class(name: &'static str, settles_s: i64, effect: Effect) -> Class {
    let of_replica = matches!(
        effect,
        Effect::UpstreamOfOne(_)
            | Effect::Skew(_)
            | Effect::Process(Act::Down | Act::Crashloop | Act::Loop)
    );
    let of_kubernetes = matches!(effect, Effect::Process(Act::ApiDown | Act::RollOut));
    Class { name, settles_s, of_replica, of_kubernetes, effect }
}

/// Every class. A strength of 1 is what nobody misses, one of 0.3 what is easily missed.
pub const CLASSES: &[Class] = &[
    // SERVFAIL stays in CoreDNS' cache for five seconds.
    class("upstream_servfail", 5, Effect::Upstream(|to, s| to.servfail = s)),
    class("upstream_refused", 2, Effect::Upstream(|to, s| to.refused = s)),
    class("upstream_nxdomain", 10, Effect::Upstream(|to, s| to.nxdomain = s)),
    // A question is given up after five seconds, the last health check comes half a second later.
    class("upstream_timeout", 6, Effect::Upstream(|to, s| to.drop = s)),
    class("upstream_slow", 2, Effect::Upstream(|to, s| to.delay_ms += 1_200.0 * s)),
    class(
        "upstream_throttled",
        6,
        Effect::Upstream(|to, s| to.limit_qps = Some(1.0 + 8.0 * (1.0 - s))),
    ),
    class("upstream_flap", 6, Effect::OneUpstream(|to, s| to.drop = s)),
    class("cache_collapse", 2, Effect::Upstream(|to, s| to.uncached = s)),
    class("truncation", 2, Effect::Upstream(|to, s| to.truncate = s)),
    class("replica_bad", 5, Effect::UpstreamOfOne(|to, s| to.servfail = s)),
    class("max_concurrent", 4, Effect::Overload),
    class("nxdomain_ndots", 2, Effect::More(&[(Kind::Search, 1.0)], |s| 2.5 * s)),
    class("random_subdomain", 2, Effect::More(&[(Kind::Random, 1.0)], |s| 1.5 * s)),
    class("any_amplification", 1, Effect::More(&[(Kind::Any, 2.0), (Kind::Txt, 1.0)], |s| s)),
    class("query_flood", 1, Effect::Times(|s| 1.0 + 5.0 * s)),
    class("traffic_loss", 1, Effect::Times(|s| 1.0 - 0.95 * s)),
    class("tcp_surge", 1, Effect::Tcp),
    class("replica_down", 3, Effect::Process(Act::Down)),
    class("crashloop", 3, Effect::Process(Act::Crashloop)),
    class("cpu_throttled", 2, Effect::Process(Act::Throttle)),
    class("replica_skew", 1, Effect::Skew(|s| 1.0 + 7.0 * s)),
    class("loop", 6, Effect::Process(Act::Loop)),
    class("apiserver_down", 3, Effect::Process(Act::ApiDown)),
    class("benign_rollout", 3, Effect::Process(Act::RollOut)),
    class("benign_restart", 3, Effect::Process(Act::RollingRestart)),
    class("benign_reload", 2, Effect::Process(Act::Reload)),
    class("benign_new_zone", 2, Effect::Process(Act::NewZone)),
    class("benign_load_doubling", 1, Effect::Times(|s| 1.0 + s)),
    class("benign_cronjob_burst", 1, Effect::More(&[(Kind::Internal, 1.0)], |s| 2.0 * s)),
    class("benign_nxdomain_batch", 3, Effect::More(&[(Kind::Missing, 1.0)], |s| 0.3 * s)),
];

/// The length of an answer's way, in seconds, where `max_concurrent` is to be reached.
const OVERLOAD_S: f64 = 1.8;

impl Class {
    /// The class of this name.
    pub fn named(name: &str) -> Option<&'static Class> {
        CLASSES.iter().find(|class| class.name == name)
    }

    /// Whether it is no fault.
    pub fn is_benign(&self) -> bool {
        self.name.starts_with("benign_")
    }

    /// Where to look for the cause: upstream, in the cache, at the clients, the replicas, or the Kubernetes API.
    pub fn group(&self) -> &'static str {
        match self.name {
            "cache_collapse" => "cache",
            "max_concurrent" | "replica_bad" | "loop" => "upstream",
            name if name.starts_with("upstream_") => "upstream",
            "replica_down" | "crashloop" | "cpu_throttled" | "replica_skew" => "replicas",
            "apiserver_down" => "kubernetes",
            name if name.starts_with("benign_") => "benign",
            _ => "clients",
        }
    }

    /// What it does to processes.
    pub fn act(&self) -> Option<Act> {
        match self.effect {
            Effect::Process(act) => Some(act),
            _ => None,
        }
    }

    /// Changes the world as an injection of this class does.
    pub fn apply(&self, injection: &Injection, scenario: &Scenario, world: &mut World) {
        let (strength, usual) = (injection.strength, world.streams[0].clone());
        let more = |qps: f64, mix: &[(Kind, f64)]| Stream { qps, mix: mix.to_vec(), tcp: 0.0 };
        match self.effect {
            Effect::Upstream(change) => {
                world.upstreams.iter_mut().flatten().for_each(|faults| change(faults, strength));
            }
            Effect::OneUpstream(change) => {
                let first = world.upstreams.iter_mut().filter_map(|servers| servers.first_mut());
                first.for_each(|faults| change(faults, strength));
            }
            Effect::UpstreamOfOne(change) => {
                let servers = world.upstreams.get_mut(injection.replica).into_iter().flatten();
                servers.for_each(|faults| change(faults, strength));
            }
            Effect::More(mix, share) => {
                world.streams.push(more(scenario.load.qps * share(strength), mix));
            }
            Effect::Times(times) => world.streams[0].qps *= times(strength),
            Effect::Skew(times) => {
                let one = world.replicas.get_mut(injection.replica);
                one.into_iter().for_each(|wanted| wanted.share *= times(strength));
            }
            Effect::Tcp => world.streams[0].tcp = usual.tcp + (1.0 - usual.tcp) * strength,
            // As many new names as keep more than the limit under way (Little's law).
            Effect::Overload => {
                let limit = f64::from(scenario.max_concurrent) * scenario.replicas as f64;
                let qps = limit * (1.0 + strength) / OVERLOAD_S;
                world.streams.push(more(qps, &[(Kind::Unique, 1.0)]));
                let upstreams = world.upstreams.iter_mut().flatten();
                upstreams.for_each(|faults| faults.delay_ms += OVERLOAD_S * 1e3);
            }
            Effect::Process(Act::NewZone) => {
                world.streams.push(more(0.2 * usual.qps * strength, &[(Kind::NewZone, 1.0)]));
            }
            Effect::Process(_) => {}
        }
    }
}

//! What goes wrong, and when.
//!
//! Owns: the kinds of faults and their timetable. Does not own: what a fault does to a metric.

use crate::series::Entity;
use crate::verdict::Interval;

use super::COREDNS;
use super::Cluster;
use super::PORTS;
use super::noise::uniform;
use super::ports;

/// Every kind of fault. The CoreDNS kinds are named like the classes of labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Upstream servers answer SERVFAIL.
    UpstreamServfail,
    /// Upstream servers do not answer.
    UpstreamTimeout,
    /// Upstream servers answer late.
    UpstreamSlow,
    /// A flood of names that do not exist, each asked once.
    RandomSubdomain,
    /// Clients try every search domain.
    NxdomainNdots,
    /// The cache hits seldom.
    CacheCollapse,
    /// A port carries next to nothing.
    PortOutage,
    /// A port carries far more than ever.
    PortSurge,
}

impl Kind {
    /// All kinds, in the order in which each watch has them.
    pub const ALL: [Kind; 8] = [
        Kind::UpstreamServfail,
        Kind::UpstreamTimeout,
        Kind::UpstreamSlow,
        Kind::RandomSubdomain,
        Kind::NxdomainNdots,
        Kind::CacheCollapse,
        Kind::PortOutage,
        Kind::PortSurge,
    ];

    /// The class that a label would give it.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::UpstreamServfail => "upstream_servfail",
            Kind::UpstreamTimeout => "upstream_timeout",
            Kind::UpstreamSlow => "upstream_slow",
            Kind::RandomSubdomain => "random_subdomain",
            Kind::NxdomainNdots => "nxdomain_ndots",
            Kind::CacheCollapse => "cache_collapse",
            Kind::PortOutage => "port_outage",
            Kind::PortSurge => "port_surge",
        }
    }

    /// The watch that it happens to.
    pub fn watch(self) -> &'static str {
        match self {
            Kind::PortOutage | Kind::PortSurge => PORTS,
            _ => COREDNS,
        }
    }

    /// The least and the greatest strength, in the unit of [`Fault::strength`].
    fn strengths(self) -> (f64, f64) {
        match self {
            Kind::UpstreamServfail => (0.3, 0.7),
            Kind::UpstreamTimeout => (0.4, 1.0),
            Kind::UpstreamSlow => (60.0, 400.0),
            Kind::RandomSubdomain => (0.6, 2.0),
            Kind::NxdomainNdots => (0.5, 1.5),
            Kind::CacheCollapse => (0.5, 0.8),
            Kind::PortOutage => (0.95, 1.0),
            Kind::PortSurge => (5.0, 9.0),
        }
    }
}

/// Something that goes wrong for a while.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fault {
    /// What.
    pub kind: Kind,
    /// When; values take a few seconds to follow at either end.
    pub interval: Interval,
    /// Which entity of its watch, as in [`Cluster::entities`].
    pub entity_idx: usize,
    /// How much: a share of answers or traffic; milliseconds for [`Kind::UpstreamSlow`]; multiples of
    /// the usual traffic for floods and surges.
    pub strength: f64,
}

impl Fault {
    /// A sentence for people, without a full stop.
    pub fn describe(&self) -> String {
        let percent = format!("{:.0} %", 100.0 * self.strength);
        match self.kind {
            Kind::UpstreamServfail => format!("upstream answers SERVFAIL for {percent} of queries"),
            Kind::UpstreamTimeout => format!("upstream does not answer {percent} of queries"),
            Kind::UpstreamSlow => {
                format!("upstream answers {:.0} ms later than usual", self.strength)
            }
            Kind::RandomSubdomain => {
                format!("a flood of random names adds {percent} of the usual queries")
            }
            Kind::NxdomainNdots => {
                format!("clients try every search domain: {percent} more queries, all NXDOMAIN")
            }
            Kind::CacheCollapse => format!("the cache hits {percent} less often"),
            Kind::PortOutage => format!("{} loses {percent} of its traffic", self.port()),
            Kind::PortSurge => {
                format!("{} receives {:.1} times its usual traffic", self.port(), self.strength)
            }
        }
    }

    fn port(&self) -> String {
        let name = |e: &Entity| {
            [e.get("instance"), e.get("ifName")].map(Option::unwrap_or_default).join(" ")
        };
        ports::entities().get(self.entity_idx).map(name).unwrap_or_default()
    }
}

/// How a watch's faults follow each other: one in every slot.
struct Timetable {
    kinds: &'static [Kind],
    slot_s: i64,
    /// Earliest onset in a slot.
    first_s: i64,
    /// Span of onsets.
    spread_s: f64,
    /// Shortest and longest duration.
    lasts_s: (f64, f64),
    n_entities: usize,
}

const COREDNS_TIMETABLE: Timetable = Timetable {
    kinds: Kind::ALL.split_at(6).0,
    slot_s: 210,
    first_s: 40,
    spread_s: 40.0,
    lasts_s: (45.0, 60.0),
    n_entities: 1,
};

const PORTS_TIMETABLE: Timetable = Timetable {
    kinds: Kind::ALL.split_at(6).1,
    slot_s: 330,
    first_s: 60,
    spread_s: 100.0,
    lasts_s: (60.0, 90.0),
    n_entities: ports::N,
};

impl Timetable {
    fn of(watch: &str) -> Option<&'static Timetable> {
        match watch {
            COREDNS => Some(&COREDNS_TIMETABLE),
            PORTS => Some(&PORTS_TIMETABLE),
            _ => None,
        }
    }
}

impl Cluster {
    /// The fault that a watch has at this time.
    pub fn fault_at(&self, watch: &str, t_s: i64) -> Option<Fault> {
        self.near(watch, t_s).filter(|fault| fault.interval.contains(t_s))
    }

    /// The faults of a watch that overlap `from_s..to_s`, in order.
    pub fn faults(&self, watch: &str, from_s: i64, to_s: i64) -> Vec<Fault> {
        let Some(timetable) = Timetable::of(watch) else { return Vec::new() };
        let slot = |t_s: i64| (t_s - self.clean_until_s).div_euclid(timetable.slot_s).max(0);
        (slot(from_s)..=slot(to_s))
            .map(|slot| self.fault_of(timetable, slot))
            .filter(|fault| fault.interval.from_s < to_s && from_s < fault.interval.to_s)
            .collect()
    }

    /// The fault of the slot around a time.
    fn near(&self, watch: &str, t_s: i64) -> Option<Fault> {
        let timetable = Timetable::of(watch)?;
        let slot = (t_s - self.clean_until_s).div_euclid(timetable.slot_s);
        (slot >= 0).then(|| self.fault_of(timetable, slot))
    }

    /// The fault of a watch around a time, with its strength as it is felt then: it builds up over
    /// 4 s and leaves over 8 s, as rates over a few seconds do.
    pub(super) fn felt(&self, watch: &str, t_s: i64) -> Option<(Fault, f64)> {
        let fault = self.near(watch, t_s)?;
        let since = (t_s - fault.interval.from_s) as f64;
        let after = (t_s - fault.interval.to_s + 1) as f64;
        let felt = (since / 4.0 + 0.25).min(1.0).min(1.0 - after / 8.0);
        (felt > 0.0 && since >= 0.0).then_some((fault, felt))
    }

    fn fault_of(&self, timetable: &Timetable, slot: i64) -> Fault {
        let key = self.seed ^ (timetable.slot_s as u64).wrapping_mul(0x51_7c_c1);
        let kind = timetable.kinds[slot as usize % timetable.kinds.len()];
        let within = |(low, high): (f64, f64), n: u64| low + (high - low) * uniform(key + n, slot);
        let onset_s = timetable.first_s + (timetable.spread_s * uniform(key, slot)) as i64;
        let from_s = self.clean_until_s + slot * timetable.slot_s + onset_s;
        let to_s = from_s + within(timetable.lasts_s, 1) as i64;
        Fault {
            kind,
            interval: Interval { from_s, to_s },
            entity_idx: (uniform(key + 2, slot) * timetable.n_entities as f64) as usize,
            strength: within(kind.strengths(), 3),
        }
    }
}

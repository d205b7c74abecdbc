//! What clients ask, and what fails behind CoreDNS, at one moment.
//!
//! Owns: the words for it. Does not own: how it comes to be so (`course`, `classes`).

use serde::Serialize;

/// Kinds of queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A service of the cluster, A or AAAA.
    Internal,
    /// A name outside, A or AAAA.
    External,
    /// A name outside on its way through the search domains: three of four do not exist.
    Search,
    /// A service's address.
    Ptr,
    /// A service's ports.
    Srv,
    /// A name outside that nobody asked for before and that does not exist.
    Random,
    /// A name outside that nobody asked for before and that exists.
    Unique,
    /// All that a name has.
    Any,
    /// A long text.
    Txt,
    /// One of a few names that do not exist, as a monitoring or a misspelt setting asks for.
    Missing,
    /// A name of the zone that a scenario adds.
    NewZone,
}

impl Kind {
    /// Those of a scenario's `mix`, by name.
    pub const MIX: [(&str, Kind); 10] = [
        ("internal", Kind::Internal),
        ("external", Kind::External),
        ("search", Kind::Search),
        ("ptr", Kind::Ptr),
        ("srv", Kind::Srv),
        ("random", Kind::Random),
        ("unique", Kind::Unique),
        ("any", Kind::Any),
        ("txt", Kind::Txt),
        ("missing", Kind::Missing),
    ];
}

/// So many queries a second of these kinds.
#[derive(Debug, Clone, PartialEq)]
pub struct Stream {
    /// Of all replicas together.
    pub qps: f64,
    /// Kinds with their weights.
    pub mix: Vec<(Kind, f64)>,
    /// Share that is asked over TCP at once.
    pub tcp: f64,
}

/// What one resolver does wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Faults {
    /// Share of the queries that are answered SERVFAIL.
    pub servfail: f64,
    /// Share of the queries that are answered NXDOMAIN though the name exists.
    pub nxdomain: f64,
    /// Share of the queries that are answered REFUSED.
    pub refused: f64,
    /// Share of the queries that are not answered.
    pub drop: f64,
    /// Share of the UDP queries that are answered with the TC bit alone.
    pub truncate: f64,
    /// Share of the answers that may not be cached.
    pub uncached: f64,
    /// Every answer comes this many milliseconds later.
    pub delay_ms: f64,
    /// Queries a second that are answered; the rest is lost without a word.
    pub limit_qps: Option<f64>,
}

impl Faults {
    /// A resolver on a good day.
    pub const NONE: Faults = Faults {
        servfail: 0.0,
        nxdomain: 0.0,
        refused: 0.0,
        drop: 0.0,
        truncate: 0.0,
        uncached: 0.0,
        delay_ms: 0.0,
        limit_qps: None,
    };
}

/// What clients ask, what fails behind CoreDNS, and how each replica is to be.
#[derive(Debug, Clone, PartialEq)]
pub struct World {
    /// By replica, then by server.
    pub upstreams: Vec<Vec<Faults>>,
    /// The usual stream first.
    pub streams: Vec<Stream>,
    /// Of each.
    pub replicas: Vec<Wanted>,
}

/// How a replica is to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wanted {
    /// Whether there is a process.
    pub running: Running,
    /// Whether it has no CPU.
    pub frozen: bool,
    /// Its part of what clients ask.
    pub share: f64,
}

impl Wanted {
    /// As on a good day.
    pub const WELL: Wanted = Wanted { running: Running::Yes, frozen: false, share: 1.0 };
}

/// Whether a replica has a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Running {
    /// It has.
    Yes,
    /// Not any more, as after a power cut.
    Killed,
    /// It was asked to end.
    Ended,
}

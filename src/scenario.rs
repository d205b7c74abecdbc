//! What happens to a DNS service, and when: how much is asked of it, what is injected.
//!
//! Owns: a scenario, the classes of faults and of harmless changes, the world at each moment of its course, and what is
//! known of its rows.
//! Does not own: the file (`config`); what the world is done to – real servers in the fault lab, a model of them in
//! `simulate`.

pub mod classes;
pub mod course;
pub mod labels;
pub mod world;

use serde::Serialize;

use classes::Class;
use world::Kind;

/// What a file says.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scenario {
    /// The file's name without its ending.
    pub name: String,
    /// The length of its rows.
    pub duration_s: i64,
    /// Of everything that is drawn.
    pub seed: u64,
    /// How often metrics are read.
    pub scrape_interval_s: i64,
    /// Between two rows.
    pub step_s: i64,
    /// What a row's rates look back over.
    pub rate_window_s: i64,
    /// Whose features rows have.
    pub preset: String,
    /// CoreDNS' version.
    pub coredns: String,
    /// Whether Prometheus stores native histograms.
    pub native_histograms: bool,
    /// Whether the cluster's names come from a Kubernetes API, not from zone files.
    pub kubernetes: bool,
    /// How many CoreDNS there are.
    pub replicas: usize,
    /// How many resolvers each of them forwards to.
    pub upstreams: usize,
    /// How many queries each of them forwards at once.
    pub max_concurrent: u32,
    /// Before the first row: caches fill.
    pub warm_up_s: i64,
    /// What clients usually ask.
    pub load: Usual,
    /// Whether there is traffic of switches' ports, too.
    pub ports: bool,
    /// What happens, in the order of time, one at a time.
    pub injections: Vec<Injection>,
}

/// What clients usually ask.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Usual {
    /// Queries a second of all replicas, over a whole day.
    pub qps: f64,
    /// The length of the daily rhythm.
    pub day_s: i64,
    /// Its height, as a share.
    pub swing: f64,
    /// How much less is asked on the last two of seven days, as a share.
    pub weekend: f64,
    /// Share over TCP.
    pub tcp: f64,
    /// Kinds with their weights.
    pub mix: Vec<(Kind, f64)>,
}

/// One change, from `at_s` on for `for_s` seconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Injection {
    /// Seconds after the first row.
    pub at_s: i64,
    /// Its length.
    pub for_s: i64,
    /// What it is.
    pub class: &'static Class,
    /// Up to 1, which nobody misses.
    pub strength: f64,
    /// Which one, where it is about one.
    pub replica: usize,
}

impl Scenario {
    /// The versions of CoreDNS that a scenario may name: metrics of three generations.
    pub const COREDNS: [&str; 3] = ["1.6.9", "1.8.0", "1.15.0"];
}

impl Usual {
    /// What clients of a cluster ask, in shares of a hundred.
    pub const MIX: [(Kind, f64); 7] = [
        (Kind::Internal, 50.0),
        (Kind::External, 25.0),
        (Kind::Search, 16.0),
        (Kind::Ptr, 3.0),
        (Kind::Srv, 4.0),
        (Kind::Txt, 1.0),
        (Kind::Missing, 1.0),
    ];
}

impl Injection {
    /// When it is over, in seconds after the first row.
    pub fn end_s(&self) -> i64 {
        self.at_s + self.for_s
    }
}

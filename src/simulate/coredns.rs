//! A CoreDNS service that does not exist: replicas with caches and upstream servers, on a scenario's course.
//!
//! ```text
//!  scenario ─► course ─► tick ──► replica (1–3) ──► upstream
//!                                    │ cache, zones, forward, process
//!                                    └─► metrics, as a CoreDNS 1.15 has them
//! ```
//!
//! Every question is drawn and followed by itself, as the fault lab's clients ask it of real servers; so what the
//! features show follows from what happens, not from formulas for features.
//!
//! Owns: the clock of a simulated service, and that all draws follow from the scenario's seed. Does not own: what
//! happens when (`scenario`), the text of a scrape or a history (`exposition`).

mod cache;
mod forward;
mod metrics;
mod names;
mod process;
mod replica;
mod upstream;

use super::families::Say;
use crate::math::random::Random;
use crate::scenario::Scenario;
use crate::scenario::classes::Act;
use crate::scenario::course::Course;

use names::Names;
use replica::Replica;
use replica::Tick;

/// A scenario under way.
#[derive(Debug)]
pub struct Service<'a> {
    scenario: &'a Scenario,
    course: Course<'a>,
    names: Names,
    replicas: Vec<Replica>,
    /// How many of the injections were told to the processes that are told once.
    told: usize,
    now_us: i64,
}

const SECOND_US: i64 = 1_000_000;
/// A fifth of the period in which a process lacks CPU, as in the fault lab.
const FINE_US: i64 = 20_000;
/// So long after its end an injection of processes still has something to say to them.
const LINGERS_S: i64 = 5;

impl<'a> Service<'a> {
    /// At the beginning of the scenario's warm-up.
    pub fn new(scenario: &'a Scenario) -> Service<'a> {
        let mut seeds = Random::new(scenario.seed);
        let Scenario { upstreams, max_concurrent, .. } = *scenario;
        let mut replica = |i| Replica::new(i, seeds.next_u64(), upstreams, max_concurrent);
        Service {
            scenario,
            course: Course::new(scenario),
            names: Names::new(),
            replicas: (0..scenario.replicas).map(&mut replica).collect(),
            told: 0,
            now_us: -scenario.warm_up_s * SECOND_US,
        }
    }

    /// Lives on until so many seconds after the first row. Time does not go back.
    pub fn advance(&mut self, to_s: f64) {
        let to_us = (to_s * SECOND_US as f64) as i64;
        while self.now_us < to_us {
            let next_us = (self.now_us + self.step_us()).min(to_us);
            self.tick(next_us);
            self.now_us = next_us;
        }
    }

    /// To the next full second; where processes are killed or frozen, finer.
    fn step_us(&self) -> i64 {
        let now_s = self.now_us.div_euclid(SECOND_US);
        let begun = self.scenario.injections.partition_point(|i| i.at_s <= now_s);
        let newest = begun.checked_sub(1).map(|i| &self.scenario.injections[i]);
        let acts = newest.is_some_and(|injection| {
            injection.class.act().is_some() && now_s < injection.end_s() + LINGERS_S
        });
        if acts { FINE_US } else { SECOND_US - self.now_us.rem_euclid(SECOND_US) }
    }

    fn tick(&mut self, to_us: i64) {
        let elapsed_s = self.now_us as f64 / SECOND_US as f64;
        let world = self.course.at(elapsed_s);
        let shares: f64 = world.replicas.iter().map(|wanted| wanted.share).sum();
        let each = self.replicas.iter_mut().zip(&world.replicas).zip(&world.upstreams);
        for ((replica, wanted), faults) in each {
            let share = if shares > 0.0 { wanted.share / shares } else { 0.0 };
            let (from_us, wanted, streams) = (self.now_us, *wanted, &world.streams[..]);
            replica.live(&self.names, &Tick { from_us, to_us, wanted, streams, share, faults });
        }
        self.tell(elapsed_s);
    }

    /// What is told once, at the beginning.
    fn tell(&mut self, elapsed_s: f64) {
        let injections = &self.scenario.injections;
        while let Some(injection) = injections.get(self.told).filter(|i| i.at_s as f64 <= elapsed_s)
        {
            self.told += 1;
            if matches!(injection.class.act(), Some(Act::Reload | Act::NewZone)) {
                self.replicas.iter_mut().for_each(|replica| replica.reload(&self.names));
            }
        }
    }

    /// A scrape of one replica now, of a history whose first row is at `origin_s` in unix seconds; `false` where
    /// nobody answers.
    pub fn say(&mut self, replica: usize, origin_s: i64, say: &mut Say) -> bool {
        let now_us = self.now_us;
        self.replicas.get_mut(replica).is_some_and(|replica| replica.say(now_us, origin_s, say))
    }
}

/// A replica's name, as the `instance` of its series.
pub fn instance(replica: usize) -> String {
    format!("coredns-{replica}")
}

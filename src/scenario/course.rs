//! A scenario's course: the world at each moment.
//!
//! Owns: the rhythm of days and weeks, and how injections of processes follow from the time. Does not own: what a class does to
//! queries and answers (`classes`).

use std::f64::consts::TAU;

use super::Injection;
use super::Scenario;
use super::Usual;
use super::classes::Act;
use super::world::Faults;
use super::world::Running;
use super::world::Stream;
use super::world::Wanted;
use super::world::World;
use crate::math::dice;
use crate::math::random::Random;

/// A scenario under way.
#[derive(Debug)]
pub struct Course<'a> {
    scenario: &'a Scenario,
    rhythm: Rhythm,
}

/// Clients' day, less what is injected.
#[derive(Debug)]
struct Rhythm {
    phase: f64,
    random: Random,
    /// A slow drift around 1, and the part of time that it was drawn for.
    drift: f64,
    drawn: i64,
}

/// How often in a day the drift is drawn, at most once in a second.
const DRIFTS: i64 = 300;

impl<'a> Course<'a> {
    /// At its beginning.
    pub fn new(scenario: &'a Scenario) -> Course<'a> {
        let mut random = Random::new(scenario.seed ^ 0x000F_1E1D);
        let phase = random.unit();
        let rhythm = Rhythm { phase, random, drift: 1.0, drawn: i64::MIN };
        Course { scenario, rhythm }
    }

    /// The world `elapsed_s` after the first row; before it that is negative. Time does not go back.
    pub fn at(&mut self, elapsed_s: f64) -> World {
        let Scenario { load, replicas, upstreams, .. } = self.scenario;
        let qps = load.qps * self.rhythm.factor(elapsed_s, load);
        let mut world = World {
            upstreams: vec![vec![Faults::NONE; *upstreams]; *replicas],
            streams: vec![Stream { qps, mix: load.mix.clone(), tcp: load.tcp }],
            replicas: wanted(self.scenario, elapsed_s),
        };
        let active = |injection: &&Injection| {
            (injection.at_s as f64..injection.end_s() as f64).contains(&elapsed_s)
        };
        for injection in felt(self.scenario, elapsed_s).iter().filter(active) {
            injection.class.apply(injection, self.scenario, &mut world);
        }
        world
    }
}

impl Rhythm {
    fn factor(&mut self, elapsed_s: f64, load: &Usual) -> f64 {
        // The longer a day, the slower what drifts: a part of it is a second in the days of a lab.
        let part = (elapsed_s.floor() as i64).div_euclid((load.day_s / DRIFTS).max(1));
        if part != self.drawn {
            self.drawn = part;
            let noise = dice::log_normal(&mut self.random, 1.0, 0.03);
            self.drift = self.drift.powf(0.95) * noise;
        }
        let days = elapsed_s / load.day_s as f64;
        let day = 1.0 + load.swing * (TAU * (days + self.phase)).sin();
        day * (1.0 - load.weekend * weekend(days)) * self.drift
    }
}

/// How much of a weekend it is: all of it on the last two of seven days, with a tenth of a day at either end.
fn weekend(days: f64) -> f64 {
    let day = days.rem_euclid(7.0);
    ((day - 5.0) * 10.0).min((7.0 - day) * 10.0).clamp(0.0, 1.0)
}

/// What has begun and is not long over. One follows another, so it is the newest, and the one before where that
/// still has something to say to processes.
fn felt(scenario: &Scenario, elapsed_s: f64) -> &[Injection] {
    let begun = scenario.injections.partition_point(|i| i.at_s as f64 <= elapsed_s);
    &scenario.injections[begun.saturating_sub(2)..begun]
}

/// How each replica is to be.
fn wanted(scenario: &Scenario, elapsed_s: f64) -> Vec<Wanted> {
    let mut wanted = vec![Wanted::WELL; scenario.replicas];
    for injection in felt(scenario, elapsed_s) {
        let Some(act) = injection.class.act() else { continue };
        let (since_s, for_s) = (elapsed_s - injection.at_s as f64, injection.for_s as f64);
        match act {
            Act::Down => down(&mut wanted[injection.replica], since_s, for_s),
            Act::Crashloop => crashloop(&mut wanted[injection.replica], since_s, for_s),
            Act::RollingRestart => restart(&mut wanted, since_s, for_s),
            // The kernel gives a group of processes a part of every tenth of a second or so.
            Act::Throttle if (0.0..for_s).contains(&since_s) => {
                let frozen = since_s.rem_euclid(0.2) < 0.2 * 0.9 * injection.strength;
                wanted.iter_mut().for_each(|wanted| wanted.frozen = frozen);
            }
            Act::Throttle | Act::Reload | Act::NewZone => {}
            Act::Loop | Act::ApiDown | Act::RollOut => {}
        }
    }
    wanted
}

/// It takes Kubernetes some seconds to see that one is gone, and that it is back.
const NOTICED_S: f64 = 3.0;

fn down(wanted: &mut Wanted, since_s: f64, for_s: f64) {
    if (0.0..for_s).contains(&since_s) {
        wanted.running = Running::Killed;
    }
    if (NOTICED_S..for_s + NOTICED_S).contains(&since_s) {
        wanted.share = 0.0;
    }
}

/// Three seconds without, six with.
fn crashloop(wanted: &mut Wanted, since_s: f64, for_s: f64) {
    if (0.0..for_s).contains(&since_s) && since_s.rem_euclid(9.0) < 3.0 {
        wanted.running = Running::Killed;
    }
}

/// One after the other: first clients are led away, then it ends, comes back, and is asked again.
fn restart(wanted: &mut [Wanted], since_s: f64, for_s: f64) {
    let slot_s = for_s / wanted.len() as f64;
    let alone = wanted.len() == 1;
    for (i, wanted) in wanted.iter_mut().enumerate() {
        let at_s = since_s - slot_s * i as f64;
        if (0.0..2.5).contains(&at_s) && !alone {
            wanted.share = 0.0;
        }
        if (1.0..1.2).contains(&at_s) {
            wanted.running = Running::Ended;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, elapsed_s: f64) -> Vec<Wanted> {
        let text = format!("duration: 10m\nreplicas: 3\ninjections: [{text}]");
        wanted(&crate::config::parse_scenario("x", &text).unwrap(), elapsed_s)
    }

    #[test]
    fn weekends_are_quieter() {
        let at = [0.0, 4.99, 5.05, 6.0, 6.95, 7.0, 12.5].map(weekend);
        let wanted = [0.0, 0.0, 0.5, 1.0, 0.5, 0.0, 1.0];
        assert!(at.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-9), "{at:?}");
    }

    #[test]
    fn processes_end_and_come_back_when_they_should() {
        let well = Wanted::WELL;
        let gone = Wanted { running: Running::Killed, ..well };
        let down = "{at: 60s, for: 30s, class: replica_down, replica: 1}";
        assert_eq!(at(down, 59.9), [well; 3]);
        assert_eq!(at(down, 61.0), [well, gone, well], "nobody has noticed");
        assert_eq!(at(down, 64.0), [well, Wanted { share: 0.0, ..gone }, well]);
        assert_eq!(
            at(down, 91.0),
            [well, Wanted { share: 0.0, ..well }, well],
            "nor that it is back"
        );
        assert_eq!(at(down, 94.0), [well; 3]);
        let crashes = "{at: 60s, for: 30s, class: crashloop}";
        let running = |elapsed_s| at(crashes, elapsed_s)[0].running;
        assert_eq!([60.1, 63.1, 69.1, 72.1].map(running)[..2], [Running::Killed, Running::Yes]);
        assert_eq!([69.1, 72.1].map(running), [Running::Killed, Running::Yes]);
        let slow = "{at: 60s, for: 30s, class: cpu_throttled, strength: 0.5}";
        let frozen = |elapsed_s| at(slow, elapsed_s).iter().filter(|w| w.frozen).count();
        assert_eq!([60.05, 60.15, 60.25, 90.05].map(frozen), [3, 0, 3, 0]);
        let rolling = "{at: 60s, for: 30s, class: benign_restart}";
        let ended = Wanted { running: Running::Ended, share: 0.0, ..well };
        assert_eq!(at(rolling, 61.1), [ended, well, well]);
        assert_eq!(at(rolling, 71.1), [well, ended, well]);
    }
}

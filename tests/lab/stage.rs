//! Brings real servers to where a scenario wants them.
//!
//! Owns: settings and signals. Does not own: what is wanted when (`portent::scenario`), nor the servers themselves.

use portent::scenario::Injection;
use portent::scenario::Scenario;
use portent::scenario::classes::Act;
use portent::scenario::course::Course;
use portent::scenario::world::Running;

use super::load::Demand;
use super::load::Load;
use super::replica::Replica;
use super::upstream::Upstream;
use crate::lab::Lab;

/// All that a scenario changes.
pub(crate) struct Service {
    pub(crate) replicas: Vec<Replica>,
    /// By replica, then by server.
    pub(crate) upstreams: Vec<Vec<Upstream>>,
    pub(crate) load: Load,
}

/// A scenario under way, on servers.
pub(crate) struct Stage<'a> {
    scenario: &'a Scenario,
    course: Course<'a>,
    /// How many of the injections were told to the processes that are told once.
    told: usize,
}

impl<'a> Stage<'a> {
    pub(crate) fn new(scenario: &'a Scenario) -> Stage<'a> {
        Stage { scenario, course: Course::new(scenario), told: 0 }
    }

    /// Brings everything to where it should be `elapsed_s` after the first row; before it that is negative.
    pub(crate) fn advance(&mut self, lab: &Lab, service: &mut Service, elapsed_s: f64) {
        let world = self.course.at(elapsed_s);
        for (servers, faults) in service.upstreams.iter().zip(&world.upstreams) {
            servers.iter().zip(faults).for_each(|(server, faults)| server.set(*faults));
        }
        let shares = world.replicas.iter().map(|wanted| wanted.share).collect();
        service.load.set(Demand { streams: world.streams, shares });
        for (replica, wanted) in service.replicas.iter_mut().zip(&world.replicas) {
            match wanted.running {
                Running::Yes => replica.launch(lab),
                Running::Killed => replica.kill(),
                Running::Ended => replica.terminate(lab),
            }
            replica.freeze(wanted.frozen);
        }
        self.tell(lab, service, elapsed_s);
    }

    /// What is told once, at the beginning.
    fn tell(&mut self, lab: &Lab, service: &Service, elapsed_s: f64) {
        let begun = |injection: &Injection| injection.at_s as f64 <= elapsed_s;
        while let Some(injection) = self.scenario.injections.get(self.told).filter(|i| begun(i)) {
            self.told += 1;
            let Injection { class, strength, at_s, for_s, .. } = injection;
            let name = &self.scenario.name;
            let class = class.name;
            eprintln!("{name}: {at_s}s: {class}, strength {strength}, for {for_s}s");
            match injection.class.act() {
                Some(Act::Reload) => service.replicas.iter().for_each(Replica::reload),
                Some(Act::NewZone) => {
                    for replica in &service.replicas {
                        replica.configure(lab, true);
                        replica.reload();
                    }
                }
                _ => {}
            }
        }
    }
}

//! Brings real servers to where a scenario wants them.
//!
//! Owns: settings and signals. Does not own: what is wanted when (`portent::scenario`), nor the servers themselves.

use portent::scenario::Injection;
use portent::scenario::Scenario;
use portent::scenario::classes::Act;
use portent::scenario::course::Course;
use portent::scenario::world::Running;

use super::cluster::Cluster;
use super::load::Demand;
use super::load::Load;
use super::replica::Corefile;
use super::replica::Replica;
use super::upstream::Upstream;
use crate::lab::Lab;

/// All that a scenario changes.
pub(crate) struct Service {
    pub(crate) replicas: Vec<Replica>,
    /// By replica, then by server.
    pub(crate) upstreams: Vec<Vec<Upstream>>,
    pub(crate) load: Load,
    /// Where names come from a Kubernetes API.
    pub(crate) cluster: Option<Cluster>,
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
        for (i, replica) in service.replicas.iter_mut().enumerate() {
            replica.configure(lab, self.corefile(i, elapsed_s));
        }
        if let Some(cluster) = &mut service.cluster {
            let down = |injection: &Injection| {
                injection.class.act() == Some(Act::ApiDown) && is_active(injection, elapsed_s)
            };
            cluster.plane.serve(lab, !self.scenario.injections.iter().any(down));
        }
        self.tell(service, elapsed_s);
    }

    /// What is told once, at the beginning.
    fn tell(&mut self, service: &Service, elapsed_s: f64) {
        let begun = |injection: &Injection| injection.at_s as f64 <= elapsed_s;
        while let Some(injection) = self.scenario.injections.get(self.told).filter(|i| begun(i)) {
            self.told += 1;
            let Injection { class, strength, at_s, for_s, .. } = injection;
            let (name, class) = (&self.scenario.name, class.name);
            eprintln!("{name}: {at_s}s: {class}, strength {strength}, for {for_s}s");
            match injection.class.act() {
                Some(Act::Reload) => service.replicas.iter().for_each(Replica::reload),
                Some(Act::RollOut) => {
                    service.cluster.iter().for_each(|cluster| cluster.roll_out(*at_s));
                }
                _ => {}
            }
        }
    }

    /// What replica `i` is to read.
    fn corefile(&self, i: usize, elapsed_s: f64) -> Corefile {
        let of = |act: Act| {
            let injections = self.scenario.injections.iter();
            injections.filter(move |injection| injection.class.act() == Some(act))
        };
        let active = |injection: &Injection| is_active(injection, elapsed_s);
        Corefile {
            // It stays.
            new_zone: of(Act::NewZone).any(|injection| injection.at_s as f64 <= elapsed_s),
            looped: of(Act::Loop).any(|injection| injection.replica == i && active(injection)),
        }
    }
}

fn is_active(injection: &Injection, elapsed_s: f64) -> bool {
    (injection.at_s as f64..injection.end_s() as f64).contains(&elapsed_s)
}

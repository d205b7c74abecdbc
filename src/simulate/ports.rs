//! Six ports of two switches: a rhythm each, bursts, a backup every night.
//!
//! Owns: the bytes that a port carries. Does not own: counters; a value is what one step carried.

use crate::series::Entity;

use super::Cluster;
use super::PORTS;
use super::faults::Kind;
use super::noise::noise;
use super::noise::uniform;

/// The simulated features, as in the `snmp_ports` preset: bytes per step.
pub(super) const FEATURES: [&str; 2] = ["in", "out"];

/// How many ports there are.
pub(super) const N: usize = 6;

/// Bytes per second that a port's line carries: 1 Gb/s.
const LINE: f64 = 125e6;

/// A port's habits. Rates are bytes per second.
struct Port {
    instance: &'static str,
    name: &'static str,
    /// Usual rate in and out.
    rate: [f64; 2],
    /// How much busier the day is than the mean, on a log scale.
    rhythm: f64,
    /// Relative noise.
    noise: f64,
    /// What the nightly backup adds, in and out.
    backup: [f64; 2],
}

const fn port(instance: &'static str, name: &'static str, rate: [f64; 2]) -> Port {
    Port { instance, name, rate, rhythm: 0.6, noise: 0.06, backup: [0.0, 0.0] }
}

const HABITS: [Port; N] = [
    port("switch-1", "Gi1/0/1", [14e6, 5e6]),
    Port { rhythm: 0.8, ..port("switch-1", "Gi1/0/2", [3e6, 9e6]) },
    Port { backup: [0.4e6, 30e6], ..port("switch-1", "Gi1/0/3", [1.5e6, 2.5e6]) },
    Port { rhythm: 0.3, noise: 0.1, ..port("switch-2", "Gi1/0/1", [6e6, 6e6]) },
    Port { backup: [30e6, 0.4e6], ..port("switch-2", "Gi1/0/2", [2e6, 1e6]) },
    Port { rhythm: 0.05, noise: 0.03, ..port("switch-2", "Gi1/0/3", [0.4e6, 0.3e6]) },
];

/// The ports as entities.
pub(super) fn entities() -> Vec<Entity> {
    HABITS
        .iter()
        .map(|port| Entity::new([("instance", port.instance), ("ifName", port.name)]))
        .collect()
}

/// Bytes that a port carried in the step that ends at `t_s`; `direction` as in [`FEATURES`].
pub(super) fn bytes(cluster: &Cluster, port_idx: usize, direction: usize, t_s: i64) -> f64 {
    let port = &HABITS[port_idx];
    let key = cluster.seed.wrapping_mul(0x9e6c_63d1) + 1000 * (port_idx as u64 + 1);
    let own = noise(key + 100 * direction as u64, t_s);
    let shared = noise(key + 200, t_s);
    let relative = port.rhythm * cluster.rhythm(t_s) + port.noise * (0.8 * own + 0.6 * shared);
    let mut rate = port.rate[direction] * relative.exp() * burst(key + 300, t_s);
    rate += port.backup[direction] * backing_up(cluster, t_s) * (1.0 + 0.03 * own);
    if let Some((fault, felt)) = cluster.felt(PORTS, t_s).filter(|(f, _)| f.entity_idx == port_idx)
    {
        match fault.kind {
            Kind::PortOutage => rate *= 1.0 - fault.strength * felt,
            // Received, so in; a little of it is answered.
            Kind::PortSurge if direction == 0 => rate *= 1.0 + (fault.strength - 1.0) * felt,
            Kind::PortSurge => rate *= 1.0 + 0.2 * felt,
            _ => {}
        }
    }
    (rate.min(LINE) * cluster.port_step_s as f64).round()
}

/// A third more for a third of a minute, in one minute of eight.
fn burst(key: u64, t_s: i64) -> f64 {
    let minute = t_s.div_euclid(60);
    let onset_s = 40.0 * uniform(key + 1, minute);
    let since_s = t_s.rem_euclid(60) as f64 - onset_s;
    let bursting = uniform(key, minute) < 0.125 && (0.0..20.0).contains(&since_s);
    if bursting { 1.3 } else { 1.0 }
}

/// How much of the backup runs: all of it in one hour of the night, with short ends.
fn backing_up(cluster: &Cluster, t_s: i64) -> f64 {
    let hour = 24.0 * t_s.rem_euclid(cluster.day_s) as f64 / cluster.day_s as f64;
    ((hour - 2.0) * 5.0).min((3.0 - hour) * 5.0).clamp(0.0, 1.0)
}

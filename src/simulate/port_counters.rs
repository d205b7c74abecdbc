//! The traffic of switches' ports as counters, as snmp_exporter's module `if_mib` has them.
//!
//! Owns: names and labels, and that counters go up. Does not own: what a port carries (`ports`).

use super::Cluster;
use super::PORTS;
use super::families::Family;
use super::families::Say;
use super::families::Type;

static IN: Family = Family {
    name: "ifHCInOctets",
    kind: Type::Counter,
    help: "The total number of octets received on the interface, including framing characters - 1.3.6.1.2.1.31.1.1.1.6",
};
static OUT: Family = Family {
    name: "ifHCOutOctets",
    kind: Type::Counter,
    help: "The total number of octets transmitted out of the interface, including framing characters - 1.3.6.1.2.1.31.1.1.1.10",
};
static SPEED: Family = Family {
    name: "ifHighSpeed",
    kind: Type::Gauge,
    help: "An estimate of the interface's current bandwidth in units of 1,000,000 bits per second - 1.3.6.1.2.1.31.1.1.1.15",
};
static STATUS: Family = Family {
    name: "ifOperStatus",
    kind: Type::Gauge,
    help: "The current operational state of the interface - 1.3.6.1.2.1.2.2.1.8",
};

/// Six ports of two switches, since the first reading.
#[derive(Debug)]
pub struct PortCounters {
    cluster: Cluster,
    bytes: Vec<[f64; 2]>,
}

impl PortCounters {
    /// Read so often, with days of this length. Nothing goes wrong with them.
    pub fn new(seed: u64, every_s: i64, day_s: i64) -> PortCounters {
        let cluster =
            Cluster::new(seed).day_s(day_s).port_step_s(every_s).clean_until_s(i64::MAX / 4);
        let bytes = vec![[0.0; 2]; cluster.entities(PORTS).len()];
        PortCounters { cluster, bytes }
    }

    /// The next reading, at this time in unix seconds; each sample's first label is its `instance`.
    pub fn read(&mut self, t_s: i64, say: &mut Say) {
        let ports = self.cluster.entities(PORTS);
        for (i, bytes) in self.bytes.iter_mut().enumerate() {
            for (feature, sum) in self.cluster.features(PORTS).iter().zip(bytes) {
                *sum += self.cluster.value(PORTS, feature, i, t_s);
            }
        }
        let families = [(&IN, Some(0)), (&OUT, Some(1)), (&SPEED, None), (&STATUS, None)];
        for (family, direction) in families {
            for (i, (port, bytes)) in ports.iter().zip(&self.bytes).enumerate() {
                let [instance, name] =
                    ["instance", "ifName"].map(|name| port.get(name).unwrap_or_default());
                let index = (i + 1).to_string();
                let labels = [
                    ("instance", instance),
                    ("ifDescr", name),
                    ("ifIndex", &*index),
                    ("ifName", name),
                ];
                let fixed = if family.name == SPEED.name { 1_000.0 } else { 1.0 };
                say(family, "", &labels, direction.map_or(fixed, |direction| bytes[direction]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_go_up_as_the_ports_carry_bytes() {
        let mut counters = PortCounters::new(3, 60, 86_400);
        let mut read = |t_s| {
            let mut of_first = Vec::new();
            counters.read(t_s, &mut |family, _, labels, value| {
                if labels[2].1 == "1" {
                    of_first.push((family.name, value));
                }
            });
            of_first
        };
        let (first, second) = (read(1_800_000_000), read(1_800_000_060));
        assert_eq!(
            first.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
            ["ifHCInOctets", "ifHCOutOctets", "ifHighSpeed", "ifOperStatus"]
        );
        // About 14 MB/s in, and 5 out.
        let carried = |i: usize| (second[i].1 - first[i].1) / 60e6;
        assert!((4.0..50.0).contains(&carried(0)) && (1.0..20.0).contains(&carried(1)));
        assert_eq!((second[2].1, second[3].1), (1_000.0, 1.0));
    }
}

//! The shipped watches: queries that are known to work, as YAML beside this file.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::raw::WatchSection;

/// A shipped watch.
#[derive(Debug, Clone)]
pub struct Preset {
    /// Its name in the configuration.
    pub name: &'static str,
    /// The query whose answer is not empty where the preset has something to watch.
    pub present: String,
    pub(super) section: WatchSection,
}

#[derive(Deserialize)]
struct File {
    present: String,
    #[serde(flatten)]
    section: BTreeMap<String, serde_yaml::Value>,
}

/// Every preset, in the order in which they are looked for.
const FILES: &[(&str, &str)] = &[
    ("coredns", include_str!("presets/coredns.yaml")),
    ("coredns_replicas", include_str!("presets/coredns_replicas.yaml")),
    ("snmp_ports", include_str!("presets/snmp_ports.yaml")),
    ("node_ports", include_str!("presets/node_ports.yaml")),
];

impl Preset {
    /// The names of all presets.
    pub fn names() -> Vec<&'static str> {
        FILES.iter().map(|(name, _)| *name).collect()
    }

    /// All presets that are watched where nothing else is said.
    pub fn discoverable() -> Vec<Preset> {
        let names = Preset::names().into_iter().filter(|name| *name != "coredns_replicas");
        names.filter_map(Preset::named).collect()
    }

    /// The preset of this name.
    pub fn named(name: &str) -> Option<Preset> {
        let (name, text) = FILES.iter().find(|(known, _)| *known == name)?;
        let file: File = serde_yaml::from_str(text).ok()?;
        let mut mapping = serde_yaml::Mapping::new();
        mapping.extend(file.section.into_iter().map(|(k, v)| (k.into(), v)));
        let section = serde_yaml::from_value(serde_yaml::Value::Mapping(mapping)).ok()?;
        Some(Preset { name, present: file.present, section })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_can_be_read() {
        for name in Preset::names() {
            assert!(Preset::named(name).is_some_and(|p| p.section.queries.is_some()), "{name}");
        }
    }
}

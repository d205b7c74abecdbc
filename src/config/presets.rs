//! The shipped watches: queries that are known to work, as YAML beside this file.

mod expand;

use expand::Histograms;
use expand::expand;

use super::raw::WatchSection;
use super::watches;
use crate::watch::Watch;

/// A shipped watch.
#[derive(Debug, Clone)]
pub struct Preset {
    /// Its name in the configuration.
    pub name: &'static str,
    /// The query whose answer is not empty where the preset has something to watch; itself empty for a
    /// preset without queries, which treats those of the user's own.
    pub present: String,
    native_histograms: bool,
    pub(super) section: WatchSection,
}

/// Every preset, in the order in which they are looked for.
const FILES: &[(&str, &str)] = &[
    ("coredns", include_str!("presets/coredns.yaml")),
    ("coredns_replicas", include_str!("presets/coredns_replicas.yaml")),
    ("snmp_ports", include_str!("presets/snmp_ports.yaml")),
    ("node_ports", include_str!("presets/node_ports.yaml")),
    ("workshop", include_str!("presets/workshop.yaml")),
];

impl Preset {
    /// The names of all presets.
    pub fn names() -> Vec<&'static str> {
        FILES.iter().map(|(name, _)| *name).collect()
    }

    /// The presets that are watched where nothing else is said.
    pub fn discoverable() -> Vec<Preset> {
        // The replicas are the same CoreDNS once more.
        let names = Preset::names().into_iter().filter(|name| *name != "coredns_replicas");
        let presets = names.filter_map(Preset::named);
        presets.filter(|preset| !preset.present.is_empty()).collect()
    }

    /// The preset of this name.
    pub fn named(name: &str) -> Option<Preset> {
        Preset::read(name, true)
    }

    /// The same for a server that refuses every query that names a native histogram.
    pub fn classic(&self) -> Option<Preset> {
        Preset::read(self.name, false)
    }

    pub(super) fn read(name: &str, native_histograms: bool) -> Option<Preset> {
        let (name, _) = FILES.iter().find(|(known, _)| *known == name)?;
        let histograms = if native_histograms { Histograms::Both } else { Histograms::Classic };
        let mut mapping = expand(name, FILES, histograms).ok()?;
        let present = mapping.remove("present");
        let present = present.as_ref().and_then(|query| query.as_str()).unwrap_or_default();
        let section: WatchSection =
            serde_yaml::from_value(serde_yaml::Value::Mapping(mapping)).ok()?;
        let present = watches::filled(&section, present);
        Some(Preset { name, present, native_histograms, section })
    }

    /// Its watch, with nothing changed.
    pub fn watch(&self) -> Option<Watch> {
        watches::of_preset(self.name, self.native_histograms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::Checks;

    #[test]
    fn every_preset_is_a_watch() {
        for name in Preset::names().into_iter().filter(|name| *name != "workshop") {
            let watch = Preset::named(name).and_then(|preset| preset.watch());
            let watch = watch.unwrap_or_else(|| panic!("{name}"));
            let Checks { up, limit, restarted, missed_scrapes } = watch.checks;
            let checks = [up, limit, restarted, missed_scrapes].into_iter().flatten();
            let queries = watch.features.into_iter().map(|f| f.query).chain(checks);
            for query in queries {
                assert!(!query.contains('$'), "{name}: {query}");
            }
        }
    }
}

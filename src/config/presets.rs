//! The shipped watches: queries that are known to work, as YAML beside this file.

mod expand;

use serde_yaml::Mapping;
use serde_yaml::Value;

use expand::Histograms;
use expand::expand;

use super::raw::WatchSection;
use super::watches;
use crate::detect::networks;
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
        suit_build(&mut mapping, cfg!(feature = "deep"));
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

/// A preset's detectors as this build has them: what they are instead of its networks has its usual settings.
fn suit_build(preset: &mut Mapping, with_networks: bool) {
    let Some(list) = preset.get_mut("detectors").and_then(Value::as_sequence_mut) else { return };
    let name = |detector: &Value| match detector {
        Value::Mapping(settings) => {
            settings.keys().next().and_then(Value::as_str).map(String::from)
        }
        detector => detector.as_str().map(String::from),
    };
    let suited = networks::at_hand(list.iter().filter_map(name).collect(), with_networks);
    list.retain(|detector| name(detector).is_some_and(|name| suited.contains(&name)));
    let known: Vec<String> = list.iter().filter_map(name).collect();
    list.extend(suited.into_iter().filter(|name| !known.contains(name)).map(Value::from));
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

    #[test]
    fn a_build_without_networks_keeps_all_other_settings() {
        let suited = |text: &str, with_networks| {
            let mut preset: Mapping = serde_yaml::from_str(text).unwrap();
            suit_build(&mut preset, with_networks);
            serde_yaml::to_string(&preset["detectors"]).unwrap()
        };
        let text = "detectors: [{stl: {robust: true}}, {autoencoder: {latent: 4}}]";
        assert_eq!(suited(text, false), "- stl:\n    robust: true\n- pca\n- var\n");
        assert_eq!(suited(text, true), "- stl:\n    robust: true\n- autoencoder:\n    latent: 4\n");
        assert_eq!(suited("detectors: [stl, sarimax]", false), "- stl\n- sarimax\n");
    }

    #[test]
    fn coredns_is_judged_by_what_there_is() {
        for name in ["coredns", "coredns_replicas"] {
            let watch = Preset::named(name).unwrap().watch().unwrap();
            let detectors: Vec<_> = watch.detectors.iter().map(|d| d.name()).collect();
            assert!(watch.detectors.iter().all(|detector| detector.joint()), "{detectors:?}");
            if !cfg!(feature = "deep") {
                assert_eq!(detectors, ["pca", "var"]);
            }
        }
    }
}

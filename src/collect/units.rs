//! Units of features, as their names tell.

use crate::math::duration::format_duration;
use crate::watch::Watch;

/// The ends of names, with what they say.
const ENDS: [(&str, &str); 12] = [
    ("_ms", "ms"),
    ("_seconds", "s"),
    ("_bytes", "bytes"),
    ("_size_mean", "bytes"),
    ("_per_minute", "events per minute"),
    ("qps", "requests per second"),
    ("_rate", "events per second"),
    ("_ratio", "ratio, 0 to 1"),
    ("_skew", "ratio, 0 to 1"),
    ("_cv", "ratio"),
    ("_millicores", "thousandths of a core"),
    ("_max", "count"),
];

/// What is said of a feature whose name tells nothing.
const AS_ITS_QUERY: &str = "as its query gives";

/// The unit of a feature.
pub(super) fn unit(watch: &Watch, feature: usize) -> String {
    let Some(feature) = watch.features.get(feature) else { return String::new() };
    let (name, query) = (feature.name.as_str(), feature.query.as_str());
    if let Some((_, unit)) = ENDS.iter().find(|(end, _)| name.ends_with(end)) {
        return (*unit).to_string();
    }
    // `latency_gt_0_256`: the share of what took longer.
    if name.split('_').any(|word| word == "share" || word == "gt") {
        return "ratio, 0 to 1".to_string();
    }
    let counts_bytes =
        query.contains("increase(") && (query.contains("Octets") || query.contains("bytes"));
    match name {
        "replicas" => "count".to_string(),
        _ if counts_bytes => format!("bytes in {}", format_duration(watch.step_s)),
        _ => AS_ITS_QUERY.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Preset;

    #[test]
    fn every_feature_of_a_preset_has_a_unit() {
        for name in Preset::names().into_iter().filter(|name| *name != "workshop") {
            let watch = Preset::named(name).and_then(|preset| preset.watch()).unwrap();
            for (i, feature) in watch.features.iter().enumerate() {
                assert_ne!(unit(&watch, i), AS_ITS_QUERY, "{name}: {}", feature.name);
            }
        }
        let ports = Preset::named("node_ports").and_then(|preset| preset.watch()).unwrap();
        assert_eq!(unit(&ports, 0), "bytes in 5m");
        let coredns = Preset::named("coredns").and_then(|preset| preset.watch()).unwrap();
        let of = |name: &str| {
            let place = coredns.features.iter().position(|feature| feature.name == name).unwrap();
            unit(&coredns, place)
        };
        assert_eq!(
            (of("latency_mean_ms"), of("fwd_qps")),
            ("ms".into(), "requests per second".into())
        );
        assert_eq!(
            (of("latency_gt_0_256"), of("rss_max_bytes")),
            ("ratio, 0 to 1".into(), "bytes".into())
        );
    }
}

//! From a preset's file to an entry of `watches` with nothing special in it.
//!
//! Owns: the four keys that only presets have: `extends`, `without`, `define`, and a query's `native`.
//! Does not own: `$by`, `$selector`, `$rate_window`, `$step`, which need the user's settings.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_yaml::Mapping;
use serde_yaml::Value;

/// Whether the server knows native histograms. VictoriaMetrics does not, nor did Prometheus before
/// 2.40: there a query that names `histogram_count` is refused, whatever stands beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Histograms {
    /// Each query is tried in its native form, then in its classic form.
    #[default]
    Both,
    /// Only the classic form is sent.
    Classic,
}

#[derive(Deserialize)]
struct File {
    extends: Option<String>,
    #[serde(default)]
    without: Vec<String>,
    #[serde(default)]
    define: BTreeMap<String, String>,
    #[serde(flatten)]
    rest: Mapping,
}

/// Reads the preset `name` out of `files`, pairs of name and text.
///
/// `extends` takes everything of another preset that the file does not say itself, less the queries
/// in `without`; `define` is replaced in every query; `native` is joined before its query by `or`.
///
/// # Errors
/// There is no such preset, or its text is not one; never with the shipped files.
pub(crate) fn expand(
    name: &str,
    files: &[(&str, &str)],
    histograms: Histograms,
) -> Result<Mapping, String> {
    let text = files.iter().find(|(known, _)| *known == name).map(|(_, text)| *text);
    let text = text.ok_or_else(|| format!("no preset is named {name:?}"))?;
    let file: File = serde_yaml::from_str(text).map_err(|e| format!("preset {name}: {e}"))?;
    let mut preset = match &file.extends {
        // A preset extends one that stands before it, so this ends.
        Some(base) => {
            let before = files.iter().take_while(|(known, _)| *known != name);
            expand(base, &before.copied().collect::<Vec<_>>(), histograms)?
        }
        None => Mapping::new(),
    };
    preset.extend(file.rest);
    if let Some(queries) = preset.get_mut("queries").and_then(Value::as_mapping_mut) {
        queries.retain(|name, _| !file.without.iter().any(|out| name.as_str() == Some(out)));
        for (_, query) in queries.iter_mut() {
            join_native(query, histograms);
        }
    }
    let define: Vec<(&str, &str)> =
        file.define.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    for (_, value) in preset.iter_mut() {
        replace(value, &define);
    }
    Ok(preset)
}

fn join_native(query: &mut Value, histograms: Histograms) {
    let Some(query) = query.as_mapping_mut() else { return };
    let Some(native) = query.remove("native") else { return };
    let (Some(native), Some(classic)) =
        (native.as_str(), query.get("query").and_then(Value::as_str))
    else {
        return;
    };
    if histograms == Histograms::Both {
        let both = format!("({native}) or ({classic})");
        query.insert("query".into(), both.into());
    }
}

fn replace(value: &mut Value, define: &[(&str, &str)]) {
    match value {
        Value::String(text) if text.contains('$') => *text = substitute(text, define),
        Value::Mapping(mapping) => mapping.iter_mut().for_each(|(_, value)| replace(value, define)),
        _ => {}
    }
}

/// Replaces `$name` by its text, and what is defined in that text; other names stay.
fn substitute(text: &str, define: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(4 * text.len());
    let mut parts = text.split('$');
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(part.len());
        let (name, after) = part.split_at(end);
        match define.iter().position(|(known, _)| *known == name) {
            // Without itself, so a circle of definitions ends as a name that nothing fills.
            Some(i) => {
                let others: Vec<_> = define.iter().filter(|(n, _)| *n != name).copied().collect();
                out.push_str(&substitute(define[i].1, &others));
            }
            None => {
                out.push('$');
                out.push_str(name);
            }
        }
        out.push_str(after);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: &[(&str, &str)] = &[
        ("coredns", include_str!("coredns.yaml")),
        ("coredns_replicas", include_str!("coredns_replicas.yaml")),
        ("snmp_ports", include_str!("snmp_ports.yaml")),
        ("node_ports", include_str!("node_ports.yaml")),
    ];

    fn queries(preset: &Mapping) -> Vec<(String, Mapping)> {
        let queries = preset.get("queries").and_then(Value::as_mapping).unwrap();
        let pair = |(name, query): (&Value, &Value)| {
            (name.as_str().unwrap().to_string(), query.as_mapping().unwrap().clone())
        };
        queries.iter().map(pair).collect()
    }

    #[test]
    fn pieces_join_and_circles_end() {
        let define = [("a", "x + $b"), ("ab", "y"), ("b", "z{$selector}"), ("c", "1 + $c")];
        assert_eq!(substitute("$a $ab $abc $$ $c", &define), "x + z{$selector} y $abc $$ 1 + $c");
    }

    #[test]
    fn a_preset_can_be_made_from_another() {
        let files = [
            (
                "one",
                "define: {p: 'up{$selector}'}\nentity: [job]\nqueries: {a: {query: $p, native: n}, b: {query: b}}",
            ),
            ("two", "extends: one\nwithout: [b]\nentity: [job, instance]"),
        ];
        let two = expand("two", &files, Histograms::Both).unwrap();
        let text = serde_yaml::to_string(&two).unwrap();
        assert_eq!(
            text,
            "entity:\n- job\n- instance\nqueries:\n  a:\n    query: (n) or (up{$selector})\n"
        );
        let classic = expand("two", &files, Histograms::Classic).unwrap();
        assert_eq!(queries(&classic)[0].1.get("query").unwrap(), "up{$selector}");
        let unknown = expand("three", &files, Histograms::Both).unwrap_err();
        assert_eq!(unknown, "no preset is named \"three\"");
    }

    #[test]
    fn the_shipped_presets_say_all_that_a_watch_needs() {
        for (name, _) in FILES {
            let preset = expand(name, FILES, Histograms::Both).unwrap();
            for key in
                ["present", "entity", "step", "rate_window", "selector", "window", "detectors"]
            {
                assert!(preset.contains_key(key), "{name}: {key}");
            }
            for key in ["define", "extends", "without"] {
                assert!(!preset.contains_key(key), "{name}: {key}");
            }
            for (feature, query) in queries(&preset) {
                let floor = query.get("floor").and_then(Value::as_f64).unwrap();
                assert!((0.01..=1.0).contains(&floor), "{name} {feature}: floor {floor}");
                assert!(!query.contains_key("native"), "{name} {feature}");
            }
        }
    }

    #[test]
    fn only_what_the_user_sets_is_left_open() {
        for (name, _) in FILES {
            for histograms in [Histograms::Both, Histograms::Classic] {
                let text =
                    serde_yaml::to_string(&expand(name, FILES, histograms).unwrap()).unwrap();
                for part in text.split('$').skip(1) {
                    let end = part.find(|c: char| !c.is_ascii_lowercase() && c != '_');
                    let open = &part[..end.unwrap_or(part.len())];
                    let windows = ["", "_open", "_past", "_seconds"];
                    let of = |name: &str| windows.map(|part| format!("{name}{part}"));
                    let windows = [of("rate_window"), of("step")].concat();
                    let known = ["by", "selector"];
                    let is_known = known.contains(&open) || windows.iter().any(|w| w == open);
                    assert!(is_known, "{name}: ${open}");
                }
                assert_eq!(
                    text.contains("histogram_"),
                    histograms == Histograms::Both && name.starts_with("coredns"),
                    "{name}"
                );
            }
        }
    }

    #[test]
    fn replicas_are_not_compared_with_each_other() {
        let names = |preset: &str| -> Vec<String> {
            let preset = expand(preset, FILES, Histograms::Both).unwrap();
            queries(&preset).into_iter().map(|(name, _)| name).collect()
        };
        let left_out: Vec<String> = names("coredns")
            .into_iter()
            .filter(|n| !names("coredns_replicas").contains(n))
            .collect();
        assert_eq!(left_out, ["replicas", "replica_qps_cv", "replica_servfail_max_share"]);
    }
}

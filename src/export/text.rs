//! The letters of the exposition: labels, values, headers.
//!
//! Owns: escaping, label names, numbers. What is written here reads the same in the text format
//! 0.0.4 and in OpenMetrics 1.0.
//! Does not own: which metrics there are (`metric`, `own`).

use std::fmt::Write;
use std::sync::Arc;

use crate::series::Entity;

/// Names of labels that are ours or that the formats give a meaning to. An entity's label of such
/// a name is prefixed, as Prometheus does with the labels of a target.
const RESERVED: [&str; 9] =
    ["watch", "feature", "detector", "class", "reason", "version", "sha256", "le", "quantile"];

/// What an entity's label is prefixed with where its name is taken.
const PREFIX: &str = "exported_";

/// The labels of a series except `watch`, ready to be written. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Labels(Arc<str>);

impl Labels {
    /// Our own labels (`feature`, `detector`, `class`, …) and then the entity's. Empty values are
    /// left out: to Prometheus they are absent.
    pub fn new(own: &[(&'static str, &str)], entity: &Entity) -> Labels {
        let mut names: Vec<String> = Vec::new();
        let mut text = String::new();
        for (name, value) in own.iter().filter(|(_, value)| !value.is_empty()) {
            write_label(&mut text, name, value);
            names.push((*name).to_string());
        }
        for (name, value) in entity.pairs() {
            let Some(mut name) = label_name(name) else { continue };
            while RESERVED.contains(&name.as_str()) || names.contains(&name) {
                name.insert_str(0, PREFIX);
            }
            write_label(&mut text, &name, value);
            names.push(name);
        }
        Labels(text.into())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A valid label name: every other character becomes `_`, a leading digit gets one before it.
/// `None` for names that Prometheus keeps for itself (`__name__`), which it would refuse.
fn label_name(name: &str) -> Option<String> {
    if name.is_empty() || name.starts_with("__") {
        return None;
    }
    let mut valid: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if valid.starts_with(|c: char| c.is_ascii_digit()) {
        valid.insert(0, '_');
    }
    // Once more: characters that were replaced may have become a leading `__`.
    Some(if valid.starts_with("__") { format!("{PREFIX}{valid}") } else { valid })
}

/// Adds `name="value"`, after a comma where it is not the first.
pub(super) fn write_label(text: &mut String, name: &str, value: &str) {
    if !text.is_empty() {
        text.push(',');
    }
    text.push_str(name);
    text.push_str("=\"");
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
    text.push('"');
}

/// Adds one sample's line; `labels` as [`write_label`] left them.
pub(super) fn write_sample(text: &mut String, name: &str, labels: &[&str], value: f64) {
    text.push_str(name);
    let mut open = '{';
    for labels in labels.iter().filter(|labels| !labels.is_empty()) {
        text.push(open);
        text.push_str(labels);
        open = ',';
    }
    if open == ',' {
        text.push('}');
    }
    text.push(' ');
    write_value(text, value);
    text.push('\n');
}

fn write_value(text: &mut String, value: f64) {
    if value.is_infinite() {
        text.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
        return;
    }
    let start = text.len();
    // The shortest digits that read back the same; writing to a String cannot fail.
    let _ = write!(text, "{value:?}");
    if text[start..].ends_with(".0") {
        text.truncate(text.len() - 2);
    }
}

/// Adds the lines that stand before a family's samples.
pub(super) fn write_header(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels(own: &[(&'static str, &str)], entity: &[(&str, &str)]) -> String {
        Labels::new(own, &Entity::new(entity.iter().copied())).as_str().to_string()
    }

    #[test]
    fn our_names_stay_ours() {
        let own = [("feature", "in"), ("detector", ""), ("class", "a")];
        let entity = [("feature", "f"), ("exported_feature", "e"), ("le", "1"), ("job", "coredns")];
        assert_eq!(
            labels(&own, &entity),
            r#"feature="in",class="a",exported_feature="e",exported_exported_feature="f",job="coredns",exported_le="1""#
        );
        assert_eq!(labels(&[], &[("watch", "w")]), r#"exported_watch="w""#);
    }

    #[test]
    fn names_are_made_valid_without_losing_a_label() {
        let entity = [("a.b", "1"), ("a_b", "2"), ("0x", "3"), ("__name__", "4"), ("ä", "5")];
        assert_eq!(labels(&[], &entity), r#"_0x="3",a_b="1",exported_a_b="2",_="5""#);
        assert_eq!(labels(&[], &[("..x", "1")]), r#"exported___x="1""#);
    }

    #[test]
    fn values_read_back_the_same() {
        let cases = [
            (0.0, "0"),
            (1.0, "1"),
            (-2.5, "-2.5"),
            (1_795_370_400.0, "1795370400"),
            (1e-9, "1e-9"),
            (1e300, "1e300"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ];
        for (value, wanted) in cases {
            let mut text = String::new();
            write_value(&mut text, value);
            assert_eq!(text, wanted);
        }
    }

    /// The labels of one sample's line, read as the formats say.
    fn parse(line: &str) -> Vec<(String, String)> {
        let mut chars = line.chars().skip_while(|c| *c != '{').skip(1).peekable();
        let mut pairs = Vec::new();
        while chars.peek() != Some(&'}') {
            let name: String = chars.by_ref().take_while(|c| *c != '=').collect();
            assert_eq!(chars.next(), Some('"'));
            let mut value = String::new();
            loop {
                match chars.next().unwrap() {
                    '"' => break,
                    '\\' => match chars.next().unwrap() {
                        'n' => value.push('\n'),
                        other => value.push(other),
                    },
                    other => value.push(other),
                }
            }
            pairs.push((name, value));
            chars.next_if_eq(&',');
        }
        pairs
    }

    /// Nothing but the characters that the formats treat in a way of their own.
    fn awkward() -> impl Strategy<Value = String> {
        let characters = ['\\', '"', '\n', ',', '{', '}', '='];
        let some = prop::collection::vec(prop::sample::select(characters.to_vec()), 0..9);
        some.prop_map(|characters| characters.into_iter().collect())
    }

    proptest! {
        #[test]
        fn any_label_value_round_trips(a in awkward(), b: String) {
            let entity = Entity::new([("a", a), ("b", b)]);
            let mut line = String::new();
            let labels = Labels::new(&[], &entity);
            write_sample(&mut line, "x", &[labels.as_str(), "z=\"\""], 1.0);
            prop_assert_eq!(line.matches('\n').count(), 1);
            let mut wanted: Vec<(String, String)> =
                entity.pairs().map(|(k, v)| (k.to_string(), v.to_string())).collect();
            wanted.push(("z".to_string(), String::new()));
            prop_assert_eq!(parse(&line), wanted);
        }

        #[test]
        fn any_number_round_trips(value in proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL) {
            let mut text = String::new();
            write_value(&mut text, value);
            prop_assert_eq!(text.parse::<f64>(), Ok(value));
        }

        #[test]
        fn any_label_name_becomes_valid(name: String) {
            if let Some(name) = label_name(&name) {
                prop_assert!(name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'));
                prop_assert!(!name.starts_with("__"));
                prop_assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
            }
        }
    }
}

//! Labels of rules that are templates, as far as they only name labels of the series.
//!
//! Owns: `{{ $labels.name }}`, `{{ .Labels.name }}` and `{{ index $labels "any.name" }}`, any number of them among
//! other text. Prometheus fills them in for each alert from the labels of the series that the expression gave; one
//! that the series lacks is empty (rules/alerting.go, and `missingkey=zero` in template/template.go). Does not own:
//! everything else of Go's templates, such as functions, pipes and `$value`: such a text is left as it is.

use crate::series::Entity;

/// Whether a text is a template at all.
pub(super) fn is_template(text: &str) -> bool {
    text.contains("{{")
}

/// Whether it is a template that [`filled`] cannot fill in.
pub(super) fn is_beyond_us(text: &str) -> bool {
    is_template(text) && filled(text, &Entity::default()).is_none()
}

/// The text with the labels of a series in it; none where more than that is asked for.
pub(super) fn filled(text: &str, series: &Entity) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (action, behind) = after.split_once("}}")?;
        out += before;
        out += series.get(name(action)?).unwrap_or_default();
        rest = behind;
    }
    Some(out + rest)
}

const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

/// The label that an action names, if it does nothing else.
fn name(action: &str) -> Option<&str> {
    let action = action.trim_matches(SPACE);
    if let Some(rest) = action.strip_prefix("index") {
        return indexed(rest);
    }
    let name = ["$labels.", ".Labels."].iter().find_map(|before| action.strip_prefix(before))?;
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let begins = !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit());
    (plain && begins).then_some(name)
}

/// The name in ` $labels "name"`, of a string without escapes.
fn indexed(rest: &str) -> Option<&str> {
    let labels = after_space(rest)?;
    let name = ["$labels", ".Labels"].iter().find_map(|before| labels.strip_prefix(before))?;
    let text = after_space(name)?;
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '`'))?;
    let name = text[1..].strip_suffix(quote)?;
    (!name.contains([quote, '\\', '\n'])).then_some(name)
}

fn after_space(text: &str) -> Option<&str> {
    text.starts_with(SPACE).then(|| text.trim_start_matches(SPACE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_filled_in_and_all_else_is_left() {
        let series: Entity = "job=dns,to=a,my.team=net".parse().unwrap();
        let filled = |text: &str| filled(text, &series);
        for (text, wanted) in [
            ("plain } {", "plain } {"),
            ("{{ $labels.job }}", "dns"),
            ("{{$labels.job}}-{{ .Labels.to }}.", "dns-a."),
            ("{{\t$labels.nothing\n}}", ""),
            ("{{ index $labels \"my.team\" }}/{{index .Labels `to`}}", "net/a"),
            ("{{ index $labels \"no.such\" }}", ""),
        ] {
            assert_eq!(filled(text).as_deref(), Some(wanted), "{text}");
            assert!(!is_beyond_us(text), "{text}");
        }
        let more = [
            "{{ $value }}",
            "{{ $labels.job | toUpper }}",
            "{{- $labels.job -}}",
            "{{ $labels }}",
            "{{ $labels.job",
            "{{ $labels.9 }}",
            "{{ $labels.my.team }}",
            "{{ index $labels }}",
            "{{ index $labels \"a\" \"b\" }}",
            "{{ index $labels \"a\\\"\" }}",
            "{{ index$labels \"a\" }}",
            "{{ index $labels\"a\" }}",
            "{{ if $labels.job }}x{{ end }}",
            "{{ $externalLabels.dc }}",
            "{{ }}",
        ];
        for text in more {
            assert_eq!(filled(text), None, "{text}");
            assert!(is_beyond_us(text), "{text}");
        }
    }
}

//! `$name` in a query: what the watch's settings say.

use super::load::Found;
use super::raw::WatchSection;
use crate::math::duration::format_duration;

/// What a query may leave open.
const NAMES: &str = "$by, $selector, $step or $rate_window, either with _seconds (the number), \
    _open (less a millisecond), _past (five, at least an hour) or .3 (three tenths)";

/// The settings that fill in what queries leave open.
pub(super) struct Placeholders {
    rate_window_s: i64,
    pub(super) step_s: i64,
    by: String,
    selector: String,
}

impl Placeholders {
    /// Those of an entry over its preset.
    pub(super) fn of(section: &WatchSection, base: &WatchSection) -> Placeholders {
        let step_s = section.step.or(base.step).map_or(30, |step| step.0);
        // A changed step makes the preset's rate window wrong: then four scrapes, if a step is one.
        let usual = base.rate_window.filter(|_| section.step.is_none());
        let rate_window = section.rate_window.or(usual);
        let either = |own: &Option<String>, base: &Option<String>| own.clone().or(base.clone());
        let entity = section.entity.as_ref().or(base.entity.as_ref());
        Placeholders {
            rate_window_s: rate_window.map_or((4 * step_s).max(4), |window| window.0),
            step_s,
            by: entity.map(|names| names.join(", ")).unwrap_or_default(),
            selector: either(&section.selector, &base.selector).unwrap_or_default(),
        }
    }

    /// The query without them.
    pub(super) fn fill(&self, query: &str) -> String {
        // A selector may be empty; `{,x="y"}` and `{x="y",}` are not both PromQL, so commas go with it.
        let query = match self.selector.as_str() {
            "" => query.replace("$selector,", "").replace(",$selector", ""),
            _ => query.to_string(),
        };
        let mut parts = query.split('$');
        let mut filled = parts.next().unwrap_or_default().to_string();
        for part in parts {
            let (name, tenths, rest) = read(part);
            match self.value(name, tenths) {
                Some(value) => filled.extend([&value, rest]),
                // Not ours: a regular expression's end, or a group of `label_replace`.
                None => filled.extend(["$", part]),
            }
        }
        // As it was written: a line may end in a comment, and spaces in a string are its own.
        filled.trim().to_string()
    }

    fn value(&self, name: &str, tenths: Option<i64>) -> Option<String> {
        let window_s = if name.starts_with("step") { self.step_s } else { self.rate_window_s };
        // Where one looks for what is usual.
        let past_s = window_s.saturating_mul(5).max(3_600);
        match (name, tenths) {
            ("by", None) => Some(self.by.clone()),
            ("selector", None) => Some(self.selector.clone()),
            ("step" | "rate_window", None) => Some(format_duration(window_s)),
            ("step" | "rate_window", Some(n @ 1..=9)) => {
                Some(format!("{}ms", window_s.saturating_mul(n * 100)))
            }
            ("step_seconds" | "rate_window_seconds", None) => Some(window_s.to_string()),
            ("step_past" | "rate_window_past", None) => Some(format_duration(past_s)),
            // Before Prometheus 3, a sample at its beginning is in a window too.
            ("step_open" | "rate_window_open", None) => {
                Some(format!("{}ms", window_s.saturating_mul(1_000) - 1))
            }
            _ => None,
        }
    }

    /// What is wrong with what the entry itself says.
    pub(super) fn problems(&self, section: &WatchSection, at: &str, found: &mut Vec<Found>) {
        if self.rate_window_s <= 0 {
            found.push((format!("{at}.rate_window"), "must be longer than zero".into()));
        }
        let queries = section.queries.iter().flatten();
        let queries = queries.map(|(name, query)| (format!("queries.{name}"), &query.query));
        let checks = section.checks.iter().flat_map(|checks| checks.queries());
        let checks = checks.map(|(name, query)| (format!("checks.{name}"), query));
        for (place, query) in queries.chain(checks) {
            let odd = query.split('$').skip(1).find(|part| self.is_slip(part));
            if let Some(part) = odd {
                let token = &part[..part.len() - read(part).2.len()];
                let what = format!("${token} is no placeholder; wanted one of {NAMES}");
                found.push((format!("{at}.{place}"), what));
            }
        }
    }

    /// Whether it begins like one of ours and is none.
    fn is_slip(&self, part: &str) -> bool {
        let (name, tenths, _) = read(part);
        let ours = ["step", "rate_window", "selector"].iter().any(|our| name.starts_with(our));
        ours && self.value(name, tenths).is_none()
    }
}

/// What stands after a `$`: a name, perhaps with tenths, and the rest.
fn read(part: &str) -> (&str, Option<i64>, &str) {
    let end = part.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(part.len());
    let (name, rest) = part.split_at(end);
    let digits = rest.strip_prefix('.').unwrap_or_default();
    let n = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    match digits[..n].parse() {
        // A number too many is left for the check to find.
        Ok(tenths) if (1..10).contains(&tenths) => (name, Some(tenths), &digits[n..]),
        Ok(_) => (name, Some(0), &digits[n..]),
        Err(_) => (name, None, rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placeholders(selector: &str) -> Placeholders {
        let by = "job, pod".to_string();
        Placeholders { rate_window_s: 120, step_s: 30, by, selector: selector.to_string() }
    }

    #[test]
    fn whole_names_are_filled_in() {
        let full = placeholders("a=\"b\"");
        let filled = |query: &str| full.fill(query);
        assert_eq!(
            filled("sum by ($by) (x{$selector}[$rate_window])"),
            "sum by (job, pod) (x{a=\"b\"}[2m])"
        );
        assert_eq!(filled("x[$rate_window.3] offset $step.5"), "x[36000ms] offset 15000ms");
        assert_eq!(filled("x[$step_past:$step_open] * $step_seconds"), "x[1h:29999ms] * 30");
        let theirs = "label_replace(x, \"a\", \"$1-$name\", \"b\", \"^(.*)$\")";
        assert_eq!(filled(theirs), theirs);
        assert_eq!(
            placeholders("").fill("x{$selector,a=\"b\"} + y{a=\"b\",$selector} + z{$selector}"),
            "x{a=\"b\"} + y{a=\"b\"} + z{}"
        );
    }

    #[test]
    fn slips_are_told() {
        let slip =
            |query: &str| query.split('$').skip(1).any(|part| placeholders("").is_slip(part));
        for query in [
            "x[$rate_windows]",
            "x[$stepp]",
            "x[$rate_window.35]",
            "x[$rate_window.0]",
            "x{$selectors}",
        ] {
            assert!(slip(query), "{query}");
        }
        for query in ["x[$rate_window.9]", "x{a=~\"b$\"}", "$name", "$1", "$"] {
            assert!(!slip(query), "{query}");
        }
    }
}

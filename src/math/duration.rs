//! Durations as Prometheus writes them: `1h30m`, `2w`.
//!
//! Owns: the notation, and whole seconds, the finest grid there is here.
//! Does not own: what a duration is used for, or budgets such as `1 per 1w`.

/// Units from the longest to the shortest, in milliseconds. A year is 365 days, as in Prometheus.
const UNITS: [(&str, i64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// The seconds of a duration such as `30s`, `1h30m` or `2w`; `0` needs no unit.
///
/// # Errors
/// As [`parse_duration_ms`]. Fractions of a second (`500ms`) are refused, not rounded.
pub fn parse_duration_s(text: &str) -> Result<i64, String> {
    match parse_duration_ms(text)? {
        ms if ms % 1000 == 0 => Ok(ms / 1000),
        _ => Err(wrong(text, "finer than a second")),
    }
}

fn wrong(text: &str, what: &str) -> String {
    format!("duration {text:?}: {what}; wanted such as 30s, 1h30m or 2w")
}

/// The milliseconds of a duration such as `500ms`, `30s` or `1h30m`; `0` needs no unit.
///
/// # Errors
/// What is wrong with the text, and what was wanted. Prometheus' rules hold: whole numbers, each
/// unit once, longest first.
pub fn parse_duration_ms(text: &str) -> Result<i64, String> {
    let wrong = |what: &str| wrong(text, what);
    if text == "0" {
        return Ok(0);
    }
    if text.is_empty() {
        return Err(wrong("empty"));
    }
    let (mut rest, mut units, mut total_ms) = (text, UNITS.iter(), 0_i64);
    while !rest.is_empty() {
        let (number, after) = split(rest, |c| !c.is_ascii_digit());
        let (unit, after) = split(after, |c| !c.is_ascii_lowercase());
        if number.is_empty() {
            return Err(wrong("a unit without a whole number before it"));
        }
        if unit.is_empty() {
            return Err(wrong("a number without a unit"));
        }
        if !UNITS.iter().any(|(name, _)| *name == unit) {
            return Err(wrong(&format!("unknown unit {unit:?}")));
        }
        let Some((_, unit_ms)) = units.find(|(name, _)| *name == unit) else {
            return Err(wrong("units go from long to short, each once"));
        };
        let part_ms = number.parse::<i64>().ok().and_then(|n| n.checked_mul(*unit_ms));
        total_ms =
            part_ms.and_then(|ms| ms.checked_add(total_ms)).ok_or_else(|| wrong("too long"))?;
        rest = after;
    }
    Ok(total_ms)
}

/// The text before the first character that `ends` says, and the rest.
fn split(text: &str, ends: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(ends).unwrap_or(text.len()))
}

/// Seconds in Prometheus' notation, such as `1h30m`; weeks and years only where they divide the
/// whole, as Prometheus does (`2w`, but `15d`). Below zero with a leading `-`.
pub fn format_duration(seconds: i64) -> String {
    if seconds == 0 {
        return "0s".to_string();
    }
    let mut rest = seconds.unsigned_abs();
    let mut text = String::from(if seconds < 0 { "-" } else { "" });
    for (name, unit_ms) in &UNITS[..6] {
        let unit = unit_ms.unsigned_abs() / 1000;
        let only_whole = matches!(*name, "y" | "w") && !rest.is_multiple_of(unit);
        if rest >= unit && !only_whole {
            text.push_str(&format!("{}{name}", rest / unit));
            rest %= unit;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_prometheus_reads() {
        let good = [
            ("0", 0),
            ("0s", 0),
            ("30s", 30),
            ("5m", 300),
            ("1h30m", 5400),
            ("90m", 5400),
            ("2w", 1_209_600),
            ("1y1w1d1h1m1s", 365 * 86_400 + 7 * 86_400 + 86_400 + 3600 + 61),
            ("2000ms", 2),
            ("1s1000ms", 2),
        ];
        for (text, seconds) in good {
            assert_eq!(parse_duration_s(text), Ok(seconds), "{text}");
        }
        assert_eq!(parse_duration_ms("1m500ms"), Ok(60_500));
    }

    #[test]
    fn refuses_with_what_was_wanted() {
        let bad = [
            ("", "empty"),
            ("30", "a number without a unit"),
            ("s", "a unit without a whole number before it"),
            ("-5m", "a unit without a whole number before it"),
            ("1.5h", "a number without a unit"),
            ("1 h", "a number without a unit"),
            ("5x", "unknown unit \"x\""),
            ("5M", "a number without a unit"),
            ("5mś", "a unit without a whole number before it"),
            ("5m1h", "units go from long to short, each once"),
            ("5m5m", "units go from long to short, each once"),
            ("500ms", "finer than a second"),
            ("1s1ms", "finer than a second"),
            ("99999999999y", "too long"),
            ("99999999999999999999s", "too long"),
        ];
        for (text, what) in bad {
            let wanted = format!("duration {text:?}: {what}; wanted such as 30s, 1h30m or 2w");
            assert_eq!(parse_duration_s(text), Err(wanted));
        }
    }

    #[test]
    fn writes_as_prometheus_writes() {
        let cases = [(0, "0s"), (5400, "1h30m"), (14 * 86_400, "2w"), (15 * 86_400, "15d")];
        for (seconds, text) in cases {
            assert_eq!(format_duration(seconds), text);
        }
        assert_eq!(format_duration(-600), "-10m");
        assert_eq!(format_duration(365 * 86_400), "1y");
    }

    proptest! {
        #[test]
        fn round_trips(seconds in 0_i64..10_000_000_000) {
            prop_assert_eq!(parse_duration_s(&format_duration(seconds)), Ok(seconds));
        }
    }
}

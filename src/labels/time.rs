//! Times as people write them.

use jiff::Timestamp;
use serde::Deserialize;

use crate::math::duration::parse_duration_s;

/// What a time may look like.
const WANTED: &str = "wanted 2026-11-22T10:00:00Z, unix seconds, now or -10m";

/// Above this, unix seconds are meant to be milliseconds: the year 5138.
const MAX_SECONDS: f64 = 1e11;

/// A time as it was written; what it means depends on now.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged, expecting = "wanted 2026-11-22T10:00:00Z, unix seconds, now or -10m")]
pub enum Time {
    /// Unix seconds.
    Number(f64),
    /// RFC 3339, unix seconds, `now`, or a duration before now such as `-10m`.
    Text(String),
}

impl Time {
    /// Whole unix seconds, rounded down.
    ///
    /// # Errors
    /// The text is none of the forms, or the number is out of range.
    pub fn seconds(&self, now_s: i64) -> Result<i64, String> {
        match self {
            Time::Number(number) => from_number(*number),
            Time::Text(text) => from_text(text.trim(), now_s),
        }
    }
}

fn from_number(seconds: f64) -> Result<i64, String> {
    match seconds {
        _ if seconds.is_nan() || seconds < 0.0 => Err(format!("{seconds}; {WANTED}")),
        _ if seconds >= MAX_SECONDS => {
            Err(format!("{seconds} is too large for seconds, perhaps milliseconds; {WANTED}"))
        }
        _ => Ok(seconds.floor() as i64),
    }
}

fn from_text(text: &str, now_s: i64) -> Result<i64, String> {
    if text == "now" {
        return Ok(now_s);
    }
    let ago = text.strip_prefix("now").unwrap_or(text);
    if let Some(ago) = ago.strip_prefix('-') {
        return Ok(now_s.saturating_sub(parse_duration_s(ago)?));
    }
    if text.starts_with(|c: char| c.is_ascii_digit())
        && let Ok(number) = text.parse::<f64>()
    {
        return from_number(number);
    }
    let time: Timestamp = text.parse().map_err(|_| format!("{text:?}; {WANTED}"))?;
    // Rounded down also before 1970.
    from_number(time.as_duration().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<i64, String> {
        Time::Text(text.to_string()).seconds(1000)
    }

    #[test]
    fn reads_what_people_write() {
        let good = [
            ("now", 1000),
            ("-10m", 400),
            (" now-1m ", 940),
            ("-0", 1000),
            ("1700000000", 1_700_000_000),
            ("1700000000.9", 1_700_000_000),
            ("2023-11-14T22:13:20Z", 1_700_000_000),
            ("2023-11-14T22:13:20.9Z", 1_700_000_000),
            ("2023-11-14T23:13:20+01:00", 1_700_000_000),
            ("2023-11-14T22:13Z", 1_699_999_980),
            ("2023-11-14 22:13:20Z", 1_700_000_000),
        ];
        for (text, seconds) in good {
            assert_eq!(read(text), Ok(seconds), "{text}");
        }
        assert_eq!(Time::Number(1.7e9).seconds(0), Ok(1_700_000_000));
    }

    #[test]
    fn refuses_the_rest() {
        for text in
            ["", "soon", "10m", "nowhere", "2023-11-14T22:13:20", "1e400", "1969-12-31T23:59Z"]
        {
            let error = read(text).unwrap_err();
            assert!(error.ends_with(WANTED), "{text}: {error}");
        }
        assert_eq!(
            read("1700000000000").unwrap_err(),
            format!("1700000000000 is too large for seconds, perhaps milliseconds; {WANTED}")
        );
        assert_eq!(
            read("-10x").unwrap_err(),
            "duration \"10x\": unknown unit \"x\"; wanted such as 30s, 1h30m or 2w"
        );
        assert!(Time::Number(f64::NAN).seconds(0).is_err());
    }
}

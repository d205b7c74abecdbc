//! `rate_limit` of the web configuration file: a token bucket over all requests.
//!
//! Owns: its settings and its count. Does not own: the answer to who comes too often (`routes`).

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use serde::Deserialize;
use serde::Deserializer;
use serde::de::Error;

/// How often requests may come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RateLimit {
    /// Time in which one more request is allowed, as Go writes it (`1s`, `250ms`); 0 is no limit.
    #[serde(deserialize_with = "duration")]
    pub interval: Duration,
    /// Requests that may come at once after a quiet time.
    pub burst: u32,
}

/// `0`, or one number with a unit.
fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Raw {
        Number(f64),
        Text(String),
    }
    let text = match Raw::deserialize(deserializer)? {
        Raw::Number(number) => number.to_string(),
        Raw::Text(text) => text,
    };
    let unit = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit);
    let seconds = match (number, unit) {
        ("0", "") => Some(0.0),
        (_, "ms") => Some(1e-3),
        (_, "s") => Some(1.0),
        (_, "m") => Some(60.0),
        (_, "h") => Some(3600.0),
        _ => None,
    };
    let seconds = seconds.zip(number.parse::<f64>().ok()).map(|(unit, number)| unit * number);
    let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration.ok_or_else(|| {
        D::Error::custom(format!("{text:?} is no interval; wanted 0, 250ms, 1s or 1m"))
    })
}

/// The requests that may still come.
#[derive(Debug)]
pub(super) struct Bucket(Mutex<Tokens>);

#[derive(Debug)]
struct Tokens {
    left: f64,
    at: Option<Instant>,
}

impl Bucket {
    pub(super) fn new() -> Bucket {
        Bucket(Mutex::new(Tokens { left: 0.0, at: None }))
    }

    /// Whether a request may come now; if so, it is counted.
    pub(super) fn take(&self, limit: &RateLimit, now: Instant) -> bool {
        if limit.interval.is_zero() {
            return true;
        }
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let gained = tokens.at.map_or(f64::INFINITY, |at| {
            now.saturating_duration_since(at).as_secs_f64() / limit.interval.as_secs_f64()
        });
        tokens.left = (tokens.left + gained).min(f64::from(limit.burst));
        tokens.at = Some(now);
        let enough = tokens.left >= 1.0;
        if enough {
            tokens.left -= 1.0;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_one_per_interval() {
        let limit: RateLimit = serde_yaml::from_str("{interval: 1s, burst: 3}").unwrap();
        let (bucket, start) = (Bucket::new(), Instant::now());
        let at = |ms| bucket.take(&limit, start + Duration::from_millis(ms));
        assert_eq!(
            [0, 0, 0, 0, 900, 1000, 1500].map(at),
            [true, true, true, false, false, true, false]
        );
        assert_eq!([60_000; 4].map(at), [true, true, true, false], "no more than the burst");
        assert!((0..99).all(|_| Bucket::new().take(&RateLimit::default(), start)), "no limit");
    }

    #[test]
    fn intervals_are_written_as_in_go() {
        let read = |text: &str| {
            let limit = serde_yaml::from_str::<RateLimit>(&format!("{{interval: {text}}}"));
            limit.map(|limit| limit.interval.as_millis()).map_err(|error| error.to_string())
        };
        assert_eq!(
            ["0", "'0'", "250ms", "1.5s", "2m"].map(|t| read(t).unwrap()),
            [0, 0, 250, 1500, 120_000]
        );
        for bad in ["1", "s", "-1s", "1 day", "1e400s"] {
            assert!(read(bad).unwrap_err().contains("is no interval; wanted 0, 250ms"), "{bad}");
        }
    }
}

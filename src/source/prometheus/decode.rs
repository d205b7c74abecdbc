//! What a Prometheus-compatible server says, from the bytes of its answer.
//!
//! Owns: the JSON of the HTTP API as Prometheus, Thanos, Mimir and VictoriaMetrics write it.
//! Does not own: how the bytes came (`client`), which times were asked for (`mod`).
//!
//! `prometheus_http_query`'s own decoder drops warnings, takes partial data as whole and fails on
//! native histograms, hence this one.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde::de::IgnoredAny;

use crate::series::Entity;
use crate::source::SourceError;

/// The longest piece of a foreign body that is quoted in an error, in characters.
const QUOTED: usize = 160;

/// A decoded answer; times as the server wrote them, in unix seconds.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Decoded {
    pub(super) series: Vec<(Entity, Vec<(f64, f64)>)>,
    pub(super) partial: Option<String>,
    pub(super) warnings: Vec<String>,
}

/// Everything but the result, whose shape depends on `resultType`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    status: String,
    error_type: Option<String>,
    error: Option<String>,
    warnings: Option<Vec<String>>,
    infos: Option<Vec<String>>,
    is_partial: Option<bool>,
    data: Option<Head>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    result_type: Option<String>,
}

#[derive(Deserialize)]
struct Body<T> {
    data: Data<T>,
}

#[derive(Deserialize)]
struct Data<T> {
    result: T,
}

/// One element of a matrix or vector.
#[derive(Deserialize)]
struct Element {
    #[serde(default)]
    metric: BTreeMap<String, String>,
    value: Option<Sample>,
    values: Option<Vec<Sample>>,
    histogram: Option<IgnoredAny>,
    histograms: Option<Vec<IgnoredAny>>,
}

/// Unix seconds, and a number written as Go writes it.
#[derive(Deserialize)]
struct Sample(f64, Number);

struct Number(f64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Number, D::Error> {
        #[derive(Deserialize)]
        struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
        let Text(text) = Text::deserialize(from)?;
        // Rust reads all that Go writes: "NaN", "+Inf", "-Inf", "1e+06".
        text.parse().map(Number).map_err(|_| {
            serde::de::Error::custom(format_args!("value {text:?}, wanted a number in quotes"))
        })
    }
}

/// The version in the answer of `/api/v1/status/buildinfo`.
pub(super) fn decode_version(body: &[u8]) -> Option<String> {
    let answer: serde_json::Value = serde_json::from_slice(body).ok()?;
    let version = answer["data"]["version"].as_str()?;
    Some(version.to_string()).filter(|version| !version.is_empty())
}

/// Reads the body that came with an HTTP status.
///
/// # Errors
/// The server reported an error, the body is no answer, or the result is not made of numbers.
pub(super) fn decode(status: u16, body: &[u8]) -> Result<Decoded, SourceError> {
    let Ok(envelope) = serde_json::from_slice::<Envelope>(body) else {
        return Err(foreign(status, body));
    };
    if envelope.status != "success" || status >= 400 {
        return Err(reported(status, &envelope));
    }
    let (partial, warnings) = remarks(&envelope);
    let kind = envelope.data.and_then(|data| data.result_type).unwrap_or_default();
    let series = match kind.as_str() {
        "matrix" | "vector" => {
            result::<Vec<Element>>(body)?.into_iter().map(series).collect::<Result<_, _>>()?
        }
        "scalar" => {
            let Sample(time_s, Number(value)) = result(body)?;
            vec![(Entity::default(), vec![(time_s, value)])]
        }
        "string" => {
            return Err(SourceError::BadQuery(
                "the result is a string, wanted numbers".to_string(),
            ));
        }
        other => {
            return Err(SourceError::Decode(format!(
                "resultType {other:?}, wanted matrix, vector or scalar"
            )));
        }
    };
    Ok(Decoded { series, partial, warnings })
}

fn result<T: DeserializeOwned>(body: &[u8]) -> Result<T, SourceError> {
    match serde_json::from_slice::<Body<T>>(body) {
        Ok(body) => Ok(body.data.result),
        Err(error) => Err(SourceError::Decode(format!("not Prometheus' JSON: {error}"))),
    }
}

fn series(element: Element) -> Result<(Entity, Vec<(f64, f64)>), SourceError> {
    let mut pairs = element.metric;
    let name = pairs.remove("__name__").unwrap_or_default();
    let labels = Entity::new(pairs);
    if element.histogram.is_some() || element.histograms.is_some_and(|all| !all.is_empty()) {
        return Err(SourceError::NativeHistogram(format!(
            "series {name}{{{labels}}} is a native histogram, wanted numbers: \
             use histogram_quantile, histogram_count, histogram_sum or histogram_fraction"
        )));
    }
    let samples = element.values.into_iter().flatten().chain(element.value);
    Ok((labels, samples.map(|Sample(time_s, Number(value))| (time_s, value)).collect()))
}

/// Why data may be missing, and what else was remarked.
///
/// A warning is either PromQL's own, which begins with `PromQL`, or a storage's that could not
/// deliver (Thanos' stores, Prometheus' remote read): then data are missing.
fn remarks(envelope: &Envelope) -> (Option<String>, Vec<String>) {
    let warnings = envelope.warnings.as_deref().unwrap_or_default();
    let missing = warnings.iter().find(|text| !text.starts_with("PromQL ")).cloned();
    let partial = match envelope.is_partial {
        Some(true) => {
            Some(missing.unwrap_or_else(|| "the backend marks its answer as partial".to_string()))
        }
        _ => missing,
    };
    let all = warnings.iter().chain(envelope.infos.as_deref().unwrap_or_default());
    (partial, all.cloned().collect())
}

/// The error that a server reported in JSON.
///
/// `errorType` is free text to us: VictoriaMetrics writes "422", Mimir `too_many_requests`.
fn reported(status: u16, envelope: &Envelope) -> SourceError {
    let kind = envelope.error_type.as_deref().unwrap_or("no errorType");
    let error = envelope.error.as_deref().unwrap_or("no error text");
    let text = format!("HTTP {status}, {kind}: {}", quoted(error.as_bytes(), 4 * QUOTED));
    let limits = ["exceeded maximum resolution", "too many points", "too many samples"];
    if limits.iter().any(|limit| error.contains(limit)) {
        return SourceError::TooManyPoints(text);
    }
    match (kind, status) {
        ("too_many_requests", _) | (_, 429) => SourceError::RateLimited(text),
        ("timeout", _) => SourceError::Timeout(text),
        ("bad_data" | "execution" | "422", _) | (_, 400 | 422) => SourceError::BadQuery(text),
        ("unavailable" | "canceled", _) | (_, 502..=504) => SourceError::Unavailable(text),
        _ => SourceError::HttpStatus { status, message: text },
    }
}

/// The error of a body that is no answer of the API: a proxy's, a login page, plain text.
fn foreign(status: u16, body: &[u8]) -> SourceError {
    let body = quoted(body, QUOTED);
    let text = |wanted: &str| format!("HTTP {status}, {body:?}; wanted {wanted}");
    match status {
        200..=299 => SourceError::Decode(text("Prometheus' JSON")),
        401 | 403 => SourceError::HttpStatus { status, message: text("access: see http_config") },
        404 | 405 => SourceError::HttpStatus {
            status,
            message: text("Prometheus' HTTP API: see the path of the url"),
        },
        400 | 422 => SourceError::BadQuery(text("an answer")),
        429 => SourceError::RateLimited(text("an answer")),
        502..=504 => SourceError::Unavailable(text("an answer")),
        _ => SourceError::HttpStatus { status, message: text("status 200") },
    }
}

/// The beginning of foreign text on one line.
fn quoted(text: &[u8], most: usize) -> String {
    let text = String::from_utf8_lossy(&text[..text.len().min(4 * most)]);
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests;

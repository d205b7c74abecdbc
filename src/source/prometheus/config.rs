//! How a Prometheus-compatible server is reached and how hard it is asked.
//!
//! Owns: the `source.prometheus` block and its checks. Does not own: `http_config`, see there.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderName;
use reqwest::header::HeaderValue;
use serde::Deserialize;
use serde::Deserializer;
use serde::de::Error as _;

use crate::math::duration::parse_duration_ms;
use crate::source::prometheus::http_config::HttpConfig;
use crate::source::prometheus::http_config::Secret;

/// A Prometheus-compatible server: Prometheus, Thanos, Mimir, VictoriaMetrics.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where its HTTP API is, with the path prefix before `/api/v1` if there is one.
    pub url: String,
    /// Authentication, TLS and proxy, word for word as in Prometheus.
    pub http_config: HttpConfig,
    /// Headers of every request, such as `X-Scope-OrgID`.
    pub headers: BTreeMap<String, Secret>,
    /// URL parameters of every query, such as Thanos' `partial_response: "false"`.
    pub params: BTreeMap<String, String>,
    /// How long one attempt of a query may take; all of its attempts together may take twice that.
    #[serde(deserialize_with = "duration")]
    pub timeout: Duration,
    /// Queries under way at the same time.
    pub max_concurrency: usize,
    /// Attempts after the first one, where a later attempt may help.
    pub retries: u32,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            url: String::new(),
            http_config: HttpConfig::default(),
            headers: BTreeMap::new(),
            params: BTreeMap::new(),
            timeout: Duration::from_secs(10),
            max_concurrency: 4,
            retries: 2,
        }
    }
}

impl Config {
    /// The defaults for the server at `url`.
    pub fn new(url: impl Into<String>) -> Config {
        Config { url: url.into(), ..Config::default() }
    }

    /// Every file that the settings name, with the path of the setting.
    pub fn files_mut(&mut self) -> Vec<(String, &mut PathBuf)> {
        let files = self.http_config.files_mut().into_iter();
        files.map(|(at, file)| (format!("http_config.{at}"), file)).collect()
    }

    /// Everything that keeps these settings from working, each with the path of the setting.
    /// Files are not opened.
    pub fn problems(&self) -> Vec<String> {
        let mut problems: Vec<String> = self.base().err().into_iter().collect();
        if self.timeout.is_zero() {
            problems.push("timeout: 0s, wanted more".to_string());
        }
        if self.max_concurrency == 0 {
            problems.push("max_concurrency: 0, wanted at least 1".to_string());
        }
        for (name, value) in &self.headers {
            if let Err(problem) = header(name, value.expose()) {
                problems.push(format!("headers: {problem}"));
            }
        }
        for name in ["query", "start", "end", "step", "time", "timeout"] {
            if self.params.contains_key(name) {
                problems.push(format!("params.{name}: set by every query, wanted another name"));
            }
        }
        let http = self.http_config.problems();
        problems.extend(http.into_iter().map(|problem| format!("http_config.{problem}")));
        problems
    }

    /// The URL to which `/api/v1/…` is added: no slash at its end.
    pub(super) fn base(&self) -> Result<String, String> {
        let wanted = "wanted http://HOST:PORT or https://HOST:PORT/PREFIX";
        let url = Url::parse(self.url.trim())
            .map_err(|error| format!("url: {:?}: {error}; {wanted}", self.shown()))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(format!("url: {:?}; {wanted}", self.shown()));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(format!(
                "url: {:?}; {wanted}, parameters belong into params",
                self.shown()
            ));
        }
        Ok(url.as_str().trim_end_matches('/').to_string())
    }

    /// The URL without user and password.
    pub(super) fn shown(&self) -> String {
        let url = self.url.trim();
        let Some((scheme, rest)) = url.split_once("://") else {
            // Not a URL; whatever is before an @ may still be a password.
            return url.rsplit('@').next().unwrap_or_default().to_string();
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let host = authority.rsplit('@').next().unwrap_or_default();
        format!("{scheme}://{host}{}", path.trim_end_matches('/'))
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("url", &self.shown())
            .field("http_config", &self.http_config)
            .field("headers", &self.headers)
            .field("params", &self.params)
            .field("timeout", &self.timeout)
            .field("max_concurrency", &self.max_concurrency)
            .field("retries", &self.retries)
            .finish()
    }
}

/// A header to send; its value is never logged.
///
/// # Errors
/// The name or the value is none that HTTP knows; the text does not hold the value.
pub(super) fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let key =
        name.parse::<HeaderName>().map_err(|_| format!("{name:?} is no name of an HTTP header"))?;
    let mut value = HeaderValue::from_str(value)
        .map_err(|_| format!("the value of {name} holds characters that a header cannot have"))?;
    value.set_sensitive(true);
    Ok((key, value))
}

/// A duration as Prometheus writes it: `10s`, `1m30s`, `500ms`.
fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    let ms = parse_duration_ms(&text).map_err(D::Error::custom)?;
    Ok(Duration::from_millis(ms.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_and_problems_hold_no_secret() {
        let config: Config = serde_json::from_value(serde_json::json!({
            "url": "ftp://user:hunter1@host:9090/prefix/",
            "http_config": {
                "basic_auth": {"username": "me", "password": "hunter2"},
                "authorization": {"credentials": "hunter3"},
                "proxy_url": "http://me:hunter4@proxy",
                "tls_config": {"key": "hunter5"},
                "http_headers": {"X-Key": {"secrets": ["hunter6"], "values": ["plain"]}},
                "bearer_token": "hunter7",
            },
            "headers": {"X-Token": "hunter8\n"},
        }))
        .unwrap();
        let shown = format!("{config:?} {:#?}", config.problems());
        assert!(!shown.contains("hunter"), "{shown}");
        assert!(shown.contains("<secret>") && shown.contains("ftp://host:9090/prefix"), "{shown}");
        assert!(config.problems().len() >= 4, "{shown}");
    }

    #[test]
    fn unknown_keys_and_bad_durations_are_errors() {
        for bad in [r#"{"uri":"x"}"#, r#"{"timeout":10}"#, r#"{"http_config":{"basic":{}}}"#] {
            assert!(serde_json::from_str::<Config>(bad).is_err(), "{bad}");
        }
        let error = serde_json::from_str::<Config>(r#"{"timeout":"ten"}"#).unwrap_err();
        assert!(error.to_string().contains("duration \"ten\""), "{error}");
        let config: Config = serde_json::from_str(r#"{"timeout":"1s500ms"}"#).unwrap();
        assert_eq!(config.timeout, Duration::from_millis(1_500));
    }

    #[test]
    fn the_base_has_no_slash_at_its_end() {
        let base = |url: &str| Config::new(url).base();
        assert_eq!(base("http://h:9090/"), Ok("http://h:9090".to_string()));
        assert_eq!(base("https://h/a/b//"), Ok("https://h/a/b".to_string()));
        for bad in ["h:9090", "", "http://", "http://h/?a=b", "http://h/#graph"] {
            assert!(base(bad).unwrap_err().contains("wanted http://HOST:PORT"), "{bad}");
        }
    }
}

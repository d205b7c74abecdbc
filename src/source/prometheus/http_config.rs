//! Prometheus' `http_config`, word for word.
//!
//! Owns: its settings, their checks, and the headers that they add to a request.
//! Does not own: `tls_config`'s meaning (`tls`) and the proxy's (`client`).

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde::Deserializer;
use serde::de::Error as _;
use serde::de::IgnoredAny;

use crate::source::SourceError;
use crate::source::prometheus::config::header;

/// Text that is never printed: `Debug` writes `<secret>`.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps the text.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// How HTTP requests are authenticated, encrypted and routed.
///
/// Every `*_file` is read at every request, since Kubernetes rotates what is in them.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    /// User and password.
    pub basic_auth: Option<BasicAuth>,
    /// Any other `Authorization` header.
    pub authorization: Option<Authorization>,
    /// Short for `authorization.credentials`.
    pub bearer_token: Option<Secret>,
    /// Short for `authorization.credentials_file`.
    pub bearer_token_file: Option<PathBuf>,
    /// Refused: say what to use instead.
    #[serde(deserialize_with = "no_oauth2")]
    pub oauth2: (),
    /// Whom to trust, and who we are.
    pub tls_config: TlsConfig,
    /// The proxy of all requests.
    pub proxy_url: Option<Secret>,
    /// Hosts, networks and domains, comma-separated, that are reached without the proxy.
    pub no_proxy: Option<String>,
    /// Take the proxy from `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`.
    pub proxy_from_environment: bool,
    /// More headers.
    pub http_headers: BTreeMap<String, Header>,
    /// Whether redirects are followed.
    pub follow_redirects: bool,
    /// Whether HTTP/2 may be spoken; only with TLS.
    pub enable_http2: bool,
}

impl Default for HttpConfig {
    fn default() -> HttpConfig {
        HttpConfig {
            basic_auth: None,
            authorization: None,
            bearer_token: None,
            bearer_token_file: None,
            oauth2: (),
            tls_config: TlsConfig::default(),
            proxy_url: None,
            no_proxy: None,
            proxy_from_environment: false,
            http_headers: BTreeMap::new(),
            follow_redirects: true,
            enable_http2: true,
        }
    }
}

/// User and password, each from the configuration or from a file.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BasicAuth {
    /// The user.
    pub username: Option<String>,
    /// A file with the user.
    pub username_file: Option<PathBuf>,
    /// The password.
    pub password: Option<Secret>,
    /// A file with the password.
    pub password_file: Option<PathBuf>,
}

/// An `Authorization` header of any kind but `Basic`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Authorization {
    /// The scheme; `Bearer` if it is not given.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The credentials.
    pub credentials: Option<Secret>,
    /// A file with the credentials.
    pub credentials_file: Option<PathBuf>,
}

/// Whom to trust, and who we are. Certificates are verified unless `insecure_skip_verify` says so.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// PEM of the only authorities to trust; the system's if neither this nor `ca_file` is given.
    pub ca: Option<String>,
    /// A file with the same.
    pub ca_file: Option<PathBuf>,
    /// PEM of our certificate and the chain that signed it.
    pub cert: Option<String>,
    /// A file with the same.
    pub cert_file: Option<PathBuf>,
    /// PEM of our certificate's key.
    pub key: Option<Secret>,
    /// A file with the same.
    pub key_file: Option<PathBuf>,
    /// The name that the server's certificate must have, if it is not the URL's host.
    pub server_name: Option<String>,
    /// Trust whoever answers.
    pub insecure_skip_verify: bool,
    /// `TLS12` (also `TLS10` and `TLS11`, older versions are never spoken) or `TLS13`.
    pub min_version: Option<String>,
}

/// The values of one header.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Header {
    /// Values that may be seen.
    pub values: Vec<String>,
    /// Values that may not.
    pub secrets: Vec<Secret>,
    /// Files with values that may not.
    pub files: Vec<PathBuf>,
}

impl HttpConfig {
    /// Everything in it that contradicts itself, each with the path of the setting. Files are not
    /// opened.
    pub fn problems(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut check = |wrong: bool, problem: &str| {
            if wrong {
                found.push(problem.to_string());
            }
        };
        let (basic, auth) = (self.basic_auth.as_ref(), self.authorization.as_ref());
        let bearer = [self.bearer_token.is_some(), self.bearer_token_file.is_some()];
        let ways = [basic.is_some(), auth.is_some(), bearer[0], bearer[1]];
        check(
            ways.iter().filter(|way| **way).count() > 1,
            "basic_auth, authorization, bearer_token, bearer_token_file: wanted at most one",
        );
        if let Some(basic) = basic {
            check(
                basic.username.is_some() == basic.username_file.is_some(),
                "basic_auth: wanted one of username and username_file",
            );
            check(
                basic.password.is_some() && basic.password_file.is_some(),
                "basic_auth: wanted at most one of password and password_file",
            );
        }
        if let Some(auth) = auth {
            check(
                auth.credentials.is_some() == auth.credentials_file.is_some(),
                "authorization: wanted one of credentials and credentials_file",
            );
            check(
                auth.kind.as_deref().is_some_and(|kind| kind.eq_ignore_ascii_case("basic")),
                "authorization.type: Basic, wanted the basic_auth block for that",
            );
        }
        check(
            self.proxy_url.is_some() && self.proxy_from_environment,
            "proxy_url: wanted at most one of it and proxy_from_environment",
        );
        found.extend(self.tls_config.problems());
        found.extend(self.header_problems());
        found
    }

    fn header_problems(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (name, given) in &self.http_headers {
            if name.eq_ignore_ascii_case("authorization") || name.eq_ignore_ascii_case("host") {
                found.push(format!("http_headers: {name} is set by other settings"));
            }
            let values = given.values.iter().map(String::as_str);
            for value in values.chain(given.secrets.iter().map(Secret::expose)) {
                found.extend(header(name, value).err().map(|e| format!("http_headers: {e}")));
            }
        }
        found
    }

    /// Whether [`HttpConfig::headers`] opens files.
    pub(super) fn reads_files(&self) -> bool {
        let basic = self.basic_auth.as_ref();
        basic.is_some_and(|b| b.username_file.is_some() || b.password_file.is_some())
            || self.authorization.as_ref().is_some_and(|a| a.credentials_file.is_some())
            || self.bearer_token_file.is_some()
            || self.http_headers.values().any(|header| !header.files.is_empty())
            || self.tls_config.reads_files()
    }

    /// Every file that the settings name, with the path of the setting.
    pub(super) fn files_mut(&mut self) -> Vec<(String, &mut PathBuf)> {
        let tls = &mut self.tls_config;
        let mut files = vec![
            ("bearer_token_file", self.bearer_token_file.as_mut()),
            ("tls_config.ca_file", tls.ca_file.as_mut()),
            ("tls_config.cert_file", tls.cert_file.as_mut()),
            ("tls_config.key_file", tls.key_file.as_mut()),
        ];
        if let Some(basic) = &mut self.basic_auth {
            files.push(("basic_auth.username_file", basic.username_file.as_mut()));
            files.push(("basic_auth.password_file", basic.password_file.as_mut()));
        }
        if let Some(auth) = &mut self.authorization {
            files.push(("authorization.credentials_file", auth.credentials_file.as_mut()));
        }
        let named = files.into_iter().filter_map(|(at, file)| Some((at.to_string(), file?)));
        let mut files: Vec<(String, &mut PathBuf)> = named.collect();
        for (name, header) in &mut self.http_headers {
            let of_header = header.files.iter_mut().enumerate();
            files.extend(of_header.map(|(i, f)| (format!("http_headers.{name}.files[{i}]"), f)));
        }
        files
    }

    /// The headers of one request, with every file read now.
    ///
    /// # Errors
    /// A file cannot be read, or holds what no header can.
    pub(super) fn headers(&self) -> Result<HeaderMap, SourceError> {
        let mut headers = HeaderMap::new();
        let mut add = |name: &str, value: &str| {
            let (name, value) = header(name, value).map_err(SourceError::Config)?;
            headers.append(name, value);
            Ok::<(), SourceError>(())
        };
        if let Some(value) = self.authorization_value()? {
            add("authorization", &value)?;
        }
        for (name, header) in &self.http_headers {
            for value in &header.values {
                add(name, value)?;
            }
            for value in &header.secrets {
                add(name, value.expose())?;
            }
            for file in &header.files {
                add(name, &read_secret("http_headers", file)?)?;
            }
        }
        Ok(headers)
    }

    fn authorization_value(&self) -> Result<Option<String>, SourceError> {
        if let Some(basic) = &self.basic_auth {
            let user = basic.username.clone();
            let user = either(user, "basic_auth.username_file", basic.username_file.as_ref())?;
            let password = basic.password.as_ref().map(|secret| secret.0.clone());
            let password =
                either(password, "basic_auth.password_file", basic.password_file.as_ref())?;
            let both = format!("{}:{}", user.unwrap_or_default(), password.unwrap_or_default());
            return Ok(Some(format!("Basic {}", STANDARD.encode(both))));
        }
        let (kind, inline, path, file) = match &self.authorization {
            Some(auth) => (
                auth.kind.as_deref(),
                &auth.credentials,
                "authorization.credentials_file",
                &auth.credentials_file,
            ),
            None => (None, &self.bearer_token, "bearer_token_file", &self.bearer_token_file),
        };
        let token = either(inline.as_ref().map(|secret| secret.0.clone()), path, file.as_ref())?;
        Ok(token.map(|token| format!("{} {token}", kind.unwrap_or("Bearer").trim())))
    }
}

impl TlsConfig {
    fn problems(&self) -> Vec<String> {
        let cert = [self.cert.is_some(), self.cert_file.is_some()];
        let key = [self.key.is_some(), self.key_file.is_some()];
        let both = |pair: [bool; 2]| pair[0] && pair[1];
        let any = |pair: [bool; 2]| pair[0] || pair[1];
        let checks = [
            (self.ca.is_some() && self.ca_file.is_some(), "wanted at most one of ca and ca_file"),
            (both(cert), "wanted at most one of cert and cert_file"),
            (both(key), "wanted at most one of key and key_file"),
            (any(cert) != any(key), "wanted a key for the certificate, or neither"),
        ];
        let wrong = checks.into_iter().filter(|(wrong, _)| *wrong);
        let mut found: Vec<String> =
            wrong.map(|(_, problem)| format!("tls_config: {problem}")).collect();
        if let Some(version) = self.min_version.as_deref()
            && !matches!(version, "TLS10" | "TLS11" | "TLS12" | "TLS13")
        {
            found.push(format!(
                "tls_config.min_version: {version:?}, wanted TLS10, TLS11, TLS12 or TLS13"
            ));
        }
        found
    }

    fn reads_files(&self) -> bool {
        self.ca_file.is_some() || self.cert_file.is_some() || self.key_file.is_some()
    }
}

/// The text itself, or that of the file.
fn either(
    inline: Option<String>,
    setting: &str,
    file: Option<&PathBuf>,
) -> Result<Option<String>, SourceError> {
    match (inline, file) {
        (Some(text), _) => Ok(Some(text)),
        (None, Some(file)) => read_secret(setting, file).map(Some),
        (None, None) => Ok(None),
    }
}

/// The text of a file, without white space around it.
fn read_secret(setting: &str, file: &PathBuf) -> Result<String, SourceError> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        SourceError::Config(format!("http_config.{setting}: {}: {error}", file.display()))
    })?;
    Ok(text.trim().to_string())
}

fn no_oauth2<'de, D: Deserializer<'de>>(from: D) -> Result<(), D::Error> {
    IgnoredAny::deserialize(from)?;
    Err(D::Error::custom(
        "oauth2 is not supported; wanted authorization.credentials_file with a token that \
         something else renews, or a proxy that signs in",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(json: serde_json::Value) -> HttpConfig {
        serde_json::from_value(json).unwrap()
    }

    fn sent(config: &HttpConfig, name: &str) -> Vec<String> {
        let headers = config.headers().unwrap();
        headers.get_all(name).iter().map(|v| v.to_str().unwrap().to_string()).collect()
    }

    #[test]
    fn every_way_to_sign_in() {
        let basic = serde_json::json!({"basic_auth": {"username": "Aladdin",
            "password": "open sesame"}}); // RFC 7617's own example
        assert_eq!(sent(&config(basic), "authorization"), ["Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="]);
        let token = serde_json::json!({"bearer_token": "t"});
        assert_eq!(sent(&config(token), "authorization"), ["Bearer t"]);
        let kind = serde_json::json!({"authorization": {"type": "ApiKey", "credentials": "t"}});
        assert_eq!(sent(&config(kind), "authorization"), ["ApiKey t"]);
    }

    #[test]
    fn files_are_read_again_and_trimmed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        let both = config(serde_json::json!({"authorization": {"credentials_file": file},
            "http_headers": {"X-Key": {"values": ["a"], "secrets": ["b"], "files": [file]}}}));
        assert!(both.reads_files());
        for token in ["one", "two"] {
            std::fs::write(&file, format!("{token}\n")).unwrap();
            assert_eq!(sent(&both, "authorization"), [format!("Bearer {token}")]);
            assert_eq!(sent(&both, "x-key"), ["a", "b", token]);
        }
        std::fs::remove_file(&file).unwrap();
        let error = both.headers().unwrap_err();
        assert_eq!(error.reason(), "config");
        assert!(error.to_string().contains("credentials_file: "), "{error}");
    }

    #[test]
    fn oauth2_says_what_to_use() {
        let error = serde_json::from_str::<HttpConfig>(r#"{"oauth2":{"client_id":"x"}}"#);
        assert!(error.unwrap_err().to_string().contains("credentials_file"));
    }

    #[test]
    fn contradictions_have_their_path() {
        let all = config(serde_json::json!({
            "basic_auth": {"password": "a", "password_file": "b"},
            "authorization": {"type": "basic"},
            "tls_config": {"ca": "a", "ca_file": "b", "cert": "c", "min_version": "SSL3"},
            "http_headers": {"Authorization": {"values": ["x"]}, "Bad Name": {"values": ["x"]}},
            "proxy_url": "http://p", "proxy_from_environment": true,
        }));
        let problems = all.problems().join("\n");
        expect_test::expect![[r#"
            basic_auth, authorization, bearer_token, bearer_token_file: wanted at most one
            basic_auth: wanted one of username and username_file
            basic_auth: wanted at most one of password and password_file
            authorization: wanted one of credentials and credentials_file
            authorization.type: Basic, wanted the basic_auth block for that
            proxy_url: wanted at most one of it and proxy_from_environment
            tls_config: wanted at most one of ca and ca_file
            tls_config: wanted a key for the certificate, or neither
            tls_config.min_version: "SSL3", wanted TLS10, TLS11, TLS12 or TLS13
            http_headers: Authorization is set by other settings
            http_headers: "Bad Name" is no name of an HTTP header"#]]
        .assert_eq(&problems);
        assert_eq!(HttpConfig::default().problems(), Vec::<String>::new());
    }
}

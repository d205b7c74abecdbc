//! The file of `--web.config.file`, in the format that all Prometheus exporters share.
//!
//! Owns: the keys and what is wrong with their values. Does not own: reading the file (`live`, and
//! the loader given to it) or acting on it (`tls`, `auth`, `routes`).

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;
use std::str::FromStr;

use bcrypt::HashParts;
use hyper::header::HeaderName;
use hyper::header::HeaderValue;
use serde::Deserialize;
use serde::Deserializer;

/// The whole file. An empty one means: plain HTTP, for everybody.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebConfig {
    /// TLS; plain HTTP without.
    pub tls_server_config: Option<TlsServerConfig>,
    /// HTTP/2 and headers.
    #[serde(deserialize_with = "or_default")]
    pub http_server_config: HttpServerConfig,
    /// User → bcrypt hash (`$2y$`, `$2a$`, `$2b$`). Empty: nobody has to sign in.
    #[serde(deserialize_with = "or_default")]
    pub basic_auth_users: BTreeMap<String, String>,
}

/// How TLS is spoken. Relative paths start at the folder of the file itself.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsServerConfig {
    /// Certificate chain, PEM.
    pub cert_file: Option<PathBuf>,
    /// The same, in place.
    pub cert: Option<String>,
    /// Private key, PEM.
    pub key_file: Option<PathBuf>,
    /// The same, in place.
    pub key: Option<String>,
    /// Whether clients need a certificate: `NoClientCert`, `VerifyClientCertIfGiven` or
    /// `RequireAndVerifyClientCert`.
    pub client_auth_type: Option<String>,
    /// Who signs the clients' certificates, PEM.
    pub client_ca_file: Option<PathBuf>,
    /// The same, in place.
    pub client_ca: Option<String>,
    /// Names of which a client's certificate must carry one; not supported.
    pub client_allowed_sans: Vec<String>,
    /// `TLS12` (if absent) or `TLS13`.
    pub min_version: Option<String>,
    /// `TLS12` or `TLS13` (if absent).
    pub max_version: Option<String>,
    /// Suites of TLS 1.2, named as in Go; those of 1.3 are always on. Empty: all safe ones.
    pub cipher_suites: Vec<String>,
    /// Accepted and without effect, as in Go.
    pub prefer_server_cipher_suites: Option<bool>,
    /// `X25519`, `CurveP256`, `CurveP384`, best first. Empty: all.
    pub curve_preferences: Vec<String>,
}

/// How HTTP is spoken.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpServerConfig {
    /// Whether HTTP/2 is spoken beside HTTP/1.1.
    pub http2: bool,
    /// Added to each response.
    #[serde(deserialize_with = "or_default")]
    pub headers: Headers,
}

impl Default for HttpServerConfig {
    fn default() -> HttpServerConfig {
        HttpServerConfig { http2: true, headers: Headers::default() }
    }
}

/// The headers that can be set; an empty value is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "each is the header of its name")]
pub struct Headers {
    #[serde(rename = "Content-Security-Policy")]
    pub content_security_policy: String,
    #[serde(rename = "X-Frame-Options")]
    pub x_frame_options: String,
    #[serde(rename = "X-Content-Type-Options")]
    pub x_content_type_options: String,
    #[serde(rename = "X-XSS-Protection")]
    pub x_xss_protection: String,
    #[serde(rename = "Strict-Transport-Security")]
    pub strict_transport_security: String,
}

/// `key:` with nothing after it is an empty map in the Go programs that share this file.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    d: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(d)?.unwrap_or_default())
}

impl WebConfig {
    /// Everything that is wrong without looking at other files, each with its place.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = self.http_server_config.headers.problems();
        for (user, hash) in &self.basic_auth_users {
            if HashParts::from_str(hash).is_err() {
                problems.push(format!(
                    "basic_auth_users.{user}: not a bcrypt hash; wanted one as `htpasswd -nBC 10 \"\"` prints"
                ));
            }
            if user.contains(':') {
                problems.push(format!("basic_auth_users.{user}: a user name cannot hold a colon"));
            }
        }
        problems
    }

    /// The same with relative paths made to start at `folder`.
    pub(super) fn in_folder(mut self, folder: &Path) -> WebConfig {
        if let Some(tls) = &mut self.tls_server_config {
            for path in [&mut tls.cert_file, &mut tls.key_file, &mut tls.client_ca_file] {
                *path = path.take().map(|path| folder.join(path));
            }
        }
        self
    }

    /// The files that it names.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let Some(tls) = &self.tls_server_config else { return Vec::new() };
        [&tls.cert_file, &tls.key_file, &tls.client_ca_file]
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }
}

impl Headers {
    /// Those that are set.
    pub(super) fn set(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let set = self.all().into_iter().filter(|(_, value)| !value.is_empty());
        set.filter_map(|(name, value)| Some((HeaderName::from_static(name), value.parse().ok()?)))
    }

    fn all(&self) -> [(&'static str, &str); 5] {
        [
            ("content-security-policy", &self.content_security_policy),
            ("x-frame-options", &self.x_frame_options),
            ("x-content-type-options", &self.x_content_type_options),
            ("x-xss-protection", &self.x_xss_protection),
            ("strict-transport-security", &self.strict_transport_security),
        ]
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut problem = |name: &str, value: &str, wanted: &str| {
            problems.push(format!("http_server_config.headers.{name}: {value:?}; wanted {wanted}"));
        };
        for (name, value) in self.all() {
            if HeaderValue::from_str(value).is_err() {
                problem(name, value, "one line of text");
            }
        }
        if !matches!(self.x_frame_options.to_lowercase().as_str(), "" | "deny" | "sameorigin") {
            problem("X-Frame-Options", &self.x_frame_options, "deny or sameorigin");
        }
        if !matches!(self.x_content_type_options.to_lowercase().as_str(), "" | "nosniff") {
            problem("X-Content-Type-Options", &self.x_content_type_options, "nosniff");
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> Result<WebConfig, String> {
        serde_yaml::from_str(yaml).map_err(|error| error.to_string())
    }

    #[test]
    fn a_whole_file() {
        let config = read(
            "tls_server_config: {cert_file: a.crt, key_file: /k/a.key}
http_server_config: {http2: false, headers: {X-Frame-Options: deny}}
basic_auth_users:
  alice: $2y$10$mDwo.lAisC94iLAyP81MCesa29IzH37oigHC/42V2pdJlUprsJPze
  bob: $2a$04$mDwo.lAisC94iLAyP81MCesa29IzH37oigHC/42V2pdJlUprsJPze
  carol: $2b$04$mDwo.lAisC94iLAyP81MCesa29IzH37oigHC/42V2pdJlUprsJPze",
        );
        let config = config.unwrap().in_folder(Path::new("/etc/web"));
        assert_eq!(config.problems(), Vec::<String>::new());
        assert_eq!(config.files(), [Path::new("/etc/web/a.crt"), Path::new("/k/a.key")]);
        assert_eq!(config.http_server_config.headers.set().count(), 1);
    }

    #[test]
    fn empty_keys_are_defaults() {
        assert!(read("basic_auth_users:").unwrap() == WebConfig::default());
        assert!(read("http_server_config:").unwrap() == WebConfig::default());
        assert!(read("{http_server_config: {headers: }}").unwrap().http_server_config.http2);
    }

    #[test]
    fn every_problem_has_its_place() {
        let config = read(
            "http_server_config: {headers: {X-Frame-Options: allow, X-Content-Type-Options: sniff}}
basic_auth_users: {alice: secret, 'b:c': $2y$10$mDwo.lAisC94iLAyP81MCesa29IzH37oigHC/42V2pdJlUprsJPze}",
        );
        expect_test::expect![[r#"
            http_server_config.headers.X-Frame-Options: "allow"; wanted deny or sameorigin
            http_server_config.headers.X-Content-Type-Options: "sniff"; wanted nosniff
            basic_auth_users.alice: not a bcrypt hash; wanted one as `htpasswd -nBC 10 ""` prints
            basic_auth_users.b:c: a user name cannot hold a colon"#]]
        .assert_eq(&config.unwrap().problems().join("\n"));
    }

    #[test]
    fn unknown_keys_are_errors() {
        for yaml in [
            "tls: {}",
            "tls_server_config: {certfile: x}",
            "http_server_config: {headers: {Server: x}}",
        ] {
            let error = read(yaml).err().unwrap();
            assert!(error.contains("unknown field"), "{error}");
        }
    }
}

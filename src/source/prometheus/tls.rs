//! Whom we trust and who we are: rustls' settings from Prometheus' `tls_config`.
//!
//! Owns: PEM files, the system's authorities, verification.
//! Does not own: the settings' words (`http_config`), connections (`client`).

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use tokio_rustls::rustls::CertificateError;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::DigitallySignedStruct;
use tokio_rustls::rustls::Error;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::SignatureScheme;
use tokio_rustls::rustls::SupportedProtocolVersion;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::HandshakeSignatureValid;
use tokio_rustls::rustls::client::danger::ServerCertVerified;
use tokio_rustls::rustls::client::danger::ServerCertVerifier;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::crypto::verify_tls12_signature;
use tokio_rustls::rustls::crypto::verify_tls13_signature;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::pki_types::UnixTime;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::version::TLS12;
use tokio_rustls::rustls::version::TLS13;

use crate::source::SourceError;
use crate::source::prometheus::http_config::TlsConfig;

/// Where Linux distributions keep the authorities that they trust.
const BUNDLES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/ssl/cert.pem",
];

/// PEM texts as they are now; a change means that a new client is needed.
#[derive(PartialEq, Clone, Default)]
pub(super) struct Material {
    ca: Option<Vec<u8>>,
    cert: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
}

impl Material {
    /// Reads what the settings name.
    pub(super) fn read(config: &TlsConfig) -> Result<Material, SourceError> {
        let key = config.key.as_ref().map(|key| key.expose());
        Ok(Material {
            ca: pem(config.ca.as_deref(), "ca_file", config.ca_file.as_deref())?,
            cert: pem(config.cert.as_deref(), "cert_file", config.cert_file.as_deref())?,
            key: pem(key, "key_file", config.key_file.as_deref())?,
        })
    }
}

fn pem(
    inline: Option<&str>,
    setting: &str,
    file: Option<&Path>,
) -> Result<Option<Vec<u8>>, SourceError> {
    match (inline, file) {
        (Some(text), _) => Ok(Some(text.as_bytes().to_vec())),
        (None, Some(file)) => std::fs::read(file)
            .map(Some)
            .map_err(|error| problem(setting, &format!("{}: {error}", file.display()))),
        (None, None) => Ok(None),
    }
}

fn problem(setting: &str, what: &str) -> SourceError {
    SourceError::Config(format!("http_config.tls_config.{setting}: {what}"))
}

/// rustls' settings, with ring's cryptography.
///
/// With no authority at all, as in an empty container image, every TLS server is refused; plain
/// HTTP still works.
///
/// # Errors
/// The material is no PEM, or the key is not the certificate's.
pub(super) fn client_config(
    config: &TlsConfig,
    material: &Material,
    http2: bool,
) -> Result<ClientConfig, SourceError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&versions(config.min_version.as_deref()))
        .map_err(|error| problem("min_version", &error.to_string()))?;
    let builder = match (config.insecure_skip_verify, &config.server_name) {
        (true, _) => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Verifier { provider, inner: None })),
        (false, None) => builder.with_root_certificates(roots(material)?),
        (false, Some(name)) => {
            let inner = named(name, roots(material)?, &provider)?;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Verifier {
                provider,
                inner: Some(inner),
            }))
        }
    };
    let mut tls = match (&material.cert, &material.key) {
        (Some(cert), Some(key)) => {
            let key = PrivateKeyDer::from_pem_slice(key)
                .map_err(|error| problem("key", &format!("{error}; wanted a PEM key")))?;
            builder
                .with_client_auth_cert(certificates("cert", cert)?, key)
                .map_err(|error| problem("cert", &error.to_string()))?
        }
        _ => builder.with_no_client_auth(),
    };
    tls.alpn_protocols = if http2 { vec![b"h2".to_vec()] } else { Vec::new() };
    tls.alpn_protocols.push(b"http/1.1".to_vec());
    Ok(tls)
}

fn versions(min: Option<&str>) -> Vec<&'static SupportedProtocolVersion> {
    if min == Some("TLS13") { vec![&TLS13] } else { vec![&TLS13, &TLS12] }
}

/// Authorities of the settings, else the system's.
fn roots(material: &Material) -> Result<RootCertStore, SourceError> {
    let mut store = RootCertStore::empty();
    if let Some(ca) = &material.ca {
        for certificate in certificates("ca", ca)? {
            store.add(certificate).map_err(|error| problem("ca", &error.to_string()))?;
        }
        return Ok(store);
    }
    store.add_parsable_certificates(system_roots());
    Ok(store)
}

/// What the system trusts: OpenSSL's environment variables, else the first bundle that there is.
pub(super) fn system_roots() -> Vec<CertificateDer<'static>> {
    let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let folder = std::env::var_os("SSL_CERT_DIR").map(PathBuf::from);
    let files: Vec<PathBuf> = match (named, folder) {
        (Some(file), _) => vec![file],
        (None, Some(folder)) => entries(&folder),
        (None, None) => BUNDLES.iter().map(PathBuf::from).collect(),
    };
    let mut found = Vec::new();
    for file in files {
        let read = std::fs::read(&file).unwrap_or_default();
        // A bundle may hold certificates that rustls cannot read; the others still count.
        found.extend(CertificateDer::pem_slice_iter(&read).filter_map(Result::ok));
        if !found.is_empty() && BUNDLES.iter().any(|bundle| file == Path::new(bundle)) {
            break;
        }
    }
    found
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries.filter_map(Result::ok).map(|entry| entry.path()).collect()
}

fn certificates(setting: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, SourceError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) => Err(problem(setting, "no certificate in it, wanted PEM")),
        Err(error) => Err(problem(setting, &format!("{error}, wanted PEM certificates"))),
    }
}

fn named(
    name: &str,
    roots: RootCertStore,
    provider: &Arc<CryptoProvider>,
) -> Result<(ServerName<'static>, Arc<WebPkiServerVerifier>), SourceError> {
    let name = ServerName::try_from(name.to_string())
        .map_err(|_| problem("server_name", &format!("{name:?} is no host name")))?;
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(|error| problem("server_name", &error.to_string()))?;
    Ok((name, verifier))
}

/// Verifies against a name of our own choice, or (`inner: None`) not at all. A handshake's
/// signatures are verified in both cases.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    inner: Option<(ServerName<'static>, Arc<WebPkiServerVerifier>)>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _of_the_url: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.inner {
            None => Ok(ServerCertVerified::assertion()),
            Some((name, inner)) => {
                inner.verify_server_cert(end_entity, intermediates, name, ocsp, now)
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// What to do about a failed handshake, where rustls' own text does not say.
pub(super) fn advice(error: &Error, config: &TlsConfig) -> &'static str {
    let custom = config.ca.is_some() || config.ca_file.is_some();
    match error {
        // An authority of the right name and the wrong key shows as a bad signature.
        Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        ) => {
            if custom {
                "; wanted a certificate signed by tls_config.ca_file"
            } else if system_roots().is_empty() {
                "; this system has no CA certificates: set tls_config.ca_file"
            } else {
                "; wanted a certificate signed by a CA of this system: see tls_config.ca_file"
            }
        }
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "; see tls_config.server_name",
        Error::AlertReceived(_) => "; the server may want a certificate: see tls_config.cert_file",
        Error::InvalidMessage(_) => "; the server may speak plain http",
        _ => "",
    }
}

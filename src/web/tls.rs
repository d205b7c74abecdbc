//! From `tls_server_config` to what rustls needs.
//!
//! Owns: names of versions, suites and curves as Go writes them; certificates and keys as PEM.
//! Does not own: when they are read (`live`).

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::SupportedCipherSuite;
use tokio_rustls::rustls::SupportedProtocolVersion;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::crypto::SupportedKxGroup;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::version;

use crate::web::config::TlsServerConfig;

/// Reads the files that `config` names and builds what a handshake needs, or says what is wrong.
pub(super) fn server_config(config: &TlsServerConfig, http2: bool) -> Result<ServerConfig, String> {
    let provider = Arc::new(provider(config)?);
    let verifier = client_verifier(config, &provider)?;
    let chain = certificates(&pem("cert", config.cert_file.as_ref(), config.cert.as_ref())?)
        .map_err(|problem| format!("tls_server_config.cert_file: {problem}"))?;
    let key = pem("key", config.key_file.as_ref(), config.key.as_ref())?;
    let key = PrivateKeyDer::from_pem_slice(&key)
        .map_err(|error| format!("tls_server_config.key_file: no private key in PEM: {error}"))?;
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions(config)?)
        .map_err(|error| format!("tls_server_config: {error}"))?;
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut server = builder
        .with_single_cert(chain, key)
        .map_err(|error| format!("tls_server_config: certificate and key do not fit: {error}"))?;
    if http2 {
        server.alpn_protocols.push(b"h2".to_vec());
    }
    server.alpn_protocols.push(b"http/1.1".to_vec());
    Ok(server)
}

/// The bytes of a PEM that is given as a file or in place.
fn pem(key: &str, file: Option<&PathBuf>, inline: Option<&String>) -> Result<Vec<u8>, String> {
    match (file, inline) {
        (Some(path), None) => fs::read(path)
            .map_err(|error| format!("tls_server_config.{key}_file: {}: {error}", path.display())),
        (None, Some(text)) => Ok(text.clone().into_bytes()),
        (None, None) => Err(format!("tls_server_config.{key}_file: missing")),
        (Some(_), Some(_)) => {
            Err(format!("tls_server_config: both {key}_file and {key}; wanted one"))
        }
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match all {
        Ok(all) if all.is_empty() => Err("no certificate in PEM".into()),
        Ok(all) => Ok(all),
        Err(error) => Err(format!("not a certificate in PEM: {error}")),
    }
}

/// Who looks at the clients' certificates; `None`: nobody asks for one.
fn client_verifier(
    config: &TlsServerConfig,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, String> {
    let key = "tls_server_config.client_auth_type";
    if !config.client_allowed_sans.is_empty() {
        return Err("tls_server_config.client_allowed_sans: not supported".into());
    }
    let has_ca = config.client_ca_file.is_some() || config.client_ca.is_some();
    let optional = match config.client_auth_type.as_deref().unwrap_or_default() {
        "" | "NoClientCert" if has_ca => {
            return Err(format!(
                "{key}: missing, but there is a client_ca; wanted RequireAndVerifyClientCert"
            ));
        }
        "" | "NoClientCert" => return Ok(None),
        "VerifyClientCertIfGiven" => true,
        "RequireAndVerifyClientCert" => false,
        weak @ ("RequestClientCert" | "RequireAnyClientCert") => {
            return Err(format!(
                "{key}: {weak} asks for a certificate and never checks it, which is not supported; \
                 wanted RequireAndVerifyClientCert"
            ));
        }
        other => {
            return Err(format!(
                "{key}: {other:?}; wanted NoClientCert, VerifyClientCertIfGiven or RequireAndVerifyClientCert"
            ));
        }
    };
    let pem = pem("client_ca", config.client_ca_file.as_ref(), config.client_ca.as_ref())?;
    let wrong = |problem: String| format!("tls_server_config.client_ca_file: {problem}");
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&pem).map_err(wrong)? {
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    let builder =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let builder = if optional { builder.allow_unauthenticated() } else { builder };
    builder.build().map(Some).map_err(|error| wrong(error.to_string()))
}

/// ring, with the suites and curves that are asked for.
fn provider(config: &TlsServerConfig) -> Result<CryptoProvider, String> {
    let mut provider = ring::default_provider();
    if !config.cipher_suites.is_empty() {
        let named = |name: &String| suite(&provider, name);
        let mut suites = config.cipher_suites.iter().map(named).collect::<Result<Vec<_>, _>>()?;
        let in_1_3 = |suite: &&SupportedCipherSuite| suite.tls13().is_some();
        suites.extend(provider.cipher_suites.iter().filter(in_1_3));
        provider.cipher_suites = suites;
    }
    if !config.curve_preferences.is_empty() {
        provider.kx_groups =
            config.curve_preferences.iter().map(curve).collect::<Result<_, _>>()?;
    }
    Ok(provider)
}

fn suite(provider: &CryptoProvider, name: &String) -> Result<SupportedCipherSuite, String> {
    let name_of = |suite: &SupportedCipherSuite| format!("{:?}", suite.suite());
    let known: Vec<_> = provider.cipher_suites.iter().filter(|s| s.tls13().is_none()).collect();
    let found = known.iter().find(|suite| name_of(suite) == *name).map(|suite| **suite);
    found.ok_or_else(|| {
        let names: Vec<String> = known.iter().map(|suite| name_of(suite)).collect();
        format!(
            "tls_server_config.cipher_suites: {name:?} is not supported; wanted {}",
            names.join(", ")
        )
    })
}

fn curve(name: &String) -> Result<&'static dyn SupportedKxGroup, String> {
    match name.as_str() {
        "X25519" => Ok(ring::kx_group::X25519),
        "CurveP256" => Ok(ring::kx_group::SECP256R1),
        "CurveP384" => Ok(ring::kx_group::SECP384R1),
        _ => Err(format!(
            "tls_server_config.curve_preferences: {name:?} is not supported; wanted X25519, CurveP256 or CurveP384"
        )),
    }
}

/// All versions from the lowest to the highest that is asked for.
fn versions(config: &TlsServerConfig) -> Result<Vec<&'static SupportedProtocolVersion>, String> {
    let number = |key: &str, name: Option<&String>, absent: u8| match name.map(String::as_str) {
        None | Some("") => Ok(absent),
        Some("TLS12") => Ok(2),
        Some("TLS13") => Ok(3),
        Some(name) => Err(format!(
            "tls_server_config.{key}: {name:?} is not supported; wanted TLS12 or TLS13"
        )),
    };
    let min = number("min_version", config.min_version.as_ref(), 2)?;
    let max = number("max_version", config.max_version.as_ref(), 3)?;
    if min > max {
        return Err("tls_server_config: min_version is above max_version".into());
    }
    let all = [(2, &version::TLS12), (3, &version::TLS13)];
    Ok(all.into_iter().filter(|(n, _)| (min..=max).contains(n)).map(|(_, v)| v).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wrong with a good certificate and key and `yaml` beside them.
    fn problem(yaml: &str) -> Option<String> {
        let own = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        let mut config: TlsServerConfig = serde_yaml::from_str(yaml).unwrap();
        config.cert = config.cert.or_else(|| Some(own.cert.pem()));
        config.key = config.key.or_else(|| Some(own.signing_key.serialize_pem()));
        config.client_ca = config.client_ca.map(|ca| if ca == "own" { own.cert.pem() } else { ca });
        server_config(&config, true).err()
    }

    #[test]
    fn what_is_supported() {
        for good in [
            "{}",
            "{min_version: TLS13}",
            "{max_version: TLS12, prefer_server_cipher_suites: true}",
            "{client_auth_type: RequireAndVerifyClientCert, client_ca: own}",
            "{client_auth_type: VerifyClientCertIfGiven, client_ca: own}",
            "{client_auth_type: NoClientCert}",
            "{cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256], curve_preferences: [CurveP256]}",
        ] {
            assert_eq!(problem(good), None, "{good}");
        }
    }

    #[test]
    fn what_is_not_says_why() {
        let bad = [
            "{cert: x}",
            "{key: x}",
            "{cert_file: x}",
            "{min_version: TLS10}",
            "{min_version: TLS13, max_version: TLS12}",
            "{client_auth_type: RequireAnyClientCert}",
            "{client_auth_type: Yes please}",
            "{client_auth_type: RequireAndVerifyClientCert}",
            "{client_auth_type: RequireAndVerifyClientCert, client_ca: x}",
            "{client_ca: own}",
            "{client_allowed_sans: [x]}",
            "{cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]}",
            "{curve_preferences: [CurveP521]}",
        ];
        let problems: Vec<String> = bad.iter().map(|yaml| problem(yaml).unwrap()).collect();
        expect_test::expect![[r#"
            tls_server_config.cert_file: no certificate in PEM
            tls_server_config.key_file: no private key in PEM: no items found
            tls_server_config: both cert_file and cert; wanted one
            tls_server_config.min_version: "TLS10" is not supported; wanted TLS12 or TLS13
            tls_server_config: min_version is above max_version
            tls_server_config.client_auth_type: RequireAnyClientCert asks for a certificate and never checks it, which is not supported; wanted RequireAndVerifyClientCert
            tls_server_config.client_auth_type: "Yes please"; wanted NoClientCert, VerifyClientCertIfGiven or RequireAndVerifyClientCert
            tls_server_config.client_ca_file: missing
            tls_server_config.client_ca_file: no certificate in PEM
            tls_server_config.client_auth_type: missing, but there is a client_ca; wanted RequireAndVerifyClientCert
            tls_server_config.client_allowed_sans: not supported
            tls_server_config.cipher_suites: "TLS_RSA_WITH_RC4_128_SHA" is not supported; wanted TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
            tls_server_config.curve_preferences: "CurveP521" is not supported; wanted X25519, CurveP256 or CurveP384"#]].assert_eq(&problems.join("\n"));
    }
}

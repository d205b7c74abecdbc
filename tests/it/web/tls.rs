//! TLS of the web server: certificates of both sides.

use std::path::PathBuf;

use rcgen::BasicConstraints;
use rcgen::CertificateParams;
use rcgen::IsCa;
use rcgen::Issuer;
use rcgen::KeyPair;
use reqwest::ClientBuilder;
use reqwest::Identity;
use reqwest::StatusCode;
use reqwest::Version;
use reqwest::tls::Certificate;

use crate::web::Server;
use crate::web::client;
use crate::web::start_with;

fn url(server: &Server) -> String {
    format!("https://localhost:{}/-/healthy", server.address.port())
}

/// Files of a server with TLS, and what signs for it.
struct Pki {
    folder: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
    ca: String,
}

impl Pki {
    fn new() -> Pki {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let ca = params.self_signed(&key).unwrap().pem();
        let pki =
            Pki { folder: tempfile::tempdir().unwrap(), issuer: Issuer::new(params, key), ca };
        std::fs::write(pki.path("ca.crt"), &pki.ca).unwrap();
        pki
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Certificate and key, PEM.
    fn issue(&self) -> (String, String) {
        let params = CertificateParams::new(vec!["localhost".to_string()]).unwrap();
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    /// A certificate for the server, and a web configuration that names it.
    fn server(&self, more: &str) -> PathBuf {
        let (certificate, key) = self.issue();
        std::fs::write(self.path("tls.crt"), certificate).unwrap();
        std::fs::write(self.path("tls.key"), key).unwrap();
        let file = self.path("web.yml");
        let tls = format!("tls_server_config: {{cert_file: tls.crt, key_file: tls.key{more}}}");
        std::fs::write(&file, tls).unwrap();
        file
    }

    /// A client that trusts this authority and no other.
    fn client(&self) -> ClientBuilder {
        client().tls_certs_only([Certificate::from_pem(self.ca.as_bytes()).unwrap()])
    }
}

#[tokio::test]
async fn certificates_rotate_without_a_restart() {
    let (old, new) = (Pki::new(), Pki::new());
    let file = old.server("");
    let server = start_with(&file).await;
    let answer = old.client().build().unwrap().get(url(&server)).send().await.unwrap();
    assert_eq!((answer.status(), answer.version()), (StatusCode::OK, Version::HTTP_2));
    let trusts =
        async |pki: &Pki| pki.client().build().unwrap().get(url(&server)).send().await.is_ok();
    assert!(!trusts(&new).await);
    let (certificate, key) = new.issue();
    std::fs::write(old.path("tls.crt"), certificate).unwrap();
    assert!(trusts(&old).await, "a certificate without its key changes nothing yet");
    std::fs::write(old.path("tls.key"), key).unwrap();
    assert!(trusts(&new).await && !trusts(&old).await);
    std::fs::write(&file, "{}").unwrap();
    assert!(trusts(&new).await, "an emptied file does not turn TLS off");
    server.end().await;
}

#[tokio::test]
async fn clients_show_certificates() {
    let (pki, stranger) = (Pki::new(), Pki::new());
    for (kind, nobody_gets_in) in
        [("RequireAndVerifyClientCert", false), ("VerifyClientCertIfGiven", true)]
    {
        let file = pki.server(&format!(", client_ca_file: ca.crt, client_auth_type: {kind}"));
        let server = start_with(&file).await;
        let gets_in = async |shown: Option<(String, String)>| {
            let mut client = pki.client();
            if let Some((certificate, key)) = shown {
                client =
                    client.identity(Identity::from_pem((certificate + &key).as_bytes()).unwrap());
            }
            client.build().unwrap().get(url(&server)).send().await.is_ok()
        };
        assert!(gets_in(Some(pki.issue())).await, "{kind}");
        assert!(!gets_in(Some(stranger.issue())).await, "{kind}");
        assert_eq!(gets_in(None).await, nobody_gets_in, "{kind}");
        server.end().await;
    }
}

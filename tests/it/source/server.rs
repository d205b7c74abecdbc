//! A real Prometheus with history, and certificates for it.

use std::io::Read;
use std::io::Write;
use std::net::TcpListener;
use std::net::TcpStream;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use rcgen::BasicConstraints;
use rcgen::CertificateParams;
use rcgen::DnType;
use rcgen::IsCa;
use rcgen::Issuer;
use rcgen::KeyPair;
use tempfile::TempDir;

const INSTALL: &str = "apt-get install -y --no-install-recommends prometheus";
/// Start of the backfilled history, a multiple of every step used here.
pub(super) const START_S: i64 = 1_700_006_400;
/// Distance of two samples of it.
pub(super) const STEP_S: i64 = 15;
/// Samples of `ramp`.
pub(super) const POINTS: i64 = 12_001;

/// A Prometheus on loopback with backfilled history; it ends with the value.
pub(super) struct Server {
    child: Child,
    pub(super) port: u16,
    dir: TempDir,
}

impl Server {
    /// `web_config` is the text of `--web.config.file`; files it names are put into its folder by
    /// `prepare`.
    pub(super) fn start(web_config: &str, prepare: impl FnOnce(&Path), more: &[&str]) -> Server {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("om.txt"), history()).unwrap();
        std::fs::write(at("prometheus.yml"), "global: {scrape_interval: 1h}\n").unwrap();
        std::fs::write(at("web.yml"), web_config).unwrap();
        prepare(dir.path());
        let backfill = ["tsdb", "create-blocks-from", "openmetrics"];
        let mut promtool = Command::new("promtool");
        promtool.args(backfill).args([at("om.txt"), at("data")]);
        let done = promtool.output().unwrap_or_else(|e| panic!("promtool: {e}; run {INSTALL}"));
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let port = free_port();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", at("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", at("data").display()))
            .arg(format!("--web.config.file={}", at("web.yml").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--storage.tsdb.retention.time=100y")
            .args(more)
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(at("log")).unwrap())
            .spawn()
            .unwrap_or_else(|e| panic!("prometheus: {e}; run {INSTALL}"));
        let mut server = Server { child, port, dir };
        server.wait();
        server
    }

    fn wait(&mut self) {
        let begin = Instant::now();
        let file = self.dir.path().join("log");
        let log = || std::fs::read_to_string(&file).unwrap();
        while !log().contains("Server is ready to receive web requests") {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "prometheus ended with {ended:?}: {}", log());
            assert!(begin.elapsed() < Duration::from_secs(60), "not ready: {}", log());
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// A value of Prometheus' own metrics.
    pub(super) fn own(&self, series: &str) -> f64 {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(series));
        line.map_or(0.0, |value| value.trim().parse().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `ramp` counts points for the whole time, `twin` differs from it in its name, `odd` is NaN, then
/// absent, then +Inf, then absent.
fn history() -> String {
    let mut text = "# TYPE ramp gauge\n".to_string();
    for i in 0..POINTS {
        text += &format!("ramp{{job=\"a\"}} {i} {}\n", START_S + i * STEP_S);
    }
    text += &format!("# TYPE twin gauge\ntwin{{job=\"a\"}} 1 {START_S}\n# TYPE odd gauge\n");
    text += &format!("odd NaN {START_S}\nodd +Inf {}\n", START_S + 600);
    text + "# EOF\n"
}

pub(super) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// An authority, and a certificate that it signed, as PEM.
pub(super) struct Pki {
    pub(super) ca: String,
    pub(super) cert: String,
    pub(super) key: String,
}

/// A new authority, and a certificate for `name`.
pub(super) fn pki(name: &str) -> Pki {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, format!("authority {}", free_port()));
    let ca_key = KeyPair::generate().unwrap();
    let ca = params.self_signed(&ca_key).unwrap().pem();
    let issuer = Issuer::new(params, ca_key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec![name.to_string()]).unwrap();
    let cert = leaf.signed_by(&key, &issuer).unwrap().pem();
    Pki { ca, cert, key: key.serialize_pem() }
}

/// Writes the certificate where the tests' web configurations expect it.
pub(super) fn install(pki: &Pki, dir: &Path) {
    std::fs::write(dir.join("cert.pem"), &pki.cert).unwrap();
    std::fs::write(dir.join("key.pem"), &pki.key).unwrap();
    std::fs::write(dir.join("ca.pem"), &pki.ca).unwrap();
}

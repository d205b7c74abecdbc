//! The image of the Dockerfile, built by buildah around the binary under test, and run: what a
//! scratch image lacks (roots of TLS, a dynamic loader, name services, /tmp, users) shows only when
//! something runs in it.

use std::fs;
use std::fs::File;
use std::io::Read;
use std::io::Write;
use std::net::TcpListener;
use std::net::TcpStream;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;
use std::time::Instant;

use serde_json::Value;
use tempfile::TempDir;

/// How long the server in the image may take until it answers.
const PATIENCE: Duration = Duration::from_secs(20);

/// A buildah whose images and containers live in one temporary folder: no daemon, no registry.
struct Buildah {
    folder: TempDir,
}

impl Buildah {
    fn new() -> Self {
        Buildah { folder: TempDir::new().unwrap() }
    }

    /// What the server says.
    fn log(&self) -> PathBuf {
        self.folder.path().join("server.log")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("buildah");
        command.arg("--root").arg(self.folder.path().join("root"));
        command.arg("--runroot").arg(self.folder.path().join("runroot"));
        // Neither an overlay file system nor a container runtime is asked of the machine.
        command.args(["--storage-driver", "vfs"]).args(arguments);
        command
    }

    /// Runs to the end, must succeed; its standard output.
    fn run(&self, arguments: &[&str]) -> String {
        let output =
            self.command(arguments).output().expect("buildah is missing: run `make install`");
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (said(&output.stdout), said(&output.stderr));
        assert!(output.status.success(), "buildah {arguments:?}\n{stdout}{stderr}");
        stdout
    }
}

/// What the Dockerfile copies, laid out as its head says.
fn stage(context: &Path) {
    let image = context.join("target/image");
    fs::create_dir_all(image.join("state")).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_portent"), image.join("portent")).unwrap();
    fs::copy("/etc/ssl/certs/ca-certificates.crt", image.join("ca-certificates.crt"))
        .expect("roots of TLS are missing: install the package ca-certificates");
}

/// Builds the image, takes it through an archive as a registry would, and returns a container.
fn build(buildah: &Buildah) -> String {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let context = TempDir::new().unwrap();
    stage(context.path());
    fs::copy(repository.join(".dockerignore"), context.path().join(".dockerignore")).unwrap();
    let dockerfile = repository.join("Dockerfile");
    let (dockerfile, context) = (dockerfile.to_str().unwrap(), context.path().to_str().unwrap());
    buildah.run(&[
        "bud",
        "--isolation",
        "chroot",
        "--file",
        dockerfile,
        "--tag",
        "portent:test",
        context,
    ]);

    let archive = format!("oci-archive:{}", buildah.folder.path().join("portent.tar").display());
    buildah.run(&["push", "portent:test", &archive]);
    buildah.run(&["from", "--quiet", &archive]).trim().to_owned()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Status line and body of a GET, or nothing while nobody listens.
fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// A server in a container. Its end is asked of buildah, which ends what runs inside.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _asked = Command::new("sh").arg("-c").arg(format!("kill {}", self.0.id())).status();
        let _ended = self.0.wait();
    }
}

fn serve(buildah: &Buildah, container: &str, port: u16) -> Server {
    let listen = format!("--web.listen-address=127.0.0.1:{port}");
    // Nobody answers there: the server must stand all the same.
    let arguments = ["serve", "--prometheus.url=http://127.0.0.1:1", &listen];
    let mut command =
        buildah.command(&["run", "--isolation", "chroot", container, "--", "/portent"]);
    let log = File::create(buildah.log()).unwrap();
    Server(command.args(arguments).stdout(Stdio::null()).stderr(log).spawn().unwrap())
}

#[test]
fn the_image_runs_what_was_tested() {
    let buildah = Buildah::new();
    let container = build(&buildah);

    let version =
        buildah.run(&["run", "--isolation", "chroot", &container, "--", "/portent", "--version"]);
    assert!(version.contains(env!("CARGO_PKG_VERSION")), "{version}");

    let inspected = buildah.run(&["inspect", "--type", "container", &container]);
    let inspected: Value = serde_json::from_str(&inspected).unwrap();
    let config = &inspected["OCIv1"]["config"];
    assert_eq!(config["User"], "65534:65534");
    assert_eq!(config["Entrypoint"], serde_json::json!(["/portent"]));
    assert_eq!(config["Cmd"], serde_json::json!(["serve"]));

    let port = free_port();
    let mut server = serve(&buildah, &container, port);
    let start = Instant::now();
    let answer = loop {
        let running = server.0.try_wait().unwrap().is_none() && start.elapsed() < PATIENCE;
        assert!(running, "no answer\n{}", fs::read_to_string(buildah.log()).unwrap());
        match get(port, "/-/healthy") {
            Some(answer) if !answer.is_empty() => break answer,
            _ => sleep(Duration::from_millis(50)),
        }
    };
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

//! Real servers on loopback, started by a test and gone with it.
//!
//! Owns: processes, ports, folders and waiting. Each server has its file here.
//! Does not own: what a test expects of them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a lab that cannot start says where")]

pub(crate) mod alertmanager;
pub(crate) mod dns;
pub(crate) mod exposition;
pub(crate) mod http;
pub(crate) mod kubernetes;
pub(crate) mod portent;
pub(crate) mod ports;
pub(crate) mod process;
pub(crate) mod prometheus;
#[cfg(feature = "deep")]
pub(crate) mod tensorboard;
mod tests;

use std::fmt::Display;
use std::fs;
use std::net::TcpListener;
use std::net::UdpSocket;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU16;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;
use std::time::Instant;

/// One test's folder, `tests/.work/<test>`, whose logs are printed when the test fails.
///
/// Make it first in a test: what is made later is dropped, and so killed, earlier.
pub(crate) struct Lab {
    folder: PathBuf,
    started: Instant,
    _turn: Option<MutexGuard<'static, ()>>,
}

impl Lab {
    /// A lab that runs beside others.
    pub(crate) fn new(test: &str) -> Lab {
        let folder = repository().join("tests/.work").join(test);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        Lab { folder, started: Instant::now(), _turn: None }
    }

    /// A lab that waits until no other heavy one runs, since two of them would fight for the cores.
    pub(crate) fn heavy(test: &str) -> Lab {
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lab = Lab::new(test);
        lab._turn = Some(turn);
        lab
    }

    /// A path in this test's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A new folder in this test's folder.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let folder = self.path(name);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// Writes a file into this test's folder.
    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// Prints a step with the seconds since the test began.
    pub(crate) fn step(&self, what: &str) {
        eprintln!("{:6.1}s  {what}", self.started.elapsed().as_secs_f64());
    }

    /// Asks `check` ten times a second until it gives something, and fails after `limit`.
    pub(crate) fn until<T>(
        &self,
        what: &str,
        limit: Duration,
        mut check: impl FnMut() -> Option<T>,
    ) -> T {
        self.until_ok(what, limit, || check().ok_or(""))
    }

    /// As [`Lab::until`], for what can say why it is not so yet.
    pub(crate) fn until_ok<T, Why: Display>(
        &self,
        what: &str,
        limit: Duration,
        mut check: impl FnMut() -> Result<T, Why>,
    ) -> T {
        let begin = Instant::now();
        loop {
            match check() {
                Ok(found) => {
                    self.step(&format!("{what}, after {:.1}s", begin.elapsed().as_secs_f64()));
                    return found;
                }
                Err(why) => assert!(begin.elapsed() < limit, "not within {limit:?}: {what} {why}"),
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits for a condition to hold without a break for as long as `span`.
    pub(crate) fn holds(&self, what: &str, span: Duration, mut check: impl FnMut() -> bool) {
        let begin = Instant::now();
        while begin.elapsed() < span {
            assert!(check(), "ceased after {:?}: {what}", begin.elapsed());
            thread::sleep(Duration::from_millis(200));
        }
        self.step(&format!("{what}, for {}s", span.as_secs()));
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if !thread::panicking() {
            return;
        }
        eprintln!("the logs of {}:", self.folder.display());
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "log") {
                eprintln!("--- {}\n{}", path.display(), tail(&path, 25));
            }
        }
    }
}

/// The last lines of a file.
fn tail(path: &Path, lines: usize) -> String {
    let text = String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// Where Cargo.toml is.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A port that was free on TCP and UDP a moment ago, never the same twice.
///
/// Below the range from which the kernel takes the local ports of outgoing connections.
pub(crate) fn free_port() -> u16 {
    const FIRST: u16 = 15_000;
    const COUNT: u16 = 16_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Other test runs on this machine begin elsewhere.
    let begin = (std::process::id() % 400) as u16 * 40;
    for _ in 0..COUNT {
        let offset = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(begin) % COUNT;
        let port = FIRST + offset;
        let free = TcpListener::bind(("127.0.0.1", port)).is_ok()
            && UdpSocket::bind(("127.0.0.1", port)).is_ok();
        if free {
            return port;
        }
    }
    panic!("no free port on 127.0.0.1")
}

/// Seconds, as a duration.
pub(crate) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Now, in unix seconds.
pub(crate) fn now_s() -> i64 {
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64
}

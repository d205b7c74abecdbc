//! A child process that cannot outlive its test.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a lab that cannot start says where")]

use std::cell::RefCell;
use std::env;
use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;
use std::time::Duration;

use crate::lab::Lab;
use crate::lab::http;
use crate::lab::repository;

/// A running program, killed when dropped.
pub(crate) struct Process {
    name: String,
    child: RefCell<Child>,
}

impl Process {
    /// Starts a program with its output in `<name>.log` of the lab's folder.
    ///
    /// Call it on the test's own thread: the kernel kills the child when that thread ends,
    /// also where the test run itself was killed and nothing could be dropped.
    pub(crate) fn start<A: AsRef<OsStr>>(
        lab: &Lab,
        name: &str,
        program: &Path,
        args: impl IntoIterator<Item = A>,
    ) -> Process {
        Process::start_with_env(lab, name, program, args, &[])
    }

    /// As [`Process::start`], with variables added to the environment.
    pub(crate) fn start_with_env<A: AsRef<OsStr>>(
        lab: &Lab,
        name: &str,
        program: &Path,
        args: impl IntoIterator<Item = A>,
        variables: &[(&str, &Path)],
    ) -> Process {
        let log = lab.path(&format!("{name}.log"));
        let log = OpenOptions::new().create(true).append(true).open(log).unwrap();
        let child = Command::new(debian("setpriv", "util-linux"))
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .args(args)
            .envs(variables.iter().copied())
            .current_dir(lab.path(""))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} did not start: {error}"));
        Process { name: name.to_owned(), child: RefCell::new(child) }
    }

    /// Waits until a URL of this process answers 200.
    pub(crate) fn ready(&self, lab: &Lab, url: &str, limit: Duration) {
        lab.until(&format!("{} is ready", self.name), limit, || {
            self.assert_running();
            http::get(url).ok().filter(|answer| answer.status == 200).map(|_| ())
        });
    }

    /// Fails if the process has ended by itself.
    pub(crate) fn assert_running(&self) {
        if let Some(status) = self.child.borrow_mut().try_wait().unwrap() {
            panic!("{} ended by itself: {status}", self.name);
        }
    }

    /// Sends a signal, by name.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.borrow().id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &pid]).status().unwrap();
        assert!(sent.success(), "kill -s {signal} of {}: {sent}", self.name);
    }

    /// Kills it as a power cut would, and waits until it is gone.
    pub(crate) fn kill(&self) {
        let _ = self.child.borrow_mut().kill();
        let _ = self.child.borrow_mut().wait();
    }

    /// Asks it to end and waits for that.
    pub(crate) fn terminate(&self, lab: &Lab, limit: Duration) -> ExitStatus {
        self.signal("TERM");
        self.ended(lab, limit)
    }

    /// Waits until it has ended.
    pub(crate) fn ended(&self, lab: &Lab, limit: Duration) -> ExitStatus {
        lab.until(&format!("{} ended", self.name), limit, || {
            self.child.borrow_mut().try_wait().unwrap()
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A program that a Debian package brings.
pub(crate) fn debian(program: &str, package: &str) -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
        .unwrap_or_else(|| {
            panic!("{program} is not installed: run `make install`, or `apt-get install {package}`")
        })
}

/// A program that `tests/install.sh` builds from the Go modules in `tests/tools`.
pub(crate) fn go_tool(program: &str) -> PathBuf {
    let file = repository().join("tests/tools/bin").join(program);
    assert!(file.is_file(), "{} is not built: run `make install`", file.display());
    file
}

/// Runs a program to its end and returns what it printed; fails where it did.
pub(crate) fn run<A: AsRef<OsStr>>(program: &Path, args: impl IntoIterator<Item = A>) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "{} failed:\n{text}", program.display());
    text
}

//! Time, ours and Python's.

use std::fs;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::process::Child;
use std::process::ChildStdin;
use std::process::ChildStdout;
use std::process::Command;
use std::process::Stdio;
use std::time::Instant;

/// Work is repeated until it took so long together: short ones are not measured alone.
const AT_LEAST_MS: f64 = 50.0;

/// CPU time of this thread in milliseconds, as the kernel counts it (nanoseconds of its scheduler).
fn cpu_ms() -> f64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").expect("a Linux with schedstat");
    text.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).expect("nanoseconds") / 1e6
}

/// Milliseconds of CPU that `work` takes.
pub(crate) fn ms(work: impl FnMut()) -> f64 {
    each_ms(cpu_ms, work)
}

/// Milliseconds of the clock that `work` takes.
#[allow(dead_code, reason = "for benchmarks of several threads")]
pub(crate) fn wall_ms(work: impl FnMut()) -> f64 {
    let started = Instant::now();
    each_ms(|| started.elapsed().as_secs_f64() * 1e3, work)
}

fn each_ms(clock: impl Fn() -> f64, mut work: impl FnMut()) -> f64 {
    let started = clock();
    // Twice as often each time: a look at the clock costs as much as a short work.
    let (mut n, mut more) = (0, 1);
    loop {
        (0..more).for_each(|_| work());
        n += more;
        let spent = clock() - started;
        if spent >= AT_LEAST_MS {
            return spent / f64::from(n);
        }
        more = n;
    }
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    if n == 0 { f64::NAN } else { (values[(n - 1) / 2] + values[n / 2]) / 2.0 }
}

/// A running `classical.py` or `deep.py`: a job's name in, milliseconds out.
pub(crate) struct Python {
    child: Child,
    jobs: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Python {
    /// `script ARGUMENTS AT_LEAST_MS`, run by what `PORTENT_BENCH_PYTHON` names.
    pub(crate) fn start(script: &str, arguments: &[&str], threads: usize) -> Python {
        let interpreter =
            std::env::var("PORTENT_BENCH_PYTHON").unwrap_or_else(|_| "python3".into());
        let mut command = Command::new(&interpreter);
        command.arg(script).args(arguments).arg(AT_LEAST_MS.to_string());
        for library in ["OMP", "OPENBLAS", "MKL", "NUMEXPR"] {
            command.env(format!("{library}_NUM_THREADS"), threads.to_string());
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{interpreter}: {error}"));
        let jobs = child.stdin.take().expect("a pipe");
        let answers = BufReader::new(child.stdout.take().expect("a pipe"));
        Python { child, jobs, answers }
    }

    /// Milliseconds that a job takes.
    pub(crate) fn ms(&mut self, job: &str) -> f64 {
        writeln!(self.jobs, "{job}").expect("Python reads");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("Python answers");
        answer.trim().parse().unwrap_or_else(|_| panic!("{job}: Python said {answer:?}"))
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

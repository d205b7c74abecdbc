//! `make lab`: scenarios in, rows and labels out. `make experiment`: and a shortlisted model.
//!
//! Owns: arguments, several scenarios side by side, what need not be recorded again, Ctrl-C. Does not own: what a
//! scenario is, or an experiment (`fault_lab`).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a lab that cannot start says where")]
#![allow(clippy::print_stdout, reason = "what was recorded is what this is for")]

#[allow(dead_code, unused_imports, reason = "the tests use the rest")]
#[path = "../it/lab/mod.rs"]
mod lab;

#[allow(dead_code, unused_imports, reason = "the tests use the rest")]
#[path = "mod.rs"]
mod fault_lab;

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::ExitCode;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;

use fault_lab::experiment;
use fault_lab::experiment::Judged;
use fault_lab::record::Recording;
use fault_lab::rotation;
use portent::config;
use portent::scenario::Scenario;

const USAGE: &str = "lab [--out FOLDER] [--side-by-side N] [--experiment FOLDER [--hold-out CLASS]] SCENARIO.yml…\n\
    with --experiment: what was recorded before is used again; the last scenario's rows judge, those before it choose";

/// The RFC's three, and what is to be had without a network.
const CANDIDATES: &str = "autoencoder,classifier,siamese";
const CONTROLS: &str = "pca,var";

const PORTENT: &str = env!("CARGO_BIN_EXE_portent");

struct Asked {
    out: PathBuf,
    side_by_side: usize,
    /// Where the experiment goes.
    experiment: Option<PathBuf>,
    hold_out: Option<String>,
    files: Vec<PathBuf>,
}

fn main() -> ExitCode {
    match asked(std::env::args().skip(1)).and_then(|asked| run(&asked)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

fn asked(arguments: impl Iterator<Item = String>) -> Result<Asked, String> {
    let (experiment, hold_out, files) = (None, None, Vec::new());
    let out = "target/lab".into();
    let mut asked = Asked { out, side_by_side: 2, experiment, hold_out, files };
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument}: no value\n{USAGE}"));
        match argument.as_str() {
            "--out" => asked.out = value()?.into(),
            "--experiment" => asked.experiment = Some(value()?.into()),
            "--hold-out" => asked.hold_out = Some(value()?),
            "--side-by-side" => {
                let n = value()?.parse().ok().filter(|n| (1..=16).contains(n));
                asked.side_by_side = n.ok_or("--side-by-side: wanted 1 to 16")?;
            }
            _ if argument.starts_with('-') => return Err(format!("{argument}?\n{USAGE}")),
            _ => asked.files.push(argument.into()),
        }
    }
    if asked.files.is_empty() { Err(USAGE.to_owned()) } else { Ok(asked) }
}

/// All files are read before anything starts.
fn run(asked: &Asked) -> Result<(), String> {
    let read = asked.files.iter().map(|file| config::load_scenario(file));
    let (scenarios, problems): (Vec<_>, Vec<_>) = read.partition(Result::is_ok);
    let problems: Vec<String> = problems.into_iter().filter_map(Result::err).collect();
    if !problems.is_empty() {
        return Err(problems.join("\n"));
    }
    let scenarios: Vec<Scenario> = scenarios.into_iter().filter_map(Result::ok).collect();
    let named = scenarios.iter().map(|scenario| asked.out.join(format!("{}.csv", scenario.name)));
    let recordings: Vec<PathBuf> = named.collect();
    let files = asked.files.iter().zip(&recordings);
    let known: Vec<bool> =
        files.map(|(file, rows)| asked.experiment.is_some() && is_newer(rows, file)).collect();
    let told = scenarios.into_iter().zip(&known);
    let scenarios: Vec<Scenario> =
        told.filter(|(_, known)| !**known).map(|(scenario, _)| scenario).collect();
    if !scenarios.is_empty() {
        record(&scenarios, asked)?;
    }
    asked.experiment.as_ref().map_or(Ok(()), |out| judge(&recordings, out, asked.hold_out.clone()))
}

/// Whether rows were recorded after their scenario was written.
fn is_newer(rows: &Path, scenario: &Path) -> bool {
    let changed = |path: &Path| path.metadata().and_then(|about| about.modified());
    matches!((changed(rows), changed(scenario)), (Ok(rows), Ok(scenario)) if rows > scenario)
}

/// The experiment on what was recorded: its commands, their tables (`tables.txt`, too) and pages.
fn judge(recordings: &[PathBuf], out: &Path, hold_out: Option<String>) -> Result<(), String> {
    let (detectors, controls) = (CANDIDATES.to_owned(), CONTROLS.to_owned());
    let judged = Judged { detectors, controls, hold_out };
    let runs = experiment::prepare(recordings, out, &judged)?;
    let mut tables = String::new();
    for arguments in runs {
        let command = format!("$ portent {}", arguments.join(" "));
        println!("{command}");
        let mut run = Command::new(PORTENT);
        let output = run.args(&arguments).stderr(Stdio::inherit()).output();
        let output = output.map_err(|error| format!("{PORTENT}: {error}"))?;
        let table = String::from_utf8_lossy(&output.stdout);
        println!("{table}");
        tables += &format!("{command}\n{table}\n");
        if !output.status.success() {
            return Err(format!("portent evaluate: {}", output.status));
        }
    }
    // The last word: no single recording chooses.
    let table = rotation::rotate(recordings, out, &judged)?;
    println!("{table}");
    tables += &table;
    let file = out.join("tables.txt");
    std::fs::write(&file, tables).map_err(|error| format!("{}: {error}", file.display()))
}

/// Runs scenarios and writes what they leave.
fn record(scenarios: &[Scenario], asked: &Asked) -> Result<(), String> {
    std::fs::create_dir_all(&asked.out)
        .map_err(|error| format!("{}: {error}", asked.out.display()))?;
    let stop = stop_on_signals();
    let recorded = side_by_side(scenarios, asked, &stop);
    println!("\n{}", table(&recorded));
    let failed = recorded.iter().filter(|(_, outcome)| outcome.is_err()).count();
    if failed > 0 {
        Err(format!("{failed} of {} scenarios failed", recorded.len()))
    } else {
        Ok(())
    }
}

/// Set by Ctrl-C and by a termination: then every scenario ends, and its servers with it.
fn stop_on_signals() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&stop);
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            use tokio::signal::unix::SignalKind;
            use tokio::signal::unix::signal;
            let mut terminated = signal(SignalKind::terminate()).unwrap();
            let mut interrupted = signal(SignalKind::interrupt()).unwrap();
            tokio::select! {
                _ = terminated.recv() => {}
                _ = interrupted.recv() => {}
            }
        });
        eprintln!("stopping");
        set.store(true, Ordering::Relaxed);
        // Whatever hangs: the kernel ends the servers with us.
        thread::sleep(lab::secs(60));
        std::process::exit(1);
    });
    stop
}

type Outcome = Result<Recording, String>;

/// So many at a time, in their order.
fn side_by_side(
    scenarios: &[Scenario],
    asked: &Asked,
    stop: &AtomicBool,
) -> Vec<(String, Outcome)> {
    let next = Mutex::new(0..scenarios.len());
    let done: Mutex<BTreeMap<usize, (String, Outcome)>> = Mutex::default();
    let one_after_the_other = || {
        loop {
            let Some(i) = next.lock().unwrap().next() else { return };
            let scenario = &scenarios[i];
            let outcome = one(scenario, &asked.out, stop);
            if let Err(problem) = &outcome {
                eprintln!("{}: {problem}", scenario.name);
            }
            done.lock().unwrap().insert(i, (scenario.name.clone(), outcome));
        }
    };
    thread::scope(|scope| {
        (0..asked.side_by_side).for_each(|_| {
            scope.spawn(one_after_the_other);
        });
    });
    done.into_inner().unwrap().into_values().collect()
}

/// On a thread of its own: a lab that panics takes no other with it.
fn one(scenario: &Scenario, out: &Path, stop: &AtomicBool) -> Outcome {
    let outcome = thread::scope(|scope| scope.spawn(|| fault_lab::run(scenario, stop)).join());
    let recording = outcome.map_err(|_| "a server failed, see above".to_owned())??;
    for file in recording.write(out)? {
        println!("{}", file.display());
    }
    Ok(recording)
}

/// What was recorded, for a terminal.
fn table(recorded: &[(String, Outcome)]) -> String {
    let mut lines = vec![format!(
        "{:<16} {:>6} {:>8} {:>7} {:>6} {:>7} {:>9}",
        "SCENARIO", "ROWS", "FEATURES", "KNOWN", "FAULTS", "BENIGN", "QUESTIONS"
    )];
    for (name, outcome) in recorded {
        let line = match outcome {
            Ok(recording) => {
                let values = recording.rows.iter().flat_map(|rows| &rows.window.values);
                let (n, known) = values.fold((0_usize, 0_usize), |(n, known), value| {
                    (n + 1, known + usize::from(value.is_finite()))
                });
                let rows: usize = recording.rows.iter().map(|rows| rows.window.grid.len).sum();
                let labels = recording.labels();
                let benign = labels.iter().filter(|label| label.is_benign()).count();
                let known = 100.0 * known as f64 / n.max(1) as f64;
                format!(
                    "{name:<16} {rows:>6} {:>8} {known:>6.1}% {:>6} {benign:>7} {:>9}",
                    recording.features.len(),
                    labels.len() - benign,
                    recording.seen.asked,
                )
            }
            Err(problem) => format!("{name:<16} failed: {problem}"),
        };
        lines.push(line);
    }
    lines.join("\n")
}

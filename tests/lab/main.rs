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
use fault_lab::judge;
use fault_lab::lessons;
use fault_lab::pretrain;
use fault_lab::record::Recording;
use fault_lab::rotation;
use fault_lab::simulated;
use portent::config;
use portent::scenario::Scenario;

const USAGE: &str = "lab [--out FOLDER] [--side-by-side N] [--experiment FOLDER [--hold-out CLASS]] \
    [--pretrain FOLDER] [--judge FOLDER] SCENARIO.yml…\n\
    scenarios in a folder `simulated` are the simulator's; what was recorded since its scenario was written is used \
    again; with --experiment the last scenario's rows judge, those before it choose; --pretrain writes networks that \
    learnt from the scenarios in `train`, with a line drawn by those in `validation`, --judge says how those of a \
    folder do on the scenarios in `test`";

/// The RFC's three, and what is to be had without a network.
const CANDIDATES: &str = "autoencoder,classifier,siamese";
const CONTROLS: &str = "pca,var";

const PORTENT: &str = env!("CARGO_BIN_EXE_portent");

#[derive(Default)]
struct Asked {
    out: PathBuf,
    side_by_side: usize,
    /// Where the experiment goes.
    experiment: Option<PathBuf>,
    hold_out: Option<String>,
    /// Where networks go that learn from what is recorded.
    pretrain: Option<PathBuf>,
    /// Where networks are that are judged by it.
    judge: Option<PathBuf>,
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
    let mut asked = Asked { out: "target/lab".into(), side_by_side: 16, ..Asked::default() };
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument}: no value\n{USAGE}"));
        match argument.as_str() {
            "--out" => asked.out = value()?.into(),
            "--experiment" => asked.experiment = Some(value()?.into()),
            "--hold-out" => asked.hold_out = Some(value()?),
            "--pretrain" => asked.pretrain = Some(value()?.into()),
            "--judge" => asked.judge = Some(value()?.into()),
            "--side-by-side" => {
                let n = value()?.parse().ok().filter(|n| (1..=32).contains(n));
                asked.side_by_side = n.ok_or("--side-by-side: wanted 1 to 32")?;
            }
            _ if argument.starts_with('-') => return Err(format!("{argument}?\n{USAGE}")),
            _ => asked.files.push(argument.into()),
        }
    }
    if asked.files.is_empty() { Err(USAGE.to_owned()) } else { Ok(asked) }
}

/// All files are read before anything starts.
fn run(asked: &Asked) -> Result<(), String> {
    let read = |file: &PathBuf| match is_simulated(file) {
        true => config::load_simulation(file),
        false => config::load_scenario(file),
    };
    let (scenarios, problems): (Vec<_>, Vec<_>) =
        asked.files.iter().map(read).partition(Result::is_ok);
    let problems: Vec<String> = problems.into_iter().filter_map(Result::err).collect();
    if !problems.is_empty() {
        return Err(problems.join("\n"));
    }
    let scenarios: Vec<Scenario> = scenarios.into_iter().filter_map(Result::ok).collect();
    let named = scenarios.iter().map(|scenario| asked.out.join(format!("{}.csv", scenario.name)));
    let rows: Vec<PathBuf> = named.collect();
    let files = asked.files.iter().zip(&rows);
    let known: Vec<bool> = files.clone().map(|(file, rows)| is_newer(rows, file)).collect();
    let new = files.clone().zip(scenarios).zip(known).filter(|(_, known)| !known);
    let (simulated, real): (Vec<_>, Vec<_>) =
        new.map(|((files, scenario), _)| (files.0, scenario)).partition(|(f, _)| is_simulated(f));
    let real: Vec<Scenario> = real.into_iter().map(|(_, scenario)| scenario).collect();
    if !real.is_empty() {
        record(&real, asked)?;
    }
    for (file, scenario) in simulated {
        println!("{}: simulated", scenario.name);
        simulated::simulate(file, &asked.out)?;
    }
    if let Some(out) = &asked.experiment {
        experiment_on(&rows, out, asked.hold_out.clone())?;
    }
    let part = |name: &str| {
        let is_of = |file: &Path| file.parent().is_some_and(|folder| folder.ends_with(name));
        let own = files.clone().filter(|(file, _)| is_of(file));
        own.map(|(_, rows)| lessons::read(rows)).collect::<Result<Vec<_>, _>>()
    };
    if let Some(out) = &asked.pretrain {
        pretrain::pretrain(&part("train")?, &part("validation")?, out)?;
    }
    if let Some(models) = &asked.judge {
        println!("{}", judge::tables(&part("test")?, models)?);
    }
    Ok(())
}

/// Whether a scenario is one of the simulator's.
fn is_simulated(file: &Path) -> bool {
    file.components().any(|part| part.as_os_str() == "simulated")
}

/// Whether rows were recorded after their scenario was written.
fn is_newer(rows: &Path, scenario: &Path) -> bool {
    let changed = |path: &Path| path.metadata().and_then(|about| about.modified());
    matches!((changed(rows), changed(scenario)), (Ok(rows), Ok(scenario)) if rows > scenario)
}

/// The experiment on what was recorded: its commands, their tables (`tables.txt`, too) and pages.
fn experiment_on(
    recordings: &[PathBuf],
    out: &Path,
    hold_out: Option<String>,
) -> Result<(), String> {
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

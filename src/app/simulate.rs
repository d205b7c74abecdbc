//! A scenario played in no time: the history of a service that does not exist.
//!
//! Owns: files, their times, what is told of them. Does not own: what happens (`simulate`, `scenario`), how samples are
//! written (`simulate::exposition`).

mod live;

use std::fs::File;
use std::io;
use std::io::BufWriter;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

use serde_json::json;

use super::Error;
use super::now_s;
use super::offline::write_whole;
use crate::config;
use crate::labels::Time;
use crate::scenario::Scenario;
use crate::scenario::labels::labels_csv;
use crate::simulate::coredns;
use crate::simulate::coredns::Service;
use crate::simulate::exposition::History;
use crate::simulate::exposition::Style;
use crate::simulate::families::Family;
use crate::simulate::families::Type;
use crate::simulate::port_counters::PortCounters;

pub use live::simulate_live;

/// What is to be simulated.
#[derive(Debug, Clone)]
pub struct Simulate {
    /// The scenario's file.
    pub scenario: PathBuf,
    /// What is written.
    pub style: Style,
    /// The first row's time, as written; without it the last row is now.
    pub start: Option<String>,
}

/// The length of a file where there are several: `promtool` makes one block of it.
const FILE_S: i64 = 6 * 3_600;

/// The jobs of the series.
const COREDNS_JOB: &str = "coredns";
const PORTS_JOB: &str = "snmp";

static UP: Family = Family {
    name: "up",
    kind: Type::Gauge,
    help: "Whether a target was scraped, as Prometheus itself notes it.",
};

/// Plays a scenario and writes its history to a file, to `-`, or to a folder's files. The answer says what to do next.
///
/// # Errors
/// The scenario or the time is wrong, or a file cannot be written.
pub fn simulate(asked: &Simulate, output: &Path) -> Result<String, Error> {
    let scenario = config::load_simulation(&asked.scenario)?;
    let start_s = start(asked.start.as_deref(), &scenario)?;
    let mut files = Files::new(output, asked.style, &scenario);
    play(&scenario, start_s, &mut files)?;
    files.end()?;
    let Some((folder, stem)) = files.beside() else { return Ok(String::new()) };
    let labels = folder.join(format!("{stem}-labels.csv"));
    write_whole(&labels, labels_csv(&scenario.labels(start_s)).as_bytes())?;
    let card = folder.join(format!("{stem}.json"));
    write_whole(
        &card,
        (serde_json::to_string_pretty(&told(&scenario, start_s))? + "\n").as_bytes(),
    )?;
    Ok(files.advice(&[labels, card]))
}

/// The first row's time, on the grid of the rows.
fn start(text: Option<&str>, scenario: &Scenario) -> Result<i64, Error> {
    let start_s = match text {
        Some(text) => {
            Time::Text(text.to_owned()).seconds(now_s()).map_err(|e| format!("start: {e}"))?
        }
        None => now_s() - scenario.duration_s,
    };
    Ok(start_s.div_euclid(scenario.step_s) * scenario.step_s)
}

/// What made it, and what is in it.
fn told(scenario: &Scenario, start_s: i64) -> serde_json::Value {
    let labels: Vec<_> = scenario
        .labels(start_s)
        .iter()
        .map(|label| {
            let injection = &label.injection;
            json!({
                "from": label.from_s, "to": label.to_s,
                "injected_to": start_s + injection.end_s(),
                "class": injection.class, "strength": injection.strength,
                "benign": label.is_benign(),
            })
        })
        .collect();
    json!({
        "made_by": "portent simulate",
        "versions": {"portent": env!("CARGO_PKG_VERSION"), "modelled": "CoreDNS 1.15.0"},
        "start": start_s,
        "scenario": scenario,
        "injected": labels,
    })
}

/// From the warm-up to the last row's samples, scrape by scrape.
fn play(scenario: &Scenario, start_s: i64, files: &mut Files) -> Result<(), Error> {
    let mut service = Service::new(scenario);
    let Scenario { seed, scrape_interval_s: every_s, load, .. } = scenario;
    let mut ports = scenario.ports.then(|| PortCounters::new(*seed, *every_s, load.day_s));
    let end_s = scenario.duration_s + 2 * every_s;
    // On the grid of the first row.
    let mut elapsed_s = -(scenario.warm_up_s / every_s) * every_s - every_s;
    while elapsed_s < end_s {
        elapsed_s += every_s;
        service.advance(elapsed_s as f64);
        let t_s = start_s + elapsed_s;
        files.at(t_s)?;
        for replica in 0..scenario.replicas {
            let instance = coredns::instance(replica);
            let of = [("instance", &*instance), ("job", COREDNS_JOB)];
            let mut written = Ok(());
            let up = service.say(replica, start_s, &mut |family, more, labels, value| {
                let labels = [labels, &of].concat();
                keep(&mut written, || files.say(t_s, family, more, &labels, value));
            });
            written?;
            files.say(t_s, &UP, "", &of, f64::from(u8::from(up)))?;
        }
        if let Some(ports) = &mut ports {
            read(ports, t_s, files)?;
        }
    }
    Ok(())
}

fn read(ports: &mut PortCounters, t_s: i64, files: &mut Files) -> Result<(), Error> {
    let mut written = Ok(());
    let mut known = Vec::new();
    ports.read(t_s, &mut |family, more, labels, value| {
        if let Some((_, instance)) =
            labels.first().filter(|(_, name)| !known.contains(&(*name).to_owned()))
        {
            known.push((*instance).to_owned());
        }
        let labels = [labels, &[("job", PORTS_JOB)]].concat();
        keep(&mut written, || files.say(t_s, family, more, &labels, value));
    });
    written?;
    for instance in known {
        files.say(t_s, &UP, "", &[("instance", &*instance), ("job", PORTS_JOB)], 1.0)?;
    }
    Ok(())
}

/// Keeps the first thing that went wrong.
fn keep(so_far: &mut io::Result<()>, next: impl FnOnce() -> io::Result<()>) {
    if so_far.is_ok() {
        *so_far = next();
    }
}

/// Where samples go.
struct Files<'a> {
    output: &'a Path,
    style: Style,
    name: &'a str,
    /// Several, in a folder.
    in_folder: bool,
    history: History,
    /// The file's beginning, where there are several.
    from_s: Option<i64>,
    written: Vec<PathBuf>,
}

impl<'a> Files<'a> {
    fn new(output: &'a Path, style: Style, scenario: &'a Scenario) -> Files<'a> {
        Files {
            output,
            style,
            name: &scenario.name,
            in_folder: output.is_dir(),
            history: History::new(style),
            from_s: None,
            written: Vec::new(),
        }
    }

    /// The samples of this time follow.
    fn at(&mut self, t_s: i64) -> Result<(), Error> {
        let from_s = t_s.div_euclid(FILE_S) * FILE_S;
        if self.in_folder && self.from_s.is_some_and(|before| before != from_s) {
            self.end()?;
        }
        self.from_s = Some(from_s);
        Ok(())
    }

    fn say(
        &mut self,
        t_s: i64,
        family: &'static Family,
        more: &str,
        labels: &[(&str, &str)],
        value: f64,
    ) -> io::Result<()> {
        self.history.say(t_s, family, more, labels, value)
    }

    /// Writes what there is.
    fn end(&mut self) -> Result<(), Error> {
        if self.output == Path::new("-") {
            let mut output = BufWriter::new(io::stdout().lock());
            let written = self.history.write(&mut output).and_then(|()| output.flush());
            // A reader that has gone, as `head` does, is not an error.
            let gone = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
            return written.or_else(|error| if gone(&error) { Ok(()) } else { Err(error.into()) });
        }
        let path = match self.from_s.filter(|_| self.in_folder) {
            Some(from_s) => {
                let ending = if self.style == Style::Csv { "csv" } else { "om" };
                self.output.join(format!("{}-{from_s}.{ending}", self.name))
            }
            None => self.output.to_owned(),
        };
        let said = |error: io::Error| format!("{}: {error}", path.display());
        let mut output = BufWriter::new(File::create(&path).map_err(said)?);
        self.history.write(&mut output).and_then(|()| output.flush()).map_err(said)?;
        self.written.push(path);
        Ok(())
    }

    /// Folder and stem of what is written beside; `None` beside a pipe.
    fn beside(&self) -> Option<(PathBuf, String)> {
        match self.output {
            output if output == Path::new("-") => None,
            output if self.in_folder => Some((output.to_owned(), self.name.to_owned())),
            output => {
                let stem = output.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                Some((output.parent().unwrap_or(Path::new("")).to_owned(), stem))
            }
        }
    }

    /// What was written, and what Prometheus is to be told.
    fn advice(&self, more: &[PathBuf]) -> String {
        let all: Vec<&PathBuf> = self.written.iter().chain(more).collect();
        let shown = |path: &PathBuf| path.display().to_string();
        let mut text = match &all[..] {
            [first, .., labels, card] if all.len() > 4 => {
                format!(
                    "{} files from {}\n{}\n{}\n",
                    all.len() - 2,
                    shown(first),
                    shown(labels),
                    shown(card)
                )
            }
            few => few.iter().map(|path| shown(path) + "\n").collect(),
        };
        if self.style == Style::Csv {
            return text;
        }
        let files = match &self.written[..] {
            [one] => shown(one),
            _ => self.output.join(format!("{}-*.om", self.name)).display().to_string(),
        };
        text += &format!(
            "# into Prometheus' folder DATA, whose --storage.tsdb.retention.time is long enough:\n\
             for file in {files}; do\n  \
             promtool tsdb create-blocks-from --max-block-duration=6h openmetrics \"$file\" DATA\ndone\n"
        );
        text
    }
}

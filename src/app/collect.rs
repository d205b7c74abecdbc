//! `portent collect`: Prometheus history in, a data set out.
//!
//! Owns: which watches, which labels, what a terminal is told. Does not own: the files (`crate::collect`).

use std::io::IsTerminal;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::Error;
use super::Inputs;
use super::bar::Bar;
use super::finding;
use super::now_s;
use super::say;
use crate::collect;
use crate::collect::Collected;
use crate::collect::Order;
use crate::collect::Period;
use crate::collect::Stand;
use crate::config::Config;
use crate::gather;
use crate::labels::Time;
use crate::schedule;
use crate::source;
use crate::source::Source;
use crate::source::csv::Injected;
use crate::store::FILE_NAME;
use crate::store::Store;
use crate::train::Progress;
use crate::verdict::Interval;
use crate::verdict::Label;
use crate::verdict::rfc3339;
use crate::watch::Watch;

/// As many as a training: whoever else reads the source does not wait for a data set.
const QUERIES_AT_ONCE: usize = 4;

/// What is collected, and where it goes.
#[derive(Debug, Clone)]
pub struct Collect {
    /// What is read, and where people's labels are.
    pub inputs: Inputs,
    /// Names of watches; empty means all.
    pub watches: Vec<String>,
    /// When to begin, as people write times.
    pub from: String,
    /// When to end.
    pub to: String,
    /// The folder.
    pub output: PathBuf,
    /// A CSV file of what was done to the servers.
    pub labels: Option<PathBuf>,
    /// Whether to tell how far it is also where no terminal is.
    pub progress: bool,
}

/// Collects one watch after the other, and prints what is there then.
///
/// # Errors
/// The configuration, the source, the store or the folder cannot be used, or it was interrupted; the next run goes
/// on from there.
pub async fn collect(asked: &Collect) -> Result<(), Error> {
    let now_s = now_s();
    let period = period(asked, now_s)?;
    let injected = asked.labels.as_deref().map(source::csv::read_injected).transpose()?;
    let injected = injected.unwrap_or_default();
    let config = asked.inputs.load()?;
    let source = source::patient(&asked.inputs.source(&config)?, QUERIES_AT_ONCE);
    let mut terminations = schedule::Terminations::new()?;
    let collecting = async {
        for watch in watches(asked, &config, &source).await? {
            let people = people(asked, &config, &watch)?;
            let order = order(asked, &watch, &period, people, &injected, now_s)?;
            let collected = one(asked, &source, &order).await?;
            say(&told(&watch, &order.folder, &collected))?;
        }
        Ok(())
    };
    tokio::select! {
        done = collecting => done,
        signal = terminations.next() => {
            Err(format!("{signal}; what is in {} is whole, the same command goes on from there", asked.output.display()).into())
        }
    }
}

fn period(asked: &Collect, now_s: i64) -> Result<Period, Error> {
    let time = |flag: &str, text: &str| {
        let read = Time::Text(text.to_string()).seconds(now_s);
        read.map_err(|error| format!("{flag}: {error}"))
    };
    let (from_s, to_s) = (time("--from", &asked.from)?, time("--to", &asked.to)?);
    // What is to come is no history.
    let interval = Interval { from_s, to_s: to_s.min(now_s) };
    if interval.from_s >= interval.to_s {
        return Err("--from: not before --to and now".into());
    }
    Ok(Period { from: asked.from.clone(), to: asked.to.clone(), interval })
}

/// The watches that were asked for, with the queries that the source takes.
async fn watches(
    asked: &Collect,
    config: &Config,
    source: &Arc<dyn Source>,
) -> Result<Vec<Watch>, Error> {
    let mut watches = finding::at_once(source, asked.inputs.candidates(config)?).await?;
    if watches.is_empty() {
        return Err(format!("{}: nothing there that a preset watches", source.describe()).into());
    }
    let names: Vec<String> = watches.iter().map(|watch| watch.name.clone()).collect();
    if let Some(unknown) = asked.watches.iter().find(|name| !names.contains(name)) {
        return Err(
            format!("no watch is named {unknown:?}; there are: {}", names.join(", ")).into()
        );
    }
    watches.retain(|watch| asked.watches.is_empty() || asked.watches.contains(&watch.name));
    Ok(watches)
}

/// What people said of a watch, where there is a store.
fn people(asked: &Collect, config: &Config, watch: &Watch) -> Result<Vec<Label>, Error> {
    let folder = asked.inputs.store_folder(config);
    if !folder.join(FILE_NAME).exists() {
        return Ok(Vec::new());
    }
    let labels = Store::open_to_read(folder)?.labels(Some(&watch.name))?;
    Ok(labels.into_iter().map(|stored| stored.label).collect())
}

fn order(
    asked: &Collect,
    watch: &Watch,
    period: &Period,
    people: Vec<Label>,
    injected: &[Injected],
    now_s: i64,
) -> Result<Order, Error> {
    let Interval { from_s, to_s } = period.interval;
    // Rows that are not known yet would be gaps for ever.
    let interval = Interval { from_s, to_s: to_s.min(gather::known_s(watch, now_s)) };
    if interval.from_s >= interval.to_s {
        return Err(format!("--from: after the newest row of {}", watch.name).into());
    }
    Ok(Order {
        watch: watch.clone(),
        period: Period { interval, ..period.clone() },
        people,
        injected: injected.to_vec(),
        command: command(asked, watch, interval),
        folder: asked.output.join(collect::folder_name(&watch.name)),
    })
}

/// The command that collects the same again, wherever it goes. A URL may hold a password, and the source is named
/// beside it.
fn command(asked: &Collect, watch: &Watch, interval: Interval) -> String {
    let shown = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut words = vec!["portent collect".to_string()];
    match &asked.inputs.config_file {
        Some(path) => words.push(format!("--config.file={}", shown(path))),
        None => words.push("--prometheus.url=URL".to_string()),
    }
    words.push(format!("--watch={}", watch.name));
    words.push(format!("--from={} --to={}", rfc3339(interval.from_s), rfc3339(interval.to_s)));
    words.extend(asked.labels.iter().map(|path| format!("--labels={}", shown(path))));
    words.push("--output=DIR".to_string());
    words.join(" ")
}

async fn one(asked: &Collect, source: &Arc<dyn Source>, order: &Order) -> Result<Collected, Error> {
    if !asked.progress && !std::io::stderr().is_terminal() {
        return Ok(collect::collect(source, order, &mut |_| {}).await.map_err(goes_on)?);
    }
    let bar = Bar::start(&order.watch.name, "parts");
    let (mut listener, started) = (bar.listener(), Instant::now());
    let mut hear = |stand: Stand| {
        let Stand { done, total, under_way } = stand;
        let elapsed = started.elapsed();
        listener(Progress { done, total, under_way, elapsed, ..Progress::default() });
    };
    let collected = collect::collect(source, order, &mut hear).await;
    match &collected {
        Ok(_) => bar.end().await,
        Err(_) => bar.gone().await,
    }
    Ok(collected.map_err(goes_on)?)
}

/// What is wrong with the order does not get better by asking again.
fn goes_on(error: collect::CollectError) -> String {
    match error {
        collect::CollectError::Refused(what) => what,
        error => format!("{error}; the parts before are kept, the same command goes on from there"),
    }
}

fn told(watch: &Watch, folder: &Path, collected: &Collected) -> String {
    let Collected { interval, rows, entities, parts, part_bytes, was_whole, problems } = collected;
    for problem in problems.iter().filter(|_| !was_whole) {
        tracing::warn!(watch = watch.name, "{problem}");
    }
    let folder = folder.display();
    let mib = *part_bytes as f64 / f64::from(1 << 20);
    let what =
        format!("{rows} rows of {entities} entities, {interval}, {parts} parts ({mib:.1} MiB)");
    match was_whole {
        true => {
            format!("{folder}: was whole before: {what}; for other rows, wanted another --output\n")
        }
        false => format!("{folder}: {what}; README.md says what it is\n"),
    }
}

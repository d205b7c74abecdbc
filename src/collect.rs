//! Prometheus history becomes a data set: Parquet parts, two CSV files for each entity, and a card that says what
//! they are.
//!
//! Owns: the order in which a watch's folder fills, and what a later run finds there.
//! Does not own: asking (`gather`), what rules mean (`weak`), the bar of a terminal (`app`).
//!
//! First comes `collection.json`: what was asked, and all that is said of its time, so that a later run means the
//! same by it. Then a part for each stretch of time, then the files of each entity, `README.md`, and last
//! `card.json`, which says that all others are whole. Each has another name until it is written and synced, so a
//! run may end anywhere: the next one asks for what is missing, and the bytes are the same where the source gives the
//! same answer twice. Prometheus adds up several series in no fixed order, and so to other last digits.

mod asked;
mod card;
mod collection;
mod files;
mod known;
mod part;
mod readme;
mod rules;
mod slice;
mod summary;
mod tables;
mod units;

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use crate::gather::GatherError;
use crate::series::Grid;
use crate::source::Source;
use crate::source::csv::Injected;
use crate::verdict::Interval;
use crate::verdict::Label;
use crate::verdict::rfc3339;
use crate::watch::Watch;

use collection::Collection;
use part::Head;
use slice::Slice;

/// The file that says that all others are whole.
const CARD: &str = "card.json";

/// What is to be collected of a watch.
#[derive(Debug, Clone)]
pub struct Order {
    /// Whose rows.
    pub watch: Watch,
    /// When.
    pub period: Period,
    /// What people said of the watch, in the order of saying.
    pub people: Vec<Label>,
    /// What was done to the servers, and so to all entities.
    pub injected: Vec<Injected>,
    /// The command, for the card.
    pub command: String,
    /// The watch's own folder.
    pub folder: PathBuf,
}

/// A stretch of time, also as it was asked for: who says `-4w` again means the same weeks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Period {
    /// As it was written.
    pub from: String,
    /// As it was written.
    pub to: String,
    /// What that means now.
    pub interval: Interval,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stand {
    /// Stretches of time that are done with, of those that this run began without.
    pub done: usize,
    /// How many these were.
    pub total: usize,
    /// The share of the next one that was read, 0 to 1.
    pub under_way: f64,
}

/// What is in the folder now.
#[derive(Debug, Clone, PartialEq)]
pub struct Collected {
    /// When it is of.
    pub interval: Interval,
    /// Rows, of all entities.
    pub rows: u64,
    /// Entities.
    pub entities: usize,
    /// Parts.
    pub parts: usize,
    /// Bytes of the parts.
    pub part_bytes: u64,
    /// Whether it was whole before.
    pub was_whole: bool,
    /// What is not as one would wish it.
    pub problems: Vec<String>,
}

/// Why a data set is not whole. What is in the folder stays, and a later run goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The source gives no answer now.
    #[error(transparent)]
    Gather(#[from] GatherError),
    /// A file cannot be read or written.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// The folder holds something else, or the watch cannot be a table.
    #[error("{0}")]
    Refused(String),
}

impl CollectError {
    fn file(path: &Path, error: impl Into<std::io::Error>) -> CollectError {
        CollectError::File { path: path.display().to_string(), error: error.into() }
    }
}

/// The name of a watch's folder.
pub fn folder_name(watch: &str) -> String {
    files::plain(watch)
}

/// Fills the folder, and tells `listener` how far it is.
///
/// # Errors
/// The folder is of another order or of another run, the source does not answer, or a file cannot be written.
pub async fn collect(
    source: &Arc<dyn Source>,
    order: &Order,
    listener: &mut (dyn FnMut(Stand) + Send),
) -> Result<Collected, CollectError> {
    part::check_names(&order.watch)?;
    std::fs::create_dir_all(&order.folder)
        .map_err(|error| CollectError::file(&order.folder, error))?;
    let _turn = files::turn(&order.folder)?;
    files::remove_unfinished(&order.folder)?;
    let collected = fill(source, order, listener).await;
    if collected.is_err() {
        // A full disk gets the room back; what is in the way now goes with the next run.
        let _ = files::remove_unfinished(&order.folder);
    }
    collected
}

async fn fill(
    source: &Arc<dyn Source>,
    order: &Order,
    listener: &mut (dyn FnMut(Stand) + Send),
) -> Result<Collected, CollectError> {
    let collection = match Collection::read(&order.folder)? {
        Some(begun) => begun.check(order)?,
        None => {
            let new = Collection::begin(source, order).await?;
            new.write(&order.folder)?;
            new
        }
    };
    if let Some(card) = card::read(&order.folder)? {
        return Ok(card.collected(&collection, true));
    }
    parts(source, order, &collection, listener).await?;
    let (watch, folder) = (order.watch.clone(), order.folder.clone());
    let finish = move || finish(&watch, &collection, &folder);
    tokio::task::spawn_blocking(finish).await.map_err(|error| {
        CollectError::Refused(format!("the files of entities were not written: {error}"))
    })?
}

/// The parts that are in a folder, or were asked for again: those of stretches without any sample have no file.
async fn parts(
    source: &Arc<dyn Source>,
    order: &Order,
    collection: &Collection,
    listener: &mut (dyn FnMut(Stand) + Send),
) -> Result<(), CollectError> {
    let (watch, folder) = (&order.watch, order.folder.as_path());
    let whole = collection.grid();
    let asked = collection.asked.sha256();
    let (mut due, mut n_known) = (whole, 0);
    let mut first_missing: Option<usize> = None;
    while due.len > 0 {
        let next = slice::next(watch, due);
        if let Some(head) = there(folder, due.start_s, &asked)? {
            (due, n_known) = (after(whole, head.to_s), head.entities);
            continue;
        }
        let left = slice::count(watch, due);
        let total = *first_missing.get_or_insert(left);
        let done = total.saturating_sub(left);
        let mut so_far = |under_way| listener(Stand { done, total, under_way });
        so_far(0.0);
        let slice = slice::read(source, watch, next, n_known, &mut so_far).await?;
        let head = Head::new(&asked, &slice);
        if head.entities > 0 {
            write(folder, watch, collection, &head, &slice)?;
        }
        (due, n_known) = (after(whole, head.to_s), head.entities);
    }
    let total = first_missing.unwrap_or(0);
    listener(Stand { done: total, total, under_way: 0.0 });
    Ok(())
}

/// The head of the part that begins at a time, where it is there.
fn there(folder: &Path, from_s: i64, asked: &str) -> Result<Option<Head>, CollectError> {
    let path = folder.join(part::file_name(from_s));
    if !path.exists() {
        return Ok(None);
    }
    let head = part::head(&path).map_err(|error| CollectError::file(&path, error))?;
    if head.asked != asked || head.from_s != from_s || head.to_s <= from_s {
        return Err(CollectError::Refused(format!(
            "{}: is of another configuration; wanted the one that it was begun with, or another --output",
            path.display()
        )));
    }
    Ok(Some(head))
}

fn write(
    folder: &Path,
    watch: &Watch,
    collection: &Collection,
    head: &Head,
    slice: &Slice,
) -> Result<(), CollectError> {
    let rules = collection.weak_labels();
    let words = collection::words(collection, &rules);
    let known = words.of(slice.windows.keys(), slice.interval());
    let made_by = &collection.portent;
    files::write(folder, &part::file_name(head.from_s), |file| {
        part::write(file, watch, made_by, head, &slice.windows, &known)
    })
}

/// What of a grid is at a time or later.
fn after(grid: Grid, time_s: i64) -> Grid {
    let before = grid.at_or_after(time_s);
    Grid { start_s: grid.time(before), len: grid.len - before, ..grid }
}

/// The files of each entity, and of all together, from the parts.
fn finish(
    watch: &Watch,
    collection: &Collection,
    folder: &Path,
) -> Result<Collected, CollectError> {
    let parts = part::all(folder)?;
    if parts.is_empty() {
        let (from, to) = (rfc3339(collection.from_s), rfc3339(collection.to_s));
        return Err(CollectError::Refused(format!(
            "{}: the source has no sample of {} from {from} to {to}; wanted a time of which it has some",
            folder.display(),
            watch.name
        )));
    }
    let tables = tables::write(folder, watch, collection, &parts)?;
    let card = card::Card::new(folder, watch, collection, &parts, tables)?;
    files::write(folder, "README.md", |file| {
        use std::io::Write;
        file.write_all(readme::readme(&card).as_bytes())
    })?;
    card.write(folder)?;
    Ok(card.collected(collection, false))
}

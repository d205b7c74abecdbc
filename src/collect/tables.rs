//! Two CSV files for each entity, as `portent evaluate` and `portent backtest` read them: rows and labels.
//!
//! Owns: the files, and what is counted on the way. Does not own: the parts that they are made of (`part`).
//!
//! One part is held at a time, whatever the number of parts and entities.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use super::CollectError;
use super::collection;
use super::collection::Collection;
use super::files;
use super::known::Known;
use super::part;
use super::part::Head;
use super::summary::Numbers;
use super::summary::Sayings;
use crate::series::Entity;
use crate::series::Window;
use crate::verdict::Interval;
use crate::verdict::Verdict;
use crate::watch::Watch;

/// What was written.
#[derive(Debug, Clone, Default)]
pub(super) struct Tables {
    /// In the order of entities.
    pub(super) entities: BTreeMap<Entity, Table>,
    /// Of each feature.
    pub(super) columns: Vec<Numbers>,
    pub(super) sayings: Sayings,
}

/// The rows of an entity.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Table {
    /// The begin of the names of its two files.
    pub(super) stem: String,
    pub(super) rows: u64,
    /// Rows without any value.
    pub(super) gaps: u64,
    /// The first row with a value, and the last, in unix seconds.
    pub(super) first_s: i64,
    pub(super) last_s: i64,
}

/// Writes the files of all entities.
pub(super) fn write(
    folder: &Path,
    watch: &Watch,
    collection: &Collection,
    parts: &[(String, Head)],
) -> Result<Tables, CollectError> {
    let rules = collection.weak_labels();
    let words = collection::words(collection, &rules);
    let columns = vec![Numbers::default(); watch.features.len()];
    let mut tables = Tables { columns, ..Tables::default() };
    // Which names are free shows when all entities are known.
    let mut unfinished: BTreeMap<Entity, PathBuf> = BTreeMap::new();
    for (name, head) in parts {
        let path = folder.join(name);
        let windows = part::read(&path, watch).map_err(|error| CollectError::file(&path, error))?;
        let interval = Interval { from_s: head.from_s, to_s: head.to_s };
        let known = words.of(windows.keys(), interval);
        for (entity, window) in &windows {
            let n = unfinished.len();
            let path = unfinished.entry(entity.clone());
            let path = path.or_insert_with(|| files::unfinished(folder, &format!("entity-{n}")));
            let table = tables.entities.entry(entity.clone()).or_default();
            let written = append(path, watch, table, window);
            let from = written.map_err(|error| CollectError::file(path, error))?;
            let known = known.get(entity).filter(|known| **known != Known::default());
            for i in from..window.grid.len {
                for (column, value) in tables.columns.iter_mut().zip(window.row(i)) {
                    column.add(*value);
                }
                known
                    .into_iter()
                    .for_each(|known| tables.sayings.add_row(known, window.grid.time(i)));
            }
        }
    }
    let stems = files::stems(tables.entities.keys());
    let whole = Interval { from_s: collection.from_s, to_s: collection.to_s };
    let known = words.of(stems.keys(), whole);
    for (entity, stem) in stems {
        let name = format!("{stem}.csv");
        if let Some(path) = unfinished.get(&entity) {
            files::keep(folder, path, &name)
                .map_err(|error| CollectError::file(&folder.join(&name), error))?;
        }
        if let Some(known) = known.get(&entity) {
            tables.sayings.add_intervals(known);
            files::write(folder, &format!("{stem}{}.csv", files::LABELS), |file| {
                labels(file, known)
            })?;
        }
        tables.entities.entry(entity).or_default().stem = stem;
    }
    Ok(tables)
}

/// Adds the rows of a part to an entity's file, from the first with a value on, and gives the place of the first that
/// was added.
fn append(path: &Path, watch: &Watch, table: &mut Table, window: &Window) -> io::Result<usize> {
    let Some((first, last)) = window.extent() else { return Ok(window.grid.len) };
    let is_new = table.rows == 0;
    let from = if is_new { first } else { 0 };
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    let mut writer = csv::Writer::from_writer(file);
    if is_new {
        let features = watch.features.iter().map(|feature| feature.name.as_str());
        writer.write_record(std::iter::once(part::TIME).chain(features))?;
        table.first_s = window.grid.time(first);
    }
    for i in from..window.grid.len {
        writer.write_field(window.grid.time(i).to_string())?;
        for value in window.row(i) {
            let cell = if value.is_finite() { value.to_string() } else { String::new() };
            writer.write_field(cell)?;
        }
        writer.write_record(None::<&[u8]>)?;
        table.gaps += u64::from(!window.has_data(i));
    }
    table.rows += (window.grid.len - from) as u64;
    table.last_s = window.grid.time(last);
    writer.flush()?;
    Ok(from)
}

/// What is known of an entity. Of two lines that overlap the later counts: people know better than rules, and who
/// injected a fault knows best.
fn labels(file: &mut std::fs::File, known: &Known) -> io::Result<()> {
    let mut writer = csv::Writer::from_writer(file);
    writer.write_record(["from", "to", "class", "verdict", "said_by", "injected", "strength"])?;
    let mut line =
        |interval: Interval, class: &Option<String>, verdict: Verdict, rest: [&str; 3]| {
            let (from, to) = (interval.from_s.to_string(), interval.to_s.to_string());
            let class = class.as_deref().unwrap_or_default();
            let [by, injected, strength] = rest;
            writer.write_record([&from, &to, class, verdict.as_str(), by, injected, strength])
        };
    for (interval, class) in &known.weak.incidents {
        line(*interval, class, Verdict::Anomaly, ["rules", "", ""])?;
    }
    for (interval, verdict, class) in &known.people {
        line(*interval, class, *verdict, ["people", "", ""])?;
    }
    for fault in &known.injected {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let (injected, strength) = (text(&fault.injected), text(&fault.strength));
        line(fault.interval, &fault.class, fault.verdict, ["injected", &injected, &strength])?;
    }
    writer.flush()
}

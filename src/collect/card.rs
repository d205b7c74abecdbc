//! `card.json`: what a data set is, for who did not make it.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde::Serialize;

use super::CARD;
use super::CollectError;
use super::Collected;
use super::collection::Collection;
use super::collection::Versions;
use super::files;
use super::part;
use super::part::Head;
use super::summary::Amount;
use super::summary::Saying;
use super::tables::Table;
use super::tables::Tables;
use super::units;
use crate::preprocess::FeatureConfig;
use crate::series::Entity;
use crate::verdict::Interval;
use crate::verdict::rfc3339;
use crate::watch::Watch;

/// A data set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Card {
    pub(super) watch: String,
    pub(super) source: String,
    pub(super) command: String,
    /// The first step, and one after the last, as RFC 3339.
    pub(super) from: String,
    pub(super) to: String,
    pub(super) step_seconds: i64,
    /// Of all entities.
    pub(super) rows: u64,
    /// Rows without any value.
    pub(super) rows_without_values: u64,
    pub(super) portent: String,
    pub(super) versions: Versions,
    pub(super) columns: Vec<Column>,
    pub(super) labels: Vec<Line>,
    pub(super) entities: Vec<Of>,
    /// What is not as one would wish it.
    pub(super) problems: Vec<String>,
    pub(super) files: Vec<Known>,
}

/// A column of the parts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) r#type: String,
    /// time, entity, feature or label.
    pub(super) kind: String,
    pub(super) unit: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) query: Option<String>,
    /// How Portent brings it to scale, unless told otherwise.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) scale: Option<FeatureConfig>,
    /// The share of rows in the entities' files that have a value.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) known_ratio: Option<f64>,
    /// Least, mean and most.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) min_mean_max: Option<[f64; 3]>,
}

/// A kind of label, of all entities together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Line {
    #[serde(flatten)]
    pub(super) saying: Saying,
    #[serde(flatten)]
    pub(super) amount: Amount,
    /// Of rows, so of all entities.
    pub(super) hours: f64,
}

/// An entity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Of {
    pub(super) entity: Entity,
    pub(super) rows_file: String,
    pub(super) labels_file: String,
    pub(super) rows: u64,
    pub(super) rows_without_values: u64,
    pub(super) first: String,
    pub(super) last: String,
}

/// A file beside the card.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Known {
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

impl Card {
    pub(super) fn new(
        folder: &Path,
        watch: &Watch,
        collection: &Collection,
        parts: &[(String, Head)],
        tables: Tables,
    ) -> Result<Card, CollectError> {
        let rows = tables.entities.values().map(|table| table.rows).sum();
        let columns = columns(watch, &tables, rows);
        let hours = |rows: u64| (rows * watch.step_s.unsigned_abs()) as f64 / 3_600.0;
        let labels = tables.sayings.0.into_iter().map(|(saying, amount)| Line {
            saying,
            amount,
            hours: hours(amount.rows),
        });
        let entities: Vec<Of> = tables.entities.iter().map(of).collect();
        let mut names: Vec<String> = parts.iter().map(|(name, _)| name.clone()).collect();
        names.extend(entities.iter().flat_map(|of| [of.rows_file.clone(), of.labels_file.clone()]));
        let known = |name: String| {
            let (bytes, sha256) = files::sha256(&folder.join(&name))?;
            Ok(Known { name, bytes, sha256 })
        };
        Ok(Card {
            watch: watch.name.clone(),
            source: collection.source.clone(),
            command: collection.command.clone(),
            from: rfc3339(collection.from_s),
            to: rfc3339(collection.to_s),
            step_seconds: watch.step_s,
            rows,
            rows_without_values: tables.entities.values().map(|table| table.gaps).sum(),
            portent: collection.portent.clone(),
            versions: collection.versions.clone(),
            columns,
            labels: labels.collect(),
            entities,
            problems: problems(collection, parts),
            files: names.into_iter().map(known).collect::<Result<_, CollectError>>()?,
        })
    }

    pub(super) fn write(&self, folder: &Path) -> Result<(), CollectError> {
        files::write(folder, CARD, |file| {
            serde_json::to_writer_pretty(&*file, self)?;
            std::io::Write::write_all(file, b"\n")
        })
    }

    /// What a terminal is told.
    pub(super) fn collected(&self, collection: &Collection, was_whole: bool) -> Collected {
        let parts = self.files.iter().filter(|file| file.name.ends_with(".parquet"));
        Collected {
            interval: Interval { from_s: collection.from_s, to_s: collection.to_s },
            rows: self.rows,
            entities: self.entities.len(),
            parts: parts.clone().count(),
            part_bytes: parts.map(|file| file.bytes).sum(),
            was_whole,
            problems: self.problems.clone(),
        }
    }
}

/// The card of a folder that is whole.
pub(super) fn read(folder: &Path) -> Result<Option<Card>, CollectError> {
    let path = folder.join(CARD);
    if !path.exists() {
        return Ok(None);
    }
    let read = std::fs::read(&path).and_then(|text| Ok(serde_json::from_slice(&text)?));
    read.map(Some).map_err(|error| CollectError::file(&path, error))
}

fn columns(watch: &Watch, tables: &Tables, rows: u64) -> Vec<Column> {
    let column = |name: &str, r#type: &str, kind: &str, unit: &str| Column {
        name: name.to_string(),
        r#type: r#type.to_string(),
        kind: kind.to_string(),
        unit: unit.to_string(),
        query: None,
        scale: None,
        known_ratio: None,
        min_mean_max: None,
    };
    let time = column(part::TIME, "int64", "time", "unix seconds");
    let entity = watch.entity.iter().map(|name| column(name, "string", "entity", "label"));
    let features = watch.features.iter().zip(&tables.columns).enumerate();
    let features = features.map(|(i, (feature, numbers))| Column {
        query: Some(feature.query.clone()),
        scale: Some(feature.scale),
        known_ratio: Some(numbers.known as f64 / rows.max(1) as f64),
        min_mean_max: numbers.range(),
        ..column(&feature.name, "double", "feature", &units::unit(watch, i))
    });
    let labels = part::LABELS.iter().map(|(name, says)| column(name, "string", "label", says));
    std::iter::once(time).chain(entity).chain(features).chain(labels).collect()
}

fn of((entity, table): (&Entity, &Table)) -> Of {
    Of {
        entity: entity.clone(),
        rows_file: format!("{}.csv", table.stem),
        labels_file: format!("{}{}.csv", table.stem, files::LABELS),
        rows: table.rows,
        rows_without_values: table.gaps,
        first: rfc3339(table.first_s),
        last: rfc3339(table.last_s),
    }
}

/// What the parts lack, and which rules were not heard.
fn problems(collection: &Collection, parts: &[(String, Head)]) -> Vec<String> {
    let mut refused: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
    for (name, why) in parts.iter().flat_map(|(_, head)| &head.failed) {
        let (n, _) = refused.entry(name).or_insert((0, why));
        *n += 1;
    }
    let of = parts.len();
    let refused =
        refused.iter().map(|(name, (n, why))| format!("{name}: a gap in {n} of {of} parts: {why}"));
    let partial = parts.iter().filter(|(_, head)| head.partial);
    let partial =
        partial.map(|(name, _)| format!("{name}: the source said that its answers lack data"));
    let rules = collection.silent_rules.iter().map(|what| format!("rule without labels: {what}"));
    refused.chain(partial).chain(rules).collect()
}

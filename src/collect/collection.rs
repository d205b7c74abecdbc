//! `collection.json`: what was asked, and all that is said of its time.
//!
//! Owns: the file, and whether an order is the one that it was begun with. Does not own: rows (`part`).
//!
//! Rules and people are asked once, before the first part: what they say may be another thing an hour later, and a
//! server forgets.

use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde::Serialize;

use super::CollectError;
use super::Order;
use super::Period;
use super::asked::Asked;
use super::files;
use super::known::Word;
use super::known::Words;
use super::rules;
use crate::series::Entity;
use crate::series::Grid;
use crate::source::Source;
use crate::verdict::Interval;
use crate::verdict::rfc3339;
use crate::weak;
use crate::weak::State;
use crate::weak::WeakLabel;

/// The file.
const FILE: &str = "collection.json";

/// Steps at which versions are looked for, over the whole time.
const LOOKS: i64 = 500;

/// What was begun.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Collection {
    pub(super) portent: String,
    pub(super) command: String,
    pub(super) source: String,
    pub(super) from: String,
    pub(super) to: String,
    /// The first step, in unix seconds.
    pub(super) from_s: i64,
    /// One step after the last.
    pub(super) to_s: i64,
    pub(super) asked: Asked,
    pub(super) versions: Versions,
    pub(super) rules: Vec<Alert>,
    /// Alerts, and rules, that say nothing here, with why.
    pub(super) silent_rules: Vec<String>,
    pub(super) people: Vec<Word>,
}

/// Of whom the rows are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Versions {
    /// Where it tells one.
    pub(super) prometheus: Option<String>,
    /// Of every CoreDNS in that time, with what it was built of; empty where the queries ask for none.
    pub(super) coredns: Vec<String>,
}

/// What a rule says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Alert {
    alert: String,
    class: Option<String>,
    labels: Entity,
    firing: bool,
    interval: Interval,
    active_s: i64,
}

impl Collection {
    /// Asks for what is said of the time, and for versions.
    ///
    /// # Errors
    /// The source does not answer.
    pub(super) async fn begin(
        source: &Arc<dyn Source>,
        order: &Order,
    ) -> Result<Collection, CollectError> {
        let (watch, period) = (&order.watch, &order.period);
        let grid = grid(period.interval, watch.step_s);
        let interval = Interval { from_s: grid.start_s, to_s: grid.end_s() };
        if grid.len == 0 {
            let (from, to) = (&period.from, &period.to);
            return Err(CollectError::Refused(format!(
                "{}: no step of {} s from {from} to {to}; wanted a longer time",
                watch.name, watch.step_s
            )));
        }
        let told = rules::told(source, &watch.weak_labels, interval).await?;
        let news = weak::news(told.labels, interval);
        let left_out = news.left_out().into_iter().map(|(alert, what)| format!("{alert}: {what}"));
        let silent_rules = told.failed.into_iter().chain(left_out).collect();
        let within = |word: &Word| word.interval.overlap(interval).is_some();
        let people = order.people.iter().map(|label| Word {
            entity: label.entity.clone(),
            interval: label.interval,
            verdict: label.verdict,
            class: label.class.clone(),
        });
        Ok(Collection {
            portent: env!("CARGO_PKG_VERSION").to_string(),
            command: order.command.clone(),
            source: source.describe(),
            from: period.from.clone(),
            to: period.to.clone(),
            from_s: interval.from_s,
            to_s: interval.to_s,
            asked: Asked::new(watch, &order.injected),
            versions: versions(source, order, interval).await,
            rules: news.labels.into_iter().map(Alert::from).collect(),
            silent_rules,
            people: people.filter(within).collect(),
        })
    }

    /// Itself, where the order is the one that it was begun with.
    ///
    /// # Errors
    /// It is another one; the text says in what.
    pub(super) fn check(self, order: &Order) -> Result<Collection, CollectError> {
        let folder = order.folder.display();
        if let Some(what) = self.asked.differs(&Asked::new(&order.watch, &order.injected)) {
            return Err(CollectError::Refused(format!(
                "{folder}: was begun with {what}; wanted the same configuration, or another --output"
            )));
        }
        let Period { from, to, interval } = &order.period;
        let now = grid(*interval, order.watch.step_s);
        if (from, to) == (&self.from, &self.to) || now == self.grid() {
            return Ok(self);
        }
        let (from, to) = (&self.from, &self.to);
        let is_of = format!("{} to {}", rfc3339(self.from_s), rfc3339(self.to_s));
        Err(CollectError::Refused(format!(
            "{folder}: is of {is_of}; wanted the --from {from} --to {to} that it was begun with, or another --output"
        )))
    }

    /// What was begun in a folder, if anything was.
    ///
    /// # Errors
    /// The file cannot be read, or is none of ours.
    pub(super) fn read(folder: &Path) -> Result<Option<Collection>, CollectError> {
        let path = folder.join(FILE);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(CollectError::file(&path, error)),
        };
        let read = serde_json::from_slice(&text);
        read.map(Some).map_err(|error| {
            let what = format!("{error}; wanted what this version of `portent collect` writes");
            CollectError::file(&path, std::io::Error::other(what))
        })
    }

    /// # Errors
    /// The file cannot be written.
    pub(super) fn write(&self, folder: &Path) -> Result<(), CollectError> {
        files::write(folder, FILE, |file| {
            serde_json::to_writer_pretty(&*file, self)?;
            std::io::Write::write_all(file, b"\n")
        })
    }

    /// All its steps.
    pub(super) fn grid(&self) -> Grid {
        Grid::covering(self.from_s, self.to_s, self.asked.step_s)
    }

    /// What rules say.
    pub(super) fn weak_labels(&self) -> Vec<WeakLabel> {
        self.rules.iter().map(Alert::label).collect()
    }
}

/// What is said, beside the labels of [`Collection::weak_labels`].
pub(super) fn words<'a>(collection: &'a Collection, rules: &'a [WeakLabel]) -> Words<'a> {
    let Asked { entity, injected, .. } = &collection.asked;
    Words { rules, names: entity, people: &collection.people, injected }
}

impl From<WeakLabel> for Alert {
    fn from(label: WeakLabel) -> Alert {
        let WeakLabel { alert, class, labels, state, interval, active_s, .. } = label;
        Alert { alert, class, labels, firing: state == State::Firing, interval, active_s }
    }
}

impl Alert {
    fn label(&self) -> WeakLabel {
        let Alert { alert, class, labels, firing, interval, active_s } = self.clone();
        let state = if firing { State::Firing } else { State::Pending };
        let (file, group) = (String::new(), String::new());
        WeakLabel { file, group, alert, class, labels, state, interval, active_s }
    }
}

fn grid(interval: Interval, step_s: i64) -> Grid {
    Grid::covering(interval.from_s, interval.to_s, step_s)
}

/// Who does not say is not worth a failure.
async fn versions(source: &Arc<dyn Source>, order: &Order, interval: Interval) -> Versions {
    let prometheus = source.version().await;
    let of_coredns = order.watch.features.iter().any(|f| f.query.contains("coredns_"));
    let mut coredns = Vec::new();
    if of_coredns {
        let span_s = interval.to_s - interval.from_s;
        let step_s = (span_s / LOOKS / 60 + 1) * 60;
        let grid = Grid::covering(interval.from_s, interval.to_s + step_s, step_s);
        let query = format!("count by (version) (max_over_time(coredns_build_info[{step_s}s]))");
        match source.range(&query, grid).await {
            Ok(answer) => coredns.extend(
                answer.series.iter().filter_map(|s| s.labels.get("version").map(str::to_string)),
            ),
            Err(error) => tracing::warn!(%error, "no versions of CoreDNS"),
        }
    }
    coredns.sort();
    coredns.dedup();
    Versions { prometheus, coredns }
}

//! A version, as people want to know it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;
use serde_json::json;

use super::Error;
use super::Which;
use super::meant;
use super::select;
use crate::app::now_s;
use crate::app::offline::existing;
use crate::math::duration::format_duration;
use crate::model::Model;
use crate::store::Hold;
use crate::store::Holds;
use crate::store::ModelRow;
use crate::store::ModelState;
use crate::store::ModelWord;
use crate::store::Store;
use crate::verdict::rfc3339;

/// What is known of one version.
struct Known {
    row: ModelRow,
    card: Value,
    n_bytes: usize,
    words: Vec<ModelWord>,
    /// A person's word about it that trainings heed.
    hold: Option<Hold>,
    /// Why a pass would refuse it.
    problem: Option<String>,
}

/// The versions that are meant, one after the other, as text or as a JSON list.
///
/// # Errors
/// There is no such version, or no store.
pub fn show_models(folder: &Path, which: &Which, as_json: bool) -> Result<String, Error> {
    let store = existing(folder)?;
    let mut known = Vec::new();
    let mut holds: BTreeMap<String, Holds> = BTreeMap::new();
    for rows in select(&store, which)?.values() {
        let Some(row) = meant(rows, which) else { continue };
        let watch = &row.key.watch;
        if !holds.contains_key(watch) {
            holds.insert(watch.clone(), store.holds(watch, now_s())?);
        }
        known.extend(of(&store, row, &holds[watch])?);
    }
    if known.is_empty() {
        return Err("no such version; `portent models list` shows what there is".into());
    }
    match as_json {
        true => {
            let list: Vec<Value> = known.iter().map(Known::json).collect();
            Ok(format!("{}\n", serde_json::to_string_pretty(&list)?))
        }
        false => Ok(known.iter().map(Known::text).collect::<Vec<_>>().join("\n")),
    }
}

/// `None` where it was pruned a moment ago.
fn of(store: &Store, row: &ModelRow, holds: &Holds) -> Result<Option<Known>, Error> {
    let Some(stored) = store.model(&row.key, row.version)? else { return Ok(None) };
    let words = store.model_words(&row.key, row.version)?;
    let hold = holds.of.get(&row.key).filter(|hold| hold.version == row.version).cloned();
    let read = Model::from_stored(&stored.bytes, &stored.sha256);
    let problem = read.err().map(|error| error.to_string());
    let n_bytes = stored.bytes.len();
    Ok(Some(Known { row: row.clone(), card: stored.card, n_bytes, words, hold, problem }))
}

impl Known {
    fn json(&self) -> Value {
        let mut json = json!(self.row);
        json["card"] = self.card.clone();
        json["n_bytes"] = self.n_bytes.into();
        json["words"] = json!(self.words);
        json["hold_until_s"] = self.hold.as_ref().and_then(|hold| hold.word.hold_until_s).into();
        json["problem"] = json!(self.problem);
        json
    }

    fn text(&self) -> String {
        let Known { row, card, .. } = self;
        let mut text = format!("{} version {}\n", row.key, row.version);
        let mut line = |name: &str, value: String| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {name:10} {value}");
        };
        line("state", self.state());
        line("trained", rfc3339(row.trained_s));
        let number = |name: &str| card.get(name).and_then(Value::as_i64);
        if let Some((n_rows, step_s)) = number("n_rows").zip(number("step_s")) {
            line("learnt", format!("{n_rows} points, of rows every {}", format_duration(step_s)));
        }
        for (name, value) in origin(card).into_iter().chain(labelled(card)) {
            line(name, value);
        }
        let features = card.get("features").and_then(Value::as_array);
        let names = features.into_iter().flatten().filter_map(Value::as_str);
        line("features", names.collect::<Vec<_>>().join(", "));
        line("rows", card.get("preprocess").map(Value::to_string).unwrap_or_default());
        line("detector", card.get("detector").map(Value::to_string).unwrap_or_default());
        line("settings", row.fingerprint.clone().unwrap_or_default());
        line("sha256", row.sha256.clone());
        let sound = self.problem.clone().unwrap_or_else(|| "as they were stored".into());
        line("bytes", format!("{}, {sound}", self.n_bytes));
        for word in &self.words {
            line("said", format!("{} {}", rfc3339(word.created_s), word.describe()));
        }
        text
    }

    fn state(&self) -> String {
        let state = match &self.row.state {
            ModelState::Rejected { reason } => format!("rejected: {reason}"),
            state => state.as_str().to_string(),
        };
        let until = |hold: &Hold| rfc3339(hold.word.hold_until_s.unwrap_or(0));
        match &self.hold {
            None => state,
            Some(hold) if hold.in_use() => format!("{state}, held until {}", until(hold)),
            Some(hold) => format!("{state}; none is put in use until {}", until(hold)),
        }
    }
}

/// What a version was made of, and how it judged what it had not seen; of one that an older Portent made, nothing.
fn origin(card: &Value) -> Vec<(&'static str, String)> {
    let Some(origin) = card.get("origin") else { return Vec::new() };
    let number = |name: &str| origin.get(name).and_then(Value::as_i64).unwrap_or_default();
    let [from, to] = ["from_s", "to_s"].map(|name| rfc3339(number(name)));
    let portent = origin.get("portent").and_then(Value::as_str).unwrap_or_default();
    let losses = origin.get("losses").map(|losses| {
        let of = |name: &str| losses.get(name).and_then(Value::as_f64).unwrap_or(f64::NAN);
        let steps = losses.get("steps").and_then(Value::as_i64).unwrap_or_default();
        let [training, held_out] = ["training", "held_out"].map(of);
        (
            "losses",
            format!("{training:.4} in training, {held_out:.4} held out, after {steps} steps"),
        )
    });
    let shipped = origin.get("pretrained").and_then(Value::as_bool).unwrap_or_default();
    let shipped =
        shipped.then(|| ("network", "learnt elsewhere; its scales are of these rows".into()));
    let known = vec![
        ("from", format!("{from} to {to}, {} points without data", number("n_gaps"))),
        ("incidents", number("n_incidents").to_string()),
        (
            "held out",
            format!(
                "{} points, {} of them scored above 1",
                number("n_held_out"),
                number("n_above")
            ),
        ),
        ("made by", format!("Portent {portent}, seed {}", number("seed"))),
    ];
    known.into_iter().chain(shipped).chain(losses).collect()
}

/// What it made of people's labels when it was judged, with the models that it was judged with; of one that was
/// judged without any, nothing.
fn labelled(card: &Value) -> Option<(&'static str, String)> {
    let labelled = card.get("labelled")?;
    let number = |name: &str| labelled.get(name).and_then(Value::as_i64).unwrap_or_default();
    let ratio = |name: &str| {
        let value = labelled.get(name).and_then(Value::as_f64);
        value.map_or("–".to_string(), |value| format!("{value:.2}"))
    };
    let (found, missed) = (number("n_found"), number("n_missed"));
    let told = format!(
        "{found} of {} anomalies found by all together, {} false (precision {}, recall {}, F1 {})",
        found + missed,
        number("n_false"),
        ratio("precision"),
        ratio("recall"),
        ratio("f1"),
    );
    Some(("labels", told))
}

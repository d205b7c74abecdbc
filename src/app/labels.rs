//! From what a person said to a stored label and a training.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::Error;
use super::now_s;
use super::offline::columns;
use super::offline::existing;
use super::watching::Register;
use crate::gather;
use crate::labels::NewLabel;
use crate::labels::Origin;
use crate::source::Source;
use crate::store::LabelRows;
use crate::store::Store;
use crate::store::StoreError;
use crate::verdict::Label;
use crate::web::LabelRequest;

const OFF: &str = "the labels API is off: set `web: {labels_api: true}` in the configuration";

/// Takes labels from the web API, or says that it is off. Ends with the channel.
pub(super) async fn take(
    on: bool,
    requests: &mut mpsc::Receiver<LabelRequest>,
    register: Register,
    source: Arc<dyn Source>,
    store: Store,
) {
    while let Some(LabelRequest { body, user, reply }) = requests.recv().await {
        let answer = match on {
            true => take_one(&body, user, &register, &source, &store).await,
            false => Err((403, vec![OFF.to_string()])),
        };
        // Whoever asked may have hung up; the label is stored all the same.
        let _ = reply.send(answer);
    }
}

async fn take_one(
    body: &[u8],
    user: Option<String>,
    register: &Register,
    source: &Arc<dyn Source>,
    store: &Store,
) -> Result<serde_json::Value, (u16, Vec<String>)> {
    let bad = |problems| (400, problems);
    let new = NewLabel::from_json(body).map_err(bad)?;
    let label = new.check(Origin { author: user, source: "api" }, now_s()).map_err(bad)?;
    let Some(running) = register.get(&label.watch) else {
        let known = register.names().join(", ");
        let what = format!("watch: no watch is named {:?}; there are: {known}", label.watch);
        return Err((400, vec![what]));
    };
    let (rows, warning) = match gather::label_rows(source, &running.watch, &label).await {
        Ok(Some(rows)) => (Some(rows), None),
        Ok(None) => {
            let what = "no samples of this entity in the interval: is its name right?";
            (None, Some(format!("{what} entity {}", label.entity)))
        }
        Err(error) => {
            // The label is what a person gave: it is kept now, its rows are fetched at the training.
            tracing::warn!(watch = label.watch, %error, "label stored without its rows");
            (None, Some(format!("its rows will be fetched later: {error}")))
        }
    };
    let has_rows = rows.is_some();
    let id = keep(store, label, rows).await.map_err(|error| (500, vec![error.to_string()]))?;
    let mut data =
        serde_json::json!({ "id": id, "rows_stored": has_rows, "training": "requested" });
    if let Some(warning) = warning {
        data["warning"] = warning.into();
    }
    Ok(data)
}

async fn keep(store: &Store, label: Label, rows: Option<LabelRows>) -> Result<i64, Error> {
    let store = store.clone();
    let kept = tokio::task::spawn_blocking(move || add(&store, &label, rows.as_ref()));
    Ok(kept.await??)
}

/// Stores a label and asks for a training: in the store, so that a kill does not lose it; whoever looks
/// there starts it.
fn add(store: &Store, label: &Label, rows: Option<&LabelRows>) -> Result<i64, StoreError> {
    let id = store.add_label(label, rows)?;
    store.request_training(&label.watch, "label")?;
    Ok(id)
}

/// Stores a label from the command line and asks the running sidecar to train.
///
/// The rows are fetched by the training: the command needs no way to the source.
///
/// # Errors
/// The label is not right (every problem, a line each), or cannot be stored.
pub fn add_label(store: &Path, new: NewLabel) -> Result<i64, Error> {
    let author = std::env::var("USER").ok().filter(|user| !user.is_empty());
    let label = new.check(Origin { author, source: "cli" }, now_s());
    let label = label.map_err(|problems| problems.join("\n"))?;
    Ok(add(&Store::open(store)?, &label, None)?)
}

/// The labels of a store as a table.
///
/// # Errors
/// The store cannot be opened.
pub fn list_labels(store: &Path) -> Result<String, Error> {
    let heads = [
        "ID", "WATCH", "ENTITY", "FROM", "TO", "VERDICT", "CLASS", "SOURCE", "AUTHOR", "ROWS",
        "NOTE",
    ];
    let mut table = vec![heads.map(String::from)];
    let time = |s: i64| jiff::Timestamp::from_second(s).map(|t| t.to_string()).unwrap_or_default();
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    for stored in existing(store)?.labels(None)? {
        let label = stored.label;
        table.push([
            stored.id.to_string(),
            label.watch,
            label.entity.to_string(),
            time(label.interval.from_s),
            time(label.interval.to_s),
            label.verdict.as_str().into(),
            or_dash(label.class),
            label.source,
            or_dash(label.author),
            if stored.has_rows { "yes".into() } else { "no".into() },
            label.note.unwrap_or_default().escape_debug().to_string(),
        ]);
    }
    Ok(columns(&table))
}

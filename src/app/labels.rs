//! From what a person said to a stored label and a training.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Error;
use super::now_s;
use super::offline::columns;
use super::offline::existing;
use super::watching::Register;
use crate::gather;
use crate::gather::GatherError;
use crate::gather::Labelled;
use crate::labels::NewLabel;
use crate::labels::NewWithdrawal;
use crate::labels::Origin;
use crate::series::Entity;
use crate::source::Source;
use crate::source::SourceError;
use crate::store::LabelRows;
use crate::store::Store;
use crate::store::StoreError;
use crate::store::StoredLabel;
use crate::verdict::Label;
use crate::verdict::Withdrawal;
use crate::verdict::rfc3339;
use crate::watch::Watch;
use crate::web::LabelCall;
use crate::web::LabelRequest;

const OFF: &str = "the labels API is off: set `web: {labels_api: true}` in the configuration";

/// What is answered to one who speaks: the id, and what that person should know besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The label's.
    pub id: i64,
    /// Whether a training was asked for.
    pub training: bool,
    /// What else changes by it, or does not.
    pub warnings: Vec<String>,
}

/// A status of 400 or above, and what is wrong.
type Refusal = (u16, Vec<String>);

/// Requests that are worked on at once: a source that hangs must not hold up all others.
const MAX_AT_ONCE: usize = 16;

/// How long whoever posts a label waits for its rows: shorter than the usual client's patience.
const PATIENCE: Duration = Duration::from_secs(8);

/// Takes labels from the web API, or says that it is off. Ends with the channel.
pub(super) async fn take(
    on: bool,
    requests: &mut mpsc::Receiver<LabelRequest>,
    register: Register,
    source: Arc<dyn Source>,
    store: Store,
) {
    let mut answering = JoinSet::new();
    while let Some(request) = requests.recv().await {
        while answering.len() >= MAX_AT_ONCE {
            answering.join_next().await;
        }
        if !on {
            let _ = request.reply.send(Err((403, vec![OFF.to_string()])));
            continue;
        }
        let source = Arc::clone(&source);
        answering.spawn(answer(request, register.clone(), source, store.clone()));
    }
}

async fn answer(request: LabelRequest, register: Register, source: Arc<dyn Source>, store: Store) {
    let LabelRequest { call, body, user, reply } = request;
    let origin = Origin { author: user, source: "api" };
    let answer = match call {
        LabelCall::Add => take_one(&body, origin, &register, &source, &store).await,
        LabelCall::Withdraw(id) => take_back(id, &body, origin, &store).await,
    };
    // Whoever asked may have hung up; what was said is stored all the same.
    let _ = reply.send(answer);
}

async fn take_one(
    body: &[u8],
    origin: Origin,
    register: &Register,
    source: &Arc<dyn Source>,
    store: &Store,
) -> Result<Value, Refusal> {
    let bad = |problems| (400, problems);
    let new = NewLabel::from_json(body).map_err(bad)?;
    let label = new.check(origin, now_s()).map_err(bad)?;
    let Some(running) = register.get(&label.watch) else {
        let known = register.names().join(", ");
        let what = format!("watch: no watch is named {:?}; there are: {known}", label.watch);
        return Err((400, vec![what]));
    };
    entity_problem(&running.watch, &label).map_or(Ok(()), |problem| Err(bad(vec![problem])))?;
    let reading = gather::label_rows(source, &running.watch, &label, now_s(), 0);
    let read = tokio::time::timeout(PATIENCE, reading).await;
    let (rows, warning) = match read.unwrap_or_else(|_| Err(too_late(source))) {
        // Without a feature that is refused now, they are for the training to judge.
        Ok(Labelled::Rows(rows)) if rows.features.len() < running.watch.features.len() => {
            (None, Some("its rows will be fetched later: a query is refused".to_string()))
        }
        Ok(Labelled::Rows(rows)) => (Some(rows), None),
        Ok(Labelled::Unfinished(at_s)) => {
            let at = rfc3339(at_s);
            let what = "its rows are whole only at";
            (None, Some(format!("{what} {at}: a training follows then")))
        }
        Ok(Labelled::Nothing) => {
            let what = "in the interval: is its name right, and does the source reach back so far?";
            (None, Some(format!("no samples of the entity {:?} {what}", label.entity.to_string())))
        }
        Err(error) => {
            // The label is what a person gave: it is kept now, its rows are fetched at the training.
            tracing::warn!(watch = label.watch, %error, "label stored without its rows");
            (None, Some(format!("its rows will be fetched later: {error}")))
        }
    };
    let step_s = running.watch.step_s;
    let (mut said, has_rows) = with_store(store, move |store| {
        let said = add(store, &label, rows.as_ref())?;
        let kept = store.label_rows(said.id)?;
        Ok((said, kept.is_some_and(|kept| kept.window.grid.step_s == step_s)))
    })
    .await?;
    said.warnings.extend(warning);
    let data = json!({ "id": said.id, "rows_stored": has_rows, "training": "requested" });
    Ok(with_warnings(data, &said.warnings))
}

fn too_late(source: &Arc<dyn Source>) -> GatherError {
    let waited = format!("{}: no answer within {} s", source.describe(), PATIENCE.as_secs());
    GatherError { name: "label".into(), error: SourceError::Timeout(waited) }
}

/// An entity of other labels than the watch's cannot exist, now or later.
fn entity_problem(watch: &Watch, label: &Label) -> Option<String> {
    let strange = label.entity.pairs().find(|(name, _)| !watch.entity.iter().any(|n| n == name))?;
    let (name, known) = (strange.0, watch.entity.join(", "));
    Some(format!("entity: watch {} has no entity label {name:?}; there are: {known}", watch.name))
}

async fn take_back(id: i64, body: &[u8], origin: Origin, store: &Store) -> Result<Value, Refusal> {
    let withdrawal = NewWithdrawal::from_json(body).and_then(|new| new.check(origin, now_s()));
    let withdrawal = withdrawal.map_err(|problems| (400, problems))?;
    let said = with_store(store, move |store| withdraw(store, id, &withdrawal)).await?;
    let training = if said.training { "requested" } else { "not needed" };
    let data = json!({ "id": id, "withdrawn": true, "training": training });
    Ok(with_warnings(data, &said.warnings))
}

fn with_warnings(mut data: Value, warnings: &[String]) -> Value {
    if !warnings.is_empty() {
        data["warning"] = warnings.join("; ").into();
    }
    data
}

/// Runs store work off the async threads.
async fn with_store<T: Send + 'static>(
    store: &Store,
    work: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Refusal> {
    let store = store.clone();
    let done = tokio::task::spawn_blocking(move || work(&store)).await;
    match done {
        Ok(Ok(said)) => Ok(said),
        Ok(Err(StoreError::NotFound { wanted, .. })) => {
            Err((404, vec![format!("there is no {wanted}")]))
        }
        Ok(Err(error)) => Err((500, vec![error.to_string()])),
        Err(error) => Err((500, vec![error.to_string()])),
    }
}

/// Stores a label and asks for a training: in the store, so that a kill does not lose it; whoever looks
/// there starts it.
fn add(store: &Store, label: &Label, rows: Option<&LabelRows>) -> Result<Said, StoreError> {
    let before = store.labels(Some(&label.watch))?;
    let id = store.add_label(label, rows)?;
    store.request_training(&label.watch, "label")?;
    let contradicted = before.iter().filter(|other| other.id < id).filter_map(|other| {
        let shared = label.contradicts(&other.label)?;
        let older = other.label.named(other.id);
        Some(format!("label {id} contradicts {older} in {shared}; the later word holds there"))
    });
    let mut warnings: Vec<String> = contradicted.collect();
    let holds = store.holds(&label.watch, label.created_s)?.of.into_iter();
    let of_it = holds.filter(|(key, _)| key.entity == label.entity);
    warnings.extend(of_it.map(|(key, hold)| format!("{key} does not learn it yet: {hold}")));
    Ok(Said { id, training: true, warnings })
}

/// Takes a label back and asks for a training; once, however often it is said.
fn withdraw(store: &Store, id: i64, withdrawal: &Withdrawal) -> Result<Said, StoreError> {
    let StoredLabel { label, withdrawn, .. } = store.withdraw_label(id, withdrawal)?;
    if let Some(first) = withdrawn {
        let warning = format!("label {id} was withdrawn before, {}", by(&first));
        return Ok(Said { id, training: false, warnings: vec![warning] });
    }
    store.request_training(&label.watch, "withdrawal")?;
    let again = |other: &StoredLabel| {
        let same = (&other.label.entity, other.label.interval) == (&label.entity, label.interval);
        other.id < id && (same || other.label.contradicts(&label).is_some())
    };
    let known = store.labels(Some(&label.watch))?;
    let again = known.iter().filter(|other| again(other));
    let again = again.map(|other| format!("{} holds again", other.label.named(other.id)));
    Ok(Said { id, training: true, warnings: again.collect() })
}

/// Who withdrew a label, when and why.
fn by(withdrawal: &Withdrawal) -> String {
    let Withdrawal { author, note, source, created_s } = withdrawal;
    let who = author.as_ref().map_or(format!("via {source}"), |author| format!("by {author}"));
    let why = note.as_ref().map_or(String::new(), |note| format!(": {note}"));
    format!("{} {who}{why}", rfc3339(*created_s))
}

/// Who speaks on the command line, where nobody is named.
pub(super) fn from_command_line(author: Option<String>) -> Origin {
    let author = author.or_else(|| std::env::var("USER").ok());
    Origin { author, source: "cli" }
}

/// Stores a label from the command line and asks the running sidecar to train.
///
/// The rows are fetched by the training: the command needs no way to the source.
///
/// # Errors
/// The label is not right (every problem, a line each) or no such entity can be in its `watch`, where
/// that is known; there is no store, or it cannot be written.
pub fn add_label(
    store: &Path,
    watch: Option<&Watch>,
    new: NewLabel,
    author: Option<String>,
) -> Result<Said, Error> {
    let label = new.check(from_command_line(author), now_s());
    let label = label.map_err(|problems| problems.join("\n"))?;
    if let Some(problem) = watch.and_then(|watch| entity_problem(watch, &label)) {
        return Err(problem.into());
    }
    let store = existing(store)?;
    let mut said = add(&store, &label, None)?;
    said.warnings.extend(unknown(&store, &label)?);
    Ok(said)
}

/// What makes one think that the label is for nobody: the store has models, and none of its entity.
fn unknown(store: &Store, label: &Label) -> Result<Option<String>, StoreError> {
    let models = store.models(None)?;
    let watches: BTreeSet<&str> = models.iter().map(|model| model.key.watch.as_str()).collect();
    let of_watch = models.iter().filter(|model| model.key.watch == label.watch);
    let entities: BTreeSet<&Entity> = of_watch.map(|model| &model.key.entity).collect();
    let (watch, entity) = (&label.watch, label.entity.to_string());
    Ok(if watches.is_empty() || entities.contains(&label.entity) {
        None
    } else if entities.is_empty() {
        let known: Vec<&str> = watches.into_iter().collect();
        Some(format!("no watch {watch:?} has ever been trained; there are: {}", known.join(", ")))
    } else {
        let known: Vec<String> = entities.iter().take(5).map(ToString::to_string).collect();
        let known = known.join(" | ");
        Some(format!("no model of {watch} knows the entity {entity:?}; there are such as: {known}"))
    })
}

/// Takes a label back from the command line and asks the running sidecar to train.
///
/// # Errors
/// There is no such label, or the store cannot be opened.
pub fn withdraw_label(
    store: &Path,
    id: i64,
    new: NewWithdrawal,
    author: Option<String>,
) -> Result<Said, Error> {
    let withdrawal = new.check(from_command_line(author), now_s());
    let withdrawal = withdrawal.map_err(|problems| problems.join("\n"))?;
    Ok(withdraw(&existing(store)?, id, &withdrawal)?)
}

/// The labels of a store, or of one watch, as a table; `all`: also those that were withdrawn or replaced.
///
/// # Errors
/// The store cannot be opened.
pub fn list_labels(store: &Path, watch: Option<&str>, all: bool) -> Result<String, Error> {
    let heads = [
        "ID", "WATCH", "ENTITY", "FROM", "TO", "VERDICT", "CLASS", "SOURCE", "AUTHOR", "ROWS",
        "STATE", "NOTE",
    ];
    let mut table = vec![heads.map(String::from)];
    let or_dash = |text: Option<String>| text.map_or("-".into(), |text| shown(&text));
    let store = existing(store)?;
    let present = store.labels(watch)?;
    let listed = if all { store.label_log(watch)? } else { present.clone() };
    for stored in listed {
        let state = state(&stored, &present);
        let StoredLabel { id, label, has_rows, withdrawn } = stored;
        let note = label.note.as_deref().map(shown);
        let back = withdrawn.map(|withdrawn| format!("withdrawn {}", shown(&by(&withdrawn))));
        table.push([
            id.to_string(),
            label.watch,
            label.entity.to_string(),
            rfc3339(label.interval.from_s),
            rfc3339(label.interval.to_s),
            label.verdict.as_str().into(),
            or_dash(label.class),
            label.source,
            or_dash(label.author),
            if has_rows { "yes".into() } else { "no".into() },
            state,
            note.into_iter().chain(back).collect::<Vec<_>>().join("; "),
        ]);
    }
    Ok(columns(&table))
}

/// Free text on a terminal.
fn shown(text: &str) -> String {
    text.escape_debug().to_string()
}

/// Whether a label counts, beside those that are present.
fn state(stored: &StoredLabel, present: &[StoredLabel]) -> String {
    let StoredLabel { id, label, withdrawn, .. } = stored;
    if withdrawn.is_some() {
        return "withdrawn".into();
    }
    let about = |label: &Label| (label.watch.clone(), label.entity.clone(), label.interval);
    let later = || present.iter().filter(|other| other.id > *id);
    if let Some(other) = later().find(|other| about(&other.label) == about(label)) {
        return format!("replaced by {}", other.id);
    }
    let contradicts = |other: &&StoredLabel| other.label.contradicts(label).is_some();
    let ids: Vec<String> = later().filter(contradicts).map(|other| other.id.to_string()).collect();
    if ids.is_empty() { "in use".into() } else { format!("contradicted by {}", ids.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Change;
    use crate::store::Deed;
    use crate::store::ModelKey;
    use crate::store::ModelState;
    use crate::store::ModelWord;
    use crate::store::NewModel;
    use crate::verdict::Interval;
    use crate::verdict::Verdict;

    #[test]
    fn a_label_for_what_was_never_trained_is_warned_of() {
        let store = Store::in_memory().unwrap();
        let said = |watch: &str, entity: &str| {
            let interval = Interval { from_s: 0, to_s: 60 };
            let label = Label {
                watch: watch.into(),
                entity: entity.parse().unwrap(),
                interval,
                verdict: Verdict::Anomaly,
                class: None,
                author: None,
                note: None,
                source: "cli".into(),
                created_s: 60,
            };
            unknown(&store, &label).unwrap()
        };
        assert_eq!(said("port", "port=a"), None, "nothing was ever trained");
        let entity = Entity::new([("port", "a")]);
        let (watch, feature, detector) = ("ports".into(), None, "stl".into());
        let model = NewModel {
            key: ModelKey { watch, entity, feature, detector },
            card: Value::Null,
            bytes: Vec::new(),
            sha256: String::new(),
            trained_s: 0,
        };
        store.add_models(&[model], &ModelState::Promoted).unwrap();
        assert_eq!(said("ports", "port=a"), None);
        let wanted = "no model of ports knows the entity \"port=b\"; there are such as: port=a";
        assert_eq!(said("ports", "port=b").unwrap(), wanted);
        let wanted = "no watch \"port\" has ever been trained; there are: ports";
        assert_eq!(said("port", "port=a").unwrap(), wanted);
    }

    #[test]
    fn a_label_that_a_held_version_does_not_learn_says_so() {
        let store = Store::in_memory().unwrap();
        let key = |port: &str| ModelKey {
            watch: "ports".into(),
            entity: Entity::new([("port", port)]),
            feature: None,
            detector: "stl".into(),
        };
        for port in ["a", "b"] {
            let (card, bytes, sha256) = (Value::Null, Vec::new(), String::new());
            let model = NewModel { key: key(port), card, bytes, sha256, trained_s: 0 };
            store.add_models(&[model], &ModelState::Promoted).unwrap();
        }
        let word = ModelWord {
            deed: Deed::Promote,
            before: None,
            hold_until_s: Some(100),
            author: Some("ann".into()),
            note: None,
            created_s: 50,
        };
        let again = Change { key: key("a"), from: Some(1), to: Some(1) };
        store.put_in_use(&[again], &word).unwrap();
        let said = |port: &str, created_s: i64| {
            let label = Label {
                watch: "ports".into(),
                entity: Entity::new([("port", port)]),
                interval: Interval { from_s: 0, to_s: 30 },
                verdict: Verdict::Anomaly,
                class: None,
                author: None,
                note: None,
                source: "cli".into(),
                created_s,
            };
            add(&store, &label, None).unwrap().warnings
        };
        let wanted = "ports/stl{port=a} does not learn it yet: version 1 was put in use by ann, and is held until \
                      1970-01-01T00:01:40Z";
        assert_eq!((said("a", 60), said("b", 60)), (vec![wanted.to_string()], vec![]));
        assert_eq!(said("a", 100), [""; 0]);
    }
}

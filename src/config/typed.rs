//! From a tree of YAML to the sections of the file, or to everything that does not fit.
//!
//! Owns: going on after a mistake of type or of a key's name.
//! Does not own: what the values say (`watches`, `source`).

use serde::de::DeserializeOwned;
use serde_yaml::Value;

use super::load::Found;
use super::load::MAX_PROBLEMS;
use super::load::without_place;
use super::places::join;
use super::raw;

/// A watch that cannot be read at all is `None`, so that the others keep their index.
pub(super) type Sections = Option<Vec<Option<raw::WatchSection>>>;

/// Reads a file. Each watch by itself: a mistake costs a second look at its watch, not at the file.
pub(super) fn sections(mut tree: Value, found: &mut Vec<Found>) -> (raw::File, Sections) {
    let entries = match tree.get_mut("watches") {
        Some(Value::Sequence(entries)) => Some(std::mem::take(entries)),
        _ => None,
    };
    let file = typed(tree, "", found).unwrap_or_default();
    let one = |(i, entry)| typed(entry, &format!("watches[{i}]"), found);
    (file, entries.map(|entries| entries.into_iter().enumerate().map(one).collect()))
}

/// Deserializes; a part that cannot be is noted and taken out, so that the next problem shows too.
pub(super) fn typed<T: DeserializeOwned>(
    mut tree: Value,
    within: &str,
    found: &mut Vec<Found>,
) -> Option<T> {
    while found.len() < MAX_PROBLEMS {
        let text = serde_yaml::to_string(&tree).unwrap_or_default();
        let error = match serde_yaml::from_str::<T>(&text) {
            Ok(value) => return Some(value),
            Err(error) => error.to_string(),
        };
        let (path, what) = split_path(without_place(&error));
        let unknown = what.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next());
        let at = unknown.map_or_else(|| path.to_string(), |field| join(path, field));
        let whole = if at.is_empty() { within.to_string() } else { join(within, &at) };
        found.push((whole, what.to_string()));
        if !remove(&mut tree, &steps(&at)) {
            break;
        }
    }
    None
}

/// Splits serde_yaml's `path: message`.
fn split_path(message: &str) -> (&str, &str) {
    match message.split_once(": ") {
        Some((path, what)) if !path.contains([' ', '`']) => (path, what),
        _ => ("", message),
    }
}

/// Takes the part at a path out of the tree; an element of a list takes the list with it, so that the
/// other elements keep their index.
fn remove(tree: &mut Value, path: &[Step]) -> bool {
    let Some(last_key) = path.iter().rposition(|step| matches!(step, Step::Key(_))) else {
        return false;
    };
    let mut parent = tree;
    for step in &path[..last_key] {
        let child = match step {
            Step::Key(key) => parent.get_mut(key.as_str()),
            Step::Index(i) => parent.get_mut(i),
        };
        match child {
            Some(child) => parent = child,
            None => return false,
        }
    }
    match (&path[last_key], parent) {
        (Step::Key(key), Value::Mapping(mapping)) => mapping.remove(key.as_str()).is_some(),
        _ => false,
    }
}

/// A step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

/// `watches[1].queries.in` as steps.
fn steps(path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for part in path.split('.').filter(|part| !part.is_empty()) {
        let (key, indices) = part.split_once('[').map_or((part, ""), |(k, i)| (k, i));
        if !key.is_empty() {
            steps.push(Step::Key(key.to_string()));
        }
        let indices = indices.split('[').filter_map(|i| i.trim_end_matches(']').parse().ok());
        steps.extend(indices.map(Step::Index));
    }
    steps
}

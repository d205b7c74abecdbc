//! From text to a configuration, or to the list of everything that is wrong with it.

use std::path::Path;

use serde_yaml::Value;

use super::Config;
use super::Problem;
use super::Problems;
use super::problems::Step;
use super::problems::line_of;
use super::problems::steps;
use super::raw;
use super::watches;

/// No file has more problems than anyone will read.
const MAX_PROBLEMS: usize = 100;

/// A path and what is wrong there.
pub(super) type Found = (String, String);

/// Reads and checks a file.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load(path: &Path) -> Result<Config, Problems> {
    load_for(path, true)
}

/// As [`load`], for a server that knows native histograms or one that refuses what names them.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load_for(path: &Path, native_histograms: bool) -> Result<Config, Problems> {
    let file = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => parse_for(&file, &text, native_histograms),
        Err(error) => {
            let what = format!("cannot be read: {error}");
            Err(Problems { file, list: vec![Problem { at: String::new(), line: None, what }] })
        }
    }
}

/// Checks a file's text. `file` is its name, for messages.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse(file: &str, text: &str) -> Result<Config, Problems> {
    parse_for(file, text, true)
}

fn parse_for(file: &str, text: &str, native_histograms: bool) -> Result<Config, Problems> {
    // What editors on Windows put before the first letter.
    let text = text.trim_start_matches('\u{feff}');
    let mut tree: Value = serde_yaml::from_str(text).map_err(|error| {
        let line = error.location().map(|l| l.line());
        let what = format!("not YAML: {}", without_place(&error.to_string()));
        Problems { file: file.to_string(), list: vec![Problem { at: String::new(), line, what }] }
    })?;
    if tree.is_null() {
        tree = Value::Mapping(Default::default());
    }
    let mut found = Vec::new();
    expand_environment(&mut tree, "", &mut found);
    let mut raw = typed(tree, &mut found);
    for watch in raw.watches.iter_mut().flatten() {
        watch.native_histograms.get_or_insert(native_histograms);
    }
    let config = resolve(raw, &mut found);
    if found.is_empty() {
        return Ok(config);
    }
    let problem = |(at, what): Found| Problem { line: line_of(text, &at), at, what };
    let mut list: Vec<Problem> = found.into_iter().map(problem).collect();
    list.sort_by_key(|problem| problem.line.unwrap_or(0));
    Err(Problems { file: file.to_string(), list })
}

fn resolve(raw: raw::File, found: &mut Vec<Found>) -> Config {
    if let Some(config) = &raw.source.prometheus {
        for problem in config.problems() {
            let (field, what) = problem.split_once(": ").unwrap_or(("", problem.as_str()));
            found.push((format!("source.prometheus.{field}"), what.to_string()));
        }
    }
    Config {
        source: raw.source.prometheus.map(Box::new),
        watches: raw.watches.map(|sections| watches::resolve(&sections, found)),
        store: raw.store.path,
        labels_api: raw.web.labels_api,
    }
}

/// Deserializes; a part that cannot be is noted and taken out, so that the next problem shows too.
fn typed(mut tree: Value, found: &mut Vec<Found>) -> raw::File {
    while found.len() < MAX_PROBLEMS {
        let text = serde_yaml::to_string(&tree).unwrap_or_default();
        let error = match serde_yaml::from_str::<raw::File>(&text) {
            Ok(file) => return file,
            Err(error) => error.to_string(),
        };
        let (path, what) = split_path(without_place(&error));
        let unknown = what.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next());
        let at = match unknown {
            Some(field) if path.is_empty() => field.to_string(),
            Some(field) => format!("{path}.{field}"),
            None => path.to_string(),
        };
        found.push((at.clone(), what.to_string()));
        if !remove(&mut tree, &steps(&at)) {
            break;
        }
    }
    raw::File::default()
}

/// serde_yaml's messages end in the place within the text that it read, which is not the user's.
fn without_place(message: &str) -> &str {
    message.rfind(" at line ").map_or(message, |end| &message[..end])
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

/// Replaces `${NAME}` in every string by the environment's value.
fn expand_environment(tree: &mut Value, at: &str, found: &mut Vec<Found>) {
    match tree {
        Value::String(text) => match expand(text, |name| std::env::var(name).ok()) {
            Ok(expanded) => *text = expanded,
            Err(name) => {
                let what = format!("the environment variable {name} is not set");
                found.push((at.to_string(), what));
            }
        },
        Value::Sequence(items) => {
            for (i, item) in items.iter_mut().enumerate() {
                expand_environment(item, &format!("{at}[{i}]"), found);
            }
        }
        Value::Mapping(mapping) => {
            for (key, value) in mapping.iter_mut() {
                let key = key.as_str().unwrap_or_default();
                let at = if at.is_empty() { key.to_string() } else { format!("{at}.{key}") };
                expand_environment(value, &at, found);
            }
        }
        _ => {}
    }
}

fn expand(text: &str, lookup: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, tail)) = after.split_once('}') else { break };
        expanded.push_str(before);
        expanded.push_str(&lookup(name).ok_or_else(|| name.to_string())?);
        rest = tail;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environment_is_expanded() {
        let lookup = |name: &str| (name == "TOKEN").then(|| "s3cret".to_string());
        assert_eq!(
            expand("a ${TOKEN} $rate_window $", lookup),
            Ok("a s3cret $rate_window $".into())
        );
        assert_eq!(expand("${NOT_SET}", lookup), Err("NOT_SET".into()));
        assert_eq!(expand("open ${TOKEN", lookup), Ok("open ${TOKEN".into()));
    }

    #[test]
    fn native_histograms_are_asked_for_only_where_they_are_known() {
        let queries = |text: &str, native| {
            let config = parse_for("portent.yml", text, native).unwrap();
            let features = config.watches.into_iter().flatten().flat_map(|watch| watch.features);
            features.map(|feature| feature.query).collect::<Vec<_>>().join("\n")
        };
        let preset = "watches: [{name: dns, preset: coredns}]";
        assert!(queries(preset, true).contains("histogram_count("));
        assert!(!queries(preset, false).contains("histogram_"));
        let said = "watches: [{name: dns, preset: coredns, native_histograms: true}]";
        assert!(queries(said, false).contains("histogram_count("), "the file has the last word");
    }

    #[test]
    fn every_problem_shows_at_once() {
        let text =
            "watchs: []\nwatches:\n  - name: a\n    step: 5\n    stepp: 1s\n    queries: {q: up}\n";
        let problems = parse("portent.yml", text).unwrap_err();
        let lines: Vec<_> = problems.list.iter().map(|p| (p.at.as_str(), p.line)).collect();
        let wanted =
            [("watchs", Some(1)), ("watches[0].step", Some(4)), ("watches[0].stepp", Some(5))];
        assert_eq!(lines, wanted, "{problems}");
    }
}

//! Rule files of Prometheus, and `PrometheusRule` objects of its operator.
//!
//! Owns: their shape, and everything that is wrong with them at once. Unknown keys are wrong, as to promtool.
//! Does not own: what a rule says (`weak`), whether its expression and templates are ones (the server).
//!
//! A file is one or more documents: `groups: […]`, or an object with `kind: PrometheusRule` and `spec.groups`, or a
//! list of such objects, as kubectl prints it. Objects of other kinds are passed over.

mod raw;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;

use serde_yaml::Value;

use super::Problem;
use super::Problems;
use super::load::Found;
use super::load::not_yaml;
use super::load::problems;
use super::load::text;
use super::places::Places;
use super::places::join;
use super::typed::typed;
use crate::weak::Group;
use crate::weak::Recording;
use crate::weak::Rule;
use raw::RawGroup;
use raw::RawRule;

/// Prometheus' `evaluation_interval` where nobody says another.
const USUAL_INTERVAL_S: i64 = 60;

/// Reads a rule file.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load_rules(path: &Path) -> Result<Vec<Group>, Problems> {
    let file = path.display().to_string();
    let fail = |what| Err(problems(&file, vec![Problem { at: String::new(), line: None, what }]));
    match text(path) {
        Ok(Some(text)) => parse_rules(&file, &text),
        Ok(None) => fail("too long; wanted at most 4 MiB".to_string()),
        Err(error) => fail(format!("cannot be read: {error}")),
    }
}

/// Reads a rule file's text. `file` is its name, for messages.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse_rules(file: &str, text: &str) -> Result<Vec<Group>, Problems> {
    let (mut groups, mut list) = (Vec::new(), Vec::new());
    let documents = documents(text.trim_start_matches('\u{feff}'));
    let several = documents.len() > 1;
    for (i, (above, text)) in documents.into_iter().enumerate() {
        let (found, wrong) = document(file, above, &text);
        groups.extend(found);
        list.extend(wrong.into_iter().map(|mut problem| {
            problem.line = problem.line.map(|line| line + above);
            if several {
                let document = format!("document[{i}]");
                let whole = problem.at.is_empty();
                problem.at = if whole { document } else { join(&document, &problem.at) };
            }
            problem
        }));
    }
    if groups.is_empty() && list.is_empty() {
        let what = "no rules; wanted `groups: […]`, or an object of kind PrometheusRule";
        list.push(Problem { at: String::new(), line: None, what: what.to_string() });
    }
    if list.is_empty() { Ok(groups) } else { Err(problems(file, list)) }
}

/// The documents, each with the number of lines above it. Nothing else of YAML's begins a line with `---`.
fn documents(text: &str) -> Vec<(usize, String)> {
    let mut documents = vec![(0, String::new())];
    for (i, line) in text.lines().enumerate() {
        let marker = line.strip_prefix("---").filter(|rest| !rest.starts_with(|c| c > ' '));
        if let Some(rest) = marker {
            documents.push((i, format!("   {rest}\n")));
        } else if let Some((_, document)) = documents.last_mut() {
            document.push_str(if line.trim_end() == "..." { "" } else { line });
            document.push('\n');
        }
    }
    let says_something = |line: &str| !line.trim().is_empty() && !line.trim().starts_with('#');
    documents.retain(|(_, document)| document.lines().any(says_something));
    documents
}

/// The groups of a document, and what is wrong with it; lines count from its first.
fn document(file: &str, above: usize, text: &str) -> (Vec<Group>, Vec<Problem>) {
    let tree: Result<Value, _> = serde_yaml::from_str(text);
    let mut tree = match tree {
        Ok(tree) => tree,
        Err(error) => return (Vec::new(), not_yaml(text, &error)),
    };
    let places = Places::of(text);
    let mut found = Vec::new();
    if let Err(error) = tree.apply_merge() {
        found.push((String::new(), error.to_string()));
    }
    let mut reading = Reading { file, above, places: &places, found, groups: Vec::new() };
    reading.object(tree, "", true);
    let Reading { found, groups, .. } = reading;
    let problem = |(at, what): Found| Problem { line: places.line(&at), at, what };
    (groups, found.into_iter().map(problem).collect())
}

/// A document while it is read.
struct Reading<'a> {
    file: &'a str,
    above: usize,
    places: &'a Places,
    found: Vec<Found>,
    groups: Vec<Group>,
}

impl Reading<'_> {
    fn object(&mut self, mut tree: Value, at: &str, may_be_plain: bool) {
        let kind = tree.get("kind").and_then(Value::as_str).map(str::to_string);
        match kind.as_deref() {
            Some("PrometheusRule") => {
                let at = join(at, "spec");
                match tree.get_mut("spec").map(std::mem::take) {
                    Some(spec) => self.groups_of(spec, &at),
                    None => self.wrong(at, "missing"),
                }
            }
            Some("List" | "PrometheusRuleList") => {
                let items = tree.get_mut("items").map(std::mem::take);
                let Some(Value::Sequence(items)) = items else { return };
                for (i, item) in items.into_iter().enumerate() {
                    self.object(item, &join(at, &format!("items[{i}]")), false);
                }
            }
            None if may_be_plain => self.groups_of(tree, at),
            _ => {}
        }
    }

    fn wrong(&mut self, at: String, what: impl Into<String>) {
        self.found.push((at, what.into()));
    }

    fn groups_of(&mut self, tree: Value, at: &str) {
        let Value::Mapping(mapping) = tree else {
            return self.wrong(at.to_string(), "not a mapping; wanted `groups: […]`");
        };
        let mut names = BTreeSet::new();
        for (key, value) in mapping {
            let key = key.as_str().unwrap_or_default().to_string();
            let at = join(at, &key);
            match (key.as_str(), value) {
                ("groups", Value::Sequence(groups)) => {
                    for (i, group) in groups.into_iter().enumerate() {
                        self.group(group, &format!("{at}[{i}]"), &mut names);
                    }
                }
                ("groups", Value::Null) => {}
                ("groups", _) => self.wrong(at, "not a list; wanted a list of groups"),
                _ => self.wrong(at, format!("unknown field `{key}`, expected `groups`")),
            }
        }
    }

    fn group(&mut self, mut tree: Value, at: &str, names: &mut BTreeSet<String>) {
        let rules = tree.as_mapping_mut().and_then(|mapping| mapping.remove("rules"));
        let Some(raw) = typed::<RawGroup>(tree, at, &mut self.found) else { return };
        let name = raw.name.map(|name| name.0).unwrap_or_default();
        if name.is_empty() {
            self.wrong(join(at, "name"), "empty; wanted a name");
        } else if !names.insert(name.clone()) {
            self.wrong(join(at, "name"), format!("{name:?} is another group's of the same file"));
        }
        self.label_names(&raw.labels, &join(at, "labels"));
        let interval_s = raw.interval.map_or(0, |seconds| seconds.0);
        let interval_s = if interval_s > 0 { interval_s } else { USUAL_INTERVAL_S };
        let (file, limit) = (self.file.to_string(), raw.limit.max(0) as usize);
        let (alerts, records) = (Vec::new(), Vec::new());
        let mut group = Group { file, name, interval_s, limit, alerts, records };
        match rules {
            Some(Value::Sequence(rules)) => {
                for (i, rule) in rules.into_iter().enumerate() {
                    self.rule(rule, &format!("{at}.rules[{i}]"), &raw.labels, &mut group);
                }
            }
            None | Some(Value::Null) => {}
            Some(_) => self.wrong(join(at, "rules"), "not a list; wanted a list of rules"),
        }
        self.groups.push(group);
    }

    fn rule(&mut self, tree: Value, at: &str, shared: &raw::Labels, group: &mut Group) {
        let Some(raw) = typed::<RawRule>(tree, at, &mut self.found) else { return };
        let given = |text: &Option<raw::Text>| text.as_ref().is_some_and(|text| !text.0.is_empty());
        match (given(&raw.alert), given(&raw.record)) {
            (true, true) => self.wrong(join(at, "record"), "beside alert; wanted one of the two"),
            (false, false) => self.wrong(at.to_string(), "neither alert nor record; wanted one"),
            _ => {}
        }
        if !given(&raw.expr) {
            self.wrong(join(at, "expr"), "missing; wanted PromQL");
        }
        self.label_names(&raw.labels, &join(at, "labels"));
        if raw.annotations.contains_key("") {
            self.wrong(join(at, "annotations"), "an empty name; wanted one");
        }
        let expr = raw.expr.map(|text| text.0).unwrap_or_default();
        let seconds = |given: Option<raw::Seconds>| given.map_or(0, |seconds| seconds.0);
        let (for_s, keep_firing_for_s) = (seconds(raw.for_), seconds(raw.keep_firing_for));
        if let Some(raw::Text(record)) = raw.record.filter(|text| !text.0.is_empty()) {
            let only_alerts = [
                ("for", for_s != 0),
                ("keep_firing_for", keep_firing_for_s != 0),
                ("annotations", !raw.annotations.is_empty()),
            ];
            for (key, _) in only_alerts.into_iter().filter(|(_, given)| *given) {
                self.wrong(join(at, key), "in a recording rule; wanted only in alerts");
            }
            // Any text, as of labels, but that is PromQL in the wrong place.
            if record.contains(['{', '}']) {
                self.wrong(join(at, "record"), format!("{record:?} is no metric's name"));
            }
            group.records.push(Recording { record, expr });
        } else if let Some(raw::Text(alert)) = raw.alert {
            let own = raw.labels.into_iter();
            let labels = shared.clone().into_iter().chain(own).map(|(name, text)| (name, text.0));
            let labels: BTreeMap<String, String> = labels.collect();
            let line = self.places.line(at).map(|line| line + self.above);
            group.alerts.push(Rule { alert, expr, for_s, keep_firing_for_s, labels, line });
        }
    }

    /// Since Prometheus 3 a name is any text; versions before it take letters, digits and `_`, and tell so themselves.
    fn label_names(&mut self, labels: &raw::Labels, at: &str) {
        if labels.contains_key("") {
            self.wrong(at.to_string(), "an empty name; wanted one");
        }
        if labels.contains_key("__name__") {
            self.wrong(join(at, "__name__"), "the metric's own name; wanted another label");
        }
    }
}

#[cfg(test)]
mod tests;

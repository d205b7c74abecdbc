//! Rules of Prometheus: which can never fire or always do, and what they say of history.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;

use super::Error;
use super::Inputs;
use super::now_s;
use super::offline::columns;
use super::say;
use crate::config;
use crate::gather;
use crate::labels::Time;
use crate::series::Entity;
use crate::source::Source;
use crate::verdict::Interval;
use crate::verdict::rfc3339;
use crate::weak;
use crate::weak::CLASS_LABEL;
use crate::weak::Finding;
use crate::weak::Group;
use crate::weak::WeakLabel;

/// What is told of alerts in which something was found.
const USELESS: &str = "can never fire as they are, or label nothing";

/// Prints every rule of the files that can never fire or labels nothing: by its text alone, or also by what the source has, where
/// `inputs` name one. Everything that is wrong with a file is among it.
///
/// # Errors
/// Something was found, a file cannot be read, or the source does not answer.
pub async fn lint_rules(files: &[PathBuf], inputs: &Inputs) -> Result<(), Error> {
    let (mut groups, mut problems) = (Vec::new(), Vec::new());
    for file in files {
        match config::load_rules(file) {
            Ok(read) => groups.extend(read),
            Err(wrong) => problems.push(wrong),
        }
    }
    for (group, rule) in weak::not_understood(&groups) {
        let name = (&group.file, &group.name, &rule.alert);
        tracing::warn!(file = name.0, group = name.1, alert = name.2, "expression not looked into");
    }
    let findings = match source(inputs)? {
        Some(source) => gather::lint(&source, &groups, now_s()).await?,
        None => weak::lint(&groups, &weak::Known::default()),
    };
    let lines = problems.iter().map(ToString::to_string).chain(findings.iter().flat_map(lines));
    let lines: Vec<String> = lines.map(|line| line + "\n").collect();
    say(&lines.concat())?;
    let n_rules: usize = groups.iter().map(|group| group.alerts.len()).sum();
    match (findings.len(), problems.len()) {
        (0, 0) => say(&format!("{n_rules} alerts: nothing found\n")),
        (0, files) => Err(format!("{files} of the files cannot be used").into()),
        (found, 0) => Err(format!("{found} of {n_rules} alerts {USELESS}").into()),
        (found, files) => Err(format!(
            "{found} of {n_rules} alerts {USELESS}; {files} of the files cannot be used"
        )
        .into()),
    }
}

/// Whatever the configuration or a flag names; nothing is asked where neither does.
fn source(inputs: &Inputs) -> Result<Option<Arc<dyn Source>>, Error> {
    if inputs.config_file.is_none() && inputs.prometheus_url.is_none() {
        return Ok(None);
    }
    inputs.source(&inputs.load()?).map(Some)
}

/// A line for each reason.
fn lines(finding: &Finding) -> Vec<String> {
    let Finding { file, line, group, alert, why } = finding;
    let line = line.map_or(String::new(), |line| format!(":{line}"));
    let place = format!("{file}{line}: group {}: alert {}", shown(group), shown(alert));
    why.iter().map(|why| format!("{place}: {}", shown(&why.to_string()))).collect()
}

/// A name of the user's may hold what moves the cursor of a terminal.
fn shown(text: &str) -> String {
    let one = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(one).collect()
}

/// What is asked of the rules.
#[derive(Debug, Clone)]
pub struct RulesEval {
    /// Files of rules.
    pub files: Vec<PathBuf>,
    /// When to begin, as people write times.
    pub from: String,
    /// When to end.
    pub to: String,
    /// The labels that are shown; empty: all that the expression gave.
    pub entity: Vec<String>,
    /// JSON instead of a table.
    pub json: bool,
}

/// Prints the weak labels of a stretch of history.
///
/// # Errors
/// A file or a time cannot be read, the source does not answer, or it refuses a rule (the others are printed).
pub async fn eval_rules(asked: &RulesEval, inputs: &Inputs) -> Result<(), Error> {
    let now_s = now_s();
    let time = |flag: &str, text: &str| {
        let read = Time::Text(text.to_string()).seconds(now_s);
        read.map_err(|error| format!("{flag}: {error}"))
    };
    let (from_s, to_s) = (time("--from", &asked.from)?, time("--to", &asked.to)?);
    // What is to come is not yet without anomalies.
    let to_s = to_s.min(now_s);
    if from_s >= to_s {
        return Err("--from: not before --to and now".into());
    }
    let mut groups = Vec::new();
    for file in &asked.files {
        groups.extend(config::load_rules(file)?);
    }
    let source = inputs.source(&inputs.load()?)?;
    let weak = gather::weak_labels(&source, &groups, Interval { from_s, to_s }).await?;
    say(&if asked.json {
        as_json(&groups, &weak.labels, &asked.entity)
    } else {
        as_table(&groups, &weak.labels, &asked.entity)
    })?;
    let failed = weak.failed.iter().map(|(name, error)| format!("{name}: {error}"));
    let problems: Vec<String> = failed.chain(weak.unread.iter().map(ToString::to_string)).collect();
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n").into()) }
}

/// The labels by which entities differ: those asked for, or all that are not the rule's own words.
fn entity(groups: &[Group], label: &WeakLabel, names: &[String]) -> Entity {
    if !names.is_empty() {
        return label.entity(names);
    }
    let group = groups.iter().find(|g| (&g.file, &g.name) == (&label.file, &label.group));
    let rule = group.and_then(|g| g.alerts.iter().find(|rule| rule.alert == label.alert));
    let own = |name: &str, value: &str| {
        // The class has a column of its own, also where it came from a label of the series.
        ["alertname", CLASS_LABEL].contains(&name)
            || rule.is_some_and(|rule| rule.labels.get(name).is_some_and(|said| said == value))
    };
    Entity::new(label.labels.pairs().filter(|(name, value)| !own(name, value)))
}

fn as_table(groups: &[Group], labels: &[WeakLabel], names: &[String]) -> String {
    let mut table = vec![["CLASS", "ENTITY", "FROM", "TO", "STATE", "ALERT"].map(String::from)];
    for label in labels {
        let entity = entity(groups, label, names).to_string();
        table.push([
            label.class.as_deref().map_or("-".into(), shown),
            if entity.is_empty() { "-".into() } else { shown(&entity) },
            rfc3339(label.interval.from_s),
            rfc3339(label.interval.to_s),
            label.state.to_string(),
            shown(&label.alert),
        ]);
    }
    columns(&table)
}

/// A JSON array, an object a line.
fn as_json(groups: &[Group], labels: &[WeakLabel], names: &[String]) -> String {
    let one = |label: &WeakLabel| {
        json!({
            "class": label.class,
            "entity": entity(groups, label, names),
            "from": rfc3339(label.interval.from_s),
            "to": rfc3339(label.interval.to_s),
            "state": label.state,
            "active_since": rfc3339(label.active_s),
            "alert": label.alert,
            "group": label.group,
            "file": label.file,
        })
    };
    let lines: Vec<String> = labels.iter().map(|label| format!("  {}", one(label))).collect();
    if lines.is_empty() { "[]\n".into() } else { format!("[\n{}\n]\n", lines.join(",\n")) }
}

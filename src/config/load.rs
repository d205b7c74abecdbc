//! From text to a configuration, or to the list of everything that is wrong with it.

use std::io::Read;
use std::path::Path;

use serde_yaml::Value;

use super::Config;
use super::Problem;
use super::Problems;
use super::calendar;
use super::places::Places;
use super::places::join;
use super::sources;
use super::typed;
use super::typed::Sections;
use super::watches;
use super::weak_labels;
use crate::math::calendar::Calendar;
use crate::source;

/// No file has more problems than anyone will read.
pub(super) const MAX_PROBLEMS: usize = 100;

/// No file of people's is longer: a thousand watches are a tenth of it.
const MAX_BYTES: u64 = 4 << 20;

/// A path and what is wrong there.
pub(super) type Found = (String, String);

/// How a text is read.
struct Reading<'a> {
    /// The file's name, for messages.
    file: &'a str,
    /// Where relative names of files begin.
    folder: &'a Path,
    /// Whether the server knows native histograms.
    native_histograms: bool,
    /// Whether the files that it names are opened.
    with_files: bool,
}

/// Reads and checks a file. Of the files that it names only those of rules are opened: the others may come later, or change.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load(path: &Path) -> Result<Config, Problems> {
    load_for(path, true)
}

/// As [`load`], and opens every file that it names.
///
/// # Errors
/// Everything that is wrong with it.
pub fn check(path: &Path) -> Result<Config, Problems> {
    read(path, true, true)
}

/// As [`load`], for a server that knows native histograms or one that refuses what names them.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load_for(path: &Path, native_histograms: bool) -> Result<Config, Problems> {
    read(path, native_histograms, false)
}

fn read(path: &Path, native_histograms: bool, with_files: bool) -> Result<Config, Problems> {
    let file = &path.display().to_string();
    let folder = path.parent().unwrap_or(Path::new(""));
    let reading = Reading { file, folder, native_histograms, with_files };
    match text(path) {
        Ok(Some(text)) => reading.parse(&text),
        Ok(None) => reading.fail(format!("too long; wanted at most {} MiB", MAX_BYTES >> 20)),
        Err(error) => reading.fail(format!("cannot be read: {error}")),
    }
}

/// The text; `None` where it is too long.
pub(super) fn text(path: &Path) -> std::io::Result<Option<String>> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    Ok((text.len() as u64 <= MAX_BYTES).then_some(text))
}

/// Checks a file's text. `file` is its name, for messages.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse(file: &str, text: &str) -> Result<Config, Problems> {
    let folder = Path::new("");
    Reading { file, folder, native_histograms: true, with_files: false }.parse(text)
}

impl Reading<'_> {
    fn parse(&self, text: &str) -> Result<Config, Problems> {
        // What editors on Windows put before the first letter.
        let text = text.trim_start_matches('\u{feff}');
        let mut tree: Value =
            serde_yaml::from_str(text).map_err(|error| self.problems(not_yaml(text, &error)))?;
        if tree.is_null() {
            tree = Value::Mapping(Default::default());
        }
        let mut found = Vec::new();
        expand_environment(&mut tree, "", &mut found);
        let (raw, mut sections) = typed::sections(tree, &mut found);
        for section in sections.iter_mut().flatten().flatten() {
            section.native_histograms.get_or_insert(self.native_histograms);
            section.folder = self.folder.to_path_buf();
        }
        let rule_files = sections.as_deref().map(weak_labels::files).unwrap_or_default();
        let source = sources::resolve(raw.source, self.folder, &mut found);
        let calendar =
            calendar::resolve(&raw.calendar, &Calendar::default(), "calendar", &mut found);
        let watches = self.watches(source.as_ref(), sections, &calendar, &mut found);
        let (store, labels_api) = (raw.store.path, raw.web.labels_api);
        if store.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
            found.push(("store.path".into(), "empty; wanted a folder".into()));
        }
        // As all names of files in it.
        let store = store.map(|path| self.folder.join(path));
        let config = Config { source, watches, calendar, store, labels_api, rule_files };
        if self.with_files {
            sources::check_files(&config, &mut found);
        }
        if found.is_empty() {
            return Ok(config);
        }
        let places = Places::of(text);
        let problem = |(at, what): Found| Problem { line: places.line(&at), at, what };
        Err(self.problems(found.into_iter().map(problem).collect()))
    }

    fn watches(
        &self,
        source: Option<&source::Config>,
        mut sections: Sections,
        calendar: &Calendar,
        found: &mut Vec<Found>,
    ) -> Option<Vec<crate::watch::Watch>> {
        if let Some(source::Config::Csv(_)) = source {
            sources::suit_csv(&mut sections, found);
        }
        sections.map(|sections| watches::resolve(&sections, calendar, found))
    }

    fn fail(&self, what: String) -> Result<Config, Problems> {
        Err(self.problems(vec![Problem { at: String::new(), line: None, what }]))
    }

    fn problems(&self, list: Vec<Problem>) -> Problems {
        problems(self.file, list)
    }
}

/// What is wrong with a file, in its order, and no more of it than anyone will read.
pub(super) fn problems(file: &str, mut list: Vec<Problem>) -> Problems {
    list.sort_by_key(|problem| problem.line.unwrap_or(0));
    let n_more = list.len().saturating_sub(MAX_PROBLEMS);
    list.truncate(MAX_PROBLEMS);
    if n_more > 0 {
        let what = format!("{n_more} more problems");
        list.push(Problem { at: String::new(), line: None, what });
    }
    Problems { file: file.to_string(), list }
}

/// Why there is no tree: at best, what its writer did there.
pub(super) fn not_yaml(text: &str, error: &serde_yaml::Error) -> Vec<Problem> {
    let places = Places::of(text);
    let twice = places.twice.into_iter().map(|(at, first, second)| {
        let what = format!("given twice, before in line {first}; wanted once");
        Problem { at, line: Some(second), what }
    });
    let second = places.second_document.map(|line| {
        let what = "a second document (after ---); wanted one".to_string();
        Problem { at: String::new(), line: Some(line), what }
    });
    let list: Vec<Problem> = twice.chain(second).collect();
    if !list.is_empty() {
        return list;
    }
    let line = error.location().map(|l| l.line());
    let what = format!("not YAML: {}", without_place(&error.to_string()));
    vec![Problem { at: String::new(), line, what }]
}

/// serde_yaml's messages end in the place within the text that it read, which is not the user's.
pub(super) fn without_place(message: &str) -> &str {
    message.rfind(" at line ").map_or(message, |end| &message[..end])
}

/// Replaces `${NAME}` in every string by the environment's value.
fn expand_environment(tree: &mut Value, at: &str, found: &mut Vec<Found>) {
    match tree {
        Value::String(text) => match expand(text, |name| std::env::var(name).ok()) {
            Ok(expanded) => *text = expanded,
            Err(name) => {
                let what = match at.contains(".queries.") {
                    true => {
                        format!("the environment variable {name} is not set; a group is ${name}")
                    }
                    false => format!("the environment variable {name} is not set"),
                };
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
                expand_environment(value, &join(at, key), found);
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
        // `${1}` is PromQL's: what `label_replace` matched.
        if !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            expanded.push_str("${");
            rest = after;
            continue;
        }
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
        assert_eq!(expand("${1}-${TOKEN}", lookup), Ok("${1}-s3cret".into()));
        assert_eq!(expand("open ${TOKEN", lookup), Ok("open ${TOKEN".into()));
    }

    #[test]
    fn a_store_begins_in_the_folder_of_the_file() {
        let reading = Reading {
            file: "portent.yml",
            folder: Path::new("/etc/portent"),
            native_histograms: true,
            with_files: false,
        };
        let store = |path: &str| {
            let text =
                format!("store: {{path: {path}}}\nsource: {{prometheus: {{url: 'http://p'}}}}");
            reading.parse(&text).unwrap().store.unwrap()
        };
        assert_eq!(store("../data"), Path::new("/etc/portent/../data"));
        assert_eq!(store("/var/lib/portent"), Path::new("/var/lib/portent"));
    }

    #[test]
    fn native_histograms_are_asked_for_only_where_they_are_known() {
        let queries = |text: &str, native| {
            let reading = Reading {
                file: "portent.yml",
                folder: Path::new(""),
                native_histograms: native,
                with_files: false,
            };
            let config = reading.parse(text).unwrap();
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

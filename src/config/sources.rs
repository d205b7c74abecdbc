//! Which source the file names, and what that asks of the watches and of other files.

use std::path::Path;
use std::path::PathBuf;

use super::Config;
use super::load::Found;
use super::places::join;
use super::presets::Preset;
use super::raw::SourceSection;
use super::raw::WatchSection;
use super::typed::Sections;
use crate::source;
use crate::source::csv::Csv;
use crate::source::csv::CsvFile;
use crate::watch::Watch;

/// The source; `None` where the file leaves it to a flag. Relative names of files begin in `folder`.
pub(super) fn resolve(
    section: SourceSection,
    folder: &Path,
    found: &mut Vec<Found>,
) -> Option<source::Config> {
    let SourceSection { prometheus, csv } = section;
    if prometheus.is_some() && csv.is_some() {
        found.push(("source".into(), "prometheus and csv; wanted one of them".into()));
    }
    for problem in prometheus.iter().flat_map(source::prometheus::Config::problems) {
        let (field, what) = problem.split_once(": ").unwrap_or(("", problem.as_str()));
        found.push((join("source.prometheus", field), what.to_string()));
    }
    let mut source = match (prometheus, csv) {
        (Some(config), _) => source::Config::Prometheus(Box::new(config)),
        (None, Some(config)) => source::Config::Csv(config),
        (None, None) => return None,
    };
    files(&mut source).into_iter().for_each(|(_, file)| *file = folder.join(&*file));
    Some(source)
}

/// Every file that a source names, with the path of the setting.
fn files(source: &mut source::Config) -> Vec<(String, &mut PathBuf)> {
    match source {
        source::Config::Prometheus(config) => {
            let files = config.files_mut().into_iter();
            files.map(|(at, file)| (join("source.prometheus", &at), file)).collect()
        }
        source::Config::Csv(config) => vec![("source.csv.file".into(), &mut config.file)],
    }
}

/// In a file nothing speaks PromQL, and there is one entity: the file.
pub(super) fn suit_csv(sections: &mut Sections, found: &mut Vec<Found>) {
    if sections.is_none() {
        let what = "missing; wanted at least one watch: in a CSV file nothing is found by itself";
        found.push(("watches".into(), what.into()));
    }
    for (i, section) in sections.iter_mut().flatten().enumerate() {
        let Some(WatchSection { preset, entity, .. }) = section else { continue };
        let mut problem = |field, what: String| found.push((format!("watches[{i}].{field}"), what));
        // One without queries only says how those of the entry are treated.
        let in_promql =
            |name: &str| Preset::read(name, true).is_none_or(|p| p.section.queries.is_some());
        if let Some(preset) = preset.as_deref().filter(|name| in_promql(name)) {
            let what =
                format!("{preset:?} is in PromQL and needs source.prometheus; wanted queries");
            problem("preset", what + " that name columns, such as {traffic: traffic}");
            // What it would have given is not worth complaining about, too.
            *section = None;
            continue;
        }
        let file = vec![Csv::LABEL.to_string()];
        if entity.as_ref().is_some_and(|given| *given != file) {
            problem("entity", "a CSV file is one entity; wanted [file], or nothing".into());
        }
        *entity = Some(file);
    }
}

/// Opens every file that the configuration names.
pub(super) fn check_files(config: &Config, found: &mut Vec<Found>) {
    let Some(mut source) = config.source.clone() else { return };
    if let source::Config::Csv(source::csv::Config { file }) = &source {
        match source::csv::read(file) {
            // A watch that could not be read would move the index of those after it.
            Ok(file) if found.is_empty() => {
                check_columns(&file, config.watches.iter().flatten(), found);
            }
            Ok(_) => {}
            Err(error) => found.push(("source.csv.file".into(), error.to_string())),
        }
        return;
    }
    for (at, file) in files(&mut source) {
        if let Err(error) = std::fs::read(&*file) {
            let what = format!("{}: {error}; wanted a file that can be read", file.display());
            found.push((at, what));
        }
    }
}

fn check_columns<'a>(
    file: &CsvFile,
    watches: impl Iterator<Item = &'a Watch>,
    found: &mut Vec<Found>,
) {
    for (i, watch) in watches.enumerate() {
        for feature in &watch.features {
            let at = format!("watches[{i}].queries.{}", feature.name);
            found.extend(file.column(&feature.query).err().map(|what| (at, what)));
        }
        let step = file.takes_step(watch.step_s).err();
        found.extend(step.map(|what| (format!("watches[{i}].step"), what)));
    }
}

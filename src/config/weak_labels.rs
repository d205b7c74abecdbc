//! The rule files of a watch: what says, beside people, what was wrong when.
//!
//! Owns: which files they are, and the shipped ones. Does not own: what a rule file looks like (`rules`).

use std::path::Path;
use std::path::PathBuf;

use super::load::Found;
use super::problems::Problems;
use super::raw::WatchSection;
use super::rules::load_rules;
use super::rules::parse_rules;
use crate::weak::Group;

/// What names a shipped file.
const SHIPPED: &str = "shipped:";

/// The shipped files, by name.
const FILES: &[(&str, &str)] = &[("coredns", include_str!("../../rules/coredns-weak.yml"))];

/// The files of people's among them.
pub(super) fn files(sections: &[Option<WatchSection>]) -> Vec<PathBuf> {
    let of = |section: &WatchSection| {
        let own = section.weak_labels.iter().flatten().filter(|name| !name.starts_with(SHIPPED));
        own.map(|name| section.folder.join(name)).collect::<Vec<_>>()
    };
    sections.iter().flatten().flat_map(of).collect()
}

/// The groups of all files, relative ones in `folder`; what is wrong with them goes to `found`.
pub(super) fn resolve(
    names: &[String],
    folder: &Path,
    at: &str,
    found: &mut Vec<Found>,
) -> Vec<Group> {
    let mut groups = Vec::new();
    for (i, name) in names.iter().enumerate() {
        let at = format!("{at}.weak_labels[{i}]");
        let read = match name.strip_prefix(SHIPPED) {
            Some(shipped) => match FILES.iter().find(|(known, _)| *known == shipped) {
                Some((_, text)) => parse_rules(name, text),
                None => {
                    let known = FILES.iter().map(|(known, _)| format!("{SHIPPED}{known}"));
                    let known = known.collect::<Vec<_>>().join(", ");
                    found.push((at, format!("{name:?} is not shipped; wanted {known}, or a file")));
                    continue;
                }
            },
            None if name.is_empty() => {
                found.push((at, "empty; wanted a file of alerting rules".to_string()));
                continue;
            }
            None => load_rules(&folder.join(name)),
        };
        match read {
            Ok(read) => groups.extend(read),
            Err(Problems { list, .. }) => found.extend(list.into_iter().map(|problem| {
                let line = problem.line.map(|line| format!(":{line}")).unwrap_or_default();
                let place = if problem.at.is_empty() { String::new() } else { problem.at + ": " };
                (at.clone(), format!("{name}{line}: {place}{}", problem.what))
            })),
        }
    }
    groups
}

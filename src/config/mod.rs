//! The configuration: one file, checked whole before anything starts.
//!
//! Owns: the file's shape, defaults across parts, every problem at once with its path and line. So for files of
//! rules and scenarios, too.
//! Does not own: what a setting means; its type lives beside what it sets.

mod calendar;
mod load;
mod placeholders;
mod places;
mod presets;
mod problems;
mod raw;
mod rules;
mod scenario;
mod sources;
mod steps;
mod typed;
mod watches;
mod weak_labels;

use std::path::Path;
use std::path::PathBuf;

use crate::math::calendar::Calendar;
use crate::source;
use crate::watch::Watch;
use crate::web;

pub use load::check;
pub use load::load;
pub use load::load_for;
pub use load::parse;
pub use presets::Preset;
pub use problems::Problem;
pub use problems::Problems;
pub use rules::load_rules;
pub use rules::parse_rules;
pub use scenario::load_scenario;
pub use scenario::load_simulation;
pub use scenario::parse_scenario;
pub use scenario::parse_simulation;

/// A configuration that was found right.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where samples come from; `None` where neither the file nor a flag says so.
    pub source: Option<source::Config>,
    /// What is watched; `None` where the file leaves it to what the source has.
    pub watches: Option<Vec<Watch>>,
    /// Of watches that the file does not name; a watch of the file has its own.
    pub calendar: Calendar,
    /// The store's folder.
    pub store: Option<PathBuf>,
    /// Whether people may send labels over HTTP.
    pub labels_api: bool,
    /// Files of rules that it names.
    pub rule_files: Vec<PathBuf>,
}

/// Reads an exporter-toolkit `web.config.file`.
///
/// # Errors
/// The file cannot be read, or is not one; the text says what and where.
pub fn web_config(path: &Path) -> Result<web::WebConfig, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    serde_yaml::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))
}

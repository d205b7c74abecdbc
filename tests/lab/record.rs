//! What a run leaves: rows, labels, and what made them.
//!
//! Owns: the files. Does not own: queries and rows, which are Portent's own (`config`, `source`, `gather`).

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use portent::config;
use portent::gather;
use portent::scenario::Scenario;
use portent::scenario::labels::Label;
use portent::scenario::labels::labels_csv;
use portent::series::Entity;
use portent::series::Grid;
use portent::series::Window;
use portent::watch::Watch;
use serde_json::json;

use super::load::Seen;

/// No history takes longer to ask for.
const PATIENCE: Duration = Duration::from_secs(240);

/// One entity's rows.
#[derive(Debug, Clone)]
pub(crate) struct Rows {
    pub(crate) entity: Entity,
    pub(crate) window: Window,
}

/// What a run measured.
#[derive(Debug, Clone)]
pub(crate) struct Recording {
    pub(crate) scenario: Scenario,
    /// The first row's time, in unix seconds.
    pub(crate) start_s: i64,
    pub(crate) features: Vec<String>,
    pub(crate) rows: Vec<Rows>,
    /// What each replica said of itself at the end.
    pub(crate) scrapes: Vec<String>,
    pub(crate) seen: Seen,
    /// Questions that reached upstream servers, health checks among them.
    pub(crate) upstream_asked: u64,
    /// What Portent found wrong with its input.
    pub(crate) problems: Vec<String>,
}

/// The watch of a scenario: the preset with its own step and rate window.
pub(crate) fn watch(scenario: &Scenario, url: &str) -> Result<(config::Config, Watch), String> {
    let Scenario { preset, step_s, rate_window_s, .. } = scenario;
    // Nothing is learnt here; the detector is one that every build has.
    let text = format!(
        "source: {{prometheus: {{url: '{url}', timeout: 60s}}}}\n\
         watches: [{{name: lab, preset: {preset}, selector: 'job=\"coredns\"', step: {step_s}s, \
         rate_window: {rate_window_s}s, detectors: [seasonal_median]}}]\n"
    );
    let config = config::parse("lab", &text).map_err(|problems| problems.to_string())?;
    let watch = config.watches.iter().flatten().next().cloned();
    let watch = watch.ok_or("a watch without a preset")?;
    Ok((config, watch))
}

/// Asks a Prometheus for the history of a scenario that began at `start_s`.
pub(crate) async fn history(
    scenario: &Scenario,
    url: &str,
    start_s: i64,
) -> Result<(Vec<String>, Vec<Rows>, Vec<String>), String> {
    let asked = tokio::time::timeout(PATIENCE, ask(scenario, url, start_s));
    asked.await.map_err(|_| format!("{url}: no history within {PATIENCE:?}"))?
}

async fn ask(
    scenario: &Scenario,
    url: &str,
    start_s: i64,
) -> Result<(Vec<String>, Vec<Rows>, Vec<String>), String> {
    let (config, watch) = watch(scenario, url)?;
    let source = config.source.ok_or("no source")?.open().map_err(|error| error.to_string())?;
    let len = (scenario.duration_s / watch.step_s) as usize;
    let grid = Grid { start_s, step_s: watch.step_s, len };
    let history =
        gather::history(&source, &watch, grid).await.map_err(|error| error.to_string())?;
    let rows =
        history.windows.into_iter().map(|(entity, window)| Rows { entity, window }).collect();
    let problems = history.failed.iter().map(|(name, error)| format!("{name}: {error}")).collect();
    Ok((watch.features.into_iter().map(|feature| feature.name).collect(), rows, problems))
}

impl Recording {
    /// Which rows hold something of which injection.
    pub(crate) fn labels(&self) -> Vec<Label> {
        self.scenario.labels(self.start_s)
    }

    /// An entity's value of a feature at a row.
    pub(crate) fn column(&self, entity: usize, feature: &str) -> Vec<f64> {
        let feature = self.features.iter().position(|name| name == feature).unwrap();
        self.rows[entity].window.column(feature)
    }

    /// Writes `NAME.csv` (one for each entity), `NAME-labels.csv` and `NAME.json` into a folder.
    ///
    /// # Errors
    /// A file cannot be written.
    pub(crate) fn write(&self, folder: &Path) -> Result<Vec<PathBuf>, String> {
        let name = &self.scenario.name;
        let mut files = Vec::new();
        for rows in &self.rows {
            let stem = match self.rows.len() {
                1 => name.clone(),
                _ => format!("{name}-{}", plain(&rows.entity)),
            };
            files.push((format!("{stem}.csv"), csv(&self.features, &rows.window)));
        }
        files.push((format!("{name}-labels.csv"), labels_csv(&self.labels())));
        let manifest = serde_json::to_string_pretty(&self.manifest());
        files.push((format!("{name}.json"), manifest.map_err(|error| error.to_string())? + "\n"));
        let write = |(file, text): (String, String)| {
            let path = folder.join(file);
            let written = fs::write(&path, text);
            written.map_err(|error| format!("{}: {error}", path.display()))?;
            Ok(path)
        };
        files.into_iter().map(write).collect()
    }

    fn manifest(&self) -> serde_json::Value {
        let known = |rows: &Rows| {
            let values = &rows.window.values;
            values.iter().filter(|value| value.is_finite()).count() as f64 / values.len() as f64
        };
        let entities: Vec<_> = self.rows.iter().map(|rows| {
            json!({"entity": rows.entity.to_string(), "rows": rows.window.grid.len, "known": known(rows)})
        }).collect();
        let labels: Vec<_> = self
            .labels()
            .iter()
            .map(|label| {
                json!({
                    "from": label.from_s, "to": label.to_s,
                    "injected_to": self.start_s + label.injection.end_s(),
                    "class": label.injection.class, "strength": label.injection.strength,
                    "benign": label.injection.class.is_benign(),
                })
            })
            .collect();
        json!({
            "made_by": "real servers",
            "versions": super::versions(&self.scenario),
            "start": self.start_s,
            "scenario": self.scenario,
            "features": self.features,
            "entities": entities,
            "injected": labels,
            "clients": self.seen,
            "upstream_asked": self.upstream_asked,
            "problems": self.problems,
        })
    }
}

/// An entity's values, for a file's name.
fn plain(entity: &Entity) -> String {
    let values: Vec<&str> = entity.pairs().map(|(_, value)| value).collect();
    let keep = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    values.join("-").chars().map(keep).collect()
}

/// As `portent evaluate` reads it. What is not known is an empty cell.
pub(crate) fn csv(features: &[String], window: &Window) -> String {
    let mut text = format!("t,{}\n", features.join(","));
    for i in 0..window.grid.len {
        let _ = write!(text, "{}", window.grid.time(i));
        for value in window.row(i) {
            text.push(',');
            if value.is_finite() {
                let _ = write!(text, "{value}");
            }
        }
        text.push('\n');
    }
    text
}

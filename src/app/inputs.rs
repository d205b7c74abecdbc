//! What is read and where models go, of every command that reads a source.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use super::Error;
use super::finding::Candidate;
use crate::config;
use crate::config::Config;
use crate::source;
use crate::source::Source;
use crate::source::prometheus;
use crate::watch::Watch;

/// The configuration, and what is said beside it.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// The configuration; without one, what is there is watched.
    pub config_file: Option<PathBuf>,
    /// The server to read, where the configuration does not say.
    pub prometheus_url: Option<String>,
    /// The store's folder, where the configuration does not say.
    pub store_path: PathBuf,
}

impl Inputs {
    pub(super) fn load(&self) -> Result<Config, Error> {
        match &self.config_file {
            Some(path) => Ok(config::load(path)?),
            None => Ok(config::parse("no configuration file", "{}")?),
        }
    }

    pub(super) fn store_folder<'a>(&'a self, config: &'a Config) -> &'a Path {
        config.store.as_deref().unwrap_or(&self.store_path)
    }

    pub(super) fn source(&self, config: &Config) -> Result<Arc<dyn Source>, Error> {
        match (&config.source, &self.prometheus_url) {
            (Some(config), _) => Ok(config.open()?),
            (None, Some(url)) => {
                let config = prometheus::Config::new(url);
                Ok(source::Config::Prometheus(Box::new(config)).open()?)
            }
            (None, None) => Err("no source; wanted --prometheus.url=URL, or \
                `source: {prometheus: {url: …}}` or `source: {csv: {file: …}}` in --config.file"
                .into()),
        }
    }

    /// What is to be watched, with the queries for either kind of server.
    pub(super) fn candidates(&self, config: &Config) -> Result<Vec<Candidate>, Error> {
        let Some(watches) = &config.watches else {
            return Ok(Candidate::discoverable(&config.calendar));
        };
        let classic = match &self.config_file {
            // In a CSV file there is no PromQL that anyone could refuse.
            Some(path) if !matches!(config.source, Some(source::Config::Csv(_))) => {
                config::load_for(path, false)?.watches.unwrap_or_default()
            }
            _ => watches.clone(),
        };
        let both = |native: &Watch| {
            // The file may have changed between the two looks; a reload follows then.
            let classic = classic.iter().find(|watch| watch.name == native.name);
            Candidate::configured(native.clone(), classic.unwrap_or(native).clone())
        };
        Ok(watches.iter().map(both).collect())
    }
}

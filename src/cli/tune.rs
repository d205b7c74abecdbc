//! The arguments of `portent tune`.

use std::path::PathBuf;

use clap::Args;

use super::backtest::pages;
use super::bucket;
use super::detector;
use super::evaluate::split;
use super::run_async;
use crate::app;
use crate::app::Error;
use crate::app::Split;
use crate::app::Tune;
use crate::detect;

#[derive(Debug, Args)]
pub(super) struct TuneArgs {
    /// CSV with a column `t` in unix seconds, or the workshop's `index, ts, traffic`; empty cell = gap
    input: PathBuf,
    /// CSV with the columns `from,to[,class][,verdict]`: unix seconds or RFC 3339; verdict anomaly or
    /// normal, by default anomaly
    #[arg(long, value_name = "LABELS.csv")]
    labels: PathBuf,
    /// Whose settings, separated by commas; without it, the autoencoder's
    #[arg(long, value_delimiter = ',', value_name = "LIST", value_parser = tuned)]
    detectors: Vec<detect::Config>,
    /// Settings to try of each detector, the first being those that it has; without it, as many as --budget has
    /// time for, or 27
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    trials: Option<u32>,
    /// No training begins after so much time; what a search that was cut off has found counts
    #[arg(long, value_name = "DURATION", value_parser = bucket)]
    budget: Option<i64>,
    /// Minibatches of the longest trainings; without it, as many as the detector has by itself
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    steps: Option<u32>,
    /// Draws the settings and the first weights: same seed, same result
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Percentages of the time to learn from, to judge by, and to leave unread
    #[arg(long, value_name = "A/B/C", default_value = "70/15/15", value_parser = split)]
    split: Split,
    /// The coarser step of traffic: sums of so much time are scored
    #[arg(long, value_name = "DURATION", value_parser = bucket)]
    bucket: Option<i64>,
    /// False pages per week that are accepted
    #[arg(long, value_name = "PAGES", value_parser = pages, default_value = "1")]
    pages_per_week: f64,
    /// Folder of what is found, for TensorBoard too; a search that was cut off goes on there
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
}

/// A detector that has settings to search for.
fn tuned(name: &str) -> Result<detect::Config, String> {
    let known = detect::Config::NAMES.iter().filter_map(|name| detect::Config::named(name));
    let names = known.filter(|config| !config.knobs().is_empty()).map(|config| config.name());
    let wanted = || match names.collect::<Vec<_>>().join(", ") {
        names if names.is_empty() => "this program was built without the networks".to_string(),
        names => format!("wanted some of {names}"),
    };
    detector(name).ok().filter(|config| !config.knobs().is_empty()).ok_or_else(wanted)
}

/// Trials where neither they nor the time are limited.
const TRIALS: u32 = 27;

impl TuneArgs {
    pub(super) fn run(self) -> Result<(), Error> {
        let detectors = match self.detectors {
            given if given.is_empty() => vec![tuned("autoencoder")?],
            given => given,
        };
        let with_steps = |config: detect::Config| match self.steps {
            Some(steps) => config.with_steps(steps as usize),
            None => config,
        };
        let trials = self.trials.or(self.budget.is_none().then_some(TRIALS));
        run_async(app::tune(Tune {
            input: self.input,
            labels: self.labels,
            detectors: detectors.into_iter().map(with_steps).collect(),
            trials: trials.map(|n| n as usize),
            budget_s: self.budget,
            seed: self.seed,
            split: self.split,
            bucket_s: self.bucket,
            pages_per_week: self.pages_per_week,
            output: self.output,
        }))
    }
}

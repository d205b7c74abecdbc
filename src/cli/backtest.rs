//! The arguments of `portent backtest`.

use std::path::PathBuf;

use clap::Args;

use super::bucket;
use super::detector;
use crate::app;
use crate::app::Backtest;
use crate::app::Error;
use crate::detect;

#[derive(Debug, Args)]
pub(super) struct BacktestArgs {
    /// CSV with a column `t` in unix seconds, or the workshop's `index, ts, traffic`; empty cell = gap.
    /// With a configuration, its columns have the names of the watch's features; without INPUT, the
    /// file of its `source.csv` is read
    #[arg(required_unless_present = "config_file")]
    input: Option<PathBuf>,
    /// Configuration with the watch that the file is replayed as: its preprocessing, calendar,
    /// detectors, page budget, and when it trains
    #[arg(long = "config.file", value_name = "FILE")]
    config_file: Option<PathBuf>,
    /// The watch, where the configuration has several
    #[arg(long, value_name = "NAME", requires = "config_file")]
    watch: Option<String>,
    /// Rows that are learnt from before the first score; without it, the watch's `train.min_history`
    #[arg(long, value_name = "N", required_unless_present = "config_file")]
    train_rows: Option<usize>,
    /// Detectors, separated by commas; without it, those of the watch, or those that suit the file
    #[arg(long, value_delimiter = ',', value_name = "LIST", value_parser = detector)]
    detectors: Vec<detect::Config>,
    /// The coarser step of traffic: sums of so much time are scored; a watch has its own
    #[arg(long, value_name = "DURATION", value_parser = bucket, conflicts_with = "config_file")]
    bucket: Option<i64>,
    /// False pages per week that are accepted; without it, as many as by the watch, or 1
    #[arg(long, value_name = "PAGES", value_parser = pages)]
    pages_per_week: Option<f64>,
    /// Where the scores go
    #[arg(long, value_name = "OUT.csv")]
    output: PathBuf,
}

pub(super) fn pages(text: &str) -> Result<f64, String> {
    let wanted = || "wanted a number above 0 and up to 10000".to_string();
    let pages: f64 = text.parse().map_err(|_| wanted())?;
    if pages > 0.0 && pages <= 10_000.0 { Ok(pages) } else { Err(wanted()) }
}

impl BacktestArgs {
    pub(super) fn run(self) -> Result<(), Error> {
        let asked = Backtest {
            input: self.input,
            output: self.output,
            config_file: self.config_file,
            watch: self.watch,
            train_rows: self.train_rows,
            detectors: self.detectors,
            bucket_s: self.bucket,
            pages_per_week: self.pages_per_week,
        };
        let n_rows = app::backtest(&asked)?;
        app::say(&format!("{}: {n_rows} rows\n", asked.output.display()))
    }
}

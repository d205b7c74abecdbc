//! The arguments of `portent evaluate`.

use std::path::PathBuf;

use clap::Args;

use super::backtest::pages;
use super::bucket;
use super::detector;
use super::run_async;
use crate::app;
use crate::app::Error;
use crate::app::Evaluate;
use crate::app::Inputs;
use crate::app::Split;
use crate::app::Subject;
use crate::detect;

#[derive(Debug, Args)]
pub(super) struct EvaluateArgs {
    /// CSV with a column `t` in unix seconds, or the workshop's `index, ts, traffic`; empty cell = gap
    #[arg(required_unless_present = "config_file", requires = "labels")]
    input: Option<PathBuf>,
    /// Instead: configuration with the watch whose history is judged by what its rules and its labels say
    #[arg(long = "config.file", value_name = "FILE", conflicts_with_all = ["input", "labels", "bucket"])]
    config_file: Option<PathBuf>,
    /// The watch, where the configuration has several
    #[arg(long, value_name = "NAME", requires = "config_file")]
    watch: Option<String>,
    /// The entity, where the watch has several: name=value,name=value
    #[arg(long, value_name = "ENTITY", requires = "config_file")]
    entity: Option<String>,
    /// The Prometheus to read, where the configuration does not say
    #[arg(long = "prometheus.url", value_name = "URL", requires = "config_file")]
    prometheus_url: Option<String>,
    /// Folder of labels, where the configuration does not say
    #[arg(long = "store.path", value_name = "DIR", default_value = "/var/lib/portent")]
    store_path: PathBuf,
    /// CSV with the columns `from,to[,class][,verdict]`: unix seconds or RFC 3339; verdict anomaly or
    /// normal, by default anomaly
    #[arg(long, value_name = "LABELS.csv")]
    labels: Option<PathBuf>,
    /// Percentages of the time to learn from, to choose the winner by, and to judge by
    #[arg(long, value_name = "A/B/C", default_value = "70/15/15", value_parser = split)]
    split: Split,
    /// Instead: rows to learn from; one half of the others to choose by, the other half to judge by
    #[arg(long, value_name = "N", conflicts_with = "split")]
    train_rows: Option<usize>,
    /// Detectors, separated by commas; without it, the watch's own and those that suit the rows. Of a watch, with
    /// its settings
    #[arg(long, value_delimiter = ',', value_name = "LIST", value_parser = detector)]
    detectors: Vec<detect::Config>,
    /// Detectors that are judged beside them for comparison, and cannot win
    #[arg(long, value_delimiter = ',', value_name = "LIST", value_parser = detector)]
    controls: Vec<detect::Config>,
    /// A class whose intervals are gaps in all but the last part: how is what was never seen found?
    #[arg(long, value_name = "NAME")]
    holdout_class: Option<String>,
    /// The coarser step of traffic: sums of so much time are scored
    #[arg(long, value_name = "DURATION", value_parser = bucket)]
    bucket: Option<i64>,
    /// False pages per week that are accepted; by default as many as the watch does, or 1
    #[arg(long, value_name = "PAGES", value_parser = pages)]
    pages_per_week: Option<f64>,
    /// Points above the threshold in a row that make an alarm; by default as many as the watch wants, or 1
    #[arg(long, value_name = "N")]
    consecutive: Option<u32>,
    /// Labels that are closer are one incident, and alarms one page; an alarm a third of it after the end
    /// of an incident has still found it
    #[arg(long, value_name = "DURATION", value_parser = bucket, default_value = "30m")]
    apart: i64,
    /// A page with tables and pictures
    #[arg(long, value_name = "OUT.html")]
    report: Option<PathBuf>,
    /// Folder that TensorBoard reads: how the losses of networks fell, and VUS-PR
    #[arg(long = "tensorboard.dir", value_name = "DIR")]
    tensorboard_dir: Option<PathBuf>,
}

pub(super) fn split(text: &str) -> Result<Split, String> {
    let wanted = || "wanted three whole percentages that make 100, such as 70/15/15".to_string();
    let parts: Result<Vec<usize>, _> = text.split('/').map(str::parse).collect();
    match parts.as_deref() {
        Ok(&[a, b, c])
            if a > 0 && c > 0 && a.checked_add(b).and_then(|d| d.checked_add(c)) == Some(100) =>
        {
            Ok(Split::Percent([a, b, c]))
        }
        _ => Err(wanted()),
    }
}

impl EvaluateArgs {
    pub(super) fn run(self) -> Result<(), Error> {
        let subject = match (self.input, self.labels, self.config_file) {
            (Some(input), Some(labels), _) => Subject::File { input, labels },
            (.., config_file) => {
                let (prometheus_url, store_path) = (self.prometheus_url, self.store_path);
                let inputs = Inputs { config_file, prometheus_url, store_path };
                Subject::Watch { inputs, watch: self.watch, entity: self.entity }
            }
        };
        let asked = Evaluate {
            subject,
            split: self.train_rows.map_or(self.split, Split::TrainRows),
            detectors: self.detectors,
            controls: self.controls,
            bucket_s: self.bucket,
            pages_per_week: self.pages_per_week,
            consecutive: self.consecutive,
            apart_s: self.apart,
            holdout_class: self.holdout_class,
            report: self.report,
            tensorboard_dir: self.tensorboard_dir,
        };
        run_async(async move { app::evaluate(&asked).await })
    }
}

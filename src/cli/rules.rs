//! The arguments of `portent rules`.

use std::path::PathBuf;

use clap::Args;
use clap::Subcommand;
use clap::ValueEnum;

use super::run_async;
use crate::app;
use crate::app::Error;
use crate::app::Inputs;
use crate::app::RulesEval;

#[derive(Debug, Subcommand)]
pub(super) enum RulesCommand {
    /// Which alerts can never fire? By their text, and by what a server has: metrics without series, thresholds
    /// above the last bucket of a histogram. With a server also: which hold most of the time, and so label nothing?
    Lint(LintArgs),
    /// What alerts say of history, evaluated as Prometheus would: class, entity, interval, state
    Eval(EvalArgs),
}

#[derive(Debug, Args)]
pub(super) struct SourceArgs {
    /// Configuration that names the source
    #[arg(long = "config.file", value_name = "FILE")]
    config_file: Option<PathBuf>,
    /// The Prometheus to read, where the configuration does not say
    #[arg(long = "prometheus.url", value_name = "URL")]
    prometheus_url: Option<String>,
}

impl SourceArgs {
    fn inputs(self) -> Inputs {
        let SourceArgs { config_file, prometheus_url } = self;
        Inputs { config_file, prometheus_url, store_path: PathBuf::new() }
    }
}

#[derive(Debug, Args)]
pub(super) struct LintArgs {
    /// Rule files of Prometheus, or PrometheusRule objects
    #[arg(required = true, value_name = "FILES")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    source: SourceArgs,
}

#[derive(Debug, Args)]
pub(super) struct EvalArgs {
    /// Rule files of Prometheus, or PrometheusRule objects
    #[arg(required = true, value_name = "FILES")]
    files: Vec<PathBuf>,
    /// When to begin: RFC 3339, unix seconds, or -10m
    #[arg(long, allow_hyphen_values = true)]
    from: String,
    /// When to end
    #[arg(long, allow_hyphen_values = true, default_value = "now")]
    to: String,
    /// Labels that make an entity, separated by commas; without it, all that the expression gives
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    entity: Vec<String>,
    /// table or json
    #[arg(long = "format", value_enum, default_value = "table", value_name = "FORMAT")]
    shape: Shape, // not `format`: that is the log's
    #[command(flatten)]
    source: SourceArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shape {
    Table,
    Json,
}

pub(super) fn rules(command: RulesCommand) -> Result<(), Error> {
    match command {
        RulesCommand::Lint(LintArgs { files, source }) => {
            let inputs = source.inputs();
            run_async(async move { app::lint_rules(&files, &inputs).await })
        }
        RulesCommand::Eval(EvalArgs { files, from, to, entity, shape, source }) => {
            let asked = RulesEval { files, from, to, entity, json: shape == Shape::Json };
            let inputs = source.inputs();
            run_async(async move { app::eval_rules(&asked, &inputs).await })
        }
    }
}

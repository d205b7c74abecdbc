//! The arguments of `portent score` and `portent plan`.

use clap::Args;
use clap::ValueEnum;

use super::InputArgs;
use super::run_async;
use crate::app;
use crate::app::Error;
use crate::app::ScoreFormat;

#[derive(Debug, Args)]
pub(super) struct ScoreArgs {
    #[command(flatten)]
    inputs: InputArgs,
    /// table, json, or prometheus: what a scrape would see
    #[arg(long = "format", value_enum, default_value = "table", value_name = "FORMAT")]
    shape: ScoreShape, // not `format`: that is the log's
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ScoreShape {
    Table,
    Json,
    Prometheus,
}

impl ScoreArgs {
    pub(super) fn run(self) -> Result<(), Error> {
        let format = match self.shape {
            ScoreShape::Table => ScoreFormat::Table,
            ScoreShape::Json => ScoreFormat::Json,
            ScoreShape::Prometheus => ScoreFormat::Prometheus,
        };
        run_async(app::score(self.inputs.inputs(), format))
    }
}

#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    #[command(flatten)]
    inputs: InputArgs,
    /// table or json
    #[arg(long = "format", value_enum, default_value = "table", value_name = "FORMAT")]
    shape: PlanShape, // not `format`: that is the log's
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PlanShape {
    Table,
    Json,
}

impl PlanArgs {
    pub(super) fn run(self) -> Result<(), Error> {
        run_async(app::plan(self.inputs.inputs(), self.shape == PlanShape::Json))
    }
}

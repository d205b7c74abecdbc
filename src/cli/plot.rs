//! The arguments of `portent plot`.

use std::path::PathBuf;

use clap::Args;
use clap::Subcommand;

use super::bucket;
use super::detector;
use crate::app;
use crate::app::Error;
use crate::app::Replay;
use crate::detect;
use crate::plot::Format;

#[derive(Debug, Subcommand)]
pub(super) enum PlotCommand {
    /// Traffic with its forecast, the accepted range, yellow and red dots
    Traffic(ScoredArgs),
    /// What STL makes of a file: trend, season, residual
    Components(ComponentsArgs),
    /// Points coloured by their score
    Scatter(ScoredArgs),
    /// The port-traffic workshop's experiment: a table of times, and a picture per port and detector
    Workshop(WorkshopArgs),
}

#[derive(Debug, Args)]
pub(super) struct FileArgs {
    /// CSV with a column `t` in unix seconds, or the workshop's `index, ts, traffic`; empty cell = gap
    input: PathBuf,
    /// The column that is shown, where the file has several
    #[arg(long, value_name = "NAME")]
    column: Option<String>,
    /// The coarser step of traffic: sums of so much time are shown
    #[arg(long, value_name = "DURATION", value_parser = bucket)]
    bucket: Option<i64>,
    /// Where the picture goes; the ending says which format
    #[arg(long, value_name = "FILE.svg|FILE.png")]
    output: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct ScoredArgs {
    #[command(flatten)]
    file: FileArgs,
    /// Rows that are learnt from before the first score; without it, four fifths of them
    #[arg(long, value_name = "N")]
    train_rows: Option<usize>,
    /// Detectors, separated by commas; without it, those that suit the file. The first one's forecast is shown
    #[arg(long, value_delimiter = ',', value_name = "LIST", value_parser = detector)]
    detectors: Vec<detect::Config>,
}

#[derive(Debug, Args)]
pub(super) struct ComponentsArgs {
    #[command(flatten)]
    file: FileArgs,
    /// What comes back after so much time; without it, a week, or a day where there are no two weeks
    #[arg(long, value_name = "DURATION", value_parser = bucket)]
    season: Option<i64>,
}

#[derive(Debug, Args)]
pub(super) struct WorkshopArgs {
    /// Folder of CSV files in the workshop's format, `index, ts, traffic`; without it, five ports are simulated
    folder: Option<PathBuf>,
    /// Folder that the pictures go to
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// svg or png
    #[arg(long = "format", default_value = "svg", value_name = "FORMAT", value_parser = format)]
    picture: Format, // not `format`: that is the log's
}

fn format(text: &str) -> Result<Format, String> {
    Format::named(text).ok_or_else(|| "wanted svg or png".into())
}

impl FileArgs {
    fn picture(&self) -> app::Picture<'_> {
        app::Picture {
            input: &self.input,
            column: self.column.as_deref(),
            bucket_s: self.bucket,
            output: &self.output,
        }
    }
}

pub(super) fn plot(command: PlotCommand) -> Result<(), Error> {
    match command {
        PlotCommand::Traffic(args) => scored(args, app::plot_traffic),
        PlotCommand::Scatter(args) => scored(args, app::plot_scatter),
        PlotCommand::Components(args) => {
            app::plot_components(&args.file.picture(), args.season)?;
            tell(&args.file)
        }
        PlotCommand::Workshop(WorkshopArgs { folder, output, picture }) => {
            app::say(&app::workshop(folder.as_deref(), &output, picture)?)
        }
    }
}

fn scored(
    args: ScoredArgs,
    plot: fn(&app::Picture<'_>, &Replay) -> Result<(), Error>,
) -> Result<(), Error> {
    let ScoredArgs { file, train_rows, detectors } = args;
    plot(&file.picture(), &Replay { train_rows, detectors })?;
    tell(&file)
}

fn tell(file: &FileArgs) -> Result<(), Error> {
    app::say(&format!("{}: drawn\n", file.output.display()))
}

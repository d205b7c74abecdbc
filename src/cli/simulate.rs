//! The arguments of `portent simulate`.

use std::path::PathBuf;

use clap::Args;
use clap::ValueEnum;

use crate::app;
use crate::app::Error;
use crate::app::Simulate;
use crate::simulate::exposition::Style;

#[derive(Debug, Args)]
pub(super) struct SimulateArgs {
    /// What happens when: a scenario as of the fault lab, of up to 400 days
    #[arg(value_name = "SCENARIO.yml")]
    scenario: PathBuf,
    /// openmetrics: a history for `promtool tsdb create-blocks-from openmetrics`. csv: the same samples, a line each;
    /// features need PromQL, so for rows of features let a Prometheus have the history
    #[arg(
        long = "format",
        id = "history",
        value_enum,
        value_name = "FORMAT",
        default_value = "openmetrics"
    )]
    format: FormatArg,
    /// The first row's time: RFC 3339, unix seconds, or -10d; without it, such that the last row is now
    #[arg(long, allow_hyphen_values = true, value_name = "TIME", conflicts_with = "listen")]
    start: Option<String>,
    /// Where the history goes: a file, `-`, or a folder that is there: then a file for every 6 hours. What was injected
    /// goes beside it, to NAME-labels.csv and NAME.json
    #[arg(long, value_name = "FILE|FOLDER", required_unless_present = "listen")]
    output: Option<PathBuf>,
    /// Be the servers, now and in real time, for a Prometheus: the first replica here, the others on the next ports
    #[arg(long = "web.listen-address", value_name = "ADDRESS", conflicts_with = "output")]
    listen: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FormatArg {
    Openmetrics,
    Csv,
}

impl SimulateArgs {
    pub(super) fn run(self) -> Result<(), Error> {
        let style = match self.format {
            FormatArg::Openmetrics => Style::OpenMetrics,
            FormatArg::Csv => Style::Csv,
        };
        let asked = Simulate { scenario: self.scenario, style, start: self.start };
        match (self.output, self.listen) {
            (_, Some(listen)) => super::run_async(app::simulate_live(&asked.scenario, &listen)),
            (output, None) => {
                app::say(&app::simulate(&asked, &output.unwrap_or_else(|| "-".into()))?)
            }
        }
    }
}

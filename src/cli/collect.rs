//! The arguments of `portent collect`.

use std::path::PathBuf;

use clap::Args;

use super::InputArgs;
use super::run_async;
use crate::app;
use crate::app::Collect;
use crate::app::Error;

#[derive(Debug, Args)]
pub(super) struct CollectArgs {
    #[command(flatten)]
    inputs: InputArgs,
    /// A watch whose rows are wanted; may be given several times. Without it, all
    #[arg(long = "watch", value_name = "NAME")]
    watches: Vec<String>,
    /// When to begin: RFC 3339, unix seconds, or -4w
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: String,
    /// When to end
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, default_value = "now")]
    to: String,
    /// Where the data set goes, a folder for each watch. What is there already is not asked for again
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// CSV with what was done to the servers: `from,to[,class][,verdict][,injected][,strength]`
    #[arg(long, value_name = "LABELS.csv")]
    labels: Option<PathBuf>,
    /// Show on stderr how far it is also where that is no terminal: a line every 10 s
    #[arg(long)]
    progress: bool,
}

impl CollectArgs {
    pub(super) fn run(self) -> Result<(), Error> {
        let CollectArgs { inputs, watches, from, to, output, labels, progress } = self;
        let inputs = inputs.inputs();
        let asked = Collect { inputs, watches, from, to, output, labels, progress };
        run_async(async move { app::collect(&asked).await })
    }
}

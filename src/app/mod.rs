//! Construction and life: build, spawn, reload, drain. The only module that knows them all.

mod backtest;
mod bar;
mod board;
mod collect;
mod counted;
mod demo;
mod due;
mod evaluate;
mod finding;
mod inputs;
mod labels;
mod models;
mod offline;
mod once;
mod plan;
mod plot;
mod rules;
mod score;
mod serve;
mod simulate;
mod training;
mod tune;
mod watching;
mod workshop;

use std::io::ErrorKind;
use std::io::Write;
use std::path::PathBuf;
use std::time::SystemTime;

pub use backtest::Backtest;
pub use backtest::backtest;
pub use collect::Collect;
pub use collect::collect;
pub use demo::demo;
pub use evaluate::Evaluate;
pub use evaluate::Split;
pub use evaluate::Subject;
pub use evaluate::evaluate;
pub use inputs::Inputs;
pub use labels::Said;
pub use labels::add_label;
pub use labels::list_labels;
pub use labels::withdraw_label;
pub use models::ModelFiles;
pub use models::Which;
pub use models::Word;
pub use models::export_models;
pub use models::import_models;
pub use models::promote_models;
pub use models::roll_back_models;
pub use models::show_models;
pub use offline::list_models;
pub use once::train;
pub use plan::plan;
pub use plot::Picture;
pub use plot::Replay;
pub use plot::plot_components;
pub use plot::plot_scatter;
pub use plot::plot_traffic;
pub use rules::RulesEval;
pub use rules::eval_rules;
pub use rules::lint_rules;
pub use score::ScoreFormat;
pub use score::score;
pub use serve::serve;
pub use simulate::Simulate;
pub use simulate::simulate;
pub use simulate::simulate_live;
pub use tune::Tune;
pub use tune::tune;
pub use workshop::workshop;

/// What goes wrong at the top is told to a person, whatever it is.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// How the sidecar is started.
#[derive(Debug, Clone)]
pub struct Options {
    /// What to read, and where models go.
    pub inputs: Inputs,
    /// Where to listen.
    pub web: WebOptions,
}

/// The exporter-toolkit's flags.
#[derive(Debug, Clone)]
pub struct WebOptions {
    /// `:10047` and the like.
    pub listen: Vec<String>,
    /// TLS, users, headers.
    pub config_file: Option<PathBuf>,
    /// Usually `/metrics`.
    pub telemetry_path: String,
    /// Whether `POST /-/reload` is allowed.
    pub enable_lifecycle: bool,
}

/// Prints what a command was asked for. A reader that has gone, as `head` does, is not an error.
///
/// # Errors
/// The output cannot be written, as on a full disk.
pub fn say(text: &str) -> Result<(), Error> {
    let mut output = std::io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(format!("standard output: {error}").into())
        }
        _ => Ok(()),
    }
}

fn now_s() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs() as i64)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

//! Arguments and exit codes.

mod backtest;
mod collect;
mod evaluate;
mod models;
mod plot;
mod rules;
mod score;
mod simulate;
mod tune;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use clap::Parser;
use clap::Subcommand;

use crate::app;
use crate::app::Error;
use crate::app::Inputs;
use crate::app::Options;
use crate::app::Said;
use crate::app::WebOptions;
use crate::config;
use crate::detect;
use crate::detect::networks;
use crate::labels::EntityText;
use crate::labels::NewLabel;
use crate::labels::NewWithdrawal;
use crate::labels::Time;
use crate::math::duration::parse_duration_s;
use crate::telemetry;
use crate::watch::Watch;

/// Learns what normal looks like in Prometheus, and serves anomaly scores that Prometheus scrapes.
#[derive(Debug, Parser)]
#[command(name = "portent", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    log: LogArgs,
}

#[derive(Debug, Args)]
struct LogArgs {
    /// debug, info, warn or error
    #[arg(long = "log.level", global = true, default_value = "info", value_name = "LEVEL")]
    level: telemetry::MinLevel,
    /// logfmt or json
    #[arg(long = "log.format", global = true, default_value = "logfmt", value_name = "FORMAT")]
    format: telemetry::Format,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The sidecar: read, score, train, serve
    Serve(ServeArgs),
    /// One training of every watch, then the end: for a CronJob
    Train(TrainArgs),
    /// One pass of every watch, then the end: for a Job
    Score(score::ScoreArgs),
    /// The sidecar on a simulated cluster with faults: no server needed
    Demo(DemoArgs),
    /// Is this configuration right? Every problem at once, with its path and line
    Check(CheckArgs),
    /// What this configuration will cost on this Prometheus: series, models, training, memory, exported series
    Plan(score::PlanArgs),
    /// Causal replay of a CSV file: scores and bands
    Backtest(backtest::BacktestArgs),
    /// How good detectors are on a labelled CSV file, per class, and which is best
    Evaluate(evaluate::EvaluateArgs),
    /// Prometheus history as a data set: Parquet and CSV with labels, and a card; an interrupted run goes on
    Collect(collect::CollectArgs),
    /// Search for a network's settings on a labelled CSV file: at random, the better ones trained longer
    Tune(tune::TuneArgs),
    /// Simulated CoreDNS and ports with injected faults, as history for Prometheus, as CSV or live
    Simulate(simulate::SimulateArgs),
    /// Pictures of a CSV file, as SVG or PNG
    #[command(subcommand)]
    Plot(plot::PlotCommand),
    /// What people said: add, withdraw, list
    #[command(subcommand)]
    Labels(LabelsCommand),
    /// What was trained: list, show, promote, roll back, import, export
    #[command(subcommand)]
    Models(models::ModelsCommand),
    /// Alerting rules as weak labels: lint, eval
    #[command(subcommand)]
    Rules(rules::RulesCommand),
}

#[derive(Debug, Args)]
struct WebArgs {
    /// Address to listen on; may be given several times
    #[arg(long = "web.listen-address", default_value = ":10047", value_name = "ADDRESS")]
    listen: Vec<String>,
    /// TLS, users and headers, in the exporter-toolkit's format
    #[arg(long = "web.config.file", value_name = "FILE")]
    web_config_file: Option<PathBuf>,
    /// Where the metrics are
    #[arg(long = "web.telemetry-path", default_value = "/metrics", value_name = "PATH")]
    telemetry_path: String,
    /// Allow POST /-/reload
    #[arg(long = "web.enable-lifecycle")]
    enable_lifecycle: bool,
}

impl WebArgs {
    fn options(self) -> WebOptions {
        let WebArgs { listen, web_config_file, telemetry_path, enable_lifecycle } = self;
        WebOptions { listen, config_file: web_config_file, telemetry_path, enable_lifecycle }
    }
}

#[derive(Debug, Args)]
struct InputArgs {
    /// Configuration; without it, CoreDNS and ports are watched where Prometheus has them
    #[arg(long = "config.file", value_name = "FILE")]
    config_file: Option<PathBuf>,
    /// The Prometheus to read, where the configuration does not say
    #[arg(long = "prometheus.url", value_name = "URL")]
    prometheus_url: Option<String>,
    #[command(flatten)]
    store: StoreArgs,
}

impl InputArgs {
    fn inputs(self) -> Inputs {
        let InputArgs { config_file, prometheus_url, store } = self;
        Inputs { config_file, prometheus_url, store_path: store.path }
    }
}

#[derive(Debug, Args)]
struct ServeArgs {
    #[command(flatten)]
    inputs: InputArgs,
    #[command(flatten)]
    web: WebArgs,
}

#[derive(Debug, Args)]
struct TrainArgs {
    #[command(flatten)]
    inputs: InputArgs,
    /// Show on stderr how far it is: a bar on a terminal, else a line every 10 s
    #[arg(long)]
    progress: bool,
}

#[derive(Debug, Args)]
struct StoreArgs {
    /// Folder of models and labels, where the configuration does not say
    #[arg(long = "store.path", default_value = "/var/lib/portent", value_name = "DIR")]
    path: PathBuf,
}

#[derive(Debug, Args)]
struct DemoArgs {
    /// Address to listen on
    #[arg(long = "web.listen-address", default_value = "127.0.0.1:10047", value_name = "ADDRESS")]
    listen: String,
}

#[derive(Debug, Args)]
struct CheckArgs {
    /// Configuration to check
    #[arg(long = "config.file", value_name = "FILE", required_unless_present = "file")]
    config_file: Option<PathBuf>,
    /// The same, without the flag
    #[arg(value_name = "FILE", conflicts_with = "config_file")]
    file: Option<PathBuf>,
    /// Do not open the files that it names, such as certificates
    #[arg(long)]
    syntax_only: bool,
}

#[derive(Debug, Subcommand)]
enum LabelsCommand {
    /// Store what happened, with a training to follow
    Add(LabelsAddArgs),
    /// Take a label back, with a training to follow; it stays in the store
    Withdraw(LabelsWithdrawArgs),
    /// Show what people said
    List(LabelsListArgs),
}

#[derive(Debug, Args)]
struct StoreOfArgs {
    /// Configuration that names the store
    #[arg(long = "config.file", value_name = "FILE")]
    config_file: Option<PathBuf>,
    #[command(flatten)]
    store: StoreArgs,
}

impl StoreOfArgs {
    /// The watch of this name, where the configuration says which there are. A label for another one
    /// would wait for ever.
    fn watch(&self, name: &str) -> Result<Option<Watch>, Error> {
        let config = self.config_file.as_deref().map(config::load).transpose()?;
        let Some(watches) = config.and_then(|config| config.watches) else { return Ok(None) };
        if let Some(watch) = watches.iter().find(|watch| watch.name == name) {
            return Ok(Some(watch.clone()));
        }
        let names: Vec<&str> = watches.iter().map(|watch| watch.name.as_str()).collect();
        Err(format!("no watch is named {name:?}; there are: {}", names.join(", ")).into())
    }

    fn folder(&self) -> Result<PathBuf, Error> {
        let config = self.config_file.as_deref().map(config::load).transpose()?;
        Ok(config.and_then(|config| config.store).unwrap_or_else(|| self.store.path.clone()))
    }
}

#[derive(Debug, Args)]
struct LabelsAddArgs {
    /// The watch
    #[arg(long)]
    watch: String,
    /// The entity: name=value,name=value
    #[arg(long)]
    entity: String,
    /// When it began: RFC 3339, unix seconds, or -10m
    #[arg(long, allow_hyphen_values = true)]
    from: String,
    /// When it was over
    #[arg(long, allow_hyphen_values = true)]
    to: String,
    /// anomaly or normal
    #[arg(long)]
    verdict: String,
    /// The kind of anomaly, such as upstream_slow
    #[arg(long)]
    class: Option<String>,
    /// Free text
    #[arg(long)]
    note: Option<String>,
    /// Who says so; without it, the login name
    #[arg(long)]
    author: Option<String>,
    #[command(flatten)]
    store: StoreOfArgs,
}

#[derive(Debug, Args)]
struct LabelsWithdrawArgs {
    /// The label's, as `labels list` shows it
    id: i64,
    /// Why
    #[arg(long)]
    note: Option<String>,
    /// Who says so; without it, the login name
    #[arg(long)]
    author: Option<String>,
    #[command(flatten)]
    store: StoreOfArgs,
}

#[derive(Debug, Args)]
struct LabelsListArgs {
    /// Only those of this watch
    #[arg(long)]
    watch: Option<String>,
    /// Also what was withdrawn, or replaced by a later label on the same interval
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    store: StoreOfArgs,
}

fn detector(name: &str) -> Result<detect::Config, String> {
    let wanted = || format!("wanted some of {}", detect::Config::NAMES.join(", "));
    let why = || networks::left_out(name).unwrap_or_else(wanted);
    detect::Config::named(name).ok_or_else(why)
}

fn bucket(text: &str) -> Result<i64, String> {
    match parse_duration_s(text)? {
        s if s > 0 => Ok(s),
        _ => Err("must be longer than zero".into()),
    }
}

/// Parses the arguments, does what they say, and tells how it went.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = telemetry::init(cli.log.level, cli.log.format) {
        eprintln!("error: {error}");
        return ExitCode::FAILURE;
    }
    match dispatch(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command) -> Result<(), Error> {
    match command {
        Command::Serve(args) => {
            run_async(app::serve(Options { inputs: args.inputs.inputs(), web: args.web.options() }))
        }
        Command::Train(args) => run_async(app::train(args.inputs.inputs(), args.progress)),
        Command::Score(args) => args.run(),
        Command::Plan(args) => args.run(),
        Command::Demo(args) => run_async(app::demo(args.listen)),
        Command::Check(args) => {
            let path = args.config_file.or(args.file).unwrap_or_default();
            if args.syntax_only {
                config::load(&path)?
            } else {
                config::check(&path)?
            };
            app::say(&format!("{}: right\n", path.display()))
        }
        Command::Backtest(args) => args.run(),
        Command::Evaluate(args) => args.run(),
        Command::Collect(args) => args.run(),
        Command::Tune(args) => args.run(),
        Command::Simulate(args) => args.run(),
        Command::Plot(command) => plot::plot(command),
        Command::Labels(command) => labels(command),
        Command::Rules(command) => rules::rules(command),
        Command::Models(command) => models::models(command),
    }
}

fn labels(command: LabelsCommand) -> Result<(), Error> {
    match command {
        LabelsCommand::Add(args) => {
            let folder = args.store.folder()?;
            let known = args.store.watch(&args.watch)?;
            let LabelsAddArgs { watch, entity, from, to, verdict, class, note, author, .. } = args;
            let new = NewLabel {
                watch: Some(watch),
                entity: Some(EntityText::Text(entity)),
                from: Some(Time::Text(from)),
                to: Some(Time::Text(to)),
                verdict: Some(verdict),
                class,
                note,
            };
            tell("stored", &app::add_label(&folder, known.as_ref(), new, author)?)
        }
        LabelsCommand::Withdraw(LabelsWithdrawArgs { id, note, author, store }) => {
            let new = NewWithdrawal { note };
            tell("withdrawn", &app::withdraw_label(&store.folder()?, id, new, author)?)
        }
        LabelsCommand::List(args) => {
            let LabelsListArgs { watch, all, store } = args;
            app::say(&app::list_labels(&store.folder()?, watch.as_deref(), all)?)
        }
    }
}

fn tell(done: &str, said: &Said) -> Result<(), Error> {
    said.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
    let training = if said.training { ", training requested" } else { "" };
    app::say(&format!("label {} {done}{training}\n", said.id))
}

/// What a thread that waits for the store or a file may take once all else has ended. The store is
/// whole after a kill, too, so nothing is lost by not waiting longer.
const LAST_THREADS: Duration = Duration::from_millis(500);

fn run_async(work: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build()?;
    let done = runtime.block_on(work);
    runtime.shutdown_timeout(LAST_THREADS);
    done
}

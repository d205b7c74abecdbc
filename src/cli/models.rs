//! The arguments of `portent models`.

use std::path::PathBuf;

use clap::Args;
use clap::Subcommand;
use clap::ValueEnum;

use super::StoreOfArgs;
use crate::app;
use crate::app::Error;
use crate::app::ModelFiles;
use crate::app::Which;
use crate::app::Word;
use crate::math::duration::parse_duration_s;

#[derive(Debug, Subcommand)]
pub(super) enum ModelsCommand {
    /// Show every version and its state
    List(StoreOfArgs),
    /// Everything that is known of versions: by default of those in use
    Show(ShowArgs),
    /// Put a version in use; a running sidecar takes it up within seconds
    Promote(PromoteArgs),
    /// Go back to the version that was in use before; the one in use is rejected from then on. The first version of a
    /// --detector is taken out of use, where others score without it
    Rollback(ChangeArgs),
    /// Take models from files: versions of their own, which are kept for ever
    Import(ImportArgs),
    /// Write versions to files, by default those in use: a card and a model each
    Export(ExportArgs),
}

#[derive(Debug, Args)]
struct WhichArgs {
    /// The watch
    #[arg(long)]
    watch: Option<String>,
    /// The entity: name=value,name=value
    #[arg(long)]
    entity: Option<String>,
    /// The detector
    #[arg(long)]
    detector: Option<String>,
    /// The feature, of detectors that have a model for each
    #[arg(long)]
    feature: Option<String>,
}

impl WhichArgs {
    fn which(self, version: Option<i64>) -> Which {
        let WhichArgs { watch, entity, detector, feature } = self;
        Which { watch, entity, detector, feature, version }
    }

    /// To change what scores, somebody has to say whose.
    fn of_somebody(&self, all: bool) -> Result<(), Error> {
        match (&self.watch, &self.entity) {
            (None, _) => Err("--watch: wanted the watch whose models are meant".into()),
            (Some(_), None) if !all => {
                Err("--entity: wanted the entity whose models are meant, or --all for all".into())
            }
            _ => Ok(()),
        }
    }
}

#[derive(Debug, Args)]
struct WordArgs {
    /// For how long no training puts another version in use; 0s for not at all
    #[arg(long, default_value = "1w", value_parser = parse_duration_s, value_name = "DURATION")]
    hold: i64,
    /// Who says so; without it, the login name
    #[arg(long)]
    author: Option<String>,
    /// Why
    #[arg(long)]
    note: Option<String>,
}

impl WordArgs {
    fn word(self) -> Word {
        let WordArgs { hold, author, note } = self;
        Word { author, note, hold_s: hold }
    }
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// This version; without it, the one in use, or else the newest
    #[arg(long)]
    version: Option<i64>,
    /// text or json
    #[arg(long = "format", value_enum, default_value = "text", value_name = "FORMAT")]
    shape: Shape, // not `format`: that is the log's
    #[command(flatten)]
    store: StoreOfArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shape {
    Text,
    Json,
}

#[derive(Debug, Args)]
pub(super) struct PromoteArgs {
    /// The version, as `models list` shows it
    #[arg(long)]
    version: i64,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Whose models change, and who says so.
#[derive(Debug, Args)]
pub(super) struct ChangeArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// Of all entities of the watch
    #[arg(long, conflicts_with = "entity")]
    all: bool,
    #[command(flatten)]
    word: WordArgs,
    #[command(flatten)]
    store: StoreOfArgs,
}

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// Cards that `models export` wrote, or folders of them
    #[arg(required = true, value_name = "FILES")]
    paths: Vec<PathBuf>,
    /// The watch that they are for, where the cards name another
    #[arg(long)]
    watch: Option<String>,
    /// The entity that they are for, where the cards name another: name=value,name=value
    #[arg(long)]
    entity: Option<String>,
    /// Put them in use at once
    #[arg(long)]
    promote: bool,
    #[command(flatten)]
    word: WordArgs,
    #[command(flatten)]
    store: StoreOfArgs,
}

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// This version; without it, the one in use, or else the newest
    #[arg(long)]
    version: Option<i64>,
    /// Folder to write to
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    #[command(flatten)]
    store: StoreOfArgs,
}

pub(super) fn models(command: ModelsCommand) -> Result<(), Error> {
    match command {
        ModelsCommand::List(args) => app::say(&app::list_models(&args.folder()?)?),
        ModelsCommand::Show(ShowArgs { which, version, shape, store }) => {
            let (which, as_json) = (which.which(version), shape == Shape::Json);
            app::say(&app::show_models(&store.folder()?, &which, as_json)?)
        }
        ModelsCommand::Promote(PromoteArgs { version, change }) => {
            let ChangeArgs { which, all, word, store } = change;
            which.of_somebody(all)?;
            let (which, file) = (which.which(Some(version)), store.config_file.as_deref());
            tell(&app::promote_models(&store.folder()?, file, &which, word.word())?)
        }
        ModelsCommand::Rollback(change) => {
            let ChangeArgs { which, all, word, store } = change;
            which.of_somebody(all)?;
            let (which, file) = (which.which(None), store.config_file.as_deref());
            tell(&app::roll_back_models(&store.folder()?, file, &which, word.word())?)
        }
        ModelsCommand::Import(ImportArgs { paths, watch, entity, promote, word, store }) => {
            let files = ModelFiles { paths, watch, entity, promote };
            let file = store.config_file.as_deref();
            tell(&app::import_models(&store.folder()?, file, &files, word.word())?)
        }
        ModelsCommand::Export(ExportArgs { which, version, output, store }) => {
            tell(&app::export_models(&store.folder()?, &which.which(version), &output)?)
        }
    }
}

fn tell(lines: &[String]) -> Result<(), Error> {
    app::say(&lines.iter().map(|line| format!("{line}\n")).collect::<String>())
}

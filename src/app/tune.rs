//! `portent tune`: rows and what is known of them in, settings out.
//!
//! Owns: which rows a search may see, what a folder is the search of, and what is printed. Does not own:
//! the search (`crate::tune`).

use std::path::PathBuf;

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use super::Error;
use super::bar::Bar;
use super::cores;
use super::evaluate::Split;
use super::offline::check_bucket;
use super::offline::columns;
use super::offline::write_whole;
use super::plot::file_name;
use super::say;
use crate::detect;
use crate::evaluate;
use crate::evaluate::Validation;
use crate::math::calendar::Calendar;
use crate::model;
use crate::plot;
use crate::plot::Loss;
use crate::plot::Losses;
use crate::quality::Paging;
use crate::series::Window;
use crate::source;
use crate::source::csv::Told;
use crate::tune;
use crate::tune::Journal;
use crate::tune::Search;
use crate::tune::Training;
use crate::tune::plan;

/// What is searched in, and how long.
#[derive(Debug, Clone)]
pub struct Tune {
    /// A CSV file, as for an evaluation.
    pub input: PathBuf,
    /// A CSV file with the columns `from,to[,class][,verdict]`.
    pub labels: PathBuf,
    /// Whose settings, beginning with these.
    pub detectors: Vec<detect::Config>,
    /// Trials per detector at most.
    pub trials: Option<usize>,
    /// No training begins after so much time.
    pub budget_s: Option<i64>,
    /// Draws the settings, and trains.
    pub seed: u64,
    /// How the file is divided; its last part is not looked at.
    pub split: Split,
    /// The coarser step of traffic.
    pub bucket_s: Option<i64>,
    /// The page budget.
    pub pages_per_week: f64,
    /// The folder of what is found.
    pub output: PathBuf,
}

/// What a search may see.
struct Seen {
    names: Vec<String>,
    rows: Window,
    told: Vec<Told>,
    settings: evaluate::Settings,
}

/// Searches, writes what was found, and prints it.
///
/// # Errors
/// An input is not as wanted, the folder is of another search or cannot be written.
pub async fn tune(asked: Tune) -> Result<(), Error> {
    // Where trials are not limited, time is.
    let unit = if asked.trials.is_some() { "parts" } else { "seconds" };
    let bar = Bar::start("tune", unit);
    let mut listener = bar.listener();
    let work = move || -> Result<String, Error> {
        let seen = read(&asked)?;
        let in_input = |error| format!("{}: {error}", asked.input.display());
        let validation = Validation::new(&seen.names, &seen.rows, &seen.told, &seen.settings);
        let validation = validation.map_err(in_input)?;
        let mut journal = Journal::open(&asked.output, &about(&asked, &seen))?;
        let search = Search {
            detectors: asked.detectors.clone(),
            trials: asked.trials,
            budget_s: asked.budget_s.map(|s| s as f64),
            seed: asked.seed,
            threads: cores(),
        };
        let judge = |config: &detect::Config, seed, hear: &tune::Hear<'_>| {
            validation.judge(config, seed, hear)
        };
        let whole = tune::run(&search, &asked.output, &mut journal, &judge, &mut listener)?;
        found(&asked, &tune::ranked(&journal, &search), whole)
    };
    let done = tokio::task::spawn_blocking(work).await?;
    match done {
        Ok(_) => bar.end().await,
        Err(_) => bar.gone().await,
    }
    say(&done?)
}

/// The rows before the last part, and what is known of them.
fn read(asked: &Tune) -> Result<Seen, Error> {
    let file = source::csv::read(&asked.input)?;
    let told = source::csv::read_verdicts(&asked.labels, &file)?;
    check_bucket(&file, asked.bucket_s)?;
    let (train_rows, validation_rows) = asked.split.of(&file);
    let names: Vec<String> = file.columns.iter().map(|(name, _)| name.clone()).collect();
    let rows = file.window().slice(0, train_rows + validation_rows);
    let end_s = rows.grid.end_s();
    let settings = evaluate::Settings {
        detectors: Vec::new(),
        controls: Vec::new(),
        train_rows,
        validation_rows,
        bucket_s: asked.bucket_s,
        preprocess: None,
        calendar: Calendar::default(),
        pages_per_week: asked.pages_per_week,
        consecutive: 1,
        paging: Paging::default(),
        holdout_class: None,
    };
    let told = told.into_iter().filter(|told| told.interval.from_s < end_s).collect();
    Ok(Seen { names, rows, told, settings })
}

/// All that a training comes to by, except its settings. Rows that nobody looks at may change.
fn about(asked: &Tune, seen: &Seen) -> Map<String, Value> {
    let grid = seen.rows.grid;
    let mut bytes = format!("{:?} {} {}", seen.names, grid.start_s, grid.step_s).into_bytes();
    bytes.extend(seen.rows.values.iter().flat_map(|value| value.to_le_bytes()));
    let told = format!("{:?}", seen.told);
    // As many digits as tell two files apart and can be read.
    let name = |bytes: &[u8]| model::sha256(bytes).chars().take(12).collect::<String>();
    let map = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "rows": name(&bytes),
        "labels": name(told.as_bytes()),
        "train_rows": seen.settings.train_rows,
        "validation_rows": seen.settings.validation_rows,
        "bucket_s": asked.bucket_s,
        "pages_per_week": asked.pages_per_week,
        "seed": asked.seed,
    });
    if let Value::Object(map) = map { map } else { Map::new() }
}

/// Rows of the table of what was best.
const SHOWN: usize = 10;

/// Writes the best settings and how their losses fell; returns what a terminal is told.
fn found(asked: &Tune, ranked: &[&Training], whole: bool) -> Result<String, Error> {
    let text = |cell: Option<f64>, digits: usize| {
        cell.map_or("–".to_string(), |value| format!("{value:.digits$}"))
    };
    let head = ["DETECTOR", "TRIAL", "STEPS", "VUS-PR", "FOUND", "FALSE PAGES/WEEK", "SETTINGS"];
    let row = |training: &&Training| {
        let first = if training.trial == 0 { " (as it is)" } else { "" };
        [
            training.detector.clone(),
            format!("{}{first}", training.trial),
            format!("{:.0} %", 100.0 * plan::share(training.rung)),
            text(training.vus_pr, 3),
            format!("{} of {}", training.found, training.incidents),
            text(training.false_pages_per_week, 2),
            training.error.clone().unwrap_or_else(|| values(&training.settings)),
        ]
    };
    // What there was before the search is always shown.
    let shown = ranked.iter().enumerate().filter(|(i, t)| *i < SHOWN || t.trial == 0);
    let mut table = vec![head.map(String::from)];
    table.extend(shown.map(|(_, training)| row(training)));
    let n_trials = ranked.len();
    let mut told = columns(&table);
    if n_trials + 1 > table.len() {
        told += &format!("and {} more\n", n_trials + 1 - table.len());
    }
    if !whole {
        told += "the budget is spent; with a longer one the same command goes on\n";
    }
    let Some(best) = ranked.first().filter(|training| training.vus_pr.is_some()) else {
        return Err(format!("{told}no training came to a result").into());
    };
    let settings = yaml(&best.settings);
    write_whole(&asked.output.join("best.yml"), settings.as_bytes())?;
    if !best.looks.is_empty() {
        let scene = plot::losses(&losses(best, &file_name(&asked.input)));
        write_whole(&asked.output.join("losses.svg"), &scene.encode(plot::Format::Svg)?)?;
    }
    let folder = asked.output.join(tune::TENSORBOARD_FOLDER);
    let told = told + "\nthe best, for its watch:\n\n" + &settings;
    Ok(told + &format!("\ntensorboard --logdir {}\n", folder.display()))
}

/// The settings that were varied, in a cell.
fn values(config: &detect::Config) -> String {
    let value = |(name, value): (&str, f64)| format!("{name} {value}");
    config.knob_values().into_iter().map(value).collect::<Vec<_>>().join(", ")
}

/// The settings as an entry of `watches` wants them: what is not as by default, and the window, which is the
/// watch's.
fn yaml(config: &detect::Config) -> String {
    let inside = |config: &detect::Config| match serde_json::to_value(config) {
        Ok(Value::Object(map)) => map.into_iter().next().map(|(_, settings)| settings),
        _ => None,
    };
    let usual = detect::Config::named(config.name()).as_ref().and_then(inside);
    let mut window = String::new();
    let mut settings = Vec::new();
    for (name, value) in inside(config).as_ref().and_then(Value::as_object).into_iter().flatten() {
        if name == "window" {
            window = format!("window: {value}\n");
        } else if usual.as_ref().and_then(|usual| usual.get(name)) != Some(value) {
            settings.push(format!("{name}: {value}"));
        }
    }
    let entry = match settings.is_empty() {
        true => config.name().to_string(),
        false => format!("{}: {{{}}}", config.name(), settings.join(", ")),
    };
    format!("{window}detectors:\n- {entry}\n")
}

fn losses(best: &Training, input: &str) -> Losses {
    let look = |&(step, training, held_out): &(usize, f32, f32)| Loss {
        step,
        training: f64::from(training),
        held_out: f64::from(held_out),
    };
    let name = format!("{} {}", best.detector, best.trial);
    Losses {
        title: format!("{input}: the best of the search"),
        subtitle: values(&best.settings),
        curves: vec![(name, best.looks.iter().map(look).collect())],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_written_as_a_watch_reads_them() {
        let pca = detect::Config::named("pca").unwrap();
        assert_eq!(yaml(&pca), "detectors:\n- pca\n");
        let pca = detect::Config::Pca(detect::pca::Config { share: 0.5 });
        assert_eq!(yaml(&pca), "detectors:\n- pca: {share: 0.5}\n");
    }

    #[cfg(feature = "deep")]
    #[test]
    fn the_window_is_the_watchs() {
        use crate::detect::deep::autoencoder::Config;
        let config =
            Config { window: 64, widths: [8, 4], learning_rate: 3e-4, ..Config::default() };
        let wanted = "window: 64\ndetectors:\n\
                      - autoencoder: {learning_rate: 0.0003, widths: [8,4]}\n";
        assert_eq!(yaml(&detect::Config::Autoencoder(config)), wanted);
    }
}

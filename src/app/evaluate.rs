//! `portent evaluate`: rows and what is known of them in, a table, a winner and a page out.
//!
//! Owns: the parts of the file, and what is printed. Does not own: what is measured (`crate::evaluate`).

use std::path::Path;
use std::path::PathBuf;

use super::Error;
use super::Inputs;
use super::backtest::chosen;
use super::now_s;
use super::offline::check_bucket;
use super::offline::check_output;
use super::offline::columns;
use super::offline::write_whole;
use super::plot::file_name;
use super::say;
use crate::detect;
use crate::evaluate;
use crate::evaluate::Evaluation;
use crate::evaluate::Outcome;
use crate::evaluate::Settings;
use crate::evaluate::words;
use crate::gather;
use crate::gather::History;
use crate::quality::Paging;
use crate::series::Entity;
use crate::series::Grid;
use crate::series::Window;
use crate::source;
use crate::source::csv::CsvFile;
use crate::source::csv::Told;
use crate::store::FILE_NAME;
use crate::store::Store;
use crate::store::StoredLabel;
use crate::tensorboard;
use crate::tensorboard::Event;
use crate::tensorboard::What;
use crate::tune;
use crate::verdict::Interval;
use crate::verdict::Label;
use crate::verdict::Verdict;
use crate::watch::Watch;
use crate::weak;
use crate::weak::Said;
use crate::weak::Spoken;

/// What is judged, and how.
#[derive(Debug, Clone)]
pub struct Evaluate {
    /// What the rows are.
    pub subject: Subject,
    /// How the file is divided.
    pub split: Split,
    /// Who is judged; empty means those that suit the file.
    pub detectors: Vec<detect::Config>,
    /// Who is judged beside them, and cannot win.
    pub controls: Vec<detect::Config>,
    /// The coarser step of traffic.
    pub bucket_s: Option<i64>,
    /// The page budget; without it the watch's, or 1.
    pub pages_per_week: Option<f64>,
    /// Points above the threshold in a row that make an alarm; without it as many as the watch wants, or 1.
    pub consecutive: Option<u32>,
    /// Labels and alarms closer than this are one incident, and one page.
    pub apart_s: i64,
    /// A class that is neither learnt from nor chosen by.
    pub holdout_class: Option<String>,
    /// Where the page goes.
    pub report: Option<PathBuf>,
    /// Where TensorBoard finds how the losses fell.
    pub tensorboard_dir: Option<PathBuf>,
}

/// The page budget of a file.
const USUAL_PAGES: f64 = 1.0;

/// Rows, and what is known of them.
#[derive(Debug, Clone)]
pub enum Subject {
    /// Of a file.
    File {
        /// A CSV file, as for a backtest.
        input: PathBuf,
        /// A CSV file with the columns `from,to[,class][,verdict]`.
        labels: PathBuf,
    },
    /// Of an entity of a watch: the history that training reads, what its rules say of it, and over that the labels
    /// of the store.
    Watch {
        /// The configuration.
        inputs: Inputs,
        /// The watch, where there are several.
        watch: Option<String>,
        /// The entity, where there are several: `name=value,name=value`.
        entity: Option<String>,
    },
}

/// How a file is divided by time into rows to learn from, to choose by and to judge by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// Percentages of its time, which make 100.
    Percent([usize; 3]),
    /// So many rows are learnt from; one half of the rest is chosen by, the other judges.
    TrainRows(usize),
}

/// What is judged, read.
struct Read {
    /// For the page's title and messages.
    name: String,
    names: Vec<String>,
    rows: Window,
    told: Vec<Told>,
    /// Rows to learn from, and to choose by.
    split: (usize, usize),
    watch: Option<Watch>,
}

impl Split {
    /// Of the grid of a file.
    pub(super) fn of(self, file: &CsvFile) -> (usize, usize) {
        let at = |row| file.rows.get(row).map_or(file.t.len(), |(_, place)| *place);
        self.rows(file.t.len(), at)
    }

    /// Of `n` rows; `at` is the place of a row of the input on the grid.
    fn rows(self, n: usize, at: impl Fn(usize) -> usize) -> (usize, usize) {
        match self {
            Split::Percent([train, validation, _]) => {
                let first = n * train / 100;
                (first, n * (train + validation) / 100 - first)
            }
            Split::TrainRows(rows) => {
                let first = at(rows);
                (first, (n - first) / 2)
            }
        }
    }
}

/// Judges detectors, writes the page, and prints what a terminal is told.
///
/// # Errors
/// An input is not as wanted, the source or the store cannot be read, or the page cannot be written.
pub async fn evaluate(asked: &Evaluate) -> Result<(), Error> {
    let read = match &asked.subject {
        Subject::File { input, labels } => of_file(asked, input, labels)?,
        Subject::Watch { inputs, watch, entity } => {
            of_watch(asked, inputs, watch.as_deref(), entity.as_deref()).await?
        }
    };
    let settings = settings(asked, &read);
    let evaluation = evaluate::run(&read.names, &read.rows, &read.told, &settings)
        .map_err(|error| format!("{}: {error}", read.name))?;
    if let Some(output) = &asked.report {
        let page = evaluate::report(&evaluation, &read.name);
        write_whole(output, page.as_bytes())?;
    }
    if let Some(folder) = &asked.tensorboard_dir {
        for judged in &evaluation.detectors {
            let run = folder.join(judged.detector);
            if let Ok(outcome) = &judged.outcome {
                tensorboard::write(&run, "evaluation", &events(outcome))
                    .map_err(|error| format!("{}: {error}", run.display()))?;
            }
        }
    }
    say(&told_on_a_terminal(&evaluation))
}

/// What a watch's configuration says counts where nothing else was asked for.
fn settings(asked: &Evaluate, read: &Read) -> Settings {
    let watch = read.watch.as_ref();
    let all: Vec<usize> = (0..read.names.len()).collect();
    let own = watch.map(|watch| watch.detectors.as_slice()).unwrap_or_default();
    let as_configured = |config: &detect::Config| {
        own.iter().find(|known| known.name() == config.name()).unwrap_or(config).clone()
    };
    let detectors = match (asked.detectors.as_slice(), own) {
        ([], []) => Vec::new(),
        // Beside the watch's own, what else could be there.
        ([], own) => {
            let others = evaluate::usual(all.len()).into_iter();
            let others = others.filter(|other| own.iter().all(|own| own.name() != other.name()));
            own.iter().cloned().chain(others).collect()
        }
        (asked, _) => asked.iter().map(as_configured).collect(),
    };
    let pages_per_week = watch.map_or(USUAL_PAGES, |watch| watch.pages_per_week);
    Settings {
        detectors,
        controls: asked.controls.iter().map(as_configured).collect(),
        train_rows: read.split.0,
        validation_rows: read.split.1,
        bucket_s: watch.map_or(asked.bucket_s, |watch| watch.bucket_s),
        preprocess: watch.map(|watch| watch.preprocess(&all)),
        calendar: watch.map(|watch| watch.calendar.clone()).unwrap_or_default(),
        pages_per_week: asked.pages_per_week.unwrap_or(pages_per_week),
        consecutive: asked.consecutive.unwrap_or(watch.map_or(1, |watch| watch.consecutive)),
        paging: Paging::within(asked.apart_s),
        holdout_class: asked.holdout_class.clone(),
    }
}

/// How the losses fell, and what came of it.
fn events(outcome: &Outcome) -> Vec<Event> {
    let wall_s = now_s() as f64;
    let mut events = tune::losses(&outcome.looks, wall_s);
    let both = [("validation", &outcome.validation), ("test", &outcome.test)];
    events.extend(both.into_iter().filter(|(_, quality)| quality.vus_pr.is_finite()).map(
        |(part, quality)| {
            let (tag, value) = (format!("{part}/vus_pr"), quality.vus_pr as f32);
            Event { wall_s, step: 0, what: What::Scalar { tag, value } }
        },
    ));
    events
}

fn of_file(asked: &Evaluate, input: &Path, labels: &Path) -> Result<Read, Error> {
    if let Some(output) = &asked.report {
        check_output(input, output)?;
        check_output(labels, output)?;
    }
    let file = source::csv::read(input)?;
    let told = source::csv::read_verdicts(labels, &file)?;
    check_bucket(&file, asked.bucket_s)?;
    let split = asked.split.of(&file);
    let names: Vec<String> = file.columns.iter().map(|(name, _)| name.clone()).collect();
    let rows = file.window();
    Ok(Read { name: file_name(input), names, rows, told, split, watch: None })
}

async fn of_watch(
    asked: &Evaluate,
    inputs: &Inputs,
    watch: Option<&str>,
    entity: Option<&str>,
) -> Result<Read, Error> {
    let config = inputs.load()?;
    let source = inputs.source(&config)?;
    let watch = chosen(watch, &config)?.clone();
    let end_s = gather::known_s(&watch, now_s());
    let start_s = end_s - watch.train.history_s;
    let grid = Grid::covering(start_s, end_s, watch.step_s);
    let mut history = gather::history(&source, &watch, grid).await?;
    for (query, error) in &history.failed {
        tracing::warn!(watch = watch.name, query, %error, "history without a query's answers");
    }
    let entity = the_one(entity, &history)?;
    let mut rows = history.windows.remove(&entity).unwrap_or_else(|| Window::gaps(grid, 0));
    // Before the first sample nothing can be learnt.
    let first = rows.extent().map_or(0, |(first, _)| first);
    rows = rows.slice(first, rows.grid.len);
    let interval = Interval { from_s: rows.grid.start_s, to_s: rows.grid.end_s() };
    let weak = gather::weak_labels(&source, &watch.weak_labels, interval).await?;
    if let Some(error) = weak.unread.into_iter().next() {
        return Err(error.into());
    }
    for (rule, error) in weak.failed {
        tracing::warn!(watch = watch.name, rule, %error, "a rule that labels nothing");
    }
    let news = weak::news(weak.labels, interval);
    for (rule, what) in news.left_out() {
        tracing::warn!(watch = watch.name, rule, "{what}");
    }
    let Said { incidents, ambiguous } = Spoken::new(&news.labels, &watch.entity).of(&entity);
    for i in 0..rows.grid.len {
        let time_s = rows.grid.time(i);
        if ambiguous.iter().any(|interval| interval.contains(time_s)) {
            rows.row_mut(i).fill(f64::NAN);
        }
    }
    let verdict = Verdict::Anomaly;
    let mut told: Vec<Told> =
        incidents.into_iter().map(|(interval, class)| Told { interval, verdict, class }).collect();
    let folder = inputs.store_folder(&config);
    if folder.join(FILE_NAME).exists() {
        let labels = Store::open_to_read(folder)?.labels(Some(&watch.name))?;
        // The later word counts.
        told.extend(labels.into_iter().filter(|stored| stored.label.entity == entity).map(
            |StoredLabel { label, .. }| {
                let Label { interval, verdict, class, .. } = label;
                Told { interval, verdict, class }
            },
        ));
    }
    let names = watch.features.iter().map(|feature| feature.name.clone()).collect();
    let split = asked.split.rows(rows.grid.len, |row| row.min(rows.grid.len));
    let name = format!("{} {entity}", watch.name);
    Ok(Read { name, names, rows, told, split, watch: Some(watch) })
}

/// The entity that was asked for, or the only one.
fn the_one(asked: Option<&str>, history: &History) -> Result<Entity, Error> {
    let there_are = || {
        let names: Vec<String> = history.windows.keys().take(20).map(ToString::to_string).collect();
        if names.is_empty() { "there is none".to_string() } else { names.join("; ") }
    };
    let mut all = history.windows.keys();
    match (asked, all.next(), all.next()) {
        (None, Some(only), None) => Ok(only.clone()),
        (None, ..) => Err(format!("wanted --entity=NAME=VALUE,…: {}", there_are()).into()),
        (Some(text), ..) => {
            let entity: Entity = text.parse().map_err(|error| format!("--entity: {error}"))?;
            match history.windows.contains_key(&entity) {
                true => Ok(entity),
                false => Err(format!("no rows of {entity}: {}", there_are()).into()),
            }
        }
    }
}

fn told_on_a_terminal(evaluation: &Evaluation) -> String {
    let mut text = words::parts(evaluation).join("\n") + "\n\n";
    let upper = |name: &str| name.to_uppercase();
    let mut table = vec![words::HEAD.map(upper)];
    let test = |judged| words::row(judged, |outcome| &outcome.test);
    table.extend(evaluation.detectors.iter().map(test));
    text += &columns(&table);
    let classes = words::classes(evaluation);
    if !classes.is_empty() {
        let mut table = vec![words::CLASS_HEAD.map(upper)];
        table.extend(classes);
        text = text + "\n" + &columns(&table);
    }
    for (detector, groups) in words::groups(evaluation) {
        let [group, rows, incidents, marks, classes, _] = words::GROUP_HEAD.map(upper);
        let moment = format!("{group}, MOST LIKE THE OTHERS");
        // What is longest comes last.
        let mut table = vec![[moment, rows, incidents, classes, marks]];
        table.extend(groups.into_iter().map(|[a, b, c, marks, classes]| [a, b, c, classes, marks]));
        text += &format!("\ngroups of what the {detector} scored above 1 in the test part\n");
        text += &columns(&table);
    }
    text + "\n" + &words::winner(evaluation) + "\n"
}

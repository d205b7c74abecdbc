//! `portent evaluate`: a file and its labels in, a table, a winner and a page out.
//!
//! Owns: the parts of the file, and what is printed. Does not own: what is measured (`crate::evaluate`).

use std::path::PathBuf;

use super::Error;
use super::offline::check_bucket;
use super::offline::check_output;
use super::offline::columns;
use super::offline::write_whole;
use super::plot::file_name;
use crate::detect;
use crate::evaluate;
use crate::evaluate::Evaluation;
use crate::evaluate::Settings;
use crate::evaluate::words;
use crate::quality::Paging;
use crate::series::Window;
use crate::source;
use crate::source::csv::CsvFile;

/// What is judged, and how.
#[derive(Debug, Clone)]
pub struct Evaluate {
    /// A CSV file, as for a backtest.
    pub input: PathBuf,
    /// A CSV file with the columns `from,to[,class][,verdict]`.
    pub labels: PathBuf,
    /// How the file is divided.
    pub split: Split,
    /// Who is judged; empty means those that suit the file.
    pub detectors: Vec<detect::Config>,
    /// The coarser step of traffic.
    pub bucket_s: Option<i64>,
    /// The page budget.
    pub pages_per_week: f64,
    /// Points above the threshold in a row that make an alarm.
    pub consecutive: u32,
    /// Labels and alarms closer than this are one incident, and one page.
    pub apart_s: i64,
    /// A class that is neither learnt from nor chosen by.
    pub holdout_class: Option<String>,
    /// Where the page goes.
    pub report: Option<PathBuf>,
}

/// How a file is divided by time into rows to learn from, to choose by and to judge by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// Percentages of its time, which make 100.
    Percent([usize; 3]),
    /// So many rows are learnt from; one half of the rest is chosen by, the other judges.
    TrainRows(usize),
}

impl Split {
    /// Rows of the grid to learn from, and to choose by.
    fn rows(self, file: &CsvFile) -> (usize, usize) {
        let n = file.t.len();
        match self {
            Split::Percent([train, validation, _]) => {
                let first = n * train / 100;
                (first, n * (train + validation) / 100 - first)
            }
            Split::TrainRows(rows) => {
                let first = file.rows.get(rows).map_or(n, |(_, place)| *place);
                (first, (n - first) / 2)
            }
        }
    }
}

/// Judges detectors, writes the page, and returns what a terminal is told.
///
/// # Errors
/// An input is not as wanted, or the page cannot be written.
pub fn evaluate(asked: &Evaluate) -> Result<String, Error> {
    let Evaluate { input, labels, .. } = asked;
    if let Some(output) = &asked.report {
        check_output(input, output)?;
        check_output(labels, output)?;
    }
    let told = source::csv::read_verdicts(labels)?;
    let file = source::csv::read(input)?;
    check_bucket(&file, asked.bucket_s)?;
    let (train_rows, validation_rows) = asked.split.rows(&file);
    let settings = Settings {
        detectors: asked.detectors.clone(),
        train_rows,
        validation_rows,
        bucket_s: asked.bucket_s,
        pages_per_week: asked.pages_per_week,
        consecutive: asked.consecutive,
        paging: Paging::within(asked.apart_s),
        holdout_class: asked.holdout_class.clone(),
    };
    let names: Vec<String> = file.columns.iter().map(|(name, _)| name.clone()).collect();
    let mut rows = Window::gaps(file.grid(), names.len());
    for (c, (_, column)) in file.columns.iter().enumerate() {
        column.iter().enumerate().for_each(|(i, value)| rows.row_mut(i)[c] = *value);
    }
    let evaluation = evaluate::run(&names, &rows, &told, &settings)
        .map_err(|error| format!("{}: {error}", input.display()))?;
    if let Some(output) = &asked.report {
        let page = evaluate::report(&evaluation, &file_name(input));
        write_whole(output, page.as_bytes())?;
    }
    Ok(told_on_a_terminal(&evaluation))
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
    text + "\n" + &words::winner(evaluation) + "\n"
}

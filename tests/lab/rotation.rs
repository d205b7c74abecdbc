//! Each recording judges once: which network is shortlisted does not hang on one half hour.
//!
//! Owns: who is learnt from, chosen by and judged on in each turn, and what comes of all of them. Does not own: how
//! recordings are joined (`experiment`), how they are judged (Portent's own).

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

use portent::detect;
use portent::evaluate;
use portent::evaluate::Outcome;
use portent::evaluate::Settings;
use portent::math::calendar::Calendar;
use portent::quality::Confusion;
use portent::quality::Paging;
use portent::source::csv;

use super::experiment;
use super::experiment::Judged;

/// What a detector made of all turns.
#[derive(Debug, Clone, Default)]
struct Sum {
    name: &'static str,
    control: bool,
    /// VUS-PR of each turn, where it was chosen by and where it was judged on.
    chosen_by: Vec<f64>,
    judged_on: Vec<f64>,
    found: usize,
    incidents: usize,
    rows: Confusion,
}

/// Judges every detector once on each recording that has all classes, and says who is best on average where it is
/// chosen. The last line names the shortlisted.
///
/// # Errors
/// Recordings cannot be joined or judged, or a detector cannot learn from them.
pub(crate) fn rotate(
    recordings: &[PathBuf],
    out: &Path,
    judged: &Judged,
) -> Result<String, String> {
    let folder = out.join("rotation");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let turns = turns(&experiment::with_all_classes(recordings)?, recordings);
    let mut sums: Vec<Sum> = Vec::new();
    let chances = turns.iter().map(|turn| one(turn, &folder, judged, &mut sums));
    let chances = chances.collect::<Result<Vec<f64>, String>>()?;
    Ok(table(&sums, &chances))
}

/// Recordings in the order of their parts: those that are learnt from, one to choose by, one to judge on.
fn turns(whole: &[PathBuf], all: &[PathBuf]) -> Vec<Vec<PathBuf>> {
    if whole.len() < 3 {
        return vec![all.to_vec()];
    }
    let before = whole.iter().cycle().skip(whole.len() - 1);
    let turn = |(judge, chooser): (&PathBuf, &PathBuf)| {
        let learnt = all.iter().filter(|path| *path != judge && *path != chooser);
        learnt.chain([chooser, judge]).cloned().collect()
    };
    whole.iter().zip(before).map(turn).collect()
}

/// Adds a turn, and says what a score that says nothing has there.
fn one(
    turn: &[PathBuf],
    folder: &Path,
    judged: &Judged,
    sums: &mut Vec<Sum>,
) -> Result<f64, String> {
    let joined = experiment::join(turn)?;
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).map(|()| path).map_err(|error| format!("{name}: {error}"))
    };
    let file = csv::read(&write("rows.csv", &joined.rows)?).map_err(|error| error.to_string())?;
    let labels = write("rows-labels.csv", &joined.labels)?;
    let told = csv::read_verdicts(&labels, &file).map_err(|error| error.to_string())?;
    let place = |row: usize| file.rows.get(row).map_or(file.t.len(), |(_, place)| *place);
    let train_rows = place(joined.train_rows);
    let names: Vec<String> = file.columns.iter().map(|(name, _)| name.clone()).collect();
    let settings = Settings {
        detectors: named(&judged.detectors)?,
        controls: named(&judged.controls)?,
        train_rows,
        validation_rows: (file.t.len() - train_rows) / 2,
        bucket_s: None,
        preprocess: None,
        calendar: Calendar::default(),
        pages_per_week: 1.0,
        consecutive: 1,
        paging: Paging::within(experiment::APART_S),
        holdout_class: None,
    };
    let evaluation = evaluate::run(&names, &file.window(), &told, &settings)
        .map_err(|error| format!("{}: {error}", turn[turn.len() - 1].display()))?;
    sums.resize(evaluation.detectors.len(), Sum::default());
    for (sum, detector) in sums.iter_mut().zip(evaluation.detectors) {
        let outcome =
            detector.outcome.map_err(|error| format!("{}: {error}", detector.detector))?;
        (sum.name, sum.control) = (detector.detector, detector.control);
        sum.add(&outcome);
    }
    Ok(evaluation.chance.test)
}

fn named(list: &str) -> Result<Vec<detect::Config>, String> {
    let names = list.split(',').filter(|name| !name.is_empty());
    names.map(|name| detect::Config::named(name).ok_or(format!("no detector {name}"))).collect()
}

impl Sum {
    fn add(&mut self, Outcome { validation, test, .. }: &Outcome) {
        self.chosen_by.push(validation.vus_pr);
        self.judged_on.push(test.vus_pr);
        self.found += test.n_found;
        self.incidents += test.n_incidents;
        self.rows += test.rows;
    }

    fn chosen(&self) -> f64 {
        mean(&self.chosen_by)
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn best<'a>(sums: impl Iterator<Item = &'a Sum>) -> Option<&'a Sum> {
    sums.max_by(|a, b| a.chosen().total_cmp(&b.chosen()))
}

fn table(sums: &[Sum], chances: &[f64]) -> String {
    let head = ["DETECTOR", "VALIDATION", "TEST", "FOUND", "PRECISION", "RECALL", "F1"];
    let mut text = line(&head.map(String::from), &["TP", "FP", "FN", "TN"].map(String::from));
    let three = |value: f64| format!("{value:.3}");
    for sum in sums {
        let name = if sum.control { format!("{} (control)", sum.name) } else { sum.name.into() };
        let found = format!("{} of {}", sum.found, sum.incidents);
        let [chosen, judged] = [sum.chosen(), mean(&sum.judged_on)].map(three);
        let rows = sum.rows;
        let [precision, recall, f1] = [rows.precision(), rows.recall(), rows.f1()].map(three);
        let counts =
            [rows.true_positives, rows.false_positives, rows.false_negatives, rows.true_negatives];
        let cells = [name, chosen, judged, found, precision, recall, f1];
        text += &line(&cells, &counts.map(|n| n.to_string()));
    }
    let (chance, n_turns) = (mean(chances), chances.len());
    let _ = writeln!(
        text,
        "\nVALIDATION and TEST are VUS-PR, of which a score that says nothing has {chance:.3} (test); the rest is \
         of the rows that are judged on, at each detector's own threshold"
    );
    let shown = |sum: &Sum| {
        let judged = mean(&sum.judged_on);
        format!("{} (validation {:.3}, test {judged:.3})", sum.name, sum.chosen())
    };
    let winner = best(sums.iter().filter(|sum| !sum.control)).map_or("nobody".into(), shown);
    let control = best(sums.iter().filter(|sum| sum.control)).map(shown);
    let control = control.map_or(String::new(), |control| format!("; best control: {control}"));
    let _ = writeln!(
        text,
        "\nshortlisted by validation's VUS-PR, mean of {n_turns} turns: {winner}{control}"
    );
    text
}

fn line(cells: &[String; 7], counts: &[String; 4]) -> String {
    let [name, chosen, judged, found, precision, recall, f1] = cells;
    let mut text = format!(
        "{name:<18} {chosen:>10} {judged:>6} {found:>9} {precision:>9} {recall:>6} {f1:>6}"
    );
    counts.iter().for_each(|count| text += &format!(" {count:>5}"));
    text + "\n"
}

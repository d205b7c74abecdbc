//! The RFC's experiment: recordings one after the other, three networks and two linear controls judged on them, one
//! shortlisted.
//!
//! Owns: who is learnt from, chosen by and judged on; what is asked of `portent evaluate`. Does not own: how a
//! recording is made (`record`), how it is judged (Portent's own).

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

use portent::source::csv;
use portent::source::csv::CsvFile;
use portent::source::csv::Told;
use portent::verdict::Verdict;

use super::record;

/// Gaps between two recordings: no window of 32 rows sees two of them.
const GAP_ROWS: i64 = 40;

/// Recordings that follow each other in time.
#[derive(Debug)]
pub(crate) struct Joined {
    /// The rows of a file.
    pub(crate) rows: String,
    /// The labels of a file.
    pub(crate) labels: String,
    /// Rows of all recordings but the last two.
    pub(crate) train_rows: usize,
}

/// A recording, read again.
struct Heard {
    file: CsvFile,
    told: Vec<Told>,
}

/// Labels and alarms closer than this are one incident, and one page; in seconds.
pub(super) const APART_S: i64 = 10;

/// What the parts of an experiment are called.
const PARTS: [&str; 3] = ["training", "validation", "test"];

/// Joins `NAME.csv` and `NAME-labels.csv` of each recording: all but two to learn from, the one before the last to
/// choose by, the last to judge by.
///
/// # Errors
/// A file cannot be read, recordings differ in features or step, or a class is not in every part.
pub(crate) fn join(recordings: &[PathBuf]) -> Result<Joined, String> {
    let heard = recordings.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
    let [train @ .., validation, test] = &heard[..] else {
        return Err("wanted three recordings or more".to_owned());
    };
    let Some(first) = train.first().map(|first| &first.file) else {
        return Err("wanted a recording to learn from".to_owned());
    };
    // The second half of what is not learnt from is judged on: its middle has to lie between the last two.
    let [chosen, judged] = [validation, test].map(|heard| heard.file.t.len() as i64);
    if (chosen - judged).abs() >= GAP_ROWS {
        return Err(format!(
            "{chosen} rows to choose by and {judged} to judge by; wanted less than {GAP_ROWS} between them"
        ));
    }
    every_class_in(&[train, std::slice::from_ref(validation), std::slice::from_ref(test)])?;
    let names: Vec<String> = first.columns.iter().map(|(name, _)| name.clone()).collect();
    let (mut rows, mut labels) = (String::new(), "from,to,class,verdict\n".to_owned());
    let mut start_s = first.t[0];
    for ((Heard { file, told }, path), i) in heard.iter().zip(recordings).zip(0..) {
        if !file.columns.iter().map(|(name, _)| name).eq(&names) || file.step_s != first.step_s {
            return Err(format!("{}: other features, or another step", path.display()));
        }
        let shift_s = start_s - file.t[0];
        let mut window = file.window();
        window.grid.start_s += shift_s;
        let text = record::csv(&names, &window);
        let head = if i == 0 { 0 } else { text.find('\n').map_or(0, |end| end + 1) };
        rows.push_str(&text[head..]);
        told.iter().for_each(|told| label(&mut labels, told, shift_s));
        start_s += (file.t.len() as i64 + GAP_ROWS) * file.step_s;
    }
    let train_rows = train.iter().map(|heard| heard.file.t.len()).sum();
    Ok(Joined { rows, labels, train_rows })
}

fn read(path: &Path) -> Result<Heard, String> {
    let labels = path.with_file_name(format!("{}-labels.csv", stem(path)));
    let file = csv::read(path).map_err(|error| error.to_string())?;
    let told = csv::read_verdicts(&labels, &file).map_err(|error| error.to_string())?;
    Ok(Heard { file, told })
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// Those of the recordings that have every class of any of them.
///
/// # Errors
/// A file cannot be read.
pub(crate) fn with_all_classes(recordings: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let heard = recordings.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
    let of: Vec<BTreeSet<String>> =
        heard.iter().map(|heard| classes(std::slice::from_ref(heard))).collect();
    let n_all = classes(&heard).len();
    let whole = recordings.iter().zip(&of).filter(|(_, classes)| classes.len() == n_all);
    Ok(whole.map(|(path, _)| path.clone()).collect())
}

fn classes(part: &[Heard]) -> BTreeSet<String> {
    part.iter().flat_map(|heard| &heard.told).filter_map(|told| told.class.clone()).collect()
}

/// A class that is nowhere learnt, or nowhere chosen by, says nothing where it is judged.
fn every_class_in(parts: &[&[Heard]; 3]) -> Result<(), String> {
    let of = parts.map(classes);
    let all: BTreeSet<&String> = of.iter().flatten().collect();
    for (part, known) in PARTS.into_iter().zip(&of) {
        if let Some(class) = all.iter().find(|class| !known.contains(**class)) {
            return Err(format!("{class} is not in the {part} part"));
        }
    }
    Ok(())
}

fn label(text: &mut String, told: &Told, shift_s: i64) {
    let verdict = match told.verdict {
        Verdict::Anomaly => "anomaly",
        Verdict::Normal => "normal",
    };
    let class = told.class.as_deref().unwrap_or_default();
    let [from_s, to_s] = [told.interval.from_s, told.interval.to_s].map(|time_s| time_s + shift_s);
    let _ = writeln!(text, "{from_s},{to_s},{class},{verdict}");
}

/// Who is judged.
#[derive(Debug, Clone)]
pub(crate) struct Judged {
    /// The candidates, with commas.
    pub(crate) detectors: String,
    /// What a winner has to be better than, with commas.
    pub(crate) controls: String,
    /// A class that a second run learns nothing of.
    pub(crate) hold_out: Option<String>,
}

/// Writes `experiment.csv` and `experiment-labels.csv` into a folder, and says with which arguments `portent` makes
/// its pages there: all classes known, and then one of them unknown until it is judged.
///
/// # Errors
/// The recordings cannot be joined, or a file cannot be written.
pub(crate) fn prepare(
    recordings: &[PathBuf],
    out: &Path,
    judged: &Judged,
) -> Result<Vec<Vec<String>>, String> {
    let Joined { rows, labels, train_rows } = join(recordings)?;
    fs::create_dir_all(out).map_err(|error| format!("{}: {error}", out.display()))?;
    let write = |name: &str, text: &str| {
        let path = out.join(name);
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok::<_, String>(path.display().to_string())
    };
    let input = write("experiment.csv", &rows)?;
    let labels = write("experiment-labels.csv", &labels)?;
    let at = |name: &str| out.join(name).display().to_string();
    let evaluate = |page: &str, more: &[String]| {
        let always = [
            "evaluate".to_owned(),
            input.clone(),
            format!("--labels={labels}"),
            format!("--train-rows={train_rows}"),
            format!("--apart={APART_S}s"),
            format!("--detectors={}", judged.detectors),
            format!("--controls={}", judged.controls),
            format!("--report={}", at(page)),
        ];
        always.into_iter().chain(more.iter().cloned()).collect::<Vec<String>>()
    };
    let losses = format!("--tensorboard.dir={}", at("tensorboard"));
    // The winner's line is the last word.
    let held_out = judged.hold_out.iter();
    let held_out =
        held_out.map(|class| evaluate("held-out.html", &[format!("--holdout-class={class}")]));
    Ok(held_out.chain([evaluate("experiment.html", &[losses])]).collect())
}

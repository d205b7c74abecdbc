//! How good detectors are on rows of which it is known what was wrong, and which of them is best.
//!
//! Owns: who sees which rows, what is measured, the choice. Does not own: the measures (`quality`), or
//! how a detector is trained and scores (`backtest`).
//!
//! Three parts by time. Detectors learn from the first, with labelled anomalies as gaps, and have their
//! threshold from its calibration; the second says who is best, the third how good. Every score is
//! computed from rows up to its own.

mod groups;
mod report;
mod truth;
mod validate;
pub mod words;

use std::ops::Range;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Instant;

use crate::backtest;
use crate::backtest::Row;
use crate::detect;
use crate::detect::Episode;
use crate::detect::FitContext;
use crate::detect::FitError;
use crate::detect::Look;
use crate::detect::Stage;
use crate::math::calendar::Calendar;
use crate::preprocess;
use crate::quality::Confusion;
use crate::quality::Incidents;
use crate::quality::Paging;
use crate::quality::RangePr;
use crate::quality::buffer;
use crate::score::THRESHOLD;
use crate::series::Grid;
use crate::series::Window;
use crate::source::csv::Told;
use crate::verdict::Class;
use crate::verdict::Verdict;
use crate::watch::Training;

pub use groups::Group;
pub use groups::Mark;
pub use report::report;
pub use validate::Validated;
pub use validate::Validation;

use truth::Truth;
use truth::UNNAMED;

/// Rows of an episode before its first: no window is longer.
const LOOKED_BACK_AT: usize = 1024;

/// Who sees which rows, and what counts.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Who is judged; empty means those that suit the file ([`usual`]).
    pub detectors: Vec<detect::Config>,
    /// Judged after them, and never the winner: what it has to be better than.
    pub controls: Vec<detect::Config>,
    /// Rows that are learnt from, the first ones.
    pub train_rows: usize,
    /// Rows after them by which the winner is chosen; the rest says how good it is.
    pub validation_rows: usize,
    /// The coarser step of traffic.
    pub bucket_s: Option<i64>,
    /// A watch's preprocessing, instead of what suits the rows.
    pub preprocess: Option<preprocess::Config>,
    /// Local time and holidays of whoever makes the traffic.
    pub calendar: Calendar,
    /// The page budget.
    pub pages_per_week: f64,
    /// Points above the threshold in a row that make an alarm; at least one.
    pub consecutive: u32,
    /// What makes one incident, and one page.
    pub paging: Paging,
    /// A class whose intervals are gaps in training and validation, and tested all the same.
    pub holdout_class: Option<String>,
}

/// What came out.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// The rows' times.
    pub grid: Grid,
    /// Rows learnt from.
    pub train: Range<usize>,
    /// Rows that the winner was chosen by.
    pub validation: Range<usize>,
    /// Rows that everything was judged on.
    pub test: Range<usize>,
    /// The class that was held out.
    pub holdout_class: Option<String>,
    /// Stretches of rows in which something was wrong, and the class of each.
    pub labelled: Vec<(Range<usize>, String)>,
    /// What a score that says nothing has.
    pub chance: Chance,
    /// Per detector, in the order that was asked for, and then the controls.
    pub detectors: Vec<Judged>,
    /// The place of the best in `detectors`, where there were anomalies to choose by.
    pub winner: Option<Winner>,
}

/// VUS-PR of a score that says nothing: where incidents are many and long, that is much.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Chance {
    /// On the rows that the winner was chosen by.
    pub validation: f64,
    /// On the rows that everything was judged on.
    pub test: f64,
}

/// The detector of the highest VUS-PR on the validation part, of those that are no controls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Winner {
    /// Its place among the detectors.
    pub place: usize,
    /// Whether its false pages there are as few as the page budget may bring by chance; if not, nobody's are.
    pub keeps_budget: bool,
}

/// One detector.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// Its name.
    pub detector: &'static str,
    /// Whether it is there for comparison only.
    pub control: bool,
    /// How it did, or why it could not learn.
    pub outcome: Result<Outcome, FitError>,
}

/// How a detector did.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Scores of the rows of validation and test.
    pub scores: Vec<f64>,
    /// What the choice is made by.
    pub validation: Quality,
    /// What counts.
    pub test: Quality,
    /// Per class of the test part, against what was normal there.
    pub classes: Vec<(String, Quality)>,
    /// Precision and recall of the rows of the test part at every threshold, from the highest on.
    pub curve: Vec<(f64, f64)>,
    /// Seconds to learn and to score.
    pub seconds: f64,
    /// How the losses of its training fell, if it is a network.
    pub looks: Vec<Look>,
    /// Kinds of anomalies that it found in the test part, if it is the autoencoder.
    pub groups: Vec<Group>,
}

/// One detector on one part. NaN is nothing to measure.
#[derive(Debug, Clone, PartialEq)]
pub struct Quality {
    /// Rows by label and alarm.
    pub rows: Confusion,
    /// Range-aware, threshold-free.
    pub vus_pr: f64,
    /// Incidents.
    pub n_incidents: usize,
    /// How many of them were found.
    pub n_found: usize,
    /// Median seconds from their first row to the first alarm.
    pub detect_s: f64,
    /// Of how many incidents of a class the rows that were called anomalous were mostly called that class; `None`
    /// of all classes together, and of a detector that names none.
    pub n_named: Option<usize>,
    /// Pages for nothing, of all classes.
    pub false_pages: usize,
    /// Length of the part.
    pub weeks: f64,
}

impl Quality {
    /// Pages for nothing per week.
    pub fn false_pages_per_week(&self) -> f64 {
        self.false_pages as f64 / self.weeks
    }
}

/// Those that suit rows of so many columns: of one all single detectors, of several all joint ones, and
/// as the free control a seasonal median.
pub fn usual(n_columns: usize) -> Vec<detect::Config> {
    let all = || detect::Config::NAMES.iter().filter_map(|name| detect::Config::named(name));
    match n_columns {
        0 | 1 => all().filter(|config| !config.joint()).collect(),
        _ => all().filter(|config| config.joint() || config.name() == "seasonal_median").collect(),
    }
}

/// Trains, scores and judges every detector.
///
/// # Errors
/// A part has no rows, none of the labelled anomalies lies in any row (of none at all, there are groups only), or the class that is held out is not in the test part.
pub fn run(
    names: &[String],
    rows: &Window,
    told: &[Told],
    settings: &Settings,
) -> Result<Evaluation, String> {
    let (n, first) = (rows.grid.len, settings.train_rows);
    let middle = first + settings.validation_rows;
    if first == 0 || middle >= n {
        return Err(format!(
            "{n} rows, {first} to learn from and {} to choose by; wanted some left to judge by",
            settings.validation_rows
        ));
    }
    let truth = Truth::new(told, rows.grid);
    let said = told.iter().any(|told| told.verdict == Verdict::Anomaly);
    if said && truth.rows.iter().all(Option::is_none) {
        return Err("no labelled anomaly lies within the rows".to_string());
    }
    let holdout = settings.holdout_class.as_deref().map(|name| holdout(&truth, name, middle..n));
    let hall = Hall { rows, truth, settings, middle, holdout: holdout.transpose()? };
    let detectors = match &settings.detectors[..] {
        [] => usual(names.len()),
        some => some.to_vec(),
    };
    let candidates = detectors.iter().map(|config| (config, false));
    let all = candidates.chain(settings.controls.iter().map(|config| (config, true)));
    let judge = |(config, control)| Judged { control, ..hall.judge(names, config) };
    let detectors: Vec<Judged> = all.map(judge).collect();
    let winner = winner(&detectors, settings.pages_per_week);
    Ok(Evaluation {
        grid: rows.grid,
        train: 0..first,
        validation: first..middle,
        test: middle..n,
        holdout_class: settings.holdout_class.clone(),
        labelled: hall.labelled(),
        chance: Chance { validation: hall.chance(first..middle), test: hall.chance(middle..n) },
        detectors,
        winner,
    })
}

fn holdout(truth: &Truth, name: &str, test: Range<usize>) -> Result<usize, String> {
    let class = truth.named(name).filter(|class| truth.rows[test].contains(&Some(*class)));
    let there_are = || truth.classes.join(", ");
    class.ok_or_else(|| {
        format!("no interval of class {name:?} in the test part; there are: {}", there_are())
    })
}

/// What all detectors are judged on.
struct Hall<'a> {
    rows: &'a Window,
    truth: Truth,
    settings: &'a Settings,
    /// The first row of the test part.
    middle: usize,
    /// The class that is held out.
    holdout: Option<usize>,
}

/// One part's rows as a detector sees them.
struct Part {
    scores: Vec<f64>,
    alarms: Vec<bool>,
    /// The longest label buffer.
    buffer: usize,
}

impl Hall<'_> {
    fn judge(&self, names: &[String], config: &detect::Config) -> Judged {
        let started = Instant::now();
        let outcome = self.replay(names, config, 0, None).map(|(replayed, looks)| {
            let seconds = started.elapsed().as_secs_f64();
            let (first, middle, n) = (self.settings.train_rows, self.middle, self.rows.grid.len);
            let part = |rows: Range<usize>| {
                self.part(&replayed[rows.start - first..rows.end - first], rows)
            };
            let (validation, test) = (part(first..middle), part(middle..n));
            let known = (0..self.truth.classes.len())
                .filter(|class| self.truth.rows[middle..].contains(&Some(*class)));
            let of_class = |class: usize| {
                let mut quality = self.quality(&test, middle..n, Some(class));
                let named = || self.n_named(&replayed[middle - first..], middle..n, class);
                quality.n_named = config.supervised().then(named);
                (self.truth.classes[class].clone(), quality)
            };
            Outcome {
                validation: self.quality(&validation, first..middle, None),
                test: self.quality(&test, middle..n, None),
                classes: known.map(of_class).collect(),
                curve: RangePr::new(&self.truth.labels(middle..n), &test.scores).curve(),
                scores: replayed.iter().map(|row| row.score).collect(),
                seconds,
                looks,
                groups: self.groups(names, &replayed),
            }
        });
        Judged { detector: config.name(), control: false, outcome }
    }

    /// The rows after the first part, scored by models of that part, and how their losses fell.
    fn replay(
        &self,
        names: &[String],
        config: &detect::Config,
        seed: u64,
        stages: Option<&(dyn Fn(Stage) + Sync)>,
    ) -> Result<(Vec<Row>, Vec<Look>), FitError> {
        let mut rows = self.rows.clone();
        for i in 0..self.middle {
            let held_out = self.holdout.is_some() && self.truth.rows[i] == self.holdout;
            let learnt = i < self.settings.train_rows && self.truth.rows[i].is_some();
            if held_out || learnt {
                rows.row_mut(i).fill(f64::NAN);
            }
        }
        let seconds = |n_rows: usize| n_rows as i64 * rows.grid.step_s;
        let once = Training {
            every_s: seconds(rows.grid.len),
            history_s: seconds(self.settings.train_rows),
            min_history_s: 0,
        };
        let settings = backtest::Settings {
            detectors: vec![config.clone()],
            episodes: if config.joint() { self.episodes() } else { Vec::new() },
            bucket_s: self.settings.bucket_s,
            preprocess: self.settings.preprocess.clone(),
            calendar: self.settings.calendar.clone(),
            pages_per_week: self.settings.pages_per_week,
            train: Some(once),
            ..backtest::Settings::new(self.settings.train_rows)
        };
        let looks = Mutex::new(Vec::new());
        let hear = |look| looks.lock().unwrap_or_else(PoisonError::into_inner).push(look);
        let context = FitContext { looks: Some(&hear), stages, ..FitContext::new(seed, &|| true) };
        let rows = backtest::run_in(names, &rows, &settings, &context)?;
        Ok((rows, looks.into_inner().unwrap_or_else(PoisonError::into_inner)))
    }

    /// The labelled stretches of the part that is learnt from, widened to whole buckets, each with as much before
    /// it as a window may look back at.
    fn episodes(&self) -> Vec<Episode> {
        let (classes, train) = (&self.truth.rows, self.settings.train_rows);
        let grid = self.rows.grid;
        let point_s = self.settings.bucket_s.unwrap_or(grid.step_s);
        let mut from = 0;
        let mut episodes = Vec::new();
        for run in classes[..train].chunk_by(|a, b| a == b) {
            let to = from + run.len();
            if let Some(class) = run[0].filter(|class| Some(*class) != self.holdout) {
                let from_s = grid.time(from).div_euclid(point_s) * point_s;
                let to_s = (grid.time(to) + point_s - 1).div_euclid(point_s) * point_s;
                let first = usize::try_from((from_s - grid.start_s) / grid.step_s).unwrap_or(0);
                let end = ((to_s - grid.start_s) / grid.step_s) as usize;
                let rows = self.rows.slice(first.saturating_sub(LOOKED_BACK_AT), end.min(train));
                let class = match self.truth.classes[class].as_str() {
                    UNNAMED => Class::Anomaly(None),
                    name => Class::anomaly(name),
                };
                episodes.push(Episode { rows, from_s, class });
            }
            from = to;
        }
        episodes
    }

    fn part(&self, replayed: &[Row], rows: Range<usize>) -> Part {
        let consecutive = self.settings.consecutive;
        let alarm =
            |row: &Row| row.score > THRESHOLD && (consecutive <= 1 || row.streak >= consecutive);
        Part {
            scores: replayed.iter().map(|row| row.score).collect(),
            alarms: replayed.iter().map(alarm).collect(),
            buffer: self.buffer(rows),
        }
    }

    /// The longest label buffer of a part.
    fn buffer(&self, rows: Range<usize>) -> usize {
        buffer(&self.rows.slice(rows.start, rows.end).column(0), &self.truth.labels(rows))
    }

    /// VUS-PR of a part by a score that says nothing.
    fn chance(&self, rows: Range<usize>) -> f64 {
        let truth = &self.truth.rows[rows.clone()];
        let kept = self.kept(&rows, |row| self.counts(&rows, row, None));
        let labels: Vec<bool> = kept.into_iter().map(|i| truth[i].is_some()).collect();
        RangePr::new(&labels, &vec![0.0; labels.len()]).volume(self.buffer(rows))
    }

    /// Whether a row of this truth counts where a part is judged, or one class of it.
    fn counts(&self, part: &Range<usize>, row: &Option<usize>, class: Option<usize>) -> bool {
        let choosing = part.end <= self.middle;
        match (row, class) {
            (Some(_), Some(class)) => *row == Some(class),
            (Some(_), None) => !(choosing && *row == self.holdout),
            (None, _) => true,
        }
    }

    /// The places within a part of the rows that count: nobody can be right or wrong about one without data.
    fn kept(&self, part: &Range<usize>, counts: impl Fn(&Option<usize>) -> bool) -> Vec<usize> {
        let kept = |i: &usize| counts(&self.truth.rows[*i]) && self.rows.has_data(*i);
        part.clone().filter(kept).map(|i| i - part.start).collect()
    }

    /// How a part was scored; of one class, without the rows of the others. What is held out has no part in
    /// the choice.
    fn quality(&self, part: &Part, rows: Range<usize>, class: Option<usize>) -> Quality {
        let (truth, all) = (&self.truth.rows[rows.clone()], rows.clone());
        let counts = |row: &Option<usize>| self.counts(&all, row, class);
        let kept = self.kept(&all, counts);
        let labels: Vec<bool> = kept.iter().map(|&i| truth[i].is_some()).collect();
        let scores: Vec<f64> = kept.iter().map(|&i| part.scores[i]).collect();
        let alarms: Vec<bool> = kept.iter().map(|&i| part.alarms[i]).collect();
        let wanted = match class {
            Some(class) => self.truth.of_class(class, rows.clone()),
            None => truth.iter().map(|row| row.is_some() && counts(row)).collect(),
        };
        let (step_s, paging) = (self.rows.grid.step_s, self.settings.paging);
        let incidents = self.incidents(&wanted, rows, class);
        // An alarm finds the class that is labelled there, or was the last to be: no other, which may have its grace.
        let mut cause = None;
        let heard = truth.iter().zip(&part.alarms).map(|(row, &alarm)| {
            cause = row.or(cause);
            alarm && (class.is_none() || cause == class)
        });
        let found = incidents.found(&heard.collect::<Vec<bool>>());
        // Whatever was wrong, who was called for it was not called for nothing.
        let everything = Incidents::new(&self.truth.labels(all), step_s, paging);
        let false_pages = everything.found(&part.alarms).false_pages;
        Quality {
            rows: Confusion::of(&labels, &alarms),
            vus_pr: RangePr::new(&labels, &scores).volume(part.buffer),
            n_incidents: incidents.len(),
            n_found: found.n_found(),
            n_named: None,
            detect_s: found.median_s(),
            false_pages,
            weeks: incidents.weeks(),
        }
    }

    /// In how many incidents of a class most of the rows that have a name have this class's.
    fn n_named(&self, replayed: &[Row], rows: Range<usize>, class: usize) -> usize {
        let own = self.truth.of_class(class, rows.clone());
        let name = self.truth.classes[class].as_str();
        let right = |run: &Range<usize>| {
            let own = || run.clone().filter(|&i| own[i]);
            let names = || own().filter_map(|i| replayed[i].class.as_deref());
            2 * names().filter(|n| *n == name).count() > names().count()
        };
        self.incidents(&own, rows, Some(class)).runs().filter(right).count()
    }

    /// Those of a part's labels; of one class they are two where another's lies between them.
    fn incidents(&self, labels: &[bool], part: Range<usize>, class: Option<usize>) -> Incidents {
        let truth = &self.truth.rows[part];
        let other = |i: usize| class.is_some() && truth[i].is_some() && truth[i] != class;
        Incidents::beside(labels, other, self.rows.grid.step_s, self.settings.paging)
    }

    /// Runs of rows of one class.
    fn labelled(&self) -> Vec<(Range<usize>, String)> {
        let mut from = 0;
        let mut all = Vec::new();
        for run in self.truth.rows.chunk_by(|a, b| a == b) {
            let name = run[0].map(|class| self.truth.classes[class].clone());
            all.extend(name.map(|name| (from..from + run.len(), name)));
            from += run.len();
        }
        all
    }
}

/// How improbable so many false pages have to be before they disagree with the budget.
const DOUBT: f64 = 0.05;

/// Whether so many pages are what a budget of `expected` may bring (Poisson): of a part of a day, whose budget
/// is a seventh of a page, one page alone says little.
fn keeps_budget(pages: usize, expected: f64) -> bool {
    let mut probability = (-expected).exp();
    let mut fewer = 0.0;
    for k in 0..pages {
        fewer += probability;
        probability *= expected / (k + 1) as f64;
    }
    1.0 - fewer >= DOUBT
}

fn winner(detectors: &[Judged], pages_per_week: f64) -> Option<Winner> {
    let candidate = |(place, judged): (usize, &Judged)| {
        let quality = &judged.outcome.as_ref().ok()?.validation;
        let keeps_budget = keeps_budget(quality.false_pages, pages_per_week * quality.weeks);
        let winner = Winner { place, keeps_budget };
        (!quality.vus_pr.is_nan()).then_some((winner, quality.vus_pr))
    };
    let candidates = detectors.iter().enumerate().filter(|(_, judged)| !judged.control);
    let candidates = candidates.filter_map(candidate);
    let better = |best: Option<(Winner, f64)>, next: (Winner, f64)| match best {
        Some(best) if (best.0.keeps_budget, best.1) >= (next.0.keeps_budget, next.1) => Some(best),
        _ => Some(next),
    };
    candidates.fold(None, better).map(|(winner, _)| winner)
}

#[cfg(test)]
mod tests;

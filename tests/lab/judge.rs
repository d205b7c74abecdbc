//! How soon shipped networks find what is injected into services that they never saw, and what they take for it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use portent::backtest;
use portent::backtest::Row;
use portent::backtest::Settings;
use portent::detect;
use portent::detect::FitContext;
use portent::detect::Pretrained;
use portent::model::Model;
use portent::scenario::classes::Class;
use portent::score::THRESHOLD;
use portent::train;
use portent::watch::Watch;

use super::lessons;
use super::lessons::Injected;
use super::lessons::Lesson;

/// From this strength on nobody should miss it.
const HARD: f64 = 0.6;
/// Rows after the first within which a fault is to be found.
const SOON: usize = 3;
/// Rows that a fault is found in after its label ends: rates reach back.
const AFTER: usize = 4;
/// Rows of a service that has begun to be watched: two hours.
const BEGUN: usize = 240;
/// A week of rows.
const WEEK: f64 = 20_160.0;

/// What was found.
#[derive(Debug, Default, Clone)]
pub(crate) struct Found {
    /// Soft faults and hard ones: how many, found, found soon.
    pub(crate) n: [usize; 2],
    pub(crate) found: [usize; 2],
    pub(crate) soon: [usize; 2],
    /// Of those found: called by their class, by one of its group.
    pub(crate) named: usize,
    pub(crate) grouped: usize,
    /// Each one's first row above the threshold, counted from 1.
    rows: Vec<usize>,
}

/// What detectors made of services.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// By class; of benign ones `found` are pages.
    pub(crate) classes: BTreeMap<String, Found>,
    /// Pages while nothing was injected, and how long that was.
    pub(crate) false_pages: usize,
    pub(crate) quiet_weeks: f64,
}

/// The networks that a folder holds.
///
/// # Errors
/// A file cannot be read, or is none of ours.
pub(crate) fn read(models: &Path) -> Result<Vec<Pretrained>, String> {
    let watch = lessons::watch()?;
    let read = |detector: &detect::Config| {
        let path = models.join(format!("coredns-{}", detector.name())).join("model");
        let fail = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let bytes = fs::read(&path).map_err(|error| fail(&error))?;
        Ok(Model::from_bytes(&bytes).map_err(|error| fail(&error))?.pretrained())
    };
    watch.detectors.iter().map(read).collect()
}

/// The table per class, of all networks together as they serve, and who finds it alone.
///
/// # Errors
/// A network cannot be read, or cannot judge.
pub(crate) fn tables(lessons: &[Lesson], models: &Path) -> Result<String, String> {
    let pretrained = read(models)?;
    let names: Vec<&'static str> = pretrained.iter().map(|known| known.detector).collect();
    let together = judge(lessons, &names, &pretrained)?;
    let alone = |name: &&'static str| Ok((*name, judge(lessons, &[name], &pretrained)?));
    let alone: Vec<(&'static str, Verdict)> =
        names.iter().map(alone).collect::<Result<_, String>>()?;
    let services: Vec<&str> = lessons.iter().map(|lesson| lesson.name.as_str()).collect();
    let mut text = format!(
        "\n{} of services never trained on: {}. Found: by {}, of how many; within {SOON} rows.\n\
         {:<24} {:>16} {:>16} {:>7} {:>7} {:>5}  found alone by\n",
        services.len(),
        services.join(", "),
        names.join("+"),
        "CLASS",
        "HARD found, soon",
        "SOFT found, soon",
        "CLASS",
        "GROUP",
        "ROWS",
    );
    let line = |name: &str, found: &Found, of: &dyn Fn(&Verdict) -> Found| {
        let by = |(name, verdict): &(&str, Verdict)| {
            format!("{name} {}", of(verdict).found.iter().sum::<usize>())
        };
        let by: Vec<String> = alone.iter().map(by).collect();
        format!("{}  {}\n", found.line(name), by.join(", "))
    };
    for (name, found) in &together.classes {
        text += &line(name, found, &|v| v.classes.get(name).cloned().unwrap_or_default());
    }
    text += &line("all faults", &together.faults(), &Verdict::faults);
    text += &line("all benign changes", &together.benign(), &Verdict::benign);
    for (name, verdict) in alone.iter().map(|(n, v)| (*n, v)).chain([("together", &together)]) {
        let Verdict { false_pages, quiet_weeks, .. } = verdict;
        let _ = writeln!(
            text,
            "{name}: {false_pages} pages in {quiet_weeks:.1} weeks of nothing injected"
        );
    }
    Ok(text)
}

/// What a set of detectors makes of services that begin to be watched: the first rows say what is usual, and what
/// comes after them says it better.
///
/// # Errors
/// A detector cannot judge.
pub(crate) fn judge(
    lessons: &[Lesson],
    detectors: &[&str],
    pretrained: &[Pretrained],
) -> Result<Verdict, String> {
    let watch = lessons::watch()?;
    let all: Vec<usize> = (0..watch.features.len()).collect();
    let mut verdict = Verdict::default();
    for lesson in lessons {
        let first = lesson.quiet().saturating_sub(2).min(BEGUN + 60);
        let serving = watch.detectors.iter().filter(|d| detectors.contains(&d.name()));
        let settings = Settings {
            detectors: serving.cloned().collect(),
            preprocess: Some(watch.preprocess(&all)),
            pages_per_week: watch.pages_per_week,
            train: lesson.is_long().then_some(watch.train),
            ..Settings::new(first)
        };
        let context = FitContext { pretrained, ..FitContext::new(0, &|| true) };
        let rows = backtest::run_in(&lesson.features, &lesson.rows, &settings, &context)
            .map_err(|error| format!("{}: {error}", lesson.name))?;
        verdict.hear(lesson, first, &rows, watch.consecutive);
    }
    Ok(verdict)
}

/// The highest raw score that so many rows in a row reach while all is well, on services that begin to be watched.
///
/// # Errors
/// The network cannot judge.
pub(crate) fn highest_normal(lessons: &[Lesson], network: &Pretrained) -> Result<f64, String> {
    let watch = lessons::watch()?;
    let mut highest: f64 = 0.0;
    for lesson in lessons {
        let mut normal = lesson.raw(&watch, network)?;
        for injected in lesson.injected.iter().filter(|injected| !injected.is_benign()) {
            let to = (injected.to + lessons::LOOKBACK).min(normal.len());
            normal[injected.from..to].fill(f64::NAN);
        }
        // `min` and `max` ignore NaN, which is to say nothing here.
        let lowest = |rows: &[f64]| {
            rows.iter()
                .copied()
                .fold(f64::INFINITY, |a, b| if b.is_nan() { f64::NEG_INFINITY } else { a.min(b) })
        };
        let runs = normal.windows(watch.consecutive as usize).map(lowest);
        highest = runs.fold(highest, f64::max);
    }
    Ok(highest)
}

/// How many of the faults reach the network's line.
///
/// # Errors
/// The network cannot judge.
pub(crate) fn found(lessons: &[Lesson], network: &Pretrained) -> Result<usize, String> {
    let watch = lessons::watch()?;
    let mut found = 0;
    for lesson in lessons {
        let raw = lesson.raw(&watch, network)?;
        for injected in lesson.injected.iter().filter(|injected| !injected.is_benign()) {
            let own = &raw[injected.from..(injected.to + AFTER).min(raw.len())];
            found += usize::from(own.iter().any(|raw| *raw > network.line));
        }
    }
    Ok(found)
}

impl Lesson {
    /// Raw scores of a network whose scales are those of the rows before, again when these have doubled; of a short
    /// recording, those of all its normal rows.
    fn raw(&self, watch: &Watch, network: &Pretrained) -> Result<Vec<f64>, String> {
        let member = watch.members().into_iter().find(|(d, _)| d.name() == network.detector);
        let (detector, feature) = member.ok_or("a network that the preset has not")?;
        let recipe = train::recipe(watch, detector, feature);
        let known = [network.clone()];
        let context = FitContext { pretrained: &known, ..FitContext::new(0, &|| true) };
        let n = self.rows.grid.len;
        let normal = self.without_faults();
        let mut raw = vec![f64::NAN; n];
        let mut from = if self.is_long() { BEGUN } else { 0 };
        while from < n {
            let (usual, to) = match self.is_long() {
                true => (normal.slice(0, from), n.min(2 * from)),
                false => (normal.clone(), n),
            };
            let model = Model::train(&recipe, &usual, &context).map_err(|e| e.to_string())?;
            let rows = self.rows.slice(from.saturating_sub(lessons::LOOKBACK), to);
            for point in model.score(&rows, self.rows.grid.time(from)) {
                if let Some(i) = self.rows.grid.index(point.time_s) {
                    raw[i] = point.raw;
                }
            }
            from = to;
        }
        Ok(raw)
    }
}

impl Verdict {
    fn hear(&mut self, lesson: &Lesson, first: usize, rows: &[Row], consecutive: u32) {
        let pages = |rows: &[Row]| rows.iter().filter(|row| row.streak == consecutive).count();
        let mut own = vec![false; rows.len()];
        for injected in lesson.injected.iter().filter(|injected| injected.from >= first) {
            let from = injected.from - first;
            let to = (injected.to + AFTER - first).min(rows.len());
            own[from..to].fill(true);
            let found = self.classes.entry(injected.class.clone()).or_default();
            match injected.is_benign() {
                true => found.hear_benign(injected, pages(&rows[from..to]) > 0),
                false => found.hear(injected, &rows[from..to]),
            }
        }
        let quiet = rows.iter().zip(own).filter(|(_, own)| !own).map(|(row, _)| row);
        self.quiet_weeks += quiet.clone().count() as f64 / WEEK;
        self.false_pages += quiet.filter(|row| row.streak == consecutive).count();
    }

    /// All that is wrong.
    pub(crate) fn faults(&self) -> Found {
        self.sum(false)
    }

    /// All that only looks so.
    pub(crate) fn benign(&self) -> Found {
        self.sum(true)
    }

    fn sum(&self, benign: bool) -> Found {
        let mut sum = Found::default();
        let wanted = |name: &str| name.starts_with("benign_") == benign;
        for (_, found) in self.classes.iter().filter(|(name, _)| wanted(name)) {
            for k in 0..2 {
                sum.n[k] += found.n[k];
                sum.found[k] += found.found[k];
                sum.soon[k] += found.soon[k];
            }
            sum.named += found.named;
            sum.grouped += found.grouped;
            sum.rows.extend(&found.rows);
        }
        sum
    }
}

impl Found {
    fn hear(&mut self, injected: &Injected, rows: &[Row]) {
        let hard = usize::from(injected.strength >= HARD);
        self.n[hard] += 1;
        let above = |row: &Row| row.score > THRESHOLD;
        let Some(first) = rows.iter().position(above) else { return };
        self.found[hard] += 1;
        self.soon[hard] += usize::from(first < SOON);
        self.rows.push(first + 1);
        let mut called: BTreeMap<&str, usize> = BTreeMap::new();
        for class in rows.iter().filter(|row| above(row)).filter_map(|row| row.class.as_ref()) {
            *called.entry(class).or_default() += 1;
        }
        let Some((name, _)) = called.into_iter().max_by_key(|(_, n)| *n) else { return };
        let group = |name: &str| Class::named(name).map(|class| class.group());
        self.named += usize::from(name == injected.class);
        self.grouped += usize::from(group(name) == group(&injected.class));
    }

    fn hear_benign(&mut self, injected: &Injected, pages: bool) {
        let hard = usize::from(injected.strength >= HARD);
        self.n[hard] += 1;
        self.found[hard] += usize::from(pages);
    }

    fn line(&self, name: &str) -> String {
        let of = |k: usize| match self.n[k] {
            0 => "-".to_owned(),
            n => format!("{} of {n}, {}", self.found[k], self.soon[k]),
        };
        let mut rows = self.rows.clone();
        rows.sort_unstable();
        let median = rows.get(rows.len() / 2).map_or("-".to_owned(), ToString::to_string);
        let found: usize = self.found.iter().sum();
        let part = |n: usize| if rows.is_empty() { "-".into() } else { format!("{n}/{found}") };
        let (named, grouped) = (part(self.named), part(self.grouped));
        format!("{name:<24} {:>16} {:>16} {named:>7} {grouped:>7} {median:>5}", of(1), of(0))
    }
}

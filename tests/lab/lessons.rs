//! Recordings as a service that is scraped every 30 s would have left them: a row of the lab stands for one of theirs.
//!
//! Owns: rows and labels on that clock, what of them is learnt from. Does not own: how a recording is made (`record`).

use std::fs;
use std::ops::Range;
use std::path::Path;

use portent::config;
use portent::detect::Episode;
use portent::model::Elsewhere;
use portent::series::Grid;
use portent::series::Window;
use portent::source::csv;
use portent::verdict::Class;
use portent::watch::Watch;

/// Between two rows of a service.
pub(crate) const STEP_S: i64 = 30;
/// 2026-01-01.
const BEGIN_S: i64 = 1_767_225_600;

/// More rows than a window has.
pub(crate) const LOOKBACK: usize = 64;
/// Rows until a rate over four of them shows enough of what has begun to be learnt as that.
const UNSEEN: usize = 1;
/// Rows of a recording that is learnt from in pieces, and how long these are.
const LONG: usize = 4_000;
const PIECES: [usize; 4] = [240, 480, 960, 1_920];

/// A recording.
#[derive(Debug)]
pub(crate) struct Lesson {
    pub(crate) name: String,
    pub(crate) features: Vec<String>,
    pub(crate) rows: Window,
    pub(crate) injected: Vec<Injected>,
}

/// Rows that hold something of an injection.
#[derive(Debug, Clone)]
pub(crate) struct Injected {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) class: String,
    pub(crate) strength: f64,
}

impl Injected {
    pub(crate) fn is_benign(&self) -> bool {
        self.class.starts_with("benign_")
    }
}

/// A recording.
///
/// # Errors
/// A file cannot be read.
pub(crate) fn read(path: &Path) -> Result<Lesson, String> {
    let file = csv::read(path).map_err(|error| error.to_string())?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let labels = path.with_file_name(format!("{name}-labels.csv"));
    let recorded = file.window();
    let text = fs::read_to_string(&labels).map_err(|e| format!("{}: {e}", labels.display()))?;
    let wrong = |line: &str| format!("{}: {line:?}", labels.display());
    let injected = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        let [from, to, _, _, class, strength] = cells[..] else { return Err(wrong(line)) };
        let row = |cell: &str| {
            let time_s = cell.parse().map_err(|_| wrong(line))?;
            Ok::<usize, String>(recorded.grid.at_or_after(time_s))
        };
        let strength = strength.parse().map_err(|_| wrong(line))?;
        Ok(Injected { from: row(from)?, to: row(to)?, class: class.to_owned(), strength })
    };
    let injected = text.lines().skip(1).map(injected).collect::<Result<Vec<_>, String>>()?;
    let grid = Grid { start_s: BEGIN_S, step_s: STEP_S, len: recorded.grid.len };
    let features = file.columns.iter().map(|(name, _)| name.clone()).collect();
    Ok(Lesson { name, features, rows: Window { grid, ..recorded }, injected })
}

impl Lesson {
    /// What is learnt from: rows in which faults are gaps, and these; what is benign is known to be normal. Long ones
    /// in pieces, each brought to scale by as long a time before it, as a sidecar does whose history grows.
    pub(crate) fn learnt(&self) -> Vec<Elsewhere> {
        let rows = self.without_faults();
        let episode = |injected: &Injected| Episode {
            rows: self.rows.slice(injected.from.saturating_sub(LOOKBACK), injected.to),
            from_s: self.rows.grid.time((injected.from + UNSEEN).min(injected.to - 1)),
            class: if injected.is_benign() {
                Class::Normal
            } else {
                Class::anomaly(&injected.class)
            },
        };
        let piece = |usual: Range<usize>, own: Range<usize>| {
            let within = self.injected.iter().filter(|i| own.contains(&i.from));
            Elsewhere {
                usual: rows.slice(usual.start, usual.end),
                rows: rows.slice(own.start, own.end),
                episodes: within.map(episode).collect(),
            }
        };
        let n = rows.grid.len;
        if !self.is_long() {
            return vec![piece(0..n, 0..n)];
        }
        let (mut pieces, mut from) = (Vec::new(), 0);
        for length in PIECES.into_iter().cycle() {
            if from + 2 * length > n {
                return pieces;
            }
            let middle = from + length;
            pieces.push(piece(from..middle, middle..middle + length));
            from = middle;
        }
        pieces
    }

    /// The rows, with gaps where something is wrong.
    pub(crate) fn without_faults(&self) -> Window {
        let mut rows = self.rows.clone();
        for injected in self.injected.iter().filter(|injected| !injected.is_benign()) {
            (injected.from..injected.to).for_each(|i| rows.row_mut(i).fill(f64::NAN));
        }
        rows
    }

    /// Whether it is of days, not of hours.
    pub(crate) fn is_long(&self) -> bool {
        self.rows.grid.len >= LONG
    }

    /// Rows before anything was injected.
    pub(crate) fn quiet(&self) -> usize {
        self.injected.iter().map(|injected| injected.from).min().unwrap_or(self.rows.grid.len)
    }
}

/// The preset that all are rows of, with the networks.
pub(crate) fn watch() -> Result<Watch, String> {
    let text = "source: {prometheus: {url: 'http://localhost:9090'}}\n\
        watches: [{name: coredns, preset: coredns, detectors: [autoencoder, classifier, siamese]}]\n";
    let config = config::parse("lab", text).map_err(|problems| problems.to_string())?;
    config.watches.iter().flatten().next().cloned().ok_or_else(|| "no watch".to_owned())
}

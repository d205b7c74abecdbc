//! `portent plot workshop`: the port-traffic workshop's experiment, with its detectors here.
//!
//! As there: 2023-01-01 to 2023-04-20, sums of 30 minutes, learnt once from the first 80 %, and the
//! rest scored. The times published there are of another machine, in Python.

use std::fmt::Write as _;
use std::io::BufRead as _;
use std::io::BufReader;
use std::path::Path;
use std::path::PathBuf;
use std::time::Instant;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Error;
use super::offline::columns;
use super::offline::write_whole;
use super::plot::banded;
use super::plot::file_name;
use crate::detect;
use crate::detect::FitContext;
use crate::math::calendar::DAY_S;
use crate::math::stats;
use crate::model::Model;
use crate::model::Point;
use crate::model::Recipe;
use crate::plot;
use crate::plot::Format;
use crate::plot::Scored;
use crate::preprocess;
use crate::preprocess::FeatureConfig;
use crate::preprocess::Transform;
use crate::score;
use crate::series::Window;
use crate::simulate;
use crate::simulate::Cluster;
use crate::source;

/// 2023-01-01 and 2023-04-20, midnight, UTC.
const FROM_S: i64 = 1_672_531_200;
const TO_S: i64 = 1_681_948_800;
const SPAN: &str = "2023-01-01 to 2023-04-20";
const BUCKET_S: i64 = 1_800;
const COLUMN: &str = "traffic";

/// A detector of the workshop.
struct Entry {
    name: &'static str,
    /// Seconds that it took there.
    published_s: f64,
    /// Forecasts have a band, other scores are shown as colours.
    forecasts: bool,
}

const fn entry(name: &'static str, published_s: f64, forecasts: bool) -> Entry {
    Entry { name, published_s, forecasts }
}

const ENTRIES: [Entry; 5] = [
    entry("stl", 0.292, true),
    entry("random_forest", 0.494, true),
    entry("one_class_svm", 1.279, false),
    entry("isolation_forest", 1.859, false),
    entry("sarimax", 7.927, true),
];

/// How long a detector took for one port, in seconds.
struct Took {
    fit_s: f64,
    score_s: f64,
}

/// Runs the experiment on the files of a folder, or on simulated ports, whose files are then in the
/// output folder. Returns the table of times.
///
/// # Errors
/// There is no such file, one of them is not as wanted, or the output cannot be written.
pub fn workshop(folder: Option<&Path>, output: &Path, format: Format) -> Result<String, Error> {
    std::fs::create_dir_all(output).map_err(|error| format!("{}: {error}", output.display()))?;
    let files = match folder {
        Some(folder) => files(folder)?,
        None => simulated(&output.join("simulated"))?,
    };
    let ports = ports(files)?;
    let known = |entry: &&Entry| detect::Config::named(entry.name).is_some();
    let mut rows = Vec::new();
    for entry in ENTRIES.iter().filter(known) {
        let mut took = Vec::new();
        for (file, rows) in &ports {
            match one(entry, file, rows, output, format) {
                Ok(times) => took.push(times),
                Err(error) => eprintln!("{}: {}: {error}", file_name(file), entry.name),
            }
        }
        rows.push((entry, took));
    }
    if rows.iter().all(|(_, took)| took.is_empty()) {
        return Err("no detector could learn from any of these files".into());
    }
    Ok(table(&rows, ports.len()))
}

/// The folder's files of the workshop's format.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let problem = |error| format!("{}: {error}; wanted a folder of CSV files", folder.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(problem)? {
        let path = entry.map_err(problem)?.path();
        if !path.extension().is_some_and(|end| end.eq_ignore_ascii_case("csv")) {
            continue;
        }
        match of_the_workshop(&path) {
            true => files.push(path),
            false => eprintln!("{}: left out, no columns ts and {COLUMN}", file_name(&path)),
        }
    }
    files.sort();
    if files.is_empty() {
        let what = format!("no CSV file with the columns index, ts, {COLUMN}");
        return Err(format!("{}: {what}", folder.display()).into());
    }
    Ok(files)
}

fn of_the_workshop(path: &Path) -> bool {
    let mut head = String::new();
    let file = std::fs::File::open(path);
    let read = file.and_then(|file| BufReader::new(file).read_line(&mut head));
    let has = |name| head.trim().split(',').any(|column| column.trim().trim_matches('"') == name);
    read.is_ok() && has("ts") && has(COLUMN)
}

/// The files that have rows of the workshop's months, with these; what is wrong with the others is said.
fn ports(files: Vec<PathBuf>) -> Result<Vec<(PathBuf, Window)>, Error> {
    let (mut ports, mut last) = (Vec::new(), None);
    for file in files {
        match port(&file) {
            Ok(rows) => ports.push((file, rows)),
            Err(error) => {
                eprintln!("left out: {error}");
                last = Some(error);
            }
        }
    }
    match last {
        Some(error) if ports.is_empty() => Err(error),
        _ => Ok(ports),
    }
}

/// A file's rows of the workshop's months.
fn port(path: &Path) -> Result<Window, Error> {
    let file = source::csv::read(path)?;
    let wrong = |what: &str| Error::from(format!("{}: {what}", path.display()));
    let grid = file.grid();
    if BUCKET_S % grid.step_s != 0 {
        return Err(wrong("wanted rows so often that 30 minutes are a whole number of them"));
    }
    let traffic = file.columns.into_iter().find(|(name, _)| name == COLUMN);
    let (_, values) = traffic.ok_or_else(|| wrong("no column traffic"))?;
    let place = |time_s: i64| ((time_s - grid.start_s).max(0) / grid.step_s) as usize;
    let (from, to) = (place(FROM_S).min(grid.len), place(TO_S).min(grid.len));
    if from == to {
        return Err(wrong(&format!("no rows of {SPAN}")));
    }
    Ok(Window::single(grid, values).slice(from, to))
}

/// One detector on one port: its times, and its picture.
fn one(
    entry: &Entry,
    file: &Path,
    rows: &Window,
    output: &Path,
    format: Format,
) -> Result<Took, Error> {
    let detector = detect::Config::named(entry.name).ok_or("no such detector")?;
    let points = BUCKET_S / rows.grid.step_s;
    // Whole buckets, so that the first scored one is the first that was not learnt.
    let train_rows = (rows.grid.len as i64 / points * 4 / 5 * points) as usize;
    let train = rows.slice(0, train_rows);
    let from_s = rows.grid.time(train_rows);
    let took = timed(&detector, &train, rows, from_s)?;
    let recipe = Recipe {
        features: vec![COLUMN.to_string()],
        detector,
        preprocess: preprocessing(),
        step_s: rows.grid.step_s,
        block_s: score::default_block_s(BUCKET_S),
        pages_per_week: 1.0,
        fingerprint: String::new(),
    };
    let model = Model::train(&recipe, &train, &FitContext::new(0, &|| true))?;
    let scored = scored(entry, file, &took, &model.score(rows, from_s), rows);
    let scene = if entry.forecasts { plot::traffic(&scored) } else { plot::scatter(&scored) };
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let picture = output.join(format!("{stem}.{}.{}", entry.name, format.as_str()));
    write_whole(&picture, &scene.encode(format)?)?;
    let Took { fit_s, score_s } = &took;
    let n = scored.points.len();
    eprintln!(
        "{}: {}: learnt in {}, {n} points scored in {}: {}",
        file_name(file),
        entry.name,
        seconds(*fit_s),
        seconds(*score_s),
        picture.display()
    );
    Ok(took)
}

/// As traffic is preprocessed without a word from the operator.
fn preprocessing() -> preprocess::Config {
    let feature = FeatureConfig { transform: Transform::Log1p, ..FeatureConfig::default() };
    preprocess::Config {
        bucket_s: Some(BUCKET_S),
        features: vec![feature],
        ..preprocess::Config::default()
    }
}

/// The detector alone, as the workshop timed it: preprocessed points in, scores out.
fn timed(
    detector: &detect::Config,
    train: &Window,
    rows: &Window,
    from_s: i64,
) -> Result<Took, Error> {
    let preprocess = preprocessing().fit(train);
    let (train, rows) = (preprocess.apply(train), preprocess.apply(rows));
    let first = rows.grid.index(from_s).unwrap_or(rows.grid.len);
    let start = Instant::now();
    let fitted = detector.fit(&train, &FitContext::new(0, &|| true))?;
    let fit_s = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let scored = fitted.score(&rows, first);
    let score_s = start.elapsed().as_secs_f64();
    if scored.iter().all(|raw| raw.value.is_nan()) {
        return Err("no point could be scored".into());
    }
    Ok(Took { fit_s, score_s })
}

fn scored(entry: &Entry, file: &Path, took: &Took, points: &[Point], rows: &Window) -> Scored {
    let sums = preprocess::buckets(rows, BUCKET_S);
    let point = |point: &Point| plot::Point {
        time_s: point.time_s,
        observed: sums.grid.index(point.time_s).map_or(f64::NAN, |i| sums.values[i]),
        band: point.band.and_then(banded),
        score: point.score,
    };
    let (name, fit, score) = (entry.name, seconds(took.fit_s), seconds(took.score_s));
    Scored {
        title: format!("{}: {name}", file_name(file)),
        subtitle: format!(
            "{SPAN}: the last fifth, learnt in {fit} from the rest, scored in {score}"
        ),
        quantity: format!("{COLUMN}, sums of 30m"),
        forecaster: entry.forecasts.then(|| name.to_string()),
        step_s: BUCKET_S,
        points: points.iter().map(point).collect(),
    }
}

fn seconds(seconds: f64) -> String {
    match seconds {
        s if s < 0.000_1 => format!("{:.0} µs", s * 1e6),
        s if s < 0.1 => format!("{:.1} ms", s * 1e3),
        s => format!("{s:.2} s"),
    }
}

fn table(rows: &[(&Entry, Vec<Took>)], n_files: usize) -> String {
    let head = ["DETECTOR", "FIT", "SCORE", "BOTH", "PUBLISHED", "RATIO", "PORTS"];
    let mut table = vec![head.map(String::from)];
    for (entry, took) in rows {
        let median = |of: fn(&Took) -> f64| stats::median(took.iter().map(of));
        let both = median(|t| t.fit_s + t.score_s);
        let time = |s: f64| if s.is_nan() { "-".to_string() } else { seconds(s) };
        let ratio = entry.published_s / both;
        table.push([
            entry.name.to_string(),
            time(median(|t| t.fit_s)),
            time(median(|t| t.score_s)),
            time(both),
            format!("{:.3} s", entry.published_s),
            match ratio {
                r if r.is_nan() => "-".to_string(),
                r if r < 10.0 => format!("{r:.1}×"),
                r => format!("{r:.0}×"),
            },
            format!("{} of {n_files}", took.len()),
        ]);
    }
    let mut text = columns(&table);
    let _ = writeln!(
        text,
        "Medians over the ports, wall clock, one thread; {SPAN} in sums of 30m, 80 % learnt, 20 % scored. \
         Published: the workshop's times in Python on another machine."
    );
    text
}

/// Seconds of a simulated day; a fault is then a matter of one or two hours.
const SIMULATED_DAY_S: i64 = 1_200;
const STEP_S: i64 = 300;
const N_PORTS: usize = 5;

/// Writes simulated ports in the workshop's format; faults begin with the last fifth.
fn simulated(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let simulated_s = |time_s: i64| time_s * SIMULATED_DAY_S / DAY_S;
    let clean_until_s = simulated_s(FROM_S + (TO_S - FROM_S) / 5 * 4);
    let cluster =
        Cluster::new(1).day_s(SIMULATED_DAY_S).clean_until_s(clean_until_s).port_step_s(STEP_S);
    let mut files = Vec::new();
    for port in 0..N_PORTS {
        let mut text = String::from(",ts,traffic\n");
        for (i, time_s) in (FROM_S..TO_S).step_by(STEP_S as usize).enumerate() {
            let bytes = cluster.value(simulate::PORTS, "out", port, simulated_s(time_s));
            let ts = Timestamp::from_second(time_s)?.to_zoned(TimeZone::UTC);
            let _ = writeln!(text, "{i},{},{bytes}", ts.strftime("%F %T"));
        }
        let path = folder.join(format!("port_{}_out.csv", port + 1));
        write_whole(&path, text.as_bytes())?;
        files.push(path);
    }
    eprintln!("{}: {N_PORTS} ports simulated", folder.display());
    Ok(files)
}

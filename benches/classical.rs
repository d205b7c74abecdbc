//! The classical detectors against statsmodels and scikit-learn, in one run.
//!
//! `make bench`, or `cargo bench --bench classical -- [--rounds N] [--only TEXT]` with `PORTENT_BENCH_PYTHON` naming an
//! interpreter that has `benches/classical-requirements.txt`. CPU time, one thread on both sides, rounds that
//! alternate between them, medians. Prints Markdown for the README; nothing is compared with a stored number.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what cannot be measured says why")]
#![allow(clippy::print_stdout, reason = "tables are what this is for")]

#[path = "classical/measured.rs"]
mod measured;
#[path = "classical/traffic.rs"]
mod traffic;

use std::hint::black_box;
use std::io::Write as _;

use measured::Python;
use measured::median;
use measured::ms;
use portent::detect;
use portent::detect::Config;
use portent::detect::FitContext;
use portent::math::decompose;
use portent::model::Model;
use portent::model::Recipe;
use portent::preprocess;
use portent::series::Window;
use serde_json::Value;
use serde_json::json;

/// Points of one, four and thirteen months.
const MONTHS: [(usize, usize); 3] = [(1, 1_488), (4, 5_232), (13, 19_008)];
/// Two directions of 200 ports.
const SERIES: f64 = 400.0;

fn main() {
    let asked = Asked::read();
    let four = traffic::window(MONTHS[1].1);
    compare(&asked, &four);
    let detectors: Vec<Config> =
        Config::NAMES.iter().filter_map(|name| Config::named(name)).collect();
    let single: Vec<Config> = detectors.into_iter().filter(|d| !d.joint()).collect();
    each(&asked, &single, &four);
    daily(&asked, &single);
}

/// What the command line asks for.
struct Asked {
    rounds: Option<usize>,
    only: String,
}

impl Asked {
    fn read() -> Asked {
        let arguments: Vec<String> = std::env::args().collect();
        let after = |flag: &str| {
            let at = arguments.iter().position(|argument| argument == flag)?;
            arguments.get(at + 1).cloned()
        };
        let rounds = after("--rounds").map(|n| n.parse().expect("--rounds: wanted a number"));
        Asked { rounds, only: after("--only").unwrap_or_default() }
    }

    fn wants(&self, name: &str) -> bool {
        name.contains(&self.only)
    }

    fn rounds(&self, usual: usize) -> usize {
        self.rounds.unwrap_or(usual).max(1)
    }
}

/// One line of the comparison.
struct Line {
    job: &'static str,
    title: &'static str,
    work: Work,
    /// Times faster than Python that it has to be.
    aim: Option<f64>,
    rounds: usize,
}

/// What is done on our side.
enum Work {
    /// All points taken apart.
    Stl { period: usize, robust: bool },
    /// Four fifths learnt, the last fifth scored; settings as in a configuration file.
    Detector(Value),
    /// The same on points whose gaps are filled.
    WithoutGaps(Value),
}

const SEASONAL: &str = "SARIMAX (1,0,1)(1,0,1,48), gaps filled";
const SEASONAL_GAPS: &str = "SARIMAX (1,0,1)(1,0,1,48), gaps as gaps";

fn lines() -> Vec<Line> {
    let stl = |job, title, period, robust, aim| Line {
        job,
        title,
        work: Work::Stl { period, robust },
        aim,
        rounds: 5,
    };
    let detector = |job, title, settings, aim| Line {
        job,
        title,
        work: Work::Detector(settings),
        aim,
        rounds: 5,
    };
    let seasonal = json!({
        "sarimax": {"order": [1, 0, 1], "seasonal": [1, 0, 1], "season_s": 86_400, "daily": 0, "weekly": 0}
    });
    vec![
        stl("stl_48", "STL 48", 48, false, None),
        stl("stl_336", "STL 336", 336, false, Some(400.0)),
        stl("stl_336_robust", "STL 336 robust", 336, true, Some(176.0)),
        detector(
            "sarimax_fourier",
            "SARIMAX (2,0,1) + 24 Fourier",
            json!({"sarimax": {}}),
            Some(290.0),
        ),
        // Half a minute a round in Python.
        Line {
            work: Work::WithoutGaps(seasonal.clone()),
            rounds: 2,
            ..detector("sarimax_48_filled", SEASONAL, Value::Null, Some(250.0))
        },
        Line { rounds: 2, ..detector("sarimax_48", SEASONAL_GAPS, seasonal, Some(250.0)) },
        detector("random_forest", "Random forest", json!({"random_forest": {}}), Some(25.0)),
        detector(
            "random_forest_small",
            "Random forest, Python's with our leaves of 5",
            json!({"random_forest": {}}),
            None,
        ),
        detector(
            "isolation_forest",
            "Isolation forest",
            json!({"isolation_forest": {}}),
            Some(60.0),
        ),
        detector(
            "one_class_svm",
            "One-class SVM, ν = 0.05",
            json!({"one_class_svm": {"nu": 0.05}}),
            Some(6.8),
        ),
    ]
}

/// The table of ratios.
fn compare(asked: &Asked, window: &Window) {
    let mut data = tempfile::NamedTempFile::new().unwrap();
    data.write_all(traffic::to_csv(window).as_bytes()).unwrap();
    let data = data.path().to_str().expect("a temporary path of text");
    let mut python = Python::start("benches/classical.py", &[data], 1);
    let (mut built, mut rows) = (Vec::new(), Vec::new());
    for line in lines().into_iter().filter(|line| asked.wants(line.job)) {
        match job(&line.work, window) {
            Ok(work) => built.push((line, work, Vec::new(), Vec::new())),
            Err(why) => {
                eprintln!("{}: {why}", line.job);
                rows.push(format!("| {} | | not built | | |", line.title));
            }
        }
    }
    let most = built.iter().map(|(line, ..)| asked.rounds(line.rounds)).max().unwrap_or(0);
    for round in 0..most {
        for (line, work, theirs, ours) in &mut built {
            if round < asked.rounds(line.rounds) {
                theirs.push(python.ms(line.job));
                ours.push(ms(work));
                let (theirs, ours) = (theirs[round], ours[round]);
                eprintln!("round {round}: {} {theirs:.2} ms, {ours:.3} ms", line.job);
            }
        }
    }
    println!(
        "| 5,232 points of 30 min | Python ms | Portent ms | ratio | aim |\n|---|---|---|---|---|"
    );
    for (line, _, theirs, ours) in built {
        let (theirs, ours) = (median(theirs), median(ours));
        let aim = line.aim.map_or(String::new(), |aim| format!("{aim}×"));
        let ratio = theirs / ours;
        println!("| {} | {theirs:.1} | {ours:.2} | {ratio:.1}× | {aim} |", line.title);
    }
    rows.iter().for_each(|row| println!("{row}"));
}

/// Our side of a line, ready to run; why not, where the detector or its settings are not there.
fn job(work: &Work, window: &Window) -> Result<Box<dyn FnMut()>, String> {
    match work {
        Work::Stl { period, robust } => {
            let (period, robust) = (*period, *robust);
            let values = traffic::filled(&window.column(0));
            Ok(Box::new(move || {
                black_box(decompose::stl(
                    &values,
                    decompose::Settings::new(period, robust),
                    &|| true,
                ));
            }))
        }
        Work::Detector(settings) | Work::WithoutGaps(settings) => {
            let config: Config =
                serde_json::from_value(settings.clone()).map_err(|error| error.to_string())?;
            let train = window.grid.len * 4 / 5;
            let mut window = window.clone();
            if matches!(work, Work::WithoutGaps(_)) {
                window.values = traffic::filled(&window.values);
            }
            let old = window.slice(0, train);
            fit(&config, &old).map_err(|error| error.to_string())?;
            Ok(Box::new(move || {
                let model = fit(&config, &old).unwrap();
                black_box(model.score(&window, train));
            }))
        }
    }
}

fn fit(config: &Config, train: &Window) -> Result<Box<dyn detect::Model>, detect::FitError> {
    config.fit(train, &FitContext::new(0, &|| true))
}

/// Points that are scored one at a time.
const NEWEST: usize = 64;

/// The table of sizes and of the cost of a new point.
fn each(asked: &Asked, detectors: &[Config], window: &Window) {
    println!("\n| Detector | model, bytes | a new point, µs |\n|---|---|---|");
    let n = window.grid.len;
    for config in detectors.iter().filter(|config| asked.wants(config.name())) {
        let model = fit(config, window).expect("four months suffice");
        let parts = model.parts();
        let mut bytes = parts.meta.to_string().into_bytes();
        parts.tensors.iter().for_each(|tensor| tensor.numbers.write(&mut bytes));
        let seen = |i: usize| window.slice(i.saturating_sub(model.lookback()), i + 1);
        let newest: Vec<Window> = (n - NEWEST..n).map(seen).collect();
        let score = || {
            for seen in &newest {
                black_box(model.score(seen, seen.grid.len - 1));
            }
        };
        let rounds = (0..asked.rounds(5)).map(|_| ms(score)).collect();
        let each_us = 1e3 * median(rounds) / NEWEST as f64;
        println!("| {} | {} | {each_us:.1} |", config.name(), bytes.len());
    }
}

/// The table of a night's training.
fn daily(asked: &Asked, detectors: &[Config]) {
    println!(
        "\n| CPU seconds for 400 series | 1 month | 4 months | 13 months | growth | 4 months, calibrated | 13 months |"
    );
    println!("|---|---|---|---|---|---|---|");
    let windows = MONTHS.map(|(_, n)| traffic::window(n));
    let mut sums = [0.0; 5];
    for config in detectors.iter().filter(|config| asked.wants(config.name())) {
        let cost = |window: &Window| {
            let fit = || drop(black_box(fit(config, window).expect("a month suffices")));
            SERIES * median((0..asked.rounds(3)).map(|_| ms(fit)).collect()) / 1e3
        };
        let [one, four, thirteen] = windows.each_ref().map(cost);
        let whole = |w: &Window| SERIES * ms(|| drop(black_box(whole(config, w)))) / 1e3;
        let costs = [one, four, thirteen, whole(&windows[1]), whole(&windows[2])];
        sums.iter_mut().zip(costs).for_each(|(sum, cost)| *sum += cost);
        println!("{}", daily_row(config.name(), costs));
    }
    println!("{}", daily_row("all", sums));
}

fn daily_row(name: &str, costs: [f64; 5]) -> String {
    let [one, four, thirteen, whole, long] = costs;
    let exponent = exponent([one, four, thirteen]);
    format!(
        "| {name} | {one:.2} | {four:.2} | {thirteen:.2} | n^{exponent:.2} | {whole:.1} | {long:.1} |"
    )
}

/// A model as a watch trains it: three or nine fits, for its threshold comes from rows that it never saw.
fn whole(config: &Config, window: &Window) -> Model {
    let recipe = Recipe {
        features: vec!["in".into()],
        detector: config.clone(),
        preprocess: preprocess::Config::default(),
        step_s: traffic::STEP_S,
        block_s: traffic::STEP_S,
        pages_per_week: 1.0,
        fingerprint: String::new(),
    };
    Model::train(&recipe, window, &FitContext::new(0, &|| true)).unwrap()
}

/// The slope of log cost over log points, by least squares.
fn exponent(costs: [f64; 3]) -> f64 {
    let points = MONTHS.map(|(_, n)| (n as f64).ln());
    let costs = costs.map(f64::ln);
    let mean = |values: &[f64; 3]| values.iter().sum::<f64>() / 3.0;
    let (x, y) = (mean(&points), mean(&costs));
    let both = points.iter().zip(&costs).map(|(p, c)| (p - x) * (c - y)).sum::<f64>();
    both / points.iter().map(|p| (p - x).powi(2)).sum::<f64>()
}

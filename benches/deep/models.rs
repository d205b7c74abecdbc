//! Whole models: many of them scoring at once, and one of `CoreDNS` in training.

use std::hint::black_box;
use std::process::Command;
use std::time::Instant;

use portent::detect;
use portent::detect::Config;
use portent::detect::FitContext;
use portent::math::random::Random;
use portent::model::Model;
use portent::model::Recipe;
use portent::preprocess;
use portent::series::Grid;
use portent::series::Window;

use crate::measured::median;
use crate::measured::ms;

/// Asks a child of this program to train, so that the memory it peaks at is that of the training.
pub(crate) const CHILD: &str = "--train-coredns";

/// Entities, each with a model of its own.
const MODELS: usize = 500;

/// Two weeks of rows every 30 s.
const COREDNS: [usize; 2] = [40_320, 45];

/// The table of [`MODELS`] entities, a new row each, one thread.
pub(crate) fn many(rounds: usize) {
    println!("\n| {MODELS} entities with a model each, a new row | CPU, ms | aim |\n|---|---|---|");
    for features in [16, COREDNS[1]] {
        let config = Config::named("autoencoder").unwrap();
        let quick: Config = serde_json::from_str(r#"{"autoencoder": {"max_steps": 1}}"#).unwrap();
        let history = server(200, features);
        let fitted = quick.fit(&history, &FitContext::new(0, &|| true)).unwrap();
        let models: Vec<Box<dyn detect::Model>> =
            (0..MODELS).map(|_| config.restore(fitted.parts()).unwrap()).collect();
        let row = |i: usize| history.slice(i % 100, i % 100 + fitted.lookback() + 1);
        let rows: Vec<Window> = (0..MODELS).map(row).collect();
        let pass = || {
            for (model, row) in models.iter().zip(&rows) {
                black_box(model.score(row, row.grid.len - 1));
            }
        };
        let time = median((0..rounds).map(|_| ms(pass)).collect());
        println!("| {features} features, 32 rows | {time:.2} | ≤ 10 |");
    }
}

/// The line of a `CoreDNS` model's training.
pub(crate) fn coredns() {
    let program = std::env::current_exe().unwrap();
    let output = Command::new(program).arg(CHILD).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let [rows, features] = COREDNS;
    println!(
        "\n| {rows} rows of {features} features, a model calibrated and fitted | aim |\n|---|---|"
    );
    println!("| {} | ≤ 300 s, ≤ 1,024 MiB |", String::from_utf8_lossy(&output.stdout).trim());
}

/// What the child does: trains, prints seconds and the most memory that the kernel saw.
pub(crate) fn train_coredns() {
    let [rows, features] = COREDNS;
    let history = server(rows, features);
    let recipe = Recipe {
        features: (0..features).map(|f| format!("f{f}")).collect(),
        detector: Config::named("autoencoder").unwrap(),
        preprocess: preprocess::Config::default(),
        step_s: history.grid.step_s,
        block_s: history.grid.step_s,
        pages_per_week: 1.0,
        fingerprint: String::new(),
    };
    let started = Instant::now();
    let model = Model::train(&recipe, &history, &FitContext::new(0, &|| true)).unwrap();
    let seconds = started.elapsed().as_secs_f64();
    black_box(model);
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a Linux");
    let kib: f64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    println!("{seconds:.1} s of the clock, {:.0} MiB at most", kib / 1024.0);
}

/// Rows of metrics that hang together as those of one server do: a day, slow and fast wanderings.
fn server(rows: usize, features: usize) -> Window {
    let mut random = Random::new(5);
    let mut normal = move || (0..12).map(|_| f64::from(random.unit_f32())).sum::<f64>() - 6.0;
    let loads: Vec<[f64; 4]> =
        (0..features).map(|_| [normal(), normal(), normal(), 0.3 + 0.2 * normal().abs()]).collect();
    let mut window = Window::gaps(Grid { start_s: 0, step_s: 30, len: rows }, features);
    let (mut slow, mut fast) = (0.0, 0.0);
    for i in 0..rows {
        slow += -0.02 * slow + 0.2 * normal();
        fast += -0.3 * fast + 0.7 * normal();
        let day = (i as f64 * std::f64::consts::TAU / 2880.0).sin();
        for (cell, [a, b, c, d]) in window.row_mut(i).iter_mut().zip(&loads) {
            *cell = a * day + b * slow + c * fast + d * normal();
        }
    }
    window
}

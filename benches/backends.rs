//! Times burn's two processor backends on the autoencoder's networks.
//!
//! Prints a table; nothing is compared with a stored number, since only ratios taken in one run on
//! one machine mean anything. Rounds alternate between the backends and medians are shown.
//!
//! With `--frameworks`, other frameworks instead: see `deep/frameworks.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what cannot be measured says why")]
#![allow(clippy::print_stdout, reason = "a table is what this is for")]

#[path = "deep/frameworks.rs"]
mod frameworks;
#[path = "classical/measured.rs"]
mod measured;
#[path = "deep/models.rs"]
mod models;

use std::hint::black_box;
use std::time::Instant;

use measured::median;
use portent::detect::deep::device::Backend;
use portent::detect::deep::net::Net;
use portent::detect::deep::net::Shape;
use portent::detect::deep::train::Batch;
use portent::detect::deep::train::Trainer;

const ROUNDS: usize = 5;

/// The network of 16 metrics that other frameworks were compared on, and one of a `CoreDNS` watch.
const NETWORKS: [(&str, Shape); 2] =
    [("16 channels, 64 rows", shape(64, 16, 16)), ("45 features, 32 rows", shape(32, 90, 45))];

const fn shape(window: usize, inputs: usize, outputs: usize) -> Shape {
    Shape { window, inputs, outputs, widths: [32, 16], latent: 8 }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let asked = |flag: &str| arguments.iter().any(|argument| argument == flag);
    if asked(models::CHILD) {
        models::train_coredns();
    } else if asked("--frameworks") {
        frameworks::main(&arguments);
    } else {
        backends();
    }
}

fn backends() {
    println!("{:<22} {:<24} {:>10} {:>10} {:>7}", "network", "work", "flex", "ndarray", "ratio");
    for (network, shape) in NETWORKS {
        row(network, "train 1024 windows, ms", 1e3, |backend| {
            let mut trainer = Trainer::new(Net::random(shape, 1, backend));
            let batch = batch(shape, 64);
            seconds(|| {
                (0..16).for_each(|_| {
                    black_box(trainer.step(batch.clone(), 1e-3));
                })
            })
        });
        for (work, windows, repeat) in
            [("score 1, us", 1, 200), ("score 64, us", 64, 10), ("score 1024, us", 1024, 1)]
        {
            row(network, work, 1e6 / repeat as f64, |backend| {
                let net = Trainer::new(Net::random(shape, 1, backend)).net();
                let input = batch(shape, windows).input;
                black_box(net.run(input.clone()));
                seconds(|| {
                    (0..repeat).for_each(|_| {
                        black_box(net.run(input.clone()));
                    })
                })
            });
        }
    }
}

fn row(network: &str, work: &str, unit: f64, mut time: impl FnMut(Backend) -> f64) {
    let mut times = Backend::ALL.map(|_| Vec::new());
    for _ in 0..ROUNDS {
        for (times, backend) in times.iter_mut().zip(Backend::ALL) {
            times.push(time(backend) * unit);
        }
    }
    let [flex, ndarray] = times.map(median);
    println!("{network:<22} {work:<24} {flex:>10.1} {ndarray:>10.1} {:>7.2}", ndarray / flex);
}

fn seconds(work: impl FnOnce()) -> f64 {
    let started = Instant::now();
    work();
    started.elapsed().as_secs_f64()
}

/// Waves, so that nothing is denormal and nothing is zero.
fn batch(shape: Shape, windows: usize) -> Batch {
    let cells = windows * shape.window;
    let wave = |channels: usize| (0..cells * channels).map(|i| (i as f32 * 0.37).sin()).collect();
    let weight = vec![1.0; cells * shape.outputs];
    Batch { input: wave(shape.inputs), target: wave(shape.outputs), weight }
}

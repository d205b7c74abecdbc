//! The autoencoder's network against the same one in PyTorch and ONNX Runtime, in one run.
//!
//! `make bench-deep`, or `cargo bench --bench backends -- --frameworks [--rounds N] [--only TEXT]` with `PORTENT_BENCH_PYTHON` naming an
//! interpreter that has `benches/deep-requirements.txt`. One thread: CPU time of it, on all sides. Two: of the clock. Rounds
//! alternate between the sides, medians. Prints Markdown for the README; nothing is compared with a stored number, but the
//! sides must rebuild the same windows.

use std::hint::black_box;
use std::io::Write as _;

use portent::detect::Numbers;
use portent::detect::deep::device::Backend;
use portent::detect::deep::forward::Forward;
use portent::detect::deep::forward::Scratch;
use portent::detect::deep::net::Net;
use portent::detect::deep::net::Shape;
use portent::detect::deep::train::Batch;
use portent::detect::deep::train::Trainer;
use portent::math::random::Random;
use serde_json::Value;
use serde_json::json;

use crate::measured::Python;
use crate::measured::median;
use crate::measured::ms;
use crate::measured::wall_ms;
use crate::models;

/// The network of 16 metrics that other frameworks were compared on, and one of a `CoreDNS` watch.
const NETWORKS: [(&str, Shape); 2] = [
    ("16 channels, 64 rows", shape(64, [16, 16], 8)),
    ("45 features and their gaps, 32 rows", shape(32, [90, 45], 32)),
];

const fn shape(window: usize, [inputs, outputs]: [usize; 2], latent: usize) -> Shape {
    Shape { window, inputs, outputs, widths: [32, 16], latent }
}

/// Windows of a step, and of an epoch.
const BATCH: usize = 64;
const EPOCH: usize = 4096;

/// Everything, or what the command line asks for.
pub(crate) fn main(arguments: &[String]) {
    let after = |flag: &str| {
        let at = arguments.iter().position(|argument| argument == flag)?;
        arguments.get(at + 1).cloned()
    };
    let rounds = after("--rounds").map_or(5, |n| n.parse().expect("--rounds: wanted a number"));
    let only = after("--only").unwrap_or_default();
    for (name, shape) in NETWORKS {
        for threads in [1, 2] {
            let title = format!("{name}, {threads} thread{}", if threads == 1 { "" } else { "s" });
            if title.contains(&only) {
                compare(&title, shape, threads, rounds);
            }
        }
    }
    if "models".contains(&only) {
        models::many(rounds);
    }
    if "coredns".contains(&only) {
        models::coredns();
    }
}

/// One line of a table: a job of Python's and its unit.
struct Line {
    title: &'static str,
    job: Job,
    unit: f64,
    /// Of PyTorch's, and of ONNX Runtime's time, at most.
    aims: [Option<f64>; 2],
}

#[derive(Clone, Copy)]
enum Job {
    Train,
    Score(usize),
}

const LINES: [Line; 4] = [
    Line {
        title: "an epoch of 4,096 windows, ms",
        job: Job::Train,
        unit: 1.0,
        aims: [Some(0.8), None],
    },
    Line { title: "one window, µs", job: Job::Score(1), unit: 1e3, aims: [None, Some(0.3)] },
    Line { title: "64 windows, µs", job: Job::Score(64), unit: 1e3, aims: [None, Some(1.0)] },
    Line { title: "1,024 windows, µs", job: Job::Score(1024), unit: 1e3, aims: [None, None] },
];

fn compare(title: &str, shape: Shape, threads: usize, rounds: usize) {
    let mut ours = Ours::new(shape, threads);
    let mut told = tempfile::NamedTempFile::new().unwrap();
    told.write_all(ours.told().to_string().as_bytes()).unwrap();
    let told = told.path().to_str().expect("a temporary path of text");
    let mut python = Python::start("benches/deep.py", &[told, &threads.to_string()], threads);
    println!(
        "\n| {title} | Portent | Burn | PyTorch | ONNX Runtime | of PyTorch | of ONNX | aim |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    // Ours, Burn's, PyTorch's, ONNX Runtime's.
    let mut times = LINES.each_ref().map(|_| [const { Vec::new() }; 4]);
    for _ in 0..rounds {
        for (line, times) in LINES.iter().zip(&mut times) {
            let round = match line.job {
                Job::Train => [ours.train(), f64::NAN, python.ms("train"), f64::NAN],
                Job::Score(n) => {
                    let [torch, ort] = ["torch", "ort"].map(|kind| format!("{kind} {n}"));
                    [ours.score(n), ours.burn(n), python.ms(&torch), python.ms(&ort)]
                }
            };
            times.iter_mut().zip(round).for_each(|(times, ms)| times.push(ms * line.unit));
        }
    }
    for (line, times) in LINES.iter().zip(times) {
        let [portent, burn, torch, ort] = times.each_ref().map(|times| median(times.clone()));
        let ratio = |other: usize| {
            let each = times[0].iter().zip(&times[other]).map(|(ours, theirs)| ours / theirs);
            median(each.collect())
        };
        let cells = [portent, burn, torch, ort].map(|time| cell(time, 1));
        let ratios = [ratio(2), ratio(3)].map(|ratio| cell(ratio, 2));
        let aim = line.aims.iter().flatten().map(|aim| format!("≤ {aim}")).collect::<String>();
        println!("| {} | {} | {} | {aim} |", line.title, cells.join(" | "), ratios.join(" | "));
    }
}

/// A number, and nothing where there is none.
fn cell(value: f64, digits: usize) -> String {
    if value.is_nan() { String::new() } else { format!("{value:.digits$}") }
}

/// Our side.
struct Ours {
    threads: usize,
    shape: Shape,
    net: Net,
    forward: Forward,
    trainer: Trainer,
    random: Random,
    /// An epoch: what goes in and what should come out.
    input: Vec<f32>,
    target: Vec<f32>,
}

impl Ours {
    fn new(shape: Shape, threads: usize) -> Ours {
        let net = Net::random(shape, 1, Backend::Flex);
        let trainer = Trainer::new(net.clone());
        let net = trainer.net();
        let wave = |n: usize| (0..n).map(|i| (i as f32 * 0.37).sin()).collect();
        Ours {
            threads,
            shape,
            forward: net.forward(),
            net,
            trainer,
            random: Random::new(1),
            input: wave(EPOCH * shape.window * shape.inputs),
            target: wave(EPOCH * shape.window * shape.outputs),
        }
    }

    /// What `deep.py` reads.
    fn told(&self) -> Value {
        let windows = self.windows(BATCH);
        let rebuilt = self.scored(windows, &mut self.forward.scratch());
        let tensors = self.forward.tensors().into_iter().map(|tensor| {
            let Numbers::F32(numbers) = tensor.numbers else { unreachable!("weights are f32") };
            (tensor.name, json!(numbers))
        });
        let tensors: serde_json::Map<String, Value> = tensors.collect();
        json!({"shape": self.shape, "tensors": tensors, "input": windows, "rebuilt": rebuilt})
    }

    fn windows(&self, count: usize) -> &[f32] {
        &self.input[..count * self.shape.window * self.shape.inputs]
    }

    fn timed(&self, work: impl FnMut()) -> f64 {
        if self.threads == 1 { ms(work) } else { wall_ms(work) }
    }

    /// Milliseconds of `count` windows, whole. Of many, the second thread takes half.
    fn score(&self, count: usize) -> f64 {
        let windows = self.windows(count);
        let mut scratch = self.forward.scratch();
        if self.threads == 1 || count < 256 {
            return self.timed(|| drop(black_box(self.scored(windows, &mut scratch))));
        }
        let (mine, others) = windows.split_at(windows.len() / 2);
        self.timed(|| {
            std::thread::scope(|scope| {
                scope.spawn(|| black_box(self.scored(others, &mut self.forward.scratch())));
                black_box(self.scored(mine, &mut scratch));
            });
        })
    }

    fn scored(&self, windows: &[f32], scratch: &mut Scratch) -> Vec<f32> {
        let Shape { window, inputs, outputs, .. } = self.shape;
        let mut out = Vec::with_capacity(windows.len() / inputs * outputs);
        for input in windows.chunks(window * inputs) {
            out.extend_from_slice(self.forward.run(input, window, scratch).rebuilt);
        }
        out
    }

    /// The same by Burn, on one thread: without its thread pool it has no more.
    fn burn(&self, count: usize) -> f64 {
        let windows = self.windows(count).to_vec();
        self.timed(|| drop(black_box(self.net.run(windows.clone()))))
    }

    /// Milliseconds of an epoch, on one thread.
    fn train(&mut self) -> f64 {
        let Shape { window, inputs, outputs, .. } = self.shape;
        let Ours { trainer, random, input, target, .. } = self;
        let mut order: Vec<usize> = (0..EPOCH).collect();
        let work = || {
            random.shuffle(&mut order);
            for chunk in order.chunks(BATCH) {
                let gather = |from: &[f32], channels: usize| {
                    let per = window * channels;
                    let windows: Vec<&[f32]> =
                        chunk.iter().map(|i| &from[i * per..(i + 1) * per]).collect();
                    windows.concat()
                };
                let weight = vec![1.0; BATCH * window * outputs];
                let (input, target) = (gather(input, inputs), gather(target, outputs));
                black_box(trainer.step(Batch { input, target, weight }, 1e-3));
            }
        };
        if self.threads == 1 { ms(work) } else { wall_ms(work) }
    }
}

//! The training of the autoencoder.
//!
//! Owns: its loss, minibatches, what is held out. Does not own: steps and when to stop (`descent`),
//! what is read (`frames`), sizes, scores.

use burn::tensor::Tensor;
use burn::tensor::TensorData;

use crate::detect::FitContext;
use crate::detect::FitError;

use super::descent;
use super::descent::Descent;
use super::descent::Minibatches;
use super::descent::Overseer;
use super::descent::PATIENCE;
use super::descent::descend;
use super::descent::number;
pub use super::frames::Batch;
use super::frames::Frames;
use super::net::Net;
use crate::math::random::Random;

/// Windows of one step.
const BATCH: usize = 64;

/// Windows that the held-out loss is measured on, at most.
const JUDGED: usize = 256;

/// A network, and the optimiser's memory of it.
pub struct Trainer(Descent<Net>);

impl Trainer {
    /// Adam with every weight's gradient clipped to a norm of 1.
    pub fn new(net: Net) -> Trainer {
        Trainer(Descent::new(net))
    }

    /// One step down the mean square error of the cells that count. Returns that error.
    pub fn step(&mut self, batch: Batch, rate: f64) -> f32 {
        self.0.step(|net| loss(net, batch), rate)
    }

    /// The network as it stands, for scoring.
    pub fn net(&self) -> Net {
        self.0.net()
    }
}

/// Mean square error over the cells that count; a tensor of one number.
pub(super) fn loss(net: &Net, batch: Batch) -> Tensor<1> {
    let device = net.device();
    let shape = net.shape();
    let windows = batch.input.len() / (shape.window * shape.inputs);
    let tensor = |data: Vec<f32>, channels: usize| {
        Tensor::<3>::from_data(TensorData::new(data, [windows, shape.window, channels]), &device)
    };
    let total: f32 = batch.weight.iter().sum();
    let (target, weight) =
        (tensor(batch.target, shape.outputs), tensor(batch.weight, shape.outputs));
    let rebuilt = net.decode(net.encode(tensor(batch.input, shape.inputs)));
    let error = rebuilt - target;
    (error.clone() * error * weight).sum() / total.max(1.0)
}

/// How long and how fast.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) max_epochs: usize,
    pub(super) max_steps: usize,
    pub(super) rate: f64,
}

/// Trains on the windows that end at `ends`, which are in order of time, and returns the network
/// that did best on the last 15 % of them, which share no row with those that it learnt from, unless these are few.
pub(super) fn train(
    net: Net,
    frames: &Frames,
    ends: &[usize],
    plan: &Plan,
    random: &mut Random,
    context: &FitContext<'_>,
) -> Result<Net, FitError> {
    let (learnt, held_out) = split(ends);
    let learnt = apart(learnt, held_out, net.shape().window);
    let judged = frames.judged(&thin(held_out, JUDGED));
    let steps = plan.max_steps.min(plan.max_epochs * learnt.len().div_ceil(BATCH)).max(1);
    let plan = descent::Plan { steps, rate: plan.rate, patience: PATIENCE };
    let mut minibatches = Minibatches::new(learnt.to_vec(), BATCH);
    let step = |net: &Net| {
        let ends = minibatches.draw(random);
        loss(net, frames.batch(ends, random))
    };
    let held_out = |net: &Net| number(loss(net, judged.clone()));
    let hear = context.part(0.0..1.0);
    let overseer = Overseer { keep_going: context.keep_going, stages: &hear };
    let (net, looks) = descend(net, &plan, step, held_out, overseer)?;
    if let Some(told) = context.looks {
        looks.into_iter().for_each(told);
    }
    Ok(net)
}

/// All but the last 15 %, and those; neither is empty if there are at least two.
pub(super) fn split(ends: &[usize]) -> (&[usize], &[usize]) {
    ends.split_at((ends.len() * 85 / 100).max(1).min(ends.len()))
}

/// The windows of `window` rows among `learnt` that share no row with those held out; all, where that would leave less
/// than two windows' worth: who has an hour of history learns from all of it.
fn apart<'a>(learnt: &'a [usize], held_out: &[usize], window: usize) -> &'a [usize] {
    let first = held_out.first().copied().unwrap_or(usize::MAX);
    let n = learnt.partition_point(|end| end + window <= first);
    if n < 2 * window { learnt } else { &learnt[..n] }
}

/// Every n-th of `ends`, so that at most `most` are left.
pub(super) fn thin(ends: &[usize], most: usize) -> Vec<usize> {
    ends.iter().step_by(ends.len().div_ceil(most).max(1)).copied().collect()
}

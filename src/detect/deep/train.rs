//! The training loop of the autoencoder.
//!
//! Owns: steps, their schedule, when to stop. Does not own: what is read (`frames`), sizes, scores.

use burn::module::Module;
use burn::optim::AdamConfig;
use burn::optim::GradientsParams;
use burn::optim::ModuleOptimizer;
use burn::optim::grad_clipping::GradientClippingConfig;
use burn::tensor::Tensor;
use burn::tensor::TensorData;

use crate::detect::FitContext;
use crate::detect::FitError;

pub use super::frames::Batch;
use super::frames::Frames;
use super::layers::values;
use super::net::Net;
use crate::math::random::Random;

/// Windows of one step.
const BATCH: usize = 64;

/// Windows that the held-out loss is measured on, at most.
const JUDGED: usize = 256;

/// Times that the held-out loss is looked at, about, however many steps an epoch has.
const LOOKS: usize = 100;

/// Training ends when so many looks in a row saw no new best.
const PATIENCE: usize = 20;

/// A network, and the optimiser's memory of it.
pub struct Trainer {
    net: Net,
    optimiser: ModuleOptimizer,
}

impl Trainer {
    /// Adam with every weight's gradient clipped to a norm of 1.
    pub fn new(net: Net) -> Trainer {
        let clipping = GradientClippingConfig::Norm(1.0);
        let adam = AdamConfig::new().with_epsilon(1e-8).with_grad_clipping(Some(clipping));
        Trainer { net: net.train(), optimiser: adam.init() }
    }

    /// One step down the mean square error of the cells that count. Returns that error.
    pub fn step(&mut self, batch: Batch, rate: f64) -> f32 {
        let loss = loss(&self.net, batch);
        let value = number(loss.clone());
        let gradients = GradientsParams::from_grads(loss.backward(), &self.net);
        self.net = self.optimiser.step(rate, self.net.clone(), gradients);
        value
    }

    /// The network as it stands, for scoring.
    pub fn net(&self) -> Net {
        self.net.valid()
    }
}

/// Mean square error over the cells that count; a tensor of one number.
fn loss(net: &Net, batch: Batch) -> Tensor<1> {
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

fn number(tensor: Tensor<1>) -> f32 {
    values(tensor).first().copied().unwrap_or(f32::NAN)
}

/// How long and how fast.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) max_epochs: usize,
    pub(super) max_steps: usize,
    pub(super) rate: f64,
}

/// Trains on the windows that end at `ends`, which are in order of time, and returns the network
/// that did best on the last 15 % of them.
pub(super) fn train(
    net: Net,
    frames: &Frames,
    ends: &[usize],
    plan: &Plan,
    random: &mut Random,
    context: &FitContext<'_>,
) -> Result<Net, FitError> {
    let (learnt, held_out) = split(ends);
    let mut learnt = learnt.to_vec();
    let judged = frames.judged(&thin(held_out, JUDGED));
    let steps = plan.max_steps.min(plan.max_epochs * learnt.len().div_ceil(BATCH)).max(1);
    let every = (steps / LOOKS).max(1);
    let mut trainer = Trainer::new(net);
    let mut best: (f32, Net) = (f32::INFINITY, trainer.net());
    let (mut done, mut stale) = (0, 0);
    while done < steps && stale < PATIENCE {
        random.shuffle(&mut learnt);
        for chunk in learnt.chunks(BATCH).take(steps - done) {
            if !(context.keep_going)() {
                return Err(FitError::Stopped);
            }
            let rate = rate(plan.rate, done as f64 / steps as f64);
            if !trainer.step(frames.batch(chunk, random), rate).is_finite() {
                return Err(FitError::Diverged);
            }
            done += 1;
            if done % every != 0 && done != steps {
                continue;
            }
            let net = trainer.net();
            let error = number(loss(&net, judged.clone()));
            if error < best.0 {
                best = (error, net);
                stale = 0;
            } else {
                stale += 1;
            }
            if stale == PATIENCE {
                break;
            }
        }
    }
    if best.0.is_finite() { Ok(best.1) } else { Err(FitError::Diverged) }
}

/// Half a cosine from `rate` to a twentieth of it: bold first, careful at the end.
fn rate(rate: f64, progress: f64) -> f64 {
    rate * (0.05 + 0.95 * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()))
}

/// All but the last 15 %, and those; neither is empty if there are at least two.
pub(super) fn split(ends: &[usize]) -> (&[usize], &[usize]) {
    ends.split_at((ends.len() * 85 / 100).max(1).min(ends.len()))
}

/// Every n-th of `ends`, so that at most `most` are left.
pub(super) fn thin(ends: &[usize], most: usize) -> Vec<usize> {
    ends.iter().step_by(ends.len().div_ceil(most).max(1)).copied().collect()
}

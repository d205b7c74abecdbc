//! Downhill: the training loop of every network.
//!
//! Owns: the optimiser, the schedule of its steps, when to stop, which weights were the best.
//! Does not own: losses, or what is read.

use burn::module::Module;
use burn::optim::AdamConfig;
use burn::optim::GradientsParams;
use burn::optim::ModuleOptimizer;
use burn::optim::grad_clipping::GradientClippingConfig;
use burn::tensor::Tensor;

use crate::detect::FitError;
use crate::detect::Look;
use crate::detect::Stage;

use super::layers::values;
use crate::math::random::Random;

/// Times that the held-out loss is looked at, about, however many steps there are.
const LOOKS: usize = 100;

/// Training ends when so many looks in a row saw no new best.
pub(super) const PATIENCE: usize = 20;

/// A network, and the optimiser's memory of it.
pub(super) struct Descent<N> {
    net: N,
    optimiser: ModuleOptimizer,
}

impl<N: Module> Descent<N> {
    /// Adam with every weight's gradient clipped to a norm of 1.
    pub(super) fn new(net: N) -> Descent<N> {
        let clipping = GradientClippingConfig::Norm(1.0);
        let adam = AdamConfig::new().with_epsilon(1e-8).with_grad_clipping(Some(clipping));
        Descent { net: net.train(), optimiser: adam.init() }
    }

    /// One step down a loss, a tensor of one number. Returns that number.
    pub(super) fn step(&mut self, loss: impl FnOnce(&N) -> Tensor<1>, rate: f64) -> f32 {
        let loss = loss(&self.net);
        let value = number(loss.clone());
        let gradients = GradientsParams::from_grads(loss.backward(), &self.net);
        self.net = self.optimiser.step(rate, self.net.clone(), gradients);
        value
    }

    /// The network as it stands, for scoring.
    pub(super) fn net(&self) -> N {
        self.net.valid()
    }
}

/// The number that a tensor holds.
pub(super) fn number(tensor: Tensor<1>) -> f32 {
    values(tensor).first().copied().unwrap_or(f32::NAN)
}

/// What is learnt from, a few items at a time, shuffled anew each time through.
pub(super) struct Minibatches<T> {
    items: Vec<T>,
    size: usize,
    next: usize,
}

impl<T> Minibatches<T> {
    /// Minibatches of `size` items, which is not 0.
    pub(super) fn new(items: Vec<T>, size: usize) -> Minibatches<T> {
        Minibatches { next: items.len(), items, size }
    }

    /// The next ones.
    pub(super) fn draw(&mut self, random: &mut Random) -> &[T] {
        if self.next >= self.items.len() {
            random.shuffle(&mut self.items);
            self.next = 0;
        }
        let from = self.next;
        self.next = self.items.len().min(from + self.size);
        &self.items[from..self.next]
    }
}

/// How long and how fast.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// Steps at most.
    pub(super) steps: usize,
    /// Adam's step size at the start; it falls to a twentieth of it.
    pub(super) rate: f64,
    /// Looks without a new best after which training ends.
    pub(super) patience: usize,
}

/// Who is asked whether to go on, and told how far it is.
#[derive(Clone, Copy)]
pub(super) struct Overseer<'a> {
    /// Asked before each step.
    pub(super) keep_going: &'a dyn Fn() -> bool,
    /// Told at each look.
    pub(super) stages: &'a dyn Fn(Stage),
}

/// Goes down `loss`, which draws its own minibatch, and returns the network whose `held_out` loss was
/// least, with all looks at it.
///
/// # Errors
/// A loss was not finite, or the overseer said no.
pub(super) fn descend<N: Module>(
    net: N,
    plan: &Plan,
    mut loss: impl FnMut(&N) -> Tensor<1>,
    mut held_out: impl FnMut(&N) -> f32,
    overseer: Overseer<'_>,
) -> Result<(N, Vec<Look>), FitError> {
    let every = (plan.steps / LOOKS).max(1);
    let mut descent = Descent::new(net);
    let mut best = (f32::INFINITY, descent.net());
    let (mut looks, mut stale, mut sum, mut since) = (Vec::new(), 0, 0.0, 0);
    for step in 1..=plan.steps {
        if !(overseer.keep_going)() {
            return Err(FitError::Stopped);
        }
        let value = descent.step(&mut loss, rate(plan.rate, (step - 1) as f64 / plan.steps as f64));
        if !value.is_finite() {
            return Err(FitError::Diverged);
        }
        sum += value;
        since += 1;
        if step % every != 0 && step != plan.steps {
            continue;
        }
        let net = descent.net();
        let error = held_out(&net);
        let loss = sum / since as f32;
        looks.push(Look { step, loss, held_out: error });
        (overseer.stages)(Stage { share: step as f64 / plan.steps as f64, loss });
        (sum, since) = (0.0, 0);
        if error < best.0 {
            best = (error, net);
            stale = 0;
        } else {
            stale += 1;
        }
        if stale == plan.patience {
            break;
        }
    }
    // Ended early, it is whole all the same.
    if let Some(Look { loss, .. }) = looks.last() {
        (overseer.stages)(Stage { share: 1.0, loss: *loss });
    }
    if best.0.is_finite() { Ok((best.1, looks)) } else { Err(FitError::Diverged) }
}

/// Half a cosine from `rate` to a twentieth of it: bold first, careful at the end.
fn rate(rate: f64, progress: f64) -> f64 {
    rate * (0.05 + 0.95 * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()))
}

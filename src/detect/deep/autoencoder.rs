//! Detector: reconstruction error of a convolutional autoencoder over the FIFO window.
//!
//! Owns: its settings, errors, the latent distance. Does not own: which of them is the raw score (`measure`), the network's layers
//! (`net`), the training loop (`train`), or the stored form (`stored`).
//!
//! After the `CoreDNS` anomaly-detection RFC of 2020: the newest rows of all features stacked up
//! are squeezed into a short latent vector and rebuilt. Score and margins are ours.

mod deviations;
pub(super) mod measure;
mod space;

use serde::Deserialize;
use serde::Serialize;

use crate::detect::FitContext;
use crate::detect::FitError;
use crate::detect::Model;
use crate::detect::Parts;
use crate::detect::Pretrained;
use crate::detect::Raw;
use crate::detect::RestoreError;
use crate::detect::linear;
use crate::series::Window;

use super::device::Backend;
use super::forward::Forward;
use super::forward::Scratch;
use super::frames::Frames;
use super::frames::NEAR;
use super::frames::TAIL;
use super::net::Net;
use super::net::Shape;
use super::stored;
use super::train;
use crate::math::random::Random;
use measure::Measure;

/// Smallest scale of a feature's error, in preprocessed units: a feature that was dead flat in
/// training neither explodes on a rounding error nor is blind.
const SCALE_FLOOR: f32 = 0.25;

/// Windows trained on, at most; more are thinned out.
const MAX_WINDOWS: usize = 20_000;

/// Windows that the errors' scales are learnt from, at most.
const MAX_SCALED: usize = 4096;

/// Held-out windows that [`DOUBT`] is weighed against, at most.
const MAX_TRUSTED: usize = 512;

/// Held-out rows on which a feature's reconstruction has to have been right before it is half
/// believed. On a history of minutes this keeps out-of-sample errors near those of training; on
/// one of days it changes nothing.
const DOUBT: f32 = 10.0;

/// How the autoencoder is set up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Rows of the FIFO window; a multiple of 4.
    pub window: usize,
    /// Length of the latent vector: fewer numbers, coarser reconstruction.
    pub latent: usize,
    /// Channels after the first and the second convolution.
    pub widths: [usize; 2],
    /// Training ends after this many times through the history.
    pub max_epochs: usize,
    /// Training ends after this many minibatches of 64 windows; the bound on long histories.
    pub max_steps: usize,
    /// Adam's step size at the start; it falls to a twentieth of it.
    pub learning_rate: f64,
    /// Which of burn's backends trains; scoring is our own and the same for both.
    pub backend: Backend,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            window: 32,
            latent: 32,
            widths: [32, 16],
            max_epochs: 200,
            max_steps: 4000,
            learning_rate: 1e-3,
            backend: Backend::default(),
        }
    }
}

impl Config {
    /// What is wrong with these settings.
    pub fn problem(&self) -> Option<String> {
        let between = |name: &str, value: usize, most: usize| {
            (value == 0 || value > most)
                .then(|| format!("{name}: {value} is not between 1 and {most}"))
        };
        if self.window == 0 || !self.window.is_multiple_of(4) {
            return Some(format!("window: {} is not a multiple of 4", self.window));
        }
        between("window", self.window, stored::MAX_WINDOW)
            .or_else(|| between("latent", self.latent, stored::MAX_WIDTH))
            .or_else(|| between("widths", self.widths[0], stored::MAX_WIDTH))
            .or_else(|| between("widths", self.widths[1], stored::MAX_WIDTH))
            .or_else(|| between("max_epochs", self.max_epochs, 100_000))
            .or_else(|| between("max_steps", self.max_steps, 10_000_000))
            .or_else(|| {
                let rate = self.learning_rate;
                (!(rate > 0.0 && rate <= 0.1))
                    .then(|| format!("learning_rate: {rate} is not above 0 and at most 0.1"))
            })
    }

    /// The network for this many features. What [`Config::problem`] objects to is brought into
    /// range, so that no setting can make a fit panic.
    fn shape(&self, features: usize) -> Shape {
        let width = |w: usize| w.clamp(1, stored::MAX_WIDTH);
        Shape {
            window: self.window.clamp(4, stored::MAX_WINDOW).next_multiple_of(4),
            inputs: 2 * features,
            outputs: features,
            widths: self.widths.map(width),
            latent: width(self.latent),
        }
    }
}

/// Learns to rebuild the windows of `train`.
///
/// # Errors
/// Fewer than two windows' worth of rows hold values, the loss ran away, or `keep_going` said no.
pub fn fit(
    config: &Config,
    train: &Window,
    context: &FitContext<'_>,
) -> Result<Box<dyn Model>, FitError> {
    Autoencoder::fit(config, train, context).map(|model| Box::new(model) as Box<dyn Model>)
}

/// The model that [`Model::parts`] came from. Sizes and all else are the parts' own.
///
/// # Errors
/// A name, a shape or a number is not as it must be.
pub fn restore(parts: Parts) -> Result<Box<dyn Model>, RestoreError> {
    let model = stored::restore(parts)?;
    Ok(Box::new(model))
}

/// A fitted autoencoder.
#[derive(Debug)]
pub struct Autoencoder {
    pub(super) net: Forward,
    /// Columns of a window, the unknown ones included.
    pub(super) n_features: usize,
    /// The columns that training saw, ascending; the others cannot be judged and are left out.
    pub(super) live: Vec<usize>,
    /// How far each live feature reached in training; all that is read is in units of it.
    pub(super) reach: Vec<f32>,
    /// How far each live feature's reconstruction is believed, from 0, where the error is taken
    /// from the centre of the training rows, to 1.
    pub(super) trust: Vec<f32>,
    /// One error of each live feature that is as large as usual, in preprocessed units.
    pub(super) scales: Vec<f32>,
    /// Mean latent vector of the training windows.
    pub(super) latent_mean: Vec<f32>,
    /// Root mean square distance of the training windows' latent vectors to it.
    pub(super) latent_scale: f32,
    /// What the raw score is.
    pub(super) measure: Measure,
}

impl Autoencoder {
    /// As [`fit`], with its own type.
    ///
    /// # Errors
    /// As [`fit`].
    pub fn fit(
        config: &Config,
        window: &Window,
        context: &FitContext<'_>,
    ) -> Result<Autoencoder, FitError> {
        let length = config.shape(1).window;
        if let Some(Pretrained { parts, .. }) = context.pretrained_of("autoencoder") {
            return Autoencoder::adapted(parts, window, context);
        }
        // A feature with less than a window of values has no normal to speak of.
        let count = |f: usize| window.column(f).iter().filter(|v| !v.is_nan()).count();
        let live: Vec<usize> =
            (0..window.n_features).filter(|&f| count(f) >= length).take(stored::MAX_LIVE).collect();
        let reach: Vec<f32> = linear::reaches(window, &live)
            .into_iter()
            .map(|reach| reach.min(1e30) as f32)
            .collect();
        let (frames, ends) = framed(window, &live, &reach, length)?;
        let mut random = Random::new(context.seed);
        let shape = config.shape(live.len());
        let net = Net::random(shape, context.seed, config.backend);
        let plan = train::Plan {
            max_epochs: config.max_epochs.max(1),
            max_steps: config.max_steps.max(1),
            rate: config.learning_rate,
        };
        let net = train::train(net, &frames, &ends, &plan, &mut random, context)?;
        let blank = Autoencoder::blank(net.forward(), window.n_features, live, reach);
        blank.measured(&frames, &ends, context)
    }

    /// The network that learnt elsewhere, with the scales of these rows.
    fn adapted(
        parts: &Parts,
        window: &Window,
        context: &FitContext<'_>,
    ) -> Result<Autoencoder, FitError> {
        let elsewhere = stored::restore(parts.clone());
        let elsewhere = elsewhere.map_err(|error| FitError::Refused(error.to_string()))?;
        let Autoencoder { net, n_features, live, reach, .. } = elsewhere;
        if n_features != window.n_features {
            let what = format!("a network of {n_features} features for {}", window.n_features);
            return Err(FitError::Refused(what));
        }
        let length = net.shape().window;
        let own = linear::reaches(window, &live);
        let known = |f: &usize| window.column(*f).iter().any(|v| !v.is_nan());
        let reach: Vec<f32> = live
            .iter()
            .zip(own.into_iter().zip(reach))
            .map(|(f, (own, theirs))| if known(f) { own.min(1e30) as f32 } else { theirs })
            .collect();
        let (frames, ends) = framed(window, &live, &reach, length)?;
        let blank = Autoencoder::blank(net, window.n_features, live, reach);
        // Its line is one of its own measure.
        blank.measured(&frames, &ends, &FitContext { like: Some(parts), ..*context })
    }

    /// A trained network before anything is known of what it makes of rows.
    fn blank(net: Forward, n_features: usize, live: Vec<usize>, reach: Vec<f32>) -> Autoencoder {
        Autoencoder {
            net,
            n_features,
            trust: vec![1.0; live.len()],
            scales: vec![1.0; live.len()],
            live,
            reach,
            latent_mean: vec![],
            latent_scale: 1.0,
            measure: Measure::Error,
        }
    }

    /// Adds the scales of errors and of the latent vector.
    fn measured(
        self,
        frames: &Frames,
        ends: &[usize],
        context: &FitContext<'_>,
    ) -> Result<Autoencoder, FitError> {
        let shape = self.net.shape();
        let (learnt_from, held_out) = train::split(ends);
        let trust = trust(&self.net, frames, held_out);
        let mut model = Autoencoder { trust, ..self };
        let mut errors: Vec<Vec<f32>> = vec![Vec::new(); model.live.len()];
        let (mut latents, mut learnt) = (Vec::new(), 0);
        let mut room = model.room();
        for (i, end) in train::thin(ends, MAX_SCALED).into_iter().enumerate() {
            if i % 256 == 0 && !(context.keep_going)() {
                return Err(FitError::Stopped);
            }
            let judged = model.judge(frames, end, &mut room);
            for (errors, error) in errors.iter_mut().zip(&judged.errors) {
                errors.extend((!error.is_nan()).then_some(*error));
            }
            latents.extend(judged.latent);
            learnt += usize::from(learnt_from.last().is_some_and(|last| end <= *last));
        }
        model.scales = errors.into_iter().map(usual).collect();
        let count = (latents.len() / shape.latent).max(1) as f32;
        let mean = |i: usize| latents.iter().skip(i).step_by(shape.latent).sum::<f32>() / count;
        model.latent_mean = (0..shape.latent).map(mean).collect();
        let squares = latents.chunks(shape.latent).map(|z| model.latent_square(z)).sum::<f32>();
        model.latent_scale = (squares / count).sqrt().max(f32::MIN_POSITIVE);
        model.measure = measure::choose(&model, (&latents, learnt), (frames, held_out), context)?;
        let finite = model
            .scales
            .iter()
            .chain(&model.trust)
            .chain(&model.latent_mean)
            .all(|v| v.is_finite());
        if finite && model.latent_scale.is_finite() { Ok(model) } else { Err(FitError::Diverged) }
    }

    fn room(&self) -> Room {
        Room { input: Vec::new(), scratch: self.net.scratch() }
    }

    /// What the network makes of the window that ends at row `end`.
    fn judge<'a>(&self, frames: &Frames, end: usize, room: &'a mut Room) -> Judged<'a> {
        frames.input(end, &mut room.input);
        let made = self.net.run(&room.input, TAIL, &mut room.scratch);
        Judged { errors: self.errors(frames, end, made.rebuilt), latent: made.latent }
    }

    /// Root mean square over the newest rows of each live feature's error, in its own scale; NaN
    /// where all of them are gaps.
    fn errors(&self, frames: &Frames, end: usize, tail: &[f32]) -> Vec<f32> {
        let features = self.live.len();
        let error = |f: usize| {
            let (mut squares, mut n) = (0.0, 0.0);
            for age in 0..TAIL.min(end + 1) {
                let value = frames.row(end - age)[f];
                if !value.is_nan() {
                    let e = value - self.trust[f] * tail[(TAIL - 1 - age) * features + f];
                    squares += e * e;
                    n += 1.0;
                }
            }
            (squares / n).sqrt() / self.scales[f]
        };
        (0..features).map(error).collect()
    }

    fn latent_square(&self, latent: &[f32]) -> f32 {
        latent.iter().zip(&self.latent_mean).map(|(z, m)| (z - m) * (z - m)).sum()
    }

    /// Runs `each` on every row among `first..` that can be scored.
    fn each(&self, window: &Window, first: usize, mut each: impl FnMut(usize, Judged<'_>)) {
        if window.n_features != self.n_features || first >= window.grid.len {
            return;
        }
        let from = first.saturating_sub(self.lookback());
        let length = self.net.shape().window;
        let frames = Frames::since(window, from, &self.live, &self.reach, length);
        let mut room = self.room();
        for end in frames.scorable(first - from) {
            each(end + from - first, self.judge(&frames, end, &mut room));
        }
    }

    /// How far the latent vector of each row `first..` lies from the training windows' mean, where
    /// 1 is as far as usual; NaN where the raw score is.
    pub fn latent_distance(&self, window: &Window, first: usize) -> Vec<f64> {
        let mut out = vec![f64::NAN; window.grid.len.saturating_sub(first)];
        self.each(window, first, |i, judged| {
            out[i] = Measure::Distance.of(self, &judged.errors, judged.latent);
        });
        out
    }
}

/// Rows as windows of the live features, and where those end that are learnt from; an error where they are too few.
fn framed(
    window: &Window,
    live: &[usize],
    reach: &[f32],
    length: usize,
) -> Result<(Frames, Vec<usize>), FitError> {
    let frames = Frames::new(window, live, reach, length);
    let few = |have| FitError::TooFewRows { have, want: 2 * length };
    let have = frames.observed_rows();
    if have < 2 * length {
        return Err(few(have));
    }
    let ends = train::thin(&frames.trainable(), MAX_WINDOWS);
    if ends.len() < 2 { Err(few(ends.len())) } else { Ok((frames, ends)) }
}

/// What a network makes of one row.
struct Judged<'a> {
    errors: Vec<f32>,
    latent: &'a [f32],
}

/// What one window after the other is computed in.
struct Room {
    input: Vec<f32>,
    scratch: Scratch,
}

/// How far each feature's reconstruction is to be believed: the factor that would have made it fit
/// the newest rows of held-out windows best, drawn towards 0 where there were few of them.
fn trust(net: &Forward, frames: &Frames, held_out: &[usize]) -> Vec<f32> {
    let mut sums = vec![(0.0, DOUBT); net.shape().outputs];
    let (mut input, mut scratch) = (Vec::new(), net.scratch());
    for end in train::thin(held_out, MAX_TRUSTED) {
        frames.input(end, &mut input);
        let newest = net.run(&input, 1, &mut scratch).rebuilt;
        for ((sum, &value), rebuilt) in sums.iter_mut().zip(frames.row(end)).zip(newest) {
            if !value.is_nan() {
                sum.0 += value.clamp(-NEAR, NEAR) * rebuilt;
                sum.1 += rebuilt * rebuilt;
            }
        }
    }
    sums.iter().map(|(both, own): &(f32, f32)| (both / own).clamp(0.0, 1.0)).collect()
}

/// The size of a usual error: the larger of what the middle and the tail would be if it were normal.
fn usual(mut errors: Vec<f32>) -> f32 {
    errors.sort_unstable_by(f32::total_cmp);
    let quantile = |q: f32| errors.get((q * errors.len() as f32) as usize).copied().unwrap_or(0.0);
    (quantile(0.5) / 0.8876).max(quantile(0.95) / 1.6140).max(SCALE_FLOOR)
}

impl Model for Autoencoder {
    fn lookback(&self) -> usize {
        self.net.shape().window - 1
    }

    fn score(&self, window: &Window, first: usize) -> Vec<Raw> {
        let mut out = vec![Raw::UNKNOWN; window.grid.len.saturating_sub(first)];
        self.each(window, first, |i, judged| {
            let value = self.measure.of(self, &judged.errors, judged.latent);
            out[i] = Raw { value, forecast: None };
        });
        out
    }

    fn reads(&self, feature: usize) -> bool {
        self.live.contains(&feature)
    }

    fn contributions(&self, window: &Window) -> Option<Vec<f64>> {
        let mut shares = vec![0.0; self.n_features];
        self.each(window, window.grid.len.checked_sub(1)?, |_, judged| {
            for (&f, e) in self.live.iter().zip(&judged.errors) {
                shares[f] = if e.is_nan() { 0.0 } else { measure::strangeness(*e) };
            }
        });
        let total: f64 = shares.iter().sum();
        (total > 0.0 && total.is_finite()).then(|| shares.iter().map(|s| s / total).collect())
    }

    fn deviations(&self, window: &Window) -> Option<Vec<f64>> {
        self.signed(window)
    }

    fn parts(&self) -> Parts {
        stored::parts(self)
    }
}

#[cfg(test)]
mod tests;

//! The RFC's first network: a convolutional autoencoder.
//!
//! Owns: its four functions, the latent distance and its threshold. Does not own: layers (`net`), its loss
//! (`train`), clusters of anomalies (`clusters`).

use serde::Deserialize;
use serde::Serialize;

use super::body::Body;
use super::body::NetworkError;
use super::body::Settings;
use super::data::Example;
use super::file;
use super::training;
use super::training::Course;
use super::training::Training;
use super::windows::Scaler;
use crate::detect::Tensor;
use crate::detect::deep::descent::Minibatches;
use crate::detect::deep::descent::number;
use crate::detect::deep::device::Backend;
use crate::detect::deep::net::Net;
use crate::detect::deep::train::loss;
use crate::detect::deep::train::thin;
use crate::math::random::Random;
use crate::math::whitening::Whitening;

/// The name in a file.
const NAME: &str = "convolutional autoencoder";

/// Squeezes a window into a short latent vector and rebuilds it; learns from normal windows alone.
///
/// Trained by the mean square error of the cells that hold a number, some of which are hidden from the network.
/// An anomaly shows in two ways: the newest rows are rebuilt badly, feature by feature, and the latent vector
/// lies far from the mean of normal ones. The RFC calls a window anomalous by the second, and says itself that
/// nothing in the training asks for it; so known anomalies decide between the measures, see
/// [`ConvAutoencoder::set_threshold_from`].
///
/// # Example
/// A metric that swings, and a moment when it does not:
///
/// ```
/// use portent::detect::deep::rfc::{Class, ConvAutoencoder, Example, Settings};
///
/// let history: Vec<f32> = (0..400).map(|i| (i as f32 * 0.7).sin()).collect();
/// let data = Example::sliding(&history, 16, 1, |_| Class::Normal);
///
/// let mut network = ConvAutoencoder::new(16, 1, Settings::default())?;
/// let training = network.train(300, 32, &data)?;
/// assert!(training.looks.last().unwrap().loss < training.looks[0].loss);
///
/// let normal = &history[100..116];
/// let mut stuck = normal.to_vec();
/// stuck[8..].fill(1.5);
/// let seen = network.predict(&[normal, &stuck])?;
/// let [normal, stuck] = [seen[0].as_ref().unwrap(), seen[1].as_ref().unwrap()];
/// assert!(stuck.errors[0] > 3.0 * normal.errors[0]);
/// assert!(stuck.anomalous && !normal.anomalous);
///
/// let weights = network.export_weights();
/// assert_eq!(ConvAutoencoder::from_weights(&weights)?.export_weights(), weights);
/// # Ok::<(), portent::detect::deep::rfc::NetworkError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ConvAutoencoder {
    pub(super) body: Body,
    net: Net,
    learnt: Option<Learnt>,
}

/// What was measured on normal windows after training.
#[derive(Debug, Clone)]
struct Learnt {
    /// Of normal latent vectors.
    whitening: Whitening,
    threshold: Threshold,
    error_means: Vec<f32>,
    error_deviations: Vec<f32>,
}

/// Which of its three numbers a window is called anomalous by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// [`Reconstruction::error`].
    Error,
    /// [`Reconstruction::latent_distance`], as in the RFC.
    LatentDistance,
    /// [`Reconstruction::latent_deviation`].
    LatentDeviation,
}

/// From where on a window is anomalous.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    /// What is compared.
    pub by: Measure,
    /// The least value that is anomalous.
    pub value: f32,
}

/// What only this network's header says.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Meta {
    threshold: Option<Threshold>,
}

/// What an autoencoder makes of one window.
#[derive(Debug, Clone, PartialEq)]
pub struct Reconstruction {
    /// How far each feature's newest rows are from what was rebuilt: their root mean square in units of the
    /// feature's usual spread. NaN where those rows are gaps.
    pub errors: Vec<f32>,
    /// Root mean square over the features of that, each relative to its usual error: about 1 for a normal window.
    pub error: f32,
    /// The latent vector.
    pub latent: Vec<f32>,
    /// Euclidean distance of the latent vector to the mean of normal ones.
    pub latent_distance: f32,
    /// The same in the space in which normal latent vectors vary equally in all directions (Mahalanobis' distance),
    /// over the square root of their length: about 1 for a normal window. Where the latent vector of a
    /// normal window wanders far with the hour, only this sees a small step aside.
    pub latent_deviation: f32,
    /// Whether the window reaches the threshold.
    pub anomalous: bool,
}

impl Reconstruction {
    /// One of its three numbers.
    pub fn measure(&self, by: Measure) -> f32 {
        match by {
            Measure::Error => self.error,
            Measure::LatentDistance => self.latent_distance,
            Measure::LatentDeviation => self.latent_deviation,
        }
    }
}

impl ConvAutoencoder {
    /// A network for windows of `rows` rows, a multiple of 4, of `features` numbers each.
    ///
    /// # Errors
    /// A size or a setting is out of range.
    pub fn new(
        rows: usize,
        features: usize,
        settings: Settings,
    ) -> Result<ConvAutoencoder, NetworkError> {
        let body = Body::new(rows, features, settings)?;
        Ok(ConvAutoencoder { net: Net::random(body.shape, 0, Backend::Flex), body, learnt: None })
    }

    /// The network that [`ConvAutoencoder::export_weights`] wrote, of whatever size, with default settings.
    ///
    /// # Errors
    /// The bytes are no such network, or damaged.
    pub fn from_weights(bytes: &[u8]) -> Result<ConvAutoencoder, NetworkError> {
        let shape = file::read(NAME, bytes)?.shape;
        let settings =
            Settings { latent: shape.latent, widths: shape.widths, ..Settings::default() };
        let mut network = ConvAutoencoder::new(shape.window, shape.outputs, settings)?;
        network.import_weights(bytes)?;
        Ok(network)
    }

    /// Forgets everything. The same seed gives the same weights, and with the same data the same training.
    pub fn initialize_new_weights(&mut self, seed: u64) {
        self.body.seed = seed;
        self.body.scaler = None;
        self.net = Net::random(self.body.shape, seed, Backend::Flex);
        self.learnt = None;
    }

    /// Takes over weights, and all that was learnt with them.
    ///
    /// # Errors
    /// The bytes are no such network, are damaged, or are of one of other sizes, which are named. The network is
    /// then as it was before.
    pub fn import_weights(&mut self, bytes: &[u8]) -> Result<(), NetworkError> {
        let import = NetworkError::Import;
        let mut stored = file::read(NAME, bytes)?;
        stored.check(&self.body)?;
        let meta: Meta = stored.meta()?;
        let body = stored.body(&self.body);
        let mut tensors = stored.tensors;
        let net = Net::new(body.shape, &mut tensors, &Backend::Flex.device())?;
        let (features, latent) = (body.features(), body.shape.latent);
        let learnt = match (&body.scaler, meta.threshold) {
            (None, None) => None,
            (Some(_), Some(threshold)) if threshold.value.is_finite() => {
                let mean: Vec<f32> = tensors.take("latent.mean", &[latent])?;
                let factor: Vec<f32> = tensors.take("latent.factor", &[latent, latent])?;
                let whitening = Whitening::from_lower(wide(&mean), wide(&factor));
                Some(Learnt {
                    whitening: whitening.ok_or(import("latent.factor is none".to_string()))?,
                    threshold,
                    error_means: tensors.take("error.mean", &[features])?,
                    error_deviations: tensors.take("error.deviation", &[features])?,
                })
            }
            _ => return Err(import("a trained network has a threshold, another none".to_string())),
        };
        tensors.end("an autoencoder")?;
        *self = ConvAutoencoder { body, net, learnt };
        Ok(())
    }

    /// The weights and all that was learnt, for a file: a JSON header and numbers, nothing to execute.
    pub fn export_weights(&self) -> Vec<u8> {
        let mut tensors = self.net.tensors();
        if let Some(learnt) = &self.learnt {
            let latent = self.body.shape.latent;
            let factor = Tensor::flat("latent.factor", narrow(learnt.whitening.lower()));
            tensors.push(Tensor::flat("latent.mean", narrow(learnt.whitening.mean())));
            tensors.push(Tensor { shape: vec![latent, latent], ..factor });
            tensors.push(Tensor::flat("error.mean", learnt.error_means.clone()));
            tensors.push(Tensor::flat("error.deviation", learnt.error_deviations.clone()));
        }
        file::write(NAME, &self.body, &Meta { threshold: self.threshold() }, tensors)
    }

    /// Learns to rebuild the normal ones among the examples, `batch_size` of them an iteration; goes on from
    /// the weights there are. The oldest 70 % are trained on, training ends early by the next 15 %, and the
    /// weights that were best there are kept; parts share no row. From then on a window is anomalous whose error
    /// is above that of all normal ones, until [`ConvAutoencoder::set_threshold_from`] knows better.
    ///
    /// # Errors
    /// A window is of another size, fewer than 2 are normal and at least half observed, or the loss ran away. The
    /// network is then as it was before.
    pub fn train(
        &mut self,
        iterations: usize,
        batch_size: usize,
        data: &[Example<'_>],
    ) -> Result<Training, NetworkError> {
        self.train_while(iterations, batch_size, data, &|| true)
    }

    /// As [`ConvAutoencoder::train`], for as long as `keep_going`, asked before each iteration, says so.
    ///
    /// # Errors
    /// As [`ConvAutoencoder::train`], and [`NetworkError::Stopped`].
    pub fn train_while(
        &mut self,
        iterations: usize,
        batch_size: usize,
        data: &[Example<'_>],
        keep_going: &dyn Fn() -> bool,
    ) -> Result<Training, NetworkError> {
        let course = Course { iterations, batch_size, keep_going };
        course.check()?;
        let usable = self.body.usable(data, |example| !example.class.is_anomaly())?;
        if usable.len() < 2 {
            let have = usable.len();
            return Err(NetworkError::TooFew { have, what: "normal windows", want: 2 });
        }
        let parts = training::parts(&self.body, data, usable.clone(), |part| !part.is_empty());
        let scaler = self.body.scaler_for(data, &parts.training);
        let mut random = Random::new(self.body.seed);
        let mut minibatches = Minibatches::new(parts.training.clone(), batch_size);
        let windows =
            |places: &[usize]| -> Vec<&[f32]> { places.iter().map(|&i| data[i].window).collect() };
        let step = |net: &Net| {
            let windows = windows(minibatches.draw(&mut random));
            loss(net, scaler.hidden(&windows, &mut random))
        };
        let judge = |net: &Net, places: &[usize]| number(loss(net, scaler.shown(&windows(places))));
        let (net, training) =
            training::run(self.net.clone(), &self.body, &course, &parts, data, step, judge)?;
        self.commit(net, scaler.clone(), &windows(&thin(&usable, training::MOST_MEASURED)))?;
        Ok(training)
    }

    /// Measures the trained network on normal windows, and takes it over if that went well.
    fn commit(&mut self, net: Net, scaler: Scaler, normal: &[&[f32]]) -> Result<(), NetworkError> {
        let body = Body { scaler: Some(scaler), ..self.body.clone() };
        let seen = reconstruct(&body, &net, normal)?;
        let seen: Vec<&(Vec<f32>, Vec<f32>)> = seen.iter().flatten().collect();
        let column = |f: usize| mean_and_deviation(seen.iter().map(|s| s.0[f]));
        let errors: Vec<(f32, f32)> = (0..body.features()).map(column).collect();
        let latents: Vec<f64> = seen.iter().flat_map(|s| wide(&s.1)).collect();
        let whitening = Whitening::of(&latents, body.shape.latent).and_then(|exact| {
            // As a file holds it, so that what comes from there says the same.
            let kept = |values| wide(&narrow(values));
            Whitening::from_lower(kept(exact.mean()), kept(exact.lower()))
        });
        let mut learnt = Learnt {
            whitening: whitening.ok_or(NetworkError::Diverged)?,
            threshold: Threshold { by: Measure::Error, value: 0.0 },
            error_means: errors.iter().map(|e| e.0).collect(),
            error_deviations: errors.iter().map(|e| e.1).collect(),
        };
        learnt.threshold.value =
            seen.iter().map(|s| learnt.error(&s.0)).fold(0.0, f32::max).next_up();
        let numbers = learnt.error_means.iter().chain(&learnt.error_deviations);
        if !numbers.chain([&learnt.threshold.value]).all(|v| v.is_finite()) {
            return Err(NetworkError::Diverged);
        }
        *self = ConvAutoencoder { body, net, learnt: Some(learnt) };
        Ok(())
    }

    /// What the network makes of each window; none where fewer than half the cells hold a number, or none of the
    /// newest row.
    ///
    /// # Errors
    /// A window is of another size, or nothing was trained or imported.
    pub fn predict(&self, data: &[&[f32]]) -> Result<Vec<Option<Reconstruction>>, NetworkError> {
        let learnt = self.learnt.as_ref().ok_or(NetworkError::NotTrained)?;
        let judge = |(errors, latent): (Vec<f32>, Vec<f32>)| {
            let latent_distance = distance(&latent, &narrow(learnt.whitening.mean()));
            let white = learnt.whitening.apply(&wide(&latent));
            let square = white.iter().map(|v| v * v).sum::<f64>() / white.len() as f64;
            let mut seen = Reconstruction {
                error: learnt.error(&errors),
                errors,
                latent,
                latent_distance,
                latent_deviation: square.sqrt() as f32,
                anomalous: false,
            };
            seen.anomalous = seen.measure(learnt.threshold.by) >= learnt.threshold.value;
            seen
        };
        let seen = reconstruct(&self.body, &self.net, data)?;
        Ok(seen.into_iter().map(|seen| seen.map(judge)).collect())
    }

    /// From where on a window is anomalous.
    pub fn threshold(&self) -> Option<Threshold> {
        self.learnt.as_ref().map(|learnt| learnt.threshold)
    }

    /// Sets it.
    ///
    /// # Errors
    /// It is no number, or nothing was trained or imported.
    pub fn set_threshold(&mut self, threshold: Threshold) -> Result<(), NetworkError> {
        if !threshold.value.is_finite() {
            let value = threshold.value;
            return Err(NetworkError::Setting(format!("threshold: {value} is not a number")));
        }
        self.learnt.as_mut().ok_or(NetworkError::NotTrained)?.threshold = threshold;
        Ok(())
    }

    /// Sets it as the RFC does, to the least value that one of the anomalies among the examples has, so that all of
    /// them are found, and returns it. Of the three measures it takes the one that then calls the fewest of
    /// the normal examples anomalous; the RFC's, the latent distance, where others call as many.
    ///
    /// One anomaly that looks normal makes the threshold low, and many normal windows anomalous.
    ///
    /// # Errors
    /// None of the examples is an anomaly and observed, one is of another size, or nothing was trained.
    pub fn set_threshold_from(&mut self, data: &[Example<'_>]) -> Result<Threshold, NetworkError> {
        let windows: Vec<&[f32]> = data.iter().map(|example| example.window).collect();
        let seen = self.predict(&windows)?;
        let of = |anomalies: bool, by: Measure| {
            let both =
                data.iter().zip(&seen).filter(move |(e, _)| e.class.is_anomaly() == anomalies);
            both.filter_map(move |(_, seen)| Some(seen.as_ref()?.measure(by)))
        };
        let rule = |by: Measure| {
            let value = of(true, by).min_by(f32::total_cmp)?;
            Some((of(false, by).filter(|v| *v >= value).count(), Threshold { by, value }))
        };
        // The first of equals is taken.
        let rules = [Measure::LatentDistance, Measure::LatentDeviation, Measure::Error]
            .into_iter()
            .filter_map(rule);
        let (_, threshold) = rules
            .min_by_key(|(false_alarms, _)| *false_alarms)
            .ok_or(NetworkError::TooFew { have: 0, what: "anomalous windows", want: 1 })?;
        self.set_threshold(threshold)?;
        Ok(threshold)
    }

    /// A space in which normal latent vectors vary equally in all directions.
    pub(super) fn whitening(&self) -> Option<&Whitening> {
        self.learnt.as_ref().map(|learnt| &learnt.whitening)
    }

    /// How many standard deviations each feature's error lies above its mean over normal windows; 0 for a gap.
    pub(super) fn standardised(&self, errors: &[f32]) -> Vec<f32> {
        let Some(learnt) = &self.learnt else {
            return vec![0.0; errors.len()];
        };
        let own = learnt.error_means.iter().zip(&learnt.error_deviations);
        let one = |(e, (m, d)): (&f32, (&f32, &f32))| {
            if e.is_nan() { 0.0 } else { (e - m) / d.max(SMALLEST_DEVIATION) }
        };
        errors.iter().zip(own).map(one).collect()
    }
}

impl Learnt {
    /// See [`Reconstruction::error`].
    fn error(&self, errors: &[f32]) -> f32 {
        let usual = self.error_means.iter().zip(&self.error_deviations);
        let relative = errors.iter().zip(usual).filter(|(e, _)| !e.is_nan());
        let squares = relative.map(|(e, (m, d))| e * e / (m * m + d * d).max(SMALLEST_USUAL));
        let (sum, n) = squares.fold((0.0, 0.0), |(sum, n), square| (sum + square, n + 1.0));
        (sum / n).sqrt()
    }
}

/// A feature's mean square error is at least so much usually: half a tenth of its spread.
const SMALLEST_USUAL: f32 = 0.05 * 0.05;

/// Errors vary by at least so much, in units of a feature's spread: one that was dead flat in training is not
/// infinitely conspicuous.
const SMALLEST_DEVIATION: f32 = 0.01;

/// Errors and latent vectors.
fn reconstruct(
    body: &Body,
    net: &Net,
    data: &[&[f32]],
) -> Result<Vec<Option<(Vec<f32>, Vec<f32>)>>, NetworkError> {
    let Some(scaler) = &body.scaler else {
        return Err(NetworkError::NotTrained);
    };
    body.each(data, |inputs, windows| {
        let output = net.run(inputs);
        let latents = output.latent.chunks(body.shape.latent);
        let rebuilt = output.rebuilt.chunks(body.shape.window * body.features());
        let both = windows.iter().zip(rebuilt).zip(latents);
        both.map(|((w, rebuilt), z)| (scaler.errors(w, rebuilt), z.to_vec())).collect()
    })
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&v| v as f32).collect()
}

/// Mean and standard deviation without gaps; 0 of none.
fn mean_and_deviation(values: impl Iterator<Item = f32>) -> (f32, f32) {
    let values: Vec<f64> = values.filter(|v| !v.is_nan()).map(f64::from).collect();
    let n = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / n;
    let square = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n;
    (mean as f32, square.sqrt() as f32)
}

/// Euclidean distance.
pub(super) fn distance(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt()
}

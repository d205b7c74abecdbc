//! The RFC's first network: a convolutional autoencoder.
//!
//! Owns: its four functions. Does not own: layers (`net`), its loss (`train`), clusters of anomalies (`clusters`).

mod learnt;
mod threshold;

use serde::Deserialize;
use serde::Serialize;

use super::body::Body;
use super::body::NetworkError;
use super::body::Settings;
use super::data::Example;
use super::file;
use super::file::Stored;
use super::training;
use super::training::Course;
use super::training::Training;
use super::windows::Scaler;
use crate::detect::deep::descent::Minibatches;
use crate::detect::deep::descent::number;
use crate::detect::deep::device::Backend;
use crate::detect::deep::net::Net;
use crate::detect::deep::train::loss;
use crate::detect::deep::train::thin;
use crate::math::random::Random;
use crate::math::whitening::Whitening;

use learnt::Learnt;
use learnt::Seen;
pub use threshold::Measure;
pub use threshold::Threshold;

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

/// What only this network's header says.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Meta {
    threshold: Option<Threshold>,
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
        let stored = file::read(NAME, bytes)?;
        let body = stored.own_body()?;
        ConvAutoencoder::restore(stored, &body)
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
        let stored = file::read(NAME, bytes)?;
        stored.check(&self.body)?;
        *self = ConvAutoencoder::restore(stored, &self.body)?;
        Ok(())
    }

    fn restore(mut stored: Stored, body: &Body) -> Result<ConvAutoencoder, NetworkError> {
        let meta: Meta = stored.meta()?;
        let body = stored.body(body);
        let mut tensors = stored.tensors;
        let net = Net::new(body.shape, &mut tensors, &Backend::Flex.device())?;
        let (features, latent) = (body.features(), body.shape.latent);
        let learnt = match (&body.scaler, meta.threshold) {
            (None, None) => None,
            (Some(_), Some(threshold)) => {
                Some(Learnt::restore(threshold, features, latent, &mut tensors)?)
            }
            _ => {
                let what = "a trained network has a threshold, another has none";
                return Err(NetworkError::Import(what.to_string()));
            }
        };
        tensors.end("an autoencoder")?;
        Ok(ConvAutoencoder { body, net, learnt })
    }

    /// The weights and all that was learnt, for a file: a JSON header and numbers, nothing to execute.
    pub fn export_weights(&self) -> Vec<u8> {
        let mut tensors = self.net.tensors();
        self.learnt.iter().for_each(|learnt| learnt.save(&mut tensors));
        file::write(&file::parts(NAME, &self.body, &Meta { threshold: self.threshold() }, tensors))
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
        self.train_on(&Course::new(iterations, batch_size, keep_going), data)
    }

    /// As its course says.
    fn train_on(
        &mut self,
        course: &Course<'_>,
        data: &[Example<'_>],
    ) -> Result<Training, NetworkError> {
        course.check()?;
        let usable = self.body.usable(data, |example| !example.class.is_anomaly())?;
        if usable.len() < 2 {
            let have = usable.len();
            return Err(NetworkError::TooFew { have, what: "normal windows", want: 2 });
        }
        let parts =
            training::parts(&self.body, data, usable.clone(), course.cuts, |part| !part.is_empty());
        let scaler = self.body.scaler_for(data, &parts.training);
        let mut random = Random::new(self.body.seed);
        let mut minibatches = Minibatches::new(parts.training.clone(), course.batch_size);
        let windows =
            |places: &[usize]| -> Vec<&[f32]> { places.iter().map(|&i| data[i].window).collect() };
        let step = |net: &Net| {
            let windows = windows(minibatches.draw(&mut random));
            loss(net, scaler.hidden(&windows, &mut random))
        };
        let judge = |net: &Net, places: &[usize]| number(loss(net, scaler.shown(&windows(places))));
        let (net, training) =
            training::run(self.net.clone(), &self.body, course, &parts, data, step, judge)?;
        self.commit(net, scaler.clone(), &windows(&thin(&usable, training::MOST_MEASURED)))?;
        Ok(training)
    }

    /// Measures the trained network on normal windows, and takes it over if that went well.
    fn commit(&mut self, net: Net, scaler: Scaler, normal: &[&[f32]]) -> Result<(), NetworkError> {
        let body = Body { scaler: Some(scaler), ..self.body.clone() };
        let seen = reconstruct(&body, &net, normal)?;
        let seen: Vec<&Seen> = seen.iter().flatten().collect();
        let learnt = Learnt::of(&seen).ok_or(NetworkError::Diverged)?;
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
        let seen = reconstruct(&self.body, &self.net, data)?;
        Ok(seen.into_iter().map(|seen| seen.map(|seen| learnt.judge(seen))).collect())
    }

    /// A space in which normal latent vectors vary equally in all directions.
    pub(super) fn whitening(&self) -> Option<&Whitening> {
        self.learnt.as_ref().map(|learnt| &learnt.whitening)
    }

    /// How many standard deviations each feature's error lies above its mean over normal windows; 0 for a gap.
    pub(super) fn standardised(&self, errors: &[f32]) -> Vec<f32> {
        let learnt = self.learnt.as_ref();
        learnt.map_or(vec![0.0; errors.len()], |learnt| learnt.standardised(errors))
    }
}

/// Errors and latent vectors.
fn reconstruct(body: &Body, net: &Net, data: &[&[f32]]) -> Result<Vec<Option<Seen>>, NetworkError> {
    let Some(scaler) = &body.scaler else {
        return Err(NetworkError::NotTrained);
    };
    body.each(data, |inputs, windows| {
        let output = net.run(inputs);
        let latents = output.latent.chunks(body.shape.latent);
        let rebuilt = output.rebuilt.chunks(body.shape.window * body.features());
        let both = windows.iter().zip(rebuilt).zip(latents);
        both.map(|((w, rebuilt), z)| Seen { errors: scaler.errors(w, rebuilt), latent: z.to_vec() })
            .collect()
    })
}

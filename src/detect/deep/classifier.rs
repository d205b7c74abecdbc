//! Detector: a convolutional classifier that was shown labelled incidents.
//!
//! Owns: its settings, its raw score and opinion. Does not own: the network (`rfc`), examples (`supervised`).

use serde::Deserialize;
use serde::Serialize;

use crate::detect::FitContext;
use crate::detect::FitError;
use crate::detect::Model;
use crate::detect::Parts;
use crate::detect::RestoreError;
use crate::detect::UNKNOWN;
use crate::detect::space::Knob;
use crate::detect::space::Tuned;
use crate::detect::space::Values;
use crate::detect::space::network_knobs;
use crate::series::Window;

use super::rfc::Classification;
use super::rfc::ConvClassifier;
use super::rfc::Course;
use super::rfc::Example;
use super::rfc::NetworkError;
use super::rfc::Settings;
use super::rfc::Training;
use super::supervised::Judgement;
use super::supervised::Network;
use super::supervised::Plan;
use super::supervised::Supervised;
use super::supervised::problem;

/// How the classifier is set up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Rows of the FIFO window; a multiple of 4.
    pub window: usize,
    /// Length of the latent vector.
    pub latent: usize,
    /// Channels after the first and the second convolution.
    pub widths: [usize; 2],
    /// Training ends after this many minibatches of 64 windows.
    pub max_steps: usize,
    /// Adam's step size at the start; it falls to a twentieth of it.
    pub learning_rate: f64,
}

impl Default for Config {
    fn default() -> Config {
        let Settings { latent, widths, learning_rate, .. } = Settings::default();
        Config { window: 32, latent, widths, max_steps: 1000, learning_rate }
    }
}

impl Config {
    /// What is wrong with these settings.
    pub fn problem(&self) -> Option<String> {
        problem(&self.plan())
    }

    fn plan(&self) -> Plan {
        let Config { latent, widths, learning_rate, .. } = *self;
        let settings = Settings { latent, widths, learning_rate, ..Settings::default() };
        Plan { window: self.window, iterations: self.max_steps, settings }
    }
}

impl Tuned for Config {
    const KNOBS: &'static [Knob<Config>] = network_knobs!();

    fn shorten(&mut self, share: f64) {
        self.max_steps = ((self.max_steps as f64 * share).round() as usize).max(1);
    }

    fn set_steps(&mut self, steps: usize) {
        self.max_steps = steps.max(1);
    }
}

/// Learns what sets the labelled episodes apart from the normal rows of `train`.
///
/// # Errors
/// No episode is an incident, fewer than two windows' worth of rows hold values, the loss ran away, or
/// `keep_going` said no.
pub fn fit(
    config: &Config,
    train: &Window,
    context: &FitContext<'_>,
) -> Result<Box<dyn Model>, FitError> {
    let model = Supervised::<ConvClassifier>::fit(&config.plan(), train, context)?;
    Ok(Box::new(model))
}

/// The model that [`Model::parts`] came from.
///
/// # Errors
/// A name, a shape or a number is not as it must be.
pub fn restore(parts: Parts) -> Result<Box<dyn Model>, RestoreError> {
    Ok(Box::new(Supervised::<ConvClassifier>::restore(parts)?))
}

impl Network for ConvClassifier {
    const NAME: &'static str = "classifier";

    fn new(rows: usize, features: usize, settings: Settings) -> Result<Self, NetworkError> {
        ConvClassifier::new(rows, features, settings)
    }

    fn initialize_new_weights(&mut self, seed: u64) {
        self.initialize_new_weights(seed);
    }

    fn train_on(
        &mut self,
        course: &Course<'_>,
        data: &[Example<'_>],
    ) -> Result<Training, NetworkError> {
        self.train_on(course, data)
    }

    fn judge(&self, windows: &[&[f32]]) -> Result<Vec<Option<Judgement>>, NetworkError> {
        let judged = self.predict(windows)?.into_iter();
        Ok(judged.map(|seen| seen.as_ref().map(judgement)).collect())
    }

    fn size(&self) -> [usize; 2] {
        self.size()
    }

    fn parts(&self) -> Parts {
        self.parts()
    }

    fn from_parts(parts: Parts) -> Result<Self, NetworkError> {
        ConvClassifier::from_parts(parts)
    }
}

/// The evidence is the logarithm of the odds of an anomaly. What is out of reach of every known kind is of an
/// unknown one.
fn judgement(seen: &Classification) -> Judgement {
    let probability = f64::from(seen.probability);
    let known = seen.distances.iter().any(|d| d.class.kind().is_some() && d.within_reach());
    let mut classes = vec![(UNKNOWN.to_string(), if known { 0.0 } else { probability })];
    let of = |(kind, p): &(String, f32)| {
        (kind.clone(), if known { probability * f64::from(*p) } else { 0.0 })
    };
    classes.extend(seen.kinds.iter().map(of));
    classes.sort_by(|a, b| b.1.total_cmp(&a.1));
    Judgement { evidence: f64::from(seen.logit), classes, neighbours: Vec::new() }
}

//! Detector: a siamese network that compares windows with labelled incidents.
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

use super::rfc::ClassDistance;
use super::rfc::Course;
use super::rfc::Example;
use super::rfc::NetworkError;
use super::rfc::Resemblance;
use super::rfc::Settings;
use super::rfc::SiameseNetwork;
use super::rfc::Training;
use super::supervised::Judgement;
use super::supervised::Network;
use super::supervised::Plan;
use super::supervised::Supervised;
use super::supervised::problem;

/// Most similar windows that incidents are named after: those of one incident lie close together.
const NEIGHBOURS: usize = 64;

/// How the siamese network is set up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Rows of the FIFO window; a multiple of 4.
    pub window: usize,
    /// Length of the latent vector.
    pub latent: usize,
    /// Channels after the first and the second convolution.
    pub widths: [usize; 2],
    /// Training ends after this many minibatches of 64 pairs.
    pub max_steps: usize,
    /// Adam's step size at the start; it falls to a twentieth of it.
    pub learning_rate: f64,
    /// Distance that is kept between windows of different classes.
    pub margin: f32,
}

impl Default for Config {
    fn default() -> Config {
        let Settings { latent, widths, learning_rate, margin, .. } = Settings::default();
        Config { window: 32, latent, widths, max_steps: 1000, learning_rate, margin }
    }
}

impl Config {
    /// What is wrong with these settings.
    pub fn problem(&self) -> Option<String> {
        problem(&self.plan())
    }

    fn plan(&self) -> Plan {
        let Config { latent, widths, learning_rate, margin, .. } = *self;
        let neighbours = NEIGHBOURS;
        let settings =
            Settings { latent, widths, learning_rate, margin, neighbours, ..Settings::default() };
        Plan { window: self.window, iterations: self.max_steps, settings }
    }
}

impl Tuned for Config {
    const KNOBS: &'static [Knob<Config>] = network_knobs!(Knob {
        name: "margin",
        values: Values::OneOf(&[0.25, 0.5, 1.0, 2.0, 4.0]),
        get: |config| f64::from(config.margin),
        set: |config, margin| config.margin = margin as f32,
    });

    fn shorten(&mut self, share: f64) {
        self.max_steps = ((self.max_steps as f64 * share).round() as usize).max(1);
    }

    fn set_steps(&mut self, steps: usize) {
        self.max_steps = steps.max(1);
    }
}

/// Learns to keep the labelled episodes apart from the normal rows of `train`, and from each other.
///
/// # Errors
/// No episode is an incident, fewer than two windows' worth of rows hold values, the loss ran away, or
/// `keep_going` said no.
pub fn fit(
    config: &Config,
    train: &Window,
    context: &FitContext<'_>,
) -> Result<Box<dyn Model>, FitError> {
    let model = Supervised::<SiameseNetwork>::fit(&config.plan(), train, context)?;
    Ok(Box::new(model))
}

/// The model that [`Model::parts`] came from.
///
/// # Errors
/// A name, a shape or a number is not as it must be.
pub fn restore(parts: Parts) -> Result<Box<dyn Model>, RestoreError> {
    Ok(Box::new(Supervised::<SiameseNetwork>::restore(parts)?))
}

impl Network for SiameseNetwork {
    const NAME: &'static str = "siamese";

    fn new(rows: usize, features: usize, settings: Settings) -> Result<Self, NetworkError> {
        SiameseNetwork::new(rows, features, settings)
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
        SiameseNetwork::from_parts(parts, NEIGHBOURS)
    }
}

/// The evidence is by how much the window lies nearer to an incident's mean than to that of normal ones: the
/// RFC's verdict, the nearest mean, turns where it is 0.
fn judgement(seen: &Resemblance) -> Judgement {
    let nearest = |anomaly: bool| {
        let mut of = seen.distances.iter().filter(|d| d.class.is_anomaly() == anomaly);
        of.next().map_or(0.0, |d| f64::from(d.distance))
    };
    let neighbours = seen.neighbours.iter().map(|n| (n.end, f64::from(n.distance)));
    Judgement {
        evidence: nearest(false) - nearest(true),
        classes: classes(seen),
        neighbours: neighbours.collect(),
    }
}

/// A window belongs to each class the more, the better it lies within that class's reach: as if each were a
/// normal distribution whose 99 % are the reach. What is out of reach of all is of an unknown kind.
fn classes(seen: &Resemblance) -> Vec<(String, f64)> {
    if seen.unknown {
        return vec![(UNKNOWN.to_string(), 1.0)];
    }
    // ln 0.01: the height of the bell's edge.
    let weight = |d: &ClassDistance| {
        let relative = f64::from(d.distance / d.reach.max(f32::MIN_POSITIVE));
        (-4.605 * relative * relative).exp()
    };
    let total: f64 = seen.distances.iter().map(weight).sum();
    let mut classes: Vec<(String, f64)> = Vec::new();
    for distance in seen.distances.iter().filter(|d| d.class.is_anomaly()) {
        let kind = distance.class.kind().unwrap_or(UNKNOWN).to_string();
        classes.push((kind, weight(distance) / total.max(f64::MIN_POSITIVE)));
    }
    if !classes.iter().any(|(kind, _)| kind == UNKNOWN) {
        classes.push((UNKNOWN.to_string(), 0.0));
    }
    classes.sort_by(|a, b| b.1.total_cmp(&a.1));
    classes
}

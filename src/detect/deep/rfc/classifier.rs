//! The RFC's second network: a convolutional classifier.
//!
//! Owns: its four functions, weights of classes, when a window is like no class. Does not own: layers and losses
//! (`heads`), where the classes lie (`groups`).

use crate::verdict::Class;

use serde::Deserialize;
use serde::Serialize;

use super::body::Body;
use super::body::NetworkError;
use super::body::Settings;
use super::data::Example;
use super::file;
use super::file::Stored;
use super::groups::ClassDistance;
use super::groups::Groups;
use super::groups::MAX_KINDS;
use super::groups::Names;
use super::heads::ClassifierNet;
use super::heads::Labelled;
use super::heads::Logits;
use super::training;
use super::training::Course;
use super::training::Training;
use crate::detect::Parts;
use crate::detect::deep::descent::Minibatches;
use crate::detect::deep::descent::number;
use crate::detect::deep::device::Backend;
use crate::detect::deep::net::Shape;
use crate::math::random::Random;

/// The name in a file.
const NAME: &str = "convolutional classifier";

/// Rare classes count for more, but not more than this: otherwise one mislabelled window would rule.
const MOST_WEIGHT: f32 = 20.0;

/// Says whether a window is anomalous and of which kind; learns from normal and anomalous windows.
///
/// Trained by binary cross-entropy of the verdict, as the RFC has it, plus cross-entropy of the kind over those
/// anomalies whose kind is known; a class counts for more the rarer it is. So a probability is that of a world in
/// which anomalies are about as frequent as not.
///
/// # Example
/// A metric that swings, with now and then a peak or a dip:
///
/// ```
/// use portent::detect::deep::rfc::{Class, ConvClassifier, Example, Settings};
///
/// let class = |i: usize| match i % 60 {
///     0..4 => Class::anomaly("peak"),
///     30..34 => Class::anomaly("dip"),
///     _ => Class::Normal,
/// };
/// let value = |i: usize| match class(i).kind() {
///     Some("peak") => 4.0,
///     Some(_) => -4.0,
///     None => (i as f32 * 0.7).sin(),
/// };
/// let history: Vec<f32> = (0..600).map(value).collect();
/// let data = Example::sliding(&history, 8, 1, class);
///
/// let mut network = ConvClassifier::new(8, 1, Settings::default())?;
/// network.train(800, 32, &data)?;
///
/// let seen = network.predict(&[&history[535..543], &history[512..520]])?;
/// let [peak, normal] = [seen[0].as_ref().unwrap(), seen[1].as_ref().unwrap()];
/// assert_eq!(peak.class, Class::anomaly("peak"));
/// assert_eq!(normal.class, Class::Normal);
/// assert!(peak.probability > 0.9 && normal.probability < 0.1);
/// # Ok::<(), portent::detect::deep::rfc::NetworkError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ConvClassifier {
    body: Body,
    net: ClassifierNet,
    /// In order of their names.
    kinds: Vec<String>,
    groups: Option<Groups>,
}

/// What only this network's header says.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Meta {
    kinds: Vec<String>,
    groups: Names,
}

/// What a classifier makes of one window.
#[derive(Debug, Clone, PartialEq)]
pub struct Classification {
    /// Of an anomaly, 0..=1, were anomalies about as frequent as not.
    pub probability: f32,
    /// The logarithm of its odds, which still tells apart what is all but certain.
    pub logit: f32,
    /// Normal where that is below ½. Otherwise an anomaly: of the most probable kind, or of no known one where
    /// the embedding is out of reach of all of them.
    pub class: Class,
    /// Each known kind's probability if it is an anomaly, the most probable first.
    pub kinds: Vec<(String, f32)>,
    /// Whether the embedding is out of reach of every class, the normal one too: the network saw no such window,
    /// so its verdict is a guess.
    pub unknown: bool,
    /// How far each class is, nearest first.
    pub distances: Vec<ClassDistance>,
}

impl ConvClassifier {
    /// A network for windows of `rows` rows, a multiple of 4, of `features` numbers each.
    ///
    /// # Errors
    /// A size or a setting is out of range.
    pub fn new(
        rows: usize,
        features: usize,
        settings: Settings,
    ) -> Result<ConvClassifier, NetworkError> {
        let body = Body::new(rows, features, settings)?;
        let net = fresh(body.shape, 0);
        Ok(ConvClassifier { body, net, kinds: vec![], groups: None })
    }

    /// The network that [`ConvClassifier::export_weights`] wrote, of whatever size, with default settings.
    ///
    /// # Errors
    /// The bytes are no such network, or damaged.
    pub fn from_weights(bytes: &[u8]) -> Result<ConvClassifier, NetworkError> {
        let stored = file::read(NAME, bytes)?;
        let body = stored.own_body()?;
        ConvClassifier::restore(stored, &body)
    }

    pub(in crate::detect::deep) fn from_parts(
        parts: Parts,
    ) -> Result<ConvClassifier, NetworkError> {
        let stored = file::stored(NAME, parts)?;
        let body = stored.own_body()?;
        ConvClassifier::restore(stored, &body)
    }

    /// Forgets everything. The same seed gives the same weights, and with the same data the same training.
    pub fn initialize_new_weights(&mut self, seed: u64) {
        self.body.seed = seed;
        self.body.scaler = None;
        self.net = fresh(self.body.shape, seed);
        self.kinds.clear();
        self.groups = None;
    }

    /// Takes over weights, and all that was learnt with them.
    ///
    /// # Errors
    /// The bytes are no such network, are damaged, or are of one of other sizes, which are named. The network is
    /// then as it was before.
    pub fn import_weights(&mut self, bytes: &[u8]) -> Result<(), NetworkError> {
        let stored = file::read(NAME, bytes)?;
        stored.check(&self.body)?;
        *self = ConvClassifier::restore(stored, &self.body)?;
        Ok(())
    }

    fn restore(mut stored: Stored, body: &Body) -> Result<ConvClassifier, NetworkError> {
        let Meta { kinds, groups } = stored.meta()?;
        if kinds.len() > MAX_KINDS || !kinds.is_sorted() {
            let n = kinds.len();
            return Err(NetworkError::Import(format!("{n} kinds of anomaly, or out of order")));
        }
        let body = stored.body(body);
        let mut tensors = stored.tensors;
        let device = Backend::Flex.device();
        let net = ClassifierNet::new(body.shape, kinds.len(), &mut tensors, &device)?;
        let groups = match body.scaler {
            None => None,
            Some(_) => Some(Groups::restore(groups, body.shape.latent, &mut tensors)?),
        };
        tensors.end("a classifier")?;
        Ok(ConvClassifier { body, net, kinds, groups })
    }

    /// The weights and all that was learnt, for a file: a JSON header and numbers, nothing to execute.
    pub fn export_weights(&self) -> Vec<u8> {
        file::write(&self.parts())
    }

    /// Rows of a window, and features of a row.
    pub(in crate::detect::deep) fn size(&self) -> [usize; 2] {
        [self.body.shape.window, self.body.shape.outputs]
    }

    pub(in crate::detect::deep) fn parts(&self) -> Parts {
        let mut tensors = self.net.tensors();
        self.groups.iter().for_each(|groups| groups.save(&mut tensors));
        let groups = self.groups.as_ref().map(Groups::names).unwrap_or_default();
        file::parts(NAME, &self.body, &Meta { kinds: self.kinds.clone(), groups }, tensors)
    }

    /// Learns from the examples, `batch_size` of them an iteration; goes on from the weights there are. The
    /// oldest 70 % are trained on, training ends early by the next 15 %, and the weights that were best there
    /// are kept; parts share no row. Where either of these two parts lacks normal windows or anomalies,
    /// everything is trained on. Kinds that only the newer parts have are learnt as anomalies, not by name:
    /// train once more with [`Settings::hold_out`] off.
    ///
    /// # Errors
    /// A window is of another size, there is no normal or no anomalous one that is at least half observed, there
    /// are more than 256 kinds or one of a name of more than 256 bytes, or the loss ran away. The network is then
    /// as it was before.
    pub fn train(
        &mut self,
        iterations: usize,
        batch_size: usize,
        data: &[Example<'_>],
    ) -> Result<Training, NetworkError> {
        self.train_while(iterations, batch_size, data, &|| true)
    }

    /// As [`ConvClassifier::train`], for as long as `keep_going`, asked before each iteration, says so.
    ///
    /// # Errors
    /// As [`ConvClassifier::train`], and [`NetworkError::Stopped`].
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
    pub(in crate::detect::deep) fn train_on(
        &mut self,
        course: &Course<'_>,
        data: &[Example<'_>],
    ) -> Result<Training, NetworkError> {
        course.check()?;
        let usable = self.body.usable(data, |_| true)?;
        training::both(data, &usable, 1)?;
        training::kinds(data, &usable)?;
        let fine = |part: &[usize]| training::both(data, part, 1).is_ok();
        let parts = training::parts(&self.body, data, usable.clone(), course.cuts, fine);
        let kinds = training::kinds(data, &parts.training)?;
        let scaler = self.body.scaler_for(data, &parts.training);
        let labels = Labels { data, kinds: &kinds };
        let mut random = Random::new(self.body.seed);
        let mut net = self.net.clone();
        if kinds != self.kinds {
            let Ok(with) = net.with_kinds(kinds.len(), &mut random);
            net = with;
        }
        let weights = Weights::of(&labels, &parts.training);
        let mut minibatches = Minibatches::new(parts.training.clone(), course.batch_size);
        let step = |net: &ClassifierNet| {
            let places = minibatches.draw(&mut random);
            let input = scaler.hidden(&labels.windows(places), &mut random).input;
            net.loss(labels.batch(places, input, &weights))
        };
        let judge = |net: &ClassifierNet, places: &[usize]| {
            let input = scaler.inputs(&labels.windows(places));
            number(net.loss(labels.batch(places, input, &Weights::of(&labels, places))))
        };
        let (net, training) = training::run(net, &self.body, course, &parts, data, step, judge)?;
        let body = Body { scaler: Some(scaler.clone()), ..self.body.clone() };
        let mut next = ConvClassifier { body, net, kinds: kinds.clone(), groups: None };
        let places = training::thinned(data, &usable, training::MOST_MEASURED);
        let seen = next.read(&labels.windows(&places))?;
        let embedded = places
            .iter()
            .zip(seen)
            .filter_map(|(&place, seen)| seen.map(|seen| (data[place].class.clone(), seen.latent)));
        let groups = Groups::of(&embedded.collect::<Vec<_>>(), next.body.shape.latent, 0.0);
        if !groups.finite() {
            return Err(NetworkError::Diverged);
        }
        next.groups = Some(groups);
        *self = next;
        Ok(training)
    }

    fn read(&self, windows: &[&[f32]]) -> Result<Vec<Option<Logits>>, NetworkError> {
        let net = self.net.classify();
        let (mut room, per) = (net.room(), self.body.shape.window * self.body.shape.inputs);
        self.body.each(windows, |inputs, _| {
            inputs.chunks(per).map(|input| net.run(input, &mut room)).collect()
        })
    }

    /// What the network makes of each window; none where fewer than half the cells hold a number, or none of the
    /// newest row.
    ///
    /// # Errors
    /// A window is of another size, or nothing was trained or imported.
    pub fn predict(&self, data: &[&[f32]]) -> Result<Vec<Option<Classification>>, NetworkError> {
        let groups = self.groups.as_ref().ok_or(NetworkError::NotTrained)?;
        let judge = |seen: Logits| {
            let probability = 1.0 / (1.0 + (-seen.anomaly).exp());
            let distances = groups.distances(&seen.latent);
            let unknown = !distances.iter().any(ClassDistance::within_reach);
            let known = distances.iter().any(|d| d.class.kind().is_some() && d.within_reach());
            let mut kinds: Vec<(String, f32)> =
                self.kinds.iter().cloned().zip(softmax(&seen.kinds)).collect();
            kinds.sort_by(|a, b| b.1.total_cmp(&a.1));
            let class = match kinds.first() {
                _ if probability < 0.5 => Class::Normal,
                Some((kind, _)) if known => Class::anomaly(kind),
                _ => Class::Anomaly(None),
            };
            Classification { probability, logit: seen.anomaly, class, kinds, unknown, distances }
        };
        Ok(self.read(data)?.into_iter().map(|seen| seen.map(judge)).collect())
    }

    /// The kinds of anomaly that it knows by name.
    pub fn kinds(&self) -> &[String] {
        &self.kinds
    }
}

fn fresh(shape: Shape, seed: u64) -> ClassifierNet {
    let device = Backend::Flex.device();
    let Ok(net) = ClassifierNet::new(shape, 0, &mut Random::new(seed), &device);
    net
}

/// Sums to 1.
fn softmax(logits: &[f32]) -> Vec<f32> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let parts: Vec<f32> = logits.iter().map(|v| (v - most).exp()).collect();
    let total: f32 = parts.iter().sum();
    parts.iter().map(|part| part / total).collect()
}

/// The examples as numbers.
struct Labels<'a> {
    data: &'a [Example<'a>],
    kinds: &'a [String],
}

impl<'a> Labels<'a> {
    fn windows(&self, places: &[usize]) -> Vec<&'a [f32]> {
        places.iter().map(|&i| self.data[i].window).collect()
    }

    fn kind(&self, place: usize) -> Option<usize> {
        let kind = self.data[place].class.kind()?;
        self.kinds.binary_search_by(|own| own.as_str().cmp(kind)).ok()
    }

    fn batch(&self, places: &[usize], input: Vec<f32>, weights: &Weights) -> Labelled {
        let mut batch = Labelled { input, ..Labelled::default() };
        for &place in places {
            let anomaly = self.data[place].class.is_anomaly();
            batch.anomaly.push(f32::from(u8::from(anomaly)));
            batch.weight.push(weights.verdicts[usize::from(anomaly)]);
            let from = batch.kinds.len();
            batch.kinds.resize(from + self.kinds.len(), 0.0);
            if let Some(kind) = self.kind(place) {
                batch.kinds[from + kind] = weights.kinds[kind];
            }
        }
        batch
    }
}

/// How much an example of each class counts: so much that all classes count the same, within [`MOST_WEIGHT`].
struct Weights {
    verdicts: [f32; 2],
    kinds: Vec<f32>,
}

impl Weights {
    fn of(labels: &Labels<'_>, places: &[usize]) -> Weights {
        let mut verdicts = [0usize; 2];
        let mut kinds = vec![0usize; labels.kinds.len()];
        for &place in places {
            verdicts[usize::from(labels.data[place].class.is_anomaly())] += 1;
            labels.kind(place).into_iter().for_each(|kind| kinds[kind] += 1);
        }
        let of = |counts: &[usize]| -> Vec<f32> {
            let mean = counts.iter().sum::<usize>() as f32 / counts.len().max(1) as f32;
            counts.iter().map(|&n| (mean / n.max(1) as f32).min(MOST_WEIGHT)).collect()
        };
        let both = of(&verdicts);
        Weights { verdicts: [both[0], both[1]], kinds: of(&kinds) }
    }
}

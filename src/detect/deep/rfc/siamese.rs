//! The RFC's third network: a siamese network.
//!
//! Owns: its four functions, which pairs it learns from, the anomalies that it remembers. Does not own: the loss
//! (`heads`), where the classes lie (`groups`).

mod pairs;

use crate::verdict::Class;
use serde::Deserialize;
use serde::Serialize;

use super::body::Body;
use super::body::NetworkError;
use super::body::Settings;
use super::body::settings_problem;
use super::data::Example;
use super::file;
use super::file::Stored;
use super::groups::ClassDistance;
use super::groups::Groups;
use super::groups::Names;
use super::groups::distance;
use super::heads::contrastive;
use super::training;
use super::training::Course;
use super::training::Training;
use crate::detect::Parts;
use crate::detect::Tensor;
use crate::detect::deep::descent::number;
use crate::detect::deep::device::Backend;
use crate::detect::deep::encoder::Encoder;
use crate::detect::deep::net::Shape;
use crate::math::random::Random;
use pairs::Drawer;

/// The name in a file.
const NAME: &str = "siamese network";

/// Anomalies that are remembered one by one, the newest ones.
const MOST_KNOWN: usize = 4096;

/// Pairs that a held-out loss is measured on.
const JUDGED_PAIRS: usize = 256;

/// Brings windows of one class close together and keeps those of different classes apart; a handful of anomalies
/// is enough to learn from.
///
/// Both windows of a pair go through the same weights. The RFC's loss, Y·d² − (1 − Y)·d², is a sketch: it has no
/// least value, since pairs of different classes are driven apart without end. Here it is the contrastive loss of
/// Hadsell, Chopra and `LeCun` (2006), in which they are left alone once they are a margin apart:
/// Y·d² + (1 − Y)·max(0, margin − d)². Half the pairs are of one class.
///
/// # Example
/// A metric that swings, and four anomalies that somebody labelled:
///
/// ```
/// use portent::detect::deep::rfc::{Class, Example, SiameseNetwork, Settings};
///
/// let incident = |i: usize| [150, 250, 350, 450].iter().any(|at| (*at..at + 3).contains(&i));
/// let history: Vec<f32> =
///     (0..600).map(|i| if incident(i) { 4.0 } else { (i as f32 * 0.7).sin() }).collect();
/// let class = |end: usize| match end {
///     152 | 252 | 352 | 452 => Class::anomaly("surge"),
///     _ => Class::Normal,
/// };
/// // Windows that hold part of an incident and are not labelled are neither.
/// let mut data = Example::sliding(&history, 8, 1, class);
/// data.retain(|e| e.class.is_anomaly() || !(0..8).any(|age| incident(e.end as usize - age)));
///
/// let mut network = SiameseNetwork::new(8, 1, Settings::default())?;
/// network.train(200, 32, &data)?;
///
/// let mut again = history[500..508].to_vec();
/// again[5..].fill(4.0);
/// let seen = network.predict(&[&again, &history[520..528]])?;
/// let [surge, normal] = [seen[0].as_ref().unwrap(), seen[1].as_ref().unwrap()];
/// assert_eq!(surge.class(), &Class::anomaly("surge"));
/// assert_eq!(surge.neighbours[0].class, Class::anomaly("surge"));
/// assert_eq!(normal.class(), &Class::Normal);
/// # Ok::<(), portent::detect::deep::rfc::NetworkError>(())
/// ```
#[derive(Debug, Clone)]
pub struct SiameseNetwork {
    body: Body,
    encoder: Encoder,
    learnt: Option<Learnt>,
}

#[derive(Debug, Clone)]
struct Learnt {
    groups: Groups,
    known: Vec<Known>,
}

/// One anomaly that is remembered.
#[derive(Debug, Clone)]
struct Known {
    end: i64,
    class: Class,
    embedding: Vec<f32>,
}

/// What only this network's header says.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Meta {
    groups: Names,
    known: Vec<(i64, Class)>,
    /// Half of it is how near a known anomaly has to be.
    #[serde(default = "usual_margin")]
    margin: f32,
}

/// That of headers of an older Portent, which do not say it.
fn usual_margin() -> f32 {
    Settings::default().margin
}

/// What a siamese network makes of one window.
#[derive(Debug, Clone, PartialEq)]
pub struct Resemblance {
    /// How far each class is, nearest first: there is at least one.
    pub distances: Vec<ClassDistance>,
    /// Whether the window is out of reach of every class, and not within half a margin of any known anomaly: it is
    /// like nothing that is known.
    pub unknown: bool,
    /// The known anomalies that it is most like, nearest first.
    pub neighbours: Vec<Neighbour>,
    /// Where it lies.
    pub embedding: Vec<f32>,
}

impl Resemblance {
    /// The class whose mean is nearest, which is the RFC's verdict.
    pub fn class(&self) -> &Class {
        self.distances.first().map_or(&Class::Normal, |nearest| &nearest.class)
    }
}

/// A known anomaly: "looks like …".
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbour {
    /// The [`Example::end`] that it was learnt with.
    pub end: i64,
    /// What it was.
    pub class: Class,
    /// Euclidean distance of the embeddings.
    pub distance: f32,
}

impl SiameseNetwork {
    /// A network for windows of `rows` rows, a multiple of 4, of `features` numbers each.
    ///
    /// # Errors
    /// A size or a setting is out of range.
    pub fn new(
        rows: usize,
        features: usize,
        settings: Settings,
    ) -> Result<SiameseNetwork, NetworkError> {
        let body = Body::new(rows, features, settings)?;
        Ok(SiameseNetwork { encoder: fresh(body.shape, 0), body, learnt: None })
    }

    /// The network that [`SiameseNetwork::export_weights`] wrote, of whatever size, with its margin and default
    /// settings else.
    ///
    /// # Errors
    /// The bytes are no such network, or damaged.
    pub fn from_weights(bytes: &[u8]) -> Result<SiameseNetwork, NetworkError> {
        let stored = file::read(NAME, bytes)?;
        let body = stored.own_body()?;
        SiameseNetwork::restore(stored, &body)
    }

    /// With so many neighbours to name.
    pub(in crate::detect::deep) fn from_parts(
        parts: Parts,
        neighbours: usize,
    ) -> Result<SiameseNetwork, NetworkError> {
        let stored = file::stored(NAME, parts)?;
        let mut body = stored.own_body()?;
        body.settings.neighbours = neighbours;
        SiameseNetwork::restore(stored, &body)
    }

    /// Forgets everything. The same seed gives the same weights, and with the same data the same training.
    pub fn initialize_new_weights(&mut self, seed: u64) {
        self.body.seed = seed;
        self.body.scaler = None;
        self.encoder = fresh(self.body.shape, seed);
        self.learnt = None;
    }

    /// Takes over weights, all that was learnt with them, and the margin that they were trained with.
    ///
    /// # Errors
    /// The bytes are no such network, are damaged, or are of one of other sizes, which are named. The network is
    /// then as it was before.
    pub fn import_weights(&mut self, bytes: &[u8]) -> Result<(), NetworkError> {
        let stored = file::read(NAME, bytes)?;
        stored.check(&self.body)?;
        *self = SiameseNetwork::restore(stored, &self.body)?;
        Ok(())
    }

    fn restore(mut stored: Stored, body: &Body) -> Result<SiameseNetwork, NetworkError> {
        let Meta { groups, known, margin } = stored.meta()?;
        let mut body = stored.body(body);
        body.settings.margin = margin;
        if let Some(problem) = settings_problem(&body.settings) {
            return Err(NetworkError::Import(problem));
        }
        let latent = body.shape.latent;
        let mut tensors = stored.tensors;
        let encoder = Encoder::new(body.shape, &mut tensors, &Backend::Flex.device())?;
        let learnt = match body.scaler {
            None => None,
            Some(_) => {
                let groups = Groups::restore(groups, latent, &mut tensors)?;
                let all: Vec<f32> =
                    tensors.take("known.embeddings", &[known.len().saturating_mul(latent)])?;
                let embeddings = all.chunks(latent).map(<[f32]>::to_vec);
                let known = known.into_iter().zip(embeddings);
                let known = known.map(|((end, class), embedding)| Known { end, class, embedding });
                Some(Learnt { groups, known: known.collect() })
            }
        };
        tensors.end("a siamese network")?;
        Ok(SiameseNetwork { body, encoder, learnt })
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
        let mut tensors = Vec::new();
        self.encoder.save(&mut tensors);
        let margin = self.body.settings.margin;
        let mut meta = Meta { groups: Names::default(), known: vec![], margin };
        if let Some(Learnt { groups, known }) = &self.learnt {
            groups.save(&mut tensors);
            meta.groups = groups.names();
            meta.known = known.iter().map(|k| (k.end, k.class.clone())).collect();
            let embeddings: Vec<f32> =
                known.iter().flat_map(|k| k.embedding.iter().copied()).collect();
            tensors.push(Tensor::flat("known.embeddings", embeddings));
        }
        file::parts(NAME, &self.body, &meta, tensors)
    }

    /// Learns from pairs of the examples, `batch_size` pairs an iteration; goes on from the weights there are.
    /// The oldest 70 % are trained on, training ends early by the next 15 %, and the weights that were best there
    /// are kept; parts share no row. Where either of these two parts has fewer than two normal windows or
    /// anomalies, everything is trained on. At the end all examples become what windows are compared with,
    /// the newest too: see [`SiameseNetwork::compare_with`].
    ///
    /// # Errors
    /// A window is of another size, there is no normal one or no anomaly that is at least half observed, there
    /// are more than 256 kinds or one of a name of more than 256 bytes, or the loss ran away. The network is then as
    /// it was before.
    pub fn train(
        &mut self,
        iterations: usize,
        batch_size: usize,
        data: &[Example<'_>],
    ) -> Result<Training, NetworkError> {
        self.train_while(iterations, batch_size, data, &|| true)
    }

    /// As [`SiameseNetwork::train`], for as long as `keep_going`, asked before each iteration, says so.
    ///
    /// # Errors
    /// As [`SiameseNetwork::train`], and [`NetworkError::Stopped`].
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
        let fine = |part: &[usize]| training::both(data, part, 2).is_ok();
        let parts = training::parts(&self.body, data, usable, course.cuts, fine);
        let scaler = self.body.scaler_for(data, &parts.training);
        let drawer = Drawer::new(data, &parts.training);
        let margin = self.body.settings.margin;
        let mut random = Random::new(self.body.seed);
        let step = |encoder: &Encoder| {
            let pairs = drawer.draw(course.batch_size, &mut random);
            contrastive(encoder, pairs.hidden(&scaler, &mut random), margin)
        };
        let judge = |encoder: &Encoder, places: &[usize]| {
            // The newest examples may well be without an anomaly.
            if training::both(data, places, 1).is_err() {
                return f32::NAN;
            }
            // The same pairs at every look.
            let pairs = Drawer::new(data, places).draw(JUDGED_PAIRS, &mut Random::new(1));
            number(contrastive(encoder, pairs.shown(&scaler), margin))
        };
        let net = self.encoder.clone();
        let (encoder, training) =
            training::run(net, &self.body, course, &parts, data, step, judge)?;
        let body = Body { scaler: Some(scaler.clone()), ..self.body.clone() };
        let mut next = SiameseNetwork { body, encoder, learnt: None };
        next.compare_with(data)?;
        *self = next;
        Ok(training)
    }

    /// Compares windows with these examples from now on, without a training: the mean of each class and the
    /// anomalies remembered are theirs. So an anomaly that was labelled a minute ago counts at once.
    ///
    /// # Errors
    /// A window is of another size, none that is at least half observed is normal or none anomalous, there are
    /// more than 256 kinds or one of a name of more than 256 bytes, or nothing was trained. The network is then as
    /// it was before.
    pub fn compare_with(&mut self, data: &[Example<'_>]) -> Result<(), NetworkError> {
        let usable = self.body.usable(data, |_| true)?;
        training::both(data, &usable, 1)?;
        training::kinds(data, &usable)?;
        let places = training::thinned(data, &usable, training::MOST_MEASURED);
        let windows: Vec<&[f32]> = places.iter().map(|&i| data[i].window).collect();
        let embedded = places.iter().zip(self.embed(&windows)?);
        let embedded: Vec<(usize, Vec<f32>)> =
            embedded.filter_map(|(&place, embedding)| Some((place, embedding?))).collect();
        let classed: Vec<(Class, Vec<f32>)> =
            embedded.iter().map(|(place, e)| (data[*place].class.clone(), e.clone())).collect();
        // What is nearer to a mean than to that of another class, a margin away, belongs to it.
        let half = self.body.settings.margin / 2.0;
        let groups = Groups::of(&classed, self.body.shape.latent, half);
        if !groups.finite() {
            return Err(NetworkError::Diverged);
        }
        let anomalies = embedded.into_iter().filter(|(place, _)| data[*place].class.is_anomaly());
        let mut known: Vec<Known> = anomalies
            .map(|(place, embedding)| {
                let Example { end, class, .. } = &data[place];
                Known { end: *end, class: class.clone(), embedding }
            })
            .collect();
        known.sort_by_key(|known| std::cmp::Reverse(known.end));
        known.truncate(MOST_KNOWN);
        self.learnt = Some(Learnt { groups, known });
        Ok(())
    }

    fn embed(&self, windows: &[&[f32]]) -> Result<Vec<Option<Vec<f32>>>, NetworkError> {
        let encoder = self.encoder.embed();
        let (mut room, per) = (encoder.room(), self.body.shape.window * self.body.shape.inputs);
        self.body.each(windows, |inputs, _| {
            inputs.chunks(per).map(|input| encoder.run(input, &mut room).to_vec()).collect()
        })
    }

    /// What the network makes of each window; none where fewer than half the cells hold a number, or none of the
    /// newest row.
    ///
    /// # Errors
    /// A window is of another size, or nothing was trained or imported.
    pub fn predict(&self, data: &[&[f32]]) -> Result<Vec<Option<Resemblance>>, NetworkError> {
        let learnt = self.learnt.as_ref().ok_or(NetworkError::NotTrained)?;
        let judge = |embedding: Vec<f32>| {
            let distances = learnt.groups.distances(&embedding);
            let Settings { neighbours, margin, .. } = self.body.settings;
            let neighbours = learnt.nearest(&embedding, neighbours);
            // A class may be long rather than round: what lies beside one of its windows is of it.
            let beside = neighbours.first().is_some_and(|n| n.distance <= margin / 2.0);
            let unknown = !beside && !distances.iter().any(ClassDistance::within_reach);
            Resemblance { unknown, distances, neighbours, embedding }
        };
        Ok(self.embed(data)?.into_iter().map(|embedding| embedding.map(judge)).collect())
    }
}

impl Learnt {
    fn nearest(&self, embedding: &[f32], n: usize) -> Vec<Neighbour> {
        let far = |(place, known): (usize, &Known)| (distance(embedding, &known.embedding), place);
        let mut all: Vec<(f32, usize)> = self.known.iter().enumerate().map(far).collect();
        let nearer = |a: &(f32, usize), b: &(f32, usize)| a.0.total_cmp(&b.0);
        if (1..all.len()).contains(&n) {
            all.select_nth_unstable_by(n - 1, nearer);
        }
        all.truncate(n);
        all.sort_by(nearer);
        let neighbour = |(distance, place): (f32, usize)| {
            let Known { end, class, .. } = &self.known[place];
            Neighbour { end: *end, class: class.clone(), distance }
        };
        all.into_iter().map(neighbour).collect()
    }
}

fn fresh(shape: Shape, seed: u64) -> Encoder {
    let Ok(encoder) = Encoder::new(shape, &mut Random::new(seed), &Backend::Flex.device());
    encoder
}

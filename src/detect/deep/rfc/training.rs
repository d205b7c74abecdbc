//! One training: what is held out, how the losses fell.
//!
//! Owns: the report of a training. Does not own: steps (`descent`), losses (each network).

use std::collections::BTreeSet;

use burn::module::Module;
use burn::tensor::Tensor;

use super::body::Body;
use super::body::NetworkError;
use super::data::Cuts;
use super::data::Example;
use super::data::Parts;
use super::data::split;
use super::groups::MAX_KINDS;
use crate::detect;
use crate::detect::deep::descent;
use crate::detect::deep::descent::Overseer;
use crate::detect::deep::descent::descend;
use crate::detect::deep::train::thin;

/// Examples that a held-out loss is measured on, at most: normal ones, and as many anomalies.
const JUDGED: usize = 256;

/// Examples that classes are measured on after training, at most: normal ones, and as many anomalies.
pub(super) const MOST_MEASURED: usize = 4096;

/// Most examples of a minibatch, most iterations.
const MAX_BATCH: usize = 65_536;
const MAX_ITERATIONS: usize = 100_000_000;

/// One look at a training, of about a hundred.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    /// Iterations made.
    pub iteration: usize,
    /// Mean training loss of the iterations since the last look.
    pub loss: f32,
    /// Loss of the held-out examples; of what was trained on, where nothing is held out.
    pub held_out: f32,
}

/// How a training went.
#[derive(Debug, Clone, PartialEq)]
pub struct Training {
    /// The loss curves.
    pub looks: Vec<Look>,
    /// Iteration whose weights were kept: those of the least held-out loss.
    pub best: usize,
    /// Loss of the newest examples, which nothing was chosen by, if any were held out.
    pub test: Option<f32>,
    /// Examples trained on, held out to stop by, and to test on.
    pub examples: [usize; 3],
}

/// How long a network is to be trained.
#[derive(Clone, Copy)]
pub(in crate::detect::deep) struct Course<'a> {
    pub(in crate::detect::deep) iterations: usize,
    pub(in crate::detect::deep) batch_size: usize,
    /// Where parts end; otherwise at 70 % and 85 % of the usable examples.
    pub(in crate::detect::deep) cuts: Option<Cuts>,
    pub(in crate::detect::deep) overseer: Overseer<'a>,
}

impl<'a> Course<'a> {
    /// One that nobody waits for.
    pub(super) fn new(
        iterations: usize,
        batch_size: usize,
        keep_going: &'a dyn Fn() -> bool,
    ) -> Course<'a> {
        let overseer = Overseer { keep_going, stages: &|_| {} };
        Course { iterations, batch_size, cuts: None, overseer }
    }

    pub(super) fn check(&self) -> Result<(), NetworkError> {
        let between = |name: &str, value: usize, most: usize| match value {
            0 => Err(NetworkError::Setting(format!("{name}: 0 is not between 1 and {most}"))),
            v if v > most => {
                Err(NetworkError::Setting(format!("{name}: {v} is not between 1 and {most}")))
            }
            _ => Ok(()),
        };
        between("iterations", self.iterations, MAX_ITERATIONS)?;
        between("batch_size", self.batch_size, MAX_BATCH)
    }
}

/// The parts of the usable examples. All are trained on where nothing is to be held out, or where the older
/// parts would not do as such.
pub(super) fn parts(
    body: &Body,
    data: &[Example<'_>],
    usable: Vec<usize>,
    cuts: Option<Cuts>,
    do_as_such: impl Fn(&[usize]) -> bool,
) -> Parts {
    let parts = split(data, &usable, body.shape.window, cuts);
    let split_fits = do_as_such(&parts.training) && do_as_such(&parts.validation);
    match body.settings.hold_out && split_fits {
        true => parts,
        false => Parts { training: usable, ..Parts::default() },
    }
}

/// Whether `least` of the examples in these places are normal, and as many anomalies; otherwise which are too few.
pub(super) fn both(
    data: &[Example<'_>],
    places: &[usize],
    least: usize,
) -> Result<(), NetworkError> {
    let anomalies = places.iter().filter(|&&i| data[i].class.is_anomaly()).count();
    let few = |have, what| Err(NetworkError::TooFew { have, what, want: least });
    match places.len() - anomalies {
        normal if normal < least => few(normal, "normal windows"),
        _ if anomalies < least => few(anomalies, "anomalous windows"),
        _ => Ok(()),
    }
}

/// The kinds of the anomalies in these places, sorted: no more, and none of a longer name, than a file may hold.
pub(super) fn kinds(data: &[Example<'_>], places: &[usize]) -> Result<Vec<String>, NetworkError> {
    let kinds: BTreeSet<&str> = places.iter().filter_map(|&i| data[i].class.kind()).collect();
    if kinds.len() > MAX_KINDS {
        let n = kinds.len();
        return Err(NetworkError::Setting(format!("{n} kinds of anomaly; at most {MAX_KINDS}")));
    }
    if let Some(kind) = kinds.iter().find(|kind| kind.len() > MAX_KINDS) {
        let begin: String = kind.chars().take(20).collect();
        let n = kind.len();
        let what = format!("a kind \"{begin}…\" of {n} bytes; at most {MAX_KINDS}");
        return Err(NetworkError::Setting(what));
    }
    Ok(kinds.into_iter().map(str::to_string).collect())
}

/// At most so many of the normal ones in these places, and as many of the anomalies.
pub(super) fn thinned(data: &[Example<'_>], places: &[usize], most: usize) -> Vec<usize> {
    let is_anomaly = |i: &usize| data[*i].class.is_anomaly();
    let (anomalies, normal): (Vec<usize>, Vec<usize>) =
        places.iter().copied().partition(is_anomaly);
    [thin(&normal, most), thin(&anomalies, most)].concat()
}

/// Goes down `loss`, which draws its own minibatch; `judge` is the loss of the examples in these places.
pub(super) fn run<N: Module>(
    net: N,
    body: &Body,
    course: &Course<'_>,
    parts: &Parts,
    data: &[Example<'_>],
    loss: impl FnMut(&N) -> Tensor<1>,
    judge: impl Fn(&N, &[usize]) -> f32,
) -> Result<(N, Training), NetworkError> {
    let Parts { training, validation, test } = parts;
    let judged = if validation.is_empty() { training } else { validation };
    let judged = thinned(data, judged, JUDGED);
    let plan = descent::Plan {
        steps: course.iterations,
        rate: body.settings.learning_rate,
        patience: body.settings.patience,
    };
    let held_out = |net: &N| judge(net, &judged);
    let (net, looks) = descend(net, &plan, loss, held_out, course.overseer)?;
    let look = |l: &detect::Look| Look { iteration: l.step, loss: l.loss, held_out: l.held_out };
    let best = looks.iter().min_by(|a, b| a.held_out.total_cmp(&b.held_out)).map_or(0, |l| l.step);
    let tested = (!test.is_empty()).then(|| judge(&net, &thinned(data, test, JUDGED)));
    let training = Training {
        looks: looks.iter().map(look).collect(),
        best,
        test: tested.filter(|loss| loss.is_finite()),
        examples: [training.len(), validation.len(), test.len()],
    };
    Ok((net, training))
}

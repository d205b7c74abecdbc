//! The classifier's network and its loss; the siamese network's loss.
//!
//! Owns: the heads on the encoder, cross-entropies, the contrastive loss. Does not own: what is drawn into a
//! minibatch.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::Device;
use burn::tensor::Tensor;
use burn::tensor::TensorData;
use burn::tensor::activation::log_softmax;
use burn::tensor::activation::relu;

use crate::detect;
use crate::detect::deep::embed;
use crate::detect::deep::embed::Embed;
use crate::detect::deep::embed::ONE;
use crate::detect::deep::embed::Room;
use crate::detect::deep::encoder::Encoder;
use crate::detect::deep::layers::Trained;
use crate::detect::deep::layers::Weights;
use crate::detect::deep::layers::linear;
use crate::detect::deep::layers::save;
use crate::detect::deep::net::Shape;
use crate::math::dense::Dense;

/// An encoder, one logit for an anomaly, and one for each kind of anomaly.
#[derive(Module, Debug)]
pub(super) struct ClassifierNet {
    encoder: Encoder,
    anomaly: Linear,
    kinds: Option<Linear>,
}

/// The same as it scores, without burn.
pub(super) struct Classify {
    encoder: Embed,
    anomaly: Dense,
    kinds: Option<Dense>,
}

/// What the classifier's network makes of a window.
#[derive(Debug, Clone)]
pub(super) struct Logits {
    /// The embedding is the latent vector before the rectifier, so that distances see all of it.
    pub(super) latent: Vec<f32>,
    /// Of an anomaly.
    pub(super) anomaly: f32,
    /// Of each kind of one.
    pub(super) kinds: Vec<f32>,
}

impl Classify {
    /// Room for one window.
    pub(super) fn room(&self) -> Room {
        self.encoder.room()
    }

    /// What the network makes of one window as it reads it; `room` is its own.
    pub(super) fn run(&self, input: &[f32], room: &mut Room) -> Logits {
        let latent = self.encoder.run(input, room).to_vec();
        let seen: Vec<f32> = latent.iter().map(|v| v.max(0.0)).collect();
        let apply = |head: &Dense| {
            let mut out = vec![0.0; head.outputs()];
            head.apply(ONE, 0, &seen, &mut out);
            out
        };
        let anomaly = apply(&self.anomaly)[0];
        Logits { latent, anomaly, kinds: self.kinds.as_ref().map_or(vec![], apply) }
    }
}

/// A minibatch of the classifier.
#[derive(Debug, Clone, Default)]
pub(super) struct Labelled {
    /// `[batch, rows, 2 × features]`.
    pub(super) input: Vec<f32>,
    /// `[batch]`: 1 for an anomaly.
    pub(super) anomaly: Vec<f32>,
    /// `[batch]`: how much that counts.
    pub(super) weight: Vec<f32>,
    /// `[batch, kinds]`: how much the anomaly's kind counts in its own column, 0 elsewhere, and everywhere where
    /// there is none.
    pub(super) kinds: Vec<f32>,
}

impl ClassifierNet {
    pub(super) fn new<W: Weights>(
        shape: Shape,
        kinds: usize,
        weights: &mut W,
        device: &Device,
    ) -> Result<ClassifierNet, W::Error> {
        let encoder = Encoder::new(shape, weights, device)?;
        let anomaly = linear("anomaly", [shape.latent, 1], weights, device)?;
        let kinds = kinds_head(shape, kinds, weights, device)?;
        Ok(ClassifierNet { encoder, anomaly, kinds })
    }

    /// The same with a new head for so many kinds.
    pub(super) fn with_kinds<W: Weights>(
        self,
        kinds: usize,
        weights: &mut W,
    ) -> Result<ClassifierNet, W::Error> {
        let device = self.encoder.device();
        Ok(ClassifierNet {
            kinds: kinds_head(self.encoder.shape(), kinds, weights, &device)?,
            ..self
        })
    }

    /// The network as it scores: the same weights.
    pub(super) fn classify(&self) -> Classify {
        let head = |name: &str, head: &Linear| {
            let mut tensors = Vec::new();
            save(name, head, &mut tensors);
            let size = head.weight.val().dims();
            let Ok(layer) = embed::layer(name, size, &mut Trained(tensors));
            layer
        };
        Classify {
            encoder: self.encoder.embed(),
            anomaly: head("anomaly", &self.anomaly),
            kinds: self.kinds.as_ref().map(|kinds| head("kinds", kinds)),
        }
    }

    /// Weighted binary cross-entropy of the verdict, plus weighted cross-entropy of the kinds over the anomalies
    /// that have one.
    pub(super) fn loss(&self, batch: Labelled) -> Tensor<1> {
        let n = batch.anomaly.len();
        let seen = relu(self.encoder.forward(self.encoder.windows(batch.input)));
        let device = self.encoder.device();
        let column = |data| Tensor::<2>::from_data(TensorData::new(data, [n, 1]), &device);
        let total: f32 = batch.weight.iter().sum();
        let logit = self.anomaly.forward(seen.clone());
        // −y·log σ(x) − (1 − y)·log(1 − σ(x)), in the form that does not overflow.
        let surprise = relu(logit.clone()) - logit.clone() * column(batch.anomaly)
            + (-logit.abs()).exp().add_scalar(1.0).log();
        let verdict = (surprise * column(batch.weight)).sum() / total.max(f32::MIN_POSITIVE);
        let of_kinds: f32 = batch.kinds.iter().sum();
        match &self.kinds {
            Some(kinds) if of_kinds > 0.0 => {
                let k = batch.kinds.len() / n;
                let wanted = Tensor::<2>::from_data(TensorData::new(batch.kinds, [n, k]), &device);
                verdict - (log_softmax(kinds.forward(seen), 1) * wanted).sum() / of_kinds
            }
            _ => verdict,
        }
    }

    /// All weights by name.
    pub(super) fn tensors(&self) -> Vec<detect::Tensor> {
        let mut out = Vec::new();
        self.encoder.save(&mut out);
        save("anomaly", &self.anomaly, &mut out);
        self.kinds.iter().for_each(|kinds| save("kinds", kinds, &mut out));
        out
    }
}

fn kinds_head<W: Weights>(
    shape: Shape,
    kinds: usize,
    weights: &mut W,
    device: &Device,
) -> Result<Option<Linear>, W::Error> {
    match kinds {
        0 => Ok(None),
        n => linear("kinds", [shape.latent, n], weights, device).map(Some),
    }
}

/// Pairs of windows for a siamese network: the i-th of `left` belongs to the i-th of `right`.
#[derive(Debug, Clone, Default)]
pub(super) struct Pairs {
    /// `[pairs, rows, 2 × features]`.
    pub(super) left: Vec<f32>,
    /// `[pairs, rows, 2 × features]`.
    pub(super) right: Vec<f32>,
    /// `[pairs]`: 1 for two of the same class, 0 for two of different ones.
    pub(super) same: Vec<f32>,
}

/// Mean over the pairs of d² for two of the same class and max(0, margin − d)² for two of different ones, d
/// being the Euclidean distance of their embeddings (Hadsell, Chopra, `LeCun`, "Dimensionality Reduction by
/// Learning an Invariant Mapping", 2006). Both windows go through the same weights.
pub(super) fn contrastive(encoder: &Encoder, pairs: Pairs, margin: f32) -> Tensor<1> {
    let n = pairs.same.len();
    let both = encoder.forward(encoder.windows([pairs.left, pairs.right].concat()));
    let off = both.clone().narrow(0, 0, n) - both.narrow(0, n, n);
    let squares = (off.clone() * off).sum_dim(1);
    let different = pairs.same.iter().map(|same| 1.0 - same).collect();
    let column =
        |data: Vec<f32>| Tensor::<2>::from_data(TensorData::new(data, [n, 1]), &encoder.device());
    // A square root has no slope at 0.
    let short = relu(squares.clone().add_scalar(1e-9).sqrt().neg().add_scalar(margin));
    let loss = squares * column(pairs.same) + short.clone() * short * column(different);
    loss.sum() / n.max(1) as f32
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::detect::deep::descent::number;
    use crate::detect::deep::layers::values;
    use crate::math::random::Random;

    const SHAPE: Shape = Shape { window: 4, inputs: 2, outputs: 1, widths: [3, 2], latent: 3 };

    fn input(windows: usize) -> Vec<f32> {
        (0..windows * 8).map(|i| (i as f32 * 0.9).sin()).collect()
    }

    /// Cross-entropies as a textbook writes them, each normalised by the weights that it counts.
    #[test]
    fn the_classifiers_loss_is_two_weighted_cross_entropies() {
        let Ok(net) = ClassifierNet::new(SHAPE, 2, &mut Random::new(1), &Device::flex());
        let batch = Labelled {
            input: input(3),
            anomaly: vec![0.0, 1.0, 1.0],
            weight: vec![0.5, 2.0, 2.0],
            kinds: vec![0.0, 0.0, 0.0, 3.0, 0.0, 0.0],
        };
        let classify = net.classify();
        let run = |input: &[f32]| classify.run(input, &mut classify.room());
        let logits: Vec<Logits> = batch.input.chunks(8).map(run).collect();
        let p: Vec<f32> = logits.iter().map(|l| 1.0 / (1.0 + (-l.anomaly).exp())).collect();
        let verdict = -(0.5 * (1.0 - p[0]).ln() + 2.0 * p[1].ln() + 2.0 * p[2].ln()) / 4.5;
        // The only anomaly whose kind is known is the second window, and it is of the second kind.
        let (a, b) = (logits[1].kinds[0].exp(), logits[1].kinds[1].exp());
        let kind = -(b / (a + b)).ln();
        let loss = number(net.loss(batch.clone()));
        assert!((loss - verdict - kind).abs() < 1e-5, "{loss} {verdict} {kind}");
        let without = Labelled { kinds: vec![0.0; 6], ..batch };
        let loss = number(net.loss(without));
        assert!((loss - verdict).abs() < 1e-5, "{loss} {verdict}");
    }

    #[test]
    fn the_contrastive_loss_has_a_margin() {
        let Ok(encoder) = Encoder::new(SHAPE, &mut Random::new(1), &Device::flex());
        let (left, right) = (input(4)[..16].to_vec(), input(4)[16..].to_vec());
        let embed = |x: &[f32]| values(encoder.forward(encoder.windows(x.to_vec())));
        let (a, b) = (embed(&left), embed(&right));
        let d = |i: usize| -> f32 {
            let both = a[3 * i..3 * i + 3].iter().zip(&b[3 * i..]);
            both.map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt()
        };
        for margin in [0.5 * d(1), 2.0 * d(1)] {
            let pairs = Pairs { left: left.clone(), right: right.clone(), same: vec![1.0, 0.0] };
            let loss = number(contrastive(&encoder, pairs, margin));
            let wanted = (d(0) * d(0) + (margin - d(1)).max(0.0).powi(2)) / 2.0;
            assert!((loss - wanted).abs() < 1e-5, "{loss} {wanted}");
        }
    }
}

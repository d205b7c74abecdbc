//! The convolutional autoencoder's network.
//!
//! Owns: its layers and shape. Does not own: training, scoring, what the channels mean.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::Device;
use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use serde::Deserialize;
use serde::Serialize;

use crate::detect;

use super::device::Backend;
use super::encoder::Encoder;
use super::forward::Forward;
use super::layers::Double;
use super::layers::Trained;
use super::layers::Weights;
use super::layers::linear;
use super::layers::save;
use super::layers::values;
use crate::math::random::Random;

/// Rows that the two halvings look at.
pub(super) const KERNELS: [usize; 2] = [5, 3];

/// The sizes of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// Rows of a window; a multiple of 4, since it is halved twice.
    pub window: usize,
    /// Channels in.
    pub inputs: usize,
    /// Channels out.
    pub outputs: usize,
    /// Channels after the first and the second halving.
    pub widths: [usize; 2],
    /// Length of the latent vector.
    pub latent: usize,
}

impl Shape {
    /// Numbers of a window that was halved twice.
    pub(super) fn flat(&self) -> usize {
        self.window / 4 * self.widths[1]
    }
}

/// What a network makes of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// `[batch, latent]`, row-major.
    pub latent: Vec<f32>,
    /// `[batch, window, outputs]`, row-major.
    pub rebuilt: Vec<f32>,
}

/// Two convolutions, a latent vector, and the way back.
#[derive(Module, Debug)]
pub struct Net {
    encoder: Encoder,
    expand: Linear,
    up1: Double,
    up2: Double,
}

impl Net {
    /// A network with random weights: the same for the same seed, whatever else is running.
    ///
    /// `shape` has a window that is a multiple of 4 and nothing that is 0.
    pub fn random(shape: Shape, seed: u64, backend: Backend) -> Net {
        let Ok(net) = Net::new(shape, &mut Random::new(seed), &backend.device().autodiff());
        net
    }

    /// A network with these weights.
    pub(super) fn new<W: Weights>(
        shape: Shape,
        weights: &mut W,
        device: &Device,
    ) -> Result<Net, W::Error> {
        let Shape { outputs, widths: [wide, narrow], latent, .. } = shape;
        Ok(Net {
            encoder: Encoder::new(shape, weights, device)?,
            expand: linear("expand", [latent, shape.flat()], weights, device)?,
            up1: Double::new("up1", [narrow, wide], weights, device)?,
            up2: Double::new("up2", [wide, outputs], weights, device)?,
        })
    }

    /// The sizes.
    pub fn shape(&self) -> Shape {
        self.encoder.shape()
    }

    /// `[batch, window, inputs]` → `[batch, latent]`.
    pub(super) fn encode(&self, x: Tensor<3>) -> Tensor<2> {
        self.encoder.forward(x)
    }

    /// `[batch, latent]` → `[batch, window, outputs]`.
    pub(super) fn decode(&self, latent: Tensor<2>) -> Tensor<3> {
        let batch = latent.dims()[0];
        let x = relu(self.expand.forward(latent));
        let Shape { window, widths, .. } = self.shape();
        let x = x.reshape([batch, window / 4, widths[1]]);
        let x = relu(self.up1.forward(x));
        self.up2.forward(x)
    }

    /// Runs whole windows, `input` being `[batch, window, inputs]`, row-major.
    pub fn run(&self, input: Vec<f32>) -> Output {
        let latent = self.encode(self.encoder.windows(input));
        Output { latent: values(latent.clone()), rebuilt: values(self.decode(latent)) }
    }

    /// The network as it scores: the same weights, without burn.
    pub fn forward(&self) -> Forward {
        let Ok(forward) = Forward::new(self.shape(), &mut Trained(self.tensors()));
        forward
    }

    /// Where the weights lie.
    pub(super) fn device(&self) -> Device {
        self.encoder.device()
    }

    /// All weights by name.
    pub(super) fn tensors(&self) -> Vec<detect::Tensor> {
        let mut out = Vec::new();
        self.encoder.save(&mut out);
        save("expand", &self.expand, &mut out);
        save("up1", &self.up1.linear, &mut out);
        save("up2", &self.up2.linear, &mut out);
        out
    }
}

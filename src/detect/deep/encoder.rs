//! From a window to a short vector: the half that all networks here share.
//!
//! Owns: its layers. Does not own: what is made of the vector (`net`, `rfc`).

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::Device;
use burn::tensor::Tensor;
use burn::tensor::TensorData;
use burn::tensor::activation::relu;

use crate::detect;

use super::embed::Embed;
use super::layers::Halve;
use super::layers::Trained;
use super::layers::Weights;
use super::layers::linear;
use super::layers::save;
use super::net::KERNELS;
use super::net::Shape;

/// Two convolutions of stride 2, and a linear layer over what is left of the window.
#[derive(Module, Debug)]
pub(super) struct Encoder {
    down1: Halve,
    down2: Halve,
    squeeze: Linear,
    #[module(skip)]
    shape: Shape,
}

impl Encoder {
    /// An encoder with these weights; `shape.outputs` is not its business.
    pub(super) fn new<W: Weights>(
        shape: Shape,
        weights: &mut W,
        device: &Device,
    ) -> Result<Encoder, W::Error> {
        let Shape { inputs, widths: [wide, narrow], latent, .. } = shape;
        Ok(Encoder {
            down1: Halve::new("down1", KERNELS[0], [inputs, wide], weights, device)?,
            down2: Halve::new("down2", KERNELS[1], [wide, narrow], weights, device)?,
            squeeze: linear("squeeze", [shape.flat(), latent], weights, device)?,
            shape,
        })
    }

    /// The sizes.
    pub(super) fn shape(&self) -> Shape {
        self.shape
    }

    /// `[batch, window, inputs]` → `[batch, latent]`.
    pub(super) fn forward(&self, x: Tensor<3>) -> Tensor<2> {
        let batch = x.dims()[0];
        let x = relu(self.down1.forward(x));
        let x = relu(self.down2.forward(x));
        self.squeeze.forward(x.reshape([batch, self.shape.flat()]))
    }

    /// Whole windows as a tensor, `input` being `[batch, window, inputs]`, row-major.
    pub(super) fn windows(&self, input: Vec<f32>) -> Tensor<3> {
        let Shape { window, inputs, .. } = self.shape;
        let batch = input.len() / (window * inputs);
        Tensor::from_data(TensorData::new(input, [batch, window, inputs]), &self.device())
    }

    /// Where the weights lie.
    pub(super) fn device(&self) -> Device {
        self.squeeze.weight.val().device()
    }

    /// The encoder as it scores: the same weights, without burn.
    pub(super) fn embed(&self) -> Embed {
        let mut tensors = Vec::new();
        self.save(&mut tensors);
        let Ok(embed) = Embed::new(self.shape, &mut Trained(tensors));
        embed
    }

    /// Its weights by name.
    pub(super) fn save(&self, out: &mut Vec<detect::Tensor>) {
        save("down1", &self.down1.linear, out);
        save("down2", &self.down2.linear, out);
        save("squeeze", &self.squeeze, out);
    }
}

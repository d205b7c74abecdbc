//! The encoder as scoring runs it: its weights, and a forward pass without burn.
//!
//! Owns: the order of its layers, zero padding. Does not own: the product that every layer is (`math::dense`),
//! training (`encoder`, which has the same layers), what is made of the latent vector (`forward`, `rfc`).
//!
//! One window at a time, every layer into its own piece of a room that is made once. So what a window scores does
//! not depend, not even in the last bit, on what is scored with it.

use crate::detect::Tensor;
use crate::math::dense::Dense;
use crate::math::dense::Rows;

use super::layers::Weights;
use super::net::KERNELS;
use super::net::Shape;

/// The weights of an encoder, ready to run.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Embed {
    shape: Shape,
    down1: Dense,
    down2: Dense,
    squeeze: Dense,
}

/// What lies between the layers, with the zeros that a convolution reads beyond a window's ends.
#[derive(Debug, Clone)]
pub(super) struct Room {
    /// Two rows of zeros, the window, one row of zeros.
    input: Vec<f32>,
    /// A row of zeros, half as many rows.
    halved: Vec<f32>,
    /// A quarter of the rows.
    flat: Vec<f32>,
    pub(super) latent: Vec<f32>,
}

impl Embed {
    /// An encoder with these weights.
    pub(super) fn new<W: Weights>(shape: Shape, weights: &mut W) -> Result<Embed, W::Error> {
        let Shape { inputs, widths: [wide, narrow], latent, .. } = shape;
        Ok(Embed {
            shape,
            down1: layer("down1", [KERNELS[0] * inputs, wide], weights)?,
            down2: layer("down2", [KERNELS[1] * wide, narrow], weights)?,
            squeeze: layer("squeeze", [shape.flat(), latent], weights)?,
        })
    }

    /// The sizes.
    pub(super) fn shape(&self) -> Shape {
        self.shape
    }

    /// Its weights by name.
    pub(super) fn save(&self, out: &mut Vec<Tensor>) {
        save("down1", &self.down1, out);
        save("down2", &self.down2, out);
        save("squeeze", &self.squeeze, out);
    }

    /// Room for one window.
    pub(super) fn room(&self) -> Room {
        let Shape { window, inputs, widths: [wide, narrow], latent, .. } = self.shape;
        Room {
            input: vec![0.0; (window + KERNELS[0] - 2) * inputs],
            halved: vec![0.0; (window / 2 + KERNELS[1] - 2) * wide],
            flat: vec![0.0; window / 4 * narrow],
            latent: vec![0.0; latent],
        }
    }

    /// The latent vector of one window, `[window, inputs]`, row-major. `room` is this encoder's own, or that of
    /// one of the same shape.
    pub(super) fn run<'a>(&self, input: &[f32], room: &'a mut Room) -> &'a [f32] {
        let Shape { window, inputs, widths: [wide, _], .. } = self.shape;
        let Room { input: padded, halved, flat, latent } = room;
        let (before1, before2) = (KERNELS[0] / 2 * inputs, KERNELS[1] / 2 * wide);
        padded[before1..before1 + input.len()].copy_from_slice(input);
        let rows = Rows { count: window / 2, step: 2 * inputs, relu: true };
        self.down1.apply(rows, 0, padded, &mut halved[before2..]);
        let rows = Rows { count: window / 4, step: 2 * wide, relu: true };
        self.down2.apply(rows, 0, halved, flat);
        self.squeeze.apply(ONE, 0, flat, latent);
        latent
    }
}

/// A layer of one row, without a rectifier.
pub(super) const ONE: Rows = Rows { count: 1, step: 0, relu: false };

/// A layer of this name, of `[inputs, outputs]`.
pub(super) fn layer<W: Weights>(
    name: &str,
    size: [usize; 2],
    weights: &mut W,
) -> Result<Dense, W::Error> {
    let weight = weights.tensor(&format!("{name}.weight"), &size, size[0])?;
    let bias = weights.tensor(&format!("{name}.bias"), &size[1..], 0)?;
    Ok(Dense::new(&weight, &bias))
}

/// A layer's tensors under the names that [`layer`] asks for.
pub(super) fn save(name: &str, layer: &Dense, out: &mut Vec<Tensor>) {
    let (weight, bias) = layer.weights();
    let shape = vec![layer.inputs(), layer.outputs()];
    out.push(Tensor { shape, ..Tensor::flat(&format!("{name}.weight"), weight) });
    out.push(Tensor::flat(&format!("{name}.bias"), bias));
}

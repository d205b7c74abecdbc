//! Convolutions over time, as one matrix product each.
//!
//! Owns: unfolding, and the layers' own weights by name. Does not own: how layers are joined.
//!
//! burn's stock convolutions want channels before time and cost two to three times as much as
//! unfolding a channels-last tensor and one `Linear`, which computes the same function.

use std::convert::Infallible;

use burn::module::Module;
use burn::module::Param;
use burn::nn::Linear;
use burn::tensor::Device;
use burn::tensor::Tensor;
use burn::tensor::TensorData;
use burn::tensor::ops::PadMode;

use crate::detect;

use super::random::Random;

/// Where the numbers of a new layer come from.
pub(super) trait Weights {
    /// Why there is no such tensor.
    type Error;

    /// The tensor of this name and shape; `fan_in` inputs add up to one output, 0 for a bias that
    /// starts at zero.
    fn tensor(
        &mut self,
        name: &str,
        shape: &[usize],
        fan_in: usize,
    ) -> Result<Vec<f32>, Self::Error>;
}

/// Uniform in ±√(3 / fan-in), variance one over the fan-in (LeCun et al., Efficient `BackProp`, 1998).
impl Weights for Random {
    type Error = Infallible;

    fn tensor(
        &mut self,
        _: &str,
        shape: &[usize],
        fan_in: usize,
    ) -> Result<Vec<f32>, Infallible> {
        let bound = if fan_in == 0 { 0.0 } else { (3.0 / fan_in as f32).sqrt() };
        Ok((0..shape.iter().product()).map(|_| (2.0 * self.unit() - 1.0) * bound).collect())
    }
}

/// A linear layer `[…, inputs]` → `[…, outputs]`.
pub(super) fn linear<W: Weights>(
    name: &str,
    [inputs, outputs]: [usize; 2],
    weights: &mut W,
    device: &Device,
) -> Result<Linear, W::Error> {
    let weight = weights.tensor(&format!("{name}.weight"), &[inputs, outputs], inputs)?;
    let bias = weights.tensor(&format!("{name}.bias"), &[outputs], 0)?;
    Ok(Linear {
        weight: Param::from_data(TensorData::new(weight, [inputs, outputs]), device),
        bias: Some(Param::from_data(TensorData::new(bias, [outputs]), device)),
    })
}

/// The layer's tensors under the names that [`linear`] asks for.
pub(super) fn save(name: &str, layer: &Linear, out: &mut Vec<detect::Tensor>) {
    out.push(stored(format!("{name}.weight"), layer.weight.val()));
    out.extend(layer.bias.iter().map(|bias| stored(format!("{name}.bias"), bias.val())));
}

fn stored<const D: usize>(name: String, tensor: Tensor<D>) -> detect::Tensor {
    let shape = tensor.dims().to_vec();
    detect::Tensor { name, shape, values: values(tensor) }
}

/// The numbers of a tensor of `f32`, row-major.
pub(super) fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    // Every tensor here was made from `f32`, so the conversion has nothing to object to.
    tensor.into_data().try_to_vec::<f32>().unwrap_or_default()
}

/// A convolution over time with stride 2: `[batch, 2n, channels]` → `[batch, n, outputs]`.
///
/// The kernel is odd and centred, so the padding is half of it.
#[derive(Module, Debug)]
pub(super) struct Halve {
    pub(super) linear: Linear,
    kernel: usize,
}

impl Halve {
    /// A layer of `kernel` rows of `inputs` channels.
    pub(super) fn new<W: Weights>(
        name: &str,
        kernel: usize,
        [inputs, outputs]: [usize; 2],
        weights: &mut W,
        device: &Device,
    ) -> Result<Halve, W::Error> {
        let linear = linear(name, [kernel * inputs, outputs], weights, device)?;
        Ok(Halve { linear, kernel })
    }

    /// `[batch, 2n, channels]` → `[batch, n, outputs]`.
    pub(super) fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let [batch, time, channels] = x.dims();
        let (out, pad) = (time / 2, self.kernel / 2);
        // Rows in pairs, so that a stride of 2 is a slice: `kernel` rows lie in `pairs` of them.
        let pairs = self.kernel.div_ceil(2);
        let padded = 2 * (out - 1 + pairs);
        let x = x.pad([(pad, padded - time - pad), (0, 0)], PadMode::Constant(0.0));
        let x = x.reshape([batch, padded / 2, 2 * channels]);
        let taps = (0..pairs).map(|pair| {
            let width = (self.kernel - 2 * pair).min(2) * channels;
            x.clone().slice([0..batch, pair..pair + out, 0..width])
        });
        let taps = Tensor::cat(taps.collect(), 2);
        let y = self.linear.forward(taps.reshape([batch * out, self.kernel * channels]));
        let outputs = y.dims()[1];
        y.reshape([batch, out, outputs])
    }
}

/// A transposed convolution over time, kernel 4 and stride 2:
/// `[batch, n, channels]` → `[batch, 2n, outputs]`.
///
/// Neighbours t−1 and t give the outputs 2t−1 and 2t; the first and the last of them lie outside.
#[derive(Module, Debug)]
pub(super) struct Double {
    pub(super) linear: Linear,
}

impl Double {
    /// A layer of `inputs` channels.
    pub(super) fn new<W: Weights>(
        name: &str,
        [inputs, outputs]: [usize; 2],
        weights: &mut W,
        device: &Device,
    ) -> Result<Double, W::Error> {
        // Two biases, one for odd and one for even times, where a textbook layer has one.
        Ok(Double { linear: linear(name, [2 * inputs, 2 * outputs], weights, device)? })
    }

    /// `[batch, n, channels]` → `[batch, 2n, outputs]`.
    pub(super) fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let [batch, time, channels] = x.dims();
        let x = x.pad([(1, 1), (0, 0)], PadMode::Constant(0.0));
        let before = x.clone().slice([0..batch, 0..time + 1, 0..channels]);
        let after = x.slice([0..batch, 1..time + 2, 0..channels]);
        let pairs = Tensor::cat(vec![before, after], 2).reshape([batch * (time + 1), 2 * channels]);
        let y = self.linear.forward(pairs);
        let outputs = y.dims()[1] / 2;
        let y = y.reshape([batch, 2 * (time + 1), outputs]);
        y.slice([0..batch, 1..2 * time + 1, 0..outputs])
    }
}

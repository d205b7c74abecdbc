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
use burn::tensor::Int;
use burn::tensor::Tensor;
use burn::tensor::TensorData;

use crate::detect;

use crate::math::random::Random;

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

/// The weights of a network that there is.
pub(super) struct Trained(pub(super) Vec<detect::Tensor>);

impl Weights for Trained {
    type Error = Infallible;

    fn tensor(&mut self, name: &str, shape: &[usize], _: usize) -> Result<Vec<f32>, Infallible> {
        let tensor = self.0.iter_mut().find(|tensor| tensor.name == name);
        match tensor
            .map(|tensor| std::mem::replace(&mut tensor.numbers, detect::Numbers::F32(vec![])))
        {
            Some(detect::Numbers::F32(values)) => Ok(values),
            // There is none: both sides name the same layers, which a test holds.
            _ => Ok(vec![0.0; shape.iter().product()]),
        }
    }
}

/// Uniform in ±√(3 / fan-in), variance one over the fan-in (LeCun et al., Efficient `BackProp`, 1998).
impl Weights for Random {
    type Error = Infallible;

    fn tensor(&mut self, _: &str, shape: &[usize], fan_in: usize) -> Result<Vec<f32>, Infallible> {
        let bound = if fan_in == 0 { 0.0 } else { (3.0 / fan_in as f32).sqrt() };
        Ok((0..shape.iter().product()).map(|_| (2.0 * self.unit_f32() - 1.0) * bound).collect())
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
    detect::Tensor { name, shape, numbers: detect::Numbers::F32(values(tensor)) }
}

/// The numbers of a tensor of `f32`, row-major.
pub(super) fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    // Every tensor here was made from `f32`, so the conversion has nothing to object to.
    tensor.into_data().try_to_vec::<f32>().unwrap_or_default()
}

/// Of every window, the rows `at(0)`, `at(1)`, … `at(count − 1)`, zeros where they lie outside:
/// `[batch, time, channels]` → `[batch · count, channels]`.
///
/// One copy of whole rows, and one addition of whole rows on the way back, where padding, slicing
/// and joining were a dozen.
fn unfold(x: Tensor<3>, count: usize, at: impl Fn(usize) -> Option<usize>) -> Tensor<2> {
    let [batch, time, channels] = x.dims();
    let device = x.device();
    let outside = batch * time;
    let row = |i: usize| match at(i % count) {
        Some(row) if row < time => i / count * time + row,
        _ => outside,
    };
    let rows: Vec<i64> = (0..batch * count).map(|i| row(i) as i64).collect();
    let rows = Tensor::<1, Int>::from_data(TensorData::new(rows, [batch * count]), &device);
    let zeros = Tensor::zeros([1, channels], &device);
    Tensor::cat(vec![x.reshape([outside, channels]), zeros], 0).select(0, rows)
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
        let taps = |i: usize| (2 * (i / self.kernel) + i % self.kernel).checked_sub(pad);
        let taps = unfold(x, out * self.kernel, taps);
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
        let pairs = unfold(x, 2 * (time + 1), |i| (i / 2 + i % 2).checked_sub(1));
        let pairs = pairs.reshape([batch * (time + 1), 2 * channels]);
        let y = self.linear.forward(pairs);
        let outputs = y.dims()[1] / 2;
        let y = y.reshape([batch, 2 * (time + 1), outputs]);
        y.slice([0..batch, 1..2 * time + 1, 0..outputs])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(shape: [usize; 3], device: &Device) -> (Vec<f32>, Tensor<3>) {
        let data: Vec<f32> = (0..shape.iter().product()).map(|i| (i as f32 * 0.7).sin()).collect();
        (data.clone(), Tensor::from_data(TensorData::new(data, shape), device))
    }

    fn close(left: &[f32], right: &[f32]) {
        assert_eq!(left.len(), right.len());
        assert!(left.iter().zip(right).all(|(a, b)| (a - b).abs() < 1e-5), "{left:?} {right:?}");
    }

    /// `out[t] = b + Σ x[2t + tap − kernel/2] · w[tap]`, tap by tap.
    #[test]
    fn halving_is_a_convolution_of_stride_two() {
        let device = Device::flex();
        for (kernel, time, [ci, co]) in
            [(5, 8, [3, 2]), (3, 4, [1, 4]), (3, 2, [2, 2]), (1, 6, [2, 3])]
        {
            let Ok(layer) = Halve::new("x", kernel, [ci, co], &mut Random::new(1), &device);
            let w = values(layer.linear.weight.val());
            let (x, tensor) = ramp([2, time, ci], &device);
            let mut wanted = vec![0.0; 2 * time / 2 * co];
            for (i, out) in wanted.iter_mut().enumerate() {
                let (b, t, o) = (i / (time / 2 * co), i / co % (time / 2), i % co);
                for tap in 0..kernel {
                    let Some(at) = (2 * t + tap).checked_sub(kernel / 2).filter(|&at| at < time)
                    else {
                        continue;
                    };
                    let terms =
                        (0..ci).map(|c| x[(b * time + at) * ci + c] * w[(tap * ci + c) * co + o]);
                    *out += terms.sum::<f32>();
                }
            }
            close(&values(layer.forward(tensor)), &wanted);
        }
    }

    /// Output 2t−1+k gets neighbour t−1 and t through the k-th half of the weights' columns.
    #[test]
    fn doubling_is_a_transposed_convolution() {
        let device = Device::flex();
        let (time, [ci, co]) = (3, [2, 3]);
        let Ok(layer) = Double::new("x", [ci, co], &mut Random::new(1), &device);
        let w = values(layer.linear.weight.val());
        let (x, tensor) = ramp([1, time, ci], &device);
        let at = |t: isize, c: usize| {
            usize::try_from(t).ok().filter(|&t| t < time).map_or(0.0, |t| x[t * ci + c])
        };
        let wanted: Vec<f32> = (0..2 * time * co)
            .map(|i| {
                let (row, o) = (i / co, i % co);
                let (t, k) = (row.div_ceil(2) as isize, (row + 1) % 2);
                let w = |input: usize| w[input * 2 * co + k * co + o];
                (0..ci).map(|c| at(t - 1, c) * w(c) + at(t, c) * w(ci + c)).sum()
            })
            .collect();
        close(&values(layer.forward(tensor)), &wanted);
    }
}

//! The autoencoder's network as scoring runs it: its weights, and a forward pass without burn.
//!
//! Owns: the order of the layers, zero padding, which rows are rebuilt at all. Does not own: the
//! product that every layer is (`math::dense`), training (`net`, which has the same layers).
//!
//! One window at a time, every layer into its own piece of a scratch that is made once. So what a
//! window scores does not depend, not even in the last bit, on what is scored with it.

use crate::detect::Tensor;
use crate::math::dense::Dense;
use crate::math::dense::Rows;

use super::layers::Weights;
use super::net::KERNELS;
use super::net::Shape;

/// The weights of a network, ready to run; `Send + Sync`, shared by as many threads as there are
/// scratches.
#[derive(Debug, Clone, PartialEq)]
pub struct Forward {
    shape: Shape,
    down1: Dense,
    down2: Dense,
    squeeze: Dense,
    expand: Dense,
    up1: Dense,
    up2: Dense,
}

/// What lies between the layers, with the zeros that a convolution reads beyond a window's ends.
#[derive(Debug, Clone)]
pub struct Scratch {
    /// Two rows of zeros, the window, one row of zeros.
    input: Vec<f32>,
    /// A row of zeros, half as many rows.
    halved: Vec<f32>,
    /// A quarter of the rows.
    flat: Vec<f32>,
    latent: Vec<f32>,
    /// A row of zeros, a quarter of the rows, a row of zeros.
    expanded: Vec<f32>,
    /// The same with half the rows.
    grown: Vec<f32>,
    /// A row that means nothing, the rebuilt window, another one.
    rebuilt: Vec<f32>,
}

/// What the network makes of one window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Made<'a> {
    /// `[latent]`.
    pub latent: &'a [f32],
    /// `[newest, outputs]`, row-major: the rows that were asked for.
    pub rebuilt: &'a [f32],
}

impl Forward {
    /// A network with these weights.
    ///
    /// # Errors
    /// As `weights`.
    pub(super) fn new<W: Weights>(shape: Shape, weights: &mut W) -> Result<Forward, W::Error> {
        let [down1, down2, squeeze, expand, up1, up2] = sizes(shape);
        let mut layer = |name: &str, size: [usize; 2]| {
            let weight = weights.tensor(&format!("{name}.weight"), &size, size[0])?;
            let bias = weights.tensor(&format!("{name}.bias"), &size[1..], 0)?;
            Ok(Dense::new(&weight, &bias))
        };
        Ok(Forward {
            shape,
            down1: layer("down1", down1)?,
            down2: layer("down2", down2)?,
            squeeze: layer("squeeze", squeeze)?,
            expand: layer("expand", expand)?,
            up1: layer("up1", up1)?,
            up2: layer("up2", up2)?,
        })
    }

    /// The sizes.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// All weights by name, in the order of `Net::tensors`.
    pub fn tensors(&self) -> Vec<Tensor> {
        let Forward { down1, down2, squeeze, expand, up1, up2, .. } = self;
        let layers = [
            ("down1", down1),
            ("down2", down2),
            ("squeeze", squeeze),
            ("expand", expand),
            ("up1", up1),
            ("up2", up2),
        ];
        let mut out = Vec::with_capacity(2 * layers.len());
        for (name, layer) in layers {
            let (weight, bias) = layer.weights();
            let shape = vec![layer.inputs(), layer.outputs()];
            out.push(Tensor { shape, ..Tensor::flat(&format!("{name}.weight"), weight) });
            out.push(Tensor::flat(&format!("{name}.bias"), bias));
        }
        out
    }

    /// Room for one window.
    pub fn scratch(&self) -> Scratch {
        let Shape { window, inputs, outputs, widths: [wide, narrow], latent } = self.shape;
        let zeros = |rows: usize, channels: usize| vec![0.0; rows * channels];
        Scratch {
            input: zeros(window + KERNELS[0] - 2, inputs),
            halved: zeros(window / 2 + KERNELS[1] - 2, wide),
            flat: zeros(window / 4, narrow),
            latent: zeros(1, latent),
            expanded: zeros(window / 4 + 2, narrow),
            grown: zeros(window / 2 + 2, wide),
            rebuilt: zeros(window + 2, outputs),
        }
    }

    /// Runs one window: `input` is `[window, inputs]`, row-major, and `newest` says how many of the
    /// newest rows to rebuild, at most all. Few cost about half as much as all.
    ///
    /// `scratch` is this network's own, or that of one of the same shape.
    pub fn run<'a>(&self, input: &[f32], newest: usize, scratch: &'a mut Scratch) -> Made<'a> {
        self.encode(input, scratch);
        self.decode(newest, scratch);
        let Shape { window, outputs, .. } = self.shape;
        let rows = window + 1 - newest.min(window)..window + 1;
        let rebuilt = &scratch.rebuilt[rows.start * outputs..rows.end * outputs];
        Made { latent: &scratch.latent, rebuilt }
    }

    fn encode(&self, input: &[f32], scratch: &mut Scratch) {
        let Shape { window, inputs, widths: [wide, _], .. } = self.shape;
        let Scratch { input: padded, halved, flat, latent, .. } = scratch;
        let (before1, before2) = (KERNELS[0] / 2 * inputs, KERNELS[1] / 2 * wide);
        padded[before1..before1 + input.len()].copy_from_slice(input);
        let rows = Rows { count: window / 2, step: 2 * inputs, relu: true };
        self.down1.apply(rows, 0, padded, &mut halved[before2..]);
        let rows = Rows { count: window / 4, step: 2 * wide, relu: true };
        self.down2.apply(rows, 0, halved, flat);
        self.squeeze.apply(Rows { count: 1, step: 0, relu: false }, 0, flat, latent);
    }

    /// Neighbours t−1 and t of one layer give rows 2t−1 and 2t of the next, so from the last layer
    /// back, the first pair that is needed is half the first row.
    fn decode(&self, newest: usize, scratch: &mut Scratch) {
        let Shape { window, outputs, widths: [wide, narrow], .. } = self.shape;
        let Scratch { latent, expanded, grown, rebuilt, .. } = scratch;
        let pair2 = window.saturating_sub(newest).div_ceil(2);
        let pair1 = pair2.saturating_sub(1).div_ceil(2);
        let from = pair1.saturating_sub(1) * narrow;
        let rows = Rows { count: 1, step: 0, relu: true };
        self.expand.apply(rows, from, latent, &mut expanded[narrow..]);
        let rows = Rows { count: window / 4 + 1 - pair1, step: narrow, relu: true };
        self.up1.apply(rows, 0, &expanded[pair1 * narrow..], &mut grown[2 * pair1 * wide..]);
        // The first and the last row lie outside of the window, where the next layer reads zeros.
        grown[..wide].fill(0.0);
        grown[(window / 2 + 1) * wide..].fill(0.0);
        let rows = Rows { count: window / 2 + 1 - pair2, step: wide, relu: false };
        self.up2.apply(rows, 0, &grown[pair2 * wide..], &mut rebuilt[2 * pair2 * outputs..]);
    }
}

/// Inputs and outputs of the six layers, in order.
fn sizes(shape: Shape) -> [[usize; 2]; 6] {
    let Shape { window, inputs, outputs, widths: [wide, narrow], latent } = shape;
    let flat = window / 4 * narrow;
    [
        [KERNELS[0] * inputs, wide],
        [KERNELS[1] * wide, narrow],
        [flat, latent],
        [latent, flat],
        [2 * narrow, 2 * wide],
        [2 * wide, 2 * outputs],
    ]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::device::Backend;
    use super::super::net::Net;
    use super::*;

    /// The largest difference, relative to the largest number that should have come out.
    fn difference(ours: &[f32], burns: &[f32]) -> f32 {
        assert_eq!(ours.len(), burns.len());
        let largest = burns.iter().fold(0.0f32, |most, v| most.max(v.abs()));
        let apart = ours.iter().zip(burns).fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
        apart / largest.max(f32::MIN_POSITIVE)
    }

    fn wave(n: usize, seed: u64) -> Vec<f32> {
        (0..n).map(|i| (i as f32 * 0.37 + seed as f32).sin()).collect()
    }

    /// Three windows, whole, and the newest rows of the last one.
    fn check(shape: Shape, newest: usize, seed: u64, backend: Backend) {
        let net = Net::random(shape, seed, backend);
        let forward = net.forward();
        let per = shape.window * shape.inputs;
        let input = wave(3 * per, seed);
        let burns = net.run(input.clone());
        let mut scratch = forward.scratch();
        let (mut latent, mut rebuilt) = (Vec::new(), Vec::new());
        for window in input.chunks(per) {
            let made = forward.run(window, shape.window, &mut scratch);
            latent.extend_from_slice(made.latent);
            rebuilt.extend_from_slice(made.rebuilt);
        }
        assert!(difference(&latent, &burns.latent) < 1e-5, "{shape:?}");
        assert!(difference(&rebuilt, &burns.rebuilt) < 1e-5, "{shape:?}");
        let newest = newest.min(shape.window);
        let alone = forward.run(&input[2 * per..], newest, &mut forward.scratch()).rebuilt.to_vec();
        let apart = difference(&alone, &rebuilt[rebuilt.len() - newest * shape.outputs..]);
        assert!(apart < 1e-5, "{shape:?}, {newest}");
        assert_eq!(forward.tensors(), net.tensors());
    }

    fn shapes() -> impl Strategy<Value = Shape> {
        let widths = prop_oneof![1usize..=64, Just(16), Just(32), Just(48), Just(64)];
        (1usize..=32, 1usize..=60, widths.clone(), widths.clone(), widths).prop_map(
            |(quarter, features, wide, narrow, latent)| Shape {
                window: 4 * quarter,
                inputs: 2 * features,
                outputs: features,
                widths: [wide, narrow],
                latent,
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]

        #[test]
        fn it_is_burns_network(shape in shapes(), newest in 1usize..9, seed in 0u64..100) {
            check(shape, newest, seed, Backend::Flex);
        }
    }

    #[test]
    fn and_the_other_backends() {
        for (quarter, features, widths) in
            [(1, 1, [1, 1]), (8, 45, [32, 16]), (16, 16, [32, 16]), (32, 60, [64, 64])]
        {
            let (window, inputs) = (4 * quarter, 2 * features);
            let shape = Shape { window, inputs, outputs: features, widths, latent: 8 };
            check(shape, 3, 7, Backend::Ndarray);
        }
    }
}

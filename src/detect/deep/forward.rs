//! The autoencoder's network as scoring runs it: its weights, and a forward pass without burn.
//!
//! Owns: the order of the decoder's layers, which rows are rebuilt at all. Does not own: the encoder (`embed`),
//! the product that every layer is (`math::dense`), training (`net`, which has the same layers).
//!
//! One window at a time, every layer into its own piece of a scratch that is made once. So what a
//! window scores does not depend, not even in the last bit, on what is scored with it.

use crate::detect::Tensor;
use crate::math::dense::Dense;
use crate::math::dense::Rows;

use super::embed::Embed;
use super::embed::Room;
use super::embed::layer;
use super::embed::save;
use super::layers::Weights;
use super::net::Shape;

/// The weights of a network, ready to run; `Send + Sync`, shared by as many threads as there are
/// scratches.
#[derive(Debug, Clone, PartialEq)]
pub struct Forward {
    encoder: Embed,
    expand: Dense,
    up1: Dense,
    up2: Dense,
}

/// What lies between the layers, with the zeros that a convolution reads beyond a window's ends.
#[derive(Debug, Clone)]
pub struct Scratch {
    encoder: Room,
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
        let Shape { outputs, widths: [wide, narrow], latent, .. } = shape;
        Ok(Forward {
            encoder: Embed::new(shape, weights)?,
            expand: layer("expand", [latent, shape.flat()], weights)?,
            up1: layer("up1", [2 * narrow, 2 * wide], weights)?,
            up2: layer("up2", [2 * wide, 2 * outputs], weights)?,
        })
    }

    /// The sizes.
    pub fn shape(&self) -> Shape {
        self.encoder.shape()
    }

    /// All weights by name, in the order of `Net::tensors`.
    pub fn tensors(&self) -> Vec<Tensor> {
        let mut out = Vec::new();
        self.encoder.save(&mut out);
        save("expand", &self.expand, &mut out);
        save("up1", &self.up1, &mut out);
        save("up2", &self.up2, &mut out);
        out
    }

    /// Room for one window.
    pub fn scratch(&self) -> Scratch {
        let Shape { window, outputs, widths: [wide, narrow], .. } = self.shape();
        let zeros = |rows: usize, channels: usize| vec![0.0; rows * channels];
        Scratch {
            encoder: self.encoder.room(),
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
        self.encoder.run(input, &mut scratch.encoder);
        self.decode(newest, scratch);
        let Shape { window, outputs, .. } = self.shape();
        let rows = window + 1 - newest.min(window)..window + 1;
        let rebuilt = &scratch.rebuilt[rows.start * outputs..rows.end * outputs];
        Made { latent: &scratch.encoder.latent, rebuilt }
    }

    /// Neighbours t−1 and t of one layer give rows 2t−1 and 2t of the next, so from the last layer
    /// back, the first pair that is needed is half the first row.
    fn decode(&self, newest: usize, scratch: &mut Scratch) {
        let Shape { window, outputs, widths: [wide, narrow], .. } = self.shape();
        let Scratch { encoder: Room { latent, .. }, expanded, grown, rebuilt } = scratch;
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

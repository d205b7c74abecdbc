//! Random trees that isolate points: few cuts isolate what lies alone.
//!
//! Owns: growing, scoring, and the numbers of a forest. Does not own: the features.
//!
//! Liu, Ting, Zhou: Isolation Forest (2008), as scikit-learn has it: samples without replacement, a
//! random feature among those that vary in the node, a cut uniform in its range there, depth at most
//! ⌈log₂ sample⌉, and the score 2^(−E(h)/c(sample)). A tree is a heap of full depth, so that the way to
//! a leaf has no branch; below a leaf that is higher up, every place has its path length.

use crate::detect::RestoreError;
use crate::detect::Tensor;
use crate::detect::Tensors;
use crate::detect::residuals::FEATURES;
use crate::math::random::Random;
use crate::math::simd;

/// Points of a tree.
pub(super) const SAMPLE: usize = 256;
/// Cuts on the way to the lowest leaf, and places in a heap: the root is 1, and there are as many leaves.
const DEPTH: usize = 8;
const PLACES: usize = 1 << DEPTH;
/// Rows that go down a tree side by side.
const LANES: usize = 16;

/// A point.
pub(super) type Row = [f32; FEATURES];

/// One tree.
#[derive(Debug, Clone, PartialEq)]
struct Tree {
    feature: [u8; PLACES],
    /// Larger values go right.
    threshold: [f32; PLACES],
    /// By leaf: cuts on the way, and those that would still isolate the points in it.
    path: [f32; PLACES],
}

/// A fitted forest.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Forest {
    sample: usize,
    trees: Vec<Tree>,
}

/// Mean path length of an unsuccessful search in a binary tree of `n` points: c(n).
pub(super) fn expected_path(n: usize) -> f64 {
    const EULER: f64 = 0.577_215_664_901_532_9;
    match n {
        0 | 1 => 0.0,
        2 => 1.0,
        _ => 2.0 * ((n as f64 - 1.0).ln() + EULER) - 2.0 * (n as f64 - 1.0) / n as f64,
    }
}

impl Forest {
    /// Grows trees, each on a sample of the rows, of which there is at least one; `None` if it was to
    /// stop.
    pub(super) fn grow(
        rows: &[Row],
        n_trees: usize,
        seed: u64,
        keep_going: &dyn Fn() -> bool,
    ) -> Option<Forest> {
        let mut random = Random::new(seed);
        let sample = rows.len().min(SAMPLE);
        let paths: Vec<f32> = (0..=SAMPLE).map(|n| expected_path(n) as f32).collect();
        let mut order: Vec<u32> = (0..rows.len() as u32).collect();
        let mut points = Vec::with_capacity(sample);
        let mut trees = Vec::with_capacity(n_trees);
        for _ in 0..n_trees {
            if trees.len() % 64 == 0 && !keep_going() {
                return None;
            }
            points.clear();
            for i in 0..sample {
                // Fisher and Yates, whatever order the last tree left.
                order.swap(i, i + random.below(rows.len() - i));
                points.push(rows[order[i] as usize]);
            }
            trees.push(simd::widest(Grow {
                points: &mut points,
                random: &mut random,
                paths: &paths,
            }));
        }
        Some(Forest { sample, trees })
    }

    /// scikit-learn's score of each row, in 0..1; about ½ is usual, near 1 lies alone.
    pub(super) fn scores(&self, rows: &[Row]) -> Vec<f64> {
        let usual = self.trees.len() as f64 * expected_path(self.sample).max(1.0);
        let score = |path: f32| (-f64::from(path) / usual).exp2();
        let mut scores = Vec::with_capacity(rows.len());
        for block in rows.chunks(LANES) {
            let mut lanes = [[0.0; FEATURES]; LANES];
            lanes[..block.len()].copy_from_slice(block);
            let paths = simd::widest(Descend { trees: &self.trees, rows: &lanes });
            scores.extend(paths[..block.len()].iter().map(|path| score(*path)));
        }
        scores
    }

    /// Points of each tree.
    pub(super) fn sample(&self) -> usize {
        self.sample
    }

    /// What has to be stored.
    pub(super) fn tensors(&self) -> Vec<Tensor> {
        let trees = &self.trees;
        vec![
            Tensor::flat("feature", trees.iter().flat_map(|t| t.feature).collect()),
            Tensor::flat("threshold", trees.iter().flat_map(|t| t.threshold).collect()),
            Tensor::flat("path", trees.iter().flat_map(|t| t.path).collect()),
        ]
    }

    /// The forest that the tensors came from.
    ///
    /// # Errors
    /// They are not those of a forest.
    pub(super) fn restore(sample: usize, tensors: &mut Tensors) -> Result<Forest, RestoreError> {
        let fail = |what: &str| RestoreError(format!("isolation forest: {what}"));
        let feature = tensors.take_flat::<u8>("feature")?;
        let n = feature.len();
        let (threshold, path) =
            (tensors.take::<f32>("threshold", &[n])?, tensors.take::<f32>("path", &[n])?);
        if n == 0 || !n.is_multiple_of(PLACES) || !(1..=SAMPLE).contains(&sample) {
            return Err(fail("wanted whole trees, on a sample of 1 to 256"));
        }
        if feature.iter().any(|&f| usize::from(f) >= FEATURES) || path.iter().any(|&p| p < 0.0) {
            return Err(fail("wanted features 0 to 3, and paths not below zero"));
        }
        let (feature, threshold) =
            (feature.as_chunks::<PLACES>().0, threshold.as_chunks::<PLACES>().0);
        let cuts = feature.iter().zip(threshold).zip(path.as_chunks::<PLACES>().0);
        let tree = |((feature, threshold), path): ((&[u8; _], &[f32; _]), &[f32; _])| Tree {
            feature: *feature,
            threshold: *threshold,
            path: *path,
        };
        Ok(Forest { sample, trees: cuts.map(tree).collect() })
    }
}

/// Path lengths of sixteen rows, summed over trees.
struct Descend<'a> {
    trees: &'a [Tree],
    rows: &'a [Row; LANES],
}

impl simd::Kernel for Descend<'_> {
    type Output = [f32; LANES];

    #[inline(always)]
    fn run<const FMA: bool>(self) -> [f32; LANES] {
        let mut sums = [0.0; LANES];
        for tree in self.trees {
            // A place is eight bits: it cannot leave the heap, and after eight cuts it is the leaf's.
            let mut places = [1u8; LANES];
            for _ in 0..DEPTH {
                for (place, row) in places.iter_mut().zip(self.rows) {
                    let at = usize::from(*place);
                    let value = row[usize::from(tree.feature[at]) % FEATURES];
                    *place = (*place << 1) | u8::from(value > tree.threshold[at]);
                }
            }
            for (sum, place) in sums.iter_mut().zip(places) {
                *sum += tree.path[usize::from(place)];
            }
        }
        sums
    }
}

/// Grows one tree, reordering its points.
struct Grow<'a> {
    points: &'a mut [Row],
    random: &'a mut Random,
    paths: &'a [f32],
}

/// Points that are still together, and where.
#[derive(Clone, Copy)]
struct Node {
    place: usize,
    depth: usize,
    start: usize,
    end: usize,
}

impl simd::Kernel for Grow<'_> {
    type Output = Tree;

    #[inline(always)]
    fn run<const FMA: bool>(self) -> Tree {
        let mut tree =
            Tree { feature: [0; PLACES], threshold: [f32::MAX; PLACES], path: [0.0; PLACES] };
        let root = Node { place: 1, depth: 0, start: 0, end: self.points.len() };
        let mut open = [root; DEPTH + 2];
        let mut n_open = 1;
        while n_open > 0 {
            n_open -= 1;
            let node = open[n_open];
            let points = &mut self.points[node.start..node.end];
            let cut = if node.depth < DEPTH { cut(points, self.random) } else { None };
            let Some((feature, threshold)) = cut else {
                let path = node.depth as f32 + self.paths[points.len().min(SAMPLE)];
                let width = 1 << (DEPTH - node.depth);
                let first = node.place * width - PLACES;
                tree.path[first..first + width].fill(path);
                continue;
            };
            tree.feature[node.place] = feature as u8;
            tree.threshold[node.place] = threshold;
            let middle = node.start + partition(points, feature, threshold);
            let (place, depth) = (2 * node.place, node.depth + 1);
            open[n_open] = Node { place, depth, start: node.start, end: middle };
            open[n_open + 1] = Node { place: place + 1, depth, start: middle, end: node.end };
            n_open += 2;
        }
        tree
    }
}

/// A feature that varies, and a threshold in its range: at least the smallest, below the largest value.
#[inline(always)]
fn cut(points: &[Row], random: &mut Random) -> Option<(usize, f32)> {
    let (mut low, mut high) = (*points.first()?, *points.first()?);
    for point in points {
        for k in 0..FEATURES {
            low[k] = if point[k] < low[k] { point[k] } else { low[k] };
            high[k] = if point[k] > high[k] { point[k] } else { high[k] };
        }
    }
    let mut varying = [0; FEATURES];
    let mut n = 0;
    for k in 0..FEATURES {
        varying[n] = k;
        n += usize::from(high[k] > low[k]);
    }
    let bits = random.next_u64();
    if n == 0 {
        return None;
    }
    let feature = varying[((bits >> 32) * n as u64 >> 32) as usize];
    let unit = (bits as u32 >> 8) as f32 / (1u32 << 24) as f32;
    let threshold = low[feature] + unit * (high[feature] - low[feature]);
    Some((feature, if threshold < high[feature] { threshold } else { low[feature] }))
}

/// Brings the points up to the threshold to the front; how many they are.
#[inline(always)]
fn partition(points: &mut [Row], feature: usize, threshold: f32) -> usize {
    let mut n_left = 0;
    for i in 0..points.len() {
        let point = points[i];
        // Without a branch: which side it is on cannot be foretold.
        points[i] = points[n_left];
        points[n_left] = point;
        n_left += usize::from(point[feature] <= threshold);
    }
    n_left
}

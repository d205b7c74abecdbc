//! Random trees that isolate points: few cuts isolate what lies alone.
//!
//! Owns: growing, scoring, and the numbers of a forest. Does not own: the features.
//!
//! Liu, Ting, Zhou: Isolation Forest (2008), as scikit-learn has it: samples without replacement, a
//! random feature among those that vary in the node, a cut uniform in its range there, depth at most
//! ⌈log₂ sample⌉, and the score 2^(−E(h)/c(sample)). A tree is a heap of full depth, so that the way to
//! a leaf has no branch; below a leaf that is higher up, all go left.
//!
//! Numbers are compared as whole ones without a sign, in the same order. The two lowest bits of a cut name its feature,
//! those of a value are zero: one comparison, one number to fetch, and 22 bits of a value that count.

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
/// Rows that are scored by one tree before the next: both fit the nearest cache.
const BLOCK: usize = 1024;
/// Rows that go down a tree side by side.
const LANES: usize = 8;

/// Bits of a cut that name its feature.
const NAME: u32 = FEATURES as u32 - 1;
/// The bit of a sign.
const SIGN: u32 = 1 << 31;
/// The cut of a place that has none.
const NO_CUT: u32 = (f32::MAX.to_bits() | SIGN) & !NAME;

/// A point.
pub(super) type Row = [f32; FEATURES];

/// A point's values as whole numbers.
type Keys = [u32; FEATURES];

/// One tree.
#[derive(Debug, Clone, PartialEq)]
struct Tree {
    /// The threshold's key and the feature; larger values go right.
    cut: [u32; PLACES],
    /// By leaf: cuts on the way, and those that would still isolate the points in it; 0 where nobody comes.
    path: [f32; PLACES],
}

impl Tree {
    /// A tree without a cut.
    const BARE: Tree = Tree { cut: [NO_CUT; PLACES], path: [0.0; PLACES] };
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

/// The whole number of a value; of two, the larger one's is the larger, or the same. None is beyond what
/// goes left where there is no cut.
#[inline(always)]
fn key(value: f32) -> u32 {
    let bits = (value + 0.0).to_bits(); // −0 is 0
    ((if bits & SIGN == 0 { bits | SIGN } else { !bits }) & !NAME).min(NO_CUT)
}

/// The value of a key, or of a cut.
#[inline(always)]
fn value(key: u32) -> f32 {
    let key = key & !NAME;
    f32::from_bits(if key & SIGN == 0 { !key & !NAME } else { key & !SIGN })
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
        let keys: Vec<Keys> = rows.iter().map(|row| row.map(key)).collect();
        let mut order: Vec<u32> = (0..rows.len() as u32).collect();
        let mut points = [vec![Keys::default(); sample], vec![Keys::default(); sample]];
        let mut trees = vec![Tree::BARE; n_trees];
        for (n, tree) in trees.iter_mut().enumerate() {
            if n % 64 == 0 && !keep_going() {
                return None;
            }
            for (i, point) in points[0].iter_mut().enumerate() {
                // Fisher and Yates, whatever order the last tree left.
                order.swap(i, i + random.below(rows.len() - i));
                *point = keys[order[i] as usize];
            }
            let points = points.each_mut().map(Vec::as_mut_slice);
            simd::widest(Grow { tree, points, random: &mut random, paths: &paths });
        }
        Some(Forest { sample, trees })
    }

    /// scikit-learn's score of each row, in 0..1; about ½ is usual, near 1 lies alone.
    pub(super) fn scores(&self, rows: &[Row]) -> Vec<f64> {
        let usual = self.trees.len() as f64 * expected_path(self.sample).max(1.0);
        let score = |path: f32| (-f64::from(path) / usual).exp2();
        let keys: Vec<Keys> = rows.iter().map(|row| row.map(key)).collect();
        let mut paths = vec![0.0; rows.len()];
        for (rows, paths) in keys.chunks(BLOCK).zip(paths.chunks_mut(BLOCK)) {
            simd::widest(Descend { trees: &self.trees, rows, paths });
        }
        paths.into_iter().map(score).collect()
    }

    /// Points of each tree.
    pub(super) fn sample(&self) -> usize {
        self.sample
    }

    /// What has to be stored.
    pub(super) fn tensors(&self) -> Vec<Tensor> {
        let trees = &self.trees;
        let cuts = || trees.iter().flat_map(|tree| tree.cut);
        vec![
            Tensor::flat("feature", cuts().map(|cut| (cut & NAME) as u8).collect()),
            Tensor::flat("threshold", cuts().map(value).collect()),
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
        let cuts: Vec<u32> =
            threshold.iter().zip(feature).map(|(t, f)| key(*t) | u32::from(f)).collect();
        let trees = cuts.as_chunks().0.iter().zip(path.as_chunks().0);
        Ok(Forest {
            sample,
            trees: trees.map(|(cut, path)| Tree { cut: *cut, path: *path }).collect(),
        })
    }
}

/// Path lengths of rows, added up over trees.
struct Descend<'a> {
    trees: &'a [Tree],
    rows: &'a [Keys],
    paths: &'a mut [f32],
}

impl simd::Kernel for Descend<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let (rows, rows_rest) = self.rows.as_chunks::<LANES>();
        let (paths, paths_rest) = self.paths.as_chunks_mut::<LANES>();
        for tree in self.trees {
            for (rows, paths) in rows.iter().zip(&mut *paths) {
                descend(tree, rows, paths);
            }
            for (row, path) in rows_rest.iter().zip(&mut *paths_rest) {
                descend(tree, std::array::from_ref(row), std::array::from_mut(path));
            }
        }
    }
}

/// Rows go down a tree side by side: none waits for its own last step.
#[inline(always)]
fn descend<const N: usize>(tree: &Tree, rows: &[Keys; N], paths: &mut [f32; N]) {
    // The remainders change nothing: they say that no place is outside of the heap.
    let mut places = [1u32; N];
    for _ in 0..DEPTH {
        for (place, row) in places.iter_mut().zip(rows) {
            let cut = tree.cut[*place as usize % PLACES];
            let right = cut < row[(cut & NAME) as usize];
            *place = *place + *place + u32::from(right);
        }
    }
    for (path, place) in paths.iter_mut().zip(places) {
        *path += tree.path[place as usize % PLACES];
    }
}

/// Grows one tree.
struct Grow<'a> {
    tree: &'a mut Tree,
    /// Those of nodes of even depth, and room for those of odd depth.
    points: [&'a mut [Keys]; 2],
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
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(mut self) {
        let root = Node { place: 1, depth: 0, start: 0, end: self.points[0].len() };
        let mut open = [root; DEPTH + 2];
        let mut n_open = 1;
        while n_open > 0 {
            n_open -= 1;
            let node = open[n_open];
            let Some(children) = self.part(node) else {
                self.leaf(node);
                continue;
            };
            for child in children {
                open[n_open] = child;
                if child.end - child.start > 1 && child.depth < DEPTH {
                    n_open += 1;
                } else {
                    self.leaf(child);
                }
            }
        }
    }
}

impl Grow<'_> {
    /// Cuts a node; none where its points are all alike.
    #[inline(always)]
    fn part(&mut self, node: Node) -> Option<[Node; 2]> {
        let Node { place, depth, start, end } = node;
        let [even, odd] = &mut self.points;
        let (from, to) = if depth % 2 == 0 { (even, odd) } else { (odd, even) };
        let from = &from[start..end];
        let cut = cut(from, self.random)?;
        self.tree.cut[place % PLACES] = cut;
        let middle = start
            + if depth + 1 < DEPTH {
                partition(from, &mut to[start..end], cut)
            } else {
                // Nothing below asks which they are, only how many.
                from.iter().filter(|point| is_left(point, cut)).count()
            };
        let (place, depth) = (2 * place, depth + 1);
        let left = Node { place, depth, start, end: middle };
        Some([left, Node { place: place + 1, depth, start: middle, end }])
    }

    #[inline(always)]
    fn leaf(&mut self, Node { place, depth, start, end }: Node) {
        let first = place << (DEPTH - depth);
        self.tree.path[first % PLACES] = depth as f32 + self.paths[end - start];
    }
}

/// A cut by a feature that varies: at least at its smallest value, below its largest.
#[inline(always)]
fn cut(points: &[Keys], random: &mut Random) -> Option<u32> {
    let mut features: [usize; FEATURES] = std::array::from_fn(|feature| feature);
    for k in 0..FEATURES {
        // Drawn one after the other until one varies, as nearly always the first does.
        let bits = random.next_u64();
        let other = k + (((bits >> 32) * (FEATURES - k) as u64) >> 32) as usize;
        features.swap(k, other % FEATURES);
        let (low, high) = range(points, features[k]);
        if low < high {
            let unit = (bits as u32 >> 8) as f32 / (1u32 << 24) as f32;
            let threshold = key(value(low) + unit * (value(high) - value(low)));
            let threshold = if threshold < high { threshold.max(low) } else { low };
            return Some(threshold | features[k] as u32);
        }
    }
    None
}

/// The least and the largest value of a feature.
#[inline(always)]
fn range(points: &[Keys], feature: usize) -> (u32, u32) {
    let values = points.iter().map(|point| point[feature % FEATURES]);
    values.fold((u32::MAX, 0), |(low, high), value| (low.min(value), high.max(value)))
}

#[inline(always)]
fn is_left(point: &Keys, cut: u32) -> bool {
    point[(cut & NAME) as usize] <= cut
}

/// Writes the points up to the cut to the front of `to`, the others to its end; how many the first are.
#[inline(always)]
fn partition(from: &[Keys], to: &mut [Keys], cut: u32) -> usize {
    let last = from.len() - 1;
    let mut n_left = 0;
    for (i, point) in from.iter().enumerate() {
        let left = usize::from(is_left(point, cut));
        // To both ends of what is still free, of which one is kept: which side it is on cannot be foretold.
        to[n_left] = *point;
        to[last + n_left - i] = *point;
        n_left += left;
    }
    n_left
}

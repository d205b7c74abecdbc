//! Random trees that isolate points: few cuts isolate what lies alone.
//!
//! Owns: growing, scoring, and the numbers of a forest. Does not own: the features.
//!
//! Liu, Ting, Zhou: Isolation Forest (2008), as scikit-learn has it: samples without replacement, a
//! random feature among those that vary in the node, a cut uniform in its range there, depth at most
//! ⌈log₂ sample⌉, and the score 2^(−E(h)/c(sample)). A tree is a heap of full depth, so that the way to
//! a leaf has no branch; below a leaf that is higher up, all go left.
//!
//! Numbers are compared as whole ones in the same order, none below zero: the difference of two is a
//! number again. The two lowest bits of a cut name its feature, those of a value are zero: one
//! comparison, one number to fetch, and 21 bits of a value that count.

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
const BLOCK: usize = 256;
/// Rows that go down a tree side by side.
const LANES: usize = 8;

/// Depths at which every cut is compared with every row, and places above where they end.
const TOP: usize = 4;
const ABOVE: usize = 1 << TOP;

/// Bits of a cut that name its feature.
const NAME: i32 = FEATURES as i32 - 1;
/// The bit of a sign.
const SIGN: u32 = 1 << 31;
/// The cut of a place that has none.
const NO_CUT: i32 = ((f32::MAX.to_bits() | SIGN) >> 1) as i32 & !NAME;

/// A point.
pub(super) type Row = [f32; FEATURES];

/// A point's values as whole numbers.
type Keys = [i32; FEATURES];

/// One tree.
#[derive(Debug, Clone, PartialEq)]
struct Tree {
    /// The threshold's key and the feature; larger values go right.
    cut: [i32; PLACES],
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
fn key(value: f32) -> i32 {
    let bits = (value + 0.0).to_bits(); // −0 is 0
    let ordered = if bits & SIGN == 0 { bits | SIGN } else { !bits };
    ((ordered >> 1) as i32 & !NAME).min(NO_CUT)
}

/// The value of a key, or of a cut.
#[inline(always)]
fn value(key: i32) -> f32 {
    let ordered = ((key & !NAME) as u32) << 1;
    f32::from_bits(if ordered & SIGN == 0 { !ordered } else { ordered & !SIGN })
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
        let mut points = vec![Keys::default(); sample];
        let mut trees = vec![Tree::BARE; n_trees];
        for (n, tree) in trees.iter_mut().enumerate() {
            if n % 64 == 0 && !keep_going() {
                return None;
            }
            for (i, point) in points.iter_mut().enumerate() {
                // Fisher and Yates, whatever order the last tree left.
                order.swap(i, i + random.below(rows.len() - i));
                *point = keys[order[i] as usize];
            }
            let points = points.as_mut_slice();
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
        let cuts: Vec<i32> =
            threshold.iter().zip(feature).map(|(t, f)| key(*t) | i32::from(f)).collect();
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
    /// At most a block.
    rows: &'a [Keys],
    paths: &'a mut [f32],
}

impl simd::Kernel for Descend<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let n = self.rows.len().min(BLOCK);
        let mut columns = [[0; BLOCK]; FEATURES];
        for (i, row) in self.rows[..n].iter().enumerate() {
            columns.iter_mut().zip(row).for_each(|(column, key)| column[i] = *key);
        }
        let (rows, rows_rest) = self.rows[..n].as_chunks::<LANES>();
        let (paths, paths_rest) = self.paths[..n].as_chunks_mut::<LANES>();
        let mut places = [1; BLOCK];
        for tree in self.trees {
            // A row alone is there sooner by itself.
            let depth = if n < LANES { 0 } else { TOP };
            if depth == TOP {
                top(tree, &columns, &mut places[..n]);
            }
            let (starts, starts_rest) = places[..n].as_chunks::<LANES>();
            for ((rows, paths), starts) in rows.iter().zip(&mut *paths).zip(starts) {
                descend(tree, rows, paths, (*starts, TOP));
            }
            for ((row, path), start) in rows_rest.iter().zip(&mut *paths_rest).zip(starts_rest) {
                let path = std::array::from_mut(path);
                descend(tree, std::array::from_ref(row), path, ([*start], depth));
            }
        }
    }
}

/// Where rows are in a tree below its top. Few cuts are sooner compared with all rows, side by side, of
/// which each picks those on its way, than fetched by each row.
#[inline(always)]
fn top(tree: &Tree, columns: &[[i32; BLOCK]; FEATURES], places: &mut [i32]) {
    let mut cuts = [0; ABOVE];
    cuts.copy_from_slice(&tree.cut[..ABOVE]);
    let values: [&[i32; BLOCK]; ABOVE] = cuts.map(|cut| &columns[(cut & NAME) as usize]);
    for (i, place) in places.iter_mut().enumerate() {
        // All ones where the row would go right.
        let right = |at: usize| (cuts[at] - values[at][i % BLOCK]) >> 31;
        let pick = |goes_right: i32, left: i32, right: i32| left ^ (goes_right & (left ^ right));
        let first = right(1);
        let second = pick(first, right(2), right(3));
        let of_four = |a: usize| pick(second, right(a), right(a + 1));
        let third = pick(first, of_four(4), of_four(6));
        let of_eight = |a: usize| {
            pick(
                second,
                pick(third, right(a), right(a + 1)),
                pick(third, right(a + 2), right(a + 3)),
            )
        };
        let fourth = pick(first, of_eight(8), of_eight(12));
        *place = ABOVE as i32 - 8 * first - 4 * second - 2 * third - fourth;
    }
}

/// Rows go down a tree side by side, from these places at this depth: none waits for its own last step.
#[inline(always)]
fn descend<const N: usize>(
    tree: &Tree,
    rows: &[Keys; N],
    paths: &mut [f32; N],
    (starts, depth): ([i32; N], usize),
) {
    // The remainders change nothing: they say that no place is outside of the heap.
    let mut places = starts.map(|place| place as usize);
    for _ in depth..DEPTH {
        for (place, row) in places.iter_mut().zip(rows) {
            let cut = tree.cut[*place % PLACES];
            let right = row[(cut & NAME) as usize] > cut;
            *place = 2 * *place + usize::from(right);
        }
    }
    for (path, place) in paths.iter_mut().zip(places) {
        *path += tree.path[place % PLACES];
    }
}

/// Grows one tree.
struct Grow<'a> {
    tree: &'a mut Tree,
    /// Those of a node next to each other.
    points: &'a mut [Keys],
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
        let root = Node { place: 1, depth: 0, start: 0, end: self.points.len() };
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
        let points = &mut self.points[start..end];
        let cut = cut(points, self.random)?;
        self.tree.cut[place % PLACES] = cut;
        let n_left = if depth + 1 < DEPTH {
            partition(points, cut)
        } else {
            // Nothing below asks which they are, only how many.
            points.iter().filter(|point| is_left(point, cut)).count()
        };
        let middle = start + n_left;
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
fn cut(points: &[Keys], random: &mut Random) -> Option<i32> {
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
            return Some(threshold | features[k] as i32);
        }
    }
    None
}

/// The least and the largest value of a feature.
#[inline(always)]
fn range(points: &[Keys], feature: usize) -> (i32, i32) {
    let values = points.iter().map(|point| point[feature % FEATURES]);
    values.fold((i32::MAX, 0), |(low, high), value| (low.min(value), high.max(value)))
}

#[inline(always)]
fn is_left(point: &Keys, cut: i32) -> bool {
    point[(cut & NAME) as usize] <= cut
}

/// Brings the points up to the cut to the front; how many they are.
#[inline(always)]
fn partition(points: &mut [Keys], cut: i32) -> usize {
    let mut n_left = 0;
    for i in 0..points.len() {
        // Without a branch: which side it is on cannot be foretold.
        let left = is_left(&points[i], cut);
        points.swap(i, n_left);
        n_left += usize::from(left);
    }
    n_left
}

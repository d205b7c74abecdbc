//! The mean of many trees.
//!
//! Owns: growing them, out-of-bag forecasts, their stored form. Does not own: one tree (`grow`).

use crate::detect::RestoreError;
use crate::detect::Tensor;
use crate::detect::Tensors;
use crate::math::random::Random;

use super::bins::BINS;
use super::bins::Bins;
use super::bins::Row;
use super::grow::Grower;
use super::grow::Plan;
use super::grow::Targets;
use super::tree::ABREAST;
use super::tree::Node;
use super::tree::arrive;

/// Trees grown between two questions whether to go on.
const PIECE: usize = 32;
/// Rows that are forecast by trees that have not seen them: enough for a scale by hour of the day.
const JUDGED: usize = 2_048;
/// Stands for a leaf where a column is stored.
const LEAF: u8 = u8::MAX;

/// A fitted forest.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Forest {
    nodes: Vec<Node>,
    /// By node: the forecast of a leaf. Of a split it is that of all its rows, or nothing.
    values: Vec<f32>,
    /// First node of each tree.
    trees: Vec<u32>,
}

impl Forest {
    /// Grows `n_trees`, and forecasts rows by the trees that have not seen them: all rows, or some drawn
    /// at random; the others are NaN. None where `keep_going` said no, or there are no rows.
    pub(super) fn fit(
        rows: &[Row],
        targets: &[f64],
        bins: &Bins,
        (n_trees, plan): (usize, Plan),
        seed: u64,
        keep_going: &(dyn Fn() -> bool + Sync),
    ) -> Option<(Forest, Vec<f64>)> {
        let whole = Targets::of(targets, plan.draws);
        let mut grower = Grower::new(plan, bins, rows, &whole);
        let mut random = Random::new(seed);
        let mut forest = Forest::default();
        let judged = judged(rows.len(), &mut random);
        let (mut out_of_bag, mut unseen) = (judged.clone(), vec![(0.0, 0.0); rows.len()]);
        for tree in 0..n_trees {
            if rows.is_empty() || tree % PIECE == 0 && !keep_going() {
                return None;
            }
            let first = forest.nodes.len();
            forest.trees.push(first as u32);
            grower.tree(&mut random, &mut forest.nodes, &mut forest.values);
            let n = grower.unseen(&judged, &mut out_of_bag);
            forest.walk(first, rows, &out_of_bag[..n], |row, value| {
                let (sum, n) = &mut unseen[row as usize];
                *sum += value;
                *n += 1.0;
            });
        }
        forest.nodes.shrink_to_fit();
        forest.values.shrink_to_fit();
        let unseen = unseen.into_iter().map(|(sum, n)| if n > 0.0 { sum / n } else { f64::NAN });
        Some((forest, unseen.collect()))
    }

    /// The forecast of each row.
    pub(super) fn predict(&self, rows: &[Row]) -> Vec<f64> {
        let together = rows.len() / ABREAST * ABREAST;
        let most: Vec<u32> = (0..together as u32).collect();
        let mut sums = vec![0.0; together];
        for &first in &self.trees {
            self.walk(first as usize, rows, &most, |row, value| sums[row as usize] += value);
        }
        sums.extend(rows[together..].iter().map(|row| self.sum(row)));
        sums.into_iter().map(|sum| sum / self.trees.len() as f64).collect()
    }

    /// Tells `found` the rows, by `which`, and their forecasts by the tree that begins at node `first`.
    fn walk(&self, first: usize, rows: &[Row], which: &[u32], mut found: impl FnMut(u32, f64)) {
        let (nodes, values) = (&self.nodes[first..], &self.values[first..]);
        for chunk in which.chunks(ABREAST) {
            // The last row goes once more where there are too few.
            let row = |k: usize| &rows[chunk[k.min(chunk.len() - 1)] as usize];
            let leaves = arrive(std::array::from_fn(row), |_, at| nodes[usize::from(at)]);
            chunk.iter().zip(leaves).for_each(|(&row, leaf)| {
                found(row, f64::from(values[usize::from(leaf)]));
            });
        }
    }

    /// The sum of all trees for one row: of a row alone, trees are gone through side by side.
    fn sum(&self, row: &Row) -> f64 {
        let mut sum = 0.0;
        for chunk in self.trees.chunks(ABREAST) {
            let first = |k: usize| chunk[k.min(chunk.len() - 1)] as usize;
            let firsts: [usize; ABREAST] = std::array::from_fn(first);
            let leaves = arrive([row; ABREAST], |k, at| self.nodes[firsts[k] + usize::from(at)]);
            let values = firsts.iter().zip(leaves).map(|(first, at)| first + usize::from(at));
            values.take(chunk.len()).for_each(|at| sum += f64::from(self.values[at]));
        }
        sum
    }

    /// What has to be stored: nodes in preorder say by themselves whose children they are.
    pub(super) fn tensors(&self) -> [Tensor; 3] {
        let (mut columns, mut splits, mut leaves) = (Vec::new(), Vec::new(), Vec::new());
        for &first in &self.trees {
            let mut open = vec![0];
            while let Some(at) = open.pop() {
                let at = first as usize + usize::from(at);
                let node = self.nodes[at];
                if let Some((left, right)) = node.children() {
                    columns.push(node.column);
                    splits.push(node.bin);
                    open.extend([right, left]);
                } else {
                    columns.push(LEAF);
                    leaves.push(self.values[at]);
                }
            }
        }
        [
            Tensor::flat("columns", columns),
            Tensor::flat("splits", splits),
            Tensor::flat("leaves", leaves),
        ]
    }

    /// The forest of `n_columns` columns that [`Forest::tensors`] came from.
    pub(super) fn restore(tensors: &mut Tensors, n_columns: usize) -> Result<Forest, RestoreError> {
        let wrong = || RestoreError("the nodes are not those of trees".to_string());
        let columns = tensors.take_flat::<u8>("columns")?;
        let mut splits = tensors.take_flat::<u8>("splits")?.into_iter();
        let mut leaves = tensors.take_flat::<f32>("leaves")?.into_iter();
        let mut forest = Forest::default();
        // Places of the tree that are yet to be filled.
        let mut open = Vec::new();
        for column in columns {
            let at = open.pop().unwrap_or_else(|| {
                forest.trees.push(forest.nodes.len() as u32);
                forest.push(0);
                0
            });
            let first = forest.trees.last().map_or(0, |&first| first as usize);
            if column == LEAF {
                forest.values[first + usize::from(at)] = leaves.next().ok_or_else(wrong)?;
                continue;
            }
            let bin = splits.next().filter(|bin| (1..BINS as u8).contains(bin));
            let bin = bin.filter(|_| usize::from(column) < n_columns).ok_or_else(wrong)?;
            let left = u16::try_from(forest.nodes.len() - first).map_err(|_| wrong())?;
            let right = left.checked_add(1).ok_or_else(wrong)?;
            forest.nodes[first + usize::from(at)] = Node::split(column, bin, left);
            forest.push(left);
            forest.push(right);
            open.extend([right, left]);
        }
        let rest = splits.next().is_some() || leaves.next().is_some();
        if rest || !open.is_empty() || forest.trees.is_empty() {
            return Err(wrong());
        }
        Ok(forest)
    }

    /// Appends a leaf, of the last tree the one at this place.
    fn push(&mut self, at: u16) {
        self.nodes.push(Node::leaf(at));
        self.values.push(0.0);
    }
}

/// Some of the rows, in order.
fn judged(n: usize, random: &mut Random) -> Vec<u32> {
    let mut rows: Vec<u32> = (0..n as u32).collect();
    if n > JUDGED {
        random.shuffle(&mut rows);
        rows.truncate(JUDGED);
        rows.sort_unstable();
    }
    rows
}

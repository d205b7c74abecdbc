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
use super::tree::Node;
use super::tree::walk;

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
    leaves: Vec<f32>,
    /// First node and first leaf of each tree.
    trees: Vec<(u32, u32)>,
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
        let mut unseen = vec![(0.0, 0.0); rows.len()];
        for tree in 0..n_trees {
            if rows.is_empty() || tree % PIECE == 0 && !keep_going() {
                return None;
            }
            let (node, leaf) = (forest.nodes.len(), forest.leaves.len());
            forest.trees.push((node as u32, leaf as u32));
            grower.tree(&mut random, &mut forest.nodes, &mut forest.leaves);
            let leaves = &forest.leaves[leaf..];
            let out_of_bag: Vec<u32> =
                judged.iter().copied().filter(|&row| grower.unseen(row)).collect();
            walk(&forest.nodes[node..], rows, &out_of_bag, |row, leaf| {
                let (sum, n) = &mut unseen[row as usize];
                *sum += f64::from(leaves[usize::from(leaf)]);
                *n += 1.0;
            });
        }
        forest.nodes.shrink_to_fit();
        forest.leaves.shrink_to_fit();
        let unseen = unseen.into_iter().map(|(sum, n)| if n > 0.0 { sum / n } else { f64::NAN });
        Some((forest, unseen.collect()))
    }

    /// The forecast of each row.
    pub(super) fn predict(&self, rows: &[Row]) -> Vec<f64> {
        let all: Vec<u32> = (0..rows.len() as u32).collect();
        let mut sums = vec![0.0; rows.len()];
        for &(node, leaf) in &self.trees {
            let leaves = &self.leaves[leaf as usize..];
            walk(&self.nodes[node as usize..], rows, &all, |row, leaf| {
                sums[row as usize] += f64::from(leaves[usize::from(leaf)]);
            });
        }
        sums.into_iter().map(|sum| sum / self.trees.len() as f64).collect()
    }

    /// What has to be stored: nodes in preorder say by themselves whose children they are.
    pub(super) fn tensors(&self) -> [Tensor; 3] {
        let column = |node: &Node| if node.bin == 0 { LEAF } else { node.column };
        let splits = self.nodes.iter().filter(|node| node.bin > 0).map(|node| node.bin).collect();
        [
            Tensor::flat("columns", self.nodes.iter().map(column).collect()),
            Tensor::flat("splits", splits),
            Tensor::flat("leaves", self.leaves.clone()),
        ]
    }

    /// The forest of `n_columns` columns that [`Forest::tensors`] came from.
    pub(super) fn restore(tensors: &mut Tensors, n_columns: usize) -> Result<Forest, RestoreError> {
        let wrong = || RestoreError("the nodes are not those of trees".to_string());
        let columns = tensors.take_flat::<u8>("columns")?;
        let mut splits = tensors.take_flat::<u8>("splits")?.into_iter();
        let leaves = tensors.take_flat::<f32>("leaves")?;
        let mut forest = Forest { nodes: Vec::with_capacity(columns.len()), ..Forest::default() };
        // Splits whose right child is yet to come; whether the next node is a root; leaves so far.
        let (mut open, mut root, mut n_leaves) = (Vec::new(), true, 0u32);
        for column in columns {
            let me = forest.nodes.len();
            if root {
                forest.trees.push((me as u32, n_leaves));
            }
            let &(first, first_leaf) = forest.trees.last().ok_or_else(wrong)?;
            let own = u16::try_from(me - first as usize).map_err(|_| wrong())?;
            if column == LEAF {
                forest.nodes.push(Node { column: 0, bin: 0, next: (n_leaves - first_leaf) as u16 });
                n_leaves += 1;
                // It ends the left side of the last split that is open, or else the tree.
                let split: Option<usize> = open.pop();
                root = split.is_none();
                split.into_iter().for_each(|i| forest.nodes[i].next = own.wrapping_add(1));
            } else {
                let bin = splits.next().filter(|bin| (1..BINS as u8).contains(bin));
                let bin = bin.filter(|_| usize::from(column) < n_columns).ok_or_else(wrong)?;
                forest.nodes.push(Node { column, bin, next: own });
                open.push(me);
                root = false;
            }
        }
        let whole = root && splits.next().is_none() && !forest.trees.is_empty();
        if !whole || n_leaves as usize != leaves.len() {
            return Err(wrong());
        }
        Ok(Forest { leaves, ..forest })
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

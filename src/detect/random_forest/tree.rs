//! Trees, and the way of a row through one.
//!
//! Owns: the shape of a tree in memory. Does not own: how it is grown (`grow`).

use super::bins::COLUMNS;
use super::bins::Row;

/// A node of a tree in preorder: the left child is the next node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Node {
    /// Which column decides.
    pub(super) column: u8,
    /// Bins from here on go right; 0 is a leaf.
    pub(super) bin: u8,
    /// The right child; of a leaf, its number among the leaves.
    pub(super) next: u16,
}

/// Rows that go down a tree side by side: each step waits for memory, eight of them wait at once.
const ABREAST: usize = 8;

/// Tells `found` each row's place in `rows`, by `which`, and its leaf. Every node has to be of the tree.
pub(super) fn walk(nodes: &[Node], rows: &[Row], which: &[u32], mut found: impl FnMut(u32, u16)) {
    let (chunks, rest) = which.as_chunks::<ABREAST>();
    for chunk in chunks {
        let leaves = abreast(nodes, &chunk.map(|i| rows[i as usize]));
        chunk.iter().zip(leaves).for_each(|(&i, leaf)| found(i, leaf));
    }
    for &i in rest {
        let [leaf] = abreast(nodes, &[rows[i as usize]]);
        found(i, leaf);
    }
}

/// Steps between two looks whether all have arrived.
const STEPS: usize = 4;

#[inline(always)]
fn abreast<const N: usize>(nodes: &[Node], rows: &[Row; N]) -> [u16; N] {
    let mut at = [0u16; N];
    loop {
        let mut above = 0;
        for _ in 0..STEPS {
            above = 0;
            for (at, row) in at.iter_mut().zip(rows) {
                let node = nodes[usize::from(*at)];
                let right = row[usize::from(node.column) % COLUMNS] >= node.bin;
                let next = if right { node.next } else { at.wrapping_add(1) };
                *at = if node.bin == 0 { *at } else { next };
                above |= node.bin;
            }
        }
        if above == 0 {
            return at.map(|at| nodes[usize::from(at)].next);
        }
    }
}

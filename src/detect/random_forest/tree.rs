//! Trees, and the way of a row through one.
//!
//! Owns: the shape of a tree in memory. Does not own: how it is grown (`grow`).
//!
//! Both children of a node are neighbours, so that which one comes next is added and not chosen: half of
//! the choices would be guessed wrong. A leaf is its own left child, and nothing goes right of it.

use super::bins::BINS;
use super::bins::COLUMNS;
use super::bins::Row;

/// A node of a tree. The root is the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Node {
    /// Which column decides.
    pub(super) column: u8,
    /// Bins from here on go right.
    pub(super) bin: u8,
    /// The left child; the right one is next to it.
    left: u16,
}

impl Node {
    /// The leaf at this place of a tree.
    pub(super) fn leaf(at: u16) -> Node {
        Node { column: 0, bin: BINS as u8, left: at }
    }

    /// A split of which the children are at `left` and next to it.
    pub(super) fn split(column: u8, bin: u8, left: u16) -> Node {
        Node { column, bin, left }
    }

    /// The children's places; none of a leaf.
    pub(super) fn children(self) -> Option<(u16, u16)> {
        (usize::from(self.bin) < BINS).then(|| (self.left, self.left + 1))
    }

    /// Where a row goes from here.
    #[inline(always)]
    fn next(self, row: &Row) -> u16 {
        self.left + u16::from(row[usize::from(self.column) % COLUMNS] >= self.bin)
    }
}

/// Ways that are gone side by side: each step waits for memory, eight of them wait at once.
pub(super) const ABREAST: usize = 8;
/// Steps between two looks whether all have arrived.
const STEPS: usize = 4;

/// The leaves at which rows arrive, each row in the tree whose nodes `node` tells by row and place.
#[inline(always)]
pub(super) fn arrive(rows: [&Row; ABREAST], node: impl Fn(usize, u16) -> Node) -> [u16; ABREAST] {
    let mut at = [0; ABREAST];
    loop {
        let mut before = at;
        for _ in 0..STEPS {
            before = at;
            for (k, at) in at.iter_mut().enumerate() {
                *at = node(k, *at).next(rows[k]);
            }
        }
        if at == before {
            return at;
        }
    }
}

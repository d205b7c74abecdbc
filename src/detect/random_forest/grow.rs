//! One regression tree on a bootstrap sample (Breiman: Random forests, 2001).
//!
//! Owns: the sample, the growth. Does not own: bins, the best split of a node (`split`), the sum of
//! trees (`forest`).
//!
//! As scikit-learn's: a split lessens the squared error most, over columns drawn anew at each node in
//! random order. The order settles ties: small nodes have many, and one column must not always win.
//! A row drawn twice counts once towards the smallest leaf and twice towards its mean.
//!
//! A node moves its rows together, so that all reading is in order.

use crate::math::random::Random;
use crate::math::simd;

use super::bins::Bins;
use super::bins::COLUMNS;
use super::bins::Row;
use super::split::Bagged;
use super::split::SUM;
use super::split::Search;
use super::split::Split;
use super::split::WEIGHT;
use super::split::count;
use super::split::unpack;
use super::tree::Node;

/// How trees are grown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Plan {
    /// Rows drawn for each tree; at most [`MAX_DRAWS`].
    pub(super) draws: usize,
    /// Fewest different rows of a leaf.
    pub(super) min_leaf: i64,
    /// Columns looked at for a split.
    pub(super) look_at: usize,
}

/// Weight and count have 16 bits each, and so has the number of a node.
pub(super) const MAX_DRAWS: usize = 32_767;

/// Targets as whole numbers.
pub(super) struct Targets {
    words: Vec<i64>,
    centre: f64,
    unit: f64,
}

impl Targets {
    /// As fine as sums of `draws` of them leave room for.
    pub(super) fn of(targets: &[f64], draws: usize) -> Targets {
        let n = targets.len().max(1) as f64;
        let centre = targets.iter().map(|t| t / n).sum::<f64>();
        let most = targets.iter().map(|t| (t - centre).abs()).fold(0.0, f64::max);
        let room = f64::from(i32::MAX) / (draws.max(1) as f64 + 1.0);
        let unit = if most > 0.0 { most / room } else { 1.0 };
        let word = |t: &f64| ((((t - centre) / unit) as i64) << SUM) + (1 << WEIGHT);
        Targets { words: targets.iter().map(word).collect(), centre, unit }
    }

    fn mean(&self, word: i64) -> f32 {
        let (sum, weight) = unpack(word);
        (self.centre + self.unit * f64::from(sum) / f64::from(weight.max(1))) as f32
    }
}

/// Grows trees one after the other, in the same memory.
pub(super) struct Grower<'a> {
    plan: Plan,
    rows: &'a [Row],
    targets: &'a Targets,
    columns: Vec<u8>,
    counts: Vec<u16>,
    bag: Vec<Bagged>,
    aside: Vec<Bagged>,
    todo: Vec<Todo>,
    search: Search,
}

/// A node to be: its rows, their sum, and its place in the tree.
struct Todo {
    from: usize,
    to: usize,
    word: i64,
    at: usize,
}

impl<'a> Grower<'a> {
    /// For rows of these bins and targets.
    pub(super) fn new(
        plan: Plan,
        bins: &Bins,
        rows: &'a [Row],
        targets: &'a Targets,
    ) -> Grower<'a> {
        let (bag, aside) =
            (vec![Bagged::default(); rows.len()], vec![Bagged::default(); rows.len()]);
        let (counts, columns) = (vec![0; rows.len()], bins.varying());
        let search = Search::default();
        Grower { plan, rows, targets, columns, counts, bag, aside, todo: Vec::new(), search }
    }

    /// Appends the nodes of one tree, and by node the value of a leaf.
    pub(super) fn tree(
        &mut self,
        random: &mut Random,
        nodes: &mut Vec<Node>,
        values: &mut Vec<f32>,
    ) {
        simd::widest(Tree { grower: self, random, nodes, values });
    }

    /// Those of `rows` that the last tree has not seen, at the front of `unseen`, which has room for all;
    /// how many they are.
    pub(super) fn unseen(&self, rows: &[u32], unseen: &mut [u32]) -> usize {
        let mut n = 0;
        for &row in rows {
            unseen[n] = row;
            n += usize::from(self.counts[row as usize] == 0);
        }
        n
    }

    #[inline(always)]
    fn grow(&mut self, random: &mut Random, nodes: &mut Vec<Node>, values: &mut Vec<f32>) {
        let first = nodes.len();
        self.draw(random);
        let (to, word) = self.fill_bag();
        nodes.push(Node::leaf(0));
        values.push(self.targets.mean(word));
        self.todo.push(Todo { from: 0, to, word, at: 0 });
        while let Some(Todo { from, to, word, at }) = self.todo.pop() {
            let Some(split) = self.split(from, to, word, random) else { continue };
            let left = nodes.len() - first;
            nodes[first + at] = Node::split(split.column, split.bin, left as u16);
            let words = [split.left, word - split.left];
            nodes.extend([left, left + 1].map(|at| Node::leaf(at as u16)));
            values.extend(words.map(|word| self.targets.mean(word)));
            if words.iter().all(|&word| self.is_leaf(word)) {
                continue;
            }
            let middle = from + self.part(from, to, split);
            self.todo.push(Todo { from: middle, to, word: words[1], at: left + 1 });
            self.todo.push(Todo { from, to: middle, word: words[0], at: left });
        }
    }

    /// Draws the sample, with replacement.
    #[inline(always)]
    fn draw(&mut self, random: &mut Random) {
        self.counts.fill(0);
        for _ in 0..self.plan.draws {
            self.counts[random.below(self.rows.len())] += 1;
        }
    }

    /// Brings what was drawn together; how many rows, and their sum.
    #[inline(always)]
    fn fill_bag(&mut self) -> (usize, i64) {
        let (mut n, mut total) = (0, 0);
        let drawn = self.counts.iter().zip(self.rows).zip(&self.targets.words);
        for ((&count, &bins), &word) in drawn {
            // All are written, and overwritten where they were not drawn: there is no branch to be guessed.
            let is_drawn = count > 0;
            let word = word * i64::from(count) + i64::from(is_drawn);
            self.bag[n] = Bagged { bins, word };
            n += usize::from(is_drawn);
            total += word;
        }
        (n, total)
    }

    /// Whether rows of this sum are too few to be split.
    #[inline(always)]
    fn is_leaf(&self, word: i64) -> bool {
        count(word) < 2 * self.plan.min_leaf
    }

    /// The best split of the rows `from..to`; none where they are too few, or all alike.
    #[inline(always)]
    fn split(&mut self, from: usize, to: usize, word: i64, random: &mut Random) -> Option<Split> {
        if self.is_leaf(word) {
            return None;
        }
        let rows = &self.bag[from..to];
        self.search.start(word, self.plan.min_leaf);
        let (mut drawn, mut alike) = (0, true);
        // A column of one value costs a look, but somebody has to be found who tells rows apart.
        while drawn < self.columns.len() && (drawn < self.plan.look_at || alike) {
            let more = self.plan.look_at.saturating_sub(drawn).clamp(1, 4);
            let more = more.min(self.columns.len() - drawn);
            for k in drawn..drawn + more {
                let other = k + random.below(self.columns.len() - k);
                self.columns.swap(k, other);
            }
            let columns = &self.columns[drawn..drawn + more];
            alike &= match *columns {
                [a, b, c, d] => self.search.consider([a, b, c, d], rows),
                [a, b, c] => self.search.consider([a, b, c], rows),
                [a, b] => self.search.consider([a, b], rows),
                _ => self.search.consider([columns[0]], rows),
            };
            drawn += more;
        }
        self.search.best()
    }

    /// Moves the rows that go left to the front, in their order; how many do.
    #[inline(always)]
    fn part(&mut self, from: usize, to: usize, split: Split) -> usize {
        let rows = &mut self.bag[from..to];
        let aside = &mut self.aside[..rows.len()];
        let column = usize::from(split.column) % COLUMNS;
        let mut n_left = 0;
        for i in 0..rows.len() {
            let (row, bin) = (rows[i], rows[i].bins[column]);
            // Both are written and one is kept: a branch would be guessed wrong half of the time.
            rows[n_left] = row;
            aside[i - n_left] = row;
            n_left += usize::from(bin < split.bin);
        }
        let n_right = rows.len() - n_left;
        rows[n_left..].copy_from_slice(&aside[..n_right]);
        n_left
    }
}

/// One tree more.
struct Tree<'a, 'b> {
    grower: &'b mut Grower<'a>,
    random: &'b mut Random,
    nodes: &'b mut Vec<Node>,
    values: &'b mut Vec<f32>,
}

impl simd::Kernel for Tree<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        self.grower.grow(self.random, self.nodes, self.values);
    }
}

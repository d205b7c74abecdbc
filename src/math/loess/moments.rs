//! Moments under a tricube window at every place of a series, at a cost that does not grow with the
//! window.
//!
//! Owns: Σ T·x, Σ T·d·x and Σ T·d²·x, where d is the offset from the place and T its tricube weight.
//! Does not own: what a line makes of them (`loess`).
//!
//! The tricube weight (1 − u³)³ is a polynomial of u = |d| / reach on either side of its place. So a
//! window's moments follow from power sums, which are kept about anchors one half-window apart, from
//! each anchor outwards: two of them make one side of a window, and nothing is ever subtracted from
//! them. With |u| ≤ 1 about anchors inside the window, terms are at most 729 times their sum: ten of
//! sixteen digits stay wherever the weight is not all at the very end of the window.

use crate::math::simd::Kernel;
use crate::math::simd::fma;
use crate::math::simd::widest;

/// Powers 0..=11: tricube is of degree 9, and the offset comes squared. A multiple of [`LANES`].
const POWERS: usize = 12;
const LANES: usize = 4;

/// (−1)^m.
const SIGNS: Powers = [1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0];

/// One number per power.
type Powers = [f64; POWERS];

/// Coefficients of T, T·d and T·d² in the powers of p, where u = scale·(p + shift).
type Expansion = [Powers; 3];

/// A tricube window of `2·half + 1` values, prepared.
#[derive(Debug, Clone)]
pub(in crate::math) struct Tricube {
    tables: Tables,
    blocks: [Block; 3],
    /// The values, with noughts after them; and the last of them backwards.
    padded: Vec<f64>,
    reversed: Vec<f64>,
    lanes: Vec<[Lanes; 3]>,
}

#[derive(Debug, Clone)]
struct Tables {
    half: usize,
    /// (k / half)^m.
    powers: Vec<Powers>,
    /// Of the middle window, by distance to the anchor.
    middle: Vec<Expansion>,
    /// Of windows that were pushed off the edge, by their place: right of it, left of it.
    edge: Vec<[Expansion; 2]>,
}

impl Tricube {
    /// The window of `half` neighbours on each side, above zero.
    pub(in crate::math) fn new(half: usize) -> Tricube {
        let part = |k: usize| k as f64 / half as f64;
        let powers = (0..=half).map(|k| {
            let mut powers = [1.0; POWERS];
            (1..POWERS).for_each(|m| powers[m] = powers[m - 1] * part(k));
            powers
        });
        let middle = (0..=half).map(|k| expansion(half, part(k), 1.0));
        let edge = (0..half).map(|at| {
            let scale = half as f64 / (2 * half - at) as f64;
            [expansion(half, part(half - at), scale), expansion(half, part(at), scale)]
        });
        let (powers, middle) = (powers.collect(), middle.collect());
        Tricube {
            tables: Tables { half, powers, middle, edge: edge.collect() },
            blocks: [(); 3].map(|()| Block::new(half)),
            padded: Vec::new(),
            reversed: Vec::new(),
            lanes: vec![[[0.0; LANES]; 3]; half],
        }
    }

    /// The first `K` moments at every place of `values`, of which there are more than the window's.
    ///
    /// In the last `half` rows offsets count backwards. With `level` only the first is worked out where
    /// the window is whole.
    pub(in crate::math) fn moments<const K: usize>(
        &mut self,
        values: impl Iterator<Item = f64>,
        level: bool,
        out: &mut [[f64; K]],
    ) {
        let half = self.tables.half;
        self.padded.clear();
        self.padded.extend(values);
        let n = self.padded.len();
        self.reversed.clear();
        self.reversed.extend(self.padded[n - 2 * half..].iter().rev());
        self.padded.resize((n.div_ceil(half) + 1) * half, 0.0);
        widest(Run { window: self, level, out });
    }
}

/// T(u) = (1 − u³)³ about p = 0, then times the offset, then times it again. `half` rows are p = 1.
fn expansion(half: usize, shift: f64, scale: f64) -> Expansion {
    let cubed = (scale * shift).powi(3);
    let cube = scale * scale * scale;
    // c = 1 − u³ as a cubic of p, then its third power.
    let c = [1.0 - cubed, -3.0 * cube * shift * shift, -3.0 * cube * shift, -cube];
    let mut square = [0.0; 7];
    let mut third = [0.0; POWERS];
    for i in 0..4 {
        for j in 0..4 {
            square[i + j] += c[i] * c[j];
        }
    }
    for i in 0..7 {
        for j in 0..4 {
            third[i + j] += square[i] * c[j];
        }
    }
    let rows = half as f64;
    let times_offset = |of: &Powers| {
        let mut product = [0.0; POWERS];
        for m in 0..POWERS {
            product[m] = rows * (shift * of[m] + if m > 0 { of[m - 1] } else { 0.0 });
        }
        product
    };
    let once = times_offset(&third);
    [third, once, times_offset(&once)]
}

/// Power sums of one block of `half` values: of the first k about its start, and of those from k on
/// about its end, with distances counted as positive.
#[derive(Debug, Clone)]
struct Block {
    ahead: Vec<Powers>,
    behind: Vec<Powers>,
}

impl Block {
    fn new(half: usize) -> Block {
        Block { ahead: vec![[0.0; POWERS]; half + 1], behind: vec![[0.0; POWERS]; half + 1] }
    }

    /// The sums of a block's values.
    #[inline(always)]
    fn fill<const FMA: bool>(&mut self, powers: &[Powers], values: &[f64]) {
        let mut sums = [0.0; POWERS];
        let ahead = values.iter().zip(powers);
        for ((value, powers), out) in ahead.zip(&mut self.ahead[1..]) {
            add::<FMA>(&mut sums, powers, *value);
            *out = sums;
        }
        let mut sums = [0.0; POWERS];
        let behind = values.iter().rev().zip(&powers[1..]);
        for ((value, powers), out) in behind.zip(self.behind[..values.len()].iter_mut().rev()) {
            add::<FMA>(&mut sums, powers, *value);
            *out = sums;
        }
    }
}

#[inline(always)]
fn add<const FMA: bool>(sums: &mut Powers, powers: &Powers, value: f64) {
    for m in 0..POWERS {
        sums[m] = fma::<FMA>(powers[m], value, sums[m]);
    }
}

/// `a + b` with every other power of `b` negated: the sums about one anchor from both of its sides.
#[inline(always)]
fn joined<const FMA: bool>(a: &Powers, b: &Powers) -> Powers {
    let mut sums = [0.0; POWERS];
    for m in 0..POWERS {
        sums[m] = fma::<FMA>(b[m], SIGNS[m], a[m]);
    }
    sums
}

/// Sums in lanes, still to be added up.
type Lanes = [f64; LANES];

/// The moments of the right and the left side of a window, in lanes: adding up is left for later,
/// since the compiler takes a store of all lanes, and no sum of them, for a vector.
#[inline(always)]
fn whole<const FMA: bool, const K: usize>(
    right: (&Expansion, &Powers),
    left: (&Expansion, &Powers),
    out: &mut [Lanes; 3],
) {
    for (kernel, out) in out.iter_mut().enumerate().take(K) {
        let (a, b) = (&right.0[kernel], &left.0[kernel]);
        let sign = if kernel == 1 { -1.0 } else { 1.0 };
        let mut sums = [0.0; LANES];
        for first in (0..POWERS).step_by(LANES) {
            for (lane, sum) in sums.iter_mut().enumerate() {
                *sum = fma::<FMA>(a[first + lane], right.1[first + lane], *sum);
            }
            for (lane, sum) in sums.iter_mut().enumerate() {
                *sum = fma::<FMA>(b[first + lane], sign * left.1[first + lane], *sum);
            }
        }
        *out = sums;
    }
}

struct Run<'a, const K: usize> {
    window: &'a mut Tricube,
    level: bool,
    out: &'a mut [[f64; K]],
}

impl<const K: usize> Kernel for Run<'_, K> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Tricube { tables, blocks, padded, reversed, lanes } = self.window;
        let (half, n) = (tables.half, self.out.len());
        let [before, here, after] = blocks;
        // The right edge is the left edge of the reversed series.
        here.fill::<FMA>(&tables.powers, &reversed[..half]);
        after.fill::<FMA>(&tables.powers, &reversed[half..]);
        edge::<FMA, K>(tables, here, after, lanes);
        let (left, right) = self.out.split_at_mut(n - half);
        right.iter_mut().rev().zip(&*lanes).for_each(|(row, lanes)| *row = added(lanes));

        here.fill::<FMA>(&tables.powers, &padded[..half]);
        after.fill::<FMA>(&tables.powers, &padded[half..2 * half]);
        edge::<FMA, K>(tables, here, after, lanes);
        let (edge_rows, middle_rows) = left.split_at_mut(half);
        edge_rows.iter_mut().zip(&*lanes).for_each(|(row, lanes)| *row = added(lanes));
        for (block, rows) in middle_rows.chunks_mut(half).enumerate() {
            std::mem::swap(before, here);
            std::mem::swap(here, after);
            after.fill::<FMA>(&tables.powers, &padded[(block + 2) * half..(block + 3) * half]);
            let lanes = &mut lanes[..rows.len()];
            if self.level {
                middle::<FMA, 1>(tables, [before, here, after], lanes);
            } else {
                middle::<FMA, K>(tables, [before, here, after], lanes);
            }
            rows.iter_mut().zip(&*lanes).for_each(|(row, lanes)| *row = added(lanes));
        }
    }
}

#[inline(always)]
fn added<const K: usize>(lanes: &[Lanes; 3]) -> [f64; K] {
    std::array::from_fn(|k| (lanes[k][0] + lanes[k][2]) + (lanes[k][1] + lanes[k][3]))
}

#[inline(always)]
fn middle<const FMA: bool, const K: usize>(
    window: &Tables,
    [before, here, after]: [&Block; 3],
    rows: &mut [[Lanes; 3]],
) {
    let (half, n) = (window.half, rows.len());
    let right = after.ahead[..n].iter().zip(&here.behind[..n]);
    let left = before.behind[1..=n].iter().zip(&here.ahead[..n]);
    let expansions = window.middle[half + 1 - n..].iter().rev().zip(&window.middle);
    for (((row, right), left), expansions) in rows.iter_mut().zip(right).zip(left).zip(expansions) {
        let right = joined::<FMA>(right.0, right.1);
        let left = joined::<FMA>(left.0, left.1);
        whole::<FMA, K>((expansions.0, &right), (expansions.1, &left), row);
    }
}

#[inline(always)]
fn edge<const FMA: bool, const K: usize>(
    window: &Tables,
    here: &Block,
    after: &Block,
    rows: &mut [[Lanes; 3]],
) {
    let none = [0.0; POWERS];
    let sums = here.behind.iter().zip(&here.ahead);
    for ((row, (behind, ahead)), expansions) in rows.iter_mut().zip(sums).zip(&window.edge) {
        let right = joined::<FMA>(&after.ahead[window.half], behind);
        let left = joined::<FMA>(&none, ahead);
        whole::<FMA, K>((&expansions[0], &right), (&expansions[1], &left), row);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition.
    fn plainly(half: usize, values: &[f64], at: usize) -> [f64; 3] {
        let n = values.len();
        let from = at.saturating_sub(half).min(n - 2 * half - 1);
        let reach = (at - from).max(from + 2 * half - at) as f64;
        let backwards = if at >= n - half { -1.0 } else { 1.0 };
        let mut moments = [0.0; 3];
        for (row, value) in values.iter().enumerate().skip(from).take(2 * half + 1) {
            let offset = row as f64 - at as f64;
            let weight = (1.0 - (offset.abs() / reach).powi(3)).powi(3) * value;
            moments[0] += weight;
            moments[1] += weight * offset * backwards;
            moments[2] += weight * offset * offset;
        }
        moments
    }

    #[test]
    fn moments_are_those_of_the_definition() {
        for (half, n) in [(1, 3), (5, 11), (5, 12), (5, 16), (24, 49), (24, 113), (100, 1000)] {
            let values: Vec<f64> = (0..n).map(|i| ((i * i) as f64 * 0.37).sin() + 0.5).collect();
            let mut out = vec![[0.0; 3]; n];
            Tricube::new(half).moments(values.iter().copied(), false, &mut out);
            for (at, have) in out.iter().enumerate() {
                let want = plainly(half, &values, at);
                for k in 0..3 {
                    let size = n as f64 * (half as f64).powi(k as i32);
                    let error = (have[k] - want[k]).abs() / size;
                    assert!(error < 1e-13, "{half} {n} {at} {k}: {} {}", have[k], want[k]);
                }
            }
        }
    }
}

//! Where the rows of a node are best split.
//!
//! Owns: sums by bin, the gain of a place to split at. Does not own: which columns are looked at, or
//! what becomes of the rows (`grow`).
//!
//! Sum, weight and count of a row are one word: one whole number to add per row and column. What is
//! added exactly is the same on every machine, and so is a gain, of which no operation is fused.

use super::bins::BINS;
use super::bins::COLUMNS;
use super::bins::Row;

/// Rows of one tree: their bins, and sum, weight and count as one word.
#[derive(Clone, Copy, Default)]
pub(super) struct Bagged {
    pub(super) bins: Row,
    pub(super) word: i64,
}

/// Where the weight of a word begins. The count is below.
pub(super) const WEIGHT: u32 = 16;
/// Where the sum of a word begins.
pub(super) const SUM: u32 = 32;

/// Sum and weight of a word.
#[inline(always)]
pub(super) fn unpack(word: i64) -> (i32, i32) {
    ((word >> SUM) as i32, (word as i32 >> WEIGHT) & 0xFFFF)
}

/// Different rows of a word.
#[inline(always)]
pub(super) fn count(word: i64) -> i64 {
    word & 0xFFFF
}

/// A place to split at: bins of `column` from `bin` on go right.
#[derive(Clone, Copy, Default)]
pub(super) struct Split {
    gain: f64,
    pub(super) column: u8,
    pub(super) bin: u8,
    pub(super) left: i64,
}

/// Gains that are worked out side by side.
const LANES: usize = 4;
/// Places between the bins of a column, and what fills up the last lanes.
const PLACES: usize = BINS + LANES;

/// The best split of one node so far, and memory to look for a better one.
pub(super) struct Search {
    total: i64,
    min_leaf: i64,
    best: Split,
    /// Of each place that may be split at, what is left of it and its bin.
    lefts: [i64; PLACES],
    bins: [u8; BINS],
    gains: [f64; PLACES],
}

impl Default for Search {
    fn default() -> Search {
        Search {
            total: 0,
            min_leaf: 1,
            best: Split::default(),
            lefts: [0; PLACES],
            bins: [0; BINS],
            gains: [0.0; PLACES],
        }
    }
}

impl Search {
    /// Begins with a node whose rows add up to `total`.
    #[inline(always)]
    pub(super) fn start(&mut self, total: i64, min_leaf: i64) {
        (self.total, self.min_leaf, self.best) = (total, min_leaf, Split::default());
    }

    /// The best split; none where no place is better than any other.
    #[inline(always)]
    pub(super) fn best(&self) -> Option<Split> {
        (self.best.gain > 0.0).then_some(self.best)
    }

    /// Looks for a better split by these columns; whether the rows are alike in all of them.
    #[inline(always)]
    pub(super) fn consider<const N: usize>(&mut self, columns: [u8; N], rows: &[Bagged]) -> bool {
        let mut sums = [[0i64; BINS]; N];
        let mut filled = [0u64; N];
        // Column by column a row of the same bin would wait for the one before; together they do not.
        for row in rows {
            for k in 0..N {
                let bin = usize::from(row.bins[usize::from(columns[k]) % COLUMNS]) % BINS;
                sums[k][bin] += row.word;
                filled[k] |= 1 << bin;
            }
        }
        let mut alike = true;
        for k in 0..N {
            alike &= filled[k].count_ones() < 2;
            self.scan(columns[k], &sums[k], filled[k]);
        }
        alike
    }

    /// The best place of one column: with d = s·w_left − s_left·w over all the rows, the squared error
    /// falls by d²/(w²·w_left·w_right)·w. All products but d² are exact.
    #[inline(always)]
    fn scan(&mut self, column: u8, sums: &[i64; BINS], filled: u64) {
        let n = self.places(sums, filled);
        let (sum, weight) = unpack(self.total);
        let (sum, weight) = (f64::from(sum), f64::from(weight));
        let mut most = [0.0; LANES];
        for at in (0..n).step_by(LANES) {
            let Some(lefts) = self.lefts[at..].first_chunk::<LANES>() else { break };
            let Some(gains) = self.gains[at..].first_chunk_mut::<LANES>() else { break };
            for k in 0..LANES {
                let (left_sum, left_weight) = unpack(lefts[k]);
                let (left_sum, left_weight) = (f64::from(left_sum), f64::from(left_weight));
                let d = sum * left_weight - left_sum * weight;
                gains[k] = d * d / (left_weight * (weight - left_weight));
                most[k] = if gains[k] > most[k] { gains[k] } else { most[k] };
            }
        }
        let most = most.into_iter().fold(0.0, |a: f64, b| if b > a { b } else { a });
        if most > self.best.gain {
            let at = self.gains.iter().position(|&gain| gain == most).unwrap_or(0) % BINS;
            let bin = u32::from(self.bins[at]);
            // Half-way to the next bin that has rows.
            let next = (filled & (u64::MAX << 1 << bin)).trailing_zeros();
            let bin = (bin + next).div_ceil(2) as u8;
            self.best = Split { gain: most, column, bin, left: self.lefts[at] };
        }
    }

    /// Finds the places that leave enough rows on both sides; how many they are.
    #[inline(always)]
    fn places(&mut self, sums: &[i64; BINS], filled: u64) -> usize {
        let most = count(self.total) - self.min_leaf;
        let (mut n, mut left, mut rest) = (0, 0, filled);
        loop {
            let bin = rest.trailing_zeros();
            rest &= rest.wrapping_sub(1);
            left += sums[bin as usize % BINS];
            // The last bin leaves nothing to its right; to be safe, neither may nothing at all.
            if (count(left) > most) | (rest == 0) {
                break;
            }
            self.lefts[n % BINS] = left;
            self.bins[n % BINS] = bin as u8;
            n += usize::from(count(left) >= self.min_leaf);
        }
        let n = n % BINS;
        // Of everything the gain is 0/0, which is no better than any other.
        self.lefts[n..n + LANES].fill(self.total);
        n
    }
}

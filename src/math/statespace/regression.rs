//! What regressors explain of rows whose errors are an ARMA: generalised least squares.
//!
//! Owns: it. Does not own: which regressors, or the ARMA's parameters.
//!
//! All columns go through the filter with the same gains (Harvey 1989, 3.4.2); the errors that come
//! out are independent, and ordinary least squares is the rest. The rows handed in are what an earlier
//! solution left over, so that the normal equations make a correction, and lose no digits.

use crate::math::simd;
use crate::math::simd::Kernel;
use crate::math::statespace::arma::Arma;
use crate::math::statespace::arma::Order;
use crate::math::statespace::direct::Room;
use crate::math::statespace::gains::Gains;
use crate::math::statespace::levels::Levels;
use crate::math::statespace::rows::Rows;
use crate::math::statespace::rows::has_digits;
use crate::math::statespace::undifferenced;

/// Numbers that are added at once.
const WIDE: usize = 4;
/// Rows whose products are summed at once.
const BLOCK: usize = 8;
/// A regressor of which less than this share is its own is a copy of others, and gets nothing.
pub(super) const OWN_SHARE: f64 = 1e-9;
/// Share of a regressor's squares that is no more than what sums in f64 leave of zero.
const ROUNDING: f64 = 1e-26;

/// Regressors by row, with room for one more column.
#[derive(Debug, Clone, PartialEq)]
pub struct Columns {
    n: usize,
    width: usize,
    values: Vec<f64>,
}

impl Columns {
    /// `rows` rows of `n` regressors, all zero.
    pub fn zero(rows: usize, n: usize) -> Columns {
        let width = (n + 1).next_multiple_of(WIDE);
        Columns { n, width, values: vec![0.0; rows * width] }
    }

    /// How many regressors.
    pub fn n(&self) -> usize {
        self.n
    }

    /// The regressors of a row.
    pub fn row(&self, row: usize) -> &[f64] {
        &self.values[row * self.width..][..self.n]
    }

    /// The regressors of a row.
    pub fn row_mut(&mut self, row: usize) -> &mut [f64] {
        &mut self.values[row * self.width..][..self.n]
    }

    /// What `beta` makes of a row.
    pub fn explained(&self, row: usize, beta: &[f64]) -> f64 {
        self.row(row).iter().zip(beta).map(|(x, b)| x * b).sum()
    }

    /// Each row less those of `order`'s differences before it.
    pub(super) fn differences(&self, order: &Order) -> Columns {
        order.differences().fold(self.clone(), |columns, lag| columns.differenced(lag))
    }

    /// Each row less the one `lag` before it; the first `lag` are gone. A regressor of which rounding is
    /// all that is left becomes zero.
    fn differenced(&self, lag: usize) -> Columns {
        let shift = (lag * self.width).min(self.values.len());
        let values = self.values[shift..].iter().zip(&self.values).map(|(a, b)| a - b).collect();
        let mut columns = Columns { values, ..*self };
        let (before, after) = (self.squares(), columns.squares());
        for k in (0..self.n).filter(|&k| after[k] <= ROUNDING * before[k]) {
            columns.values.chunks_exact_mut(self.width).for_each(|row| row[k] = 0.0);
        }
        columns
    }

    /// Sum of squares of each regressor.
    fn squares(&self) -> Vec<f64> {
        let mut squares = vec![0.0; self.n];
        for row in self.values.chunks_exact(self.width) {
            squares.iter_mut().zip(row).for_each(|(sum, x)| *sum += x * x);
        }
        squares
    }

    /// Each regressor by itself.
    pub(super) fn by_column(&self) -> Vec<Vec<f64>> {
        let rows = self.values.chunks_exact(self.width);
        (0..self.n).map(|i| rows.clone().map(|row| row[i]).collect()).collect()
    }

    /// The same with nothing in some of the columns.
    fn without(&self, columns: &[usize]) -> Columns {
        let mut rest = self.clone();
        for row in rest.values.chunks_exact_mut(rest.width) {
            columns.iter().for_each(|&k| row[k] = 0.0);
        }
        rest
    }

    /// Zero where `differences` of a regressor are.
    pub(super) fn emptied(&self, differences: &Columns) -> Columns {
        let squares = differences.squares();
        let empty: Vec<usize> = (0..self.n).filter(|&k| squares[k] == 0.0).collect();
        self.without(&empty)
    }

    /// Zero where no row with data tells a regressor from what the levels before the first difference may be: it is
    /// the same there in each slot of the season, or zero where nothing is differenced. Of such a one rounding would
    /// be left, over rounding. `None` where there is none.
    pub(super) fn told(&self, rows: &[f64], order: &Order) -> Option<Columns> {
        let slots = if order.seasonal_d > 0 { order.season.max(1) } else { 1 };
        let is_told = |k: usize| {
            let mut usual = vec![(order.n_lost() == 0).then_some(0.0); slots];
            let mut seen = (0..rows.len()).filter(|&t| !rows[t].is_nan());
            seen.any(|t| {
                let value = self.row(t)[k];
                *usual[t % slots].get_or_insert(value) != value
            })
        };
        let untold: Vec<usize> = (0..self.n).filter(|&k| !is_told(k)).collect();
        (!untold.is_empty()).then(|| self.without(&untold))
    }

    /// What is to be added to β where `left` is what β leaves of the rows. `differences`: of these regressors, where
    /// the rows are differences and these are not.
    pub(super) fn correction(
        &mut self,
        differences: Option<&Columns>,
        arma: &Arma<f64>,
        left: &Rows,
    ) -> Vec<f64> {
        if left.directly(arma.lengths(), self.n + 1) {
            let columns = differences.unwrap_or(self).by_column();
            let whitened = left.whitened(arma, &columns, &mut Room::new());
            let (products, width) = (&whitened.products, self.n + 1);
            if has_digits(whitened.left) {
                return solve(|i, j| products[i.max(j) * width + i.min(j)], self.n);
            }
        }
        let levels = left.levels();
        let rows = levels.map_or(left.values(), Levels::rows);
        for (row, &left) in self.values.chunks_exact_mut(self.width).zip(rows) {
            row[self.n] = left;
        }
        let products = simd::widest(Whiten { arma, columns: self, levels });
        solve(|i, j| products[i.min(j) * self.width + i.max(j)], self.n)
    }
}

/// The products of all columns, each less what an ARMA forecasts of it.
struct Whiten<'a> {
    arma: &'a Arma<f64>,
    columns: &'a Columns,
    /// Where it is the ARMA of their differences.
    levels: Option<&'a Levels>,
}

impl Kernel for Whiten<'_> {
    /// Row-major, `width²`; `j ≥ i` only.
    type Output = Vec<f64>;

    #[inline(always)]
    fn run<const FMA: bool>(self) -> Vec<f64> {
        let width = self.columns.width;
        let last = self.columns.n;
        let rows = self.columns.values.chunks_exact(width);
        let mut products = vec![0.0; width * width];
        let mut block = vec![0.0; BLOCK * width];
        let mut filled = 0;
        let begun = self.levels.map(|levels| {
            let value = |row: usize, column: usize| self.columns.values[row * width + column];
            undifferenced::begin::<f64, FMA>(levels, self.arma, width, value, |errors, variance| {
                let scale = 1.0 / variance.sqrt();
                let to = block[filled * width..][..width].iter_mut();
                to.zip(errors).for_each(|(to, error)| *to = error * scale);
                filled += 1;
                if filled == BLOCK {
                    add_products::<FMA>(&block, width, &mut products);
                    filled = 0;
                }
            })
        });
        let plain = || {
            let gaps = rows.clone().any(|row| row[last].is_nan());
            let states = States::new(self.arma.n_states(), width);
            (self.arma.clone(), Gains::new::<FMA>(self.arma, gaps), states, 0)
        };
        let (arma, mut gains, mut states, first) = begun.map_or_else(plain, |begun| {
            let states = States { r: begun.arma.n_states(), width, head: 0, ring: begun.states };
            (begun.arma, begun.gains, states, begun.row)
        });
        for row in rows.skip(first) {
            let seen = !row[last].is_nan();
            if seen {
                let errors = &mut block[filled * width..][..width];
                states.seen::<FMA>(&arma, &gains, row, errors);
                filled += 1;
            } else {
                states.missing::<FMA>(&arma);
            }
            gains.step::<FMA>(&arma, seen);
            if filled == BLOCK {
                add_products::<FMA>(&block, width, &mut products);
                filled = 0;
            }
        }
        block[filled * width..].fill(0.0);
        add_products::<FMA>(&block, width, &mut products);
        products
    }
}

/// States of every column. State `i` is row `head + i` of a ring: a shift moves nothing.
struct States {
    r: usize,
    width: usize,
    head: usize,
    ring: Vec<f64>,
}

impl States {
    #[inline(always)]
    fn new(r: usize, width: usize) -> States {
        States { r, width, head: 0, ring: vec![0.0; r * width] }
    }

    #[inline(always)]
    fn state(&mut self, i: usize) -> &mut [f64] {
        let at = self.head + i;
        let at = if at >= self.r { at - self.r } else { at };
        &mut self.ring[at * self.width..][..self.width]
    }

    /// A seen row; its errors, in units of their standard deviation.
    #[inline(always)]
    fn seen<const FMA: bool>(
        &mut self,
        arma: &Arma<f64>,
        gains: &Gains<f64>,
        row: &[f64],
        errors: &mut [f64],
    ) {
        let scale = 1.0 / gains.variance().sqrt();
        for ((error, x), forecast) in errors.iter_mut().zip(row).zip(self.state(0)) {
            *error = (x - *forecast) * scale;
            *forecast = 0.0;
        }
        self.head = if self.head + 1 >= self.r { 0 } else { self.head + 1 };
        for &lag in &arma.ar_lags {
            add::<FMA>(arma.ar[lag], row, self.state(lag));
        }
        if gains.steady() {
            for &lag in &arma.ma_lags {
                add::<FMA>(arma.ma[lag], errors, self.state(lag));
            }
        } else {
            for (i, &load) in gains.loads()[..self.r - 1].iter().enumerate() {
                add::<FMA>(load * scale, errors, self.state(i));
            }
        }
    }

    #[inline(always)]
    fn missing<const FMA: bool>(&mut self, arma: &Arma<f64>) {
        let forecast = self.state(0).to_vec();
        self.state(0).fill(0.0);
        self.head = if self.head + 1 >= self.r { 0 } else { self.head + 1 };
        for &lag in &arma.ar_lags {
            add::<FMA>(arma.ar[lag], &forecast, self.state(lag));
        }
    }
}

/// `to += factor·from`.
#[inline(always)]
fn add<const FMA: bool>(factor: f64, from: &[f64], to: &mut [f64]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = simd::fma::<FMA>(factor, *from, *to);
    }
}

/// Adds the products of a block's columns, four by four.
#[inline(always)]
fn add_products<const FMA: bool>(block: &[f64], width: usize, products: &mut [f64]) {
    for i in (0..width).step_by(WIDE) {
        for j in (i..width).step_by(WIDE) {
            let mut sums = [[0.0; WIDE]; WIDE];
            for row in block.chunks_exact(width) {
                let (Some(a), Some(b)) =
                    (row[i..].first_chunk::<WIDE>(), row[j..].first_chunk::<WIDE>())
                else {
                    continue;
                };
                for (sums, a) in sums.iter_mut().zip(a) {
                    for (sum, b) in sums.iter_mut().zip(b) {
                        *sum = simd::fma::<FMA>(*a, *b, *sum);
                    }
                }
            }
            for (k, sums) in sums.iter().enumerate() {
                let to = &mut products[(i + k) * width + j..][..WIDE];
                to.iter_mut().zip(sums).for_each(|(to, sum)| *to += sum);
            }
        }
    }
}

/// The normal equations of `n` regressors, by Cholesky; one that others make up gets zero.
fn solve(at: impl Fn(usize, usize) -> f64, n: usize) -> Vec<f64> {
    let mut lower = vec![0.0; n * n];
    let mut y = vec![0.0; n];
    for i in 0..n {
        let dot = |j: usize, lower: &[f64]| -> f64 {
            (0..j).map(|k| lower[i * n + k] * lower[j * n + k]).sum()
        };
        for j in 0..i {
            let pivot = lower[j * n + j];
            let value = if pivot > 0.0 { (at(i, j) - dot(j, &lower)) / pivot } else { 0.0 };
            lower[i * n + j] = value;
        }
        let own = at(i, i) - dot(i, &lower);
        if own.is_finite() && own > OWN_SHARE * at(i, i) {
            lower[i * n + i] = own.sqrt();
            let known: f64 = (0..i).map(|k| lower[i * n + k] * y[k]).sum();
            y[i] = (at(i, n) - known) / lower[i * n + i];
        }
    }
    for i in (0..n).rev() {
        let pivot = lower[i * n + i];
        let known: f64 = (i + 1..n).map(|k| lower[k * n + i] * y[k]).sum();
        y[i] = if pivot > 0.0 { (y[i] - known) / pivot } else { 0.0 };
    }
    y
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_made_the_rows_is_found_and_copies_get_nothing() {
        let arma = Arma::new(&Order::arma(2, 1), &[0.6, 0.2, 0.5]);
        let mut columns = Columns::zero(200, 3);
        let mut rows = Vec::new();
        for t in 0..200 {
            let x = (t as f64 * 0.7).sin();
            columns.row_mut(t).copy_from_slice(&[1.0, x, 1.0 + x]);
            rows.push(if t % 9 == 4 { f64::NAN } else { 3.0 - 2.0 * x });
        }
        let beta = columns.correction(None, &arma, &Rows::new(rows));
        assert!((beta[0] - 3.0).abs() < 1e-9 && (beta[1] + 2.0).abs() < 1e-9, "{beta:?}");
        assert_eq!(beta[2], 0.0);
    }

    #[test]
    fn what_differences_take_away_leaves_no_rounding_errors() {
        let mut columns = Columns::zero(200, 2);
        for t in 0..200 {
            let turns = std::f64::consts::TAU * t as f64;
            columns.row_mut(t).copy_from_slice(&[(turns / 20.0).sin(), (turns / 70.0).sin()]);
        }
        let left = columns.differenced(20);
        assert!((0..180).all(|t| left.row(t)[0] == 0.0));
        assert!((0..180).any(|t| left.row(t)[1].abs() > 0.5));
    }
}

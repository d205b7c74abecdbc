//! The likelihood of long memories, without a filter.
//!
//! Owns: products of columns in the metric of an ARMA's covariance, and its determinant.
//! Does not own: which columns, and when this is cheaper than the filter (`rows`).
//!
//! Had the series begun at rest, and had no row been missing, its errors were `e = Θ(B)⁻¹Φ(B)y`: few
//! lags, O(n). What it began with, r states of covariance `CCᵀ = P − RRᵀ`, enters the errors through the first
//! columns of `Θ(B)⁻¹`; a missing row through its column of `Θ(B)⁻¹Φ(B)`, or of `Θ(B)⁻¹Φ(B)(1 − B)ᵈ(1 − Bˢ)ᴰ` where the
//! rows are differences of those that are missing. Both are unknowns: of the first the
//! distribution is known, of the second nothing. With them integrated out, the sum of squares is what least
//! squares leaves, and the determinant that of the normal equations (Ljung and Box 1979, The likelihood function
//! of stationary autoregressive-moving average models; Gómez, Maravall and Peña 1999, Missing
//! observations in ARIMA models: skipping approach versus additive outlier approach). Exact, and no step costs
//! states², which the filter's do once a row is missing.

use crate::math::simd::Kernel;
use crate::math::statespace::arma::Arma;
use crate::math::statespace::divide::Dividend;
use crate::math::statespace::divide::Polynomials;
use crate::math::statespace::likelihood::Errors;
use crate::math::statespace::real::Real;
use crate::math::statespace::regression::OWN_SHARE;
use crate::math::statespace::stationary;

/// Pivots between two logarithms: their product cannot overflow.
const LOG_PIVOTS: usize = 12;
/// A pivot below this share of its diagonal is what rounding left of zero.
const ROUNDING: f64 = 1e-14;

/// Memory that is used again: fresh memory of this size costs a third of the time, since the system clears its pages.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Room<T>(Vec<Vec<T>>);

impl<T: Real> Room<T> {
    pub(super) fn new() -> Room<T> {
        Room(Vec::new())
    }

    /// So many zeros.
    #[inline(always)]
    fn take(&mut self, n: usize) -> Vec<T> {
        // The smallest that will do: else each would grow as large as the largest.
        let fits = self.0.iter().enumerate().filter(|(_, kept)| kept.capacity() >= n);
        let place = fits.min_by_key(|(_, kept)| kept.capacity()).map(|(place, _)| place);
        let mut zeros = place.map(|place| self.0.swap_remove(place)).unwrap_or_default();
        zeros.clear();
        zeros.resize(n, T::splat(0.0));
        zeros
    }

    /// Takes them back.
    #[inline(always)]
    fn keep(&mut self, used: Vec<T>) {
        self.0.push(used);
    }
}

/// Columns under several ARMAs at once.
pub(super) struct Direct<'a, T> {
    pub(super) arma: &'a Arma<T>,
    /// What a missing row enters by: the same, or that of rows of which the columns are differences.
    pub(super) gaps: &'a Arma<T>,
    /// As long as each other, at least as long as there are states, and without gaps: where a row is missing,
    /// any number will do.
    pub(super) columns: &'a [&'a [f64]],
    /// How many of the columns, the first of them, have a factor of which nothing is known.
    pub(super) unknown: usize,
    /// The rows that are missing.
    pub(super) missing: &'a [usize],
    pub(super) room: &'a mut Room<T>,
}

/// What comes out.
pub(super) struct Whitened<T> {
    /// `XᵀΣ⁻¹X` of the columns that have no unknown factor, without the missing rows, row-major; `j ≤ i` only.
    pub(super) products: Vec<T>,
    /// log |Σ|, in units of the innovations' variance.
    pub(super) log_variance: T,
    /// Of the last column, what the unknowns leave of the sum of squares: digits are lost by as much.
    pub(super) left: T,
}

impl<T: Real> Whitened<T> {
    /// What is left of the last column when it is regressed on the others.
    pub(super) fn errors(mut self) -> Errors<T> {
        let width = self.products.len().isqrt();
        let limit = T::splat(OWN_SHARE);
        let limits: Vec<T> = (0..width).map(|i| self.products[i * width + i] * limit).collect();
        let rest = width.saturating_sub(1);
        eliminate::<T, false>(&mut self.products, width, &limits[..rest]);
        let squares = self.products.last().copied().unwrap_or(T::splat(0.0));
        Errors { squares, log_variance: self.log_variance }
    }
}

impl<T: Real> Kernel for Direct<'_, T> {
    type Output = Whitened<T>;

    #[inline(always)]
    fn run<const FMA: bool>(self) -> Whitened<T> {
        let n = self.columns.first().map_or(0, |column| column.len());
        let (polynomials, of_gaps) = (Polynomials::new(self.arma), Polynomials::new(self.gaps));
        let r = self.arma.n_states();
        let width = r + self.missing.len() + self.columns.len();
        let begin = begin::<T, FMA>(self.arma, self.room);
        let matrix = self.room.take(width * width);
        let mut normal = Normal { r, width, begin, matrix, room: self.room };
        let mut back = normal.room.take(n);
        normal.states::<FMA>(&polynomials, &mut back);
        normal.gaps::<FMA>(&of_gaps, self.missing, &mut back);
        normal.columns::<FMA>([&polynomials, &of_gaps], self.columns, self.missing, &mut back);
        let all = normal.matrix.last().copied().unwrap_or(T::splat(0.0));
        let known = normal.width - self.columns.len() + self.unknown;
        let log_variance =
            eliminate::<T, FMA>(&mut normal.matrix, normal.width, &vec![T::splat(0.0); known]);
        let rows = normal.matrix.chunks_exact(normal.width).skip(known);
        let products: Vec<T> = rows.flat_map(|row| row[known..].iter().copied()).collect();
        let left = products.last().copied().unwrap_or(all) / all;
        let Normal { room, matrix, begin, .. } = normal;
        [back, matrix, begin].into_iter().for_each(|used| room.keep(used));
        Whitened { products, log_variance, left }
    }
}

/// Transposed: row `i` is column `i` of the Cholesky factor of what the states are unsure of before the first
/// innovation, `P − RRᵀ`. Where a state is sure, zero.
#[inline(always)]
fn begin<T: Real, const FMA: bool>(arma: &Arma<T>, room: &mut Room<T>) -> Vec<T> {
    let r = arma.n_states();
    let p = stationary::whole(arma, &stationary::first_row::<T, FMA>(arma));
    let mut lower = room.take(r * r);
    let mut inverse = Vec::with_capacity(r);
    for i in 0..r {
        let (done, own) = lower.split_at_mut(i * r);
        for j in 0..=i {
            let other = if j < i { &done[j * r..][..j] } else { &own[..j] };
            let known = dot::<T, FMA>(&own[..j], other);
            let value = p[i * r + j] - arma.load(i) * arma.load(j) - known;
            if j == i {
                inverse.push(value.inverse_root(p[i * r + i] * T::splat(ROUNDING)));
            }
            own[j] = value * inverse[j];
        }
    }
    let mut transposed = room.take(r * r);
    for i in 0..r {
        (0..=i).for_each(|j| transposed[j * r + i] = lower[i * r + j]);
    }
    room.keep(lower);
    transposed
}

/// The normal equations: unknowns of the beginning, missing rows, columns. `j ≤ i` only.
struct Normal<'a, T> {
    r: usize,
    width: usize,
    begin: Vec<T>,
    matrix: Vec<T>,
    room: &'a mut Room<T>,
}

impl<T: Real> Normal<'_, T> {
    /// `I + CᵀAᵀAC`, where A are the first columns of `Θ(B)⁻¹`.
    #[inline(always)]
    fn states<const FMA: bool>(&mut self, polynomials: &Polynomials<T>, back: &mut [T]) {
        let (r, n) = (self.r, back.len());
        let one = [T::splat(1.0)];
        let mut impulse = self.room.take(n);
        polynomials.divide::<FMA>(&Dividend::Forwards(&one), &mut impulse);
        polynomials.divide::<FMA>(&Dividend::Backwards(&impulse), back);
        // AᵀA: the same along each diagonal, but for what the end cuts off.
        let mut gram = self.room.take(r * r);
        for d in 0..r {
            let mut value = back[n - 1 - d];
            for i in 0..r - d {
                gram[i * r + i + d] = value;
                gram[(i + d) * r + i] = value;
                value = value - impulse[n - 1 - i] * impulse[n - 1 - i - d];
            }
        }
        let mut half = self.room.take(r * r);
        for j in 0..r {
            let column = &self.begin[j * r..][j..r];
            for k in 0..r {
                half[j * r + k] = dot::<T, FMA>(&gram[k * r..][j..r], column);
            }
        }
        for i in 0..r {
            let column = &self.begin[i * r..][i..r];
            for j in 0..=i {
                self.matrix[i * self.width + j] = dot::<T, FMA>(column, &half[j * r..][i..r]);
            }
            let own = &mut self.matrix[i * self.width + i];
            *own = *own + one[0];
        }
        [half, gram, impulse].into_iter().for_each(|used| self.room.keep(used));
    }

    /// The rows of the missing rows.
    #[inline(always)]
    fn gaps<const FMA: bool>(
        &mut self,
        of_gaps: &Polynomials<T>,
        missing: &[usize],
        back: &mut [T],
    ) {
        if missing.is_empty() {
            return;
        }
        let mut impulse = vec![0.0; back.len()];
        impulse[0] = 1.0;
        let mut response = self.room.take(back.len());
        of_gaps.divide::<FMA>(&Dividend::Rows(&impulse), &mut response);
        response.reverse();
        for (i, &row) in missing.iter().enumerate() {
            of_gaps.divide::<FMA>(&Dividend::Forwards(&response[row..]), back);
            self.write::<FMA>(self.r + i, of_gaps, &missing[..=i], back);
        }
        self.room.keep(response);
    }

    /// The rows of the columns.
    #[inline(always)]
    fn columns<const FMA: bool>(
        &mut self,
        [polynomials, of_gaps]: [&Polynomials<T>; 2],
        columns: &[&[f64]],
        missing: &[usize],
        back: &mut [T],
    ) {
        let first = self.r + missing.len();
        let n = back.len();
        let mut errors = self.room.take(n * columns.len());
        for (j, column) in columns.iter().enumerate() {
            let (before, own) = errors[..(j + 1) * n].split_at_mut(j * n);
            polynomials.divide::<FMA>(&Dividend::Rows(column), own);
            polynomials.divide::<FMA>(&Dividend::Backwards(own), back);
            self.write::<FMA>(first + j, of_gaps, missing, back);
            let to = &mut self.matrix[(first + j) * self.width + first..];
            for (to, before) in to.iter_mut().zip(before.chunks_exact(n)) {
                *to = dot::<T, FMA>(own, before);
            }
            to[j] = dot::<T, FMA>(own, own);
        }
        self.room.keep(errors);
    }

    /// Products of a sequence with the unknowns; `back` is the sequence divided from its end to its beginning.
    #[inline(always)]
    fn write<const FMA: bool>(
        &mut self,
        row: usize,
        of_gaps: &Polynomials<T>,
        missing: &[usize],
        back: &[T],
    ) {
        let (r, n) = (self.r, back.len());
        let mut first: Vec<T> = back[n - r..].to_vec();
        first.reverse();
        let to = &mut self.matrix[row * self.width..];
        for (i, to) in to[..r].iter_mut().enumerate() {
            *to = dot::<T, FMA>(&self.begin[i * r..][i..r], &first[i..]);
        }
        for (to, &gap) in to[r..].iter_mut().zip(missing) {
            let mut sum = back[n - 1 - gap];
            for &(lag, factor) in of_gaps.multiplier.iter().filter(|(lag, _)| gap + lag < n) {
                sum = factor.fma::<FMA>(back[n - 1 - gap - lag], sum);
            }
            *to = sum;
        }
    }
}

/// Cholesky's elimination of the first rows, one for each of `limits`; the rest is what they leave. Pivots not above
/// their limit count for nothing. Logarithm of the determinant.
#[inline(always)]
fn eliminate<T: Real, const FMA: bool>(matrix: &mut [T], width: usize, limits: &[T]) -> T {
    let known = limits.len();
    let mut inverse = Vec::with_capacity(known);
    let (mut log, mut product) = (T::splat(0.0), T::splat(1.0));
    for i in 0..width {
        let (done, own) = matrix.split_at_mut(i * width);
        for j in 0..i.min(known) {
            let other = &done[j * width..][..j];
            own[j] = (own[j] - dot::<T, FMA>(&own[..j], other)) * inverse[j];
        }
        for j in known..i {
            own[j] = own[j] - dot::<T, FMA>(&own[..known], &done[j * width..][..known]);
        }
        let first = i.min(known);
        let pivot = own[i] - dot::<T, FMA>(&own[..first], &own[..first]);
        own[i] = pivot;
        if i < known {
            inverse.push(pivot.inverse_root(limits[i]));
            product = product * pivot;
            if (i + 1) % LOG_PIVOTS == 0 {
                log = log + product.ln();
                product = T::splat(1.0);
            }
        }
    }
    log + product.ln()
}

/// `Σ aᵢbᵢ`; four sums at once, so that none waits for the one before.
#[inline(always)]
pub(super) fn dot<T: Real, const FMA: bool>(a: &[T], b: &[T]) -> T {
    let n = a.len().min(b.len());
    let (a, b) = (&a[..n], &b[..n]);
    let mut sums = [T::splat(0.0); 4];
    let (a, b) = (a.as_chunks::<4>(), b.as_chunks::<4>());
    for (a, b) in a.0.iter().zip(b.0) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum = a.fma::<FMA>(*b, *sum);
        }
    }
    let [first, second, third, fourth] = sums;
    let mut sum = (first + second) + (third + fourth);
    for (a, b) in a.1.iter().zip(b.1) {
        sum = a.fma::<FMA>(*b, sum);
    }
    sum
}

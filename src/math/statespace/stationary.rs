//! Where an ARMA begins: the covariance of its states when nothing was seen.
//!
//! Owns: it. Does not own: how it changes (`gains`).
//!
//! From autocovariances rather than a Lyapunov equation: O(r²) instead of O(r⁶) or O(r³). These factor by factor, and
//! where the memory is long with twice as many digits: of a product of factors near the unit circle so many go on the
//! way to its partial autocorrelations, and again where the moving average takes away what the autoregression
//! brings, that log-likelihoods were wrong by .5.

use crate::math::simd;
use crate::math::simd::Kernel;
use crate::math::statespace::arma::Arma;
use crate::math::statespace::arma::Factors;
use crate::math::statespace::real::Real;

/// Variance of the autoregression, in units of the innovations', from which on more digits are needed: they go with its
/// square, and a moving average may leave next to nothing of it.
const LONG_MEMORY: f64 = 1000.0;

/// First row of the states' stationary covariance.
#[inline(always)]
pub(super) fn first_row<T: Real, const FMA: bool>(arma: &Arma<T>) -> Vec<T> {
    let plain = of_autoregression::<T, FMA>(&arma.factors, arma.lags());
    let variance = plain[0];
    if variance.below(LONG_MEMORY) && (-variance).below(0.0) {
        return of_states::<T, FMA>(arma, plain);
    }
    // Much code, and many who ask: compiled once.
    if FMA { simd::widest(LongMemory(arma)) } else { LongMemory(arma).run::<false>() }
}

/// The same with twice as many digits.
struct LongMemory<'a, T>(&'a Arma<T>);

impl<T: Real> Kernel for LongMemory<'_, T> {
    type Output = Vec<T>;

    #[inline(always)]
    fn run<const FMA: bool>(self) -> Vec<T> {
        let arma = self.0.factors.doubled().multiplied(self.0.n_states());
        let plain = of_autoregression::<_, FMA>(&arma.factors, arma.lags());
        of_states::<_, FMA>(&arma, plain).into_iter().map(|value| value.high).collect()
    }
}

/// The first row, of the autocovariances of the autoregression alone.
#[inline(always)]
fn of_states<T: Real, const FMA: bool>(arma: &Arma<T>, plain: Vec<T>) -> Vec<T> {
    let Factors { ma, seasonal_ma, season, .. } = &arma.factors;
    let short = of_moving_average::<T, FMA>(plain, ma, 1);
    let gamma = of_moving_average::<T, FMA>(short, seasonal_ma, *season);
    let psi = psi::<T, FMA>(arma);
    let r = arma.n_states();
    let mut row = Vec::with_capacity(r);
    row.push(gamma[0]);
    for j in 1..r {
        let mut sum = arma.ma[j - 1];
        for &lag in arma.ar_lags.iter().filter(|&&lag| lag >= j) {
            sum = arma.ar[lag].fma::<FMA>(gamma[lag + 1 - j], sum);
        }
        for &lag in arma.ma_lags.iter().filter(|&&lag| lag >= j) {
            sum = arma.ma[lag].fma::<FMA>(psi[lag + 1 - j], sum);
        }
        row.push(sum);
    }
    row
}

/// The whole stationary covariance, row-major, of its first row.
#[inline(always)]
pub(super) fn whole<T: Real>(arma: &Arma<T>, first: &[T]) -> Vec<T> {
    let r = arma.n_states();
    let zero = T::splat(0.0);
    let at = |i: usize| if i < r { first[i] } else { zero };
    let load = |i: usize| if i == 0 { T::splat(1.0) } else { arma.ma[i - 1] };
    let mut p = vec![zero; r * r];
    for i in (0..r).rev() {
        for j in (i..r).rev() {
            let shifted = if j + 1 < r { p[(i + 1) * r + j + 1] } else { zero };
            let (fi, fj) = (arma.ar[i], arma.ar[j]);
            let value = shifted + fi * fj * first[0] + fi * at(j + 1) + fj * at(i + 1);
            p[i * r + j] = value + load(i) * load(j);
        }
    }
    for i in 0..r {
        (0..i).for_each(|j| p[i * r + j] = p[j * r + i]);
    }
    p[..r].copy_from_slice(first);
    p
}

/// `ψ₀..ψᵣ`.
#[inline(always)]
fn psi<T: Real, const FMA: bool>(arma: &Arma<T>) -> Vec<T> {
    let r = arma.n_states();
    let mut psi = vec![T::splat(1.0); r + 1];
    for m in 1..=r {
        let mut sum = arma.ma[m - 1];
        for &lag in arma.ar_lags.iter().filter(|&&lag| lag < m) {
            sum = arma.ar[lag].fma::<FMA>(psi[m - 1 - lag], sum);
        }
        psi[m] = sum;
    }
    psi
}

/// Autocovariances of a moving average, with lags that are multiples of one, over what has the given ones.
#[inline(always)]
fn of_moving_average<T: Real, const FMA: bool>(plain: Vec<T>, ma: &[T], lag: usize) -> Vec<T> {
    let q = ma.len();
    if q == 0 {
        return plain;
    }
    // No closures: one might be compiled by itself, and then for the oldest machine.
    let mut taps = Vec::with_capacity(q + 1);
    taps.push(T::splat(1.0));
    taps.extend_from_slice(ma);
    let mut weights = Vec::with_capacity(q + 1);
    for d in 0..=q {
        let mut weight = T::splat(0.0);
        for (a, b) in taps.iter().zip(&taps[d..]) {
            weight = a.fma::<FMA>(*b, weight);
        }
        weights.push(weight);
    }
    let mut gamma = Vec::with_capacity(plain.len() - q * lag);
    for (k, &own) in plain[..plain.len() - q * lag].iter().enumerate() {
        let mut sum = own * weights[0];
        for (d, weight) in weights.iter().enumerate().skip(1) {
            let both = plain[k.abs_diff(d * lag)] + plain[k + d * lag];
            sum = weight.fma::<FMA>(both, sum);
        }
        gamma.push(sum);
    }
    gamma
}

/// Autocovariances `0..=n` of the autoregression alone, or more.
///
/// `φ(B)Φ(Bˢ)y = e`, so that `x = Φ(Bˢ)y` is the short factor's. The covariances `g(k)` of x with the y that is k rows
/// older go on with k by the short factor. With a season they are those of x, `g(k) − Σ Φⱼ g(k + js)`: p
/// equations, of which the inverse covariance of p rows of x makes better ones. And `γ(k) − Σ Φⱼ γ(k − js)` is
/// `g(k)`: P equations for each two slots as far before and after the season's beginning.
#[inline(always)]
fn of_autoregression<T: Real, const FMA: bool>(factors: &Factors<T>, n: usize) -> Vec<T> {
    let Factors { ar, seasonal_ar, season, .. } = factors;
    let long = seasonal_ar.len() * season;
    let n = n.max(long);
    let mut g = begin::<T, FMA>(factors, n);
    while g.len() <= n {
        let mut next = T::splat(0.0);
        for (c, before) in ar.iter().zip(g.iter().rev()) {
            next = c.fma::<FMA>(*before, next);
        }
        g.push(next);
    }
    if seasonal_ar.is_empty() {
        return g;
    }
    let p = seasonal_ar.len();
    // Of the sums of two slots, and of their differences.
    let inverses = [T::splat(-1.0), T::splat(1.0)].map(|sign| {
        let mut matrix = vec![T::splat(0.0); p * p];
        for j in 0..p {
            matrix[j * p + j] = matrix[j * p + j] + T::splat(1.0);
            for (i, &c) in (1..).zip(seasonal_ar) {
                let (to, c) = if i <= j { (j - i, -c) } else { (i - j - 1, sign * c) };
                matrix[j * p + to] = matrix[j * p + to] + c;
            }
        }
        inverted::<T, FMA>(matrix, p)
    });
    let mut gamma = g.clone();
    for slot in 0..=season / 2 {
        for i in 0..p {
            let (mut sum, mut difference) = (T::splat(0.0), T::splat(0.0));
            for j in 0..p {
                let (one, other) = (g[slot + j * season], g[season - slot + j * season]);
                sum = inverses[0][i * p + j].fma::<FMA>(one + other, sum);
                difference = inverses[1][i * p + j].fma::<FMA>(one - other, difference);
            }
            let half = T::splat(0.5);
            gamma[slot + i * season] = half * (sum + difference);
            gamma[season - slot + i * season] = half * (sum - difference);
        }
    }
    for k in long + 1..=n {
        for (j, &c) in (1..).zip(seasonal_ar) {
            gamma[k] = c.fma::<FMA>(gamma[k - j * season], gamma[k]);
        }
    }
    gamma
}

/// `g(0)..g(p − 1)`, or `g(0)` where p is zero; with room for `n` more.
#[inline(always)]
fn begin<T: Real, const FMA: bool>(factors: &Factors<T>, n: usize) -> Vec<T> {
    let (zero, one) = (T::splat(0.0), T::splat(1.0));
    let p = factors.ar.len().max(1);
    let mut taps = vec![zero; p + 1];
    taps[0] = one;
    for (to, &c) in taps[1..].iter_mut().zip(&factors.ar) {
        *to = -c;
    }
    // The inverse covariance of p rows (Siddiqui 1958): times their autocovariances it is 1, 0, 0…
    let mut matrix = Vec::with_capacity(p * p);
    for i in 0..p {
        for j in 0..p {
            let mut weight = zero;
            for k in 0..=i.min(j) {
                weight = taps[i - k].fma::<FMA>(taps[j - k], weight);
                weight = (-taps[p + k - i]).fma::<FMA>(taps[p + k - j], weight);
            }
            matrix.push(weight);
        }
    }
    if !factors.seasonal_ar.is_empty() {
        matrix = times::<T, FMA>(&matrix, &seasons::<T, FMA>(factors, p), p);
    }
    let inverse = inverted::<T, FMA>(matrix, p);
    let mut g = Vec::with_capacity(n + p + 1);
    for i in 0..p {
        g.push(inverse[i * p]);
    }
    g
}

/// What `g(k) − Σ Φⱼ g(k + js)` has of `g(0)..g(p − 1)`, row by row.
#[inline(always)]
fn seasons<T: Real, const FMA: bool>(factors: &Factors<T>, p: usize) -> Vec<T> {
    let long = factors.seasonal_ar.len() * factors.season;
    let mut shares = vec![T::splat(0.0); (p + long) * p];
    (0..p).for_each(|k| shares[k * p + k] = T::splat(1.0));
    for k in p..p + long {
        for i in 0..p {
            let mut share = T::splat(0.0);
            for (j, c) in factors.ar.iter().enumerate() {
                share = c.fma::<FMA>(shares[(k - 1 - j) * p + i], share);
            }
            shares[k * p + i] = share;
        }
    }
    let mut left = shares[..p * p].to_vec();
    for (j, &c) in (1..).zip(&factors.seasonal_ar) {
        for (to, share) in left.iter_mut().zip(&shares[j * factors.season * p..]) {
            *to = (-c).fma::<FMA>(*share, *to);
        }
    }
    left
}

/// The product of two small matrices, row-major.
#[inline(always)]
fn times<T: Real, const FMA: bool>(a: &[T], b: &[T], n: usize) -> Vec<T> {
    let mut product = vec![T::splat(0.0); n * n];
    for i in 0..n {
        for j in 0..n {
            for k in 0..n {
                product[i * n + k] = a[i * n + j].fma::<FMA>(b[j * n + k], product[i * n + k]);
            }
        }
    }
    product
}

/// The inverse of a small matrix, row-major, by pivots from the last to the first: in this order none of those that
/// are asked for here is zero.
#[inline(always)]
fn inverted<T: Real, const FMA: bool>(mut matrix: Vec<T>, n: usize) -> Vec<T> {
    for k in (0..n).rev() {
        let pivot = T::splat(1.0) / matrix[k * n + k];
        matrix[k * n + k] = T::splat(1.0);
        (0..n).for_each(|j| matrix[k * n + j] = matrix[k * n + j] * pivot);
        for i in (0..n).filter(|&i| i != k) {
            let own = -matrix[i * n + k];
            matrix[i * n + k] = T::splat(0.0);
            for j in 0..n {
                matrix[i * n + j] = own.fma::<FMA>(matrix[k * n + j], matrix[i * n + j]);
            }
        }
    }
    matrix
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::statespace::arma::Order;

    #[test]
    fn stationary_covariance_is_its_own_next() {
        let order =
            Order { p: 2, q: 1, seasonal_p: 1, seasonal_q: 2, season: 4, ..Order::default() };
        let arma = Arma::new(&order, &[0.5, 0.3, 0.4, -0.6, 0.5, -0.2]);
        let r = arma.n_states();
        let p = whole(&arma, &first_row::<f64, false>(&arma));
        let at = |i: usize, j: usize| if i < r && j < r { p[i * r + j] } else { 0.0 };
        let load = |i: usize| if i == 0 { 1.0 } else { arma.ma[i - 1] };
        for i in 0..r {
            for j in 0..r {
                let (fi, fj) = (arma.ar[i], arma.ar[j]);
                let next = fi * fj * at(0, 0) + fi * at(0, j + 1) + fj * at(i + 1, 0);
                let next = next + at(i + 1, j + 1) + load(i) * load(j);
                assert!((next - at(i, j)).abs() < 1e-11, "{i} {j}");
            }
        }
        let plain = Arma::new(&Order::arma(1, 1), &[0.5, 0.4]);
        let wanted = (1.0 + 2.0 * 0.5 * 0.4 + 0.16) / 0.75;
        assert!((first_row::<f64, false>(&plain)[0] - wanted).abs() < 1e-12);
    }
}

//! Where an ARMA begins: the covariance of its states when nothing was seen.
//!
//! Owns: it. Does not own: how it changes (`gains`).
//!
//! From autocovariances rather than a Lyapunov equation: O(r²) instead of O(r⁶) or O(r³). Of the
//! autoregression's polynomial the partial autocorrelations (step-down), of these its
//! autocovariances (Levinson backwards), and the moving average as a sparse convolution.

use crate::math::statespace::arma::Arma;
use crate::math::statespace::real::Real;

/// First row of the states' stationary covariance.
#[inline(always)]
pub(super) fn first_row<T: Real>(arma: &Arma<T>) -> Vec<T> {
    let r = arma.n_states();
    let gamma = autocovariances(arma);
    let psi = psi(arma);
    let mut row = vec![T::splat(0.0); r];
    row[0] = gamma[0];
    for j in 1..r {
        let mut sum = arma.ma[j - 1];
        for &lag in arma.ar_lags.iter().filter(|&&lag| lag >= j) {
            sum = sum + arma.ar[lag] * gamma[lag + 1 - j];
        }
        for &lag in arma.ma_lags.iter().filter(|&&lag| lag >= j) {
            sum = sum + arma.ma[lag] * psi[lag + 1 - j];
        }
        row[j] = sum;
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
fn psi<T: Real>(arma: &Arma<T>) -> Vec<T> {
    let r = arma.n_states();
    let mut psi = vec![T::splat(1.0); r + 1];
    for m in 1..=r {
        let mut sum = arma.ma[m - 1];
        for &lag in arma.ar_lags.iter().filter(|&&lag| lag < m) {
            sum = sum + arma.ar[lag] * psi[m - 1 - lag];
        }
        psi[m] = sum;
    }
    psi
}

/// Autocovariances `γ(0)..γ(r)`.
#[inline(always)]
fn autocovariances<T: Real>(arma: &Arma<T>) -> Vec<T> {
    let r = arma.n_states();
    let q = arma.ma_lags.last().map_or(0, |lag| lag + 1);
    let plain = of_autoregression(arma, r + q);
    let one = T::splat(1.0);
    let taps: Vec<(usize, T)> = std::iter::once((0, one))
        .chain(arma.ma_lags.iter().map(|&lag| (lag + 1, arma.ma[lag])))
        .collect();
    let mut gamma = vec![T::splat(0.0); r + 1];
    for (k, gamma) in gamma.iter_mut().enumerate() {
        for &(i, a) in &taps {
            for &(j, b) in &taps {
                *gamma = *gamma + a * b * plain[(k + i).abs_diff(j)];
            }
        }
    }
    gamma
}

/// Autocovariances `0..=n` of the autoregression alone.
#[inline(always)]
fn of_autoregression<T: Real>(arma: &Arma<T>, n: usize) -> Vec<T> {
    let p = arma.ar_lags.last().map_or(0, |lag| lag + 1);
    let one = T::splat(1.0);
    // orders[m]: the best autoregression of order m on the same series.
    let mut orders = vec![Vec::new(); p + 1];
    orders[p] = arma.ar[..p].to_vec();
    let mut variance = one;
    for m in (1..=p).rev() {
        let k = orders[m][m - 1];
        let scale = one / (one - k * k);
        variance = variance * scale;
        let upper = &orders[m];
        orders[m - 1] = (0..m - 1).map(|i| (upper[i] + k * upper[m - 2 - i]) * scale).collect();
    }
    let mut gamma = vec![T::splat(0.0); n.max(p) + 1];
    gamma[0] = variance;
    let mut error = variance;
    for m in 1..=p {
        let k = orders[m][m - 1];
        let mut sum = k * error;
        for (i, &c) in orders[m - 1].iter().enumerate() {
            sum = sum + c * gamma[m - 1 - i];
        }
        gamma[m] = sum;
        error = error * (one - k * k);
    }
    for m in p + 1..=n {
        let mut sum = T::splat(0.0);
        for &lag in &arma.ar_lags {
            sum = sum + arma.ar[lag] * gamma[m - 1 - lag];
        }
        gamma[m] = sum;
    }
    gamma
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
        let p = whole(&arma, &first_row(&arma));
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
        assert!((first_row(&plain)[0] - wanted).abs() < 1e-12);
    }
}

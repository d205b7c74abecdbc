//! The filter of few states, all of it in registers.
//!
//! Owns: forecast errors under ARMAs of 1..=[`FEW`] states.
//! Does not own: more of them (`likelihood`).

use crate::math::statespace::arma::Arma;
use crate::math::statespace::gains::FEW;
use crate::math::statespace::gains::WHOLE_STEADY;
use crate::math::statespace::likelihood::Errors;
use crate::math::statespace::likelihood::LOG_ROWS;
use crate::math::statespace::real::Real;

/// Forecast errors of `rows` (NaN: missing) where states and their covariance, row-major, are given.
#[inline(always)]
pub(super) fn errors<const FMA: bool, T: Real>(
    arma: &Arma<T>,
    rows: &[f64],
    state: &[T],
    whole: &[T],
) -> Errors<T> {
    match arma.n_states() {
        0 | 1 => errors_of::<1, FMA, T>(arma, rows, state, whole),
        2 => errors_of::<2, FMA, T>(arma, rows, state, whole),
        3 => errors_of::<3, FMA, T>(arma, rows, state, whole),
        _ => errors_of::<FEW, FMA, T>(arma, rows, state, whole),
    }
}

#[inline(always)]
fn errors_of<const R: usize, const FMA: bool, T: Real>(
    arma: &Arma<T>,
    rows: &[f64],
    state: &[T],
    whole: &[T],
) -> Errors<T> {
    let mut pass = Pass::<R, T>::new(arma, state, whole);
    let mut steady = false;
    for &y in rows {
        if y.is_nan() {
            pass.missing::<FMA>();
            steady = false;
        } else if steady {
            pass.steady::<FMA>(T::splat(y));
        } else {
            pass.seen::<FMA>(T::splat(y));
            steady = pass.is_steady();
        }
    }
    pass.errors.log_variance = pass.errors.log_variance + pass.product.ln();
    pass.errors
}

struct Pass<const R: usize, T> {
    ar: [T; R],
    /// What an innovation adds to each state.
    loads: [T; R],
    state: [T; R],
    /// Their covariance; `j ≥ i` only.
    p: [[T; R]; R],
    errors: Errors<T>,
    /// Variances whose logarithm was not taken yet.
    product: T,
    n_product: usize,
}

/// The next number, and zero after the last.
#[inline(always)]
fn next<const R: usize, T: Real>(values: &[T; R], i: usize) -> T {
    if i + 1 < R { values[i + 1] } else { T::splat(0.0) }
}

impl<const R: usize, T: Real> Pass<R, T> {
    #[inline(always)]
    fn new(arma: &Arma<T>, begin: &[T], whole: &[T]) -> Pass<R, T> {
        let zero = T::splat(0.0);
        let (mut ar, mut loads, mut p) = ([zero; R], [zero; R], [[zero; R]; R]);
        let mut state = [zero; R];
        state.copy_from_slice(&begin[..R]);
        for i in 0..R {
            (ar[i], loads[i]) = (arma.ar[i], arma.load(i));
            p[i].copy_from_slice(&whole[i * R..][..R]);
        }
        let errors = Errors { squares: zero, log_variance: zero };
        Pass { ar, loads, state, p, errors, product: T::splat(1.0), n_product: 0 }
    }

    /// One row while the gains still change: `P' = shift(P − P₀ᵀP₀ ⁄ F) + RRᵀ`.
    #[inline(always)]
    fn seen<const FMA: bool>(&mut self, value: T) {
        let first = self.p[0];
        let inverse = T::splat(1.0) / first[0];
        let error = value - self.state[0];
        let unit = error * inverse;
        self.errors.squares = unit.fma::<FMA>(error, self.errors.squares);
        self.product = self.product * first[0];
        self.n_product += 1;
        if self.n_product == LOG_ROWS {
            self.errors.log_variance = self.errors.log_variance + self.product.ln();
            (self.product, self.n_product) = (T::splat(1.0), 0);
        }
        for i in 0..R {
            let moved = self.ar[i].fma::<FMA>(value, next(&self.state, i));
            self.state[i] = next(&first, i).fma::<FMA>(unit, moved);
            let own = -(next(&first, i) * inverse);
            for j in i..R {
                let noise = self.loads[i].fma::<FMA>(self.loads[j], self.shifted(i, j));
                self.p[i][j] = own.fma::<FMA>(next(&first, j), noise);
            }
        }
    }

    /// A missing row: `P' = T·P·Tᵀ + RRᵀ`.
    #[inline(always)]
    fn missing<const FMA: bool>(&mut self) {
        let (first, forecast) = (self.p[0], self.state[0]);
        for i in 0..R {
            self.state[i] = self.ar[i].fma::<FMA>(forecast, next(&self.state, i));
            let both = self.ar[i].fma::<FMA>(first[0], next(&first, i));
            for j in i..R {
                let noise = self.loads[i].fma::<FMA>(self.loads[j], self.shifted(i, j));
                let moved = self.ar[i].fma::<FMA>(next(&first, j), noise);
                self.p[i][j] = self.ar[j].fma::<FMA>(both, moved);
            }
        }
    }

    #[inline(always)]
    fn shifted(&self, i: usize, j: usize) -> T {
        if j + 1 < R { self.p[i + 1][j + 1] } else { T::splat(0.0) }
    }

    /// In the steady state only the innovation is unknown: P is RRᵀ.
    #[inline(always)]
    fn is_steady(&self) -> bool {
        let mut excess = T::splat(0.0);
        for i in 0..R {
            excess = excess + self.p[i][i] - self.loads[i] * self.loads[i];
        }
        excess.below(WHOLE_STEADY)
    }

    /// One row in the steady state.
    #[inline(always)]
    fn steady<const FMA: bool>(&mut self, value: T) {
        let error = value - self.state[0];
        self.errors.squares = error.fma::<FMA>(error, self.errors.squares);
        for i in 0..R {
            let moved = self.ar[i].fma::<FMA>(value, next(&self.state, i));
            self.state[i] = next(&self.loads, i).fma::<FMA>(error, moved);
        }
    }
}

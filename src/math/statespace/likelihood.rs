//! How likely rows are under an ARMA.
//!
//! Owns: forecast errors of one column of rows, and the likelihood that they make.
//! Does not own: regressors (`regression`), the search (`fit`).

use crate::math::simd::Kernel;
use crate::math::statespace::arma::Arma;
use crate::math::statespace::gains::FEW;
use crate::math::statespace::gains::Gains;
use crate::math::statespace::real::Real;
use crate::math::statespace::small;
use crate::math::statespace::stationary;

/// Rows between two logarithms: their variances' product cannot overflow.
pub(super) const LOG_ROWS: usize = 12;

/// Added to each square, so that rows that are all the same are likely, not more than that.
const TINY: f64 = f64::MIN_POSITIVE;

/// What the forecast errors of some rows come to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Errors<T> {
    /// Sum of squares, each in units of its variance.
    pub(super) squares: T,
    /// Sum of the logarithms of the variances.
    pub(super) log_variance: T,
}

impl<T: Real> Errors<T> {
    /// Log-likelihood where the innovations have the variance that makes it the largest.
    pub(super) fn best(&self, n: usize) -> T {
        let n = T::splat(n as f64);
        let tiny = T::splat(TINY);
        let half = T::splat(-0.5);
        let constant = T::splat((2.0 * std::f64::consts::PI).ln() + 1.0);
        half * (n * (constant + (self.squares / n + tiny).ln()) + self.log_variance)
    }
}

impl Errors<f64> {
    /// Log-likelihood where the innovations have this variance.
    pub(super) fn at(&self, n: usize, variance: f64) -> f64 {
        let (squares, variance) = (self.squares + n as f64 * TINY, variance + TINY);
        let constant = (2.0 * std::f64::consts::PI * variance).ln();
        -0.5 * (n as f64 * constant + self.log_variance + squares / variance)
    }
}

/// Forecast errors of `rows` (NaN: missing) under several ARMAs at once.
pub(super) struct Filter<'a, T> {
    pub(super) arma: &'a Arma<T>,
    pub(super) rows: &'a [f64],
    /// Whether the whole covariance is kept up, which is slow, also where its change alone would do, which loses digits
    /// near the unit circle.
    pub(super) whole: bool,
}

impl<T: Real> Kernel for Filter<'_, T> {
    type Output = Errors<T>;

    #[inline(always)]
    fn run<const FMA: bool>(self) -> Errors<T> {
        let r = self.arma.n_states();
        if r <= FEW {
            let begin = vec![T::splat(0.0); r];
            let whole = stationary::whole(self.arma, &stationary::first_row::<T, FMA>(self.arma));
            return small::errors::<FMA, T>(self.arma, self.rows, &begin, &whole);
        }
        let gains =
            Gains::new::<FMA>(self.arma, self.whole || self.rows.iter().any(|y| y.is_nan()));
        let state = vec![T::splat(0.0); self.arma.n_states()];
        errors_from::<FMA, T>(self.arma, self.rows, state, gains)
    }
}

/// Forecast errors of `rows` where states and gains are given.
#[inline(always)]
pub(super) fn errors_from<const FMA: bool, T: Real>(
    arma: &Arma<T>,
    rows: &[f64],
    mut state: Vec<T>,
    gains: Gains<T>,
) -> Errors<T> {
    let zero = T::splat(0.0);
    state.push(zero);
    let errors = Errors { squares: zero, log_variance: zero };
    let mut pass = Pass { arma, gains, state, errors, product: T::splat(1.0), n_product: 0 };
    let mut t = 0;
    while t < rows.len() {
        if pass.gains.steady() {
            let rest = &rows[t..];
            let run = rest.iter().position(|y| y.is_nan()).unwrap_or(rest.len());
            pass.steady::<FMA>(&rest[..run]);
            t += run;
            if t == rows.len() {
                break;
            }
        }
        pass.row::<FMA>(rows[t]);
        t += 1;
    }
    pass.errors.log_variance = pass.errors.log_variance + pass.product.ln();
    pass.errors
}

struct Pass<'a, T> {
    arma: &'a Arma<T>,
    gains: Gains<T>,
    /// Forecast states, and a zero.
    state: Vec<T>,
    errors: Errors<T>,
    /// Variances whose logarithm was not taken yet.
    product: T,
    n_product: usize,
}

impl<T: Real> Pass<'_, T> {
    /// One row while the gains still change.
    #[inline(always)]
    fn row<const FMA: bool>(&mut self, y: f64) {
        let seen = !y.is_nan();
        if seen {
            let value = T::splat(y);
            let variance = self.gains.variance();
            let error = value - self.state[0];
            let unit = error / variance;
            self.errors.squares = unit.fma::<FMA>(error, self.errors.squares);
            self.product = self.product * variance;
            self.n_product += 1;
            if self.n_product == LOG_ROWS {
                self.errors.log_variance = self.errors.log_variance + self.product.ln();
                (self.product, self.n_product) = (T::splat(1.0), 0);
            }
            for (i, &load) in self.gains.loads().iter().enumerate() {
                self.state[i] = load.fma::<FMA>(unit, self.state[i + 1]);
            }
            self.regress::<FMA>(value);
        } else {
            let forecast = self.state[0];
            self.state.rotate_left(1);
            self.state[self.arma.n_states()] = T::splat(0.0);
            // The rotation brought the old forecast to the end, and the zero before it.
            self.regress::<FMA>(forecast);
        }
        self.gains.step::<FMA>(self.arma, seen);
    }

    /// Adds what the states owe to the row itself.
    #[inline(always)]
    fn regress<const FMA: bool>(&mut self, value: T) {
        for &lag in &self.arma.ar_lags {
            self.state[lag] = self.arma.ar[lag].fma::<FMA>(value, self.state[lag]);
        }
    }

    /// Rows without gaps in the steady state.
    #[inline(always)]
    fn steady<const FMA: bool>(&mut self, rows: &[f64]) {
        if rows.len() > 2 * self.arma.n_states() {
            self.steady_sparse::<FMA>(rows);
        } else {
            rows.iter().for_each(|&y| self.row::<FMA>(y));
        }
    }

    /// Of many states only those at the lags change: after as many rows as states, the ARMA's own
    /// equation gives the same errors.
    #[inline(always)]
    fn steady_sparse<const FMA: bool>(&mut self, rows: &[f64]) {
        let r = self.arma.n_states();
        let mut errors = Vec::with_capacity(rows.len());
        for &y in &rows[..r] {
            errors.push(T::splat(y) - self.state[0]);
            self.row::<FMA>(y);
        }
        let mut squares = self.errors.squares;
        for t in r..rows.len() {
            let mut error = T::splat(rows[t]);
            for &lag in &self.arma.ar_lags {
                error = (-self.arma.ar[lag]).fma::<FMA>(T::splat(rows[t - 1 - lag]), error);
            }
            for &lag in &self.arma.ma_lags {
                error = (-self.arma.ma[lag]).fma::<FMA>(errors[t - 1 - lag], error);
            }
            squares = error.fma::<FMA>(error, squares);
            errors.push(error);
        }
        self.errors.squares = squares;
        // The states again, from the last rows.
        let n = rows.len();
        for i in 0..r {
            let mut value = T::splat(0.0);
            for &lag in self.arma.ar_lags.iter().filter(|&&lag| lag >= i) {
                value = self.arma.ar[lag].fma::<FMA>(T::splat(rows[n - 1 + i - lag]), value);
            }
            for &lag in self.arma.ma_lags.iter().filter(|&&lag| lag >= i) {
                value = self.arma.ma[lag].fma::<FMA>(errors[n - 1 + i - lag], value);
            }
            self.state[i] = value;
        }
    }
}

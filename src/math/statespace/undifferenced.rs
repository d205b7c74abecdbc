//! How likely rows with gaps are whose differences are an ARMA.
//!
//! Owns: the filter from the first difference until nothing of the levels before it is unknown.
//! Does not own: what is unknown (`levels`), the filter from there on (`small`, `likelihood`, `regression`).
//!
//! Differences around a gap are missing, but the gap's far end says what they were in sum. So rows are filtered as they
//! are, by the autoregression with the differences' factors multiplied in, and nothing is lost (Kohn and Ansley 1986,
//! Estimation, prediction, and interpolation for ARIMA models with missing data). The states are then
//! `a[i] = α[i] + Φ(B)ℓ[i]`, of the ARMA's own states α and of `ℓ[i] = Σ c·y(i − lag)`, which the levels before the
//! first difference make: there, their covariance is that of α. A way of missing levels has an ℓ alone, and the row that
//! settles how far it went takes it out of states and covariance, as if the levels had had an infinite variance (Durbin and Koopman 2012, Time Series Analysis by State Space Methods, 5.2).

use crate::math::simd::Kernel;
use crate::math::statespace::arma;
use crate::math::statespace::arma::Arma;
use crate::math::statespace::gains::FEW;
use crate::math::statespace::gains::Gains;
use crate::math::statespace::levels::Levels;
use crate::math::statespace::likelihood;
use crate::math::statespace::likelihood::Errors;
use crate::math::statespace::real::Real;
use crate::math::statespace::small;
use crate::math::statespace::stationary;

/// Forecast errors of rows whose differences are an ARMA, under several of them at once.
pub(super) struct Filter<'a, T> {
    /// Of the differences.
    pub(super) arma: &'a Arma<T>,
    pub(super) levels: &'a Levels,
}

impl<T: Real> Kernel for Filter<'_, T> {
    type Output = Errors<T>;

    #[inline(always)]
    fn run<const FMA: bool>(self) -> Errors<T> {
        let rows = self.levels.rows();
        let zero = T::splat(0.0);
        let mut before = Errors { squares: zero, log_variance: zero };
        let value = |row: usize, _: usize| T::splat(rows[row]);
        let begun = begin::<T, FMA>(self.levels, self.arma, 1, value, |errors, variance| {
            before.squares = before.squares + errors[0] * errors[0] / variance;
            before.log_variance = before.log_variance + variance.ln();
        });
        let rows = rows.get(begun.row..).unwrap_or(&[]);
        let Begun { arma, states, gains, log_variance, .. } = begun;
        let after = if arma.n_states() <= FEW {
            small::errors::<FMA, T>(&arma, rows, &states, &gains.whole())
        } else {
            likelihood::errors_from::<FMA, T>(&arma, rows, states, gains)
        };
        Errors {
            squares: before.squares + after.squares,
            log_variance: before.log_variance + log_variance + after.log_variance,
        }
    }
}

/// States once nothing of the levels is unknown any more that rows tell.
pub(super) struct Begun<T> {
    /// With the differences' factors.
    pub(super) arma: Arma<T>,
    /// By column, state by state.
    pub(super) states: Vec<T>,
    width: usize,
    pub(super) gains: Gains<T>,
    /// The row that comes next.
    pub(super) row: usize,
    /// Logarithm of the squares of what settled ways were in their rows: no parameter changes it.
    pub(super) log_variance: T,
}

impl<T: Real> Begun<T> {
    /// A seen row; of its values it leaves the errors.
    #[inline(always)]
    fn seen<const FMA: bool>(&mut self, row: &mut [T]) {
        let inverse = T::splat(1.0) / self.gains.variance();
        let loads = self.gains.loads().iter();
        let gains: Vec<T> = loads.map(|&load| load * inverse).collect();
        self.learn::<FMA>(&gains, row);
        self.gains.step::<FMA>(&self.arma, true);
    }

    /// A row that settles how far `way` went.
    #[inline(always)]
    fn settle<const FMA: bool>(&mut self, way: &[T], row: &mut [T]) {
        self.learn::<FMA>(&way[1..], row);
        self.gains.settle::<FMA>(&self.arma, way);
    }

    #[inline(always)]
    fn missing<const FMA: bool>(&mut self) {
        forecast::<T, FMA>(&self.arma, &mut self.states, self.width);
        self.gains.step::<FMA>(&self.arma, false);
    }

    /// Moves the states by a row: by its values, and state `i` by `gains[i]` times its errors, which it leaves.
    #[inline(always)]
    fn learn<const FMA: bool>(&mut self, gains: &[T], row: &mut [T]) {
        let width = self.width;
        for (own, to) in row.iter_mut().zip(&mut self.states) {
            // The forecast goes, and the value is the coming forecast's.
            let value = *own;
            *own = value - *to;
            *to = value;
        }
        forecast::<T, FMA>(&self.arma, &mut self.states, width);
        for (to, gain) in self.states.chunks_exact_mut(width).zip(gains) {
            for (to, error) in to.iter_mut().zip(&*row) {
                *to = gain.fma::<FMA>(*error, *to);
            }
        }
    }
}

/// Filters the rows up to the last that settles something. `value` is of a row and one of `width` columns;
/// `error` gets the columns' forecast errors of a row and their variance.
#[inline(always)]
pub(super) fn begin<T: Real, const FMA: bool>(
    levels: &Levels,
    arma: &Arma<T>,
    width: usize,
    value: impl Fn(usize, usize) -> T,
    mut error: impl FnMut(&[T], T),
) -> Begun<T> {
    let whole = arma.integrated(levels.lags());
    let r = whole.n_states();
    let gains = Gains::of(&whole, &covariance::<T, FMA>(arma, r));
    let known = states(levels, arma, width, |row, column| {
        // Missing levels are zero, and what they are else is a way of its own.
        if levels.is_seen(row) { value(row, column) } else { T::splat(0.0) }
    });
    let mut begun = Begun {
        arma: whole,
        states: known,
        width,
        gains,
        row: levels.n_lost(),
        log_variance: T::splat(0.0),
    };
    let mut row = vec![T::splat(0.0); width];
    for settled in levels.settled() {
        for t in begun.row..settled.row {
            if levels.is_seen(t) {
                row.iter_mut().enumerate().for_each(|(column, to)| *to = value(t, column));
                let variance = begun.gains.variance();
                begun.seen::<FMA>(&mut row);
                error(&row, variance);
            } else {
                begun.missing::<FMA>();
            }
        }
        let way = states(levels, arma, 1, |row, _| T::splat(settled.way[row]));
        row.iter_mut().enumerate().for_each(|(column, to)| *to = value(settled.row, column));
        begun.settle::<FMA>(&way, &mut row);
        begun.log_variance = begun.log_variance + T::splat((settled.size * settled.size).ln());
        begun.row = settled.row + 1;
    }
    begun
}

/// The covariance of the ARMA's states, with room for more states.
#[inline(always)]
fn covariance<T: Real, const FMA: bool>(arma: &Arma<T>, r: usize) -> Vec<T> {
    let own = stationary::whole(arma, &stationary::first_row::<T, FMA>(arma));
    let mut whole = vec![T::splat(0.0); r * r];
    for (to, from) in whole.chunks_exact_mut(r).zip(own.chunks_exact(arma.n_states())) {
        to[..from.len()].copy_from_slice(from);
    }
    whole
}

/// The states that levels make, by column: `Φ(B)ℓ`. `value` is of one of as many rows as differences use up, and a column.
#[inline(always)]
fn states<T: Real>(
    levels: &Levels,
    arma: &Arma<T>,
    width: usize,
    value: impl Fn(usize, usize) -> T,
) -> Vec<T> {
    let n_lost = levels.n_lost();
    let r = arma::n_states(arma.lengths(), n_lost);
    let mut states = vec![T::splat(0.0); r * width];
    for column in 0..width {
        for i in 0..n_lost {
            let mut level = T::splat(0.0);
            for &(lag, c) in levels.lags().iter().filter(|&&(lag, _)| lag > i) {
                level = level + T::splat(c) * value(n_lost + i - lag, column);
            }
            states[i * width + column] = states[i * width + column] + level;
            for &lag in &arma.ar_lags {
                let to = &mut states[(i + lag + 1) * width + column];
                *to = *to - arma.ar[lag] * level;
            }
        }
    }
    states
}

/// The states a row later, of a row that is what the first of them says.
#[inline(always)]
fn forecast<T: Real, const FMA: bool>(arma: &Arma<T>, states: &mut [T], width: usize) {
    let first = states[..width].to_vec();
    states.rotate_left(width);
    let last = states.len() - width;
    states[last..].fill(T::splat(0.0));
    for &lag in &arma.ar_lags {
        for (to, value) in states[lag * width..].iter_mut().zip(&first) {
            *to = arma.ar[lag].fma::<FMA>(*value, *to);
        }
    }
}

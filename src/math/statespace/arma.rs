//! Orders, parameters, and the polynomials that they multiply out to.
//!
//! Owns: both, and the way from numbers without bounds to stationary parameters and back.
//! Does not own: covariances (`stationary`).

use serde::Deserialize;
use serde::Serialize;

use crate::math::statespace::double::Double;
use crate::math::statespace::real::Real;

/// Orders of a seasonal ARIMA: (p, d, q)(P, D, Q, season).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Order {
    /// Lags of the series.
    pub p: usize,
    /// Differences of neighbours.
    pub d: usize,
    /// Lags of the innovations.
    pub q: usize,
    /// Lags of the series, in seasons.
    pub seasonal_p: usize,
    /// Differences of seasons.
    pub seasonal_d: usize,
    /// Lags of the innovations, in seasons.
    pub seasonal_q: usize,
    /// Rows of a season; zero without one.
    pub season: usize,
}

impl Order {
    /// (p, 0, q).
    pub fn arma(p: usize, q: usize) -> Order {
        Order { p, q, ..Order::default() }
    }

    /// How many parameters: AR, MA, seasonal AR, seasonal MA, in this order wherever they are listed.
    pub fn n_parameters(&self) -> usize {
        self.p + self.q + self.seasonal_p + self.seasonal_q
    }

    /// Rows that differences use up.
    pub fn n_lost(&self) -> usize {
        self.d + self.seasonal_d * self.season
    }

    /// Lags that differences are taken over, one after the other.
    pub(super) fn differences(&self) -> impl Iterator<Item = usize> + use<> {
        let neighbours = std::iter::repeat_n(1, self.d);
        neighbours.chain(std::iter::repeat_n(self.season, self.seasonal_d))
    }

    /// Longest lag of the series, after differences.
    fn ar_len(&self) -> usize {
        self.p + self.seasonal_p * self.season
    }

    fn ma_len(&self) -> usize {
        self.q + self.seasonal_q * self.season
    }

    /// States of its state-space form.
    pub fn n_states(&self) -> usize {
        self.ar_len().max(self.ma_len() + 1)
    }

    /// Longest lags of the autoregression and of the moving average.
    pub(super) fn lengths(&self) -> (usize, usize) {
        (self.ar_len(), self.ma_len())
    }

    /// Those of its parameters, or of as many numbers, that are the moving averages'.
    pub(super) fn of_moving_average<'a>(
        &self,
        all: &'a [f64],
    ) -> impl Iterator<Item = &'a f64> + use<'a> {
        let seasonal = self.p + self.q + self.seasonal_p;
        all.iter().skip(self.p).take(self.q).chain(all.iter().skip(seasonal))
    }

    /// Lengths of the four groups of parameters.
    fn groups(&self) -> [usize; 4] {
        [self.p, self.q, self.seasonal_p, self.seasonal_q]
    }

    /// Stationary and invertible parameters for any numbers at all (Monahan 1984; Jones 1980).
    pub fn constrained<T: Real>(&self, free: &[T], squash: impl Fn(T) -> T) -> Vec<T> {
        let mut all = Vec::with_capacity(free.len());
        let mut rest = free;
        for (group, len) in self.groups().into_iter().enumerate() {
            let (own, others) = rest.split_at(len);
            rest = others;
            let partial: Vec<T> = own.iter().map(|&x| squash(x)).collect();
            let sign = T::splat(if group % 2 == 0 { 1.0 } else { -1.0 });
            all.extend(from_partial(&partial).into_iter().map(|c| sign * c));
        }
        all
    }

    /// Whether it forgets where it began: what stored numbers have to be before they are trusted. Factor by
    /// factor: of the product, near the unit circle, rounding says otherwise.
    pub fn is_stationary(&self, parameters: &[f64]) -> bool {
        self.share_of_news(parameters) > 0.0
    }

    /// Which share of its variance is new in each row, about: `Π(1 − k²)` over the factors' partial autocorrelations.
    /// 0 where it is not stationary.
    pub(super) fn share_of_news(&self, parameters: &[f64]) -> f64 {
        let own = parameters.get(..self.p);
        let seasonal = parameters.get(self.p + self.q..self.p + self.q + self.seasonal_p);
        let share = |ar: Option<&[f64]>| {
            let partial = ar.and_then(to_partial).unwrap_or_else(|| vec![1.0]);
            partial.iter().map(|k| 1.0 - k * k).product::<f64>()
        };
        share(own) * share(seasonal)
    }

    /// The numbers that [`Order::constrained`] makes these parameters of; none where they are not
    /// stationary and invertible.
    pub fn free(&self, parameters: &[f64]) -> Option<Vec<f64>> {
        let mut all = Vec::with_capacity(parameters.len());
        let mut rest = parameters;
        for (group, len) in self.groups().into_iter().enumerate() {
            let (own, others) = rest.split_at_checked(len)?;
            rest = others;
            let sign = if group % 2 == 0 { 1.0 } else { -1.0 };
            let partial = to_partial(&own.iter().map(|c| sign * c).collect::<Vec<_>>())?;
            all.extend(partial.into_iter().map(|r| r.atanh()));
        }
        rest.is_empty().then_some(all)
    }
}

/// A number without bounds as a partial autocorrelation (Fisher's transformation: as likely to be one further
/// from zero near one as near zero, so that a search for a root near the unit circle needs no long steps).
pub(super) fn squash(x: f64) -> f64 {
    x.tanh()
}

/// Coefficients of the autoregression with these partial autocorrelations (Durbin and Levinson).
fn from_partial<T: Real>(partial: &[T]) -> Vec<T> {
    let mut ar: Vec<T> = Vec::with_capacity(partial.len());
    for (m, &k) in partial.iter().enumerate() {
        let before = ar.clone();
        (0..m).for_each(|i| ar[i] = before[i] - k * before[m - 1 - i]);
        ar.push(k);
    }
    ar
}

/// Partial autocorrelations of an autoregression; none where it is not stationary.
fn to_partial(ar: &[f64]) -> Option<Vec<f64>> {
    let mut ar = ar.to_vec();
    let mut partial = vec![0.0; ar.len()];
    while let Some(k) = ar.pop() {
        let m = ar.len();
        if k.is_nan() || k.abs() >= 1.0 {
            return None;
        }
        partial[m] = k;
        let before = ar.clone();
        (0..m).for_each(|i| ar[i] = (before[i] + k * before[m - 1 - i]) / (1.0 - k * k));
    }
    Some(partial)
}

/// What an ARMA is the product of: `(1 − Σ φᵢBⁱ)(1 − Σ Φⱼ Bʲˢ)y = (1 + Σ θᵢBⁱ)(1 + Σ Θⱼ Bʲˢ)e`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Factors<T> {
    pub(super) ar: Vec<T>,
    pub(super) ma: Vec<T>,
    pub(super) seasonal_ar: Vec<T>,
    pub(super) seasonal_ma: Vec<T>,
    pub(super) season: usize,
}

impl<T: Real> Factors<T> {
    #[inline(always)]
    fn new(order: &Order, parameters: &[T]) -> Factors<T> {
        let (ar, rest) = parameters.split_at(order.p);
        let (ma, rest) = rest.split_at(order.q);
        let (seasonal_ar, seasonal_ma) = rest.split_at(order.seasonal_p);
        let [ar, ma, seasonal_ar, seasonal_ma] =
            [ar, ma, seasonal_ar, seasonal_ma].map(<[T]>::to_vec);
        Factors { ar, ma, seasonal_ar, seasonal_ma, season: order.season }
    }

    /// The same numbers with twice as many digits.
    #[inline(always)]
    pub(super) fn doubled(&self) -> Factors<Double<T>> {
        let doubled = |factor: &[T]| factor.iter().map(|&c| Double::of(c)).collect();
        Factors {
            ar: doubled(&self.ar),
            ma: doubled(&self.ma),
            seasonal_ar: doubled(&self.seasonal_ar),
            seasonal_ma: doubled(&self.seasonal_ma),
            season: self.season,
        }
    }

    /// The ARMA of so many states.
    #[inline(always)]
    pub(super) fn multiplied(self, r: usize) -> Arma<T> {
        let (ar, ar_lags) = product(&self.ar, &self.seasonal_ar, self.season, -1.0, r);
        let (ma, ma_lags) = product(&self.ma, &self.seasonal_ma, self.season, 1.0, r);
        Arma { ar, ma, ar_lags, ma_lags, factors: self }
    }
}

/// An ARMA with all factors multiplied out: `y = Σ φ[i]·y(−1−i) + e + Σ θ[i]·e(−1−i)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Arma<T> {
    /// φ by lag − 1, as many as states.
    pub ar: Vec<T>,
    /// θ by lag − 1, as many as states; the last is zero.
    pub ma: Vec<T>,
    /// Lags − 1 at which φ may be other than zero, rising.
    pub ar_lags: Vec<usize>,
    /// Lags − 1 at which θ may be other than zero, rising.
    pub ma_lags: Vec<usize>,
    /// Without those of differences.
    pub(super) factors: Factors<T>,
}

impl<T: Real> Arma<T> {
    /// The ARMA of differenced rows, of [`Order::n_parameters`] parameters.
    pub fn new(order: &Order, parameters: &[T]) -> Arma<T> {
        Factors::new(order, parameters).multiplied(order.n_states())
    }

    /// What an innovation adds to a state.
    #[inline(always)]
    pub(super) fn load(&self, state: usize) -> T {
        if state == 0 { T::splat(1.0) } else { self.ma[state - 1] }
    }

    /// States.
    pub fn n_states(&self) -> usize {
        self.ar.len()
    }

    /// Longest lags of the autoregression and of the moving average.
    pub(super) fn lengths(&self) -> (usize, usize) {
        let length = |lags: &[usize]| lags.last().map_or(0, |lag| lag + 1);
        (length(&self.ar_lags), length(&self.ma_lags))
    }

    /// Lags of the autoregression alone that say what the states are like.
    #[inline(always)]
    pub(super) fn lags(&self) -> usize {
        self.n_states() + self.lengths().1
    }

    /// The ARMA, no longer stationary, of rows whose differences `1 − Σ c·Bˡᵃᵍ` are this one's; of `(lag, c)`, rising.
    #[inline(always)]
    pub(super) fn integrated(&self, differences: &[(usize, f64)]) -> Arma<T> {
        let n_lost = differences.last().map_or(0, |&(lag, _)| lag);
        let r = n_states(self.lengths(), n_lost);
        let (mut ar, mut ma) = (vec![T::splat(0.0); r], vec![T::splat(0.0); r]);
        let mut ar_lags = self.ar_lags.clone();
        self.ar_lags.iter().for_each(|&lag| ar[lag] = self.ar[lag]);
        self.ma_lags.iter().for_each(|&lag| ma[lag] = self.ma[lag]);
        for &(lag, c) in differences {
            ar[lag - 1] = ar[lag - 1] + T::splat(c);
            ar_lags.push(lag - 1);
            for &own in &self.ar_lags {
                ar[own + lag] = ar[own + lag] - T::splat(c) * self.ar[own];
                ar_lags.push(own + lag);
            }
        }
        ar_lags.sort_unstable();
        ar_lags.dedup();
        let (ma_lags, factors) = (self.ma_lags.clone(), self.factors.clone());
        Arma { ar, ma, ar_lags, ma_lags, factors }
    }
}

/// States of an ARMA with these longest lags whose rows are differences over `n_lost` rows, in all.
pub(super) fn n_states((ar, ma): (usize, usize), n_lost: usize) -> usize {
    (ar + n_lost).max(ma + 1)
}

/// `(1 + sign·Σ aᵢ Bⁱ)(1 + sign·Σ bⱼ Bʲˢ) = 1 + sign·Σ cₖ Bᵏ`: c, and where it may not be zero.
fn product<T: Real>(a: &[T], b: &[T], season: usize, sign: f64, r: usize) -> (Vec<T>, Vec<usize>) {
    let mut c = vec![T::splat(0.0); r];
    let mut lags: Vec<usize> = (0..a.len()).collect();
    c[..a.len()].copy_from_slice(a);
    for (j, &b) in b.iter().enumerate() {
        let shift = (j + 1) * season;
        c[shift - 1] = c[shift - 1] + b;
        lags.push(shift - 1);
        for (i, &a) in a.iter().enumerate() {
            c[shift + i] = c[shift + i] + T::splat(sign) * a * b;
            lags.push(shift + i);
        }
    }
    lags.sort_unstable();
    lags.dedup();
    (c, lags)
}

impl Arma<f64> {
    /// `ψ₀..ψₙ₋₁`: what an innovation adds to the rows after it.
    pub fn psi(&self, n: usize) -> Vec<f64> {
        let mut psi = vec![0.0; n];
        for m in 0..n {
            let own = if m == 0 { 1.0 } else { self.ma.get(m - 1).copied().unwrap_or(0.0) };
            let lags = self.ar_lags.iter().filter(|&&lag| lag < m);
            psi[m] = lags.fold(own, |sum, &lag| sum + self.ar[lag] * psi[m - 1 - lag]);
        }
        psi
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_multiply_out() {
        let order =
            Order { p: 1, q: 1, seasonal_p: 1, seasonal_q: 1, season: 3, ..Order::default() };
        let arma = Arma::new(&order, &[0.5, 0.4, 0.2, 0.3]);
        assert_eq!(arma.ar, [0.5, 0.0, 0.2, -0.1, 0.0]);
        assert_eq!(arma.ma, [0.4, 0.0, 0.3, 0.12, 0.0]);
        assert_eq!((arma.ar_lags, arma.ma_lags), (vec![0, 2, 3], vec![0, 2, 3]));
    }

    #[test]
    fn differences_are_factors_of_the_autoregression() {
        let arma = Arma::new(&Order::arma(1, 3), &[0.5, 0.4, 0.2, 0.3]);
        let whole = arma.integrated(&[(1, 1.0), (2, 1.0), (3, -1.0)]);
        assert_eq!(whole.ar, [1.5, 0.5, -1.5, 0.5]);
        assert_eq!((whole.ma, whole.ar_lags), (vec![0.4, 0.2, 0.3, 0.0], vec![0, 1, 2, 3]));
    }

    #[test]
    fn parameters_come_back_from_free_numbers() {
        let order = Order { p: 3, q: 2, seasonal_p: 1, season: 4, ..Order::default() };
        let free = [0.3, -2.0, 4.0, 0.1, -0.7, 1.5];
        let parameters = order.constrained(&free, squash);
        assert!(order.is_stationary(&parameters));
        // 1 − φ² of an AR(1), and of one with a season, the product.
        let seasonal = Order { p: 1, seasonal_p: 1, season: 4, ..Order::default() };
        assert!((seasonal.share_of_news(&[0.6, 0.8]) - 0.64 * 0.36).abs() < 1e-12);
        assert!(!order.is_stationary(&[1.0; 6]));
        assert!(order.of_moving_average(&free).eq(&[0.1, -0.7]));
        let both = Order { seasonal_q: 1, season: 4, ..Order::arma(0, 1) };
        assert!(both.of_moving_average(&[2.0, 3.0]).eq(&[2.0, 3.0]));
        let back = order.free(&parameters).unwrap();
        assert!(free.iter().zip(&back).all(|(a, b)| (a - b).abs() < 1e-6), "{back:?}");
        assert_eq!(Order::arma(1, 0).free(&[1.0]), None);
        assert_eq!(Order::arma(1, 0).free(&[f64::NAN]), None);
    }

    #[test]
    fn an_impulse_goes_on_as_the_parameters_say() {
        let psi = Arma::new(&Order::arma(2, 1), &[0.6, 0.2, 0.5]).psi(3);
        assert!((psi[1] - 1.1).abs() < 1e-12 && (psi[2] - 0.86).abs() < 1e-12);
    }
}

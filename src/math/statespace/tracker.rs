//! One series followed row by row: the exact Kalman filter of an ARIMA, and its forecasts.
//!
//! Owns: states, levels that were missed, and their covariance. Does not own: which rows are believed.
//!
//! The differences of a row refer to rows before it. Those that were seen are numbers; those that were
//! not are states beside the ARMA's, for as long as anything refers to them. So without gaps there is
//! nothing but the ARMA to keep up, and with them nothing is lost: a gap's far end says what its
//! differences were in sum.

use std::collections::VecDeque;

use crate::math::simd;
use crate::math::simd::Kernel;
use crate::math::statespace::arima::Ahead;
use crate::math::statespace::arima::Arima;
use crate::math::statespace::gains::FEW;

/// What is left of the way to the steady state when it is taken to be there.
const STEADY: f64 = 1e-13;

/// States and levels of an ARIMA after some rows. Variances are in units of the innovations'.
#[derive(Debug, Clone)]
pub struct Tracker<'a> {
    of: &'a Arima,
    /// Forecasts of the ARMA's states, then the levels that were not seen, oldest first.
    mean: Vec<f64>,
    /// Their covariance, row-major, both halves.
    covariance: Vec<f64>,
    /// Rows before the coming one that differences refer to, newest first: as seen, or as forecast.
    levels: VecDeque<f64>,
    /// How many rows ago the levels of `mean` were.
    ages: Vec<usize>,
    /// Covariance of `mean` with the coming row.
    load: Vec<f64>,
    forecast: f64,
    variance: f64,
    /// Only the coming innovation is unknown, and seen rows change no variance.
    steady: bool,
}

impl<'a> Tracker<'a> {
    /// Before anything was seen but `before`, the [`Arima::n_lost`] levels before the first row, oldest
    /// first. A missing one (NaN) is zero with a variance of `level_variance`.
    pub fn new(of: &'a Arima, before: &[f64], level_variance: f64) -> Tracker<'a> {
        let r = of.arma.n_states();
        let level = |age: usize| before.len().checked_sub(age).map_or(f64::NAN, |i| before[i]);
        let ages: Vec<usize> = (1..=of.n_lost).rev().filter(|&age| level(age).is_nan()).collect();
        let known = |age: usize| Some(level(age)).filter(|level| !level.is_nan()).unwrap_or(0.0);
        let n = r + ages.len();
        let mut covariance = vec![0.0; n * n];
        for (to, from) in covariance.chunks_exact_mut(n).zip(of.stationary.chunks_exact(r)) {
            to[..r].copy_from_slice(from);
        }
        (r..n).for_each(|i| covariance[i * n + i] = level_variance);
        let mut tracker = Tracker {
            of,
            mean: vec![0.0; n],
            covariance,
            levels: (1..=of.n_lost).map(known).collect(),
            ages,
            load: Vec::with_capacity(n),
            forecast: 0.0,
            variance: 1.0,
            steady: false,
        };
        tracker.look();
        tracker
    }

    /// Forecast of the coming row, and its variance in units of the innovations'.
    pub fn forecast(&self) -> (f64, f64) {
        (self.forecast, self.variance)
    }

    /// Forecast of a row further ahead, and its variance in units of the innovations'.
    pub fn ahead(&self, ahead: &Ahead) -> (f64, f64) {
        let forecast = dot(&ahead.states, &self.mean)
            + ahead.levels.iter().zip(&self.levels).map(|(w, level)| w * level).sum::<f64>();
        if self.steady {
            return (forecast, ahead.usual());
        }
        let unseen = self.ages.iter().map(|&age| ahead.levels[age - 1]);
        let weights: Vec<f64> = ahead.states.iter().copied().chain(unseen).collect();
        let rows = self.covariance.chunks_exact(self.mean.len());
        let known: f64 = weights.iter().zip(rows).map(|(w, row)| w * dot(&weights, row)).sum();
        (forecast, known + ahead.after)
    }

    /// The row came; `None`: it is missing, or not to be learnt from.
    pub fn step(&mut self, row: Option<f64>) {
        let unit = row.map_or(0.0, |y| (y - self.forecast) / self.variance);
        if unit != 0.0 {
            self.mean.iter_mut().zip(&self.load).for_each(|(mean, load)| *mean += load * unit);
        }
        self.predict_mean();
        match row {
            Some(_) if self.steady => {}
            Some(_) if self.ages.is_empty() => self.predict_seen(),
            Some(_) => {
                self.learn();
                self.predict();
            }
            None => {
                if self.of.n_lost > 0 {
                    self.miss();
                }
                self.predict();
            }
        }
        self.age(row.unwrap_or(self.forecast));
        self.steady &= row.is_some();
        self.look();
        self.steady |= row.is_some() && self.is_steady();
    }

    /// Forecasts the coming row.
    fn look(&mut self) {
        let (n, r) = (self.mean.len(), self.of.arma.n_states());
        let factors = self.of.lags.iter().map(|&(lag, c)| c * self.levels[lag - 1]);
        self.forecast = self.mean[0] + factors.sum::<f64>();
        if self.steady {
            return;
        }
        self.load.clear();
        self.load.extend_from_slice(&self.covariance[..n]);
        for (k, c) in self.referred() {
            let row = &self.covariance[(r + k) * n..][..n];
            self.load.iter_mut().zip(row).for_each(|(load, with)| *load += c * with);
        }
        let levels = self.referred().map(|(k, c)| c * self.load[r + k]);
        self.variance = self.load[0] + levels.sum::<f64>();
    }

    /// The unknown levels that the coming row refers to, with their factors.
    fn referred(&self) -> impl Iterator<Item = (usize, f64)> + use<'a> {
        let at =
            |&(lag, c): &(usize, f64)| Some((self.ages.iter().position(|&age| age == lag)?, c));
        self.of.lags.iter().filter_map(at).collect::<Vec<_>>().into_iter()
    }

    /// The states of the row after the coming one.
    fn predict_mean(&mut self) {
        let arma = &self.of.arma;
        let states = &mut self.mean[..arma.n_states()];
        let own = std::mem::replace(&mut states[0], 0.0);
        states.rotate_left(1);
        arma.ar_lags.iter().for_each(|&lag| states[lag] += arma.ar[lag] * own);
    }

    /// A row was seen and no level is unknown: `P' = shift(P − P₀ᵀP₀ ⁄ F) + RRᵀ`, for nothing is left
    /// unknown of the state of the row itself.
    fn predict_seen(&mut self) {
        let seen = Seen { p: &mut self.covariance, load: &self.load, inverse: 1.0 / self.variance };
        // Few states are done before the machine was asked what it can do.
        if self.load.len() > FEW {
            simd::widest(seen);
        } else {
            seen.run::<false>();
        }
        self.add_noise();
    }

    /// A row was seen: what it says of states and levels.
    fn learn(&mut self) {
        let inverse = 1.0 / self.variance;
        for (row, load) in self.covariance.chunks_exact_mut(self.load.len()).zip(&self.load) {
            let drop = load * inverse;
            row.iter_mut().zip(&self.load).for_each(|(p, other)| *p -= drop * other);
        }
    }

    /// A row was not seen: its level is one of the unknown.
    fn miss(&mut self) {
        let n = self.mean.len();
        let mut wider = Vec::with_capacity((n + 1) * (n + 1));
        for (row, &load) in self.covariance.chunks_exact(n).zip(&self.load) {
            wider.extend_from_slice(row);
            wider.push(load);
        }
        wider.extend_from_slice(&self.load);
        wider.push(self.variance);
        self.covariance = wider;
        self.mean.push(self.forecast);
        self.ages.push(0);
    }

    /// `P' = T·P·Tᵀ + RRᵀ`: the states move on, the levels stay what they are.
    fn predict(&mut self) {
        let (n, arma) = (self.mean.len(), &self.of.arma);
        let r = arma.n_states();
        let mut first = self.covariance[..n].to_vec();
        let levels = first.split_off(r);
        first.push(0.0);
        for i in 0..r {
            let (above, below) = self.covariance.split_at_mut((i + 1) * n);
            let row = &mut above[i * n..];
            let next = if i + 1 < r { Some(&below[..n]) } else { None };
            let own = arma.ar[i];
            for j in 0..r {
                let shifted = next.filter(|_| j + 1 < r).map_or(0.0, |next| next[j + 1]);
                let moved = own * (arma.ar[j] * first[0] + first[j + 1]);
                row[j] = shifted + moved + arma.ar[j] * first[i + 1];
            }
            for (m, level) in levels.iter().enumerate() {
                row[r + m] = next.map_or(0.0, |next| next[r + m]) + own * level;
            }
        }
        for i in 0..r {
            (r..n).for_each(|m| self.covariance[m * n + i] = self.covariance[i * n + m]);
        }
        self.add_noise();
    }

    /// The innovation of the row after the coming one.
    fn add_noise(&mut self) {
        let (n, arma) = (self.mean.len(), &self.of.arma);
        let lags = || arma.ma_lags.iter().map(|&lag| (lag + 1, arma.ma[lag]));
        let loads = || std::iter::once((0, 1.0)).chain(lags());
        for (i, a) in loads() {
            loads().for_each(|(j, b)| self.covariance[i * n + j] += a * b);
        }
    }

    /// Everything is a row older; what nothing refers to any more is forgotten.
    fn age(&mut self, newest: f64) {
        if self.of.n_lost == 0 {
            return;
        }
        let r = self.of.arma.n_states();
        self.levels.push_front(newest);
        self.levels.truncate(self.of.n_lost);
        self.ages.iter_mut().for_each(|age| *age += 1);
        if self.ages.first().is_some_and(|&age| age > self.of.n_lost) {
            let n = self.mean.len();
            let rows = self.covariance.chunks_exact(n).enumerate().filter(|(i, _)| *i != r);
            let keep = |(_, row): (usize, &[f64])| [&row[..r], &row[r + 1..]].concat();
            self.covariance = rows.flat_map(keep).collect();
            self.mean.remove(r);
            self.ages.remove(0);
        }
        // What came after them may have said more of the levels.
        for (k, &age) in self.ages.iter().enumerate() {
            self.levels[age - 1] = self.mean[r + k];
        }
    }

    /// In the steady state P is RRᵀ.
    fn is_steady(&self) -> bool {
        let arma = &self.of.arma;
        let r = arma.n_states();
        if !self.ages.is_empty() {
            return false;
        }
        let known = |i: usize| arma.ma[i - 1] * arma.ma[i - 1];
        let excess = (1..r).map(|i| self.covariance[i * r + i] - known(i)).sum::<f64>();
        self.covariance[0] - 1.0 + excess < STEADY
    }
}

/// `P' = shift(P − P₀ᵀP₀ ⁄ F)`; the same numbers on every machine.
struct Seen<'t> {
    p: &'t mut [f64],
    load: &'t [f64],
    inverse: f64,
}

impl Kernel for Seen<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let r = self.load.len();
        for i in 0..r {
            let (above, below) = self.p.split_at_mut((i + 1) * r);
            let row = &mut above[i * r..];
            row[r - 1] = 0.0;
            if let Some(next) = below.get(1..r) {
                let drop = self.load[i + 1] * self.inverse;
                for ((to, next), own) in row.iter_mut().zip(next).zip(&self.load[1..]) {
                    *to = next - drop * own;
                }
            } else {
                row.fill(0.0);
            }
        }
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests;

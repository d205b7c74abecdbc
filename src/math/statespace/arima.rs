//! An ARMA of differences as one process, and its forecasts some rows ahead.
//!
//! Owns: the lags of the differences, ψ-weights, and what a forecast is made of.
//! Does not own: states, levels and their covariance (`tracker`).
//!
//! A row is `y = w + Σ c·y(−lag)`, where w is the ARMA and the c are of `(1 − B)ᵈ(1 − Bˢ)ᴰ = 1 − Σ c·Bˡᵃᵍ`
//! (Harvey 1989, 4.2; Durbin and Koopman 2012, Time Series Analysis by State Space Methods, 3.4).

use crate::math::statespace::arma::Arma;
use crate::math::statespace::arma::Order;
use crate::math::statespace::stationary;

/// A seasonal ARIMA of given parameters.
#[derive(Debug, Clone)]
pub struct Arima {
    pub(super) arma: Arma<f64>,
    /// `(lag, c)`, rising.
    pub(super) lags: Vec<(usize, f64)>,
    pub(super) n_lost: usize,
    /// Covariance of the ARMA's states when nothing was seen, row-major.
    pub(super) stationary: Vec<f64>,
}

/// How a forecast some rows ahead follows from states and levels, and how certain it is.
#[derive(Debug, Clone)]
pub struct Ahead {
    /// Weights of the states.
    pub(super) states: Vec<f64>,
    /// Weights of the rows before the coming one, newest first.
    pub(super) levels: Vec<f64>,
    /// Variance of what happens after the coming row, in units of the innovations'.
    pub(super) after: f64,
    usual: f64,
}

impl Ahead {
    /// The forecast's variance where no row was missing, in units of the innovations' (the sum of the
    /// squared ψ-weights; Brockwell and Davis 1991, Time Series: Theory and Methods, 9.5).
    pub fn usual(&self) -> f64 {
        self.usual
    }
}

impl Arima {
    /// Of stationary [`Order::n_parameters`] parameters.
    pub fn new(order: &Order, parameters: &[f64]) -> Arima {
        let arma = Arma::new(order, parameters);
        let stationary = stationary::whole(&arma, &stationary::first_row::<f64, false>(&arma));
        Arima { arma, lags: lags(order), n_lost: order.n_lost(), stationary }
    }

    /// Variance of a row of the ARMA when nothing was seen, in units of the innovations': 1 or more.
    pub fn variance(&self) -> f64 {
        self.stationary[0]
    }

    /// Rows before the first that its differences refer to.
    pub fn n_lost(&self) -> usize {
        self.n_lost
    }

    /// `ψ₀..ψₙ₋₁`: what an innovation adds to the rows after it.
    pub fn psi(&self, n: usize) -> Vec<f64> {
        let mut psi = self.arma.psi(n);
        for m in 0..n {
            let before = self.lags.iter().take_while(|&&(lag, _)| lag <= m);
            psi[m] += before.map(|&(lag, c)| c * psi[m - lag]).sum::<f64>();
        }
        psi
    }

    /// The forecast `n` rows after the coming one.
    pub fn ahead(&self, n: usize) -> Ahead {
        let mut states = vec![0.0; self.arma.n_states()];
        let mut levels = vec![0.0; self.n_lost];
        states[0] = 1.0;
        self.lags.iter().for_each(|&(lag, c)| levels[lag - 1] = c);
        for _ in 0..n {
            // A row vector times the transition: the coming row is the newest level of the next.
            let newest = levels.first().copied().unwrap_or(0.0);
            let own: f64 =
                self.arma.ar_lags.iter().map(|&lag| states[lag] * self.arma.ar[lag]).sum();
            states.rotate_right(1);
            states[0] = own + newest;
            if let Some(first) = levels.first_mut() {
                *first = 0.0;
                levels.rotate_left(1);
                self.lags.iter().for_each(|&(lag, c)| levels[lag - 1] += newest * c);
            }
        }
        let squares: Vec<f64> = self.psi(n + 1).into_iter().map(|psi| psi * psi).collect();
        let after = squares[..n].iter().sum();
        Ahead { states, levels, after, usual: squares.iter().sum() }
    }
}

/// The lags of the differences with their factors.
pub(super) fn lags(order: &Order) -> Vec<(usize, f64)> {
    let mut polynomial = vec![0.0; order.n_lost() + 1];
    polynomial[0] = 1.0;
    for lag in order.differences() {
        for i in (lag..polynomial.len()).rev() {
            polynomial[i] -= polynomial[i - lag];
        }
    }
    let factors = polynomial.into_iter().enumerate().skip(1).map(|(lag, c)| (lag, -c));
    factors.filter(|&(_, c)| c != 0.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_multiply_out() {
        let order = Order { d: 1, seasonal_d: 1, season: 4, ..Order::default() };
        assert_eq!(lags(&order), [(1, 1.0), (4, 1.0), (5, -1.0)]);
        let twice = Order { d: 2, ..Order::default() };
        assert_eq!(lags(&twice), [(1, 2.0), (2, -1.0)]);
        assert_eq!(lags(&Order::arma(2, 1)), []);
        // Of a random walk and of its sum: every innovation stays, or keeps adding.
        assert_eq!(Arima::new(&Order { d: 1, ..twice }, &[]).psi(4), [1.0; 4]);
        assert_eq!(Arima::new(&twice, &[]).psi(4), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(Arima::new(&twice, &[]).ahead(2).usual(), 14.0);
    }
}

//! One series followed row by row.
//!
//! Owns: its states. Does not own: which rows are believed.

use crate::math::simd;
use crate::math::simd::Kernel;
use crate::math::statespace::arma::Arma;
use crate::math::statespace::gains::FEW;
use crate::math::statespace::gains::Gains;

/// The states of an ARMA after some rows.
pub struct Tracker<'a> {
    arma: &'a Arma<f64>,
    gains: Gains<f64>,
    /// Forecast states, and a zero.
    state: Vec<f64>,
}

impl<'a> Tracker<'a> {
    /// Before anything was seen; `gains` as [`Gains::new`] made them for rows that may be missing.
    pub fn new(arma: &'a Arma<f64>, gains: Gains<f64>) -> Tracker<'a> {
        Tracker { arma, gains: gains.foreseeing(), state: vec![0.0; arma.n_states() + 1] }
    }

    /// Forecast of the coming row, and its variance in units of the innovations'.
    pub fn forecast(&self) -> (f64, f64) {
        (self.state[0], self.gains.variance())
    }

    /// The forecast states: for the coming row, and what is known already of those after it.
    pub fn states(&self) -> &[f64] {
        &self.state[..self.arma.n_states()]
    }

    /// The row came; `None`: it is missing, or not to be learnt from.
    pub fn step(&mut self, row: Option<f64>) {
        // Few states are done before the machine was asked what it can do.
        if self.arma.n_states() > FEW {
            simd::widest(Step { tracker: self, row });
        } else {
            self.take::<false>(row);
        }
    }

    #[inline(always)]
    fn take<const FMA: bool>(&mut self, row: Option<f64>) {
        let value = row.unwrap_or(self.state[0]);
        let unit = row.map_or(0.0, |value| (value - self.state[0]) / self.gains.variance());
        for (i, &load) in self.gains.loads().iter().enumerate() {
            self.state[i] = load * unit + self.state[i + 1];
        }
        for &lag in &self.arma.ar_lags {
            self.state[lag] += self.arma.ar[lag] * value;
        }
        self.gains.step::<FMA>(self.arma, row.is_some());
    }
}

struct Step<'t, 'a> {
    tracker: &'t mut Tracker<'a>,
    row: Option<f64>,
}

impl Kernel for Step<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        self.tracker.take::<FMA>(self.row);
    }
}

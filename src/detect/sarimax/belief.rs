//! Which rows a filter learns from.
//!
//! Owns: how far from its forecast a row may be. Does not own: the filter (`math::statespace`), or what is done
//! about rows that are not believed.
//!
//! Forecast errors beyond a few standard deviations are no news of the series. But before a filter has seen rows, its
//! own word for how far off it may be is worth little: near the unit circle the first season's rows are all that
//! tells the model's variance apart from none, so that it comes out too small for them. Where these were not believed,
//! none after them would be. What is not known yet of a row may therefore be as large as rows were in training, too.

use crate::math::statespace::Arima;
use crate::math::statespace::Tracker;
use crate::math::stats;

/// Forecast errors beyond as many standard deviations are not believed.
pub(super) const BELIEVED: f64 = 5.0;
/// The share of the training rows that is within their reach.
const WITHIN: f64 = 0.99;
/// Rows may be so many times as far as training's reached.
const FURTHER: f64 = 1.5;
/// Only where next to all of the forecast's variance is of what is not known yet: other models know their own.
const FAR: i32 = 4;

/// How far a row may be from its forecast.
#[derive(Debug, Clone, Copy)]
pub(super) struct Belief {
    /// Standard deviation of the innovations.
    pub(super) sigma: f64,
    /// How far from zero the ARMA's rows were in training.
    pub(super) reach: f64,
}

impl Belief {
    /// Whether a row is near enough to the coming row's forecast.
    pub(super) fn covers(&self, arima: &Arima, tracker: &Tracker<'_>, row: f64) -> bool {
        let (forecast, variance) = tracker.forecast();
        let known = BELIEVED * self.sigma * variance.sqrt();
        // Of what is not known before any row, and of the forecast's variance.
        let left = ((variance - 1.0) / (arima.variance() - 1.0)).min(1.0);
        let share = (1.0 - 1.0 / variance).powi(FAR);
        let unknown = if left > 0.0 { FURTHER * self.reach * share * left.sqrt() } else { 0.0 };
        (row - forecast).abs() <= known.max(unknown)
    }
}

/// How far from zero rows are, but for one in a hundred; 0 where there are none.
pub(super) fn reach(rows: &[f64]) -> f64 {
    let sorted = stats::sorted(rows.iter().map(|y| y.abs()));
    let reach = stats::quantile(&sorted, WITHIN);
    if reach.is_finite() { reach } else { 0.0 }
}

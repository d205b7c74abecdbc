//! Detector: distance to the forecast of a vector autoregression.
//!
//! Owns: the coefficients, the residuals and their scales. Does not own: the equations' arithmetic
//! (`math::linear`).
//!
//! The linear control of the networks in time: every feature is forecast from the newest rows of all of
//! them, by least squares with a ridge (Lütkepohl, New Introduction to Multiple Time Series Analysis,
//! 2005, 3.2), and each residual is measured in its own usual size.

mod learn;

use serde::Deserialize;
use serde::Serialize;

use crate::detect::FitContext;
use crate::detect::FitError;
use crate::detect::Model;
use crate::detect::Parts;
use crate::detect::Raw;
use crate::detect::RestoreError;
use crate::detect::Tensor;
use crate::detect::Tensors;
use crate::detect::linear;
use crate::series::Window;

/// Longest order.
const MOST_ORDER: usize = 100;
/// Newest rows that make a raw score.
const TAIL: usize = 8;
/// A missing cell that a forecast reads has the value of so many rows before at most.
const CARRY: usize = 8;

/// How it is set up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Rows that a forecast is made from.
    pub order: usize,
    /// What is added to the variance of each of their cells, in preprocessed units of a feature that seldom
    /// leaves its usual spread: more, and the
    /// coefficients are smaller.
    pub ridge: f64,
}

impl Default for Config {
    fn default() -> Config {
        Config { order: 3, ridge: 0.1 }
    }
}

impl Config {
    /// What is wrong with these settings.
    pub fn problem(&self) -> Option<String> {
        let Config { order, ridge } = self;
        if !(1..=MOST_ORDER).contains(order) {
            return Some(format!("order: {order} is not between 1 and {MOST_ORDER}"));
        }
        (!(*ridge > 0.0 && *ridge <= 1e6))
            .then(|| format!("ridge: {ridge} is not above 0 and at most 1000000"))
    }

    /// Most rows before the scored one that are read.
    pub fn most_lookback(&self) -> usize {
        self.order.clamp(1, MOST_ORDER) + CARRY + TAIL - 1
    }
}

/// Learns the coefficients from `train`.
///
/// # Errors
/// Fewer than 32 rows hold values, or `keep_going` said no.
pub fn fit(
    config: &Config,
    train: &Window,
    context: &FitContext<'_>,
) -> Result<Box<dyn Model>, FitError> {
    Ok(Box::new(learn::fit(config, train, context)?))
}

/// The model that [`Model::parts`] came from.
///
/// # Errors
/// A name, a shape or a number is not as it must be.
pub fn restore(parts: Parts) -> Result<Box<dyn Model>, RestoreError> {
    let meta: Meta = serde_json::from_value(parts.meta).map_err(|e| RestoreError(e.to_string()))?;
    if !(1..=MOST_ORDER).contains(&meta.order) {
        return Err(RestoreError(format!("an order of {}", meta.order)));
    }
    let mut tensors = Tensors::new(parts.tensors)?;
    let live = linear::columns(&tensors.take_flat("columns")?, meta.features)?;
    let d = live.len();
    let model = Var {
        n_features: meta.features,
        order: meta.order,
        reach: linear::positive(tensors.take("reach", &[d])?)?,
        centre: tensors.take("centre", &[d])?,
        coefficients: tensors.take("coefficients", &[d, meta.order * d])?,
        scales: linear::positive(tensors.take("scales", &[d])?)?,
        live,
    };
    tensors.end("a vector autoregression")?;
    Ok(Box::new(model))
}

/// What is stored beside the numbers.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Meta {
    features: usize,
    order: usize,
}

struct Var {
    n_features: usize,
    order: usize,
    /// The columns that are read, ascending.
    live: Vec<usize>,
    /// How far each column reached in training; all below is in units of it.
    reach: Vec<f64>,
    centre: Vec<f64>,
    /// `[columns, order × columns]`: of each column, those of the row before, then of the one before it.
    coefficients: Vec<f64>,
    /// A residual of each column that is as large as usual.
    scales: Vec<f64>,
}

impl Var {
    /// Residuals of a row: measured less forecast; NaN where that is a gap.
    fn residuals(&self, past: &Past<'_>, i: usize) -> Vec<f64> {
        let before = past.before(i, self.order);
        let forecast = |j: usize| -> f64 {
            let own = &self.coefficients[j * before.len()..][..before.len()];
            own.iter().zip(&before).map(|(a, x)| a * x).sum()
        };
        (0..self.live.len()).map(|j| past.centred(i, j) - forecast(j)).collect()
    }

    /// Each column's squared residual in its scale; none at all where there are no rows to forecast from.
    fn squares(&self, past: &Past<'_>, i: usize) -> linear::Squares {
        match i < self.order {
            true => Vec::new(),
            false => linear::squares(self.residuals(past, i), &self.scales),
        }
    }
}

/// Rows, and what a forecast reads of those before.
struct Past<'a> {
    rows: &'a Window,
    centre: &'a [f64],
}

impl Past<'_> {
    fn centred(&self, i: usize, j: usize) -> f64 {
        self.rows.row(i)[j] - self.centre[j]
    }

    /// The `order` rows before row `i`, newest first. A missing cell has the value of the newest row before
    /// it that is not too far away, or else the mean.
    fn before(&self, i: usize, order: usize) -> Vec<f64> {
        let carried = |i: usize, j: usize| {
            let newest = (i.saturating_sub(CARRY)..=i).rev().map(|k| self.centred(k, j));
            newest.into_iter().find(|x| !x.is_nan()).unwrap_or(0.0)
        };
        let row = |lag: usize| {
            let at = i.checked_sub(lag);
            (0..self.centre.len()).map(move |j| at.map_or(0.0, |at| carried(at, j)))
        };
        (1..=order).flat_map(row).collect()
    }
}

impl Model for Var {
    fn lookback(&self) -> usize {
        self.order + CARRY + TAIL - 1
    }

    fn score(&self, window: &Window, first: usize) -> Vec<Raw> {
        if window.n_features != self.n_features {
            return vec![Raw::UNKNOWN; window.grid.len.saturating_sub(first)];
        }
        let rows = linear::far(window, &self.live, &self.reach);
        let past = Past { rows: &rows, centre: &self.centre };
        linear::raws(first, rows.grid.len, TAIL, |i| self.squares(&past, i))
    }

    fn reads(&self, feature: usize) -> bool {
        self.live.contains(&feature)
    }

    fn contributions(&self, window: &Window) -> Option<Vec<f64>> {
        if window.n_features != self.n_features || window.grid.len <= self.order {
            return None;
        }
        let rows = linear::far(window, &self.live, &self.reach);
        let past = Past { rows: &rows, centre: &self.centre };
        let squares = |i: usize| self.squares(&past, i);
        linear::shares(rows.grid.len, TAIL, squares, &self.live, self.n_features)
    }

    fn parts(&self) -> Parts {
        let meta = Meta { features: self.n_features, order: self.order };
        let d = self.live.len();
        let columns: Vec<u16> = self.live.iter().map(|&column| column as u16).collect();
        let shape = vec![d, self.order * d];
        let coefficients =
            Tensor { shape, ..Tensor::flat("coefficients", self.coefficients.clone()) };
        Parts {
            meta: serde_json::to_value(meta).unwrap_or_default(),
            tensors: vec![
                Tensor::flat("columns", columns),
                Tensor::flat("reach", self.reach.clone()),
                Tensor::flat("centre", self.centre.clone()),
                coefficients,
                Tensor::flat("scales", self.scales.clone()),
            ],
        }
    }
}

#[cfg(test)]
mod tests;

//! Detector: distance to the forecast of a vector autoregression.
//!
//! Owns: the coefficients, the residual and its covariance. Does not own: the equations' arithmetic
//! (`math::linear`).
//!
//! The linear control of the networks in time: every feature is forecast from the newest rows of all of
//! them, by least squares with a ridge (Lütkepohl, New Introduction to Multiple Time Series Analysis,
//! 2005, 3.2), and the residual is measured in its own covariance (Mahalanobis).

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
use crate::math::linear::Cholesky;
use crate::series::Window;

/// Longest order.
const MOST_ORDER: usize = 100;
/// A missing cell that a forecast reads has the value of so many rows before at most.
const CARRY: usize = 8;

/// How it is set up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Rows that a forecast is made from.
    pub order: usize,
    /// What is added to the variance of each of their cells, in preprocessed units: more, and the
    /// coefficients are smaller.
    pub ridge: f64,
}

impl Default for Config {
    fn default() -> Config {
        Config { order: 3, ridge: 0.01 }
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
        self.order.clamp(1, MOST_ORDER) + CARRY + linear::TAIL - 1
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
        centre: tensors.take("centre", &[d])?,
        coefficients: tensors.take("coefficients", &[d, meta.order * d])?,
        covariance: tensors.take("covariance", &[d, d])?,
        live,
        whole: None,
    };
    tensors.end("a vector autoregression")?;
    let model = model.prepared();
    match model.whole {
        Some(_) => Ok(Box::new(model)),
        None => Err(RestoreError("a covariance that is none".to_string())),
    }
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
    centre: Vec<f64>,
    /// `[columns, order × columns]`: of each column, those of the row before, then of the one before it.
    coefficients: Vec<f64>,
    /// `[columns, columns]`, of the residuals.
    covariance: Vec<f64>,
    /// The covariance of rows without gaps, taken apart.
    whole: Option<Cholesky>,
}

impl Var {
    fn prepared(mut self) -> Var {
        self.whole = Cholesky::new(&self.covariance, self.live.len());
        self
    }

    /// Residuals of a row: measured less forecast; NaN where that is a gap.
    fn residuals(&self, past: &Past<'_>, i: usize) -> Vec<f64> {
        let before = past.before(i, self.order);
        let forecast = |j: usize| -> f64 {
            let own = &self.coefficients[j * before.len()..][..before.len()];
            own.iter().zip(&before).map(|(a, x)| a * x).sum()
        };
        (0..self.live.len()).map(|j| past.centred(i, j) - forecast(j)).collect()
    }

    /// Each column's part of the squared Mahalanobis distance, the known ones by themselves; `None` where
    /// the column is a gap.
    fn squares(&self, residuals: &[f64]) -> Vec<Option<f64>> {
        let d = residuals.len();
        let known: Vec<usize> = (0..d).filter(|&j| !residuals[j].is_nan()).collect();
        let mut solved: Vec<f64> = known.iter().map(|&j| residuals[j]).collect();
        match &self.whole {
            Some(whole) if known.len() == d => whole.solve(&mut solved),
            _ => {
                let pairs = known.iter().flat_map(|a| known.iter().map(move |b| a * d + b));
                let part: Vec<f64> = pairs.map(|at| self.covariance[at]).collect();
                match Cholesky::new(&part, known.len()) {
                    Some(part) => part.solve(&mut solved),
                    None => solved.fill(0.0),
                }
            }
        }
        let mut squares = vec![None; d];
        for (j, x) in known.into_iter().zip(solved) {
            squares[j] = Some(residuals[j] * x);
        }
        squares
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
        self.order + CARRY + linear::TAIL - 1
    }

    fn score(&self, window: &Window, first: usize) -> Vec<Raw> {
        if window.n_features != self.n_features {
            return vec![Raw::UNKNOWN; window.grid.len.saturating_sub(first)];
        }
        let rows = linear::far(window, &self.live);
        let past = Past { rows: &rows, centre: &self.centre };
        // Without rows to forecast from there is nothing to be surprised of.
        let known = |i: usize| i >= self.order;
        let squares = |i: usize| self.squares(&self.residuals(&past, i));
        let mean_square = |i: usize| known(i).then(|| linear::mean_square(&squares(i))).flatten();
        linear::raws(first, rows.grid.len, mean_square)
    }

    fn reads(&self, feature: usize) -> bool {
        self.live.contains(&feature)
    }

    fn contributions(&self, window: &Window) -> Option<Vec<f64>> {
        if window.n_features != self.n_features || window.grid.len <= self.order {
            return None;
        }
        let rows = linear::far(window, &self.live);
        let past = Past { rows: &rows, centre: &self.centre };
        let squares = |i: usize| match i < self.order {
            true => Vec::new(),
            false => self.squares(&self.residuals(&past, i)),
        };
        linear::shares(rows.grid.len, squares, &self.live, self.n_features)
    }

    fn parts(&self) -> Parts {
        let meta = Meta { features: self.n_features, order: self.order };
        let d = self.live.len();
        let columns: Vec<u16> = self.live.iter().map(|&column| column as u16).collect();
        let shaped = |name, values: &[f64], shape: [usize; 2]| Tensor {
            shape: shape.to_vec(),
            ..Tensor::flat(name, values.to_vec())
        };
        Parts {
            meta: serde_json::to_value(meta).unwrap_or_default(),
            tensors: vec![
                Tensor::flat("columns", columns),
                Tensor::flat("centre", self.centre.clone()),
                shaped("coefficients", &self.coefficients, [d, self.order * d]),
                shaped("covariance", &self.covariance, [d, d]),
            ],
        }
    }
}

#[cfg(test)]
mod tests;

//! Detector: what is left of a row when the leading principal components are taken out.
//!
//! Owns: the components, the residual and its scales. Does not own: the eigenvectors' arithmetic
//! (`math::linear`).
//!
//! The linear control of the networks: features that usually move together span few directions, and a
//! row that leaves them is strange (the Q statistic of Jackson and Mudholkar, Technometrics 1979).

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
use crate::math::linear::eigen;
use crate::series::Window;

/// Newest rows that make a raw score.
pub(in crate::detect) const TAIL: usize = 4;
/// Smallest share of the first component's variance that noise is taken to have.
const LEAST_NOISE: f64 = 1e-6;

/// How it is set up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// As many components are taken out as hold this share of the variance, but never all.
    pub share: f64,
}

impl Default for Config {
    fn default() -> Config {
        Config { share: 0.9 }
    }
}

impl Config {
    /// What is wrong with these settings.
    pub fn problem(&self) -> Option<String> {
        let Config { share } = self;
        (!(*share > 0.0 && *share < 1.0)).then(|| format!("share: {share} is not between 0 and 1"))
    }
}

/// Learns the components of `train`.
///
/// # Errors
/// Fewer than 32 rows hold values, or `keep_going` said no.
pub fn fit(
    config: &Config,
    train: &Window,
    context: &FitContext<'_>,
) -> Result<Box<dyn Model>, FitError> {
    Ok(Box::new(Pca::fit(config, train, context)?))
}

/// The model that [`Model::parts`] came from.
///
/// # Errors
/// A name, a shape or a number is not as it must be.
pub fn restore(parts: Parts) -> Result<Box<dyn Model>, RestoreError> {
    let meta: Meta = serde_json::from_value(parts.meta).map_err(|e| RestoreError(e.to_string()))?;
    let mut tensors = Tensors::new(parts.tensors)?;
    let live = linear::columns(&tensors.take_flat("columns")?, meta.features)?;
    let d = live.len();
    let model = Pca {
        n_features: meta.features,
        reach: linear::positive(tensors.take("reach", &[d])?)?,
        centre: tensors.take("centre", &[d])?,
        scales: linear::positive(tensors.take("scales", &[d])?)?,
        components: tensors.take("components", &[meta.rank, d])?,
        shrinkage: linear::positive(tensors.take("shrinkage", &[meta.rank])?)?,
        live,
    };
    tensors.end("a PCA")?;
    Ok(Box::new(model))
}

/// What is stored beside the numbers.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Meta {
    features: usize,
    rank: usize,
}

struct Pca {
    n_features: usize,
    /// The columns that are read, ascending.
    live: Vec<usize>,
    /// How far each column reached in training; all below is in units of it.
    reach: Vec<f64>,
    centre: Vec<f64>,
    /// A residual of each column that is as large as usual.
    scales: Vec<f64>,
    /// `[rank, columns]`, orthonormal.
    components: Vec<f64>,
    /// Variance of the noise in variances of each component.
    shrinkage: Vec<f64>,
}

impl Pca {
    fn fit(config: &Config, train: &Window, context: &FitContext<'_>) -> Result<Pca, FitError> {
        let live = linear::live(train)?;
        let reach = linear::reaches(train, &live);
        Pca::within(config, train, live, reach, context)
    }

    /// The same, of the columns `live` in units of `reach`.
    fn within(
        config: &Config,
        train: &Window,
        live: Vec<usize>,
        reach: Vec<f64>,
        context: &FitContext<'_>,
    ) -> Result<Pca, FitError> {
        let rows = linear::near(train, &live, &reach);
        let centre = linear::means(&rows);
        let d = live.len();
        let covariance = covariance(&rows, &centre, context)?;
        let eigen = eigen(&covariance, d, context.keep_going).ok_or(FitError::Stopped)?;
        let rank = rank(&eigen.values, config.share);
        let (kept, left) = eigen.values.split_at(rank);
        let noise = left.iter().map(|v| v.max(0.0)).sum::<f64>() / left.len().max(1) as f64;
        let noise = noise.max(LEAST_NOISE * eigen.values[0]).max(f64::MIN_POSITIVE);
        let mut model = Pca {
            n_features: train.n_features,
            centre,
            scales: vec![1.0; d],
            components: eigen.vectors[..rank * d].to_vec(),
            shrinkage: kept.iter().map(|v| noise / v).collect(),
            reach,
            live,
        };
        let mut residuals = vec![Vec::new(); d];
        linear::each_row(0..rows.grid.len, context, |i| {
            for (all, own) in residuals.iter_mut().zip(model.residuals(rows.row(i))) {
                all.push(own);
            }
        })?;
        model.scales = residuals.into_iter().map(|r| linear::usual(r.into_iter())).collect();
        Ok(model)
    }

    fn rank(&self) -> usize {
        self.shrinkage.len()
    }

    fn component(&self, k: usize) -> &[f64] {
        &self.components[k * self.live.len()..][..self.live.len()]
    }

    /// What is left of each column of a row; NaN where that is a gap.
    fn residuals(&self, row: &[f64]) -> Vec<f64> {
        let mut left: Vec<f64> = row.iter().zip(&self.centre).map(|(v, c)| v - c).collect();
        for (k, along) in self.along(&left).into_iter().enumerate() {
            left.iter_mut().zip(self.component(k)).for_each(|(x, p)| *x -= along * p);
        }
        left
    }

    /// How far a centred row goes along each component.
    ///
    /// Of a row with gaps that is the expectation given the others, under the components and noise of
    /// one variance (probabilistic PCA: Tipping and Bishop 1999): a missing cell costs its own share only.
    fn along(&self, centred: &[f64]) -> Vec<f64> {
        let known = |x: f64| if x.is_nan() { 0.0 } else { x };
        let dot = |k: usize| -> f64 {
            centred.iter().zip(self.component(k)).map(|(x, p)| known(*x) * p).sum()
        };
        let rank = self.rank();
        let mut along: Vec<f64> = (0..rank).map(dot).collect();
        if centred.iter().all(|x| !x.is_nan()) {
            return along;
        }
        let mut products = vec![0.0; rank * rank];
        for k in 0..rank {
            for l in 0..=k {
                let both = self.component(k).iter().zip(self.component(l)).zip(centred);
                let product = both.filter(|(_, x)| !x.is_nan()).map(|((p, q), _)| p * q).sum();
                products[k * rank + l] = product;
                products[l * rank + k] = product;
            }
            products[k * rank + k] += self.shrinkage[k];
        }
        match Cholesky::new(&products, rank) {
            Some(cholesky) => cholesky.solve(&mut along),
            None => along.fill(0.0),
        }
        along
    }

    /// Each column's squared residual in its scale; `None` where the column is a gap.
    fn squares(&self, row: &[f64]) -> linear::Squares {
        linear::squares(self.residuals(row), &self.scales)
    }
}

/// Covariances of all pairs of columns, each from the rows that have both, with n − 1 below.
fn covariance(
    rows: &Window,
    centre: &[f64],
    context: &FitContext<'_>,
) -> Result<Vec<f64>, FitError> {
    let d = centre.len();
    let (mut sums, mut counts) = (vec![0.0; d * d], vec![0.0; d * d]);
    linear::each_row(0..rows.grid.len, context, |i| {
        let known = rows.row(i).iter().map(|v| f64::from(u8::from(!v.is_nan())));
        let known: Vec<f64> = known.collect();
        let centred = rows.row(i).iter().zip(centre).map(|(v, c)| v - c);
        let centred: Vec<f64> = centred.map(|x| if x.is_nan() { 0.0 } else { x }).collect();
        for a in (0..d).filter(|&a| known[a] > 0.0) {
            let (sums, counts) = (&mut sums[a * d..], &mut counts[a * d..]);
            for b in 0..=a {
                sums[b] += centred[a] * centred[b];
                counts[b] += known[b];
            }
        }
    })?;
    let cell = |at: usize| {
        let (a, b) = (at / d, at % d);
        let at = a.max(b) * d + a.min(b);
        sums[at] / (counts[at] - 1.0).max(1.0)
    };
    Ok((0..d * d).map(cell).collect())
}

/// As many values as hold the share of all, less than all of them.
fn rank(values: &[f64], share: f64) -> usize {
    let total: f64 = values.iter().map(|v| v.max(0.0)).sum();
    let mut held = 0.0;
    let needed = values.iter().position(|v| {
        held += v.max(0.0);
        held > share * total
    });
    needed.map_or(0, |last| last + 1).min(values.len().saturating_sub(1))
}

impl Model for Pca {
    fn lookback(&self) -> usize {
        TAIL - 1
    }

    fn score(&self, window: &Window, first: usize) -> Vec<Raw> {
        if window.n_features != self.n_features {
            return vec![Raw::UNKNOWN; window.grid.len.saturating_sub(first)];
        }
        let rows = linear::far(window, &self.live, &self.reach);
        linear::raws(first, rows.grid.len, TAIL, |i| self.squares(rows.row(i)))
    }

    fn reads(&self, feature: usize) -> bool {
        self.live.contains(&feature)
    }

    fn contributions(&self, window: &Window) -> Option<Vec<f64>> {
        if window.n_features != self.n_features {
            return None;
        }
        let rows = linear::far(window, &self.live, &self.reach);
        let squares = |i: usize| self.squares(rows.row(i));
        linear::shares(rows.grid.len, TAIL, squares, &self.live, self.n_features)
    }

    fn parts(&self) -> Parts {
        let meta = Meta { features: self.n_features, rank: self.rank() };
        let shape = vec![self.rank(), self.live.len()];
        let columns: Vec<u16> = self.live.iter().map(|&column| column as u16).collect();
        let components = Tensor { shape, ..Tensor::flat("components", self.components.clone()) };
        Parts {
            meta: serde_json::to_value(meta).unwrap_or_default(),
            tensors: vec![
                Tensor::flat("columns", columns),
                Tensor::flat("reach", self.reach.clone()),
                Tensor::flat("centre", self.centre.clone()),
                Tensor::flat("scales", self.scales.clone()),
                components,
                Tensor::flat("shrinkage", self.shrinkage.clone()),
            ],
        }
    }
}

#[cfg(test)]
mod tests;

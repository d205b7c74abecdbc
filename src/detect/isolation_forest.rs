//! How few random cuts set a row apart from what was learnt.
//!
//! Owns: its settings, its fit, the raw score. Does not own: the features (`residuals`), the trees
//! (`forest`).

use serde::Deserialize;
use serde::Serialize;

use crate::detect::FitContext;
use crate::detect::FitError;
use crate::detect::Model;
use crate::detect::Parts;
use crate::detect::Raw;
use crate::detect::RestoreError;
use crate::detect::Tensors;
use crate::detect::isolation_forest::forest::Forest;
use crate::detect::isolation_forest::forest::Row;
use crate::detect::residuals;
use crate::detect::residuals::Features;
use crate::detect::residuals::Residuals;
use crate::detect::residuals::clock::Clock;
use crate::detect::seasonal_median::profile;
use crate::series::Window;

mod forest;

const NAME: &str = "isolation_forest";

/// How the forest is set up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Length of the season in seconds. By default a week where the rows show two of them, else a
    /// day, else none.
    pub season_s: Option<i64>,
    /// How many trees.
    pub trees: usize,
}

impl Default for Config {
    fn default() -> Config {
        Config { season_s: None, trees: 100 }
    }
}

impl Config {
    /// What is wrong with the settings, if anything is.
    pub(in crate::detect) fn problem(&self) -> Option<String> {
        let wrong = !(1..=200).contains(&self.trees);
        let trees = wrong.then(|| format!("trees: {}, wanted 1 to 200", self.trees));
        trees.or_else(|| profile::problem(self.season_s))
    }
}

/// Learns residuals and grows trees.
///
/// # Errors
/// Fewer than 8 rows have data, or residuals, or it was stopped.
pub(in crate::detect) fn fit(
    config: &Config,
    train: &Window,
    context: &FitContext<'_>,
) -> Result<Box<dyn Model>, FitError> {
    let (residuals, features) = Residuals::fit(train, config.season_s, context)?;
    let rows: Vec<Row> = features.iter().map(sizes).collect();
    let forest = Forest::grow(&rows, config.trees, context.seed, context.keep_going)
        .ok_or(FitError::Stopped)?;
    Ok(Box::new(Isolation { residuals, forest }))
}

/// The model that [`Model::parts`] came from.
///
/// # Errors
/// The parts are not those of this detector.
pub(in crate::detect) fn restore(parts: Parts) -> Result<Box<dyn Model>, RestoreError> {
    let fail = |what: String| RestoreError(format!("{NAME}: {what}"));
    let meta: Meta = serde_json::from_value(parts.meta).map_err(|e| fail(e.to_string()))?;
    if meta.detector != NAME {
        return Err(fail(format!("the parts are of {:?}", meta.detector)));
    }
    let mut tensors = Tensors::new(parts.tensors)?;
    let residuals = Residuals::restore(meta.clock, &mut tensors)?;
    let forest = Forest::restore(meta.sample, &mut tensors)?;
    tensors.end(NAME)?;
    Ok(Box::new(Isolation { residuals, forest }))
}

/// What is stored beside the tensors.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Meta {
    detector: String,
    clock: Clock,
    /// Points of each tree.
    sample: usize,
}

/// A fitted forest on the residuals of fitted forecasts.
struct Isolation {
    residuals: Residuals,
    forest: Forest,
}

/// A dip is as strange as a surge: of sizes alone, eight cuts tell more.
fn sizes(features: &Features) -> Row {
    features.map(|f| f.abs() as f32)
}

impl Isolation {
    /// scikit-learn's score saturates: beyond what was learnt, every row lies equally alone. So the
    /// raw score is its odds, which tell the strange from the very strange, to a power that makes it as wide as a
    /// distance is, and grows on with the distance beyond.
    fn raw(&self, score: f64, features: &Features) -> f64 {
        let odds = score / (1.0 - score).max(f64::EPSILON);
        odds.powi(4) * (1.0 + self.residuals.excess(features))
    }
}

impl Model for Isolation {
    fn lookback(&self) -> usize {
        residuals::LOOKBACK
    }

    fn score(&self, window: &Window, first: usize) -> Vec<Raw> {
        let features = self.residuals.features(window, first);
        let rows: Vec<Row> = features.iter().map(sizes).collect();
        let raw = |(features, score): (&Features, f64)| match features[0].is_nan() {
            true => Raw::UNKNOWN,
            false => Raw { value: self.raw(score, features), forecast: None },
        };
        features.iter().zip(self.forest.scores(&rows)).map(raw).collect()
    }

    fn parts(&self) -> Parts {
        let meta = Meta {
            detector: NAME.to_string(),
            clock: self.residuals.clock(),
            sample: self.forest.sample(),
        };
        let mut tensors = self.residuals.tensors();
        tensors.extend(self.forest.tensors());
        Parts { meta: serde_json::to_value(meta).unwrap_or_default(), tensors }
    }
}

#[cfg(test)]
mod tests;

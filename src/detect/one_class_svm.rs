//! Distance from the support of what was learnt, by a kernel machine.
//!
//! Owns: its settings, its fit, the raw score. Does not own: the features (`residuals`), the kernel, the
//! optimum (`smo`).

use serde::Deserialize;
use serde::Serialize;

use crate::detect::FitContext;
use crate::detect::FitError;
use crate::detect::Model;
use crate::detect::Parts;
use crate::detect::Raw;
use crate::detect::RestoreError;
use crate::detect::Tensors;
use crate::detect::one_class_svm::machine::Machine;
use crate::detect::residuals;
use crate::detect::residuals::Features;
use crate::detect::residuals::Residuals;
use crate::detect::residuals::clock::Clock;
use crate::detect::seasonal_median::profile;
use crate::math::random::Random;
use crate::series::Window;

mod kernel;
mod machine;
mod smo;

const NAME: &str = "one_class_svm";

/// How the machine is set up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Length of the season in seconds. By default a week where the rows show two of them, else a
    /// day, else none.
    pub season_s: Option<i64>,
    /// The part of training rows that may lie outside.
    pub nu: f64,
    /// Most rows that are learnt from, drawn at random where there are more: the cost grows with their
    /// square.
    pub rows: usize,
}

impl Default for Config {
    fn default() -> Config {
        Config { season_s: None, nu: 0.05, rows: 4_320 }
    }
}

impl Config {
    /// What is wrong with the settings, if anything is.
    pub(in crate::detect) fn problem(&self) -> Option<String> {
        if !(self.nu > 0.0 && self.nu <= 1.0) {
            return Some(format!("nu: {}, wanted above 0, up to 1", self.nu));
        }
        let wrong = !(residuals::MIN_ROWS..=20_000).contains(&self.rows);
        let rows = wrong.then(|| format!("rows: {}, wanted 8 to 20000", self.rows));
        rows.or_else(|| profile::problem(self.season_s))
    }
}

/// Learns residuals and their support.
///
/// # Errors
/// Fewer than 8 rows have data, or residuals, or it was stopped.
pub(in crate::detect) fn fit(
    config: &Config,
    train: &Window,
    context: &FitContext<'_>,
) -> Result<Box<dyn Model>, FitError> {
    let (residuals, features) = Residuals::fit(train, config.season_s, context)?;
    let rows = reservoir(features, config.rows, context.seed);
    let machine = Machine::fit(&rows, config.nu, context.keep_going).ok_or(FitError::Stopped)?;
    Ok(Box::new(Support { residuals, machine, cap: config.rows }))
}

/// At most `most` of the rows, each as likely (Vitter's algorithm R).
fn reservoir(mut rows: Vec<Features>, most: usize, seed: u64) -> Vec<Features> {
    let mut random = Random::new(seed);
    for i in most..rows.len() {
        let at = random.below(i + 1);
        if at < most {
            rows[at] = rows[i];
        }
    }
    rows.truncate(most);
    rows
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
    let machine = Machine::restore(&mut tensors)?;
    tensors.end(NAME)?;
    Ok(Box::new(Support { residuals, machine, cap: meta.cap }))
}

/// What is stored beside the tensors.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Meta {
    detector: String,
    clock: Clock,
    /// Most rows that it could have learnt from.
    cap: usize,
}

/// The support of the residuals of fitted forecasts.
struct Support {
    residuals: Residuals,
    machine: Machine,
    cap: usize,
}

impl Model for Support {
    fn lookback(&self) -> usize {
        residuals::LOOKBACK
    }

    fn score(&self, window: &Window, first: usize) -> Vec<Raw> {
        let features = self.residuals.features(window, first);
        let raw = |features: &Features| match features[0].is_nan() {
            true => Raw::UNKNOWN,
            false => {
                let value = self.machine.depth(features) + self.residuals.excess(features);
                Raw { value, forecast: None }
            }
        };
        features.iter().map(raw).collect()
    }

    fn parts(&self) -> Parts {
        let clock = self.residuals.clock();
        let meta = Meta { detector: NAME.to_string(), clock, cap: self.cap };
        let mut tensors = self.residuals.tensors();
        tensors.extend(self.machine.tensors());
        Parts { meta: serde_json::to_value(meta).unwrap_or_default(), tensors }
    }
}

#[cfg(test)]
mod tests;

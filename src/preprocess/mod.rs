//! From raw rows to rows on which a difference means the same everywhere.
//!
//! Owns: despiking, buckets, transforms, scales, and how they are undone.
//! Does not own: where rows come from (`window`) or what is made of them (`detect`).

mod despike;
mod resample;
mod scale;

use serde::Deserialize;
use serde::Serialize;

pub use despike::Despike;
pub use resample::buckets;
pub use scale::Transform;

use crate::preprocess::scale::Scaling;
use crate::series::Window;

/// What preprocessing a watch asks for.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Length of a bucket, a multiple of the step; none keeps the step.
    pub bucket_s: Option<i64>,
    /// Takes single spikes out before anything else. Off by default: it eats the first rows of
    /// real events and a part of every morning.
    pub despike: Option<Despike>,
    /// One entry per column; columns beyond have the default.
    pub features: Vec<FeatureConfig>,
}

/// How one feature is brought to scale.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FeatureConfig {
    /// Applied to bucketed values.
    pub transform: Transform,
    /// Smallest scale, in transformed units: smaller effects are noise.
    pub floor: f64,
}

impl Config {
    /// Learns each feature's scale from training rows; those without a value are left out.
    pub fn fit(&self, train: &Window) -> Fitted {
        let bucketed = self.bucketed(train);
        let columns = (0..train.n_features).map(|feature| {
            let FeatureConfig { transform, floor } = self.feature(feature);
            let values = bucketed.column(feature).into_iter().map(|v| transform.apply(v));
            Scaling::fit(values, floor)
        });
        Fitted { columns: columns.collect(), config: self.clone() }
    }

    fn feature(&self, feature: usize) -> FeatureConfig {
        self.features.get(feature).copied().unwrap_or_default()
    }

    /// Despiked and in buckets, in raw units.
    fn bucketed(&self, raw: &Window) -> Window {
        let despiked = self.despike.map_or_else(|| raw.clone(), |despike| despike.apply(raw));
        match self.bucket_s {
            Some(bucket_s) => resample::buckets(&despiked, bucket_s),
            None => despiked,
        }
    }
}

/// Fitted preprocessing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fitted {
    config: Config,
    columns: Vec<Scaling>,
}

impl Fitted {
    /// Preprocessed rows: despiked, in complete aligned buckets, transformed, scaled.
    ///
    /// A bucket's time is that of its first row. Gaps stay gaps; what is not finite becomes one.
    pub fn apply(&self, raw: &Window) -> Window {
        let mut window = self.config.bucketed(raw);
        for i in 0..window.grid.len {
            for (feature, value) in window.row_mut(i).iter_mut().enumerate() {
                let scaled = self.scaling(feature).apply(self.transform(feature).apply(*value));
                *value = if scaled.is_finite() { scaled } else { f64::NAN };
            }
        }
        window
    }

    /// The step of preprocessed rows, for raw rows every `step_s` seconds.
    pub fn coarse_step_s(&self, step_s: i64) -> i64 {
        self.config.bucket_s.map_or(step_s, |bucket_s| resample::rows(step_s, bucket_s) * step_s)
    }

    /// A preprocessed value in raw (bucketed) units.
    pub fn invert(&self, feature: usize, value: f64) -> f64 {
        self.transform(feature).invert(self.scaling(feature).invert(value))
    }

    fn transform(&self, feature: usize) -> Transform {
        self.config.feature(feature).transform
    }

    fn scaling(&self, feature: usize) -> Scaling {
        self.columns.get(feature).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Grid;

    fn window(step_s: i64, n_features: usize, values: Vec<f64>) -> Window {
        let grid = Grid { start_s: 0, step_s, len: values.len() / n_features };
        Window { grid, n_features, values }
    }

    fn traffic() -> Config {
        let feature = FeatureConfig { transform: Transform::Log1p, floor: 0.1 };
        Config { bucket_s: Some(1800), despike: None, features: vec![feature; 2] }
    }

    #[test]
    fn applied_and_undone_it_is_the_bucket() {
        let raw = window(300, 2, (0..240).map(|i| f64::from(i * i)).collect());
        let fitted = traffic().fit(&raw);
        let (scaled, sums) = (fitted.apply(&raw), resample::buckets(&raw, 1800));
        assert_eq!((scaled.grid.step_s, scaled.grid.len), (1800, 20));
        for i in 0..20 {
            for feature in 0..2 {
                let (have, want) =
                    (fitted.invert(feature, scaled.row(i)[feature]), sums.row(i)[feature]);
                assert!((have / want - 1.0).abs() < 1e-9, "{have} {want}");
            }
        }
        assert_eq!(
            (fitted.coarse_step_s(300), Config::default().fit(&raw).coarse_step_s(300)),
            (1800, 300)
        );
    }

    #[test]
    fn hostile_rows_become_numbers_or_gaps() {
        let hostile = [0.0, f64::NAN, f64::INFINITY, -1e300, 1e300, 5e-324, f64::NEG_INFINITY];
        for config in [traffic(), Config::default()] {
            for values in [vec![f64::NAN; 24], vec![7.0; 24], hostile.repeat(24)] {
                let raw = window(300, 2, values);
                let fitted = config.fit(&raw);
                assert!(fitted.apply(&raw).values.iter().all(|v| !v.is_infinite()));
                let text = serde_json::to_string(&fitted).unwrap();
                assert_eq!(serde_json::from_str::<Fitted>(&text).unwrap(), fitted);
            }
        }
    }

    #[test]
    fn a_row_is_computed_from_rows_up_to_its_own() {
        let raw = window(300, 1, (0..200).map(|i| f64::from(i * 7919 % 101)).collect());
        let despike = Some(Despike { window: 24, threshold: 2.0 });
        let fitted = Config { despike, ..traffic() }.fit(&raw);
        let (all, part) = (fitted.apply(&raw), fitted.apply(&raw.slice(0, 120)));
        assert_eq!(all.values[..part.values.len()], part.values);
    }
}

//! From raw rows to rows on which a difference means the same everywhere.
//!
//! Owns: the steps on the way, their order, what they learn from training rows, how they are undone.
//! Does not own: where rows come from (`window`) or what is made of them (`detect`).
//!
//! A preprocessed row is computed from rows up to the end of its bucket, and from a bounded number of
//! them: what is scored as it comes is what all of history would give.

mod despike;
mod fill;
mod hampel;
mod mask;
mod resample;
mod scale;
mod steps;

use std::fmt;

use serde::Deserialize;
use serde::Serialize;

pub use despike::Despike;
pub use fill::Fill;
pub use hampel::Hampel;
pub use mask::Mask;
pub use resample::buckets;
pub use scale::Scaler;
pub use scale::Transform;
pub use steps::Step;
pub use steps::problems;

use crate::preprocess::scale::Scaling;
use crate::preprocess::steps::Horizon;
use crate::series::Window;

/// What preprocessing a watch asks for.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Length of a bucket, a multiple of the step; none keeps the step.
    pub bucket_s: Option<i64>,
    /// Takes single spikes out before anything else. Off by default: it needs the rows inside of
    /// buckets, and eats the first rows of real events and a part of every morning.
    pub despike: Option<Despike>,
    /// One entry per column; columns beyond have the default.
    pub features: Vec<FeatureConfig>,
    /// All steps in their order, for who wants others than despike, bucket, transform, scale; then
    /// the two above say nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
}

/// How one feature is brought to scale.
#[derive(Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FeatureConfig {
    /// Applied to bucketed values.
    pub transform: Transform,
    /// Smallest scale, in transformed units: smaller effects are noise.
    pub floor: f64,
    /// What centre and scale are.
    #[serde(skip_serializing_if = "is_default")]
    pub scaler: Scaler,
}

fn is_default(scaler: &Scaler) -> bool {
    *scaler == Scaler::default()
}

/// Fingerprints of models are made of this text: what came later is in it only where it is used.
impl fmt::Debug for FeatureConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("FeatureConfig");
        text.field("transform", &self.transform).field("floor", &self.floor);
        if !is_default(&self.scaler) {
            text.field("scaler", &self.scaler);
        }
        text.finish()
    }
}

impl Config {
    /// Learns limits and scales from training rows; those without a value are left out.
    pub fn fit(&self, train: &Window) -> Fitted {
        let mut fitted = Fitted { config: self.clone(), columns: Vec::new(), limits: Vec::new() };
        let mut rows = train.clone();
        for (step, horizon) in self.in_order() {
            match step {
                Step::Mask(mask) => fitted.limits = mask.fit(&self.measured(rows.clone(), train)),
                Step::Scale => {
                    fitted.columns = self.scales(&self.measured(rows, train));
                    break;
                }
                _ => {}
            }
            rows = fitted.step(step, horizon, rows);
        }
        fitted
    }

    /// Rows with what was filled in as gaps again.
    fn measured(&self, rows: Window, raw: &Window) -> Window {
        match self.steps.iter().any(|step| matches!(step, Step::Fill(_))) {
            true => measured(rows, raw),
            false => rows,
        }
    }

    fn scales(&self, rows: &Window) -> Vec<Scaling> {
        let scaling = |feature| {
            let FeatureConfig { floor, scaler, .. } = self.feature(feature);
            Scaling::fit(scaler, rows.column(feature), floor)
        };
        (0..rows.n_features).map(scaling).collect()
    }

    fn feature(&self, feature: usize) -> FeatureConfig {
        self.features.get(feature).copied().unwrap_or_default()
    }

    /// The bucket, wherever it is said.
    fn bucket_s(&self) -> Option<i64> {
        self.in_order().into_iter().find_map(|(step, _)| match step {
            Step::Bucket(bucket_s) => Some(bucket_s),
            _ => None,
        })
    }

    /// Raw rows every `step_s` seconds that the newest `n` preprocessed rows depend on.
    pub fn n_raw_rows(&self, n: usize, step_s: i64) -> usize {
        self.in_order().into_iter().rev().fold(n, |n, (step, _)| match step {
            Step::Bucket(bucket_s) => n.saturating_mul(resample::rows(step_s, bucket_s) as usize),
            step => n.saturating_add(step.n_rows_before()),
        })
    }

    /// Every step, and how far it may look ahead.
    fn in_order(&self) -> Vec<(Step, Horizon)> {
        let mut steps = self.steps.clone();
        if steps.is_empty() {
            steps.extend(self.despike.map(Step::Despike));
            steps.extend(self.bucket_s.map(Step::Bucket));
        }
        let scale = steps.iter().position(|step| *step == Step::Scale).unwrap_or(steps.len());
        steps.truncate(scale);
        if !steps.contains(&Step::Transform) {
            steps.push(Step::Transform);
        }
        steps.push(Step::Scale);
        let ahead = |i: usize| {
            let bucket_s = steps[i + 1..].iter().find_map(|step| match step {
                Step::Bucket(bucket_s) => Some(*bucket_s),
                _ => None,
            });
            (steps[i], Horizon { bucket_s })
        };
        (0..steps.len()).map(ahead).collect()
    }
}

/// Rows as gaps again of which less than half of the raw rows were measured.
fn measured(mut rows: Window, raw: &Window) -> Window {
    let per_row = (rows.grid.step_s / raw.grid.step_s.max(1)).max(1);
    for i in 0..rows.grid.len {
        let first = (rows.grid.time(i) - raw.grid.start_s) / raw.grid.step_s;
        let which = first.max(0) as usize..((first + per_row).max(0) as usize).min(raw.grid.len);
        for feature in 0..rows.n_features {
            let valid = which.clone().filter(|&k| raw.row(k)[feature].is_finite()).count() as i64;
            if valid * 2 < per_row || valid == 0 {
                rows.row_mut(i)[feature] = f64::NAN;
            }
        }
    }
    rows
}

/// Fitted preprocessing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fitted {
    config: Config,
    columns: Vec<Scaling>,
    /// Of the mask, per feature.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    limits: Vec<Option<f64>>,
}

impl Fitted {
    /// Preprocessed rows: all steps, with complete aligned buckets.
    ///
    /// A bucket's time is that of its first row. What is not finite in the end is a gap.
    pub fn apply(&self, raw: &Window) -> Window {
        let steps = self.config.in_order().into_iter();
        let mut window =
            steps.fold(raw.clone(), |rows, (step, horizon)| self.step(step, horizon, rows));
        for value in &mut window.values {
            if !value.is_finite() {
                *value = f64::NAN;
            }
        }
        window
    }

    /// As [`Fitted::apply`], with every row as a gap that was filled in rather than measured, which
    /// known incidents in training are.
    pub fn apply_measured(&self, raw: &Window) -> Window {
        self.config.measured(self.apply(raw), raw)
    }

    fn step(&self, step: Step, horizon: Horizon, rows: Window) -> Window {
        match step {
            Step::Fill(fill) => fill.apply(rows, horizon),
            Step::Mask(_) => Mask::apply(rows, &self.limits),
            Step::Despike(despike) => despike.apply(&rows),
            Step::Hampel(hampel) => hampel.apply(rows, horizon),
            Step::Bucket(bucket_s) => resample::buckets(&rows, bucket_s),
            Step::Transform => each(rows, |feature, value| self.transform(feature).apply(value)),
            Step::Scale => each(rows, |feature, value| self.scaling(feature).apply(value)),
        }
    }

    /// Whether it was fitted by this configuration, to rows of so many features.
    pub fn is_fit_of(&self, config: &Config, n_features: usize) -> bool {
        let of_each = |n: usize| n == 0 || n == n_features;
        self.config == *config && of_each(self.columns.len()) && of_each(self.limits.len())
    }

    /// The step of preprocessed rows, for raw rows every `step_s` seconds.
    pub fn coarse_step_s(&self, step_s: i64) -> i64 {
        self.config.bucket_s().map_or(step_s, |bucket_s| resample::rows(step_s, bucket_s) * step_s)
    }

    /// Raw rows every `step_s` seconds that the newest `n` preprocessed rows depend on.
    pub fn n_raw_rows(&self, n: usize, step_s: i64) -> usize {
        self.config.n_raw_rows(n, step_s)
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

/// Each value by itself.
fn each(mut rows: Window, map: impl Fn(usize, f64) -> f64) -> Window {
    for i in 0..rows.grid.len {
        for (feature, value) in rows.row_mut(i).iter_mut().enumerate() {
            *value = map(feature, *value);
        }
    }
    rows
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
        let feature =
            FeatureConfig { transform: Transform::Log1p, floor: 0.1, ..Default::default() };
        Config { bucket_s: Some(1800), features: vec![feature; 2], ..Default::default() }
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
        for config in [traffic(), Config::default(), everything(), workshop()] {
            for values in [vec![f64::NAN; 24], vec![7.0; 24], hostile.repeat(24)] {
                let raw = window(300, 2, values);
                let fitted = config.fit(&raw);
                assert!(fitted.apply(&raw).values.iter().all(|v| !v.is_infinite()));
                let text = serde_json::to_string(&fitted).unwrap();
                assert_eq!(serde_json::from_str::<Fitted>(&text).unwrap(), fitted);
            }
        }
    }

    fn everything() -> Config {
        let hampel = Hampel { window: 25, threshold: 4.0, run: 3 };
        let steps = vec![
            Step::Mask(Mask { medians: 200.0 }),
            Step::Fill(Fill::Interpolate(4)),
            Step::Hampel(hampel),
            Step::Despike(Despike { window: 24, threshold: 3.0 }),
            Step::Fill(Fill::Previous(2)),
            Step::Bucket(1800),
            Step::Hampel(Hampel { window: 9, run: 1, ..hampel }),
            Step::Transform,
            Step::Fill(Fill::Previous(1)),
        ];
        Config { steps, ..traffic() }
    }

    /// The workshop's steps, with the z-score where it can fire.
    fn workshop() -> Config {
        let zero = Step::Fill(Fill::Zero);
        let despike = Step::Despike(Despike { window: 24, threshold: 2.0 });
        let feature = FeatureConfig { scaler: Scaler::Standard, ..Default::default() };
        let steps = vec![zero, despike, zero, Step::Bucket(1800)];
        Config { steps, features: vec![feature; 2], ..Config::default() }
    }

    /// Traffic with bursts, gaps, and a counter that jumps.
    fn rough(n: usize) -> Window {
        let value = |i: usize| match (i % 97, i % 31) {
            (3..6, _) => f64::NAN,
            (50, _) => 1e12,
            (_, 7) => 5000.0,
            _ => 100.0 + (i * 7919 % 101) as f64,
        };
        window(300, 1, (0..n).map(value).collect())
    }

    #[test]
    fn a_row_is_computed_from_what_is_known_at_the_end_of_its_bucket() {
        let raw = rough(1200);
        let despike = Some(Despike { window: 24, threshold: 2.0 });
        for config in [Config { despike, ..traffic() }, everything(), workshop()] {
            assert_eq!(problems(&config.steps), []);
            let fitted = config.fit(&raw);
            let all = fitted.apply(&raw);
            assert!(all.values.iter().filter(|v| !v.is_nan()).count() > 150);
            for to in [120, 606, 1194] {
                let part = fitted.apply(&raw.slice(0, to));
                same(&part.values, &all.values[..part.values.len()]);
            }
        }
    }

    #[test]
    fn a_row_is_computed_from_as_many_rows_as_are_said() {
        let raw = rough(1200);
        for config in [traffic(), everything(), workshop(), Config::default()] {
            let fitted = config.fit(&raw);
            let (all, per_point) = (fitted.apply(&raw), fitted.coarse_step_s(300) as usize / 300);
            let n = fitted.n_raw_rows(3, 300);
            for point in 100..150 {
                let to = (point + 1) * per_point;
                let some = fitted.apply(&raw.slice(to.saturating_sub(n), to));
                let newest = some.values.len() - 3;
                same(&some.values[newest..], &all.values[point - 2..=point]);
            }
        }
    }

    fn same(have: &[f64], want: &[f64]) {
        let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(have), bits(want));
    }

    #[test]
    fn as_many_rows_as_are_said_are_not_more_than_are_used() {
        let fitted = |config: Config| config.fit(&rough(600));
        assert_eq!(fitted(traffic()).n_raw_rows(3, 300), 18);
        assert_eq!(fitted(Config::default()).n_raw_rows(3, 300), 3);
        assert_eq!(fitted(workshop()).n_raw_rows(3, 300), 18 + 23);
        assert_eq!(fitted(everything()).n_raw_rows(3, 300), (3 + 1 + 9) * 6 + 2 + 23 + 27 + 4);
    }

    #[test]
    fn nothing_is_learnt_from_what_was_filled_in() {
        let mut raw = rough(1200);
        (300..900).for_each(|i| raw.values[i] = f64::NAN);
        let fitted = workshop().fit(&raw);
        let (scored, learnt) = (fitted.apply(&raw), fitted.apply_measured(&raw));
        assert!(scored.values.iter().all(|v| !v.is_nan()));
        assert!(learnt.values[50..150].iter().all(|v| v.is_nan()));
        assert_eq!(learnt.values[..50], scored.values[..50]);
        // With half of the rows as zero, the mean would be half of this.
        assert!(fitted.invert(0, 0.0) > 900.0, "{}", fitted.invert(0, 0.0));
    }

    /// As they were stored before there were steps.
    #[test]
    fn what_was_stored_before_is_read_and_written_as_it_was() {
        let text = r#"{"config":{"bucket_s":1800,"despike":{"window":24,"threshold":2.0},"features":[{"transform":"log1p","floor":0.1}]},"columns":[{"centre":7.5,"scale":0.25}]}"#;
        let fitted: Fitted = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&fitted).unwrap(), text);
        assert_eq!((fitted.coarse_step_s(300), fitted.invert(0, 0.0)), (1800, 7.5f64.exp_m1()));
        let debug = format!("{:?}", fitted.config.features);
        assert_eq!(debug, "[FeatureConfig { transform: Log1p, floor: 0.1 }]");
        let text = serde_json::to_string(&everything().fit(&rough(600))).unwrap();
        assert_eq!(serde_json::from_str::<Fitted>(&text).unwrap(), everything().fit(&rough(600)));
    }
}

//! Transforms, and robust centre and scale.

use serde::Deserialize;
use serde::Serialize;

use crate::math::stats;

/// How one feature is brought to a scale where differences mean the same everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Transform {
    /// As it is.
    #[default]
    Identity,
    /// ln(1 + x), with what is below zero as zero: for traffic, whose noise is in proportion to it.
    Log1p,
}

impl Transform {
    /// The transformed value.
    pub(super) fn apply(self, value: f64) -> f64 {
        match self {
            Transform::Identity => value,
            // Not `max`, which would turn a gap into zero.
            Transform::Log1p => if value < 0.0 { 0.0 } else { value }.ln_1p(),
        }
    }

    /// The value that is transformed to this.
    pub(super) fn invert(self, value: f64) -> f64 {
        match self {
            Transform::Identity => value,
            Transform::Log1p => value.exp_m1(),
        }
    }
}

/// What centre and scale of a feature are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Scaler {
    /// Median, and the larger of two spreads between quantiles: what outliers do not move.
    #[default]
    Robust,
    /// Mean and standard deviation, as scikit-learn's `StandardScaler` has them.
    Standard,
    /// Smallest value and range: training rows come to 0..1.
    Minmax,
}

/// Centre and scale of one feature, in transformed units.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scaling {
    centre: f64,
    scale: f64,
}

impl Default for Scaling {
    fn default() -> Scaling {
        Scaling { centre: 0.0, scale: 1.0 }
    }
}

impl Scaling {
    /// Centre and scale of the valid values; the scale is at least `floor` and what rounding needs.
    pub(super) fn fit(
        scaler: Scaler,
        values: impl IntoIterator<Item = f64>,
        floor: f64,
    ) -> Scaling {
        let sorted = stats::sorted(values.into_iter().filter(|v| v.is_finite()));
        let (Some(least), Some(most)) = (sorted.first(), sorted.last()) else {
            return Scaling { centre: 0.0, scale: if floor > 0.0 { floor } else { 1.0 } };
        };
        let (centre, spread) = match scaler {
            Scaler::Robust => robust(&sorted),
            Scaler::Standard => standard(&sorted),
            Scaler::Minmax => (*least, most - least),
        };
        let tiny = 1e-9f64.max(1e-6 * centre.abs());
        Scaling { centre, scale: spread.max(floor).max(tiny).min(f64::MAX) }
    }

    pub(super) fn apply(&self, value: f64) -> f64 {
        (value - self.centre) / self.scale
    }

    pub(super) fn invert(&self, value: f64) -> f64 {
        value * self.scale + self.centre
    }
}

/// The median, and the larger of two spreads that are a standard deviation of Gaussian noise.
fn robust(sorted: &[f64]) -> (f64, f64) {
    let quantile = |q| stats::quantile(sorted, q);
    let middle = (quantile(0.75) - quantile(0.25)) / 1.349;
    let most = (quantile(0.95) - quantile(0.05)) / 6.0;
    (quantile(0.5), middle.max(most))
}

/// Mean and population standard deviation, without overflow on the way.
fn standard(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean: f64 = values.iter().map(|v| v / n).sum();
    let largest = values.iter().map(|v| (v - mean).abs()).fold(0.0, f64::max).min(f64::MAX);
    if largest == 0.0 {
        return (mean, 0.0);
    }
    let square = |v: &f64| ((v - mean) / largest).powi(2) / n;
    (mean, largest * values.iter().map(square).sum::<f64>().sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scale_is_a_standard_deviation_of_gaussian_noise_and_not_below_the_floor() {
        let fit =
            |values: &[f64], floor| Scaling::fit(Scaler::Robust, values.iter().copied(), floor);
        let line: Vec<f64> = (0..=1000).map(|i| f64::from(i) / 1000.0).collect();
        let scaling = fit(&line, 0.0);
        assert_eq!(scaling.centre, 0.5);
        assert!((scaling.scale - 0.5 / 1.349).abs() < 1e-9);
        assert_eq!(fit(&[4.0; 9], 0.25).scale, 0.25);
        assert!(fit(&[4.0; 9], 0.0).scale > 0.0);
        assert_eq!(fit(&[f64::NAN], 0.0), Scaling::default());
    }

    /// As `StandardScaler().fit` and `MinMaxScaler().fit` of scikit-learn 1.9 say for these values:
    /// mean_, scale_, data_min_, data_range_.
    #[test]
    fn standard_and_minmax_are_those_of_scikit_learn() {
        let values = [3.0, 1.5, f64::NAN, 10.0, 2.5, 8.0, f64::INFINITY];
        let standard = Scaling::fit(Scaler::Standard, values, 0.0);
        assert!((standard.centre - 5.0).abs() < 1e-12, "{standard:?}");
        assert!((standard.scale - 3.361547262794322).abs() < 1e-12, "{standard:?}");
        let minmax = Scaling::fit(Scaler::Minmax, values, 0.0);
        assert_eq!((minmax.centre, minmax.scale), (1.5, 8.5));
        for scaler in [Scaler::Robust, Scaler::Standard, Scaler::Minmax] {
            for values in [[f64::MAX, -f64::MAX, 0.0], [1e308; 3], [5e-324, 0.0, 0.0]] {
                let Scaling { centre, scale } = Scaling::fit(scaler, values, 0.0);
                assert!(centre.is_finite() && scale.is_finite() && scale > 0.0);
            }
        }
    }

    #[test]
    fn transforms_keep_gaps() {
        assert!(Transform::Log1p.apply(f64::NAN).is_nan());
        assert_eq!(Transform::Log1p.apply(-3.0), 0.0);
        assert!((Transform::Log1p.invert(Transform::Log1p.apply(5.0)) - 5.0).abs() < 1e-12);
    }
}

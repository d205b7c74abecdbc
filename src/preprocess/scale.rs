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
    /// Median, and the larger of two robust spreads, but at least `floor` and what rounding needs.
    pub(super) fn fit(values: impl IntoIterator<Item = f64>, floor: f64) -> Scaling {
        let sorted = stats::sorted(values.into_iter().filter(|v| v.is_finite()));
        if sorted.is_empty() {
            return Scaling { centre: 0.0, scale: if floor > 0.0 { floor } else { 1.0 } };
        }
        let quantile = |q| stats::quantile(&sorted, q);
        let centre = quantile(0.5);
        let middle = (quantile(0.75) - quantile(0.25)) / 1.349;
        let most = (quantile(0.95) - quantile(0.05)) / 6.0;
        let tiny = 1e-9f64.max(1e-6 * centre.abs());
        Scaling { centre, scale: middle.max(most).max(floor).max(tiny).min(f64::MAX) }
    }

    pub(super) fn apply(&self, value: f64) -> f64 {
        (value - self.centre) / self.scale
    }

    pub(super) fn invert(&self, value: f64) -> f64 {
        value * self.scale + self.centre
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scale_is_a_standard_deviation_of_gaussian_noise_and_not_below_the_floor() {
        let line = (0..=1000).map(|i| f64::from(i) / 1000.0);
        let scaling = Scaling::fit(line, 0.0);
        assert_eq!(scaling.centre, 0.5);
        assert!((scaling.scale - 0.5 / 1.349).abs() < 1e-9);
        assert_eq!(Scaling::fit([4.0; 9], 0.25).scale, 0.25);
        assert!(Scaling::fit([4.0; 9], 0.0).scale > 0.0);
        assert_eq!(Scaling::fit([f64::NAN], 0.0), Scaling::default());
    }

    #[test]
    fn transforms_keep_gaps() {
        assert!(Transform::Log1p.apply(f64::NAN).is_nan());
        assert_eq!(Transform::Log1p.apply(-3.0), 0.0);
        assert!((Transform::Log1p.invert(Transform::Log1p.apply(5.0)) - 5.0).abs() < 1e-12);
    }
}

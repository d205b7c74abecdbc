//! Other features of the watch as regressors.
//!
//! Owns: their scale, and what is made of a missing one. Does not own: what they explain (`learn`).
//!
//! Each is centred and scaled by training, so that a missing value contributes nothing but its usual
//! spread: the row has a forecast and a score, less certain by that much, and nothing is learnt from
//! it. A value further out than [`FURTHEST`] counts as that: no regression holds out there.

use crate::detect::sarimax::LARGEST;
use crate::detect::sarimax::Unit;
use crate::series::Window;

/// In robust standard deviations.
const FURTHEST: f64 = 10.0;

/// Centre and scale of each; a scale of zero is one that is not read.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Others {
    pub(super) centre: Vec<f64>,
    pub(super) scale: Vec<f64>,
}

impl Others {
    /// Of all columns but the first, which is judged and has `have` rows. One that is constant, or
    /// missing in more than half as many, is not read.
    pub(super) fn of(train: &Window, have: usize) -> Others {
        let mut others = Others::default();
        for column in 1..train.n_features {
            let mut values = train.column(column);
            values.retain(|x| x.abs() <= LARGEST);
            let varies = values.iter().any(|x| *x != values[0]);
            let unit = Unit::of(&values);
            let read = varies && 2 * values.len() > have && unit.scale.is_normal();
            others.centre.push(if read { unit.centre } else { 0.0 });
            others.scale.push(if read { unit.scale } else { 0.0 });
        }
        others
    }

    /// How many.
    pub(super) fn n(&self) -> usize {
        self.scale.len()
    }

    /// Writes those of a row, the missing as zero; whether none that is read is missing.
    pub(super) fn write(&self, row: &[f64], columns: &mut [f64]) -> bool {
        let mut whole = true;
        for (column, z) in columns.iter_mut().zip(self.units(row)) {
            *column = z.unwrap_or(0.0);
            whole &= z.is_some();
        }
        whole
    }

    /// What `beta` makes of a row, and the variance of what the missing would have added.
    pub(super) fn explain(&self, row: &[f64], beta: &[f64]) -> (f64, f64) {
        let parts = self.units(row).zip(beta);
        parts.fold((0.0, 0.0), |(sum, variance), (z, b)| match z {
            Some(z) => (sum + b * z, variance),
            None => (sum, variance + b * b),
        })
    }

    /// The row's values in scales; one that is not read is zero.
    fn units(&self, row: &[f64]) -> impl Iterator<Item = Option<f64>> {
        self.centre.iter().zip(&self.scale).enumerate().map(|(k, (centre, &scale))| {
            let z = (row.get(k + 1).copied().unwrap_or(f64::NAN) - centre) / scale;
            match scale {
                0.0 => Some(0.0),
                _ => Some(z.clamp(-FURTHEST, FURTHEST)).filter(|z| !z.is_nan()),
            }
        })
    }
}

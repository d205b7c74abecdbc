//! What isolation forest and one-class SVM look at: how far a row is from where it is expected.
//!
//! Owns: two seasonal forecasts, the features made of them, how far is beyond what was learnt.
//! Does not own: what is made of the features (each detector).
//!
//! Traffic with its hour and weekday as inputs hides a missing nightly backup among ordinary nights;
//! residuals show it. A row has four features: its residual by a sharp forecast (the median of the
//! slot's last cycles) and by a smooth one (neighbouring slots share, plus the level of late), each
//! divided by its usual size, and the means of the last four of each.
//!
//! Slots are of local time. Where the season is of weeks, a holiday is expected to be like a Sunday, and
//! no other day learns from it.

use crate::detect::FitContext;
use crate::detect::FitError;
use crate::detect::RestoreError;
use crate::detect::Tensor;
use crate::detect::Tensors;
use crate::detect::residuals::clock::Clock;
use crate::detect::residuals::clock::Moment;
use crate::detect::residuals::history::History;
use crate::detect::seasonal_median::profile;
use crate::detect::seasonal_median::profile::Slots;
use crate::detect::seasonal_median::slot_rows;
use crate::series::Window;

pub(in crate::detect) mod clock;
mod history;

/// Features of a row.
pub(in crate::detect) const FEATURES: usize = 4;
/// Rows before the scored one that its features are made of.
pub(in crate::detect) const LOOKBACK: usize = 3;
/// Rows with data before anything is learnt.
pub(in crate::detect) const MIN_ROWS: usize = 8;
/// Smallest scale, in preprocessed units: smaller effects are noise.
const MIN_SCALE: f64 = 0.05;
/// Largest feature and centre: squares of it still are numbers, even as `f32`.
const LARGEST: f64 = 1e15;
/// What one residual may add to the mean of four: an anomaly does not echo in the rows after it.
const DAMPED: f64 = 5.0;
/// Residuals up to so many usual ones are learnt from, if that leaves out no more than `LEFT_OUT`.
const USUAL: f64 = 8.0;
/// The part of rows that may be left out, by each feature.
const LEFT_OUT: f64 = 0.02;

/// A row's features; all NaN where the row is a gap.
pub(in crate::detect) type Features = [f64; FEATURES];

/// Two forecasts by slot of a season, and where what was learnt ends.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::detect) struct Residuals {
    clock: Clock,
    /// By slot: centre and scale of the sharp forecast, then of the smooth one.
    slot: [Vec<f64>; 4],
    /// The largest features that were learnt from.
    limits: Vec<f64>,
}

const TENSORS: [&str; 4] = ["centre", "scale", "smooth_centre", "smooth_scale"];

impl Residuals {
    /// Learns both forecasts. Beside them, the features of the training rows, each by what was known
    /// before its cycle began; anomalous ones and gaps are left out.
    ///
    /// # Errors
    /// Fewer than 8 rows have data, or are left of the usual ones.
    pub(in crate::detect) fn fit(
        train: &Window,
        season_s: Option<i64>,
        context: &FitContext<'_>,
    ) -> Result<(Residuals, Vec<Features>), FitError> {
        let values = train.column(0);
        let (first, end, have) = profile::extent(&values).unwrap_or((0, 0, 0));
        if have < MIN_ROWS {
            return Err(FitError::TooFewRows { have, want: MIN_ROWS });
        }
        let (grid, values) = (train.slice(first, end).grid, &values[first..end]);
        let (step_s, span_s) = (grid.step_s, grid.len as i64 * grid.step_s);
        let shown_twice = |s: &i64| (2 * step_s..=span_s / 2).contains(s);
        let season_s = season_s.filter(shown_twice).or(profile::season_s(span_s));
        let slots = match season_s {
            Some(season_s) => Slots { season_s, slot_s: step_s * slot_rows(step_s, season_s) },
            None => Slots { season_s: 1, slot_s: 1 },
        };
        let clock = Clock { slots, calendar: context.calendar.clone() };
        let fitted = match season_s {
            Some(_) => History::of(grid, values, &clock).fit(),
            None => history::unseasonal(values),
        };
        let limit = |v: &f64| v.clamp(-LARGEST, LARGEST);
        let [sharp, smooth] = fitted.residuals;
        let features = features(&sharp, &smooth, 0);
        let known = || features.iter().filter(|f| !f[0].is_nan());
        let limits = (0..FEATURES).map(|k| most(known().map(|f| f[k].abs()))).collect();
        let slot = fitted.slot.map(|values| values.iter().map(limit).collect());
        let residuals = Residuals { clock, slot, limits };
        let usual: Vec<Features> =
            known().filter(|f| residuals.excess(f) == 0.0).copied().collect();
        match usual.len() {
            have if have < MIN_ROWS => Err(FitError::TooFewRows { have, want: MIN_ROWS }),
            _ => Ok((residuals, usual)),
        }
    }

    /// The features of the rows `first..`.
    pub(in crate::detect) fn features(&self, window: &Window, first: usize) -> Vec<Features> {
        let from = first.saturating_sub(LOOKBACK).min(window.grid.len);
        let moments = self.clock.moments(window.grid, from);
        let residual = |(i, moment): (usize, &Moment), forecast: usize| {
            let slot = self.clock.slots.of(moment.like_s);
            let y = window.row(i).first().copied().unwrap_or(f64::NAN);
            relative(y, self.slot[forecast][slot], self.slot[forecast + 1][slot])
        };
        let by = |forecast| -> Vec<f64> {
            (from..).zip(&moments).map(|row| residual(row, forecast)).collect()
        };
        features(&by(0), &by(2), first - from)
    }

    /// How far the features are beyond all that was learnt, as a part of that; 0 inside.
    pub(in crate::detect) fn excess(&self, features: &Features) -> f64 {
        let beyond = features.iter().zip(&self.limits).map(|(f, limit)| f.abs() / limit - 1.0);
        beyond.fold(0.0, f64::max)
    }

    /// What has to be stored beside the tensors.
    pub(in crate::detect) fn clock(&self) -> Clock {
        self.clock.clone()
    }

    /// What has to be stored.
    pub(in crate::detect) fn tensors(&self) -> Vec<Tensor> {
        let slots = TENSORS.iter().zip(&self.slot);
        let limits = Tensor::flat("limits", self.limits.clone());
        slots.map(|(name, values)| Tensor::flat(name, values.clone())).chain([limits]).collect()
    }

    /// The residuals that the tensors came from.
    ///
    /// # Errors
    /// They are not those of residuals.
    pub(in crate::detect) fn restore(
        clock: Clock,
        tensors: &mut Tensors,
    ) -> Result<Residuals, RestoreError> {
        let slots = clock.slots;
        if slots.season_s <= 0 || slots.slot_s <= 0 {
            return Err(RestoreError("season and slot must be longer than zero".into()));
        }
        let mut take = |name: &str, n: usize| tensors.take::<f64>(name, &[n]);
        let mut slot: [Vec<f64>; 4] = Default::default();
        for (name, values) in TENSORS.iter().zip(&mut slot) {
            *values = take(name, slots.count())?;
        }
        let limits = take("limits", FEATURES)?;
        if !slot[1].iter().chain(&slot[3]).chain(&limits).all(|&s| s > 0.0) {
            return Err(RestoreError("scales and limits must be above zero".into()));
        }
        Ok(Residuals { clock, slot, limits })
    }
}

/// The largest feature that is learnt from.
fn most(sizes: impl Iterator<Item = f64>) -> f64 {
    let mut sizes: Vec<f64> = sizes.collect();
    let Some(last) = sizes.len().checked_sub(1) else {
        return 1.0;
    };
    let nearly_all = ((sizes.len() as f64 * (1.0 - LEFT_OUT)) as usize).min(last);
    let (lower, &mut most, _) = sizes.select_nth_unstable_by(nearly_all, f64::total_cmp);
    // Half of nearly all is nearly half of all.
    let middle = lower.len() / 2;
    let usual = if lower.is_empty() {
        most
    } else {
        *lower.select_nth_unstable_by(middle, f64::total_cmp).1
    };
    most.max(USUAL * usual).max(1.0)
}

fn relative(y: f64, centre: f64, scale: f64) -> f64 {
    ((y - centre) / scale).clamp(-LARGEST, LARGEST)
}

/// Rows `first..` of both residuals with the mean of their last four.
fn features(sharp: &[f64], smooth: &[f64], first: usize) -> Vec<Features> {
    let row = |i: usize| {
        if sharp[i].is_nan() {
            return [f64::NAN; FEATURES];
        }
        [sharp[i], mean(sharp, i), smooth[i], mean(smooth, i)]
    };
    (first..sharp.len()).map(row).collect()
}

/// The mean of the last four residuals without gaps.
fn mean(residuals: &[f64], i: usize) -> f64 {
    let last = &residuals[i.saturating_sub(LOOKBACK)..=i];
    let add = |(sum, n): (f64, f64), r: &f64| match r.is_nan() {
        true => (sum, n),
        false => (sum + r.clamp(-DAMPED, DAMPED), n + 1.0),
    };
    let (sum, n) = last.iter().fold((0.0, 0.0), add);
    sum / n
}

#[cfg(test)]
mod tests;

//! What is expected in each slot of a season, and how far off it usually is.
//!
//! Owns: the fitted model of every detector that forecasts by slot; choosing a season.
//! Does not own: how the numbers are learnt.

use serde::Deserialize;
use serde::Serialize;

use crate::detect::Forecast;
use crate::detect::Model;
use crate::detect::Parts;
use crate::detect::Raw;
use crate::detect::RestoreError;
use crate::detect::Tensor;
use crate::detect::Tensors;
use crate::math::stats;
use crate::series::Window;

/// Seconds in a day.
pub(in crate::detect) const DAY_S: i64 = 86_400;
/// Smallest scale, in preprocessed units: smaller effects are noise.
const MIN_SCALE: f64 = 0.05;
/// Scales and centres stay well inside what a stored number can hold.
const MAX_NUMBER: f64 = 1e30;
/// Samples at which a group's own scale weighs as much as the global one.
const SHRINK: f64 = 8.0;

/// Slots of a season, in unix time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::detect) struct Slots {
    /// Length of the season; above zero.
    pub(in crate::detect) season_s: i64,
    /// Length of a slot; above zero.
    pub(in crate::detect) slot_s: i64,
}

impl Slots {
    /// How many; the last may be shorter.
    pub(in crate::detect) fn count(&self) -> usize {
        ((self.season_s - 1) / self.slot_s + 1) as usize
    }

    /// The slot of a time.
    pub(in crate::detect) fn of(&self, time_s: i64) -> usize {
        (time_s.rem_euclid(self.season_s) / self.slot_s) as usize
    }
}

/// The season that rows with data over `span_s` seconds can show twice: a week, a day, or none.
pub(in crate::detect) fn season_s(span_s: i64) -> Option<i64> {
    [7 * DAY_S, DAY_S].into_iter().find(|season_s| span_s >= 2 * season_s)
}

/// First and one past the last row with data, and how many there are.
pub(in crate::detect) fn extent(values: &[f64]) -> Option<(usize, usize, usize)> {
    let first = values.iter().position(|v| v.is_finite())?;
    let last = values.iter().rposition(|v| v.is_finite())?;
    Some((first, last + 1, values.iter().filter(|v| v.is_finite()).count()))
}

/// A scale per group from absolute errors: the group's own, shrunk towards that of all.
pub(in crate::detect) fn scales(errors: &[Vec<f64>]) -> Vec<f64> {
    let sigma =
        |errors: &mut dyn Iterator<Item = f64>| stats::SIGMA_PER_MAD * stats::median(errors);
    let global = sigma(&mut errors.iter().flatten().copied());
    let global = if global.is_finite() { global } else { 1.0 };
    let scale = |errors: &Vec<f64>| {
        let n = errors.len() as f64;
        let own = if errors.is_empty() { global } else { sigma(&mut errors.iter().copied()) };
        ((n * own + SHRINK * global) / (n + SHRINK)).max(0.5 * global)
    };
    errors.iter().map(scale).collect()
}

/// The fitted model: centre and scale per slot, rounded as they are stored.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::detect) struct Profile {
    detector: &'static str,
    slots: Slots,
    centre: Vec<f32>,
    scale: Vec<f32>,
}

impl Profile {
    /// One centre and one scale per slot.
    pub(in crate::detect) fn new(
        detector: &'static str,
        slots: Slots,
        centre: &[f64],
        scale: &[f64],
    ) -> Profile {
        debug_assert_eq!((centre.len(), scale.len()), (slots.count(), slots.count()));
        let centre = centre.iter().map(|c| c.clamp(-MAX_NUMBER, MAX_NUMBER) as f32).collect();
        let scale = scale.iter().map(|s| s.clamp(MIN_SCALE, MAX_NUMBER) as f32).collect();
        Profile { detector, slots, centre, scale }
    }

    /// The model that [`Model::parts`] came from.
    pub(in crate::detect) fn restore(
        detector: &'static str,
        parts: Parts,
    ) -> Result<Profile, RestoreError> {
        let fail = |what: &str| RestoreError(format!("{detector}: {what}"));
        let meta: Meta = serde_json::from_value(parts.meta).map_err(|e| fail(&e.to_string()))?;
        if meta.detector != detector {
            return Err(fail(&format!("the parts are of {:?}", meta.detector)));
        }
        let slots = meta.slots;
        if slots.season_s <= 0 || slots.slot_s <= 0 {
            return Err(fail("season and slot must be longer than zero"));
        }
        let mut tensors = Tensors::new(parts.tensors)?;
        let mut take = |name: &str| tensors.take::<f32>(name, &[slots.count()]);
        let (centre, scale) = (take("centre")?, take("scale")?);
        tensors.end(detector)?;
        if !scale.iter().all(|&s| s > 0.0) {
            return Err(fail("scales must be above zero"));
        }
        Ok(Profile { detector, slots, centre, scale })
    }

    fn forecast(&self, time_s: i64) -> Forecast {
        let slot = self.slots.of(time_s);
        Forecast { centre: f64::from(self.centre[slot]), scale: f64::from(self.scale[slot]) }
    }
}

impl Model for Profile {
    fn lookback(&self) -> usize {
        0
    }

    fn score(&self, window: &Window, first: usize) -> Vec<Raw> {
        let raw = |i: usize| {
            let forecast = self.forecast(window.grid.time(i));
            let y = window.row(i).first().copied().unwrap_or(f64::NAN);
            let value = if y.is_nan() {
                f64::NAN
            } else {
                ((y - forecast.centre).abs() / forecast.scale).min(f64::MAX)
            };
            Raw { value, forecast: Some(forecast) }
        };
        (first..window.grid.len).map(raw).collect()
    }

    fn parts(&self) -> Parts {
        let meta = Meta { detector: self.detector.to_string(), slots: self.slots };
        Parts {
            meta: serde_json::to_value(meta).unwrap_or_default(),
            tensors: vec![
                Tensor::flat("centre", self.centre.clone()),
                Tensor::flat("scale", self.scale.clone()),
            ],
        }
    }
}

/// What is stored beside the tensors.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Meta {
    detector: String,
    slots: Slots,
}

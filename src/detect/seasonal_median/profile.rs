//! What is expected in each slot of a season, and how far off it usually is.
//!
//! Owns: the fitted model of every detector that forecasts by slot; choosing a season.
//! Does not own: how the numbers are learnt.
//!
//! Slots are of local time.

use serde::Deserialize;
use serde::Serialize;

use crate::detect::Forecast;
use crate::detect::Model;
use crate::detect::Parts;
use crate::detect::Raw;
use crate::detect::RestoreError;
use crate::detect::Tensor;
use crate::detect::Tensors;
use crate::math::calendar::Calendar;
use crate::math::calendar::DAY_S;
use crate::math::stats;
use crate::series::Window;

/// What is wrong with a season's length.
pub(in crate::detect) fn problem(season_s: Option<i64>) -> Option<String> {
    let season_s = season_s.filter(|&season_s| season_s <= 0)?;
    Some(format!("season_s is {season_s}, wanted above zero"))
}

/// Smallest scale, in preprocessed units: smaller effects are noise.
const MIN_SCALE: f64 = 0.05;
/// Scales and centres stay well inside what a stored number can hold.
const MAX_NUMBER: f64 = 1e30;
/// Samples at which a group's own scale weighs as much as the global one.
const SHRINK: f64 = 8.0;
/// A group's scale is at least this part of the global one.
const LEAST: f64 = 0.1;
/// Groups of a day by which scales are learnt: a slot of the week is seen too rarely.
const GROUPS: i64 = 48;

/// Slots of a season, in local time.
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

    /// The slot of a local time.
    pub(in crate::detect) fn of(&self, local_s: i64) -> usize {
        (local_s.rem_euclid(self.season_s) / self.slot_s) as usize
    }

    /// Slots of about the same time of the day, or of the same part of a season that is not of days.
    fn group(&self, slot: usize) -> usize {
        let whole_s = if self.season_s % DAY_S == 0 { DAY_S } else { self.season_s };
        let inside_s = (slot as i64 * self.slot_s) % whole_s;
        (i128::from(inside_s) * i128::from(GROUPS) / i128::from(whole_s)) as usize
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

/// A scale per slot from absolute errors with their slots: that of all slots of the same time of the
/// day, shrunk towards that of everything.
pub(in crate::detect) fn scales(
    slots: Slots,
    errors: impl Iterator<Item = (usize, f64)>,
) -> Vec<f64> {
    let mut groups: Vec<Vec<f64>> = vec![Vec::new(); GROUPS as usize];
    errors.for_each(|(slot, error)| groups[slots.group(slot)].push(error));
    let by_group = group_scales(&mut groups);
    (0..slots.count()).map(|slot| by_group[slots.group(slot)]).collect()
}

/// A scale per group of absolute errors: the group's own, shrunk towards that of everything.
pub(in crate::detect) fn group_scales(groups: &mut [Vec<f64>]) -> Vec<f64> {
    let sigma = |errors: &mut [f64]| stats::SIGMA_PER_MAD * stats::median_of(errors);
    let global = sigma(&mut groups.concat());
    let global = if global.is_finite() { global } else { 1.0 };
    let scale = |errors: &mut Vec<f64>| {
        let n = errors.len() as f64;
        let own = if errors.is_empty() { global } else { sigma(errors) };
        ((n * own + SHRINK * global) / (n + SHRINK)).max(LEAST * global)
    };
    groups.iter_mut().map(scale).collect()
}

/// The fitted model: centre and scale per slot, rounded as they are stored.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::detect) struct Profile {
    head: Meta,
    centre: Vec<f32>,
    scale: Vec<f32>,
}

/// What is stored beside the tensors. Models of before clocks were said are of UTC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Meta {
    detector: String,
    slots: Slots,
    #[serde(default)]
    calendar: Calendar,
}

impl Profile {
    /// One centre and one scale per slot of the calendar's local time.
    pub(in crate::detect) fn new(
        detector: &str,
        (slots, calendar): (Slots, &Calendar),
        centre: &[f64],
        scale: &[f64],
    ) -> Profile {
        debug_assert_eq!((centre.len(), scale.len()), (slots.count(), slots.count()));
        let centre = centre.iter().map(|c| c.clamp(-MAX_NUMBER, MAX_NUMBER) as f32).collect();
        let scale = scale.iter().map(|s| s.clamp(MIN_SCALE, MAX_NUMBER) as f32).collect();
        let head = Meta { detector: detector.to_string(), slots, calendar: calendar.clone() };
        Profile { head, centre, scale }
    }

    /// The model that [`Model::parts`] came from.
    pub(in crate::detect) fn restore(
        detector: &str,
        parts: Parts,
    ) -> Result<Profile, RestoreError> {
        let fail = |what: &str| RestoreError(format!("{detector}: {what}"));
        let head: Meta = serde_json::from_value(parts.meta).map_err(|e| fail(&e.to_string()))?;
        if head.detector != detector {
            return Err(fail(&format!("the parts are of {:?}", head.detector)));
        }
        let slots = head.slots;
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
        Ok(Profile { head, centre, scale })
    }

    /// What the season expects of one row by itself.
    fn season(&self, time_s: i64) -> Forecast {
        let slot = self.head.slots.of(self.head.calendar.local_s(time_s));
        Forecast::new(f64::from(self.centre[slot]), f64::from(self.scale[slot]))
    }
}

impl Model for Profile {
    fn lookback(&self) -> usize {
        0
    }

    fn score(&self, window: &Window, first: usize) -> Vec<Raw> {
        let raw = |row: usize| {
            let y = window.row(row).first().copied().unwrap_or(f64::NAN);
            self.season(window.grid.time(row)).judge(y)
        };
        (first..window.grid.len).map(raw).collect()
    }

    fn parts(&self) -> Parts {
        Parts {
            meta: serde_json::to_value(&self.head).unwrap_or_default(),
            tensors: vec![
                Tensor::flat("centre", self.centre.clone()),
                Tensor::flat("scale", self.scale.clone()),
            ],
        }
    }
}

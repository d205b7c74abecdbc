//! Distance to the median of the same slot of the season.
//!
//! Owns: its settings, its fit. Does not own: seasons and the fitted model (`profile`).
//!
//! The control of every benchmark: free to fit, and as good as most. A scale is that of forecast
//! errors: each cycle's rows against the median of the cycles before it.

use serde::Deserialize;
use serde::Serialize;

use crate::detect::FitContext;
use crate::detect::FitError;
use crate::detect::Model;
use crate::detect::Parts;
use crate::detect::RestoreError;
use crate::detect::averaged;
use crate::detect::averaged::averaged;
use crate::detect::seasonal_median::profile::Profile;
use crate::detect::seasonal_median::profile::Slots;
use crate::math::calendar::Calendar;
use crate::math::calendar::DAY_S;
use crate::math::stats;
use crate::series::Window;

pub(in crate::detect) mod profile;

const NAME: &str = "seasonal_median";
/// Rows with data before anything is learnt.
const MIN_ROWS: usize = 8;
/// Cycles that the median looks back at.
const CYCLES: usize = 8;
/// Shortest slot, in seconds: finer rows share one, else a slot has too few to learn from.
const MIN_SLOT_S: i64 = 300;
/// How far the neighbours of a slot without data may be, in seconds.
const NEAR_S: i64 = 3600;

/// How the seasonal median is set up.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Length of the season in seconds. By default a week where the rows show two of them, else a
    /// day, else none: one median over everything.
    pub season_s: Option<i64>,
    /// Newest points whose deviations are averaged; 1 judges each by itself. By default 4 where points
    /// are a quarter of an hour apart or more, since what matters in traffic lasts longer; else 1, since
    /// among minutes a spike is all there is.
    pub mean_of: Option<usize>,
}

impl Config {
    /// What is wrong with the settings, if anything is.
    pub(in crate::detect) fn problem(&self) -> Option<String> {
        profile::problem(self.season_s).or_else(|| averaged::problem(self.mean_of))
    }
}

/// Learns the medians.
///
/// # Errors
/// Fewer than 8 rows have data.
pub(in crate::detect) fn fit(
    config: &Config,
    train: &Window,
    context: &FitContext<'_>,
) -> Result<Box<dyn Model>, FitError> {
    let values = train.column(0);
    let (first, end, have) = profile::extent(&values).unwrap_or((0, 0, 0));
    if have < MIN_ROWS {
        return Err(FitError::TooFewRows { have, want: MIN_ROWS });
    }
    let step_s = train.grid.step_s;
    let chosen = profile::season_s((end - first) as i64 * step_s);
    let season_s = config.season_s.filter(|&s| s > 0).or(chosen);
    let slots = match season_s {
        Some(season_s) => Slots { season_s, slot_s: step_s * slot_rows(step_s, season_s) },
        None => Slots { season_s: 1, slot_s: 1 },
    };
    let clock = context.calendar;
    let history = History::of(train, &values, (slots, clock), season_s.is_some());
    let (centre, errors) = history.medians_and_errors();
    let errors = errors.iter().enumerate().flat_map(|(slot, e)| e.iter().map(move |e| (slot, *e)));
    let scale = profile::scales(slots, errors);
    let centre = filled(&centre, slots, stats::median(history.all()));
    let profile = Profile::new(NAME, (slots, clock), &centre, &scale);
    Ok(averaged(profile, config.mean_of, step_s))
}

/// The model that [`Model::parts`] came from.
///
/// # Errors
/// The parts are not those of this detector.
pub(in crate::detect) fn restore(parts: Parts) -> Result<Box<dyn Model>, RestoreError> {
    averaged::restore(parts, |parts| Profile::restore(NAME, parts))
}

/// Rows per slot; a slot is never longer than a fourth of the season.
pub(in crate::detect) fn slot_rows(step_s: i64, season_s: i64) -> i64 {
    let longest = MIN_SLOT_S.min(season_s / 4).max(1);
    (longest / step_s).max(1)
}

/// The values of each slot, cycle by cycle, oldest first.
struct History {
    slots: Vec<Vec<(i64, Vec<f64>)>>,
}

impl History {
    fn of(
        train: &Window,
        values: &[f64],
        (by, clock): (Slots, &Calendar),
        seasonal: bool,
    ) -> History {
        let mut slots: Vec<Vec<(i64, Vec<f64>)>> = vec![Vec::new(); by.count()];
        for (i, &value) in values.iter().enumerate().filter(|(_, v)| v.is_finite()) {
            let local_s = clock.local_s(train.grid.time(i));
            let cycle = if seasonal { local_s.div_euclid(by.season_s) } else { 0 };
            let slot = &mut slots[by.of(local_s)];
            match slot.last_mut() {
                Some((last, values)) if *last == cycle => values.push(value),
                _ => slot.push((cycle, vec![value])),
            }
        }
        History { slots }
    }

    fn all(&self) -> impl Iterator<Item = f64> {
        self.slots.iter().flatten().flat_map(|(_, values)| values).copied()
    }

    /// Each slot's median of its last cycles (NaN without data), and its absolute forecast errors;
    /// where no slot has a second cycle, its absolute deviations from the median instead.
    fn medians_and_errors(&self) -> (Vec<f64>, Vec<Vec<f64>>) {
        let median = |cycles: &[(i64, Vec<f64>)]| {
            let last = &cycles[cycles.len().saturating_sub(CYCLES)..];
            stats::median(last.iter().flat_map(|(_, values)| values).copied())
        };
        let deviations = |centre: f64, values: &[f64]| -> Vec<f64> {
            values.iter().map(|v| (v - centre).abs()).collect()
        };
        let repeats = self.slots.iter().any(|cycles| cycles.len() > 1);
        let errors = |cycles: &Vec<(i64, Vec<f64>)>| -> Vec<f64> {
            let from = usize::from(repeats);
            let of = |k: usize| {
                let before = if repeats { &cycles[..k] } else { &cycles[..] };
                deviations(median(before), &cycles[k].1)
            };
            (from..cycles.len()).flat_map(of).collect()
        };
        let centres = self.slots.iter().map(|cycles| median(cycles)).collect();
        (centres, self.slots.iter().map(errors).collect())
    }
}

/// Slots without data take the mean of their nearest neighbours within the hour, else the median of
/// the same time on other days, else `global`.
pub(in crate::detect) fn filled(centre: &[f64], slots: Slots, global: f64) -> Vec<f64> {
    let n = centre.len();
    let near = ((NEAR_S / slots.slot_s).max(1) as usize).min(n / 2);
    let per_day = (DAY_S / slots.slot_s).max(1) as usize;
    let fill = |slot: usize| {
        let known = |at: usize| Some(centre[at % n]).filter(|c| c.is_finite());
        let before = (1..=near).find_map(|k| known(slot + n - k));
        let after = (1..=near).find_map(|k| known(slot + k));
        let other_days =
            || stats::median(centre.iter().skip(slot % per_day).step_by(per_day).copied());
        let near = before.zip(after).map(|(b, a)| 0.5 * (b + a));
        let fallback = near.unwrap_or_else(other_days);
        if fallback.is_finite() { fallback } else { global }
    };
    let value = |slot: usize| if centre[slot].is_finite() { centre[slot] } else { fill(slot) };
    (0..n).map(value).collect()
}

#[cfg(test)]
mod tests;

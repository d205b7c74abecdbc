//! Distance to the forecast of a seasonal-trend decomposition.
//!
//! Owns: its settings, its fit. Does not own: the decomposition (`math::decompose`), the fitted
//! model (`seasonal_median::profile`).
//!
//! The forecast is the last cycle of the season plus the mean trend of the last day. Rows are
//! decomposed as means of slots, at most 336 a season or so: two weeks of minutes would cost hours
//! and say the same.

use serde::Deserialize;
use serde::Serialize;

use crate::detect::FitContext;
use crate::detect::FitError;
use crate::detect::Model;
use crate::detect::Parts;
use crate::detect::RestoreError;
use crate::detect::seasonal_median::profile;
use crate::detect::seasonal_median::profile::DAY_S;
use crate::detect::seasonal_median::profile::Profile;
use crate::detect::seasonal_median::profile::Slots;
use crate::math::decompose;
use crate::math::decompose::Decomposition;
use crate::math::stats;
use crate::series::Window;

const NAME: &str = "stl";
/// Slots of a season: half-hours of a week.
const SLOTS: i64 = 336;

/// How the decomposition is set up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Length of the season in seconds. By default a week where the rows show two of them, else a
    /// day.
    pub season_s: Option<i64>,
    /// Whether outliers in training weigh less; about seven times as dear.
    pub robust: bool,
}

impl Default for Config {
    fn default() -> Config {
        Config { season_s: None, robust: true }
    }
}

/// Learns season, trend and scale.
///
/// # Errors
/// The rows with data do not span two seasons, fewer than one season's worth of them have data, or it
/// was stopped.
pub(in crate::detect) fn fit(
    config: &Config,
    train: &Window,
    context: &FitContext<'_>,
) -> Result<Box<dyn Model>, FitError> {
    let values = train.column(0);
    let (first, end, have) = profile::extent(&values).unwrap_or((0, 0, 0));
    let step_s = train.grid.step_s;
    let span_s = (end - first) as i64 * step_s;
    let wanted = config.season_s.filter(|&s| s > 0).or_else(|| profile::season_s(span_s));
    let season_s = wanted.unwrap_or(DAY_S);
    let slots = slots(season_s, step_s);
    let cycle = (slots.season_s / step_s).max(1) as usize;
    if slots.count() < 2 || span_s < 2 * slots.season_s || have < cycle {
        return Err(FitError::TooFewRows { have, want: 2 * cycle.max(2) });
    }
    let means = Means::of(train, &values, first..end, slots);
    let parts = decompose::stl(
        &means.means,
        decompose::Settings::new(slots.count(), config.robust),
        context.keep_going,
    )
    .ok_or(FitError::Stopped)?;
    let centre = forecast(&parts, &means);
    let scale = scale(&parts, &means, train, &values);
    Ok(Box::new(Profile::new(NAME, slots, &centre, &scale)))
}

/// The model that [`Model::parts`] came from.
///
/// # Errors
/// The parts are not those of this detector.
pub(in crate::detect) fn restore(parts: Parts) -> Result<Box<dyn Model>, RestoreError> {
    Ok(Box::new(Profile::restore(NAME, parts)?))
}

/// About 336 slots, or one per row where rows are coarser. Slots are all of one length: where none
/// of a whole number of rows divides the season, the season is taken up to half a slot off.
fn slots(season_s: i64, step_s: i64) -> Slots {
    let least = ((season_s + SLOTS * step_s - 1) / (SLOTS * step_s)).max(1);
    let divides = |rows: &i64| season_s % (rows * step_s) == 0;
    let slot_s = step_s * (least..2 * least).find(divides).unwrap_or(least);
    Slots { season_s: slot_s * ((season_s + slot_s / 2) / slot_s).max(1), slot_s }
}

/// Slot means of the rows, in order of time.
struct Means {
    slots: Slots,
    /// Slots since 1970 of the first mean.
    first: i64,
    means: Vec<f64>,
}

impl Means {
    fn of(train: &Window, values: &[f64], rows: std::ops::Range<usize>, slots: Slots) -> Means {
        let at = |row: usize| train.grid.time(row).div_euclid(slots.slot_s);
        let first = at(rows.start);
        let mut sums = vec![(0.0, 0.0); (at(rows.end - 1) - first + 1) as usize];
        for row in rows.filter(|&row| values[row].is_finite()) {
            let (sum, n) = &mut sums[(at(row) - first) as usize];
            *n += 1.0;
            *sum += (values[row] - *sum) / *n; // a running mean: a sum may overflow
        }
        let mean = |(mean, n): (f64, f64)| if n > 0.0 { mean } else { f64::NAN };
        Means { slots, first, means: sums.into_iter().map(mean).collect() }
    }

    /// The slot of the season of the mean `i`.
    fn phase(&self, i: usize) -> usize {
        self.slots.of((self.first + i as i64) * self.slots.slot_s)
    }
}

/// The last cycle of the season by slot, on the mean trend of the last day.
fn forecast(parts: &Decomposition, means: &Means) -> Vec<f64> {
    let n = means.means.len();
    let day = ((DAY_S / means.slots.slot_s).max(1) as usize).min(n);
    let trend = parts.trend[n - day..].iter().map(|t| t / day as f64).sum::<f64>();
    let mut centre = vec![trend; means.slots.count()];
    for i in n - means.slots.count()..n {
        centre[means.phase(i)] += parts.season[i];
    }
    centre
}

/// Robust scale by slot from what the decomposition leaves of each row, by hour of the day.
fn scale(parts: &Decomposition, means: &Means, train: &Window, values: &[f64]) -> Vec<f64> {
    let hour = |time_s: i64| (time_s.rem_euclid(DAY_S) / 3600) as usize;
    let mut errors: Vec<Vec<f64>> = vec![Vec::new(); 24];
    for (row, &value) in values.iter().enumerate().filter(|(_, v)| v.is_finite()) {
        let time_s = train.grid.time(row);
        let i = (time_s.div_euclid(means.slots.slot_s) - means.first) as usize;
        errors[hour(time_s)].push((value - parts.season[i] - parts.trend[i]).abs());
    }
    let by_hour = profile::scales(&errors);
    (0..means.slots.count() as i64).map(|slot| by_hour[hour(slot * means.slots.slot_s)]).collect()
}

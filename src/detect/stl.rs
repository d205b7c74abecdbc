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
use crate::detect::averaged;
use crate::detect::averaged::averaged;
use crate::detect::seasonal_median::profile;
use crate::detect::seasonal_median::profile::Profile;
use crate::detect::seasonal_median::profile::Slots;
use crate::math::calendar::Calendar;
use crate::math::calendar::DAY_S;
use crate::math::decompose;
use crate::series::Window;

const NAME: &str = "stl";
/// Slots of a season: half-hours of a week.
const SLOTS: i64 = 336;
/// The paper calls five rounds safe; fifteen cost thrice as much and forecast the same.
const ROBUST_ROUNDS: usize = 5;
/// Day, week and what else there may be.
const MAX_SEASONS: usize = 4;
/// Longer spans are of no use: no history has more weeks.
const MAX_SPAN: usize = 999;
/// Values are kept inside what can be squared and summed.
const MOST: f64 = 1e100;

/// How the decomposition is set up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Length of the season in seconds. By default a week where the rows show two of them, else a
    /// day.
    pub season_s: Option<i64>,
    /// Several seasons, each a part of the longest, in place of `season_s`: `[86400, 604800]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub seasons_s: Vec<i64>,
    /// Cycles over which each slot's own series is smoothed, odd; of one season. Fewer follow a season
    /// that changes, more tell it better from noise; the usual 7 of decompositions forecasts poorly.
    pub span: usize,
    /// Whether outliers in training weigh less; about twice as dear.
    pub robust: bool,
    /// Newest points whose deviations are averaged; 1 judges each by itself. By default 4 where points
    /// are a quarter of an hour apart or more, since what matters in traffic lasts longer; else 1, since
    /// among minutes a spike is all there is.
    pub mean_of: Option<usize>,
}

impl Default for Config {
    fn default() -> Config {
        Config { season_s: None, seasons_s: Vec::new(), span: 15, robust: true, mean_of: None }
    }
}

impl Config {
    /// What is wrong with the settings, if anything is.
    pub(in crate::detect) fn problem(&self) -> Option<String> {
        let longest = self.seasons_s.iter().copied().max().unwrap_or(1);
        let part = |season_s: &i64| *season_s > 0 && longest % season_s == 0;
        let twice =
            (1..self.seasons_s.len()).any(|i| self.seasons_s[..i].contains(&self.seasons_s[i]));
        if self.seasons_s.len() > MAX_SEASONS || twice || !self.seasons_s.iter().all(part) {
            let said = &self.seasons_s;
            return Some(format!(
                "seasons_s is {said:?}, wanted up to {MAX_SEASONS} lengths, each a part of the longest"
            ));
        }
        if self.season_s.is_some() && !self.seasons_s.is_empty() {
            return Some("both season_s and seasons_s are given".to_string());
        }
        if let Some(what) = profile::problem(self.season_s) {
            return Some(what);
        }
        if self.span.is_multiple_of(2) || !(3..=MAX_SPAN).contains(&self.span) {
            return Some(format!("span is {}, wanted an odd number, 3 to {MAX_SPAN}", self.span));
        }
        averaged::problem(self.mean_of)
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
    let longest = config.seasons_s.iter().copied().max().or(config.season_s);
    let wanted = longest.filter(|&s| s > 0).or_else(|| profile::season_s(span_s));
    let season_s = wanted.unwrap_or(DAY_S);
    let slots = slots(season_s, step_s);
    let cycle = (slots.season_s / step_s).max(1) as usize;
    if slots.count() < 2 || span_s < 2 * slots.season_s || have < cycle {
        return Err(FitError::TooFewRows { have, want: 2 * cycle.max(2) });
    }
    let means = Means::of(train, &values[..end], first, (slots, context.calendar));
    let fitted = fitted(config, &means, season_s, context.keep_going).ok_or(FitError::Stopped)?;
    let centre = forecast(&fitted, &means);
    let scale = profile::scales(slots, errors(&fitted, &means, train, &values));
    let clock = (slots, context.calendar);
    let profile = Profile::new(NAME, clock, &centre, &scale);
    Ok(averaged(profile, config.mean_of, step_s))
}

/// The model that [`Model::parts`] came from.
///
/// # Errors
/// The parts are not those of this detector.
pub(in crate::detect) fn restore(parts: Parts) -> Result<Box<dyn Model>, RestoreError> {
    averaged::restore(parts, |parts| Profile::restore(NAME, parts))
}

/// About 336 slots, or one per row where rows are coarser. Slots are all of one length: where none
/// of a whole number of rows divides the season, the season is taken up to half a slot off.
fn slots(season_s: i64, step_s: i64) -> Slots {
    let least = ((season_s + SLOTS * step_s - 1) / (SLOTS * step_s)).max(1);
    let divides = |rows: &i64| season_s % (rows * step_s) == 0;
    let slot_s = step_s * (least..2 * least).find(divides).unwrap_or(least);
    Slots { season_s: slot_s * ((season_s + slot_s / 2) / slot_s).max(1), slot_s }
}

/// Slot means of the rows, in order of local time.
struct Means<'a> {
    slots: Slots,
    clock: &'a Calendar,
    /// Slots since 1970 of the first mean.
    first: i64,
    /// NaN without data.
    means: Vec<f64>,
}

impl<'a> Means<'a> {
    fn of(
        train: &Window,
        values: &[f64],
        first: usize,
        (slots, clock): (Slots, &'a Calendar),
    ) -> Means<'a> {
        let rows = || (first..values.len()).filter(|&row| values[row].is_finite());
        let at = |row: usize| clock.local_s(train.grid.time(row)).div_euclid(slots.slot_s);
        // Not those of the first and last row: clocks are set back.
        let (from, to) =
            rows().map(at).fold((i64::MAX, i64::MIN), |(a, b), at| (a.min(at), b.max(at)));
        let mut sums = vec![(0.0, 0.0); (to - from + 1) as usize];
        for row in rows() {
            let (mean, n) = &mut sums[(at(row) - from) as usize];
            *n += 1.0;
            // A running mean: a sum may overflow. And moments of more would.
            *mean += (values[row].clamp(-MOST, MOST) - *mean) / *n;
        }
        let mean = |(mean, n): (f64, f64)| if n > 0.0 { mean } else { f64::NAN };
        Means { slots, clock, first: from, means: sums.into_iter().map(mean).collect() }
    }

    /// Which mean a time belongs to.
    fn at(&self, time_s: i64) -> usize {
        (self.clock.local_s(time_s).div_euclid(self.slots.slot_s) - self.first) as usize
    }

    /// The slot of the season of the mean `i`.
    fn phase(&self, i: usize) -> usize {
        self.slots.of((self.first + i as i64) * self.slots.slot_s)
    }
}

/// What is fitted to each mean.
struct Fitted {
    season: Vec<f64>,
    trend: Vec<f64>,
}

/// `None` where it was stopped.
fn fitted(
    config: &Config,
    means: &Means<'_>,
    season_s: i64,
    keep_going: &(dyn Fn() -> bool + Sync),
) -> Option<Fitted> {
    let slots = means.slots.count();
    let period = |s: &i64| slots / (season_s / s).max(1) as usize;
    let mut periods: Vec<usize> = config.seasons_s.iter().map(period).filter(|p| *p > 1).collect();
    periods.dedup();
    if periods.len() < 2 {
        let robust_rounds = if config.robust { ROBUST_ROUNDS } else { 0 };
        let settings = decompose::Settings { period: slots, span: config.span, robust_rounds };
        let parts = decompose::stl(&means.means, settings, keep_going)?;
        return Some(Fitted { season: parts.season, trend: parts.trend });
    }
    let parts = decompose::mstl(&means.means, &periods, config.robust, keep_going)?;
    let mut season = vec![0.0; means.means.len()];
    for part in &parts.seasons {
        season.iter_mut().zip(part).for_each(|(sum, s)| *sum += s);
    }
    Some(Fitted { season, trend: parts.trend })
}

/// The last cycle of the season by slot, on the mean trend of the last day.
fn forecast(fitted: &Fitted, means: &Means<'_>) -> Vec<f64> {
    let n = means.means.len();
    let day = ((DAY_S / means.slots.slot_s).max(1) as usize).min(n);
    let trend = fitted.trend[n - day..].iter().map(|t| t / day as f64).sum::<f64>();
    let mut centre = vec![trend; means.slots.count()];
    for i in n - means.slots.count()..n {
        centre[means.phase(i)] += fitted.season[i];
    }
    centre
}

/// What the decomposition leaves of each row, by slot.
fn errors<'a>(
    fitted: &'a Fitted,
    means: &'a Means<'_>,
    train: &'a Window,
    values: &'a [f64],
) -> impl Iterator<Item = (usize, f64)> + 'a {
    values.iter().enumerate().filter(|(_, v)| v.is_finite()).map(|(row, value)| {
        let i = means.at(train.grid.time(row));
        (means.phase(i), (value - fitted.season[i] - fitted.trend[i]).abs())
    })
}

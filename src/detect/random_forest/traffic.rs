//! What the forest is told of a time: what is usual there, what lately was unusual, the calendar.
//!
//! Owns: slots of local time, their medians, lags. Does not own: the forest.
//!
//! The forest forecasts what a slot's median leaves, so that a level it has not seen is no stranger
//! than its noise. Columns: the median of the slot; how far off it was a day ago and a week ago;
//! time of day; weekday; holiday. No lag is shorter than a day: with what was an hour ago an
//! anomaly explains itself as soon as it lasts.

use serde::Deserialize;
use serde::Serialize;

use crate::detect::seasonal_median::profile;
use crate::math::calendar::Calendar;
use crate::math::calendar::DAY_S;
use crate::math::stats;
use crate::series::Window;

/// Columns of a row.
pub(super) const COLUMNS: usize = 6;
/// Cycles that a slot's median looks back at.
const CYCLES: i64 = 8;
/// Scales beyond which a value is an anomaly, and not learnt or carried forward.
const ODD: f64 = 4.0;
/// Rows finer than this are learnt as means of slots: a slot of less has too few to learn from.
const FINE_S: i64 = 300;
/// … and with more history than this many slots, of coarser ones, up to half-hours.
const SLOTS: i64 = 8_192;
const COARSE_S: i64 = 1_800;
/// Longest lag in rows: a day of half-minutes, more than a week of five minutes.
const MAX_LAG: i64 = 2_880;
/// A clock that is set may take a lag back by this much.
const CLOCK_S: i64 = 3_600;
const LAGS_S: [i64; 2] = [DAY_S, 7 * DAY_S];
const MAX_NUMBER: f64 = 1e30;

/// Slots of local time, and which lags there are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Times {
    pub(super) calendar: Calendar,
    /// A day or a week.
    season_s: i64,
    /// Divides a day.
    slot_s: i64,
    /// Distance of rows.
    step_s: i64,
}

impl Times {
    /// For rows of this step with data over `span_s` seconds; none where that is less than two days.
    pub(super) fn new(calendar: &Calendar, step_s: i64, span_s: i64) -> Option<Times> {
        let season_s = profile::season_s(span_s)?;
        let least = (span_s / SLOTS).clamp(FINE_S, COARSE_S).max(step_s);
        let divides = |slot_s: &i64| DAY_S % slot_s == 0;
        let slot_s = (least.min(DAY_S)..=DAY_S).find(divides).unwrap_or(DAY_S);
        Some(Times { calendar: calendar.clone(), season_s, slot_s, step_s })
    }

    /// What is wrong with times that were stored.
    pub(super) fn problem(&self) -> Option<&'static str> {
        let season = self.season_s == DAY_S || self.season_s == 7 * DAY_S;
        let slot = self.slot_s >= FINE_S && DAY_S % self.slot_s == 0;
        (!season || !slot || self.step_s <= 0).then_some("season, slot or step is none of its own")
    }

    /// Slots of a season.
    pub(super) fn n_slots(&self) -> usize {
        (self.season_s / self.slot_s) as usize
    }

    /// The slot since 1970 of a time, local.
    fn slot(&self, time_s: i64) -> i64 {
        self.calendar.local_s(time_s).div_euclid(self.slot_s)
    }

    /// The slot of the season of a slot since 1970.
    fn phase(&self, slot: i64) -> usize {
        slot.rem_euclid(self.n_slots() as i64) as usize
    }

    fn hour(&self, slot: i64) -> usize {
        ((slot * self.slot_s).rem_euclid(DAY_S) / 3_600) as usize
    }

    /// Rows that are looked back at for this lag.
    fn reach(&self, lag_s: i64) -> i64 {
        (lag_s + CLOCK_S + self.slot_s - 1) / self.step_s
    }

    /// The lags that rows near enough are kept for. Of finer rows than half-minutes there is none: what
    /// is usual then is all that is known.
    fn lags(&self) -> impl Iterator<Item = (usize, i64)> {
        let season_s = self.season_s;
        let near =
            move |(_, lag_s): &(usize, i64)| *lag_s <= season_s && lag_s / self.step_s <= MAX_LAG;
        LAGS_S.into_iter().enumerate().filter(near)
    }

    /// Rows before the scored one that are read.
    pub(super) fn lookback(&self) -> usize {
        self.lags().map(|(_, lag_s)| self.reach(lag_s)).max().unwrap_or(0) as usize
    }
}

/// What is usual: the median of each slot, and how far off values usually are by hour of the day.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Usual {
    pub(super) centre: Vec<f32>,
    /// Of what the medians leave.
    pub(super) spread: Vec<f32>,
}

impl Usual {
    /// How far from usual a slot's value is; 0, as usual, for a gap and for an anomaly.
    fn unusual(&self, value: f64, slot: i64, times: &Times) -> f64 {
        let off = value - f64::from(self.centre[times.phase(slot)]);
        if off.abs() <= ODD * f64::from(self.spread[times.hour(slot)]) { off } else { 0.0 }
    }
}

/// The columns of one time.
fn columns(times: &Times, slot: i64, time_s: i64, centre: f64, lags: [f64; 2]) -> [f64; COLUMNS] {
    let day_slots = DAY_S / times.slot_s;
    let time_of_day = slot.rem_euclid(day_slots) as f64;
    let weekday = if times.season_s > DAY_S { slot.div_euclid(day_slots).rem_euclid(7) } else { 0 };
    let holiday = f64::from(u8::from(times.calendar.is_holiday(time_s)));
    [centre, lags[0], lags[1], time_of_day, weekday as f64, holiday]
}

/// What is learnt from: one row per slot with data that is no anomaly.
pub(super) struct Lesson {
    pub(super) columns: [Vec<f64>; COLUMNS],
    /// What the median leaves.
    pub(super) targets: Vec<f64>,
    /// Hours of the day.
    pub(super) hours: Vec<usize>,
}

/// Slot means of the training rows, in order of time.
struct Means {
    first: i64,
    /// Any time of the slot.
    times_s: Vec<i64>,
    means: Vec<f64>,
}

impl Means {
    fn of(train: &Window, values: &[f64], rows: std::ops::Range<usize>, times: &Times) -> Means {
        let first = times.slot(train.grid.time(rows.start));
        let len = (times.slot(train.grid.time(rows.end - 1)) - first).max(0) as usize + 2;
        let (mut sums, mut times_s) = (vec![(0.0, 0.0); len], vec![0; len]);
        for row in rows.filter(|&row| values[row].is_finite()) {
            let at = (times.slot(train.grid.time(row)) - first).clamp(0, len as i64 - 1) as usize;
            let (mean, n): &mut (f64, f64) = &mut sums[at];
            *n += 1.0;
            *mean += (values[row].clamp(-MAX_NUMBER, MAX_NUMBER) - *mean) / *n;
            times_s[at] = train.grid.time(row);
        }
        let mean = |(mean, n): (f64, f64)| if n > 0.0 { mean } else { f64::NAN };
        Means { first, times_s, means: sums.into_iter().map(mean).collect() }
    }

    /// The median of the same slot in the cycles before mean `i`, NaN where none has data.
    fn before(&self, i: usize, cycle: usize) -> f64 {
        let mut known = [0.0; CYCLES as usize];
        let mut n = 0;
        for at in (1..=CYCLES as usize).map_while(|k| i.checked_sub(k * cycle)) {
            if let Some(mean) = self.means.get(at).filter(|mean| !mean.is_nan()) {
                known[n] = *mean;
                n += 1;
            }
        }
        let known = &mut known[..n];
        known.sort_unstable_by(f64::total_cmp);
        stats::quantile(known, 0.5)
    }

    /// What is usual after the last mean, by slot of the season; a slot without data takes the median of
    /// the same time on other days, or of everything.
    fn usual(&self, times: &Times) -> Vec<f64> {
        let n = self.means.len();
        let cycle = times.n_slots();
        let mut centre = vec![f64::NAN; cycle];
        for i in n..n + cycle {
            centre[times.phase(self.first + i as i64)] = self.before(i, cycle);
        }
        let day = ((DAY_S / times.slot_s) as usize).min(cycle);
        let everything = stats::median(centre.iter().copied());
        let fill = |slot: usize| {
            let other = stats::median(centre.iter().skip(slot % day).step_by(day).copied());
            if other.is_nan() { everything } else { other }
        };
        (0..cycle)
            .map(|slot| if centre[slot].is_nan() { fill(slot) } else { centre[slot] })
            .collect()
    }
}

/// What training rows say is usual, and what the forest learns beyond that; none where no slot with
/// data has one a season before.
pub(super) fn learn(
    train: &Window,
    values: &[f64],
    rows: std::ops::Range<usize>,
    times: &Times,
) -> Option<(Usual, Lesson)> {
    let means = Means::of(train, values, rows, times);
    let cycle = times.n_slots();
    let centre: Vec<f64> = (0..means.means.len()).map(|i| means.before(i, cycle)).collect();
    let off: Vec<f64> =
        means.means.iter().zip(&centre).map(|(mean, centre)| mean - centre).collect();
    let slot = |i: usize| means.first + i as i64;
    let known = || (0..off.len()).filter(|&i| off[i].is_finite());
    let mut errors = vec![Vec::new(); 24];
    known().for_each(|i| errors[times.hour(slot(i))].push(off[i].abs()));
    known().next()?;
    let spread =
        profile::group_scales(&mut errors).iter().map(|s| s.min(MAX_NUMBER) as f32).collect();
    let usual = Usual { centre: means.usual(times).iter().map(|&c| c as f32).collect(), spread };
    let odd = |i: usize| off[i].abs() > ODD * f64::from(usual.spread[times.hour(slot(i))]);
    let carried = |at: Option<usize>| {
        at.filter(|&at| off[at].is_finite() && !odd(at)).map_or(0.0, |at| off[at])
    };
    let mut lesson = Lesson { columns: Default::default(), targets: Vec::new(), hours: Vec::new() };
    for i in known() {
        // On holidays the unusual is what there is to learn.
        if odd(i) && !times.calendar.is_holiday(means.times_s[i]) {
            continue;
        }
        let mut lags = [0.0; 2];
        for (k, lag_s) in times.lags() {
            lags[k] = carried(i.checked_sub((lag_s / times.slot_s) as usize));
        }
        let row = columns(times, slot(i), means.times_s[i], centre[i], lags);
        lesson.columns.iter_mut().zip(row).for_each(|(column, value)| column.push(value));
        lesson.targets.push(off[i]);
        lesson.hours.push(times.hour(slot(i)));
    }
    Some((usual, lesson))
}

/// A row to forecast.
pub(super) struct Asked {
    pub(super) columns: [f64; COLUMNS],
    /// What is usual.
    pub(super) centre: f64,
    /// Hour of the day.
    pub(super) hour: usize,
}

/// What is known of row `i` from the rows before it.
pub(super) fn ask(times: &Times, usual: &Usual, window: &Window, i: usize) -> Asked {
    let time_s = window.grid.time(i);
    let slot = times.slot(time_s);
    let centre = f64::from(usual.centre[times.phase(slot)]);
    let mut lags = [0.0; 2];
    for (k, lag_s) in times.lags() {
        let then = slot - lag_s / times.slot_s;
        let mean = mean_of(times, window, i, then, time_s - lag_s);
        lags[k] = usual.unusual(mean, then, times);
    }
    let columns = columns(times, slot, time_s, centre, lags);
    Asked { columns, centre, hour: times.hour(slot) }
}

/// The mean of the rows of `slot`, which is about `near_s`; NaN where there is none with data. Rows
/// beyond the look-back of row `i` are not there, even if they are.
fn mean_of(times: &Times, window: &Window, i: usize, slot: i64, near_s: i64) -> f64 {
    let from_s = slot * times.slot_s - (times.calendar.local_s(near_s) - near_s);
    let step_s = window.grid.step_s;
    let row = |time_s: i64| (time_s - window.grid.start_s + step_s - 1).div_euclid(step_s);
    let oldest = i.saturating_sub(times.lookback());
    let from = (row(from_s).max(0) as usize).max(oldest);
    let to = (row(from_s + times.slot_s).max(0) as usize).min(i);
    let (mut mean, mut n) = (0.0, 0.0);
    for row in from..to {
        let value = window.row(row).first().copied().unwrap_or(f64::NAN);
        if value.is_finite() {
            n += 1.0;
            mean += (value.clamp(-MAX_NUMBER, MAX_NUMBER) - mean) / n;
        }
    }
    if n > 0.0 { mean } else { f64::NAN }
}

//! What was expected in each slot of each cycle of a season, from the cycles before it.
//!
//! Owns: both forecasts as they are learnt. Does not own: the features made of their residuals.

use crate::detect::residuals::MIN_SCALE;
use crate::detect::residuals::clock::Clock;
use crate::detect::residuals::relative;
use crate::detect::seasonal_median::filled;
use crate::detect::seasonal_median::profile;
use crate::detect::seasonal_median::profile::Slots;
use crate::math::calendar::DAY_S;
use crate::math::stats;
use crate::series::Grid;

/// Cycles that a median looks back at.
const CYCLES: usize = 8;
/// Cycles before the first one that is forecast, where there are as many.
const SETTLED: usize = 3;
/// Shares of a slot and of its neighbours in the smooth forecast.
const SHARES: [f64; 5] = [1.0 / 9.0, 2.0 / 9.0, 3.0 / 9.0, 2.0 / 9.0, 1.0 / 9.0];
/// Most scales that one residual may move the level by: the level does not learn an anomaly.
const STRONGEST: f64 = 3.0;

/// Training rows by cycle and slot.
pub(super) struct History<'a> {
    values: &'a [f64],
    slots: Slots,
    /// By row, the cell that it lies in.
    cell: Vec<usize>,
    /// By row, the cell that it is judged as: another one on holidays, of which no cell learns.
    like: Vec<usize>,
    /// Means of the rows of each slot of each cycle, in order of time; NaN is a gap.
    cells: Vec<f64>,
}

/// What was learnt.
pub(super) struct Fitted {
    /// By slot: centre and scale of the sharp forecast, then of the smooth one.
    pub(super) slot: [Vec<f64>; 4],
    /// By row: residuals of the two forecasts, each by what was known before its cycle; NaN is unknown.
    pub(super) residuals: [Vec<f64>; 2],
}

/// What is learnt of rows that show no season twice: one median over all of them.
pub(super) fn unseasonal(values: &[f64]) -> Fitted {
    let centre = stats::median(values.iter().copied());
    let errors: Vec<f64> =
        values.iter().filter(|v| v.is_finite()).map(|v| (v - centre).abs()).collect();
    let scale = profile::group_scales(&mut [errors])[0].max(MIN_SCALE);
    let residuals: Vec<f64> = values.iter().map(|y| relative(*y, centre, scale)).collect();
    let slot = [vec![centre], vec![scale], vec![centre], vec![scale]];
    Fitted { slot, residuals: [residuals.clone(), residuals] }
}

impl<'a> History<'a> {
    /// The first and the last row have data.
    pub(super) fn of(grid: Grid, values: &'a [f64], clock: &Clock) -> History<'a> {
        let (slots, moments) = (clock.slots, clock.moments(grid, 0));
        let cycle = |local_s: i64| local_s.div_euclid(slots.season_s);
        // The last row is not in the last cycle where clocks are set back across midnight.
        let cycles = || moments.iter().map(|moment| cycle(moment.local_s));
        let (first, last) = (cycles().min().unwrap_or(0), cycles().max().unwrap_or(0));
        let n_slots = slots.count();
        let of = |local_s: i64| (cycle(local_s) - first) as usize * n_slots + slots.of(local_s);
        let cell: Vec<usize> = moments.iter().map(|moment| of(moment.local_s)).collect();
        let like: Vec<usize> = moments.iter().map(|moment| of(moment.like_s)).collect();
        let mut cells = vec![(0.0, 0.0); ((last - first) as usize + 1) * n_slots];
        let learnt = |row: &usize| values[*row].is_finite() && cell[*row] == like[*row];
        for row in (0..values.len()).filter(learnt) {
            let (mean, n) = &mut cells[cell[row]];
            *n += 1.0;
            *mean += (values[row] - *mean) / *n; // a running mean: a sum may overflow
        }
        let mean = |(mean, n): (f64, f64)| if n > 0.0 { mean } else { f64::NAN };
        History { values, slots, cell, like, cells: cells.into_iter().map(mean).collect() }
    }

    /// Both forecasts.
    pub(super) fn fit(&self) -> Fitted {
        let (known, last) = self.medians();
        let known_errors = self.errors(|row| known[self.like[row]]);
        let mut by_slot =
            self.grouped(&known_errors, |cell| cell % self.slots.count(), self.slots.count());
        let scale: Vec<f64> =
            profile::group_scales(&mut by_slot).iter().map(|s| s.max(MIN_SCALE)).collect();

        let smooth = smooth(&known);
        let levels = self.levels(&smooth, stats::median(scale.iter().copied()));
        let day = self.per_day();
        let late = |cell: usize| if cell < day { 0.0 } else { levels[cell - day] };
        let smooth_errors = self.errors(|row| smooth[self.like[row]] + late(self.cell[row]));
        let mut by_hour =
            self.grouped(&smooth_errors, |cell| self.hour(cell % self.slots.count()), 24);
        let by_hour = profile::group_scales(&mut by_hour);
        let width: Vec<f64> =
            (0..self.slots.count()).map(|slot| by_hour[self.hour(slot)].max(MIN_SCALE)).collect();

        let centre = filled(&last, self.slots, stats::median(self.cells.iter().copied()));
        let level = levels.last().copied().unwrap_or(0.0);
        let smooth_centre = cyclic(&centre).into_iter().map(|c| c + level).collect();
        let residuals =
            [self.relative(&known_errors, &scale), self.relative(&smooth_errors, &width)];
        Fitted { slot: [centre, scale, smooth_centre, width], residuals }
    }

    fn hour(&self, slot: usize) -> usize {
        ((slot as i64 * self.slots.slot_s).rem_euclid(DAY_S) / 3600) as usize
    }

    fn per_day(&self) -> usize {
        (DAY_S / self.slots.slot_s).max(1) as usize
    }

    /// By cell the median of the slot's last cycles before it, NaN before there are enough; and by slot
    /// the same after all cycles.
    fn medians(&self) -> (Vec<f64>, Vec<f64>) {
        let n_slots = self.slots.count();
        let cycles = self.cells.len() / n_slots;
        let settled = ((cycles - 1) / 2).clamp(1, SETTLED);
        let mut known = vec![f64::NAN; self.cells.len()];
        let mut last = vec![f64::NAN; n_slots];
        for (slot, last) in last.iter_mut().enumerate() {
            let mut recent = Recent::default();
            for cell in (slot..self.cells.len()).step_by(n_slots) {
                if recent.n >= settled {
                    known[cell] = recent.median();
                }
                if !self.cells[cell].is_nan() {
                    recent.push(self.cells[cell]);
                }
            }
            *last = recent.median();
        }
        (known, last)
    }

    /// By row, what was measured less what was expected of it.
    fn errors(&self, expected: impl Fn(usize) -> f64) -> Vec<f64> {
        let error = |row: usize| {
            let y = self.values[row];
            if y.is_finite() { y - expected(row) } else { f64::NAN }
        };
        (0..self.values.len()).map(error).collect()
    }

    fn grouped(&self, errors: &[f64], group: impl Fn(usize) -> usize, n: usize) -> Vec<Vec<f64>> {
        let mut groups = vec![Vec::new(); n];
        for (row, error) in errors.iter().enumerate().filter(|(_, e)| !e.is_nan()) {
            groups[group(self.like[row])].push(error.abs());
        }
        groups
    }

    fn relative(&self, errors: &[f64], scale: &[f64]) -> Vec<f64> {
        let n_slots = self.slots.count();
        let of = |(row, error): (usize, &f64)| match error.is_nan() {
            true => f64::NAN,
            false => relative(*error, 0.0, scale[self.like[row] % n_slots]),
        };
        errors.iter().enumerate().map(of).collect()
    }

    /// After each cell the level of late above the forecast: an exponential mean with a half-life of a
    /// day.
    fn levels(&self, expected: &[f64], scale: f64) -> Vec<f64> {
        let share = 1.0 - (-1.0 / self.per_day() as f64).exp2();
        let most = STRONGEST * scale;
        let mut level = 0.0;
        let after = |(y, expected): (&f64, &f64)| {
            let step = y - expected - level;
            if !step.is_nan() {
                level += share * step.clamp(-most, most);
            }
            level
        };
        self.cells.iter().zip(expected).map(after).collect()
    }
}

/// The mean of each value and its neighbours, as far as they are known; NaN where it is not itself.
fn smooth(values: &[f64]) -> Vec<f64> {
    let n = values.len();
    let at = |i: usize| {
        if values[i].is_nan() {
            return f64::NAN;
        }
        let (mut sum, mut weight) = (0.0, 0.0);
        for (k, share) in SHARES.iter().enumerate() {
            let value = (i + k).checked_sub(SHARES.len() / 2).and_then(|j| values.get(j));
            if let Some(value) = value.filter(|v| !v.is_nan()) {
                sum += share * value;
                weight += share;
            }
        }
        sum / weight
    };
    (0..n).map(at).collect()
}

/// The same around a season.
fn cyclic(season: &[f64]) -> Vec<f64> {
    let (n, reach) = (season.len(), SHARES.len() / 2);
    let value = |i: usize| -> f64 {
        let of = |(k, share): (usize, &f64)| share * season[(i + k + n * reach - reach) % n];
        SHARES.iter().enumerate().map(of).sum()
    };
    (0..n).map(value).collect()
}

/// The last values, also in order of size.
#[derive(Default)]
struct Recent {
    n: usize,
    oldest: usize,
    by_age: [f64; CYCLES],
    by_size: [f64; CYCLES],
}

impl Recent {
    fn push(&mut self, value: f64) {
        if self.n == CYCLES {
            let gone = self.by_age[self.oldest];
            let at = self.by_size.iter().position(|v| *v == gone).unwrap_or(0);
            self.by_size.copy_within(at + 1.., at);
            self.n -= 1;
        }
        let at = self.by_size[..self.n].iter().take_while(|v| **v < value).count();
        self.by_size.copy_within(at..self.n, at + 1);
        self.by_size[at] = value;
        self.n += 1;
        self.by_age[self.oldest] = value;
        self.oldest = (self.oldest + 1) % CYCLES;
    }

    fn median(&self) -> f64 {
        stats::quantile(&self.by_size[..self.n], 0.5)
    }
}

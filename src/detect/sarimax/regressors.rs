//! What the clock says, as regressors.
//!
//! Owns: which columns there are, and their values. Does not own: local time (`math::calendar`).

use serde::Deserialize;
use serde::Serialize;

use crate::math::calendar::Calendar;
use crate::math::calendar::DAY_S;
use crate::series::Grid;

const WEEK_S: i64 = 7 * DAY_S;

/// Which regressors there are, in this order: one, harmonics of the day, harmonics of the week, weekend,
/// holiday.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Regressors {
    /// Sine and cosine of as many turns a day.
    pub(super) daily: usize,
    /// Sine and cosine of as many turns a week; those that are whole turns a day come once.
    pub(super) weekly: usize,
    /// One on Saturdays and Sundays.
    pub(super) weekend: bool,
    /// One on holidays.
    pub(super) holiday: bool,
}

impl Regressors {
    /// How many columns.
    pub(super) fn n(&self) -> usize {
        let doubled = (self.weekly / 7).min(self.daily);
        let dummies = usize::from(self.weekend) + usize::from(self.holiday);
        1 + 2 * (self.daily + self.weekly - doubled) + dummies
    }

    /// Writes the columns of a moment.
    pub(super) fn write(&self, at: Moment, columns: &mut [f64]) {
        let week = at.second_of_week as f64 / WEEK_S as f64;
        let day = at.second_of_week.rem_euclid(DAY_S) as f64 / DAY_S as f64;
        let mut put = columns.iter_mut();
        let mut next = |value: f64| {
            if let Some(column) = put.next() {
                *column = value;
            }
        };
        next(1.0);
        for (_, (sin, cos)) in turns(day, self.daily) {
            next(sin);
            next(cos);
        }
        for (k, (sin, cos)) in turns(week, self.weekly) {
            if !(k.is_multiple_of(7) && k / 7 <= self.daily) {
                next(sin);
                next(cos);
            }
        }
        if self.weekend {
            next(f64::from(at.second_of_week >= 5 * DAY_S));
        }
        if self.holiday {
            next(f64::from(at.holiday));
        }
    }

    /// What `beta` makes of a moment.
    pub(super) fn mean(&self, at: Moment, beta: &[f64], scratch: &mut [f64]) -> f64 {
        self.write(at, scratch);
        scratch.iter().zip(beta).map(|(x, b)| x * b).sum()
    }
}

/// `(sin, cos)` of 1, 2, …, n times a part of a turn, each from the one before it.
fn turns(part: f64, n: usize) -> impl Iterator<Item = (usize, (f64, f64))> {
    let (sin, cos) = (std::f64::consts::TAU * part).sin_cos();
    let next = move |&(s, c): &(f64, f64)| Some((s * cos + c * sin, c * cos - s * sin));
    (1..).zip(std::iter::successors(Some((sin, cos)), next)).take(n)
}

/// What the clock on the wall says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    /// Since Monday's midnight.
    pub(super) second_of_week: i64,
    /// Whether nobody works.
    pub(super) holiday: bool,
}

/// The moments of the rows `from..grid.len`. Within a day the clock is taken to be set once at most, so
/// that a day whose ends agree needs to be looked up twice only.
pub(super) fn moments(calendar: &Calendar, grid: Grid, from: usize) -> Vec<Moment> {
    let per_day = (DAY_S / grid.step_s.max(1)).max(1) as usize;
    let mut moments = Vec::with_capacity(grid.len.saturating_sub(from));
    let mut today = (i64::MIN, false);
    for begin in (from..grid.len).step_by(per_day) {
        let end = grid.len.min(begin + per_day);
        let offset = |row: usize| calendar.local_s(grid.time(row)) - grid.time(row);
        let same = Some(offset(begin)).filter(|&first| first == offset(end - 1));
        for row in begin..end {
            let time_s = grid.time(row);
            let local_s = time_s + same.unwrap_or_else(|| offset(row));
            let day = local_s.div_euclid(DAY_S);
            if day != today.0 {
                today = (day, calendar.is_holiday(time_s));
            }
            // 1970-01-01 was a Thursday.
            let second_of_week = (local_s + 3 * DAY_S).rem_euclid(WEEK_S);
            moments.push(Moment { second_of_week, holiday: today.1 });
        }
    }
    moments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harmonics_are_sines_and_come_once() {
        let regressors = Regressors { daily: 2, weekly: 8, weekend: true, holiday: true };
        let mut columns = vec![f64::NAN; regressors.n()];
        let at = Moment { second_of_week: 5 * DAY_S + 3_600, holiday: false };
        regressors.write(at, &mut columns);
        assert_eq!(columns.len(), 1 + 4 + 14 + 2);
        let turn = |turns: f64| std::f64::consts::TAU * turns / 24.0;
        assert!((columns[3] - turn(2.0).sin()).abs() < 1e-12);
        assert!((columns[18] - turn(8.0 * 121.0 / 7.0).cos()).abs() < 1e-12);
        assert_eq!((columns[0], columns[19], columns[20]), (1.0, 1.0, 0.0));
    }

    #[test]
    fn moments_are_the_calendars_through_a_clock_change() {
        let calendar: Calendar =
            serde_json::from_str(r#"{"time_zone": "Europe/Rome", "holidays": ["2024-03-31"]}"#)
                .unwrap();
        let grid = Grid { start_s: 1_711_500_000, step_s: 1_800, len: 400 };
        for from in [0, 7, 100] {
            for (i, moment) in moments(&calendar, grid, from).into_iter().enumerate() {
                let time_s = grid.time(from + i);
                assert_eq!(moment.second_of_week, calendar.second_of_week(time_s));
                assert_eq!(moment.holiday, calendar.is_holiday(time_s));
            }
        }
    }
}

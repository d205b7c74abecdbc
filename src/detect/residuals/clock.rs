//! Which slot of the season a row is like, by the clock on the wall.
//!
//! Owns: a row's local time, and that a holiday is like a Sunday. Does not own: what is expected of a
//! slot.

use serde::Deserialize;
use serde::Serialize;

use crate::detect::seasonal_median::profile::Slots;
use crate::math::calendar::Calendar;
use crate::math::calendar::DAY_S;
use crate::series::Grid;

/// Weeks since 1970 begin on a Thursday.
const SUNDAY: i64 = 3;

/// Slots of a season in somebody's local time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::detect) struct Clock {
    pub(super) slots: Slots,
    pub(super) calendar: Calendar,
}

/// When a row is, in seconds since 1970 on the wall's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    /// Its own time.
    pub(super) local_s: i64,
    /// The time in the same cycle that it is judged as: Sunday's on a holiday, else its own.
    pub(super) like_s: i64,
}

impl Clock {
    /// The moments of the rows `from..grid.len`. Within a day the clock is taken to be set once at
    /// most, so that a day whose ends agree needs to be looked up twice only.
    pub(super) fn moments(&self, grid: Grid, from: usize) -> Vec<Moment> {
        let per_day = (DAY_S / grid.step_s.max(1)).max(1) as usize;
        let weekly = self.slots.season_s % (7 * DAY_S) == 0;
        let mut moments = Vec::with_capacity(grid.len.saturating_sub(from));
        let mut today = (None, false);
        for begin in (from..grid.len).step_by(per_day) {
            let end = grid.len.min(begin + per_day);
            let offset = |row: usize| self.calendar.local_s(grid.time(row)) - grid.time(row);
            let same = Some(offset(begin)).filter(|&first| first == offset(end - 1));
            for row in begin..end {
                let time_s = grid.time(row);
                let local_s = time_s + same.unwrap_or_else(|| offset(row));
                let day = local_s.div_euclid(DAY_S);
                if today.0 != Some(day) {
                    today = (Some(day), weekly && self.calendar.is_holiday(time_s));
                }
                // Where the season is a day, each day is like any other.
                let days = if today.1 { SUNDAY - day.rem_euclid(7) } else { 0 };
                moments.push(Moment { local_s, like_s: local_s + days * DAY_S });
            }
        }
        moments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_the_calendars_and_holidays_are_sundays_of_the_same_cycle() {
        let calendar: Calendar =
            serde_json::from_str(r#"{"time_zone": "Europe/Rome", "holidays": ["2024-04-01"]}"#)
                .unwrap();
        // From 27 March 2024, through the change of clocks on the 31st.
        let grid = Grid { start_s: 1_711_500_000, step_s: 1_800, len: 400 };
        for (season_s, weekly) in [(7 * DAY_S, true), (14 * DAY_S, true), (DAY_S, false)] {
            let slots = Slots { season_s, slot_s: 1_800 };
            let clock = Clock { slots, calendar: calendar.clone() };
            let mut n_holiday = 0;
            for from in [0, 7, 100] {
                for (i, moment) in clock.moments(grid, from).into_iter().enumerate() {
                    let time_s = grid.time(from + i);
                    let Moment { local_s, like_s } = moment;
                    assert_eq!(local_s, calendar.local_s(time_s));
                    let holiday = weekly && calendar.is_holiday(time_s);
                    let sunday = local_s - DAY_S; // 1 April 2024 was a Monday
                    assert_eq!(like_s, if holiday { sunday } else { local_s });
                    assert_eq!(like_s.div_euclid(season_s), local_s.div_euclid(season_s));
                    n_holiday += usize::from(holiday);
                }
            }
            assert_eq!(n_holiday, if weekly { 3 * 48 } else { 0 });
        }
    }
}

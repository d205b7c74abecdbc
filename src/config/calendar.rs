//! The calendar of a file and of a watch: a time zone, and days on which nobody works.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::load::Found;
use crate::math::calendar::Calendar;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct CalendarSection {
    time_zone: Option<String>,
    holidays: Option<Vec<String>>,
}

/// The calendar of a section; what it leaves out is as in `usual`.
pub(super) fn resolve(
    section: &CalendarSection,
    usual: &Calendar,
    at: &str,
    found: &mut Vec<Found>,
) -> Calendar {
    let mut calendar = usual.clone();
    if let Some(days) = &section.holidays {
        let mut holidays = BTreeSet::new();
        for (i, day) in days.iter().enumerate() {
            match day.parse() {
                Ok(date) => drop(holidays.insert(date)),
                Err(_) => {
                    let what = format!("no day {day:?}; wanted one such as 2026-12-25");
                    found.push((format!("{at}.holidays[{i}]"), what));
                }
            }
        }
        calendar = calendar.with_holidays(holidays);
    }
    if let Some(zone) = &section.time_zone {
        match calendar.in_zone(zone) {
            Ok(zoned) => calendar = zoned,
            Err(what) => found.push((format!("{at}.time_zone"), what)),
        }
    }
    calendar
}

//! What the clock on the wall says: local time of a zone with its daylight saving, and holidays.
//!
//! Owns: the way from unix seconds to local ones. Does not own: what is made of them.

use std::collections::BTreeSet;
use std::fmt;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde::Serialize;

/// A day, unless a clock is set, in seconds.
pub const DAY_S: i64 = 86_400;

/// 1970-01-01 was a Thursday: from that midnight back to Monday's.
const MONDAY_S: i64 = 3 * DAY_S;

/// A time zone and days on which nobody works.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Named", into = "Named")]
pub struct Calendar {
    name: String,
    zone: TimeZone,
    holidays: BTreeSet<Date>,
}

/// A calendar as people write it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    #[serde(default = "utc")]
    time_zone: String,
    #[serde(default)]
    holidays: BTreeSet<Date>,
}

fn utc() -> String {
    "UTC".to_string()
}

impl Default for Calendar {
    /// UTC, without holidays.
    fn default() -> Calendar {
        Calendar { name: utc(), zone: TimeZone::UTC, holidays: BTreeSet::new() }
    }
}

impl Calendar {
    /// The calendar of a zone by its IANA name, such as `Europe/Rome`.
    ///
    /// # Errors
    /// There is no zone of this name.
    pub fn new(name: &str, holidays: BTreeSet<Date>) -> Result<Calendar, String> {
        let wrong = |_| format!("no time zone {name:?}; wanted an IANA name such as Europe/Rome");
        let zone = TimeZone::get(name).map_err(wrong)?;
        Ok(Calendar { name: name.to_string(), zone, holidays })
    }

    /// The same with other holidays.
    pub fn with_holidays(self, holidays: BTreeSet<Date>) -> Calendar {
        Calendar { holidays, ..self }
    }

    /// The same holidays in another zone, by its IANA name.
    ///
    /// # Errors
    /// There is no zone of this name.
    pub fn in_zone(&self, name: &str) -> Result<Calendar, String> {
        Calendar::new(name, self.holidays.clone())
    }

    /// Seconds since 1970 on the wall's clock at `time_s` unix seconds. An hour may come twice, or
    /// not at all.
    pub fn local_s(&self, time_s: i64) -> i64 {
        if self.zone == TimeZone::UTC {
            return time_s;
        }
        let offset = |at| i64::from(self.zone.to_offset(at).seconds());
        time_s + Timestamp::from_second(time_s).map_or(0, offset)
    }

    /// Seconds since Monday's midnight, local.
    pub fn second_of_week(&self, time_s: i64) -> i64 {
        (self.local_s(time_s) + MONDAY_S).rem_euclid(7 * DAY_S)
    }

    /// Whether the local day is a holiday.
    pub fn is_holiday(&self, time_s: i64) -> bool {
        if self.holidays.is_empty() {
            return false;
        }
        let day = |at: Timestamp| at.to_zoned(self.zone.clone()).date();
        Timestamp::from_second(time_s).is_ok_and(|at| self.holidays.contains(&day(at)))
    }
}

/// The zone's name and the holidays, in order.
impl fmt::Display for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.holidays.iter().try_for_each(|day| write!(f, " {day}"))
    }
}

impl TryFrom<Named> for Calendar {
    type Error = String;

    fn try_from(named: Named) -> Result<Calendar, String> {
        Calendar::new(&named.time_zone, named.holidays)
    }
}

impl From<Calendar> for Named {
    fn from(calendar: Calendar) -> Named {
        Named { time_zone: calendar.name, holidays: calendar.holidays }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_S: i64 = 3_600;

    #[test]
    fn noon_is_noon_in_summer_and_in_winter() {
        let rome: Calendar =
            serde_json::from_str(r#"{"time_zone": "Europe/Rome", "holidays": ["2024-12-25"]}"#)
                .unwrap();
        let time_s = |text: &str| text.parse::<Timestamp>().unwrap().as_second();
        for noon in ["2024-01-10T11:00:00Z", "2024-07-10T10:00:00Z"] {
            assert_eq!(rome.local_s(time_s(noon)).rem_euclid(DAY_S), 12 * HOUR_S, "{noon}");
            assert_eq!(rome.second_of_week(time_s(noon)), 2 * DAY_S + 12 * HOUR_S, "a Wednesday");
        }
        assert!(rome.is_holiday(time_s("2024-12-24T23:00:00Z")));
        assert!(!rome.is_holiday(time_s("2024-12-24T22:59:59Z")));
        assert_eq!(Calendar::default().local_s(i64::MAX), i64::MAX);
        let text = serde_json::to_string(&rome).unwrap();
        assert_eq!(serde_json::from_str::<Calendar>(&text).unwrap(), rome);
        assert!(Calendar::new("Mars/Base", BTreeSet::new()).unwrap_err().contains("Mars/Base"));
    }
}

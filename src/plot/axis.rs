//! Where an axis has its ticks, and what they say.
//!
//! Owns: round numbers and round times (UTC).
//! Does not own: where they lie in the picture (`frame`).

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::math::calendar::DAY_S;

/// A place on an axis that has a name.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tick<T> {
    pub(super) at: T,
    pub(super) label: String,
}

/// Powers of a thousand by name, from 10⁻⁹.
const PREFIXES: [&str; 10] = ["n", "µ", "m", "", "k", "M", "G", "T", "P", "E"];
const FIRST_POWER: i32 = -3;

/// Round numbers within `from..=to`, about `wanted` of them; they share one unit.
pub(super) fn numbers(from: f64, to: f64, wanted: usize) -> Vec<Tick<f64>> {
    let step = round_step((to - from) / wanted.max(1) as f64);
    if !(step.is_normal() && from.is_finite() && to.is_finite() && from < to) {
        return Vec::new();
    }
    let write = writer(from.abs().max(to.abs()), step);
    let first = (from / step - 1e-9).ceil();
    let last = (to / step + 1e-9).floor();
    let n = (last - first).clamp(0.0, 100.0) as usize;
    let tick = |i| {
        let at = (first + i as f64) * step;
        Tick { at, label: write(at) }
    };
    (0..=n).map(tick).collect()
}

/// Round numbers within `from..=to` for a logarithmic axis: 1, 2 and 5 times powers of ten, or of these
/// powers as many as an axis has room for.
pub(super) fn logarithmic(from: f64, to: f64) -> Vec<Tick<f64>> {
    const MOST: i32 = 8;
    if !(from.is_normal() && from > 0.0 && to.is_finite() && from < to) {
        return Vec::new();
    }
    let [first, last] = [from.log10().floor() as i32, to.log10().floor() as i32];
    let (factors, every): (&[f64], _) = match last - first {
        0..=2 => (&[1.0, 2.0, 5.0], 1),
        decades => (&[1.0], decades / MOST + 1),
    };
    let powers = (first..=last).step_by(every as usize);
    let all = powers.flat_map(|power| factors.iter().map(move |factor| (power, *factor)));
    let tick = |(power, factor): (i32, f64)| {
        let at = factor * 10f64.powi(power);
        let label = match power {
            -4..=5 => format!("{factor}e{power}").parse().map_or_else(|_| String::new(), plain),
            _ => minus(format!("{factor}e{power}")),
        };
        (from..=to).contains(&at).then_some(Tick { at, label })
    };
    all.filter_map(tick).collect()
}

fn plain(value: f64) -> String {
    value.to_string()
}

/// The smallest of 1, 2, 2.5 and 5 times a power of ten that is no smaller.
fn round_step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    let fits = |step: &f64| *step * power >= least * (1.0 - 1e-9);
    [1.0, 2.0, 2.5, 5.0].into_iter().find(fits).unwrap_or(10.0) * power
}

/// Writes numbers of up to `largest`, `step` apart.
fn writer(largest: f64, step: f64) -> impl Fn(f64) -> String {
    // Half is better known as 0.5 than as 500 m.
    let power = match (largest.log10() / 3.0 + 1e-9).floor() as i32 {
        -1 => 0,
        power => power,
    };
    let prefix = usize::try_from(power - FIRST_POWER).ok().and_then(|i| PREFIXES.get(i));
    let unit = 1000f64.powi(power);
    let whole = |digits: &i32| {
        let scaled = step / unit * 10f64.powi(*digits);
        (scaled.round() - scaled).abs() < 1e-6
    };
    let digits = (0..6).find(whole).unwrap_or(6) as usize;
    move |value| match prefix {
        _ if value.abs() < 1e-9 * step => "0".to_string(),
        Some(prefix) => minus(format!("{:.digits$}{}{prefix}", value / unit, gap(prefix))),
        None => minus(format!("{value:.1e}")),
    }
}

fn gap(prefix: &str) -> &'static str {
    if prefix.is_empty() { "" } else { " " }
}

fn minus(text: String) -> String {
    text.replacen('-', "−", 1)
}

const HOUR_S: i64 = 3_600;
/// Steps that a clock has.
const CLOCK_S: [i64; 12] =
    [1, 10, 60, 300, 900, 1_800, HOUR_S, 2 * HOUR_S, 3 * HOUR_S, 6 * HOUR_S, 12 * HOUR_S, DAY_S];
/// Steps that a calendar has: days, then months.
const DAYS: [i64; 3] = [2, 7, 14];
const MONTHS: [i64; 9] = [1, 2, 3, 6, 12, 24, 60, 120, 600];
const MONTH_S: i64 = 30 * DAY_S;
/// 1970-01-05 was a Monday.
const MONDAY: i64 = 4;

/// Round times within `from_s..=to_s`, at most `most` of them: midnights by their date, weeks from
/// Monday on, months from the first.
pub(super) fn times(from_s: i64, to_s: i64, most: usize) -> Vec<Tick<i64>> {
    let span_s = to_s.saturating_sub(from_s).max(1);
    let fits = |step_s: i64| span_s / step_s < most as i64;
    if let Some(&step_s) = CLOCK_S.iter().find(|step_s| fits(**step_s)) {
        return multiples(from_s, to_s, step_s, 0, clock);
    }
    if let Some(&days) = DAYS.iter().find(|days| fits(**days * DAY_S)) {
        return multiples(from_s, to_s, days * DAY_S, MONDAY * DAY_S, date);
    }
    let months = MONTHS.iter().find(|months| fits(**months * MONTH_S)).unwrap_or(&1200);
    firsts(from_s, to_s, *months)
}

/// The times `first_s + k · step_s`.
fn multiples(
    from_s: i64,
    to_s: i64,
    step_s: i64,
    first_s: i64,
    label: fn(i64) -> String,
) -> Vec<Tick<i64>> {
    let before = (from_s - first_s).rem_euclid(step_s);
    let start_s = if before == 0 { from_s } else { from_s + step_s - before };
    let tick = |at| Tick { at, label: label(at) };
    (start_s..=to_s).step_by(step_s as usize).map(tick).collect()
}

/// The first days of every so many months.
fn firsts(from_s: i64, to_s: i64, months: i64) -> Vec<Tick<i64>> {
    let begin = civil(from_s).date();
    let begin = i64::from(begin.year()) * 12 + i64::from(begin.month()) - 1;
    let start = begin.div_euclid(months) * months;
    let mut ticks = Vec::new();
    for month in (start..).step_by(months as usize) {
        let (year, month) = (month.div_euclid(12), month.rem_euclid(12) + 1);
        let first = i16::try_from(year).ok().and_then(|y| Date::new(y, month as i8, 1).ok());
        let at = first.and_then(|d| TimeZone::UTC.to_timestamp(d.at(0, 0, 0, 0)).ok());
        let Some(at) = at.map(Timestamp::as_second).filter(|at| *at <= to_s) else { break };
        if at >= from_s {
            let name = if months % 12 == 0 {
                year.to_string()
            } else if month == 1 || ticks.is_empty() {
                format!("{} {year}", month_name(month as i8))
            } else {
                month_name(month as i8).to_string()
            };
            ticks.push(Tick { at, label: name });
        }
    }
    ticks
}

/// `06:00`, and at midnight the date.
fn clock(time_s: i64) -> String {
    let at = civil(time_s);
    match (time_s.rem_euclid(DAY_S), at.second()) {
        (0, _) => date(time_s),
        (_, 0) => format!("{:02}:{:02}", at.hour(), at.minute()),
        _ => format!("{:02}:{:02}:{:02}", at.hour(), at.minute(), at.second()),
    }
}

/// `18 Apr`.
fn date(time_s: i64) -> String {
    let at = civil(time_s);
    format!("{} {}", at.day(), month_name(at.month()))
}

/// `18 Apr 2023 10:30`.
pub(super) fn moment(time_s: i64) -> String {
    let at = civil(time_s);
    format!("{} {} {:02}:{:02}", date(time_s), at.year(), at.hour(), at.minute())
}

fn civil(time_s: i64) -> DateTime {
    let at = Timestamp::from_second(time_s).unwrap_or(Timestamp::UNIX_EPOCH);
    at.to_zoned(TimeZone::UTC).datetime()
}

fn month_name(month: i8) -> &'static str {
    const NAMES: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    NAMES[(month - 1).clamp(0, 11) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels<T>(ticks: &[Tick<T>]) -> Vec<&str> {
        ticks.iter().map(|tick| tick.label.as_str()).collect()
    }

    #[test]
    fn numbers_are_round_and_share_a_unit() {
        assert_eq!(labels(&numbers(0.0, 3.2e9, 4)), ["0", "1 G", "2 G", "3 G"]);
        assert_eq!(labels(&numbers(0.0, 900.0, 4)), ["0", "250", "500", "750"]);
        assert_eq!(labels(&numbers(0.0, 1.0, 4)), ["0", "0.25", "0.50", "0.75", "1.00"]);
        assert_eq!(labels(&numbers(-1.2e6, 1.2e6, 4)), ["−1 M", "0", "1 M"]);
        assert_eq!(labels(&numbers(0.0, 2.0, 4)), ["0", "0.5", "1.0", "1.5", "2.0"]);
        assert_eq!(labels(&numbers(0.0, 4e30, 2)), ["0", "2.0e30", "4.0e30"]);
        for (from, to) in [(0.0, 0.0), (f64::NAN, 1.0), (0.0, f64::INFINITY), (1.0, 0.0)] {
            assert_eq!(numbers(from, to, 4), [], "{from} {to}");
        }
        assert!(numbers(-1e300, 1e300, 5).len() >= 3);
        assert!(numbers(1.0, 1.0 + 1e-15, 5).len() <= 101);
    }

    #[test]
    fn a_logarithmic_axis_has_round_numbers_too() {
        assert_eq!(labels(&logarithmic(0.03, 1.2)), ["0.05", "0.1", "0.2", "0.5", "1"]);
        assert_eq!(
            labels(&logarithmic(0.9e-6, 0.11)),
            ["1e−6", "1e−5", "0.0001", "0.001", "0.01", "0.1"]
        );
        assert_eq!(labels(&logarithmic(7.0, 4e6)), ["10", "100", "1000", "10000", "100000", "1e6"]);
        assert!(logarithmic(1e-300, 1e300).len() <= 9);
        for (from, to) in
            [(0.0, 1.0), (-1.0, 1.0), (f64::NAN, 1.0), (1.0, f64::INFINITY), (2.0, 1.0)]
        {
            assert_eq!(logarithmic(from, to), [], "{from} {to}");
        }
    }

    #[test]
    fn times_are_round() {
        let time_s = |text: &str| text.parse::<Timestamp>().unwrap().as_second();
        let from_s = time_s("2023-03-30T09:10:00Z");
        assert_eq!(
            labels(&times(from_s, from_s + 20 * HOUR_S, 8)),
            ["12:00", "15:00", "18:00", "21:00", "31 Mar", "03:00"]
        );
        assert_eq!(
            labels(&times(from_s, from_s + 4 * DAY_S, 8)),
            ["31 Mar", "1 Apr", "2 Apr", "3 Apr"]
        );
        assert_eq!(
            labels(&times(from_s, from_s + 21 * DAY_S, 8)),
            ["3 Apr", "10 Apr", "17 Apr"],
            "Mondays"
        );
        assert_eq!(
            labels(&times(time_s("2022-11-02T00:00:00Z"), from_s, 8)),
            ["Dec 2022", "Jan 2023", "Feb", "Mar"]
        );
        assert_eq!(labels(&times(0, 40 * 365 * DAY_S, 9)).last(), Some(&"2005"));
        assert!(times(i64::MIN / 2, i64::MAX / 2, 9).len() <= 100, "as many as the calendar has");
        assert_eq!(moment(from_s), "30 Mar 2023 09:10");
    }
}

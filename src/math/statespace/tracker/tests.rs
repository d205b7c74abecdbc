//! Agreement with statsmodels, by numbers of `tests/data/reference/make_sarimax_forecasts.py`.

use super::*;
use crate::math::statespace::Order;

const SERIES: &str = include_str!("../../../../tests/data/reference/sarimax_series.csv");
const FORECASTS: &str = include_str!("../../../../tests/data/reference/sarimax_forecasts.csv");

/// What statsmodels takes the variance of unknown levels to be.
const UNKNOWN: f64 = 1e6;

struct Case {
    name: String,
    rows: Vec<f64>,
    arima: Arima,
    sigma2: f64,
    forecasts: Vec<f64>,
    variances: Vec<f64>,
}

fn series(name: &str, n: usize) -> Vec<f64> {
    let mut lines = SERIES.lines();
    let column = lines.next().unwrap().split(',').position(|own| own == name).unwrap();
    let cell = |line: &str| line.split(',').nth(column).unwrap().parse().unwrap_or(f64::NAN);
    lines.map(cell).take(n).collect()
}

fn cases() -> Vec<Case> {
    let read = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        let count = |i: usize| cells[i].parse::<usize>().unwrap();
        let numbers =
            |i: usize| cells[i].split(' ').map(|v| v.parse().unwrap()).collect::<Vec<f64>>();
        let order = Order {
            p: count(3),
            d: count(4),
            q: count(5),
            seasonal_p: count(6),
            seasonal_d: count(7),
            seasonal_q: count(8),
            season: count(9),
        };
        let mut rows = series(cells[0], count(1));
        rows[count(1) - count(2)..].fill(f64::NAN);
        let parameters = numbers(10);
        let (sigma2, parameters) = parameters.split_last().unwrap();
        Case {
            name: cells[..10].join(","),
            rows,
            arima: Arima::new(&order, parameters),
            sigma2: *sigma2,
            forecasts: numbers(11),
            variances: numbers(12),
        }
    };
    FORECASTS.lines().skip(1).map(read).collect()
}

fn followed(case: &Case) -> Tracker<'_> {
    let mut tracker = Tracker::new(&case.arima, &[], UNKNOWN / case.sigma2);
    case.rows.iter().for_each(|y| tracker.step(Some(*y).filter(|y| !y.is_nan())));
    tracker
}

#[test]
fn forecasts_and_their_variances_are_statsmodels() {
    assert_eq!(cases().len(), 24);
    for case in cases() {
        let tracker = followed(&case);
        for (n, (wanted, variance)) in case.forecasts.iter().zip(&case.variances).enumerate() {
            let (forecast, unit) = tracker.ahead(&case.arima.ahead(n));
            let off = (forecast - wanted).abs();
            assert!(off < 1e-6 * wanted.abs().max(1.0), "{}: {n} is off by {off:e}", case.name);
            let off = (unit * case.sigma2 / variance - 1.0).abs();
            assert!(off < 1e-6, "{}: the variance of {n} is off by {off:e}", case.name);
        }
    }
}

#[test]
fn forecasts_ahead_are_those_after_rows_that_are_missing() {
    for case in cases() {
        let whole = followed(&case);
        let mut tracker = whole.clone();
        for n in 0..30 {
            let (forecast, variance) = tracker.forecast();
            let (ahead, unit) = whole.ahead(&case.arima.ahead(n));
            assert!((forecast - ahead).abs() < 1e-9 * ahead.abs().max(1.0), "{}: {n}", case.name);
            assert!((variance / unit - 1.0).abs() < 1e-8, "{}: {n}", case.name);
            tracker.step(None);
        }
    }
}

#[test]
fn levels_that_are_known_leave_nothing_but_the_arma_to_learn() {
    for case in cases() {
        let n = case.arima.n_lost();
        let rows: Vec<f64> = (0..900).map(|i| (f64::from(i) * 0.9).sin()).collect();
        let mut tracker = Tracker::new(&case.arima, &rows[..n], 1e6);
        assert_eq!(tracker.ages.len(), 0);
        rows[n..].iter().for_each(|y| tracker.step(Some(*y)));
        let ahead = case.arima.ahead(20);
        assert!(tracker.steady, "{}", case.name);
        assert_eq!(tracker.ahead(&ahead).1, ahead.usual());
        // A gap makes it less certain, for as long as it is felt.
        let mut gappy = tracker.clone();
        gappy.step(None);
        let more = |n: usize| {
            let ahead = case.arima.ahead(n);
            gappy.ahead(&ahead).1 - ahead.usual()
        };
        assert!(!gappy.steady && (0..30).all(|n| more(n) > -1e-9), "{}", case.name);
        assert!((0..30).map(more).sum::<f64>() > 0.01, "{}", case.name);
        for step in 0..900 {
            gappy.step(Some((f64::from(step + 901) * 0.9).sin()));
            assert!(gappy.ages.len() <= 1 && gappy.ages.iter().all(|&age| age <= n));
        }
        assert!(gappy.steady, "{}", case.name);
    }
}

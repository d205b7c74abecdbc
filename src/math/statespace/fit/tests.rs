//! Agreement with statsmodels, by numbers of `tests/data/reference/make_sarimax.py`.

use super::*;
use crate::math::dice::normal;
use crate::math::random::Random;

const SERIES: &str = include_str!("../../../../tests/data/reference/sarimax_series.csv");
const MODELS: &str = include_str!("../../../../tests/data/reference/sarimax_models.csv");

struct Pair {
    name: String,
    rows: Vec<f64>,
    columns: Columns,
    order: Order,
    at: Start,
    variance: f64,
    log_likelihood: f64,
    optimum: f64,
}

fn series(name: &str, n: usize) -> Vec<f64> {
    let mut lines = SERIES.lines();
    let column = lines.next().unwrap().split(',').position(|own| own == name).unwrap();
    let cell = |line: &str| line.split(',').nth(column).unwrap().parse().unwrap_or(f64::NAN);
    lines.map(cell).take(n).collect()
}

/// Some rows are missing, as in the script.
fn holes(rows: Vec<f64>, percent: usize) -> Vec<f64> {
    let missing = |t: usize| {
        let single = (7919 * t + 104_729 * t * t) % 1000 < 10 * percent;
        single || percent >= 10 && (200..212).contains(&t)
    };
    rows.into_iter().enumerate().map(|(t, y)| if missing(t) { f64::NAN } else { y }).collect()
}

fn harmonics(n: usize, k: usize) -> Columns {
    let mut columns = Columns::zero(n, 2 * k);
    for t in 0..n {
        for h in 0..k {
            let turns = std::f64::consts::TAU * (h + 1) as f64 * t as f64 / 24.0;
            let row = columns.row_mut(t);
            (row[2 * h], row[2 * h + 1]) = turns.sin_cos();
        }
    }
    columns
}

fn pairs() -> Vec<Pair> {
    let read = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        let count = |i: usize| cells[i].parse::<usize>().unwrap();
        let number = |i: usize| cells[i].parse::<f64>().unwrap();
        let order = Order {
            p: count(3),
            d: count(4),
            q: count(5),
            seasonal_p: count(6),
            seasonal_d: count(7),
            seasonal_q: count(8),
            season: count(9),
        };
        let (n, k) = (count(1), count(10));
        let all: Vec<f64> = cells[13].split(' ').map(|v| v.parse().unwrap()).collect();
        let (beta, rest) = all.split_at(2 * k);
        let (parameters, variance) = rest.split_at(order.n_parameters());
        let rows = holes(series(cells[0], n), count(2));
        Pair {
            name: line.to_string(),
            rows,
            columns: harmonics(n, k),
            order,
            at: Start { parameters: parameters.to_vec(), beta: beta.to_vec() },
            variance: variance[0],
            log_likelihood: number(11),
            optimum: number(12),
        }
    };
    MODELS.lines().skip(1).map(read).collect()
}

#[test]
fn likelihood_is_statsmodels() {
    assert_eq!(pairs().len(), 28);
    for pair in pairs() {
        let have = log_likelihood(&pair.rows, &pair.columns, &pair.order, &pair.at, pair.variance);
        let off = (have - pair.log_likelihood).abs();
        assert!(off < 1e-6, "{}: {have} is off by {off:e}", pair.name);
    }
}

/// Rows of a ragged season and a slope; with gaps single ones, an outage, and a slot that is seen late.
fn ragged(n: usize, season: usize, gaps: bool) -> Vec<f64> {
    let row = |t: usize| {
        let missing = t % 9 == 4 || (60..70).contains(&t) || t % season == 2 && t < 40;
        let ragged = ((7919 * t + 31 * t * t) % 101) as f64 / 8.0;
        let value = ragged + (t % season) as f64 + t as f64 / 4.0;
        if gaps && missing { f64::NAN } else { value }
    };
    (0..n).map(row).collect()
}

/// Of three differences with gaps and moving averages that forget nothing, the direct way is off by a hundredth.
#[test]
fn likelihood_is_exact_where_nothing_is_forgotten() {
    let order = Order { p: 1, d: 2, q: 2, seasonal_p: 1, seasonal_d: 1, seasonal_q: 1, season: 4 };
    let parameters = vec![0.25, -1.9899999, 0.9899999, 0.125, -0.9999999];
    let at = Start { parameters, beta: Vec::new() };
    let rows = ragged(480, 4, true);
    let have = log_likelihood(&rows, &Columns::zero(480, 0), &order, &at, 100.0);
    assert!((have + 1356.8897223257993).abs() < 1e-6, "{have}");
}

/// Parameters near the unit circle, where digits are lost on every way but exact ones. The numbers are of a dense
/// covariance in 700 bits.
#[test]
fn likelihood_is_exact_near_the_unit_circle() {
    let one = |d, seasonal_d, season| Order {
        seasonal_p: 1,
        seasonal_d,
        seasonal_q: 1,
        season,
        d,
        ..Order::arma(1, 1)
    };
    let long = [0.999329299739067, -0.7927136704462225, 0.9993287616761234, -0.9902121109759541];
    let four = [-0.6957279389400647, 0.843231474724815, 0.9200049510708321, -0.06751632605128101];
    let three = [0.7820541454986302, -0.7700324778605041, -0.9522214188801965];
    let seasonal = [0.40691277360117684, 0.5922645642365312, -0.9968334723313782];
    let two = [0.8557621859758904, 0.1442272979651068, -0.9667491694113891];
    let cases = [
        (
            Order { p: 2, ..one(0, 1, 7) },
            [&two[..], &[0.9954754920268905, -0.9923428442695099]].concat(),
            [-296.55732565328856, -384.18805353601925],
        ),
        (
            Order { p: 4, q: 3, seasonal_p: 2, ..one(0, 1, 6) },
            [&four[..], &three, &seasonal].concat(),
            [-293.17867588987286, -388.29478189627423],
        ),
        (one(0, 1, 12), long.to_vec(), [-287.63947179426276, -372.0326769693757]),
        (one(0, 0, 12), long.to_vec(), [-321.35967845011265, -407.88422776081256]),
        (
            one(0, 0, 12),
            vec![0.999999, 0.5, 0.99999, 0.25],
            [-428.47753697182566, -587.8163345162068],
        ),
        (
            Order { p: 2, q: 2, ..one(0, 0, 4) },
            vec![1.5, -0.500001, 0.25, 0.125, 0.999999, 0.5],
            [-390.4610594109281, -532.5050418387809],
        ),
        (
            one(1, 1, 4),
            vec![0.5, -0.99998, 0.25, -0.999997],
            [-289.4541004107374, -392.0657963490207],
        ),
    ];
    for (order, parameters, wanted) in cases {
        let at = Start { parameters, beta: Vec::new() };
        for (gaps, wanted) in [true, false].into_iter().zip(wanted) {
            let rows = ragged(120, order.season, gaps);
            let have = log_likelihood(&rows, &Columns::zero(120, 0), &order, &at, 100.0);
            let off = (have - wanted).abs();
            assert!(off < 1e-6, "{order:?}, gaps {gaps}: {have} is off by {off:e}");
        }
    }
}

#[test]
fn the_optimum_is_no_worse_than_statsmodels() {
    for mut pair in pairs() {
        let fit =
            fit(&pair.rows, &mut pair.columns, &pair.order, Begin::Anywhere, &|| true).unwrap();
        let better = fit.log_likelihood - pair.optimum;
        assert!(better > -1e-5, "{}: {better}, {fit:?}", pair.name);
        // It is the likelihood at the parameters that it says.
        let at = Start { parameters: fit.parameters, beta: fit.beta };
        let again = log_likelihood(&pair.rows, &pair.columns, &pair.order, &at, fit.variance);
        assert!((again - fit.log_likelihood).abs() < 1e-7);
        // Where it ended there is nothing left to find.
        let warm =
            super::fit(&pair.rows, &mut pair.columns, &pair.order, Begin::Earlier(&at), &|| true);
        assert!(warm.unwrap().log_likelihood < fit.log_likelihood + 1e-4);
    }
}

/// A slot of the season is never seen, or all are in time: statsmodels' numbers, each with its constant.
#[test]
fn a_level_that_no_row_tells_costs_nothing() {
    let order = Order { seasonal_d: 1, season: 4, ..Order::arma(1, 1) };
    let at = Start { parameters: vec![0.5, 0.3], beta: Vec::new() };
    for (never, told, wanted) in [(false, 4, -186.46362804791877), (true, 3, -139.42456629326838)] {
        let row = |t: usize| {
            let missing = [1, 7, 13].contains(&t) || never && t % 4 == 2;
            let ragged = ((7919 * t + 31 * t * t) % 101) as f64 / 8.0;
            if missing { f64::NAN } else { ragged + (t % 4) as f64 }
        };
        let rows: Vec<f64> = (0..60).map(row).collect();
        let have = log_likelihood(&rows, &Columns::zero(60, 0), &order, &at, 100.0);
        let constant = f64::from(told) * 0.5 * std::f64::consts::TAU.ln();
        assert!((have - wanted - constant).abs() < 1e-6, "{never}: {have}");
    }
}

/// Nothing is left of them to be unlikely: as likely as numbers can say, with and without gaps.
#[test]
fn rows_that_are_all_the_same_are_likely() {
    let seasonal = Order { seasonal_d: 1, seasonal_q: 1, season: 12, ..Order::arma(1, 1) };
    for (order, gaps) in [Order::arma(2, 1), Order { d: 1, ..Order::arma(1, 1) }, seasonal]
        .into_iter()
        .flat_map(|order| [false, true].map(|gaps| (order, gaps)))
    {
        let row = |t: usize| if gaps && t % 7 == 3 { f64::NAN } else { 0.0 };
        let rows: Vec<f64> = (0..200).map(row).collect();
        let mut columns = Columns::zero(200, 0);
        let fit = fit(&rows, &mut columns, &order, Begin::Anywhere, &|| true).unwrap();
        let at = Start { parameters: fit.parameters.clone(), beta: Vec::new() };
        let again = log_likelihood(&rows, &columns, &order, &at, fit.variance);
        assert_eq!((fit.variance, fit.aicc().is_finite()), (0.0, true), "{order:?} {gaps}");
        assert!((again - fit.log_likelihood).abs() < 1e-6, "{order:?} {gaps}: {again}");
    }
}

/// Every other row is missing, and so many that the search is on filled ones first: these forget nothing of their noise.
#[test]
fn a_search_on_filled_rows_finds_back_from_the_wall() {
    let order = Order { p: 1, q: 1, seasonal_q: 1, season: 48, ..Order::default() };
    let parameters = vec![0.95, -0.6, 0.0];
    for seed in 0..4 {
        let mut random = Random::new(seed);
        let (mut y, mut before, mut rows) = (0.0, 0.0, Vec::new());
        for t in 0..1344 {
            let noise = normal(&mut random);
            (y, before) = (0.95 * y + noise - 0.6 * before, noise);
            rows.push(if t % 2 == 0 { y } else { f64::NAN });
        }
        let mut none = Columns::zero(rows.len(), 0);
        let truth = Start { parameters: parameters.clone(), beta: Vec::new() };
        let true_one = log_likelihood(&rows, &none, &order, &truth, 1.0);
        let found = fit(&rows, &mut none, &order, Begin::Anywhere, &|| true).unwrap();
        assert!(found.log_likelihood > true_one, "{seed}: {true_one} for {found:?}");
    }
}

#[test]
fn a_search_can_be_stopped() {
    let mut pair = pairs().remove(1);
    assert_eq!(fit(&pair.rows, &mut pair.columns, &pair.order, Begin::Anywhere, &|| false), None);
}

#[test]
fn a_refit_that_stays_where_it_is_keeps_its_regression() {
    let order = Order { d: 1, q: 1, ..Order::default() };
    for seed in 0..40 {
        let mut random = Random::new(seed);
        let value = |_| match random.unit() {
            gap if gap < 0.01 => f64::NAN,
            _ => normal(&mut random),
        };
        let rows: Vec<f64> = (0..28 * 24).map(value).collect();
        let fit_of = |n: usize, from: Begin<'_>| {
            fit(&rows[..n], &mut harmonics(n, 8), &order, from, &|| true).unwrap()
        };
        let before = fit_of(27 * 24, Begin::Anywhere);
        let before = Start { parameters: before.parameters, beta: before.beta };
        let cold = fit_of(rows.len(), Begin::Anywhere);
        let warm = fit_of(rows.len(), Begin::Earlier(&before));
        let worse = cold.log_likelihood - warm.log_likelihood;
        assert!(worse < 0.01, "{seed}: {worse}, {warm:?} for {cold:?}");
    }
}

/// A holiday that fell into an outage says nothing of the next one.
#[test]
fn a_regressor_that_is_zero_in_all_rows_with_data_has_no_part() {
    let season = Order { seasonal_d: 1, seasonal_q: 1, season: 24, ..Order::default() };
    let orders = [
        Order { p: 1, d: 1, q: 1, ..season },
        Order { d: 1, q: 1, ..season },
        Order { p: 1, q: 1, ..season },
        Order { p: 1, q: 1, seasonal_p: 1, seasonal_q: 1, season: 24, ..Order::default() },
        Order { p: 2, q: 1, ..Order::default() },
    ];
    for (order, seed) in orders.iter().flat_map(|order| (0..4).map(move |seed| (order, seed))) {
        let mut random = Random::new(seed);
        let day = |t: usize| (std::f64::consts::TAU * t as f64 / 24.0).sin();
        let outage = 312..336;
        let rows: Vec<f64> = (0..28 * 24)
            .map(|t| match random.unit() < 0.01 || outage.contains(&t) {
                true => f64::NAN,
                false => day(t) + 0.3 * normal(&mut random),
            })
            .collect();
        let mut columns = Columns::zero(rows.len(), 2);
        for t in 0..rows.len() {
            // Working hours of the third week, and the day of the outage.
            let third = t / 168 == 2 && (8..18).contains(&(t % 24));
            columns.row_mut(t)[0] = f64::from(u8::from(third));
            columns.row_mut(t)[1] = f64::from(u8::from(outage.contains(&t)));
        }
        let fit = fit(&rows, &mut columns, order, Begin::Anywhere, &|| true).unwrap();
        assert_eq!(fit.beta[1], 0.0, "{order:?}");
        assert!(fit.beta[0].abs() < 2.0, "{order:?}: {:?}", fit.beta);
        assert_eq!(columns.row(320)[1], 1.0, "what was asked about is left as it was");
    }
}

use super::*;
use crate::series::Grid;

/// The rows of `tests/data/reference/make_linear.py`, and the residuals of the first feature.
fn reference() -> (Window, Vec<f64>) {
    let text = include_str!("../../../tests/data/reference/linear.csv");
    let cells = |line: &str| line.split(',').map(|v| v.parse().unwrap()).collect::<Vec<f64>>();
    let rows: Vec<Vec<f64>> = text.lines().skip(1).map(cells).collect();
    let values = rows.iter().flat_map(|row| row[..6].to_vec()).collect();
    let grid = Grid { start_s: 0, step_s: 60, len: rows.len() };
    (Window { grid, n_features: 6, values }, rows.iter().map(|row| row[7]).collect())
}

fn fitted(train: &Window) -> Var {
    let (config, context) = (Config { order: 2, ridge: 0.01 }, FitContext::new(0, &|| true));
    learn::within(&config, train, (0..6).collect(), vec![1.0; 6], &context).unwrap()
}

#[test]
fn what_is_left_is_what_least_squares_leave() {
    let (rows, wanted) = reference();
    let model = fitted(&rows);
    let past = Past { rows: &rows, centre: &model.centre };
    for (i, wanted) in wanted.iter().enumerate().skip(2) {
        let left = model.residuals(&past, i)[0];
        assert!((left - wanted).abs() < 1e-9, "row {i}: {left} {wanted}");
    }
}

#[test]
fn a_jump_is_strange_where_the_level_is_not_and_it_is_said_which_feature_did() {
    let (mut rows, _) = reference();
    let model = fitted(&rows);
    let scores: Vec<f64> = model.score(&rows, 2).iter().map(|raw| raw.value).collect();
    let mean = scores.iter().map(|s| s * s).sum::<f64>() / scores.len() as f64;
    assert!((0.5..2.0).contains(&mean), "in its scales the mean square is about one: {mean}");
    rows.row_mut(399)[4] += 9.0;
    let strange = model.score(&rows, 399)[0].value;
    assert!(strange > scores.iter().fold(0.0, |a: f64, b| a.max(*b)), "{strange}");
    let shares = model.contributions(&rows).unwrap();
    assert!(shares[4] > 0.5 && (shares.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{shares:?}");
}

#[test]
fn after_a_gap_the_forecast_goes_on_from_what_was_known() {
    let (rows, _) = reference();
    let model = fitted(&rows);
    let mut gappy = rows.clone();
    (200..203).for_each(|i| gappy.row_mut(i).fill(f64::NAN));
    (300..310).for_each(|i| gappy.row_mut(i)[3] = f64::NAN);
    let (whole, part) = (model.score(&rows, 0), model.score(&gappy, 0));
    for (i, raw) in part.iter().enumerate().skip(2) {
        assert_eq!(raw.value.is_nan(), (200..203).contains(&i), "row {i}");
    }
    assert!((part[203].value - whole[203].value).abs() < 2.0);
    assert!((305..309).all(|i| (part[i].value - whole[i].value).abs() < 1.0));
    assert_eq!(part[330..], whole[330..]);
}

/// Eight quiet features; the last is flat, with a burst of 100 now and then.
fn bursty(n: usize) -> Window {
    let noise = |i: usize, j: usize| ((i * 7919 + i * i * (31 + j)) % 101) as f64 / 50.0 - 1.0;
    let row = |i: usize| {
        (0..8).map(move |j| match (j, i % 40) {
            (7, 3) => 100.0,
            (7, _) => 0.01 * noise(i, j),
            _ => noise(i, j),
        })
    };
    let grid = Grid { start_s: 0, step_s: 60, len: n };
    Window { grid, n_features: 8, values: (0..n).flat_map(row).collect() }
}

#[test]
fn many_features_a_little_strange_count_and_a_usual_burst_does_not() {
    let context = FitContext::new(0, &|| true);
    let rows = bursty(2_000);
    let model = learn::fit(&Config::default(), &rows.slice(0, 1_800), &context).unwrap();
    let usual = model.score(&rows, 1_800).iter().map(|raw| raw.value).fold(0.0, f64::max);
    let with = |change: &dyn Fn(&mut [f64])| {
        let mut rows = rows.clone();
        change(rows.row_mut(1_991));
        model.score(&rows, 1_991)[0].value
    };
    let burst = with(&|row| row[7] = 100.0);
    let larger = with(&|row| row[7] = 2_000.0);
    let many = with(&|row| row[..7].iter_mut().for_each(|v| *v += 8.0));
    assert!(burst < 1.5 * usual, "{burst} {usual}");
    assert!(larger > 1.5 * burst, "{larger} {burst}");
    assert!(larger < 4.0 * burst, "twenty times as large, it drowns no others: {larger} {burst}");
    assert!(many > 1.5 * burst, "{many} {burst}");
}

use super::*;
use crate::series::Grid;

fn window(n_features: usize, values: Vec<f64>) -> Window {
    let grid = Grid { start_s: 0, step_s: 60, len: values.len() / n_features };
    Window { grid, n_features, values }
}

/// The rows of `tests/data/reference/make_linear.py`, and the Q statistic of each.
fn reference() -> (Window, Vec<f64>) {
    let text = include_str!("../../../tests/data/reference/linear.csv");
    let cells = |line: &str| line.split(',').map(|v| v.parse().unwrap()).collect::<Vec<f64>>();
    let rows: Vec<Vec<f64>> = text.lines().skip(1).map(cells).collect();
    let values = rows.iter().flat_map(|row| row[..6].to_vec()).collect();
    (window(6, values), rows.iter().map(|row| row[6]).collect())
}

fn fitted(train: &Window) -> Pca {
    Pca::fit(&Config::default(), train, &FitContext::new(0, &|| true)).unwrap()
}

#[test]
fn what_is_left_is_what_scikit_learn_leaves() {
    let (rows, wanted) = reference();
    let (config, context) = (Config::default(), FitContext::new(0, &|| true));
    let model = Pca::within(&config, &rows, (0..6).collect(), vec![1.0; 6], &context).unwrap();
    for (i, wanted) in wanted.iter().enumerate() {
        let left: f64 = model.residuals(rows.row(i)).iter().map(|r| r * r).sum();
        assert!((left - wanted).abs() < 1e-9, "row {i}: {left} {wanted}");
    }
}

#[test]
fn a_missing_cell_costs_its_own_share_only() {
    let (rows, _) = reference();
    let model = fitted(&rows);
    let (mut near, mut n) = (0, 0);
    for i in 0..rows.grid.len {
        let mut row = rows.row(i).to_vec();
        let whole = model.residuals(&row);
        row[i % 6] = f64::NAN;
        let part = model.residuals(&row);
        assert_eq!(part.iter().filter(|r| r.is_nan()).count(), 1);
        for j in (0..6).filter(|&j| j != i % 6) {
            n += 1;
            near += usize::from((part[j] - whole[j]).abs() < 3.0 * model.scales[j]);
        }
    }
    assert!(near as f64 > 0.97 * n as f64, "{near} of {n} residuals are about the same");
}

#[test]
fn rows_that_leave_the_plane_are_strange_and_it_is_said_which_feature_did() {
    let (mut rows, _) = reference();
    let mut train = rows.clone();
    // Gaps of its own in every column.
    (0..train.values.len()).step_by(17).for_each(|at| train.values[at] = f64::NAN);
    let model = fitted(&train);
    let usual = model.score(&rows, 0).iter().map(|raw| raw.value).fold(0.0, f64::max);
    rows.row_mut(399)[2] += 9.0;
    let strange = model.score(&rows, 399)[0].value;
    assert!(strange > 1.5 * usual, "{strange} {usual}");
    let shares = model.contributions(&rows).unwrap();
    let most = (0..6).max_by(|&a, &b| shares[a].total_cmp(&shares[b]));
    assert_eq!(most, Some(2), "{shares:?}");
    assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-12);
}

#[test]
fn dead_columns_are_not_read_and_flat_ones_do_not_explode() {
    let noise = |i: usize| (i * 7919 % 101) as f64 / 101.0;
    let row = |i: usize| [noise(i), f64::NAN, 3.0, noise(i * i)];
    let rows = window(4, (0..200).flat_map(row).collect());
    let model = fitted(&rows);
    assert_eq!([0, 1, 2, 3].map(|f| model.reads(f)), [true, false, true, true]);
    assert!(model.score(&rows, 0).iter().all(|raw| raw.value < 5.0));
    assert!(model.score(&window(3, vec![1.0; 9]), 0).iter().all(|raw| raw.value.is_nan()));
}

//! The coefficients, and the usual size of what they leave.

use super::Config;
use super::MOST_ORDER;
use super::Past;
use super::Var;
use crate::detect::FitContext;
use crate::detect::FitError;
use crate::detect::linear;
use crate::math::linear::Cholesky;
use crate::series::Window;

/// Sums over the rows from which the equations are made.
struct Sums {
    /// `[m, m]`, of what forecasts are made from; on and below the diagonal.
    squares: Vec<f64>,
    /// `[d, m]`, of that and what was measured.
    products: Vec<f64>,
    /// Rows with any value, and with a value in each column.
    n: f64,
    n_of: Vec<f64>,
}

pub(super) fn fit(
    config: &Config,
    train: &Window,
    context: &FitContext<'_>,
) -> Result<Var, FitError> {
    let live = linear::live(train)?;
    let reach = linear::reaches(train, &live);
    within(config, train, live, reach, context)
}

/// The same, of the columns `live` in units of `reach`.
pub(super) fn within(
    config: &Config,
    train: &Window,
    live: Vec<usize>,
    reach: Vec<f64>,
    context: &FitContext<'_>,
) -> Result<Var, FitError> {
    let rows = linear::near(train, &live, &reach);
    let centre = linear::means(&rows);
    let order = config.order.clamp(1, MOST_ORDER);
    let past = Past { rows: &rows, centre: &centre };
    let d = live.len();
    let sums = sums(&past, order, context)?;
    let coefficients = solve(sums, config.ridge);
    let mut model = Var {
        n_features: train.n_features,
        order,
        coefficients,
        scales: vec![1.0; d],
        centre: centre.clone(),
        reach,
        live,
    };
    let mut residuals = vec![Vec::new(); d];
    linear::each_row(order.min(rows.grid.len)..rows.grid.len, context, |i| {
        for (all, own) in residuals.iter_mut().zip(model.residuals(&past, i)) {
            all.push(own);
        }
    })?;
    model.scales = residuals.into_iter().map(|r| linear::usual(r.into_iter())).collect();
    Ok(model)
}

fn sums(past: &Past<'_>, order: usize, context: &FitContext<'_>) -> Result<Sums, FitError> {
    let d = past.centre.len();
    let m = order * d;
    let mut sums =
        Sums { squares: vec![0.0; m * m], products: vec![0.0; d * m], n: 0.0, n_of: vec![0.0; d] };
    let n = past.rows.grid.len;
    linear::each_row(order.min(n)..n, context, |i| {
        if past.rows.row(i).iter().all(|v| v.is_nan()) {
            return;
        }
        let x = past.before(i, order);
        sums.n += 1.0;
        for a in 0..m {
            let row = &mut sums.squares[a * m..][..=a];
            row.iter_mut().zip(&x).for_each(|(sum, b)| *sum += x[a] * b);
        }
        for j in 0..d {
            let y = past.centred(i, j);
            if !y.is_nan() {
                sums.n_of[j] += 1.0;
                let row = &mut sums.products[j * m..][..m];
                row.iter_mut().zip(&x).for_each(|(sum, b)| *sum += y * b);
            }
        }
    })?;
    Ok(sums)
}

/// The coefficients of (X′X ⁄ n + ridge · 1) a = X′y ⁄ n for each column, y where it is not a gap.
fn solve(sums: Sums, ridge: f64) -> Vec<f64> {
    let Sums { mut squares, mut products, n, n_of } = sums;
    let d = n_of.len();
    let m = products.len() / d;
    for a in 0..m {
        for b in 0..=a {
            squares[a * m + b] /= n.max(1.0);
            squares[b * m + a] = squares[a * m + b];
        }
        squares[a * m + a] += ridge.max(1e-9);
    }
    let cholesky = Cholesky::new(&squares, m);
    for (own, n) in products.chunks_mut(m.max(1)).zip(&n_of) {
        own.iter_mut().for_each(|product| *product /= n.max(1.0));
        match &cholesky {
            Some(cholesky) => cholesky.solve(own),
            None => own.fill(0.0),
        }
    }
    products
}

//! The coefficients and the covariance of what they leave.

use super::Config;
use super::MOST_ORDER;
use super::Past;
use super::Var;
use crate::detect::FitContext;
use crate::detect::FitError;
use crate::detect::linear;
use crate::math::linear::Cholesky;
use crate::series::Window;

/// How much of the covariances between columns is left out: of few rows they are mostly noise.
const SHRINKAGE: f64 = 0.1;
/// A residual counts for no more of its column's usual ones.
const WILD: f64 = 4.0;

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
    let rows = linear::near(train, &live);
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
        covariance: Vec::new(),
        whole: None,
        centre: centre.clone(),
        live,
    };
    let mut residuals = vec![Vec::new(); d];
    linear::each_row(order.min(rows.grid.len)..rows.grid.len, context, |i| {
        for (all, own) in residuals.iter_mut().zip(model.residuals(&past, i)) {
            all.push(own);
        }
    })?;
    model.covariance = covariance(&residuals);
    Ok(model.prepared())
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

/// The covariance of residuals, column by column, in robust scales, shrunk towards its diagonal.
fn covariance(residuals: &[Vec<f64>]) -> Vec<f64> {
    let scale = |column: &Vec<f64>| linear::usual(column.iter().copied());
    let scales: Vec<f64> = residuals.iter().map(scale).collect();
    let unit = |(column, scale): (&Vec<f64>, &f64)| -> Vec<f64> {
        column.iter().map(|r| (r / scale).clamp(-WILD, WILD)).collect()
    };
    let units: Vec<Vec<f64>> = residuals.iter().zip(&scales).map(unit).collect();
    let d = scales.len();
    let mut covariance = vec![0.0; d * d];
    for a in 0..d {
        for b in 0..a {
            let both = units[a].iter().zip(&units[b]).filter(|(x, y)| !x.is_nan() && !y.is_nan());
            let (sum, x, y) = both.fold((0.0, 0.0, 0.0), |(sum, xx, yy), (x, y)| {
                (sum + x * y, xx + x * x, yy + y * y)
            });
            let correlation = sum / (x * y).sqrt().max(f64::MIN_POSITIVE);
            let value = (1.0 - SHRINKAGE) * correlation * scales[a] * scales[b];
            covariance[a * d + b] = value;
            covariance[b * d + a] = value;
        }
        covariance[a * d + a] = scales[a] * scales[a];
    }
    match Cholesky::new(&covariance, d) {
        Some(_) => covariance,
        // Pairs of columns with gaps of their own need not agree with each other.
        None => (0..d * d).map(|at| if at / d == at % d { covariance[at] } else { 0.0 }).collect(),
    }
}

//! The most likely ARIMA with regressors of rows that are not all believed.
//!
//! Owns: differences, the order with the best AICc, which rows are left out. Does not own: one fit
//! (`math::statespace`), units and scales (`sarimax`).
//!
//! Differences are taken of rows and regressors, which leaves nothing of a constant: it is put back as
//! the median of what the other regressors leave, where a series whose rows are all missing is
//! expected to be.

use crate::detect::FitContext;
use crate::detect::FitError;
use crate::detect::sarimax::belief;
use crate::detect::sarimax::belief::Belief;
use crate::math::statespace;
use crate::math::statespace::Arima;
use crate::math::statespace::Begin;
use crate::math::statespace::Columns;
use crate::math::statespace::Fit;
use crate::math::statespace::Order;
use crate::math::statespace::Start;
use crate::math::statespace::Tracker;
use crate::math::stats;

/// Where more than this share of the rows is not believed, it is the fit that is wrong.
const MOST_UNBELIEVED: f64 = 0.2;
/// Variance of a level of which nothing is known.
const UNKNOWN: f64 = 1e6;

/// What was learnt, in units of the rows.
pub(super) struct Learnt {
    pub(super) order: Order,
    /// The first regressor is the constant.
    pub(super) fit: Fit,
    /// Standard deviation of the levels around what the regressors say of them.
    pub(super) spread: f64,
    /// How far the ARMA's rows, differences if any are taken, are from zero.
    pub(super) reach: f64,
}

/// The fit of the best order, the rows that it does not believe left out.
///
/// # Errors
/// Differences leave too few rows with data, or it was stopped.
pub(super) fn learn(
    rows: &[f64],
    columns: &mut Columns,
    orders: &[Order],
    previous: Option<&(Order, Start)>,
    context: &FitContext<'_>,
) -> Result<Learnt, FitError> {
    let mut best: Option<(Order, Fit)> = None;
    for order in orders {
        let lengths = [order.n_parameters(), columns.n()];
        let fits = |start: &&Start| [start.parameters.len(), start.beta.len()] == lengths;
        let warm = previous.filter(|(of, _)| of == order).map(|(_, start)| start).filter(fits);
        let from = warm.map_or(Begin::Anywhere, Begin::Earlier);
        let fit = most_likely(rows, columns, order, from, context)?;
        if best.as_ref().is_none_or(|(_, best)| fit.aicc() < best.aicc()) {
            best = Some((*order, fit));
        }
    }
    let (order, first) = best.ok_or(FitError::Diverged)?;
    let left = left(rows, columns, &first.beta);
    let Some(believed) = believed(rows, &left, &order, &first) else {
        return Ok(learnt(order, first, left));
    };
    let warm = Start { parameters: first.parameters.clone(), beta: first.beta.clone() };
    let fit = match most_likely(&believed, columns, &order, Begin::Here(&warm), context) {
        // Differences refer to rows that are now left out, too.
        Err(FitError::TooFewRows { .. }) => first,
        fit => fit?,
    };
    let left = self::left(&believed, columns, &fit.beta);
    Ok(learnt(order, fit, left))
}

/// What else is to be known of a fit: of what its regressors leave of the rows that it believes.
fn learnt(order: Order, fit: Fit, left: Vec<f64>) -> Learnt {
    let reach = reach(&order, &left);
    Learnt { spread: spread(&order, left), reach, order, fit }
}

/// The fit of one order.
fn most_likely(
    rows: &[f64],
    columns: &mut Columns,
    order: &Order,
    from: Begin<'_>,
    context: &FitContext<'_>,
) -> Result<Fit, FitError> {
    if order.n_lost() > 0 {
        let (have, want) = (statespace::n_known(rows, order), 2 * columns.n() + 8);
        if have < want {
            return Err(FitError::TooFewRows { have, want });
        }
    }
    let fit = statespace::fit(rows, columns, order, from, context.keep_going);
    let mut fit = fit.ok_or(FitError::Stopped)?;
    if order.n_lost() == 0 {
        return Ok(fit);
    }
    if let Some(constant) = fit.beta.first_mut() {
        *constant = 0.0;
        let centre = stats::median(left(rows, columns, &fit.beta));
        fit.beta[0] = if centre.is_finite() { centre } else { 0.0 };
    }
    Ok(fit)
}

/// What the regressors leave of the rows.
fn left(rows: &[f64], columns: &Columns, beta: &[f64]) -> Vec<f64> {
    rows.iter().enumerate().map(|(i, y)| y - columns.explained(i, beta)).collect()
}

/// How far the levels are from zero; zero where nobody asks.
fn spread(order: &Order, left: Vec<f64>) -> f64 {
    if order.n_lost() == 0 {
        return 0.0;
    }
    let spread = stats::SIGMA_PER_MAD * stats::mad(left, 0.0);
    if spread.is_finite() { spread } else { 0.0 }
}

/// How far the ARMA's rows are from zero.
fn reach(order: &Order, left: &[f64]) -> f64 {
    if order.n_lost() == 0 {
        return belief::reach(left);
    }
    belief::reach(&statespace::differenced(left, order))
}

/// The rows without those whose forecast error is far beyond the usual; `None` where all are believed.
fn believed(rows: &[f64], left: &[f64], order: &Order, fit: &Fit) -> Option<Vec<f64>> {
    let arima = Arima::new(order, &fit.parameters);
    let reach = reach(order, left);
    let (before, left) = left.split_at(order.n_lost().min(left.len()));
    // Forecast errors in units of their standard deviation, and whether they are believed.
    let follow = |sigma: f64| -> Vec<(f64, bool)> {
        let belief = Belief { sigma, reach };
        let mut tracker = Tracker::new(&arima, before, UNKNOWN);
        let next = |&y: &f64| {
            let (forecast, variance) = tracker.forecast();
            let believed = belief.covers(&arima, &tracker, y);
            tracker.step(Some(y).filter(|_| believed));
            ((y - forecast) / variance.sqrt(), believed)
        };
        left.iter().map(next).collect()
    };
    let units = follow(f64::INFINITY).into_iter().map(|(unit, _)| unit);
    let sigma = stats::SIGMA_PER_MAD * stats::mad(units, 0.0);
    let sigma = if sigma > 0.0 { sigma } else { fit.variance.sqrt() };
    let followed = follow(sigma);
    let strange = |(unit, believed): &(f64, bool)| !believed && !unit.is_nan();
    let n = followed.iter().filter(|row| strange(row)).count();
    if n == 0 || n as f64 > MOST_UNBELIEVED * fit.n as f64 {
        return None;
    }
    let mut believed = rows.to_vec();
    let after = believed[before.len()..].iter_mut().zip(&followed);
    after.filter(|(_, row)| strange(row)).for_each(|(y, _)| *y = f64::NAN);
    Some(believed)
}

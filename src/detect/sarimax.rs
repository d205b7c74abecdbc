//! Distance to the forecast of a regression whose errors are an ARMA (SARIMAX).
//!
//! Owns: its settings, its fit. Does not own: likelihood and search (`math::statespace`), scoring
//! (`fitted`).
//!
//! By default the clock is in the regressors, harmonics of the local day and week, and the ARMA(2, 1) on
//! top of them is small: dynamic harmonic regression (Hyndman and Athanasopoulos, Forecasting, 10.5).
//! Against (1,0,1)(1,0,1,48) it costs a fifteenth and forecasts no worse. Rows that the first fit did
//! not believe are missing from the second.

use std::sync::OnceLock;

use serde::Deserialize;
use serde::Serialize;

use crate::detect::FitContext;
use crate::detect::FitError;
use crate::detect::Model;
use crate::detect::Parts;
use crate::detect::RestoreError;
use crate::detect::Tensors;
use crate::detect::averaged;
use crate::detect::averaged::averaged;
use crate::detect::sarimax::fitted::BELIEVED;
use crate::detect::sarimax::fitted::Fitted;
use crate::detect::sarimax::fitted::HOURS;
use crate::detect::sarimax::fitted::MAX_STATES;
use crate::detect::sarimax::fitted::Meta;
use crate::detect::sarimax::fitted::NAME;
use crate::detect::sarimax::regressors::Regressors;
use crate::detect::sarimax::regressors::moments;
use crate::detect::seasonal_median::profile;
use crate::math::statespace;
use crate::math::statespace::Arma;
use crate::math::statespace::Columns;
use crate::math::statespace::Fit;
use crate::math::statespace::Gains;
use crate::math::statespace::Order;
use crate::math::statespace::Start;
use crate::math::statespace::Tracker;
use crate::math::stats;
use crate::series::Window;

mod fitted;
mod regressors;

const DAY_S: i64 = 86_400;
/// Rows further from the median, in robust standard deviations, are left out from the beginning.
const FURTHEST: f64 = 1e6;
/// Values further from zero are taken for damage.
const LARGEST: f64 = 1e100;
/// Smallest scale, in preprocessed units: smaller effects are noise.
const MIN_SCALE: f64 = 0.05;
/// Where more than this share of the rows is not believed, it is the fit that is wrong.
const MOST_UNBELIEVED: f64 = 0.2;

/// How SARIMAX is set up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `[p, d, q]`, or `auto`: the p and q of 0..=2 with the best AICc.
    pub order: Orders,
    /// `[P, D, Q]` over `season_s`.
    pub seasonal: [usize; 3],
    /// Length of the seasonal order's season in seconds. Beyond some 250 rows (a day of 6 minutes each)
    /// the season is left to the harmonics.
    pub season_s: i64,
    /// Harmonics of the local day.
    pub daily: usize,
    /// Harmonics of the local week.
    pub weekly: usize,
    /// Whether weekends have a level of their own, beside the week's harmonics.
    pub weekend: bool,
    /// How far ahead a row is forecast. Shorter, and an anomaly is expected once it lasts longer.
    pub horizon_s: i64,
    /// Newest points whose deviations are averaged; 1 judges each by itself. By default 4 where points are
    /// a quarter of an hour apart or more, else 1.
    pub mean_of: Option<usize>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            order: Orders::Fixed([2, 0, 1]),
            seasonal: [0, 0, 0],
            season_s: DAY_S,
            daily: 6,
            weekly: 6,
            weekend: false,
            horizon_s: DAY_S,
            mean_of: None,
        }
    }
}

/// Orders of the ARMA, or how they are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Orders {
    /// As given: p, d, q.
    Fixed([usize; 3]),
    /// By search.
    Searched(Search),
}

/// How orders are searched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Search {
    /// p and q of 0..=2, the best AICc.
    Auto,
}

impl Config {
    /// What is wrong with the settings, if anything is.
    pub(in crate::detect) fn problem(&self) -> Option<String> {
        let [p, d, q] = match self.order {
            Orders::Fixed(order) => order,
            Orders::Searched(Search::Auto) => [2, 0, 2],
        };
        let [seasonal_p, seasonal_d, seasonal_q] = self.seasonal;
        if p.max(q) > 5 || seasonal_p.max(seasonal_q) > 2 {
            return Some("wanted p and q up to 5, P and Q up to 2".to_string());
        }
        if d + seasonal_d > 0 {
            return Some("differences are not forecast yet: wanted d and D of zero".to_string());
        }
        if self.season_s <= 0 || self.horizon_s <= 0 {
            return Some("season_s and horizon_s must be above zero".to_string());
        }
        if self.daily.max(self.weekly) > 100 {
            return Some("wanted at most 100 harmonics".to_string());
        }
        averaged::problem(self.mean_of)
    }

    /// Most rows before the forecast one that are read, of rows every `step_s`.
    pub(in crate::detect) fn most_lookback(&self, step_s: i64) -> usize {
        let seasons = self.orders(step_s).into_iter().map(|order| order.season);
        fitted::lookback(self.horizon(step_s), seasons.max().unwrap_or(0))
    }

    fn horizon(&self, step_s: i64) -> usize {
        (self.horizon_s / step_s).max(1) as usize
    }

    /// The orders to try, for rows at this step.
    fn orders(&self, step_s: i64) -> Vec<Order> {
        let [seasonal_p, _, seasonal_q] = self.seasonal;
        let season = (self.season_s / step_s).max(0) as usize;
        let order = |p: usize, q: usize| {
            let plain = Order::arma(p, q);
            let order = Order { seasonal_p, seasonal_q, season, ..plain };
            let fits = seasonal_p + seasonal_q > 0
                && season > p.max(q)
                && season <= MAX_STATES
                && order.n_states() <= MAX_STATES;
            if fits { order } else { plain }
        };
        match self.order {
            Orders::Fixed([p, _, q]) => vec![order(p, q)],
            Orders::Searched(Search::Auto) => {
                (0..3).flat_map(|p| (0..3).map(move |q| (p, q))).map(|(p, q)| order(p, q)).collect()
            }
        }
    }

    /// The regressors that so many seconds of rows can tell apart.
    fn regressors(&self, span_s: i64, holiday: bool) -> Regressors {
        let weeks = span_s >= 14 * DAY_S;
        Regressors {
            daily: self.daily,
            weekly: if weeks { self.weekly } else { 0 },
            weekend: self.weekend && weeks,
            holiday: holiday && weeks,
        }
    }
}

/// Learns regression, ARMA and scale.
///
/// # Errors
/// The rows with data do not span two days or are fewer than the numbers to be learnt, or it was stopped.
pub(in crate::detect) fn fit(
    config: &Config,
    train: &Window,
    context: &FitContext<'_>,
) -> Result<Box<dyn Model>, FitError> {
    let usable = |y: f64| if y.abs() <= LARGEST { y } else { f64::NAN };
    let values: Vec<f64> = train.column(0).into_iter().map(usable).collect();
    let (first, end, have) = profile::extent(&values).unwrap_or((0, 0, 0));
    let grid = train.grid;
    let span_s = (end - first) as i64 * grid.step_s;
    let moments = moments(context.calendar, grid, first);
    let moments = &moments[..end - first];
    let regressors = config.regressors(span_s, moments.iter().any(|at| at.holiday));
    let two_days = (2 * DAY_S / grid.step_s).max(1) as usize;
    let want = (2 * regressors.n() + 8).min(two_days);
    if span_s < 2 * DAY_S || have < want {
        return Err(FitError::TooFewRows { have, want: want.max(two_days) });
    }
    let mut columns = Columns::zero(end - first, regressors.n());
    for (row, &at) in moments.iter().enumerate() {
        regressors.write(at, columns.row_mut(row));
    }
    let unit = Unit::of(&values[first..end]);
    let rows = unit.apply(&values[first..end]);
    let previous = context.previous.and_then(|parts| previous(parts, &unit));
    let orders = config.orders(grid.step_s);
    let (order, fit) = best(&rows, &mut columns, &orders, previous.as_ref(), context)?;
    let meta = Meta {
        detector: NAME.to_string(),
        order,
        regressors,
        calendar: context.calendar.clone(),
        step_s: grid.step_s,
        horizon: config.horizon(grid.step_s),
    };
    let fitted = finished(meta, fit, &unit, train, &values)?;
    Ok(averaged(fitted, config.mean_of, grid.step_s))
}

/// The model that [`Model::parts`] came from.
///
/// # Errors
/// The parts are not those of this detector.
pub(in crate::detect) fn restore(parts: Parts) -> Result<Box<dyn Model>, RestoreError> {
    averaged::restore(parts, Fitted::restore)
}

/// The fit of the best order, the rows that it does not believe left out.
fn best(
    rows: &[f64],
    columns: &mut Columns,
    orders: &[Order],
    previous: Option<&Start>,
    context: &FitContext<'_>,
) -> Result<(Order, Fit), FitError> {
    let mut best: Option<(Order, Fit)> = None;
    for order in orders {
        let enough =
            |start: &&Start| start.parameters.len() == order.n_parameters() && orders.len() == 1;
        let warm = previous.filter(enough).filter(|start| start.beta.len() == columns.n());
        let fit = statespace::fit(rows, columns, order, warm, context.keep_going);
        let fit = fit.ok_or(FitError::Stopped)?;
        if best.as_ref().is_none_or(|(_, best)| fit.aicc() < best.aicc()) {
            best = Some((*order, fit));
        }
    }
    let (order, first) = best.ok_or(FitError::Diverged)?;
    let left: Vec<f64> =
        rows.iter().enumerate().map(|(i, y)| y - columns.explained(i, &first.beta)).collect();
    let Some(believed) = believed(rows, &left, &order, &first) else {
        return Ok((order, first));
    };
    let warm = Start { parameters: first.parameters, beta: first.beta };
    let fit = statespace::fit(&believed, columns, &order, Some(&warm), context.keep_going);
    Ok((order, fit.ok_or(FitError::Stopped)?))
}

/// The rows without those whose forecast error is far beyond the usual; `None` where all are believed.
fn believed(rows: &[f64], left: &[f64], order: &Order, fit: &Fit) -> Option<Vec<f64>> {
    let arma = Arma::new(order, &fit.parameters);
    let gains = Gains::new(&arma, true);
    let follow = |limit: f64| {
        let mut tracker = Tracker::new(&arma, gains.clone());
        let mut units = Vec::with_capacity(left.len());
        for &y in left {
            let (forecast, variance) = tracker.forecast();
            let unit = (y - forecast) / variance.sqrt();
            tracker.step(Some(y).filter(|_| unit.abs() <= limit));
            units.push(unit);
        }
        units
    };
    let units = follow(f64::INFINITY);
    let sigma = stats::SIGMA_PER_MAD * stats::mad(units, 0.0);
    let sigma = if sigma > 0.0 { sigma } else { fit.variance.sqrt() };
    let units = follow(BELIEVED * sigma);
    let strange = |unit: &f64| unit.abs() > BELIEVED * sigma;
    let n = units.iter().filter(|unit| strange(unit)).count();
    if n == 0 || n as f64 > MOST_UNBELIEVED * fit.n as f64 {
        return None;
    }
    let row = |(y, unit): (&f64, &f64)| if strange(unit) { f64::NAN } else { *y };
    Some(rows.iter().zip(&units).map(row).collect())
}

/// The model in units of the rows, with the scale of its forecast errors.
fn finished(
    meta: Meta,
    fit: Fit,
    unit: &Unit,
    train: &Window,
    values: &[f64],
) -> Result<Fitted, FitError> {
    let mut beta: Vec<f64> = fit.beta.iter().map(|b| b * unit.scale).collect();
    beta[0] += unit.centre;
    let sigma = (fit.variance.sqrt() * unit.scale).max(f64::MIN_POSITIVE);
    if !fit.parameters.iter().chain(&beta).chain([&sigma]).all(|v| v.is_finite()) {
        return Err(FitError::Diverged);
    }
    let scale = vec![1.0; HOURS];
    let parameters = fit.parameters;
    let mut model = Fitted { meta, parameters, beta, sigma, scale, ready: OnceLock::new() };
    let mut errors: Vec<Vec<f64>> = vec![Vec::new(); HOURS];
    let rows = model.centres(train, 0).into_iter().zip(values);
    for ((centre, hour), value) in rows.filter(|(_, value)| value.is_finite()) {
        errors[hour].push((value - centre).abs());
    }
    let scales = profile::group_scales(&mut errors);
    model.scale = scales.into_iter().map(|s| s.clamp(MIN_SCALE, f64::MAX)).collect();
    Ok(model)
}

/// Where the previous model ended, if its numbers can be read.
fn previous(parts: &Parts, unit: &Unit) -> Option<Start> {
    let mut tensors = Tensors::new(parts.tensors.clone()).ok()?;
    let parameters = tensors.take_flat("parameters").ok()?;
    let mut beta: Vec<f64> = tensors.take_flat("beta").ok()?;
    *beta.first_mut()? -= unit.centre;
    beta.iter_mut().for_each(|b| *b /= unit.scale);
    let small = beta.iter().all(|b| b.abs() < FURTHEST);
    small.then_some(Start { parameters, beta })
}

/// Centre and scale of the rows, so that no square overflows or vanishes.
struct Unit {
    centre: f64,
    scale: f64,
}

impl Unit {
    fn of(values: &[f64]) -> Unit {
        let sorted = stats::sorted(values.iter().copied());
        let at = |q| stats::quantile(&sorted, q);
        let spreads =
            [(at(0.75) - at(0.25)) / 1.349, (at(0.95) - at(0.05)) / 3.29, at(1.0) - at(0.0)];
        let scale = spreads.into_iter().find(|&s| s > f64::MIN_POSITIVE).unwrap_or(1.0);
        Unit { centre: at(0.5), scale }
    }

    fn apply(&self, values: &[f64]) -> Vec<f64> {
        let unit = |y: &f64| (y - self.centre) / self.scale;
        let near = |y: f64| if y.abs() <= FURTHEST { y } else { f64::NAN };
        values.iter().map(|y| near(unit(y))).collect()
    }
}

#[cfg(test)]
mod tests;

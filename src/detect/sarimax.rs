//! Distance to the forecast of a regression whose errors are an ARMA (SARIMAX).
//!
//! Owns: its settings, what of the rows goes into a fit. Does not own: which rows a fit believes
//! (`learn`), likelihood and search (`math::statespace`), scoring (`fitted`).
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
use crate::detect::sarimax::fitted::Centre;
use crate::detect::sarimax::fitted::Fitted;
use crate::detect::sarimax::fitted::HOURS;
use crate::detect::sarimax::fitted::MAX_D;
use crate::detect::sarimax::fitted::MAX_OTHERS;
use crate::detect::sarimax::fitted::MAX_SEASONAL_D;
use crate::detect::sarimax::fitted::MAX_STATES;
use crate::detect::sarimax::fitted::Meta;
use crate::detect::sarimax::fitted::NAME;
use crate::detect::sarimax::learn::Learnt;
use crate::detect::sarimax::others::Others;
use crate::detect::sarimax::regressors::Regressors;
use crate::detect::sarimax::regressors::moments;
use crate::detect::seasonal_median::profile;
use crate::math::calendar::DAY_S;
use crate::math::statespace::Columns;
use crate::math::statespace::Order;
use crate::math::statespace::Start;
use crate::math::stats;
use crate::series::Window;

mod belief;
mod fitted;
mod learn;
mod others;
mod regressors;

/// Rows further from the median, in robust standard deviations, are left out from the beginning.
const FURTHEST: f64 = 1e6;
/// Values further from zero are taken for damage.
const LARGEST: f64 = 1e100;
/// Smallest scale, in preprocessed units: smaller effects are noise.
const MIN_SCALE: f64 = 0.05;

/// How SARIMAX is set up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `[p, d, q]`, or `auto`: the p and q of 0..=2 with the best AICc, and d of 0.
    pub order: Orders,
    /// `[P, D, Q]` over `season_s`. Harmonics and levels that come back every season are no regressors
    /// beside a D.
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
    /// Other features of the watch, by name, that this one is regressed on; of a model of one of them, the
    /// rest.
    pub regressors: Vec<String>,
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
            regressors: Vec::new(),
            mean_of: None,
        }
    }
}

/// Orders of the ARMA, or how they are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "order: wanted [p, d, q] or auto")]
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
        let [p, d, q] = self.largest();
        let [seasonal_p, seasonal_d, seasonal_q] = self.seasonal;
        if p.max(q) > 5 || seasonal_p.max(seasonal_q) > 2 {
            return Some("wanted p and q up to 5, P and Q up to 2".to_string());
        }
        if d > MAX_D || seasonal_d > MAX_SEASONAL_D {
            return Some(format!("wanted d up to {MAX_D}, D up to {MAX_SEASONAL_D}"));
        }
        if self.season_s <= 0 || self.horizon_s <= 0 {
            return Some("season_s and horizon_s must be above zero".to_string());
        }
        if self.regressors.len() > MAX_OTHERS {
            return Some(format!("wanted at most {MAX_OTHERS} regressors"));
        }
        if self.daily.max(self.weekly) > 100 {
            return Some("wanted at most 100 harmonics".to_string());
        }
        averaged::problem(self.mean_of)
    }

    /// Most rows before the forecast one that are read, of rows every `step_s`.
    pub(in crate::detect) fn most_lookback(&self, step_s: i64) -> usize {
        let horizon = self.horizon(step_s);
        let orders = self.orders(step_s).into_iter();
        orders.map(|order| fitted::lookback(horizon, &order)).max().unwrap_or(horizon)
    }

    fn horizon(&self, step_s: i64) -> usize {
        (self.horizon_s / step_s).max(1) as usize
    }

    /// The largest p, d and q to try.
    fn largest(&self) -> [usize; 3] {
        match self.order {
            Orders::Fixed(order) => order,
            Orders::Searched(Search::Auto) => [2, 0, 2],
        }
    }

    /// The orders to try, for rows at this step.
    fn orders(&self, step_s: i64) -> Vec<Order> {
        let [seasonal_p, seasonal_d, seasonal_q] = self.seasonal;
        let season = (self.season_s / step_s).max(0) as usize;
        let seasonal =
            |[p, d, q]: [usize; 3]| Order { p, d, q, seasonal_p, seasonal_d, seasonal_q, season };
        // Of all or of none: likelihoods of other differences cannot be compared.
        let [p, _, q] = self.largest();
        let fits = seasonal_p + seasonal_d + seasonal_q > 0
            && season > p.max(q)
            && season <= MAX_STATES
            && seasonal(self.largest()).n_states() <= MAX_STATES;
        let order = |pdq: [usize; 3]| {
            let [p, d, q] = pdq;
            if fits { seasonal(pdq) } else { Order { d, ..Order::arma(p, q) } }
        };
        match self.order {
            Orders::Fixed(pdq) => vec![order(pdq)],
            Orders::Searched(Search::Auto) => {
                (0..3).flat_map(|p| (0..3).map(move |q| [p, 0, q])).map(order).collect()
            }
        }
    }

    /// The regressors that so many seconds of rows can tell apart, less those that differences between
    /// seasons of `season_s` take away.
    fn regressors(&self, span_s: i64, holiday: bool, season_s: Option<i64>) -> Regressors {
        let weeks = span_s >= 14 * DAY_S;
        let left = |period_s: i64| season_s.is_none_or(|season_s| season_s % period_s != 0);
        Regressors {
            daily: if left(DAY_S) { self.daily } else { 0 },
            weekly: if weeks && left(7 * DAY_S) { self.weekly } else { 0 },
            weekend: self.weekend && weeks && left(7 * DAY_S),
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
    let orders = config.orders(grid.step_s);
    let apart = orders.iter().find(|order| order.seasonal_d > 0);
    let season_s = apart.map(|order| order.season as i64 * grid.step_s);
    let regressors = config.regressors(span_s, moments.iter().any(|at| at.holiday), season_s);
    let two_days = (2 * DAY_S / grid.step_s).max(1) as usize;
    let others = Others::of(train, have);
    let n_columns = regressors.n() + others.n();
    let want = (2 * n_columns + 8).min(two_days);
    if span_s < 2 * DAY_S || have < want {
        return Err(FitError::TooFewRows { have, want: want.max(two_days) });
    }
    let unit = Unit::of(&values[first..end]);
    let mut rows = unit.apply(&values[first..end]);
    let mut columns = Columns::zero(end - first, n_columns);
    for (row, &at) in moments.iter().enumerate() {
        let (clock, rest) = columns.row_mut(row).split_at_mut(regressors.n());
        regressors.write(at, clock);
        if !others.write(train.row(first + row), rest) {
            rows[row] = f64::NAN;
        }
    }
    let seen = rows.iter().filter(|y| !y.is_nan()).count();
    if others.n() > 0 && seen < want {
        return Err(FitError::TooFewRows { have: seen, want });
    }
    let previous = context.previous.and_then(|parts| previous(parts, &unit));
    let learnt = learn::learn(&rows, &mut columns, &orders, previous.as_ref(), context)?;
    let meta = Meta {
        detector: NAME.to_string(),
        order: learnt.order,
        regressors,
        others: others.n(),
        calendar: context.calendar.clone(),
        step_s: grid.step_s,
        horizon: config.horizon(grid.step_s),
    };
    let fitted = finished(meta, learnt, others, &unit, train)?;
    Ok(averaged(fitted, config.mean_of, grid.step_s))
}

/// The model that [`Model::parts`] came from.
///
/// # Errors
/// The parts are not those of this detector.
pub(in crate::detect) fn restore(parts: Parts) -> Result<Box<dyn Model>, RestoreError> {
    averaged::restore(parts, Fitted::restore)
}

/// The model in units of the rows, with the scale of its forecast errors.
fn finished(
    meta: Meta,
    learnt: Learnt,
    others: Others,
    unit: &Unit,
    train: &Window,
) -> Result<Fitted, FitError> {
    let Learnt { fit, spread, reach, .. } = learnt;
    let mut beta: Vec<f64> = fit.beta.iter().map(|b| b * unit.scale).collect();
    beta[0] += unit.centre;
    let sigma = fit.variance.sqrt() * unit.scale;
    let (spread, reach) = (spread * unit.scale, reach * unit.scale);
    let scales = [sigma, spread, reach];
    if !fit.parameters.iter().chain(&beta).chain(&scales).all(|v| v.is_finite()) {
        return Err(FitError::Diverged);
    }
    let sigma = sigma.max(f64::MIN_POSITIVE);
    let scale = vec![1.0; HOURS];
    let parameters = fit.parameters;
    let ready = OnceLock::new();
    let mut model = Fitted { meta, parameters, beta, others, sigma, spread, reach, scale, ready };
    let mut errors: Vec<Vec<f64>> = vec![Vec::new(); HOURS];
    let rows = model.centres(train, 0).into_iter().zip(train.column(0));
    let known = |(centre, y): &(Centre, f64)| y.abs() <= LARGEST && centre.unseen == 0.0;
    for (centre, y) in rows.filter(known) {
        errors[centre.hour].push((y - centre.expected).abs() / centre.wider);
    }
    let scales = profile::group_scales(&mut errors);
    model.scale = scales.into_iter().map(|s| s.clamp(MIN_SCALE, f64::MAX)).collect();
    Ok(model)
}

/// Where the previous model ended, and of which order it was, if its numbers can be read.
fn previous(parts: &Parts, unit: &Unit) -> Option<(Order, Start)> {
    // Within what an average keeps of its own.
    let meta = parts.meta.get("of").unwrap_or(&parts.meta);
    let order = Order::deserialize(meta.get("order")?).ok()?;
    let mut tensors = Tensors::new(parts.tensors.clone()).ok()?;
    let parameters = tensors.take_flat("parameters").ok()?;
    let mut beta: Vec<f64> = tensors.take_flat("beta").ok()?;
    *beta.first_mut()? -= unit.centre;
    beta.iter_mut().for_each(|b| *b /= unit.scale);
    let small = beta.iter().all(|b| b.abs() < FURTHEST);
    small.then_some((order, Start { parameters, beta }))
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

//! The fitted model, and how it scores.
//!
//! Owns: both. Does not own: the fit.
//!
//! A row is forecast from what was known one horizon (a day) before it: the regression, and what the ARMA
//! remembers. The forecast of one step would follow a lasting anomaly after its first row.
//! Where differences are taken, the forecast starts from the levels of the newest rows; those that are
//! missing or not believed are forecasts themselves, and where gaps leave a forecast less certain than
//! usual, the scale is wider by as much.
//! The ARMA's states begin at an anchor, one of absolute times a few dozen rows apart, and warm up over
//! the rows before it: a row's score is the same whatever comes with it, bit by bit.

use std::sync::OnceLock;

use serde::Deserialize;
use serde::Serialize;

use crate::detect::Forecast;
use crate::detect::Model;
use crate::detect::Parts;
use crate::detect::Raw;
use crate::detect::RestoreError;
use crate::detect::Tensor;
use crate::detect::Tensors;
use crate::detect::sarimax::LARGEST;
use crate::detect::sarimax::belief::BELIEVED;
use crate::detect::sarimax::belief::Belief;
use crate::detect::sarimax::others::Others;
use crate::detect::sarimax::regressors::Moment;
use crate::detect::sarimax::regressors::Regressors;
use crate::detect::sarimax::regressors::moments;
use crate::math::calendar::Calendar;
use crate::math::statespace::Ahead;
use crate::math::statespace::Arima;
use crate::math::statespace::Order;
use crate::math::statespace::Tracker;
use crate::math::stats;
use crate::series::Window;

pub(super) const NAME: &str = "sarimax";
/// Hours of a day: each has its own scale.
pub(super) const HOURS: usize = 24;
/// Rows between two anchors, at least.
const ANCHOR_ROWS: usize = 32;
/// Most states of a model.
pub(super) const MAX_STATES: usize = 256;
/// Most features that one is regressed on.
pub(super) const MAX_OTHERS: usize = 16;
/// Most differences of neighbours, and of seasons.
pub(super) const MAX_D: usize = 2;
pub(super) const MAX_SEASONAL_D: usize = 1;
const MAX_HORIZON: usize = 200_000;
const MAX_HARMONICS: usize = 400;
const HOUR_S: i64 = 3_600;
const WEEK_S: i64 = 7 * 86_400;
/// Most rows of a week whose means are kept at hand.
const MAX_TABLE: i64 = 2_016;
/// Most variance of a level of which nothing is known, in units of the innovations': sums with 1 still
/// have digits.
const MOST_UNKNOWN: f64 = 1e9;
/// A level that was not seen may be so many times as far from the regression's as in training: that
/// levels wander is why differences are taken.
const LEVELS_WANDER: f64 = 100.0;
/// Rows, its own among them, whose median says whether a level is one.
const NEIGHBOURS: usize = 5;

/// What is stored beside the tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Meta {
    pub(super) detector: String,
    pub(super) order: Order,
    pub(super) regressors: Regressors,
    /// How many other features.
    #[serde(default, skip_serializing_if = "is_none")]
    pub(super) others: usize,
    pub(super) calendar: Calendar,
    pub(super) step_s: i64,
    /// Rows from the last one that a forecast knows to the one it is of.
    pub(super) horizon: usize,
}

/// Models without are stored as they were before there were others.
fn is_none(n: &usize) -> bool {
    *n == 0
}

/// A fitted model.
pub(super) struct Fitted {
    pub(super) meta: Meta,
    /// AR, MA, seasonal AR, seasonal MA.
    pub(super) parameters: Vec<f64>,
    /// One per regressor: those of the clock, then other features.
    pub(super) beta: Vec<f64>,
    pub(super) others: Others,
    /// Standard deviation of the innovations.
    pub(super) sigma: f64,
    /// Standard deviation of the levels around the regression's; of use to differences only.
    pub(super) spread: f64,
    /// How far the ARMA's rows were from zero in training.
    pub(super) reach: f64,
    /// Scale of the forecast errors by local hour.
    pub(super) scale: Vec<f64>,
    /// What follows from the above; not made before it is needed.
    pub(super) ready: OnceLock<Ready>,
}

/// What scoring needs at hand.
pub(super) struct Ready {
    arima: Arima,
    /// The forecast at the horizon.
    ahead: Ahead,
    /// How far from a row the next may be, in standard deviations of the innovations.
    near: f64,
    /// Means by row of the local week, on days of work; empty where there are too many.
    table: Vec<f64>,
}

/// Rows between two anchors.
fn anchor_rows(order: &Order) -> usize {
    ANCHOR_ROWS.max(order.season)
}

/// Rows before the forecast one that are read.
pub(super) fn lookback(horizon: usize, order: &Order) -> usize {
    horizon + 2 * anchor_rows(order) + order.n_lost()
}

/// The forecast of a row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Centre {
    pub(super) expected: f64,
    /// How much less certain than usual it is, by standard deviations: 1 or more.
    pub(super) wider: f64,
    /// Standard deviation of what missing regressors would have added.
    pub(super) unseen: f64,
    /// The local hour.
    pub(super) hour: usize,
}

impl Fitted {
    /// The model that [`Model::parts`] came from.
    pub(super) fn restore(parts: Parts) -> Result<Fitted, RestoreError> {
        let fail = |what: &str| RestoreError(format!("{NAME}: {what}"));
        let meta: Meta = serde_json::from_value(parts.meta).map_err(|e| fail(&e.to_string()))?;
        if meta.detector != NAME {
            return Err(fail(&format!("the parts are of {:?}", meta.detector)));
        }
        if !meta.is_sensible() {
            return Err(fail("orders, step or horizon are out of range"));
        }
        let mut tensors = Tensors::new(parts.tensors)?;
        let stored = tensors.has("reach");
        let mut take = |name: &str, n: usize| tensors.take::<f64>(name, &[n]);
        let parameters = take("parameters", meta.order.n_parameters())?;
        let beta = take("beta", meta.regressors.n() + meta.others)?;
        let (sigma, scale) = (take("sigma", 1)?[0], take("scale", HOURS)?);
        let spread = if meta.order.n_lost() > 0 { take("spread", 1)?[0] } else { 0.0 };
        // Models of before it was stored go on as they were.
        let reach = if stored { take("reach", 1)?[0] } else { 0.0 };
        let others = match meta.others {
            0 => Others::default(),
            n => Others { centre: take("centres", n)?, scale: take("scales", n)? },
        };
        tensors.end(NAME)?;
        if sigma <= 0.0
            || spread.min(reach) < 0.0
            || scale.iter().any(|&s| s <= 0.0)
            || others.scale.iter().any(|&s| s < 0.0)
        {
            return Err(fail("scales must be above zero"));
        }
        if !meta.order.is_stationary(&parameters) {
            return Err(fail("the parameters are not stationary"));
        }
        let ready = OnceLock::new();
        Ok(Fitted { meta, parameters, beta, others, sigma, spread, reach, scale, ready })
    }

    fn ready(&self) -> &Ready {
        self.ready.get_or_init(|| {
            let arima = Arima::new(&self.meta.order, &self.parameters);
            let ahead = arima.ahead(self.meta.horizon - 1);
            let step_s = self.meta.step_s;
            let few = WEEK_S % step_s == 0 && WEEK_S / step_s <= MAX_TABLE;
            let rows = if few { WEEK_S / step_s } else { 0 };
            let mut scratch = vec![0.0; self.beta.len()];
            let mean = |row: i64| {
                let at = Moment { second_of_week: row * step_s, holiday: false };
                self.meta.regressors.mean(at, &self.beta, &mut scratch)
            };
            let near = arima.ahead(NEIGHBOURS - 1).usual().sqrt();
            Ready { arima, ahead, near, table: (0..rows).map(mean).collect() }
        })
    }

    /// Rows between two anchors.
    fn anchor_rows(&self) -> usize {
        anchor_rows(&self.meta.order)
    }

    /// What the regression says of each moment.
    fn means(&self, ready: &Ready, moments: &[Moment]) -> Vec<f64> {
        let mut scratch = vec![0.0; self.beta.len()];
        let mean = |at: &Moment| {
            let row = at.second_of_week / self.meta.step_s;
            let known = ready.table.get(row as usize);
            let on_row = at.second_of_week % self.meta.step_s == 0;
            match known {
                Some(&mean) if on_row && !(at.holiday && self.meta.regressors.holiday) => mean,
                _ => self.meta.regressors.mean(*at, &self.beta, &mut scratch),
            }
        };
        moments.iter().map(mean).collect()
    }

    /// What the ARIMA knew one horizon before each of the rows `first..` adds to its forecast, and how
    /// much less certain that is than usual. `errors` are rows less their means; the first is at
    /// `start_s`.
    fn remembered(
        &self,
        ready: &Ready,
        errors: &[f64],
        start_s: i64,
        first: usize,
    ) -> Vec<(f64, f64)> {
        let horizon = self.meta.horizon as i64;
        let anchor = self.anchor_rows() as i64;
        // Rows are counted from 1970: what a row sees does not depend on where the window begins.
        let begin = start_s.div_euclid(self.meta.step_s);
        let end = begin + errors.len() as i64 - horizon;
        let mut known = begin + first as i64 - horizon;
        let belief = Belief { sigma: self.sigma, reach: self.reach };
        let mut remembered = Vec::with_capacity((end - known).max(0) as usize);
        while known < end {
            let block = known.div_euclid(anchor) * anchor;
            let last = end.min(block + anchor);
            // Rows before the window were not seen: there the regression is all that is known. So it is
            // until the first row that is seen, which an entity that is not there need not pay for.
            let from = begin.max(block - anchor);
            let (mut tracker, mut seen) = self.tracker(ready, errors, (from - begin) as usize);
            for row in from.min(known)..last {
                let error = usize::try_from(row - begin).ok().and_then(|i| errors.get(i));
                let believed = |error: &f64| belief.covers(&ready.arima, &tracker, *error);
                let error = error.copied().filter(believed);
                seen |= error.is_some();
                if seen {
                    tracker.step(error);
                }
                if row >= known {
                    let (ahead, variance) = tracker.ahead(&ready.ahead);
                    let wider = (variance / ready.ahead.usual()).sqrt().max(1.0);
                    remembered.push((ahead, wider));
                }
            }
            known = last;
        }
        remembered
    }

    /// Before the row `first` of `errors`: the rows that differences refer to are taken for what they
    /// are, unless those after them contradict. And whether any of them was seen.
    fn tracker<'a>(&self, ready: &'a Ready, errors: &[f64], first: usize) -> (Tracker<'a>, bool) {
        let first = first.min(errors.len());
        // A season's rhythm is in its levels: there neighbours need not agree.
        let near = match self.meta.order.seasonal_d {
            0 => BELIEVED * self.sigma * ready.near,
            _ => f64::INFINITY,
        };
        let level = |i: usize| {
            let after = errors[i..errors.len().min(i + NEIGHBOURS)].iter().copied();
            let off = errors[i] - stats::median(after);
            let believed = errors[i].abs() <= LARGEST && off.abs() <= near;
            if believed { errors[i] } else { f64::NAN }
        };
        let begin = first.saturating_sub(ready.arima.n_lost());
        let levels: Vec<f64> = (begin..first).map(level).collect();
        let unknown = (LEVELS_WANDER * self.spread / self.sigma).powi(2).clamp(1.0, MOST_UNKNOWN);
        let seen = levels.iter().any(|level| !level.is_nan());
        (Tracker::new(&ready.arima, &levels, unknown), seen)
    }

    /// Forecasts of the rows `first..`.
    pub(super) fn centres(&self, window: &Window, first: usize) -> Vec<Centre> {
        let grid = window.grid;
        if first >= grid.len {
            return Vec::new();
        }
        let ready = self.ready();
        let from = first.saturating_sub(self.lookback());
        let moments = moments(&self.meta.calendar, grid, from);
        let means = self.means(ready, &moments);
        let others = &self.beta[self.meta.regressors.n()..];
        let explain = |i: usize| self.others.explain(window.row(i), others);
        let explained: Vec<(f64, f64)> = (from..grid.len).map(explain).collect();
        let error = |((mean, (more, variance)), i): ((&f64, &(f64, f64)), usize)| {
            let y = window.row(i).first().copied().unwrap_or(f64::NAN);
            // Nothing is learnt from a row of which part is not known.
            if *variance > 0.0 { f64::NAN } else { y - (mean + more) }
        };
        let errors: Vec<f64> = means.iter().zip(&explained).zip(from..).map(error).collect();
        let remembered = self.remembered(ready, &errors, grid.time(from), first - from);
        let hour = |at: &Moment| (at.second_of_week / HOUR_S) as usize % HOURS;
        let rows = means.iter().zip(&moments).zip(explained).skip(first - from).zip(remembered);
        rows.map(|(((mean, at), (more, variance)), (memory, wider))| Centre {
            expected: mean + more + memory,
            wider,
            unseen: variance.sqrt(),
            hour: hour(at),
        })
        .collect()
    }
}

impl Meta {
    fn is_sensible(&self) -> bool {
        let Order { p, d, q, seasonal_p, seasonal_d, seasonal_q, season } = self.order;
        let small = p.max(q) <= 9 && seasonal_p.max(seasonal_q) <= 3 && season <= MAX_STATES;
        let seasonal = seasonal_p + seasonal_d + seasonal_q > 0;
        let harmonics = self.regressors.daily.max(self.regressors.weekly);
        small
            && (!seasonal || season > p.max(q))
            && self.order.n_states() <= MAX_STATES
            && d <= MAX_D
            && seasonal_d <= MAX_SEASONAL_D
            && harmonics <= MAX_HARMONICS
            && self.others <= MAX_OTHERS
            && self.step_s > 0
            && (1..=MAX_HORIZON).contains(&self.horizon)
    }
}

impl Model for Fitted {
    fn lookback(&self) -> usize {
        lookback(self.meta.horizon, &self.meta.order)
    }

    fn score(&self, window: &Window, first: usize) -> Vec<Raw> {
        let raw = |(centre, i): (Centre, usize)| {
            let y = window.row(i).first().copied().unwrap_or(f64::NAN);
            let scale = (self.scale[centre.hour] * centre.wider).hypot(centre.unseen);
            Forecast::new(centre.expected, scale.min(f64::MAX)).judge(y)
        };
        self.centres(window, first).into_iter().zip(first..).map(raw).collect()
    }

    fn reads(&self, feature: usize) -> bool {
        match feature.checked_sub(1) {
            Some(other) => self.others.scale.get(other).is_some_and(|&scale| scale > 0.0),
            None => true,
        }
    }

    fn parts(&self) -> Parts {
        let mut tensors = vec![
            Tensor::flat("parameters", self.parameters.clone()),
            Tensor::flat("beta", self.beta.clone()),
            Tensor::flat("sigma", vec![self.sigma]),
            Tensor::flat("reach", vec![self.reach]),
            Tensor::flat("scale", self.scale.clone()),
        ];
        if self.meta.order.n_lost() > 0 {
            tensors.push(Tensor::flat("spread", vec![self.spread]));
        }
        if self.meta.others > 0 {
            tensors.push(Tensor::flat("centres", self.others.centre.clone()));
            tensors.push(Tensor::flat("scales", self.others.scale.clone()));
        }
        Parts { meta: serde_json::to_value(&self.meta).unwrap_or_default(), tensors }
    }
}

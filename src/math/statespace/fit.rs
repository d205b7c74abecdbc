//! The parameters under which rows are most likely.
//!
//! Owns: starts, the search. Does not own: one likelihood (`likelihood`).
//!
//! The innovations' variance is concentrated out, and β where it is short and the memory long. Otherwise β and the
//! ARMA's parameters are found in turns: they are asymptotically independent, so two or three turns do, and
//! of the turns of the search, which are many, none touches the regressors.

use crate::math::statespace::arma::Arma;
use crate::math::statespace::arma::Order;
use crate::math::statespace::arma::squash;
use crate::math::statespace::bfgs;
use crate::math::statespace::bfgs::Limits;
use crate::math::statespace::bfgs::Lowest;
use crate::math::statespace::direct::Room;
use crate::math::statespace::likelihood::Errors;
use crate::math::statespace::real::LANES;
use crate::math::statespace::real::Lanes;
use crate::math::statespace::regression::Columns;
use crate::math::statespace::rows::Rows;
use crate::math::statespace::rows::differenced;
use crate::math::statespace::rows::has_digits;
use crate::math::statespace::sound::is_sound;
use crate::math::statespace::starts;

/// Log-likelihood that is not worth another step.
const TOLERANCE: f64 = 1e-6;
const MAX_TURNS: usize = 12;
/// The same while starts are compared.
const ROUGHLY: f64 = 0.1;
/// A start that ended this much above another is not followed further.
const HOPELESS: f64 = 2.0;
/// Regressors up to which every likelihood has the best β.
const FEW_REGRESSORS: usize = 4;
/// How far from zero a free number may go: first as far as a partial autocorrelation is not one, and less far where
/// rounding would have the last word. Within the last there is enough news in a row for any order.
const WALLS: [f64; 8] = [8.3, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0];
/// Where a free number is further from zero, rounding may spoil the fast way to a likelihood, by 1e-3 where a moving
/// average forgets next to nothing: good enough to find a point, not to say how large innovations are.
const NEAR: f64 = 3.5;
/// Filled rows of which more than this share was missing lead elsewhere.
const OTHER_ROWS: f64 = 0.4;

/// Where a search begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Start {
    /// [`Order::n_parameters`] parameters.
    pub parameters: Vec<f64>,
    /// One per regressor.
    pub beta: Vec<f64>,
}

/// How much a start is worth.
#[derive(Debug, Clone, Copy)]
pub enum Begin<'a> {
    /// There is none.
    Anywhere,
    /// Where these rows led to, or nearly these.
    Here(&'a Start),
    /// Where other rows of the series led to: what it was like then need not be what it is like now.
    Earlier(&'a Start),
}

impl<'a> Begin<'a> {
    fn start(self) -> Option<&'a Start> {
        match self {
            Begin::Anywhere => None,
            Begin::Here(start) | Begin::Earlier(start) => Some(start),
        }
    }
}

/// The most likely parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    /// AR, MA, seasonal AR, seasonal MA.
    pub parameters: Vec<f64>,
    /// One per regressor; zero for what others make up.
    pub beta: Vec<f64>,
    /// Variance of the innovations.
    pub variance: f64,
    /// Log-likelihood of the rows that have data, as [`log_likelihood`] has it.
    pub log_likelihood: f64,
    /// How many these are.
    pub n: usize,
}

impl Fit {
    /// Akaike's criterion, corrected for few rows (Hurvich and Tsai 1989): lower is better.
    pub fn aicc(&self) -> f64 {
        let k = (self.parameters.len() + self.beta.len() + 1) as f64;
        let rest = (self.n as f64 - k - 1.0).max(1e-9);
        2.0 * k - 2.0 * self.log_likelihood + 2.0 * k * (k + 1.0) / rest
    }
}

/// How many rows say something of differences: those that have data, less those that say where the levels began.
pub fn n_known(rows: &[f64], order: &Order) -> usize {
    Rows::differences(rows.to_vec(), order).n()
}

/// Log-likelihood of rows at given parameters. Of the levels before the first difference nothing is known (flat, of
/// density 1): without gaps it is that of the differences; statsmodels' with `use_exact_diffuse` is `½·log 2π` lower
/// for each of these levels that rows tell, so for none of a slot of the season that is always missing.
pub fn log_likelihood(
    rows: &[f64],
    columns: &Columns,
    order: &Order,
    at: &Start,
    variance: f64,
) -> f64 {
    let left = if has_whole_differences(rows, order) {
        let (rows, columns) = (differenced(rows, order), columns.differences(order));
        Rows::new(left(&rows, &columns, &at.beta))
    } else {
        Rows::differences(left(rows, columns, &at.beta), order)
    };
    errors(&left, order, &at.parameters).at(left.n(), variance)
}

/// Forecast errors of which a log-likelihood is right to 1e-6. In a search, the fast ways are good enough.
fn errors(left: &Rows, order: &Order, parameters: &[f64]) -> Errors<f64> {
    let arma = Arma::new(order, parameters);
    let is_near = |free: Vec<f64>| free.iter().all(|x| x.abs() <= NEAR);
    if order.free(parameters).is_some_and(is_near) {
        left.errors(&arma, &mut Room::new())
    } else {
        left.filtered(order, parameters)
    }
}

/// Whether no difference is missing: then the rows themselves are not needed.
fn has_whole_differences(rows: &[f64], order: &Order) -> bool {
    order.n_lost() > 0 && !rows.iter().any(|y| y.is_nan())
}

/// What β leaves of the rows.
fn left(rows: &[f64], columns: &Columns, beta: &[f64]) -> Vec<f64> {
    if beta.is_empty() {
        return rows.to_vec();
    }
    rows.iter().enumerate().map(|(i, y)| y - columns.explained(i, beta)).collect()
}

/// The same, or its `differences`.
fn explained(rows: &[f64], columns: &Columns, beta: &[f64], differences: Option<&Order>) -> Rows {
    let left = left(rows, columns, beta);
    match differences {
        Some(order) => Rows::differences(left, order),
        None => Rows::new(left),
    }
}

/// Fits rows (NaN: missing), of which [`n_known`] are known. `None` where `keep_going` said no.
pub fn fit(
    rows: &[f64],
    columns: &mut Columns,
    order: &Order,
    from: Begin<'_>,
    keep_going: &dyn Fn() -> bool,
) -> Option<Fit> {
    if has_whole_differences(rows, order) {
        let (rows, mut less) = (differenced(rows, order), columns.differences(order));
        let search = Search::new(&rows, &mut less, None, order, from.start());
        return most_likely(search, from, keep_going);
    }
    let mut told = columns.told(rows, order);
    let columns = told.as_mut().unwrap_or(columns);
    if order.n_lost() == 0 {
        let search = Search::new(rows, columns, None, order, from.start());
        return most_likely(search, from, keep_going);
    }
    let less = columns.differences(order);
    let mut columns = columns.emptied(&less);
    let search = Search::new(rows, &mut columns, Some(&less), order, from.start());
    most_likely(search, from, keep_going)
}

fn most_likely(
    mut search: Search<'_>,
    from: Begin<'_>,
    keep_going: &dyn Fn() -> bool,
) -> Option<Fit> {
    let order = search.order;
    let has_best_beta = !search.few.is_empty();
    let mut best = search.begin(from, keep_going)?;
    if !search.has_digits {
        best = search.begin(from, keep_going)?;
    }
    best = search.turns(best, keep_going)?;
    // Short memories rarely have a valley that is far from where nearly the same rows led, and are fitted in no time:
    // to ask would be a third of it.
    let sure = match from {
        Begin::Anywhere => true,
        Begin::Here(_) => order.seasonal_p + order.seasonal_q == 0,
        Begin::Earlier(_) => false,
    };
    let beta = search.beta.clone();
    if !sure && search.is_beaten(&best) {
        let other = search.begin(Begin::Anywhere, keep_going)?;
        let other = search.turns(other, keep_going)?;
        if other.value < best.value {
            best = other;
        } else {
            search.explain(beta);
        }
    }
    for wall in WALLS.into_iter().skip(1) {
        if is_sound(order, &order.constrained(&best.point, squash)) {
            break;
        }
        best = search.within(wall, best, keep_going)?;
    }
    if has_best_beta {
        search.regress(&best.point);
    }
    Some(search.fit(&best))
}

struct Search<'a> {
    /// What the ARMA is of or, where rows are missing, what it is of the differences of.
    rows: &'a [f64],
    /// Of these rows.
    columns: &'a mut Columns,
    /// The differences of the regressors, where it is of differences and these are not.
    less: Option<&'a Columns>,
    order: &'a Order,
    beta: Vec<f64>,
    left: Rows,
    /// The regressors, where every likelihood has the best β; else none.
    few: Vec<Vec<f64>>,
    /// Whether the fast way leaves enough digits of rows that it regresses.
    has_digits: bool,
    /// How far from zero a free number may go.
    wall: f64,
    room: Room<Lanes>,
}

impl<'a> Search<'a> {
    fn new(
        rows: &'a [f64],
        columns: &'a mut Columns,
        less: Option<&'a Columns>,
        order: &'a Order,
        warm: Option<&Start>,
    ) -> Search<'a> {
        let beta = warm.map_or_else(|| vec![0.0; columns.n()], |start| start.beta.clone());
        let left = explained(rows, columns, &beta, less.map(|_| order));
        let few = columns.n() <= FEW_REGRESSORS && left.directly(order.lengths(), columns.n() + 1);
        let few = if few { less.unwrap_or(columns).by_column() } else { Vec::new() };
        let (has_digits, wall, room) = (true, WALLS[0], Room::new());
        Search { rows, columns, less, order, beta, left, few, has_digits, wall, room }
    }

    /// Regresses on errors of no memory first, and goes down from the most promising starts.
    /// What other rows led to the wall is no start: from there, there may be no way back.
    fn begin(&mut self, from: Begin<'_>, keep_going: &dyn Fn() -> bool) -> Option<Lowest> {
        let here = matches!(from, Begin::Here(_));
        let free = from.start().and_then(|start| self.order.free(&start.parameters));
        let inside = free.filter(|point| here || point.iter().all(|x| x.abs() <= self.wall));
        if let Some(start) = inside.map(|point| self.at(point)).filter(|at| at.value.is_finite()) {
            return self.follow(start, TOLERANCE, keep_going);
        }
        if self.columns.n() > 0 {
            self.regress_without_memory();
        }
        let mut near = self.valleys(keep_going)?;
        near.sort_by(|a, b| a.value.total_cmp(&b.value));
        let mut ends: Vec<Lowest> = Vec::new();
        for near in near {
            let hopeless = |end: &Lowest| near.value > end.value + HOPELESS;
            if !ends.iter().any(|end| starts::same(end, &near) || hopeless(end)) {
                ends.push(self.follow(near, TOLERANCE, keep_going)?);
            }
        }
        ends.into_iter().min_by(|a, b| a.value.total_cmp(&b.value))
    }

    /// Where the most promising starts lead, roughly.
    fn valleys(&mut self, keep_going: &dyn Fn() -> bool) -> Option<Vec<Lowest>> {
        let is_dear = self.at_once() == 1;
        let exact = self.roughly();
        let points = starts::starts(self.order);
        let mut values = Vec::with_capacity(points.len());
        for points in points.chunks(LANES) {
            if !keep_going() {
                return None;
            }
            values.extend(self.values(points));
        }
        let tried = points.into_iter().zip(values).map(|(point, value)| Lowest { point, value });
        let mut near: Vec<Lowest> = Vec::new();
        for start in starts::promising(self.order, tried.collect(), self.left.n()) {
            // Where each exact step is dear, few are to be left, and no valley is to be gone down twice.
            let tolerance = if is_dear { TOLERANCE } else { ROUGHLY };
            let end = self.follow(start, tolerance, keep_going)?;
            if !is_dear || !near.iter().any(|other| starts::same(other, &end)) {
                near.push(end);
            }
        }
        if let Some(exact) = exact {
            self.left = exact;
            let points: Vec<Vec<f64>> = near.iter().map(|near| near.point.clone()).collect();
            let values = self.values(&points);
            near.iter_mut().zip(values).for_each(|(near, value)| near.value = value);
            // Of which nearly half are filled, those are other rows, and their valleys others: every second one on the
            // line between its neighbours forgets nothing of its noise. The best start of all is gone down from, too.
            if is_dear && self.left.share_missing() > OTHER_ROWS {
                let points = starts::starts(self.order);
                let values = self.values(&points);
                let tried = points.into_iter().zip(values);
                let tried = tried.map(|(point, value)| Lowest { point, value });
                near.extend(tried.min_by(|a, b| a.value.total_cmp(&b.value)));
            }
        }
        Some(near)
    }

    /// β and the ARMA's parameters in turns, where not every likelihood has the best β.
    fn turns(&mut self, mut best: Lowest, keep_going: &dyn Fn() -> bool) -> Option<Lowest> {
        if self.columns.n() == 0 || !self.few.is_empty() {
            return Some(best);
        }
        for turn in 0..MAX_TURNS {
            let before = best.value;
            self.regress(&best.point);
            best = self.at(best.point);
            best = self.follow(best, TOLERANCE, keep_going)?;
            if before - best.value < TOLERANCE && turn > 0 {
                break;
            }
        }
        Some(best)
    }

    /// Whether some start is better than where a given one led to. Then the regressors are what they are without a memory.
    fn is_beaten(&mut self, end: &Lowest) -> bool {
        let at_end = self.rough_values(std::slice::from_ref(&end.point))[0];
        let before = self.beta.clone();
        if self.few.is_empty() && self.columns.n() > 0 {
            self.regress_without_memory();
        }
        let starts = starts::starts(self.order);
        let beaten = self.rough_values(&starts).into_iter().any(|value| value < at_end);
        if !beaten && self.beta != before {
            self.explain(before);
        }
        beaten
    }

    /// The values of rows of which a few gaps are filled.
    fn rough_values(&mut self, points: &[Vec<f64>]) -> Vec<f64> {
        let exact = self.roughly();
        let values = self.values(points);
        if let Some(exact) = exact {
            self.left = exact;
        }
        values
    }

    /// As long as it is only about which valley, a few gaps may as well be filled, or many of which likelihoods are
    /// dear: the rows with their gaps.
    fn roughly(&mut self) -> Option<Rows> {
        let filled = self.left.almost(self.order.lengths());
        filled.map(|filled| std::mem::replace(&mut self.left, filled))
    }

    /// The search again in a smaller box, from the point in it that is nearest.
    fn within(&mut self, wall: f64, best: Lowest, keep_going: &dyn Fn() -> bool) -> Option<Lowest> {
        self.wall = wall;
        let mut start = self.at(best.point);
        if self.few.is_empty() {
            self.regress(&start.point);
            start = self.at(start.point);
        }
        let best = self.follow(start, TOLERANCE, keep_going)?;
        self.turns(best, keep_going)
    }

    /// The nearest point that is not beyond the wall.
    fn at(&mut self, mut point: Vec<f64>) -> Lowest {
        point.iter_mut().for_each(|x| *x = x.clamp(-self.wall, self.wall));
        let value = self.values(std::slice::from_ref(&point))[0];
        Lowest { point, value }
    }

    fn follow(
        &mut self,
        start: Lowest,
        tolerance: f64,
        keep_going: &dyn Fn() -> bool,
    ) -> Option<Lowest> {
        let limits = Limits { wall: self.wall, tolerance, at_once: self.at_once() };
        bfgs::lowest(start, &limits, &mut |points| self.values(points), keep_going)
    }

    /// What is to be made small at each point: minus the concentrated log-likelihood.
    fn values(&mut self, points: &[Vec<f64>]) -> Vec<f64> {
        if self.at_once() == 1 {
            return points.iter().map(|point| self.value(point)).collect();
        }
        let mut values = Vec::with_capacity(points.len());
        for points in points.chunks(LANES) {
            let lane = |i: usize| &points[i.min(points.len() - 1)];
            let free: Vec<Lanes> = (0..self.order.n_parameters())
                .map(|k| Lanes(std::array::from_fn(|i| lane(i)[k])))
                .collect();
            let parameters = self.order.constrained(&free, |x| Lanes(x.0.map(squash)));
            let arma = Arma::new(self.order, &parameters);
            let best = match (self.has_digits, self.few.is_empty()) {
                (true, true) => self.left.errors(&arma, &mut self.room).best(self.left.n()).0,
                (true, false) => self.regressed(&arma),
                (false, _) => self.left.stepwise(&arma).best(self.left.n()).0,
            };
            let value = |&best: &f64| if best.is_finite() { -best } else { f64::INFINITY };
            values.extend(best.iter().take(points.len()).map(value));
        }
        values
    }

    /// How many points cost hardly more than one.
    fn at_once(&self) -> usize {
        let singly = self.few.is_empty() && self.left.one_by_one(self.order.lengths());
        if singly { 1 } else { LANES }
    }

    /// The same at one point, by the filter.
    fn value(&self, point: &[f64]) -> f64 {
        let arma = Arma::new(self.order, &self.order.constrained(point, squash));
        let best = self.left.stepwise(&arma).best(self.left.n());
        if best.is_finite() { -best } else { f64::INFINITY }
    }

    /// Log-likelihoods with the best β each. Where too few digits are left that way, from then on with the β that
    /// there is: rows without noise would else be filtered point by point, β and all.
    fn regressed(&mut self, arma: &Arma<Lanes>) -> [f64; LANES] {
        let whitened = self.left.whitened(arma, &self.few, &mut self.room);
        if whitened.left.0.iter().all(|left| has_digits(*left)) {
            return whitened.errors().best(self.left.n()).0;
        }
        (self.has_digits, self.few) = (false, Vec::new());
        self.left.stepwise(arma).best(self.left.n()).0
    }

    /// The best β for these parameters.
    fn regress(&mut self, point: &[f64]) {
        let arma = Arma::new(self.order, &self.order.constrained(point, squash));
        let delta = self.columns.correction(self.less, &arma, &self.left);
        self.correct(&delta);
    }

    /// The best β if each error were by itself.
    fn regress_without_memory(&mut self) {
        let none = Order::default();
        let delta = self.columns.correction(self.less, &Arma::new(&none, &[]), &self.left);
        self.correct(&delta);
    }

    fn correct(&mut self, delta: &[f64]) {
        self.explain(self.beta.iter().zip(delta).map(|(beta, delta)| beta + delta).collect());
    }

    fn explain(&mut self, beta: Vec<f64>) {
        let differences = self.less.map(|_| self.order);
        self.left = explained(self.rows, self.columns, &beta, differences);
        self.beta = beta;
    }

    fn fit(self, best: &Lowest) -> Fit {
        let parameters = self.order.constrained(&best.point, squash);
        let errors = errors(&self.left, self.order, &parameters);
        let n = self.left.n();
        Fit {
            parameters,
            beta: self.beta,
            variance: errors.squares / n.max(1) as f64,
            log_likelihood: errors.best(n),
            n,
        }
    }
}

#[cfg(test)]
mod tests;

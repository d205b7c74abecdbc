//! Rows whose likelihood is asked for again and again.
//!
//! Owns: where they are missing, and which way to their likelihood is the cheaper one.
//! Does not own: the ways (`likelihood`, `direct`).

use crate::math::simd;
use crate::math::statespace::arima;
use crate::math::statespace::arma;
use crate::math::statespace::arma::Arma;
use crate::math::statespace::arma::Order;
use crate::math::statespace::direct::Direct;
use crate::math::statespace::direct::Room;
use crate::math::statespace::direct::Whitened;
use crate::math::statespace::double::Double;
use crate::math::statespace::gains::FEW;
use crate::math::statespace::levels::Levels;
use crate::math::statespace::likelihood::Errors;
use crate::math::statespace::likelihood::Filter;
use crate::math::statespace::real::Real;
use crate::math::statespace::stationary;
use crate::math::statespace::undifferenced;

/// Rows of which no more than this share is missing are hardly others when they are filled.
const FEW_MISSING: f64 = 0.02;
/// Missing rows beyond which their equations would take too much memory (some 40 MiB with 250 states).
const MOST_MISSING: usize = 512;
/// Where less than this is left of a sum of squares, too many digits went with the rest.
const LEFT: f64 = 1e-5;
/// States up to which covariances side by side stay in the cache.
const SIDE_BY_SIDE: usize = 48;
/// Where a row varies so much more than its innovations do, the filter needs more digits: of such a variance it has to
/// come down to theirs.
const LARGE: f64 = 1e5;
/// The same where a moving average's free number is further from zero: of its errors it forgets nothing.
const FAR: f64 = 6.0;
/// Steps times squared states up to which it has them: a second or so.
const MOST_DOUBLED: usize = 100_000_000;

/// Rows and their gaps.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rows {
    /// NaN: missing.
    values: Vec<f64>,
    /// Without gaps.
    filled: Vec<f64>,
    missing: Vec<usize>,
    /// Where rows are missing of which these are the differences: they, not their differences, are then what is
    /// missing.
    levels: Option<Levels>,
    /// What levels before the first difference add, if they are missing.
    unknown: Vec<Vec<f64>>,
}

impl Rows {
    pub(super) fn new(values: Vec<f64>) -> Rows {
        let missing = (0..values.len()).filter(|&t| values[t].is_nan()).collect();
        let filled = filled(&values);
        Rows { values, filled, missing, levels: None, unknown: Vec::new() }
    }

    /// The differences of rows.
    pub(super) fn differences(rows: Vec<f64>, order: &Order) -> Rows {
        let values = differenced(&rows, order);
        if order.n_lost() == 0 || !rows.iter().any(|y| y.is_nan()) {
            return Rows::new(values);
        }
        let first = order.n_lost();
        let missing = (first..rows.len()).filter(|&t| rows[t].is_nan()).map(|t| t - first);
        let (missing, filled) = (missing.collect(), differenced(&filled(&rows), order));
        let levels = Levels::new(rows, arima::lags(order));
        let unknown = levels.added();
        Rows { values, filled, missing, levels: Some(levels), unknown }
    }

    /// The same with their gaps filled, where these are few, or a likelihood with them is dear.
    pub(super) fn almost(&self, lengths: (usize, usize)) -> Option<Rows> {
        if self.one_by_one(lengths) {
            return (!self.missing.is_empty()).then(|| Rows::new(self.filled.clone()));
        }
        match self.levels {
            // Of differences those are missing that a missing row is part of.
            Some(_) => Rows::new(self.values.clone()).few_filled(),
            None => self.few_filled(),
        }
    }

    fn few_filled(&self) -> Option<Rows> {
        let few = self.missing.len() as f64 <= FEW_MISSING * self.values.len() as f64;
        (few && !self.missing.is_empty()).then(|| Rows::new(self.filled.clone()))
    }

    /// What these are the differences of, where rows of it are missing.
    pub(super) fn levels(&self) -> Option<&Levels> {
        self.levels.as_ref()
    }

    /// Rows before the first that these are differences of; zero where those are not needed.
    fn n_lost(&self) -> usize {
        self.levels.as_ref().map_or(0, Levels::n_lost)
    }

    /// NaN: missing.
    pub(super) fn values(&self) -> &[f64] {
        &self.values
    }

    /// Which share of them is missing.
    pub(super) fn share_missing(&self) -> f64 {
        self.missing.len() as f64 / self.values.len().max(1) as f64
    }

    /// How many have data, less those that say where the levels began.
    pub(super) fn n(&self) -> usize {
        self.values.len() - self.missing.len() - self.unknown.len()
    }

    /// Whether an ARMA with these longest lags is better dealt with without a filter.
    pub(super) fn directly(&self, lengths: (usize, usize), columns: usize) -> bool {
        let (n, k) = (self.values.len(), self.missing.len() + self.unknown.len());
        let r = arma::n_states(lengths, 0);
        let filtered = arma::n_states(lengths, self.n_lost());
        if filtered <= FEW || n < 2 * r || k > MOST_MISSING {
            return false;
        }
        // Multiplications, roughly; a step of the filter without gaps has three for a state, else r².
        let passes = 8 * n * (k + 2 * columns + 2);
        let direct = passes + r.pow(3) + k * r * r / 2 + (r + k).pow(3) / 6;
        let filter = if k == 0 { 3 * n * r } else { n * filtered * filtered };
        direct < filter
    }

    /// Whether the filter of gaps has so many states that several covariances side by side would leave the cache.
    pub(super) fn one_by_one(&self, lengths: (usize, usize)) -> bool {
        let many = arma::n_states(lengths, self.n_lost()) > SIDE_BY_SIDE;
        let gaps = !self.missing.is_empty() || !self.unknown.is_empty();
        many && gaps && !self.directly(lengths, 1)
    }

    /// Products of `columns` and these rows, which come last.
    pub(super) fn whitened<T: Real>(
        &self,
        arma: &Arma<T>,
        columns: &[Vec<f64>],
        room: &mut Room<T>,
    ) -> Whitened<T> {
        let mut all: Vec<&[f64]> = self.unknown.iter().chain(columns).map(Vec::as_slice).collect();
        all.push(&self.filled);
        let whole = self.levels.as_ref().map(|levels| arma.integrated(levels.lags()));
        let (unknown, missing) = (self.unknown.len(), &self.missing[..]);
        let gaps = whole.as_ref().unwrap_or(arma);
        simd::widest(Direct { arma, gaps, columns: &all, unknown, missing, room })
    }

    /// What the forecast errors come to.
    pub(super) fn errors<T: Real>(&self, arma: &Arma<T>, room: &mut Room<T>) -> Errors<T> {
        if self.directly(arma.lengths(), 1) {
            let whitened = self.whitened(arma, &[], room);
            if (T::splat(LEFT) - whitened.left).below(0.0) {
                return whitened.errors();
            }
        }
        self.stepwise(arma)
    }

    /// The same, by the filter.
    pub(super) fn stepwise<T: Real>(&self, arma: &Arma<T>) -> Errors<T> {
        match &self.levels {
            Some(levels) => simd::widest(undifferenced::Filter { arma, levels }),
            None => simd::widest(Filter { arma, rows: &self.values, whole: false }),
        }
    }

    /// The same, by the whole filter: slow where the memory is long, and right where rounding spoils the other ways.
    pub(super) fn filtered(&self, order: &Order, parameters: &[f64]) -> Errors<f64> {
        let arma = Arma::new(order, parameters);
        let filtered = arma::n_states(arma.lengths(), self.n_lost());
        let few = self.values.len() * filtered * filtered <= MOST_DOUBLED;
        let is_far = |free: Vec<f64>| order.of_moving_average(&free).any(|x| x.abs() > FAR);
        // Of levels that go anywhere, too, the filter has to come down to what an innovation adds.
        let needs_more = self.levels.is_some()
            || order.free(parameters).is_none_or(is_far)
            || stationary::first_row::<_, false>(&arma)[0] > LARGE;
        if few && needs_more {
            let parameters: Vec<Double<f64>> = parameters.iter().map(|&p| Double::of(p)).collect();
            let errors = self.whole(&Arma::new(order, &parameters));
            let (squares, log_variance) = (errors.squares.high, errors.log_variance.high);
            return Errors { squares, log_variance };
        }
        self.whole(&arma)
    }

    fn whole<T: Real>(&self, arma: &Arma<T>) -> Errors<T> {
        match &self.levels {
            Some(levels) => simd::widest(undifferenced::Filter { arma, levels }),
            None => simd::widest(Filter { arma, rows: &self.values, whole: true }),
        }
    }
}

/// Whether enough digits are left of a sum of squares of which so much is.
pub(super) fn has_digits(left: f64) -> bool {
    left > LEFT
}

/// Rows less those of `order`'s differences before them; NaN spreads.
pub fn differenced(rows: &[f64], order: &Order) -> Vec<f64> {
    let mut rows = rows.to_vec();
    for lag in order.differences() {
        rows = rows.iter().skip(lag).zip(&rows).map(|(a, b)| a - b).collect();
    }
    rows
}

/// Gaps on the line between their neighbours: near what is missing, so that no digits are lost.
fn filled(values: &[f64]) -> Vec<f64> {
    let mut filled = values.to_vec();
    let mut before: Option<usize> = None;
    let mut from = 0;
    for t in 0..=values.len() {
        let known = values.get(t).is_some_and(|y| !y.is_nan());
        if !known && t < values.len() {
            continue;
        }
        let left = before.map(|i| values[i]);
        let right = values.get(t).copied();
        for (i, to) in filled[from..t].iter_mut().enumerate() {
            let share = (i + 1) as f64 / (t - from + 1) as f64;
            *to = match (left, right) {
                (Some(left), Some(right)) => left + share * (right - left),
                (left, right) => left.or(right).unwrap_or(0.0),
            };
        }
        (before, from) = (Some(t), t + 1);
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::statespace::arma::Order;
    use crate::math::statespace::real::Lanes;

    #[test]
    fn gaps_are_on_the_line_between_their_neighbours() {
        let nan = f64::NAN;
        let rows = Rows::new(vec![nan, 2.0, nan, nan, 5.0, nan]);
        assert_eq!(rows.filled, [2.0, 2.0, 3.0, 4.0, 5.0, 5.0]);
        assert_eq!((rows.n(), rows.missing), (2, vec![0, 2, 3, 5]));
        assert_eq!(Rows::new(vec![nan]).filled, [0.0]);
    }

    /// Seasonal rows of which some are missing.
    fn rows(n: usize, gaps: bool) -> Rows {
        let noise = |t: usize| ((t * 7919 + t * t * 31) % 101) as f64 / 101.0 - 0.5;
        let mut values: Vec<f64> =
            (0..n).map(|t| (t as f64 * 0.26).sin() + noise(t) + 0.4 * noise(t + 1)).collect();
        if gaps {
            [0, 1, 7, 40, 41, 42, 43, n - 90, n - 1].iter().for_each(|&t| values[t] = f64::NAN);
        }
        Rows::new(values)
    }

    #[test]
    fn with_and_without_a_filter_is_the_same() {
        let order =
            Order { p: 1, q: 1, seasonal_p: 1, seasonal_q: 1, season: 24, ..Order::default() };
        let plain = Order { seasonal_p: 0, q: 0, ..order };
        let long = Order { p: 2, q: 3, seasonal_q: 0, ..order };
        let cases = [
            (order, vec![0.7, 0.4, 0.5, 0.3]),
            (order, vec![0.9, -0.4, 0.9999, -0.95]),
            (order, vec![-0.999, 0.99, -0.99, 0.999]),
            (order, vec![0.5, -0.5, 0.8, -0.8]),
            (plain, vec![0.5, -0.7]),
            (long, vec![1.2, -0.3, 0.4, 0.1, -0.2, 0.7]),
        ];
        for (order, parameters) in cases {
            let arma = Arma::new(&order, &parameters);
            for gaps in [false, true] {
                let rows = rows(600, gaps);
                let slow = simd::widest(Filter { arma: &arma, rows: &rows.values, whole: false });
                let fast = rows.whitened(&arma, &[], &mut Room::new());
                let off =
                    [fast.products[0] / slow.squares - 1.0, fast.log_variance - slow.log_variance];
                assert!(off.iter().all(|off| off.abs() < 1e-7), "{parameters:?} {gaps} {off:?}");
                let lanes: Vec<Lanes> = parameters.iter().map(|&p| Lanes::splat(p)).collect();
                let side = rows.whitened(&Arma::new(&order, &lanes), &[], &mut Room::new());
                assert!(
                    side.products[0].0.iter().all(|s| (s / fast.products[0] - 1.0).abs() < 1e-9)
                );
            }
        }
    }

    #[test]
    fn what_is_dear_is_tried_without_gaps() {
        let order = Order { p: 1, seasonal_d: 1, seasonal_q: 1, season: 60, ..Order::default() };
        let gaps = |every: usize| {
            let rows = rows(2000, false).values.into_iter().enumerate();
            rows.map(|(t, y)| if t % every == 1 { f64::NAN } else { y }).collect()
        };
        let many = Rows::differences(gaps(3), &order);
        assert!(many.one_by_one(order.lengths()));
        let filled = many.almost(order.lengths()).unwrap();
        assert!(filled.missing.is_empty() && filled.directly(order.lengths(), 1));
        // Few states are filtered with their gaps.
        let short = Order { season: 7, ..order };
        assert_eq!(Rows::differences(gaps(3), &short).almost(short.lengths()), None);
        assert!(Rows::differences(gaps(200), &short).almost(short.lengths()).is_some());
    }

    /// Gaps where no difference is known otherwise, at the beginning, a slot of the season that is never seen and a
    /// slot that is seen late.
    fn holes(rows: &Rows, season: usize) -> Vec<f64> {
        let missing = |t: usize| {
            let never = t % season == 3;
            let late = t % season == 7 && t < 200;
            t < 2
                || never
                || late
                || (100..130).contains(&t)
                || t % 2 == 1 && (300..340).contains(&t)
        };
        let rows = rows.values.iter().enumerate();
        rows.map(|(t, y)| if missing(t) { f64::NAN } else { y + 0.02 * t as f64 }).collect()
    }

    #[test]
    fn differences_around_gaps_are_the_same_with_and_without_a_filter() {
        let order = |d, seasonal_d, season| Order { d, seasonal_d, season, ..Order::arma(2, 1) };
        let seasonal = Order { seasonal_p: 1, seasonal_q: 1, ..order(0, 1, 24) };
        let cases = [
            (order(1, 0, 0), vec![0.7, -0.2, -0.6]),
            (order(2, 0, 0), vec![0.7, -0.2, -0.6]),
            (order(0, 1, 12), vec![0.9, -0.3, 0.2]),
            (order(1, 1, 12), vec![0.9, -0.3, 0.2]),
            (order(2, 1, 12), vec![0.2, -0.3, -0.9]),
            (seasonal, vec![0.7, 0.1, 0.3, 0.2, -0.9]),
            (Order { d: 1, ..seasonal }, vec![0.7, 0.1, -0.6, 0.2, -0.9]),
        ];
        // Every other row, and one of the season seen late: a way that comes to light after a hundred rows.
        let seldom = |rows: Vec<f64>| {
            let missing = |t: usize| t.is_multiple_of(2) || t % 14 == 7 && t < 110;
            let rows = rows.into_iter().enumerate().take(180);
            rows.map(|(t, y)| if missing(t) { f64::NAN } else { y }).collect::<Vec<_>>()
        };
        let twice = Order { seasonal_p: 1, ..order(2, 1, 7) };
        let seldom = (seldom(rows(600, false).values), twice, vec![0.4, -0.2, 0.1, -0.4]);
        let cases =
            cases.map(|(order, parameters)| (holes(&rows(600, false), 12), order, parameters));
        for (rows, order, parameters) in cases.into_iter().chain([seldom]) {
            let rows = Rows::differences(rows, &order);
            let arma = Arma::new(&order, &parameters);
            let (slow, fast) = (rows.stepwise(&arma), rows.whitened(&arma, &[], &mut Room::new()));
            let off =
                [fast.products[0] / slow.squares - 1.0, fast.log_variance - slow.log_variance];
            assert!(off.iter().all(|off| off.abs() < 1e-7), "{order:?} {off:?}");
            let lanes: Vec<Lanes> = parameters.iter().map(|&p| Lanes::splat(p)).collect();
            let side = rows.stepwise(&Arma::new(&order, &lanes));
            assert!(side.squares.0.iter().all(|s| (s / slow.squares - 1.0).abs() < 1e-9));
        }
    }
}

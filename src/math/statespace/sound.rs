//! Parameters that rounding leaves what they are.
//!
//! Owns: the test. Does not own: what is done about those that fail it (`fit`).

use crate::math::statespace::arima::Arima;
use crate::math::statespace::arma::Arma;
use crate::math::statespace::arma::Order;
use crate::math::statespace::double::Double;
use crate::math::statespace::gains::Gains;
use crate::math::statespace::tracker::Tracker;

/// Where more of the variance is new in each row, rounding is no matter.
const MUCH_NEWS: f64 = 1e-6;
/// Share of a forecast's variance that may be rounding.
const ROUNDING: f64 = 1e-3;
/// Memories that are followed, to see what rounding makes of them.
const MEMORIES: usize = 8;
/// One of so many rows is missing where gaps are tried.
const GAPS: usize = 3;

/// Whether forecasts by these parameters have the variances that exact arithmetic would give them. Near the unit
/// circle, where a product of factors has next to nothing new in a row, they may not.
pub(super) fn is_sound(order: &Order, parameters: &[f64]) -> bool {
    let order = Order { d: 0, seasonal_d: 0, ..*order };
    let news = order.share_of_news(parameters);
    news > MUCH_NEWS || news > 0.0 && falls(&order, parameters) && holds(&order, parameters)
}

/// While rows are seen, twice as many digits say the same.
fn falls(order: &Order, parameters: &[f64]) -> bool {
    let arima = Arima::new(order, parameters);
    let doubled: Vec<Double<f64>> = parameters.iter().map(|&p| Double::of(p)).collect();
    let arma = Arma::new(order, &doubled);
    let mut exact = Gains::new::<false>(&arma, false);
    variances(&arima, usize::MAX).all(|variance| {
        let off = variance / exact.variance().high - 1.0;
        exact.step::<false>(&arma, true);
        off.abs() < ROUNDING
    })
}

/// With gaps it rises again, but never beyond what it was when nothing was seen.
fn holds(order: &Order, parameters: &[f64]) -> bool {
    let arima = Arima::new(order, parameters);
    let range = 1.0 - ROUNDING..=arima.variance() * (1.0 + ROUNDING);
    variances(&arima, GAPS).all(|variance| range.contains(&variance))
}

/// The forecasts' variances where every `gaps`th row is missing.
fn variances(arima: &Arima, gaps: usize) -> impl Iterator<Item = f64> {
    let mut tracker = Tracker::new(arima, &[], 1.0);
    (0..MEMORIES * arima.arma.n_states().max(12)).map(move |row| {
        let variance = tracker.forecast().1;
        tracker.step((row % gaps != gaps - 1).then_some(0.0));
        variance
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::statespace::arma::squash;

    #[test]
    fn rounding_is_told_from_a_long_memory() {
        let order =
            Order { p: 1, q: 1, seasonal_p: 1, seasonal_q: 1, season: 48, ..Order::default() };
        let wall = f64::tanh(8.3);
        let points = [
            [wall; 4],
            [0.9998900112886878, 0.9999092042625951, 0.9999092042625951, 0.9999092042625951],
            [0.9999092042625951, 0.9925778933862367, 0.9999092042625951, -0.9894096729030553],
            [0.9997285546272309, 0.9997241516784271, 0.9999877116507956, -0.9420424884958655],
            [0.9994452679124012, 0.9999877116507956, 0.9999877116507956, -0.9936922580014721],
        ];
        // At all of them the forecast's variance was below the innovations', or below zero, while autocovariances
        // were those of the product of the factors.
        assert_eq!(points.map(|at| is_sound(&order, &at)), [false, false, true, true, true]);
        let nearer = points.map(|at| at.map(|x| x.clamp(-0.9, 0.9)));
        assert!(nearer.iter().all(|at| is_sound(&order, at)));
        // Here it fell as it should, to the wrong numbers.
        let twice = Order { p: 2, season: 4, ..order };
        let slowly =
            [1.8861417583337925e-7, 0.9999998113727735, -0.9995875203606647, 0.9999992596509083];
        assert!(!is_sound(&twice, &[&slowly[..], &[-0.9958196986832958]].concat()));
        // A ramp wants two roots next to one, which three states can hold.
        let short = Order::arma(2, 1);
        assert!(is_sound(&short, &short.constrained(&[6.5, -6.5, 0.1], squash)));
        assert!(!is_sound(&short, &[2.0, -1.0, 0.1]));
    }
}

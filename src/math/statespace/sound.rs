//! Parameters that rounding leaves what they are.
//!
//! Owns: the test. Does not own: what is done about those that fail it (`fit`).

use crate::math::statespace::arima::Arima;
use crate::math::statespace::arma::Order;
use crate::math::statespace::tracker::Tracker;

/// Where more of the variance is new in each row, rounding is no matter.
const MUCH_NEWS: f64 = 1e-6;
/// A forecast's variance may rise so much by rounding, and fall so much below that of the innovations.
const ROUNDING: f64 = 1e-3;
/// Memories that are followed, to see what rounding makes of them.
const MEMORIES: usize = 8;
/// One of so many rows is missing where gaps are tried.
const GAPS: usize = 3;

/// Whether forecasts by these parameters have the variances that exact arithmetic would give them. Near the unit
/// circle, where a product of factors has next to nothing new in a row, they may not.
pub(super) fn is_sound(order: &Order, parameters: &[f64]) -> bool {
    let news = order.share_of_news(parameters);
    news > MUCH_NEWS || news > 0.0 && falls(order, parameters) && holds(order, parameters)
}

/// The more rows are seen, the less uncertain is the next, down to the innovations' variance: so it is also where
/// a double root near one is what the rows are like.
fn falls(order: &Order, parameters: &[f64]) -> bool {
    let mut before = f64::INFINITY;
    variances(order, parameters, usize::MAX).into_iter().all(|variance| {
        let falls = (1.0 - ROUNDING..=before * (1.0 + ROUNDING)).contains(&variance);
        before = variance;
        falls
    })
}

/// With gaps it rises again, but never beyond what it was when nothing was seen.
fn holds(order: &Order, parameters: &[f64]) -> bool {
    let variances = variances(order, parameters, GAPS);
    let first = variances.first().copied().unwrap_or(1.0);
    let range = 1.0 - ROUNDING..=first * (1.0 + ROUNDING);
    variances.iter().all(|variance| range.contains(variance))
}

/// The forecasts' variances where every `gaps`th row is missing.
fn variances(order: &Order, parameters: &[f64], gaps: usize) -> Vec<f64> {
    let order = Order { d: 0, seasonal_d: 0, ..*order };
    let arima = Arima::new(&order, parameters);
    let mut tracker = Tracker::new(&arima, &[], 1.0);
    let next = |row: usize| {
        let variance = tracker.forecast().1;
        tracker.step((row % gaps != gaps - 1).then_some(0.0));
        variance
    };
    (0..MEMORIES * order.n_states().max(12)).map(next).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::statespace::arma::squash;

    /// The first are points where the forecast's variance was below the innovations', or below zero.
    #[test]
    fn rounding_is_told_from_a_long_memory() {
        let order =
            Order { p: 1, q: 1, seasonal_p: 1, seasonal_q: 1, season: 48, ..Order::default() };
        let wall = f64::tanh(8.3);
        for parameters in [
            [wall; 4],
            [0.9998900112886878, 0.9999092042625951, 0.9999092042625951, 0.9999092042625951],
            [0.9999092042625951, 0.9925778933862367, 0.9999092042625951, -0.9894096729030553],
            [0.9997285546272309, 0.9997241516784271, 0.9999877116507956, -0.9420424884958655],
            [0.9994452679124012, 0.9999877116507956, 0.9999877116507956, -0.9936922580014721],
        ] {
            assert!(!is_sound(&order, &parameters), "{parameters:?}");
            let nearer = parameters.map(|x| x.clamp(-0.9, 0.9));
            assert!(is_sound(&order, &nearer), "{nearer:?}");
        }
        // A ramp wants two roots next to one, which three states can hold.
        let short = Order::arma(2, 1);
        assert!(is_sound(&short, &short.constrained(&[6.5, -6.5, 0.1], squash)));
        assert!(!is_sound(&short, &[2.0, -1.0, 0.1]));
    }
}

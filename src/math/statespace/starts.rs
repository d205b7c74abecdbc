//! Where a search for parameters begins.
//!
//! Owns: the points that are tried, and which of them are worth following. Does not own: the search (`bfgs`).

use crate::math::statespace::arma::Order;
use crate::math::statespace::arma::squash;
use crate::math::statespace::bfgs::Lowest;

/// Starts that are followed.
const FOLLOWED: usize = 3;
/// A start is not followed that is this much above the best, by row: as if innovations had 1.6 times the
/// variance.
const UNLIKELY: f64 = 0.25;
/// How far apart starts are, in one partial autocorrelation at least.
const APART: f64 = 0.75;
/// Two ends are the same where no partial autocorrelation differs by more.
const SAME: f64 = 0.05;

/// Points to begin at: slow and fast memory, shocks that go on and that turn back, and the seasonal
/// autoregression of both signs. Without a season also a memory of nearly one whose shocks nearly cancel it: a trend,
/// or a level that changed, ends there, and from elsewhere there is often no way.
pub(super) fn starts(order: &Order) -> Vec<Vec<f64>> {
    let none = [0.0];
    let turns = [0.0, 0.8, -0.8];
    let short = order.season == 0;
    let mut points = vec![Vec::new()];
    let groups = [
        (order.p, if short { &[1.2, 3.5, 0.3, -0.5][..] } else { &[1.2, 0.3, -0.5] }),
        (order.q, if short { &[0.0, 0.8, 2.0, -0.8][..] } else { &turns }),
        (order.seasonal_p, &[0.5, 1.6, -0.5][..]),
        (order.seasonal_q, &[0.0, 0.9][..]),
    ];
    for (group, (len, firsts)) in groups.into_iter().enumerate() {
        for i in 0..len {
            let values = match i {
                0 => firsts,
                // Short memories are cheap, and often have two valleys.
                1 if group == 0 && short => &turns[..],
                _ => &none[..],
            };
            let longer = |point: &Vec<f64>| {
                let point = point.clone();
                values.iter().map(move |&value| [&point[..], &[value]].concat()).collect::<Vec<_>>()
            };
            points = points.iter().flat_map(longer).collect();
        }
    }
    points
}

/// The best of some starts, for `n` rows, and others that may end in another valley.
pub(super) fn promising(order: &Order, mut starts: Vec<Lowest>, n: usize) -> Vec<Lowest> {
    starts.sort_by(|a, b| a.value.total_cmp(&b.value));
    // The other sign of the seasonal autoregression gets its turn: between them there is often no way.
    let seasonal = order.p + order.q;
    let sign = |at: &Lowest| order.seasonal_p > 0 && at.point[seasonal] < 0.0;
    let other = starts.iter().position(|at| sign(at) != sign(&starts[0]));
    if let Some(other) = other {
        starts[1..=other].rotate_right(1);
    }
    let mut chosen: Vec<Lowest> = Vec::new();
    let limit = starts.first().map_or(0.0, |best| best.value) + UNLIKELY * n as f64;
    for start in starts {
        let apart = chosen.iter().all(|other| distance(other, &start) > APART);
        if chosen.len() < FOLLOWED && start.value <= limit && apart {
            chosen.push(start);
        }
    }
    chosen
}

/// Whether two searches ended in one valley.
pub(super) fn same(a: &Lowest, b: &Lowest) -> bool {
    distance(a, b) < SAME
}

/// The furthest that two points are apart in a partial autocorrelation.
fn distance(a: &Lowest, b: &Lowest) -> f64 {
    let pairs = a.point.iter().zip(&b.point);
    pairs.map(|(a, b)| (squash(*a) - squash(*b)).abs()).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_is_followed_and_others_that_are_apart() {
        let order = Order { p: 1, seasonal_p: 1, season: 12, ..Order::default() };
        let points = starts(&order);
        assert_eq!(points.len(), 9);
        assert_eq!(starts(&Order::default()), vec![Vec::<f64>::new()]);
        let value = |point: &Vec<f64>| (point[0] - 1.0).abs() + (point[1] - 0.6).abs();
        let lowest = |point: &Vec<f64>| Lowest { point: point.clone(), value: value(point) };
        let chosen = promising(&order, points.iter().map(lowest).collect(), 100);
        assert_eq!((&chosen[0].point[..], chosen.len()), (&[1.2, 0.5][..], 3));
        assert!(chosen[1].point[1] < 0.0, "{chosen:?}");
    }
}

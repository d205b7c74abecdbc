//! How many points in a row scored above 1.

use serde::Deserialize;
use serde::Serialize;

use super::THRESHOLD;

/// Consecutive points above the threshold, held across gaps (and, once stored, across restarts).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Streak {
    /// Points so far.
    pub points: u32,
}

impl Streak {
    /// Takes the next point's score: above 1 adds one, NaN (a gap) changes nothing, else it ends.
    pub fn advance(&mut self, score: f64) {
        if score > THRESHOLD {
            self.points = self.points.saturating_add(1);
        } else if !score.is_nan() {
            self.points = 0;
        }
    }

    /// Whether it is long enough to be an anomaly; one point is the least there is.
    pub fn anomaly(&self, consecutive: u32) -> bool {
        self.points >= consecutive.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_hold_a_streak_and_the_threshold_itself_ends_it() {
        let mut streak = Streak::default();
        assert!(!streak.anomaly(0));
        let points: Vec<u32> = [1.1, f64::NAN, f64::INFINITY, 1.0, f64::NAN, 2.0]
            .map(|score| {
                streak.advance(score);
                streak.points
            })
            .to_vec();
        assert_eq!(points, [1, 1, 2, 0, 0, 1]);
        assert!(streak.anomaly(1) && !streak.anomaly(2));
    }
}

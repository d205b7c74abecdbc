//! The exported score: linear in surprise, 0 for the most ordinary block, 1 at the page budget.

use serde::Deserialize;
use serde::Serialize;

/// Smallest distance of threshold and floor, in nats.
const MARGIN: f64 = 0.1;
/// Part of a week's pages that may come while a young history grows by its own length, were all rows alike. A tail that
/// is extrapolated from minutes knows nothing of what drifts, so it is less than the budget would bear.
const GROWING: f64 = 0.03;
/// How far above 1 a surprise scores to which the threshold was lowered.
const ABOVE: f64 = 1e-6;

/// From surprise to the exported score.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Scale {
    /// The surprise of score 0: −ln(blocks per week).
    pub floor: f64,
    /// The surprise of score 1.
    pub threshold: f64,
}

impl Scale {
    /// The scale whose score 1 is expected `pages_per_week` times a week; above zero.
    pub fn new(floor: f64, pages_per_week: f64) -> Scale {
        Scale { floor, threshold: (-pages_per_week.ln()).max(floor + MARGIN) }
    }

    /// The scale for a history of so many `weeks`, too short to have seen what is as rare as the budget wants; `highest`
    /// is the surprise of its strangest row, which is never called anomalous for this.
    ///
    /// A young model is in use until its history has doubled: nine times from twenty minutes to a week. The budget's own
    /// threshold is where the tail of some thirty blocks says 1 in 30,000: far above all that a detector says of most
    /// faults, so here it is where three hundredths of the budget's page are expected each time. What drifts is not in
    /// that: on synthetic rows of a CoreDNS, a doubling of up to three hours brought a page 3 times of 24, 10 of 24 where
    /// load has a rhythm of the day, and none of 6 from one day on. From some hours on, the two are one.
    #[must_use]
    pub fn while_young(self, pages_per_week: f64, weeks: f64, highest: f64) -> Scale {
        let growing = pages_per_week.min(1.0) * GROWING / weeks.max(f64::MIN_POSITIVE);
        // `max` ignores NaN.
        let wanted = Scale::new(self.floor, growing).threshold.max(highest);
        Scale { threshold: self.threshold.min(wanted), ..self }
    }

    /// The scale on which this surprise (of a labelled anomaly) is just anomalous.
    ///
    /// Never raises the threshold, and never lowers it to where every block would page.
    #[must_use]
    pub fn lowered_to(self, surprise: f64) -> Scale {
        let wanted = self.floor + (surprise - self.floor) / (1.0 + ABOVE);
        // `min` and `max` ignore NaN: an unknown surprise changes nothing.
        let lowest = (self.floor + MARGIN).min(self.threshold);
        Scale { threshold: self.threshold.min(wanted).max(lowest), ..self }
    }

    /// The scale on which this surprise scores 1.
    #[must_use]
    pub fn at(self, surprise: f64) -> Scale {
        // `max` ignores NaN.
        Scale { threshold: surprise.max(self.floor + MARGIN), ..self }
    }

    /// The exported score, ≥ 0; an unknown (NaN) surprise has an unknown score.
    pub fn score(&self, surprise: f64) -> f64 {
        let score = (surprise - self.floor) / (self.threshold - self.floor);
        if score < 0.0 { 0.0 } else { score }
    }
}

/// Mean of the two largest surprises: a second witness pays for the several tries. One counts as
/// itself, unknown ones (NaN) are left out, and of none the result is NaN.
pub fn combine(surprises: &[f64]) -> f64 {
    let mut first = f64::NAN;
    let mut second = f64::NAN;
    for &surprise in surprises.iter().filter(|s| !s.is_nan()) {
        if first.is_nan() || surprise > first {
            second = first;
            first = surprise;
        } else if second.is_nan() || surprise > second {
            second = surprise;
        }
    }
    if second.is_nan() { first } else { 0.5 * (first + second) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks of half an hour.
    fn floor() -> f64 {
        -336f64.ln()
    }

    #[test]
    fn one_is_the_budget_and_zero_the_floor() {
        let scale = Scale::new(floor(), 0.1);
        assert!((scale.score(10f64.ln()) - 1.0).abs() < 1e-12);
        assert_eq!(scale.score(floor()), 0.0);
        assert_eq!(scale.score(floor() - 1.0), 0.0);
        assert!(scale.score(f64::NAN).is_nan());
    }

    #[test]
    fn a_young_history_has_a_threshold_of_its_own_for_some_hours() {
        let threshold = |budget: f64, weeks, highest| {
            Scale::new(floor(), budget).while_young(budget, weeks, highest).threshold
        };
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} for {b}");
        near(threshold(1.0, 1.0 / 1000.0, -9.0), -30f64.ln());
        near(threshold(0.1, 1.0 / 1000.0, f64::NAN), -3f64.ln());
        near(threshold(7.0, 1.0 / 1000.0, -9.0), -30f64.ln());
        near(threshold(7.0, 1.0 / 50.0, -9.0), -7f64.ln());
        near(threshold(1.0, 0.11, -9.0), 0.0);
        near(threshold(1.0, 1.0 / 1000.0, -2.0), -2.0);
        near(threshold(1.0, 1.0 / 1000.0, 3.0), 0.0);
        assert!(threshold(1.0, 0.0, f64::NAN).is_finite());
    }

    #[test]
    fn what_pages_on_a_small_budget_pages_on_a_larger() {
        for surprise in [-5.0, 0.0, 1.0, 3.0, 9.0] {
            let scores =
                [0.1, 1.0, 7.0, 336.0, 1e9].map(|b| Scale::new(floor(), b).score(surprise));
            assert!(scores.windows(2).all(|w| w[0] <= w[1]), "{scores:?}");
            assert!(scores.iter().all(|s| s.is_finite()));
        }
    }

    #[test]
    fn a_label_lowers_the_threshold_but_not_to_the_floor() {
        let scale = Scale::new(floor(), 1.0);
        assert!(scale.lowered_to(-2.0).score(-2.0) > 1.0);
        assert!(scale.lowered_to(-2.0).score(-2.001) < 1.0);
        assert_eq!(scale.lowered_to(5.0), scale);
        assert_eq!(scale.lowered_to(f64::NAN), scale);
        assert_eq!(scale.lowered_to(-99.0).threshold, floor() + MARGIN);
    }

    #[test]
    fn a_line_is_where_it_is_drawn_but_above_the_floor() {
        let scale = Scale::new(floor(), 1.0);
        assert!((scale.at(7.0).score(7.0) - 1.0).abs() < 1e-12);
        assert!((scale.at(-2.0).score(-2.0) - 1.0).abs() < 1e-12);
        assert_eq!(scale.at(f64::NAN).threshold, floor() + MARGIN);
    }

    #[test]
    fn combination_asks_for_a_second_witness() {
        assert_eq!(combine(&[1.0, 7.0, f64::NAN, 3.0]), 5.0);
        assert_eq!(combine(&[f64::NAN, -2.0]), -2.0);
        assert!(combine(&[f64::NAN]).is_nan() && combine(&[]).is_nan());
    }
}

//! The confusion matrix of rows, and the ratios that are made of it.

use std::ops::AddAssign;

/// How many rows were alarms and anomalies: the RFC's confusion matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Confusion {
    /// Anomalies with an alarm.
    pub true_positives: usize,
    /// Alarms where nothing was wrong.
    pub false_positives: usize,
    /// Anomalies without an alarm.
    pub false_negatives: usize,
    /// Neither.
    pub true_negatives: usize,
}

impl Confusion {
    /// Counts rows: whether each is labelled an anomaly, and whether there was an alarm.
    pub fn of(labels: &[bool], alarms: &[bool]) -> Confusion {
        let mut counts = Confusion::default();
        for (label, alarm) in labels.iter().zip(alarms) {
            *match (label, alarm) {
                (true, true) => &mut counts.true_positives,
                (false, true) => &mut counts.false_positives,
                (true, false) => &mut counts.false_negatives,
                (false, false) => &mut counts.true_negatives,
            } += 1;
        }
        counts
    }

    /// The share of alarms that were right, TP ⁄ (TP + FP); NaN where there was none.
    pub fn precision(&self) -> f64 {
        ratio(self.true_positives, self.true_positives + self.false_positives)
    }

    /// The share of anomalies that were found, TP ⁄ (TP + FN); NaN where there was none.
    pub fn recall(&self) -> f64 {
        ratio(self.true_positives, self.true_positives + self.false_negatives)
    }

    /// The harmonic mean of the two, 2 TP ⁄ (2 TP + FP + FN); NaN where there was neither anomaly nor
    /// alarm.
    pub fn f1(&self) -> f64 {
        let twice = 2 * self.true_positives;
        ratio(twice, twice + self.false_positives + self.false_negatives)
    }
}

fn ratio(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}

impl AddAssign for Confusion {
    fn add_assign(&mut self, other: Confusion) {
        self.true_positives += other.true_positives;
        self.false_positives += other.false_positives;
        self.false_negatives += other.false_negatives;
        self.true_negatives += other.true_negatives;
    }
}

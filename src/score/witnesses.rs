//! What an entity's detectors say together.
//!
//! Owns: who is heard beside whom. Does not own: the mean of the two largest (`scale`).

use super::scale::combine;

/// Scores of one point, by those who know what is normal and those who know incidents.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Witnesses {
    usual: Vec<f64>,
    supervised: Vec<f64>,
}

impl Witnesses {
    /// Hears one; NaN has nothing to say.
    pub fn hear(&mut self, score: f64, supervised: bool) {
        if supervised { self.supervised.push(score) } else { self.usual.push(score) }
    }

    /// [`combine`] of all, or of those alone who need no incident, if that is more: what is like no incident that
    /// was ever labelled is no less strange for it, and the first label must not make a detector of the unknown dull.
    pub fn score(&self) -> f64 {
        let all = [self.usual.as_slice(), &self.supervised].concat();
        // `max` ignores NaN.
        combine(&all).max(combine(&self.usual))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(usual: &[f64], supervised: &[f64]) -> f64 {
        let mut witnesses = Witnesses::default();
        usual.iter().for_each(|score| witnesses.hear(*score, false));
        supervised.iter().for_each(|score| witnesses.hear(*score, true));
        witnesses.score()
    }

    #[test]
    fn who_knows_incidents_adds_to_the_others_and_takes_nothing_from_them() {
        assert_eq!(heard(&[1.5], &[0.1]), 1.5, "like no incident");
        assert_eq!(heard(&[0.5], &[2.5]), 1.5, "a known one");
        assert_eq!(heard(&[1.0, 3.0], &[5.0]), 4.0);
        assert_eq!(heard(&[1.0, 3.0], &[0.0, 0.0]), combine(&[1.0, 3.0]));
        assert_eq!(heard(&[f64::NAN], &[2.0]), 2.0);
        assert_eq!(heard(&[2.0], &[f64::NAN]), 2.0);
        assert!(heard(&[], &[]).is_nan());
    }
}

//! Who is trained for how long.
//!
//! Owns: rounds, rungs, which settings a trial has, who goes on. No state: what was found so far is asked
//! for, so that a search that was cut off goes on as if it had not been.

use std::ops::Range;

use crate::detect;
use crate::math::random::Random;

/// Trials that compete with each other.
pub const ROUND: usize = 9;

/// Trainings of a trial at most, each three times as long as the one before.
pub const RUNGS: usize = 3;

/// Of each rung a third goes on.
const KEPT: usize = 3;

/// How long a training of this rung takes, in ninths of a whole one.
pub fn ninths(rung: usize) -> usize {
    KEPT.pow(rung.min(RUNGS - 1) as u32)
}

/// The share of a whole training's steps.
pub fn share(rung: usize) -> f64 {
    ninths(rung) as f64 / ninths(RUNGS - 1) as f64
}

/// The trials of a round, of so many in all if there is a limit.
pub(super) fn round(round: usize, trials: Option<usize>) -> Range<usize> {
    let limit = trials.unwrap_or(usize::MAX);
    let from = round.saturating_mul(ROUND).min(limit);
    from..from.saturating_add(ROUND).min(limit)
}

/// What a trial is about: the first has the settings that there are, the others have random ones.
pub(super) fn settings(base: &detect::Config, seed: u64, trial: usize) -> detect::Config {
    if trial == 0 {
        return base.clone();
    }
    // A stream for each detector and trial, whatever else is searched.
    let mixed = base
        .name()
        .bytes()
        .fold(seed, |seed, byte| Random::new(seed.wrapping_add(u64::from(byte))).next_u64());
    let mut random = Random::new(Random::new(mixed.wrapping_add(trial as u64)).next_u64());
    base.clone().drawn(&mut random)
}

/// Who of a round's `trials` goes on after a rung: the best third of as many as began, by `score`, and the
/// first trial of all, so that it is known what the search was good for.
pub(super) fn promoted(
    began: usize,
    rung: usize,
    trials: &[usize],
    score: impl Fn(usize) -> Option<f64>,
) -> Vec<usize> {
    let mut ranked: Vec<(usize, f64)> =
        trials.iter().filter_map(|&trial| Some((trial, score(trial)?))).collect();
    // Of equals the earlier.
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let n = began.div_ceil(KEPT.pow(rung as u32 + 1));
    let place = |(i, &(trial, _)): (usize, &(usize, f64))| (i < n || trial == 0).then_some(trial);
    let mut kept: Vec<usize> = ranked.iter().enumerate().filter_map(place).collect();
    kept.sort_unstable();
    kept
}

/// How many of a round's trials are trained on a rung at most.
pub(super) fn most(trials: &Range<usize>, rung: usize) -> usize {
    let first = usize::from(rung > 0 && trials.start == 0);
    trials.len().min(trials.len().div_ceil(KEPT.pow(rung as u32)) + first)
}

/// Ninths of whole trainings that a round takes at most.
pub(super) fn most_ninths(trials: &Range<usize>) -> usize {
    (0..RUNGS).map(|rung| ninths(rung) * most(trials, rung)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_third_goes_on_and_what_there_was_before_the_search_with_it() {
        let score =
            |trial: usize| [0.1, 0.5, 0.9, 0.5, 0.2, 0.3, 0.8, 0.1, 0.0].get(trial).copied();
        let all: Vec<usize> = (0..9).collect();
        assert_eq!(promoted(9, 0, &all, score), [0, 1, 2, 6], "of equals the earlier");
        assert_eq!(promoted(9, 1, &[0, 1, 2, 6], score), [0, 2]);
        let later = |trial: usize| score(trial - 9);
        assert_eq!(promoted(9, 0, &(9..18).collect::<Vec<_>>(), later), [10, 11, 15]);
        let failed = |trial: usize| score(trial).filter(|_| trial != 2 && trial != 0);
        assert_eq!(promoted(9, 0, &all, failed), [1, 3, 6]);
        assert_eq!(promoted(1, 0, &[0], score), [0]);
    }

    #[test]
    fn rounds_end_with_the_trials() {
        assert_eq!(
            (round(0, Some(12)), round(1, Some(12)), round(2, Some(12))),
            (0..9, 9..12, 12..12)
        );
        assert_eq!(round(2, None), 18..27);
        assert_eq!((0..RUNGS).map(ninths).collect::<Vec<_>>(), [1, 3, 9]);
        assert_eq!((most_ninths(&(0..9)), most_ninths(&(9..18))), (9 + 4 * 3 + 2 * 9, 9 + 9 + 9));
        assert_eq!((most_ninths(&(0..1)), most_ninths(&(9..9))), (1 + 3 + 9, 0));
    }

    #[cfg(feature = "deep")]
    #[test]
    fn trials_differ_and_a_seed_has_its_own() {
        let base = detect::Config::named("autoencoder").unwrap();
        assert_eq!(settings(&base, 5, 0), base);
        let of =
            |seed: u64| -> Vec<_> { (1..50).map(|trial| settings(&base, seed, trial)).collect() };
        let (five, six) = (of(5), of(6));
        assert_eq!(five, of(5));
        assert!((0..49).all(|i| five[i] != six[i] && !five[..i].contains(&five[i])));
    }
}

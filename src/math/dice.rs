//! Distributions over the crate's generator.

use crate::math::random::Random;

/// The time between two events that know nothing of each other, in units of its mean.
pub fn exponential(random: &mut Random) -> f64 {
    -(1.0 - random.unit()).max(f64::MIN_POSITIVE).ln()
}

/// Normal of mean 0 and variance 1 (Box and Muller 1958).
pub fn normal(random: &mut Random) -> f64 {
    let radius = (2.0 * exponential(random)).sqrt();
    radius * (std::f64::consts::TAU * random.unit()).cos()
}

/// Log-normal around its median.
pub fn log_normal(random: &mut Random, median: f64, sigma: f64) -> f64 {
    median * (sigma * normal(random)).exp()
}

/// A whole number below `n`, small ones more often: about Zipf's law with exponent 1.
pub fn popular(random: &mut Random, n: usize) -> usize {
    let n = n as f64;
    // The inverse of the distribution whose density is 1/(x + 1).
    let x = (n + 1.0).powf(random.unit()) - 1.0;
    (x as usize).min(n as usize - 1)
}

/// The place of a weight, by weight.
pub fn weighted(random: &mut Random, weights: impl Iterator<Item = f64> + Clone) -> usize {
    let mut left = random.unit() * weights.clone().sum::<f64>();
    let mut last = 0;
    for (i, weight) in weights.enumerate().filter(|(_, weight)| *weight > 0.0) {
        last = i;
        if left < weight {
            return i;
        }
        left -= weight;
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dice_keep_their_laws() {
        let mut random = Random::new(1);
        let n = 20_000;
        let mean = (0..n).map(|_| exponential(&mut random)).sum::<f64>() / f64::from(n);
        assert!((mean - 1.0).abs() < 0.05, "{mean}");
        let mut drawn: Vec<f64> = (0..n).map(|_| log_normal(&mut random, 4.0, 0.6)).collect();
        drawn.sort_by(f64::total_cmp);
        assert!((drawn[10_000] - 4.0).abs() < 0.2, "{}", drawn[10_000]);
        let mut counts = [0; 100];
        (0..n).for_each(|_| counts[popular(&mut random, 100)] += 1);
        assert!(counts[0] > 5 * counts[9] && counts[99] > 0, "{counts:?}");
        let mut counts = [0; 3];
        (0..n).for_each(|_| counts[weighted(&mut random, [1.0, 0.0, 3.0].into_iter())] += 1);
        assert!(counts[1] == 0 && (counts[2] - 15_000_i32).abs() < 500, "{counts:?}");
    }
}

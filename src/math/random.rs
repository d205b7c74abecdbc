//! Random numbers that are the same everywhere for the same seed.
//!
//! Owns: the generator that every seeded fit draws from. A generator of the process, such as burn's,
//! is shared: two fits at once would disturb each other. Nothing here draws from one.

/// `SplitMix64` (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A stream of its own for every seed.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    #[inline(always)]
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in 0..1; 24 bits, all that an `f32` holds.
    pub fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 24) as f32
    }

    /// Uniform in `0..n`, for `n` far below 2³²; 0 if `n` is 0.
    #[inline(always)]
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }

    /// Fisher and Yates.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_same_stream_and_a_shuffle_loses_nothing() {
        let mut items: Vec<usize> = (0..100).collect();
        let mut again = items.clone();
        Random::new(7).shuffle(&mut items);
        Random::new(7).shuffle(&mut again);
        assert_eq!(items, again);
        assert_ne!(items[..5], [0, 1, 2, 3, 4]);
        items.sort_unstable();
        assert!(items.iter().enumerate().all(|(i, &item)| i == item));
        let mut random = Random::new(1);
        let mean = (0..4000).map(|_| random.unit()).sum::<f32>() / 4000.0;
        assert!((mean - 0.5).abs() < 0.02, "{mean}");
        assert_eq!(random.below(0), 0);
    }
}

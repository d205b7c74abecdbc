//! Noise without state: the value at a time is a hash of the time.
//!
//! Owns: determinism. Does not own: what the noise is added to.

/// How long, in seconds, each layer of the noise remembers. Together they fall off like an AR(1).
const LAYERS_S: [i64; 3] = [3, 15, 75];

/// Mixes a key and a number into 64 even bits (SplitMix64's finaliser).
pub(super) fn hash(key: u64, n: i64) -> u64 {
    let mut x = key.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (n as u64).wrapping_add(key << 7);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Even in 0..1.
pub(super) fn uniform(key: u64, n: i64) -> f64 {
    (hash(key, n) >> 11) as f64 / (1u64 << 53) as f64
}

/// Bell-shaped around 0 with unit variance, never beyond ±3.5: the sum of four even 16-bit numbers.
fn bell(key: u64, n: i64) -> f64 {
    let bits = hash(key, n);
    let sum: u64 = (0..4).map(|i| (bits >> (16 * i)) & 0xffff).sum();
    (sum as f64 / 65_536.0 - 2.0) * 3f64.sqrt()
}

/// Noise around 0 with about unit variance that remembers for about a minute.
pub(super) fn noise(key: u64, t_s: i64) -> f64 {
    let mut sum = 0.3 * bell(key, t_s);
    for (layer, period_s) in LAYERS_S.iter().enumerate() {
        let key = key.wrapping_add(1 + layer as u64);
        let at = t_s.div_euclid(*period_s);
        let part = t_s.rem_euclid(*period_s) as f64 / *period_s as f64;
        sum += 0.5 * (bell(key, at) * (1.0 - part) + bell(key, at + 1) * part);
    }
    // 0.3² + 3 · 0.5² · ⅔, the last for the averaging between two points.
    sum / 0.59f64.sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_has_mean_zero_variance_one_and_a_memory() {
        let values: Vec<f64> = (0..200_000).map(|t| noise(42, t)).collect();
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let at_lag = |lag| values.iter().zip(&values[lag..]).map(|(a, b)| a * b).sum::<f64>() / n;
        assert!(mean.abs() < 0.03, "{mean}");
        assert!((at_lag(0) - 1.0).abs() < 0.05, "{}", at_lag(0));
        assert!(at_lag(1) > 0.7 && at_lag(10) > 0.25 && at_lag(300).abs() < 0.05);
        assert!(values.iter().all(|v| v.abs() < 6.0));
    }
}

//! Robust statistics of plain numbers.
//!
//! Owns: quantiles and what is made of them. Gaps (NaN) are left out everywhere.

/// Standard deviations per median absolute deviation, for Gaussian noise.
pub const SIGMA_PER_MAD: f64 = 1.4826;

/// The values without gaps, in order.
pub fn sorted(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.into_iter().filter(|v| !v.is_nan()).collect();
    values.sort_unstable_by(f64::total_cmp);
    values
}

/// The `q` quantile (0..=1) of sorted values, interpolated linearly as numpy does; NaN of none.
pub fn quantile(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    let at = q.clamp(0.0, 1.0) * last as f64;
    let (low, high) = (sorted[at as usize], sorted[(at as usize + 1).min(last)]);
    let part = at.fract();
    // Not low + (high − low)·part: the difference may overflow.
    if part == 0.0 { low } else { low * (1.0 - part) + high * part }
}

/// The median; NaN of none.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().filter(|v| !v.is_nan()).collect();
    let middle = values.len() / 2;
    if values.is_empty() {
        return f64::NAN;
    }
    // What is not in the middle need not be in order.
    let odd = values.len() % 2 == 1;
    let (lower, &mut high, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    if odd {
        return high;
    }
    let low = lower.iter().copied().max_by(f64::total_cmp).unwrap_or(high);
    low * 0.5 + high * 0.5
}

/// The median of values without gaps, which come out in another order; NaN of none. Cheaper than
/// sorting them.
pub fn median_of(values: &mut [f64]) -> f64 {
    let n = values.len();
    if n == 0 {
        return f64::NAN;
    }
    let (below, &mut middle, _) = values.select_nth_unstable_by(n / 2, f64::total_cmp);
    if n % 2 == 1 {
        return middle;
    }
    0.5 * below.iter().copied().fold(f64::NEG_INFINITY, f64::max) + 0.5 * middle
}

/// Median absolute deviation from `centre`; NaN of none.
pub fn mad(values: impl IntoIterator<Item = f64>, centre: f64) -> f64 {
    median(values.into_iter().map(|v| (v - centre).abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_numpys() {
        let values = sorted([3.0, f64::NAN, 1.0, 2.0, 10.0]);
        assert_eq!(values, [1.0, 2.0, 3.0, 10.0]);
        assert_eq!([0.0, 0.25, 0.5, 1.0].map(|q| quantile(&values, q)), [1.0, 1.75, 2.5, 10.0]);
        assert_eq!((median([5.0]), quantile(&[5.0], 0.9)), (5.0, 5.0));
        assert!(median([f64::NAN]).is_nan());
        assert_eq!(median([4.0, f64::NAN, 1.0, 3.0, 2.0]), 2.5);
        for n in 1..40 {
            let values = || (0..n).map(|i| f64::from(i * 7919 % 41).sin());
            assert_eq!(median(values()).to_bits(), quantile(&sorted(values()), 0.5).to_bits());
        }
    }

    #[test]
    fn deviation_is_from_the_given_centre() {
        assert_eq!(mad([1.0, 2.0, 9.0, f64::NAN], 2.0), 1.0);
        assert_eq!(quantile(&[-1e308, 1e308], 0.5), 0.0);
    }

    #[test]
    fn both_medians_agree() {
        for n in 0..9 {
            let mut values: Vec<f64> = (0..n).map(|i| f64::from(i * 5 % 7)).collect();
            assert!(median(values.clone()).total_cmp(&median_of(&mut values)).is_eq(), "{n}");
        }
    }
}

//! Which rows would have told somebody.

/// The rows that score `threshold` or more and are at least the `consecutive`-th to do so in a row: a
/// streak is held across rows without a score (NaN), as the exported one is.
pub fn alarms(scores: &[f64], threshold: f64, consecutive: u32) -> Vec<bool> {
    let mut streak = 0u32;
    let alarm = |score: &f64| {
        if *score >= threshold {
            streak = streak.saturating_add(1);
        } else if !score.is_nan() {
            streak = 0;
        }
        *score >= threshold && streak >= consecutive
    };
    scores.iter().map(alarm).collect()
}

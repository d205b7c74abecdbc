//! The rhythm of a series, which says how near to an anomaly a score is as good as on it.

/// Rows that are looked at.
const MOST_ROWS: usize = 20_000;
/// Longest lag that is looked at, in rows.
const MOST_LAG: usize = 400;
/// Lags below are the noise's.
const FIRST_LAG: usize = 3;
/// The period of a series that has none, in rows, and between which limits one is believed.
const USUAL: usize = 125;

/// The longest label buffer of VUS-PR, in rows: the [`period`], but no more than half of the median stretch between two
/// incidents. Wider ones would reach from one to the next, and hardly a row would be wrong to call.
pub fn buffer(values: &[f64], labels: &[bool]) -> usize {
    let runs: Vec<&[bool]> = labels.chunk_by(|a, b| a == b).collect();
    let between = runs.iter().skip(1).take(runs.len().saturating_sub(2)).filter(|run| !run[0]);
    let mut between: Vec<usize> = between.map(|run| run.len()).collect();
    between.sort_unstable();
    let half = between.get(between.len() / 2).map_or(usize::MAX, |rows| rows / 2);
    period(values).min(half)
}

/// The dominant period of values in rows, 6 to 303, or 125 where there is none: the highest peak of the
/// autocorrelation function of the first 20,000 rows.
///
/// It is the longest label buffer of VUS-PR for TSB-AD (Liu and Paparrizos, `NeurIPS` 2024). Gaps (NaN) count
/// as the mean.
pub fn period(values: &[f64]) -> usize {
    let head = &values[..values.len().min(MOST_ROWS)];
    let known = || head.iter().filter(|v| !v.is_nan());
    let mean = known().sum::<f64>() / known().count() as f64;
    let x: Vec<f64> = head.iter().map(|v| if v.is_nan() { 0.0 } else { v - mean }).collect();
    let at = |lag: usize| match x.get(lag..) {
        Some(later) => later.iter().zip(&x).map(|(a, b)| a * b).sum::<f64>(),
        None => 0.0,
    };
    let acf: Vec<f64> = (FIRST_LAG..=MOST_LAG).map(at).collect();
    // A sum of squares and one that only rounding keeps from zero are the same thing.
    let noise = 1e-12 * at(0);
    let rises = |i: &usize| acf[i - 1] + noise < acf[*i] && acf[*i] > acf[i + 1] + noise;
    let peaks = (1..acf.len().saturating_sub(1)).filter(rises);
    let best = peaks.fold(0, |best, i| if best == 0 || acf[i] > acf[best] { i } else { best });
    if (3..=300).contains(&best) { best + FIRST_LAG } else { USUAL }
}

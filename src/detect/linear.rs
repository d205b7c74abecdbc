//! What the two linear detectors of all features at once have in common.
//!
//! Owns: which columns are read, and what makes one raw score of many residuals.

use crate::detect::FitContext;
use crate::detect::FitError;
use crate::detect::Raw;
use crate::detect::RestoreError;
use crate::math::stats;
use crate::series::Window;

/// Rows with data without which nothing is learnt.
pub(in crate::detect) const MIN_ROWS: usize = 32;
/// Most columns that are read.
pub(in crate::detect) const MOST_COLUMNS: usize = 512;

/// Newest rows that make a raw score.
pub(in crate::detect) const TAIL: usize = 4;

/// Preprocessed values are learnt from as if they were no further out: one wild row must not turn what
/// is usual towards itself. Far enough for features whose usual bursts are many times their usual spread.
const NEAR: f64 = 100.0;
/// No value counts for more: a feature that was flat in training has a tiny scale, and would drown the others.
const FAR: f64 = 30.0;
/// Smallest scale of a residual, in preprocessed units: less is no effect worth a page.
const SCALE_FLOOR: f64 = 0.1;
/// Rows between two questions whether to go on.
const PIECE_ROWS: usize = 512;

/// The columns that have at least [`MIN_ROWS`] values; the others cannot be judged.
///
/// # Errors
/// There are fewer rows than that in which one of them has a value.
pub(in crate::detect) fn live(train: &Window) -> Result<Vec<usize>, FitError> {
    let count = |f: &usize| train.column(*f).iter().filter(|v| !v.is_nan()).count() >= MIN_ROWS;
    let live: Vec<usize> = (0..train.n_features).filter(count).take(MOST_COLUMNS).collect();
    match (0..train.grid.len).filter(|&i| train.row(i).iter().any(|v| !v.is_nan())).count() {
        have if live.is_empty() || have < MIN_ROWS => {
            Err(FitError::TooFewRows { have: have.min(MIN_ROWS - 1), want: MIN_ROWS })
        }
        _ => Ok(live),
    }
}

/// The columns `live` of every row, as they are learnt from.
pub(in crate::detect) fn near(train: &Window, live: &[usize]) -> Window {
    let mut rows = train.select(live);
    rows.values.iter_mut().filter(|v| !v.is_nan()).for_each(|v| *v = v.clamp(-NEAR, NEAR));
    rows
}

/// The columns `live` of every row, as they are scored.
pub(in crate::detect) fn far(window: &Window, live: &[usize]) -> Window {
    let mut rows = window.select(live);
    rows.values.iter_mut().filter(|v| !v.is_nan()).for_each(|v| *v = v.clamp(-FAR, FAR));
    rows
}

/// Each column's mean without its gaps.
pub(in crate::detect) fn means(rows: &Window) -> Vec<f64> {
    let mean = |f: usize| {
        let column = rows.column(f);
        let known = || column.iter().filter(|v| !v.is_nan());
        known().sum::<f64>() / known().count().max(1) as f64
    };
    (0..rows.n_features).map(mean).collect()
}

/// Calls `each` for every row, and asks now and then whether to go on.
pub(in crate::detect) fn each_row(
    rows: std::ops::Range<usize>,
    context: &FitContext<'_>,
    mut each: impl FnMut(usize),
) -> Result<(), FitError> {
    for i in rows {
        if i.is_multiple_of(PIECE_ROWS) && !(context.keep_going)() {
            return Err(FitError::Stopped);
        }
        each(i);
    }
    Ok(())
}

/// The size of a usual residual: the larger of what the middle and the tail would be if it were normal.
pub(in crate::detect) fn usual(residuals: impl Iterator<Item = f64>) -> f64 {
    let sizes = stats::sorted(residuals.map(f64::abs));
    if sizes.is_empty() {
        return 1.0;
    }
    let at = |q: f64| stats::quantile(&sizes, q);
    (at(0.5) / 0.6745).max(at(0.95) / 1.96).max(SCALE_FLOOR)
}

/// The mean of a row's squares, each in its scale; `None` where all are gaps.
pub(in crate::detect) fn mean_square(squares: &[Option<f64>]) -> Option<f64> {
    let known = squares.iter().flatten();
    let n = known.clone().count();
    // Below zero only by rounding, or of numbers that were damaged.
    (n > 0).then(|| known.sum::<f64>() / n as f64).map(|mean| if mean < 0.0 { 0.0 } else { mean })
}

/// Raw scores of the rows `first..n`: the root of the mean over the newest [`TAIL`] rows of what `mean_square`
/// says of each. What lasts adds up, and one noisy row is not the strangest.
pub(in crate::detect) fn raws(
    first: usize,
    n: usize,
    mean_square: impl Fn(usize) -> Option<f64>,
) -> Vec<Raw> {
    let from = first.saturating_sub(TAIL - 1).min(n);
    let squares: Vec<Option<f64>> = (from..n).map(mean_square).collect();
    let raw = |i: usize| {
        let tail = &squares[(i + 1).saturating_sub(TAIL).max(from) - from..=i - from];
        if tail.last().is_none_or(Option::is_none) {
            return Raw::UNKNOWN;
        }
        let known = tail.iter().flatten();
        let value = (known.clone().sum::<f64>() / known.count() as f64).sqrt();
        // Not min alone, which takes NaN for a number.
        let value = if value.is_infinite() { f64::MAX } else { value };
        Raw { value, forecast: None }
    };
    (first..n).map(raw).collect()
}

/// Refuses stored columns that no window of so many features can have.
///
/// # Errors
/// They are not ascending, too many, or beyond the features.
pub(in crate::detect) fn columns(
    live: &[u16],
    n_features: usize,
) -> Result<Vec<usize>, RestoreError> {
    let columns: Vec<usize> = live.iter().map(|&column| column.into()).collect();
    let ascending = columns.windows(2).all(|pair| pair[0] < pair[1]);
    let inside = columns.last().is_some_and(|last| *last < n_features);
    match ascending && inside && columns.len() <= MOST_COLUMNS {
        true => Ok(columns),
        false => Err(RestoreError("columns that are not those of its features".to_string())),
    }
}

/// Refuses stored scales that are not above zero.
///
/// # Errors
/// One is not.
pub(in crate::detect) fn positive(scales: Vec<f64>) -> Result<Vec<f64>, RestoreError> {
    match scales.iter().all(|scale| *scale > 0.0) {
        true => Ok(scales),
        false => Err(RestoreError("a scale that is not above zero".to_string())),
    }
}

/// Each feature's share of the squares of the newest [`TAIL`] rows of `n`, by its place among all features;
/// `None` where there is nothing to share.
pub(in crate::detect) fn shares(
    n: usize,
    squares: impl Fn(usize) -> Vec<Option<f64>>,
    live: &[usize],
    n_features: usize,
) -> Option<Vec<f64>> {
    let mut shares = vec![0.0; n_features];
    for i in n.saturating_sub(TAIL)..n {
        let squares = squares(i);
        // As in the score, every row has the same weight.
        let n_known = squares.iter().flatten().count().max(1) as f64;
        for (square, &column) in squares.iter().zip(live) {
            shares[column] += square.unwrap_or(0.0) / n_known;
        }
    }
    // What explains another away has no part in the score.
    shares.iter_mut().for_each(|share| *share = share.max(0.0));
    let total: f64 = shares.iter().sum();
    shares.iter_mut().for_each(|share| *share /= total);
    (total > 0.0 && total.is_finite()).then_some(shares)
}

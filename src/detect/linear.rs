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

/// Mean squares of a feature, in its usual ones, up to which they add up as they are; beyond, only their
/// logarithms do. One feature that explodes among fifty is seen, and does not drown the others.
const MILD: f64 = 10.0;
/// Ranges of almost all of training are so many standard deviations where values are Gaussian.
const GAUSSIAN_RANGE: f64 = 6.6;

/// Preprocessed values are learnt from as if they were no further out: one wild row must not turn what
/// is usual towards itself. Far enough for features whose usual bursts are many times their usual spread.
const NEAR: f64 = 100.0;
/// No value counts for more: a feature that was flat in training has a tiny scale, and would be all there is.
const FAR: f64 = 300.0;
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
    match (0..train.grid.len).filter(|&i| train.has_data(i)).count() {
        have if live.is_empty() || have < MIN_ROWS => {
            Err(FitError::TooFewRows { have: have.min(MIN_ROWS - 1), want: MIN_ROWS })
        }
        _ => Ok(live),
    }
}

/// How far each of the columns `live` reached in training, in preprocessed units; at least 1.
///
/// A feature that is mostly flat has a tiny spread, and its usual bursts are hundreds of it: measured in that, a
/// burst ten times as large is cut off like a usual one.
pub(in crate::detect) fn reaches(train: &Window, live: &[usize]) -> Vec<f64> {
    let reach = |column: &usize| {
        let values = stats::sorted(train.column(*column));
        let at = |q: f64| stats::quantile(&values, q) / GAUSSIAN_RANGE;
        let range = at(0.999) - at(0.001);
        // Not clamp, which would keep what is no number.
        if range > 1.0 { range.min(f64::MAX) } else { 1.0 }
    };
    live.iter().map(reach).collect()
}

/// The columns `live` of every row in units of `reach`, as they are learnt from.
pub(in crate::detect) fn near(train: &Window, live: &[usize], reach: &[f64]) -> Window {
    within(train, live, reach, NEAR)
}

/// The columns `live` of every row in units of `reach`, as they are scored.
pub(in crate::detect) fn far(window: &Window, live: &[usize], reach: &[f64]) -> Window {
    within(window, live, reach, FAR)
}

fn within(window: &Window, live: &[usize], reach: &[f64], most: f64) -> Window {
    let mut rows = window.select(live);
    for row in rows.values.chunks_mut(live.len().max(1)) {
        for (value, reach) in row.iter_mut().zip(reach).filter(|(value, _)| !value.is_nan()) {
            *value = (*value / reach).clamp(-most, most);
        }
    }
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

/// Squared residuals of a row by column, each in its scale; `None` where the column is a gap.
pub(in crate::detect) type Squares = Vec<Option<f64>>;

/// Residuals as [`Squares`].
pub(in crate::detect) fn squares(residuals: Vec<f64>, scales: &[f64]) -> Squares {
    let square = |(residual, scale): (f64, &f64)| {
        (!residual.is_nan()).then(|| (residual / scale) * (residual / scale))
    };
    residuals.into_iter().zip(scales).map(square).collect()
}

/// How strange one feature was, whose mean square in its usual ones is this: ln(1 + mean square ⁄ [`MILD`]).
pub(in crate::detect) fn strangeness(mean_square: f64) -> f64 {
    (mean_square / MILD).ln_1p()
}

/// The raw score of features that were so strange, in the units of one residual; NaN of none. A mean over all, so that
/// what many say a little of counts, too.
pub(in crate::detect) fn together(strange: impl Iterator<Item = f64> + Clone) -> f64 {
    let mean = strange.clone().sum::<f64>() / strange.count() as f64;
    let value = (MILD * mean.exp_m1()).sqrt();
    // Not min alone, which takes NaN for a number.
    if value.is_infinite() { f64::MAX } else { value }
}

/// How strange each column was in the newest rows; `None` of gaps alone.
fn strange(tail: &[Squares]) -> Vec<Option<f64>> {
    let n_columns = tail.iter().map(Vec::len).max().unwrap_or(0);
    let column = |j: usize| {
        let known = || tail.iter().filter_map(move |squares| squares.get(j).copied().flatten());
        let n = known().count();
        (n > 0).then(|| strangeness(known().sum::<f64>().min(f64::MAX) / n as f64))
    };
    (0..n_columns).map(column).collect()
}

/// Raw scores of the rows `first..n`, of the newest `tail` rows of what `squares` says of each: each column's mean
/// square, of which 1 is usual, in the mean over the columns of its logarithm (the log-likelihood of Student's t,
/// whose tails are heavy, is of this form), and brought back to the units of one residual.
///
/// What lasts adds up, as what many features say a little of does, and one noisy row or feature is not the
/// strangest.
pub(in crate::detect) fn raws(
    first: usize,
    n: usize,
    tail: usize,
    squares: impl Fn(usize) -> Squares,
) -> Vec<Raw> {
    let from = first.saturating_sub(tail - 1).min(n);
    let all: Vec<Squares> = (from..n).map(squares).collect();
    let raw = |i: usize| {
        let newest = &all[(i + 1).saturating_sub(tail).max(from) - from..=i - from];
        if newest.last().is_none_or(|own| own.iter().flatten().next().is_none()) {
            return Raw::UNKNOWN;
        }
        let value = together(strange(newest).iter().flatten().copied());
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

/// Each feature's share of the raw score of row `n` − 1, by its place among all features; `None` where there is
/// nothing to share.
pub(in crate::detect) fn shares(
    n: usize,
    tail: usize,
    squares: impl Fn(usize) -> Squares,
    live: &[usize],
    n_features: usize,
) -> Option<Vec<f64>> {
    let newest: Vec<Squares> = (n.saturating_sub(tail)..n).map(squares).collect();
    let mut shares = vec![0.0; n_features];
    for (strange, &column) in strange(&newest).into_iter().zip(live) {
        shares[column] = strange.unwrap_or(0.0);
    }
    let total: f64 = shares.iter().sum();
    shares.iter_mut().for_each(|share| *share /= total);
    (total > 0.0 && total.is_finite()).then_some(shares)
}

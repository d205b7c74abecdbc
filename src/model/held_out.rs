//! Rows that a fit never saw, scored: what a model is calibrated on.

use std::ops::Range;

use crate::detect;
use crate::detect::FitContext;
use crate::detect::FitError;
use crate::detect::Raw;
use crate::series::Window;

/// Rows up to which it is cheap to fit again and again.
pub(super) const FEW_ROWS: usize = 4_000;

/// Raw scores of rows by fits that never saw them.
///
/// Few rows are all needed: each third is scored by a network fitted on the other two, with the third
/// as a gap. Where there are many, and for single detectors, whose fit is the past, the later part is
/// scored in stretches by fits of what came before.
pub(super) fn held_out(
    detector: &detect::Config,
    rows: &Window,
    context: &FitContext<'_>,
) -> Result<Vec<f64>, FitError> {
    let n = rows.grid.len;
    let mut scores = Vec::new();
    // The fit of the rows before is a place to start from that has not seen these either, which the
    // champion has; where a fit is of the rows around them, there is none.
    let mut before = None;
    let count = stretches(detector, n).count() as f64;
    for (k, (from, to)) in stretches(detector, n).enumerate() {
        let few = detector.joint() && n <= FEW_ROWS;
        let known = if few { without(rows, from, to) } else { rows.slice(0, from) };
        // Nobody follows these: they are not the model.
        let part = context.part(k as f64 / count..(k + 1) as f64 / count);
        let blind =
            FitContext { previous: before.as_ref(), looks: None, stages: Some(&part), ..*context };
        let fitted = match detector.fit(&known, &blind) {
            Ok(fitted) => fitted,
            // A season needs to be seen twice: until then there is nobody to score the stretch.
            Err(FitError::TooFewRows { .. }) => continue,
            Err(error) => return Err(error),
        };
        let scored = in_pieces(fitted.as_ref(), rows, from..to, context.keep_going);
        scores.extend(scored.ok_or(FitError::Stopped)?.iter().map(|raw| raw.value));
        before = (!detector.joint()).then(|| fitted.parts());
    }
    Ok(scores)
}

/// The highest raw score of the later half of the rows by a fit of the earlier: what a model says that is in use until
/// its history has doubled. NaN where half of them are too few.
pub(super) fn rehearsed(
    detector: &detect::Config,
    rows: &Window,
    context: &FitContext<'_>,
) -> Result<f64, FitError> {
    let n = rows.grid.len;
    let blind = FitContext { previous: None, looks: None, ..*context };
    let fitted = match detector.fit(&rows.slice(0, n / 2), &blind) {
        Ok(fitted) => fitted,
        Err(FitError::TooFewRows { .. }) => return Ok(f64::NAN),
        Err(error) => return Err(error),
    };
    let scored = in_pieces(fitted.as_ref(), rows, n / 2..n, context.keep_going);
    let scored = scored.ok_or(FitError::Stopped)?;
    Ok(scored.iter().map(|raw| raw.value).fold(f64::NAN, f64::max))
}

/// The stretches of `n` rows that are held out one after the other.
pub(super) fn stretches(
    detector: &detect::Config,
    n: usize,
) -> impl Iterator<Item = (usize, usize)> {
    let (first, n_stretches) = match detector {
        _ if detector.joint() && n <= FEW_ROWS => (0, 3),
        _ if detector.joint() => (n * 7 / 10, 1),
        // A forecast by the season grows old.
        detect::Config::SeasonalMedian(_) | detect::Config::Stl(_) => (n / 2, 8),
        // What reads the newest rows follows them by itself: fits twice and four times as old judge as well (VUS-PR
        // on ten ports .669, .668, .669 of a random forest), in half of the time.
        _ if n <= FEW_ROWS => (n / 2, 4),
        _ => (n / 2, 2),
    };
    let cut = move |k: usize| first + (n - first) * k / n_stretches;
    (0..n_stretches).map(move |k| (cut(k), cut(k + 1)))
}

/// Rows that even a network scores in about 50 ms.
const PIECE_ROWS: usize = 256;

/// Raw scores of some of the rows, `None` if it was to end; with a pass of scoring let in between: two weeks at 30 s are 40,000.
pub(super) fn in_pieces(
    fitted: &dyn detect::Model,
    rows: &Window,
    which: Range<usize>,
    keep_going: &dyn Fn() -> bool,
) -> Option<Vec<Raw>> {
    let mut scores = Vec::with_capacity(which.len());
    for from in which.clone().step_by(PIECE_ROWS) {
        if !keep_going() {
            return None;
        }
        let to = which.end.min(from + PIECE_ROWS);
        let seen = rows.slice(from.saturating_sub(fitted.lookback()), to);
        scores.extend(fitted.score(&seen, seen.grid.len - (to - from)));
    }
    Some(scores)
}

/// The rows with `from..to` as a gap.
fn without(rows: &Window, from: usize, to: usize) -> Window {
    let mut rows = rows.clone();
    (from..to).for_each(|i| rows.row_mut(i).fill(f64::NAN));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::Episode;
    use crate::detect::Parts;
    use crate::series::Grid;
    use crate::verdict::Class;

    /// The sum of a row and the five before it.
    struct Sum;

    impl detect::Model for Sum {
        fn lookback(&self) -> usize {
            5
        }

        fn score(&self, window: &Window, first: usize) -> Vec<Raw> {
            let sum = |i: usize| (i.saturating_sub(5)..=i).map(|i| window.row(i)[0]).sum();
            let value = |i: usize| if i < 5 { f64::NAN } else { sum(i) };
            (first..window.grid.len).map(|i| Raw { value: value(i), forecast: None }).collect()
        }

        fn parts(&self) -> Parts {
            Parts::default()
        }
    }

    fn rows(n: usize) -> Window {
        let value = |i: usize| (i as f64 * 0.3).sin() + (i * i % 17) as f64 / 17.0;
        let value = |i: usize| if i.is_multiple_of(97) { f64::NAN } else { value(i) };
        Window::single(Grid { start_s: 0, step_s: 60, len: n }, (0..n).map(value).collect())
    }

    fn pieces_are_the_whole(fitted: &dyn detect::Model, rows: &Window) {
        let n = rows.grid.len;
        for which in [0..n, 3..n, n / 2..n, 10..10] {
            let seen = rows.slice(0, which.end);
            let whole = fitted.score(&seen, which.start);
            let pieces = in_pieces(fitted, rows, which.clone(), &|| true).unwrap();
            assert_eq!(pieces.len(), whole.len());
            for (i, (piece, whole)) in pieces.iter().zip(&whole).enumerate() {
                let (piece, whole) = (piece.value, whole.value);
                assert!(
                    piece.to_bits() == whole.to_bits() || piece.is_nan() && whole.is_nan(),
                    "{i}"
                );
            }
        }
    }

    #[test]
    fn scores_in_pieces_are_those_of_the_whole() {
        pieces_are_the_whole(&Sum, &rows(4 * PIECE_ROWS + 7));
        let mut surge = rows(300);
        surge.values[290..].fill(30.0);
        let from_s = surge.grid.time(290);
        let episodes = [Episode { rows: surge, from_s, class: Class::anomaly("surge") }];
        let context = FitContext { episodes: &episodes, ..FitContext::new(0, &|| true) };
        for name in detect::Config::NAMES {
            let mut detector = detect::Config::named(name).unwrap();
            detector.set_window(8);
            // Two days of minutes; a season needs to be seen twice.
            let mut long = rows(2 * 1440 + 60);
            let fitted = detector.fit(&long, &context).unwrap();
            long = long.slice(0, 2 * PIECE_ROWS + 9);
            pieces_are_the_whole(fitted.as_ref(), &long);
        }
    }

    #[test]
    fn scoring_ends_when_it_is_told_to() {
        let left = std::sync::atomic::AtomicI64::new(2);
        let keep_going = || left.fetch_sub(1, std::sync::atomic::Ordering::Relaxed) > 0;
        let rows = rows(10 * PIECE_ROWS);
        let stopped = in_pieces(&Sum, &rows, 0..rows.grid.len, &keep_going);
        assert_eq!(stopped, None);
    }
}

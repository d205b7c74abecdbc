//! What stands in a gap.

use serde::Deserialize;
use serde::Serialize;

use crate::preprocess::steps::Horizon;
use crate::series::Window;

/// What becomes of rows that nobody delivered. Whatever it is, models learn nothing from it: a point
/// of which less than half was measured stays a gap in training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fill {
    /// They stay gaps, which cost their own score only.
    Gap,
    /// Zero, as the workshop has it: an exporter that is away looks like an outage.
    Zero,
    /// The last value, if it is at most so many rows old.
    Previous(usize),
    /// On the line between the values around a gap that are at most so many rows apart, if both are
    /// known when the row's bucket is judged; a line to a value that is yet to come would change
    /// rows that were judged already.
    Interpolate(usize),
}

impl Fill {
    /// Rows before its own that a row may depend on.
    pub(super) fn n_rows_before(self) -> usize {
        match self {
            Fill::Gap | Fill::Zero => 0,
            Fill::Previous(rows) | Fill::Interpolate(rows) => rows,
        }
    }

    /// What can never fill anything.
    pub(super) fn problem(self) -> Option<String> {
        match self {
            Fill::Previous(0) => Some("fills no row; wanted at least one".into()),
            Fill::Interpolate(0 | 1) => {
                Some("two values one row apart have no gap between them; wanted 2 rows".into())
            }
            _ => None,
        }
    }

    pub(super) fn apply(self, raw: Window, horizon: Horizon) -> Window {
        if self == Fill::Gap {
            return raw;
        }
        let mut out = raw.clone();
        for feature in 0..raw.n_features {
            let values = raw.column(feature);
            for i in (0..values.len()).filter(|&i| !values[i].is_finite()) {
                let filled = match self {
                    Fill::Gap => f64::NAN,
                    Fill::Zero => 0.0,
                    Fill::Previous(rows) => {
                        before(&values, i, rows).map_or(f64::NAN, |p| values[p])
                    }
                    Fill::Interpolate(rows) => {
                        between(&values, i, rows, horizon.last(raw.grid, i)).unwrap_or(f64::NAN)
                    }
                };
                out.row_mut(i)[feature] = filled;
            }
        }
        out
    }
}

/// The newest known row before `i`, at most `rows` back.
fn before(values: &[f64], i: usize, rows: usize) -> Option<usize> {
    (i.saturating_sub(rows)..i).rev().find(|&p| values[p].is_finite())
}

/// The line over row `i` between known rows at most `rows` apart, the later one not after `last`.
fn between(values: &[f64], i: usize, rows: usize, last: usize) -> Option<f64> {
    let from = before(values, i, rows)?;
    let to = (i + 1..=last.min(from.saturating_add(rows))).find(|&q| values[q].is_finite())?;
    let share = (i - from) as f64 / (to - from) as f64;
    // Not `a + (b − a)·share`, which overflows between values near the largest.
    Some(values[from] * (1.0 - share) + values[to] * share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Grid;

    fn filled(fill: Fill, bucket_s: Option<i64>, values: &[f64]) -> Vec<String> {
        let grid = Grid { start_s: 0, step_s: 300, len: values.len() };
        let out = fill.apply(Window::single(grid, values.to_vec()), Horizon { bucket_s });
        out.values.iter().map(f64::to_string).collect()
    }

    const N: f64 = f64::NAN;

    #[test]
    fn gaps_are_filled_from_what_is_known_by_then() {
        let rows = [N, 1.0, N, N, N, 4.0];
        assert_eq!(filled(Fill::Gap, None, &rows), ["NaN", "1", "NaN", "NaN", "NaN", "4"]);
        assert_eq!(filled(Fill::Zero, None, &rows), ["0", "1", "0", "0", "0", "4"]);
        assert_eq!(filled(Fill::Previous(2), None, &rows), ["NaN", "1", "1", "1", "NaN", "4"]);
        let line = filled(Fill::Interpolate(4), Some(1800), &[N, 1.0, N, 3.0, N, N]);
        assert_eq!(line, ["NaN", "1", "2", "3", "NaN", "NaN"], "nothing is drawn on");
        let line = filled(Fill::Interpolate(3), Some(1800), &[1.0, N, N, N, 5.0, 6.0]);
        assert_eq!(line, ["1", "NaN", "NaN", "NaN", "5", "6"], "too far apart");
    }

    #[test]
    fn no_line_crosses_the_end_of_a_bucket() {
        let rows = [1.0, N, 3.0, N, 5.0, 6.0];
        assert_eq!(filled(Fill::Interpolate(4), Some(900), &rows), ["1", "2", "3", "4", "5", "6"]);
        assert_eq!(
            filled(Fill::Interpolate(4), Some(600), &rows),
            ["1", "NaN", "3", "NaN", "5", "6"]
        );
        assert_eq!(filled(Fill::Interpolate(4), None, &rows)[1], "NaN");
    }

    #[test]
    fn what_fills_nothing_is_a_problem() {
        assert!(Fill::Previous(0).problem().is_some() && Fill::Interpolate(1).problem().is_some());
        assert_eq!((Fill::Previous(1).problem(), Fill::Zero.problem()), (None, None));
    }
}

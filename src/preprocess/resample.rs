//! Sums over aligned buckets that know of missing rows.

use crate::series::Grid;
use crate::series::Window;

/// Rows per bucket, at least one.
pub(super) fn rows(step_s: i64, bucket_s: i64) -> i64 {
    (bucket_s / step_s.max(1)).max(1)
}

/// Sum of each complete bucket: of its valid rows, times rows per valid row, and a gap where fewer
/// than half are valid. Filling in zeroes instead would invent partial outages.
///
/// Rows that are buckets already come out as they are.
pub fn buckets(raw: &Window, bucket_s: i64) -> Window {
    let n = rows(raw.grid.step_s, bucket_s) as usize;
    let step_s = n as i64 * raw.grid.step_s;
    let whole = Grid::covering(raw.grid.start_s, raw.grid.end_s() - step_s + 1, step_s);
    let skip = ((whole.start_s - raw.grid.start_s) / raw.grid.step_s) as usize;
    let mut out = Window::gaps(whole, raw.n_features);
    for bucket in 0..whole.len {
        let first = skip + bucket * n;
        for feature in 0..raw.n_features {
            let values = (first..first + n).map(|i| raw.row(i)[feature]);
            out.row_mut(bucket)[feature] = sum(values, n);
        }
    }
    out
}

/// The sum of `n` values as if the missing ones were like the others.
fn sum(values: impl Iterator<Item = f64>, n: usize) -> f64 {
    let mut valid = 0;
    let mut sum = 0.0;
    for value in values.filter(|v| v.is_finite()) {
        valid += 1;
        sum += value;
    }
    if valid == 0 || valid * 2 < n { f64::NAN } else { sum * n as f64 / valid as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_complete_buckets_come_out() {
        let grid = Grid { start_s: 600, step_s: 300, len: 17 };
        let out = buckets(&Window::single(grid, (0..17).map(f64::from).collect()), 1800);
        assert_eq!((out.grid.start_s, out.grid.step_s), (1800, 1800));
        assert_eq!(out.values, [39.0, 75.0]);
        let short = Window::single(Grid { start_s: 300, step_s: 300, len: 5 }, vec![1.0; 5]);
        assert_eq!(buckets(&short, 1800).grid.len, 0);
    }

    #[test]
    fn missing_rows_count_as_the_others() {
        let nan = f64::NAN;
        let grid = Grid { start_s: 0, step_s: 300, len: 12 };
        let values = vec![1.0, nan, 3.0, nan, 2.0, nan, 1.0, nan, nan, nan, f64::INFINITY, 2.0];
        let out = buckets(&Window::single(grid, values), 1800);
        assert_eq!(out.values[0], 12.0);
        assert!(out.values[1].is_nan());
    }
}

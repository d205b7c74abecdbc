//! Seasonal-trend decomposition by loess (STL).
//!
//! Owns: the procedure and its default spans, equal to statsmodels 0.15 to 1e-9 (a fixture holds
//! it). Source: as in `loess`. Does not own: gaps; values have none here.

use crate::math::loess::Loess;
use crate::math::stats;

/// Span of the smoother of each phase's own series, in cycles.
const SEASON_SPAN: usize = 7;

/// A series taken apart; what is left over is `values − season − trend`.
#[derive(Debug, Clone, PartialEq)]
pub struct Decomposition {
    /// What comes back every period.
    pub season: Vec<f64>,
    /// What changes slowly.
    pub trend: Vec<f64>,
    /// How much each value was trusted, 0..=1; all 1 unless robust.
    pub weights: Vec<f64>,
}

/// How often each loop runs.
struct Loops {
    inner: usize,
    outer: usize,
}

/// Takes `values` apart; `period` in rows, at least 2, with at least two of them in `values`.
///
/// `robust` gives outliers less weight and costs about seven times as much. `keep_going` is asked
/// before each smoothing of the whole; `None` where it says no.
pub fn stl(
    values: &[f64],
    period: usize,
    robust: bool,
    keep_going: &dyn Fn() -> bool,
) -> Option<Decomposition> {
    let loops = if robust { Loops { inner: 2, outer: 15 } } else { Loops { inner: 5, outer: 0 } };
    let n = values.len();
    let mut pass = Pass::new(n, period);
    let mut weights: Option<Vec<f64>> = None;
    for outer in 0..=loops.outer {
        for _ in 0..loops.inner {
            if !keep_going() {
                return None;
            }
            pass.run(values, weights.as_deref());
        }
        if outer < loops.outer {
            weights = Some(pass.weights(values));
        }
    }
    let weights = weights.unwrap_or_else(|| vec![1.0; n]);
    Some(Decomposition { season: pass.season, trend: pass.trend, weights })
}

/// One series on its way.
struct Pass {
    period: usize,
    by_phase: Loess,
    low_pass: Loess,
    by_time: Loess,
    season: Vec<f64>,
    trend: Vec<f64>,
}

impl Pass {
    fn new(n: usize, period: usize) -> Pass {
        let trend_span = (1.5 * period as f64 / (1.0 - 1.5 / SEASON_SPAN as f64)).ceil() as usize;
        Pass {
            period,
            by_phase: Loess::new(SEASON_SPAN),
            low_pass: Loess::new(period + 1 + period % 2),
            by_time: Loess::new(trend_span + 1 - trend_span % 2),
            season: vec![0.0; n],
            trend: vec![0.0; n],
        }
    }

    /// The inner loop: season from what the trend leaves, then trend from what the season leaves.
    fn run(&mut self, values: &[f64], weights: Option<&[f64]>) {
        let n = values.len();
        let detrended: Vec<f64> = values.iter().zip(&self.trend).map(|(v, t)| v - t).collect();
        let cycles = self.smooth_phases(&detrended, weights);
        let means = moving_mean(&moving_mean(&moving_mean(&cycles, self.period), self.period), 3);
        let mut level = vec![0.0; n];
        self.low_pass.smooth(&means, None, &mut level);
        for (i, season) in self.season.iter_mut().enumerate() {
            *season = cycles[self.period + i] - level[i];
        }
        let left: Vec<f64> = values.iter().zip(&self.season).map(|(v, s)| v - s).collect();
        self.by_time.smooth(&left, weights, &mut self.trend);
    }

    /// Each phase's own series, smoothed and extended by one cycle at both ends.
    fn smooth_phases(&self, values: &[f64], weights: Option<&[f64]>) -> Vec<f64> {
        let mut out = vec![0.0; values.len() + 2 * self.period];
        let of_phase = |from: &[f64], phase: usize| -> Vec<f64> {
            from.iter().skip(phase).step_by(self.period).copied().collect()
        };
        for phase in 0..self.period {
            let series = of_phase(values, phase);
            let trusted = weights.map(|w| of_phase(w, phase));
            let k = series.len();
            let mut smooth = vec![0.0; k + 2];
            self.by_phase.smooth(&series, trusted.as_deref(), &mut smooth[1..=k]);
            let reach = SEASON_SPAN.min(k);
            let ends = [(0, -1.0, 0..reach), (k + 1, k as f64, k - reach..k)];
            for (to, place, window) in ends {
                let beyond = self.by_phase.at(&series, trusted.as_deref(), place, window);
                smooth[to] = beyond.unwrap_or(smooth[to.clamp(1, k)]);
            }
            for (cycle, value) in smooth.into_iter().enumerate() {
                out[cycle * self.period + phase] = value;
            }
        }
        out
    }

    /// Bisquare weights of what is left over, against six times its median.
    fn weights(&self, values: &[f64]) -> Vec<f64> {
        let fitted = self.season.iter().zip(&self.trend);
        let left: Vec<f64> =
            values.iter().zip(fitted).map(|(v, (s, t))| (v - s - t).abs()).collect();
        let reach = 6.0 * stats::median(left.iter().copied());
        let weight = |r: f64| {
            if r <= 0.001 * reach || reach == 0.0 {
                1.0
            } else if r <= 0.999 * reach {
                (1.0 - (r / reach).powi(2)).powi(2)
            } else {
                0.0
            }
        };
        left.into_iter().map(weight).collect()
    }
}

/// Means of `span` neighbours; `span − 1` fewer than there are values.
fn moving_mean(values: &[f64], span: usize) -> Vec<f64> {
    let mut sum: f64 = values[..span].iter().sum();
    let mut means = vec![sum / span as f64];
    for (old, new) in values.iter().zip(&values[span..]) {
        sum += new - old;
        means.push(sum / span as f64);
    }
    means
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Largest difference from the columns of `tests/data/reference/make_stl.py`, relative to the
    /// largest value.
    fn difference(fixture: &str, period: usize) -> f64 {
        let parse = |line: &str| line.split(',').map(|v| v.parse().unwrap()).collect::<Vec<f64>>();
        let rows: Vec<Vec<f64>> = fixture.lines().skip(1).map(parse).collect();
        let column = |i: usize| rows.iter().map(|row| row[i]).collect::<Vec<f64>>();
        let values = column(0);
        let stl = |robust| stl(&values, period, robust, &|| true).unwrap();
        let (plain, robust) = (stl(false), stl(true));
        let size = values.iter().fold(1f64, |a, v| a.max(v.abs()));
        let pairs = [
            (plain.season, column(1), size),
            (plain.trend, column(2), size),
            (robust.season, column(3), size),
            (robust.trend, column(4), size),
            (robust.weights, column(5), 1.0),
        ];
        let worst = |(have, want, size): &(Vec<f64>, Vec<f64>, f64)| {
            have.iter().zip(want).map(|(a, b)| (a - b).abs() / size).fold(0.0, f64::max)
        };
        pairs.iter().map(worst).fold(0.0, f64::max)
    }

    #[test]
    fn agrees_with_statsmodels() {
        let period24 = include_str!("../../tests/data/reference/stl_period24.csv");
        let period7 = include_str!("../../tests/data/reference/stl_period7.csv");
        let short = include_str!("../../tests/data/reference/stl_short.csv");
        assert!(difference(period24, 24) < 1e-9, "{}", difference(period24, 24));
        assert!(difference(period7, 7) < 1e-9, "{}", difference(period7, 7));
        assert!(difference(short, 12) < 1e-9, "{}", difference(short, 12));
    }

    #[test]
    fn it_ends_when_it_is_told_to() {
        let left = std::cell::Cell::new(5);
        let keep_going = || left.replace(left.get() - 1) > 0;
        assert_eq!(stl(&[3.25; 17], 4, true, &keep_going), None);
        assert_eq!(left.get(), -1, "asked between the rounds");
    }

    #[test]
    fn a_constant_is_all_trend() {
        let parts = stl(&[3.25; 17], 4, true, &|| true).unwrap();
        assert!(parts.season.iter().all(|s| s.abs() < 1e-12));
        assert!(parts.trend.iter().all(|t| (t - 3.25).abs() < 1e-12));
    }
}

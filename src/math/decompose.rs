//! Seasonal-trend decomposition by loess (STL), of one season or of several (MSTL).
//!
//! Owns: the procedures and their default spans, equal to statsmodels 0.15 to 1e-9 (fixtures hold it).
//! Sources: as in `loess`; Bandara, Hyndman, Bergmeir, "MSTL: A Seasonal-Trend Decomposition Algorithm
//! for Time Series with Multiple Seasonal Patterns" (2021).
//!
//! A gap (NaN) is a value of weight zero. What is fitted there comes from its neighbours: those in
//! time for the trend; for the season the same phase of other cycles, else the phases beside it.

mod cycles;
mod gaps;

use cycles::Cycles;

use crate::math::loess;
use crate::math::loess::Loess;
use crate::math::stats;

/// How one season is taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// In rows; at least 2, and at least two of them in the values.
    pub period: usize,
    /// Span of the smoother of each phase's own series, in cycles: odd, at least 3.
    pub span: usize,
    /// How often outliers are given less weight, each time at two fifths of what a decomposition
    /// costs that is not robust; 0 is not robust.
    pub robust_rounds: usize,
}

impl Settings {
    /// The usual span and number of rounds.
    pub fn new(period: usize, robust: bool) -> Settings {
        Settings { period, span: 7, robust_rounds: if robust { 15 } else { 0 } }
    }
}

/// A series taken apart; what is left over is `values − season − trend`.
#[derive(Debug, Clone, PartialEq)]
pub struct Decomposition {
    /// What comes back every period.
    pub season: Vec<f64>,
    /// What changes slowly.
    pub trend: Vec<f64>,
    /// How much each value was trusted, 0..=1; all 1 unless robust, 0 at a gap.
    pub weights: Vec<f64>,
}

/// A series with several seasons taken apart.
#[derive(Debug, Clone, PartialEq)]
pub struct Seasons {
    /// One per period, shortest first.
    pub seasons: Vec<Vec<f64>>,
    /// What changes slowly.
    pub trend: Vec<f64>,
    /// As in [`Decomposition`], of the last round.
    pub weights: Vec<f64>,
}

/// Takes `values` apart. `keep_going` is asked before each smoothing of the whole; `None` where it
/// says no.
pub fn stl(
    values: &[f64],
    settings: Settings,
    keep_going: &dyn Fn() -> bool,
) -> Option<Decomposition> {
    let (inner, outer) = (if settings.robust_rounds > 0 { 2 } else { 5 }, settings.robust_rounds);
    let mut weights: Vec<f64> = values.iter().map(|v| f64::from(u8::from(v.is_finite()))).collect();
    let mut pass = Pass::new(values, settings);
    for round in 0..=outer {
        if round > 0 {
            weights = pass.weights();
        }
        let by_phase = pass.cycles.trust(weights.clone());
        let by_time = pass.by_time.trust(weights.clone());
        for _ in 0..inner {
            if !keep_going() {
                return None;
            }
            pass.run(&by_phase, &by_time);
        }
    }
    Some(Decomposition { season: pass.season, trend: pass.trend, weights })
}

/// Takes `values` apart into seasons of several `periods` in rows, each as in [`Settings`], in two
/// rounds (one, for one period).
pub fn mstl(
    values: &[f64],
    periods: &[usize],
    robust: bool,
    keep_going: &dyn Fn() -> bool,
) -> Option<Seasons> {
    let mut periods = periods.to_vec();
    periods.sort_unstable();
    let rounds = if periods.len() > 1 { 2 } else { 1 };
    let mut left = values.to_vec();
    let mut seasons = vec![vec![0.0; values.len()]; periods.len()];
    let (mut trend, mut weights) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        for (i, (season, &period)) in seasons.iter_mut().zip(&periods).enumerate() {
            let with: Vec<f64> = left.iter().zip(&*season).map(|(l, s)| l + s).collect();
            let settings = Settings { span: 11 + 4 * i, ..Settings::new(period, robust) };
            let parts = stl(&with, settings, keep_going)?;
            *season = parts.season;
            left = with.iter().zip(&*season).map(|(w, s)| w - s).collect();
            (trend, weights) = (parts.trend, parts.weights);
        }
    }
    Some(Seasons { seasons, trend, weights })
}

/// One series on its way.
struct Pass {
    period: usize,
    /// Gaps are nought.
    values: Vec<f64>,
    known: Vec<bool>,
    cycles: Cycles,
    low_pass: Loess,
    even: loess::Trusted,
    by_time: Loess,
    season: Vec<f64>,
    trend: Vec<f64>,
    /// Smoothed phases, with a cycle more at both ends; then two places for as many numbers.
    buffers: [Vec<f64>; 3],
}

impl Pass {
    fn new(values: &[f64], settings: Settings) -> Pass {
        let (n, period) = (values.len(), settings.period);
        let trend_span = 1.5 * period as f64 / (1.0 - 1.5 / settings.span as f64);
        let trend_span = trend_span.ceil() as usize;
        let mut low_pass = Loess::new(period + 1 + period % 2);
        Pass {
            period,
            values: values.iter().map(|v| if v.is_finite() { *v } else { 0.0 }).collect(),
            known: values.iter().map(|v| v.is_finite()).collect(),
            cycles: Cycles::new(n, period, settings.span),
            even: low_pass.trust(vec![1.0; n]),
            low_pass,
            by_time: Loess::new(trend_span + 1 - trend_span % 2),
            season: vec![0.0; n],
            trend: vec![0.0; n],
            buffers: [(); 3].map(|()| vec![0.0; n + 2 * period]),
        }
    }

    /// The inner loop: season from what the trend leaves, then trend from what the season leaves.
    fn run(&mut self, by_phase: &cycles::Trusted, by_time: &loess::Trusted) {
        let (n, period) = (self.values.len(), self.period);
        let [smooth, a, b] = &mut self.buffers;
        subtract(&self.values, &self.trend, &mut a[..n]);
        self.cycles.smooth(&a[..n], by_phase, smooth);
        gaps::fill_phases(smooth, &a[..n], &self.known, period);
        moving_mean(smooth, period, a);
        moving_mean(&a[..n + period + 1], period, b);
        moving_mean(&b[..n + 2], 3, a);
        self.low_pass.smooth(&a[..n], &self.even, &mut b[..n]);
        subtract(&smooth[period..], &b[..n], &mut self.season);
        subtract(&self.values, &self.season, &mut a[..n]);
        self.by_time.smooth(&a[..n], by_time, &mut self.trend);
        gaps::fill_times(&mut self.trend, &a[..n], &self.known);
    }

    /// Bisquare weights of what is left over, against six times its median.
    fn weights(&mut self) -> Vec<f64> {
        let fitted = self.season.iter().zip(&self.trend);
        let left = self.values.iter().zip(fitted).map(|(v, (s, t))| (v - s - t).abs());
        let left: Vec<f64> = left.collect();
        let known = left.iter().zip(&self.known).filter(|(_, known)| **known);
        let reach = 6.0 * stats::median_of(&mut known.map(|(r, _)| *r).collect::<Vec<_>>());
        let weight = |(r, &known): (f64, &bool)| {
            if !known {
                0.0
            } else if r <= 0.001 * reach || reach == 0.0 {
                1.0
            } else if r <= 0.999 * reach {
                (1.0 - (r / reach).powi(2)).powi(2)
            } else {
                0.0
            }
        };
        left.into_iter().zip(&self.known).map(weight).collect()
    }
}

fn subtract(from: &[f64], what: &[f64], out: &mut [f64]) {
    for ((out, from), what) in out.iter_mut().zip(from).zip(what) {
        *out = from - what;
    }
}

/// Means of `span` neighbours; `span − 1` fewer than there are values.
fn moving_mean(values: &[f64], span: usize, out: &mut [f64]) {
    let mut sum: f64 = values[..span].iter().sum();
    let part = 1.0 / span as f64;
    out[0] = sum * part;
    for ((old, new), out) in values.iter().zip(&values[span..]).zip(&mut out[1..]) {
        sum += new - old;
        *out = sum * part;
    }
}

#[cfg(test)]
mod tests;

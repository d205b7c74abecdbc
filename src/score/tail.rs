//! The tail of block maxima: predicted pages per week at every raw score.
//!
//! Owns: the shape of the tail, fitted where noise dominates (20 to 180 pages a week) and
//! extrapolated to where pages are rare: Pickands' estimator of a generalised Pareto tail, shrunk
//! towards a nearly exponential one, and blended with the counts where there are any.
//! Does not own: counting (`calibrator`).

use serde::Deserialize;
use serde::Serialize;

/// Levels of the histogram of ln(raw score).
pub(super) const LEVELS: usize = 360;
/// Distance of two levels.
const WIDTH: f64 = 0.05;
/// ln 0.05, the lowest level: raw scores below are told apart by nothing.
const LOWEST: f64 = -2.995732273553991;
/// Smallest raw score that has a logarithm here.
const TINY: f64 = 1e-12;

/// Pages per week at which the tail is fitted, if there is enough history for it.
const RATE: f64 = 20.0;
/// Ratio of the rates of the three levels that give the shape.
const RATIO: f64 = 3.0;
/// Weight of the prior shape, in blocks above the fitted level.
const PRIOR_BLOCKS: f64 = 30.0;
/// The prior shape: a tail slightly heavier than exponential.
const PRIOR_SHAPE: f64 = 0.1;
/// Heaviest tail.
const MAX_SHAPE: f64 = 1.0;
/// Blocks wanted above the fitted level.
const MIN_ABOVE: f64 = 5.0;
/// Smallest scale, as a part of the fitted level.
const MIN_SCALE: f64 = 0.1;
/// Trust in the counts where they say less surprise than the fitted tail.
const BLEND: f64 = 0.15;
/// The same where the fitted levels nearly coincide, as they do with few distinct values.
const GUARDED_BLEND: f64 = 0.5;
/// Levels nearer than this part of the fitted one nearly coincide.
const COINCIDE: f64 = 0.05;
/// Smallest scale then, as a part of the fitted level.
const GUARDED_SCALE: f64 = 0.5;

/// Surprise (−ln of predicted pages per week) as a function of the raw score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub(super) struct Tail {
    /// The level of the first number of `curve`; below it the surprise is that of the first.
    first: usize,
    /// Surprise at each level that tells more than the fit alone does, never decreasing.
    curve: Vec<f64>,
    fit: Pareto,
}

/// A tail as it is read, before its numbers are trusted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    first: usize,
    curve: Vec<f64>,
    fit: Pareto,
}

impl TryFrom<Stored> for Tail {
    type Error = String;

    fn try_from(Stored { first, curve, fit }: Stored) -> Result<Tail, String> {
        let Pareto { start, rate, shape, scale, blend } = fit;
        let numbers = [start, rate, shape, scale, blend];
        let n_levels = first.saturating_add(curve.len());
        if curve.is_empty() || n_levels > LEVELS {
            return Err(format!("levels {first} to {n_levels}, wanted some up to {LEVELS}"));
        }
        if !curve.is_sorted() || !curve.iter().chain(&numbers).all(|v| v.is_finite()) {
            return Err("wanted finite numbers, those of the curve in order".into());
        }
        Ok(Tail { first, curve, fit })
    }
}

/// The fitted tail above `start`: surprise = −ln rate + ln(1 + shape·(z − start)/scale)/shape.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Pareto {
    start: f64,
    rate: f64,
    shape: f64,
    scale: f64,
    blend: f64,
}

impl Tail {
    /// The tail of `weight` block maxima counted per level in `histogram`; `guard` keeps it from
    /// being steep on few distinct values.
    pub(super) fn fit(histogram: &[f64], weight: f64, blocks_per_week: f64, guard: bool) -> Tail {
        let rates = rates(histogram, weight, blocks_per_week);
        let fit = Pareto::fit(&rates, weight, blocks_per_week, guard);
        let mut last = f64::NEG_INFINITY;
        let levels = rates.iter().enumerate().map(|(level, &rate)| {
            let surprise = fit.blended(value(level as f64), rate, rate * weight / blocks_per_week);
            last = surprise.max(last);
            last
        });
        let mut curve: Vec<f64> = levels.collect();
        // Above what was ever counted there is only the fit, which need not be written down.
        curve.truncate(rates.iter().rposition(|&rate| rate > 0.0).map_or(1, |top| top + 1));
        let first = curve.iter().take_while(|&&at| at == curve[0]).count() - 1;
        curve.drain(..first);
        Tail { first, curve, fit }
    }

    /// Surprise at a level.
    fn at(&self, level: usize) -> f64 {
        let (least, most) = (self.curve[0], self.curve[self.curve.len() - 1]);
        match level.checked_sub(self.first) {
            None => least,
            Some(i) if i < self.curve.len() => self.curve[i],
            Some(_) => self.fit.blended(value(level as f64), 0.0, 0.0).max(most),
        }
    }

    /// Surprise at a raw score; the same for all raw scores beyond the last level.
    pub(super) fn surprise(&self, raw: f64) -> f64 {
        let at = position(raw).clamp(0.0, LEVELS as f64 - 1.001);
        let level = at as usize;
        let (low, high) = (self.at(level), self.at(level + 1));
        (low + (high - low) * (at - level as f64)).min(high) // min: rounding must not overshoot
    }

    /// The smallest raw score with at least this surprise; beyond the levels by the fitted tail.
    pub(super) fn raw_at(&self, surprise: f64) -> f64 {
        let (mut above, mut end) = (0, LEVELS);
        while above < end {
            let middle = (above + end) / 2;
            if self.at(middle) < surprise { above = middle + 1 } else { end = middle }
        }
        if above == 0 {
            return 0.0;
        }
        if above == LEVELS {
            return self.fit.raw_at(surprise).clamp(value(LEVELS as f64 - 1.0), f64::MAX);
        }
        let (low, high) = (self.at(above - 1), self.at(above));
        value((above - 1) as f64 + (surprise - low) / (high - low))
    }
}

impl Pareto {
    /// From the levels at three rates, each `ratio` times the one before.
    fn fit(rates: &[f64], weight: f64, blocks_per_week: f64, guard: bool) -> Pareto {
        let rate = RATE.max(MIN_ABOVE / weight * blocks_per_week);
        let mut ratio = RATIO;
        while rate * ratio * ratio > 0.95 * rates[0] && ratio > 1.5 {
            ratio *= 0.9;
        }
        let start = raw_at_rate(rates, rate);
        let middle = raw_at_rate(rates, rate * ratio);
        let upper = (start - middle).max(1e-6);
        let lower = (middle - raw_at_rate(rates, rate * ratio * ratio)).max(1e-6);
        let pickands = ((upper / lower).ln() / ratio.ln()).clamp(-0.3, 1.5);
        let above = rate / blocks_per_week * weight;
        let shape = (above * pickands + PRIOR_BLOCKS * PRIOR_SHAPE) / (above + PRIOR_BLOCKS);
        let shape = shape.clamp(0.01, MAX_SHAPE);
        let scale = (upper * shape / (1.0 - ratio.powf(-shape))).max(MIN_SCALE * start);
        let coincide = upper.min(lower) < COINCIDE * start && weight >= blocks_per_week;
        let (scale, blend) = match guard && coincide {
            true => (scale.max(GUARDED_SCALE * start), GUARDED_BLEND),
            false => (scale, BLEND),
        };
        Pareto { start, rate, shape, scale, blend }
    }

    /// Surprise at `raw`, where `rate` was counted from `blocks` blocks.
    fn blended(&self, raw: f64, rate: f64, blocks: f64) -> f64 {
        let over = raw - self.start;
        if over <= 0.0 {
            return (-rate.max(1e-9).ln()).min(-self.rate.ln());
        }
        let fitted = -self.rate.ln() + (self.shape * over / self.scale).ln_1p() / self.shape;
        if blocks > 0.5 {
            fitted.min((1.0 - self.blend) * fitted - self.blend * rate.ln())
        } else {
            fitted
        }
    }

    /// Inverse of the fitted tail.
    fn raw_at(&self, surprise: f64) -> f64 {
        let exponent = self.shape * (surprise + self.rate.ln());
        self.start + self.scale * exponent.exp_m1() / self.shape
    }
}

/// The level of a raw score, counted from 0 and not rounded; beyond the levels for extreme ones.
pub(super) fn position(raw: f64) -> f64 {
    (raw.max(TINY).ln() - LOWEST) / WIDTH
}

/// The raw score at a level.
fn value(level: f64) -> f64 {
    (LOWEST + WIDTH * level).exp()
}

/// Blocks per week whose maximum reaches each level.
fn rates(histogram: &[f64], weight: f64, blocks_per_week: f64) -> Vec<f64> {
    let mut count = 0.0;
    let mut rates = vec![0.0; LEVELS];
    for level in (0..LEVELS).rev() {
        count += histogram[level];
        rates[level] = count / weight * blocks_per_week;
    }
    rates
}

/// The raw score reached at this rate, interpolated between the levels on a log-log line.
fn raw_at_rate(rates: &[f64], rate: f64) -> f64 {
    let level = rates.iter().rposition(|&r| r >= rate).unwrap_or(0).min(LEVELS - 2);
    let (here, next) = (rates[level].max(1e-12).ln(), rates[level + 1].max(1e-12).ln());
    let part = if here > next { ((here - rate.ln()) / (here - next)).clamp(0.0, 1.0) } else { 0.0 };
    value(level as f64 + part)
}

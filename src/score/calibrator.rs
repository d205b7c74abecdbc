//! Calibration of one member: what a raw score means in predicted pages per week.
//!
//! Owns: blocks, their maxima, forgetting, when the tail is fitted anew. Does not own: the tail's
//! shape (`tail`) or the threshold (`scale`).
//!
//! A page is a block whose maximum is above the threshold, so block maxima are what is counted, not
//! points: the hundred high points of one long event are one page.

use std::num::NonZeroU64;

use serde::Deserialize;
use serde::Serialize;

use crate::score::tail;
use crate::score::tail::Tail;

/// Seconds in a week.
const WEEK_S: f64 = 604_800.0;
/// Weeks after which a block counts half.
const HALF_LIFE_WEEKS: f64 = 8.0;
/// Blocks before anything is said.
const MIN_BLOCKS: u64 = 7;
/// How often the tail is fitted anew, in seconds.
const REFRESH_S: i64 = 6 * 3600;
/// The usual block, in seconds: as long as a page is thought to last.
const BLOCK_S: i64 = 1800;

/// The length of a block for rows every `step_s` seconds: a multiple of the step, about 30 minutes.
///
/// Below a step of 15 s it is ten rows, so that watches of seconds are calibrated within minutes:
/// at 1 s, seven blocks are over after 70 s.
pub fn default_block_s(step_s: i64) -> i64 {
    let step_s = step_s.max(1);
    if step_s < 15 { 10 * step_s } else { step_s * ((BLOCK_S + step_s / 2) / step_s).max(1) }
}

/// −ln of predicted pages per week at a raw score, learnt from the raw scores seen so far.
///
/// Raw scores are expected in units in which about 1 is ordinary; below 0.05 nothing is told apart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibrator {
    block_rows: NonZeroU64,
    blocks_per_week: f64,
    refresh_rows: NonZeroU64,
    /// Fit again at once when ready and whenever there are a tenth more blocks.
    eager: bool,
    rows: u64,
    /// Largest raw score of the block so far; none while it has only gaps.
    maximum: Option<f64>,
    /// Weight of the blocks by the level of their maximum.
    #[serde(deserialize_with = "tail::levels")]
    histogram: Vec<f64>,
    weight: f64,
    blocks: u64,
    fitted_blocks: u64,
    tail: Option<Tail>,
}

impl Calibrator {
    /// For rows every `step_s` seconds in blocks of `block_s` seconds.
    pub fn new(step_s: i64, block_s: i64) -> Calibrator {
        let refresh_rows = REFRESH_S / step_s.max(1);
        Calibrator { eager: true, ..Calibrator::every(step_s, block_s, refresh_rows) }
    }

    /// The same, but with the tail fitted every `refresh_rows` rows and at no other time.
    pub fn every(step_s: i64, block_s: i64, refresh_rows: i64) -> Calibrator {
        let step_s = step_s.max(1);
        let rows = |n: i64| NonZeroU64::new(n.max(1) as u64).unwrap_or(NonZeroU64::MIN);
        let block_rows = rows((block_s + step_s / 2) / step_s);
        Calibrator {
            block_rows,
            blocks_per_week: WEEK_S / step_s as f64 / block_rows.get() as f64,
            refresh_rows: rows(refresh_rows),
            eager: false,
            rows: 0,
            maximum: None,
            histogram: vec![0.0; tail::LEVELS],
            weight: 0.0,
            blocks: 0,
            fitted_blocks: 0,
            tail: None,
        }
    }

    /// Learns the raw score of the next row.
    ///
    /// A gap (NaN) moves the block's clock and adds nothing; a block of gaps has no maximum.
    /// Look a row up ([`Calibrator::surprise`]) before it is learnt.
    pub fn observe(&mut self, raw: f64) {
        if !raw.is_nan() {
            self.maximum = Some(raw.max(self.maximum.unwrap_or(0.0)));
        }
        self.rows += 1;
        if self.rows.is_multiple_of(self.block_rows.get())
            && let Some(maximum) = self.maximum.take()
        {
            self.end_block(maximum);
        }
        let due = self.rows.is_multiple_of(self.refresh_rows.get());
        let grown = self.eager && self.blocks * 10 >= self.fitted_blocks * 11;
        if self.blocks >= MIN_BLOCKS && self.blocks > self.fitted_blocks && (due || grown) {
            self.tail = Some(Tail::fit(&self.histogram, self.weight, self.blocks_per_week));
            self.fitted_blocks = self.blocks;
        }
    }

    fn end_block(&mut self, maximum: f64) {
        let decay = 0.5f64.powf(1.0 / (HALF_LIFE_WEEKS * self.blocks_per_week));
        for weight in &mut self.histogram {
            *weight *= decay;
        }
        let level = tail::position(maximum).clamp(0.0, tail::LEVELS as f64 - 1.0);
        self.histogram[level as usize] += 1.0;
        self.weight = self.weight * decay + 1.0;
        self.blocks += 1;
    }

    /// −ln of the pages per week predicted with the threshold at this raw score.
    ///
    /// At least [`Calibrator::floor`]; NaN for NaN, and before [`Calibrator::ready`].
    pub fn surprise(&self, raw: f64) -> f64 {
        match &self.tail {
            Some(tail) if !raw.is_nan() => tail.surprise(raw).max(self.floor()),
            _ => f64::NAN,
        }
    }

    /// The smallest raw score with at least this surprise, for bands; may extrapolate the tail.
    /// NaN for NaN, and before [`Calibrator::ready`].
    pub fn raw_at(&self, surprise: f64) -> f64 {
        match &self.tail {
            Some(_) if surprise <= self.floor() => 0.0,
            Some(tail) if !surprise.is_nan() => tail.raw_at(surprise),
            _ => f64::NAN,
        }
    }

    /// Weight of the blocks learnt from; old ones count less.
    pub fn n_blocks(&self) -> f64 {
        self.weight
    }

    /// Whether enough blocks were seen to say anything.
    pub fn ready(&self) -> bool {
        self.tail.is_some()
    }

    /// −ln(blocks per week): the least surprise there is.
    pub fn floor(&self) -> f64 {
        -self.blocks_per_week.ln()
    }
}

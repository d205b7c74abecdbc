//! Calibration of one member: what a raw score means in predicted pages per week.
//!
//! Owns: blocks, their maxima, forgetting, when the tail is fitted anew. Does not own: the tail's
//! shape (`tail`) or the threshold (`scale`).
//!
//! A page is a block whose maximum is above the threshold, so block maxima are what is counted, not
//! points: the hundred high points of one long event are one page.

use std::num::NonZeroU64;

use crate::score::Calibration;
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

/// Learns a [`Calibration`] from raw scores, row by row.
///
/// Raw scores are expected in units in which about 1 is ordinary; below 0.05 nothing is told apart.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibrator {
    block_rows: NonZeroU64,
    refresh_rows: NonZeroU64,
    /// Fit again at once when ready and whenever there are a tenth more blocks.
    eager: bool,
    /// Whether the tail is fitted with a guard for few distinct values.
    guard: bool,
    rows: u64,
    /// Largest raw score of the block so far; none while it has only gaps.
    maximum: Option<f64>,
    /// Weight of the blocks by the level of their maximum.
    histogram: Vec<f64>,
    blocks: u64,
    fitted_blocks: u64,
    learnt: Calibration,
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
        let blocks_per_week = WEEK_S / step_s as f64 / block_rows.get() as f64;
        Calibrator {
            block_rows,
            refresh_rows: rows(refresh_rows),
            eager: false,
            guard: false,
            rows: 0,
            maximum: None,
            histogram: vec![0.0; tail::LEVELS],
            blocks: 0,
            fitted_blocks: 0,
            learnt: Calibration { blocks_per_week, offset: 0.0, weight: 0.0, tail: None },
        }
    }

    /// The same, made for series that are mostly constant, such as error counts: `offset` is added
    /// to every raw score (1 for distances in units of an ordinary one), and a tail fitted on few
    /// distinct values is not steep. Without it any change of a constant series is beyond surprise.
    #[must_use]
    pub fn for_counts(self, offset: f64) -> Calibrator {
        Calibrator { guard: true, learnt: Calibration { offset, ..self.learnt }, ..self }
    }

    /// Learns the raw score of the next row.
    ///
    /// A gap (NaN) moves the block's clock and adds nothing; a block of gaps has no maximum.
    /// Look a row up ([`Calibration::surprise`]) before it is learnt.
    pub fn observe(&mut self, raw: f64) {
        if !raw.is_nan() {
            self.maximum = Some((raw + self.learnt.offset).max(self.maximum.unwrap_or(0.0)));
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
            let Calibration { weight, blocks_per_week, .. } = self.learnt;
            self.learnt.tail =
                Some(Tail::fit(&self.histogram, weight, blocks_per_week, self.guard));
            self.fitted_blocks = self.blocks;
        }
    }

    /// What was learnt so far.
    pub fn calibration(&self) -> &Calibration {
        &self.learnt
    }

    fn end_block(&mut self, maximum: f64) {
        let decay = 0.5f64.powf(1.0 / (HALF_LIFE_WEEKS * self.learnt.blocks_per_week));
        for weight in &mut self.histogram {
            *weight *= decay;
        }
        let level = tail::position(maximum).clamp(0.0, tail::LEVELS as f64 - 1.0);
        self.histogram[level as usize] += 1.0;
        self.learnt.weight = self.learnt.weight * decay + 1.0;
        self.blocks += 1;
    }
}

//! One detector judged by the validation part alone, as a search for its settings does over and over.

use std::time::Instant;

use super::Hall;
use super::Quality;
use super::Settings;
use super::truth::Truth;
use crate::detect;
use crate::detect::FitError;
use crate::detect::Look;
use crate::detect::Stage;
use crate::series::Window;
use crate::source::csv::Told;

/// The rows that a search may see: the test part is not among them.
pub struct Validation<'a> {
    names: &'a [String],
    hall: Hall<'a>,
}

/// How a detector did on the validation part.
#[derive(Debug, Clone, PartialEq)]
pub struct Validated {
    /// What the choice is made by.
    pub quality: Quality,
    /// How the losses of its training fell, if it is a network.
    pub looks: Vec<Look>,
    /// Seconds to learn and to score.
    pub seconds: f64,
}

impl<'a> Validation<'a> {
    /// `rows` are those of training and validation, and no others.
    ///
    /// # Errors
    /// A part has no rows, or there is no labelled anomaly in the validation part to choose by.
    pub fn new(
        names: &'a [String],
        rows: &'a Window,
        told: &[Told],
        settings: &'a Settings,
    ) -> Result<Validation<'a>, String> {
        let (n, first) = (rows.grid.len, settings.train_rows);
        if first == 0 || settings.validation_rows == 0 || n != first + settings.validation_rows {
            let wanted = settings.validation_rows;
            return Err(format!("{n} rows, {first} to learn from and {wanted} to choose by"));
        }
        let truth = Truth::new(told, rows.grid);
        if truth.rows[first..].iter().all(Option::is_none) {
            return Err("no labelled anomaly in the validation part to choose by".to_string());
        }
        let hall = Hall { rows, truth, settings, middle: n, holdout: None };
        Ok(Validation { names, hall })
    }

    /// Trains a detector on the first part and scores the second, as [`run`](super::run) does; `hear` is told how far
    /// a network is.
    ///
    /// # Errors
    /// The detector could not learn.
    pub fn judge(
        &self,
        config: &detect::Config,
        seed: u64,
        hear: &(dyn Fn(Stage) + Sync),
    ) -> Result<Validated, FitError> {
        let started = Instant::now();
        let (replayed, looks) = self.hall.replay(self.names, config, seed, Some(hear))?;
        let seconds = started.elapsed().as_secs_f64();
        let rows = self.hall.settings.train_rows..self.hall.middle;
        let part = self.hall.part(&replayed, rows.clone());
        Ok(Validated { quality: self.hall.quality(&part, rows, None), looks, seconds })
    }
}

//! Models that learn from other services than the one that they judge.
//!
//! Owns: what is learnt from, how it is put together, what such a model hands on. Does not own: how a network is brought
//! to another place (`detect`), or which networks there are (`shipped`).

use crate::detect;
use crate::detect::Episode;
use crate::detect::FitContext;
use crate::detect::FitError;
use crate::detect::Pretrained;
use crate::preprocess;
use crate::series::Window;

use super::Head;
use super::Model;
use super::Recipe;
use super::scaled;

/// Rows between those of two services: more than any window has.
const APART: i64 = 512;

/// What there is to learn from another service.
#[derive(Debug, Clone, PartialEq)]
pub struct Elsewhere {
    /// Rows that say what is usual there.
    pub usual: Window,
    /// Rows that are learnt from.
    pub rows: Window,
    /// Labelled stretches, raw.
    pub episodes: Vec<Episode>,
}

impl Model {
    /// As [`Model::train`], from several services, each brought to scale by what is usual there, one after the other with
    /// so much time between that no window sees two of them. The scales that are kept are those of the last.
    ///
    /// # Errors
    /// As [`Model::train`].
    pub fn train_across(
        recipe: &Recipe,
        services: &[Elsewhere],
        context: &FitContext<'_>,
    ) -> Result<Model, FitError> {
        let mut all: Option<(preprocess::Fitted, Window, Vec<Episode>)> = None;
        for Elsewhere { usual, rows, episodes } in services {
            let preprocess = recipe.preprocess.fit(usual);
            let (mut rows, mut episodes) = scaled(&preprocess, recipe, rows, episodes);
            if let Some((_, before, known)) = all {
                let shift_s = before.grid.end_s() + APART * rows.grid.step_s - rows.grid.start_s;
                for episode in &mut episodes {
                    episode.from_s += shift_s;
                    episode.rows.grid.start_s += shift_s;
                }
                rows = followed(before, &rows);
                episodes = [known, episodes].concat();
            }
            all = Some((preprocess, rows, episodes));
        }
        let (preprocess, rows, episodes) = all.ok_or(FitError::TooFewRows { have: 0, want: 1 })?;
        Model::of_scaled(recipe, preprocess, &rows, &FitContext { episodes: &episodes, ..*context })
    }

    /// What it may judge by in other places.
    pub fn pretrained(&self) -> Pretrained {
        let line = self.head.calibration.raw_at(self.head.scale.threshold);
        Pretrained { detector: self.detector(), parts: self.parts(), line }
    }

    /// Draws the line between normal and anomalous at this raw score.
    pub fn draw_line(&mut self, raw: f64) {
        self.head.scale = self.head.scale.at(self.head.calibration.surprise(raw));
    }

    /// Whether one made by this recipe reads the same rows in the same way, whatever its queries and settings.
    pub fn reads_as(&self, recipe: &Recipe) -> bool {
        let Head { features, detector, preprocess, step_s, .. } = &self.head;
        let lookback = |d: &detect::Config| d.most_lookback(*step_s, 0);
        detector.name() == recipe.detector.name()
            && lookback(detector) == lookback(&recipe.detector)
            && *features == recipe.features
            && *step_s == recipe.step_s
            && preprocess.is_fit_of(&recipe.preprocess, features.len())
    }
}

/// Rows, gaps, and then those of elsewhere.
fn followed(mut rows: Window, later: &Window) -> Window {
    let gaps = APART as usize * rows.n_features;
    rows.values.extend(std::iter::repeat_n(f64::NAN, gaps));
    rows.values.extend_from_slice(&later.values);
    rows.grid.len = rows.values.len() / rows.n_features.max(1);
    rows
}

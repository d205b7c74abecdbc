//! What the three networks have in common.
//!
//! Owns: their settings, sizes, seed and scaler, and what can be wrong.

use serde::Deserialize;
use serde::Serialize;

use super::data::Example;
use super::windows::Scaler;
use super::windows::readable;
use crate::detect::FitError;
use crate::detect::RestoreError;
use crate::detect::deep::descent::PATIENCE;
use crate::detect::deep::net::Shape;
use crate::detect::deep::stored::MAX_LIVE;
use crate::detect::deep::stored::MAX_WIDTH;
use crate::detect::deep::stored::MAX_WINDOW;

/// How a network is built and trained. The defaults are a place to start, and rarely need a change.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Length of the latent vector.
    pub latent: usize,
    /// Channels after the first and the second convolution.
    pub widths: [usize; 2],
    /// Adam's step size at the start; it falls to a twentieth of it.
    pub learning_rate: f64,
    /// Training ends when the held-out loss, looked at about a hundred times, saw no new best for so long.
    pub patience: usize,
    /// Whether 15 % are held out to stop early by, and 15 % to test on. Otherwise everything is trained on,
    /// which is for the last training, once the number of iterations is known.
    pub hold_out: bool,
    /// Distance that a siamese network keeps between windows of different classes.
    pub margin: f32,
    /// Most similar known anomalies that a siamese network names.
    pub neighbours: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            latent: 16,
            widths: [32, 16],
            learning_rate: 1e-3,
            patience: PATIENCE,
            hold_out: true,
            margin: 1.0,
            neighbours: 3,
        }
    }
}

/// What a network objects to.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum NetworkError {
    /// A size or setting is out of range.
    #[error("{0}")]
    Setting(String),
    /// A window is not of the network's size.
    #[error(
        "window {place} has {have} values; this network reads {rows} rows of {features} features, {} values",
        rows * features
    )]
    WindowSize {
        /// Its place in what was handed over, from 0.
        place: usize,
        /// Its length.
        have: usize,
        /// Rows of a window.
        rows: usize,
        /// Features of a row.
        features: usize,
    },
    /// There is too little to learn from.
    #[error("{have} {what} to learn from, wanted at least {want}")]
    TooFew {
        /// Usable examples.
        have: usize,
        /// What kind of them.
        what: &'static str,
        /// How many would do.
        want: usize,
    },
    /// Nothing was trained or imported yet.
    #[error("the network has not been trained: call train, or import weights that were")]
    NotTrained,
    /// The arithmetic went out of range.
    #[error("training diverged: the loss is not finite; try a smaller learning rate")]
    Diverged,
    /// `keep_going` said no; the network is as it was before.
    #[error("stopped")]
    Stopped,
    /// The bytes are not weights of such a network.
    #[error("cannot import weights: {0}")]
    Import(String),
}

impl From<FitError> for NetworkError {
    fn from(error: FitError) -> NetworkError {
        match error {
            FitError::TooFewRows { have, want } => {
                NetworkError::TooFew { have, what: "examples", want }
            }
            FitError::NoIncidents => {
                NetworkError::TooFew { have: 0, what: "anomalous windows", want: 1 }
            }
            FitError::Refused(what) => NetworkError::Setting(what),
            FitError::Diverged => NetworkError::Diverged,
            FitError::Stopped => NetworkError::Stopped,
        }
    }
}

impl From<RestoreError> for NetworkError {
    fn from(error: RestoreError) -> NetworkError {
        NetworkError::Import(error.0)
    }
}

/// Sizes, settings, and how windows are read.
#[derive(Debug, Clone)]
pub(super) struct Body {
    pub(super) shape: Shape,
    pub(super) settings: Settings,
    pub(super) seed: u64,
    /// Learnt by the first training.
    pub(super) scaler: Option<Scaler>,
}

impl Body {
    pub(super) fn new(
        rows: usize,
        features: usize,
        settings: Settings,
    ) -> Result<Body, NetworkError> {
        let Settings { latent, widths, .. } = settings;
        let shape = Shape {
            window: rows,
            inputs: 2 * features.min(MAX_LIVE + 1),
            outputs: features,
            widths,
            latent,
        };
        match shape_problem(&shape).or_else(|| settings_problem(&settings)) {
            Some(problem) => Err(NetworkError::Setting(problem)),
            None => Ok(Body { shape, settings, seed: 0, scaler: None }),
        }
    }

    pub(super) fn features(&self) -> usize {
        self.shape.outputs
    }

    /// Every window has to be of the network's size.
    pub(super) fn check<'a>(
        &self,
        windows: impl IntoIterator<Item = &'a [f32]>,
    ) -> Result<(), NetworkError> {
        let (rows, features) = (self.shape.window, self.features());
        for (place, window) in windows.into_iter().enumerate() {
            if window.len() != rows * features {
                let have = window.len();
                return Err(NetworkError::WindowSize { place, have, rows, features });
            }
        }
        Ok(())
    }

    /// Places of the examples that hold enough numbers and that `wanted` wants.
    pub(super) fn usable(
        &self,
        data: &[Example<'_>],
        wanted: impl Fn(&Example<'_>) -> bool,
    ) -> Result<Vec<usize>, NetworkError> {
        self.check(data.iter().map(|example| example.window))?;
        let fine = |i: &usize| wanted(&data[*i]) && readable(data[*i].window, self.features());
        Ok((0..data.len()).filter(fine).collect())
    }

    /// The scaler there is, or that of the normal ones of these examples.
    pub(super) fn scaler_for(&self, data: &[Example<'_>], places: &[usize]) -> Scaler {
        let of = |wanted: fn(&Example<'_>) -> bool| -> Vec<&[f32]> {
            places.iter().map(|&i| &data[i]).filter(|e| wanted(e)).map(|e| e.window).collect()
        };
        let fit = || {
            let normal = of(|e| !e.class.is_anomaly());
            let windows = if normal.is_empty() { of(|_| true) } else { normal };
            Scaler::of(&windows, self.features())
        };
        self.scaler.clone().unwrap_or_else(fit)
    }

    /// Windows that are computed together: 1024, fewer where there are very many features.
    pub(super) fn at_once(&self) -> usize {
        (4_000_000 / (self.shape.window * self.shape.inputs)).clamp(1, 1024)
    }

    /// Runs `each` on the readable ones among the windows, many at a time, and puts what it makes of them in
    /// their places; `each` gets what a network reads, and the windows.
    pub(super) fn each<T: Clone>(
        &self,
        windows: &[&[f32]],
        mut each: impl FnMut(Vec<f32>, &[&[f32]]) -> Vec<T>,
    ) -> Result<Vec<Option<T>>, NetworkError> {
        self.check(windows.iter().copied())?;
        let scaler = self.scaler.as_ref().ok_or(NetworkError::NotTrained)?;
        let mut out = vec![None; windows.len()];
        let readable = |i: &usize| readable(windows[*i], self.features());
        let places: Vec<usize> = (0..windows.len()).filter(readable).collect();
        for chunk in places.chunks(self.at_once()) {
            let chunk_windows: Vec<&[f32]> = chunk.iter().map(|&i| windows[i]).collect();
            let made = each(scaler.inputs(&chunk_windows), &chunk_windows);
            for (&place, made) in chunk.iter().zip(made) {
                out[place] = Some(made);
            }
        }
        Ok(out)
    }
}

/// What is wrong with a network's sizes, if anything is.
pub(super) fn shape_problem(shape: &Shape) -> Option<String> {
    let between = |name: &str, value: usize, most: usize| {
        (value == 0 || value > most).then(|| format!("{name}: {value} is not between 1 and {most}"))
    };
    if !shape.window.is_multiple_of(4) {
        return Some(format!("rows: {} is not a multiple of 4", shape.window));
    }
    between("rows", shape.window, MAX_WINDOW)
        .or_else(|| between("features", shape.outputs, MAX_LIVE))
        .or_else(|| between("latent", shape.latent, MAX_WIDTH))
        .or_else(|| between("widths", shape.widths[0], MAX_WIDTH))
        .or_else(|| between("widths", shape.widths[1], MAX_WIDTH))
}

/// What is wrong with these settings.
pub(super) fn settings_problem(settings: &Settings) -> Option<String> {
    let Settings { learning_rate: rate, margin, patience, .. } = *settings;
    if !(rate > 0.0 && rate <= 0.1) {
        return Some(format!("learning_rate: {rate} is not above 0 and at most 0.1"));
    }
    if !(margin > 0.0 && margin <= 1e3) {
        return Some(format!("margin: {margin} is not above 0 and at most 1000"));
    }
    (patience == 0).then(|| "patience: 0 looks are too few to stop by".to_string())
}

//! Which way each feature of a row went, and how far: by this, kinds of anomalies are told apart.

use super::Autoencoder;
use super::measure::strangeness;
use crate::detect::deep::frames::Frames;
use crate::detect::deep::frames::TAIL;
use crate::series::Window;

impl Autoencoder {
    /// How strange each column of the last row is, with the sign of the mean of its newest errors: above 0 where
    /// the rows lie above what was rebuilt, 0 for a gap; none where the row has no score.
    pub(super) fn signed(&self, window: &Window) -> Option<Vec<f64>> {
        let last = window.grid.len.checked_sub(1)?;
        if window.n_features != self.n_features {
            return None;
        }
        let from = last.saturating_sub(self.net.shape().window - 1);
        let length = self.net.shape().window;
        let frames = Frames::since(window, from, &self.live, &self.reach, length);
        let end = frames.scorable(last - from).pop()?;
        let mut room = self.room();
        frames.input(end, &mut room.input);
        let tail = self.net.run(&room.input, TAIL, &mut room.scratch).rebuilt;
        let errors = self.errors(&frames, end, tail);
        let mut signed = vec![0.0; self.n_features];
        for (f, error) in errors.into_iter().enumerate().filter(|(_, error)| !error.is_nan()) {
            let rebuilt = |age: usize| tail[(TAIL - 1 - age) * self.live.len() + f];
            let off = |age: usize| frames.row(end - age)[f] - self.trust[f] * rebuilt(age);
            let known = (0..TAIL.min(end + 1)).map(off).filter(|off| !off.is_nan());
            signed[self.live[f]] = strangeness(error).copysign(f64::from(known.sum::<f32>()));
        }
        Some(signed)
    }
}

//! What an autoencoder calls anomalous.
//!
//! Owns: the three measures, the threshold and how known anomalies set it.

use serde::Deserialize;
use serde::Serialize;

use super::ConvAutoencoder;
use super::Reconstruction;
use crate::detect::deep::rfc::Example;
use crate::detect::deep::rfc::NetworkError;

/// Which of its three numbers a window is called anomalous by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// [`Reconstruction::error`].
    Error,
    /// [`Reconstruction::latent_distance`], as in the RFC.
    LatentDistance,
    /// [`Reconstruction::latent_deviation`].
    LatentDeviation,
}

/// From where on a window is anomalous.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    /// What is compared.
    pub by: Measure,
    /// The least value that is anomalous.
    pub value: f32,
}

impl Reconstruction {
    /// One of its three numbers.
    pub fn measure(&self, by: Measure) -> f32 {
        match by {
            Measure::Error => self.error,
            Measure::LatentDistance => self.latent_distance,
            Measure::LatentDeviation => self.latent_deviation,
        }
    }
}

impl ConvAutoencoder {
    /// From where on a window is anomalous.
    pub fn threshold(&self) -> Option<Threshold> {
        self.learnt.as_ref().map(|learnt| learnt.threshold)
    }

    /// Sets it.
    ///
    /// # Errors
    /// It is no number, or nothing was trained or imported.
    pub fn set_threshold(&mut self, threshold: Threshold) -> Result<(), NetworkError> {
        if !threshold.value.is_finite() {
            let value = threshold.value;
            return Err(NetworkError::Setting(format!("threshold: {value} is not a number")));
        }
        self.learnt.as_mut().ok_or(NetworkError::NotTrained)?.threshold = threshold;
        Ok(())
    }

    /// Sets it as the RFC does, to the least value that one of the anomalies among the examples has, so that all of
    /// them are found, and returns it. Of the three measures it takes the one that then calls the fewest of
    /// the normal examples anomalous; the RFC's, the latent distance, where others call as many.
    ///
    /// One anomaly that looks normal makes the threshold low, and many normal windows anomalous.
    ///
    /// # Errors
    /// None of the examples is an anomaly and observed, one is of another size, or nothing was trained.
    pub fn set_threshold_from(&mut self, data: &[Example<'_>]) -> Result<Threshold, NetworkError> {
        let windows: Vec<&[f32]> = data.iter().map(|example| example.window).collect();
        let seen = self.predict(&windows)?;
        let of = |anomalies: bool, by: Measure| {
            let both =
                data.iter().zip(&seen).filter(move |(e, _)| e.class.is_anomaly() == anomalies);
            both.filter_map(move |(_, seen)| Some(seen.as_ref()?.measure(by)))
        };
        let rule = |by: Measure| {
            let value = of(true, by).min_by(f32::total_cmp)?;
            Some((of(false, by).filter(|v| *v >= value).count(), Threshold { by, value }))
        };
        // The first of equals is taken.
        let rules = [Measure::LatentDistance, Measure::LatentDeviation, Measure::Error]
            .into_iter()
            .filter_map(rule);
        let (_, threshold) = rules
            .min_by_key(|(false_alarms, _)| *false_alarms)
            .ok_or(NetworkError::TooFew { have: 0, what: "anomalous windows", want: 1 })?;
        self.set_threshold(threshold)?;
        Ok(threshold)
    }
}

//! What kinds of anomalies there are, of which nobody has said so.
//!
//! Owns: groups of latent vectors, and what marks them. Does not own: k-means and whitening (`math`).
//!
//! Latent vectors of normal windows differ too, with the hour and the load, and as widely. So clusters are
//! looked for in the space in which normal ones vary equally in all directions, where what sets two anomalies
//! apart is not what sets two hours apart; and by direction alone, since a weak anomaly is of the same kind
//! as a strong one. By what is strange about the newest rows they are closer still to what people call a kind of
//! anomaly, for the latent vector speaks of the whole window, in which the incident before may still be.

use super::autoencoder::ConvAutoencoder;
use super::autoencoder::Reconstruction;
use super::body::NetworkError;
use crate::detect::linear;
use crate::math::directions;
use crate::math::random::Random;

/// Windows that are alike.
#[derive(Debug, Clone, PartialEq)]
pub struct Cluster {
    /// Their places in what was handed over.
    pub members: Vec<usize>,
    /// The place of the window that is nearest to the middle of them: the one to show.
    pub medoid: usize,
    /// Every feature with the mean, over the members, of how many standard deviations its reconstruction error
    /// lies above that of normal windows; the most conspicuous feature first.
    pub features: Vec<(usize, f32)>,
}

impl ConvAutoencoder {
    /// Groups windows, which are meant to be anomalies, by their latent vectors: in `k` clusters, or in the 1 to 20
    /// that the silhouette finds. The largest cluster comes first; windows that are too empty are in none. The
    /// result is the same for the same seed as given to [`ConvAutoencoder::initialize_new_weights`].
    ///
    /// # Errors
    /// A window is of another size, `k` is 0, or nothing was trained or imported.
    pub fn latent_clusters(
        &self,
        anomalies: &[&[f32]],
        k: Option<usize>,
    ) -> Result<Vec<Cluster>, NetworkError> {
        let whitening = self.whitening().ok_or(NetworkError::NotTrained)?;
        let white = |seen: &Reconstruction| {
            let latent: Vec<f64> = seen.latent.iter().map(|&v| f64::from(v)).collect();
            whitening.apply(&latent)
        };
        self.clusters(anomalies, k, white)
    }

    /// As [`ConvAutoencoder::latent_clusters`], by the reconstruction errors of the features: the logarithm of each
    /// as far as it is larger than for normal windows.
    ///
    /// # Errors
    /// As [`ConvAutoencoder::latent_clusters`].
    pub fn error_clusters(
        &self,
        anomalies: &[&[f32]],
        k: Option<usize>,
    ) -> Result<Vec<Cluster>, NetworkError> {
        let strange = |error: f32| linear::strangeness(f64::from(error.max(0.0)).powi(2));
        let errors = |seen: &Reconstruction| {
            self.standardised(&seen.errors).into_iter().map(strange).collect::<Vec<f64>>()
        };
        self.clusters(anomalies, k, errors)
    }

    /// Groups windows by the directions of what `of` makes of them.
    fn clusters(
        &self,
        anomalies: &[&[f32]],
        k: Option<usize>,
        of: impl Fn(&Reconstruction) -> Vec<f64>,
    ) -> Result<Vec<Cluster>, NetworkError> {
        if k == Some(0) {
            return Err(NetworkError::Setting("k: 0 clusters hold nothing".to_string()));
        }
        let seen = self.predict(anomalies)?;
        let seen: Vec<_> =
            seen.iter().enumerate().filter_map(|(i, s)| Some((i, s.as_ref()?))).collect();
        let points: Vec<Vec<f64>> = seen.iter().map(|(_, seen)| of(seen)).collect();
        let dimensions = points.first().map_or(1, Vec::len);
        let mut random = Random::new(self.body.seed);
        let groups = directions::groups(&points.concat(), dimensions, k, &mut random);
        let cluster = |group: directions::Group| {
            let features = self.marks(group.members.iter().map(|&i| seen[i].1.errors.as_slice()));
            let members = group.members.iter().map(|&i| seen[i].0).collect();
            Cluster { members, medoid: seen[group.medoid].0, features }
        };
        Ok(groups.into_iter().map(cluster).collect())
    }

    /// Each feature's mean standardised error, the largest first.
    fn marks<'a>(&self, errors: impl Iterator<Item = &'a [f32]>) -> Vec<(usize, f32)> {
        let mut sums = vec![0.0; self.body.features()];
        let mut n = 0.0f32;
        for errors in errors {
            let own = self.standardised(errors);
            sums.iter_mut().zip(own).for_each(|(sum, error)| *sum += error);
            n += 1.0;
        }
        let mean = |(f, sum): (usize, f32)| (f, sum / n.max(1.0));
        let mut features: Vec<(usize, f32)> = sums.into_iter().enumerate().map(mean).collect();
        features.sort_by(|a, b| b.1.total_cmp(&a.1));
        features
    }
}

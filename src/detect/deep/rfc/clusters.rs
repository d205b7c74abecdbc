//! What kinds of anomalies there are, of which nobody has said so.
//!
//! Owns: groups of latent vectors, and what marks them. Does not own: k-means and whitening (`math`).
//!
//! Latent vectors of normal windows differ too, with the hour and the load, and as widely. So clusters are
//! looked for in the space in which normal ones vary equally in all directions, where what sets two anomalies
//! apart is not what sets two hours apart; and by direction alone, since a weak anomaly is of the same kind
//! as a strong one.

use super::autoencoder::ConvAutoencoder;
use super::body::NetworkError;
use crate::detect::deep::train::thin;
use crate::math::kmeans::Points;
use crate::math::random::Random;

/// Clusterings that the best one is taken of.
const STARTS: usize = 20;

/// Clusters at most, where their number is not given.
const MOST: usize = 8;

/// Least mean silhouette of what is taken for a structure (Kaufman and Rousseeuw, "Finding Groups in Data", 1990).
const LEAST_SILHOUETTE: f64 = 0.25;

/// Windows that a number of clusters is chosen by, at most: it costs their square.
const MOST_CHOSEN_BY: usize = 1024;

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
    /// Groups windows, which are meant to be anomalies, by their latent vectors: in `k` clusters, or in the 1 to 8
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
        if k == Some(0) {
            return Err(NetworkError::Setting("k: 0 clusters hold nothing".to_string()));
        }
        let seen = self.predict(anomalies)?;
        let seen: Vec<_> =
            seen.iter().enumerate().filter_map(|(i, s)| Some((i, s.as_ref()?))).collect();
        let dimensions = self.body.shape.latent;
        let whitening = self.whitening().ok_or(NetworkError::NotTrained)?;
        let latent = |i: usize| {
            let latent: Vec<f64> = seen[i].1.latent.iter().map(|&v| f64::from(v)).collect();
            let white = whitening.apply(&latent);
            let length = white.iter().map(|v| v * v).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
            white.into_iter().map(move |v| v / length)
        };
        let values =
            |places: &[usize]| -> Vec<f64> { places.iter().flat_map(|&i| latent(i)).collect() };
        let all: Vec<usize> = (0..seen.len()).collect();
        let (values, few) = (values(&all), values(&thin(&all, MOST_CHOSEN_BY)));
        let mut random = Random::new(self.body.seed);
        let points = Points::new(&values, dimensions);
        let k = k.unwrap_or_else(|| {
            let few = Points::new(&few, dimensions);
            let chosen = few.cluster_by_silhouette(MOST, LEAST_SILHOUETTE, STARTS, &mut random);
            chosen.centres.len() / dimensions
        });
        let clustering = points.cluster(k, STARTS, &mut random);
        let cluster = |(group, medoid): (usize, Option<usize>)| {
            let own = (0..seen.len()).filter(|&i| clustering.groups[i] == group);
            let members: Vec<usize> = own.clone().map(|i| seen[i].0).collect();
            let features = self.marks(own.map(|i| seen[i].1.errors.as_slice()));
            Some(Cluster { members, medoid: seen[medoid?].0, features })
        };
        let medoids = points.medoids(&clustering);
        let mut clusters: Vec<Cluster> =
            medoids.into_iter().enumerate().filter_map(cluster).collect();
        clusters.sort_by_key(|cluster| std::cmp::Reverse(cluster.members.len()));
        Ok(clusters)
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

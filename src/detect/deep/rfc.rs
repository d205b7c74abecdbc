//! The three networks of the `CoreDNS` anomaly-detection RFC of 2020, for people who know nothing of burn.
//!
//! Owns: one type per network with the RFC's four functions (`import_weights`, `initialize_new_weights`,
//! `train`, `predict`), and the plain structs that go in and come out.
//! Does not own: where windows and labels come from, or which network is chosen.
//!
//! | type | learns from | says |
//! |---|---|---|
//! | [`ConvAutoencoder`] | normal windows | how badly a window was rebuilt, how far its latent vector lies |
//! | [`ConvClassifier`] | normal and anomalous windows | the probability of an anomaly, and its kind |
//! | [`SiameseNetwork`] | normal windows and a handful of anomalies | the nearest class, the most similar anomalies |
//!
//! A *window* is the RFC's FIFO: the newest `rows` rows of `features` numbers each, as one slice `[rows,
//! features]` in row-major order, the newest row last. NaN is a gap. Numbers may come as they are:
//! the first training learns each feature's centre and scale, which then belong to the weights. A feature is known by
//! its place in the row: weights that learnt `[qps, latency]` read `[latency, qps]` without a word.
//!
//! The RFC's ideas are kept where they can work. Where they are a sketch, the difference is said where it is
//! made: the contrastive loss has a margin ([`SiameseNetwork`]), and classes have names.

mod autoencoder;
mod body;
mod classifier;
mod clusters;
mod data;
mod file;
mod groups;
mod heads;
mod siamese;
mod training;
mod windows;

pub use autoencoder::ConvAutoencoder;
pub use autoencoder::Measure;
pub use autoencoder::Reconstruction;
pub use autoencoder::Threshold;
pub use body::NetworkError;
pub use body::Settings;
pub use classifier::Classification;
pub use classifier::ConvClassifier;
pub use clusters::Cluster;
pub use data::Example;
pub use groups::ClassDistance;
pub use siamese::Neighbour;
pub use siamese::Resemblance;
pub use siamese::SiameseNetwork;
pub use training::Look;
pub use training::Training;

pub use crate::verdict::Class;

pub(super) use data::Cuts;
pub(super) use training::Course;

/// What is wrong with these settings of a network, if anything is.
pub(super) fn problem(settings: Settings) -> Option<String> {
    body::Body::new(4, 1, settings).err().map(|error| error.to_string())
}

#[cfg(test)]
mod tests;

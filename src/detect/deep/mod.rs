//! The networks: everything that names burn.
//!
//! Owns: layers, the choice of burn's backend, training loops, the detectors made of them.
//! Does not own: preprocessing, thresholds, or where a model's tensors are kept.
//!
//! A FIFO of scrapes is channels-last by nature, one row per time, so tensors here are
//! `[batch, time, channels]` and a convolution is an unfolding and one matrix product.

pub mod autoencoder;
pub mod classifier;
mod descent;
pub mod device;
mod embed;
mod encoder;
pub mod forward;
mod frames;
mod layers;
pub mod net;
pub mod rfc;
pub mod siamese;
mod stored;
mod supervised;
pub mod train;

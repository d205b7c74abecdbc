//! Arithmetic with no domain in it.

pub mod calendar;
pub mod decompose;
pub mod dense;
pub mod dice;
pub mod directions;
pub mod duration;
pub mod kmeans;
pub mod linear;
pub mod loess;
pub mod random;
pub mod simd;
pub mod statespace;
pub mod stats;
pub mod whitening;

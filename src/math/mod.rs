//! Arithmetic with no domain in it.

pub mod decompose;
pub mod duration;
pub mod loess;
pub mod stats;

//! Arithmetic with no domain in it.

pub mod stats;

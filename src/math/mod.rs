//! Arithmetic with no domain in it.

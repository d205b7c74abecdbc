//! The one integration binary: burn is linked once.
//!
//! Servers are real. What is missing fails the test with the command that installs it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "what a long test does is worth reading")]
#![allow(unreachable_pub, missing_docs, reason = "nobody imports a test")]

mod lab;

#[allow(dead_code, reason = "`make lab` uses the rest")]
#[path = "../lab/mod.rs"]
mod fault_lab;

mod backtest;
mod cli;
mod collect;
mod config;
mod csv;
mod demo;
mod e2e;
mod evaluate;
mod experiment;
mod export;
mod faults;
mod helm;
mod image;
mod layers;
mod life;
mod models;
mod plan;
mod plot;
mod presets;
mod rules;
mod score;
mod serve;
#[cfg(feature = "deep")]
mod shipped;
mod simulate;
mod source;
mod store;
mod supervised;
mod train;
#[cfg(feature = "deep")]
mod tune;
mod weak;
mod web;

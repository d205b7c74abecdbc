//! Portent reads Prometheus, learns what normal looks like, and serves anomaly scores that Prometheus
//! scrapes.
//!
//! ```text
//!                  ┌───────────── one pass, every `score.every` ─────────────┐
//!  Prometheus → source → gather → window → model (preprocess → detect → score) → export → /metrics
//!                                              ▲                            │
//!                                            store ◄── train ◄── labels ◄── web, cli ◄── a person
//! ```
//!
//! Scoring is cheap and frequent, training dear and seldom. They meet only in the store: training
//! writes a version, scoring reads the promoted one. So training can never stall a pass or a scrape.
//!
//! The modules below are in reading order, from the top down. A module uses only modules of floors
//! below its own, never a neighbour; `tests/it/layers.rs` holds this. Floors 1 to 3 are pure: values
//! in, values out; no clock, IO, async or logging. Deliberately absent: a query in a scrape, a
//! timestamp on a sample, a score that is repeated.

// 8: arguments and exit codes
pub mod cli;
// 7: construction and life; the only module that knows them all
pub mod app;
// 6: around the flow
pub mod config;
pub mod schedule;
pub mod telemetry;
pub mod web;
// 5⅔: settings that are judged best
pub mod tune;
// 5½: the flow, judged
pub mod evaluate;
// 5: the flow. `pipeline` is the place to start reading
pub mod backtest;
pub mod collect;
pub mod pipeline;
pub mod train;
// 4½: a watch's rows, asked for and cleaned
pub mod gather;
// 4: each touches exactly one outside thing
pub mod export;
pub mod labels;
pub mod plot;
pub mod simulate;
pub mod source;
pub mod store;
pub mod tensorboard;
pub mod workers;
// 3½: networks that come along
pub mod shipped;
// 3: what is watched, and a fitted model, whole
pub mod model;
pub mod watch;
// 2: the science, and what happens to a DNS service
pub mod detect;
pub mod preprocess;
pub mod quality;
pub mod scenario;
pub mod score;
pub mod weak;
pub mod window;
// 1: words and arithmetic
pub mod math;
pub mod series;
pub mod verdict;

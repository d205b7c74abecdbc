//! A process: how much CPU it takes, how much memory, how long it takes for its own part of an answer.
//!
//! Owns: the numbers that a machine decides, as the fault lab's CoreDNS 1.15 had them on two cores. Does not own: what
//! is answered (`replica`).

use crate::math::dice;
use crate::math::random::Random;

use super::metrics::Proto;
use super::metrics::Vitals;

/// A process since its start.
#[derive(Debug)]
pub(super) struct Process {
    started_us: i64,
    /// When it answers.
    pub(super) ready_us: i64,
    cpu_s: f64,
    asked: u64,
    rss_bytes: f64,
}

/// From its start to its first answer.
const START_US: i64 = 150_000;

/// CPU seconds: of a start, of a second, of a question, and what TCP, a forwarding and a scrape add.
const START_CPU_S: f64 = 0.05;
const IDLE_CPU_S: f64 = 0.002;
const QUESTION_CPU_S: f64 = 130e-6;
const TCP_CPU_S: f64 = 20e-6;
const FORWARD_CPU_S: f64 = 150e-6;
const SCRAPE_CPU_S: f64 = 0.006;

/// Its own part of an answer in microseconds (median and spread of a log-normal), and a health check's length.
const ANSWER_US: (f64, f64) = (80.0, 0.55);
/// This share of its answers is late by about two milliseconds, where the machine was busy with something else.
const LATE: (f64, f64) = (0.005, 2_000.0);
const HEALTH_US: (f64, f64) = (580.0, 0.4);

const START_RSS: f64 = 56e6;
const BUSY_RSS: f64 = 11e6;
/// Questions after which memory is as high as it gets.
const BUSY_QUESTIONS: f64 = 10_000.0;
const ENTRY_RSS: f64 = 1_000.0;
const FLIGHT_RSS: f64 = 30e3;

const GOROUTINES: f64 = 20.0;
const FDS: f64 = 15.0;

impl Process {
    pub(super) fn start(now_us: i64) -> Process {
        Process {
            started_us: now_us,
            ready_us: now_us + START_US,
            cpu_s: START_CPU_S,
            asked: 0,
            rss_bytes: START_RSS,
        }
    }

    pub(super) fn is_ready(&self, now_us: i64) -> bool {
        now_us >= self.ready_us
    }

    /// So much time went by.
    pub(super) fn lived(&mut self, for_us: i64, frozen: bool) {
        if !frozen {
            self.cpu_s += IDLE_CPU_S * for_us as f64 / 1e6;
        }
    }

    /// A question came.
    pub(super) fn asked(&mut self, proto: Proto) {
        self.asked += 1;
        self.cpu_s += QUESTION_CPU_S + if proto == Proto::Tcp { TCP_CPU_S } else { 0.0 };
    }

    /// A question goes to an upstream server.
    pub(super) fn forwarded(&mut self) {
        self.cpu_s += FORWARD_CPU_S;
    }

    /// The Corefile was read again.
    pub(super) fn reloaded(&mut self) {
        self.cpu_s += START_CPU_S;
    }

    /// Its own part of an answer, in microseconds.
    pub(super) fn answer_us(&self, random: &mut Random) -> f64 {
        let late_us = if random.unit() < LATE.0 { LATE.1 * dice::exponential(random) } else { 0.0 };
        dice::log_normal(random, ANSWER_US.0, ANSWER_US.1) + late_us
    }

    /// How long it takes to ask itself whether it is well.
    pub(super) fn health_us(&self, random: &mut Random) -> i64 {
        dice::log_normal(random, HEALTH_US.0, HEALTH_US.1) as i64
    }

    /// What it says of itself.
    pub(super) fn vitals(
        &mut self,
        origin_s: i64,
        under_way: usize,
        idle: usize,
        entries: usize,
        random: &mut Random,
    ) -> Vitals {
        self.cpu_s += SCRAPE_CPU_S;
        let busy = 1.0 - (-(self.asked as f64) / BUSY_QUESTIONS).exp();
        let (entries, open) = (entries as f64, under_way as f64);
        let wanted = START_RSS + BUSY_RSS * busy + ENTRY_RSS * entries + FLIGHT_RSS * open;
        // It takes at once what it needs, and gives back slowly.
        let target = wanted * dice::log_normal(random, 1.0, 0.004);
        self.rss_bytes +=
            (target - self.rss_bytes) * if target > self.rss_bytes { 0.5 } else { 0.05 };
        Vitals {
            goroutines: GOROUTINES + open + random.below(2) as f64,
            cpu_s: self.cpu_s,
            open_fds: FDS + (idle + under_way) as f64,
            rss_bytes: (self.rss_bytes / 4096.0).floor() * 4096.0,
            started_s: origin_s as f64 + (self.started_us as f64 / 1e4).floor() / 100.0,
        }
    }
}

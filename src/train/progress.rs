//! How far a training is.
//!
//! Owns: the estimate of what is left, and the line on the log. Does not own: the metrics (`export`) or
//! the bar of a terminal (`app`).

use std::time::Duration;
use std::time::Instant;

use crate::math::duration::format_duration;

/// How often the log hears of a training that runs.
const LOG_EVERY: Duration = Duration::from_secs(30);

/// Where a training stands.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Progress {
    /// Entities that it is done with.
    pub done: usize,
    /// Entities that there are; 0 while history is still being read.
    pub total: usize,
    /// Since history was read.
    pub elapsed: Duration,
}

impl Progress {
    /// The share that is done, 0 to 1.
    pub fn ratio(&self) -> f64 {
        if self.total == 0 { 0.0 } else { self.done as f64 / self.total as f64 }
    }

    /// What is left if entities go on to take as long; `None` before the first one is done.
    pub fn left(&self) -> Option<Duration> {
        let to_do = self.total.saturating_sub(self.done) as f64;
        (self.done > 0).then(|| self.elapsed.mul_f64(to_do / self.done as f64))
    }

    /// What is left, in words.
    pub fn left_in_words(&self) -> String {
        let seconds = self.left().map(|left| left.as_secs_f64().ceil() as i64);
        seconds.map_or_else(|| "unknown".into(), format_duration)
    }
}

/// Who wants to know. Called when history is read, and after each entity.
pub trait Listener: Send {
    /// It is so far now.
    fn tell(&mut self, progress: Progress);
}

impl<F: FnMut(Progress) + Send> Listener for F {
    fn tell(&mut self, progress: Progress) {
        self(progress);
    }
}

/// A line every half a minute; none for a training that is shorter.
pub(super) struct Log<'a> {
    watch: &'a str,
    last: Instant,
}

impl Log<'_> {
    pub(super) fn of(watch: &str) -> Log<'_> {
        Log { watch, last: Instant::now() }
    }
}

impl Listener for Log<'_> {
    fn tell(&mut self, progress: Progress) {
        if self.last.elapsed() >= LOG_EVERY && progress.done < progress.total {
            let Progress { done, total, .. } = progress;
            let left = progress.left_in_words();
            tracing::info!(watch = self.watch, done, total, left, "training");
            self.last = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_estimated_from_what_was_done() {
        let at = |done| Progress { done, total: 400, elapsed: Duration::from_secs(30) };
        assert_eq!((at(0).ratio(), at(0).left()), (0.0, None));
        assert_eq!((at(100).ratio(), at(100).left()), (0.25, Some(Duration::from_secs(90))));
        assert_eq!(at(100).left_in_words(), "1m30s");
        assert_eq!((at(400).ratio(), at(400).left()), (1.0, Some(Duration::ZERO)));
        assert_eq!((Progress::default().ratio(), Progress::default().left()), (0.0, None));
        assert_eq!(Progress::default().left_in_words(), "unknown");
    }
}

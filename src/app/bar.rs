//! How far a training is, for who waits at a terminal or reads a Job's output.

use std::io::IsTerminal;
use std::io::Write;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use tokio::task::JoinSet;

use crate::math::duration::format_duration;
use crate::train::Progress;

/// How often a terminal is drawn.
const DRAW_EVERY: Duration = Duration::from_millis(250);
/// How often a line is written elsewhere.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// Characters of the bar.
const WIDTH: usize = 30;

/// The progress of one watch's training, or of a search, on stderr.
pub(super) struct Bar {
    what: String,
    unit: &'static str,
    newest: Arc<Mutex<Progress>>,
    started: Instant,
    on_terminal: bool,
    ticks: JoinSet<()>,
}

impl Bar {
    /// Begins to show how many of what `unit` says are done, from within the runtime.
    pub(super) fn start(what: &str, unit: &'static str) -> Bar {
        let on_terminal = std::io::stderr().is_terminal();
        let newest = Arc::new(Mutex::new(Progress::default()));
        let mut ticks = JoinSet::new();
        let (name, shown) = (what.to_string(), Arc::clone(&newest));
        ticks.spawn(async move {
            loop {
                if !on_terminal {
                    tokio::time::sleep(LINE_EVERY).await;
                }
                let progress = *shown.lock().unwrap_or_else(PoisonError::into_inner);
                match on_terminal {
                    true => write(&format!("\r\x1b[K{}", drawn(&name, unit, progress))),
                    false => write(&format!("{}\n", line(&name, unit, progress))),
                }
                if on_terminal {
                    tokio::time::sleep(DRAW_EVERY).await;
                }
            }
        });
        Bar { what: what.to_string(), unit, newest, started: Instant::now(), on_terminal, ticks }
    }

    /// Who hears of the training's progress.
    pub(super) fn listener(&self) -> impl FnMut(Progress) + Send + use<> {
        let newest = Arc::clone(&self.newest);
        move |progress| *newest.lock().unwrap_or_else(PoisonError::into_inner) = progress
    }

    /// The last line, in place of the bar.
    pub(super) async fn end(mut self) {
        self.ticks.shutdown().await;
        let progress = *self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let took = format_duration(self.started.elapsed().as_secs_f64().ceil() as i64);
        let Progress { done, total, .. } = progress;
        let before = if self.on_terminal { "\r\x1b[K" } else { "" };
        let Bar { what, unit, .. } = &self;
        write(&format!("{before}{what}: {done} of {total} {unit} in {took}\n"));
    }

    /// Nothing in place of the bar: what comes next says what went wrong.
    pub(super) async fn gone(mut self) {
        self.ticks.shutdown().await;
        if self.on_terminal {
            write("\r\x1b[K");
        }
    }
}

/// A stderr that is gone stops no training.
fn write(text: &str) {
    let mut stderr = std::io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

fn drawn(what: &str, unit: &str, progress: Progress) -> String {
    if progress.total == 0 {
        return line(what, unit, progress);
    }
    let full = (progress.ratio() * WIDTH as f64) as usize;
    let (full, empty) = ("#".repeat(full), "-".repeat(WIDTH - full));
    let (percent, rest) = (percent(progress), rest(unit, progress));
    format!("{what} [{full}{empty}] {percent} %, {rest}")
}

fn line(what: &str, unit: &str, progress: Progress) -> String {
    match progress {
        Progress { total: 0, .. } => format!("{what}: reading history"),
        Progress { under_way: 0.0, .. } => format!("{what}: {}", rest(unit, progress)),
        _ => format!("{what}: {} %, {}", percent(progress), rest(unit, progress)),
    }
}

fn percent(progress: Progress) -> f64 {
    (100.0 * progress.ratio()).floor()
}

fn rest(unit: &str, progress: Progress) -> String {
    let Progress { done, total, loss, .. } = progress;
    let loss = loss.map(|loss| format!(", loss {loss:.4}")).unwrap_or_default();
    format!("{done} of {total} {unit}{loss}, ETA {}", progress.left_in_words())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_says_how_far_and_how_long() {
        let elapsed = Duration::from_secs(60);
        let at = |done| Progress { done, total: 8, elapsed, ..Progress::default() };
        assert_eq!(drawn("ports", "entities", Progress::default()), "ports: reading history");
        let none = "ports [------------------------------] 0 %, 0 of 8 entities, ETA unknown";
        assert_eq!(drawn("ports", "entities", at(0)), none);
        let half = "ports [###############---------------] 50 %, 4 of 8 entities, ETA 1m";
        assert_eq!(drawn("ports", "entities", at(4)), half);
        assert_eq!(line("ports", "entities", at(2)), "ports: 2 of 8 entities, ETA 3m");
        assert_eq!(drawn("ports", "entities", at(8)).matches('#').count(), WIDTH);
    }

    #[test]
    fn a_bar_moves_with_the_network_and_says_its_loss() {
        let (total, elapsed, loss) = (1, Duration::from_secs(60), Some(0.012_34));
        let at = Progress { done: 0, total, under_way: 0.5, loss, elapsed };
        let half =
            "dns [###############---------------] 50 %, 0 of 1 entities, loss 0.0123, ETA 1m";
        assert_eq!(drawn("dns", "entities", at), half);
        assert_eq!(line("dns", "entities", at), "dns: 50 %, 0 of 1 entities, loss 0.0123, ETA 1m");
        let full = drawn("dns", "entities", Progress { under_way: 1.0, ..at });
        assert!(full.contains("#-] 99 %, 0 of 1"), "{full}");
    }
}

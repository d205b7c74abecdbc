//! How far a training is.
//!
//! Owns: how entities and the iterations of their networks add up, the estimate of what is left, and the line on
//! the log. Does not own: the metrics (`export`) or the bar of a terminal (`app`).

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use tokio::task::JoinError;
use tokio::task::JoinSet;

use crate::detect::Stage;
use crate::math::duration::format_duration;
use crate::series::Entity;

/// How often the log hears of a training that runs.
const LOG_EVERY: Duration = Duration::from_secs(30);
/// How often is looked at networks that are being trained.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// What is not done with is not whole: when its networks are trained, an entity's models are still to be judged.
const NEARLY: f64 = 0.99;

/// Where a training stands.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Progress {
    /// Entities that it is done with.
    pub done: usize,
    /// Entities that there are; 0 while history is still being read.
    pub total: usize,
    /// What is done of the others, in entities: of each whose networks are being trained, the share of the
    /// iterations that they may take at most.
    pub under_way: f64,
    /// Mean loss of the newest iterations of a network that is being trained, if one is; where several are, of the
    /// one whose entity came first.
    pub loss: Option<f32>,
    /// Since history was read.
    pub elapsed: Duration,
}

impl Progress {
    /// The share that is done, 0 to 1; 1 only where it is done with all.
    pub fn ratio(&self) -> f64 {
        let done = self.done as f64 + self.under_way;
        match self.total {
            0 => 0.0,
            total if self.done >= total => 1.0,
            total => (done / total as f64).min(NEARLY.max(self.done as f64 / total as f64)),
        }
    }

    /// What is left if it goes on at the same pace; `None` before anything is done.
    pub fn left(&self) -> Option<Duration> {
        let ratio = self.ratio();
        let left_s = self.elapsed.as_secs_f64() * (1.0 - ratio) / ratio;
        (ratio > 0.0).then(|| Duration::try_from_secs_f64(left_s).ok()).flatten()
    }

    /// What is left, in words.
    pub fn left_in_words(&self) -> String {
        let seconds = self.left().map(|left| left.as_secs_f64().ceil() as i64);
        seconds.map_or_else(|| "unknown".into(), format_duration)
    }
}

/// Who wants to know. Called when history is read, after each entity, and a few times a second while networks are
/// being trained.
pub trait Listener: Send {
    /// It is so far now.
    fn tell(&mut self, progress: Progress);
}

impl<F: FnMut(Progress) + Send> Listener for F {
    fn tell(&mut self, progress: Progress) {
        self(progress);
    }
}

/// How far the networks of one entity are: written by the one thread that trains them, read by who tells of it;
/// neither waits for the other.
#[derive(Debug, Default)]
pub(super) struct Share(AtomicU64);

impl Share {
    /// It is so far now, if it was not further before.
    pub(super) fn reach(&self, Stage { share, loss }: Stage) {
        let (known, _) = unpacked(self.0.load(Ordering::Relaxed));
        let share = (share as f32).clamp(known, 1.0);
        let packed = u64::from(share.to_bits()) << 32 | u64::from(loss.to_bits());
        self.0.store(packed, Ordering::Relaxed);
    }

    /// The share, 0 to 1, and the newest loss; `None` before the first.
    fn read(&self) -> Option<(f64, f32)> {
        let (share, loss) = unpacked(self.0.load(Ordering::Relaxed));
        (share > 0.0).then(|| (f64::from(share), loss))
    }
}

fn unpacked(packed: u64) -> (f32, f32) {
    (f32::from_bits((packed >> 32) as u32), f32::from_bits(packed as u32))
}

/// The entities of a training, and who hears of them.
pub(super) struct UnderWay<'a> {
    listener: &'a mut dyn Listener,
    progress: Progress,
    started: Instant,
    /// Who is being trained, in the order of beginning.
    shares: Vec<(Entity, Arc<Share>)>,
}

impl UnderWay<'_> {
    pub(super) fn new(listener: &mut dyn Listener, total: usize) -> UnderWay<'_> {
        let progress = Progress { total, ..Progress::default() };
        UnderWay { listener, progress, started: Instant::now(), shares: Vec::new() }
    }

    /// Begins with an entity.
    pub(super) fn begin(&mut self, entity: &Entity) -> Arc<Share> {
        let share = Arc::new(Share::default());
        self.shares.push((entity.clone(), Arc::clone(&share)));
        share
    }

    /// Done with one entity; `None` is one that was not begun with.
    pub(super) fn done(&mut self, entity: Option<&Entity>) {
        self.progress.done += 1;
        self.shares.retain(|(known, _)| Some(known) != entity);
    }

    /// Says where it stands, and waits for who is done next.
    pub(super) async fn next<T: 'static>(
        &mut self,
        running: &mut JoinSet<T>,
    ) -> Option<Result<T, JoinError>> {
        self.tell();
        loop {
            tokio::select! {
                ended = running.join_next() => return ended,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            // Who needs no iterations is not told of again and again.
            let before = self.progress;
            if self.look() != before {
                self.tell();
            }
        }
    }

    /// What the networks have come to meanwhile.
    fn look(&mut self) -> Progress {
        let shares = || self.shares.iter().filter_map(|(_, share)| share.read());
        let (under_way, loss) = (shares().map(|(share, _)| share).sum(), shares().next());
        self.progress = Progress { under_way, loss: loss.map(|(_, loss)| loss), ..self.progress };
        self.progress
    }

    /// Says where it stands.
    pub(super) fn tell(&mut self) {
        let progress = self.look();
        self.listener.tell(Progress { elapsed: self.started.elapsed(), ..progress });
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
            let Progress { done, total, loss, .. } = progress;
            let (percent, left) = ((100.0 * progress.ratio()) as u32, progress.left_in_words());
            tracing::info!(watch = self.watch, done, total, percent, loss, left, "training");
            self.last = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_estimated_from_what_was_done() {
        let elapsed = Duration::from_secs(30);
        let at = |done| Progress { done, total: 400, elapsed, ..Progress::default() };
        assert_eq!((at(0).ratio(), at(0).left()), (0.0, None));
        assert_eq!((at(100).ratio(), at(100).left()), (0.25, Some(Duration::from_secs(90))));
        assert_eq!(at(100).left_in_words(), "1m30s");
        assert_eq!((at(400).ratio(), at(400).left()), (1.0, Some(Duration::ZERO)));
        assert_eq!((Progress::default().ratio(), Progress::default().left()), (0.0, None));
        assert_eq!(Progress::default().left_in_words(), "unknown");
    }

    #[test]
    fn networks_that_are_being_trained_count_as_far_as_they_are() {
        let elapsed = Duration::from_secs(30);
        let at = |done, under_way| Progress {
            done,
            total: 4,
            under_way,
            elapsed,
            ..Progress::default()
        };
        assert_eq!((at(0, 1.0).ratio(), at(1, 0.6).ratio()), (0.25, 0.4));
        assert_eq!(at(0, 1.0).left(), Some(Duration::from_secs(90)));
        assert_eq!(at(3, 1.0).ratio(), 0.99, "it is not done with the last");
        assert_eq!(at(0, f64::MIN_POSITIVE).left(), None, "longer than any clock goes");
    }

    #[test]
    fn a_share_never_falls_and_the_oldest_one_tells_its_loss() {
        let mut heard = Vec::new();
        let mut listener = |progress: Progress| heard.push((progress.under_way, progress.loss));
        let mut so_far = UnderWay::new(&mut listener, 3);
        let [a, b] = ["a", "b"].map(|port| Entity::new([("port", port)]));
        let (of_a, of_b) = (so_far.begin(&a), so_far.begin(&b));
        so_far.tell();
        of_b.reach(Stage { share: 0.5, loss: 2.0 });
        so_far.tell();
        of_a.reach(Stage { share: 0.25, loss: 3.0 });
        of_a.reach(Stage { share: 0.0, loss: 1.0 });
        so_far.tell();
        so_far.done(Some(&a));
        so_far.tell();
        let wanted = [(0.0, None), (0.5, Some(2.0)), (0.75, Some(1.0)), (0.5, Some(2.0))];
        assert_eq!(heard, wanted);
    }
}

//! Computing, off the async threads.
//!
//! Owns: how many threads compute at once, and that scoring goes before training.
//! Does not own: what is computed, or when (`schedule`).
//!
//! There are as many slots as cores less one (at least one), and who computes holds one. A training
//! that is asked to step aside gives its slot to the scoring that waits, sleeps, and gets the next
//! slot that no scoring wants. So a scoring waits for one stretch of training between two calls of
//! [`Turn::keep_going`], never for a whole training.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use tokio::sync::Semaphore;
use tokio::sync::oneshot;
use tokio::task;

/// Who computes; scoring goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// A pass: short, and somebody waits for its scores.
    Scoring,
    /// A training: long, and nobody does.
    Training,
}

/// Why work has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfinished {
    /// It panicked, with this message.
    #[error("panicked: {0}")]
    Panicked(String),
    /// The process is going down, and the work had not begun.
    #[error("stopped before it began")]
    Stopped,
}

/// The threads that compute. Cheap to clone; all clones share the slots.
#[derive(Debug, Clone)]
pub struct Workers {
    slots: usize,
    gate: Arc<Gate>,
    trainings: Arc<Semaphore>,
}

impl Workers {
    /// Workers for a machine of so many cores; one core is left free where there are two or more.
    pub fn new(cores: usize) -> Workers {
        let slots = cores.saturating_sub(1).max(1);
        let gate = Gate { queues: Mutex::new(Queues { free: slots, ..Queues::default() }) };
        Workers { slots, gate: Arc::new(gate), trainings: Arc::new(Semaphore::new(slots)) }
    }

    /// How many compute at once.
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// Runs `f` on a thread of its own as soon as its priority allows, and returns what it returns.
    ///
    /// Dropping the future does not stop a running `f`, but makes its `keep_going` return false.
    pub async fn run<T: Send + 'static>(
        &self,
        priority: Priority,
        f: impl FnOnce(&Turn) -> T + Send + 'static,
    ) -> Result<T, Unfinished> {
        // Held to the end of the training, parked or not: each holds a data set in memory.
        let training = match priority {
            Priority::Training => Some(
                Arc::clone(&self.trainings)
                    .acquire_owned()
                    .await
                    .map_err(|_| Unfinished::Stopped)?,
            ),
            Priority::Scoring => None,
        };
        let slot = self.gate.queue(priority).await.map_err(|_| Unfinished::Stopped)?;
        let caller = Arc::new(Caller::default());
        let turn = Turn {
            priority,
            gate: Arc::clone(&self.gate),
            slot: Mutex::new(Some(slot)),
            caller: Arc::clone(&caller),
        };
        let _gone = Gone(caller);
        let work = move || {
            let _training = training;
            f(&turn)
        };
        task::spawn_blocking(work).await.map_err(|error| match error.try_into_panic() {
            Ok(payload) => Unfinished::Panicked(message(payload.as_ref())),
            Err(_) => Unfinished::Stopped,
        })
    }

    /// Ends: what waits is not begun, and every `keep_going` returns false from now on.
    pub fn stop(&self) {
        self.trainings.close();
        let mut queues = self.gate.lock();
        queues.stopped = true;
        // Dropping the senders wakes whoever waits at the other end.
        queues.scoring.clear();
        queues.training.clear();
    }
}

/// What running work holds: its place, and the question whether to go on.
#[derive(Debug)]
pub struct Turn {
    priority: Priority,
    gate: Arc<Gate>,
    slot: Mutex<Option<Slot>>,
    caller: Arc<Caller>,
}

impl Turn {
    /// To be called after every 50 ms or so of work: whether to go on. False after [`Workers::stop`],
    /// and when nobody waits for the result any more.
    ///
    /// In a training this blocks while scoring needs the core.
    pub fn keep_going(&self) -> bool {
        if self.priority == Priority::Training {
            // Held while asleep, so that a second thread of the same training sleeps too.
            let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(next) = self.gate.step_aside() {
                drop(slot.take());
                *slot = next.blocking_recv().ok();
            }
        }
        !self.gate.lock().stopped && !self.caller.gone.load(Ordering::Relaxed)
    }
}

/// Whether somebody still waits for a result.
#[derive(Debug, Default)]
struct Caller {
    gone: AtomicBool,
}

/// Says so when the waiting future is dropped.
struct Gone(Arc<Caller>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.gone.store(true, Ordering::Relaxed);
    }
}

/// The right to compute. Dropped, it goes to who waits: scoring first.
#[derive(Debug)]
struct Slot(Arc<Gate>);

impl Drop for Slot {
    fn drop(&mut self) {
        let next = {
            let mut queues = self.0.lock();
            let next = queues.scoring.pop_front().or_else(|| queues.training.pop_front());
            if next.is_none() {
                queues.free += 1;
            }
            next
        };
        if let Some(next) = next {
            // Refused by one who no longer waits, the new slot is dropped here: on to the next.
            let _ = next.send(Slot(Arc::clone(&self.0)));
        }
    }
}

/// The slots and who waits for them.
#[derive(Debug)]
struct Gate {
    queues: Mutex<Queues>,
}

#[derive(Debug, Default)]
struct Queues {
    free: usize,
    stopped: bool,
    scoring: VecDeque<oneshot::Sender<Slot>>,
    training: VecDeque<oneshot::Sender<Slot>>,
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a slot will arrive; an error there means that the workers were stopped.
    fn queue(self: &Arc<Gate>, priority: Priority) -> oneshot::Receiver<Slot> {
        let (sender, receiver) = oneshot::channel();
        let mut queues = self.lock();
        if queues.stopped {
            return receiver;
        }
        if queues.free > 0 {
            queues.free -= 1;
            drop(queues);
            let _ = sender.send(Slot(Arc::clone(self)));
            return receiver;
        }
        match priority {
            Priority::Scoring => queues.scoring.push_back(sender),
            Priority::Training => queues.training.push_back(sender),
        }
        receiver
    }

    /// A place in the queue for a training that scoring asks to step aside; `None` if none asks.
    fn step_aside(&self) -> Option<oneshot::Receiver<Slot>> {
        let mut queues = self.lock();
        if queues.stopped || queues.scoring.is_empty() {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        queues.training.push_back(sender);
        Some(receiver)
    }
}

fn message(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_string());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".into())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::thread;
    use std::time::Duration;
    use std::time::Instant;

    use super::*;

    /// Counts who is inside; `peak` is the most there ever were.
    #[derive(Default)]
    struct Room {
        inside: AtomicUsize,
        peak: AtomicUsize,
    }

    impl Room {
        fn stay(&self, time: Duration) {
            let inside = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
            self.peak.fetch_max(inside, Ordering::SeqCst);
            thread::sleep(time);
            self.inside.fetch_sub(1, Ordering::SeqCst);
        }
    }

    fn train_until_stopped(workers: &Workers, room: &Arc<Room>) -> task::JoinHandle<usize> {
        let (workers, room) = (workers.clone(), Arc::clone(room));
        tokio::spawn(async move {
            let train = move |turn: &Turn| {
                let mut rounds = 0;
                while turn.keep_going() {
                    room.stay(Duration::from_millis(10));
                    rounds += 1;
                }
                rounds
            };
            workers.run(Priority::Training, train).await.unwrap()
        })
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn scoring_interrupts_a_training_and_never_runs_beside_it() {
        let (workers, room) = (Workers::new(2), Arc::new(Room::default()));
        let training = train_until_stopped(&workers, &room);
        let mut slowest = Duration::ZERO;
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_millis(15)).await;
            let (asked, room) = (Instant::now(), Arc::clone(&room));
            let score = move |_: &Turn| {
                let waited = asked.elapsed();
                room.stay(Duration::from_millis(5));
                waited
            };
            slowest = slowest.max(workers.run(Priority::Scoring, score).await.unwrap());
        }
        workers.stop();
        let rounds = training.await.unwrap();
        assert_eq!(room.peak.load(Ordering::SeqCst), 1, "one core is left free");
        assert!(rounds > 5, "the training went on in between: {rounds} rounds");
        // One round of the training is 10 ms; the rest is the scheduler of a busy machine.
        assert!(slowest < Duration::from_millis(500), "{slowest:?}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn four_cores_compute_three_things_at_once() {
        let (workers, room) = (Workers::new(4), Arc::new(Room::default()));
        let trainings: Vec<_> = (0..5).map(|_| train_until_stopped(&workers, &room)).collect();
        tokio::time::sleep(Duration::from_millis(100)).await;
        workers.stop();
        let ended = tokio::time::timeout(Duration::from_secs(10), async {
            let mut begun = 0;
            for training in trainings {
                begun += usize::from(training.await.is_ok());
            }
            begun
        });
        // Two of the five never began: their task panics on `Unfinished::Stopped`.
        assert_eq!((ended.await.unwrap(), room.peak.load(Ordering::SeqCst)), (3, 3));
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_frees_its_slot() {
        let workers = Workers::new(1);
        let lost = workers.run(Priority::Scoring, |_| panic!("no {}", "luck")).await;
        assert_eq!(lost, Err::<(), _>(Unfinished::Panicked("no luck".into())));
        assert_eq!(workers.run(Priority::Training, |_| 7).await, Ok(7));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn who_stops_waiting_gives_up_the_place() {
        let workers = Workers::new(1);
        let ended = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&ended);
        let endless = move |turn: &Turn| {
            while turn.keep_going() {
                thread::sleep(Duration::from_millis(1));
            }
            seen.store(true, Ordering::SeqCst);
        };
        let abandoned = workers.run(Priority::Training, endless);
        assert!(tokio::time::timeout(Duration::from_millis(50), abandoned).await.is_err());
        // Comes after the abandoned one has ended: there is one slot, and one training at a time.
        assert_eq!(workers.run(Priority::Training, |_| 7).await, Ok(7));
        assert!(ended.load(Ordering::SeqCst));
    }

    #[tokio::test]
    async fn after_the_stop_nothing_begins() {
        let workers = Workers::new(2);
        workers.stop();
        assert_eq!(workers.run(Priority::Scoring, |_| 7).await, Err(Unfinished::Stopped));
        assert_eq!(workers.run(Priority::Training, |_| 7).await, Err(Unfinished::Stopped));
    }
}

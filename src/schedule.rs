//! When things happen: ticks, changed files, signals.
//!
//! Owns: the wait. Does not own: what a pass, a training or a reload does.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use std::time::SystemTime;

use sha2::Digest;
use sha2::Sha256;
use tokio::fs;
use tokio::signal::unix::Signal;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tokio::time;

/// Longest sleep between two looks at the clock: after a suspend or a step of the clock, a tick is
/// at most this late.
const LONGEST_SLEEP_MS: i64 = 30_000;

/// Runs `job` at each multiple of `every_s` on the unix clock, `offset` later; it gets the multiple,
/// in unix seconds. Never returns. The first run is at the first tick after now.
///
/// Ticks missed during a slow run become one late run, for the newest of them.
pub async fn every<F: Future<Output = ()>>(
    every_s: i64,
    offset: Duration,
    mut job: impl FnMut(i64) -> F,
) {
    let mut ticks = Ticks::new(every_s.max(1) * 1000, offset.as_millis() as i64, now_ms());
    loop {
        match ticks.next(now_ms()) {
            Next::Run { tick_ms } => job(tick_ms / 1000).await,
            Next::Wait { ms } => time::sleep(Duration::from_millis(ms as u64)).await,
        }
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as i64)
}

/// The arithmetic of ticks; all times in unix milliseconds.
#[derive(Debug)]
struct Ticks {
    every_ms: i64,
    offset_ms: i64,
    /// Number of the newest tick that needs no run any more.
    last: i64,
}

#[derive(Debug, PartialEq, Eq)]
enum Next {
    Run { tick_ms: i64 },
    Wait { ms: i64 },
}

impl Ticks {
    fn new(every_ms: i64, offset_ms: i64, now_ms: i64) -> Ticks {
        Ticks { every_ms, offset_ms, last: (now_ms - offset_ms).div_euclid(every_ms) }
    }

    fn next(&mut self, now_ms: i64) -> Next {
        let newest = (now_ms - self.offset_ms).div_euclid(self.every_ms);
        if newest > self.last {
            self.last = newest;
            return Next::Run { tick_ms: newest * self.every_ms };
        }
        // A clock that was set back by less than a period repeats no tick; one that was set back
        // further starts anew, or else nothing would run until it has caught up.
        if newest < self.last - 1 {
            self.last = newest;
        }
        let due_ms = (self.last + 1) * self.every_ms + self.offset_ms;
        Next::Wait { ms: (due_ms - now_ms).clamp(1, LONGEST_SLEEP_MS) }
    }
}

/// Looks at the contents of `paths` every `period` and calls `on_change` with those that changed,
/// came or went. Never returns.
///
/// Contents and not times: a ConfigMap is updated by swapping a symbolic link above the file.
pub async fn watch_content<F: Future<Output = ()>>(
    paths: Vec<PathBuf>,
    period: Duration,
    on_change: impl FnMut(Vec<PathBuf>) -> F,
) {
    Contents::of(paths).await.watch(period, on_change).await;
}

/// What files hold at one time, as hashes. Taken before a file is loaded, no change can slip
/// between loading and watching.
#[derive(Debug, Clone)]
pub struct Contents(BTreeMap<PathBuf, Option<[u8; 32]>>);

impl Contents {
    /// What `paths` hold now. A file that cannot be read is one content among others.
    pub async fn of(paths: Vec<PathBuf>) -> Contents {
        let mut contents = BTreeMap::new();
        for path in paths {
            let content = fs::read(&path).await.ok();
            contents.insert(path, content.map(|bytes| Sha256::digest(bytes).into()));
        }
        Contents(contents)
    }

    /// As [`watch_content`], from this content on.
    pub async fn watch<F: Future<Output = ()>>(
        mut self,
        period: Duration,
        mut on_change: impl FnMut(Vec<PathBuf>) -> F,
    ) {
        loop {
            time::sleep(period).await;
            let now = Contents::of(self.0.keys().cloned().collect()).await;
            let differs = |path: &PathBuf| self.0.get(path) != now.0.get(path);
            let changed: Vec<PathBuf> =
                now.0.keys().filter(|path| differs(path)).cloned().collect();
            self = now;
            if !changed.is_empty() {
                on_change(changed).await;
            }
        }
    }
}

/// SIGHUP, which asks for a reload. From its creation on the signal no longer ends the process.
#[derive(Debug)]
pub struct Hangups(Signal);

impl Hangups {
    /// Starts to listen.
    pub fn new() -> io::Result<Hangups> {
        Ok(Hangups(signal(SignalKind::hangup())?))
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        self.0.recv().await;
    }
}

/// SIGTERM and SIGINT, which ask for the end. Once created, only who waits here hears them.
#[derive(Debug)]
pub struct Terminations {
    terminate: Signal,
    interrupt: Signal,
}

impl Terminations {
    /// Starts to listen.
    pub fn new() -> io::Result<Terminations> {
        let terminate = signal(SignalKind::terminate())?;
        Ok(Terminations { terminate, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next one and gives its name. A second one means that the first end is too slow.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::cell::RefCell;
    use std::path::Path;
    use std::process;
    use std::rc::Rc;

    use super::*;

    /// Starts of `job_ms` long runs in `0..end_ms`, on a clock that only waiting and working move.
    fn runs(every_ms: i64, offset_ms: i64, job_ms: i64, end_ms: i64) -> Vec<(i64, i64)> {
        let (mut now, mut runs) = (0, Vec::new());
        let mut ticks = Ticks::new(every_ms, offset_ms, -1);
        while now < end_ms {
            match ticks.next(now) {
                Next::Run { tick_ms } => {
                    runs.push((now, tick_ms));
                    now += job_ms;
                }
                Next::Wait { ms } => now += ms,
            }
        }
        runs
    }

    #[test]
    fn ticks_are_multiples_of_the_period_plus_the_offset() {
        assert_eq!(runs(10_000, 0, 100, 25_000), [(0, 0), (10_000, 10_000), (20_000, 20_000)]);
        assert_eq!(runs(60_000, 700, 100, 70_000), [(700, 0), (60_700, 60_000)]);
    }

    #[test]
    fn missed_ticks_become_one_late_run() {
        let expected = [(0, 0), (25_000, 20_000), (50_000, 50_000), (75_000, 70_000)];
        assert_eq!(runs(10_000, 0, 25_000, 99_000), expected);
    }

    #[test]
    fn a_clock_set_back_repeats_nothing_and_stalls_nothing() {
        let mut ticks = Ticks::new(10_000, 0, 99_000);
        assert_eq!(ticks.next(100_000), Next::Run { tick_ms: 100_000 });
        assert_eq!(ticks.next(99_000), Next::Wait { ms: 11_000 }, "a second back");
        assert_eq!(ticks.next(5_000), Next::Wait { ms: 5_000 }, "a long way back");
        assert_eq!(ticks.next(10_001), Next::Run { tick_ms: 10_000 });
    }

    #[test]
    fn a_long_wait_looks_at_the_clock_in_between() {
        assert_eq!(Ticks::new(86_400_000, 0, 1).next(1), Next::Wait { ms: LONGEST_SLEEP_MS });
    }

    #[tokio::test]
    async fn the_real_clock_ticks() {
        let ticks = Cell::new(0);
        let job = |tick_s: i64| {
            assert!((now_ms() / 1000 - tick_s) < 60, "{tick_s} is now, in seconds");
            ticks.set(ticks.get() + 1);
            async {}
        };
        let _ = time::timeout(Duration::from_millis(2100), every(1, Duration::ZERO, job)).await;
        assert!((1..=3).contains(&ticks.get()), "{} ticks in 2.1 s", ticks.get());
    }

    /// Waits until `seen` holds `n` items; a minute is far beyond what a busy machine needs.
    async fn until(seen: &Rc<RefCell<Vec<PathBuf>>>, n: usize) {
        let enough = async {
            while seen.borrow().len() < n {
                time::sleep(Duration::from_millis(5)).await;
            }
        };
        time::timeout(Duration::from_secs(60), enough).await.unwrap();
    }

    #[tokio::test]
    async fn a_swapped_link_is_a_change_and_a_touched_file_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let put = |name: &str, text: &str| std::fs::write(path(name), text).unwrap();
        let swap = |to: &str| {
            std::os::unix::fs::symlink(path(to), path("next")).unwrap();
            std::fs::rename(path("next"), path("link")).unwrap();
        };
        put("old", "a: 1");
        put("new", "a: 2");
        put("other", "b");
        swap("old");
        let watched = Contents::of(vec![path("link"), path("other"), path("absent")]).await;
        let seen = Rc::new(RefCell::new(Vec::new()));
        let note = |paths: Vec<PathBuf>| {
            seen.borrow_mut().extend(paths);
            async {}
        };
        let story = async {
            put("other", "b");
            time::sleep(Duration::from_millis(30)).await;
            assert_eq!(*seen.borrow(), Vec::<PathBuf>::new());
            swap("new");
            until(&seen, 1).await;
            put("absent", "");
            until(&seen, 2).await;
            std::fs::remove_file(path("other")).unwrap();
            until(&seen, 3).await;
        };
        tokio::select! {
            () = watched.watch(Duration::from_millis(5), note) => unreachable!(),
            () = story => {}
        }
        let names = ["link", "absent", "other"].map(path);
        assert_eq!(*seen.borrow(), names.each_ref().map(|p: &PathBuf| Path::new(p).to_path_buf()));
    }

    #[tokio::test]
    async fn signals_are_heard() {
        let (mut hangups, mut ends) = (Hangups::new().unwrap(), Terminations::new().unwrap());
        for (name, kind) in [("HUP", "-HUP"), ("SIGTERM", "-TERM"), ("SIGINT", "-INT")] {
            let sent = process::Command::new("sh")
                .args(["-c", "kill \"$0\" \"$1\"", kind, &process::id().to_string()])
                .status();
            assert!(sent.unwrap().success());
            let heard = async {
                match name {
                    "HUP" => hangups.next().await,
                    name => assert_eq!(ends.next().await, name),
                }
            };
            time::timeout(Duration::from_secs(60), heard).await.unwrap();
        }
    }
}

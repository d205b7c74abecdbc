//! The forward plugin: which upstream server is asked, over which connection, and whether it is thought to be well.
//!
//! Owns: connections that are kept, failed health checks, the order of attempts. Does not own: what a server answers
//! (`upstream`), nor the time at which things happen (`replica`).

use std::collections::VecDeque;

use crate::math::random::Random;

use super::metrics::Proto;

/// A server that did not answer so many health checks in a row is left alone, where another is well.
const MAX_FAILS: u32 = 2;
/// No server is waited for longer.
pub(super) const READ_TIMEOUT_US: i64 = 2_000_000;
/// No attempt begins later.
pub(super) const DEADLINE_US: i64 = 5_000_000;
/// A health check's patience, and the pause after one that failed.
pub(super) const CHECK_TIMEOUT_US: i64 = 1_000_000;
pub(super) const CHECK_PAUSE_US: i64 = 500_000;
/// A connection that nobody used for so long is closed.
const EXPIRE_US: i64 = 10_000_000;
/// Attempts for each server there is.
const ATTEMPTS: usize = 2;

/// One upstream server, as CoreDNS sees it.
#[derive(Debug, Default)]
pub(super) struct Proxy {
    /// When each idle connection was used last, the oldest first, by protocol.
    idle: [VecDeque<i64>; 2],
    /// Health checks that failed, in a row.
    fails: u32,
    /// Whether health checks are under way.
    pub(super) checking: bool,
}

impl Proxy {
    fn is_down(&self) -> bool {
        self.fails > MAX_FAILS
    }

    /// A health check's outcome.
    pub(super) fn checked(&mut self, answered: bool) {
        self.fails = if answered { 0 } else { self.fails + 1 };
        self.checking = !answered;
    }

    /// Takes the connection that was idle longest. Whether there was one.
    pub(super) fn connect(&mut self, now_us: i64, proto: Proto) -> bool {
        let idle = &mut self.idle[proto as usize];
        while let Some(used_us) = idle.pop_front() {
            if now_us - used_us <= EXPIRE_US {
                return true;
            }
        }
        false
    }

    /// Gives a connection back.
    pub(super) fn give_back(&mut self, now_us: i64, proto: Proto) {
        self.idle[proto as usize].push_back(now_us);
    }

    /// How many connections are idle.
    pub(super) fn n_idle(&self, now_us: i64) -> usize {
        let young = |used_us: &&i64| now_us - **used_us <= EXPIRE_US;
        self.idle.iter().flatten().filter(young).count()
    }
}

/// A question on its way through the servers.
#[derive(Debug, Clone)]
pub(super) struct Attempts {
    /// In which order they are asked, drawn for each question.
    order: [u8; 4],
    next: usize,
    fails: usize,
    made: usize,
    since_us: i64,
}

/// Who is asked next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// This one. `broken`: all were thought to be down, and one was drawn.
    Ask { proxy: usize, broken: bool },
    /// Nobody any more.
    GiveUp,
}

impl Attempts {
    /// A new question's.
    pub(super) fn new(now_us: i64, n: usize, random: &mut Random) -> Attempts {
        let mut order = [0, 1, 2, 3];
        random.shuffle(&mut order[..n]);
        Attempts { order, next: 0, fails: 0, made: 0, since_us: now_us }
    }

    /// The next server, as `ServeDNS` of plugin/forward looks for it.
    pub(super) fn next(&mut self, now_us: i64, proxies: &[Proxy], random: &mut Random) -> Next {
        let n = proxies.len();
        while now_us < self.since_us + DEADLINE_US && self.made < ATTEMPTS * n {
            if self.next >= n {
                self.next = 0;
                self.fails = 0;
            }
            let proxy = usize::from(self.order[self.next]);
            self.next += 1;
            if !proxies[proxy].is_down() {
                return Next::Ask { proxy, broken: false };
            }
            self.fails += 1;
            if self.fails >= n {
                return Next::Ask { proxy: random.below(n), broken: true };
            }
        }
        Next::GiveUp
    }

    /// The last server did not answer. Whether another is looked for.
    pub(super) fn failed(&mut self, n: usize) -> bool {
        self.made += 1;
        self.made < ATTEMPTS * n && self.fails < n
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_that_are_down_are_passed_over_until_all_are() {
        let mut random = Random::new(2);
        let mut proxies = vec![Proxy::default(), Proxy::default()];
        (0..3).for_each(|_| proxies[0].checked(false));
        for _ in 0..20 {
            let mut attempts = Attempts::new(0, 2, &mut random);
            let next = attempts.next(0, &proxies, &mut random);
            assert_eq!(next, Next::Ask { proxy: 1, broken: false });
            assert!(attempts.failed(2));
        }
        (0..3).for_each(|_| proxies[1].checked(false));
        let mut attempts = Attempts::new(0, 2, &mut random);
        let next = attempts.next(0, &proxies, &mut random);
        assert!(matches!(next, Next::Ask { broken: true, .. }), "{next:?}");
        assert!(!attempts.failed(2), "one attempt, where all are down");
        proxies[1].checked(true);
        assert_eq!(
            Attempts::new(0, 2, &mut random).next(DEADLINE_US, &proxies, &mut random),
            Next::GiveUp
        );
    }

    #[test]
    fn a_connection_is_used_again_within_ten_seconds() {
        let mut proxy = Proxy::default();
        assert!(!proxy.connect(0, Proto::Udp));
        proxy.give_back(1_000, Proto::Udp);
        assert_eq!((proxy.n_idle(2_000), proxy.connect(2_000, Proto::Tcp)), (1, false));
        assert!(proxy.connect(2_000, Proto::Udp) && !proxy.connect(2_000, Proto::Udp));
        proxy.give_back(3_000, Proto::Udp);
        assert!(!proxy.connect(20_000_000, Proto::Udp));
    }
}

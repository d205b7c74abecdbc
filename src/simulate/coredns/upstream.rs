//! A resolver behind CoreDNS, which fails as it is told.
//!
//! Owns: what it answers, and how late. Does not own: when something fails (`scenario`), nor what CoreDNS makes of it
//! (`forward`).

use crate::math::dice;
use crate::math::random::Random;
use crate::scenario::world::Faults;

use super::metrics::Rcode;
use super::names::Question;
use super::names::Usual;

/// One resolver.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) faults: Faults,
    /// What its network adds, in milliseconds: wanders between 0 and 6 (since when, how much).
    wander: (i64, f64),
    /// Tokens of a rate limit (since when, how many).
    bucket: (i64, f64),
}

/// An answer on its way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Reply {
    pub(super) rcode: Rcode,
    /// The TC bit alone.
    pub(super) truncated: bool,
    /// Whether it may be kept at all.
    pub(super) kept: bool,
    pub(super) after_us: i64,
}

/// What the way there and back takes, beside what the resolver takes.
const LOOPBACK_MS: f64 = 0.5;

impl Upstream {
    pub(super) fn new() -> Upstream {
        Upstream { faults: Faults::NONE, wander: (0, 2.0), bucket: (0, 0.0) }
    }

    /// The answer to a question, or to a health check where there is none; `None` where it is lost.
    pub(super) fn ask(
        &mut self,
        now_us: i64,
        question: Option<&Question>,
        tcp: bool,
        random: &mut Random,
    ) -> Option<Reply> {
        let faults = self.faults;
        let lost = faults.drop > 0.0 && random.unit() < faults.drop;
        if lost || !self.within(now_us, faults.limit_qps) {
            return None;
        }
        let code = random.unit();
        let (servfail, nxdomain) = (faults.servfail, faults.servfail + faults.nxdomain);
        let missing = question.is_some_and(|question| question.usual == Usual::Missing);
        let rcode = match code {
            _ if code < servfail => Rcode::Servfail,
            _ if code < nxdomain => Rcode::Nxdomain,
            _ if code < nxdomain + faults.refused => Rcode::Refused,
            _ if missing => Rcode::Nxdomain,
            _ => Rcode::Noerror,
        };
        let kept = random.unit() >= faults.uncached;
        let truncated = !tcp && random.unit() < faults.truncate;
        let usual_ms = self.drift_ms(now_us, random) + dice::log_normal(random, 4.0, 0.6);
        let delay_ms = LOOPBACK_MS + usual_ms + faults.delay_ms * (0.7 + 0.6 * random.unit());
        Some(Reply { rcode, truncated, kept, after_us: (delay_ms * 1e3) as i64 })
    }

    fn drift_ms(&mut self, now_us: i64, random: &mut Random) -> f64 {
        if now_us - self.wander.0 >= 1_000_000 {
            self.wander = (now_us, (self.wander.1 + 2.0 * (random.unit() - 0.5)).clamp(0.0, 6.0));
        }
        self.wander.1
    }

    /// Takes a token of a bucket that holds those of half a second.
    fn within(&mut self, now_us: i64, limit_qps: Option<f64>) -> bool {
        let Some(qps) = limit_qps else { return true };
        let tokens = self.bucket.1 + qps * (now_us - self.bucket.0) as f64 / 1e6;
        let tokens = tokens.min((qps / 2.0).max(1.0));
        let taken = tokens >= 1.0;
        self.bucket = (now_us, if taken { tokens - 1.0 } else { tokens });
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(faults: Faults, n: i64, pause_us: i64) -> (f64, f64, f64) {
        let (mut upstream, mut random) = (Upstream::new(), Random::new(9));
        upstream.faults = faults;
        let replies: Vec<Reply> =
            (0..n).filter_map(|i| upstream.ask(i * pause_us, None, false, &mut random)).collect();
        let of = |count: usize| count as f64 / n as f64;
        let servfail = replies.iter().filter(|reply| reply.rcode == Rcode::Servfail).count();
        let late = replies.iter().map(|reply| reply.after_us as f64 / 1e3).sum::<f64>();
        (of(replies.len()), of(servfail), late / replies.len().max(1) as f64)
    }

    #[test]
    fn it_fails_as_it_is_told() {
        let (answered, servfail, late_ms) = shares(Faults::NONE, 20_000, 1_000);
        assert_eq!((answered, servfail), (1.0, 0.0));
        assert!((4.0..11.0).contains(&late_ms), "{late_ms}");
        let bad = Faults { servfail: 0.3, drop: 0.5, delay_ms: 600.0, ..Faults::NONE };
        let (answered, servfail, late_ms) = shares(bad, 20_000, 1_000);
        assert!((answered - 0.5).abs() < 0.02 && (servfail - 0.15).abs() < 0.02);
        assert!((600.0..615.0).contains(&late_ms), "{late_ms}");
        // A thousand a second, where ten are answered.
        let (answered, ..) =
            shares(Faults { limit_qps: Some(10.0), ..Faults::NONE }, 20_000, 1_000);
        assert!((answered - 0.01).abs() < 0.002, "{answered}");
    }
}

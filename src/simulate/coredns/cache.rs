//! The cache plugin: answers that are kept for a while, those that deny apart from the others.
//!
//! Owns: capacity, shards, what is thrown out, what is found. Does not own: how long an answer may be kept.

use crate::math::random::Random;

use super::metrics::Rcode;
use super::names::ONCE;

/// Each half has 9984 places, in shards of their own (plugin/pkg/cache of CoreDNS).
const SHARDS: usize = 256;
const SHARD_PLACES: usize = 39;

/// Where an entry is that is nowhere.
const NOWHERE: u8 = u8::MAX;

/// The two halves.
#[derive(Debug)]
pub(super) struct Cache {
    success: Half,
    denial: Half,
}

/// Which half, by its name in the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Denial,
    Success,
}

impl Side {
    pub(super) const ALL: [&str; 2] = ["denial", "success"];
}

/// What is kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Kept {
    pub(super) rcode: Rcode,
    /// Of the answer.
    pub(super) bytes: u16,
    until_us: i64,
    /// Within its shard.
    slot: u8,
}

#[derive(Debug)]
struct Half {
    /// Places in the table of names; what is asked once is there, too, and is never found again.
    shards: Vec<Vec<u32>>,
    kept: Vec<Kept>,
    len: usize,
}

impl Cache {
    /// An empty one for a table of so many names.
    pub(super) fn new(names: usize) -> Cache {
        Cache { success: Half::new(names), denial: Half::new(names) }
    }

    /// What is kept of a question. A failure does not hide an answer that is still good.
    pub(super) fn get(&self, now_us: i64, place: u32) -> Option<(Side, Kept)> {
        let success = || self.success.get(now_us, place).map(|kept| (Side::Success, kept));
        match self.denial.get(now_us, place) {
            Some(kept) if kept.rcode == Rcode::Servfail => success().or(Some((Side::Denial, kept))),
            Some(kept) => Some((Side::Denial, kept)),
            None => success(),
        }
    }

    /// Keeps an answer. Whether another had to go.
    pub(super) fn add(
        &mut self,
        side: Side,
        place: u32,
        (rcode, bytes): (Rcode, u16),
        until_us: i64,
        random: &mut Random,
    ) -> bool {
        let half = if side == Side::Denial { &mut self.denial } else { &mut self.success };
        half.add(place, Kept { rcode, bytes, until_us, slot: NOWHERE }, random)
    }

    /// How many each half holds, also those whose time is over, in the order of [`Side::ALL`].
    pub(super) fn entries(&self) -> [usize; 2] {
        [self.denial.len, self.success.len]
    }
}

impl Half {
    fn new(names: usize) -> Half {
        let none = Kept { rcode: Rcode::Noerror, bytes: 0, until_us: i64::MIN, slot: NOWHERE };
        Half { shards: vec![Vec::new(); SHARDS], kept: vec![none; names], len: 0 }
    }

    fn get(&self, now_us: i64, place: u32) -> Option<Kept> {
        let kept = self.kept.get(place as usize).copied();
        kept.filter(|kept| kept.slot != NOWHERE && now_us < kept.until_us)
    }

    fn add(&mut self, place: u32, new: Kept, random: &mut Random) -> bool {
        if let Some(kept) = self.kept.get_mut(place as usize)
            && kept.slot != NOWHERE
        {
            *kept = Kept { slot: kept.slot, ..new };
            return false;
        }
        let hash = if place == ONCE {
            random.below(SHARDS)
        } else {
            (place.wrapping_mul(0x9E37_79B1) >> 24) as usize
        };
        let shard = &mut self.shards[hash];
        let full = shard.len() >= SHARD_PLACES;
        // Go's maps begin anywhere.
        let slot = if full { random.below(shard.len()) } else { shard.len() };
        if full {
            if let Some(gone) = self.kept.get_mut(shard[slot] as usize) {
                gone.slot = NOWHERE;
            }
            shard[slot] = place;
        } else {
            shard.push(place);
            self.len += 1;
        }
        if let Some(kept) = self.kept.get_mut(place as usize) {
            *kept = Kept { slot: slot as u8, ..new };
        }
        full
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_found_until_its_time_or_another_throws_it_out() {
        let (mut cache, mut random) = (Cache::new(100), Random::new(1));
        let good = (Rcode::Noerror, 104);
        assert!(!cache.add(Side::Success, 7, good, 5_000, &mut random));
        assert_eq!(
            cache.get(4_999, 7).map(|(side, kept)| (side, kept.bytes)),
            Some((Side::Success, 104))
        );
        assert_eq!(cache.get(5_000, 7), None);
        cache.add(Side::Success, 7, good, 9_000, &mut random);
        cache.add(Side::Denial, 7, (Rcode::Servfail, 38), 20_000, &mut random);
        assert_eq!(cache.get(8_000, 7).unwrap().0, Side::Success);
        assert_eq!(cache.get(10_000, 7).unwrap().0, Side::Denial);
        assert_eq!(cache.entries(), [1, 1]);
        let evicted = (0..100_000)
            .filter(|_| cache.add(Side::Success, ONCE, good, 90_000, &mut random))
            .count();
        assert_eq!(cache.entries(), [1, 9_984]);
        assert_eq!(evicted, 100_000 + 1 - 9_984);
        assert_eq!(cache.get(8_000, 7).unwrap().0, Side::Denial);
    }
}

//! When a watch is trained: all of it every `train.every`, and each entity sooner while it has no model
//! or a young one.
//!
//! Owns: the times. Does not own: the wait or the training (`training`).

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::series::Entity;
use crate::train::Outcome;
use crate::train::Which;
use crate::watch::Training;
use crate::watch::Watch;

/// After a failure the source is given this long, and twice as long after each further one.
const AFTER_FAILURE_S: i64 = 60;
const LONGEST_AFTER_FAILURE_S: i64 = 3_600;

/// What is due when, in unix seconds.
#[derive(Debug)]
pub(super) struct Due {
    train: Training,
    /// The pause after an attempt for which there was too little history.
    retry_s: i64,
    all_s: i64,
    /// Entities that do not wait for all.
    sooner: BTreeMap<Entity, i64>,
    /// Who lives and had no model at the last look.
    lacking: BTreeSet<Entity>,
    last_s: i64,
    n_failures: u32,
    /// Whether somebody asked and no training of all has come of it yet.
    asked: bool,
    /// For whom the last attempt failed.
    owed: BTreeSet<Entity>,
    /// Whether there is a label whose rows are not whole yet.
    unfinished: bool,
    /// When whom was trained in vain, and how often: a feature that comes and goes, too rare to learn.
    in_vain: BTreeMap<Entity, (i64, u32)>,
}

impl Due {
    pub(super) fn new(watch: &Watch, all_s: i64) -> Due {
        let train = watch.train;
        let retry_s = (train.min_history_s / 12).max(watch.step_s).max(5);
        Due {
            train,
            retry_s,
            all_s,
            sooner: BTreeMap::new(),
            lacking: BTreeSet::new(),
            last_s: i64::MIN / 2,
            n_failures: 0,
            asked: false,
            owed: BTreeSet::new(),
            unfinished: false,
            in_vain: BTreeMap::new(),
        }
    }

    /// After a restart: when each entity was trained, and on how many points if that is known. Newcomers
    /// were trained since all were, and who has left before: the one in the middle is of all.
    pub(super) fn after_restart(
        watch: &Watch,
        trained: BTreeMap<Entity, (i64, Option<i64>)>,
    ) -> Due {
        let mut due = Due::new(watch, 0);
        let (every_s, history_s) = (watch.train.every_s, watch.train.history_s);
        let mut times = Vec::new();
        for (entity, (trained_s, n_rows)) in trained {
            let span_s = n_rows.map_or(history_s, |n_rows| n_rows * watch.point_s());
            let pause_s = due.pause_s(span_s, false);
            times.push(trained_s + pause_s);
            if pause_s < every_s {
                due.sooner.insert(entity, trained_s + pause_s);
            }
        }
        times.sort_unstable();
        due.all_s = times.get(times.len() / 2).copied().unwrap_or(0);
        let all_s = due.all_s;
        due.sooner.retain(|_, due_s| *due_s < all_s);
        due
    }

    /// A clock that was set back: nothing is further away than it may be, nor was anything done at a
    /// time to come.
    pub(super) fn notice_clock(&mut self, now_s: i64) {
        let latest_s = now_s + self.train.every_s;
        self.all_s = self.all_s.min(latest_s);
        self.sooner.values_mut().for_each(|due_s| *due_s = latest_s.min(*due_s));
        self.last_s = self.last_s.min(now_s);
        self.in_vain.values_mut().for_each(|(at_s, _)| *at_s = now_s.min(*at_s));
    }

    /// When to train next.
    pub(super) fn next_s(&self) -> i64 {
        self.sooner.values().copied().min().unwrap_or(i64::MAX).min(self.all_s)
    }

    /// Whom to train at `now_s`, with those whose turn would come right after.
    pub(super) fn which(&self, now_s: i64) -> Which {
        let due = self.sooner.iter().filter(|(_, due_s)| **due_s <= now_s + self.retry_s);
        match now_s >= self.all_s {
            true => Which::All,
            false => Which::Only(due.map(|(entity, _)| entity.clone()).collect()),
        }
    }

    /// Somebody asked: all are due.
    pub(super) fn ask(&mut self, now_s: i64) {
        (self.all_s, self.asked) = (now_s, true);
    }

    /// Whether all that was asked for has been done.
    pub(super) fn is_settled(&self) -> bool {
        !self.asked && self.owed.is_empty() && !self.unfinished
    }

    /// Who lives and has no model now: newcomers, and those whose model turned out to be unreadable.
    /// Whoever was lacking one before has had a turn or has one coming.
    pub(super) fn lacking(&mut self, entities: BTreeSet<Entity>, now_s: i64) {
        let pause_s = self.retry_s.min(AFTER_FAILURE_S);
        let soon_s = now_s.max(self.last_s + pause_s);
        for entity in entities.difference(&self.lacking) {
            let again_s = self.in_vain.get(entity).map_or(soon_s, |(at_s, n)| {
                at_s + (pause_s << n.saturating_sub(1).min(11)).min(self.train.every_s)
            });
            self.sooner.entry(entity.clone()).or_insert(soon_s.max(again_s));
        }
        self.lacking = entities;
    }

    /// After a training, with those who lack a model still.
    pub(super) fn trained(
        &mut self,
        which: &Which,
        outcome: &Outcome,
        lacking: BTreeSet<Entity>,
        now_s: i64,
    ) {
        (self.last_s, self.lacking) = (now_s, lacking);
        match which {
            Which::All => {
                self.sooner.clear();
                self.owed.clear();
                self.in_vain.retain(|entity, _| self.lacking.contains(entity));
                self.asked = false;
                // Where nobody lives yet, somebody may come at any time.
                let nobody = outcome.seen.is_empty();
                let pause_s = if nobody { self.retry_s } else { self.train.every_s };
                self.all_s = now_s + pause_s.min(self.train.every_s);
            }
            Which::Only(entities) => {
                self.sooner.retain(|entity, _| !entities.contains(entity));
                self.owed.retain(|entity| !entities.contains(entity));
            }
        }
        for entity in outcome.seen.keys().filter(|entity| self.lacking.contains(*entity)) {
            let (at_s, n) = self.in_vain.entry(entity.clone()).or_default();
            (*at_s, *n) = (now_s, *n + 1);
        }
        let waiting: BTreeSet<&Entity> = outcome.waiting.iter().map(|(entity, _)| entity).collect();
        for (entity, span_s) in &outcome.seen {
            let due_s = now_s + self.pause_s(*span_s, waiting.contains(entity));
            self.sooner.insert(entity.clone(), due_s);
        }
        // A few may bring the label its rows; only a training of all learns from it.
        let kept = self.unfinished && matches!(which, Which::Only(_));
        self.unfinished = outcome.again_s.is_some() || kept;
        // Who said what happens now does not wait until tomorrow for an answer.
        self.all_s = outcome.again_s.map_or(self.all_s, |again_s| self.all_s.min(again_s));
        // Who came while others were trained.
        for entity in self.lacking.iter().filter(|entity| !outcome.seen.contains_key(*entity)) {
            self.sooner.entry(entity.clone()).or_insert(now_s + self.retry_s);
        }
        self.owe(&outcome.failed, now_s);
        self.sooner.retain(|_, due_s| *due_s < self.all_s);
    }

    /// What failed for a few is tried again for those.
    fn owe(&mut self, failed: &[(Entity, String)], now_s: i64) {
        if !failed.is_empty() {
            let next_s = self.after_failure_s(now_s);
            for (entity, _) in failed {
                self.owed.insert(entity.clone());
                self.sooner.insert(entity.clone(), next_s);
            }
        } else if self.owed.is_empty() {
            self.n_failures = 0;
        }
    }

    fn after_failure_s(&mut self, now_s: i64) -> i64 {
        let pause_s = AFTER_FAILURE_S << self.n_failures.min(6);
        self.n_failures += 1;
        now_s + pause_s.min(LONGEST_AFTER_FAILURE_S).min(self.train.every_s)
    }

    /// After a training that failed.
    pub(super) fn failed(&mut self, which: &Which, now_s: i64) {
        let next_s = self.after_failure_s(now_s);
        self.last_s = now_s;
        match which {
            Which::All => self.all_s = next_s,
            Which::Only(entities) => {
                self.sooner.extend(entities.iter().map(|entity| (entity.clone(), next_s)));
            }
        }
        // The source is the same for all.
        self.sooner.values_mut().for_each(|due_s| *due_s = next_s.max(*due_s));
    }

    fn pause_s(&self, span_s: i64, waiting: bool) -> i64 {
        let Training { every_s, min_history_s, .. } = self.train;
        let pause_s = match span_s {
            _ if span_s < min_history_s => (min_history_s - span_s).max(self.retry_s),
            // Enough for the settings, not for a detector.
            _ if waiting => (span_s / 4).max(self.retry_s),
            _ => self.train.pause_s(span_s),
        };
        pause_s.min(every_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::math::calendar::DAY_S;

    const HOUR_S: i64 = 3_600;

    /// Trained daily on two weeks, from an hour on.
    fn due(all_s: i64) -> Due {
        let text = "watches: [{name: w, entity: [pod], queries: {x: x}, step: 30s, \
            train: {every: 1d, history: 2w, min_history: 1h}}]";
        Due::new(&config::parse("test", text).unwrap().watches.unwrap()[0], all_s)
    }

    fn pods(names: &[&str]) -> BTreeSet<Entity> {
        names.iter().map(|name| Entity::new([("pod", *name)])).collect()
    }

    fn outcome(spans: &[(&str, i64)]) -> Outcome {
        let seen = spans.iter().map(|(name, span_s)| (Entity::new([("pod", *name)]), *span_s));
        Outcome { seen: seen.collect(), ..Outcome::default() }
    }

    #[test]
    fn a_newcomer_is_looked_at_once_and_trained_as_soon_as_it_can_be() {
        let mut due = due(0);
        assert_eq!(due.which(0), Which::All);
        due.trained(&Which::All, &outcome(&[("old", 13 * DAY_S)]), pods(&[]), 0);
        assert_eq!(due.next_s(), DAY_S);
        due.lacking(pods(&["new"]), HOUR_S);
        assert_eq!(due.next_s(), HOUR_S);
        let new = Which::Only(pods(&["new"]));
        assert_eq!(due.which(HOUR_S), new);
        due.trained(&new, &outcome(&[("new", 60)]), pods(&["new"]), HOUR_S);
        // It still lacks a model in each of the passes that follow.
        due.lacking(pods(&["new"]), HOUR_S + 30);
        assert_eq!(due.next_s(), 2 * HOUR_S - 60);
        due.trained(&new, &outcome(&[("new", HOUR_S)]), pods(&["new"]), 2 * HOUR_S - 60);
        due.lacking(pods(&[]), 2 * HOUR_S);
        assert_eq!(due.next_s(), 3 * HOUR_S - 60, "a model of an hour is replaced after one more");
        assert_eq!(due.which(3 * HOUR_S), new, "and the others are left alone");
    }

    #[test]
    fn an_unreadable_model_is_replaced_at_once_but_not_in_a_circle() {
        let mut due = due(0);
        due.trained(&Which::All, &outcome(&[("old", 13 * DAY_S)]), pods(&[]), 0);
        due.lacking(pods(&["old"]), HOUR_S);
        let old = Which::Only(pods(&["old"]));
        assert_eq!((due.next_s(), due.which(HOUR_S)), (HOUR_S, old.clone()));
        due.trained(&old, &outcome(&[("old", 13 * DAY_S)]), pods(&["old"]), HOUR_S);
        due.lacking(pods(&[]), HOUR_S + 1);
        due.lacking(pods(&["old"]), HOUR_S + 2);
        assert_eq!(due.next_s(), HOUR_S + 60, "the disk is broken, it seems");
    }

    #[test]
    fn a_restart_does_not_make_a_young_model_old() {
        let text =
            "watches: [{name: w, queries: {x: x}, step: 30s, train: {every: 1d, history: 2w}}]";
        let watch = config::parse("test", text).unwrap().watches.unwrap().remove(0);
        let due = |rows: &[Option<i64>]| {
            let trained = rows
                .iter()
                .enumerate()
                .map(|(i, n_rows)| (Entity::new([("pod", i.to_string())]), (1_000_000, *n_rows)));
            Due::after_restart(&watch, trained.collect())
        };
        let after_s = |rows: &[Option<i64>]| due(rows).next_s() - 1_000_000;
        let (young, old) = (Some(120), Some(10 * 2_880));
        assert_eq!(after_s(&[young]), HOUR_S, "an hour is worth another one");
        assert_eq!(after_s(&[old]), DAY_S);
        assert_eq!(after_s(&[None]), DAY_S, "one of before this was kept");
        let mixed = due(&[old, young, old]);
        assert_eq!((mixed.next_s(), mixed.all_s), (1_000_000 + HOUR_S, 1_000_000 + DAY_S));
        assert_eq!(mixed.which(mixed.next_s()), Which::Only([Entity::new([("pod", "1")])].into()));
    }

    #[test]
    fn a_clock_that_is_set_back_puts_nothing_off_for_longer_than_the_settings_do() {
        let mut due = due(0);
        let later_s = 90 * DAY_S;
        due.trained(&Which::All, &outcome(&[("old", HOUR_S)]), pods(&["in vain"]), later_s);
        due.notice_clock(later_s);
        assert_eq!((due.next_s(), due.all_s), (later_s + 300, later_s + DAY_S), "all is well");
        due.notice_clock(0);
        assert_eq!((due.next_s(), due.which(DAY_S)), (DAY_S, Which::All));
        due.lacking(pods(&["new"]), 0);
        assert_eq!(due.next_s(), 60);
    }

    #[test]
    fn who_comes_during_a_training_is_next() {
        let mut due = due(0);
        due.trained(&Which::All, &outcome(&[("old", 13 * DAY_S)]), pods(&["new"]), 0);
        assert_eq!(due.which(due.next_s()), Which::Only(pods(&["new"])));
        assert_eq!(due.next_s(), 300);
    }

    #[test]
    fn a_label_on_what_happens_now_is_learnt_from_when_its_rows_are_whole() {
        let mut due = due(0);
        let old = outcome(&[("old", 13 * DAY_S)]);
        let unfinished = Outcome { again_s: Some(HOUR_S), ..outcome(&[("old", 13 * DAY_S)]) };
        due.trained(&Which::All, &unfinished, pods(&[]), 60);
        assert_eq!((due.next_s(), due.which(HOUR_S)), (HOUR_S, Which::All));
        assert!(!due.is_settled(), "a restart in between must hear of it again");
        due.trained(&Which::Only(pods(&["new"])), &outcome(&[("new", 60)]), pods(&[]), 120);
        assert!(!due.is_settled(), "it has its rows, and nobody has learnt from them");
        due.trained(&Which::All, &old, pods(&[]), HOUR_S);
        assert_eq!(due.next_s(), HOUR_S + DAY_S);
    }

    #[test]
    fn a_feature_that_comes_and_goes_is_no_training_a_minute() {
        let mut due = due(DAY_S);
        let whole = outcome(&[("a", 13 * DAY_S)]);
        let mut now_s = 0;
        let mut pauses = Vec::new();
        for _ in 0..4 {
            due.lacking(pods(&["a"]), now_s);
            pauses.push(due.next_s() - now_s);
            now_s = due.next_s();
            due.trained(&Which::Only(pods(&["a"])), &whole, pods(&["a"]), now_s);
            due.lacking(pods(&[]), now_s);
        }
        assert_eq!(pauses, [0, 60, 120, 240]);
    }

    #[test]
    fn what_failed_for_one_is_tried_again_for_that_one_and_is_owed_until_then() {
        let mut due = due(0);
        due.ask(0);
        let all = [("a", 13 * DAY_S), ("b", 13 * DAY_S)];
        let failed = |name: &str| vec![(Entity::new([("pod", name)]), "why".to_string())];
        let outcome_a = Outcome { failed: failed("a"), ..outcome(&all) };
        due.trained(&Which::All, &outcome_a, pods(&[]), 0);
        assert_eq!((due.next_s(), due.is_settled()), (60, false));
        let a = Which::Only(pods(&["a"]));
        assert_eq!(due.which(60), a);
        due.trained(&Which::Only(pods(&["new"])), &outcome(&[("new", 60)]), pods(&[]), 30);
        assert!(!due.is_settled(), "that was another one");
        due.trained(&a, &Outcome { failed: failed("a"), ..outcome(&all[..1]) }, pods(&[]), 60);
        assert_eq!(due.next_s(), 60 + 120, "less and less");
        due.trained(&a, &outcome(&all[..1]), pods(&[]), 180);
        assert!(due.is_settled());
    }

    #[test]
    fn a_source_that_fails_is_asked_less_and_less() {
        let mut due = due(0);
        let mut now_s = 0;
        let mut pauses = Vec::new();
        for _ in 0..8 {
            due.failed(&due.which(now_s), now_s);
            pauses.push(due.next_s() - now_s);
            now_s = due.next_s();
        }
        assert_eq!(pauses, [60, 120, 240, 480, 960, 1920, 3600, 3600]);
        due.trained(&Which::All, &outcome(&[]), pods(&[]), now_s);
        assert_eq!(due.next_s(), now_s + 300, "nobody lives yet");
    }
}

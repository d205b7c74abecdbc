//! Alerts that say how things are, not that something is wrong.
//!
//! Owns: which these are. Does not own: who of the others has the word (`said`).
//!
//! A watchdog fires always, and some rule about a replica that is gone for good does: as incidents they would be
//! all there is, and nothing would be left to call normal.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use super::WeakLabel;
use super::alert_name;
use crate::series::Entity;
use crate::verdict::Interval;
use crate::verdict::rfc3339;

/// What lasts longer is how things are now.
const NEW_NORMAL_S: i64 = 86_400;

/// Labels that speak of something out of the ordinary, and who spoke of nothing else than what is usual.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct News {
    /// In their order.
    pub labels: Vec<WeakLabel>,
    /// Files, groups and alerts without a word that counts.
    pub usual: BTreeSet<String>,
    /// Of those that are heard, whose words do not all count: the alert and its labels, each with how many were left
    /// out and from when to when the longest of them was.
    pub partly: BTreeMap<String, LeftOut>,
}

/// What was left out of an alert's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeftOut {
    /// How many.
    pub n: usize,
    /// When the longest was active.
    pub longest: Interval,
}

impl LeftOut {
    fn add(&mut self, other: Interval) {
        self.n += 1;
        let lasts_s = |interval: Interval| interval.to_s - interval.from_s;
        if lasts_s(other) > lasts_s(self.longest) {
            self.longest = other;
        }
    }
}

impl News {
    /// All that was left out, for the log: the alert, and what became of it.
    pub fn left_out(&self) -> Vec<(String, String)> {
        let all = "holds most of the time: it labels nothing";
        let whole = self.usual.iter().map(|name| (name.clone(), all.to_string()));
        let part = |(name, left): (&String, &LeftOut)| {
            let LeftOut { n, longest: Interval { from_s, to_s } } = left;
            let longest = format!("{}..{}", rfc3339(*from_s), rfc3339(*to_s));
            let what = "holds for more than a day or most of the time: of that it labels nothing";
            (name.clone(), format!("{what} ({n}, the longest {longest})"))
        };
        whole.chain(self.partly.iter().map(part)).collect()
    }
}

/// Leaves out what lasts for longer than a day, firing or pending, and alerts that are one or the other for more
/// than half of `history`, the time of which something is known.
pub fn news(labels: Vec<WeakLabel>, history: Interval) -> News {
    let mut active: BTreeMap<(String, Entity), i64> = BTreeMap::new();
    for label in &labels {
        *active.entry(key(label)).or_default() += lasts_s(label);
    }
    let most_s = (history.to_s - history.from_s) / 2;
    let rare = |label: &WeakLabel| active.get(&key(label)).is_some_and(|&s| s <= most_s);
    let counts = |label: &WeakLabel| lasts_s(label) <= NEW_NORMAL_S && rare(label);
    let (labels, others): (Vec<_>, Vec<_>) = labels.into_iter().partition(counts);
    let heard: BTreeSet<String> = labels.iter().map(name).collect();
    let (mut usual, mut partly) = (BTreeSet::new(), BTreeMap::<String, LeftOut>::new());
    for label in &others {
        let (name, longest) = (name(label), label.interval);
        match heard.contains(&name) {
            true => partly
                .entry(format!("{name} {{{}}}", label.labels))
                .or_insert(LeftOut { n: 0, longest })
                .add(longest),
            false => drop(usual.insert(name)),
        }
    }
    News { labels, usual, partly }
}

fn key(label: &WeakLabel) -> (String, Entity) {
    (name(label), label.labels.clone())
}

fn name(label: &WeakLabel) -> String {
    alert_name(&label.file, &label.group, &label.alert)
}

fn lasts_s(label: &WeakLabel) -> i64 {
    label.interval.to_s - label.interval.from_s
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weak::State;

    fn label(alert: &str, state: State, from_s: i64, to_s: i64) -> WeakLabel {
        WeakLabel {
            file: "r.yml".into(),
            group: "g".into(),
            alert: alert.into(),
            class: None,
            labels: Entity::new([("job", "dns")]),
            state,
            interval: Interval { from_s, to_s },
            active_s: from_s,
        }
    }

    #[test]
    fn what_holds_most_of_the_time_is_no_news() {
        let (firing, pending) = (State::Firing, State::Pending);
        let day_s = 86_400;
        let all = vec![
            label("Watchdog", firing, 0, 10 * day_s),
            label("Patient", pending, 100, 9 * day_s),
            label("Slow", firing, 7_000, 8_000),
            label("Slow", firing, day_s, 3 * day_s),
            label("Gone", firing, 0, 3 * day_s),
        ];
        let heard = news(all.clone(), Interval { from_s: 0, to_s: 10 * day_s });
        assert_eq!(heard.labels, [all[2].clone()]);
        let usual: Vec<&str> = heard.usual.iter().map(String::as_str).collect();
        let names = ["Gone", "Patient", "Watchdog"];
        assert_eq!(usual, names.map(|alert| format!("r.yml: group g: alert {alert}")));
        // Who is heard, but for two days: named as well.
        let longest = Interval { from_s: day_s, to_s: 3 * day_s };
        let wanted =
            ("r.yml: group g: alert Slow {job=dns}".to_string(), LeftOut { n: 1, longest });
        assert_eq!(heard.partly, BTreeMap::from([wanted]));
        let said = heard.left_out();
        let span = "(1, the longest 1970-01-02T00:00:00Z..1970-01-04T00:00:00Z)";
        assert!(said.len() == 4 && said[3].1.ends_with(span), "{said:?}");
        // Young history, and an alert that comes and goes.
        let flaps = (0..10).map(|i| label("Flap", firing, i * 100, i * 100 + 60)).collect();
        assert_eq!(news(flaps, Interval { from_s: 0, to_s: 1_000 }).labels, []);
    }
}

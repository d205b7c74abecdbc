//! What was asked: with anything else, the parts of a folder would not be of one kind.

use serde::Deserialize;
use serde::Serialize;
use sha2::Digest;
use sha2::Sha256;

use crate::source::csv::Injected;
use crate::verdict::Interval;
use crate::verdict::Verdict;
use crate::watch::Watch;
use crate::weak;

/// All that the rows and their labels depend on, but for time and people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    pub(super) watch: String,
    pub(super) entity: Vec<String>,
    pub(super) step_s: i64,
    /// Name and PromQL.
    pub(super) features: Vec<(String, String)>,
    /// The same.
    pub(super) checks: Vec<(String, String)>,
    /// Alerting rules, in words.
    pub(super) rules: Vec<String>,
    pub(super) injected: Vec<Fault>,
}

/// What was done to the servers, or told to have been done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fault {
    pub(super) interval: Interval,
    /// What was done, be it a fault or not.
    pub(super) injected: Option<String>,
    pub(super) strength: Option<String>,
    /// What a detector is told.
    pub(super) verdict: Verdict,
    pub(super) class: Option<String>,
}

impl Asked {
    pub(super) fn new(watch: &Watch, injected: &[Injected]) -> Asked {
        let checks = [
            ("up", &watch.checks.up),
            ("limit", &watch.checks.limit),
            ("restarted", &watch.checks.restarted),
            ("missed_scrapes", &watch.checks.missed_scrapes),
        ];
        let checks = checks.into_iter().filter_map(|(n, q)| Some((n.to_string(), q.clone()?)));
        let features = watch.features.iter().map(|f| (f.name.clone(), f.query.clone()));
        Asked {
            watch: watch.name.clone(),
            entity: watch.entity.clone(),
            step_s: watch.step_s,
            features: features.collect(),
            checks: checks.collect(),
            rules: watch.weak_labels.iter().flat_map(rules).collect(),
            injected: injected.iter().map(Fault::new).collect(),
        }
    }

    /// Names it in a part.
    pub(super) fn sha256(&self) -> String {
        // A map of text and numbers is always JSON.
        let text = serde_json::to_vec(self).unwrap_or_default();
        Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// What is not the same, for people; `None` where all is.
    pub(super) fn differs(&self, other: &Asked) -> Option<String> {
        let named = |what: &str, ours: &[(String, String)], theirs: &[(String, String)]| {
            let changed = |pair: &&(String, String)| !ours.contains(pair);
            let left_out = ours.iter().filter(|pair| !theirs.contains(pair));
            let mut names: Vec<&str> =
                theirs.iter().filter(changed).chain(left_out).map(|(name, _)| &name[..]).collect();
            names.sort_unstable();
            names.dedup();
            let order = if names.is_empty() { "their order".to_string() } else { names.join(", ") };
            (ours != theirs).then(|| format!("other {what} ({order})"))
        };
        let flat = |what: &str, same: bool| (!same).then(|| what.to_string());
        flat("another watch", self.watch == other.watch)
            .or_else(|| flat("other entity labels", self.entity == other.entity))
            .or_else(|| flat("another step", self.step_s == other.step_s))
            .or_else(|| named("queries", &self.features, &other.features))
            .or_else(|| named("checks", &self.checks, &other.checks))
            .or_else(|| flat("other rules", self.rules == other.rules))
            .or_else(|| flat("other --labels", self.injected == other.injected))
    }
}

impl Fault {
    fn new(injected: &Injected) -> Fault {
        let Injected { told, class, strength } = injected.clone();
        Fault {
            interval: told.interval,
            injected: class,
            strength,
            verdict: told.verdict,
            class: told.class,
        }
    }
}

/// What the labels of a group depend on; not the lines of its file.
fn rules(group: &weak::Group) -> Vec<String> {
    let weak::Group { name, interval_s, limit, alerts, .. } = group;
    let one = |rule: &weak::Rule| {
        let weak::Rule { alert, expr, for_s, keep_firing_for_s: keep_s, labels, .. } = rule;
        format!(
            "{name} every {interval_s} s, at most {limit}: {alert}: {expr} for {for_s} s, {keep_s} s longer: {labels:?}"
        )
    };
    alerts.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(features: &[(&str, &str)]) -> Asked {
        let pair = |(name, query): &(&str, &str)| (name.to_string(), query.to_string());
        Asked {
            watch: "dns".into(),
            entity: vec!["job".into()],
            step_s: 30,
            features: features.iter().map(pair).collect(),
            checks: Vec::new(),
            rules: Vec::new(),
            injected: Vec::new(),
        }
    }

    #[test]
    fn what_differs_is_named() {
        let begun = asked(&[("qps", "a"), ("errors", "b")]);
        let of = |other: &Asked| begun.differs(other).unwrap_or_default();
        assert_eq!(of(&begun.clone()), "");
        assert_eq!(of(&asked(&[("qps", "a"), ("errors", "c")])), "other queries (errors)");
        assert_eq!(of(&asked(&[("qps", "a")])), "other queries (errors)");
        assert_eq!(of(&asked(&[("errors", "b"), ("qps", "a")])), "other queries (their order)");
        assert_eq!(of(&Asked { step_s: 60, ..begun.clone() }), "another step");
        let rules = Asked { rules: vec!["r".into()], ..begun.clone() };
        assert_eq!(of(&rules), "other rules");
        assert_ne!(begun.sha256(), rules.sha256());
    }
}

//! Weak labels: what an alerting rule of Prometheus says of an interval.
//!
//! Owns: rules as they were read, their states over time, and what shows of an expression that it can never
//! be true. Does not own: reading files (`config`), asking a server (`gather`).
//!
//! `promql` is one look at an expression, `bounds` what its values can be, `lint` what follows for a rule.

mod bounds;
mod lint;
mod promql;
mod said;
mod states;
mod template;
mod usual;
mod why;

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::series::Entity;
use crate::series::Grid;
use crate::verdict::Interval;
use crate::verdict::UNKNOWN;

pub use lint::Asked;
pub use lint::Finding;
pub use lint::Known;
pub use lint::asked;
pub use lint::fires_on_nothing;
pub use lint::lint;
pub use lint::not_understood;
pub use said::Said;
pub use said::Spoken;
pub use states::Span;
pub use states::State;
pub use states::spans;
pub use usual::LeftOut;
pub use usual::News;
pub use usual::news;
pub use why::Why;

use template::filled;
use template::is_template;

/// The label of a rule that says which kind of anomaly it finds.
pub const CLASS_LABEL: &str = "anomaly_class";

/// Where somebody scraped: a sample of any target.
pub const ANY_TARGET: &str = "count(up)";

/// A group of rules: what one server evaluates together.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// The file that it stands in, for messages.
    pub file: String,
    /// Unique within its file.
    pub name: String,
    /// Seconds between two evaluations, above zero; 60 where the file does not say.
    pub interval_s: i64,
    /// Alerts of one rule above which its evaluation fails; 0: any number.
    pub limit: usize,
    /// Its alerting rules, in order.
    pub alerts: Vec<Rule>,
    /// Its recording rules, in order. Their expressions are no labels.
    pub records: Vec<Recording>,
}

/// An alerting rule.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rule {
    /// The alert's name.
    pub alert: String,
    /// PromQL.
    pub expr: String,
    /// Seconds for which the expression holds before the alert fires.
    pub for_s: i64,
    /// Seconds for which it goes on firing when the expression has ceased to hold.
    pub keep_firing_for_s: i64,
    /// Labels that the alert gets, the group's included; templates as they were written.
    pub labels: BTreeMap<String, String>,
    /// Its line in the file.
    pub line: Option<usize>,
}

/// A recording rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// The name of the metric that it makes.
    pub record: String,
    /// PromQL.
    pub expr: String,
}

impl Rule {
    /// How long before a time the expression has to be known, for the state at that time to be known;
    /// in seconds.
    ///
    /// Only an alert that `keep_firing_for` has carried over one flap after the other for longer than this,
    /// without ever holding for `for` in between, is missed.
    pub fn warm_up_s(&self, interval_s: i64) -> i64 {
        let once_s = self.for_s + self.keep_firing_for_s;
        let flaps = self.for_s > 0 && self.keep_firing_for_s > 0;
        interval_s + if flaps { 4 * once_s } else { once_s }
    }

    /// Whether the class is the word for what nobody knows the kind of: networks say that of what is like nothing
    /// that they learnt, and would learn it as a kind.
    pub fn is_of_unknown_class(&self) -> bool {
        self.labels.get(CLASS_LABEL).is_some_and(|class| class == UNKNOWN)
    }

    /// The labels of the alert that a series of the expression raises. A label of the rule replaces the series'
    /// own, labels of the series that it names filled in; where more than those are asked for, that is so only in
    /// Prometheus.
    fn alert_labels(&self, series: &Entity) -> Entity {
        let own = series.pairs().map(|(name, value)| (name.to_string(), value.to_string()));
        let mut labels: BTreeMap<String, String> = own.collect();
        for (name, value) in &self.labels {
            match filled(value, series) {
                Some(value) => {
                    labels.insert(name.clone(), value);
                }
                None => {
                    labels.entry(name.clone()).or_insert_with(|| value.clone());
                }
            }
        }
        labels.insert("alertname".to_string(), self.alert.clone());
        Entity::new(labels)
    }
}

/// How an alert is named to people.
pub fn alert_name(file: &str, group: &str, alert: &str) -> String {
    format!("{file}: group {group}: alert {alert}")
}

/// What a rule says of an interval.
#[derive(Debug, Clone, PartialEq)]
pub struct WeakLabel {
    /// The rule's file.
    pub file: String,
    /// Its group.
    pub group: String,
    /// Its name.
    pub alert: String,
    /// The kind of anomaly: the label `anomaly_class`, where it is known and not `unknown`.
    pub class: Option<String>,
    /// The alert's labels, as the notification would have them, but for templates that ask for more than labels.
    pub labels: Entity,
    /// Firing is an anomaly; pending is ambiguous, and to be left out of training.
    pub state: State,
    /// When: from the first evaluation in this state to the one after the last.
    pub interval: Interval,
    /// The first evaluation at which the expression held, unix seconds: `for` only delays the pager.
    pub active_s: i64,
}

impl WeakLabel {
    /// The entity that it speaks of: those of the entity labels `names` that the alert has. With fewer
    /// labels than `names`, that is every entity that agrees with them.
    pub fn entity(&self, names: &[String]) -> Entity {
        let known = |(name, value): &(&str, &str)| {
            !is_template(value) && names.iter().any(|wanted| wanted == name)
        };
        Entity::new(self.labels.pairs().filter(known))
    }
}

/// Two series of an expression raise the same alert at the same time: Prometheus refuses that, too.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("two series become the same alert {{{0}}}; wanted a rule whose labels leave them apart")]
pub struct SameAlert(String);

/// What a rule says, from the times (unix seconds on `grid`, ascending) at which each series of its
/// expression has a sample, of whatever value. Sorted by labels, then by time.
///
/// # Errors
/// Two series become the same alert.
pub fn labels(
    group: &Group,
    rule: &Rule,
    grid: Grid,
    series: &[(Entity, Vec<i64>)],
) -> Result<Vec<WeakLabel>, SameAlert> {
    let mut alerts: BTreeMap<Entity, Vec<i64>> = BTreeMap::new();
    for (labels, times) in series {
        alerts.entry(rule.alert_labels(labels)).or_default().extend(times);
    }
    for (labels, times) in &mut alerts {
        times.sort_unstable();
        if times.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(SameAlert(labels.to_string()));
        }
    }
    let (alerts, times): (Vec<Entity>, Vec<Vec<i64>>) = alerts.into_iter().unzip();
    let spans = spans(rule, group.limit, grid, &times);
    let label = |labels: &Entity, span: Span| WeakLabel {
        file: group.file.clone(),
        group: group.name.clone(),
        alert: rule.alert.clone(),
        class: labels.get(CLASS_LABEL).filter(|class| is_class(class)).map(str::to_string),
        labels: labels.clone(),
        state: span.state,
        interval: span.interval,
        active_s: span.active_s,
    };
    let of = |(labels, spans): (Entity, Vec<Span>)| {
        spans.into_iter().map(|span| label(&labels, span)).collect::<Vec<_>>()
    };
    Ok(alerts.into_iter().zip(spans).flat_map(of).collect())
}

/// Whether it names a kind of anomaly, filled in as it is.
fn is_class(text: &str) -> bool {
    !is_template(text) && text != UNKNOWN
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for State {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(labels: &[(&str, &str)]) -> Rule {
        let own = labels.iter().map(|(k, v)| (k.to_string(), v.to_string()));
        Rule { alert: "Down".into(), labels: own.collect(), ..Rule::default() }
    }

    fn group() -> Group {
        let (file, name) = ("rules.yml".to_string(), "g".to_string());
        Group { file, name, interval_s: 60, limit: 0, alerts: Vec::new(), records: Vec::new() }
    }

    fn entity(text: &str) -> Entity {
        text.parse().unwrap()
    }

    #[test]
    fn a_label_is_for_every_entity_that_agrees() {
        let rule = rule(&[(CLASS_LABEL, "down"), ("instance", "{{ $value }}"), ("zone", "")]);
        let grid = Grid { start_s: 0, step_s: 60, len: 3 };
        let series = [(entity("job=dns,to=a,zone=z"), vec![60])];
        let labels = labels(&group(), &rule, grid, &series).unwrap();
        let [label] = labels.as_slice() else { panic!("{labels:?}") };
        assert_eq!(label.class.as_deref(), Some("down"));
        assert_eq!(label.interval, Interval { from_s: 60, to_s: 120 });
        assert_eq!(label.labels.get("zone"), None, "an empty label takes the series' own away");
        assert_eq!(label.labels.get("instance"), Some("{{ $value }}"));
        let names = ["job".to_string(), "instance".to_string()];
        assert_eq!(label.entity(&names), entity("job=dns"), "nobody knows what the template says");
        let concerns = |names: &[String], of: &str| {
            Spoken::new(std::slice::from_ref(label), names).of(&entity(of)) != Said::default()
        };
        assert!(concerns(&names, "job=dns,instance=a"));
        assert!(!concerns(&names, "job=web,instance=a"));
        assert!(concerns(&["port".to_string()], "port=1"), "no label: everyone");
    }

    #[test]
    fn a_class_may_name_a_label_of_the_series() {
        let rule = rule(&[]);
        let of = |class: &str, series: &[&str]| {
            let rule = Rule {
                labels: [(CLASS_LABEL.to_string(), class.to_string())].into(),
                ..rule.clone()
            };
            let series: Vec<_> = series.iter().map(|text| (entity(text), vec![0])).collect();
            let grid = Grid { start_s: 0, step_s: 60, len: 1 };
            let found = labels(&group(), &rule, grid, &series).unwrap();
            found.into_iter().map(|label| label.class).collect::<Vec<_>>()
        };
        let of_both =
            of("{{ $labels.kind }}_at_{{ $labels.job }}", &["job=dns,kind=slow", "job=web"]);
        assert_eq!(of_both, [Some("_at_web".to_string()), Some("slow_at_dns".to_string())]);
        assert_eq!(of("{{ $labels.kind }}", &["kind=slow"]), [Some("slow".to_string())]);
        assert_eq!(of("{{ $labels.kind }}", &["job=dns"]), [None], "an empty label is none");
        assert_eq!(of("{{ $labels.kind }}", &["kind=unknown"]), [None], "nobody knows the kind");
        assert_eq!(of("{{ $labels.kind | toUpper }}", &["kind=slow"]), [None]);
    }

    #[test]
    fn two_series_of_one_alert_are_refused_where_they_meet() {
        let rule = rule(&[("instance", "any")]);
        let grid = Grid { start_s: 0, step_s: 60, len: 4 };
        let (a, b) = (entity("instance=a"), entity("instance=b"));
        let apart = [(a.clone(), vec![0, 60]), (b.clone(), vec![120])];
        let found = labels(&group(), &rule, grid, &apart).unwrap();
        assert_eq!(found.len(), 1, "one alert goes on: {found:?}");
        assert_eq!(found[0].interval, Interval { from_s: 0, to_s: 180 });
        let error = labels(&group(), &rule, grid, &[(a, vec![60]), (b, vec![60])]).unwrap_err();
        assert!(error.to_string().contains("alertname=Down,instance=any"), "{error}");
    }
}

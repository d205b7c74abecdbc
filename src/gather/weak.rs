//! Alerting rules over history: a range query each, and what Prometheus would have made of it.
//!
//! Owns: asking. Does not own: the states of alerts (`weak`), who learns from them (`train`).
//!
//! A rule is evaluated at the multiples of its group's interval. Prometheus does the same at an offset that it
//! draws from the group's name and file, so its intervals may lie up to one interval beside these.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::GatherError;
use crate::series::Entity;
use crate::series::Grid;
use crate::source::Answer;
use crate::source::Source;
use crate::source::SourceError;
use crate::verdict::Interval;
use crate::weak;
use crate::weak::Group;
use crate::weak::WeakLabel;

/// What rules say of a stretch of time.
#[derive(Debug, Default)]
pub struct Weak {
    /// In the order of the rules; of one rule, by labels and then by time.
    pub labels: Vec<WeakLabel>,
    /// Rules that the source refuses, by file, group and alert, with why: of them nobody knows anything.
    pub failed: Vec<(String, SourceError)>,
}

/// Evaluates the alerting rules of all groups in `interval`; labels are cut to it. The source has to reach
/// back further by as much as a rule waits ([`weak::Rule::warm_up_s`]). Metrics of recording rules
/// are looked up as all others.
///
/// # Errors
/// A query failed that may work later, or the answer lacks data: what is not known to be an anomaly would be
/// taken for normal.
pub async fn weak_labels(
    source: &Arc<dyn Source>,
    groups: &[Group],
    interval: Interval,
) -> Result<Weak, GatherError> {
    let rules = groups.iter().flat_map(|group| group.alerts.iter().map(move |rule| (group, rule)));
    let rules: Vec<_> = rules.collect();
    let mut asked = JoinSet::new();
    for (i, (group, rule)) in rules.iter().enumerate() {
        let from_s = interval.from_s - rule.warm_up_s(group.interval_s);
        let grid = Grid::covering(from_s, interval.to_s, group.interval_s);
        let (source, expr) = (Arc::clone(source), rule.expr.clone());
        asked.spawn(async move { (i, grid, source.range(&expr, grid).await) });
    }
    let mut answers: Vec<Option<(Grid, Answer)>> = rules.iter().map(|_| None).collect();
    let mut weak = Weak::default();
    while let Some(answered) = asked.join_next().await {
        let Ok((i, grid, answer)) = answered else { continue };
        let name = name(rules[i].0, &rules[i].1.alert);
        match answer {
            Ok(Answer { partial: Some(why), .. }) => {
                let error = SourceError::Unavailable(format!("{}: {why}", source.describe()));
                return Err(GatherError { name, error });
            }
            Ok(answer) => answers[i] = Some((grid, answer)),
            Err(error) if error.is_final() => weak.failed.push((name, error)),
            Err(error) => return Err(GatherError { name, error }),
        }
    }
    for ((group, rule), answered) in rules.into_iter().zip(answers) {
        let Some((grid, answer)) = answered else { continue };
        match weak::labels(group, rule, grid, &times(answer)) {
            Ok(labels) => weak.labels.extend(labels.into_iter().filter_map(|l| cut(l, interval))),
            Err(error) => {
                let error = SourceError::BadQuery(error.to_string());
                weak.failed.push((name(group, &rule.alert), error));
            }
        }
    }
    weak.failed.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(weak)
}

/// How a rule is named to people.
pub(super) fn name(group: &Group, alert: &str) -> String {
    format!("{}: group {}: alert {alert}", group.file, group.name)
}

/// When each series has a sample: an alert is active whatever its value, be it NaN.
fn times(answer: Answer) -> Vec<(Entity, Vec<i64>)> {
    let times = |samples: Vec<(i64, f64)>| samples.into_iter().map(|(time_s, _)| time_s).collect();
    answer.series.into_iter().map(|series| (series.labels, times(series.samples))).collect()
}

fn cut(label: WeakLabel, interval: Interval) -> Option<WeakLabel> {
    label.interval.overlap(interval).map(|interval| WeakLabel { interval, ..label })
}

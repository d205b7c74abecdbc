//! Alerting rules over history: a range query each, and what Prometheus would have made of it.
//!
//! Owns: asking. Does not own: the states of alerts (`weak`), who learns from them (`train`).
//!
//! A rule is evaluated at the multiples of its group's interval. Prometheus does the same at an offset that it
//! draws from the group's name and file, so its intervals may lie up to one interval beside these.
//!
//! While Prometheus itself was down, it evaluated nothing. Most expressions have no samples there, but one with
//! `absent` would call all that time an outage: it counts only where some `up` has a sample.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
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
use crate::weak::Rule;
use crate::weak::WeakLabel;
use crate::weak::Why;

/// What rules say of a stretch of time.
#[derive(Debug, Default)]
pub struct Weak {
    /// In the order of the rules; of one rule, by labels and then by time.
    pub labels: Vec<WeakLabel>,
    /// Rules that the source refuses, or whose class is `unknown`, by file, group and alert, with why: they say nothing.
    pub failed: Vec<(String, SourceError)>,
    /// Rules that may work another time, with why.
    pub unread: Vec<GatherError>,
}

/// Evaluates the alerting rules of all groups in `interval`; labels are cut to it. The source has to reach
/// back further by as much as a rule waits ([`weak::Rule::warm_up_s`]). Metrics of recording rules
/// are looked up as all others.
///
/// # Errors
/// What tells an outage of Prometheus from one of its targets cannot be asked for now.
pub async fn weak_labels(
    source: &Arc<dyn Source>,
    groups: &[Group],
    interval: Interval,
) -> Result<Weak, GatherError> {
    let rules = groups.iter().flat_map(|group| group.alerts.iter().map(move |rule| (group, rule)));
    let rules: Vec<(&Group, &Rule)> = rules.collect();
    let mut asked = JoinSet::new();
    let mut weak = Weak::default();
    for (i, &(group, rule)) in rules.iter().enumerate() {
        if rule.is_of_unknown_class() {
            let error = SourceError::BadQuery(Why::UnknownClass.to_string());
            weak.failed.push((name(group, &rule.alert), error));
            continue;
        }
        let (source, grid) = (Arc::clone(source), grid(group, rule, interval));
        let expr = rule.expr.clone();
        asked.spawn(async move { (i, source.range(&expr, grid).await) });
    }
    let mut answers: Vec<Option<Answer>> = rules.iter().map(|_| None).collect();
    while let Some(answered) = asked.join_next().await {
        let Ok((i, answer)) = answered else { continue };
        let (group, rule) = rules[i];
        match whole(source, answer) {
            Ok(answer) => answers[i] = Some(answer),
            Err(error) if error.is_final() => {
                weak.failed.push((name(group, &rule.alert), error));
            }
            Err(error) => {
                weak.unread.push(GatherError { name: name(group, &rule.alert), error });
            }
        }
    }
    let scraped = scraped(source, &rules, interval).await?;
    for ((group, rule), answer) in rules.into_iter().zip(answers) {
        let Some(answer) = answer else { continue };
        let mut series = times(answer);
        let scraped = scraped.get(&group.interval_s).filter(|_| weak::fires_on_nothing(rule));
        if let Some(scraped) = scraped {
            series
                .iter_mut()
                .for_each(|(_, times)| times.retain(|time_s| scraped.contains(time_s)));
        }
        match weak::labels(group, rule, grid(group, rule, interval), &series) {
            Ok(labels) => weak.labels.extend(labels.into_iter().filter_map(|l| cut(l, interval))),
            Err(error) => {
                let error = SourceError::BadQuery(error.to_string());
                weak.failed.push((name(group, &rule.alert), error));
            }
        }
    }
    weak.failed.sort_by(|a, b| a.0.cmp(&b.0));
    weak.unread.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(weak)
}

/// When a rule is evaluated.
fn grid(group: &Group, rule: &Rule, interval: Interval) -> Grid {
    let from_s = interval.from_s - rule.warm_up_s(group.interval_s);
    Grid::covering(from_s, interval.to_s, group.interval_s)
}

/// When there was a sample of any target, by the interval of the groups that need to know. A source without
/// `up` does not tell, and has no entry.
async fn scraped(
    source: &Arc<dyn Source>,
    rules: &[(&Group, &Rule)],
    interval: Interval,
) -> Result<BTreeMap<i64, BTreeSet<i64>>, GatherError> {
    let mut longest: BTreeMap<i64, Grid> = BTreeMap::new();
    for (group, rule) in rules.iter().filter(|(_, rule)| weak::fires_on_nothing(rule)) {
        let grid = grid(group, rule, interval);
        let known = longest.entry(group.interval_s).or_insert(grid);
        if grid.len > known.len {
            *known = grid;
        }
    }
    let mut scraped = BTreeMap::new();
    for (interval_s, grid) in longest {
        let answer = whole(source, source.range(weak::ANY_TARGET, grid).await);
        let answer = answer.map_err(|error| GatherError { name: "up".into(), error })?;
        let found = times(answer).into_iter().flat_map(|(_, times)| times).collect::<BTreeSet<_>>();
        if !found.is_empty() {
            scraped.insert(interval_s, found);
        }
    }
    Ok(scraped)
}

/// Half of an answer is none.
fn whole(
    source: &Arc<dyn Source>,
    answer: Result<Answer, SourceError>,
) -> Result<Answer, SourceError> {
    match answer {
        Ok(Answer { partial: Some(why), .. }) => {
            Err(SourceError::Unavailable(format!("{}: {why}", source.describe())))
        }
        answer => answer,
    }
}

fn name(group: &Group, alert: &str) -> String {
    weak::alert_name(&group.file, &group.name, alert)
}

/// When each series has a sample: an alert is active whatever its value, be it NaN.
fn times(answer: Answer) -> Vec<(Entity, Vec<i64>)> {
    let times = |samples: Vec<(i64, f64)>| samples.into_iter().map(|(time_s, _)| time_s).collect();
    answer.series.into_iter().map(|series| (series.labels, times(series.samples))).collect()
}

fn cut(label: WeakLabel, interval: Interval) -> Option<WeakLabel> {
    label.interval.overlap(interval).map(|interval| WeakLabel { interval, ..label })
}

//! Rules that can never fire on a server, or always do: what it has, asked of itself.
//!
//! Owns: asking. Does not own: what follows for a rule (`weak`).

use std::collections::BTreeSet;
use std::sync::Arc;

use super::GatherError;
use super::weak_labels;
use crate::series::Grid;
use crate::source::Answer;
use crate::source::Source;
use crate::source::SourceError;
use crate::verdict::Interval;
use crate::weak;
use crate::weak::Finding;
use crate::weak::Group;
use crate::weak::Known;
use crate::weak::Why;

/// How far back a metric is looked for: the series of a counter may be there only after its first event.
const LOOKED_BACK_S: i64 = 7 * 86_400;

/// History without which nobody can say what is usual.
const LEAST_HISTORY_S: i64 = 3_600;

/// Prometheus' lookback: with this step, no sample is between two evaluations.
const STEP_S: i64 = 300;

/// Names in one query: with 60 letters each it is still one that proxies let through.
const NAMES_AT_ONCE: usize = 50;

/// The label under which a metric's name comes back: the name itself is lost in a count.
const NAME: &str = "portent_metric";

/// Every alert that can never fire on this source as it is at `now_s` (unix seconds), or held so much of the week
/// before that it says how things are ([`weak::news`]), in the order of the rules. A metric is missing where it had
/// no sample in that week.
///
/// # Errors
/// A query failed that may work later.
pub async fn lint(
    source: &Arc<dyn Source>,
    groups: &[Group],
    now_s: i64,
) -> Result<Vec<Finding>, GatherError> {
    let asked = weak::asked(groups);
    let missing = missing(source, asked.metrics, now_s).await?;
    let mut known = Known { missing, ..Known::default() };
    for name in asked.buckets {
        if let Some(bounds) = buckets(source, &name, now_s).await? {
            known.buckets.insert(name, bounds);
        }
    }
    let (usual, since_s) = usual(source, groups, now_s).await?;
    let mut findings = weak::lint(groups, &known).into_iter().peekable();
    let mut all = Vec::new();
    for group in groups {
        for rule in &group.alerts {
            let own =
                |f: &Finding| (&f.file, &f.group, f.line) == (&group.file, &group.name, rule.line);
            let own = findings.next_if(|finding| own(finding) && finding.alert == rule.alert);
            let mut why = own.map(|finding| finding.why).unwrap_or_default();
            if let Err(error) = source.instant(&rule.expr, now_s).await {
                match error {
                    SourceError::BadQuery(text) => why.push(Why::Refused(text)),
                    error if error.is_final() => {}
                    error => return Err(GatherError { name: rule.alert.clone(), error }),
                }
            }
            if usual.contains(&weak::alert_name(&group.file, &group.name, &rule.alert)) {
                why.push(Why::Usual { since_s });
            }
            if !why.is_empty() {
                all.push(Finding::of(group, rule, why));
            }
        }
    }
    Ok(all)
}

/// Alerts that labelled nothing but how things are, by file, group and name, and since when something is known.
async fn usual(
    source: &Arc<dyn Source>,
    groups: &[Group],
    now_s: i64,
) -> Result<(BTreeSet<String>, i64), GatherError> {
    let grid = looked_back(now_s);
    let answer = source.range(weak::ANY_TARGET, grid).await;
    let answer = answer.map_err(|error| GatherError { name: "up".into(), error })?;
    let times = answer.series.iter().flat_map(|series| &series.samples).map(|(time_s, _)| *time_s);
    let since_s = match times.min() {
        Some(first_s) => first_s,
        None => match source.instant(weak::ANY_TARGET, now_s).await {
            // Minutes old.
            Ok(answer) if !answer.series.is_empty() => now_s,
            // Without `up`, everything that there is may be as old as that.
            Ok(_) => grid.start_s,
            Err(error) => return Err(GatherError { name: "up".into(), error }),
        },
    };
    let history = Interval { from_s: since_s, to_s: now_s };
    if now_s - since_s < LEAST_HISTORY_S {
        return Ok((BTreeSet::new(), since_s));
    }
    let weak = weak_labels(source, groups, history).await?;
    match weak.unread.into_iter().next() {
        Some(error) => Err(error),
        None => Ok((weak::news(weak.labels, history).usual, since_s)),
    }
}

/// The last week.
fn looked_back(now_s: i64) -> Grid {
    let end_s = now_s.div_euclid(STEP_S) * STEP_S;
    Grid::covering(end_s - LOOKED_BACK_S, end_s + 1, STEP_S)
}

/// Those of the metrics that had no sample in the last week.
async fn missing(
    source: &Arc<dyn Source>,
    mut names: BTreeSet<String>,
    now_s: i64,
) -> Result<BTreeSet<String>, GatherError> {
    // Most are there now, which is cheap to ask.
    for names_now in pieces(&names) {
        let answer = source.instant(&counts(&names_now), now_s).await;
        forget(&mut names, answer)?;
    }
    let grid = looked_back(now_s);
    for names_ever in pieces(&names) {
        forget(&mut names, source.range(&counts(&names_ever), grid).await)?;
    }
    Ok(names)
}

fn pieces(names: &BTreeSet<String>) -> Vec<Vec<String>> {
    let names: Vec<String> = names.iter().cloned().collect();
    names.chunks(NAMES_AT_ONCE).map(<[String]>::to_vec).collect()
}

/// A query whose answer has a series for each of the metrics that is there.
fn counts(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| escaped(name)).collect();
    let all = format!("{{__name__=~\"{}\"}}", names.join("|"));
    format!("count by ({NAME}) (label_replace({all}, \"{NAME}\", \"$1\", \"__name__\", \"(.+)\"))")
}

/// A name as itself in a regular expression in a string.
fn escaped(name: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | ':');
    let one = |c: char| if plain(c) { c.to_string() } else { format!("[{c}]") };
    let class = |c: char| if matches!(c, '\\' | '"' | '^' | ']') { ".".into() } else { one(c) };
    name.chars().map(class).collect()
}

fn forget(
    names: &mut BTreeSet<String>,
    answer: Result<Answer, SourceError>,
) -> Result<(), GatherError> {
    let answer = answer.map_err(|error| GatherError { name: "metrics".into(), error })?;
    if let Some(why) = answer.partial {
        // What is missing from half of an answer is not missing.
        return Err(GatherError { name: "metrics".into(), error: SourceError::Unavailable(why) });
    }
    let there = answer.series.iter().filter_map(|series| series.labels.get(NAME));
    for name in there {
        names.remove(name);
    }
    Ok(())
}

/// The finite bounds of a histogram's buckets, ascending; `None` where it has none now.
async fn buckets(
    source: &Arc<dyn Source>,
    name: &str,
    now_s: i64,
) -> Result<Option<Vec<f64>>, GatherError> {
    let answer = source.instant(&format!("count by (le) ({{__name__=\"{name}\"}})"), now_s).await;
    let answer = answer.map_err(|error| GatherError { name: name.to_string(), error })?;
    let bounds = answer.series.iter().filter_map(|series| series.labels.get("le")?.parse().ok());
    let mut bounds: Vec<f64> = bounds.filter(|bound: &f64| bound.is_finite()).collect();
    bounds.sort_by(f64::total_cmp);
    bounds.dedup();
    Ok((!bounds.is_empty()).then_some(bounds))
}

//! A plan for people.

use std::fmt::Write as _;

use super::Plan;
use super::WatchPlan;
use crate::app::offline::columns;
use crate::math::duration::format_duration;

/// A line per watch, all together, and what the numbers rest on.
pub(super) fn table(plan: &Plan) -> String {
    let heads = [
        "WATCH",
        "ENTITIES",
        "SERIES",
        "MODELS",
        "TRAINING",
        "EVERY",
        "PASS",
        "EVERY",
        "MODEL SIZE",
        "HISTORY",
        "EXPORTED",
    ];
    let mut lines = vec![heads.map(String::from)];
    lines.extend(plan.watches.iter().map(line));
    if plan.watches.len() > 1 {
        lines.push(total(&plan.watches));
    }
    let mut text = columns(&lines);
    text.push('\n');
    let mut say = |line: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{line}");
    };
    if let Some((peak, measured)) = plan.peak_bytes.zip(plan.measured_bytes) {
        say(format!(
            "memory: {} at its peak, while all watches train at once; {} of it were seen here",
            size(peak),
            size(measured)
        ));
    }
    say(format!("series: {} more tell of Portent itself", plan.own_series));
    let threads = match plan.threads {
        1 => "one thread".to_string(),
        n => format!("{n} threads"),
    };
    say(format!("training: on {threads}; a pass and a scrape go before it"));
    for watch in &plan.watches {
        if watch.measured < watch.entities {
            let WatchPlan { watch: name, measured, entities, .. } = watch;
            say(format!(
                "{name}: {measured} of {entities} entities were trained, the others reckoned"
            ));
        }
        let name = &watch.watch;
        if !watch.with_incidents.is_empty() {
            let detectors = watch.with_incidents.join(", ");
            say(format!("{name}: with {detectors}, which comes once an incident is known"));
        }
        if watch.measured > 0 && !watch.not_reckoned.is_empty() {
            let detectors = watch.not_reckoned.join(", ");
            let when = "which comes once an incident and a day of history are known";
            say(format!("{name}: without {detectors}, {when}"));
        }
        for problem in &watch.problems {
            say(format!("{}: {problem}", watch.watch));
        }
    }
    text
}

fn line(plan: &WatchPlan) -> [String; 11] {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    [
        plan.watch.clone(),
        plan.entities.to_string(),
        plan.series.to_string(),
        or_dash(plan.models.map(|n| n.to_string())),
        or_dash(plan.training_seconds.map(seconds)),
        format_duration(plan.training_every_seconds),
        seconds(plan.pass_seconds),
        format_duration(plan.pass_every_seconds),
        or_dash(plan.model_bytes.map(size)),
        size(plan.history_bytes),
        or_dash(plan.exported_series.map(|n| n.to_string())),
    ]
}

fn total(watches: &[WatchPlan]) -> [String; 11] {
    let known = |of: fn(&WatchPlan) -> Option<f64>| watches.iter().filter_map(of).sum::<f64>();
    let count = |of: fn(&WatchPlan) -> usize| watches.iter().map(of).sum::<usize>().to_string();
    let bytes = |of: fn(&WatchPlan) -> u64| size(watches.iter().map(of).sum());
    [
        "all".into(),
        count(|w| w.entities),
        count(|w| w.series),
        count(|w| w.models.unwrap_or(0)),
        seconds(known(|w| w.training_seconds)),
        String::new(),
        seconds(known(|w| Some(w.pass_seconds))),
        String::new(),
        bytes(|w| w.model_bytes.unwrap_or(0)),
        bytes(|w| w.history_bytes),
        count(|w| w.exported_series.unwrap_or(0)),
    ]
}

/// `0.23 s`, `12 s`, `3m20s`.
fn seconds(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => format!("{s:.2} s"),
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 100.0 => format!("{s:.0} s"),
        s => format_duration(s.round() as i64),
    }
}

/// `812 B`, `3.4 KiB`, `56 MiB`.
fn size(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    let decimals = usize::from(unit > 0 && value < 10.0);
    format!("{value:.decimals$} {}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_long_as_they_are_worth() {
        let sizes = [0, 812, 3_500, 10 << 10, 58_720_256, 1 << 40].map(size);
        assert_eq!(sizes, ["0 B", "812 B", "3.4 KiB", "10 KiB", "56 MiB", "1024 GiB"]);
        let times = [0.001, 0.234, 5.04, 57.3, 200.4].map(seconds);
        assert_eq!(times, ["0.00 s", "0.23 s", "5.0 s", "57 s", "3m20s"]);
    }

    #[test]
    fn what_was_not_measured_is_a_dash() {
        let young = WatchPlan {
            watch: "young".into(),
            entities: 2,
            problems: vec!["a=b: 60 s of history".into()],
            ..WatchPlan::default()
        };
        let old = WatchPlan { watch: "old".into(), models: Some(4), ..WatchPlan::default() };
        let old = WatchPlan {
            measured: 1,
            with_incidents: vec!["siamese".into()],
            not_reckoned: vec!["classifier".into()],
            ..old
        };
        let text = table(&Plan { watches: vec![young, old], threads: 1, ..Plan::default() });
        assert!(text.contains("\nyoung  2         0       -"), "{text}");
        assert!(text.contains("\nall    2         0       4"), "{text}");
        assert!(text.contains("young: 0 of 2 entities were trained"), "{text}");
        assert!(text.contains("young: a=b: 60 s of history\n"), "{text}");
        assert!(
            text.contains("old: with siamese, which comes once an incident is known\n"),
            "{text}"
        );
        assert!(text.contains("old: without classifier, which comes once"), "{text}");
    }
}

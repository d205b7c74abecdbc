//! Counters and gauges about ourselves.
//!
//! Owns: their names, HELP texts and values. Labels are watches and closed sets, so that there are
//! few of them and rendering costs microseconds.
//! Does not own: models (`ModelFact`), of which there may be thousands.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use super::Format;
use super::lock;
use super::text::write_header;
use super::text::write_label;
use super::text::write_sample;
use crate::verdict::Verdict;

/// Counters and gauges about ourselves; each method is one event or one fact.
#[derive(Debug, Default)]
pub struct Own {
    values: Mutex<Values>,
}

/// What the versions in use make of the labelled intervals of one watch, on the rows that are kept
/// with the labels; NaN where there is nothing to divide by.
///
/// An interval counts as found if any of its points scores above 1, combined. One without any score
/// does not count. Labels are no random sample: people label what was missed and what paged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quality {
    /// Labelled anomalies found / (those + intervals labelled normal that score above 1), 0 to 1.
    pub precision: f64,
    /// Labelled anomalies found / labelled anomalies, 0 to 1.
    pub recall: f64,
    /// Mean seconds from the start of a labelled anomaly that is found to the last row of the first
    /// point that scores above 1; without the time until the next pass.
    pub detection_delay_s: f64,
}

/// Values by rendered labels.
#[derive(Debug, Default)]
struct Values {
    families: BTreeMap<Family, BTreeMap<String, Value>>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Value {
    sum: f64,
    count: u64,
}

/// Every metric about ourselves, in the order of the exposition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Family {
    ReloadSuccessful,
    ReloadSuccessTime,
    SourceUp,
    Queries,
    QueryFailures,
    PassDuration,
    Passes,
    PassFailures,
    Trainings,
    TrainingDuration,
    TrainingProgress,
    TrainingLeft,
    Labels,
    Promotions,
    Precision,
    Recall,
    DetectionDelay,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Counter,
    Gauge,
    /// Sum and count only.
    Summary,
}

impl Family {
    /// Name (a counter's without `_total`) and type.
    fn name(self) -> (&'static str, Type) {
        match self {
            Family::ReloadSuccessful => ("portent_config_last_reload_successful", Type::Gauge),
            Family::ReloadSuccessTime => {
                ("portent_config_last_reload_success_timestamp_seconds", Type::Gauge)
            }
            Family::SourceUp => ("portent_source_up", Type::Gauge),
            Family::Queries => ("portent_source_queries", Type::Counter),
            Family::QueryFailures => ("portent_source_query_failures", Type::Counter),
            Family::PassDuration => ("portent_pass_duration_seconds", Type::Summary),
            Family::Passes => ("portent_passes", Type::Counter),
            Family::PassFailures => ("portent_pass_failures", Type::Counter),
            Family::Trainings => ("portent_trainings", Type::Counter),
            Family::TrainingDuration => ("portent_training_duration_seconds", Type::Summary),
            Family::TrainingProgress => ("portent_training_progress_ratio", Type::Gauge),
            Family::TrainingLeft => ("portent_training_remaining_seconds", Type::Gauge),
            Family::Labels => ("portent_labels", Type::Gauge),
            Family::Promotions => ("portent_promotions", Type::Counter),
            Family::Precision => ("portent_labelled_precision_ratio", Type::Gauge),
            Family::Recall => ("portent_labelled_recall_ratio", Type::Gauge),
            Family::DetectionDelay => ("portent_labelled_detection_delay_seconds", Type::Gauge),
        }
    }

    /// What it is and in which unit; free of `\`, `"` and line breaks.
    fn help(self) -> &'static str {
        match self {
            Family::ReloadSuccessful => {
                "1 if the last attempt to read the configuration was successful, else 0."
            }
            Family::ReloadSuccessTime => {
                "Unix time of the last successful read of the configuration, in seconds."
            }
            Family::SourceUp => {
                "1 if the last query to the source was answered, else 0. \
                 Renewed by each pass, not by the scrape."
            }
            Family::Queries => {
                "Number of queries to the source, for passes, trainings, labels and discovery. \
                 One that is split or retried is one."
            }
            Family::QueryFailures => "Number of queries to the source that failed, by reason.",
            Family::PassDuration => {
                "Time that passes of scoring took, in seconds, failed ones included."
            }
            Family::Passes => "Number of passes of scoring, failed ones included.",
            Family::PassFailures => "Number of passes of scoring that failed, by reason.",
            Family::Trainings => "Number of trainings that ended, by result.",
            Family::TrainingDuration => "Time that trainings took, in seconds.",
            Family::TrainingProgress => {
                "Share of the newest training that is done, 0 to 1: entities, and of those whose networks \
                 are being trained their iterations. 1 when it has ended. Absent where it failed."
            }
            Family::TrainingLeft => {
                "Estimated time until the running training is done with all entities, in seconds; \
                 0 when it has ended. Absent before its first entity or iterations."
            }
            Family::Labels => {
                "Number of intervals that people have labelled, by verdict and by where it was said."
            }
            Family::Promotions => "Number of trained models that were judged, by result.",
            Family::Precision => {
                "Labelled anomalies in which the version in use scores above 1, divided by those and \
                 the intervals labelled normal in which it does, 0 to 1. \
                 Renewed by each training, not by the scrape."
            }
            Family::Recall => {
                "Share of the labelled anomalies in which the version in use scores above 1, 0 to 1. \
                 Renewed by each training, not by the scrape."
            }
            Family::DetectionDelay => {
                "Mean time from the start of a labelled anomaly to the end of its first point that \
                 scores above 1, in seconds. Renewed by each training, not by the scrape."
            }
        }
    }
}

impl Own {
    /// A query is sent to the source.
    pub fn query(&self) {
        self.add(Family::Queries, &[], 1.0);
    }

    /// A query failed; counted besides [`Own::query`]. `reason` is from a closed set.
    pub fn query_failed(&self, reason: &'static str) {
        self.add(Family::QueryFailures, &[("reason", reason)], 1.0);
    }

    /// Whether the source answered last.
    pub fn source_up(&self, up: bool) {
        self.set(Family::SourceUp, &[], f64::from(u8::from(up)));
    }

    /// A pass over a watch ended, well or not, after `seconds`.
    pub fn pass(&self, watch: &str, seconds: f64) {
        self.add(Family::Passes, &[("watch", watch)], 1.0);
        self.add(Family::PassDuration, &[("watch", watch)], seconds);
    }

    /// A pass failed; counted besides [`Own::pass`]. `reason` is from a closed set.
    pub fn pass_failed(&self, watch: &str, reason: &'static str) {
        self.add(Family::PassFailures, &[("watch", watch), ("reason", reason)], 1.0);
    }

    /// A training ended after `seconds`. `result` is from a closed set.
    pub fn training(&self, watch: &str, result: &'static str, seconds: f64) {
        self.add(Family::Trainings, &[("watch", watch), ("result", result)], 1.0);
        self.add(Family::TrainingDuration, &[("watch", watch)], seconds);
    }

    /// A training is done with this share of its entities; NaN where it ended without. `left`: what it
    /// may take still.
    pub fn training_progress(&self, watch: &str, ratio: f64, left: Option<Duration>) {
        let left_s = left.map_or(f64::NAN, |left| left.as_secs_f64());
        self.set(Family::TrainingProgress, &[("watch", watch)], ratio);
        self.set(Family::TrainingLeft, &[("watch", watch)], left_s);
    }

    /// A trained model was judged. `result` is from a closed set.
    pub fn promotion(&self, watch: &str, result: &'static str) {
        self.add(Family::Promotions, &[("watch", watch), ("result", result)], 1.0);
    }

    /// The configuration was read at `now_s` (unix seconds), or could not be.
    pub fn reload(&self, ok: bool, now_s: i64) {
        self.set(Family::ReloadSuccessful, &[], f64::from(u8::from(ok)));
        if ok {
            self.set(Family::ReloadSuccessTime, &[], now_s as f64);
        }
    }

    /// How many intervals are labelled, by verdict and source; replaces all former counts.
    pub fn labels(&self, counts: &[(Verdict, String, u64)]) {
        lock(&self.values).families.remove(&Family::Labels);
        for (verdict, source, count) in counts {
            let labels = [("verdict", verdict.as_str()), ("source", source.as_str())];
            self.set(Family::Labels, &labels, *count as f64);
        }
    }

    /// What a watch's versions in use make of what people said.
    pub fn quality(&self, watch: &str, quality: Quality) {
        self.set(Family::Precision, &[("watch", watch)], quality.precision);
        self.set(Family::Recall, &[("watch", watch)], quality.recall);
        self.set(Family::DetectionDelay, &[("watch", watch)], quality.detection_delay_s);
    }

    /// Removes a watch that left the configuration.
    pub(super) fn forget(&self, watch: &str) {
        let of_watch = render_labels(&[("watch", watch)]);
        for values in lock(&self.values).families.values_mut() {
            // The closing quote is part of it, so no other watch begins like this one.
            values.retain(|labels, _| !labels.starts_with(&of_watch));
        }
    }

    fn add(&self, family: Family, labels: &[(&str, &str)], amount: f64) {
        let mut values = lock(&self.values);
        let value = values.families.entry(family).or_default().entry(render_labels(labels));
        let value = value.or_default();
        value.sum += amount;
        value.count += 1;
    }

    fn set(&self, family: Family, labels: &[(&str, &str)], amount: f64) {
        let mut values = lock(&self.values);
        let family = values.families.entry(family).or_default();
        family.insert(render_labels(labels), Value { sum: amount, count: 1 });
    }

    /// The last part of an exposition.
    pub(super) fn render(&self, format: Format) -> String {
        let mut text = String::new();
        write_header(
            &mut text,
            "portent_build_info",
            "gauge",
            "Version of this program; always 1.",
        );
        let version = render_labels(&[("version", env!("CARGO_PKG_VERSION"))]);
        write_sample(&mut text, "portent_build_info", &[&version], 1.0);
        for (family, values) in &lock(&self.values).families {
            write_family(&mut text, *family, values, format);
        }
        if format == Format::OpenMetrics {
            text.push_str("# EOF\n");
        }
        text
    }
}

fn render_labels(labels: &[(&str, &str)]) -> String {
    let mut text = String::new();
    labels.iter().for_each(|(name, value)| write_label(&mut text, name, value));
    text
}

fn write_family(
    text: &mut String,
    family: Family,
    values: &BTreeMap<String, Value>,
    format: Format,
) {
    let ((name, kind), help) = (family.name(), family.help());
    let values = || values.iter().filter(|(_, value)| !value.sum.is_nan());
    if values().next().is_none() {
        return;
    }
    // OpenMetrics names a counter's family without the suffix of its samples.
    let total = format!("{name}_total");
    match (kind, format) {
        (Type::Gauge, _) => write_header(text, name, "gauge", help),
        (Type::Summary, _) => write_header(text, name, "summary", help),
        (Type::Counter, Format::Text) => write_header(text, &total, "counter", help),
        (Type::Counter, Format::OpenMetrics) => write_header(text, name, "counter", help),
    }
    for (labels, value) in values() {
        match kind {
            Type::Gauge => write_sample(text, name, &[labels], value.sum),
            Type::Counter => write_sample(text, &total, &[labels], value.sum),
            Type::Summary => {
                write_sample(text, &format!("{name}_sum"), &[labels], value.sum);
                write_sample(text, &format!("{name}_count"), &[labels], value.count as f64);
            }
        }
    }
}

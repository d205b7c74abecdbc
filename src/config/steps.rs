//! Preprocessing as it is written: a list of steps, or `bucket` and `despike` as its short forms.
//!
//! Owns: durations as rows, what the list and the short forms say together.
//! Does not own: what a step does, or which order makes sense (`preprocess`).

use std::fmt;

use serde::Deserialize;
use serde::Deserializer;
use serde::de;
use serde::de::value::MapAccessDeserializer;

use super::load::Found;
use super::raw::Seconds;
use super::raw::WatchSection;
use crate::math::duration::format_duration;
use crate::math::duration::parse_duration_s;
use crate::preprocess;
use crate::preprocess::Despike;
use crate::preprocess::Fill;
use crate::preprocess::Hampel;
use crate::preprocess::Mask;
use crate::preprocess::Scaler;
use crate::preprocess::Step;
use crate::preprocess::Transform;

/// An entry of `preprocess`: exactly one of these.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct StepSection {
    fill: Option<FillSection>,
    mask: Option<Mask>,
    despike: Option<DespikeSection>,
    bucket: Option<Seconds>,
    transform: Option<Transform>,
    scale: Option<Scaler>,
}

/// A number of rows, or a duration.
#[derive(Debug, Clone, Copy)]
enum Span {
    Rows(usize),
    Seconds(i64),
}

impl Span {
    fn rows(self, step_s: i64) -> usize {
        match self {
            Span::Rows(rows) => rows,
            Span::Seconds(seconds) => (seconds / step_s.max(1)).max(0) as usize,
        }
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Span;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as 2h, or a number of rows")
            }

            fn visit_u64<E: de::Error>(self, rows: u64) -> Result<Span, E> {
                usize::try_from(rows).map(Span::Rows).map_err(E::custom)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
                parse_duration_s(text).map(Span::Seconds).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// `zero`, or `previous: 1h`.
#[derive(Debug, Clone, Copy)]
enum FillSection {
    Gap,
    Zero,
    Previous(Span),
    Interpolate(Span),
}

/// A gap longer than this says something itself.
const FILL_S: i64 = 3_600;

impl<'de> Deserialize<'de> for FillSection {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<FillSection, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum Long {
            Previous(Span),
            Interpolate(Span),
        }
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = FillSection;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("gap, zero, previous or interpolate, or {previous: 1h}")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<FillSection, E> {
                match text {
                    "gap" => Ok(FillSection::Gap),
                    "zero" => Ok(FillSection::Zero),
                    "previous" => Ok(FillSection::Previous(Span::Seconds(FILL_S))),
                    "interpolate" => Ok(FillSection::Interpolate(Span::Seconds(FILL_S))),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<FillSection, A::Error> {
                match Long::deserialize(MapAccessDeserializer::new(map))? {
                    Long::Previous(span) => Ok(FillSection::Previous(span)),
                    Long::Interpolate(span) => Ok(FillSection::Interpolate(span)),
                }
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// `{window, threshold}` is a z-score, as is `{zscore: {window, threshold}}`.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DespikeSection {
    window: Option<Span>,
    threshold: Option<f64>,
    zscore: Option<ZscoreSection>,
    hampel: Option<HampelSection>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct ZscoreSection {
    window: Span,
    threshold: f64,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct HampelSection {
    window: Span,
    threshold: f64,
    run: Option<Span>,
}

/// What lasts longer than a quarter of an hour is no burst.
const RUN_S: i64 = 900;

impl DespikeSection {
    /// For rows every `step_s` seconds.
    fn step(self, step_s: i64) -> Result<Step, String> {
        let zscore = match (self.window, self.threshold) {
            (Some(window), Some(threshold)) => Some(ZscoreSection { window, threshold }),
            (None, None) => None,
            (Some(_), None) => return Err("missing field `threshold`".into()),
            (None, Some(_)) => return Err("missing field `window`".into()),
        };
        match (zscore, self.zscore, self.hampel) {
            (Some(zscore), None, None) | (None, Some(zscore), None) => {
                let window = zscore.window.rows(step_s);
                Ok(Step::Despike(Despike { window, threshold: zscore.threshold }))
            }
            (None, None, Some(HampelSection { window, threshold, run })) => {
                let run = run.map_or_else(
                    || Span::Seconds(RUN_S).rows(step_s).max(1),
                    |run| run.rows(step_s),
                );
                Ok(Step::Hampel(Hampel { window: window.rows(step_s), threshold, run }))
            }
            _ => Err("wanted one of zscore and hampel, each {window, threshold}".into()),
        }
    }
}

impl StepSection {
    /// The step, for rows every `step_s` seconds; with it come what it says of all features.
    fn step(&self, step_s: i64) -> Result<Step, (&'static str, String)> {
        let fill = self.fill.map(|fill| {
            Ok(Step::Fill(match fill {
                FillSection::Gap => Fill::Gap,
                FillSection::Zero => Fill::Zero,
                FillSection::Previous(span) => Fill::Previous(span.rows(step_s)),
                FillSection::Interpolate(span) => Fill::Interpolate(span.rows(step_s)),
            }))
        });
        let despike = self.despike.map(|d| d.step(step_s).map_err(|what| ("despike", what)));
        let given = [
            fill,
            self.mask.map(|mask| Ok(Step::Mask(mask))),
            despike,
            self.bucket.map(|bucket| Ok(Step::Bucket(bucket.0))),
            self.transform.map(|_| Ok(Step::Transform)),
            self.scale.map(|_| Ok(Step::Scale)),
        ];
        let mut given = given.into_iter().flatten();
        let wanted = "wanted one of fill, mask, despike, bucket, transform, scale in each entry";
        match (given.next(), given.next()) {
            (Some(step), None) => step,
            (None, _) => Err(("", format!("empty; {wanted}"))),
            (Some(_), Some(_)) => Err(("", format!("several steps; {wanted}"))),
        }
    }
}

/// What a watch says of preprocessing, all in all.
#[derive(Debug, Default)]
pub(super) struct Steps {
    pub(super) bucket_s: Option<i64>,
    pub(super) despike: Option<Despike>,
    /// Empty where the two above say it all.
    pub(super) steps: Vec<Step>,
    /// Of features that do not say it themselves.
    pub(super) transform: Option<Transform>,
    /// Of features that do not say it themselves.
    pub(super) scaler: Option<Scaler>,
}

/// The steps of an entry over its preset, for rows every `step_s` seconds.
pub(super) fn resolve(
    section: &WatchSection,
    base: &WatchSection,
    step_s: i64,
    at: &str,
    found: &mut Vec<Found>,
) -> Steps {
    let list = match (&section.preprocess, &base.preprocess) {
        (Some(own), _) => {
            for (field, given) in
                [("bucket", section.bucket.is_some()), ("despike", section.despike.is_some())]
            {
                if given {
                    let what = "given beside preprocess; wanted it as one of its steps";
                    found.push((format!("{at}.{field}"), what.into()));
                }
            }
            own.clone()
        }
        // The steps of the preset, with another bucket where the entry says so.
        (None, Some(list)) if section.despike.is_none() => {
            let mut list = list.clone();
            let bucket = list.iter_mut().find_map(|step| step.bucket.as_mut());
            if let (Some(bucket), Some(own)) = (bucket, section.bucket) {
                *bucket = own;
            }
            list
        }
        (None, Some(_)) => {
            let what = "the preset has steps of its own; wanted preprocess, with all of them";
            found.push((format!("{at}.despike"), what.into()));
            return Steps::default();
        }
        (None, None) => return short(section, base, step_s, at, found),
    };
    let n_found = found.len();
    let steps = each(&list, step_s, &format!("{at}.preprocess"), found);
    // In short, what is wrong would be found again, at settings that nobody wrote.
    let steps = if found.len() > n_found { in_full(steps) } else { in_short(steps) };
    let last = |step: fn(&StepSection) -> bool| list.iter().rfind(|entry| step(entry));
    Steps {
        transform: last(|entry| entry.transform.is_some()).and_then(|entry| entry.transform),
        scaler: last(|entry| entry.scale.is_some()).and_then(|entry| entry.scale),
        ..steps
    }
}

/// The short forms: despike, then buckets.
fn short(
    section: &WatchSection,
    base: &WatchSection,
    step_s: i64,
    at: &str,
    found: &mut Vec<Found>,
) -> Steps {
    let mut steps = Vec::new();
    if let Some(despike) = section.despike.or(base.despike) {
        match despike.step(step_s) {
            Ok(step) => {
                let problem = preprocess::problems(&[step]).pop();
                found.extend(problem.map(|(_, what)| (format!("{at}.despike"), what)));
                steps.push(step);
            }
            Err(what) => found.push((format!("{at}.despike"), what)),
        }
    }
    steps.extend(section.bucket.or(base.bucket).map(|bucket| Step::Bucket(bucket.0)));
    in_short(steps)
}

/// Every entry that is one, with everything that is wrong with the others and with their order.
fn each(list: &[StepSection], step_s: i64, at: &str, found: &mut Vec<Found>) -> Vec<Step> {
    let (mut steps, mut paths) = (Vec::new(), Vec::new());
    let mut step_s = step_s;
    for (i, entry) in list.iter().enumerate() {
        let path = format!("{at}[{i}]");
        let step = match entry.step(step_s) {
            Ok(step) => step,
            // What could not be read was taken out, and is known.
            Err(("", _)) if found.iter().any(|(known, _)| known.starts_with(&path)) => continue,
            Err(("", what)) => {
                found.push((path, what));
                continue;
            }
            Err((field, what)) => {
                found.push((format!("{path}.{field}"), what));
                continue;
            }
        };
        let path = format!("{path}.{}", step.name());
        if let Step::Bucket(bucket_s) = step {
            if bucket_s > 0 && bucket_s % step_s.max(1) != 0 {
                let step = format_duration(step_s);
                found.push((path.clone(), format!("must be a whole number of steps ({step})")));
            }
            step_s = bucket_s;
        }
        steps.push(step);
        paths.push(path);
    }
    let problems = preprocess::problems(&steps).into_iter();
    found.extend(problems.map(|(i, what)| (paths[i].clone(), what)));
    steps
}

/// A list that says no more than the short forms is none: the models are the same.
fn in_short(mut steps: Vec<Step>) -> Steps {
    steps.retain(|step| *step != Step::Fill(Fill::Gap));
    let is_last = |step: &Step| matches!(step, Step::Transform | Step::Scale);
    let core = steps.iter().take_while(|step| !is_last(step)).count();
    let ends = steps[core..].iter().all(is_last);
    let despike = match &steps[..core] {
        [] | [Step::Bucket(_)] if ends => None,
        [Step::Despike(despike)] | [Step::Despike(despike), Step::Bucket(_)] if ends => {
            Some(*despike)
        }
        _ => return in_full(steps),
    };
    Steps { despike, steps: Vec::new(), ..in_full(steps) }
}

/// The list as it is.
fn in_full(steps: Vec<Step>) -> Steps {
    let bucket_s = steps.iter().find_map(|step| match step {
        Step::Bucket(bucket_s) => Some(*bucket_s),
        _ => None,
    });
    Steps { bucket_s, steps, ..Steps::default() }
}

#[cfg(test)]
mod tests {
    use crate::config::parse;
    use crate::preprocess::Fill;
    use crate::preprocess::Scaler;
    use crate::preprocess::Step;
    use crate::preprocess::Transform;
    use crate::watch::Watch;

    fn watch(settings: &str) -> Watch {
        let queries = "queries: {in: a, out: {query: b, transform: identity, scale: minmax}}";
        let text = format!("watches: [{{name: n, step: 5m, {queries}, {settings}}}]");
        parse("portent.yml", &text).unwrap().watches.unwrap().remove(0)
    }

    #[test]
    fn a_list_that_says_no_more_than_the_short_forms_is_the_same_watch() {
        for (short, list) in [
            ("bucket: 30m", "[{bucket: 30m}]"),
            ("bucket: 30m", "[{fill: gap}, {bucket: 30m}, {transform: log1p}, {scale: robust}]"),
            (
                "bucket: 30m, despike: {window: 2h, threshold: 2}",
                "[{despike: {zscore: {window: 24, threshold: 2}}}, {bucket: 30m}]",
            ),
            ("lag: 30s", "[]"),
        ] {
            assert_eq!(watch(short), watch(&format!("preprocess: {list}")), "{list}");
        }
    }

    #[test]
    fn a_feature_has_the_last_word_on_its_transform_and_scaler() {
        let watch = watch("preprocess: [{bucket: 30m}, {transform: log1p}, {scale: standard}]");
        let scales = watch.features.iter().map(|feature| feature.scale);
        let said: Vec<_> = scales.map(|scale| (scale.transform, scale.scaler)).collect();
        let wanted = [(Transform::Log1p, Scaler::Standard), (Transform::Identity, Scaler::Minmax)];
        assert_eq!(said, wanted);
    }

    #[test]
    fn durations_become_rows_of_the_step_that_they_are_given() {
        let watch = watch(
            "preprocess: [{fill: previous}, {bucket: 10m}, \
             {despike: {hampel: {window: 2h, threshold: 4, run: 20m}}}]",
        );
        assert_eq!((watch.point_s(), watch.steps[0]), (600, Step::Fill(Fill::Previous(12))));
        let Step::Hampel(hampel) = watch.steps[2] else { panic!("{:?}", watch.steps) };
        assert_eq!((hampel.window, hampel.run), (12, 2));
    }

    #[test]
    fn the_workshop_is_there_with_the_spikes_where_they_can_be_seen() {
        let watch = watch("preset: workshop, bucket: 1h");
        let names: Vec<_> = watch.steps.iter().map(|step| step.name()).collect();
        assert_eq!(names, ["fill", "despike", "fill", "bucket", "transform", "scale"]);
        assert_eq!((watch.point_s(), watch.consecutive), (3600, 4));
        let scale = watch.features[0].scale;
        assert_eq!((scale.transform, scale.scaler), (Transform::Identity, Scaler::Standard));
        assert_eq!(watch.early_bucket_s(), None);
    }

    #[test]
    fn the_workshop_has_its_five_detectors_unless_others_are_named() {
        let five = ["stl", "sarimax", "random_forest", "isolation_forest", "one_class_svm"];
        for (settings, wanted) in [
            ("preset: workshop", &five[..]),
            ("preset: workshop, detectors: auto", &five[..]),
            ("preset: workshop, detectors: [seasonal_median]", &["seasonal_median"][..]),
            ("bucket: 30m, detectors: auto", &["seasonal_median", "stl"][..]),
        ] {
            let names: Vec<_> = watch(settings).detectors.iter().map(|d| d.name()).collect();
            assert_eq!(names, wanted, "{settings}");
        }
    }

    #[test]
    fn a_watch_has_its_own_calendar_or_that_of_all() {
        let text = "calendar: {time_zone: Europe/Rome, holidays: [2026-12-25]}\n\
            watches:\n  - {name: a, queries: {q: up}}\n  \
            - {name: b, queries: {q: up}, calendar: {time_zone: Asia/Tokyo}}\n  \
            - {name: c, queries: {q: up}, calendar: {holidays: []}}";
        let config = parse("portent.yml", text).unwrap();
        let calendars = config.watches.iter().flatten().map(|watch| watch.calendar.to_string());
        let wanted = ["Europe/Rome 2026-12-25", "Asia/Tokyo 2026-12-25", "Europe/Rome"];
        assert_eq!(calendars.collect::<Vec<_>>(), wanted);
        assert_eq!(config.calendar.to_string(), "Europe/Rome 2026-12-25");
        let fingerprints: Vec<_> =
            config.watches.iter().flatten().map(Watch::fingerprints).collect();
        assert!(fingerprints[0] != fingerprints[1] && fingerprints[1] != fingerprints[2]);
    }
}

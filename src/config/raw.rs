//! The file as it is written: everything optional, nothing checked beyond its type.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;
use serde::Deserializer;
use serde::de;
use serde::de::DeserializeSeed;
use serde::de::IntoDeserializer;
use serde::de::value::MapAccessDeserializer;

use super::calendar::CalendarSection;
use super::steps::DespikeSection;
use super::steps::StepSection;
use crate::detect;
use crate::detect::networks;
use crate::math::duration::parse_duration_s;
use crate::preprocess;
use crate::source;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) source: SourceSection,
    /// Each is a [`WatchSection`] if it can be read as one.
    pub(super) watches: Option<Vec<serde_yaml::Value>>,
    pub(super) calendar: CalendarSection,
    pub(super) store: StoreSection,
    pub(super) web: WebSection,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SourceSection {
    pub(super) prometheus: Option<source::prometheus::Config>,
    pub(super) csv: Option<source::csv::Config>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct StoreSection {
    pub(super) path: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WebSection {
    pub(super) labels_api: bool,
}

/// One entry of `watches`; a preset's file has the same keys and fills what is missing.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WatchSection {
    pub(super) name: Option<String>,
    pub(super) preset: Option<String>,
    pub(super) queries: Option<BTreeMap<String, Query>>,
    pub(super) checks: Option<ChecksSection>,
    pub(super) selector: Option<String>,
    pub(super) native_histograms: Option<bool>,
    pub(super) entity: Option<Vec<String>>,
    pub(super) step: Option<Seconds>,
    pub(super) lag: Option<Seconds>,
    pub(super) rate_window: Option<Seconds>,
    pub(super) bucket: Option<Seconds>,
    pub(super) despike: Option<DespikeSection>,
    pub(super) preprocess: Option<Vec<StepSection>>,
    pub(super) calendar: CalendarSection,
    pub(super) window: Option<usize>,
    pub(super) detectors: Option<Detectors>,
    pub(super) weak_labels: Option<Vec<String>>,
    /// Where the file lies that names others.
    #[serde(skip)]
    pub(super) folder: PathBuf,
    pub(super) consecutive: Option<u32>,
    pub(super) page_budget: Option<PageBudget>,
    pub(super) train: TrainSection,
    pub(super) score: ScoreSection,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TrainSection {
    pub(super) every: Option<Seconds>,
    pub(super) history: Option<Seconds>,
    pub(super) min_history: Option<Seconds>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ScoreSection {
    pub(super) every: Option<Seconds>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ChecksSection {
    pub(super) up: Option<String>,
    pub(super) limit: Option<String>,
    pub(super) restarted: Option<String>,
    pub(super) missed_scrapes: Option<String>,
}

impl ChecksSection {
    /// Those that are given, by name.
    pub(super) fn queries(&self) -> impl Iterator<Item = (&'static str, &String)> {
        let ChecksSection { up, limit, restarted, missed_scrapes } = self;
        let all = [
            ("up", up),
            ("limit", limit),
            ("restarted", restarted),
            ("missed_scrapes", missed_scrapes),
        ];
        all.into_iter().filter_map(|(name, query)| Some((name, query.as_ref()?)))
    }
}

/// A query, or a query with the scale of its values.
#[derive(Debug, Clone)]
pub(super) struct Query {
    pub(super) query: String,
    pub(super) transform: Option<preprocess::Transform>,
    pub(super) floor: Option<f64>,
    pub(super) scale: Option<preprocess::Scaler>,
}

impl<'de> Deserialize<'de> for Query {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Query, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Long {
            query: String,
            transform: Option<preprocess::Transform>,
            floor: Option<f64>,
            scale: Option<preprocess::Scaler>,
        }
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Query;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a PromQL query, or {query, transform, scale, floor}")
            }

            fn visit_str<E: de::Error>(self, query: &str) -> Result<Query, E> {
                Ok(Query { query: query.to_string(), transform: None, floor: None, scale: None })
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Query, A::Error> {
                let Long { query, transform, floor, scale } =
                    Long::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Query { query, transform, floor, scale })
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// `auto`, or a list of names and of settings under a name.
#[derive(Debug, Clone)]
pub(super) enum Detectors {
    Auto,
    List(Vec<detect::Config>),
}

impl<'de> Deserialize<'de> for Detectors {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Detectors, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Detectors;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "auto, or a list of {}", detect::Config::NAMES.join(", "))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Detectors, E> {
                match text {
                    "auto" => Ok(Detectors::Auto),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Detectors, A::Error> {
                let mut list = Vec::new();
                while let Some(Detector(config)) = seq.next_element()? {
                    list.push(config);
                }
                Ok(Detectors::List(list))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// `stl`, or `stl: {…}`.
struct Detector(detect::Config);

impl<'de> Deserialize<'de> for Detector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Detector, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Detector;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "one of {}", detect::Config::NAMES.join(", "))
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Detector, E> {
                let config = detect::Config::named(name);
                config.map(Detector).ok_or_else(|| match networks::left_out(name) {
                    Some(why) => E::custom(why),
                    None => E::invalid_value(de::Unexpected::Str(name), &self),
                })
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Detector, A::Error> {
                let first: Option<String> = map.next_key()?;
                if let Some(why) = first.as_deref().and_then(networks::left_out) {
                    return Err(de::Error::custom(why));
                }
                let map = MapAccessDeserializer::new(Opened { first, map });
                detect::Config::deserialize(map).map(Detector)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// A map whose first key was looked at.
struct Opened<A> {
    first: Option<String>,
    map: A,
}

impl<'de, A: de::MapAccess<'de>> de::MapAccess<'de> for Opened<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        match self.first.take() {
            Some(first) => seed.deserialize(first.into_deserializer()).map(Some),
            None => self.map.next_key_seed(seed),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

/// A duration as Prometheus writes it, in whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Seconds(pub(super) i64);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Seconds, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Seconds;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as 30s, 5m or 1h30m")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Seconds, E> {
                parse_duration_s(text).map(Seconds).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// False pages per entity and week, written `1 per 1w`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct PageBudget(pub(super) f64);

impl<'de> Deserialize<'de> for PageBudget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<PageBudget, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = PageBudget;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a page budget such as \"1 per 1w\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<PageBudget, E> {
                let wrong = || E::invalid_value(de::Unexpected::Str(text), &self);
                pages_per_week(text).map(PageBudget).ok_or_else(wrong)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

fn pages_per_week(text: &str) -> Option<f64> {
    const WEEK_S: f64 = 604_800.0;
    let (pages, span) = text.split_once(" per ")?;
    let pages: f64 = pages.trim().parse().ok()?;
    let span_s = parse_duration_s(span.trim()).ok()?;
    let usable = pages > 0.0 && pages.is_finite() && span_s > 0;
    usable.then(|| pages * WEEK_S / span_s as f64)
}

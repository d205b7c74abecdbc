//! Groups and rules as they are written, nothing checked beyond their type.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::Deserializer;
use serde::de;
use serde::de::IgnoredAny;

use crate::math::duration::parse_duration_s;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawGroup {
    pub(super) name: Option<Text>,
    pub(super) interval: Option<Seconds>,
    pub(super) limit: i64,
    pub(super) labels: Labels,
    /// When samples are looked up, not what they say; it moves a label by seconds.
    #[serde(rename = "query_offset")]
    _query_offset: Option<Seconds>,
    /// Thanos' own.
    #[serde(rename = "partial_response_strategy")]
    _partial_response_strategy: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawRule {
    pub(super) alert: Option<Text>,
    pub(super) record: Option<Text>,
    pub(super) expr: Option<Text>,
    #[serde(rename = "for")]
    pub(super) for_: Option<Seconds>,
    pub(super) keep_firing_for: Option<Seconds>,
    pub(super) labels: Labels,
    pub(super) annotations: Labels,
}

pub(super) type Labels = BTreeMap<String, Text>;

/// A text, also where it looks like a number: Prometheus takes `severity: 1`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Text(pub(super) String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text, D::Error> {
        struct Visitor;
        macro_rules! texts {
            ($($visit:ident: $type:ty),*) => {
                $(fn $visit<E: de::Error>(self, value: $type) -> Result<Text, E> {
                    Ok(Text(value.to_string()))
                })*
            };
        }
        impl de::Visitor<'_> for Visitor {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            texts!(visit_str: &str, visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64);

            fn visit_unit<E: de::Error>(self) -> Result<Text, E> {
                Ok(Text(String::new()))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// A duration in whole seconds; `0` needs no quotes.
#[derive(Debug, Clone, Copy)]
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

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Seconds, E> {
                self.visit_str(&number.to_string())
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

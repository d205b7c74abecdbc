//! Reads a YAML mapping field by field and notes everything that is wrong with it, each with its path.

use std::fmt::Display;
use std::ops::RangeInclusive;

use crate::math::duration::parse_duration_s;
use serde_yaml::Mapping;
use serde_yaml::Value;

/// One mapping, at a path.
pub(super) struct Fields<'a> {
    at: String,
    mapping: Mapping,
    known: Vec<&'static str>,
    problems: &'a mut Vec<String>,
}

impl<'a> Fields<'a> {
    /// A value that should be a mapping; an empty one where it is none, which is noted.
    pub(super) fn of(value: Value, at: &str, problems: &'a mut Vec<String>) -> Fields<'a> {
        let mapping = match value {
            Value::Mapping(mapping) => mapping,
            _ => {
                let place = if at.is_empty() { "the file" } else { at };
                problems.push(format!("{place}: wanted fields and their values"));
                Mapping::new()
            }
        };
        Fields { at: at.to_owned(), mapping, known: Vec::new(), problems }
    }

    fn path(&self, name: &str) -> String {
        if self.at.is_empty() { name.to_owned() } else { format!("{}.{name}", self.at) }
    }

    /// Notes that a field is not as wanted.
    pub(super) fn wrong(&mut self, name: &str, what: impl Display) {
        let path = self.path(name);
        self.problems.push(format!("{path}: {what}"));
    }

    /// A field's value as it stands.
    pub(super) fn value(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        self.mapping.get(name).cloned()
    }

    /// A number; `usual` where the field is missing.
    pub(super) fn number(
        &mut self,
        name: &'static str,
        usual: f64,
        wanted: RangeInclusive<f64>,
    ) -> f64 {
        let Some(value) = self.value(name) else { return usual };
        match value.as_f64().filter(|number| wanted.contains(number)) {
            Some(number) => number,
            None => {
                let (low, high) = (wanted.start(), wanted.end());
                self.wrong(name, format!("{}, wanted {low} to {high}", shown(&value)));
                usual
            }
        }
    }

    /// A whole number.
    pub(super) fn count(
        &mut self,
        name: &'static str,
        usual: u64,
        wanted: RangeInclusive<u64>,
    ) -> u64 {
        let Some(value) = self.value(name) else { return usual };
        match value.as_u64().filter(|number| wanted.contains(number)) {
            Some(number) => number,
            None => {
                let (low, high) = (wanted.start(), wanted.end());
                let what = format!("{}, wanted a whole number, {low} to {high}", shown(&value));
                self.wrong(name, what);
                usual
            }
        }
    }

    /// A duration in seconds, such as `2m`; without `usual` the field must be there.
    pub(super) fn seconds(
        &mut self,
        name: &'static str,
        usual: Option<i64>,
        wanted: RangeInclusive<i64>,
    ) -> i64 {
        let (low, high) = (*wanted.start(), *wanted.end());
        let asked = format!("wanted a duration of {low}s to {high}s");
        let fallback = usual.unwrap_or(low);
        let Some(value) = self.value(name) else {
            if usual.is_none() {
                self.wrong(name, format!("missing, {asked}"));
            }
            return fallback;
        };
        let seconds = value.as_str().and_then(|text| parse_duration_s(text).ok());
        match seconds.filter(|seconds| wanted.contains(seconds)) {
            Some(seconds) => seconds,
            None => {
                self.wrong(name, format!("{}, {asked}", shown(&value)));
                fallback
            }
        }
    }

    /// Yes or no; no where the field is missing.
    pub(super) fn flag(&mut self, name: &'static str) -> bool {
        match self.value(name) {
            None => false,
            Some(Value::Bool(flag)) => flag,
            Some(other) => {
                self.wrong(name, format!("{}, wanted true or false", shown(&other)));
                false
            }
        }
    }

    /// A text.
    pub(super) fn text(&mut self, name: &'static str, usual: &str) -> String {
        match self.value(name) {
            None => usual.to_owned(),
            Some(Value::String(text)) => text,
            Some(other) => {
                self.wrong(name, format!("{}, wanted a text", shown(&other)));
                usual.to_owned()
            }
        }
    }

    /// Notes the fields that nobody asked for.
    pub(super) fn end(mut self) {
        let names = self.mapping.keys().map(|key| key.as_str().unwrap_or("?").to_owned());
        let unknown: Vec<String> =
            names.filter(|name| !self.known.contains(&name.as_str())).collect();
        for name in unknown {
            let what = format!("not known, wanted some of {}", self.known.join(", "));
            self.wrong(&name, what);
        }
    }
}

fn shown(value: &Value) -> String {
    serde_yaml::to_string(value).unwrap_or_default().trim().replace('\n', " ")
}

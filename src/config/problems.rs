//! What is wrong with a configuration, each problem with its path and line.

use std::fmt;

use serde::Deserialize;
use serde::Deserializer;
use serde::de;
use serde::de::IgnoredAny;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The path in the file, such as `watches[1].step`; empty for the file itself.
    pub at: String,
    /// Its line, counted from 1, where the path exists.
    pub line: Option<usize>,
    /// What is wrong and what was wanted.
    pub what: String,
}

/// Everything that is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    /// The file's name, for messages.
    pub file: String,
    /// In the order of the file.
    pub list: Vec<Problem>,
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.list.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            f.write_str(&self.file)?;
            if let Some(line) = problem.line {
                write!(f, ":{line}")?;
            }
            if !problem.at.is_empty() {
                write!(f, ": {}", problem.at)?;
            }
            write!(f, ": {}", problem.what)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// A step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

/// `watches[1].queries.in` as steps.
pub(super) fn steps(path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for part in path.split('.').filter(|part| !part.is_empty()) {
        let (key, indices) = part.split_once('[').map_or((part, ""), |(k, i)| (k, i));
        if !key.is_empty() {
            steps.push(Step::Key(key.to_string()));
        }
        let indices = indices.split('[').filter_map(|i| i.trim_end_matches(']').parse().ok());
        steps.extend(indices.map(Step::Index));
    }
    steps
}

/// The line of the value at `path`, or of the nearest thing around it that exists.
///
/// serde_yaml tells places only in errors: so the path is walked and an error is raised on arrival.
pub(super) fn line_of(text: &str, path: &str) -> Option<usize> {
    let steps = steps(path);
    (1..=steps.len()).rev().find_map(|n| {
        let seed = Walk { steps: &steps[..n] };
        let arrived =
            de::DeserializeSeed::deserialize(seed, serde_yaml::Deserializer::from_str(text));
        let error = arrived.err().filter(|e| e.to_string().contains(ARRIVED))?;
        error.location().map(|location| location.line())
    })
}

const ARRIVED: &str = "\u{1}arrived";

struct Walk<'a> {
    steps: &'a [Step],
}

impl<'de> de::DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> de::Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ARRIVED)
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((first, rest)) = self.steps.split_first() else {
            return Err(de::Error::custom(ARRIVED));
        };
        while let Some(key) = map.next_key::<Key>()? {
            if matches!(first, Step::Key(wanted) if *wanted == key.0) {
                map.next_value_seed(Walk { steps: rest })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Some((first, rest)) = self.steps.split_first() else {
            return Err(de::Error::custom(ARRIVED));
        };
        let Step::Index(wanted) = first else {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(());
        };
        for _ in 0..*wanted {
            if seq.next_element::<IgnoredAny>()?.is_none() {
                return Ok(());
            }
        }
        seq.next_element_seed(Walk { steps: rest })?;
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

/// A key of any scalar type, as text.
struct Key(String);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Key, D::Error> {
        let value = serde_yaml::Value::deserialize(deserializer)?;
        Ok(Key(match value {
            serde_yaml::Value::String(text) => text,
            other => serde_yaml::to_string(&other).unwrap_or_default().trim().to_string(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found() {
        let text = "source: {}\nwatches:\n  - name: a\n    step: 0s\n  - name: b\n    train: {every: 1d}\n";
        assert_eq!(line_of(text, "watches[0].step"), Some(4));
        assert_eq!(line_of(text, "watches[1].name"), Some(5));
        assert_eq!(line_of(text, "watches[1].train.every"), Some(6));
        assert_eq!(line_of(text, "watches[1].absent"), Some(5));
        assert_eq!(line_of(text, "absent"), None);
    }
}

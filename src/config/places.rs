//! The line of everything in a file.
//!
//! Owns: one walk over the text, after which a line costs a look-up, however many are wanted.
//! Does not own: what is wrong there.
//!
//! serde_yaml tells places only in errors. So the walk refuses every key and every element that is a
//! scalar, reads the place out of the refusal, and goes on: a scalar that was refused is behind it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

use serde::de;
use serde::de::DeserializeSeed;
use serde::de::Deserializer;
use serde::de::IgnoredAny;

/// The lines of a text, counted from 1.
#[derive(Debug, Default)]
pub(super) struct Places {
    lines: HashMap<String, usize>,
    /// Keys that a mapping has twice: the path, the first line and the second.
    pub(super) twice: Vec<(String, usize, usize)>,
    /// Where a second document has its first word.
    pub(super) second_document: Option<usize>,
}

impl Places {
    /// Walks the text once. What comes after a mistake of YAML's has no lines.
    pub(super) fn of(text: &str) -> Places {
        let mut places = Places::default();
        let mut documents = serde_yaml::Deserializer::from_str(text);
        if let Some(first) = documents.next() {
            let walked = Walk { at: String::new(), places: &mut places }.deserialize(first);
            // After a mistake of YAML's the rest would be taken for another document.
            if walked.is_err_and(|error| refused_in(&error).is_none()) {
                return places;
            }
        }
        let mut second = Places::default();
        let walk = Walk { at: String::new(), places: &mut second };
        places.second_document =
            documents.next().map(|document| match walk.deserialize(document) {
                Ok(line) => line.unwrap_or(1),
                Err(error) => refused_in(&error).unwrap_or(1),
            });
        places
    }

    /// The line of a path such as `watches[1].step`, or of the nearest thing around it that exists.
    pub(super) fn line(&self, at: &str) -> Option<usize> {
        let mut at = at;
        loop {
            match self.lines.get(at) {
                Some(line) => return Some(*line),
                None => at = &at[..at.rfind(['.', '['])?],
            }
        }
    }
}

/// The path of what is inside another.
pub(super) fn join(outer: &str, inner: &str) -> String {
    match (outer, inner.starts_with('[')) {
        ("", _) => inner.to_string(),
        (_, true) => format!("{outer}{inner}"),
        (_, false) => format!("{outer}.{inner}"),
    }
}

const REFUSED: &str = "\u{1}refused";

/// The line in the error that [`REFUSED`] raised; `None` for any other error.
fn refused_in(error: &impl fmt::Display) -> Option<usize> {
    let text = error.to_string();
    let (_, after) = text.rsplit_once(REFUSED)?;
    // The very first character of a text has no line in serde_yaml's messages.
    let line = after.trim_start_matches(" at line ").split(' ').next();
    Some(line.and_then(|line| line.parse().ok()).unwrap_or(1))
}

/// Notes the lines of everything in a value; gives the first of them. Refuses a scalar.
struct Walk<'a> {
    at: String,
    places: &'a mut Places,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<usize>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

macro_rules! refuse {
    ($($visit:ident: $type:ty),*) => {
        $(fn $visit<E: de::Error>(self, _: $type) -> Result<Self::Value, E> {
            Err(E::custom(REFUSED))
        })*
    };
}

impl<'de> de::Visitor<'de> for Walk<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value without a tag")
    }

    refuse!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_i128: i128, visit_u128: u128,
        visit_f64: f64, visit_str: &str);

    fn visit_unit<E: de::Error>(self) -> Result<Option<usize>, E> {
        Err(E::custom(REFUSED))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Option<usize>, A::Error> {
        let mut first = None;
        loop {
            let mut name = None;
            let error = match map.next_key_seed(Key { name: &mut name }) {
                Ok(Some(())) => continue,
                Ok(None) => return Ok(first),
                Err(error) => error,
            };
            let (Some(name), Some(line)) = (name, refused_in(&error)) else { return Err(error) };
            first = first.or(Some(line));
            let at = join(&self.at, &name);
            match self.places.lines.entry(at.clone()) {
                Entry::Occupied(known) => {
                    self.places.twice.push((at, *known.get(), line));
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
                Entry::Vacant(new) => drop(new.insert(line)),
            }
            match map.next_value_seed(Walk { at, places: self.places }) {
                Err(error) if refused_in(&error).is_none() => return Err(error),
                _ => {}
            }
        }
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Option<usize>, A::Error> {
        let mut first = None;
        for i in 0.. {
            let at = format!("{}[{i}]", self.at);
            let line = match seq.next_element_seed(Walk { at: at.clone(), places: self.places }) {
                Ok(Some(line)) => line,
                Ok(None) => break,
                Err(error) => Some(refused_in(&error).ok_or(error)?),
            };
            if let Some(line) = line {
                first = first.or(Some(line));
                self.places.lines.insert(at, line);
            }
        }
        Ok(first)
    }
}

/// Takes the text of a key and refuses it.
struct Key<'a> {
    name: &'a mut Option<String>,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl de::Visitor<'_> for Key<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<(), E> {
        *self.name = Some(name.to_string());
        Err(E::custom(REFUSED))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found() {
        let text = "source: {}\nwatches:\n  - name: a\n    step: 0s\n    1: x\n  - name: b\n    \
            train: {every: 1d}\n    entity:\n    - x\n    - [y,\n       z]\n  - c\n";
        let places = Places::of(text);
        let cases = [
            ("source", Some(1)),
            ("watches", Some(2)),
            ("watches[0]", Some(3)),
            ("watches[0].step", Some(4)),
            ("watches[0].1", Some(5)),
            ("watches[1].name", Some(6)),
            ("watches[1].train.every", Some(7)),
            ("watches[1].absent", Some(6)),
            ("watches[1].entity[0]", Some(9)),
            ("watches[1].entity[1][1]", Some(11)),
            ("watches[2]", Some(12)),
            ("watches[9].step", Some(2)),
            ("absent", None),
        ];
        for (at, line) in cases {
            assert_eq!(places.line(at), line, "{at}");
        }
        assert_eq!((places.twice, places.second_document), (vec![], None));
    }

    #[test]
    fn what_yaml_refuses_is_found() {
        let text = "a: {d: 1}\nb:\n  c: 1\n  d: 2\n  c: 3\na: {d: 4}\n---\n\ne: 5\n";
        let places = Places::of(text);
        assert_eq!(places.twice, [("b.c".to_string(), 3, 5), ("a".to_string(), 1, 6)]);
        assert_eq!(places.second_document, Some(9));
        let torn = Places::of("a: 1\nb: 'c\n");
        assert_eq!((torn.line("a"), torn.second_document), (Some(1), None));
        assert_eq!(Places::of("").line("a"), None);
    }
}

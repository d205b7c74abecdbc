//! What is measured: entities, grids, series, windows.
//!
//! Owns: the shape of data in memory. A gap is NaN, never zero.
//! Does not own: where samples come from (`source`) or how windows are cut (`window`).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// One combination of a watch's entity labels: a CoreDNS job, a replica, a port.
///
/// Written `name=value,name=value`, sorted by name; a name or value that holds `,`, `=`, `"`, `\` or a
/// line break, or begins or ends with space, is written in double quotes with `\` escapes.
///
/// Cheap to clone: every model, streak and verdict of a thousand ports names its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "BTreeMap<String, String>", into = "BTreeMap<String, String>")]
pub struct Entity(Arc<[(Box<str>, Box<str>)]>);

impl Entity {
    /// An entity of these label pairs. Empty values are dropped: to Prometheus they are absent.
    pub fn new<K: Into<String>, V: Into<String>>(
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Entity {
        let pairs = pairs.into_iter().map(|(k, v)| (k.into(), v.into()));
        // Sorted, and of a name that is given twice the last value.
        let pairs: BTreeMap<String, String> = pairs.collect();
        let pairs = pairs.into_iter().filter(|(_, v)| !v.is_empty());
        Entity(pairs.map(|(k, v)| (k.into(), v.into())).collect())
    }

    /// The value of one label.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs().find(|(k, _)| *k == name).map(|(_, v)| v)
    }

    /// All label pairs, sorted by name.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(k, v)| (k.as_ref(), v.as_ref()))
    }
}

impl From<BTreeMap<String, String>> for Entity {
    fn from(pairs: BTreeMap<String, String>) -> Entity {
        Entity::new(pairs)
    }
}

impl From<Entity> for BTreeMap<String, String> {
    fn from(entity: Entity) -> BTreeMap<String, String> {
        entity.pairs().map(|(k, v)| (k.to_string(), v.to_string())).collect()
    }
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, value)) in self.pairs().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            write!(f, "{}={}", quoted(name), quoted(value))?;
        }
        Ok(())
    }
}

/// The text, in quotes where it could be read as something else.
fn quoted(text: &str) -> Cow<'_, str> {
    if !text.contains([',', '=', '"', '\\', '\n']) && text.trim() == text {
        return Cow::Borrowed(text);
    }
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    Cow::Owned(format!("\"{escaped}\""))
}

/// Why a text is not an entity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("entity {text:?}: {problem}; wanted name=value,name=value")]
pub struct EntityError {
    text: String,
    problem: &'static str,
}

impl FromStr for Entity {
    type Err = EntityError;

    fn from_str(text: &str) -> Result<Entity, EntityError> {
        let fail = |problem| EntityError { text: text.to_string(), problem };
        let mut pairs = BTreeMap::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let unclosed = || fail("a quote that is not closed");
            let (name, after) = token(rest, '=').ok_or_else(unclosed)?;
            let after = after.trim_start().strip_prefix('=');
            let after = after.ok_or_else(|| fail("a part without ="))?;
            if name.is_empty() {
                return Err(fail("an empty label name"));
            }
            let (value, after) = token(after, ',').ok_or_else(unclosed)?;
            if pairs.insert(name, value).is_some() {
                return Err(fail("a label named twice"));
            }
            rest = match after.trim_start().strip_prefix(',') {
                Some(more) => more.trim_start(),
                None if after.trim().is_empty() => "",
                None => return Err(fail("text after a closing quote")),
            };
        }
        Ok(Entity::new(pairs))
    }
}

/// One name or value, bare up to `end` or quoted, and the text after it.
fn token(text: &str, end: char) -> Option<(String, &str)> {
    let text = text.trim_start();
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(end).unwrap_or(text.len());
        return Some((text[..end].trim().to_string(), &text[end..]));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((i, c)) = chars.next() {
        match c {
            '"' => return Some((value, &quoted[i + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

/// Regular times: `start_s`, `start_s + step_s`, … (`len` of them), in unix seconds.
///
/// Grids are aligned: `start_s` is a multiple of `step_s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grid {
    /// First time.
    pub start_s: i64,
    /// Distance of two times; above zero.
    pub step_s: i64,
    /// Number of times.
    pub len: usize,
}

impl Grid {
    /// The aligned grid that covers the half-open `from_s..to_s`: every multiple of the step in it.
    pub fn covering(from_s: i64, to_s: i64, step_s: i64) -> Grid {
        let start_s = from_s.div_euclid(step_s) * step_s
            + if from_s.rem_euclid(step_s) > 0 { step_s } else { 0 };
        let len = if to_s > start_s { (to_s - start_s - 1) / step_s + 1 } else { 0 };
        Grid { start_s, step_s, len: len as usize }
    }

    /// The time of row `i`.
    pub fn time(&self, i: usize) -> i64 {
        self.start_s + i as i64 * self.step_s
    }

    /// One step after the last time.
    pub fn end_s(&self) -> i64 {
        self.time(self.len)
    }

    /// The first row at `time_s` or later; `len` where there is none.
    pub fn at_or_after(&self, time_s: i64) -> usize {
        let before = (time_s.saturating_sub(self.start_s)).max(0) as u64;
        (before.div_ceil(self.step_s as u64) as usize).min(self.len)
    }

    /// The row of exactly this time.
    pub fn index(&self, time_s: i64) -> Option<usize> {
        let offset = time_s - self.start_s;
        let inside =
            offset >= 0 && offset % self.step_s == 0 && offset / self.step_s < self.len as i64;
        inside.then_some((offset / self.step_s) as usize)
    }
}

/// Samples of an entity's features on a grid, newest last (the FIFO of the CoreDNS RFC).
///
/// Rows are times, columns are features; `values` is row-major, `grid.len * n_features` long;
/// NaN is a gap.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// When.
    pub grid: Grid,
    /// Number of columns.
    pub n_features: usize,
    /// Row-major values; NaN is a gap.
    pub values: Vec<f64>,
}

impl Window {
    /// A window of gaps.
    pub fn gaps(grid: Grid, n_features: usize) -> Window {
        Window { grid, n_features, values: vec![f64::NAN; grid.len * n_features] }
    }

    /// A window of one feature.
    pub fn single(grid: Grid, values: Vec<f64>) -> Window {
        debug_assert_eq!(grid.len, values.len());
        Window { grid, n_features: 1, values }
    }

    /// The features at row `i`.
    pub fn row(&self, i: usize) -> &[f64] {
        &self.values[i * self.n_features..(i + 1) * self.n_features]
    }

    /// The features at row `i`.
    pub fn row_mut(&mut self, i: usize) -> &mut [f64] {
        &mut self.values[i * self.n_features..(i + 1) * self.n_features]
    }

    /// Whether row `i` has a sample of any feature.
    pub fn has_data(&self, i: usize) -> bool {
        self.row(i).iter().any(|v| !v.is_nan())
    }

    /// The first row with data and the last; `None` where all are gaps.
    pub fn extent(&self) -> Option<(usize, usize)> {
        let first = (0..self.grid.len).find(|&i| self.has_data(i))?;
        let last = (0..self.grid.len).rev().find(|&i| self.has_data(i))?;
        Some((first, last))
    }

    /// One feature over all rows.
    pub fn column(&self, feature: usize) -> Vec<f64> {
        self.values.iter().skip(feature).step_by(self.n_features.max(1)).copied().collect()
    }

    /// The rows `from..to`.
    pub fn slice(&self, from: usize, to: usize) -> Window {
        let grid = Grid { start_s: self.grid.time(from), len: to - from, ..self.grid };
        let values = self.values[from * self.n_features..to * self.n_features].to_vec();
        Window { grid, n_features: self.n_features, values }
    }

    /// The columns `features`, in that order.
    pub fn select(&self, features: &[usize]) -> Window {
        self.select_known(&features.iter().map(|&f| Some(f)).collect::<Vec<_>>())
    }

    /// The columns `features`, in that order; `None` is a column of gaps.
    pub fn select_known(&self, features: &[Option<usize>]) -> Window {
        let cell = |i: usize, f: &Option<usize>| f.map_or(f64::NAN, |f| self.row(i)[f]);
        let row = |i: usize| features.iter().map(move |f| cell(i, f));
        let values = (0..self.grid.len).flat_map(row).collect();
        Window { grid: self.grid, n_features: features.len(), values }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entity_round_trips() {
        for pairs in [
            vec![("job", "coredns")],
            vec![("ifName", "Gi1/0,5"), ("instance", "a\"b\\c=d")],
            vec![("job", " x"), ("instance", "a\t")],
            vec![("a=b, c", "d"), ("\"", "\n")],
            vec![],
        ] {
            let entity = Entity::new(pairs);
            assert_eq!(entity.to_string().parse(), Ok(entity));
        }
    }

    #[test]
    fn space_around_names_and_values_needs_quotes_to_count() {
        let read = |text: &str| text.parse::<Entity>().unwrap();
        assert_eq!(read(" job = x , instance= \"y\" "), read("instance=y,job=x"));
        assert_eq!(Entity::new([("job", " x")]).to_string(), "job=\" x\"");
        assert_eq!(read("job=\" x\"").get("job"), Some(" x"));
    }

    proptest::proptest! {
        #[test]
        fn any_entity_round_trips(pairs in proptest::collection::btree_map(".{1,4}", ".{0,4}", 0..3)) {
            let entity = Entity::new(pairs);
            proptest::prop_assert_eq!(entity.to_string().parse(), Ok(entity));
        }
    }

    #[test]
    fn entity_errors_say_what_was_wanted() {
        for bad in ["job", "=x", "job=\"x", "job=a,job=b", "job=\"a\"b"] {
            let error = bad.parse::<Entity>().unwrap_err().to_string();
            assert!(error.ends_with("wanted name=value,name=value"), "{error}");
        }
    }

    #[test]
    fn grid_covers_aligned_times() {
        let grid = Grid::covering(61, 121, 30);
        assert_eq!((grid.start_s, grid.len, grid.end_s()), (90, 2, 150));
        assert_eq!(Grid::covering(60, 121, 30).len, 3);
        assert_eq!(Grid::covering(60, 60, 30).len, 0);
        let rows = [i64::MIN, 90, 91, 120, 121, i64::MAX].map(|time_s| grid.at_or_after(time_s));
        assert_eq!(rows, [0, 0, 1, 1, 2, 2], "{grid:?}");
        assert_eq!((grid.index(120), grid.index(121), grid.index(150)), (Some(1), None, None));
    }
}

//! Reads `/metrics`: names, labels and values, without types and help.

use std::collections::BTreeMap;

/// One line of an exposition.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

/// A whole scrape.
pub(crate) struct Metrics(Vec<Sample>);

impl Metrics {
    /// Reads the text format 0.0.4. A line that is no sample is a failure of the test.
    pub(crate) fn parse(text: &str) -> Metrics {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let sample = |line| sample(line).unwrap_or_else(|| panic!("no sample: {line}"));
        Metrics(lines.map(sample).collect())
    }

    /// The samples of this name that have all of these labels.
    pub(crate) fn all(&self, name: &str, labels: &[(&str, &str)]) -> Vec<&Sample> {
        let has = |sample: &&Sample| {
            sample.name == name
                && labels.iter().all(|(k, v)| sample.labels.get(*k).is_some_and(|have| have == v))
        };
        self.0.iter().filter(has).collect()
    }

    /// Every sample.
    pub(crate) fn samples(&self) -> &[Sample] {
        &self.0
    }

    /// The first of them.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        self.all(name, labels).first().map(|sample| sample.value)
    }

    /// Their sum, 0 without any.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.all(name, labels).iter().map(|sample| sample.value).sum()
    }
}

/// `name{label="value",…} value [timestamp]`
fn sample(line: &str) -> Option<Sample> {
    let end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(inside) => labels(inside)?,
        None => (BTreeMap::new(), rest),
    };
    let value = match rest.split_whitespace().next()? {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        number => number.parse().ok()?,
    };
    Some(Sample { name: name.to_owned(), labels, value })
}

/// What stands between the braces, and the rest of the line.
fn labels(mut rest: &str) -> Option<(BTreeMap<String, String>, &str)> {
    let mut found = BTreeMap::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((found, rest));
        }
        let (name, after) = rest.split_once("=\"")?;
        let (value, after) = quoted(after)?;
        found.insert(name.to_owned(), value);
        rest = after;
    }
}

/// A value up to its closing quote, with its escapes undone.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

#[test]
fn lines_are_read_as_prometheus_would() {
    let text = "# HELP a b\na 1\nb{x=\"1\",y=\"a\\\"b,}\"} 2.5e3 1700000000\nb{x=\"2\",} +Inf\n";
    let metrics = Metrics::parse(text);
    assert_eq!(metrics.value("a", &[]), Some(1.0));
    assert_eq!(metrics.value("b", &[("y", "a\"b,}")]), Some(2500.0));
    assert_eq!(metrics.value("b", &[("x", "2")]), Some(f64::INFINITY));
    assert_eq!(metrics.value("b", &[("x", "3")]), None);
    assert_eq!(metrics.sum("a", &[]), 1.0);
}

//! Metric families as values: what a simulated server says, before anybody writes it down.
//!
//! Owns: names, types, help texts, histograms. Does not own: the text of a scrape or of a history (`exposition`).

/// A metric's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// Goes up, and begins again with its process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by size.
    Histogram,
}

/// One family.
#[derive(Debug, PartialEq, Eq)]
pub struct Family {
    /// As in a scrape; a counter's with its `_total`.
    pub name: &'static str,
    /// Its type.
    pub kind: Type,
    /// What the server says of it.
    pub help: &'static str,
}

/// Takes one sample: its family, what its name has more (`_bucket`, `_sum`, `_count`), its labels by name, its value.
pub type Say<'a> = dyn FnMut(&'static Family, &'static str, &[(&str, &str)], f64) + 'a;

/// Counts by size. Without a count it does not exist yet.
#[derive(Debug, Clone)]
pub(super) struct Histogram {
    bounds: &'static [(f64, &'static str)],
    counts: Vec<u64>,
    sum: f64,
}

impl Histogram {
    /// One with these upper bounds, as numbers and as in `le`.
    pub(super) fn new(bounds: &'static [(f64, &'static str)]) -> Histogram {
        Histogram { bounds, counts: vec![0; bounds.len() + 1], sum: 0.0 }
    }

    pub(super) fn observe(&mut self, value: f64) {
        let over = self.bounds.iter().position(|(bound, _)| value <= *bound);
        self.counts[over.unwrap_or(self.bounds.len())] += 1;
        self.sum += value;
    }

    /// Its samples, with what `labels` holds; `le` comes last. Nothing before the first observation.
    pub(super) fn say(&self, say: &mut Say, family: &'static Family, labels: &[(&str, &str)]) {
        if self.counts.iter().all(|count| *count == 0) {
            return;
        }
        let mut with_le = labels.to_vec();
        with_le.push(("le", "+Inf"));
        let last = with_le.len() - 1;
        let mut count = 0;
        for (i, own) in self.counts.iter().enumerate() {
            count += own;
            with_le[last].1 = self.bounds.get(i).map_or("+Inf", |(_, text)| text);
            say(family, "_bucket", &with_le, count as f64);
        }
        say(family, "_sum", labels, self.sum);
        say(family, "_count", labels, count as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_up_to_each_bound_and_begins_with_its_first_value() {
        static FAMILY: Family = Family { name: "a_seconds", kind: Type::Histogram, help: "" };
        let mut histogram = Histogram::new(&[(0.5, "0.5"), (1.0, "1")]);
        let mut said = Vec::new();
        let text = |histogram: &Histogram, said: &mut Vec<String>| {
            histogram.say(
                &mut |_, more, labels, value| said.push(format!("{more} {labels:?} {value}")),
                &FAMILY,
                &[],
            );
        };
        text(&histogram, &mut said);
        assert!(said.is_empty());
        [0.5, 0.75, 2.0].into_iter().for_each(|value| histogram.observe(value));
        text(&histogram, &mut said);
        let wanted = [
            r#"_bucket [("le", "0.5")] 1"#,
            r#"_bucket [("le", "1")] 2"#,
            r#"_bucket [("le", "+Inf")] 3"#,
            "_sum [] 3.25",
            "_count [] 3",
        ];
        assert_eq!(said, wanted);
    }
}

//! What the log was told already: what fails in every pass is said once, and once more when it is over.

use std::collections::BTreeMap;

/// What fails, with the kind of its failure.
#[derive(Debug, Default)]
pub(super) struct Complaints(BTreeMap<String, &'static str>);

/// What changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changed {
    /// What fails since now, or in another way than before.
    pub(super) begun: Vec<String>,
    /// What fails no longer.
    pub(super) over: Vec<String>,
}

impl Complaints {
    /// What fails.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Takes what fails now, all of it, and says what is new of that.
    pub(super) fn now(&mut self, failing: BTreeMap<String, &'static str>) -> Changed {
        let begun = failing.iter().filter(|(name, kind)| self.0.get(*name) != Some(kind));
        let over = self.0.keys().filter(|name| !failing.contains_key(*name));
        let begun = begun.map(|(name, _)| name.clone()).collect();
        let over = over.cloned().collect();
        self.0 = failing;
        Changed { begun, over }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_on_is_said_once() {
        let mut complaints = Complaints::default();
        let mut changed = |failing: &[(&str, &'static str)]| {
            let failing = failing.iter().map(|(name, kind)| (name.to_string(), *kind));
            let Changed { begun, over } = complaints.now(failing.collect());
            (begun.join(","), over.join(","))
        };
        let said = |begun: &str, over: &str| (begun.to_string(), over.to_string());
        assert_eq!(changed(&[("in", "bad_query")]), said("in", ""));
        assert_eq!(changed(&[("in", "bad_query")]), said("", ""));
        assert_eq!(changed(&[("in", "bad_query"), ("out", "bad_query")]), said("out", ""));
        assert_eq!(changed(&[("in", "native_histogram")]), said("in", "out"));
        assert_eq!(changed(&[]), said("", "in"));
        assert_eq!(changed(&[("in", "bad_query")]), said("in", ""), "again");
    }
}

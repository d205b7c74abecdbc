//! Why there is no score: which of an entity's samples and models are there for its newest point.

use std::collections::BTreeSet;

use super::Loaded;
use super::judge::COMBINED;
use super::judge::Verdict;
use crate::gather::Problem;
use crate::series::Window;
use crate::watch::Watch;

/// What an entity's newest point is made of.
pub(super) struct Input {
    /// Whether there is a sample, by feature.
    present: Vec<bool>,
}

impl Input {
    /// The rows of the newest point, and those after it that make no point yet.
    pub(super) fn of(watch: &Watch, rows: &Window, newest_s: i64) -> Input {
        let newest = rows.grid.at_or_after(newest_s)..rows.grid.len;
        let newest: Vec<&[f64]> = newest.map(|i| rows.row(i)).collect();
        let is_there = |feature: usize| newest.iter().any(|row| !row[feature].is_nan());
        Input { present: (0..watch.features.len()).map(is_there).collect() }
    }

    /// Whether one of a member's features (`None`: any) is there.
    fn has(&self, feature: Option<usize>) -> bool {
        feature.map_or_else(|| self.present.contains(&true), |feature| self.present[feature])
    }

    /// Whether a model of the settings is missing for samples that are there.
    pub(super) fn lacks_model(&self, watch: &Watch, models: &[Loaded]) -> bool {
        // Who learns from incidents may well have none to learn from.
        let members = watch.members().into_iter().filter(|(detector, _)| !detector.supervised());
        members.into_iter().any(|(detector, feature)| {
            let name = feature.map(|f| watch.features[f].name.as_str());
            let fits = |loaded: &Loaded| {
                loaded.key.feature.as_deref() == name && loaded.key.detector == detector.name()
            };
            self.has(feature) && !models.iter().any(fits)
        })
    }

    /// Why each feature that has a model of its own (`None`: all of them together) has no score. What
    /// holds for all of them is said once.
    pub(super) fn problems(
        &self,
        watch: &Watch,
        models: &[Loaded],
        verdicts: &[Verdict],
    ) -> BTreeSet<(Option<String>, Problem)> {
        let name = |feature: usize| watch.features[feature].name.clone();
        let judged: BTreeSet<_> = watch.members().into_iter().map(|(_, feature)| feature).collect();
        let mut problems = BTreeSet::new();
        for feature in &judged {
            let own = feature.map(name);
            let scored = |v: &Verdict| v.member.detector == COMBINED && v.member.feature == own;
            if !verdicts.iter().any(scored) {
                let of: Vec<_> = models.iter().filter(|m| m.key.feature == own).collect();
                problems.insert((own, self.problem(*feature, &of)));
            }
        }
        if problems.len() == judged.len()
            && let Some(first) = problems.first().map(|(_, problem)| *problem)
            && problems.iter().all(|(_, problem)| *problem == first)
        {
            problems = BTreeSet::from([(None, first)]);
        }
        if problems.contains(&(None, Problem::Gap)) {
            let absent = (0..self.present.len()).filter(|&feature| !self.present[feature]);
            problems.extend(absent.map(|feature| (Some(name(feature)), Problem::Absent)));
        }
        problems
    }

    fn problem(&self, feature: Option<usize>, models: &[&Loaded]) -> Problem {
        let calibrated = models.iter().all(|loaded| loaded.model.calibrated());
        match (models.is_empty(), self.has(feature), calibrated) {
            (true, ..) => Problem::NoModel,
            (_, false, _) => Problem::Absent,
            (.., false) => Problem::Uncalibrated,
            _ => Problem::Gap,
        }
    }
}

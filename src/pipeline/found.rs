//! What a pass found, for a person or a program that asks once instead of scraping.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use serde::Serialize;

use super::State;
use super::judge;
use super::judge::COMBINED;
use super::judge::Judged;
use crate::model::Band;
use crate::series::Entity;
use crate::watch::Watch;

/// The newest score of a feature (`None`: of all together) of an entity, by one detector or all combined.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Found {
    /// The watch.
    pub watch: String,
    /// Whose.
    pub entity: Entity,
    /// Of which feature.
    pub feature: Option<String>,
    /// By whom; `combined` is the one to page on.
    pub detector: String,
    /// The time of the newest row of the point, in unix seconds.
    pub time_s: i64,
    /// ≥ 0; 1 is the threshold.
    pub score: f64,
    /// Points in a row above 1.
    pub streak_points: u32,
    /// Whether they are enough for an anomaly.
    pub anomaly: bool,
    /// What was measured and expected, in the unit of the query, of detectors that forecast.
    #[serde(flatten)]
    pub band: Option<Band>,
}

/// What a detector that learnt from incidents takes the newest point of an entity for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Opined {
    /// The watch.
    pub watch: String,
    /// Whose.
    pub entity: Entity,
    /// By whom.
    pub detector: String,
    /// The time of the newest row of the point, in unix seconds.
    pub time_s: i64,
    /// The most probable classes, the likeliest first; what is missing to 1 is the probability of others, and that
    /// all is well.
    pub classes: Vec<Probable>,
    /// The labelled incidents that it is most like, nearest first; none while the combined score is not above 1.
    pub similar: Vec<Alike>,
}

/// How probable a class is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Probable {
    /// The kind of anomaly; `unknown` is like nothing that was learnt.
    pub class: String,
    /// 0 to 1.
    pub probability: f64,
}

/// A labelled incident.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Alike {
    /// Its beginning, as the label `incident` of `portent_similar_incident_distance`.
    pub incident: String,
    /// What it was, if anybody said so.
    pub class: Option<String>,
    /// 0 is the same.
    pub distance: f64,
}

/// Why something has no score, or one that rests on less than it should.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Missing {
    /// The watch.
    pub watch: String,
    /// Whose.
    pub entity: Entity,
    /// Of which feature.
    pub feature: Option<String>,
    /// The value of the label `reason` of `portent_input_problem`.
    pub reason: &'static str,
}

/// All that the newest pass found.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Findings {
    /// Scores.
    pub scores: Vec<Found>,
    /// What detectors that learnt from incidents say beside their scores.
    pub opinions: Vec<Opined>,
    /// What lacks one, and why.
    pub missing: Vec<Missing>,
    /// Series that a scrape sees of each entity's results.
    #[serde(skip)]
    pub n_series: BTreeMap<Entity, usize>,
}

impl Findings {
    pub(super) fn of<'a>(
        watch: &Watch,
        state: &State,
        judged: impl Iterator<Item = (&'a Entity, &'a Judged)>,
    ) -> Findings {
        let mut findings = Findings::default();
        let missing = |entity: &Entity, feature: Option<&str>, reason| Missing {
            watch: watch.name.clone(),
            entity: entity.clone(),
            feature: feature.map(String::from),
            reason,
        };
        for (entity, problem) in &state.problems {
            findings.missing.push(missing(entity, None, problem.reason()));
        }
        for (entity, judged) in judged {
            findings.scores.extend(judge::found(watch, entity, judged));
            findings.opinions.extend(judge::opined(watch, entity, judged));
            let n_series = judge::samples(watch, entity, judged).len();
            findings.n_series.insert(entity.clone(), n_series);
            let problems = judged.problems(entity);
            findings
                .missing
                .extend(problems.map(|(e, f, problem)| missing(e, f, problem.reason())));
        }
        findings.missing.sort();
        findings.missing.dedup();
        findings
    }

    /// Combined scores above 1.
    pub fn above(&self) -> impl Iterator<Item = &Found> {
        self.scores.iter().filter(|found| found.detector == COMBINED && found.score > 1.0)
    }

    /// What is said of those whose combined score is above 1.
    pub fn opinions_above(&self) -> impl Iterator<Item = &Opined> {
        let above: BTreeSet<&Entity> = self.above().map(|found| &found.entity).collect();
        self.opinions.iter().filter(move |opined| above.contains(&opined.entity))
    }
}

//! The arithmetic of a pass: rows and models in, verdicts out. No clock, no IO.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use super::Loaded;
use super::found::Alike;
use super::found::Found;
use super::found::Opined;
use super::found::Probable;
use super::input::Input;
use crate::detect::Opinion;
use crate::detect::Similar;
use crate::export::Labels;
use crate::export::Metric;
use crate::export::ModelFact;
use crate::export::Sample;
use crate::gather::Problem;
use crate::model::Band;
use crate::model::Point;
use crate::score::Streak;
use crate::score::THRESHOLD;
use crate::score::Witnesses;
use crate::series::Entity;
use crate::series::Window;
use crate::store::SavedStreak;
use crate::verdict::Interval;
use crate::verdict::rfc3339;
use crate::watch::Watch;
use crate::window::Fifo;

/// The detector that stands for all of an entity's (feature's) detectors together.
pub(super) const COMBINED: &str = "combined";

/// Classes whose probability is shown, the most probable ones.
const SHOWN_CLASSES: usize = 5;

/// An entity that was not seen for this long, at least, is forgotten.
const FORGET_S: i64 = 86_400;

/// An entity that was not seen for this long, at least, was replaced, if others are there.
const SILENT_S: i64 = 3_600;

/// One entity between two passes.
pub(super) struct Tracked {
    pub(super) fifo: Fifo,
    /// It left, and that was told for long enough: nothing is said of it.
    pub(super) silent: bool,
    /// The time of its newest sample.
    last_seen_s: i64,
    held: BTreeMap<Member, Held>,
    last: Judged,
}

/// A streak is held per detector and feature.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Member {
    pub(super) feature: Option<String>,
    pub(super) detector: String,
}

#[derive(Debug, Clone, Copy, Default)]
struct Held {
    streak: Streak,
    /// The first point not judged yet.
    next_s: Option<i64>,
    /// As the store knows it.
    stored_points: u32,
}

/// What a pass found for one entity.
#[derive(Debug, Clone, Default)]
pub(super) struct Judged {
    time_s: Option<i64>,
    /// Of the models that judged, in the order of their keys.
    versions: Vec<i64>,
    verdicts: Vec<Verdict>,
    contributions: Vec<(String, String, f64)>,
    /// Of the detectors that learnt from labels, by name.
    opinions: Vec<(String, Opinion)>,
    /// Why a feature (`None`: the entity) has no score.
    problems: BTreeSet<(Option<String>, Problem)>,
    /// Whether there are samples that a model of the settings is missing for.
    pub(super) lacks_model: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Verdict {
    pub(super) member: Member,
    score: f64,
    streak: Streak,
    band: Option<Band>,
}

impl Judged {
    /// Combined scores above 1.
    pub(super) fn n_above(&self) -> usize {
        self.verdicts.iter().filter(|v| v.member.detector == COMBINED && v.score > 1.0).count()
    }

    /// What is wrong with `entity`, and with which feature.
    pub(super) fn problems<'a>(
        &'a self,
        entity: &'a Entity,
    ) -> impl Iterator<Item = (&'a Entity, Option<&'a str>, Problem)> {
        self.problems.iter().map(move |(feature, problem)| (entity, feature.as_deref(), *problem))
    }
}

impl Tracked {
    pub(super) fn new(fifo: Fifo, restored: Vec<SavedStreak>) -> Tracked {
        let held = restored.into_iter().map(|row| {
            let streak = Streak { points: row.points };
            let next_s = Some(row.last_scored_s + 1);
            let member = Member { feature: row.feature, detector: row.detector };
            (member, Held { streak, next_s, stored_points: row.points })
        });
        let held = held.collect();
        let last_seen_s = fifo.window().grid.start_s;
        Tracked { fifo, silent: false, last_seen_s, held, last: Judged::default() }
    }

    pub(super) fn append(&mut self, window: &Window) {
        self.fifo.advance(window.grid.end_s());
        for row in 0..window.grid.len {
            let time_s = window.grid.time(row);
            for (feature, value) in window.row(row).iter().enumerate().filter(|(_, v)| !v.is_nan())
            {
                self.fifo.set(time_s, feature, *value);
                self.last_seen_s = self.last_seen_s.max(time_s);
            }
        }
    }

    fn unsaved(&self, entity: &Entity) -> impl Iterator<Item = SavedStreak> {
        let unsaved = self.held.iter().filter(|(_, held)| held.streak.points != held.stored_points);
        unsaved.filter_map(|(Member { feature, detector }, held)| {
            let (entity, feature, detector) = (entity.clone(), feature.clone(), detector.clone());
            let (points, last_scored_s) = (held.streak.points, held.next_s? - 1);
            Some(SavedStreak { entity, feature, detector, points, last_scored_s })
        })
    }

    /// Seconds since its newest sample.
    pub(super) fn unseen_s(&self, now_s: i64) -> i64 {
        now_s - self.last_seen_s
    }
}

/// How long an entity without samples is told of: long enough for an alert to fire on it.
pub(super) fn silent_s(watch: &Watch) -> i64 {
    watch.lag_s + SILENT_S.max(3 * watch.score_every_s).max(3 * watch.point_s())
}

/// How long an entity without samples is kept.
pub(super) fn forget_s(watch: &Watch) -> i64 {
    FORGET_S.max(2 * silent_s(watch))
}

/// Judges every entity's new points.
pub(super) fn all(
    watch: &Watch,
    entities: &mut BTreeMap<Entity, Tracked>,
    models: &BTreeMap<Entity, Vec<Loaded>>,
) -> BTreeMap<Entity, Judged> {
    let none = Vec::new();
    let mut verdicts = BTreeMap::new();
    for (entity, tracked) in entities {
        let judged = one(watch, tracked, models.get(entity).unwrap_or(&none));
        verdicts.insert(entity.clone(), judged);
    }
    verdicts
}

/// The newest point that is complete at `end_s`.
fn newest_point_s(watch: &Watch, end_s: i64) -> i64 {
    let point_s = watch.point_s();
    end_s.div_euclid(point_s) * point_s - point_s
}

fn one(watch: &Watch, tracked: &mut Tracked, models: &[Loaded]) -> Judged {
    let newest_s = newest_point_s(watch, tracked.fifo.window().grid.end_s());
    if tracked.silent {
        return Judged::default();
    }
    let input = Input::of(watch, tracked.fifo.window(), newest_s);
    let lacks_model = input.lacks_model(watch, models);
    let versions: Vec<i64> = models.iter().map(|loaded| loaded.version).collect();
    if tracked.last.time_s == Some(newest_s) && tracked.last.versions == versions {
        // Between two buckets there is nothing new to say, and what was said still holds.
        return Judged { lacks_model, ..tracked.last.clone() };
    }
    let mut judged = Judged { time_s: Some(newest_s), lacks_model, versions, ..Judged::default() };
    let mut scored: BTreeMap<Option<String>, Vec<Scored>> = BTreeMap::new();
    for loaded in models {
        let names = watch.features.iter().map(|feature| feature.name.as_str());
        let rows = loaded.model.columns(names, tracked.fifo.window());
        let feature = loaded.key.feature.clone();
        let member = Member { feature: feature.clone(), detector: loaded.key.detector.clone() };
        // All members from the same point on: one alone would speak for all of them.
        let together = Member { feature: feature.clone(), detector: COMBINED.into() };
        let from_s = tracked.held.get(&together).and_then(|held| held.next_s);
        // The newest point again, if it is known: its score is shown until there is another.
        let from_s = from_s.map_or(newest_s, |from_s| from_s.min(newest_s));
        let points = loaded.model.score(&rows, from_s);
        if let Some(point) = points.last().filter(|p| p.score.is_finite() && p.time_s == newest_s) {
            let shares = loaded.model.contributions(&rows);
            let named =
                shares.into_iter().map(|(n, v)| (member.detector.clone(), n.to_string(), v));
            judged.contributions.extend(named.filter(|_| point.score.is_finite()));
            let opinion = loaded.model.opinion(&rows);
            judged.opinions.extend(opinion.map(|opinion| (loaded.key.detector.clone(), opinion)));
        }
        let supervised = loaded.model.names_classes();
        let scores = Scored { detector: member.detector, supervised, points };
        scored.entry(feature).or_default().push(scores);
    }
    for (feature, mut members) in scored {
        members.push(combined(&members));
        for Scored { detector, points, .. } in members {
            let member = Member { feature: feature.clone(), detector };
            let held = tracked.held.entry(member.clone()).or_default();
            judged.verdicts.extend(advance(held, member, &points, newest_s));
        }
    }
    // What is as always is like no incident. Whatever found that it is not: the network that knows incidents may be
    // the last to say so.
    let combined = judged.verdicts.iter().filter(|verdict| verdict.member.detector == COMBINED);
    if !combined.clone().any(|verdict| verdict.score > THRESHOLD) {
        judged.opinions.iter_mut().for_each(|(_, opinion)| opinion.similar.clear());
    }
    judged.problems = input.problems(watch, models, &judged.verdicts);
    tracked.last = judged.clone();
    judged
}

/// The points of one member.
struct Scored {
    detector: String,
    /// Whether it learnt from incidents.
    supervised: bool,
    points: Vec<Point>,
}

/// Scores of all members together, for each time that any of them scored.
fn combined(members: &[Scored]) -> Scored {
    let mut scores: BTreeMap<i64, Witnesses> = BTreeMap::new();
    for Scored { supervised, points, .. } in members {
        for point in points {
            scores.entry(point.time_s).or_default().hear(point.score, *supervised);
        }
    }
    let unknown = f64::NAN;
    let point = |(time_s, scores): (i64, Witnesses)| {
        let score = scores.score();
        Point { time_s, raw: unknown, surprise: unknown, score, band: None }
    };
    let points = scores.into_iter().map(point).collect();
    Scored { detector: COMBINED.to_string(), supervised: false, points }
}

/// Holds the streak over the new points; the verdict is on the newest one, if it could be scored.
fn advance(held: &mut Held, member: Member, points: &[Point], newest_s: i64) -> Option<Verdict> {
    let new = |p: &&Point| held.next_s.is_none_or(|next_s| p.time_s >= next_s);
    let mut streak = held.streak;
    points.iter().filter(new).for_each(|point| streak.advance(point.score));
    held.streak = streak;
    held.next_s = Some(newest_s + 1);
    let newest = points.last().filter(|p| p.time_s == newest_s && p.score.is_finite())?;
    Some(Verdict { member, score: newest.score, streak, band: newest.band })
}

/// Streaks that the store does not know yet.
pub(super) fn unsaved_streaks(entities: &BTreeMap<Entity, Tracked>) -> Vec<SavedStreak> {
    entities.iter().flat_map(|(entity, tracked)| tracked.unsaved(entity)).collect()
}

/// Notes that the store knows them.
pub(super) fn note_saved(entities: &mut BTreeMap<Entity, Tracked>, saved: Vec<SavedStreak>) {
    for SavedStreak { entity, feature, detector, points, .. } in saved {
        let held = entities.get_mut(&entity).map(|tracked| &mut tracked.held);
        if let Some(held) = held.and_then(|held| held.get_mut(&Member { feature, detector })) {
            held.stored_points = points;
        }
    }
}

/// Anomalies that are going on, from the first point of their streak.
pub(super) fn anomalies(
    watch: &Watch,
    judged: &BTreeMap<Entity, Judged>,
) -> Vec<(Entity, Interval)> {
    let point_s = watch.point_s();
    let of = |(entity, judged): (&Entity, &Judged)| {
        let combined = judged.verdicts.iter().filter(|v| v.member.detector == COMBINED);
        let going_on = combined.filter(|v| v.streak.anomaly(watch.consecutive));
        let points = going_on.map(|v| i64::from(v.streak.points)).max()?;
        let to_s = judged.time_s? + point_s;
        Some((entity.clone(), Interval { from_s: to_s - points * point_s, to_s }))
    };
    judged.iter().filter_map(of).collect()
}

/// What is said of one entity.
pub(super) fn found(watch: &Watch, entity: &Entity, judged: &Judged) -> Vec<Found> {
    let found = |verdict: &Verdict| Found {
        watch: watch.name.clone(),
        entity: entity.clone(),
        feature: verdict.member.feature.clone(),
        detector: verdict.member.detector.clone(),
        time_s: newest_row_s(watch, judged),
        score: verdict.score,
        streak_points: verdict.streak.points,
        anomaly: verdict.streak.anomaly(watch.consecutive),
        band: verdict.band,
    };
    judged.verdicts.iter().map(found).collect()
}

/// What is said beside the scores of one entity.
pub(super) fn opined(watch: &Watch, entity: &Entity, judged: &Judged) -> Vec<Opined> {
    let probable = |(class, probability): &(String, f64)| Probable {
        class: class.clone(),
        probability: *probability,
    };
    let alike = |similar: &Similar| Alike {
        incident: rfc3339(similar.from_s),
        class: similar.kind.clone(),
        distance: similar.distance,
    };
    let opined = |(detector, opinion): &(String, Opinion)| Opined {
        watch: watch.name.clone(),
        entity: entity.clone(),
        detector: detector.clone(),
        time_s: newest_row_s(watch, judged),
        classes: opinion.classes.iter().take(SHOWN_CLASSES).map(probable).collect(),
        similar: opinion.similar.iter().map(alike).collect(),
    };
    judged.opinions.iter().map(opined).collect()
}

/// The time of the newest row of the newest point.
fn newest_row_s(watch: &Watch, judged: &Judged) -> i64 {
    judged.time_s.unwrap_or_default() + watch.point_s() - watch.step_s
}

/// What a scrape sees of one entity.
pub(super) fn samples(watch: &Watch, entity: &Entity, judged: &Judged) -> Vec<Sample> {
    let mut samples = Vec::new();
    let mut add = |metric, own: &[(&'static str, &str)], value: f64| {
        samples.push(Sample::new(metric, &Labels::new(own, entity), value));
    };
    for verdict in &judged.verdicts {
        let feature = verdict.member.feature.as_deref().unwrap_or_default();
        let own = [("feature", feature), ("detector", verdict.member.detector.as_str())];
        let anomaly = verdict.streak.anomaly(watch.consecutive);
        add(Metric::AnomalyScore, &own, verdict.score);
        add(Metric::Anomaly, &own, f64::from(u8::from(anomaly)));
        add(Metric::StreakPoints, &own, f64::from(verdict.streak.points));
        if verdict.member.detector == COMBINED {
            add(Metric::ScoreTimestamp, &own, newest_row_s(watch, judged) as f64);
        }
        if let Some(band) = verdict.band {
            add(Metric::Expected, &own, band.expected);
            add(Metric::ExpectedLower, &own, band.lower);
            add(Metric::ExpectedUpper, &own, band.upper);
        }
    }
    for verdict in judged.verdicts.iter().filter(|v| v.band.is_some()) {
        let feature = verdict.member.feature.as_deref().unwrap_or_default();
        let first = judged
            .verdicts
            .iter()
            .find(|v| v.member.feature == verdict.member.feature && v.band.is_some());
        if let Some(band) =
            verdict.band.filter(|_| first.is_some_and(|v| v.member == verdict.member))
        {
            add(Metric::Observed, &[("feature", feature)], band.observed);
        }
    }
    for (detector, feature, share) in &judged.contributions {
        add(Metric::FeatureContribution, &[("feature", feature), ("detector", detector)], *share);
    }
    for (detector, opinion) in &judged.opinions {
        for (class, probability) in opinion.classes.iter().take(SHOWN_CLASSES) {
            let own = [("detector", detector.as_str()), ("class", class)];
            add(Metric::ClassProbability, &own, *probability);
        }
        for Similar { from_s, kind, distance } in &opinion.similar {
            let (since, class) = (rfc3339(*from_s), kind.as_deref().unwrap_or_default());
            let own = [("detector", detector.as_str()), ("incident", &since), ("class", class)];
            add(Metric::SimilarIncident, &own, *distance);
        }
    }
    samples
}

/// What a scrape sees of a model in use.
pub(super) fn fact(loaded: &Loaded) -> ModelFact {
    ModelFact {
        entity: loaded.key.entity.clone(),
        feature: loaded.key.feature.clone(),
        detector: loaded.key.detector.clone(),
        version: loaded.version,
        sha256: loaded.sha256.clone(),
        trained_s: loaded.trained_s,
        history_s: loaded.model.history_s(),
    }
}

/// What a scrape sees of input that cannot be trusted or judged, of an entity or of one feature.
pub(super) fn problem_sample(
    (entity, feature, problem): (&Entity, Option<&str>, Problem),
) -> Sample {
    let own = [("feature", feature.unwrap_or_default()), ("reason", problem.reason())];
    let labels = Labels::new(&own, entity);
    Sample::new(Metric::InputProblem, &labels, 1.0)
}

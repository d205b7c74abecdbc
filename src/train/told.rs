//! What people's labels say together: where two contradict each other, the later word holds.
//!
//! Owns: which time and which points a label speaks for.
//! Does not own: whether a model agrees with it (`gate`).

use std::collections::BTreeMap;

use crate::gather::whole_points;
use crate::series::Entity;
use crate::store::LabelRows;
use crate::store::StoredLabel;
use crate::verdict::Interval;
use crate::verdict::Label;
use crate::verdict::Verdict;
use crate::watch::Watch;

/// A label beside all others of its entity.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Heard {
    /// Of the store.
    pub(super) id: i64,
    /// What was said.
    pub(super) label: Label,
    /// The time that it speaks for: its interval without what later labels contradict.
    pub(super) parts: Vec<Interval>,
    /// Names of the later labels that contradict it.
    pub(super) overruled_by: Vec<String>,
    /// Names of the earlier labels that it contradicts.
    pub(super) overrules: Vec<String>,
}

/// A label with the rows that it speaks of.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Told {
    /// What it says beside the others.
    pub(super) heard: Heard,
    /// The feature rows of its whole interval and before.
    pub(super) rows: LabelRows,
    /// The points that it speaks for; none where others have the last word everywhere.
    pub(super) points: Vec<Interval>,
}

impl Told {
    /// Whether it speaks for the point that starts at `time_s`.
    pub(super) fn speaks_for(&self, time_s: i64) -> bool {
        self.points.iter().any(|points| points.contains(time_s))
    }

    /// When the first of its points starts.
    pub(super) fn first_s(&self) -> i64 {
        self.points.iter().map(|points| points.from_s).min().unwrap_or(i64::MAX)
    }
}

/// Labels in the order of saying, by entity; each keeps the time that no later one contradicts.
pub(super) fn hear(labels: Vec<StoredLabel>) -> BTreeMap<Entity, Vec<Heard>> {
    let mut by_entity: BTreeMap<Entity, Vec<Heard>> = BTreeMap::new();
    for StoredLabel { id, label, .. } in labels {
        let before = by_entity.entry(label.entity.clone()).or_default();
        let mut overrules = Vec::new();
        for older in before.iter_mut() {
            if let Some(contradicted) = older.label.contradicts(&label) {
                older.overruled_by.push(label.named(id));
                overrules.push(older.label.named(older.id));
                let parts = older.parts.iter().flat_map(|part| part.without(contradicted));
                older.parts = parts.collect();
            }
        }
        let parts = vec![label.interval];
        before.push(Heard { id, label, parts, overruled_by: Vec::new(), overrules });
    }
    by_entity
}

/// The points that each label of an entity speaks for. A point that is anomalous in part is no
/// witness of what is normal, whoever was later.
pub(super) fn points(watch: &Watch, heard: &[Heard]) -> Vec<Vec<Interval>> {
    let widened = |heard: &Heard| -> Vec<Interval> {
        heard.parts.iter().map(|part| whole_points(watch, *part)).collect()
    };
    let is_anomaly = |heard: &&Heard| heard.label.verdict == Verdict::Anomaly;
    let anomalous: Vec<Interval> = heard.iter().filter(is_anomaly).flat_map(widened).collect();
    let of = |heard: &Heard| match heard.label.verdict {
        Verdict::Anomaly => widened(heard),
        Verdict::Normal => {
            widened(heard).iter().flat_map(|part| part.without_all(&anomalous)).collect()
        }
    };
    heard.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preprocess;
    use crate::watch::Checks;
    use crate::watch::Feature;
    use crate::watch::Training;

    fn watch(bucket_s: Option<i64>) -> Watch {
        let scale = preprocess::FeatureConfig::default();
        Watch {
            name: "w".into(),
            entity: Vec::new(),
            features: vec![Feature { name: "x".into(), query: String::new(), scale }],
            checks: Checks::default(),
            step_s: 10,
            lag_s: 0,
            bucket_s,
            despike: None,
            steps: Vec::new(),
            calendar: Default::default(),
            detectors: Vec::new(),
            weak_labels: Vec::new(),
            consecutive: 3,
            pages_per_week: 1.0,
            train: Training { every_s: 86_400, history_s: 86_400, min_history_s: 3_600 },
            score_every_s: 10,
        }
    }

    /// Labels with ids from 1, in the order of saying.
    fn heard(said: &[(Verdict, i64, i64)]) -> Vec<Heard> {
        let label = |(i, (verdict, from_s, to_s)): (usize, &(Verdict, i64, i64))| StoredLabel {
            id: i as i64 + 1,
            label: Label {
                watch: "w".into(),
                entity: Entity::default(),
                interval: Interval { from_s: *from_s, to_s: *to_s },
                verdict: *verdict,
                class: None,
                author: None,
                note: None,
                source: "cli".into(),
                created_s: 0,
            },
            has_rows: false,
            withdrawn: None,
        };
        let labels = said.iter().enumerate().map(label).collect();
        hear(labels).into_values().flatten().collect()
    }

    fn spans(intervals: &[Interval]) -> Vec<(i64, i64)> {
        intervals.iter().map(|interval| (interval.from_s, interval.to_s)).collect()
    }

    #[test]
    fn the_later_word_holds_where_two_contradict_each_other() {
        let said = [
            (Verdict::Anomaly, 0, 100),
            (Verdict::Normal, 40, 60),
            (Verdict::Anomaly, 50, 55),
            (Verdict::Anomaly, 90, 120),
        ];
        let heard = heard(&said);
        let parts: Vec<_> = heard.iter().map(|heard| spans(&heard.parts)).collect();
        let wanted =
            [vec![(0, 40), (60, 100)], vec![(40, 50), (55, 60)], vec![(50, 55)], vec![(90, 120)]];
        assert_eq!(parts, wanted);
        assert_eq!(heard[0].overruled_by.len(), 1);
        assert!(heard[0].overruled_by[0].starts_with("label 2 (normal "));
        assert!(heard[1].overruled_by[0].starts_with("label 3 (anomaly "));
        assert!(heard[1].overrules[0].starts_with("label 1 (anomaly "));
        assert_eq!(heard[0].overrules, [""; 0]);
    }

    #[test]
    fn a_label_that_was_taken_back_whole_speaks_for_nothing() {
        let heard = heard(&[(Verdict::Anomaly, 40, 60), (Verdict::Normal, 0, 100)]);
        assert!(heard[0].parts.is_empty());
        assert!(points(&watch(None), &heard)[0].is_empty());
    }

    #[test]
    fn a_point_that_is_anomalous_in_part_is_no_witness_of_what_is_normal() {
        let of = |said: &[(Verdict, i64, i64)], bucket_s| {
            let points = points(&watch(bucket_s), &heard(said));
            points.iter().map(|points| spans(points)).collect::<Vec<_>>()
        };
        let side_by_side = [(Verdict::Anomaly, 0, 40), (Verdict::Normal, 40, 120)];
        assert_eq!(of(&side_by_side, None), [[(0, 40)], [(40, 120)]]);
        assert_eq!(of(&side_by_side, Some(60)), [[(0, 60)], [(60, 120)]]);
        let corrected = [(Verdict::Anomaly, 0, 100), (Verdict::Normal, 60, 120)];
        assert_eq!(of(&corrected, Some(60)), [[(0, 60)], [(60, 120)]]);
    }
}

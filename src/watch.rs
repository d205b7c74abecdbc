//! What one watch is, once its configuration was found right.
//!
//! Owns: the settings that scoring and training share, with every default filled in.
//! Does not own: how they are written in the file (`config`).

use std::collections::BTreeMap;
use std::fmt;

use sha2::Digest;
use sha2::Sha256;

use crate::detect;
use crate::math::calendar::Calendar;
use crate::preprocess;
use crate::score;
use crate::weak;

/// One feature: a named query.
#[derive(Debug, Clone, PartialEq)]
pub struct Feature {
    /// Its name in metrics, cards and labels.
    pub name: String,
    /// PromQL, with every placeholder filled in.
    pub query: String,
    /// How its values are brought to scale.
    pub scale: preprocess::FeatureConfig,
}

/// Queries that say whether an entity's input can be trusted; each is absent where unknown.
#[derive(Clone, Default, PartialEq)]
pub struct Checks {
    /// 0 while the scrape target is down.
    pub up: Option<String>,
    /// Values of any feature above this are measuring errors.
    pub limit: Option<String>,
    /// Above 0 where a counter started again.
    pub restarted: Option<String>,
    /// Above 0 where scrapes are missing from the window that rates are of: what they say is too low.
    pub missed_scrapes: Option<String>,
}

/// As fingerprints have it: what came later is there only where it is used.
impl fmt::Debug for Checks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut checks = f.debug_struct("Checks");
        checks.field("up", &self.up);
        checks.field("limit", &self.limit).field("restarted", &self.restarted);
        if let Some(missed_scrapes) = &self.missed_scrapes {
            checks.field("missed_scrapes", missed_scrapes);
        }
        checks.finish()
    }
}

/// When models are trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Training {
    /// At the latest this long after the last training.
    pub every_s: i64,
    /// How far back rows are learnt from.
    pub history_s: i64,
    /// An entity with less history than this is not learnt yet.
    pub min_history_s: i64,
}

impl Training {
    /// Seconds from a training on `known_s` seconds of rows to the next one. A model of three minutes is worth replacing
    /// after three more, one of two weeks is not: while there is less history than wanted, it has to double.
    pub fn pause_s(&self, known_s: i64) -> i64 {
        let young = known_s * 10 < self.history_s * 9;
        if young { known_s.max(60).min(self.every_s) } else { self.every_s }
    }
}

/// One watch.
#[derive(Debug, Clone, PartialEq)]
pub struct Watch {
    /// Unique among the watches.
    pub name: String,
    /// The labels that make an entity.
    pub entity: Vec<String>,
    /// The columns of its windows.
    pub features: Vec<Feature>,
    /// Whether input can be trusted.
    pub checks: Checks,
    /// Distance of two rows.
    pub step_s: i64,
    /// How far in the past the newest row is, for samples that arrive late.
    pub lag_s: i64,
    /// The coarser step of a traffic watch.
    pub bucket_s: Option<i64>,
    /// Removal of outliers before resampling.
    pub despike: Option<preprocess::Despike>,
    /// All steps of preprocessing where the two above do not say it all; then the bucket is here, too.
    pub steps: Vec<preprocess::Step>,
    /// Local time and holidays of whoever makes the traffic.
    pub calendar: Calendar,
    /// What judges.
    pub detectors: Vec<detect::Config>,
    /// Alerting rules that say what was wrong when, for training.
    pub weak_labels: Vec<weak::Group>,
    /// Points in a row above 1 that make an anomaly.
    pub consecutive: u32,
    /// False pages per entity and week that the operator accepts.
    pub pages_per_week: f64,
    /// When models are trained.
    pub train: Training,
    /// When rows are scored.
    pub score_every_s: i64,
}

impl Watch {
    /// The step of scored points: the bucket where there is one.
    pub fn point_s(&self) -> i64 {
        self.bucket_s.unwrap_or(self.step_s)
    }

    /// Rows of a point.
    pub fn rows_per_point(&self) -> usize {
        (self.point_s() / self.step_s).max(1) as usize
    }

    /// The length of a calibration block.
    pub fn block_s(&self) -> i64 {
        score::default_block_s(self.point_s())
    }

    /// Preprocessing of these columns.
    pub fn preprocess(&self, features: &[usize]) -> preprocess::Config {
        preprocess::Config {
            bucket_s: self.bucket_s,
            despike: self.despike,
            features: features.iter().map(|&f| self.features[f].scale).collect(),
            steps: self.steps.clone(),
        }
    }

    /// The bucket, where whole buckets are all that the other steps need to see of raw rows.
    pub fn early_bucket_s(&self) -> Option<i64> {
        match self.steps.first() {
            Some(preprocess::Step::Bucket(bucket_s)) => Some(*bucket_s),
            Some(_) => None,
            None => self.bucket_s.filter(|_| self.despike.is_none()),
        }
    }

    /// Each model that an entity has: its detector and the columns it sees. A joint detector sees
    /// all of them (`None`), a single one has a model per feature.
    pub fn members(&self) -> Vec<(detect::Config, Option<usize>)> {
        let columns =
            |joint| if joint { vec![None] } else { (0..self.features.len()).map(Some).collect() };
        let members = |d: &detect::Config| {
            columns(d.joint()).into_iter().map(|f| (d.clone(), f)).collect::<Vec<_>>()
        };
        self.detectors.iter().flat_map(members).collect()
    }

    /// Names everything that a member's model depends on: with other settings it is another model.
    pub fn fingerprint(&self, detector: &detect::Config, feature: Option<usize>) -> String {
        let settings = self.settings(detector, feature);
        Sha256::digest(settings).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// The text of a fingerprint. What came later is in it only where it is used: else everyone would
    /// train again for nothing.
    fn settings(&self, detector: &detect::Config, feature: Option<usize>) -> String {
        let features: Vec<&Feature> =
            self.columns(detector, feature).into_iter().map(|f| &self.features[f]).collect();
        let scale = (self.step_s, self.bucket_s, self.despike, self.pages_per_week);
        let mut settings = format!("{detector:?} {features:?} {scale:?} {:?}", self.checks);
        if !self.steps.is_empty() {
            settings += &format!(" {:?}", self.steps);
        }
        if self.calendar != Calendar::default() {
            settings += &format!(" {}", self.calendar);
        }
        settings
    }

    /// The fingerprint of each member, by its feature's and its detector's name.
    pub fn fingerprints(&self) -> BTreeMap<(Option<String>, String), String> {
        let of = |(detector, feature): (detect::Config, Option<usize>)| {
            let name = feature.map(|f| self.features[f].name.clone());
            ((name, detector.name().to_string()), self.fingerprint(&detector, feature))
        };
        self.members().into_iter().map(of).collect()
    }

    /// The columns of one member: that of its feature first, then those that it reads beside it.
    pub fn columns(&self, detector: &detect::Config, feature: Option<usize>) -> Vec<usize> {
        let names: Vec<&str> = self.features.iter().map(|feature| feature.name.as_str()).collect();
        feature.map_or_else(|| (0..names.len()).collect(), |own| detector.columns(own, &names))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preprocess::Despike;
    use crate::preprocess::FeatureConfig;
    use crate::preprocess::Fill;
    use crate::preprocess::Scaler;
    use crate::preprocess::Step;
    use crate::preprocess::Transform;

    fn watch() -> Watch {
        let scale =
            FeatureConfig { transform: Transform::Log1p, floor: 0.1, ..FeatureConfig::default() };
        Watch {
            name: "ports".into(),
            entity: vec!["port".into()],
            features: vec![Feature { name: "in".into(), query: "in".into(), scale }],
            checks: Checks::default(),
            step_s: 300,
            lag_s: 0,
            bucket_s: Some(1800),
            despike: Some(Despike { window: 24, threshold: 2.0 }),
            steps: Vec::new(),
            calendar: Calendar::default(),
            detectors: Vec::new(),
            weak_labels: Vec::new(),
            consecutive: 4,
            pages_per_week: 1.0,
            train: Training { every_s: 86_400, history_s: 86_400, min_history_s: 3_600 },
            score_every_s: 60,
        }
    }

    fn fingerprint(watch: &Watch) -> String {
        watch.fingerprint(&detect::Config::SeasonalMedian(Default::default()), Some(0))
    }

    /// The text of before there were steps, calendars and scalers; with another, all would train again.
    #[test]
    fn who_says_nothing_new_keeps_the_fingerprint() {
        let detector = detect::Config::SeasonalMedian(Default::default());
        let wanted = " [Feature { name: \"in\", query: \"in\", scale: FeatureConfig { transform: Log1p, \
            floor: 0.1 } }] (300, Some(1800), Some(Despike { window: 24, threshold: 2.0 }), 1.0) \
            Checks { up: None, limit: None, restarted: None }";
        let settings = watch().settings(&detector, Some(0));
        assert_eq!(settings, format!("{detector:?}{wanted}"));
    }

    #[test]
    fn what_a_model_depends_on_changes_the_fingerprint() {
        let usual = fingerprint(&watch());
        let mut scaled = watch();
        scaled.features[0].scale.scaler = Scaler::Standard;
        let rome = Calendar::new("Europe/Rome", Default::default()).unwrap();
        let holidays = ["2026-12-25".parse().unwrap()].into();
        let christmas = Calendar::new("Europe/Rome", holidays).unwrap();
        let steps = vec![Step::Fill(Fill::Zero), Step::Bucket(1800)];
        let others = [
            scaled,
            Watch { steps, ..watch() },
            Watch { calendar: rome, ..watch() },
            Watch { calendar: christmas, ..watch() },
        ];
        let mut seen = std::collections::BTreeSet::from([usual]);
        assert!(others.iter().all(|watch| seen.insert(fingerprint(watch))));
        assert_eq!(fingerprint(&Watch { lag_s: 30, ..watch() }), fingerprint(&watch()));
    }

    #[test]
    fn what_a_model_reads_beside_its_feature_is_part_of_it() {
        let mut watch = watch();
        let feature = |name: &str| Feature { name: name.into(), ..watch.features[0].clone() };
        watch.features = ["in", "out", "load"].map(feature).to_vec();
        let text = r#"{"sarimax": {"regressors": ["load", "in"]}}"#;
        let sarimax: detect::Config = serde_json::from_str(text).unwrap();
        assert_eq!(watch.columns(&sarimax, Some(0)), [0, 2]);
        assert_eq!(watch.columns(&sarimax, Some(1)), [1, 2, 0]);
        let plain = detect::Config::SeasonalMedian(Default::default());
        assert_eq!(watch.columns(&plain, Some(1)), [1]);
        let before = watch.fingerprint(&sarimax, Some(1));
        watch.features[2].query = "other".into();
        assert_ne!(watch.fingerprint(&sarimax, Some(1)), before);
    }

    #[test]
    fn whole_buckets_are_enough_only_where_nothing_looks_inside() {
        let bucket = Step::Bucket(1800);
        let early = |steps: Vec<Step>| Watch { steps, ..watch() }.early_bucket_s();
        assert_eq!(early(vec![bucket, Step::Fill(Fill::Zero)]), Some(1800));
        assert_eq!(early(vec![Step::Fill(Fill::Zero), bucket]), None);
        assert_eq!(early(Vec::new()), None);
        assert_eq!(Watch { despike: None, ..watch() }.early_bucket_s(), Some(1800));
    }
}

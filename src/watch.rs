//! What one watch is, once its configuration was found right.
//!
//! Owns: the settings that scoring and training share, with every default filled in.
//! Does not own: how they are written in the file (`config`).

use std::collections::BTreeMap;

use sha2::Digest;
use sha2::Sha256;

use crate::detect;
use crate::preprocess;
use crate::score;

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
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Checks {
    /// 0 while the scrape target is down.
    pub up: Option<String>,
    /// Values of any feature above this are measuring errors.
    pub limit: Option<String>,
    /// Above 0 where a counter started again.
    pub restarted: Option<String>,
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
    /// What judges.
    pub detectors: Vec<detect::Config>,
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
        let features: Vec<&Feature> =
            self.columns(feature).into_iter().map(|f| &self.features[f]).collect();
        let scale = (self.step_s, self.bucket_s, self.despike, self.pages_per_week);
        let settings = format!("{detector:?} {features:?} {scale:?} {:?}", self.checks);
        Sha256::digest(settings).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// The fingerprint of each member, by its feature's and its detector's name.
    pub fn fingerprints(&self) -> BTreeMap<(Option<String>, String), String> {
        let of = |(detector, feature): (detect::Config, Option<usize>)| {
            let name = feature.map(|f| self.features[f].name.clone());
            ((name, detector.name().to_string()), self.fingerprint(&detector, feature))
        };
        self.members().into_iter().map(of).collect()
    }

    /// The columns of one member.
    pub fn columns(&self, feature: Option<usize>) -> Vec<usize> {
        feature.map_or_else(|| (0..self.features.len()).collect(), |f| vec![f])
    }
}

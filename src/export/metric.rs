//! The list of results that are exported, with what is said of each.
//!
//! Owns: names and HELP texts. Does not own: values.

/// Every metric that is published per watch, in the order of the exposition. All are gauges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Metric {
    /// Calibrated score; 1 is the threshold.
    AnomalyScore,
    /// 1 where a streak is long enough to be an anomaly, else 0.
    Anomaly,
    /// Consecutive points above 1.
    StreakPoints,
    /// What was measured.
    Observed,
    /// What was forecast.
    Expected,
    /// Lower edge of the band.
    ExpectedLower,
    /// Upper edge of the band.
    ExpectedUpper,
    /// Time of the newest scored point.
    ScoreTimestamp,
    /// Share of a class; own label `class`.
    ClassProbability,
    /// How unlike a labelled incident it is; own labels `incident` and `class`.
    SimilarIncident,
    /// A feature's share of the raw score; own label `feature`.
    FeatureContribution,
    /// 1 where something is wrong with the input; own label `reason`.
    InputProblem,
    /// 1; own labels `version` and `sha256`.
    ModelInfo,
    /// When the model in use was trained.
    ModelTrained,
    /// How much of the past the model in use has learnt from.
    ModelHistory,
}

/// What is renewed by each pass.
macro_rules! each_pass {
    ($text:literal) => {
        concat!($text, " Renewed by each pass, not by the scrape.")
    };
}

/// What is renewed when a model is promoted.
macro_rules! each_promotion {
    ($text:literal) => {
        concat!($text, " Renewed when a model is promoted, not by the scrape.")
    };
}

impl Metric {
    /// Every metric, in the order of the exposition.
    pub const ALL: [Metric; 15] = [
        Metric::AnomalyScore,
        Metric::Anomaly,
        Metric::StreakPoints,
        Metric::Observed,
        Metric::Expected,
        Metric::ExpectedLower,
        Metric::ExpectedUpper,
        Metric::ScoreTimestamp,
        Metric::ClassProbability,
        Metric::SimilarIncident,
        Metric::FeatureContribution,
        Metric::InputProblem,
        Metric::ModelInfo,
        Metric::ModelTrained,
        Metric::ModelHistory,
    ];

    /// The name in the exposition.
    pub fn name(self) -> &'static str {
        match self {
            Metric::AnomalyScore => "portent_anomaly_score",
            Metric::Anomaly => "portent_anomaly",
            Metric::StreakPoints => "portent_anomaly_streak_points",
            Metric::Observed => "portent_observed",
            Metric::Expected => "portent_expected",
            Metric::ExpectedLower => "portent_expected_lower",
            Metric::ExpectedUpper => "portent_expected_upper",
            Metric::ScoreTimestamp => "portent_score_timestamp_seconds",
            Metric::ClassProbability => "portent_anomaly_class_probability",
            Metric::SimilarIncident => "portent_similar_incident_distance",
            Metric::FeatureContribution => "portent_feature_contribution_ratio",
            Metric::InputProblem => "portent_input_problem",
            Metric::ModelInfo => "portent_model_info",
            Metric::ModelTrained => "portent_model_trained_timestamp_seconds",
            Metric::ModelHistory => "portent_model_history_seconds",
        }
    }

    /// What it is, in which unit, and when it changes. Free of `\`, `"` and line breaks, so that it
    /// reads the same in both formats.
    pub fn help(self) -> &'static str {
        match self {
            Metric::AnomalyScore => {
                "How strange the newest point is: 0 as expected, 1 the threshold, above 1 anomalous. \
                 Renewed by each pass, not by the scrape; gone when it was not renewed."
            }
            Metric::Anomaly => each_pass!("1 if enough consecutive points scored above 1, else 0."),
            Metric::StreakPoints => {
                each_pass!("Number of consecutive points, up to the newest, that scored above 1.")
            }
            Metric::Observed => {
                each_pass!("Measured value of the newest point, in the unit of the query.")
            }
            Metric::Expected => {
                each_pass!("Forecast of the newest point, in the unit of the query.")
            }
            Metric::ExpectedLower => each_pass!(
                "Value below which the newest point scores above 1, in the unit of the query."
            ),
            Metric::ExpectedUpper => each_pass!(
                "Value above which the newest point scores above 1, in the unit of the query."
            ),
            Metric::ScoreTimestamp => {
                each_pass!("Unix time of the newest scored point, in seconds.")
            }
            Metric::ClassProbability => each_pass!("Probability of each class of anomaly, 0 to 1."),
            Metric::SimilarIncident => each_pass!(
                "Distance of a point above the threshold to the labelled incidents that it is most like, by the \
                 incident's beginning; different classes are kept 1 apart, or what margin says."
            ),
            Metric::FeatureContribution => each_pass!(
                "Share of the raw score that is owed to a feature, 0 to 1; only the largest shares."
            ),
            Metric::InputProblem => {
                each_pass!("1 while the input is not fit to be scored for this reason.")
            }
            Metric::ModelInfo => each_promotion!("Model in use, by version and SHA-256; always 1."),
            Metric::ModelTrained => {
                each_promotion!("Unix time at which the model in use was trained, in seconds.")
            }
            Metric::ModelHistory => each_promotion!(
                "How much of the past the model in use has learnt from, in seconds, without gaps."
            ),
        }
    }
}

//! The list of detectors: fit what is normal, say how far from it a row is.
//!
//! Owns: every detector, their settings, the tensors of a fitted model.
//! Does not own: preprocessing (`preprocess`), the threshold (`score`), the store.
//!
//! A new detector is a file, a variant of [`Config`] and its arms below.

mod averaged;
#[cfg(feature = "deep")]
pub mod deep;
mod episode;
pub mod frame;
pub mod isolation_forest;
mod linear;
pub mod networks;
pub mod one_class_svm;
mod parts;
pub mod pca;
mod pretrained;
pub mod random_forest;
mod residuals;
pub mod sarimax;
pub mod seasonal_median;
pub mod space;
mod stage;
pub mod stl;
pub mod var;

use std::sync::LazyLock;

use serde::Deserialize;
use serde::Serialize;

use crate::math::calendar::Calendar;
use crate::series::Window;

pub use episode::Episode;
pub use episode::Opinion;
pub use episode::Similar;
pub use episode::UNKNOWN;
pub use parts::Number;
pub use parts::Numbers;
pub use parts::Parts;
pub use parts::RestoreError;
pub use parts::Tensor;
pub use parts::Tensors;
pub use pretrained::Pretrained;
pub use stage::Stage;

/// Every detector there is, with its settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Config {
    /// Distance to the median of the same slot of the season.
    SeasonalMedian(seasonal_median::Config),
    /// Distance to a seasonal-trend decomposition's forecast.
    Stl(stl::Config),
    /// Distance to the forecast of a regression whose errors are an ARMA.
    Sarimax(sarimax::Config),
    /// Distance to a random forest's forecast from seasonal lags and the calendar.
    RandomForest(random_forest::Config),
    /// How few random cuts set the residuals apart.
    IsolationForest(isolation_forest::Config),
    /// Distance from the support of the residuals.
    OneClassSvm(one_class_svm::Config),
    /// What is left of all features without their principal components.
    Pca(pca::Config),
    /// Distance to the forecast of all features by a vector autoregression.
    Var(var::Config),
    /// Reconstruction error of a convolutional autoencoder over the window.
    #[cfg(feature = "deep")]
    Autoencoder(deep::autoencoder::Config),
    /// The probability of an anomaly, by a network that was shown labelled incidents.
    #[cfg(feature = "deep")]
    Classifier(deep::classifier::Config),
    /// Distance from what is normal towards labelled incidents, by a network that compares windows.
    #[cfg(feature = "deep")]
    Siamese(deep::siamese::Config),
}

impl Config {
    /// Every detector's name, in the order of this list.
    pub const NAMES: &[&str] = &[
        "seasonal_median",
        "stl",
        "sarimax",
        "random_forest",
        "isolation_forest",
        "one_class_svm",
        "pca",
        "var",
        #[cfg(feature = "deep")]
        "autoencoder",
        #[cfg(feature = "deep")]
        "classifier",
        #[cfg(feature = "deep")]
        "siamese",
    ];

    /// The detector of this name with its default settings.
    pub fn named(name: &str) -> Option<Config> {
        match name {
            "seasonal_median" => Some(Config::SeasonalMedian(Default::default())),
            "stl" => Some(Config::Stl(Default::default())),
            "sarimax" => Some(Config::Sarimax(Default::default())),
            "random_forest" => Some(Config::RandomForest(Default::default())),
            "isolation_forest" => Some(Config::IsolationForest(Default::default())),
            "one_class_svm" => Some(Config::OneClassSvm(Default::default())),
            "pca" => Some(Config::Pca(Default::default())),
            "var" => Some(Config::Var(Default::default())),
            #[cfg(feature = "deep")]
            "autoencoder" => Some(Config::Autoencoder(Default::default())),
            #[cfg(feature = "deep")]
            "classifier" => Some(Config::Classifier(Default::default())),
            #[cfg(feature = "deep")]
            "siamese" => Some(Config::Siamese(Default::default())),
            _ => None,
        }
    }

    /// The forecasters of traffic, for a season of this length.
    pub fn seasonal(season_s: i64) -> Vec<Config> {
        let season_s = Some(season_s);
        vec![
            Config::SeasonalMedian(seasonal_median::Config { season_s, ..Default::default() }),
            Config::Stl(stl::Config { season_s, ..Default::default() }),
        ]
    }

    /// The name in configuration, metrics and the store.
    pub fn name(&self) -> &'static str {
        match self {
            Config::SeasonalMedian(_) => "seasonal_median",
            Config::Stl(_) => "stl",
            Config::Sarimax(_) => "sarimax",
            Config::RandomForest(_) => "random_forest",
            Config::IsolationForest(_) => "isolation_forest",
            Config::OneClassSvm(_) => "one_class_svm",
            Config::Pca(_) => "pca",
            Config::Var(_) => "var",
            #[cfg(feature = "deep")]
            Config::Autoencoder(_) => "autoencoder",
            #[cfg(feature = "deep")]
            Config::Classifier(_) => "classifier",
            #[cfg(feature = "deep")]
            Config::Siamese(_) => "siamese",
        }
    }

    /// Whether one model sees all features of an entity at once; otherwise there is one per feature.
    pub fn joint(&self) -> bool {
        match self {
            Config::Pca(_) | Config::Var(_) => true,
            #[cfg(feature = "deep")]
            Config::Autoencoder(_) => true,
            _ => self.supervised(),
        }
    }

    /// Whether it learns from labelled incidents, and so cannot be fitted where there are none.
    pub fn supervised(&self) -> bool {
        match self {
            #[cfg(feature = "deep")]
            Config::Classifier(_) | Config::Siamese(_) => true,
            _ => false,
        }
    }

    /// Whether labelled incidents are of use to it: to learn from, or to choose by.
    pub fn reads_episodes(&self) -> bool {
        match self {
            #[cfg(feature = "deep")]
            Config::Autoencoder(_) => true,
            _ => self.supervised(),
        }
    }

    /// Whether its models say which way each feature went, [`Model::deviations`].
    pub fn deviates(&self) -> bool {
        match self {
            #[cfg(feature = "deep")]
            Config::Autoencoder(_) => true,
            _ => false,
        }
    }

    /// Other features that each model reads beside its own, by name.
    pub fn regressors(&self) -> &[String] {
        match self {
            Config::Sarimax(config) => &config.regressors,
            _ => &[],
        }
    }

    /// The columns that the model of one feature reads, its own first: those of its regressors that are
    /// there, less itself.
    pub fn columns(&self, own: usize, names: &[&str]) -> Vec<usize> {
        let column = |wanted: &String| names.iter().position(|name| name == wanted);
        let others = self.regressors().iter().filter_map(column).filter(|&column| column != own);
        std::iter::once(own).chain(others).collect()
    }

    /// Points of history without which a fit is refused.
    pub fn min_rows(&self) -> usize {
        match self {
            Config::Pca(_) | Config::Var(_) => linear::MIN_ROWS,
            #[cfg(feature = "deep")]
            Config::Autoencoder(config) => 2 * config.window,
            #[cfg(feature = "deep")]
            Config::Classifier(deep::classifier::Config { window, .. })
            | Config::Siamese(deep::siamese::Config { window, .. }) => 2 * window,
            _ => 8,
        }
    }

    /// Most rows before the scored one that a model reads which has learnt from `history_s` seconds of
    /// rows every `step_s`; see [`Model::lookback`].
    pub fn most_lookback(&self, step_s: i64, history_s: i64) -> usize {
        let averaged = |mean_of| averaged::mean_of(mean_of, step_s) - 1;
        match self {
            Config::SeasonalMedian(config) => averaged(config.mean_of),
            Config::Stl(config) => averaged(config.mean_of),
            Config::Sarimax(config) => config.most_lookback(step_s) + averaged(config.mean_of),
            Config::RandomForest(config) => {
                random_forest::most_lookback(step_s, history_s) + averaged(config.mean_of)
            }
            Config::IsolationForest(_) | Config::OneClassSvm(_) => residuals::LOOKBACK,
            Config::Pca(_) => pca::TAIL - 1,
            Config::Var(config) => config.most_lookback(),
            #[cfg(feature = "deep")]
            Config::Autoencoder(config) => config.window.saturating_sub(1),
            #[cfg(feature = "deep")]
            Config::Classifier(deep::classifier::Config { window, .. })
            | Config::Siamese(deep::siamese::Config { window, .. }) => window.saturating_sub(1),
        }
    }

    /// Sets the length of the window, in rows, of the detectors that have one.
    pub fn set_window(&mut self, window: usize) {
        #[cfg(not(feature = "deep"))]
        let _ = window;
        match self {
            #[cfg(feature = "deep")]
            Config::Autoencoder(config) => config.window = window,
            #[cfg(feature = "deep")]
            Config::Classifier(config) => config.window = window,
            #[cfg(feature = "deep")]
            Config::Siamese(config) => config.window = window,
            _ => {}
        }
    }

    /// What is wrong with the settings, if anything is.
    pub fn problem(&self) -> Option<String> {
        match self {
            Config::SeasonalMedian(config) => config.problem(),
            Config::Stl(config) => config.problem(),
            Config::Sarimax(config) => config.problem(),
            Config::RandomForest(config) => config.problem(),
            Config::IsolationForest(config) => config.problem(),
            Config::OneClassSvm(config) => config.problem(),
            Config::Pca(config) => config.problem(),
            Config::Var(config) => config.problem(),
            #[cfg(feature = "deep")]
            Config::Autoencoder(config) => config.problem(),
            #[cfg(feature = "deep")]
            Config::Classifier(config) => config.problem(),
            #[cfg(feature = "deep")]
            Config::Siamese(config) => config.problem(),
        }
    }

    /// Learns what is normal from `train`, preprocessed rows in which known incidents are gaps. Detectors
    /// of one feature judge the first column.
    ///
    /// # Errors
    /// The rows do not suffice, or the fit was stopped.
    pub fn fit(
        &self,
        train: &Window,
        context: &FitContext<'_>,
    ) -> Result<Box<dyn Model>, FitError> {
        match self {
            Config::SeasonalMedian(config) => seasonal_median::fit(config, train, context),
            Config::Stl(config) => stl::fit(config, train, context),
            Config::Sarimax(config) => sarimax::fit(config, train, context),
            Config::RandomForest(config) => random_forest::fit(config, train, context),
            Config::IsolationForest(config) => isolation_forest::fit(config, train, context),
            Config::OneClassSvm(config) => one_class_svm::fit(config, train, context),
            Config::Pca(config) => pca::fit(config, train, context),
            Config::Var(config) => var::fit(config, train, context),
            #[cfg(feature = "deep")]
            Config::Autoencoder(config) => deep::autoencoder::fit(config, train, context),
            #[cfg(feature = "deep")]
            Config::Classifier(config) => deep::classifier::fit(config, train, context),
            #[cfg(feature = "deep")]
            Config::Siamese(config) => deep::siamese::fit(config, train, context),
        }
    }

    /// The model that [`Model::parts`] came from.
    ///
    /// # Errors
    /// The parts are not those of this detector; never a panic, whatever the bytes held.
    pub fn restore(&self, parts: Parts) -> Result<Box<dyn Model>, RestoreError> {
        match self {
            Config::SeasonalMedian(_) => seasonal_median::restore(parts),
            Config::Stl(_) => stl::restore(parts),
            Config::Sarimax(_) => sarimax::restore(parts),
            Config::RandomForest(_) => random_forest::restore(parts),
            Config::IsolationForest(_) => isolation_forest::restore(parts),
            Config::OneClassSvm(_) => one_class_svm::restore(parts),
            Config::Pca(_) => pca::restore(parts),
            Config::Var(_) => var::restore(parts),
            #[cfg(feature = "deep")]
            Config::Autoencoder(_) => deep::autoencoder::restore(parts),
            #[cfg(feature = "deep")]
            Config::Classifier(_) => deep::classifier::restore(parts),
            #[cfg(feature = "deep")]
            Config::Siamese(_) => deep::siamese::restore(parts),
        }
    }
}

/// What a fit may ask of its surroundings.
pub struct FitContext<'a> {
    /// Same seed, same rows, same model.
    pub seed: u64,
    /// Local time and holidays of whoever makes the traffic.
    pub calendar: &'a Calendar,
    /// The numbers of the model before this one, of the same settings: a place to start from.
    pub previous: Option<&'a Parts>,
    /// The numbers of a fit that this one is to be compared with: what it chose by itself is chosen here, too.
    pub like: Option<&'a Parts>,
    /// Networks that learnt elsewhere from rows of the same features, to judge by while these do not suffice.
    pub pretrained: &'a [Pretrained],
    /// Labelled stretches of rows, for detectors that learn from them; preprocessed as the rows are.
    pub episodes: &'a [Episode],
    /// Called between epochs or other pieces of about 50 ms of work. It may block, to let a pass of
    /// scoring have the core; `false` means stop now and return [`FitError::Stopped`].
    pub keep_going: &'a (dyn Fn() -> bool + Sync),
    /// Hears how the losses of a network fell once it is trained, look by look.
    pub looks: Option<&'a (dyn Fn(Look) + Sync)>,
    /// Hears while a network is trained how far it is, look by look; called from the thread of the fit.
    pub stages: Option<&'a (dyn Fn(Stage) + Sync)>,
}

/// One look at the training of a network, of about a hundred.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    /// Steps made, a minibatch each.
    pub step: usize,
    /// Mean training loss of the steps since the last look.
    pub loss: f32,
    /// Loss of what is held out to stop by.
    pub held_out: f32,
}

impl<'a> FitContext<'a> {
    /// A first model in UTC.
    pub fn new(seed: u64, keep_going: &'a (dyn Fn() -> bool + Sync)) -> FitContext<'a> {
        static UTC: LazyLock<Calendar> = LazyLock::new(Calendar::default);
        FitContext {
            seed,
            calendar: &UTC,
            previous: None,
            like: None,
            pretrained: &[],
            episodes: &[],
            keep_going,
            looks: None,
            stages: None,
        }
    }
}

/// A fitted detector. It cannot exist unfitted, so scoring cannot fail on that account.
pub trait Model: Send + Sync {
    /// Rows before the scored one that are read; a row with fewer before it may have an unknown raw
    /// score.
    fn lookback(&self) -> usize;

    /// Raw scores of the rows `first..` of `window`, in order; a row's score is computed from rows
    /// up to its own. A gap costs its own score only.
    fn score(&self, window: &Window, first: usize) -> Vec<Raw>;

    /// Whether the column has any part in the scores; one without a sample in training has none.
    fn reads(&self, _feature: usize) -> bool {
        true
    }

    /// Each feature's share of the last row's raw score, summing to 1; joint detectors only.
    fn contributions(&self, _window: &Window) -> Option<Vec<f64>> {
        None
    }

    /// How strange each feature of the last row is, below 0 where it is lower than it should be; of detectors by
    /// which anomalies are told apart, where the row has a score.
    fn deviations(&self, _window: &Window) -> Option<Vec<f64>> {
        None
    }

    /// The raw score from which on the detector itself would call a row an incident; supervised detectors only.
    fn boundary(&self) -> Option<f64> {
        None
    }

    /// What the last row may be; supervised detectors only.
    fn opinion(&self, _window: &Window) -> Option<Opinion> {
        None
    }

    /// What has to be stored.
    fn parts(&self) -> Parts;
}

/// A detector's own number for one row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Raw {
    /// ≥ 0, higher is stranger; NaN is unknown (a gap, too little before it).
    pub value: f64,
    /// What was forecast, for detectors that forecast.
    pub forecast: Option<Forecast>,
}

impl Raw {
    /// No score for this row.
    pub const UNKNOWN: Raw = Raw { value: f64::NAN, forecast: None };
}

/// A forecast in preprocessed units, and how rows are judged by it.
///
/// A row deviates by `(y − expected) / scale`. Its raw score is the mean of its own deviation and those before it
/// that are taken into account, as far as its own points the same way: what is as expected is never an anomaly,
/// whatever came before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Forecast {
    /// What was expected.
    pub expected: f64,
    /// One unit of deviation.
    pub scale: f64,
    /// The sum of the deviations before.
    pub before: f64,
    /// How many deviations make the mean, this one among them.
    pub of: f64,
}

/// The mean counts for no more than so many of the row's own deviations.
const OWN: f64 = 4.0;

impl Forecast {
    /// A forecast whose row is judged by itself.
    pub fn new(expected: f64, scale: f64) -> Forecast {
        Forecast { expected, scale, before: 0.0, of: 1.0 }
    }

    /// How far `y` is from what was expected, in scales.
    pub fn deviation(&self, y: f64) -> f64 {
        (y - self.expected) / self.scale
    }

    /// The raw score of `y`, unknown where that is a gap.
    pub fn judge(self, y: f64) -> Raw {
        let own = self.deviation(y);
        // Towards where this row is: negative where those before it outweigh it.
        let mean = (own.abs() + self.before * own.signum()) / self.of;
        // Not min and max alone, which take NaN for a number.
        let value = if own.is_nan() { own } else { mean.min(OWN * own.abs()).clamp(0.0, f64::MAX) };
        Raw { value, forecast: Some(self) }
    }

    /// Between these the raw score is below `raw`.
    pub fn band(&self, raw: f64) -> (f64, f64) {
        let reach = |before: f64| (raw * self.of - before).max(raw / OWN) * self.scale;
        (self.expected - reach(-self.before), self.expected + reach(self.before))
    }
}

/// Why nothing was learnt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FitError {
    /// More rows with data are needed.
    #[error("{have} rows with data, wanted at least {want}")]
    TooFewRows {
        /// Rows with data.
        have: usize,
        /// Rows wanted.
        want: usize,
    },
    /// A supervised detector needs incidents.
    #[error("no labelled incident to learn from")]
    NoIncidents,
    /// What it was given does not suit it.
    #[error("{0}")]
    Refused(String),
    /// The arithmetic went out of range.
    #[error("training diverged: the loss is not finite")]
    Diverged,
    /// `keep_going` said no.
    #[error("stopped")]
    Stopped,
}

#[cfg(test)]
mod tests;

//! Distance to a random forest's forecast from what is usual, seasonal lags and the calendar.
//!
//! Owns: its settings, its fit, the fitted model. Does not own: what the forest is told (`traffic`),
//! how it learns (`forest`).
//!
//! The band is of out-of-bag errors by hour of the day: the errors of trees that have not seen the
//! row, which spread of the targets in a leaf of five rows would flatter.

use serde::Deserialize;
use serde::Serialize;

use crate::detect::FitContext;
use crate::detect::FitError;
use crate::detect::Forecast;
use crate::detect::Model;
use crate::detect::Parts;
use crate::detect::Raw;
use crate::detect::RestoreError;
use crate::detect::Tensor;
use crate::detect::Tensors;
use crate::detect::averaged;
use crate::detect::averaged::averaged;
use crate::detect::seasonal_median::profile;
use crate::math::calendar::Calendar;
use crate::math::calendar::DAY_S;
use crate::series::Window;

mod bins;
mod forest;
mod grow;
mod split;
mod traffic;
mod tree;

use bins::Bins;
use forest::Forest;
use grow::MAX_DRAWS;
use grow::Plan;
use traffic::Times;
use traffic::Usual;

const NAME: &str = "random_forest";
/// Smallest scale, in preprocessed units: smaller effects are noise.
const MIN_SCALE: f64 = 0.05;
const MAX_SCALE: f64 = 1e30;
/// Slots that are learnt from, at least.
const MIN_ROWS: usize = 24;

/// How the forest is set up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How many trees.
    pub trees: usize,
    /// Fewest rows of a leaf.
    pub min_samples_leaf: usize,
    /// Share of the columns that a split chooses from.
    pub max_features: f64,
    /// Rows drawn for each tree, at most; years of history make no larger model.
    pub max_samples: usize,
    /// Newest points whose deviations are averaged; 1 judges each by itself. By default 4 where points are
    /// a quarter of an hour apart or more, else 1.
    pub mean_of: Option<usize>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            trees: 100,
            min_samples_leaf: 5,
            max_features: 0.5,
            max_samples: 5_000,
            mean_of: None,
        }
    }
}

impl Config {
    /// What is wrong with the settings, if anything is.
    pub fn problem(&self) -> Option<String> {
        let share = self.max_features > 0.0 && self.max_features <= 1.0;
        let wanted = if !(1..=1_000).contains(&self.trees) {
            "trees: 1 to 1000".to_string()
        } else if !(1..=MAX_DRAWS).contains(&self.max_samples) {
            format!("max_samples: 1 to {MAX_DRAWS}")
        } else if !(1..=self.max_samples).contains(&self.min_samples_leaf) {
            "min_samples_leaf: 1 to max_samples".to_string()
        } else if !share {
            "max_features: a share above 0 and up to 1".to_string()
        } else {
            return averaged::problem(self.mean_of);
        };
        Some(format!("{NAME} wants {wanted}"))
    }

    fn plan(&self, n_rows: usize, n_columns: usize) -> Plan {
        Plan {
            draws: n_rows.min(self.max_samples).min(MAX_DRAWS),
            min_leaf: self.min_samples_leaf as i64,
            look_at: ((n_columns as f64 * self.max_features) as usize).max(1),
        }
    }
}

/// Learns what is usual, what the forest makes of it, and how far off that is.
///
/// # Errors
/// The rows with data span less than two days, or hardly any has one a season before; or it was stopped.
pub(in crate::detect) fn fit(
    config: &Config,
    train: &Window,
    context: &FitContext<'_>,
) -> Result<Box<dyn Model>, FitError> {
    let values = train.column(0);
    let (first, end, have) = profile::extent(&values).unwrap_or((0, 0, 0));
    let step_s = train.grid.step_s;
    let want = ((2 * DAY_S / step_s) as usize).max(MIN_ROWS);
    let few = FitError::TooFewRows { have, want };
    let span_s = (end - first) as i64 * step_s;
    let times = Times::new(context.calendar, step_s, span_s).ok_or_else(|| few.clone())?;
    let (usual, lesson) =
        traffic::learn(train, &values, first..end, &times).ok_or_else(|| few.clone())?;
    if lesson.targets.len() < MIN_ROWS {
        return Err(few);
    }
    let bins = Bins::of(&lesson.columns);
    let row = |i: usize| bins.row(&lesson.columns.each_ref().map(|column| column[i]));
    let rows: Vec<_> = (0..lesson.targets.len()).map(row).collect();
    let plan = config.plan(rows.len(), bins.varying().len());
    let grown = Forest::fit(
        &rows,
        &lesson.targets,
        &bins,
        (config.trees, plan),
        context.seed,
        context.keep_going,
    );
    let (forest, unseen) = grown.ok_or(FitError::Stopped)?;
    let mut errors = vec![Vec::new(); 24];
    for ((hour, target), unseen) in lesson.hours.iter().zip(&lesson.targets).zip(unseen) {
        errors[*hour].extend(Some((target - unseen).abs()).filter(|error| error.is_finite()));
    }
    let scales = profile::group_scales(&mut errors).into_iter();
    let scale = scales.map(|scale| scale.clamp(MIN_SCALE, MAX_SCALE) as f32).collect();
    let fitted = Fitted { times, usual, bins, forest, scale };
    Ok(averaged(fitted, config.mean_of, step_s))
}

/// Most rows before the forecast one that are read, of rows every `step_s`, where `history_s` seconds
/// were learnt from.
pub(in crate::detect) fn most_lookback(step_s: i64, history_s: i64) -> usize {
    let times = Times::new(&Calendar::default(), step_s, history_s);
    times.map_or(0, |times| times.lookback())
}

/// The model that [`Model::parts`] came from.
///
/// # Errors
/// The parts are not those of this detector.
pub(in crate::detect) fn restore(parts: Parts) -> Result<Box<dyn Model>, RestoreError> {
    averaged::restore(parts, restored)
}

fn restored(parts: Parts) -> Result<Fitted, RestoreError> {
    let fail = |what: &str| RestoreError(format!("{NAME}: {what}"));
    let meta: Meta = serde_json::from_value(parts.meta).map_err(|e| fail(&e.to_string()))?;
    if meta.detector != NAME {
        return Err(fail(&format!("the parts are of {:?}", meta.detector)));
    }
    let times = meta.times;
    if let Some(problem) = times.problem() {
        return Err(fail(problem));
    }
    let mut tensors = Tensors::new(parts.tensors)?;
    let centre = tensors.take::<f32>("centre", &[times.n_slots()])?;
    let spread = tensors.take::<f32>("spread", &[24])?;
    let scale = tensors.take::<f32>("scale", &[24])?;
    let bins = Bins::restore(&mut tensors, traffic::COLUMNS)?;
    let forest = Forest::restore(&mut tensors, traffic::COLUMNS)?;
    tensors.end(NAME)?;
    if !scale.iter().all(|&s| s > 0.0) {
        return Err(fail("scales must be above zero"));
    }
    Ok(Fitted { times, usual: Usual { centre, spread }, bins, forest, scale })
}

/// The fitted model, rounded as it is stored.
#[derive(Debug, Clone, PartialEq)]
struct Fitted {
    times: Times,
    usual: Usual,
    bins: Bins,
    forest: Forest,
    /// By hour of the day.
    scale: Vec<f32>,
}

impl Model for Fitted {
    fn lookback(&self) -> usize {
        self.times.lookback()
    }

    /// Rows that are not there are gaps: of a row too early a lag is as usual.
    fn score(&self, window: &Window, first: usize) -> Vec<Raw> {
        let ask = |i| traffic::ask(&self.times, &self.usual, window, i);
        let asked: Vec<_> = (first..window.grid.len).map(ask).collect();
        let rows: Vec<_> = asked.iter().map(|asked| self.bins.row(&asked.columns)).collect();
        let forecasts = self.forest.predict(&rows);
        let raw = |((i, asked), off): ((usize, &traffic::Asked), f64)| {
            let centre = asked.centre + off;
            let scale = f64::from(self.scale[asked.hour]);
            let y = window.row(i).first().copied().unwrap_or(f64::NAN);
            Forecast::new(centre, scale).judge(y)
        };
        (first..window.grid.len).zip(&asked).zip(forecasts).map(raw).collect()
    }

    fn parts(&self) -> Parts {
        let meta = Meta { detector: NAME.to_string(), times: self.times.clone() };
        let mut tensors = vec![
            Tensor::flat("centre", self.usual.centre.clone()),
            Tensor::flat("spread", self.usual.spread.clone()),
            Tensor::flat("scale", self.scale.clone()),
        ];
        tensors.extend(self.bins.tensors());
        tensors.extend(self.forest.tensors());
        Parts { meta: serde_json::to_value(meta).unwrap_or_default(), tensors }
    }
}

/// What is stored beside the tensors.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Meta {
    detector: String,
    times: Times,
}

#[cfg(test)]
mod tests;

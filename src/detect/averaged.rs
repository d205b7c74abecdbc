//! A forecaster judged by the mean of its newest deviations.
//!
//! Owns: the mean, and the band that follows from it. Does not own: the forecasts.
//!
//! Each row's deviation is taken in scales of its own, and none counts for more than [`MOST`]: what lasts
//! adds up, noise falls out, and one wild row is not believed for long.

use serde::Deserialize;
use serde::Serialize;

use crate::detect::Forecast;
use crate::detect::Model;
use crate::detect::Parts;
use crate::detect::Raw;
use crate::detect::RestoreError;
use crate::series::Window;

/// The most that an earlier row counts for, in scales.
const MOST: f64 = 10.0;
/// Longest mean.
const MAX_MEAN_OF: usize = 100;
/// Rows this far apart, and further, are averaged by default.
const BUCKET_S: i64 = 900;

/// What is wrong with a number of averaged deviations.
pub(in crate::detect) fn problem(mean_of: Option<usize>) -> Option<String> {
    let n = mean_of.filter(|n| !(1..=MAX_MEAN_OF).contains(n))?;
    Some(format!("mean_of is {n}, wanted 1 to {MAX_MEAN_OF}"))
}

/// How many deviations make the mean of rows so far apart.
pub(in crate::detect) fn mean_of(wanted: Option<usize>, step_s: i64) -> usize {
    wanted.unwrap_or(if step_s >= BUCKET_S { 4 } else { 1 }).clamp(1, MAX_MEAN_OF)
}

/// The model, judged by the mean of `wanted` deviations of rows so far apart; by default four where rows
/// are a quarter of an hour apart or more.
pub(in crate::detect) fn averaged(
    of: impl Model + 'static,
    wanted: Option<usize>,
    step_s: i64,
) -> Box<dyn Model> {
    match mean_of(wanted, step_s) {
        1 => Box::new(of),
        mean_of => Box::new(Averaged { of, mean_of }),
    }
}

/// The model that [`Model::parts`] came from, `restore` being how its forecaster is restored.
pub(in crate::detect) fn restore<M: Model + 'static>(
    mut parts: Parts,
    restore: impl Fn(Parts) -> Result<M, RestoreError>,
) -> Result<Box<dyn Model>, RestoreError> {
    // Models of one deviation, and those of before there were others, say nothing of a mean.
    let Ok(Meta { mean_of, of }) = serde_json::from_value::<Meta>(parts.meta.clone()) else {
        return Ok(Box::new(restore(parts)?));
    };
    if !(2..=MAX_MEAN_OF).contains(&mean_of) {
        return Err(RestoreError(format!("a mean of {mean_of} deviations")));
    }
    parts.meta = of;
    Ok(Box::new(Averaged { of: restore(parts)?, mean_of }))
}

/// What is stored beside what the forecaster stores.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Meta {
    mean_of: usize,
    of: serde_json::Value,
}

struct Averaged<M> {
    of: M,
    mean_of: usize,
}

impl<M: Model> Model for Averaged<M> {
    fn lookback(&self) -> usize {
        self.of.lookback() + self.mean_of - 1
    }

    fn score(&self, window: &Window, first: usize) -> Vec<Raw> {
        let from = first.saturating_sub(self.mean_of - 1);
        let y = |row: usize| window.row(row).first().copied().unwrap_or(f64::NAN);
        let single = self.of.score(window, from);
        let deviation = |(i, raw): (usize, &Raw)| {
            let deviation = raw.forecast?.deviation(y(from + i)).clamp(-MOST, MOST);
            Some(deviation).filter(|deviation| !deviation.is_nan())
        };
        let deviations: Vec<Option<f64>> = single.iter().enumerate().map(deviation).collect();
        let raw = |i: usize| {
            let Some(own) = single[i].forecast else { return single[i] };
            let earlier = &deviations[(i + 1).saturating_sub(self.mean_of)..i];
            let (before, of) =
                earlier.iter().flatten().fold((0.0, 1.0), |(sum, n), d| (sum + d, n + 1.0));
            Forecast { before, of, ..own }.judge(y(from + i))
        };
        (first - from..single.len()).map(raw).collect()
    }

    fn reads(&self, feature: usize) -> bool {
        self.of.reads(feature)
    }

    fn parts(&self) -> Parts {
        let Parts { meta, tensors } = self.of.parts();
        let meta = Meta { mean_of: self.mean_of, of: meta };
        Parts { meta: serde_json::to_value(meta).unwrap_or_default(), tensors }
    }
}

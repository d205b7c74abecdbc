//! A fitted model, whole: preprocessing, detector, calibration, threshold; to bytes and back.
//!
//! Owns: the order in which a model is made (score held-out rows, calibrate, fit) and its file format.
//! Does not own: which rows are learnt from (`train`) or where the bytes are kept (`store`).

mod card;
mod elsewhere;
mod enough;
mod file;
mod held_out;
mod known;

use std::sync::Mutex;
use std::sync::PoisonError;

use serde::Serialize;

use crate::detect;
use crate::detect::Episode;
use crate::detect::FitContext;
use crate::detect::FitError;
use crate::detect::Look;
use crate::detect::Opinion;
use crate::detect::Parts;
use crate::detect::Raw;
use crate::math::stats;
use crate::preprocess;
use crate::score::Calibrator;
use crate::score::Scale;
use crate::score::THRESHOLD;
use crate::series::Grid;
use crate::series::Window;

use card::Losses;
use card::Origin;
use file::FORMAT;
use file::Head;
use held_out::held_out;
use held_out::in_pieces;
use held_out::stretches;

pub use elsewhere::Elsewhere;
pub use enough::min_history_s;
pub use file::sha256;

/// Seconds in a week.
const WEEK_S: f64 = 604_800.0;

/// What a model is made from.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    /// Names of the columns; a detector of one feature judges the first.
    pub features: Vec<String>,
    /// The detector and its settings.
    pub detector: detect::Config,
    /// How rows are brought to scale; one entry per column.
    pub preprocess: preprocess::Config,
    /// Distance of two raw rows, in seconds.
    pub step_s: i64,
    /// Length of a calibration block, in seconds.
    pub block_s: i64,
    /// The page budget.
    pub pages_per_week: f64,
    /// Names the settings that all this came from.
    pub fingerprint: String,
}

/// More rows than anybody holds in memory: thirty years of seconds.
const MOST_ROWS: usize = 1_000_000_000;

/// A fitted model.
pub struct Model {
    head: Head,
    fitted: Box<dyn detect::Model>,
}

/// One scored point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// The start of its row, in unix seconds.
    pub time_s: i64,
    /// The detector's own number.
    pub raw: f64,
    /// −ln of the pages per week that a threshold here would cost.
    pub surprise: f64,
    /// ≥ 0, 1 is the threshold; NaN is unknown.
    pub score: f64,
    /// Single detectors: what was measured, expected, and the band outside of which the score is above 1.
    pub band: Option<Band>,
}

/// A forecast with its band, in the units of the query (per bucket where there is one).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Band {
    /// What was measured.
    pub observed: f64,
    /// What was expected.
    pub expected: f64,
    /// Below it the score is above 1.
    pub lower: f64,
    /// Above it the score is above 1.
    pub upper: f64,
}

impl Model {
    /// Learns from `history`, raw rows in which known incidents are gaps; those are among the raw episodes of
    /// `context`.
    ///
    /// Calibrated on rows that the scoring fit never saw: a model flatters the rows that it has learnt.
    ///
    /// # Errors
    /// Too few rows, or stopped.
    pub fn train(
        recipe: &Recipe,
        history: &Window,
        context: &FitContext<'_>,
    ) -> Result<Model, FitError> {
        let preprocess = recipe.preprocess.fit(history);
        let (rows, episodes) = scaled(&preprocess, recipe, history, context.episodes);
        Model::of_scaled(recipe, preprocess, &rows, &FitContext { episodes: &episodes, ..*context })
    }

    fn of_scaled(
        recipe: &Recipe,
        preprocess: preprocess::Fitted,
        rows: &Window,
        context: &FitContext<'_>,
    ) -> Result<Model, FitError> {
        // A watch that has just begun has no rows before that: its first stretch is not the empty one.
        let n_judged = if recipe.detector.joint() { rows.n_features } else { 1 };
        let first = (0..rows.grid.len).find(|&i| has_data(rows.row(i), n_judged)).unwrap_or(0);
        let rows = rows.slice(first, rows.grid.len);
        let block_s = block_s(recipe.block_s, rows.grid);
        let mut calibrator = Calibrator::new(rows.grid.step_s, block_s);
        // As many fits again as there are stretches of rows that a fit must not have seen.
        let first = 1.0 / (1 + stretches(&recipe.detector, rows.grid.len).count()) as f64;
        let (all, others) = (context.part(0.0..first), context.part(first..1.0));
        let whole = FitContext { stages: Some(&all), ..*context };
        let (fitted, losses) = fitted_with_losses(&recipe.detector, &rows, &whole)?;
        let like = FitContext { like: Some(&fitted.parts()), stages: Some(&others), ..*context };
        let held_out = held_out(&recipe.detector, &rows, &like)?;
        held_out.iter().for_each(|raw| calibrator.observe(*raw));
        let calibration = calibrator.calibration().clone();
        let n_rows = (0..rows.grid.len).filter(|&i| has_data(rows.row(i), n_judged)).count();
        let weeks = n_rows as f64 * rows.grid.step_s as f64 / WEEK_S;
        let highest = held_out.iter().copied().fold(f64::NAN, f64::max);
        let mut scale = Scale::new(calibration.floor(), recipe.pages_per_week).while_young(
            recipe.pages_per_week,
            weeks,
            calibration.surprise(highest),
        );
        if recipe.detector.supervised() && calibration.ready() {
            let (fitted, episodes) = (fitted.as_ref(), context.episodes);
            scale = known::lowered(scale, &calibration, fitted, episodes, &held_out);
        }
        let elsewhere = context.pretrained_of(recipe.detector.name());
        if let Some(known) = elsewhere {
            // Hours of one's own say little of what is rare. What a row in twenty reaches here is none, though, and where
            // that is far above the line, the network is not made for this place: what the page budget asks for holds.
            let often = stats::quantile(&stats::sorted(held_out.iter().copied()), 0.95);
            if often < 2.0 * known.line {
                scale = scale.at(calibration.surprise(known.line.max(often)));
            }
        }
        let surprises = held_out.iter().map(|raw| calibration.surprise(*raw));
        let origin = Origin {
            from_s: rows.grid.start_s,
            to_s: rows.grid.end_s(),
            n_gaps: rows.grid.len - n_rows,
            n_incidents: context.episodes.len(),
            seed: context.seed,
            portent: env!("CARGO_PKG_VERSION").to_owned(),
            n_held_out: held_out.iter().filter(|raw| !raw.is_nan()).count(),
            n_above: surprises.filter(|s| scale.score(*s) > THRESHOLD).count(),
            losses,
            pretrained: elsewhere.is_some(),
        };
        let head = Head {
            format: FORMAT,
            fingerprint: recipe.fingerprint.clone(),
            features: recipe.features.clone(),
            detector: recipe.detector.clone(),
            preprocess,
            step_s: recipe.step_s,
            calibration,
            scale,
            n_rows,
            origin: Some(origin),
            meta: serde_json::Value::Null,
            tensors: Vec::new(),
        };
        Ok(Model { head, fitted })
    }

    /// As [`Model::score`], with `keep_going` asked every 50 ms or so; `None` where it said no.
    pub fn score_while(
        &self,
        raw: &Window,
        from_s: i64,
        keep_going: &dyn Fn() -> bool,
    ) -> Option<Vec<Point>> {
        let rows = self.head.preprocess.apply(raw);
        let which = rows.grid.at_or_after(from_s)..rows.grid.len;
        let scored = in_pieces(self.fitted.as_ref(), &rows, which.clone(), keep_going)?;
        Some(
            which
                .zip(&scored)
                .map(|(i, raw)| self.point(rows.grid.time(i), rows.row(i), raw))
                .collect(),
        )
    }

    /// Scores the points of `raw`, rows at the step of training, that start at `from_s` or later.
    pub fn score(&self, raw: &Window, from_s: i64) -> Vec<Point> {
        let rows = self.head.preprocess.apply(raw);
        let grid = rows.grid;
        let first = grid.at_or_after(from_s);
        let scored = self.fitted.score(&rows, first);
        let point =
            |(i, raw): (usize, &Raw)| self.point(grid.time(first + i), rows.row(first + i), raw);
        scored.iter().enumerate().map(point).collect()
    }

    fn point(&self, time_s: i64, row: &[f64], raw: &Raw) -> Point {
        let surprise = self.head.calibration.surprise(raw.value);
        let band = raw.forecast.map(|forecast| {
            let (lower, upper) =
                forecast.band(self.head.calibration.raw_at(self.head.scale.threshold));
            let invert = |value| self.head.preprocess.invert(0, value);
            Band {
                observed: invert(row[0]),
                expected: invert(forecast.expected),
                lower: invert(lower),
                upper: invert(upper),
            }
        });
        Point { time_s, raw: raw.value, surprise, score: self.head.scale.score(surprise), band }
    }

    /// Each feature's share of the newest complete point's raw score, by name.
    pub fn contributions(&self, raw: &Window) -> Vec<(&str, f64)> {
        let shares = self.fitted.contributions(&self.head.preprocess.apply(raw));
        let names = self.head.features.iter().map(String::as_str);
        shares.map(|shares| names.zip(shares).collect()).unwrap_or_default()
    }

    /// Whether it has [`Model::deviations`].
    pub fn deviates(&self) -> bool {
        self.head.detector.deviates()
    }

    /// How strange each feature of the newest complete point is, below 0 where it is lower than it should be; of
    /// detectors by which anomalies are told apart.
    pub fn deviations(&self, raw: &Window) -> Option<Vec<f64>> {
        self.fitted.deviations(&self.head.preprocess.apply(raw))
    }

    /// Whether it has an [`Opinion`].
    pub fn names_classes(&self) -> bool {
        self.head.detector.supervised()
    }

    /// What the newest complete point may be; of supervised detectors.
    pub fn opinion(&self, raw: &Window) -> Option<Opinion> {
        self.fitted.opinion(&self.head.preprocess.apply(raw))
    }

    /// Raw rows, up to and including the scored point's, that a score needs.
    pub fn n_raw_rows(&self) -> usize {
        self.head.preprocess.n_raw_rows(self.fitted.lookback() + 1, self.head.step_s)
    }

    /// Distance of two points, in seconds: the bucket where there is one.
    pub fn point_s(&self) -> i64 {
        self.head.preprocess.coarse_step_s(self.head.step_s)
    }

    /// From a point's time to the last raw row that it is made of, in seconds.
    pub fn delay_s(&self) -> i64 {
        self.point_s() - self.head.step_s
    }

    /// Names the settings that it was made with.
    pub fn fingerprint(&self) -> &str {
        &self.head.fingerprint
    }

    /// The columns that it wants, out of `rows` whose columns are `names`; one that is not there is a gap.
    pub fn columns<'a>(
        &self,
        names: impl Iterator<Item = &'a str> + Clone,
        rows: &Window,
    ) -> Window {
        let index = |wanted: &String| names.clone().position(|name| name == wanted);
        let wanted: Vec<Option<usize>> = self.head.features.iter().map(index).collect();
        rows.select_known(&wanted)
    }

    /// Whether the feature of this name has any part in its scores.
    pub fn reads(&self, feature: &str) -> bool {
        let column = self.head.features.iter().position(|name| name == feature);
        column.is_some_and(|column| self.fitted.reads(column))
    }

    /// Why it cannot have been made by this recipe, of other columns, step, detector, preprocessing, or under
    /// another fingerprint; `None` where it can. A file that people hand around says of itself what it likes; what
    /// it says here decides how much is read and held for it.
    pub fn differs_from(&self, recipe: &Recipe) -> Option<String> {
        let Head { fingerprint, features, detector, preprocess, step_s, n_rows, .. } = &self.head;
        let without = |some: &[String], others: &[String]| {
            let left = some.iter().filter(|name| !others.contains(name));
            left.cloned().collect::<Vec<_>>().join(", ")
        };
        let lacks = without(&recipe.features, features);
        let has = without(features, &recipe.features);
        match () {
            () if !lacks.is_empty() => Some(format!("it lacks {lacks}")),
            () if !has.is_empty() => Some(format!("it has {has}, which the watch has not")),
            () if *features != recipe.features => Some("its features are in another order".into()),
            () if *step_s != recipe.step_s => {
                Some(format!("its step is {step_s}s, wanted {}s", recipe.step_s))
            }
            () if *detector != recipe.detector => Some("its detector is set otherwise".into()),
            () if !preprocess.is_fit_of(&recipe.preprocess, features.len()) => {
                Some("its rows were preprocessed otherwise".into())
            }
            () if *n_rows > MOST_ROWS => Some(format!("it says that it learnt from {n_rows} rows")),
            () if *fingerprint != recipe.fingerprint => {
                Some("its queries, page budget or calendar are others".into())
            }
            () => None,
        }
    }

    /// The detector's name.
    pub fn detector(&self) -> &'static str {
        self.head.detector.name()
    }

    /// Whether it has seen enough to know its threshold.
    pub fn calibrated(&self) -> bool {
        self.head.calibration.ready()
    }

    /// Points with data that it learnt from.
    pub fn n_rows(&self) -> usize {
        self.head.n_rows
    }

    /// How long these points are together, in seconds.
    pub fn history_s(&self) -> i64 {
        self.head.n_rows as i64 * self.point_s()
    }

    /// The surprise at which the score is 1.
    pub fn threshold(&self) -> f64 {
        self.head.scale.threshold
    }

    /// Puts the threshold back to where it was.
    pub fn reset_threshold(&mut self, surprise: f64) {
        self.head.scale.threshold = surprise;
    }

    /// Moves the threshold to just below the lowest surprise among known anomalies, and to just above
    /// the highest of what people called normal; the anomalies have the last word.
    pub fn move_threshold(&mut self, lowest_anomaly: Option<f64>, highest_normal: Option<f64>) {
        let scale = &mut self.head.scale;
        let margin = |surprise: f64| 0.02 * (surprise - scale.floor).abs().max(0.5);
        let raised = highest_normal.map(|s| s + margin(s)).filter(|s| *s > scale.threshold);
        let threshold = raised.unwrap_or(scale.threshold);
        let lowered = lowest_anomaly.map(|s| s - margin(s)).filter(|s| *s < threshold);
        match lowered {
            Some(surprise) => *scale = scale.lowered_to(surprise),
            None => scale.threshold = threshold,
        }
    }

    /// Whether its network learnt elsewhere, and only what is usual here.
    pub fn is_pretrained(&self) -> bool {
        self.head.origin.as_ref().is_some_and(|origin| origin.pretrained)
    }

    /// The numbers of the fit: a place to start from for the next one.
    pub fn parts(&self) -> Parts {
        self.fitted.parts()
    }
}

/// A fit, and the losses of its network; none of one that learns from incidents: it is trained once more, with what
/// was held out.
fn fitted_with_losses(
    detector: &detect::Config,
    rows: &Window,
    context: &FitContext<'_>,
) -> Result<(Box<dyn detect::Model>, Option<Losses>), FitError> {
    let losses = Mutex::new(None);
    let hear = |look: Look| {
        let mut losses = losses.lock().unwrap_or_else(PoisonError::into_inner);
        *losses = Losses::better(*losses, &look);
        context.looks.iter().for_each(|hear| hear(look));
    };
    let fitted = detector.fit(rows, &FitContext { looks: Some(&hear), ..*context })?;
    let losses = losses.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok((fitted, losses.filter(|_| !detector.supervised())))
}

/// A history and its episodes, of joint detectors, brought to scale.
fn scaled(
    preprocess: &preprocess::Fitted,
    recipe: &Recipe,
    history: &Window,
    episodes: &[Episode],
) -> (Window, Vec<Episode>) {
    let scaled = |e: &Episode| Episode { rows: preprocess.apply(&e.rows), ..e.clone() };
    let episodes = episodes.iter().filter(|_| recipe.detector.joint()).map(scaled).collect();
    (preprocess.apply_measured(history), episodes)
}

/// Whether a row has a sample of what is judged, the first columns.
fn has_data(row: &[f64], n_judged: usize) -> bool {
    row.iter().take(n_judged).any(|v| !v.is_nan())
}

/// The block of a young history is shorter: a tail needs some twenty maxima to be seen, and eight hours
/// without a score are worse than a threshold that is a little too high.
fn block_s(usual_s: i64, rows: Grid) -> i64 {
    let twentieth = rows.len as i64 / 20 * rows.step_s;
    usual_s.min(twentieth.max(10 * rows.step_s))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Five-minute traffic of a week, with bursts and gaps.
    fn traffic() -> Window {
        let value = |i: usize| match (i % 97, i % 41) {
            (3..6, _) => f64::NAN,
            (_, 7) => 60_000.0,
            _ => 1000.0 + 900.0 * (i as f64 / 288.0 * 6.3).sin() + (i * 7919 % 101) as f64,
        };
        let n = 8 * 288;
        Window::single(Grid { start_s: 0, step_s: 300, len: n }, (0..n).map(value).collect())
    }

    #[test]
    fn as_they_come_points_score_as_in_all_of_history() {
        use preprocess::Step;
        let despike = preprocess::Despike { window: 24, threshold: 2.0 };
        let hampel = preprocess::Hampel { window: 25, threshold: 4.0, run: 3 };
        let previous = Step::Fill(preprocess::Fill::Previous(3));
        for steps in [
            vec![Step::Bucket(1800)],
            vec![Step::Despike(despike), Step::Bucket(1800)],
            vec![previous, Step::Hampel(hampel), Step::Bucket(1800)],
            vec![Step::Despike(despike)],
        ] {
            let raw = traffic();
            let recipe = Recipe {
                features: vec!["in".into()],
                detector: detect::Config::seasonal(86_400).remove(0),
                preprocess: preprocess::Config { steps, ..Default::default() },
                step_s: 300,
                block_s: 7200,
                pages_per_week: 1.0,
                fingerprint: String::new(),
            };
            let history = raw.slice(0, 6 * 288);
            let model = Model::train(&recipe, &history, &FitContext::new(0, &|| true)).unwrap();
            let (n, all) = (model.n_raw_rows(), model.score(&raw, 6 * 86_400));
            assert!(all.iter().filter(|point| point.score > 0.0).count() > 20);
            let days = model.history_s() as f64 / 86_400.0;
            assert!((5.0..=6.0).contains(&days), "of six days with gaps: {days}");
            for point in &all {
                let to = raw.grid.index(point.time_s).unwrap() + model.point_s() as usize / 300;
                let newest = model.score(&raw.slice(to - n, to), point.time_s);
                assert_eq!(newest.len(), 1);
                let bits =
                    |point: &Point| (point.time_s, point.raw.to_bits(), point.score.to_bits());
                assert_eq!(bits(&newest[0]), bits(point), "{:?}", recipe.preprocess.steps);
            }
        }
    }
}

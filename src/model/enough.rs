//! How much history makes a model that knows its threshold.

use super::block_s;
use super::held_out::FEW_ROWS;
use super::held_out::stretches;
use crate::detect;
use crate::math::calendar::DAY_S;
use crate::score;
use crate::series::Grid;

/// Held-out blocks without which there is no threshold.
const MIN_BLOCKS: usize = 7;

/// The shortest history, in seconds, whose model scores; rows without gaps every `point_s`, and the
/// usual block.
pub fn min_history_s(detector: &detect::Config, point_s: i64) -> i64 {
    let twice =
        |season_s: i64| (2 * season_s).unsigned_abs().div_ceil(point_s.unsigned_abs()) as usize;
    let fit_rows = match detector {
        detect::Config::Stl(config) => {
            let longest_s = config.seasons_s.iter().copied().max();
            twice(longest_s.or(config.season_s).unwrap_or(DAY_S))
        }
        // The first day has no day before it to learn from.
        detect::Config::Sarimax(config) if config.seasonal[1] > 0 => {
            twice(config.season_s.max(DAY_S))
        }
        detect::Config::Sarimax(_) | detect::Config::RandomForest(_) => twice(DAY_S),
        _ => detector.min_rows(),
    };
    let suffices = |n: &usize| n_blocks(detector, point_s, fit_rows, *n) >= MIN_BLOCKS;
    // A week of seconds is 600,000 rows: nobody needs the answer to the row.
    let first = fit_rows.max(MIN_BLOCKS);
    let grain = (first / 128).max(1);
    let rows = (first..).step_by(grain).find(suffices).unwrap_or(first);
    rows as i64 * point_s
}

/// Blocks that calibration sees of `n` rows, where a fit takes `fit_rows`.
fn n_blocks(detector: &detect::Config, point_s: i64, fit_rows: usize, n: usize) -> usize {
    let grid = Grid { start_s: 0, step_s: point_s, len: n };
    let usual_s = score::default_block_s(point_s);
    let block_rows = (block_s(usual_s, grid) / point_s).max(1) as usize;
    let fits = |from: usize, to: usize| match from {
        0 => n - (to - from) >= fit_rows,
        _ if detector.joint() && n <= FEW_ROWS => n - (to - from) >= fit_rows,
        _ => from >= fit_rows,
    };
    let scored = stretches(detector, n).filter(|(from, to)| fits(*from, *to));
    let n_scored: usize = scored.map(|(from, to)| to - from).sum();
    // The first rows of all have no window yet.
    let without_window = if detector.joint() && n <= FEW_ROWS { fit_rows / 2 } else { 0 };
    n_scored.saturating_sub(without_window) / block_rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::FitContext;
    use crate::model::Model;
    use crate::model::Recipe;
    use crate::preprocess;
    use crate::series::Window;

    /// Whether a model of `share` of the shortest history knows its threshold.
    fn calibrated(detector: &detect::Config, point_s: i64, share: f64) -> bool {
        let len = (min_history_s(detector, point_s) as f64 * share) as i64 / point_s;
        let noise = |i: i64| (i.wrapping_mul(2_654_435_761) % 1_000) as f64 / 300.0;
        let values: Vec<f64> = (0..len).map(|i| (i as f64 / 9.0).sin() + noise(i)).collect();
        let recipe = Recipe {
            features: vec!["x".into()],
            detector: detector.clone(),
            preprocess: preprocess::Config::default(),
            step_s: point_s,
            block_s: score::default_block_s(point_s),
            pages_per_week: 1.0,
            fingerprint: String::new(),
        };
        let grid = Grid { start_s: 0, step_s: point_s, len: values.len() };
        let context = FitContext::new(0, &|| true);
        let model = Model::train(&recipe, &Window::single(grid, values), &context);
        model.is_ok_and(|model| model.calibrated())
    }

    #[test]
    fn it_suffices_and_much_less_does_not() {
        let named = |name: &str| detect::Config::named(name).unwrap();
        let hour = r#"{"stl": {"season_s": 3600}}"#;
        let hour: detect::Config = serde_json::from_str(hour).unwrap();
        let mut all = vec![];
        for point_s in [1, 30, 300, 1_800, 43_200] {
            all.push((named("seasonal_median"), point_s));
        }
        all.extend([(named("stl"), 300), (named("stl"), 1_800), (hour, 30)]);
        for name in ["sarimax", "random_forest", "isolation_forest", "one_class_svm"] {
            all.extend([(named(name), 300), (named(name), 1_800)]);
        }
        for text in [r#"{"order": [1, 1, 1]}"#, r#"{"seasonal": [0, 1, 1]}"#] {
            let text = format!(r#"{{"sarimax": {text}}}"#);
            all.push((serde_json::from_str(&text).unwrap(), 1_800));
        }
        all.extend([
            (named("pca"), 1),
            (named("pca"), 30),
            (named("var"), 30),
            (named("var"), 300),
        ]);
        #[cfg(feature = "deep")]
        all.extend([(named("autoencoder"), 1), (named("autoencoder"), 30)]);
        for (detector, point_s) in all {
            let name = (detector.name(), point_s);
            assert!(calibrated(&detector, point_s, 1.0), "{name:?}");
            assert!(!calibrated(&detector, point_s, 0.8), "{name:?}");
        }
    }
}

//! The rows of a label, and what detectors look back at from them.
//!
//! Owns: how much is kept. Does not own: asking (`gather`), keeping (`store`).

use std::collections::BTreeSet;
use std::sync::Arc;

use super::GatherError;
use super::Slices;
use super::known_s;
use super::rows;
use super::whole_points;
use crate::detect;
use crate::series::Grid;
use crate::series::Window;
use crate::source::Source;
use crate::source::SourceError;
use crate::store::LabelRows;
use crate::verdict::Label;
use crate::watch::Watch;

/// Points before a label's interval that are kept with it at least: tomorrow's detectors may look back
/// further than today's.
const LABEL_CONTEXT_POINTS: usize = 64;

/// Numbers before a label's interval that are kept with it at most: 4 MiB. Only days of seconds are more.
const MOST_LABEL_CONTEXT: usize = 1 << 19;

/// Raw rows before a label's interval that are kept with it: what the watch's detectors look back at from
/// its first point. Of a port in half-hours every 5 min that is 3 kB a feature, with a random forest 16 kB.
pub fn label_context(watch: &Watch) -> usize {
    let (point_s, per_point) = (watch.point_s(), watch.rows_per_point());
    let back =
        |d: &detect::Config| d.most_lookback(point_s, watch.train.history_s).max(d.min_rows());
    let points = watch.detectors.iter().map(back).max().unwrap_or(0).max(LABEL_CONTEXT_POINTS);
    let seen = watch.preprocess(&[]).n_raw_rows(points + 1, watch.step_s);
    // Whole points: no bucket begins amid its rows.
    let most = MOST_LABEL_CONTEXT / watch.features.len().max(1);
    seen.saturating_sub(per_point).min(most).next_multiple_of(per_point)
}

/// What the source has of a label's interval.
#[derive(Debug, Clone, PartialEq)]
pub enum Labelled {
    /// The feature rows that it speaks of, with those before it.
    Rows(LabelRows),
    /// Its last point is over at this time (unix seconds), and not before: rows that were kept now had
    /// gaps for ever.
    Unfinished(i64),
    /// No sample of the entity.
    Nothing,
}

/// Asks for the feature rows that a label speaks of, with those before it, as they are at `now_s`;
/// `n_known` entities are known of the watch, 0 if nobody knows.
///
/// # Errors
/// The source did not answer.
pub async fn label_rows(
    source: &Arc<dyn Source>,
    watch: &Watch,
    label: &Label,
    now_s: i64,
    n_known: usize,
) -> Result<Labelled, GatherError> {
    let interval = whole_points(watch, label.interval);
    let context_s = label_context(watch) as i64 * watch.step_s;
    let (start_s, known_s) = (interval.from_s - context_s, known_s(watch, now_s));
    let grid = Grid::covering(start_s, interval.to_s.min(known_s), watch.step_s);
    let mut window = Window::gaps(grid, watch.features.len());
    let mut refused = BTreeSet::new();
    let (mut slices, mut found) = (Slices::new(watch, grid, n_known), false);
    while !slices.is_done() {
        let slice = slices.take();
        let answered = rows(source, watch, slice).await?;
        if answered.partial {
            // What is kept is never asked for again: better later and whole.
            let what = format!("{}: its answer lacks data", source.describe());
            return Err(GatherError {
                name: "label".into(),
                error: SourceError::Unavailable(what),
            });
        }
        refused.extend(answered.failed.into_iter().map(|(name, _)| name));
        let mut part = answered.windows;
        slices.found(part.len());
        if let (Some(part), Some(row)) = (part.remove(&label.entity), grid.index(slice.start_s)) {
            let at = row * window.n_features;
            window.values[at..at + part.values.len()].copy_from_slice(&part.values);
            found = true;
        }
    }
    if interval.to_s > known_s {
        let whole_s = interval.to_s - watch.step_s + watch.lag_s;
        return Ok(if found { Labelled::Unfinished(whole_s) } else { Labelled::Nothing });
    }
    // The rows before it tell nothing of what a person spoke of.
    let mut spoken_of = (0..grid.len).filter(|row| interval.contains(grid.time(*row)));
    if !spoken_of.any(|row| window.row(row).iter().any(|value| !value.is_nan())) {
        return Ok(Labelled::Nothing);
    }
    // A feature that nobody answered for is not one without samples: it may be asked for again.
    let names = watch.features.iter().map(|feature| feature.name.clone());
    let (features, columns): (Vec<String>, Vec<usize>) =
        names.zip(0..).filter(|(name, _)| !refused.contains(name)).unzip();
    Ok(Labelled::Rows(LabelRows { features, window: window.select(&columns) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gather::tests::ports;

    #[test]
    fn what_is_kept_before_a_label_follows_the_look_back_and_has_an_end() {
        let named = |names: &[&str]| {
            let detectors = names.iter().filter_map(|name| detect::Config::named(name)).collect();
            Watch { detectors, ..ports() }
        };
        assert_eq!(label_context(&named(&["seasonal_median", "stl"])), 64 * 6);
        // A day and two anchors of 32 points, and three deviations before.
        assert_eq!(label_context(&named(&["stl", "sarimax"])), (48 + 64 + 3) * 6);
        let week = Watch {
            train: crate::watch::Training { history_s: 56 * 86_400, ..ports().train },
            ..named(&["random_forest"])
        };
        // A week, and an hour in which a clock may be set, to the end of its slot.
        assert_eq!(label_context(&week), (338 + 3) * 6);
        let despike = Some(crate::preprocess::Despike { window: 24, threshold: 3.0 });
        assert_eq!(label_context(&Watch { despike, ..week }), (338 + 3 + 4) * 6);
        let seconds = Watch { step_s: 1, bucket_s: None, ..named(&["sarimax"]) };
        assert_eq!(label_context(&seconds), 86_400 + 64);
        let features = vec![seconds.features[0].clone(); 8];
        let many = label_context(&Watch { features, ..seconds }) * 8;
        assert_eq!(many, MOST_LABEL_CONTEXT);
    }
}

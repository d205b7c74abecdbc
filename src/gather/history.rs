//! All rows of a stretch of history, by entity.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::GatherError;
use super::Slices;
use super::rows;
use crate::series::Entity;
use crate::series::Grid;
use crate::series::Window;
use crate::source::Source;
use crate::source::SourceError;
use crate::watch::Watch;

/// What history holds.
#[derive(Debug, Default)]
pub struct History {
    /// Each entity's rows on the whole grid; masked cells are gaps.
    pub windows: BTreeMap<Entity, Window>,
    /// Queries that no retry can save, with why; their features are gaps.
    pub failed: BTreeMap<String, SourceError>,
}

/// Reads `grid` slice by slice; a source that takes too long is asked for less at a time.
///
/// # Errors
/// A query failed that may work later.
pub async fn history(
    source: &Arc<dyn Source>,
    watch: &Watch,
    grid: Grid,
) -> Result<History, GatherError> {
    let mut history = History::default();
    let mut slices = Slices::new(watch, grid, 0);
    while !slices.is_done() {
        let slice = slices.take();
        let found = match rows(source, watch, slice).await {
            Err(error) if error.timed_out() && slices.halve(slice) => continue,
            found => found?,
        };
        slices.found(found.windows.len());
        history.failed.extend(found.failed);
        for (entity, part) in found.windows {
            let gaps = || Window::gaps(grid, part.n_features);
            let whole = history.windows.entry(entity).or_insert_with(gaps);
            let at = ((slice.start_s - grid.start_s) / grid.step_s) as usize * part.n_features;
            whole.values[at..at + part.values.len()].copy_from_slice(&part.values);
        }
    }
    Ok(history)
}

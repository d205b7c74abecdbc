//! A source for whoever is not in a hurry.
//!
//! Owns: how much of a source trainings and labels may take from the passes.
//! Does not own: how many queries run at once (each source).

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::series::Grid;
use crate::source::Answer;
use crate::source::BoxFuture;
use crate::source::Source;
use crate::source::SourceError;

/// The same source; whoever holds a clone of it, no more than `most_at_once` queries reach the source
/// at a time, nor more than half of those that it answers at once. Forty queries of a training that
/// queue there would be answered before a pass's.
pub fn patient(source: &Arc<dyn Source>, most_at_once: usize) -> Arc<dyn Source> {
    let n = most_at_once.min(source.max_concurrency() / 2).max(1);
    Arc::new(Patient { source: Arc::clone(source), gate: Semaphore::new(n) })
}

struct Patient {
    source: Arc<dyn Source>,
    gate: Semaphore,
}

impl Patient {
    async fn wait(
        &self,
        asking: BoxFuture<'_, Result<Answer, SourceError>>,
    ) -> Result<Answer, SourceError> {
        // The gate is never closed, so there is always a permit in the end.
        let _permit = self.gate.acquire().await.ok();
        asking.await
    }
}

impl Source for Patient {
    fn range<'a>(
        &'a self,
        query: &'a str,
        grid: Grid,
    ) -> BoxFuture<'a, Result<Answer, SourceError>> {
        Box::pin(self.wait(self.source.range(query, grid)))
    }

    fn instant<'a>(
        &'a self,
        query: &'a str,
        time_s: i64,
    ) -> BoxFuture<'a, Result<Answer, SourceError>> {
        Box::pin(self.wait(self.source.instant(query, time_s)))
    }

    fn max_concurrency(&self) -> usize {
        self.source.max_concurrency()
    }

    fn version(&self) -> BoxFuture<'_, Option<String>> {
        self.source.version()
    }

    fn describe(&self) -> String {
        self.source.describe()
    }
}

//! A source whose queries are counted, whoever sends them: passes, trainings, labels, discovery.

use std::sync::Arc;

use crate::export::Board;
use crate::series::Grid;
use crate::source::Answer;
use crate::source::BoxFuture;
use crate::source::Source;
use crate::source::SourceError;

/// The source, with its queries counted on `board`.
pub(super) fn counted(source: Arc<dyn Source>, board: &Board) -> Arc<dyn Source> {
    Arc::new(Counted { source, board: board.clone() })
}

struct Counted {
    source: Arc<dyn Source>,
    board: Board,
}

impl Counted {
    async fn count(
        &self,
        asking: BoxFuture<'_, Result<Answer, SourceError>>,
    ) -> Result<Answer, SourceError> {
        let own = self.board.own();
        own.query();
        asking.await.inspect_err(|error| own.query_failed(error.reason()))
    }
}

impl Source for Counted {
    fn range<'a>(
        &'a self,
        query: &'a str,
        grid: Grid,
    ) -> BoxFuture<'a, Result<Answer, SourceError>> {
        Box::pin(self.count(self.source.range(query, grid)))
    }

    fn instant<'a>(
        &'a self,
        query: &'a str,
        time_s: i64,
    ) -> BoxFuture<'a, Result<Answer, SourceError>> {
        Box::pin(self.count(self.source.instant(query, time_s)))
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

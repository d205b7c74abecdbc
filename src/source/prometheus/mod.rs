//! Prometheus, and what speaks its HTTP API: Thanos, Mimir, VictoriaMetrics.
//!
//! Owns: ranges split so that the server accepts them, put together again on the grid; how many
//! queries run at once. The parts:
//! `config` and `http_config` what can be set, `tls` and `resolve` whom we talk to, `client` one
//! request, `decode` its answer.

mod client;
mod config;
mod decode;
mod http_config;
mod resolve;
mod tls;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::series::Entity;
use crate::series::Grid;
use crate::source::Answer;
use crate::source::AnswerSeries;
use crate::source::BoxFuture;
use crate::source::Source;
use crate::source::SourceError;
use crate::source::prometheus::client::Client;
use crate::source::prometheus::client::Question;
use crate::source::prometheus::decode::Decoded;

pub use crate::source::prometheus::config::Config;
pub use crate::source::prometheus::http_config::Authorization;
pub use crate::source::prometheus::http_config::BasicAuth;
pub use crate::source::prometheus::http_config::Header;
pub use crate::source::prometheus::http_config::HttpConfig;
pub use crate::source::prometheus::http_config::Secret;
pub use crate::source::prometheus::http_config::TlsConfig;

/// Most times in one query: Prometheus refuses 11,000.
const MOST_POINTS: usize = 10_000;
/// Ranges that turn out too large are halved, but not below this many times.
const FEWEST_POINTS: usize = 50;
/// The longest piece of a query that an error repeats, in characters.
const SHOWN_QUERY: usize = 200;

/// A Prometheus-compatible server as a source.
pub struct Prometheus {
    client: Arc<Client>,
    gate: Semaphore,
    max_concurrency: usize,
    place: String,
}

impl Prometheus {
    /// A source; nothing is sent yet.
    ///
    /// # Errors
    /// The settings contradict themselves, or a TLS file cannot be used. A password's or token's
    /// file is read later, at every request.
    pub fn new(config: &Config) -> Result<Prometheus, SourceError> {
        let place = format!("Prometheus at {}", config.shown());
        let client = Client::new(config).map_err(|error| error.at(&place))?;
        let max_concurrency = config.max_concurrency.min(Semaphore::MAX_PERMITS);
        let gate = Semaphore::new(max_concurrency);
        Ok(Prometheus { client: Arc::new(client), gate, max_concurrency, place })
    }

    async fn ask(&self, query: &str, question: Question) -> Result<Decoded, SourceError> {
        // The gate is never closed, so there is always a permit in the end.
        let _permit = self.gate.acquire().await.ok();
        self.client.ask(query, question).await.map_err(|error| {
            let mut shown: String = query.chars().take(SHOWN_QUERY).collect();
            if shown.len() < query.len() {
                shown.push('…');
            }
            error.at(&format!("{}: query {shown:?}", self.place))
        })
    }

    async fn whole_range(&self, query: &str, grid: Grid) -> Result<Answer, SourceError> {
        check(grid).map_err(|error| error.at(&self.place))?;
        let (mut rest, mut most) = (grid, MOST_POINTS);
        let mut whole = Merged::default();
        while rest.len > 0 {
            let (piece, after) = cut(rest, most);
            let question = Question::Range {
                start_s: piece.start_s,
                end_s: piece.end_s() - piece.step_s,
                step_s: piece.step_s,
            };
            match self.ask(query, question).await {
                Ok(decoded) => {
                    whole.add(decoded, piece).map_err(|error| error.at(&self.place))?;
                    rest = after;
                }
                Err(SourceError::TooManyPoints(_)) if piece.len >= 2 * FEWEST_POINTS => {
                    most = piece.len.div_ceil(2);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(whole.answer())
    }

    async fn one_instant(&self, query: &str, time_s: i64) -> Result<Answer, SourceError> {
        let decoded = self.ask(query, Question::Instant { time_s }).await?;
        let mut whole = Merged::default();
        whole
            .add(decoded, Grid { start_s: time_s, step_s: 1, len: 1 })
            .map_err(|error| error.at(&self.place))?;
        Ok(whole.answer())
    }
}

impl Source for Prometheus {
    fn range<'a>(
        &'a self,
        query: &'a str,
        grid: Grid,
    ) -> BoxFuture<'a, Result<Answer, SourceError>> {
        Box::pin(self.whole_range(query, grid))
    }

    fn instant<'a>(
        &'a self,
        query: &'a str,
        time_s: i64,
    ) -> BoxFuture<'a, Result<Answer, SourceError>> {
        Box::pin(self.one_instant(query, time_s))
    }

    fn max_concurrency(&self) -> usize {
        self.max_concurrency
    }

    fn version(&self) -> BoxFuture<'_, Option<String>> {
        Box::pin(async { self.client.version().await })
    }

    fn describe(&self) -> String {
        self.place.clone()
    }
}

/// Servers and their caches answer aligned ranges alike each time, others they shift.
fn check(grid: Grid) -> Result<(), SourceError> {
    if grid.step_s <= 0 || grid.start_s.rem_euclid(grid.step_s) != 0 {
        return Err(SourceError::BadQuery(format!(
            "range from {} with step {} s, wanted a start that is a multiple of the step",
            grid.start_s, grid.step_s
        )));
    }
    Ok(())
}

/// The first times of the grid, `most` at most, and those after them.
fn cut(grid: Grid, most: usize) -> (Grid, Grid) {
    let len = grid.len.min(most);
    let after = Grid { start_s: grid.time(len), len: grid.len - len, ..grid };
    (Grid { len, ..grid }, after)
}

/// Pieces of an answer, put together.
#[derive(Default)]
struct Merged {
    series: BTreeMap<Entity, Vec<(i64, f64)>>,
    partial: Option<String>,
    warnings: Vec<String>,
}

impl Merged {
    /// Adds the answer for `piece`, which comes after all pieces before it.
    fn add(&mut self, decoded: Decoded, piece: Grid) -> Result<(), SourceError> {
        for (labels, samples) in decoded.series {
            let all = self.series.entry(labels).or_default();
            if all.last().is_some_and(|(time_s, _)| *time_s >= piece.start_s) {
                return Err(SourceError::BadQuery(
                    "two series of the result differ in nothing but the metric's name, \
                     wanted one metric per query"
                        .to_string(),
                ));
            }
            for (time_s, value) in samples {
                let time_s = time_s.round() as i64;
                if piece.index(time_s).is_some() {
                    all.push((time_s, value));
                } else if (piece.start_s..piece.end_s()).contains(&time_s) {
                    return Err(SourceError::Decode(format!(
                        "a sample at {time_s}, wanted multiples of the step, {} s",
                        piece.step_s
                    )));
                } // Else outside of what was asked for: VictoriaMetrics may round a range up.
            }
        }
        self.partial = self.partial.take().or(decoded.partial);
        for warning in decoded.warnings {
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
        Ok(())
    }

    fn answer(self) -> Answer {
        let series = self.series.into_iter().filter(|(_, samples)| !samples.is_empty());
        Answer {
            series: series.map(|(labels, samples)| AnswerSeries { labels, samples }).collect(),
            partial: self.partial,
            warnings: self.warnings,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(labels: &str, samples: &[(f64, f64)]) -> Decoded {
        let series = vec![(labels.parse().unwrap(), samples.to_vec())];
        Decoded { series, partial: None, warnings: vec!["w".to_string()] }
    }

    #[test]
    fn pieces_are_put_together_by_labels() {
        let grid = Grid { start_s: 10, step_s: 10, len: 4 };
        let (first, second) = cut(grid, 2);
        let mut whole = Merged::default();
        whole.add(decoded("a=b", &[(10.0, 1.0), (20.0, 2.0), (30.0, 9.0)]), first).unwrap();
        whole.add(decoded("a=c", &[(30.0, 5.0)]), second).unwrap();
        whole.add(decoded("a=b", &[(40.0, 4.0)]), second).unwrap();
        let answer = whole.answer();
        assert_eq!(answer.series[0].samples, [(10, 1.0), (20, 2.0), (40, 4.0)]);
        assert_eq!(answer.series[1].samples, [(30, 5.0)]);
        assert_eq!(answer.warnings, ["w"]);
    }

    #[test]
    fn samples_between_grid_times_and_ambiguous_series_are_errors() {
        let grid = Grid { start_s: 10, step_s: 10, len: 4 };
        let error = Merged::default().add(decoded("", &[(15.0, 1.0)]), grid).unwrap_err();
        assert!(error.to_string().contains("at 15, wanted multiples of the step, 10 s"));
        let mut whole = Merged::default();
        whole.add(decoded("", &[(10.0, 1.0)]), grid).unwrap();
        let error = whole.add(decoded("", &[(20.0, 1.0)]), grid).unwrap_err();
        assert_eq!(error.reason(), "bad_query");
    }

    #[test]
    fn a_range_off_its_step_is_refused() {
        for (start_s, step_s) in [(5, 10), (-5, 10), (0, 0), (10, -10)] {
            assert!(check(Grid { start_s, step_s, len: 1 }).is_err());
        }
        assert!(check(Grid { start_s: -20, step_s: 10, len: 0 }).is_ok());
    }

    proptest! {
        #[test]
        fn pieces_cover_the_grid_once(start in -100i64..100, step_s in 1i64..100,
                                      len in 0usize..200, most in 1usize..50) {
            let grid = Grid { start_s: start * step_s, step_s, len };
            let (mut rest, mut times) = (grid, Vec::new());
            while rest.len > 0 {
                let (piece, after) = cut(rest, most);
                prop_assert!((1..=most).contains(&piece.len));
                times.extend((0..piece.len).map(|i| piece.time(i)));
                rest = after;
            }
            let wanted: Vec<i64> = (0..len).map(|i| grid.time(i)).collect();
            prop_assert_eq!(times, wanted);
        }
    }
}

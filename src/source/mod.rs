//! Where samples come from: a Prometheus-compatible server, or a file.
//!
//! Owns: the [`Source`] trait, its answers and errors, every client of a server that holds samples.
//! Does not own: what is asked (`watch`), cutting windows out of answers (`window`), counting
//! failures (`export`).
//!
//! A new source is a file here that implements [`Source`].

pub mod csv;
mod patient;
pub mod prometheus;

use std::pin::Pin;
use std::sync::Arc;

use crate::series::Entity;
use crate::series::Grid;

pub use patient::patient;

/// A future that can be called through a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where samples come from.
pub trait Source: Send + Sync {
    /// The query's series on `grid`, one evaluation per grid time, split and retried as the
    /// backend needs.
    fn range<'a>(
        &'a self,
        query: &'a str,
        grid: Grid,
    ) -> BoxFuture<'a, Result<Answer, SourceError>>;

    /// The query at one instant; each series has one sample.
    fn instant<'a>(
        &'a self,
        query: &'a str,
        time_s: i64,
    ) -> BoxFuture<'a, Result<Answer, SourceError>>;

    /// How many queries it answers at once; more wait for their turn.
    fn max_concurrency(&self) -> usize {
        usize::MAX
    }

    /// The backend's own version, where it tells one.
    fn version(&self) -> BoxFuture<'_, Option<String>> {
        Box::pin(async { None })
    }

    /// For logs and the landing page, without secrets.
    fn describe(&self) -> String;
}

/// Which source there is, and how it is reached: one of the blocks of `source`.
#[derive(Debug, Clone, PartialEq)]
pub enum Config {
    /// A Prometheus-compatible server.
    Prometheus(Box<prometheus::Config>),
    /// A CSV file that something appends to.
    Csv(csv::Config),
}

impl Config {
    /// The source itself.
    ///
    /// # Errors
    /// The settings cannot be used. Whether the source answers shows in its answers.
    pub fn open(&self) -> Result<Arc<dyn Source>, SourceError> {
        match self {
            Config::Prometheus(config) => Ok(Arc::new(prometheus::Prometheus::new(config)?)),
            Config::Csv(config) => Ok(Arc::new(csv::Csv::new(config))),
        }
    }
}

/// What a source says to a query.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answer {
    /// One per label set, sorted by it.
    pub series: Vec<AnswerSeries>,
    /// Why data may be missing from the answer; such an answer must not be scored as whole.
    pub partial: Option<String>,
    /// Everything else that the backend remarked, without repetitions.
    pub warnings: Vec<String>,
}

/// One series of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct AnswerSeries {
    /// Its label pairs, without `__name__`.
    pub labels: Entity,
    /// Unix seconds on the grid, and values; ascending. Times without a sample are absent; a value
    /// may be NaN or infinite.
    pub samples: Vec<(i64, f64)>,
}

/// Why there is no answer. Each text says what was tried, where, and what was wanted; none holds a
/// secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// The settings, or a file that they name, cannot be used.
    #[error("{0}")]
    Config(String),
    /// No answer in time.
    #[error("{0}")]
    Timeout(String),
    /// No connection, or it broke.
    #[error("{0}")]
    Connect(String),
    /// The host's name has no address.
    #[error("{0}")]
    Resolve(String),
    /// The server is not who it should be, or speaks no TLS.
    #[error("{0}")]
    Tls(String),
    /// An HTTP status without a better explanation: a login, a proxy, a wrong path.
    #[error("{message}")]
    HttpStatus {
        /// The status.
        status: u16,
        /// The text.
        message: String,
    },
    /// The backend refuses the query itself, or its result is of no use here.
    #[error("{0}")]
    BadQuery(String),
    /// The backend cannot answer now.
    #[error("{0}")]
    Unavailable(String),
    /// The backend asks for fewer queries.
    #[error("{0}")]
    RateLimited(String),
    /// Something came back that is not an answer.
    #[error("{0}")]
    Decode(String),
    /// The result holds native histograms, which are no numbers.
    #[error("{0}")]
    NativeHistogram(String),
    /// The answer is larger than the backend, or we, allow.
    #[error("{0}")]
    TooManyPoints(String),
    /// A file of rows cannot be read.
    #[error("{0}")]
    Csv(String),
}

impl SourceError {
    /// Every value of [`SourceError::reason`].
    pub const REASONS: &[&str] = &[
        "config",
        "timeout",
        "connect",
        "resolve",
        "tls",
        "http_status",
        "bad_query",
        "unavailable",
        "rate_limited",
        "decode",
        "native_histogram",
        "too_many_points",
        "csv",
    ];

    /// The word in metrics: one of [`SourceError::REASONS`].
    pub fn reason(&self) -> &'static str {
        match self {
            SourceError::Config(_) => "config",
            SourceError::Timeout(_) => "timeout",
            SourceError::Connect(_) => "connect",
            SourceError::Resolve(_) => "resolve",
            SourceError::Tls(_) => "tls",
            SourceError::HttpStatus { .. } => "http_status",
            SourceError::BadQuery(_) => "bad_query",
            SourceError::Unavailable(_) => "unavailable",
            SourceError::RateLimited(_) => "rate_limited",
            SourceError::Decode(_) => "decode",
            SourceError::NativeHistogram(_) => "native_histogram",
            SourceError::TooManyPoints(_) => "too_many_points",
            SourceError::Csv(_) => "csv",
        }
    }

    /// Whether something is wrong with this one query: the source will say the same to it again.
    pub fn is_final(&self) -> bool {
        use SourceError as E;
        matches!(self, E::BadQuery(_) | E::NativeHistogram(_) | E::TooManyPoints(_))
    }

    /// Whether the same query may well succeed a moment later.
    pub fn retryable(&self) -> bool {
        match self {
            SourceError::Timeout(_)
            | SourceError::Connect(_)
            | SourceError::Resolve(_)
            | SourceError::Unavailable(_)
            | SourceError::RateLimited(_) => true,
            SourceError::HttpStatus { status, .. } => *status >= 500,
            _ => false,
        }
    }

    /// The same error with `place` before its text.
    pub(crate) fn at(mut self, place: &str) -> SourceError {
        let text = match &mut self {
            SourceError::HttpStatus { message, .. } => message,
            SourceError::Config(text)
            | SourceError::Timeout(text)
            | SourceError::Connect(text)
            | SourceError::Resolve(text)
            | SourceError::Tls(text)
            | SourceError::BadQuery(text)
            | SourceError::Unavailable(text)
            | SourceError::RateLimited(text)
            | SourceError::Decode(text)
            | SourceError::NativeHistogram(text)
            | SourceError::TooManyPoints(text)
            | SourceError::Csv(text) => text,
        };
        *text = format!("{place}: {text}");
        self
    }
}

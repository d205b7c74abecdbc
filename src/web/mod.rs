//! The web server: metrics, health, reload, labels, one page.
//!
//! Owns: sockets, TLS, who may come in, what a request is answered with.
//! Does not own: what a scrape holds (`export`), what a label means (`labels`), what a reload does:
//! it asks for them through [`Scrape`] and the channels of [`Context`].

mod auth;
mod config;
mod live;
mod negotiate;
mod page;
mod parts;
mod rate;
mod routes;
mod server;
mod tls;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::sync::oneshot;

pub use config::Headers;
pub use config::HttpServerConfig;
pub use config::TlsServerConfig;
pub use config::WebConfig;
pub use live::Loader;
pub use negotiate::best;
pub use rate::RateLimit;
pub use server::bind;
pub use server::serve;

/// What a scrape is answered from.
pub trait Scrape: Send + Sync {
    /// The metrics, in the format that the `Accept` header asks for. `gzip`: the client takes gzip.
    fn scrape(&self, accept: Option<&str>, gzip: bool) -> Scraped;
}

/// The answer to a scrape.
#[derive(Debug, Clone)]
pub struct Scraped {
    /// As in the header, with version and charset.
    pub content_type: &'static str,
    /// The text, packed or not, to be sent one part after the other.
    pub parts: Vec<Arc<[u8]>>,
    /// Whether the parts are packed with gzip.
    pub gzip: bool,
}

/// What is to be done with a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabelCall {
    /// The body is a new one.
    Add,
    /// The one with this id is taken back; the body may say why.
    Withdraw(i64),
}

/// Something that somebody says about a label, as it came.
#[derive(Debug)]
pub struct LabelRequest {
    /// What is to be done.
    pub call: LabelCall,
    /// The body; at most 64 kB, not yet looked at.
    pub body: Vec<u8>,
    /// Who sent it, if people have to sign in.
    pub user: Option<String>,
    /// Takes the answer's `data`, or a status of 400 and above with what is wrong.
    pub reply: oneshot::Sender<Result<serde_json::Value, (u16, Vec<String>)>>,
}

/// Somebody asked for a reload.
#[derive(Debug)]
pub struct ReloadRequest {
    /// Takes the outcome; an error's text goes to the one who asked.
    pub reply: oneshot::Sender<Result<(), String>>,
}

/// Name and value of each row on the landing page.
pub type Status = Arc<dyn Fn() -> Vec<(String, String)> + Send + Sync>;

/// What the server serves.
#[derive(Clone)]
pub struct Context {
    /// Where the metrics come from.
    pub scrape: Arc<dyn Scrape>,
    /// Where they are: `--web.telemetry-path`.
    pub telemetry_path: String,
    /// The rows of the landing page.
    pub status: Status,
    /// Who takes labels; `None`: the API is off.
    pub labels: Option<mpsc::Sender<LabelRequest>>,
    /// Who reloads; `None`: without `--web.enable-lifecycle`.
    pub reload: Option<mpsc::Sender<ReloadRequest>>,
    /// `--web.config.file` and what reads it.
    pub config_file: Option<(PathBuf, Loader)>,
    /// What a slow or hostile client can take.
    pub limits: Limits,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("telemetry_path", &self.telemetry_path)
            .finish_non_exhaustive()
    }
}

/// What a slow or hostile client can take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once; further ones wait to be accepted. As many as Prometheus allows.
    pub connections: usize,
    /// For a TLS handshake, and then for the first request's header.
    pub first_request: Duration,
    /// A connection without a request. Above the usual scrape intervals, so that Prometheus need
    /// not connect again for each scrape.
    pub idle: Duration,
    /// For a request's body.
    pub body: Duration,
    /// For the answer to a label or a reload.
    pub reply: Duration,
    /// For open requests, once the server shuts down.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 512,
            first_request: Duration::from_secs(10),
            idle: Duration::from_secs(150),
            body: Duration::from_secs(10),
            reply: Duration::from_secs(60),
            grace: Duration::from_secs(4),
        }
    }
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// `--web.listen-address` is no address.
    #[error(
        "web.listen-address {0:?}: wanted HOST:PORT, such as :10047, 127.0.0.1:10047 or [::1]:10047"
    )]
    Address(String),
    /// The address cannot be listened on.
    #[error("cannot listen on {address:?}: {error}")]
    Bind {
        /// As configured.
        address: String,
        /// What the system says.
        error: io::Error,
    },
    /// `--web.telemetry-path` is no path, or one of another route.
    #[error("web.telemetry-path {0:?}: wanted a path such as /metrics that is none of our own")]
    TelemetryPath(String),
    /// The web configuration file is bad.
    #[error("{}: {}", path.display(), problems.join("; "))]
    Config {
        /// Its path.
        path: PathBuf,
        /// Everything that is wrong with it.
        problems: Vec<String>,
    },
}

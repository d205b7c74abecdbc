//! One query over HTTP: sent, retried, and its failures put into words.
//!
//! Owns: the HTTP client and its life, attempts and deadlines, the size of an answer.
//! Does not own: splitting ranges (`mod`), the JSON (`decode`).

use std::collections::BTreeSet;
use std::error::Error as StdError;
use std::hash::BuildHasher;
use std::hash::RandomState;
use std::io;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use prometheus_http_query::Client as Api;
use reqwest::NoProxy;
use reqwest::Proxy;
use reqwest::Response;
use reqwest::header::HeaderMap;
use reqwest::header::RETRY_AFTER;
use reqwest::redirect::Policy;
use tokio::time::Instant;
use tokio::time::sleep;
use tokio::time::timeout_at;
use tokio_rustls::rustls;

use crate::source::SourceError;
use crate::source::prometheus::config::Config;
use crate::source::prometheus::config::header;
use crate::source::prometheus::decode::Decoded;
use crate::source::prometheus::decode::decode;
use crate::source::prometheus::decode::decode_version;
use crate::source::prometheus::http_config::HttpConfig;
use crate::source::prometheus::resolve::Shared;
use crate::source::prometheus::tls;
use crate::source::prometheus::tls::Material;

/// Expressions longer than this are sent by POST: URLs have limits on the way.
const LONGEST_GET: usize = 1_500;
/// The largest body that is taken into memory, in bytes after decompression. Four of them may be
/// under way, and a sidecar has little memory.
const LARGEST_BODY: usize = 32 << 20;
/// Bodies from this size on are decoded off the async threads: a megabyte takes some 5 ms.
const LARGE_BODY: usize = 256 << 10;
/// The pause before the first retry; it doubles with every further one.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Connections idle for longer are closed; Prometheus itself closes them after five minutes.
const IDLE: Duration = Duration::from_secs(240);

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub(super) enum Question {
    /// At every step from `start_s` to `end_s`, both included.
    Range { start_s: i64, end_s: i64, step_s: i64 },
    /// At one time.
    Instant { time_s: i64 },
}

/// A client of one server.
pub(super) struct Client {
    config: Config,
    base: String,
    headers: HeaderMap,
    params: Vec<(&'static str, String)>,
    resolver: Shared,
    /// The connection pool, and the TLS material that it was built with.
    current: Mutex<(Material, Api)>,
}

/// Why an attempt failed, and how long the server wants to be left alone.
struct Failure {
    error: SourceError,
    retry_after: Option<Duration>,
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Failure {
        Failure { error, retry_after: None }
    }
}

impl Client {
    /// # Errors
    /// A setting is wrong; every one is named.
    pub(super) fn new(config: &Config) -> Result<Client, SourceError> {
        let problems = config.problems();
        if !problems.is_empty() {
            return Err(SourceError::Config(problems.join("; ")));
        }
        let base = config.base().map_err(SourceError::Config)?;
        let mut headers = HeaderMap::new();
        for (name, value) in &config.headers {
            let (name, value) = header(name, value.expose()).map_err(SourceError::Config)?;
            headers.append(name, value);
        }
        let params = config.params.iter().map(|(k, v)| (interned(k), v.clone())).collect();
        // Shorter than the time for connecting, so that the last good address gets its turn.
        let resolver = Shared::new(config.timeout * 2 / 5);
        let material = Material::read(&config.http_config.tls_config)?;
        let api = build(config, &base, &material, &resolver)?;
        let current = Mutex::new((material, api));
        Ok(Client { config: config.clone(), base, headers, params, resolver, current })
    }

    /// Asks until there is an answer, nothing more to hope for, or no time left.
    pub(super) async fn ask(
        self: &Arc<Self>,
        query: &str,
        question: Question,
    ) -> Result<Decoded, SourceError> {
        let deadline = Instant::now() + 2 * self.config.timeout;
        let mut retries = 0;
        loop {
            let until = deadline.min(Instant::now() + self.config.timeout);
            let failure = match timeout_at(until, self.attempt(query, question)).await {
                Ok(Ok(decoded)) => return Ok(decoded),
                Ok(Err(failure)) => failure,
                Err(_) => SourceError::Timeout(format!(
                    "no answer within {:?}, the source's timeout",
                    self.config.timeout
                ))
                .into(),
            };
            let pause = failure.retry_after.unwrap_or_default().max(pause(retries));
            let in_time = Instant::now() + pause < deadline;
            if !failure.error.retryable() || retries == self.config.retries || !in_time {
                return Err(failure.error);
            }
            retries += 1;
            tracing::debug!(error = %failure.error, retries, ?pause, "query failed; trying again");
            sleep(pause).await;
        }
    }

    /// What `/api/v1/status/buildinfo` says, which not every compatible server has; it is asked once.
    pub(super) async fn version(self: &Arc<Self>) -> Option<String> {
        let (api, headers) = self.prepared().await.ok()?;
        let url = format!("{}/api/v1/status/buildinfo", self.base);
        let asked = api.inner().get(url).headers(headers).query(&self.params).send();
        let answered = tokio::time::timeout(self.config.timeout, asked).await.ok()?.ok()?;
        let body = self.body(answered).await.ok()?;
        decode_version(&body)
    }

    async fn attempt(
        self: &Arc<Self>,
        query: &str,
        question: Question,
    ) -> Result<Decoded, Failure> {
        let (api, headers) = self.prepared().await?;
        let response =
            self.send(&api, headers, query, question).await.map_err(|error| match &error {
                prometheus_http_query::Error::Client(client) if client.inner().is_some() => client
                    .inner()
                    .map(|inner| self.transport(inner))
                    .unwrap_or_else(|| SourceError::Connect(error.to_string())),
                other => SourceError::Connect(other.to_string()),
            })?;
        let status = response.status().as_u16();
        let wait = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = wait.and_then(|text| text.parse().ok()).map(Duration::from_secs);
        let body = self.body(response).await?;
        let decoded = if body.len() < LARGE_BODY {
            decode(status, &body)
        } else {
            let decoding = tokio::task::spawn_blocking(move || decode(status, &body)).await;
            decoding.unwrap_or_else(|error| Err(SourceError::Decode(error.to_string())))
        };
        decoded.map_err(|error| Failure { error, retry_after })
    }

    /// The client and the headers of one request, after a look at the files they depend on.
    async fn prepared(self: &Arc<Self>) -> Result<(Api, HeaderMap), SourceError> {
        if !self.config.http_config.reads_files() {
            return self.prepare();
        }
        let this = Arc::clone(self);
        let prepared = tokio::task::spawn_blocking(move || this.prepare()).await;
        prepared.unwrap_or_else(|error| Err(SourceError::Config(error.to_string())))
    }

    fn prepare(&self) -> Result<(Api, HeaderMap), SourceError> {
        let mut headers = self.config.http_config.headers()?;
        for (name, value) in &self.headers {
            headers.append(name, value.clone());
        }
        let material = Material::read(&self.config.http_config.tls_config)?;
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.0 != material {
            let api = build(&self.config, &self.base, &material, &self.resolver)?;
            *current = (material, api);
        }
        Ok((current.1.clone(), headers))
    }

    async fn send(
        &self,
        api: &Api,
        headers: HeaderMap,
        query: &str,
        question: Question,
    ) -> Result<Response, prometheus_http_query::Error> {
        // The server stops evaluating when we stop waiting.
        let limit_ms = i64::try_from(self.config.timeout.as_millis()).unwrap_or(i64::MAX);
        let post = query.len() > LONGEST_GET;
        // The two builders are unrelated types with the same methods.
        macro_rules! send {
            ($builder:expr) => {{
                let mut builder = $builder.timeout(limit_ms);
                for (name, value) in &headers {
                    builder = builder.header(name.clone(), value.clone());
                }
                for (name, value) in &self.params {
                    builder = builder.query(name, value);
                }
                if post { builder.post_raw().await } else { builder.get_raw().await }
            }};
        }
        match question {
            Question::Range { start_s, end_s, step_s } => {
                send!(api.query_range(query, start_s, end_s, step_s as f64))
            }
            Question::Instant { time_s } => send!(api.query(query).at(time_s)),
        }
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, SourceError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.transport(&error))? {
            if body.len() + chunk.len() > LARGEST_BODY {
                return Err(SourceError::TooManyPoints(format!(
                    "the answer is larger than {} MiB, wanted fewer series or a shorter range",
                    LARGEST_BODY >> 20
                )));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// What went wrong below HTTP.
    fn transport(&self, error: &reqwest::Error) -> SourceError {
        let causes = causes(error);
        if let Some(tls) = tls_error(error) {
            let advice = tls::advice(tls, &self.config.http_config.tls_config);
            return SourceError::Tls(format!("TLS: {tls}{advice}"));
        }
        // The server refuses us after the handshake; HTTP/2 passes only the text of that on.
        if causes.contains("received fatal alert") {
            return SourceError::Tls(format!(
                "TLS: {causes}; the server may want a certificate: see tls_config.cert_file"
            ));
        }
        if error.is_builder() || error.is_redirect() {
            SourceError::Config(format!("cannot send: {causes}"))
        } else if error.is_dns() {
            SourceError::Resolve(format!("cannot resolve its host: {causes}"))
        } else if error.is_connect() {
            SourceError::Connect(format!("cannot connect: {causes}; wanted an HTTP server there"))
        } else if error.is_timeout() {
            SourceError::Timeout(format!("no answer in time: {causes}"))
        } else if error.is_decode() {
            SourceError::Decode(format!("the body cannot be decompressed: {causes}"))
        } else {
            SourceError::Connect(format!("the connection broke: {causes}"))
        }
    }
}

/// A connection pool.
fn build(
    config: &Config,
    base: &str,
    material: &Material,
    resolver: &Shared,
) -> Result<Api, SourceError> {
    let http = &config.http_config;
    let tls = tls::client_config(&http.tls_config, material, http.enable_http2)?;
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .dns_resolver(resolver.clone())
        .user_agent(concat!("portent/", env!("CARGO_PKG_VERSION")))
        .redirect(if http.follow_redirects { Policy::limited(10) } else { Policy::none() })
        .referer(false)
        .connect_timeout(config.timeout / 2)
        .pool_idle_timeout(IDLE)
        .tcp_keepalive(Duration::from_secs(30))
        .http2_keep_alive_interval(Duration::from_secs(30))
        .http2_keep_alive_timeout(config.timeout / 2)
        .no_proxy();
    for proxy in proxies(http)? {
        builder = builder.proxy(proxy);
    }
    let client = builder
        .build()
        .map_err(|error| SourceError::Config(format!("http_config: {}", causes(&error))))?;
    Api::from(client, base).map_err(|error| SourceError::Config(format!("url: {error}")))
}

fn proxies(http: &HttpConfig) -> Result<Vec<Proxy>, SourceError> {
    let wrong = |_| {
        SourceError::Config("http_config.proxy_url: no URL, wanted http://HOST:PORT".to_string())
    };
    if let Some(url) = &http.proxy_url {
        let bypass = http.no_proxy.as_deref().and_then(NoProxy::from_string);
        return Ok(vec![Proxy::all(url.expose()).map_err(wrong)?.no_proxy(bypass)]);
    }
    let mut found = Vec::new();
    if http.proxy_from_environment {
        let env = |upper: &str| {
            let lower = upper.to_lowercase();
            std::env::var(upper).or_else(|_| std::env::var(lower)).ok().filter(|v| !v.is_empty())
        };
        if let Some(url) = env("HTTP_PROXY") {
            found.push(Proxy::http(url).map_err(wrong)?.no_proxy(NoProxy::from_env()));
        }
        if let Some(url) = env("HTTPS_PROXY") {
            found.push(Proxy::https(url).map_err(wrong)?.no_proxy(NoProxy::from_env()));
        }
    }
    Ok(found)
}

/// The causes below an error in one line. Its own text is left out: it repeats the whole URL.
fn causes(error: &reqwest::Error) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        // Many wrappers repeat what they wrap.
        if texts.last().is_none_or(|last| !last.ends_with(&text)) {
            texts.push(text);
        }
        cause = error.source();
    }
    if texts.is_empty() { "no reason given".to_string() } else { texts.join(": ") }
}

/// The failed handshake below an error.
fn tls_error(error: &reqwest::Error) -> Option<&rustls::Error> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(tls);
        }
        // An io::Error skips the error that it wraps when asked for its source.
        cause = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

/// Doubling pauses, each shortened at random by up to a half, so that clients do not march in step.
fn pause(retries: u32) -> Duration {
    // A hasher's random seed is randomness enough, and saves a dependency.
    let random = RandomState::new().hash_one(retries) as f64 / u64::MAX as f64;
    (FIRST_PAUSE * 2u32.saturating_pow(retries.min(6))).mul_f64(1.0 - random / 2.0)
}

/// The name as `prometheus_http_query` wants it. Each distinct name is leaked once.
fn interned(name: &str) -> &'static str {
    static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    match names.get(name).copied() {
        Some(known) => known,
        None => {
            let leaked: &'static str = Box::leak(name.to_string().into_boxed_str());
            names.insert(leaked);
            leaked
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_vary() {
        for retries in 0..4 {
            let most = FIRST_PAUSE * 2u32.pow(retries);
            assert!((0..50).all(|_| (most / 2..=most).contains(&pause(retries))));
        }
        assert!((0..50).any(|_| pause(3) != pause(3)));
        assert!(pause(u32::MAX) < Duration::from_secs(30));
    }

    #[test]
    fn names_are_leaked_once() {
        assert!(std::ptr::eq(interned("dedup"), interned(&["de", "dup"].concat())));
    }
}

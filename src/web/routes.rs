//! What each request is answered with.
//!
//! * `GET /` -- what runs here: a page for people
//! * `GET /metrics` -- the metrics, at `--web.telemetry-path`; text or OpenMetrics, gzip if wanted
//! * `GET /-/healthy` -- 200 while the process answers at all
//! * `GET /-/ready` -- 200 as well: what listens has its configuration and its store. Whether there are
//!   scores, and why not, is what the metrics say
//! * `PUT|POST /-/reload` -- reads the configuration again; with `--web.enable-lifecycle`
//! * `POST /api/v1/labels` -- takes people's verdicts; where the API is on
//! * `DELETE /api/v1/labels/ID` -- takes one back
//!
//! Where there is a `GET` there is a `HEAD`. Owns: this list, sign-in before it, and the form of
//! errors. Does not own: connections (`server`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use http_body_util::BodyExt;
use http_body_util::LengthLimitError;
use http_body_util::Limited;
use hyper::HeaderMap;
use hyper::Method;
use hyper::Request;
use hyper::Response;
use hyper::StatusCode;
use hyper::body::Body;
use hyper::body::Bytes;
use hyper::body::Incoming;
use hyper::header;
use hyper::header::HeaderName;
use hyper::header::HeaderValue;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::time;

use crate::web::Context;
use crate::web::LabelCall;
use crate::web::LabelRequest;
use crate::web::ReloadRequest;
use crate::web::WebError;
use crate::web::auth::Door;
use crate::web::auth::Entry;
use crate::web::live::Live;
use crate::web::negotiate;
use crate::web::page;
use crate::web::parts::Parts;
use crate::web::rate::Bucket;

pub(super) type Answer = Response<Parts>;

const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";

const LABELS: &str = "/api/v1/labels";

/// Longest body of a label request, in bytes.
const MAX_BODY: usize = 64 * 1024;

/// Most label requests that are read at once: a bound on memory, far above any use by people.
const MAX_LABEL_REQUESTS: usize = 16;

/// Everything that a request needs.
pub(super) struct Site {
    pub(super) context: Context,
    pub(super) live: Live,
    door: Door,
    bucket: Bucket,
    label_requests: Semaphore,
}

impl Site {
    pub(super) fn new(context: Context) -> Result<Site, WebError> {
        let path = &context.telemetry_path;
        let plain = path.starts_with('/') && !path.contains(['?', '#', ' ']);
        if !plain || (path != "/" && Route::own(path).is_some()) {
            return Err(WebError::TelemetryPath(path.clone()));
        }
        let live = Live::new(context.config_file.clone())?;
        let label_requests = Semaphore::new(MAX_LABEL_REQUESTS);
        Ok(Site { context, live, door: Door::new(), bucket: Bucket::new(), label_requests })
    }

    fn route(&self, path: &str) -> Option<Route> {
        if path == self.context.telemetry_path { Some(Route::Metrics) } else { Route::own(path) }
    }
}

/// The routes, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    Page,
    Metrics,
    Healthy,
    Ready,
    Reload,
    Labels,
    Label,
}

impl Route {
    /// The routes whose path is fixed.
    fn own(path: &str) -> Option<Route> {
        match path {
            "/" => Some(Route::Page),
            "/-/healthy" => Some(Route::Healthy),
            "/-/ready" => Some(Route::Ready),
            "/-/reload" => Some(Route::Reload),
            LABELS => Some(Route::Labels),
            _ => label_id(path).map(|_| Route::Label),
        }
    }

    /// The methods, as the `Allow` header has them.
    fn allow(self) -> &'static str {
        match self {
            Route::Reload => "PUT, POST",
            Route::Labels => "POST",
            Route::Label => "DELETE",
            _ => "GET, HEAD",
        }
    }

    fn allows(self, method: &Method) -> bool {
        self.allow().split(", ").any(|allowed| allowed == method.as_str())
    }
}

/// Answers one request.
pub(super) async fn answer(site: Arc<Site>, request: Request<Incoming>) -> Answer {
    let current = site.live.current().await;
    let head = request.method() == Method::HEAD;
    let mut answer = if site.bucket.take(&current.config.rate_limit, Instant::now()) {
        admitted(&site, &current.config.basic_auth_users, request).await
    } else {
        text(
            StatusCode::TOO_MANY_REQUESTS,
            "Too many requests: web.config.file has a rate_limit.\n",
        )
    };
    for (name, value) in current.config.http_server_config.headers.set() {
        answer.headers_mut().insert(name, value);
    }
    if head {
        // The length is that of the body that a GET would have.
        let length = answer.body().size_hint().lower();
        answer.headers_mut().insert(header::CONTENT_LENGTH, length.into());
        *answer.body_mut() = Parts::default();
    }
    answer
}

/// Answers one request, if its sender may ask.
async fn admitted(
    site: &Site,
    users: &BTreeMap<String, String>,
    request: Request<Incoming>,
) -> Answer {
    match site.door.entry(users, request.headers().get(header::AUTHORIZATION)).await {
        Entry::Granted(user) => routed(site, user, request).await,
        Entry::Denied => {
            let denied = text(StatusCode::UNAUTHORIZED, "Unauthorized\n");
            with(denied, header::WWW_AUTHENTICATE, "Basic realm=\"portent\", charset=\"UTF-8\"")
        }
        Entry::Busy => text(StatusCode::SERVICE_UNAVAILABLE, "Too many sign-ins at once.\n"),
    }
}

async fn routed(site: &Site, user: Option<String>, request: Request<Incoming>) -> Answer {
    let Some(route) = site.route(request.uri().path()) else {
        return text(StatusCode::NOT_FOUND, "404: no such page; / lists what there is\n");
    };
    if !route.allows(request.method()) {
        let body = format!("405: wanted {}\n", route.allow());
        return with(text(StatusCode::METHOD_NOT_ALLOWED, body), header::ALLOW, route.allow());
    }
    match route {
        Route::Page => landing(site),
        Route::Metrics => metrics(site, request.headers()),
        Route::Healthy => text(StatusCode::OK, "Portent is healthy.\n"),
        Route::Ready => text(StatusCode::OK, "Portent is ready.\n"),
        Route::Reload => reload(site, request.headers()).await,
        Route::Labels | Route::Label => labels(site, user, request).await,
    }
}

fn landing(site: &Site) -> Answer {
    let rows = (site.context.status)();
    let html = page::render(&site.context.telemetry_path, &rows);
    let answer = respond(StatusCode::OK, HTML, html);
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
    let answer = with(answer, header::CONTENT_SECURITY_POLICY, policy);
    with(answer, header::X_CONTENT_TYPE_OPTIONS, "nosniff")
}

fn metrics(site: &Site, headers: &HeaderMap) -> Answer {
    // A list may come as several headers of the same name.
    let list = |name: HeaderName| {
        let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        values.collect::<Vec<_>>().join(",")
    };
    let (accept, encoding) = (list(header::ACCEPT), list(header::ACCEPT_ENCODING));
    let accept = (!accept.is_empty()).then_some(accept.as_str());
    let scraped = site.context.scrape.scrape(accept, negotiate::accepts_gzip(Some(&encoding)));
    let mut answer = Response::new(scraped.parts.into_iter().map(Bytes::from_owner).collect());
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(scraped.content_type));
    headers.insert(header::VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    if scraped.gzip {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    answer
}

async fn reload(site: &Site, headers: &HeaderMap) -> Answer {
    if foreign(headers) {
        return text(StatusCode::FORBIDDEN, "Requests from other sites are refused.\n");
    }
    let Some(channel) = &site.context.reload else {
        let message =
            "Lifecycle API is not enabled: start with --web.enable-lifecycle, or send SIGHUP.\n";
        return text(StatusCode::FORBIDDEN, message);
    };
    match ask(channel, |reply| ReloadRequest { reply }, site.context.limits.reply).await {
        Some(Ok(())) => text(StatusCode::OK, "Configuration reloaded.\n"),
        Some(Err(problem)) => {
            let message = format!("failed to reload config: {problem}\n");
            text(StatusCode::INTERNAL_SERVER_ERROR, message)
        }
        None => text(StatusCode::SERVICE_UNAVAILABLE, "No answer: starting, busy or stopping.\n"),
    }
}

async fn labels(site: &Site, user: Option<String>, request: Request<Incoming>) -> Answer {
    if foreign(request.headers()) {
        return failure(StatusCode::FORBIDDEN, "requests from other sites are refused");
    }
    let Some(channel) = &site.context.labels else {
        return failure(
            StatusCode::FORBIDDEN,
            "the labels API is off: set `web: {labels_api: true}` in the configuration",
        );
    };
    let call = match label_id(request.uri().path()).map(|id| (id, id.parse())) {
        None => LabelCall::Add,
        Some((_, Ok(id))) => LabelCall::Withdraw(id),
        Some((id, Err(_))) => {
            let problem = format!("there is no label {id:?}; wanted a number, DELETE {LABELS}/12");
            return failure(StatusCode::NOT_FOUND, &problem);
        }
    };
    let limit = site.context.limits.body;
    let read = async {
        let _place = site.label_requests.acquire().await.ok()?;
        Some(body(request).await)
    };
    let body = match time::timeout(limit, read).await {
        Ok(Some(Ok(body))) => body,
        Ok(Some(Err(answer))) => return answer,
        Ok(None) | Err(_) => {
            return failure(StatusCode::REQUEST_TIMEOUT, "the body did not come in time");
        }
    };
    let request = |reply| LabelRequest { call, body, user, reply };
    match ask(channel, request, site.context.limits.reply).await {
        Some(Ok(data)) => {
            let body = json!({ "status": "success", "data": data });
            respond(StatusCode::OK, JSON, body.to_string())
        }
        Some(Err((status, problems))) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            failure(status, &problems.join("; "))
        }
        None => failure(StatusCode::SERVICE_UNAVAILABLE, "no answer: starting, busy or stopping"),
    }
}

/// What follows in the path of one label.
fn label_id(path: &str) -> Option<&str> {
    path.strip_prefix(LABELS)?.strip_prefix('/').filter(|id| !id.is_empty())
}

/// The whole body, or the answer that says why not.
async fn body(request: Request<Incoming>) -> Result<Vec<u8>, Answer> {
    let too_long = || failure(StatusCode::PAYLOAD_TOO_LARGE, "the body is longer than 64 kB");
    if request.body().size_hint().lower() > MAX_BODY as u64 {
        return Err(too_long());
    }
    match Limited::new(request.into_body(), MAX_BODY).collect().await {
        Ok(body) => Ok(body.to_bytes().to_vec()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_long()),
        Err(error) => {
            Err(failure(StatusCode::BAD_REQUEST, &format!("the body cannot be read: {error}")))
        }
    }
}

/// Whether a browser sends this on behalf of another site's page. Browsers add `Origin` to every
/// POST; programs do not.
fn foreign(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let Some(origin) = headers.get(header::ORIGIN) else { return false };
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    origin.map(|(_, authority)| authority) != host
}

/// Sends a request with room for its reply, and waits for that. `None`: there will be none.
async fn ask<R, T>(
    channel: &mpsc::Sender<R>,
    request: impl FnOnce(oneshot::Sender<T>) -> R,
    limit: Duration,
) -> Option<T> {
    let (reply, answer) = oneshot::channel();
    let asked = async {
        channel.send(request(reply)).await.ok()?;
        answer.await.ok()
    };
    time::timeout(limit, asked).await.ok().flatten()
}

/// An error in the form of Prometheus' API.
fn failure(status: StatusCode, problem: &str) -> Answer {
    let kind = match status {
        StatusCode::NOT_FOUND => "not_found",
        StatusCode::REQUEST_TIMEOUT => "timeout",
        StatusCode::SERVICE_UNAVAILABLE => "unavailable",
        StatusCode::UNPROCESSABLE_ENTITY => "execution",
        status if status.is_client_error() => "bad_data",
        _ => "internal",
    };
    let body = json!({ "status": "error", "errorType": kind, "error": problem });
    respond(status, JSON, body.to_string())
}

/// An error of our own making: a handler panicked.
pub(super) fn broken() -> Answer {
    text(StatusCode::INTERNAL_SERVER_ERROR, "500: an error of our own; the log has it\n")
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    respond(status, TEXT, body)
}

fn respond(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Parts::from_iter([body.into()]));
    *answer.status_mut() = status;
    with(answer, header::CONTENT_TYPE, content_type)
}

fn with(mut answer: Answer, name: HeaderName, value: &'static str) -> Answer {
    answer.headers_mut().insert(name, HeaderValue::from_static(value));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_browsers_on_other_sites_are_foreign() {
        let headers = |pairs: &[(HeaderName, &'static str)]| {
            pairs
                .iter()
                .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)))
                .collect()
        };
        let host = (header::HOST, "portent:10047");
        let from = |origin| headers(&[host.clone(), (header::ORIGIN, origin)]);
        assert!(!foreign(&from("http://portent:10047")));
        for other in ["http://evil", "null", "http://portent:80"] {
            assert!(foreign(&from(other)), "{other}");
        }
        assert!(!foreign(&headers(&[host])), "programs send none");
    }
}

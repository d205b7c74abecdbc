//! Sockets and connections.
//!
//! Owns: where we listen, TLS handshakes, how long and how many connections live, the drain.
//! Does not own: what a request is answered with (`routes`).

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::task::Poll;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::server::graceful::Watcher;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio::task;
use tokio::task::JoinSet;
use tokio::time;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use crate::web::Context;
use crate::web::Limits;
use crate::web::WebError;
use crate::web::routes;
use crate::web::routes::Site;

/// Most requests at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 32;

/// Receive windows of HTTP/2 and the read buffer of HTTP/1: what a client makes us hold.
const WINDOW: u32 = 64 * 1024;

/// Longest header of a request.
const MAX_HEADER: u32 = 16 * 1024;

/// Pause after a failed accept, which is mostly "too many open files".
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Listens on all of `--web.listen-address`, or on none. `:10047` is all interfaces, IPv6 and IPv4.
pub async fn bind(addresses: &[String]) -> Result<Vec<TcpListener>, WebError> {
    let mut listeners = Vec::new();
    for address in addresses {
        let sockets = sockets(address).ok_or_else(|| WebError::Address(address.clone()))?;
        let mut last = None;
        let before = listeners.len();
        for socket in sockets {
            match TcpListener::bind(socket).await {
                Ok(listener) => listeners.push(listener),
                Err(error) => last = Some(error),
            }
        }
        // The second of two is there in case that the first does not include or have it.
        if let (true, Some(error)) = (before == listeners.len(), last) {
            return Err(WebError::Bind { address: address.clone(), error });
        }
    }
    Ok(listeners)
}

/// What one address means. Names other than `localhost` mean nothing: DNS may be what is broken.
fn sockets(address: &str) -> Option<Vec<SocketAddr>> {
    if let Ok(socket) = address.parse() {
        return Some(vec![socket]);
    }
    let (host, port) = address.rsplit_once(':')?;
    let port = port.parse().ok()?;
    let both = |v6: Ipv6Addr, v4: Ipv4Addr| {
        let v4 = (port != 0).then_some(IpAddr::V4(v4));
        [Some(IpAddr::V6(v6)), v4]
            .into_iter()
            .flatten()
            .map(|ip| SocketAddr::new(ip, port))
            .collect()
    };
    match host {
        "" => Some(both(Ipv6Addr::UNSPECIFIED, Ipv4Addr::UNSPECIFIED)),
        "localhost" => Some(both(Ipv6Addr::LOCALHOST, Ipv4Addr::LOCALHOST)),
        _ => None,
    }
}

/// Serves until `shutdown`, then accepts no more, lets open requests end within the grace period,
/// and returns.
///
/// # Errors
/// At once, if the telemetry path or the web configuration file is bad.
pub async fn serve(
    listeners: Vec<TcpListener>,
    context: Context,
    shutdown: impl Future<Output = ()>,
) -> Result<(), WebError> {
    let limits = context.limits.clone();
    let site = Arc::new(Site::new(context)?);
    let places = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            (stream, peer, place) = accept(&listeners, &places) => {
                let (site, watcher) = (Arc::clone(&site), graceful.watcher());
                connections.spawn(async move {
                    connection(site, stream, peer, watcher).await;
                    drop(place);
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listeners);
    if time::timeout(limits.grace, graceful.shutdown()).await.is_err() {
        tracing::warn!(
            connections = connections.len(),
            "requests cut off at the end of the grace period"
        );
    }
    connections.shutdown().await;
    Ok(())
}

/// The next connection, as soon as there is a place for it. Safe to drop at any time.
async fn accept(
    listeners: &[TcpListener],
    places: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    let Ok(place) = Arc::clone(places).acquire_owned().await else {
        return std::future::pending().await; // Nobody closes the semaphore.
    };
    loop {
        let next = poll_fn(|cx| {
            let mut ready = listeners.iter().map(|listener| listener.poll_accept(cx));
            ready.find(Poll::is_ready).unwrap_or(Poll::Pending)
        });
        match next.await {
            Ok((stream, peer)) => return (stream, peer, place),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// One connection, from its handshake to its end.
async fn connection(site: Arc<Site>, stream: TcpStream, peer: SocketAddr, watcher: Watcher) {
    // Answers are written in one piece; waiting for more only delays them.
    let _ = stream.set_nodelay(true);
    let current = site.live.current().await;
    let http2 = current.config.http_server_config.http2;
    let Some(tls) = &current.tls else { return requests(site, stream, http2, peer, watcher).await };
    let handshake = TlsAcceptor::from(Arc::clone(tls)).accept(stream);
    match time::timeout(site.context.limits.first_request, handshake).await {
        Ok(Ok(stream)) => requests(site, stream, http2, peer, watcher).await,
        Ok(Err(error)) => tracing::debug!(%peer, %error, "no TLS handshake"),
        Err(_) => tracing::debug!(%peer, "no TLS handshake in time"),
    }
}

/// The requests of a connection.
async fn requests<I>(site: Arc<Site>, io: I, http2: bool, peer: SocketAddr, watcher: Watcher)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = site.context.limits.clone();
    let activity = Arc::new(Activity::default());
    let seen = Arc::clone(&activity);
    let service = service_fn(move |request| {
        let (site, busy) = (Arc::clone(&site), Busy::begin(&seen));
        async move {
            // A task of its own, so that a panic costs an answer and not the connection.
            let answer = task::spawn(routes::answer(site, request)).await;
            drop(busy);
            Ok::<_, Infallible>(answer.unwrap_or_else(|_| routes::broken()))
        }
    });
    let mut builder = Builder::new(TokioExecutor::new());
    // `idle` below ends slow headers, in every protocol and before it is known which one.
    builder.http1().header_read_timeout(None).max_buf_size(WINDOW as usize);
    builder
        .http2()
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(4 * WINDOW)
        .max_header_list_size(MAX_HEADER);
    let builder = if http2 { builder } else { builder.http1_only() };
    let connection = builder.serve_connection(TokioIo::new(io), service).into_owned();
    tokio::select! {
        served = watcher.watch(connection) => {
            if let Err(error) = served {
                tracing::debug!(%peer, error = %error, "connection ended");
            }
        }
        () = activity.idle(&limits) => tracing::debug!(%peer, "connection was idle for too long"),
    }
}

/// What a connection is doing.
#[derive(Debug)]
struct Activity(Mutex<Doing>);

#[derive(Debug)]
struct Doing {
    requests: usize,
    /// When it was opened, or the last request was answered.
    since: Instant,
    had_request: bool,
}

impl Default for Activity {
    fn default() -> Activity {
        Activity(Mutex::new(Doing { requests: 0, since: Instant::now(), had_request: false }))
    }
}

impl Activity {
    fn change(&self, change: impl FnOnce(&mut Doing)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Returns once there was no request for too long. A client that sends its header, or takes its
    /// answer, too slowly looks the same.
    async fn idle(&self, limits: &Limits) {
        loop {
            let mut until = Instant::now() + limits.idle.min(limits.first_request);
            self.change(|doing| {
                if doing.requests == 0 {
                    let limit = if doing.had_request { limits.idle } else { limits.first_request };
                    until = doing.since + limit;
                }
            });
            if until <= Instant::now() {
                return;
            }
            time::sleep_until(until).await;
        }
    }
}

/// A request that is being answered.
struct Busy(Arc<Activity>);

impl Busy {
    fn begin(activity: &Arc<Activity>) -> Busy {
        activity.change(|doing| {
            doing.requests += 1;
            doing.had_request = true;
        });
        Busy(Arc::clone(activity))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.change(|doing| {
            doing.requests -= 1;
            doing.since = Instant::now();
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_without_a_resolver() {
        let read = |text: &str| {
            sockets(text).map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(read(":10047").unwrap(), ["[::]:10047", "0.0.0.0:10047"]);
        assert_eq!(read(":0").unwrap(), ["[::]:0"]);
        assert_eq!(read("[::1]:1").unwrap(), ["[::1]:1"]);
        assert_eq!(read("127.0.0.1:0").unwrap(), ["127.0.0.1:0"]);
        assert_eq!(read("localhost:80").unwrap(), ["[::1]:80", "127.0.0.1:80"]);
        for bad in ["10047", "::1:x", "prometheus:9090", ":99999", "", "http://:80"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[tokio::test]
    async fn a_port_in_use_is_an_error_that_names_it() {
        let first = bind(&["127.0.0.1:0".into()]).await.unwrap();
        let taken = first[0].local_addr().unwrap().to_string();
        let error = bind(std::slice::from_ref(&taken)).await.unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("cannot listen on \"{taken}\": Address already in use")),
            "{error}"
        );
        let error = bind(&["nowhere:1".into()]).await.unwrap_err().to_string();
        assert!(error.starts_with("web.listen-address \"nowhere:1\": wanted HOST:PORT"), "{error}");
    }
}

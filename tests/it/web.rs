//! The real web server over real sockets.

mod tls;

use std::io::ErrorKind;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use portent::web;
use portent::web::Context;
use portent::web::LabelCall;
use portent::web::LabelRequest;
use portent::web::Limits;
use portent::web::ReloadRequest;
use portent::web::Scrape;
use portent::web::Scraped;
use portent::web::WebError;
use reqwest::Client;
use reqwest::ClientBuilder;
use reqwest::Method;
use reqwest::StatusCode;
use reqwest::Version;
use reqwest::header;
use serde_json::Value;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_rustls::rustls::crypto::ring;

/// A board of one metric. It panics when asked for `text/panic`.
struct OneMetric;

const PLAIN: &str = "portent_up 1\n";

impl Scrape for OneMetric {
    fn scrape(&self, accept: Option<&str>, gzip: bool) -> Scraped {
        assert_ne!(accept, Some("text/panic"), "as asked");
        let offers = [("text/plain", "0.0.4"), ("application/openmetrics-text", "1.0.0")];
        let (content_type, end) = match web::best(accept, &offers) {
            Some(1) => ("application/openmetrics-text; version=1.0.0; charset=utf-8", "# EOF\n"),
            _ => ("text/plain; version=0.0.4; charset=utf-8", ""),
        };
        let mut body = format!("{PLAIN}{end}").into_bytes();
        if gzip {
            let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            packer.write_all(&body).unwrap();
            body = packer.finish().unwrap();
        }
        let parts = body.chunks(body.len().div_ceil(2).max(1)).map(Arc::from).collect();
        Scraped { content_type, parts, gzip }
    }
}

/// A server that is up. Dropped, it shuts down; `end` waits for that.
struct Server {
    address: SocketAddr,
    shutdown: Option<oneshot::Sender<()>>,
    served: JoinHandle<Result<(), WebError>>,
}

fn context() -> Context {
    let rows = vec![("Source".to_string(), "<prometheus> & co".to_string())];
    Context {
        scrape: Arc::new(OneMetric),
        telemetry_path: "/metrics".into(),
        status: Arc::new(move || rows.clone()),
        labels: None,
        reload: None,
        config_file: None,
        limits: Limits::default(),
    }
}

async fn start(context: Context) -> Server {
    let listeners = web::bind(&["127.0.0.1:0".into()]).await.unwrap();
    let address = listeners[0].local_addr().unwrap();
    let (shutdown, asked) = oneshot::channel();
    let served = tokio::spawn(web::serve(listeners, context, async {
        let _ = asked.await;
    }));
    Server { address, shutdown: Some(shutdown), served }
}

/// With a web configuration file.
async fn start_with(file: &Path) -> Server {
    start(Context { config_file: Some((file.to_path_buf(), loader())), ..context() }).await
}

fn loader() -> web::Loader {
    Arc::new(|path: &Path| {
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        serde_yaml::from_str(&text).map_err(|error| error.to_string())
    })
}

impl Server {
    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    async fn get(&self, path: &str) -> (StatusCode, String) {
        let answer = plain().get(self.url(path)).send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }

    async fn end(mut self) {
        drop(self.shutdown.take());
        self.served.await.unwrap().unwrap();
    }
}

fn client() -> ClientBuilder {
    // Another test may have been first.
    let _ = ring::default_provider().install_default();
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    Client::builder().no_proxy().resolve("localhost", loopback).tls_certs_only([])
}

fn plain() -> Client {
    client().build().unwrap()
}

#[tokio::test]
async fn every_route_and_method() {
    let server = start(context()).await;
    let metrics = server.get("/metrics").await;
    assert_eq!(metrics, (StatusCode::OK, PLAIN.into()));
    let (status, page) = server.get("/").await;
    assert!(status == 200 && page.contains("&lt;prometheus&gt; &amp; co"), "{page}");
    assert!(page.contains("href=\"/metrics\""), "{page}");
    assert_eq!(server.get("/-/healthy").await, (StatusCode::OK, "Portent is healthy.\n".into()));
    assert_eq!(server.get("/-/ready").await, (StatusCode::OK, "Portent is ready.\n".into()));
    assert_eq!(server.get("/metrics/").await.0, StatusCode::NOT_FOUND);
    for (method, path, allow) in [
        (Method::POST, "/", "GET, HEAD"),
        (Method::DELETE, "/metrics", "GET, HEAD"),
        (Method::PUT, "/-/healthy", "GET, HEAD"),
        (Method::OPTIONS, "/-/ready", "GET, HEAD"),
        (Method::GET, "/-/reload", "PUT, POST"),
        (Method::GET, "/api/v1/labels", "POST"),
        (Method::POST, "/api/v1/labels/12", "DELETE"),
    ] {
        let answer = plain().request(method, server.url(path)).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
        assert_eq!(answer.headers()[header::ALLOW], allow, "{path}");
    }
    for path in ["/", "/metrics", "/-/healthy", "/-/ready"] {
        let long = server.get(path).await.1.len();
        // A client that unpacks gzip by itself hides the length.
        let client = client().no_gzip().build().unwrap();
        let head = client.head(server.url(path)).send().await.unwrap();
        assert_eq!(head.headers()[header::CONTENT_LENGTH], long.to_string().as_str(), "{path}");
        assert_eq!(head.bytes().await.unwrap().len(), 0, "{path}");
    }
    server.end().await;
}

#[tokio::test]
async fn a_scrape_comes_in_the_format_that_is_asked_for() {
    let server = start(Context { telemetry_path: "/".into(), ..context() }).await;
    let client = client().no_gzip().build().unwrap();
    let ask = client.get(server.url("/")).header(header::ACCEPT, "application/openmetrics-text");
    let answer = ask.header(header::ACCEPT_ENCODING, "gzip").send().await.unwrap();
    let openmetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(answer.headers()[header::CONTENT_TYPE], openmetrics);
    assert_eq!(answer.headers()[header::CONTENT_ENCODING], "gzip");
    let mut text = String::new();
    let packed = answer.bytes().await.unwrap();
    flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut text).unwrap();
    assert_eq!(text, "portent_up 1\n# EOF\n");

    let h2 = self::client().http2_prior_knowledge().build().unwrap();
    let answer = h2.get(server.url("/")).send().await.unwrap();
    assert_eq!(answer.version(), Version::HTTP_2, "without TLS, too");
    assert_eq!(answer.text().await.unwrap(), PLAIN);
    server.end().await;
}

#[tokio::test]
async fn a_panic_costs_one_answer() {
    let server = start(context()).await;
    let client = plain();
    let ask = client.get(server.url("/metrics")).header(header::ACCEPT, "text/panic");
    assert_eq!(ask.send().await.unwrap().status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(server.get("/metrics").await.0, StatusCode::OK);
    server.end().await;
}

#[tokio::test]
async fn a_reload_is_asked_for() {
    let server = start(context()).await;
    let post = async |server: &Server| {
        let answer = plain().post(server.url("/-/reload")).send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    };
    let (status, text) = post(&server).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(text.contains("--web.enable-lifecycle"), "{text}");
    server.end().await;

    let (reload, mut asked) = mpsc::channel::<ReloadRequest>(1);
    let server = start(Context { reload: Some(reload), ..context() }).await;
    tokio::spawn(async move {
        for outcome in [Ok(()), Err("watches[0].step: 0".to_string())] {
            asked.recv().await.unwrap().reply.send(outcome).unwrap();
        }
    });
    let foreign = plain().post(server.url("/-/reload")).header(header::ORIGIN, "https://evil");
    assert_eq!(foreign.send().await.unwrap().status(), StatusCode::FORBIDDEN);
    assert_eq!(post(&server).await.0, StatusCode::OK);
    let failed =
        (StatusCode::INTERNAL_SERVER_ERROR, "failed to reload config: watches[0].step: 0\n".into());
    assert_eq!(post(&server).await, failed);
    assert_eq!(post(&server).await.0, StatusCode::SERVICE_UNAVAILABLE, "nobody is there any more");
    server.end().await;
}

async fn post_label(server: &Server, body: Vec<u8>) -> (StatusCode, Value) {
    let answer = plain().post(server.url("/api/v1/labels")).body(body).send().await.unwrap();
    let status = answer.status();
    (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap())
}

#[tokio::test]
async fn labels_are_handed_on() {
    let server = start(context()).await;
    let (status, answer) = post_label(&server, vec![]).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(answer["error"].as_str().unwrap().contains("labels_api: true"), "{answer}");
    server.end().await;

    let (labels, mut asked) = mpsc::channel::<LabelRequest>(1);
    let limits = Limits { body: Duration::from_millis(300), ..Limits::default() };
    let server = start(Context { labels: Some(labels), limits, ..context() }).await;
    tokio::spawn(async move {
        while let Some(LabelRequest { call, body, user, reply }) = asked.recv().await {
            assert_eq!((call, user), (LabelCall::Add, None));
            let _ = reply.send(match body.len() {
                0 => Err((400, vec!["empty".into(), "no watch".into()])),
                n => Ok(json!({ "bytes": n })),
            });
        }
    });
    let good = post_label(&server, vec![b' '; 64 * 1024]).await;
    assert_eq!(good, (StatusCode::OK, json!({"status": "success", "data": {"bytes": 65536}})));
    let bad = json!({"status": "error", "errorType": "bad_data", "error": "empty; no watch"});
    assert_eq!(post_label(&server, vec![]).await, (StatusCode::BAD_REQUEST, bad));
    let (status, _) = post_label(&server, vec![b' '; 64 * 1024 + 1]).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    // Without a length in front, the limit is found on the way.
    let head = "POST /api/v1/labels HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
    let chunk = format!("{head}Transfer-Encoding: chunked\r\n\r\n11000\r\n");
    let sent = [chunk.as_bytes(), &[b' '; 0x11000], b"\r\n0\r\n\r\n"].concat();
    assert!(raw(server.address, sent).await.starts_with("HTTP/1.1 413"));
    // A body that never comes.
    let part = format!("{head}Content-Length: 9\r\n\r\n1234");
    assert!(raw(server.address, part.into()).await.starts_with("HTTP/1.1 408"));
    server.end().await;
}

#[tokio::test]
async fn a_label_is_taken_back() {
    let delete = async |server: &Server, id: &str, body: &'static str| {
        let ask = plain().delete(server.url(&format!("/api/v1/labels/{id}"))).body(body);
        let answer = ask.send().await.unwrap();
        (answer.status(), serde_json::from_str::<Value>(&answer.text().await.unwrap()).unwrap())
    };
    let server = start(context()).await;
    assert_eq!(delete(&server, "12", "").await.0, StatusCode::FORBIDDEN, "the API is off");
    server.end().await;

    let (labels, mut asked) = mpsc::channel::<LabelRequest>(1);
    let server = start(Context { labels: Some(labels), ..context() }).await;
    let asking = plain().delete(server.url("/api/v1/labels/12")).header(header::ORIGIN, "http://e");
    assert_eq!(asking.send().await.unwrap().status(), StatusCode::FORBIDDEN, "another site");
    for id in ["twelve", "12/rows", "99999999999999999999"] {
        let (status, answer) = delete(&server, id, "").await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{id}");
        let wanted = format!("there is no label {id:?}; wanted a number, DELETE /api/v1/labels/12");
        assert_eq!(answer["error"], wanted);
    }
    tokio::spawn(async move {
        for id in [12, 13] {
            let LabelRequest { call, body, reply, .. } = asked.recv().await.unwrap();
            assert_eq!(call, LabelCall::Withdraw(id));
            let known = (id == 12).then(|| json!({ "note": String::from_utf8(body).unwrap() }));
            reply.send(known.ok_or_else(|| (404, vec!["there is no label 13".into()]))).unwrap();
        }
    });
    let done = json!({"status": "success", "data": {"note": "why"}});
    assert_eq!(delete(&server, "12", "why").await, (StatusCode::OK, done));
    let missing =
        json!({"status": "error", "errorType": "not_found", "error": "there is no label 13"});
    assert_eq!(delete(&server, "13", "").await, (StatusCode::NOT_FOUND, missing));
    server.end().await;
}

/// Sends bytes and reads until the server closes, or for half a minute.
async fn raw(address: SocketAddr, bytes: Vec<u8>) -> String {
    let talk = move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        // The server may have answered and closed before it has read everything.
        let _ = stream.write_all(&bytes);
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("still open"),
            _ => String::from_utf8_lossy(&answer).into_owned(),
        }
    };
    tokio::task::spawn_blocking(talk).await.unwrap()
}

#[tokio::test]
async fn slow_clients_are_cut_off_and_make_room() {
    let limits = Limits {
        connections: 4,
        first_request: Duration::from_millis(300),
        idle: Duration::from_millis(300),
        ..Limits::default()
    };
    let server = start(Context { limits, ..context() }).await;
    // One that says nothing, one amid its first line, one amid a header, one amid HTTP/2's preface.
    let slow = ["", "GET /met", "GET / HTTP/1.1\r\nHost: x\r\nX-", "PRI * HTTP/2.0\r\n"];
    let open = slow.map(|text| {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream
    });
    let asked = Instant::now();
    assert_eq!(server.get("/-/healthy").await.0, StatusCode::OK, "there is room again");
    assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
    for (mut stream, text) in open.into_iter().zip(slow) {
        let mut rest = Vec::new();
        let end = tokio::task::spawn_blocking(move || stream.read_to_end(&mut rest)).await.unwrap();
        let blocked = end.is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
        assert!(!blocked, "still open: {text:?}");
    }
    server.end().await;
}

#[tokio::test]
async fn a_connection_is_kept_between_two_scrapes_but_not_forever() {
    let first_request = Duration::from_millis(100);
    let limits = Limits { first_request, idle: Duration::from_secs(2), ..Limits::default() };
    let server = start(Context { limits, ..context() }).await;
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let talk = move || {
        let mut buffer = [0; 4096];
        for _ in 0..3 {
            stream.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            let n = stream.read(&mut buffer).unwrap();
            assert!(buffer[..n].starts_with(b"HTTP/1.1 200"), "answered on the same connection");
            std::thread::sleep(2 * first_request);
        }
        assert_eq!(stream.read(&mut buffer).unwrap(), 0, "closed at last");
    };
    tokio::task::spawn_blocking(talk).await.unwrap();
    server.end().await;
}

#[tokio::test]
async fn a_drain_lets_open_requests_end() {
    let (reload, mut asked) = mpsc::channel::<ReloadRequest>(1);
    let mut server = start(Context { reload: Some(reload), ..context() }).await;
    // An idle connection does not hold the server up.
    let idle = plain();
    idle.get(server.url("/-/healthy")).send().await.unwrap();
    let open = tokio::spawn(plain().post(server.url("/-/reload")).send());
    let request = asked.recv().await.unwrap();
    drop(server.shutdown.take());
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!server.served.is_finished(), "waits for the open request");
    assert!(TcpStream::connect(server.address).is_err(), "accepts no more");
    request.reply.send(Ok(())).unwrap();
    assert_eq!(open.await.unwrap().unwrap().status(), StatusCode::OK);
    server.end().await;
}

#[tokio::test]
async fn a_drain_ends_with_its_grace_period() {
    let (reload, mut asked) = mpsc::channel::<ReloadRequest>(1);
    let limits = Limits { grace: Duration::from_millis(200), ..Limits::default() };
    let server = start(Context { reload: Some(reload), limits, ..context() }).await;
    let open = tokio::spawn(plain().post(server.url("/-/reload")).send());
    let _kept = asked.recv().await.unwrap();
    tokio::time::timeout(Duration::from_secs(4), server.end()).await.unwrap();
    assert!(open.await.unwrap().is_err(), "cut off");
}

#[tokio::test]
async fn people_sign_in() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("web.yml");
    // As htpasswd writes it.
    let hash = bcrypt::hash("secret", 4).unwrap().replacen("$2b$", "$2y$", 1);
    let headers = "http_server_config: {http2: false, headers: {X-Frame-Options: deny}}";
    let put = |user: &str| {
        std::fs::write(&file, format!("{headers}\nbasic_auth_users: {{{user}: {hash}}}")).unwrap();
    };
    put("alice");
    let (labels, mut asked) = mpsc::channel::<LabelRequest>(1);
    let config_file = Some((file.clone(), loader()));
    let server = start(Context { labels: Some(labels), config_file, ..context() }).await;
    let get = async |path: &str, user: &str, password: &str| {
        let ask = plain().get(server.url(path)).basic_auth(user, Some(password));
        ask.send().await.unwrap().status()
    };
    for path in ["/", "/metrics", "/-/healthy", "/nowhere"] {
        let answer = plain().get(server.url(path)).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{path}");
        assert!(answer.headers()[header::WWW_AUTHENTICATE].to_str().unwrap().starts_with("Basic"));
        assert_eq!(answer.headers()[header::X_FRAME_OPTIONS], "deny");
    }
    assert_eq!(get("/metrics", "alice", "secret").await, StatusCode::OK);
    assert_eq!(get("/metrics", "alice", "wrong").await, StatusCode::UNAUTHORIZED);
    assert_eq!(get("/metrics", "bob", "secret").await, StatusCode::UNAUTHORIZED);

    let label =
        plain().post(server.url("/api/v1/labels")).basic_auth("alice", Some("secret")).send();
    let label = tokio::spawn(label);
    let LabelRequest { user, reply, .. } = asked.recv().await.unwrap();
    assert_eq!(user.as_deref(), Some("alice"));
    reply.send(Ok(Value::Null)).unwrap();
    assert_eq!(label.await.unwrap().unwrap().status(), StatusCode::OK);

    put("bob");
    assert_eq!(get("/metrics", "alice", "secret").await, StatusCode::UNAUTHORIZED);
    assert_eq!(get("/metrics", "bob", "secret").await, StatusCode::OK);
    server.end().await;
}

#[tokio::test]
async fn requests_come_no_faster_than_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("web.yml");
    std::fs::write(&file, "rate_limit: {interval: 1h, burst: 2}").unwrap();
    let server = start_with(&file).await;
    let expected = [StatusCode::OK, StatusCode::OK, StatusCode::TOO_MANY_REQUESTS];
    for status in expected {
        assert_eq!(server.get("/metrics").await.0, status);
    }
    server.end().await;
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("web.yml");
    std::fs::write(&file, "tls_server_config: {cert_file: none.crt, key_file: none.key}").unwrap();
    let config_file = Some((file.clone(), loader()));
    let error = web::serve(vec![], Context { config_file, ..context() }, async {}).await;
    let missing = folder.path().join("none.crt");
    let wanted = format!(
        "{}: tls_server_config.cert_file: {}: No such file or directory (os error 2)",
        file.display(),
        missing.display()
    );
    assert_eq!(error.unwrap_err().to_string(), wanted);
    for path in ["metrics", "/-/ready", "/a?b"] {
        let context = Context { telemetry_path: path.into(), ..context() };
        let error = web::serve(vec![], context, async {}).await.unwrap_err().to_string();
        assert!(error.starts_with("web.telemetry-path"), "{error}");
    }
}

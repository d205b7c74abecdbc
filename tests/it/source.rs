//! The Prometheus source against a real Prometheus; what a real one cannot be made to do, against a
//! socket.

mod fake;
mod server;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use portent::series::Grid;
use portent::source::Answer;
use portent::source::Source;
use portent::source::SourceError;
use portent::source::prometheus::Config;
use portent::source::prometheus::Prometheus;
use serde_json::Value;
use serde_json::json;

use crate::source::fake::Fake;
use crate::source::server::POINTS;
use crate::source::server::START_S;
use crate::source::server::STEP_S;
use crate::source::server::Server;
use crate::source::server::install;
use crate::source::server::pki;

/// A source with one attempt and a short timeout, unless `more` says otherwise.
fn source(url: &str, more: Value) -> Prometheus {
    let mut config = json!({"url": url, "retries": 0, "timeout": "8s"});
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let config: Config = serde_json::from_value(config).unwrap();
    Prometheus::new(&config).unwrap()
}

/// A source of a real server.
fn of(server: &Server, scheme: &str, http_config: Value) -> Prometheus {
    let url = format!("{scheme}://127.0.0.1:{}/", server.port);
    source(&url, json!({"http_config": http_config}))
}

fn grid(len: usize) -> Grid {
    Grid { start_s: START_S, step_s: STEP_S, len }
}

#[tokio::test]
async fn a_training_leaves_room_for_a_pass() {
    const TIME: Duration = Duration::from_millis(250);
    const EMPTY: &str = r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#;
    let fake = Fake::start(&[(200, EMPTY)], TIME);
    let source: Arc<dyn Source> = Arc::new(source(&fake.url, json!({})));
    let patient = portent::source::patient(&source, 2);
    let training: Vec<_> = (0..16)
        .map(|_| {
            let patient = Arc::clone(&patient);
            tokio::spawn(async move { patient.range("x", grid(1)).await })
        })
        .collect();
    tokio::time::sleep(TIME / 4).await;
    let asked = Instant::now();
    source.range("x", grid(1)).await.unwrap();
    assert!(asked.elapsed() < 2 * TIME, "queued behind a training for {:?}", asked.elapsed());
    for query in training {
        query.await.unwrap().unwrap();
    }
    assert_eq!(fake.most_at_once.load(Ordering::SeqCst), 3, "two of it, and the pass's");
}

/// The reason of the error that a query ends in, and its text.
async fn failure(source: &Prometheus, query: &str) -> (&'static str, String) {
    let error = source.instant(query, START_S).await.unwrap_err();
    (error.reason(), error.to_string())
}

#[tokio::test]
async fn a_real_prometheus() {
    let server = Server::start("", |_| {}, &[]);
    let source = of(&server, "http", json!({}));
    assert_eq!(source.describe(), format!("Prometheus at http://127.0.0.1:{}", server.port));
    long_ranges_are_split(&server, &source).await;
    connections_are_kept(&server, &source).await;
    odd_values_and_gaps(&source).await;
    queries_are_refused_with_the_servers_words(&source).await;
    drop(server);
    assert_eq!(failure(&source, "up").await.0, "connect"); // the kept connection breaks
    let (reason, text) = failure(&source, "up").await;
    assert_eq!(reason, "connect", "{text}");
    assert!(text.contains("query \"up\"") && text.contains("refused"), "{text}");
}

async fn long_ranges_are_split(server: &Server, source: &Prometheus) {
    let counter = "prometheus_http_requests_total{code=\"200\",handler=\"/api/v1/query_range\"}";
    let before = server.own(counter);
    let answer = source.range("ramp", grid(POINTS as usize)).await.unwrap();
    assert_eq!(server.own(counter) - before, 2.0);
    assert_eq!(answer.series.len(), 1);
    assert_eq!(answer.series[0].labels.to_string(), "job=a"); // no __name__
    let wanted: Vec<(i64, f64)> = (0..POINTS).map(|i| (START_S + i * STEP_S, i as f64)).collect();
    assert!(answer.series[0].samples == wanted, "12,001 points, one per grid time");
    assert_eq!((answer.partial, answer.warnings), (None, vec![]));
    let odd = Grid { start_s: START_S + 1, ..grid(10) };
    let error = source.range("ramp", odd).await.unwrap_err().to_string();
    assert!(error.contains("multiple of the step"), "{error}");
    assert_eq!(source.range("ramp", grid(0)).await.unwrap(), Answer::default());
}

async fn connections_are_kept(server: &Server, source: &Prometheus) {
    let counter = "net_conntrack_listener_conn_accepted_total{listener_name=\"http\"}";
    let before = server.own(counter);
    for _ in 0..5 {
        source.instant("ramp", START_S).await.unwrap();
    }
    assert_eq!(server.own(counter) - before, 1.0, "only the look at the counter itself");
}

async fn odd_values_and_gaps(source: &Prometheus) {
    let minutes = Grid { start_s: START_S, step_s: 60, len: 30 };
    let answer = source.range("odd", minutes).await.unwrap();
    let samples = &answer.series[0].samples;
    let shape: Vec<(i64, bool)> =
        samples.iter().map(|(t, v)| ((t - START_S) / 60, v.is_nan())).collect();
    let wanted: Vec<(i64, bool)> =
        (0..5).map(|i| (i, true)).chain((10..15).map(|i| (i, false))).collect();
    // A sample is seen for the 5 minutes of the lookback, in newer servers less its last instant.
    let lookback_end = |(t, _): &(i64, bool)| *t != 5 && *t != 15;
    let seen: Vec<(i64, bool)> = shape.into_iter().filter(lookback_end).collect();
    assert_eq!(seen, wanted);
    assert_eq!(samples.last().unwrap().1, f64::INFINITY);
    let scalar = source.instant("scalar(ramp) + 0.5", START_S + STEP_S).await.unwrap();
    assert_eq!(scalar.series[0].samples, [(START_S + STEP_S, 1.5)]);
    let long = format!("ramp{}", " + 0".repeat(3_000));
    assert_eq!(source.instant(&long, START_S).await.unwrap().series.len(), 1); // by POST
    assert_eq!(source.instant("absent_metric", START_S).await.unwrap(), Answer::default());
}

async fn queries_are_refused_with_the_servers_words(source: &Prometheus) {
    let (reason, text) = failure(source, "rate(ramp[5m]").await;
    assert_eq!(reason, "bad_query");
    assert!(text.contains("query \"rate(ramp[5m]\": HTTP 400, bad_data: "), "{text}");
    assert!(text.contains("parse error: unclosed left parenthesis"), "{text}");
    let (reason, text) = failure(source, "ramp + on() group_left() {job=~\".+\"}").await;
    assert_eq!(reason, "bad_query", "{text}");
    assert_eq!(failure(source, "\"text\"").await.0, "bad_query");
    let (reason, text) = failure(source, "{__name__=~\"ramp|twin\"}").await;
    assert_eq!(reason, "bad_query");
    assert!(text.contains("wanted one metric per query"), "{text}");
}

#[tokio::test]
async fn tls_and_a_password() {
    let good = pki("127.0.0.1");
    let web = format!(
        "tls_server_config: {{cert_file: cert.pem, key_file: key.pem}}\n\
         basic_auth_users: {{portent: '{}'}}\n",
        bcrypt::hash("open sesame", 4).unwrap()
    );
    let server = Server::start(&web, |dir| install(&good, dir), &["--query.max-samples=9000"]);
    let files = tempfile::tempdir().unwrap();
    let (password, ca) = (files.path().join("password"), files.path().join("ca.pem"));
    std::fs::write(&password, "wrong\n").unwrap();
    std::fs::write(&ca, pki("127.0.0.1").ca).unwrap();
    let source = of(
        &server,
        "https",
        json!({"basic_auth": {"username": "portent", "password_file": password},
               "tls_config": {"ca_file": ca}}),
    );
    let (reason, text) = failure(&source, "up").await;
    assert_eq!(reason, "tls", "{text}");
    assert!(text.contains("wanted a certificate signed by tls_config.ca_file"), "{text}");
    // The same source sees what the files hold now.
    std::fs::write(&ca, &good.ca).unwrap();
    let (reason, text) = failure(&source, "up").await;
    assert_eq!(reason, "http_status");
    assert!(text.contains("HTTP 401") && text.contains("http_config"), "{text}");
    std::fs::write(&password, "open sesame\n").unwrap();
    // The server refuses more than 9,000 samples, so the range has to be split further.
    let answer = source.range("ramp", grid(POINTS as usize)).await.unwrap();
    assert_eq!(answer.series[0].samples.len(), POINTS as usize);
    std::fs::remove_file(&password).unwrap();
    let (reason, text) = failure(&source, "up").await;
    assert_eq!(reason, "config");
    assert!(text.contains("basic_auth.password_file"), "{text}");

    let auth = json!({"username": "portent", "password": "open sesame"});
    let trusting = json!({"basic_auth": auth, "tls_config": {"insecure_skip_verify": true}});
    of(&server, "https", trusting).instant("ramp", START_S).await.unwrap();
    let by_default = of(&server, "https", json!({"basic_auth": auth}));
    assert_eq!(failure(&by_default, "up").await.0, "tls");
    let plain = of(&server, "http", json!({"basic_auth": auth}));
    let (reason, text) = failure(&plain, "up").await;
    assert!(reason != "tls" && text.contains("HTTPS server"), "{text}");
}

#[tokio::test]
async fn client_certificates_and_another_server_name() {
    let server_pki = pki("prometheus.test");
    let client = pki("portent");
    let web = "tls_server_config: {cert_file: cert.pem, key_file: key.pem, \
               client_auth_type: RequireAndVerifyClientCert, client_ca_file: clients.pem}\n";
    let prepare = |dir: &Path| {
        install(&server_pki, dir);
        std::fs::write(dir.join("clients.pem"), &client.ca).unwrap();
    };
    let server = Server::start(web, prepare, &[]);
    let mut tls = json!({"ca": server_pki.ca, "cert": client.cert, "key": client.key,
        "min_version": "TLS13"});
    let (reason, text) =
        failure(&of(&server, "https", json!({"tls_config": tls.clone()})), "up").await;
    assert_eq!(reason, "tls");
    assert!(text.contains("tls_config.server_name"), "{text}");
    tls["server_name"] = json!("prometheus.test");
    let known = of(&server, "https", json!({"tls_config": tls.clone()}));
    known.instant("ramp", START_S).await.unwrap();
    tls.as_object_mut().unwrap().retain(|name, _| name == "ca" || name == "server_name");
    let stranger = of(&server, "https", json!({"tls_config": tls}));
    // In TLS 1.3 the refusal comes after the handshake; now and then the connection is gone first.
    let mut told = false;
    for _ in 0..20 {
        let (reason, text) = failure(&stranger, "up").await;
        assert!(matches!(reason, "tls" | "connect"), "{text}");
        told |= reason == "tls" && text.contains("tls_config.cert_file");
    }
    assert!(told, "the server's refusal was never seen");
}

const NOTHING: &str = r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;

async fn asked(fake: &Fake, more: Value) -> Result<Answer, SourceError> {
    source(&fake.url, more).instant("up", START_S).await
}

#[tokio::test]
async fn other_servers_errors_keep_their_words() {
    let vm = r#"{"status":"error","errorType":"422","error":"unsupported function \"foo\""}"#;
    let mimir = r#"{"status":"error","errorType":"too_many_requests","error":"tenant rate"}"#;
    let histogram = r#"{"status":"success","isPartial":true,"data":{"resultType":"vector",
        "result":[{"metric":{"__name__":"h"},"histogram":[1.5,{"count":"3","sum":"4"}]}]}}"#;
    let cases = [
        (422, vm, "bad_query", "unsupported function"),
        (429, mimir, "rate_limited", "tenant rate"),
        (401, "no org id", "http_status", "no org id"),
        (502, "Bad Gateway", "unavailable", "HTTP 502, \"Bad Gateway\""),
        (200, histogram, "native_histogram", "query \"up\": series h{}"),
        (200, "<html>Sign in</html>", "decode", "wanted Prometheus' JSON"),
    ];
    for (status, body, reason, text) in cases {
        let fake = Fake::start(&[(status, body)], Duration::ZERO);
        let error = asked(&fake, json!({})).await.unwrap_err();
        assert_eq!(error.reason(), reason);
        assert!(error.to_string().contains(text), "{error}");
        assert!(error.to_string().starts_with("Prometheus at http://127.0.0.1:"), "{error}");
    }
}

#[tokio::test]
async fn partial_answers_say_so() {
    let partial = NOTHING.replace("success\"", "success\",\"isPartial\":true");
    let fake = Fake::start(&[(200, &partial)], Duration::ZERO);
    assert!(asked(&fake, json!({})).await.unwrap().partial.is_some());
}

#[tokio::test]
async fn only_what_may_help_is_retried_and_never_for_long() {
    let fake = Fake::start(&[(503, "a"), (429, "b"), (200, NOTHING)], Duration::ZERO);
    assert_eq!(asked(&fake, json!({"retries": 2})).await.unwrap(), Answer::default());
    assert_eq!(fake.requests().len(), 3);
    let fake = Fake::start(&[(400, "a")], Duration::ZERO);
    assert_eq!(asked(&fake, json!({"retries": 2})).await.unwrap_err().reason(), "bad_query");
    assert_eq!(fake.requests().len(), 1);
    let fake = Fake::start(&[(200, NOTHING)], Duration::from_secs(30));
    let begin = Instant::now();
    let error = asked(&fake, json!({"retries": 9, "timeout": "400ms"})).await.unwrap_err();
    assert_eq!(error.reason(), "timeout");
    let (tries, took) = (fake.requests().len(), begin.elapsed());
    assert!(tries == 2 && took <= Duration::from_millis(1_200), "{tries} tries in {took:?}");
}

#[tokio::test]
async fn requests_carry_what_was_configured() {
    let fake = Fake::start(&[(200, NOTHING)], Duration::ZERO);
    let more = json!({"headers": {"X-Scope-OrgID": "a|b"}, "params": {"partial_response": "false"},
        "http_config": {"http_headers": {"X-More": {"values": ["1", "2"]}},
                        "authorization": {"credentials": "token"}}});
    asked(&fake, more.clone()).await.unwrap();
    let long = format!("up{}", " + 0".repeat(1_000));
    source(&fake.url, more).instant(&long, START_S).await.unwrap();
    let requests = fake.requests();
    let get = "GET /prefix/api/v1/query?query=up&time=1700006400&timeout=8000ms\
               &partial_response=false HTTP/1.1";
    assert!(requests[0].starts_with(get), "{}", requests[0]);
    for line in ["x-scope-orgid: a|b", "x-more: 1", "x-more: 2", "authorization: Bearer token"] {
        assert!(requests.iter().all(|request| request.contains(line)), "{requests:?}");
    }
    assert!(requests[1].starts_with("POST /prefix/api/v1/query HTTP/1.1"), "{}", requests[1]);
    assert!(requests[1].contains("query=up+%2B+0"), "{}", requests[1]);
}

#[tokio::test]
async fn redirects_can_be_refused() {
    let fake = Fake::start(&[(302, "elsewhere")], Duration::ZERO);
    let error = asked(&fake, json!({"http_config": {"follow_redirects": false}})).await;
    assert_eq!(error.unwrap_err().reason(), "http_status");
    assert_eq!(asked(&fake, json!({})).await.unwrap_err().reason(), "connect");
}

#[tokio::test]
async fn a_proxy_is_used() {
    let proxy = Fake::start(&[(200, NOTHING)], Duration::ZERO);
    let url = proxy.url.trim_end_matches("/prefix/");
    let through = source("http://prometheus.test:9090", json!({"http_config": {"proxy_url": url}}));
    through.instant("up", START_S).await.unwrap();
    let request = &proxy.requests()[0];
    assert!(request.starts_with("GET http://prometheus.test:9090/api/v1/query?"), "{request}");
}

#[tokio::test]
async fn at_most_max_concurrency_queries_run_at_once() {
    let fake = Fake::start(&[(200, NOTHING)], Duration::from_millis(100));
    let source = Arc::new(source(&fake.url, json!({"max_concurrency": 3})));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let source = Arc::clone(&source);
        tasks.spawn(async move { source.instant("up", START_S).await.map(|_| ()) });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap().unwrap();
    }
    assert_eq!(fake.most_at_once.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_name_without_an_address() {
    let source = source("http://no-such-host.invalid:9090", json!({"timeout": "4s"}));
    let (reason, text) = failure(&source, "up").await;
    assert_eq!(reason, "resolve", "{text}");
}

#[tokio::test]
async fn sources_can_be_shared_between_threads() {
    let fake = Fake::start(&[(200, NOTHING)], Duration::ZERO);
    let source: Arc<dyn Source> = Arc::new(source(&fake.url, json!({})));
    let task = tokio::spawn(async move { source.instant("up", START_S).await });
    assert_eq!(task.await.unwrap().unwrap(), Answer::default());
}

#[tokio::test]
async fn a_system_without_authorities_refuses_tls_and_speaks_http() {
    let variable = "SSL_CERT_FILE";
    if std::env::var_os(variable).is_none_or(|file| file != "/dev/null") {
        // The environment belongs to the whole process, so this test runs in one of its own.
        let name = "source::a_system_without_authorities_refuses_tls_and_speaks_http";
        let mut again = Command::new(std::env::current_exe().unwrap());
        let done = again.args(["--exact", name]).env(variable, "/dev/null").output().unwrap();
        let text = String::from_utf8_lossy(&done.stdout);
        assert!(done.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    let fake = Fake::start(&[(200, NOTHING)], Duration::ZERO);
    assert_eq!(asked(&fake, json!({})).await.unwrap(), Answer::default());
    let pki = pki("127.0.0.1");
    let web = "tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n";
    let server = Server::start(web, |dir| install(&pki, dir), &[]);
    let (reason, text) = failure(&of(&server, "https", json!({})), "up").await;
    assert_eq!(reason, "tls");
    assert!(text.contains("this system has no CA certificates"), "{text}");
}

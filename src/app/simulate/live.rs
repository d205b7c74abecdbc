//! A scenario played in real time: servers that a Prometheus scrapes.
//!
//! Owns: addresses, and that a scrape copies what was said within the last second. Does not own: what is said
//! (`simulate`), nor how it is served (`web`).

use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use super::Error;
use super::now_s;
use crate::app::say;
use crate::config;
use crate::scenario::Scenario;
use crate::schedule;
use crate::simulate::coredns;
use crate::simulate::coredns::Service;
use crate::simulate::exposition::Scrape;
use crate::web;

/// How often each replica says something new.
const EVERY: Duration = Duration::from_secs(1);

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Is the replicas of a scenario, from its first row on, until a signal. After its end nothing is injected any more.
///
/// # Errors
/// The scenario is wrong, or an address cannot be listened on.
pub async fn simulate_live(scenario: &Path, listen: &str) -> Result<(), Error> {
    let scenario = config::load_simulation(scenario)?;
    let replicas: Vec<Arc<Said>> = (0..scenario.replicas).map(|_| Arc::default()).collect();
    let mut servers = tokio::task::JoinSet::new();
    let mut addresses = Vec::new();
    for (i, said) in replicas.iter().enumerate() {
        let listeners = web::bind(&[address(listen, i)?]).await?;
        let address = listeners.first().and_then(|listener| listener.local_addr().ok());
        addresses.extend(address.map(|address| address.to_string()));
        let context = context(Arc::clone(said), coredns::instance(i));
        servers.spawn(web::serve(listeners, context, std::future::pending()));
    }
    introduce(&scenario, &addresses)?;
    std::thread::spawn(move || play(&scenario, &replicas));
    let mut terminations = schedule::Terminations::new()?;
    tokio::select! {
        Some(ended) = servers.join_next() => ended??,
        _ = terminations.next() => {}
    }
    Ok(())
}

/// What a replica says; `None` while nobody answers.
#[derive(Default)]
struct Said(Mutex<Option<Arc<[u8]>>>);

impl web::Scrape for Said {
    fn scrape(&self, _accept: Option<&str>, _gzip: bool) -> web::Scraped {
        let said = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // What is no metrics fails the scrape, as a server that is gone does.
        let gone = || Arc::from(&b"the simulated server is down\n"[..]);
        web::Scraped { content_type: TEXT, parts: vec![said.unwrap_or_else(gone)], gzip: false }
    }
}

/// The address of a replica: the first one's, and the ports that follow.
fn address(listen: &str, i: usize) -> Result<String, Error> {
    let parts =
        listen.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    let Some((host, port)) = parts else { return Ok(listen.to_owned()) };
    // Port 0 is any that is free.
    let port = if port == 0 { Some(0) } else { port.checked_add(i as u16) };
    let port = port.ok_or_else(|| format!("{listen}: no port is left for replica {i}"))?;
    Ok(format!("{host}:{port}"))
}

fn context(said: Arc<Said>, name: String) -> web::Context {
    web::Context {
        scrape: said,
        telemetry_path: "/metrics".into(),
        status: Arc::new(move || vec![("Simulated".into(), name.clone())]),
        labels: None,
        reload: None,
        config_file: None,
        limits: web::Limits::default(),
    }
}

fn introduce(scenario: &Scenario, addresses: &[String]) -> Result<(), Error> {
    let targets: Vec<String> = addresses
        .iter()
        .map(|address| format!("'{}'", address.replace("0.0.0.0", "127.0.0.1")))
        .collect();
    say(&format!(
        "{}: {} simulated CoreDNS. For Prometheus:\n  \
         - {{job_name: coredns, scrape_interval: {}s, static_configs: [{{targets: [{}]}}]}}\n",
        scenario.name,
        addresses.len(),
        scenario.scrape_interval_s,
        targets.join(", ")
    ))
}

fn play(scenario: &Scenario, replicas: &[Arc<Said>]) {
    let (start_s, start) = (now_s(), Instant::now());
    let mut service = Service::new(scenario);
    loop {
        service.advance(start.elapsed().as_secs_f64());
        for (i, said) in replicas.iter().enumerate() {
            let mut scrape = Scrape::default();
            let up = service.say(i, start_s, &mut |family, more, labels, value| {
                scrape.say(family, more, labels, value);
            });
            let text = up.then(|| Arc::from(scrape.into_text().into_bytes()));
            *said.0.lock().unwrap_or_else(PoisonError::into_inner) = text;
        }
        std::thread::sleep(EVERY);
    }
}

//! The sidecar on a cluster that does not exist: no server, no network, scores within a minute.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::Error;
use super::board::Served;
use super::cores;
use super::counted::counted;
use super::now_s;
use super::say;
use super::watching::Watching;
use crate::config::Preset;
use crate::detect;
use crate::export::Board;
use crate::export::Format;
use crate::preprocess::FeatureConfig;
use crate::preprocess::Transform;
use crate::schedule;
use crate::series::Grid;
use crate::simulate;
use crate::simulate::Cluster;
use crate::source::Answer;
use crate::source::AnswerSeries;
use crate::source::BoxFuture;
use crate::source::Source;
use crate::source::SourceError;
use crate::store::Store;
use crate::train::Trainer;
use crate::watch::Checks;
use crate::watch::Feature;
use crate::watch::Training;
use crate::watch::Watch;
use crate::web;
use crate::workers::Workers;

/// A simulated day: long enough for a rhythm, short enough to be seen.
const DAY_S: i64 = 1_200;

/// History before the start: three simulated days.
const HISTORY_S: i64 = 3 * DAY_S;

const STEP_S: i64 = 2;
const PORT_STEP_S: i64 = 5;
const PORT_BUCKET_S: i64 = 10;

/// Runs the demo until a signal ends it.
///
/// # Errors
/// The address cannot be listened on.
pub async fn demo(listen: String) -> Result<(), Error> {
    let listeners = web::bind(std::slice::from_ref(&listen)).await?;
    let address = listeners.first().and_then(|l| l.local_addr().ok());
    let address = address.map_or(listen, |address| address.to_string());
    let cluster = Cluster::new(7).day_s(DAY_S).port_step_s(PORT_STEP_S).clean_until_s(now_s() + 60);
    let board = Board::new();
    board.own().reload(true, now_s());
    let trainer = Trainer {
        source: counted(Arc::new(Simulated(cluster.clone())), &board),
        store: Store::in_memory()?,
        board: board.clone(),
        workers: Workers::new(cores()),
    };
    let mut watching = Watching::new(Arc::clone(&trainer.source), trainer);
    watching.start(coredns(&cluster));
    watching.start(ports(&cluster));
    let context = web::Context {
        scrape: Arc::new(Served(board.clone())),
        telemetry_path: "/metrics".into(),
        status: Arc::new(|| vec![("Source".into(), "a simulated cluster".into())]),
        labels: None,
        reload: None,
        config_file: None,
        limits: web::Limits::default(),
    };
    let mut terminations = schedule::Terminations::new()?;
    introduce(&address);
    tokio::select! {
        served = web::serve(listeners, context, std::future::pending()) => served?,
        () = narrate(&cluster, &board) => {}
        _ = terminations.next() => {}
    }
    Ok(())
}

/// A source whose queries are `watch:feature` of the cluster.
struct Simulated(Cluster);

impl Simulated {
    fn answer(&self, query: &str, grid: Grid) -> Answer {
        let (watch, feature) = query.split_once(':').unwrap_or((query, ""));
        let entities = self.0.entities(watch).into_iter().enumerate();
        let series = entities.map(|(idx, labels)| {
            let value = |t_s| (t_s, self.0.value(watch, feature, idx, t_s));
            AnswerSeries { labels, samples: (0..grid.len).map(|i| value(grid.time(i))).collect() }
        });
        Answer { series: series.collect(), partial: None, warnings: Vec::new() }
    }
}

impl Source for Simulated {
    fn range<'a>(
        &'a self,
        query: &'a str,
        grid: Grid,
    ) -> BoxFuture<'a, Result<Answer, SourceError>> {
        Box::pin(async move { Ok(self.answer(query, grid)) })
    }

    fn instant<'a>(
        &'a self,
        query: &'a str,
        time_s: i64,
    ) -> BoxFuture<'a, Result<Answer, SourceError>> {
        Box::pin(async move { Ok(self.answer(query, Grid { start_s: time_s, step_s: 1, len: 1 })) })
    }

    fn describe(&self) -> String {
        "a simulated cluster".into()
    }
}

fn coredns(cluster: &Cluster) -> Watch {
    let preset = Preset::named("coredns").and_then(|preset| preset.watch());
    let known = preset.map(|watch| watch.features).unwrap_or_default();
    let scale = |name: &str| {
        let usual =
            FeatureConfig { transform: Transform::Identity, floor: 0.03, ..Default::default() };
        known.iter().find(|f| f.name == name).map_or(usual, |f| f.scale)
    };
    let features = cluster.features(simulate::COREDNS).iter();
    let features = features.map(|name| feature(simulate::COREDNS, name, scale(name)));
    let joint = detect::Config::NAMES.iter().find(|name| **name == "autoencoder");
    let detector = joint.copied().unwrap_or("seasonal_median");
    Watch {
        name: simulate::COREDNS.into(),
        entity: vec!["job".into()],
        features: features.collect(),
        step_s: STEP_S,
        bucket_s: None,
        detectors: detect::Config::named(detector).into_iter().collect(),
        weak_labels: Vec::new(),
        consecutive: 3,
        score_every_s: STEP_S,
        ..usual()
    }
}

fn ports(cluster: &Cluster) -> Watch {
    let scale = FeatureConfig { transform: Transform::Log1p, floor: 0.1, ..Default::default() };
    let features = cluster.features(simulate::PORTS).iter();
    Watch {
        name: simulate::PORTS.into(),
        entity: vec!["instance".into(), "ifName".into()],
        features: features.map(|name| feature(simulate::PORTS, name, scale)).collect(),
        step_s: PORT_STEP_S,
        bucket_s: Some(PORT_BUCKET_S),
        detectors: detect::Config::seasonal(DAY_S),
        weak_labels: Vec::new(),
        consecutive: 4,
        score_every_s: PORT_BUCKET_S,
        ..usual()
    }
}

fn feature(watch: &str, name: &str, scale: FeatureConfig) -> Feature {
    Feature { name: name.into(), query: format!("{watch}:{name}"), scale }
}

fn usual() -> Watch {
    Watch {
        name: String::new(),
        entity: Vec::new(),
        features: Vec::new(),
        checks: Checks::default(),
        step_s: STEP_S,
        lag_s: 0,
        bucket_s: None,
        despike: None,
        steps: Vec::new(),
        calendar: Default::default(),
        detectors: Vec::new(),
        weak_labels: Vec::new(),
        consecutive: 3,
        pages_per_week: 1.0,
        train: Training { every_s: 3_600, history_s: HISTORY_S, min_history_s: HISTORY_S / 2 },
        score_every_s: STEP_S,
    }
}

fn introduce(address: &str) {
    tell(&format!(
        "Portent demo: a simulated cluster (one day every {} min, a fault every few minutes).\n\
         \n  page      http://{address}/\n  metrics   http://{address}/metrics\n\
         \nLook at portent_anomaly_score{{detector=\"combined\"}}: 1 is the threshold, above is anomalous.\n\
         \x20 curl -s http://{address}/metrics | grep 'portent_anomaly_score.*combined'\n\
         \nLearning from {} min of history; the first scores are due within a minute. End with Ctrl-C.\n",
        DAY_S / 60,
        HISTORY_S / 60,
    ));
}

/// The demo goes on without a listener, so what cannot be printed is not.
fn tell(text: &str) {
    let _ = say(&format!("{text}\n"));
}

/// Says when faults begin and when they are found. Never returns.
async fn narrate(cluster: &Cluster, board: &Board) {
    let started_s = now_s();
    let (mut begun, mut found) = (BTreeSet::new(), BTreeSet::new());
    let mut scoring = BTreeSet::new();
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now_s = now_s();
        let at_s = now_s - started_s;
        let text = board.scrape(Format::Text, false).into_bytes();
        let text = String::from_utf8_lossy(&text);
        for watch in [simulate::COREDNS, simulate::PORTS] {
            let highest = highest(&text, watch);
            if highest.is_some() && scoring.insert(watch) {
                tell(&format!("{at_s:>4} s  first scores of {watch}"));
            }
            let Some(fault) = cluster.fault_at(watch, now_s) else { continue };
            let key = (watch, fault.interval.from_s);
            if begun.insert(key) {
                tell(&format!("{at_s:>4} s  fault in {watch}: {}", fault.describe()));
            }
            let above = highest.filter(|(score, _)| *score > 1.0 && found.insert(key));
            if let Some((score, series)) = above {
                let after_s = now_s - fault.interval.from_s;
                tell(&format!("{at_s:>4} s  found after {after_s} s: {series} = {score:.2}"));
            }
        }
    }
}

/// The highest combined score of a watch, with its series.
fn highest(text: &str, watch: &str) -> Option<(f64, String)> {
    let wanted = format!("watch=\"{watch}\"");
    let scores = text.lines().filter(|line| {
        line.starts_with("portent_anomaly_score{")
            && line.contains(&wanted)
            && line.contains("detector=\"combined\"")
    });
    let parsed = scores.filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        Some((value.parse::<f64>().ok()?, series.to_string()))
    });
    parsed.max_by(|a, b| a.0.total_cmp(&b.0))
}

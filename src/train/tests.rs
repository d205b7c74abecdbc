//! A watch that is trained, labelled, and trained again.

use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering::Relaxed;

use super::*;
use crate::detect;
use crate::export::Format;
use crate::gather;
use crate::gather::Labelled;
use crate::preprocess;
use crate::series::Grid;
use crate::source::Answer;
use crate::source::AnswerSeries;
use crate::source::BoxFuture;
use crate::source::SourceError;
use crate::store::ModelState;
use crate::verdict::Interval;
use crate::verdict::Label;
use crate::verdict::Verdict;
use crate::verdict::Withdrawal;
use crate::verdict::rfc3339;
use crate::watch::Checks;
use crate::watch::Feature;
use crate::watch::Training;

mod holds;

const HOUR_S: i64 = 3_600;
const NOW_S: i64 = 240 * HOUR_S;

/// Two incidents on the first day: the median of many days does not see them.
const LARGE: Interval = Interval { from_s: 10 * HOUR_S, to_s: 11 * HOUR_S };
const SMALL: Interval = Interval { from_s: 20 * HOUR_S, to_s: 21 * HOUR_S };
/// As any other hour.
const QUIET: Interval = Interval { from_s: 30 * HOUR_S, to_s: 31 * HOUR_S };

/// Noise of standard deviation 1 (a sum of uniforms) around 10, and the incidents.
struct Noise {
    /// The values of the label `port`; empty for no such label.
    ports: Vec<&'static str>,
    /// What begins before is not answered now.
    deaf_before_s: AtomicI64,
    /// Whether there are [`alike`] incidents, too.
    eventful: bool,
}

/// One of thirty incidents of twenty minutes, six a day on the last five days, at ever other times of day; the
/// last six on the last day.
fn alike(k: i64) -> Interval {
    let from_s = NOW_S - 120 * HOUR_S + k * 4 * HOUR_S + k % 7 * 1_800;
    Interval { from_s, to_s: from_s + 1_200 }
}

fn value(time_s: i64) -> f64 {
    let mut state = time_s.unsigned_abs().wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut uniform = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
    };
    let noise: f64 = (0..12).map(|_| uniform()).sum();
    let shift = match time_s {
        _ if LARGE.contains(time_s) => 40.0,
        _ if SMALL.contains(time_s) => 20.0,
        _ => 0.0,
    };
    10.0 + noise + shift
}

impl Source for Noise {
    fn range<'a>(&'a self, _: &'a str, grid: Grid) -> BoxFuture<'a, Result<Answer, SourceError>> {
        if grid.start_s < self.deaf_before_s.load(Relaxed) {
            return Box::pin(async { Err(SourceError::Unavailable("busy".into())) });
        }
        let times = (0..grid.len).map(|i| grid.time(i)).filter(|time_s| *time_s >= 0);
        let within = |time_s| self.eventful && (0..30).any(|k| alike(k).contains(time_s));
        // Those that are labelled are the slightest.
        let shift = |time_s| if time_s < alike(8).from_s { 4.0 } else { 6.0 };
        let shift = |time_s| if within(time_s) { shift(time_s) } else { 0.0 };
        let samples: Vec<_> = times.map(|time_s| (time_s, value(time_s) + shift(time_s))).collect();
        let labels = self.ports.iter().map(|name| port(name));
        let series = labels.map(|labels| AnswerSeries { labels, samples: samples.clone() });
        let series = series.filter(|series| !series.samples.is_empty()).collect();
        Box::pin(async { Ok(Answer { series, ..Answer::default() }) })
    }

    fn instant<'a>(
        &'a self,
        query: &'a str,
        at: i64,
    ) -> BoxFuture<'a, Result<Answer, SourceError>> {
        self.range(query, Grid { start_s: at, step_s: 1, len: 1 })
    }

    fn describe(&self) -> String {
        "noise".into()
    }
}

fn watch() -> Watch {
    let scale = preprocess::FeatureConfig::default();
    Watch {
        name: "w".into(),
        entity: Vec::new(),
        features: vec![Feature { name: "x".into(), query: "x".into(), scale }],
        checks: Checks::default(),
        step_s: 60,
        lag_s: 0,
        bucket_s: None,
        despike: None,
        steps: Vec::new(),
        calendar: Default::default(),
        detectors: detect::Config::named("seasonal_median").into_iter().collect(),
        weak_labels: Vec::new(),
        consecutive: 3,
        pages_per_week: 1.0,
        train: Training { every_s: 86_400, history_s: NOW_S, min_history_s: HOUR_S },
        score_every_s: 60,
    }
}

/// The entity of a port; of no labels for no name.
fn port(name: &str) -> Entity {
    Entity::new([("port", name)])
}

fn trainer() -> Trainer {
    trainer_of(&[""]).0
}

fn trainer_of(ports: &[&'static str]) -> (Trainer, Arc<Noise>) {
    let noise = Noise { ports: ports.to_vec(), deaf_before_s: AtomicI64::new(0), eventful: false };
    trainer_on(noise)
}

fn trainer_on(noise: Noise) -> (Trainer, Arc<Noise>) {
    let noise = Arc::new(noise);
    let trainer = Trainer {
        source: Arc::clone(&noise) as Arc<dyn Source>,
        store: Store::in_memory().unwrap(),
        board: Board::new(),
        workers: Workers::new(2),
    };
    (trainer, noise)
}

fn label(entity: Entity, verdict: Verdict, interval: Interval) -> Label {
    Label {
        watch: "w".into(),
        entity,
        interval,
        verdict,
        class: None,
        author: Some("ann".into()),
        note: None,
        source: "api".into(),
        created_s: NOW_S,
    }
}

/// Says it and keeps the rows, as the web API does.
async fn say(trainer: &Trainer, verdict: Verdict, interval: Interval) -> i64 {
    let label = label(Entity::default(), verdict, interval);
    let rows = gather::label_rows(&trainer.source, &watch(), &label, NOW_S, 0).await.unwrap();
    let Labelled::Rows(rows) = rows else { panic!("{rows:?}") };
    trainer.store.add_label(&label, Some(&rows)).unwrap()
}

async fn measured(trainer: &Trainer) -> Vec<String> {
    trainer.measure(&watch()).await.unwrap();
    let text = trainer.board.scrape(Format::Text, false).into_bytes();
    let text = String::from_utf8(text).unwrap();
    let labelled = text.lines().filter_map(|line| line.strip_prefix("portent_labelled_"));
    labelled.map(String::from).collect()
}

/// Of all versions, oldest first.
fn cards(trainer: &Trainer) -> Vec<serde_json::Value> {
    let rows = trainer.store.models(Some("w")).unwrap();
    rows.iter().map(|r| trainer.store.model(&r.key, r.version).unwrap().unwrap().card).collect()
}

#[tokio::test]
async fn a_label_that_no_model_can_find_is_named_and_taken_back() {
    let (trainer, watch) = (trainer(), watch());
    assert_eq!(measured(&trainer).await, [""; 0], "no labels, no ratios");
    assert_eq!(trainer.train(&watch, &Which::All, NOW_S).await.unwrap().n_promoted, 1);

    let begins_s = LARGE.from_s - 300;
    say(&trainer, Verdict::Anomaly, Interval { from_s: begins_s, ..LARGE }).await;
    let hopeless = say(&trainer, Verdict::Anomaly, QUIET).await;
    say(&trainer, Verdict::Normal, SMALL).await;
    let wanted = [
        "precision_ratio{watch=\"w\"} 0.5",
        "recall_ratio{watch=\"w\"} 0.5",
        "detection_delay_seconds{watch=\"w\"} 300",
    ];
    assert_eq!(measured(&trainer).await, wanted, "by the version in use, before any training");

    let outcome = trainer.train(&watch, &Which::All, NOW_S).await.unwrap();
    let [(_, reason)] = &outcome.rejected[..] else { panic!("{outcome:?}") };
    assert!(reason.starts_with("label "), "{reason}");
    assert!(reason.contains(", by ann): scores "), "{reason}");
    let of = |card: &serde_json::Value, name: &str| card["labelled"][name].as_f64();
    let cards = cards(&trainer);
    assert_eq!(cards[0].get("labelled"), None, "judged without labels");
    let [found, missed, wrong] = ["n_found", "n_missed", "n_false"].map(|n| of(&cards[1], n));
    assert_eq!(
        (found.zip(missed).map(|(a, b)| a + b), wrong),
        (Some(2.0), Some(1.0)),
        "{}",
        cards[1]
    );
    let withdrawal =
        Withdrawal { author: None, note: None, source: "cli".into(), created_s: NOW_S };
    trainer.store.withdraw_label(hopeless, &withdrawal).unwrap();
    assert_eq!(trainer.train(&watch, &Which::All, NOW_S).await.unwrap().n_promoted, 1);
    let whole = serde_json::json!({
        "n_found": 1, "n_missed": 0, "n_false": 0, "precision": 1.0, "recall": 1.0, "f1": 1.0,
    });
    assert_eq!(self::cards(&trainer)[2]["labelled"], whole);
    let wanted = [
        "precision_ratio{watch=\"w\"} 1",
        "recall_ratio{watch=\"w\"} 1",
        "detection_delay_seconds{watch=\"w\"} 300",
    ];
    assert_eq!(measured(&trainer).await, wanted);
}

#[tokio::test]
async fn false_alarms_that_nobody_labelled_are_named() {
    let ports = vec![""];
    let (trainer, _) =
        trainer_on(Noise { ports, deaf_before_s: AtomicI64::new(0), eventful: true });
    let watch = watch();
    assert_eq!(trainer.train(&watch, &Which::All, NOW_S).await.unwrap().n_promoted, 1);
    for k in 0..8 {
        say(&trainer, Verdict::Anomaly, alike(k)).await;
    }
    trainer.train(&watch, &Which::All, NOW_S).await.unwrap();
    let stored = trainer.store.models(Some("w")).unwrap();
    let newest = stored.into_iter().max_by_key(|row| row.version).unwrap();
    let ModelState::Rejected { reason } = newest.state else { panic!("{:?}", newest.state) };
    let counted = "9 false alarms on the last normal day, 0 with the promoted version: ";
    let named = reason.strip_prefix(counted).unwrap_or_else(|| panic!("{reason}"));
    let (named, why) = named.split_once("; ").unwrap();
    let named: Vec<&str> = named.split(", ").collect();
    assert_eq!((named.len(), named[5]), (6, "and 4 more"), "{reason}");
    // Times of one length are in the order of time as text, too.
    let texts = |Interval { from_s, to_s }| rfc3339(from_s)..=rfc3339(to_s);
    let unlabelled: Vec<_> = (24..30).map(|k| texts(alike(k))).collect();
    for named in &named[..5] {
        let (from, to) = named.split_once("..").unwrap();
        let [from, to] = [from, to].map(str::to_string);
        let mut incidents = unlabelled.iter();
        assert!(incidents.any(|own| own.contains(&from) && own.contains(&to)), "{reason}");
    }
    assert!(why.contains("because nobody labelled them") && why.contains("portent labels add"));

    // So one says what they were.
    for k in 8..30 {
        say(&trainer, Verdict::Anomaly, alike(k)).await;
    }
    let outcome = trainer.train(&watch, &Which::All, NOW_S).await.unwrap();
    assert_eq!((outcome.n_promoted, outcome.rejected), (1, vec![]));
}

#[tokio::test]
async fn the_later_of_two_contradicting_labels_is_learnt() {
    let (trainer, watch) = (trainer(), watch());
    assert_eq!(trainer.train(&watch, &Which::All, NOW_S).await.unwrap().n_promoted, 1);
    // Both cannot hold; the second is a correction of the first's middle.
    say(&trainer, Verdict::Normal, Interval { from_s: SMALL.from_s - HOUR_S, ..SMALL }).await;
    say(&trainer, Verdict::Anomaly, SMALL).await;
    let outcome = trainer.train(&watch, &Which::All, NOW_S).await.unwrap();
    assert_eq!((outcome.n_promoted, &outcome.rejected[..]), (1, &[][..]));
    assert!(measured(&trainer).await.contains(&"recall_ratio{watch=\"w\"} 1".to_string()));
}

#[tokio::test]
async fn what_goes_wrong_with_one_entity_is_no_matter_of_the_others() {
    let (trainer, _) = trainer_of(&["a", "b", "c"]);
    let watch = Watch { entity: vec!["port".into()], ..watch() };
    trainer.store.refuse_models_of(&port("a"));
    let outcome = trainer.train(&watch, &Which::All, NOW_S).await.unwrap();
    assert_eq!(outcome.n_promoted, 2, "after the one that failed: {:?}", outcome.failed);
    let [(failed, why)] = &outcome.failed[..] else { panic!("{:?}", outcome.failed) };
    assert_eq!((failed, why.contains("refused")), (&port("a"), true), "{why}");
    let text = trainer.board.scrape(Format::Text, false).into_bytes();
    let text = String::from_utf8(text).unwrap();
    let counted = "portent_trainings_total{watch=\"w\",result=\"failed\"} 1";
    assert!(text.contains(counted), "{text}");
    trainer.store.refuse_no_models();
    let again = Which::Only([failed.clone()].into());
    let outcome = trainer.train(&watch, &again, NOW_S).await.unwrap();
    assert_eq!((outcome.n_promoted, outcome.failed.len()), (1, 0));
}

#[tokio::test]
async fn a_label_whose_rows_cannot_be_read_is_not_done_with() {
    let (trainer, noise) = trainer_of(&["a"]);
    let train = Training { history_s: NOW_S - 100 * HOUR_S, ..watch().train };
    let watch = Watch { entity: vec!["port".into()], train, ..watch() };
    trainer.store.add_label(&label(port("a"), Verdict::Anomaly, LARGE), None).unwrap();
    trainer.store.add_label(&label(port("gone"), Verdict::Anomaly, LARGE), None).unwrap();
    noise.deaf_before_s.store(90 * HOUR_S, Relaxed);
    let outcome = trainer.train(&watch, &Which::All, NOW_S).await.unwrap();
    assert_eq!(outcome.n_promoted, 1, "the history itself can be read");
    let failed: Vec<&Entity> = outcome.failed.iter().map(|(entity, _)| entity).collect();
    assert_eq!(failed, [&port("a"), &port("gone")]);
    assert!(outcome.failed[0].1.starts_with("rows of label 1: x: busy"), "{:?}", outcome.failed);
    noise.deaf_before_s.store(0, Relaxed);
    let outcome = trainer.train(&watch, &Which::All, NOW_S).await.unwrap();
    assert_eq!(outcome.failed, []);
    assert!(trainer.store.label_rows(1).unwrap().is_some());
}

#[tokio::test]
async fn a_label_of_who_does_not_live_is_named() {
    let (trainer, _) = trainer_of(&["a"]);
    let watch = Watch { entity: vec!["port".into()], ..watch() };
    let said = label(port("gone"), Verdict::Normal, QUIET);
    let grid = Grid { start_s: QUIET.from_s, step_s: 60, len: 60 };
    let window = Window::single(grid, vec![10.0; 60]);
    let rows = crate::store::LabelRows { features: vec!["x".into()], window };
    trainer.store.add_label(&said, Some(&rows)).unwrap();
    let outcome = trainer.train(&watch, &Which::All, NOW_S).await.unwrap();
    assert_eq!((outcome.absent, outcome.failed.len()), ([port("gone")].into(), 0));
}

#[tokio::test]
async fn rows_of_another_step_are_read_again_or_left_out() {
    let (trainer, watch) = (trainer(), watch());
    let said = |interval: Interval| {
        let grid = Grid { start_s: interval.from_s, step_s: 30, len: 120 };
        let window = Window::single(grid, vec![1_000.0; grid.len]);
        let rows = crate::store::LabelRows { features: vec!["x".into()], window };
        let label = label(Entity::default(), Verdict::Normal, interval);
        trainer.store.add_label(&label, Some(&rows)).unwrap()
    };
    let known = said(QUIET);
    let forgotten = said(Interval { from_s: -2 * HOUR_S, to_s: -HOUR_S });
    assert_eq!(trainer.train(&watch, &Which::All, NOW_S).await.unwrap().n_promoted, 1);
    let rows = |id| trainer.store.label_rows(id).unwrap().unwrap().window;
    assert_eq!((rows(known).grid.step_s, rows(known).values.contains(&1_000.0)), (60, false));
    assert_eq!(rows(forgotten).grid.step_s, 30, "it is kept all the same");
    assert_eq!(measured(&trainer).await, [""; 0], "neither is called false");
}

#[tokio::test]
async fn a_label_gets_what_a_detector_looks_back_at_that_was_named_since() {
    let (trainer, watch) = (trainer(), watch());
    let id = say(&trainer, Verdict::Normal, QUIET).await;
    let since_s = || trainer.store.label_rows(id).unwrap().unwrap().window.grid.start_s;
    assert_eq!(since_s(), QUIET.from_s - 64 * 60, "as much as anyone may want");
    let named = ["seasonal_median", "sarimax"].iter();
    let detectors = named.filter_map(|name| detect::Config::named(name)).collect();
    let further = Watch { detectors, ..watch };
    trainer.train(&further, &Which::All, NOW_S).await.unwrap();
    assert_eq!(since_s(), QUIET.from_s - (1_440 + 64) * 60);
    let window = trainer.store.label_rows(id).unwrap().unwrap().window;
    assert_eq!((window.grid.end_s(), window.grid.step_s), (QUIET.to_s, 60));
}

#[tokio::test]
async fn a_model_reads_the_regressors_beside_its_feature() {
    let (trainer, plain) = (trainer(), watch());
    let feature = |name: &str| Feature { name: name.into(), ..plain.features[0].clone() };
    let sarimax = serde_json::from_str(r#"{"sarimax": {"regressors": ["y"]}}"#).unwrap();
    let watch =
        Watch { features: vec![feature("x"), feature("y")], detectors: vec![sarimax], ..watch() };
    assert_eq!(trainer.train(&watch, &Which::All, NOW_S).await.unwrap().n_promoted, 1);
    let in_use = trainer.in_use(&watch).await.unwrap().into_values().flatten().collect();
    let models = trainer.champions(&watch, in_use).await.unwrap();
    let of = |name: &str| models.iter().find(|(key, _)| key.feature.as_deref() == Some(name));
    let (x, y) = (of("x").unwrap().1, of("y").unwrap().1);
    assert!(x.reads("x") && x.reads("y") && y.reads("y") && !y.reads("x"));
    // What is told has its columns in an order of its own, and both series are the same.
    let n = x.n_raw_rows();
    let grid = Grid { start_s: NOW_S, step_s: 60, len: n };
    let values = (0..n).flat_map(|i| [value(grid.time(i)); 2]).collect();
    let mut rows = Window { grid, n_features: 2, values };
    let score = |rows: &Window| {
        let rows = x.columns(["y", "x"].into_iter(), rows);
        x.score(&rows, grid.time(n - 1))[0].score
    };
    rows.row_mut(n - 1)[1] += 8.0;
    assert!(score(&rows) > 1.0, "{}", score(&rows));
    rows.row_mut(n - 1)[0] += 8.0;
    assert!(score(&rows) < 1.0, "{}", score(&rows));
}

#[cfg(feature = "deep")]
#[tokio::test]
async fn who_learns_from_incidents_comes_with_the_first_and_goes_with_the_last() {
    let trainer = trainer();
    let siamese = serde_json::from_str(r#"{"siamese": {"window": 8, "max_steps": 30}}"#).unwrap();
    let mut watch = watch();
    watch.detectors.push(siamese);
    let trained = async |wanted: &[&str]| {
        let outcome = trainer.train(&watch, &Which::All, NOW_S).await.unwrap();
        assert_eq!(outcome.n_promoted, 1, "{outcome:?}");
        assert!(outcome.failed.is_empty() && outcome.waiting.is_empty(), "{outcome:?}");
        let in_use = trainer.store.models_in_use(Some("w")).unwrap();
        let in_use: Vec<String> = in_use.into_iter().map(|row| row.key.detector).collect();
        assert_eq!(in_use, wanted);
    };
    trained(&["seasonal_median"]).await;
    let id = say(&trainer, Verdict::Anomaly, LARGE).await;
    trained(&["siamese", "seasonal_median"]).await;
    let withdrawal =
        Withdrawal { author: None, note: None, source: "cli".into(), created_s: NOW_S };
    trainer.store.withdraw_label(id, &withdrawal).unwrap();
    trained(&["seasonal_median"]).await;
    trained(&["seasonal_median"]).await;
}

/// What a listener hears of a training, and what the metric says then.
#[cfg(feature = "deep")]
async fn heard(trainer: &Trainer, watch: &Watch) -> Vec<(Progress, f64)> {
    let (board, mut heard) = (trainer.board.clone(), Vec::new());
    let mut listener = |progress: Progress| {
        let text = String::from_utf8(board.scrape(Format::Text, false).into_bytes()).unwrap();
        let name = "portent_training_progress_ratio{watch=\"w\"} ";
        let value = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        heard.push((progress, value.parse().unwrap()));
    };
    let outcome = trainer.train_before(&mut listener, watch, &Which::All, NOW_S).await.unwrap();
    assert_eq!(outcome.n_promoted, 1, "{outcome:?}");
    heard
}

#[cfg(feature = "deep")]
#[tokio::test]
async fn a_training_moves_with_its_network() {
    let trainer = trainer();
    let network = r#"{"autoencoder": {"window": 16, "max_steps": 2000, "max_epochs": 500}}"#;
    let detectors = vec![serde_json::from_str(network).unwrap()];
    let heard = heard(&trainer, &Watch { detectors, ..watch() }).await;
    let ratios: Vec<f64> = heard.iter().map(|(progress, _)| progress.ratio()).collect();
    assert!(ratios.is_sorted(), "{ratios:?}");
    assert_eq!((ratios[0], ratios.last()), (0.0, Some(&1.0)));
    let within =
        heard.iter().filter(|(progress, _)| progress.done == 0 && progress.under_way > 0.0);
    let losses: Vec<f32> = within.filter_map(|(progress, _)| progress.loss).collect();
    assert!(losses.len() >= 3 && losses.iter().all(|loss| loss.is_finite()), "{heard:?}");
    assert!(heard.iter().all(|(progress, metric)| *metric == progress.ratio()), "{heard:?}");
    let card = cards(&trainer).remove(0);
    let of = |name: &str| card["origin"]["losses"][name].as_f64();
    assert!(of("held_out") > Some(0.0) && of("training") > Some(0.0), "{card}");
    assert!(of("steps") > Some(0.0) && of("steps") <= Some(2000.0), "{card}");
}

#[tokio::test]
async fn who_needs_no_iterations_is_told_of_when_it_is_done() {
    let (trainer, _) = trainer_of(&["a", "b"]);
    let watch = Watch { entity: vec!["port".into()], ..watch() };
    let board = trainer.board.clone();
    let mut heard = Vec::new();
    let mut listener = |progress: Progress| {
        let Progress { done, total, under_way, loss, .. } = progress;
        heard.push((done, total, under_way, loss));
    };
    trainer.train_before(&mut listener, &watch, &Which::All, NOW_S).await.unwrap();
    let at = |done, total| (done, total, 0.0, None);
    assert_eq!(heard, [at(0, 0), at(0, 2), at(1, 2), at(2, 2), at(2, 2)]);
    let text = String::from_utf8(board.scrape(Format::Text, false).into_bytes()).unwrap();
    assert!(text.contains("portent_training_progress_ratio{watch=\"w\"} 1\n"), "{text}");
}

//! A watch that is trained, labelled, and trained again.

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
use crate::verdict::Interval;
use crate::verdict::Label;
use crate::verdict::Verdict;
use crate::verdict::Withdrawal;
use crate::watch::Checks;
use crate::watch::Feature;
use crate::watch::Training;

const HOUR_S: i64 = 3_600;
const NOW_S: i64 = 240 * HOUR_S;

/// Two incidents on the first day: the median of many days does not see them.
const LARGE: Interval = Interval { from_s: 10 * HOUR_S, to_s: 11 * HOUR_S };
const SMALL: Interval = Interval { from_s: 20 * HOUR_S, to_s: 21 * HOUR_S };
/// As any other hour.
const QUIET: Interval = Interval { from_s: 30 * HOUR_S, to_s: 31 * HOUR_S };

/// One entity: noise of standard deviation 1 (a sum of uniforms) around 10, and the incidents.
struct Noise;

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
        let times = (0..grid.len).map(|i| grid.time(i)).filter(|time_s| *time_s >= 0);
        let samples = times.map(|time_s| (time_s, value(time_s))).collect();
        let series = vec![AnswerSeries { labels: Entity::default(), samples }];
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
        detectors: detect::Config::named("seasonal_median").into_iter().collect(),
        consecutive: 3,
        pages_per_week: 1.0,
        train: Training { every_s: 86_400, history_s: NOW_S, min_history_s: HOUR_S },
        score_every_s: 60,
    }
}

fn trainer() -> Trainer {
    Trainer {
        source: Arc::new(Noise),
        store: Store::in_memory().unwrap(),
        board: Board::new(),
        workers: Workers::new(2),
    }
}

/// Says it and keeps the rows, as the web API does.
async fn say(trainer: &Trainer, verdict: Verdict, interval: Interval) -> i64 {
    let label = Label {
        watch: "w".into(),
        entity: Entity::default(),
        interval,
        verdict,
        class: None,
        author: Some("ann".into()),
        note: None,
        source: "api".into(),
        created_s: NOW_S,
    };
    let rows = gather::label_rows(&trainer.source, &watch(), &label, NOW_S).await.unwrap();
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
    let withdrawal =
        Withdrawal { author: None, note: None, source: "cli".into(), created_s: NOW_S };
    trainer.store.withdraw_label(hopeless, &withdrawal).unwrap();
    assert_eq!(trainer.train(&watch, &Which::All, NOW_S).await.unwrap().n_promoted, 1);
    let wanted = [
        "precision_ratio{watch=\"w\"} 1",
        "recall_ratio{watch=\"w\"} 1",
        "detection_delay_seconds{watch=\"w\"} 300",
    ];
    assert_eq!(measured(&trainer).await, wanted);
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

//! Entities come and go: who is trained when, whose models stay, and what is said while there is no score.
//!
//! Real training, scoring and store; the clock and the history are the test's, since two months pass.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod scene;

use std::collections::BTreeSet;

use portent::export::Format;
use portent::store::ModelKey;
use portent::store::ModelState;
use portent::store::NewModel;
use portent::store::Store;
use portent::train::Trainer;
use portent::train::Which;
use portent::verdict::Verdict;

use scene::DAY_S;
use scene::DOWN;
use scene::HOUR_S;
use scene::MINUTE_S;
use scene::Scene;
use scene::TODAY_S;
use scene::names;
use scene::port;
use scene::tamper;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newcomer_is_trained_without_the_others() {
    let mut scene = Scene::with_two_ports().await;
    assert!(scene.pass(TODAY_S).await.without_model.is_empty());
    scene.server.has_port("new", TODAY_S, i64::MAX);
    let soon_s = TODAY_S + HOUR_S;
    let summary = scene.pass(soon_s).await;
    assert_eq!(summary.without_model, BTreeSet::from([port("new")]));
    assert_eq!(scene.problems(), ["reason=no_model,port=new"]);
    let newcomers = Which::Only(summary.without_model);

    scene.server.take_oldest_s();
    let early = scene.trainer.train(&scene.watch, &newcomers, soon_s).await.unwrap();
    assert_eq!((early.n_promoted, early.waiting.len()), (0, 1));
    assert_eq!(early.seen.into_keys().collect::<Vec<_>>(), [port("new")]);
    let then_s = TODAY_S + 3 * DAY_S;
    scene.server.take_oldest_s();
    let outcome = scene.trainer.train(&scene.watch, &newcomers, then_s).await.unwrap();
    assert_eq!(outcome.n_promoted, 1);
    assert!(scene.server.take_oldest_s() > TODAY_S - 7 * DAY_S, "not all of history for one port");
    let rows = scene.trainer.store.models(Some("ports")).unwrap();
    assert!(rows.iter().all(|row| row.version == 1), "the others were left alone");
    assert!(scene.pass(then_s).await.without_model.is_empty());
    assert!(scene.is_scored("new") && scene.problems().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_that_finds_nothing_says_so() {
    let mut scene = Scene::new();
    scene.pass(TODAY_S).await;
    let body = scene.trainer.board.scrape(Format::Text, false).into_bytes();
    let body = String::from_utf8(body).unwrap();
    let wanted = "portent_input_problem{watch=\"ports\",reason=\"absent\"} 1";
    assert!(body.lines().any(|line| line == wanted), "{body}");
    scene.server.has_port("a", TODAY_S, i64::MAX);
    scene.pass(TODAY_S + HOUR_S).await;
    assert_eq!(scene.problems(), ["reason=no_model,port=a"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreadable_model_is_one_that_lacks() {
    let mut scene = Scene::with_two_ports().await;
    let Trainer { store, .. } = &scene.trainer;
    let row = store.models_in_use(None).unwrap().remove(0);
    let stored = store.model(&row.key, row.version).unwrap().unwrap();
    let damaged = NewModel {
        key: row.key.clone(),
        card: stored.card,
        bytes: vec![1, 2, 3],
        sha256: stored.sha256,
        trained_s: stored.trained_s,
    };
    store.add_models(&[damaged], &ModelState::Promoted).unwrap();
    let summary = scene.pass(TODAY_S).await;
    assert_eq!(summary.without_model, BTreeSet::from([port("a")]));
    assert_eq!(scene.problems(), ["feature=in,reason=no_model,port=a"]);
    let which = Which::Only(summary.without_model);
    let outcome = scene.trainer.train(&scene.watch, &which, TODAY_S + HOUR_S).await.unwrap();
    assert_eq!(outcome.n_promoted, 1);
    assert!(scene.pass(TODAY_S + HOUR_S).await.without_model.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn models_of_what_has_left_go_and_those_of_what_is_down_stay() {
    let scene = Scene::with_two_ports().await;
    for (_, name, _, to_s) in &mut scene.server.0.lock().unwrap().series {
        *to_s = if *name == "b" { TODAY_S + DAY_S } else { *to_s };
    }
    scene.label("b", TODAY_S);
    let day = |n: i64| TODAY_S + n * DAY_S;
    let after = async |n: i64| {
        scene.train(day(n)).await.unwrap();
        scene.ports_in_use()
    };
    assert_eq!(after(10).await, names(["a", "b"]), "down for nine days");
    assert_eq!(after(14).await, names(["a", "b"]), "still in history");

    // Prometheus lost its history: who is not in it may be down all the same.
    let kept = std::mem::take(&mut scene.server.0.lock().unwrap().series);
    assert_eq!(after(20).await, names(["a", "b"]), "an empty answer is no witness");
    scene.server.has_port("a", day(20) - HOUR_S, i64::MAX);
    assert_eq!(after(20).await, names(["a", "b"]), "nor is a server of an hour");
    scene.server.0.lock().unwrap().series = kept;
    scene.server.refuse(&["out"]);
    assert!(!scene.train(day(20)).await.unwrap().failed.is_empty());
    assert_eq!(scene.ports_in_use(), names(["a", "b"]), "nor is half of an answer");
    scene.server.refuse(&[]);

    assert_eq!(after(20).await, names(["a"]));
    let known = |port: &str| {
        let rows = scene.trainer.store.models(None).unwrap();
        rows.iter().filter(|row| row.key.entity.get("port") == Some(port)).count()
    };
    assert_eq!(known("b"), 2, "out of use, and kept");
    after(29).await;
    assert_eq!(known("b"), 0, "forgotten");
    assert_eq!(scene.trainer.store.labels(None).unwrap().len(), 1, "what a person said is not");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_replaced_is_absent_for_an_hour_or_so() {
    let mut scene = Scene::with_two_ports().await;
    scene.server.has_port("c", TODAY_S, TODAY_S + HOUR_S);
    let mut absent_s = Vec::new();
    for now_s in (TODAY_S..TODAY_S + 8 * HOUR_S).step_by(300) {
        if now_s == TODAY_S + HOUR_S {
            for (_, name, _, to_s) in &mut scene.server.0.lock().unwrap().series {
                *to_s = if *name == "b" { now_s } else { *to_s };
            }
        }
        scene.pass(now_s).await;
        if scene.problems().contains(&"reason=absent,port=b".to_string()) {
            absent_s.push(now_s - TODAY_S - HOUR_S);
        }
    }
    let (first_s, last_s) = (absent_s[0], absent_s[absent_s.len() - 1]);
    assert!(first_s <= HOUR_S && last_s - first_s >= 20 * MINUTE_S, "an alert fires: {absent_s:?}");
    assert!(last_s <= 2 * HOUR_S, "it ends: {absent_s:?}");
    assert!(scene.is_scored("a") && scene.problems().is_empty());

    let gone_s = TODAY_S + 8 * HOUR_S;
    scene.server.0.lock().unwrap().series.iter_mut().for_each(|s| s.3 = s.3.min(gone_s));
    for now_s in (gone_s..gone_s + 10 * HOUR_S).step_by(300) {
        scene.pass(now_s).await;
    }
    let problems = scene.problems();
    assert!(problems.contains(&"reason=absent,port=a".to_string()), "all are gone: {problems:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feature_without_a_score_says_why() {
    let mut scene = Scene::new();
    scene.server.has("in", "a", 0, i64::MAX);
    scene.server.has("out", "a", TODAY_S, TODAY_S + 3 * DAY_S);
    scene.train(TODAY_S).await.unwrap();
    scene.pass(TODAY_S).await;
    assert!(scene.is_scored("a"));
    assert_eq!(scene.problems(), ["feature=out,reason=no_model,port=a"]);
    let then_s = TODAY_S + 3 * DAY_S - HOUR_S;
    let summary = scene.pass(then_s).await;
    assert_eq!(summary.without_model, BTreeSet::from([port("a")]), "it has come");
    scene.train(then_s).await.unwrap();
    scene.pass(then_s).await;
    assert_eq!(scene.problems(), [] as [String; 0], "not only with the next bucket");
    assert_eq!(scene.shown("portent_anomaly_score").len(), 4);
    scene.pass(then_s + 3 * HOUR_S).await;
    assert_eq!(scene.problems(), ["feature=out,reason=absent,port=a"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_learnt_in_two_weeks_is_not_given_up_for_three_days() {
    let scene = Scene::with_two_ports().await;
    let day = |n: i64| TODAY_S + n * DAY_S;
    scene.server.lose_before(day(1));
    let outcome = scene.train(day(4)).await.unwrap();
    let reasons: Vec<&str> = outcome.rejected.iter().map(|(_, reason)| reason.as_str()).collect();
    let wanted = "learnt from 144 rows, wanted half of the 671 that the promoted version knows";
    assert_eq!(reasons, [wanted; 2]);
    scene.label("a", day(4));
    let outcome = scene.train(day(4) + HOUR_S).await.unwrap();
    assert_eq!(outcome.n_promoted, 1, "a person asked: {:?}", outcome.rejected);
    let outcome = scene.train(day(9)).await.unwrap();
    assert_eq!(outcome.n_promoted, 2, "half of it is enough: {:?}", outcome.rejected);

    let scene = Scene::with_two_ports().await;
    scene.server.lose_before(day(1));
    scene.server.0.lock().unwrap().tenfold_s = Some(day(1));
    let outcome = scene.train(day(4)).await.unwrap();
    assert_eq!(outcome.n_promoted, 2, "all is different now: {:?}", outcome.rejected);

    let scene = Scene::with_two_ports().await;
    scene.server.lose_before(day(12));
    let outcome = scene.train(day(15)).await.unwrap();
    assert_eq!(outcome.n_promoted, 2, "it is older than any history: {:?}", outcome.rejected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_is_refused_costs_no_model_its_feature() {
    let scene = Scene::with_two_ports().await;
    scene.server.refuse(&["out"]);
    scene.server.has_port("new", TODAY_S - 3 * DAY_S, i64::MAX);
    let outcome = scene.train(TODAY_S + DAY_S).await.unwrap();
    assert_eq!((outcome.n_promoted, outcome.failed.len()), (1, 2));
    assert!(outcome.failed[0].1.contains("out: what is out?"), "{:?}", outcome.failed);
    let rows = scene.trainer.store.models(None).unwrap();
    let new = |row: &&portent::store::ModelRow| row.key.entity == port("new");
    let features: Vec<_> = rows.iter().filter(new).map(|row| row.key.feature.clone()).collect();
    assert_eq!(features, [Some("in".to_string())], "better than none");
    assert!(rows.iter().all(|row| row.version == 1));
    // Whose models never knew the feature lose nothing by another one without it.
    let outcome = scene.train(TODAY_S + 2 * DAY_S).await.unwrap();
    assert_eq!((outcome.n_promoted, outcome.failed.len()), (1, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_streak_outlives_a_restart_however_many_slices_history_has() {
    let mut scene = Scene::with_two_ports().await;
    let store = &scene.trainer.store;
    let row = store.models_in_use(None).unwrap().remove(0);
    let model = store.model(&row.key, row.version).unwrap().unwrap();
    let copy = |i: i32| NewModel {
        key: ModelKey { entity: port(&format!("p{i}")), ..row.key.clone() },
        card: model.card.clone(),
        bytes: model.bytes.clone(),
        sha256: model.sha256.clone(),
        trained_s: model.trained_s,
    };
    // So many that the oldest slice ends more than a day ago.
    let many: Vec<_> = (0..3_000).map(copy).collect();
    store.add_models(&many, &ModelState::Promoted).unwrap();
    scene.save_streak(5);
    scene.restart();
    scene.pass(TODAY_S).await;
    assert_eq!(scene.streak(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streaks_are_read_once_and_before_anyone_is_judged() {
    let dir = tempfile::tempdir().unwrap();
    let mut scene = Scene::with_two_ports_in(Store::open(dir.path()).unwrap()).await;
    scene.save_streak(5);
    scene.restart();
    let tamper = |sql: &str| tamper(dir.path(), sql);
    tamper("ALTER TABLE streak RENAME TO away");
    let error = scene.pipeline.pass(TODAY_S).await.unwrap_err();
    assert_eq!(error.reason(), "store");
    assert_eq!(scene.problems(), [] as [String; 0], "nobody lacks a model for that");
    tamper("ALTER TABLE away RENAME TO streak");
    scene.server.refuse(&["in", "out"]);
    assert_eq!(scene.pipeline.pass(TODAY_S).await.unwrap_err().reason(), "bad_query");
    tamper("UPDATE streak SET points = 7");
    assert!(scene.pipeline.pass(TODAY_S).await.is_err());
    scene.server.refuse(&[]);
    scene.pass(TODAY_S).await;
    assert_eq!(scene.streak(), 5, "not read once more for each pass that failed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_streak_that_could_not_be_saved_is_shown_and_saved_later() {
    let dir = tempfile::tempdir().unwrap();
    let mut scene = Scene::with_two_ports_in(Store::open(dir.path()).unwrap()).await;
    scene.pass(TODAY_S).await;
    scene.server.0.lock().unwrap().tenfold_s = Some(TODAY_S);
    let full = "CREATE TRIGGER full BEFORE INSERT ON streak BEGIN SELECT RAISE(ABORT, 'full'); END";
    tamper(dir.path(), full);
    let then_s = TODAY_S + 30 * MINUTE_S;
    let error = scene.pipeline.pass(then_s).await.unwrap_err();
    assert_eq!(error.reason(), "store");
    assert!(error.to_string().contains("scores are shown"), "{error}");
    assert_eq!(scene.streak(), 1);
    let saved = |scene: &Scene| scene.trainer.store.streaks("ports").unwrap();
    assert_eq!(saved(&scene), []);
    tamper(dir.path(), "DROP TRIGGER full");
    scene.pass(then_s + 5).await;
    let saved: Vec<_> = saved(&scene).iter().map(|s| (s.points, s.last_scored_s)).collect();
    assert!(!saved.is_empty() && saved.iter().all(|s| *s == (1, TODAY_S)), "{saved:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn between_two_steps_problems_stay_and_nobody_asks() {
    let mut scene = Scene::new();
    scene.watch.checks.up = Some(DOWN.into());
    scene.restart();
    scene.server.has_port("a", 0, i64::MAX);
    scene.server.has(DOWN, "a", TODAY_S + 1, TODAY_S + 10 * MINUTE_S);
    scene.train(TODAY_S).await.unwrap();
    scene.pass(TODAY_S).await;
    assert_eq!(scene.problems(), [] as [String; 0]);
    let told = ["reason=target_down,port=a"];
    scene.pass(TODAY_S + 5 * MINUTE_S).await;
    assert_eq!(scene.problems(), told);
    scene.trainer.board.own().source_up(false);
    scene.pass(TODAY_S + 6 * MINUTE_S).await;
    assert_eq!(scene.problems(), told, "for an alert that waits ten minutes");
    let up = |scene: &Scene| scene.scrape().contains("portent_source_up 1\n");
    assert!(!up(&scene), "nothing was asked");
    scene.pass(TODAY_S + 10 * MINUTE_S).await;
    assert!(up(&scene));
    assert_eq!(scene.problems(), [] as [String; 0], "it is up again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rows_of_a_label_on_what_happens_now_follow_when_the_bucket_is_over() {
    let scene = Scene::with_two_ports().await;
    let gone_s = TODAY_S - 2 * HOUR_S;
    scene.server.has_port("gone", gone_s - DAY_S, gone_s);
    let said_s = TODAY_S + 10 * MINUTE_S;
    let (a, gone) = (scene.label("a", said_s), scene.label("gone", said_s));
    let rows = |id| scene.trainer.store.label_rows(id).unwrap();
    for minutes in [10, 20, 24] {
        let outcome = scene.train(TODAY_S + minutes * MINUTE_S).await.unwrap();
        assert_eq!(outcome.again_s, Some(TODAY_S + 25 * MINUTE_S));
        assert_eq!(rows(a), None, "the bucket's last row is at its minute 25");
    }
    let outcome = scene.train(TODAY_S + 25 * MINUTE_S).await.unwrap();
    assert_eq!(outcome.again_s, None);
    let kept = rows(a).unwrap().window;
    assert_eq!(kept.grid.end_s(), TODAY_S + 30 * MINUTE_S);
    assert!(kept.values.iter().all(|value| !value.is_nan()));
    assert_eq!(rows(gone), None, "what was before the interval is not what was spoken of");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_label_gets_the_feature_that_was_refused_when_it_was_given() {
    let scene = Scene::with_two_ports().await;
    let label = scene.label("a", TODAY_S);
    let rows = || scene.trainer.store.label_rows(label).unwrap().unwrap();
    scene.server.refuse(&["out"]);
    scene.train(TODAY_S).await.unwrap();
    assert_eq!((rows().features, rows().window.n_features), (vec!["in".to_string()], 1));
    scene.server.refuse(&[]);
    scene.train(TODAY_S + HOUR_S).await.unwrap();
    assert_eq!(rows().features, ["in", "out"]);
    assert!(rows().window.values.iter().all(|value| !value.is_nan()));
    let oldest_s = |now_s| async move {
        scene.server.take_oldest_s();
        scene.train(now_s).await.unwrap();
        scene.server.take_oldest_s()
    };
    // Nothing is asked for but the training's history.
    assert_eq!(oldest_s(TODAY_S + 60 * DAY_S).await, TODAY_S + 46 * DAY_S + 5 * MINUTE_S);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_set_back_hides_nothing() {
    let mut scene = Scene::with_two_ports().await;
    let ahead_s = TODAY_S + 6 * HOUR_S;
    scene.pass(ahead_s).await;
    let shown_s = |scene: &Scene| {
        let wanted = "feature=\"in\",detector=\"combined\",port=\"a\"} ";
        let shown = scene.shown("portent_score_timestamp_seconds");
        let newest = shown.iter().find_map(|line| line.strip_prefix(wanted)).unwrap();
        newest.parse::<f64>().unwrap() as i64
    };
    assert_eq!(shown_s(&scene), ahead_s - 5 * MINUTE_S);
    scene.pass(ahead_s - 5 * MINUTE_S).await;
    assert_eq!(shown_s(&scene), ahead_s - 5 * MINUTE_S, "a step or two are waited for");

    scene.server.refuse(&["in", "out"]);
    scene.pipeline.pass(TODAY_S).await.unwrap_err();
    assert_eq!(scene.shown("portent_anomaly_score"), [] as [String; 0], "those are of no time");
    scene.server.refuse(&[]);
    scene.pass(TODAY_S).await;
    assert_eq!(shown_s(&scene), TODAY_S - 5 * MINUTE_S);
    scene.pass(TODAY_S + 30 * MINUTE_S).await;
    assert_eq!(shown_s(&scene), TODAY_S + 25 * MINUTE_S);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_fills_the_fifos_with_one_query_per_feature() {
    let mut scene = Scene::with_two_ports().await;
    scene.restart();
    scene.server.0.lock().unwrap().n_queries = 0;
    scene.pass(TODAY_S).await;
    assert_eq!(scene.server.0.lock().unwrap().n_queries, 2);
    assert!(scene.is_scored("a"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_is_refused_from_the_start_is_told_of() {
    let mut scene = Scene::with_two_ports().await;
    scene.server.refuse(&["out"]);
    scene.restart();
    scene.pass(TODAY_S).await;
    assert_eq!(scene.problems(), ["feature=out,reason=query_refused"], "once, not for each port");
    assert!(scene.is_scored("a"));
    scene.server.refuse(&[]);
    scene.pass(TODAY_S + 30 * MINUTE_S).await;
    scene.pass(TODAY_S + 60 * MINUTE_S).await;
    assert_eq!(scene.problems(), [] as [String; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_label_over_all_of_history_is_a_failure_that_names_it() {
    let scene = Scene::with_two_ports().await;
    scene.label_as("a", Verdict::Anomaly, TODAY_S - 30 * DAY_S, TODAY_S);
    let outcome = scene.train(TODAY_S + HOUR_S).await.unwrap();
    let [(entity, why)] = &outcome.failed[..] else { panic!("{outcome:?}") };
    assert_eq!(entity, &port("a"));
    let wanted = "what labels call anomalies leaves 0 s of its 1207800 s of history, \
                  wanted 172800 s: see `portent labels list`";
    assert_eq!(why, wanted);
    assert_eq!(outcome.n_promoted, 1, "the other port");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_wants_a_shorter_history_gets_it() {
    let mut scene = Scene::with_two_ports().await;
    scene.watch.train.history_s = 3 * DAY_S;
    let outcome = scene.train(TODAY_S + DAY_S).await.unwrap();
    assert_eq!((outcome.n_promoted, &outcome.rejected[..]), (2, &[][..]));
}

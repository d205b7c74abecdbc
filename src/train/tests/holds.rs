//! What people put in use or out of use, and the trainings after that.

use super::*;
use crate::store::Change;
use crate::store::Deed;
use crate::store::ModelWord;
use crate::store::NewModel;

const BOTH: [&str; 2] = ["isolation_forest", "seasonal_median"];

fn of(names: &[&str]) -> Watch {
    let detectors = names.iter().filter_map(|name| detect::Config::named(name)).collect();
    Watch { detectors, ..watch() }
}

fn key(detector: &str) -> ModelKey {
    let feature = detect::Config::named(detector).filter(|d| !d.joint()).map(|_| "x".to_string());
    let (watch, entity) = ("w".into(), Entity::default());
    ModelKey { watch, entity, feature, detector: detector.into() }
}

/// A person's word on one version, which holds for an hour.
fn put(trainer: &Trainer, deed: Deed, detector: &str, from: Option<i64>, to: Option<i64>) {
    let word = ModelWord {
        deed,
        before: None,
        hold_until_s: Some(NOW_S + HOUR_S),
        author: Some("ann".into()),
        note: None,
        created_s: NOW_S,
    };
    trainer.store.put_in_use(&[Change { key: key(detector), from, to }], &word).unwrap();
}

async fn trained(trainer: &Trainer, watch: &Watch, now_s: i64) -> Outcome {
    trainer.train(watch, &Which::All, now_s).await.unwrap()
}

fn in_use(trainer: &Trainer) -> Vec<(String, i64)> {
    let rows = trainer.store.models_in_use(Some("w")).unwrap();
    rows.into_iter().map(|row| (row.key.detector, row.version)).collect()
}

fn named(wanted: &[(&str, i64)]) -> Vec<(String, i64)> {
    wanted.iter().map(|(name, version)| (name.to_string(), *version)).collect()
}

#[tokio::test]
async fn the_others_take_part_where_one_is_held() {
    let (trainer, watch) = (trainer(), of(&BOTH));
    for _ in 0..2 {
        assert_eq!(trained(&trainer, &watch, NOW_S).await.n_promoted, 1);
    }
    put(&trainer, Deed::Rollback, BOTH[1], Some(2), Some(1));
    say(&trainer, Verdict::Anomaly, LARGE).await;
    let outcome = trained(&trainer, &watch, NOW_S).await;
    assert_eq!((outcome.n_promoted, &outcome.rejected[..]), (1, &[][..]));
    assert_eq!(in_use(&trainer), named(&[(BOTH[0], 3), (BOTH[1], 1)]), "a label is learnt");
    let why = "seasonal_median: version 1 was put back in use by ann, and is held until ";
    assert!(outcome.held[0].1.starts_with(why), "{:?}", outcome.held);
    let rows = trainer.store.models(Some("w")).unwrap();
    let [.., newest] = &rows[..] else { panic!("{rows:?}") };
    assert!(newest.version == 3 && newest.state.as_str() == "rejected", "kept to look at");

    // Both: one at its version, the other out of use.
    put(&trainer, Deed::Rollback, BOTH[0], Some(3), None);
    let outcome = trained(&trainer, &watch, NOW_S).await;
    assert_eq!((outcome.n_promoted, outcome.held.len()), (0, 0));
    let why = &outcome.rejected[0].1;
    assert!(why.contains("version 3 was taken out of use by ann, and none is put in use"), "{why}");
    assert_eq!(in_use(&trainer), named(&[(BOTH[1], 1)]));
    // Until the hour is over, or the settings are others.
    let other = Watch { pages_per_week: 7.0, ..watch.clone() };
    assert_eq!(trained(&trainer, &other, NOW_S).await.n_promoted, 1);
    assert_eq!(in_use(&trainer), named(&[(BOTH[0], 5), (BOTH[1], 5)]));
    put(&trainer, Deed::Promote, BOTH[1], Some(5), Some(5));
    assert_eq!(trained(&trainer, &other, NOW_S + HOUR_S).await.held, []);
    assert_eq!(in_use(&trainer), named(&[(BOTH[0], 6), (BOTH[1], 6)]));
}

#[tokio::test]
async fn who_is_no_detector_of_the_watch_any_more_goes_out_of_use() {
    let trainer = trainer();
    trained(&trainer, &of(&BOTH), NOW_S).await;
    put(&trainer, Deed::Promote, BOTH[0], Some(1), Some(1));
    let outcome = trained(&trainer, &of(&BOTH[1..]), NOW_S).await;
    assert_eq!((outcome.n_promoted, outcome.held.len()), (1, 0));
    assert_eq!(in_use(&trainer), named(&[(BOTH[1], 2)]));
    let kept = trainer.store.models(Some("w")).unwrap();
    assert!(kept.iter().any(|row| row.key.detector == BOTH[0]), "kept: {kept:?}");
}

#[tokio::test]
async fn a_version_that_cannot_be_read_holds_nothing_up() {
    let (trainer, watch) = (trainer(), of(&BOTH[1..]));
    let fingerprint = watch.fingerprints().into_values().next().unwrap();
    let bytes = vec![0];
    let old = NewModel {
        key: key(BOTH[1]),
        card: serde_json::json!({ "fingerprint": fingerprint }),
        sha256: crate::model::sha256(&bytes),
        bytes,
        trained_s: NOW_S - HOUR_S,
    };
    trainer.store.add_models(&[old], &ModelState::Promoted).unwrap();
    put(&trainer, Deed::Promote, BOTH[1], Some(1), Some(1));
    assert_eq!(trained(&trainer, &watch, NOW_S).await.n_promoted, 1);
    assert_eq!(in_use(&trainer), named(&[(BOTH[1], 2)]));
}

#[cfg(feature = "deep")]
#[tokio::test]
async fn who_is_held_stays_when_the_last_incident_goes() {
    let trainer = trainer();
    let mut watch = of(&BOTH[1..]);
    watch
        .detectors
        .push(serde_json::from_str(r#"{"siamese": {"window": 8, "max_steps": 30}}"#).unwrap());
    let id = say(&trainer, Verdict::Anomaly, LARGE).await;
    trained(&trainer, &watch, NOW_S).await;
    assert_eq!(in_use(&trainer), named(&[("siamese", 1), (BOTH[1], 1)]));
    put(&trainer, Deed::Promote, "siamese", Some(1), Some(1));
    let withdrawal =
        Withdrawal { author: None, note: None, source: "cli".into(), created_s: NOW_S };
    trainer.store.withdraw_label(id, &withdrawal).unwrap();
    trained(&trainer, &watch, NOW_S).await;
    assert_eq!(in_use(&trainer), named(&[("siamese", 1), (BOTH[1], 2)]));
    trained(&trainer, &watch, NOW_S + HOUR_S).await;
    assert_eq!(in_use(&trainer), named(&[(BOTH[1], 3)]), "the hour is over");
}

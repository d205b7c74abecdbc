use std::fs;

use super::*;
use crate::series::Grid;
use crate::series::Window;
use crate::verdict::Interval;
use crate::verdict::Label;
use crate::verdict::Verdict;
use crate::verdict::Withdrawal;

fn label(from_s: i64) -> Label {
    Label {
        watch: "coredns".to_string(),
        entity: Entity::new([("job", "coredns")]),
        interval: Interval { from_s, to_s: from_s + 60 },
        verdict: Verdict::Anomaly,
        class: Some("upstream_slow".to_string()),
        author: None,
        note: Some("said Ümit: \"slow\"".to_string()),
        source: "cli".to_string(),
        created_s: 2_000,
    }
}

fn rows(values: &[f64]) -> LabelRows {
    let grid = Grid { start_s: 30, step_s: 30, len: values.len() / 2 };
    let window = Window { grid, n_features: 2, values: values.to_vec() };
    LabelRows { features: vec!["rate".to_string(), "p99".to_string()], window }
}

fn model(detector: &str, trained_s: i64) -> NewModel {
    let key = ModelKey {
        watch: "ports".to_string(),
        entity: Entity::new([("ifName", " Gi1/0,5 "), ("instance", "a\"b")]),
        feature: Some("in".to_string()),
        detector: detector.to_string(),
    };
    let card = serde_json::json!({"rows": 3, "loss": 0.1});
    NewModel { key, card, bytes: vec![0, 1, 255], sha256: "ab".to_string(), trained_s }
}

fn add(store: &Store, model: &NewModel, state: &ModelState) -> i64 {
    store.add_models(std::slice::from_ref(model), state).unwrap()[0]
}

fn versions(store: &Store) -> Vec<(i64, String)> {
    let models = store.models(None).unwrap();
    models.into_iter().map(|row| (row.version, row.state.as_str().to_string())).collect()
}

#[test]
fn labels_come_back_as_they_were_said() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("made/here")).unwrap();
    let id = store.add_label(&label(1_000), None).unwrap();
    drop(store);
    let store = Store::open(&dir.path().join("made/here")).unwrap();
    let wanted = StoredLabel { id, label: label(1_000), has_rows: false, withdrawn: None };
    assert_eq!(store.labels(Some("coredns")).unwrap(), [wanted]);
    assert_eq!(store.labels(Some("ports")).unwrap(), []);
    let counts = store.label_counts().unwrap();
    assert_eq!(counts, [(Verdict::Anomaly, "cli".to_string(), 1)]);
}

#[test]
fn a_repeated_label_is_one_label() {
    let store = Store::in_memory().unwrap();
    let id = store.add_label(&label(1_000), None).unwrap();
    let again = Label { created_s: 3_000, source: "api".to_string(), ..label(1_000) };
    assert_eq!(store.add_label(&again, None).unwrap(), id);
    let less = Label { class: None, note: None, ..again };
    assert_eq!(store.add_label(&less, None).unwrap(), id);
    assert_eq!(store.label_log(None).unwrap().len(), 1);
}

#[test]
fn the_last_word_counts_and_none_is_lost() {
    let store = Store::in_memory().unwrap();
    let normal = Label { verdict: Verdict::Normal, class: None, ..label(1_000) };
    let words = [label(1_000), normal.clone(), label(1_000)];
    let ids: Vec<i64> = words.iter().map(|word| store.add_label(word, None).unwrap()).collect();
    assert_eq!(ids, [1, 2, 3], "saying anomaly again after normal is news");
    let present = store.labels(None).unwrap();
    assert_eq!(
        present,
        [StoredLabel { id: 3, label: label(1_000), has_rows: false, withdrawn: None }]
    );
    let noted = Label { note: Some("another".to_string()), ..label(1_000) };
    assert_eq!(store.add_label(&noted, None).unwrap(), 4, "a new note is kept");
    assert_eq!(store.label_log(None).unwrap().len(), 4);
}

#[test]
fn a_withdrawn_label_is_as_if_it_had_never_been_said() {
    let store = Store::in_memory().unwrap();
    let why = |note: &str| Withdrawal {
        author: Some("bob".to_string()),
        note: Some(note.to_string()),
        source: "api".to_string(),
        created_s: 4_000,
    };
    let id = store.add_label(&label(1_000), Some(&rows(&[1.0, 2.0]))).unwrap();
    let taken_back = store.withdraw_label(id, &why("the wrong job")).unwrap();
    assert_eq!((taken_back.id, taken_back.withdrawn), (id, None), "nobody had before");
    assert!(store.labels(None).unwrap().is_empty());
    assert!(store.label_counts().unwrap().is_empty());
    assert!(store.label_rows(id).unwrap().is_some(), "rows stay");
    let again = store.withdraw_label(id, &why("twice")).unwrap();
    assert_eq!(again.withdrawn, Some(why("the wrong job")), "the first word stays");
    assert_eq!(store.label_log(None).unwrap(), [again]);

    assert_eq!(store.add_label(&label(1_000), None).unwrap(), id + 1, "said again: a new label");
    assert!(store.labels(None).unwrap()[0].has_rows, "with the interval's rows");
    let normal = Label { verdict: Verdict::Normal, class: None, ..label(1_000) };
    let later = store.add_label(&normal, Some(&rows(&[3.0, 4.0]))).unwrap();
    store.withdraw_label(later, &why("no")).unwrap();
    assert_eq!(store.labels(None).unwrap()[0].id, id + 1, "what was said before holds again");
    let own = rows(&[5.0, 6.0]);
    store.set_label_rows(id + 1, &own).unwrap();
    assert_eq!(store.label_rows(id + 1).unwrap(), Some(own), "its own rows before a twin's");

    let error = store.withdraw_label(99, &why("no")).unwrap_err();
    assert!(matches!(error, StoreError::NotFound { .. }), "{error}");
    assert!(error.to_string().ends_with("cannot withdraw a label: there is no label 99"));
}

#[test]
fn a_label_that_was_contradicted_in_part_may_be_said_again() {
    let store = Store::in_memory().unwrap();
    let first = store.add_label(&label(1_000), None).unwrap();
    let interval = Interval { from_s: 1_030, to_s: 1_040 };
    let normal = Label { interval, verdict: Verdict::Normal, class: None, ..label(1_000) };
    let second = store.add_label(&normal, None).unwrap();
    let third = store.add_label(&label(1_000), None).unwrap();
    assert_eq!([first, second, third], [1, 2, 3], "else the person could not have the last word");
    assert_eq!(store.add_label(&label(1_000), None).unwrap(), third, "a repetition");
}

#[test]
fn labels_cannot_be_changed_or_removed() {
    let store = Store::in_memory().unwrap();
    store.add_label(&label(1_000), None).unwrap();
    let withdrawal = Withdrawal { author: None, note: None, source: "cli".into(), created_s: 1 };
    let other = store.add_label(&label(5_000), None).unwrap();
    store.withdraw_label(other, &withdrawal).unwrap();
    for sql in [
        "UPDATE label SET note = ''",
        "DELETE FROM label",
        "UPDATE label_withdrawal SET note = ''",
        "DELETE FROM label_withdrawal",
    ] {
        let error = store.write("try", |t| t.execute(sql, [])).unwrap_err();
        assert_eq!(error.to_string(), "store :memory:: cannot try: labels are append-only");
    }
    assert_eq!(store.labels(None).unwrap()[0].label, label(1_000));
}

#[test]
fn rows_come_later_and_never_get_poorer() {
    let store = Store::in_memory().unwrap();
    let id = store.add_label(&label(1_000), None).unwrap();
    assert_eq!(store.label_rows(id).unwrap(), None);
    let full = rows(&[1.0, 2.0, -0.0, f64::INFINITY]);
    assert!(store.set_label_rows(id, &full).unwrap());
    assert!(store.set_label_rows(id, &rows(&[f64::NAN, 2.0])).unwrap());
    assert_eq!(store.label_rows(id).unwrap(), Some(full.clone()), "joined");
    assert!(store.labels(None).unwrap()[0].has_rows);
    // Of the interval 1,000 to 1,060, with what was before it.
    let fine = rows(&[1.0; 70]);
    assert!(store.set_label_rows(id, &fine).unwrap());
    let other = |step_s, from_s, column: f64| {
        let grid = Grid { start_s: from_s, step_s, len: ((1_060 - from_s) / step_s) as usize };
        let values = vec![[1.0, column]; grid.len].concat();
        LabelRows { window: Window { grid, n_features: 2, values }, ..full.clone() }
    };
    let kept = || store.label_rows(id).unwrap().unwrap();
    for poor in [other(10, 1_040, 1.0), other(10, 1_000, f64::NAN)] {
        assert!(!store.set_label_rows(id, &poor).unwrap());
        assert_eq!(kept(), fine, "of another step, and much less of the interval or of a feature");
    }
    let finer = other(10, 1_000, 1.0);
    assert!(store.set_label_rows(id, &finer).unwrap(), "all of the interval, if not of before it");
    assert_eq!(kept(), finer);
    assert!(store.set_label_rows(id, &fine).unwrap());

    let normal = Label { verdict: Verdict::Normal, class: None, ..label(1_000) };
    let later = store.add_label(&normal, None).unwrap();
    assert_eq!(store.label_rows(later).unwrap(), Some(fine), "rows are the interval's");
    assert!(store.labels(None).unwrap()[0].has_rows);
}

#[test]
fn rows_of_more_features_and_of_fewer_times_are_joined_to_those_that_are_there() {
    let store = Store::in_memory().unwrap();
    store.add_label(&label(1_000), Some(&rows(&[1.0, 2.0, 3.0, 4.0]))).unwrap();
    let normal = Label { verdict: Verdict::Normal, class: None, ..label(1_000) };
    let later = store.add_label(&normal, None).unwrap();
    let more = LabelRows {
        features: ["more", "p99", "again"].map(String::from).to_vec(),
        window: Window {
            grid: Grid { start_s: 60, step_s: 30, len: 2 },
            n_features: 3,
            values: vec![5.0, f64::NAN, 6.0, 7.0, 8.0, 9.0],
        },
    };
    store.set_label_rows(later, &more).unwrap();
    let LabelRows { features, window } = store.label_rows(later).unwrap().unwrap();
    assert_eq!(features, ["rate", "p99", "more", "again"]);
    assert_eq!(window.grid, Grid { start_s: 30, step_s: 30, len: 3 });
    let known = window.values.iter().map(|v| if v.is_nan() { 0.0 } else { *v });
    let wanted = [1.0, 2.0, 0.0, 0.0, 3.0, 4.0, 5.0, 6.0, 0.0, 8.0, 7.0, 9.0];
    assert_eq!(known.collect::<Vec<_>>(), wanted);
}

#[test]
fn gaps_in_rows_stay_gaps() {
    let store = Store::in_memory().unwrap();
    let id = store.add_label(&label(1_000), Some(&rows(&[1.5, f64::NAN]))).unwrap();
    let window = store.label_rows(id).unwrap().unwrap().window;
    assert_eq!(window.values[0], 1.5);
    assert!(window.values[1].is_nan());
    assert_eq!(window.grid, Grid { start_s: 30, step_s: 30, len: 1 });
}

#[test]
fn misshapen_rows_and_missing_labels_are_errors() {
    let store = Store::in_memory().unwrap();
    let mut bad = rows(&[1.0, 2.0]);
    bad.features.pop();
    let error = store.add_label(&label(1_000), Some(&bad)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "store :memory:: cannot store a label: 1 feature names and 2 values; wanted 2 and 1 × 2"
    );
    assert!(store.labels(None).unwrap().is_empty());
    let error = store.set_label_rows(7, &rows(&[])).unwrap_err();
    assert!(matches!(error, StoreError::NotFound { .. }), "{error}");
}

#[test]
fn one_version_is_in_use() {
    let store = Store::in_memory().unwrap();
    let model = model("stl", 100);
    let rejected = ModelState::Rejected { reason: "missed label 4".to_string() };
    for (i, state) in
        [ModelState::Promoted, rejected.clone(), ModelState::Promoted].iter().enumerate()
    {
        assert_eq!(add(&store, &model, state), i as i64 + 1);
    }
    let states = ["retired", "rejected", "promoted"];
    assert!(versions(&store).iter().map(|(_, state)| state).eq(states));
    assert_eq!(store.models(Some("ports")).unwrap()[1].state, rejected);
    let in_use: Vec<i64> = store.models_in_use(None).unwrap().iter().map(|m| m.version).collect();
    assert_eq!(in_use, [3]);

    let NewModel { key, card, bytes, sha256, trained_s } = model.clone();
    let whole = StoredModel { key, version: 3, sha256, trained_s, card, bytes };
    assert_eq!(store.model(&model.key, 3).unwrap().as_ref(), Some(&whole));
    assert_eq!(store.model(&model.key, 9).unwrap(), None);
}

#[test]
fn pruning_keeps_the_promoted_and_the_newest_of_each_key() {
    let store = Store::in_memory().unwrap();
    let (stl, median) = (model("stl", 100), model("seasonal_median", 100));
    assert_eq!(add(&store, &stl, &ModelState::Promoted), 1);
    let models = [median, stl.clone(), stl.clone(), stl.clone(), stl.clone()];
    let added = store.add_models(&models, &ModelState::Candidate).unwrap();
    assert_eq!(added, [1, 2, 3, 4, 5]);
    assert_eq!(store.prune_models("coredns", 0).unwrap(), 0);
    assert_eq!(store.prune_models("ports", 2).unwrap(), 2);
    assert!(versions(&store).iter().map(|(version, _)| *version).eq([1, 1, 4, 5]));
    assert_eq!(store.prune_models("ports", 0).unwrap(), 3);
    assert_eq!(add(&store, &stl, &ModelState::Candidate), 6, "a version is never used twice");
}

#[test]
fn streaks_survive_and_old_ones_go() {
    let store = Store::in_memory().unwrap();
    let streak = |name: &str, points, last_scored_s| SavedStreak {
        entity: Entity::new([("ifName", name)]),
        feature: None,
        detector: "combined".to_string(),
        points,
        last_scored_s,
    };
    let day = 86_400;
    store.save_streaks("ports", &[streak("a", 3, day), streak("b", 1, day)]).unwrap();
    store.save_streaks("ports", &[streak("b", 2, 20 * day)]).unwrap();
    store.save_streaks("ports", &[]).unwrap();
    let saved = store.streaks("ports").unwrap();
    assert_eq!(saved, [streak("a", 3, day), streak("b", 2, 20 * day)]);
    store.save_streaks("ports", &[streak("b", 0, 40 * day)]).unwrap();
    assert_eq!(store.streaks("ports").unwrap(), [streak("b", 0, 40 * day)]);
    assert_eq!(store.streaks("coredns").unwrap(), []);
}

#[test]
fn an_anomaly_goes_on_after_a_restart() {
    let store = Store::in_memory().unwrap();
    let (a, b) = (Entity::new([("job", "a")]), Entity::new([("job", "b")]));
    let record = |entity: &Entity, from_s, to_s| {
        let anomaly = (entity.clone(), Interval { from_s, to_s });
        store.record_anomalies("coredns", &[anomaly]).unwrap();
    };
    record(&a, 100, 100);
    assert_eq!(store.anomalies("coredns", 0).unwrap(), [], "empty so far");
    record(&a, 100, 160);
    record(&a, 100, 130);
    record(&a, 160, 160);
    record(&b, 120, 121);
    record(&a, 161, 170);
    let of = |entity: &Entity, from_s, to_s| (entity.clone(), Interval { from_s, to_s });
    let wanted = [of(&a, 100, 160), of(&b, 120, 121), of(&a, 161, 170)];
    assert_eq!(store.anomalies("coredns", 0).unwrap(), wanted);
    assert_eq!(store.anomalies("coredns", 159).unwrap(), [of(&a, 100, 160), of(&a, 161, 170)]);
    assert_eq!(store.anomalies("coredns", 160).unwrap(), [of(&a, 161, 170)]);
}

#[test]
fn a_request_stays_until_it_is_finished() {
    let dir = tempfile::tempdir().unwrap();
    let (cli, sidecar) = (Store::open(dir.path()).unwrap(), Store::open(dir.path()).unwrap());
    cli.request_training("coredns", "label 1").unwrap();
    cli.request_training("coredns", "label 2").unwrap();
    let asked = sidecar.training_requests().unwrap();
    assert!(asked.iter().map(|request| request.reason.as_str()).eq(["label 1", "label 2"]));
    assert_eq!(sidecar.training_requests().unwrap(), asked, "who asks again hears it again");
    sidecar.finish_training_request(asked[0].id).unwrap();
    drop(sidecar);
    let restarted = Store::open(dir.path()).unwrap();
    assert_eq!(restarted.training_requests().unwrap(), asked[1..]);
}

#[test]
fn many_open_one_new_file_and_write_at_once() {
    let dir = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for process in 0..6 {
            let dir = dir.path();
            scope.spawn(move || {
                let store = Store::open(dir).unwrap();
                for i in 0..10 {
                    store.add_label(&label(process * 1_000 + i), None).unwrap();
                }
            });
        }
    });
    assert_eq!(Store::open(dir.path()).unwrap().labels(None).unwrap().len(), 60);
}

#[test]
fn what_was_acknowledged_is_in_the_files() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = Store::open(dir.path()).unwrap();
    for i in 0..20 {
        store.add_label(&label(i), Some(&rows(&[1.0, 2.0]))).unwrap();
    }
    // The files as a killed process leaves them: nothing closed, nothing moved out of the log.
    for name in [FILE_NAME.to_string(), format!("{FILE_NAME}-wal")] {
        fs::copy(dir.path().join(&name), copy.path().join(&name)).unwrap();
    }
    let recovered = Store::open(copy.path()).unwrap();
    assert_eq!(recovered.labels(None).unwrap(), store.labels(None).unwrap());
}

#[test]
fn half_a_write_is_no_write() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = Store::open(dir.path()).unwrap();
    store.add_label(&label(1), None).unwrap();
    let wal = dir.path().join(format!("{FILE_NAME}-wal"));
    let before = fs::metadata(&wal).unwrap().len() as usize;
    store.add_label(&label(2), Some(&rows(&vec![1.0; 4_000]))).unwrap();
    let log = fs::read(&wal).unwrap();
    assert!(log.len() > before + 4_096);
    fs::copy(store.path(), copy.path().join(FILE_NAME)).unwrap();
    for cut in [before, before + 1, before + 5_000, log.len() - 1] {
        fs::write(copy.path().join(format!("{FILE_NAME}-wal")), &log[..cut]).unwrap();
        let _ = fs::remove_file(copy.path().join(format!("{FILE_NAME}-shm")));
        let recovered = Store::open(copy.path()).unwrap();
        let labels: Vec<Label> =
            recovered.labels(None).unwrap().into_iter().map(|stored| stored.label).collect();
        assert_eq!(labels, [label(1)], "cut at {cut}");
        drop(recovered);
        fs::copy(store.path(), copy.path().join(FILE_NAME)).unwrap();
    }
}

#[test]
fn a_full_disk_is_an_error_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let limit = |pages: i64| {
        let set =
            |c: &Connection| c.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()));
        store.read("limit", set).unwrap();
    };
    limit(40);
    let mut kept = Vec::new();
    let error = loop {
        match store.add_label(&label(kept.len() as i64), Some(&rows(&[1.0; 400]))) {
            Ok(id) => kept.push(id),
            Err(error) => break error,
        }
        assert!(kept.len() < 1_000);
    };
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    assert!(error.to_string().ends_with(
        "portent.db: cannot store a label: the disk is full; nothing was written, all is kept"
    ));
    assert!(!kept.is_empty());
    let check = |c: &Connection| c.query_row("PRAGMA integrity_check", [], |row| row.get(0));
    assert_eq!(store.read::<String>("check", check).unwrap(), "ok");
    let labels = store.labels(None).unwrap();
    assert!(labels.iter().map(|stored| stored.id).eq(kept.iter().copied()));
    assert!(labels.iter().all(|stored| stored.has_rows), "a label and its rows are one write");
    limit(1_000_000);
    store.add_label(&label(5_000), None).unwrap();
    assert_eq!(Store::open(dir.path()).unwrap().labels(None).unwrap().len(), kept.len() + 1);
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    // Nobody may make files here, not even root.
    let error = Store::open(Path::new("/proc")).unwrap_err();
    assert!(matches!(error, StoreError::Open { .. }), "{error}");
    let text = error.to_string();
    assert!(text.starts_with("cannot open the store /proc/portent.db: "), "{text}");
    assert!(text.ends_with("; wanted a directory that can be written"), "{text}");

    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let error = Store::open(&dir.path().join("file/store")).unwrap_err();
    assert!(matches!(error, StoreError::Open { .. }), "{error}");
}

#[test]
fn a_newer_schema_is_left_untouched() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.add_label(&label(1), None).unwrap();
    store.write("age", |t| t.pragma_update(None, "user_version", 99)).unwrap();
    let path = store.path().to_path_buf();
    // Once with a write-ahead log that still holds everything, once without.
    for emptied in [false, true] {
        let copy = tempfile::tempdir().unwrap();
        if emptied {
            let all =
                |c: &Connection| c.query_row("PRAGMA wal_checkpoint(truncate)", [], |_| Ok(()));
            store.read("checkpoint", all).unwrap();
        }
        let files = [FILE_NAME.to_string(), format!("{FILE_NAME}-wal")];
        for name in &files {
            fs::copy(dir.path().join(name), copy.path().join(name)).unwrap();
        }
        let error = Store::open(copy.path()).unwrap_err();
        assert!(matches!(error, StoreError::NewerSchema { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("has schema 99, written by a newer Portent; this one knows up to 3"));
        for name in &files {
            let (was, is) = (fs::read(dir.path().join(name)), fs::read(copy.path().join(name)));
            assert!(was.unwrap() == is.unwrap(), "{name} of {} changed", path.display());
        }
    }
}

#[test]
fn a_foreign_file_is_left_untouched() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE_NAME);
    fs::write(&path, "not a database, but somebody's diary".repeat(100)).unwrap();
    let before = fs::read(&path).unwrap();
    let error = Store::open(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
    assert!(fs::read(&path).unwrap() == before);

    fs::remove_file(&path).unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE diary (day TEXT)").unwrap();
    drop(other);
    let before = fs::read(&path).unwrap();
    let error = Store::open(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
    assert!(fs::read(&path).unwrap() == before);
}

#[test]
fn damage_is_an_error_not_a_panic() {
    let store = Store::in_memory().unwrap();
    let id = store.add_label(&label(1), Some(&rows(&[1.0, 2.0]))).unwrap();
    let cut = "UPDATE label_rows SET sample_values = x'00'";
    store.write("damage", |t| t.execute(cut, [])).unwrap();
    let error = store.label_rows(id).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    add(&store, &model("stl", 1), &ModelState::Candidate);
    store.write("damage", |t| t.execute("UPDATE model SET card = '{'", [])).unwrap();
    let error = store.model(&model("stl", 1).key, 1).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
}

#[test]
fn commits_reach_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let ask = |sql: &'static str| {
        store.read("ask", |c| c.query_row(sql, [], |row| row.get::<_, rusqlite::types::Value>(0)))
    };
    assert_eq!(ask("PRAGMA journal_mode").unwrap(), "wal".to_string().into());
    assert_eq!(ask("PRAGMA synchronous").unwrap(), 2.into());
    assert_eq!(ask("PRAGMA foreign_keys").unwrap(), 1.into());
}

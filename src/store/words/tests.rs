use super::*;
use crate::series::Entity;
use crate::store::ModelRow;

fn key(detector: &str) -> ModelKey {
    ModelKey {
        watch: "ports".into(),
        entity: Entity::new([("port", "1")]),
        feature: Some("in".into()),
        detector: detector.into(),
    }
}

/// A model of other bytes at each time, made with settings `fingerprint`.
fn model(trained_s: i64, fingerprint: &str) -> NewModel {
    let card = serde_json::json!({ "fingerprint": fingerprint, "n_rows": 9 });
    let (bytes, sha256) = (trained_s.to_le_bytes().to_vec(), format!("{trained_s:x}"));
    NewModel { key: key("stl"), card, bytes, sha256, trained_s }
}

fn word(deed: Deed, created_s: i64, hold_until_s: Option<i64>) -> ModelWord {
    let (author, note) = (Some("ann".into()), Some("why".into()));
    ModelWord { deed, before: None, hold_until_s, author, note, created_s }
}

/// Versions 1 and 2 were promoted by trainings, 3 was turned down.
fn trained() -> Store {
    let store = Store::in_memory().unwrap();
    let rejected = ModelState::Rejected { reason: "worse".into() };
    for (trained_s, state) in
        [(10, ModelState::Promoted), (20, ModelState::Promoted), (30, rejected)]
    {
        store.add_models(&[model(trained_s, "a")], &state).unwrap();
    }
    store
}

fn rows(store: &Store) -> Vec<ModelRow> {
    store.models(Some("ports")).unwrap()
}

fn states(store: &Store) -> Vec<&'static str> {
    rows(store).iter().map(|row| row.state.as_str()).collect()
}

fn put(store: &Store, from: Option<i64>, to: i64, word: &ModelWord) -> Result<(), StoreError> {
    store.put_in_use(&[Change { key: key("stl"), from, to: Some(to) }], word)
}

#[test]
fn back_is_what_was_in_use_before() {
    let store = trained();
    let before = |store: &Store| store.version_before(&key("stl")).unwrap();
    assert_eq!(before(&store), (Some(2), Some(1)), "3 was never in use");
    // To a version that was turned down, and back: to what was in use, not to what is older.
    put(&store, Some(2), 3, &word(Deed::Promote, 40, None)).unwrap();
    assert_eq!(
        (states(&store), before(&store)),
        (vec!["retired", "retired", "promoted"], (Some(3), Some(2)))
    );
    let back = word(Deed::Rollback, 50, None);
    put(&store, Some(3), 2, &back).unwrap();
    assert_eq!(
        (states(&store), before(&store)),
        (vec!["retired", "promoted", "rejected"], (Some(2), Some(1)))
    );
    put(&store, Some(2), 1, &back).unwrap();
    assert_eq!(
        (states(&store), before(&store)),
        (vec!["promoted", "rejected", "rejected"], (Some(1), None))
    );
    let said = "version 1 was put back in use by ann (why) instead".to_string();
    assert_eq!(rows(&store)[1].state, ModelState::Rejected { reason: said });
    assert_eq!(rows(&store)[0].word, Some(ModelWord { before: Some(2), ..back }));
    assert_eq!(store.model_words(&key("stl"), 3).unwrap().len(), 1, "all that was said is kept");
}

#[test]
fn nothing_changes_where_one_change_cannot_be_made() {
    let store = trained();
    let promote = word(Deed::Promote, 40, None);
    let good = Change { key: key("stl"), from: Some(2), to: Some(1) };
    let bad = [
        (Change { to: Some(9), ..good.clone() }, "there is no version 9 of ports/stl/in{port=1}"),
        (Change { key: key("pca"), ..good.clone() }, "no model ports/pca/in{port=1}"),
        (
            Change { from: Some(1), to: Some(3), ..good.clone() },
            "version 2 of ports/stl/in{port=1} is in use by now",
        ),
    ];
    for (bad, wanted) in bad {
        let error = store.put_in_use(&[good.clone(), bad], &promote).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
        assert_eq!(states(&store), ["retired", "promoted", "rejected"]);
        assert_eq!(store.watches_changed_since(0).unwrap(), (0, vec![]));
    }
}

/// What is held at a time, in words.
fn held(store: &Store, now_s: i64) -> Vec<String> {
    store.holds("ports", now_s).unwrap().of.values().map(ToString::to_string).collect()
}

#[test]
fn a_version_is_held_until_its_time_or_until_another_is_in_use() {
    let store = trained();
    put(&store, Some(2), 1, &word(Deed::Rollback, 40, Some(100))).unwrap();
    let wanted =
        "version 1 was put back in use by ann (why), and is held until 1970-01-01T00:01:40Z";
    assert_eq!((held(&store, 99), held(&store, 100)), (vec![wanted.into()], vec![]));
    let holds = store.holds("ports", 99).unwrap();
    assert_eq!((holds.of[&key("stl")].fingerprint.as_deref(), holds.newest_word), (Some("a"), 1));
    assert!(store.holds("elsewhere", 99).unwrap().of.is_empty());
    // Said again, of the version that is in use: for a shorter time.
    put(&store, Some(1), 1, &word(Deed::Promote, 60, Some(70))).unwrap();
    assert_eq!((held(&store, 69).len(), held(&store, 70).len()), (1, 0));
    put(&store, Some(1), 1, &word(Deed::Promote, 80, Some(900))).unwrap();
    store.add_models(&[model(90, "b")], &ModelState::Promoted).unwrap();
    assert_eq!(held(&store, 90), [""; 0], "of other settings, say");
}

#[test]
fn the_first_version_can_be_taken_out_of_use_and_none_comes_back_by_itself() {
    let store = trained();
    let out = [Change { key: key("stl"), from: Some(2), to: None }];
    store.put_in_use(&out, &word(Deed::Rollback, 40, Some(100))).unwrap();
    assert_eq!(states(&store), ["retired", "rejected", "rejected"]);
    let reason = "it was taken out of use by ann (why)".to_string();
    assert_eq!(rows(&store)[1].state, ModelState::Rejected { reason });
    let wanted = "version 2 was taken out of use by ann (why), and none is put in use until 1970-01-01T00:01:40Z";
    assert_eq!(held(&store, 99), [wanted]);
    let said = store.model_words(&key("stl"), 2).unwrap();
    assert_eq!((said[0].deed, said[0].before), (Deed::Retire, Some(2)));
    assert_eq!(store.watches_changed_since(0).unwrap().1, ["ports"], "a sidecar hears of it");
    // There is nothing to go back from; a person may put any in use.
    assert_eq!(store.version_before(&key("stl")).unwrap(), (None, None));
    put(&store, None, 2, &word(Deed::Promote, 50, Some(200))).unwrap();
    assert_eq!(
        held(&store, 99),
        ["version 2 was put in use by ann (why), and is held until 1970-01-01T00:03:20Z"]
    );
}

#[test]
fn what_was_judged_beside_others_than_those_in_use_is_not_kept() {
    let store = trained();
    let newest = store.holds("ports", 0).unwrap().newest_word;
    let keep = |trained_s: i64| {
        let new = [
            (model(trained_s, "a"), ModelState::Promoted),
            (NewModel { key: key("pca"), ..model(trained_s, "a") }, ModelState::Candidate),
        ];
        store.add_models_unless_spoken(&new, newest).unwrap()
    };
    assert!(keep(40));
    // Of another entity, and brought only: no matter of this one.
    let other = ModelKey { entity: Entity::new([("port", "2")]), ..key("stl") };
    store
        .add_models(&[NewModel { key: other.clone(), ..model(45, "a") }], &ModelState::Promoted)
        .unwrap();
    let again = Change { key: other, from: Some(1), to: Some(1) };
    store.put_in_use(&[again], &word(Deed::Promote, 46, None)).unwrap();
    store.import_models(&[model(47, "a")], &word(Deed::Import, 47, None)).unwrap();
    assert!(keep(50));
    let in_use = store.models_in_use(Some("ports")).unwrap();
    let from = in_use.iter().find(|row| row.key == key("stl")).map(|row| row.version);
    put(&store, from, 1, &word(Deed::Promote, 55, None)).unwrap();
    let before = rows(&store);
    assert!(!keep(60));
    assert_eq!(rows(&store), before);
}

#[test]
fn what_people_brought_or_used_is_never_removed() {
    let store = trained();
    let import = word(Deed::Import, 40, None);
    let new = [model(7, "a"), model(7, "a"), model(30, "a")];
    let versions = store.import_models(&new, &import).unwrap();
    assert_eq!(versions, [(4, true), (4, false), (3, false)], "the same bytes are kept once");
    assert_eq!(states(&store), ["retired", "promoted", "rejected", "candidate"]);
    put(&store, Some(2), 1, &word(Deed::Promote, 50, None)).unwrap();
    put(&store, Some(1), 2, &word(Deed::Promote, 60, None)).unwrap();
    let fifth = store.add_models(&[model(70, "a")], &ModelState::Candidate).unwrap();
    assert_eq!(store.prune_models("ports", 0).unwrap(), 1);
    assert_eq!(store.model(&key("stl"), fifth[0]).unwrap(), None);
    let entity = Entity::new([("port", "1")]);
    assert_eq!(store.forget_models("ports", std::slice::from_ref(&entity)).unwrap(), 0);
    assert_eq!(rows(&store).len(), 4);
    let delete = |sql: &str| store.read("delete", |connection| connection.execute(sql, []));
    for sql in [
        "DELETE FROM model WHERE version = 4",
        "DELETE FROM model_word",
        "UPDATE model_word SET note = ''",
    ] {
        assert!(delete(sql).is_err(), "{sql}");
    }
    // Nobody spoke of this one: it goes with its entity.
    let other = NewModel { key: key("pca"), ..model(80, "a") };
    store.add_models(&[other], &ModelState::Candidate).unwrap();
    assert_eq!(store.forget_models("ports", &[entity]).unwrap(), 1);
}

#[test]
fn what_people_write_is_shown_and_not_obeyed() {
    let mut said = word(Deed::Import, 40, None);
    said.note = Some("\u{1b}[2J gone".into());
    assert_eq!(said.describe(), "imported by ann (\\u{1b}[2J gone)");
    let (author, note) = (None, None);
    assert_eq!(ModelWord { author, note, ..said }.describe(), "imported");
}

#[test]
fn a_sidecar_hears_of_each_change_once() {
    let store = trained();
    store.import_models(&[model(7, "a")], &word(Deed::Import, 40, None)).unwrap();
    assert_eq!(store.watches_changed_since(0).unwrap(), (1, vec![]), "brought is not in use");
    put(&store, Some(2), 4, &word(Deed::Promote, 50, None)).unwrap();
    assert_eq!(store.watches_changed_since(1).unwrap(), (2, vec!["ports".into()]));
    assert_eq!(store.watches_changed_since(2).unwrap(), (2, vec![]));
}

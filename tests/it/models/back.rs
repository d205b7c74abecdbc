//! Back to the version before, or to none; and what stays where it is.

use super::*;

const TWO: &str = "[seasonal_median, isolation_forest]";

/// Detector and version of each that is in use.
fn scoring(lab: &Lab) -> Vec<(String, i64)> {
    let rows = Store::open_to_read(&lab.path("store")).unwrap().models_in_use(None).unwrap();
    rows.into_iter().map(|row| (row.key.detector, row.version)).collect()
}

fn of(wanted: &[(&str, i64)]) -> Vec<(String, i64)> {
    wanted.iter().map(|(name, version)| (name.to_string(), *version)).collect()
}

fn rolled_back(config: &str, more: &[&str]) -> String {
    done(&[&["models", "rollback", config][..], &OF_WATCH, more].concat())
}

#[test]
fn the_first_version_of_a_detector_is_taken_out_where_others_score() {
    let lab = Lab::new("models_first");
    scene(&lab);
    let config = config(&lab, "two.yml", "store", TWO);
    done(&["train", &config]);
    let hint = "it stays; --detector=isolation_forest takes it out of use";
    fails("rollback", &config, &OF_WATCH, hint);
    let said = rolled_back(&config, &["--detector=isolation_forest", "--author=ann"]);
    let wanted = "w/isolation_forest/x{file=x.csv}: version 1 is out of use, and none in its place, held until";
    assert!(said.contains(wanted), "{said}");
    assert_eq!(scoring(&lab), of(&[("seasonal_median", 1)]));
    let shown = done(&["models", "show", &config, "--detector=isolation_forest"]);
    let wanted = "taken out of use by ann; none is put in use until 2";
    assert!(shown.contains(wanted), "{shown}");

    // Trainings leave it so and go on with the other.
    let table = done(&["train", &config]);
    assert!(table.contains("held") && table.contains("taken out of use by ann"), "{table}");
    assert_eq!(scoring(&lab), of(&[("seasonal_median", 2)]));
    let said = rolled_back(&config, &[]);
    assert!(
        said.contains("w/seasonal_median/x{file=x.csv}: version 1 is in use instead of 2"),
        "{said}"
    );
    assert!(
        said.contains("w/isolation_forest/x{file=x.csv}: none is in use, it stays so"),
        "{said}"
    );
    let last = [&OF_WATCH[..], &["--detector=seasonal_median"]].concat();
    fails("rollback", &config, &last, "it stays, since nothing else would score");
    assert_eq!(scoring(&lab), of(&[("seasonal_median", 1)]));
    done(
        &[
            &["models", "promote", &config, "--detector=isolation_forest", "--version=1"][..],
            &OF_WATCH,
        ]
        .concat(),
    );
    assert_eq!(scoring(&lab), of(&[("isolation_forest", 1), ("seasonal_median", 1)]));
}

#[test]
fn settings_that_have_changed_are_heeded_with_a_configuration_and_without() {
    let lab = Lab::new("models_changed");
    scene(&lab);
    let two = config(&lab, "two.yml", "store", TWO);
    done(&["train", &two]);
    done(&["train", &two]);
    // A detector that the configuration has no more is in no one's way.
    let one = config(&lab, "one.yml", "store", "[isolation_forest]");
    let said = rolled_back(&one, &["--hold=0s"]);
    assert!(
        said.contains("w/isolation_forest/x{file=x.csv}: version 1 is in use instead of 2"),
        "{said}"
    );
    assert!(
        said.contains("w/seasonal_median/x{file=x.csv}: the configuration has it no more"),
        "{said}"
    );
    assert_eq!(scoring(&lab), of(&[("isolation_forest", 1), ("seasonal_median", 2)]));
    done(&["train", &one]);
    assert_eq!(scoring(&lab), of(&[("isolation_forest", 3)]), "it goes out of use");

    // Without a configuration, what is in use tells which settings a sidecar has.
    let store = format!("--store.path={}", lab.path("store").display());
    let other = config(&lab, "other.yml", "store", "[{isolation_forest: {trees: 50}}]");
    done(&["train", &other]);
    let wanted = "was made with other settings than version 4, which is in use";
    fails("rollback", &store, &OF_WATCH, wanted);
    fails(
        "promote",
        &store,
        &[&OF_WATCH[..], &["--detector=isolation_forest", "--version=3"]].concat(),
        wanted,
    );
    assert_eq!(scoring(&lab), of(&[("isolation_forest", 4)]));
    done(&["train", &other]);
    let said = rolled_back(&store, &[]);
    assert!(said.contains("version 4 is in use instead of 5, held until"), "{said}");
}

#[test]
fn models_of_another_version_of_the_program_are_trained_anew_in_plain_words() {
    let lab = Lab::new("models_older");
    let config = scene(&lab);
    done(&["train", &config]);
    let file = rusqlite::Connection::open(lab.path("store/portent.db")).unwrap();
    let bytes = b"as an older version wrote it".to_vec();
    let sha256 = portent::model::sha256(&bytes);
    file.execute("UPDATE model SET bytes = ?1, sha256 = ?2", rusqlite::params![bytes, sha256])
        .unwrap();
    drop(file);
    let portent = Portent::serve(&lab, "portent", free_port(), &[&config]);
    lab.until("a new version scores", secs(60), || (in_use(&lab, "store") == [2]).then_some(()));
    portent.terminate(&lab);
    let log = std::fs::read_to_string(lab.path("portent.log")).unwrap();
    let told = log.matches("made by another version of Portent, not used: trained anew").count();
    assert!(told == 1 && !log.contains("ERROR"), "{log}");
}

//! The shipped rules load, fire where they should, and stay silent where they should.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::Path;
use std::path::PathBuf;

use crate::lab::process::debian;
use crate::lab::process::run;
use crate::lab::repository;

#[test]
fn promtool_accepts_every_rule_file() {
    let files = yaml_files(&repository().join("rules"));
    promtool(&["check", "rules"], &files);
}

#[test]
fn every_rule_file_has_tests_and_they_pass() {
    let rules = repository().join("rules");
    let tests = yaml_files(&rules.join("tests"));
    let names = |files: &[PathBuf]| -> Vec<_> {
        files.iter().map(|file| file.file_name().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&yaml_files(&rules)), names(&tests));
    promtool(&["test", "rules"], &tests);
}

/// Each alert by name in the tests, once where it fires and once where it does not.
#[test]
fn every_alert_is_tested_firing_and_silent() {
    let rules = repository().join("rules");
    let alerts = std::fs::read_to_string(rules.join("alerts.yml")).unwrap();
    let tests = std::fs::read_to_string(rules.join("tests/alerts.yml")).unwrap();
    let names = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    for name in names {
        assert!(tests.contains(&format!("alertname: {name}, exp_alerts: []")), "{name} silent");
        assert!(tests.contains(&format!("alertname: {name}\n        exp_alerts:")), "{name} fires");
    }
}

fn promtool(command: &[&str], files: &[PathBuf]) {
    let args = command.iter().map(Path::new).chain(files.iter().map(PathBuf::as_path));
    run(&debian("promtool", "prometheus"), args);
}

/// The `.yml` files of a folder, by name.
fn yaml_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yml"));
    files.sort();
    files
}

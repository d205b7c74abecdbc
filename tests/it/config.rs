//! Configuration files, good and bad: each bad one with the exact message that its writer sees.
//!
//! `tests/data/config/bad/NAME.yml` has its message in `NAME.txt` beside it.

use std::path::Path;
use std::process::Command;

use portent::config;

fn folder(kind: &str) -> Vec<std::path::PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/config").join(kind);
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|e| e == "yml")).collect();
    files.sort();
    files
}

#[test]
fn good_files_are_right() {
    let files = folder("good");
    assert!(!files.is_empty());
    for file in files {
        if let Err(problems) = config::load(&file) {
            panic!("{problems}");
        }
    }
}

/// With `UPDATE_EXPECT=1` the messages are written instead of compared.
#[test]
fn bad_files_say_what_where_and_what_was_wanted() {
    let files = folder("bad");
    assert!(files.len() >= 6);
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let name = file.file_name().unwrap().to_str().unwrap();
        let problems = config::parse(name, &text).expect_err(name).to_string() + "\n";
        let message = file.with_extension("txt");
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(&message, &problems).unwrap();
        }
        let wanted = std::fs::read_to_string(&message).unwrap_or_default();
        assert_eq!(problems, wanted, "{name}");
    }
}

#[test]
fn check_prints_every_problem_and_exits_1() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/config/bad/many.yml");
    let check = Command::new(env!("CARGO_BIN_EXE_portent"))
        .args(["check", "--config.file"])
        .arg(&file)
        .output()
        .unwrap();
    let said = String::from_utf8(check.stderr).unwrap();
    assert_eq!(check.status.code(), Some(1), "{said}");
    for wanted in ["many.yml:", "watches[0].step", "watches[1].preset", "watches[2].name", "sorce"]
    {
        assert!(said.contains(wanted), "{wanted} is not in:\n{said}");
    }
}

#[test]
fn check_accepts_what_serve_would_take() {
    for file in folder("good") {
        let check =
            Command::new(env!("CARGO_BIN_EXE_portent")).arg("check").arg(&file).output().unwrap();
        assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
    }
}

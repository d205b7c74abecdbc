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
        if let Err(problems) = config::check(&file) {
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
        let name = file.file_name().unwrap().to_str().unwrap();
        let mut problems = config::check(&file).expect_err(name);
        problems.file = name.to_string();
        let problems = problems.to_string() + "\n";
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

/// Ten times as long a file may take some thirty times as long, not a thousand times.
#[test]
fn a_long_file_with_many_problems_is_checked_in_time() {
    let mut text = String::from("watches:\n");
    while text.len() < 4 << 20 {
        let i = text.len();
        text += &format!("  - {{name: n{i}, step: 5, queries: {{a: up, b: up}}, bucket: oops}}\n");
    }
    text.truncate(text[..4 << 20].rfind('\n').unwrap() + 1);
    let lab = crate::lab::Lab::new("config_long");
    let file = lab.write("long.yml", &text);
    let started = std::time::Instant::now();
    let problems = config::check(&file).unwrap_err();
    let took = started.elapsed();
    assert!(problems.list.len() >= 100 && problems.list[99].line == Some(51), "{problems}");
    assert!(took.as_secs() < 20, "{took:?}");
    let too_long = lab.write("too_long.yml", text.clone() + &text);
    let said = config::check(&too_long).unwrap_err().to_string();
    assert!(said.ends_with("too long; wanted at most 4 MiB"), "{said}");
}

#[test]
fn missing_files_are_looked_for_only_by_check() {
    let lab = crate::lab::Lab::new("config_files");
    let text = "source:\n  prometheus:\n    url: http://h:9090\n    http_config:\n      \
        tls_config: {ca_file: ca.crt}\n";
    let file = lab.write("portent.yml", text);
    config::load(&file).unwrap();
    let said = config::check(&file).unwrap_err().to_string();
    let ca = lab.path("ca.crt");
    assert!(
        said.contains(&format!(
            "portent.yml:5: source.prometheus.http_config.tls_config.ca_file: {}: ",
            ca.display()
        )),
        "{said}"
    );
    std::fs::write(ca, "").unwrap();
    config::check(&file).unwrap();
}

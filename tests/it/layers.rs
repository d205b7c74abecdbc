//! The floors of the house: a module uses only modules of floors below its own, never a neighbour.
//!
//! This reads text, not syntax: a fence, not a wall.

use std::path::Path;
use std::path::PathBuf;

/// Lowest first.
const FLOORS: &[&[&str]] = &[
    &["math", "series"],
    &["verdict"],
    &["window", "preprocess", "detect", "score", "quality", "scenario", "weak"],
    &["model", "watch"],
    &["shipped"],
    &["source", "export", "labels", "plot", "store", "simulate", "tensorboard", "workers"],
    &["gather"],
    &["pipeline", "train", "backtest", "collect"],
    &["evaluate"],
    &["tune"],
    &["schedule", "web", "telemetry"],
    &["config"],
    &["app"],
    &["cli"],
];

/// Modules on these floors know no clock, no IO, no threads, no logs.
const PURE_FLOORS: usize = 5;
const IMPURE: &[&str] =
    &["tokio::", "tracing::", "std::fs", "std::env", "SystemTime", "Instant::now"];

/// Crates that only one module may name, or two.
const OWNED: &[(&str, &str)] = &[
    ("burn", "detect"),
    ("prometheus_http_query", "source"),
    ("reqwest", "source"),
    ("hickory_resolver", "source"),
    ("csv", "collect, source"),
    ("parquet", "collect"),
    ("flate2", "export, plot"),
    ("tiny_skia", "plot"),
    ("rusqlite", "store"),
    ("hyper", "web"),
    ("hyper_util", "web"),
    ("bcrypt", "web"),
    ("tracing_subscriber", "telemetry"),
    ("serde_yaml", "config"),
    ("clap", "cli"),
];

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files
}

/// Names that follow `prefix` in a line, where `prefix` begins a path.
fn names_after<'a>(line: &'a str, prefix: &str) -> Vec<&'a str> {
    let end = |rest: &'a str| {
        rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
    };
    line.split(prefix).skip(1).map(end).collect()
}

fn begins_path(line: &str, krate: &str) -> bool {
    let needle = format!("{krate}::");
    line.match_indices(&needle).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
    })
}

fn violations(src: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for file in rust_files(src) {
        let inside = file.strip_prefix(src).unwrap();
        let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
        let module = first.trim_end_matches(".rs");
        if matches!(module, "main" | "lib") {
            continue;
        }
        let Some(own_floor) = floor(module) else {
            found.push(format!("{module} has no floor"));
            continue;
        };
        let text = std::fs::read_to_string(&file).unwrap();
        // What a test beside the code needs is not part of the house.
        let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        if file.ends_with("tests.rs") || inside.components().any(|c| c.as_os_str() == "tests") {
            continue;
        }
        for (i, line) in text.lines().enumerate() {
            let line = line.split("//").next().unwrap();
            let at = format!("{}:{}", inside.display(), i + 1);
            for used in names_after(line, "crate::") {
                if used != module && floor(used).is_none_or(|other| other >= own_floor) {
                    found.push(format!("{at}: {module} may not use {used}"));
                }
            }
            for (krate, owner) in OWNED {
                if owner.split(", ").all(|owner| owner != module) && begins_path(line, krate) {
                    found.push(format!("{at}: only {owner} may name {krate}"));
                }
            }
            for name in
                IMPURE.iter().filter(|name| own_floor < PURE_FLOORS && line.contains(**name))
            {
                found.push(format!("{at}: {module} is pure, it may not name {name}"));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn the_house_stands() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    assert_eq!(violations(&src), Vec::<String>::new());
}

#[test]
fn a_broken_house_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("score.rs"),
        "use crate::detect::Raw;\nuse crate::store::Store;\n",
    )
    .unwrap();
    std::fs::write(dir.path().join("detect.rs"), "use tokio::time;\nuse crate::math::stats;\n")
        .unwrap();
    std::fs::write(dir.path().join("attic.rs"), "").unwrap();
    let wanted = [
        "attic has no floor",
        "detect.rs:1: detect is pure, it may not name tokio::",
        "score.rs:1: score may not use detect",
        "score.rs:2: score may not use store",
    ];
    assert_eq!(violations(dir.path()), wanted);
}

//! The store under a process that is killed.

use std::io::BufRead;
use std::io::BufReader;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;

use portent::series::Entity;
use portent::series::Grid;
use portent::series::Window;
use portent::store::LabelRows;
use portent::store::Store;
use portent::verdict::Interval;
use portent::verdict::Label;
use portent::verdict::Verdict;

const DIR: &str = "PORTENT_TEST_STORE";

fn label(from_s: i64) -> Label {
    Label {
        watch: "coredns".to_string(),
        entity: Entity::new([("job", "coredns")]),
        interval: Interval { from_s, to_s: from_s + 60 },
        verdict: Verdict::Anomaly,
        class: None,
        author: None,
        note: None,
        source: "cli".to_string(),
        created_s: 0,
    }
}

/// The process that the test below kills. It says what it was promised.
#[test]
#[ignore = "not a test of its own: the test below starts it and kills it"]
fn writes_until_it_is_killed() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let store = Store::open(Path::new(&dir)).unwrap();
    let grid = Grid { start_s: 0, step_s: 15, len: 2_000 };
    let rows = LabelRows {
        features: vec!["rate".to_string()],
        window: Window::single(grid, vec![1.0; grid.len]),
    };
    let first = store.labels(None).unwrap().len() as i64;
    for i in first.. {
        let id = store.add_label(&label(i * 60), Some(&rows)).unwrap();
        eprintln!("kept {id}");
    }
}

#[test]
fn a_killed_process_loses_nothing_it_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let mut promised = 0;
    for round in 1..=5 {
        let mut writer = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--ignored", "store::writes_until_it_is_killed", "--nocapture"])
            .env(DIR, dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(writer.stderr.take().unwrap()).lines();
        let ids = lines.filter_map(|line| line.unwrap().strip_prefix("kept ")?.parse::<i64>().ok());
        for id in ids.take(7 + round) {
            promised = id;
        }
        // SIGKILL: no handler, no destructor, wherever it stands.
        writer.kill().unwrap();
        writer.wait().unwrap();

        let store = Store::open(dir.path()).unwrap();
        let labels = store.labels(None).unwrap();
        assert!(labels.len() as i64 >= promised, "{} of {promised}", labels.len());
        for (i, stored) in labels.iter().enumerate() {
            assert_eq!(stored.label, label(i as i64 * 60));
            assert!(stored.has_rows, "a label without the rows it came with: half a write");
        }
    }
    assert!(promised >= 50);
}

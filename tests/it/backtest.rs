//! `portent backtest` as a person would use it: a file in, a file out, no look at the future.

use std::fmt::Write as _;
use std::path::Path;

use crate::lab::Lab;
use crate::lab::portent::portent;

const STEP_S: i64 = 300;
const DAY: usize = 288;
const TRAIN: usize = 7 * DAY;
const ROWS: usize = 9 * DAY;
const SPIKE: std::ops::Range<usize> = 8 * DAY..8 * DAY + 12;

/// Nine days with a daily rhythm, noise, a gap, and an hour in which traffic is gone.
fn traffic() -> Vec<Option<f64>> {
    let mut state = 1_u64;
    let mut noise = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / (1_u64 << 24) as f64 - 0.5
    };
    let value = |i: usize| match i {
        i if SPIKE.contains(&i) => Some(1e3),
        i if i % 500 == 499 => None,
        i => {
            let phase = (i % DAY) as f64 / DAY as f64 * std::f64::consts::TAU;
            Some(1e9 * (2.0 + phase.sin()) * (1.0 + 0.1 * noise()))
        }
    };
    (0..ROWS).map(value).collect()
}

fn write(lab: &Lab, name: &str, rows: &[Option<f64>]) -> std::path::PathBuf {
    let mut text = String::from("t,v0\n");
    for (i, value) in rows.iter().enumerate() {
        let cell = value.map(|v| v.to_string()).unwrap_or_default();
        writeln!(text, "{},{cell}", 1_700_000_100 + i as i64 * STEP_S).unwrap();
    }
    lab.write(name, text)
}

fn scores(lab: &Lab, input: &Path, name: &str) -> (Vec<String>, Vec<Vec<String>>) {
    let output = lab.path(name);
    let train = TRAIN.to_string();
    let paths = [input.to_str().unwrap(), output.to_str().unwrap()];
    portent(&["backtest", paths[0], "--train-rows", &train, "--output", paths[1]]);
    let text = std::fs::read_to_string(output).unwrap();
    let mut lines = text.lines().map(|line| line.split(',').map(String::from).collect());
    (lines.next().unwrap(), lines.collect())
}

#[test]
fn an_outage_stands_out_and_the_future_changes_nothing() {
    let lab = Lab::new("backtest");
    let rows = traffic();
    let (head, whole) = scores(&lab, &write(&lab, "whole.csv", &rows), "whole.out.csv");
    assert_eq!(head, ["t", "score", "expected", "lower", "upper", "streak"]);
    assert_eq!(whole.len(), ROWS - TRAIN, "one row out per row in");
    let score = |i: usize| whole[i - TRAIN][1].parse::<f64>().unwrap();
    let outage = SPIKE.map(score).fold(f64::INFINITY, f64::min);
    assert!(outage > 1.0, "an hour without traffic scores {outage}");
    let false_alarms = (TRAIN..ROWS).filter(|i| !SPIKE.contains(i) && score(*i) > 1.0).count();
    assert!(false_alarms <= 2, "{false_alarms} points of ordinary days score above 1");
    let cut = 8 * DAY + 6;
    let (_, part) = scores(&lab, &write(&lab, "part.csv", &rows[..cut]), "part.out.csv");
    assert_eq!(part, whole[..cut - TRAIN], "scores changed with rows that came later");
}

#[test]
fn the_workshops_files_are_read() {
    let lab = Lab::new("backtest_workshop");
    let mut text = String::from(",ts,traffic\n");
    for (i, value) in traffic().iter().enumerate() {
        let (day, minute) = (1 + i / DAY, i % DAY * 5);
        let cell = value.map(|v| v.to_string()).unwrap_or_default();
        writeln!(text, "{i},2023-01-{day:02} {:02}:{:02}:00,{cell}", minute / 60, minute % 60)
            .unwrap();
    }
    let (head, rows) = scores(&lab, &lab.write("1_8_out.csv", text), "out.csv");
    assert_eq!((head[0].as_str(), rows.len()), ("t", ROWS - TRAIN));
    assert_eq!(rows[0][0], "1673136000", "2023-01-08 00:00:00 UTC");
}

/// Sums of numbers near the largest are no numbers any more.
#[test]
fn the_largest_numbers_give_finite_cells_or_empty_ones() {
    let lab = Lab::new("backtest_largest");
    let mut rows = traffic();
    for (i, value) in rows.iter_mut().enumerate() {
        let sign = if i % 3 == 0 { -1.0 } else { 1.0 };
        *value = value.map(|v| if i % 7 == 0 { sign * 1e308 } else { v * 1e298 });
    }
    let hostile = write(&lab, "hostile.csv", &rows);
    let spiked = traffic().into_iter().enumerate();
    let spiked: Vec<_> = spiked.map(|(i, v)| if i > TRAIN + 9 { Some(1e308) } else { v }).collect();
    let spiked = write(&lab, "spiked.csv", &spiked);
    for (input, bucket) in [(&hostile, "5m"), (&hostile, "30m"), (&spiked, "5m"), (&spiked, "30m")]
    {
        let output = lab.path("out.csv");
        let paths = [input.to_str().unwrap(), output.to_str().unwrap()];
        let train = TRAIN.to_string();
        let args = ["backtest", paths[0], "--train-rows", &train, "--bucket", bucket];
        portent(&[&args[..], &["--output", paths[1]]].concat());
        let text = std::fs::read_to_string(output).unwrap();
        for cell in text.lines().skip(1).flat_map(|line| line.split(',')) {
            let number = cell.is_empty() || cell.parse::<f64>().is_ok_and(f64::is_finite);
            assert!(number && cell.len() < 400, "{cell:?} of {bucket}");
        }
    }
}

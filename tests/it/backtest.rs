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

/// Half-hours of a port that is busy at noon in Rome, from 4 March 2024 on; six hours of day 30 are missing.
fn noons() -> String {
    let mut text = String::from("t,in,out\n");
    for i in 0..48 * 40_i64 {
        let time_s = 1_709_510_400 + 1_800 * i;
        // Clocks go forward on 31 March at 01:00 UTC.
        let local_s = time_s + if time_s < 1_711_846_800 { 3_600 } else { 7_200 };
        let noon = local_s.rem_euclid(86_400) / 1_800 == 24;
        let noise = (i * 7919 + i * i * 31) % 101;
        let value = if noon { 5e9 } else { 1e9 } + 1e6 * noise as f64;
        match (48 * 30..48 * 30 + 12).contains(&i) {
            true => writeln!(text, "{time_s},,1").unwrap(),
            false => writeln!(text, "{time_s},{value},1").unwrap(),
        }
    }
    text
}

/// A watch that differs in nothing but what it is asked for.
fn as_watched(lab: &Lab, name: &str, flags: &[&str]) -> Vec<f64> {
    let (config, output) = (lab.path("portent.yml"), lab.path("watched.csv"));
    let config = format!("--config.file={}", config.display());
    let (watch, out) = (format!("--watch={name}"), output.to_str().unwrap());
    portent(&[&["backtest", &config, &watch, "--output", out], flags].concat());
    let text = std::fs::read_to_string(&output).unwrap();
    let score = |line: &str| line.split(',').nth(1).unwrap().parse().unwrap();
    text.lines().skip(1).map(score).collect()
}

#[test]
fn a_file_is_replayed_as_its_watch_would_have_scored_it() {
    let lab = Lab::new("backtest_watch");
    let input = lab.write("noons.csv", noons());
    let rest = "step: 30m, detectors: [seasonal_median], train: {min_history: 26d, history: 8w}";
    let watch = |name: &str, more: &str| {
        format!("  - {{name: {name}, queries: {{traffic: in}}, {rest}, {more}}}\n")
    };
    let text = [
        "source: {csv: {file: noons.csv}}\n".to_string(),
        "calendar: {time_zone: Europe/Rome}\nwatches:\n".to_string(),
        watch("rome", "lag: 0s"),
        watch("greenwich", "calendar: {time_zone: UTC}"),
        watch("filled", "preprocess: [{fill: zero}, {bucket: 30m}]"),
        watch("lenient", "page_budget: 10 per 1w"),
        watch("stl", "detectors: [stl]").replacen("detectors: [seasonal_median], ", "", 1),
    ];
    lab.write("portent.yml", text.concat());
    let rome = as_watched(&lab, "rome", &[]);
    assert_eq!(rome.len(), 48 * 14, "learnt first from train.min_history");
    let day = |scores: &[f64], day: usize| -> f64 {
        scores[48 * (day - 26)..48 * (day - 25)].iter().fold(0.0, |a, b| a.max(*b))
    };
    let greenwich = as_watched(&lab, "greenwich", &[]);
    assert!(day(&rome, 28) <= 1.0 && day(&greenwich, 28) > 1.0, "clocks were changed");
    let filled = as_watched(&lab, "filled", &[]);
    assert!(day(&rome, 30) <= 1.0 && day(&filled, 30) > 1.0, "zeroes for what is missing");
    assert!(as_watched(&lab, "lenient", &[]).iter().sum::<f64>() > rome.iter().sum());
    assert_ne!(as_watched(&lab, "stl", &[]), rome);
    // What is said on the command line counts.
    let stl = as_watched(&lab, "stl", &["--detectors=seasonal_median"]);
    assert_eq!(stl, rome);
    let file = input.to_str().unwrap();
    assert_eq!(as_watched(&lab, "rome", &[file, "--train-rows=1300"]).len(), 48 * 40 - 1300);
}

//! `portent plot` as a person would use it: a file in, a picture out that others can read.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;
use std::process::Command;
use std::process::Output;

use crate::lab::Lab;
use crate::lab::portent::portent;

const BINARY: &str = env!("CARGO_BIN_EXE_portent");

const DAY: usize = 48;
const TRAIN: usize = 21 * DAY;
const ROWS: usize = 28 * DAY;
/// An outage of four hours, and an hour of ten times as much.
const OUTAGE: std::ops::Range<usize> = 24 * DAY..24 * DAY + 8;
const SURGE: std::ops::Range<usize> = 26 * DAY + 20..26 * DAY + 22;
const GAP: usize = 25 * DAY + 3;

/// Four weeks of half-hours with a daily rhythm.
fn traffic(lab: &Lab) -> String {
    let mut text = String::from(",ts,traffic\n");
    for i in 0..ROWS {
        let phase = (i % DAY) as f64 / DAY as f64 * std::f64::consts::TAU;
        let usual = 1e9 * (2.0 + phase.sin()) * (1.0 + 0.002 * (i * 7919 % 101) as f64);
        let value = match i {
            i if OUTAGE.contains(&i) => 1e3,
            i if SURGE.contains(&i) => 10.0 * usual,
            _ => usual,
        };
        let value = if i == GAP { String::new() } else { value.to_string() };
        let (day, minute) = (1 + i / DAY, i % DAY * 30);
        let (hour, minute) = (minute / 60, minute % 60);
        writeln!(text, "{i},2023-01-{day:02} {hour:02}:{minute:02}:00,{value}").unwrap();
    }
    lab.write("1_8_out.csv", text).to_str().unwrap().to_string()
}

fn run(args: &[&str]) -> Output {
    Command::new(BINARY).args(args).output().unwrap()
}

fn fails_with(args: &[&str], wanted: &str) {
    let output = run(args);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains(wanted), "{args:?}: {said}");
}

/// A picture of the file, as it lies there.
fn plot(lab: &Lab, kind: &str, input: &str, more: &[&str], name: &str) -> Vec<u8> {
    let output = lab.path(name);
    let args = ["plot", kind, input, "--output", output.to_str().unwrap()];
    portent(&[&args[..], more].concat());
    std::fs::read(output).unwrap()
}

/// An element that was opened: its name and its class.
pub(crate) type Element = (String, String);

/// The elements of an SVG with those around them, outermost first. Panics where it is no XML.
fn elements(svg: &[u8]) -> Vec<Vec<Element>> {
    let all = opened(svg);
    assert_eq!(all[0][0].0, "svg");
    all
}

/// The elements of a page or picture, each with those around it. Panics where it is no XML.
pub(crate) fn opened(xml: &[u8]) -> Vec<Vec<Element>> {
    let text = std::str::from_utf8(xml).unwrap();
    let (mut open, mut all): (Vec<Element>, Vec<Vec<Element>>) = (Vec::new(), Vec::new());
    for part in text.split('<').skip(1) {
        let (tag, between) = part.split_once('>').expect("a tag ends");
        assert!(!between.contains('>'), "{between}");
        for entity in between.split('&').skip(1).chain(tag.split('&').skip(1)) {
            let known = ["lt;", "gt;", "amp;", "quot;"];
            assert!(known.iter().any(|known| entity.starts_with(known)), "{entity}");
        }
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().expect("an open element").0, name);
            continue;
        }
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        let name = tag.split([' ', '/']).next().unwrap();
        let class =
            tag.split_once("class=\"").map_or("", |(_, rest)| rest.split('"').next().unwrap());
        open.push((name.to_string(), class.to_string()));
        all.push(open.clone());
        if tag.ends_with('/') {
            open.pop();
        }
    }
    assert_eq!(open, [], "every element ends");
    all
}

/// How many discs lie in groups of this class.
fn dots(svg: &[u8], class: &str) -> usize {
    let is_dot = |path: &Vec<Element>| {
        path.last().unwrap().0 == "circle" && path.iter().any(|(_, known)| known == class)
    };
    elements(svg).iter().filter(|path| is_dot(path)).count()
}

/// Width, height and the colours of a PNG.
fn decoded(png: &[u8]) -> (u32, u32, BTreeSet<[u8; 3]>) {
    let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
    let (mut at, mut zlib) = (8, Vec::new());
    while at < png.len() {
        let end = at + 8 + number(at) as usize;
        let mut crc = flate2::Crc::new();
        crc.update(&png[at + 4..end]);
        assert_eq!(crc.sum(), number(end), "checksum");
        if &png[at + 4..at + 8] == b"IDAT" {
            zlib.extend(&png[at + 8..end]);
        }
        at = end + 4;
    }
    let (width, height) = (number(16), number(20));
    assert_eq!(png[24..29], [8, 2, 0, 0, 0], "8 bits, RGB");
    let mut rows = Vec::new();
    flate2::read::ZlibDecoder::new(&zlib[..]).read_to_end(&mut rows).unwrap();
    let row = 3 * width as usize;
    assert_eq!(rows.len(), height as usize * (row + 1));
    let (mut above, mut colours) = (vec![0_u8; row], BTreeSet::new());
    for line in rows.chunks_exact(row + 1) {
        assert_eq!(line[0], 2, "told as the difference from the row above");
        above.iter_mut().zip(&line[1..]).for_each(|(byte, more)| *byte = byte.wrapping_add(*more));
        colours.extend(above.chunks_exact(3).map(|rgb| [rgb[0], rgb[1], rgb[2]]));
    }
    (width, height, colours)
}

#[test]
fn traffic_has_a_band_and_dots_where_the_backtest_scores_above_one() {
    let lab = Lab::new("plot_traffic");
    let input = traffic(&lab);
    let train = TRAIN.to_string();
    let more = ["--train-rows", &train, "--detectors", "stl"];
    let svg = plot(&lab, "traffic", &input, &more, "traffic.svg");
    let scores = lab.path("scores.csv");
    let args = ["backtest", &input, "--output", scores.to_str().unwrap()];
    portent(&[&args[..], &more].concat());
    let scores = std::fs::read_to_string(scores).unwrap();
    let streak = |line: &str| line.rsplit(',').next().unwrap().parse::<usize>().unwrap();
    let streaks: Vec<usize> = scores.lines().skip(1).map(streak).collect();
    // A streak's length is that of its last point.
    let ends = streaks.iter().zip(streaks.iter().skip(1).chain([&0])).filter(|(a, b)| b <= a);
    let (red, yellow): (Vec<usize>, Vec<usize>) = ends.map(|(n, _)| *n).partition(|n| *n >= 4);
    assert_eq!(dots(&svg, "red"), red.iter().sum::<usize>());
    assert_eq!(dots(&svg, "yellow"), yellow.iter().sum::<usize>());
    assert!(dots(&svg, "red") >= OUTAGE.len() && dots(&svg, "yellow") >= SURGE.len());
    let classes: BTreeSet<String> =
        elements(&svg).into_iter().flatten().map(|(_, class)| class).collect();
    for class in ["title", "observed", "forecast", "band", "grid", "tick", "legend"] {
        assert!(classes.contains(class), "{class}: {classes:?}");
    }
    let text = String::from_utf8(svg).unwrap();
    assert!(text.contains("role=\"img\"") && text.contains("<desc id=\"desc\">"));
    assert!(text.contains(">25 Jan<") && text.contains("UTC: score "));
    assert!(text.len() < 300_000, "{} bytes", text.len());
}

#[test]
fn every_kind_is_an_image_of_both_formats() {
    let lab = Lab::new("plot_kinds");
    let input = traffic(&lab);
    for (kind, height) in [("traffic", 560), ("scatter", 560), ("components", 826)] {
        let svg = plot(&lab, kind, &input, &["--bucket", "1h"], &format!("{kind}.svg"));
        assert!(elements(&svg).len() > 30, "{kind}");
        let png = plot(&lab, kind, &input, &["--bucket", "1h"], &format!("{kind}.png"));
        let (width, drawn_height, colours) = decoded(&png);
        assert_eq!((width, drawn_height), (2400, 2 * height), "{kind}");
        assert!(colours.len() > 30, "{kind}: {} colours", colours.len());
    }
    let scatter = std::fs::read(lab.path("scatter.svg")).unwrap();
    // Four fifths are learnt; half-hours in pairs, the gap's among them.
    let scored = (ROWS - ROWS * 4 / 5) / 2;
    let n = dots(&scatter, "points");
    assert!((scored - 2..=scored + 1).contains(&n), "{n} of {scored}");
}

#[test]
fn long_files_make_small_pictures() {
    let lab = Lab::new("plot_long");
    let mut text = String::from("t,v\n");
    for i in 0..60_000_usize {
        writeln!(text, "{},{}", i * 60, 100 + i % 97 + i % 1440).unwrap();
    }
    let input = lab.write("long.csv", text).to_str().unwrap().to_string();
    for kind in ["traffic", "scatter"] {
        let more = ["--train-rows", "20000", "--detectors", "seasonal_median"];
        let svg = plot(&lab, kind, &input, &more, "long.svg");
        assert!(svg.len() < 400_000, "{kind}: {} bytes", svg.len());
    }
}

#[test]
fn wrong_input_is_told_in_words() {
    let lab = Lab::new("plot_wrong");
    let input = traffic(&lab);
    let two = lab.write("two.csv", "t,a,b\n0,1,2\n60,1,2\n120,1,2\n");
    let two = two.to_str().unwrap();
    let folder = lab.folder("empty");
    let svg = lab.path("x.svg");
    let svg = svg.to_str().unwrap();
    let jpeg = lab.path("x.jpg");
    let jpeg = jpeg.to_str().unwrap();
    fails_with(&["plot", "traffic", &input, "--output", jpeg], "ends in .svg or .png");
    fails_with(
        &["plot", "scatter", &input, "--output", svg, "--train-rows", "9999"],
        "--train-rows",
    );
    fails_with(&["plot", "scatter", &input, "--output", svg, "--bucket", "45m"], "whole number");
    fails_with(&["plot", "traffic", two, "--output", svg], "--column: wanted one of a, b");
    fails_with(&["plot", "components", two, "--output", svg, "--column=b"], "two seasons of 1d");
    fails_with(&["plot", "traffic", "absent.csv", "--output", svg], "absent.csv");
    fails_with(&["plot", "pie", &input, "--output", svg], "pie");
    let empty = folder.to_str().unwrap();
    let pictures = lab.path("pictures");
    let pictures = pictures.to_str().unwrap();
    fails_with(&["plot", "workshop", empty, "--output", pictures], "index, ts, traffic");
    assert!(!Path::new(svg).exists(), "what fails leaves no file");
}

#[test]
fn the_workshops_experiment_has_a_table_and_a_picture_each() {
    let lab = Lab::new("plot_workshop");
    let folder = lab.folder("ports");
    std::fs::copy(traffic(&lab), folder.join("1_8_out.csv")).unwrap();
    std::fs::write(folder.join("labels.csv"), "port,start\n8,2023-01-01\n").unwrap();
    let pictures = lab.path("pictures");
    let args =
        ["plot", "workshop", folder.to_str().unwrap(), "--output", pictures.to_str().unwrap()];
    let table = portent(&args);
    let row = table.lines().find(|line| line.starts_with("stl ")).expect("a row of stl");
    assert!(row.contains("0.292 s") && row.ends_with("1 of 1"), "{table}");
    let svg = std::fs::read(pictures.join("1_8_out.stl.svg")).unwrap();
    assert!(dots(&svg, "red") >= OUTAGE.len(), "the outage is red");
}

#[test]
fn without_files_the_experiment_simulates_some() {
    let lab = Lab::new("plot_simulated");
    let output = lab.path("pictures");
    let args = ["plot", "workshop", "--output", output.to_str().unwrap(), "--format", "png"];
    let table = portent(&args);
    assert!(table.contains("5 of 5"), "{table}");
    let text = std::fs::read_to_string(output.join("simulated/port_1_out.csv")).unwrap();
    assert!(text.starts_with(",ts,traffic\n0,2023-01-01 00:00:00,"), "{}", &text[..60]);
    assert_eq!(text.lines().count(), 1 + 109 * 288);
    let (width, _, colours) = decoded(&std::fs::read(output.join("port_1_out.stl.png")).unwrap());
    assert!(width == 2400 && colours.len() > 30);
}

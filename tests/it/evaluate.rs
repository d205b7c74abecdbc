//! `portent evaluate` as a person would use it: a simulated CoreDNS with labelled faults in, a table, a
//! winner and a page out.

use std::fmt::Write as _;
use std::process::Command;

use portent::series::Grid;
use portent::simulate::Cluster;

use crate::lab::Lab;
use crate::lab::portent::portent;
use crate::plot::opened;

const BINARY: &str = env!("CARGO_BIN_EXE_portent");
const WATCH: &str = "coredns";
const START_S: i64 = 1_790_000_000;
const STEP_S: i64 = 5;
const SPAN_S: i64 = 4 * 3600;

/// Four hours with a day of twenty minutes, and a fault every few minutes after the first hour.
fn simulated(lab: &Lab) -> [String; 2] {
    let cluster = Cluster::new(7).clean_until_s(START_S + 3600);
    let grid = Grid::covering(START_S, START_S + SPAN_S, STEP_S);
    let rows = cluster.window(WATCH, 0, grid);
    let mut text = format!("t,{}\n", cluster.features(WATCH).join(","));
    for i in 0..grid.len {
        let cells =
            rows.row(i).iter().map(|v| if i % 997 == 5 { String::new() } else { v.to_string() });
        writeln!(text, "{},{}", grid.time(i), cells.collect::<Vec<_>>().join(",")).unwrap();
    }
    let mut labels = String::from("from,to,class\n");
    for fault in cluster.faults(WATCH, START_S, START_S + SPAN_S) {
        // Values take 8 s to leave.
        let (from_s, to_s) = (fault.interval.from_s, fault.interval.to_s + 8);
        writeln!(labels, "{from_s},{to_s},{}", fault.kind.as_str()).unwrap();
    }
    let write = |name, text: String| lab.write(name, text).to_str().unwrap().to_string();
    [write("dns.csv", text), write("labels.csv", labels)]
}

/// The cells of a line of the table that begins with these.
fn cells<'a>(told: &'a str, begin: &[&str]) -> Vec<&'a str> {
    let lines = told.lines().map(|line| line.split("  ").filter(|c| !c.is_empty()).map(str::trim));
    let mut lines = lines.map(Iterator::collect::<Vec<_>>);
    let begins = |cells: &Vec<&str>| cells.len() > begin.len() && cells.starts_with(begin);
    lines.find(begins).unwrap_or_else(|| panic!("no line {begin:?} in:\n{told}"))
}

#[test]
fn faults_of_a_simulated_coredns_are_found_class_by_class() {
    let lab = Lab::new("evaluate");
    let [input, labels] = simulated(&lab);
    let page = lab.path("report.html");
    let told = portent(&[
        "evaluate",
        &input,
        "--labels",
        &labels,
        "--detectors=pca,var,seasonal_median",
        "--apart=1m",
        "--holdout-class=cache_collapse",
        "--report",
        page.to_str().unwrap(),
    ]);
    for detector in ["pca", "var"] {
        let row = cells(&told, &[detector]);
        let [vus_pr, recall] = [row[4], row[2]].map(|cell| cell.parse::<f64>().unwrap());
        assert!(vus_pr > 0.6 && (0.0..=1.0).contains(&recall), "{told}");
        let (found, of) = row[5].split_once(" of ").unwrap();
        let [found, of] = [found, of].map(|cell| cell.parse::<usize>().unwrap());
        assert!(of >= 8 && 4 * found >= 3 * of, "{told}");
        let counts: Vec<usize> = row[8..12].iter().map(|cell| cell.parse().unwrap()).collect();
        assert_eq!(counts.iter().sum::<usize>(), (SPAN_S / STEP_S) as usize * 15 / 100, "{told}");
    }
    cells(&told, &["cache_collapse (held out)", "pca"]);
    cells(&told, &["upstream_timeout", "var"]);
    assert!(told.lines().last().unwrap().starts_with("winner: "), "{told}");
    let text = std::fs::read_to_string(page).unwrap();
    let (doctype, html) = text.split_once('\n').unwrap();
    assert_eq!(doctype, "<!DOCTYPE html>");
    let paths = opened(html.as_bytes());
    let count = |name: &str| paths.iter().filter(|path| path.last().unwrap().0 == name).count();
    assert_eq!((paths[0][0].0.as_str(), count("svg"), count("script")), ("html", 2, 0));
    assert_eq!(count("table"), 3 + 3, "of the parts, the classes, and a matrix each");
    for detector in ["pca", "var", "seasonal_median"] {
        assert!(html.contains(&format!("<td>{detector}</td>")), "{detector}");
    }
    let winner = told.lines().last().unwrap();
    assert!(html.contains(winner), "{winner}");
}

/// Labels have no part in the groups, and each is mostly of one class all the same.
#[cfg(feature = "deep")]
#[test]
fn what_the_autoencoder_found_is_grouped_on_the_page_and_the_terminal() {
    let lab = Lab::new("evaluate_groups");
    let [input, labels] = simulated(&lab);
    let page = lab.path("report.html");
    let (apart, report) = ("--apart=1m", page.to_str().unwrap());
    let detectors = "--detectors=autoencoder,pca";
    let told =
        portent(&["evaluate", &input, "--labels", &labels, detectors, apart, "--report", report]);
    let text = std::fs::read_to_string(&page).unwrap();
    let html = text.split_once('\n').unwrap().1;
    let paths = opened(html.as_bytes());
    let svgs = paths.iter().filter(|path| path.last().unwrap().0 == "svg").count();
    let (_, section) = html.split_once("<h2>Groups of anomalies</h2>").unwrap();
    let (table, _) = section.split_once("</table>").unwrap();
    let groups: Vec<&str> = table.split("<tr><td>").skip(1).collect();
    assert_eq!(svgs, groups.len() + 3, "a picture each, beside those of all detectors");
    let (_, on_terminal) = told
        .split_once("\ngroups of what the autoencoder scored above 1 in the test part\n")
        .unwrap();
    let (mut n_rows, mut n_own) = (0, 0);
    for (k, group) in groups.iter().enumerate() {
        let cells: Vec<&str> = group.split("</td><td>").collect();
        let line = on_terminal.lines().nth(k + 1).unwrap();
        assert!(cells[..5].iter().all(|cell| line.contains(cell)), "{cells:?}: {told}");
        assert!(cells[3].contains(" higher (") || cells[3].contains(" lower ("), "{}", cells[3]);
        n_rows += cells[1].parse::<usize>().unwrap();
        let (_, most) = cells[4].split(", ").next().unwrap().rsplit_once(' ').unwrap();
        n_own += most.parse::<usize>().unwrap();
    }
    assert!(groups.len() >= 3 && n_rows > 30, "{table}");
    assert!(
        4 * n_own >= 3 * n_rows,
        "{n_own} of {n_rows} rows are of their group's class: {table}"
    );
    assert_eq!(html.matches("<h2>Groups of anomalies</h2>").count(), 1, "PCA does not tell sides");
}

#[test]
fn what_cannot_be_judged_is_said() {
    let lab = Lab::new("evaluate_wrong");
    let mut text = String::from("t,a\n");
    (0..100).for_each(|i| writeln!(text, "{},{}", 60 * i, i % 7).unwrap());
    let input = lab.write("a.csv", text);
    let fails = |labels: &str, more: &[&str], wanted: &str| {
        let labels = lab.write("labels.csv", labels);
        let paths = [input.to_str().unwrap(), labels.to_str().unwrap()];
        let args = ["evaluate", paths[0], "--labels", paths[1], "--detectors=stl"];
        let output = Command::new(BINARY).args(args).args(more).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(wanted), "{said}");
    };
    fails("from,to\n9000000,9000060\n", &[], "a.csv: no labelled anomaly lies within the rows");
    fails("from,to\n60,x\n", &[], "labels.csv: line 2: to is \"x\"");
    fails("from,to\n60,120\n", &["--split=70/15/20"], "three whole percentages that make 100");
    fails("from,to\n60,120\n", &["--train-rows=100"], "wanted some left to judge by");
    let held_out = ["--holdout-class=slow"];
    fails(
        "from,to,class\n60,120,slow\n",
        &held_out,
        "no interval of class \"slow\" in the test part",
    );
    let report = ["--report", input.to_str().unwrap()];
    fails("from,to\n60,120\n", &report, "would replace the input");
}

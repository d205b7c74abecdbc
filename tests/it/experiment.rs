//! `make experiment` from its recordings on, which are of a simulated CoreDNS here: one file, three networks and a
//! linear control judged on it, a page and a winner.

use std::fmt::Write as _;
use std::path::PathBuf;

use portent::series::Grid;
use portent::simulate::Cluster;

use crate::fault_lab::experiment;
use crate::fault_lab::experiment::Judged;
use crate::fault_lab::rotation;
use crate::lab::Lab;
#[cfg(feature = "deep")]
use crate::lab::portent::portent;
#[cfg(feature = "deep")]
use crate::plot::opened;

const WATCH: &str = "coredns";
const START_S: i64 = 1_790_000_000;
const STEP_S: i64 = 5;
/// In which each of the six faults comes once.
const SPAN_S: i64 = 1_260;

/// Recordings of one service, each of all faults, as the fault lab leaves them.
fn recordings(lab: &Lab, n: i64) -> Vec<PathBuf> {
    let cluster = Cluster::new(7).clean_until_s(START_S);
    let recording = |k: i64| {
        let (from_s, to_s) = (START_S + k * SPAN_S, START_S + (k + 1) * SPAN_S);
        let grid = Grid::covering(from_s, to_s, STEP_S);
        let window = cluster.window(WATCH, 0, grid);
        let names: Vec<String> =
            cluster.features(WATCH).iter().map(|name| (*name).to_owned()).collect();
        let mut labels = "from,to,class,verdict\n".to_owned();
        for fault in cluster.faults(WATCH, from_s, to_s) {
            // Values take 8 s to leave.
            let (from_s, to_s) = (fault.interval.from_s, fault.interval.to_s + 8);
            writeln!(labels, "{from_s},{to_s},{},anomaly", fault.kind.as_str()).unwrap();
        }
        writeln!(labels, "{from_s},{},,normal", from_s + 20).unwrap();
        lab.write(&format!("r{k}-labels.csv"), labels);
        lab.write(&format!("r{k}.csv"), crate::fault_lab::record::csv(&names, &window))
    };
    (0..n).map(recording).collect()
}

fn judged(detectors: &str, controls: &str, hold_out: Option<&str>) -> Judged {
    let hold_out = hold_out.map(str::to_owned);
    Judged { detectors: detectors.to_owned(), controls: controls.to_owned(), hold_out }
}

#[cfg(feature = "deep")]
#[test]
fn recordings_become_a_table_a_page_and_a_shortlisted_network() {
    let lab = Lab::new("experiment");
    let out = lab.folder("out");
    let asked = judged("autoencoder,classifier,siamese", "pca", None);
    let runs = experiment::prepare(&recordings(&lab, 4), &out, &asked).unwrap();
    let [run] = &runs[..] else { panic!("{runs:?}") };
    let told = portent(&run.iter().map(String::as_str).collect::<Vec<_>>());
    println!("{told}");
    // Twice 252 rows are learnt from, with the gap between them, and one recording chooses and one judges.
    let parts: Vec<&str> = told.lines().take(3).collect();
    assert!(parts[0].starts_with("training: 584 rows,") && parts[0].contains(", 12 labelled"));
    assert!(parts[1].contains(", 6 labelled") && parts[2].contains(", 6 labelled"), "{parts:?}");
    let winner = told.lines().last().unwrap();
    let networks = ["autoencoder", "classifier", "siamese"];
    let won = networks.iter().find(|name| winner.starts_with(&format!("winner: {name} (valid")));
    let won = won.unwrap_or_else(|| panic!("{winner}"));
    assert!(winner.contains("; control: pca (validation: VUS-PR "), "{winner}");
    let row = told.lines().find(|line| line.starts_with(*won)).unwrap();
    let cells: Vec<&str> = row.split("  ").filter(|c| !c.is_empty()).map(str::trim).collect();
    // Of 504 rows: how well it ranks, not where its threshold lies.
    assert!(cells[4].parse::<f64>().unwrap() > 0.6, "{row}");
    assert!(cells[5].ends_with(" of 6"), "{row}");
    let page = std::fs::read_to_string(out.join("experiment.html")).unwrap();
    let (_, html) = page.split_once('\n').unwrap();
    assert!(html.contains(winner) && html.contains("<td>pca (control)</td>"));
    let pictures = opened(html.as_bytes());
    let pictures = pictures.iter().filter(|path| path.last().unwrap().0 == "svg").count();
    let of_groups = html.matches("<td><svg").count();
    assert!(of_groups > 0, "the autoencoder found kinds of anomalies");
    assert_eq!(pictures - of_groups, 3, "precision and recall, scores, losses");
    for network in networks {
        let events = std::fs::read_dir(out.join("tensorboard").join(network)).unwrap();
        assert_eq!(events.count(), 1, "{network}");
    }
}

#[test]
fn each_recording_of_all_classes_judges_once() {
    let lab = Lab::new("experiment_rotation");
    let recordings = recordings(&lab, 4);
    // Nothing was wrong in the first: it is only learnt from.
    lab.write("r0-labels.csv", "from,to,class,verdict\n");
    let asked = judged("pca", "var", None);
    let table = rotation::rotate(&recordings, &lab.folder("out"), &asked).unwrap();
    println!("{table}");
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[1].starts_with("pca ") && lines[1].contains(" of 18 "), "three turns of six");
    assert!(lines[2].starts_with("var (control) "));
    let [last, ""] = [lines[lines.len() - 1], lines[3]] else { panic!("{lines:?}") };
    assert!(
        last.starts_with("shortlisted by validation's VUS-PR, mean of 3 turns: pca (validation 0."),
        "{last}"
    );
    assert!(last.contains("; best control: var (validation 0."), "{last}");
    let (_, vus) = last.split_once("test ").unwrap();
    let vus: f64 = vus.split(')').next().unwrap().parse().unwrap();
    assert!(vus > 0.5, "{last}");
}

#[test]
fn what_is_held_out_is_judged_first_and_what_cannot_be_joined_is_said() {
    let lab = Lab::new("experiment_wrong");
    let recordings = recordings(&lab, 3);
    let out = lab.path("out");
    let asked = judged("pca", "var", Some("upstream_slow"));
    let runs = experiment::prepare(&recordings, &out, &asked).unwrap();
    let last = |run: &Vec<String>| run.last().unwrap().clone();
    assert_eq!(last(&runs[0]), "--holdout-class=upstream_slow");
    assert!(last(&runs[1]).ends_with("out/tensorboard"), "{runs:?}");
    assert!(runs.iter().all(|run| run.contains(&"--train-rows=252".to_owned())), "{runs:?}");

    let fails = |recordings: &[PathBuf], wanted: &str| {
        let error = experiment::join(recordings).unwrap_err();
        assert!(error.contains(wanted), "{error}");
    };
    fails(&recordings[1..], "wanted a recording to learn from");
    fails(&recordings[..1], "wanted three recordings");
    let text = std::fs::read_to_string(&recordings[2]).unwrap();
    let short: String = text.lines().take(200).map(|line| format!("{line}\n")).collect();
    let short = lab.write("short.csv", short);
    let labels = lab.path("r2-labels.csv");
    std::fs::copy(&labels, lab.path("short-labels.csv")).unwrap();
    fails(&[recordings[0].clone(), recordings[1].clone(), short], "252 rows to choose by and 199");
    let other = lab.write("other.csv", text.replacen("qps", "questions", 1));
    std::fs::copy(&labels, lab.path("other-labels.csv")).unwrap();
    fails(&[recordings[0].clone(), recordings[1].clone(), other], "other.csv: other features");
    let without = std::fs::read_to_string(&labels).unwrap();
    let without: Vec<&str> =
        without.lines().filter(|line| !line.contains("cache_collapse")).collect();
    std::fs::write(&labels, without.join("\n")).unwrap();
    fails(&recordings, "cache_collapse is not in the test part");
}

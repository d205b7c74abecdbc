//! `portent tune` as a person would use it: killed amid its work, asked again, looked at in a real
//! TensorBoard.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::lab::Lab;
use crate::lab::portent::portent;
use crate::lab::process::Process;
use crate::lab::secs;
use crate::lab::tensorboard::TensorBoard;

const BINARY: &str = env!("CARGO_BIN_EXE_portent");
const N: usize = 1_000;

/// Three features that move together, minute by minute; for ten of every hundred minutes one leaves the others.
fn written(lab: &Lab) -> [String; 2] {
    let noise = |i: usize, k: usize| ((i * 7919 + i * i * 31 * k) % 101) as f64 / 101.0 - 0.5;
    let (mut rows, mut labels) = (String::from("t,a,b,c\n"), String::from("from,to\n"));
    let time = |i: usize| 1_700_000_040 + 60 * i;
    for i in 0..N {
        let common = (i as f64 / 40.0).sin() + 0.2 * noise(i, 1);
        let off = if i % 100 >= 90 { 1.2 } else { 0.0 };
        let [a, b, c] = [common, 2.0 * common + off, -common];
        let [p, q, r] = [2, 3, 5].map(|k| 0.2 * noise(i, k));
        writeln!(rows, "{},{:.4},{:.4},{:.4}", time(i), a + p, b + q, c + r).unwrap();
        if i % 100 == 90 {
            writeln!(labels, "{},{}", time(i), time(i + 10)).unwrap();
        }
    }
    let write = |name, text: String| lab.write(name, text).to_str().unwrap().to_owned();
    [write("rows.csv", rows), write("labels.csv", labels)]
}

fn args(input: &str, labels: &str, output: &Path) -> Vec<String> {
    let options = ["--detectors=autoencoder,siamese", "--trials=6", "--steps=60", "--seed=5"];
    let given = ["tune", input, "--labels", labels, "--output", output.to_str().unwrap()];
    given.into_iter().chain(options).map(str::to_owned).collect()
}

fn tuned(args: &[String]) -> String {
    portent(&args.iter().map(String::as_str).collect::<Vec<_>>())
}

/// The trainings of a search.
fn trainings(folder: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join("search.jsonl")).unwrap_or_default();
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    whole.skip(1).map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What a person is told, without the folder that it is told of, and how long it took.
fn without(folder: &Path, told: &str) -> String {
    let lines = told.lines().filter(|line| !line.starts_with("tune: "));
    lines.map(|line| line.replace(folder.to_str().unwrap(), "DIR") + "\n").collect()
}

#[test]
fn a_search_that_is_killed_ends_as_one_that_is_not_and_tensorboard_shows_it() {
    let lab = Lab::heavy("tune");
    let [input, labels] = written(&lab);
    let (whole, killed) = (lab.path("whole"), lab.path("killed"));
    let told = tuned(&args(&input, &labels, &whole));
    lab.step("searched");

    let again = args(&input, &labels, &killed);
    let process = Process::start(&lab, "killed", Path::new(BINARY), &again);
    lab.until("some trainings", secs(60), || (trainings(&killed).len() >= 3).then_some(()));
    process.kill();
    let n_before = trainings(&killed).len();
    assert!(n_before < trainings(&whole).len(), "it was over before it was killed");
    let told_again = tuned(&again);
    assert_eq!(without(&killed, &told_again), without(&whole, &told));
    assert_eq!(trainings(&killed).len(), trainings(&whole).len(), "none twice");
    let best = |folder: &Path| std::fs::read_to_string(folder.join("best.yml")).unwrap();
    assert_eq!(best(&killed), best(&whole));
    assert!(told.contains(&best(&whole)), "{told}");
    let picture = std::fs::read(whole.join("losses.svg")).unwrap();
    assert!(crate::plot::opened(&picture).len() > 10);

    let watch = format!(
        "watches:\n- name: a\n  queries: {{a: 'a', b: 'b'}}\n  {}",
        best(&whole).replace('\n', "\n  ")
    );
    let config = lab.write("portent.yml", watch);
    portent(&["check", "--syntax-only", config.to_str().unwrap()]);

    other_searches_are_refused(&again);
    shown(&lab, &killed);
}

fn other_searches_are_refused(args: &[String]) {
    let fails = |last: &str, wanted: &str| {
        let output = Command::new(BINARY).args(&args[..args.len() - 1]).arg(last).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(wanted), "{said}");
    };
    fails("--seed=6", "search.jsonl: seed is 5 there, 6 asked; wanted the same, or another folder");
    fails("--split=60/20/20", "train_rows is 700 there, 600 asked");
}

/// Everything in the journal is what TensorBoard shows.
fn shown(lab: &Lab, folder: &Path) {
    let board = TensorBoard::start(lab, &folder.join("tensorboard"));
    let wanted = trainings(folder);
    let mut last: BTreeMap<String, &Value> = BTreeMap::new();
    for training in &wanted {
        let trial = format!("{} {}", training["detector"].as_str().unwrap(), training["trial"]);
        let known = last.entry(trial).or_insert(training);
        if training["rung"].as_u64() > known["rung"].as_u64() {
            *known = training;
        }
    }
    let trials = lab.until("all trials on the board", secs(60), || {
        Some(board.trials()).filter(|trials| trials.len() == last.len())
    });
    let experiment = board.experiment();
    let names = |of: &str| experiment[of].as_array().unwrap().len();
    assert_eq!((names("hparamInfos"), names("metricInfos")), (6, 2), "{experiment}");
    for trial in &trials {
        let training = last[trial["name"].as_str().unwrap()];
        let (name, settings) = training["settings"].as_object().unwrap().iter().next().unwrap();
        let hparams = &trial["hparams"];
        assert_eq!(hparams["detector"], **name);
        for setting in ["window", "latent", "learning_rate"] {
            assert_eq!(hparams[setting].as_f64(), settings[setting].as_f64(), "{trial}");
        }
        assert_eq!(hparams["width"].as_f64(), settings["widths"][0].as_f64());
        assert_eq!(trial["sessions"][0]["status"], "STATUS_SUCCESS");
        let metric = |tag: &str| {
            let metrics = trial["metricValues"].as_array().unwrap().iter();
            let mut values = metrics.filter(|metric| metric["name"]["tag"] == tag);
            values.next().unwrap()["value"].as_f64().unwrap()
        };
        let vus_pr = training["vus_pr"].as_f64().unwrap();
        assert!((metric("validation/vus_pr") - vus_pr).abs() < 1e-6, "{trial}");
    }
    for training in &wanted {
        let number = |name: &str| training[name].as_u64().unwrap();
        let detector = training["detector"].as_str().unwrap();
        let run =
            format!("{detector}/trial-{:03}/training-{}", number("trial"), number("rung") + 1);
        for (place, tag) in [(1, "loss/training"), (2, "loss/held_out")] {
            let looks = training["looks"].as_array().unwrap();
            let look = |l: &Value| (l[0].as_i64().unwrap(), l[place].as_f64().unwrap());
            let looks: Vec<(i64, f64)> = looks.iter().map(look).collect();
            let points = board.scalars(&run, tag);
            let near = |(a, b): (&(i64, f64), &(i64, f64))| a.0 == b.0 && (a.1 - b.1).abs() < 1e-6;
            assert!(points.len() == looks.len() && points.iter().zip(&looks).all(near), "{run}");
        }
    }
}

#[test]
fn tensorboard_shows_what_an_evaluation_trained() {
    let lab = Lab::heavy("tune_evaluate");
    let [input, labels] = written(&lab);
    let folder = lab.path("tensorboard");
    let flag = format!("--tensorboard.dir={}", folder.display());
    portent(&["evaluate", &input, "--labels", &labels, "--detectors=pca,classifier", &flag]);
    let board = TensorBoard::start(&lab, &folder);
    lab.until("both on the board", secs(60), || (board.runs().len() == 2).then_some(()));
    let losses = board.scalars("classifier", "loss/training");
    assert!(losses.len() > 20 && losses.is_sorted_by(|a, b| a.0 < b.0), "{losses:?}");
    assert!(losses[losses.len() - 1].1 < losses[0].1, "{losses:?}");
    let [(0, vus_pr)] = board.scalars("pca", "test/vus_pr")[..] else { panic!("not one value") };
    assert!((0.0..=1.0).contains(&vus_pr));
}

#[test]
fn what_cannot_be_searched_in_is_said() {
    let lab = Lab::new("tune_wrong");
    let [input, labels] = written(&lab);
    let none = lab.write("none.csv", "from,to\n1700000040,1700000100\n");
    let fails = |labels: &str, more: &[&str], wanted: &str| {
        let output = lab.path("out");
        let given = ["tune", &input, "--labels", labels, "--output", output.to_str().unwrap()];
        let output = Command::new(BINARY).args(given).args(more).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(wanted), "{said}");
    };
    let wanted = "no labelled anomaly in the validation part to choose by";
    fails(none.to_str().unwrap(), &[], wanted);
    fails(&labels, &["--detectors=pca"], "wanted some of autoencoder, classifier, siamese");
    fails(&labels, &["--trials=0"], "0 is not in 1..");
}

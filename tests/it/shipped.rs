//! The networks that come along, where they never were: recordings of a real CoreDNS, and a service that begins to be
//! watched.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use portent::config;
use portent::detect::Pretrained;

use crate::fault_lab;
use crate::fault_lab::judge;
use crate::fault_lab::judge::Verdict;
use crate::fault_lab::lessons;
use crate::fault_lab::lessons::Lesson;
use crate::fault_lab::simulated;
use crate::lab::Lab;
use crate::lab::now_s;
use crate::lab::portent::portent;
use crate::lab::repository;

fn shipped() -> Vec<Pretrained> {
    judge::read(&repository().join("models")).unwrap()
}

fn together(lessons: &[Lesson]) -> Verdict {
    let shipped = shipped();
    let names: Vec<&str> = shipped.iter().map(|known| known.detector).collect();
    judge::judge(lessons, &names, &shipped).unwrap()
}

fn recordings(part: &str) -> Vec<Lesson> {
    let folder = repository().join("models/recordings").join(part);
    let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let is_rows = |path: &Path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.ends_with(".csv") && !name.ends_with("-labels.csv")
    };
    let mut files: Vec<_> = files.filter(|path| is_rows(path)).collect();
    files.sort();
    assert!(!files.is_empty(), "{}", folder.display());
    files.iter().map(|file| lessons::read(file).unwrap()).collect()
}

/// On what nobody learnt from, neither the networks nor their lines.
#[test]
fn shipped_networks_find_and_name_faults_of_services_that_they_never_saw() {
    let verdict = together(&recordings("test"));
    let faults = verdict.faults();
    let share = |k: usize| faults.found[k] as f64 / faults.n[k] as f64;
    let found: usize = faults.found.iter().sum();
    assert!(faults.n.iter().sum::<usize>() > 40);
    assert!(share(1) >= 0.95 && share(0) >= 0.8, "{faults:?}");
    assert!(faults.grouped as f64 >= 0.8 * found as f64, "{faults:?}");
    assert!(verdict.false_pages <= 1, "{verdict:?}");
    let benign = verdict.benign();
    assert!(benign.found.iter().sum::<usize>() <= 2, "{:?}", verdict.classes);
}

/// Five faults at known times on a CoreDNS that runs here and now.
#[test]
fn shipped_networks_find_five_faults_on_a_real_coredns_and_call_no_benign_change_one() {
    let lab = Lab::heavy("five-faults");
    let scenario = repository().join("tests/lab/scenarios/five.yml");
    let scenario = config::load_scenario(&scenario).unwrap();
    let recording = fault_lab::run(&scenario, &AtomicBool::new(false)).unwrap();
    assert_eq!(recording.problems, [""; 0]);
    let files = recording.write(&lab.folder("out")).unwrap();
    let verdict = together(&[lessons::read(&files[0]).unwrap()]);
    for (class, found) in &verdict.classes {
        lab.step(&format!("{class}: {found:?}"));
    }
    let faults = verdict.faults();
    assert_eq!(faults.found, faults.n, "{:?}", verdict.classes);
    assert_eq!(faults.n.iter().sum::<usize>(), 5);
    assert_eq!(verdict.benign().found, [0, 0], "{:?}", verdict.classes);
    assert_eq!(verdict.false_pages, 0);
}

/// Three hours of history, and nobody has labelled anything: the fault of the last minutes has a name.
#[test]
fn a_service_that_begins_to_be_watched_is_judged_by_what_was_learnt_elsewhere() {
    let lab = Lab::new("begins");
    let scenario = lab.write(
        "begins.yml",
        "duration: 3h\nseed: 8\nscrape_interval: 30s\nrows: {step: 30s, rate_window: 2m}\n\
         replicas: 2\nload: {qps: 150, day: 1d, swing: 0.3}\n\
         injections: [{at: 10200s, for: 600s, class: upstream_timeout, strength: 0.9}]\n",
    );
    // Half a minute ago: what was scraped last is asked for.
    let start_s = (now_s() - 30).div_euclid(30) * 30 - 3 * 3600;
    let (_server, url) = simulated::history(&lab, &scenario, start_s).unwrap();
    let config = lab.write(
        "portent.yml",
        format!(
            "source: {{prometheus: {{url: '{url}'}}}}\nstore: {{path: '{}'}}\n\
             watches: [{{name: coredns, preset: coredns, weak_labels: []}}]\n",
            lab.folder("store").display()
        ),
    );
    let config = format!("--config.file={}", config.display());
    portent(&["train", &config]);
    let known = portent(&["models", "list", &config]);
    for network in ["autoencoder", "classifier", "siamese"] {
        assert!(known.contains(network), "{known}");
    }
    let shown = portent(&["models", "show", "--watch=coredns", &config]);
    assert!(shown.contains("learnt elsewhere"), "{shown}");
    let scored = portent(&["score", &config]);
    assert!(scored.contains("upstream_timeout"), "{scored}");
}

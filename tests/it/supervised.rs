//! What people and rules said, learnt by the classifier and the siamese network, on a real Prometheus.

use std::fmt::Write as _;

use serde_json::Value;

use crate::lab::Lab;
use crate::lab::free_port;
use crate::lab::now_s;
use crate::lab::portent::Portent;
use crate::lab::portent::portent as run;
use crate::lab::prometheus;
use crate::lab::prometheus::Prometheus;
use crate::lab::secs;

const STEP_S: i64 = 15;
const HISTORY_S: i64 = 4 * 3_600;

/// Seconds before the end of history at which an incident begins, how long it lasts, and which series shows it.
const INCIDENTS: [(i64, i64, usize); 9] = [
    (13_500, 180, 0),
    (12_000, 180, 1),
    (10_500, 180, 0),
    (9_000, 180, 1),
    (7_500, 180, 0),
    (6_300, 180, 1),
    (5_000, 180, 0),
    (3_500, 180, 1),
    (1_500, 180, 1),
];

const RULES: &str = "\
groups:
- name: weak
  interval: 15s
  rules:
  - {alert: Surge, expr: 'load > 8', labels: {anomaly_class: surge}}
";

/// Three series of a job; where a surge begins a minute before `end_s` and goes on for ten.
fn history(end_s: i64) -> String {
    let mut text = String::new();
    for (f, name) in ["load", "answers", "memory"].iter().enumerate() {
        writeln!(text, "# TYPE {name} gauge").unwrap();
        for time_s in (end_s - HISTORY_S..end_s + 600).step_by(STEP_S as usize) {
            let noise = ((time_s / STEP_S * 7_919 + f as i64 * 104_729) % 101) as f64 / 101.0;
            let ago = end_s - time_s;
            let incident = |(from, lasts, on): &(i64, i64, usize)| {
                *on == f && (from - lasts..=*from).contains(&ago)
            };
            let shift = match f {
                0 if ago <= 60 || INCIDENTS.iter().any(incident) => 8.0,
                1 if INCIDENTS.iter().any(incident) => -4.0,
                _ => 0.0,
            };
            let value = 4.0 + (time_s as f64 / 300.0).sin() + noise + shift;
            writeln!(text, "{name}{{job=\"svc\"}} {value} {time_s}").unwrap();
        }
    }
    text + "# EOF\n"
}

#[test]
fn what_rules_and_people_said_is_recognised_when_it_comes_again() {
    let lab = Lab::new("supervised");
    let end_s = now_s() / STEP_S * STEP_S;
    let told = prometheus::Config { history: Some(history(end_s)), ..Default::default() };
    let prometheus = Prometheus::start(&lab, &told);
    lab.write("weak.yml", RULES);
    let store = lab.path("store").display().to_string();
    let url = prometheus.url();
    let config = format!(
        "source: {{prometheus: {{url: '{url}'}}}}\nstore: {{path: '{store}'}}\nwatches:
  - name: svc
    entity: [job]
    step: {STEP_S}s
    lag: 0s
    window: 16
    detectors: [autoencoder, classifier, siamese]
    weak_labels: [weak.yml]
    queries: {{load: 'sum by (job) (load)', answers: 'sum by (job) (answers)', memory: 'sum by (job) (memory)'}}
    train: {{history: 4h, min_history: 1h}}
    score: {{every: 5s}}
"
    );
    let config = lab.write("portent.yml", config);
    let config = format!("--config.file={}", config.display());
    let portent = Portent::serve(&lab, "portent", free_port(), &[&config]);
    for (ago, lasts, on) in INCIDENTS {
        if on == 1 {
            let (from, to) = (end_s - ago, end_s - ago + lasts);
            run(&[
                "labels",
                "add",
                &config,
                "--watch=svc",
                "--entity=job=svc",
                "--verdict=anomaly",
                "--class=drought",
                &format!("--from={from}"),
                &format!("--to={to}"),
            ]);
        }
    }
    recognised(&lab, &portent, end_s);
    portent.terminate(&lab);
    told_to_people(&config);
    judged(&lab, &config);
}

/// Both say that it is a surge, and name surges that rules told of.
fn recognised(lab: &Lab, portent: &Portent, end_s: i64) {
    let surges: Vec<i64> = INCIDENTS.iter().filter(|i| i.2 == 0).map(|i| end_s - i.0).collect();
    lab.until("a surge by both", secs(240), || {
        let metrics = portent.metrics();
        for detector in ["classifier", "siamese"] {
            let own = [("watch", "svc"), ("detector", detector), ("job", "svc")];
            metrics.value("portent_anomaly_score", &own).filter(|score| *score > 1.0)?;
            let surge = [own.as_slice(), &[("class", "surge")]].concat();
            metrics.value("portent_anomaly_class_probability", &surge).filter(|p| *p > 0.5)?;
        }
        // Of people's labels, which another training learns.
        let drought = [("class", "drought")];
        metrics.value("portent_anomaly_class_probability", &drought).map(drop)
    });
    let metrics = portent.metrics();
    let similar = metrics.all("portent_similar_incident_distance", &[("watch", "svc")]);
    let nearest = similar.iter().min_by(|a, b| a.value.total_cmp(&b.value)).unwrap();
    assert_eq!(nearest.labels["class"], "surge");
    let begins: jiff::Timestamp = nearest.labels["incident"].parse().unwrap();
    let near = surges.iter().any(|begin_s| (begin_s - begins.as_second()).abs() <= 30);
    assert!(near, "{begins} is none of {surges:?}");
}

/// The same by `portent score`, as a person reads it.
fn told_to_people(config: &str) {
    let json: Value = serde_json::from_str(&run(&["score", config, "--format=json"])).unwrap();
    let opinions = json["opinions"].as_array().unwrap();
    assert_eq!(opinions.len(), 2, "{json}");
    let table = run(&["score", config]);
    println!("{table}");
    for opinion in opinions {
        let (detector, likeliest) = (opinion["detector"].as_str().unwrap(), &opinion["classes"][0]);
        assert_eq!(likeliest["class"], "surge", "{json}");
        let mut cells = vec![
            format!("svc    job=svc  {detector}"),
            format!("surge  {:.2}", likeliest["probability"].as_f64().unwrap()),
        ];
        // The classifier compares with nothing.
        let similar = opinion["similar"].as_array().unwrap();
        assert_eq!(similar.len(), if detector == "siamese" { 3 } else { 0 }, "{json}");
        for (i, alike) in similar.iter().enumerate() {
            let [incident, class] =
                [&alike["incident"], &alike["class"]].map(|v| v.as_str().unwrap());
            assert!(i > 0 || class == "surge", "{json}");
            cells.push(format!("{incident} {class} ({:.2})", alike["distance"].as_f64().unwrap()));
        }
        let has_all = |line: &str| cells.iter().all(|cell| line.contains(cell.as_str()));
        assert!(table.lines().any(has_all), "{cells:?} in {table}");
    }
    let shown = run(&["models", "show", config]);
    println!("{shown}");
    let lines = |name: &str| shown.lines().filter(|line| line.starts_with(name)).count();
    assert_eq!((lines("  labels     "), lines("  losses     ")), (3, 1), "{shown}");
}

/// The same history by `portent evaluate`.
fn judged(lab: &Lab, config: &str) {
    let page = lab.path("report.html");
    let report = format!("--report={}", page.display());
    let detectors = "--detectors=autoencoder,classifier,siamese,pca";
    let split = "--split=60/20/20";
    let table = run(&["evaluate", config, detectors, split, "--apart=2m", &report]);
    println!("{table}");
    let row = |detector: &str| {
        let mut rows = table.lines().filter(|line| line.starts_with(detector));
        rows.next().unwrap_or_else(|| panic!("no {detector} in {table}")).to_string()
    };
    // What rules say of the one kind and people of the other; the test part is a drought, and the surge that goes on.
    assert!(table.contains("2 labelled stretches: the winner is chosen by them"), "{table}");
    for detector in ["classifier", "siamese"] {
        assert!(row(detector).contains("2 of 2"), "{table}");
    }
    let named = table.lines().filter(|line| line.starts_with("surge")).collect::<Vec<_>>();
    assert_eq!(named.len(), 4, "{table}");
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("svc job=svc") && page.contains("siamese"), "{page:.300}");
}

//! The simulated CoreDNS beside a real one: the same scenario, the same names, the same features.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::AtomicBool;

use portent::config;
use portent::config::Preset;
use portent::preprocess::Transform;
use portent::scenario::Injection;
use portent::watch::Feature;

use crate::fault_lab;
use crate::fault_lab::record;
use crate::fault_lab::record::Recording;
use crate::faults;
use crate::lab::Lab;
use crate::lab::exposition::Metrics;
use crate::lab::free_port;
use crate::lab::http;
use crate::lab::portent::portent;
use crate::lab::process::Process;
use crate::lab::process::debian;
use crate::lab::process::run;
use crate::lab::prometheus;
use crate::lab::prometheus::Prometheus;
use crate::lab::repository;
use crate::lab::secs;

/// Within one block, long ago, on the grid of the short scenario's rows.
const START_S: i64 = 1_790_000_000;

/// A scenario's history, played in no time.
fn simulated(lab: &Lab, scenario: &Path) -> String {
    let output = lab.path("simulated.om");
    let start = START_S.to_string();
    let (scenario, to) = (scenario.display().to_string(), output.display().to_string());
    portent(&["simulate", &scenario, "--start", &start, "--output", &to]);
    std::fs::read_to_string(output).unwrap()
}

/// A series without what differs from server to server: addresses, versions, and what Prometheus adds.
type Contract = BTreeSet<(String, Vec<(String, String)>)>;

fn contract(metrics: &Metrics) -> Contract {
    let own = |name: &str| !["instance", "job"].contains(&name);
    let anything = ["server", "to", "goversion", "revision"];
    let series = metrics.samples().iter().filter(|sample| sample.name != "up").map(|sample| {
        let labels = sample.labels.iter().filter(|(name, _)| own(name)).map(|(name, value)| {
            let value = if anything.contains(&&**name) { "*" } else { value };
            (name.clone(), value.to_owned())
        });
        (sample.name.clone(), labels.collect())
    });
    // What a Go program is built with is nobody's business.
    series.filter(|(name, _)| name != "go_info").collect()
}

#[test]
fn a_simulated_coredns_says_what_a_real_one_says_in_its_words() {
    let lab = Lab::new("simulate_contract");
    let real: Contract =
        faults::short().scrapes.iter().flat_map(|text| contract(&Metrics::parse(text))).collect();
    let simulated = simulated(&lab, &repository().join(faults::SHORT));
    let simulated = contract(&Metrics::parse(&simulated));
    let invented: Vec<_> = simulated.difference(&real).collect();
    assert!(invented.is_empty(), "no real CoreDNS says {invented:?}");
    let watch = Preset::named("coredns").and_then(|preset| preset.watch()).unwrap();
    let queries: Vec<&str> = watch.features.iter().map(|feature| &*feature.query).collect();
    let read = |name: &str| queries.iter().any(|query| query.contains(name));
    let missing: Vec<_> = real.difference(&simulated).filter(|(name, _)| read(name)).collect();
    assert!(missing.is_empty(), "the preset reads {missing:?}");
    assert!(simulated.len() > 150, "{}", simulated.len());
}

#[test]
fn a_simulated_service_is_scraped_live() {
    let lab = Lab::new("simulate_live");
    let scenario = repository().join(faults::SHORT).display().to_string();
    let port = free_port();
    let args = ["simulate".to_owned(), scenario, format!("--web.listen-address=127.0.0.1:{port}")];
    let process = Process::start(&lab, "simulated", Path::new(env!("CARGO_BIN_EXE_portent")), args);
    let url = format!("http://127.0.0.1:{port}/metrics");
    process.ready(&lab, &url, secs(20));
    let asked = |text: &str| Metrics::parse(text).sum("coredns_dns_requests_total", &[]);
    let first = lab.until("a simulated scrape", secs(20), || {
        http::get(&url).ok().map(|answer| answer.body).filter(|text| text.contains("coredns_dns"))
    });
    lab.until("more questions", secs(20), || {
        let text = http::get(&url).ok()?.body;
        (text.contains("coredns_dns") && asked(&text) > asked(&first) + 20.0).then_some(())
    });
    let file = lab.write("scrape.txt", &first);
    let promtool = debian("promtool", "prometheus");
    let mut check = Command::new(promtool);
    let input = std::fs::File::open(file).unwrap();
    let said = check.args(["check", "metrics"]).stdin(input).output().unwrap();
    assert!(said.status.success() && said.stdout.is_empty() && said.stderr.is_empty(), "{said:?}");
    let status = process.terminate(&lab, secs(5));
    assert!(status.success(), "{status}");
}

/// Features whose distribution the model does not promise, and why.
const NOT_PROMISED: &[(&str, &str)] = &[
    ("cpu_millicores", "what a question costs is the machine's"),
    ("rss_max_bytes", "Go's heap is the machine's and the version's"),
    ("latency_mean_ms", "rare pauses of a busy machine make a mean of fast answers"),
    ("health_latency_mean_ms", "pauses of a busy machine, again"),
];

/// Days of less than two minutes, without an injection.
const CALM: &str = "seed: 8\nreplicas: 2\nwarm_up: 15s\nload: {qps: 120, day: 100s, swing: 0.3}\n";

#[test]
fn a_simulated_good_day_has_the_features_of_a_real_one() {
    let lab = Lab::new("simulate_calm");
    let calm = config::parse_scenario("calm", &format!("duration: 100s\n{CALM}")).unwrap();
    let real = fault_lab::run(&calm, &AtomicBool::new(false)).unwrap();
    // Several such days cost nothing.
    let file = lab.write("days.yml", format!("duration: 10m\n{CALM}"));
    let simulated = played(&lab, &file);
    let mut wrong = Vec::new();
    for feature in features() {
        let [a, b] = [&real, &simulated].map(|recording| rows_of(recording, &feature, None));
        let (distance, apart) = compare(&a, &b);
        let name = &feature.name;
        lab.step(&format!("{name}: distance {distance:.2}, medians {apart:.2} floors apart"));
        if is_promised(name) && distance > 0.5 && apart > 1.0 {
            wrong.push(format!("{name}: distance {distance:.2}, {apart:.2} floors"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_simulated_fault_moves_what_a_real_one_moves() {
    let lab = Lab::new("simulate_faults");
    let real = faults::short();
    let simulated = played(&lab, &repository().join(faults::SHORT));
    let mut wrong = Vec::new();
    let mut n_clear = 0;
    for feature in features().into_iter().filter(|feature| is_promised(&feature.name)) {
        for injection in &real.scenario.injections {
            let effect = [real, &simulated].map(|recording| {
                let part = |during| mean(&rows_of(recording, &feature, during));
                part(Some(injection)) - part(None)
            });
            let (name, class) = (&feature.name, injection.class.name);
            if effect[0].abs() > CLEAR {
                n_clear += 1;
                lab.step(&format!("{class}: {name} by {effect:.1?} floors"));
            }
            if effect[0].abs() > CLEAR && !(0.25..4.0).contains(&(effect[1] / effect[0])) {
                wrong.push(format!("{class} moves {name} by {effect:.1?} floors"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(n_clear >= 10, "{n_clear}");
}

fn features() -> Vec<Feature> {
    Preset::named("coredns").and_then(|preset| preset.watch()).unwrap().features
}

fn is_promised(feature: &str) -> bool {
    NOT_PROMISED.iter().all(|(name, _)| *name != feature)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// What an injection moves by more than so many floors it moves for certain.
const CLEAR: f64 = 6.0;

/// A feature's known values in floors: of the rows without an injection, or of an injection's rows whose rates see
/// little else.
fn rows_of(recording: &Recording, feature: &Feature, during: Option<&Injection>) -> Vec<f64> {
    let Recording { scenario, start_s, .. } = recording;
    let labels = scenario.labels(*start_s);
    let wanted = |t_s: i64| match during {
        Some(injection) => {
            let from_s = start_s + injection.at_s + 4;
            (from_s..start_s + injection.end_s() + 2).contains(&t_s)
        }
        None => labels.iter().all(|label| t_s < label.from_s || label.to_s <= t_s),
    };
    let scale = |value: f64| match feature.scale.transform {
        Transform::Log1p => value.ln_1p() / feature.scale.floor,
        Transform::Identity => value / feature.scale.floor,
    };
    let column = recording.column(0, &feature.name).into_iter().enumerate();
    let known = column
        .filter(|(i, value)| value.is_finite() && wanted(start_s + scenario.step_s * *i as i64));
    known.map(|(_, value)| scale(value)).collect()
}

/// Kolmogorov and Smirnov's distance, and how far apart the medians are.
fn compare(a: &[f64], b: &[f64]) -> (f64, f64) {
    if a.is_empty() || b.is_empty() {
        // Where the one has no value, the other must have none.
        return if a.is_empty() && b.is_empty() { (0.0, 0.0) } else { (1.0, f64::INFINITY) };
    }
    let below = |values: &[f64], x: f64| {
        values.iter().filter(|value| **value <= x).count() as f64 / values.len() as f64
    };
    let distance = a.iter().chain(b).map(|x| (below(a, *x) - below(b, *x)).abs());
    let median = |values: &[f64]| {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    };
    (distance.fold(0.0, f64::max), (median(a) - median(b)).abs())
}

/// A scenario's features as a Prometheus has them that was given its simulated history.
fn played(lab: &Lab, file: &Path) -> Recording {
    let scenario = config::load_simulation(file).unwrap();
    let config = prometheus::Config { history: Some(simulated(lab, file)), ..Default::default() };
    let prometheus = Prometheus::start(lab, &config);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let asked = runtime.block_on(record::history(&scenario, &prometheus.url(), START_S));
    let (features, rows, problems) = asked.unwrap();
    assert_eq!(problems, [""; 0]);
    let (scrapes, seen, upstream_asked) = (Vec::new(), Default::default(), 0);
    Recording {
        scenario,
        start_s: START_S,
        features,
        rows,
        scrapes,
        seen,
        upstream_asked,
        problems,
    }
}

#[test]
fn a_folder_has_files_that_become_blocks_and_says_what_was_injected() {
    let lab = Lab::new("simulate_folder");
    let scenario = lab.write(
        "day.yml",
        "duration: 12h\nscrape_interval: 1m\nrows: {step: 1m, rate_window: 4m}\nreplicas: 1\n\
         load: {qps: 5, day: 6h}\nports: true\n\
         injections: [{at: 1h, for: 10m, class: benign_reload, every: 6h}, {at: 2h, for: 20m, class: query_flood}]\n",
    );
    let folder = lab.folder("history");
    let (from, to) = (scenario.display().to_string(), folder.display().to_string());
    let said = portent(&["simulate", &from, "--start", "2026-10-01T00:00:00Z", "--output", &to]);
    assert!(said.contains("promtool tsdb create-blocks-from"), "{said}");
    let data = lab.folder("data");
    let mut files: Vec<_> =
        std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let histories = files.iter().filter(|file| file.extension().is_some_and(|e| e == "om"));
    for file in histories.clone() {
        let promtool = debian("promtool", "prometheus");
        let create = ["tsdb", "create-blocks-from", "--max-block-duration=6h", "openmetrics"];
        let create = create.map(String::from).into_iter();
        run(&promtool, create.chain([file.display().to_string(), data.display().to_string()]));
    }
    // Twelve hours, and the last row's scrapes.
    assert_eq!(histories.count(), 3);
    let labels = std::fs::read_to_string(folder.join("day-labels.csv")).unwrap();
    assert_eq!(labels.lines().count(), 1 + 3, "{labels}");
    let card = std::fs::read_to_string(folder.join("day.json")).unwrap();
    let card: serde_json::Value = serde_json::from_str(&card).unwrap();
    assert_eq!(card["made_by"], "portent simulate");
    let scenario = config::load_simulation(&scenario).unwrap();
    assert_eq!(card["injected"].as_array().map(Vec::len), Some(scenario.injections.len()));
    // `dump` asks for the folder of a log that only a running Prometheus has.
    std::fs::create_dir_all(data.join("wal")).unwrap();
    let dumped = run(
        &debian("promtool", "prometheus"),
        [
            "tsdb".into(),
            "dump".into(),
            "--match={__name__=\"ifHCInOctets\"}".into(),
            data.display().to_string(),
        ],
    );
    assert!(dumped.lines().count() > 6 * 600, "{}", dumped.lines().count());
}

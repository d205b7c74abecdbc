//! `portent collect` on a real Prometheus: parts, tables and a card, from runs that were killed and runs that were not.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::fs::File;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;
use std::time::Duration;

use parquet::file::reader::FileReader;
use parquet::file::serialized_reader::SerializedFileReader;
use parquet::record::Field;
use parquet::record::Row;
use portent::series::Entity;
use portent::store::Store;
use portent::verdict::Interval;
use portent::verdict::Label;
use portent::verdict::Verdict;
use serde_json::Value;

use crate::lab::Lab;
use crate::lab::now_s;
use crate::lab::portent::portent;
use crate::lab::prometheus;
use crate::lab::prometheus::Prometheus;

const BINARY: &str = env!("CARGO_BIN_EXE_portent");

/// Six hours of rows, a second apart: eight parts.
const HOURS: i64 = 6;
const MINUTES: i64 = HOURS * 60;

/// Minutes in which `dns` has errors.
const BAD: [(i64, i64); 3] = [(60, 75), (230, 245), (320, 335)];

struct Scene {
    lab: Lab,
    prometheus: Prometheus,
    start_s: i64,
}

impl Scene {
    fn new(test: &str) -> Scene {
        let lab = Lab::new(test);
        let start_s = now_s() / 60 * 60 - MINUTES * 60 - 600;
        let mut history = String::new();
        for job in ["dns", "web"] {
            for i in 0..MINUTES * 4 {
                let (time_s, minute) = (start_s + 15 * i, i / 4);
                // Nobody scrapes `web` for half an hour: five minutes later it is a gap, in less than a part.
                if job == "web" && (100..130).contains(&minute) {
                    continue;
                }
                let load = 100 + (time_s * 7_919 + time_s / 7 * 31) % 11;
                writeln!(history, "load{{job=\"{job}\"}} {load}.25 {time_s}").unwrap();
            }
        }
        for i in 0..MINUTES * 4 {
            let is_bad = BAD.iter().any(|(from, to)| (*from..*to).contains(&(i / 4)));
            let errors = if is_bad { 40 + i % 3 } else { i % 3 };
            writeln!(history, "errors{{job=\"dns\"}} {errors} {}", start_s + 15 * i).unwrap();
        }
        let history = Some(history + "# EOF\n");
        let told = prometheus::Config { history, ..prometheus::Config::default() };
        let prometheus = Prometheus::start(&lab, &told);
        let rules = "groups:\n- name: g\n  rules:\n  - {alert: Errors, expr: 'errors > 5', for: 2m, \
                     labels: {anomaly_class: 'upstream, slow'}}\n  - {alert: Watchdog, expr: vector(1)}\n";
        lab.write("rules.yml", rules);
        let faults = format!(
            "from,to,class,verdict,injected,strength\n{},{},nxdomain,anomaly,nxdomain,0.5\n{},{},,normal,reload,1\n",
            start_s + 320 * 60,
            start_s + 335 * 60,
            start_s + 200 * 60,
            start_s + 205 * 60,
        );
        lab.write("dns-labels.csv", faults);
        let scene = Scene { lab, prometheus, start_s };
        scene.configure("portent.yml", "errors");
        let store = Store::open(&scene.lab.path("store")).unwrap();
        store.add_label(&scene.person(230, 240), None).unwrap();
        scene
    }

    /// What a person said of some minutes.
    fn person(&self, from: i64, to: i64) -> Label {
        let interval = Interval { from_s: self.time(from), to_s: self.time(to) };
        Label {
            watch: "dns".into(),
            entity: Entity::new([("job", "dns")]),
            interval,
            verdict: Verdict::Anomaly,
            class: Some("loop".into()),
            author: Some("ann".into()),
            note: None,
            source: "cli".into(),
            created_s: now_s(),
        }
    }

    fn time(&self, minute: i64) -> i64 {
        self.start_s + 60 * minute
    }

    fn configure(&self, file: &str, errors: &str) -> PathBuf {
        let text = format!(
            "source: {{prometheus: {{url: '{}'}}}}\nstore: {{path: store}}\nwatches:\n  - name: dns\n    \
             entity: [job]\n    step: 1s\n    lag: 0s\n    detectors: [seasonal_median]\n    \
             queries: {{load: load, errors: {errors}}}\n    weak_labels: [rules.yml]\n",
            self.prometheus.url(),
        );
        self.lab.write(file, text)
    }

    fn command(&self, output: &str, config: &str) -> Command {
        let mut command = Command::new(BINARY);
        command.args(["collect", "--config.file", self.lab.path(config).to_str().unwrap()]);
        command.args([
            "--from",
            &self.time(0).to_string(),
            "--to",
            &self.time(MINUTES).to_string(),
        ]);
        command.args(["--output", self.lab.path(output).to_str().unwrap()]);
        command.args(["--labels", self.lab.path("dns-labels.csv").to_str().unwrap()]);
        command
    }

    fn run(&self, output: &str) -> Output {
        self.command(output, "portent.yml").output().unwrap()
    }

    fn folder(&self, output: &str) -> PathBuf {
        self.lab.path(output).join("dns")
    }

    /// All rows of all parts, in their order.
    fn rows(&self, output: &str) -> Vec<Value> {
        let mut rows = Vec::new();
        for part in parts(&self.folder(output)) {
            let reader = SerializedFileReader::new(File::open(part).unwrap()).unwrap();
            rows.extend(reader.get_row_iter(None).unwrap().map(|row| as_json(row.unwrap())));
        }
        rows
    }
}

fn as_json(row: Row) -> Value {
    let cell = |field: Field| match field {
        Field::Null => Value::Null,
        Field::Long(number) => number.into(),
        Field::Double(number) => number.into(),
        Field::Str(text) => text.into(),
        other => panic!("{other:?}"),
    };
    row.into_columns().into_iter().map(|(name, field)| (name, cell(field))).collect()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn out(output: &Output) -> String {
    assert!(output.status.success(), "{}", err(output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn parts(folder: &Path) -> Vec<PathBuf> {
    let mut parts: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    parts.retain(|path| path.file_name().unwrap().to_str().unwrap().starts_with("part-"));
    parts.sort();
    parts
}

/// Names and bytes of all files.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_string();
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.map(|path| (name(&path), fs::read(&path).unwrap())).collect()
}

#[test]
fn history_becomes_parts_tables_and_a_card() {
    let scene = Scene::new("collect");
    let told = out(&scene.run("set"));
    assert!(told.contains("2 entities") && told.contains("README.md"), "{told}");
    the_parts_hold_each_row_once(&scene);
    the_rows_have_the_words_of_their_time(&scene);
    the_card_says_what_is_there(&scene);
    the_commands_read_the_tables(&scene);
}

fn the_parts_hold_each_row_once(scene: &Scene) {
    let rows = scene.rows("set");
    let columns: Vec<&str> = rows[0].as_object().unwrap().keys().map(String::as_str).collect();
    let mut wanted = vec![
        "t",
        "job",
        "load",
        "errors",
        "weak_class",
        "weak_state",
        "verdict",
        "class",
        "injected_class",
        "injected_strength",
    ];
    wanted.sort_unstable();
    assert_eq!(columns, wanted);
    let keys: Vec<(i64, &str)> =
        rows.iter().map(|row| (row["t"].as_i64().unwrap(), row["job"].as_str().unwrap())).collect();
    assert_eq!(keys.iter().filter(|(_, job)| *job == "dns").count(), 3_600 * HOURS as usize);
    let times: Vec<i64> = keys.iter().filter(|(_, job)| *job == "dns").map(|(t, _)| *t).collect();
    assert!(times.windows(2).all(|pair| pair[1] == pair[0] + 1), "each second once, in order");
}

fn the_rows_have_the_words_of_their_time(scene: &Scene) {
    let rows = scene.rows("set");
    let at = |job: &str, minute: i64| {
        let of = |row: &&Value| row["job"] == job && row["t"] == scene.time(minute);
        rows.iter().find(of).unwrap_or_else(|| panic!("{job} {minute}"))
    };
    let quiet = at("dns", 30);
    assert!(quiet["load"].as_f64().unwrap().fract() == 0.25, "{quiet}");
    for name in ["weak_class", "weak_state", "verdict", "class", "injected_class"] {
        assert!(quiet[name].is_null(), "{quiet}");
    }
    let words = |row: &Value| {
        ["weak_state", "weak_class", "verdict", "class", "injected_class", "injected_strength"]
            .map(|name| row[name].as_str().unwrap_or("-").to_string())
    };
    assert_eq!(words(at("dns", 61)), ["pending", "-", "-", "-", "-", "-"]);
    assert_eq!(words(at("dns", 64)), ["firing", "upstream, slow", "-", "-", "-", "-"]);
    assert_eq!(words(at("dns", 202)), ["-", "-", "-", "-", "reload", "1"]);
    assert_eq!(words(at("dns", 235)), ["firing", "upstream, slow", "anomaly", "loop", "-", "-"]);
    assert_eq!(words(at("dns", 330)), ["firing", "upstream, slow", "-", "-", "nxdomain", "0.5"]);
    assert_eq!(words(at("web", 64)), ["-"; 6], "the rule speaks of another job");
    assert!(at("web", 30)["errors"].is_null() && at("web", 120)["load"].is_null());
}

fn the_card_says_what_is_there(scene: &Scene) {
    let folder = scene.folder("set");
    let card: Value = serde_json::from_slice(&fs::read(folder.join("card.json")).unwrap()).unwrap();
    assert_eq!(card["from"], portent::verdict::rfc3339(scene.time(0)));
    assert!(card["versions"]["prometheus"].as_str().unwrap().starts_with("2."), "{card:#}");
    let column = |name: &str| {
        card["columns"].as_array().unwrap().iter().find(|c| c["name"] == name).unwrap()
    };
    assert_eq!(
        (column("t")["unit"].as_str(), column("errors")["query"].as_str()),
        (Some("unix seconds"), Some("errors"))
    );
    let [least, mean, most] =
        [0, 1, 2].map(|i| column("load")["min_mean_max"][i].as_f64().unwrap());
    assert!(least == 100.25 && most == 110.25 && (104.0..107.0).contains(&mean), "{card:#}");
    let label = |who: &str, what: &str| {
        let all = card["labels"].as_array().unwrap().iter();
        all.clone().find(|l| l["who"] == who && l["what"] == what).unwrap()
    };
    let firing = label("rules", "firing");
    assert_eq!((&firing["intervals"], &firing["class"]), (&3.into(), &"upstream, slow".into()));
    let hours = |label: &Value| label["hours"].as_f64().unwrap();
    assert!((0.6..1.0).contains(&hours(firing)), "three quarters of an hour: {firing}");
    assert!((hours(label("people", "anomaly")) - 1.0 / 6.0).abs() < 1e-9);
    assert!((hours(label("injected", "anomaly")) - 0.5).abs() < 1e-9, "of both entities");
    let problems = card["problems"].to_string();
    assert!(problems.contains("Watchdog") && problems.contains("it labels nothing"), "{problems}");
    for file in card["files"].as_array().unwrap() {
        let bytes = fs::metadata(folder.join(file["name"].as_str().unwrap())).unwrap().len();
        assert_eq!(file["bytes"], bytes, "{file}");
    }
    let readme = fs::read_to_string(folder.join("README.md")).unwrap();
    assert!(readme.contains("| injected | anomaly | nxdomain | 0.5 | 2 | 0.50 |"), "{readme}");
    assert!(readme.contains("| `errors` | double | as its query gives | "), "{readme}");
}

fn the_commands_read_the_tables(scene: &Scene) {
    let folder = scene.folder("set");
    let table = fs::read_to_string(folder.join("dns.csv")).unwrap();
    assert!(table.starts_with("t,errors,load\n"), "{}", &table[..60]);
    assert_eq!(table.lines().count(), 1 + 3_600 * HOURS as usize);
    let paths = ["dns.csv", "dns-labels.csv"].map(|name| folder.join(name).display().to_string());
    let labels = fs::read_to_string(&paths[1]).unwrap();
    assert!(labels.contains(",\"upstream, slow\",anomaly,rules,,\n"), "{labels}");
    assert!(labels.contains(",nxdomain,anomaly,injected,nxdomain,0.5\n"), "{labels}");
    assert!(labels.contains(",,normal,injected,reload,1\n"), "{labels}");
    let judged = portent(&[
        "evaluate",
        &paths[0],
        "--labels",
        &paths[1],
        "--detectors=pca",
        "--split=50/25/25",
        "--apart=1m",
    ]);
    assert!(judged.contains("nxdomain") && judged.contains("winner: pca"), "{judged}");
}

#[test]
fn a_run_that_was_killed_goes_on_to_the_same_bytes() {
    let scene = Scene::new("collect_killed");
    out(&scene.run("whole"));
    let whole = files(&scene.folder("whole"));
    let n_parts = parts(&scene.folder("whole")).len();
    assert!((6..=9).contains(&n_parts), "{n_parts}");

    for n in [1, 3] {
        let output = format!("killed{n}");
        let mut command = scene.command(&output, "portent.yml");
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // Not ten times a second, as the lab looks: it is quick.
        while child.try_wait().unwrap().is_none() && parts(&scene.folder(&output)).len() < n {
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!scene.folder(&output).join("card.json").exists(), "it was killed too late");
        if n == 3 {
            // Said after it was begun: for these rows that is too late.
            let store = Store::open(&scene.lab.path("store")).unwrap();
            store.add_label(&scene.person(10, 20), None).unwrap();
        }
        out(&scene.run(&output));
        let found = files(&scene.folder(&output));
        assert_eq!(found.keys().collect::<Vec<_>>(), whole.keys().collect::<Vec<_>>());
        let differ = whole.iter().find(|(name, bytes)| found[*name] != **bytes);
        assert_eq!(differ.map(|(name, _)| name), None);
    }

    // What is there is not asked for again: there is nobody to ask.
    scene.prometheus.stop(&scene.lab);
    let folder = scene.folder("whole");
    for file in ["card.json", "README.md", "web.csv"] {
        fs::remove_file(folder.join(file)).unwrap();
    }
    fs::write(folder.join(".dns.csv.tmp"), "half").unwrap();
    out(&scene.run("whole"));
    assert_eq!(files(&folder), whole);
    assert!(out(&scene.run("whole")).contains("was whole before"));

    let wrong = |command: &mut Command, wanted: &str| {
        let output = command.output().unwrap();
        assert!(!output.status.success() && err(&output).contains(wanted), "{}", err(&output));
    };
    scene.configure("other.yml", "errors * 2");
    let other =
        "was begun with other queries (errors); wanted the same configuration, or another --output";
    wrong(&mut scene.command("whole", "other.yml"), other);
    let mut later = scene.command("whole", "portent.yml");
    wrong(later.args(["--watch", "nobody"]), "no watch is named \"nobody\"; there are: dns");
    let mut earlier = Command::new(BINARY);
    earlier.args(["collect", "--config.file", scene.lab.path("portent.yml").to_str().unwrap()]);
    earlier.args(["--from", "-2h", "--output", scene.lab.path("whole").to_str().unwrap()]);
    wrong(&mut earlier, "was begun with other --labels");
    earlier.args(["--labels", scene.lab.path("dns-labels.csv").to_str().unwrap()]);
    wrong(&mut earlier, "that it was begun with, or another --output");

    let mut nobody = scene.command("nobody", "portent.yml");
    wrong(&mut nobody, "the same command goes on from there");
}

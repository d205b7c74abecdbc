//! `portent models`: versions shown, put in use beside a running sidecar, taken back, handed around as files.

use std::fmt::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;
use std::time::Duration;

use portent::store::ModelState;
use portent::store::Store;
use serde_json::Value;

use crate::lab::Lab;
use crate::lab::free_port;
use crate::lab::now_s;
use crate::lab::portent::Portent;
use crate::lab::secs;

mod back;

const BINARY: &str = env!("CARGO_BIN_EXE_portent");
const STEP_S: i64 = 60;
const OF_WATCH: [&str; 2] = ["--watch=w", "--entity=file=x.csv"];

/// Three hours of one column up to now, watched by one detector; scores are due once a day only.
fn scene(lab: &Lab) -> String {
    let mut rows = String::from("t,x\n");
    let newest_s = now_s() / STEP_S * STEP_S;
    // A minute may end while a test runs: its row is there then.
    for time_s in (newest_s - 3 * 3_600..=newest_s + 600).step_by(STEP_S as usize) {
        writeln!(rows, "{time_s},{}", 100 + time_s / STEP_S * 7_919 % 101).unwrap();
    }
    lab.write("x.csv", rows);
    config(lab, "portent.yml", "store", "[seasonal_median]")
}

fn config(lab: &Lab, name: &str, store: &str, detectors: &str) -> String {
    let text = format!(
        "source: {{csv: {{file: x.csv}}}}\nstore: {{path: {store}}}\nwatches:\n  - name: w\n    \
         queries: {{x: x}}\n    step: {STEP_S}s\n    lag: 0s\n    detectors: {detectors}\n    \
         train: {{every: 1d, history: 4h, min_history: 1h}}\n    score: {{every: 1d}}\n"
    );
    format!("--config.file={}", lab.write(name, text).display())
}

fn portent(args: &[&str]) -> Output {
    Command::new(BINARY).args(args).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// What a command says that succeeds.
fn done(args: &[&str]) -> String {
    let output = portent(args);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", said(&output));
    said(&output)
}

fn models(verb: &str, config: &str, more: &[&str]) -> Output {
    portent(&[&["models", verb, config][..], more].concat())
}

fn fails(verb: &str, config: &str, more: &[&str], wanted: &str) {
    let output = models(verb, config, more);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(1), "{verb} {more:?}: {said}");
    assert!(said.contains(wanted), "{verb} {more:?}: {said}");
}

/// Version and state of each, oldest first.
fn versions(lab: &Lab, store: &str) -> Vec<(i64, ModelState)> {
    let rows = Store::open_to_read(&lab.path(store)).unwrap().models(None).unwrap();
    rows.into_iter().map(|row| (row.version, row.state)).collect()
}

fn in_use(lab: &Lab, store: &str) -> Vec<i64> {
    let promoted = |(version, state)| (state == ModelState::Promoted).then_some(version);
    versions(lab, store).into_iter().filter_map(promoted).collect()
}

#[test]
fn a_sidecar_takes_up_what_a_person_puts_in_use_and_trainings_leave_it() {
    let lab = Lab::new("models_promote");
    let config = scene(&lab);
    done(&["train", &config]);
    done(&["train", &config]);
    assert_eq!(in_use(&lab, "store"), [2]);
    let mut portent = Portent::serve(&lab, "portent", free_port(), &[&config]);
    let scores = |portent: &Portent, version: &str| {
        let facts = [("watch", "w"), ("version", version)];
        let model = portent.metrics().sum("portent_model_info", &facts) == 1.0;
        (model && portent.score("w").is_some()).then_some(())
    };
    lab.until("version 2 scores", secs(30), || scores(&portent, "2"));

    let why = ["--author=ann", "--note=too nervous"];
    let output = models("rollback", &config, &[&OF_WATCH[..], &why].concat());
    let text = said(&output);
    assert!(
        text.contains(
            "w/seasonal_median/x{file=x.csv}: version 1 is in use instead of 2, held until"
        ),
        "{text}"
    );
    lab.until("version 1 scores", secs(30), || scores(&portent, "1"));
    let shown = done(&["models", "show", &config, "--version=1"]);
    assert!(shown.contains("state      promoted, held until 2"), "{shown}");
    let shown = done(&["models", "show", &config, "--version=1", "--format=json"]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert!(shown[0]["hold_until_s"].as_i64() > Some(now_s()), "{shown}");
    let log = std::fs::read_to_string(lab.path("portent.log")).unwrap();
    assert!(
        log.contains("taken up") && log.contains("put back in use by ann (too nervous)"),
        "{log}"
    );
    let reason = "version 1 was put back in use by ann (too nervous) instead".to_string();
    assert_eq!(versions(&lab, "store")[1], (2, ModelState::Rejected { reason }));

    // A label, a new day: what is trained next waits until the week is over.
    let table = done(&["train", &config]);
    assert!(table.contains("rejected") && table.contains("and is held until"), "{table}");
    assert_eq!(in_use(&lab, "store"), [1]);
    portent.kill_and_start_again(&lab);
    lab.until("version 1 scores after kill -9", secs(30), || scores(&portent, "1"));

    let hold = ["--version=3", "--hold=0s"];
    done(&[&["models", "promote", &config][..], &OF_WATCH, &hold].concat());
    lab.until("version 3 scores", secs(30), || scores(&portent, "3"));
    done(&["train", &config]);
    assert_eq!(in_use(&lab, "store"), [4], "nobody asked to hold 3");
    portent.terminate(&lab);

    let shown = done(&["models", "show", &config, "--version=1", "--format=json"]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown[0]["words"][0]["note"], "too nervous");
    assert_eq!(
        (&shown[0]["card"]["features"][0], &shown[0]["problem"]),
        (&"x".into(), &Value::Null)
    );
    let shown = done(&["models", "show", &config]);
    assert!(shown.contains("version 4\n  state      promoted\n"), "{shown}");
}

#[test]
fn what_is_meant_must_be_said_and_must_score() {
    let lab = Lab::new("models_refused");
    let config_flag = scene(&lab);
    done(&["train", &config_flag]);
    fails("rollback", &config_flag, &OF_WATCH, "no version to go back to");
    fails("rollback", &config_flag, &["--watch=w"], "--entity: wanted the entity");
    fails("rollback", &config_flag, &["--all"], "--watch: wanted the watch");
    let of = |more: &'static str| [&OF_WATCH[..], &[more]].concat();
    fails("promote", &config_flag, &of("--version=7"), "there is no version 7");
    fails("promote", &config_flag, &["--watch=v", "--all", "--version=1"], "no such model");
    // A version of other settings, and one whose bytes a disk has changed.
    let other = config(&lab, "other.yml", "store", "[{seasonal_median: {mean_of: 3}}]");
    done(&["train", &other]);
    fails("promote", &config_flag, &of("--version=2"), "made with other settings");
    done(&["train", &config_flag]);
    let before = versions(&lab, "store");
    let file = rusqlite::Connection::open(lab.path("store/portent.db")).unwrap();
    file.execute("UPDATE model SET bytes = x'00' WHERE version = 1", []).unwrap();
    fails("promote", &config_flag, &of("--version=1"), "not those that were stored");
    assert_eq!(versions(&lab, "store"), before);
}

#[test]
fn killed_amid_its_work_one_version_is_in_use_and_what_was_said_is_kept() {
    let lab = Lab::new("models_killed");
    let config = scene(&lab);
    done(&["train", &config]);
    done(&["train", &config]);
    for round in 0..20_u64 {
        let version = format!("--version={}", 1 + round % 2);
        let mut child = Command::new(BINARY)
            .args(["models", "promote", &config, &version])
            .args(OF_WATCH)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(3 * round));
        child.kill().unwrap();
        let told = child.wait_with_output().unwrap();
        let promoted = in_use(&lab, "store");
        assert_eq!(promoted.len(), 1, "round {round}");
        if said(&told).contains("is in use") {
            assert_eq!(promoted, [1 + round as i64 % 2], "round {round}: it had said so");
        }
    }
}

/// A store of the same watch elsewhere, with a model of its own.
fn elsewhere(lab: &Lab) -> String {
    let config = config(lab, "elsewhere.yml", "elsewhere", "[seasonal_median]");
    done(&["train", &config]);
    config
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|of| of == extension)).collect();
    paths.sort();
    paths
}

#[test]
fn a_model_goes_from_one_store_to_another_and_stays() {
    let lab = Lab::new("models_files");
    let (here, there) = (scene(&lab), elsewhere(&lab));
    done(&["train", &here]);
    let folder = lab.path("out");
    let output = format!("--output={}", folder.display());
    done(&["models", "export", &here, &output]);
    let (cards, bytes) = (files(&folder, "json"), files(&folder, "model"));
    assert_eq!((cards.len(), bytes.len()), (1, 1));
    let out = folder.to_str().unwrap();
    // As trained from the same rows here and there, the bytes may be the same: another threshold is not.
    let text = done(&["models", "import", &there, out, "--promote", "--author=ben"]);
    let known = in_use(&lab, "elsewhere");
    assert!(text.contains("version") && known.len() == 1, "{text}");
    let again = done(&["models", "import", &there, out]);
    assert!(again.contains("already there, of the same bytes"), "{again}");
    done(&["train", &there]);
    assert_eq!(in_use(&lab, "elsewhere"), known, "held");
    let newer = format!("--version={}", known[0] + 1);
    done(&[&["models", "promote", &there, &newer, "--hold=0s"][..], &OF_WATCH].concat());
    for _ in 0..7 {
        done(&["train", &there]);
    }
    let kept: Vec<i64> = versions(&lab, "elsewhere").iter().map(|(version, _)| *version).collect();
    assert!(
        kept.contains(&known[0]) && kept.len() == 7,
        "2 of a person and the newest 5: {kept:?}"
    );
    // And back out again, byte for byte.
    let back = lab.path("back");
    let output = format!("--output={}", back.display());
    done(&["models", "export", &there, &output, &format!("--version={}", known[0])]);
    let read = |path: &Path| std::fs::read(path).unwrap();
    assert_eq!(read(&files(&back, "model")[0]), read(&bytes[0]));
    let renamed = ["--entity=file=y.csv"];
    let text = said(&models("import", &there, &[&[out][..], &renamed].concat()));
    assert!(text.contains("w/seasonal_median/x{file=y.csv}: version 1 imported"), "{text}");
}

/// A card and a model as somebody may have changed them, beside a store that they are meant for.
struct Hostile {
    folder: PathBuf,
    config: String,
    card: String,
    model: Vec<u8>,
}

impl Hostile {
    fn new(lab: &Lab) -> Hostile {
        let (here, config) = (scene(lab), elsewhere(lab));
        done(&["train", &here]);
        done(&["models", "export", &here, &format!("--output={}", lab.path("out").display())]);
        let card = std::fs::read_to_string(&files(&lab.path("out"), "json")[0]).unwrap();
        let model = std::fs::read(&files(&lab.path("out"), "model")[0]).unwrap();
        Hostile { folder: lab.folder("hostile"), config, card, model }
    }

    fn refused(&self, card: &str, model: &[u8], wanted: &str) {
        std::fs::write(self.folder.join("a.json"), card).unwrap();
        std::fs::write(self.folder.join("a.model"), model).unwrap();
        let output = models("import", &self.config, &[self.folder.to_str().unwrap(), "--promote"]);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(wanted) && !said.contains("panicked"), "wanted {wanted}: {said}");
    }

    /// A card that names these bytes by their own hash, since anybody can write that.
    fn signed(&self, model: &[u8]) -> Value {
        let mut card: Value = serde_json::from_str(&self.card).unwrap();
        card["file"] = "a.model".into();
        card["sha256"] = portent::model::sha256(model).into();
        card
    }

    fn model_refused(&self, model: &[u8], wanted: &str) {
        self.refused(&self.signed(model).to_string(), model, wanted);
    }

    fn card_refused(&self, name: &str, value: Value, wanted: &str) {
        let mut card = self.signed(&self.model);
        card[name] = value;
        self.refused(&card.to_string(), &self.model, wanted);
    }

    /// The model with another value in its header.
    fn saying(&self, name: &str, value: Value) -> Vec<u8> {
        let (mut header, numbers) = self.parts();
        header[name] = value;
        let text = header.to_string();
        [&(text.len() as u64).to_le_bytes()[..], text.as_bytes(), numbers].concat()
    }

    fn parts(&self) -> (Value, &[u8]) {
        let length = u64::from_le_bytes(self.model[..8].try_into().unwrap()) as usize;
        let (header, numbers) = self.model[8..].split_at(length);
        (serde_json::from_slice(header).unwrap(), numbers)
    }
}

#[test]
fn hostile_files_are_refused_and_change_nothing() {
    let lab = Lab::new("models_hostile");
    let hostile = Hostile::new(&lab);
    let before = versions(&lab, "elsewhere");
    let model = &hostile.model;
    hostile.refused("", model, "not a card");
    hostile.refused("{}", model, "not a card");
    hostile.refused(&"[".repeat(1 << 16), model, "not a card");
    hostile.refused(&"x".repeat((1 << 20) + 1), model, "too long");
    for path in ["../../etc/passwd", "/etc/passwd", "..", ""] {
        hostile.card_refused("file", path.into(), "wanted the name of a file beside");
    }
    for time_s in [i64::MAX, i64::MIN, -1] {
        hostile.card_refused("trained_s", time_s.into(), "wanted a time that has passed");
    }
    hostile.card_refused("sha256", "00".into(), "not those that were stored");
    hostile.card_refused("watch", "nobody".into(), "no watch is named \"nobody\"");
    hostile.card_refused("entity", serde_json::json!({"pod": "a"}), "no entity label \"pod\"");
    hostile.card_refused("detector", "stl".into(), "no such detector");
    hostile.card_refused("feature", Value::Null, "no such feature");
    hostile.card_refused("extra", 1.into(), "unknown field");
    for to in (0..model.len()).step_by(model.len() / 12) {
        hostile.model_refused(&model[..to], "not a portent model");
    }
    assert_eq!(versions(&lab, "elsewhere"), before);
    assert_eq!(files(&hostile.folder, "json").len(), 1, "the files are as they were");
}

#[test]
fn a_header_is_taken_at_its_word_in_nothing_that_costs() {
    let lab = Lab::new("models_headers");
    let hostile = Hostile::new(&lab);
    let before = versions(&lab, "elsewhere");
    let lies = [
        ("step_s", i64::MAX.into(), "its step is 9223372036854775807s, wanted"),
        ("n_rows", u64::MAX.into(), "rows): it would not score"),
        ("n_rows", 2_000_000_000_u64.into(), "it says that it learnt from 2000000000 rows"),
        ("features", serde_json::json!(["y"]), "it lacks"),
        ("features", serde_json::json!([]), "it lacks"),
        ("fingerprint", "00".into(), "its queries, page budget or calendar are others"),
    ];
    for (name, value, why) in lies {
        hostile.model_refused(&hostile.saying(name, value), why);
    }
    hostile.model_refused(&hostile.saying("step_s", 0.into()), "rows every 0 s");
    hostile.model_refused(&hostile.saying("step_s", (-60).into()), "rows every -60 s");
    hostile.model_refused(&hostile.saying("format", 9.into()), "wanted 1");
    let other = hostile.saying("detector", serde_json::json!({"stl": {}}));
    hostile.model_refused(&other, "error: ");
    let mut preprocess = hostile.parts().0["preprocess"].clone();
    preprocess["config"]["bucket_s"] = i64::MAX.into();
    hostile.model_refused(&hostile.saying("preprocess", preprocess), "rows for one score, wanted");
    assert_eq!(versions(&lab, "elsewhere"), before);
}

//! The command line as an operator meets it: flags that go together, messages, exit codes.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Output;

use crate::lab::Lab;
use crate::lab::free_port;
use crate::lab::http;
use crate::lab::portent::Portent;
use crate::lab::process::Process;
use crate::lab::secs;

const BINARY: &str = env!("CARGO_BIN_EXE_portent");

fn run(args: &[&str]) -> Output {
    Command::new(BINARY).args(args).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// `serve` with a configuration and a web configuration, as the chart starts it.
fn serve(lab: &Lab, web: &str) -> (Vec<String>, u16) {
    let port = free_port();
    let config = format!(
        "source: {{prometheus: {{url: 'http://127.0.0.1:{}'}}}}\nstore: {{path: '{}'}}\n",
        free_port(),
        lab.path("store").display(),
    );
    let flags = [
        "serve".to_string(),
        format!("--config.file={}", lab.write("portent.yml", config).display()),
        format!("--web.config.file={}", lab.write("web.yml", web).display()),
        format!("--web.listen-address=127.0.0.1:{port}"),
    ];
    (flags.into(), port)
}

#[test]
fn serve_takes_both_files_and_lets_nobody_in_without_a_password() {
    let lab = Lab::new("cli_web_config");
    // bcrypt of "secret", cost 4.
    let hash = "$2y$04$iFXU5cgGr5fI6Yu5tyVkKuaIHFgzWrFqOI2nwPnA0kRY6Bd6eUhUi";
    let (flags, port) = serve(&lab, &format!("basic_auth_users: {{sre: '{hash}'}}\n"));
    let process = Process::start(&lab, "portent", Path::new(BINARY), &flags);
    let url = format!("http://127.0.0.1:{port}/metrics");
    let status = lab.until("an answer", secs(20), || http::get(&url).ok().map(|a| a.status));
    assert_eq!(status, 401);
    assert!(process.terminate(&lab, secs(6)).success());
}

#[test]
fn a_bad_web_configuration_ends_serve_with_its_path() {
    let lab = Lab::new("cli_bad_web_config");
    let (flags, _) = serve(&lab, "basic_auth_userz: {}\n");
    let output = run(&flags.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("web.yml"), "{}", said(&output));
    assert!(said(&output).contains("basic_auth_userz"), "{}", said(&output));
}

#[test]
fn backtest_never_replaces_its_input() {
    let lab = Lab::new("cli_backtest");
    let text = "t,v\n0,1\n60,2\n120,3\n";
    let file = lab.write("traffic.csv", text);
    let file_name = file.to_str().unwrap();
    let output = run(&["backtest", file_name, "--train-rows", "2", "--output", file_name]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("would replace the input"), "{}", said(&output));
    assert_eq!(std::fs::read_to_string(file).unwrap(), text);
}

/// A label's arguments, whatever it says.
const LABEL: [&str; 5] =
    ["--entity=job=a", "--from=-10m", "--to=-5m", "--verdict=normal", "--watch=dns"];

/// An empty store, as a sidecar leaves it.
fn empty_store(lab: &Lab) -> PathBuf {
    let folder = lab.path("store");
    drop(portent::store::Store::open(&folder).unwrap());
    folder
}

#[test]
fn a_mistyped_store_is_not_an_empty_one() {
    let lab = Lab::new("cli_store");
    let folder = lab.path("nothing");
    for command in ["models", "labels"] {
        let output = run(&[command, "list", "--store.path", folder.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1));
        assert!(said(&output).contains("no store of Portent is there"), "{}", said(&output));
    }
    let path = format!("--store.path={}", folder.display());
    let new = [&["labels", "add", &path][..], &LABEL].concat();
    for command in [&new[..], &["labels", "withdraw", "1", &path]] {
        let output = run(command);
        assert_eq!(output.status.code(), Some(1));
        assert!(said(&output).contains("no store of Portent is there"), "{}", said(&output));
    }
    assert!(!folder.exists(), "a command made a store");
}

#[test]
fn a_label_for_a_watch_that_is_not_there_is_refused() {
    let lab = Lab::new("cli_labels");
    let config = "watches: [{name: dns, preset: coredns}]\n";
    let config = lab.write("portent.yml", config);
    let store = empty_store(&lab);
    let label = |watch: &str, entity: &str| {
        let (config, store) = (config.to_str().unwrap(), store.to_str().unwrap());
        run(&[
            "labels",
            "add",
            "--config.file",
            config,
            "--store.path",
            store,
            "--watch",
            watch,
            "--entity",
            entity,
            "--from",
            "-10m",
            "--to",
            "-5m",
            "--verdict",
            "anomaly",
        ])
    };
    let refused = label("nds", "job=coredns");
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("there are: dns"), "{}", said(&refused));
    let refused = label("dns", "pod=coredns-1");
    assert_eq!(refused.status.code(), Some(1));
    let wanted = "entity: watch dns has no entity label \"pod\"; there are: job";
    assert!(said(&refused).contains(wanted), "{}", said(&refused));
    let stored = label("dns", "job=coredns");
    assert!(stored.status.success(), "{}", said(&stored));
    let list = run(&["labels", "list", "--store.path", store.to_str().unwrap()]);
    assert!(String::from_utf8_lossy(&list.stdout).contains("job=coredns"));
}

/// `labels` on a store of its own; what follows `--store.path` is the command's.
fn labels(lab: &Lab, args: &[&str]) -> Output {
    let store = lab.path("store");
    let (command, rest) = args.split_first().unwrap();
    let store = ["--store.path", store.to_str().unwrap(), "--author", "ann"];
    let store = if *command == "list" { &store[..2] } else { &store[..] };
    run(&[&["labels", command], rest, store].concat())
}

/// A new label's arguments; times in unix seconds.
fn saying<'a>(verdict: &'a str, from: &'a str, to: &'a str) -> [&'a str; 11] {
    let entity = "job=coredns";
    ["add", "--watch", "dns", "--entity", entity, "--from", from, "--to", to, "--verdict", verdict]
}

#[test]
fn a_label_is_contradicted_withdrawn_and_said_again() {
    let lab = Lab::new("cli_withdraw");
    empty_store(&lab);
    let printed = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();
    let first = labels(&lab, &saying("anomaly", "1767323045", "1767323345"));
    assert_eq!(printed(&first), "label 1 stored, training requested\n", "{}", said(&first));
    assert_eq!(said(&first), "");
    let second = labels(&lab, &saying("normal", "1767323105", "1767323165"));
    let wanted = "warning: label 2 contradicts \
        label 1 (anomaly 2026-01-02T03:04:05Z..2026-01-02T03:09:05Z, by ann) in \
        2026-01-02T03:05:05Z..2026-01-02T03:06:05Z; the later word holds there\n";
    assert_eq!(said(&second), wanted);
    let list = printed(&labels(&lab, &["list"]));
    assert!(list.contains("contradicted by 2"), "{list}");

    let withdrawn = labels(&lab, &["withdraw", "2", "--note", "the wrong minute"]);
    assert_eq!(printed(&withdrawn), "label 2 withdrawn, training requested\n");
    assert!(said(&withdrawn).starts_with("warning: label 1 (anomaly "), "{}", said(&withdrawn));
    assert!(said(&withdrawn).ends_with("by ann) holds again\n"), "{}", said(&withdrawn));
    let list = printed(&labels(&lab, &["list"]));
    assert!(!list.contains("normal") && !list.contains("contradicted"), "{list}");
    let all = printed(&labels(&lab, &["list", "--all"]));
    assert!(all.contains(" by ann: the wrong minute\n"), "{all}");

    let twice = labels(&lab, &["withdraw", "2"]);
    assert_eq!(printed(&twice), "label 2 withdrawn\n");
    assert!(said(&twice).starts_with("warning: label 2 was withdrawn before, 20"), "{twice:?}");
    let again = labels(&lab, &saying("normal", "1767323105", "1767323165"));
    assert_eq!(printed(&again), "label 3 stored, training requested\n");
    let unknown = labels(&lab, &["withdraw", "99"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(said(&unknown).ends_with("there is no label 99\n"), "{}", said(&unknown));
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let shell = format!(
        "{BINARY} check tests/data/config/good/minimal.yml | true; exit ${{PIPESTATUS[0]}}"
    );
    let output = Command::new("bash").args(["-c", &shell]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn backtest_says_what_is_wrong_before_it_computes() {
    let lab = Lab::new("cli_backtest_early");
    let input = lab.write("traffic.csv", "t,v\n0,1\n60,2\n120,3\n");
    let refused = |rows: &str, out: &Path, wanted: &str| {
        let paths = [input.to_str().unwrap(), out.to_str().unwrap()];
        let output = run(&["backtest", paths[0], "--train-rows", rows, "--output", paths[1]]);
        assert_eq!(output.status.code(), Some(1));
        assert!(said(&output).contains(wanted), "{wanted} is not in {}", said(&output));
    };
    let out = lab.path("out.csv");
    refused("0", &out, "--train-rows: 0; wanted at least 1 row");
    refused("3", &out, "--train-rows: 3; wanted fewer than the 3 rows");
    refused("2", &lab.path("nowhere/out.csv"), "wanted a file in a folder that can be written");
    refused("2", &lab.path(""), "a folder; wanted a file to write");
    let left: Vec<_> = std::fs::read_dir(lab.path("")).unwrap().collect();
    assert_eq!(left.len(), 1, "nothing is left behind: {left:?}");
}

#[test]
fn backtest_as_a_watch_says_what_does_not_fit() {
    let lab = Lab::new("cli_backtest_watch");
    let input = lab.write("traffic.csv", "t,a,b\n0,1,1\n60,2,2\n120,3,3\n");
    let out = lab.path("out.csv");
    let (input, output) = (input.to_str().unwrap(), format!("--output={}", out.display()));
    let watches = "watches: [{name: x, queries: {in: a, c: sum(c)}, step: 1m}, \
        {name: y, queries: {in: a, b: b}, step: 5m}, {name: z, queries: {a: a, b: b}, step: 1m}]";
    let config = lab.write("portent.yml", watches);
    let config = format!("--config.file={}", config.display());
    let refused = |args: &[&str], code: i32, wanted: &str| {
        let output = run(&[&["backtest", &output], args].concat());
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
        assert!(said(&output).contains(wanted), "{wanted} is not in {}", said(&output));
    };
    refused(&[&config, input], 1, "wanted --watch=NAME; there are: x, y, z");
    refused(&[&config, input, "--watch=w"], 1, "no watch is named \"w\"; there are: x, y, z");
    refused(&[&config, "--watch=x"], 1, "no input; wanted a CSV file");
    refused(&[&config, input, "--watch=x"], 1, "no column is named \"c\"");
    refused(&[&config, input, "--watch=y"], 1, "1m apart; wanted the watch's step (5m)");
    refused(&[&config, input, "--watch=z"], 1, "wanted more than the watch's train.min_history");
    refused(&[&config, input, "--watch=z", "--bucket=5m"], 2, "cannot be used with");
    refused(&[input, "--watch=z", "--train-rows=1"], 2, "--config.file");
    refused(&[input], 2, "--train-rows");
    refused(&["--train-rows=1"], 2, "<INPUT>");
    assert!(!out.exists());
}

/// As `run`, by somebody who must keep to the folder's mode: a superuser writes anywhere.
fn run_restrained(args: &[&str]) -> Output {
    let superuser = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    let mut command = Command::new(if superuser { "setpriv" } else { BINARY });
    if superuser {
        command.args(["--bounding-set=-dac_override,-dac_read_search", "--", BINARY]);
    }
    command.args(args).output().unwrap()
}

#[test]
fn a_store_that_cannot_be_written_can_be_listed() {
    let lab = Lab::new("cli_read_only");
    let (folder, copy) = (lab.path("store"), lab.folder("copy"));
    let store = portent::store::Store::open(&folder).unwrap();
    let path = format!("--store.path={}", folder.display());
    let added = run(&[&["labels", "add", &path][..], &LABEL].concat());
    assert!(added.status.success(), "{}", said(&added));
    // While a sidecar has it open there is a log beside it; after that there is none.
    let listed = |folder: &Path| {
        let mode = |mode: u32| {
            let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
            for file in files.collect::<Vec<_>>().iter().map(|p| p.as_path()).chain([folder]) {
                let executable = if file.is_dir() { 0o111_u32 } else { 0 };
                let permissions = std::fs::Permissions::from_mode(mode | executable);
                std::fs::set_permissions(file, permissions).unwrap();
            }
        };
        mode(0o444);
        let path = format!("--store.path={}", folder.display());
        let outputs = ["labels", "models"].map(|what| run_restrained(&[what, "list", &path]));
        mode(0o644);
        for output in &outputs {
            assert!(output.status.success(), "{}", said(output));
        }
        let text = String::from_utf8_lossy(&outputs[0].stdout).into_owned();
        assert!(text.contains("job=a"), "{text}");
    };
    listed(&folder);
    drop(store);
    drop(portent::store::Store::open(&folder).unwrap());
    std::fs::copy(folder.join("portent.db"), copy.join("portent.db")).unwrap();
    listed(&copy);
}

/// A sidecar that runs on this store, once it answers.
fn sidecar(lab: &Lab, name: &str) -> (Process, u16) {
    let port = free_port();
    let flags = [
        "serve".to_string(),
        format!("--prometheus.url=http://127.0.0.1:{}", free_port()),
        format!("--store.path={}", lab.path("store").display()),
        format!("--web.listen-address=127.0.0.1:{port}"),
    ];
    (Process::start(lab, name, Path::new(BINARY), &flags), port)
}

#[test]
fn a_store_has_one_sidecar() {
    let lab = Lab::new("cli_lock");
    let ready = |port: u16| format!("http://127.0.0.1:{port}/-/ready");
    let (first, port) = sidecar(&lab, "first");
    first.ready(&lab, &ready(port), secs(20));
    let log = |name: &str| std::fs::read_to_string(lab.path(name)).unwrap();
    let (second, port) = sidecar(&lab, "second");
    lab.until("the second one waits", secs(20), || {
        log("second.log").contains("another sidecar has the store").then_some(())
    });
    let path = format!("--store.path={}", lab.path("store").display());
    assert!(run(&["models", "list", &path]).status.success(), "commands work beside it");
    first.kill();
    second.ready(&lab, &ready(port), secs(20));
    let (third, _) = sidecar(&lab, "third");
    let ended = third.ended(&lab, secs(60));
    assert_eq!(ended.code(), Some(1));
    assert!(log("third.log").contains("wanted a store of its own"), "{}", log("third.log"));
}

#[test]
fn a_reload_takes_the_labels_api_and_refuses_another_store() {
    let lab = Lab::new("cli_reload");
    let (config, store) = (lab.path("portent.yml"), lab.path("store"));
    let write = |api: bool, store: &Path| {
        let source = format!("prometheus: {{url: 'http://127.0.0.1:{}'}}", free_port());
        let store = store.display();
        let text = format!(
            "source: {{{source}}}\nstore: {{path: '{store}'}}\nweb: {{labels_api: {api}}}\n"
        );
        std::fs::write(&config, text).unwrap();
    };
    write(false, &store);
    let port = free_port();
    let flag = format!("--config.file={}", config.display());
    let portent = Portent::serve(&lab, "portent", port, &[&flag, "--web.enable-lifecycle"]);
    let post = |path: &str| http::send("POST", &portent.url(path), &[], "{}").unwrap();
    let well = || portent.metrics().value("portent_config_last_reload_successful", &[]);
    lab.until("discovery counts its queries", secs(20), || {
        let sent = portent.metrics().sum("portent_source_queries_total", &[]);
        let failed = portent.metrics().sum("portent_source_query_failures_total", &[]);
        (sent > 0.0 && failed > 0.0).then_some(())
    });
    assert_eq!(post("/api/v1/labels").status, 403);
    write(true, &store);
    assert_eq!(post("/-/reload").status, 200);
    let answer = post("/api/v1/labels");
    assert_eq!(answer.status, 400, "a label without anything in it: {}", answer.body);
    write(false, &lab.path("elsewhere"));
    let answer = post("/-/reload");
    assert!(answer.status == 500 && answer.body.contains("store.path: "), "{}", answer.body);
    assert_eq!(well(), Some(0.0));
    assert_eq!(post("/api/v1/labels").status, 400, "the old configuration stays");
    write(false, &store);
    assert_eq!(post("/-/reload").status, 200);
    assert_eq!((well(), post("/api/v1/labels").status), (Some(1.0), 403));
}

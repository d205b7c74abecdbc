//! The command line as an operator meets it: flags that go together, messages, exit codes.

use std::path::Path;
use std::process::Command;
use std::process::Output;

use crate::lab::Lab;
use crate::lab::free_port;
use crate::lab::http;
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

#[test]
fn a_mistyped_store_is_not_an_empty_one() {
    let lab = Lab::new("cli_store");
    let folder = lab.path("nothing");
    for command in ["models", "labels"] {
        let output = run(&[command, "list", "--store.path", folder.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1));
        assert!(said(&output).contains("no store of Portent is there"), "{}", said(&output));
    }
    assert!(!folder.exists(), "reading made a store");
}

#[test]
fn a_label_for_a_watch_that_is_not_there_is_refused() {
    let lab = Lab::new("cli_labels");
    let config = "watches: [{name: dns, preset: coredns}]\n";
    let config = lab.write("portent.yml", config);
    let store = lab.path("store");
    let label = |watch: &str| {
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
            "job=coredns",
            "--from",
            "-10m",
            "--to",
            "-5m",
            "--verdict",
            "anomaly",
        ])
    };
    let refused = label("nds");
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("there are: dns"), "{}", said(&refused));
    let stored = label("dns");
    assert!(stored.status.success(), "{}", said(&stored));
    let list = run(&["labels", "list", "--store.path", store.to_str().unwrap()]);
    assert!(String::from_utf8_lossy(&list.stdout).contains("job=coredns"));
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let shell = format!(
        "{BINARY} check tests/data/config/good/minimal.yml | true; exit ${{PIPESTATUS[0]}}"
    );
    let output = Command::new("bash").args(["-c", &shell]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
}

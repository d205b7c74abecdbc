//! The chart in `helm/`, through the tools that its users have: Helm lints, renders and packages
//! it, kubectl-validate holds every object against Kubernetes' and the Prometheus operator's
//! schemas, promtool the rules, Portent its own configuration. Nothing here talks to a cluster.

mod pod_security;

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Output;

use serde::Deserialize;
use serde_yaml::Value;
use tempfile::TempDir;

/// The oldest Kubernetes of Chart.yaml, and the newest whose schemas kubectl-validate holds.
const KUBERNETES_VERSIONS: [&str; 2] = ["1.25", "1.30"];
/// The least that renders.
const MINIMAL: &[&str] = &["--set", "prometheus.url=http://prometheus:9090"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A program of tests/tools; its absence fails the test with what to do.
fn tool(name: &str) -> PathBuf {
    let path = root().join("tests/tools/bin").join(name);
    assert!(path.exists(), "{} is missing: run `make install`", path.display());
    path
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Standard output of a command that must succeed.
fn stdout_of(command: &mut Command) -> String {
    let output = run(command);
    assert!(
        output.status.success(),
        "{command:?}\n{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

fn helm_template(chart: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(tool("helm"));
    command
        .args(["template", "demo"])
        .arg(chart)
        .args(["--namespace", "monitoring"])
        .args(arguments);
    command
}

fn render(arguments: &[&str]) -> String {
    stdout_of(&mut helm_template(&root().join("helm"), arguments))
}

/// Every file of values that the chart is tried with.
fn values_files() -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("helm/ci")).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 6, "{files:?}");
    files
}

fn render_file(values: &Path) -> String {
    render(&["--values", values.to_str().unwrap()])
}

fn documents(rendered: &str) -> Vec<Value> {
    let documents = serde_yaml::Deserializer::from_str(rendered);
    let values = documents.map(|document| Value::deserialize(document).unwrap());
    values.filter(|value| !value.is_null()).collect()
}

/// Each object of kind `kind`.
fn of_kind(objects: &[Value], kind: &str) -> Vec<Value> {
    objects.iter().filter(|object| object["kind"] == kind).cloned().collect()
}

/// The one object of kind `kind` which the arguments render.
fn one(arguments: &[&str], kind: &str) -> Value {
    let found = of_kind(&documents(&render(arguments)), kind);
    assert_eq!(found.len(), 1, "{kind} of {arguments:?}");
    found.into_iter().next().unwrap()
}

/// `MINIMAL` and `more`.
fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [MINIMAL, more].concat()
}

/// portent.yml as the objects hold it; none where it is brought along.
fn configuration(objects: &[Value]) -> Option<String> {
    let holder = objects
        .iter()
        .find(|object| matches!(object["kind"].as_str(), Some("ConfigMap" | "Secret")))?;
    let field = if holder["kind"] == "Secret" { "stringData" } else { "data" };
    Some(holder[field]["portent.yml"].as_str().unwrap().to_owned())
}

#[test]
fn helm_lints_the_chart_with_every_values_file() {
    for values in values_files() {
        let mut lint = Command::new(tool("helm"));
        lint.args(["lint", "--strict"]).arg(root().join("helm")).arg("--values").arg(values);
        stdout_of(&mut lint);
    }
}

/// The package holds the rules, though the folder only links to them.
#[test]
fn the_package_renders_as_the_folder_does() {
    let folder = TempDir::new().unwrap();
    let mut package = Command::new(tool("helm"));
    package.arg("package").arg(root().join("helm")).arg("--destination").arg(folder.path());
    stdout_of(&mut package);
    let packages: Vec<PathBuf> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(packages.len(), 1, "{packages:?}");

    for values in values_files() {
        let arguments = ["--values", values.to_str().unwrap()];
        let from_package = stdout_of(&mut helm_template(&packages[0], &arguments));
        assert_eq!(from_package, render(&arguments), "{}", values.display());
    }
}

fn kubectl_validate(version: &str, path: &Path) -> Output {
    let mut validate = Command::new(tool("kubectl-validate"));
    validate.args(["--version", version, "--local-crds"]).arg(tool("crds")).arg(path);
    run(&mut validate)
}

#[test]
fn every_object_fits_the_schemas_of_kubernetes_and_the_operator() {
    let folder = TempDir::new().unwrap();
    for values in values_files() {
        let file = folder.path().join(values.file_name().unwrap());
        fs::write(file, render_file(&values)).unwrap();
    }
    for version in KUBERNETES_VERSIONS {
        let output = kubectl_validate(version, folder.path());
        let report = text(&output.stdout) + &text(&output.stderr);
        assert!(output.status.success(), "Kubernetes {version}\n{report}");
    }
}

/// Without this the test above could pass by looking at nothing.
#[test]
fn a_spoilt_object_does_not_fit_the_schemas() {
    let folder = TempDir::new().unwrap();
    let values = root().join("helm/ci/kube-prometheus-stack-values.yaml");
    let rendered = render_file(&values);
    for (right, wrong) in [
        ("replicas: 1", "replicas: one"),
        ("honorLabels: true", "honourLabels: true"),
        ("alert: ", "allert: "),
        ("policyTypes:", "policyKinds:"),
    ] {
        let file = folder.path().join("spoilt.yaml");
        assert!(rendered.contains(right), "{right}");
        fs::write(&file, rendered.replace(right, wrong)).unwrap();
        for version in KUBERNETES_VERSIONS {
            assert!(!kubectl_validate(version, &file).status.success(), "{wrong}, {version}");
        }
    }
}

/// The groups of rules/alerts.yml.
fn repository_groups() -> Value {
    let file = fs::read_to_string(root().join("rules/alerts.yml")).unwrap();
    serde_yaml::from_str::<Value>(&file).unwrap()["groups"].clone()
}

#[test]
fn the_rules_are_those_of_the_repository_to_the_letter() {
    let rule = one(&with(&["--set", "prometheusRule.enabled=true"]), "PrometheusRule");
    assert_eq!(rule["spec"]["groups"], repository_groups());
}

#[test]
fn promtool_accepts_every_rendered_rule() {
    let folder = TempDir::new().unwrap();
    let mut n_checked = 0;
    for values in values_files() {
        for rule in of_kind(&documents(&render_file(&values)), "PrometheusRule") {
            let file = folder.path().join("rules.yml");
            fs::write(&file, serde_yaml::to_string(&rule["spec"]).unwrap()).unwrap();
            stdout_of(Command::new("promtool").args(["check", "rules"]).arg(&file));
            n_checked += 1;
        }
    }
    assert!(n_checked >= 3, "{n_checked}");
}

#[test]
fn alerts_can_be_left_out_and_labelled() {
    let groups = repository_groups();
    let first =
        groups[0]["rules"].as_sequence().unwrap().iter().find_map(|rule| rule["alert"].as_str());
    let first = first.unwrap();
    let disabled = format!("prometheusRule.disabledAlerts={{{first}}}");
    let options = ["--set", &disabled, "--set", "prometheusRule.alertLabels.team=network"];
    let rule = one(
        &with(&[&["--set", "prometheusRule.enabled=true"], &options[..]].concat()),
        "PrometheusRule",
    );

    let rules: Vec<&Value> = rule["spec"]["groups"]
        .as_sequence()
        .into_iter()
        .flatten()
        .flat_map(|group| group["rules"].as_sequence().unwrap())
        .collect();
    assert!(!rules.is_empty());
    for rule in rules.iter().filter(|rule| !rule["alert"].is_null()) {
        assert_ne!(rule["alert"], *first);
        assert_eq!(rule["labels"]["team"], "network");
        assert!(!rule["labels"]["severity"].is_null(), "its own labels stay: {rule:?}");
    }
}

/// `portent check` of a configuration, with the environment that helm/ci/ speaks of.
fn portent_check(configuration: &str) -> Output {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("portent.yml");
    fs::write(&file, configuration).unwrap();
    let mut check = Command::new(env!("CARGO_BIN_EXE_portent"));
    // The secrets that it names are in the pod.
    check.args(["check", "--syntax-only"]).arg(format!("--config.file={}", file.display()));
    run(check.env("TENANT", "dns").env("TOKEN", "secret"))
}

#[test]
fn portent_accepts_every_rendered_configuration() {
    let mut n_checked = 0;
    for values in values_files() {
        let Some(configuration) = configuration(&documents(&render_file(&values))) else {
            continue;
        };
        let output = portent_check(&configuration);
        let report = text(&output.stdout) + &text(&output.stderr);
        assert!(output.status.success(), "{}\n{configuration}\n{report}", values.display());
        n_checked += 1;
    }
    assert!(n_checked >= 5, "{n_checked}");
}

#[test]
fn portent_refuses_a_rendered_configuration_with_a_misspelt_key() {
    let objects = documents(&render(&with(&["--set", "config.sauce=1"])));
    let output = portent_check(&configuration(&objects).unwrap());
    let report = text(&output.stdout) + &text(&output.stderr);
    assert!(!output.status.success() && report.contains("sauce"), "{report}");
}

#[test]
fn config_is_laid_over_what_the_chart_writes() {
    let objects = documents(&render(&with(&[
        "--set",
        "presets.snmpPorts=true",
        "--set",
        "labelsApi.enabled=true",
        "--set",
        "prometheus.httpConfig.basic_auth.username=portent",
        "--set",
        "config.source.prometheus.timeout=5s",
    ])));
    let rendered: Value = serde_yaml::from_str(&configuration(&objects).unwrap()).unwrap();
    let expected = "
        source:
          prometheus:
            url: http://prometheus:9090
            http_config: {basic_auth: {username: portent}}
            timeout: 5s
        watches:
          - {name: coredns, preset: coredns}
          - {name: node_ports, preset: node_ports}
          - {name: snmp_ports, preset: snmp_ports}
        store: {path: /var/lib/portent}
        web: {labels_api: true}";
    assert_eq!(rendered, serde_yaml::from_str::<Value>(expected).unwrap());
}

#[test]
fn a_configuration_as_text_is_kept_to_the_byte() {
    let values = root().join("helm/ci/config-file-values.yaml");
    let written: Value = serde_yaml::from_str(&fs::read_to_string(&values).unwrap()).unwrap();
    let rendered = configuration(&documents(&render_file(&values))).unwrap();
    assert_eq!(rendered, written["configFile"].as_str().unwrap());
}

#[test]
fn wrong_values_are_refused_with_a_reason() {
    for (arguments, reason) in [
        (&[][..], "prometheus.url is not set: give the address"),
        (&["--set", "promethues.url=http://a"], "additional properties 'promethues' not allowed"),
        (&["--set", "prometheus.urls=http://a"], "at '/prometheus': additional properties 'urls'"),
        (&["--set", "prometheus.url=a:9090"], "at '/prometheus/url': 'a:9090' does not match"),
        (&with(&["--set", "replicas=2"]), "serve the same series with other values"),
        (&with(&["--set", "replicas=2,persistence.enabled=false"]), "replicas is above 1"),
        (&with(&["--set", "replicas=many"]), "at '/replicas': got string, want integer"),
        (&with(&["--set", "log.level=loud"]), "at '/log/level': value must be one of 'debug'"),
        (&with(&["--set", "service.port=0"]), "at '/service/port': minimum: got 0, want 1"),
        (&with(&["--set", "persistence.size=big"]), "at '/persistence/size': 'big' does not match"),
        (&with(&["--set", "configFrom.kind=Pod"]), "at '/configFrom/kind': value must be one of"),
        (&with(&["--set-json", "config=[1]"]), "at '/config': got array, want object"),
        (&with(&["--set", "presets.coredns=false,presets.nodePorts=false"]), "nothing to watch"),
        (&with(&["--set", "webConfig.tls=true"]), "webConfig.existingSecret, which is not set"),
        (
            &with(&["--set", "configFrom.existing=a,labelsApi.enabled=true"]),
            "have no effect beside configFile or configFrom.existing",
        ),
    ] {
        let output = run(&mut helm_template(&root().join("helm"), arguments));
        let message = text(&output.stderr);
        assert!(!output.status.success(), "{arguments:?} was accepted");
        assert!(message.contains(reason), "{arguments:?}\n{message}");
    }
}

#[test]
fn pods_are_restricted_and_without_rights() {
    for values in values_files() {
        let objects = documents(&render_file(&values));
        for deployment in of_kind(&objects, "Deployment") {
            let pod = &deployment["spec"]["template"]["spec"];
            assert_eq!(pod_security::violations(pod), Vec::<String>::new(), "{}", values.display());
            assert_eq!(pod["automountServiceAccountToken"], false);
            for container in pod["containers"].as_sequence().unwrap() {
                assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
            }
        }
        let kinds: Vec<&str> =
            objects.iter().filter_map(|object| object["kind"].as_str()).collect();
        assert!(kinds.contains(&"Deployment"), "{}", values.display());
        assert!(!kinds.iter().any(|kind| kind.contains("Role")), "{kinds:?}");
    }
}

#[test]
fn a_pod_is_stopped_before_the_next_one_starts() {
    let strategy = |arguments: &[&str]| {
        one(&with(arguments), "Deployment")["spec"]["strategy"]["type"].as_str().unwrap().to_owned()
    };
    assert_eq!(strategy(&[]), "Recreate");
    assert_eq!(strategy(&["--set", "persistence.enabled=false"]), "Recreate");
}

#[test]
fn a_changed_configuration_restarts_the_pod() {
    let checksum = |arguments: &[&str]| {
        let pod = one(&with(arguments), "Deployment")["spec"]["template"].clone();
        pod["metadata"]["annotations"]["checksum/config"].as_str().unwrap().to_owned()
    };
    assert_eq!(checksum(&[]), checksum(&["--set", "service.port=80"]));
    assert_ne!(checksum(&[]), checksum(&["--set", "presets.snmpPorts=true"]));
}

#[test]
fn the_network_policy_lets_prometheus_and_dns_out() {
    let ports = |url: &str| {
        let url = format!("prometheus.url={url}");
        let policy = one(&["--set", &url, "--set", "networkPolicy.enabled=true"], "NetworkPolicy");
        let rules = policy["spec"]["egress"].as_sequence().unwrap().clone();
        let of_rule = |rule: &Value| -> Vec<u64> {
            rule["ports"]
                .as_sequence()
                .unwrap()
                .iter()
                .filter_map(|port| port["port"].as_u64())
                .collect()
        };
        rules.iter().map(of_rule).collect::<Vec<_>>()
    };
    let dns = vec![53, 53, 5353, 5353];
    assert_eq!(ports("http://prometheus:8080"), [dns.clone(), vec![9090, 8080]]);
    assert_eq!(ports("https://prometheus/path"), [dns.clone(), vec![9090, 443]]);
    assert_eq!(ports("http://[2001:db8::7]:9090"), [dns, vec![9090]]);
}

#[test]
fn the_monitors_carry_the_label_that_the_operator_selects() {
    let values = root().join("helm/ci/kube-prometheus-stack-values.yaml");
    let objects = documents(&render_file(&values));
    for kind in ["ServiceMonitor", "PrometheusRule"] {
        for object in of_kind(&objects, kind) {
            assert_eq!(object["metadata"]["labels"]["release"], "monitoring", "{kind}");
        }
    }
    let monitor = &of_kind(&objects, "ServiceMonitor")[0];
    assert_eq!(monitor["spec"]["endpoints"][0]["honorLabels"], true);
    let service = &of_kind(&objects, "Service")[0];
    for (key, value) in monitor["spec"]["selector"]["matchLabels"].as_mapping().unwrap() {
        assert_eq!(&service["metadata"]["labels"][key], value, "the monitor selects the Service");
    }
}

/// What Helm prints after an installation; `--dry-run=client` asks no cluster.
fn notes(arguments: &[&str]) -> String {
    let mut install = Command::new(tool("helm"));
    install
        .args(["install", "demo"])
        .arg(root().join("helm"))
        .arg("--dry-run=client")
        .args(arguments);
    let printed = stdout_of(&mut install);
    printed.split_once("NOTES:\n").unwrap().1.to_owned()
}

#[test]
fn the_notes_say_what_is_left_to_do() {
    let plain = notes(&with(&["--set", "persistence.enabled=false"]));
    assert!(plain.contains("honor_labels: true"), "{plain}");
    assert!(plain.contains("- targets: ['demo-portent.default.svc:10047']"), "{plain}");
    assert!(plain.contains("WARNING: persistence.enabled is false"), "{plain}");
    assert!(plain.contains("NOTE: image.registry is not set"), "{plain}");
    assert!(!plain.contains("basic_auth"), "{plain}");

    let guarded = "webConfig.existingSecret=web,webConfig.auth=true,image.registry=r.example.org";
    let guarded = notes(&with(&["--set", guarded]));
    assert!(guarded.contains("# and what webConfig asks for: basic_auth"), "{guarded}");
    assert!(!guarded.contains("NOTE: image.registry"), "{guarded}");

    let operator = "serviceMonitor.enabled=true,prometheusRule.enabled=true,labelsApi.enabled=true";
    let operator = notes(&with(&["--set", operator]));
    assert!(operator.contains("set releaseLabel to the name of its Helm release"), "{operator}");
    assert!(operator.contains("The PrometheusRule demo-portent holds the alerts."), "{operator}");
    assert!(operator.contains("everyone who reaches the port may do that now"), "{operator}");
    assert!(!operator.contains("honor_labels") && !operator.contains("WARNING"), "{operator}");
}

use super::*;

fn read(text: &str) -> Vec<Group> {
    parse_rules("rules.yml", text).unwrap_or_else(|problems| panic!("{problems}"))
}

fn wrong(text: &str) -> String {
    parse_rules("rules.yml", text).unwrap_err().to_string()
}

const PLAIN: &str = "\
groups:
- name: dns
  interval: 30s
  limit: 5
  labels: {team: net, severity: info}
  rules:
  - alert: Down
    expr: |
      up == 0
    for: 5m
    keep_firing_for: 1h
    labels: {severity: 1, anomaly_class: down, job: '{{ $labels.job }}'}
    annotations: {summary: 'it is {{ $value }}'}
  - record: job:up:sum
    expr: sum by (job) (up)
- name: empty
";

#[test]
fn a_plain_file_is_read() {
    let groups = read(PLAIN);
    let [dns, empty] = groups.as_slice() else { panic!("{groups:?}") };
    assert_eq!((dns.name.as_str(), dns.interval_s, dns.limit), ("dns", 30, 5));
    assert_eq!((empty.interval_s, empty.alerts.len()), (60, 0));
    let [down] = dns.alerts.as_slice() else { panic!("{:?}", dns.alerts) };
    assert_eq!((down.for_s, down.keep_firing_for_s, down.line), (300, 3600, Some(7)));
    assert_eq!(down.expr, "up == 0\n");
    let labels: Vec<String> = down.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let wanted = ["anomaly_class=down", "job={{ $labels.job }}", "severity=1", "team=net"];
    assert_eq!(labels, wanted, "the rule's before the group's");
    let [sum] = dns.records.as_slice() else { panic!("{:?}", dns.records) };
    assert_eq!((sum.record.as_str(), sum.expr.as_str()), ("job:up:sum", "sum by (job) (up)"));
}

#[test]
fn objects_are_read_and_their_neighbours_passed_over() {
    let rule = |name: &str| {
        format!(
            "apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata: {{name: x}}\n\
             spec:\n  groups:\n  - {{name: {name}, partial_response_strategy: warn, rules: [{{alert: A, expr: a}}]}}\n"
        )
    };
    let service = "kind: Service\nspec: {ports: []}\n";
    let text = format!("# made by hand\n---\n{}--- # next\n{service}---\n{}", rule("a"), rule("a"));
    let groups = read(&text);
    let lines: Vec<_> = groups.iter().map(|group| group.alerts[0].line).collect();
    assert_eq!(lines, [Some(8), Some(18)], "one name in two objects is two groups");
    let indented = rule("b").replace('\n', "\n  ");
    let list = format!("kind: List\nitems:\n- {indented}kind: Service\n");
    let list = list.replace("  kind: Service", "- kind: Service");
    assert_eq!(read(&list)[0].name, "b");
    assert!(wrong(service).contains("no rules; wanted"));
    assert!(wrong("").contains("no rules; wanted"));
}

#[test]
fn every_problem_shows_at_once_with_its_place() {
    let text = "\
groups:
- name: a
  interval: 500ms
  rules:
  - alert: A
    record: B
    expr: a
    for: -5m
  - expr: a
  - alert: A
    label: {x: y}
- name: a
  rules:
  - record: a
    expr: a
    for: 5m
    labels: {__name__: z, '': z}
  - record: 'up{}'
    expr: a
---
groups: {}
other: 1
";
    let wanted = "\
rules.yml:3: document[0].groups[0].interval: duration \"500ms\": finer than a second; wanted such as 30s, 1h30m or 2w
rules.yml:6: document[0].groups[0].rules[0].record: beside alert; wanted one of the two
rules.yml:8: document[0].groups[0].rules[0].for: duration \"-5m\": a unit without a whole number before it; wanted such as 30s, 1h30m or 2w
rules.yml:9: document[0].groups[0].rules[1]: neither alert nor record; wanted one
rules.yml:10: document[0].groups[0].rules[2].expr: missing; wanted PromQL
rules.yml:11: document[0].groups[0].rules[2].label: unknown field `label`, expected one of `alert`, `record`, `expr`, `for`, `keep_firing_for`, `labels`, `annotations`
rules.yml:12: document[0].groups[1].name: \"a\" is another group's of the same file
rules.yml:16: document[0].groups[1].rules[0].for: in a recording rule; wanted only in alerts
rules.yml:17: document[0].groups[1].rules[0].labels: an empty name; wanted one
rules.yml:17: document[0].groups[1].rules[0].labels.__name__: the metric's own name; wanted another label
rules.yml:18: document[0].groups[1].rules[1].record: \"up{}\" is no metric's name
rules.yml:21: document[1].groups: not a list; wanted a list of groups
rules.yml:22: document[1].other: unknown field `other`, expected `groups`";
    assert_eq!(wrong(text), wanted);
}

#[test]
fn what_is_not_yaml_says_where() {
    assert!(
        wrong("groups:\n- name: 'a\n").starts_with("rules.yml:"),
        "{}",
        wrong("groups:\n- name: 'a\n")
    );
    let twice = "groups: []\n---\ngroups:\n- name: a\n  name: b\n";
    let torn = "groups: []\n---\ngroups:\n- name: 'a\n";
    assert!(wrong(torn).contains(": document[1]: not YAML: "), "{}", wrong(torn));
    assert!(wrong(twice).starts_with("rules.yml:5: document[1].groups[0].name: given twice"));
    assert!(
        load_rules(Path::new("/does/not/exist"))
            .unwrap_err()
            .to_string()
            .contains("cannot be read")
    );
}

//! The same rules over the same history, by us and by Prometheus itself.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use portent::config::load_rules;
use portent::gather::weak_labels;
use portent::series::Entity;
use portent::series::Grid;
use portent::source::Source;
use portent::source::prometheus as server;
use portent::verdict::Interval;
use portent::weak::State;
use portent::weak::WeakLabel;
use serde_json::Value;
use serde_json::json;

use crate::lab::Lab;
use crate::lab::now_s;
use crate::lab::process::debian;
use crate::lab::process::run;
use crate::lab::prometheus;
use crate::lab::prometheus::Prometheus;
use crate::lab::secs;

/// Minutes of history.
const LEN: i64 = 240;

const RULES: &str = "\
groups:
- name: g
  rules:
  - {alert: Plain, expr: m > 0}
  - {alert: For, expr: m > 0, for: 3m, labels: {anomaly_class: 'slow_{{ $labels.to }}', severity: page}}
  - {alert: Odd, expr: m > 0, for: 90s, keep_firing_for: 150s}
  - {alert: Keep, expr: m > 0, keep_firing_for: 4m}
  - {alert: Both, expr: m > 0, for: 3m, keep_firing_for: 5m, labels: {to: any, from: '', n: '{{.Labels.from}}{{ $labels.n }}{{ $labels.no }}'}}
  - {alert: Gaps, expr: 'absent(m{to=\"a\",from=\"x\"})', for: 2m}
  - {alert: Any, expr: m, for: 2m}
  - {alert: Rate, expr: 'max by (to) (rate(m[3m])) > 0', for: 1m}
";

/// A value a minute for each of some series, `None` where there is no sample.
type History = BTreeMap<String, Vec<Option<u32>>>;

/// Flapping of all speeds, long gaps and short ones, from dice that fall alike each time.
fn history() -> History {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut dice = |sides: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) % sides
    };
    let names =
        ["{from=\"x\",to=\"a\",n=\"1\"}", "{from=\"x\",to=\"b\",n=\"2\"}", "{to=\"c\",n=\"3\"}"];
    let one = |longest: u64, dice: &mut dyn FnMut(u64) -> u64| {
        let mut values = Vec::new();
        while values.len() < LEN as usize {
            let value = [Some(0), Some(1), Some(1), Some(0), None][dice(5) as usize];
            // Prometheus looks back 5 min: only longer gaps are ones.
            let more = if value.is_none() { 8 } else { 0 };
            values.extend(vec![value; 1 + more + dice(longest) as usize]);
        }
        values.truncate(LEN as usize);
        values
    };
    let series = names.into_iter().zip([3, 6, 12]);
    series.map(|(name, longest)| (format!("m{name}"), one(longest, &mut dice))).collect()
}

fn open_metrics(history: &History, start_s: i64) -> String {
    let mut text = String::new();
    for (name, values) in history {
        for (value, i) in values.iter().zip(0..) {
            if let Some(value) = value {
                writeln!(text, "{name} {value} {}", start_s + 60 * i).unwrap();
            }
        }
    }
    text + "# EOF\n"
}

fn source(url: &str) -> Arc<dyn Source> {
    Arc::new(server::Prometheus::new(&server::Config::new(url)).unwrap())
}

/// Ours, of a real server's history.
fn ours(server: &Prometheus, file: &Path, interval: Interval) -> Vec<WeakLabel> {
    let groups = load_rules(file).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let weak = runtime.block_on(weak_labels(&source(&server.url()), &groups, interval)).unwrap();
    assert_eq!(weak.failed, []);
    weak.labels
}

/// `ALERTS` as it would be at a time.
fn alerts_at(labels: &[WeakLabel], time_s: i64) -> Vec<Value> {
    let now = labels.iter().filter(|label| label.interval.contains(time_s));
    let one = |label: &WeakLabel| {
        let state = [("alertstate", label.state.as_str()), ("__name__", "ALERTS")];
        let pairs = Entity::new(label.labels.pairs().chain(state));
        // What promtool reads is PromQL.
        let pairs = pairs.pairs().filter(|(name, _)| *name != "__name__");
        let pairs: Vec<String> = pairs.map(|(name, value)| format!("{name}={value:?}")).collect();
        json!({"labels": format!("ALERTS{{{}}}", pairs.join(",")), "value": 1})
    };
    now.map(one).collect()
}

#[test]
fn every_state_of_every_minute_is_that_of_promtool() {
    let lab = Lab::new("weak_states");
    let start_s = (now_s() - 60 * LEN) / 3600 * 3600 - 86_400;
    let history = history();
    let om = Some(open_metrics(&history, start_s));
    let server = Prometheus::start(&lab, &prometheus::Config { history: om, ..Default::default() });
    let rules = lab.write("rules.yml", RULES);
    let interval = Interval { from_s: start_s, to_s: start_s + 60 * LEN };
    let labels = ours(&server, &rules, interval);
    for alert in ["Plain", "For", "Odd", "Keep", "Both", "Gaps", "Any", "Rate"] {
        let firing = labels.iter().filter(|l| l.alert == alert && l.state == State::Firing).count();
        assert!(firing >= 3, "{alert} fires {firing} times: too little to compare");
    }

    let tests: Vec<Value> = (0..LEN)
        .map(|minute| {
            let found = alerts_at(&labels, start_s + 60 * minute);
            json!({"expr": "ALERTS", "eval_time": format!("{minute}m"), "exp_samples": found})
        })
        .collect();
    let values = |values: &[Option<u32>]| {
        let words = values.iter().map(|value| value.map_or("_".to_string(), |v| v.to_string()));
        words.collect::<Vec<_>>().join(" ")
    };
    let input = history.iter().map(|(name, of)| json!({"series": name, "values": values(of)}));
    let input: Vec<Value> = input.collect();
    let file = json!({
        "rule_files": ["rules.yml"], "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": input, "promql_expr_test": tests}],
    });
    let file = lab.write("promtool.yml", file.to_string());
    run(&debian("promtool", "prometheus"), ["test".as_ref(), "rules".as_ref(), file.as_os_str()]);

    // Begun amid it, the states are the same: it looks back far enough.
    let from_s = start_s + 60 * LEN / 2;
    let later = ours(&server, &rules, Interval { from_s, ..interval });
    for minute in LEN / 2..LEN {
        let time_s = start_s + 60 * minute;
        assert_eq!(alerts_at(&later, time_s), alerts_at(&labels, time_s), "minute {minute}");
    }
}

/// Nobody evaluated anything while Prometheus was down; a target that is gone alone is an outage.
#[test]
fn an_outage_of_prometheus_is_none_of_what_it_watches() {
    let lab = Lab::new("weak_outage");
    let start_s = (now_s() - 60 * LEN) / 3600 * 3600 - 86_400;
    let mut text = String::new();
    for job in ["dns", "web"] {
        let gone = |m: &i64| (60..90).contains(m) || job == "dns" && (150..180).contains(m);
        for minute in (30..LEN).filter(|minute| !gone(minute)) {
            writeln!(text, "up{{job=\"{job}\"}} 1 {}", start_s + 60 * minute).unwrap();
        }
    }
    let history = Some(text + "# EOF\n");
    let server = Prometheus::start(&lab, &prometheus::Config { history, ..Default::default() });
    let rules = "groups:\n- name: g\n  rules:\n  \
        - {alert: Down, expr: 'absent(up{job=\"dns\"} == 1)', for: 5m}\n";
    let rules = lab.write("rules.yml", rules);
    let interval = Interval { from_s: start_s, to_s: start_s + 60 * LEN };
    let found = ours(&server, &rules, interval).into_iter().map(|label| {
        let minute = |time_s| (time_s - start_s) / 60;
        (label.state, minute(label.interval.from_s), minute(label.interval.to_s))
    });
    // The last sample before counts for five minutes; before the first, there was nobody to ask.
    let wanted = [(State::Pending, 155, 160), (State::Firing, 160, 180)];
    assert_eq!(found.collect::<Vec<_>>(), wanted);
}

/// Seconds that a server evaluates while it runs: `ALERTS` is what it wrote itself.
#[test]
fn a_running_server_wrote_the_same_intervals() {
    const SECONDS: i64 = 45;
    let lab = Lab::new("weak_server");
    let rules = "groups:\n- name: g\n  interval: 1s\n  rules:\n  \
        - {alert: Plain, expr: vector(time()) % 11 < 5}\n  \
        - {alert: For, expr: vector(time()) % 11 < 5, for: 3s}\n  \
        - {alert: Both, expr: vector(time()) % 7 < 4, for: 2s, keep_firing_for: 2s}\n  \
        - {alert: Kind, expr: 'label_replace(vector(time()) % 11 < 5, \"kind\", \"slow\", \"\", \"\")', \
        labels: {anomaly_class: 'very_{{ $labels.kind }}'}}\n";
    let rules = vec![lab.write("rules.yml", rules)];
    let config = prometheus::Config { rules: rules.clone(), ..Default::default() };
    let server = Prometheus::start(&lab, &config);
    // Whether alerts were pending before its start is what it asks first; until then it writes nothing.
    server.until(&lab, "sum(ALERTS{alertstate=\"firing\"}) > 0", 60);
    let from_s = now_s() + 8;
    thread::sleep(secs(SECONDS as u64 + 10));
    let interval = Interval { from_s: from_s - 3, to_s: from_s + SECONDS };
    let labels = ours(&server, &rules[0], interval);

    let grid = Grid { start_s: from_s, step_s: 1, len: SECONDS as usize };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let answer = runtime.block_on(source(&server.url()).range("ALERTS", grid)).unwrap();
    let theirs = |alert: &str, time_s: i64| {
        let of =
            answer.series.iter().filter(|series| series.labels.get("alertname") == Some(alert));
        let mut now = of.filter(|series| series.samples.iter().any(|(at, _)| *at == time_s));
        now.next().and_then(|series| series.labels.get("alertstate").map(str::to_string))
    };
    let state = |alert: &str, time_s: i64| {
        let mut now = labels.iter().filter(|l| l.alert == alert && l.interval.contains(time_s));
        now.next().map(|label| label.state.to_string())
    };
    let mut agree = 0;
    for alert in ["Plain", "For", "Both"] {
        for time_s in from_s..from_s + SECONDS {
            // It evaluates at an offset within the second, and may miss one where cores are few.
            let wanted = [0, 1, 2].map(|before| state(alert, time_s - before));
            let found = theirs(alert, time_s);
            assert!(wanted.contains(&found), "{alert} at {time_s}: {found:?}, wanted {wanted:?}");
            agree += usize::from(wanted[0] == found || wanted[1] == found);
        }
        assert!(labels.iter().any(|label| label.alert == alert && label.state == State::Firing));
    }
    let classes = |labels: &mut dyn Iterator<Item = Option<String>>| {
        labels.collect::<std::collections::BTreeSet<_>>()
    };
    let kinds = |labels: &Entity| labels.get("alertname") == Some("Kind");
    let class = |labels: &Entity| labels.get("anomaly_class").map(str::to_string);
    let wrote = answer.series.iter().map(|s| &s.labels).filter(|labels| kinds(labels));
    let said = labels.iter().filter(|label| kinds(&label.labels)).map(|label| label.class.clone());
    let (wrote, said) = (classes(&mut wrote.map(class)), classes(&mut { said }));
    assert_eq!(
        (wrote, said),
        ([Some("very_slow".into())].into(), [Some("very_slow".into())].into())
    );
    assert!(agree as i64 > 3 * SECONDS * 9 / 10, "{agree} of {}", 3 * SECONDS);
}

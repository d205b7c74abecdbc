//! A scenario: how long, how many, how much is asked, what is injected when.
//!
//! Owns: the file's shape, defaults, and everything that is wrong with it at once.
//!
//! ```yaml
//! duration: 20m            # of rows, 1m to 12h
//! seed: 7
//! scrape_interval: 1s      # 1s to 5s
//! rows: {step: 2s, rate_window: 8s}   # usually two scrapes, and four rows
//! preset: coredns          # or coredns_replicas: a file of rows for each replica
//! coredns: 1.15.0          # or 1.8.0, 1.6.9
//! native_histograms: false # whether Prometheus, a newer one then, stores them
//! kubernetes: false        # whether names come from a real API server
//! replicas: 3              # 1 to 3
//! upstreams: 2             # resolvers that each replica forwards to, 1 to 4
//! max_concurrent: 200      # questions that a replica forwards at once
//! warm_up: 40s             # before the first row: caches fill
//! load:
//!   qps: 120               # over all replicas
//!   day: 5m                # the daily rhythm's length
//!   swing: 0.3             # and height, as a share
//!   tcp: 0.02              # share over TCP
//!   mix: {internal: 50, external: 25, search: 16, ptr: 3, srv: 4, random: 0, any: 0, txt: 1, missing: 1}
//! injections:
//!   - {at: 2m, for: 40s, class: upstream_servfail, strength: 0.6}
//!   - {at: 4m, for: 40s, class: replica_bad, replica: 1}
//! ```

mod fields;

use std::path::Path;

use serde_yaml::Value;

use crate::scenario::Injection;
use crate::scenario::Scenario;
use crate::scenario::Usual;
use crate::scenario::classes::CLASSES;
use crate::scenario::classes::Class;
use crate::scenario::world::Kind;

use fields::Fields;

/// Reads a file.
///
/// # Errors
/// Everything that is wrong with it, a line each.
pub fn load_scenario(path: &Path) -> Result<Scenario, String> {
    let file = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("{file}: {error}"))?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let problems = match parse_scenario(&name, &text) {
        Ok(scenario) => return Ok(scenario),
        Err(problems) => problems,
    };
    let lines = problems.iter().map(|problem| format!("{file}: {problem}"));
    Err(lines.collect::<Vec<_>>().join("\n"))
}

/// Reads a file's text.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse_scenario(name: &str, text: &str) -> Result<Scenario, Vec<String>> {
    let tree: Value = serde_yaml::from_str(text).map_err(|error| vec![error.to_string()])?;
    let mut problems = Vec::new();
    let mut fields = Fields::of(tree, "", &mut problems);
    let (load, injections) = (fields.value("load"), fields.value("injections"));
    let scrape_interval_s = fields.seconds("scrape_interval", Some(1), 1..=5);
    let rows = fields.value("rows");
    let mut scenario = Scenario {
        name: name.to_owned(),
        duration_s: fields.seconds("duration", None, 60..=43_200),
        seed: fields.count("seed", 1, 0..=u64::MAX),
        scrape_interval_s,
        step_s: 2 * scrape_interval_s,
        rate_window_s: 8 * scrape_interval_s,
        preset: fields.text("preset", "coredns"),
        coredns: fields.text("coredns", "1.15.0"),
        native_histograms: fields.flag("native_histograms"),
        kubernetes: fields.flag("kubernetes"),
        replicas: fields.count("replicas", 2, 1..=3) as usize,
        upstreams: fields.count("upstreams", 2, 1..=4) as usize,
        max_concurrent: fields.count("max_concurrent", 200, 10..=1_000) as u32,
        warm_up_s: fields.seconds("warm_up", Some(40), 10..=600),
        load: usual(Value::Mapping(Default::default()), &mut Vec::new()),
        injections: Vec::new(),
    };
    if !["coredns", "coredns_replicas"].contains(&scenario.preset.as_str()) {
        let what = format!("{:?}, wanted coredns or coredns_replicas", scenario.preset);
        fields.wrong("preset", what);
    }
    if !Scenario::COREDNS.contains(&scenario.coredns.as_str()) {
        let what =
            format!("{:?}, wanted one of {}", scenario.coredns, Scenario::COREDNS.join(", "));
        fields.wrong("coredns", what);
    }
    fields.end();
    if let Some(rows) = rows {
        let mut fields = Fields::of(rows, "rows", &mut problems);
        scenario.step_s = fields.seconds("step", Some(scenario.step_s), 1..=60);
        let wanted = 4 * scrape_interval_s..=600;
        scenario.rate_window_s = fields.seconds("rate_window", Some(4 * scenario.step_s), wanted);
        fields.end();
    }
    if let Some(load) = load {
        scenario.load = usual(load, &mut problems);
    }
    scenario.injections = all(injections, &scenario, &mut problems);
    if problems.is_empty() { Ok(scenario) } else { Err(problems) }
}

fn usual(value: Value, problems: &mut Vec<String>) -> Usual {
    let mut fields = Fields::of(value, "load", problems);
    let mix = fields.value("mix");
    let mut usual = Usual {
        qps: fields.number("qps", 120.0, 1.0..=2_000.0),
        day_s: fields.seconds("day", Some(300), 30..=86_400),
        swing: fields.number("swing", 0.3, 0.0..=0.9),
        tcp: fields.number("tcp", 0.02, 0.0..=1.0),
        mix: Usual::MIX.to_vec(),
    };
    fields.end();
    if let Some(mix) = mix {
        let mut fields = Fields::of(mix, "load.mix", problems);
        let weight = |(name, kind)| (kind, fields.number(name, 0.0, 0.0..=1e6));
        usual.mix = Kind::MIX.map(weight).into_iter().filter(|(_, weight)| *weight > 0.0).collect();
        fields.end();
        if usual.mix.is_empty() {
            problems.push("load.mix: nothing is asked, wanted a weight above 0".to_owned());
        }
    }
    usual
}

fn all(value: Option<Value>, of: &Scenario, problems: &mut Vec<String>) -> Vec<Injection> {
    let list = match value {
        None | Some(Value::Null) => return Vec::new(),
        Some(Value::Sequence(list)) => list,
        Some(_) => {
            problems.push("injections: wanted a list".to_owned());
            return Vec::new();
        }
    };
    let mut injections: Vec<Injection> = Vec::new();
    for (i, value) in list.into_iter().enumerate() {
        let at = format!("injections[{i}]");
        if !value.is_mapping() {
            problems.push(format!("{at}: wanted fields and their values"));
            continue;
        }
        let next = injection(value, &at, of, problems);
        // Labels that overlap would say two things of one row.
        if injections.last().is_some_and(|before| next.at_s < before.end_s()) {
            problems.push(format!("{at}.at: before the end of the one before"));
        }
        injections.push(next);
    }
    injections
}

fn injection(value: Value, at: &str, of: &Scenario, problems: &mut Vec<String>) -> Injection {
    let mut fields = Fields::of(value, at, problems);
    let at_s = fields.seconds("at", None, 0..=of.duration_s);
    let for_s = fields.seconds("for", None, 1..=of.duration_s);
    let name = fields.text("class", "");
    let strength = fields.number("strength", 1.0, 0.05..=1.0);
    let replica = fields.count("replica", 0, 0..=of.replicas as u64 - 1) as usize;
    let class = Class::named(&name);
    match class {
        None => {
            let known: Vec<&str> = CLASSES.iter().map(|class| class.name).collect();
            fields.wrong("class", format!("{name:?}, wanted one of {}", known.join(", ")));
        }
        Some(class) if class.of_replica && of.replicas == 1 => {
            fields.wrong("class", format!("{} needs several replicas", class.name));
        }
        Some(class) if class.of_kubernetes && !of.kubernetes => {
            fields.wrong("class", format!("{} needs `kubernetes: true`", class.name));
        }
        Some(_) => {}
    }
    // Nobody sees the first class: that it is unknown was noted.
    let class = class.unwrap_or(&CLASSES[0]);
    let injection = Injection { at_s, for_s, class, strength, replica };
    if injection.end_s() > of.duration_s {
        fields.wrong("for", format!("beyond the end of {}s", of.duration_s));
    }
    fields.end();
    injection
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_little_and_the_rest_is_usual() {
        let text = "duration: 2m\ninjections: [{at: 10s, for: 20s, class: upstream_slow}]";
        let scenario = parse_scenario("short", text).unwrap();
        assert_eq!((scenario.step_s, scenario.rate_window_s, scenario.replicas), (2, 8, 2));
        let [one] = &scenario.injections[..] else { panic!("{scenario:?}") };
        assert_eq!((one.end_s(), one.strength, one.class.is_benign()), (30, 1.0, false));
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let text = "duration: 5s\nscrape_interval: 1\nreplicas: 1\npreset: dns\nload: {qps: many, mix: {outer: 1}}\n\
                    injections:\n  - {at: 1s, for: 10s, class: flood}\n  - {at: 50s, for: 20s, class: crashloop, strength: 2}\n  \
                    - {at: 5s, for: 2s, class: benign_reload, servers: 1}\n  - oops\nspeed: 2\n";
        expect_test::expect![[r#"
            scrape_interval: 1, wanted a duration of 1s to 5s
            duration: 5s, wanted a duration of 60s to 43200s
            preset: "dns", wanted coredns or coredns_replicas
            speed: not known, wanted some of load, injections, scrape_interval, rows, duration, seed, preset, coredns, native_histograms, kubernetes, replicas, upstreams, max_concurrent, warm_up
            load.qps: many, wanted 1 to 2000
            load.mix.outer: not known, wanted some of internal, external, search, ptr, srv, random, unique, any, txt, missing
            load.mix: nothing is asked, wanted a weight above 0
            injections[0].class: "flood", wanted one of upstream_servfail, upstream_refused, upstream_nxdomain, upstream_timeout, upstream_slow, upstream_throttled, upstream_flap, cache_collapse, truncation, replica_bad, max_concurrent, nxdomain_ndots, random_subdomain, any_amplification, query_flood, traffic_loss, tcp_surge, replica_down, crashloop, cpu_throttled, replica_skew, loop, apiserver_down, benign_rollout, benign_restart, benign_reload, benign_new_zone, benign_load_doubling, benign_cronjob_burst, benign_nxdomain_batch
            injections[1].strength: 2, wanted 0.05 to 1
            injections[1].class: crashloop needs several replicas
            injections[1].for: beyond the end of 60s
            injections[2].servers: not known, wanted some of at, for, class, strength, replica
            injections[2].at: before the end of the one before
            injections[3]: wanted fields and their values"#]]
        .assert_eq(&parse_scenario("bad", text).unwrap_err().join("\n"));
    }
}

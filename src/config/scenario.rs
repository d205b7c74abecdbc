//! A scenario: how long, how many, how much is asked, what is injected when.
//!
//! Owns: the file's shape, defaults, and everything that is wrong with it at once.
//!
//! ```yaml
//! duration: 20m            # of rows, 1m to 12h; of a simulation to 400d
//! seed: 7
//! scrape_interval: 1s      # 1s to 5s; of a simulation to 1m
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
//!   weekend: 0             # how much less on the last two of seven such days, as a share
//!   tcp: 0.02              # share over TCP
//!   mix: {internal: 50, external: 25, search: 16, ptr: 3, srv: 4, random: 0, any: 0, txt: 1, missing: 1}
//! injections:
//!   - {at: 2m, for: 40s, class: upstream_servfail, strength: 0.6}
//!   - {at: 4m, for: 40s, class: replica_bad, replica: 1}
//!   - {at: 6m, for: 30s, class: benign_reload, every: 5m}      # again and again, until the end
//! random:                  # and more, drawn by the seed; none where those above are
//!   per_day: 0.5           # of `load.day`, one in each of as many equal parts of it
//!   for: 30s
//!   classes: [upstream_servfail, query_flood]                # usually all
//!   strength: {from: 0.3, to: 1}
//! ports: true              # traffic of switches' ports, too; of a simulation alone
//! ```
//!
//! The fault lab plays a scenario in its own time on real servers, `portent simulate` in no time on a model of them:
//! what only one of them can play the other refuses ([`Limits`]).

mod fields;
mod plan;

use std::ops::RangeInclusive;
use std::path::Path;

use serde_yaml::Value;

use crate::scenario::Injection;
use crate::scenario::Scenario;
use crate::scenario::Usual;
use crate::scenario::classes::Act;
use crate::scenario::classes::CLASSES;
use crate::scenario::classes::Class;
use crate::scenario::world::Kind;

use fields::Fields;

/// What the one that plays a scenario can play.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Limits {
    duration_s: RangeInclusive<i64>,
    scrape_interval_s: RangeInclusive<i64>,
    /// Whether it is a model that plays.
    simulated: bool,
}

impl Limits {
    /// The fault lab takes as long as a scenario says.
    const LAB: Limits =
        Limits { duration_s: 60..=43_200, scrape_interval_s: 1..=5, simulated: false };
    const SIMULATION: Limits =
        Limits { duration_s: 60..=400 * 86_400, scrape_interval_s: 1..=60, simulated: true };
}

/// Reads a file for the fault lab.
///
/// # Errors
/// Everything that is wrong with it, a line each.
pub fn load_scenario(path: &Path) -> Result<Scenario, String> {
    read(path, &Limits::LAB)
}

/// Reads a file for `portent simulate`: as the lab's, and longer.
///
/// # Errors
/// As [`load_scenario`].
pub fn load_simulation(path: &Path) -> Result<Scenario, String> {
    read(path, &Limits::SIMULATION)
}

fn read(path: &Path, limits: &Limits) -> Result<Scenario, String> {
    let file = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("{file}: {error}"))?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let problems = match parse(&name, &text, limits) {
        Ok(scenario) => return Ok(scenario),
        Err(problems) => problems,
    };
    let lines = problems.iter().map(|problem| format!("{file}: {problem}"));
    Err(lines.collect::<Vec<_>>().join("\n"))
}

/// Reads a file's text, for the fault lab.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse_scenario(name: &str, text: &str) -> Result<Scenario, Vec<String>> {
    parse(name, text, &Limits::LAB)
}

/// Reads a file's text, for `portent simulate`.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse_simulation(name: &str, text: &str) -> Result<Scenario, Vec<String>> {
    parse(name, text, &Limits::SIMULATION)
}

fn parse(name: &str, text: &str, limits: &Limits) -> Result<Scenario, Vec<String>> {
    let tree: Value = serde_yaml::from_str(text).map_err(|error| vec![error.to_string()])?;
    let mut problems = Vec::new();
    let mut fields = Fields::of(tree, "", &mut problems);
    let (load, injections) = (fields.value("load"), fields.value("injections"));
    let random = fields.value("random");
    let scrapes = limits.scrape_interval_s.clone();
    let scrape_interval_s = fields.seconds("scrape_interval", Some(1), scrapes);
    let rows = fields.value("rows");
    let mut scenario = Scenario {
        name: name.to_owned(),
        duration_s: fields.seconds("duration", None, limits.duration_s.clone()),
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
        ports: fields.flag("ports"),
        injections: Vec::new(),
    };
    if scenario.ports && !limits.simulated {
        fields.wrong("ports", "the fault lab has none, `portent simulate` has");
    }
    if !["coredns", "coredns_replicas"].contains(&scenario.preset.as_str()) {
        let what = format!("{:?}, wanted coredns or coredns_replicas", scenario.preset);
        fields.wrong("preset", what);
    }
    if !Scenario::COREDNS.contains(&scenario.coredns.as_str()) {
        let what =
            format!("{:?}, wanted one of {}", scenario.coredns, Scenario::COREDNS.join(", "));
        fields.wrong("coredns", what);
    }
    if limits.simulated {
        refuse_what_is_not_modelled(&scenario, &mut fields);
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
    scenario.injections = all(injections, &scenario, limits, &mut problems);
    if let Some(random) = random {
        let more = plan::draw(random, &scenario, limits, &mut problems);
        scenario.injections.extend(more);
        scenario.injections.sort_by_key(|injection| injection.at_s);
    }
    if problems.is_empty() { Ok(scenario) } else { Err(problems) }
}

fn refuse_what_is_not_modelled(scenario: &Scenario, fields: &mut Fields) {
    let fields_of_real_servers = [
        ("coredns", scenario.coredns != "1.15.0"),
        ("native_histograms", scenario.native_histograms),
        ("kubernetes", scenario.kubernetes),
    ];
    for (name, _) in fields_of_real_servers.into_iter().filter(|(_, asked)| *asked) {
        fields
            .wrong(name, "not simulated, only CoreDNS 1.15.0 with zone files and classic buckets");
    }
}

/// Whether a class is more than a name here.
fn is_playable(class: &Class, of: &Scenario, limits: &Limits) -> bool {
    let alone = class.of_replica && of.replicas == 1;
    let without_api = class.of_kubernetes && !of.kubernetes;
    let unknown = limits.simulated && class.act() == Some(Act::Loop);
    !(alone || without_api || unknown)
}

fn usual(value: Value, problems: &mut Vec<String>) -> Usual {
    let mut fields = Fields::of(value, "load", problems);
    let mix = fields.value("mix");
    let mut usual = Usual {
        qps: fields.number("qps", 120.0, 1.0..=2_000.0),
        day_s: fields.seconds("day", Some(300), 30..=86_400),
        swing: fields.number("swing", 0.3, 0.0..=0.9),
        weekend: fields.number("weekend", 0.0, 0.0..=0.9),
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

fn all(
    value: Option<Value>,
    of: &Scenario,
    limits: &Limits,
    problems: &mut Vec<String>,
) -> Vec<Injection> {
    let list = match value {
        None | Some(Value::Null) => return Vec::new(),
        Some(Value::Sequence(list)) => list,
        Some(_) => {
            problems.push("injections: wanted a list".to_owned());
            return Vec::new();
        }
    };
    let mut injections: Vec<Injection> = Vec::new();
    let (mut again, mut end_s) = (Vec::new(), i64::MIN);
    for (i, value) in list.into_iter().enumerate() {
        let at = format!("injections[{i}]");
        if !value.is_mapping() {
            problems.push(format!("{at}: wanted fields and their values"));
            continue;
        }
        let (next, every_s) = injection(value, &at, of, limits, problems);
        // Labels that overlap would say two things of one row.
        if next.at_s < end_s {
            problems.push(format!("{at}.at: before the end of the one before"));
        }
        end_s = next.end_s();
        again.extend(every_s.into_iter().flat_map(|every_s| plan::again(&next, every_s, of)));
        injections.push(next);
    }
    injections.extend(again);
    injections.sort_by_key(|injection| injection.at_s);
    let mut pairs = injections.windows(2);
    if let Some(pair) = pairs.find(|pair| pair[1].at_s < pair[0].end_s())
        && problems.is_empty()
    {
        let [first, second] = [&pair[0], &pair[1]].map(|injection| injection.class.name);
        let at = pair[1].at_s;
        problems
            .push(format!("injections: {second} comes {at}s after the beginning, within {first}"));
    }
    injections
}

/// One entry, and the seconds after which it comes again.
fn injection(
    value: Value,
    at: &str,
    of: &Scenario,
    limits: &Limits,
    problems: &mut Vec<String>,
) -> (Injection, Option<i64>) {
    let mut fields = Fields::of(value, at, problems);
    let at_s = fields.seconds("at", None, 0..=of.duration_s);
    let for_s = fields.seconds("for", None, 1..=of.duration_s);
    let name = fields.text("class", "");
    let strength = fields.number("strength", 1.0, 0.05..=1.0);
    let replica = fields.count("replica", 0, 0..=of.replicas as u64 - 1) as usize;
    let class = Class::named(&name);
    match class {
        None => fields.wrong("class", format!("{name:?}, wanted one of {}", known_classes())),
        Some(class) if class.of_replica && of.replicas == 1 => {
            fields.wrong("class", format!("{} needs several replicas", class.name));
        }
        Some(class) if class.of_kubernetes && !of.kubernetes => {
            fields.wrong("class", format!("{} needs `kubernetes: true`", class.name));
        }
        Some(class) if !is_playable(class, of, limits) => {
            fields.wrong("class", format!("{} is not simulated", class.name));
        }
        Some(_) => {}
    }
    // Nobody sees the first class: that it is unknown was noted.
    let class = class.unwrap_or(&CLASSES[0]);
    let injection = Injection { at_s, for_s, class, strength, replica };
    if injection.end_s() > of.duration_s {
        fields.wrong("for", format!("beyond the end of {}s", of.duration_s));
    }
    let every_s = fields.seconds("every", Some(0), for_s + 1..=of.duration_s);
    fields.end();
    (injection, Some(every_s).filter(|every_s| *every_s > 0))
}

fn known_classes() -> String {
    CLASSES.iter().map(|class| class.name).collect::<Vec<_>>().join(", ")
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
            speed: not known, wanted some of load, injections, random, scrape_interval, rows, duration, seed, preset, coredns, native_histograms, kubernetes, replicas, upstreams, max_concurrent, warm_up, ports
            load.qps: many, wanted 1 to 2000
            load.mix.outer: not known, wanted some of internal, external, search, ptr, srv, random, unique, any, txt, missing
            load.mix: nothing is asked, wanted a weight above 0
            injections[0].class: "flood", wanted one of upstream_servfail, upstream_refused, upstream_nxdomain, upstream_timeout, upstream_slow, upstream_throttled, upstream_flap, cache_collapse, truncation, replica_bad, max_concurrent, nxdomain_ndots, random_subdomain, any_amplification, query_flood, traffic_loss, tcp_surge, replica_down, crashloop, cpu_throttled, replica_skew, loop, apiserver_down, benign_rollout, benign_restart, benign_reload, benign_new_zone, benign_load_doubling, benign_cronjob_burst, benign_nxdomain_batch
            injections[1].strength: 2, wanted 0.05 to 1
            injections[1].class: crashloop needs several replicas
            injections[1].for: beyond the end of 60s
            injections[2].servers: not known, wanted some of at, for, class, strength, replica, every
            injections[2].at: before the end of the one before
            injections[3]: wanted fields and their values"#]]
        .assert_eq(&parse_scenario("bad", text).unwrap_err().join("\n"));
    }

    #[test]
    fn what_comes_again_and_what_is_drawn_is_in_the_order_of_time() {
        let text = "duration: 21d\nscrape_interval: 30s\nload: {day: 1d}\nports: true\n\
            injections: [{at: 1h, for: 10m, class: benign_reload, every: 7d}]\n\
            random: {per_day: 2, for: 15m, classes: [query_flood, upstream_slow], strength: {from: 0.5, to: 0.9}}\n";
        let scenario = parse_simulation("weeks", text).unwrap();
        assert_eq!(scenario, parse_simulation("weeks", text).unwrap());
        let all = &scenario.injections;
        let benign: Vec<i64> = all.iter().filter(|i| i.class.is_benign()).map(|i| i.at_s).collect();
        assert_eq!(benign, [3_600, 3_600 + 7 * 86_400, 3_600 + 14 * 86_400]);
        assert!((38..=45).contains(&all.len()), "{}", all.len());
        assert!(all.windows(2).all(|pair| pair[0].end_s() < pair[1].at_s));
        let drawn = || all.iter().filter(|injection| !injection.class.is_benign());
        assert!(drawn().all(|i| i.for_s == 900 && (0.5..=0.9).contains(&i.strength)));
        assert!(
            ["query_flood", "upstream_slow"].iter().all(|n| drawn().any(|i| i.class.name == *n))
        );
        let seed = |seed| parse_simulation("weeks", &format!("seed: {seed}\n{text}")).unwrap();
        assert_ne!(seed(2).injections, seed(3).injections);
    }

    #[test]
    fn the_lab_refuses_what_it_cannot_play() {
        expect_test::expect![[r#"
            scrape_interval: 30s, wanted a duration of 1s to 5s
            duration: 14d, wanted a duration of 60s to 43200s
            ports: the fault lab has none, `portent simulate` has"#]]
        .assert_eq(
            &parse_scenario("long", "duration: 14d\nscrape_interval: 30s\nports: true")
                .unwrap_err()
                .join("\n"),
        );
        let text = "duration: 10m\ninjections: [{at: 1m, for: 30s, class: benign_reload, every: 2m}, \
            {at: 182s, for: 10s, class: query_flood}]\nrandom: {classes: [flood], per_day: none}";
        expect_test::expect![[r#"
            injections: query_flood comes 182s after the beginning, within benign_reload
            random.per_day: none, wanted 0.01 to 1000
            random.classes: "flood", wanted a list of upstream_servfail, upstream_refused, upstream_nxdomain, upstream_timeout, upstream_slow, upstream_throttled, upstream_flap, cache_collapse, truncation, replica_bad, max_concurrent, nxdomain_ndots, random_subdomain, any_amplification, query_flood, traffic_loss, tcp_surge, replica_down, crashloop, cpu_throttled, replica_skew, loop, apiserver_down, benign_rollout, benign_restart, benign_reload, benign_new_zone, benign_load_doubling, benign_cronjob_burst, benign_nxdomain_batch, where it can be played"#]]
        .assert_eq(&parse_scenario("bad", text).unwrap_err().join("\n"));
    }

    #[test]
    fn a_simulation_refuses_what_is_not_modelled() {
        let text = "duration: 10m\ncoredns: 1.8.0\nkubernetes: true\ninjections: [{at: 1m, for: 30s, class: loop}]";
        expect_test::expect![[r#"
            coredns: not simulated, only CoreDNS 1.15.0 with zone files and classic buckets
            kubernetes: not simulated, only CoreDNS 1.15.0 with zone files and classic buckets
            injections[0].class: loop is not simulated"#]]
        .assert_eq(&parse_simulation("old", text).unwrap_err().join("\n"));
    }
}

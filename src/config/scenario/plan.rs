//! Injections that nobody lists: those that come again, and those that are drawn.
//!
//! Owns: when and how strong they are. Does not own: what is listed, nor what each class does (`scenario`).

use serde_yaml::Value;

use super::Limits;
use super::fields::Fields;
use super::is_playable;
use super::known_classes;
use crate::math::random::Random;
use crate::scenario::Injection;
use crate::scenario::Scenario;
use crate::scenario::classes::CLASSES;
use crate::scenario::classes::Class;

/// The same again and again, until the scenario's end.
pub(super) fn again<'a>(
    first: &'a Injection,
    every_s: i64,
    of: &'a Scenario,
) -> impl Iterator<Item = Injection> + 'a {
    let times = (1..).map(move |n| Injection { at_s: first.at_s + n * every_s, ..first.clone() });
    times.take_while(|injection| injection.end_s() <= of.duration_s)
}

/// One at a time of its own in each of the equal parts of a day; none that would touch one that is listed.
pub(super) fn draw(
    value: Value,
    of: &Scenario,
    limits: &Limits,
    problems: &mut Vec<String>,
) -> Vec<Injection> {
    let mut fields = Fields::of(value, "random", problems);
    let strength = fields.value("strength");
    let per_day = fields.number("per_day", 1.0, 0.01..=1_000.0);
    let part_s = of.load.day_s as f64 / per_day;
    let most_s = (part_s / 2.0) as i64;
    let for_s = fields.seconds("for", Some((part_s / 20.0) as i64), 1..=most_s.max(1));
    let classes = classes(&mut fields, of, limits);
    fields.end();
    let (from, to) = range(strength, problems);
    let mut random = Random::new(of.seed ^ 0x00D1_CE00);
    let n_parts = (of.duration_s as f64 / part_s) as i64;
    let mut drawn = Vec::new();
    for part in 0..n_parts {
        let at_s = (part as f64 + random.unit()) * part_s;
        // Nothing reaches into the next part.
        let at_s = at_s.min((part + 1) as f64 * part_s - 1.25 * for_s as f64) as i64;
        let strength = from + (to - from) * random.unit();
        let replica = random.below(of.replicas);
        let Some(class) = classes.get(random.below(classes.len())) else { break };
        let injection = Injection { at_s, for_s, class, strength, replica };
        if !touches(&injection, of) {
            drawn.push(injection);
        }
    }
    drawn
}

/// Whether it is nearer to one that is listed than its labels and rates allow.
fn touches(injection: &Injection, of: &Scenario) -> bool {
    let near_s = of.rate_window_s + 2 * injection.class.settles_s;
    let touches = |other: &Injection| {
        injection.at_s < other.end_s() + near_s && other.at_s < injection.end_s() + near_s
    };
    of.injections.iter().any(touches) || injection.at_s < 0
}

fn classes(fields: &mut Fields, of: &Scenario, limits: &Limits) -> Vec<&'static Class> {
    let able = |class: &&Class| is_playable(class, of, limits);
    let Some(value) = fields.value("classes") else {
        return CLASSES.iter().filter(able).collect();
    };
    let named = |value: &Value| Class::named(value.as_str()?).filter(able);
    let list = value.as_sequence().map(Vec::as_slice).unwrap_or_default();
    let known: Option<Vec<&Class>> = list.iter().map(named).collect();
    known.filter(|known| !known.is_empty()).unwrap_or_else(|| {
        let given: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
        let alone = if list.is_empty() { "" } else { ", where it can be played" };
        fields.wrong(
            "classes",
            format!("{:?}, wanted a list of {}{alone}", given.join(", "), known_classes()),
        );
        Vec::new()
    })
}

fn range(value: Option<Value>, problems: &mut Vec<String>) -> (f64, f64) {
    let Some(value) = value else { return (0.3, 1.0) };
    let mut fields = Fields::of(value, "random.strength", problems);
    let from = fields.number("from", 0.3, 0.05..=1.0);
    let to = fields.number("to", 1.0, from..=1.0);
    fields.end();
    (from, to)
}

//! How a person's label comes in, from the command line and from the API alike.
//!
//! Owns: the form of a new label and every rule that it must keep.
//! Does not own: whether the watch exists (the caller knows the configuration), who is asking, or
//! where labels are kept (`store`).

mod class;
mod time;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Map;
use serde_json::Value;

use crate::math::duration::format_duration;
use crate::series::Entity;
use crate::verdict::Interval;
use crate::verdict::Label;
use crate::verdict::Verdict;
use crate::verdict::Withdrawal;

pub use class::MAX_CLASS_LEN;
pub use time::Time;

use class::class_problem;

/// Longest labelled interval: a month. Longer ones are slips of the year or of the unit.
pub const MAX_LENGTH_S: i64 = 31 * 86_400;
/// Longest note, in bytes.
pub const MAX_NOTE_LEN: usize = 2048;
/// Longest name of an author, in bytes.
pub const MAX_AUTHOR_LEN: usize = 256;
/// How far a person's clock may be ahead of ours before "now" counts as the future.
const MAX_CLOCK_SKEW_S: i64 = 60;

/// A label as a person writes it; nothing is checked yet.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "an object with watch, entity, from, to and verdict"
)]
pub struct NewLabel {
    /// The watch's name.
    pub watch: Option<String>,
    /// The entity it is about.
    pub entity: Option<EntityText>,
    /// First second of the interval.
    pub from: Option<Time>,
    /// One past its last second.
    pub to: Option<Time>,
    /// `anomaly` or `normal`.
    pub verdict: Option<String>,
    /// The kind of anomaly.
    pub class: Option<String>,
    /// Free text.
    pub note: Option<String>,
}

/// Why a label is taken back, as a person writes it; nothing is checked yet.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "an object with note, or nothing")]
pub struct NewWithdrawal {
    /// Free text.
    pub note: Option<String>,
}

/// An entity, as text or as an object.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged, expecting = r#"wanted "job=coredns" or {"job": "coredns"}"#)]
pub enum EntityText {
    /// `job=coredns,instance=a`.
    Text(String),
    /// `{"job": "coredns"}`.
    Pairs(Entity),
}

/// Who says it, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The basic-auth user or the login name.
    pub author: Option<String>,
    /// `cli`, `api`, …
    pub source: &'static str,
}

impl NewLabel {
    /// Reads the JSON of a request.
    ///
    /// # Errors
    /// Where it is not JSON; or every key and every type that does not belong there.
    pub fn from_json(json: &[u8]) -> Result<NewLabel, Vec<String>> {
        read(json)
    }

    /// The label, said at `now_s` (unix seconds), from which relative times count.
    ///
    /// # Errors
    /// Every problem at once, each beginning with the field's name.
    pub fn check(self, origin: Origin, now_s: i64) -> Result<Label, Vec<String>> {
        let mut problems = Vec::new();
        let watch = required(self.watch, "watch", &mut problems)
            .filter(|watch| keep(!watch.is_empty(), "watch: empty", &mut problems));
        let entity = required(self.entity, "entity", &mut problems)
            .and_then(|entity| field("entity", entity.read(), &mut problems));
        let from_s = required(self.from, "from", &mut problems)
            .and_then(|time| field("from", time.seconds(now_s), &mut problems));
        let to_s = required(self.to, "to", &mut problems)
            .and_then(|time| field("to", time.seconds(now_s), &mut problems));
        let interval = from_s.zip(to_s).map(|(from_s, to_s)| Interval { from_s, to_s });
        if let Some(interval) = interval {
            problems.extend(interval_problem(interval));
        }
        if to_s.is_some_and(|to_s| to_s > now_s.saturating_add(MAX_CLOCK_SKEW_S)) {
            problems.push("to: lies in the future; wanted an interval that has passed".to_string());
        }
        let verdict = required(self.verdict, "verdict", &mut problems)
            .and_then(|text| field("verdict", verdict(&text), &mut problems));
        let class = self.class.filter(|class| !class.is_empty());
        problems.extend(class.as_deref().and_then(|class| class_problem(class, verdict)));
        let note = text("note", self.note, MAX_NOTE_LEN, &mut problems);
        let author = text("author", origin.author, MAX_AUTHOR_LEN, &mut problems);
        match (watch, entity, interval, verdict) {
            (Some(watch), Some(entity), Some(interval), Some(verdict)) if problems.is_empty() => {
                let source = origin.source.to_string();
                let created_s = now_s;
                Ok(Label {
                    watch,
                    entity,
                    interval,
                    verdict,
                    class,
                    author,
                    note,
                    source,
                    created_s,
                })
            }
            _ => Err(problems),
        }
    }
}

impl NewWithdrawal {
    /// Reads the JSON of a request; an empty body gives no reason.
    ///
    /// # Errors
    /// As [`NewLabel::from_json`].
    pub fn from_json(json: &[u8]) -> Result<NewWithdrawal, Vec<String>> {
        if json.trim_ascii().is_empty() { Ok(NewWithdrawal::default()) } else { read(json) }
    }

    /// The withdrawal, said at `now_s` (unix seconds).
    ///
    /// # Errors
    /// Every problem at once, each beginning with the field's name.
    pub fn check(self, origin: Origin, now_s: i64) -> Result<Withdrawal, Vec<String>> {
        let mut problems = Vec::new();
        let note = text("note", self.note, MAX_NOTE_LEN, &mut problems);
        let author = text("author", origin.author, MAX_AUTHOR_LEN, &mut problems);
        let source = origin.source.to_string();
        match problems.is_empty() {
            true => Ok(Withdrawal { author, note, source, created_s: now_s }),
            false => Err(problems),
        }
    }
}

impl EntityText {
    fn read(self) -> Result<Entity, String> {
        match self {
            EntityText::Text(text) => text.parse::<Entity>().map_err(|error| error.to_string()),
            EntityText::Pairs(pairs) if pairs.get("").is_some() => {
                Err("an empty label name".to_string())
            }
            // Again, since what serde read may hold empty values.
            EntityText::Pairs(pairs) => Ok(Entity::new(pairs.pairs())),
        }
    }
}

/// Reads an object. What does not fit is told field by field, since serde names no field.
fn read<T: DeserializeOwned>(json: &[u8]) -> Result<T, Vec<String>> {
    if json.trim_ascii().is_empty() {
        return Err(vec!["the body is empty; wanted JSON".to_string()]);
    }
    let whole = match serde_json::from_slice(json) {
        Ok(read) => return Ok(read),
        Err(error) if error.is_data() => vec![error.to_string()],
        Err(error) => vec![format!("the body is not JSON: {error}")],
    };
    let fields = serde_json::from_slice::<Map<String, Value>>(json).unwrap_or_default();
    let problem = |(name, value): (String, Value)| {
        let alone = Value::Object(Map::from_iter([(name.clone(), value)]));
        serde_json::from_value::<T>(alone).err().map(|error| format!("{name}: {error}"))
    };
    let problems: Vec<String> = fields.into_iter().filter_map(problem).collect();
    Err(if problems.is_empty() { whole } else { problems })
}

/// Free text without the space around it; empty is none. Notes if it is too long.
fn text(
    name: &str,
    text: Option<String>,
    max_len: usize,
    problems: &mut Vec<String>,
) -> Option<String> {
    let text = text.map(|text| text.trim().to_string()).filter(|text| !text.is_empty())?;
    if text.len() > max_len {
        problems.push(format!("{name}: {} bytes; wanted at most {max_len}", text.len()));
    }
    Some(text)
}

/// Notes that a field is missing.
fn required<T>(value: Option<T>, name: &str, problems: &mut Vec<String>) -> Option<T> {
    if value.is_none() {
        problems.push(format!("{name}: missing"));
    }
    value
}

/// Notes what is wrong with a field.
fn field<T>(name: &str, value: Result<T, String>, problems: &mut Vec<String>) -> Option<T> {
    value.map_err(|problem| problems.push(format!("{name}: {problem}"))).ok()
}

/// Notes `problem` unless `holds`.
fn keep(holds: bool, problem: &str, problems: &mut Vec<String>) -> bool {
    if !holds {
        problems.push(problem.to_string());
    }
    holds
}

fn verdict(text: &str) -> Result<Verdict, String> {
    let found = Verdict::ALL.into_iter().find(|verdict| verdict.as_str() == text);
    found.ok_or_else(|| format!("{text:?}; wanted anomaly or normal"))
}

fn interval_problem(interval: Interval) -> Option<String> {
    let length_s = interval.to_s.saturating_sub(interval.from_s);
    if length_s <= 0 {
        return Some("to: not after from".to_string());
    }
    let shown = format_duration(length_s);
    (length_s > MAX_LENGTH_S).then(|| format!("to: {shown} after from; wanted at most 31d"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_S: i64 = 1_795_370_400; // 2026-11-22T18:00:00Z

    fn said(json: &str) -> Result<Label, Vec<String>> {
        let origin = Origin { author: Some("mara".to_string()), source: "api" };
        NewLabel::from_json(json.as_bytes())?.check(origin, NOW_S)
    }

    #[test]
    fn a_whole_label() {
        let label = said(
            r#"{"watch": "coredns", "entity": "job=coredns", "from": "2026-11-22T17:00Z",
                "to": "-10m", "verdict": "anomaly", "class": "upstream_slow", "note": " slow\n"}"#,
        )
        .unwrap();
        let wanted = Label {
            watch: "coredns".to_string(),
            entity: Entity::new([("job", "coredns")]),
            interval: Interval { from_s: NOW_S - 3600, to_s: NOW_S - 600 },
            verdict: Verdict::Anomaly,
            class: Some("upstream_slow".to_string()),
            author: Some("mara".to_string()),
            note: Some("slow".to_string()),
            source: "api".to_string(),
            created_s: NOW_S,
        };
        assert_eq!(label, wanted);
    }

    #[test]
    fn an_entity_may_be_an_object_or_empty() {
        let with = |entity: &str| {
            let json = r#"{"watch": "w", "entity": E, "from": 1795366800, "to": "now", "verdict": "normal"}"#;
            said(&json.replace('E', entity)).unwrap().entity
        };
        let pairs = [("ifName", "Gi1/0,5"), ("instance", "a")];
        let object = r#"{"instance": "a", "ifName": "Gi1/0,5", "mode": ""}"#;
        assert_eq!(with(object), Entity::new(pairs));
        assert_eq!(with(r#""instance=a,ifName=\"Gi1/0,5\"""#), Entity::new(pairs));
        assert_eq!(with(r#""""#), Entity::default());
    }

    #[test]
    fn all_problems_at_once() {
        let problems = said(&format!(
            r#"{{"watch": "", "entity": "job", "from": "2026-11-22 17:00", "to": "+5m",
                 "verdict": "broken", "class": "Slow Upstream", "note": "{}"}}"#,
            "x".repeat(2049)
        ))
        .unwrap_err();
        let wanted = [
            "watch: empty",
            "entity: entity \"job\": a part without =; wanted name=value,name=value",
            "from: \"2026-11-22 17:00\"; wanted 2026-11-22T10:00:00Z, unix seconds, now or -10m",
            "to: \"+5m\"; wanted 2026-11-22T10:00:00Z, unix seconds, now or -10m",
            "verdict: \"broken\"; wanted anomaly or normal",
            "class: \"Slow Upstream\"; wanted snake_case such as upstream_slow, at most 64 long",
            "note: 2049 bytes; wanted at most 2048",
        ];
        assert_eq!(problems, wanted);
        let wanted =
            ["watch", "entity", "from", "to", "verdict"].map(|name| format!("{name}: missing"));
        assert_eq!(said("{}").unwrap_err(), wanted);
    }

    #[test]
    fn the_interval_has_passed_and_is_no_longer_than_a_month() {
        let with = |from: &str, to: &str, rest: &str| {
            said(&format!(
                r#"{{"watch": "w", "entity": "", "from": {from}, "to": {to}, "verdict": "normal"{rest}}}"#
            ))
        };
        let problem = |from, to| with(from, to, "").unwrap_err().join("; ");
        assert_eq!(problem("\"-5m\"", "\"-5m\""), "to: not after from");
        assert_eq!(problem("\"now\"", "\"-5m\""), "to: not after from");
        assert_eq!(problem("\"-31d1s\"", "\"now\""), "to: 31d1s after from; wanted at most 31d");
        let future = "to: lies in the future; wanted an interval that has passed";
        assert_eq!(problem("\"now\"", "1795370461"), future);
        assert!(with("\"-31d\"", "\"now\"", "").is_ok());
        assert!(with("\"-5m\"", "1795370459", "").is_ok(), "clocks differ a little");
        let classed = with("\"-5m\"", "\"now\"", r#", "class": "slow""#).unwrap_err();
        assert_eq!(
            classed,
            ["class: what is normal has none; wanted the verdict anomaly, or no class"]
        );
    }

    #[test]
    fn json_that_does_not_fit_says_where() {
        let error = |json| said(json).unwrap_err().join("; ");
        assert_eq!(
            error(r#"{"wach": "w"}"#),
            "wach: unknown field `wach`, expected one of `watch`, `entity`, `from`, `to`, \
             `verdict`, `class`, `note`"
        );
        assert_eq!(
            error(r#"{"entity": 5, "from": [], "verdict": 1}"#),
            "entity: wanted \"job=coredns\" or {\"job\": \"coredns\"}; \
             from: wanted 2026-11-22T10:00:00Z, unix seconds, now or -10m; \
             verdict: invalid type: integer `1`, expected a string"
        );
        assert_eq!(
            error(r#"{"watch": "a", "watch": "b"}"#),
            "duplicate field `watch` at line 1 column 22"
        );
        assert_eq!(
            error("7"),
            "invalid type: integer `7`, expected an object with watch, entity, from, to and \
             verdict at line 1 column 1"
        );
        let nameless =
            r#"{"watch": "w", "entity": {"": "x"}, "from": 0, "to": 9, "verdict": "normal"}"#;
        assert_eq!(error(nameless), "entity: an empty label name");
        let cut = "the body is not JSON: EOF while parsing a list at line 1 column 1";
        assert_eq!(error("["), cut);
        assert_eq!(error(" "), "the body is empty; wanted JSON");
    }
    #[test]
    fn a_withdrawal_may_give_its_reason() {
        let said = |json: &str, author: &str| {
            let origin = Origin { author: Some(author.to_string()), source: "api" };
            NewWithdrawal::from_json(json.as_bytes())?.check(origin, NOW_S)
        };
        let silent = said(" ", "").unwrap();
        let wanted =
            Withdrawal { author: None, note: None, source: "api".into(), created_s: NOW_S };
        assert_eq!(silent, wanted);
        let note = Some("wrong port".to_string());
        assert_eq!(said(r#"{"note": "wrong port "}"#, "ann").unwrap().note, note);
        let problems = said(r#"{"why": "x"}"#, "ann").unwrap_err();
        assert_eq!(problems, ["why: unknown field `why`, expected `note`"]);
        let long = said("{}", &"a".repeat(257)).unwrap_err();
        assert_eq!(long, ["author: 257 bytes; wanted at most 256"]);
    }
}

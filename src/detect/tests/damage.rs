//! Stored parts that were damaged: refused, or a model that scores without a panic.

use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

use serde_json::Value;
use serde_json::json;

use super::*;
use crate::detect::Numbers;
use crate::detect::Parts;

/// No detector looks back at so many rows; a reader of them would keep as many for every series.
const MOST_LOOKBACK: usize = 100_000;

/// Rows that a damaged model has to score.
const SCORED: usize = 10;

/// Restores and scores; a panic is told with what was done to the parts.
fn survives(config: &Config, what: &str, parts: Parts, rows: &Window) {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let Ok(model) = config.restore(parts) else { return };
        assert!(model.lookback() <= MOST_LOOKBACK, "looks back at {} rows", model.lookback());
        for raw in model.score(rows, rows.grid.len - SCORED) {
            assert!(raw.value.is_nan() || raw.value >= 0.0, "{raw:?}");
        }
        drop(model.parts());
    }));
    assert!(outcome.is_ok(), "{}: {what}", config.name());
}

fn subject(config: &Config) -> (Parts, Window) {
    let (train, all) = learnt(config);
    let model = fit(config, &train).unwrap();
    let n = all.grid.len;
    (model.parts(), all.slice(n - SCORED - model.lookback(), n))
}

#[test]
fn damaged_numbers_are_no_panic() {
    for config in every() {
        let (parts, rows) = subject(&config);
        for (t, tensor) in parts.tensors.iter().enumerate() {
            let n = tensor.numbers.len();
            // The first, the last and some in between, or all.
            let places = (0..n).step_by((n / 5).max(1)).chain(n.checked_sub(1));
            let sets = places.map(|at| at..at + 1).chain(std::iter::once(0..n));
            for set in sets {
                for with in [0.0, -1.0, 3.0, 255.0, 65_535.0, 1e30, -1e30, f64::NAN, f64::INFINITY]
                {
                    let mut damaged = parts.clone();
                    put(&mut damaged.tensors[t].numbers, set.clone(), with);
                    let what = format!("{} {set:?} = {with}", tensor.name);
                    survives(&config, &what, damaged, &rows);
                }
            }
        }
    }
}

fn put(numbers: &mut Numbers, set: std::ops::Range<usize>, with: f64) {
    match numbers {
        Numbers::F32(values) => values[set].fill(with as f32),
        Numbers::F64(values) => values[set].fill(with),
        Numbers::U16(values) => values[set].fill(with as u16),
        Numbers::U8(values) => values[set].fill(with as u8),
    }
}

#[test]
fn cut_and_foreign_tensors_are_refused_or_no_panic() {
    for config in every() {
        let (parts, rows) = subject(&config);
        for t in 0..parts.tensors.len() {
            let name = &parts.tensors[t].name;
            let n = parts.tensors[t].numbers.len();
            let with = |change: &dyn Fn(&mut Parts)| {
                let mut damaged = parts.clone();
                change(&mut damaged);
                damaged
            };
            let missing = with(&|p| drop(p.tensors.remove(t)));
            // Models of before it was stored are restored.
            let later = (config.name(), name.as_str()) == ("sarimax", "reach");
            let refused = config.restore(missing).is_err();
            assert_eq!(refused, !later, "{}: without {name}", config.name());
            let renamed = with(&|p| p.tensors[t].name = "other".into());
            assert!(config.restore(renamed).is_err(), "{}: {name} renamed", config.name());
            let twice = with(&|p| p.tensors.push(p.tensors[t].clone()));
            assert!(config.restore(twice).is_err(), "{}: {name} twice", config.name());
            let lying = with(&|p| p.tensors[t].shape = vec![usize::MAX, 2]);
            assert!(config.restore(lying).is_err(), "{}: {name} of a false shape", config.name());
            for left in [0, 1, n / 2, n.saturating_sub(1), n + 1] {
                let cut = with(&|p| {
                    resize(&mut p.tensors[t].numbers, left);
                    p.tensors[t].shape = vec![left];
                });
                survives(&config, &format!("{name} of {n} cut to {left}"), cut, &rows);
            }
            let typed = with(&|p| {
                let other = matches!(p.tensors[t].numbers, Numbers::U8(_));
                p.tensors[t].numbers =
                    if other { Numbers::F32(vec![1.0; n]) } else { Numbers::U8(vec![1; n]) };
            });
            survives(&config, &format!("{name} of another type"), typed, &rows);
        }
    }
}

fn resize(numbers: &mut Numbers, n: usize) {
    match numbers {
        Numbers::F32(values) => values.resize(n, 1.0),
        Numbers::F64(values) => values.resize(n, 1.0),
        Numbers::U16(values) => values.resize(n, 1),
        Numbers::U8(values) => values.resize(n, 1),
    }
}

#[test]
fn changed_settings_of_the_numbers_are_no_panic() {
    for config in every() {
        let (parts, rows) = subject(&config);
        let mut places = Vec::new();
        paths(&parts.meta, String::new(), &mut places);
        for path in &places {
            for with in [
                Value::Null,
                json!(0),
                json!(1),
                json!(-1),
                json!(7),
                json!(1_000_000_007_i64),
                json!(i64::MAX),
                json!(u64::MAX),
                json!(1e300),
                json!("x"),
                json!([]),
                json!({}),
                json!(true),
            ] {
                let mut damaged = parts.clone();
                let what = format!("meta{path} = {with}");
                if let Some(place) = damaged.meta.pointer_mut(path) {
                    *place = with;
                }
                survives(&config, &what, damaged, &rows);
            }
        }
        let empty = Parts { meta: Value::Null, tensors: parts.tensors.clone() };
        assert!(config.restore(empty).is_err(), "{}: without settings", config.name());
        assert!(config.restore(Parts::default()).is_err(), "{}: of nothing", config.name());
    }
}

/// The JSON pointers of every value; of lists, of the first and the last.
fn paths(value: &Value, at: String, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            map.iter().for_each(|(key, value)| paths(value, format!("{at}/{key}"), found));
        }
        Value::Array(list) => {
            let ends = [0, list.len().saturating_sub(1)];
            ends.into_iter().filter(|&i| i < list.len()).for_each(|i| {
                paths(&list[i], format!("{at}/{i}"), found);
            });
        }
        _ => {}
    }
    found.push(at);
}

#[test]
fn parts_of_another_detector_are_refused() {
    let all = every();
    let parts: Vec<_> = all.iter().map(|config| subject(config).0).collect();
    for config in &all {
        for (other, parts) in all.iter().zip(&parts).filter(|(o, _)| o.name() != config.name()) {
            let refused = config.restore(parts.clone()).is_err();
            assert!(refused, "{} took what is of {}", config.name(), other.name());
        }
    }
}

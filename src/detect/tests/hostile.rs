//! Input that nobody wished for: a score or a typed reason, never a panic, never NaN out of a number.

use proptest::prelude::*;

use super::*;

const HOSTILE: [f64; 7] = [0.0, 1e18, -1e18, 5e-324, -5e-324, f64::NAN, -7.0];

fn trainings() -> Vec<Vec<f64>> {
    let calm = traffic().values;
    let only = |keep: fn(usize) -> bool| {
        let value = |(i, v): (usize, &f64)| if keep(i) { *v } else { f64::NAN };
        calm.iter().enumerate().map(value).collect::<Vec<f64>>()
    };
    vec![
        vec![],
        vec![1.0],
        vec![f64::NAN; 1000],
        vec![0.0; 1000],
        vec![7.25; 1000],
        vec![-1e18; 1000],
        vec![5e-324; 1000],
        HOSTILE.repeat(200),
        calm[..5].to_vec(),
        calm[..30].to_vec(),
        calm[..DAY + 7].to_vec(),
        calm[..7 * DAY - 1].to_vec(),
        calm[..15 * DAY].to_vec(),
        calm.iter().map(|v| v * 1e18).collect(),
        calm.iter().map(|v| v * 1e-320).collect(),
        calm.iter().map(|v| -v - 1e6).collect(),
        // One value at either end; every other row; one row a day; half a day, every day.
        only(|i| i == 0 || i == 2015),
        only(|i| i % 2 == 0),
        only(|i| i % DAY == 5),
        only(|i| i % DAY < DAY / 2),
        // Steps and ramps.
        (0..1500).map(|i| if i < 750 { 0.0 } else { 1e6 }).collect(),
        (0..1500).map(f64::from).collect(),
        (0..1500).map(|i| f64::from(i % 2)).collect(),
    ]
}

fn probes() -> Vec<Window> {
    let calm = traffic();
    let mut spiked = calm.clone();
    spiked.values.iter_mut().skip(900).step_by(41).for_each(|v| *v = 1e18);
    let long = |value: f64| window(vec![value; 1200]);
    vec![calm, spiked, long(7.25), long(f64::NAN), long(-1e18), window(HOSTILE.repeat(150))]
}

/// Where a row and its look-back are numbers, its score is one.
fn scores_are_numbers(model: &dyn Model, rows: &Window) -> Result<(), String> {
    let scores = model.score(rows, 0);
    if scores.len() != rows.grid.len {
        return Err(format!("{} scores of {} rows", scores.len(), rows.grid.len));
    }
    let mut gap_at = None;
    for (i, raw) in scores.iter().enumerate() {
        if rows.values[i].is_nan() {
            gap_at = Some(i);
        }
        let full = i.checked_sub(model.lookback());
        let should = full.is_some_and(|from| gap_at.is_none_or(|gap| gap < from));
        let is = raw.value.is_finite() && raw.value >= 0.0;
        let unknown = raw.value.is_nan() && !should;
        if !is && !unknown {
            return Err(format!("row {i}, {}: {raw:?}", rows.values[i]));
        }
        if rows.values[i].is_nan() && is {
            return Err(format!("row {i} is a gap: {raw:?}"));
        }
    }
    Ok(())
}

#[test]
fn any_training_is_a_model_or_a_reason() {
    for config in singles() {
        for (k, training) in trainings().into_iter().enumerate() {
            let model = match fit(&config, &window(training)) {
                Ok(model) => model,
                Err(FitError::Stopped) => panic!("{config:?}, training {k}: nobody stopped it"),
                Err(_) => continue,
            };
            let restored = config.restore(model.parts());
            let restored = restored.unwrap_or_else(|e| panic!("{config:?}, training {k}: {e}"));
            for (p, probe) in probes().iter().enumerate() {
                let at = format!("{config:?}, training {k}, probe {p}");
                scores_are_numbers(model.as_ref(), probe).unwrap_or_else(|e| panic!("{at}: {e}"));
                let differ = differing(&model.score(probe, 0), &restored.score(probe, 0));
                assert_eq!(differ, [0; 0], "{at}: restored");
                let n = probe.grid.len;
                let alone = one_by_one(model.as_ref(), probe, n - 60..n);
                let whole = model.score(probe, n - 60);
                assert_eq!(differing(&alone, &whole), [0; 0], "{at}: one by one");
            }
        }
    }
}

#[test]
fn numbers_near_the_end_of_the_scale_panic_nobody() {
    let extreme = [1e300, -1e300, f64::MAX, f64::MIN, f64::INFINITY, f64::NEG_INFINITY, 1.0];
    for config in singles() {
        let calm = fit(&config, &traffic()).unwrap();
        let wild = fit(&config, &window(extreme.repeat(250)));
        for model in wild.into_iter().chain([calm]) {
            let rows = window(extreme.repeat(150));
            for raw in model.score(&rows, 0) {
                assert!(raw.value.is_nan() || raw.value >= 0.0, "{config:?}: {raw:?}");
            }
        }
    }
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        20 => -3.0..3.0f64,
        2 => Just(f64::NAN),
        1 => Just(0.0),
        1 => prop::sample::select(HOSTILE.to_vec()),
        1 => -1e18..1e18f64,
    ]
}

fn any_window() -> impl Strategy<Value = Window> {
    let steps = prop::sample::select(vec![1i64, 60, 300, 1800, 3600, 86_400]);
    // Pieces of rows, constants and repetitions: what proptest draws is seldom periodic.
    let piece = prop_oneof![
        (prop::collection::vec(number(), 1..60), 1usize..12).prop_map(|(rows, n)| rows.repeat(n)),
        (number(), 1usize..200).prop_map(|(value, n)| vec![value; n]),
    ];
    let rows = prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat());
    (steps, -1_000_000i64..2_000_000, rows).prop_map(|(step_s, start, values)| {
        let grid = Grid { start_s: start * step_s, step_s, len: values.len() };
        Window::single(grid, values)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_rows_keep_the_contract(all in any_window(), part in 0.3..1.0f64) {
        let n = all.grid.len;
        let train = all.slice(0, (n as f64 * part) as usize);
        for config in singles() {
            let Ok(model) = fit(&config, &train) else { continue };
            let kept = scores_are_numbers(model.as_ref(), &all);
            prop_assert!(kept.is_ok(), "{config:?}: {kept:?}");
            let whole = model.score(&all, 0);
            let restored = config.restore(model.parts());
            prop_assert!(restored.is_ok(), "{config:?}: {:?}", restored.err());
            prop_assert_eq!(differing(&restored.unwrap().score(&all, 0), &whole), Vec::<usize>::new());
            let alone = one_by_one(model.as_ref(), &all, (0..n).rev().step_by(7));
            let batch: Vec<Raw> = (0..n).rev().step_by(7).map(|i| whole[i]).collect();
            prop_assert_eq!(differing(&alone, &batch), Vec::<usize>::new(), "{:?}", config);
        }
    }
}

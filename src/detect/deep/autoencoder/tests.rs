use proptest::prelude::*;

use crate::detect;
use crate::series::Grid;

use super::*;

/// Rows of `features` metrics that hang together, as those of one server do: a cycle, two slow
/// wanderings, noise. Every seventh is quiet but for rare counts, every eleventh is dead.
fn server(rows: usize, features: usize, seed: u64) -> Window {
    let mut random = Random::new(seed);
    let mut normal = move || (0..12).map(|_| f64::from(random.unit_f32())).sum::<f64>() - 6.0;
    let loads: Vec<[f64; 4]> =
        (0..features).map(|_| [normal(), normal(), normal(), 0.3 + 0.2 * normal().abs()]).collect();
    let grid = Grid { start_s: 0, step_s: 1, len: rows };
    let mut window = Window::gaps(grid, features);
    let (mut slow, mut fast) = (0.0, 0.0);
    for i in 0..rows {
        slow += -0.02 * slow + 0.2 * normal();
        fast += -0.3 * fast + 0.7 * normal();
        let cycle = (i as f64 * std::f64::consts::TAU / 60.0).sin();
        for (f, cell) in window.row_mut(i).iter_mut().enumerate() {
            let [a, b, c, d] = loads[f];
            let size = (a * a / 2.0 + b * b + c * c + d * d).sqrt();
            let noise = normal();
            *cell = match f {
                _ if f % 11 == 10 => 0.0,
                _ if f % 7 == 6 => (noise - 1.5).max(0.0).floor(),
                _ => (a * cycle + b * slow + c * fast + d * noise) / size,
            };
        }
    }
    window
}

fn context() -> FitContext<'static> {
    FitContext::new(1, &|| true)
}

fn fitted(window: &Window) -> Autoencoder {
    Autoencoder::fit(&Config::default(), window, &context()).unwrap()
}

fn raw(model: &Autoencoder, window: &Window, first: usize) -> Vec<f64> {
    model.score(window, first).iter().map(|r| r.value).collect()
}

fn quantile(scores: &[f64], q: f64) -> f64 {
    let mut sorted: Vec<f64> = scores.iter().copied().filter(|s| !s.is_nan()).collect();
    sorted.sort_by(f64::total_cmp);
    sorted[((sorted.len() - 1) as f64 * q) as usize]
}

fn largest(scores: &[f64]) -> f64 {
    scores.iter().copied().fold(0.0, f64::max)
}

/// Eight sines that keep their phases to each other; the last is dead.
fn waves(rows: usize) -> Window {
    let mut random = Random::new(3);
    let grid = Grid { start_s: 0, step_s: 1, len: rows };
    let mut window = Window::gaps(grid, 8);
    for i in 0..rows {
        for (f, cell) in window.row_mut(i).iter_mut().enumerate() {
            let phase = i as f64 * 0.35 + f as f64 * 0.7;
            *cell =
                if f == 7 { 0.0 } else { 1.4 * phase.sin() + 0.2 * f64::from(random.unit_f32()) };
        }
    }
    window
}

const TRAINED: usize = 300;

/// Trained once for all tests of this file that only read it.
fn model() -> &'static Autoencoder {
    static MODEL: std::sync::OnceLock<Autoencoder> = std::sync::OnceLock::new();
    MODEL.get_or_init(|| fitted(&waves(TRAINED)))
}

/// The largest score of normal rows after training, and of rows 340..352 after `fault`.
fn normal_and_faulty(fault: impl Fn(usize, &mut [f64])) -> (f64, f64) {
    let mut window = waves(TRAINED + 100);
    let normal = largest(&raw(model(), &window, TRAINED));
    for i in 340..352 {
        fault(i, window.row_mut(i));
    }
    (normal, largest(&raw(model(), &window, TRAINED)[40..52]))
}

#[test]
fn finds_a_level_shift() {
    let (normal, faulty) = normal_and_faulty(|_, row| row[2] += 3.0);
    assert!(faulty > 1.5 * normal, "{faulty} against {normal}");
}

#[test]
fn finds_a_dead_feature_that_comes_alive() {
    let (normal, faulty) = normal_and_faulty(|i, row| row[7] = 1.5 * (i as f64 * 0.9).sin());
    assert!(faulty > 1.5 * normal, "{faulty} against {normal}");
}

#[test]
fn finds_a_correlation_that_breaks_though_every_value_is_usual() {
    let turned = |i: usize, row: &mut [f64]| row[1] = 1.4 * (i as f64 * 0.35 + 0.7 + 2.5).sin();
    let (normal, faulty) = normal_and_faulty(turned);
    assert!(faulty > 1.5 * normal, "{faulty} against {normal}");
}

#[test]
fn one_fault_among_many_features_stands_out_after_three_minutes() {
    let all = server(180 + 120, 45, 5);
    let steps = std::sync::atomic::AtomicUsize::new(0);
    let count = || steps.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < usize::MAX;
    let context = FitContext::new(1, &count);
    let model = Autoencoder::fit(&Config::default(), &all.slice(0, 180), &context).unwrap();
    // A rare count that three minutes never saw is as strange as the fault.
    let normal = quantile(&raw(&model, &all, 180), 0.9);
    let mut bad = all.clone();
    (240..246).for_each(|i| bad.row_mut(i)[8] += 10.0);
    let faulty = largest(&raw(&model, &bad, 240)[..6]);
    assert!(faulty > 1.1 * normal, "{faulty} against {normal}");
    // A step takes 2 to 3 ms of one core; counted, since other tests' load must not fail this one.
    let steps = steps.into_inner();
    assert!(steps < 1000, "{steps} steps");
}

#[test]
fn a_gap_costs_its_own_score_only() {
    let whole = waves(TRAINED + 100);
    let mut holed = whole.clone();
    holed.row_mut(320).fill(f64::NAN);
    holed.row_mut(325)[3] = f64::NAN;
    let (before, after) = (raw(model(), &whole, TRAINED), raw(model(), &holed, TRAINED));
    let unknown: Vec<usize> = (0..100).filter(|&i| after[i].is_nan()).collect();
    assert_eq!(unknown, [20]);
    assert!(largest(&after) < 2.0 * largest(&before), "{after:?}");
    for i in (0..20).chain(58..100) {
        assert!((before[i] - after[i]).abs() < 1e-4, "row {i}: {} {}", before[i], after[i]);
    }
}

#[test]
fn scores_do_not_depend_on_later_rows_or_on_what_was_scored_with_them() {
    let whole = waves(TRAINED + 40);
    let together = raw(model(), &whole, TRAINED);
    for i in [0, 7, 39] {
        let alone = raw(model(), &whole.slice(i + TRAINED - 31, i + TRAINED + 1), 31);
        assert!((alone[0] - together[i]).abs() < 1e-4, "{} {}", alone[0], together[i]);
    }
}

#[test]
fn half_a_window_suffices_for_a_score_and_less_does_not() {
    let scores = raw(model(), &waves(40), 0);
    let first = scores.iter().position(|s| !s.is_nan());
    assert_eq!(first, Some(15));
    assert!(scores[15..].iter().all(|s| s.is_finite()));
    assert_eq!(model().lookback(), 31);
}

#[test]
fn a_window_of_other_columns_is_unknown() {
    let other = waves(50).select(&[0, 1]);
    assert!(raw(model(), &other, 40).iter().all(|s| s.is_nan()));
    assert!(raw(model(), &waves(50), 50).is_empty());
    assert!(raw(model(), &waves(50), 60).is_empty());
    assert_eq!(model().contributions(&waves(0)), None);
}

#[test]
fn a_huge_value_scores_above_a_big_one_and_nothing_overflows() {
    let mut last = 0.0;
    for value in [5.0, 15.0, 45.0, f64::INFINITY] {
        let mut window = waves(100);
        window.row_mut(99)[4] = value;
        let score = raw(model(), &window, 99)[0];
        assert!(score.is_finite() && score > last, "{value}: {score} after {last}");
        last = score;
    }
}

#[test]
fn contributions_point_at_the_fault_and_add_up() {
    let mut window = waves(100);
    window.row_mut(99)[4] += 5.0;
    let shares = model().contributions(&window).unwrap();
    assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    assert!(shares[4] > 0.5, "{shares:?}");
    let above = model().deviations(&window).unwrap();
    let same = above.iter().map(|v| v.abs() / above.iter().map(|v| v.abs()).sum::<f64>());
    assert!(same.zip(shares).all(|(a, b)| (a - b).abs() < 1e-12));
    window.row_mut(99)[4] -= 10.0;
    let below = model().deviations(&window).unwrap();
    assert!(above[4] > 1.0 && below[4] < -1.0, "{above:?} {below:?}");
}

#[test]
fn a_feature_that_explodes_does_not_drown_the_others() {
    let mut errors = [1.0f32; 8];
    errors[7] = 40.0;
    let one = measure::together(&errors);
    errors[..2].fill(5.0);
    let three = measure::together(&errors);
    assert!(three > 1.2 * one, "{three} after {one}");
    assert!((measure::together(&[1.0, f32::NAN, 1.0]) - 1.0).abs() < 1e-9);
    assert!(measure::together(&[f32::NAN]).is_nan());
}

#[test]
fn bursts_as_in_training_are_usual_though_the_feature_is_mostly_flat() {
    let bursts = |rows: usize| {
        let mut window = waves(rows);
        (0..rows).filter(|i| i % 37 < 2).for_each(|i| window.row_mut(i)[7] = 300.0);
        window
    };
    let model = Autoencoder::fit(&short(), &bursts(TRAINED), &context()).unwrap();
    assert!(model.reach[7] > 40.0 && model.reach[..7].iter().all(|reach| *reach == 1.0));
    let usual = largest(&raw(&model, &bursts(TRAINED + 80), TRAINED));
    let mut window = bursts(TRAINED + 80);
    (340..342).for_each(|i| window.row_mut(i)[7] = 6_000.0);
    let wild = largest(&raw(&model, &window, TRAINED));
    assert!(wild > 1.3 * usual, "{wild} after {usual}");
}

#[test]
fn the_latent_distance_of_normal_rows_is_about_one() {
    let distances = model().latent_distance(&waves(TRAINED + 50), TRAINED);
    let middle = quantile(&distances, 0.5);
    assert!((0.5..1.5).contains(&middle), "{middle}");
}

#[test]
fn a_feature_that_was_never_there_is_left_out() {
    let mut train = waves(120);
    (0..120).for_each(|i| train.row_mut(i)[5] = f64::NAN);
    let model = Autoencoder::fit(&short(), &train, &context()).unwrap();
    assert_eq!(model.live, [0, 1, 2, 3, 4, 6, 7]);
    assert!(model.reads(4) && !model.reads(5), "nobody ever saw a sample of it");
    let seen = waves(120);
    assert_eq!(raw(&model, &seen, 100), raw(&model, &train, 100));
    assert!(model.contributions(&seen).unwrap()[5] == 0.0);
}

fn short() -> Config {
    Config { max_epochs: 3, ..Config::default() }
}

#[test]
fn same_seed_same_scores() {
    let train = waves(120);
    let scores = |seed| {
        let context = FitContext { seed, ..context() };
        raw(&Autoencoder::fit(&short(), &train, &context).unwrap(), &train, 31)
    };
    let both = std::thread::scope(|s| {
        [s.spawn(|| scores(1)), s.spawn(|| scores(1))].map(|t| t.join().unwrap())
    });
    assert_eq!(both[0], both[1]);
    assert_ne!(both[0], scores(2));
}

#[test]
fn too_few_rows_and_a_stop_are_errors() {
    let fit = |window: &Window, keep_going: &(dyn Fn() -> bool + Sync)| {
        Autoencoder::fit(&short(), window, &FitContext::new(1, keep_going)).map(|_| ())
    };
    assert_eq!(fit(&waves(63), &|| true), Err(FitError::TooFewRows { have: 63, want: 64 }));
    let grid = Grid { start_s: 0, step_s: 1, len: 100 };
    let gaps = Window::gaps(grid, 3);
    assert_eq!(fit(&gaps, &|| true), Err(FitError::TooFewRows { have: 0, want: 64 }));
    assert_eq!(fit(&waves(64), &|| false), Err(FitError::Stopped));
    assert_eq!(fit(&waves(64), &|| true), Ok(()));
}

#[test]
fn settings_have_problems_in_words() {
    assert_eq!(Config::default().problem(), None);
    let problem = Config { window: 30, ..Config::default() }.problem();
    assert_eq!(problem.as_deref(), Some("window: 30 is not a multiple of 4"));
    let problem = Config { latent: 0, ..Config::default() }.problem();
    assert_eq!(problem.as_deref(), Some("latent: 0 is not between 1 and 1024"));
    let problem = Config { learning_rate: f64::NAN, ..Config::default() }.problem();
    assert_eq!(problem.as_deref(), Some("learning_rate: NaN is not above 0 and at most 0.1"));
    assert!(serde_json::from_str::<Config>(r#"{"windw": 3}"#).is_err());
}

#[test]
fn restored_scores_are_the_same() {
    let window = waves(120);
    let before = raw(model(), &window, 0);
    let restored = restore(model().parts()).unwrap();
    assert_eq!(restored.parts(), model().parts());
    for (a, b) in before.iter().zip(restored.score(&window, 0)) {
        assert!(a.is_nan() && b.value.is_nan() || *a == b.value);
    }
}

fn values_of(tensor: &mut detect::Tensor) -> &mut Vec<f32> {
    match &mut tensor.numbers {
        detect::Numbers::F32(values) => values,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_not_such_a_model_is_refused() {
    let refused = |change: &dyn Fn(&mut Parts)| {
        let mut parts = model().parts();
        change(&mut parts);
        stored::restore(parts).unwrap_err().0
    };
    let said = refused(&|p| values_of(&mut p.tensors[0])[3] = f32::NAN);
    assert_eq!(said, r#"tensor "down1.weight" holds numbers that are not finite"#);
    let said = refused(&|p| drop(p.tensors.remove(1)));
    assert_eq!(said, r#"tensor "down1.bias" is missing"#);
    let said = refused(&|p| p.tensors[1].name = "bias".to_string());
    assert_eq!(said, r#"tensor "down1.bias" is missing"#);
    let said = refused(&|p| p.tensors.push(p.tensors[0].clone()));
    assert_eq!(said, "two tensors of the same name");
    let more = detect::Tensor::flat("more", vec![1.0f32]);
    let said = refused(&|p| p.tensors.push(more.clone()));
    assert_eq!(said, r#"tensor "more" is not part of an autoencoder"#);
    let said = refused(&|p| p.meta["shape"]["window"] = u64::MAX.into());
    assert_eq!(said, "a window of 18446744073709551615 rows");
    let said = refused(&|p| p.meta["live"][0] = 1.into());
    assert_eq!(said, "8 of 8 features");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is changed in the parts, they are refused or score without a panic.
    #[test]
    fn no_parts_make_it_panic(
        key in 0usize..9, number in prop_oneof![Just(0u64), Just(4), Just(1 << 40), any::<u64>()],
        tensor in 0usize..16, place in any::<prop::sample::Index>(), value in any::<f32>(),
        shape in prop::collection::vec(prop_oneof![0usize..9, any::<usize>()], 0..4), cut in 0usize..4,
    ) {
        let mut parts = model().parts();
        match key {
            0 => parts.meta["n_features"] = number.into(),
            1 => parts.meta["shape"]["window"] = number.into(),
            2 => parts.meta["shape"]["widths"][cut % 2] = number.into(),
            3 => parts.meta["shape"]["latent"] = number.into(),
            4 => parts.meta["live"][cut] = number.into(),
            5 => parts.tensors[tensor].shape = shape,
            6 => drop(values_of(&mut parts.tensors[tensor]).pop()),
            7 => drop(parts.tensors.remove(tensor)),
            _ => {
                let values = values_of(&mut parts.tensors[tensor]);
                let place = place.index(values.len());
                values[place] = value;
            }
        }
        if let Ok(model) = restore(parts) {
            let scores = model.score(&waves(40), 30);
            prop_assert_eq!(scores.len(), 10);
            model.contributions(&waves(40));
        }
    }
}

/// An incident in which everything does what it always does, only less: each row is easily rebuilt.
fn lull(from: usize) -> detect::Episode {
    let mut rows = server(from + 12, 8, 5);
    for i in from..from + 12 {
        rows.row_mut(i).iter_mut().for_each(|v| *v *= 0.3);
    }
    let from_s = rows.grid.time(from);
    detect::Episode { rows, from_s, class: crate::verdict::Class::anomaly("lull") }
}

#[test]
fn blind_fits_have_the_measure_of_the_one_they_are_compared_with() {
    let train = server(900, 8, 5);
    let mut chosen = Autoencoder::fit(&short(), &train, &context()).unwrap();
    assert_eq!(chosen.measure.name(), "error");
    let latents = vec![0.5; chosen.net.shape().latent];
    let whitening = crate::math::whitening::Whitening::of(&latents, latents.len()).unwrap();
    chosen.measure = Measure::Deviation(whitening);
    let parts = chosen.parts();
    let like = FitContext { like: Some(&parts), ..context() };
    let blind = Autoencoder::fit(&short(), &server(800, 8, 6), &like).unwrap();
    assert_eq!(blind.measure.name(), "deviation");
    let restored = restore(parts).unwrap();
    let bits = |scores: Vec<detect::Raw>| -> Vec<u64> {
        scores.iter().map(|r| r.value.to_bits()).collect()
    };
    assert_eq!(bits(restored.score(&train, 800)), bits(chosen.score(&train, 800)));
}

#[test]
fn labels_choose_no_measure_by_a_handful_of_held_out_windows() {
    let train = server(800, 8, 5);
    let episodes = [300, 400, 500, 600, 700].map(lull);
    let context = FitContext { episodes: &episodes, ..context() };
    let young = Autoencoder::fit(&short(), &train, &context).unwrap();
    assert_eq!(young.measure.name(), "error");
}

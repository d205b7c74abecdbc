use super::*;

fn columns(fixture: &str) -> Vec<Vec<f64>> {
    let parse = |line: &str| line.split(',').map(|v| v.parse().unwrap()).collect::<Vec<f64>>();
    let rows: Vec<Vec<f64>> = fixture.lines().skip(1).map(parse).collect();
    (0..rows[0].len()).map(|i| rows.iter().map(|row| row[i]).collect()).collect()
}

/// Largest difference, relative to the largest of `values`.
fn difference(values: &[f64], pairs: &[(&[f64], &[f64])]) -> f64 {
    let size = values.iter().fold(1f64, |a, v| a.max(v.abs()));
    let pairs = pairs.iter().flat_map(|(have, want)| have.iter().zip(*want));
    pairs.map(|(a, b)| (a - b).abs() / size).fold(0.0, f64::max)
}

/// Largest difference from the columns of `tests/data/reference/make_stl.py`.
fn from_stl(fixture: &str, period: usize) -> f64 {
    let c = columns(fixture);
    let stl = |robust| stl(&c[0], Settings::new(period, robust), &|| true).unwrap();
    let (plain, robust) = (stl(false), stl(true));
    let of_size = [
        (&plain.season[..], &c[1][..]),
        (&plain.trend, &c[2]),
        (&robust.season, &c[3]),
        (&robust.trend, &c[4]),
    ];
    difference(&c[0], &of_size).max(difference(&[1.0], &[(&robust.weights, &c[5])]))
}

#[test]
fn agrees_with_statsmodels() {
    let fixtures = [
        (include_str!("../../../tests/data/reference/stl_period24.csv"), 24),
        (include_str!("../../../tests/data/reference/stl_period7.csv"), 7),
        (include_str!("../../../tests/data/reference/stl_wide.csv"), 30),
        (include_str!("../../../tests/data/reference/stl_short.csv"), 12),
    ];
    for (fixture, period) in fixtures {
        let off = from_stl(fixture, period);
        assert!(off < 1e-9, "{period}: {off}");
    }
}

#[test]
fn several_seasons_agree_with_statsmodels() {
    let c = columns(include_str!("../../../tests/data/reference/mstl.csv"));
    for (robust, c) in [(false, &c[..4]), (true, &[&c[..1], &c[4..]].concat()[..])] {
        let parts = mstl(&c[0], &[60, 12], robust, &|| true).unwrap();
        let [day, week] = &parts.seasons[..] else { panic!("wanted two seasons") };
        let pairs = [(&day[..], &c[1][..]), (week, &c[2]), (&parts.trend, &c[3])];
        let off = difference(&c[0], &pairs);
        let weights = c.get(4).map_or(0.0, |want| difference(&[1.0], &[(&parts.weights, want)]));
        assert!(off.max(weights) < 1e-9, "{robust}: {off} {weights}");
    }
}

/// A season of 24 rows on a slope, with noise.
fn wave(n: usize) -> Vec<f64> {
    let noise = |i: usize| ((i * 7919 + i * i * 31) % 101) as f64 / 101.0 - 0.5;
    let season = |i: usize| 3.0 * (i as f64 * std::f64::consts::TAU / 24.0).sin();
    (0..n).map(|i| season(i) + 0.002 * i as f64 + 0.2 * noise(i)).collect()
}

fn truth(i: usize) -> f64 {
    3.0 * (i as f64 * std::f64::consts::TAU / 24.0).sin() + 0.002 * i as f64
}

#[test]
fn gaps_are_fitted_from_what_is_around_them() {
    let holes: [&dyn Fn(usize) -> bool; 5] = [
        &|i| i % 9 == 4,
        &|i| (100..160).contains(&i),
        &|i| !(30..560).contains(&i),
        &|i| i % 24 == 7, // a phase that is never there
        &|i| (200..420).contains(&i) || i % 24 == 3,
    ];
    for (k, hole) in holes.iter().enumerate() {
        for robust in [false, true] {
            let mut values = wave(600);
            (0..600).filter(|&i| hole(i)).for_each(|i| values[i] = f64::NAN);
            let parts = stl(&values, Settings::new(24, robust), &|| true).unwrap();
            for (i, value) in values.iter().enumerate() {
                let off = (parts.season[i] + parts.trend[i] - truth(i)).abs();
                assert!(off < 0.6, "{k} {robust} row {i}: {off}");
                assert_eq!(parts.weights[i] == 0.0, value.is_nan());
            }
        }
    }
}

#[test]
fn a_value_as_expected_is_not_missed() {
    let values = wave(600);
    for robust in [false, true] {
        let settings = Settings::new(24, robust);
        let parts = stl(&values, settings, &|| true).unwrap();
        for at in [0, 11, 250, 599] {
            let mut with = values.clone();
            with[at] = parts.season[at] + parts.trend[at];
            let mut without = with.clone();
            without[at] = f64::NAN;
            let fitted = |values: &[f64]| {
                let parts = stl(values, settings, &|| true).unwrap();
                (0..600).map(|i| parts.season[i] + parts.trend[i]).collect::<Vec<f64>>()
            };
            let pairs = fitted(&with).into_iter().zip(fitted(&without));
            let most = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(most < 0.1, "{robust} {at}: {most}");
        }
    }
}

#[test]
fn it_ends_when_it_is_told_to() {
    let left = std::cell::Cell::new(5);
    let keep_going = || left.replace(left.get() - 1) > 0;
    assert_eq!(stl(&[3.25; 17], Settings::new(4, true), &keep_going), None);
    assert_eq!(left.get(), -1, "asked between the rounds");
}

#[test]
fn a_constant_is_all_trend() {
    let parts = stl(&[3.25; 17], Settings::new(4, true), &|| true).unwrap();
    assert!(parts.season.iter().all(|s| s.abs() < 1e-12));
    assert!(parts.trend.iter().all(|t| (t - 3.25).abs() < 1e-12));
}

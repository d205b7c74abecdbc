//! Against the definitions, and by what has to hold whatever the series.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// One series of `tests/data/reference/make_quality.py`.
#[derive(Default)]
struct Series {
    labels: Vec<bool>,
    scores: Vec<f64>,
    values: Vec<f64>,
    figures: BTreeMap<String, f64>,
}

/// Alarms are where the score is 1 or more.
fn over(scores: &[f64]) -> Vec<bool> {
    scores.iter().map(|score| *score >= 1.0).collect()
}

fn reference() -> BTreeMap<&'static str, Series> {
    let mut all: BTreeMap<&str, Series> = BTreeMap::new();
    let rows = include_str!("../../tests/data/reference/quality_rows.csv");
    for cells in rows.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>()) {
        let series = all.entry(cells[0]).or_default();
        series.labels.push(cells[1] == "1");
        series.scores.push(cells[2].parse().unwrap());
        series.values.push(cells[3].parse().unwrap_or(f64::NAN));
    }
    let figures = include_str!("../../tests/data/reference/quality.csv");
    for cells in figures.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>()) {
        let series = all.get_mut(cells[0]).unwrap();
        series.figures.insert(cells[1].to_string(), cells[2].parse().unwrap());
    }
    all
}

#[test]
fn areas_and_volumes_are_those_of_the_definition() {
    for (name, series) in reference() {
        let range = RangePr::new(&series.labels, &series.scores);
        let near =
            |have: f64, want: f64| assert!((have - want).abs() < 1e-9, "{name}: {have} {want}");
        for (figure, wanted) in &series.figures {
            match figure.split_once(' ') {
                Some(("area", width)) => near(range.area(width.parse().unwrap()), *wanted),
                Some(("volume", most)) => near(range.volume(most.parse().unwrap()), *wanted),
                _ => {}
            }
        }
        assert_eq!(period(&series.values) as f64, series.figures["period"], "{name}");
    }
}

#[test]
fn rows_and_incidents_are_counted_as_in_the_reference() {
    for (name, Series { labels, scores, figures, .. }) in reference() {
        let alarms = over(&scores);
        let rows = Confusion::of(&labels, &alarms);
        let have = [
            ("tp", rows.true_positives as f64),
            ("fp", rows.false_positives as f64),
            ("fn", rows.false_negatives as f64),
            ("tn", rows.true_negatives as f64),
            ("precision", rows.precision()),
            ("recall", rows.recall()),
            ("f1", rows.f1()),
        ];
        for (figure, value) in have {
            assert!((value - figures[figure]).abs() < 1e-12, "{name}: {figure} {value}");
        }
        let incidents = Incidents::new(&labels, figures["step_s"] as i64, Paging::default());
        let found = incidents.found(&alarms);
        assert_eq!(found.false_pages as f64, figures["false_pages"], "{name}");
        let wanted = (0..).map_while(|k| figures.get(&format!("after {k}")));
        let wanted: Vec<Option<i64>> = wanted.map(|s| (*s >= 0.0).then_some(*s as i64)).collect();
        assert_eq!(found.after_s, wanted, "{name}");
    }
}

/// Ten hours, minute by minute, with an incident of ten minutes.
fn ten_hours(alarms: &[usize]) -> Found {
    let mut labels = [false; 600];
    labels[200..210].fill(true);
    let mut rows = [false; 600];
    alarms.iter().for_each(|&i| rows[i] = true);
    Incidents::new(&labels, 60, Paging::default()).found(&rows)
}

#[test]
fn pages_are_of_alarms_that_belong_together() {
    assert_eq!(ten_hours(&[]), Found { false_pages: 0, after_s: vec![None] });
    assert_eq!(ten_hours(&[203, 204]), Found { false_pages: 0, after_s: vec![Some(180)] });
    // Ten minutes of grace at either end; only afterwards it has been found.
    assert_eq!(ten_hours(&[219]).after_s, [Some(19 * 60)]);
    assert_eq!(ten_hours(&[220]), Found { false_pages: 1, after_s: vec![None] });
    assert_eq!(ten_hours(&[195]), Found { false_pages: 0, after_s: vec![None] });
    // Who was called before it began was called for nothing, once.
    assert_eq!(ten_hours(&[170, 195, 204]), Found { false_pages: 1, after_s: vec![Some(240)] });
    assert_eq!(
        ten_hours(&[10, 40, 70, 101]).false_pages,
        2,
        "30 minutes apart is one page, 31 are two"
    );
    let always: Vec<usize> = (221..600).collect();
    assert_eq!(ten_hours(&always).false_pages, 2, "again after six hours");
    assert!(ten_hours(&[]).median_s().is_nan());
    assert_eq!(ten_hours(&[203]).median_s(), 180.0);
}

#[test]
fn without_anomalies_or_rows_there_is_nothing_to_measure() {
    assert!(RangePr::new(&[], &[]).volume(9).is_nan());
    assert!(RangePr::new(&[false; 5], &[1.0; 5]).volume(9).is_nan());
    assert_eq!(RangePr::new(&[true], &[0.0]).volume(3), 1.0);
    assert!(Incidents::new(&[], 60, Paging::default()).is_empty());
    let none = Confusion::of(&[false; 3], &[false; 3]);
    assert!(none.precision().is_nan() && none.recall().is_nan() && none.f1().is_nan());
    assert_eq!([period(&[]), period(&[f64::NAN; 9]), period(&[5.0; 900])], [125; 3]);
}

#[test]
fn a_constant_score_is_worth_the_base_rate() {
    let labels: Vec<bool> = (0..1000).map(|i| i % 100 < 7).collect();
    let range = RangePr::new(&labels, &vec![3.0; 1000]);
    assert!((range.area(0) - 0.07).abs() < 1e-12, "{}", range.area(0));
    assert_eq!(range.curve(), [(0.07, 1.0)].repeat(range.curve().len()));
}

fn labelled() -> impl Strategy<Value = (Vec<bool>, Vec<f64>)> {
    let run = (any::<bool>(), 1usize..30);
    let labels = prop::collection::vec(run, 2..20)
        .prop_map(|runs| runs.iter().flat_map(|&(y, n)| vec![y; n]).collect::<Vec<bool>>());
    labels.prop_flat_map(|labels| {
        let n = labels.len();
        (Just(labels), prop::collection::vec(0.0..4.0f64, n))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_perfect_score_is_one_and_nothing_beats_it((labels, scores) in labelled()) {
        prop_assume!(labels.contains(&true));
        let perfect: Vec<f64> = labels.iter().map(|&y| f64::from(u8::from(y))).collect();
        prop_assert!((RangePr::new(&labels, &perfect).area(0) - 1.0).abs() < 1e-12);
        let of = |scores: &[f64]| RangePr::new(&labels, scores).volume(12);
        let (some, reversed) = (of(&scores), of(&perfect.iter().map(|s| -s).collect::<Vec<_>>()));
        prop_assert!((0.0..=1.0 + 1e-12).contains(&some));
        let best = of(&perfect);
        prop_assert!(reversed <= best + 1e-12, "{reversed} {best}");
    }

    #[test]
    fn of_scores_only_the_order_counts((labels, scores) in labelled()) {
        let of = |map: fn(f64) -> f64| {
            let mapped: Vec<f64> = scores.iter().map(|s| map(*s)).collect();
            let range = RangePr::new(&labels, &mapped);
            (range.volume(9).to_bits(), range.area(4).to_bits())
        };
        prop_assert_eq!(of(|s| s), of(|s| (3.0 * s + 1.0).exp()));
        prop_assert_eq!(of(|s| s), of(|s| s.powi(3) - 100.0));
    }

    #[test]
    fn widths_one_by_one_make_the_volume((labels, scores) in labelled()) {
        let range = RangePr::new(&labels, &scores);
        let mean = (0..=12).map(|width| range.area(width)).sum::<f64>() / 13.0;
        let volume = range.volume(12);
        prop_assert!(volume.is_nan() && mean.is_nan() || (volume - mean).abs() < 1e-12);
    }

    #[test]
    fn the_counts_are_of_all_rows((labels, scores) in labelled()) {
        let alarms = over(&scores);
        let rows = Confusion::of(&labels, &alarms);
        let Confusion { true_positives, false_positives, false_negatives, true_negatives } = rows;
        let n = true_positives + false_positives + false_negatives + true_negatives;
        prop_assert_eq!(n, labels.len());
        let found = Incidents::new(&labels, 60, Paging::within(300)).found(&alarms);
        prop_assert!(found.n_found() <= found.after_s.len());
        prop_assert!(found.n_found() == 0 || alarms.contains(&true));
    }
}

#[test]
fn a_buffer_does_not_reach_from_one_incident_to_the_next() {
    let values: Vec<f64> = (0..600).map(|i| (f64::from(i) * 0.05).sin()).collect();
    let every = |n: usize| (0..600).map(|i| i % n < 8).collect::<Vec<_>>();
    assert_eq!(period(&values), 125);
    assert_eq!(super::buffer(&values, &every(20)), 6);
    assert_eq!([super::buffer(&values, &every(600)), super::buffer(&values, &[])], [125; 2]);
}

#[test]
fn an_incident_of_another_kind_lies_between_two() {
    let labels = "##..##...##".chars().map(|c| c == '#').collect::<Vec<bool>>();
    let runs = |other: &dyn Fn(usize) -> bool| {
        let paging = Paging::within(240);
        let found = Incidents::beside(&labels, other, 60, paging);
        found.runs().map(|run| (run.start, run.end)).collect::<Vec<_>>()
    };
    assert_eq!(runs(&|_| false), [(0, 11)]);
    assert_eq!(runs(&|i| i == 3), [(0, 2), (4, 11)]);
    assert_eq!(runs(&|i| i == 11), [(0, 11)]);
}

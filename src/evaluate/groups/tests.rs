use super::super::Settings;
use super::super::report;
use super::super::run;
use super::super::truth::Truth;
use super::super::words;
use super::*;
use crate::detect;
use crate::math::calendar::Calendar;
use crate::quality::Paging;
use crate::series::Grid;
use crate::series::Window;
use crate::source::csv::Told;
use crate::verdict::Interval;
use crate::verdict::Verdict;

const N: usize = 2_000;

/// What is wrong in ten minutes of every hundred: one feature goes up, or another, or in the end that one down.
fn wrong(i: usize) -> Option<usize> {
    let kinds = if i < 1_300 { 2 } else { 3 };
    (i % 100 >= 90).then_some(i / 100 % kinds)
}

fn rows() -> Window {
    let noise = |i: usize, k: usize| ((i * 7919 + i * i * 31 * k) % 101) as f64 / 101.0 - 0.5;
    let row = |i: usize| {
        let common = (i as f64 / 40.0).sin() + 0.2 * noise(i, 1);
        let off = |kind: usize| if wrong(i) == Some(kind) { 2.0 } else { 0.0 };
        [
            100.0 + common + 0.1 * noise(i, 2) + off(0),
            2.0 * common + 0.1 * noise(i, 3) + 2.0 * off(1) - 2.0 * off(2),
            0.1 * noise(i, 5) - common,
        ]
    };
    let grid = Grid { start_s: 1_700_000_040, step_s: 60, len: N };
    Window { grid, n_features: 3, values: (0..N).flat_map(row).collect() }
}

/// Of the third kind nobody says anything.
fn told() -> Vec<Told> {
    let time = |i: usize| rows().grid.time(i);
    let told = |i: usize| Told {
        interval: Interval { from_s: time(i), to_s: time(i + 10) },
        verdict: Verdict::Anomaly,
        class: wrong(i).map(|kind| ["first", "second"][kind].to_string()),
    };
    (90..N).step_by(100).filter(|&i| wrong(i) != Some(2)).map(told).collect()
}

fn settings() -> Settings {
    Settings {
        detectors: detect::Config::named("pca").into_iter().collect(),
        controls: Vec::new(),
        train_rows: 1_000,
        validation_rows: 300,
        bucket_s: None,
        preprocess: None,
        calendar: Calendar::default(),
        pages_per_week: 1.0,
        consecutive: 1,
        paging: Paging::within(600),
        holdout_class: None,
    }
}

/// What a detector might say of the rows after training.
fn replayed() -> Vec<Row> {
    let strange = |i: usize| {
        let (length, little) = (1.0 + (i * 37 % 11) as f64, 0.1 * (i * 17 % 7) as f64);
        match wrong(i)? {
            0 => Some(vec![length, little, -little]),
            1 => Some(vec![-little, length, 0.0]),
            _ => Some(vec![little, -length, little]),
        }
    };
    let row = |i: usize| Row {
        time_s: rows().grid.time(i),
        score: if wrong(i).is_some() { 1.5 } else { 0.5 },
        band: None,
        streak: 0,
        class: None,
        deviations: strange(i),
    };
    (1_000..N).map(row).collect()
}

fn groups(told: &[Told]) -> Vec<Group> {
    groups_of(told, &replayed())
}

fn groups_of(told: &[Told], replayed: &[Row]) -> Vec<Group> {
    let (rows, settings) = (rows(), settings());
    let truth = Truth::new(told, rows.grid);
    let hall = Hall { rows: &rows, truth, settings: &settings, middle: 1_300, holdout: None };
    hall.groups(&["a", "b", "<c>"].map(String::from), replayed)
}

#[test]
fn kinds_are_found_of_which_somebody_spoke_and_of_which_nobody_did() {
    let groups = groups(&told());
    let of = |group: &Group| {
        let mark = &group.marks[0];
        let class = group.classes[0].0.clone().unwrap_or_default();
        (class, mark.feature.clone(), mark.above, group.n_incidents, group.rows.len())
    };
    let mut found: Vec<_> = groups.iter().map(of).collect();
    found.sort();
    let of = |class: &str, name: &str, above, n| (class.into(), name.into(), above, n, 10 * n);
    assert_eq!(
        found,
        [of("", "b", false, 2), of("first", "a", true, 2), of("second", "b", true, 3)]
    );
    for group in &groups {
        assert_eq!(group.classes.len(), 1, "{group:?}");
        assert!(group.rows.iter().all(|&i| i >= 1_300 && wrong(i).is_some()), "of the test part");
        assert!(group.rows.contains(&group.shown));
        assert_eq!(group.around, group.shown - 32..N.min(group.shown + 17));
        let mark = &group.marks[0];
        assert_eq!(mark.around.len(), group.around.len());
        assert!(mark.share > 0.6 && mark.share <= 1.0, "{mark:?}");
        assert_eq!(mark.above, mark.there > mark.usual, "{mark:?}");
        assert!((mark.there - mark.usual).abs() > 1.0, "{mark:?}");
    }
}

#[test]
fn a_handful_of_rows_makes_no_groups() {
    let mut few = replayed();
    let anomalous: Vec<usize> = (300..few.len()).filter(|&i| few[i].deviations.is_some()).collect();
    for &i in &anomalous[4..] {
        few[i].deviations = None;
    }
    assert_eq!(groups_of(&told(), &few), []);
    few[anomalous[4]].deviations = few[anomalous[0]].deviations.clone();
    assert_ne!(groups_of(&told(), &few), []);
}

#[test]
fn where_nobody_said_anything_there_are_groups_all_the_same() {
    let groups = groups(&[]);
    assert_eq!(groups.len(), 3, "{groups:?}");
    assert!(groups.iter().all(|g| matches!(g.classes[..], [(None, n)] if n == g.rows.len())));
    let names = ["a", "b", "<c>"].map(String::from);
    let mut evaluation = run(&names, &rows(), &[], &settings()).unwrap();
    assert_eq!(evaluation.winner, None);
    let Ok(outcome) = &mut evaluation.detectors[0].outcome else { panic!("no rows to learn from") };
    assert_eq!(outcome.groups, [], "it does not say which way");
    assert!(!report(&evaluation, "a.csv").contains("Groups of anomalies"));
    assert_eq!(words::groups(&evaluation), []);
}

#[test]
fn the_page_shows_them_and_no_name_breaks_out() {
    let names = ["a", "b", "<c>"].map(String::from);
    let mut evaluation = run(&names, &rows(), &told(), &settings()).unwrap();
    if let Ok(outcome) = &mut evaluation.detectors[0].outcome {
        outcome.groups = groups(&told());
        outcome.groups[0].marks[0].feature = "<c>".to_string();
    }
    let page = report(&evaluation, "a.csv");
    let wanted =
        ["<h2>Groups of anomalies</h2>", "not labelled 20", "first 20", " lower (", "&lt;c&gt; "];
    for wanted in wanted {
        assert!(page.contains(wanted), "{wanted}: {page}");
    }
    assert!(!page.contains("<c>"), "{page}");
    let n_marks: usize = groups(&told()).iter().map(|group| group.marks.len()).sum();
    assert_eq!(page.matches("class=\"moment\"").count(), n_marks);
}

use super::super::Settings;
use super::super::report;
use super::super::run;
use crate::detect;
use crate::math::calendar::Calendar;
use crate::quality::Paging;
use crate::series::Grid;
use crate::series::Window;
use crate::source::csv::Told;
use crate::verdict::Interval;
use crate::verdict::Verdict;

const N: usize = 2_000;

/// What is wrong in ten minutes of every hundred: one of three features goes up, or one of them down.
fn wrong(i: usize) -> Option<usize> {
    (i % 100 >= 90).then_some(i / 100 % 3)
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
    let quick = detect::deep::autoencoder::Config { max_steps: 400, ..Default::default() };
    Settings {
        detectors: vec![detect::Config::Autoencoder(quick)],
        controls: detect::Config::named("pca").into_iter().collect(),
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

#[test]
fn kinds_are_found_of_which_somebody_spoke_and_of_which_nobody_did() {
    let names = ["a", "b", "<c>"].map(String::from);
    let evaluation = run(&names, &rows(), &told(), &settings()).unwrap();
    let groups = &evaluation.detectors[0].outcome.as_ref().unwrap().groups;
    let mut seen: Vec<(Option<&str>, &str, bool)> = Vec::new();
    for group in groups {
        let right = |class: &Option<String>| {
            let own = |i: &&usize| match (wrong(**i), class.as_deref()) {
                (Some(0), Some("first")) | (Some(1), Some("second")) | (Some(2) | None, None) => {
                    true
                }
                _ => false,
            };
            group.rows.iter().filter(own).count()
        };
        assert!(group.rows.iter().all(|&i| i >= 1_300), "of the test part: {group:?}");
        assert!(group.rows.contains(&group.shown) && group.around.contains(&group.shown));
        let classes = group.classes.iter();
        assert!(classes.clone().all(|(class, n)| right(class) == *n), "{group:?}");
        assert_eq!(classes.map(|(_, n)| n).sum::<usize>(), group.rows.len());
        if group.n_incidents > 1 {
            let mark = &group.marks[0];
            seen.push((group.classes[0].0.as_deref(), &mark.feature, mark.above));
        }
    }
    let wanted = [(None, "b", false), (Some("first"), "a", true), (Some("second"), "b", true)];
    seen.sort();
    seen.dedup();
    assert_eq!(seen, wanted, "{groups:?}");
    let of_pca = &evaluation.detectors[1].outcome.as_ref().unwrap().groups;
    assert_eq!(of_pca, &[], "it does not say which way");
    let page = report(&evaluation, "a.csv");
    for wanted in ["<h2>Groups of anomalies</h2>", "not labelled", "a higher", "b lower"] {
        assert!(page.contains(wanted), "{wanted}: {page}");
    }
    assert!(!page.contains("<c>"), "{page}");
}

#[test]
fn where_nobody_said_anything_there_are_groups_all_the_same() {
    // What was wrong is not learnt from here, for it is not there.
    let mut rows = rows();
    for i in (0..1_300).filter(|i| wrong(*i).is_some()) {
        rows.row_mut(i).fill(f64::NAN);
    }
    let names = ["a", "b", "c"].map(String::from);
    let evaluation = run(&names, &rows, &[], &settings()).unwrap();
    let groups = &evaluation.detectors[0].outcome.as_ref().unwrap().groups;
    assert!(groups.len() >= 3, "{groups:?}");
    assert!(groups.iter().all(|g| matches!(g.classes[..], [(None, n)] if n == g.rows.len())));
    assert_eq!(evaluation.winner, None);
    assert!(report(&evaluation, "a.csv").contains("<h2>Groups of anomalies</h2>"));
}

use super::*;
use crate::verdict::Interval;
use crate::verdict::Verdict;

const N: usize = 2_000;

/// Three features that move together, minute by minute; now and then one leaves the others.
fn rows() -> Window {
    let noise = |i: usize, k: usize| ((i * 7919 + i * i * 31 * k) % 101) as f64 / 101.0 - 0.5;
    let row = |i: usize| {
        let common = (i as f64 / 40.0).sin() + 0.2 * noise(i, 1);
        let off = if wrong(i).is_some() { 2.0 } else { 0.0 };
        [
            common + 0.1 * noise(i, 2),
            2.0 * common + 0.1 * noise(i, 3) + off,
            0.1 * noise(i, 5) - common,
        ]
    };
    let grid = Grid { start_s: 1_700_000_040, step_s: 60, len: N };
    Window { grid, n_features: 3, values: (0..N).flat_map(row).collect() }
}

/// Ten minutes of every 150 are wrong, in one of two ways.
fn wrong(i: usize) -> Option<&'static str> {
    (i % 150 >= 140).then_some(["even", "odd"][i / 150 % 2])
}

fn told() -> Vec<Told> {
    let time = |i: usize| rows().grid.time(i);
    let told = |i: usize| Told {
        interval: Interval { from_s: time(i), to_s: time(i + 10) },
        verdict: Verdict::Anomaly,
        class: wrong(i).map(String::from),
    };
    (140..N - 10).step_by(150).map(told).collect()
}

fn settings() -> Settings {
    Settings {
        detectors: ["pca", "seasonal_median"]
            .into_iter()
            .filter_map(detect::Config::named)
            .collect(),
        controls: Vec::new(),
        train_rows: 1_200,
        validation_rows: 400,
        bucket_s: None,
        preprocess: None,
        calendar: Calendar::default(),
        pages_per_week: 1.0,
        consecutive: 1,
        paging: Paging::default(),
        holdout_class: None,
    }
}

fn evaluated(rows: &Window, settings: &Settings) -> Evaluation {
    run(&["a", "b", "c"].map(String::from), rows, &told(), settings).unwrap()
}

fn outcome(evaluation: &Evaluation, place: usize) -> &Outcome {
    evaluation.detectors[place].outcome.as_ref().unwrap()
}

#[test]
fn who_knows_how_features_move_together_wins_and_finds_both_classes() {
    let evaluation = evaluated(&rows(), &settings());
    assert_eq!(evaluation.winner, Some(Winner { place: 0, keeps_budget: true }));
    let pca = outcome(&evaluation, 0);
    assert!(pca.test.vus_pr > 0.9, "{:?}", pca.test);
    assert_eq!((pca.test.n_incidents, pca.test.n_found, pca.test.detect_s), (3, 3, 0.0));
    let Confusion { true_positives, false_negatives, .. } = pca.test.rows;
    assert_eq!(true_positives + false_negatives, 30);
    let of: Vec<(&str, usize)> =
        pca.classes.iter().map(|(name, quality)| (name.as_str(), quality.n_incidents)).collect();
    assert_eq!(of, [("even", 2), ("odd", 1)]);
    assert!(outcome(&evaluation, 1).validation.vus_pr < pca.validation.vus_pr);
    assert!(words::winner(&evaluation).starts_with("winner: pca (validation: VUS-PR "));
}

/// A class that leaves no trace ends four minutes before one that everybody sees, also after its label's end.
#[test]
fn an_alarm_of_one_class_finds_no_other() {
    let time = |i: usize| rows().grid.time(i);
    let ghost = |i: usize| Told {
        interval: Interval { from_s: time(i - 9), to_s: time(i - 4) },
        verdict: Verdict::Anomaly,
        class: Some("ghost".into()),
    };
    let ghosts = (140..N - 10).step_by(150).map(ghost);
    // What is learnt from is labelled whole.
    let short = |told: Told| {
        let Interval { from_s, to_s } = told.interval;
        let to_s = if from_s < time(1_600) { to_s } else { from_s + 180 };
        Told { interval: Interval { from_s, to_s }, ..told }
    };
    let told: Vec<Told> = told().into_iter().map(short).chain(ghosts).collect();
    let names = ["a", "b", "c"].map(String::from);
    let evaluation = run(&names, &rows(), &told, &settings()).unwrap();
    let classes = &outcome(&evaluation, 0).classes;
    let found = |name: &str| {
        let (_, quality) = classes.iter().find(|(class, _)| class == name).unwrap();
        (quality.n_found, quality.n_incidents)
    };
    assert_eq!(found("ghost").0, 0, "{:?}", found("ghost"));
    assert!(found("ghost").1 > 1 && found("even").0 > 0 && found("odd").0 > 0);
}

#[test]
fn a_control_is_judged_like_all_others_and_never_wins() {
    let [pca, usual] = ["pca", "seasonal_median"].map(|name| detect::Config::named(name).unwrap());
    let settings = Settings { detectors: vec![usual], controls: vec![pca], ..settings() };
    let with = evaluated(&rows(), &settings);
    assert_eq!(with.winner.map(|winner| winner.place), Some(0));
    assert!(outcome(&with, 1).validation.vus_pr > outcome(&with, 0).validation.vus_pr);
    let told = words::winner(&with);
    assert!(told.starts_with("winner: seasonal_median (validation: "), "{told}");
    assert!(told.contains("; control: pca (validation: VUS-PR ") && !told.contains('\n'), "{told}");
    assert_eq!(words::row(&with.detectors[1], |outcome| &outcome.test)[0], "pca (control)");
}

#[test]
fn what_comes_later_changes_neither_what_was_learnt_nor_the_choice() {
    let plain = evaluated(&rows(), &settings());
    let mut other = rows();
    other.values[1_600 * 3..].iter_mut().for_each(|v| *v = 5.0 - 3.0 * *v);
    let other = evaluated(&other, &settings());
    for place in [0, 1] {
        let (plain, other) = (outcome(&plain, place), outcome(&other, place));
        let shown = |outcome: &Outcome| format!("{:?}", outcome.validation);
        assert_eq!(shown(plain), shown(other), "NaN is NaN here");
        assert_eq!(plain.scores[..400], other.scores[..400]);
        assert_ne!(plain.scores[400..], other.scores[400..]);
    }
    // Nor does what was wrong in training, which is labelled.
    let mut wild = rows();
    for i in (0..1_200).filter(|i| wrong(*i).is_some()) {
        wild.row_mut(i).fill(1e6);
    }
    let wild = evaluated(&wild, &settings());
    assert_eq!(outcome(&wild, 0).scores, outcome(&plain, 0).scores);
}

#[test]
fn what_is_held_out_has_no_part_in_the_choice_and_is_judged_all_the_same() {
    let held_out = Settings { holdout_class: Some("odd".into()), ..settings() };
    let (plain, held_out) = (evaluated(&rows(), &settings()), evaluated(&rows(), &held_out));
    let chosen = |evaluation: &Evaluation| outcome(evaluation, 0).validation.n_incidents;
    assert_eq!((chosen(&plain), chosen(&held_out)), (2, 1));
    let rows_of = |evaluation: &Evaluation| {
        let Confusion { true_positives, false_negatives, .. } =
            outcome(evaluation, 0).validation.rows;
        true_positives + false_negatives
    };
    assert_eq!((rows_of(&plain), rows_of(&held_out)), (20, 10));
    let classes = |evaluation: &Evaluation| format!("{:?}", outcome(evaluation, 0).classes);
    assert_eq!(classes(&held_out), classes(&plain));
    assert!(words::classes(&held_out).iter().any(|cells| cells[0] == "odd (held out)"));
    let nobody = Settings { holdout_class: Some("never".into()), ..settings() };
    let error = run(&[], &rows(), &told(), &nobody).unwrap_err();
    assert_eq!(error, "no interval of class \"never\" in the test part; there are: even, odd");
}

#[test]
fn who_cannot_learn_says_why_and_who_has_nothing_to_choose_by_does_not_choose() {
    let short = Settings { train_rows: 20, validation_rows: 100, ..settings() };
    let evaluation = evaluated(&rows(), &short);
    let cells = words::row(&evaluation.detectors[0], |outcome| &outcome.test);
    assert!(cells[1].contains("wanted at least"), "{cells:?}");
    assert_eq!(evaluation.winner, None);
    let page = report(&evaluation, "a.csv");
    assert!(page.contains("<td>pca</td>") && page.contains("winner: none"), "{page}");
    for (train_rows, validation_rows) in [(0, 10), (N, 0), (1_000, 1_000)] {
        let none = Settings { train_rows, validation_rows, ..settings() };
        assert!(run(&[], &rows(), &told(), &none).is_err());
    }
    let before = Interval { from_s: 0, to_s: 60 };
    let elsewhere = Told { interval: before, ..told()[0].clone() };
    let error = run(&[], &rows(), &[elsewhere], &settings()).unwrap_err();
    assert_eq!(error, "no labelled anomaly lies within the rows");
}

#[test]
fn a_budget_is_kept_as_far_as_chance_allows() {
    let kept = |pages, expected| keeps_budget(pages, expected);
    assert!(kept(0, 0.0) && kept(1, 0.14) && kept(3, 1.0) && kept(30, 30.0));
    assert!(!kept(1, 0.0) && !kept(2, 0.14) && !kept(4, 1.0) && !kept(50, 30.0));
}

#[test]
fn the_winner_keeps_the_budget_where_anybody_does() {
    let judged = |vus_pr: f64, false_pages: usize| {
        let quality = Quality {
            rows: Confusion::default(),
            vus_pr,
            n_incidents: 1,
            n_found: 1,
            n_named: None,
            detect_s: 0.0,
            false_pages,
            weeks: 1.0,
        };
        let (validation, test) = (quality.clone(), quality);
        let (scores, classes, curve) = (vec![], vec![], vec![]);
        let (looks, groups) = (vec![], vec![]);
        let outcome =
            Outcome { scores, validation, test, classes, curve, seconds: 0.0, looks, groups };
        Judged { detector: "x", control: false, outcome: Ok(outcome) }
    };
    let of = |judged: &[Judged]| winner(judged, 1.0).map(|w| (w.place, w.keeps_budget));
    let all = [judged(0.5, 0), judged(0.9, 9), judged(0.7, 1), judged(f64::NAN, 0), judged(0.7, 0)];
    assert_eq!(of(&all), Some((2, true)), "of equals the first");
    assert_eq!(of(&all[1..2]), Some((0, false)));
    assert_eq!(of(&all[3..4]), None);
}

#[test]
fn a_detector_is_validated_as_it_is_evaluated_and_what_comes_after_changes_nothing() {
    let (rows, settings) = (rows(), settings());
    let names = ["a", "b", "c"].map(String::from);
    let evaluation = evaluated(&rows, &settings);
    let seen = rows.slice(0, 1_600);
    let validation = Validation::new(&names, &seen, &told(), &settings).unwrap();
    for (place, config) in settings.detectors.iter().enumerate() {
        let validated = validation.judge(config, 0, &|_| {}).unwrap();
        // A time that is not known is not equal to itself.
        let shown = |quality: &Quality| format!("{quality:?}");
        let wanted = &outcome(&evaluation, place).validation;
        assert_eq!(shown(&validated.quality), shown(wanted), "{config:?}");
        assert_eq!(validated.looks, [], "not a network");
    }
    let wrong = |told: &[Told], rows: &Window| {
        Validation::new(&names, rows, told, &settings).err().unwrap()
    };
    assert_eq!(
        wrong(&told()[..3], &seen),
        "no labelled anomaly in the validation part to choose by"
    );
    assert_eq!(wrong(&told(), &rows), "2000 rows, 1200 to learn from and 400 to choose by");
}

#[cfg(feature = "deep")]
#[test]
fn the_losses_of_the_one_network_that_scores_are_heard_of() {
    let quick = detect::deep::autoencoder::Config { max_steps: 200, ..Default::default() };
    let (rows, settings) = (rows(), settings());
    let settings = Settings { detectors: vec![detect::Config::Autoencoder(quick)], ..settings };
    let evaluation = evaluated(&rows, &settings);
    let looks = &outcome(&evaluation, 0).looks;
    let steps: Vec<usize> = looks.iter().map(|look| look.step).collect();
    assert!(steps.is_sorted_by(|a, b| a < b), "of one training, not of those that calibrate");
    assert!(steps.len() > 20 && steps.iter().all(|step| (1..=200).contains(step)), "{steps:?}");
    let (first, last) = (looks[0], looks[looks.len() - 1]);
    assert!(last.loss < first.loss && last.held_out < first.held_out, "{looks:?}");
    let page = report(&evaluation, "a.csv");
    assert!(page.contains("<h2>Losses of training</h2>"), "{page}");
}

/// Ten minutes of twenty: each incident is a part of one bucket or of two.
#[cfg(feature = "deep")]
#[test]
fn incidents_that_fill_no_bucket_are_learnt_from() {
    let detectors = vec![detect::Config::named("classifier").unwrap()];
    let settings = Settings { detectors, bucket_s: Some(600), ..settings() };
    let classifier = outcome(&evaluated(&rows(), &settings), 0).clone();
    assert!(classifier.test.vus_pr.is_finite(), "{:?}", classifier.test);
}

use super::*;
use crate::evaluate::Quality;
use crate::quality::Confusion;
use serde_json::json;

/// What a training would come to: the later a trial and the longer a training, the better; one fails.
fn judged(config: &detect::Config, seed: u64, hear: &Hear<'_>) -> Result<Validated, FitError> {
    hear(Stage { share: 0.5, loss: 1.0 });
    let text = format!("{config:?} {seed}");
    let noise =
        text.bytes().fold(7_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    if noise % 11 == 0 {
        return Err(FitError::Diverged);
    }
    let quality = Quality {
        rows: Confusion::default(),
        vus_pr: (noise % 1000) as f64 / 1000.0,
        n_incidents: 3,
        n_found: 2,
        n_named: None,
        detect_s: 1.0,
        false_pages: 1,
        weeks: 2.0,
    };
    let look = |step| Look { step, loss: 1.0 / step as f32, held_out: 2.0 / step as f32 };
    Ok(Validated { quality, looks: (1..4).map(look).collect(), seconds: 0.0 })
}

fn search(trials: usize) -> Search {
    let detectors = detect::Config::NAMES.iter().filter_map(|name| detect::Config::named(name));
    // Those without a table have the same settings in every trial, and a journal all the same.
    let wanted = |config: &detect::Config| ["pca", "autoencoder"].contains(&config.name());
    Search {
        detectors: detectors.filter(wanted).collect(),
        trials: Some(trials),
        budget_s: None,
        seed: 3,
        threads: 2,
    }
}

fn opened(folder: &Path) -> Journal {
    let head = json!({"seed": 3}).as_object().cloned().unwrap();
    Journal::open(folder, &head).unwrap()
}

/// What is the same however often a search was cut off.
fn found(folder: &Path, search: &Search) -> Vec<String> {
    let journal = opened(folder);
    let shown = |training: &&Training| {
        let Training { detector, trial, rung, vus_pr, error, .. } = training;
        format!("{detector} {trial} {rung} {vus_pr:?} {error:?}")
    };
    ranked(&journal, search).iter().map(shown).collect()
}

fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => found.push(path.strip_prefix(folder).unwrap().display().to_string()),
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_search_that_was_cut_off_ends_as_if_it_had_not_been() {
    let whole = tempfile::tempdir().unwrap();
    let search = search(12);
    let run_in = |folder: &Path, judge: &Judge<'_>| {
        run(&search, folder, &mut opened(folder), judge, &mut |_| {}).unwrap()
    };
    assert!(run_in(whole.path(), &judged));
    let text = std::fs::read_to_string(whole.path().join(FILE_NAME)).unwrap();
    let n_lines = text.lines().count();
    assert!(n_lines > 12 + 4 + 2, "{n_lines}");
    for cut in [1, 2, 9, 14, n_lines - 1] {
        let folder = tempfile::tempdir().unwrap();
        let kept: String = text.split_inclusive('\n').take(cut).collect();
        // The next line is half written.
        std::fs::write(folder.path().join(FILE_NAME), kept + "{\"detec").unwrap();
        let trained = AtomicUsize::new(0);
        let counting = |config: &detect::Config, seed, hear: &Hear<'_>| {
            trained.fetch_add(1, Ordering::Relaxed);
            judged(config, seed, hear)
        };
        assert!(run_in(folder.path(), &counting));
        assert_eq!(trained.into_inner(), n_lines - cut, "what is known is not trained again");
        assert_eq!(found(folder.path(), &search), found(whole.path(), &search));
        assert_eq!(files(folder.path()), files(whole.path()));
    }
}

#[test]
fn a_longer_search_goes_on_where_a_shorter_one_ended() {
    let (once, twice) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let go = |folder: &Path, trials| {
        run(&search(trials), folder, &mut opened(folder), &judged, &mut |_| {}).unwrap()
    };
    assert!(go(twice.path(), 4) && go(twice.path(), 20) && go(once.path(), 20));
    assert_eq!(found(once.path(), &search(20))[0], found(twice.path(), &search(20))[0]);
    let journal = opened(twice.path());
    assert!(ranked(&journal, &search(4)).iter().all(|training| training.trial < 4));
    assert!(ranked(&journal, &search(20)).iter().any(|training| training.trial == 19));
}

#[test]
fn the_best_was_trained_longest_and_what_there_was_is_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let search = search(9);
    let mut told = Vec::new();
    let mut journal = opened(folder.path());
    run(&search, folder.path(), &mut journal, &judged, &mut |p| told.push(p)).unwrap();
    let ranked = ranked(&journal, &search);
    assert_eq!(ranked.len(), 9 * search.detectors.len());
    let last = ranked.iter().filter(|training| training.rung == 2);
    assert!((1..=2 * search.detectors.len()).contains(&last.count()));
    let sorted =
        |pair: &[&Training]| (pair[0].rung, pair[0].vus_pr) >= (pair[1].rung, pair[1].vus_pr);
    assert!(ranked.windows(2).all(sorted));
    let Progress { done, total, under_way, loss, .. } = *told.last().unwrap();
    assert_eq!((under_way, loss), (0.0, None));
    assert!(done == total && done >= (9 + 9 + 9) * search.detectors.len() / 2, "{told:?}");
    let parts = |p: &Progress| p.done as f64 + p.under_way;
    assert!(told.is_sorted_by_key(parts), "{told:?}");
    // Half of a training is heard of before the whole.
    let half = told.iter().find(|p| p.under_way > 0.0).unwrap();
    assert_eq!((half.under_way, half.loss), (0.5, Some(1.0)), "{half:?}");
}

#[test]
fn once_the_time_is_over_no_training_begins_and_none_when_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let search = Search { trials: None, budget_s: Some(0.2), threads: 1, ..search(0) };
    let trained = AtomicUsize::new(0);
    let slow = |config: &detect::Config, seed, hear: &Hear<'_>| {
        std::thread::sleep(std::time::Duration::from_millis(15));
        trained.fetch_add(1, Ordering::Relaxed);
        judged(config, seed, hear)
    };
    let go = || run(&search, folder.path(), &mut opened(folder.path()), &slow, &mut |_| {});
    assert!(!go().unwrap());
    let n = trained.load(Ordering::Relaxed);
    assert!((2..=14).contains(&n), "{n}");
    let before = found(folder.path(), &search);
    assert!(!go().unwrap());
    assert_eq!((trained.load(Ordering::Relaxed), found(folder.path(), &search)), (n, before));
}

#[test]
fn trainings_of_other_settings_are_not_taken_for_these() {
    let folder = tempfile::tempdir().unwrap();
    let of = |share| {
        let detectors = vec![detect::Config::Pca(detect::pca::Config { share })];
        let search = Search { detectors, ..search(2) };
        run(&search, folder.path(), &mut opened(folder.path()), &judged, &mut |_| {})
    };
    assert!(of(0.9).unwrap());
    let error = of(0.8).unwrap_err().to_string();
    assert!(error.contains("search.jsonl: share is 0.9 there, 0.8 asked; wanted"), "{error}");
}

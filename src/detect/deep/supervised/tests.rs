//! What both supervised detectors have to find, name and be reminded of.

use crate::detect::Config;
use crate::detect::Episode;
use crate::detect::FitContext;
use crate::detect::FitError;
use crate::detect::Model;
use crate::series::Grid;
use crate::series::Window;
use crate::verdict::Class;

const STEP_S: i64 = 30;
const ROWS: usize = 1200;
const FEATURES: usize = 3;

/// Where incidents are: from, to, the feature that shows it, its kind.
type Incident = (usize, usize, usize, &'static str);

const LABELLED: [Incident; 4] = [
    (200, 212, 0, "surge"),
    (420, 432, 1, "drought"),
    (640, 652, 0, "surge"),
    (860, 872, 1, "drought"),
];

fn rows(n: usize, seed: usize, incidents: &[Incident]) -> Window {
    let mut window = Window::gaps(Grid { start_s: 0, step_s: STEP_S, len: n }, FEATURES);
    for i in 0..n {
        for f in 0..FEATURES {
            let noise =
                ((i * 7919 + f * 104_729 + seed * 31 + i * i * 13) % 101) as f64 / 101.0 - 0.5;
            let wave = (i as f64 * 0.11 + f as f64).sin();
            let hit =
                incidents.iter().find(|(from, to, on, _)| (*from..*to).contains(&i) && *on == f);
            let shift = hit.map_or(0.0, |hit| if hit.3 == "surge" { 4.0 } else { -4.0 });
            window.row_mut(i)[f] = wave + 0.6 * noise + shift;
        }
    }
    window
}

fn episodes(rows: &Window, incidents: &[Incident]) -> Vec<Episode> {
    let episode = |&(from, to, _, kind): &Incident| Episode {
        rows: rows.slice(from.saturating_sub(64), to),
        from_s: rows.grid.time(from),
        class: Class::anomaly(kind),
    };
    incidents.iter().map(episode).collect()
}

/// Training rows with the incidents as gaps, and the incidents.
fn lessons() -> (Window, Vec<Episode>) {
    let whole = rows(ROWS, 1, &LABELLED);
    let episodes = episodes(&whole, &LABELLED);
    let mut train = whole;
    for (from, to, ..) in LABELLED {
        (from - 2..to + 2).for_each(|i| train.row_mut(i).fill(f64::NAN));
    }
    (train, episodes)
}

fn detectors() -> Vec<Config> {
    let short = |name: &str| {
        let mut config = Config::named(name).unwrap();
        config.set_window(16);
        config
    };
    ["classifier", "siamese"].map(short).into()
}

fn fit(config: &Config) -> Box<dyn Model> {
    let (train, episodes) = lessons();
    let context = FitContext { episodes: &episodes, ..FitContext::new(3, &|| true) };
    config.fit(&train, &context).unwrap()
}

#[test]
fn what_was_labelled_is_found_and_named_when_it_comes_again() {
    let again: [Incident; 2] = [(300, 312, 0, "surge"), (500, 512, 1, "drought")];
    let new = rows(700, 2, &again);
    for config in detectors() {
        let model = fit(&config);
        let scores: Vec<f64> = model.score(&new, 0).iter().map(|raw| raw.value).collect();
        let inside = |i: usize| again.iter().any(|(from, to, ..)| (from + 3..*to - 1).contains(&i));
        let calm =
            |i: usize| i > 20 && !again.iter().any(|(from, to, ..)| (*from..to + 1).contains(&i));
        let least = (0..700).filter(|&i| inside(i)).map(|i| scores[i]).fold(f64::MAX, f64::min);
        let above = (0..700).filter(|&i| calm(i) && scores[i] >= least).count();
        assert!(
            above <= 2,
            "{}: {above} ordinary rows score as the mildest {least}",
            config.name()
        );
        for (from, to, feature, kind) in again {
            let seen = new.slice(0, (from + to) / 2);
            let opinion = model.opinion(&seen).unwrap();
            assert_eq!(opinion.classes[0].0, kind, "{}: {opinion:?}", config.name());
            assert!(opinion.classes[0].1 > 0.5, "{}: {opinion:?}", config.name());
            let shares = model.contributions(&seen).unwrap();
            assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            assert!(shares[feature] > 0.5, "{}: {kind}: {shares:?}", config.name());
        }
        let calm = model.opinion(&new.slice(0, 200)).unwrap();
        let probability: f64 = calm.classes.iter().map(|(_, p)| p).sum();
        assert!(probability < 0.5, "{}: {calm:?}", config.name());
    }
}

#[test]
fn the_siamese_network_is_reminded_of_incidents_of_the_same_kind() {
    let again: [Incident; 1] = [(300, 312, 1, "drought")];
    let new = rows(400, 5, &again);
    let model = fit(&detectors()[1]);
    let similar = model.opinion(&new.slice(0, 308)).unwrap().similar;
    let begins: Vec<i64> = similar.iter().map(|s| s.from_s / STEP_S).collect();
    assert!([420, 860].contains(&begins[0]) && [420, 860].contains(&begins[1]), "{similar:?}");
    assert_eq!(similar[0].kind.as_deref(), Some("drought"));
    assert!(similar.is_sorted_by(|a, b| a.distance <= b.distance), "{similar:?}");
}

#[test]
fn without_an_incident_there_is_nothing_to_learn() {
    let (train, mut episodes) = lessons();
    episodes.iter_mut().for_each(|episode| episode.class = Class::Normal);
    for config in detectors() {
        for episodes in [&[], episodes.as_slice()] {
            let context = FitContext { episodes, ..FitContext::new(3, &|| true) };
            assert_eq!(config.fit(&train, &context).err(), Some(FitError::NoIncidents));
        }
    }
}

/// The newest label counts, and one that is older than history too.
#[test]
fn one_label_is_enough_wherever_it_lies() {
    let (train, all) = lessons();
    let again: [Incident; 1] = [(300, 312, 0, "surge")];
    let new = rows(400, 7, &again);
    for config in detectors() {
        for (k, shift_s) in [(0, 0), (2, 0), (2, -1_000_000 * STEP_S)] {
            let mut episode = all[k].clone();
            episode.rows.grid.start_s += shift_s;
            episode.from_s += shift_s;
            let episodes = [episode];
            let context = FitContext { episodes: &episodes, ..FitContext::new(3, &|| true) };
            let model = config.fit(&train, &context).unwrap();
            let scores: Vec<f64> = model.score(&new, 0).iter().map(|raw| raw.value).collect();
            let calm = (20..300).filter(|&i| scores[i] >= scores[308]).count();
            assert!(calm <= 3, "{} {k} {shift_s}: {calm} ordinary rows above", config.name());
        }
    }
}

#[test]
fn what_is_judged_by_shares_no_row_with_what_is_trained_on() {
    use super::Cuts;
    use super::Pasted;
    use super::examples::pasted;
    // A row is its own number; those of incidents are below 0.
    let (n, rows) = (400, 8);
    let grid = Grid { start_s: 0, step_s: STEP_S, len: n };
    let train = Window::single(grid, (0..n).map(|i| i as f64).collect());
    let episode = |from: usize| {
        let grid = Grid { start_s: grid.time(from), step_s: STEP_S, len: rows };
        let values = vec![-1.0; rows];
        let class = Class::Anomaly(None);
        Episode { rows: Window::single(grid, values), from_s: grid.start_s, class }
    };
    let episodes: Vec<Episode> = (0..n - rows).step_by(20).map(episode).collect();
    let episodes: Vec<&Episode> = episodes.iter().collect();
    let cuts = Cuts::of((0..n as i64).collect());
    // The rows of each part: up to 279, up to 339, and the rest.
    let of_row = |row: f32| usize::from(row > 279.0) + usize::from(row > 339.0);
    let mixed = |of: &Pasted| {
        let example = of.example();
        let part = cuts.unwrap().part(example.end, rows);
        part.is_none_or(|part| example.window.iter().any(|v| *v >= 0.0 && of_row(*v) != part))
    };
    let apart = pasted(&train, &episodes, &[0], rows, 1, cuts);
    assert_eq!(apart.iter().filter(|of| mixed(of)).count(), 0);
    let parts = apart.iter().filter_map(|of| cuts.unwrap().part(of.example().end, rows));
    assert_eq!(parts.collect::<std::collections::BTreeSet<_>>().len(), 3);
    let anywhere = pasted(&train, &episodes, &[0], rows, 1, None);
    assert!(anywhere.iter().filter(|of| mixed(of)).count() > anywhere.len() / 4);
    // But for their backgrounds they are the same.
    let ends = |all: &[Pasted]| -> Vec<i64> { all.iter().map(|of| of.example().end).collect() };
    let kept = |end: &i64| cuts.unwrap().part(*end, rows).is_some();
    let anywhere: Vec<i64> = ends(&anywhere).into_iter().filter(kept).collect();
    assert_eq!(ends(&apart), anywhere);
}

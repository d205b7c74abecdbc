//! Each network on a problem whose answer is known.

mod hostile;

use crate::math::random::Random;

use super::*;

const ROWS: usize = 16;
const FEATURES: usize = 3;

/// A history of three features that swing together with noise, in units far apart, and its incidents: a spike of
/// the first feature, a level shift of the second.
struct Toy {
    history: Vec<f32>,
    classes: Vec<Class>,
}

impl Toy {
    /// An incident begins every `every` rows from row `every` on, and lasts four; 0 is none.
    fn new(rows: usize, every: usize, seed: u64) -> Toy {
        let mut random = Random::new(seed);
        let mut toy = Toy { history: Vec::new(), classes: Vec::new() };
        for i in 0..rows {
            let incident = i.checked_div(every).filter(|n| *n > 0 && i % every < 4);
            let class = match incident {
                None => Class::Normal,
                Some(n) if n.is_multiple_of(2) => Class::anomaly("shift"),
                Some(_) => Class::anomaly("spike"),
            };
            let mut noise = || 0.3 * (random.unit_f32() - 0.5);
            let phase = i as f32 * 0.4;
            let mut row =
                [phase.sin() + noise(), (phase + 1.0).sin() + noise(), phase.cos() + noise()];
            match class.kind() {
                Some("spike") => row[0] += 3.0,
                Some(_) => row[1] -= 3.0,
                None => (),
            }
            toy.history.extend([1e3 + 100.0 * row[0], row[1] * 1e-3, row[2]]);
            toy.classes.push(class);
        }
        toy
    }

    /// All windows, each of the class of its newest row; those with an incident further back are left out.
    fn examples(&self) -> Vec<Example<'_>> {
        let class = |end: usize| self.classes[end].clone();
        let mut all = Example::sliding(&self.history, ROWS, FEATURES, class);
        all.retain(|e| {
            let end = e.end as usize;
            let past = (end + 1 - ROWS..end).any(|i| self.classes[i].is_anomaly());
            e.class.is_anomaly() || !past
        });
        all
    }
}

fn windows<'a>(data: &[Example<'a>]) -> Vec<&'a [f32]> {
    data.iter().map(|e| e.window).collect()
}

/// Share of the examples that `right` holds for.
fn share<T>(
    data: &[Example<'_>],
    seen: &[Option<T>],
    right: impl Fn(&Example<'_>, &T) -> bool,
) -> f64 {
    let both = data.iter().zip(seen);
    both.filter(|(e, s)| right(e, s.as_ref().unwrap())).count() as f64 / data.len() as f64
}

fn autoencoder(data: &[Example<'_>]) -> ConvAutoencoder {
    let mut network = ConvAutoencoder::new(ROWS, FEATURES, Settings::default()).unwrap();
    network.train(300, 32, data).unwrap();
    network
}

#[test]
fn the_autoencoder_blames_the_feature_and_finds_clusters() {
    let (past, future) = (Toy::new(800, 0, 1), Toy::new(600, 40, 2));
    let mut network = autoencoder(&past.examples());
    let data = future.examples();
    let anomalies: Vec<Example<'_>> =
        data.iter().filter(|e| e.class.is_anomaly()).cloned().collect();
    let seen = network.predict(&windows(&anomalies)).unwrap();
    let blamed = share(&anomalies, &seen, |e, s| {
        let most = if e.class.kind() == Some("spike") { 0 } else { 1 };
        s.errors.iter().all(|error| *error <= s.errors[most])
    });
    assert!(blamed > 0.9, "{blamed}");
    // Of which share of the windows it is right, half of them normal, half not.
    let right = |network: &ConvAutoencoder| {
        let seen = network.predict(&windows(&data)).unwrap();
        let of = |anomaly: bool| {
            let own = data.iter().zip(&seen).filter(|(e, _)| e.class.is_anomaly() == anomaly);
            let own: Vec<bool> =
                own.map(|(_, s)| s.as_ref().unwrap().anomalous == anomaly).collect();
            own.iter().filter(|right| **right).count() as f64 / own.len() as f64
        };
        0.5 * (of(true) + of(false))
    };
    let before = right(&network);
    let threshold = network.set_threshold_from(&data).unwrap();
    assert_eq!(network.threshold(), Some(threshold));
    let after = right(&network);
    assert!(before > 0.95 && after > 0.95, "{before} {after}");
    let seen = network.predict(&windows(&anomalies)).unwrap();
    assert_eq!(share(&anomalies, &seen, |_, s| s.anomalous), 1.0);

    let by_latents = network.latent_clusters(&windows(&anomalies), Some(2)).unwrap();
    let by_errors = network.error_clusters(&windows(&anomalies), Some(2)).unwrap();
    for clusters in [by_latents, by_errors] {
        assert_eq!(clusters.iter().map(|c| c.members.len()).sum::<usize>(), anomalies.len());
        for cluster in &clusters {
            assert!(cluster.members.contains(&cluster.medoid));
            let kind = anomalies[cluster.medoid].class.kind();
            let own =
                cluster.members.iter().filter(|&&i| anomalies[i].class.kind() == kind).count();
            assert!(own * 10 > 8 * cluster.members.len(), "{kind:?} {own}");
            assert_eq!(cluster.features[0].0, usize::from(kind == Some("shift")), "{kind:?}");
        }
    }
    assert!(!network.latent_clusters(&windows(&anomalies), None).unwrap().is_empty());
    assert!(network.latent_clusters(&[], None).unwrap().is_empty());
    assert!(network.error_clusters(&[], None).unwrap().is_empty());
}

#[test]
fn the_classifier_tells_kinds_apart_and_says_what_it_never_saw() {
    let (past, future) = (Toy::new(1600, 40, 1), Toy::new(600, 40, 2));
    let mut network = ConvClassifier::new(ROWS, FEATURES, Settings::default()).unwrap();
    let training = network.train(400, 32, &past.examples()).unwrap();
    assert!(training.test.unwrap() < 0.3, "{training:?}");
    assert!(training.examples.iter().all(|&n| n > 50), "{:?}", training.examples);
    let data = future.examples();
    let seen = network.predict(&windows(&data)).unwrap();
    let right = share(&data, &seen, |e, s| {
        s.class == e.class || (s.class == Class::Anomaly(None) && e.class.is_anomaly())
    });
    let named = share(&data, &seen, |e, s| s.class == e.class);
    assert!(right > 0.95 && named > 0.9, "{right} {named}");
    assert_eq!(network.kinds(), ["shift", "spike"]);
    // The third feature never moved by itself.
    let mut strange = windows(&data)[0].to_vec();
    strange.iter_mut().skip(2).step_by(FEATURES).for_each(|v| *v = 40.0);
    assert!(network.predict(&[&strange]).unwrap()[0].as_ref().unwrap().unknown);
    let unknown = share(&data, &seen, |_, s| s.unknown);
    assert!(unknown < 0.1, "{unknown}");
}

/// Normal windows, and of each kind two that somebody labelled.
fn handful(toy: &Toy) -> Vec<Example<'_>> {
    let mut data = toy.examples();
    let mut left = 4;
    data.retain(|e| {
        let newest = e.class.is_anomaly()
            && !toy.classes[e.end as usize - 3..].starts_with(&[Class::Normal]);
        let keep = newest && left > 0 && toy.classes[e.end as usize + 1] == Class::Normal;
        left -= usize::from(keep);
        keep || !e.class.is_anomaly()
    });
    data
}

#[test]
fn a_handful_of_labels_is_enough_for_the_siamese_network() {
    let (past, future) = (Toy::new(400, 40, 1), Toy::new(600, 40, 2));
    let few = handful(&past);
    assert_eq!(few.iter().filter(|e| e.class.is_anomaly()).count(), 4);
    let mut network = SiameseNetwork::new(ROWS, FEATURES, Settings::default()).unwrap();
    let training = network.train(300, 32, &few).unwrap();
    assert!(training.looks.last().unwrap().held_out < training.looks[0].held_out);
    // Windows in which the incident is as young as in the first row of it are not like the labelled ones.
    let mut data = future.examples();
    data.retain(|e| !e.class.is_anomaly() || future.classes[e.end as usize + 1] == Class::Normal);
    let seen = network.predict(&windows(&data)).unwrap();
    let anomalies = |class: &Class| class.is_anomaly();
    let caught: Vec<(bool, bool)> = data
        .iter()
        .zip(&seen)
        .filter(|(e, _)| anomalies(&e.class))
        .map(|(e, s)| {
            let s = s.as_ref().unwrap();
            (*s.class() == e.class, s.neighbours[0].class == e.class)
        })
        .collect();
    assert!(caught.iter().filter(|c| c.0).count() * 10 > caught.len() * 8, "{caught:?}");
    assert!(caught.iter().filter(|c| c.1).count() * 10 > caught.len() * 8, "{caught:?}");
    let normal: Vec<Example<'_>> = data.iter().filter(|e| !e.class.is_anomaly()).cloned().collect();
    let quiet = share(&normal, &network.predict(&windows(&normal)).unwrap(), |_, s| {
        *s.class() == Class::Normal
    });
    assert!(quiet > 0.9, "{quiet}");
    let neighbours = &seen[0].as_ref().unwrap().neighbours;
    assert_eq!(neighbours.len(), 3);
    assert!(neighbours.windows(2).all(|pair| pair[0].distance <= pair[1].distance));
}

#[test]
fn a_label_of_a_minute_ago_counts_at_once() {
    let toy = Toy::new(400, 40, 1);
    let mut network = SiameseNetwork::new(ROWS, FEATURES, Settings::default()).unwrap();
    let mut data = handful(&toy);
    network.train(200, 32, &data).unwrap();
    let mut window = data[0].window.to_vec();
    window.iter_mut().skip(2).step_by(FEATURES).for_each(|v| *v = 4.0);
    let class = |network: &SiameseNetwork| {
        network.predict(&[&window]).unwrap()[0].as_ref().unwrap().class().clone()
    };
    assert_ne!(class(&network), Class::anomaly("stuck"));
    data.push(Example { window: &window, end: 1000, class: Class::anomaly("stuck") });
    network.compare_with(&data).unwrap();
    assert_eq!(class(&network), Class::anomaly("stuck"));
    let nearest = network.predict(&[&window]).unwrap()[0].as_ref().unwrap().neighbours[0].clone();
    assert_eq!((nearest.end, nearest.distance), (1000, 0.0));
}

/// The three networks, each trained for a moment, as their weights before and after a training.
fn trained(seed: u64) -> [(Vec<u8>, Vec<u8>); 3] {
    let toy = Toy::new(300, 20, 1);
    let data = toy.examples();
    macro_rules! train {
        ($type:ident) => {{
            let mut network = $type::new(ROWS, FEATURES, Settings::default()).unwrap();
            network.initialize_new_weights(seed);
            let before = network.export_weights();
            network.train(20, 16, &data).unwrap();
            (before, network.export_weights())
        }};
    }
    [train!(ConvAutoencoder), train!(ConvClassifier), train!(SiameseNetwork)]
}

#[test]
fn the_same_seed_gives_the_same_weights() {
    let (one, same, other) = (trained(1), trained(1), trained(2));
    assert_eq!(one, same);
    for (one, other) in one.iter().zip(&other) {
        assert_ne!(one.0, other.0);
        assert_ne!(one.1, other.1);
    }
}

#[test]
fn weights_survive_a_file_and_training_goes_on_from_them() {
    let toy = Toy::new(300, 20, 1);
    let data = toy.examples();
    macro_rules! check {
        ($type:ident, $bytes:expr) => {{
            let mut network = $type::from_weights($bytes).unwrap();
            let mut other = $type::new(ROWS, FEATURES, Settings::default()).unwrap();
            other.initialize_new_weights(9);
            other.import_weights($bytes).unwrap();
            assert_eq!(&network.export_weights(), $bytes);
            assert_eq!(&other.export_weights(), $bytes);
            let seen = network.predict(&windows(&data)).unwrap();
            assert_eq!(other.predict(&windows(&data)).unwrap(), seen);
            assert!(seen.iter().all(Option::is_some));
            let again = network.train(20, 16, &data).unwrap();
            other.train(20, 16, &data).unwrap();
            assert_ne!(&network.export_weights(), $bytes);
            assert_eq!(network.export_weights(), other.export_weights());
            again.looks[0].held_out
        }};
    }
    let [a, b, c] = trained(1);
    check!(ConvAutoencoder, &a.1);
    check!(ConvClassifier, &b.1);
    check!(SiameseNetwork, &c.1);
}

/// Half of it decides what is like nothing that is known.
#[test]
fn a_margin_is_of_the_weights() {
    let toy = Toy::new(300, 20, 1);
    let data = toy.examples();
    let unknown = |network: &SiameseNetwork| {
        let seen = network.predict(&windows(&data)).unwrap();
        seen.iter().flatten().filter(|seen| seen.unknown).count()
    };
    let settings = Settings { margin: 0.05, ..Settings::default() };
    let mut network = SiameseNetwork::new(ROWS, FEATURES, settings).unwrap();
    network.train(20, 16, &data).unwrap();
    let bytes = network.export_weights();
    let mut other = SiameseNetwork::new(ROWS, FEATURES, Settings::default()).unwrap();
    other.import_weights(&bytes).unwrap();
    for read in [SiameseNetwork::from_weights(&bytes).unwrap(), other] {
        assert_eq!((unknown(&read), read.export_weights()), (unknown(&network), bytes.clone()));
    }
}

#[test]
fn a_stopped_training_changes_nothing() {
    let toy = Toy::new(300, 20, 1);
    let data = toy.examples();
    let steps = std::cell::Cell::new(0);
    let keep_going = || {
        steps.set(steps.get() + 1);
        steps.get() % 10 != 0
    };
    macro_rules! check {
        ($type:ident) => {{
            let mut network = $type::new(ROWS, FEATURES, Settings::default()).unwrap();
            let before = network.export_weights();
            let stopped = network.train_while(50, 16, &data, &keep_going);
            assert_eq!(stopped.unwrap_err(), NetworkError::Stopped);
            assert_eq!(network.export_weights(), before);
            let untrained = network.predict(&windows(&data)).unwrap_err();
            assert_eq!(untrained, NetworkError::NotTrained);
        }};
    }
    check!(ConvAutoencoder);
    check!(ConvClassifier);
    check!(SiameseNetwork);
    assert_eq!(steps.get(), 30);
}

#[test]
fn what_is_wrong_is_said() {
    let settings = Settings::default();
    let text = |error: NetworkError| error.to_string();
    let new = |rows, features, settings| {
        text(ConvAutoencoder::new(rows, features, settings).unwrap_err())
    };
    assert_eq!(new(6, 1, settings), "rows: 6 is not a multiple of 4");
    assert_eq!(new(8, 0, settings), "features: 0 is not between 1 and 4096");
    assert_eq!(new(8, usize::MAX, settings).split(':').next(), Some("features"));
    assert_eq!(
        new(8, 1, Settings { latent: 0, ..settings }),
        "latent: 0 is not between 1 and 1024"
    );
    let rate = Settings { learning_rate: f64::NAN, ..settings };
    assert_eq!(new(8, 1, rate), "learning_rate: NaN is not above 0 and at most 0.1");

    let mut network = ConvClassifier::new(8, 2, settings).unwrap();
    let window = [1.0; 16];
    let example = |window, class| Example { window, end: 0, class };
    let mut train = |data: &[Example<'_>]| text(network.train(10, 4, data).unwrap_err());
    assert_eq!(
        train(&[example(&window, Class::Normal), example(&window[1..], Class::Normal)]),
        "window 1 has 15 values; this network reads 8 rows of 2 features, 16 values"
    );
    assert_eq!(
        train(&[example(&window, Class::Normal)]),
        "0 anomalous windows to learn from, wanted at least 1"
    );
    let gaps = [f32::NAN; 16];
    assert_eq!(
        train(&[example(&gaps, Class::Normal), example(&window, Class::Anomaly(None))]),
        "0 normal windows to learn from, wanted at least 1"
    );
    // What no file may hold is not learnt.
    let mut kinds: Vec<Example<'_>> =
        (0..257).map(|i| example(&window, Class::anomaly(&format!("kind {i}")))).collect();
    kinds.push(example(&window, Class::Normal));
    let long =
        [example(&window, Class::anomaly(&"x".repeat(257))), example(&window, Class::Normal)];
    let mut siamese = SiameseNetwork::new(8, 2, settings).unwrap();
    for (data, said) in [
        (&kinds[..], "257 kinds of anomaly; at most 256"),
        (&long[..], "a kind \"xxxxxxxxxxxxxxxxxxxx…\" of 257 bytes; at most 256"),
    ] {
        assert_eq!(train(data), said);
        assert_eq!(text(siamese.train(10, 4, data).unwrap_err()), said);
    }
    let none = network.train(0, 4, &[]).unwrap_err();
    assert_eq!(text(none), "iterations: 0 is not between 1 and 100000000");

    let [a, b, _] = trained(1);
    let mut other = ConvAutoencoder::new(8, 2, settings).unwrap();
    let said = text(other.import_weights(&a.1).unwrap_err());
    assert_eq!(
        said,
        "cannot import weights: they are of a network of 3 features, 16 rows, latent 16, widths [32, 16]; \
         this one has 2 features, 8 rows, latent 16, widths [32, 16]"
    );
    let said = text(other.import_weights(&b.1).unwrap_err());
    assert!(
        said.contains("\"convolutional classifier\"") && said.contains("autoencoder"),
        "{said}"
    );
}

#[test]
fn gaps_are_read_and_empty_windows_are_not_judged() {
    let mut toy = Toy::new(800, 0, 1);
    let mut random = Random::new(3);
    for (i, cell) in toy.history.iter_mut().enumerate() {
        // A fifth of the cells, and the last feature of the last hundred rows.
        if random.unit_f32() < 0.2 || (i % FEATURES == 2 && i >= 700 * FEATURES) {
            *cell = f32::NAN;
        }
    }
    let data = toy.examples();
    let network = autoencoder(&data);
    let seen = network.predict(&windows(&data)).unwrap();
    let last = seen.last().unwrap().as_ref().unwrap();
    assert!(last.errors[2].is_nan() && last.error.is_finite() && last.latent_distance.is_finite());
    let errors = || seen.iter().flatten().map(|s| s.errors[0]).filter(|e| !e.is_nan());
    let mean = errors().sum::<f32>() / errors().count() as f32;
    // The spread of the feature is 1.
    assert!(mean < 0.5, "{mean}");
    let empty = [f32::NAN; ROWS * FEATURES];
    assert_eq!(network.predict(&[&empty, data[0].window]).unwrap()[0], None);
    assert!(network.predict(&[&empty, data[0].window]).unwrap()[1].is_some());
    let infinite = [f32::INFINITY; ROWS * FEATURES];
    assert!(network.predict(&[&infinite]).unwrap()[0].as_ref().unwrap().error > 10.0);
}

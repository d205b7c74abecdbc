//! Precision over recall, one curve per detector.

use super::axis;
use super::scene::Anchor;
use super::scene::Colour;
use super::scene::LABEL;
use super::scene::Place;
use super::scene::SUBTITLE;
use super::scene::Scene;
use super::scene::TITLE;
use super::thin;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 520.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 640.0;
const TOP: f64 = 88.0;
const BOTTOM: f64 = HEIGHT - 56.0;

const GRID: Colour = 0xe9e9e9;
const COLOURS: [Colour; 8] =
    [0x1f6fb4, 0xdb2530, 0x43a047, 0xff8f00, 0x7b3fb5, 0x00838f, 0x8d5524, 0x5c5c5c];

/// What detectors make of the same rows at every threshold.
#[derive(Debug, Clone, PartialEq)]
pub struct Curves {
    /// What is shown.
    pub title: String,
    /// How it came about.
    pub subtitle: String,
    /// Per detector, its name, and precision and recall from the highest threshold on, each 0 to 1.
    pub curves: Vec<(String, Vec<(f64, f64)>)>,
}

/// The picture.
pub fn curves(shown: &Curves) -> Scene {
    let names: Vec<&str> = shown.curves.iter().map(|(name, _)| name.as_str()).collect();
    let description = format!("Precision over recall of {}. {}", names.join(", "), shown.subtitle);
    let mut scene = Scene::new(WIDTH, HEIGHT, &shown.title, description);
    scene.text("title", (24.0, 36.0), Anchor::Start, TITLE, shown.title.as_str());
    scene.text("subtitle", (24.0, 58.0), Anchor::Start, SUBTITLE, shown.subtitle.as_str());
    let ticks = axis::numbers(0.0, 1.0, 5);
    let across = ticks.iter().map(|t| vec![place(t.at, 0.0), place(t.at, 1.0)]);
    let up = ticks.iter().map(|t| vec![place(0.0, t.at), place(1.0, t.at)]);
    scene.lines("grid", across.chain(up).collect(), GRID, 1.0);
    for tick in ticks {
        let (x, y) = (place(tick.at, 0.0).0, place(0.0, tick.at).1);
        scene.text("tick", (x, BOTTOM + 20.0), Anchor::Middle, LABEL, tick.label.as_str());
        scene.text("tick", (LEFT - 8.0, y + 4.5), Anchor::End, LABEL, tick.label);
    }
    scene.text("caption", (RIGHT, BOTTOM + 40.0), Anchor::End, LABEL, "recall");
    scene.text("caption", (24.0, TOP - 10.0), Anchor::Start, LABEL, "precision");
    for (k, (name, curve)) in shown.curves.iter().enumerate() {
        let colour = COLOURS[k % COLOURS.len()];
        let known = curve.iter().filter(|(precision, recall)| !(precision + recall).is_nan());
        let mut line: Vec<Place> = known.map(|(p, r)| place(*r, *p)).collect();
        line.dedup();
        if let [only] = line[..] {
            line.push((only.0 + 0.1, only.1));
        }
        let lines = if line.is_empty() { Vec::new() } else { thin::lines(vec![line]) };
        scene.lines("curve", lines, colour, 1.8);
        let y = TOP + 14.0 + 22.0 * k as f64;
        scene.lines("legend", vec![vec![(RIGHT + 24.0, y), (RIGHT + 48.0, y)]], colour, 1.8);
        scene.text("legend", (RIGHT + 55.0, y + 4.5), Anchor::Start, LABEL, name.as_str());
    }
    scene
}

fn place(recall: f64, precision: f64) -> Place {
    let part = |value: f64| value.clamp(0.0, 1.0);
    (LEFT + part(recall) * (RIGHT - LEFT), BOTTOM - part(precision) * (BOTTOM - TOP))
}

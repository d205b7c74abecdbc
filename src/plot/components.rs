//! A series taken apart: what was measured, its trend, its season, what is left over.

use super::frame;
use super::frame::Frame;
use super::scene::Anchor;
use super::scene::Colour;
use super::scene::LABEL;
use super::scene::SUBTITLE;
use super::scene::Scene;
use super::thin;

/// The parts of a series; all of one length, NaN is a gap.
#[derive(Debug, Clone, PartialEq)]
pub struct Components {
    /// What is shown, such as the file's name.
    pub title: String,
    /// How it was taken apart.
    pub subtitle: String,
    /// What the values are.
    pub quantity: String,
    /// The first value's unix second.
    pub start_s: i64,
    /// Distance of two values, in seconds.
    pub step_s: i64,
    /// What was measured: the sum of the other three.
    pub observed: Vec<f64>,
    /// What changes slowly.
    pub trend: Vec<f64>,
    /// What comes back every period.
    pub season: Vec<f64>,
    /// What is left over.
    pub residual: Vec<f64>,
}

const TOP: f64 = 108.0;
const PANEL: f64 = 138.0;
/// From one panel to the next: room for a name.
const GAP: f64 = 34.0;
const HEIGHT: f64 = TOP + 4.0 * PANEL + 3.0 * GAP + 64.0;

const ZERO: Colour = 0xb5b5b5;

/// The picture.
pub fn components(parts: &Components) -> Scene {
    let panels: [(&'static str, &str, &[f64], Colour); 4] = [
        ("observed", "measured", &parts.observed, 0x1f6fb4),
        ("trend", "trend", &parts.trend, 0x2b2b2b),
        ("season", "season", &parts.season, 0x2e7d32),
        ("residual", "residual", &parts.residual, 0xb3261e),
    ];
    let description = format!(
        "{} over time and its trend, season and residual, {} points each. {}",
        parts.quantity,
        parts.observed.len(),
        parts.subtitle
    );
    let mut scene = Scene::new(frame::WIDTH, HEIGHT, &parts.title, description);
    frame::head(&mut scene, &parts.subtitle);
    let quantity = (frame::WIDTH - frame::RIGHT, TOP - 10.0);
    scene.text("caption", quantity, Anchor::End, SUBTITLE, parts.quantity.as_str());
    let time = |i: usize| parts.start_s.saturating_add(parts.step_s.saturating_mul(i as i64));
    let times: Vec<i64> = (0..parts.observed.len()).map(time).collect();
    for (i, (class, name, values, colour)) in panels.into_iter().enumerate() {
        let top = TOP + i as f64 * (PANEL + GAP);
        let (low, high) = frame::ends(values.iter().copied());
        let beyond = frame::beyond(values.iter().copied(), (low, high));
        let frame = Frame {
            left: frame::LEFT,
            right: frame::WIDTH - frame::RIGHT,
            top,
            bottom: top + PANEL,
            from_s: parts.start_s,
            to_s: time(parts.observed.len()),
            low,
            high,
        };
        scene.text(
            "caption",
            (frame.left, top - 10.0),
            Anchor::Start,
            LABEL,
            format!("{name}{beyond}"),
        );
        frame.draw(&mut scene, 4, class == "residual");
        if low < 0.0 && high > 0.0 {
            let zero = vec![(frame.left, frame.y(0.0)), (frame.right, frame.y(0.0))];
            scene.lines("zero", vec![zero], ZERO, 1.0);
        }
        scene.lines(class, thin::lines(frame.lines(&times, values)), colour, 1.3);
    }
    scene
}

//! Scores over time, one strip per detector, with what was wrong behind them.

use super::frame;
use super::frame::Frame;
use super::frame::Sample;
use super::scene::Anchor;
use super::scene::Colour;
use super::scene::LABEL;
use super::scene::Mark;
use super::scene::SUBTITLE;
use super::scene::Scene;
use super::thin;

const TOP: f64 = 108.0;
/// Height of a strip, and the room above it for its name.
const STRIP: f64 = 86.0;
const NAME: f64 = 24.0;
const BELOW: f64 = 64.0;

/// Higher scores lie on the end of the axis.
const MOST: f64 = 3.0;
/// An interval is at least so wide, in pixels.
const SEEN: f64 = 1.5;

const SCORE: (Colour, f64) = (0x1f6fb4, 1.2);
const THRESHOLD: (Colour, f64) = (0xdb2530, 1.0);
const WRONG: (Colour, f64) = (0xffb300, 0.35);
const BORDER: (Colour, f64) = (0x5c5c5c, 1.2);

/// Scores of several detectors on the same rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Timeline {
    /// What is shown.
    pub title: String,
    /// How it came about.
    pub subtitle: String,
    /// The first row's time, in unix seconds.
    pub start_s: i64,
    /// Distance of two rows, in seconds.
    pub step_s: i64,
    /// Per detector, its name and one score per row.
    pub strips: Vec<(String, Vec<f64>)>,
    /// When something was wrong: from, and up to, in unix seconds.
    pub wrong: Vec<(i64, i64)>,
    /// Where the rows begin that count, in unix seconds, and what they are called.
    pub border: (i64, String),
}

/// The picture.
pub fn timeline(shown: &Timeline) -> Scene {
    let n = shown.strips.len();
    let n_rows = shown.strips.iter().map(|(_, scores)| scores.len()).max().unwrap_or(0);
    let height = TOP + n as f64 * (STRIP + NAME) + BELOW;
    let description = format!(
        "Scores of {n} detectors on {n_rows} rows; 1 is the threshold. {} stretches in which something \
         was wrong are shaded. {}",
        shown.wrong.len(),
        shown.subtitle
    );
    let mut scene = Scene::new(frame::WIDTH, height, &shown.title, description);
    frame::head(&mut scene, &shown.subtitle);
    let area = Sample::Area { colour: WRONG.0, opacity: WRONG.1 };
    let line = |(colour, width)| Sample::Line { colour, width };
    let entries = [
        (area, "labelled anomaly".to_string()),
        (line(SCORE), "score".to_string()),
        (line(THRESHOLD), "threshold".to_string()),
    ];
    frame::legend(&mut scene, frame::WIDTH - frame::RIGHT, TOP, &entries);
    let to_s = shown.start_s.saturating_add(shown.step_s.saturating_mul(n_rows as i64));
    let times: Vec<i64> = (0..n_rows as i64).map(|i| shown.start_s + i * shown.step_s).collect();
    for (k, (name, scores)) in shown.strips.iter().enumerate() {
        let top = TOP + k as f64 * (STRIP + NAME) + NAME;
        let frame = Frame {
            left: frame::LEFT,
            right: frame::WIDTH - frame::RIGHT,
            top,
            bottom: top + STRIP,
            from_s: shown.start_s,
            to_s,
            low: 0.0,
            high: MOST,
        };
        shade(&mut scene, &frame, &shown.wrong);
        frame.draw(&mut scene, 3, k + 1 == n);
        scene.text("name", (frame.left, top - 7.0), Anchor::Start, LABEL, name.as_str());
        scene.lines("score", thin::lines(frame.lines(&times, scores)), SCORE.0, SCORE.1);
        let threshold = vec![(frame.left, frame.y(1.0)), (frame.right, frame.y(1.0))];
        scene.lines("threshold", vec![threshold], THRESHOLD.0, THRESHOLD.1);
        let x = frame.x(shown.border.0);
        scene.lines("border", vec![vec![(x, top), (x, top + STRIP)]], BORDER.0, BORDER.1);
        if k == 0 {
            let at = (x + 4.0, top - 7.0);
            scene.text("border", at, Anchor::Start, SUBTITLE, shown.border.1.as_str());
        }
    }
    scene
}

fn shade(scene: &mut Scene, frame: &Frame, wrong: &[(i64, i64)]) {
    let seen = wrong.iter().filter(|(from_s, to_s)| *to_s > frame.from_s && *from_s < frame.to_s);
    let border = |&(from_s, to_s): &(i64, i64)| {
        let from = frame.x(from_s);
        let to = frame.x(to_s).max(from + SEEN);
        vec![(from, frame.bottom), (from, frame.top), (to, frame.top), (to, frame.bottom)]
    };
    let borders = seen.map(border).collect();
    scene.add("wrong", Mark::Areas { borders, colour: WRONG.0, opacity: WRONG.1 });
}

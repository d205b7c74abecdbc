//! A few features around one moment, each on an axis of its own: small enough for the cell of a table.

use super::axis;
use super::frame;
use super::frame::Frame;
use super::scene::Anchor;
use super::scene::Colour;
use super::scene::Mark;
use super::scene::Scene;
use super::scene::Style;

const WIDTH: f64 = 420.0;
const EDGE: f64 = 8.0;
/// Of a feature: its name, and below it its line.
const NAME: f64 = 18.0;
const STRIP: f64 = 58.0;
/// Below all: the time.
const FOOT: f64 = 20.0;

const LINE: Colour = 0x1f6fb4;
const USUAL: Colour = 0xc4c4c4;
const WRONG: Colour = 0xdb2530;
const TEXT: Style = Style { size: 11.5, colour: 0x3c3c3c };

/// Some features around a moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Glimpse {
    /// What is shown.
    pub title: String,
    /// The time of the first value, unix seconds.
    pub start_s: i64,
    /// Seconds from one value to the next.
    pub step_s: i64,
    /// The moment that it is about.
    pub moment_s: i64,
    /// Per feature its name, what is usual, and its values; NaN is a gap.
    pub strips: Vec<(String, f64, Vec<f64>)>,
}

/// The picture: a strip per feature with a grey line at what is usual, and a mark at the moment.
pub fn glimpse(shown: &Glimpse) -> Scene {
    let names: Vec<&str> = shown.strips.iter().map(|(name, ..)| name.as_str()).collect();
    let at = axis::moment(shown.moment_s);
    let description = format!("{} around {at}", names.join(", "));
    let height = STRIP * shown.strips.len() as f64 + FOOT;
    let mut scene = Scene::new(WIDTH, height, &shown.title, description);
    let most = shown.strips.iter().map(|(.., values)| values.len()).max().unwrap_or(0);
    let times: Vec<i64> = (0..most).map(|i| shown.start_s + i as i64 * shown.step_s).collect();
    for (k, (name, usual, values)) in shown.strips.iter().enumerate() {
        let top = STRIP * k as f64;
        let (low, high) = frame::ends(values.iter().copied().chain([*usual]));
        let frame = Frame {
            left: EDGE,
            right: WIDTH - EDGE,
            top: top + NAME,
            bottom: top + STRIP - 4.0,
            from_s: shown.start_s,
            to_s: times.last().copied().unwrap_or(shown.start_s),
            low,
            high,
        };
        let (x, half) = (frame.x(shown.moment_s), 3.0);
        let sides = [x - half, x + half];
        let border = [(0, frame.top), (1, frame.top), (1, frame.bottom), (0, frame.bottom)];
        let border = border.map(|(side, y)| (sides[side], y)).to_vec();
        let mark = Mark::Areas { borders: vec![border], colour: WRONG, opacity: 0.25 };
        scene.add("moment", mark);
        if usual.is_finite() {
            let y = frame.y(*usual);
            scene.lines("usual", vec![vec![(frame.left, y), (frame.right, y)]], USUAL, 1.0);
        }
        let lines = frame.lines(&times, values).into_iter().filter(|line| line.len() > 1);
        scene.lines("line", lines.collect(), LINE, 1.4);
        let name = frame::fitting(name, TEXT.size, WIDTH - 2.0 * EDGE);
        scene.text("name", (EDGE, top + NAME - 5.0), Anchor::Start, TEXT, name);
    }
    scene.text("time", (WIDTH - EDGE, height - 6.0), Anchor::End, TEXT, at);
    scene
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(values: &[f64], usual: f64) -> Glimpse {
        let strips = vec![("a<b".to_string(), usual, values.to_vec()), ("c".into(), 0.0, vec![])];
        let (start_s, step_s, moment_s) = (1_700_000_000, 60, 1_700_000_060);
        Glimpse { title: "t".into(), start_s, step_s, moment_s, strips }
    }

    #[test]
    fn a_line_has_a_mark_where_the_moment_is() {
        let svg = glimpse(&shown(&[1.0, 5.0, 2.0], 1.0)).to_svg();
        assert!(
            svg.contains("<desc id=\"desc\">a&lt;b, c around 14 Nov 2023 22:14</desc>"),
            "{svg}"
        );
        assert!(svg.contains("class=\"moment\" d=\"M207 18 213 18"), "in the middle: {svg}");
        assert_eq!(svg.matches("class=\"line\"").count(), 1, "{svg}");
    }

    #[test]
    fn whatever_there_is_is_drawn() {
        for hostile in [&[][..], &[f64::NAN; 3], &[1.0], &[f64::MAX, f64::MIN, 5e-324]] {
            for usual in [f64::NAN, 0.0, f64::INFINITY] {
                let svg = glimpse(&shown(hostile, usual)).to_svg();
                assert!(!svg.contains("NaN") && !svg.contains("inf"), "{hostile:?}: {svg}");
            }
        }
    }
}

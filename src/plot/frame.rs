//! The part of a picture with axes: where values lie, the grid, what stands around it.
//!
//! Owns: margins, scales, legend. Does not own: which ticks an axis has (`axis`).

use super::axis;
use super::letters;
use super::scene::Anchor;
use super::scene::Colour;
use super::scene::Dot;
use super::scene::LABEL;
use super::scene::Mark;
use super::scene::Place;
use super::scene::SUBTITLE;
use super::scene::Scene;
use super::scene::TITLE;
use crate::math::stats;

/// Width of every picture.
pub(super) const WIDTH: f64 = 1200.0;
/// From the left edge to the first value: room for the numbers of the axis.
pub(super) const LEFT: f64 = 76.0;
/// From the last value to the right edge.
pub(super) const RIGHT: f64 = 28.0;
/// Where titles and captions begin.
const EDGE: f64 = 24.0;

const GRID: Colour = 0xe9e9e9;
const AXIS: Colour = 0x9a9a9a;

/// A chart's axes: `x` unix seconds, `y` values.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Frame {
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
    pub(super) from_s: i64,
    pub(super) to_s: i64,
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Frame {
    pub(super) fn x(&self, time_s: i64) -> f64 {
        let part = (time_s - self.from_s) as f64 / (self.to_s - self.from_s).max(1) as f64;
        self.left + part.clamp(0.0, 1.0) * (self.right - self.left)
    }

    /// What is beyond the axis lies on its end.
    pub(super) fn y(&self, value: f64) -> f64 {
        let part = (value - self.low) / (self.high - self.low);
        self.bottom - part.clamp(0.0, 1.0) * (self.bottom - self.top)
    }

    /// Values over time as lines that end at gaps (NaN).
    pub(super) fn lines(&self, times: &[i64], values: &[f64]) -> Vec<Vec<Place>> {
        let mut lines = vec![Vec::new()];
        for (time_s, value) in times.iter().zip(values) {
            let line = lines.last_mut().filter(|_| value.is_finite());
            match line {
                Some(line) => line.push((self.x(*time_s), self.y(*value))),
                None => lines.push(Vec::new()),
            }
        }
        lines.retain(|line| !line.is_empty());
        for line in &mut lines {
            // One value between two gaps is seen, too.
            if let [only] = line[..] {
                line.push((only.0 + 0.1, only.1));
            }
        }
        lines
    }

    /// Grid, numbers and dates; with `dates` off the grid has no dates below it.
    pub(super) fn draw(&self, scene: &mut Scene, n_numbers: usize, dates: bool) {
        let numbers = axis::numbers(self.low, self.high, n_numbers);
        let times = axis::times(self.from_s, self.to_s, ((self.right - self.left) / 90.0) as usize);
        let across =
            numbers.iter().map(|t| self.y(t.at)).map(|y| vec![(self.left, y), (self.right, y)]);
        let down =
            times.iter().map(|t| self.x(t.at)).map(|x| vec![(x, self.top), (x, self.bottom)]);
        scene.lines("grid", across.chain(down).collect(), GRID, 1.0);
        for tick in numbers {
            let at = (self.left - 8.0, self.y(tick.at) + 4.5);
            scene.text("tick", at, Anchor::End, LABEL, tick.label);
        }
        let base = vec![(self.left, self.bottom), (self.right, self.bottom)];
        scene.lines("axis", vec![base], AXIS, 1.0);
        if !dates {
            return;
        }
        let mark = |x: f64| vec![(x, self.bottom), (x, self.bottom + 5.0)];
        scene.lines("axis", times.iter().map(|t| mark(self.x(t.at))).collect(), AXIS, 1.0);
        for tick in times {
            let at = (self.x(tick.at), self.bottom + 20.0);
            scene.text("tick", at, Anchor::Middle, LABEL, tick.label);
        }
        let span = format!("{} to {}, UTC", axis::moment(self.from_s), axis::moment(self.to_s));
        scene.text("span", (self.right, self.bottom + 40.0), Anchor::End, SUBTITLE, span);
    }
}

/// Name and description above everything.
pub(super) fn head(scene: &mut Scene, subtitle: &str) {
    let title = fitting(&scene.title, TITLE.size, WIDTH - 2.0 * EDGE);
    scene.text("title", (EDGE, 36.0), Anchor::Start, TITLE, title);
    let subtitle = fitting(subtitle, SUBTITLE.size, WIDTH - 2.0 * EDGE);
    scene.text("subtitle", (EDGE, 58.0), Anchor::Start, SUBTITLE, subtitle);
}

/// What a number at the left means, above the axis.
pub(super) fn caption(scene: &mut Scene, top: f64, text: &str) {
    let text = fitting(text, LABEL.size, 420.0);
    scene.text("caption", (EDGE, top - 14.0), Anchor::Start, LABEL, text);
}

/// The text, or as much of it as there is room for.
pub(super) fn fitting(text: &str, size: f64, room: f64) -> String {
    if letters::width(text, size) <= room {
        return text.to_string();
    }
    let room = room - letters::width("…", size);
    let mut fits = text.to_string();
    while letters::width(&fits, size) > room && fits.pop().is_some() {}
    fits + "…"
}

/// What a sample in the legend looks like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Sample {
    Line { colour: Colour, width: f64 },
    Area { colour: Colour, opacity: f64 },
    Dot { colour: Colour, edge: Colour },
}

/// Samples with their names, in one row that ends at `right`, above the axis.
pub(super) fn legend(scene: &mut Scene, right: f64, top: f64, entries: &[(Sample, String)]) {
    const SAMPLE: f64 = 24.0;
    const GAP: f64 = 22.0;
    let y = top - 18.5;
    let mut x = right;
    for (sample, name) in entries.iter().rev() {
        x -= letters::width(name, LABEL.size);
        scene.text("legend", (x, y + 4.5), Anchor::Start, LABEL, name.as_str());
        x -= SAMPLE + 7.0;
        let end = x + SAMPLE;
        let mark = match *sample {
            Sample::Line { colour, width } => {
                Mark::Lines { lines: vec![vec![(x, y), (end, y)]], colour, width }
            }
            Sample::Area { colour, opacity } => {
                let (low, high) = (y + 6.0, y - 6.0);
                let border = vec![(x, low), (x, high), (end, high), (end, low)];
                Mark::Areas { borders: vec![border], colour, opacity }
            }
            Sample::Dot { colour, edge } => {
                // A dot needs less room than a line.
                let dots = vec![Dot { at: (end - 5.0, y), note: None }];
                x += SAMPLE - 10.0;
                Mark::Dots { dots, radius: 4.0, colour, edge: Some(edge) }
            }
        };
        scene.add("legend", mark);
        x -= GAP;
    }
}

/// The ends of an axis that shows these values: from zero where they are a quantity, with some room
/// above. Always two different numbers. A few values far beyond all others, such as a counter's
/// reset, do not press the rest flat: they are left beyond the axis ([`beyond`]).
pub(super) fn ends(values: impl Iterator<Item = f64>) -> (f64, f64) {
    // Larger ones would overflow where they are subtracted.
    let known = values.filter(|v| v.is_finite()).map(|v| v.clamp(-1e300, 1e300));
    let known = stats::sorted(known);
    let (Some(&low), Some(&high)) = (known.first(), known.last()) else { return (0.0, 1.0) };
    let [usual_low, usual_high] = [0.005, 0.995].map(|q| stats::quantile(&known, q));
    let usual = usual_high - usual_low;
    let far = |distance: f64| usual > 0.0 && distance > FAR * usual;
    let high = if far(high - usual_high) { usual_high + 0.5 * usual } else { high };
    let low = if far(usual_low - low) { usual_low - 0.5 * usual } else { low };
    let low = if low >= 0.0 && low < 0.7 * high { 0.0 } else { low };
    let room = (0.04 * (high - low)).max(1e-9 * high.abs()).max(1e-300);
    let below = if low == 0.0 { 0.0 } else { room };
    (low - below, if high == low { high + room.max(1.0) } else { high + room })
}

/// Spans of the middle 99 % beyond which a value is left beyond the axis.
const FAR: f64 = 6.0;

/// What is said of values beyond the ends of an axis.
pub(super) fn beyond(values: impl Iterator<Item = f64>, (low, high): (f64, f64)) -> String {
    match values.filter(|value| *value < low || *value > high).count() {
        0 => String::new(),
        1 => " (1 value lies beyond the axis)".to_string(),
        n => format!(" ({n} values lie beyond the axis)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_has_two_ends_whatever_it_shows() {
        let nothing: [f64; 0] = [];
        assert_eq!(ends(nothing.into_iter()), (0.0, 1.0));
        assert_eq!(ends([f64::NAN, 0.0, 100.0].into_iter()), (0.0, 104.0));
        assert_eq!(ends([0.0].into_iter()), (0.0, 1.0));
        for hostile in [[5.0, 5.0], [1e300, 1e308], [-1e308, 1e308], [5e-324, 0.0], [300.0, 301.0]]
        {
            let (low, high) = ends(hostile.into_iter());
            assert!(low < high && (high - low).is_finite(), "{hostile:?}: {low} {high}");
        }
        let resets = |i: i32| if i % 300 == 7 { 1e12 } else { f64::from(i % 10) };
        let axis = ends((0..2_000).map(resets));
        assert!(axis.1 < 20.0, "{axis:?}");
        assert_eq!(beyond((0..2_000).map(resets), axis), " (7 values lie beyond the axis)");
        assert!(ends([300.0, 301.0].into_iter()).0 > 299.0, "no quantity from zero");
    }

    #[test]
    fn lines_end_at_gaps() {
        let frame = Frame {
            left: 0.0,
            right: 100.0,
            top: 0.0,
            bottom: 50.0,
            from_s: 0,
            to_s: 10,
            low: 0.0,
            high: 5.0,
        };
        let lines =
            frame.lines(&[0, 1, 2, 3, 4, 5], &[1.0, 9.0, f64::NAN, 2.0, f64::NAN, f64::NAN]);
        assert_eq!(lines[0], [(0.0, 40.0), (10.0, 0.0)], "9 lies on the end of the axis");
        assert_eq!((lines.len(), lines[1].len()), (2, 2), "one value alone is still a line");
    }

    #[test]
    fn long_names_are_cut() {
        assert_eq!(fitting("short", 12.0, 100.0), "short");
        let cut = fitting(&"long ".repeat(99), 12.0, 100.0);
        assert!(cut.ends_with('…') && letters::width(&cut, 12.0) <= 100.0, "{cut}");
    }
}

//! Pictures of what was scored: traffic with its band, dots by their score, a decomposition.
//!
//! Owns: what the pictures look like, and their two formats. Letters are built in (`letters`): an
//! image without fonts draws them, too. Does not own: where the numbers come from (`app`).
//!
//! A kind of picture (`traffic`, `scatter`, `components`, `timeline`, `curves`,
//! `losses`, `glimpse`) places shapes (`scene`) in axes (`frame`),
//! and `svg` and `png` write any scene.

mod axis;
mod components;
mod curves;
mod frame;
mod glimpse;
mod letters;
mod losses;
mod plasma;
mod png;
mod scatter;
mod scene;
mod svg;
mod thin;
mod timeline;
mod traffic;

use std::path::Path;

pub use components::Components;
pub use components::components;
pub use curves::Curves;
pub use curves::curves;
pub use glimpse::Glimpse;
pub use glimpse::glimpse;
pub use losses::Loss;
pub use losses::Losses;
pub use losses::losses;
pub use png::SCALE;
pub use scatter::scatter;
pub use scene::Scene;
pub use svg::escaped;
pub use timeline::Timeline;
pub use timeline::timeline;
pub use traffic::traffic;

/// Points above 1 in a row that make an anomaly: the workshop's red dots.
pub const CONSECUTIVE: u32 = 4;

/// Scored points of one series, in the order of time.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// What is shown, such as the file's name.
    pub title: String,
    /// What scored it, and from what.
    pub subtitle: String,
    /// What the values are, such as `traffic, sums of 30m`.
    pub quantity: String,
    /// What forecast, if anything did.
    pub forecaster: Option<String>,
    /// Distance of two points, in seconds.
    pub step_s: i64,
    /// The points; where one is missing there is a gap.
    pub points: Vec<Point>,
}

/// One scored point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Its start, in unix seconds.
    pub time_s: i64,
    /// What was measured; NaN is a gap.
    pub observed: f64,
    /// What was expected and the band around it, where something was forecast.
    pub band: Option<Band>,
    /// ≥ 0, above 1 is anomalous; NaN is unknown.
    pub score: f64,
}

/// A forecast: what was expected, and the band outside of which the score is above 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Band {
    /// The forecast.
    pub expected: f64,
    /// The band's lower end.
    pub lower: f64,
    /// The band's upper end.
    pub upper: f64,
}

/// How a picture is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Scalable, a text.
    Svg,
    /// Pixels.
    Png,
}

impl Format {
    /// The format that a file's name asks for.
    pub fn of(path: &Path) -> Option<Format> {
        Format::named(&path.extension()?.to_str()?.to_ascii_lowercase())
    }

    /// The format of this name.
    pub fn named(name: &str) -> Option<Format> {
        [Format::Svg, Format::Png].into_iter().find(|format| format.as_str() == name)
    }

    /// Its name, and how names of its files end.
    pub fn as_str(self) -> &'static str {
        match self {
            Format::Svg => "svg",
            Format::Png => "png",
        }
    }
}

impl Scene {
    /// The file's bytes.
    ///
    /// # Errors
    /// There is not enough memory.
    pub fn encode(&self, format: Format) -> std::io::Result<Vec<u8>> {
        match format {
            Format::Svg => Ok(self.to_svg().into_bytes()),
            Format::Png => self.to_png(),
        }
    }
}

/// What became of a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finding {
    Normal,
    /// Above 1, in too short a streak.
    Yellow,
    /// Above 1, in a streak of [`CONSECUTIVE`] or more; the whole of it.
    Red,
}

/// Each point's finding; a gap neither adds to a streak nor ends it.
fn findings(points: &[Point]) -> Vec<Finding> {
    let mut findings = vec![Finding::Normal; points.len()];
    let mut streak: Vec<usize> = Vec::new();
    for (i, point) in points.iter().enumerate() {
        if point.score > 1.0 {
            findings[i] = Finding::Yellow;
            streak.push(i);
        } else if !point.score.is_nan() {
            streak.clear();
        }
        match streak.len() as u32 {
            0..CONSECUTIVE => {}
            CONSECUTIVE => streak.iter().for_each(|&i| findings[i] = Finding::Red),
            _ => streak.last().into_iter().for_each(|&i| findings[i] = Finding::Red),
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Half-hours of sums with these scores.
    pub(super) fn scored(scores: &[f64]) -> Scored {
        let point = |(i, &score): (usize, &f64)| {
            let observed = 1e9 * (2.0 + (i as f64 / 7.0).sin());
            let band = Some(Band { expected: observed, lower: 0.9 * observed, upper: 1e307 });
            Point { time_s: 1_672_531_200 + 1_800 * i as i64, observed, band, score }
        };
        Scored {
            title: "1_8_out.csv".into(),
            subtitle: "stl".into(),
            quantity: "traffic, sums of 30m".into(),
            forecaster: Some("stl".into()),
            step_s: 1_800,
            points: scores.iter().enumerate().map(point).collect(),
        }
    }

    #[test]
    fn a_streak_of_four_is_red_from_its_first_point_on() {
        let nan = f64::NAN;
        let scores = [1.1, 0.5, 1.1, 2.0, nan, 3.0, 1.5, 1.2, 1.0, 1.1, 1.1, 1.1];
        let found: String = findings(&scored(&scores).points)
            .into_iter()
            .map(|finding| match finding {
                Finding::Normal => '.',
                Finding::Yellow => 'y',
                Finding::Red => 'R',
            })
            .collect();
        assert_eq!(found, "y.RR.RRR.yyy");
    }

    #[test]
    fn the_name_says_the_format() {
        for (name, format) in [
            ("a.svg", Some(Format::Svg)),
            ("b/c.PNG", Some(Format::Png)),
            ("png", None),
            ("a.jpg", None),
        ] {
            assert_eq!(Format::of(Path::new(name)), format, "{name}");
        }
    }

    #[test]
    fn whatever_the_numbers_there_is_a_picture() {
        let hostile = [f64::NAN, 1e308, -1e308, 5e-324, 0.0, f64::INFINITY];
        for n in [0, 1, 2, 400] {
            let mut scored = scored(&vec![2.0; n]);
            for (point, value) in scored.points.iter_mut().zip(hostile.iter().cycle()) {
                point.observed = *value;
                point.score = value.abs();
            }
            let values: Vec<f64> = scored.points.iter().map(|p| p.observed).collect();
            let parts = Components {
                title: String::new(),
                subtitle: String::new(),
                quantity: String::new(),
                start_s: i64::from(n as u32),
                step_s: 60,
                observed: values.clone(),
                trend: values.clone(),
                season: values.clone(),
                residual: values,
            };
            let times = Timeline {
                title: String::new(),
                subtitle: String::new(),
                start_s: 1_672_531_200,
                step_s: 60,
                strips: vec![("a".into(), parts.observed.clone()), ("b".into(), vec![])],
                wrong: vec![(0, 1_672_531_230), (1_672_531_290, i64::MAX)],
                border: (1_672_531_500, "test".into()),
            };
            let points = parts.observed.iter().map(|v| (*v, -*v)).collect();
            let both = Curves {
                title: String::new(),
                subtitle: String::new(),
                curves: vec![("a".into(), points), ("b".into(), vec![(1.0, 0.5)])],
            };
            let parted = components(&parts);
            for scene in
                [traffic(&scored), scatter(&scored), parted, timeline(&times), curves(&both)]
            {
                let svg = scene.to_svg();
                for bad in ["NaN", "\"inf", "-inf"] {
                    assert!(!svg.contains(bad), "{n} points: {bad}");
                }
                assert!(scene.to_png().unwrap().len() > 1_000);
            }
        }
    }
}

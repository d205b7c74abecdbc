//! Traffic with what was expected of it: forecast, green band, yellow and red dots.

use super::Finding;
use super::Point;
use super::Scored;
use super::axis;
use super::findings;
use super::frame;
use super::frame::Frame;
use super::frame::Sample;
use super::scene::Colour;
use super::scene::Dot;
use super::scene::Mark;
use super::scene::Place;
use super::scene::Scene;
use super::thin;

const HEIGHT: f64 = 560.0;
const TOP: f64 = 108.0;

const OBSERVED: (Colour, f64) = (0x1f6fb4, 1.6);
const FORECAST: (Colour, f64) = (0x2b2b2b, 1.0);
const BAND: (Colour, f64) = (0x43a047, 0.28);
/// Each finding's disc and its edge.
const YELLOW: (Colour, Colour) = (0xffc928, 0x8a6400);
const RED: (Colour, Colour) = (0xdb2530, 0x6f0d13);

/// Beyond so many times what was measured a band is cut off: what it says is that nothing is too much.
const MOST_BAND: f64 = 1.1;

/// The picture.
pub fn traffic(scored: &Scored) -> Scene {
    let findings = findings(&scored.points);
    let count = |wanted| findings.iter().filter(|finding| **finding == wanted).count();
    let (n_yellow, n_red) = (count(Finding::Yellow), count(Finding::Red));
    let description = format!(
        "{} over time, {} points. {n_yellow} score above 1 alone (yellow), {n_red} in streaks of {} \
         or more (red). {}",
        scored.quantity,
        scored.points.len(),
        super::CONSECUTIVE,
        scored.subtitle
    );
    let mut scene = Scene::new(frame::WIDTH, HEIGHT, &scored.title, description);
    let frame = axes(scored, HEIGHT - 64.0, frame::WIDTH - frame::RIGHT);
    frame::head(&mut scene, &scored.subtitle);
    let beyond = frame::beyond(scored.points.iter().map(|p| p.observed), (frame.low, frame.high));
    frame::caption(&mut scene, TOP, &format!("{}{beyond}", scored.quantity));
    let entries = legend(scored, n_yellow, n_red);
    frame::legend(&mut scene, frame.right, TOP, &entries);
    bands(&mut scene, &frame, &scored.points);
    frame.draw(&mut scene, 6, true);
    let times: Vec<i64> = scored.points.iter().map(|p| p.time_s).collect();
    let mut line = |class, of: &dyn Fn(&Point) -> f64, (colour, width)| {
        let values: Vec<f64> = scored.points.iter().map(of).collect();
        scene.lines(class, thin::lines(frame.lines(&times, &values)), colour, width);
    };
    line("observed", &|p| p.observed, OBSERVED);
    line("forecast", &|p| p.band.map_or(f64::NAN, |band| band.expected), FORECAST);
    for (class, wanted, (colour, edge)) in
        [("yellow", Finding::Yellow, YELLOW), ("red", Finding::Red, RED)]
    {
        let found = scored.points.iter().zip(&findings).filter(|(_, finding)| **finding == wanted);
        let dots = thin::dots(found.map(|(point, _)| ((), dot(&frame, point))).collect());
        let dots = dots.into_iter().map(|(_, dot)| dot).collect();
        scene.add(class, Mark::Dots { dots, radius: 3.6, colour, edge: Some(edge) });
    }
    scene
}

/// The axes of scored points.
pub(super) fn axes(scored: &Scored, bottom: f64, right: f64) -> Frame {
    let points = &scored.points;
    let measured =
        points.iter().flat_map(|p| [p.observed, p.band.map_or(f64::NAN, |b| b.expected)]);
    let (low, high) = frame::ends(measured);
    let most = high.abs() * MOST_BAND;
    // Of a quantity there is never less than nothing.
    let least = if low == 0.0 { 0.0 } else { low - most };
    let banded = points.iter().filter_map(|p| p.band);
    let banded = banded.flat_map(|b| [b.lower.max(least), b.upper.min(high.max(most))]);
    let (low, high) = frame::ends(banded.chain([low, high]));
    let from_s = points.first().map_or(0, |p| p.time_s);
    let to_s = points.last().map_or(0, |p| p.time_s).saturating_add(scored.step_s);
    Frame { left: frame::LEFT, right, top: TOP, bottom, from_s, to_s, low, high }
}

fn legend(scored: &Scored, n_yellow: usize, n_red: usize) -> Vec<(Sample, String)> {
    let line = |(colour, width)| Sample::Line { colour, width };
    let mut entries = vec![(line(OBSERVED), "measured".to_string())];
    if let Some(name) = &scored.forecaster {
        entries.push((line(FORECAST), format!("forecast ({name})")));
        let (colour, opacity) = BAND;
        entries.push((Sample::Area { colour, opacity }, "accepted range".to_string()));
    }
    let dot = |(colour, edge)| Sample::Dot { colour, edge };
    entries.push((dot(YELLOW), format!("score above 1 ({n_yellow})")));
    entries.push((dot(RED), format!("{} or more in a row ({n_red})", super::CONSECUTIVE)));
    entries
}

/// The band's areas: up along its upper end, back along its lower one.
fn bands(scene: &mut Scene, frame: &Frame, points: &[Point]) {
    let banded = |p: &Point| p.band.is_some_and(|b| !b.lower.is_nan() && !b.upper.is_nan());
    let mut borders = Vec::new();
    for stretch in points.chunk_by(|a, b| banded(a) && banded(b)).filter(|s| banded(&s[0])) {
        let end = |of: fn(&super::Band) -> f64| -> Vec<Place> {
            let places = stretch.iter().filter_map(|p| {
                let band = p.band.as_ref()?;
                Some((frame.x(p.time_s), frame.y(of(band))))
            });
            thin::lines(vec![places.collect()]).remove(0)
        };
        let mut border = end(|band| band.upper);
        border.extend(end(|band| band.lower).into_iter().rev());
        borders.push(border);
    }
    let (colour, opacity) = BAND;
    scene.add("band", Mark::Areas { borders, colour, opacity });
}

fn dot(frame: &Frame, point: &Point) -> Dot {
    // Where nothing was measured there is no score; hostile numbers still need a place.
    let value = if point.observed.is_nan() { frame.low } else { point.observed };
    let note = format!("{} UTC: score {:.2}", axis::moment(point.time_s), point.score);
    Dot { at: (frame.x(point.time_s), frame.y(value)), note: Some(note) }
}

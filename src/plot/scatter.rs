//! Points coloured by their score, from blue to yellow as in the workshop.

use super::Point;
use super::Scored;
use super::axis;
use super::frame;
use super::plasma;
use super::scene::Anchor;
use super::scene::Colour;
use super::scene::Dot;
use super::scene::LABEL;
use super::scene::Mark;
use super::scene::Scene;
use super::thin;
use super::traffic::axes;

const HEIGHT: f64 = 560.0;
const TOP: f64 = 108.0;
const BOTTOM: f64 = HEIGHT - 64.0;
const BAR_LEFT: f64 = frame::WIDTH - 88.0;
const BAR_WIDTH: f64 = 18.0;

/// Colours told apart: the bar's steps. A dot's colour is one of these.
const STEPS: usize = 64;

/// The bar's end: the threshold, 1, lies in its middle.
const MOST: f64 = 2.0;

const EDGE: Colour = 0x3a3a3a;
const LINE: Colour = 0xd4d8de;

/// The picture.
pub fn scatter(scored: &Scored) -> Scene {
    let n_above = scored.points.iter().filter(|point| point.score > 1.0).count();
    let description = format!(
        "{} over time, {} points coloured by score from blue (0) over red (1, the threshold) to \
         yellow ({MOST} or more). {n_above} score above 1. {}",
        scored.quantity,
        scored.points.len(),
        scored.subtitle
    );
    let mut scene = Scene::new(frame::WIDTH, HEIGHT, &scored.title, description);
    // The measured points only: without its band, a forecast says nothing here.
    let plain = |point: &Point| Point { band: None, ..*point };
    let plain = Scored { points: scored.points.iter().map(plain).collect(), ..scored.clone() };
    let frame = axes(&plain, BOTTOM, BAR_LEFT - 28.0);
    frame::head(&mut scene, &scored.subtitle);
    let beyond = frame::beyond(scored.points.iter().map(|p| p.observed), (frame.low, frame.high));
    frame::caption(&mut scene, TOP, &format!("{}{beyond}", scored.quantity));
    frame.draw(&mut scene, 6, true);
    let times: Vec<i64> = plain.points.iter().map(|p| p.time_s).collect();
    let values: Vec<f64> = plain.points.iter().map(|p| p.observed).collect();
    scene.lines("observed", thin::lines(frame.lines(&times, &values)), LINE, 1.0);
    // Low scores first: what stands out lies above the rest.
    let known = |point: &&Point| !point.score.is_nan() && !point.observed.is_nan();
    let mut points: Vec<&Point> = plain.points.iter().filter(known).collect();
    points.sort_by(|a, b| a.score.total_cmp(&b.score));
    let dot = |p: &Point| Dot { at: (frame.x(p.time_s), frame.y(p.observed)), note: None };
    let mut steps = vec![Vec::new(); STEPS];
    for (at, dot) in thin::dots(points.iter().map(|p| (step(p.score), dot(p))).collect()) {
        steps[at].push(dot);
    }
    for (at, dots) in steps.into_iter().enumerate() {
        let score = (at as f64 + 0.5) / STEPS as f64 * MOST;
        let edge = (score > 1.0).then_some(EDGE);
        let radius = if score > 1.0 { 3.8 } else { 2.6 };
        let colour = plasma::colour(score / MOST);
        scene.add("points", Mark::Dots { dots, radius, colour, edge });
    }
    bar(&mut scene);
    scene
}

/// The step that a score lies in; no step lies on both sides of the threshold.
fn step(score: f64) -> usize {
    // A score of 1 itself is not above it.
    let at = (score / MOST * STEPS as f64).ceil().max(1.0) as usize - 1;
    at.min(STEPS - 1)
}

/// What the colours mean.
fn bar(scene: &mut Scene) {
    let height = (BOTTOM - TOP) / STEPS as f64;
    let right = BAR_LEFT + BAR_WIDTH;
    for at in 0..STEPS {
        let low = BOTTOM - at as f64 * height;
        // A little longer than the step, so that no white shows between two.
        let high = (low - height - 0.5).max(TOP);
        let border = vec![(BAR_LEFT, low), (BAR_LEFT, high), (right, high), (right, low)];
        let colour = plasma::colour((at as f64 + 0.5) / STEPS as f64);
        scene.add("bar", Mark::Areas { borders: vec![border], colour, opacity: 1.0 });
    }
    let y = |score: f64| BOTTOM - score / MOST * (BOTTOM - TOP);
    let ticks = axis::numbers(0.0, MOST, 4);
    let mark = |score: f64| vec![(right, y(score)), (right + 5.0, y(score))];
    scene.lines("axis", ticks.iter().map(|tick| mark(tick.at)).collect(), EDGE, 1.0);
    scene.lines(
        "threshold",
        vec![vec![(BAR_LEFT - 4.0, y(1.0)), (right + 5.0, y(1.0))]],
        EDGE,
        1.4,
    );
    for tick in ticks {
        let last = if tick.at >= MOST { "≥ " } else { "" };
        let at = (right + 10.0, y(tick.at) + 4.5);
        scene.text("tick", at, Anchor::Start, LABEL, format!("{last}{}", tick.label));
    }
    scene.text("legend", (BAR_LEFT, TOP - 14.0), Anchor::Start, LABEL, "score");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_keep_to_their_side_of_the_threshold() {
        assert_eq!([0.0, 1.0, 1.0 + 1e-9, 2.0, 1e300].map(step), [0, 31, 32, 63, 63]);
        assert_eq!(step(f64::INFINITY), 63);
    }

    #[test]
    fn every_known_point_is_a_dot_and_the_high_ones_lie_above() {
        let scores = [0.1, 5.0, f64::NAN, 0.9, 1.5];
        let scene = scatter(&super::super::tests::scored(&scores));
        let dots = |mark: &Mark| match mark {
            Mark::Dots { dots, colour, .. } => Some((dots.len(), *colour)),
            _ => None,
        };
        let drawn: Vec<(usize, Colour)> =
            scene.shapes.iter().filter_map(|s| dots(&s.mark)).collect();
        assert_eq!(drawn.iter().map(|(n, _)| n).sum::<usize>(), 4);
        assert_eq!(drawn.last(), Some(&(1, plasma::colour(63.5 / 64.0))));
    }
}

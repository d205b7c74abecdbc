//! How the losses of trainings fell: of what is learnt from, and of what is held out.

use super::axis;
use super::frame;
use super::scene::Anchor;
use super::scene::Colour;
use super::scene::LABEL;
use super::scene::Place;
use super::scene::SUBTITLE;
use super::scene::Scene;
use super::scene::TITLE;
use super::thin;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 480.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 600.0;
const TOP: f64 = 88.0;
const BOTTOM: f64 = HEIGHT - 56.0;

const GRID: Colour = 0xe9e9e9;
/// Of what is held out, and, paler, of what is learnt from.
const COLOURS: [[Colour; 2]; 5] = [
    [0x1f6fb4, 0xa5c8e4],
    [0xdb2530, 0xf2a9ad],
    [0x43a047, 0xb3d9b5],
    [0xff8f00, 0xffd299],
    [0x7b3fb5, 0xcbb2e1],
];

/// The trainings of some networks.
#[derive(Debug, Clone, PartialEq)]
pub struct Losses {
    /// What is shown.
    pub title: String,
    /// How it came about.
    pub subtitle: String,
    /// Per network, its name, and what was seen at each look.
    pub curves: Vec<(String, Vec<Loss>)>,
}

/// The losses at one look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Loss {
    /// Steps made.
    pub step: usize,
    /// Of what is learnt from.
    pub training: f64,
    /// Of what is held out to stop by.
    pub held_out: f64,
}

/// The picture: steps across, losses up, on a logarithmic axis. What is not above zero is a gap.
pub fn losses(shown: &Losses) -> Scene {
    let names: Vec<&str> = shown.curves.iter().map(|(name, _)| name.as_str()).collect();
    let description = format!("Losses of {}. {}", names.join(", "), shown.subtitle);
    let mut scene = Scene::new(WIDTH, HEIGHT, &shown.title, description);
    scene.text("title", (24.0, 36.0), Anchor::Start, TITLE, shown.title.as_str());
    scene.text("subtitle", (24.0, 58.0), Anchor::Start, SUBTITLE, shown.subtitle.as_str());
    let axes = Axes::of(shown);
    axes.draw(&mut scene);
    for (k, (name, curve)) in shown.curves.iter().enumerate() {
        let [dark, pale] = COLOURS[k % COLOURS.len()];
        let kinds = [(Kind::Training, pale, 1.4), (Kind::HeldOut, dark, 1.8)];
        for (i, (kind, colour, width)) in kinds.into_iter().enumerate() {
            scene.lines("loss", thin::lines(axes.lines(curve, kind)), colour, width);
            let y = TOP + 14.0 + 22.0 * (2 * k + i) as f64;
            let sample = vec![(RIGHT + 24.0, y), (RIGHT + 48.0, y)];
            scene.lines("legend", vec![sample], colour, width);
            let text = format!("{name}, {}", kind.name());
            let text = frame::fitting(&text, LABEL.size, WIDTH - RIGHT - 64.0);
            scene.text("legend", (RIGHT + 55.0, y + 4.5), Anchor::Start, LABEL, text);
        }
    }
    scene
}

/// Which of the two losses.
#[derive(Clone, Copy)]
enum Kind {
    Training,
    HeldOut,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Training => "training",
            Kind::HeldOut => "held out",
        }
    }

    fn of(self, look: &Loss) -> f64 {
        match self {
            Kind::Training => look.training,
            Kind::HeldOut => look.held_out,
        }
    }
}

/// What is known and can stand on a logarithmic axis.
fn sound(value: f64) -> bool {
    value.is_normal() && value > 0.0
}

/// Steps from 0, losses between two powers.
struct Axes {
    steps: f64,
    low: f64,
    high: f64,
}

impl Axes {
    fn of(shown: &Losses) -> Axes {
        let looks = || shown.curves.iter().flat_map(|(_, curve)| curve);
        let values = looks().flat_map(|look| [look.training, look.held_out]).filter(|v| sound(*v));
        let (low, high) = values
            .fold((f64::INFINITY, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
        let (low, high) = if low <= high { (low, high) } else { (0.1, 1.0) };
        let steps = looks().map(|look| look.step).max().unwrap_or(1).max(1) as f64;
        // A loss that never moved still has an axis.
        Axes { steps, low: (low / 1.1).max(f64::MIN_POSITIVE), high: (high * 1.1).min(f64::MAX) }
    }

    fn place(&self, step: f64, value: f64) -> Place {
        let up = (value.ln() - self.low.ln()) / (self.high.ln() - self.low.ln());
        let across = LEFT + (step / self.steps).clamp(0.0, 1.0) * (RIGHT - LEFT);
        (across, BOTTOM - up.clamp(0.0, 1.0) * (BOTTOM - TOP))
    }

    fn draw(&self, scene: &mut Scene) {
        let losses = axis::logarithmic(self.low, self.high);
        let steps = axis::numbers(0.0, self.steps, 5);
        let at = |step: f64, value: f64| self.place(step, value);
        let up = losses.iter().map(|t| vec![at(0.0, t.at), at(self.steps, t.at)]);
        let across = steps.iter().map(|t| vec![at(t.at, self.low), at(t.at, self.high)]);
        scene.lines("grid", up.chain(across).collect(), GRID, 1.0);
        for tick in steps {
            let x = at(tick.at, self.low).0;
            scene.text("tick", (x, BOTTOM + 20.0), Anchor::Middle, LABEL, tick.label);
        }
        for tick in losses {
            let y = at(0.0, tick.at).1;
            scene.text("tick", (LEFT - 8.0, y + 4.5), Anchor::End, LABEL, tick.label);
        }
        scene.text("caption", (RIGHT, BOTTOM + 40.0), Anchor::End, LABEL, "steps");
        scene.text("caption", (24.0, TOP - 10.0), Anchor::Start, LABEL, "loss");
    }

    fn lines(&self, curve: &[Loss], kind: Kind) -> Vec<Vec<Place>> {
        let pieces = curve.split(|look| !sound(kind.of(look))).filter(|piece| !piece.is_empty());
        let line = |piece: &[Loss]| {
            let place = |look: &Loss| self.place(look.step as f64, kind.of(look));
            let mut line: Vec<Place> = piece.iter().map(place).collect();
            if let [only] = line[..] {
                line.push((only.0 + 0.1, only.1));
            }
            line
        };
        pieces.map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::Mark;
    use super::*;

    fn shown(values: &[f64]) -> Losses {
        let look = |(i, value): (usize, &f64)| Loss {
            step: 40 * (i + 1),
            training: *value,
            held_out: 2.0 * value,
        };
        let curve = values.iter().enumerate().map(look).collect();
        Losses { title: "t".into(), subtitle: "s".into(), curves: vec![("a".into(), curve)] }
    }

    fn lines(scene: &Scene) -> Vec<Vec<Place>> {
        let of = |shape: &super::super::scene::Shape| match &shape.mark {
            Mark::Lines { lines, .. } if shape.class == "loss" => lines.clone(),
            _ => Vec::new(),
        };
        scene.shapes.iter().flat_map(of).collect()
    }

    #[test]
    fn a_tenth_is_as_far_down_from_wherever_it_falls() {
        let drawn = lines(&losses(&shown(&[1.0, 0.1, 0.01])));
        assert_eq!(drawn.len(), 2, "of training and of what is held out");
        let down: Vec<f64> = drawn[0].windows(2).map(|pair| pair[1].1 - pair[0].1).collect();
        assert!(down[0] > 0.0 && (down[0] - down[1]).abs() < 1e-9, "{down:?}");
    }

    #[test]
    fn what_is_no_loss_is_a_gap_and_whatever_there_is_is_drawn() {
        let drawn = lines(&losses(&shown(&[1.0, f64::NAN, 0.5, 0.0, -1.0, 0.25, 0.2])));
        assert_eq!(drawn.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 2, 2, 2, 2]);
        for hostile in [&[][..], &[f64::NAN], &[1.0], &[f64::MAX, 5e-324], &[1e308, 1e-308]] {
            let svg = losses(&shown(hostile)).to_svg();
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{hostile:?}: {svg}");
        }
    }
}

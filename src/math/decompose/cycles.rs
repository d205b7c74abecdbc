//! Smoothing of each phase's own series: all Mondays at eight, all Mondays at half past, …
//!
//! Owns: the smoothing of all of them side by side, since neighbours in time are neighbours in memory.
//! Does not own: the line through values (`loess`).

use crate::math::loess;
use crate::math::loess::Line;
use crate::math::simd::Kernel;
use crate::math::simd::fma;
use crate::math::simd::widest;

/// Phases that are summed at once.
const LANES: usize = 8;

/// The shape of a series of cycles.
#[derive(Debug, Clone)]
pub(super) struct Cycles {
    period: usize,
    n: usize,
    /// Where phases have as many cycles as each other: those that the last cycle reaches, the rest.
    groups: [Group; 2],
}

/// Phases with as many cycles.
#[derive(Debug, Clone)]
struct Group {
    from: usize,
    to: usize,
    cycles: usize,
    /// One per cycle, and one beyond either end.
    places: Vec<Place>,
}

/// What a cycle is smoothed with.
#[derive(Debug, Clone)]
struct Place {
    first: usize,
    /// Offset of the first neighbour.
    offset: f64,
    near: Vec<f64>,
}

/// Weights of values and, for each smoothed one, the factors of its line.
#[derive(Debug, Clone)]
pub(super) struct Trusted {
    weights: Vec<f64>,
    /// NaN where no neighbour has weight.
    level: Vec<f64>,
    slope: Vec<f64>,
}

impl Cycles {
    /// Of `n` values, smoothed over `span` cycles.
    pub(super) fn new(n: usize, period: usize, span: usize) -> Cycles {
        let (whole, rest) = (n / period, n % period);
        let group = |from, to, cycles| Group { from, to, cycles, places: places(cycles, span) };
        Cycles { period, n, groups: [group(0, rest, whole + 1), group(rest, period, whole)] }
    }

    /// Works out what the weights of values ask for.
    pub(super) fn trust(&self, weights: Vec<f64>) -> Trusted {
        let out = self.n + 2 * self.period;
        let mut trusted = Trusted { weights, level: vec![0.0; out], slope: vec![0.0; out] };
        widest(Trust { cycles: self, trusted: &mut trusted });
        trusted
    }

    /// Smooths `values` into `out`, which has one cycle more at both ends; NaN where no neighbour has
    /// weight.
    pub(super) fn smooth(&self, values: &[f64], trusted: &Trusted, out: &mut [f64]) {
        widest(Smooth { cycles: self, values, trusted, out });
    }
}

fn places(cycles: usize, span: usize) -> Vec<Place> {
    let n = span.min(cycles);
    let place = |k: usize| {
        // Place 0 is one before the first.
        let at = k as f64 - 1.0;
        let first = (k.saturating_sub(1)).saturating_sub(span / 2).min(cycles - n);
        let window = first..first + n;
        let reach = loess::reach(span, cycles, at, &window);
        let near = window.map(|row| loess::tricube((row as f64 - at).abs(), reach)).collect();
        Place { first, offset: first as f64 - at, near }
    };
    (0..cycles + 2).map(place).collect()
}

impl Group {
    /// For each place and run of phases: where it goes, its place, where its first neighbour is.
    #[inline(always)]
    fn each(&self, period: usize, mut work: impl FnMut(usize, &Place, usize, usize)) {
        for (k, place) in self.places.iter().enumerate() {
            for from in (self.from..self.to).step_by(LANES) {
                let lanes = LANES.min(self.to - from);
                work(k * period + from, place, place.first * period + from, lanes);
            }
        }
    }
}

/// The numbers of some phases in one cycle; beyond the last phase, nought.
#[inline(always)]
fn lanes(values: &[f64], from: usize, n: usize) -> [f64; LANES] {
    match values.get(from..from + LANES).and_then(|v| v.first_chunk()) {
        Some(chunk) if n == LANES => *chunk,
        _ => {
            let mut chunk = [0.0; LANES];
            chunk[..n].copy_from_slice(&values[from..from + n]);
            chunk
        }
    }
}

struct Trust<'a> {
    cycles: &'a Cycles,
    trusted: &'a mut Trusted,
}

impl Kernel for Trust<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Trusted { weights, level, slope } = self.trusted;
        let period = self.cycles.period;
        for group in &self.cycles.groups {
            group.each(period, |to, place, from, n| {
                let mut sums = [[0.0; LANES]; 3];
                for (tap, near) in place.near.iter().enumerate() {
                    let offset = place.offset + tap as f64;
                    let trust = lanes(weights, from + tap * period, n);
                    for lane in 0..LANES {
                        let weight = near * trust[lane];
                        sums[0][lane] += weight;
                        sums[1][lane] = fma::<FMA>(weight, offset, sums[1][lane]);
                        sums[2][lane] = fma::<FMA>(weight * offset, offset, sums[2][lane]);
                    }
                }
                for lane in 0..n {
                    let [sum, first, second] = sums.map(|s| s[lane]);
                    let line = Line::of(sum, first, second, group.cycles);
                    (level[to + lane], slope[to + lane]) = (line.level, line.slope);
                }
            });
        }
    }
}

struct Smooth<'a> {
    cycles: &'a Cycles,
    values: &'a [f64],
    trusted: &'a Trusted,
    out: &'a mut [f64],
}

impl Kernel for Smooth<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Smooth { cycles, values, trusted, out } = self;
        for group in &cycles.groups {
            group.each(cycles.period, |to, place, from, n| {
                let (mut level, mut cross) = ([0.0; LANES], [0.0; LANES]);
                for (tap, near) in place.near.iter().enumerate() {
                    let at = from + tap * cycles.period;
                    let offset = place.offset + tap as f64;
                    let (value, trust) = (lanes(values, at, n), lanes(&trusted.weights, at, n));
                    for lane in 0..LANES {
                        let weighted = near * trust[lane] * value[lane];
                        level[lane] += weighted;
                        cross[lane] = fma::<FMA>(weighted, offset, cross[lane]);
                    }
                }
                let (a, b) = (lanes(&trusted.level, to, n), lanes(&trusted.slope, to, n));
                let mut smooth = [0.0; LANES];
                for lane in 0..LANES {
                    smooth[lane] = fma::<FMA>(b[lane], cross[lane], a[lane] * level[lane]);
                }
                out[to..to + n].copy_from_slice(&smooth[..n]);
            });
        }
    }
}

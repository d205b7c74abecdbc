//! The lowest point of a smooth function without bounds: Newton's step first, then by Broyden, Fletcher, Goldfarb
//! and Shanno.
//!
//! Owns: the search. Does not own: the function, which is asked for many points at once.

use crate::math::statespace::real::LANES;

/// Half the distance of the points that a slope is taken from.
const PROBE: f64 = 2e-4;
const MAX_ROUNDS: usize = 120;
/// Fractions of the full step that are tried at once.
const STEPS: [f64; LANES] = [1.0, 0.5, 2.0, 0.2, 4.0, 0.05, 0.01, 1e-3];
/// The longest step.
const LONGEST: f64 = 1.5;
/// A second derivative below this may be the function's rounding.
const FLAT: f64 = 1.0;
/// What rounding may make of a second derivative of zero.
const ROUNDING: f64 = 1e-2;
/// Steps after which the second derivatives are still about what they were, if they were small.
const YOUNG: usize = 2;

/// A point and what the function is there.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Lowest {
    pub(super) point: Vec<f64>,
    pub(super) value: f64,
}

/// How far a search goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// No number may be further from zero.
    pub(super) wall: f64,
    /// What is not worth another step.
    pub(super) tolerance: f64,
    /// Steps that are tried before one is taken that leads down.
    pub(super) at_once: usize,
}

/// Goes down from `start`; `values` gives the function at several points at once, and infinity where it has none.
/// `None` where `keep_going` said no.
pub(super) fn lowest(
    start: Lowest,
    limits: &Limits,
    values: &mut dyn FnMut(&[Vec<f64>]) -> Vec<f64>,
    keep_going: &dyn Fn() -> bool,
) -> Option<Lowest> {
    let Limits { wall, tolerance, .. } = *limits;
    let n = start.point.len();
    let mut best = start;
    if n == 0 {
        return Some(best);
    }
    let (mut slope, mut bends) = slope(&best, values);
    let mut inverse = Inverse::at(&best, &bends, values);
    // Steps since the second derivatives were taken.
    let mut age = 0;
    for _ in 0..MAX_ROUNDS {
        if !keep_going() {
            return None;
        }
        let direction = inverse.direction(&best.point, &slope, wall);
        let promised = -0.5 * dot(&slope, &direction);
        if promised < tolerance && age <= YOUNG {
            break;
        }
        let next = along(&best, &direction, limits, values);
        if best.value - next.value < tolerance {
            if age == 0 {
                break;
            }
            // Before it ends: what was learnt of the second derivatives may be wrong.
            inverse = Inverse::at(&best, &bends, values);
            age = 0;
            continue;
        }
        let (next_slope, next_bends) = self::slope(&next, values);
        let step: Vec<f64> = next.point.iter().zip(&best.point).map(|(a, b)| a - b).collect();
        let change: Vec<f64> = next_slope.iter().zip(&slope).map(|(a, b)| a - b).collect();
        inverse.learn(&step, &change);
        (best, slope, bends) = (next, next_slope, next_bends);
        age += 1;
    }
    Some(best)
}

/// How far from a number its slope is probed.
fn probe(x: f64) -> f64 {
    PROBE * x.abs().max(1.0)
}

/// The function's slope and its second derivative along each number, from two points each way.
fn slope(at: &Lowest, values: &mut dyn FnMut(&[Vec<f64>]) -> Vec<f64>) -> (Vec<f64>, Vec<f64>) {
    let point = |k: usize| {
        let mut point = at.point.clone();
        let h = probe(point[k / 2]);
        point[k / 2] += if k.is_multiple_of(2) { h } else { -h };
        point
    };
    let points: Vec<Vec<f64>> = (0..2 * at.point.len()).map(point).collect();
    let found = values(&points);
    let slope = |(pair, x): (&[f64], &f64)| {
        let slope = (pair[0] - pair[1]) / (2.0 * probe(*x));
        if slope.is_finite() { slope } else { 0.0 }
    };
    let bend = |(pair, x): (&[f64], &f64)| (pair[0] - 2.0 * at.value + pair[1]) / probe(*x).powi(2);
    let pairs = || found.chunks_exact(2).zip(&at.point);
    (pairs().map(slope).collect(), pairs().map(bend).collect())
}

/// The lowest of some points along `direction`, or of the first of them that lead down.
fn along(
    at: &Lowest,
    direction: &[f64],
    limits: &Limits,
    values: &mut dyn FnMut(&[Vec<f64>]) -> Vec<f64>,
) -> Lowest {
    let longest = direction.iter().fold(0.0f64, |most, d| most.max(d.abs()));
    let scale = if longest > LONGEST { LONGEST / longest } else { 1.0 };
    let point = |step: f64| {
        let moved = |(x, d): (&f64, &f64)| (x + step * scale * d).clamp(-limits.wall, limits.wall);
        at.point.iter().zip(direction).map(moved).collect()
    };
    let points: Vec<Vec<f64>> = STEPS.into_iter().map(point).collect();
    let mut best = at.clone();
    for points in points.chunks(limits.at_once) {
        for (point, value) in points.iter().zip(values(points)) {
            if value < best.value {
                best = Lowest { point: point.clone(), value };
            }
        }
        // One that hardly falls may have overshot what the next would find.
        if at.value - best.value >= limits.tolerance {
            break;
        }
    }
    best
}

/// What is known of the inverse of the second derivatives.
struct Inverse {
    n: usize,
    h: Vec<f64>,
}

impl Inverse {
    /// The second derivatives at a point, of which those along each number are known. Where these do not make a
    /// valley, as if the numbers had nothing to do with each other.
    fn at(at: &Lowest, bends: &[f64], values: &mut dyn FnMut(&[Vec<f64>]) -> Vec<f64>) -> Inverse {
        let n = bends.len();
        let pairs: Vec<(usize, usize)> = (0..n).flat_map(|i| (0..i).map(move |j| (i, j))).collect();
        let both = |&(i, j): &(usize, usize)| {
            [1.0, -1.0].map(|sign| {
                let mut point = at.point.clone();
                point[i] += sign * probe(at.point[i]);
                point[j] += sign * probe(at.point[j]);
                point
            })
        };
        let points: Vec<Vec<f64>> = pairs.iter().flat_map(both).collect();
        let found = values(&points);
        let mut bent = vec![0.0; n * n];
        (0..n).for_each(|i| bent[i * n + i] = bends[i]);
        for (&(i, j), pair) in pairs.iter().zip(found.chunks_exact(2)) {
            let (hi, hj) = (probe(at.point[i]), probe(at.point[j]));
            let own = hi * hi * bends[i] + hj * hj * bends[j];
            bent[i * n + j] = (pair[0] - 2.0 * at.value + pair[1] - own) / (2.0 * hi * hj);
        }
        Inverse { n, h: inverted(&bent, n).unwrap_or_else(|| diagonal(bends)) }
    }

    /// Down from a point; along the wall, where it would lead through one.
    fn direction(&self, point: &[f64], slope: &[f64], wall: f64) -> Vec<f64> {
        let n = self.n;
        let mut h = self.h.clone();
        // Rounding may move a number again that was held: each is held once.
        let mut held = vec![false; n];
        loop {
            let down = |(row, held): (&[f64], &bool)| if *held { 0.0 } else { -dot(row, slope) };
            let direction: Vec<f64> = h.chunks_exact(n).zip(&held).map(down).collect();
            let through = |k: &usize| point[*k].abs() >= wall && point[*k] * direction[*k] > 0.0;
            let Some(k) = (0..n).find(through) else {
                return direction;
            };
            // This number stays what it is: the inverse for the others.
            let own: Vec<f64> = h[k * n..][..n].to_vec();
            for (row, factor) in h.chunks_exact_mut(n).zip(&own) {
                row.iter_mut().zip(&own).for_each(|(to, x)| *to -= factor * x / own[k]);
            }
            held[k] = true;
        }
    }

    /// The update of rank two, which needs a slope that rose.
    fn learn(&mut self, step: &[f64], change: &[f64]) {
        let rise = dot(step, change);
        if rise.is_nan() || rise <= 1e-12 * dot(step, step).sqrt() * dot(change, change).sqrt() {
            return;
        }
        let moved: Vec<f64> = self.h.chunks_exact(self.n).map(|row| dot(row, change)).collect();
        let weight = (1.0 + dot(change, &moved) / rise) / rise;
        for i in 0..self.n {
            for j in 0..self.n {
                self.h[i * self.n + j] +=
                    weight * step[i] * step[j] - (moved[i] * step[j] + step[i] * moved[j]) / rise;
            }
        }
    }
}

fn diagonal(bends: &[f64]) -> Vec<f64> {
    let n = bends.len();
    let mut h = vec![0.0; n * n];
    for (i, bend) in bends.iter().enumerate() {
        let sure = bend.abs() > FLAT && bend.is_finite();
        h[i * n + i] = if sure { 1.0 / bend.abs() } else { 1.0 / FLAT };
    }
    h
}

/// The inverse of a matrix of which `j ≤ i` is given, by Cholesky; none where it is not positive.
fn inverted(matrix: &[f64], n: usize) -> Option<Vec<f64>> {
    let mut lower = matrix.to_vec();
    for i in 0..n {
        for j in 0..=i {
            let known: f64 = (0..j).map(|k| lower[i * n + k] * lower[j * n + k]).sum();
            let value = lower[i * n + j] - known;
            if j < i {
                lower[i * n + j] = value / lower[j * n + j];
            } else if value > ROUNDING && value.is_finite() {
                lower[i * n + i] = value.sqrt();
            } else {
                return None;
            }
        }
    }
    let mut inverse = vec![0.0; n * n];
    for column in 0..n {
        let mut x = vec![0.0; n];
        for i in column..n {
            let known: f64 = (column..i).map(|k| lower[i * n + k] * x[k]).sum();
            x[i] = (f64::from(u8::from(i == column)) - known) / lower[i * n + i];
        }
        for i in (0..n).rev() {
            let known: f64 = (i + 1..n).map(|k| lower[k * n + i] * x[k]).sum();
            x[i] = (x[i] - known) / lower[i * n + i];
            inverse[i * n + column] = x[i];
        }
    }
    Some(inverse)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bent_valley_is_followed_to_its_lowest_point() {
        let mut values = |points: &[Vec<f64>]| {
            let value = |p: &Vec<f64>| (1.0 - p[0]).powi(2) + 100.0 * (p[1] - p[0] * p[0]).powi(2);
            points.iter().map(value).collect()
        };
        let start = Lowest { point: vec![-1.2, 1.0], value: 24.2 };
        for at_once in [LANES, 1] {
            let limits = Limits { wall: 8.0, tolerance: 1e-10, at_once };
            let found = lowest(start.clone(), &limits, &mut values, &|| true).unwrap();
            assert!(found.point.iter().all(|x| (x - 1.0).abs() < 1e-3), "{found:?}");
            assert_eq!(lowest(start.clone(), &limits, &mut values, &|| false), None);
        }
    }
}

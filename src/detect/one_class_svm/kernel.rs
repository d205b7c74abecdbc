//! The radial kernel exp(−γ|x − y|²) of one point with many.
//!
//! Owns: points in columns, and the exponential. Does not own: what is summed of it.
//!
//! Single precision, as libsvm keeps its rows: what is summed of them is double.

use crate::detect::residuals::FEATURES;
use crate::detect::residuals::Features;
use crate::math::simd;

/// Values worked on side by side.
const LANES: usize = 8;
/// Below it e^x is no ordinary `f32`.
const LOWEST: f32 = -87.0;

/// Points, multiplied by √γ.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Points {
    pub(super) columns: [Vec<f32>; FEATURES],
}

impl Points {
    /// Points by column.
    pub(super) fn new(rows: &[Features], root: f64) -> Points {
        let column = |k: usize| rows.iter().map(|row| scaled(row[k], root)).collect();
        Points { columns: std::array::from_fn(column) }
    }

    pub(super) fn len(&self) -> usize {
        self.columns[0].len()
    }

    pub(super) fn point(&self, i: usize) -> [f32; FEATURES] {
        std::array::from_fn(|k| self.columns[k][i])
    }

    /// These points only.
    pub(super) fn select(&self, which: &[usize]) -> Points {
        let column = |k: usize| which.iter().map(|&i| self.columns[k][i]).collect();
        Points { columns: std::array::from_fn(column) }
    }

    /// Kernel values of a point with each; `out` is as long as there are points.
    pub(super) fn kernel(&self, point: [f32; FEATURES], out: &mut [f32]) {
        simd::widest(Row { points: self, point, out });
    }

    /// The kernel values of a point with each, weighted and summed.
    pub(super) fn weighted(&self, point: [f32; FEATURES], weights: &[f64]) -> f64 {
        simd::widest(Weighted { points: self, point, weights })
    }
}

/// A feature on the kernel's scale.
pub(super) fn scaled(feature: f64, root: f64) -> f32 {
    (feature * root) as f32
}

struct Row<'a> {
    points: &'a Points,
    point: [f32; FEATURES],
    out: &'a mut [f32],
}

impl simd::Kernel for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let [a, b, c, d] = &self.points.columns;
        let columns = a.iter().zip(b).zip(c.iter().zip(d));
        for (out, ((a, b), (c, d))) in self.out.iter_mut().zip(columns) {
            *out = radial::<FMA>(self.point, [*a, *b, *c, *d]);
        }
    }
}

struct Weighted<'a> {
    points: &'a Points,
    point: [f32; FEATURES],
    weights: &'a [f64],
}

impl simd::Kernel for Weighted<'_> {
    type Output = f64;

    #[inline(always)]
    fn run<const FMA: bool>(self) -> f64 {
        let [a, b, c, d] = self.points.columns.each_ref().map(|column| column.as_chunks::<LANES>());
        let (weights, rest) = self.weights.as_chunks::<LANES>();
        let mut sums = [0.0; LANES];
        for (((w, a), b), (c, d)) in weights.iter().zip(a.0).zip(b.0).zip(c.0.iter().zip(d.0)) {
            for lane in 0..LANES {
                let near = radial::<FMA>(self.point, [a[lane], b[lane], c[lane], d[lane]]);
                sums[lane] = simd::fma::<FMA>(w[lane], f64::from(near), sums[lane]);
            }
        }
        let mut sum = sums.iter().sum::<f64>();
        for (((w, a), b), (c, d)) in rest.iter().zip(a.1).zip(b.1).zip(c.1.iter().zip(d.1)) {
            sum += w * f64::from(radial::<FMA>(self.point, [*a, *b, *c, *d]));
        }
        sum
    }
}

#[inline(always)]
fn radial<const FMA: bool>(x: [f32; FEATURES], y: [f32; FEATURES]) -> f32 {
    let mut square = 0.0;
    for k in 0..FEATURES {
        let apart = x[k] - y[k];
        square = fma::<FMA>(apart, apart, square);
    }
    exp::<FMA>(-square)
}

/// e^x for x ≤ 0, as Cephes' `expf`: x = n·ln 2 + r, a polynomial of r, and n into the exponent.
#[inline(always)]
fn exp<const FMA: bool>(x: f32) -> f32 {
    /// Added to a small number it leaves the nearest whole one in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    const ONE: u32 = 127 << 23;
    let x = if x > LOWEST { x } else { LOWEST };
    let shifted = fma::<FMA>(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = fma::<FMA>(n, -0.693_359_4, x);
    let r = fma::<FMA>(n, 2.121_944_4e-4, r);
    let mut p = 1.987_569_1e-4;
    for c in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = fma::<FMA>(p, r, c);
    }
    let p = fma::<FMA>(p, r * r, r) + 1.0;
    p * f32::from_bits((shifted.to_bits() << 23).wrapping_add(ONE))
}

#[inline(always)]
fn fma<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_are_exact_to_single_precision() {
        for i in 0..8700 {
            let x = -0.01 * i as f32;
            let exact = f64::from(x).exp();
            for y in [exp::<true>(x), exp::<false>(x)] {
                assert!((f64::from(y) / exact - 1.0).abs() < 3e-7, "{x}: {y} {exact}");
            }
        }
        assert!(exp::<true>(f32::NEG_INFINITY) > 0.0 && exp::<true>(0.0) == 1.0);
    }

    #[test]
    fn sums_are_those_of_rows() {
        let rows: Vec<Features> =
            (0..37).map(|i| [0.1, 0.2, 0.3, 0.4].map(|k| (k * f64::from(i)).sin())).collect();
        let points = Points::new(&rows, 0.7);
        let weights: Vec<f64> = (0..37).map(|i| 1.0 / f64::from(i + 1)).collect();
        let mut row = vec![0.0; 37];
        points.kernel(points.point(5), &mut row);
        let sum: f64 = row.iter().zip(&weights).map(|(k, w)| f64::from(*k) * w).sum();
        assert!((points.weighted(points.point(5), &weights) - sum).abs() < 1e-6);
        assert!((row[5] - 1.0).abs() < 1e-7);
    }
}

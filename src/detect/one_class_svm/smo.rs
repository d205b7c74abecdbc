//! Sequential minimal optimisation of the one-class problem, as libsvm does it.
//!
//! Owns: the weights, the offset. Does not own: the kernel, the features.
//!
//! Schölkopf and others: Estimating the support of a high-dimensional distribution (2001); Fan, Chen,
//! Lin: Working set selection using second order information (2005). Minimise ½αᵀQα with 0 ≤ α ≤ 1 and
//! Σα = νn. libsvm's start, choice of pairs and end; no shrinking: as only few points have weight, the
//! second choice looks at those alone, and the first is found while the gradient is brought up to date.

use crate::detect::one_class_svm::kernel::Points;
use crate::math::simd;

/// libsvm's tolerance of the optimality conditions.
const TOLERANCE: f64 = 1e-3;
/// libsvm's curvature of pairs that coincide.
const FLAT: f64 = 1e-12;
/// Bytes of kernel rows that are kept.
const KEPT: usize = 32 << 20;
/// Pairs, or rows, between two questions whether to go on: about a millisecond.
const ASK: usize = 128;

/// An optimum.
pub(super) struct Solution {
    /// A weight in 0..=1 per point.
    pub(super) weights: Vec<f64>,
    /// Where the decision changes its sign.
    pub(super) offset: f64,
    /// Σ αK at each point.
    pub(super) sums: Vec<f64>,
}

struct Solver<'a> {
    rows: Rows<'a>,
    weights: Vec<f64>,
    /// Σ αK at each point: also the gradient.
    sums: Vec<f64>,
    /// 0 where the weight may grow, +∞ where it is at its bound: added to the gradient.
    full: Vec<f64>,
    /// Points with weight.
    some: Vec<usize>,
}

/// Solves the problem for the part `nu` of the points outside; `None` if it was to stop.
pub(super) fn solve(points: &Points, nu: f64, keep_going: &dyn Fn() -> bool) -> Option<Solution> {
    let mut solver = Solver::start(points, nu, keep_going)?;
    let mut first = lowest(&solver.sums, &solver.full);
    // libsvm's bound, for data that rounding keeps from ever meeting the tolerance.
    for iteration in 0..100 * points.len().max(1000) {
        if iteration % ASK == 0 && !keep_going() {
            return None;
        }
        let Some((i, j)) = solver.pair(first) else {
            break;
        };
        first = solver.step(i, j);
    }
    let offset = solver.offset();
    Some(Solution { weights: solver.weights, offset, sums: solver.sums })
}

impl<'a> Solver<'a> {
    /// The first νn points have weight one.
    fn start(points: &'a Points, nu: f64, keep_going: &dyn Fn() -> bool) -> Option<Solver<'a>> {
        let n = points.len();
        let total = nu * n as f64;
        let mut weights: Vec<f64> = (0..n).map(|i| (total - i as f64).clamp(0.0, 1.0)).collect();
        // What is left by rounding alone is no weight.
        weights.iter_mut().filter(|w| **w < 1e-12).for_each(|w| *w = 0.0);
        let some: Vec<usize> = (0..n).filter(|&i| weights[i] > 0.0).collect();
        let full = weights.iter().map(|&w| if w < 1.0 { 0.0 } else { f64::INFINITY }).collect();
        let mut rows = Rows::new(points);
        let mut sums = vec![0.0; n];
        for &i in &some {
            if i % ASK == 0 && !keep_going() {
                return None;
            }
            let row = rows.get(i);
            simd::widest(Add { sums: &mut sums, row, weight: weights[i] });
        }
        Some(Solver { rows, weights, sums, full, some })
    }

    /// The pair that promises most, of which the first has the lowest gradient `(value, place)` of those
    /// that may grow; none at the optimum.
    fn pair(&mut self, (lowest, i): (f64, usize)) -> Option<(usize, usize)> {
        if !lowest.is_finite() {
            return None;
        }
        let row = self.rows.get(i);
        let (mut highest, mut best, mut second) = (f64::NEG_INFINITY, 0.0, None);
        for &j in &self.some {
            let apart = self.sums[j] - lowest;
            highest = highest.max(apart);
            if apart > 0.0 {
                let curvature = 2.0 - 2.0 * f64::from(row[j]);
                let gain = apart * apart / if curvature > 0.0 { curvature } else { FLAT };
                if gain > best {
                    (best, second) = (gain, Some(j));
                }
            }
        }
        second.filter(|_| highest >= TOLERANCE).map(|j| (i, j))
    }

    /// Moves weight from `j` to `i`; the next first of a pair.
    fn step(&mut self, i: usize, j: usize) -> (f64, usize) {
        let curvature = 2.0 - 2.0 * f64::from(self.rows.get(i)[j]);
        let wanted = (self.sums[j] - self.sums[i]) / if curvature > 0.0 { curvature } else { FLAT };
        let before = (self.weights[i], self.weights[j]);
        let total = before.0 + before.1;
        let grown = (before.0 + wanted).min(total).min(1.0);
        // Exactly at the bounds, as libsvm: what is left over belongs to the other.
        let other = if grown >= total { 0.0 } else { (total - grown).clamp(0.0, 1.0) };
        (self.weights[i], self.weights[j]) = (grown, other);
        for k in [i, j] {
            self.full[k] = if self.weights[k] < 1.0 { 0.0 } else { f64::INFINITY };
        }
        if before.0 == 0.0 {
            self.some.push(i);
        }
        if other == 0.0 {
            self.some.retain(|&k| k != j);
        }
        let (a, b) = self.rows.both(i, j);
        let by = (grown - before.0, other - before.1);
        simd::widest(Update { sums: &mut self.sums, full: &self.full, a, b, by })
    }

    /// The mean gradient of the free points, else the middle of what the bound ones allow.
    fn offset(&self) -> f64 {
        let (mut sum, mut free) = (0.0, 0.0);
        let (mut least, mut most) = (f64::NEG_INFINITY, f64::INFINITY);
        for (&weight, &gradient) in self.weights.iter().zip(&self.sums) {
            if weight >= 1.0 {
                least = least.max(gradient);
            } else if weight <= 0.0 {
                most = most.min(gradient);
            } else {
                (sum, free) = (sum + gradient, free + 1.0);
            }
        }
        match (free > 0.0, least.is_finite(), most.is_finite()) {
            (true, _, _) => sum / free,
            (_, true, true) => 0.5 * (least + most),
            (_, true, _) => least,
            _ => most,
        }
    }
}

/// Kernel rows, those used last kept.
struct Rows<'a> {
    points: &'a Points,
    /// By point, one more than the place of its row; 0 is none.
    place: Vec<u32>,
    rows: Vec<Vec<f32>>,
    /// By place: whose row it is, and when it was asked for last.
    owner: Vec<(usize, u64)>,
    asked: u64,
}

impl<'a> Rows<'a> {
    fn new(points: &'a Points) -> Rows<'a> {
        let place = vec![0; points.len()];
        Rows { points, place, rows: Vec::new(), owner: Vec::new(), asked: 0 }
    }

    fn get(&mut self, i: usize) -> &[f32] {
        let place = self.place_of(i);
        &self.rows[place]
    }

    fn both(&mut self, i: usize, j: usize) -> (&[f32], &[f32]) {
        // Just asked for, the first is not the one that makes room.
        let (i, j) = (self.place_of(i), self.place_of(j));
        (&self.rows[i], &self.rows[j])
    }

    fn place_of(&mut self, i: usize) -> usize {
        self.asked += 1;
        if let Some(place) = (self.place[i] as usize).checked_sub(1) {
            self.owner[place].1 = self.asked;
            return place;
        }
        let n = self.points.len();
        let place = if self.rows.len() < (KEPT / (4 * n)).max(2) {
            self.rows.push(vec![0.0; n]);
            self.owner.push((i, self.asked));
            self.rows.len() - 1
        } else {
            let oldest = (0..self.owner.len()).min_by_key(|&place| self.owner[place].1);
            let place = oldest.unwrap_or(0);
            self.place[self.owner[place].0] = 0;
            self.owner[place] = (i, self.asked);
            place
        };
        self.place[i] = place as u32 + 1;
        self.points.kernel(self.points.point(i), &mut self.rows[place]);
        place
    }
}

struct Add<'a> {
    sums: &'a mut [f64],
    row: &'a [f32],
    weight: f64,
}

impl simd::Kernel for Add<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        for (sum, k) in self.sums.iter_mut().zip(self.row) {
            *sum = simd::fma::<FMA>(self.weight, f64::from(*k), *sum);
        }
    }
}

/// The gradient after two weights changed, and where it is lowest.
struct Update<'a> {
    sums: &'a mut [f64],
    full: &'a [f64],
    a: &'a [f32],
    b: &'a [f32],
    by: (f64, f64),
}

/// Values worked on side by side.
const LANES: usize = 16;

impl simd::Kernel for Update<'_> {
    type Output = (f64, usize);

    #[inline(always)]
    fn run<const FMA: bool>(self) -> (f64, usize) {
        let (by_a, by_b) = self.by;
        let change = |sum: &mut f64, a: f32, b: f32| {
            let changed = simd::fma::<FMA>(by_a, f64::from(a), *sum);
            *sum = simd::fma::<FMA>(by_b, f64::from(b), changed);
        };
        let mut lowest = [f64::INFINITY; LANES];
        let (sums, sums_rest) = self.sums.as_chunks_mut::<LANES>();
        let (full, full_rest) = self.full.as_chunks::<LANES>();
        let ((a, a_rest), (b, b_rest)) = (self.a.as_chunks::<LANES>(), self.b.as_chunks::<LANES>());
        for (((sums, full), a), b) in sums.iter_mut().zip(full).zip(a).zip(b) {
            for lane in 0..LANES {
                change(&mut sums[lane], a[lane], b[lane]);
                let value = sums[lane] + full[lane];
                lowest[lane] = if value < lowest[lane] { value } else { lowest[lane] };
            }
        }
        let mut least = lowest.into_iter().fold(f64::INFINITY, f64::min);
        for (((sum, full), a), b) in sums_rest.iter_mut().zip(full_rest).zip(a_rest).zip(b_rest) {
            change(sum, *a, *b);
            least = least.min(*sum + full);
        }
        let place = self.sums.iter().zip(self.full).position(|(sum, full)| sum + full == least);
        (least, place.unwrap_or(0))
    }
}

/// The lowest gradient of those that may grow.
fn lowest(sums: &[f64], full: &[f64]) -> (f64, usize) {
    let values = sums.iter().zip(full).map(|(sum, full)| sum + full);
    let least = values.enumerate().min_by(|a, b| a.1.total_cmp(&b.1));
    least.map_or((f64::INFINITY, 0), |(i, value)| (value, i))
}

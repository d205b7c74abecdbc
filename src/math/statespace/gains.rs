//! How much each forecast error moves the states, and how large it was to be expected.
//!
//! Owns: variance and gains, row by row. They depend on which rows are missing, not on their values.
//! Does not own: states and errors.
//!
//! After a seen row the filtered covariance has an empty first row, so the next is a shift and a
//! change of rank one: O(r²), and needed where rows are missing. Without missing rows the change of
//! the covariance itself has rank one (Morf, Sidhu and Kailath 1974, Chandrasekhar's equations): O(r).

use crate::math::statespace::arma::Arma;
use crate::math::statespace::real::Real;
use crate::math::statespace::stationary;

/// States up to which the whole covariance is as cheap as its change.
pub(super) const FEW: usize = 4;
/// What is left of the way to the steady state when it is taken to be there.
const STEADY: f64 = 1e-15;
/// The same of the whole covariance, of which rounding leaves more.
pub(super) const WHOLE_STEADY: f64 = 1e-13;

/// Rows after which a covariance is moved back to the corner of its square.
const SHIFTS: usize = 64;

/// Variance and gains of the row that comes next.
#[derive(Debug, Clone)]
pub(super) struct Gains<T> {
    /// First row of the covariance, and a zero.
    row: Vec<T>,
    covariance: Covariance<T>,
    steady: bool,
}

#[derive(Debug, Clone)]
enum Covariance<T> {
    Whole(Whole<T>),
    /// `change·w·wᵀ` is added next; `w` ends with a zero.
    Change {
        w: Vec<T>,
        change: T,
    },
}

impl<T: Real> Gains<T> {
    /// Before anything was seen; `gaps`: whether rows may be missing.
    #[inline(always)]
    pub(super) fn new<const FMA: bool>(arma: &Arma<T>, gaps: bool) -> Gains<T> {
        let mut row = stationary::first_row::<T, FMA>(arma);
        let covariance = if gaps || arma.n_states() <= FEW {
            Covariance::Whole(Whole::new(&stationary::whole(arma, &row), arma.n_states()))
        } else {
            let next = row[1..].iter().copied().chain([T::splat(0.0)]);
            let w = next.zip(&arma.ar).map(|(p, &ar)| ar * row[0] + p);
            let w = w.chain([T::splat(0.0)]).collect();
            Covariance::Change { w, change: -T::splat(1.0) / row[0] }
        };
        row.push(T::splat(0.0));
        Gains { row, covariance, steady: false }
    }

    /// Of a covariance, row-major.
    #[inline(always)]
    pub(super) fn of(arma: &Arma<T>, p: &[T]) -> Gains<T> {
        let r = arma.n_states();
        let mut row = p[..r].to_vec();
        row.push(T::splat(0.0));
        Gains { row, covariance: Covariance::Whole(Whole::new(p, r)), steady: false }
    }

    /// The whole covariance, row-major, of which `j ≥ i` counts; none where only its change is kept up.
    #[inline(always)]
    pub(super) fn whole(&self) -> Vec<T> {
        match &self.covariance {
            Covariance::Whole(whole) => whole.row_major(),
            Covariance::Change { .. } => Vec::new(),
        }
    }

    /// The row was seen, and all that it says is how large something is of which nothing was known, and which enters
    /// the states by `way`; `way[0]` is 1: `P' = shift(P − b·P₀ − P₀ᵀ·bᵀ + F·b·bᵀ) + RRᵀ`, as of an infinite
    /// variance (Durbin and Koopman 2012, 5.2). Of a whole covariance.
    #[inline(always)]
    pub(super) fn settle<const FMA: bool>(&mut self, arma: &Arma<T>, way: &[T]) {
        let Covariance::Whole(whole) = &mut self.covariance else { return };
        whole.settle::<FMA>(arma, way, &self.row);
        self.row[..way.len()].copy_from_slice(whole.row(0));
        self.steady = false;
    }

    /// Variance of the coming row's forecast error, in units of the innovations' variance.
    #[inline(always)]
    pub(super) fn variance(&self) -> T {
        self.row[0]
    }

    /// The coming row's gain on state `i + 1` is this times its error; the last is zero.
    #[inline(always)]
    pub(super) fn loads(&self) -> &[T] {
        &self.row[1..]
    }

    /// Whether seen rows change nothing any more: the variance is 1, the gains are θ.
    #[inline(always)]
    pub(super) fn steady(&self) -> bool {
        self.steady
    }

    /// The row was `seen`, or is missing (which a filter for rows without gaps must not be told).
    #[inline(always)]
    pub(super) fn step<const FMA: bool>(&mut self, arma: &Arma<T>, seen: bool) {
        if self.steady && seen {
            return;
        }
        match &mut self.covariance {
            Covariance::Whole(whole) => {
                if seen {
                    whole.seen::<FMA>(arma, &self.row);
                } else {
                    whole.missing::<FMA>(arma, &self.row);
                }
                self.row[..whole.r].copy_from_slice(whole.row(0));
                self.steady = whole.is_steady(arma);
            }
            Covariance::Change { w, change } => {
                self.steady = seen_change::<T, FMA>(&mut self.row, w, change);
                if self.steady {
                    self.row[0] = T::splat(1.0);
                    self.row[1..].copy_from_slice(&arma.ma);
                }
            }
        }
    }
}

/// A covariance of which only `j ≥ i` is kept up. It lies in a larger square and moves along its diagonal: a shift
/// moves no number, so that a missing row costs `r` and a seen one no more than its change.
#[derive(Debug, Clone)]
struct Whole<T> {
    r: usize,
    width: usize,
    /// Where in the square it begins, either way.
    origin: usize,
    square: Vec<T>,
}

impl<T: Real> Whole<T> {
    /// Of one row-major.
    #[inline(always)]
    fn new(p: &[T], r: usize) -> Whole<T> {
        let width = r + if r <= FEW { r } else { SHIFTS };
        let mut square = vec![T::splat(0.0); width * width];
        for (to, from) in square.chunks_exact_mut(width).zip(p.chunks_exact(r)) {
            to[..r].copy_from_slice(from);
        }
        Whole { r, width, origin: 0, square }
    }

    #[inline(always)]
    fn row_major(&self) -> Vec<T> {
        let row = |i: usize| &self.square[(self.origin + i) * self.width + self.origin..][..self.r];
        (0..self.r).flat_map(|i| row(i).iter().copied()).collect()
    }

    /// What is kept up of a row.
    #[inline(always)]
    fn row(&self, i: usize) -> &[T] {
        &self.square[(self.origin + i) * self.width + self.origin + i..][..self.r - i]
    }

    #[inline(always)]
    fn row_mut(&mut self, i: usize) -> &mut [T] {
        &mut self.square[(self.origin + i) * self.width + self.origin + i..][..self.r - i]
    }

    /// One seen row, of whose states the first has these covariances: `P' = shift(P − P₀ᵀP₀ ⁄ F) + RRᵀ`.
    #[inline(always)]
    fn seen<const FMA: bool>(&mut self, arma: &Arma<T>, first: &[T]) {
        let drop = -(T::splat(1.0) / first[0]);
        for i in 1..self.r {
            let own = first[i] * drop;
            for (to, other) in self.row_mut(i).iter_mut().zip(&first[i..]) {
                *to = own.fma::<FMA>(*other, *to);
            }
        }
        self.shift();
        self.add_noise(arma);
    }

    /// One missing row: `P' = T·P·Tᵀ + RRᵀ`.
    #[inline(always)]
    fn missing<const FMA: bool>(&mut self, arma: &Arma<T>, first: &[T]) {
        self.shift();
        for &lag in &arma.ar_lags {
            let own = arma.ar[lag];
            for (i, next) in first[1..=lag].iter().enumerate() {
                let to = &mut self.row_mut(i)[lag - i];
                *to = own.fma::<FMA>(*next, *to);
            }
            for (to, next) in self.row_mut(lag).iter_mut().zip(&first[lag + 1..]) {
                *to = own.fma::<FMA>(*next, *to);
            }
            let both = own.fma::<FMA>(first[0], first[lag + 1]);
            let to = &mut self.row_mut(lag)[0];
            *to = own.fma::<FMA>(both, *to);
            for &other in arma.ar_lags.iter().filter(|&&other| other > lag) {
                let to = &mut self.row_mut(lag)[other - lag];
                *to = (own * first[0]).fma::<FMA>(arma.ar[other], *to);
            }
        }
        self.add_noise(arma);
    }

    #[inline(always)]
    fn settle<const FMA: bool>(&mut self, arma: &Arma<T>, way: &[T], first: &[T]) {
        for i in 1..self.r {
            let own = first[i] - way[i] * first[0];
            let others = way[i..].iter().zip(&first[i..]);
            for (to, (way_of, first_of)) in self.row_mut(i).iter_mut().zip(others) {
                *to = *to - way_of.fma::<FMA>(own, way[i] * *first_of);
            }
        }
        self.shift();
        self.add_noise(arma);
    }

    /// What state `i + 1` was is state `i`; of the last nothing is known but that it is zero.
    #[inline(always)]
    fn shift(&mut self) {
        let (r, width) = (self.r, self.width);
        self.origin += 1;
        if self.origin + r > width {
            // Back to the corner. The last column is written below.
            for i in 0..r - 1 {
                let from = (self.origin + i) * width + self.origin + i;
                self.square.copy_within(from..from + r - 1 - i, i * width + i);
            }
            self.origin = 0;
        }
        (0..r).for_each(|i| self.row_mut(i)[r - 1 - i] = T::splat(0.0));
    }

    #[inline(always)]
    fn add_noise(&mut self, arma: &Arma<T>) {
        let states = || std::iter::once(0).chain(arma.ma_lags.iter().map(|&lag| lag + 1));
        for i in states() {
            for j in states().filter(|&j| j >= i) {
                let to = &mut self.row_mut(i)[j - i];
                *to = *to + arma.load(i) * arma.load(j);
            }
        }
    }

    /// In the steady state only the innovation is unknown: P is RRᵀ.
    #[inline(always)]
    fn is_steady(&self, arma: &Arma<T>) -> bool {
        let mut excess = self.row(0)[0] - T::splat(1.0);
        for i in 1..self.r {
            excess = excess + self.row(i)[0] - arma.ma[i - 1] * arma.ma[i - 1];
        }
        excess.below(WHOLE_STEADY)
    }
}

/// One seen row by the change of the covariance; whether that has died away.
#[inline(always)]
fn seen_change<T: Real, const FMA: bool>(row: &mut [T], w: &mut [T], change: &mut T) -> bool {
    let r = row.len() - 1;
    let inverse = T::splat(1.0) / row[0];
    let gain = *change * w[0];
    let drop = -(w[0] * inverse);
    let mut largest = T::splat(0.0);
    for i in 0..r {
        let own = w[i];
        w[i] = row[i + 1].fma::<FMA>(drop, w[i + 1]);
        row[i] = gain.fma::<FMA>(own, row[i]);
        largest = own.fma::<FMA>(own, largest);
    }
    *change = *change - gain * gain / row[0];
    (largest * -*change).below(STEADY * 1e-2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::statespace::arma::Order;

    #[test]
    fn the_change_and_the_whole_agree() {
        let order =
            Order { p: 1, q: 1, seasonal_p: 1, seasonal_q: 1, season: 6, ..Order::default() };
        let arma = Arma::new(&order, &[0.7, 0.4, 0.5, 0.3]);
        let (mut fast, mut slow) =
            (Gains::new::<false>(&arma, false), Gains::new::<false>(&arma, true));
        for t in 0..400 {
            assert!((fast.variance() - slow.variance()).abs() < 1e-12, "{t}");
            for (a, b) in fast.loads().iter().zip(slow.loads()) {
                assert!((a - b).abs() < 1e-12, "{t}");
            }
            fast.step::<false>(&arma, true);
            slow.step::<false>(&arma, true);
        }
        assert!(fast.steady() && slow.steady());
        slow.step::<false>(&arma, false);
        assert!(!slow.steady() && slow.variance() > 1.1);
    }
}

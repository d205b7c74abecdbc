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
    /// Row-major; only `j ≥ i` is kept up. `first` has room for its first row and a zero.
    Whole { p: Vec<T>, first: Vec<T>, loads: Vec<T> },
    /// `change·w·wᵀ` is added next; `w` ends with a zero.
    Change { w: Vec<T>, change: T },
}

impl<T: Real> Gains<T> {
    /// Before anything was seen; `gaps`: whether rows may be missing.
    #[inline(always)]
    pub(super) fn new<const FMA: bool>(arma: &Arma<T>, gaps: bool) -> Gains<T> {
        let mut row = stationary::first_row::<T, FMA>(arma);
        let covariance = if gaps || arma.n_states() <= FEW {
            Covariance::Whole {
                p: stationary::whole(arma, &row),
                first: vec![T::splat(0.0); arma.n_states() + 1],
                loads: (0..arma.n_states()).map(|state| arma.load(state)).collect(),
            }
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
    pub(super) fn of(arma: &Arma<T>, p: Vec<T>) -> Gains<T> {
        let r = arma.n_states();
        let mut row = p[..r].to_vec();
        row.push(T::splat(0.0));
        let loads = (0..r).map(|state| arma.load(state)).collect();
        let covariance = Covariance::Whole { p, first: vec![T::splat(0.0); r + 1], loads };
        Gains { row, covariance, steady: false }
    }

    /// The whole covariance, row-major, of which `j ≥ i` counts; none where only its change is kept up.
    #[inline(always)]
    pub(super) fn whole(&self) -> &[T] {
        match &self.covariance {
            Covariance::Whole { p, .. } => p,
            Covariance::Change { .. } => &[],
        }
    }

    /// The row was seen, and all that it says is how large something is of which nothing was known, and which enters
    /// the states by `way`; `way[0]` is 1: `P' = shift(P − b·P₀ − P₀ᵀ·bᵀ + F·b·bᵀ) + RRᵀ`, as of an infinite
    /// variance (Durbin and Koopman 2012, 5.2). Of a whole covariance.
    #[inline(always)]
    pub(super) fn settle<const FMA: bool>(&mut self, arma: &Arma<T>, way: &[T]) {
        let Covariance::Whole { p, first, loads } = &mut self.covariance else { return };
        let r = loads.len();
        for i in 1..r {
            let own = self.row[i] - way[i] * self.row[0];
            for j in i..r {
                let less = way[j].fma::<FMA>(own, way[i] * self.row[j]);
                p[i * r + j] = p[i * r + j] - less;
            }
        }
        first.fill(T::splat(0.0));
        missing_whole::<T, FMA>(arma, loads, first, p);
        self.row[..r].copy_from_slice(&p[..r]);
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
            Covariance::Whole { p, first, loads } => {
                first[..loads.len()].copy_from_slice(&p[..loads.len()]);
                if seen {
                    seen_whole::<T, FMA>(loads, first, p)
                } else {
                    missing_whole::<T, FMA>(arma, loads, first, p)
                }
                self.row[..arma.n_states()].copy_from_slice(&p[..arma.n_states()]);
                self.steady = whole_is_steady(arma, p);
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

/// One seen row: `P' = shift(P − P₀ᵀP₀ ⁄ F) + RRᵀ`.
#[inline(always)]
fn seen_whole<T: Real, const FMA: bool>(loads: &[T], first: &[T], p: &mut [T]) {
    let r = loads.len();
    let drop = -(T::splat(1.0) / first[0]);
    for i in 0..r {
        let (above, below) = p.split_at_mut((i + 1) * r);
        let (own, noise) = (first[i + 1] * drop, loads[i]);
        let row = &mut above[i * r + i..];
        // Of the last column nothing is shifted in.
        if let Some(last) = row.last_mut() {
            *last = noise * loads[r - 1];
        }
        let shifted = below.get(i + 1..r).unwrap_or(&[]);
        for (((to, from), next), load) in
            row.iter_mut().zip(shifted).zip(&first[i + 1..]).zip(&loads[i..])
        {
            *to = noise.fma::<FMA>(*load, own.fma::<FMA>(*next, *from));
        }
    }
}

/// One missing row: `P' = T·P·Tᵀ + RRᵀ`.
#[inline(always)]
fn missing_whole<T: Real, const FMA: bool>(arma: &Arma<T>, loads: &[T], first: &[T], p: &mut [T]) {
    let r = loads.len();
    for i in 0..r {
        let (above, below) = p.split_at_mut((i + 1) * r);
        let (own, noise) = (arma.ar[i], loads[i]);
        let both = own.fma::<FMA>(first[0], first[i + 1]);
        let row = &mut above[i * r + i..];
        if let Some(last) = row.last_mut() {
            *last = T::splat(0.0);
        }
        let shifted = below.get(i + 1..r).unwrap_or(&[]);
        row.iter_mut().zip(shifted).for_each(|(to, from)| *to = *from);
        let others = arma.ar[i..].iter().zip(&first[i + 1..]).zip(&loads[i..]);
        for (to, ((ar, next), load)) in row.iter_mut().zip(others) {
            let moved = ar.fma::<FMA>(both, own.fma::<FMA>(*next, *to));
            *to = noise.fma::<FMA>(*load, moved);
        }
    }
}

/// In the steady state only the innovation is unknown: P is RRᵀ.
#[inline(always)]
fn whole_is_steady<T: Real>(arma: &Arma<T>, p: &[T]) -> bool {
    let r = arma.n_states();
    let mut excess = p[0] - T::splat(1.0);
    for i in 1..r {
        excess = excess + p[i * r + i] - arma.ma[i - 1] * arma.ma[i - 1];
    }
    excess.below(WHOLE_STEADY)
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

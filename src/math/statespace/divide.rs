//! Division of a whole sequence by the moving average's polynomial.
//!
//! Owns: it. Does not own: what the quotients are for (`direct`).
//!
//! A seasonal polynomial has few lags, short ones and long ones. Over a block no longer than the shortest of the
//! long lags, what these bring in is known already: they go lag by lag, all rows of the block side by
//! side, and only the short ones row by row.

use crate::math::statespace::arma::Arma;
use crate::math::statespace::real::Real;

/// Longest of the short lags.
const SHORT: usize = 8;
/// Rows of a block where there are no long lags.
const BLOCK: usize = 64;

/// What is divided.
pub(super) enum Dividend<'a, T> {
    /// A column of rows, multiplied by the autoregression's polynomial.
    Rows(&'a [f64]),
    /// A sequence from its end to its beginning.
    Backwards(&'a [T]),
    /// A sequence, and nothing after it.
    Forwards(&'a [T]),
}

/// The polynomials `1 − Σ φ·Bᵏ` and `1 + Σ θ·Bᵏ`.
pub(super) struct Polynomials<T> {
    /// Lags, and minus φ.
    pub(super) multiplier: Vec<(usize, T)>,
    /// Lags beyond [`SHORT`], and minus θ.
    long: Vec<(usize, T)>,
    /// Minus θ by lag − 1.
    short: Vec<T>,
    block: usize,
}

impl<T: Real> Polynomials<T> {
    #[inline(always)]
    pub(super) fn new(arma: &Arma<T>) -> Polynomials<T> {
        let (mut multiplier, mut long, mut short) = (Vec::new(), Vec::new(), Vec::new());
        for &lag in &arma.ar_lags {
            multiplier.push((lag + 1, -arma.ar[lag]));
        }
        for &lag in &arma.ma_lags {
            if lag < SHORT {
                short.resize(lag + 1, T::splat(0.0));
                short[lag] = -arma.ma[lag];
            } else {
                long.push((lag + 1, -arma.ma[lag]));
            }
        }
        let block = long.first().map_or(BLOCK, |&(lag, _)| lag);
        Polynomials { multiplier, long, short, block }
    }

    /// The quotient, as many numbers as there is room for.
    #[inline(always)]
    pub(super) fn divide<const FMA: bool>(&self, dividend: &Dividend<'_, T>, to: &mut [T]) {
        let mut from = 0;
        while from < to.len() {
            let end = (from + self.block).min(to.len());
            let (before, own) = to[..end].split_at_mut(from);
            self.begin::<FMA>(dividend, from, own);
            match (&self.long[..], &self.short[..]) {
                (&[near, far], &[one]) if from >= far.0 => {
                    let before = [&before[from - near.0..], &before[from - far.0..]];
                    seasonal::<T, FMA>(own, before, [near.1, far.1, one]);
                }
                _ => {
                    self.long::<FMA>(before, own);
                    self.remember::<FMA>(to, from, end);
                }
            }
            from = end;
        }
    }

    /// The long lags of a block, by what lies before it.
    #[inline(always)]
    fn long<const FMA: bool>(&self, before: &[T], own: &mut [T]) {
        let from = before.len();
        for &(lag, factor) in &self.long {
            // The block is no longer than the lag: all that it asks for lies before.
            let skip = lag.saturating_sub(from).min(own.len());
            let source = &before[(from + skip).saturating_sub(lag)..];
            for (to, from) in own[skip..].iter_mut().zip(source) {
                *to = factor.fma::<FMA>(*from, *to);
            }
        }
    }

    /// The dividend of a block.
    #[inline(always)]
    fn begin<const FMA: bool>(&self, dividend: &Dividend<'_, T>, from: usize, own: &mut [T]) {
        match dividend {
            Dividend::Rows(rows) => {
                for (to, row) in own.iter_mut().zip(&rows[from..]) {
                    *to = T::splat(*row);
                }
                for &(lag, factor) in &self.multiplier {
                    let skip = lag.saturating_sub(from).min(own.len());
                    let source = &rows[(from + skip).saturating_sub(lag)..];
                    for (to, row) in own[skip..].iter_mut().zip(source) {
                        *to = factor.fma::<FMA>(T::splat(*row), *to);
                    }
                }
            }
            Dividend::Backwards(sequence) => {
                for (to, value) in own.iter_mut().zip(sequence.iter().rev().skip(from)) {
                    *to = *value;
                }
            }
            Dividend::Forwards(sequence) => {
                let source = &sequence[from.min(sequence.len())..];
                let n = source.len().min(own.len());
                own[..n].copy_from_slice(&source[..n]);
                own[n..].fill(T::splat(0.0));
            }
        }
    }

    /// The short lags of a block.
    #[inline(always)]
    fn remember<const FMA: bool>(&self, to: &mut [T], from: usize, end: usize) {
        match self.short[..] {
            [] => {}
            [one] => {
                let mut last = if from > 0 { to[from - 1] } else { T::splat(0.0) };
                for own in &mut to[from..end] {
                    last = one.fma::<FMA>(last, *own);
                    *own = last;
                }
            }
            _ => {
                for t in from..end {
                    let mut own = to[t];
                    // The latest is added last: the others need not wait for it.
                    for k in (0..self.short.len().min(t)).rev() {
                        own = self.short[k].fma::<FMA>(to[t - 1 - k], own);
                    }
                    to[t] = own;
                }
            }
        }
    }
}

/// A block of the commonest polynomial, `(1 + θB)(1 + ΘBˢ)`, in one go. Two long lags, then the short one.
#[inline(always)]
fn seasonal<T: Real, const FMA: bool>(own: &mut [T], before: [&[T]; 2], factors: [T; 3]) {
    let (n, [near, far]) = (own.len(), before);
    // The last before the block is the last of either.
    let mut last = near.last().copied().unwrap_or(T::splat(0.0));
    for ((to, near), far) in own.iter_mut().zip(&near[..n]).zip(&far[..n]) {
        let known = factors[0].fma::<FMA>(*near, factors[1].fma::<FMA>(*far, *to));
        last = factors[2].fma::<FMA>(last, known);
        *to = last;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::statespace::arma::Order;

    #[test]
    fn what_is_divided_comes_back_by_multiplying() {
        let seasonal =
            |season| Order { p: 2, q: 1, seasonal_p: 1, seasonal_q: 1, season, ..Order::default() };
        for (order, n) in [(seasonal(4), 50), (seasonal(12), 100), (seasonal(40), 30)] {
            let arma = Arma::new(&order, &[0.5, 0.2, 0.4, 0.7, -0.6]);
            let polynomials = Polynomials::new(&arma);
            let rows: Vec<f64> = (0..n).map(|i| (i as f64).sin()).collect();
            let mut errors = vec![0.0; n];
            polynomials.divide::<false>(&Dividend::Rows(&rows), &mut errors);
            let lagged =
                |x: &[f64], t: usize, lag: usize| if lag < t { x[t - 1 - lag] } else { 0.0 };
            for t in 0..n {
                let ar = arma.ar_lags.iter().map(|&lag| arma.ar[lag] * lagged(&rows, t, lag));
                let ma = arma.ma_lags.iter().map(|&lag| arma.ma[lag] * lagged(&errors, t, lag));
                let row = ar.sum::<f64>() + ma.sum::<f64>() + errors[t];
                assert!((row - rows[t]).abs() < 1e-12, "{t}");
            }
            let mut backwards = vec![0.0; n];
            let mut reversed = errors.clone();
            reversed.reverse();
            polynomials.divide::<false>(&Dividend::Backwards(&errors), &mut backwards);
            let mut forwards = vec![0.0; n];
            polynomials.divide::<false>(&Dividend::Forwards(&reversed), &mut forwards);
            assert_eq!(backwards, forwards);
        }
    }
}

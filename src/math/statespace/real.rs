//! Numbers and bundles of numbers that the same arithmetic runs on.
//!
//! Owns: both. Does not own: what is computed.

use std::ops::Add;
use std::ops::Div;
use std::ops::Mul;
use std::ops::Neg;
use std::ops::Sub;

use crate::math::simd;

/// What a recursion needs of its numbers.
pub trait Real:
    Copy
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    /// The same number everywhere.
    fn splat(value: f64) -> Self;
    /// `self·b + c`.
    fn fma<const FMA: bool>(self, b: Self, c: Self) -> Self;
    /// Natural logarithm.
    fn ln(self) -> Self;
    /// `1 ⁄ √self`; zero where it is not above `limit`.
    fn inverse_root(self, limit: Self) -> Self;
    /// Whether every one is below `limit`; NaN is not.
    fn below(self, limit: f64) -> bool;
}

impl Real for f64 {
    #[inline(always)]
    fn splat(value: f64) -> f64 {
        value
    }

    #[inline(always)]
    fn fma<const FMA: bool>(self, b: f64, c: f64) -> f64 {
        simd::fma::<FMA>(self, b, c)
    }

    #[inline(always)]
    fn ln(self) -> f64 {
        f64::ln(self)
    }

    #[inline(always)]
    fn inverse_root(self, limit: f64) -> f64 {
        if self > limit { 1.0 / self.sqrt() } else { 0.0 }
    }

    #[inline(always)]
    fn below(self, limit: f64) -> bool {
        self < limit
    }
}

/// How many numbers go side by side.
pub(super) const LANES: usize = 8;

/// Numbers side by side: one recursion for as many sets of parameters, at hardly the cost of one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Lanes(pub [f64; LANES]);

macro_rules! lanewise {
    ($trait:ident, $method:ident, $op:tt) => {
        impl $trait for Lanes {
            type Output = Lanes;

            #[inline(always)]
            fn $method(mut self, other: Lanes) -> Lanes {
                for (own, other) in self.0.iter_mut().zip(&other.0) {
                    *own $op other;
                }
                self
            }
        }
    };
}
lanewise!(Add, add, +=);
lanewise!(Sub, sub, -=);
lanewise!(Mul, mul, *=);
lanewise!(Div, div, /=);

impl Neg for Lanes {
    type Output = Lanes;

    #[inline(always)]
    fn neg(mut self) -> Lanes {
        for own in &mut self.0 {
            *own = -*own;
        }
        self
    }
}

impl Real for Lanes {
    #[inline(always)]
    fn splat(value: f64) -> Lanes {
        Lanes([value; LANES])
    }

    #[inline(always)]
    fn fma<const FMA: bool>(self, b: Lanes, mut c: Lanes) -> Lanes {
        // A closure might be compiled by itself, and then for the oldest machine.
        for ((sum, a), b) in c.0.iter_mut().zip(&self.0).zip(&b.0) {
            *sum = simd::fma::<FMA>(*a, *b, *sum);
        }
        c
    }

    #[inline(always)]
    fn ln(self) -> Lanes {
        Lanes(self.0.map(f64::ln))
    }

    #[inline(always)]
    fn inverse_root(mut self, limit: Lanes) -> Lanes {
        for (own, limit) in self.0.iter_mut().zip(&limit.0) {
            *own = own.inverse_root(*limit);
        }
        self
    }

    #[inline(always)]
    fn below(self, limit: f64) -> bool {
        self.0.iter().all(|&v| v < limit)
    }
}

//! Numbers and bundles of numbers that the same arithmetic runs on.
//!
//! Owns: both. Does not own: what is computed.

use std::array::from_fn;
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
            fn $method(self, other: Lanes) -> Lanes {
                Lanes(from_fn(|i| self.0[i] $op other.0[i]))
            }
        }
    };
}
lanewise!(Add, add, +);
lanewise!(Sub, sub, -);
lanewise!(Mul, mul, *);
lanewise!(Div, div, /);

impl Neg for Lanes {
    type Output = Lanes;

    #[inline(always)]
    fn neg(self) -> Lanes {
        Lanes(self.0.map(|v| -v))
    }
}

impl Real for Lanes {
    #[inline(always)]
    fn splat(value: f64) -> Lanes {
        Lanes([value; LANES])
    }

    #[inline(always)]
    fn fma<const FMA: bool>(self, b: Lanes, c: Lanes) -> Lanes {
        Lanes(from_fn(|i| simd::fma::<FMA>(self.0[i], b.0[i], c.0[i])))
    }

    #[inline(always)]
    fn ln(self) -> Lanes {
        Lanes(self.0.map(f64::ln))
    }

    #[inline(always)]
    fn inverse_root(self, limit: Lanes) -> Lanes {
        Lanes(from_fn(|i| self.0[i].inverse_root(limit.0[i])))
    }

    #[inline(always)]
    fn below(self, limit: f64) -> bool {
        self.0.iter().all(|&v| v < limit)
    }
}

//! Numbers of twice as many digits.
//!
//! Owns: their arithmetic. Does not own: what needs so many (`stationary`, `fit`).
//!
//! Each is the sum of two numbers, of which the second is what rounding left out of the first (Dekker 1971, A
//! floating-point technique for extending the available precision).

use std::ops::Add;
use std::ops::Div;
use std::ops::Mul;
use std::ops::Neg;
use std::ops::Sub;

use crate::math::statespace::real::Real;

/// 2²⁷ + 1: cuts 53 bits in two halves.
const CUT: f64 = 134_217_729.0;

/// Some 32 digits of a number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Double<T> {
    pub(super) high: T,
    low: T,
}

impl<T: Real> Double<T> {
    #[inline(always)]
    pub(super) fn of(high: T) -> Double<T> {
        Double { high, low: T::splat(0.0) }
    }

    /// The sum of two numbers, exactly.
    #[inline(always)]
    fn sum(a: T, b: T) -> Double<T> {
        let high = a + b;
        let of_b = high - a;
        Double { high, low: (a - (high - of_b)) + (b - of_b) }
    }

    /// The same where the first is the larger.
    #[inline(always)]
    fn carried(a: T, b: T) -> Double<T> {
        let high = a + b;
        Double { high, low: b - (high - a) }
    }

    /// The product of two numbers, exactly.
    #[inline(always)]
    fn product<const FMA: bool>(a: T, b: T) -> Double<T> {
        let high = a * b;
        if FMA {
            return Double { high, low: a.fma::<FMA>(b, -high) };
        }
        let halves = |x: T| {
            let cut = T::splat(CUT) * x;
            let upper = cut - (cut - x);
            [upper, x - upper]
        };
        let ([a, rest_a], [b, rest_b]) = (halves(a), halves(b));
        Double { high, low: ((a * b - high) + a * rest_b + rest_a * b) + rest_a * rest_b }
    }

    #[inline(always)]
    fn times<const FMA: bool>(self, other: Double<T>) -> Double<T> {
        let Double { high, low } = Double::product::<FMA>(self.high, other.high);
        let low = self.high.fma::<FMA>(other.low, self.low.fma::<FMA>(other.high, low));
        Double::carried(high, low)
    }
}

impl<T: Real> Add for Double<T> {
    type Output = Double<T>;

    #[inline(always)]
    fn add(self, other: Double<T>) -> Double<T> {
        let Double { high, low } = Double::sum(self.high, other.high);
        Double::carried(high, low + (self.low + other.low))
    }
}

impl<T: Real> Neg for Double<T> {
    type Output = Double<T>;

    #[inline(always)]
    fn neg(self) -> Double<T> {
        Double { high: -self.high, low: -self.low }
    }
}

impl<T: Real> Sub for Double<T> {
    type Output = Double<T>;

    #[inline(always)]
    fn sub(self, other: Double<T>) -> Double<T> {
        self + -other
    }
}

impl<T: Real> Mul for Double<T> {
    type Output = Double<T>;

    #[inline(always)]
    fn mul(self, other: Double<T>) -> Double<T> {
        self.times::<false>(other)
    }
}

impl<T: Real> Div for Double<T> {
    type Output = Double<T>;

    #[inline(always)]
    fn div(self, other: Double<T>) -> Double<T> {
        let first = self.high / other.high;
        let left = self - other * Double::of(first);
        let second = left.high / other.high;
        let left = left - other * Double::of(second);
        Double::carried(first, second) + Double::of(left.high / other.high)
    }
}

impl<T: Real> Real for Double<T> {
    #[inline(always)]
    fn splat(value: f64) -> Double<T> {
        Double::of(T::splat(value))
    }

    #[inline(always)]
    fn fma<const FMA: bool>(self, b: Double<T>, c: Double<T>) -> Double<T> {
        self.times::<FMA>(b) + c
    }

    /// As many digits as its size has without this.
    #[inline(always)]
    fn ln(self) -> Double<T> {
        Double::sum(self.high.ln(), self.low / self.high)
    }

    #[inline(always)]
    fn inverse_root(self, limit: Double<T>) -> Double<T> {
        // One step of Newton's, which leaves a zero what it is.
        let root = Double::of(self.high.inverse_root(limit.high));
        let half = T::splat(0.5);
        let off = Double::splat(1.0) - self * root * root;
        root + Double::of(root.high * off.high * half)
    }

    #[inline(always)]
    fn below(self, limit: f64) -> bool {
        self.high.below(limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twice_as_many_digits_are_right() {
        let third = Double::<f64>::splat(1.0) / Double::splat(3.0);
        let seventh = Double::<f64>::splat(1.0) / Double::splat(7.0);
        let off = |number: Double<f64>, wanted: f64| (number - Double::splat(wanted)).high.abs();
        assert!(off(third + third + third, 1.0) < 1e-31);
        assert!(off(seventh * Double::splat(21.0) * third, 1.0) < 1e-31);
        assert!(off(third - third * seventh * Double::splat(7.0), 0.0) < 1e-31);
        let product = Double::product::<false>(0.1, 0.3);
        assert_eq!(product, Double { high: 0.1 * 0.3, low: 0.1f64.mul_add(0.3, -(0.1 * 0.3)) });
        let two = Double::<f64>::splat(2.0);
        let root = two.inverse_root(Double::splat(0.0));
        assert!(off(root * root * two, 1.0) < 1e-31);
        assert_eq!(two.inverse_root(Double::splat(3.0)), Double::splat(0.0));
        let e = 1.0f64.exp();
        assert!((Double { high: e, low: 1e-17 }.ln().high - 1.0).abs() < 1e-15);
    }
}

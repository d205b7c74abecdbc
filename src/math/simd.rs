//! Arithmetic compiled for the widest instructions that the machine has, chosen at run time.
//!
//! Owns: the choice. Does not own: the arithmetic, which is plain code that the compiler vectorises.

/// A piece of arithmetic worth compiling twice. Its body, and all that it calls, has to be
/// `#[inline(always)]`, or else it stays compiled for the oldest machine.
pub trait Kernel {
    /// What comes out.
    type Output;

    /// Does it. `FMA` says whether [`fma`] is one instruction.
    fn run<const FMA: bool>(self) -> Self::Output;
}

/// Runs `kernel` with AVX2 and FMA where the machine has them.
pub fn widest<K: Kernel>(kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        #[allow(unsafe_code, reason = "the instructions were asked for, one line above")]
        // SAFETY: the machine has both features that the function is compiled for.
        return unsafe { avx2(kernel) };
    }
    kernel.run::<{ cfg!(target_arch = "aarch64") }>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<true>()
}

/// A piece of arithmetic in `f32`, with the rule of [`Kernel`] for its body.
pub trait Wide {
    /// What comes out.
    type Output;

    /// Does it. A register holds `LANES` numbers (16, 8 or 4), and `FMA` says whether [`fma32`] is
    /// one instruction.
    fn run<const LANES: usize, const FMA: bool>(self) -> Self::Output;
}

/// Runs `kernel` with AVX-512, or AVX2 and FMA, where the machine has them.
#[inline]
pub fn widest_f32<K: Wide>(kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("fma") {
            #[allow(unsafe_code, reason = "the instructions were asked for, one line above")]
            // SAFETY: the machine has both features that the function is compiled for.
            return unsafe { avx512_f32(kernel) };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            #[allow(unsafe_code, reason = "the instructions were asked for, one line above")]
            // SAFETY: the machine has both features that the function is compiled for.
            return unsafe { avx2_f32(kernel) };
        }
    }
    kernel.run::<4, { cfg!(target_arch = "aarch64") }>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,fma")]
fn avx512_f32<K: Wide>(kernel: K) -> K::Output {
    kernel.run::<16, true>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2_f32<K: Wide>(kernel: K) -> K::Output {
    kernel.run::<8, true>()
}

/// As [`fma`], in `f32`.
#[inline(always)]
pub fn fma32<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// `a·b + c`, rounded once where that is one instruction.
#[inline(always)]
pub fn fma<const FMA: bool>(a: f64, b: f64, c: f64) -> f64 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Dot<'a>(&'a [f64], &'a [f64]);

    impl Kernel for Dot<'_> {
        type Output = f64;

        #[inline(always)]
        fn run<const FMA: bool>(self) -> f64 {
            self.0.iter().zip(self.1).fold(0.0, |sum, (a, b)| fma::<FMA>(*a, *b, sum))
        }
    }

    #[test]
    fn both_ways_agree() {
        let a: Vec<f64> = (0..100).map(|i| f64::from(i).sin()).collect();
        let b: Vec<f64> = (0..100).map(|i| f64::from(i).cos()).collect();
        let plain = Dot(&a, &b).run::<false>();
        assert!((widest(Dot(&a, &b)) - plain).abs() < 1e-12);
    }
}

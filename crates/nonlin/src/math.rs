//! The primitives: each algorithm once, over any register of f64, or of f32 with tables.
//!
//! Four classes of accuracy. `narrow` serves results that are rounded to f32: about 2^-33
//! relative, in plain f64 arithmetic, which leaves 0.002 ULP of f32 beside the final
//! rounding. `full` serves f64 results: it carries what a step rounds off as a second number
//! where the budget of 2 ULP needs it. `paired` serves f32 results in f32 arithmetic that way,
//! everywhere, to about 2^-27. `whole` serves results of half types: one f32, good to 2^-21.

#[allow(clippy::approx_constant, clippy::excessive_precision, reason = "generated")]
pub(crate) mod coefficients;
pub(crate) mod full;
pub(crate) mod narrow;
pub(crate) mod paired;
pub(crate) mod table;
#[allow(
    clippy::approx_constant,
    clippy::excessive_precision,
    clippy::unreadable_literal,
    reason = "generated"
)]
pub(crate) mod tables;
#[rustfmt::skip]
#[allow(clippy::approx_constant, clippy::excessive_precision, reason = "generated")]
pub(crate) mod tables_f64;
#[cfg(feature = "half")]
pub(crate) mod whole;

use crate::simd::Lanes;
pub(crate) use crate::simd::ROUND;

/// `c[0] + c[1] x + ...` by Horner's rule.
#[inline(always)]
pub(crate) fn poly<V: Lanes, const N: usize>(x: V, c: &[V::Elem; N]) -> V {
    let mut y = V::splat(c[N - 1]);
    let mut i = N - 1;
    while i > 0 {
        i -= 1;
        y = y.mul_add(x, V::splat(c[i]));
    }
    y
}

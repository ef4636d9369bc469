//! Powers of two that are applied last, in registers of f64.
//!
//! Results that can underflow come with one ([`Jet::k`](super::Jet::k)). It is 0 unless `e^x` is outside
//! 2^-937 .. 2^937, which is a cold branch here and where such powers come from.

use crate::simd::{Lanes64, ROUND};

/// `x 2^k`; a cold branch where `k` is not 0.
#[inline(always)]
pub(crate) fn finish<V: Lanes64>(x: V, k: V) -> V {
    if V::any(k.abs().gt(V::splat(0.0))) {
        core::hint::cold_path();
        return scale2(x, k);
    }
    x
}

/// `x 2^k factor`, where the product of the first two may be subnormal; a cold branch where `k` is not 0.
#[inline(always)]
pub(crate) fn finish_times<V: Lanes64>(x: V, k: V, factor: V) -> V {
    if V::any(k.abs().gt(V::splat(0.0))) {
        core::hint::cold_path();
        let (half, rest) = pow2_halves(k);
        return (x * half * factor) * rest;
    }
    x * factor
}

/// `2^k` as a product of two powers, each within range, for an integer `-2040 < k < 2040`.
#[inline(always)]
pub(crate) fn pow2_halves<V: Lanes64>(k: V) -> (V, V) {
    let round = V::splat(ROUND);
    let half = k.mul_add(V::splat(0.5), round);
    let rest = (k - (half - round)) + round;
    let one = V::splat(1.0);
    (one.add_exponent(half), one.add_exponent(rest))
}

/// `x 2^k`, rounded once even where the result is subnormal.
///
/// Such a result is put together from integers: multiplications that underflow are slow.
#[inline(always)]
pub(crate) fn scale2<V: Lanes64>(x: V, k: V) -> V {
    let (zero, round) = (V::splat(0.0), V::splat(ROUND));
    // In units of the least number; below 2^52 of them the result is subnormal.
    let unit = (k + V::splat(1074.0)).max(V::splat(-1000.0)).min(V::splat(1000.0));
    let units = x.abs() * V::splat(1.0).add_exponent(unit + round);
    let least_normal = V::splat(4_503_599_627_370_496.0); // 2^52
    let units = V::select(V::splat(-74.0).gt(k), units, least_normal);
    let small = least_normal.gt(units);
    // Their number, rounded, in the low bits; then the exponent is taken off.
    let rounded = V::select(small, units, zero) + least_normal;
    let subnormal = rounded.add_exponent(V::splat(ROUND - 1075.0)).copysign(x);
    let (half, rest) = pow2_halves(k);
    V::select(small, subnormal, (V::select(small, zero, x) * half) * rest)
}

/// `2^k (d + d_lo)`, in one number where `k` is not 0.
#[inline(always)]
pub(crate) fn scale_sum<V: Lanes64>(k: V, d: V, d_lo: V) -> (V, V) {
    let zero = V::splat(0.0);
    let done = k.abs().gt(zero);
    (V::select(done, scale2(d + d_lo, k), d), V::select(done, zero, d_lo))
}

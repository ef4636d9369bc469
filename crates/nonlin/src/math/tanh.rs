//! The hyperbolic tangent.

use super::Jet;
use super::compensated::{recip, reciprocal_error, times_corrected, twice_away};
use super::power::f64_lanes::{Exp, minus_one};
use super::power::f64_to_f32::{LOWEST, exp_parts};
use super::range::{self, IN_TABLE};
use super::scale::scale_sum;
use super::tables::{TANH, TANH_SLOPE};
use super::tail::{Tail, tail};
use crate::simd::{Lanes32, Lanes64};

/// From here on tanh is 1.
pub(crate) const TANH_LIMIT_FROM: f32 = 9.04;

/// Up to here the table of the slope of tanh reaches.
pub(crate) const TANH_TABLE_END: f32 = 10.01;

#[cfg(feature = "half")]
super::table::shortened!(over: centred(TANH), f16 6 in 2, bf16 5 in 2);
#[cfg(feature = "half")]
super::table::shortened!(slope: centred(TANH_SLOPE), f16 8 in 3, bf16 7 in 2);

/// For results that are rounded to f32.
#[inline(always)]
pub(crate) fn f64_to_f32<V: Lanes64>(x: V) -> Jet<V> {
    let (one, two) = (V::splat(1.0), V::splat(2.0));
    let (s, p) = exp_parts((-(x.abs() + x.abs())).max(V::splat(LOWEST)));
    let w = s.mul_add(p, s); // e^-2|x|
    let m = s.mul_add(p, s - one); // e^-2|x| - 1
    let r = recip(m + two);
    let v = (m * r).copysign(x);
    let r2 = r + r;
    let d = w * r2 * r2;
    Jet::register(v, d, -(two * v * d))
}

/// For f64 results: at `x + lo`. `KEEP_SCALE`, the power of two is that of the slope, and the value is not
/// right where it is not 0.
#[inline(always)]
pub(crate) fn f64_lanes<V: Lanes64, const KEEP_SCALE: bool>(x: V, lo: Option<V>) -> Jet<V> {
    let (one, two, no_low_part) = (V::splat(1.0), V::splat(2.0), V::splat(-0.0));
    // With m = e^-2|x| - 1: -m / (2 + m).
    let a = x.abs();
    let e = Exp::fine(-(a + a), twice_away(x, lo));
    let (m, m_lo) = minus_one(e);
    let (b, b_lo) = two.quick_two_sum(m);
    let b_lo = b_lo + m_lo;
    let q = m / b;
    let rest = V::residual(m, q, b) + (-q).mul_add(b_lo, m_lo);
    // 1 / b = (1 - q) / 2
    let v = rest.mul_add(V::splat(-0.5).mul_add(q, V::splat(0.5)), q).copysign(x);
    // The slope: 4 w / (1 + w)^2 with w = e^-2|x|.
    let y = one / b;
    let c = reciprocal_error(b, b_lo, y);
    let y2 = y + y;
    let (z, z_lo) = times_corrected(e.rounded(), no_low_part, y2, c);
    let (mut d, mut d_lo) = times_corrected(z, z_lo, y2, c);
    let mut k = V::splat(0.0);
    if e.far {
        core::hint::cold_path();
        if KEEP_SCALE {
            k = e.k;
        } else {
            (d, d_lo) = scale_sum(e.k, d, d_lo);
        }
    }
    Jet { v, v_lo: no_low_part, d, d_lo, dd: -(two * v * d), k }
}

/// For f32 results, in registers of f32. `KEEP_SCALE`, the power of two is that of the slope, and the value is
/// not right where it is not 0.
#[inline(always)]
pub(crate) fn f32_tabled<V: Lanes32, const RANGE: u8, const KEEP_SCALE: bool>(x: V) -> Jet<V> {
    let zero = V::splat(0.0);
    let v = f32_tabled_value::<V, RANGE>(x);
    let t = x.abs();
    let far = t.gt(V::splat(TANH_TABLE_END));
    let some = RANGE != IN_TABLE && V::any(far);
    let (mut end, mut k) = ((x, x), zero);
    if some {
        core::hint::cold_path();
        // 4 w - 8 w^2 with w = e^-2|x|
        let Tail { w, square, k: apart, .. } = tail::<V, RANGE>(t + t);
        let four = V::splat(4.0);
        (end, k) = ((four * w.0, four * (w.1 - (square + square))), apart);
        if !KEEP_SCALE {
            (end, k) = (range::scale_sum::<V, RANGE>(end, apart), zero);
        }
        if V::all(far) {
            return jet(v, end, k);
        }
    }
    let mut d = TANH_SLOPE.at(t);
    if some {
        d = (V::select(far, end.0, d.0), V::select(far, end.1, d.1));
        k = V::select(far, k, zero);
    }
    jet(v, d, k)
}

/// Value, slope as a sum of two numbers, and the second derivative that follows from them.
#[inline(always)]
fn jet<V: Lanes32>(v: V, (d, d_lo): (V, V), k: V) -> Jet<V> {
    Jet { v, v_lo: V::splat(-0.0), d, d_lo, dd: V::splat(-2.0) * v * d, k }
}

/// For f32 results: the value, rounded.
#[inline(always)]
pub(crate) fn f32_tabled_value<V: Lanes32, const RANGE: u8>(x: V) -> V {
    // x times tanh(x) / x, up to where it is 1. At 0 the rest is not negative: the sign stays.
    let end = V::splat(TANH_LIMIT_FROM);
    let c = if RANGE == IN_TABLE { x } else { x.min(end).max(-end) };
    let (base, rest) = TANH.at(c.abs());
    c.mul_add(base, c * rest)
}

/// For results of half types.
#[cfg(feature = "half")]
#[inline(always)]
pub(crate) fn f32_for_half<V: Lanes32, const BF16: bool>(x: V) -> Jet<V> {
    let t = x.abs();
    let v = x * over::<V, BF16>(t);
    let d = slope::<V, BF16>(t);
    Jet::register(v, d, V::splat(-2.0) * v * d)
}

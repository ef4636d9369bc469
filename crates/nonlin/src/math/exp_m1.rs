//! `e^x - 1`.

use super::Jet;
use super::compensated::{expand, two_prod};
use super::power::f32_tabled::exp;
use super::power::f64_lanes::{Exp, minus_one};
use super::power::f64_to_f32::{LOWEST, exp_parts};
use super::range::IN_TABLE;
use super::scale::scale_sum;
use super::tables::EXPM1;
use crate::simd::{Lanes32, Lanes64};

/// From minus this on `e^x - 1` is -1.
pub(crate) const EXPM1_TABLE_END: f32 = 17.4;

#[cfg(feature = "half")]
super::table::shortened!(over: centred(EXPM1), f16 6 in 2, bf16 5 in 2);

/// For results that are rounded to f32.
#[inline(always)]
pub(crate) fn f64_to_f32<V: Lanes64>(x: V) -> Jet<V> {
    let (s, p) = exp_parts(x.max(V::splat(LOWEST)).min(V::splat(-LOWEST)));
    let e = s.mul_add(p, s);
    Jet::register(s.mul_add(p, s - V::splat(1.0)).copysign(x), e, e)
}

/// For f64 results: at `x + lo`.
#[inline(always)]
pub(crate) fn f64_lanes<V: Lanes64>(x: V, lo: Option<V>) -> Jet<V> {
    let zero = V::splat(0.0);
    let e = Exp::fine(x, lo);
    let (mut v, mut v_lo) = minus_one(e);
    let (mut d, mut d_lo) = (e.rounded(), e.rest());
    if e.far {
        core::hint::cold_path();
        (d, d_lo) = scale_sum(e.k, d, d_lo);
        let large = e.k.gt(zero);
        (v, v_lo) = (V::select(large, d, v), V::select(large, zero, v_lo));
        // An infinity has no rest.
        d_lo = V::select(V::splat(f64::INFINITY).gt(d), d_lo, zero);
    }
    Jet { v, v_lo, d, d_lo, dd: d, k: zero }
}

/// For f32 results, in registers of f32. For `x <= 0` alone: `x` times `(1 - e^x) / -x`.
#[inline(always)]
pub(crate) fn f32_tabled<V: Lanes32, const RANGE: u8>(x: V) -> Jet<V> {
    let c = if RANGE == IN_TABLE { x } else { x.max(V::splat(-EXPM1_TABLE_END)) };
    let e = expand(exp(-c, V::splat(0.0)));
    let (h, l) = EXPM1.at(-c);
    let (v, v_lo) = two_prod(c, h);
    let v_lo = c.mul_add(l, v_lo);
    // Of tiny numbers the low part would be subnormal.
    let tiny = V::splat(1e-12).gt(x.abs());
    let (v, v_lo) = (V::select(tiny, x, v), V::select(tiny, V::splat(-0.0), v_lo));
    Jet { v, v_lo, d: e.0, d_lo: e.1, dd: e.0, k: V::splat(0.0) }
}

/// For f32 results: `e^x - 1` for `x <= 0`, rounded once.
#[inline(always)]
pub(crate) fn f32_tabled_value<V: Lanes32, const RANGE: u8>(x: V) -> V {
    let x = if RANGE == IN_TABLE { x } else { x.max(V::splat(-EXPM1_TABLE_END)) };
    let (h, l) = EXPM1.at(-x);
    x.mul_add(h, x * l)
}

/// For results of half types. For `x <= 0` alone.
#[cfg(feature = "half")]
#[inline(always)]
pub(crate) fn f32_for_half<V: Lanes32, const BF16: bool>(x: V) -> Jet<V> {
    let e = super::power::f32_for_half::exp(-x, V::splat(0.0));
    Jet::register(f32_for_half_value::<V, BF16>(x), e, e)
}

/// For results of half types: `e^x - 1` for `x <= 0`.
#[cfg(feature = "half")]
#[inline(always)]
pub(crate) fn f32_for_half_value<V: Lanes32, const BF16: bool>(x: V) -> V {
    x * over::<V, BF16>(-x)
}

//! `e^x`.

use super::Jet;
use super::compensated::expand;
use super::power::f32_tabled::exp_within;
use super::power::f64_lanes::Exp;
use super::power::f64_to_f32::{LOWEST, exp_parts};
use crate::simd::{Lanes32, Lanes64};

/// For results that are rounded to f32.
#[inline(always)]
pub(crate) fn f64_to_f32<V: Lanes64>(x: V) -> Jet<V> {
    let (s, p) = exp_parts(x.max(V::splat(LOWEST)).min(V::splat(-LOWEST)));
    let e = s.mul_add(p, s);
    Jet::register(e, e, e)
}

/// For f64 results: at `x + lo`.
#[inline(always)]
pub(crate) fn f64_lanes<V: Lanes64>(x: V, lo: Option<V>) -> Jet<V> {
    let e = Exp::new(x, lo);
    let (w, w_lo) = (e.rounded(), e.rest());
    Jet { v: w, v_lo: w_lo, d: w, d_lo: w_lo, dd: w, k: e.k }
}

/// For f32 results, in registers of f32. For `x <= 0` alone: others, which are not looked at, would make
/// subnormal numbers.
#[inline(always)]
pub(crate) fn f32_tabled<V: Lanes32, const RANGE: u8>(x: V) -> Jet<V> {
    let (e, k) = exp_within::<V, RANGE>(-x.min(V::splat(0.0)));
    let (v, v_lo) = expand(e);
    Jet { v, v_lo, d: v, d_lo: v_lo, dd: v, k }
}

/// For results of half types.
#[cfg(feature = "half")]
#[inline(always)]
pub(crate) fn f32_for_half<V: Lanes32>(x: V) -> Jet<V> {
    let e = super::power::f32_for_half::exp(-x, V::splat(0.0));
    Jet::register(e, e, e)
}

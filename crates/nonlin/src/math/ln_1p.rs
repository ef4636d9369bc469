//! `ln(1 + u)` for `0 <= u <= 1`, as `2 atanh(s)` with `s = u / (2 + u)`.

use super::coefficients::{LN2_HI, LN2_LO, LOG_FULL, LOG_NARROW};
use super::compensated::{divide, recip};
use super::polynomial::poly;
use crate::simd::Lanes64;

/// For results that are rounded to f32.
#[inline(always)]
pub(crate) fn f64_to_f32<V: Lanes64>(u: V) -> V {
    let s = u * recip(u + V::splat(2.0));
    let v = s * s;
    let s2 = s + s;
    (s2 * v).mul_add(poly(v, &LOG_NARROW), s2)
}

/// For f64 results: of `u + u_lo`, as a sum of two numbers.
#[inline(always)]
pub(crate) fn f64_lanes<V: Lanes64>(u: V, u_lo: V) -> (V, V) {
    let (d, d_lo) = V::splat(2.0).quick_two_sum(u);
    let (s, s_lo) = divide(u, u_lo, d, d_lo + u_lo, V::splat(1.0) / d);
    let v = s * s;
    let s2 = s + s;
    s2.quick_two_sum((s2 * v).mul_add(poly(v, &LOG_FULL), s_lo + s_lo))
}

/// `g + g_lo + k ln 2` as a sum of two numbers, for integers `0 <= k <= 1024` and `0 <= g <= 1`.
#[inline(always)]
pub(crate) fn plus_ln2<V: Lanes64>(k: V, g: V, g_lo: V) -> (V, V) {
    let (s, e) = (k * V::splat(LN2_HI)).two_sum(g);
    s.quick_two_sum(e + k.mul_add(V::splat(LN2_LO), g_lo))
}

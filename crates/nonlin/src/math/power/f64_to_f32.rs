//! Powers of e in registers of f64, for results that are rounded to f32: about 2^-37 relative.
//!
//! Exponents stay within f64's normal range, since an f32 result needs no more than 2^-150.

use crate::math::coefficients::{EXP_NARROW, LN2, LOG2_E};
use crate::math::polynomial::poly;
use crate::simd::{Lanes64, ROUND};

/// `e^x` below this is 2^-1010: nothing, for f32, but still a normal f64.
pub(crate) const LOWEST: f64 = -700.0;

/// `2^k` and `p` with `e^x = 2^k (1 + p)`, for `|x| <= 700`.
#[inline(always)]
pub(crate) fn exp_parts<V: Lanes64>(x: V) -> (V, V) {
    let t = x.mul_add(V::splat(LOG2_E), V::splat(ROUND));
    let k = t - V::splat(ROUND);
    let r = k.mul_add(V::splat(-LN2), x);
    let p = (r * r).mul_add(poly(r, &EXP_NARROW), r);
    (V::splat(1.0).add_exponent(t), p)
}

/// `e^x` for `x <= 0`.
#[inline(always)]
pub(crate) fn exp_neg<V: Lanes64>(x: V) -> V {
    let x = x.max(V::splat(LOWEST));
    let t = x.mul_add(V::splat(LOG2_E), V::splat(ROUND));
    let k = t - V::splat(ROUND);
    let r = k.mul_add(V::splat(-LN2), x);
    let m = (r * r).mul_add(poly(r, &EXP_NARROW), r) + V::splat(1.0);
    m.add_exponent(t)
}

//! Primitives for results that are rounded to f32: plain f64 arithmetic, about 2^-33 relative.
//!
//! All of them are built from `w = e^-|x|`, which neither overflows nor cancels, and one
//! reciprocal. Exponents stay within f64's normal range, since an f32 result needs no more
//! than 2^-150.

use super::coefficients::{
    CDF_NARROW_DEN, CDF_NARROW_NUM, EXP_NARROW, INV_SQRT_2PI, LN2, LOG_NARROW, LOG2_E,
};
use super::{ROUND, poly};
use crate::real::{F64ToF32, Jet, Prim};
use crate::simd::Lanes64;

/// `e^x` below this is 2^-1010: nothing, for f32, but still a normal f64.
const LOWEST: f64 = -700.0;

/// `2^k` and `p` with `e^x = 2^k (1 + p)`, for `|x| <= 700`.
#[inline(always)]
fn exp_parts<V: Lanes64>(x: V) -> (V, V) {
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

/// `1 / d` to 2^-47, for `d` within the range of f32: f32 division, then one Newton step.
#[inline(always)]
pub(crate) fn recip<V: Lanes64>(d: V) -> V {
    let y = d.recip_f32();
    let e = (-d).mul_add(y, V::splat(1.0));
    y.mul_add(e, y)
}

/// `ln(1 + u)` for `0 <= u <= 1`: `2 atanh(u / (2 + u))`.
#[inline(always)]
pub(crate) fn ln_1p<V: Lanes64>(u: V) -> V {
    let s = u * recip(u + V::splat(2.0));
    let v = s * s;
    let s2 = s + s;
    (s2 * v).mul_add(poly(v, &LOG_NARROW), s2)
}

/// The sigmoid and its derivatives, from `w = e^-|x|`.
#[inline(always)]
fn sigmoid<V: Lanes64>(x: V, w: V) -> (V, V, V) {
    let one = V::splat(1.0);
    let r = recip(one + w);
    let wr = w * r;
    let v = V::select(x.gt(V::splat(0.0)), r, wr);
    let d = wr * r;
    (v, d, -(d * ((one - w) * r).copysign(x)))
}

/// The primitive `p` at `x`. (Nothing here may call itself: what is recursive is not inlined,
/// and a register type outside its target function is a call per operation.)
#[inline(always)]
pub(crate) fn jet<V: Lanes64>(x: V, p: Prim) -> Jet<F64ToF32<V>> {
    let one = V::splat(1.0);
    let zero = V::splat(0.0);
    let two = V::splat(2.0);
    let (v, d, dd) = match p {
        Prim::Exp => {
            let (s, p) = exp_parts(x.max(V::splat(LOWEST)).min(V::splat(-LOWEST)));
            let e = s.mul_add(p, s);
            (e, e, e)
        }
        Prim::ExpM1 => {
            let (s, p) = exp_parts(x.max(V::splat(LOWEST)).min(V::splat(-LOWEST)));
            let e = s.mul_add(p, s);
            (s.mul_add(p, s - one).copysign(x), e, e)
        }
        Prim::Sigmoid => sigmoid(x, exp_neg(-x.abs())),
        Prim::Tanh => {
            let (s, p) = exp_parts((-(x.abs() + x.abs())).max(V::splat(LOWEST)));
            let w = s.mul_add(p, s); // e^-2|x|
            let m = s.mul_add(p, s - one); // e^-2|x| - 1
            let r = recip(m + two);
            let v = (m * r).copysign(x);
            let r2 = r + r;
            let d = w * r2 * r2;
            (v, d, -(two * v * d))
        }
        Prim::Softplus => {
            let w = exp_neg(-x.abs());
            let (s, ds, _) = sigmoid(x, w);
            (x.max(zero) + ln_1p(w), s, ds)
        }
        Prim::Cdf => {
            let t = x.abs().min(V::splat(37.0));
            let e = exp_neg(t * t * V::splat(-0.5));
            let tail = e * poly(t, &CDF_NARROW_NUM) * recip(poly(t, &CDF_NARROW_DEN));
            let v = V::select(x.gt(zero), one - tail, tail);
            let d = e * V::splat(INV_SQRT_2PI.0);
            (v, d, -(t.copysign(x) * d))
        }
        Prim::TanhSoftplus => {
            let w = exp_neg(-x.abs());
            let positive = x.gt(zero);
            let small = (w + two) * w; // e^2x + 2 e^x for x <= 0
            let large = two.mul_add(w, one); // the same times e^-2x for x > 0
            let n = V::select(positive, large, small);
            let r = recip(n + V::select(positive, two * w * w, two));
            let w1 = w * (w + one);
            let four = V::splat(4.0);
            let d = four * w1 * V::select(positive, w, one) * r * r;
            let ratio = V::select(positive, one + w, w1) * r;
            let half = V::select(positive, one, w) * recip(one + w);
            (n * r, d, d * (one + half - four * ratio))
        }
    };
    Jet::new(F64ToF32(v), F64ToF32(d), F64ToF32(dd))
}

//! Primitives for f32 results in registers of f32: a value comes as a sum of two numbers.
//!
//! Twice the lanes of `narrow` for about half a unit in the last place less. Only where
//! multiply-add is fused, and only where results are normal numbers: a definition says
//! between which inputs ([`Route::Paired`](crate::activation::Route)), and everything beyond is
//! left to `narrow`.
//!
//! Nearly all of a result comes from a [`Table`] of a smooth, slowly varying function: the
//! sigmoid's tail, `tanh(x) / x`, the normal tail over its density. Where the result itself varies
//! over many powers of two it is multiplied by an exponential, which is a small table too. A
//! value that is 1 less a tail is exact where the base of the tail has no bits below 2^-24.

use super::tables::{
    EXP_REST, EXPM1, LN2_16_HI, LN2_16_LO, LOGISTIC, MILLS, PER_LN2, POWER, POWER_REST, ROOT,
    SIGMOID, SOFTPLUS, TANH, TANH_SLOPE, TANH_SOFTPLUS, TANH_SOFTPLUS_SLOPE,
};
use crate::math::coefficients::INV_SQRT_2PI;
use crate::real::{Jet, Paired, Prim};
use crate::simd::Lanes32;

/// Adding this to an integer `k` leaves `k` in the low bits.
const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23

/// Up to here the tables of exponential tails reach; beyond, powers of the exponential do.
const NEAR: f32 = 11.75;

/// `e^-LAST` is still a normal number.
const LAST: f32 = 87.3;

/// `a * b` as a product and what rounding it lost.
#[inline(always)]
pub(crate) fn two_prod<V: Lanes32>(a: V, b: V) -> (V, V) {
    let p = a * b;
    (p, a.mul_add(b, -p))
}

/// `a + b` as a sum and what rounding it lost.
#[inline(always)]
pub(crate) fn two_sum<V: Lanes32>(a: V, b: V) -> (V, V) {
    let s = a + b;
    let t = s - a;
    (s, (a - (s - t)) + (b - t))
}

/// `(m, q)` with `e^-p = m (1 + q)`, the first of 12 bits and `|q| < 0.025`, from `p` to an integer
/// number of sixteenths of ln 2: `u` is that integer plus `ROUND`, `r` what is left of `-p`.
#[inline(always)]
fn power<V: Lanes32>(u: V, r: V) -> (V, V) {
    let q = rest_of_power(r + u.lookup_short(&POWER_REST.0));
    (u.lookup_short(&POWER.0).add_shifted(u), q)
}

/// `(m, q)` with `e^-(p + e) = m (1 + q)`, for `-87 <= p <= 87.3`.
#[inline(always)]
fn exp<V: Lanes32>(p: V, e: V) -> (V, V) {
    let u = p.mul_add(V::splat(-PER_LN2), V::splat(ROUND));
    let k = u - V::splat(ROUND);
    let r = k.mul_add(V::splat(-LN2_16_HI), -p); // exact
    power(u, k.mul_add(V::splat(-LN2_16_LO), r) - e)
}

/// `(m, q)` with `e^-(t^2 / 2) = m (1 + q)`, for `|t| <= 13.2`.
#[inline(always)]
fn gauss<V: Lanes32>(t: V) -> (V, V) {
    let half = t * V::splat(-0.5);
    let u = (half * t).mul_add(V::splat(PER_LN2), V::splat(ROUND));
    let k = u - V::splat(ROUND);
    // Both products are exact, and so is the difference but for the last bits.
    let r = half.mul_add(t, k * V::splat(-LN2_16_HI));
    power(u, k.mul_add(V::splat(-LN2_16_LO), r))
}

/// `m (1 + q)` as a sum of two numbers.
#[inline(always)]
fn sum<V: Lanes32>((m, q): (V, V)) -> (V, V) {
    (m, m * q)
}

/// `m (1 + q)` times the sum of `b` and `b_lo`, where `m b` is exact.
#[inline(always)]
fn times<V: Lanes32>((m, q): (V, V), (b, b_lo): (V, V)) -> (V, V) {
    (m * b, m * q.mul_add(b + b_lo, b_lo))
}

/// `e^x - 1` for `x <= 0`, rounded once.
#[inline(always)]
pub(crate) fn exp_m1<V: Lanes32>(x: V) -> V {
    let x = x.max(V::splat(-18.0));
    let (h, l) = EXPM1.at(-x);
    x.mul_add(h, x * l)
}

/// What `e^x` is divided by when all terms of a softmax are: `2^i`, as [`exp_over`] takes it, for
/// `|i| < 2^17`.
#[inline(always)]
pub(crate) fn over(i: f32) -> f32 {
    ROUND - 16.0 * i
}

/// `(m, q)` with `e^x / 2^i = m (1 + q)`, the first of 12 bits, for `|x| <= 1100` and `x / ln 2 - i`
/// between -125 and 127. No difference of two numbers is taken, so nothing need be carried along.
#[inline(always)]
pub(crate) fn power_over<V: Lanes32>(x: V, over: V) -> (V, V) {
    let u = x.mul_add(V::splat(PER_LN2), over);
    let k = u - over;
    let r = k.mul_add(V::splat(-LN2_16_HI), x); // exact
    power(u, k.mul_add(V::splat(-LN2_16_LO), r))
}

/// `e^x / 2^i` to 0.6 units in the last place, where [`power_over`] takes `x`.
#[inline(always)]
pub(crate) fn exp_over<V: Lanes32>(x: V, over: V) -> V {
    let (m, q) = power_over(x, over);
    m.mul_add(q, m)
}

/// [`exp_over`] to 1.1 units, with one look-up.
#[inline(always)]
pub(crate) fn exp_over_short<V: Lanes32>(x: V, over: V) -> V {
    let u = x.mul_add(V::splat(PER_LN2), over);
    let k = u - over;
    let r = k.mul_add(V::splat(-LN2_16_LO), k.mul_add(V::splat(-LN2_16_HI), x));
    let m = u.lookup_short(&ROOT.0).add_shifted(u);
    m.mul_add(rest_of_power(r), m)
}

/// `e^r - 1`, for `|r|` up to a thirty-second of ln 2.
#[inline(always)]
fn rest_of_power<V: Lanes32>(r: V) -> V {
    let [c2, c3] = EXP_REST.map(V::splat);
    (r * r).mul_add(r.mul_add(c3, c2), r)
}

/// `tail` where `x <= 0`, else 1 less `tail`, if that is exact for its first part.
#[inline(always)]
fn reflect<V: Lanes32>(positive: V::Mask, tail: (V, V)) -> (V, V) {
    let one = V::splat(1.0);
    (V::select(positive, one - tail.0, tail.0), V::select(positive, -tail.1, tail.1))
}

#[inline(always)]
fn jet<V: Lanes32>(v: (V, V), d: (V, V), dd: V) -> Jet<Paired<V>> {
    Jet {
        v: Paired(v.0),
        d: Paired(d.0),
        dd: Paired(dd),
        v_lo: Paired(v.1),
        d_lo: Paired(d.1),
        k: Paired(V::splat(0.0)),
    }
}

/// The primitive `p` at `x`.
#[inline(always)]
pub(crate) fn at<V: Lanes32>(x: V, p: Prim) -> Jet<Paired<V>> {
    let zero = V::splat(0.0);
    let one = V::splat(1.0);
    let two = V::splat(2.0);
    // Nothing to add is -0, which leaves the sign of a zero.
    let nothing = V::splat(-0.0);
    match p {
        Prim::Exp => {
            let e = sum(exp(-x, zero));
            jet(e, e, e.0)
        }
        Prim::ExpM1 => {
            // For x <= 0 alone: x times (1 - e^x) / -x.
            let e = sum(exp(-x, zero));
            let x = x.max(V::splat(-18.0));
            let (h, l) = EXPM1.at(-x);
            let (v, v_lo) = two_prod(x, h);
            jet((v, x.mul_add(l, v_lo)), e, e.0)
        }
        Prim::Sigmoid => {
            let t = x.abs();
            let positive = x.gt(zero);
            let tail = SIGMOID.at(t.min(V::splat(NEAR)));
            let (mut v, mut v_lo) = reflect(positive, tail);
            // s (1 - s), from the tail alone.
            let a = one - tail.0;
            let (mut d, d_lo) = two_prod(tail.0, a);
            let mut d_lo = tail.1.mul_add((a - tail.0) - tail.1, d_lo);
            let far = t.gt(V::splat(NEAR));
            if V::any(far) {
                core::hint::cold_path();
                // w - w^2 with w = e^-|x|, and the slope w - 2 w^2.
                let (w, w_lo) = sum(exp(t.min(V::splat(LAST)), zero));
                let square = (w + w_lo) * (w + w_lo);
                let lo = w_lo - square;
                v = V::select(far, V::select(positive, one, w), v);
                v_lo = V::select(far, V::select(positive, -(w + lo), lo), v_lo);
                d = V::select(far, w, d);
                d_lo = V::select(far, lo - square, d_lo);
            }
            jet((v, v_lo), (d, d_lo), d * (one - (v + v)))
        }
        Prim::Tanh => {
            // x times tanh(x) / x, up to where it is 1.
            let end = V::splat(9.02);
            let c = x.min(end).max(-end);
            let (h, l) = TANH.at(c.abs());
            // The sum of two zeros may have lost the sign.
            let v = c.mul_add(h, c * l).copysign(c);
            let t = x.abs();
            let edge = V::splat(9.3);
            let (mut d, mut d_lo) = TANH_SLOPE.at(t.min(edge));
            let far = t.gt(edge);
            if V::any(far) {
                core::hint::cold_path();
                // 4 w - 8 w^2 with w = e^-2|x|
                let (w, w_lo) = sum(exp((t + t).min(V::splat(LAST)), zero));
                let four = V::splat(4.0);
                d = V::select(far, four * w, d);
                d_lo = V::select(far, four * (w_lo - two * (w * w)), d_lo);
            }
            jet((v, nothing), (d, d_lo), -(two * v * d))
        }
        Prim::Softplus => {
            // For x <= 0 alone.
            let t = -x;
            let (mut v, mut v_lo) = SOFTPLUS.at(t.min(V::splat(NEAR)));
            let far = t.gt(V::splat(NEAR));
            if V::any(far) {
                core::hint::cold_path();
                // w - w^2 / 2 with w = e^x
                let (w, w_lo) = sum(exp(t.min(V::splat(LAST)), zero));
                let whole = w + w_lo;
                v = V::select(far, w, v);
                v_lo = V::select(far, (whole * V::splat(-0.5)).mul_add(whole, w_lo), v_lo);
            }
            let j = sigmoid(x, nothing);
            Jet { v: Paired(v), v_lo: Paired(v_lo), d: j.v, d_lo: j.v_lo, dd: j.d, k: j.k }
        }
        Prim::TanhSoftplus => {
            let (low, high) = (V::splat(-8.9), V::splat(9.5));
            let c = x.max(low).min(high);
            let (mut v, mut v_lo) = TANH_SOFTPLUS.exact(c);
            let (mut d, mut d_lo) = TANH_SOFTPLUS_SLOPE.exact(c);
            let open = x.gt(high);
            d = V::select(open, zero, d);
            d_lo = V::select(open, zero, d_lo);
            let far = low.gt(x);
            if V::any(far) {
                core::hint::cold_path();
                // w - w^2 / 2 with w = e^x, and the slope w - w^2.
                let (w, w_lo) = sum(exp((-x).min(V::splat(LAST)), zero));
                let half_square = (w + w_lo) * (w + w_lo) * V::splat(0.5);
                let lo = w_lo - half_square;
                v = V::select(far, w, v);
                v_lo = V::select(far, lo, v_lo);
                d = V::select(far, w, d);
                d_lo = V::select(far, lo - half_square, d_lo);
            }
            // Half the slope of the slope's logarithm is not needed here: see `Function::curvature`.
            jet((v, v_lo), (d, d_lo), d)
        }
        Prim::Cdf => {
            // e^(-t^2/2) times the tail over it, up to where its square is a normal number.
            let t = x.abs().min(V::splat(13.1));
            let e = gauss(t);
            let (q, q_lo) = times(e, MILLS.at(t));
            let positive = x.gt(zero);
            let v = one - q;
            let v_lo = ((one - v) - q) - q_lo;
            let v = (V::select(positive, v, q), V::select(positive, v_lo, q_lo));
            // The density: its constant in 12 bits, and the rest.
            let c = V::splat(0.398_925_78);
            let rest = V::splat((INV_SQRT_2PI.0 - 0.398_925_781_25) as f32);
            let d = times(e, (c, rest));
            // Where its square is no normal number any more, there is no density.
            let open = x.abs().gt(V::splat(13.0));
            let d = (V::select(open, zero, d.0), V::select(open, zero, d.1));
            jet(v, d, -(x * d.0))
        }
    }
}

/// The sigmoid at `x + lo`, as good in the tail as near 0: `e^-|x|` times the sigmoid of `|x|`.
#[inline(always)]
pub(crate) fn sigmoid<V: Lanes32>(x: V, lo: V) -> Jet<Paired<V>> {
    let zero = V::splat(0.0);
    let one = V::splat(1.0);
    let t = x.abs();
    let t_lo = lo * one.copysign(x);
    let e = exp(t.min(V::splat(LAST)), t_lo);
    let end = V::splat(17.7);
    let (s, s_lo) = LOGISTIC.at(t.min(end));
    // Where the table ends it is 1.
    let s_lo = V::select(t.gt(end), zero, s_lo);
    let whole = s + s_lo;
    let s_lo = (-whole).mul_add(whole, whole).mul_add(t_lo, s_lo);
    let tail = times(e, (s, s_lo));
    let positive = x.gt(zero);
    let v = (V::select(positive, s, tail.0), V::select(positive, s_lo, tail.1));
    let (d, d_lo) = two_prod(tail.0, s);
    let d_lo = d_lo + tail.0.mul_add(s_lo, tail.1 * (s + s_lo));
    jet(v, (d, d_lo), d * (one - (v.0 + v.0)))
}

//! Primitives for f32 results in registers of f32: what a step rounds off is carried along
//! as a second number.
//!
//! Twice the lanes of `narrow` for about one unit in the last place less. Only where
//! multiply-add is fused, and only where results are normal numbers: a definition says
//! between which inputs ([`Route::Paired`](crate::activation::Route)), and everything beyond is
//! left to `narrow`. So arguments are clamped on one side only: above -87 nothing else is
//! needed, and what comes out below is not used.

use super::coefficients::{EXP_SINGLE, LN2_HI_SINGLE, LN2_LO_SINGLE, LOG_SINGLE, LOG2_E};
use super::{narrow, poly};
use crate::real::{Jet, Paired, Prim};
use crate::simd::Lanes32;

/// Adding this to an integer `k` leaves `k + 127` in the low bits: the exponent of `2^k`.
const ROUND: f32 = 12_583_039.0; // 1.5 * 2^23 + 127

/// `e^-END` is taken as `2^-127`, which is 0 here.
const END: f32 = 88.02;

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

/// `(2^k, r, q)` with `e^(x + lo) = 2^k (1 + r + q)` and `|q| < 0.2 |r|`; `2^-127` is 0.
#[inline(always)]
fn exp_parts<V: Lanes32>(x: V, lo: V) -> (V, V, V) {
    let t = x.mul_add(V::splat(LOG2_E as f32), V::splat(ROUND));
    let k = t - V::splat(ROUND);
    let r = k.mul_add(V::splat(-LN2_HI_SINGLE), x); // exact
    let c = k.mul_add(V::splat(-LN2_LO_SINGLE), lo);
    let z = r + c;
    // Estrin's scheme: half the latency of Horner's.
    let [c0, c1, c2, c3, c4, c5] = EXP_SINGLE.map(V::splat);
    let z2 = z * z;
    let top = z2.mul_add(c5.mul_add(z, c4), c3.mul_add(z, c2));
    (t.pow2(), r, z2.mul_add(z2.mul_add(top, c1.mul_add(z, c0)), c))
}

/// `1 + r + q` as a sum of two numbers, to 2^-26.
#[inline(always)]
fn one_plus<V: Lanes32>(r: V, q: V) -> (V, V) {
    let one = V::splat(1.0);
    let m = r + q;
    let h = one + m;
    (h, m - (h - one))
}

/// The same to 2^-28.
#[inline(always)]
fn one_plus_exact<V: Lanes32>(r: V, q: V) -> (V, V) {
    let one = V::splat(1.0);
    let m = r + q;
    let rest = (r - m) + q;
    let h = one + m;
    (h, (m - (h - one)) + rest)
}

/// `e^(x + lo)` for `-87 <= x <= 0`, to 0.9 units in the last place; 1 for 0.
#[inline(always)]
pub(crate) fn exp_neg<V: Lanes32>(x: V, lo: V) -> V {
    let (s, r, q) = exp_parts(x, lo);
    s * (V::splat(1.0) + (r + q))
}

/// What `1 / (d + d_lo)` is beyond `y = 1 / d`, in units of `y`.
#[inline(always)]
fn correction<V: Lanes32>(d: V, d_lo: V, y: V) -> V {
    (-d_lo).mul_add(y, (-d).mul_add(y, V::splat(1.0)))
}

/// The product of `a + a_lo` and `b (1 + c)`.
#[inline(always)]
fn times<V: Lanes32>(a: V, a_lo: V, b: V, c: V) -> (V, V) {
    let (p, e) = two_prod(a, b);
    (p, p.mul_add(c, a_lo.mul_add(b, e)))
}

/// The sigmoid and its derivatives.
#[inline(always)]
fn sigmoid<V: Lanes32>(x: V, lo: V) -> Jet<Paired<V>> {
    let one = V::splat(1.0);
    // e^-x, large or small: 1 / (1 + e^-x) is good on both sides.
    let (s, r, q) = exp_parts(-x.min(V::splat(END)), -lo);
    let (h, l) = one_plus_exact(r, q);
    let w = s * h;
    let d = w + one;
    let d_lo = s.mul_add(l, (w.max(one) - d) + w.min(one));
    let y = one / d;
    let c = correction(d, d_lo, y);
    // The slope: e^-x / (1 + e^-x)^2.
    let (z, z_lo) = times(w, s * l, y, c);
    let (e, e_lo) = times(z, z_lo, y, c);
    jet(y, y * c, e, e_lo, e * (z - y))
}

#[inline(always)]
fn jet<V: Lanes32>(v: V, v_lo: V, d: V, d_lo: V, dd: V) -> Jet<Paired<V>> {
    Jet {
        v: Paired(v),
        d: Paired(d),
        dd: Paired(dd),
        v_lo: Paired(v_lo),
        d_lo: Paired(d_lo),
        k: Paired(V::splat(0.0)),
    }
}

/// The primitive `p` at `x + lo`.
#[inline(always)]
pub(crate) fn jet_at<V: Lanes32>(x: V, lo: V, p: Prim) -> Jet<Paired<V>> {
    let one = V::splat(1.0);
    let two = V::splat(2.0);
    match p {
        Prim::Exp => {
            let (s, r, q) = exp_parts(x.max(V::splat(-END)), lo);
            let (h, l) = one_plus(r, q);
            let (v, v_lo) = (s * h, s * l);
            jet(v, v_lo, v, v_lo, v)
        }
        Prim::ExpM1 => {
            let (s, r, q) = exp_parts(x.max(V::splat(-END)), lo);
            // (2^k - 1) + 2^k (r + q), the first sum exact.
            let m = r + q;
            let top = s - one;
            let v = s.mul_add(m, top);
            let v_lo = s.mul_add((r - m) + q, s.mul_add(m, top - v));
            let (h, l) = one_plus(r, q);
            jet(v, v_lo, s * h, s * l, s * h)
        }
        Prim::Sigmoid => sigmoid(x, lo),
        Prim::Tanh => {
            // With w = e^-2|x|: (1 - w) / (1 + w), both from w - 1.
            let back = one.copysign(x);
            let a = x.abs();
            let (s, r, q) = exp_parts(-(a + a).min(V::splat(END)), -((lo + lo) * back));
            let top = one - s;
            let top_lo = (one - top) - s;
            let m = r + q;
            let n = (-s).mul_add(m, top);
            let n_lo = (-s).mul_add((r - m) + q, (-s).mul_add(m, top - n)) + top_lo;
            let d = two - n;
            let d_lo = ((two - d) - n) - n_lo;
            let y = one / d;
            let v = n * y;
            let rest = (-v).mul_add(d_lo, (-v).mul_add(d, n) + n_lo);
            // The slope: 4 w / (1 + w)^2.
            let c = correction(d, d_lo, y);
            let (h, l) = one_plus(r, q);
            let y2 = y + y;
            let (z, z_lo) = times(s * h, s * l, y2, c);
            let (e, e_lo) = times(z, z_lo, y2, c);
            let v = v * back;
            jet(v, rest * y * back, e, e_lo, -(two * v * e))
        }
        Prim::Softplus => {
            let a = x.abs();
            let (s, r, q) = exp_parts(-a.min(V::splat(END)), -(lo * one.copysign(x)));
            let (h, l) = one_plus(r, q);
            let (w, w_lo) = (s * h, s * l);
            // ln(1 + w) = 2 atanh(w / (2 + w)).
            let d = w + two;
            let d_lo = (w + (two - d)) + w_lo;
            let y = one / d;
            let g = w * y;
            let rest = (-g).mul_add(d_lo, (-g).mul_add(d, w) + w_lo);
            let u = g * g;
            let g2 = g + g;
            let g_lo = (g2 * u).mul_add(poly(u, &LOG_SINGLE), (rest + rest) * y);
            let (v, v_lo) = two_sum(x.max(V::splat(0.0)), g2);
            let j = sigmoid(x, lo);
            Jet { v: Paired(v), v_lo: Paired(v_lo + g_lo), d: j.v, d_lo: j.v_lo, dd: j.d, k: j.k }
        }
        Prim::TanhSoftplus => {
            // With w = e^x: n / (n + 2) for n = w (w + 2). Beyond 12 it is 1.
            let (s, r, q) = exp_parts(x.min(V::splat(12.0)), lo);
            let (h, l) = one_plus_exact(r, q);
            let (w, w_lo) = (s * h, s * l);
            let b = w + two;
            let b_lo = (w + (two - b)) + w_lo;
            let (n, e) = two_prod(w, b);
            let n_lo = w.mul_add(b_lo, w_lo.mul_add(b, e));
            let (d, d_lo) = two_sum(n, two);
            let d_lo = d_lo + n_lo;
            let y = one / d;
            let v = n * y;
            let rest = (-v).mul_add(d_lo, (-v).mul_add(d, n) + n_lo);
            // The slope: 4 w (1 + w) / (n + 2)^2.
            let c = correction(d, d_lo, y);
            let f = w + one;
            let f_lo = (w + (one - f)) + w_lo;
            let y2 = y + y;
            let (z, z_lo) = times(w, w_lo, y2, c);
            let (f, f_lo) = times(f, f_lo, y2, c);
            let (t, t_lo) = two_prod(z, f);
            let t_lo = z.mul_add(f_lo, z_lo.mul_add(f, t_lo));
            let far = x.gt(V::splat(12.0));
            let t = V::select(far, V::splat(0.0), t);
            let t_lo = V::select(far, V::splat(0.0), t_lo);
            jet(v, rest * y, t, t_lo, t * (one + w / (w + one) - two * f))
        }
        Prim::Cdf => {
            let (a, b) = x.widen();
            let (a, b) = (narrow::jet(a, p), narrow::jet(b, p));
            jet(
                V::narrow(a.v.0, b.v.0),
                V::splat(-0.0),
                V::narrow(a.d.0, b.d.0),
                V::splat(-0.0),
                V::narrow(a.dd.0, b.dd.0),
            )
        }
    }
}

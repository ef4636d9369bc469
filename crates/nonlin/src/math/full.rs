//! Primitives for f64 results: what a step rounds off is carried along as a second number.
//!
//! The error budget is 2 ULP for a value and 4 for a derivative, after a definition has
//! multiplied and added; so a primitive must be good to about 0.55 ULP, and its derivative
//! to about 1. Results that can underflow come with a power of two ([`Jet::k`]) that is
//! applied last.

use super::coefficients::{
    CDF_CENTRE, CDF_FULL, EXP_FULL, INV_SQRT_2PI, LN2_HI, LN2_LO, LOG_FULL, LOG2_E,
};
use super::{ROUND, poly};
use crate::real::{Full, Jet, Prim};
use crate::simd::Lanes64;

/// Below this e^x - 1 and tanh x are x, to less than half a unit.
const TINY: f64 = 1e-17;

/// `e^(x + lo) = 2^k (1 + r + q)` with `|q| < 0.2 |r|`, and `k + ROUND`; for `|x| <= 1500`.
#[inline(always)]
fn exp_parts<V: Lanes64>(x: V, lo: V) -> (V, V, V) {
    let t = x.mul_add(V::splat(LOG2_E), V::splat(ROUND));
    let k = t - V::splat(ROUND);
    let hi = x - k * V::splat(LN2_HI); // exact: the product has at most 43 bits
    let c = k * V::splat(LN2_LO);
    let r = hi - c;
    let r_lo = ((hi - r) - c) + lo;
    let p = r * r * poly(r, &EXP_FULL);
    (r, p + r_lo.mul_add(r + p, r_lo), t)
}

/// `e^(x + lo)` as `(hi + lo) 2^k` and `k + ROUND`; for `|x| <= 1500`.
#[inline(always)]
fn exp_pair<V: Lanes64>(x: V, lo: V) -> (V, V, V) {
    let (r, q, t) = exp_parts(x, lo);
    let (hi, rest) = V::splat(1.0).quick_two_sum(r);
    let (hi, lo) = hi.quick_two_sum(rest + q);
    (hi, lo, t)
}

/// `2^k` from `k + ROUND`, 0 where `k < -1000`.
#[inline(always)]
fn pow2<V: Lanes64>(t: V) -> V {
    let small = V::splat(ROUND - 1000.0);
    let s = V::splat(1.0).add_exponent(t.max(small));
    V::select(small.gt(t), V::splat(0.0), s)
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
#[inline(always)]
pub(crate) fn scale2<V: Lanes64>(x: V, k: V) -> V {
    let (half, rest) = pow2_halves(k);
    (x * half) * rest
}

/// `x (m + m_lo)`, rounded once; infinite where `x` is.
#[inline(always)]
pub(crate) fn times_pair<V: Lanes64>(x: V, m: V, m_lo: V) -> V {
    let finite = x.max(V::splat(-f64::MAX)).min(V::splat(f64::MAX));
    x.mul_add(m, finite * m_lo)
}

/// `(n + n_lo) / (d + d_lo)` as a quotient and its rounding error; `y` is `1 / d`.
#[inline(always)]
fn divide<V: Lanes64>(n: V, n_lo: V, d: V, d_lo: V, y: V) -> (V, V) {
    let q = n * y;
    let rest = V::residual(n, q, d) + n_lo - q * d_lo;
    q.quick_two_sum(rest * y)
}

/// The product of two sums, as a sum.
#[inline(always)]
fn multiply<V: Lanes64>(a: (V, V), b: (V, V)) -> (V, V) {
    let (p, e) = a.0.two_prod(b.0);
    p.quick_two_sum(e + (a.0 * b.1 + a.1 * b.0))
}

/// `ln(1 + u + u_lo)` for `0 <= u <= 1`: `2 atanh(s)` with `s = u / (2 + u)`.
#[inline(always)]
pub(crate) fn ln_1p<V: Lanes64>(u: V, u_lo: V) -> (V, V) {
    let (d, d_lo) = V::splat(2.0).quick_two_sum(u);
    let (s, s_lo) = divide(u, u_lo, d, d_lo + u_lo, V::splat(1.0) / d);
    let v = s * s;
    let s2 = s + s;
    s2.quick_two_sum((s2 * v).mul_add(poly(v, &LOG_FULL), s_lo + s_lo))
}

/// The parts of the sigmoid that others share.
struct Logistic<V> {
    /// `e^-|x| = (e + e_lo) 2^k`.
    e: V,
    e_lo: V,
    /// `k + ROUND`.
    t: V,
    /// `2^k`.
    s: V,
    /// `1 + e^-|x| = d + d_lo`.
    d: V,
    d_lo: V,
    /// `1 / d`.
    y: V,
}

#[inline(always)]
fn logistic<V: Lanes64>(x: V, lo: V) -> Logistic<V> {
    let one = V::splat(1.0);
    let (e, e_lo, t) = exp_pair((-x.abs()).max(V::splat(-1400.0)), -(lo * one.copysign(x)));
    let s = pow2(t);
    let (d, d_lo) = one.quick_two_sum(e * s);
    let d_lo = d_lo + e_lo * s;
    Logistic { e, e_lo, t, s, d, d_lo, y: one / d }
}

/// The sigmoid and its derivatives.
#[inline(always)]
fn sigmoid<V: Lanes64>(x: V, l: &Logistic<V>) -> Jet<Full<V>> {
    let one = V::splat(1.0);
    let zero = V::splat(0.0);
    let positive = x.gt(zero);
    let n = V::select(positive, one, l.e);
    let n_lo = V::select(positive, zero, l.e_lo);
    let (v, v_lo) = divide(n, n_lo, l.d, l.d_lo, l.y);
    // e / (1 + e)^2: twice divided.
    let (u, u_lo) = divide(l.e, l.e_lo, l.d, l.d_lo, l.y);
    let (d, d_lo) = divide(u, u_lo, l.d, l.d_lo, l.y);
    let k = l.t - V::splat(ROUND);
    let kd = V::select(positive, k, zero);
    let (d, d_lo) = (scale2(d, kd), scale2(d_lo, kd));
    let tanh_half = ((one - l.e * l.s) * l.y).copysign(x);
    full(v, v_lo, d, d_lo, -(d * tanh_half), V::select(positive, zero, k))
}

#[inline(always)]
fn full<V>(v: V, v_lo: V, d: V, d_lo: V, dd: V, k: V) -> Jet<Full<V>> {
    Jet { v: Full(v), d: Full(d), dd: Full(dd), v_lo: Full(v_lo), d_lo: Full(d_lo), k: Full(k) }
}

/// The primitive `p` at `x + lo`. (Nothing here may call itself: see `narrow::jet`.)
#[inline(always)]
pub(crate) fn jet<V: Lanes64>(x: V, lo: V, p: Prim) -> Jet<Full<V>> {
    let one = V::splat(1.0);
    let zero = V::splat(0.0);
    let two = V::splat(2.0);
    let round = V::splat(ROUND);
    match p {
        Prim::Exp => {
            let (e, e_lo, t) = exp_pair(x.max(V::splat(-1400.0)).min(V::splat(800.0)), lo);
            full(e, e_lo, e, e_lo, e, t - round)
        }
        Prim::ExpM1 => {
            // 2^(k-2) (1 + r + q) - 1/4, times 4: no overflow before the result's.
            let clamped = x.max(V::splat(-1400.0)).min(V::splat(800.0));
            let (e, e_lo, t) = exp_pair(clamped, lo);
            let (r, q, t_m) = exp_parts(clamped.max(V::splat(-45.0)).min(V::splat(709.9)), lo);
            let s = one.add_exponent(t_m - two);
            let (a, a_lo) = (s - V::splat(0.25)).two_sum(s * r);
            let (v, v_lo) = a.quick_two_sum(s.mul_add(q, a_lo));
            let huge = clamped.gt(V::splat(709.9));
            let v = V::select(huge, V::splat(f64::INFINITY), v * V::splat(4.0));
            let v_lo = V::select(huge, zero, v_lo * V::splat(4.0));
            // Near 0 the scaling by 1/4 would round subnormal numbers; there e^x - 1 is x.
            let tiny = V::splat(TINY).gt(x.abs());
            let v = V::select(tiny, x, v);
            let v_lo = V::select(tiny, lo, v_lo);
            let k = t - round;
            let d = scale2(e, k);
            full(v, v_lo, d, scale2(e_lo, k), d, zero)
        }
        Prim::Sigmoid => sigmoid(x, &logistic(x, lo)),
        Prim::Tanh => {
            let u = (x.abs() + x.abs()).min(V::splat(1400.0));
            let u_lo = (lo + lo) * one.copysign(x);
            let (r, q, t) = exp_parts(-u, -u_lo);
            let s = pow2(t);
            // m = e^-2|x| - 1
            let (a, a_lo) = (s - one).two_sum(s * r);
            let (m, m_lo) = a.quick_two_sum(s.mul_add(q, a_lo));
            let (d2, d2_lo) = two.quick_two_sum(m);
            let y = one / d2;
            let (v, v_lo) = divide(m, m_lo, d2, d2_lo + m_lo, y);
            let back = one.copysign(x);
            let tiny = V::splat(TINY).gt(x.abs());
            let v = V::select(tiny, x, -(v * back));
            let v_lo = V::select(tiny, lo, -(v_lo * back));
            // 4 e / (1 + e)^2
            let (e, rest) = one.quick_two_sum(r);
            let (w, w_lo) = divide(e, rest + q, d2, d2_lo + m_lo, y);
            let (d, d_lo) = divide(w, w_lo, d2, d2_lo + m_lo, y);
            let k = t - round;
            let four = V::splat(4.0);
            let (d, d_lo) = (scale2(d * four, k), scale2(d_lo * four, k.max(V::splat(-1000.0))));
            let d_lo = V::select(k.gt(V::splat(-960.0)), d_lo, zero);
            full(v, v_lo, d, d_lo, -(two * v * d), zero)
        }
        Prim::Softplus => {
            let l = logistic(x, lo);
            let (g, g_lo) = ln_1p(l.e * l.s, l.e_lo * l.s);
            let positive = x.gt(zero);
            let top = V::select(positive, x, zero);
            let top_lo = V::select(positive, lo, zero);
            let (v, rest) = top.two_sum(g);
            let rest = V::select(V::splat(f64::MAX).gt(top), rest + (g_lo + top_lo), zero);
            let (v, v_lo) = v.quick_two_sum(rest);
            let v_lo = V::select(V::splat(f64::MAX).gt(v), v_lo, zero);
            // Below k = -1000 the value is e^x itself.
            let k = l.t - round;
            let far = V::select(positive, zero, one);
            let v = V::select(V::splat(-900.0).gt(k * far), scale2(l.e, k), v);
            let s = sigmoid(x, &l);
            full(v, v_lo, scale2(s.v.0, s.k.0), scale2(s.v_lo.0, s.k.0), scale2(s.d.0, s.k.0), zero)
        }
        Prim::Cdf => {
            let t = x.abs().min(V::splat(52.5));
            let t_lo = lo * one.copysign(x);
            let (h, h_lo) = t.two_prod(t);
            let minus_half = V::splat(-0.5);
            let (e, e_lo, te) = exp_pair(h * minus_half, (h_lo + (t + t) * t_lo) * minus_half);
            // The tail beyond 1: (1 + 2t) times what is left of it is a polynomial in (t - 7) / (t + 7).
            let seven = V::splat(7.0);
            let q = (t - seven) / (t + seven);
            let f = horner_last(q, (V::splat(CDF_FULL[0]), zero), &CDF_FULL[1..]);
            let (d, d_lo) = one.two_sum(t + t);
            let n = multiply((e, e_lo), f);
            let (tail, tail_lo) = divide(n.0, n.1, d, d_lo, one / d);
            let k = te - round;
            let s = pow2(te);
            let positive = x.gt(zero);
            let (c, c_lo) = one.quick_two_sum(-(tail * s));
            let v = V::select(positive, c, tail);
            let v_lo = V::select(positive, c_lo - tail_lo * s, tail_lo);
            // The centre: 1/2 + x (phi(0) + x^2 P(x^2)).
            let peak = (V::splat(INV_SQRT_2PI.0), V::splat(INV_SQRT_2PI.1));
            let r = horner_last(h, peak, &CDF_CENTRE);
            let (m, m_lo) = multiply((x, lo), r);
            let (m, rest) = V::splat(0.5).quick_two_sum(m);
            let central = one.gt(t);
            let v = V::select(central, m, v);
            let v_lo = V::select(central, rest + m_lo, v_lo);
            let k = V::select(central, zero, k);
            let density = multiply((e, e_lo), peak);
            // Only the tail on the left keeps 2^k apart.
            let scale = V::select(central, s, V::select(positive, s, one));
            let (d, d_lo) = (density.0 * scale, density.1 * scale);
            full(v, v_lo, d, d_lo, -(t.copysign(x) * d), V::select(positive, zero, k))
        }
        Prim::TanhSoftplus => {
            // With w = e^-|x|: (1 + 2w) / (1 + 2w + 2w^2), or w (2 + w) / (2 + 2w + w^2).
            let l = logistic(x, lo);
            let (w, w_lo) = (l.e * l.s, l.e_lo * l.s);
            let positive = x.gt(zero);
            let (a, a_lo) = two.quick_two_sum(w);
            let a_lo = a_lo + w_lo;
            let small = multiply((a, a_lo), (l.e, l.e_lo)); // n 2^-k
            let (b, b_lo) = one.quick_two_sum(w + w);
            let n = V::select(positive, b, small.0);
            let n_lo = V::select(positive, b_lo + (w_lo + w_lo), small.1);
            let (g, g_lo) = multiply((w, w_lo), (w, w_lo));
            let top = V::select(positive, b, two);
            let top_lo = V::select(positive, n_lo, zero);
            let add = V::select(positive, g + g, small.0 * l.s);
            let add_lo = V::select(positive, g_lo + g_lo, small.1 * l.s);
            let (m, m_lo) = top.quick_two_sum(add);
            let m_lo = m_lo + (top_lo + add_lo);
            let y = one / m;
            let (v, v_lo) = divide(n, n_lo, m, m_lo, y);
            // 4 w (1 + w) / m^2, once more times w for x > 0.
            let (c, c_lo) = multiply((l.e, l.e_lo), (l.d, l.d_lo));
            let (c, c_lo) = (c * V::splat(4.0), c_lo * V::splat(4.0));
            let wide = multiply((c * l.s, c_lo * l.s), (w, w_lo));
            let c = V::select(positive, wide.0, c);
            let c_lo = V::select(positive, wide.1, c_lo);
            let (d, d_lo) = divide(c, c_lo, m, m_lo, y);
            let (d, d_lo) = divide(d, d_lo, m, m_lo, y);
            let ratio = V::select(positive, l.d, w * l.d) * y;
            let half = V::select(positive, one, w) * l.y;
            let dd = d * (one + half - V::splat(4.0) * ratio);
            full(v, v_lo, d, d_lo, dd, V::select(positive, zero, l.t - round))
        }
    }
}

/// `c0 + x (c[0] + x (c[1] + ...))` as a sum of two numbers, the last step exact.
#[inline(always)]
fn horner_last<V: Lanes64>(x: V, (c0, c0_lo): (V, V), c: &[f64]) -> (V, V) {
    let mut y = V::splat(c[c.len() - 1]);
    let mut i = c.len() - 1;
    while i > 0 {
        i -= 1;
        y = y.mul_add(x, V::splat(c[i]));
    }
    let (p, e) = x.two_prod(y);
    let (s, rest) = c0.two_sum(p);
    (s, rest + (e + c0_lo))
}

/// `e^(x + lo)` for `x <= 0`, rounded once.
#[inline(always)]
pub(crate) fn exp_neg<V: Lanes64>(x: V, lo: V) -> V {
    let (e, e_lo, t) = exp_pair(x.max(V::splat(-1400.0)), lo);
    scale2(e + e_lo, t - V::splat(ROUND))
}

/// `g + g_lo + k ln 2` as a sum of two numbers, for integers `0 <= k <= 1024` and `0 <= g <= 1`.
#[inline(always)]
pub(crate) fn plus_ln2<V: Lanes64>(k: V, g: V, g_lo: V) -> (V, V) {
    let (s, e) = (k * V::splat(LN2_HI)).two_sum(g);
    s.quick_two_sum(e + k.mul_add(V::splat(LN2_LO), g_lo))
}

//! Sums, products and quotients that keep what they round off: a number is the sum of two registers.
//!
//! Sums and products of two f64 registers are methods of [`Lanes64`].

#![allow(clippy::manual_map, reason = "a closure loses the instructions of its level")]

use crate::simd::{Lanes32, Lanes64};

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

/// `m (1 + q)`, as powers of e come, as a sum of two numbers.
#[inline(always)]
pub(crate) fn expand<V: Lanes32>((m, q): (V, V)) -> (V, V) {
    (m, m * q)
}

/// `m (1 + q)` times `b + b_lo` as a sum of two numbers, where `m b` is exact.
#[inline(always)]
pub(crate) fn expand_times<V: Lanes32>((m, q): (V, V), (b, b_lo): (V, V)) -> (V, V) {
    (m * b, m * q.mul_add(b + b_lo, b_lo))
}

/// `x (m + m_lo)`, rounded once; infinite where `x` is.
#[inline(always)]
pub(crate) fn times_pair<V: Lanes64>(x: V, m: V, m_lo: V) -> V {
    let finite = x.max(V::splat(-f64::MAX)).min(V::splat(f64::MAX));
    x.mul_add(m, finite * m_lo)
}

/// `(n + n_lo) / (d + d_lo)` as a quotient and its rounding error; `y` is `1 / d`.
#[inline(always)]
pub(crate) fn divide<V: Lanes64>(n: V, n_lo: V, d: V, d_lo: V, y: V) -> (V, V) {
    let q = n * y;
    let rest = V::residual(n, q, d) + n_lo - q * d_lo;
    q.quick_two_sum(rest * y)
}

/// The product of two sums, as a sum.
#[inline(always)]
pub(crate) fn multiply<V: Lanes64>(a: (V, V), b: (V, V)) -> (V, V) {
    let (p, e) = a.0.two_prod(b.0);
    p.quick_two_sum(e + (a.0 * b.1 + a.1 * b.0))
}

/// What `1 / (d + d_lo)` is beyond `y = 1 / d`, in units of `y`.
#[inline(always)]
pub(crate) fn reciprocal_error<V: Lanes64>(d: V, d_lo: V, y: V) -> V {
    (-y).mul_add(d_lo, V::residual(V::splat(1.0), y, d))
}

/// The product of `a + a_lo` and `b (1 + c)`, as a sum of two numbers.
#[inline(always)]
pub(crate) fn times_corrected<V: Lanes64>(a: V, a_lo: V, b: V, c: V) -> (V, V) {
    let (p, e) = a.two_prod(b);
    (p, p.mul_add(c, a_lo.mul_add(b, e)))
}

/// `1 / d` to 2^-47, for `d` within the range of f32: f32 division, then one Newton step.
#[inline(always)]
pub(crate) fn recip<V: Lanes64>(d: V) -> V {
    let y = d.recip_f32();
    let e = (-d).mul_add(y, V::splat(1.0));
    y.mul_add(e, y)
}

/// `lo` as a correction of `-|x|`.
#[inline(always)]
pub(crate) fn away<V: Lanes64>(x: V, lo: Option<V>) -> Option<V> {
    match lo {
        Some(lo) => Some(-(lo * V::splat(1.0).copysign(x))),
        None => None,
    }
}

/// `lo` as a correction of `-2 |x|`.
#[inline(always)]
pub(crate) fn twice_away<V: Lanes64>(x: V, lo: Option<V>) -> Option<V> {
    match away(x, lo) {
        Some(lo) => Some(lo + lo),
        None => None,
    }
}

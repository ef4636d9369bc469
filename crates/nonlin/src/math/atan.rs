//! The inverse tangent.
//!
//! `|x|` or its reciprocal is a quotient `a / b` between 0 and 1, and with `c` the next sixteenth
//! `atan(a / b) = atan(c) + atan(t)` for `t = (a - c b) / (b + c a)`, which is at most 1/31.

use super::Jet;
use super::coefficients::{ATAN_FULL, ATAN_NARROW, ATAN_TABLE, HALF_PI};
use super::compensated::{divide, recip};
use super::polynomial::poly;
use crate::simd::{Lanes64, ROUND};

/// From here on `pi / 2 - 1 / x` is `pi / 2`, as is its low part.
const END: f64 = 1e36;

/// `|x|` up to [`END`], whether it is above 1, `a`, `b`, and the sixteenth that is near `a / b`, with
/// its number in the low bits of a second one.
#[inline(always)]
fn quotient<V: Lanes64>(x: V) -> (V, V::Mask, V, V, V, V) {
    let one = V::splat(1.0);
    let size = x.abs().min(V::splat(END));
    let large = size.gt(one);
    let (a, b) = (V::select(large, one, size), V::select(large, size, one));
    // The last one is 15/16.
    let near = (a * b.recip_f32() * V::splat(16.0)).min(V::splat(15.0));
    let t = near + V::splat(ROUND);
    let c = (t - V::splat(ROUND)) * V::splat(1.0 / 16.0);
    (size, large, a, b, c, t)
}

/// For f64 results: at `x + lo`.
#[inline(always)]
pub(crate) fn f64_lanes<V: Lanes64>(x: V, lo: Option<V>) -> Jet<V> {
    let (one, zero) = (V::splat(1.0), V::splat(0.0));
    let (size, large, a, b, c, t) = quotient(x);
    // n = a - c b: the first difference is exact.
    let (p, p_lo) = c.two_prod(b);
    let (n, n_lo) = (a - p, -p_lo);
    let (q, q_lo) = c.two_prod(a);
    let (d, d_lo) = b.quick_two_sum(q);
    let (t1, t1_lo) = divide(n, n_lo, d, d_lo + q_lo, one / d);
    let v = t1 * t1;
    let bend = (t1 * v).mul_add(poly(v, &ATAN_FULL), t1_lo);
    let (base, base_lo) = V::lookup(&ATAN_TABLE, t);
    let (s, s_lo) = base.quick_two_sum(t1);
    let s_lo = s_lo + (base_lo + bend);
    // Above 1 it is pi / 2 less that.
    let (top, top_lo) = V::splat(HALF_PI.0).quick_two_sum(-s);
    let top_lo = top_lo + (V::splat(HALF_PI.1) - s_lo);
    let (v, v_lo) = V::select(large, top, s).quick_two_sum(V::select(large, top_lo, s_lo));
    let sign = one.copysign(x);
    let (v, mut v_lo) = (v.copysign(x), v_lo * sign);
    // The slope: 1 / (1 + x^2).
    let (h, h_lo) = size.two_prod(size);
    let (u, u_lo) = V::select(large, h, one).quick_two_sum(V::select(large, one, h));
    let u_lo = u_lo + h_lo;
    let d = one / u;
    let (mut d, mut d_lo) = (d, (-d).mul_add(u_lo, V::residual(one, d, u)) * d);
    if let Some(lo) = lo {
        let off = lo * (x.min(V::splat(END)).max(V::splat(-END)));
        v_lo = lo.mul_add(d, v_lo);
        d_lo = d_lo - (off + off) * d * d;
    }
    // A zero keeps its sign: nothing that is added to it is 0.
    v_lo = V::select(v.abs().gt(zero), v_lo, V::splat(-0.0));
    let far = x.abs().gt(V::splat(END));
    if V::any(far) {
        core::hint::cold_path();
        let y = one / x.abs();
        (d, d_lo) = (V::select(far, y * y, d), V::select(far, zero, d_lo));
    }
    let within = x.min(V::splat(1e150)).max(V::splat(-1e150));
    Jet { v, v_lo, d, d_lo, dd: -((within + within) * d * d), k: zero }
}

/// For results that are rounded to f32: to 2^-40.
#[inline(always)]
pub(crate) fn f64_to_f32<V: Lanes64>(x: V) -> Jet<V> {
    let (size, large, a, b, c, t) = quotient(x);
    let n = (-c).mul_add(b, a);
    let d = c.mul_add(a, b);
    let t1 = n * recip(d);
    let v = t1 * t1;
    let (base, _) = V::lookup(&ATAN_TABLE, t);
    let s = base + (t1 * v).mul_add(poly(v, &ATAN_NARROW), t1);
    let v = V::select(large, V::splat(HALF_PI.0) - s, s).copysign(x);
    let d = V::splat(1.0) / size.mul_add(size, V::splat(1.0));
    Jet::register(v, d, -((size + size).copysign(x) * d * d))
}

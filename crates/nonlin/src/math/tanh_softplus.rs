//! `tanh(ln(1 + e^x))`, the gate of Mish.

use super::Jet;
use super::compensated::{away, multiply, recip, reciprocal_error, times_corrected};
use super::power::f64_lanes::Exp;
use super::power::f64_to_f32::exp_neg;
#[cfg(feature = "half")]
use super::tables::TANH_SOFTPLUS;
use crate::simd::{Lanes32, Lanes64};

/// From here on it is 1 in f32.
pub(crate) const TANH_SOFTPLUS_OPEN: f32 = 9.12;

#[cfg(feature = "half")]
super::table::shortened!(over: centred(TANH_SOFTPLUS), f16 9 in 3, bf16 7 in 2);

/// For results that are rounded to f32.
#[inline(always)]
pub(crate) fn f64_to_f32<V: Lanes64>(x: V) -> Jet<V> {
    let (zero, one, two) = (V::splat(0.0), V::splat(1.0), V::splat(2.0));
    let w = exp_neg(-x.abs());
    let positive = x.gt(zero);
    let small = (w + two) * w; // e^2x + 2 e^x for x <= 0
    let large = two.mul_add(w, one); // (e^2x + 2 e^x) e^-2x for x > 0
    let n = V::select(positive, large, small);
    let r = recip(n + V::select(positive, two * w * w, two));
    let w1 = w * (w + one);
    let four = V::splat(4.0);
    let d = four * w1 * V::select(positive, w, one) * r * r;
    let ratio = V::select(positive, one + w, w1) * r;
    let half = V::select(positive, one, w) * recip(one + w);
    Jet::register(n * r, d, d * (one + half - four * ratio))
}

/// For f64 results: at `x + lo`.
#[inline(always)]
pub(crate) fn f64_lanes<V: Lanes64>(x: V, lo: Option<V>) -> Jet<V> {
    let (zero, one, two) = (V::splat(0.0), V::splat(1.0), V::splat(2.0));
    let no_low_part = V::splat(-0.0);
    // With w = e^-|x|: (1 + 2w) / (1 + 2w + 2w^2), or w (2 + w) / (2 + 2w + w^2).
    let e = Exp::new(-x.abs(), away(x, lo));
    let positive = x.gt(zero);
    let w = e.rounded();
    let u = e.unless_small(w); // beside a number of ordinary size
    let (a, a_lo) = two.quick_two_sum(u);
    let (b, b_lo) = one.quick_two_sum(u + u);
    let (s, r) = w.two_prod(V::select(positive, u + u, a));
    let r = w.mul_add(V::select(positive, zero, a_lo), r);
    let n = V::select(positive, b, s);
    let n_lo = V::select(positive, b_lo, r);
    let top = V::select(positive, b, two);
    let (m, m_lo) = top.quick_two_sum(e.unless_small(s));
    let m_lo = m_lo + (e.unless_small(r) + V::select(positive, b_lo, zero));
    let y = one / m;
    let v = n * y;
    let rest = V::residual(n, v, m) + (-v).mul_add(m_lo, n_lo);
    let v_lo = rest * y;
    // 4 w (1 + w) / m^2, once more times w for x > 0.
    let c = reciprocal_error(m, m_lo, y);
    let (f, f_lo) = one.quick_two_sum(u);
    let y2 = y + y;
    let (z, z_lo) = times_corrected(f, f_lo, y2, c);
    let (g, g_lo) = times_corrected(w, no_low_part, y2, c);
    let g_lo = V::select(positive, g_lo * u, g_lo);
    let (g, e2) = g.two_prod(V::select(positive, u, one));
    let g_lo = g_lo + e2;
    let (d, d_lo) = multiply((z, z_lo), (g, g_lo));
    let ratio = V::select(positive, one + u, u * (one + u)) * y;
    let half = V::select(positive, one, u) / (one + u);
    let dd = d * (one + half - V::splat(4.0) * ratio);
    let mut k = zero;
    if e.far {
        core::hint::cold_path();
        k = V::select(positive, zero, e.k);
    }
    Jet { v, v_lo, d, d_lo, dd, k }
}

/// For f32 results nobody computes it: Mish has a table of `x` times it, and one of that product's slope.
#[inline(always)]
pub(crate) fn f32_tabled<V: Lanes32>() -> Jet<V> {
    let (none, zero) = (V::splat(f32::NAN), V::splat(0.0));
    Jet { v: none, v_lo: zero, d: none, d_lo: zero, dd: none, k: zero }
}

/// For results of half types. On the right the table reaches to where it is 1. The derivatives are not needed:
/// Mish has a table of its slope.
#[cfg(feature = "half")]
#[inline(always)]
pub(crate) fn f32_for_half<V: Lanes32, const BF16: bool>(x: V) -> Jet<V> {
    let v = over::<V, BF16>(x.min(V::splat(TANH_SOFTPLUS_OPEN)));
    Jet::register(v, V::splat(f32::NAN), V::splat(f32::NAN))
}

//! Softplus, `ln(1 + e^x)`.

use super::compensated::{away, reciprocal_error, times_corrected};
use super::polynomial::estrin_from;
use super::power::f64_lanes::Exp;
use super::power::f64_to_f32::exp_neg;
use super::range::{ANY_X, IN_TABLE};
use super::scale::finish;
use super::sigmoid::SIGMOID_TABLE_END;
use super::tables::SOFTPLUS;
use super::tables_f64::{LOG_RATIO, LOG_RATIO_LO};
use super::tail::{Tail, lifted_tail, tail};
use super::{Jet, ln_1p, sigmoid};
use crate::simd::{Lanes32, Lanes64};

#[cfg(feature = "half")]
super::table::shortened!(over: centred(SOFTPLUS), f16 6 in 2, bf16 5 in 2);

/// For results that are rounded to f32.
#[inline(always)]
pub(crate) fn f64_to_f32<V: Lanes64>(x: V) -> Jet<V> {
    let w = exp_neg(-x.abs());
    let (s, ds, _) = sigmoid::parts(x, w);
    Jet::register(x.max(V::splat(0.0)) + ln_1p::f64_to_f32(w), s, ds)
}

/// For f64 results: at `x + lo`, as `max(x, 0) + ln(1 + e^-|x|)`.
#[inline(always)]
pub(crate) fn f64_lanes<V: Lanes64>(x: V, lo: Option<V>) -> Jet<V> {
    let zero = V::splat(0.0);
    let j = f64_lanes_negative(-x.abs(), away(x, lo));
    let (mut g, mut g_lo, mut k) = (j.v, j.v_lo, j.k);
    let positive = x.gt(zero);
    if V::any(k.abs().gt(zero)) {
        core::hint::cold_path();
        let gone = zero.gt(V::select(positive, k, zero));
        (g, g_lo) = (V::select(gone, zero, g), V::select(gone, zero, g_lo));
        k = V::select(positive, zero, k);
    }
    let top = x.max(zero);
    let v = top + g;
    let rest = (top.max(g) - v) + top.min(g);
    let rest = match lo {
        Some(lo) => rest + V::select(positive, lo, zero),
        None => rest,
    };
    let v_lo = V::select(V::splat(f64::MAX).gt(v), rest + g_lo, zero);
    let s = sigmoid::f64_lanes::<V, false>(x, lo);
    // What is left to be multiplied once `k` has been.
    let rest = s.k - k;
    Jet { v, v_lo, d: finish(s.v, rest), d_lo: finish(s.v_lo, rest), dd: finish(s.d, rest), k }
}

/// For f64 results: `ln(1 + e^(x + lo))` for `x <= 0`, as `w H(w)` with `w = e^x` and `H(w) = ln(1 + w) / w`.
#[inline(always)]
pub(crate) fn f64_lanes_negative<V: Lanes64>(x: V, lo: Option<V>) -> Jet<V> {
    let e = Exp::new(x, lo);
    let w = e.rounded();
    let u = e.unless_small(w);
    let q = u - V::splat(0.5);
    let z = q * estrin_from(1, q, &LOG_RATIO);
    let (v, v_lo) = e.times(V::splat(LOG_RATIO[0]), V::splat(LOG_RATIO_LO), z);
    // The slope: w / (1 + w).
    let (d, d_lo) = V::splat(1.0).quick_two_sum(u);
    let y = V::splat(1.0) / d;
    let c = reciprocal_error(d, d_lo, y);
    let (s, s_lo) = times_corrected(w, e.rest(), y, c);
    Jet { v, v_lo, d: s, d_lo: s_lo, dd: s * y, k: e.k }
}

/// For f32 results, in registers of f32. For `x <= 0` alone.
#[inline(always)]
pub(crate) fn f32_tabled<V: Lanes32, const RANGE: u8>(x: V) -> Jet<V> {
    let t = -x;
    if RANGE == ANY_X {
        // Nothing is multiplied that is not rounded.
        let d = sigmoid::f32_tabled_value::<V, RANGE>(x);
        let (v, v_lo) = rounded_tail(t);
        return Jet { v, v_lo, d, d_lo: V::splat(-0.0), dd: sigmoid::bend(d, d), k: V::splat(0.0) };
    }
    let j = sigmoid::f32_tabled::<V, RANGE, false>(x);
    let far = t.gt(V::splat(SIGMOID_TABLE_END));
    let some = RANGE != IN_TABLE && V::any(far);
    let mut end = (x, x);
    if some {
        core::hint::cold_path();
        // w - w^2 / 2 with w = e^x, and the exponent of the sigmoid
        let Tail { w, square, .. } = tail::<V, RANGE>(t);
        end = (w.0, square.mul_add(V::splat(-0.5), w.1));
        if V::all(far) {
            return Jet { v: end.0, v_lo: end.1, d: j.v, d_lo: j.v_lo, dd: j.d, k: j.k };
        }
    }
    let (mut v, mut v_lo) = SOFTPLUS.at(t);
    if some {
        v = V::select(far, end.0, v);
        v_lo = V::select(far, end.1, v_lo);
    }
    Jet { v, v_lo, d: j.v, d_lo: j.v_lo, dd: j.d, k: j.k }
}

/// `ln(1 + e^-t)` as a sum of two numbers, rounded to one far out.
#[inline(always)]
fn rounded_tail<V: Lanes32>(t: V) -> (V, V) {
    let far = t.gt(V::splat(SIGMOID_TABLE_END));
    let some = V::any(far);
    let mut end = (t, V::splat(-0.0));
    if some {
        core::hint::cold_path();
        let (m, q) = lifted_tail(t, 0.5);
        end.0 = m.mul_add(q, m).unscale_tail();
        if V::all(far) {
            return end;
        }
    }
    let near = SOFTPLUS.at(t);
    if some { (V::select(far, end.0, near.0), V::select(far, end.1, near.1)) } else { near }
}

/// For results of half types. For `x <= 0` alone.
#[cfg(feature = "half")]
#[inline(always)]
pub(crate) fn f32_for_half<V: Lanes32, const BF16: bool>(x: V) -> Jet<V> {
    let j = sigmoid::f32_for_half::<V, BF16>(x);
    Jet { v: over::<V, BF16>(-x), dd: j.d, d: j.v, ..j }
}

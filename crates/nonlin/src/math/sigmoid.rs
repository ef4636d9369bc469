//! The sigmoid, `1 / (1 + e^-x)`.

#![allow(clippy::manual_map, reason = "a closure loses the instructions of its level")]

use super::Jet;
use super::compensated::{recip, reciprocal_error, times_corrected, two_prod};
use super::power::f64_lanes::Exp;
use super::power::f64_to_f32::exp_neg;
use super::range::{self, IN_TABLE};
use super::scale::scale_sum;
use super::tables::SIGMOID;
use super::tail::{Tail, lifted_tail, tail};
use crate::simd::{Lanes32, Lanes64, TAIL_UNSCALE};

/// Up to here the tables of exponential tails reach; beyond, powers of the exponential do.
pub(crate) const SIGMOID_TABLE_END: f32 = 10.01;

#[cfg(feature = "half")]
super::table::shortened!(tail_over: below_half(SIGMOID), f16 6 in 2, bf16 5 in 2);

/// For results that are rounded to f32.
#[inline(always)]
pub(crate) fn f64_to_f32<V: Lanes64>(x: V) -> Jet<V> {
    let (v, d, dd) = parts(x, exp_neg(-x.abs()));
    Jet::register(v, d, dd)
}

/// The sigmoid, its slope and its second derivative, from `w = e^-|x|`.
#[inline(always)]
pub(super) fn parts<V: Lanes64>(x: V, w: V) -> (V, V, V) {
    let one = V::splat(1.0);
    let r = recip(one + w);
    let wr = w * r;
    let v = V::select(x.gt(V::splat(0.0)), r, wr);
    let d = wr * r;
    (v, d, -(d * ((one - w) * r).copysign(x)))
}

/// For f64 results: at `x + lo`. `KEEP_SCALE`, the power of two is that of the slope, also where the value has
/// another, and is not right.
#[inline(always)]
pub(crate) fn f64_lanes<V: Lanes64, const KEEP_SCALE: bool>(x: V, lo: Option<V>) -> Jet<V> {
    let (one, zero) = (V::splat(1.0), V::splat(0.0));
    // w = e^-x, large or small: 1 / (1 + w) is good on both sides.
    let lo = match lo {
        Some(lo) => Some(-lo),
        None => None,
    };
    let e = Exp::new(-x, lo);
    let w = e.rounded();
    let (mut unit, mut k) = (one, zero);
    if e.far {
        core::hint::cold_path();
        // Beside e^650 one is nothing.
        unit = V::select(e.k.gt(zero), zero, one);
        k = -e.k;
    }
    let u = e.unless_small(w);
    let d = unit + u;
    // Exact where w is the larger; elsewhere an error of 2^-53 in d is none in 1 / d.
    let d_lo = unit - (d - u);
    let y = one / d;
    let c = reciprocal_error(d, d_lo, y);
    // The slope: w / (1 + w)^2.
    let (z, z_lo) = times_corrected(w, V::splat(-0.0), y, c);
    let (mut s, mut s_lo) = times_corrected(z, z_lo, y, c);
    let y_lo = y * c;
    // The second derivative over the first, which far out is 1 or -1.
    let mut bend = (z - y) + (z_lo - y_lo);
    if e.far {
        core::hint::cold_path();
        bend = V::select(e.k.abs().gt(zero), one.copysign(-x), bend);
        if KEEP_SCALE {
            k = -e.k.abs();
        } else {
            (s, s_lo) = scale_sum(e.k.min(zero), s, s_lo);
            k = k.min(zero);
        }
    }
    Jet { v: y, v_lo: y_lo, d: s, d_lo: s_lo, dd: (s + s_lo) * bend, k }
}

/// For f32 results, in registers of f32. `KEEP_SCALE`, the power of two is that of the slope, also where
/// the value has another, and is not right.
#[inline(always)]
pub(crate) fn f32_tabled<V: Lanes32, const RANGE: u8, const KEEP_SCALE: bool>(x: V) -> Jet<V> {
    let (zero, half, one) = (V::splat(0.0), V::splat(0.5), V::splat(1.0));
    let t = x.abs();
    let far = t.gt(V::splat(SIGMOID_TABLE_END));
    let some = RANGE != IN_TABLE && V::any(far);
    let (mut end, mut end_d, mut k) = ((x, x), (x, x), zero);
    if some {
        core::hint::cold_path();
        // w - w^2 on the left, 1 less that on the right, and w - 2 w^2
        let Tail { w, square, beside_one, k: apart } = tail::<V, RANGE>(t);
        let lo = w.1 - square;
        let positive = x.gt(zero);
        end = (V::select(positive, one, w.0), V::select(positive, square - beside_one, lo));
        end_d = (w.0, lo - square);
        k = apart;
        if !KEEP_SCALE {
            // Only the tail on the left keeps its exponent apart.
            end_d = range::scale_sum::<V, RANGE>(end_d, V::select(positive, apart, zero));
            k = V::select(positive, zero, apart);
        }
        if V::all(far) {
            return jet(end, end_d, k);
        }
    }
    let (base, rest) = SIGMOID.at_linear_last(t);
    let sign = one.copysign(x);
    let mut v = (sign.mul_add(base, half), sign * rest);
    // (1/2 - s) (1/2 + s)
    let (d, d_lo) = two_prod(half - base, half + base);
    let mut d = (d, (-rest).mul_add((base + base) + rest, d_lo));
    if some {
        v = (V::select(far, end.0, v.0), V::select(far, end.1, v.1));
        d = (V::select(far, end_d.0, d.0), V::select(far, end_d.1, d.1));
        k = V::select(far, k, zero);
    }
    jet(v, d, k)
}

/// Value and slope, each as a sum of two numbers, and the second derivative that follows from them.
#[inline(always)]
fn jet<V: Lanes32>((v, v_lo): (V, V), (d, d_lo): (V, V), k: V) -> Jet<V> {
    Jet { v, v_lo, d, d_lo, dd: bend(v, d), k }
}

/// The second derivative of the sigmoid from value and first.
#[inline(always)]
pub(super) fn bend<V: Lanes32>(v: V, d: V) -> V {
    d * (V::splat(1.0) - (v + v))
}

/// For f32 results: the value, rounded.
#[inline(always)]
pub(crate) fn f32_tabled_value<V: Lanes32, const RANGE: u8>(x: V) -> V {
    let t = x.abs();
    let far = t.gt(V::splat(SIGMOID_TABLE_END));
    let some = RANGE != IN_TABLE && V::any(far);
    let mut end = x;
    if some {
        core::hint::cold_path();
        let (m, q) = lifted_tail(t, 1.0);
        let tail = m.mul_add(q, m);
        let right = tail.mul_add(V::splat(-TAIL_UNSCALE), V::splat(1.0));
        end = V::select(x.gt(V::splat(0.0)), right, tail.unscale_tail());
        if V::all(far) {
            return end;
        }
    }
    let (base, rest) = SIGMOID.at_linear_last(t);
    let sign = V::splat(1.0).copysign(x);
    let v = sign.mul_add(rest, sign.mul_add(base, V::splat(0.5)));
    if some { V::select(far, end, v) } else { v }
}

/// For results of half types. The tail, and 1 less that.
#[cfg(feature = "half")]
#[inline(always)]
pub(crate) fn f32_for_half<V: Lanes32, const BF16: bool>(x: V) -> Jet<V> {
    let tail = tail_over::<V, BF16>(x.abs());
    let v = reflected(x, tail);
    let d = (-tail).mul_add(tail, tail);
    Jet::register(v, d, bend(v, d))
}

/// `tail` where `x <= 0`, else 1 less `tail`.
#[cfg(feature = "half")]
#[inline(always)]
pub(crate) fn reflected<V: Lanes32>(x: V, tail: V) -> V {
    V::select(x.gt(V::splat(0.0)), V::splat(1.0) - tail, tail)
}

//! The error function: `x` times `erf(x) / x`, which is looked up in 16 pieces.

use super::Jet;
use super::coefficients::{ERF_FULL, ERF_NARROW, TWO_OVER_SQRT_PI};
use super::compensated::multiply;
use super::power::f64_lanes::Exp;
use super::power::f64_to_f32::exp_neg;
use super::scale::scale_sum;
use crate::simd::{Lanes64, ROUND};

/// From here on `1 - erf x` is less than 2^-54.
const END: f64 = 5.921_587_195_794_508;
/// Pieces in a unit.
const PIECES: f64 = 8.0 / 3.0;

/// `t`, whose low bits say the piece of `|x|`, and `|x|` less the middle of that piece.
#[inline(always)]
fn piece<V: Lanes64>(size: V) -> (V, V) {
    let t = size.mul_add(V::splat(PIECES), V::splat(-0.5)) + V::splat(ROUND);
    let n = t - V::splat(ROUND);
    let middle = n.mul_add(V::splat(0.375), V::splat(0.1875)); // exact
    (t, size - middle)
}

/// For f64 results: at `x + lo`. `APART`: the power of two is the slope's, and the value is not right.
#[inline(always)]
pub(crate) fn f64_lanes<V: Lanes64, const APART: bool>(x: V, lo: Option<V>) -> Jet<V> {
    let (one, zero) = (V::splat(1.0), V::splat(0.0));
    let size = x.abs().min(V::splat(END));
    let (t, u) = piece(size);
    // Rest, then degrees 0 to 14.
    let (rest, c0) = V::lookup(&ERF_FULL[0], t);
    let (c, top) = V::lookup(&ERF_FULL[7], t);
    let mut y = top.mul_add(u, c);
    let mut i = 7;
    while i > 1 {
        i -= 1;
        let (low, high) = V::lookup(&ERF_FULL[i], t);
        y = y.mul_add(u, high).mul_add(u, low);
    }
    let q = y.mul_add(u, rest);
    let (p, p_lo) = size.two_prod(c0);
    let (v, v_lo) = p.quick_two_sum(size.mul_add(q, p_lo));
    let end = size.gt(V::splat(END.next_down()));
    let (v, v_lo) = (V::select(end, one, v), V::select(end, zero, v_lo));
    // The slope: 2 / sqrt(pi) e^(-x^2).
    let far = x.abs().min(V::splat(38.5));
    let (h, h_lo) = far.two_prod(far);
    let sign = one.copysign(x);
    let h_lo = match lo {
        Some(lo) => (far + far).mul_add(lo * sign, h_lo),
        None => h_lo,
    };
    let e = Exp::new(-h, Some(-h_lo));
    let (mut d, mut d_lo) = multiply(
        (e.rounded(), e.rest()),
        (V::splat(TWO_OVER_SQRT_PI.0), V::splat(TWO_OVER_SQRT_PI.1)),
    );
    let mut k = zero;
    if e.far {
        core::hint::cold_path();
        if APART {
            k = e.k;
        } else {
            (d, d_lo) = scale_sum(e.k, d, d_lo);
        }
    }
    let v_lo = match lo {
        Some(lo) => lo.mul_add(sign * d, v_lo),
        None => v_lo,
    };
    // A zero keeps its sign: nothing that is added to it is 0.
    let v_lo = V::select(v.gt(zero), v_lo * sign, V::splat(-0.0));
    let dd = -((far + far).copysign(x) * d);
    Jet { v: v.copysign(x), v_lo, d, d_lo, dd, k }
}

/// For results that are rounded to f32: to 2^-40.
#[inline(always)]
pub(crate) fn f64_to_f32<V: Lanes64>(x: V) -> Jet<V> {
    let size = x.abs().min(V::splat(END));
    let (t, u) = piece(size);
    let (c, top) = V::lookup(&ERF_NARROW[4], t);
    let mut y = top.mul_add(u, c);
    let mut i = 4;
    while i > 0 {
        i -= 1;
        let (low, high) = V::lookup(&ERF_NARROW[i], t);
        y = y.mul_add(u, high).mul_add(u, low);
    }
    let far = x.abs().min(V::splat(26.0));
    let d = exp_neg(-(far * far)) * V::splat(TWO_OVER_SQRT_PI.0);
    Jet::register((size * y).copysign(x), d, -((far + far).copysign(x) * d))
}

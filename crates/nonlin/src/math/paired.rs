//! Primitives for f32 results in registers of f32: a value comes as a sum of two numbers.
//!
//! Twice the lanes of `narrow` for about half a unit in the last place less. Only where
//! multiply-add is fused, and only where results are normal numbers: a definition says
//! between which inputs ([`Reach`](crate::activation::Reach)), and everything beyond is
//! left to `narrow`.
//!
//! Nearly all of a result comes from a [`table`](super::table) of a smooth, slowly varying function:
//! the sigmoid above a half, `tanh(x) / x`, the normal tail over its density. Where the result itself
//! varies over many powers of two it is multiplied by an exponential, which is a small table too.
//! With `NEAR`, all lanes are known to lie within the tables; without, some may be far out, and
//! powers of `e^-|x|` stand for those.

use super::tables::{
    CUBIC_GATE, CUBIC_SLOPE, EXP_REST, EXPM1, LN2_16_HI, LN2_16_LO, MILLS, MILLS_SLOPE, MISH_SLOPE,
    PER_LN2, POWER, POWER_REST, ROOT, SIGMOID, SILU, SILU_SLOPE, SOFTPLUS, TANH, TANH_SLOPE,
    TANH_SOFTPLUS,
};
use crate::math::coefficients::{GELU_TANH_1, GELU_TANH_3, INV_SQRT_2PI};
use crate::real::{Gating, Jet, Paired, Prim, Real};
use crate::simd::Lanes32;

/// Adding this to an integer `k` leaves `k` in the low bits.
pub(super) const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23

/// Beyond this the tail of the normal distribution is nothing next to 1, and its square no normal number.
#[cfg(feature = "half")]
pub(super) const CDF_END: f32 = 13.1;

/// Up to here both tails of GELU times their argument are normal numbers.
const CDF_LAST: f32 = 12.5;
const CUBIC_LAST: f32 = 9.6;

/// The same for the gate of GELU by tanh.
#[cfg(feature = "half")]
pub(super) const CUBIC_END: f32 = 9.8;

/// From here on that gate is 1, but for its exponential.
pub(super) const CUBIC_OPEN: f32 = 5.4;

/// Up to here the tables of exponential tails reach; beyond, powers of the exponential do.
pub(crate) const NEAR_END: f32 = 9.75;

/// From minus this on `e^x - 1` is -1.
pub(crate) const EXPM1_END: f32 = 17.4;

/// From here on tanh is 1.
pub(crate) const TANH_END: f32 = 9.04;

/// The same for the slope of tanh.
pub(crate) const TANH_NEAR: f32 = 9.4;

/// The same for the gate of Mish on the left; on the right its table reaches to where it is 1.
pub(crate) const MISH_NEAR: f32 = 8.9;

/// From here on the gate of Mish is 1; its slope.
const MISH_OPEN: f32 = 10.0;
const MISH_SLOPE_OPEN: f32 = 10.8;

/// `e^-LAST` is still a normal number.
pub(super) const LAST: f32 = 87.3;

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

/// `(m, q)` with `e^-z = m (1 + q)` for `z = c1 t + c3 t^3`, the exponent of GELU by tanh, and
/// `0 <= t <= 10`.
#[inline(always)]
pub(super) fn cubic<V: Lanes32>(t: V) -> (V, V) {
    // The first constant in so many bits that what it adds to a product can be taken off exactly.
    const C1: f32 = f32::from_bits((GELU_TANH_1.0 as f32).to_bits() & !0xF);
    const C1_LO: f32 = (GELU_TANH_1.0 - C1 as f64 + GELU_TANH_1.1) as f32;
    const C3: f32 = GELU_TANH_3.0 as f32;
    const C3_LO: f32 = (GELU_TANH_3.0 - C3 as f64) as f32;
    let (c1, c3) = (V::splat(C1), V::splat(C3));
    // z = t (w + w_lo)
    let (square, square_lo) = two_prod(t, t);
    let w = square.mul_add(c3, c1);
    let lost = square.mul_add(c3, c1 - w);
    let w_lo = square.mul_add(V::splat(C3_LO), V::splat(C1_LO)) + square_lo.mul_add(c3, lost);
    let u = (t * w).mul_add(V::splat(-PER_LN2), V::splat(ROUND));
    let k = u - V::splat(ROUND);
    // The second product is exact, and so is the difference but for the last bits.
    let r = (-t).mul_add(w, k * V::splat(-LN2_16_HI));
    power(u, k.mul_add(V::splat(-LN2_16_LO), (-t).mul_add(w_lo, r)))
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
pub(crate) fn exp_m1<V: Lanes32, const NEAR: bool>(x: V) -> V {
    let x = if NEAR { x } else { x.max(V::splat(-EXPM1_END)) };
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
    let (c2, c3) = (V::splat(EXP_REST[0]), V::splat(EXP_REST[1]));
    (r * r).mul_add(r.mul_add(c3, c2), r)
}

#[inline(always)]
fn jet<V: Lanes32, const NEAR: bool>(v: (V, V), d: (V, V), dd: V) -> Jet<Paired<V, NEAR>> {
    Jet {
        v: Paired(v.0),
        d: Paired(d.0),
        dd: Paired(dd),
        v_lo: Paired(v.1),
        d_lo: Paired(d.1),
        k: Paired(V::splat(0.0)),
    }
}

/// `e^-t` for `t <= LAST`, as a sum of two numbers, and its square; that is 0 where it does not count,
/// since subnormal numbers cost processors a hundred cycles.
#[inline(always)]
fn power_and_square<V: Lanes32>(t: V) -> ((V, V), V) {
    let (w, w_lo) = sum(exp(t.min(V::splat(LAST)), V::splat(0.0)));
    let whole = V::select(t.gt(V::splat(40.0)), V::splat(0.0), w + w_lo);
    ((w, w_lo), whole * whole)
}

/// The sigmoid beyond `NEAR`: `w - w^2` with `w = e^-|x|`, or 1 less that.
#[inline(always)]
fn far_sigmoid<V: Lanes32>(x: V) -> (V, V) {
    let ((w, w_lo), square) = power_and_square(x.abs());
    let lo = w_lo - square;
    let positive = x.gt(V::splat(0.0));
    (V::select(positive, V::splat(1.0), w), V::select(positive, -(w + lo), lo))
}

/// The sigmoid, rounded.
#[inline(always)]
pub(crate) fn sigmoid_value<V: Lanes32, const NEAR: bool>(x: V) -> V {
    let t = x.abs();
    let far = t.gt(V::splat(NEAR_END));
    let some = !NEAR && V::any(far);
    let mut end = x;
    if some {
        core::hint::cold_path();
        let (v, v_lo) = far_sigmoid(x);
        end = v + v_lo;
        if V::all(far) {
            return end;
        }
    }
    let (base, rest) = SIGMOID.sharp(t);
    let sign = V::splat(1.0).copysign(x);
    let v = sign.mul_add(rest, sign.mul_add(base, V::splat(0.5)));
    if some { V::select(far, end, v) } else { v }
}

/// The sigmoid: what it is above or below a half.
#[inline(always)]
fn sigmoid<V: Lanes32, const NEAR: bool>(x: V) -> Jet<Paired<V, NEAR>> {
    let half = V::splat(0.5);
    let t = x.abs();
    let far = t.gt(V::splat(NEAR_END));
    let some = !NEAR && V::any(far);
    let (mut end, mut end_d) = ((x, x), (x, x));
    if some {
        core::hint::cold_path();
        end = far_sigmoid(x);
        // w - 2 w^2
        let ((w, w_lo), square) = power_and_square(t);
        end_d = (w, w_lo - (square + square));
        if V::all(far) {
            return jet(end, end_d, curvature(end.0, end_d.0));
        }
    }
    let (base, rest) = SIGMOID.sharp(t);
    let sign = V::splat(1.0).copysign(x);
    let mut v = (sign.mul_add(base, half), sign * rest);
    // (1/2 - s) (1/2 + s)
    let (d, d_lo) = two_prod(half - base, half + base);
    let mut d = (d, (-rest).mul_add((base + base) + rest, d_lo));
    if some {
        v = (V::select(far, end.0, v.0), V::select(far, end.1, v.1));
        d = (V::select(far, end_d.0, d.0), V::select(far, end_d.1, d.1));
    }
    jet(v, d, curvature(v.0, d.0))
}

/// The second derivative of the sigmoid from value and first.
#[inline(always)]
fn curvature<V: Lanes32>(v: V, d: V) -> V {
    d * (V::splat(1.0) - (v + v))
}

/// tanh, rounded.
#[inline(always)]
pub(crate) fn tanh<V: Lanes32, const NEAR: bool>(x: V) -> V {
    // x times tanh(x) / x, up to where it is 1. At 0 the rest is not negative: the sign stays.
    let end = V::splat(TANH_END);
    let c = if NEAR { x } else { x.min(end).max(-end) };
    let (base, rest) = TANH.at(c.abs());
    c.mul_add(base, c * rest)
}

/// The primitive `p` at `x`.
#[inline(always)]
pub(crate) fn at<V: Lanes32, const NEAR: bool>(x: V, p: Prim) -> Jet<Paired<V, NEAR>> {
    let zero = V::splat(0.0);
    let two = V::splat(2.0);
    // Nothing to add is -0, which leaves the sign of a zero.
    let nothing = V::splat(-0.0);
    match p {
        Prim::Exp => {
            let e = sum(exp(-x, zero));
            jet(e, e, e.0)
        }
        Prim::ExpM1 => {
            // For x <= 0 alone: x times (1 - e^x) / -x. Of tiny numbers the low part would be subnormal.
            let e = sum(exp(-x, zero));
            let c = if NEAR { x } else { x.max(V::splat(-EXPM1_END)) };
            let (h, l) = EXPM1.at(-c);
            let (v, v_lo) = two_prod(c, h);
            let v_lo = c.mul_add(l, v_lo);
            let tiny = V::splat(1e-12).gt(x.abs());
            let v = (V::select(tiny, x, v), V::select(tiny, nothing, v_lo));
            jet(v, e, e.0)
        }
        Prim::Sigmoid => sigmoid(x),
        Prim::Tanh => {
            let v = tanh::<V, NEAR>(x);
            let t = x.abs();
            let (mut d, mut d_lo) = TANH_SLOPE.at(t);
            let far = t.gt(V::splat(TANH_NEAR));
            if !NEAR && V::any(far) {
                core::hint::cold_path();
                // 4 w - 8 w^2 with w = e^-2|x|
                let ((w, w_lo), square) = power_and_square(t + t);
                let four = V::splat(4.0);
                d = V::select(far, four * w, d);
                d_lo = V::select(far, four * (w_lo - two * square), d_lo);
            }
            jet((v, nothing), (d, d_lo), -(two * v * d))
        }
        Prim::Softplus => {
            // For x <= 0 alone.
            let t = -x;
            let j = sigmoid::<V, NEAR>(x);
            let far = t.gt(V::splat(NEAR_END));
            let some = !NEAR && V::any(far);
            let mut end = (x, x);
            if some {
                core::hint::cold_path();
                // w - w^2 / 2 with w = e^x
                let ((w, w_lo), square) = power_and_square(t);
                end = (w, square.mul_add(V::splat(-0.5), w_lo));
                if V::all(far) {
                    return Jet {
                        v: Paired(end.0),
                        v_lo: Paired(end.1),
                        d: j.v,
                        d_lo: j.v_lo,
                        dd: j.d,
                        k: j.k,
                    };
                }
            }
            let (mut v, mut v_lo) = SOFTPLUS.at(t);
            if some {
                v = V::select(far, end.0, v);
                v_lo = V::select(far, end.1, v_lo);
            }
            Jet { v: Paired(v), v_lo: Paired(v_lo), d: j.v, d_lo: j.v_lo, dd: j.d, k: j.k }
        }
        Prim::TanhSoftplus => {
            let (mut v, mut v_lo) = TANH_SOFTPLUS.exact(x.min(V::splat(MISH_OPEN)));
            let far = V::splat(-MISH_NEAR).gt(x);
            if !NEAR && V::any(far) {
                core::hint::cold_path();
                // w - w^2 / 2 with w = e^x
                let ((w, w_lo), square) = power_and_square(-x);
                v = V::select(far, w, v);
                v_lo = V::select(far, square.mul_add(V::splat(-0.5), w_lo), v_lo);
            }
            // No function needs the derivatives: see `gated_slope` below.
            let none = (V::splat(f32::NAN), zero);
            jet((v, v_lo), none, none.0)
        }
        Prim::Cdf => {
            // e^(-t^2/2) times the tail over it, up to where that is a normal number.
            let t = x.abs().min(V::splat(CDF_LAST));
            let e = gauss(t);
            let v = open(x.gt(zero), times(e, MILLS.at(t)));
            // The density: its constant in 12 bits, and the rest.
            let c = V::splat(0.398_925_78);
            let rest = V::splat((INV_SQRT_2PI.0 - 0.398_925_781_25) as f32);
            let d = times(e, (c, rest));
            // From there on there is no density.
            let beyond = x.abs().gt(V::splat(12.4));
            let d = (V::select(beyond, zero, d.0), V::select(beyond, zero, d.1));
            jet(v, d, -(x * d.0))
        }
    }
}

/// `tail` where `x <= 0`, else 1 less `tail`.
#[inline(always)]
fn open<V: Lanes32>(positive: V::Mask, (q, q_lo): (V, V)) -> (V, V) {
    let one = V::splat(1.0);
    let v = one - q;
    let v_lo = ((one - v) - q) - q_lo;
    (V::select(positive, v, q), V::select(positive, v_lo, q_lo))
}

/// `max(x, 0)`, but -0 on the left: so a result that is too small for a number keeps its sign.
#[inline(always)]
fn positive_part<V: Lanes32>(x: V) -> V {
    x.max(V::splat(-0.0))
}

/// `max(x, 0) - t tail`, with `t = |x|` or, far out, less: `x` times a gate of which that is the tail.
#[inline(always)]
fn opened<V: Lanes32>(x: V, t: V, (tail, tail_lo): (V, V)) -> V {
    positive_part(x) - t.mul_add(tail, t * tail_lo)
}

/// `x` times a gate, rounded.
#[inline(always)]
pub(crate) fn gated_value<V: Lanes32, const NEAR: bool>(x: V, gate: Gating) -> V {
    let t = x.abs();
    let far = t.gt(V::splat(end_of(gate)));
    let some = !NEAR && V::any(far);
    let mut end = x;
    if some {
        core::hint::cold_path();
        let (tail, t) = match gate {
            // w - w^2 with w = e^-t
            Gating::Sigmoid => {
                let ((w, w_lo), square) = power_and_square(t);
                ((w, w_lo - square), t.min(V::splat(f32::MAX)))
            }
            // With w = e^-t, w - w^2 / 2 on the left and 2 w^2 on the right
            Gating::TanhSoftplus => {
                let ((w, w_lo), square) = power_and_square(t);
                let positive = x.gt(V::splat(0.0));
                let lo = square.mul_add(V::splat(-0.5), w_lo);
                let lo = V::select(positive, square + square, lo);
                ((V::select(positive, V::splat(0.0), w), lo), t.min(V::splat(f32::MAX)))
            }
            // Their tables reach everywhere.
            Gating::Cdf | Gating::CubicSigmoid => ((x, x), t),
        };
        end = opened(x, t, tail);
        if V::all(far) {
            return end;
        }
    }
    let y = match gate {
        Gating::Sigmoid => {
            let (base, rest) = SILU.at(t);
            positive_part(x) - (base + rest)
        }
        Gating::TanhSoftplus => {
            let (v, v_lo) = TANH_SOFTPLUS.exact(x.min(V::splat(MISH_OPEN)));
            // The sum of two zeros may have lost the sign.
            let low = x.min(V::splat(f32::MAX)) * v_lo;
            x.mul_add(v, low).copysign(x)
        }
        Gating::Cdf => {
            let t = t.min(V::splat(CDF_LAST));
            opened(x, t, times(gauss(t), MILLS.at(t)))
        }
        Gating::CubicSigmoid => {
            let t = t.min(V::splat(CUBIC_LAST));
            opened(x, t, times(cubic(t), CUBIC_GATE.at(t.min(V::splat(CUBIC_OPEN)))))
        }
    };
    if some { V::select(far, end, y) } else { y }
}

/// The slope of `x` times a gate.
#[inline(always)]
pub(crate) fn gated_slope<V: Lanes32, const NEAR: bool>(x: V, gate: Gating) -> V {
    let one = V::splat(1.0);
    let positive = x.gt(V::splat(0.0));
    let t = x.abs();
    let far = t.gt(V::splat(end_of(gate)));
    let some = !NEAR && V::any(far);
    let mut end = x;
    if some {
        core::hint::cold_path();
        let tail = match gate {
            // w (1 - t) - w^2 (1 - 2 t) with w = e^-t
            Gating::Sigmoid => {
                let t = t.min(V::splat(LAST));
                let ((w, w_lo), square) = power_and_square(t);
                let less = one - t;
                w.mul_add(less, square.mul_add((t + t) - one, w_lo * less))
            }
            // With w = e^-t, w (1 - t) - w^2 (1/2 - t) on the left and w^2 (2 - 4 t) on the right
            Gating::TanhSoftplus => {
                let t = t.min(V::splat(LAST));
                let ((w, w_lo), square) = power_and_square(t);
                let less = one - t;
                let left = w.mul_add(less, square.mul_add(t - V::splat(0.5), w_lo * less));
                let right = square * t.mul_add(V::splat(-4.0), V::splat(2.0));
                V::select(positive, right, left)
            }
            // Their tables reach everywhere.
            Gating::Cdf | Gating::CubicSigmoid => x,
        };
        end = V::select(positive, one - tail, tail);
        if V::all(far) {
            return end;
        }
    }
    let y = match gate {
        Gating::Sigmoid => {
            let tail = SILU_SLOPE.sum(t);
            V::select(positive, one - tail, tail)
        }
        Gating::TanhSoftplus => {
            let (base, rest) = MISH_SLOPE.exact(x.min(V::splat(MISH_SLOPE_OPEN)));
            base + rest
        }
        Gating::Cdf => {
            let t = t.min(V::splat(CDF_LAST));
            let (v, lo) = reflected(positive, times(gauss(t), MILLS_SLOPE.at(t)));
            v + lo
        }
        Gating::CubicSigmoid => {
            let t = t.min(V::splat(CUBIC_LAST));
            let (v, lo) = reflected(positive, times(cubic(t), CUBIC_SLOPE.sharp(t)));
            v + lo
        }
    };
    if some { V::select(far, end, y) } else { y }
}

/// `tail` on the left, 1 less `tail` on the right.
#[inline(always)]
fn reflected<V: Lanes32>(positive: V::Mask, (tail, lo): (V, V)) -> (V, V) {
    (V::select(positive, V::splat(1.0) - tail, tail), V::select(positive, -lo, lo))
}

/// The slope of `x` times a gate, times `factor`.
#[inline(always)]
pub(crate) fn slope_product<V: Lanes32, const NEAR: bool>(x: V, factor: V, gate: Gating) -> V {
    if gate != Gating::Cdf {
        return gated_slope::<V, NEAR>(x, gate) * factor;
    }
    // From gate and density: where the slope passes through 0, half types see what a table rounds off.
    Paired::<V, NEAR>(x).slope_sum(at::<V, NEAR>(x, Prim::Cdf)).0 * factor
}

/// `x` times a gate, times `factor`.
#[inline(always)]
pub(crate) fn gated_product<V: Lanes32, const NEAR: bool>(x: V, factor: V, gate: Gating) -> V {
    let value = gated_value::<V, NEAR>(x, gate);
    // A subnormal number that the gate makes smaller loses bits: there it comes last.
    let tiny = V::splat(1e-30).gt(x.abs());
    let at_zero = V::splat(match gate {
        Gating::TanhSoftplus => 0.6,
        Gating::Sigmoid | Gating::Cdf | Gating::CubicSigmoid => 0.5,
    });
    V::select(tiny, factor * at_zero, value) * V::select(tiny, x, factor)
}

/// Up to here the tables of a gate reach.
const fn end_of(gate: Gating) -> f32 {
    match gate {
        Gating::Sigmoid => NEAR_END,
        Gating::TanhSoftplus => MISH_NEAR,
        Gating::Cdf | Gating::CubicSigmoid => f32::INFINITY,
    }
}

//! Primitives for f32 results in registers of f32: a value comes as a sum of two numbers.
//!
//! Twice the lanes of `narrow` for about half a unit in the last place less, where multiply-add is
//! fused.
//!
//! Nearly all of a result comes from a [`table`](super::table) of a smooth, slowly varying function:
//! the sigmoid above a half, `tanh(x) / x`, the normal tail over its density. Where the result itself
//! varies over many powers of two it is multiplied by an exponential, which is a small table too.
//! At `IN_TABLE`, all lanes are known to lie within the tables (a definition says between which inputs:
//! [`Reach`](crate::activation::Reach)); else some may be far out. There, powers of `e^-|x|`
//! stand for the tables, and where such a power may be no normal number, its exponent is kept apart
//! to the end ([`Jet::k`]), or all is lifted by a power of two: processors take a hundred cycles over
//! subnormal numbers.

use super::tables::{
    CUBIC_GATE, CUBIC_SLOPE, EXP_REST, EXPM1, LN2_16_HI, LN2_16_LO, MILLS, MILLS_SLOPE, MISH_SLOPE,
    PER_LN2, POWER, POWER_REST, ROOT, SELU, SIGMOID, SILU, SILU_SLOPE, SOFTPLUS, TANH, TANH_SLOPE,
    TANH_SOFTPLUS,
};
use crate::math::coefficients::{GELU_TANH_1, GELU_TANH_3, INV_SQRT_2PI, SELU_LAMBDA};
use crate::real::{F32Tabled, GateTable, Jet, Prim, Real};
use crate::simd::{Lanes, Lanes32, Lanes64, TAIL_SCALE_LOG2, TAIL_UNSCALE};

/// All lanes lie within the tables.
pub(crate) const IN_TABLE: u8 = 0;
/// Some lanes may be far out, and what multiplies them is at most [`FACTOR_END`]: exponents that are
/// kept apart are all [`TAIL_SCALE_LOG2`].
pub(crate) const ANY_X: u8 = 1;
/// Some lanes may be far out, and anything may multiply them.
pub(crate) const ANY_X_ANY_FACTOR: u8 = 2;

/// Up to two factors so large are ordinary: from `e^-LIFTED_END` they make nothing.
pub(crate) const FACTOR_END: f32 = 4_194_304.0; // 2^22

/// Adding this to an integer `k` leaves `k` in the low bits.
pub(super) const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23

/// Up to here both tails of GELU times their argument are normal numbers, and their tables reach.
pub(crate) const GELU_TABLE_END: f32 = 12.4;
pub(crate) const GELU_TANH_TABLE_END: f32 = 9.5;

/// From here on the gate of GELU by tanh is 1, but for its exponential.
pub(super) const CUBIC_OPEN: f32 = 5.4;

/// Up to here the tables of exponential tails reach; beyond, powers of the exponential do.
pub(crate) const SIGMOID_TABLE_END: f32 = 10.01;

/// From minus this on `e^x - 1` is -1.
pub(crate) const EXPM1_TABLE_END: f32 = 17.4;

/// From here on tanh is 1.
pub(crate) const TANH_LIMIT_FROM: f32 = 9.04;

/// Up to here the table of the slope of tanh reaches.
pub(crate) const TANH_TABLE_END: f32 = 10.01;

/// Up to here the table of the gate of Mish reaches on the left; on the right to where it is 1.
pub(crate) const MISH_TABLE_END: f32 = 10.01;

/// From here on the gate of Mish is 1.
pub(super) const MISH_OPEN: f32 = 9.12;
/// From here on the slope of Mish is 1.
pub(super) const MISH_SLOPE_OPEN: f32 = 10.8;

/// From here on the exponent of a power of e is kept apart. What rounding `e^-EXP_SPLIT_FROM` loses is still a
/// normal number.
pub(crate) const EXP_SPLIT_FROM: f32 = 60.0;

/// What is multiplied by `e^-FARTHEST` is 0.
const FARTHEST: f32 = 400.0;

/// The greatest `t` whose `e^-t` can still show: [`FARTHEST`], or [`LIFTED_END`] where factors are at most
/// [`FACTOR_END`].
#[inline(always)]
fn last<V: Lanes32, const AT: u8>() -> V {
    V::splat(if AT == ANY_X { LIFTED_END } else { FARTHEST })
}

/// [`ROUND`] for powers times `2^TAIL_SCALE_LOG2`.
const OVER: f32 = ROUND + 16.0 * TAIL_SCALE_LOG2 as f32;

/// Less than half a unit in the last place of 1: adding it changes nothing.
const BELOW_ULP_OF_ONE: f32 = 1.0 / (1u64 << 33) as f32;

/// `e^-LIFTED_END` times this and two factors is 0, and times `2^TAIL_SCALE_LOG2` a normal number, as is what
/// rounding that loses.
const LIFTED_END: f32 = 140.0;

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

/// `(m, q)` with `e^-(p + e) 2^i = m (1 + q)`, where `over` is `ROUND + 16 i`, and nearly `q^2`, known before
/// `q`.
#[inline(always)]
fn exp_times<V: Lanes32>(p: V, e: V, over: V) -> ((V, V), V) {
    let u = p.mul_add(V::splat(-PER_LN2), over);
    let n = u - over;
    let r = n.mul_add(V::splat(-LN2_16_HI), -p); // exact
    let r = n.mul_add(V::splat(-LN2_16_LO), r) - e + u.lookup_short(&POWER_REST.0);
    ((u.lookup_short(&POWER.0).add_shifted(u), rest_of_power(r)), r * r)
}

/// `(m, q)` with `e^-(p + e) = m (1 + q)`, for `-87 <= p <= EXP_SPLIT_FROM`.
#[inline(always)]
fn exp<V: Lanes32>(p: V, e: V) -> (V, V) {
    exp_times(p, e, V::splat(ROUND)).0
}

/// What [`exp_times`] has for `i = TAIL_SCALE_LOG2`: `e^-(p + e) 2^TAIL_SCALE_LOG2`, for `0 <= p <= LIFTED_END`.
#[inline(always)]
fn exp_lifted<V: Lanes32>(p: V, e: V) -> ((V, V), V) {
    exp_times(p, e, V::splat(OVER))
}

/// `(m, q)` and `k` with `e^-(p + e) = m (1 + q) 2^k`, for `0 <= p <= last`. Up to `EXP_SPLIT_FROM` `k` is 0;
/// beyond, `ANY_X`, it is `-TAIL_SCALE_LOG2`, else `m` is near 2^-16, so that it can be multiplied by any number.
#[inline(always)]
fn exp_apart<V: Lanes32, const AT: u8>(p: V, e: V) -> ((V, V), V) {
    let (zero, round) = (V::splat(0.0), V::splat(ROUND));
    let apart = p.gt(V::splat(EXP_SPLIT_FROM));
    if AT == ANY_X {
        let (power, _) = exp_times(p, e, V::select(apart, V::splat(OVER), round));
        return (power, V::select(apart, V::splat(-(TAIL_SCALE_LOG2 as f32)), zero));
    }
    let u = p.mul_add(V::splat(-PER_LN2), round);
    let n = u - round;
    let r = n.mul_add(V::splat(-LN2_16_HI), -p); // exact
    let r = n.mul_add(V::splat(-LN2_16_LO), r) - e;
    let k = n.mul_add(V::splat(1.0 / 16.0), round) - round + V::splat(16.0);
    let k = V::select(apart, k, zero);
    (power(k.mul_add(V::splat(-16.0), u), r), k)
}

/// `(m, q)` with `w - c w^2 = m (1 + q) / 2^TAIL_SCALE_LOG2` for `w = e^-t`, which is small next to 1.
#[inline(always)]
fn lifted_tail<V: Lanes32>(t: V, c: f32) -> (V, V) {
    let ((m, q), square) = exp_lifted(t.min(V::splat(LIFTED_END)), V::splat(0.0));
    // c times m / 2^TAIL_SCALE_LOG2, the first part of w: not so small that a product is subnormal.
    let w = m.max(V::splat(BELOW_ULP_OF_ONE / TAIL_UNSCALE)) * V::splat(c * TAIL_UNSCALE);
    // q - w (1 + q)^2
    (m, q.mul_add(w.mul_add(V::splat(-2.0), V::splat(1.0)), (-w).mul_add(square, -w)))
}

/// [`exp_apart`] where some lanes may be far out, else with a `k` that is known to be 0.
#[inline(always)]
fn exp_within<V: Lanes32, const AT: u8>(p: V) -> ((V, V), V) {
    let zero = V::splat(0.0);
    if AT == IN_TABLE {
        (exp(p, zero), zero)
    } else {
        exp_apart::<V, AT>(p.min(last::<V, AT>()), zero)
    }
}

/// `(m, q)` with `e^-(t^2 / 2) = m (1 + q)`, for `|t| <= GELU_TABLE_END`.
#[inline(always)]
fn gauss<V: Lanes32>(t: V) -> (V, V) {
    let half = t * V::splat(-0.5);
    let u = (half * t).mul_add(V::splat(PER_LN2), V::splat(ROUND));
    let k = u - V::splat(ROUND);
    // Both products are exact, and so is the difference but for the last bits.
    let r = half.mul_add(t, k * V::splat(-LN2_16_HI));
    power(u, k.mul_add(V::splat(-LN2_16_LO), r))
}

/// `z / t` as a sum of two numbers, for `z = c1 t + c3 t^3`, the exponent of GELU by tanh, and
/// `0 <= t <= 16`.
#[inline(always)]
fn cubic_over<V: Lanes32>(t: V) -> (V, V) {
    // The first constant in so many bits that what it adds to a product can be taken off exactly.
    const C1: f32 = f32::from_bits((GELU_TANH_1.0 as f32).to_bits() & !0xF);
    const C1_LO: f32 = (GELU_TANH_1.0 - C1 as f64 + GELU_TANH_1.1) as f32;
    const C3: f32 = GELU_TANH_3.0 as f32;
    const C3_LO: f32 = (GELU_TANH_3.0 - C3 as f64) as f32;
    let (c1, c3) = (V::splat(C1), V::splat(C3));
    let (square, square_lo) = two_prod(t, t);
    let w = square.mul_add(c3, c1);
    let lost = square.mul_add(c3, c1 - w);
    (w, square.mul_add(V::splat(C3_LO), V::splat(C1_LO)) + square_lo.mul_add(c3, lost))
}

/// That exponent as a sum of two numbers.
#[inline(always)]
fn cubic_exponent<V: Lanes32>(t: V) -> (V, V) {
    let (w, w_lo) = cubic_over(t);
    let (z, z_lo) = two_prod(t, w);
    (z, t.mul_add(w_lo, z_lo))
}

/// `(m, q)` with `e^-z = m (1 + q)`, for `0 <= t <= 10`.
#[inline(always)]
pub(super) fn cubic<V: Lanes32>(t: V) -> (V, V) {
    let (w, w_lo) = cubic_over(t);
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
pub(crate) fn exp_m1<V: Lanes32, const AT: u8>(x: V) -> V {
    let x = if AT == IN_TABLE { x } else { x.max(V::splat(-EXPM1_TABLE_END)) };
    let (h, l) = EXPM1.at(-x);
    x.mul_add(h, x * l)
}

/// SELU at its own constants, rounded: its table on the left, lambda times `x` on the right. The first
/// part of lambda is cut off and not rounded, so that the rest is positive: an infinity stays one.
#[inline(always)]
pub(crate) fn selu<V: Lanes32, const AT: u8>(x: V) -> V {
    const NEAREST: f32 = SELU_LAMBDA.0 as f32;
    const LAMBDA: f32 = if NEAREST as f64 > SELU_LAMBDA.0 { NEAREST.next_down() } else { NEAREST };
    const REST: f32 = (SELU_LAMBDA.0 - LAMBDA as f64) as f32;
    let c = if AT == IN_TABLE { x } else { x.max(V::splat(-EXPM1_TABLE_END)) };
    let (base, rest) = SELU.at(-c);
    let right = x.mul_add(V::splat(LAMBDA), x * V::splat(REST));
    V::select(V::splat(0.0).gt(x), base + rest, right)
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
fn jet<V: Lanes32, const AT: u8>(v: (V, V), d: (V, V), dd: V, k: V) -> Jet<F32Tabled<V, AT>> {
    Jet {
        v: F32Tabled(v.0),
        d: F32Tabled(d.0),
        dd: F32Tabled(dd),
        v_lo: F32Tabled(v.1),
        d_lo: F32Tabled(d.1),
        k: F32Tabled(k),
    }
}

/// `2^k (v + lo)`, in one number where `k` is not 0.
#[inline(always)]
pub(crate) fn settle<V: Lanes32, const AT: u8>((v, lo): (V, V), k: V) -> (V, V) {
    let zero = V::splat(0.0);
    let apart = k.abs().gt(zero);
    (V::select(apart, rescale::<V, AT>(v + lo, k), v), V::select(apart, zero, lo))
}

/// `2^k v`, rounded.
#[inline(always)]
pub(crate) fn rescale<V: Lanes32, const AT: u8>(v: V, k: V) -> V {
    match AT {
        IN_TABLE => v,
        ANY_X => V::select(k.abs().gt(V::splat(0.0)), v.abs().unscale_tail().copysign(v), v),
        _ => v.scale2(k),
    }
}

/// `w = e^-t` far out.
struct Far<V> {
    /// `w / 2^k` as a sum of two numbers.
    w: (V, V),
    /// `w^2`, where that is something next to `w`.
    square: V,
    /// `w`, where that is something next to 1.
    beside_one: V,
    k: V,
}

#[inline(always)]
fn far_power<V: Lanes32, const AT: u8>(t: V) -> Far<V> {
    let (e, k) = exp_apart::<V, AT>(t.min(last::<V, AT>()), V::splat(0.0));
    let w = sum(e);
    let beside_one = V::select(t.gt(V::splat(40.0)), V::splat(0.0), w.0 + w.1);
    Far { w, square: beside_one * beside_one, beside_one, k }
}

/// The sigmoid, rounded.
#[inline(always)]
pub(crate) fn sigmoid_value<V: Lanes32, const AT: u8>(x: V) -> V {
    let t = x.abs();
    let far = t.gt(V::splat(SIGMOID_TABLE_END));
    let some = AT != IN_TABLE && V::any(far);
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
    let (base, rest) = SIGMOID.sharp(t);
    let sign = V::splat(1.0).copysign(x);
    let v = sign.mul_add(rest, sign.mul_add(base, V::splat(0.5)));
    if some { V::select(far, end, v) } else { v }
}

/// `ln(1 + e^-t)` as a sum of two numbers, rounded to one far out.
#[inline(always)]
fn softplus_sum<V: Lanes32>(t: V) -> (V, V) {
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

/// The sigmoid: what it is above or below a half. With `SLOPE` for the sake of its derivative.
#[inline(always)]
fn sigmoid<V: Lanes32, const AT: u8, const SLOPE: bool>(x: V) -> Jet<F32Tabled<V, AT>> {
    let (zero, half, one) = (V::splat(0.0), V::splat(0.5), V::splat(1.0));
    let t = x.abs();
    let far = t.gt(V::splat(SIGMOID_TABLE_END));
    let some = AT != IN_TABLE && V::any(far);
    let (mut end, mut end_d, mut k) = ((x, x), (x, x), zero);
    if some {
        core::hint::cold_path();
        // w - w^2 on the left, 1 less that on the right, and w - 2 w^2
        let Far { w, square, beside_one, k: apart } = far_power::<V, AT>(t);
        let lo = w.1 - square;
        let positive = x.gt(zero);
        end = (V::select(positive, one, w.0), V::select(positive, square - beside_one, lo));
        end_d = (w.0, lo - square);
        k = apart;
        if !SLOPE {
            // Only the tail on the left keeps its exponent apart.
            end_d = settle::<V, AT>(end_d, V::select(positive, apart, zero));
            k = V::select(positive, zero, apart);
        }
        if V::all(far) {
            return jet(end, end_d, curvature(end.0, end_d.0), k);
        }
    }
    let (base, rest) = SIGMOID.sharp(t);
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
    jet(v, d, curvature(v.0, d.0), k)
}

/// The second derivative of the sigmoid from value and first.
#[inline(always)]
fn curvature<V: Lanes32>(v: V, d: V) -> V {
    d * (V::splat(1.0) - (v + v))
}

/// tanh, rounded.
#[inline(always)]
pub(crate) fn tanh<V: Lanes32, const AT: u8>(x: V) -> V {
    // x times tanh(x) / x, up to where it is 1. At 0 the rest is not negative: the sign stays.
    let end = V::splat(TANH_LIMIT_FROM);
    let c = if AT == IN_TABLE { x } else { x.min(end).max(-end) };
    let (base, rest) = TANH.at(c.abs());
    c.mul_add(base, c * rest)
}

/// The primitive `p` at `x` for the sake of its derivative: see [`Real::slope_jet`].
#[inline(always)]
pub(crate) fn slope_at<V: Lanes32, const AT: u8>(x: V, p: Prim) -> Jet<F32Tabled<V, AT>> {
    match p {
        Prim::Sigmoid => sigmoid::<V, AT, true>(x),
        Prim::Tanh => tanh_jet::<V, AT, true>(x),
        _ => at(x, p),
    }
}

/// tanh. With `SLOPE` for the sake of its derivative.
#[inline(always)]
fn tanh_jet<V: Lanes32, const AT: u8, const SLOPE: bool>(x: V) -> Jet<F32Tabled<V, AT>> {
    let zero = V::splat(0.0);
    let v = tanh::<V, AT>(x);
    let t = x.abs();
    let far = t.gt(V::splat(TANH_TABLE_END));
    let some = AT != IN_TABLE && V::any(far);
    let (mut end, mut k) = ((x, x), zero);
    if some {
        core::hint::cold_path();
        // 4 w - 8 w^2 with w = e^-2|x|
        let Far { w, square, k: apart, .. } = far_power::<V, AT>(t + t);
        let four = V::splat(4.0);
        (end, k) = ((four * w.0, four * (w.1 - (square + square))), apart);
        if !SLOPE {
            (end, k) = (settle::<V, AT>(end, apart), zero);
        }
        if V::all(far) {
            return tanh_with(v, end, k);
        }
    }
    let mut d = TANH_SLOPE.at(t);
    if some {
        d = (V::select(far, end.0, d.0), V::select(far, end.1, d.1));
        k = V::select(far, k, zero);
    }
    tanh_with(v, d, k)
}

/// tanh and its derivative.
#[inline(always)]
fn tanh_with<V: Lanes32, const AT: u8>(v: V, d: (V, V), k: V) -> Jet<F32Tabled<V, AT>> {
    jet((v, V::splat(-0.0)), d, V::splat(-2.0) * v * d.0, k)
}

/// The primitive `p` at `x`.
#[inline(always)]
pub(crate) fn at<V: Lanes32, const AT: u8>(x: V, p: Prim) -> Jet<F32Tabled<V, AT>> {
    let zero = V::splat(0.0);
    // Nothing to add is -0, which leaves the sign of a zero.
    let nothing = V::splat(-0.0);
    match p {
        Prim::Exp => {
            // For x <= 0 alone. Others, which are not looked at, would make subnormal numbers.
            let (e, k) = exp_within::<V, AT>(-x.min(zero));
            let e = sum(e);
            jet(e, e, e.0, k)
        }
        Prim::ExpM1 => {
            // For x <= 0 alone: x times (1 - e^x) / -x. Of tiny numbers the low part would be subnormal.
            let c = if AT == IN_TABLE { x } else { x.max(V::splat(-EXPM1_TABLE_END)) };
            let e = sum(exp(-c, zero));
            let (h, l) = EXPM1.at(-c);
            let (v, v_lo) = two_prod(c, h);
            let v_lo = c.mul_add(l, v_lo);
            let tiny = V::splat(1e-12).gt(x.abs());
            let v = (V::select(tiny, x, v), V::select(tiny, nothing, v_lo));
            jet(v, e, e.0, zero)
        }
        Prim::Sigmoid => sigmoid::<V, AT, false>(x),
        Prim::Tanh => tanh_jet::<V, AT, false>(x),
        Prim::Softplus => {
            // For x <= 0 alone.
            let t = -x;
            if AT == ANY_X {
                // Nothing is multiplied that is not rounded.
                let d = sigmoid_value::<V, AT>(x);
                return jet(softplus_sum(t), (d, nothing), curvature(d, d), zero);
            }
            let j = sigmoid::<V, AT, false>(x);
            let far = t.gt(V::splat(SIGMOID_TABLE_END));
            let some = AT != IN_TABLE && V::any(far);
            let mut end = (x, x);
            if some {
                core::hint::cold_path();
                // w - w^2 / 2 with w = e^x, and the exponent of the sigmoid
                let Far { w, square, .. } = far_power::<V, AT>(t);
                end = (w.0, square.mul_add(V::splat(-0.5), w.1));
                if V::all(far) {
                    let (v, v_lo) = (F32Tabled(end.0), F32Tabled(end.1));
                    return Jet { v, v_lo, d: j.v, d_lo: j.v_lo, dd: j.d, k: j.k };
                }
            }
            let (mut v, mut v_lo) = SOFTPLUS.at(t);
            if some {
                v = V::select(far, end.0, v);
                v_lo = V::select(far, end.1, v_lo);
            }
            Jet { v: F32Tabled(v), v_lo: F32Tabled(v_lo), d: j.v, d_lo: j.v_lo, dd: j.d, k: j.k }
        }
        // Whoever needs it has a table of the product: see `gated_value` and `gated_slope`.
        Prim::TanhSoftplus => {
            let none = V::splat(f32::NAN);
            jet((none, zero), (none, zero), none, zero)
        }
        Prim::Cdf => {
            // e^(-t^2/2) times the tail over it. Below -GELU_TABLE_END nobody needs it.
            let t = x.abs().min(V::splat(GELU_TABLE_END));
            let e = gauss(t);
            let (v, v_lo) = open(x.gt(zero), times(e, MILLS.at(t)));
            let shut = V::splat(-GELU_TABLE_END).gt(x);
            let v = if AT == IN_TABLE { v } else { V::select(shut, V::splat(f32::NAN), v) };
            // The density, and none beyond.
            let d = times(e, density());
            let beyond = x.abs().gt(V::splat(GELU_TABLE_END));
            let d = (V::select(beyond, zero, d.0), V::select(beyond, zero, d.1));
            jet((v, v_lo), d, -(x * d.0), zero)
        }
    }
}

/// `1 / sqrt(2 pi)` in 12 bits, and the rest.
#[inline(always)]
fn density<V: Lanes32>() -> (V, V) {
    (V::splat(0.398_925_78), V::splat((INV_SQRT_2PI.0 - 0.398_925_781_25) as f32))
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
pub(super) fn positive_part<V: Lanes32>(x: V) -> V {
    x.max(V::splat(-0.0))
}

/// `max(x, 0) - t tail`, with `t = |x|` or, far out, less: `x` times a gate of which that is the tail.
#[inline(always)]
fn opened<V: Lanes32>(x: V, t: V, (tail, tail_lo): (V, V)) -> V {
    positive_part(x) - t.mul_add(tail, t * tail_lo)
}

/// Where a gate is beyond its table, or open.
#[inline(always)]
fn beyond<V: Lanes32>(x: V, gate: GateTable) -> V::Mask {
    let (low, high) = match gate {
        GateTable::Sigmoid => return x.abs().gt(V::splat(SIGMOID_TABLE_END)),
        // From the second on `x` times the gate is `x`, and its slope 1, to the bit.
        GateTable::TanhSoftplus => (MISH_TABLE_END, MISH_SLOPE_OPEN),
        GateTable::Cdf => (GELU_TABLE_END, 7.0),
        GateTable::CubicSigmoid => (GELU_TANH_TABLE_END, 7.0),
    };
    V::either(V::splat(-low).gt(x), x.gt(V::splat(high)))
}

/// Whether no lane beyond its table has a result other than 0, whatever may multiply it, or a limit.
/// Only gates that close at once ask: there are few numbers between.
#[inline(always)]
fn all_at_limits<V: Lanes32, const AT: u8>(x: V, gate: GateTable) -> bool {
    let (low, shut) = match gate {
        GateTable::Sigmoid | GateTable::TanhSoftplus => return false,
        GateTable::Cdf => (GELU_TABLE_END, cdf_last::<V, AT>()),
        GateTable::CubicSigmoid => (GELU_TANH_TABLE_END, cubic_last::<V, AT>()),
    };
    let between = V::select((-shut).gt(x), V::splat(0.0), x);
    !V::any(V::splat(-low).gt(between))
}

/// From here on GELU is 0, whatever may multiply it; `ANY_X`, two factors of [`FACTOR_END`].
#[inline(always)]
fn cdf_last<V: Lanes32, const AT: u8>() -> V {
    V::splat(if AT == ANY_X { 16.7 } else { 24.0 })
}

/// From here on GELU by tanh is 0, whatever may multiply it; `ANY_X`, two factors of [`FACTOR_END`].
#[inline(always)]
fn cubic_last<V: Lanes32, const AT: u8>() -> V {
    V::splat(if AT == ANY_X { 11.9 } else { 16.0 })
}

/// What closes a gate far out: `e^-t`, for GELU the density, for GELU by tanh `e^-z`.
#[inline(always)]
fn far_gate<V: Lanes32, const AT: u8>(t: V, gate: GateTable) -> Far<V> {
    let zero = V::splat(0.0);
    let (w, k) = match gate {
        GateTable::Sigmoid | GateTable::TanhSoftplus => return far_power::<V, AT>(t),
        GateTable::Cdf => {
            let t = t.min(cdf_last::<V, AT>());
            let (p, p_lo) = two_prod(t, t * V::splat(0.5));
            let (e, k) = exp_apart::<V, AT>(p, p_lo);
            (times(e, density()), k)
        }
        GateTable::CubicSigmoid => {
            let (z, z_lo) = cubic_exponent(t.min(cubic_last::<V, AT>()));
            let (e, k) = exp_apart::<V, AT>(z, z_lo);
            (sum(e), k)
        }
    };
    Far { w, square: zero, beside_one: zero, k }
}

/// `1 - t R(t)`, where `R` is the tail of the normal distribution over its density, by its asymptotic
/// series (Abramowitz and Stegun 26.2.12), for `t >= GELU_TABLE_END`.
#[inline(always)]
fn mills<V: Lanes32>(t: V) -> V {
    let s = V::splat(1.0) / (t * t);
    let series = s.mul_add(V::splat(-945.0), V::splat(105.0));
    let series = s.mul_add(series, V::splat(-15.0));
    let series = s.mul_add(series, V::splat(3.0));
    s * s.mul_add(-series, V::splat(1.0))
}

/// `x` times a gate [`beyond`] its table, rounded.
#[inline(always)]
fn far_value<V: Lanes32>(x: V, gate: GateTable) -> V {
    if all_at_limits::<V, ANY_X>(x, gate) {
        return positive_part(x);
    }
    let t = x.abs();
    // The gate on the left; that of the normal distribution times t.
    let (m, q) = match gate {
        GateTable::Sigmoid => lifted_tail(t, 1.0),
        GateTable::TanhSoftplus => lifted_tail(t, 0.5),
        GateTable::Cdf => {
            let t = t.min(cdf_last::<V, ANY_X>());
            let (p, p_lo) = two_prod(t, t * V::splat(0.5));
            let (w, w_lo) = times(exp_lifted(p, p_lo).0, density());
            (w, (-mills(t)).mul_add(w + w_lo, w_lo))
        }
        GateTable::CubicSigmoid => {
            let (z, z_lo) = cubic_exponent(t.min(cubic_last::<V, ANY_X>()));
            exp_lifted(z, z_lo).0
        }
    };
    let tail = match gate {
        GateTable::Cdf => m + q,
        _ => {
            let last = t.min(V::splat(LIFTED_END));
            last.mul_add(m, last * (m * q))
        }
    };
    let right = match gate {
        GateTable::Sigmoid => tail.mul_add(V::splat(-TAIL_UNSCALE), x),
        _ => x,
    };
    V::select(x.gt(V::splat(0.0)), right, -tail.unscale_tail())
}

/// `(v, k)`: `x` times a gate [`beyond`] its table is `v 2^k`.
#[inline(always)]
fn far_value_apart<V: Lanes32, const AT: u8>(x: V, gate: GateTable) -> (V, V) {
    let zero = V::splat(0.0);
    if all_at_limits::<V, AT>(x, gate) {
        return (positive_part(x), zero);
    }
    let t = x.abs();
    let Far { w, square, beside_one, k } = far_gate::<V, AT>(t, gate);
    let last = t.min(last::<V, AT>());
    let (left, left_lo) = match gate {
        GateTable::Sigmoid => (w.0, w.1 - square),
        GateTable::TanhSoftplus => (w.0, square.mul_add(V::splat(-0.5), w.1)),
        GateTable::Cdf => (w.0, (-mills(last)).mul_add(w.0 + w.1, w.1)),
        GateTable::CubicSigmoid => w,
    };
    let left = match gate {
        GateTable::Cdf => -(left + left_lo),
        _ => (-last).mul_add(left, -(last * left_lo)),
    };
    let right = match gate {
        GateTable::Sigmoid => last.mul_add(square - beside_one, x),
        _ => x,
    };
    let positive = x.gt(zero);
    (V::select(positive, right, left), V::select(positive, zero, k))
}

/// `(d, k)`: the slope of `x` times a gate [`beyond`] its table is `d 2^k`.
#[inline(always)]
fn far_slope<V: Lanes32, const AT: u8>(x: V, gate: GateTable) -> (V, V) {
    let (zero, one) = (V::splat(0.0), V::splat(1.0));
    let positive = x.gt(zero);
    if all_at_limits::<V, AT>(x, gate) {
        return (V::select(positive, one, V::splat(-0.0)), zero);
    }
    let t = x.abs();
    let Far { w, square, beside_one, k } = far_gate::<V, AT>(t, gate);
    let last = t.min(last::<V, AT>());
    let less = one - last;
    let rest = square * ((last + last) - one);
    let left = match gate {
        // w (1 - t) - w^2 (1 - 2 t)
        GateTable::Sigmoid => w.0.mul_add(less, w.1.mul_add(less, rest)),
        // w (1 - t) - w^2 (1/2 - t)
        GateTable::TanhSoftplus => {
            w.0.mul_add(less, w.1.mul_add(less, square * (last - V::splat(0.5))))
        }
        // -w t (1 - R / t), with t R = 1 - r and w the density
        GateTable::Cdf => {
            let last = last.min(cdf_last::<V, AT>());
            let factor = (one - mills(last)) / (last * last);
            let (p, p_lo) = two_prod(w.0, -last);
            let p_lo = (-last).mul_add(w.1, p_lo);
            p + (-(p + p_lo)).mul_add(factor, p_lo)
        }
        // w (1 - t z'), where z is the exponent and t z' = 3 z - 2 c1 t
        GateTable::CubicSigmoid => {
            let last = last.min(cubic_last::<V, AT>());
            let (z, z_lo) = cubic_exponent(last);
            let less = last.mul_add(V::splat(2.0 * GELU_TANH_1.0 as f32), one);
            let three = V::splat(-3.0);
            let less = z.mul_add(three, z_lo.mul_add(three, less));
            w.0.mul_add(less, w.1 * less)
        }
    };
    let right = match gate {
        GateTable::Sigmoid => one - beside_one.mul_add(less, rest),
        _ => one,
    };
    (V::select(positive, right, left), V::select(positive, zero, k))
}

/// What is computed where no lane is [`beyond`], and what else if one is: `$far` and `$near` give
/// `x` and `k` of `x 2^k`.
macro_rules! near_or_far {
    ($AT:ident, $x:ident, $gate:ident, $far:expr, $near:expr) => {{
        let zero = V::splat(0.0);
        let far = beyond($x, $gate);
        let some = $AT != IN_TABLE && V::any(far);
        let (mut end, mut k) = ($x, zero);
        if some {
            core::hint::cold_path();
            (end, k) = $far;
            if V::all(far) {
                return (end, k);
            }
            k = V::select(far, k, zero);
        }
        let y = $near;
        (if some { V::select(far, end, y) } else { y }, k)
    }};
}

/// `x` times a gate, over `2^k` if that `WAITS`, and `k`; rounded else.
#[inline(always)]
fn gated<V: Lanes32, const AT: u8, const WAITS: bool>(x: V, gate: GateTable) -> (V, V) {
    near_or_far!(
        AT,
        x,
        gate,
        if WAITS { far_value_apart::<V, AT>(x, gate) } else { (far_value(x, gate), V::splat(0.0)) },
        {
            let t = x.abs();
            match gate {
                GateTable::Sigmoid => {
                    let (base, rest) = SILU.at(t);
                    positive_part(x) - (base + rest)
                }
                GateTable::TanhSoftplus => {
                    let (v, v_lo) = TANH_SOFTPLUS.exact(x.min(V::splat(MISH_OPEN)));
                    // The sum of two zeros may have lost the sign.
                    let low = x.min(V::splat(f32::MAX)) * v_lo;
                    x.mul_add(v, low).copysign(x)
                }
                GateTable::Cdf => {
                    let t = t.min(V::splat(GELU_TABLE_END));
                    opened(x, t, times(gauss(t), MILLS.at(t)))
                }
                GateTable::CubicSigmoid => {
                    let t = t.min(V::splat(GELU_TANH_TABLE_END));
                    opened(x, t, times(cubic(t), CUBIC_GATE.at(t.min(V::splat(CUBIC_OPEN)))))
                }
            }
        }
    )
}

/// `x` times a gate, rounded.
#[inline(always)]
pub(crate) fn gated_value<V: Lanes32, const AT: u8>(x: V, gate: GateTable) -> V {
    gated::<V, AT, false>(x, gate).0
}

/// The slope of `x` times a gate, over `2^k`, and `k`.
#[inline(always)]
pub(crate) fn gated_slope<V: Lanes32, const AT: u8>(x: V, gate: GateTable) -> (V, V) {
    near_or_far!(AT, x, gate, far_slope::<V, AT>(x, gate), {
        let t = x.abs();
        let positive = x.gt(V::splat(0.0));
        match gate {
            GateTable::Sigmoid => {
                let tail = SILU_SLOPE.sum(t);
                V::select(positive, V::splat(1.0) - tail, tail)
            }
            GateTable::TanhSoftplus => {
                let (base, rest) = MISH_SLOPE.exact(x.min(V::splat(MISH_SLOPE_OPEN)));
                base + rest
            }
            GateTable::Cdf => {
                let t = t.min(V::splat(GELU_TABLE_END));
                let (v, lo) = reflected(positive, times(gauss(t), MILLS_SLOPE.at(t)));
                v + lo
            }
            GateTable::CubicSigmoid => {
                let t = t.min(V::splat(GELU_TANH_TABLE_END));
                let (v, lo) = reflected(positive, times(cubic(t), CUBIC_SLOPE.sharp(t)));
                v + lo
            }
        }
    })
}

/// `tail` on the left, 1 less `tail` on the right.
#[inline(always)]
fn reflected<V: Lanes32>(positive: V::Mask, (tail, lo): (V, V)) -> (V, V) {
    (V::select(positive, V::splat(1.0) - tail, tail), V::select(positive, -lo, lo))
}

/// `m 2^k a b`, given `a b` and what it makes: another way where `a b` has overflowed, which two factors
/// up to [`FACTOR_END`] do not.
#[inline(always)]
pub(crate) fn unless_over<V: Lanes32, const AT: u8>(product: V, y: V, of: [V; 4]) -> V {
    let over = product.abs().gt(V::splat(f32::MAX));
    if AT != ANY_X && V::any(over) {
        core::hint::cold_path();
        return V::select(over, in_f64(of), y);
    }
    y
}

/// `m 2^k a b` for `-600 < k <= 0` in registers of f64, where nothing overflows.
#[inline(always)]
fn in_f64<V: Lanes32>([m, k, a, b]: [V; 4]) -> V {
    let ((m, n), (i, j), (a, c), (b, d)) = (m.widen(), k.widen(), a.widen(), b.widen());
    let round = V::Wide::splat(super::ROUND);
    let one = V::Wide::splat(1.0);
    V::narrow(m * one.add_exponent(i + round) * (a * b), n * one.add_exponent(j + round) * (c * d))
}

/// `slope 2^k a b`.
#[inline(always)]
fn times_both<V: Lanes32, const AT: u8>((slope, k): (V, V), a: V, b: V) -> V {
    let product = a * b;
    let y = rescale::<V, AT>(slope * product, k);
    unless_over::<V, AT>(product, y, [slope, k, a, b])
}

/// The slope of `x` times a gate, times `a` and `b`.
#[inline(always)]
pub(crate) fn slope_product<V: Lanes32, const AT: u8>(x: V, a: V, b: V, gate: GateTable) -> V {
    if gate != GateTable::Cdf {
        return times_both::<V, AT>(gated_slope::<V, AT>(x, gate), a, b);
    }
    // From gate and density: where the slope passes through 0, half types see what a table rounds off.
    let slope = F32Tabled::<V, AT>(x).slope_sum(at::<V, AT>(x, Prim::Cdf)).0;
    let near = times_both::<V, IN_TABLE>((slope, V::splat(0.0)), a, b);
    let far = beyond(x, gate);
    if AT == IN_TABLE || !V::any(far) {
        return near;
    }
    core::hint::cold_path();
    V::select(far, times_both::<V, AT>(far_slope::<V, AT>(x, gate), a, b), near)
}

/// `x` times a gate, times `factor`.
#[inline(always)]
pub(crate) fn gated_product<V: Lanes32, const AT: u8>(x: V, factor: V, gate: GateTable) -> V {
    let (value, k) = gated::<V, AT, true>(x, gate);
    // A subnormal number that the gate makes smaller loses bits: there it comes last.
    let tiny = V::splat(1e-30).gt(x.abs());
    let at_zero = V::splat(match gate {
        GateTable::TanhSoftplus => 0.6,
        GateTable::Sigmoid | GateTable::Cdf | GateTable::CubicSigmoid => 0.5,
    });
    let product = V::select(tiny, factor * at_zero, value) * V::select(tiny, x, factor);
    rescale::<V, AT>(product, k)
}

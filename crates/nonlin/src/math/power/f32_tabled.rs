//! Powers of e in registers of f32, as `m (1 + q)`: a factor of few bits from a table, and a small rest.

use crate::math::range::{ANY_X, EXP_SPLIT_FROM, IN_TABLE, last};
use crate::math::tables::{EXP_REST, LN2_16_HI, LN2_16_LO, PER_LN2, POWER, POWER_REST, ROOT};
use crate::simd::{Lanes32, ROUND_F32, TAIL_SCALE_LOG2};

/// [`ROUND_F32`] for powers times `2^TAIL_SCALE_LOG2`.
const OVER: f32 = ROUND_F32 + 16.0 * TAIL_SCALE_LOG2 as f32;

/// `(m, q)` with `e^-p = m (1 + q)`, the first of 12 bits and `|q| < 0.025`, from `p` to an integer
/// number of sixteenths of ln 2: `u` is that integer plus `ROUND_F32`, `r` what is left of `-p`.
#[inline(always)]
pub(crate) fn power<V: Lanes32>(u: V, r: V) -> (V, V) {
    let q = rest_of_power(r + u.lookup_short(&POWER_REST.0));
    (u.lookup_short(&POWER.0).add_shifted(u), q)
}

/// `(m, q)` with `e^-(p + e) 2^i = m (1 + q)`, where `over` is `ROUND_F32 + 16 i`, and nearly `q^2`, known before
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
pub(crate) fn exp<V: Lanes32>(p: V, e: V) -> (V, V) {
    exp_times(p, e, V::splat(ROUND_F32)).0
}

/// What [`exp_times`] has for `i = TAIL_SCALE_LOG2`: `e^-(p + e) 2^TAIL_SCALE_LOG2`, for `0 <= p <= LIFTED_END`.
#[inline(always)]
pub(crate) fn exp_lifted<V: Lanes32>(p: V, e: V) -> ((V, V), V) {
    exp_times(p, e, V::splat(OVER))
}

/// `(m, q)` and `k` with `e^-(p + e) = m (1 + q) 2^k`, for `0 <= p <= last`. Up to `EXP_SPLIT_FROM` `k` is 0;
/// beyond, `ANY_X`, it is `-TAIL_SCALE_LOG2`, else `m` is near 2^-16, so that it can be multiplied by any number.
#[inline(always)]
pub(crate) fn exp_split<V: Lanes32, const RANGE: u8>(p: V, e: V) -> ((V, V), V) {
    let (zero, round) = (V::splat(0.0), V::splat(ROUND_F32));
    let split = p.gt(V::splat(EXP_SPLIT_FROM));
    if RANGE == ANY_X {
        let (power, _) = exp_times(p, e, V::select(split, V::splat(OVER), round));
        return (power, V::select(split, V::splat(-(TAIL_SCALE_LOG2 as f32)), zero));
    }
    let u = p.mul_add(V::splat(-PER_LN2), round);
    let n = u - round;
    let r = n.mul_add(V::splat(-LN2_16_HI), -p); // exact
    let r = n.mul_add(V::splat(-LN2_16_LO), r) - e;
    let k = n.mul_add(V::splat(1.0 / 16.0), round) - round + V::splat(16.0);
    let k = V::select(split, k, zero);
    (power(k.mul_add(V::splat(-16.0), u), r), k)
}

/// [`exp_split`] where some lanes may be far out, else with a `k` that is known to be 0.
#[inline(always)]
pub(crate) fn exp_within<V: Lanes32, const RANGE: u8>(p: V) -> ((V, V), V) {
    let zero = V::splat(0.0);
    if RANGE == IN_TABLE {
        (exp(p, zero), zero)
    } else {
        exp_split::<V, RANGE>(p.min(last::<V, RANGE>()), zero)
    }
}

/// What `e^x` is divided by when all terms of a softmax are: `2^i`, as [`exp_over`] takes it, for
/// `|i| < 2^17`.
#[inline(always)]
pub(crate) fn over(i: f32) -> f32 {
    ROUND_F32 - 16.0 * i
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

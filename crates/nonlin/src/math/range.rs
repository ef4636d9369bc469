//! Where the lanes of an f32 register may lie, and what may multiply a result: one of three ranges, for
//! which the f32 kernels with tables are compiled apart.
//!
//! [`IN_TABLE`], all lanes are known to lie within the tables (a definition says between which inputs:
//! [`Reach`](crate::activation::Reach)); else some may be far out. There, powers of `e^-|x|`
//! stand for the tables, and where such a power may be no normal number, its exponent is kept apart
//! to the end ([`Jet::k`](super::Jet::k)), or all is lifted by a power of two: processors take a hundred
//! cycles over subnormal numbers.

use crate::simd::{Lanes, Lanes32, Lanes64, ROUND};

/// All lanes lie within the tables.
pub(crate) const IN_TABLE: u8 = 0;

/// Some lanes may be far out, and what multiplies them is at most [`FACTOR_END`]: exponents that are
/// kept apart are all [`TAIL_SCALE_LOG2`](crate::simd::TAIL_SCALE_LOG2).
pub(crate) const ANY_X: u8 = 1;
/// Some lanes may be far out, and anything may multiply them.
pub(crate) const ANY_X_ANY_FACTOR: u8 = 2;

/// Up to two factors so large are ordinary: from `e^-LIFTED_END` they make nothing.
pub(crate) const FACTOR_END: f32 = 4_194_304.0; // 2^22

/// From here on the exponent of a power of e is kept apart. What rounding `e^-EXP_SPLIT_FROM` loses is still a
/// normal number.
pub(crate) const EXP_SPLIT_FROM: f32 = 60.0;

/// What is multiplied by `e^-FARTHEST` is 0.
const FARTHEST: f32 = 400.0;

/// `e^-LIFTED_END` times this and two factors is 0, and times `2^TAIL_SCALE_LOG2` a normal number, as is what
/// rounding that loses.
pub(crate) const LIFTED_END: f32 = 140.0;

/// The greatest `t` whose `e^-t` can still show: [`FARTHEST`], or [`LIFTED_END`] where factors are at most
/// [`FACTOR_END`].
#[inline(always)]
pub(crate) fn last<V: Lanes32, const RANGE: u8>() -> V {
    V::splat(if RANGE == ANY_X { LIFTED_END } else { FARTHEST })
}

/// `2^k (v + lo)`, in one number where `k` is not 0.
#[inline(always)]
pub(crate) fn scale_sum<V: Lanes32, const RANGE: u8>((v, lo): (V, V), k: V) -> (V, V) {
    let zero = V::splat(0.0);
    let apart = k.abs().gt(zero);
    (V::select(apart, rescale::<V, RANGE>(v + lo, k), v), V::select(apart, zero, lo))
}

/// `2^k v`, rounded.
#[inline(always)]
pub(crate) fn rescale<V: Lanes32, const RANGE: u8>(v: V, k: V) -> V {
    match RANGE {
        IN_TABLE => v,
        ANY_X => V::select(k.abs().gt(V::splat(0.0)), v.abs().unscale_tail().copysign(v), v),
        _ => v.scale2(k),
    }
}

/// `m 2^k a b`, given `a b` and what it makes: another way where `a b` has overflowed, which two factors
/// up to [`FACTOR_END`] do not.
#[inline(always)]
pub(crate) fn unless_over<V: Lanes32, const RANGE: u8>(product: V, y: V, of: [V; 4]) -> V {
    let over = product.abs().gt(V::splat(f32::MAX));
    if RANGE != ANY_X && V::any(over) {
        core::hint::cold_path();
        return V::select(over, in_f64(of), y);
    }
    y
}

/// `m 2^k a b` for `-600 < k <= 0` in registers of f64, where nothing overflows.
#[inline(always)]
fn in_f64<V: Lanes32>([m, k, a, b]: [V; 4]) -> V {
    let ((m, n), (i, j), (a, c), (b, d)) = (m.widen(), k.widen(), a.widen(), b.widen());
    let round = V::Wide::splat(ROUND);
    let one = V::Wide::splat(1.0);
    V::narrow(m * one.add_exponent(i + round) * (a * b), n * one.add_exponent(j + round) * (c * d))
}

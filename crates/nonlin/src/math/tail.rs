//! What is left of a sigmoid-like function far out, beyond its table: powers of `w = e^-t`, in registers
//! of f32.

use super::compensated::expand;
use super::power::f32_tabled::{exp_lifted, exp_split};
use super::range::{LIFTED_END, last};
use crate::simd::{Lanes32, TAIL_UNSCALE};

/// Less than half a unit in the last place of 1: adding it changes nothing.
const BELOW_ULP_OF_ONE: f32 = 1.0 / (1u64 << 33) as f32;

/// `w = e^-t` far out.
pub(crate) struct Tail<V> {
    /// `w / 2^k` as a sum of two numbers.
    pub(crate) w: (V, V),
    /// `w^2`, where that is something next to `w`.
    pub(crate) square: V,
    /// `w`, where that is something next to 1.
    pub(crate) beside_one: V,
    /// The exponent of the power of two that is kept apart.
    pub(crate) k: V,
}

/// `e^-t`.
#[inline(always)]
pub(crate) fn tail<V: Lanes32, const RANGE: u8>(t: V) -> Tail<V> {
    let (e, k) = exp_split::<V, RANGE>(t.min(last::<V, RANGE>()), V::splat(0.0));
    let w = expand(e);
    let beside_one = V::select(t.gt(V::splat(40.0)), V::splat(0.0), w.0 + w.1);
    Tail { w, square: beside_one * beside_one, beside_one, k }
}

/// `(m, q)` with `w - c w^2 = m (1 + q) / 2^TAIL_SCALE_LOG2` for `w = e^-t`, which is small next to 1.
#[inline(always)]
pub(crate) fn lifted_tail<V: Lanes32>(t: V, c: f32) -> (V, V) {
    let ((m, q), square) = exp_lifted(t.min(V::splat(LIFTED_END)), V::splat(0.0));
    // c times m / 2^TAIL_SCALE_LOG2, the first part of w: not so small that a product is subnormal.
    let w = m.max(V::splat(BELOW_ULP_OF_ONE / TAIL_UNSCALE)) * V::splat(c * TAIL_UNSCALE);
    // q - w (1 + q)^2
    (m, q.mul_add(w.mul_add(V::splat(-2.0), V::splat(1.0)), (-w).mul_add(square, -w)))
}

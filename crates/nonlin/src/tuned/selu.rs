//! SELU at its own constants.

use crate::math::coefficients::SELU_LAMBDA;
use crate::math::exp_m1::EXPM1_TABLE_END;
use crate::math::range::IN_TABLE;
use crate::math::tables::SELU;
use crate::simd::Lanes32;

/// SELU, rounded: its table on the left, lambda times `x` on the right. The first
/// part of lambda is cut off and not rounded, so that the rest is positive: an infinity stays one.
#[inline(always)]
pub(crate) fn selu<V: Lanes32, const RANGE: u8>(x: V) -> V {
    const NEAREST: f32 = SELU_LAMBDA.0 as f32;
    const LAMBDA: f32 = if NEAREST as f64 > SELU_LAMBDA.0 { NEAREST.next_down() } else { NEAREST };
    const REST: f32 = (SELU_LAMBDA.0 - LAMBDA as f64) as f32;
    let c = if RANGE == IN_TABLE { x } else { x.max(V::splat(-EXPM1_TABLE_END)) };
    let (base, rest) = SELU.at(-c);
    let right = x.mul_add(V::splat(LAMBDA), x * V::splat(REST));
    V::select(V::splat(0.0).gt(x), base + rest, right)
}

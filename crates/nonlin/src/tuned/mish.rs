//! Mish: `x` times `tanh(ln(1 + e^x))`.

use super::gate::{F32Gate, outside};
use crate::math::range::{LIFTED_END, last};
use crate::math::tables::{MISH_SLOPE, TANH_SOFTPLUS};
use crate::math::tail::{Tail, lifted_tail, tail};
use crate::math::tanh_softplus::TANH_SOFTPLUS_OPEN;
use crate::simd::Lanes32;

/// Up to here the table of the gate reaches on the left; on the right to where it is 1.
pub(crate) const MISH_TABLE_END: f32 = 10.01;

/// From here on the slope is 1, and `x` times the gate is `x`, to the bit.
const MISH_SLOPE_OPEN: f32 = 10.8;

#[cfg(feature = "half")]
crate::math::table::shortened!(mish_slope: centred(MISH_SLOPE), f16 9 in 3, bf16 9 in 3);

/// `tanh(ln(1 + e^x))`.
pub(super) struct Gate;

impl F32Gate for Gate {
    const AT_ZERO: f32 = 0.6;

    #[inline(always)]
    fn beyond<V: Lanes32>(x: V) -> V::Mask {
        outside(x, MISH_TABLE_END, MISH_SLOPE_OPEN)
    }

    #[inline(always)]
    fn value<V: Lanes32>(x: V, _t: V) -> V {
        let (v, v_lo) = TANH_SOFTPLUS.at_exact_linear(x.min(V::splat(TANH_SOFTPLUS_OPEN)));
        // The sum of two zeros may have lost the sign.
        let low = x.min(V::splat(f32::MAX)) * v_lo;
        x.mul_add(v, low).copysign(x)
    }

    #[inline(always)]
    fn lifted<V: Lanes32>(x: V, t: V) -> (V, V) {
        let (m, q) = lifted_tail(t, 0.5);
        let last = t.min(V::splat(LIFTED_END));
        (x, last.mul_add(m, last * (m * q)))
    }

    #[inline(always)]
    fn split<V: Lanes32, const RANGE: u8>(x: V, t: V) -> (V, (V, V)) {
        let Tail { w, square, k, .. } = tail::<V, RANGE>(t);
        let last = t.min(last::<V, RANGE>());
        let w_lo = square.mul_add(V::splat(-0.5), w.1);
        (x, ((-last).mul_add(w.0, -(last * w_lo)), k))
    }

    #[inline(always)]
    fn slope<V: Lanes32>(x: V, _t: V) -> V {
        let (base, rest) = MISH_SLOPE.at_exact_linear(x.min(V::splat(MISH_SLOPE_OPEN)));
        base + rest
    }

    #[inline(always)]
    fn split_slope<V: Lanes32, const RANGE: u8>(t: V) -> (V, (V, V)) {
        let one = V::splat(1.0);
        let Tail { w, square, k, .. } = tail::<V, RANGE>(t);
        let last = t.min(last::<V, RANGE>());
        let less = one - last;
        // w (1 - t) - w^2 (1/2 - t)
        let left = w.0.mul_add(less, w.1.mul_add(less, square * (last - V::splat(0.5))));
        (one, (left, k))
    }

    #[cfg(feature = "half")]
    #[inline(always)]
    fn slope_for_half<V: Lanes32, const BF16: bool>(x: V) -> V {
        mish_slope::<V, BF16>(x.min(V::splat(MISH_SLOPE_OPEN)))
    }
}

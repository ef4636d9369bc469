//! SiLU: `x` times the sigmoid.

use super::gate::{F32Gate, positive_part};
use crate::math::range::{LIFTED_END, last};
use crate::math::sigmoid::SIGMOID_TABLE_END;
#[cfg(feature = "half")]
use crate::math::sigmoid::reflected;
use crate::math::tables::{SILU, SILU_SLOPE};
use crate::math::tail::{Tail, lifted_tail, tail};
use crate::simd::{Lanes32, TAIL_UNSCALE};

/// The sigmoid.
pub(super) struct Gate;

#[cfg(feature = "half")]
crate::math::table::shortened!(silu: centred(SILU), f16 7 in 2, bf16 5 in 2);
#[cfg(feature = "half")]
crate::math::table::shortened!(silu_slope: centred(SILU_SLOPE), f16 7 in 2, bf16 6 in 2);

impl F32Gate for Gate {
    const AT_ZERO: f32 = 0.5;

    #[inline(always)]
    fn beyond<V: Lanes32>(x: V) -> V::Mask {
        x.abs().gt(V::splat(SIGMOID_TABLE_END))
    }

    #[inline(always)]
    fn value<V: Lanes32>(x: V, t: V) -> V {
        let (base, rest) = SILU.at(t);
        positive_part(x) - (base + rest)
    }

    #[inline(always)]
    fn lifted<V: Lanes32>(x: V, t: V) -> (V, V) {
        let (m, q) = lifted_tail(t, 1.0);
        let last = t.min(V::splat(LIFTED_END));
        let left = last.mul_add(m, last * (m * q));
        (left.mul_add(V::splat(-TAIL_UNSCALE), x), left)
    }

    #[inline(always)]
    fn split<V: Lanes32, const RANGE: u8>(x: V, t: V) -> (V, (V, V)) {
        let Tail { w, square, beside_one, k } = tail::<V, RANGE>(t);
        let last = t.min(last::<V, RANGE>());
        let left = (-last).mul_add(w.0, -(last * (w.1 - square)));
        (last.mul_add(square - beside_one, x), (left, k))
    }

    #[inline(always)]
    fn slope<V: Lanes32>(x: V, t: V) -> V {
        let tail = SILU_SLOPE.value(t);
        V::select(x.gt(V::splat(0.0)), V::splat(1.0) - tail, tail)
    }

    #[inline(always)]
    fn split_slope<V: Lanes32, const RANGE: u8>(t: V) -> (V, (V, V)) {
        let one = V::splat(1.0);
        let Tail { w, square, beside_one, k } = tail::<V, RANGE>(t);
        let last = t.min(last::<V, RANGE>());
        let less = one - last;
        let rest = square * ((last + last) - one);
        // w (1 - t) - w^2 (1 - 2 t)
        let left = w.0.mul_add(less, w.1.mul_add(less, rest));
        (one - beside_one.mul_add(less, rest), (left, k))
    }

    #[cfg(feature = "half")]
    #[inline(always)]
    fn value_for_half<V: Lanes32, const BF16: bool>(x: V) -> Option<V> {
        Some(positive_part(x) - silu::<V, BF16>(x.abs()))
    }

    #[cfg(feature = "half")]
    #[inline(always)]
    fn slope_for_half<V: Lanes32, const BF16: bool>(x: V) -> V {
        reflected(x, silu_slope::<V, BF16>(x.abs()))
    }
}

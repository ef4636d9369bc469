//! GELU by tanh: `x` times the sigmoid of `2 sqrt(2/pi) (x + 0.044715 x^3)`.

use super::gate::{self, F32Gate, none_between, opened, outside, reflected_sum};
use crate::math::coefficients::{GELU_TANH_1, GELU_TANH_3};
use crate::math::compensated::{expand, expand_times, two_prod};
use crate::math::power::f32_tabled::{exp_lifted, exp_split, power};
use crate::math::range::{ANY_X, LIFTED_END, last};
use crate::math::tables::{CUBIC_GATE, CUBIC_SLOPE, LN2_16_HI, LN2_16_LO, PER_LN2};
use crate::simd::{Lanes32, ROUND_F32};

/// Up to here both tails times their argument are normal numbers, and the tables reach.
pub(crate) const GELU_TANH_TABLE_END: f32 = 9.5;

/// From here on the gate is 1, but for its exponential.
const CUBIC_OPEN: f32 = 5.4;

#[cfg(feature = "half")]
crate::math::table::shortened!(cubic_gate: table(CUBIC_GATE), f16 5 in 2, bf16 4 in 1);
#[cfg(feature = "half")]
crate::math::table::shortened!(cubic_slope: table(CUBIC_SLOPE), f16 7 in 2, bf16 6 in 2);

/// The sigmoid of `2 sqrt(2/pi) (x + 0.044715 x^3)`.
pub(super) struct Gate;

/// From here on GELU by tanh is 0, whatever may multiply it; `ANY_X`, two factors of [`FACTOR_END`].
#[inline(always)]
fn shut<V: Lanes32, const RANGE: u8>() -> V {
    V::splat(if RANGE == ANY_X { 11.9 } else { 16.0 })
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

/// `z = c1 t + c3 t^3`, the exponent, as a sum of two numbers.
#[inline(always)]
fn cubic_exponent<V: Lanes32>(t: V) -> (V, V) {
    let (w, w_lo) = cubic_over(t);
    let (z, z_lo) = two_prod(t, w);
    (z, t.mul_add(w_lo, z_lo))
}

/// `(m, q)` with `e^-z = m (1 + q)`, `z` the exponent, for `0 <= t <= 10`.
#[inline(always)]
fn cubic<V: Lanes32>(t: V) -> (V, V) {
    let (w, w_lo) = cubic_over(t);
    let u = (t * w).mul_add(V::splat(-PER_LN2), V::splat(ROUND_F32));
    let k = u - V::splat(ROUND_F32);
    // The second product is exact, and so is the difference but for the last bits.
    let r = (-t).mul_add(w, k * V::splat(-LN2_16_HI));
    power(u, k.mul_add(V::splat(-LN2_16_LO), (-t).mul_add(w_lo, r)))
}

/// `e^-z = m 2^k`, `m` as a sum of two numbers, for `t` beyond the table.
#[inline(always)]
fn split_exp<V: Lanes32, const RANGE: u8>(t: V) -> ((V, V), V) {
    let (z, z_lo) = cubic_exponent(t.min(shut::<V, RANGE>()));
    let (e, k) = exp_split::<V, RANGE>(z, z_lo);
    (expand(e), k)
}

impl F32Gate for Gate {
    const AT_ZERO: f32 = 0.5;

    #[inline(always)]
    fn beyond<V: Lanes32>(x: V) -> V::Mask {
        // From 7 on `x` times the gate is `x`, and its slope 1, to the bit.
        outside(x, GELU_TANH_TABLE_END, 7.0)
    }

    #[inline(always)]
    fn all_at_limits<V: Lanes32, const RANGE: u8>(x: V) -> bool {
        none_between(x, GELU_TANH_TABLE_END, shut::<V, RANGE>())
    }

    #[inline(always)]
    fn closed<V: Lanes32, const RANGE: u8>(x: V, m: V) -> V {
        gate::closed::<V, RANGE>(x, m, shut::<V, RANGE>())
    }

    #[inline(always)]
    fn value<V: Lanes32>(x: V, t: V) -> V {
        let t = t.min(V::splat(GELU_TANH_TABLE_END));
        opened(x, t, expand_times(cubic(t), CUBIC_GATE.at(t.min(V::splat(CUBIC_OPEN)))))
    }

    #[inline(always)]
    fn lifted<V: Lanes32>(x: V, t: V) -> (V, V) {
        let (z, z_lo) = cubic_exponent(t.min(shut::<V, ANY_X>()));
        let (m, q) = exp_lifted(z, z_lo).0;
        let last = t.min(V::splat(LIFTED_END));
        (x, last.mul_add(m, last * (m * q)))
    }

    #[inline(always)]
    fn split<V: Lanes32, const RANGE: u8>(x: V, t: V) -> (V, (V, V)) {
        let (w, k) = split_exp::<V, RANGE>(t);
        let last = t.min(last::<V, RANGE>());
        (x, ((-last).mul_add(w.0, -(last * w.1)), k))
    }

    #[inline(always)]
    fn slope<V: Lanes32>(x: V, t: V) -> V {
        let t = t.min(V::splat(GELU_TANH_TABLE_END));
        reflected_sum(x, expand_times(cubic(t), CUBIC_SLOPE.at_linear_last(t)))
    }

    #[inline(always)]
    fn split_slope<V: Lanes32, const RANGE: u8>(t: V) -> (V, (V, V)) {
        let one = V::splat(1.0);
        let (w, k) = split_exp::<V, RANGE>(t);
        // w (1 - t z'), where z is the exponent and t z' = 3 z - 2 c1 t
        let last = t.min(last::<V, RANGE>()).min(shut::<V, RANGE>());
        let (z, z_lo) = cubic_exponent(last);
        let less = last.mul_add(V::splat(2.0 * GELU_TANH_1.0 as f32), one);
        let three = V::splat(-3.0);
        let less = z.mul_add(three, z_lo.mul_add(three, less));
        (one, (w.0.mul_add(less, w.1 * less), k))
    }

    #[cfg(feature = "half")]
    #[inline(always)]
    fn value_for_half<V: Lanes32, const BF16: bool>(x: V) -> Option<V> {
        let t = x.abs().min(V::splat(GELU_TANH_TABLE_END));
        let (m, q) = cubic(t);
        let tail = m.mul_add(q, m) * cubic_gate::<V, BF16>(t.min(V::splat(CUBIC_OPEN)));
        Some(x * crate::math::sigmoid::reflected(x, tail))
    }

    #[cfg(feature = "half")]
    #[inline(always)]
    fn slope_for_half<V: Lanes32, const BF16: bool>(x: V) -> V {
        let t = x.abs().min(V::splat(GELU_TANH_TABLE_END));
        let (m, q) = cubic(t);
        crate::math::sigmoid::reflected(x, m.mul_add(q, m) * cubic_slope::<V, BF16>(t))
    }
}

//! GELU: `x` times the normal distribution function.

use super::gate::{
    self, F32Gate, none_between, opened, outside, reflected_sum, slope_beyond, times_both,
};
use crate::math::compensated::{expand_times, two_prod};
use crate::math::normal_cdf::{self, CDF_TABLE_END, density, gauss};
use crate::math::power::f32_tabled::{exp_lifted, exp_split};
use crate::math::range::{ANY_X, IN_TABLE, last};
use crate::math::tables::{MILLS, MILLS_SLOPE};
use crate::simd::Lanes32;

/// The normal distribution function.
pub(super) struct Gate;

#[cfg(feature = "half")]
crate::math::table::shortened!(mills_slope: octaves(MILLS_SLOPE), f16 6 in 2, bf16 5 in 2);

/// From here on GELU is 0, whatever may multiply it; `ANY_X`, two factors of [`FACTOR_END`].
#[inline(always)]
fn shut<V: Lanes32, const RANGE: u8>() -> V {
    V::splat(if RANGE == ANY_X { 16.7 } else { 24.0 })
}

/// `1 - t R(t)`, where `R` is the tail of the normal distribution over its density, by its asymptotic
/// series (Abramowitz and Stegun 26.2.12), for `t >= CDF_TABLE_END`.
#[inline(always)]
fn mills<V: Lanes32>(t: V) -> V {
    let s = V::splat(1.0) / (t * t);
    let series = s.mul_add(V::splat(-945.0), V::splat(105.0));
    let series = s.mul_add(series, V::splat(-15.0));
    let series = s.mul_add(series, V::splat(3.0));
    s * s.mul_add(-series, V::splat(1.0))
}

impl F32Gate for Gate {
    const AT_ZERO: f32 = 0.5;

    #[inline(always)]
    fn beyond<V: Lanes32>(x: V) -> V::Mask {
        // From 7 on `x` times the gate is `x`, and its slope 1, to the bit.
        outside(x, CDF_TABLE_END, 7.0)
    }

    #[inline(always)]
    fn all_at_limits<V: Lanes32, const RANGE: u8>(x: V) -> bool {
        none_between(x, CDF_TABLE_END, shut::<V, RANGE>())
    }

    #[inline(always)]
    fn closed<V: Lanes32, const RANGE: u8>(x: V, m: V) -> V {
        gate::closed::<V, RANGE>(x, m, shut::<V, RANGE>())
    }

    #[inline(always)]
    fn value<V: Lanes32>(x: V, t: V) -> V {
        let t = t.min(V::splat(CDF_TABLE_END));
        opened(x, t, expand_times(gauss(t), MILLS.at(t)))
    }

    #[inline(always)]
    fn lifted<V: Lanes32>(x: V, t: V) -> (V, V) {
        // The density, times t R(t).
        let short = t.min(shut::<V, ANY_X>());
        let (p, p_lo) = two_prod(short, short * V::splat(0.5));
        let (w, w_lo) = expand_times(exp_lifted(p, p_lo).0, density());
        (x, w + (-mills(short)).mul_add(w + w_lo, w_lo))
    }

    #[inline(always)]
    fn split<V: Lanes32, const RANGE: u8>(x: V, t: V) -> (V, (V, V)) {
        let (w, k) = split_density::<V, RANGE>(t);
        let last = t.min(last::<V, RANGE>());
        let w_lo = (-mills(last)).mul_add(w.0 + w.1, w.1);
        (x, (-(w.0 + w_lo), k))
    }

    #[inline(always)]
    fn slope<V: Lanes32>(x: V, t: V) -> V {
        let t = t.min(V::splat(CDF_TABLE_END));
        reflected_sum(x, expand_times(gauss(t), MILLS_SLOPE.at(t)))
    }

    #[inline(always)]
    fn split_slope<V: Lanes32, const RANGE: u8>(t: V) -> (V, (V, V)) {
        let one = V::splat(1.0);
        let (w, k) = split_density::<V, RANGE>(t);
        // -w t (1 - R / t), with t R = 1 - r and w the density
        let last = t.min(last::<V, RANGE>()).min(shut::<V, RANGE>());
        let factor = (one - mills(last)) / (last * last);
        let (p, p_lo) = two_prod(w.0, -last);
        let p_lo = (-last).mul_add(w.1, p_lo);
        (one, (p + (-(p + p_lo)).mul_add(factor, p_lo), k))
    }

    /// From gate and density: where the slope passes through 0, half types see what a table rounds off.
    #[inline(always)]
    fn slope_product<V: Lanes32, const RANGE: u8>(x: V, a: V, b: V) -> V {
        let slope = normal_cdf::f32_tabled::<V, RANGE>(x).slope_sum(x);
        let near = times_both::<V, IN_TABLE>((slope, V::splat(0.0)), a, b);
        let far = Self::beyond(x);
        if RANGE == IN_TABLE || !V::any(far) {
            return near;
        }
        core::hint::cold_path();
        V::select(far, times_both::<V, RANGE>(slope_beyond::<Self, V, RANGE>(x), a, b), near)
    }

    #[cfg(feature = "half")]
    #[inline(always)]
    fn slope_for_half<V: Lanes32, const BF16: bool>(x: V) -> V {
        let t = x.abs().min(V::splat(CDF_TABLE_END));
        let tail = normal_cdf::short_gauss(t) * mills_slope::<V, BF16>(t);
        crate::math::sigmoid::reflected(x, tail)
    }
}

/// The density `m 2^k`, `m` as a sum of two numbers, for `t` beyond the table.
#[inline(always)]
fn split_density<V: Lanes32, const RANGE: u8>(t: V) -> ((V, V), V) {
    let t = t.min(shut::<V, RANGE>());
    let (p, p_lo) = two_prod(t, t * V::splat(0.5));
    let (e, k) = exp_split::<V, RANGE>(p, p_lo);
    (expand_times(e, density()), k)
}

//! The standard normal distribution function, and the density that is its slope.

use super::Jet;
use super::coefficients::{CDF_NARROW_DEN, CDF_NARROW_NUM, INV_SQRT_2PI};
use super::compensated::{away, expand_times, multiply, recip, reciprocal_error, times_corrected};
use super::polynomial::{estrin_from, poly};
use super::power::f32_tabled::power;
use super::power::f64_lanes::Exp;
use super::power::f64_to_f32::exp_neg;
use super::range::IN_TABLE;
use super::scale::scale_sum;
use super::tables::{LN2_16_HI, LN2_16_LO, MILLS, PER_LN2};
use super::tables_f64::{TAIL, TAIL_LO, TAIL_SLOPE};
#[cfg(feature = "half")]
use super::{power::f32_for_half, sigmoid};
use crate::simd::{Lanes32, Lanes64, ROUND_F32};

/// Up to here both tails times their argument are normal numbers of f32, and the tables reach.
pub(crate) const CDF_TABLE_END: f32 = 12.4;

#[cfg(feature = "half")]
super::table::shortened!(mills_for_half: octaves(MILLS), f16 6 in 2, bf16 5 in 2);

/// For results that are rounded to f32.
#[inline(always)]
pub(crate) fn f64_to_f32<V: Lanes64>(x: V) -> Jet<V> {
    let t = x.abs().min(V::splat(37.0));
    let e = exp_neg(t * t * V::splat(-0.5));
    let tail = e * poly(t, &CDF_NARROW_NUM) * recip(poly(t, &CDF_NARROW_DEN));
    let v = V::select(x.gt(V::splat(0.0)), V::splat(1.0) - tail, tail);
    let d = e * V::splat(INV_SQRT_2PI.0);
    Jet::register(v, d, -(t.copysign(x) * d))
}

/// For f64 results: at `x + lo`.
#[inline(always)]
pub(crate) fn f64_lanes<V: Lanes64>(x: V, lo: Option<V>) -> Jet<V> {
    let (zero, one) = (V::splat(0.0), V::splat(1.0));
    let t = x.abs().min(V::splat(54.5));
    let t_lo = away(x, lo).map(|lo| -lo);
    let (h, h_lo) = t.two_prod(t);
    let minus_half = V::splat(-0.5);
    let h_lo = match t_lo {
        Some(t_lo) => (t + t).mul_add(t_lo, h_lo),
        None => h_lo,
    };
    let e = Exp::new(h * minus_half, Some(h_lo * minus_half));
    // (t + 3) times what is left of the tail is a polynomial in q = (t - 3) / (t + 3).
    let middle = V::splat(3.0);
    let (n, d) = (t - middle, t + middle);
    let (mut n_lo, mut d_lo) = (t - (n + middle), t - (d - middle));
    if let Some(t_lo) = t_lo {
        (n_lo, d_lo) = (n_lo + t_lo, d_lo + t_lo);
    }
    let y = one / d;
    let c = reciprocal_error(d, d_lo, y);
    let q = n * y;
    let q_lo = (V::residual(n, q, d) + (-q).mul_add(d_lo, n_lo)) * y;
    // The first two terms exactly, the others plainly.
    let (c0, c1) = (V::splat(TAIL[0]), V::splat(TAIL[1]));
    let (p, p_lo) = q.two_prod(c1);
    let f = c0 + p;
    let f_lo = (p - (f - c0)) + (p_lo + V::splat(TAIL_LO));
    let f_lo = q_lo.mul_add(poly(q, &TAIL_SLOPE), f_lo);
    let (m, m_lo) = e.times(f, f_lo, estrin_from(2, q, &TAIL) * (q * q));
    let (tail, tail_lo) = times_corrected(m, m_lo, y, c);
    let positive = x.gt(zero);
    let near = e.unless_small(tail);
    let (u, u_lo) = one.quick_two_sum(-near);
    let v = V::select(positive, u, tail);
    let v_lo = V::select(positive, u_lo - e.unless_small(tail_lo), tail_lo);
    let (mut d, mut d_lo) =
        multiply((e.rounded(), e.rest()), (V::splat(INV_SQRT_2PI.0), V::splat(INV_SQRT_2PI.1)));
    let mut k = zero;
    if e.far {
        core::hint::cold_path();
        // Only the tail on the left keeps 2^k apart.
        k = V::select(positive, zero, e.k);
        (d, d_lo) = scale_sum(V::select(positive, e.k, zero), d, d_lo);
    }
    Jet { v, v_lo, d, d_lo, dd: -(t.copysign(x) * d), k }
}

/// For f32 results, in registers of f32.
#[inline(always)]
pub(crate) fn f32_tabled<V: Lanes32, const RANGE: u8>(x: V) -> Jet<V> {
    let zero = V::splat(0.0);
    // e^(-t^2/2) times the tail over it. Below -CDF_TABLE_END nobody needs it.
    let t = x.abs().min(V::splat(CDF_TABLE_END));
    let e = gauss(t);
    let (v, v_lo) = open(x.gt(zero), expand_times(e, MILLS.at(t)));
    let shut = V::splat(-CDF_TABLE_END).gt(x);
    let v = if RANGE == IN_TABLE { v } else { V::select(shut, V::splat(f32::NAN), v) };
    // The density, and none beyond.
    let d = expand_times(e, density());
    let beyond = x.abs().gt(V::splat(CDF_TABLE_END));
    let d = (V::select(beyond, zero, d.0), V::select(beyond, zero, d.1));
    Jet { v, v_lo, d: d.0, d_lo: d.1, dd: -(x * d.0), k: zero }
}

/// `(m, q)` with `e^-(t^2 / 2) = m (1 + q)`, for `|t| <= CDF_TABLE_END`.
#[inline(always)]
pub(crate) fn gauss<V: Lanes32>(t: V) -> (V, V) {
    let half = t * V::splat(-0.5);
    let u = (half * t).mul_add(V::splat(PER_LN2), V::splat(ROUND_F32));
    let k = u - V::splat(ROUND_F32);
    // Both products are exact, and so is the difference but for the last bits.
    let r = half.mul_add(t, k * V::splat(-LN2_16_HI));
    power(u, k.mul_add(V::splat(-LN2_16_LO), r))
}

/// `1 / sqrt(2 pi)` in 12 bits, and the rest.
#[inline(always)]
pub(crate) fn density<V: Lanes32>() -> (V, V) {
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

/// For results of half types.
#[cfg(feature = "half")]
#[inline(always)]
pub(crate) fn f32_for_half<V: Lanes32, const BF16: bool>(x: V) -> Jet<V> {
    let zero = V::splat(0.0);
    // e^(-t^2/2) times the tail over it.
    let t = x.abs().min(V::splat(CDF_TABLE_END));
    let e = short_gauss(t);
    let q = e * mills_for_half::<V, BF16>(t);
    let v = sigmoid::reflected(x, q);
    let d = e * V::splat(INV_SQRT_2PI.0 as f32);
    let d = V::select(x.abs().gt(V::splat(CDF_TABLE_END)), zero, d);
    Jet::register(v, d, -(x * d))
}

/// For half types: `e^-(t^2 / 2)` for `|t| <= CDF_TABLE_END`; `t^2` is exact, since `t` has at most 11 bits.
#[cfg(feature = "half")]
#[inline(always)]
pub(crate) fn short_gauss<V: Lanes32>(t: V) -> V {
    let p = t * (t * V::splat(0.5));
    let u = p.mul_add(V::splat(-PER_LN2), V::splat(ROUND_F32));
    let k = u - V::splat(ROUND_F32);
    f32_for_half::power(u, k.mul_add(V::splat(-f32_for_half::LN2_16), -p))
}

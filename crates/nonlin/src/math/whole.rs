//! Primitives for results of half types, in registers of f32: a value comes in one number.
//!
//! A result that is rounded to 11 bits at last needs 2^-21 of itself and not 2^-26. So there are no
//! low parts, and the polynomials of `paired` do without their highest powers. Otherwise this is
//! `paired`: the same tables between the same inputs, beyond which `paired` itself takes over.

use super::paired::{
    self, CDF_LAST, CUBIC_LAST, CUBIC_OPEN, ROUND, cubic,
};
use super::table::{Short, Shortened};
use super::tables::{
    CUBIC_GATE, CUBIC_SLOPE, EXP_REST, EXPM1, LN2_16_HI, LN2_16_LO, MILLS, MILLS_SLOPE, PER_LN2,
    POWER, POWER_REST, SIGMOID, SOFTPLUS, TANH, TANH_SLOPE, TANH_SOFTPLUS,
};
use crate::math::coefficients::INV_SQRT_2PI;
use crate::real::{Gating, Jet, Prim, Whole};
use crate::simd::Lanes32;

const SIGMOID_6: Shortened<6, 2> = Shortened::below_half(&SIGMOID);
const SOFTPLUS_6: Shortened<6, 2> = Shortened::centred(&SOFTPLUS);
const EXPM1_6: Shortened<6, 2> = Shortened::centred(&EXPM1);
const TANH_6: Shortened<6, 2> = Shortened::centred(&TANH);
const TANH_SLOPE_8: Shortened<8, 3> = Shortened::centred(&TANH_SLOPE);
const TANH_SOFTPLUS_9: Shortened<9, 3> = Shortened::centred(&TANH_SOFTPLUS);
const GELU_SLOPE_6: Shortened<6, 2> = Shortened::octaves(&MILLS_SLOPE);
const CUBIC_SLOPE_7: Shortened<7, 2> = Shortened::table(&CUBIC_SLOPE);
const CUBIC_GATE_5: Shortened<5, 2> = Shortened::table(&CUBIC_GATE);
const MILLS_6: Shortened<6, 2> = Shortened::octaves(&MILLS);

/// ln 2 / 16, which as an f32 is good to 2^-28.
const LN2_16: f32 = (LN2_16_HI as f64 + LN2_16_LO as f64) as f32;

/// `2^(j/16)`: its representation less `j 2^19`.
const ROOTS: Short = {
    let mut roots = Short([0.0; 16]);
    let mut j = 0;
    while j < 16 {
        let steps = (j as u32) << 19;
        let r = POWER_REST.0[j] as f64;
        let root = f32::from_bits(POWER.0[j].to_bits() + steps) as f64 * (1.0 + r + r * r / 2.0);
        roots.0[j] = f32::from_bits((root as f32).to_bits() - steps);
        j += 1;
    }
    roots
};

/// `e^-p` from `p` to an integer number of sixteenths of ln 2: `u` is that integer plus `ROUND`, `r`
/// what is left of `-p`.
#[inline(always)]
fn power<V: Lanes32>(u: V, r: V) -> V {
    let (c2, c3) = (V::splat(EXP_REST[0]), V::splat(EXP_REST[1]));
    let q = (r * r).mul_add(r.mul_add(c3, c2), r);
    let m = u.lookup_short(&ROOTS.0).add_shifted(u);
    m.mul_add(q, m)
}

/// `e^-(p + e)` for `-87 <= p <= LAST`.
#[inline(always)]
fn exp<V: Lanes32>(p: V, e: V) -> V {
    let u = p.mul_add(V::splat(-PER_LN2), V::splat(ROUND));
    let k = u - V::splat(ROUND);
    power(u, k.mul_add(V::splat(-LN2_16), -p) - e)
}

/// `e^-(t^2 / 2)` for `|t| <= CDF_LAST`; `t^2` is exact, since `t` has at most 11 bits.
#[inline(always)]
fn gauss<V: Lanes32>(t: V) -> V {
    let p = t * (t * V::splat(0.5));
    let u = p.mul_add(V::splat(-PER_LN2), V::splat(ROUND));
    let k = u - V::splat(ROUND);
    power(u, k.mul_add(V::splat(-LN2_16), -p))
}

/// `e^x - 1` for `x <= 0`.
#[inline(always)]
pub(crate) fn exp_m1<V: Lanes32>(x: V) -> V {
    x * EXPM1_6.at(-x)
}

#[inline(always)]
fn jet<V: Lanes32>(v: V, d: V, dd: V) -> Jet<Whole<V>> {
    Jet::new(Whole(v), Whole(d), Whole(dd))
}

/// The sigmoid: its tail, and 1 less that.
#[inline(always)]
fn sigmoid<V: Lanes32>(x: V) -> Jet<Whole<V>> {
    let one = V::splat(1.0);
    let tail = SIGMOID_6.at(x.abs());
    let v = reflected(x, tail);
    let d = (-tail).mul_add(tail, tail);
    jet(v, d, d * (one - (v + v)))
}

/// The primitive `p` at `x`.
#[inline(always)]
pub(crate) fn at<V: Lanes32>(x: V, p: Prim) -> Jet<Whole<V>> {
    let zero = V::splat(0.0);
    match p {
        Prim::Exp => {
            let e = exp(-x, zero);
            jet(e, e, e)
        }
        Prim::ExpM1 => {
            let e = exp(-x, zero);
            jet(exp_m1(x), e, e)
        }
        Prim::Sigmoid => sigmoid(x),
        Prim::Tanh => {
            let t = x.abs();
            let v = x * TANH_6.at(t);
            let d = TANH_SLOPE_8.at(t);
            jet(v, d, V::splat(-2.0) * v * d)
        }
        Prim::Softplus => {
            // For x <= 0 alone.
            let j = sigmoid(x);
            Jet { v: Whole(SOFTPLUS_6.at(-x)), d: j.v, dd: j.d, ..j }
        }
        Prim::TanhSoftplus => {
            // On the right the table reaches to where it is 1. The derivatives are not needed: see
            // `paired`.
            let v = TANH_SOFTPLUS_9.at(x.min(V::splat(9.5)));
            jet(v, V::splat(f32::NAN), V::splat(f32::NAN))
        }
        Prim::Cdf => {
            // e^(-t^2/2) times the tail over it.
            let t = x.abs().min(V::splat(CDF_LAST));
            let e = gauss(t);
            let q = e * MILLS_6.at(t);
            let v = reflected(x, q);
            let d = e * V::splat(INV_SQRT_2PI.0 as f32);
            let d = V::select(x.abs().gt(V::splat(CDF_LAST)), zero, d);
            jet(v, d, -(x * d))
        }
    }
}

/// The gate of GELU by tanh.
#[inline(always)]
pub(crate) fn cubic_gate<V: Lanes32>(x: V) -> V {
    let t = x.abs().min(V::splat(CUBIC_LAST));
    let (m, q) = cubic(t);
    reflected(x, m.mul_add(q, m) * CUBIC_GATE_5.at(t.min(V::splat(CUBIC_OPEN))))
}

/// `tail` where `x <= 0`, else 1 less `tail`.
#[inline(always)]
fn reflected<V: Lanes32>(x: V, tail: V) -> V {
    V::select(x.gt(V::splat(0.0)), V::splat(1.0) - tail, tail)
}

/// The slope of `x` times a gate.
#[inline(always)]
pub(crate) fn gated_slope<V: Lanes32>(x: V, gate: Gating) -> V {
    match gate {
        Gating::Sigmoid | Gating::TanhSoftplus => paired::gated_slope::<V, true>(x, gate).0,
        Gating::Cdf => {
            let t = x.abs().min(V::splat(CDF_LAST));
            reflected(x, gauss(t) * GELU_SLOPE_6.at(t))
        }
        Gating::CubicSigmoid => {
            let t = x.abs().min(V::splat(CUBIC_LAST));
            let (m, q) = cubic(t);
            reflected(x, m.mul_add(q, m) * CUBIC_SLOPE_7.at(t))
        }
    }
}

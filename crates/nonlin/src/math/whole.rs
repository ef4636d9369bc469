//! Primitives for results of half types, in registers of f32: a value comes in one number.
//!
//! A result that is rounded to 11 bits at last needs 2^-21 of itself and not 2^-26. So there are no
//! low parts, and the polynomials of `paired` do without their highest powers. Otherwise this is
//! `paired`: the same tables between the same inputs, beyond which `paired` itself takes over.

use super::paired::{
    CUBIC_OPEN, GELU_TABLE_END, GELU_TANH_TABLE_END, MISH_OPEN, MISH_SLOPE_OPEN, ROUND, cubic,
    positive_part,
};
use super::table::{Shortened, Table16};
use super::tables::{
    CUBIC_GATE, CUBIC_SLOPE, EXP_REST, EXPM1, LN2_16_HI, LN2_16_LO, MILLS, MILLS_SLOPE, MISH_SLOPE,
    PER_LN2, POWER, POWER_REST, SIGMOID, SILU, SILU_SLOPE, SOFTPLUS, TANH, TANH_SLOPE,
    TANH_SOFTPLUS,
};
use crate::math::coefficients::INV_SQRT_2PI;
use crate::real::{F32ForHalf, GateTable, Jet, Prim};
use crate::simd::Lanes32;

/// `$table` where it is asked with `SHORT`, and where without.
macro_rules! shortened {
    ($at:ident: $of:ident($table:ident), $m:literal in $g:literal, short $n:literal in $h:literal) => {
        #[inline(always)]
        fn $at<V: Lanes32, const SHORT: bool>(t: V) -> V {
            const LONG: Shortened<$m, $g> = Shortened::$of(&$table);
            const BRIEF: Shortened<$n, $h> = Shortened::$of(&$table);
            if SHORT { BRIEF.at(t) } else { LONG.at(t) }
        }
    };
}
// So many coefficients that no number of 11 bits, and of 8, is rounded to another by more than 0.001
// units.
shortened!(sigmoid_tail: below_half(SIGMOID), 6 in 2, short 5 in 2);
shortened!(softplus: centred(SOFTPLUS), 6 in 2, short 5 in 2);
shortened!(silu: centred(SILU), 7 in 2, short 5 in 2);
shortened!(silu_slope: centred(SILU_SLOPE), 7 in 2, short 6 in 2);
shortened!(mish_slope: centred(MISH_SLOPE), 9 in 3, short 9 in 3);
shortened!(expm1: centred(EXPM1), 6 in 2, short 5 in 2);
shortened!(tanh_over: centred(TANH), 6 in 2, short 5 in 2);
shortened!(tanh_slope: centred(TANH_SLOPE), 8 in 3, short 7 in 2);
shortened!(tanh_softplus: centred(TANH_SOFTPLUS), 9 in 3, short 7 in 2);
shortened!(mills_slope: octaves(MILLS_SLOPE), 6 in 2, short 5 in 2);
shortened!(cubic_slope: table(CUBIC_SLOPE), 7 in 2, short 6 in 2);
shortened!(cubic_gate: table(CUBIC_GATE), 5 in 2, short 4 in 1);
shortened!(mills: octaves(MILLS), 6 in 2, short 5 in 2);

/// ln 2 / 16, which as an f32 is good to 2^-28.
const LN2_16: f32 = (LN2_16_HI as f64 + LN2_16_LO as f64) as f32;

/// `2^(j/16)`: its representation less `j 2^19`.
const ROOTS: Table16 = {
    let mut roots = Table16([0.0; 16]);
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

/// `e^-(p + e)` for `-87 <= p <= 87`.
#[inline(always)]
fn exp<V: Lanes32>(p: V, e: V) -> V {
    let u = p.mul_add(V::splat(-PER_LN2), V::splat(ROUND));
    let k = u - V::splat(ROUND);
    power(u, k.mul_add(V::splat(-LN2_16), -p) - e)
}

/// `e^-(t^2 / 2)` for `|t| <= GELU_TABLE_END`; `t^2` is exact, since `t` has at most 11 bits.
#[inline(always)]
fn gauss<V: Lanes32>(t: V) -> V {
    let p = t * (t * V::splat(0.5));
    let u = p.mul_add(V::splat(-PER_LN2), V::splat(ROUND));
    let k = u - V::splat(ROUND);
    power(u, k.mul_add(V::splat(-LN2_16), -p))
}

/// `e^x - 1` for `x <= 0`.
#[inline(always)]
pub(crate) fn exp_m1<V: Lanes32, const SHORT: bool>(x: V) -> V {
    x * expm1::<V, SHORT>(-x)
}

#[inline(always)]
fn jet<V: Lanes32, const SHORT: bool>(v: V, d: V, dd: V) -> Jet<F32ForHalf<V, SHORT>> {
    Jet::new(F32ForHalf(v), F32ForHalf(d), F32ForHalf(dd))
}

/// The sigmoid: its tail, and 1 less that.
#[inline(always)]
fn sigmoid<V: Lanes32, const SHORT: bool>(x: V) -> Jet<F32ForHalf<V, SHORT>> {
    let one = V::splat(1.0);
    let tail = sigmoid_tail::<V, SHORT>(x.abs());
    let v = reflected(x, tail);
    let d = (-tail).mul_add(tail, tail);
    jet(v, d, d * (one - (v + v)))
}

/// The primitive `p` at `x`.
#[inline(always)]
pub(crate) fn at<V: Lanes32, const SHORT: bool>(x: V, p: Prim) -> Jet<F32ForHalf<V, SHORT>> {
    let zero = V::splat(0.0);
    match p {
        Prim::Exp => {
            let e = exp(-x, zero);
            jet(e, e, e)
        }
        Prim::ExpM1 => {
            let e = exp(-x, zero);
            jet(exp_m1::<V, SHORT>(x), e, e)
        }
        Prim::Sigmoid => sigmoid(x),
        Prim::Tanh => {
            let t = x.abs();
            let v = x * tanh_over::<V, SHORT>(t);
            let d = tanh_slope::<V, SHORT>(t);
            jet(v, d, V::splat(-2.0) * v * d)
        }
        Prim::Softplus => {
            // For x <= 0 alone.
            let j = sigmoid(x);
            Jet { v: F32ForHalf(softplus::<V, SHORT>(-x)), d: j.v, dd: j.d, ..j }
        }
        Prim::TanhSoftplus => {
            // On the right the table reaches to where it is 1. The derivatives are not needed: see
            // `paired`.
            let v = tanh_softplus::<V, SHORT>(x.min(V::splat(MISH_OPEN)));
            jet(v, V::splat(f32::NAN), V::splat(f32::NAN))
        }
        Prim::Cdf => {
            // e^(-t^2/2) times the tail over it.
            let t = x.abs().min(V::splat(GELU_TABLE_END));
            let e = gauss(t);
            let q = e * mills::<V, SHORT>(t);
            let v = reflected(x, q);
            let d = e * V::splat(INV_SQRT_2PI.0 as f32);
            let d = V::select(x.abs().gt(V::splat(GELU_TABLE_END)), zero, d);
            jet(v, d, -(x * d))
        }
    }
}

/// `x` times a gate, if it is not composed of a primitive.
#[inline(always)]
pub(crate) fn gated_value<V: Lanes32, const SHORT: bool>(x: V, gate: GateTable) -> Option<V> {
    match gate {
        GateTable::Sigmoid => Some(positive_part(x) - silu::<V, SHORT>(x.abs())),
        GateTable::CubicSigmoid => {
            let t = x.abs().min(V::splat(GELU_TANH_TABLE_END));
            let (m, q) = cubic(t);
            let tail = m.mul_add(q, m) * cubic_gate::<V, SHORT>(t.min(V::splat(CUBIC_OPEN)));
            Some(x * reflected(x, tail))
        }
        GateTable::TanhSoftplus | GateTable::Cdf => None,
    }
}

/// `tail` where `x <= 0`, else 1 less `tail`.
#[inline(always)]
fn reflected<V: Lanes32>(x: V, tail: V) -> V {
    V::select(x.gt(V::splat(0.0)), V::splat(1.0) - tail, tail)
}

/// The slope of `x` times a gate.
#[inline(always)]
pub(crate) fn gated_slope<V: Lanes32, const SHORT: bool>(x: V, gate: GateTable) -> V {
    match gate {
        GateTable::Sigmoid => reflected(x, silu_slope::<V, SHORT>(x.abs())),
        GateTable::TanhSoftplus => mish_slope::<V, SHORT>(x.min(V::splat(MISH_SLOPE_OPEN))),
        GateTable::Cdf => {
            let t = x.abs().min(V::splat(GELU_TABLE_END));
            reflected(x, gauss(t) * mills_slope::<V, SHORT>(t))
        }
        GateTable::CubicSigmoid => {
            let t = x.abs().min(V::splat(GELU_TANH_TABLE_END));
            let (m, q) = cubic(t);
            reflected(x, m.mul_add(q, m) * cubic_slope::<V, SHORT>(t))
        }
    }
}

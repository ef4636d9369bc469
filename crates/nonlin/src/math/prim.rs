//! Which primitives there are, and where each class of accuracy finds them.
//!
//! (No primitive may be computed by way of these functions: what is recursive is not inlined, and a
//! register type outside its target function is a call for each operation.)

use super::{Jet, exp, exp_m1, normal_cdf, sigmoid, softplus, tanh, tanh_softplus};
use crate::simd::{Lanes32, Lanes64};

/// A transcendental function that every number type knows, with its derivatives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Prim {
    /// `e^x`.
    Exp,
    /// `e^x - 1`.
    ExpM1,
    /// `1 / (1 + e^-x)`.
    Sigmoid,
    /// Hyperbolic tangent.
    Tanh,
    /// `ln(1 + e^x)`.
    Softplus,
    /// The standard normal distribution function, `(1 + erf(x / sqrt 2)) / 2`.
    Cdf,
    /// `tanh(ln(1 + e^x))`, the gate of Mish.
    TanhSoftplus,
}

impl Prim {
    /// Every primitive.
    pub const ALL: &'static [Prim] = &[
        Prim::Exp,
        Prim::ExpM1,
        Prim::Sigmoid,
        Prim::Tanh,
        Prim::Softplus,
        Prim::Cdf,
        Prim::TanhSoftplus,
    ];

    /// Its name in formulas.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Prim::Exp => "exp",
            Prim::ExpM1 => "expm1",
            Prim::Sigmoid => "sigmoid",
            Prim::Tanh => "tanh",
            Prim::Softplus => "softplus",
            Prim::Cdf => "normal_cdf",
            Prim::TanhSoftplus => "tanh_softplus",
        }
    }
}

/// The primitive `p` at `x`, for results that are rounded to f32.
#[inline(always)]
pub(crate) fn f64_to_f32<V: Lanes64>(x: V, p: Prim) -> Jet<V> {
    match p {
        Prim::Exp => exp::f64_to_f32(x),
        Prim::ExpM1 => exp_m1::f64_to_f32(x),
        Prim::Sigmoid => sigmoid::f64_to_f32(x),
        Prim::Tanh => tanh::f64_to_f32(x),
        Prim::Softplus => softplus::f64_to_f32(x),
        Prim::Cdf => normal_cdf::f64_to_f32(x),
        Prim::TanhSoftplus => tanh_softplus::f64_to_f32(x),
    }
}

/// The primitive `p` at `x + lo`, for f64 results.
#[inline(always)]
pub(crate) fn f64_lanes<V: Lanes64>(x: V, lo: Option<V>, p: Prim) -> Jet<V> {
    match p {
        Prim::Exp => exp::f64_lanes(x, lo),
        Prim::ExpM1 => exp_m1::f64_lanes(x, lo),
        Prim::Sigmoid => sigmoid::f64_lanes::<V, false>(x, lo),
        Prim::Tanh => tanh::f64_lanes::<V, false>(x, lo),
        Prim::Softplus => softplus::f64_lanes(x, lo),
        Prim::Cdf => normal_cdf::f64_lanes(x, lo),
        Prim::TanhSoftplus => tanh_softplus::f64_lanes(x, lo),
    }
}

/// The primitive `p` at `x` for its first derivative: the power of two is the derivative's, also
/// where the value has another, and is not right.
#[inline(always)]
pub(crate) fn f64_lanes_slope<V: Lanes64>(x: V, p: Prim) -> Jet<V> {
    match p {
        Prim::Sigmoid => sigmoid::f64_lanes::<V, true>(x, None),
        Prim::Tanh => tanh::f64_lanes::<V, true>(x, None),
        _ => f64_lanes(x, None, p),
    }
}

/// The primitive `p` at `x`, for f32 results in registers of f32.
#[inline(always)]
pub(crate) fn f32_tabled<V: Lanes32, const RANGE: u8>(x: V, p: Prim) -> Jet<V> {
    match p {
        Prim::Exp => exp::f32_tabled::<V, RANGE>(x),
        Prim::ExpM1 => exp_m1::f32_tabled::<V, RANGE>(x),
        Prim::Sigmoid => sigmoid::f32_tabled::<V, RANGE, false>(x),
        Prim::Tanh => tanh::f32_tabled::<V, RANGE, false>(x),
        Prim::Softplus => softplus::f32_tabled::<V, RANGE>(x),
        Prim::Cdf => normal_cdf::f32_tabled::<V, RANGE>(x),
        Prim::TanhSoftplus => tanh_softplus::f32_tabled(),
    }
}

/// The primitive `p` at `x` for the sake of its derivative: see [`Real::slope_jet`](crate::Real::slope_jet).
#[inline(always)]
pub(crate) fn f32_tabled_slope<V: Lanes32, const RANGE: u8>(x: V, p: Prim) -> Jet<V> {
    match p {
        Prim::Sigmoid => sigmoid::f32_tabled::<V, RANGE, true>(x),
        Prim::Tanh => tanh::f32_tabled::<V, RANGE, true>(x),
        _ => f32_tabled::<V, RANGE>(x, p),
    }
}

/// The primitive `p` at `x`, for results of half types.
#[cfg(feature = "half")]
#[inline(always)]
pub(crate) fn f32_for_half<V: Lanes32, const BF16: bool>(x: V, p: Prim) -> Jet<V> {
    match p {
        Prim::Exp => exp::f32_for_half(x),
        Prim::ExpM1 => exp_m1::f32_for_half::<V, BF16>(x),
        Prim::Sigmoid => sigmoid::f32_for_half::<V, BF16>(x),
        Prim::Tanh => tanh::f32_for_half::<V, BF16>(x),
        Prim::Softplus => softplus::f32_for_half::<V, BF16>(x),
        Prim::Cdf => normal_cdf::f32_for_half::<V, BF16>(x),
        Prim::TanhSoftplus => tanh_softplus::f32_for_half::<V, BF16>(x),
    }
}

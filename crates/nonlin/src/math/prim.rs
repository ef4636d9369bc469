//! Which primitives there are, and where each class of accuracy finds them.
//!
//! (No primitive may be computed by way of these functions: what is recursive is not inlined, and a
//! register type outside its target function is a call for each operation.)

use super::{
    Jet, atan, erf, exp, exp_m1, logarithm, normal_cdf, sigmoid, sin_cos, softplus, sqrt, tanh,
    tanh_softplus,
};
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
    /// The square root; NaN below 0.
    Sqrt,
    /// The natural logarithm; -inf at 0, NaN below.
    Ln,
    /// `ln(1 + x)`; -inf at -1, NaN below.
    Ln1p,
    /// Sine, of all finite numbers; NaN at ±inf.
    Sin,
    /// Cosine, of all finite numbers; NaN at ±inf.
    Cos,
    /// The inverse tangent.
    Atan,
    /// The error function, `2 / sqrt(pi)` times the integral of `e^(-t^2)` from 0 to x.
    Erf,
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
        Prim::Sqrt,
        Prim::Ln,
        Prim::Ln1p,
        Prim::Sin,
        Prim::Cos,
        Prim::Atan,
        Prim::Erf,
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
            Prim::Sqrt => "sqrt",
            Prim::Ln => "ln",
            Prim::Ln1p => "log1p",
            Prim::Sin => "sin",
            Prim::Cos => "cos",
            Prim::Atan => "atan",
            Prim::Erf => "erf",
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
        Prim::Sqrt => sqrt::f64_to_f32(x),
        Prim::Ln => logarithm::ln_f64_to_f32(x),
        Prim::Ln1p => logarithm::ln_1p_f64_to_f32(x),
        Prim::Sin => sin_cos::sin_f64_to_f32(x),
        Prim::Cos => sin_cos::cos_f64_to_f32(x),
        Prim::Atan => atan::f64_to_f32(x),
        Prim::Erf => erf::f64_to_f32(x),
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
        Prim::Sqrt => sqrt::f64_lanes(x, lo),
        Prim::Ln => logarithm::ln_f64_lanes(x, lo),
        Prim::Ln1p => logarithm::ln_1p_f64_lanes(x, lo),
        Prim::Sin => sin_cos::sin_f64_lanes(x, lo),
        Prim::Cos => sin_cos::cos_f64_lanes(x, lo),
        Prim::Atan => atan::f64_lanes(x, lo),
        Prim::Erf => erf::f64_lanes::<V, false>(x, lo),
    }
}

/// The primitive `p` at `x` for its first derivative: the power of two is the derivative's, also
/// where the value has another, and is not right.
#[inline(always)]
pub(crate) fn f64_lanes_slope<V: Lanes64>(x: V, p: Prim) -> Jet<V> {
    match p {
        Prim::Sigmoid => sigmoid::f64_lanes::<V, true>(x, None),
        Prim::Tanh => tanh::f64_lanes::<V, true>(x, None),
        Prim::Erf => erf::f64_lanes::<V, true>(x, None),
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
        Prim::Sqrt | Prim::Ln | Prim::Ln1p | Prim::Sin | Prim::Cos | Prim::Atan | Prim::Erf => {
            let [v, d, dd] = widened(x, p);
            let (v, d) = (in_two(v), in_two(d));
            Jet {
                v: v.0,
                v_lo: v.1,
                d: d.0,
                d_lo: d.1,
                dd: V::narrow(dd.0, dd.1),
                k: V::splat(0.0),
            }
        }
    }
}

/// A primitive without tables: value, first and second derivative for either half of a register.
#[inline(always)]
fn widened<V: Lanes32>(x: V, p: Prim) -> [(V::Wide, V::Wide); 3] {
    let (a, b) = x.widen();
    let (a, b) = (f64_to_f32(a, p), f64_to_f32(b, p));
    [(a.v, b.v), (a.d, b.d), (a.dd, b.dd)]
}

/// Numbers of f64 as sums of two of f32.
#[inline(always)]
fn in_two<V: Lanes32>((lo, hi): (V::Wide, V::Wide)) -> (V, V) {
    let v = V::narrow(lo, hi);
    let (i, j) = v.widen();
    (v, V::narrow(lo - i, hi - j))
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
        Prim::Sqrt | Prim::Ln | Prim::Ln1p | Prim::Sin | Prim::Cos | Prim::Atan | Prim::Erf => {
            let [v, d, dd] = widened(x, p);
            Jet::register(V::narrow(v.0, v.1), V::narrow(d.0, d.1), V::narrow(dd.0, dd.1))
        }
    }
}

/// `fn NAME(x, lo, p)` is `BODY(x, lo, p)`, which is compiled apart for each primitive: a program that
/// names some has those alone.
macro_rules! apart {
    ($name:ident, $t:ty, $body:path) => {
        $crate::math::apart!(
            @ $name, $t, $body,
            Exp ExpM1 Sigmoid Tanh Softplus Cdf TanhSoftplus Sqrt Ln Ln1p Sin Cos Atan Erf
        );
    };
    (@ $name:ident, $t:ty, $body:path, $($prim:ident)*) => {
        #[inline(always)]
        fn $name(x: $t, lo: $t, p: Prim) -> Jet<$t> {
            match p {
                $(Prim::$prim => {
                    #[inline(never)]
                    fn apart(x: $t, lo: $t) -> Jet<$t> {
                        $body(x, lo, Prim::$prim)
                    }
                    apart(x, lo)
                })*
            }
        }
    };
}
pub(crate) use apart;

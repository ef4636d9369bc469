//! What built-in functions have in f32 registers: `registry.rs` has a line for each, and one file for each
//! has its own tables of `x * gate(x)` and of the slope, if it has some.
//!
//! Tables are asked for by [`Real::tabled_value`](crate::Real::tabled_value) and its kin; a number type
//! without tables declines, and what the definition composes of primitives is computed.

mod gate;
mod gelu;
mod gelu_tanh;
mod mish;
mod registry;
mod selu;
mod silu;

use crate::simd::Lanes32;
use gate::{F32Gate, product, slope, value};
use gelu_tanh::GELU_TANH_TABLE_END;
use mish::MISH_TABLE_END;
pub(crate) use registry::*;
pub(crate) use selu::selu;

/// The gate of a function `x * gate(x)` for which a number type may have tables of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GateTable {
    /// SiLU's.
    Sigmoid,
    /// Mish's.
    TanhSoftplus,
    /// GELU's.
    Cdf,
    /// That of GELU by tanh: the sigmoid of `2 sqrt(2/pi) (x + 0.044715 x^3)`.
    CubicSigmoid,
}

/// `$result`, in which `$gate_type` is the type of the gate that `$gate` names.
macro_rules! of_gate {
    ($gate:expr, $gate_type:ident => $result:expr) => {
        match $gate {
            GateTable::Sigmoid => {
                type $gate_type = silu::Gate;
                $result
            }
            GateTable::TanhSoftplus => {
                type $gate_type = mish::Gate;
                $result
            }
            GateTable::Cdf => {
                type $gate_type = gelu::Gate;
                $result
            }
            GateTable::CubicSigmoid => {
                type $gate_type = gelu_tanh::Gate;
                $result
            }
        }
    };
}

/// `x` times a gate, rounded.
#[inline(always)]
pub(crate) fn gated_value<V: Lanes32, const RANGE: u8>(x: V, gate: GateTable) -> V {
    of_gate!(gate, G => value::<G, V, RANGE, false>(x).0)
}

/// The slope of `x` times a gate, over `2^k`, and `k`.
#[inline(always)]
pub(crate) fn gated_slope<V: Lanes32, const RANGE: u8>(x: V, gate: GateTable) -> (V, V) {
    of_gate!(gate, G => slope::<G, V, RANGE>(x))
}

/// `x` times a gate, times `factor`.
#[inline(always)]
pub(crate) fn gated_product<V: Lanes32, const RANGE: u8>(x: V, factor: V, gate: GateTable) -> V {
    of_gate!(gate, G => product::<G, V, RANGE>(x, factor))
}

/// The slope of `x` times a gate, times `a` and `b`.
#[inline(always)]
pub(crate) fn slope_product<V: Lanes32, const RANGE: u8>(x: V, a: V, b: V, gate: GateTable) -> V {
    of_gate!(gate, G => G::slope_product::<V, RANGE>(x, a, b))
}

/// `x` times a gate for results of half types, if it is not composed of a primitive.
#[cfg(feature = "half")]
#[inline(always)]
pub(crate) fn value_for_half<V: Lanes32, const BF16: bool>(x: V, gate: GateTable) -> Option<V> {
    of_gate!(gate, G => G::value_for_half::<V, BF16>(x))
}

/// The slope of `x` times a gate for results of half types.
#[cfg(feature = "half")]
#[inline(always)]
pub(crate) fn slope_for_half<V: Lanes32, const BF16: bool>(x: V, gate: GateTable) -> V {
    of_gate!(gate, G => G::slope_for_half::<V, BF16>(x))
}

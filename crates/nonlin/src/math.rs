//! The primitives: one file each, with its four classes of accuracy side by side.
//!
//! | class | results | registers | error of a primitive |
//! |---|---|---|---|
//! | `f64_to_f32` | rounded to f32 | f64, plain arithmetic | about 2^-33: 0.002 ULP of f32 beside the final rounding |
//! | `f64_lanes` | f64 | f64, with what a step rounds off as a second number where the budget needs it | within 1 ULP where it is rounded |
//! | `f32_tabled` | f32 | f32 with [tables](table), a value as the sum of two numbers | about 2^-27 |
//! | `f32_for_half` | half types | f32 with shorter polynomials from these tables, a value in one number | 2^-21 |
//!
//! In `f64_to_f32` everything is built from `w = e^-|x|`, which neither overflows nor cancels, and one
//! reciprocal. In `f64_lanes` the budget is 2 ULP for a value and 4 for a derivative, after a definition
//! has multiplied and added. One rounding of an intermediate result counts up to 1 ULP of the
//! last one, because a result just below a power of two has units half as large for its size;
//! so a primitive may round once on the way, or not at all if its definition rounds as well.
//!
//! `f32_tabled` has twice the lanes for about half a unit in the last place less, where multiply-add is
//! fused. Nearly all of a result comes from a table of a smooth, slowly varying function: the sigmoid
//! above a half, `tanh(x) / x`, the normal tail over its density. Where the result itself varies over many
//! powers of two it is multiplied by an exponential, which is a small table too. [`range`] says what
//! happens beyond the tables. A result that is rounded to 11 bits at last needs no low parts, which
//! `f32_for_half` leaves out; beyond the tables `f32_tabled` takes over.
//!
//! Roots, logarithms, sine and cosine, the inverse tangent and the error function have no tables of f32: there
//! registers of f32 are widened, and asked for `f64_to_f32`.

pub(crate) mod atan;
#[rustfmt::skip]
#[allow(
    clippy::approx_constant,
    clippy::excessive_precision,
    clippy::unreadable_literal,
    reason = "generated"
)]
pub(crate) mod coefficients;
pub(crate) mod compensated;
pub(crate) mod erf;
pub(crate) mod exp;
pub(crate) mod exp_m1;
pub(crate) mod integers;
mod jet;
pub(crate) mod ln_1p;
pub(crate) mod logarithm;
pub(crate) mod normal_cdf;
mod polynomial;
pub(crate) mod power;
mod prim;
pub(crate) mod range;
pub(crate) mod scale;
pub(crate) mod sigmoid;
pub(crate) mod sin_cos;
pub(crate) mod softplus;
pub(crate) mod sqrt;
pub(crate) mod table;
#[allow(
    clippy::approx_constant,
    clippy::excessive_precision,
    clippy::unreadable_literal,
    reason = "generated"
)]
pub(crate) mod tables;
#[rustfmt::skip]
#[allow(clippy::approx_constant, clippy::excessive_precision, reason = "generated")]
pub(crate) mod tables_f64;
pub(crate) mod tail;
pub(crate) mod tanh;
pub(crate) mod tanh_softplus;

pub use jet::Jet;
pub use prim::Prim;
#[cfg(feature = "half")]
pub(crate) use prim::f32_for_half;
pub(crate) use prim::{
    apart, f32_tabled, f32_tabled_slope, f64_lanes, f64_lanes_slope, f64_to_f32,
};

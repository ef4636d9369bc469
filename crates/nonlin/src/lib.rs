//! Neural-network activation functions: within one unit in the last place, proved over all inputs
//! of f32; vectorised; written once.
//!
//! ```
//! use nonlin::Gelu;
//!
//! let x = [-2.0f32, -1.0, 0.0, 1.0, 2.0];
//! let mut y = [0.0; 5];
//! Gelu.forward(&x, &mut y);
//! assert_eq!(y, [-0.045500264, -0.15865526, 0.0, 0.8413447, 1.9544997]);
//! ```
//!
//! An activation is one pure function, generic over a number type, in a file of its own
//! under `functions/`. Everything else is a choice of that type: registers give the kernels,
//! dual numbers the derivatives, intervals the bounds, double-doubles the reference, an
//! expression graph the formula. See [`real`].
//!
//! * [`Function`]: forward, derivative, second derivative and backward of elementwise
//!   functions, by type ([`Gelu`]) or by name ([`get`]).
//! * [`GatedFunction`]: GLU, SwiGLU and their kin, by [`gated`].
//! * [`RowFunction`]: [`Softmax`], [`LogSoftmax`] and [`Softmin`] along any axes, with scale and mask, by
//!   [`rowwise`].
//! * [`PerChannel`] and [`Training`]: a slope per channel ([`Prelu`]), a random slope per element
//!   ([`Rrelu`]).
//! * [`Exec`]: level, block size, threads.
//!
//! NaN in, NaN out. At ±inf the limit, where there is one; a row of softmax that holds +inf has none
//! and is NaN. Results do not depend on
//! position, length, alignment, block size or number of threads; the levels AVX2, AVX-512
//! and NEON give the same bits.
//!
//! # Features
//!
//! `std` (run-time detection; without it the level is the one compiled for), `alloc`
//! (formulas, names, softmax), `half` (f16 and bf16 arrays), `ndarray`, `rayon`, `serde`,
//! `core-math` (a fast reference over correctly rounded functions, which needs a C compiler).

#![cfg_attr(not(feature = "std"), no_std)]
#![cfg_attr(docsrs, feature(doc_cfg))]
// Names and channels need an allocator; without one, what serves them is unused.
#![cfg_attr(not(feature = "alloc"), allow(dead_code))]

#[cfg(feature = "alloc")]
extern crate alloc;

mod activation;
#[cfg(feature = "alloc")]
mod adaptive;
#[cfg(feature = "alloc")]
mod catalog;
#[cfg(feature = "alloc")]
mod channels;
mod element;
mod elementwise;
mod entry;
mod error;
mod exec;
#[cfg(feature = "alloc")]
mod export;
#[cfg(feature = "alloc")]
mod formula;
mod fpmode;
mod function;
mod functions;
mod gated;
#[cfg(feature = "half")]
mod halves;
mod kernel;
#[cfg(feature = "alloc")]
mod learnable;
mod level;
mod math;
mod names;
#[cfg(feature = "ndarray")]
mod nd;
#[cfg(feature = "alloc")]
mod per_channel;
#[cfg(feature = "rayon")]
mod pool;
#[cfg(feature = "alloc")]
mod program;
pub mod real;
mod reference;
#[cfg(feature = "alloc")]
mod rows;
#[cfg(feature = "serde")]
mod serial;
#[cfg(feature = "alloc")]
#[doc(hidden)]
pub mod shape;
mod simd;
#[cfg(feature = "alloc")]
mod statistics;
mod stream;
#[cfg(feature = "alloc")]
mod sums;
#[cfg(feature = "alloc")]
mod training;
mod tuned;
mod values;

pub use activation::{
    Arithmetic, Bounds, Claims, Constraint, Description, Elementwise, Gate, Gated, Kink, Meta,
    Param, ParamList, Parameter, Reach, Tier, dual_partials, dual_slope,
};
#[cfg(feature = "alloc")]
pub use adaptive::{Adapted, Adaptive, AdaptiveRelu, StatisticsGradient, adaptive_relu};
#[cfg(feature = "alloc")]
pub use catalog::{
    formulas, functions, gated, gated_formulas, gated_functions, get, get_approximate, rowwise,
    rowwise_functions,
};
pub use element::Element;
pub use error::{Error, Kind};
pub use exec::{DEFAULT_BLOCK, DEFAULT_STREAM, Exec};
#[cfg(feature = "alloc")]
pub use export::Target;
#[cfg(feature = "alloc")]
pub use formula::{Formula, FormulaError, Rewriting};
pub use function::{Function, evaluate};
pub use functions::*;
pub use gated::{GatedFunction, Layout};
#[cfg(feature = "alloc")]
pub use learnable::{Learnable, LearnableGated, Learned, LearnedGated};
pub use level::Level;
pub use names::Name;
#[cfg(feature = "alloc")]
pub use per_channel::PerChannel;
#[cfg(feature = "alloc")]
pub use program::{About, Body, Instructions};
#[cfg(feature = "alloc")]
pub use rows::{EmptyRow, Mask, RowFunction};
#[cfg(feature = "alloc")]
pub use shape::Axes;
#[cfg(feature = "alloc")]
pub use statistics::{RunningStatistics, Statistics};
#[cfg(feature = "alloc")]
pub use training::Training;

#[cfg(feature = "half")]
pub use half::{bf16, f16};

/// For the project's own tests. Nothing here is part of the interface.
#[doc(hidden)]
pub mod internal {
    #[cfg(feature = "half")]
    pub use crate::halves::{Half, from_f32, to_f32};
    pub use crate::math::table::four;
    pub use crate::real::bounded::Bounded;
    pub use crate::real::lanes::{F32Plain, F64Lanes, F64ToF32};
    #[cfg(target_arch = "aarch64")]
    pub use crate::simd::neon::Neon;
    pub use crate::simd::scalar::{Scalar, sqrt_by_integers};
    pub use crate::simd::twice::Twice;
    #[cfg(target_arch = "x86_64")]
    pub use crate::simd::x86::{Avx2, Avx512, Sse2};
    pub use crate::simd::{Lanes, Lanes32, Lanes64, Partial, Simd};

    #[cfg(feature = "alloc")]
    pub use crate::formula::rule_names as formula_rules;
    pub use crate::kernel::wide::{
        f64_backward, f64_forward, wide_backward, wide_forward, wide_gated,
    };
    #[cfg(feature = "alloc")]
    pub use crate::program::{Recorded, RecordedGated, wrong_marks};
    pub use crate::real::deferred::Deferred;

    /// Correctly rounded functions as a number type.
    #[cfg(feature = "core-math")]
    pub mod correct {
        pub use crate::real::correct::{Cm, normal_cdf, normal_pdf, primitive, sigmoid, softplus};
    }

    /// How exhaustive runs interpolate their reference.
    pub mod interpolate {
        pub use crate::reference::{CHECKS, NODES, at, good, place, through};
    }
}

/// What a definition file needs.
mod prelude {
    pub(crate) use crate::activation::{
        Bounds, Claims, Constraint, Elementwise, Gate, Gated, Kink, Meta, Param,
    };
    pub(crate) use crate::real::{Jet, Prim, Real};
    #[cfg(feature = "alloc")]
    pub(crate) use crate::{real::Dd, rows::RowWise};
}

//! What the activations are tested against, independent of how they are computed.
//!
//! | module | what |
//! |---|---|
//! | [`ulp`] | the ULP error of an f32, f64, f16 or bf16 against an exact value |
//! | [`samples`] | inputs: every exponent, special values, neighbourhoods, all bit patterns |
//! | [`formula`] | the textbook formula as text: parsed, differentiated, evaluated |
//! | [`textbook`] | formulas that cancel, and the stable forms that replace them |
//! | [`correct`] | a fast f64 reference number, from correctly rounded functions |
//! | `enclosure` | guaranteed bounds in multiple precision: the formula's exact value |
//! | `mpfr` | a definition's body in multiple precision |
//!
//! The last two need the feature `mpfr`, which builds GMP and MPFR (a C compiler and `m4`).

pub mod correct;
#[cfg(feature = "mpfr")]
pub mod enclosure;
pub mod formula;
#[cfg(feature = "mpfr")]
pub mod mpfr;
pub mod samples;
pub mod textbook;
pub mod ulp;

#[cfg(feature = "mpfr")]
pub use rug::Float;

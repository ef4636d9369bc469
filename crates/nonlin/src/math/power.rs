//! Powers of e, split into a power of two and a factor near 1: one file for each class of accuracy.

#[cfg(feature = "half")]
pub(crate) mod f32_for_half;
pub(crate) mod f32_tabled;
pub(crate) mod f64_lanes;
pub(crate) mod f64_to_f32;

//! The tests over the whole catalogue, in one program: the library is linked once, and what the
//! tests share is compiled once. `cargo test -p nonlin --test all gated::` runs those of one file.
//!
//! Programs of their own are `planted_faults.rs`, whose definitions bring kernels of their own, and
//! `nd_memory.rs`, which replaces the allocator.

#[path = "../common/mod.rs"]
mod common;

mod accuracy;
mod adaptive;
mod catalog;
mod channels;
mod claims;
mod derivatives;
mod engine;
mod errors;
mod far_out;
#[cfg(target_arch = "x86_64")]
mod float_mode;
mod formulas;
mod from_output;
mod gated;
#[cfg(feature = "half")]
mod halves;
mod interpolation;
mod learnable;
mod listing;
mod named_formulas;
mod nd;
mod primitives;
mod program;
mod registers;
mod same_bits;
mod serial;
mod shape;
mod softmax;
mod special_values;
mod threads;

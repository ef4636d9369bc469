//! Functions by type, where there is neither a standard library nor an allocator.
//!
//! That this links proves that the core of nonlin needs neither: a second panic handler, which
//! std brings along, would be an error.
#![no_std]

use nonlin::{Gelu, Sigmoid, Swiglu};

/// GELU, and sigmoid's derivative, of a block.
pub fn block(x: &[f32], y: &mut [f32], slope: &mut [f32]) {
    Gelu.forward(x, y);
    Sigmoid.derivative(x, slope);
}

/// A gated unit in f64.
pub fn gated(a: &[f64], b: &[f64], y: &mut [f64]) {
    Swiglu.forward(a, b, y);
}

/// Half precision.
#[cfg(feature = "half")]
pub fn half(x: &mut [nonlin::f16]) {
    Gelu.forward_in_place(x);
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

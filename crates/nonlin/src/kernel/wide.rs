//! The kernels of a definition, which is computed in f64 lanes unless it says otherwise: what programs are
//! compared with. Only who calls these compiles them.

#![allow(unsafe_code)]

use super::Call;
use super::elementwise::{back_32, back_64, map_32, map_64};
use super::gated::{gated_back_32, gated_map_32};
use crate::activation::{Elementwise, Gated};
use crate::level::Level;

/// Whether all arrays have one length, and the level is there.
#[track_caller]
fn check(level: Level, lengths: &[usize]) {
    assert!(level.available(), "level {level} is not available");
    assert!(lengths.iter().all(|n| *n == lengths[0]), "lengths {lengths:?} must be equal");
}

/// `y = f(x)` of f32.
///
/// # Panics
/// If the lengths differ, or the level is not available.
#[track_caller]
pub fn wide_forward<A: Elementwise>(level: Level, params: &[f64], x: &[f32], y: &mut [f32]) {
    check(level, &[x.len(), y.len()]);
    assert_eq!(params.len(), A::PARAMS.len());
    let (call, map) = (Call::new(params), const { map_32::<A>() });
    // SAFETY: both arrays have as many elements, and the level is available.
    unsafe { map.get(level)(x.as_ptr(), y.as_mut_ptr(), x.len(), &call) }
}

/// `dx = g f'(x)` of f32.
///
/// # Panics
/// If the lengths differ, or the level is not available.
#[track_caller]
pub fn wide_backward<A: Elementwise>(
    level: Level,
    params: &[f64],
    x: &[f32],
    g: &[f32],
    dx: &mut [f32],
) {
    check(level, &[x.len(), g.len(), dx.len()]);
    assert_eq!(params.len(), A::PARAMS.len());
    let (call, back) = (Call::new(params), const { back_32::<A>() });
    // SAFETY: all arrays have as many elements, and the level is available.
    unsafe { back.get(level)(x.as_ptr(), g.as_ptr(), dx.as_mut_ptr(), x.len(), &call) }
}

/// `y = f(x)` of f64.
///
/// # Panics
/// If the lengths differ, or the level is not available.
#[track_caller]
pub fn f64_forward<A: Elementwise>(level: Level, params: &[f64], x: &[f64], y: &mut [f64]) {
    check(level, &[x.len(), y.len()]);
    assert_eq!(params.len(), A::PARAMS.len());
    let (call, map) = (Call::new(params), const { map_64::<A>() });
    // SAFETY: both arrays have as many elements, and the level is available.
    unsafe { map.get(level)(x.as_ptr(), y.as_mut_ptr(), x.len(), &call) }
}

/// `dx = g f'(x)` of f64.
///
/// # Panics
/// If the lengths differ, or the level is not available.
#[track_caller]
pub fn f64_backward<A: Elementwise>(
    level: Level,
    params: &[f64],
    x: &[f64],
    g: &[f64],
    dx: &mut [f64],
) {
    check(level, &[x.len(), g.len(), dx.len()]);
    assert_eq!(params.len(), A::PARAMS.len());
    let (call, back) = (Call::new(params), const { back_64::<A>() });
    // SAFETY: all arrays have as many elements, and the level is available.
    unsafe { back.get(level)(x.as_ptr(), g.as_ptr(), dx.as_mut_ptr(), x.len(), &call) }
}

/// `y = f(gate, value)` and both gradients.
///
/// # Panics
/// If the lengths differ, or the level is not available.
#[track_caller]
pub fn wide_gated<G: Gated>(level: Level, inputs: [&[f32]; 3], outputs: [&mut [f32]; 3]) {
    let ([gate, value, g], [y, by_gate, by_value]) = (inputs, outputs);
    let n = gate.len();
    check(level, &[n, value.len(), g.len(), y.len(), by_gate.len(), by_value.len()]);
    let (map, back) = (const { gated_map_32::<G>() }, const { gated_back_32::<G>() });
    let (gate, value) = (gate.as_ptr(), value.as_ptr());
    let (by_gate, by_value) = (by_gate.as_mut_ptr(), by_value.as_mut_ptr());
    // SAFETY: all arrays have `n` elements, and the level is available.
    unsafe {
        map.get(level)(gate, value, y.as_mut_ptr(), n, false);
        back.get(level)(gate, value, g.as_ptr(), by_gate, by_value, n);
    }
}

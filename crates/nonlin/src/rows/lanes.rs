//! How many elements and partial sums a row is taken in, and what is done across the lanes of registers.

#![allow(unsafe_code)]

use crate::simd::{Lanes, Lanes32, Lanes64, Simd};

/// Partial sums per row.
pub(super) const SUMS: usize = 16;

/// Partial sums of a row of f32.
pub(super) const PARTS: usize = 32;

/// The register of loops over f32.
pub(super) type V<S> = <S as Simd>::Block32;

/// The sum of `PARTS` numbers, of halves, until one is left.
#[inline(always)]
pub(super) fn halve<S: Simd>(mut all: [S::F64; PARTS]) -> f64 {
    let lanes = S::F64::N;
    let mut n = PARTS / lanes;
    while n > 1 {
        n /= 2;
        let mut k = 0;
        while k < n {
            all[k] = all[k] + all[k + n];
            k += 1;
        }
    }
    let mut v = [0.0; SUMS];
    // SAFETY: the buffer has `SUMS` elements, no fewer than a register.
    unsafe { all[0].store(v.as_mut_ptr()) }
    n = lanes;
    while n > 1 {
        n /= 2;
        for i in 0..n {
            v[i] += v[i + n];
        }
    }
    v[0]
}

/// The largest of `PARTS` numbers, as `largest` says.
#[inline(always)]
pub(super) fn highest<V: Lanes32>(mut top: [V; PARTS]) -> f32 {
    let mut m = PARTS / V::N;
    while m > 1 {
        m /= 2;
        let mut k = 0;
        while k < m {
            top[k] = top[k].max(top[k + m]);
            k += 1;
        }
    }
    let mut high = [0.0; PARTS];
    // SAFETY: the buffer has `PARTS >= V::N` elements.
    unsafe { top[0].store(high.as_mut_ptr()) }
    m = V::N;
    while m > 1 {
        m /= 2;
        for i in 0..m {
            high[i] = if high[i + m] > high[i] { high[i + m] } else { high[i] };
        }
    }
    high[0] + 0.0
}

/// The first lane: a number in a register has fused multiply-adds, which are half as far to wait for.
#[inline(always)]
pub(super) fn first<V: Lanes64>(v: V) -> f64 {
    let mut lanes = [0.0; SUMS];
    // SAFETY: the buffer has `SUMS` elements, no fewer than a register.
    unsafe { v.store(lanes.as_mut_ptr()) }
    lanes[0]
}

/// A number as the sum of two.
#[inline(always)]
pub(super) fn parts(v: f64) -> (f32, f32) {
    let high = v as f32;
    (high, (v - f64::from(high)) as f32)
}

/// Writes `v` to the elements from `from` up to `to`.
///
/// # Safety
/// `y` has `to` elements.
#[inline(always)]
pub(super) unsafe fn fill<T: Copy>(y: *mut T, v: T, from: usize, to: usize) {
    for i in from..to {
        // SAFETY: `y` has `to` elements, and `i` is below `to`.
        unsafe { y.add(i).write(v) }
    }
}

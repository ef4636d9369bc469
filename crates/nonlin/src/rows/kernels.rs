//! The kernels of f32 and f64: which way a row goes, one function for each level.

#![allow(unsafe_code)]

use super::gradient::row_back;
use super::job::RowJob;
use super::lanes::PARTS;
use super::plain::plain_rows;
use super::short::short_rows;
use super::wide::{Cell, row};
use crate::level::{Level, per_level};
use crate::simd::{Lanes, Simd};
use alloc::vec::Vec;

/// Rows one after another. `done` becomes false if f64 has to do them, which is asked of single rows
/// with a mask of numbers alone.
///
/// # Safety
/// `x` and `y` point to `rows` times `n` elements, apart or the same, and each of the others that is
/// not null to `n`: then there is one row.
#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "pointers, not slices: inputs may be outputs")]
unsafe fn rows<S: Simd, T: Cell>(
    job: &RowJob,
    x: *const T,
    keep: *const bool,
    add: *const T,
    y: *mut T,
    n: usize,
    rows: usize,
    done: &mut bool,
) {
    let plain = job.scale == 1.0 && keep.is_null() && add.is_null();
    if !T::FULL && S::F32::FUSED && plain {
        let (x, y) = (x.cast(), y.cast());
        // SAFETY: what is not `FULL` is f32, and both pointers have `rows` times `n` elements.
        return unsafe {
            if n <= PARTS {
                short_rows::<S>(job, x, y, n, rows)
            } else {
                plain_rows::<S>(job, x, y, n, rows)
            }
        };
    }
    for r in 0..rows {
        // SAFETY: row `r` lies within the elements of both arrays; a mask has a single row.
        unsafe {
            let (x, y) = (x.add(r * n), y.add(r * n));
            if T::FULL && plain {
                row::<S, T, true>(job, x, keep, add, y, n, done);
            } else {
                row::<S, T, false>(job, x, keep, add, y, n, done);
            }
        }
    }
}

per_level!(#[allow(clippy::too_many_arguments, reason = "those of `rows`")] fn row_kernel<T: Cell>(job: &RowJob, x: *const T, keep: *const bool, add: *const T, y: *mut T, n: usize, count: usize, done: &mut bool) = rows);
per_level!(fn back_kernel<T: Cell>(log: bool, scale: f64, y: *const T, g: *const T, dx: *mut T, n: usize) = row_back);

/// Rows of f32.
///
/// # Safety
/// `x` and `y` point to `rows` times `n` elements, apart or the same, and each of the others that is
/// not null to `n`: then there is one row. `level` is available.
#[allow(clippy::too_many_arguments, reason = "pointers, not slices: inputs may be outputs")]
pub(super) unsafe fn rows_f32(
    level: Level,
    job: &RowJob,
    x: *const f32,
    keep: *const bool,
    add: *const f32,
    y: *mut f32,
    n: usize,
    rows: usize,
) {
    let (kernel, mut done) = (const { row_kernel::<f32>() }, true);
    // SAFETY: what this function is promised is what a kernel asks for.
    unsafe { kernel.get(level)(job, x, keep, add, y, n, rows, &mut done) }
    if done {
        return;
    }
    let wide = |p: *const f32| -> Vec<f64> {
        // SAFETY: a row has `n` elements, and so has its mask of numbers, without which all is done.
        unsafe { core::slice::from_raw_parts(p, n) }.iter().map(|v| f64::from(*v)).collect()
    };
    let (mut v, m) = (wide(x), wide(add));
    let p = v.as_mut_ptr();
    // SAFETY: both buffers have `n` elements; `keep` is that of this row.
    unsafe { rows_f64(level, job, p, keep, m.as_ptr(), p, n, 1) }
    for (i, v) in v.iter().enumerate() {
        // SAFETY: `y` has `n` elements.
        unsafe { y.add(i).write(*v as f32) }
    }
}

/// Rows of f64.
///
/// # Safety
/// `x` and `y` point to `rows` times `n` elements, apart or the same, and each of the others that is
/// not null to `n`: then there is one row. `level` is available.
#[allow(clippy::too_many_arguments, reason = "pointers, not slices: inputs may be outputs")]
pub(super) unsafe fn rows_f64(
    level: Level,
    job: &RowJob,
    x: *const f64,
    keep: *const bool,
    add: *const f64,
    y: *mut f64,
    n: usize,
    rows: usize,
) {
    let kernel = const { row_kernel::<f64>() };
    // SAFETY: what this function is promised is what a kernel asks for.
    unsafe { kernel.get(level)(job, x, keep, add, y, n, rows, &mut true) }
}

macro_rules! gradients {
    ($name:ident, $t:ident) => {
        /// The gradient of a row from its output.
        ///
        /// # Safety
        /// Each pointer has `n` elements; `dx` may be one of the others. `level` is available.
        pub(super) unsafe fn $name(
            level: Level,
            log: bool,
            scale: f64,
            y: *const $t,
            g: *const $t,
            dx: *mut $t,
            n: usize,
        ) {
            let kernel = const { back_kernel::<$t>() };
            // SAFETY: what this function is promised is what a kernel asks for.
            unsafe { kernel.get(level)(log, scale, y, g, dx, n) }
        }
    };
}
gradients!(row_back_f32, f32);
gradients!(row_back_f64, f64);

/// Rows, and the gradient of one, for one type of array.
pub(super) struct RowKernels<T: 'static> {
    #[allow(clippy::type_complexity, reason = "a kernel's arguments")]
    pub(super) rows:
        unsafe fn(Level, &RowJob, *const T, *const bool, *const T, *mut T, usize, usize),
    pub(super) back: unsafe fn(Level, bool, f64, *const T, *const T, *mut T, usize),
}

//! Rows of half types: those without mask and scale by kernels of their own, others by way of f32.

#![allow(unsafe_code)]

use super::gradient::{LARGE, gradient};
use super::job::RowJob;
use super::kernels::{row_back_f32, rows_f32};
use super::lanes::{PARTS, fill, halve, highest, parts};
use super::log_sum::split_log_sum;
use super::plain::{RowResult, reduce_row};
use crate::element::Element;
use crate::halves::{Half, from_f32, to_f32};
use crate::level::{Level, per_level};
use crate::simd::{Lanes, Lanes32, Simd};
use alloc::{vec, vec::Vec};
use core::mem::MaybeUninit;

/// A half type in rows.
pub(crate) trait Cell: Half + Element {}
impl<H: Half + Element> Cell for H {}

/// Registers of a block of `PARTS` numbers: of evens and then of odds for a type that takes turns,
/// else in order. So partial sums are of the same numbers at every level.
#[inline(always)]
fn register_of<H: Half>(pair: usize, second: usize, pairs: usize) -> usize {
    if H::INTERLEAVED { second * pairs + pair } else { 2 * pair + second }
}

/// The block at `p`.
///
/// # Safety
/// `p` has `PARTS` elements.
#[inline(always)]
unsafe fn load<S: Simd, H: Half>(p: *const H) -> [S::F32; PARTS] {
    let pairs = PARTS / (2 * S::F32::N);
    let mut v = [S::F32::splat(0.0); PARTS];
    let mut k = 0;
    while k < pairs {
        // SAFETY: both registers lie within the block.
        let [a, b] = unsafe { H::load::<S::F32>(p.add(k * 2 * S::F32::N)) };
        v[register_of::<H>(k, 0, pairs)] = a;
        v[register_of::<H>(k, 1, pairs)] = b;
        k += 1;
    }
    v
}

/// Rounds a block.
///
/// # Safety
/// `p` has `PARTS` elements.
#[inline(always)]
unsafe fn store<S: Simd, H: Half>(v: &[S::F32; PARTS], p: *mut H) {
    let pairs = PARTS / (2 * S::F32::N);
    let mut k = 0;
    while k < pairs {
        let v = [v[register_of::<H>(k, 0, pairs)], v[register_of::<H>(k, 1, pairs)]];
        // SAFETY: both registers lie within the block.
        unsafe { H::store(v, p.add(k * 2 * S::F32::N)) }
        k += 1;
    }
}

/// The block that begins with the `0 < n < PARTS` elements at `p`, and has `rest` in its other
/// lanes.
///
/// # Safety
/// `p` has `n` elements.
#[inline(always)]
unsafe fn load_first<S: Simd, H: Half>(p: *const H, n: usize, rest: f32) -> [S::F32; PARTS] {
    const { assert!(size_of::<H>() == 2) };
    let (pair, mut all) = (2 * S::F32::N, [H::default(); PARTS]);
    let mut i = 0;
    while i < n {
        // SAFETY: `n` elements lie behind `p`; the buffer has room for whole pairs of registers.
        unsafe {
            S::F32::copy_in(p.add(i).cast(), all.as_mut_ptr().add(i).cast(), pair.min(n - i));
        }
        i += pair;
    }
    // SAFETY: the buffer has a block.
    let mut v = unsafe { load::<S, H>(all.as_ptr()) };
    let order = const { element_order(H::INTERLEAVED) };
    let (n, rest) = (S::F32::splat(n as f32), S::F32::splat(rest));
    i = 0;
    while i * S::F32::N < PARTS {
        // SAFETY: the register lies within the array.
        let index = unsafe { S::F32::load(order.as_ptr().add(i * S::F32::N)) };
        v[i] = S::F32::select(n.gt(index), v[i], rest);
        i += 1;
    }
    v
}

/// The numbers of the elements of a block in the order of its registers.
const fn element_order(turns: bool) -> [f32; PARTS] {
    let mut order = [0.0; PARTS];
    let mut i = 0;
    while i < PARTS {
        order[if turns { i / 2 + i % 2 * (PARTS / 2) } else { i }] = i as f32;
        i += 1;
    }
    order
}

/// Rounds the first `0 < n < PARTS` elements of a block.
///
/// # Safety
/// `p` has `n` elements.
#[inline(always)]
unsafe fn store_first<S: Simd, H: Half>(v: &[S::F32; PARTS], p: *mut H, n: usize) {
    let (pair, mut all) = (2 * S::F32::N, [H::default(); PARTS]);
    let mut i = 0;
    // SAFETY: the buffer has a block, of which `n` elements are copied.
    unsafe {
        store::<S, H>(v, all.as_mut_ptr());
        while i < n {
            S::F32::copy_out(all.as_ptr().add(i).cast(), p.add(i).cast(), pair.min(n - i));
            i += pair;
        }
    }
}

/// Runs `$body` for every block of a row of `$n` elements, `$v` being the registers read from `$x`
/// (several rows: `$v`, `$w`), and `$k` elements of the block being in the row. A macro and not a
/// closure, which may not be inlined and would lose the instructions of its level.
macro_rules! blocks {
    ($S:ident, $H:ident, $n:expr, [$($v:ident = $x:expr, $rest:expr);+], |$i:ident, $k:ident| $body:block) => {{
        let whole = $n - $n % PARTS;
        let mut $i = 0;
        while $i < whole {
            // SAFETY: the block lies within the rows.
            $(let $v = unsafe { load::<$S, $H>($x.wrapping_add($i)) };)+
            let $k = PARTS;
            $body
            $i += PARTS;
        }
        if whole < $n {
            let $k = $n - whole;
            // SAFETY: `k` elements of the rows are left.
            $(let $v = unsafe { load_first::<$S, $H>($x.wrapping_add($i), $k, $rest) };)+
            $body
        }
    }};
}

/// Writes the first `k` elements of a block.
///
/// # Safety
/// `p` has `k` elements.
#[inline(always)]
unsafe fn put<S: Simd, H: Half>(v: &[S::F32; PARTS], p: *mut H, k: usize) {
    // SAFETY: `p` has `k` elements, which are a whole block in the first case.
    unsafe { if k == PARTS { store::<S, H>(v, p) } else { store_first::<S, H>(v, p, k) } }
}

/// The largest number, as `largest` says; the row goes to whole blocks of `v`, ended by -inf.
///
/// # Safety
/// `x` has `n` elements, and `v` room for whole blocks of as many.
#[inline(always)]
unsafe fn widen<S: Simd, H: Half>(x: *const H, v: *mut f32, n: usize) -> f32 {
    let mut top = [S::F32::splat(f32::NEG_INFINITY); PARTS];
    blocks!(S, H, n, [a = x, f32::NEG_INFINITY], |i, _k| {
        let mut k = 0;
        while k * S::F32::N < PARTS {
            top[k] = top[k].max(a[k]);
            // SAFETY: `v` has room for whole blocks of `n` elements.
            unsafe { a[k].store(v.wrapping_add(i + k * S::F32::N)) }
            k += 1;
        }
    });
    highest(top)
}

/// Rounds the elements of whole blocks of `v`, each after `f`.
macro_rules! round {
    ($S:ident, $v:expr, $y:expr, $n:expr, |$e:ident| $f:expr) => {{
        let mut i = 0;
        while i < $n {
            let mut all = [$S::F32::splat(0.0); PARTS];
            let mut k = 0;
            while k * $S::F32::N < PARTS {
                // SAFETY: `v` has whole blocks.
                let $e = unsafe { $S::F32::load($v.wrapping_add(i + k * $S::F32::N)) };
                all[k] = $f;
                k += 1;
            }
            // SAFETY: `n - i` elements of the row are left.
            unsafe { put::<$S, H>(&all, $y.wrapping_add(i), PARTS.min($n - i)) }
            i += PARTS;
        }
    }};
}

/// Rows without mask and scale, as `plain_rows` does those of f32; `v` is room for two rows of
/// whole blocks.
///
/// # Safety
/// `x` and `y` have `rows >= 1` times `n` elements, apart or the same; `v` has room for twice whole
/// blocks of `n`.
#[inline(always)]
unsafe fn rows<S: Simd, H: Cell>(
    job: &RowJob,
    x: *const H,
    y: *mut H,
    n: usize,
    rows: usize,
    v: *mut f32,
) {
    if const { !S::F32::FUSED } {
        unreachable!("the baseline has no kernels of half types");
    }
    let visible = job.visible.min(n);
    let room = visible.next_multiple_of(PARTS);
    let nothing = if job.log { f64::NEG_INFINITY } else { 0.0 };
    let (mut v, mut next) = (v, v.wrapping_add(room));
    // SAFETY: there is a first row, of `n >= visible` elements, and `v` has room for it.
    let mut max = unsafe { widen::<S, H>(x, v, visible) };
    for r in 0..rows {
        let (x, y) = (x.wrapping_add(r * n), y.wrapping_add(r * n));
        // SAFETY: `v` holds `room` elements. -inf behind a row adds nothing.
        let finish = unsafe { reduce_row::<S>(job, v, v, room, max) };
        if r + 1 < rows {
            // SAFETY: there is a next row, `n` elements further, and `next` has room for it.
            max = unsafe { widen::<S, H>(x.wrapping_add(n), next, visible) };
        }
        match finish {
            RowResult::Fill(v) => {
                // SAFETY: row `r` has `n` elements behind `y`.
                unsafe { fill(y, H::from_f64(f64::from(v)), 0, n) }
            }
            RowResult::Times(end, factor) => {
                let (end, factor) = (S::F32::splat(end), S::F32::splat(factor as f32));
                round!(S, v, y, visible, |e| e.min(end) * factor);
            }
            RowResult::Minus(max, l) => {
                let (high, low) = split_log_sum(max, l);
                let (high, low) = (S::F32::splat(high), S::F32::splat(low));
                round!(S, v, y, visible, |e| (e - high) - low);
            }
        }
        if visible < n && !matches!(finish, RowResult::Fill(_)) {
            // SAFETY: row `r` has `n` elements behind `y`.
            unsafe { fill(y, H::from_f64(nothing), visible, n) }
        }
        (v, next) = (next, v);
    }
}

/// The gradient of a row with a scale of 1; false if the way by f32 has to do it, and `dx` is as it
/// was.
///
/// # Safety
/// The pointers have `n` elements; `dx` may be one of the others.
#[inline(always)]
unsafe fn back<S: Simd, H: Half, const LOG: bool>(
    y: *const H,
    g: *const H,
    dx: *mut H,
    n: usize,
) -> bool {
    let mut sums = [S::F64::splat(0.0); PARTS];
    let mut top = [S::F32::splat(0.0); PARTS];
    blocks!(S, H, n, [a = y, 0.0; b = g, 0.0], |i, _k| {
        let mut k = 0;
        while k * S::F32::N < PARTS {
            // Both have half as many digits as f32: the product is exact.
            let (lo, hi) = if LOG { b[k] } else { a[k] * b[k] }.widen();
            sums[2 * k] = sums[2 * k] + lo;
            sums[2 * k + 1] = sums[2 * k + 1] + hi;
            if LOG {
                top[k] = top[k].max(a[k]);
            }
            k += 1;
        }
    });
    let total = halve::<S>(sums);
    if LOG && highest(top) > 1.0 || total.is_nan() || total.abs() >= LARGE {
        return false;
    }
    let (hi, lo) = parts(total);
    blocks!(S, H, n, [a = y, 0.0; b = g, 0.0], |i, k| {
        let mut all = [S::F32::splat(0.0); PARTS];
        let mut j = 0;
        while j * S::F32::N < PARTS {
            all[j] = gradient::<_, LOG>(a[j], b[j], hi, lo);
            j += 1;
        }
        // SAFETY: `k` elements of the row are left from `i` on.
        unsafe { put::<S, H>(&all, dx.wrapping_add(i), k) }
    });
    true
}

/// Whether it was done goes to `done`: a kernel returns nothing.
///
/// # Safety
/// The pointers have `n` elements; `dx` may be one of the others.
#[inline(always)]
unsafe fn row_back<S: Simd, H: Cell>(
    log: bool,
    y: *const H,
    g: *const H,
    dx: *mut H,
    n: usize,
    done: &mut bool,
) {
    if const { !S::F32::FUSED } {
        unreachable!("the baseline has no kernels of half types");
    }
    // SAFETY: the pointers have `n` elements.
    *done = unsafe {
        if log { back::<S, H, true>(y, g, dx, n) } else { back::<S, H, false>(y, g, dx, n) }
    };
}

per_level!(fn rows_at<H: Cell>(job: &RowJob, x: *const H, y: *mut H, n: usize, count: usize, v: *mut f32) = rows);
per_level!(fn back_at<H: Cell>(log: bool, y: *const H, g: *const H, dx: *mut H, n: usize, done: &mut bool) = row_back);

/// Rows of halves up to this length, which are whole blocks, need no memory.
const ON_STACK: usize = 2048;

/// Rows of halves: those without mask and scale by kernels of their own, others by way of f32.
///
/// # Safety
/// `x` and `y` point to `rows >= 1` times `n` elements, apart or the same, and each of the others that
/// is not null to `n`: then there is one row. `level` is available.
#[allow(clippy::too_many_arguments, reason = "pointers, not slices: inputs may be outputs")]
pub(super) unsafe fn rows_half<T: Element + Half>(
    level: Level,
    job: &RowJob,
    x: *const T,
    keep: *const bool,
    add: *const T,
    y: *mut T,
    n: usize,
    rows: usize,
) {
    let mut short = [const { MaybeUninit::<f32>::uninit() }; 2 * ON_STACK];
    // Two rows of whole blocks.
    let room = 2 * n.next_multiple_of(PARTS);
    let mut long: Vec<f32> = Vec::with_capacity(if n > ON_STACK { room } else { 0 });
    let v = if n > ON_STACK { long.as_mut_ptr() } else { short.as_mut_ptr().cast() };
    if level.fused() && job.scale == 1.0 && keep.is_null() && add.is_null() {
        let kernel = const { rows_at::<T>() };
        // SAFETY: what this function is promised is what the kernel asks for; `v` has the room.
        return unsafe { kernel.get(level)(job, x, y, n, rows, v) };
    }
    let mut extra = Vec::new();
    if !add.is_null() {
        extra = vec![0.0; n];
        // SAFETY: `add` is not null, so it has `n` elements, as the buffer has.
        unsafe { to_f32(level, add, extra.as_mut_ptr(), n) }
    }
    let add = if add.is_null() { core::ptr::null() } else { extra.as_ptr() };
    let at_a_time = (ON_STACK / n.max(1)).max(1);
    let mut r = 0;
    while r < rows {
        let count = at_a_time.min(rows - r);
        // SAFETY: `count` rows are left from row `r` on; the buffers have so many, which are written before they
        // are read.
        unsafe {
            to_f32(level, x.add(r * n), v, count * n);
            rows_f32(level, job, v, keep, add, v, n, count);
            from_f32(level, v, y.add(r * n), count * n);
        }
        r += count;
    }
}

/// The gradient of a row of halves: with a scale of 1 by a kernel of its own, else by way of f32.
///
/// # Safety
/// The pointers have `n` elements; `dx` may be one of the others. `level` is available.
pub(super) unsafe fn row_back_half<T: Element + Half>(
    level: Level,
    log: bool,
    scale: f64,
    y: *const T,
    g: *const T,
    dx: *mut T,
    n: usize,
) {
    if level.fused() && scale == 1.0 {
        let (kernel, mut done) = (const { back_at::<T>() }, false);
        // SAFETY: the pointers have `n` elements, and `level` is available.
        unsafe { kernel.get(level)(log, y, g, dx, n, &mut done) }
        if done {
            return;
        }
    }
    let mut short = [const { MaybeUninit::<f32>::uninit() }; 2 * ON_STACK];
    let mut long: Vec<f32> = Vec::with_capacity(if n > ON_STACK { 2 * n } else { 0 });
    let v: *mut f32 = if n > ON_STACK { long.as_mut_ptr() } else { short.as_mut_ptr().cast() };
    // SAFETY: the pointers have `n` elements, the buffers `2 n`, which are written before they
    // are read.
    unsafe {
        let w = v.add(n);
        to_f32(level, y, v, n);
        to_f32(level, g, w, n);
        row_back_f32(level, log, scale, v, w, v, n);
        from_f32(level, v, dx, n);
    }
}

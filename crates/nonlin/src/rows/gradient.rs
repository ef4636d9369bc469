//! The gradient of a row from its output.

#![allow(unsafe_code)]

use super::lanes::{PARTS, SUMS, V, halve, parts};
use super::terms::{DEPTH, TERM_SCALE_LOG2, largest};
use super::wide::{Cell, reduce};
use crate::math::compensated::two_prod;
use crate::math::power::{f32_tabled, f64_lanes};
use crate::simd::{Lanes, Lanes32, Lanes64, Partial, Simd};

/// `sum g y`, or of `g` alone, of a row of f32 in f64, where products are exact.
///
/// # Safety
/// Both pointers have `n` elements.
#[inline(always)]
pub(super) unsafe fn dot<S: Simd, const LOG: bool>(y: *const f32, g: *const f32, n: usize) -> f64 {
    let mut sums = [S::F64::splat(0.0); PARTS];
    let whole = n - n % PARTS;
    // A macro and not a closure, which may not be inlined and would lose the instructions of its level.
    macro_rules! sum {
        ($k:expr, $y:expr, $g:expr) => {
            sums[$k] = if LOG { sums[$k] + $g } else { $y.mul_add($g, sums[$k]) };
        };
    }
    let mut i = 0;
    while i < whole {
        let mut k = 0;
        while k * S::F64::N < PARTS {
            let j = i + k * S::F64::N;
            // SAFETY: the registers lie within the row.
            let g: S::F64 = unsafe { Lanes64::load_f32(g.wrapping_add(j)) };
            // SAFETY: the registers lie within the row, which `y` has as well.
            let y: S::F64 = unsafe { Lanes64::load_f32(y.wrapping_add(j)) };
            sum!(k, y, g);
            k += 1;
        }
        i += PARTS;
    }
    if whole < n {
        let mut k = 0;
        while k * S::F32::N < PARTS {
            let i = whole + k * S::F32::N;
            let left = n.saturating_sub(i).min(S::F32::N);
            // SAFETY: `left` elements of the row are left from `i` on. Zeros add nothing.
            let (y, g) = unsafe {
                let g = S::F32::load_first(g.wrapping_add(i), left, 0.0);
                (S::F32::load_first(y.wrapping_add(i), left, 0.0), g)
            };
            let ((y0, y1), (g0, g1)) = (y.widen(), g.widen());
            sum!(2 * k, y0, g0);
            sum!(2 * k + 1, y1, g1);
            k += 1;
        }
    }
    halve::<S>(sums)
}

/// The gradients for outputs `y` and the sum `hi + lo`.
#[inline(always)]
pub(super) fn gradient<V: Lanes32, const LOG: bool>(y: V, g: V, hi: f32, lo: f32) -> V {
    let (hi, lo) = (V::splat(hi), V::splat(lo));
    if LOG {
        // e^y is a product whose first factor times `hi` is known exactly as two numbers.
        let over = V::splat(f32_tabled::over(-TERM_SCALE_LOG2 as f32));
        let (m, q) = f32_tabled::power_over(y.max(V::splat(-DEPTH)), over);
        let (p, p_lo) = two_prod(m, hi);
        let p_lo = (m * q).mul_add(hi, m.mul_add(lo, p_lo));
        let drop = V::splat(-f32::from_bits(((127 - TERM_SCALE_LOG2) as u32) << 23));
        p_lo.mul_add(drop, p.mul_add(drop, g))
    } else {
        // The first difference is exact where the second counts.
        y * ((g - hi) - lo)
    }
}

/// Sums beyond this are left to f64: nothing overflows below it on the way to a finite result.
pub(super) const LARGE: f64 = 1e9;

/// The gradient of a row of f32 with a scale of 1; false if f64 has to do it, and `dx` is as it was.
///
/// # Safety
/// The pointers have `n` elements; `dx` may be one of the others.
#[inline(always)]
pub(super) unsafe fn plain_back<S: Simd, const LOG: bool>(
    y: *const f32,
    g: *const f32,
    dx: *mut f32,
    n: usize,
) -> bool {
    // SAFETY: both pointers have `n` elements.
    let total = unsafe { dot::<S, LOG>(y, g, n) };
    // SAFETY: `y` has `n` elements.
    let above = LOG && unsafe { largest::<S::F32>(y, n) } > 1.0;
    if above || total.is_nan() || total.abs() >= LARGE {
        return false;
    }
    let (hi, lo) = parts(total);
    let mut i = 0;
    while i + V::<S>::N <= n {
        // SAFETY: the registers lie within the rows.
        unsafe {
            let (y, g) = (V::<S>::load(y.wrapping_add(i)), V::<S>::load(g.wrapping_add(i)));
            gradient::<_, LOG>(y, g, hi, lo).store(dx.wrapping_add(i));
        }
        i += V::<S>::N;
    }
    if i < n {
        // SAFETY: `n - i` elements of the rows are left, fewer than a register has.
        unsafe {
            let y = V::<S>::load_first(y.wrapping_add(i), n - i, 0.0);
            let g = V::<S>::load_first(g.wrapping_add(i), n - i, 0.0);
            gradient::<_, LOG>(y, g, hi, lo).store_first(dx.wrapping_add(i), n - i);
        }
    }
    true
}

/// Sums of f64 from here on are taken again of smaller gradients: half a unit in the last place of the
/// largest number is more.
const HUGE: f64 = f64::from_bits((1023 + 900) << 52);

/// Makes gradients so small that no sum overflows.
const SMALLER: f64 = f64::from_bits((1023 - 64) << 52);

/// `sum down g y`, or of `down g` alone, as a pair: of `whole` elements, and of the `ends`.
/// `USUAL`: `down` is 1, and if the result is not finite it is not to be used.
///
/// # Safety
/// Both pointers have `whole` elements, a multiple of [`SUMS`].
#[inline(always)]
unsafe fn sum<S: Simd, T: Cell, const USUAL: bool>(
    log: bool,
    down: f64,
    y: *const T,
    g: *const T,
    whole: usize,
    ends: Option<(&[T; SUMS], &[T; SUMS])>,
) -> (f64, f64) {
    let lanes = S::F64::N;
    let zero = S::F64::splat(0.0);
    let (mut sums, mut lost) = ([zero; SUMS], [zero; SUMS]);
    // A block of `SUMS` elements. A macro and not a closure, which may not be inlined and would lose
    // the instructions of its level.
    macro_rules! block {
        ($y:expr, $g:expr) => {
            for k in 0..SUMS / lanes {
                // SAFETY: the block has `SUMS` elements.
                let y: S::F64 = unsafe { T::load($y.add(k * lanes)) };
                // SAFETY: the block has `SUMS` elements.
                let mut g: S::F64 = unsafe { T::load($g.add(k * lanes)) };
                if !USUAL {
                    g = g * S::F64::splat(down);
                }
                let (p, mut e) = if log { (g, zero) } else { g.two_prod(y) };
                if !USUAL {
                    let finite = S::F64::splat(f64::INFINITY).gt(e.abs());
                    e = S::F64::select(finite, e, zero);
                }
                let (s, r) = sums[k].two_sum(p);
                sums[k] = s;
                lost[k] = (lost[k] + r) + e;
            }
        };
    }
    let mut i = 0;
    while i < whole {
        // SAFETY: `SUMS` elements from `i` on are part of the row.
        let (y, g) = unsafe { (y.add(i), g.add(i)) };
        block!(y, g);
        i += SUMS;
    }
    if let Some((y, g)) = ends {
        block!(y.as_ptr(), g.as_ptr());
    }
    let (mut all, mut rest) = ([0.0; SUMS], [0.0; SUMS]);
    for k in 0..SUMS / lanes {
        // SAFETY: the buffers have `SUMS` elements.
        unsafe {
            sums[k].store(all.as_mut_ptr().add(k * lanes));
            lost[k].store(rest.as_mut_ptr().add(k * lanes));
        }
    }
    reduce(core::array::from_fn(|i| (all[i], rest[i])))
}

/// `dx = scale * y (g - sum g y)`; log: `scale * (g - e^y sum g)`.
///
/// # Safety
/// The pointers have `n` elements; `dx` may be one of the others.
#[inline(always)]
pub(super) unsafe fn row_back<S: Simd, T: Cell>(
    log: bool,
    scale: f64,
    y: *const T,
    g: *const T,
    dx: *mut T,
    n: usize,
) {
    if !T::FULL && S::F32::FUSED && scale == 1.0 {
        let (y, g, dx) = (y.cast(), g.cast(), dx.cast());
        // SAFETY: what is not `FULL` is f32, and the pointers have `n` elements.
        let done = unsafe {
            if log {
                plain_back::<S, true>(y, g, dx, n)
            } else {
                plain_back::<S, false>(y, g, dx, n)
            }
        };
        if done {
            return;
        }
    }
    let lanes = S::F64::N;
    let zero = S::F64::splat(0.0);
    // What is left of a row is copied in front of zeros, which add nothing.
    let (mut y_end, mut g_end) = ([T::default(); SUMS], [T::default(); SUMS]);
    let whole = n - n % SUMS;
    // SAFETY: both arrays have `n` elements, so fewer than `SUMS` from `whole` on.
    unsafe {
        core::ptr::copy_nonoverlapping(y.add(whole), y_end.as_mut_ptr(), n - whole);
        core::ptr::copy_nonoverlapping(g.add(whole), g_end.as_mut_ptr(), n - whole);
    }
    // Gradients are multiplied by this first, and results divided by it.
    let mut down = 1.0;
    let ends = if whole < n { Some((&y_end, &g_end)) } else { None };
    // SAFETY: both pointers have `whole` elements, a multiple of `SUMS`.
    let mut total = unsafe { sum::<S, T, true>(log, down, y, g, whole, ends) };
    // False of NaN too.
    let usual = total.0.abs() < HUGE;
    if !usual {
        total = loop {
            // SAFETY: both pointers have `whole` elements, a multiple of `SUMS`.
            let total = unsafe { sum::<S, T, false>(log, down, y, g, whole, ends) };
            if !T::FULL || down != 1.0 || total.0.abs() < HUGE {
                break total;
            }
            // The sum has overflowed, or its difference to a gradient might.
            down = SMALLER;
        }
    }
    let (hi, lo) = (S::F64::splat(total.0), S::F64::splat(total.1));
    // The scale comes before a difference that may be small if it is large, and else last: so nothing
    // is subnormal on the way that the result is not.
    let (before, after) = if scale.abs() >= 1.0 && !log { (scale, 1.0) } else { (1.0, scale) };
    let (before, after) = (S::F64::splat(before), S::F64::splat(after / down));
    let mut i = 0;
    while i < n {
        let end = i + lanes > n;
        let (from_y, from_g) = if end {
            // SAFETY: the end of the row is in the buffers, from a multiple of `SUMS` on.
            unsafe { (y_end.as_ptr().add(i - whole), g_end.as_ptr().add(i - whole)) }
        } else {
            // SAFETY: a register of elements is left.
            unsafe { (y.add(i), g.add(i)) }
        };
        // SAFETY: a register of elements is left of the row, or the buffers have one.
        let (y, g): (S::F64, S::F64) = unsafe { (T::load(from_y), T::load(from_g)) };
        let g = g * S::F64::splat(down);
        let d =
            if log { g - f64_lanes::exp_neg(y, zero) * hi } else { (y * before) * ((g - hi) - lo) };
        if end {
            let mut last = [T::default(); SUMS];
            // SAFETY: the buffer has `SUMS` elements, of which `n - i` are part of the row.
            unsafe {
                T::store(d * after, last.as_mut_ptr());
                core::ptr::copy_nonoverlapping(last.as_ptr(), dx.add(i), n - i);
            }
        } else {
            // SAFETY: a register of elements is left.
            unsafe { T::store(d * after, dx.add(i)) }
        }
        i += lanes;
    }
}

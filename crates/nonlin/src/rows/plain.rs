//! Rows of f32 without mask and scale, in f32 registers.

#![allow(unsafe_code)]

use super::job::RowJob;
use super::lanes::{PARTS, V, fill, parts};
use super::log_sum::{ln_count, split_log_sum};
use super::terms::{LONG, RowScale, TERM_SCALE_LOG2, largest, sum_terms, terms};
use crate::simd::{Lanes, Lanes32, Simd};

/// What is left to do for a row.
pub(super) enum RowResult {
    Fill(f32),
    /// Terms are multiplied; none is larger than that of the largest logit.
    Times(f32, f64),
    /// The largest logit and what the others add to it are subtracted.
    Minus(f64, f64),
}

/// Rows of f32 without mask and scale, one after another, in f32 registers.
///
/// The next row's largest is sought before a row is finished: so there is something to do while the
/// sum is folded and inverted.
///
/// # Safety
/// Both pointers have `rows >= 1` times `n` elements, apart or the same.
#[inline(always)]
pub(super) unsafe fn plain_rows<S: Simd>(
    job: &RowJob,
    x: *const f32,
    y: *mut f32,
    n: usize,
    rows: usize,
) {
    let visible = job.visible.min(n);
    let nothing = if job.log { f32::NEG_INFINITY } else { 0.0 };
    // SAFETY: there is a first row, and `visible` is at most its length.
    let mut max = unsafe { largest::<S::F32>(x, visible) };
    for r in 0..rows {
        let (x, y) = (x.wrapping_add(r * n), y.wrapping_add(r * n));
        // SAFETY: row `r` has `n >= visible` elements behind both pointers.
        let finish = unsafe { reduce_row::<S>(job, x, y, visible, max) };
        if r + 1 < rows {
            // SAFETY: there is a next row, `n` elements further.
            max = unsafe { largest::<S::F32>(x.add(n), visible) };
        }
        // SAFETY: row `r` has `n >= visible` elements behind both pointers.
        unsafe {
            match finish {
                RowResult::Fill(v) => {
                    fill(y, v, 0, n);
                    continue;
                }
                RowResult::Times(end, factor) => quotients::<S::Block32>(y, visible, end, factor),
                RowResult::Minus(max, l) => subtract_log_sum::<S::Block32>(x, y, visible, max, l),
            }
            fill(y, nothing, visible, n);
        }
    }
}

/// The sum of a row, and what is left to do. For softmax its terms are in `y`.
///
/// # Safety
/// Both pointers have `n` elements, apart or the same.
#[inline(always)]
pub(super) unsafe fn reduce_row<S: Simd>(
    job: &RowJob,
    x: *const f32,
    y: *mut f32,
    n: usize,
    max: f32,
) -> RowResult {
    if max.is_infinite() {
        // SAFETY: `x` has `n` elements.
        return RowResult::Fill(unsafe { job.without_maximum(x, n, max) });
    }
    let m = RowScale::of(max);
    let long_row = n >= LONG;
    macro_rules! sum {
        ($subtract_max:literal, $long_row:literal) => {
            // SAFETY: both pointers have `n` elements.
            unsafe {
                if job.log {
                    sum_terms::<V<S>, S, $subtract_max, $long_row, true>(x, y, n, &m)
                } else {
                    sum_terms::<V<S>, S, $subtract_max, $long_row, false>(x, y, n, &m)
                }
            }
        };
    }
    let (sum, count) = match (m.subtract_max, long_row) {
        (false, false) => sum!(false, false),
        (false, true) => sum!(false, true),
        (true, false) => sum!(true, false),
        (true, true) => sum!(true, true),
    };
    if sum.is_nan() {
        RowResult::Fill(f32::NAN)
    } else if job.log {
        RowResult::Minus(f64::from(max), ln_count::<S>(count, sum * m.share::<S>()))
    } else {
        let max = S::F32::splat(max);
        let end = match (m.subtract_max, long_row) {
            (false, false) => terms::<_, false, false>(max, &m),
            (false, true) => terms::<_, false, true>(max, &m),
            (true, false) => terms::<_, true, false>(max, &m),
            (true, true) => terms::<_, true, true>(max, &m),
        };
        let mut ends = [0.0; PARTS];
        // SAFETY: the buffer has more elements than a register.
        unsafe { end.store(ends.as_mut_ptr()) }
        RowResult::Times(ends[0], 1.0 / sum)
    }
}

/// What multiplies terms.
pub(super) struct Factor<V> {
    high: V,
    low: V,
    /// Below this a product, or its low part, may be subnormal: there the factor is `2^TERM_SCALE_LOG2` times as
    /// large, and the power of two comes last.
    small: V,
    lifted: (V, V),
}

impl<V: Lanes32> Factor<V> {
    #[inline(always)]
    pub(super) fn new(factor: f64) -> Self {
        let lift = f64::from_bits(((1023 + TERM_SCALE_LOG2) as u64) << 52);
        let (high, low) = parts(factor);
        let (lifted, lifted_low) = parts(factor * lift);
        Factor {
            high: V::splat(high),
            low: V::splat(low),
            small: V::splat((1e-30 / factor) as f32),
            lifted: (V::splat(lifted), V::splat(lifted_low)),
        }
    }

    /// `e` times the factor.
    #[inline(always)]
    pub(super) fn times(&self, e: V) -> V {
        if V::any(self.small.gt(e)) {
            core::hint::cold_path();
            let (high, low) = self.lifted;
            return e.mul_add(high, e * low).scale2(V::splat(-TERM_SCALE_LOG2 as f32));
        }
        e.mul_add(self.high, e * self.low)
    }
}

/// Every element, but no more than `end`, times `factor`, rounded once.
///
/// # Safety
/// `y` has `n` elements.
#[inline(always)]
pub(super) unsafe fn quotients<V: Lanes32>(y: *mut f32, n: usize, end: f32, factor: f64) {
    let factor = Factor::<V>::new(factor);
    let end = V::splat(end);
    let mut i = 0;
    while i + V::N <= n {
        // SAFETY: the register lies within the row.
        unsafe {
            let e = V::load(y.wrapping_add(i)).min(end);
            factor.times(e).store(y.wrapping_add(i));
        }
        i += V::N;
    }
    if i < n {
        // SAFETY: `n - i` elements are left, fewer than a register has.
        unsafe {
            let e = V::load_first(y.wrapping_add(i), n - i, 1.0).min(end);
            factor.times(e).store_first(y.wrapping_add(i), n - i);
        }
    }
}

/// `x - (max + l)`. With the sum in two parts, the first difference is exact where the second counts.
///
/// # Safety
/// Both pointers have `n` elements, apart or the same.
#[inline(always)]
pub(super) unsafe fn subtract_log_sum<V: Lanes32>(
    x: *const f32,
    y: *mut f32,
    n: usize,
    max: f64,
    l: f64,
) {
    let (high, low) = split_log_sum(max, l);
    let (high, low) = (V::splat(high), V::splat(low));
    let mut i = 0;
    while i + V::N <= n {
        // SAFETY: the register lies within the row.
        unsafe { ((V::load(x.wrapping_add(i)) - high) - low).store(y.wrapping_add(i)) }
        i += V::N;
    }
    if i < n {
        // SAFETY: `n - i` elements are left, fewer than a register has.
        unsafe {
            let v = V::load_first(x.wrapping_add(i), n - i, 0.0);
            ((v - high) - low).store_first(y.wrapping_add(i), n - i);
        }
    }
}

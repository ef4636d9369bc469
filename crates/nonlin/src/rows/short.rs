//! Rows of f32 without mask and scale of at most [`PARTS`] elements, which stay in registers.

#![allow(unsafe_code)]

use super::job::RowJob;
use super::lanes::{PARTS, fill, highest, parts};
use super::log_sum::{ln_count, split_log_sum};
use super::terms::{RowScale, Sums, fold, terms};
use crate::simd::{Lanes, Partial, Simd};

/// `plain_rows` for rows of at most `PARTS` elements, which stay in registers.
///
/// # Safety
/// Both pointers have `rows` times `n <= PARTS` elements, apart or the same.
#[inline(always)]
pub(super) unsafe fn short_rows<S: Simd>(
    job: &RowJob,
    x: *const f32,
    y: *mut f32,
    n: usize,
    rows: usize,
) {
    let visible = job.visible.min(n);
    let rest = f32::NEG_INFINITY;
    for r in 0..rows {
        let (x, y) = (x.wrapping_add(r * n), y.wrapping_add(r * n));
        let mut v = [S::F32::splat(rest); PARTS];
        let mut top = v;
        let mut k = 0;
        while k * S::F32::N < PARTS {
            let left = visible.saturating_sub(k * S::F32::N).min(S::F32::N);
            // SAFETY: `left` elements of the row are left.
            v[k] = unsafe { S::F32::load_first(x.wrapping_add(k * S::F32::N), left, rest) };
            top[k] = top[k].max(v[k]);
            k += 1;
        }
        let max = highest(top);
        if max.is_infinite() {
            // SAFETY: row `r` has `n >= visible` elements behind both pointers.
            unsafe { fill(y, job.without_maximum(x, visible, max), 0, n) }
            continue;
        }
        let m = RowScale::of(max);
        // SAFETY: row `r` has `n >= visible` elements behind `y`.
        unsafe {
            match (job.log, m.subtract_max) {
                (false, false) => short_row::<S, false, false>(v, y, visible, &m),
                (false, true) => short_row::<S, false, true>(v, y, visible, &m),
                (true, false) => short_row::<S, true, false>(v, y, visible, &m),
                (true, true) => short_row::<S, true, true>(v, y, visible, &m),
            }
            fill(y, if job.log { f32::NEG_INFINITY } else { 0.0 }, visible, n);
        }
    }
}

/// One short row, in registers. With one term in each partial sum nothing is lost.
///
/// # Safety
/// `y` has `n <= PARTS` elements.
#[inline(always)]
pub(super) unsafe fn short_row<S: Simd, const LOG: bool, const SUBTRACT_MAX: bool>(
    v: [S::F32; PARTS],
    y: *mut f32,
    n: usize,
    m: &RowScale,
) {
    let nothing = [S::F32::splat(0.0); PARTS];
    let mut sums = Sums::<S::F32, LOG>::new(m);
    let mut e = nothing;
    let mut k = 0;
    while k * S::F32::N < PARTS {
        e[k] = terms::<_, SUBTRACT_MAX, false>(v[k], m);
        sums.sum[k] = sums.count_maxima(k, v[k], e[k]);
        k += 1;
    }
    let sum = fold::<S::F32, S>(&sums.sum, 0.0, &nothing);
    let (high, low) = if LOG {
        let count = fold::<S::F32, S>(&sums.equal, 0.0, &nothing);
        split_log_sum(f64::from(m.max), ln_count::<S>(count, sum * m.share::<S>()))
    } else {
        parts(1.0 / sum)
    };
    let (high, low) = (S::F32::splat(high), S::F32::splat(low));
    let end = terms::<_, SUBTRACT_MAX, false>(S::F32::splat(m.max), m);
    k = 0;
    // Not for a register that is not in the row: its terms would become subnormal, which takes long.
    while k * S::F32::N < n {
        let result = if LOG {
            (v[k] - high) - low
        } else {
            let e = e[k].min(end);
            e.mul_add(high, e * low)
        };
        let left = (n - k * S::F32::N).min(S::F32::N);
        // SAFETY: `left` elements of the row are left.
        unsafe { result.store_first(y.wrapping_add(k * S::F32::N), left) }
        k += 1;
    }
}

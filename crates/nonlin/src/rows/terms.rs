//! The terms of a row of f32, `e^x` over a power of two, and their sum.
//!
//! A quotient of terms does not change if both are divided by the same power of two. So rows whose
//! logits are moderate take `e^x` over a power of two near `e^max`, from `x` alone: its reduction to
//! `x - k ln(2) / 16` is exact, as a difference to the largest is, and costs no more.

#![allow(unsafe_code)]

use super::lanes::{PARTS, first, halve, highest};
use crate::math::compensated::two_sum;
use crate::math::power::{f32_tabled, f64_to_f32};
use crate::simd::{Lanes, Lanes32, ROUND_F32, Simd};

/// How far below the largest a logit is followed: no result shows what lies deeper, even if all other
/// terms of a long row do.
pub(super) const DEPTH: f32 = 148.0;

/// The largest term is about two to this, so that even the least is a normal number.
pub(super) const TERM_SCALE_LOG2: i32 = 90;

/// From here on the largest logit is subtracted before the exponential is taken: where it matters
/// (up to `DEPTH`) both are within a factor of 2, and the difference is exact.
pub(super) const SMALL: f32 = 300.0;

/// From this length on terms are added in pairs first. That rounds once more, which may cost a unit
/// in the last place, and a row as long is allowed one more.
pub(super) const PAIRS: usize = 128;

/// From this length on four are added first, and their exponentials need but one look-up: 2 units and
/// 1, where 3 more are allowed.
pub(super) const LONG: usize = 512;

/// Terms that are added before what rounding has lost is given to the partial sums.
pub(super) const STRETCH: usize = 1024;

/// Partial sums of softmax begin with this, which no four terms exceed by a binade: so what rounding
/// loses of a sum is found by two operations.
pub(super) const BIAS: f32 = f32::from_bits(((127 + TERM_SCALE_LOG2 + 2) as u32) << 23);

/// What terms are measured by: they are `e^x` over a power of two.
#[derive(Clone, Copy)]
pub(super) struct RowScale {
    pub(super) max: f32,
    /// Subtracted first, if `subtract_max`: the largest logit.
    pub(super) subtract_max: bool,
    /// Logits (with `subtract_max`, differences) below this count as this.
    least: f32,
    /// [`f32_tabled::over`] of the power of two.
    over: f32,
    /// `e^max` over the power of two is `e^-ln`, apart from `TERM_SCALE_LOG2`.
    ln: f64,
}

impl RowScale {
    #[inline(always)]
    pub(super) fn of(max: f32) -> Self {
        if max.abs() <= SMALL {
            // The nearest integer, which is what is left of a sum with a number whose last bit is 1.
            let i = (max * core::f32::consts::LOG2_E + ROUND_F32) - ROUND_F32;
            let ln = f64::from(i) * core::f64::consts::LN_2 - f64::from(max);
            let over = f32_tabled::over(i - TERM_SCALE_LOG2 as f32);
            RowScale { max, subtract_max: false, least: max - DEPTH, over, ln }
        } else {
            let over = f32_tabled::over(-TERM_SCALE_LOG2 as f32);
            RowScale { max, subtract_max: true, least: -DEPTH, over, ln: 0.0 }
        }
    }
}

impl RowScale {
    /// What a term has to be multiplied by to be a share of the largest.
    #[inline(always)]
    pub(super) fn share<S: Simd>(&self) -> f64 {
        let drop = f64::from_bits(((1023 - TERM_SCALE_LOG2) as u64) << 52);
        first(f64_to_f32::exp_neg(S::F64::splat(self.ln))) * drop
    }
}

/// The terms of a register of logits; `LONG_ROW`: of a row from `LONG` on.
#[inline(always)]
pub(super) fn terms<V: Lanes32, const SUBTRACT_MAX: bool, const LONG_ROW: bool>(
    x: V,
    m: &RowScale,
) -> V {
    let x = if SUBTRACT_MAX { x - V::splat(m.max) } else { x };
    let (x, over) = (x.max(V::splat(m.least)), V::splat(m.over));
    if LONG_ROW { f32_tabled::exp_over_short(x, over) } else { f32_tabled::exp_over(x, over) }
}

/// Partial sums, each with what rounding it has lost; `LOG`: of the terms below the largest, and how
/// many are equal to it.
pub(super) struct Sums<V, const LOG: bool> {
    pub(super) sum: [V; PARTS],
    lost: [V; PARTS],
    pub(super) equal: [V; PARTS],
    /// The number next to the largest logit.
    below: V,
}

impl<V: Lanes32, const LOG: bool> Sums<V, LOG> {
    #[inline(always)]
    pub(super) fn new(m: &RowScale) -> Self {
        let zero = V::splat(0.0);
        Sums {
            sum: [V::splat(if LOG { 0.0 } else { BIAS }); PARTS],
            lost: [zero; PARTS],
            equal: [zero; PARTS],
            below: V::splat(m.max.next_down()),
        }
    }

    /// The terms `e` of `x`; `LOG`: 0 in place of those of the largest, which are counted.
    #[inline(always)]
    pub(super) fn count_maxima(&mut self, k: usize, x: V, e: V) -> V {
        if !LOG {
            return e;
        }
        let zero = V::splat(0.0);
        let equal = x.gt(self.below);
        self.equal[k] = self.equal[k] + V::select(equal, V::splat(1.0), zero);
        V::select(equal, zero, e)
    }

    /// Adds to the partial sums `k`.
    #[inline(always)]
    pub(super) fn add(&mut self, k: usize, e: V) {
        let (s, r) = if LOG {
            // Beside the largest term the others may be as small as can be.
            two_sum(self.sum[k], e)
        } else {
            let s = self.sum[k] + e;
            (s, e - (s - self.sum[k]))
        };
        (self.sum[k], self.lost[k]) = (s, self.lost[k] + r);
    }

    /// Gives what was lost to the partial sums, which are larger.
    #[inline(always)]
    pub(super) fn fold_in_compensation(&mut self, k: usize) {
        let s = self.sum[k] + self.lost[k];
        (self.sum[k], self.lost[k]) = (s, self.lost[k] - (s - self.sum[k]));
    }
}

/// The sum of `a - bias` and `b` in one order: of halves, lane by lane, until one is left.
#[inline(always)]
pub(super) fn fold<V: Lanes32, S: Simd>(a: &[V; PARTS], bias: f32, b: &[V; PARTS]) -> f64 {
    let lanes = <S::F32 as Lanes>::N;
    let (mut high, mut low) = ([0.0; PARTS], [0.0; PARTS]);
    let mut k = 0;
    while k * V::N < PARTS {
        // SAFETY: the registers lie within the buffers.
        unsafe {
            (a[k] - V::splat(bias)).store(high.as_mut_ptr().add(k * V::N));
            b[k].store(low.as_mut_ptr().add(k * V::N));
        }
        k += 1;
    }
    let mut all = [S::F64::splat(0.0); PARTS];
    k = 0;
    while k * lanes < PARTS {
        // SAFETY: the registers lie within the buffers.
        let (h, l): (S::F32, S::F32) = unsafe {
            (Lanes::load(high.as_ptr().add(k * lanes)), Lanes::load(low.as_ptr().add(k * lanes)))
        };
        let ((h0, h1), (l0, l1)) = (h.widen(), l.widen());
        all[2 * k] = h0 + l0;
        all[2 * k + 1] = h1 + l1;
        k += 1;
    }
    halve::<S>(all)
}

/// The sum of all terms, which are kept in `y`; `LOG`: of those below the largest, none kept, and
/// how many are equal to the largest.
///
/// # Safety
/// `x` has `n` elements, and unless `LOG` so has `y`; they may be the same.
#[inline(always)]
pub(super) unsafe fn sum_terms<
    V: Lanes32,
    S: Simd,
    const SUBTRACT_MAX: bool,
    const LONG_ROW: bool,
    const LOG: bool,
>(
    x: *const f32,
    y: *mut f32,
    n: usize,
    m: &RowScale,
) -> (f64, f64) {
    let mut sums = Sums::<V, LOG>::new(m);
    let whole = n - n % PARTS;
    // A macro and not a closure, which may not be inlined and would lose the instructions of its level.
    macro_rules! at {
        ($i:expr, $k:ident) => {{
            // SAFETY: the register lies within the row.
            let v = unsafe { V::load(x.wrapping_add($i + $k * V::N)) };
            let e = terms::<V, SUBTRACT_MAX, LONG_ROW>(v, m);
            if !LOG {
                // SAFETY: the register lies within the row, which `y` has as well.
                unsafe { e.store(y.wrapping_add($i + $k * V::N)) }
            }
            sums.count_maxima($k, v, e)
        }};
    }
    let mut i = 0;
    // As many terms as are added first, in the given blocks of `PARTS`.
    macro_rules! stretches {
        ($end:expr, $blocks:literal, |$j:ident, $k:ident| $terms:expr) => {
            let end = $end;
            while i < end {
                let stop = end.min(i + STRETCH);
                let mut ready = [V::splat(0.0); PARTS];
                while i < stop {
                    let mut $k = 0;
                    while $k * V::N < PARTS {
                        // Those of the round before, which are ready: nothing waits.
                        sums.add($k, ready[$k]);
                        let $j = i;
                        ready[$k] = $terms;
                        $k += 1;
                    }
                    i += $blocks * PARTS;
                }
                let mut k = 0;
                while k * V::N < PARTS {
                    sums.add(k, ready[k]);
                    if !LOG {
                        sums.fold_in_compensation(k);
                    }
                    k += 1;
                }
            }
        };
    }
    if LONG_ROW {
        stretches!(n - n % (4 * PARTS), 4, |j, k| {
            let (a, b) = (at!(j, k), at!(j + PARTS, k));
            let (c, d) = (at!(j + 2 * PARTS, k), at!(j + 3 * PARTS, k));
            (a + b) + (c + d)
        });
    } else if n >= PAIRS {
        stretches!(n - n % (2 * PARTS), 2, |j, k| {
            let (a, b) = (at!(j, k), at!(j + PARTS, k));
            a + b
        });
    }
    while i < whole {
        let mut k = 0;
        while k * V::N < PARTS {
            let e = at!(i, k);
            sums.add(k, e);
            k += 1;
        }
        i += PARTS;
    }
    if whole < n {
        // All of them, so that the sums stay in registers.
        let mut k = 0;
        while k * V::N < PARTS {
            let i = whole + k * V::N;
            let left = n.saturating_sub(i).min(V::N);
            // SAFETY: `left` elements of the row are left.
            let v = unsafe { V::load_first(x.wrapping_add(i), left, f32::NEG_INFINITY) };
            let e = terms::<V, SUBTRACT_MAX, LONG_ROW>(v, m);
            if !LOG {
                // SAFETY: `left` elements of the row are left.
                unsafe { e.store_first(y.wrapping_add(i), left) }
            }
            // What is not there gives a term that no result shows.
            let e = sums.count_maxima(k, v, e);
            sums.add(k, e);
            k += 1;
        }
    }
    let nothing = [V::splat(0.0); PARTS];
    let equal = if LOG { fold::<V, S>(&sums.equal, 0.0, &nothing) } else { 0.0 };
    let bias = if LOG { 0.0 } else { BIAS };
    (fold::<V, S>(&sums.sum, bias, &sums.lost), equal)
}

/// The largest number; NaN is left out. Of two zeros the positive one.
///
/// # Safety
/// `x` has `n` elements.
#[inline(always)]
pub(super) unsafe fn largest<V: Lanes32>(x: *const f32, n: usize) -> f32 {
    let mut top = [V::splat(f32::NEG_INFINITY); PARTS];
    let mut top2 = top;
    let whole = n - n % PARTS;
    let mut i = 0;
    while i + 2 * PARTS <= whole {
        let mut k = 0;
        while k * V::N < PARTS {
            // SAFETY: both registers lie within the row.
            let (a, b) = unsafe {
                let p = x.wrapping_add(i + k * V::N);
                (V::load(p), V::load(p.wrapping_add(PARTS)))
            };
            // Chains of their own, half as long.
            (top[k], top2[k]) = (top[k].max(a), top2[k].max(b));
            k += 1;
        }
        i += 2 * PARTS;
    }
    let mut k = 0;
    if i < whole {
        while k * V::N < PARTS {
            // SAFETY: the register lies within the row.
            let v = unsafe { V::load(x.wrapping_add(i + k * V::N)) };
            top2[k] = top2[k].max(v);
            k += 1;
        }
        k = 0;
    }
    while k * V::N < PARTS {
        if whole < n {
            let i = whole + k * V::N;
            let left = n.saturating_sub(i).min(V::N);
            // SAFETY: `left` elements of the row are left.
            let v = unsafe { V::load_first(x.wrapping_add(i), left, f32::NEG_INFINITY) };
            top[k] = top[k].max(v);
        }
        top[k] = top[k].max(top2[k]);
        k += 1;
    }
    highest(top)
}

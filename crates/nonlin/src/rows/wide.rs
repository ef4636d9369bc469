//! Rows in f64 registers: those of f64, and those of f32 with a mask or a scale.

#![allow(unsafe_code)]

use super::job::RowJob;
use super::lanes::{SUMS, fill};
use crate::element::Element;
use crate::math::compensated::times_pair;
use crate::math::ln_1p;
use crate::math::power::{f64_lanes, f64_to_f32};
use crate::math::scale::scale2;
use crate::simd::{Lanes, Lanes64, Simd};

/// A value and what rounding has lost of it.
type Pair = (f64, f64);

fn add(a: Pair, b: f64) -> Pair {
    let (s, e) = Lanes64::two_sum(a.0, b);
    (s, a.1 + e)
}

/// The sum of all partial sums, in one order.
pub(super) fn reduce(sums: [(f64, f64); SUMS]) -> (f64, f64) {
    let mut total = (0.0, 0.0);
    for s in sums {
        total = add(total, s.0);
        total.1 += s.1;
    }
    Lanes64::quick_two_sum(total.0, total.1)
}

/// `ln` of `1 + rest`, or of `count + rest`, as a pair.
fn ln_total(count: f64, rest: Pair) -> Pair {
    let total = add(rest, count);
    let (s, lo) = Lanes64::quick_two_sum(total.0, total.1);
    if s < 2.0 {
        return ln_1p::f64_lanes(rest.0, rest.1);
    }
    // s = 2^k (1 + u)
    let k = ((s.to_bits() >> 52) as i64 - 1023) as f64;
    let shrink = |v: f64| scale2(v, -k);
    let (u, u_lo) = Lanes64::two_sum(shrink(s), -1.0);
    let (g, g_lo) = ln_1p::f64_lanes(u, u_lo + shrink(lo));
    ln_1p::plus_ln2(k, g, g_lo)
}

/// How a row's elements are read and how exactly `e^x` is needed.
pub(crate) trait Cell: Element {
    /// Whether results are f64.
    const FULL: bool;
    /// # Safety
    /// `p` has `V::N` elements.
    unsafe fn load<V: Lanes64>(p: *const Self) -> V;
    /// # Safety
    /// `p` has `V::N` elements.
    unsafe fn store<V: Lanes64>(v: V, p: *mut Self);
}

impl Cell for f32 {
    const FULL: bool = false;
    #[inline(always)]
    unsafe fn load<V: Lanes64>(p: *const f32) -> V {
        // SAFETY: `p` has `V::N` elements.
        unsafe { V::load_f32(p) }
    }
    #[inline(always)]
    unsafe fn store<V: Lanes64>(v: V, p: *mut f32) {
        // SAFETY: `p` has `V::N` elements.
        unsafe { v.store_f32(p) }
    }
}

impl Cell for f64 {
    const FULL: bool = true;
    #[inline(always)]
    unsafe fn load<V: Lanes64>(p: *const f64) -> V {
        // SAFETY: `p` has `V::N` elements.
        unsafe { V::load(p) }
    }
    #[inline(always)]
    unsafe fn store<V: Lanes64>(v: V, p: *mut f64) {
        // SAFETY: `p` has `V::N` elements.
        unsafe { v.store(p) }
    }
}

/// How logits are formed. `pre x + down add` is a logit divided by `post`, and the difference of two of
/// those times `post` that of the logits.
///
/// For f64 `post` is a power of two so large that nothing overflows where the difference of logits
/// does not: `1e308` and `5e307` with a scale of 4 are far apart, not both infinite. For f32 without a
/// mask of numbers `x` is subtracted first, which is exact where it matters, and then scaled; with one
/// see [`EXACT`].
#[derive(Clone, Copy)]
struct Scaling {
    pre: f64,
    post: f64,
    down: f64,
    /// Logits have no low parts.
    exact: bool,
}

impl Scaling {
    /// `added`: there is a mask of numbers.
    fn of<T: Cell>(scale: f64, added: bool) -> Self {
        if !T::FULL {
            // 0 times an infinite `x` is NaN, which the largest logit must show.
            return if added || scale == 0.0 {
                Scaling { pre: scale, post: 1.0, down: 1.0, exact: true }
            } else {
                Scaling { pre: 1f64.copysign(scale), post: scale.abs(), down: 1.0, exact: true }
            };
        }
        // `|scale| < 2^(exponent + 1)`.
        let exponent = (scale.to_bits() >> 52 & 0x7FF) as i32 - 1023;
        let k = match added {
            // The product stays below 2^922: it cannot carry a sum past the largest number.
            true if exponent < -103 => 0,
            // Product and entry are each at most a quarter of the largest number.
            true => (exponent + 3).max(2),
            false if scale.abs() <= 1.0 => 0,
            false => exponent + 1,
        };
        let power = |k: i32| f64::from_bits(((1023 + k) as u64) << 52);
        Scaling {
            pre: scale * power(-k),
            post: power(k),
            down: power(-k),
            exact: scale == 1.0 && !added,
        }
    }
}

/// From here on logits of f32 with a mask of numbers, whose sum is rounded to f64, are computed as pairs
/// of f64 numbers: below, two roundings change no `e^z` by more than 2^-28 of itself.
const EXACT: f64 = (1u64 << 24) as f64;

/// Logits over `post`, with -inf where masked, as a sum of two numbers, for `V::N` elements at `i`.
/// `PLAIN`: there is no mask, and the scale is 1.
///
/// # Safety
/// Each pointer that is not null has `V::N` elements from `i` on.
#[inline(always)]
unsafe fn logits<T: Cell, V: Lanes64, const PLAIN: bool>(
    scaling: &Scaling,
    x: *const T,
    keep: *const bool,
    add: *const T,
    i: usize,
) -> (V, V) {
    let zero = V::splat(0.0);
    // SAFETY: `x` has `V::N` elements from `i` on.
    let v: V = unsafe { T::load(x.wrapping_add(i)) };
    if PLAIN {
        return (v, zero);
    }
    let (mut z, mut lo) = (v, zero);
    if scaling.pre != 1.0 {
        let pre = V::splat(scaling.pre);
        if T::FULL {
            (z, lo) = v.two_prod(pre);
            let finite = V::splat(f64::INFINITY).gt(lo.abs());
            lo = V::select(finite, lo, zero);
        } else if add.is_null() {
            z = v * pre;
        }
    }
    if !add.is_null() {
        // SAFETY: `add` is not null, so it has `V::N` elements from `i` on.
        let m: V = unsafe { T::load(add.wrapping_add(i)) };
        if T::FULL {
            let (s, e) = z.two_sum(m * V::splat(scaling.down));
            let finite = V::splat(f64::INFINITY).gt(s.abs());
            lo = V::select(finite, lo + e, zero);
            z = s;
        } else {
            z = v.mul_add(V::splat(scaling.pre), m);
        }
    }
    if !keep.is_null() {
        let mut m = [0.0; SUMS];
        for (j, m) in m.iter_mut().enumerate().take(V::N) {
            // SAFETY: `keep` is not null, so it has `V::N` elements from `i` on, and `j < V::N`.
            if !unsafe { keep.wrapping_add(i + j).read() } {
                *m = f64::NEG_INFINITY;
            }
        }
        // SAFETY: the buffer has `SUMS >= V::N` elements.
        let m = unsafe { V::load(m.as_ptr()) };
        z = V::select(zero.gt(m), m, z);
        lo = V::select(zero.gt(m), zero, lo);
    }
    (z, lo)
}

/// The difference of a logit to the largest one, as a pair.
#[inline(always)]
fn difference<T: Cell, V: Lanes64, const PLAIN: bool>(
    scaling: &Scaling,
    (z, lo): (V, V),
    (max, max_lo): (V, V),
) -> (V, V) {
    let post = V::splat(scaling.post);
    if !T::FULL {
        return ((z - max) * post, V::splat(0.0));
    }
    let (mut s, mut e) = z.two_sum(-max);
    if !PLAIN {
        (s, e) = (s * post, (e + (lo - max_lo)) * post);
        if !scaling.exact {
            // Where logits are so large that their low parts alone tell them apart, those are the
            // difference. -inf has no low part.
            let finite = V::splat(f64::INFINITY).gt(s.abs());
            let (sum, rest) = s.two_sum(e);
            (s, e) = (V::select(finite, sum, s), V::select(finite, rest, V::splat(0.0)));
        }
    }
    let near = s.gt(V::splat(-1e6));
    (s, V::select(near, e, V::splat(0.0)))
}

/// `e^d`, as exactly as results need it.
#[inline(always)]
fn term<T: Cell, V: Lanes64>((d, d_lo): (V, V)) -> V {
    if T::FULL { f64_lanes::exp_neg(d, d_lo) } else { f64_to_f32::exp_neg(d) }
}

/// Writes the lanes of `v` to the elements from `i` on, but none from `end` on.
///
/// # Safety
/// `y` has `end` elements.
#[inline(always)]
unsafe fn put<T: Cell, V: Lanes64>(v: V, y: *mut T, i: usize, end: usize) {
    if i + V::N <= end {
        // SAFETY: the register lies within the row.
        unsafe { T::store(v, y.add(i)) }
    } else if i < end {
        let mut b = [T::default(); SUMS];
        // SAFETY: the buffer has `SUMS >= V::N` elements, of which `end - i` are copied.
        unsafe {
            T::store(v, b.as_mut_ptr());
            core::ptr::copy_nonoverlapping(b.as_ptr(), y.add(i), end - i);
        }
    }
}

/// One row: the largest logit, then the sum, then the results. `done` becomes false, and the row is as
/// it was, if f64 has to do it. `PLAIN`: there is no mask, and the scale is 1.
///
/// # Safety
/// `x` and `y` point to `n` elements, apart or the same, and each of the others that is not null.
#[inline(always)]
pub(super) unsafe fn row<S: Simd, T: Cell, const PLAIN: bool>(
    job: &RowJob,
    x: *const T,
    keep: *const bool,
    add: *const T,
    y: *mut T,
    n: usize,
    done: &mut bool,
) {
    let lanes = <S::F64 as Lanes>::N;
    let visible = job.visible.min(n);
    let zero = S::F64::splat(0.0);
    let scaling = Scaling::of::<T>(job.scale, !add.is_null());
    if !T::FULL && !S::F32::FUSED && !add.is_null() && job.scale != 1.0 {
        // Without fused multiply-add the product would be rounded on its own.
        *done = false;
        return;
    }

    // Runs the body with the logits of `lanes` elements at `i + j`, -inf beyond the end. A macro
    // and not a closure, which may not be inlined and would lose the instructions of its level.
    macro_rules! each {
        (|$i:ident, $j:ident, $z:ident, $lo:ident| $body:block) => {{
            let mut xs = [T::from_f64(f64::NEG_INFINITY); SUMS];
            let mut adds = [T::default(); SUMS];
            let mut keeps = [true; SUMS];
            let (mut xp, mut kp, mut ap) = (x, keep, add);
            let mut $i = 0;
            while $i < visible {
                if $i + SUMS > visible {
                    // The rest, in full registers.
                    let m = visible - $i;
                    // SAFETY: `m` elements are left in the row and in its mask. The pointers are
                    // moved back by `i`, which the reads below add again.
                    unsafe {
                        core::ptr::copy_nonoverlapping(x.add($i), xs.as_mut_ptr(), m);
                        xp = xs.as_ptr().wrapping_sub($i);
                        if !add.is_null() {
                            core::ptr::copy_nonoverlapping(add.add($i), adds.as_mut_ptr(), m);
                            ap = adds.as_ptr().wrapping_sub($i);
                        }
                        if !keep.is_null() {
                            core::ptr::copy_nonoverlapping(keep.add($i), keeps.as_mut_ptr(), m);
                        }
                        // -inf times a scale that is not positive is not -inf.
                        if !keep.is_null() || job.scale <= 0.0 {
                            keeps[m..].fill(false);
                            kp = keeps.as_ptr().wrapping_sub($i);
                        }
                    }
                }
                let mut $j = 0;
                while $j < SUMS {
                    // SAFETY: `SUMS` elements from `i` are in the row or in the buffers.
                    let ($z, $lo) = unsafe { logits::<T, S::F64, PLAIN>(&scaling, xp, kp, ap, $i + $j) };
                    $body
                    $j += lanes;
                }
                $i += SUMS;
            }
        }};
    }

    // The largest logit (exactly, as a pair), and whether there is a NaN.
    let mut top = [S::F64::splat(f64::NEG_INFINITY); SUMS];
    let mut nan = zero;
    let mut top_lo = [zero; SUMS];
    each!(|i, j, z, lo| {
        let k = j / lanes;
        let more = z.gt(top[k]);
        if T::FULL && !PLAIN {
            let tie =
                Lanes::select(top[k].gt(z), zero, Lanes::select(more, zero, S::F64::splat(1.0)))
                    .gt(zero);
            let higher = Lanes::select(tie, lo - top_lo[k], zero).gt(zero);
            top_lo[k] = Lanes::select(more, lo, Lanes::select(higher, lo, top_lo[k]));
        }
        top[k] = Lanes::select(more, z, top[k]);
        nan = Lanes::select(z.is_nan(), z, nan);
    });
    let (mut max, mut max_lo) = (f64::NEG_INFINITY, 0.0);
    for k in 0..SUMS / lanes {
        let (mut hi, mut lo) = ([0.0; SUMS], [0.0; SUMS]);
        // SAFETY: the buffers have `SUMS >= lanes` elements.
        unsafe {
            top[k].store(hi.as_mut_ptr());
            top_lo[k].store(lo.as_mut_ptr());
        }
        for q in 0..lanes {
            if hi[q] > max || (hi[q] == max && lo[q] > max_lo) {
                (max, max_lo) = (hi[q], lo[q]);
            }
        }
    }
    let mut nans = [0.0; SUMS];
    // SAFETY: the buffer has `SUMS >= lanes` elements.
    unsafe { nan.store(nans.as_mut_ptr()) }
    let nan = nans.iter().any(|v| v.is_nan());

    let fill = |v: f64, from: usize, to: usize| {
        // SAFETY: `to <= n`.
        unsafe { fill(y, T::from_f64(v), from, to) }
    };
    let nothing = job.masked();
    if nan || max == f64::INFINITY {
        return fill(f64::NAN, 0, n);
    }
    if max == f64::NEG_INFINITY {
        return fill(job.all_masked(), 0, n);
    }
    if !T::FULL && !add.is_null() && max.abs() >= EXACT {
        *done = false;
        return;
    }

    // The terms: those equal to the largest are counted, the others added.
    let top = (S::F64::splat(max), S::F64::splat(max_lo));
    let mut sum = [zero; SUMS];
    let mut err = [zero; SUMS];
    let mut count = [zero; SUMS];
    each!(|i, j, z, lo| {
        let k = j / lanes;
        let (d, d_lo) = difference::<T, S::F64, PLAIN>(&scaling, (z, lo), top);
        let e = term::<T, S::F64>((d, d_lo));
        if T::FULL && !job.log {
            // SAFETY: `y` has `visible` elements; those of `x` here have been read.
            unsafe { put::<T, S::F64>(e, y, i + j, visible) }
        }
        // Without scaling `d` is 0 for equal numbers alone, and what rounds off it changes no sign.
        let below = zero.gt(if PLAIN { d } else { d + d_lo });
        count[k] = count[k] + Lanes::select(below, zero, S::F64::splat(1.0));
        let e = Lanes::select(below, e, zero);
        if T::FULL {
            let (s, r) = sum[k].two_sum(e);
            sum[k] = s;
            err[k] = err[k] + r;
        } else {
            sum[k] = sum[k] + e;
        }
    });
    let mut sums = [(0.0, 0.0); SUMS];
    let mut largest = 0.0;
    for k in 0..SUMS / lanes {
        let (mut s, mut r, mut c) = ([0.0; SUMS], [0.0; SUMS], [0.0; SUMS]);
        // SAFETY: the buffers have `SUMS >= lanes` elements.
        unsafe {
            sum[k].store(s.as_mut_ptr());
            err[k].store(r.as_mut_ptr());
            count[k].store(c.as_mut_ptr());
        }
        for q in 0..lanes {
            sums[k * lanes + q] = (s[q], r[q]);
            largest += c[q];
        }
    }
    let rest = reduce(sums);

    let total = add_pair(rest, largest);
    // 1 / total, and what it rounds off.
    let inverse = 1.0 / total.0;
    let rest_of_inverse = (Lanes64::residual(1.0, inverse, total.0) - inverse * total.1) * inverse;
    let (inverse, inverse_lo) = (S::F64::splat(inverse), S::F64::splat(rest_of_inverse));
    if T::FULL && !job.log {
        // The terms are in `y` already.
        let mut i = 0;
        while i < visible {
            let mut rest = [T::default(); SUMS];
            let from = if i + lanes <= visible {
                y.wrapping_add(i).cast_const()
            } else {
                // SAFETY: fewer than `lanes <= SUMS` elements are left.
                unsafe {
                    core::ptr::copy_nonoverlapping(y.add(i), rest.as_mut_ptr(), visible - i);
                }
                rest.as_ptr()
            };
            // SAFETY: the register lies within the row or within the buffer.
            unsafe {
                let r = times_pair(T::load(from), inverse, inverse_lo);
                put::<T, S::F64>(r, y, i, visible);
            }
            i += lanes;
        }
        return fill(nothing, visible, n);
    }
    let (l, l_lo) = if job.log { ln_total(largest, rest) } else { (0.0, 0.0) };
    let (l, l_lo) = (S::F64::splat(l), S::F64::splat(l_lo));
    each!(|i, j, z, lo| {
        let (d, d_lo) = difference::<T, S::F64, PLAIN>(&scaling, (z, lo), top);
        let r = if job.log {
            let (s, r) = d.two_sum(-l);
            // Neither exceeds 0.
            let finite = s.gt(S::F64::splat(f64::NEG_INFINITY));
            s + Lanes::select(finite, r + (d_lo - l_lo), zero)
        } else {
            term::<T, S::F64>((d, d_lo)) * inverse
        };
        // SAFETY: `y` has `visible` elements.
        unsafe { put::<T, S::F64>(r, y, i + j, visible) }
    });
    fill(nothing, visible, n);
}

fn add_pair(a: Pair, b: f64) -> Pair {
    let t = add(a, b);
    Lanes64::quick_two_sum(t.0, t.1)
}

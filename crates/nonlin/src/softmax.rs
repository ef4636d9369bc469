//! Softmax and log-softmax: rows, any axis, with scale and mask as in attention.
//!
//! `x - max` is carried exactly, and terms are added in one fixed order (by index modulo 16, or 32
//! for f32 and half types without mask and scale, each partial sum with its rounding errors
//! collected), so that a row has the same bits at every level with fused multiply-add and for any
//! thread count.
//! log-softmax adds up all terms but the largest, so that `ln(1 + rest)` is exact when the largest
//! dominates.
//!
//! A quotient of terms does not change if both are divided by the same power of two. So f32 rows
//! whose logits are moderate take `e^x` over a power of two near `e^max`, from `x` alone: its
//! reduction to `x - k ln(2) / 16` is exact, as a difference to the largest is, and costs no more.

#![allow(unsafe_code)]

use crate::element::Element;
use crate::error::Error;
use crate::exec::{Cost, Exec, Shared, same_length};
#[cfg(feature = "half")]
use crate::halves::{Half, from_f32, to_f32};
use crate::kernel::{Family, PerType};
use crate::level::{Level, PerLevel, per_level};
use crate::math::coefficients::LOG_NARROW;
use crate::math::{full, narrow, paired};
use crate::shape::{self, Around};
use crate::simd::{Lanes, Lanes32, Lanes64, Partial, Simd};
use alloc::{vec, vec::Vec};
#[cfg(feature = "half")]
use core::mem::MaybeUninit;

/// What a row without any unmasked element gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum EmptyRow {
    /// NaN, as the definition says (0 / 0) and PyTorch does.
    #[default]
    Nan,
    /// Zeros (log-softmax: -inf), as attention wants it for padding.
    Zero,
}

/// Which elements take part, and what is added to them.
#[derive(Clone, Copy, Debug)]
pub enum Mask<'a, T> {
    /// All of them.
    None,
    /// Those whose entry is true. As many entries as `x`, or as a trailing part of its rows, repeated.
    Keep(&'a [bool]),
    /// All, with the entry added after scaling (-inf masks). Sizes as for `Keep`.
    Add(&'a [T]),
    /// Row `r` is query `r % queries`; it sees keys `0 ..= query + offset`.
    Causal {
        /// Queries per sequence.
        queries: usize,
        /// Keys that come before the first query.
        offset: isize,
    },
}

/// Softmax or log-softmax of `scale * x + mask` along an axis.
///
/// ```
/// use nonlin::Softmax;
/// let x = [1.0f32, 2.0, 3.0];
/// let mut y = [0.0; 3];
/// Softmax::new().forward(&x, &[3], -1, &mut y)?;
/// assert_eq!(y, [0.09003057, 0.24472848, 0.66524094]);
/// # Ok::<(), nonlin::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Softmax {
    /// Logarithm of the result.
    pub log: bool,
    /// Factor of `x`, 1 unless set; attention uses `1 / sqrt(d)`.
    pub scale: f64,
    /// What a fully masked row gives.
    pub empty: EmptyRow,
}

impl Default for Softmax {
    fn default() -> Self {
        Self::new()
    }
}

/// One row's task, apart from the data.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct RowJob {
    log: bool,
    scale: f64,
    empty: EmptyRow,
    /// Elements of the row that take part; the rest is masked.
    visible: usize,
}

impl Softmax {
    /// `e^x / sum e^x`.
    #[must_use]
    pub fn new() -> Self {
        Softmax { log: false, scale: 1.0, empty: EmptyRow::Nan }
    }

    /// `x - ln sum e^x`.
    #[must_use]
    pub fn log() -> Self {
        Softmax { log: true, ..Self::new() }
    }

    /// Along `axis` (negative: from the end) of an array of that shape in C order.
    ///
    /// # Errors
    /// If the shape does not fit `x`, or has no such axis.
    ///
    /// # Panics
    /// If `y` is not as long as `x`.
    #[track_caller]
    pub fn forward<T: Element>(
        &self,
        x: &[T],
        shape: &[usize],
        axis: isize,
        y: &mut [T],
    ) -> Result<(), Error> {
        self.forward_with(&Exec::new(), x, shape, axis, Mask::None, y)
    }

    /// In place.
    ///
    /// # Errors
    /// If the shape does not fit `x`, or has no such axis.
    pub fn forward_in_place<T: Element>(
        &self,
        x: &mut [T],
        shape: &[usize],
        axis: isize,
    ) -> Result<(), Error> {
        let p = x.as_mut_ptr();
        self.run(&Exec::new(), p, p, x.len(), shape, axis, Mask::None)
    }

    /// [`forward`](Self::forward) with a mask, carried out as `exec` says.
    ///
    /// # Errors
    /// If the shape does not fit `x`, has no such axis, or does not fit the mask.
    ///
    /// # Panics
    /// If `y` is not as long as `x`.
    #[track_caller]
    pub fn forward_with<T: Element>(
        &self,
        exec: &Exec,
        x: &[T],
        shape: &[usize],
        axis: isize,
        mask: Mask<'_, T>,
        y: &mut [T],
    ) -> Result<(), Error> {
        same_length("y", y.len(), "x", x.len());
        self.run(exec, x.as_ptr(), y.as_mut_ptr(), x.len(), shape, axis, mask)
    }

    #[allow(clippy::too_many_arguments)]
    fn run<T: Element>(
        &self,
        exec: &Exec,
        x: *const T,
        y: *mut T,
        len: usize,
        shape: &[usize],
        axis: isize,
        mask: Mask<'_, T>,
    ) -> Result<(), Error> {
        shape::check("the array", len, shape)?;
        let Around { n, inner, .. } = shape::around(shape, axis)?;
        if len == 0 {
            return Ok(());
        }
        let masked = match mask {
            Mask::None => 0,
            Mask::Keep(m) => m.len(),
            Mask::Add(m) => m.len(),
            Mask::Causal { queries, .. } => queries.saturating_mul(n),
        };
        if !matches!(mask, Mask::None)
            && (inner != 1
                || masked == 0
                || !masked.is_multiple_of(n)
                || !len.is_multiple_of(masked))
        {
            return Err(Error::MaskShape { mask: vec![masked], scores: shape.into() });
        }
        let (x, y) = (Shared(x.cast_mut()), Shared(y));
        let level = exec.current_level();
        let job = RowJob { log: self.log, scale: self.scale, empty: self.empty, visible: n };
        if inner == 1 {
            let one = |r: usize, rows: usize| {
                let (mut job, mut keep, mut add) = (job, core::ptr::null(), core::ptr::null());
                match mask {
                    Mask::None => {}
                    Mask::Keep(m) => keep = m[r * n % m.len()..].as_ptr(),
                    Mask::Add(m) => add = m[r * n % m.len()..].as_ptr(),
                    Mask::Causal { queries, offset } => {
                        let last = (r % queries) as isize + offset;
                        job.visible = (last + 1).clamp(0, n as isize) as usize;
                    }
                }
                // SAFETY: the rows from `r` on lie within both arrays, and the one row that has a
                // mask within it; rows do not overlap.
                unsafe {
                    (T::pick(&KERNELS).rows)(
                        level,
                        &job,
                        x.at(r * n),
                        keep,
                        add,
                        y.at(r * n),
                        n,
                        rows,
                    )
                }
            };
            exec.rows(len / n, n, |r, rows| match mask {
                Mask::None => one(r, rows),
                _ => (r..r + rows).for_each(|r| one(r, 1)),
            });
        } else {
            columns(exec, len, n, inner, |from, rows| {
                for (c, row) in rows.chunks_exact_mut(n).enumerate() {
                    for (j, v) in row.iter_mut().enumerate() {
                        // SAFETY: element j of column `from + c` lies within the array.
                        *v = unsafe { x.at(from + c + j * inner).read() };
                    }
                }
                let (p, count) = (rows.as_mut_ptr(), rows.len() / n);
                let none = core::ptr::null();
                // SAFETY: the buffer has so many rows of `n` elements.
                unsafe {
                    (T::pick(&KERNELS).rows)(level, &job, p, none, core::ptr::null(), p, n, count)
                }
                for (c, row) in rows.chunks_exact(n).enumerate() {
                    for (j, v) in row.iter().enumerate() {
                        // SAFETY: as above; columns do not overlap.
                        unsafe { y.at(from + c + j * inner).write(*v) }
                    }
                }
            });
        }
        Ok(())
    }

    /// The gradient of `forward` from its output `y`, which alone need be saved.
    ///
    /// # Errors
    /// If the shape does not fit `y`, or has no such axis.
    ///
    /// # Panics
    /// If the lengths differ.
    #[track_caller]
    pub fn backward<T: Element>(
        &self,
        y: &[T],
        grad: &[T],
        shape: &[usize],
        axis: isize,
        dx: &mut [T],
    ) -> Result<(), Error> {
        self.backward_with(&Exec::new(), y, grad, shape, axis, dx)
    }

    /// [`backward`](Self::backward), carried out as `exec` says.
    ///
    /// # Errors
    /// If the shape does not fit `y`, or has no such axis.
    ///
    /// # Panics
    /// If the lengths differ.
    #[track_caller]
    pub fn backward_with<T: Element>(
        &self,
        exec: &Exec,
        y: &[T],
        grad: &[T],
        shape: &[usize],
        axis: isize,
        dx: &mut [T],
    ) -> Result<(), Error> {
        same_length("grad", grad.len(), "y", y.len());
        same_length("dx", dx.len(), "y", y.len());
        shape::check("the array", y.len(), shape)?;
        let Around { n, inner, .. } = shape::around(shape, axis)?;
        if y.is_empty() {
            return Ok(());
        }
        let to = Shared(dx.as_mut_ptr());
        let (log, scale, level) = (self.log, self.scale, exec.current_level());
        if inner == 1 {
            exec.rows(y.len() / n, n, |r, rows| {
                for r in r..r + rows {
                    // SAFETY: row `r` lies within all three arrays; rows do not overlap.
                    unsafe {
                        (T::pick(&KERNELS).back)(
                            level,
                            log,
                            scale,
                            y[r * n..].as_ptr(),
                            grad[r * n..].as_ptr(),
                            to.at(r * n),
                            n,
                        )
                    }
                }
            });
        } else {
            columns(exec, y.len(), n, inner, |from, rows| {
                let mut g = vec![T::default(); n];
                for (c, row) in rows.chunks_exact_mut(n).enumerate() {
                    for j in 0..n {
                        row[j] = y[from + c + j * inner];
                        g[j] = grad[from + c + j * inner];
                    }
                    let p = row.as_mut_ptr();
                    // SAFETY: the buffers have `n` elements.
                    unsafe { (T::pick(&KERNELS).back)(level, log, scale, p, g.as_ptr(), p, n) }
                    for (j, v) in row.iter().enumerate() {
                        // SAFETY: element j of column `from + c` lies within the array; columns do not overlap.
                        unsafe { to.at(from + c + j * inner).write(*v) }
                    }
                }
            });
        }
        Ok(())
    }
}

/// Columns that are gathered at a time: a cache line of f32.
const COLUMNS: usize = 16;

/// Calls `f` with the index of the first element of some columns and a buffer for them.
fn columns<T: Element>(
    exec: &Exec,
    len: usize,
    n: usize,
    inner: usize,
    f: impl Fn(usize, &mut [T]) + Sync,
) {
    let strips = inner.div_ceil(COLUMNS);
    exec.rows(len / (n * inner) * strips, n * COLUMNS, |s, count| {
        let mut rows: Vec<T> = vec![T::default(); n * COLUMNS.min(inner)];
        for s in s..s + count {
            let (outer, strip) = (s / strips, s % strips);
            let width = COLUMNS.min(inner - strip * COLUMNS);
            f(outer * n * inner + strip * COLUMNS, &mut rows[..n * width]);
        }
    });
}

impl Exec {
    /// Calls `f(first, count)` for as many rows at a time as the block size holds.
    fn rows(&self, rows: usize, n: usize, f: impl Fn(usize, usize) + Sync) {
        if rows == 1 {
            return f(0, 1);
        }
        let per_block = (crate::exec::DEFAULT_BLOCK / n.max(1)).max(1);
        self.block(per_block).blocks(rows, Cost::ROWS.times(n), f);
    }
}

/// Partial sums per row.
const SUMS: usize = 16;

/// A value and what rounding has lost of it.
type Pair = (f64, f64);

fn add(a: Pair, b: f64) -> Pair {
    let (s, e) = Lanes64::two_sum(a.0, b);
    (s, a.1 + e)
}

/// The sum of all partial sums, in one order.
fn reduce(sums: [Pair; SUMS]) -> Pair {
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
        return full::ln_1p(rest.0, rest.1);
    }
    // s = 2^k (1 + u)
    let k = ((s.to_bits() >> 52) as i64 - 1023) as f64;
    let shrink = |v: f64| full::scale2(v, -k);
    let (u, u_lo) = Lanes64::two_sum(shrink(s), -1.0);
    let (g, g_lo) = full::ln_1p(u, u_lo + shrink(lo));
    full::plus_ln2(k, g, g_lo)
}

/// How a row's elements are read and how exactly `e^x` is needed.
pub(crate) trait Cell: Element {
    /// Whether results are f64.
    const FULL: bool;
    unsafe fn load<V: Lanes64>(p: *const Self) -> V;
    unsafe fn store<V: Lanes64>(v: V, p: *mut Self);
}
impl Cell for f32 {
    const FULL: bool = false;
    #[inline(always)]
    unsafe fn load<V: Lanes64>(p: *const f32) -> V {
        // SAFETY: the caller's promise.
        unsafe { V::load_f32(p) }
    }
    #[inline(always)]
    unsafe fn store<V: Lanes64>(v: V, p: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { v.store_f32(p) }
    }
}
impl Cell for f64 {
    const FULL: bool = true;
    #[inline(always)]
    unsafe fn load<V: Lanes64>(p: *const f64) -> V {
        // SAFETY: the caller's promise.
        unsafe { V::load(p) }
    }
    #[inline(always)]
    unsafe fn store<V: Lanes64>(v: V, p: *mut f64) {
        // SAFETY: the caller's promise.
        unsafe { v.store(p) }
    }
}

/// `scale * x + add`, with -inf where masked, as a sum of two numbers, for `V::N` elements at `i`.
#[inline(always)]
unsafe fn logits<T: Cell, V: Lanes64>(
    job: &RowJob,
    x: *const T,
    keep: *const bool,
    add: *const T,
    i: usize,
) -> (V, V) {
    let zero = V::splat(0.0);
    // SAFETY: the caller's promise of `i + V::N` elements.
    let v: V = unsafe { T::load(x.wrapping_add(i)) };
    let (mut z, mut lo) = (v, zero);
    if job.scale != 1.0 {
        let scale = V::splat(job.scale);
        if T::FULL {
            (z, lo) = v.two_prod(scale);
            let finite = V::splat(f64::INFINITY).gt(lo.abs());
            lo = V::select(finite, lo, zero);
        } else {
            z = v * scale;
        }
    }
    if !add.is_null() {
        // SAFETY: as above.
        let m: V = unsafe { T::load(add.wrapping_add(i)) };
        if T::FULL {
            let (s, e) = z.two_sum(m);
            let finite = V::splat(f64::INFINITY).gt(s.abs());
            lo = V::select(finite, lo + e, zero);
            z = s;
        } else {
            z = z + m;
        }
    }
    if !keep.is_null() {
        let mut m = [0.0; SUMS];
        for (j, m) in m.iter_mut().enumerate().take(V::N) {
            // SAFETY: as above.
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

/// `e^(z - max)`, and the exact difference.
#[inline(always)]
fn term<T: Cell, V: Lanes64>(z: V, lo: V, max: V, max_lo: V) -> (V, V, V) {
    let d = z - max;
    if !T::FULL {
        return (narrow::exp_neg(d), d, V::splat(0.0));
    }
    let (s, e) = z.two_sum(-max);
    let near = s.gt(V::splat(-1e6));
    let e = V::select(near, e + (lo - max_lo), V::splat(0.0));
    (full::exp_neg(s, e), s, e)
}

/// Writes the lanes of `v` to the elements from `i` on, but none from `end` on.
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

/// Writes `v` to the elements from `from` up to `to`.
#[inline(always)]
unsafe fn fill<T: Copy>(y: *mut T, v: T, from: usize, to: usize) {
    for i in from..to {
        // SAFETY: the caller's promise of `to` elements.
        unsafe { y.add(i).write(v) }
    }
}

/// Partial sums of a row of f32.
const PARTS: usize = 32;
/// How far below the largest a logit is followed: no result shows what lies deeper, even if all other
/// terms of a long row do.
const DEPTH: f32 = 148.0;
/// The largest term is about two to this, so that even the least is a normal number.
const LIFT: i32 = 90;
/// From here on the largest logit is subtracted before the exponential is taken: where it matters
/// (up to `DEPTH`) both are within a factor of 2, and the difference is exact.
const SMALL: f32 = 300.0;
/// From this length on terms are added in pairs first. That rounds once more, which may cost a unit
/// in the last place, and a row as long is allowed one more.
const PAIRS: usize = 128;
/// From this length on four are added first, and their exponentials need but one look-up: 2 units and
/// 1, where 3 more are allowed.
const LONG: usize = 512;
/// Terms that are added before what rounding has lost is given to the partial sums.
const STRETCH: usize = 1024;
/// Partial sums of softmax begin with this, which no four terms exceed by a binade: so what rounding
/// loses of a sum is found by two operations.
const BIAS: f32 = f32::from_bits(((127 + LIFT + 2) as u32) << 23);

/// What terms are measured by: they are `e^x` over a power of two.
#[derive(Clone, Copy)]
struct Measure {
    max: f32,
    /// Subtracted first, if `far`: the largest logit.
    far: bool,
    /// Logits (with `far`, differences) below this count as this.
    least: f32,
    /// [`paired::over`] of the power of two.
    over: f32,
    /// `e^max` over the power of two is `e^-ln`, apart from `LIFT`.
    ln: f64,
}

impl Measure {
    #[inline(always)]
    fn of(max: f32) -> Self {
        if max.abs() <= SMALL {
            // The nearest integer, which is what is left of a sum with a number whose last bit is 1.
            let i = (max * core::f32::consts::LOG2_E + 12_582_912.0) - 12_582_912.0;
            let ln = f64::from(i) * core::f64::consts::LN_2 - f64::from(max);
            let over = paired::over(i - LIFT as f32);
            Measure { max, far: false, least: max - DEPTH, over, ln }
        } else {
            let over = paired::over(-LIFT as f32);
            Measure { max, far: true, least: -DEPTH, over, ln: 0.0 }
        }
    }
}

impl Measure {
    /// What a term has to be multiplied by to be a share of the largest.
    #[inline(always)]
    fn share<S: Simd>(&self) -> f64 {
        let drop = f64::from_bits(((1023 - LIFT) as u64) << 52);
        first(narrow::exp_neg(S::F64::splat(self.ln))) * drop
    }
}

/// The terms of a register of logits; `LENGTHY`: of a row from `LONG` on.
#[inline(always)]
fn terms<V: Lanes32, const FAR: bool, const LENGTHY: bool>(x: V, m: &Measure) -> V {
    let x = if FAR { x - V::splat(m.max) } else { x };
    let (x, over) = (x.max(V::splat(m.least)), V::splat(m.over));
    if LENGTHY { paired::exp_over_short(x, over) } else { paired::exp_over(x, over) }
}

/// Partial sums, each with what rounding it has lost; `LOG`: of the terms below the largest, and how
/// many are equal to it.
struct Sums<V, const LOG: bool> {
    sum: [V; PARTS],
    lost: [V; PARTS],
    equal: [V; PARTS],
    /// The number next to the largest logit.
    below: V,
}

impl<V: Lanes32, const LOG: bool> Sums<V, LOG> {
    #[inline(always)]
    fn new(m: &Measure) -> Self {
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
    fn counted(&mut self, k: usize, x: V, e: V) -> V {
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
    fn add(&mut self, k: usize, e: V) {
        let (s, r) = if LOG {
            // Beside the largest term the others may be as small as can be.
            paired::two_sum(self.sum[k], e)
        } else {
            let s = self.sum[k] + e;
            (s, e - (s - self.sum[k]))
        };
        (self.sum[k], self.lost[k]) = (s, self.lost[k] + r);
    }

    /// Gives what was lost to the partial sums, which are larger.
    #[inline(always)]
    fn settle(&mut self, k: usize) {
        let s = self.sum[k] + self.lost[k];
        (self.sum[k], self.lost[k]) = (s, self.lost[k] - (s - self.sum[k]));
    }
}

/// The sum of `a - bias` and `b` in one order: of halves, lane by lane, until one is left.
#[inline(always)]
fn fold<V: Lanes32, S: Simd>(a: &[V; PARTS], bias: f32, b: &[V; PARTS]) -> f64 {
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

/// The sum of `PARTS` numbers, of halves, until one is left.
#[inline(always)]
fn halve<S: Simd>(mut all: [S::F64; PARTS]) -> f64 {
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

/// The sum of all terms, which are kept in `y`; `LOG`: of those below the largest, none kept, and
/// how many are equal to the largest.
#[inline(always)]
unsafe fn sum_terms<V: Lanes32, S: Simd, const FAR: bool, const LENGTHY: bool, const LOG: bool>(
    x: *const f32,
    y: *mut f32,
    n: usize,
    m: &Measure,
) -> (f64, f64) {
    let mut sums = Sums::<V, LOG>::new(m);
    let whole = n - n % PARTS;
    // A macro and not a closure, for the same reason as `kernel::Step`.
    macro_rules! at {
        ($i:expr, $k:ident) => {{
            // SAFETY: the register lies within the row.
            let v = unsafe { V::load(x.wrapping_add($i + $k * V::N)) };
            let e = terms::<V, FAR, LENGTHY>(v, m);
            if !LOG {
                // SAFETY: as above.
                unsafe { e.store(y.wrapping_add($i + $k * V::N)) }
            }
            sums.counted($k, v, e)
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
                        sums.settle(k);
                    }
                    k += 1;
                }
            }
        };
    }
    if LENGTHY {
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
            // SAFETY: so many elements are left.
            let v = unsafe { V::load_first(x.wrapping_add(i), left, f32::NEG_INFINITY) };
            let e = terms::<V, FAR, LENGTHY>(v, m);
            if !LOG {
                // SAFETY: as above.
                unsafe { e.store_first(y.wrapping_add(i), left) }
            }
            // What is not there gives a term that no result shows.
            let e = sums.counted(k, v, e);
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
#[inline(always)]
unsafe fn largest<V: Lanes32>(x: *const f32, n: usize) -> f32 {
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
            // SAFETY: so many elements are left.
            let v = unsafe { V::load_first(x.wrapping_add(i), left, f32::NEG_INFINITY) };
            top[k] = top[k].max(v);
        }
        top[k] = top[k].max(top2[k]);
        k += 1;
    }
    highest(top)
}

/// The largest of `PARTS` numbers, as `largest` says.
#[inline(always)]
fn highest<V: Lanes32>(mut top: [V; PARTS]) -> f32 {
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

/// A number as the sum of two.
#[inline(always)]
fn parts(v: f64) -> (f32, f32) {
    let high = v as f32;
    (high, (v - f64::from(high)) as f32)
}

/// What is left to do for a row.
enum Finish {
    Fill(f32),
    /// Terms are multiplied; none is larger than that of the largest logit.
    Times(f32, f64),
    /// The largest logit and what the others add to it are subtracted.
    Less(f64, f64),
}

/// Rows of f32 without mask and scale, one after another, in f32 registers.
///
/// The next row's largest is sought before a row is finished: so there is something to do while the
/// sum is folded and inverted.
#[inline(always)]
unsafe fn plain_rows<S: Simd>(job: &RowJob, x: *const f32, y: *mut f32, n: usize, rows: usize) {
    let visible = job.visible.min(n);
    let nothing = if job.log { f32::NEG_INFINITY } else { 0.0 };
    // SAFETY: the caller's promise.
    let mut max = unsafe { largest::<S::F32>(x, visible) };
    for r in 0..rows {
        let (x, y) = (x.wrapping_add(r * n), y.wrapping_add(r * n));
        // SAFETY: the caller's promise.
        let finish = unsafe { measured::<S>(job, x, y, visible, max) };
        if r + 1 < rows {
            // SAFETY: as above; there is a next row.
            max = unsafe { largest::<S::F32>(x.add(n), visible) };
        }
        // SAFETY: as above.
        unsafe {
            match finish {
                Finish::Fill(v) => {
                    fill(y, v, 0, n);
                    continue;
                }
                Finish::Times(end, factor) => quotients::<S::Block32>(y, visible, end, factor),
                Finish::Less(max, l) => less::<S::Block32>(x, y, visible, max, l),
            }
            fill(y, nothing, visible, n);
        }
    }
}

/// What all elements of a row are whose largest is infinite, or that has none.
///
/// # Safety
/// `n` elements.
#[inline(always)]
unsafe fn unbounded(job: &RowJob, x: *const f32, n: usize, max: f32) -> f32 {
    // SAFETY: the caller's promise.
    let nan = unsafe { core::slice::from_raw_parts(x, n) }.iter().any(|v| v.is_nan());
    let empty = max == f32::NEG_INFINITY && !nan && job.empty == EmptyRow::Zero;
    let nothing = if job.log { f32::NEG_INFINITY } else { 0.0 };
    if empty { nothing } else { f32::NAN }
}

/// `plain_rows` for rows of at most `PARTS` elements, which stay in registers.
#[inline(always)]
unsafe fn short_rows<S: Simd>(job: &RowJob, x: *const f32, y: *mut f32, n: usize, rows: usize) {
    let visible = job.visible.min(n);
    let rest = f32::NEG_INFINITY;
    for r in 0..rows {
        let (x, y) = (x.wrapping_add(r * n), y.wrapping_add(r * n));
        let mut v = [S::F32::splat(rest); PARTS];
        let mut top = v;
        let mut k = 0;
        while k * S::F32::N < PARTS {
            let left = visible.saturating_sub(k * S::F32::N).min(S::F32::N);
            // SAFETY: so many elements are left.
            v[k] = unsafe { S::F32::load_first(x.wrapping_add(k * S::F32::N), left, rest) };
            top[k] = top[k].max(v[k]);
            k += 1;
        }
        let max = highest(top);
        if max.is_infinite() {
            // SAFETY: the row has as many elements.
            unsafe { fill(y, unbounded(job, x, visible, max), 0, n) }
            continue;
        }
        let m = Measure::of(max);
        // SAFETY: the caller's promise.
        unsafe {
            match (job.log, m.far) {
                (false, false) => short_row::<S, false, false>(v, y, visible, &m),
                (false, true) => short_row::<S, false, true>(v, y, visible, &m),
                (true, false) => short_row::<S, true, false>(v, y, visible, &m),
                (true, true) => short_row::<S, true, true>(v, y, visible, &m),
            }
            fill(y, if job.log { f32::NEG_INFINITY } else { 0.0 }, visible, n);
        }
    }
}

/// One of them. With one term in each partial sum nothing is lost.
///
/// # Safety
/// `n <= PARTS` elements.
#[inline(always)]
unsafe fn short_row<S: Simd, const LOG: bool, const FAR: bool>(
    v: [S::F32; PARTS],
    y: *mut f32,
    n: usize,
    m: &Measure,
) {
    let nothing = [S::F32::splat(0.0); PARTS];
    let mut sums = Sums::<S::F32, LOG>::new(m);
    let mut e = nothing;
    let mut k = 0;
    while k * S::F32::N < PARTS {
        e[k] = terms::<_, FAR, false>(v[k], m);
        sums.sum[k] = sums.counted(k, v[k], e[k]);
        k += 1;
    }
    let sum = fold::<S::F32, S>(&sums.sum, 0.0, &nothing);
    let (high, low) = if LOG {
        let count = fold::<S::F32, S>(&sums.equal, 0.0, &nothing);
        less_by(f64::from(m.max), ln_count::<S>(count, sum * m.share::<S>()))
    } else {
        parts(1.0 / sum)
    };
    let (high, low) = (S::F32::splat(high), S::F32::splat(low));
    let end = terms::<_, FAR, false>(S::F32::splat(m.max), m);
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
        // SAFETY: so many elements are left.
        unsafe { result.store_first(y.wrapping_add(k * S::F32::N), left) }
        k += 1;
    }
}

/// The sum of a row.
#[inline(always)]
unsafe fn measured<S: Simd>(
    job: &RowJob,
    x: *const f32,
    y: *mut f32,
    n: usize,
    max: f32,
) -> Finish {
    if max.is_infinite() {
        // SAFETY: the caller's promise of `n` elements.
        return Finish::Fill(unsafe { unbounded(job, x, n, max) });
    }
    let m = Measure::of(max);
    let lengthy = n >= LONG;
    macro_rules! sum {
        ($far:literal, $lengthy:literal) => {
            // SAFETY: the caller's promise.
            unsafe {
                if job.log {
                    sum_terms::<V<S>, S, $far, $lengthy, true>(x, y, n, &m)
                } else {
                    sum_terms::<V<S>, S, $far, $lengthy, false>(x, y, n, &m)
                }
            }
        };
    }
    let (sum, count) = match (m.far, lengthy) {
        (false, false) => sum!(false, false),
        (false, true) => sum!(false, true),
        (true, false) => sum!(true, false),
        (true, true) => sum!(true, true),
    };
    if sum.is_nan() {
        Finish::Fill(f32::NAN)
    } else if job.log {
        Finish::Less(f64::from(max), ln_count::<S>(count, sum * m.share::<S>()))
    } else {
        let max = S::F32::splat(max);
        let end = match (m.far, lengthy) {
            (false, false) => terms::<_, false, false>(max, &m),
            (false, true) => terms::<_, false, true>(max, &m),
            (true, false) => terms::<_, true, false>(max, &m),
            (true, true) => terms::<_, true, true>(max, &m),
        };
        let mut ends = [0.0; PARTS];
        // SAFETY: the buffer has more elements than a register.
        unsafe { end.store(ends.as_mut_ptr()) }
        Finish::Times(ends[0], 1.0 / sum)
    }
}

/// `ln(count + rest)` for results of f32, exact to 2^-33 of itself also if that is next to 1.
#[inline(always)]
fn ln_count<S: Simd>(count: f64, rest: f64) -> f64 {
    let s = count + rest;
    // s = 2^k (1 + u)
    let k = (s.to_bits() >> 52) as i64 - 1023;
    let u = if k == 0 {
        (count - 1.0) + rest
    } else {
        s * f64::from_bits(((1023 - k) as u64) << 52) - 1.0
    };
    first(ln_1p(S::F64::splat(u))) + k as f64 * core::f64::consts::LN_2
}

/// `ln(1 + u)` as `narrow::ln_1p` has it, for one number: one division instead of steps to it, and
/// Estrin's scheme instead of Horner's rule, since a short row has nothing to do meanwhile.
#[inline(always)]
fn ln_1p<V: Lanes64>(u: V) -> V {
    let s = u / (u + V::splat(2.0));
    let v = s * s;
    let (v2, c) = (v * v, &LOG_NARROW);
    let low = v.mul_add(V::splat(c[1]), V::splat(c[0]));
    let middle = v.mul_add(V::splat(c[3]), V::splat(c[2]));
    let high = v2.mul_add(V::splat(c[6]), v.mul_add(V::splat(c[5]), V::splat(c[4])));
    let s2 = s + s;
    (s2 * v).mul_add(v2.mul_add(v2.mul_add(high, middle), low), s2)
}

/// The first lane: a number in a register has fused multiply-adds, which are half as far to wait for.
#[inline(always)]
fn first<V: Lanes64>(v: V) -> f64 {
    let mut lanes = [0.0; SUMS];
    // SAFETY: the buffer has `SUMS` elements, no fewer than a register.
    unsafe { v.store(lanes.as_mut_ptr()) }
    lanes[0]
}

/// What multiplies terms.
struct Factor<V> {
    high: V,
    low: V,
    /// Below this a product, or its low part, may be subnormal: there the factor is `2^LIFT` times as
    /// large, and the power of two comes last.
    small: V,
    lifted: (V, V),
}

impl<V: Lanes32> Factor<V> {
    #[inline(always)]
    fn new(factor: f64) -> Self {
        let lift = f64::from_bits(((1023 + LIFT) as u64) << 52);
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
    fn times(&self, e: V) -> V {
        if V::any(self.small.gt(e)) {
            core::hint::cold_path();
            let (high, low) = self.lifted;
            return e.mul_add(high, e * low).scale2(V::splat(-LIFT as f32));
        }
        e.mul_add(self.high, e * self.low)
    }
}

/// Every element, but no more than `end`, times `factor`, rounded once.
#[inline(always)]
unsafe fn quotients<V: Lanes32>(y: *mut f32, n: usize, end: f32, factor: f64) {
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
        // SAFETY: so many elements are left.
        unsafe {
            let e = V::load_first(y.wrapping_add(i), n - i, 1.0).min(end);
            factor.times(e).store_first(y.wrapping_add(i), n - i);
        }
    }
}

/// `max + l` as the sum of two.
#[inline(always)]
fn less_by(max: f64, l: f64) -> (f32, f32) {
    let high = (max + l) as f32;
    (high, ((max - f64::from(high)) + l) as f32)
}

/// `x - (max + l)`. With the sum in two parts, the first difference is exact where the second counts.
#[inline(always)]
unsafe fn less<V: Lanes32>(x: *const f32, y: *mut f32, n: usize, max: f64, l: f64) {
    let (high, low) = less_by(max, l);
    let (high, low) = (V::splat(high), V::splat(low));
    let mut i = 0;
    while i + V::N <= n {
        // SAFETY: the register lies within the row.
        unsafe { ((V::load(x.wrapping_add(i)) - high) - low).store(y.wrapping_add(i)) }
        i += V::N;
    }
    if i < n {
        // SAFETY: so many elements are left.
        unsafe {
            let v = V::load_first(x.wrapping_add(i), n - i, 0.0);
            ((v - high) - low).store_first(y.wrapping_add(i), n - i);
        }
    }
}

/// Rows one after another.
#[inline(always)]
unsafe fn rows<S: Simd, T: Cell>(
    job: &RowJob,
    x: *const T,
    keep: *const bool,
    add: *const T,
    y: *mut T,
    n: usize,
    rows: usize,
) {
    if !T::FULL && S::F32::FUSED && job.scale == 1.0 && keep.is_null() && add.is_null() {
        let (x, y) = (x.cast(), y.cast());
        // SAFETY: the caller's promise; what is not `FULL` is f32.
        return unsafe {
            if n <= PARTS {
                short_rows::<S>(job, x, y, n, rows)
            } else {
                plain_rows::<S>(job, x, y, n, rows)
            }
        };
    }
    for r in 0..rows {
        // SAFETY: the caller's promise.
        unsafe { row::<S, T>(job, x.add(r * n), keep, add, y.add(r * n), n) }
    }
}

/// One row: the largest logit, then the sum, then the results.
#[inline(always)]
unsafe fn row<S: Simd, T: Cell>(
    job: &RowJob,
    x: *const T,
    keep: *const bool,
    add: *const T,
    y: *mut T,
    n: usize,
) {
    let lanes = <S::F64 as Lanes>::N;
    let visible = job.visible.min(n);
    let zero = S::F64::splat(0.0);

    // Runs the body with the logits of `lanes` elements at `i + j`, -inf beyond the end. A macro
    // and not a closure, for the same reason as `kernel::Step`.
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
                        if !keep.is_null() || job.scale <= 0.0 || job.scale.is_nan() {
                            keeps[m..].fill(false);
                            kp = keeps.as_ptr().wrapping_sub($i);
                        }
                    }
                }
                let mut $j = 0;
                while $j < SUMS {
                    // SAFETY: `SUMS` elements from `i` are in the row or in the buffers.
                    let ($z, $lo) = unsafe { logits::<T, S::F64>(job, xp, kp, ap, $i + $j) };
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
        if T::FULL {
            let tie =
                Lanes::select(top[k].gt(z), zero, Lanes::select(more, zero, S::F64::splat(1.0)))
                    .gt(zero);
            let higher = Lanes::select(tie, lo - top_lo[k], zero).gt(zero);
            top_lo[k] = Lanes::select(more, lo, Lanes::select(higher, lo, top_lo[k]));
        }
        top[k] = Lanes::select(more, z, top[k]);
        nan = nan + Lanes::select(z.is_nan(), z, zero);
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
    let nothing = if job.log { f64::NEG_INFINITY } else { 0.0 };
    if nan || max == f64::INFINITY {
        return fill(f64::NAN, 0, n);
    }
    if max == f64::NEG_INFINITY {
        return fill(if job.empty == EmptyRow::Zero { nothing } else { f64::NAN }, 0, n);
    }

    // The terms: those equal to the largest are counted, the others added.
    let (m, m_lo) = (S::F64::splat(max), S::F64::splat(max_lo));
    let mut sum = [zero; SUMS];
    let mut err = [zero; SUMS];
    let mut count = [zero; SUMS];
    each!(|i, j, z, lo| {
        let k = j / lanes;
        let (e, d, d_lo) = term::<T, S::F64>(z, lo, m, m_lo);
        if T::FULL && !job.log {
            // SAFETY: the caller's promise of `visible` elements; these have been read.
            unsafe { put::<T, S::F64>(e, y, i + j, visible) }
        }
        let below = zero.gt(d + d_lo);
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
                let r = full::times_pair(T::load(from), inverse, inverse_lo);
                put::<T, S::F64>(r, y, i, visible);
            }
            i += lanes;
        }
        return fill(nothing, visible, n);
    }
    let (l, l_lo) = if job.log { ln_total(largest, rest) } else { (0.0, 0.0) };
    let (l, l_lo) = (S::F64::splat(l), S::F64::splat(l_lo));
    each!(|i, j, z, lo| {
        let (e, d, d_lo) = term::<T, S::F64>(z, lo, m, m_lo);
        let r = if job.log {
            let (s, r) = d.two_sum(-l);
            let finite = S::F64::splat(f64::INFINITY).gt(s.abs());
            s + Lanes::select(finite, r + (d_lo - l_lo), zero)
        } else {
            e * inverse
        };
        // SAFETY: the caller's promise of `visible` elements.
        unsafe { put::<T, S::F64>(r, y, i + j, visible) }
    });
    fill(nothing, visible, n);
}

fn add_pair(a: Pair, b: f64) -> Pair {
    let t = add(a, b);
    Lanes64::quick_two_sum(t.0, t.1)
}

/// `sum g y`, or of `g` alone, of a row of f32 in f64, where products are exact.
#[inline(always)]
unsafe fn dot<S: Simd, const LOG: bool>(y: *const f32, g: *const f32, n: usize) -> f64 {
    let mut sums = [S::F64::splat(0.0); PARTS];
    let whole = n - n % PARTS;
    // A macro and not a closure, for the same reason as `kernel::Step`.
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
            // SAFETY: as above.
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
            // SAFETY: so many elements are left. Zeros add nothing.
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
fn gradient<V: Lanes32, const LOG: bool>(y: V, g: V, hi: f32, lo: f32) -> V {
    let (hi, lo) = (V::splat(hi), V::splat(lo));
    if LOG {
        // e^y is a product whose first factor times `hi` is known exactly as two numbers.
        let over = V::splat(paired::over(-LIFT as f32));
        let (m, q) = paired::power_over(y.max(V::splat(-DEPTH)), over);
        let (p, p_lo) = paired::two_prod(m, hi);
        let p_lo = (m * q).mul_add(hi, m.mul_add(lo, p_lo));
        let drop = V::splat(-f32::from_bits(((127 - LIFT) as u32) << 23));
        p_lo.mul_add(drop, p.mul_add(drop, g))
    } else {
        // The first difference is exact where the second counts.
        y * ((g - hi) - lo)
    }
}

/// Sums beyond this are left to f64: nothing overflows below it on the way to a finite result.
const LARGE: f64 = 1e9;

/// The gradient of a row of f32 with a scale of 1; false if f64 has to do it.
#[inline(always)]
unsafe fn plain_back<S: Simd, const LOG: bool>(
    y: *const f32,
    g: *const f32,
    dx: *mut f32,
    n: usize,
) -> bool {
    // SAFETY: the caller's promise.
    let total = unsafe { dot::<S, LOG>(y, g, n) };
    // SAFETY: as above.
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
        // SAFETY: so many elements are left.
        unsafe {
            let y = V::<S>::load_first(y.wrapping_add(i), n - i, 0.0);
            let g = V::<S>::load_first(g.wrapping_add(i), n - i, 0.0);
            gradient::<_, LOG>(y, g, hi, lo).store_first(dx.wrapping_add(i), n - i);
        }
    }
    true
}

/// The register of loops over f32.
type V<S> = <S as Simd>::Block32;

/// `dx = scale * y (g - sum g y)`; log: `scale * (g - e^y sum g)`.
#[inline(always)]
unsafe fn row_back<S: Simd, T: Cell>(
    log: bool,
    scale: f64,
    y: *const T,
    g: *const T,
    dx: *mut T,
    n: usize,
) {
    if !T::FULL && S::F32::FUSED && scale == 1.0 {
        let (y, g, dx) = (y.cast(), g.cast(), dx.cast());
        // SAFETY: the caller's promise; what is not `FULL` is f32.
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
    let (zero, factor) = (S::F64::splat(0.0), S::F64::splat(scale));
    let (mut sums, mut lost) = ([zero; SUMS], [zero; SUMS]);
    // What is left of a row is copied in front of zeros, which add nothing.
    let (mut y_end, mut g_end) = ([T::default(); SUMS], [T::default(); SUMS]);
    let whole = n - n % SUMS;
    // SAFETY: fewer than `SUMS` elements are left.
    unsafe {
        core::ptr::copy_nonoverlapping(y.add(whole), y_end.as_mut_ptr(), n - whole);
        core::ptr::copy_nonoverlapping(g.add(whole), g_end.as_mut_ptr(), n - whole);
    }
    // The element `i` of a block of `SUMS`, of the row or of its end.
    macro_rules! block {
        ($y:expr, $g:expr) => {
            for k in 0..SUMS / lanes {
                // SAFETY: the block has `SUMS` elements.
                let y: S::F64 = unsafe { T::load($y.add(k * lanes)) };
                // SAFETY: as above.
                let g: S::F64 = unsafe { T::load($g.add(k * lanes)) };
                let (p, e) = if log { (g, zero) } else { g.two_prod(y) };
                let (s, r) = sums[k].two_sum(p);
                sums[k] = s;
                let finite = S::F64::splat(f64::INFINITY).gt(e.abs());
                lost[k] = (lost[k] + r) + S::F64::select(finite, e, zero);
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
    if whole < n {
        block!(y_end.as_ptr(), g_end.as_ptr());
    }
    let (mut all, mut rest) = ([0.0; SUMS], [0.0; SUMS]);
    for k in 0..SUMS / lanes {
        // SAFETY: the buffers have `SUMS` elements.
        unsafe {
            sums[k].store(all.as_mut_ptr().add(k * lanes));
            lost[k].store(rest.as_mut_ptr().add(k * lanes));
        }
    }
    let total = reduce(core::array::from_fn(|i| (all[i], rest[i])));
    let (hi, lo) = (S::F64::splat(total.0), S::F64::splat(total.1));
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
        // SAFETY: as above; the buffers have whole registers.
        let (y, g): (S::F64, S::F64) = unsafe { (T::load(from_y), T::load(from_g)) };
        let d = if log { g - full::exp_neg(y, zero) * hi } else { y * ((g - hi) - lo) };
        if end {
            let mut last = [T::default(); SUMS];
            // SAFETY: the buffer has `SUMS` elements, of which `n - i` are part of the row.
            unsafe {
                T::store(factor * d, last.as_mut_ptr());
                core::ptr::copy_nonoverlapping(last.as_ptr(), dx.add(i), n - i);
            }
        } else {
            // SAFETY: a register of elements is left.
            unsafe { T::store(factor * d, dx.add(i)) }
        }
        i += lanes;
    }
}

type Rows<T> = unsafe fn(&RowJob, *const T, *const bool, *const T, *mut T, usize, usize);
per_level!(fn row_kernel<T: Cell>(job: &RowJob, x: *const T, keep: *const bool, add: *const T, y: *mut T, n: usize, count: usize) = rows);
per_level!(fn back_kernel<T: Cell>(log: bool, scale: f64, y: *const T, g: *const T, dx: *mut T, n: usize) = row_back);

macro_rules! entry_points {
    ($t:ident, $rows:ident, $back:ident) => {
        /// # Safety
        /// `rows` times `n` elements behind each pointer that is not null, or one row if there is a
        /// mask; `level` is available.
        #[allow(clippy::too_many_arguments)]
        pub(crate) unsafe fn $rows(
            level: Level,
            job: &RowJob,
            x: *const $t,
            keep: *const bool,
            add: *const $t,
            y: *mut $t,
            n: usize,
            rows: usize,
        ) {
            const KERNELS: PerLevel<Rows<$t>> = row_kernel::<$t>();
            // SAFETY: the caller's promise.
            unsafe { KERNELS.get(level)(job, x, keep, add, y, n, rows) }
        }
        /// # Safety
        /// `n` elements behind each pointer; `level` is available.
        pub(crate) unsafe fn $back(
            level: Level,
            log: bool,
            scale: f64,
            y: *const $t,
            g: *const $t,
            dx: *mut $t,
            n: usize,
        ) {
            // SAFETY: the caller's promise.
            unsafe { back_kernel::<$t>().get(level)(log, scale, y, g, dx, n) }
        }
    };
}
/// Rows, and the gradient of one, for one type of array.
struct RowKernels<T: 'static> {
    #[allow(clippy::type_complexity)]
    rows: unsafe fn(Level, &RowJob, *const T, *const bool, *const T, *mut T, usize, usize),
    back: unsafe fn(Level, bool, f64, *const T, *const T, *mut T, usize),
}

/// [`RowKernels`] for every type.
enum RowFamily {}
impl Family for RowFamily {
    type Of<T: 'static> = RowKernels<T>;
}

static KERNELS: PerType<RowFamily> = PerType {
    f32: RowKernels { rows: rows_f32, back: row_back_f32 },
    f64: RowKernels { rows: rows_f64, back: row_back_f64 },
    #[cfg(feature = "half")]
    f16: RowKernels { rows: rows_half::<half::f16>, back: row_back_half::<half::f16> },
    #[cfg(feature = "half")]
    bf16: RowKernels { rows: rows_half::<half::bf16>, back: row_back_half::<half::bf16> },
};

entry_points!(f32, rows_f32, row_back_f32);
entry_points!(f64, rows_f64, row_back_f64);

#[cfg(feature = "half")]
mod half_rows {
    use super::{
        Finish, LARGE, PARTS, RowJob, fill, gradient, halve, highest, less_by, measured, parts,
    };
    use crate::element::Element;
    use crate::halves::Half;
    use crate::level::per_level;
    use crate::simd::{Lanes, Lanes32, Simd};

    /// A half type in rows.
    pub(super) trait Cell: Half + Element {}
    impl<H: Half + Element> Cell for H {}

    /// Registers of a block of `PARTS` numbers: of evens and then of odds for a type that takes turns,
    /// else in order. So partial sums are of the same numbers at every level.
    #[inline(always)]
    fn place<H: Half>(pair: usize, second: usize, pairs: usize) -> usize {
        if H::TURNS { second * pairs + pair } else { 2 * pair + second }
    }

    /// The block at `p`.
    ///
    /// # Safety
    /// `PARTS` elements.
    #[inline(always)]
    unsafe fn load<S: Simd, H: Half>(p: *const H) -> [S::F32; PARTS] {
        let pairs = PARTS / (2 * S::F32::N);
        let mut v = [S::F32::splat(0.0); PARTS];
        let mut k = 0;
        while k < pairs {
            // SAFETY: both registers lie within the block.
            let [a, b] = unsafe { H::load::<S::F32>(p.add(k * 2 * S::F32::N)) };
            v[place::<H>(k, 0, pairs)] = a;
            v[place::<H>(k, 1, pairs)] = b;
            k += 1;
        }
        v
    }

    /// Rounds a block.
    ///
    /// # Safety
    /// `PARTS` elements.
    #[inline(always)]
    unsafe fn store<S: Simd, H: Half>(v: &[S::F32; PARTS], p: *mut H) {
        let pairs = PARTS / (2 * S::F32::N);
        let mut k = 0;
        while k < pairs {
            let v = [v[place::<H>(k, 0, pairs)], v[place::<H>(k, 1, pairs)]];
            // SAFETY: both registers lie within the block.
            unsafe { H::store(v, p.add(k * 2 * S::F32::N)) }
            k += 1;
        }
    }

    /// The block that begins with the `0 < n < PARTS` elements at `p`, and has `rest` in its other
    /// lanes.
    ///
    /// # Safety
    /// `n` elements.
    #[inline(always)]
    unsafe fn load_first<S: Simd, H: Half>(p: *const H, n: usize, rest: f32) -> [S::F32; PARTS] {
        const { assert!(size_of::<H>() == 2) };
        let (pair, mut all) = (2 * S::F32::N, [H::default(); PARTS]);
        let mut i = 0;
        while i < n {
            // SAFETY: the caller's promise; the buffer has room for whole pairs of registers.
            unsafe {
                S::F32::copy_in(p.add(i).cast(), all.as_mut_ptr().add(i).cast(), pair.min(n - i));
            }
            i += pair;
        }
        // SAFETY: the buffer has a block.
        let mut v = unsafe { load::<S, H>(all.as_ptr()) };
        let order = const { order(H::TURNS) };
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
    const fn order(turns: bool) -> [f32; PARTS] {
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
    /// `n` elements.
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
    /// closure, for the same reason as `kernel::Step`.
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
                // SAFETY: so many elements are left.
                $(let $v = unsafe { load_first::<$S, $H>($x.wrapping_add($i), $k, $rest) };)+
                $body
            }
        }};
    }

    /// Writes the first `k` elements of a block.
    ///
    /// # Safety
    /// `k` elements.
    #[inline(always)]
    unsafe fn put<S: Simd, H: Half>(v: &[S::F32; PARTS], p: *mut H, k: usize) {
        // SAFETY: the caller's promise.
        unsafe { if k == PARTS { store::<S, H>(v, p) } else { store_first::<S, H>(v, p, k) } }
    }

    /// The largest number, as `largest` says; the row goes to whole blocks of `v`, ended by -inf.
    #[inline(always)]
    unsafe fn widen<S: Simd, H: Half>(x: *const H, v: *mut f32, n: usize) -> f32 {
        let mut top = [S::F32::splat(f32::NEG_INFINITY); PARTS];
        blocks!(S, H, n, [a = x, f32::NEG_INFINITY], |i, _k| {
            let mut k = 0;
            while k * S::F32::N < PARTS {
                top[k] = top[k].max(a[k]);
                // SAFETY: there is room for whole blocks.
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
                // SAFETY: so many elements are left.
                unsafe { put::<$S, H>(&all, $y.wrapping_add(i), PARTS.min($n - i)) }
                i += PARTS;
            }
        }};
    }

    /// Rows without mask and scale, as `plain_rows` does those of f32; `v` is room for two rows of
    /// whole blocks.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
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
        // SAFETY: the caller's promise.
        let mut max = unsafe { widen::<S, H>(x, v, visible) };
        for r in 0..rows {
            let (x, y) = (x.wrapping_add(r * n), y.wrapping_add(r * n));
            // SAFETY: the caller's promise. -inf behind a row adds nothing.
            let finish = unsafe { measured::<S>(job, v, v, room, max) };
            if r + 1 < rows {
                // SAFETY: as above; there is a next row.
                max = unsafe { widen::<S, H>(x.wrapping_add(n), next, visible) };
            }
            match finish {
                Finish::Fill(v) => {
                    // SAFETY: as above.
                    unsafe { fill(y, H::from_f64(f64::from(v)), 0, n) }
                }
                Finish::Times(end, factor) => {
                    let (end, factor) = (S::F32::splat(end), S::F32::splat(factor as f32));
                    round!(S, v, y, visible, |e| e.min(end) * factor);
                }
                Finish::Less(max, l) => {
                    let (high, low) = less_by(max, l);
                    let (high, low) = (S::F32::splat(high), S::F32::splat(low));
                    round!(S, v, y, visible, |e| (e - high) - low);
                }
            }
            if visible < n && !matches!(finish, Finish::Fill(_)) {
                // SAFETY: as above.
                unsafe { fill(y, H::from_f64(nothing), visible, n) }
            }
            (v, next) = (next, v);
        }
    }

    /// The gradient of a row with a scale of 1; false if the way by f32 has to do it.
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
            // SAFETY: so many elements are left.
            unsafe { put::<S, H>(&all, dx.wrapping_add(i), k) }
        });
        true
    }

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
        // SAFETY: the caller's promise.
        *done = unsafe {
            if log { back::<S, H, true>(y, g, dx, n) } else { back::<S, H, false>(y, g, dx, n) }
        };
    }

    per_level!(fn rows_at<H: Cell>(job: &RowJob, x: *const H, y: *mut H, n: usize, count: usize, v: *mut f32) = rows);
    per_level!(fn back_at<H: Cell>(log: bool, y: *const H, g: *const H, dx: *mut H, n: usize, done: &mut bool) = row_back);
}

/// Rows of halves up to this length, which are whole blocks, need no memory.
#[cfg(feature = "half")]
const SHORT: usize = 2048;

/// Rows of halves: those without mask and scale by kernels of their own, others by way of f32.
///
/// # Safety
/// `rows` times `n` elements behind each pointer that is not null, or one row if there is a mask;
/// `level` is available.
#[cfg(feature = "half")]
#[allow(clippy::too_many_arguments)]
pub(crate) unsafe fn rows_half<T: Element + Half>(
    level: Level,
    job: &RowJob,
    x: *const T,
    keep: *const bool,
    add: *const T,
    y: *mut T,
    n: usize,
    rows: usize,
) {
    let mut short = [const { MaybeUninit::<f32>::uninit() }; 2 * SHORT];
    // Two rows of whole blocks.
    let room = 2 * n.next_multiple_of(PARTS);
    let mut long: Vec<f32> = Vec::with_capacity(if n > SHORT { room } else { 0 });
    let v = if n > SHORT { long.as_mut_ptr() } else { short.as_mut_ptr().cast() };
    if level.fused() && job.scale == 1.0 && keep.is_null() && add.is_null() {
        let kernel = const { half_rows::rows_at::<T>() };
        // SAFETY: the caller's promise; `v` has the room.
        return unsafe { kernel.get(level)(job, x, y, n, rows, v) };
    }
    let mut extra = Vec::new();
    if !add.is_null() {
        extra = vec![0.0; n];
        // SAFETY: the caller's promise.
        unsafe { to_f32(level, add, extra.as_mut_ptr(), n) }
    }
    let add = if add.is_null() { core::ptr::null() } else { extra.as_ptr() };
    let at_a_time = (SHORT / n.max(1)).max(1);
    let mut r = 0;
    while r < rows {
        let count = at_a_time.min(rows - r);
        // SAFETY: the caller's promise; the buffers have so many rows, which are written before they
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
/// `n` elements behind each pointer; `level` is available.
#[cfg(feature = "half")]
pub(crate) unsafe fn row_back_half<T: Element + Half>(
    level: Level,
    log: bool,
    scale: f64,
    y: *const T,
    g: *const T,
    dx: *mut T,
    n: usize,
) {
    if level.fused() && scale == 1.0 {
        let (kernel, mut done) = (const { half_rows::back_at::<T>() }, false);
        // SAFETY: the caller's promise.
        unsafe { kernel.get(level)(log, y, g, dx, n, &mut done) }
        if done {
            return;
        }
    }
    let mut short = [const { MaybeUninit::<f32>::uninit() }; 2 * SHORT];
    let mut long: Vec<f32> = Vec::with_capacity(if n > SHORT { 2 * n } else { 0 });
    let v: *mut f32 = if n > SHORT { long.as_mut_ptr() } else { short.as_mut_ptr().cast() };
    // SAFETY: the caller's promise; the buffers have `2 n` elements, which are written before they
    // are read.
    unsafe {
        let w = v.add(n);
        to_f32(level, y, v, n);
        to_f32(level, g, w, n);
        row_back_f32(level, log, scale, v, w, v, n);
        from_f32(level, v, dx, n);
    }
}

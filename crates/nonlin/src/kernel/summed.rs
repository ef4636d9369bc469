//! Kernels with one weight for all elements of a call: the gradient by the input and, added up on the way,
//! that by the weight, whose terms never leave the registers.
//!
//! The terms are in the type of the array. 16 are added side by side whatever the registers, first those of
//! [`BLOCK`] elements, then the sums of blocks, so that all levels give the same bits. Where a sum is NaN it is
//! taken once more with care, since an infinity may have met a 0.

#![allow(unsafe_code)]

use super::P;
use super::elementwise::spread;
use super::io::Io;
use crate::activation::{Arithmetic, Elementwise, ParamList, map_params};
use crate::level::per_level;
use crate::real::{ByWeight, F32Plain, F64Lanes, Real};
use crate::simd::{Lanes, Lanes32, Simd};
use crate::sums::{ABREAST, in_pairs};

/// Input, gradient, the gradient by the input, which overlaps neither, and how many; adds to the sum.
pub(crate) type Summed<T> = unsafe fn(*const T, *const T, *mut T, usize, P<'_>, &mut f64);

/// Elements of which sums are taken before they are added to others: a call adds fewer numbers one after the
/// other, and few enough blocks that their ends do not show.
const BLOCK: usize = 2048;

/// Bytes of a line of the cache.
const LINE: usize = 64;

/// What becomes of [`ABREAST`] elements.
trait Sixteen<S: Simd, T>: Copy {
    /// The terms; writes the gradients by the input if `DX`.
    ///
    /// # Safety
    /// The inputs must be valid for reading [`ABREAST`] elements, and `dx` for writing them if `DX`.
    unsafe fn terms<const DX: bool, const CAREFUL: bool>(
        self,
        x: *const T,
        g: *const T,
        dx: *mut T,
    ) -> Abreast<S>;
    /// Writes the gradients by the input past the caches.
    ///
    /// # Safety
    /// The inputs must be valid for reading [`ABREAST`] elements, and `dx`, which lies at a line of the cache,
    /// for writing them.
    unsafe fn stream(self, x: *const T, g: *const T, dx: *mut T);
}

/// The parameters in every lane.
struct Spread<A: Elementwise, R: Copy>(A::Params<R>);

impl<A: Elementwise, R: Copy> Clone for Spread<A, R> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}
impl<A: Elementwise, R: Copy> Copy for Spread<A, R> {}

impl<A: Elementwise, R: Real> Spread<A, R> {
    /// `g` times the derivative by the weight, which is the first parameter.
    #[inline(always)]
    fn term<const CAREFUL: bool>(self, x: R, g: R) -> R {
        let mut p = map_params::<A, R, ByWeight<R, CAREFUL>>(x, self.0, ByWeight::fixed);
        // The gradient is the seed, so that it is left out where the weight is.
        p.as_mut_slice()[0] = ByWeight::weight(self.0.as_slice()[0], g);
        A::value(ByWeight::fixed(x), p).derivative()
    }
}

impl<S: Simd, A: Elementwise> Sixteen<S, f32> for Spread<A, F32Plain<S::F32>> {
    #[inline(always)]
    unsafe fn terms<const DX: bool, const CAREFUL: bool>(
        self,
        x: *const f32,
        g: *const f32,
        dx: *mut f32,
    ) -> Abreast<S> {
        let mut terms = [S::F64::splat(0.0); ABREAST];
        let mut r = 0;
        while r < ABREAST / S::F32::N {
            let at = r * S::F32::N;
            // SAFETY: the registers lie within the 16 elements behind each pointer.
            let (x, g) = unsafe { (F32Plain::read(x.add(at)), F32Plain::read(g.add(at))) };
            let term: F32Plain<S::F32> = self.term::<CAREFUL>(x, g);
            (terms[2 * r], terms[2 * r + 1]) = term.0.widen();
            if DX {
                // SAFETY: the register lies within the 16 elements behind `dx`.
                unsafe { A::backward(x, g, self.0).write(dx.add(at)) }
            }
            r += 1;
        }
        terms
    }
    #[inline(always)]
    unsafe fn stream(self, x: *const f32, g: *const f32, dx: *mut f32) {
        let mut at = 0;
        while at < ABREAST {
            // SAFETY: the registers lie within the 16 elements behind each pointer, and that of `dx` at a
            // multiple of its own size, since a line does.
            unsafe {
                let (x, g): (F32Plain<S::F32>, F32Plain<S::F32>) =
                    (Io::read(x.add(at)), Io::read(g.add(at)));
                A::backward(x, g, self.0).write_non_temporal(dx.add(at));
            }
            at += S::F32::N;
        }
    }
}

impl<S: Simd, A: Elementwise> Sixteen<S, f64> for Spread<A, F64Lanes<S::F64>> {
    #[inline(always)]
    unsafe fn terms<const DX: bool, const CAREFUL: bool>(
        self,
        x: *const f64,
        g: *const f64,
        dx: *mut f64,
    ) -> Abreast<S> {
        let mut terms = [S::F64::splat(0.0); ABREAST];
        let mut r = 0;
        while r < ABREAST / S::F64::N {
            let at = r * S::F64::N;
            // SAFETY: the registers lie within the 16 elements behind each pointer.
            let (x, g) = unsafe { (F64Lanes::read(x.add(at)), F64Lanes::read(g.add(at))) };
            let term: F64Lanes<S::F64> = self.term::<CAREFUL>(x, g);
            terms[r] = term.0;
            if DX {
                // SAFETY: the register lies within the 16 elements behind `dx`.
                unsafe { A::backward(x, g, self.0).write(dx.add(at)) }
            }
            r += 1;
        }
        terms
    }
    #[inline(always)]
    unsafe fn stream(self, x: *const f64, g: *const f64, dx: *mut f64) {
        let mut at = 0;
        while at < ABREAST {
            // SAFETY: the registers lie within the 16 elements behind each pointer, and that of `dx` at a
            // multiple of its own size, since a line does.
            unsafe {
                let (x, g): (F64Lanes<S::F64>, F64Lanes<S::F64>) =
                    (Io::read(x.add(at)), Io::read(g.add(at)));
                A::backward(x, g, self.0).write_non_temporal(dx.add(at));
            }
            at += S::F64::N;
        }
    }
}

/// Registers that have [`ABREAST`] numbers together.
type Abreast<S> = [<S as Simd>::F64; ABREAST];

/// The sums of both.
#[inline(always)]
fn plus<S: Simd>(mut a: Abreast<S>, b: Abreast<S>) -> Abreast<S> {
    let mut r = 0;
    while r < ABREAST / S::F64::N {
        a[r] = a[r] + b[r];
        r += 1;
    }
    a
}

/// Their numbers.
#[inline(always)]
fn numbers<S: Simd>(registers: Abreast<S>) -> [f64; ABREAST] {
    let mut all = [0.0; ABREAST];
    for (r, register) in registers[..ABREAST / S::F64::N].iter().enumerate() {
        // SAFETY: all registers together have 16 numbers.
        unsafe { register.store(all.as_mut_ptr().add(r * S::F64::N)) }
    }
    all
}

/// Registers with these numbers.
#[inline(always)]
fn registers<S: Simd>(numbers: [f64; ABREAST]) -> Abreast<S> {
    let mut all = [S::F64::splat(0.0); ABREAST];
    for (r, register) in all[..ABREAST / S::F64::N].iter_mut().enumerate() {
        // SAFETY: all registers together have 16 numbers.
        *register = unsafe { S::F64::load(numbers.as_ptr().add(r * S::F64::N)) };
    }
    all
}

/// Whether one of the numbers is NaN, or infinities of both signs are among them.
#[inline(always)]
fn any_nan<S: Simd>(registers: Abreast<S>) -> bool {
    let mut all = registers[0];
    let mut r = 1;
    while r < ABREAST / S::F64::N {
        all = all + registers[r];
        r += 1;
    }
    S::F64::any(all.is_nan())
}

/// The terms of fewer than [`ABREAST`] elements, and zeros behind them; writes the gradients by the input if `DX`.
///
/// # Safety
/// The inputs must be valid for reading `n < ABREAST` elements, and `dx` for writing them if `DX`. `S` is
/// available.
#[inline(always)]
unsafe fn few<S: Simd, T: Copy + Default, const DX: bool>(
    weight: impl Sixteen<S, T>,
    [x, g]: [*const T; 2],
    dx: *mut T,
    n: usize,
) -> [f64; ABREAST] {
    let mut pads = [[T::default(); ABREAST]; 3];
    let [px, pg, pdx] = pads.each_mut().map(|pad| pad.as_mut_ptr());
    // SAFETY: `n` elements lie behind all pointers, and the pads have room for 16.
    let mut terms = unsafe {
        core::ptr::copy_nonoverlapping(x, px, n);
        core::ptr::copy_nonoverlapping(g, pg, n);
        let terms = weight.terms::<DX, true>(px, pg, pdx);
        if DX {
            core::ptr::copy_nonoverlapping(pdx, dx, n);
        }
        numbers::<S>(terms)
    };
    terms[n..].fill(0.0);
    terms
}

/// The sums of every 16th term of `n` elements; writes the gradients by the input if `DX`.
///
/// # Safety
/// The inputs must be valid for reading `n` elements, and `dx`, which overlaps neither, for writing them if
/// `DX`. `S` is available.
#[inline(always)]
unsafe fn block<S: Simd, T: Copy + Default, const DX: bool, const CAREFUL: bool>(
    weight: impl Sixteen<S, T>,
    [x, g]: [*const T; 2],
    dx: *mut T,
    n: usize,
) -> Abreast<S> {
    let whole = n - n % ABREAST;
    let mut sums = [S::F64::splat(0.0); ABREAST];
    let mut i = 0;
    while i < whole {
        let dx = if DX { dx.wrapping_add(i) } else { dx };
        // SAFETY: 16 elements lie at `i` behind the inputs, and behind `dx` if it is written.
        sums = plus::<S>(sums, unsafe { weight.terms::<DX, CAREFUL>(x.add(i), g.add(i), dx) });
        i += ABREAST;
    }
    if whole < n {
        let dx = if DX { dx.wrapping_add(whole) } else { dx };
        // SAFETY: fewer than 16 elements are left at `whole`, and `S` is available.
        let terms = unsafe { few::<S, T, DX>(weight, [x.add(whole), g.add(whole)], dx, n - whole) };
        sums = plus::<S>(sums, registers::<S>(terms));
    }
    sums
}

/// Adds the terms of `n` elements to `sum`, and writes the gradients by the input.
///
/// # Safety
/// The inputs must be valid for reading `n` elements, and `dx`, which overlaps neither, for writing them. `S` is
/// available.
#[inline(always)]
unsafe fn add<S: Simd, T: Copy + Default>(
    weight: impl Sixteen<S, T>,
    [x, g]: [*const T; 2],
    dx: *mut T,
    n: usize,
    sum: &mut f64,
) {
    let mut all = [S::F64::splat(0.0); ABREAST];
    for start in (0..n).step_by(BLOCK) {
        let m = BLOCK.min(n - start);
        // SAFETY: `start + m <= n` elements lie behind all pointers, and `S` is available.
        let sums = unsafe {
            let (inputs, dx) = ([x.add(start), g.add(start)], dx.add(start));
            let sums = block::<S, T, true, false>(weight, inputs, dx, m);
            if any_nan::<S>(sums) {
                core::hint::cold_path();
                block::<S, T, false, true>(weight, inputs, dx, m)
            } else {
                sums
            }
        };
        all = plus::<S>(all, sums);
    }
    *sum += in_pairs(numbers::<S>(all));
}

/// [`add`] whose gradients by the input go past the caches.
///
/// What is streamed begins at a line of the cache, and loads from memory pay only where they begin at one as
/// well. So registers have the elements of a line of `dx`, and number `k` of them belongs to sum
/// `k + lead`, where the first line begins at element `lead`. The elements before it, and what a line has of the
/// next block, are carried over.
///
/// # Safety
/// See [`add`].
#[inline(always)]
unsafe fn add_streaming<S: Simd, T: Copy + Default>(
    weight: impl Sixteen<S, T>,
    [x, g]: [*const T; 2],
    dx: *mut T,
    n: usize,
    sum: &mut f64,
) {
    let lead = dx.align_offset(LINE).min(n);
    debug_assert!(lead < ABREAST, "a line has at most 16 elements");
    let mut all = [0.0; ABREAST];
    let mut carried = [0.0; ABREAST];
    // SAFETY: `lead <= n` elements, fewer than 16, lie behind all pointers, and `S` is available.
    let first = unsafe { few::<S, T, true>(weight, [x, g], dx, lead) };
    for (k, term) in first.iter().enumerate().take(lead) {
        carried[(k + ABREAST - lead) % ABREAST] = *term;
    }
    for start in (0..n).step_by(BLOCK) {
        let m = BLOCK.min(n - start);
        // SAFETY: `start + m <= n` elements lie behind all pointers.
        let ([x, g], dx) = unsafe { ([x.add(start), g.add(start)], dx.add(start)) };
        let mut sums = registers::<S>(carried);
        carried = [0.0; ABREAST];
        let mut i = lead;
        while i + ABREAST <= m {
            // SAFETY: 16 elements lie at `i` behind all pointers, and a line of `dx` begins there.
            unsafe {
                let terms = weight.terms::<false, false>(x.add(i), g.add(i), dx);
                weight.stream(x.add(i), g.add(i), dx.add(i));
                sums = plus::<S>(sums, terms);
            }
            i += ABREAST;
        }
        if i < m {
            // The end of the block is within these.
            let left = ABREAST.min(n - start - i);
            let mut terms = if left < ABREAST {
                // SAFETY: `left` elements lie at `i` behind all pointers, and `S` is available.
                unsafe { few::<S, T, true>(weight, [x.add(i), g.add(i)], dx.add(i), left) }
            } else {
                // SAFETY: 16 elements lie at `i` behind all pointers, and `S` is available.
                unsafe { numbers::<S>(weight.terms::<true, false>(x.add(i), g.add(i), dx.add(i))) }
            };
            carried[m - i..].copy_from_slice(&terms[m - i..]);
            terms[m - i..].fill(0.0);
            sums = plus::<S>(sums, registers::<S>(terms));
        }
        let (mut shift, mut of_block) = (lead, numbers::<S>(sums));
        if any_nan::<S>(sums) {
            core::hint::cold_path();
            // SAFETY: `m` elements lie behind the inputs, and `S` is available.
            let sums = unsafe { block::<S, T, false, true>(weight, [x, g], dx, m) };
            (shift, of_block) = (0, numbers::<S>(sums));
        }
        for (k, sum) in of_block.iter().enumerate() {
            all[(k + shift) % ABREAST] += sum;
        }
    }
    *sum += in_pairs(all);
    crate::stream::fence();
}

#[inline(always)]
unsafe fn add_f32<S: Simd, A: Elementwise>(
    x: *const f32,
    g: *const f32,
    dx: *mut f32,
    n: usize,
    p: P<'_>,
    sum: &mut f64,
) {
    const {
        assert!(
            matches!(A::ARITHMETIC, Arithmetic::F32),
            "a function with a parameter per element rounds once"
        );
    }
    let weight = Spread::<A, F32Plain<S::F32>>(spread::<A, _, true>(p));
    // SAFETY: the arrays have `n` elements, `dx` is apart from the others, and `S` is available.
    unsafe {
        if p.non_temporal {
            add_streaming::<S, f32>(weight, [x, g], dx, n, sum);
        } else {
            add::<S, f32>(weight, [x, g], dx, n, sum);
        }
    }
}

#[inline(always)]
unsafe fn add_f64<S: Simd, A: Elementwise>(
    x: *const f64,
    g: *const f64,
    dx: *mut f64,
    n: usize,
    p: P<'_>,
    sum: &mut f64,
) {
    let weight = Spread::<A, F64Lanes<S::F64>>(spread::<A, _, false>(p));
    // SAFETY: the arrays have `n` elements, `dx` is apart from the others, and `S` is available.
    unsafe {
        if p.non_temporal {
            add_streaming::<S, f64>(weight, [x, g], dx, n, sum);
        } else {
            add::<S, f64>(weight, [x, g], dx, n, sum);
        }
    }
}

per_level!(fn summed_32<A: Elementwise>(x: *const f32, g: *const f32, dx: *mut f32, n: usize, p: P<'_>, sum: &mut f64) = add_f32);
per_level!(fn summed_64<A: Elementwise>(x: *const f64, g: *const f64, dx: *mut f64, n: usize, p: P<'_>, sum: &mut f64) = add_f64);

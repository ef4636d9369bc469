//! Sums in f64, in an order that does not depend on the registers.

#![allow(unsafe_code)]

use crate::element::Element;
use crate::level::{Level, per_level};
use crate::simd::{Lanes, Lanes64, Simd};

/// How many numbers are added side by side: those of the widest register, twice.
pub(crate) const ABREAST: usize = 16;

/// Numbers that can be added in f64.
pub(crate) trait Term: Copy {
    /// A register of them.
    ///
    /// # Safety
    /// `p` must be valid for reading as many numbers as a register of f64 has.
    unsafe fn load<V: Lanes64>(p: *const Self) -> V;
    fn wide(self) -> f64;
}

impl Term for f32 {
    #[inline(always)]
    unsafe fn load<V: Lanes64>(p: *const Self) -> V {
        // SAFETY: the caller vouches for `V::N` numbers of f32 behind `p`, which is what this reads.
        unsafe { V::load_f32(p) }
    }
    #[inline(always)]
    fn wide(self) -> f64 {
        self.into()
    }
}

impl Term for f64 {
    #[inline(always)]
    unsafe fn load<V: Lanes64>(p: *const Self) -> V {
        // SAFETY: the caller vouches for `V::N` numbers of f64 behind `p`, which is what this reads.
        unsafe { V::load(p) }
    }
    #[inline(always)]
    fn wide(self) -> f64 {
        self
    }
}

/// Adds what `f` makes of every 16th number, then the 16 sums, in pairs; `one` does to a number what `f` does
/// to a register.
///
/// # Safety
/// `p` must be valid for reading `n` numbers, and `S` available.
#[inline(always)]
unsafe fn reduce<S: Simd, T: Term>(
    p: *const T,
    n: usize,
    sum: &mut f64,
    f: impl Fn(S::F64) -> S::F64,
    one: impl Fn(f64) -> f64,
) {
    let mut sums = [S::F64::splat(0.0); ABREAST];
    let registers = ABREAST / S::F64::N;
    let whole = n - n % ABREAST;
    let mut i = 0;
    while i < whole {
        let mut r = 0;
        while r < registers {
            // SAFETY: the register lies below `whole`.
            sums[r] = sums[r] + f(unsafe { T::load::<S::F64>(p.add(i + r * S::F64::N)) });
            r += 1;
        }
        i += ABREAST;
    }
    let mut all = [0.0; ABREAST];
    for (r, sum) in sums[..registers].iter().enumerate() {
        // SAFETY: all registers together have 16 numbers.
        unsafe { sum.store(all.as_mut_ptr().add(r * S::F64::N)) }
    }
    for (k, all) in all.iter_mut().enumerate().take(n - whole) {
        // SAFETY: fewer than 16 numbers are left behind `whole`.
        *all += one(unsafe { *p.add(whole + k) }.wide());
    }
    *sum = in_pairs(all);
}

/// The sum of what was added side by side.
#[inline(always)]
pub(crate) fn in_pairs(mut all: [f64; ABREAST]) -> f64 {
    let mut half = ABREAST / 2;
    while half > 0 {
        for k in 0..half {
            all[k] += all[k + half];
        }
        half /= 2;
    }
    all[0]
}

/// The sum.
///
/// # Safety
/// See [`reduce`].
#[inline(always)]
unsafe fn add<S: Simd, T: Term>(p: *const T, n: usize, sum: &mut f64) {
    // SAFETY: `n` numbers lie behind `p` and `S` is available, on both of which this function is called.
    unsafe { reduce::<S, T>(p, n, sum, |v| v, |v| v) }
}

/// The sum of the squares of what differs from `about`.
///
/// # Safety
/// See [`reduce`].
#[inline(always)]
unsafe fn add_squares<S: Simd, T: Term>(p: *const T, n: usize, about: f64, sum: &mut f64) {
    let square = |v: S::F64| {
        let d = v - S::F64::splat(about);
        d * d
    };
    // SAFETY: `n` numbers lie behind `p` and `S` is available, on both of which this function is called.
    unsafe { reduce::<S, T>(p, n, sum, square, |v| (v - about) * (v - about)) }
}

per_level!(fn add_all<T: Term>(p: *const T, n: usize, sum: &mut f64) = add);
per_level!(fn add_all_squares<T: Term>(p: *const T, n: usize, about: f64, sum: &mut f64) = add_squares);

/// The sum of `n` numbers of f32 or f64. All levels give the same bits.
///
/// # Safety
/// `p` must be valid for reading `n` numbers, and `level` available.
pub(crate) unsafe fn sum<T: Element>(level: Level, p: *const T, n: usize) -> f64 {
    debug_assert!(!T::HALF, "half types are summed in f32");
    let mut sum = 0.0;
    // SAFETY: `T` is f32 or f64, of which there are `n`, and the level is available.
    unsafe {
        if T::F32_PARAMS {
            const { add_all::<f32>() }.get(level)(p.cast(), n, &mut sum);
        } else {
            const { add_all::<f64>() }.get(level)(p.cast(), n, &mut sum);
        }
    }
    sum
}

/// The sum of the squares of what of `n` numbers of f32 or f64 differs from `about`. All levels give the
/// same bits.
///
/// # Safety
/// `p` must be valid for reading `n` numbers, and `level` available.
pub(crate) unsafe fn sum_of_squares<T: Element>(
    level: Level,
    p: *const T,
    n: usize,
    about: f64,
) -> f64 {
    debug_assert!(!T::HALF, "half types are summed in f32");
    let mut sum = 0.0;
    // SAFETY: `T` is f32 or f64, of which there are `n`, and the level is available.
    unsafe {
        if T::F32_PARAMS {
            const { add_all_squares::<f32>() }.get(level)(p.cast(), n, about, &mut sum);
        } else {
            const { add_all_squares::<f64>() }.get(level)(p.cast(), n, about, &mut sum);
        }
    }
    sum
}

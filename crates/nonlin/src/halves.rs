//! Conversions between f32 and the half types, compiled for each level.

#![allow(unsafe_code)]

use crate::level::{Level, PerLevel, per_level};
use crate::simd::{Lanes, Lanes32, Simd, round_bf16};
use half::{bf16, f16};

/// A half type: how its numbers become f32 and back, rounding to nearest even.
pub trait Half: Copy + Default + 'static {
    /// Digits of the significand.
    const DIGITS: u32;
    /// Whether `load` and `store` have even numbers in the first register and odd ones in the second.
    const INTERLEAVED: bool;
    /// Reads two registers.
    ///
    /// # Safety
    /// `p` must be valid for reading `2 N` numbers.
    unsafe fn load<V: Lanes32>(p: *const Self) -> [V; 2];
    /// Rounds to nearest even and writes two registers.
    ///
    /// # Safety
    /// `p` must be valid for writing `2 N` numbers.
    unsafe fn store<V: Lanes32>(v: [V; 2], p: *mut Self);
    /// Widens `n` numbers.
    ///
    /// # Safety
    /// `n` elements behind each pointer; the instructions of `S` exist.
    unsafe fn widen<S: Simd>(from: *const Self, to: *mut f32, n: usize);
    /// Rounds `n` numbers to nearest even.
    ///
    /// # Safety
    /// `n` elements behind each pointer; the instructions of `S` exist.
    unsafe fn narrow<S: Simd>(from: *const f32, to: *mut Self, n: usize);
}

impl Half for f16 {
    const DIGITS: u32 = f16::MANTISSA_DIGITS;
    const INTERLEAVED: bool = false;
    #[inline(always)]
    unsafe fn load<V: Lanes32>(p: *const f16) -> [V; 2] {
        // SAFETY: `p` is valid for reading `2 N` numbers.
        unsafe { V::load_f16(p) }
    }
    #[inline(always)]
    unsafe fn store<V: Lanes32>(v: [V; 2], p: *mut f16) {
        // SAFETY: `p` is valid for writing `2 N` numbers.
        unsafe { V::store_f16(v, p) }
    }
    #[inline(always)]
    unsafe fn widen<S: Simd>(from: *const f16, to: *mut f32, n: usize) {
        let pair = 2 * <S::F32 as Lanes>::N;
        let mut i = 0;
        while i + pair <= n {
            // SAFETY: the registers lie within both arrays. Those of f16 lie in order at every level.
            unsafe {
                let [a, b] = S::F32::load_f16(from.add(i));
                a.store(to.add(i));
                b.store(to.add(i + pair / 2));
            }
            i += pair;
        }
        // SAFETY: `n` elements lie behind each pointer, and the instructions of `S` exist.
        unsafe { S::widen_f16(from.add(i), to.add(i), n - i) }
    }
    #[inline(always)]
    unsafe fn narrow<S: Simd>(from: *const f32, to: *mut f16, n: usize) {
        let pair = 2 * <S::F32 as Lanes>::N;
        let mut i = 0;
        while i + pair <= n {
            // SAFETY: the registers lie within both arrays. Those of f16 lie in order at every level.
            unsafe {
                let v = [S::F32::load(from.add(i)), S::F32::load(from.add(i + pair / 2))];
                S::F32::store_f16(v, to.add(i));
            }
            i += pair;
        }
        // SAFETY: `n` elements lie behind each pointer, and the instructions of `S` exist.
        unsafe { S::narrow_f16(from.add(i), to.add(i), n - i) }
    }
}

// Integer arithmetic: the processor's own conversion flushes subnormal numbers. Plain loops, which
// the compiler turns into registers of the level.
impl Half for bf16 {
    const DIGITS: u32 = bf16::MANTISSA_DIGITS;
    const INTERLEAVED: bool = true;
    #[inline(always)]
    unsafe fn load<V: Lanes32>(p: *const bf16) -> [V; 2] {
        // SAFETY: `p` is valid for reading `2 N` numbers.
        unsafe { V::load_bf16(p) }
    }
    #[inline(always)]
    unsafe fn store<V: Lanes32>(v: [V; 2], p: *mut bf16) {
        // SAFETY: `p` is valid for writing `2 N` numbers.
        unsafe { V::store_bf16(v, p) }
    }
    #[inline(always)]
    unsafe fn widen<S: Simd>(from: *const bf16, to: *mut f32, n: usize) {
        for i in 0..n {
            // SAFETY: `n` elements lie behind each pointer, and the instructions of `S` exist.
            unsafe {
                to.add(i).write(f32::from_bits(u32::from((*from.add(i)).to_bits()) << 16));
            }
        }
    }
    #[inline(always)]
    unsafe fn narrow<S: Simd>(from: *const f32, to: *mut bf16, n: usize) {
        for i in 0..n {
            // SAFETY: `n` elements lie behind each pointer, and the instructions of `S` exist.
            unsafe { to.add(i).write(round_bf16(*from.add(i))) }
        }
    }
}

#[inline(always)]
unsafe fn widen<S: Simd, H: Half>(from: *const H, to: *mut f32, n: usize) {
    // SAFETY: `n` elements lie behind each pointer, and the instructions of `S` exist.
    unsafe { H::widen::<S>(from, to, n) }
}

#[inline(always)]
unsafe fn narrow<S: Simd, H: Half>(from: *const f32, to: *mut H, n: usize) {
    // SAFETY: `n` elements lie behind each pointer, and the instructions of `S` exist.
    unsafe { H::narrow::<S>(from, to, n) }
}

per_level!(fn widen_at<H: Half>(from: *const H, to: *mut f32, n: usize) = widen);
per_level!(fn narrow_at<H: Half>(from: *const f32, to: *mut H, n: usize) = narrow);

type Widen<H> = unsafe fn(*const H, *mut f32, usize);
type F64ToF32<H> = unsafe fn(*const f32, *mut H, usize);

/// Widens `n` numbers.
///
/// # Safety
/// `n` elements behind each pointer; `level` is available.
pub unsafe fn to_f32<H: Half>(level: Level, from: *const H, to: *mut f32, n: usize) {
    let kernels: PerLevel<Widen<H>> = widen_at::<H>();
    // SAFETY: `n` elements lie behind each pointer, and `level` is available.
    unsafe { kernels.get(level)(from, to, n) }
}

/// Rounds `n` numbers to nearest even.
///
/// # Safety
/// `n` elements behind each pointer; `level` is available.
pub unsafe fn from_f32<H: Half>(level: Level, from: *const f32, to: *mut H, n: usize) {
    let kernels: PerLevel<F64ToF32<H>> = narrow_at::<H>();
    // SAFETY: `n` elements lie behind each pointer, and `level` is available.
    unsafe { kernels.get(level)(from, to, n) }
}

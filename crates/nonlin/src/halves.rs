//! Conversions between f32 and the half types, compiled for each level.

#![allow(unsafe_code)]

use crate::level::{Level, PerLevel, per_level};
use crate::simd::{Lanes, Lanes32, Simd};
use half::{bf16, f16};

/// A half type: how its numbers become f32 and back, rounding to nearest even.
pub(crate) trait Half: Copy + Default + 'static {
    /// Digits of the significand.
    const DIGITS: u32;
    /// Whether `load` and `store` have even numbers in the first register and odd ones in the second.
    const TURNS: bool;
    /// # Safety
    /// As of [`Lanes32::load_bf16`].
    unsafe fn load<V: Lanes32>(p: *const Self) -> [V; 2];
    /// # Safety
    /// As of [`Lanes32::store_bf16`].
    unsafe fn store<V: Lanes32>(v: [V; 2], p: *mut Self);
    /// # Safety
    /// `n` elements behind each pointer.
    unsafe fn widen<S: Simd>(from: *const Self, to: *mut f32, n: usize);
    /// # Safety
    /// `n` elements behind each pointer.
    unsafe fn narrow<S: Simd>(from: *const f32, to: *mut Self, n: usize);
}

impl Half for f16 {
    const DIGITS: u32 = f16::MANTISSA_DIGITS;
    const TURNS: bool = false;
    #[inline(always)]
    unsafe fn load<V: Lanes32>(p: *const f16) -> [V; 2] {
        // SAFETY: the caller's promise.
        unsafe { V::load_f16(p) }
    }
    #[inline(always)]
    unsafe fn store<V: Lanes32>(v: [V; 2], p: *mut f16) {
        // SAFETY: the caller's promise.
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
        // SAFETY: the caller's promise.
        unsafe { S::widen_f16(from.add(i), to.add(i), n - i) }
    }
    #[inline(always)]
    unsafe fn narrow<S: Simd>(from: *const f32, to: *mut f16, n: usize) {
        let pair = 2 * <S::F32 as Lanes>::N;
        let mut i = 0;
        while i + pair <= n {
            // SAFETY: as in `widen`.
            unsafe {
                let v = [S::F32::load(from.add(i)), S::F32::load(from.add(i + pair / 2))];
                S::F32::store_f16(v, to.add(i));
            }
            i += pair;
        }
        // SAFETY: the caller's promise.
        unsafe { S::narrow_f16(from.add(i), to.add(i), n - i) }
    }
}

/// To nearest even, without a branch.
#[inline(always)]
pub(crate) fn round_bf16(v: f32) -> bf16 {
    let bits = v.to_bits();
    let odd = (bits >> 16) & 1;
    let rounded = bits.wrapping_add(0x7FFF + odd) >> 16;
    let nan = (bits >> 16) | 0x40;
    let is_nan = bits & 0x7FFF_FFFF > 0x7F80_0000;
    bf16::from_bits(if is_nan { nan } else { rounded } as u16)
}

// Integer arithmetic: the processor's own conversion flushes subnormal numbers. Plain loops, which
// the compiler turns into registers of the level.
impl Half for bf16 {
    const DIGITS: u32 = bf16::MANTISSA_DIGITS;
    const TURNS: bool = true;
    #[inline(always)]
    unsafe fn load<V: Lanes32>(p: *const bf16) -> [V; 2] {
        // SAFETY: the caller's promise.
        unsafe { V::load_bf16(p) }
    }
    #[inline(always)]
    unsafe fn store<V: Lanes32>(v: [V; 2], p: *mut bf16) {
        // SAFETY: the caller's promise.
        unsafe { V::store_bf16(v, p) }
    }
    #[inline(always)]
    unsafe fn widen<S: Simd>(from: *const bf16, to: *mut f32, n: usize) {
        for i in 0..n {
            // SAFETY: the caller's promise.
            unsafe {
                to.add(i).write(f32::from_bits(u32::from((*from.add(i)).to_bits()) << 16));
            }
        }
    }
    #[inline(always)]
    unsafe fn narrow<S: Simd>(from: *const f32, to: *mut bf16, n: usize) {
        for i in 0..n {
            // SAFETY: the caller's promise.
            unsafe { to.add(i).write(round_bf16(*from.add(i))) }
        }
    }
}

#[inline(always)]
unsafe fn widen<S: Simd, H: Half>(from: *const H, to: *mut f32, n: usize) {
    // SAFETY: the caller's promise.
    unsafe { H::widen::<S>(from, to, n) }
}

#[inline(always)]
unsafe fn narrow<S: Simd, H: Half>(from: *const f32, to: *mut H, n: usize) {
    // SAFETY: the caller's promise.
    unsafe { H::narrow::<S>(from, to, n) }
}

per_level!(fn widen_at<H: Half>(from: *const H, to: *mut f32, n: usize) = widen);
per_level!(fn narrow_at<H: Half>(from: *const f32, to: *mut H, n: usize) = narrow);

type Widen<H> = unsafe fn(*const H, *mut f32, usize);
type Narrow<H> = unsafe fn(*const f32, *mut H, usize);

/// Widens `n` numbers.
///
/// # Safety
/// `n` elements behind each pointer; `level` is available.
pub(crate) unsafe fn to_f32<H: Half>(level: Level, from: *const H, to: *mut f32, n: usize) {
    let kernels: PerLevel<Widen<H>> = widen_at::<H>();
    // SAFETY: the caller's promise.
    unsafe { kernels.get(level)(from, to, n) }
}

/// Rounds `n` numbers to nearest even.
///
/// # Safety
/// `n` elements behind each pointer; `level` is available.
pub(crate) unsafe fn from_f32<H: Half>(level: Level, from: *const f32, to: *mut H, n: usize) {
    let kernels: PerLevel<Narrow<H>> = narrow_at::<H>();
    // SAFETY: the caller's promise.
    unsafe { kernels.get(level)(from, to, n) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Floats around every number of a half type and every midpoint, and some NaN.
    fn floats(bits: impl Fn(u16) -> f32) -> impl Iterator<Item = f32> {
        (0..=u16::MAX).flat_map(move |b| {
            let (v, next) = (bits(b), bits(b.wrapping_add(1)));
            let middle = (f64::from(v) + f64::from(next)) as f32 / 2.0;
            [v, middle, f32::from_bits(middle.to_bits() ^ 1), f32::from_bits(v.to_bits() ^ 1)]
        })
    }

    fn check<H: Half + PartialEq + core::fmt::Debug>(
        bits: fn(u16) -> H,
        wide: fn(H) -> f32,
        round: fn(f32) -> H,
        is_nan: fn(H) -> bool,
    ) {
        for level in Level::ALL.into_iter().filter(|l| l.available()) {
            for b in 0..=u16::MAX {
                let mut y = [0.0];
                // SAFETY: one element each.
                unsafe { to_f32(level, [bits(b)].as_ptr(), y.as_mut_ptr(), 1) }
                let exact = wide(bits(b));
                assert!(y[0].to_bits() == exact.to_bits() || y[0].is_nan() && exact.is_nan());
            }
            let x: alloc::vec::Vec<f32> = floats(|b| wide(bits(b))).collect();
            let mut y = alloc::vec![bits(0); x.len()];
            // SAFETY: both have as many elements.
            unsafe { from_f32(level, x.as_ptr(), y.as_mut_ptr(), x.len()) }
            for (x, y) in x.into_iter().zip(y) {
                assert!(y == round(x) || is_nan(y) && x.is_nan(), "{level} {x:e}: {y:?}");
            }
        }
    }

    /// Registers in and out, as the kernels do it.
    #[inline(always)]
    unsafe fn copy<S: Simd, H: Half>(x: *const H, y: *mut H, n: usize) {
        let lanes = 2 * <S::F32 as Lanes>::N;
        for i in (0..n).step_by(lanes) {
            // SAFETY: the callers' lengths are multiples of 32.
            unsafe { H::store(H::load::<S::F32>(x.add(i)), y.add(i)) }
        }
    }

    /// f32 in the order of the registers of `H`: the numbers of `order` tell where each belongs.
    #[inline(always)]
    unsafe fn round_registers<S: Simd, H: Half>(
        x: *const f32,
        y: *mut H,
        order: *const H,
        n: usize,
    ) {
        let lanes = <S::F32 as Lanes>::N;
        for i in (0..n).step_by(2 * lanes) {
            let mut at = [0.0f32; 32];
            let mut source = [0.0f32; 32];
            // SAFETY: the callers' lengths are multiples of 32; `order` has as many numbers as a
            // pair of registers.
            unsafe {
                let [a, b] = H::load::<S::F32>(order);
                a.store(at.as_mut_ptr());
                b.store(at.as_mut_ptr().add(lanes));
                for k in 0..2 * lanes {
                    source[k] = *x.add(i + at[k] as usize);
                }
                let a = <S::F32 as Lanes>::load(source.as_ptr());
                let b = <S::F32 as Lanes>::load(source.as_ptr().add(lanes));
                H::store([a, b], y.add(i));
            }
        }
    }

    per_level!(fn copy_at<H: Half>(x: *const H, y: *mut H, n: usize) = copy);
    per_level!(fn round_at<H: Half>(x: *const f32, y: *mut H, order: *const H, n: usize) = round_registers);

    fn check_registers<H: Half + PartialEq + core::fmt::Debug>(
        bits: fn(u16) -> H,
        wide: fn(H) -> f32,
        round: fn(f32) -> H,
        is_nan: fn(H) -> bool,
    ) {
        let all: alloc::vec::Vec<H> = (0..=u16::MAX).map(bits).collect();
        let order: alloc::vec::Vec<H> = (0..32u8).map(|i| round(f32::from(i))).collect();
        // No operation on bf16 numbers gives a NaN whose upper half alone is all ones.
        let x: alloc::vec::Vec<f32> = floats(|b| wide(bits(b)))
            .map(|x| if x.is_nan() { f32::from_bits(x.to_bits() & 0xFFFF_0000) } else { x })
            .collect();
        for level in Level::ALL.into_iter().filter(|l| l.available()) {
            let mut y = alloc::vec![bits(0); all.len()];
            // SAFETY: as many elements; a multiple of 32; the level is available.
            unsafe { copy_at::<H>().get(level)(all.as_ptr(), y.as_mut_ptr(), all.len()) }
            for (x, y) in all.iter().zip(&y) {
                assert!(x == y || is_nan(*x) && is_nan(*y), "{level} {x:?}: {y:?}");
            }
            let mut y = alloc::vec![bits(0); x.len()];
            // SAFETY: as above; `order` has 32 elements.
            unsafe {
                round_at::<H>().get(level)(x.as_ptr(), y.as_mut_ptr(), order.as_ptr(), x.len());
            }
            for (x, y) in x.iter().zip(y) {
                assert!(y == round(*x) || is_nan(y) && x.is_nan(), "{level} {x:e}: {y:?}");
            }
        }
    }

    #[test]
    fn registers_as_the_crate_half_converts() {
        check_registers::<f16>(f16::from_bits, f16::to_f32, f16::from_f32, f16::is_nan);
        check_registers::<bf16>(bf16::from_bits, bf16::to_f32, bf16::from_f32, bf16::is_nan);
    }

    #[test]
    fn as_the_crate_half_converts() {
        check::<f16>(f16::from_bits, f16::to_f32, f16::from_f32, f16::is_nan);
        check::<bf16>(bf16::from_bits, bf16::to_f32, bf16::from_f32, bf16::is_nan);
    }
}

//! Registers behind every number type, and how they are read and written.

#![allow(unsafe_code)]

#[cfg(feature = "half")]
use crate::halves::Half;
use crate::math::range::{ANY_X, IN_TABLE};
#[cfg(feature = "half")]
use crate::real::F32ForHalf;
use crate::real::{Deferred, F32Plain, F32Tabled, F64Lanes, F64ToF32};
#[cfg(feature = "half")]
use crate::simd::twice::Twice;
use crate::simd::{Lanes32, Lanes64};

/// A number type whose registers are read from and written to arrays of `T`.
pub(super) trait Io<T>: Register {
    unsafe fn read(p: *const T) -> Self;
    unsafe fn write(self, p: *mut T);
    /// Writes past the caches, if the level can; `p` is aligned to the register.
    #[inline(always)]
    unsafe fn write_non_temporal(self, p: *mut T) {
        // SAFETY: `p` is valid for writing `N` elements and aligned to the register.
        unsafe { self.write(p) }
    }
    /// Copies the first `0 < n < N` elements of a register into a buffer.
    #[inline(always)]
    unsafe fn copy_in(from: *const T, to: *mut T, n: usize) {
        // SAFETY: `from` has `n` elements, and the buffer `to` has room for a register.
        unsafe { core::ptr::copy_nonoverlapping(from, to, n) }
    }
    /// Copies them out of one.
    #[inline(always)]
    unsafe fn copy_out(from: *const T, to: *mut T, n: usize) {
        // SAFETY: the buffer `from` holds a register, and `to` has room for `n` elements.
        unsafe { core::ptr::copy_nonoverlapping(from, to, n) }
    }
}

/// A register with one number in every lane.
pub(super) trait Register: Copy {
    const N: usize;
    fn set(v: f64) -> Self;
}

impl<V: Lanes64> Register for F64ToF32<V> {
    const N: usize = V::N;
    #[inline(always)]
    fn set(v: f64) -> Self {
        F64ToF32(V::splat(v))
    }
}

impl<V: Lanes64> Io<f32> for F64ToF32<V> {
    #[inline(always)]
    unsafe fn read(p: *const f32) -> Self {
        // SAFETY: `p` is valid for reading `N` elements.
        F64ToF32(unsafe { V::load_f32(p) })
    }
    #[inline(always)]
    unsafe fn write(self, p: *mut f32) {
        // SAFETY: `p` is valid for writing `N` elements.
        unsafe { self.0.store_f32(p) }
    }
}

impl<V: Lanes64> Register for F64Lanes<V> {
    const N: usize = V::N;
    #[inline(always)]
    fn set(v: f64) -> Self {
        F64Lanes(V::splat(v))
    }
}

impl<V: Lanes64> Io<f64> for F64Lanes<V> {
    #[inline(always)]
    unsafe fn read(p: *const f64) -> Self {
        // SAFETY: `p` is valid for reading `N` elements.
        F64Lanes(unsafe { V::load(p) })
    }
    #[inline(always)]
    unsafe fn write(self, p: *mut f64) {
        // SAFETY: `p` is valid for writing `N` elements.
        unsafe { self.0.store(p) }
    }
    #[inline(always)]
    unsafe fn write_non_temporal(self, p: *mut f64) {
        // SAFETY: `p` is valid for writing `N` elements and aligned to the register.
        unsafe { self.0.store_non_temporal(p) }
    }
}

impl<V: Lanes64> Register for Deferred<F64Lanes<V>> {
    const N: usize = V::N;
    #[inline(always)]
    fn set(v: f64) -> Self {
        Deferred::new(F64Lanes::set(v))
    }
}

impl<V: Lanes64> Io<f64> for Deferred<F64Lanes<V>> {
    #[inline(always)]
    unsafe fn read(p: *const f64) -> Self {
        // SAFETY: `p` is valid for reading `N` elements.
        Deferred::new(unsafe { F64Lanes::read(p) })
    }
    #[inline(always)]
    unsafe fn write(self, p: *mut f64) {
        // SAFETY: `p` is valid for writing `N` elements.
        unsafe { self.resolve().write(p) }
    }
    #[inline(always)]
    unsafe fn write_non_temporal(self, p: *mut f64) {
        // SAFETY: `p` is valid for writing `N` elements and aligned to the register.
        unsafe { self.resolve().write_non_temporal(p) }
    }
}

/// Registers of f32 behind a number type.
pub(super) trait FromLanes<V>: Register {
    fn from_lanes(v: V) -> Self;
    fn lanes(self) -> V;
}

macro_rules! from_lanes32 {
    ($t:ident $(, $flag:tt)?) => {
        impl<V: Lanes32> FromLanes<V> for $t<V $(, $flag)?> {
            #[inline(always)]
            fn from_lanes(v: V) -> Self {
                $t(v)
            }
            #[inline(always)]
            fn lanes(self) -> V {
                self.0
            }
        }

        impl<V: Lanes32> Register for $t<V $(, $flag)?> {
            const N: usize = V::N;
            #[inline(always)]
            fn set(v: f64) -> Self {
                $t(V::splat(v as f32))
            }
        }
    };
}
from_lanes32!(F32Plain);
from_lanes32!(F32Tabled);
from_lanes32!(F32Tabled, ANY_X);
from_lanes32!(F32Tabled, IN_TABLE);
#[cfg(feature = "half")]
from_lanes32!(F32ForHalf, false);
#[cfg(feature = "half")]
from_lanes32!(F32ForHalf, true);

impl<V: Lanes32, const RANGE: u8> FromLanes<V> for Deferred<F32Tabled<V, RANGE>>
where
    F32Tabled<V, RANGE>: Register,
{
    #[inline(always)]
    fn from_lanes(v: V) -> Self {
        Deferred::new(F32Tabled(v))
    }
    #[inline(always)]
    fn lanes(self) -> V {
        self.resolve().0
    }
}

impl<V: Lanes32, const RANGE: u8> Register for Deferred<F32Tabled<V, RANGE>>
where
    F32Tabled<V, RANGE>: Register,
{
    const N: usize = V::N;
    #[inline(always)]
    fn set(v: f64) -> Self {
        Deferred::new(F32Tabled::set(v))
    }
}

macro_rules! io32 {
    ($t:ident $(, $flag:literal)?) => {
        impl<V: Lanes32> Io<f32> for $t<V $(, $flag)?> {
            #[inline(always)]
            unsafe fn read(p: *const f32) -> Self {
                // SAFETY: `p` is valid for reading `N` elements.
                $t(unsafe { V::load(p) })
            }
            #[inline(always)]
            unsafe fn write(self, p: *mut f32) {
                // SAFETY: `p` is valid for writing `N` elements.
                unsafe { self.0.store(p) }
            }
            #[inline(always)]
            unsafe fn write_non_temporal(self, p: *mut f32) {
                // SAFETY: `p` is valid for writing `N` elements and aligned to the register.
                unsafe { self.0.store_non_temporal(p) }
            }
        }

        #[cfg(feature = "half")]
        impl<V: Lanes32, H: Half> Io<H> for $t<Twice<V> $(, $flag)?> {
            #[inline(always)]
            unsafe fn read(p: *const H) -> Self {
                // SAFETY: `p` is valid for reading `N` elements.
                let [a, b] = unsafe { H::load(p) };
                $t(Twice(a, b))
            }
            #[inline(always)]
            unsafe fn write(self, p: *mut H) {
                let Twice(a, b) = self.0;
                // SAFETY: `p` is valid for writing `N` elements.
                unsafe { H::store([a, b], p) }
            }
            #[inline(always)]
            unsafe fn copy_in(from: *const H, to: *mut H, n: usize) {
                const { assert!(size_of::<H>() == 2) };
                // SAFETY: `from` has `n` elements, and the buffer `to` has room for a register.
                unsafe { V::copy_in(from.cast(), to.cast(), n) }
            }
            #[inline(always)]
            unsafe fn copy_out(from: *const H, to: *mut H, n: usize) {
                const { assert!(size_of::<H>() == 2) };
                // SAFETY: the buffer `from` holds a register, and `to` has room for `n` elements.
                unsafe { V::copy_out(from.cast(), to.cast(), n) }
            }
        }
    };
}
io32!(F32Plain);
io32!(F32Tabled);
#[cfg(feature = "half")]
io32!(F32ForHalf, false);
#[cfg(feature = "half")]
io32!(F32ForHalf, true);

//! Whether an array holds an infinity: what is looked for before a function with limits is computed.

#![allow(unsafe_code)]

use crate::element::Element;
use crate::level::{Level, per_level};
use crate::simd::{Lanes, Simd};

/// Numbers of f32 or f64.
pub(crate) trait Number: Copy {
    /// Whether one of `n` numbers is infinite.
    ///
    /// # Safety
    /// `p` must be valid for reading `n` numbers; the processor has the instructions of `S`.
    unsafe fn any<S: Simd>(p: *const Self, n: usize) -> bool;
}

macro_rules! number {
    ($t:ident, $lanes:ident) => {
        impl Number for $t {
            #[inline(always)]
            unsafe fn any<S: Simd>(p: *const Self, n: usize) -> bool {
                let size = <S::$lanes as Lanes>::N;
                let most = <S::$lanes as Lanes>::splat($t::MAX);
                macro_rules! beyond {
                    ($i:expr) => {
                        // SAFETY: a register of numbers lies at `i`, behind which there are as many.
                        unsafe { <S::$lanes as Lanes>::load(p.wrapping_add($i)) }.abs().gt(most)
                    };
                }
                let mut i = 0;
                while i + 2 * size <= n {
                    let infinite = <S::$lanes as Lanes>::either(beyond!(i), beyond!(i + size));
                    if <S::$lanes as Lanes>::any(infinite) {
                        return true;
                    }
                    i += 2 * size;
                }
                while i < n {
                    // SAFETY: `i < n`.
                    if unsafe { p.wrapping_add(i).read() }.is_infinite() {
                        return true;
                    }
                    i += 1;
                }
                false
            }
        }
    };
}
number!(f32, F32);
number!(f64, F64);

#[inline(always)]
unsafe fn find<S: Simd, T: Number>(p: *const T, n: usize, found: &mut bool) {
    // SAFETY: `n` numbers lie there, and the processor has the instructions of `S`.
    *found = unsafe { T::any::<S>(p, n) };
}

per_level!(fn finder<T: Number>(p: *const T, n: usize, found: &mut bool) = find);

/// Whether one of the `n` numbers is infinite.
///
/// # Safety
/// `p` must be valid for reading `n` elements of `T`, which is f32 or f64; `level` is available.
pub(super) unsafe fn some_infinite<T: Element>(level: Level, p: *const T, n: usize) -> bool {
    let mut found = false;
    // SAFETY: `T` is f32 or f64, of which there are `n`, and the level is available.
    unsafe {
        if T::F32_PARAMS {
            const { finder::<f32>() }.get(level)(p.cast(), n, &mut found);
        } else {
            const { finder::<f64>() }.get(level)(p.cast(), n, &mut found);
        }
    }
    found
}

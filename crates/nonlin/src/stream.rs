//! Stores past the caches, for outputs that would not stay in them.
//!
//! An ordinary store first reads the line that it overwrites. A streaming store does not, which
//! saves a third of the traffic of a function that reads one array and writes another. Each
//! piece is computed into a small buffer, which stays in the first cache, and copied from there;
//! so it works for every kernel and type alike.

#![allow(unsafe_code)]

use core::mem::{MaybeUninit, size_of};

/// Whether this architecture has such stores.
pub(crate) const AVAILABLE: bool = cfg!(target_arch = "x86_64");

/// Bytes of a piece.
const PIECE: usize = 8192;
/// Bytes of a line of the cache.
const LINE: usize = 64;

#[repr(align(64))]
struct Buffer(MaybeUninit<[u8; PIECE]>);

/// Computes `n` elements with `f(start, length, to)`, piece by piece, and stores them at `y`.
///
/// # Safety
/// `y` must be valid for writing `n` elements, none of which `f` may read; `f` must write all
/// elements it is asked for.
pub(crate) unsafe fn through<T: Copy>(y: *mut T, n: usize, f: impl Fn(usize, usize, *mut T)) {
    let mut buffer = Buffer(MaybeUninit::uninit());
    let from: *mut T = buffer.0.as_mut_ptr().cast();
    let size = size_of::<T>();
    // Up to the first whole line.
    let lead = (y.align_offset(LINE) % (LINE / size)).min(n);
    f(0, lead, y);
    let mut i = lead;
    while i < n {
        let m = (PIECE / size).min(n - i);
        f(i, m, from);
        // SAFETY: the caller's promise for `y`; `f` has written `m` elements of the buffer.
        unsafe { copy(from.cast(), y.add(i).cast(), m * size) }
        i += m;
    }
    fence();
}

/// Copies `bytes` from an aligned buffer to the start of a line.
///
/// # Safety
/// Both pointers must be valid for `bytes` and aligned to 16.
#[inline]
unsafe fn copy(from: *const u8, to: *mut u8, bytes: usize) {
    #[cfg_attr(not(target_arch = "x86_64"), allow(unused_mut))]
    let mut i = 0;
    #[cfg(target_arch = "x86_64")]
    while i + 16 <= bytes {
        use core::arch::x86_64::{_mm_load_si128, _mm_stream_si128};
        // SAFETY: the caller's promise; SSE2 is part of x86-64.
        unsafe { _mm_stream_si128(to.add(i).cast(), _mm_load_si128(from.add(i).cast())) }
        i += 16;
    }
    // SAFETY: the caller's promise.
    unsafe { core::ptr::copy_nonoverlapping(from.add(i), to.add(i), bytes - i) }
}

/// Other threads shall see what was stored.
#[inline]
fn fence() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE is part of x86-64.
    unsafe {
        core::arch::x86_64::_mm_sfence();
    }
}

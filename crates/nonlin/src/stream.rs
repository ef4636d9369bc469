//! Stores past the caches, for outputs that would not stay in them.
//!
//! An ordinary store first reads the line that it overwrites. A streaming store does not, which
//! saves a third of the traffic of a function that reads one array and writes another. Kernels use
//! them (`Lanes::store_non_temporal`) where the output is aligned to lines of the cache; here is what comes
//! after them.

#![allow(unsafe_code)]

/// Whether functions that compute something gain too. On Intel's processors they are taken to; on
/// AMD's the stores wait for each other where ordinary ones overlap with the arithmetic.
pub(crate) fn pays() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        let maker = core::arch::x86_64::__cpuid(0);
        let name = [maker.ebx, maker.edx, maker.ecx].map(u32::to_le_bytes);
        name == [*b"Genu", *b"ineI", *b"ntel"]
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Other threads shall see what was stored.
#[inline(always)]
pub(crate) fn fence() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE is part of x86-64.
    unsafe {
        core::arch::x86_64::_mm_sfence();
    }
}

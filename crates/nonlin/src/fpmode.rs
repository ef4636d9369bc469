//! The floating-point mode of a thread while kernels run.
//!
//! Rounding, flushing of subnormal numbers and traps are settings of each thread, which other
//! libraries change and leave changed. The bits that this library promises are those of IEEE 754's
//! default: round to nearest, subnormal numbers kept, no traps. So a thread that runs kernels holds a
//! [`DefaultMode`], which sets that mode where it finds another one, and puts everything back.
//!
//! The status flags are put back too: what a kernel computes on the way (an exponential that
//! underflows in a lane that is not used) tells nothing about a caller's own arithmetic, and
//! programs that read the flags would report it as theirs.

#![allow(unsafe_code)]

use core::marker::PhantomData;

/// IEEE 754's default mode for the thread that holds it, until it is dropped.
///
/// It stays on its thread, since it is that thread's mode that it puts back.
#[must_use = "the mode lasts as long as this value"]
pub(crate) struct DefaultMode {
    before: control::State,
    of_this_thread: PhantomData<*const ()>,
}

impl DefaultMode {
    /// Sets the mode, if the thread is in another one.
    #[inline(always)]
    pub(crate) fn enter() -> Self {
        let before = control::read();
        if !control::is_default(before) {
            set_cold(control::DEFAULT);
        }
        DefaultMode { before, of_this_thread: PhantomData }
    }
}

impl Drop for DefaultMode {
    /// Mode and flags as they were.
    #[inline(always)]
    fn drop(&mut self) {
        if control::read() != self.before {
            set_cold(self.before);
        }
    }
}

/// Out of the way of calls that find everything as it should be.
#[cold]
#[inline(never)]
fn set_cold(state: control::State) {
    control::write(state);
}

/// MXCSR: rounding, flushing, masks of the traps and flags in one register.
#[cfg(all(target_arch = "x86_64", not(miri)))]
mod control {
    use core::arch::asm;

    pub(super) type State = u32;
    /// Round to nearest, nothing flushed, no traps; no flag is set.
    pub(super) const DEFAULT: State = 0x1F80;
    /// Flags of what has happened, which are no part of the mode.
    const FLAGS: State = 0x3F;

    #[inline(always)]
    pub(super) fn is_default(state: State) -> bool {
        state & !FLAGS == DEFAULT
    }

    #[inline(always)]
    pub(super) fn read() -> State {
        let mut state: State = 0;
        // SAFETY: every x86-64 processor has MXCSR; the instruction writes the 4 bytes of `state`.
        unsafe {
            asm!("stmxcsr [{}]", in(reg) &raw mut state, options(nostack, preserves_flags));
        }
        state
    }

    #[inline(always)]
    pub(super) fn write(state: State) {
        // SAFETY: the instruction reads the 4 bytes of `state`, which are `DEFAULT` or were read
        // from this register, so no reserved bit is set; as a barrier to memory it stays between
        // the loads and stores of the arithmetic around it.
        unsafe {
            asm!("ldmxcsr [{}]", in(reg) &raw const state, options(nostack, preserves_flags));
        }
    }
}

/// FPCR has the mode, FPSR the flags.
#[cfg(all(target_arch = "aarch64", not(miri)))]
mod control {
    use core::arch::asm;

    /// FPCR and FPSR.
    pub(super) type State = (u64, u64);
    /// Round to nearest, nothing flushed, NaNs kept, no traps; no flag is set.
    pub(super) const DEFAULT: State = (0, 0);

    #[inline(always)]
    pub(super) fn is_default(state: State) -> bool {
        state.0 == DEFAULT.0
    }

    #[inline(always)]
    pub(super) fn read() -> State {
        let (mode, flags): State;
        // SAFETY: both registers can be read by any program on 64-bit Arm; nothing else changes.
        unsafe {
            asm!("mrs {}, fpcr", "mrs {}, fpsr", out(reg) mode, out(reg) flags,
                options(nostack, preserves_flags));
        }
        (mode, flags)
    }

    #[inline(always)]
    pub(super) fn write((mode, flags): State) {
        // SAFETY: both registers can be written by any program on 64-bit Arm, and the values are
        // `DEFAULT` or were read from them; as a barrier to memory it stays between the loads and
        // stores of the arithmetic around it.
        unsafe {
            asm!("msr fpcr, {}", "msr fpsr, {}", in(reg) mode, in(reg) flags,
                options(nostack, preserves_flags));
        }
    }
}

/// Elsewhere the mode is taken to be the default.
#[cfg(not(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri))))]
mod control {
    pub(super) type State = ();
    pub(super) const DEFAULT: State = ();

    #[inline(always)]
    pub(super) fn is_default((): State) -> bool {
        true
    }

    #[inline(always)]
    pub(super) fn read() -> State {}

    #[inline(always)]
    pub(super) fn write((): State) {}
}

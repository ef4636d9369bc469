//! The processor's floating-point environment around a loop.
//!
//! NumPy reads the status flags after a loop and warns of what they say. Kernels compute all lanes
//! and select afterwards, so the flags they leave mean nothing: they are put back. The mode of
//! rounding and the treatment of subnormal numbers are set to IEEE 754's, which the kernels are
//! compiled for, and put back too.

use std::arch::asm;

/// Restores the environment that was found when it goes.
pub struct Guard(u64);

/// All exceptions masked, no flag set, to nearest, subnormal numbers kept.
#[cfg(target_arch = "x86_64")]
static ORDINARY: u32 = 0x1f80;

#[cfg(target_arch = "x86_64")]
impl Guard {
    /// Saves the environment and sets the ordinary one.
    #[inline]
    pub fn new() -> Self {
        let mut saved = 0u32;
        // SAFETY: both instructions touch the four bytes they are given and the register MXCSR,
        // which Rust code expects to be as `ORDINARY` is.
        unsafe {
            asm!("stmxcsr [{}]", in(reg) &raw mut saved, options(nostack));
            asm!("ldmxcsr [{}]", in(reg) &raw const ORDINARY, options(nostack, readonly));
        }
        Guard(u64::from(saved))
    }
}

#[cfg(target_arch = "x86_64")]
impl Drop for Guard {
    #[inline]
    fn drop(&mut self) {
        let saved = self.0 as u32;
        // SAFETY: MXCSR gets what was read from it.
        unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const saved, options(nostack, readonly)) }
    }
}

#[cfg(target_arch = "aarch64")]
impl Guard {
    /// Saves the environment and sets the ordinary one.
    #[inline]
    pub fn new() -> Self {
        let (control, status): (u64, u64);
        // SAFETY: reads both registers and sets the control that Rust code expects.
        unsafe {
            asm!("mrs {}, fpcr", out(reg) control, options(nomem, nostack));
            asm!("mrs {}, fpsr", out(reg) status, options(nomem, nostack));
            asm!("msr fpcr, xzr", options(nomem, nostack));
        }
        Guard(control << 32 | status & 0xffff_ffff)
    }
}

#[cfg(target_arch = "aarch64")]
impl Drop for Guard {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the registers get what was read from them.
        unsafe {
            asm!("msr fpsr, {}", in(reg) self.0 & 0xffff_ffff, options(nomem, nostack));
            asm!("msr fpcr, {}", in(reg) self.0 >> 32, options(nomem, nostack));
        }
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
impl Guard {
    /// Other processors are left as they are.
    #[inline]
    pub fn new() -> Self {
        Guard(0)
    }
}

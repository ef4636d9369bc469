//! Instruction-set levels: detection, override, and the one place where kernels are entered.
//!
//! `--cfg nonlin_portable` compiles the library as for an architecture that has no registers of its
//! own: the one level is the baseline, in plain numbers. So a test runs what other processors run.

use core::fmt;

/// A set of instructions that kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Level {
    /// What every processor of the architecture has: SSE2 on x86-64, plain code elsewhere.
    Baseline,
    /// AVX2, FMA and F16C.
    Avx2,
    /// AVX-512 F, DQ, VL and BW.
    Avx512,
    /// NEON, on 64-bit Arm.
    Neon,
}

impl Level {
    /// Every level, slowest first.
    pub const ALL: &'static [Level] = &[Level::Baseline, Level::Avx2, Level::Avx512, Level::Neon];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Level::Baseline => "baseline",
            Level::Avx2 => "avx2",
            Level::Avx512 => "avx512",
            Level::Neon => "neon",
        }
    }

    /// Whether multiply-add is fused; all such levels give the same bits.
    #[must_use]
    pub const fn fused(self) -> bool {
        !matches!(self, Level::Baseline)
    }

    /// Whether this processor has it.
    #[must_use]
    pub fn available(self) -> bool {
        match self {
            Level::Baseline => true,
            Level::Avx2 => has_avx2(),
            Level::Avx512 => has_avx512(),
            Level::Neon => cfg!(all(target_arch = "aarch64", not(nonlin_portable))),
        }
    }

    /// The best level of this processor.
    #[must_use]
    #[inline]
    pub fn best() -> Level {
        if cfg!(all(target_arch = "aarch64", not(nonlin_portable))) {
            Level::Neon
        } else if has_avx512() {
            Level::Avx512
        } else if has_avx2() {
            Level::Avx2
        } else {
            Level::Baseline
        }
    }
}

#[cfg(all(target_arch = "x86_64", not(nonlin_portable), feature = "std"))]
#[inline]
fn has_avx2() -> bool {
    std::arch::is_x86_feature_detected!("avx2")
        && std::arch::is_x86_feature_detected!("fma")
        && std::arch::is_x86_feature_detected!("f16c")
}

#[cfg(all(target_arch = "x86_64", not(nonlin_portable), feature = "std"))]
#[inline]
fn has_avx512() -> bool {
    std::arch::is_x86_feature_detected!("avx512f")
        && std::arch::is_x86_feature_detected!("avx512dq")
        && std::arch::is_x86_feature_detected!("avx512vl")
        && std::arch::is_x86_feature_detected!("avx512bw")
        && has_avx2()
}

#[cfg(not(all(target_arch = "x86_64", not(nonlin_portable), feature = "std")))]
fn has_avx2() -> bool {
    cfg!(all(
        target_arch = "x86_64",
        not(nonlin_portable),
        target_feature = "avx2",
        target_feature = "fma",
        target_feature = "f16c"
    ))
}

#[cfg(not(all(target_arch = "x86_64", not(nonlin_portable), feature = "std")))]
fn has_avx512() -> bool {
    cfg!(all(
        target_arch = "x86_64",
        not(nonlin_portable),
        target_feature = "avx512f",
        target_feature = "avx512dq",
        target_feature = "avx512vl",
        target_feature = "avx512bw"
    ))
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One kernel per level, from one generic body.
///
/// `per_level!(fn name<G: Bound>(arg: Type, ...) = body)` defines
/// `name::<G>() -> PerLevel<unsafe fn(Type, ...)>`:
/// the body is compiled once per level with that level's registers as `S`.
macro_rules! per_level {
    ($(#[$meta:meta])* fn $name:ident<$g:ident: $bound:path>($($arg:ident: $ty:ty),*) = $body:ident) => {
        $(#[$meta])*
        pub(crate) const fn $name<$g: $bound>() -> $crate::level::PerLevel<unsafe fn($($ty),*)> {
            $crate::level::PerLevel([
                #[cfg(all(target_arch = "x86_64", not(nonlin_portable)))]
                {
                    unsafe fn run<$g: $bound>($($arg: $ty),*) {
                        // SAFETY: the kernel has the conditions of `$body`; SSE2 is part of x86-64.
                        unsafe { $body::<$crate::simd::x86::Sse2, $g>($($arg),*) }
                    }
                    run::<$g>
                },
                #[cfg(not(all(target_arch = "x86_64", not(nonlin_portable))))]
                {
                    unsafe fn run<$g: $bound>($($arg: $ty),*) {
                        // SAFETY: the kernel has the conditions of `$body`; this code needs no special instructions.
                        unsafe { $body::<$crate::simd::scalar::Scalar, $g>($($arg),*) }
                    }
                    run::<$g>
                },
                #[cfg(all(target_arch = "x86_64", not(nonlin_portable)))]
                {
                    #[target_feature(enable = "avx2,fma,f16c")]
                    unsafe fn run<$g: $bound>($($arg: $ty),*) {
                        // SAFETY: the kernel has the conditions of `$body`, and that the level is available.
                        unsafe { $body::<$crate::simd::x86::Avx2, $g>($($arg),*) }
                    }
                    run::<$g>
                },
                #[cfg(all(target_arch = "x86_64", not(nonlin_portable)))]
                {
                    #[target_feature(enable = "avx2,fma,f16c,avx512f,avx512dq,avx512vl,avx512bw")]
                    unsafe fn run<$g: $bound>($($arg: $ty),*) {
                        // SAFETY: the kernel has the conditions of `$body`, and that the level is available.
                        unsafe { $body::<$crate::simd::x86::Avx512, $g>($($arg),*) }
                    }
                    run::<$g>
                },
                #[cfg(all(target_arch = "aarch64", not(nonlin_portable)))]
                {
                    unsafe fn run<$g: $bound>($($arg: $ty),*) {
                        // SAFETY: the kernel has the conditions of `$body`; NEON is part of aarch64.
                        unsafe { $body::<$crate::simd::neon::Neon, $g>($($arg),*) }
                    }
                    run::<$g>
                },
            ])
        }
    };
}
pub(crate) use per_level;

/// How many levels this architecture is compiled for.
pub(crate) const COUNT: usize = if cfg!(all(target_arch = "x86_64", not(nonlin_portable))) {
    3
} else if cfg!(all(target_arch = "aarch64", not(nonlin_portable))) {
    2
} else {
    1
};

/// A kernel for each level of this architecture.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PerLevel<F>(pub(crate) [F; COUNT]);

impl<F: Copy> PerLevel<F> {
    /// The kernel of `level`, which must be available.
    #[inline]
    pub(crate) fn get(&self, level: Level) -> F {
        debug_assert!(level.available(), "level {level} is not available");
        match level {
            Level::Baseline => self.0[0],
            Level::Avx2 | Level::Neon => self.0[if COUNT > 1 { 1 } else { 0 }],
            Level::Avx512 => self.0[COUNT - 1],
        }
    }
}

//! The types that arrays can have: f32, f64, and f16 and bf16, which are computed in f32.

#![allow(unsafe_code)]

use crate::kernel::{Family, PerType};
use crate::level::Level;

pub(crate) mod sealed {
    pub trait Sealed {}
}

/// Elements per block where a type is converted or a gradient of ones is needed.
pub(crate) const BLOCK: usize = 1024;

/// What [`Element::through_f32`] calls: inputs, outputs, and how many elements they have.
pub(crate) type F32Job<'f, const I: usize, const O: usize> =
    &'f dyn Fn([*const f32; I], [*mut f32; O], usize);

/// A number that arrays are made of: `f32`, `f64`, and with the feature `half` `f16` and `bf16`.
pub trait Element:
    sealed::Sealed + Copy + Default + PartialEq + Send + Sync + core::fmt::Debug + 'static
{
    /// Its name: `f32`, `f64`, `f16`, `bf16`.
    const NAME: &'static str;
    /// From the nearest f64.
    fn from_f64(v: f64) -> Self;
    /// To f64, exactly.
    fn to_f64(self) -> f64;
    /// Half the distance from 1 to the next number: the largest relative error of a rounding.
    const ROUNDOFF: f64;

    /// Whether it is computed in f32, so that parameters are rounded to f32 first.
    #[doc(hidden)]
    const F32_PARAMS: bool;
    /// Whether it is computed in f32 and rounded once more.
    #[doc(hidden)]
    const HALF: bool;
    /// A gradient of ones.
    #[doc(hidden)]
    const ONES: &'static [Self; BLOCK];
    /// The kernels of this type.
    #[doc(hidden)]
    fn pick<F: Family>(kernels: &PerType<F>) -> &F::Of<Self>;
    /// Converts blocks of the inputs to f32, calls `f` with them, and rounds what it wrote to the
    /// outputs. The first outputs of `f` are its first inputs. Only half types are converted.
    ///
    /// # Safety
    /// The inputs must be valid for reading `n` elements, the outputs for writing them; an output
    /// may be one of the inputs, but may not overlap one in another way. `level` is available.
    #[doc(hidden)]
    unsafe fn through_f32<const I: usize, const O: usize>(
        level: Level,
        inputs: [*const Self; I],
        outputs: [*mut Self; O],
        n: usize,
        f: F32Job<'_, I, O>,
    );
}

macro_rules! native {
    ($t:ident, $name:literal, $f32_params:literal) => {
        impl sealed::Sealed for $t {}
        impl Element for $t {
            const NAME: &'static str = $name;
            const ROUNDOFF: f64 = $t::EPSILON as f64 / 2.0;
            const F32_PARAMS: bool = $f32_params;
            const HALF: bool = false;
            const ONES: &'static [Self; BLOCK] = &[1.0; BLOCK];
            fn from_f64(v: f64) -> Self {
                v as $t
            }
            fn to_f64(self) -> f64 {
                f64::from(self)
            }
            #[inline]
            fn pick<F: Family>(kernels: &PerType<F>) -> &F::Of<Self> {
                &kernels.$t
            }
            unsafe fn through_f32<const I: usize, const O: usize>(
                _: Level,
                _: [*const Self; I],
                _: [*mut Self; O],
                _: usize,
                _: F32Job<'_, I, O>,
            ) {
                unreachable!("{} has kernels of its own", $name)
            }
        }
    };
}
native!(f32, "f32", true);
native!(f64, "f64", false);

#[cfg(feature = "half")]
mod half_types {
    use super::{BLOCK, Element, F32Job, Family, Level, PerType, sealed};
    use crate::halves::{Half, from_f32, to_f32};
    use half::{bf16, f16};

    macro_rules! half_type {
        ($t:ident, $name:literal, $roundoff:expr) => {
            impl sealed::Sealed for $t {}
            impl Element for $t {
                const NAME: &'static str = $name;
                const ROUNDOFF: f64 = $roundoff;
                const F32_PARAMS: bool = true;
                const HALF: bool = true;
                const ONES: &'static [Self; BLOCK] = &[$t::ONE; BLOCK];
                fn from_f64(v: f64) -> Self {
                    $t::from_f64(v)
                }
                fn to_f64(self) -> f64 {
                    self.to_f64()
                }
                #[inline]
                fn pick<F: Family>(kernels: &PerType<F>) -> &F::Of<Self> {
                    &kernels.$t
                }
                unsafe fn through_f32<const I: usize, const O: usize>(
                    level: Level,
                    inputs: [*const Self; I],
                    outputs: [*mut Self; O],
                    n: usize,
                    f: F32Job<'_, I, O>,
                ) {
                    // SAFETY: what this function is promised is what that one asks for.
                    unsafe { blocks_of_f32(level, inputs, outputs, n, f) }
                }
            }
        };
    }
    half_type!(f16, "f16", 1.0 / 2048.0);
    half_type!(bf16, "bf16", 1.0 / 256.0);

    /// See [`Element::through_f32`], which has the conditions.
    unsafe fn blocks_of_f32<H: Half, const I: usize, const O: usize>(
        level: Level,
        inputs: [*const H; I],
        outputs: [*mut H; O],
        n: usize,
        f: F32Job<'_, I, O>,
    ) {
        const { assert!(O <= I) };
        let mut blocks = [[0.0f32; BLOCK]; I];
        for start in (0..n).step_by(BLOCK) {
            let m = BLOCK.min(n - start);
            for (input, block) in inputs.iter().zip(&mut blocks) {
                // SAFETY: `start + m <= n` elements lie behind the input, `m <= BLOCK` fit the block.
                unsafe { to_f32(level, input.add(start), block.as_mut_ptr(), m) }
            }
            let rows = blocks.each_mut().map(|block| block.as_mut_ptr());
            let mut to = [core::ptr::null_mut(); O];
            to.copy_from_slice(&rows[..O]);
            f(rows.map(|row| row.cast_const()), to, m);
            for (block, output) in blocks.iter().zip(outputs) {
                // SAFETY: the block has `m <= BLOCK` numbers, `start + m <= n` lie behind the output.
                unsafe { from_f32(level, block.as_ptr(), output.add(start), m) }
            }
        }
    }
}

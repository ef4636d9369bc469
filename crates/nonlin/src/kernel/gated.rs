//! Kernels of gated functions for f32 and f64: the number type by [`Arithmetic`].

#![allow(unsafe_code)]

use super::near_far::{ByGradientSize, Far32, Lifted32, Near32, NearOrFar};
use super::run::{WIDEST, run};
use super::steps::{GatedBackward, GatedValue};
use crate::activation::{Arithmetic, Gated};
use crate::level::per_level;
use crate::real::{F32Plain, F32Tabled, F64Lanes, F64ToF32};
use crate::simd::{Lanes, Simd};
use core::marker::PhantomData;

#[inline(always)]
unsafe fn gated_f32<S: Simd, G: Gated>(
    a: *const f32,
    b: *const f32,
    y: *mut f32,
    n: usize,
    non_temporal: bool,
) {
    let step = GatedValue::<G>(PhantomData);
    match G::ARITHMETIC {
        Arithmetic::F32Tables { value: reach, .. } if S::Tabled32::FUSED => {
            let far = ByGradientSize::<_, _, Lifted32<_>, Far32<_>, S::Tabled32>::new(step, step);
            let within =
                NearOrFar::<_, _, Near32<_>, Far32<_>, S::Tabled32, true>::new(reach, step, far);
            // SAFETY: each array has `n` elements, and the processor has the instructions of `S`.
            unsafe {
                run::<F32Tabled<S::Tabled32>, 2, 1, WIDEST, _>([a, b], [y], n, within, non_temporal)
            }
        }
        // SAFETY: each array has `n` elements, and the processor has the instructions of `S`.
        Arithmetic::F32 => unsafe {
            run::<F32Plain<S::F32>, 2, 1, WIDEST, _>([a, b], [y], n, step, non_temporal)
        },
        // SAFETY: each array has `n` elements, and the processor has the instructions of `S`.
        _ => unsafe {
            run::<F64ToF32<S::F64>, 2, 1, WIDEST, _>([a, b], [y], n, step, non_temporal)
        },
    }
}

#[inline(always)]
unsafe fn gated_f64<S: Simd, G: Gated>(
    a: *const f64,
    b: *const f64,
    y: *mut f64,
    n: usize,
    non_temporal: bool,
) {
    // SAFETY: each array has `n` elements, and the processor has the instructions of `S`.
    unsafe {
        run::<F64Lanes<S::Block64>, 2, 1, WIDEST, _>(
            [a, b],
            [y],
            n,
            GatedValue::<G>(PhantomData),
            non_temporal,
        )
    }
}

#[inline(always)]
unsafe fn gated_backward_f32<S: Simd, G: Gated>(
    a: *const f32,
    b: *const f32,
    g: *const f32,
    da: *mut f32,
    db: *mut f32,
    n: usize,
) {
    let step = GatedBackward::<G>(PhantomData);
    match G::ARITHMETIC {
        Arithmetic::F32Tables { slope: reach, .. } if S::Tabled32::FUSED => {
            let far = ByGradientSize::<_, _, Lifted32<_>, Far32<_>, S::Tabled32>::new(step, step);
            let within =
                NearOrFar::<_, _, Near32<_>, Far32<_>, S::Tabled32, true>::new(reach, step, far);
            // SAFETY: each array has `n` elements, and the processor has the instructions of `S`.
            unsafe {
                run::<F32Tabled<S::Tabled32>, 3, 2, WIDEST, _>(
                    [a, b, g],
                    [da, db],
                    n,
                    within,
                    false,
                )
            }
        }
        // SAFETY: each array has `n` elements, and the processor has the instructions of `S`.
        Arithmetic::F32 => unsafe {
            run::<F32Plain<S::F32>, 3, 2, WIDEST, _>([a, b, g], [da, db], n, step, false)
        },
        // SAFETY: each array has `n` elements, and the processor has the instructions of `S`.
        _ => unsafe {
            run::<F64ToF32<S::F64>, 3, 2, WIDEST, _>([a, b, g], [da, db], n, step, false)
        },
    }
}

#[inline(always)]
unsafe fn gated_backward_f64<S: Simd, G: Gated>(
    a: *const f64,
    b: *const f64,
    g: *const f64,
    da: *mut f64,
    db: *mut f64,
    n: usize,
) {
    // SAFETY: each array has `n` elements, and the processor has the instructions of `S`.
    unsafe {
        run::<F64Lanes<S::Block64>, 3, 2, WIDEST, _>(
            [a, b, g],
            [da, db],
            n,
            GatedBackward::<G>(PhantomData),
            false,
        )
    }
}

per_level!(fn gated_map_32<G: Gated>(a: *const f32, b: *const f32, y: *mut f32, n: usize, non_temporal: bool) = gated_f32);
per_level!(fn gated_map_64<G: Gated>(a: *const f64, b: *const f64, y: *mut f64, n: usize, non_temporal: bool) = gated_f64);
per_level!(fn gated_back_32<G: Gated>(a: *const f32, b: *const f32, g: *const f32, da: *mut f32, db: *mut f32, n: usize) = gated_backward_f32);
per_level!(fn gated_back_64<G: Gated>(a: *const f64, b: *const f64, g: *const f64, da: *mut f64, db: *mut f64, n: usize) = gated_backward_f64);

//! Kernels of elementwise functions for f32 and f64: the number type by [`Arithmetic`].

#![allow(unsafe_code)]

use super::P;
use super::io::Register;
use super::near_far::{
    ByGradientSize, Far32, FarSlope32, Lifted32, LiftedSlope32, Near32, NearOrFar,
};
use super::run::{WIDEST, run};
use super::steps::{Backward, EachBackward, EachValue, FromOutput, Value};
use crate::activation::{Arithmetic, Elementwise, ParamList};
use crate::level::per_level;
use crate::real::{Deferred, F32Plain, F32Tabled, F64Lanes, F64ToF32};
use crate::simd::{Lanes, Simd};

/// The default parameters in every lane.
#[inline(always)]
pub(super) fn defaults<A: Elementwise, R: Register>() -> A::Params<R> {
    let mut p = A::Params::<R>::filled(R::set(0.0));
    let mut i = 0;
    while i < A::PARAMS.len() {
        p.as_mut_slice()[i] = R::set(A::PARAMS[i].default);
        i += 1;
    }
    p
}

/// The parameters of a call in every lane; those of an array of f32 or of a half type are rounded
/// to f32.
#[inline(always)]
pub(super) fn spread<A: Elementwise, R: Register, const F32: bool>(call: P<'_>) -> A::Params<R> {
    // A loop and not `map`, which is a call of its own for wide registers, and copies them.
    let mut p = A::Params::<R>::filled(R::set(0.0));
    let mut i = 0;
    while i < A::PARAMS.len() {
        let v = call.params[i];
        p.as_mut_slice()[i] = R::set(if F32 { A::PARAMS[i].in_f32(v) } else { v });
        i += 1;
    }
    p
}

/// Whether the parameters of a call, rounded to f32, are the default ones.
#[inline(always)]
fn is_default<A: Elementwise>(call: P<'_>) -> bool {
    call.has_defaults(A::PARAMS)
}

/// Whether the parameters of a call are all 1 and the definition is compiled a second time for
/// that. As constants they cost no multiplications.
#[inline(always)]
fn is_one<A: Elementwise>(call: P<'_>) -> bool {
    let mut same = A::CONSTANT_ONES;
    let mut i = 0;
    while i < A::PARAMS.len() {
        same &= call.params[i] == 1.0;
        i += 1;
    }
    same
}

#[inline(always)]
unsafe fn forward_f32<S: Simd, A: Elementwise>(x: *const f32, y: *mut f32, n: usize, p: P<'_>) {
    match A::ARITHMETIC {
        Arithmetic::F32Tables { value: reach, .. } if S::Tabled32::FUSED && is_default::<A>(p) => {
            let near = Value::<A, Near32<S::Tabled32>>(defaults::<A, _>());
            let far = Value::<A, Lifted32<S::Tabled32>>(defaults::<A, _>());
            let step =
                NearOrFar::<_, _, Near32<_>, Lifted32<_>, S::Tabled32, true>::new(reach, near, far);
            // SAFETY: each array has `n` elements, and the processor has the instructions of `S`.
            unsafe {
                run::<F32Tabled<S::Tabled32>, 1, 1, WIDEST, _>([x], [y], n, step, p.non_temporal)
            }
        }
        // SAFETY: each array has `n` elements, and the processor has the instructions of `S`.
        Arithmetic::F64 | Arithmetic::F32Tables { .. } => unsafe {
            run::<F64ToF32<S::F64>, 1, 1, WIDEST, _>(
                [x],
                [y],
                n,
                Value::<A, _>(spread::<A, _, true>(p)),
                p.non_temporal,
            )
        },
        // SAFETY: each array has `n` elements, and the processor has the instructions of `S`.
        Arithmetic::F32 => unsafe {
            run::<F32Plain<S::F32>, 1, 1, WIDEST, _>(
                [x],
                [y],
                n,
                Value::<A, _>(spread::<A, _, true>(p)),
                p.non_temporal,
            )
        },
    }
}

#[inline(always)]
unsafe fn forward_f64<S: Simd, A: Elementwise>(x: *const f64, y: *mut f64, n: usize, p: P<'_>) {
    if is_one::<A>(p) {
        let step = Value::<A, _>(defaults::<A, _>());
        // SAFETY: each array has `n` elements, and the processor has the instructions of `S`.
        return unsafe {
            run::<F64Lanes<S::Block64>, 1, 1, WIDEST, _>([x], [y], n, step, p.non_temporal)
        };
    }
    // SAFETY: each array has `n` elements, and the processor has the instructions of `S`.
    unsafe {
        run::<F64Lanes<S::Block64>, 1, 1, WIDEST, _>(
            [x],
            [y],
            n,
            Value::<A, _>(spread::<A, _, false>(p)),
            p.non_temporal,
        )
    }
}

#[inline(always)]
unsafe fn backward_f32<S: Simd, A: Elementwise>(
    x: *const f32,
    g: *const f32,
    dx: *mut f32,
    n: usize,
    p: P<'_>,
) {
    match A::ARITHMETIC {
        Arithmetic::F32Tables { slope: reach, .. } if S::Tabled32::FUSED && is_default::<A>(p) => {
            let near = Backward::<A, Near32<S::Tabled32>>(defaults::<A, _>());
            let lifted = Backward::<A, LiftedSlope32<S::Tabled32>>(defaults::<A, _>());
            let far = Backward::<A, FarSlope32<S::Tabled32>>(defaults::<A, _>());
            let far = ByGradientSize::<_, _, LiftedSlope32<_>, FarSlope32<_>, S::Tabled32>::new(
                lifted, far,
            );
            let step =
                NearOrFar::<_, _, Near32<_>, Far32<_>, S::Tabled32, true>::new(reach, near, far);
            // SAFETY: each array has `n` elements, and the processor has the instructions of `S`.
            unsafe {
                run::<F32Tabled<S::Tabled32>, 2, 1, WIDEST, _>(
                    [x, g],
                    [dx],
                    n,
                    step,
                    p.non_temporal,
                )
            }
        }
        // SAFETY: each array has `n` elements, and the processor has the instructions of `S`.
        Arithmetic::F64 | Arithmetic::F32Tables { .. } => unsafe {
            run::<F64ToF32<S::F64>, 2, 1, WIDEST, _>(
                [x, g],
                [dx],
                n,
                Backward::<A, _>(spread::<A, _, true>(p)),
                p.non_temporal,
            )
        },
        // SAFETY: each array has `n` elements, and the processor has the instructions of `S`.
        Arithmetic::F32 => unsafe {
            run::<F32Plain<S::F32>, 2, 1, WIDEST, _>(
                [x, g],
                [dx],
                n,
                Backward::<A, _>(spread::<A, _, true>(p)),
                p.non_temporal,
            )
        },
    }
}

#[inline(always)]
unsafe fn backward_f64<S: Simd, A: Elementwise>(
    x: *const f64,
    g: *const f64,
    dx: *mut f64,
    n: usize,
    p: P<'_>,
) {
    if is_one::<A>(p) {
        let step = Backward::<A, _>(defaults::<A, _>());
        // SAFETY: each array has `n` elements, and the processor has the instructions of `S`.
        return unsafe {
            run::<Deferred<F64Lanes<S::Block64>>, 2, 1, WIDEST, _>(
                [x, g],
                [dx],
                n,
                step,
                p.non_temporal,
            )
        };
    }
    // SAFETY: each array has `n` elements, and the processor has the instructions of `S`.
    unsafe {
        run::<Deferred<F64Lanes<S::Block64>>, 2, 1, WIDEST, _>(
            [x, g],
            [dx],
            n,
            Backward::<A, _>(spread::<A, _, false>(p)),
            p.non_temporal,
        )
    }
}

#[inline(always)]
unsafe fn from_output_f32<S: Simd, A: Elementwise>(
    y: *const f32,
    g: *const f32,
    dx: *mut f32,
    n: usize,
    p: P<'_>,
) {
    let step = FromOutput::<A, F32Plain<S::F32>>(spread::<A, _, true>(p));
    // SAFETY: each array has `n` elements, and the processor has the instructions of `S`.
    unsafe { run::<F32Plain<S::F32>, 2, 1, WIDEST, _>([y, g], [dx], n, step, false) }
}

#[inline(always)]
unsafe fn from_output_f64<S: Simd, A: Elementwise>(
    y: *const f64,
    g: *const f64,
    dx: *mut f64,
    n: usize,
    p: P<'_>,
) {
    let step = FromOutput::<A, F64Lanes<S::Block64>>(spread::<A, _, false>(p));
    // SAFETY: each array has `n` elements, and the processor has the instructions of `S`.
    unsafe { run::<F64Lanes<S::Block64>, 2, 1, WIDEST, _>([y, g], [dx], n, step, false) }
}

#[inline(always)]
unsafe fn each_f32<S: Simd, A: Elementwise>(
    x: *const f32,
    w: *const f32,
    y: *mut f32,
    n: usize,
    p: P<'_>,
) {
    // SAFETY: each array has `n` elements, and the processor has the instructions of `S`.
    unsafe {
        run::<F64ToF32<S::F64>, 2, 1, WIDEST, _>(
            [x, w],
            [y],
            n,
            EachValue::<A, _>(spread::<A, _, true>(p)),
            false,
        )
    }
}

#[inline(always)]
unsafe fn each_f64<S: Simd, A: Elementwise>(
    x: *const f64,
    w: *const f64,
    y: *mut f64,
    n: usize,
    p: P<'_>,
) {
    // SAFETY: each array has `n` elements, and the processor has the instructions of `S`.
    unsafe {
        run::<F64Lanes<S::Block64>, 2, 1, WIDEST, _>(
            [x, w],
            [y],
            n,
            EachValue::<A, _>(spread::<A, _, false>(p)),
            false,
        )
    }
}

#[inline(always)]
#[allow(clippy::too_many_arguments)]
unsafe fn each_backward_f32<S: Simd, A: Elementwise>(
    x: *const f32,
    w: *const f32,
    g: *const f32,
    dx: *mut f32,
    dw: *mut f32,
    n: usize,
    p: P<'_>,
) {
    // SAFETY: each array has `n` elements, and the processor has the instructions of `S`.
    unsafe {
        run::<F64ToF32<S::F64>, 3, 2, WIDEST, _>(
            [x, w, g],
            [dx, dw],
            n,
            EachBackward::<A, _>(spread::<A, _, true>(p)),
            false,
        )
    }
}

#[inline(always)]
#[allow(clippy::too_many_arguments)]
unsafe fn each_backward_f64<S: Simd, A: Elementwise>(
    x: *const f64,
    w: *const f64,
    g: *const f64,
    dx: *mut f64,
    dw: *mut f64,
    n: usize,
    p: P<'_>,
) {
    // SAFETY: each array has `n` elements, and the processor has the instructions of `S`.
    unsafe {
        run::<F64Lanes<S::Block64>, 3, 2, WIDEST, _>(
            [x, w, g],
            [dx, dw],
            n,
            EachBackward::<A, _>(spread::<A, _, false>(p)),
            false,
        )
    }
}

per_level!(fn map_32<A: Elementwise>(x: *const f32, y: *mut f32, n: usize, p: P<'_>) = forward_f32);
per_level!(fn map_64<A: Elementwise>(x: *const f64, y: *mut f64, n: usize, p: P<'_>) = forward_f64);
per_level!(fn back_32<A: Elementwise>(x: *const f32, g: *const f32, dx: *mut f32, n: usize, p: P<'_>) = backward_f32);
per_level!(fn back_64<A: Elementwise>(x: *const f64, g: *const f64, dx: *mut f64, n: usize, p: P<'_>) = backward_f64);
per_level!(fn from_output_32<A: Elementwise>(y: *const f32, g: *const f32, dx: *mut f32, n: usize, p: P<'_>) = from_output_f32);
per_level!(fn from_output_64<A: Elementwise>(y: *const f64, g: *const f64, dx: *mut f64, n: usize, p: P<'_>) = from_output_f64);
per_level!(fn each_map_32<A: Elementwise>(x: *const f32, w: *const f32, y: *mut f32, n: usize, p: P<'_>) = each_f32);
per_level!(fn each_map_64<A: Elementwise>(x: *const f64, w: *const f64, y: *mut f64, n: usize, p: P<'_>) = each_f64);
per_level!(fn each_back_32<A: Elementwise>(x: *const f32, w: *const f32, g: *const f32, dx: *mut f32, dw: *mut f32, n: usize, p: P<'_>) = each_backward_f32);
per_level!(fn each_back_64<A: Elementwise>(x: *const f64, w: *const f64, g: *const f64, dx: *mut f64, dw: *mut f64, n: usize, p: P<'_>) = each_backward_f64);

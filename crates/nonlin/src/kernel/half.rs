//! Kernels of the half types, at levels with fused multiply-add.
//!
//! Their registers are those of f32, read from and written to arrays of a half type. Only what is
//! fast in f32 registers is here: functions of [`Arithmetic::F32`], and those of [`Arithmetic::F32Tables`]
//! at default parameters. Elsewhere the kernel for f32 does it, also for the lanes of a register
//! that are beyond the tables.

#![allow(unsafe_code)]

use super::elementwise::{back_32, defaults, map_32, spread};
use super::gated::{gated_back_32, gated_map_32};
use super::io::Register;
use super::near_far::{Near32, NearOrFar};
use super::run::{Aligned, Step, WIDEST, run};
use super::steps::{Backward, FromOutput, GatedBackward, GatedValue, Value};
use super::{Back, GatedBack, GatedMap, Map, P};
use crate::activation::{Arithmetic, Elementwise, Gated, Reach};
use crate::halves::Half;
use crate::level::per_level;
use crate::real::{F32ForHalf, F32Plain, F32Tabled};
use crate::simd::twice::Twice;
use crate::simd::{Lanes, Lanes32, Simd};
use core::marker::PhantomData;

/// A definition and a half type.
pub(crate) trait Pair: 'static {
    type A: Elementwise;
    type H: Half;
}
impl<A: Elementwise, H: Half> Pair for (A, H) {
    type A = A;
    type H = H;
}

/// A gated definition and a half type.
pub(crate) trait GatedPair: 'static {
    type G: Gated;
    type H: Half;
}
impl<G: Gated, H: Half> GatedPair for (G, H) {
    type G = G;
    type H = H;
}

const fn is_single(route: Arithmetic) -> bool {
    matches!(route, Arithmetic::F32)
}

const fn value_reach(route: Arithmetic) -> Reach {
    match route {
        Arithmetic::F32Tables { value, .. } => value,
        _ => Reach::EVERYWHERE,
    }
}

const fn slope_reach(route: Arithmetic) -> Reach {
    match route {
        Arithmetic::F32Tables { slope, .. } => slope,
        _ => Reach::EVERYWHERE,
    }
}

/// Whether the slope of a definition needs low parts: it passes through zero as a difference, and
/// for the f16 numbers next to that a rounding in f32 is 0.04 units. No bf16 number is so near.
const fn cancels<A: Elementwise, H: Half>() -> bool {
    H::DIGITS > 8 && !A::CLAIMS.slope_zeros.is_empty() && A::CLAIMS.kinks.is_empty()
}

/// One body of a kernel: in `F32Plain` registers, or within reach in `F32ForHalf` ones, or in `F32Tabled`
/// ones if `$cancels`, and by the kernel of f32, `$beyond`, elsewhere.
macro_rules! loops {
    ($S:ident, $H:ty, $route:expr, $reach:ident, $i:literal, $o:literal, $x:expr, $y:expr, $n:expr,
     $step:expr, $beyond:expr, $cancels:expr) => {
        if const { !$S::F32::FUSED } {
            unreachable!("the baseline has no kernels of half types")
        } else if const { is_single($route) } {
            // SAFETY: each array has `n` elements, and the processor has the instructions of `S`.
            unsafe { run::<F32Plain<Twice<$S::F32>>, $i, $o, WIDEST, $H>($x, $y, $n, $step, false) }
        } else if const { $cancels } {
            let step = NearOrFar::<_, _, Near32<_>, F32Plain<_>, Twice<$S::F32>, true>::new(
                const { $reach($route) },
                $step,
                $beyond,
            );
            // SAFETY: each array has `n` elements, and the processor has the instructions of `S`.
            unsafe { run::<F32Tabled<Twice<$S::F32>>, $i, $o, WIDEST, $H>($x, $y, $n, step, false) }
        } else if const { <$H>::DIGITS <= 8 } {
            let step =
                NearOrFar::<_, _, F32ForHalf<_, true>, F32Plain<_>, Twice<$S::F32>, false>::new(
                    const { $reach($route) },
                    $step,
                    $beyond,
                );
            // SAFETY: each array has `n` elements, and the processor has the instructions of `S`.
            unsafe {
                run::<F32ForHalf<Twice<$S::F32>, true>, $i, $o, WIDEST, $H>($x, $y, $n, step, false)
            }
        } else {
            let step =
                NearOrFar::<_, _, F32ForHalf<_, false>, F32Plain<_>, Twice<$S::F32>, false>::new(
                    const { $reach($route) },
                    $step,
                    $beyond,
                );
            // SAFETY: each array has `n` elements, and the processor has the instructions of `S`.
            unsafe {
                run::<F32ForHalf<Twice<$S::F32>, false>, $i, $o, WIDEST, $H>(
                    $x, $y, $n, step, false,
                )
            }
        }
    };
}

/// The parameters of a definition: the defaults where only they get here.
#[inline(always)]
fn params<A: Elementwise, R: Register>(p: P<'_>) -> A::Params<R> {
    if const { is_single(A::ARITHMETIC) } { spread::<A, R, true>(p) } else { defaults::<A, R>() }
}

#[inline(always)]
unsafe fn forward<S: Simd, B: Pair>(x: *const B::H, y: *mut B::H, n: usize, p: P<'_>) {
    loops!(
        S,
        B::H,
        B::A::ARITHMETIC,
        value_reach,
        1,
        1,
        [x],
        [y],
        n,
        Value::<B::A, _>(params::<B::A, _>(p)),
        MapByF32 { kernel: const { map_32::<B::A>().0[S::INDEX] }, call: p },
        false
    );
}

#[inline(always)]
unsafe fn backward<S: Simd, B: Pair>(
    x: *const B::H,
    g: *const B::H,
    dx: *mut B::H,
    n: usize,
    p: P<'_>,
) {
    loops!(
        S,
        B::H,
        B::A::ARITHMETIC,
        slope_reach,
        2,
        1,
        [x, g],
        [dx],
        n,
        Backward::<B::A, _>(params::<B::A, _>(p)),
        BackByF32 { kernel: const { back_32::<B::A>().0[S::INDEX] }, call: p },
        cancels::<B::A, B::H>()
    );
}

#[inline(always)]
unsafe fn from_output<S: Simd, B: Pair>(
    y: *const B::H,
    g: *const B::H,
    dx: *mut B::H,
    n: usize,
    p: P<'_>,
) {
    let step = FromOutput::<B::A, F32Plain<Twice<S::F32>>>(spread::<B::A, _, true>(p));
    if const { !S::F32::FUSED } {
        unreachable!("the baseline has no kernels of half types");
    }
    // SAFETY: each array has `n` elements, and the processor has the instructions of `S`.
    unsafe { run::<F32Plain<Twice<S::F32>>, 2, 1, WIDEST, B::H>([y, g], [dx], n, step, false) }
}

#[inline(always)]
unsafe fn gated<S: Simd, B: GatedPair>(
    a: *const B::H,
    b: *const B::H,
    y: *mut B::H,
    n: usize,
    _non_temporal: bool,
) {
    let step = GatedValue::<B::G>(PhantomData);
    let beyond = GatedMapByF32(const { gated_map_32::<B::G>().0[S::INDEX] });
    loops!(S, B::H, B::G::ARITHMETIC, value_reach, 2, 1, [a, b], [y], n, step, beyond, false);
}

#[inline(always)]
#[allow(clippy::too_many_arguments)]
unsafe fn gated_backward<S: Simd, B: GatedPair>(
    a: *const B::H,
    b: *const B::H,
    g: *const B::H,
    da: *mut B::H,
    db: *mut B::H,
    n: usize,
) {
    let step = GatedBackward::<B::G>(PhantomData);
    let beyond = GatedBackByF32(const { gated_back_32::<B::G>().0[S::INDEX] });
    loops!(
        S,
        B::H,
        B::G::ARITHMETIC,
        slope_reach,
        3,
        2,
        [a, b, g],
        [da, db],
        n,
        step,
        beyond,
        B::H::DIGITS > 8 && !B::G::SLOPE_ZEROS.is_empty()
    );
}

per_level!(fn map_half<B: Pair>(x: *const B::H, y: *mut B::H, n: usize, p: P<'_>) = forward);
per_level!(fn back_half<B: Pair>(x: *const B::H, g: *const B::H, dx: *mut B::H, n: usize, p: P<'_>) = backward);
per_level!(fn from_output_half<B: Pair>(y: *const B::H, g: *const B::H, dx: *mut B::H, n: usize, p: P<'_>) = from_output);
per_level!(fn gated_map_half<B: GatedPair>(a: *const B::H, b: *const B::H, y: *mut B::H, n: usize, non_temporal: bool) = gated);
per_level!(fn gated_back_half<B: GatedPair>(a: *const B::H, b: *const B::H, g: *const B::H, da: *mut B::H, db: *mut B::H, n: usize) = gated_backward);

/// A step that has a kernel of f32 compute its registers, by way of the stack.
macro_rules! by_f32 {
    ($name:ty, $i:literal, $o:literal, |$s:ident, $x:ident, $y:ident, $n:ident| $call:expr) => {
        impl<V: Lanes32> Step<F32Plain<V>, $i, $o> for $name {
            #[inline(always)]
            fn step(self, x: [F32Plain<V>; $i]) -> [F32Plain<V>; $o] {
                const { assert!(V::N <= WIDEST) };
                let $s = self;
                let mut from = Aligned([[0.0f32; WIDEST]; $i]);
                let mut to = Aligned([[0.0f32; WIDEST]; $o]);
                let mut k = 0;
                while k < $i {
                    // SAFETY: a row of the buffer has room for a register, `V::N <= WIDEST`.
                    unsafe { x[k].0.store(from.0[k].as_mut_ptr()) }
                    k += 1;
                }
                let ($x, $n) = (from.0.each_ref().map(|row| row.as_ptr()), V::N);
                let $y = to.0.each_mut().map(|row| row.as_mut_ptr());
                // SAFETY: every row of the buffers has `V::N` elements, and the kernel is compiled
                // for the instructions of the level that is running.
                unsafe { $call }
                let mut y = [F32Plain(V::splat(0.0)); $o];
                let mut k = 0;
                while k < $o {
                    // SAFETY: a row of the buffer holds a register, `V::N <= WIDEST`.
                    y[k] = F32Plain(unsafe { V::load(to.0[k].as_ptr()) });
                    k += 1;
                }
                y
            }
        }
    };
}

/// Values by the kernel of f32.
#[derive(Clone, Copy)]
struct MapByF32<'c> {
    kernel: Map<f32>,
    call: P<'c>,
}
/// Gradients by the kernel of f32.
#[derive(Clone, Copy)]
struct BackByF32<'c> {
    kernel: Back<f32>,
    call: P<'c>,
}
/// Values of a gated function by the kernel of f32.
#[derive(Clone, Copy)]
struct GatedMapByF32(GatedMap<f32>);
/// Both gradients of a gated function by the kernel of f32.
#[derive(Clone, Copy)]
struct GatedBackByF32(GatedBack<f32>);

by_f32!(MapByF32<'_>, 1, 1, |s, x, y, n| (s.kernel)(x[0], y[0], n, s.call));
by_f32!(BackByF32<'_>, 2, 1, |s, x, y, n| (s.kernel)(x[0], x[1], y[0], n, s.call));
by_f32!(GatedMapByF32, 2, 1, |s, x, y, n| (s.0)(x[0], x[1], y[0], n, false));
by_f32!(GatedBackByF32, 3, 2, |s, x, y, n| (s.0)(x[0], x[1], x[2], y[0], y[1], n));

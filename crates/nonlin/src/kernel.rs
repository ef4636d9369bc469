//! The loops: from a definition and a register type to slices.
//!
//! There are three shapes: one input (`forward`), input and gradient (`backward`), and two
//! operands (gated functions). Each runs whole registers and then once a full register with
//! a copy of the rest, so that an element's result never depends on its position. A derivative is a backward pass whose gradient is all ones.

#![allow(unsafe_code)]

use crate::activation::{Elementwise, Gated, MAX_PARAMS, Params, Route};
use crate::level::{PerLevel, per_level};
use crate::real::{Dual, Full, Narrow, Paired, Real, Single};
use crate::simd::{Lanes, Lanes32, Lanes64, Simd};
use core::marker::PhantomData;

type P<'a> = &'a [f64; MAX_PARAMS];

/// What a step of a loop reads: a register of f32 widened, of f32, or of f64.
trait Io: Copy {
    type Elem: Copy + Default;
    const N: usize;
    unsafe fn read(p: *const Self::Elem) -> Self;
    unsafe fn write(self, p: *mut Self::Elem);
    fn set(v: f64) -> Self;
}

impl<V: Lanes64> Io for Narrow<V> {
    type Elem = f32;
    const N: usize = V::N;
    #[inline(always)]
    unsafe fn read(p: *const f32) -> Self {
        // SAFETY: the caller's promise.
        Narrow(unsafe { V::load_f32(p) })
    }
    #[inline(always)]
    unsafe fn write(self, p: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { self.0.store_f32(p) }
    }
    #[inline(always)]
    fn set(v: f64) -> Self {
        Narrow(V::splat(v))
    }
}

impl<V: Lanes64> Io for Full<V> {
    type Elem = f64;
    const N: usize = V::N;
    #[inline(always)]
    unsafe fn read(p: *const f64) -> Self {
        // SAFETY: the caller's promise.
        Full(unsafe { V::load(p) })
    }
    #[inline(always)]
    unsafe fn write(self, p: *mut f64) {
        // SAFETY: the caller's promise.
        unsafe { self.0.store(p) }
    }
    #[inline(always)]
    fn set(v: f64) -> Self {
        Full(V::splat(v))
    }
}

macro_rules! io32 {
    ($t:ident) => {
        impl<V: Lanes32> Io for $t<V> {
            type Elem = f32;
            const N: usize = V::N;
            #[inline(always)]
            unsafe fn read(p: *const f32) -> Self {
                // SAFETY: the caller's promise.
                $t(unsafe { V::load(p) })
            }
            #[inline(always)]
            unsafe fn write(self, p: *mut f32) {
                // SAFETY: the caller's promise.
                unsafe { self.0.store(p) }
            }
            #[inline(always)]
            fn set(v: f64) -> Self {
                $t(V::splat(v as f32))
            }
        }
    };
}
io32!(Single);
io32!(Paired);

/// The widest register: the room a tail needs.
const WIDEST: usize = 16;

/// One step of a loop: `I` registers in, `O` out.
///
/// A trait and not a closure, because `#[inline(always)]` cannot be put on a closure, and a
/// step that is not inlined loses the instructions it was compiled for.
trait Step<R, const I: usize, const O: usize>: Copy {
    fn step(self, x: [R; I]) -> [R; O];
}

/// Runs whole registers, then once a full register with copies of the rest.
///
/// # Safety
/// The inputs must be valid for reading `n` elements, the outputs for writing them; an
/// output may be one of the inputs, but may not overlap one in another way.
#[inline(always)]
unsafe fn run<R: Io, const I: usize, const O: usize>(
    mut inputs: [*const R::Elem; I],
    mut outputs: [*mut R::Elem; O],
    n: usize,
    f: impl Step<R, I, O>,
) {
    let whole = n - n % R::N;
    let mut source = [[R::Elem::default(); WIDEST]; I];
    let mut target = [[R::Elem::default(); WIDEST]; O];
    let arrays = outputs;
    let mut end = whole;
    let mut rest = whole < n;
    // One place calls `step`, so that it is compiled once.
    loop {
        let mut i = 0;
        while i < end {
            let mut x = [R::set(0.0); I];
            let mut k = 0;
            while k < I {
                // SAFETY: `i + R::N <= end`, of the caller's arrays or of the buffers.
                x[k] = unsafe { R::read(inputs[k].add(i)) };
                k += 1;
            }
            let y = f.step(x);
            k = 0;
            while k < O {
                // SAFETY: as above.
                unsafe { y[k].write(outputs[k].add(i)) }
                k += 1;
            }
            i += R::N;
        }
        if !rest {
            break;
        }
        rest = false;
        for k in 0..I {
            // SAFETY: `n - whole < R::N <= WIDEST` elements are left.
            unsafe {
                core::ptr::copy_nonoverlapping(
                    inputs[k].add(whole),
                    source[k].as_mut_ptr(),
                    n - whole,
                )
            }
            inputs[k] = source[k].as_ptr();
        }
        for k in 0..O {
            outputs[k] = target[k].as_mut_ptr();
        }
        end = R::N;
    }
    if whole < n {
        for k in 0..O {
            // SAFETY: as above.
            unsafe {
                core::ptr::copy_nonoverlapping(target[k].as_ptr(), arrays[k].add(whole), n - whole)
            }
        }
    }
}

/// f(x).
struct Value<A, R>(Params<R>, PhantomData<A>);
/// grad f'(x).
struct Backward<A, R>(Params<R>, PhantomData<A>);
/// f(x) with the first parameter given per element.
struct EachValue<A, R>(Params<R>, PhantomData<A>);
/// grad f'(x), and grad times the derivative by the first parameter, given per element.
struct EachBackward<A, R>(Params<R>, PhantomData<A>);
/// f(gate, value).
struct GatedValue<G>(PhantomData<G>);
/// Both gradients of a gated function.
struct GatedBackward<G>(PhantomData<G>);

macro_rules! copy {
    ($($t:ident<$($g:ident),*>),*) => {$(
        impl<$($g: Copy),*> Clone for $t<$($g),*> {
            #[inline(always)]
            fn clone(&self) -> Self {
                *self
            }
        }
        impl<$($g: Copy),*> Copy for $t<$($g),*> {}
    )*};
}
copy!(Value<A, R>, Backward<A, R>, EachValue<A, R>, EachBackward<A, R>, GatedValue<G>, GatedBackward<G>);

impl<A: Elementwise, R: Real> Step<R, 1, 1> for Value<A, R> {
    #[inline(always)]
    fn step(self, [x]: [R; 1]) -> [R; 1] {
        [A::value(x, self.0)]
    }
}
impl<A: Elementwise, R: Real> Step<R, 2, 1> for Backward<A, R> {
    #[inline(always)]
    fn step(self, [x, g]: [R; 2]) -> [R; 1] {
        [g * A::slope(x, self.0)]
    }
}
impl<A: Elementwise, R: Real> Step<R, 2, 1> for EachValue<A, R> {
    #[inline(always)]
    fn step(self, [x, w]: [R; 2]) -> [R; 1] {
        [A::value(x, [w, self.0[1], self.0[2]])]
    }
}
impl<A: Elementwise, R: Real> Step<R, 3, 2> for EachBackward<A, R> {
    #[inline(always)]
    fn step(self, [x, w, g]: [R; 3]) -> [R; 2] {
        let p = [w, self.0[1], self.0[2]];
        let [_, p1, p2] = p.map(Dual::fixed);
        let by_w = A::value(Dual::fixed(x), [Dual::variable(w), p1, p2]).d;
        [g * A::slope(x, p), g * by_w]
    }
}
impl<G: Gated, R: Real> Step<R, 2, 1> for GatedValue<G> {
    #[inline(always)]
    fn step(self, [a, b]: [R; 2]) -> [R; 1] {
        [G::value(a, b)]
    }
}
impl<G: Gated, R: Real> Step<R, 3, 2> for GatedBackward<G> {
    #[inline(always)]
    fn step(self, [a, b, g]: [R; 3]) -> [R; 2] {
        let (pa, pb) = G::partials(a, b);
        [g * pa, g * pb]
    }
}

/// `fast` between `low` and `high` (and for NaN), `wide` elsewhere.
///
/// Each lane decides for itself, so a result never depends on its neighbours.
#[derive(Clone, Copy)]
struct Within<F, W> {
    fast: F,
    wide: W,
    low: f32,
    high: f32,
}

impl<V: Lanes32, F, W, const I: usize, const O: usize> Step<Paired<V>, I, O> for Within<F, W>
where
    F: Step<Paired<V>, I, O>,
    W: Step<Narrow<V::Wide>, I, O>,
{
    #[inline(always)]
    fn step(self, x: [Paired<V>; I]) -> [Paired<V>; O] {
        let mut y = self.fast.step(x);
        // A bound that is infinite costs nothing.
        let below = V::splat(self.low).gt(x[0].0);
        let above = x[0].0.gt(V::splat(self.high));
        let outside = match (self.low > f32::NEG_INFINITY, self.high < f32::INFINITY) {
            (false, false) => return y,
            (true, false) => below,
            (false, true) => above,
            (true, true) => V::either(below, above),
        };
        if V::any(outside) {
            core::hint::cold_path();
            let mut lo = [Narrow(<V::Wide as Lanes>::splat(0.0)); I];
            let mut hi = lo;
            let mut i = 0;
            while i < I {
                let (l, h) = x[i].0.widen();
                (lo[i], hi[i]) = (Narrow(l), Narrow(h));
                i += 1;
            }
            let (lo, hi) = (self.wide.step(lo), self.wide.step(hi));
            i = 0;
            while i < O {
                let wide = V::narrow(lo[i].0, hi[i].0);
                y[i] = Paired(V::select(outside, wide, y[i].0));
                i += 1;
            }
        }
        y
    }
}

/// The default parameters in every lane.
#[inline(always)]
fn defaults<A: Elementwise, R: Io>() -> Params<R> {
    let mut p = [R::set(0.0); MAX_PARAMS];
    let mut i = 0;
    while i < A::PARAMS.len() {
        p[i] = R::set(A::PARAMS[i].default);
        i += 1;
    }
    p
}

/// Whether `p` are the default parameters.
#[inline(always)]
fn is_default<A: Elementwise>(p: P<'_>) -> bool {
    let mut same = true;
    let mut i = 0;
    while i < A::PARAMS.len() {
        let default = &A::PARAMS[i];
        let exact = default.exact;
        same &= p[i] == if exact { default.default } else { default.default as f32 as f64 };
        i += 1;
    }
    same
}

/// Whether `p`, not rounded to f32, are the default parameters, all of them 1. As constants they
/// cost no multiplications.
#[inline(always)]
fn is_one<A: Elementwise>(p: P<'_>) -> bool {
    let mut same = !A::PARAMS.is_empty();
    let mut i = 0;
    while i < A::PARAMS.len() {
        same &= A::PARAMS[i].default == 1.0 && p[i] == 1.0;
        i += 1;
    }
    same
}

/// The parameters in every lane.
#[inline(always)]
fn spread<R: Io>(p: P<'_>) -> Params<R> {
    [R::set(p[0]), R::set(p[1]), R::set(p[2])]
}

#[inline(always)]
unsafe fn forward_f32<S: Simd, A: Elementwise>(x: *const f32, y: *mut f32, n: usize, p: P<'_>) {
    match A::ROUTE {
        Route::Paired { value: (low, high), .. } if S::F32::FUSED && is_default::<A>(p) => {
            let fast = Value::<A, Paired<S::F32>>(defaults::<A, _>(), PhantomData);
            let wide = Value::<A, Narrow<S::F64>>(defaults::<A, _>(), PhantomData);
            // SAFETY: the caller's promise.
            unsafe { run::<Paired<S::F32>, 1, 1>([x], [y], n, Within { fast, wide, low, high }) }
        }
        // SAFETY: the caller's promise.
        Route::Wide | Route::Paired { .. } => unsafe {
            run::<Narrow<S::F64>, 1, 1>([x], [y], n, Value::<A, _>(spread(p), PhantomData))
        },
        // SAFETY: the caller's promise.
        Route::Single => unsafe {
            run::<Single<S::F32>, 1, 1>([x], [y], n, Value::<A, _>(spread(p), PhantomData))
        },
    }
}

#[inline(always)]
unsafe fn forward_f64<S: Simd, A: Elementwise>(x: *const f64, y: *mut f64, n: usize, p: P<'_>) {
    if is_one::<A>(p) {
        let step = Value::<A, _>(defaults::<A, _>(), PhantomData);
        // SAFETY: the caller's promise.
        return unsafe { run::<Full<S::F64>, 1, 1>([x], [y], n, step) };
    }
    // SAFETY: the caller's promise.
    unsafe { run::<Full<S::F64>, 1, 1>([x], [y], n, Value::<A, _>(spread(p), PhantomData)) }
}

#[inline(always)]
unsafe fn backward_f32<S: Simd, A: Elementwise>(
    x: *const f32,
    g: *const f32,
    dx: *mut f32,
    n: usize,
    p: P<'_>,
) {
    match A::ROUTE {
        Route::Paired { slope: (low, high), .. } if S::F32::FUSED && is_default::<A>(p) => {
            let fast = Backward::<A, Paired<S::F32>>(defaults::<A, _>(), PhantomData);
            let wide = Backward::<A, Narrow<S::F64>>(defaults::<A, _>(), PhantomData);
            // SAFETY: the caller's promise.
            unsafe {
                run::<Paired<S::F32>, 2, 1>([x, g], [dx], n, Within { fast, wide, low, high })
            }
        }
        // SAFETY: the caller's promise.
        Route::Wide | Route::Paired { .. } => unsafe {
            run::<Narrow<S::F64>, 2, 1>([x, g], [dx], n, Backward::<A, _>(spread(p), PhantomData))
        },
        // SAFETY: the caller's promise.
        Route::Single => unsafe {
            run::<Single<S::F32>, 2, 1>([x, g], [dx], n, Backward::<A, _>(spread(p), PhantomData))
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
        let step = Backward::<A, _>(defaults::<A, _>(), PhantomData);
        // SAFETY: the caller's promise.
        return unsafe { run::<Full<S::F64>, 2, 1>([x, g], [dx], n, step) };
    }
    // SAFETY: the caller's promise.
    unsafe { run::<Full<S::F64>, 2, 1>([x, g], [dx], n, Backward::<A, _>(spread(p), PhantomData)) }
}

#[inline(always)]
unsafe fn each_f32<S: Simd, A: Elementwise>(
    x: *const f32,
    w: *const f32,
    y: *mut f32,
    n: usize,
    p: P<'_>,
) {
    // SAFETY: the caller's promise.
    unsafe {
        run::<Narrow<S::F64>, 2, 1>([x, w], [y], n, EachValue::<A, _>(spread(p), PhantomData))
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
    // SAFETY: the caller's promise.
    unsafe { run::<Full<S::F64>, 2, 1>([x, w], [y], n, EachValue::<A, _>(spread(p), PhantomData)) }
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
    // SAFETY: the caller's promise.
    unsafe {
        run::<Narrow<S::F64>, 3, 2>(
            [x, w, g],
            [dx, dw],
            n,
            EachBackward::<A, _>(spread(p), PhantomData),
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
    // SAFETY: the caller's promise.
    unsafe {
        run::<Full<S::F64>, 3, 2>(
            [x, w, g],
            [dx, dw],
            n,
            EachBackward::<A, _>(spread(p), PhantomData),
        )
    }
}

#[inline(always)]
unsafe fn gated_f32<S: Simd, G: Gated>(a: *const f32, b: *const f32, y: *mut f32, n: usize) {
    let step = GatedValue::<G>(PhantomData);
    match G::ROUTE {
        Route::Paired { value: (low, high), .. } if S::F32::FUSED => {
            let within = Within { fast: step, wide: step, low, high };
            // SAFETY: the caller's promise.
            unsafe { run::<Paired<S::F32>, 2, 1>([a, b], [y], n, within) }
        }
        // SAFETY: the caller's promise.
        Route::Single => unsafe { run::<Single<S::F32>, 2, 1>([a, b], [y], n, step) },
        // SAFETY: the caller's promise.
        _ => unsafe { run::<Narrow<S::F64>, 2, 1>([a, b], [y], n, step) },
    }
}

#[inline(always)]
unsafe fn gated_f64<S: Simd, G: Gated>(a: *const f64, b: *const f64, y: *mut f64, n: usize) {
    // SAFETY: the caller's promise.
    unsafe { run::<Full<S::F64>, 2, 1>([a, b], [y], n, GatedValue::<G>(PhantomData)) }
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
    match G::ROUTE {
        Route::Paired { slope: (low, high), .. } if S::F32::FUSED => {
            let within = Within { fast: step, wide: step, low, high };
            // SAFETY: the caller's promise.
            unsafe { run::<Paired<S::F32>, 3, 2>([a, b, g], [da, db], n, within) }
        }
        // SAFETY: the caller's promise.
        Route::Single => unsafe { run::<Single<S::F32>, 3, 2>([a, b, g], [da, db], n, step) },
        // SAFETY: the caller's promise.
        _ => unsafe { run::<Narrow<S::F64>, 3, 2>([a, b, g], [da, db], n, step) },
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
    // SAFETY: the caller's promise.
    unsafe { run::<Full<S::F64>, 3, 2>([a, b, g], [da, db], n, GatedBackward::<G>(PhantomData)) }
}

per_level!(fn map_32<A: Elementwise>(x: *const f32, y: *mut f32, n: usize, p: P<'_>) = forward_f32);
per_level!(fn map_64<A: Elementwise>(x: *const f64, y: *mut f64, n: usize, p: P<'_>) = forward_f64);
per_level!(fn back_32<A: Elementwise>(x: *const f32, g: *const f32, dx: *mut f32, n: usize, p: P<'_>) = backward_f32);
per_level!(fn back_64<A: Elementwise>(x: *const f64, g: *const f64, dx: *mut f64, n: usize, p: P<'_>) = backward_f64);
per_level!(fn each_map_32<A: Elementwise>(x: *const f32, w: *const f32, y: *mut f32, n: usize, p: P<'_>) = each_f32);
per_level!(fn each_map_64<A: Elementwise>(x: *const f64, w: *const f64, y: *mut f64, n: usize, p: P<'_>) = each_f64);
per_level!(fn each_back_32<A: Elementwise>(x: *const f32, w: *const f32, g: *const f32, dx: *mut f32, dw: *mut f32, n: usize, p: P<'_>) = each_backward_f32);
per_level!(fn each_back_64<A: Elementwise>(x: *const f64, w: *const f64, g: *const f64, dx: *mut f64, dw: *mut f64, n: usize, p: P<'_>) = each_backward_f64);
per_level!(fn gated_map_32<G: Gated>(a: *const f32, b: *const f32, y: *mut f32, n: usize) = gated_f32);
per_level!(fn gated_map_64<G: Gated>(a: *const f64, b: *const f64, y: *mut f64, n: usize) = gated_f64);
per_level!(fn gated_back_32<G: Gated>(a: *const f32, b: *const f32, g: *const f32, da: *mut f32, db: *mut f32, n: usize) = gated_backward_f32);
per_level!(fn gated_back_64<G: Gated>(a: *const f64, b: *const f64, g: *const f64, da: *mut f64, db: *mut f64, n: usize) = gated_backward_f64);

/// One input, one output.
pub(crate) type Map<T> = unsafe fn(*const T, *mut T, usize, P<'_>);
/// Input and gradient, one output.
pub(crate) type Back<T> = unsafe fn(*const T, *const T, *mut T, usize, P<'_>);
/// Input, parameter and gradient, two outputs.
pub(crate) type EachBack<T> = unsafe fn(*const T, *const T, *const T, *mut T, *mut T, usize, P<'_>);
/// Two operands, one output.
pub(crate) type GatedMap<T> = unsafe fn(*const T, *const T, *mut T, usize);
/// Two operands and gradient, two outputs.
pub(crate) type GatedBack<T> = unsafe fn(*const T, *const T, *const T, *mut T, *mut T, usize);

/// The kernels of an elementwise function for one type.
#[derive(Clone, Copy)]
pub(crate) struct Kernels<T: 'static> {
    pub(crate) map: PerLevel<Map<T>>,
    pub(crate) back: PerLevel<Back<T>>,
}

/// The kernels of a function whose first parameter may be given per element, for one type.
#[derive(Clone, Copy)]
pub(crate) struct EachKernels<T: 'static> {
    pub(crate) map: PerLevel<Back<T>>,
    pub(crate) back: PerLevel<EachBack<T>>,
}

/// The kernels of a gated function for one type.
#[derive(Clone, Copy)]
pub(crate) struct GatedKernels<T: 'static> {
    pub(crate) map: PerLevel<GatedMap<T>>,
    pub(crate) back: PerLevel<GatedBack<T>>,
}

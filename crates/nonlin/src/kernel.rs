//! The loops: from a definition and a register type to slices.
//!
//! There are three shapes: one input (`forward`), input and gradient (`backward`), and two
//! operands (gated functions). Each runs whole registers and then once a full register with
//! a copy of the rest, so that an element's result never depends on its position. A derivative is a backward pass whose gradient is all ones.

#![allow(unsafe_code)]

use crate::activation::{Elementwise, Gated, MAX_PARAMS, Params, Reach, Route};
#[cfg(feature = "half")]
use crate::halves::Half;
use crate::level::{PerLevel, per_level};
use crate::math::paired::{FACTOR_END, LIFTED, NEAR};
#[cfg(feature = "half")]
use crate::real::Whole;
use crate::real::{Dual, Full, Late, Narrow, Paired, Real, Single};
#[cfg(feature = "half")]
use crate::simd::twice::Twice;
use crate::simd::{Lanes, Lanes32, Lanes64, Simd};
use core::marker::PhantomData;

type P<'a> = &'a Call;

/// What a call hands to its kernels beside arrays.
#[derive(Clone, Copy)]
pub struct Call {
    /// The parameters, rounded to the type of the arrays.
    pub(crate) params: [f64; MAX_PARAMS],
    /// Whether outputs go past the caches.
    pub(crate) past: bool,
}

impl Call {
    /// With ordinary stores.
    pub(crate) const fn new(params: [f64; MAX_PARAMS]) -> Self {
        Call { params, past: false }
    }
}

/// What a step of a loop reads from arrays of `T`: a register of f32 widened, of f32, or of f64.
trait Io<T>: Register {
    unsafe fn read(p: *const T) -> Self;
    unsafe fn write(self, p: *mut T);
    /// Writes past the caches, if the level can; `p` is aligned to 64 bytes.
    #[inline(always)]
    unsafe fn write_past(self, p: *mut T) {
        // SAFETY: the caller's promise.
        unsafe { self.write(p) }
    }
    /// Copies the first `0 < n < N` elements of a register into a buffer.
    #[inline(always)]
    unsafe fn copy_in(from: *const T, to: *mut T, n: usize) {
        // SAFETY: the caller's promise.
        unsafe { core::ptr::copy_nonoverlapping(from, to, n) }
    }
    /// Copies them out of one.
    #[inline(always)]
    unsafe fn copy_out(from: *const T, to: *mut T, n: usize) {
        // SAFETY: the caller's promise.
        unsafe { core::ptr::copy_nonoverlapping(from, to, n) }
    }
}

/// A register with one number in every lane.
trait Register: Copy {
    const N: usize;
    fn set(v: f64) -> Self;
}

impl<V: Lanes64> Register for Narrow<V> {
    const N: usize = V::N;
    #[inline(always)]
    fn set(v: f64) -> Self {
        Narrow(V::splat(v))
    }
}

impl<V: Lanes64> Io<f32> for Narrow<V> {
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
}

impl<V: Lanes64> Register for Full<V> {
    const N: usize = V::N;
    #[inline(always)]
    fn set(v: f64) -> Self {
        Full(V::splat(v))
    }
}

impl<V: Lanes64> Io<f64> for Full<V> {
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
    unsafe fn write_past(self, p: *mut f64) {
        // SAFETY: the caller's promise.
        unsafe { self.0.store_past(p) }
    }
}

impl<V: Lanes64> Register for Late<Full<V>> {
    const N: usize = V::N;
    #[inline(always)]
    fn set(v: f64) -> Self {
        Late::new(Full::set(v))
    }
}

impl<V: Lanes64> Io<f64> for Late<Full<V>> {
    #[inline(always)]
    unsafe fn read(p: *const f64) -> Self {
        // SAFETY: the caller's promise.
        Late::new(unsafe { Full::read(p) })
    }
    #[inline(always)]
    unsafe fn write(self, p: *mut f64) {
        // SAFETY: the caller's promise.
        unsafe { self.settled().write(p) }
    }
    #[inline(always)]
    unsafe fn write_past(self, p: *mut f64) {
        // SAFETY: the caller's promise.
        unsafe { self.settled().write_past(p) }
    }
}

/// Registers of f32 behind a number type.
trait Over<V>: Register {
    fn over(v: V) -> Self;
    fn lanes(self) -> V;
}

macro_rules! over32 {
    ($t:ident $(, $flag:tt)?) => {
        impl<V: Lanes32> Over<V> for $t<V $(, $flag)?> {
            #[inline(always)]
            fn over(v: V) -> Self {
                $t(v)
            }
            #[inline(always)]
            fn lanes(self) -> V {
                self.0
            }
        }

        impl<V: Lanes32> Register for $t<V $(, $flag)?> {
            const N: usize = V::N;
            #[inline(always)]
            fn set(v: f64) -> Self {
                $t(V::splat(v as f32))
            }
        }
    };
}
over32!(Single);
over32!(Paired);
over32!(Paired, LIFTED);
over32!(Paired, NEAR);
#[cfg(feature = "half")]
over32!(Whole, false);
#[cfg(feature = "half")]
over32!(Whole, true);

impl<V: Lanes32, const AT: u8> Over<V> for Late<Paired<V, AT>>
where
    Paired<V, AT>: Register,
{
    #[inline(always)]
    fn over(v: V) -> Self {
        Late::new(Paired(v))
    }
    #[inline(always)]
    fn lanes(self) -> V {
        self.settled().0
    }
}

impl<V: Lanes32, const AT: u8> Register for Late<Paired<V, AT>>
where
    Paired<V, AT>: Register,
{
    const N: usize = V::N;
    #[inline(always)]
    fn set(v: f64) -> Self {
        Late::new(Paired::set(v))
    }
}

macro_rules! io32 {
    ($t:ident $(, $flag:literal)?) => {
        impl<V: Lanes32> Io<f32> for $t<V $(, $flag)?> {
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
            unsafe fn write_past(self, p: *mut f32) {
                // SAFETY: the caller's promise.
                unsafe { self.0.store_past(p) }
            }
        }

        #[cfg(feature = "half")]
        impl<V: Lanes32, H: Half> Io<H> for $t<Twice<V> $(, $flag)?> {
            #[inline(always)]
            unsafe fn read(p: *const H) -> Self {
                // SAFETY: the caller's promise.
                let [a, b] = unsafe { H::load(p) };
                $t(Twice(a, b))
            }
            #[inline(always)]
            unsafe fn write(self, p: *mut H) {
                let Twice(a, b) = self.0;
                // SAFETY: the caller's promise.
                unsafe { H::store([a, b], p) }
            }
            #[inline(always)]
            unsafe fn copy_in(from: *const H, to: *mut H, n: usize) {
                const { assert!(size_of::<H>() == 2) };
                // SAFETY: the caller's promise; the buffer has room for a register.
                unsafe { V::copy_in(from.cast(), to.cast(), n) }
            }
            #[inline(always)]
            unsafe fn copy_out(from: *const H, to: *mut H, n: usize) {
                const { assert!(size_of::<H>() == 2) };
                // SAFETY: the caller's promise; the buffer has room for a register.
                unsafe { V::copy_out(from.cast(), to.cast(), n) }
            }
        }
    };
}
io32!(Single);
io32!(Paired);
#[cfg(feature = "half")]
io32!(Whole, false);
#[cfg(feature = "half")]
io32!(Whole, true);

/// The widest register: the room a tail needs.
const WIDEST: usize = 32;

/// A register in memory within one line of the cache.
#[repr(align(64))]
struct Aligned<T>(T);

/// One step of a loop: `I` registers in, `O` out.
///
/// A trait and not a closure, because `#[inline(always)]` cannot be put on a closure, and a
/// step that is not inlined loses the instructions it was compiled for.
trait Step<R, const I: usize, const O: usize>: Copy {
    fn step(self, x: [R; I]) -> [R; O];
}

/// The registers at `i` of the inputs.
///
/// # Safety
/// A register must lie there in each of them.
#[inline(always)]
unsafe fn read<R: Io<T>, const I: usize, T>(inputs: &[*const T; I], i: usize) -> [R; I] {
    let mut x = [R::set(0.0); I];
    let mut k = 0;
    while k < I {
        // SAFETY: the caller's promise.
        x[k] = unsafe { R::read(inputs[k].add(i)) };
        k += 1;
    }
    x
}

/// Runs whole registers, then once a full register with copies of the rest.
///
/// # Safety
/// The inputs must be valid for reading `n` elements, the outputs for writing them; an
/// output may be one of the inputs, but may not overlap one in another way.
#[inline(always)]
unsafe fn run<R: Io<T>, const I: usize, const O: usize, const ROOM: usize, T: Copy + Default>(
    mut inputs: [*const T; I],
    mut outputs: [*mut T; O],
    n: usize,
    f: impl Step<R, I, O>,
    past: bool,
) {
    const { assert!(R::N <= ROOM) };
    let mut past = past && outputs.iter().all(|p| p.addr().is_multiple_of(64));
    let whole = n - n % R::N;
    let mut source = Aligned([[T::default(); ROOM]; I]);
    let mut target = Aligned([[T::default(); ROOM]; O]);
    let arrays = outputs;
    let mut end = whole;
    let mut rest = whole < n;
    // One place calls `step`, so that it is compiled once.
    loop {
        let mut i = 0;
        while i < end {
            // SAFETY: `i + R::N <= end`, of the caller's arrays or of the buffers.
            let y = f.step(unsafe { read::<R, I, T>(&inputs, i) });
            let mut k = 0;
            while k < O {
                // SAFETY: as above; a register is a multiple of 64 bytes, or not stored past the caches.
                unsafe {
                    let to = outputs[k].add(i);
                    if past { y[k].write_past(to) } else { y[k].write(to) }
                }
                k += 1;
            }
            i += R::N;
        }
        if past {
            crate::stream::fence();
            past = false;
        }
        if !rest {
            break;
        }
        rest = false;
        for (input, buffer) in inputs.iter_mut().zip(&mut source.0) {
            // SAFETY: `0 < n - whole < R::N <= ROOM` elements are left.
            unsafe { R::copy_in(input.add(whole), buffer.as_mut_ptr(), n - whole) }
            *input = buffer.as_ptr();
        }
        outputs = target.0.each_mut().map(|buffer| buffer.as_mut_ptr());
        end = R::N;
    }
    if whole < n {
        for (buffer, output) in target.0.iter().zip(arrays) {
            // SAFETY: as above.
            unsafe { R::copy_out(buffer.as_ptr(), output.add(whole), n - whole) }
        }
    }
}

/// f(x).
struct Value<A, R>(Params<R>, PhantomData<A>);
/// grad f'(x).
struct Backward<A, R>(Params<R>, PhantomData<A>);
/// grad f'(x) from y = f(x).
struct FromOutput<A, R>(Params<R>, PhantomData<A>);
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
copy!(Value<A, R>, Backward<A, R>, FromOutput<A, R>, EachValue<A, R>, EachBackward<A, R>, GatedValue<G>, GatedBackward<G>);

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
impl<A: Elementwise, R: Real> Step<R, 2, 1> for FromOutput<A, R> {
    #[inline(always)]
    fn step(self, [y, g]: [R; 2]) -> [R; 1] {
        [g * A::slope_from_output(y, self.0)]
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
        let (da, db) = G::backward(a, b, g);
        [da, db]
    }
}

/// `near`, over numbers `A`, if all lanes are within its reach; else `far`, over numbers `B`.
///
/// A result never depends on its neighbours: where both could be asked they have the same bits,
/// or each lane decides for itself.
struct Within<N, F, A, B, V, const SAME: bool> {
    near: N,
    far: F,
    reach: Reach,
    numbers: PhantomData<(A, B, V)>,
}

impl<N: Copy, F: Copy, A, B, V, const SAME: bool> Clone for Within<N, F, A, B, V, SAME> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}
impl<N: Copy, F: Copy, A, B, V, const SAME: bool> Copy for Within<N, F, A, B, V, SAME> {}

impl<N, F, A, B, V, const SAME: bool> Within<N, F, A, B, V, SAME> {
    #[inline(always)]
    fn new(reach: Reach, near: N, far: F) -> Self {
        Within { near, far, reach, numbers: PhantomData }
    }
}

/// Where `x` is not within reach (or NaN); a bound that is infinite costs nothing.
#[inline(always)]
fn outside<V: Lanes32>(x: V, Reach { low, high }: Reach) -> Option<V::Mask> {
    if low == -high && low > f32::NEG_INFINITY {
        return Some(x.abs().gt(V::splat(high)));
    }
    let below = V::splat(low).gt(x);
    let above = x.gt(V::splat(high));
    match (low > f32::NEG_INFINITY, high < f32::INFINITY) {
        (false, false) => None,
        (true, false) => Some(below),
        (false, true) => Some(above),
        (true, true) => Some(V::either(below, above)),
    }
}

/// A step over one number type on registers of another.
#[inline(always)]
fn step_over<R, T, V, S, const I: usize, const O: usize>(step: S, x: [R; I]) -> [R; O]
where
    R: Over<V>,
    T: Over<V>,
    S: Step<T, I, O>,
{
    let mut from = [T::set(0.0); I];
    let mut i = 0;
    while i < I {
        from[i] = T::over(x[i].lanes());
        i += 1;
    }
    let y = step.step(from);
    let mut to = [R::set(0.0); O];
    let mut i = 0;
    while i < O {
        to[i] = R::over(y[i].lanes());
        i += 1;
    }
    to
}

impl<R, A, B, V, N, F, const I: usize, const O: usize, const SAME: bool> Step<R, I, O>
    for Within<N, F, A, B, V, SAME>
where
    V: Lanes32,
    R: Over<V>,
    A: Over<V>,
    B: Over<V>,
    N: Step<A, I, O>,
    F: Step<B, I, O>,
{
    #[inline(always)]
    fn step(self, x: [R; I]) -> [R; O] {
        if let Some(outside) = outside(x[0].lanes(), self.reach)
            && V::any(outside)
        {
            core::hint::cold_path();
            let mut y = step_over::<R, B, V, F, I, O>(self.far, x);
            if !SAME {
                let near = step_over::<R, A, V, N, I, O>(self.near, x);
                let mut i = 0;
                while i < O {
                    y[i] = R::over(V::select(outside, y[i].lanes(), near[i].lanes()));
                    i += 1;
                }
            }
            return y;
        }
        step_over::<R, A, V, N, I, O>(self.near, x)
    }
}

/// `ordinary`, over numbers `A`, if no input but the first is beyond [`FACTOR_END`] in a lane; else
/// `any`, over numbers `B`. A result has the same bits both ways.
struct ByFactors<N, F, A, B, V> {
    ordinary: N,
    any: F,
    numbers: PhantomData<(A, B, V)>,
}

impl<N: Copy, F: Copy, A, B, V> Clone for ByFactors<N, F, A, B, V> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}
impl<N: Copy, F: Copy, A, B, V> Copy for ByFactors<N, F, A, B, V> {}

impl<N, F, A, B, V> ByFactors<N, F, A, B, V> {
    #[inline(always)]
    fn new(ordinary: N, any: F) -> Self {
        ByFactors { ordinary, any, numbers: PhantomData }
    }
}

impl<R, A, B, V, N, F, const I: usize, const O: usize> Step<R, I, O> for ByFactors<N, F, A, B, V>
where
    V: Lanes32,
    R: Over<V>,
    A: Over<V>,
    B: Over<V>,
    N: Step<A, I, O>,
    F: Step<B, I, O>,
{
    #[inline(always)]
    fn step(self, x: [R; I]) -> [R; O] {
        let end = V::splat(FACTOR_END);
        let mut large = x[1].lanes().abs().gt(end);
        if I > 2 {
            large = V::either(large, x[2].lanes().abs().gt(end));
        }
        if V::any(large) {
            core::hint::cold_path();
            return step_over::<R, B, V, F, I, O>(self.any, x);
        }
        step_over::<R, A, V, N, I, O>(self.ordinary, x)
    }
}

/// The numbers of [`Route::Paired`]: within reach, beyond, beyond with factors of any size, and the
/// same with exponents that wait for the gradient.
type Near32<V> = Paired<V, NEAR>;
type Lifted32<V> = Paired<V, LIFTED>;
type Far32<V> = Paired<V>;
type LiftedSlope32<V> = Late<Paired<V, LIFTED>>;
type FarSlope32<V> = Late<Paired<V>>;

/// The default parameters in every lane.
#[inline(always)]
fn defaults<A: Elementwise, R: Register>() -> Params<R> {
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
pub(crate) fn is_default<A: Elementwise>(p: P<'_>) -> bool {
    let mut same = true;
    let mut i = 0;
    while i < A::PARAMS.len() {
        let default = &A::PARAMS[i];
        let exact = default.exact;
        same &= p.params[i] == if exact { default.default } else { default.default as f32 as f64 };
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
        same &= A::PARAMS[i].default == 1.0 && p.params[i] == 1.0;
        i += 1;
    }
    same
}

/// The parameters in every lane.
#[inline(always)]
fn spread<R: Register>(p: P<'_>) -> Params<R> {
    // Not `map`, which is a call of its own for wide registers, and copies them.
    let mut spread = [R::set(0.0); MAX_PARAMS];
    let mut i = 0;
    while i < MAX_PARAMS {
        spread[i] = R::set(p.params[i]);
        i += 1;
    }
    spread
}

#[inline(always)]
unsafe fn forward_f32<S: Simd, A: Elementwise>(x: *const f32, y: *mut f32, n: usize, p: P<'_>) {
    match A::ROUTE {
        Route::Paired { value: reach, .. } if S::Tabled32::FUSED && is_default::<A>(p) => {
            let near = Value::<A, Near32<S::Tabled32>>(defaults::<A, _>(), PhantomData);
            let far = Value::<A, Lifted32<S::Tabled32>>(defaults::<A, _>(), PhantomData);
            let step =
                Within::<_, _, Near32<_>, Lifted32<_>, S::Tabled32, true>::new(reach, near, far);
            // SAFETY: the caller's promise.
            unsafe { run::<Paired<S::Tabled32>, 1, 1, WIDEST, _>([x], [y], n, step, p.past) }
        }
        // SAFETY: the caller's promise.
        Route::Wide | Route::Paired { .. } => unsafe {
            run::<Narrow<S::F64>, 1, 1, WIDEST, _>(
                [x],
                [y],
                n,
                Value::<A, _>(spread(p), PhantomData),
                p.past,
            )
        },
        // SAFETY: the caller's promise.
        Route::Single => unsafe {
            run::<Single<S::F32>, 1, 1, WIDEST, _>(
                [x],
                [y],
                n,
                Value::<A, _>(spread(p), PhantomData),
                p.past,
            )
        },
    }
}

#[inline(always)]
unsafe fn forward_f64<S: Simd, A: Elementwise>(x: *const f64, y: *mut f64, n: usize, p: P<'_>) {
    if is_one::<A>(p) {
        let step = Value::<A, _>(defaults::<A, _>(), PhantomData);
        // SAFETY: the caller's promise.
        return unsafe { run::<Full<S::Block64>, 1, 1, WIDEST, _>([x], [y], n, step, p.past) };
    }
    // SAFETY: the caller's promise.
    unsafe {
        run::<Full<S::Block64>, 1, 1, WIDEST, _>(
            [x],
            [y],
            n,
            Value::<A, _>(spread(p), PhantomData),
            p.past,
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
    match A::ROUTE {
        Route::Paired { slope: reach, .. } if S::Tabled32::FUSED && is_default::<A>(p) => {
            let near = Backward::<A, Near32<S::Tabled32>>(defaults::<A, _>(), PhantomData);
            let lifted = Backward::<A, LiftedSlope32<S::Tabled32>>(defaults::<A, _>(), PhantomData);
            let far = Backward::<A, FarSlope32<S::Tabled32>>(defaults::<A, _>(), PhantomData);
            let far =
                ByFactors::<_, _, LiftedSlope32<_>, FarSlope32<_>, S::Tabled32>::new(lifted, far);
            let step =
                Within::<_, _, Near32<_>, Far32<_>, S::Tabled32, true>::new(reach, near, far);
            // SAFETY: the caller's promise.
            unsafe { run::<Paired<S::Tabled32>, 2, 1, WIDEST, _>([x, g], [dx], n, step, p.past) }
        }
        // SAFETY: the caller's promise.
        Route::Wide | Route::Paired { .. } => unsafe {
            run::<Narrow<S::F64>, 2, 1, WIDEST, _>(
                [x, g],
                [dx],
                n,
                Backward::<A, _>(spread(p), PhantomData),
                p.past,
            )
        },
        // SAFETY: the caller's promise.
        Route::Single => unsafe {
            run::<Single<S::F32>, 2, 1, WIDEST, _>(
                [x, g],
                [dx],
                n,
                Backward::<A, _>(spread(p), PhantomData),
                p.past,
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
        let step = Backward::<A, _>(defaults::<A, _>(), PhantomData);
        // SAFETY: the caller's promise.
        return unsafe {
            run::<Late<Full<S::Block64>>, 2, 1, WIDEST, _>([x, g], [dx], n, step, p.past)
        };
    }
    // SAFETY: the caller's promise.
    unsafe {
        run::<Late<Full<S::Block64>>, 2, 1, WIDEST, _>(
            [x, g],
            [dx],
            n,
            Backward::<A, _>(spread(p), PhantomData),
            p.past,
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
    let step = FromOutput::<A, Single<S::F32>>(spread(p), PhantomData);
    // SAFETY: the caller's promise.
    unsafe { run::<Single<S::F32>, 2, 1, WIDEST, _>([y, g], [dx], n, step, false) }
}

#[inline(always)]
unsafe fn from_output_f64<S: Simd, A: Elementwise>(
    y: *const f64,
    g: *const f64,
    dx: *mut f64,
    n: usize,
    p: P<'_>,
) {
    let step = FromOutput::<A, Full<S::Block64>>(spread(p), PhantomData);
    // SAFETY: the caller's promise.
    unsafe { run::<Full<S::Block64>, 2, 1, WIDEST, _>([y, g], [dx], n, step, false) }
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
        run::<Narrow<S::F64>, 2, 1, WIDEST, _>(
            [x, w],
            [y],
            n,
            EachValue::<A, _>(spread(p), PhantomData),
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
    // SAFETY: the caller's promise.
    unsafe {
        run::<Full<S::Block64>, 2, 1, WIDEST, _>(
            [x, w],
            [y],
            n,
            EachValue::<A, _>(spread(p), PhantomData),
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
    // SAFETY: the caller's promise.
    unsafe {
        run::<Narrow<S::F64>, 3, 2, WIDEST, _>(
            [x, w, g],
            [dx, dw],
            n,
            EachBackward::<A, _>(spread(p), PhantomData),
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
    // SAFETY: the caller's promise.
    unsafe {
        run::<Full<S::Block64>, 3, 2, WIDEST, _>(
            [x, w, g],
            [dx, dw],
            n,
            EachBackward::<A, _>(spread(p), PhantomData),
            false,
        )
    }
}

#[inline(always)]
unsafe fn gated_f32<S: Simd, G: Gated>(
    a: *const f32,
    b: *const f32,
    y: *mut f32,
    n: usize,
    past: bool,
) {
    let step = GatedValue::<G>(PhantomData);
    match G::ROUTE {
        Route::Paired { value: reach, .. } if S::Tabled32::FUSED => {
            let far = ByFactors::<_, _, Lifted32<_>, Far32<_>, S::Tabled32>::new(step, step);
            let within =
                Within::<_, _, Near32<_>, Far32<_>, S::Tabled32, true>::new(reach, step, far);
            // SAFETY: the caller's promise.
            unsafe { run::<Paired<S::Tabled32>, 2, 1, WIDEST, _>([a, b], [y], n, within, past) }
        }
        // SAFETY: the caller's promise.
        Route::Single => unsafe {
            run::<Single<S::F32>, 2, 1, WIDEST, _>([a, b], [y], n, step, past)
        },
        // SAFETY: the caller's promise.
        _ => unsafe { run::<Narrow<S::F64>, 2, 1, WIDEST, _>([a, b], [y], n, step, past) },
    }
}

#[inline(always)]
unsafe fn gated_f64<S: Simd, G: Gated>(
    a: *const f64,
    b: *const f64,
    y: *mut f64,
    n: usize,
    past: bool,
) {
    // SAFETY: the caller's promise.
    unsafe {
        run::<Full<S::Block64>, 2, 1, WIDEST, _>([a, b], [y], n, GatedValue::<G>(PhantomData), past)
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
    match G::ROUTE {
        Route::Paired { slope: reach, .. } if S::Tabled32::FUSED => {
            let far = ByFactors::<_, _, Lifted32<_>, Far32<_>, S::Tabled32>::new(step, step);
            let within =
                Within::<_, _, Near32<_>, Far32<_>, S::Tabled32, true>::new(reach, step, far);
            // SAFETY: the caller's promise.
            unsafe {
                run::<Paired<S::Tabled32>, 3, 2, WIDEST, _>([a, b, g], [da, db], n, within, false)
            }
        }
        // SAFETY: the caller's promise.
        Route::Single => unsafe {
            run::<Single<S::F32>, 3, 2, WIDEST, _>([a, b, g], [da, db], n, step, false)
        },
        // SAFETY: the caller's promise.
        _ => unsafe { run::<Narrow<S::F64>, 3, 2, WIDEST, _>([a, b, g], [da, db], n, step, false) },
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
    unsafe {
        run::<Full<S::Block64>, 3, 2, WIDEST, _>(
            [a, b, g],
            [da, db],
            n,
            GatedBackward::<G>(PhantomData),
            false,
        )
    }
}

/// Kernels of the half types, at levels with fused multiply-add.
///
/// Their registers are those of f32, read from and written to arrays of a half type. Only what is
/// fast in f32 registers is here: functions of [`Route::Single`], and those of [`Route::Paired`]
/// at default parameters. Elsewhere the kernel for f32 does it.
#[cfg(feature = "half")]
mod half_kernels {
    use super::*;

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

    const fn is_single(route: Route) -> bool {
        matches!(route, Route::Single)
    }

    const fn value_reach(route: Route) -> Reach {
        match route {
            Route::Paired { value, .. } => value,
            _ => Reach::EVERYWHERE,
        }
    }

    const fn slope_reach(route: Route) -> Reach {
        match route {
            Route::Paired { slope, .. } => slope,
            _ => Reach::EVERYWHERE,
        }
    }

    /// Whether the slope of a definition needs low parts: it passes through zero as a difference, and
    /// for the f16 numbers next to that a rounding in f32 is 0.04 units. No bf16 number is so near.
    const fn cancels<A: Elementwise, H: Half>() -> bool {
        H::DIGITS > 8 && !A::CLAIMS.slope_zeros.is_empty() && A::CLAIMS.kinks.is_empty()
    }

    /// One body of a kernel: in `Single` registers, or within reach in `Whole` ones, or in `Paired`
    /// ones if `$cancels`, and by the step `$beyond` over numbers `$far` beyond.
    macro_rules! loops {
        ($S:ident, $H:ty, $route:expr, $reach:ident, $i:literal, $o:literal, $x:expr, $y:expr, $n:expr,
         $step:expr, $far:ident, $beyond:expr, $cancels:expr) => {
            if const { !$S::F32::FUSED } {
                unreachable!("the baseline has no kernels of half types")
            } else if const { is_single($route) } {
                // SAFETY: the caller's promise.
                unsafe {
                    run::<Single<Twice<$S::F32>>, $i, $o, WIDEST, $H>($x, $y, $n, $step, false)
                }
            } else if const { $cancels } {
                let step = Within::<_, _, Near32<_>, $far<_>, Twice<$S::F32>, true>::new(
                    const { $reach($route) },
                    $step,
                    $beyond,
                );
                // SAFETY: the caller's promise.
                unsafe {
                    run::<Paired<Twice<$S::F32>>, $i, $o, WIDEST, $H>($x, $y, $n, step, false)
                }
            } else if const { <$H>::DIGITS <= 8 } {
                let step = Within::<_, _, Whole<_, true>, $far<_>, Twice<$S::F32>, false>::new(
                    const { $reach($route) },
                    $step,
                    $beyond,
                );
                // SAFETY: the caller's promise.
                unsafe {
                    run::<Whole<Twice<$S::F32>, true>, $i, $o, WIDEST, $H>($x, $y, $n, step, false)
                }
            } else {
                let step = Within::<_, _, Whole<_, false>, $far<_>, Twice<$S::F32>, false>::new(
                    const { $reach($route) },
                    $step,
                    $beyond,
                );
                // SAFETY: the caller's promise.
                unsafe {
                    run::<Whole<Twice<$S::F32>, false>, $i, $o, WIDEST, $H>($x, $y, $n, step, false)
                }
            }
        };
    }

    /// The parameters of a definition: the defaults where only they get here.
    #[inline(always)]
    fn params<A: Elementwise, R: Register>(p: P<'_>) -> Params<R> {
        if const { is_single(A::ROUTE) } { spread(p) } else { defaults::<A, R>() }
    }

    #[inline(always)]
    unsafe fn forward<S: Simd, B: Pair>(x: *const B::H, y: *mut B::H, n: usize, p: P<'_>) {
        loops!(
            S,
            B::H,
            B::A::ROUTE,
            value_reach,
            1,
            1,
            [x],
            [y],
            n,
            Value::<B::A, _>(params::<B::A, _>(p), PhantomData),
            Lifted32,
            Value::<B::A, _>(params::<B::A, _>(p), PhantomData),
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
            B::A::ROUTE,
            slope_reach,
            2,
            1,
            [x, g],
            [dx],
            n,
            Backward::<B::A, _>(params::<B::A, _>(p), PhantomData),
            Far32,
            ByFactors::<_, _, LiftedSlope32<_>, FarSlope32<_>, Twice<S::F32>>::new(
                Backward::<B::A, _>(params::<B::A, _>(p), PhantomData),
                Backward::<B::A, _>(params::<B::A, _>(p), PhantomData),
            ),
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
        let step = FromOutput::<B::A, Single<Twice<S::F32>>>(spread(p), PhantomData);
        if const { !S::F32::FUSED } {
            unreachable!("the baseline has no kernels of half types");
        }
        // SAFETY: the caller's promise.
        unsafe { run::<Single<Twice<S::F32>>, 2, 1, WIDEST, B::H>([y, g], [dx], n, step, false) }
    }

    #[inline(always)]
    unsafe fn gated<S: Simd, B: GatedPair>(
        a: *const B::H,
        b: *const B::H,
        y: *mut B::H,
        n: usize,
        _past: bool,
    ) {
        let step = GatedValue::<B::G>(PhantomData);
        let beyond = ByFactors::<_, _, Lifted32<_>, Far32<_>, Twice<S::F32>>::new(step, step);
        loops!(S, B::H, B::G::ROUTE, value_reach, 2, 1, [a, b], [y], n, step, Far32, beyond, false);
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
        let beyond = ByFactors::<_, _, Lifted32<_>, Far32<_>, Twice<S::F32>>::new(step, step);
        loops!(
            S,
            B::H,
            B::G::ROUTE,
            slope_reach,
            3,
            2,
            [a, b, g],
            [da, db],
            n,
            step,
            Far32,
            beyond,
            B::H::DIGITS > 8 && !B::G::SLOPE_ZEROS.is_empty()
        );
    }

    per_level!(fn map_half<B: Pair>(x: *const B::H, y: *mut B::H, n: usize, p: P<'_>) = forward);
    per_level!(fn back_half<B: Pair>(x: *const B::H, g: *const B::H, dx: *mut B::H, n: usize, p: P<'_>) = backward);
    per_level!(fn from_output_half<B: Pair>(y: *const B::H, g: *const B::H, dx: *mut B::H, n: usize, p: P<'_>) = from_output);
    per_level!(fn gated_map_half<B: GatedPair>(a: *const B::H, b: *const B::H, y: *mut B::H, n: usize, past: bool) = gated);
    per_level!(fn gated_back_half<B: GatedPair>(a: *const B::H, b: *const B::H, g: *const B::H, da: *mut B::H, db: *mut B::H, n: usize) = gated_backward);

    /// The kernels of an elementwise function for a half type: value and slope unless it is wide.
    #[derive(Clone, Copy)]
    pub(crate) struct HalfKernels<H: 'static> {
        pub(crate) map: Option<PerLevel<Map<H>>>,
        pub(crate) back: Option<PerLevel<Back<H>>>,
        pub(crate) from_output: Option<PerLevel<Back<H>>>,
    }

    impl<H: Half> HalfKernels<H> {
        pub(crate) const fn of<A: Elementwise>() -> Self {
            let wide = matches!(A::ROUTE, Route::Wide);
            HalfKernels {
                map: if wide { None } else { Some(map_half::<(A, H)>()) },
                back: if wide { None } else { Some(back_half::<(A, H)>()) },
                from_output: if A::CLAIMS.from_output.is_some() {
                    Some(from_output_half::<(A, H)>())
                } else {
                    None
                },
            }
        }
    }

    /// The kernels of a gated function for a half type, unless it is wide.
    #[derive(Clone, Copy)]
    pub(crate) struct HalfGatedKernels<H: 'static> {
        pub(crate) map: Option<PerLevel<GatedMap<H>>>,
        pub(crate) back: Option<PerLevel<GatedBack<H>>>,
    }

    impl<H: Half> HalfGatedKernels<H> {
        pub(crate) const fn of<G: Gated>() -> Self {
            let wide = matches!(G::ROUTE, Route::Wide);
            HalfGatedKernels {
                map: if wide { None } else { Some(gated_map_half::<(G, H)>()) },
                back: if wide { None } else { Some(gated_back_half::<(G, H)>()) },
            }
        }
    }
}
#[cfg(feature = "half")]
pub(crate) use half_kernels::{HalfGatedKernels, HalfKernels};

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
per_level!(fn gated_map_32<G: Gated>(a: *const f32, b: *const f32, y: *mut f32, n: usize, past: bool) = gated_f32);
per_level!(fn gated_map_64<G: Gated>(a: *const f64, b: *const f64, y: *mut f64, n: usize, past: bool) = gated_f64);
per_level!(fn gated_back_32<G: Gated>(a: *const f32, b: *const f32, g: *const f32, da: *mut f32, db: *mut f32, n: usize) = gated_backward_f32);
per_level!(fn gated_back_64<G: Gated>(a: *const f64, b: *const f64, g: *const f64, da: *mut f64, db: *mut f64, n: usize) = gated_backward_f64);

/// One input, one output.
pub(crate) type Map<T> = unsafe fn(*const T, *mut T, usize, P<'_>);
/// Input and gradient, one output.
pub(crate) type Back<T> = unsafe fn(*const T, *const T, *mut T, usize, P<'_>);
/// Input, parameter and gradient, two outputs.
pub(crate) type EachBack<T> = unsafe fn(*const T, *const T, *const T, *mut T, *mut T, usize, P<'_>);
/// Two operands, one output.
pub(crate) type GatedMap<T> = unsafe fn(*const T, *const T, *mut T, usize, bool);
/// Two operands and gradient, two outputs.
pub(crate) type GatedBack<T> = unsafe fn(*const T, *const T, *const T, *mut T, *mut T, usize);

/// The kernels of an elementwise function for one type.
#[derive(Clone, Copy)]
pub(crate) struct Kernels<T: 'static> {
    pub(crate) map: PerLevel<Map<T>>,
    pub(crate) back: PerLevel<Back<T>>,
    /// `back` from the output, where the definition has it.
    pub(crate) from_output: Option<PerLevel<Back<T>>>,
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

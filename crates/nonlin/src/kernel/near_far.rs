//! Steps that choose: tables where all lanes are within their reach, slower formulas elsewhere.

use super::io::FromLanes;
use super::run::Step;
use crate::activation::Reach;
use crate::math::range::{ANY_X, FACTOR_END, IN_TABLE};
use crate::real::{Deferred, F32Tabled};
use crate::simd::Lanes32;
use core::marker::PhantomData;

/// Runs `near`, over numbers `A`, if the first input of all lanes is within reach; else `far`, over
/// numbers `B`.
///
/// A result never depends on its neighbours: either both have the same bits where both are right
/// (`FAR_BITS_MATCH`), or each lane takes its own.
pub(super) struct NearOrFar<N, F, A, B, V, const FAR_BITS_MATCH: bool> {
    near: N,
    far: F,
    reach: Reach,
    numbers: PhantomData<(A, B, V)>,
}

impl<N: Copy, F: Copy, A, B, V, const FAR_BITS_MATCH: bool> Clone
    for NearOrFar<N, F, A, B, V, FAR_BITS_MATCH>
{
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}
impl<N: Copy, F: Copy, A, B, V, const FAR_BITS_MATCH: bool> Copy
    for NearOrFar<N, F, A, B, V, FAR_BITS_MATCH>
{
}

impl<N, F, A, B, V, const FAR_BITS_MATCH: bool> NearOrFar<N, F, A, B, V, FAR_BITS_MATCH> {
    #[inline(always)]
    pub(super) fn new(reach: Reach, near: N, far: F) -> Self {
        NearOrFar { near, far, reach, numbers: PhantomData }
    }
}

/// Where `x` is not within reach (or NaN); a bound that is infinite costs nothing.
#[inline(always)]
pub(super) fn outside<V: Lanes32>(x: V, Reach { low, high }: Reach) -> Option<V::Mask> {
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
pub(super) fn step_as<R, T, V, S, const I: usize, const O: usize>(step: S, x: [R; I]) -> [R; O]
where
    R: FromLanes<V>,
    T: FromLanes<V>,
    S: Step<T, I, O>,
{
    let mut from = [T::set(0.0); I];
    let mut i = 0;
    while i < I {
        from[i] = T::from_lanes(x[i].lanes());
        i += 1;
    }
    let y = step.step(from);
    let mut to = [R::set(0.0); O];
    let mut i = 0;
    while i < O {
        to[i] = R::from_lanes(y[i].lanes());
        i += 1;
    }
    to
}

impl<R, A, B, V, N, F, const I: usize, const O: usize, const FAR_BITS_MATCH: bool> Step<R, I, O>
    for NearOrFar<N, F, A, B, V, FAR_BITS_MATCH>
where
    V: Lanes32,
    R: FromLanes<V>,
    A: FromLanes<V>,
    B: FromLanes<V>,
    N: Step<A, I, O>,
    F: Step<B, I, O>,
{
    #[inline(always)]
    fn step(self, x: [R; I]) -> [R; O] {
        if let Some(outside) = outside(x[0].lanes(), self.reach)
            && V::any(outside)
        {
            core::hint::cold_path();
            let mut y = step_as::<R, B, V, F, I, O>(self.far, x);
            if !FAR_BITS_MATCH {
                let near = step_as::<R, A, V, N, I, O>(self.near, x);
                let mut i = 0;
                while i < O {
                    y[i] = R::from_lanes(V::select(outside, y[i].lanes(), near[i].lanes()));
                    i += 1;
                }
            }
            return y;
        }
        step_as::<R, A, V, N, I, O>(self.near, x)
    }
}

/// `ordinary`, over numbers `A`, if no input but the first is beyond [`FACTOR_END`] in a lane; else
/// `any`, over numbers `B`. A result has the same bits both ways.
pub(super) struct ByGradientSize<N, F, A, B, V> {
    ordinary: N,
    any: F,
    numbers: PhantomData<(A, B, V)>,
}

impl<N: Copy, F: Copy, A, B, V> Clone for ByGradientSize<N, F, A, B, V> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}
impl<N: Copy, F: Copy, A, B, V> Copy for ByGradientSize<N, F, A, B, V> {}

impl<N, F, A, B, V> ByGradientSize<N, F, A, B, V> {
    #[inline(always)]
    pub(super) fn new(ordinary: N, any: F) -> Self {
        ByGradientSize { ordinary, any, numbers: PhantomData }
    }
}

impl<R, A, B, V, N, F, const I: usize, const O: usize> Step<R, I, O>
    for ByGradientSize<N, F, A, B, V>
where
    V: Lanes32,
    R: FromLanes<V>,
    A: FromLanes<V>,
    B: FromLanes<V>,
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
            return step_as::<R, B, V, F, I, O>(self.any, x);
        }
        step_as::<R, A, V, N, I, O>(self.ordinary, x)
    }
}

/// Numbers of [`Arithmetic::F32Tables`](crate::activation::Arithmetic) within reach.
pub(super) type Near32<V> = F32Tabled<V, IN_TABLE>;
/// Numbers of [`Arithmetic::F32Tables`](crate::activation::Arithmetic) beyond reach, factors being ordinary.
pub(super) type Lifted32<V> = F32Tabled<V, ANY_X>;
/// Numbers of [`Arithmetic::F32Tables`](crate::activation::Arithmetic) beyond reach.
pub(super) type Far32<V> = F32Tabled<V>;
/// Slopes beyond reach, an ordinary gradient being multiplied before the power of two.
pub(super) type LiftedSlope32<V> = Deferred<F32Tabled<V, ANY_X>>;
/// Slopes beyond reach, the gradient being multiplied before the power of two.
pub(super) type FarSlope32<V> = Deferred<F32Tabled<V>>;

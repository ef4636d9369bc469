//! What a loop does with a register: value, gradient, two operands.

use super::run::Step;
use crate::activation::{Elementwise, Gated, ParamList, map_params};
use crate::real::{Dual, Real};
use core::marker::PhantomData;

/// f(x).
pub(super) struct Value<A: Elementwise, R: Copy>(pub(super) A::Params<R>);
/// grad f'(x).
pub(super) struct Backward<A: Elementwise, R: Copy>(pub(super) A::Params<R>);
/// grad f'(x) from y = f(x).
pub(super) struct FromOutput<A: Elementwise, R: Copy>(pub(super) A::Params<R>);
/// f(x) with the first parameter given per element.
pub(super) struct EachValue<A: Elementwise, R: Copy>(pub(super) A::Params<R>);
/// grad f'(x), and grad times the derivative by the first parameter, given per element.
pub(super) struct EachBackward<A: Elementwise, R: Copy>(pub(super) A::Params<R>);
/// f(gate, value).
pub(super) struct GatedValue<G>(pub(super) PhantomData<G>);
/// Both gradients of a gated function.
pub(super) struct GatedBackward<G>(pub(super) PhantomData<G>);

macro_rules! copy {
    ($($t:ident<$($g:ident: $b:path),*>),*) => {$(
        impl<$($g: $b),*> Clone for $t<$($g),*> {
            #[inline(always)]
            fn clone(&self) -> Self {
                *self
            }
        }
        impl<$($g: $b),*> Copy for $t<$($g),*> {}
    )*};
}
copy!(Value<A: Elementwise, R: Copy>, Backward<A: Elementwise, R: Copy>, FromOutput<A: Elementwise, R: Copy>);
copy!(EachValue<A: Elementwise, R: Copy>, EachBackward<A: Elementwise, R: Copy>);
copy!(GatedValue<G: Copy>, GatedBackward<G: Copy>);

impl<A: Elementwise, R: Real> Step<R, 1, 1> for Value<A, R> {
    #[inline(always)]
    fn step(self, [x]: [R; 1]) -> [R; 1] {
        [A::value(x, self.0)]
    }
}
impl<A: Elementwise, R: Real> Step<R, 2, 1> for Backward<A, R> {
    #[inline(always)]
    fn step(self, [x, g]: [R; 2]) -> [R; 1] {
        [A::backward(x, g, self.0)]
    }
}
impl<A: Elementwise, R: Real> Step<R, 2, 1> for FromOutput<A, R> {
    #[inline(always)]
    fn step(self, [y, g]: [R; 2]) -> [R; 1] {
        [A::backward_from_output(y, g, self.0)]
    }
}
impl<A: Elementwise, R: Real> Step<R, 2, 1> for EachValue<A, R> {
    #[inline(always)]
    fn step(self, [x, w]: [R; 2]) -> [R; 1] {
        let mut p = self.0;
        p.as_mut_slice()[0] = w;
        [A::value(x, p)]
    }
}
impl<A: Elementwise, R: Real> Step<R, 3, 2> for EachBackward<A, R> {
    #[inline(always)]
    fn step(self, [x, w, g]: [R; 3]) -> [R; 2] {
        let mut p = self.0;
        p.as_mut_slice()[0] = w;
        let mut by_w = map_params::<A, R, Dual<R>>(x, p, Dual::fixed);
        // The gradient is the seed, so that it is left out where `w` is.
        by_w.as_mut_slice()[0] = Dual { v: w, d: g };
        let by_w = A::value(Dual::fixed(x), by_w).d;
        [A::backward(x, g, p), by_w]
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

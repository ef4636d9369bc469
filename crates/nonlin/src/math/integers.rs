//! Numbers rounded to integers.

use crate::simd::Lanes;

/// The nearest integer, of two the even one; `units` is the first number without digits after the point.
#[inline(always)]
pub(crate) fn round<V: Lanes>(x: V, units: V) -> V {
    let size = x.abs();
    let near = ((size + units) - units).copysign(x);
    V::select(units.gt(size), near, x)
}

/// The largest integer that is not above; `units` is the first number without digits after the point.
#[inline(always)]
pub(crate) fn floor<V: Lanes>(x: V, units: V, one: V) -> V {
    let near = round(x, units);
    V::select(near.gt(x), near - one, near)
}

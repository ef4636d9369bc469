//! The square root, with its derivatives.

use super::Jet;
use crate::simd::Lanes64;

/// Below this a remainder may have no room in f64; what is left out is far below a unit of anything
/// that the root is combined with.
const SMALL: f64 = 1e-280;
/// Above this the square of a rounded root may overflow.
const LARGE: f64 = 1e300;

/// For f64 results: at `x + lo`. The square root is rounded once; its low part, and that of the slope, follow from the remainder.
#[inline(always)]
pub(crate) fn f64_lanes<V: Lanes64>(x: V, lo: Option<V>) -> Jet<V> {
    let (v, half) = (x.sqrt(), V::splat(0.5));
    let d = half / v.abs();
    // sqrt(v^2 + rest) = v + rest / (2 v), and d = 1 / (2 v).
    let rest = V::residual(x, v, v);
    let rest = match lo {
        Some(lo) => rest + lo,
        None => rest,
    };
    let v_lo = rest * d;
    let d_lo = (V::residual(half, d, v) - d * v_lo) * (d + d);
    // Not for numbers that are tiny, 0, infinite, negative or NaN.
    let (none, small, end) = (V::splat(-0.0), V::splat(SMALL), V::splat(LARGE));
    let v_lo = V::select(x.gt(small), V::select(x.gt(end), none, v_lo), none);
    let d_lo = V::select(x.gt(small), V::select(x.gt(end), none, d_lo), none);
    Jet { v, v_lo, d, d_lo, dd: -(d / (x + x).abs()), k: V::splat(0.0) }
}

/// For results that are rounded to f32: as f64 has it.
#[inline(always)]
pub(crate) fn f64_to_f32<V: Lanes64>(x: V) -> Jet<V> {
    let v = x.sqrt();
    let d = V::splat(0.5) / v.abs();
    Jet::register(v, d, -(d * d * (d + d)))
}

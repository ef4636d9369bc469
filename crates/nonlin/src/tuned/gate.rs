//! What the gates have in common: the choice between the table and the formula beyond it, and products.

use crate::math::range::{ANY_X, ANY_X_ANY_FACTOR, IN_TABLE, rescale, unless_over};
use crate::simd::Lanes32;

/// A gate: a function of `x` that goes from 0 on the left to 1 on the right, and what is known of `x` times
/// it. Numbers of `RANGE` are as in [`range`](crate::math::range).
pub(super) trait F32Gate {
    /// The gate at 0.
    const AT_ZERO: f32;

    /// Where `x` is beyond the tables, or the gate is open.
    fn beyond<V: Lanes32>(x: V) -> V::Mask;

    /// Whether no lane beyond the table has a result other than 0, whatever may multiply it, or a limit.
    /// Only gates that close at once ask: there are few numbers between.
    #[inline(always)]
    fn all_at_limits<V: Lanes32, const RANGE: u8>(_x: V) -> bool {
        false
    }

    /// `m` of a result `m 2^k` on the left, but -0 where that is the limit, whatever number may multiply it:
    /// there an infinite factor makes NaN, beside which lanes soever. Gates that ask for
    /// [`all_at_limits`](Self::all_at_limits) have it.
    #[inline(always)]
    fn closed<V: Lanes32, const RANGE: u8>(_x: V, m: V) -> V {
        m
    }

    /// `x * gate(x)` within the table, rounded; `t` is `|x|`.
    fn value<V: Lanes32>(x: V, t: V) -> V;

    /// Beyond: `x * gate(x)` on the right, and on the left `-x * gate(x)` times
    /// `2^TAIL_SCALE_LOG2`.
    fn lifted<V: Lanes32>(x: V, t: V) -> (V, V);

    /// Beyond: `x * gate(x)` on the right; `m` and `k` with `x * gate(x) = m 2^k` on the left.
    fn split<V: Lanes32, const RANGE: u8>(x: V, t: V) -> (V, (V, V));

    /// The slope within the table, rounded; `t` is `|x|`.
    fn slope<V: Lanes32>(x: V, t: V) -> V;

    /// Beyond: the slope on the right; `m` and `k` with the slope `m 2^k` on the left.
    fn split_slope<V: Lanes32, const RANGE: u8>(t: V) -> (V, (V, V));

    /// The slope times `a` and `b`.
    #[inline(always)]
    fn slope_product<V: Lanes32, const RANGE: u8>(x: V, a: V, b: V) -> V {
        times_both::<V, RANGE>(slope::<Self, V, RANGE>(x), a, b)
    }

    /// `x * gate(x)` for results of half types, if it is not composed of a primitive.
    #[cfg(feature = "half")]
    #[inline(always)]
    fn value_for_half<V: Lanes32, const BF16: bool>(_x: V) -> Option<V> {
        None
    }

    /// Its slope for results of half types.
    #[cfg(feature = "half")]
    fn slope_for_half<V: Lanes32, const BF16: bool>(x: V) -> V;
}

/// `$near` where no lane is beyond the tables, and `$far` in those that are: `m` and `k` of `m 2^k`.
macro_rules! near_or_far {
    ($RANGE:ident, $x:ident, $G:ident, $far:expr, $near:expr) => {{
        let far = $G::beyond($x);
        let some = $RANGE != IN_TABLE && V::any(far);
        let (mut end, mut k) = ($x, V::splat(0.0));
        if some {
            core::hint::cold_path();
            (end, k) = $far;
            if V::all(far) {
                return (end, k);
            }
            k = V::select(far, k, V::splat(0.0));
        }
        let y = $near;
        (if some { V::select(far, end, y) } else { y }, k)
    }};
}

/// `m` and `k` with `x * gate(x) = m 2^k`; if not `KEEP_SCALE`, `k` is 0 and `m` rounded.
#[inline(always)]
pub(super) fn value<G: F32Gate + ?Sized, V: Lanes32, const RANGE: u8, const KEEP_SCALE: bool>(
    x: V,
) -> (V, V) {
    near_or_far!(
        RANGE,
        x,
        G,
        if KEEP_SCALE {
            split_beyond::<G, V, RANGE>(x)
        } else {
            (beyond::<G, V>(x), V::splat(0.0))
        },
        G::value(x, x.abs())
    )
}

/// `m` and `k` with `m 2^k` the slope of `x * gate(x)`.
#[inline(always)]
pub(super) fn slope<G: F32Gate + ?Sized, V: Lanes32, const RANGE: u8>(x: V) -> (V, V) {
    near_or_far!(RANGE, x, G, slope_beyond::<G, V, RANGE>(x), G::slope(x, x.abs()))
}

/// `x * gate(x)` beyond the table, rounded.
#[inline(always)]
pub(super) fn beyond<G: F32Gate + ?Sized, V: Lanes32>(x: V) -> V {
    if G::all_at_limits::<V, ANY_X>(x) {
        return positive_part(x);
    }
    let (right, left) = G::lifted(x, x.abs());
    V::select(x.gt(V::splat(0.0)), right, -left.unscale_tail())
}

/// `m` and `k` with `x * gate(x) = m 2^k`, beyond the table.
#[inline(always)]
pub(super) fn split_beyond<G: F32Gate + ?Sized, V: Lanes32, const RANGE: u8>(x: V) -> (V, V) {
    let zero = V::splat(0.0);
    if G::all_at_limits::<V, RANGE>(x) {
        return (positive_part(x), zero);
    }
    let (right, (left, k)) = G::split::<V, RANGE>(x, x.abs());
    let left = G::closed::<V, RANGE>(x, left);
    let positive = x.gt(zero);
    (V::select(positive, right, left), V::select(positive, zero, k))
}

/// `m` and `k` with `m 2^k` the slope of `x * gate(x)`, beyond the table.
#[inline(always)]
pub(super) fn slope_beyond<G: F32Gate + ?Sized, V: Lanes32, const RANGE: u8>(x: V) -> (V, V) {
    let zero = V::splat(0.0);
    let positive = x.gt(zero);
    if G::all_at_limits::<V, RANGE>(x) {
        return (V::select(positive, V::splat(1.0), V::splat(-0.0)), zero);
    }
    let (right, (left, k)) = G::split_slope::<V, RANGE>(x.abs());
    let left = G::closed::<V, RANGE>(x, left);
    (V::select(positive, right, left), V::select(positive, zero, k))
}

/// `slope 2^k a b`.
#[inline(always)]
pub(super) fn times_both<V: Lanes32, const RANGE: u8>((slope, k): (V, V), a: V, b: V) -> V {
    let product = a * b;
    let y = rescale::<V, RANGE>(slope * product, k);
    unless_over::<V, RANGE>(product, y, [slope, k, a, b])
}

/// `x * gate(x)` times `factor`.
#[inline(always)]
pub(super) fn product<G: F32Gate + ?Sized, V: Lanes32, const RANGE: u8>(x: V, factor: V) -> V {
    let (value, k) = value::<G, V, RANGE, true>(x);
    // A subnormal number that the gate makes smaller loses bits: there it comes last.
    let tiny = V::splat(1e-30).gt(x.abs());
    let at_zero = V::splat(G::AT_ZERO);
    let product = V::select(tiny, factor * at_zero, value) * V::select(tiny, x, factor);
    rescale::<V, RANGE>(product, k)
}

/// Where `x` is below minus `low` or above `high`.
#[inline(always)]
pub(super) fn outside<V: Lanes32>(x: V, low: f32, high: f32) -> V::Mask {
    V::either(V::splat(-low).gt(x), x.gt(V::splat(high)))
}

/// Whether every lane that is below minus `low` is below minus `shut`.
#[inline(always)]
pub(super) fn none_between<V: Lanes32>(x: V, low: f32, shut: V) -> bool {
    let between = V::select((-shut).gt(x), V::splat(0.0), x);
    !V::any(V::splat(-low).gt(between))
}

/// `m`, but -0 where `x < -shut`, if an infinite number may multiply it.
#[inline(always)]
pub(super) fn closed<V: Lanes32, const RANGE: u8>(x: V, m: V, shut: V) -> V {
    if RANGE == ANY_X_ANY_FACTOR { V::select((-shut).gt(x), V::splat(-0.0), m) } else { m }
}

/// `max(x, 0)`, but -0 on the left: so a result that is too small for a number keeps its sign.
#[inline(always)]
pub(super) fn positive_part<V: Lanes32>(x: V) -> V {
    x.max(V::splat(-0.0))
}

/// `max(x, 0) - t tail`, with `t = |x|` or, far out, less: `x` times a gate of which that is the tail.
#[inline(always)]
pub(super) fn opened<V: Lanes32>(x: V, t: V, (tail, tail_lo): (V, V)) -> V {
    positive_part(x) - t.mul_add(tail, t * tail_lo)
}

/// `tail + lo` on the left, 1 less that on the right, rounded.
#[inline(always)]
pub(super) fn reflected_sum<V: Lanes32>(x: V, (tail, lo): (V, V)) -> V {
    let positive = x.gt(V::splat(0.0));
    V::select(positive, V::splat(1.0) - tail, tail) + V::select(positive, -lo, lo)
}

//! Polynomials in registers: Horner's rule, and Estrin's scheme where nothing else fills the wait.

use crate::simd::{Lanes, Lanes64};

/// `c[0] + c[1] x + ...` by Horner's rule.
#[inline(always)]
pub(crate) fn poly<V: Lanes, const N: usize>(x: V, c: &[V::Elem; N]) -> V {
    let mut y = V::splat(c[N - 1]);
    let mut i = N - 1;
    while i > 0 {
        i -= 1;
        y = y.mul_add(x, V::splat(c[i]));
    }
    y
}

/// `c[0] + c[1] r + c[2] r^2 + c[3] r^3 + top r^4`, in half the latency of Horner's rule.
#[inline(always)]
pub(crate) fn estrin<V: Lanes64>(r: V, r2: V, c: [f64; 4], top: V) -> V {
    let middle = V::splat(c[3]).mul_add(r, V::splat(c[2]));
    r2.mul_add(r2.mul_add(top, middle), V::splat(c[1]).mul_add(r, V::splat(c[0])))
}

/// `c[from] + q (c[from + 1] + ...)` by Estrin's scheme: a fifth of the latency of Horner's rule.
#[inline(always)]
pub(crate) fn estrin_from<V: Lanes64, const N: usize>(from: usize, q: V, c: &[f64; N]) -> V {
    let q2 = q * q;
    let q4 = q2 * q2;
    let q8 = q4 * q4;
    let mut i = (N - 1 - from) / 8 * 8 + from;
    let mut y = eight(q, q2, q4, c, i, N);
    while i > from {
        i -= 8;
        y = y.mul_add(q8, eight(q, q2, q4, c, i, i + 8));
    }
    y
}

/// `c[i] + c[i + 1] q + ...` up to `c[end - 1]`, at most eight of them.
#[inline(always)]
fn eight<V: Lanes64>(q: V, q2: V, q4: V, c: &[f64], i: usize, end: usize) -> V {
    let low = four(q, q2, c, i, end);
    if i + 4 < end { four(q, q2, c, i + 4, end).mul_add(q4, low) } else { low }
}

/// `c[i] + c[i + 1] q + ...` up to `c[end - 1]`, at most four of them.
#[inline(always)]
fn four<V: Lanes64>(q: V, q2: V, c: &[f64], i: usize, end: usize) -> V {
    let low = pair(q, c, i, end);
    if i + 2 < end { pair(q, c, i + 2, end).mul_add(q2, low) } else { low }
}

/// `c[i] + c[i + 1] q`, or `c[i]` where that is `c[end - 1]`.
#[inline(always)]
fn pair<V: Lanes64>(q: V, c: &[f64], i: usize, end: usize) -> V {
    let low = V::splat(c[i]);
    if i + 1 < end { V::splat(c[i + 1]).mul_add(q, low) } else { low }
}

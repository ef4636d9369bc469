//! Piecewise polynomials whose coefficients lie in registers.
//!
//! A smooth function of one number is cut into 32 pieces of equal width. The piece of a number is
//! what rounding it to a multiple of the width leaves in the low bits, and these bits pick the
//! coefficients from two registers of AVX-512, four of AVX2 or eight of NEON. That costs less than
//! an exponential and a division, and far less than the two with all that they round off. A piece
//! has a base, which may have few bits so that it can be multiplied or subtracted without
//! rounding, and a polynomial for what is beyond the base, so that rounding it matters little.

use crate::simd::Lanes32;

/// One coefficient of all pieces.
#[repr(C, align(64))]
pub struct Row(pub [f32; 32]);

/// A function in 32 pieces of width `step`: a base of few bits, and a polynomial in the distance
/// from the middle of the piece. Coefficients of low degree come first.
pub struct Table<const N: usize> {
    pub(crate) step: f32,
    pub(crate) base: Row,
    pub(crate) rest: [Row; N],
}

/// The same with a centre in each piece at which the function is an f32 number: so the base is
/// exact, and the polynomial begins with the distance from the centre.
pub struct Centred<const N: usize> {
    pub(crate) step: f32,
    pub(crate) centre: Row,
    pub(crate) base: Row,
    pub(crate) rest: [Row; N],
}

/// Adding this rounds a number to an integer, which then stands in the low bits of the sum.
const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23

/// `t / step` rounded to an integer, in the low bits.
#[inline(always)]
fn piece<V: Lanes32>(t: V, step: f32) -> V {
    t.mul_add(V::splat(1.0 / step), V::splat(ROUND))
}

/// `c[0] r + c[1] r^2 + ...` beyond `start`, with the coefficients that `u` picks.
///
/// The first product is not rounded, since most of the sum is in it. Even and odd powers of the
/// others are apart: half the latency of Horner's rule.
#[inline(always)]
fn sum<V: Lanes32>(u: V, r: V, c: &[Row], start: Option<V>) -> V {
    let r2 = r * r;
    let n = c.len();
    let mut i = (n - 2) | 1;
    let mut even = u.lookup(&c[i].0);
    while i > 1 {
        i -= 2;
        even = even.mul_add(r2, u.lookup(&c[i].0));
    }
    i = (n - 1) & !1;
    let mut odd = u.lookup(&c[i].0);
    while i > 2 {
        i -= 2;
        odd = odd.mul_add(r2, u.lookup(&c[i].0));
    }
    let rest = odd.mul_add(r, even);
    let rest = match start {
        Some(start) => r2.mul_add(rest, start),
        None => r2 * rest,
    };
    r.mul_add(u.lookup(&c[0].0), rest)
}

impl<const N: usize> Table<N> {
    /// Base and rest at `t`, which must lie within the table; NaN for NaN.
    #[inline(always)]
    pub(crate) fn at<V: Lanes32>(&self, t: V) -> (V, V) {
        let u = piece(t, self.step);
        let k = u - V::splat(ROUND);
        let r = k.mul_add(V::splat(-self.step), t); // exact
        let (base, start) = (u.lookup(&self.base.0), u.lookup(&self.rest[0].0));
        (base, sum(u, r, &self.rest[1..], Some(start)))
    }
}

impl<const N: usize> Centred<N> {
    /// Base and rest at `t`, which must lie within the table; NaN for NaN.
    #[inline(always)]
    pub(crate) fn at<V: Lanes32>(&self, t: V) -> (V, V) {
        let u = piece(t, self.step);
        let r = t - u.lookup(&self.centre.0);
        (u.lookup(&self.base.0), sum(u, r, &self.rest, None))
    }
}

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

/// Sixteen numbers.
#[repr(C, align(64))]
pub struct Short(pub [f32; 16]);

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

/// A `Table` whose pieces grow with `t + 1`, eight to an octave, from 0 to 15.
pub struct Octaves<const N: usize> {
    pub(crate) centre: Row,
    pub(crate) base: Row,
    pub(crate) rest: [Row; N],
}

/// A polynomial in the distance from the middle of a piece, and nothing else. Its last rounding is
/// of the whole and not of what is beyond a base: good enough for slopes.
pub struct Poly<const N: usize> {
    pub(crate) step: f32,
    pub(crate) rest: [Row; N],
}

/// Adding this rounds a number to an integer, which then stands in the low bits of the sum.
const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23

/// `t / step` rounded to an integer, in the low bits.
#[inline(always)]
fn piece<V: Lanes32>(t: V, step: f32) -> V {
    t.mul_add(V::splat(1.0 / step), V::splat(ROUND))
}

/// `c[0] + c[1] r + ...` with the coefficients that `u` picks.
#[inline(always)]
fn horner<V: Lanes32>(u: V, r: V, c: &[Row]) -> V {
    let mut i = c.len() - 1;
    let mut y = u.lookup(&c[i].0);
    while i > 0 {
        i -= 1;
        y = y.mul_add(r, u.lookup(&c[i].0));
    }
    y
}

/// The piece of `t`, and how far `t` is from its middle.
#[inline(always)]
fn place<V: Lanes32>(t: V, step: f32) -> (V, V) {
    let u = piece(t, step);
    let k = u - V::splat(ROUND);
    (u, k.mul_add(V::splat(-step), t)) // exact
}

impl<const N: usize> Table<N> {
    /// Base and rest at `t`, which must lie within the table; NaN for NaN.
    #[inline(always)]
    pub(crate) fn at<V: Lanes32>(&self, t: V) -> (V, V) {
        let (u, r) = place(t, self.step);
        (u.lookup(&self.base.0), horner(u, r, &self.rest))
    }
}

impl<const N: usize> Poly<N> {
    /// The function at `t`, which must lie within the table; NaN for NaN.
    #[inline(always)]
    pub(crate) fn at<V: Lanes32>(&self, t: V) -> V {
        let (u, r) = place(t, self.step);
        horner(u, r, &self.rest)
    }
}

impl<const N: usize> Centred<N> {
    /// Base and rest at `t`, which must lie within the table; NaN for NaN.
    #[inline(always)]
    pub(crate) fn at<V: Lanes32>(&self, t: V) -> (V, V) {
        let u = piece(t, self.step);
        let r = t - u.lookup(&self.centre.0);
        (u.lookup(&self.base.0), r * horner(u, r, &self.rest))
    }

    /// The same with the linear term in the first of the two numbers: for wide pieces.
    #[inline(always)]
    pub(crate) fn exact<V: Lanes32>(&self, t: V) -> (V, V) {
        let u = piece(t, self.step);
        let r = t - u.lookup(&self.centre.0);
        let (base, c) = (u.lookup(&self.base.0), u.lookup(&self.rest[0].0));
        let p = r * c;
        let sum = base + p;
        let lost = r.mul_add(c, -p) + (p - (sum - base));
        (sum, r.mul_add(r * horner(u, r, &self.rest[1..]), lost))
    }
}

impl<const N: usize> Octaves<N> {
    /// Base and rest at `t`, which must lie within the table; NaN for NaN.
    #[inline(always)]
    pub(crate) fn at<V: Lanes32>(&self, t: V) -> (V, V) {
        let u = (t + V::splat(1.0)).octave();
        let r = t - u.lookup(&self.centre.0);
        (u.lookup(&self.base.0), horner(u, r, &self.rest))
    }
}

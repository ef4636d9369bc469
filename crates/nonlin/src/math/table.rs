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

/// The piece of a number, in the low bits, and the distance from the piece's middle or centre.
trait Find {
    fn find<V: Lanes32>(&self, t: V) -> (V, V);
}

/// The piece, and the distance from its middle, which is exact.
#[inline(always)]
fn middle<V: Lanes32>(t: V, step: f32) -> (V, V) {
    let u = piece(t, step);
    let k = u - V::splat(ROUND);
    (u, k.mul_add(V::splat(-step), t))
}

impl<const N: usize> Find for Table<N> {
    #[inline(always)]
    fn find<V: Lanes32>(&self, t: V) -> (V, V) {
        middle(t, self.step)
    }
}

impl<const N: usize> Find for Centred<N> {
    #[inline(always)]
    fn find<V: Lanes32>(&self, t: V) -> (V, V) {
        let u = piece(t, self.step);
        (u, t - u.lookup(&self.centre.0))
    }
}

impl<const N: usize> Find for Octaves<N> {
    #[inline(always)]
    fn find<V: Lanes32>(&self, t: V) -> (V, V) {
        let u = (t + V::splat(1.0)).octave();
        (u, t - u.lookup(&self.centre.0))
    }
}

impl<const N: usize> Table<N> {
    /// Base and rest at `t`, which must lie within the table; NaN for NaN.
    #[inline(always)]
    pub(crate) fn at<V: Lanes32>(&self, t: V) -> (V, V) {
        let (u, r) = self.find(t);
        (u.lookup(&self.base.0), horner(u, r, &self.rest))
    }
}

impl<const N: usize> Poly<N> {
    /// The function at `t`, which must lie within the table; NaN for NaN.
    #[inline(always)]
    pub(crate) fn at<V: Lanes32>(&self, t: V) -> V {
        let (u, r) = middle(t, self.step);
        horner(u, r, &self.rest)
    }
}

impl<const N: usize> Centred<N> {
    /// Base and rest at `t`, which must lie within the table; NaN for NaN.
    #[inline(always)]
    pub(crate) fn at<V: Lanes32>(&self, t: V) -> (V, V) {
        let (u, r) = self.find(t);
        (u.lookup(&self.base.0), r * horner(u, r, &self.rest))
    }

    /// The same with the linear term in the first of the two numbers: for wide pieces.
    #[inline(always)]
    pub(crate) fn exact<V: Lanes32>(&self, t: V) -> (V, V) {
        let (u, r) = self.find(t);
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
        let (u, r) = self.find(t);
        (u.lookup(&self.base.0), horner(u, r, &self.rest))
    }
}

/// A table read in one number, to 2^-21: polynomials of `M` coefficients, which the compiler derives
/// from those of the table.
#[cfg(feature = "half")]
pub struct Shortened<T: 'static, const M: usize> {
    of: &'static T,
    c: [Row; M],
}

#[cfg(feature = "half")]
#[allow(private_bounds, reason = "three kinds of tables, all of them here")]
impl<T: Find, const M: usize> Shortened<T, M> {
    /// The number at `t`, which must lie within the table; NaN for NaN.
    #[inline(always)]
    pub(crate) fn at<V: Lanes32>(&self, t: V) -> V {
        let (u, r) = self.of.find(t);
        horner(u, r, &self.c)
    }
}

#[cfg(feature = "half")]
impl<const N: usize, const M: usize> Shortened<Table<N>, M> {
    pub(crate) const fn table(of: &'static Table<N>) -> Self {
        Shortened { of, c: shorten(&of.base, &of.rest, 0, &[of.step / 2.0; 4]) }
    }
}

#[cfg(feature = "half")]
impl<const N: usize, const M: usize> Shortened<Centred<N>, M> {
    pub(crate) const fn centred(of: &'static Centred<N>) -> Self {
        Shortened { of, c: shorten(&of.base, &of.rest, 1, &[of.step / 2.0; 4]) }
    }
}

#[cfg(feature = "half")]
impl<const N: usize, const M: usize> Shortened<Octaves<N>, M> {
    pub(crate) const fn octaves(of: &'static Octaves<N>) -> Self {
        // The exponent of 1 is odd: its pieces are the last eight.
        let unit = 1.0 / 16.0;
        Shortened {
            of,
            c: shorten(&of.base, &of.rest, 0, &[2.0 * unit, 4.0 * unit, 8.0 * unit, unit]),
        }
    }
}

/// The coefficients of `base + r^first rest(r)`, with the powers from `M` on replaced by the best
/// approximation of lower degree, from Chebyshev's polynomials. `half` is half the width of eight
/// pieces each.
#[cfg(feature = "half")]
const fn shorten<const M: usize>(
    base: &Row,
    rest: &[Row],
    first: usize,
    half: &[f32; 4],
) -> [Row; M] {
    let mut out = [const { Row([0.0; 32]) }; M];
    let mut piece = 0;
    while piece < 32 {
        let mut c = [0.0f64; 16];
        c[0] = base.0[piece] as f64;
        let mut i = 0;
        while i < rest.len() {
            c[i + first] += rest[i].0[piece] as f64;
            i += 1;
        }
        let h = half[piece / 8] as f64;
        let mut degree = rest.len() + first - 1;
        while degree >= M {
            lower(&mut c, degree, h);
            degree -= 1;
        }
        i = 0;
        while i < M {
            out[i].0[piece] = c[i] as f32;
            i += 1;
        }
        piece += 1;
    }
    out
}

/// Takes the multiple of Chebyshev's polynomial of degree `n` over `-h ..= h` off `c` that removes the
/// power `n`.
#[cfg(feature = "half")]
const fn lower(c: &mut [f64; 16], n: usize, h: f64) {
    // T_0 = 1, T_1 = x, T_k = 2 x T_(k-1) - T_(k-2).
    let (mut before, mut t) = ([0.0f64; 16], [0.0f64; 16]);
    before[0] = 1.0;
    t[1] = 1.0;
    let mut k = 1;
    while k < n {
        let mut next = [0.0f64; 16];
        let mut i = 0;
        while i < n {
            next[i + 1] += 2.0 * t[i];
            next[i] -= before[i];
            i += 1;
        }
        before = t;
        t = next;
        k += 1;
    }
    let mut scale = c[n] / t[n];
    let mut i = n + 1;
    while i > 0 {
        i -= 1;
        // c[n] r^n is c[n] h^n x^n for r = h x.
        c[i] -= scale * t[i];
        scale *= h;
    }
}

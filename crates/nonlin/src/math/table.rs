//! Piecewise polynomials whose coefficients are looked up, not branched to.
//!
//! A smooth function of one number is cut into 32 pieces of equal width. The piece of a number is
//! what rounding it to a multiple of the width leaves in the low bits, and these bits pick the
//! coefficients: from two registers of AVX-512, elsewhere by a load of four at a time for each lane.
//! That costs less than an exponential and a division, and far less than the two with all that they
//! round off. A piece has a base, which may have few bits so that it can be multiplied or subtracted
//! without rounding, and a polynomial for what is beyond the base, so that rounding it matters little.

use crate::simd::Lanes32;

/// One coefficient of all pieces.
pub type Row = [f32; 32];

/// Sixteen numbers.
#[repr(C, align(64))]
pub struct Short(pub [f32; 16]);

/// Four coefficients of all pieces, in the order in which a level looks them up.
#[repr(C, align(64))]
pub struct Four {
    /// All pieces of a coefficient side by side: a register or two.
    #[cfg(target_arch = "x86_64")]
    pub(crate) by_coefficient: [[f32; 32]; 4],
    /// All coefficients of a piece side by side: one load.
    pub(crate) by_piece: [[f32; 4]; 32],
}

/// `head` and `rest`, four by four; 0 where that does not come out even.
const fn fours<const H: usize, const N: usize, const G: usize>(
    head: [Row; H],
    rest: [Row; N],
) -> [Four; G] {
    assert!(G == (H + N).div_ceil(4));
    let mut fours = [const {
        Four {
            #[cfg(target_arch = "x86_64")]
            by_coefficient: [[0.0; 32]; 4],
            by_piece: [[0.0; 4]; 32],
        }
    }; G];
    let mut j = 0;
    while j < H + N {
        let row = if j < H { &head[j] } else { &rest[j - H] };
        let (four, i) = (&mut fours[j / 4], j % 4);
        let mut k = 0;
        while k < 32 {
            #[cfg(target_arch = "x86_64")]
            {
                four.by_coefficient[i][k] = row[k];
            }
            four.by_piece[k][i] = row[k];
            k += 1;
        }
        j += 1;
    }
    fours
}

/// A function in 32 pieces of width `step`: a base of few bits, and a polynomial in the distance
/// from the middle of the piece. `N` coefficients, in `G` fours; those of low degree come first.
pub struct Table<const N: usize, const G: usize> {
    step: f32,
    fours: [Four; G],
}

/// The same with a centre in each piece at which the function is an f32 number: so the base is
/// exact, and the polynomial begins with the distance from the centre.
pub struct Centred<const N: usize, const G: usize> {
    step: f32,
    fours: [Four; G],
}

/// A `Table` whose pieces grow with `t + 1`, eight to an octave, from 0 to 15.
pub struct Octaves<const N: usize, const G: usize> {
    fours: [Four; G],
}

/// Adding this rounds a number to an integer, which then stands in the low bits of the sum.
const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23

/// `t / step` rounded to an integer, in the low bits.
#[inline(always)]
fn piece<V: Lanes32>(t: V, step: f32) -> V {
    t.mul_add(V::splat(1.0 / step), V::splat(ROUND))
}

/// `y r + ...` with the coefficients from number `end` down to number `start`, as far as they are in
/// four `g`; `y` is not there yet where `end` is.
#[inline(always)]
fn horner_in<V: Lanes32>(
    y: V,
    pick: V::Pick,
    r: V,
    (fours, g): (&[Four], usize),
    (start, end): (usize, usize),
) -> V {
    let c = V::four(pick, &fours[g]);
    let mut y = y;
    let mut i = 4;
    while i > 0 {
        i -= 1;
        let j = 4 * g + i;
        if j == end {
            y = c[i];
        } else if j >= start && j < end {
            y = y.mul_add(r, c[i]);
        }
    }
    y
}

/// `c[0] + c[1] r + ...` with the coefficients from number `start` to number `end` that `pick` says.
#[inline(always)]
fn horner<V: Lanes32>(pick: V::Pick, r: V, fours: &[Four], start: usize, end: usize) -> V {
    // A loop would have to be unrolled by the compiler, to which it looks long.
    let mut y = r;
    if fours.len() > 2 {
        y = horner_in(y, pick, r, (fours, 2), (start, end));
    }
    if fours.len() > 1 {
        y = horner_in(y, pick, r, (fours, 1), (start, end));
    }
    horner_in(y, pick, r, (fours, 0), (start, end))
}

impl<const N: usize, const G: usize> Table<N, G> {
    /// From a row for each number.
    pub(crate) const fn new(step: f32, base: Row, rest: [Row; N]) -> Self {
        Table { step, fours: fours([base], rest) }
    }

    /// Base and rest at `t`, which must lie within the table; NaN for NaN.
    #[inline(always)]
    pub(crate) fn at<V: Lanes32>(&self, t: V, slot: usize) -> (V, V) {
        let u = piece(t, self.step);
        let k = u - V::splat(ROUND);
        let r = k.mul_add(V::splat(-self.step), t); // exact
        let pick = u.pick(slot);
        let [base, ..] = V::four(pick, &self.fours[0]);
        (base, horner(pick, r, &self.fours, 1, N))
    }
}

impl<const N: usize, const G: usize> Centred<N, G> {
    /// From a row for each number.
    pub(crate) const fn new(step: f32, centre: Row, base: Row, rest: [Row; N]) -> Self {
        Centred { step, fours: fours([centre, base], rest) }
    }

    /// Base and rest at `t`, which must lie within the table; NaN for NaN.
    #[inline(always)]
    pub(crate) fn at<V: Lanes32>(&self, t: V, slot: usize) -> (V, V) {
        let pick = piece(t, self.step).pick(slot);
        let [centre, base, ..] = V::four(pick, &self.fours[0]);
        let r = t - centre;
        (base, r * horner(pick, r, &self.fours, 2, N + 1))
    }

    /// The same with the linear term in the first of the two numbers: for wide pieces.
    #[inline(always)]
    pub(crate) fn exact<V: Lanes32>(&self, t: V, slot: usize) -> (V, V) {
        let pick = piece(t, self.step).pick(slot);
        let [centre, base, c, _] = V::four(pick, &self.fours[0]);
        let r = t - centre;
        let p = r * c;
        let sum = base + p;
        let lost = r.mul_add(c, -p) + (p - (sum - base));
        (sum, r.mul_add(r * horner(pick, r, &self.fours, 3, N + 1), lost))
    }
}

impl<const N: usize, const G: usize> Octaves<N, G> {
    /// From a row for each number.
    pub(crate) const fn new(centre: Row, base: Row, rest: [Row; N]) -> Self {
        Octaves { fours: fours([centre, base], rest) }
    }

    /// Base and rest at `t`, which must lie within the table; NaN for NaN.
    #[inline(always)]
    pub(crate) fn at<V: Lanes32>(&self, t: V, slot: usize) -> (V, V) {
        let pick = (t + V::splat(1.0)).octave().pick(slot);
        let [centre, base, ..] = V::four(pick, &self.fours[0]);
        (base, horner(pick, t - centre, &self.fours, 2, N + 1))
    }
}

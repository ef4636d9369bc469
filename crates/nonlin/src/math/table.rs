//! Piecewise polynomials whose coefficients are looked up, not branched to.
//!
//! A smooth function of one number is cut into 16 pieces of equal width. The piece of a number is
//! what rounding it to a multiple of the width leaves in the low bits, and these bits pick the
//! coefficients: from one register of AVX-512, two of AVX2, elsewhere by a load of four at a time for
//! each lane. That costs less than an exponential and a division, and far less than the two with all that they
//! round off. A piece has a base, which may have few bits so that it can be multiplied or subtracted
//! without rounding, and a polynomial for what is beyond the base, so that rounding it matters little.

use crate::simd::{CoefficientQuad, Lanes32, PieceRow, ROUND_F32};

/// Sixteen numbers.
#[repr(C, align(64))]
pub struct Table16(pub [f32; 16]);

/// `head` and `rest`, four by four; 0 where that does not come out even.
const fn fours<const H: usize, const N: usize, const G: usize>(
    head: [PieceRow; H],
    rest: [PieceRow; N],
) -> [CoefficientQuad; G] {
    assert!(G == (H + N).div_ceil(4));
    let mut fours = [const {
        CoefficientQuad {
            #[cfg(target_arch = "x86_64")]
            by_coefficient: [[0.0; 16]; 4],
            by_piece: [[0.0; 4]; 16],
        }
    }; G];
    let mut j = 0;
    while j < H + N {
        let row = if j < H { &head[j] } else { &rest[j - H] };
        let (four, i) = (&mut fours[j / 4], j % 4);
        let mut k = 0;
        while k < 16 {
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

/// Four coefficients of all pieces, for tests of the look-up.
#[must_use]
pub fn four(rows: [PieceRow; 4]) -> CoefficientQuad {
    let [four] = fours(rows, []);
    four
}

/// How wide the pieces of a table are.
#[derive(Clone, Copy)]
enum Pieces {
    /// All so wide.
    Equal(f32),
    /// They grow with `t + 1`, four to an octave, from 0 to 15.
    #[cfg(feature = "half")]
    Growing,
}

impl Pieces {
    /// The piece of a number.
    #[inline(always)]
    fn pick<V: Lanes32>(self, t: V) -> V::Pick {
        match self {
            Pieces::Equal(step) => piece(t, step).pick(),
            #[cfg(feature = "half")]
            Pieces::Growing => growing(t),
        }
    }

    /// Half the widths of four pieces each. The exponent of 1 is odd: its pieces are the last four.
    #[cfg(feature = "half")]
    const fn halves(self) -> [f32; 4] {
        match self {
            Pieces::Equal(step) => [step / 2.0; 4],
            Pieces::Growing => [0.25, 0.5, 1.0, 0.125],
        }
    }
}

/// A function in 16 pieces of width `step`: a base of few bits, and a polynomial in the distance
/// from the middle of the piece. `N` coefficients, in `G` fours; those of low degree come first.
pub struct Table<const N: usize, const G: usize> {
    step: f32,
    fours: [CoefficientQuad; G],
}

/// A function in 16 pieces, with a centre in each at which the function is an f32 number: so the base is
/// exact, and the polynomial begins with the distance from the centre.
pub struct Centred<const N: usize, const G: usize> {
    pieces: Pieces,
    fours: [CoefficientQuad; G],
}

/// A `Table` whose pieces grow with `t + 1`, four to an octave, from 0 to 15.
pub struct Octaves<const N: usize, const G: usize> {
    fours: [CoefficientQuad; G],
}

/// `t / step` rounded to an integer, in the low bits.
#[inline(always)]
fn piece<V: Lanes32>(t: V, step: f32) -> V {
    t.mul_add(V::splat(1.0 / step), V::splat(ROUND_F32))
}

/// The piece of a number, and the distance from its middle, which is exact.
#[inline(always)]
fn middle<V: Lanes32>(t: V, step: f32) -> (V::Pick, V) {
    let u = piece(t, step);
    let k = u - V::splat(ROUND_F32);
    (u.pick(), k.mul_add(V::splat(-step), t))
}

/// The piece of a number, for pieces that grow with `t + 1`.
#[inline(always)]
fn growing<V: Lanes32>(t: V) -> V::Pick {
    (t + V::splat(1.0)).octave().pick()
}

/// From so many coefficients on, even and odd powers make two chains: one multiplication more, and
/// half as long to wait.
const LONG: usize = 8;

/// The polynomial with the coefficients from number `start` to number `end` as far as it is found,
/// down to four `g`: of even powers, of odd ones (if it is long), of those that `r` stands for.
#[inline(always)]
fn polynomial_in<V: Lanes32>(
    [mut even, mut odd]: [V; 2],
    pick: V::Pick,
    r: V,
    (fours, g): (&[CoefficientQuad], usize),
    (start, end): (usize, usize),
) -> [V; 2] {
    let c = V::four(pick, &fours[g]);
    let long = end + 1 - start >= LONG;
    let mut i = 4;
    while i > 0 {
        i -= 1;
        let j = 4 * g + i;
        if j >= start && j <= end {
            if long && (j - start) % 2 == 1 {
                odd = if j + 1 >= end { c[i] } else { odd.mul_add(r, c[i]) };
            } else {
                let first = j == end || long && j + 1 == end;
                even = if first { c[i] } else { even.mul_add(r, c[i]) };
            }
        }
    }
    [even, odd]
}

/// `c[0] + c[1] r + ...` with the coefficients from number `start` to number `end` that `pick` says.
#[inline(always)]
fn polynomial<V: Lanes32>(
    pick: V::Pick,
    r: V,
    fours: &[CoefficientQuad],
    start: usize,
    end: usize,
) -> V {
    let long = end + 1 - start >= LONG;
    let step = if long { r * r } else { r };
    // A loop would have to be unrolled by the compiler, to which it looks long.
    let mut y = [r, r];
    if fours.len() > 2 {
        y = polynomial_in(y, pick, step, (fours, 2), (start, end));
    }
    if fours.len() > 1 {
        y = polynomial_in(y, pick, step, (fours, 1), (start, end));
    }
    let [even, odd] = polynomial_in(y, pick, step, (fours, 0), (start, end));
    if long { odd.mul_add(r, even) } else { even }
}

impl<const N: usize, const G: usize> Table<N, G> {
    /// From a row for each number.
    pub(crate) const fn new(step: f32, base: PieceRow, rest: [PieceRow; N]) -> Self {
        Table { step, fours: fours([base], rest) }
    }

    /// Base and rest at `t`, which must lie within the table; NaN for NaN.
    #[inline(always)]
    pub(crate) fn at<V: Lanes32>(&self, t: V) -> (V, V) {
        let (pick, r) = middle(t, self.step);
        let [base, ..] = V::four(pick, &self.fours[0]);
        (base, polynomial(pick, r, &self.fours, 1, N))
    }

    /// Base and rest at `t`, with the rest of the polynomial rounded before the linear term is added, where it is
    /// small: a multiplication more.
    #[inline(always)]
    pub(crate) fn at_linear_last<V: Lanes32>(&self, t: V) -> (V, V) {
        let (pick, r) = middle(t, self.step);
        let [base, c0, c1, _] = V::four(pick, &self.fours[0]);
        let curve = polynomial(pick, r, &self.fours, 3, N);
        (base, r.mul_add(c1, (r * r).mul_add(curve, c0)))
    }
}

impl<const N: usize, const G: usize> Centred<N, G> {
    /// From a row for each number.
    pub(crate) const fn new(
        step: f32,
        centre: PieceRow,
        base: PieceRow,
        rest: [PieceRow; N],
    ) -> Self {
        Centred { pieces: Pieces::Equal(step), fours: fours([centre, base], rest) }
    }

    /// Base and rest at `t`, which must lie within the table; NaN for NaN. The rest of the polynomial is
    /// rounded before the linear term is added, where it is small.
    #[inline(always)]
    pub(crate) fn at<V: Lanes32>(&self, t: V) -> (V, V) {
        let pick = self.pieces.pick(t);
        let [centre, base, c, _] = V::four(pick, &self.fours[0]);
        let r = t - centre;
        (base, r.mul_add(c, r * r * polynomial(pick, r, &self.fours, 3, N + 1)))
    }

    /// The function at `t`, in one number: not rounded at last but before the smallest part is added, for
    /// slopes.
    #[inline(always)]
    pub(crate) fn value<V: Lanes32>(&self, t: V) -> V {
        let pick = self.pieces.pick(t);
        let [centre, base, c, _] = V::four(pick, &self.fours[0]);
        let r = t - centre;
        let rest = polynomial(pick, r, &self.fours, 3, N + 1);
        (r * r).mul_add(rest, r.mul_add(c, base))
    }

    /// Two numbers whose sum is the function at `t`, the linear term in the first: for wide pieces.
    #[inline(always)]
    pub(crate) fn at_exact_linear<V: Lanes32>(&self, t: V) -> (V, V) {
        let pick = self.pieces.pick(t);
        let [centre, base, c, _] = V::four(pick, &self.fours[0]);
        let r = t - centre;
        let p = r * c;
        let sum = base + p;
        let lost = r.mul_add(c, -p) + (p - (sum - base));
        (sum, r.mul_add(r * polynomial(pick, r, &self.fours, 3, N + 1), lost))
    }
}

impl<const N: usize, const G: usize> Octaves<N, G> {
    /// From a row for each number.
    pub(crate) const fn new(centre: PieceRow, base: PieceRow, rest: [PieceRow; N]) -> Self {
        Octaves { fours: fours([centre, base], rest) }
    }

    /// Base and rest at `t`, which must lie within the table; NaN for NaN.
    #[inline(always)]
    pub(crate) fn at<V: Lanes32>(&self, t: V) -> (V, V) {
        let pick = growing(t);
        let [centre, base, ..] = V::four(pick, &self.fours[0]);
        (base, polynomial(pick, t - centre, &self.fours, 2, N + 1))
    }
}

/// A table read in one number, to 2^-21: polynomials of `M` coefficients, which the compiler derives
/// from those of the table.
#[cfg(feature = "half")]
pub struct Shortened<const M: usize, const G: usize> {
    pieces: Pieces,
    /// Whether the first number of a piece is a centre; else polynomials are in the distance from the
    /// middle.
    centred: bool,
    fours: [CoefficientQuad; G],
}

#[cfg(feature = "half")]
impl<const M: usize, const G: usize> Shortened<M, G> {
    /// The number at `t`, which must lie within the table; NaN for NaN.
    #[inline(always)]
    pub(crate) fn at<V: Lanes32>(&self, t: V) -> V {
        if let (Pieces::Equal(step), false) = (self.pieces, self.centred) {
            let (pick, r) = middle(t, step);
            return polynomial(pick, r, &self.fours, 0, M - 1);
        }
        let pick = self.pieces.pick(t);
        let [centre, ..] = V::four(pick, &self.fours[0]);
        polynomial(pick, t - centre, &self.fours, 1, M)
    }

    pub(crate) const fn table<const N: usize, const H: usize>(of: &Table<N, H>) -> Self {
        let c = shorten::<M>(&of.fours, 0, N, 0, &[of.step / 2.0; 4], (0.0, 1.0));
        Shortened { pieces: Pieces::Equal(of.step), centred: false, fours: fours([], c) }
    }

    /// 1/2 less the function.
    pub(crate) const fn below_half<const N: usize, const H: usize>(of: &Table<N, H>) -> Self {
        let c = shorten::<M>(&of.fours, 0, N, 0, &[of.step / 2.0; 4], (0.5, -1.0));
        Shortened { pieces: Pieces::Equal(of.step), centred: false, fours: fours([], c) }
    }

    pub(crate) const fn centred<const N: usize, const H: usize>(of: &Centred<N, H>) -> Self {
        let c = shorten::<M>(&of.fours, 1, N, 1, &of.pieces.halves(), (0.0, 1.0));
        Shortened { pieces: of.pieces, centred: true, fours: fours([row(&of.fours, 0)], c) }
    }

    pub(crate) const fn octaves<const N: usize, const H: usize>(of: &Octaves<N, H>) -> Self {
        let pieces = Pieces::Growing;
        let c = shorten::<M>(&of.fours, 1, N, 0, &pieces.halves(), (0.0, 1.0));
        Shortened { pieces, centred: true, fours: fours([row(&of.fours, 0)], c) }
    }
}

/// Number `j` of all pieces.
#[cfg(feature = "half")]
const fn row(fours: &[CoefficientQuad], j: usize) -> PieceRow {
    let mut row = [0.0; 16];
    let mut k = 0;
    while k < 16 {
        row[k] = fours[j / 4].by_piece[k][j % 4];
        k += 1;
    }
    row
}

/// `offset` plus `factor` times the coefficients of `base + r^first rest(r)`, with the powers from `M` on replaced by the best
/// approximation of lower degree, from Chebyshev's polynomials. The base is number `base` of a piece,
/// the `n` coefficients of the rest follow it. `half` is half the width of four pieces each.
#[cfg(feature = "half")]
const fn shorten<const M: usize>(
    fours: &[CoefficientQuad],
    base: usize,
    n: usize,
    first: usize,
    half: &[f32; 4],
    (offset, factor): (f64, f64),
) -> [PieceRow; M] {
    let mut out = [[0.0; 16]; M];
    let mut piece = 0;
    while piece < 16 {
        let mut c = [0.0f64; 16];
        c[0] = fours[base / 4].by_piece[piece][base % 4] as f64;
        let mut i = 0;
        while i < n {
            let j = base + 1 + i;
            c[i + first] += fours[j / 4].by_piece[piece][j % 4] as f64;
            i += 1;
        }
        let h = half[piece / 4] as f64;
        // Where the function is 0 at the centre it is shortened over the distance, and stays 0 there.
        let zeros = (c[0] == 0.0) as usize;
        let mut over = [0.0; 16];
        i = zeros;
        while i < 16 {
            over[i - zeros] = c[i];
            i += 1;
        }
        let mut degree = n + first - 1;
        while degree >= M {
            lower(&mut over, degree - zeros, h);
            degree -= 1;
        }
        i = zeros;
        while i < 16 {
            c[i] = over[i - zeros];
            i += 1;
        }
        i = 0;
        while i < M {
            let offset = if i == 0 { offset } else { 0.0 };
            out[i][piece] = (offset + factor * c[i]) as f32;
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

/// A function of `$table`, for results of half types: for bf16 of `$n` coefficients, for f16 of `$m`. So many
/// that no number of 8 bits, or of 11, is rounded to another by more than 0.001 units.
#[cfg(feature = "half")]
macro_rules! shortened {
    ($at:ident: $of:ident($table:ident), f16 $m:literal in $g:literal, bf16 $n:literal in $h:literal) => {
        #[inline(always)]
        fn $at<V: Lanes32, const BF16: bool>(t: V) -> V {
            use crate::math::table::Shortened;
            const FOR_F16: Shortened<$m, $g> = Shortened::$of(&$table);
            const FOR_BF16: Shortened<$n, $h> = Shortened::$of(&$table);
            if BF16 { FOR_BF16.at(t) } else { FOR_F16.at(t) }
        }
    };
}
#[cfg(feature = "half")]
pub(crate) use shortened;

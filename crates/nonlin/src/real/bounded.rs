//! f64 with a running bound of its error (Higham, Accuracy and Stability of Numerical Algorithms,
//! section 3.3).
//!
//! A quick result that knows how good it is: where terms cancel, or a factor leaves the range, the
//! bound says so, and the caller computes with [`Extended`](super::Extended) numbers instead.

use super::{Dd, Jet, Prim, Real};
use crate::math;
use crate::simd::Lanes64;
use core::ops::{Add, Div, Mul, Neg, Sub};

/// `v`, at most `e` from the exact number; an infinite or NaN bound says nothing.
#[derive(Clone, Copy, Debug)]
pub struct Bounded {
    v: f64,
    e: f64,
}

/// The largest relative error of a rounding.
const UNIT: f64 = f64::EPSILON / 2.0;
/// Where `e^x` and its square are normal numbers, and no primitive has a power of two apart.
const NEAR: f64 = 300.0;
/// Where cubes and their reciprocals are.
const NEAR_SQUARE: f64 = 1e90;
/// Where `e^(-x^2 / 2)` and its square are normal numbers.
const NEAR_CDF: f64 = 24.0;

impl Bounded {
    /// Exactly `v`.
    #[must_use]
    pub fn new(v: f64) -> Self {
        Bounded { v, e: 0.0 }
    }

    /// The number, if it is known to be within `relative` of the exact one.
    #[must_use]
    pub fn within(self, relative: f64) -> Option<f64> {
        (self.e <= relative * self.v.abs() && self.v.is_finite()).then_some(self.v)
    }

    /// `v` with the bound `e` and a rounding of `units`, which below the normal numbers is one of theirs.
    fn rounded(v: f64, e: f64, units: f64) -> Self {
        let least = if v.abs() < f64::MIN_POSITIVE { f64::from_bits(1) } else { UNIT * v.abs() };
        Bounded { v, e: e + units * least }
    }

    /// This number with its bound, if `decided`; else it may be anything.
    fn if_decided(self, decided: bool) -> Self {
        Bounded { e: if decided { self.e } else { f64::INFINITY }, ..self }
    }

    /// Whether multiplying by it rounds nothing.
    fn is_unit(self) -> bool {
        self.e == 0.0 && (self.v.abs() == 1.0 || self.v == 0.0)
    }
}

impl From<Dd> for Bounded {
    fn from(Dd { hi, lo }: Dd) -> Self {
        Bounded { v: hi, e: lo.abs() }.if_decided(hi.is_finite())
    }
}

impl Add for Bounded {
    type Output = Self;
    fn add(self, o: Self) -> Self {
        let (v, rest) = Lanes64::two_sum(self.v, o.v);
        Bounded { v, e: self.e + o.e + rest.abs() }
    }
}
impl Sub for Bounded {
    type Output = Self;
    fn sub(self, o: Self) -> Self {
        self + -o
    }
}
impl Mul for Bounded {
    type Output = Self;
    // Derivatives are many products, of every definition.
    #[inline(never)]
    fn mul(self, o: Self) -> Self {
        let e = self.v.abs() * o.e + o.v.abs() * self.e + self.e * o.e;
        let units = if self.is_unit() || o.is_unit() { 0.0 } else { 1.0 };
        Bounded::rounded(self.v * o.v, e, units)
    }
}
impl Div for Bounded {
    type Output = Self;
    fn div(self, o: Self) -> Self {
        let q = self.v / o.v;
        let e = (self.e + q.abs() * o.e) / (o.v.abs() - o.e);
        let units = if o.is_unit() { 0.0 } else { 1.0 };
        Bounded::rounded(q, e, units).if_decided(o.e < o.v.abs())
    }
}
impl Neg for Bounded {
    type Output = Self;
    fn neg(self) -> Self {
        Bounded { v: -self.v, ..self }
    }
}

impl Real for Bounded {
    fn lit(self, c: f64) -> Self {
        Bounded::new(c)
    }
    fn constant(self, (v, rest): (f64, f64)) -> Self {
        Bounded { v, e: rest.abs() }
    }
    fn abs(self) -> Self {
        Bounded { v: self.v.abs(), ..self }
    }
    fn max(self, c: Self) -> Self {
        self.pick_greater(c, self, c)
    }
    fn min(self, c: Self) -> Self {
        self.pick_greater(c, c, self)
    }
    fn floor(self) -> Self {
        let v = Real::floor(self.v);
        let decided = v <= self.v - self.e && self.v + self.e < v + 1.0;
        Bounded::new(v).if_decided(decided || self.e == 0.0)
    }
    fn round(self) -> Self {
        let v = Real::round(self.v);
        let decided = (self.v - v).abs() + self.e < 0.5;
        Bounded::new(v).if_decided(decided || self.e == 0.0)
    }
    fn pick_above(self, c: f64, hi: Self, lo: Self) -> Self {
        self.pick_greater(Bounded::new(c), hi, lo)
    }
    fn pick_greater(self, o: Self, hi: Self, lo: Self) -> Self {
        let (apart, doubt) = ((self.v - o.v).abs(), self.e + o.e);
        let picked = if self.v > o.v { hi } else { lo };
        picked.if_decided(doubt == 0.0 && !apart.is_nan() || apart > doubt)
    }
    fn two_prod(self, o: Self) -> (Self, Self) {
        let (p, rest) = Lanes64::two_prod(self.v, o.v);
        let e = (self * o).e - UNIT * p.abs();
        // Not by `max`, which would take a NaN, which says that nothing is known, for 0.
        (Bounded { v: p, e: if e < 0.0 { 0.0 } else { e } }, Bounded::new(rest))
    }
    fn two_sum(self, o: Self) -> (Self, Self) {
        let (s, rest) = Lanes64::two_sum(self.v, o.v);
        (Bounded { v: s, e: self.e + o.e }, Bounded::new(rest))
    }
    /// Nothing is cut off: beyond, `Extended` numbers take over.
    fn saturated(self, end: f64) -> Self {
        self.if_decided(self.v.abs() <= end)
    }
    fn lowest(self) -> Self {
        Bounded::new(f64::MIN)
    }
    fn scale2(self, k: Self) -> Self {
        self.if_decided(k.v == 0.0)
    }
    #[inline(always)]
    fn jet_at(self, lo: Self, p: Prim) -> Jet<Self> {
        primitive_apart(self, lo, p)
    }
}

/// The primitive `p` at `z + lo`.
#[inline(always)]
fn primitive(z: Bounded, lo: Bounded, p: Prim) -> Jet<Bounded> {
    let (x, off) = (z.v, z.e + lo.e);
    let j = x.jet_at(lo.v, p);
    let (v, d, dd) = (j.v + j.v_lo, j.d + j.d_lo, j.dd);
    // Where the primitive and its derivatives are normal numbers; of logarithms and roots the
    // argument must not come near to where they begin.
    let from = match p {
        Prim::Ln1p => 1.0 + x,
        _ => x,
    };
    let within = match p {
        Prim::Cdf | Prim::Erf => x.abs() < NEAR_CDF,
        Prim::Sin | Prim::Cos => x.is_finite(),
        Prim::Atan => x.abs() < NEAR_SQUARE,
        Prim::Sqrt | Prim::Ln | Prim::Ln1p => {
            from > 1.0 / NEAR_SQUARE && from < NEAR_SQUARE && off < 1e-3 * from
        }
        _ => x.abs() < NEAR,
    };
    let decided = within && (off < 1e-3 || matches!(p, Prim::Sqrt | Prim::Ln | Prim::Ln1p));
    // Roundings of d and of dd, and of dd in terms of d where it is a difference; and what the
    // third derivative is at most in terms of the first.
    let (slope, bend, lost, third) = match p {
        Prim::Exp | Prim::ExpM1 => (1.5, 1.5, 0.0, 1.0),
        Prim::Sigmoid => (4.0, 2.5, 3.5, 1.0),
        Prim::Tanh => (2.5, 7.5, 0.0, 4.0),
        Prim::Softplus => (2.0, 5.5, 0.0, 1.0),
        Prim::Cdf => (1.5, 2.0, 0.0, 1.0 + x * x),
        Prim::TanhSoftplus => (3.5, 2.5, 14.0, 12.0),
        Prim::Sqrt => (1.5, 5.5, 0.0, 0.8 / (from * from)),
        Prim::Ln | Prim::Ln1p => (1.5, 4.5, 0.0, 2.1 / (from * from)),
        // Where the slope is 0, the third derivative is not: as a part of 1.
        Prim::Sin | Prim::Cos => (1.5, 1.5, 0.0, 1.0 / d.abs()),
        Prim::Atan => (1.5, 5.5, 0.0, 8.0),
        Prim::Erf => (1.5, 2.5, 0.0, 2.0 + 4.0 * x * x),
    };
    // With an argument that is off by `off` the derivatives are off as well.
    let near = 1.0 + (third + x.abs()) * off;
    let dd_off = (off * third + lost * UNIT) * d.abs() * near;
    let d_off = off * dd.abs() + off * dd_off;
    Jet::new(
        Bounded::rounded(v, off * (d.abs() + d_off), 2.5).if_decided(decided),
        Bounded::rounded(d, d_off, slope).if_decided(decided),
        Bounded::rounded(dd, dd_off, bend).if_decided(decided),
    )
}
math::apart!(primitive_apart, Bounded, primitive);

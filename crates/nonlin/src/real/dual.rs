//! Dual numbers: a value and its derivative in some direction.
//!
//! This file is the whole derivative table: one line per operation, and a single rule for
//! all primitives, because a primitive comes with its derivatives. Put the seed 1 on `x`
//! for f′, on a parameter for the gradient of that parameter; `Dual<Dual<T>>` gives f″.

use super::{Jet, Prim, Real};
use core::ops::{Add, Div, Mul, Neg, Sub};

/// How far the series of [`exp_m1_by_width`] is used, and with how many terms: there the next one
/// is below 2^-106.
const SERIES_END: f64 = 1.0 / 16.0;
const SERIES_TERMS: u32 = 18;

/// A power of two that stands for all lower ones: what has it is 0.
const GONE: f64 = -2020.0;
/// A derivative below this one is 0 where the inside is infinite, or as good as infinite for the type.
const FLAT: f64 = 1e-301;

/// `v + d ε` with `ε² = 0`.
#[derive(Clone, Copy, Debug)]
pub struct Dual<T> {
    /// Value.
    pub v: T,
    /// Derivative.
    pub d: T,
}

/// The derivative of `width * (e^(x / width) - 1)` by the width, where `z` is `x / width`: `e^z - 1 - z e^z`,
/// whose terms cancel near 0: there it is a series, `-z^2 / 2 - z^3 / 3 - ...`.
pub(super) fn exp_m1_by_width<T: Real>(z: T) -> T {
    let one = z.lit(1.0);
    // Each term is n / ((n - 1) (n + 1)) z times the one before.
    let (near, mut sum, mut n) = (z.saturated(SERIES_END), one, SERIES_TERMS);
    while n > 1 {
        let ratio = z.lit(f64::from(n)) / z.lit(f64::from((n - 1) * (n + 1)));
        sum = one + sum * near * ratio;
        n -= 1;
    }
    let series = near * near * z.lit(-0.5) * sum;
    z.abs().pick_above(SERIES_END, z.exp_m1() - z * z.exp(), series)
}

impl<T: Real> Dual<T> {
    /// The variable that is differentiated by.
    #[inline(always)]
    pub fn variable(v: T) -> Self {
        Dual { v, d: v.lit(1.0) }
    }

    /// A number that does not depend on it.
    #[inline(always)]
    pub fn fixed(v: T) -> Self {
        Dual { v, d: v.lit(0.0) }
    }
}

impl<T: Real> Add for Dual<T> {
    type Output = Self;
    #[inline(always)]
    fn add(self, o: Self) -> Self {
        Dual { v: self.v + o.v, d: self.d + o.d }
    }
}
impl<T: Real> Sub for Dual<T> {
    type Output = Self;
    #[inline(always)]
    fn sub(self, o: Self) -> Self {
        Dual { v: self.v - o.v, d: self.d - o.d }
    }
}
impl<T: Real> Mul for Dual<T> {
    type Output = Self;
    #[inline(always)]
    fn mul(self, o: Self) -> Self {
        Dual { v: self.v * o.v, d: self.d * o.v + self.v * o.d }
    }
}
impl<T: Real> Div for Dual<T> {
    type Output = Self;
    #[inline(always)]
    fn div(self, o: Self) -> Self {
        let q = self.v / o.v;
        Dual { v: q, d: (self.d - q * o.d) / o.v }
    }
}
impl<T: Real> Neg for Dual<T> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        Dual { v: -self.v, d: -self.d }
    }
}

impl<T: Real> Real for Dual<T> {
    const DIFFERENTIATES: bool = true;

    #[inline(always)]
    fn literal(self) -> Option<f64> {
        self.v.literal().filter(|_| self.d.literal() == Some(0.0))
    }
    fn with_slopes(self, slopes: &[(Self, Self)]) -> Self {
        let mut d: Option<T> = None;
        for (number, by) in slopes {
            let term = match number.d.literal() {
                Some(0.0) => continue,
                Some(1.0) => by.v,
                _ => by.v * number.d,
            };
            d = Some(d.map_or(term, |d| d + term));
        }
        Dual { v: self.v, d: d.unwrap_or_else(|| self.v.flat()) }
    }
    #[inline(always)]
    fn lit(self, c: f64) -> Self {
        Dual::fixed(self.v.lit(c))
    }
    #[inline(always)]
    fn constant(self, c: (f64, f64)) -> Self {
        Dual::fixed(self.v.constant(c))
    }
    #[inline(always)]
    fn abs(self) -> Self {
        self.pick_above(0.0, self, -self)
    }
    #[inline(always)]
    fn max(self, c: Self) -> Self {
        // Where both are equal it counts as the bound.
        Dual { v: self.v.max(c.v), d: self.v.pick_greater(c.v, self.d, c.d) }
    }
    #[inline(always)]
    fn min(self, c: Self) -> Self {
        Dual { v: self.v.min(c.v), d: c.v.pick_greater(self.v, self.d, c.d) }
    }
    #[inline(always)]
    fn pick_above(self, c: f64, hi: Self, lo: Self) -> Self {
        Dual { v: self.v.pick_above(c, hi.v, lo.v), d: self.v.pick_above(c, hi.d, lo.d) }
    }
    #[inline(always)]
    fn pick_at_least(self, c: f64, hi: Self, lo: Self) -> Self {
        Dual { v: self.v.pick_at_least(c, hi.v, lo.v), d: self.v.pick_at_least(c, hi.d, lo.d) }
    }
    #[inline(always)]
    fn pick_greater(self, o: Self, hi: Self, lo: Self) -> Self {
        Dual { v: self.v.pick_greater(o.v, hi.v, lo.v), d: self.v.pick_greater(o.v, hi.d, lo.d) }
    }
    #[inline(always)]
    fn part_greater(self, o: Self) -> Self {
        Dual { v: self.v.part_greater(o.v), d: self.d }
    }
    #[inline(always)]
    fn part_not_greater(self, o: Self) -> Self {
        Dual { v: self.v.part_not_greater(o.v), d: self.d }
    }
    #[inline(always)]
    fn floor(self) -> Self {
        Dual { v: self.v.floor(), d: self.v.flat() }
    }
    #[inline(always)]
    fn round(self) -> Self {
        Dual { v: self.v.round(), d: self.v.flat() }
    }
    #[inline(always)]
    fn mul_add(self, a: Self, b: Self) -> Self {
        let d = self.d.mul_add(a.v, self.v.mul_add(a.d, b.d));
        Dual { v: self.v.mul_add(a.v, b.v), d }
    }
    #[inline(always)]
    fn powi(self, n: i32) -> Self {
        let d = if n == 0 {
            self.v.flat()
        } else {
            self.d * (self.v.powi(n.saturating_sub(1)) * self.v.lit(f64::from(n)))
        };
        Dual { v: self.v.powi(n), d }
    }
    /// `y x^(y - 1)` and `x^y ln x`, each with the logarithm in two numbers.
    #[inline(always)]
    fn powf(self, y: Self) -> Self {
        let l = self.v.jet(Prim::Ln);
        let (log, zero) = (l.v.saturated(1e290), l.v.lit(0.0));
        let (p, p_lo) = y.v.argument((log, l.v_lo));
        let v = p.jet_at(p_lo, Prim::Exp).value();
        let (q, q_lo) = p.two_sum(-log);
        let power = q.jet_at(q_lo + (p_lo - l.v_lo), Prim::Exp).value();
        let by_base = y.v.abs().pick_above(0.0, y.v * power, zero);
        let by_power = v * log;
        // What does not change has no effect, also where the other factor is infinite.
        let by_base = by_base.finite_beside(0.0, self.d);
        let by_power = by_power.finite_beside(0.0, y.d);
        let base = self.d.finite_beside(FLAT, by_base);
        Dual { v, d: base * by_base + y.d * by_power }
    }
    #[inline(always)]
    fn lowest(self) -> Self {
        Dual::fixed(self.v.lowest())
    }
    #[inline(always)]
    fn saturated(self, end: f64) -> Self {
        Dual { v: self.v.saturated(end), d: self.v.slope_within(end, self.d) }
    }
    #[inline(always)]
    fn slope_within(self, end: f64, slope: Self) -> Self {
        Dual { v: self.v.slope_within(end, slope.v), d: self.v.slope_within(end, slope.d) }
    }
    #[inline(always)]
    fn part_above(self, c: f64) -> Self {
        Dual { v: self.v.part_above(c), d: self.d }
    }
    #[inline(always)]
    fn part_below(self, c: f64) -> Self {
        Dual { v: self.v.part_below(c), d: self.d }
    }
    #[inline(always)]
    fn jet_at(self, lo: Self, p: Prim) -> Jet<Self> {
        let j = self.v.jet_at(lo.v, p);
        // Where it is flat it stays so, however fast the inside grows.
        let d = j.k.pick_above(GONE, j.d + j.d_lo, j.d.lit(0.0));
        let dx = self.d.finite_beside(FLAT, d);
        // Where the inside is flat the result is, however steep the function is at 0.
        let d = match p {
            Prim::Sqrt | Prim::Ln | Prim::Ln1p => d.finite_beside(0.0, dx),
            _ => d,
        };
        // In one number, since products of dual numbers leave low parts out.
        Jet {
            v: Dual { v: j.v, d: d * dx },
            v_lo: Dual::fixed(j.v_lo),
            d: Dual { v: d, d: j.dd * dx },
            d_lo: Dual::fixed(d.lit(-0.0)),
            // A third derivative is not known: whoever asks for it sees NaN.
            dd: Dual { v: j.dd, d: j.dd.lit(f64::NAN) },
            k: Dual::fixed(j.k),
        }
    }
    /// By the slope it is `self`, which may be infinite.
    #[inline(always)]
    fn times_slope(self, slope: Self) -> Self {
        let d = self.d * slope.v + self.v.times_slope(slope.d);
        Dual { v: self.v.times_slope(slope.v), d }
    }
    fn exp_m1_of_width(self, width: Self) -> Self {
        let z = (self.v / width.v).finite();
        let d = self.d * z.exp() + width.d * exp_m1_by_width(z);
        Dual { v: self.v.exp_m1_of_width(width.v), d }
    }
    /// Between its ends the derivative has no offset in it, which a small `self` would be lost in.
    #[inline(always)]
    fn ramp(self, slope: Self, rest: Self, offset: Self) -> Self {
        let line = (self.v + offset.v / slope.v) * slope.v;
        let inner = self.d * slope.v + self.v * slope.d + offset.d;
        let (zero, one) = (line.lit(0.0), line.lit(1.0));
        let d = line.pick_above(0.0, line.pick_greater(one, zero, inner), zero);
        Dual { v: self.v.ramp(slope.v, rest.v, offset.v), d }
    }
    /// Term by term, since a product may overflow before the power of two.
    #[inline(always)]
    fn scaled(self, m: Self, m_lo: Self, k: Self) -> Self {
        let d = self.d.scaled(m.v, m_lo.v, k.v) + self.v.scaled(m.d, m_lo.d, k.v);
        Dual { v: self.v.scaled(m.v, m_lo.v, k.v), d }
    }
    #[inline(always)]
    fn scale2(self, k: Self) -> Self {
        Dual { v: self.v.scale2(k.v), d: self.d.scale2(k.v) }
    }
    #[inline(always)]
    fn two_prod(self, o: Self) -> (Self, Self) {
        let (v, lo) = self.v.two_prod(o.v);
        (Dual { v, d: (self * o).d }, Dual::fixed(lo))
    }
    #[inline(always)]
    fn two_sum(self, o: Self) -> (Self, Self) {
        let (v, lo) = self.v.two_sum(o.v);
        (Dual { v, d: self.d + o.d }, Dual::fixed(lo))
    }
}

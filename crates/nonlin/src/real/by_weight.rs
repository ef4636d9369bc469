//! Numbers with their derivatives by a weight, where it is known at compile time which ones have any: what
//! does not depend on the weight is not multiplied by a zero.

use super::{Dual, Jet, Prim, Real};
use core::ops::{Add, Div, Mul, Neg, Sub};

/// A number and its derivative by the weight, which is nothing where it does not depend on it.
///
/// Unless `CAREFUL`, an infinite number times 0 is NaN, as in plain arithmetic: whoever adds the derivatives
/// up sees a NaN, and takes the way of care then.
#[derive(Clone, Copy)]
pub(crate) struct ByWeight<T, const CAREFUL: bool> {
    v: T,
    d: Option<T>,
}

impl<T: Real, const CAREFUL: bool> ByWeight<T, CAREFUL> {
    /// The weight `v`, whose derivative is the seed `d`.
    #[inline(always)]
    pub(crate) fn weight(v: T, d: T) -> Self {
        ByWeight { v, d: Some(d) }
    }
    /// A number that does not depend on the weight.
    #[inline(always)]
    pub(crate) fn fixed(v: T) -> Self {
        ByWeight { v, d: None }
    }
    /// The derivative.
    #[inline(always)]
    pub(crate) fn derivative(self) -> T {
        match self.d {
            Some(d) => d,
            None => self.v.lit(0.0),
        }
    }
    /// What `f` makes of both derivatives, if there is one.
    #[inline(always)]
    fn of(a: Self, b: Self, f: impl FnOnce(T, T) -> T) -> Option<T> {
        match (a.d, b.d) {
            (None, None) => None,
            _ => Some(f(a.derivative(), b.derivative())),
        }
    }
    #[inline(always)]
    fn sum(a: Option<T>, b: Option<T>) -> Option<T> {
        match (a, b) {
            (Some(a), Some(b)) => Some(a + b),
            (a, None) => a,
            (None, b) => b,
        }
    }
}

/// What `$f` makes of a derivative.
macro_rules! of {
    ($d:expr, |$v:ident| $f:expr) => {
        match $d {
            Some($v) => Some($f),
            None => None,
        }
    };
}

impl<T: Real, const CAREFUL: bool> Add for ByWeight<T, CAREFUL> {
    type Output = Self;
    #[inline(always)]
    fn add(self, o: Self) -> Self {
        ByWeight { v: self.v + o.v, d: Self::sum(self.d, o.d) }
    }
}
impl<T: Real, const CAREFUL: bool> Sub for ByWeight<T, CAREFUL> {
    type Output = Self;
    #[inline(always)]
    fn sub(self, o: Self) -> Self {
        ByWeight { v: self.v - o.v, d: Self::sum(self.d, of!(o.d, |d| -d)) }
    }
}
impl<T: Real, const CAREFUL: bool> Mul for ByWeight<T, CAREFUL> {
    type Output = Self;
    #[inline(always)]
    fn mul(self, o: Self) -> Self {
        let d = Self::sum(of!(self.d, |d| d * o.v), of!(o.d, |d| self.v * d));
        ByWeight { v: self.v * o.v, d }
    }
}
impl<T: Real, const CAREFUL: bool> Div for ByWeight<T, CAREFUL> {
    type Output = Self;
    #[inline(always)]
    fn div(self, o: Self) -> Self {
        let d = Self::of(self, o, |a, b| (Dual { v: self.v, d: a } / Dual { v: o.v, d: b }).d);
        ByWeight { v: self.v / o.v, d }
    }
}
impl<T: Real, const CAREFUL: bool> Neg for ByWeight<T, CAREFUL> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        ByWeight { v: -self.v, d: of!(self.d, |d| -d) }
    }
}

impl<T: Real, const CAREFUL: bool> Real for ByWeight<T, CAREFUL> {
    #[inline(always)]
    fn lit(self, c: f64) -> Self {
        Self::fixed(self.v.lit(c))
    }
    #[inline(always)]
    fn lowest(self) -> Self {
        Self::fixed(self.v.lowest())
    }
    #[inline(always)]
    fn abs(self) -> Self {
        self.pick_above(0.0, self, -self)
    }
    #[inline(always)]
    fn max(self, c: Self) -> Self {
        let d = Self::of(self, c, |a, b| self.v.pick_greater(c.v, a, b));
        ByWeight { v: self.v.max(c.v), d }
    }
    #[inline(always)]
    fn min(self, c: Self) -> Self {
        let d = Self::of(self, c, |a, b| c.v.pick_greater(self.v, a, b));
        ByWeight { v: self.v.min(c.v), d }
    }
    #[inline(always)]
    fn floor(self) -> Self {
        Self::fixed(self.v.floor())
    }
    #[inline(always)]
    fn round(self) -> Self {
        Self::fixed(self.v.round())
    }
    #[inline(always)]
    fn pick_above(self, c: f64, hi: Self, lo: Self) -> Self {
        let d = Self::of(hi, lo, |hi, lo| self.v.pick_above(c, hi, lo));
        ByWeight { v: self.v.pick_above(c, hi.v, lo.v), d }
    }
    #[inline(always)]
    fn pick_nan_free(self, c: f64, hi: Self, lo: Self) -> Self {
        if CAREFUL {
            return self.pick_above(c, hi, lo);
        }
        let d = Self::of(hi, lo, |hi, lo| self.v.pick_nan_free(c, hi, lo));
        ByWeight { v: self.v.pick_nan_free(c, hi.v, lo.v), d }
    }
    /// By the slope it is `self`, which may be infinite.
    #[inline(always)]
    fn times_slope(self, slope: Self) -> Self {
        let by_slope = of!(slope.d, |d| if CAREFUL { self.v.times_slope(d) } else { self.v * d });
        let d = Self::sum(of!(self.d, |d| d * slope.v), by_slope);
        ByWeight { v: self.v.times_slope(slope.v), d }
    }
    #[inline(always)]
    fn jet_at(self, lo: Self, p: Prim) -> Jet<Self> {
        let x = Dual { v: self.v, d: self.derivative() };
        x.jet_at(Dual::fixed(lo.v), p).map(|part| Self::weight(part.v, part.d))
    }
}

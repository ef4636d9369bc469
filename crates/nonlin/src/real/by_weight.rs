//! Numbers with their derivatives by a weight, where it is known which ones have any, in kernels at compile
//! time: what does not depend on the weight is not multiplied by a zero.

use super::dual::exp_m1_by_width;
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
    /// The number itself.
    pub(crate) fn value(self) -> T {
        self.v
    }
    /// The derivative.
    #[inline(always)]
    pub(crate) fn derivative(self) -> T {
        match self.d {
            Some(d) => d,
            None => self.v.lit(0.0),
        }
    }
    /// As dual numbers have it.
    #[inline(always)]
    fn dual(self) -> Dual<T> {
        Dual { v: self.v, d: self.derivative() }
    }
    #[inline(always)]
    fn of_dual(Dual { v, d }: Dual<T>) -> Self {
        Self::weight(v, d)
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
        let q = self.v / o.v;
        let by_divisor = of!(o.d, |d| -(q * d / o.v));
        ByWeight { v: q, d: Self::sum(of!(self.d, |d| d / o.v), by_divisor) }
    }
}
impl<T: Real, const CAREFUL: bool> Neg for ByWeight<T, CAREFUL> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        ByWeight { v: -self.v, d: of!(self.d, |d| -d) }
    }
}

/// A method of dual numbers, which does to a number alone what it does to values where nothing depends on the
/// weight.
macro_rules! as_dual {
    ($(fn $method:ident(self $(, $c:ident: $constant:ty)* $(; $($o:ident),+)?);)*) => {$(
        #[inline(always)]
        fn $method(self $(, $c: $constant)* $($(, $o: Self)+)?) -> Self {
            if self.d.is_none() $($(&& $o.d.is_none())+)? {
                return Self::fixed(self.v.$method($($c,)* $($($o.v),+)?));
            }
            Self::of_dual(self.dual().$method($($c,)* $($($o.dual()),+)?))
        }
    )*};
}

impl<T: Real, const CAREFUL: bool> Real for ByWeight<T, CAREFUL> {
    const DIFFERENTIATES: bool = true;

    as_dual! {
        fn max(self; c);
        fn min(self; c);
        fn floor(self);
        fn round(self);
        fn part_above(self, c: f64);
        fn part_below(self, c: f64);
        fn part_greater(self; o);
        fn part_not_greater(self; o);
        fn pick_at_least(self, c: f64; hi, lo);
        fn pick_greater(self; o, hi, lo);
        fn saturated(self, end: f64);
        fn slope_within(self, end: f64; slope);
        fn finite(self);
        fn finite_beside(self, least: f64; o);
        fn mul_add(self; a, b);
        fn sqrt(self);
        fn powi(self, n: i32);
        fn powf(self; y);
        fn ramp(self; slope, rest, offset);
        fn scale2(self; k);
    }

    #[inline(always)]
    fn lit(self, c: f64) -> Self {
        Self::fixed(self.v.lit(c))
    }
    #[inline(always)]
    fn constant(self, c: (f64, f64)) -> Self {
        Self::fixed(self.v.constant(c))
    }
    #[inline(always)]
    fn lowest(self) -> Self {
        Self::fixed(self.v.lowest())
    }
    #[inline(always)]
    fn literal(self) -> Option<f64> {
        self.v.literal().filter(|_| self.d.is_none())
    }
    fn with_slopes(self, slopes: &[(Self, Self)]) -> Self {
        let terms = slopes.iter().map(|(number, by)| of!(number.d, |d| by.v * d));
        ByWeight { v: self.v, d: terms.fold(None, Self::sum) }
    }
    #[inline(always)]
    fn abs(self) -> Self {
        if self.d.is_none() {
            return Self::fixed(self.v.abs());
        }
        self.pick_above(0.0, self, -self)
    }
    #[inline(always)]
    fn pick_above(self, c: f64, hi: Self, lo: Self) -> Self {
        let v = self.v.pick_above(c, hi.v, lo.v);
        if self.d.is_none() && hi.d.is_none() && lo.d.is_none() {
            return Self::fixed(v);
        }
        Self::weight(v, self.v.pick_above(c, hi.derivative(), lo.derivative()))
    }
    #[inline(always)]
    fn pick_nan_free(self, c: f64, hi: Self, lo: Self) -> Self {
        let v = self.v.pick_nan_free(c, hi.v, lo.v);
        if self.d.is_none() && hi.d.is_none() && lo.d.is_none() {
            return Self::fixed(v);
        }
        let (hi, lo) = (hi.derivative(), lo.derivative());
        let d =
            if CAREFUL { self.v.pick_above(c, hi, lo) } else { self.v.pick_nan_free(c, hi, lo) };
        Self::weight(v, d)
    }
    /// By the slope it is `self`, which may be infinite.
    #[inline(always)]
    fn times_slope(self, slope: Self) -> Self {
        let by_slope = of!(slope.d, |d| if CAREFUL { self.v.times_slope(d) } else { self.v * d });
        let d = Self::sum(of!(self.d, |d| d * slope.v), by_slope);
        ByWeight { v: self.v.times_slope(slope.v), d }
    }
    #[inline(always)]
    fn two_prod(self, o: Self) -> (Self, Self) {
        let (v, lo) = self.v.two_prod(o.v);
        (ByWeight { v, d: (self * o).d }, Self::fixed(lo))
    }
    #[inline(always)]
    fn two_sum(self, o: Self) -> (Self, Self) {
        let (v, lo) = self.v.two_sum(o.v);
        (ByWeight { v, d: (self + o).d }, Self::fixed(lo))
    }
    /// Term by term, since a product may overflow before the power of two.
    #[inline(always)]
    fn scaled(self, m: Self, m_lo: Self, k: Self) -> Self {
        let own = of!(self.d, |d| d.scaled(m.v, m_lo.v, k.v));
        let by_m = of!(m.d, |d| self.v.scaled(d, m_lo.derivative(), k.v));
        ByWeight { v: self.v.scaled(m.v, m_lo.v, k.v), d: Self::sum(own, by_m) }
    }
    #[inline(always)]
    fn exp_m1_of_width(self, width: Self) -> Self {
        let v = self.v.exp_m1_of_width(width.v);
        let z = || (self.v / width.v).finite();
        let own = of!(self.d, |d| d * z().exp());
        ByWeight { v, d: Self::sum(own, of!(width.d, |d| d * exp_m1_by_width(z()))) }
    }
    #[inline(always)]
    fn jet(self, p: Prim) -> Jet<Self> {
        if self.d.is_none() {
            return self.v.jet(p).map(Self::fixed);
        }
        self.jet_at(self.lit(-0.0), p)
    }
    #[inline(always)]
    fn jet_at(self, lo: Self, p: Prim) -> Jet<Self> {
        if self.d.is_none() && lo.d.is_none() {
            return self.v.jet_at(lo.v, p).map(Self::fixed);
        }
        // Parts that do not depend on the weight are known by a literal 0, where numbers know what they are.
        self.dual().jet_at(lo.dual(), p).map(|part| match part.d.literal() {
            Some(0.0) => Self::fixed(part.v),
            _ => Self::of_dual(part),
        })
    }
}

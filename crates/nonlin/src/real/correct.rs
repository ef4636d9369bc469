//! A fast f64 reference: plain formulas over the correctly rounded functions of CORE-MATH.
//!
//! Each formula is free of cancellation, and where an argument is rounded before it enters an
//! exponential (`x / sqrt 2`, `x^2 / 2`) the rounding error is carried along to first order.
//! Values and slopes are good to 1e-15 relative as long as they are normal f64 numbers, the
//! deepest tails included; second derivatives to 2e-15, away from their zeros and where the
//! slope is normal. What a definition makes of them can still cancel, as slopes do where they
//! pass through zero: there the multiple-precision references decide.

use super::{Jet, Prim, Real};
use core::ops::{Add, Div, Mul, Neg, Sub};

/// `1 / sqrt 2`, and what f64 has no room for.
const FRAC_1_SQRT_2: (f64, f64) = (core::f64::consts::FRAC_1_SQRT_2, -4.833_646_656_726_457e-17);
/// `1 / sqrt(2 pi)`.
const FRAC_1_SQRT_2PI: f64 = 0.398_942_280_401_432_7;

/// `1 / (1 + e^-z)`.
#[must_use]
pub fn sigmoid(z: f64) -> f64 {
    let w = core_math::exp(-z.abs());
    if z > 0.0 { 1.0 / (1.0 + w) } else { w / (1.0 + w) }
}

/// `ln(1 + e^z)`.
#[must_use]
pub fn softplus(z: f64) -> f64 {
    let tail = core_math::log1p(core_math::exp(-z.abs()));
    if z > 0.0 { z + tail } else { tail }
}

/// `e^(-z^2 / 2) / sqrt(2 pi)`.
#[must_use]
pub fn normal_pdf(z: f64) -> f64 {
    let z = z.clamp(-40.0, 40.0); // the density underflows at 39; NaN stays
    let p = z * z;
    let rest = z.mul_add(z, -p);
    core_math::exp(-0.5 * p) * (1.0 - 0.5 * rest) * FRAC_1_SQRT_2PI
}

/// `(1 + erf(z / sqrt 2)) / 2`.
#[must_use]
pub fn normal_cdf(z: f64) -> f64 {
    let z = z.clamp(-40.0, 40.0); // 0 and 1 beyond
    let t = -z * FRAC_1_SQRT_2.0;
    let lo = (-z).mul_add(FRAC_1_SQRT_2.0, -t) - z * FRAC_1_SQRT_2.1;
    // erfc(t + lo) = erfc(t) - 2 / sqrt(pi) e^-t^2 lo, and t^2 = z^2 / 2.
    0.5 * core_math::erfc(t) - core::f64::consts::SQRT_2 * normal_pdf(z) * lo
}

/// The slope of the logarithm at `u`, infinite at both zeros, NaN below.
fn reciprocal(u: f64) -> f64 {
    if u < 0.0 { f64::NAN } else { 1.0 / u.abs() }
}

/// The slope of `ln(1 + z)`, with what `1 + z` rounds off.
fn reciprocal_1p(z: f64) -> f64 {
    let u = 1.0 + z;
    let rest = if z.abs() < 1.0 { z - (u - 1.0) } else { 1.0 - (u - z) };
    let d = reciprocal(u);
    if d.is_finite() && u.is_finite() { d - d * d * rest } else { d }
}

/// `2 / sqrt(pi) e^(-z^2)`, the slope of the error function.
fn bell(z: f64) -> f64 {
    let z = z.clamp(-28.0, 28.0); // it underflows at 27.3; NaN stays
    let p = z * z;
    let rest = z.mul_add(z, -p);
    core_math::exp(-p) * (1.0 - rest) * core::f64::consts::FRAC_2_SQRT_PI
}

/// The primitive `p` and its first derivative at `z`.
///
/// Each calls no more of the correctly rounded functions than it needs: exhaustive runs spend
/// their time in them.
#[inline]
fn value_and_slope(z: f64, p: Prim) -> (f64, f64) {
    match p {
        Prim::Exp => {
            let e = core_math::exp(z);
            (e, e)
        }
        Prim::ExpM1 => (core_math::expm1(z), core_math::exp(z)),
        Prim::Sigmoid => {
            let w = core_math::exp(-z.abs());
            let r = 1.0 + w;
            (if z > 0.0 { 1.0 / r } else { w / r }, w / (r * r))
        }
        Prim::Tanh => {
            let w = core_math::exp(-2.0 * z.abs());
            (core_math::tanh(z), 4.0 * w / ((1.0 + w) * (1.0 + w)))
        }
        Prim::Softplus => (softplus(z), sigmoid(z)),
        Prim::Cdf => (normal_cdf(z), normal_pdf(z)),
        Prim::TanhSoftplus => {
            // With q = e^z: v = n / (n + 2) for n = q^2 + 2 q; for z > 0 both times e^-2z.
            let w = core_math::exp(-z.abs());
            let positive = z > 0.0;
            let n = if positive { 1.0 + 2.0 * w } else { w * (w + 2.0) };
            let den = n + if positive { 2.0 * w * w } else { 2.0 };
            (n / den, 4.0 * w * (1.0 + w) * if positive { w } else { 1.0 } / (den * den))
        }
        Prim::Sqrt => (z.sqrt(), 0.5 / z.sqrt().abs()),
        Prim::Ln => (core_math::log(z), reciprocal(z)),
        Prim::Ln1p => (core_math::log1p(z), reciprocal_1p(z)),
        Prim::Sin => (core_math::sin(z), core_math::cos(z)),
        Prim::Cos => (core_math::cos(z), -core_math::sin(z)),
        Prim::Atan => (core_math::atan(z), 1.0 / (1.0 + z * z)),
        Prim::Erf => (core_math::erf(z), bell(z)),
    }
}

/// The second derivative of the primitive `p` at `z`.
fn curvature(z: f64, p: Prim) -> f64 {
    let (v, d) = value_and_slope(z, p);
    match p {
        Prim::Exp => d,
        Prim::ExpM1 => d,
        // 1 - 2 sigmoid(z) = -tanh(z / 2).
        Prim::Sigmoid => -d * core_math::tanh(0.5 * z),
        Prim::Tanh => -2.0 * v * d,
        Prim::Softplus => value_and_slope(z, Prim::Sigmoid).1,
        Prim::Cdf => -z.clamp(-f64::MAX, f64::MAX) * d,
        Prim::TanhSoftplus => {
            let w = core_math::exp(-z.abs());
            let q = if z > 0.0 { 1.0 } else { w };
            let n = if z > 0.0 { 1.0 + 2.0 * w } else { w * (w + 2.0) };
            let den = n + if z > 0.0 { 2.0 * w * w } else { 2.0 };
            d * (1.0 + q / (1.0 + w) - 4.0 * (q * (1.0 + w) / den))
        }
        Prim::Sqrt => -2.0 * (d * d) * d,
        Prim::Ln | Prim::Ln1p => -d * d,
        Prim::Sin | Prim::Cos => -v,
        Prim::Atan => -2.0 * z.clamp(-1e150, 1e150) * d * d,
        Prim::Erf => -2.0 * z.clamp(-30.0, 30.0) * d,
    }
}

/// The primitive `p` and its first two derivatives at `z + lo`, where `lo` is a small
/// correction, which the second derivative does without.
#[must_use]
pub fn primitive(z: f64, lo: f64, p: Prim) -> (f64, f64, f64) {
    let (v, d) = value_and_slope(z, p);
    let dd = curvature(z, p);
    if !corrects(z, lo, d) {
        return (v, d, dd);
    }
    let slope = if (lo * dd).is_finite() { lo.mul_add(dd, d) } else { d };
    (lo.mul_add(d, v), slope, dd)
}

/// Whether there is something to correct, and room for it.
fn corrects(z: f64, lo: f64, d: f64) -> bool {
    lo != 0.0 && (lo * d).is_finite() && z.is_finite()
}

/// A number for definitions: f64 arithmetic, primitives from [`primitive`].
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Cm(pub f64);

macro_rules! operator {
    ($trait:ident, $method:ident) => {
        impl $trait for Cm {
            type Output = Self;
            #[inline]
            fn $method(self, o: Self) -> Self {
                Cm(self.0.$method(o.0))
            }
        }
    };
}
operator!(Add, add);
operator!(Sub, sub);
operator!(Mul, mul);
operator!(Div, div);

impl Neg for Cm {
    type Output = Self;
    #[inline]
    fn neg(self) -> Self {
        Cm(-self.0)
    }
}

impl Real for Cm {
    fn lit(self, c: f64) -> Self {
        Cm(c)
    }
    fn abs(self) -> Self {
        Cm(self.0.abs())
    }
    fn max(self, c: Self) -> Self {
        if c > self { c } else { self }
    }
    fn min(self, c: Self) -> Self {
        if c < self { c } else { self }
    }
    fn floor(self) -> Self {
        Cm(self.0.floor())
    }
    fn round(self) -> Self {
        Cm(self.0.round_ties_even())
    }
    fn pick_above(self, c: f64, hi: Self, lo: Self) -> Self {
        if self.0.is_nan() {
            self
        } else if self.0 > c {
            hi
        } else {
            lo
        }
    }
    fn constant_rest(self, c: (f64, f64)) -> Self {
        Cm(c.1)
    }
    fn jet_at(self, lo: Self, p: Prim) -> Jet<Self> {
        let (v, d) = value_and_slope(self.0, p);
        if corrects(self.0, lo.0, d) {
            let (v, d, dd) = primitive(self.0, lo.0, p);
            return Jet::new(Cm(v), Cm(d), Cm(dd));
        }
        // Who asks for a second derivative sees NaN: `primitive` has it.
        Jet::new(Cm(v), Cm(d), Cm(f64::NAN))
    }
    fn two_prod(self, o: Self) -> (Self, Self) {
        let p = self.0 * o.0;
        (Cm(p), Cm(self.0.mul_add(o.0, -p)))
    }
    fn reciprocal(self) -> (Self, Self) {
        let q = 1.0 / self.0;
        (Cm(q), Cm((-q).mul_add(self.0, 1.0) * q))
    }
    fn two_sum(self, o: Self) -> (Self, Self) {
        let s = self.0 + o.0;
        let part = s - self.0;
        (Cm(s), Cm((self.0 - (s - part)) + (o.0 - part)))
    }
}

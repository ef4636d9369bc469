//! A definition's body in multiple precision: the numbers of [`Mpfr`].
//!
//! Where a formula's text says what a function is, [`Mp`] says what its definition computes
//! when rounding does not matter. `Real` asks for numbers that can be copied, so they are
//! places in an arena, which [`Mpfr::clear`] empties. Precision is as given and bounds are
//! not tracked: 250 bits leave 200 for a definition that is good for f64.

use core::cell::RefCell;
use core::fmt;
use core::ops::{Add, Div, Mul, Neg, Sub};
use nonlin::real::{Jet, Prim, Real};
use rug::Float;

/// Where the numbers of one evaluation live.
#[derive(Debug)]
pub struct Mpfr {
    precision: u32,
    numbers: RefCell<Vec<Float>>,
}

impl Mpfr {
    /// An arena for numbers of `precision` bits, at least those of f64.
    #[must_use]
    pub fn new(precision: u32) -> Self {
        Mpfr { precision: precision.max(53), numbers: RefCell::default() }
    }

    /// Exactly `v`.
    pub fn number(&self, v: f64) -> Mp<'_> {
        self.put(Float::with_val(self.precision, v))
    }

    /// `v`, rounded to the arena's precision.
    pub fn float(&self, v: &Float) -> Mp<'_> {
        self.put(Float::with_val(self.precision, v))
    }

    /// Forgets all numbers.
    pub fn clear(&mut self) {
        self.numbers.get_mut().clear();
    }

    fn put(&self, v: Float) -> Mp<'_> {
        let mut numbers = self.numbers.borrow_mut();
        numbers.push(v);
        Mp { arena: self, place: numbers.len() - 1 }
    }
}

/// A number in an [`Mpfr`] arena.
#[derive(Clone, Copy)]
pub struct Mp<'a> {
    arena: &'a Mpfr,
    place: usize,
}

impl<'a> Mp<'a> {
    /// The number.
    #[must_use]
    pub fn value(self) -> Float {
        self.with(Float::clone)
    }

    /// The number, rounded to nearest.
    #[must_use]
    pub fn to_f64(self) -> f64 {
        self.with(Float::to_f64)
    }

    fn with<R>(self, f: impl FnOnce(&Float) -> R) -> R {
        f(&self.arena.numbers.borrow()[self.place])
    }

    fn map(self, f: impl FnOnce(Float) -> Float) -> Self {
        let v = f(self.value());
        self.arena.put(v)
    }

    /// Whether `self > o`.
    fn above(self, o: Self) -> bool {
        self.with(|a| o.with(|b| a > b))
    }

    fn is_nan(self) -> bool {
        self.with(Float::is_nan)
    }
}

/// The number to 20 digits.
impl fmt::Debug for Mp<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with(|v| write!(f, "{v:.20}"))
    }
}

macro_rules! operator {
    ($trait:ident, $method:ident) => {
        impl<'a> $trait for Mp<'a> {
            type Output = Self;
            fn $method(self, o: Self) -> Self {
                let v = self.with(|a| {
                    o.with(|b| Float::with_val(self.arena.precision, $trait::$method(a, b)))
                });
                self.arena.put(v)
            }
        }
    };
}
operator!(Add, add);
operator!(Sub, sub);
operator!(Mul, mul);
operator!(Div, div);

impl Neg for Mp<'_> {
    type Output = Self;
    fn neg(self) -> Self {
        self.map(|v| -v)
    }
}

/// `1 / (1 + e^-z)`.
fn sigmoid(z: Float) -> Float {
    ((-z).exp() + 1u32).recip()
}

/// `ln(1 + e^z)`.
fn softplus(z: Float) -> Float {
    let tail = (-z.clone().abs()).exp().ln_1p();
    if z > 0 { z + tail } else { tail }
}

/// `p` and its first two derivatives at `z`.
fn primitive(z: Float, p: Prim) -> (Float, Float, Float) {
    match p {
        Prim::Exp => {
            let e = z.exp();
            (e.clone(), e.clone(), e)
        }
        Prim::ExpM1 => {
            let e = z.clone().exp();
            (z.exp_m1(), e.clone(), e)
        }
        Prim::Sigmoid => {
            // s' = s(z) s(-z), s'' = s' (s(-z) - s(z)) = -s' tanh(z / 2).
            let (s, t) = (sigmoid(z.clone()), sigmoid(-z.clone()));
            let d = Float::with_val(z.prec(), &s * &t);
            let dd = -Float::with_val(z.prec(), &d * (z / 2u32).tanh());
            (s, d, dd)
        }
        Prim::Tanh => {
            // t' = sech(z)^2, t'' = -2 t t'.
            let t = z.clone().tanh();
            let d = z.sech().square();
            let dd = Float::with_val(t.prec(), &t * &d) * -2i32;
            (t, d, dd)
        }
        Prim::Softplus => {
            let (s, d, _) = primitive(z.clone(), Prim::Sigmoid);
            (softplus(z), s, d)
        }
        Prim::Cdf => {
            // erfc(-z / sqrt 2) / 2 has digits in the lower tail, unlike (1 + erf(z / sqrt 2)) / 2.
            let prec = z.prec();
            let v = (-z.clone() / Float::with_val(prec, 2).sqrt()).erfc() / 2u32;
            let area = Float::with_val(prec, rug::float::Constant::Pi) * 2u32;
            let d = (-z.clone().square() / 2u32).exp() / area.sqrt();
            let dd = if d.is_zero() { d.clone() } else { -z * &d };
            (v, d, dd)
        }
        Prim::TanhSoftplus => {
            // t(s(z)): t' s', t'' s'^2 + t' s''.
            let (s, ds, dds) = primitive(z, Prim::Softplus);
            let (t, dt, ddt) = primitive(s, Prim::Tanh);
            let d = Float::with_val(t.prec(), &dt * &ds);
            (t, d, ddt * ds.square() + dt * dds)
        }
        Prim::Sqrt => {
            let v = z.clone().sqrt();
            let d = v.clone().abs().recip() / 2u32;
            let dd = Float::with_val(z.prec(), &d / &z) / -2i32;
            (v, d, dd)
        }
        Prim::Ln | Prim::Ln1p => {
            let u = if p == Prim::Ln { z.clone() } else { z.clone() + 1u32 };
            let v = if p == Prim::Ln { z.ln() } else { z.ln_1p() };
            let d = if u < 0 { Float::with_val(u.prec(), f64::NAN) } else { u.abs().recip() };
            let dd = -d.clone().square();
            (v, d, dd)
        }
        Prim::Sin => {
            let (s, c) = z.clone().sin_cos(z);
            (s.clone(), c, -s)
        }
        Prim::Cos => {
            let (s, c) = z.clone().sin_cos(z);
            (c.clone(), -s, -c)
        }
        Prim::Atan => {
            let d = (z.clone().square() + 1u32).recip();
            let dd = if d.is_zero() { d.clone() } else { z.clone() * &d * &d * -2i32 };
            (z.atan(), d, dd)
        }
        Prim::Erf => {
            let root = Float::with_val(z.prec(), rug::float::Constant::Pi).sqrt();
            let d = (-z.clone().square()).exp() / root * 2u32;
            let dd = if d.is_zero() { d.clone() } else { z.clone() * &d * -2i32 };
            (z.erf(), d, dd)
        }
        other => unimplemented!("multiple precision has no {other:?}"),
    }
}

impl Real for Mp<'_> {
    fn lit(self, c: f64) -> Self {
        self.arena.number(c)
    }
    fn abs(self) -> Self {
        self.map(Float::abs)
    }
    fn max(self, c: Self) -> Self {
        if c.above(self) { c } else { self }
    }
    fn min(self, c: Self) -> Self {
        if self.above(c) { c } else { self }
    }
    fn floor(self) -> Self {
        self.map(Float::floor)
    }
    fn round(self) -> Self {
        self.map(Float::round_even)
    }
    fn pick_above(self, c: f64, hi: Self, lo: Self) -> Self {
        if self.is_nan() {
            self
        } else if self.with(|v| *v > c) {
            hi
        } else {
            lo
        }
    }
    fn jet_at(self, lo: Self, p: Prim) -> Jet<Self> {
        let (v, d, dd) = primitive((self + lo).value(), p);
        Jet::new(self.arena.put(v), self.arena.put(d), self.arena.put(dd))
    }
    /// Without the bounds that f64 needs.
    fn slope_sum(self, gate: Jet<Self>) -> Self {
        gate.v + self.finite() * gate.d
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formula::Formula;
    use crate::ulp::ulp_error;

    fn texts(p: Prim) -> &'static str {
        match p {
            Prim::Exp => "exp(x)",
            Prim::ExpM1 => "exp(x) - 1",
            Prim::Sigmoid => "1 / (1 + exp(-x))",
            Prim::Tanh => "tanh(x)",
            Prim::Softplus => "ln(1 + exp(x))",
            Prim::Cdf => "(1 + erf(x / sqrt(2))) / 2",
            Prim::TanhSoftplus => "tanh(ln(1 + exp(x)))",
            Prim::Sqrt => "sqrt(x)",
            Prim::Ln => "ln(x)",
            Prim::Ln1p => "log1p(x)",
            Prim::Sin => "sin(x)",
            Prim::Cos => "cos(x)",
            Prim::Atan => "atan(x)",
            Prim::Erf => "erf(x)",
            other => panic!("no formula of {other:?}"),
        }
    }

    #[test]
    fn primitives_are_the_textbooks() {
        for &p in Prim::ALL {
            let f = Formula::parse(texts(p), &["x"]).unwrap();
            let (d, dd) = (f.derivative("x"), f.derivative("x").derivative("x"));
            for x in [-700.0, -37.5, -8.25, -1.0, -1e-5, 1e-300, 0.3, 1.0, 9.5, 36.0, 300.0] {
                let mut arena = Mpfr::new(300);
                let j = arena.number(x).jet(p);
                let value_is_nan = f.exact(&[x]).unwrap().is_nan();
                for (what, got, f) in
                    [("value", j.v, &f), ("slope", j.d, &d), ("curvature", j.dd, &dd)]
                {
                    let exact = f.exact(&[x]).unwrap();
                    if j.v.is_nan() {
                        // Outside of the domain, where the text's derivatives may be numbers.
                        assert!(value_is_nan && got.is_nan(), "{p:?} {what} at {x}: {got:?}");
                        continue;
                    }
                    if exact.is_infinite() {
                        // At an end of the domain the text does not say from which side.
                        assert!(got.to_f64().is_infinite(), "{p:?} {what} at {x}: {got:?}");
                        continue;
                    }
                    let apart = Float::with_val(64, got.value() - &exact).abs();
                    // Below 2^-3000 an exact value counts as 0.
                    let limit =
                        (exact.clone().abs() >> 105u32).max(&(Float::with_val(64, 1) >> 2999));
                    assert!(apart <= limit, "{p:?} {what} at {x}: {got:?} {exact:.20}");
                }
                arena.clear();
            }
        }
    }

    #[test]
    fn ends_are_limits() {
        for &p in Prim::ALL {
            if matches!(p, Prim::Sin | Prim::Cos) {
                // They have none.
                let arena = Mpfr::new(250);
                assert!(arena.number(f64::INFINITY).jet(p).v.is_nan());
                continue;
            }
            let f = Formula::parse(texts(p), &["x"]).unwrap();
            let (d, dd) = (f.derivative("x"), f.derivative("x").derivative("x"));
            for x in [f64::NEG_INFINITY, f64::INFINITY] {
                if f.exact(&[x]).unwrap().is_nan() {
                    let arena = Mpfr::new(250);
                    assert!(arena.number(x).jet(p).v.is_nan());
                    continue;
                }
                let arena = Mpfr::new(250);
                let j = arena.number(x).jet(p);
                for (got, f) in [(j.v, &f), (j.d, &d), (j.dd, &dd)] {
                    let exact = f.exact(&[x]).unwrap().to_f64();
                    assert_eq!(got.to_f64(), exact, "{p:?} at {x}: {f}");
                }
            }
            let arena = Mpfr::new(250);
            assert!(arena.number(f64::NAN).jet(p).v.is_nan());
        }
    }

    #[test]
    fn arithmetic_is_that_of_the_arena() {
        let arena = Mpfr::new(200);
        let (a, b) = (arena.number(7.0), arena.number(3.0));
        assert_eq!((a + b).to_f64(), 10.0);
        assert_eq!((a - b).to_f64(), 4.0);
        assert_eq!((a * b).to_f64(), 21.0);
        assert_eq!((-a).to_f64(), -7.0);
        assert_eq!((-a).abs().to_f64(), 7.0);
        let third = Float::with_val(200, 7) / 3u32;
        assert_eq!((a / b).value(), third);
        assert_eq!(arena.float(&third).value(), third);
        assert_eq!(a.lit(0.5).to_f64(), 0.5);
        assert_eq!(a.constant((1.0, 1e-30)).value(), Float::with_val(200, 1) + 1e-30);
        assert_eq!(a.max(b).to_f64(), 7.0);
        assert_eq!(b.max(a).to_f64(), 7.0);
        assert_eq!(a.min(b).to_f64(), 3.0);
        assert_eq!(b.min(a).to_f64(), 3.0);
        let nan = arena.number(f64::NAN);
        assert!(nan.max(a).is_nan() && nan.min(a).is_nan() && nan.pick_above(0.0, a, b).is_nan());
        assert_eq!(a.pick_above(7.0, a, b).to_f64(), 3.0);
        assert_eq!(a.pick_above(6.9, a, b).to_f64(), 7.0);
        assert_eq!(a.pick_at_least(7.0, a, b).to_f64(), 7.0);
        assert_eq!(a.sign_or_one().to_f64(), 1.0);
        assert_eq!(format!("{:?}", a / b), "2.3333333333333333333");
    }

    #[test]
    fn corrections_add_to_the_argument() {
        let arena = Mpfr::new(250);
        let (x, lo) = (arena.number(1.0), arena.number(1e-40));
        let apart = (x.jet_at(lo, Prim::Exp).v - x.exp()).to_f64();
        assert!((apart / 1e-40 - core::f64::consts::E).abs() < 1e-15, "{apart:e}");
    }

    #[test]
    fn a_body_runs() {
        // silu: x sigmoid(x), and its slope.
        let f = Formula::parse("x / (1 + exp(-x))", &["x"]).unwrap();
        let d = f.derivative("x");
        for x in [-745.0, -1.278_464_5, 0.0, 2.5, 1e5, f64::NEG_INFINITY, f64::INFINITY] {
            let arena = Mpfr::new(250);
            let x_mp = arena.number(x);
            let gate = x_mp.jet(Prim::Sigmoid);
            let (v, s) = (x_mp.gated(gate), x_mp.gated_slope(gate));
            assert_eq!(ulp_error(v.to_f64(), &f.exact(&[x]).unwrap()).floor(), 0.0, "{x}");
            assert_eq!(ulp_error(s.to_f64(), &d.exact(&[x]).unwrap()).floor(), 0.0, "{x}");
        }
    }
}

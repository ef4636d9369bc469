//! The number type that a definition is written over: the whole vocabulary.
//!
//! A definition is one pure function generic over [`Real`]. What it computes depends on
//! the number that is put in:
//!
//! | number | gives | file |
//! |---|---|---|
//! | `F64ToF32` lanes | f32 (and half) kernels: f64 arithmetic rounded once | `lanes.rs` |
//! | `F64Lanes` lanes, `f64` | f64 kernels and scalars | `lanes.rs` |
//! | `Deferred` | slopes to be multiplied by a gradient before they are scaled | `deferred.rs` |
//! | `F32Plain` lanes, `f32` | f32 kernels of functions with one rounding (relu) | `lanes.rs` |
//! | `F32Tabled` lanes | f32 kernels in f32 arithmetic that keeps what it rounds off | `f32_tabled.rs` |
//! | `F32ForHalf` lanes | kernels of half types: f32 arithmetic good to 2^-21 (feature `half`) | `f32_for_half.rs` |
//! | [`Dual`] | derivatives, also with respect to parameters; nested: second derivatives | `dual.rs` |
//! | `ByWeight` | the derivative by one weight, without what is 0 in it | `by_weight.rs` |
//! | [`Interval`] | guaranteed bounds | `interval.rs` |
//! | [`Dd`] | 30 digits | `dd.rs` |
//! | [`Extended`] | 30-digit reference without overflow or underflow | `extended.rs` |
//! | `Bounded` | f64 that knows how good it is: quick second derivatives | `bounded.rs` |
//! | `Cm` | fast reference, over correctly rounded functions (feature `core-math`) | `correct.rs` |
//! | `Expr` | the formula, as text | `expr.rs` |
//!
//! Three rules keep one body good for all of them: literals come from a value
//! (`x.lit(1.0)`, since a register or an expression graph travels inside it); there is no
//! `if` on values, only [`Real::split`], `max`, `min` and `abs`; parameters
//! are an array of the same number type.

use crate::math::coefficients::SQRT_2;
use core::ops::{Add, Div, Mul, Neg, Sub};

pub(crate) mod bounded;
#[cfg(feature = "alloc")]
mod by_weight;
#[cfg(feature = "core-math")]
pub(crate) mod correct;
mod dd;
pub(crate) mod deferred;
mod dual;
#[cfg(feature = "alloc")]
mod expr;
mod extended;
#[cfg(feature = "half")]
mod f32_for_half;
mod f32_tabled;
mod interval;
pub(crate) mod lanes;

pub(crate) use bounded::Bounded;
#[cfg(feature = "alloc")]
pub(crate) use by_weight::ByWeight;
#[cfg(feature = "core-math")]
pub(crate) use correct::Cm;
pub use dd::Dd;
pub(crate) use deferred::Deferred;
pub use dual::Dual;
#[cfg(feature = "alloc")]
pub(crate) use expr::{Arena, Expr};
pub use extended::Extended;
#[cfg(feature = "half")]
pub(crate) use f32_for_half::F32ForHalf;
pub(crate) use f32_tabled::F32Tabled;
pub use interval::Interval;
pub(crate) use lanes::{F32Plain, F64Lanes, F64ToF32};

pub use crate::math::{Jet, Prim};
pub use crate::tuned::GateTable;

impl<T: Real> Jet<T> {
    /// A jet without low parts and with factor 1.
    #[inline(always)]
    pub fn new(v: T, d: T, dd: T) -> Self {
        // Adding -0 leaves the sign of a zero, and the compiler nothing to do.
        let no_low_part = v.lit(-0.0);
        Jet { v, d, dd, v_lo: no_low_part, d_lo: no_low_part, k: v.lit(0.0) }
    }

    /// The value.
    #[inline(always)]
    pub fn value(self) -> T {
        (self.v + self.v_lo).scale2(self.k)
    }

    /// The first derivative.
    #[inline(always)]
    pub fn slope(self) -> T {
        (self.d + self.d_lo).scale2(self.k)
    }
}

/// A number cut in two at a point, to be joined again piece by piece.
#[derive(Clone, Copy)]
pub struct Split<T> {
    /// The number, as the upper piece sees it.
    pub hi: T,
    /// The number, as the lower piece sees it.
    pub lo: T,
    x: T,
    c: f64,
    upper: bool,
}

impl<T: Real> Split<T> {
    /// The number itself on the upper piece, to which the point belongs, `lo` on the lower one.
    #[inline(always)]
    pub fn join_identity_above(self, lo: T) -> T {
        debug_assert!(self.upper, "the point belongs to the upper piece: use split_at");
        self.x.pick_identity_above(self.c, lo)
    }
    /// `hi` on the upper piece, `lo` on the lower one, to which the point belongs. For NaN it may be
    /// `lo`: that is NaN for NaN, or another join looks after it.
    #[inline(always)]
    pub fn join_nan_free(self, hi: T, lo: T) -> T {
        debug_assert!(!self.upper, "the point belongs to the lower piece: use split");
        self.x.pick_nan_free(self.c, hi, lo)
    }
    /// `hi` on the upper piece, `lo` on the lower one; NaN for NaN.
    #[inline(always)]
    pub fn join(self, hi: T, lo: T) -> T {
        if self.upper {
            self.x.pick_at_least(self.c, hi, lo)
        } else {
            self.x.pick_above(self.c, hi, lo)
        }
    }
}

/// A number cut in two at another number, to be joined again piece by piece.
#[derive(Clone, Copy)]
pub struct SplitBy<T> {
    /// The number, as the upper piece sees it.
    pub hi: T,
    /// The number, as the lower piece sees it.
    pub lo: T,
    x: T,
    c: T,
    upper: bool,
}

impl<T: Real> SplitBy<T> {
    /// `hi` on the upper piece, `lo` on the lower one; NaN where either number is NaN.
    #[inline(always)]
    pub fn join(self, hi: T, lo: T) -> T {
        if self.upper {
            self.c.pick_greater(self.x, lo, hi)
        } else {
            self.x.pick_greater(self.c, hi, lo)
        }
    }
}

/// A number that a definition can be evaluated with.
pub trait Real:
    Copy
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    /// Whether it has a derivative, which [`with_slopes`](Self::with_slopes) sets.
    const DIFFERENTIATES: bool = false;

    /// The literal `c`, of the same kind as `self`.
    fn lit(self, c: f64) -> Self;
    /// `|self|`.
    fn abs(self) -> Self;
    /// The larger; NaN if `self` is NaN.
    fn max(self, c: Self) -> Self;
    /// The smaller; NaN if `self` is NaN.
    fn min(self, c: Self) -> Self;
    /// The largest integer that is not above; zeros and infinities stay. Its derivative is 0.
    fn floor(self) -> Self;
    /// The nearest integer, of two the even one; zeros and infinities stay. Its derivative is 0.
    fn round(self) -> Self;
    /// `hi` where `self > c`, else `lo`; NaN where `self` is NaN. Use it through [`Real::split`].
    fn pick_above(self, c: f64, hi: Self, lo: Self) -> Self;
    /// The primitive `p` at `self + lo`, where `lo` is a small correction.
    fn jet_at(self, lo: Self, p: Prim) -> Jet<Self>;

    /// A constant given to twice the digits of f64, as the sum of two numbers.
    #[inline(always)]
    fn constant(self, c: (f64, f64)) -> Self {
        self.lit(c.0) + self.lit(c.1)
    }
    /// The literal that it is, if it knows.
    #[inline(always)]
    fn literal(self) -> Option<f64> {
        None
    }
    /// This value of a function of some numbers, with the derivatives by them: the derivative is that of
    /// each number times the one by it.
    #[inline(always)]
    fn with_slopes(self, _slopes: &[(Self, Self)]) -> Self {
        self
    }
    /// 0, and NaN for NaN: the derivative of what is constant piece by piece.
    #[inline(always)]
    fn flat(self) -> Self {
        self.pick_above(0.0, self.lit(0.0), self.lit(0.0))
    }
    /// The numbers of `self` above `c` (an interval is cut, everything else stays).
    #[inline(always)]
    fn part_above(self, _c: f64) -> Self {
        self
    }
    /// The numbers of `self` not above `c`.
    #[inline(always)]
    fn part_below(self, _c: f64) -> Self {
        self
    }
    /// The numbers of `self` above some number of `o` (an interval is cut, everything else stays).
    #[inline(always)]
    fn part_greater(self, _o: Self) -> Self {
        self
    }
    /// The numbers of `self` not above some number of `o`.
    #[inline(always)]
    fn part_not_greater(self, _o: Self) -> Self {
        self
    }
    /// Two pieces that meet at the number `c`, a parameter say, which belongs to the lower one.
    #[inline(always)]
    fn split_by(self, c: Self) -> SplitBy<Self> {
        let (hi, lo) = (self.part_greater(c), self.part_not_greater(c));
        SplitBy { hi, lo, x: self, c, upper: false }
    }
    /// Two pieces that meet at the number `c`, a parameter say, which belongs to the upper one.
    #[inline(always)]
    fn split_at_by(self, c: Self) -> SplitBy<Self> {
        SplitBy { upper: true, ..self.split_by(c) }
    }
    /// `hi` where `self > o`, else `lo`; NaN where `self` or `o` is NaN.
    #[inline(always)]
    fn pick_greater(self, o: Self, hi: Self, lo: Self) -> Self {
        (self - o).pick_above(0.0, hi, lo)
    }
    /// `hi` where `self >= c`, else `lo`; NaN where `self` is NaN. Use it through [`Real::split_at`].
    #[inline(always)]
    fn pick_at_least(self, c: f64, hi: Self, lo: Self) -> Self {
        (-self).pick_above(-c, lo, hi)
    }
    /// `self` where `self >= c`, else `lo`. Use it through [`Split::join_identity_above`].
    #[inline(always)]
    fn pick_identity_above(self, c: f64, lo: Self) -> Self {
        self.pick_at_least(c, self.part_above(c), lo)
    }
    /// `hi` where `self > c`, else `lo`; either `lo` or NaN where `self` is NaN. Use it through
    /// [`Split::join_nan_free`].
    #[inline(always)]
    fn pick_nan_free(self, c: f64, hi: Self, lo: Self) -> Self {
        self.pick_above(c, hi, lo)
    }
    /// Two pieces that meet at `c`, which belongs to the lower one:
    /// `let s = x.split(0.0); s.join(s.hi, s.lo.exp_m1())`.
    #[inline(always)]
    fn split(self, c: f64) -> Split<Self> {
        Split { hi: self.part_above(c), lo: self.part_below(c), x: self, c, upper: false }
    }
    /// Two pieces that meet at `c`, which belongs to the upper one.
    #[inline(always)]
    fn split_at(self, c: f64) -> Split<Self> {
        Split { upper: true, ..self.split(c) }
    }
    /// `self * 2^k` for an integer `k`; only types that hand out a `k` other than 0 have work to do.
    #[inline(always)]
    fn scale2(self, _k: Self) -> Self {
        self
    }
    /// `self * o` as a product and the part of it that was rounded off.
    #[inline(always)]
    fn two_prod(self, o: Self) -> (Self, Self) {
        (self * o, self.lit(0.0))
    }
    /// `1 / self` as a quotient and the part of it that was rounded off.
    #[inline(always)]
    fn reciprocal(self) -> (Self, Self) {
        (self.lit(1.0) / self, self.lit(0.0))
    }
    /// `self * (factor + rest)` as the argument of a primitive and its correction, which is a number
    /// even where the argument is infinite.
    #[inline(always)]
    fn argument(self, (factor, rest): (Self, Self)) -> (Self, Self) {
        // No further than halves of products reach: what is beyond is at a limit.
        let x = self.saturated(1e290);
        let (p, e) = x.two_prod(factor);
        (p, e + x * rest)
    }
    /// `(slope + rest) * self + offset` between 0 and 1, exact where it leaves 0.
    #[inline(always)]
    fn ramp(self, slope: Self, _rest: Self, offset: Self) -> Self {
        ((self + offset / slope) * slope).max(self.lit(0.0)).min(self.lit(1.0))
    }
    /// `(self + lo) * c` as a sum of two numbers.
    #[inline(always)]
    fn times_constant(self, lo: Self, c: (f64, f64)) -> (Self, Self) {
        let factor = self.constant(c);
        let (p, e) = self.two_prod(factor);
        (p, e + (self * self.constant_rest(c) + lo * factor))
    }
    /// `self` plus the value of `j` divided by `divisor`, for `self >= 0` and `j >= 0`.
    #[inline(always)]
    fn plus_quotient(self, j: Jet<Self>, divisor: Self) -> Self {
        let width = self.lit(1.0) / divisor;
        let (v, v_lo) = (j.v.scale2(j.k) * width, j.v_lo.scale2(j.k) * width);
        // Above 1e9 there is nothing beside it, and it may be infinite.
        let (_, rest) = self.min(self.lit(1e9)).two_sum(v);
        (self + v) + (rest + v_lo)
    }
    /// `self + o` as a sum and the part of it that was rounded off.
    #[inline(always)]
    fn two_sum(self, o: Self) -> (Self, Self) {
        (self + o, self.lit(0.0))
    }
    /// `self + o` as a sum and what it rounded off, where `|self| >= |o|`, or `self` is 0.
    #[inline(always)]
    fn quick_two_sum(self, o: Self) -> (Self, Self) {
        self.two_sum(o)
    }
    /// What `constant` leaves out, where it has room for the first part only.
    #[inline(always)]
    fn constant_rest(self, _c: (f64, f64)) -> Self {
        self.lit(0.0)
    }
    /// The least number, which stands for -inf where an infinity would meet a 0.
    #[inline(always)]
    fn lowest(self) -> Self {
        self.lit(f64::MIN)
    }
    /// `self`, with infinities (and what is as good as infinite) replaced by finite numbers.
    #[inline(always)]
    fn finite(self) -> Self {
        self.max(self.lowest()).min(-self.lowest())
    }
    /// `self`, made [`finite`](Self::finite) where `|o|` is at most `least`: for a product with `o`, which is
    /// nothing there however large `self` is.
    #[inline(always)]
    fn finite_beside(self, least: f64, o: Self) -> Self {
        o.abs().pick_above(least, self, self.finite())
    }
    /// `self` between `-end` and `end`, beyond which what is made of it no longer changes: for numbers
    /// whose powers overflow.
    #[inline(always)]
    fn saturated(self, end: f64) -> Self {
        self.max(self.lit(-end)).min(self.lit(end))
    }
    /// The derivative of [`Real::saturated`] at `self`, where that of `self` is `slope`: beyond the ends
    /// nothing changes any more.
    #[inline(always)]
    fn slope_within(self, end: f64, slope: Self) -> Self {
        self.abs().pick_above(end, slope.lit(0.0), slope)
    }
    /// `self * (m + m_lo) 2^k`, rounded once.
    #[inline(always)]
    fn scaled(self, m: Self, _m_lo: Self, k: Self) -> Self {
        (self * m).scale2(k)
    }
    /// `self * (m + m_lo) 2^k` for a factor that is not negative, rounded once: a zero keeps its sign.
    #[inline(always)]
    fn weighted(self, m: Self, m_lo: Self, k: Self) -> Self {
        self.scaled(m, m_lo, k)
    }
    /// `self * value * (m + m_lo) 2^k`, also where the last factor alone is subnormal.
    #[inline(always)]
    fn scaled_product(self, value: Self, m: Self, m_lo: Self, k: Self) -> Self {
        self.scaled(m, m_lo, k) * value
    }
    /// `self * o * (m + m_lo) 2^k` as [`Real::weighted`], also where `self * o` alone overflows.
    #[inline(always)]
    fn weighted_product(self, o: Self, m: Self, m_lo: Self, k: Self) -> Self {
        (self * o).weighted(m, m_lo, k)
    }
    /// `self * a * b 2^k`, also where `a * b` alone overflows.
    #[inline(always)]
    fn times_product_of(self, a: Self, b: Self, k: Self) -> Self {
        self.scaled_product(a * b, self.lit(1.0), self.lit(0.0), k)
    }
    /// `self * gate`, rounded once; 0 at -inf, where the gate is 0.
    #[inline(always)]
    fn gated(self, gate: Jet<Self>) -> Self {
        self.max(self.lowest()).scaled(gate.v, gate.v_lo, gate.k)
    }
    /// `self * (m + m_lo)`, rounded once, for a product `(m, m_lo)` of [`Real::times_constant`] that
    /// is positive where `self` is above 0, -0 or infinite.
    #[inline(always)]
    fn times_product(self, (m, m_lo): (Self, Self)) -> Self {
        self.gated(Jet { v_lo: m_lo, ..Jet::new(m, m, m) })
    }
    /// `factor * self * gate`, also where the gate alone is subnormal.
    #[inline(always)]
    fn gated_times(self, gate: Jet<Self>, factor: Self) -> Self {
        factor * self.gated(gate)
    }
    /// `gate + self * gate'`, up to the factor `2^k`: the slope of `x * G(z(x))` for `self = x z'(x)`.
    #[inline(always)]
    fn slope_sum(self, gate: Jet<Self>) -> Self {
        gate.v + self.saturated(1e6) * gate.d
    }
    /// `gate + self * gate'`, rounded once.
    #[inline(always)]
    fn gated_slope(self, gate: Jet<Self>) -> Self {
        self.slope_sum(gate).scale2(gate.k)
    }
    /// A positive number that is to be multiplied, for types whose products are rounded once more.
    #[inline(always)]
    fn bias_for_double_rounding(self) -> Self {
        self
    }
    /// `self * slope` for `self <= 0`; 0 at -inf if the slope is 0.
    #[inline(always)]
    fn times_slope(self, slope: Self) -> Self {
        let bound = slope.abs().pick_above(0.0, self.lit(f64::NEG_INFINITY), self.lowest());
        self.max(bound) * slope
    }
    /// `factor * e^self`, rounded once.
    #[inline(always)]
    fn exp_times(self, factor: Self) -> Self {
        let j = self.jet(Prim::Exp);
        factor.scaled(j.v, j.v_lo, j.k)
    }

    /// `self * gate(self)`, rounded, if this type has it in a table: asked by `tuned/registry.rs`.
    #[doc(hidden)]
    #[inline(always)]
    fn tabled_value(self, _gate: GateTable) -> Option<Self> {
        None
    }
    /// `self * gate(self) * factor`, if there is a table, also where `self` is subnormal.
    #[doc(hidden)]
    #[inline(always)]
    fn tabled_product(self, _factor: Self, _gate: GateTable) -> Option<Self> {
        None
    }
    /// The slope of `self * gate(self)` times `a` and `b`, also where `a * b` alone overflows.
    #[doc(hidden)]
    #[inline(always)]
    fn tabled_slope_product(self, _a: Self, _b: Self, _gate: GateTable) -> Option<Self> {
        None
    }
    /// The slope of `self * gate(self)`, rounded.
    #[doc(hidden)]
    #[inline(always)]
    fn tabled_slope(self, _gate: GateTable) -> Option<Self> {
        None
    }
    /// SELU, rounded, if this type has it in a table.
    #[doc(hidden)]
    #[inline(always)]
    fn tabled_selu(self) -> Option<Self> {
        None
    }
    /// The primitive `p` with its derivatives.
    #[inline(always)]
    fn jet(self, p: Prim) -> Jet<Self> {
        // -0 and not 0: added to -0 it leaves the sign.
        self.jet_at(self.lit(-0.0), p)
    }
    /// The primitive `p` for the sake of its first derivative: `2^k` is a factor of that alone, and
    /// the value need not be right.
    #[inline(always)]
    fn slope_jet(self, p: Prim) -> Jet<Self> {
        self.jet(p)
    }
    /// `ln(1 + e^x)` for `x <= 0`, where `lo` is a small correction of `x`.
    #[inline(always)]
    fn softplus_neg(self, lo: Self) -> Jet<Self> {
        self.jet_at(lo, Prim::Softplus)
    }
    /// `width * (e^(x / width) - 1)`, exact near 0.
    #[inline(always)]
    fn exp_m1_of_width(self, width: Self) -> Self {
        width * (self * (self.lit(1.0) / width)).exp_m1()
    }
    /// `e^x`.
    #[inline(always)]
    fn exp(self) -> Self {
        self.jet(Prim::Exp).value()
    }
    /// `e^x - 1`, exact near 0.
    #[inline(always)]
    fn exp_m1(self) -> Self {
        self.jet(Prim::ExpM1).value()
    }
    /// `1 / (1 + e^-x)`.
    #[inline(always)]
    fn sigmoid(self) -> Self {
        self.jet(Prim::Sigmoid).value()
    }
    /// Hyperbolic tangent.
    #[inline(always)]
    fn tanh(self) -> Self {
        self.jet(Prim::Tanh).value()
    }
    /// `ln(1 + e^x)`, without overflow or cancellation.
    #[inline(always)]
    fn softplus(self) -> Self {
        self.jet(Prim::Softplus).value()
    }
    /// The square root; NaN below 0.
    #[inline(always)]
    fn sqrt(self) -> Self {
        self.jet(Prim::Sqrt).value()
    }
    /// The natural logarithm; -inf at 0, NaN below.
    #[inline(always)]
    fn ln(self) -> Self {
        self.jet(Prim::Ln).value()
    }
    /// `ln(1 + x)`, exact near 0; -inf at -1, NaN below.
    #[inline(always)]
    fn ln_1p(self) -> Self {
        self.jet(Prim::Ln1p).value()
    }
    /// Sine; NaN at ±inf.
    #[inline(always)]
    fn sin(self) -> Self {
        self.jet(Prim::Sin).value()
    }
    /// Cosine; NaN at ±inf.
    #[inline(always)]
    fn cos(self) -> Self {
        self.jet(Prim::Cos).value()
    }
    /// The inverse tangent.
    #[inline(always)]
    fn atan(self) -> Self {
        self.jet(Prim::Atan).value()
    }
    /// The error function.
    #[inline(always)]
    fn erf(self) -> Self {
        self.jet(Prim::Erf).value()
    }
    /// -1 for negative numbers, else 1.
    #[inline(always)]
    fn sign_or_one(self) -> Self {
        self.split_at(0.0).join(self.lit(1.0), self.lit(-1.0))
    }
    /// -1 for negative numbers, 0 for zeros, 1 for positive ones; NaN for NaN.
    #[inline(always)]
    fn sign(self) -> Self {
        let (zero, one) = (self.lit(0.0), self.lit(1.0));
        self.pick_above(0.0, one, self.pick_at_least(0.0, zero, -one))
    }
    /// 1 for positive numbers, else 0; NaN for NaN.
    #[inline(always)]
    fn step(self) -> Self {
        self.pick_above(0.0, self.lit(1.0), self.lit(0.0))
    }
    /// `1 - erf x`, with all its digits in the tail.
    #[inline(always)]
    fn erfc(self) -> Self {
        // 2 Phi(-x sqrt 2)
        let (z, z_lo) = (-self).argument((self.lit(SQRT_2.0), self.lit(SQRT_2.1)));
        let j = z.jet_at(z_lo, Prim::Cdf);
        self.lit(2.0).scaled(j.v, j.v_lo, j.k)
    }
    /// `ln(1 - e^x)` for `x < 0`, exact near 0 and far out; -inf at 0, NaN above.
    #[inline(always)]
    fn log1mexp(self) -> Self {
        // ln(-(e^x - 1)), or from 1/2 down ln(1 + -e^x) (Maechler 2012).
        let s = self.split(-core::f64::consts::LN_2);
        let near = s.hi.jet(Prim::ExpM1);
        let far = s.lo.jet(Prim::Exp);
        let (w, w_lo) = (far.v.scale2(far.k), far.v_lo.scale2(far.k));
        let hi = (-near.v).jet_at(-near.v_lo, Prim::Ln).value();
        s.join(hi, (-w).jet_at(-w_lo, Prim::Ln1p).value())
    }
    /// `self * a + b`; registers with a fused multiply-add round once.
    #[inline(always)]
    fn mul_add(self, a: Self, b: Self) -> Self {
        self * a + b
    }
    /// `c[0] + c[1] x + c[2] x^2 + ...` by Horner's rule; 0 without coefficients.
    #[inline(always)]
    fn polynomial(self, c: &[Self]) -> Self {
        let Some((&last, others)) = c.split_last() else {
            return self.lit(0.0);
        };
        let (mut y, mut i) = (last, others.len());
        while i > 0 {
            i -= 1;
            y = y.mul_add(self, others[i]);
        }
        y
    }
    /// `self^n`; 1 for `n = 0`, also of 0 and infinities; NaN for NaN. Powers of hundreds and more have
    /// fewer digits next to the least normal number, where what is rounded off is not a number any more.
    #[inline(always)]
    fn powi(self, n: i32) -> Self {
        let (one, nothing) = (self.lit(1.0), self.lit(-0.0));
        let mut digits = n.unsigned_abs();
        if digits == 0 {
            return self.pick_above(0.0, one, one);
        }
        // Each power as a sum of two numbers, from the first binary digit of the exponent to the last.
        let (base, base_lo) = if n < 0 {
            let (q, rest) = self.reciprocal();
            // What is nearly 0 or infinite has no remainder.
            let rest = self.abs().pick_above(1e290, nothing, rest);
            (q, self.abs().pick_above(1e-290, rest, nothing))
        } else {
            (self, nothing)
        };
        let (mut v, mut v_lo) = (base, base_lo);
        let count = 31 - digits.leading_zeros();
        digits <<= 31 - count;
        let mut i = 0;
        while i < count {
            i += 1;
            digits <<= 1;
            let (p, rest) = v.two_prod(v);
            (v, v_lo) = (p, rest + (v + v) * v_lo);
            if digits >> 31 == 1 {
                let (p, rest) = v.two_prod(base);
                (v, v_lo) = (p, rest + (v * base_lo + v_lo * base));
            }
        }
        // Where a product has overflown there is no remainder, and a zero keeps its sign.
        let sum = v.abs().pick_greater(-v.lowest(), v, v + v_lo);
        v.abs().pick_above(0.0, sum, v)
    }
    /// `self^y` for `self >= 0`, with `0^0 = 1`; NaN for negative numbers.
    #[inline(always)]
    fn powf(self, y: Self) -> Self {
        let l = self.jet(Prim::Ln);
        let (p, p_lo) = y.argument((l.v.saturated(1e290), l.v_lo));
        p.jet_at(p_lo, Prim::Exp).value()
    }
}

//! f32 registers whose primitives come with what rounding them lost.

use super::deferred::DeferScale;
use super::{GateTable, Jet, Prim, Real};
use crate::math::compensated::{two_prod, two_sum};
use crate::math::range::{self, ANY_X_ANY_FACTOR};
use crate::math::{self, exp_m1, sigmoid, tanh};
use crate::simd::Lanes32;
use crate::tuned;
use core::ops::{Add, Div, Mul, Neg, Sub};

/// f32 lanes; primitives carry low parts, and one rounding at the end is all that shows.
///
/// `RANGE` says how far out lanes may be: `IN_TABLE`, `ANY_X` or `ANY_X_ANY_FACTOR` of `math/range.rs`; see `Reach` in
/// `activation.rs`.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct F32Tabled<V, const RANGE: u8 = ANY_X_ANY_FACTOR>(pub V);

super::lanes::forward_operators!(F32Tabled, Lanes32, RANGE: u8);

impl<V: Lanes32, const RANGE: u8> Real for F32Tabled<V, RANGE> {
    super::lanes::shared_methods!(F32Tabled, units: crate::simd::UNITS_F32);
    #[inline(always)]
    fn lit(self, c: f64) -> Self {
        F32Tabled(V::splat(c as f32))
    }
    #[inline(always)]
    fn constant(self, c: (f64, f64)) -> Self {
        self.lit(c.0)
    }
    #[inline(always)]
    fn constant_rest(self, c: (f64, f64)) -> Self {
        self.lit(c.0 - f64::from(c.0 as f32) + c.1)
    }
    #[inline(always)]
    fn lowest(self) -> Self {
        F32Tabled(V::splat(f32::MIN))
    }
    /// All numbers that get here are: see [`Arithmetic::F32Tables`](crate::activation::Arithmetic).
    #[inline(always)]
    fn finite(self) -> Self {
        self
    }
    #[inline(always)]
    fn slope_jet(self, p: Prim) -> Jet<Self> {
        math::f32_tabled_slope::<V, RANGE>(self.0, p).map(F32Tabled)
    }
    #[inline(always)]
    fn scale2(self, k: Self) -> Self {
        F32Tabled(range::rescale::<V, RANGE>(self.0, k.0))
    }
    #[inline(always)]
    fn plus_quotient(self, j: Jet<Self>, divisor: Self) -> Self {
        let (mut v, mut v_lo) = (j.v.0, j.v_lo.0);
        if RANGE == ANY_X_ANY_FACTOR {
            (v, v_lo) = range::scale_sum::<V, RANGE>((v, v_lo), j.k.0);
        }
        let width = V::splat(1.0) / divisor.0;
        let (v, v_lo) = (v * width, v_lo * width);
        // Above 1e9 there is nothing beside it, and it may be infinite.
        let (_, rest) = two_sum(self.0.min(V::splat(1e9)), v);
        F32Tabled((self.0 + v) + (rest + v_lo))
    }
    /// Without the correction: at default parameters an argument is a number of this type.
    #[inline(always)]
    fn jet_at(self, _lo: Self, p: Prim) -> Jet<Self> {
        math::f32_tabled::<V, RANGE>(self.0, p).map(F32Tabled)
    }
    #[inline(always)]
    fn tabled_value(self, gate: GateTable) -> Option<Self> {
        Some(F32Tabled(tuned::gated_value::<V, RANGE>(self.0, gate)))
    }
    #[inline(always)]
    fn tabled_product(self, factor: Self, gate: GateTable) -> Option<Self> {
        Some(F32Tabled(tuned::gated_product::<V, RANGE>(self.0, factor.0, gate)))
    }
    #[inline(always)]
    fn tabled_slope_product(self, a: Self, b: Self, gate: GateTable) -> Option<Self> {
        Some(F32Tabled(tuned::slope_product::<V, RANGE>(self.0, a.0, b.0, gate)))
    }
    #[inline(always)]
    fn weighted_product(self, o: Self, m: Self, m_lo: Self, k: Self) -> Self {
        let product = self * o;
        let y = product.weighted(m, m_lo, k);
        F32Tabled(range::unless_over::<V, RANGE>(product.0, y.0, [m.0 + m_lo.0, k.0, self.0, o.0]))
    }
    #[inline(always)]
    fn tabled_slope(self, gate: GateTable) -> Option<Self> {
        let (slope, k) = tuned::gated_slope::<V, RANGE>(self.0, gate);
        Some(F32Tabled(slope).scale2(F32Tabled(k)))
    }
    #[inline(always)]
    fn tabled_selu(self) -> Option<Self> {
        Some(F32Tabled(tuned::selu::<V, RANGE>(self.0)))
    }
    #[inline(always)]
    fn sigmoid(self) -> Self {
        F32Tabled(sigmoid::f32_tabled_value::<V, RANGE>(self.0))
    }
    #[inline(always)]
    fn tanh(self) -> Self {
        F32Tabled(tanh::f32_tabled_value::<V, RANGE>(self.0))
    }
    /// From the distance to the lower corner, which is exact nearby. The corners of the default
    /// parameters are numbers: what is beyond them becomes one, and nothing is left to cut off.
    #[inline(always)]
    fn ramp(self, slope: Self, rest: Self, offset: Self) -> Self {
        let (lower, upper) = (offset / slope, (self.lit(1.0) - offset) / slope);
        let (t, t_lo) = lower.quick_two_sum(self.max(-lower).min(upper));
        F32Tabled(t.0.mul_add(slope.0, t.0.mul_add(rest.0, t_lo.0 * slope.0)))
    }
    /// The constant is cut off and not rounded, so that its rest is positive, and with it the rest
    /// of the product: see [`Real::times_product`].
    #[inline(always)]
    fn times_constant(self, lo: Self, c: (f64, f64)) -> (Self, Self) {
        let nearest = c.0 as f32;
        let cut = if f64::from(nearest) > c.0 { nearest.next_down() } else { nearest };
        let (factor, rest) = (V::splat(cut), self.lit(c.0 - f64::from(cut) + c.1).0);
        let (p, e) = two_prod(self.0, factor);
        (F32Tabled(p), F32Tabled(lo.0.mul_add(factor, self.0.mul_add(rest, e))))
    }
    /// An infinity and -0 multiply a positive low part, so neither turns into NaN or 0.
    #[inline(always)]
    fn times_product(self, (m, m_lo): (Self, Self)) -> Self {
        F32Tabled(self.0.mul_add(m.0, self.0 * m_lo.0))
    }
    #[inline(always)]
    fn quick_two_sum(self, o: Self) -> (Self, Self) {
        let s = self.0 + o.0;
        (F32Tabled(s), F32Tabled(o.0 - (s - self.0)))
    }
    #[inline(always)]
    fn pick_identity_above(self, c: f64, lo: Self) -> Self {
        F32Tabled(V::select(V::splat(c as f32).gt(self.0), lo.0, self.0))
    }
    #[inline(always)]
    fn exp_m1(self) -> Self {
        F32Tabled(exp_m1::f32_tabled_value::<V, RANGE>(self.0))
    }
    /// Written so that the compiler knows the result where it knows the number.
    #[inline(always)]
    fn sign_or_one(self) -> Self {
        F32Tabled(V::splat(1.0).copysign(self.0 + V::splat(0.0)))
    }
    #[inline(always)]
    fn two_prod(self, o: Self) -> (Self, Self) {
        let (p, e) = two_prod(self.0, o.0);
        (F32Tabled(p), F32Tabled(e))
    }
    /// Parameters are the defaults here, and their products exact.
    #[inline(always)]
    fn argument(self, (factor, _rest): (Self, Self)) -> (Self, Self) {
        (self * factor, self.lit(-0.0))
    }
    #[inline(always)]
    fn two_sum(self, o: Self) -> (Self, Self) {
        let (s, e) = two_sum(self.0, o.0);
        (F32Tabled(s), F32Tabled(e))
    }
    #[inline(always)]
    fn scaled(self, m: Self, m_lo: Self, k: Self) -> Self {
        // Of the low part, which may be 0 or negative, infinities must see nothing.
        let finite = self.0.max(V::splat(f32::MIN)).min(V::splat(f32::MAX));
        F32Tabled(self.0.mul_add(m.0, finite * m_lo.0)).scale2(k)
    }
    /// The sum of two zeros may have lost the sign.
    #[inline(always)]
    fn weighted(self, m: Self, m_lo: Self, k: Self) -> Self {
        F32Tabled(self.scaled(m, m_lo, self.lit(0.0)).0.copysign(self.0)).scale2(k)
    }
    /// A gate is never negative; the sum of two zeros may have lost the sign. -inf does not get here.
    #[inline(always)]
    fn gated(self, gate: Jet<Self>) -> Self {
        let low = self.0.min(V::splat(f32::MAX)) * gate.v_lo.0;
        F32Tabled(self.0.mul_add(gate.v.0, low).copysign(self.0))
    }
    #[inline(always)]
    fn pick_at_least(self, c: f64, hi: Self, lo: Self) -> Self {
        let y = V::select(V::splat(c as f32).gt(self.0), lo.0, hi.0);
        F32Tabled(V::select(self.0.is_nan(), self.0, y))
    }
    #[inline(always)]
    fn slope_sum(self, gate: Jet<Self>) -> Self {
        F32Tabled(gate.map(|n| n.0).slope_sum(self.0))
    }
}

/// The exponents that wait are of slopes far out, where what is multiplied is near 2^-16.
impl<V: Lanes32, const RANGE: u8> DeferScale for F32Tabled<V, RANGE> {
    const IN_RANGE: bool = true;
    #[inline(always)]
    fn any_far(self) -> bool {
        V::any(self.0.abs().gt(V::splat(0.0)))
    }
    #[inline(always)]
    fn where_far(k: Self, far: Self, near: Self) -> Self {
        F32Tabled(V::select(k.0.abs().gt(V::splat(0.0)), far.0, near.0))
    }
    #[inline(always)]
    fn times(self, m: Self, m_lo: Self) -> Self {
        self.scaled(m, m_lo, self.lit(0.0))
    }
    #[inline(always)]
    fn tabled_slope_apart(self, gate: GateTable) -> Option<(Self, Self)> {
        let (slope, k) = tuned::gated_slope::<V, RANGE>(self.0, gate);
        Some((F32Tabled(slope), F32Tabled(k)))
    }
}

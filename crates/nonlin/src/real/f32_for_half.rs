//! f32 registers for results of half types.

use super::{GateTable, Jet, Prim, Real};
use crate::math::range::{IN_TABLE, unless_over};
use crate::math::{self, exp_m1};
use crate::simd::Lanes32;
use crate::tuned;
use core::ops::{Add, Div, Mul, Neg, Sub};

/// f32 lanes of numbers of a half type; what rounding loses does not show in one, so nothing is
/// carried along but where a primitive is steep. Numbers of bf16 (`BF16`) have 8 bits, those of f16 11.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct F32ForHalf<V, const BF16: bool>(pub V);

super::lanes::forward_operators!(F32ForHalf, Lanes32, BF16: bool);

/// `y`, but where `product` has overflowed the product of all three factors; numbers of f16 are too
/// small for that.
#[inline(always)]
fn over_or<V: Lanes32, const BF16: bool>(product: V, y: V, [m, a, b]: [V; 3]) -> V {
    if BF16 { unless_over::<V, IN_TABLE>(product, y, [m, V::splat(0.0), a, b]) } else { y }
}

impl<V: Lanes32, const BF16: bool> Real for F32ForHalf<V, BF16> {
    super::lanes::shared_methods!(F32ForHalf, units: crate::simd::UNITS_F32);
    #[inline(always)]
    fn lit(self, c: f64) -> Self {
        F32ForHalf(V::splat(c as f32))
    }
    #[inline(always)]
    fn constant(self, c: (f64, f64)) -> Self {
        self.lit(c.0)
    }
    #[inline(always)]
    fn lowest(self) -> Self {
        F32ForHalf(V::splat(f32::MIN))
    }
    /// All numbers that get here are: see [`Arithmetic::F32Tables`](crate::activation::Arithmetic).
    #[inline(always)]
    fn finite(self) -> Self {
        self
    }
    #[inline(always)]
    fn jet_at(self, _lo: Self, p: Prim) -> Jet<Self> {
        math::f32_for_half::<V, BF16>(self.0, p).map(F32ForHalf)
    }
    #[inline(always)]
    fn tabled_value(self, gate: GateTable) -> Option<Self> {
        Some(F32ForHalf(tuned::value_for_half::<V, BF16>(self.0, gate)?))
    }
    /// From the longer table: of so many products some lie next to the middle of two numbers.
    #[inline(always)]
    fn tabled_product(self, factor: Self, gate: GateTable) -> Option<Self> {
        Some(F32ForHalf(tuned::value_for_half::<V, false>(self.0, gate)?) * factor)
    }
    #[inline(always)]
    fn tabled_slope_product(self, a: Self, b: Self, gate: GateTable) -> Option<Self> {
        let (slope, product) = (tuned::slope_for_half::<V, BF16>(self.0, gate), a.0 * b.0);
        Some(F32ForHalf(over_or::<V, BF16>(product, slope * product, [slope, a.0, b.0])))
    }
    #[inline(always)]
    fn times_product_of(self, a: Self, b: Self, k: Self) -> Self {
        let product = a * b;
        let y = self.scaled_product(product, self.lit(1.0), self.lit(0.0), k);
        F32ForHalf(over_or::<V, BF16>(product.0, y.0, [self.0, a.0, b.0]))
    }
    #[inline(always)]
    fn weighted_product(self, o: Self, m: Self, _m_lo: Self, _k: Self) -> Self {
        let product = self.0 * o.0;
        F32ForHalf(over_or::<V, BF16>(product, product * m.0, [m.0, self.0, o.0]))
    }
    #[inline(always)]
    fn tabled_slope(self, gate: GateTable) -> Option<Self> {
        Some(F32ForHalf(tuned::slope_for_half::<V, BF16>(self.0, gate)))
    }
    /// A product that lies above the middle of two numbers by less than f32 can tell would fall upon
    /// it, and be rounded to the even one. One unit more keeps it above, and is too little to lift
    /// another product that far: of all numbers of a half type, none changes for the worse.
    #[inline(always)]
    fn bias_for_double_rounding(self) -> Self {
        self * self.lit(1.0 + f64::from(f32::EPSILON))
    }
    #[inline(always)]
    fn pick_identity_above(self, c: f64, lo: Self) -> Self {
        F32ForHalf(V::select(V::splat(c as f32).gt(self.0), lo.0, self.0))
    }
    #[inline(always)]
    fn exp_m1(self) -> Self {
        F32ForHalf(exp_m1::f32_for_half_value::<V, BF16>(self.0))
    }
    /// Written so that the compiler knows the result where it knows the number.
    #[inline(always)]
    fn sign_or_one(self) -> Self {
        F32ForHalf(V::splat(1.0).copysign(self.0 + V::splat(0.0)))
    }
    /// Half types have no use for the rest of a constant; the compiler knows that it is nothing.
    #[inline(always)]
    fn constant_rest(self, _c: (f64, f64)) -> Self {
        self.lit(-0.0)
    }
    #[inline(always)]
    fn two_prod(self, o: Self) -> (Self, Self) {
        (self * o, self.lit(-0.0))
    }
    #[inline(always)]
    fn two_sum(self, o: Self) -> (Self, Self) {
        (self + o, self.lit(-0.0))
    }
    /// Parameters are the defaults here, and their products exact.
    #[inline(always)]
    fn argument(self, (factor, _rest): (Self, Self)) -> (Self, Self) {
        (self * factor, self.lit(-0.0))
    }
    #[inline(always)]
    fn plus_quotient(self, j: Jet<Self>, divisor: Self) -> Self {
        self + j.v * (self.lit(1.0) / divisor)
    }
    #[inline(always)]
    fn scaled(self, m: Self, _m_lo: Self, _k: Self) -> Self {
        self * m
    }
    /// The larger factor meets the gate first, so that nothing on the way is subnormal.
    #[inline(always)]
    fn scaled_product(self, value: Self, m: Self, m_lo: Self, k: Self) -> Self {
        let swap = value.0.abs().gt(self.0.abs());
        let large = F32ForHalf(V::select(swap, value.0, self.0));
        let small = F32ForHalf(V::select(swap, self.0, value.0));
        large.scaled(m, m_lo, k) * small
    }
    #[inline(always)]
    fn gated(self, gate: Jet<Self>) -> Self {
        self * gate.v
    }
    #[inline(always)]
    fn pick_at_least(self, c: f64, hi: Self, lo: Self) -> Self {
        let y = V::select(V::splat(c as f32).gt(self.0), lo.0, hi.0);
        F32ForHalf(V::select(self.0.is_nan(), self.0, y))
    }
    /// Where `self` is beyond 64, a gate is 1 and its slope nothing, however large `self` may be.
    #[inline(always)]
    fn slope_sum(self, gate: Jet<Self>) -> Self {
        F32ForHalf(self.0.min(V::splat(64.0)).mul_add(gate.d.0, gate.v.0))
    }
}

//! Registers as numbers: how the same definition becomes the f32 and the f64 kernels.

use super::{Jet, Prim, Real};
use crate::math::compensated::times_pair;
use crate::math::scale::{finish, finish_times, scale2};
use crate::math::{self, softplus};
use crate::simd::{Lanes, Lanes32, Lanes64, UNITS, UNITS_F32};
use core::ops::{Add, Div, Mul, Neg, Sub};

/// `2^k` for a normal number.
const fn pow2(k: i64) -> f64 {
    f64::from_bits(((1023 + k) as u64) << 52)
}

/// f64 lanes whose result will be rounded to f32.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct F64ToF32<V>(pub V);

/// f64 lanes whose result stays f64.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct F64Lanes<V>(pub V);

/// f32 lanes: plain f32 arithmetic, for definitions that round once.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct F32Plain<V>(pub V);

macro_rules! forward_operators {
    ($t:ident, $lanes:ident $(, $flag:ident: $kind:ty)?) => {
        super::lanes::forward_operators!(@one $t, $lanes, Add, add $(, $flag: $kind)?);
        super::lanes::forward_operators!(@one $t, $lanes, Sub, sub $(, $flag: $kind)?);
        super::lanes::forward_operators!(@one $t, $lanes, Mul, mul $(, $flag: $kind)?);
        super::lanes::forward_operators!(@one $t, $lanes, Div, div $(, $flag: $kind)?);
        impl<V: $lanes $(, const $flag: $kind)?> Neg for $t<V $(, $flag)?> {
            type Output = Self;
            #[inline(always)]
            fn neg(self) -> Self {
                $t(-self.0)
            }
        }
    };
    (@one $t:ident, $lanes:ident, $trait:ident, $method:ident $(, $flag:ident: $kind:ty)?) => {
        impl<V: $lanes $(, const $flag: $kind)?> $trait for $t<V $(, $flag)?> {
            type Output = Self;
            #[inline(always)]
            fn $method(self, o: Self) -> Self {
                $t(self.0.$method(o.0))
            }
        }
    };
}
pub(super) use forward_operators;
forward_operators!(F64ToF32, Lanes64);
forward_operators!(F64Lanes, Lanes64);
forward_operators!(F32Plain, Lanes32);

/// The methods of `Real` that every register type has in common: comparison, selection, sign.
macro_rules! shared_methods {
    ($t:ident, units: $units:expr) => {
        #[inline(always)]
        fn abs(self) -> Self {
            $t(self.0.abs())
        }
        #[inline(always)]
        fn max(self, c: Self) -> Self {
            $t(self.0.max(c.0))
        }
        #[inline(always)]
        fn min(self, c: Self) -> Self {
            $t(self.0.min(c.0))
        }
        #[inline(always)]
        fn pick_above(self, c: f64, hi: Self, lo: Self) -> Self {
            let y = V::select(self.0.gt(self.lit(c).0), hi.0, lo.0);
            $t(V::select(self.0.is_nan(), self.0, y))
        }
        #[inline(always)]
        fn pick_greater(self, o: Self, hi: Self, lo: Self) -> Self {
            let y = V::select(self.0.gt(o.0), hi.0, lo.0);
            let y = V::select(o.0.is_nan(), o.0, y);
            $t(V::select(self.0.is_nan(), self.0, y))
        }
        #[inline(always)]
        fn floor(self) -> Self {
            $t(crate::math::integers::floor(self.0, V::splat($units), self.lit(1.0).0))
        }
        #[inline(always)]
        fn round(self) -> Self {
            $t(crate::math::integers::round(self.0, V::splat($units)))
        }
        #[inline(always)]
        fn sqrt(self) -> Self {
            $t(self.0.sqrt())
        }
        #[inline(always)]
        fn mul_add(self, a: Self, b: Self) -> Self {
            $t(self.0.mul_add(a.0, b.0))
        }
        #[inline(always)]
        fn pick_nan_free(self, c: f64, hi: Self, lo: Self) -> Self {
            $t(V::select(self.0.gt(self.lit(c).0), hi.0, lo.0))
        }
    };
}

pub(super) use shared_methods;

impl<V: Lanes64> Real for F64ToF32<V> {
    shared_methods!(F64ToF32, units: UNITS);
    #[inline(always)]
    fn lit(self, c: f64) -> Self {
        F64ToF32(V::splat(c))
    }
    #[inline(always)]
    fn constant(self, c: (f64, f64)) -> Self {
        F64ToF32(V::splat(c.0))
    }
    #[inline(always)]
    fn jet_at(self, _lo: Self, p: Prim) -> Jet<Self> {
        math::f64_to_f32(self.0, p).map(F64ToF32)
    }
    /// Below every f32, and times 2^-1010 still nothing in f32.
    #[inline(always)]
    fn lowest(self) -> Self {
        self.lit(-1e39)
    }
}

/// `p` and `j` with `a b 2^k = p 2^j`: where `a b` overflows, `j` is greater than `k`.
#[inline(always)]
fn product_apart<V: Lanes64>(a: V, b: V, k: V) -> (V, V) {
    let p = a * b;
    let over = p.abs().gt(V::splat(f64::MAX));
    if V::any(over) {
        core::hint::cold_path();
        // So much less that the product is at least 1: no slope makes it subnormal.
        let part = V::splat(pow2(-512));
        let less = (a * part) * (b * part);
        return (V::select(over, less, p), V::select(over, k + V::splat(1024.0), k));
    }
    (p, k)
}

impl<V: Lanes64> Real for F64Lanes<V> {
    shared_methods!(F64Lanes, units: UNITS);
    #[inline(always)]
    fn lit(self, c: f64) -> Self {
        F64Lanes(V::splat(c))
    }
    #[inline(always)]
    fn constant(self, c: (f64, f64)) -> Self {
        F64Lanes(V::splat(c.0))
    }
    #[inline(always)]
    fn jet_at(self, lo: Self, p: Prim) -> Jet<Self> {
        math::f64_lanes(self.0, Some(lo.0), p).map(F64Lanes)
    }
    #[inline(always)]
    fn jet(self, p: Prim) -> Jet<Self> {
        math::f64_lanes(self.0, None, p).map(F64Lanes)
    }
    #[inline(always)]
    fn slope_jet(self, p: Prim) -> Jet<Self> {
        math::f64_lanes_slope(self.0, p).map(F64Lanes)
    }
    #[inline(always)]
    fn scale2(self, k: Self) -> Self {
        F64Lanes(finish(self.0, k.0))
    }
    #[inline(always)]
    fn two_prod(self, o: Self) -> (Self, Self) {
        let (p, e) = self.0.two_prod(o.0);
        (F64Lanes(p), F64Lanes(e))
    }
    #[inline(always)]
    fn two_sum(self, o: Self) -> (Self, Self) {
        let (s, e) = self.0.two_sum(o.0);
        (F64Lanes(s), F64Lanes(e))
    }
    #[inline(always)]
    fn constant_rest(self, c: (f64, f64)) -> Self {
        self.lit(c.1)
    }
    #[inline(always)]
    fn scaled(self, m: Self, m_lo: Self, k: Self) -> Self {
        F64Lanes(times_pair(self.0, m.0, m_lo.0)).scale2(k)
    }
    /// A gate is never negative; the sum of two zeros may have lost the sign.
    #[inline(always)]
    fn gated(self, gate: Jet<Self>) -> Self {
        let (x, k) = (self.0, gate.k.0);
        let finite = self.finite().0;
        let mut y = x.mul_add(gate.v.0, finite * gate.v_lo.0);
        let far = k.abs().gt(V::splat(0.0));
        if V::any(far) {
            core::hint::cold_path();
            // There -inf meets a gate that is closed, and the largest numbers may overflow before the
            // power of two.
            let less = finite * V::splat(pow2(-200));
            let closing = scale2(
                less.mul_add(gate.v.0, less * gate.v_lo.0),
                V::select(far, k + V::splat(200.0), k),
            );
            y = V::select(far, closing, y);
        }
        F64Lanes(y.copysign(x))
    }
    // Below -1e6 the gate is closed, and a huge factor shall not open it.
    #[inline(always)]
    fn gated_times(self, gate: Jet<Self>, factor: Self) -> Self {
        // A subnormal number that the gate halves loses a bit: there it comes last.
        let last = V::splat(1e-250).gt(self.0.abs());
        let x = V::select(last, factor.0, self.0.max(V::splat(-1e6)));
        let y = x.mul_add(gate.v.0, x.min(V::splat(f64::MAX)) * gate.v_lo.0).copysign(x);
        F64Lanes(finish_times(y, gate.k.0, V::select(last, self.0, factor.0)))
    }
    #[inline(always)]
    fn weighted_product(self, o: Self, m: Self, m_lo: Self, k: Self) -> Self {
        let (product, k) = product_apart(self.0, o.0, k.0);
        F64Lanes(product).weighted(m, m_lo, F64Lanes(k))
    }
    #[inline(always)]
    fn times_product_of(self, a: Self, b: Self, k: Self) -> Self {
        let (product, k) = product_apart(a.0, b.0, k.0);
        self.scaled_product(F64Lanes(product), self.lit(1.0), self.lit(0.0), F64Lanes(k))
    }
    #[inline(always)]
    fn scaled_product(self, value: Self, m: Self, m_lo: Self, k: Self) -> Self {
        let y = times_pair(self.0.max(V::splat(-1e6)), m.0, m_lo.0);
        F64Lanes(finish_times(y, k.0, value.0))
    }
    #[inline(always)]
    fn reciprocal(self) -> (Self, Self) {
        let q = V::splat(1.0) / self.0;
        (F64Lanes(q), F64Lanes(V::residual(V::splat(1.0), q, self.0) * q))
    }
    #[inline(always)]
    fn argument(self, (factor, rest): (Self, Self)) -> (Self, Self) {
        let (mut x, mut factor, mut rest) = (self.0, factor.0, rest.0);
        if V::any(V::splat(1e-280).gt(factor.abs())) {
            core::hint::cold_path();
            // An infinity must not meet a 0; and the halves of a product must not overflow.
            let none = factor.abs().gt(V::splat(0.0));
            x = V::select(none, x, self.finite().0) * V::splat(pow2(-200));
            factor = factor * V::splat(pow2(200));
            rest = rest * V::splat(pow2(200));
        }
        let (p, e) = x.two_prod(factor);
        // Where a correction is NaN or large, the primitive has long reached its limit.
        let e = V::splat(-1.0).max(x.mul_add(rest, e)).min(V::splat(1.0));
        (F64Lanes(p), F64Lanes(e))
    }
    #[inline(always)]
    fn exp_m1_of_width(self, width: Self) -> Self {
        let (z, z_lo) = self.argument(width.reciprocal());
        let j = z.jet_at(z_lo, Prim::ExpM1);
        let y = width.scaled(j.v, j.v_lo, j.k);
        // Where e^z - 1 is z, z may be subnormal and have lost digits that x has.
        F64Lanes(V::select(V::splat(1e-20).gt(z.0.abs()), self.0, y.0))
    }
    #[inline(always)]
    fn softplus_neg(self, lo: Self) -> Jet<Self> {
        softplus::f64_lanes_negative(self.0, Some(lo.0)).map(F64Lanes)
    }
    #[inline(always)]
    fn ramp(self, slope: Self, rest: Self, offset: Self) -> Self {
        // Beyond that it is 0 or 1, for all slopes and offsets that there may be.
        let x = self.saturated(1e250);
        let (p, e) = x.two_prod(slope);
        let (s, r) = p.two_sum(offset);
        (s + (r + (e + rest * x))).max(self.lit(0.0)).min(self.lit(1.0))
    }
    /// Rounds three times, by half a unit each: the budget has room for it.
    #[inline(always)]
    fn plus_quotient(self, j: Jet<Self>, divisor: Self) -> Self {
        self + ((j.v + j.v_lo) / divisor).scale2(j.k)
    }
    #[inline(always)]
    fn sign_or_one(self) -> Self {
        // -0 plus 0 is 0.
        F64Lanes(V::splat(1.0).copysign(self.0 + V::splat(0.0)))
    }
    #[inline(always)]
    fn slope_sum(self, gate: Jet<Self>) -> Self {
        let w = self.max(self.lit(-1e6)).min(self.lit(1e6)).0;
        let (p, e) = w.two_prod(gate.d.0);
        let (s, rest) = gate.v.0.two_sum(p);
        F64Lanes(s + (rest + (e + w.mul_add(gate.d_lo.0, gate.v_lo.0))))
    }
}

impl<V: Lanes32> Real for F32Plain<V> {
    shared_methods!(F32Plain, units: UNITS_F32);
    #[inline(always)]
    fn lit(self, c: f64) -> Self {
        F32Plain(V::splat(c as f32))
    }
    #[inline(always)]
    fn lowest(self) -> Self {
        F32Plain(V::splat(f32::MIN))
    }
    #[inline(always)]
    fn jet_at(self, _lo: Self, p: Prim) -> Jet<Self> {
        let (a, b) = self.0.widen();
        let (a, b) = (math::f64_to_f32(a, p), math::f64_to_f32(b, p));
        let join = |a, b| F32Plain(V::narrow(a, b));
        Jet::new(join(a.v, b.v), join(a.d, b.d), join(a.dd, b.dd))
    }
}

/// The primitive `p` at `x + lo`.
#[inline(always)]
fn scalar(x: f64, lo: f64, p: Prim) -> Jet<f64> {
    math::f64_lanes(x, Some(lo), p)
}
// Intervals and bounded numbers ask it too.
math::apart!(scalar_apart, f64, scalar);

/// A plain f64 is one full lane.
impl Real for f64 {
    #[inline(always)]
    fn lit(self, c: f64) -> Self {
        c
    }
    #[inline(always)]
    fn constant(self, c: (f64, f64)) -> Self {
        c.0
    }
    #[inline(always)]
    fn abs(self) -> Self {
        Lanes::abs(self)
    }
    #[inline(always)]
    fn max(self, c: Self) -> Self {
        Lanes::max(self, c)
    }
    #[inline(always)]
    fn min(self, c: Self) -> Self {
        Lanes::min(self, c)
    }
    #[inline(always)]
    fn floor(self) -> Self {
        F64Lanes(self).floor().0
    }
    #[inline(always)]
    fn round(self) -> Self {
        F64Lanes(self).round().0
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        Lanes::sqrt(self)
    }
    #[inline(always)]
    fn mul_add(self, a: Self, b: Self) -> Self {
        Lanes::mul_add(self, a, b)
    }
    #[inline(always)]
    fn pick_above(self, c: f64, hi: Self, lo: Self) -> Self {
        F64Lanes(self).pick_above(c, F64Lanes(hi), F64Lanes(lo)).0
    }
    #[inline(always)]
    fn pick_greater(self, o: Self, hi: Self, lo: Self) -> Self {
        F64Lanes(self).pick_greater(F64Lanes(o), F64Lanes(hi), F64Lanes(lo)).0
    }
    #[inline(always)]
    fn jet_at(self, lo: Self, p: Prim) -> Jet<Self> {
        scalar_apart(self, lo, p)
    }
    #[inline(always)]
    fn scale2(self, k: Self) -> Self {
        scale2(self, k)
    }
    #[inline(always)]
    fn two_prod(self, o: Self) -> (Self, Self) {
        Lanes64::two_prod(self, o)
    }
    #[inline(always)]
    fn two_sum(self, o: Self) -> (Self, Self) {
        Lanes64::two_sum(self, o)
    }
    #[inline(always)]
    fn constant_rest(self, c: (f64, f64)) -> Self {
        c.1
    }
    #[inline(always)]
    fn scaled(self, m: Self, m_lo: Self, k: Self) -> Self {
        F64Lanes(self).scaled(F64Lanes(m), F64Lanes(m_lo), F64Lanes(k)).0
    }
    #[inline(always)]
    fn reciprocal(self) -> (Self, Self) {
        let (q, rest) = F64Lanes(self).reciprocal();
        (q.0, rest.0)
    }
    #[inline(always)]
    fn argument(self, (factor, rest): (Self, Self)) -> (Self, Self) {
        let (p, e) = F64Lanes(self).argument((F64Lanes(factor), F64Lanes(rest)));
        (p.0, e.0)
    }
    #[inline(always)]
    fn plus_quotient(self, j: Jet<Self>, divisor: Self) -> Self {
        self + ((j.v + j.v_lo) / divisor).scale2(j.k)
    }
    #[inline(always)]
    fn ramp(self, slope: Self, rest: Self, offset: Self) -> Self {
        F64Lanes(self).ramp(F64Lanes(slope), F64Lanes(rest), F64Lanes(offset)).0
    }
    #[inline(always)]
    fn exp_m1_of_width(self, width: Self) -> Self {
        F64Lanes(self).exp_m1_of_width(F64Lanes(width)).0
    }
    #[inline(always)]
    fn gated(self, gate: Jet<Self>) -> Self {
        F64Lanes(self).gated(gate.map(F64Lanes)).0
    }
}

/// A plain f32: computed as f64 and rounded after each operation.
impl Real for f32 {
    #[inline(always)]
    fn lit(self, c: f64) -> Self {
        c as f32
    }
    #[inline(always)]
    fn lowest(self) -> Self {
        f32::MIN
    }
    #[inline(always)]
    fn abs(self) -> Self {
        f32::from_bits(self.to_bits() & !(1 << 31))
    }
    #[inline(always)]
    fn max(self, c: Self) -> Self {
        if c > self { c } else { self }
    }
    #[inline(always)]
    fn min(self, c: Self) -> Self {
        if c < self { c } else { self }
    }
    #[inline(always)]
    fn floor(self) -> Self {
        Real::floor(f64::from(self)) as f32
    }
    #[inline(always)]
    fn round(self) -> Self {
        Real::round(f64::from(self)) as f32
    }
    #[inline(always)]
    fn pick_above(self, c: f64, hi: Self, lo: Self) -> Self {
        if self.is_nan() {
            self
        } else if self > c as f32 {
            hi
        } else {
            lo
        }
    }
    #[inline(always)]
    fn jet_at(self, _lo: Self, p: Prim) -> Jet<Self> {
        let j = math::f64_to_f32(f64::from(self), p);
        Jet::new(j.v as f32, j.d as f32, j.dd as f32)
    }
}

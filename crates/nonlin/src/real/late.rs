//! Numbers whose power of two waits: a gradient multiplies first.
//!
//! A slope may be subnormal, or 0, while the gradient times it is an ordinary number; rounded
//! before that product, it has lost its digits. So backward passes compute slopes with these
//! numbers, which [`Real::scale2`] leaves as they are, and scale when a result is written.

use super::{Full, Gating, Jet, Prim, Real};
use crate::math::full::{scale2, times_pair};
use crate::simd::Lanes64;
use core::ops::{Add, Div, Mul, Neg, Sub};

/// `x 2^k`. Where nothing waits, which is a branch and not a selection, `k` is 0 and is not looked at.
#[derive(Clone, Copy)]
pub struct Late<T> {
    x: T,
    k: T,
    waits: bool,
}

/// A number that [`Late`] can keep apart from its power of two.
pub trait Wait: Real {
    /// Whether `self` is not 0 in some lane.
    fn any_far(self) -> bool;
    /// `far` where `k` is not 0, else `near`.
    fn where_far(k: Self, far: Self, near: Self) -> Self;
    /// Whether products of what waits are in range as they are.
    const IN_RANGE: bool = false;
    /// `m` and `k` with `self = m 2^k` and `m` within 2^-400 and 2^400, if `self` is not 0 or infinite.
    #[inline(always)]
    fn balanced(self) -> (Self, Self) {
        (self, self.lit(0.0))
    }
    /// `self (m + m_lo)`, rounded once.
    fn times(self, m: Self, m_lo: Self) -> Self;
    /// [`Real::tabled_slope`] over `2^k`, and `k`.
    #[inline(always)]
    fn tabled_slope_apart(self, _gate: Gating) -> Option<(Self, Self)> {
        None
    }
}

/// Factors are brought between `1 / FAR` and `FAR`, by steps of 2^`STEP`.
const FAR: f64 = 2.037_035_976_334_486e90; // 2^300
const STEP: f64 = 700.0;

impl<V: Lanes64> Wait for Full<V> {
    #[inline(always)]
    fn any_far(self) -> bool {
        V::any(self.0.abs().gt(V::splat(0.0)))
    }
    #[inline(always)]
    fn where_far(k: Self, far: Self, near: Self) -> Self {
        Full(V::select(k.0.abs().gt(V::splat(0.0)), far.0, near.0))
    }
    #[inline(always)]
    fn balanced(self) -> (Self, Self) {
        let size = self.0.abs();
        let step = V::select(size.gt(V::splat(FAR)), V::splat(STEP), V::splat(0.0));
        let k = V::select(V::splat(1.0 / FAR).gt(size), V::splat(-STEP), step);
        (Full(scale2(self.0, -k)), Full(k))
    }
    #[inline(always)]
    fn times(self, m: Self, m_lo: Self) -> Self {
        Full(times_pair(self.0, m.0, m_lo.0))
    }
}

impl<T: Wait> Late<T> {
    /// A number for which nothing waits.
    #[inline(always)]
    pub fn new(x: T) -> Self {
        Late { x, k: x.lit(0.0), waits: false }
    }

    /// The number, scaled.
    #[inline(always)]
    pub fn settled(self) -> T {
        if self.waits {
            core::hint::cold_path();
            if T::IN_RANGE {
                return self.x.scale2(self.k);
            }
            // A product of balanced factors is within 2^-900 and 2^900: beyond these ends it is 0
            // or infinite.
            return self.x.scale2(self.k.max(self.x.lit(-2030.0)).min(self.x.lit(2030.0)));
        }
        self.x
    }

    #[inline(always)]
    fn jet_of(j: Jet<T>) -> Jet<Self> {
        Jet {
            v: Late::new(j.v),
            d: Late::new(j.d),
            dd: Late::new(j.dd),
            v_lo: Late::new(j.v_lo),
            d_lo: Late::new(j.d_lo),
            k: Late::new(j.k),
        }
    }
}

impl<T: Wait> Add for Late<T> {
    type Output = Self;
    #[inline(always)]
    fn add(self, o: Self) -> Self {
        Late::new(self.settled() + o.settled())
    }
}
impl<T: Wait> Sub for Late<T> {
    type Output = Self;
    #[inline(always)]
    fn sub(self, o: Self) -> Self {
        Late::new(self.settled() - o.settled())
    }
}
impl<T: Wait> Mul for Late<T> {
    type Output = Self;
    #[inline(always)]
    fn mul(self, o: Self) -> Self {
        if self.waits | o.waits {
            core::hint::cold_path();
            let k = self.k + o.k;
            if T::IN_RANGE {
                return Late { x: self.x * o.x, k, waits: true };
            }
            let ((x, i), (y, j)) = (self.x.balanced(), o.x.balanced());
            // A lane in which nothing waits gets the product that it would have got outside.
            let x = T::where_far(k, x * y, self.x * o.x);
            return Late { x, k: T::where_far(k, k + i + j, k), waits: true };
        }
        Late::new(self.x * o.x)
    }
}
impl<T: Wait> Div for Late<T> {
    type Output = Self;
    #[inline(always)]
    fn div(self, o: Self) -> Self {
        Late::new(self.settled() / o.settled())
    }
}
impl<T: Wait> Neg for Late<T> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        Late { x: -self.x, ..self }
    }
}

impl<T: Wait> Real for Late<T> {
    #[inline(always)]
    fn lit(self, c: f64) -> Self {
        Late::new(self.x.lit(c))
    }
    #[inline(always)]
    fn constant(self, c: (f64, f64)) -> Self {
        Late::new(self.x.constant(c))
    }
    #[inline(always)]
    fn constant_rest(self, c: (f64, f64)) -> Self {
        Late::new(self.x.constant_rest(c))
    }
    #[inline(always)]
    fn abs(self) -> Self {
        Late { x: self.x.abs(), ..self }
    }
    #[inline(always)]
    fn max(self, c: Self) -> Self {
        Late::new(self.settled().max(c.settled()))
    }
    #[inline(always)]
    fn min(self, c: Self) -> Self {
        Late::new(self.settled().min(c.settled()))
    }
    #[inline(always)]
    fn pick_above(self, c: f64, hi: Self, lo: Self) -> Self {
        let at = self.settled();
        let picked = Late::new(at.pick_above(c, hi.x, lo.x));
        if hi.waits | lo.waits {
            core::hint::cold_path();
            return Late { k: at.pick_above(c, hi.k, lo.k), waits: true, ..picked };
        }
        picked
    }
    #[inline(always)]
    fn jet_at(self, lo: Self, p: Prim) -> Jet<Self> {
        Late::jet_of(self.settled().jet_at(lo.settled(), p))
    }
    #[inline(always)]
    fn jet(self, p: Prim) -> Jet<Self> {
        Late::jet_of(self.settled().jet(p))
    }
    #[inline(always)]
    fn slope_jet(self, p: Prim) -> Jet<Self> {
        Late::jet_of(self.settled().slope_jet(p))
    }
    #[inline(always)]
    fn tabled_slope(self, gate: Gating) -> Option<Self> {
        // Not `map`: a closure around registers is not inlined.
        match self.settled().tabled_slope_apart(gate) {
            Some((slope, k)) => Some(Late { x: slope, k, waits: k.any_far() }),
            None => None,
        }
    }
    #[inline(always)]
    fn scale2(self, k: Self) -> Self {
        let far = k.x.any_far();
        if self.waits {
            core::hint::cold_path();
            return Late { k: self.k + k.x, ..self };
        }
        Late { x: self.x, k: k.x, waits: far }
    }
    #[inline(always)]
    fn two_prod(self, o: Self) -> (Self, Self) {
        let (p, e) = self.settled().two_prod(o.settled());
        (Late::new(p), Late::new(e))
    }
    #[inline(always)]
    fn two_sum(self, o: Self) -> (Self, Self) {
        let (s, e) = self.settled().two_sum(o.settled());
        (Late::new(s), Late::new(e))
    }
    #[inline(always)]
    fn reciprocal(self) -> (Self, Self) {
        let (q, rest) = self.settled().reciprocal();
        (Late::new(q), Late::new(rest))
    }
    #[inline(always)]
    fn argument(self, (factor, rest): (Self, Self)) -> (Self, Self) {
        let (p, e) = self.settled().argument((factor.settled(), rest.settled()));
        (Late::new(p), Late::new(e))
    }
    #[inline(always)]
    fn sign(self) -> Self {
        Late::new(self.x.sign())
    }
    #[inline(always)]
    fn scaled(self, m: Self, m_lo: Self, k: Self) -> Self {
        let (x, m, m_lo, k) = (self.settled(), m.settled(), m_lo.settled(), k.settled());
        let late = Late { x: x.times(m, m_lo), k, waits: k.any_far() };
        if late.waits && !T::IN_RANGE {
            core::hint::cold_path();
            let (y, more) = x.balanced();
            let x = T::where_far(k, y.times(m, m_lo), late.x);
            return Late { x, k: T::where_far(k, k + more, k), waits: true };
        }
        late
    }
    #[inline(always)]
    fn slope_sum(self, gate: Jet<Self>) -> Self {
        let Jet { v, d, dd, v_lo, d_lo, k } = gate;
        let gate = Jet {
            v: v.settled(),
            d: d.settled(),
            dd: dd.settled(),
            v_lo: v_lo.settled(),
            d_lo: d_lo.settled(),
            k: k.settled(),
        };
        Late::new(self.settled().slope_sum(gate))
    }
}

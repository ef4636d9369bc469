//! Numbers whose power of two waits: a gradient multiplies first.
//!
//! A slope may be subnormal, or 0, while the gradient times it is an ordinary number; rounded
//! before that product, it has lost its digits. So backward passes compute slopes with these
//! numbers, which [`Real::scale2`] leaves as they are, and scale when a result is written.

use super::{F64Lanes, GateTable, Jet, Prim, Real};
use crate::math::compensated::times_pair;
use crate::math::scale::scale2;
use crate::simd::Lanes64;
use core::ops::{Add, Div, Mul, Neg, Sub};

/// `x 2^k`. Where nothing waits, which is a branch and not a selection, `k` is 0 and is not looked at.
#[derive(Clone, Copy)]
pub struct Deferred<T> {
    x: T,
    k: T,
    pending: bool,
}

/// A number that [`Deferred`] can keep apart from its power of two.
pub trait DeferScale: Real {
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
    fn tabled_slope_apart(self, _gate: GateTable) -> Option<(Self, Self)> {
        None
    }
}

/// Factors are brought between `1 / FACTOR_LIMIT` and `FACTOR_LIMIT`, by steps of 2^`STEP`.
const FACTOR_LIMIT: f64 = 2.037_035_976_334_486e90; // 2^300
const STEP: f64 = 700.0;

impl<V: Lanes64> DeferScale for F64Lanes<V> {
    #[inline(always)]
    fn any_far(self) -> bool {
        V::any(self.0.abs().gt(V::splat(0.0)))
    }
    #[inline(always)]
    fn where_far(k: Self, far: Self, near: Self) -> Self {
        F64Lanes(V::select(k.0.abs().gt(V::splat(0.0)), far.0, near.0))
    }
    #[inline(always)]
    fn balanced(self) -> (Self, Self) {
        let size = self.0.abs();
        let step = V::select(size.gt(V::splat(FACTOR_LIMIT)), V::splat(STEP), V::splat(0.0));
        let k = V::select(V::splat(1.0 / FACTOR_LIMIT).gt(size), V::splat(-STEP), step);
        (F64Lanes(scale2(self.0, -k)), F64Lanes(k))
    }
    #[inline(always)]
    fn times(self, m: Self, m_lo: Self) -> Self {
        F64Lanes(times_pair(self.0, m.0, m_lo.0))
    }
}

impl<T: DeferScale> Deferred<T> {
    /// A number for which nothing waits.
    #[inline(always)]
    pub fn new(x: T) -> Self {
        Deferred { x, k: x.lit(0.0), pending: false }
    }

    /// `x 2^k`, of which `k` is pending.
    #[inline(always)]
    pub(crate) fn pending(x: T, k: T) -> Self {
        Deferred { x, k, pending: true }
    }

    /// The number without its exponent, and the exponent if one is pending.
    #[inline(always)]
    pub(crate) fn parts(self) -> (T, Option<T>) {
        (self.x, if self.pending { Some(self.k) } else { None })
    }

    /// The number, scaled.
    #[inline(always)]
    pub fn resolve(self) -> T {
        if self.pending {
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
        j.map(Deferred::new)
    }
}

impl<T: DeferScale> Add for Deferred<T> {
    type Output = Self;
    #[inline(always)]
    fn add(self, o: Self) -> Self {
        Deferred::new(self.resolve() + o.resolve())
    }
}
impl<T: DeferScale> Sub for Deferred<T> {
    type Output = Self;
    #[inline(always)]
    fn sub(self, o: Self) -> Self {
        Deferred::new(self.resolve() - o.resolve())
    }
}
impl<T: DeferScale> Mul for Deferred<T> {
    type Output = Self;
    #[inline(always)]
    fn mul(self, o: Self) -> Self {
        if self.pending | o.pending {
            core::hint::cold_path();
            let k = self.k + o.k;
            if T::IN_RANGE {
                return Deferred { x: self.x * o.x, k, pending: true };
            }
            let ((x, i), (y, j)) = (self.x.balanced(), o.x.balanced());
            // A lane in which nothing waits gets the product that it would have got outside.
            let x = T::where_far(k, x * y, self.x * o.x);
            return Deferred { x, k: T::where_far(k, k + i + j, k), pending: true };
        }
        Deferred::new(self.x * o.x)
    }
}
impl<T: DeferScale> Div for Deferred<T> {
    type Output = Self;
    #[inline(always)]
    fn div(self, o: Self) -> Self {
        Deferred::new(self.resolve() / o.resolve())
    }
}
impl<T: DeferScale> Neg for Deferred<T> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        Deferred { x: -self.x, ..self }
    }
}

impl<T: DeferScale> Real for Deferred<T> {
    #[inline(always)]
    fn lit(self, c: f64) -> Self {
        Deferred::new(self.x.lit(c))
    }
    #[inline(always)]
    fn constant(self, c: (f64, f64)) -> Self {
        Deferred::new(self.x.constant(c))
    }
    #[inline(always)]
    fn constant_rest(self, c: (f64, f64)) -> Self {
        Deferred::new(self.x.constant_rest(c))
    }
    #[inline(always)]
    fn abs(self) -> Self {
        Deferred { x: self.x.abs(), ..self }
    }
    #[inline(always)]
    fn max(self, c: Self) -> Self {
        Deferred::new(self.resolve().max(c.resolve()))
    }
    #[inline(always)]
    fn min(self, c: Self) -> Self {
        Deferred::new(self.resolve().min(c.resolve()))
    }
    #[inline(always)]
    fn floor(self) -> Self {
        Deferred::new(self.resolve().floor())
    }
    #[inline(always)]
    fn round(self) -> Self {
        Deferred::new(self.resolve().round())
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        Deferred::new(self.resolve().sqrt())
    }
    #[inline(always)]
    fn mul_add(self, a: Self, b: Self) -> Self {
        Deferred::new(self.resolve().mul_add(a.resolve(), b.resolve()))
    }
    #[inline(always)]
    fn pick_greater(self, o: Self, hi: Self, lo: Self) -> Self {
        let (at, by) = (self.resolve(), o.resolve());
        let picked = Deferred::new(at.pick_greater(by, hi.x, lo.x));
        if hi.pending | lo.pending {
            core::hint::cold_path();
            return Deferred { k: at.pick_greater(by, hi.k, lo.k), pending: true, ..picked };
        }
        picked
    }
    #[inline(always)]
    fn powf(self, y: Self) -> Self {
        Deferred::new(self.resolve().powf(y.resolve()))
    }
    #[inline(always)]
    fn powi(self, n: i32) -> Self {
        Deferred::new(self.resolve().powi(n))
    }
    #[inline(always)]
    fn pick_above(self, c: f64, hi: Self, lo: Self) -> Self {
        let at = self.resolve();
        let picked = Deferred::new(at.pick_above(c, hi.x, lo.x));
        if hi.pending | lo.pending {
            core::hint::cold_path();
            return Deferred { k: at.pick_above(c, hi.k, lo.k), pending: true, ..picked };
        }
        picked
    }
    #[inline(always)]
    fn jet_at(self, lo: Self, p: Prim) -> Jet<Self> {
        Deferred::jet_of(self.resolve().jet_at(lo.resolve(), p))
    }
    #[inline(always)]
    fn jet(self, p: Prim) -> Jet<Self> {
        Deferred::jet_of(self.resolve().jet(p))
    }
    #[inline(always)]
    fn slope_jet(self, p: Prim) -> Jet<Self> {
        Deferred::jet_of(self.resolve().slope_jet(p))
    }
    #[inline(always)]
    fn tabled_slope(self, gate: GateTable) -> Option<Self> {
        // Not `map`: a closure around registers is not inlined.
        match self.resolve().tabled_slope_apart(gate) {
            Some((slope, k)) => Some(Deferred { x: slope, k, pending: k.any_far() }),
            None => None,
        }
    }
    #[inline(always)]
    fn scale2(self, k: Self) -> Self {
        let far = k.x.any_far();
        if self.pending {
            core::hint::cold_path();
            return Deferred { k: self.k + k.x, ..self };
        }
        Deferred { x: self.x, k: k.x, pending: far }
    }
    #[inline(always)]
    fn two_prod(self, o: Self) -> (Self, Self) {
        let (p, e) = self.resolve().two_prod(o.resolve());
        (Deferred::new(p), Deferred::new(e))
    }
    #[inline(always)]
    fn two_sum(self, o: Self) -> (Self, Self) {
        let (s, e) = self.resolve().two_sum(o.resolve());
        (Deferred::new(s), Deferred::new(e))
    }
    #[inline(always)]
    fn reciprocal(self) -> (Self, Self) {
        let (q, rest) = self.resolve().reciprocal();
        (Deferred::new(q), Deferred::new(rest))
    }
    #[inline(always)]
    fn argument(self, (factor, rest): (Self, Self)) -> (Self, Self) {
        let (p, e) = self.resolve().argument((factor.resolve(), rest.resolve()));
        (Deferred::new(p), Deferred::new(e))
    }
    #[inline(always)]
    fn sign_or_one(self) -> Self {
        Deferred::new(self.x.sign_or_one())
    }
    #[inline(always)]
    fn scaled(self, m: Self, m_lo: Self, k: Self) -> Self {
        let (x, m, m_lo, k) = (self.resolve(), m.resolve(), m_lo.resolve(), k.resolve());
        let late = Deferred { x: x.times(m, m_lo), k, pending: k.any_far() };
        if late.pending && !T::IN_RANGE {
            core::hint::cold_path();
            let (y, more) = x.balanced();
            let x = T::where_far(k, y.times(m, m_lo), late.x);
            return Deferred { x, k: T::where_far(k, k + more, k), pending: true };
        }
        late
    }
    #[inline(always)]
    fn slope_sum(self, gate: Jet<Self>) -> Self {
        let Jet { v, d, dd, v_lo, d_lo, k } = gate;
        let gate = Jet {
            v: v.resolve(),
            d: d.resolve(),
            dd: dd.resolve(),
            v_lo: v_lo.resolve(),
            d_lo: d_lo.resolve(),
            k: k.resolve(),
        };
        Deferred::new(self.resolve().slope_sum(gate))
    }
}

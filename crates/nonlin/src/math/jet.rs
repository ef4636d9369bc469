//! What a primitive gives: its value and its derivatives, with what rounding lost.

use crate::simd::{Lanes, Lanes32};

/// A primitive's value and its first two derivatives, `2^k` times what the fields say.
///
/// The power of two is applied last ([`Real::scale2`](crate::real::Real::scale2)), so that `x * sigmoid(x)` keeps all
/// its digits where `sigmoid(x)` alone is subnormal. `v_lo` and `d_lo` are what rounding
/// `v` and `d` lost, as far as the number type knows it.
#[derive(Clone, Copy, Debug)]
pub struct Jet<T> {
    /// Value.
    pub v: T,
    /// First derivative.
    pub d: T,
    /// Second derivative.
    pub dd: T,
    /// The part of the value that `v` has no room for.
    pub v_lo: T,
    /// The part of the derivative that `d` has no room for.
    pub d_lo: T,
    /// Exponent of the common factor.
    pub k: T,
}

impl<T> Jet<T> {
    /// The jet whose numbers are `number` of this one's.
    #[inline(always)]
    pub(crate) fn map<U>(self, number: impl Fn(T) -> U) -> Jet<U> {
        Jet {
            v: number(self.v),
            d: number(self.d),
            dd: number(self.dd),
            v_lo: number(self.v_lo),
            d_lo: number(self.d_lo),
            k: number(self.k),
        }
    }
}

impl<V: Lanes> Jet<V> {
    /// Of registers, without low parts and with factor 1.
    #[inline(always)]
    pub(super) fn register(v: V, d: V, dd: V) -> Self {
        // Adding -0 leaves the sign of a zero, and the compiler nothing to do.
        let no_low_part = V::splat(V::Elem::from(-0.0f32));
        Jet { v, d, dd, v_lo: no_low_part, d_lo: no_low_part, k: V::splat(V::Elem::from(0.0f32)) }
    }
}

impl<V: Lanes32> Jet<V> {
    /// `gate + x * gate'`, rounded once, for a gate of `f32_tabled`. Where `x` is beyond 64, a gate is 1 and
    /// its slope nothing, however large `x` may be.
    #[inline(always)]
    pub(crate) fn slope_sum(self, x: V) -> V {
        let w = x.min(V::splat(64.0));
        // The small parts go into the gate, and what that rounds off is added at last: where the
        // product takes most of the gate away, nothing is lost.
        let small = w.mul_add(self.d_lo, self.v_lo);
        let rest = self.v + small;
        let lost = small - (rest - self.v);
        w.mul_add(self.d, rest) + lost
    }
}

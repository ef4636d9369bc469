//! Powers of e in registers of f64, for f64 results.

use crate::math::coefficients::{LN2_HI, LN2_LO, LOG2_E};
use crate::math::polynomial::estrin;
use crate::math::scale::finish;
use crate::math::tables_f64::{EXP_SIXTEENTH, EXP_SIXTEENTH_FINE, ROOTS};
use crate::simd::{Lanes64, ROUND};

/// `e^(x + lo) = s (1 + p) 2^k` with `|p| < 0.022` and `s` a power of `2^(1/16)`, rounded.
#[derive(Clone, Copy)]
pub(crate) struct Exp<V> {
    pub(crate) s: V,
    pub(crate) p: V,
    /// 0, or the exponent where `s` would otherwise come near the ends of f64.
    pub(crate) k: V,
    /// Whether `k` is not 0 in some lane.
    pub(crate) far: bool,
}

/// `e^x` is scaled from `2^(NEAR / 16)` on.
const NEAR: f64 = 15_000.0;

/// `e^-END` times the largest f64 and 1e6 is 0.
const END: f64 = 1470.0;

/// `n + ROUND`, `n`, the root for it and `p` with `e^(x + lo) = s (1 + p)` for `s = 2^(n/16)`, rounded.
#[inline(always)]
fn reduced<V: Lanes64, const FINE: bool>(x: V, lo: Option<V>) -> (V, V, V, V) {
    let t = x.mul_add(V::splat(16.0 * LOG2_E), V::splat(ROUND));
    let n = t - V::splat(ROUND);
    let hi = n.mul_add(V::splat(-LN2_HI / 16.0), x); // exact: the product has at most 36 bits
    let step = V::splat(-LN2_LO / 16.0);
    let rest = match lo {
        Some(lo) => n.mul_add(step, lo),
        None => n * step,
    };
    // A factor 1 + d of `s` is as good as a summand d of the exponent.
    let (root, root_rest) = V::lookup(&ROOTS, t);
    let rest = rest + root_rest;
    let r = hi + rest;
    let r2 = r * r;
    if FINE {
        let [low @ .., c4, c5] = EXP_SIXTEENTH_FINE;
        let q = estrin(r, r2, low, V::splat(c5).mul_add(r, V::splat(c4)));
        return (t, n, root, hi + r2.mul_add(q, rest));
    }
    let [low @ .., c4] = EXP_SIXTEENTH;
    (t, n, root, r2.mul_add(estrin(r, r2, low, V::splat(c4)), r))
}

impl<V: Lanes64> Exp<V> {
    /// Good to 2^-55.
    #[inline(always)]
    pub(crate) fn new(x: V, lo: Option<V>) -> Self {
        Self::of::<false>(x, lo)
    }

    /// Good to 2^-55, with `p` good enough to stand alone, as `e^x - 1` near 0.
    #[inline(always)]
    pub(crate) fn fine(x: V, lo: Option<V>) -> Self {
        Self::of::<true>(x, lo)
    }

    #[inline(always)]
    fn of<const FINE: bool>(x: V, lo: Option<V>) -> Self {
        let (mut t, mut n, mut root, mut p) = reduced::<V, FINE>(x, lo);
        let mut k = V::splat(0.0);
        let far = V::any(n.abs().gt(V::splat(NEAR)));
        if far {
            core::hint::cold_path();
            // What is beyond these ends is 0 or infinite, whatever it is multiplied by.
            let x = x.max(V::splat(-END)).min(V::splat(END));
            (t, n, root, p) = reduced::<V, FINE>(x, lo);
            let outside = n.abs().gt(V::splat(NEAR));
            // Towards 0, so that `s` does not overflow what it is multiplied by.
            let less = n.mul_add(V::splat(1.0 / 16.0), V::splat(-0.6).copysign(-n));
            let whole = (less + V::splat(ROUND)) - V::splat(ROUND);
            // `scale2` goes no further.
            let whole = whole.max(V::splat(-2020.0)).min(V::splat(2020.0));
            k = V::select(outside, whole, k);
            t = t - k * V::splat(16.0);
        }
        Exp { s: root.add_sixteenths(t), p, k, far }
    }

    /// `e^(x + lo) 2^-k`, rounded once.
    #[inline(always)]
    pub(crate) fn rounded(self) -> V {
        self.s.mul_add(self.p, self.s)
    }

    /// What [`rounded`](Self::rounded) has no room for.
    #[inline(always)]
    pub(crate) fn rest(self) -> V {
        self.s.mul_add(self.p, self.s - self.rounded())
    }

    /// `f + f_lo + z` times `e^(x + lo) 2^-k`, as a sum of two numbers; `z` is less than `f`.
    #[inline(always)]
    pub(crate) fn times(self, f: V, f_lo: V, z: V) -> (V, V) {
        let w = self.rounded();
        let (p, e) = w.two_prod(f);
        let v = w.mul_add(z, p);
        let rest = w.mul_add(z, p - v);
        (v, rest + self.rest().mul_add(f + z, w.mul_add(f_lo, e)))
    }

    /// `v`, but 0 where `2^k` is small.
    #[inline(always)]
    pub(crate) fn unless_small(self, v: V) -> V {
        if self.far {
            core::hint::cold_path();
            let zero = V::splat(0.0);
            return V::select(zero.gt(self.k), zero, v);
        }
        v
    }
}

/// `e^x - 1` as a sum of two numbers, -1 where `2^k` is small.
#[inline(always)]
pub(crate) fn minus_one<V: Lanes64>(e: Exp<V>) -> (V, V) {
    let one = V::splat(1.0);
    let s = e.unless_small(e.s);
    let a = s - one;
    let a_lo = s - (a + one); // exact up to 2^53, beyond which it is less than a unit
    a.quick_two_sum(s.mul_add(e.p, a_lo))
}

/// `e^(x + lo)` for `x <= 0`, rounded once.
#[inline(always)]
pub(crate) fn exp_neg<V: Lanes64>(x: V, lo: V) -> V {
    let e = Exp::new(x, Some(lo));
    // Without `far` no lane is to be scaled, which would be looked for once more.
    if e.far { finish(e.rounded(), e.k) } else { e.rounded() }
}

//! Primitives for f64 results: what a step rounds off is carried along where the budget needs it.
//!
//! The error budget is 2 ULP for a value and 4 for a derivative, after a definition has
//! multiplied and added. One rounding of an intermediate result counts up to 1 ULP of the
//! last one, because a result just below a power of two has units half as large for its size;
//! so a primitive may round once on the way, or not at all if its definition rounds as well.
//!
//! Results that can underflow come with a power of two ([`Jet::k`]) that is applied last. It is 0
//! unless `e^x` is outside 2^-937 .. 2^937, which is a cold branch here and in [`finish`].

#![allow(clippy::manual_map, reason = "a closure loses the instructions of its level")]

use super::coefficients::{INV_SQRT_2PI, LN2_HI, LN2_LO, LOG_FULL, LOG2_E};
use super::tables_f64::{
    EXP_SIXTEENTH, EXP_SIXTEENTH_FINE, LOG_RATIO, LOG_RATIO_LO, ROOTS, TAIL, TAIL_LO, TAIL_SLOPE,
};
use super::{ROUND, poly};
use crate::real::{F64Lanes, Jet, Prim};
use crate::simd::Lanes64;

/// `e^(x + lo) = s (1 + p) 2^k` with `|p| < 0.022` and `s` a power of `2^(1/16)`, rounded.
#[derive(Clone, Copy)]
struct Exp<V> {
    s: V,
    p: V,
    /// 0, or the exponent where `s` would otherwise come near the ends of f64.
    k: V,
    /// Whether `k` is not 0 in some lane.
    far: bool,
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

/// `c[0] + c[1] r + c[2] r^2 + c[3] r^3 + top r^4`, in half the latency of Horner's rule.
#[inline(always)]
fn estrin<V: Lanes64>(r: V, r2: V, c: [f64; 4], top: V) -> V {
    let middle = V::splat(c[3]).mul_add(r, V::splat(c[2]));
    r2.mul_add(r2.mul_add(top, middle), V::splat(c[1]).mul_add(r, V::splat(c[0])))
}

impl<V: Lanes64> Exp<V> {
    /// Good to 2^-55.
    #[inline(always)]
    fn new(x: V, lo: Option<V>) -> Self {
        Self::of::<false>(x, lo)
    }

    /// Good to 2^-55, with `p` good enough to stand alone, as `e^x - 1` near 0.
    #[inline(always)]
    fn fine(x: V, lo: Option<V>) -> Self {
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
    fn rounded(self) -> V {
        self.s.mul_add(self.p, self.s)
    }

    /// What [`rounded`](Self::rounded) has no room for.
    #[inline(always)]
    fn rest(self) -> V {
        self.s.mul_add(self.p, self.s - self.rounded())
    }

    /// `f + f_lo + z` times `e^(x + lo) 2^-k`, as a sum of two numbers; `z` is less than `f`.
    #[inline(always)]
    fn times(self, f: V, f_lo: V, z: V) -> (V, V) {
        let w = self.rounded();
        let (p, e) = w.two_prod(f);
        let v = w.mul_add(z, p);
        let rest = w.mul_add(z, p - v);
        (v, rest + self.rest().mul_add(f + z, w.mul_add(f_lo, e)))
    }

    /// `2^k (d + d_lo)`, in one number where `k` is not 0.
    #[inline(always)]
    fn settle(k: V, d: V, d_lo: V) -> (V, V) {
        let zero = V::splat(0.0);
        let done = k.abs().gt(zero);
        (V::select(done, scale2(d + d_lo, k), d), V::select(done, zero, d_lo))
    }

    /// `v`, but 0 where `2^k` is small.
    #[inline(always)]
    fn unless_small(self, v: V) -> V {
        if self.far {
            core::hint::cold_path();
            let zero = V::splat(0.0);
            return V::select(zero.gt(self.k), zero, v);
        }
        v
    }
}

/// `x 2^k`; a cold branch where `k` is not 0.
#[inline(always)]
pub(crate) fn finish<V: Lanes64>(x: V, k: V) -> V {
    if V::any(k.abs().gt(V::splat(0.0))) {
        core::hint::cold_path();
        return scale2(x, k);
    }
    x
}

/// `x 2^k factor`, where the product of the first two may be subnormal; a cold branch as in [`finish`].
#[inline(always)]
pub(crate) fn finish_times<V: Lanes64>(x: V, k: V, factor: V) -> V {
    if V::any(k.abs().gt(V::splat(0.0))) {
        core::hint::cold_path();
        let (half, rest) = pow2_halves(k);
        return (x * half * factor) * rest;
    }
    x * factor
}

/// `2^k` as a product of two powers, each within range, for an integer `-2040 < k < 2040`.
#[inline(always)]
pub(crate) fn pow2_halves<V: Lanes64>(k: V) -> (V, V) {
    let round = V::splat(ROUND);
    let half = k.mul_add(V::splat(0.5), round);
    let rest = (k - (half - round)) + round;
    let one = V::splat(1.0);
    (one.add_exponent(half), one.add_exponent(rest))
}

/// `x 2^k`, rounded once even where the result is subnormal.
///
/// Such a result is put together from integers: multiplications that underflow are slow.
#[inline(always)]
pub(crate) fn scale2<V: Lanes64>(x: V, k: V) -> V {
    let (zero, round) = (V::splat(0.0), V::splat(ROUND));
    // In units of the least number; below 2^52 of them the result is subnormal.
    let unit = (k + V::splat(1074.0)).max(V::splat(-1000.0)).min(V::splat(1000.0));
    let units = x.abs() * V::splat(1.0).add_exponent(unit + round);
    let least_normal = V::splat(4_503_599_627_370_496.0); // 2^52
    let units = V::select(V::splat(-74.0).gt(k), units, least_normal);
    let small = least_normal.gt(units);
    // Their number, rounded, in the low bits; then the exponent is taken off.
    let rounded = V::select(small, units, zero) + least_normal;
    let subnormal = rounded.add_exponent(V::splat(ROUND - 1075.0)).copysign(x);
    let (half, rest) = pow2_halves(k);
    V::select(small, subnormal, (V::select(small, zero, x) * half) * rest)
}

/// `x (m + m_lo)`, rounded once; infinite where `x` is.
#[inline(always)]
pub(crate) fn times_pair<V: Lanes64>(x: V, m: V, m_lo: V) -> V {
    let finite = x.max(V::splat(-f64::MAX)).min(V::splat(f64::MAX));
    x.mul_add(m, finite * m_lo)
}

/// `(n + n_lo) / (d + d_lo)` as a quotient and its rounding error; `y` is `1 / d`.
#[inline(always)]
fn divide<V: Lanes64>(n: V, n_lo: V, d: V, d_lo: V, y: V) -> (V, V) {
    let q = n * y;
    let rest = V::residual(n, q, d) + n_lo - q * d_lo;
    q.quick_two_sum(rest * y)
}

/// The product of two sums, as a sum.
#[inline(always)]
fn multiply<V: Lanes64>(a: (V, V), b: (V, V)) -> (V, V) {
    let (p, e) = a.0.two_prod(b.0);
    p.quick_two_sum(e + (a.0 * b.1 + a.1 * b.0))
}

/// `ln(1 + u + u_lo)` for `0 <= u <= 1`: `2 atanh(s)` with `s = u / (2 + u)`.
#[inline(always)]
pub(crate) fn ln_1p<V: Lanes64>(u: V, u_lo: V) -> (V, V) {
    let (d, d_lo) = V::splat(2.0).quick_two_sum(u);
    let (s, s_lo) = divide(u, u_lo, d, d_lo + u_lo, V::splat(1.0) / d);
    let v = s * s;
    let s2 = s + s;
    s2.quick_two_sum((s2 * v).mul_add(poly(v, &LOG_FULL), s_lo + s_lo))
}

/// What `1 / (d + d_lo)` is beyond `y = 1 / d`, in units of `y`.
#[inline(always)]
fn correction<V: Lanes64>(d: V, d_lo: V, y: V) -> V {
    (-y).mul_add(d_lo, V::residual(V::splat(1.0), y, d))
}

/// The product of `a + a_lo` and `b (1 + c)`, as a sum of two numbers.
#[inline(always)]
fn times<V: Lanes64>(a: V, a_lo: V, b: V, c: V) -> (V, V) {
    let (p, e) = a.two_prod(b);
    (p, p.mul_add(c, a_lo.mul_add(b, e)))
}

/// The sigmoid and its derivatives; `APART` as in [`slope_jet`].
#[inline(always)]
fn sigmoid<V: Lanes64, const APART: bool>(x: V, lo: Option<V>) -> Jet<F64Lanes<V>> {
    let (one, zero) = (V::splat(1.0), V::splat(0.0));
    // w = e^-x, large or small: 1 / (1 + w) is good on both sides.
    let lo = match lo {
        Some(lo) => Some(-lo),
        None => None,
    };
    let e = Exp::new(-x, lo);
    let w = e.rounded();
    let (mut unit, mut k) = (one, zero);
    if e.far {
        core::hint::cold_path();
        // Beside e^650 one is nothing.
        unit = V::select(e.k.gt(zero), zero, one);
        k = -e.k;
    }
    let u = e.unless_small(w);
    let d = unit + u;
    // Exact where w is the larger; elsewhere an error of 2^-53 in d is none in 1 / d.
    let d_lo = unit - (d - u);
    let y = one / d;
    let c = correction(d, d_lo, y);
    // The slope: w / (1 + w)^2.
    let (z, z_lo) = times(w, V::splat(-0.0), y, c);
    let (mut s, mut s_lo) = times(z, z_lo, y, c);
    let y_lo = y * c;
    // The second derivative over the first, which far out is 1 or -1.
    let mut bend = (z - y) + (z_lo - y_lo);
    if e.far {
        core::hint::cold_path();
        bend = V::select(e.k.abs().gt(zero), one.copysign(-x), bend);
        if APART {
            k = -e.k.abs();
        } else {
            (s, s_lo) = Exp::settle(e.k.min(zero), s, s_lo);
            k = k.min(zero);
        }
    }
    full(y, y_lo, s, s_lo, (s + s_lo) * bend, k)
}

#[inline(always)]
fn full<V>(v: V, v_lo: V, d: V, d_lo: V, dd: V, k: V) -> Jet<F64Lanes<V>> {
    Jet {
        v: F64Lanes(v),
        d: F64Lanes(d),
        dd: F64Lanes(dd),
        v_lo: F64Lanes(v_lo),
        d_lo: F64Lanes(d_lo),
        k: F64Lanes(k),
    }
}

/// Tanh and its derivatives; `APART` as in [`slope_jet`].
#[inline(always)]
fn tanh<V: Lanes64, const APART: bool>(x: V, lo: Option<V>) -> Jet<F64Lanes<V>> {
    let (one, two, nothing) = (V::splat(1.0), V::splat(2.0), V::splat(-0.0));
    // With m = e^-2|x| - 1: -m / (2 + m).
    let a = x.abs();
    let e = Exp::fine(-(a + a), twice_away(x, lo));
    let (m, m_lo) = minus_one(e);
    let (b, b_lo) = two.quick_two_sum(m);
    let b_lo = b_lo + m_lo;
    let q = m / b;
    let rest = V::residual(m, q, b) + (-q).mul_add(b_lo, m_lo);
    // 1 / b = (1 - q) / 2
    let v = rest.mul_add(V::splat(-0.5).mul_add(q, V::splat(0.5)), q).copysign(x);
    // The slope: 4 w / (1 + w)^2 with w = e^-2|x|.
    let y = one / b;
    let c = correction(b, b_lo, y);
    let y2 = y + y;
    let (z, z_lo) = times(e.rounded(), nothing, y2, c);
    let (mut d, mut d_lo) = times(z, z_lo, y2, c);
    let mut k = V::splat(0.0);
    if e.far {
        core::hint::cold_path();
        if APART {
            k = e.k;
        } else {
            (d, d_lo) = Exp::settle(e.k, d, d_lo);
        }
    }
    full(v, nothing, d, d_lo, -(two * v * d), k)
}

/// The primitive `p` at `x` for its first derivative: the power of two is the derivative's, also
/// where the value has another, and is not right.
#[inline(always)]
pub(crate) fn slope_jet<V: Lanes64>(x: V, p: Prim) -> Jet<F64Lanes<V>> {
    match p {
        Prim::Sigmoid => sigmoid::<V, true>(x, None),
        Prim::Tanh => tanh::<V, true>(x, None),
        _ => jet(x, None, p),
    }
}

/// The primitive `p` at `x + lo`. (Nothing here may call itself: see `narrow::jet`.)
#[inline(always)]
pub(crate) fn jet<V: Lanes64>(x: V, lo: Option<V>, p: Prim) -> Jet<F64Lanes<V>> {
    let one = V::splat(1.0);
    let zero = V::splat(0.0);
    let two = V::splat(2.0);
    let nothing = V::splat(-0.0);
    match p {
        Prim::Exp => {
            let e = Exp::new(x, lo);
            let (w, w_lo) = (e.rounded(), e.rest());
            full(w, w_lo, w, w_lo, w, e.k)
        }
        Prim::ExpM1 => {
            let e = Exp::fine(x, lo);
            let (mut v, mut v_lo) = minus_one(e);
            let (mut d, mut d_lo) = (e.rounded(), e.rest());
            if e.far {
                core::hint::cold_path();
                (d, d_lo) = Exp::settle(e.k, d, d_lo);
                let large = e.k.gt(zero);
                (v, v_lo) = (V::select(large, d, v), V::select(large, zero, v_lo));
            }
            full(v, v_lo, d, d_lo, d, zero)
        }
        Prim::Sigmoid => sigmoid::<V, false>(x, lo),
        Prim::Tanh => tanh::<V, false>(x, lo),
        Prim::Softplus => {
            // max(x, 0) + ln(1 + e^-|x|)
            let j = softplus_neg(-x.abs(), away(x, lo));
            let (mut g, mut g_lo, mut k) = (j.v.0, j.v_lo.0, j.k.0);
            let positive = x.gt(zero);
            if V::any(k.abs().gt(zero)) {
                core::hint::cold_path();
                let gone = zero.gt(V::select(positive, k, zero));
                (g, g_lo) = (V::select(gone, zero, g), V::select(gone, zero, g_lo));
                k = V::select(positive, zero, k);
            }
            let top = x.max(zero);
            let v = top + g;
            let rest = (top.max(g) - v) + top.min(g);
            let rest = match lo {
                Some(lo) => rest + V::select(positive, lo, zero),
                None => rest,
            };
            let v_lo = V::select(V::splat(f64::MAX).gt(v), rest + g_lo, zero);
            let s = sigmoid::<V, false>(x, lo);
            let (d, d_lo) = (finish(s.v.0, s.k.0), finish(s.v_lo.0, s.k.0));
            full(v, v_lo, d, d_lo, finish(s.d.0, s.k.0), k)
        }
        Prim::Cdf => {
            let t = x.abs().min(V::splat(54.5));
            let t_lo = away(x, lo).map(|lo| -lo);
            let (h, h_lo) = t.two_prod(t);
            let minus_half = V::splat(-0.5);
            let h_lo = match t_lo {
                Some(t_lo) => (t + t).mul_add(t_lo, h_lo),
                None => h_lo,
            };
            let e = Exp::new(h * minus_half, Some(h_lo * minus_half));
            // (t + 3) times what is left of the tail is a polynomial in q = (t - 3) / (t + 3).
            let middle = V::splat(3.0);
            let (n, d) = (t - middle, t + middle);
            let (mut n_lo, mut d_lo) = (t - (n + middle), t - (d - middle));
            if let Some(t_lo) = t_lo {
                (n_lo, d_lo) = (n_lo + t_lo, d_lo + t_lo);
            }
            let y = one / d;
            let c = correction(d, d_lo, y);
            let q = n * y;
            let q_lo = (V::residual(n, q, d) + (-q).mul_add(d_lo, n_lo)) * y;
            // The first two terms exactly, the others plainly.
            let (c0, c1) = (V::splat(TAIL[0]), V::splat(TAIL[1]));
            let (p, p_lo) = q.two_prod(c1);
            let f = c0 + p;
            let f_lo = (p - (f - c0)) + (p_lo + V::splat(TAIL_LO));
            let f_lo = q_lo.mul_add(poly(q, &TAIL_SLOPE), f_lo);
            let (m, m_lo) = e.times(f, f_lo, estrin_from(2, q, &TAIL) * (q * q));
            let (tail, tail_lo) = times(m, m_lo, y, c);
            let positive = x.gt(zero);
            let near = e.unless_small(tail);
            let (u, u_lo) = one.quick_two_sum(-near);
            let v = V::select(positive, u, tail);
            let v_lo = V::select(positive, u_lo - e.unless_small(tail_lo), tail_lo);
            let (mut d, mut d_lo) = multiply(
                (e.rounded(), e.rest()),
                (V::splat(INV_SQRT_2PI.0), V::splat(INV_SQRT_2PI.1)),
            );
            let mut k = zero;
            if e.far {
                core::hint::cold_path();
                // Only the tail on the left keeps 2^k apart.
                k = V::select(positive, zero, e.k);
                (d, d_lo) = Exp::settle(V::select(positive, e.k, zero), d, d_lo);
            }
            full(v, v_lo, d, d_lo, -(t.copysign(x) * d), k)
        }
        Prim::TanhSoftplus => {
            // With w = e^-|x|: (1 + 2w) / (1 + 2w + 2w^2), or w (2 + w) / (2 + 2w + w^2).
            let e = Exp::new(-x.abs(), away(x, lo));
            let positive = x.gt(zero);
            let w = e.rounded();
            let u = e.unless_small(w); // beside a number of ordinary size
            let (a, a_lo) = two.quick_two_sum(u);
            let (b, b_lo) = one.quick_two_sum(u + u);
            let (s, r) = w.two_prod(V::select(positive, u + u, a));
            let r = w.mul_add(V::select(positive, zero, a_lo), r);
            let n = V::select(positive, b, s);
            let n_lo = V::select(positive, b_lo, r);
            let top = V::select(positive, b, two);
            let (m, m_lo) = top.quick_two_sum(e.unless_small(s));
            let m_lo = m_lo + (e.unless_small(r) + V::select(positive, b_lo, zero));
            let y = one / m;
            let v = n * y;
            let rest = V::residual(n, v, m) + (-v).mul_add(m_lo, n_lo);
            let v_lo = rest * y;
            // 4 w (1 + w) / m^2, once more times w for x > 0.
            let c = correction(m, m_lo, y);
            let (f, f_lo) = one.quick_two_sum(u);
            let y2 = y + y;
            let (z, z_lo) = times(f, f_lo, y2, c);
            let (g, g_lo) = times(w, nothing, y2, c);
            let g_lo = V::select(positive, g_lo * u, g_lo);
            let (g, e2) = g.two_prod(V::select(positive, u, one));
            let g_lo = g_lo + e2;
            let (d, d_lo) = multiply((z, z_lo), (g, g_lo));
            let ratio = V::select(positive, one + u, u * (one + u)) * y;
            let half = V::select(positive, one, u) / (one + u);
            let dd = d * (one + half - V::splat(4.0) * ratio);
            let mut k = zero;
            if e.far {
                core::hint::cold_path();
                k = V::select(positive, zero, e.k);
            }
            full(v, v_lo, d, d_lo, dd, k)
        }
    }
}

/// `ln(1 + e^(x + lo))` for `x <= 0`, as `w H(w)` with `w = e^x` and `H(w) = ln(1 + w) / w`.
#[inline(always)]
pub(crate) fn softplus_neg<V: Lanes64>(x: V, lo: Option<V>) -> Jet<F64Lanes<V>> {
    let e = Exp::new(x, lo);
    let w = e.rounded();
    let u = e.unless_small(w);
    let q = u - V::splat(0.5);
    let z = q * estrin_from(1, q, &LOG_RATIO);
    let (v, v_lo) = e.times(V::splat(LOG_RATIO[0]), V::splat(LOG_RATIO_LO), z);
    // The slope: w / (1 + w).
    let (d, d_lo) = V::splat(1.0).quick_two_sum(u);
    let y = V::splat(1.0) / d;
    let c = correction(d, d_lo, y);
    let (s, s_lo) = times(w, e.rest(), y, c);
    full(v, v_lo, s, s_lo, s * y, e.k)
}

/// `lo` as a correction of `-|x|`.
#[inline(always)]
fn away<V: Lanes64>(x: V, lo: Option<V>) -> Option<V> {
    match lo {
        Some(lo) => Some(-(lo * V::splat(1.0).copysign(x))),
        None => None,
    }
}

/// `lo` as a correction of `-2 |x|`.
#[inline(always)]
fn twice_away<V: Lanes64>(x: V, lo: Option<V>) -> Option<V> {
    match away(x, lo) {
        Some(lo) => Some(lo + lo),
        None => None,
    }
}

/// `e^x - 1` as a sum of two numbers, -1 where `2^k` is small.
#[inline(always)]
fn minus_one<V: Lanes64>(e: Exp<V>) -> (V, V) {
    let one = V::splat(1.0);
    let s = e.unless_small(e.s);
    let a = s - one;
    let a_lo = s - (a + one); // exact up to 2^53, beyond which it is less than a unit
    a.quick_two_sum(s.mul_add(e.p, a_lo))
}

/// `c[from] + q (c[from + 1] + ...)` by Estrin's scheme: a fifth of the latency of Horner's rule.
#[inline(always)]
fn estrin_from<V: Lanes64, const N: usize>(from: usize, q: V, c: &[f64; N]) -> V {
    let q2 = q * q;
    let q4 = q2 * q2;
    let q8 = q4 * q4;
    let mut i = (N - 1 - from) / 8 * 8 + from;
    let mut y = eight(q, q2, q4, c, i, N);
    while i > from {
        i -= 8;
        y = y.mul_add(q8, eight(q, q2, q4, c, i, i + 8));
    }
    y
}

/// `c[i] + c[i + 1] q + ...` up to `c[end - 1]`, at most eight of them.
#[inline(always)]
fn eight<V: Lanes64>(q: V, q2: V, q4: V, c: &[f64], i: usize, end: usize) -> V {
    let low = four(q, q2, c, i, end);
    if i + 4 < end { four(q, q2, c, i + 4, end).mul_add(q4, low) } else { low }
}

/// At most four of them.
#[inline(always)]
fn four<V: Lanes64>(q: V, q2: V, c: &[f64], i: usize, end: usize) -> V {
    let low = pair(q, c, i, end);
    if i + 2 < end { pair(q, c, i + 2, end).mul_add(q2, low) } else { low }
}

/// At most two of them.
#[inline(always)]
fn pair<V: Lanes64>(q: V, c: &[f64], i: usize, end: usize) -> V {
    let low = V::splat(c[i]);
    if i + 1 < end { V::splat(c[i + 1]).mul_add(q, low) } else { low }
}

/// `e^(x + lo)` for `x <= 0`, rounded once.
#[inline(always)]
pub(crate) fn exp_neg<V: Lanes64>(x: V, lo: V) -> V {
    let e = Exp::new(x, Some(lo));
    finish(e.rounded(), e.k)
}

/// `g + g_lo + k ln 2` as a sum of two numbers, for integers `0 <= k <= 1024` and `0 <= g <= 1`.
#[inline(always)]
pub(crate) fn plus_ln2<V: Lanes64>(k: V, g: V, g_lo: V) -> (V, V) {
    let (s, e) = (k * V::splat(LN2_HI)).two_sum(g);
    s.quick_two_sum(e + k.mul_add(V::splat(LN2_LO), g_lo))
}

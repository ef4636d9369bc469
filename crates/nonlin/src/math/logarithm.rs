//! The logarithm, of a number and of one more than a number.
//!
//! A number is `m 2^k` with `m` between `sqrt(1/2)` and `sqrt(2)`, and with
//! `t = 2 (m - 1) / (m + 1)` the logarithm of `m` is `2 atanh(t / 2) = t + t^3 / 12 + ...`: odd, with
//! digits next to 0. The first two terms are sums of two numbers, so that a logarithm is good to 2^-64
//! and may be multiplied and put into an exponential: see `Real::powf`.

#![allow(clippy::manual_map, reason = "a closure loses the instructions of its level")]

use super::Jet;
use super::coefficients::{LN_FULL, LN_NARROW, LN2, LN2_HI, LN2_LO, SQRT_2, TWELFTH};
use super::compensated::{divide, recip};
use super::polynomial::{estrin_from, poly};
use crate::simd::{Lanes64, ROUND};

/// Between these, numbers are normal, and so are their reciprocals and products that split them.
const SMALL: f64 = 1e-280;
const LARGE: f64 = 1e280;
/// Below this, `ln(1 + x)` is `x` to 2^-65.
const NEAR: f64 = 2.710_505_431_213_761e-20; // 2^-65
/// Subnormal numbers are multiplied by 2 to this.
const UP: f64 = 54.0;

/// `m` and `k` with `x = m 2^k` and `m` between about `sqrt(1/2)` and `sqrt(2)`, for normal `x > 0`.
#[inline(always)]
fn parts<V: Lanes64>(x: V) -> (V, V) {
    // Beyond the largest number the field is one more than that of the largest, as it should be.
    let k = (x * V::splat(SQRT_2.0)).exponent_field() - V::splat(1023.0);
    (x.add_exponent(V::splat(ROUND) - k), k)
}

/// `2^-k` as far as it is a number: what is off by more belongs to a logarithm of 690 and more.
#[inline(always)]
fn down<V: Lanes64>(k: V) -> V {
    let k = k.max(V::splat(-1000.0)).min(V::splat(1022.0));
    V::splat(1.0).add_exponent(V::splat(ROUND) - k)
}

/// `ln(m + m_lo) + k ln 2`, to 2^-64.
#[inline(always)]
fn sum<V: Lanes64>(m: V, m_lo: Option<V>, k: V) -> (V, V) {
    let (half, one) = (V::splat(0.5), V::splat(1.0));
    // t = n / d with n = m - 1, which is exact, and d = (m + 1) / 2
    let n = m - one;
    let h = m * half;
    let d = h + half;
    let d_lo = h - (d - half); // exact: d is within a factor of 2 of a half
    let (n, n_lo, d_lo) = match m_lo {
        Some(m_lo) => {
            let (n, n_lo) = n.two_sum(m_lo);
            (n, n_lo, m_lo.mul_add(half, d_lo))
        }
        None => (n, V::splat(0.0), d_lo),
    };
    let (t, t_lo) = divide(n, n_lo, d, d_lo, one / d);
    // a = t^2 / 12 + t^4 (1/80 + ...), its first term as a sum of two numbers
    let (v, v_lo) = t.two_prod(t);
    let v_lo = (t + t).mul_add(t_lo, v_lo);
    let twelfth = V::splat(TWELFTH.0);
    let (a, a_lo) = v.two_prod(twelfth);
    let more = v * estrin_from(0, v, &LN_FULL);
    let a_lo = v.mul_add(V::splat(TWELFTH.1) + more, v_lo.mul_add(twelfth, a_lo));
    // t + t a + k ln 2
    let (p, p_lo) = t.two_prod(a);
    let p_lo = t_lo.mul_add(one + a, t.mul_add(a_lo, p_lo));
    let (s, e) = (k * V::splat(LN2_HI)).quick_two_sum(t);
    let (s, f) = s.quick_two_sum(p);
    let rest = f + (e + k.mul_add(V::splat(LN2_LO), p_lo));
    s.quick_two_sum(rest)
}

/// `v` and its low part where `u`, the number whose logarithm it is, is positive and finite; the
/// limits elsewhere.
#[inline(always)]
fn limits<V: Lanes64>(u: V, v: V, v_lo: V) -> (V, V) {
    let (zero, end) = (V::splat(0.0), V::splat(f64::MAX));
    let low = V::select(zero.gt(u), V::splat(f64::NAN), V::splat(f64::NEG_INFINITY));
    let v = V::select(u.gt(zero), V::select(u.gt(end), u, v), V::select(u.is_nan(), u, low));
    (v, V::select(u.gt(zero), V::select(u.gt(end), zero, v_lo), zero))
}

/// Whether no lane needs more than [`sum`]: none is subnormal, 0, negative, infinite or NaN, and all
/// have a reciprocal with a remainder.
#[inline(always)]
fn ordinary<V: Lanes64>(u: V) -> bool {
    V::all(u.gt(V::splat(SMALL))) && V::all(V::splat(LARGE).gt(u))
}

/// `1 / u` as a sum of two numbers, infinite at 0 and NaN below.
#[inline(always)]
fn slope<V: Lanes64>(u: V, u_lo: V, ordinary: bool) -> (V, V) {
    let (one, zero) = (V::splat(1.0), V::splat(0.0));
    let d = one / u;
    let d_lo = (-d).mul_add(u_lo, V::residual(one, d, u)) * d;
    if !ordinary {
        core::hint::cold_path();
        let d = V::select(zero.gt(u), V::splat(f64::NAN), d.abs());
        let d_lo = V::select(u.gt(V::splat(LARGE)), zero, d_lo);
        return (d, V::select(u.gt(V::splat(SMALL)), d_lo, zero));
    }
    (d, d_lo)
}

/// `x`, times `2^UP` where it is subnormal, and the exponent that is too much.
#[inline(always)]
fn lifted<V: Lanes64>(x: V) -> (V, V, V) {
    let (one, tiny) = (V::splat(1.0), V::splat(f64::MIN_POSITIVE).gt(x));
    let factor = V::select(tiny, one.add_exponent(V::splat(ROUND + UP)), one);
    (x * factor, factor, V::select(tiny, V::splat(UP), V::splat(0.0)))
}

/// The natural logarithm, for f64 results: at `x + lo`.
#[inline(always)]
pub(crate) fn ln_f64_lanes<V: Lanes64>(x: V, lo: Option<V>) -> Jet<V> {
    let zero = V::splat(0.0);
    let (mut z, mut more, mut z_lo) = (x, zero, lo);
    let ordinary = ordinary(x);
    if !ordinary {
        core::hint::cold_path();
        let factor;
        (z, factor, more) = lifted(x);
        z_lo = match lo {
            Some(lo) => Some(lo * factor),
            None => None,
        };
    }
    let (m, k) = parts(z);
    let m_lo = match z_lo {
        Some(lo) => Some(lo * down(k)),
        None => None,
    };
    let (mut v, mut v_lo) = sum(m, m_lo, k - more);
    if !ordinary {
        core::hint::cold_path();
        (v, v_lo) = limits(x, v, v_lo);
    }
    let x_lo = match lo {
        Some(lo) => lo,
        None => zero,
    };
    let (d, d_lo) = slope(x, x_lo, ordinary);
    Jet { v, v_lo, d, d_lo, dd: -(d * d), k: V::splat(0.0) }
}

/// The natural logarithm of 1 and `x`, for f64 results: at `x + lo`.
#[inline(always)]
pub(crate) fn ln_1p_f64_lanes<V: Lanes64>(x: V, lo: Option<V>) -> Jet<V> {
    let (u, u_lo) = V::splat(1.0).two_sum(x);
    let u_lo = match lo {
        Some(lo) => u_lo + lo,
        None => u_lo,
    };
    let (m, k) = parts(u);
    let (mut v, mut v_lo) = sum(m, Some(u_lo * down(k)), k);
    // Next to 0 it is x, and a zero keeps its sign.
    let near = V::splat(NEAR).gt(x.abs());
    let none = match lo {
        Some(lo) => lo,
        None => V::splat(-0.0),
    };
    (v, v_lo) = (V::select(near, x, v), V::select(near, none, v_lo));
    let ordinary = ordinary(u);
    if !ordinary {
        core::hint::cold_path();
        (v, v_lo) = limits(u, v, v_lo);
    }
    let (d, d_lo) = slope(u, u_lo, ordinary);
    Jet { v, v_lo, d, d_lo, dd: -(d * d), k: V::splat(0.0) }
}

/// `ln(m + m_lo) + k ln 2`, to 2^-43.
#[inline(always)]
fn plain_sum<V: Lanes64>(m: V, m_lo: V, k: V) -> V {
    let half = V::splat(0.5);
    let n = (m - V::splat(1.0)) + m_lo;
    let t = n * recip(m.mul_add(half, half));
    let v = t * t;
    k.mul_add(V::splat(LN2), (t * v).mul_add(poly(v, &LN_NARROW), t))
}

/// `1 / u`, infinite at 0 and NaN below.
#[inline(always)]
fn plain_slope<V: Lanes64>(u: V) -> V {
    V::select(V::splat(0.0).gt(u), V::splat(f64::NAN), V::splat(1.0) / u.abs())
}

/// The natural logarithm, for results that are rounded to f32.
#[inline(always)]
pub(crate) fn ln_f64_to_f32<V: Lanes64>(x: V) -> Jet<V> {
    let (mut z, mut more) = (x, V::splat(0.0));
    let ordinary = ordinary(x);
    if !ordinary {
        core::hint::cold_path();
        (z, _, more) = lifted(x);
    }
    let (m, k) = parts(z);
    let mut v = plain_sum(m, V::splat(0.0), k - more);
    if !ordinary {
        core::hint::cold_path();
        (v, _) = limits(x, v, x);
    }
    let d = plain_slope(x);
    Jet::register(v, d, -(d * d))
}

/// The natural logarithm of 1 and `x`, for results that are rounded to f32.
#[inline(always)]
pub(crate) fn ln_1p_f64_to_f32<V: Lanes64>(x: V) -> Jet<V> {
    let (u, u_lo) = V::splat(1.0).two_sum(x);
    let (m, k) = parts(u);
    let mut v = plain_sum(m, u_lo * down(k), k).copysign(x);
    if !ordinary(u) {
        core::hint::cold_path();
        (v, _) = limits(u, v, x);
    }
    let d = plain_slope(u);
    Jet::register(v, d, -(d * d))
}

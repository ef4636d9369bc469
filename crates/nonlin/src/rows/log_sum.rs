//! The logarithm of a sum of terms, for results of f32.

#![allow(unsafe_code)]

use super::lanes::first;
use crate::math::coefficients::LOG_NARROW;
use crate::simd::{Lanes, Lanes64, Simd};

/// `ln(count + rest)` for results of f32, exact to 2^-33 of itself also if that is next to 1.
#[inline(always)]
pub(super) fn ln_count<S: Simd>(count: f64, rest: f64) -> f64 {
    let s = count + rest;
    // s = 2^k (1 + u)
    let k = (s.to_bits() >> 52) as i64 - 1023;
    let u = if k == 0 {
        (count - 1.0) + rest
    } else {
        s * f64::from_bits(((1023 - k) as u64) << 52) - 1.0
    };
    first(ln_1p(S::F64::splat(u))) + k as f64 * core::f64::consts::LN_2
}

/// `ln(1 + u)` as `math/ln_1p.rs` has it for results of f32, for one number: one division instead of steps to it, and
/// Estrin's scheme instead of Horner's rule, since a short row has nothing to do meanwhile.
#[inline(always)]
pub(super) fn ln_1p<V: Lanes64>(u: V) -> V {
    let s = u / (u + V::splat(2.0));
    let v = s * s;
    let (v2, c) = (v * v, &LOG_NARROW);
    let low = v.mul_add(V::splat(c[1]), V::splat(c[0]));
    let middle = v.mul_add(V::splat(c[3]), V::splat(c[2]));
    let high = v2.mul_add(V::splat(c[6]), v.mul_add(V::splat(c[5]), V::splat(c[4])));
    let s2 = s + s;
    (s2 * v).mul_add(v2.mul_add(v2.mul_add(high, middle), low), s2)
}

/// `max + l` as the sum of two.
#[inline(always)]
pub(super) fn split_log_sum(max: f64, l: f64) -> (f32, f32) {
    let high = (max + l) as f32;
    (high, ((max - f64::from(high)) + l) as f32)
}

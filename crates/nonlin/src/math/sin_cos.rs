//! Sine and cosine, of all finite numbers.
//!
//! An argument is reduced to `r`, at most `pi / 4`, and a number of quarter turns: by subtracting
//! multiples of `pi / 2` that are exact (Cody and Waite 1980) up to [`NEAR`], and beyond by an integer
//! product with as many digits of `2 / pi` as it takes (Payne and Hanek 1983), one lane at a time.

use super::Jet;
use super::coefficients::{
    COS_FULL, COS_NARROW, HALF_PI, HALF_PI_PARTS, SIN_FULL, SIN_NARROW, TWO_OVER_PI,
    TWO_OVER_PI_BITS,
};
use super::polynomial::poly;
use crate::real::Dd;
use crate::simd::{Lanes64, ROUND};

/// Up to here an argument has less than 2^17 quarter turns.
const NEAR: f64 = 200_000.0;
/// Below this, sin x is x to 2^-62.
const TINY: f64 = 9.313_225_746_154_785e-10; // 2^-30

/// For the number of quarter turns, modulo 4: 1 if it is odd, and the sign of the sine.
const QUADRANTS: [[f64; 2]; 16] = {
    let four = [[0.0, 1.0], [1.0, 1.0], [0.0, -1.0], [1.0, -1.0]];
    let mut all = [[0.0; 2]; 16];
    let mut i = 0;
    while i < 16 {
        all[i] = four[i % 4];
        i += 1;
    }
    all
};

/// The number of quarter turns in `x`, modulo 4, and what is left of `x`, at most `pi / 4`, good to
/// about 100 bits.
pub(crate) fn quarter_turns(x: f64) -> (u8, Dd) {
    if x.is_nan() || x.is_infinite() {
        return (0, Dd::new(f64::NAN));
    }
    if x.abs() < 0.5 {
        return (0, Dd::new(x));
    }
    // |x| = m 2^e. Of 2 / pi, digits that make a multiple of 4 quarter turns are left out, and then
    // 320 taken.
    let bits = x.to_bits() & !(1 << 63);
    let (m, e) = (bits & ((1 << 52) - 1) | 1 << 52, (bits >> 52) as i32 - 1075);
    let skip = (e - 2).max(0) as usize;
    let (word, shift) = (skip / 64, skip % 64);
    let digits = |i: usize| {
        let w = &TWO_OVER_PI_BITS[word + i..];
        if shift == 0 { w[0] } else { w[0] << shift | w[1] >> (64 - shift) }
    };
    // The product, least word first, in units of 2^-point.
    let mut product = [0u64; 6];
    let mut carry = 0u128;
    for (i, word) in product.iter_mut().take(5).enumerate() {
        carry += u128::from(m) * u128::from(digits(4 - i));
        *word = carry as u64;
        carry >>= 64;
    }
    product[5] = carry as u64;
    let point = (320 + skip as i32 - e) as u32; // 318, or more for small exponents
    let bit = |i: u32| if i < 384 { product[(i / 64) as usize] >> (i % 64) & 1 } else { 0 };
    let mut turns = (bit(point) | bit(point + 1) << 1) as u8;
    // The rest, from -1/2 to 1/2 of a quarter turn: of one above 1/2 the complement.
    let above = bit(point - 1) == 1;
    let mut rest = product;
    for (i, w) in (0u32..).zip(&mut rest) {
        if above {
            *w = !*w; // the complement but for one unit of 2^-point, which is nothing
        }
        let kept = point.saturating_sub(64 * i);
        if kept < 64 {
            *w &= (1 << kept) - 1;
        }
    }
    turns = (turns + u8::from(above)) & 3;
    // The first 106 digits of it.
    let top = (0..6).rev().find(|&i| rest[i] != 0).unwrap_or(0);
    let zeros = rest[top].leading_zeros();
    let get = |i: i32| {
        let w = |i: i32| if (0..6).contains(&i) { rest[i as usize] } else { 0 };
        if zeros == 0 { w(i) } else { w(i) << zeros | w(i - 1) >> (64 - zeros) }
    };
    let (first, second) = (get(top as i32), get(top as i32 - 1));
    // The first word is in units of 2^unit.
    let unit = 64 * top as i32 - zeros as i32 - point as i32;
    let power = |k: i32| f64::from_bits(((1023 + k) as u64) << 52);
    let hi = (first >> 11) as f64 * power(unit + 11);
    let lo = (first & 0x7FF) as f64 * power(unit) + second as f64 * power(unit - 64);
    let sign = if above { -1.0f64 } else { 1.0 };
    let turn = Dd { hi: hi + lo, lo: lo - ((hi + lo) - hi) };
    let r = turn * Dd { hi: HALF_PI.0, lo: HALF_PI.1 };
    if x < 0.0 {
        let flip = Dd::new(-sign);
        return ((4 - turns) & 3, r * flip);
    }
    (turns, r * Dd::new(sign))
}

/// What [`quarter_turns`] says, in numbers.
#[inline(never)]
fn far(x: f64) -> [f64; 3] {
    let (turns, r) = quarter_turns(x);
    [f64::from(turns), r.hi, r.lo]
}

/// `n + ROUND` for the number `n` of quarter turns, and what is left as a sum of two numbers.
#[inline(always)]
fn reduced<V: Lanes64, const FULL: bool>(x: V) -> (V, V, V) {
    let [a, b, c, d] = HALF_PI_PARTS;
    let mut t = x.mul_add(V::splat(TWO_OVER_PI), V::splat(ROUND));
    let n = t - V::splat(ROUND);
    // Products with the first three parts are exact, and so is the first difference.
    let r = n.mul_add(V::splat(-a), x);
    let (mut r, mut r_lo) = if FULL {
        let (r, e) = r.two_sum(n * V::splat(-b));
        let (r, f) = r.two_sum(n * V::splat(-c));
        r.quick_two_sum(e + n.mul_add(V::splat(-d), f))
    } else {
        (n.mul_add(V::splat(-c), n.mul_add(V::splat(-b), r)), V::splat(0.0))
    };
    let beyond = x.abs().gt(V::splat(NEAR));
    if V::any(beyond) {
        core::hint::cold_path();
        let [turns, far, far_lo] = x.each(far);
        t = V::select(beyond, turns + V::splat(ROUND), t);
        r = V::select(beyond, far, r);
        r_lo = V::select(beyond, far_lo, r_lo);
    }
    (t, r, r_lo)
}

/// Sine and cosine, each as a sum of two numbers.
#[inline(always)]
fn both<V: Lanes64>(x: V, lo: Option<V>) -> [(V, V); 2] {
    let (one, half) = (V::splat(1.0), V::splat(0.5));
    let (t, r, r_lo) = reduced::<V, true>(x);
    // A correction of a large argument is many units of what is left.
    let (r, r_lo) = match lo {
        Some(lo) => r.two_sum(r_lo + lo),
        None => (r, r_lo),
    };
    let (v, v_lo) = r.two_prod(r);
    let v_lo = (r + r).mul_add(r_lo, v_lo);
    // sin r = r + r^3 (...), and cos r = 1 - r^2 / 2 + r^4 (...)
    let bend = (r * v).mul_add(poly(v, &SIN_FULL), (-half * v).mul_add(r_lo, r_lo));
    let (s, s_lo) = r.quick_two_sum(bend);
    let h = half * v;
    let w = one - h;
    let w_lo = (one - w) - h;
    let (c, c_lo) =
        w.quick_two_sum((v * v).mul_add(poly(v, &COS_FULL), (-half).mul_add(v_lo, w_lo)));
    let (odd, sign) = V::lookup(&QUADRANTS, t);
    let odd = odd.gt(half);
    let sine = (V::select(odd, c, s) * sign, V::select(odd, c_lo, s_lo) * sign);
    let cosine = (V::select(odd, -s, c) * sign, V::select(odd, -s_lo, c_lo) * sign);
    // Next to 0 it is x, and a zero keeps its sign.
    let tiny = V::splat(TINY).gt(x.abs());
    let none = match lo {
        Some(lo) => lo,
        None => V::splat(-0.0),
    };
    [(V::select(tiny, x, sine.0), V::select(tiny, none, sine.1)), cosine]
}

/// The sine, for f64 results: at `x + lo`.
#[inline(always)]
pub(crate) fn sin_f64_lanes<V: Lanes64>(x: V, lo: Option<V>) -> Jet<V> {
    let [(v, v_lo), (d, d_lo)] = both(x, lo);
    Jet { v, v_lo, d, d_lo, dd: -v, k: V::splat(0.0) }
}

/// The cosine, for f64 results: at `x + lo`.
#[inline(always)]
pub(crate) fn cos_f64_lanes<V: Lanes64>(x: V, lo: Option<V>) -> Jet<V> {
    let [(s, s_lo), (v, v_lo)] = both(x, lo);
    Jet { v, v_lo, d: -s, d_lo: -s_lo, dd: -v, k: V::splat(0.0) }
}

/// Sine and cosine to 2^-35.
#[inline(always)]
fn plain<V: Lanes64>(x: V) -> (V, V) {
    let half = V::splat(0.5);
    let (t, r, _) = reduced::<V, false>(x);
    let v = r * r;
    let s = (r * v).mul_add(poly(v, &SIN_NARROW), r);
    let c = (v * v).mul_add(poly(v, &COS_NARROW), (-half).mul_add(v, V::splat(1.0)));
    let (odd, sign) = V::lookup(&QUADRANTS, t);
    let odd = odd.gt(half);
    let sine = V::select(odd, c, s) * sign;
    let tiny = V::splat(TINY).gt(x.abs());
    (V::select(tiny, x, sine), V::select(odd, -s, c) * sign)
}

/// The sine, for results that are rounded to f32.
#[inline(always)]
pub(crate) fn sin_f64_to_f32<V: Lanes64>(x: V) -> Jet<V> {
    let (s, c) = plain(x);
    Jet::register(s, c, -s)
}

/// The cosine, for results that are rounded to f32.
#[inline(always)]
pub(crate) fn cos_f64_to_f32<V: Lanes64>(x: V) -> Jet<V> {
    let (s, c) = plain(x);
    Jet::register(c, -s, -c)
}

//! Double-double numbers with an exponent of their own: nothing overflows, nothing underflows.
//!
//! What is asked here is exact to about 30 digits wherever it is asked, next to a zero and in the
//! farthest tail, since `x^2 e^-|x|` of a number that f64 holds may have factors that it does not
//! hold. An infinity is a number too, greater than every product of numbers of f64, so a limit
//! comes out as it should: `e^-inf` is 0, and any number times that.
//!
//! Primitives follow the textbook, as those of [`Dd`], which does the arithmetic.

use super::dd::{BELL_0, QUARTER_TURN};
use super::{Dd, Jet, Prim, Real};
use crate::math::scale::scale2;
use crate::math::{self, coefficients::INV_SQRT_2PI};
use core::ops::{Add, Div, Mul, Neg, Sub};

/// `m 2^k`, with `|m|` from 1 to 2; or 0, or NaN, with `k = 0`.
#[derive(Clone, Copy, Debug)]
pub struct Extended {
    m: Dd,
    k: i64,
}

/// The exponent of what stands for an infinity.
const INFINITE: i64 = 1 << 40;
/// Numbers beyond 2 to this are all taken to be this, and those below 2 to minus this 0.
const LAST: i64 = 1 << 50;
/// From 2 to this on `e^-x` is 0, whatever numbers of f64 may multiply it.
const EXP_END: i64 = 14;
/// Below 2 to minus this a number is nothing beside 1.
const NOTHING: i64 = 300;

const ZERO: Extended = Extended { m: Dd::new(0.0), k: 0 };
const ONE: Extended = Extended { m: Dd::new(1.0), k: 0 };
const TWO: Extended = Extended { m: Dd::new(1.0), k: 1 };
const FOUR: Extended = Extended { m: Dd::new(1.0), k: 2 };

/// `2^k` for `-1022 <= k <= 1023`.
fn pow2(k: i64) -> f64 {
    f64::from_bits(((1023 + k) as u64) << 52)
}

impl Extended {
    /// Exactly `v`.
    #[must_use]
    pub fn new(v: f64) -> Self {
        Dd::new(v).into()
    }

    /// `m 2^k` for any `m` but subnormal ones.
    #[inline(never)]
    fn normal(m: Dd, k: i64) -> Self {
        if m.hi == 0.0 || m.hi.is_nan() {
            return Extended { m: Dd::new(m.hi), k: 0 };
        }
        if m.hi.is_infinite() {
            return Extended { m: Dd::new(1.0f64.copysign(m.hi)), k: INFINITE };
        }
        let e = (m.hi.to_bits() >> 52 & 0x7FF) as i64 - 1023;
        // In two steps, since 2^-1023 is no normal number.
        let (a, b) = (pow2(-(e / 2)), pow2(-(e - e / 2)));
        let (m, k) = (Dd { hi: m.hi * a * b, lo: m.lo * a * b }, k + e);
        match k {
            k if k < -LAST => Extended { m: Dd::new(0.0f64.copysign(m.hi)), k: 0 },
            k => Extended { m, k: k.min(LAST) },
        }
    }

    /// The nearest f64 and the rest, where f64 has room for it.
    #[must_use]
    pub fn to_dd(self) -> Dd {
        let Extended { m, k } = self;
        if k > 1023 {
            return Dd::new(f64::INFINITY.copysign(m.hi));
        }
        if k < -1200 {
            return Dd::new(0.0f64.copysign(m.hi));
        }
        if k > -900 {
            return m.scale2(Dd::new(k as f64));
        }
        // What the first part has no digits for goes into the second.
        let k = k as f64;
        let hi = scale2(m.hi, k);
        Dd { hi, lo: scale2((m.hi - scale2(hi, -k)) + m.lo, k) }
    }

    /// The nearest f64.
    #[must_use]
    pub fn to_f64(self) -> f64 {
        let Dd { hi, lo } = self.to_dd();
        if hi.is_finite() { hi + lo } else { hi }
    }

    /// `sign 2^k`.
    pub(crate) fn power_of_two(sign: f64, k: i64) -> Self {
        Extended { m: Dd::new(1.0f64.copysign(sign)), k }
    }

    /// `|self| 2^k < |o|`.
    fn far_below(self, o: Self, k: i64) -> bool {
        self.is_zero() && !o.is_zero() || self.k.saturating_add(k) < o.k
    }

    /// The limit of a function that has these values at numbers far out, one farther than the other: a
    /// number that they all are, 0 or an infinity if they come near it, NaN if they do neither.
    pub(crate) fn limit(values: &[Self]) -> f64 {
        let (Some(&first), Some(&last)) = (values.first(), values.last()) else { return f64::NAN };
        if values.iter().any(|v| v.is_nan()) {
            return f64::NAN;
        }
        if values.iter().all(|v| v.is_zero()) {
            return last.m.hi;
        }
        let sign = |v: &Self| v.m.hi.is_sign_negative();
        let one_sign = values.iter().all(|v| sign(v) == sign(&last));
        if values.iter().all(|&v| (v - last).far_below(last, 90)) {
            return last.to_f64();
        }
        if one_sign && values.iter().all(|v| v.k > 1023) {
            return f64::INFINITY.copysign(last.m.hi);
        }
        if values.iter().all(|v| v.is_zero() || v.k < -100) {
            return if one_sign { 0.0f64.copysign(last.m.hi) } else { 0.0 };
        }
        // Logarithms grow and fall slowly: every step has to, and all together by a tenth.
        let each = |f: fn(Self, Self) -> bool| values.windows(2).all(|v| f(v[0].abs(), v[1].abs()));
        let ratio = (last / first).abs();
        if one_sign && each(|a, b| (b - a).positive()) && (ratio - Extended::new(1.1)).positive() {
            return f64::INFINITY.copysign(last.m.hi);
        }
        if one_sign && each(|a, b| (a - b).positive()) && (Extended::new(0.9) - ratio).positive() {
            return 0.0f64.copysign(last.m.hi);
        }
        f64::NAN
    }

    fn is_zero(self) -> bool {
        self.m.hi == 0.0
    }

    fn is_nan(self) -> bool {
        self.m.hi.is_nan()
    }

    /// Whether it is greater than 0.
    fn positive(self) -> bool {
        self.m.hi > 0.0
    }

    /// `2^k m` for a number `m` of ordinary size.
    fn scaled_by(m: Dd, k: f64) -> Self {
        Self::normal(m, k as i64)
    }

    /// `e^self - 1` and `e^self`.
    fn exp_both(self) -> (Self, Self) {
        if self.is_zero() || self.is_nan() || self.k < -NOTHING {
            return (self, ONE + self);
        }
        if self.k >= EXP_END {
            let last = Extended { m: Dd::new(1.0), k: LAST };
            return if self.positive() { (last, last) } else { (-ONE, ZERO) };
        }
        let (m, k) = self.to_dd().exp_parts();
        let (m, unit) = (Extended::from(m), Self::scaled_by(Dd::new(1.0), k.hi));
        (m * unit + (unit - ONE), (m + ONE) * unit)
    }

    /// `ln(1 + self)`, of numbers beyond f64 too.
    fn ln_1p(self) -> Self {
        if self.k < -NOTHING {
            self
        } else if self.k > NOTHING {
            self.log()
        } else {
            self.to_dd().ln_1p().into()
        }
    }

    /// The natural logarithm; that of an infinity is one.
    fn log(self) -> Self {
        let infinite = Extended { m: Dd::new(1.0), k: INFINITE };
        if self.is_zero() {
            return -infinite;
        }
        if !self.positive() {
            return Extended::new(f64::NAN);
        }
        if self.k >= INFINITE {
            return infinite;
        }
        if self.k.abs() < 900 {
            return self.to_dd().log().into();
        }
        Extended::from(self.m.log())
            + Extended::new(self.k as f64) * Extended::from(Dd::new(2.0).log())
    }

    /// The square root; that of an infinity is one.
    fn root(self) -> Self {
        if self.is_zero() || self.k >= INFINITE && self.positive() {
            return self;
        }
        let odd = self.k.rem_euclid(2);
        Self::normal(Dd { hi: self.m.hi * pow2(odd), lo: self.m.lo * pow2(odd) }.root(), 0)
            .by_power((self.k - odd) / 2)
    }

    /// `2^k self`.
    fn by_power(self, k: i64) -> Self {
        Self::normal(self.m, self.k + k)
    }

    /// `Phi(-self) e^(self^2/2)` for `self >= 0`.
    fn mills(self) -> Self {
        let density = Extended::from(Dd { hi: INV_SQRT_2PI.0, lo: INV_SQRT_2PI.1 });
        // Far out all but the first term of the continued fraction is nothing.
        if self.k >= 512 {
            return density / self;
        }
        if self.k < -NOTHING {
            return Extended::new(0.5) - density * self;
        }
        self.to_dd().mills().into()
    }
}

impl From<Dd> for Extended {
    fn from(v: Dd) -> Self {
        if v.hi.abs() < f64::MIN_POSITIVE {
            let lifted = Dd { hi: v.hi * pow2(200), lo: v.lo * pow2(200) };
            return Extended::normal(lifted, -200);
        }
        Extended::normal(v, 0)
    }
}

impl Add for Extended {
    type Output = Self;
    #[inline(never)] // a call for each operation: the code of a reference shall be small
    fn add(self, o: Self) -> Self {
        if self.is_nan() || o.is_nan() || (self.is_zero() && o.is_zero()) {
            return Extended { m: Dd::new(self.m.hi + o.m.hi), k: 0 };
        }
        if self.is_zero() {
            return o;
        }
        if o.is_zero() {
            return self;
        }
        let (a, b) = if self.k >= o.k { (self, o) } else { (o, self) };
        let apart = a.k - b.k;
        if apart > NOTHING {
            return a;
        }
        let unit = pow2(-apart);
        Self::normal(a.m + Dd { hi: b.m.hi * unit, lo: b.m.lo * unit }, a.k)
    }
}
impl Sub for Extended {
    type Output = Self;
    fn sub(self, o: Self) -> Self {
        self + -o
    }
}
impl Mul for Extended {
    type Output = Self;
    #[inline(never)]
    fn mul(self, o: Self) -> Self {
        Self::normal(self.m * o.m, self.k + o.k)
    }
}
impl Div for Extended {
    type Output = Self;
    #[inline(never)]
    fn div(self, o: Self) -> Self {
        Self::normal(self.m / o.m, self.k - o.k)
    }
}
impl Neg for Extended {
    type Output = Self;
    fn neg(self) -> Self {
        Extended { m: -self.m, k: self.k }
    }
}

impl Real for Extended {
    fn lit(self, c: f64) -> Self {
        Extended::new(c)
    }
    fn constant(self, (hi, lo): (f64, f64)) -> Self {
        Dd { hi, lo }.into()
    }
    fn abs(self) -> Self {
        if self.m.hi.is_sign_negative() { -self } else { self }
    }
    fn max(self, c: Self) -> Self {
        if (c - self).positive() { c } else { self }
    }
    fn min(self, c: Self) -> Self {
        if (self - c).positive() { c } else { self }
    }
    fn floor(self) -> Self {
        match self.k {
            _ if self.is_zero() || self.is_nan() => self,
            k if k < 0 => {
                if self.positive() {
                    ZERO
                } else {
                    -ONE
                }
            }
            k if k > 200 => self,
            _ => self.to_dd().floor().into(),
        }
    }
    fn round(self) -> Self {
        match self.k {
            _ if self.is_zero() || self.is_nan() => self,
            k if k < -1 => Extended { m: Dd::new(0.0f64.copysign(self.m.hi)), k: 0 },
            k if k > 200 => self,
            _ => self.to_dd().round().into(),
        }
    }
    fn pick_above(self, c: f64, hi: Self, lo: Self) -> Self {
        if self.is_nan() {
            self
        } else if (self - self.lit(c)).positive() {
            hi
        } else {
            lo
        }
    }
    fn pick_greater(self, o: Self, hi: Self, lo: Self) -> Self {
        (self - o).pick_above(0.0, hi, lo)
    }
    /// Below what stands for -inf: no number is cut off.
    fn lowest(self) -> Self {
        Extended { m: Dd::new(-1.0), k: LAST }
    }
    /// No power of a number of f64 overflows here.
    fn saturated(self, _end: f64) -> Self {
        self
    }
    fn slope_within(self, _end: f64, slope: Self) -> Self {
        slope
    }
    #[inline(always)]
    fn jet_at(self, lo: Self, p: Prim) -> Jet<Self> {
        primitive_apart(self, lo, p)
    }
}

/// The primitive `p` at `z + lo`.
#[inline(always)]
fn primitive(z: Extended, lo: Extended, p: Prim) -> Jet<Extended> {
    let x = z + lo;
    if x.is_nan() {
        return Jet::new(x, x, x);
    }
    let left = x.m.hi < 0.0;
    // w = e^-|x|, and w - 1, which has digits where w is near 1
    let (fall, w) = (-x.abs()).exp_both();
    match p {
        Prim::Exp => {
            let (_, e) = x.exp_both();
            Jet::new(e, e, e)
        }
        Prim::ExpM1 => {
            let (v, e) = x.exp_both();
            Jet::new(v, e, e)
        }
        Prim::Sigmoid => {
            let one = ONE + w;
            let d = w / one / one;
            let bend = d * fall / one;
            if left { Jet::new(w / one, d, -bend) } else { Jet::new(ONE / one, d, bend) }
        }
        Prim::Tanh => {
            let (fall, w) = (-TWO * x.abs()).exp_both();
            let one = ONE + w;
            let t = if x.is_zero() { x.abs() } else { -fall / (fall + TWO) };
            let v = if x.m.hi.is_sign_negative() { -t } else { t };
            let d = FOUR * w / one / one;
            Jet::new(v, d, -(TWO * v * d))
        }
        Prim::Softplus => {
            let (tail, one) = (w.ln_1p(), ONE + w);
            let slope = if left { w / one } else { ONE / one };
            Jet::new(if left { tail } else { x + tail }, slope, w / one / one)
        }
        Prim::Cdf => {
            let t = x.abs();
            let (_, e) = (t * t * Extended::new(-0.5)).exp_both();
            let tail = e * t.mills();
            let density = e * x.constant(INV_SQRT_2PI);
            Jet::new(if left { tail } else { ONE - tail }, density, -(x * density))
        }
        Prim::TanhSoftplus if left => {
            let den = w * (w + TWO) + TWO;
            let one = ONE + w;
            let d = FOUR * w * one / den / den;
            let bend = ONE + w / one - FOUR * w * one / den;
            Jet::new(w * (w + TWO) / den, d, d * bend)
        }
        Prim::TanhSoftplus => {
            let n = ONE + TWO * w;
            let den = n + TWO * w * w;
            let one = ONE + w;
            let d = FOUR * w * w * one / den / den;
            let bend = ONE + ONE / one - FOUR * one / den;
            Jet::new(n / den, d, d * bend)
        }
        Prim::Sqrt => {
            let v = x.root();
            let d = Extended::new(0.5) / v.abs();
            Jet::new(v, d, -(TWO * d * d * d))
        }
        Prim::Ln | Prim::Ln1p => {
            let (v, u) = if p == Prim::Ln { (x.log(), x) } else { (x.ln_1p(), ONE + x) };
            let d = if u.m.hi < 0.0 { Extended::new(f64::NAN) } else { ONE / u.abs() };
            Jet::new(v, d, -(d * d))
        }
        Prim::Sin | Prim::Cos => {
            // What is small is not rounded to f64's range.
            let (s, c) = if x.k < -NOTHING {
                (x, ONE)
            } else {
                let (s, c) = x.to_dd().sin_cos();
                (s.into(), c.into())
            };
            if p == Prim::Sin { Jet::new(s, c, -s) } else { Jet::new(c, -s, -c) }
        }
        Prim::Atan => {
            let y = ONE / x.abs();
            let v = if x.k < -NOTHING {
                x
            } else if x.k > NOTHING {
                let v = Extended::from(QUARTER_TURN) - y;
                if left { -v } else { v }
            } else {
                x.to_dd().inverse_tangent().into()
            };
            let d = ONE / (ONE + x * x);
            Jet::new(v, d, -(TWO * x * d * d))
        }
        Prim::Erf => {
            let (_, e) = (-(x * x)).exp_both();
            let d = e * BELL_0.into();
            let v = if x.k < -NOTHING {
                x * BELL_0.into()
            } else {
                Extended::from(x.to_dd().error_function())
            };
            Jet::new(v, d, -(TWO * x * d))
        }
    }
}
math::apart!(primitive_apart, Extended, primitive);

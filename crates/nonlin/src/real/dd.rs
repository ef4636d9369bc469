//! Double-double numbers: about 31 decimal digits in plain Rust.
//!
//! The reference of `nonlin show` and `nonlin verify` where no MPFR is at hand. Primitives
//! follow the textbook (Taylor series, a continued fraction, Newton's iteration), not the
//! kernels, so that a mistake in a kernel cannot hide here.

use super::{Jet, Prim, Real};
use crate::math::coefficients::{HALF_PI, INV_SQRT_2PI, SQRT_2, TWO_OVER_SQRT_PI};
use crate::math::scale::scale2;
use crate::math::sin_cos::quarter_turns;
use crate::simd::{Lanes, Lanes64, ROUND};
use core::ops::{Add, Div, Mul, Neg, Sub};

/// The unevaluated sum `hi + lo`, with `|lo|` at most half a unit of `hi`.
#[derive(Clone, Copy, Debug)]
pub struct Dd {
    /// The nearest f64.
    pub hi: f64,
    /// The rest.
    pub lo: f64,
}

/// ln 2 in three parts.
const LN2: [f64; 3] =
    [core::f64::consts::LN_2, 2.319_046_813_846_299_6e-17, 5.707_708_438_416_212e-34];
const ONE: Dd = Dd::new(1.0);
const TWO: Dd = Dd::new(2.0);
const FOUR: Dd = Dd::new(4.0);
/// 1 / sqrt(2 pi).
const DENSITY_0: Dd = Dd { hi: INV_SQRT_2PI.0, lo: INV_SQRT_2PI.1 };

/// pi / 2, and 2 / sqrt(pi).
pub(super) const QUARTER_TURN: Dd = Dd { hi: HALF_PI.0, lo: HALF_PI.1 };
pub(super) const BELL_0: Dd = Dd { hi: TWO_OVER_SQRT_PI.0, lo: TWO_OVER_SQRT_PI.1 };

/// 1 / n! for n from 5 down to 2.
const INVERSE_FACTORIALS: [Dd; 4] = [
    Dd { hi: 0.008_333_333_333_333_333, lo: 1.156_482_317_317_871_4e-19 },
    Dd { hi: 0.041_666_666_666_666_664, lo: 2.312_964_634_635_742_7e-18 },
    Dd { hi: 0.166_666_666_666_666_66, lo: 9.251_858_538_542_97e-18 },
    Dd::new(0.5),
];

impl Dd {
    /// Exactly `v`.
    #[must_use]
    pub const fn new(v: f64) -> Self {
        Dd { hi: v, lo: 0.0 }
    }

    fn renorm(hi: f64, lo: f64) -> Self {
        let s = hi + lo;
        if s.is_finite() { Dd { hi: s, lo: lo - (s - hi) } } else { Dd::new(s) }
    }

    fn clamp(self, a: f64, b: f64) -> Self {
        if self.hi < a {
            Dd::new(a)
        } else if self.hi > b {
            Dd::new(b)
        } else {
            self
        }
    }

    /// `m` and `k` with `e^self = 2^k (1 + m)`.
    pub(super) fn exp_parts(self) -> (Self, Dd) {
        let k = (self.hi * core::f64::consts::LOG2_E + ROUND) - ROUND;
        let part = |i: usize| Dd::new(k) * Dd::new(LN2[i]);
        let r = ((self - part(0)) - part(1)) - part(2);
        // Taylor on r / 512, then e^2t - 1 = m (m + 2) nine times.
        let r = Dd { hi: r.hi / 512.0, lo: r.lo / 512.0 };
        if self.hi.abs() < 1e-250 {
            return (self, Dd::new(0.0)); // dividing by 512 would round it
        }
        // From r^6 / 6! on f64 has digits enough.
        let mut rest = 1.0;
        for n in (7..12).rev() {
            rest = 1.0 + r.hi / f64::from(n) * rest;
        }
        let mut sum = Dd::new(r.hi / 720.0 * rest);
        for factor in INVERSE_FACTORIALS {
            sum = r * (sum + factor);
        }
        let mut sum = r + r * sum;
        for _ in 0..9 {
            sum = sum * (sum + TWO);
        }
        (sum, Dd::new(k))
    }

    /// `w` and `k >= -2020` with `e^self = 2^k w`, which is 0 where it is 0 times the largest f64
    /// and what a slope multiplies it by.
    fn exp_scaled(self) -> (Self, Dd) {
        if self.hi < -1500.0 {
            return (Dd::new(0.0), Dd::new(-2020.0));
        }
        let (m, k) = self.clamp(-1500.0, 800.0).exp_parts();
        let whole = k.hi.max(-2020.0);
        ((m + ONE).scale2(Dd::new(k.hi - whole)), Dd::new(whole))
    }

    /// The natural logarithm; -inf at 0, NaN below.
    pub(super) fn log(self) -> Self {
        if self.hi == 0.0 {
            return Dd::new(f64::NEG_INFINITY);
        }
        if !(self.hi > 0.0 && self.hi < f64::INFINITY) {
            return Dd::new(if self.hi > 0.0 { self.hi } else { f64::NAN });
        }
        // self = 2^k (1 + rest) with the rest from -0.3 to 0.42
        let up = if self.hi < 1e-250 { 200.0 } else { 0.0 };
        let x = self.scale2(Dd::new(up));
        let field = f64::from((x.hi.to_bits() >> 52) as i32 - 1023);
        let large = scale2(x.hi, -field) > SQRT_2.0;
        let k = field + if large { 1.0 } else { 0.0 };
        let rest = x.scale2(Dd::new(-k)) - ONE;
        let part = |i: usize| Dd::new(k - up) * Dd::new(LN2[i]);
        part(0) + (part(1) + (part(2) + rest.ln_1p()))
    }

    /// `ln(1 + self)`, by Newton's iteration on `e^y - 1`; -inf at -1, NaN below.
    #[must_use]
    pub fn ln_1p(self) -> Self {
        if self.hi > 1.0 || self.hi < -0.3 {
            return (self + ONE).log();
        }
        if self.hi.abs() < 1e-290 {
            return self;
        }
        let s = self.hi / (2.0 + self.hi);
        let mut y = 0.0;
        for n in (0..40).rev() {
            y = y * s * s + 1.0 / f64::from(2 * n + 1);
        }
        let mut y = Dd::new(2.0 * s * y);
        for _ in 0..2 {
            let (m, k) = y.exp_parts();
            let scale = ONE.scale2(k);
            let e = m * scale + (scale - ONE);
            y = y + (self - e) / (e + ONE);
        }
        y
    }

    /// The square root, by Newton's iteration; NaN below 0.
    pub(super) fn root(self) -> Self {
        let s = Lanes::sqrt(self.hi);
        if s == 0.0 || !s.is_finite() {
            return Dd::new(s);
        }
        if self.hi < 1e-200 {
            // Squares have low parts that f64 holds.
            return self.scale2(Dd::new(300.0)).root().scale2(Dd::new(-150.0));
        }
        let mut y = Dd::new(s);
        for _ in 0..2 {
            y = y + (self - y * y) / (y + y);
        }
        y
    }

    /// Sine and cosine, by Taylor's series in what quarter turns leave; NaN at ±inf.
    pub(super) fn sin_cos(self) -> (Self, Self) {
        // The low part of a large number has turns of its own.
        let ((n, hi), (m, lo)) = (quarter_turns(self.hi), quarter_turns(self.lo));
        let r = hi + lo;
        let (mut s, mut c) = (r, ONE);
        let (mut term, square) = (r, -(r * r));
        let mut cosine = ONE;
        let mut i = 1.0;
        while i < 40.0 {
            cosine = cosine * square / Dd::new(i * (i + 1.0));
            term = term * square / Dd::new((i + 1.0) * (i + 2.0));
            (c, s) = (c + cosine, s + term);
            i += 2.0;
        }
        // A small number keeps its sign and its low part.
        if r.hi.abs() < 1e-40 {
            s = r;
        }
        match (n + m) & 3 {
            0 => (s, c),
            1 => (c, -s),
            2 => (-s, -c),
            _ => (-c, s),
        }
    }

    /// The inverse tangent: a start in f64, and one step by `tan(a - b)`.
    pub(super) fn inverse_tangent(self) -> Self {
        if self.hi.abs() < 1e-40 {
            return self;
        }
        if self.hi.abs() > 1.0 {
            let rest = (ONE / self.abs()).inverse_tangent();
            let v = QUARTER_TURN - rest;
            return if self.hi > 0.0 { v } else { -v };
        }
        let mut y = Dd::new(Real::atan(self.hi));
        for _ in 0..2 {
            let (s, c) = y.sin_cos();
            let t = (self * c - s) / (c + self * s);
            y = y + (t - t * t * t / Dd::new(3.0));
        }
        y
    }

    /// The error function, by a series without cancellation, and far out by what it is less than 1.
    pub(super) fn error_function(self) -> Self {
        let t = self.abs();
        if t.hi < 1e-40 {
            return self * BELL_0;
        }
        let square = t * t;
        let v = if t.hi < 2.8 {
            // 2 / sqrt(pi) e^(-x^2) (x + 2 x^3 / 3 + 4 x^5 / (3 5) + ...)
            let (mut term, mut sum, mut n) = (t, t, 3.0);
            while term.hi > 1e-34 * sum.hi {
                term = term * square * TWO / Dd::new(n);
                sum = sum + term;
                n += 2.0;
            }
            let (m, k) = (-square).exp_parts();
            BELL_0 * ((m + ONE).scale2(k) * sum)
        } else if t.hi < 30.0 {
            let (m, k) = (-square).exp_parts();
            let tail = (t * Dd { hi: SQRT_2.0, lo: SQRT_2.1 }).mills();
            ONE - TWO * ((m + ONE) * tail).scale2(k)
        } else {
            ONE
        };
        if self.hi > 0.0 { v } else { -v }
    }

    /// The slope of the error function and its power of two.
    fn bell(self) -> (Self, Dd) {
        let t = self.abs().clamp(0.0, 38.5);
        let (e, k) = (-(t * t)).exp_scaled();
        (BELL_0 * e, k)
    }

    /// `Phi(-t) e^(t^2/2)` for `t >= 0`.
    pub(super) fn mills(self) -> Self {
        let t = self;
        if t.hi < 4.0 {
            // Phi(-t) = 1/2 - phi(t) (t + t^3/3 + t^5/(3 5) + ...)
            let t2 = t * t;
            let (mut term, mut sum, mut n) = (t, t, 3.0);
            while term.hi > 1e-34 * sum.hi {
                term = term * t2 / Dd::new(n);
                sum = sum + term;
                n += 2.0;
            }
            let (m, k) = (t2 * Dd::new(-0.5)).exp_parts();
            return Dd::new(0.5) / (m + ONE).scale2(k) - DENSITY_0 * sum;
        }
        // phi(t) / (t + 1/(t + 2/(t + 3/(t + ...))))
        let mut f = t;
        for n in (1..=120).rev() {
            f = t + Dd::new(f64::from(n)) / f;
        }
        DENSITY_0 / f
    }
}

/// `a + b` as a sum and its rounding error, which is 0 for infinite sums.
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let (s, e) = Lanes64::two_sum(a, b);
    (s, if s.is_finite() { e } else { 0.0 })
}

impl Add for Dd {
    type Output = Self;
    #[inline(never)] // a call for each operation: the code of a reference shall be small
    fn add(self, o: Self) -> Self {
        let (s, e) = two_sum(self.hi, o.hi);
        let (t, f) = two_sum(self.lo, o.lo);
        let a = Dd::renorm(s, e + t);
        Dd::renorm(a.hi, a.lo + f)
    }
}
impl Sub for Dd {
    type Output = Self;
    fn sub(self, o: Self) -> Self {
        self + -o
    }
}
impl Mul for Dd {
    type Output = Self;
    #[inline(never)]
    fn mul(self, o: Self) -> Self {
        let (p, e) = Lanes64::two_prod(self.hi, o.hi);
        // The halves of a number beyond 2^996 overflow; a product of 0 has the right sign already.
        if p == 0.0 || !p.is_finite() || !e.is_finite() {
            return Dd::new(self.hi * o.hi);
        }
        Dd::renorm(p, e + (self.hi * o.lo + self.lo * o.hi))
    }
}
impl Div for Dd {
    type Output = Self;
    #[inline(never)]
    fn div(self, o: Self) -> Self {
        let q = self.hi / o.hi;
        if q == 0.0 || !q.is_finite() || o.hi.is_infinite() {
            return Dd::new(q);
        }
        let r = self - o * Dd::new(q);
        let q2 = r.hi / o.hi;
        let r = r - o * Dd::new(q2);
        Dd::renorm(q, q2) + Dd::new(r.hi / o.hi)
    }
}
impl Neg for Dd {
    type Output = Self;
    fn neg(self) -> Self {
        Dd { hi: -self.hi, lo: -self.lo }
    }
}

impl Real for Dd {
    fn lit(self, c: f64) -> Self {
        Dd::new(c)
    }
    fn constant(self, c: (f64, f64)) -> Self {
        Dd { hi: c.0, lo: c.1 }
    }
    fn abs(self) -> Self {
        if self.hi.is_sign_negative() { -self } else { self }
    }
    fn max(self, c: Self) -> Self {
        if c.hi > self.hi || (c.hi == self.hi && c.lo > self.lo) { c } else { self }
    }
    fn min(self, c: Self) -> Self {
        if c.hi < self.hi || (c.hi == self.hi && c.lo < self.lo) { c } else { self }
    }
    fn floor(self) -> Self {
        let hi = Real::floor(self.hi);
        // The low part crosses no integer, unless the high one is at one.
        if hi == self.hi { Dd::renorm(hi, Real::floor(self.lo)) } else { Dd::new(hi) }
    }
    fn round(self) -> Self {
        let hi = Real::round(self.hi);
        if hi == self.hi {
            // A low part of a half or more belongs to an even number.
            return Dd::renorm(hi, Real::round(self.lo));
        }
        // Of a tie the low part decides.
        let rest = self.hi - hi;
        if rest == 0.5 && self.lo > 0.0 {
            Dd::new(hi + 1.0)
        } else if rest == -0.5 && self.lo < 0.0 {
            Dd::new(hi - 1.0)
        } else {
            Dd::new(hi)
        }
    }
    fn pick_above(self, c: f64, hi: Self, lo: Self) -> Self {
        if self.hi.is_nan() {
            self
        } else if self.hi > c || (self.hi == c && self.lo > 0.0) {
            hi
        } else {
            lo
        }
    }
    /// By comparison: the difference of large numbers may overflow.
    fn pick_greater(self, o: Self, hi: Self, lo: Self) -> Self {
        if self.hi.is_nan() || o.hi.is_nan() {
            Dd::new(f64::NAN)
        } else if self.hi > o.hi || (self.hi == o.hi && self.lo > o.lo) {
            hi
        } else {
            lo
        }
    }
    fn scale2(self, k: Self) -> Self {
        Dd { hi: scale2(self.hi, k.hi), lo: scale2(self.lo, k.hi) }
    }
    fn exp_m1_of_width(self, width: Self) -> Self {
        let z = self.finite() / width;
        // There e^z - 1 is z, which may be subnormal and have lost digits that `self` has.
        if z.hi.abs() < 1e-40 { self } else { width * z.exp_m1() }
    }
    /// The quotient before the power of two, which may make it subnormal.
    fn plus_quotient(self, j: Jet<Self>, divisor: Self) -> Self {
        self + (j.v / divisor).scale2(j.k)
    }
    fn gated(self, gate: Jet<Self>) -> Self {
        if gate.k.hi == 0.0 {
            return self * gate.v;
        }
        self.max(self.lowest()).scaled(gate.v, gate.v_lo, gate.k)
    }
    /// Far out the power of two comes in two parts, since the largest numbers may overflow before it.
    fn scaled(self, m: Self, _m_lo: Self, k: Self) -> Self {
        if k.hi == 0.0 {
            return self * m;
        }
        let first = Dd::new(if self.hi.abs() > 1.0 { -200.0 } else { 0.0 });
        (self.scale2(first) * m).scale2(k - first)
    }
    /// Half of the power of two before `value`, half after it, so that neither product leaves f64.
    fn scaled_product(self, value: Self, m: Self, _m_lo: Self, k: Self) -> Self {
        let half = Dd::new((k.hi * 0.5 + ROUND) - ROUND);
        ((self * m).scale2(half) * value).scale2(k - half)
    }
    /// Both slopes are even, and only left of 0 is there a power of two.
    fn slope_jet(self, p: Prim) -> Jet<Self> {
        match p {
            Prim::Sigmoid => (-self.abs()).jet(p),
            Prim::Tanh => {
                let j = (self.abs() * Dd::new(-2.0)).jet(Prim::Sigmoid);
                Jet { d: FOUR * j.d, ..j }
            }
            Prim::Erf => {
                let (d, k) = self.bell();
                Jet { k, ..Jet::new(d, d, -(TWO * self.clamp(-50.0, 50.0) * d)) }
            }
            _ => self.jet(p),
        }
    }
    fn jet_at(self, lo: Self, p: Prim) -> Jet<Self> {
        let x = self + lo;
        if x.hi.is_nan() {
            return Jet::new(x, x, x);
        }
        let scaled = |v, d, dd, k| Jet { k, ..Jet::new(v, d, dd) };
        let negative = x.hi < 0.0;
        // w = e^-|x| = 2^k wm
        let (wm, k) = (-x.abs()).exp_scaled();
        let w = wm.scale2(k);
        match p {
            Prim::Exp => {
                let (e, k) = x.exp_scaled();
                scaled(e, e, e, k)
            }
            Prim::ExpM1 => {
                let (m, k) = x.clamp(-1400.0, 800.0).exp_parts();
                let (s, e) = (ONE.scale2(k), (ONE + m).scale2(k));
                let v = if k.hi == 0.0 {
                    m
                } else if e.hi.is_infinite() || s.hi.is_infinite() {
                    e
                } else {
                    m * s + (s - ONE)
                };
                Jet::new(v, e, e)
            }
            Prim::Sigmoid => {
                let d = ONE + w;
                let bend = (ONE - w) / d;
                if negative {
                    scaled(wm / d, wm / d / d, wm / d / d * bend, k)
                } else {
                    Jet::new(ONE / d, w / d / d, -(w / d / d * bend))
                }
            }
            Prim::Tanh => {
                let (m, k) = (x.abs() * Dd::new(-2.0)).clamp(-1400.0, 0.0).exp_parts();
                let (s, e) = (ONE.scale2(k), (ONE + m).scale2(k));
                let em1 = if k.hi == 0.0 { m } else { m * s + (s - ONE) };
                let t = if x.hi.abs() < 1e-250 { -x.abs() } else { em1 / (em1 + TWO) };
                let d = FOUR * e / (ONE + e) / (ONE + e);
                let v = if x.hi == 0.0 {
                    x
                } else if negative {
                    t
                } else {
                    -t
                };
                Jet::new(v, d, -(TWO * v * d))
            }
            Prim::Softplus => {
                let s = self.jet_at(lo, Prim::Sigmoid);
                if negative && k.hi < -500.0 {
                    // ln(1 + w) = w, which alone may be subnormal.
                    return scaled(wm, s.v, s.d, k);
                }
                let v = if negative { w.ln_1p() } else { x + w.ln_1p() };
                Jet::new(v, s.v.scale2(s.k), s.d.scale2(s.k))
            }
            Prim::Cdf => {
                let t = x.abs().clamp(0.0, 54.5);
                let (e, k) = (t * t * Dd::new(-0.5)).exp_scaled();
                let tail = e * t.mills();
                let density = e * DENSITY_0;
                if negative {
                    scaled(tail, density, t * density, k)
                } else {
                    let density = density.scale2(k);
                    Jet::new(ONE - tail.scale2(k), density, -(t * density))
                }
            }
            Prim::TanhSoftplus if negative => {
                let den = w * (w + TWO) + TWO;
                let d = FOUR * wm * (ONE + w) / den / den;
                let bend = ONE + w / (ONE + w) - FOUR * w * (ONE + w) / den;
                scaled(wm * (w + TWO) / den, d, d * bend, k)
            }
            Prim::TanhSoftplus => {
                let n = ONE + TWO * w;
                let den = n + TWO * w * w;
                let d = FOUR * w * w * (ONE + w) / den / den;
                let bend = ONE + ONE / (ONE + w) - FOUR * (ONE + w) / den;
                Jet::new(n / den, d, d * bend)
            }
            Prim::Sqrt => {
                let v = x.root();
                let d = Dd::new(0.5) / v.abs();
                Jet::new(v, d, -(TWO * d * d * d))
            }
            Prim::Ln | Prim::Ln1p => {
                let (v, u) = if p == Prim::Ln { (x.log(), x) } else { (x.ln_1p(), ONE + x) };
                let d = if u.hi < 0.0 { Dd::new(f64::NAN) } else { ONE / u.abs() };
                Jet::new(v, d, -(d * d))
            }
            Prim::Sin => {
                let (s, c) = x.sin_cos();
                Jet::new(s, c, -s)
            }
            Prim::Cos => {
                let (s, c) = x.sin_cos();
                Jet::new(c, -s, -c)
            }
            Prim::Atan => {
                // 1 / (1 + x^2), and from 1 on by 1 / x, whose square does not overflow.
                let (y, d) = if x.hi.abs() < 1.0 {
                    let d = ONE / (ONE + x * x);
                    (x * d * d, d)
                } else {
                    let y = ONE / x;
                    let d = y * y / (ONE + y * y);
                    (y * d / (ONE + y * y), d)
                };
                Jet::new(x.inverse_tangent(), d, -(TWO * y))
            }
            Prim::Erf => {
                let (d, k) = x.bell();
                let d = d.scale2(k);
                Jet::new(x.error_function(), d, -(TWO * x.clamp(-50.0, 50.0) * d))
            }
        }
    }
}

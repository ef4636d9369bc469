//! Intervals: bounds that hold for every real number between two ends.
//!
//! Each operation rounds outward: an end is moved by one unit for arithmetic, by
//! `SLACK` for a primitive (whose f64 error is proved to be below 1 ULP). So what a
//! definition returns at an interval contains all its values there; a formula that uses
//! `x` twice gives wide bounds, which shrink when the interval is cut in pieces.

use super::{Jet, Prim, Real};
use crate::math;
use core::ops::{Add, Div, Mul, Neg, Sub};

/// Units by which the value of a primitive is moved outward.
const SLACK: u32 = 4;

/// Where the slope of `tanh(softplus(x))` is largest.
const TANH_SOFTPLUS_STEEPEST: f64 = -0.117_400_979_639_287_4;

/// How far out the peaks of sine and cosine are told apart.
const WAVES: f64 = 1e6;

/// The numbers from `lo` to `hi`; empty if either end is NaN.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub lo: f64,
    /// Upper end.
    pub hi: f64,
}

fn down(mut v: f64, units: u32) -> f64 {
    for _ in 0..units {
        v = v.next_down();
    }
    v
}

fn up(mut v: f64, units: u32) -> f64 {
    for _ in 0..units {
        v = v.next_up();
    }
    v
}

/// The primitive `p` at `x`.
#[inline(always)]
fn value(x: f64, p: Prim) -> f64 {
    x.jet(p).value()
}

/// The slope of the primitive `p` at `x`.
#[inline(always)]
fn slope(x: f64, p: Prim) -> f64 {
    x.jet(p).slope()
}

/// The second derivative of the primitive `p` at `x`.
#[inline(always)]
fn bend(x: f64, p: Prim) -> f64 {
    x.jet(p).dd
}

/// The hull of some products or quotients, where 0 times infinity is 0.
fn hull(ends: [f64; 4]) -> Interval {
    let (mut lo, mut hi) = (f64::INFINITY, f64::NEG_INFINITY);
    for e in ends {
        let e = if e.is_nan() { 0.0 } else { e };
        lo = lo.min(e);
        hi = hi.max(e);
    }
    Interval { lo: lo.next_down(), hi: hi.next_up() }
}

impl Interval {
    /// Nothing.
    pub const EMPTY: Interval = Interval { lo: f64::NAN, hi: f64::NAN };
    /// Every number.
    pub const ALL: Interval = Interval { lo: f64::NEG_INFINITY, hi: f64::INFINITY };

    /// The numbers from `lo` to `hi`; nothing if `lo > hi` or either is NaN.
    #[must_use]
    pub fn new(lo: f64, hi: f64) -> Self {
        if lo <= hi { Interval { lo, hi } } else { Self::EMPTY }
    }

    /// One number.
    #[must_use]
    pub fn point(v: f64) -> Self {
        Interval { lo: v, hi: v }
    }

    /// Whether no number is inside.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.lo.is_nan() || self.hi.is_nan()
    }

    /// Whether `v` is inside.
    #[must_use]
    pub fn contains(self, v: f64) -> bool {
        self.lo <= v && v <= self.hi
    }

    /// The smallest interval with everything of both.
    #[must_use]
    pub fn union(self, o: Self) -> Self {
        if self.is_empty() {
            o
        } else if o.is_empty() {
            self
        } else {
            Interval { lo: self.lo.min(o.lo), hi: self.hi.max(o.hi) }
        }
    }

    fn with(self, o: Self, f: impl Fn() -> Self) -> Self {
        if self.is_empty() || o.is_empty() { Self::EMPTY } else { f() }
    }

    /// The image under the value or the slope `f` of a primitive, which rises (or falls) on the whole
    /// interval.
    #[inline(always)]
    fn monotone(self, f: impl Fn(f64, Prim) -> f64, p: Prim) -> Self {
        let (a, b) = (f(self.lo, p), f(self.hi, p));
        Interval { lo: down(a.min(b), SLACK), hi: up(a.max(b), SLACK) }
    }

    /// The image under the slope of a primitive, a positive hump that rises up to `peak` and falls after it.
    #[inline(always)]
    fn hump(self, peak: f64, p: Prim) -> Self {
        let ends = self.monotone(slope, p);
        // `peak` is rounded; this near to the true one the value changes by less than the slack.
        let top = if self.lo <= peak + 1e-8 && self.hi >= peak - 1e-8 {
            up(slope(peak, p), SLACK)
        } else {
            ends.hi
        };
        Interval { lo: ends.lo.max(0.0), hi: top.max(ends.hi) }
    }

    /// What the primitive `p` is defined for.
    #[inline(always)]
    fn within_domain(self, p: Prim) -> Self {
        let least = match p {
            Prim::Sqrt | Prim::Ln => 0.0,
            Prim::Ln1p => -1.0,
            _ => return self,
        };
        Interval::new(self.lo.max(least), self.hi)
    }

    /// The image under the primitive `p`, sine or cosine: a value between the ends, and 1 or -1 where a peak may
    /// lie between them.
    #[inline(always)]
    fn wave(self, p: Prim) -> Self {
        let ends = self.monotone(value, p);
        if self.lo == self.hi && self.lo.is_finite() {
            return ends.clamp(-1.0, 1.0);
        }
        if !(self.lo >= -WAVES && self.hi <= WAVES) {
            return Interval { lo: -1.0, hi: 1.0 };
        }
        // Peaks are at odd quarter turns, 1, 5, ... of the shifted argument, and -1, 3, ... down.
        let (turn, quarters) =
            (core::f64::consts::FRAC_PI_2, if p == Prim::Cos { 1.0 } else { 0.0 });
        let (a, b) = (self.lo / turn + quarters, self.hi / turn + quarters);
        // Whether `at + 4 n` lies between for a whole `n`, or so near that rounding may deceive.
        let reaches = |at: f64| {
            let first = Real::floor((b + 1e-6 - at) / 4.0);
            at + 4.0 * first >= a - 1e-6
        };
        let lo = if reaches(-1.0) { -1.0 } else { ends.lo };
        let hi = if reaches(1.0) { 1.0 } else { ends.hi };
        Interval { lo, hi }.clamp(-1.0, 1.0)
    }

    fn clamp(self, lo: f64, hi: f64) -> Self {
        Interval { lo: self.lo.clamp(lo, hi), hi: self.hi.clamp(lo, hi) }
    }
}

impl Add for Interval {
    type Output = Self;
    fn add(self, o: Self) -> Self {
        self.with(o, || Interval {
            lo: (self.lo + o.lo).next_down(),
            hi: (self.hi + o.hi).next_up(),
        })
    }
}
impl Sub for Interval {
    type Output = Self;
    fn sub(self, o: Self) -> Self {
        self + -o
    }
}
impl Mul for Interval {
    type Output = Self;
    fn mul(self, o: Self) -> Self {
        self.with(o, || hull([self.lo * o.lo, self.lo * o.hi, self.hi * o.lo, self.hi * o.hi]))
    }
}
impl Div for Interval {
    type Output = Self;
    fn div(self, o: Self) -> Self {
        self.with(o, || {
            if o.contains(0.0) {
                return Self::ALL;
            }
            hull([self.lo / o.lo, self.lo / o.hi, self.hi / o.lo, self.hi / o.hi])
        })
    }
}
impl Neg for Interval {
    type Output = Self;
    fn neg(self) -> Self {
        Interval { lo: -self.hi, hi: -self.lo }
    }
}

impl Real for Interval {
    fn lit(self, c: f64) -> Self {
        Interval::point(c)
    }
    fn constant(self, c: (f64, f64)) -> Self {
        Interval { lo: c.0.next_down(), hi: c.0.next_up() }
    }
    fn abs(self) -> Self {
        if self.lo >= 0.0 {
            self
        } else if self.hi <= 0.0 {
            -self
        } else {
            self.with(self, || Interval { lo: 0.0, hi: self.hi.max(-self.lo) })
        }
    }
    fn max(self, c: Self) -> Self {
        self.with(c, || Interval { lo: self.lo.max(c.lo), hi: self.hi.max(c.hi) })
    }
    fn min(self, c: Self) -> Self {
        self.with(c, || Interval { lo: self.lo.min(c.lo), hi: self.hi.min(c.hi) })
    }
    fn part_above(self, c: f64) -> Self {
        if self.hi > c { Interval { lo: self.lo.max(c), hi: self.hi } } else { Self::EMPTY }
    }
    fn part_below(self, c: f64) -> Self {
        if self.lo <= c { Interval { lo: self.lo, hi: self.hi.min(c) } } else { Self::EMPTY }
    }
    fn floor(self) -> Self {
        self.with(self, || Interval { lo: Real::floor(self.lo), hi: Real::floor(self.hi) })
    }
    fn round(self) -> Self {
        self.with(self, || Interval { lo: Real::round(self.lo), hi: Real::round(self.hi) })
    }
    fn part_greater(self, o: Self) -> Self {
        self.with(o, || self.part_above(o.lo))
    }
    fn part_not_greater(self, o: Self) -> Self {
        self.with(o, || self.part_below(o.hi))
    }
    fn pick_greater(self, o: Self, hi: Self, lo: Self) -> Self {
        if self.is_empty() || o.is_empty() {
            return Self::EMPTY;
        }
        let above = if self.hi > o.lo { hi } else { Self::EMPTY };
        let below = if self.lo <= o.hi { lo } else { Self::EMPTY };
        above.union(below)
    }
    /// Even powers are humps upside down, negative ones the reciprocals of positive ones.
    fn powi(self, n: i32) -> Self {
        if self.is_empty() || n == 0 {
            return self.with(self, || Interval::point(1.0));
        }
        if n < 0 {
            return Interval::point(1.0) / self.powi(n.checked_neg().unwrap_or(i32::MAX));
        }
        let (a, b) = (self.lo.powi(n), self.hi.powi(n));
        let ends = Interval { lo: down(a.min(b), SLACK), hi: up(a.max(b), SLACK) };
        if n % 2 != 0 {
            ends
        } else if self.contains(0.0) {
            Interval { lo: 0.0, hi: ends.hi }
        } else {
            Interval { lo: ends.lo.max(0.0), hi: ends.hi }
        }
    }
    /// It rises in the base above 1 of the power, and in the power above 1 of the base: the ends decide.
    fn powf(self, y: Self) -> Self {
        let x = Interval::new(self.lo.max(0.0), self.hi);
        x.with(y, || {
            let ends = [x.lo.powf(y.lo), x.lo.powf(y.hi), x.hi.powf(y.lo), x.hi.powf(y.hi)];
            let all = ends.into_iter().fold(Self::EMPTY, |all, v| all.union(Interval::point(v)));
            Interval { lo: down(all.lo, SLACK).max(0.0), hi: up(all.hi, SLACK) }
        })
    }
    /// The hull of the pieces that the interval reaches, at both sides of `c`.
    fn pick_above(self, c: f64, hi: Self, lo: Self) -> Self {
        let above = if self.hi > c { hi } else { Self::EMPTY };
        let below = if self.lo <= c { lo } else { Self::EMPTY };
        above.union(below)
    }
    #[inline(always)]
    fn jet_at(self, lo: Self, p: Prim) -> Jet<Self> {
        primitive_apart(self, lo, p)
    }
}

/// Bounds of the primitive `p` and its derivatives on `z + lo`.
#[inline(always)]
fn primitive(z: Interval, lo: Interval, p: Prim) -> Jet<Interval> {
    let x = (z + lo).within_domain(p);
    if x.is_empty() {
        return Jet::new(x, x, x);
    }
    let v = x.monotone(value, p);
    // The second derivatives of the humps are bounded by these numbers.
    let within = |b: f64| Interval { lo: -b, hi: b };
    let (v, d, dd) = match p {
        Prim::Exp => (v.clamp(0.0, f64::INFINITY), v, v),
        Prim::ExpM1 => {
            let e = x.monotone(slope, p).clamp(0.0, f64::INFINITY);
            (v.clamp(-1.0, f64::INFINITY), e, e)
        }
        Prim::Softplus => (
            v.clamp(0.0, f64::INFINITY),
            x.monotone(slope, p).clamp(0.0, 1.0),
            x.hump(0.0, Prim::Sigmoid),
        ),
        Prim::Sigmoid => (v.clamp(0.0, 1.0), x.hump(0.0, p), within(0.0963)),
        Prim::Tanh => (v.clamp(-1.0, 1.0), x.hump(0.0, p), within(0.7699)),
        Prim::Cdf => (v.clamp(0.0, 1.0), x.hump(0.0, p), within(0.2420)),
        Prim::TanhSoftplus => {
            (v.clamp(0.0, 1.0), x.hump(TANH_SOFTPLUS_STEEPEST, p), within(0.1850))
        }
        Prim::Sqrt => (
            v.clamp(0.0, f64::INFINITY),
            x.monotone(slope, p).clamp(0.0, f64::INFINITY),
            x.monotone(bend, p).clamp(f64::NEG_INFINITY, 0.0),
        ),
        Prim::Ln | Prim::Ln1p => (
            v,
            x.monotone(slope, p).clamp(0.0, f64::INFINITY),
            x.monotone(bend, p).clamp(f64::NEG_INFINITY, 0.0),
        ),
        Prim::Sin => (x.wave(Prim::Sin), x.wave(Prim::Cos), -x.wave(Prim::Sin)),
        Prim::Cos => (x.wave(Prim::Cos), -x.wave(Prim::Sin), -x.wave(Prim::Cos)),
        // atan'' is at most 3 sqrt(3) / 8, erf'' 2 sqrt(2 / (pi e)).
        Prim::Atan => (v, x.hump(0.0, p).clamp(0.0, 1.0), within(0.6496)),
        Prim::Erf => (v.clamp(-1.0, 1.0), x.hump(0.0, p), within(0.9680)),
    };
    Jet::new(v, d, dd)
}
math::apart!(primitive_apart, Interval, primitive);

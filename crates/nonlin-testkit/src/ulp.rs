//! The error of a result in units in the last place.
//!
//! `|got - exact| / spacing`, where the spacing is that of the result type's numbers at the
//! exact value: `2^(e - p + 1)` for `2^e <= |exact| < 2^(e + 1)` and `p` digits, and below the
//! normal range the spacing of the subnormal numbers. An infinity is right (error 0) where the
//! exact value rounds to it; elsewhere it counts as `2^(emax + 1)`, the number that would come
//! next. NaN for NaN is right; NaN for a number, or a number for NaN, is infinitely wrong.
//! The sign of zero is not looked at.

use core::fmt::Debug;

/// A binary floating-point format.
pub trait Format: Copy + PartialEq + PartialOrd + Debug + Send + Sync + 'static {
    /// Its name in reports.
    const NAME: &'static str;
    /// Bits in all.
    const BITS: u32;
    /// Significant bits `p`, the hidden one included.
    const DIGITS: u32;
    /// The exponent of the smallest normal number, `2^MIN_EXP`.
    const MIN_EXP: i32;
    /// The exponent of the largest numbers: all are below `2^(MAX_EXP + 1)`.
    const MAX_EXP: i32;

    /// The bit pattern `bits`; higher bits are dropped.
    fn from_pattern(bits: u64) -> Self;
    /// The bit pattern.
    fn pattern(self) -> u64;
    /// This number, exactly.
    fn to_f64(self) -> f64;

    /// The bit pattern of `+inf`.
    const INF_PATTERN: u64 = ((Self::MAX_EXP - Self::MIN_EXP + 2) as u64) << (Self::DIGITS - 1);
    /// The sign bit.
    const SIGN_PATTERN: u64 = 1 << (Self::BITS - 1);

    /// Where the number stands among all numbers of the format, zero being at 0.
    ///
    /// Neighbours differ by 1; `-0` and `+0` share 0; NaN stands beyond the infinities.
    fn ordinal(self) -> i64 {
        let magnitude = (self.pattern() & !Self::SIGN_PATTERN) as i64;
        if self.pattern() & Self::SIGN_PATTERN == 0 { magnitude } else { -magnitude }
    }
    /// The number at `ordinal`; the infinity of that sign if there is none.
    fn from_ordinal(ordinal: i64) -> Self {
        let magnitude = ordinal.unsigned_abs().min(Self::INF_PATTERN);
        Self::from_pattern(if ordinal < 0 { magnitude | Self::SIGN_PATTERN } else { magnitude })
    }
    /// The number `steps` places above (below if negative), at most an infinity; NaN stays NaN.
    fn step(self, steps: i64) -> Self {
        if self.is_nan() { self } else { Self::from_ordinal(self.ordinal().saturating_add(steps)) }
    }
    /// The next number up.
    fn up(self) -> Self {
        self.step(1)
    }
    /// The next number down.
    fn down(self) -> Self {
        self.step(-1)
    }
    /// Whether it is NaN.
    fn is_nan(self) -> bool {
        self.pattern() & !Self::SIGN_PATTERN > Self::INF_PATTERN
    }
    /// The largest finite number.
    fn largest() -> Self {
        Self::from_pattern(Self::INF_PATTERN - 1)
    }
    /// `v` rounded once, to the nearest number, ties to even.
    fn nearest(v: f64) -> Self {
        if v.is_nan() {
            return Self::from_pattern(Self::INF_PATTERN | 1 << (Self::DIGITS - 2));
        }
        let e = exponent(v).clamp(Self::MIN_EXP, Self::MAX_EXP);
        let units = (v.abs() / pow2(e - Self::DIGITS as i32 + 1)).round_ties_even();
        // The hidden bit within `units` carries into the exponent's field.
        let below = ((e - Self::MIN_EXP) as u64) << (Self::DIGITS - 1);
        let magnitude = below.saturating_add(units as u64).min(Self::INF_PATTERN);
        let sign = if v.is_sign_negative() { Self::SIGN_PATTERN } else { 0 };
        Self::from_pattern(magnitude | sign)
    }
}

macro_rules! format {
    ($t:ty, $bits:ty, $name:literal, $digits:literal, $min:literal, $max:literal, $to:expr) => {
        impl Format for $t {
            const NAME: &'static str = $name;
            const BITS: u32 = <$bits>::BITS;
            const DIGITS: u32 = $digits;
            const MIN_EXP: i32 = $min;
            const MAX_EXP: i32 = $max;
            fn from_pattern(bits: u64) -> Self {
                <$t>::from_bits(bits as $bits)
            }
            fn pattern(self) -> u64 {
                u64::from(self.to_bits())
            }
            fn to_f64(self) -> f64 {
                $to(self)
            }
        }
    };
}
format!(f32, u32, "f32", 24, -126, 127, f64::from);
format!(f64, u64, "f64", 53, -1022, 1023, f64::from);
format!(half::f16, u16, "f16", 11, -14, 15, f64::from);
format!(half::bf16, u16, "bf16", 8, -126, 127, f64::from);

/// `floor(log2 |v|)`; `i32::MIN` for zero, `i32::MAX` for infinities and NaN.
#[must_use]
pub fn exponent(v: f64) -> i32 {
    let bits = v.to_bits() & !(1 << 63);
    match (bits >> 52) as i32 {
        0 if bits == 0 => i32::MIN,
        0 => 63 - bits.leading_zeros() as i32 - 1074,
        0x7ff => i32::MAX,
        field => field - 1023,
    }
}

/// `2^k`, for `-1074 <= k <= 1023`.
#[must_use]
pub fn pow2(k: i32) -> f64 {
    if k < -1022 {
        f64::from_bits(1 << (k + 1074))
    } else {
        f64::from_bits(((k + 1023) as u64) << 52)
    }
}

/// A value that results are measured against.
pub trait Exact {
    /// Whether it is NaN.
    fn is_nan(&self) -> bool;
    /// Whether it is an infinity.
    fn is_infinite(&self) -> bool;
    /// Whether it is below zero.
    fn is_negative(&self) -> bool;
    /// `floor(log2 |self|)`, or anything below `-2000` for zero.
    fn exponent(&self) -> i32;
    /// Whether `|self| > bound`, for a positive `bound`.
    fn exceeds(&self, bound: f64) -> bool;
    /// `|got - self| / 2^unit`, for finite numbers and `-1074 <= unit <= 971`.
    fn distance(&self, got: f64, unit: i32) -> f64;
}

/// For f32 and half results: the exact value to f64's precision.
impl Exact for f64 {
    fn is_nan(&self) -> bool {
        f64::is_nan(*self)
    }
    fn is_infinite(&self) -> bool {
        f64::is_infinite(*self)
    }
    fn is_negative(&self) -> bool {
        *self < 0.0
    }
    fn exponent(&self) -> i32 {
        exponent(*self)
    }
    fn exceeds(&self, bound: f64) -> bool {
        self.abs() > bound
    }
    fn distance(&self, got: f64, unit: i32) -> f64 {
        (got - self).abs() / pow2(unit)
    }
}

/// `hi + lo` with `|lo|` at most half a unit of `hi`; for f64 results in the normal range.
impl Exact for (f64, f64) {
    fn is_nan(&self) -> bool {
        self.0.is_nan() || (self.0.is_finite() && self.1.is_nan())
    }
    fn is_infinite(&self) -> bool {
        self.0.is_infinite()
    }
    fn is_negative(&self) -> bool {
        self.0 < 0.0
    }
    fn exponent(&self) -> i32 {
        let (hi, lo) = *self;
        let power_of_two = hi.is_normal() && hi.to_bits() << 12 == 0;
        // Just below a power of two the spacing is that of the numbers below it.
        exponent(hi) - i32::from(power_of_two && hi * lo.signum() < 0.0 && lo != 0.0)
    }
    fn exceeds(&self, bound: f64) -> bool {
        let (hi, lo) = if self.0 < 0.0 { (-self.0, -self.1) } else { *self };
        hi > bound || (hi == bound && lo > 0.0)
    }
    fn distance(&self, got: f64, unit: i32) -> f64 {
        ((got - self.0) - self.1).abs() / pow2(unit)
    }
}

#[cfg(feature = "mpfr")]
impl Exact for &rug::Float {
    fn is_nan(&self) -> bool {
        rug::Float::is_nan(self)
    }
    fn is_infinite(&self) -> bool {
        rug::Float::is_infinite(self)
    }
    fn is_negative(&self) -> bool {
        **self < 0
    }
    fn exponent(&self) -> i32 {
        // MPFR's significands are in [1/2, 1).
        self.get_exp().map_or(i32::MIN, |e| e.saturating_sub(1))
    }
    fn exceeds(&self, bound: f64) -> bool {
        **self > bound || **self < -bound
    }
    fn distance(&self, got: f64, unit: i32) -> f64 {
        let mut d = rug::Float::with_val(64, got - *self).abs();
        d >>= unit;
        d.to_f64()
    }
}

/// The error of `got` against `exact`, in units of `T`'s last place at `exact`.
pub fn ulp_error<T: Format>(got: T, exact: impl Exact) -> f64 {
    if got.is_nan() || exact.is_nan() {
        return if got.is_nan() && exact.is_nan() { 0.0 } else { f64::INFINITY };
    }
    let got = got.to_f64();
    let last_place = |e: i32| e - T::DIGITS as i32 + 1;
    let unit = last_place(exact.exponent().clamp(T::MIN_EXP, T::MAX_EXP));
    if got.is_infinite() {
        let positive = got > 0.0;
        if exact.is_infinite() {
            return if positive != exact.is_negative() { 0.0 } else { f64::INFINITY };
        }
        let largest = T::largest().to_f64().copysign(got);
        let to_largest = exact.distance(largest, unit);
        if positive != exact.is_negative() && exact.exceeds(largest.abs()) {
            // The last number before infinity is odd, so the tie goes to infinity.
            return if to_largest >= 0.5 { 0.0 } else { 1.0 - to_largest };
        }
        return to_largest + pow2(last_place(T::MAX_EXP)) / pow2(unit);
    }
    if exact.is_infinite() { f64::INFINITY } else { exact.distance(got, unit) }
}

/// How many numbers `b` stands above `a`.
pub fn ulps_between<T: Format>(a: T, b: T) -> i64 {
    b.ordinal() - a.ordinal()
}

/// Every bit pattern of `T`, NaNs included, from 0 up.
///
/// That is 2^16 or 2^32 values; for f64 it is more than anybody can wait for.
pub fn every<T: Format>() -> impl Iterator<Item = T> {
    (0..=u64::MAX >> (64 - T::BITS)).map(T::from_pattern)
}

/// Every number from `first` to `last`, both included, in ascending order; zero comes once, as `+0`.
pub fn numbers<T: Format>(first: T, last: T) -> impl Iterator<Item = T> {
    (first.ordinal()..=last.ordinal()).map(T::from_ordinal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::{bf16, f16};

    #[test]
    fn half_a_unit_off() {
        // 1 + 2^-24 is halfway between 1 and the next f32.
        let exact = 1.0 + pow2(-24);
        assert_eq!(ulp_error(1.0f32, exact), 0.5);
        assert_eq!(ulp_error(1.0f32.up(), exact), 0.5);
        assert_eq!(ulp_error(1.0f32.step(3), 1.0), 3.0);
        // The spacing is the exact value's: below 1 it is half of that above.
        assert_eq!(ulp_error(1.0f32, 1.0 - pow2(-25)), 0.5);
        assert_eq!(ulp_error(-1.0f32, -(1.0 - pow2(-25))), 0.5);
        assert_eq!(ulp_error(1.0f32, -1.0), 2.0 * pow2(23));
    }

    #[test]
    fn each_format_has_its_spacing() {
        assert_eq!(ulp_error(f16::from_f64(1.0), 1.0 + pow2(-10)), 1.0);
        assert_eq!(ulp_error(bf16::from_f64(1.0), 1.0 + pow2(-7)), 1.0);
        assert_eq!(ulp_error(1.0f32, 1.0 + pow2(-23)), 1.0);
        assert_eq!(ulp_error(1.0f64, 1.0 + pow2(-52)), 1.0);
        assert_eq!(ulp_error(f16::from_f64(0.0), pow2(-24)), 1.0);
        assert_eq!(ulp_error(bf16::from_f64(0.0), pow2(-133)), 1.0);
        assert_eq!(ulp_error(0.0f64, pow2(-1074)), 1.0);
    }

    #[test]
    fn subnormal_spacing_holds_all_the_way_down() {
        let smallest = pow2(-149);
        assert_eq!(ulp_error(0.0f32, smallest), 1.0);
        assert_eq!(ulp_error(0.0f32, smallest / 4.0), 0.25);
        assert_eq!(ulp_error(f32::from_pattern(3), 2.5 * smallest), 0.5);
        assert_eq!(ulp_error(f32::from_pattern(1), 0.0), 1.0);
        assert_eq!(ulp_error(-0.0f32, 0.0), 0.0);
        assert_eq!(ulp_error(f32::MIN_POSITIVE, f64::from(f32::MIN_POSITIVE) - smallest), 1.0);
    }

    #[test]
    fn infinity_is_right_where_it_is_rounded_to() {
        let (max, unit) = (f64::from(f32::MAX), pow2(104));
        assert_eq!(ulp_error(f32::INFINITY, max + 0.5 * unit), 0.0);
        assert_eq!(ulp_error(f32::INFINITY, 1e300), 0.0);
        assert_eq!(ulp_error(f32::INFINITY, f64::INFINITY), 0.0);
        assert_eq!(ulp_error(f32::INFINITY, max + 0.25 * unit), 0.75);
        assert_eq!(ulp_error(f32::INFINITY, max), 1.0);
        assert_eq!(ulp_error(f32::INFINITY, max - unit), 2.0);
        assert_eq!(ulp_error(f32::MAX, max + 0.5 * unit), 0.5);
        assert_eq!(ulp_error(f32::MAX, max + unit), 1.0);
        assert_eq!(ulp_error(f32::NEG_INFINITY, -1e300), 0.0);
        assert_eq!(ulp_error(f32::NEG_INFINITY, f64::NEG_INFINITY), 0.0);
        assert_eq!(ulp_error(f32::INFINITY, f64::NEG_INFINITY), f64::INFINITY);
        assert!(ulp_error(f32::INFINITY, -1e300) > 1e7);
        assert_eq!(ulp_error(f32::MAX, f64::INFINITY), f64::INFINITY);
        assert_eq!(ulp_error(f32::INFINITY, 1.0), pow2(128) / pow2(-23) - pow2(23));
        assert_eq!(ulp_error(f64::INFINITY, (f64::MAX, pow2(969))), 0.75);
        assert_eq!(ulp_error(f64::INFINITY, (f64::MAX, pow2(970))), 0.0);
        assert_eq!(ulp_error(f64::INFINITY, (f64::INFINITY, f64::NAN)), 0.0);
    }

    #[test]
    fn nan_is_right_only_for_nan() {
        assert_eq!(ulp_error(f32::NAN, f64::NAN), 0.0);
        assert_eq!(ulp_error(f32::NAN, 1.0), f64::INFINITY);
        assert_eq!(ulp_error(1.0f32, f64::NAN), f64::INFINITY);
        assert_eq!(ulp_error(f64::NAN, (1.0, f64::NAN)), 0.0);
    }

    #[test]
    fn pairs_resolve_fractions_of_a_unit() {
        assert_eq!(ulp_error(1.0f64, (1.0, pow2(-54))), 0.25);
        // Below 1 the spacing is 2^-53.
        assert_eq!(ulp_error(1.0f64, (1.0, -pow2(-54))), 0.5);
        assert_eq!(ulp_error(-1.0f64, (-1.0, pow2(-54))), 0.5);
        assert_eq!(ulp_error(-1.0f64, (-1.0, -pow2(-54))), 0.25);
        assert_eq!(ulp_error(1.0f64.up(), (1.0, pow2(-54))), 0.75);
        assert_eq!(ulp_error(1.0f64, (1.0, 0.0)), 0.0);
    }

    #[cfg(feature = "mpfr")]
    #[test]
    fn floats_resolve_everything() {
        use rug::Float;
        let float = |v: f64| Float::with_val(300, v);
        let third = Float::with_val(300, 1) / 3u32;
        // 1/3 = 0.0101...: the tail after 53 digits is a third of a unit.
        let e = ulp_error(1.0f64 / 3.0, &third);
        assert!((e - 1.0 / 3.0).abs() < 1e-12, "{e}");
        assert_eq!(ulp_error(0.0f64, &(float(pow2(-1074)) >> 3)), 0.125);
        assert_eq!(ulp_error(0.0f64, &(float(1.0) >> 1_000_000)), 0.0);
        assert_eq!(ulp_error(1.0f64, &(float(1.0) - (float(1.0) >> 55))), 0.25);
        let quarter_past = float(f64::MAX) + pow2(969);
        assert_eq!(ulp_error(f64::INFINITY, &quarter_past), 0.75);
        assert_eq!(ulp_error(f64::INFINITY, &(float(f64::MAX) + pow2(970))), 0.0);
        assert_eq!(ulp_error(f64::NEG_INFINITY, &-(float(f64::MAX) + pow2(970))), 0.0);
        assert_eq!(ulp_error(f64::INFINITY, &float(f64::INFINITY)), 0.0);
        assert_eq!(ulp_error(f64::NAN, &float(f64::NAN)), 0.0);
        assert_eq!(ulp_error(1.0f64, &float(f64::NAN)), f64::INFINITY);
        // The error is one number, whichever of the three kinds the exact value is.
        for bits in (0..u32::MAX).step_by(10_000_019) {
            let got = f32::from_bits(bits);
            if got.is_finite() {
                let exact = f64::from(got) * (1.0 + pow2(-23) / 3.0);
                assert_eq!(ulp_error(got, exact), ulp_error(got, &float(exact)));
                assert_eq!(ulp_error(got, exact), ulp_error(got, (exact, 0.0)));
            }
        }
    }

    #[test]
    fn neighbours() {
        assert_eq!(0.0f32.up().to_bits(), 1);
        assert_eq!((-0.0f32).up().to_bits(), 1);
        assert_eq!(0.0f32.down().to_bits(), 0x8000_0001);
        assert_eq!(f32::MAX.up(), f32::INFINITY);
        assert_eq!(f32::INFINITY.up(), f32::INFINITY);
        assert_eq!(f32::NEG_INFINITY.up(), f32::MIN);
        assert!(f32::NAN.up().is_nan());
        assert_eq!(f16::from_f64(1.0).up().to_f64(), 1.0 + pow2(-10));
        assert_eq!(bf16::from_f64(1.0).down().to_f64(), 1.0 - pow2(-8));
        for bits in (0..u64::MAX - (1 << 50)).step_by((1 << 50) + 12345) {
            let v = f64::from_bits(bits);
            if v.is_finite() && v != 0.0 {
                assert_eq!(v.up(), v.next_up());
                assert_eq!(v.down(), v.next_down());
            }
        }
        assert_eq!(ulps_between(-1.0f32.step(2), 1.0f32), 2 * 0x3f80_0000 + 2);
    }

    #[test]
    fn nearest_is_one_rounding() {
        for bits in (0..u64::MAX - (1 << 47)).step_by((1 << 47) + 9_876_543_211) {
            let v = f64::from_bits(bits);
            assert_eq!(f64::nearest(v).to_bits() << 12 == 0, v.to_bits() << 12 == 0);
            if !v.is_nan() {
                assert_eq!(f32::nearest(v).to_bits(), (v as f32).to_bits(), "{v:e}");
                assert_eq!(f64::nearest(v).to_bits(), v.to_bits(), "{v:e}");
            } else {
                assert!(f32::nearest(v).is_nan() && f16::nearest(v).is_nan());
            }
        }
        // Just above a tie: by way of f32 it would become the tie and go down.
        let v = 1.0 + pow2(-11) + pow2(-40);
        assert_eq!(f16::nearest(v).to_f64(), 1.0 + pow2(-10));
        assert_eq!(f16::nearest(1.0 + pow2(-11)).to_f64(), 1.0);
        assert_eq!(f16::nearest(65520.0), f16::INFINITY);
        assert_eq!(f16::nearest(65519.9), f16::MAX);
        assert_eq!(f16::nearest(-1e300), f16::NEG_INFINITY);
        assert_eq!(f16::nearest(f64::INFINITY), f16::INFINITY);
        for h in every::<f16>().filter(|h| !h.is_nan()) {
            assert_eq!(f16::nearest(h.to_f64()).to_bits(), h.to_bits());
        }
        for h in every::<bf16>().filter(|h| !h.is_nan()) {
            assert_eq!(bf16::nearest(h.to_f64()).to_bits(), h.to_bits());
        }
    }

    #[test]
    fn iteration() {
        assert_eq!(every::<f16>().count(), 1 << 16);
        assert_eq!(every::<bf16>().filter(|v| v.is_nan()).count(), 2 * 127);
        let all: Vec<f32> = numbers(-1.0f32.down(), -1.0f32.step(-3)).collect();
        assert_eq!(all, [-1.0f32.down(), -1.0f32.step(-2), -1.0f32.step(-3)]);
        let around: Vec<f32> = numbers(-f32::from_bits(1), f32::from_bits(1)).collect();
        assert_eq!(around.len(), 3);
        assert_eq!(around[1].to_bits(), 0);
    }
}

//! Vector registers, one narrow trait, one file per instruction set.
//!
//! Everything above this module is written once over [`Lanes`]; everything below is a
//! register type with about thirty one-line operations. Three rules make the
//! source give the same bits on every processor with fused multiply-add:
//!
//! 1. Only operations whose result IEEE 754 fixes are used (no reciprocal estimates).
//! 2. [`Lanes::mul_add`] is fused wherever [`Lanes::FUSED`] says so: AVX2, AVX-512 and
//!    NEON agree to the bit. The baseline (SSE2, or one lane at a time) multiplies and
//!    adds in two roundings; code that needs the exact product asks for
//!    [`Lanes64::two_prod`] or [`Lanes64::residual`], which are exact everywhere.
//! 3. `max` and `min` are defined by a comparison (`c > x ? c : x`), so that a NaN in
//!    `x` and the sign of a zero in `x` survive.
//!
//! A register type may only be used inside a function that was entered through
//! [`crate::level`], which has checked that the processor has the instructions.

#![allow(unsafe_code)]

use core::ops::{Add, Div, Mul, Neg, Sub};

#[cfg(target_arch = "aarch64")]
pub(crate) mod neon;
#[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), allow(dead_code))]
pub(crate) mod scalar;
pub(crate) mod twice;
#[cfg(target_arch = "x86_64")]
pub(crate) mod x86;

/// A register of `N` numbers.
pub trait Lanes:
    Copy
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    /// The number in one lane.
    type Elem: Copy + From<f32>;
    /// One truth value per lane.
    type Mask: Copy;
    /// Lanes in the register.
    const N: usize;
    /// Whether `mul_add` rounds once.
    const FUSED: bool;

    /// `v` in every lane.
    fn splat(v: Self::Elem) -> Self;
    /// Reads `N` numbers.
    ///
    /// # Safety
    /// `p` must be valid for reading `N` numbers; any alignment will do.
    unsafe fn load(p: *const Self::Elem) -> Self;
    /// Writes `N` numbers.
    ///
    /// # Safety
    /// `p` must be valid for writing `N` numbers; any alignment will do.
    unsafe fn store(self, p: *mut Self::Elem);
    /// Writes `N` numbers by non-temporal stores, past the caches, if the level can.
    ///
    /// # Safety
    /// `p` must be valid for writing `N` numbers and aligned to the register.
    #[inline(always)]
    unsafe fn store_non_temporal(self, p: *mut Self::Elem) {
        // SAFETY: `p` is valid for writing `N` numbers.
        unsafe { self.store(p) }
    }
    /// `self * a + b`, rounded once where `FUSED`.
    fn mul_add(self, a: Self, b: Self) -> Self;
    /// `|self|`.
    fn abs(self) -> Self;
    /// The square root, rounded once; -0 of -0, NaN of numbers below.
    fn sqrt(self) -> Self;
    /// `|self|` with the sign of `sign`.
    fn copysign(self, sign: Self) -> Self;
    /// `c > self ? c : self`.
    fn max(self, c: Self) -> Self;
    /// `c < self ? c : self`.
    fn min(self, c: Self) -> Self;
    /// `self > o`, false for NaN.
    fn gt(self, o: Self) -> Self::Mask;
    /// `self` is NaN.
    fn is_nan(self) -> Self::Mask;
    /// Either is true.
    fn either(a: Self::Mask, b: Self::Mask) -> Self::Mask;
    /// Whether `m` is true in any lane.
    fn any(m: Self::Mask) -> bool;
    /// Whether `m` is true in every lane.
    fn all(m: Self::Mask) -> bool;
    /// `m ? a : b` per lane.
    fn select(m: Self::Mask, a: Self, b: Self) -> Self;
}

/// A register of f64.
pub trait Lanes64: Lanes<Elem = f64> {
    /// Reads `N` f32 and widens them.
    ///
    /// # Safety
    /// `p` must be valid for reading `N` f32.
    unsafe fn load_f32(p: *const f32) -> Self;
    /// Rounds to f32 (nearest, ties to even) and writes `N` of them.
    ///
    /// # Safety
    /// `p` must be valid for writing `N` f32.
    unsafe fn store_f32(self, p: *mut f32);
    /// Adds the low 12 bits of `t`'s representation to the exponent of `self`: for
    /// `t = k + 1.5 * 2^52` this is `self * 2^k`, if that is a normal number.
    fn add_exponent(self, t: Self) -> Self;
    /// The first 12 bits of the representation as a number: the sign, then the exponent with its bias
    /// of 1023.
    fn exponent_field(self) -> Self;
    /// `M` numbers for each lane, of which `f` is asked lane by lane: for what is rare.
    #[inline(always)]
    fn each<const M: usize>(self, f: fn(f64) -> [f64; M]) -> [Self; M] {
        let mut lanes = [0.0; 16];
        let mut of = [[0.0; 16]; M];
        // SAFETY: a register, or a pair of them, has at most 16 lanes.
        unsafe { self.store(lanes.as_mut_ptr()) }
        for i in 0..Self::N {
            for (to, v) in of.iter_mut().zip(f(lanes[i])) {
                to[i] = v;
            }
        }
        let mut all = [self; M];
        for (v, from) in all.iter_mut().zip(&of) {
            // SAFETY: a register, or a pair of them, has at most 16 lanes.
            *v = unsafe { Self::load(from.as_ptr()) };
        }
        all
    }
    /// `1 / self` rounded to f32, for `self` within the range of f32.
    fn recip_f32(self) -> Self;

    /// `self * b` as an exact sum of two numbers (if nothing overflows or underflows).
    #[inline(always)]
    fn two_prod(self, b: Self) -> (Self, Self) {
        let p = self * b;
        if Self::FUSED {
            return (p, self.mul_add(b, -p));
        }
        let (ah, al) = veltkamp(self);
        let (bh, bl) = veltkamp(b);
        (p, ((ah * bh - p) + ah * bl + al * bh) + al * bl)
    }

    /// `n - q * d` with the product exact: the remainder of a quotient.
    #[inline(always)]
    fn residual(n: Self, q: Self, d: Self) -> Self {
        if Self::FUSED {
            return (-q).mul_add(d, n);
        }
        let (p, e) = q.two_prod(d);
        (n - p) - e
    }

    /// `self + b` as an exact sum of two numbers.
    #[inline(always)]
    fn two_sum(self, b: Self) -> (Self, Self) {
        let s = self + b;
        let t = s - self;
        (s, (self - (s - t)) + (b - t))
    }

    /// `self + b` as an exact sum of two numbers, if `|self| >= |b|` or `self` is 0.
    #[inline(always)]
    fn quick_two_sum(self, b: Self) -> (Self, Self) {
        let s = self + b;
        (s, b - (s - self))
    }

    /// Both numbers of the entry of `table` whose number stands in the low 4 bits of `t`'s
    /// representation.
    fn lookup(table: &[[f64; 2]; 16], t: Self) -> (Self, Self);
    /// Adds the low 16 bits of `t`'s representation to the high 16 of `self`'s: an exponent in
    /// sixteenths, for an entry of `math::tables_f64::ROOTS`.
    fn add_sixteenths(self, t: Self) -> Self;
}

/// The number as a sum of two with at most 26 significant bits each (Veltkamp, Dekker 1971).
#[inline(always)]
fn veltkamp<V: Lanes64>(x: V) -> (V, V) {
    let c = x * V::splat(134_217_729.0); // 2^27 + 1
    let hi = c - (c - x);
    (hi, x - hi)
}

/// A register of which only the first lanes are in an array. Copies by way of a buffer are not
/// forwarded to a load of all of it; levels with masks do better.
pub trait Partial: Lanes<Elem = f32> {
    /// Reads the first `n <= N` numbers; the other lanes are `rest`.
    ///
    /// # Safety
    /// `p` must be valid for reading `n` numbers.
    #[inline(always)]
    unsafe fn load_first(p: *const f32, n: usize, rest: f32) -> Self {
        let mut all = [rest; 32];
        // SAFETY: `p` is valid for reading `n <= N` numbers; a register has at most 32 lanes.
        unsafe {
            core::ptr::copy_nonoverlapping(p, all.as_mut_ptr(), n);
            Self::load(all.as_ptr())
        }
    }
    /// Writes the first `n <= N` lanes.
    ///
    /// # Safety
    /// `p` must be valid for writing `n` numbers.
    #[inline(always)]
    unsafe fn store_first(self, p: *mut f32, n: usize) {
        let mut all = [0.0; 32];
        // SAFETY: `p` is valid for writing `n <= N` numbers; a register has at most 32 lanes.
        unsafe {
            self.store(all.as_mut_ptr());
            core::ptr::copy_nonoverlapping(all.as_ptr(), p, n);
        }
    }
}

/// Numbers that may turn out subnormal are computed times `2^TAIL_SCALE_LOG2`: see [`Lanes32::unscale_tail`].
pub(crate) const TAIL_SCALE_LOG2: u32 = 100;
/// `2^-TAIL_SCALE_LOG2`.
pub(crate) const TAIL_UNSCALE: f32 = f32::from_bits((127 - TAIL_SCALE_LOG2) << 23);
/// The least normal number times `2^TAIL_SCALE_LOG2`.
const LIFTED_NORMAL: f32 = f32::from_bits((1 + TAIL_SCALE_LOG2) << 23);
/// A subnormal number is, in representation, how often it holds the least one: times `2^TAIL_SCALE_LOG2`, this
/// much of it.
const OF_LEAST: f32 = f32::from_bits((127 + 149 - TAIL_SCALE_LOG2) << 23);

/// A register of f32, twice as many lanes as its `Wide`.
pub trait Lanes32: Partial {
    /// The f64 register of the same size.
    type Wide: Lanes64;
    /// The lower and the upper half, widened.
    fn widen(self) -> (Self::Wide, Self::Wide);
    /// What picks coefficients, in the form that the level needs.
    type Pick: Copy;
    /// Picks the piece that the last four bits of the representation say.
    fn pick(self) -> Self::Pick;
    /// Four coefficients of the piece. Asking again costs nothing, nor does what is not used.
    fn four(pick: Self::Pick, four: &CoefficientQuad) -> [Self; 4];
    /// The elements of `row` that the last four bits of the representation say.
    fn lookup_short(self, row: &[f32; 16]) -> Self;
    /// The exponent and the first two bits after the point, in the last bits of the representation.
    fn octave(self) -> Self;
    /// The representation plus that of `t` shifted up by 19 bits: for `t = k + 1.5 * 2^23` this adds
    /// `k / 16` to the exponent, and `(k mod 16) 2^19` to the rest.
    fn add_shifted(self, t: Self) -> Self;
    /// The inverse of `widen`, rounding to nearest even.
    fn narrow(lo: Self::Wide, hi: Self::Wide) -> Self;
    /// `self / 2^TAIL_SCALE_LOG2` for `self >= 0`, rounded once, to a subnormal number too.
    #[inline(always)]
    fn unscale_tail(self) -> Self {
        let (lo, hi) = self.widen();
        let by = Self::Wide::splat(f64::from(TAIL_UNSCALE));
        Self::narrow(lo * by, hi * by)
    }
    /// `self 2^k` for an integer `-800 <= k <= 800`, rounded once, to a subnormal number too. By way of
    /// f64: of instructions that may have a subnormal f32 as a result, only conversions cost no
    /// hundred cycles on Intel's processors; AVX-512's own `vscalefps` does.
    #[inline(always)]
    fn scale2(self, k: Self) -> Self {
        if !Self::any(k.abs().gt(Self::splat(0.0))) {
            return self;
        }
        let ((lo, hi), (i, j)) = (self.widen(), k.widen());
        let (one, round) = (Self::Wide::splat(1.0), Self::Wide::splat(ROUND));
        Self::narrow(lo * one.add_exponent(i + round), hi * one.add_exponent(j + round))
    }
    /// Reads `2 N` numbers into two registers, even ones into the first, odd ones into the second.
    ///
    /// # Safety
    /// `p` must be valid for reading `2 N` numbers; any alignment will do.
    #[cfg(feature = "half")]
    #[inline(always)]
    unsafe fn load_bf16(p: *const half::bf16) -> [Self; 2] {
        let wide = |v: half::bf16| f32::from_bits(u32::from(v.to_bits()) << 16);
        // SAFETY: `p` is valid for reading `2 N` numbers.
        unsafe { load_one_by_one::<Self, _, true>(p, wide) }
    }
    /// Rounds to nearest even, subnormal numbers included, and writes the `2 N` numbers of `v`.
    /// A NaN stays one unless its upper half is all ones and its lower half is not 0, which no
    /// operation makes of bf16 numbers.
    ///
    /// # Safety
    /// `p` must be valid for writing `2 N` numbers; any alignment will do.
    #[cfg(feature = "half")]
    #[inline(always)]
    unsafe fn store_bf16(v: [Self; 2], p: *mut half::bf16) {
        // SAFETY: `p` is valid for writing `2 N` numbers.
        unsafe { store_one_by_one::<Self, _, true>(v, p, round_bf16) }
    }
    /// Reads `2 N` numbers into two registers, in order.
    ///
    /// # Safety
    /// `p` must be valid for reading `2 N` numbers; any alignment will do.
    #[cfg(feature = "half")]
    #[inline(always)]
    unsafe fn load_f16(p: *const half::f16) -> [Self; 2] {
        // SAFETY: `p` is valid for reading `2 N` numbers.
        unsafe { load_one_by_one::<Self, _, false>(p, half::f16::to_f32) }
    }
    /// Rounds to nearest even and writes the `2 N` numbers of `v`.
    ///
    /// # Safety
    /// `p` must be valid for writing `2 N` numbers; any alignment will do.
    #[cfg(feature = "half")]
    #[inline(always)]
    unsafe fn store_f16(v: [Self; 2], p: *mut half::f16) {
        // SAFETY: `p` is valid for writing `2 N` numbers.
        unsafe { store_one_by_one::<Self, _, false>(v, p, half::f16::from_f32) }
    }
    /// Copies `0 < n <= 2 N` words to the start of a buffer of `2 N`, for a load of all of them. What
    /// was stored in parts is not forwarded to such a load, so a masked load pays.
    ///
    /// # Safety
    /// `from` must be valid for reading `n` words, `to` for writing `2 N`.
    #[cfg(feature = "half")]
    #[inline(always)]
    unsafe fn copy_in(from: *const u16, to: *mut u16, n: usize) {
        // SAFETY: `from` is valid for reading `n` words, and the buffer `to` holds `2 N`.
        unsafe { core::ptr::copy_nonoverlapping(from, to, n) }
    }
    /// Copies the first `0 < n <= 2 N` words of a buffer of `2 N`.
    ///
    /// # Safety
    /// `from` must be valid for reading `2 N` words, `to` for writing `n`.
    #[cfg(feature = "half")]
    #[inline(always)]
    unsafe fn copy_out(from: *const u16, to: *mut u16, n: usize) {
        // SAFETY: the buffer `from` holds `2 N` words, and `to` is valid for writing `n`.
        unsafe { core::ptr::copy_nonoverlapping(from, to, n) }
    }
}

/// The lane of number `i`, of both registers: `INTERLEAVED`: even numbers in the first, odd ones in the
/// second.
#[cfg(feature = "half")]
#[inline(always)]
fn lane<V: Lanes32, const INTERLEAVED: bool>(i: usize) -> usize {
    if INTERLEAVED { i / 2 + i % 2 * V::N } else { i }
}

/// Two registers of numbers that are widened one by one.
///
/// # Safety
/// `p` must be valid for reading `2 N` numbers.
#[cfg(feature = "half")]
#[inline(always)]
unsafe fn load_one_by_one<V: Lanes32, H: Copy, const INTERLEAVED: bool>(
    p: *const H,
    wide: impl Fn(H) -> f32,
) -> [V; 2] {
    let mut a = [0.0f32; 32];
    for i in 0..2 * V::N {
        // SAFETY: `i` is below `2 N`, and `p` is valid for reading as many numbers.
        a[lane::<V, INTERLEAVED>(i)] = wide(unsafe { p.add(i).read_unaligned() });
    }
    // SAFETY: a register has at most 16 lanes.
    unsafe { [V::load(a.as_ptr()), V::load(a.as_ptr().add(V::N))] }
}

/// Writes the numbers of two registers, rounded one by one.
///
/// # Safety
/// `p` must be valid for writing `2 N` numbers.
#[cfg(feature = "half")]
#[inline(always)]
unsafe fn store_one_by_one<V: Lanes32, H, const INTERLEAVED: bool>(
    v: [V; 2],
    p: *mut H,
    round: impl Fn(f32) -> H,
) {
    let mut a = [0.0f32; 32];
    // SAFETY: a register has at most 16 lanes; `p` is valid for writing `2 N` numbers.
    unsafe {
        v[0].store(a.as_mut_ptr());
        v[1].store(a.as_mut_ptr().add(V::N));
        for i in 0..2 * V::N {
            p.add(i).write_unaligned(round(a[lane::<V, INTERLEAVED>(i)]));
        }
    }
}

/// A family of registers: what an instruction-set level provides.
pub trait Simd: 'static {
    /// The place of its kernels in a `PerLevel`.
    const INDEX: usize;
    /// f64 register.
    type F64: Lanes64;
    /// f32 register.
    type F32: Lanes32<Wide = Self::F64>;
    /// What loops over the longer primitives of f32 take at a time: as many registers as keep the
    /// processor busy.
    type Block32: Lanes32;
    /// What loops over primitives of f32 with tables take at a time.
    type Tabled32: Lanes32;
    /// What loops over primitives of f64 take at a time.
    type Block64: Lanes64;
    /// Widens `n` numbers.
    ///
    /// # Safety
    /// `n` elements behind each pointer.
    #[cfg(feature = "half")]
    #[inline(always)]
    unsafe fn widen_f16(from: *const half::f16, to: *mut f32, n: usize) {
        for i in 0..n {
            // SAFETY: `n` elements lie behind each pointer.
            unsafe { to.add(i).write((*from.add(i)).to_f32()) }
        }
    }
    /// Rounds `n` numbers to nearest even.
    ///
    /// # Safety
    /// `n` elements behind each pointer.
    #[cfg(feature = "half")]
    #[inline(always)]
    unsafe fn narrow_f16(from: *const f32, to: *mut half::f16, n: usize) {
        for i in 0..n {
            // SAFETY: `n` elements lie behind each pointer.
            unsafe { to.add(i).write(half::f16::from_f32(*from.add(i))) }
        }
    }
}

/// Adding this to a number of at most 2^51 rounds it to an integer, which then stands in
/// the low bits of the sum.
pub(crate) const ROUND: f64 = 6_755_399_441_055_744.0; // 1.5 * 2^52
/// Adding this rounds a number of f32 to an integer, which then stands in the low bits of the sum.
pub(crate) const ROUND_F32: f32 = 12_582_912.0; // 1.5 * 2^23

/// 2^52, from which on numbers have no digits after the point.
pub(crate) const UNITS: f64 = 4_503_599_627_370_496.0;
/// 2^23, from which on numbers of f32 have no digits after the point.
pub(crate) const UNITS_F32: f32 = 8_388_608.0;

/// One coefficient of all pieces.
pub type PieceRow = [f32; 16];

/// Four coefficients of all pieces, in the order in which a level looks them up.
#[repr(C, align(64))]
pub struct CoefficientQuad {
    /// All pieces of a coefficient side by side: a register or two.
    #[cfg(target_arch = "x86_64")]
    pub(crate) by_coefficient: [PieceRow; 4],
    /// All coefficients of a piece side by side: one load.
    pub(crate) by_piece: [[f32; 4]; 16],
}

#[cfg(feature = "half")]
/// The nearest bf16, ties to even, without a branch.
#[cfg(feature = "half")]
#[inline(always)]
pub(crate) fn round_bf16(v: f32) -> half::bf16 {
    let bits = v.to_bits();
    let odd = (bits >> 16) & 1;
    let rounded = bits.wrapping_add(0x7FFF + odd) >> 16;
    let nan = (bits >> 16) | 0x40;
    let is_nan = bits & 0x7FFF_FFFF > 0x7F80_0000;
    half::bf16::from_bits(if is_nan { nan } else { rounded } as u16)
}

/// Implements the arithmetic operators of a register type from four functions.
macro_rules! operators {
    ($t:ty, $add:ident, $sub:ident, $mul:ident, $div:ident) => {
        operators!(@one $t, Add, add, $add);
        operators!(@one $t, Sub, sub, $sub);
        operators!(@one $t, Mul, mul, $mul);
        operators!(@one $t, Div, div, $div);
    };
    (@one $t:ty, $trait:ident, $method:ident, $f:ident) => {
        impl core::ops::$trait for $t {
            type Output = Self;
            #[inline(always)]
            fn $method(self, o: Self) -> Self {
                // SAFETY: a value of this type exists only where its instructions do (see `simd`).
                Self(unsafe { $f(self.0, o.0) })
            }
        }
    };
}
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(crate) use operators;
